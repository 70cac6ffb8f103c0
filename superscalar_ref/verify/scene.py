"""A factory of real parties on a real chain, built once; each scenario takes it up again from the parties' stores."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from superscalar_ref.bitcoin.taproot import p2tr_from_internal
from superscalar_ref.bitcoin.transaction import Transaction, TxOutput
from superscalar_ref.chain.interface import OutPoint, TxOut
from superscalar_ref.chain.kernel import KernelLedger
from superscalar_ref.errors import ChainError
from superscalar_ref.parties import messages as m
from superscalar_ref.parties.actor import Actor, Identity
from superscalar_ref.parties.bumper import Bumper
from superscalar_ref.parties.client import ClientActor
from superscalar_ref.parties.lsp import LspActor, Offer, Wallet
from superscalar_ref.parties.store import Store
from superscalar_ref.parties.watch import Watcher, txid_bytes
from superscalar_ref.parties.wire import Wire
from superscalar_ref.protocol.client import Limits
from superscalar_ref.protocol.deadline import load_deadlines
from superscalar_ref.realise.book import CoinOutput
from superscalar_ref.report.result import ACCEPTED, Expectation, TransactionVerdict
from superscalar_ref.signing.keys import SecretKey
from superscalar_ref.verify.example import Example

Progress = Callable[[str], None]
"""Told what is being done, in a few words."""


def seed_of(example: Example, party: str) -> bytes:
    """A party's seed in this run: repeatable, and of no value outside regtest."""
    return hashlib.sha256(f"{example.name}/{party}/seed".encode()).digest()


def wallet_key(example: Example, party: str) -> SecretKey:
    """The key of a party's on-chain wallet in this run."""
    return SecretKey(hashlib.sha256(f"{example.name}/{party}/wallet".encode()).digest())


def wallet_script(example: Example, party: str) -> bytes:
    """The scriptPubKey of a party's on-chain wallet (BIP-86)."""
    return p2tr_from_internal(wallet_key(example, party).x_only)


@dataclass(frozen=True)
class Named:
    """A transaction on its way to a block."""

    name: str
    kind: str
    transaction: Transaction
    fee: int
    """What it says that it pays (sat)."""


@dataclass
class Trial:
    """One scenario on its own copy of the chain, and every verdict of Bitcoin Core's code in it."""

    scenario: str
    ledger: KernelLedger
    verdicts: list[TransactionVerdict] = field(default_factory=list)
    brought: int = 0
    """What the transactions mined here spent of outputs that were there before (sat)."""
    fees: int = 0
    """What they paid to miners (sat)."""
    problems: list[str] = field(default_factory=list)
    """Where a transaction paid another fee than it says."""
    _made: dict[OutPoint, int] = field(default_factory=dict)

    def mine(self, *named: Named) -> int:
        """Mine one block: all must be accepted. Returns its height.

        Raises ``ChainError`` with Core's words, after it has kept the verdict.
        """
        height = self.ledger.height + 1
        before = {point: coin.output.amount for point, coin in self.ledger.unspent().items()}
        try:
            self.ledger.mine([one.transaction.serialized for one in named])
        except ChainError as error:
            for one in named:
                self._keep(one, None, error.reason, "accepted")
            raise
        for one in named:
            self._keep(one, height, ACCEPTED, "accepted")
            self._count(one, before)
        return height

    def refuse(self, one: Named) -> str:
        """Try a transaction that must be refused now; nothing changes. Returns what Core said."""
        verdict = self.ledger.would_accept([one.transaction.serialized])
        said = ACCEPTED if verdict.accepted else verdict.said
        self._keep(one, verdict.height, said, "refused")
        return said

    def resting(self) -> int:
        """The sum of all unspent outputs that this scenario's transactions made (sat)."""
        return sum(self._made.values())

    def conserved(self) -> bool:
        """Whether every satoshi brought in is at rest or was paid as a stated fee."""
        return not self.problems and self.brought == self.resting() + self.fees

    def _count(self, one: Named, before: dict[OutPoint, int]) -> None:
        spent = 0
        for tx_input in one.transaction.inputs:
            point = OutPoint(txid_bytes(tx_input.txid_hex), tx_input.index)
            made = self._made.pop(point, None)
            if made is None:
                made = before[point]
                self.brought += made
            spent += made
        txid = txid_bytes(one.transaction.txid)
        for index, output in enumerate(one.transaction.outputs):
            self._made[OutPoint(txid, index)] = output.amount_sat
        fee = spent - sum(output.amount_sat for output in one.transaction.outputs)
        self.fees += fee
        if fee != one.fee:
            self.problems.append(f"{one.name} pays {fee} sat to miners and says {one.fee}")

    def _keep(self, one: Named, height: int | None, said: str, expected: Expectation) -> None:
        transaction = one.transaction
        self.verdicts.append(
            TransactionVerdict(
                self.scenario,
                one.name,
                one.kind,
                transaction.txid,
                transaction.vbytes,
                one.fee,
                height,
                said,
                expected,
            )
        )


