"""One small factory with known keys, whose transactions the vectors and the text show byte by byte.

The keys are SHA-256 of a label: anybody can repeat them, and nobody may use them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

from superscalar_ref.bitcoin.script import csv_leaf
from superscalar_ref.bitcoin.taproot import p2tr_from_internal
from superscalar_ref.bitcoin.transaction import TxOutput
from superscalar_ref.conformance.functions import evaluate
from superscalar_ref.conformance.plain import plain
from superscalar_ref.protocol.blueprint import (
    FUNDING,
    Blueprint,
    Channel,
    Economy,
    LeafContents,
    Locks,
    Terms,
    build,
    close,
)
from superscalar_ref.protocol.chain_links import Sale, link
from superscalar_ref.protocol.poison import poisons
from superscalar_ref.protocol.shape import Shape, grow
from superscalar_ref.protocol.transaction import Kind, Outpoint, Output, Role, Template
from superscalar_ref.realise.book import Book, CoinOutput, PartyKeys
from superscalar_ref.realise.channel import ChannelPoints, ChannelSecrets
from superscalar_ref.realise.tree import Realised, merkle_root, realise_one, shared_key
from superscalar_ref.signing.keys import SecretKey
from superscalar_ref.signing.musig import aggregate

LSP = "L"
CLIENTS = ("A", "B")
END = 900_000
VERSIONS = {"r": 1, "r.0": 2, "r.1": 0}
"""The node 'r' is in its second state, A's leaf in its third."""


@dataclass(frozen=True)
class Shown:
    """One transaction of the example."""

    slug: str
    name: str
    """Its name among the transactions of the factory."""
    kind: str
    function: str
    """The function of layer L0 that builds it."""
    arguments: Mapping[str, Any] = field(repr=False)
    rules: tuple[str, ...]
    comment: str
    signers: tuple[str, ...] = ()
    session: Mapping[str, Any] | None = field(default=None, repr=False)
    """Arguments of ``musig.sign``; None when it is not signed by several parties together."""


