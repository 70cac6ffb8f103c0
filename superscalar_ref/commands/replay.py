"""``superscalar-ref replay TRACE``: a trace of ``check`` as real transactions on Bitcoin Core's consensus code.

Every transaction that the trace mines is built from its template, signed by all its signers, and mined in the block
that the trace says, with every height and lock multiplied by ``--scale``. At the end each party owns on that chain what
the trace says that it owns. Amounts are units of 10,000 sat; fees are an ability in the games, so they are zero here.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from superscalar_ref.errors import ChainError, InputError
from superscalar_ref.protocol.blueprint import FUNDING, Economy, Locks, Terms
from superscalar_ref.protocol.shape import Shape, grow
from superscalar_ref.protocol.transaction import Kind, LockKind, LockPath, Outpoint, Output, Role, Spend, Template

if TYPE_CHECKING:
    from superscalar_ref.realise.book import Book
    from superscalar_ref.realise.tree import Realised
    from superscalar_ref.signing.keys import SecretKey

UNIT = 10_000
"""sat in a unit of the checker."""
_COIN = Outpoint("coin", 0)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("trace", type=Path, metavar="TRACE", help="a file that 'check --trace' wrote")
    parser.add_argument(
        "--scale", type=int, default=12, metavar="N", help="blocks for each block of the trace (default: 12)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object for programs")


def run(args: argparse.Namespace) -> int:
    """Replay and print; 0 when the chain ends as the trace says, 1 when not. Raises InputError for a faulty file."""
    if not 1 <= args.scale <= 144:
        raise InputError("--scale", "must be within 1..144", "replay")
    trace = read(args.trace)
    outcome = replay(trace, args.scale)
    if args.json:
        print(json.dumps(outcome, indent=2))
    else:
        for row in outcome["blocks"]:
            print(f"height {row['height']}: {row['transaction']}  {row['txid']}")
        for party, amount in outcome["owns"].items():
            print(f"{party} owns {amount} sat (the trace: {outcome['expected'].get(party, 0)} sat)")
        print(outcome["problem"] or "Bitcoin Core's consensus code agrees with the trace.")
    return 0 if outcome["agrees"] else 1


@dataclass(frozen=True)
class Script:
    """A trace as far as it is replayed."""

    funding: Template
    transactions: tuple[Template, ...]
    heights: Mapping[str, int]
    """Transaction → block of the trace."""


def read(path: Path) -> Script:
    """Read a trace file. Raises ``InputError`` naming the file and what is wrong with it."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["version"] != 1:
            raise InputError(str(path), f"version {data['version']!r:.20} is not 1", "trace")
        if data["funding"] is None or not data["transactions"]:
            raise InputError(str(path), "this trace has no transactions: the loss is in the ceremony", "trace")
        heights = {str(name): int(row["height"]) for row in data["rounds"] for name in row["mined"]}
        funding = _template(data["funding"])
        return Script(funding, tuple(_template(row) for row in data["transactions"]), heights)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(str(path), f"cannot be read: {error}", "trace") from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(str(path), f"is no trace of 'check': {error!r:.80}", "trace") from None


def _template(row: Mapping[str, Any]) -> Template:
    return Template(
        row["name"],
        Kind(row["kind"]),
        tuple(
            Spend(Outpoint(s["transaction"], s["index"]), s["relative_lock"], s["by_lock_path"]) for s in row["spends"]
        ),
        tuple(
            Output(
                Role(o["role"]),
                o["amount"],
                frozenset(o["signers"]),
                None if o["lock_path"] is None else _lock_path(o["lock_path"]),
                o["owner"],
            )
            for o in row["outputs"]
        ),
        frozenset(row["signers"]),
        row["lock_time"],
        row["fee"],
        holder=row["holder"],
    )


def _lock_path(row: Mapping[str, Any]) -> LockPath:
    return LockPath(row["owner"], LockKind(row["kind"]), row["blocks"])


def scaled(template: Template, scale: int, base: int) -> Template:
    """The template with every relative lock times ``scale`` and every height ``base`` + height × ``scale``."""

    def path(lock: LockPath | None) -> LockPath | None:
        if lock is None:
            return None
        blocks = lock.blocks * scale if lock.kind is LockKind.CSV else base + lock.blocks * scale
        return LockPath(lock.owner, lock.kind, blocks)

    return Template(
        template.name,
        template.kind,
        tuple(
            Spend(s.outpoint, None if s.relative_lock is None else s.relative_lock * scale, s.by_lock_path)
            for s in template.spends
        ),
        tuple(Output(o.role, o.amount * UNIT, o.signers, path(o.lock_path), o.owner) for o in template.outputs),
        template.signers,
        base + template.lock_time * scale if template.lock_time else 0,
        template.fee * UNIT,
        template.holder,
        template.slot,
    )