@dataclass
class Parties:
    """All actors of a factory, on a wire."""

    lsp: LspActor
    clients: dict[str, ClientActor]
    wire: Wire

    def everyone(self) -> list[Actor]:
        """The LSP first."""
        return [self.lsp, *self.clients.values()]

    def close(self) -> None:
        """Close every store."""
        for actor in self.everyone():
            actor.store.close()


class Scene:
    """The example's parties with their stores on disk, and the chain at the moment at which the factory is active."""

    def __init__(self, example: Example, progress: Progress) -> None:
        self.example = example
        self.progress = progress
        self._directory = TemporaryDirectory(prefix="superscalar-verify-")
        self.home = Path(self._directory.name)
        self._copies = 0
        self.lead = load_deadlines()["lsp"].lead(example.parameters.as_dict())
        coins = [TxOut(example.coin, wallet_script(example, example.lsp))]
        self.reserves: dict[str, CoinOutput] = {}
        holders = [client for client in example.clients if client.reserve]
        coins.extend(TxOut(client.reserve, wallet_script(example, client.name)) for client in holders)
        self.start = KernelLedger.start(coins, example.start_height)
        points = self.start.funds
        self.coin = m.CoinForm(points[0].txid[::-1].hex(), points[0].index, coins[0].amount, coins[0].script.hex())
        for client, point, coin in zip(holders, points[1:], coins[1:], strict=True):
            output = TxOutput(coin.amount, coin.script)
            self.reserves[client.name] = CoinOutput(point.txid[::-1].hex(), point.index, output)

    def close(self) -> None:
        """Remove everything from the disk."""
        self.start.close()
        self._directory.cleanup()

    def depth(self) -> int:
        """Confirmations after which a transaction is final."""
        return self.example.parameters.number("funding_confirmations")

    def limits(self) -> Limits:
        """What each client insists on."""
        number = self.example.parameters.number
        word = self.example.parameters.word
        return Limits(
            number("exit_ceiling_blocks"),
            number("exit_margin_blocks"),
            number("life_blocks"),
            self.depth(),
            number("absence_blocks") + number("confirmation_blocks"),
            frozenset({f"{word('end_default')}/{word('alternates')}"}),
        )

    def offer(self) -> Offer:
        """What the LSP proposes."""
        example = self.example
        return Offer(
            example.name,
            example.shape,
            {client.name: client.balance for client in example.clients},
            example.contents(),
            example.economy(),
            example.locks(example.start_height),
            example.parameters.number("transaction_version"),
            self.depth(),
            example.parameters.number("active_blocks"),
            self.lead,
        )

    def client(self, name: str, home: Path) -> ClientActor:
        """One client, from its store in ``home`` and its seed alone."""
        identity = Identity(name, seed_of(self.example, name))
        store = Store(home / f"{name}.sqlite")
        actor = ClientActor(identity, self.example.lsp, store, wallet_script(self.example, name), self.limits())
        actor.height = self.start.height
        return actor

    def parties(self, home: Path) -> Parties:
        """Everybody, each from its own store in ``home``."""
        example = self.example
        lsp = LspActor(
            Identity(example.lsp, seed_of(example, example.lsp)),
            Store(home / f"{example.lsp}.sqlite"),
            Wallet(wallet_key(example, example.lsp), (self.coin,)),
            wallet_script(example, example.lsp),
            self.offer(),
        )
        lsp.height = self.start.height
        clients = {client.name: self.client(client.name, home) for client in example.clients}
        return Parties(lsp, clients, Wire({example.lsp: lsp, **clients}))

    @contextmanager
    def again(self) -> Iterator[Path]:
        """A fresh copy of every store as it was when the factory became active."""
        self._copies += 1
        home = self.home / f"copy-{self._copies}"
        shutil.copytree(self.home / "active", home)
        try:
            yield home
        finally:
            shutil.rmtree(home)

    def purse(self, name: str) -> Bumper:
        """The wallet of a client that has a coin in this example."""
        return Bumper(wallet_key(self.example, name), wallet_script(self.example, name), [self.reserves[name]])

    def watch(self, actor: Actor, trial: Trial) -> Watcher:
        """Let an actor see a trial's chain."""
        watcher = Watcher(actor, trial.ledger)
        watcher.look()
        return watcher


def named(actor: Actor, name: str) -> Named:
    """A transaction that ``actor`` may publish, complete, with what its template says."""
    template = actor.factory.templates[name]
    return Named(name, str(template.kind), actor.complete_transaction(name), template.fee)


def confirmed(trial: Trial, actor: Actor, name: str) -> int | None:
    """The height at which a transaction that ``actor`` knows is confirmed."""
    return trial.ledger.confirmation_height(txid_bytes(actor.factory.realised[name].txid))