class Example:
    """The factory: terms, keys, and its transactions in the order in which one builds on another."""

    def __init__(self) -> None:
        tree = grow(Shape.of([2]), CLIENTS)
        locks = Locks(step=144, states=4, to_self_delay=144, end=END, stock_lock_blocks=1008)
        self.terms = Terms("example", LSP, tree, Economy(1, 240, 330), locks, coins=((Outpoint("coin", 0), 400_000),))
        self.contents = {
            "r.0": LeafContents((Channel("A", 20_000, 30_000),), (40_000,)),
            "r.1": LeafContents((Channel("B", 10_000, 50_000),), (60_000,)),
        }
        self.blueprint: Blueprint = build(self.terms, VERSIONS, self.contents)

    # -- keys ----------------------------------------------------------------------------------------------------------

    def secret(self, label: str) -> SecretKey:
        """A secret key, from a label."""
        return SecretKey(hashlib.sha256(f"superscalar example: {label}".encode()).digest())

    def public(self, party: str) -> str:
        """A party's 33-byte factory key (hex)."""
        return self.secret(f"factory key of {party}").public.hex()

    def leaf(self, party: str, blocks: int) -> str:
        """The lock script of a party (hex)."""
        return csv_leaf(bytes.fromhex(self.public(party))[1:], blocks).hex()

    def _points(self, client: str, holder: str) -> ChannelPoints:
        seed = hashlib.sha256(f"superscalar example: channel of {client}, side of {holder}".encode()).digest()
        return ChannelSecrets.from_seed(seed, "example").points

    @cached_property
    def book(self) -> Book:
        """Everything public."""
        parties = {name: PartyKeys(bytes.fromhex(self.public(name)), self._payout(name)) for name in (LSP, *CLIENTS)}
        coin = CoinOutput(
            hashlib.sha256(b"superscalar example: coin").hexdigest(), 1, TxOutput(400_000, self._payout(LSP))
        )
        channels = {(client, holder): self._points(client, holder) for client in CLIENTS for holder in (client, LSP)}
        points = {
            name: self.secret(f"per-commitment secret of {name}").public
            for name, template in self._templates.items()
            if template.kind is Kind.COMMITMENT
        }
        return Book(parties, {Outpoint("coin", 0): coin}, channels, points)

    def _payout(self, party: str) -> bytes:
        return p2tr_from_internal(self.secret(f"payout of {party}").x_only)

    # -- transactions --------------------------------------------------------------------------------------------------

    @cached_property
    def sale(self) -> Sale:
        """A sells nothing: it buys 15,000 sat of inbound from its leaf's stock."""
        state = self.blueprint.path("A")[-1]
        return Sale(state, 1, 0, state, Channel("A", 0, 15_000))

    @cached_property
    def _templates(self) -> dict[str, Template]:
        state = self.blueprint.templates[self.sale.state]
        sold = link(self.terms, self.sale, state.outputs[1])
        closing = close(self.blueprint, 1)
        return {
            **self.blueprint.templates,
            **sold.templates,
            **poisons(self.terms, [state]),
            closing.name: closing,
        }

    @cached_property
    def realised(self) -> dict[str, Realised]:
        """Every transaction as bytes."""
        known: dict[str, Realised] = {}
        for name, template in self._templates.items():
            known[name] = realise_one(template, self.book, known, self.terms)
        return known

    @cached_property
    def transactions(self) -> tuple[Shown, ...]:
        """What the vectors show, each kind at least once."""
        kickoff, state, kickoff_a, leaf_a = self.blueprint.path("A")
        channel, stock = Outpoint(leaf_a, 0), Outpoint(leaf_a, 1)
        by_spend = {template.spends[0].outpoint: {} for template in self._templates.values()}  # type: dict[Outpoint, dict[Kind, str]]
        for name, template in self._templates.items():
            by_spend[template.spends[0].outpoint].setdefault(template.kind, name)
        commitments = [
            name
            for name, template in self._templates.items()
            if template.kind is Kind.COMMITMENT and template.spends[0].outpoint == channel
        ]
        holders = {self._templates[name].holder: name for name in commitments}
        closing = by_spend[Outpoint(FUNDING, 0)][Kind.CLOSE]
        return (
            self._show("funding", FUNDING, ("FAC-8",), "The LSP's coin pays the factory's one output on chain."),
            self._show("kickoff-root", kickoff, ("D-3",), "No relative lock: it only starts the state's clock."),
            self._show("state-root", state, ("R-ODOMETER",), "State 1 of 4: 288 blocks after the kickoff."),
            self._show(
                "kickoff-a", kickoff_a, ("D-3", "D-4"), "The kickoff over A's leaf, made anew for each state above."
            ),
            self._show("leaf-a", leaf_a, ("R-ODOMETER",), "State 2 of A's leaf: its channel, its stock, an anchor."),
            self._show("sale-a", self.sale.link, ("STK-3", "D-6"), "A link spends the stock, never a channel."),
            self._show(
                "alternate-funding",
                by_spend[Outpoint(FUNDING, 0)][Kind.ALTERNATE],
                ("D-11",),
                "nLockTime is the end: everything to the clients.",
            ),
            self._show(
                "alternate-channel-a", by_spend[channel][Kind.ALTERNATE], ("D-11", "D-12"), "The whole channel to A."
            ),
            self._show(
                "alternate-stock-a", by_spend[stock][Kind.ALTERNATE], ("D-11", "D-12"), "The stock to its clients."
            ),
            self._show(
                "poison-channel-a", by_spend[channel][Kind.POISON], ("D-10",), "An old channel wholly to its client."
            ),
            self._show("poison-stock-a", by_spend[stock][Kind.POISON], ("D-10",), "An old stock to its clients."),
            self._show("close", closing, ("FAC-20",), "One transaction from the funding output to everyone."),
            self._show("commitment-a", holders["A"], ("D-13",), "A's first commitment in its channel."),
            self._show("commitment-lsp", holders[LSP], ("D-13",), "The LSP's first commitment in A's channel."),
        )

    def plan(self) -> dict[str, Any]:
        """The arguments of ``plan.transactions`` for this factory."""
        coin = self.book.coins[Outpoint("coin", 0)]
        keys = {
            name: {"factory_key": one.factory_key.hex(), "payout_script": one.payout_script.hex()}
            for name, one in self.book.parties.items()
        }
        return {
            "terms": {
                "factory": self.terms.factory,
                "lsp": LSP,
                "clients": list(CLIENTS),
                "levels": [{"arity": level.arity, "kind": level.kind} for level in self.terms.tree.shape.levels],
                "leaf_k": self.terms.tree.shape.leaf_k,
                "economy": plain(self.terms.economy),
                "locks": plain(self.terms.locks),
                "transaction_version": self.terms.transaction_version,
                "coins": [
                    {
                        "txid": coin.txid,
                        "index": coin.index,
                        "amount": coin.output.amount_sat,
                        "script": coin.output.script_pubkey.hex(),
                    }
                ],
                "keys": keys,
            },
            "versions": dict(VERSIONS),
            "contents": {
                path: {
                    # A client's first channel is of no sale.
                    "channels": [{k: v for k, v in plain(one).items() if v != ""} for one in leaf.channels],
                    "stocks": list(leaf.stocks),
                }
                for path, leaf in self.contents.items()
            },
        }

    def named(self, slug: str) -> Shown:
        """One of the transactions. Raises StopIteration when there is none of this name."""
        return next(one for one in self.transactions if one.slug == slug)

    def answer(self, one: Shown) -> dict[str, Any]:
        """What the function that builds it gives; held equal to the transaction that the parties build."""
        made = evaluate(one.function, one.arguments)
        if made["transaction"] != self.realised[one.name].transaction.hex:
            raise AssertionError(f"{one.name}: the vector's transaction is not the one that the parties build")
        return made

    def signature(self, one: Shown) -> dict[str, Any]:
        """What ``musig.sign`` gives for it."""
        return evaluate("musig.sign", one.session)

    def untweaked(self, one: Shown) -> str:
        """The 33-byte aggregate of its signers, without any tweak (hex)."""
        return aggregate(bytes.fromhex(self.public(name)) for name in one.signers).plain.hex()

    def _show(self, slug: str, name: str, rules: tuple[str, ...], comment: str) -> Shown:
        realised = self.realised[name]
        template = realised.template
        if template.kind is Kind.COMMITMENT:
            function, arguments = "tx.commitment", self._commitment(realised)
        else:
            function, arguments = "tx.build", self._arguments(realised)
        signers: tuple[str, ...] = ()
        session = None
        if realised.key is not None:
            signers = tuple(sorted(template.signers))
            root = merkle_root(self._spent(template), self.book)
            session = {
                "signers": [
                    {
                        "secret_key": self.secret(f"factory key of {party}").reveal().hex(),
                        "randomness": hashlib.sha256(
                            f"superscalar example: nonce of {party} for {slug}".encode()
                        ).hexdigest(),
                    }
                    for party in signers
                ],
                "message": realised.sighash.hex(),
                "merkle_root": None if root is None else root.hex(),
            }
        return Shown(slug, name, str(template.kind), function, arguments, rules, comment, signers, session)

    def _spent(self, template: Template) -> Output:
        outpoint = template.spends[0].outpoint
        return self._templates[outpoint.transaction].outputs[outpoint.index]

    def _arguments(self, realised: Realised) -> dict[str, Any]:
        template = realised.template
        inputs = []
        for spend, given, spent in zip(template.spends, realised.transaction.inputs, realised.spent, strict=True):
            paid = (
                self._form(self._spent(template))
                if template.kind is not Kind.FUNDING
                else _script(spent.amount_sat, spent.script_pubkey)
            )
            inputs.append(
                {
                    "txid": given.txid_hex,
                    "vout": given.index,
                    "relative_lock_blocks": spend.relative_lock,
                    "output": paid,
                }
            )
        return {
            "version": realised.transaction.version,
            "lock_time": realised.transaction.lock_time,
            "inputs": inputs,
            "outputs": [self._form(output) for output in template.outputs],
        }

    def _form(self, output: Output) -> dict[str, Any]:
        if output.role is Role.ANCHOR:
            return {**_script(output.amount, b""), "form": "anchor"}
        if output.role is Role.WALLET:
            return _script(output.amount, self.book.party(output.owner).payout_script)
        lock = output.lock_path
        assert shared_key(output, self.book)
        return {
            **_script(output.amount, b""),
            "form": "shared",
            "signers": [self.public(party) for party in sorted(output.signers)],
            "lock": None
            if lock is None
            else {"owner": self.public(lock.owner), "kind": str(lock.kind), "blocks": lock.blocks},
        }

    def _commitment(self, realised: Realised) -> dict[str, Any]:
        assert realised.commitment is not None
        terms, state = realised.commitment.terms, realised.commitment.state
        return {
            "funding_txid": terms.funding_txid,
            "funding_vout": terms.funding_vout,
            "capacity_sat": terms.capacity_sat,
            "funding_keys": [key.hex() for key in terms.funding_keys],
            "holder": _points(terms.holder),
            "other": _points(terms.other),
            "holder_opened": terms.holder_opened,
            "to_self_delay": terms.to_self_delay,
            "dust_limit_sat": terms.dust_limit_sat,
            "number": state.number,
            "per_commitment_point": state.per_commitment_point.hex(),
            "to_local_msat": state.to_local_msat,
            "to_remote_msat": state.to_remote_msat,
            "htlcs": [],
        }


def _script(amount_sat: int, script_pubkey: bytes) -> dict[str, Any]:
    return {
        "amount_sat": amount_sat,
        "form": "script",
        "signers": [],
        "lock": None,
        "script_pubkey": script_pubkey.hex(),
    }


def _points(points: ChannelPoints) -> dict[str, str]:
    return {
        "revocation": points.revocation_basepoint.hex(),
        "payment": points.payment_basepoint.hex(),
        "delayed_payment": points.delayed_payment_basepoint.hex(),
        "htlc": points.htlc_basepoint.hex(),
    }


@lru_cache(maxsize=1)
def example() -> Example:
    """The example, built once."""
    return Example()