def replay(script: Script, scale: int) -> dict[str, Any]:
    """Mine the trace and compare what everyone owns; see the module's text."""
    from superscalar_ref.bitcoin.script import P2A  # noqa: PLC0415
    from superscalar_ref.chain.interface import TxOut  # noqa: PLC0415
    from superscalar_ref.chain.kernel import KernelLedger  # noqa: PLC0415
    from superscalar_ref.realise.tree import realise_one  # noqa: PLC0415

    total = sum(output.amount for output in script.funding.outputs) * UNIT
    # The coin that pays for the factory is anyone's: how the LSP signs it is not part of the trace.
    with KernelLedger.start([TxOut(total, P2A)]) as chain:
        base = chain.height + 1
        templates = [scaled(t, scale, base) for t in (script.funding, *script.transactions)]
        people = _People(templates)
        book = people.book(chain.funds[0].txid[::-1].hex(), chain.funds[0].index, total)
        delays = [
            o.lock_path.blocks
            for t in templates
            for o in t.outputs
            if o.role is Role.DELAYED and o.lock_path is not None
        ]
        terms = _terms(delays[0] if delays else 1)
        known: dict[str, Realised] = {}
        rows = []
        problem = ""
        try:
            for height in sorted({0, *script.heights.values()}):
                together = [t for t in templates if script.heights.get(t.name, 0) == height]
                for template in together:
                    known[template.name] = realise_one(template, book, known, terms)
                chain.advance(base + height * scale - 1 - chain.height)
                chain.mine([people.complete(known[t.name], known) for t in together])
                rows += [{"height": chain.height, "transaction": t.name, "txid": known[t.name].txid} for t in together]
        except ChainError as error:
            problem = f"Bitcoin Core's consensus code refuses it {error}"
        unspent = {(point.txid[::-1].hex(), point.index): coin.output.amount for point, coin in chain.unspent().items()}
    owns, expected = _owned(known, unspent), _expected(script)
    agrees = not problem and owns == expected
    if not problem and not agrees:
        problem = "The chain ends with other amounts than the trace."
    return {"agrees": agrees, "problem": problem, "blocks": rows, "owns": owns, "expected": expected}


def _owned(known: Mapping[str, Realised], unspent: Mapping[tuple[str, int], int]) -> dict[str, int]:
    owns: dict[str, int] = {}
    for name, realised in known.items():
        # The funding transaction's change was never in the factory.
        for number, output in enumerate(realised.template.outputs):
            place = (realised.txid, realised.places[number])
            if name != FUNDING and output.role is Role.WALLET and place in unspent:
                owns[output.owner] = owns.get(output.owner, 0) + unspent[place]
    return dict(sorted(owns.items()))


def _expected(script: Script) -> dict[str, int]:
    owns: dict[str, int] = {}
    for template in script.transactions:
        for output in template.outputs:
            if output.role is Role.WALLET:
                owns[output.owner] = owns.get(output.owner, 0) + output.amount * UNIT
    return dict(sorted(owns.items()))


def _terms(to_self_delay: int) -> Terms:
    locks = Locks(step=1, states=2, to_self_delay=to_self_delay, end=1)
    return Terms("replay", "L", grow(Shape.of((2,)), ("A",)), Economy(0, 0, 0), locks, ((_COIN, 0),))


class _People:
    """Keys for everyone in a trace, from their names: these transactions hold no real money."""

    def __init__(self, templates: list[Template]) -> None:
        from superscalar_ref.realise.channel import ChannelSecrets  # noqa: PLC0415
        from superscalar_ref.signing.keys import SecretKey  # noqa: PLC0415

        names = {
            n for t in templates for n in (*t.signers, *(m for o in t.outputs for m in (*o.signers, o.owner))) if n
        }
        self.keys = {name: SecretKey(_seed(f"key {name}")) for name in sorted(names)}
        self.channels = {
            (o.owner, side): ChannelSecrets.from_seed(_seed(f"channel {side}"), o.owner)
            for t in templates
            for o in t.outputs
            if o.role is Role.CHANNEL
            for side in o.signers
        }
        self.points = {
            t.name: SecretKey(_seed(f"point {t.name}")).public for t in templates if t.kind is Kind.COMMITMENT
        }

    def book(self, txid: str, index: int, amount: int) -> Book:
        """What all have told one another."""
        from superscalar_ref.bitcoin.script import P2A  # noqa: PLC0415
        from superscalar_ref.bitcoin.taproot import p2tr_script  # noqa: PLC0415
        from superscalar_ref.bitcoin.transaction import TxOutput  # noqa: PLC0415
        from superscalar_ref.realise.book import Book, CoinOutput, PartyKeys  # noqa: PLC0415

        return Book(
            {name: PartyKeys(key.public, p2tr_script(key.x_only)) for name, key in self.keys.items()},
            {_COIN: CoinOutput(txid, index, TxOutput(amount, P2A))},
            {place: secrets.points for place, secrets in self.channels.items()},
            self.points,
        )

    def complete(self, realised: Realised, known: Mapping[str, Realised]) -> bytes:
        """The transaction with its signatures, as it travels."""
        from superscalar_ref.realise.build import sign_one  # noqa: PLC0415

        template = realised.template
        if template.name == FUNDING:
            return realised.transaction.serialized
        if realised.opening is None:
            return sign_one(realised, self.keys).serialized
        return realised.signed(self._alone(template, known).sign(realised.sighash)).serialized

    def _alone(self, template: Template, known: Mapping[str, Realised]) -> SecretKey:
        """The key of a lock path: of a commitment's own output, or its owner's factory key."""
        from superscalar_ref.realise.channel import derive_secret  # noqa: PLC0415

        (owner,) = template.signers
        parent = known[template.spends[0].outpoint.transaction]
        if parent.commitment is None:
            return self.keys[owner]
        channel = known[parent.template.spends[0].outpoint.transaction]
        client = channel.template.outputs[parent.template.spends[0].outpoint.index].owner
        secrets = self.channels[client, owner]
        return derive_secret(secrets.delayed_payment_basepoint, self.points[parent.template.name])


def _seed(label: str) -> bytes:
    return hashlib.sha256(f"superscalar-ref replay: {label}".encode()).digest()
