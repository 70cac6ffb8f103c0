"""An LSP and its clients on stores of the tests' choice, with a wire between them that keeps every letter.

``scene(2).ceremony()`` has a signed factory; ``restart(name)`` gives a party up and starts it again from its store.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from superscalar_ref.bitcoin.taproot import p2tr_from_internal
from superscalar_ref.machine.bind import bind
from superscalar_ref.machine.types import Event
from superscalar_ref.parties import messages as m
from superscalar_ref.parties.actor import Actor, Identity, Outbox
from superscalar_ref.parties.client import ClientActor
from superscalar_ref.parties.lsp import LspActor, Offer, Wallet
from superscalar_ref.parties.store import MEMORY, Store
from superscalar_ref.parties.tower import Tower
from superscalar_ref.parties.wire import Letter, Wire
from superscalar_ref.protocol import client as client_rules
from superscalar_ref.protocol import factory as factory_rules
from superscalar_ref.protocol import session as session_rules
from superscalar_ref.protocol import stock as stock_rules
from superscalar_ref.protocol.blueprint import Channel, Economy, LeafContents, Locks
from superscalar_ref.protocol.client import Limits
from superscalar_ref.protocol.shape import Shape, Tree, grow, stock_groups
from superscalar_ref.signing.keys import Randomness, SecretKey
from superscalar_ref.signing.nonces import SeededRandomness

LSP = "L"
BALANCE = 20_000
"""Promised to each client (sat)."""
INBOUND = 30_000
"""The LSP's side of each channel (sat)."""
STOCK = 40_000
"""Each stock output (sat)."""
COIN = 100_000_000
"""The LSP's coin (sat)."""
ECONOMY = Economy(feerate=1, anchor=240, dust=330)
LOCKS = Locks(step=2, states=3, to_self_delay=3, end=200, stock_lock_blocks=4)
"""Small, so that a chain on which they run out stays short."""
LIMITS = Limits(ceiling=100, margin=5, life=60, depth=3, reaction=1)
BINARY = Shape.of([2])


def secret(label: str) -> SecretKey:
    """A key of the tests, from a label."""
    return SecretKey(hashlib.sha256(label.encode()).digest())


def payout(name: str) -> bytes:
    """Where a party's money goes."""
    return p2tr_from_internal(secret(f"payout of {name}").x_only)


def identity(name: str) -> Identity:
    """A party's seed."""
    return Identity(name, hashlib.sha256(f"seed of {name}".encode()).digest())


WALLET_KEY = secret("wallet of the LSP")

RULES = {
    "client": client_rules.RULES,
    "factory": factory_rules.RULES,
    "session": session_rules.RULES,
    "stock": stock_rules.RULES,
}


def forget(actor: Actor, machine: str, *guards: str) -> None:
    """Let ``actor`` forget these guards of one of its tables."""
    table = getattr(actor.tables, machine).table
    rows = tuple(
        replace(row, guards=tuple(name for name in row.guards if name not in guards)) for row in table.transitions
    )
    bound = bind(replace(table, transitions=rows), RULES[machine])
    actor.tables = replace(actor.tables, **{machine: bound})


WALLET_SCRIPT = p2tr_from_internal(WALLET_KEY.x_only)
"""What the LSP's coin is locked by: a chain that is to hold the factory starts with such an output."""


def coin(txid: str = "11" * 32, index: int = 0, amount: int = COIN) -> m.CoinForm:
    """A coin of the LSP's wallet (sat)."""
    return m.CoinForm(txid, index, amount, WALLET_SCRIPT.hex())


def contents_of(tree: Tree, stock: int = STOCK) -> dict[str, LeafContents]:
    """Every leaf's contents: the same channel for each client, the same stock for each group (sat)."""
    return {
        leaf.path: LeafContents(
            tuple(Channel(client, BALANCE, INBOUND) for client in leaf.clients),
            (stock,) * len(stock_groups(leaf, tree.shape.leaf_k)),
        )
        for leaf in tree.leaves()
    }


@dataclass
class TapedWire(Wire):
    """A wire that keeps every letter that was ever posted."""

    tape: list[Letter] = field(default_factory=list)

    def post(self, sender: str, outbox: Outbox) -> None:
        self.tape.extend(Letter(sender, to, raw) for to, raw in outbox.messages)
        super().post(sender, outbox)

    def nonces(self) -> Counter[tuple[str, str]]:
        """How often each (signer, public nonce) was sent."""
        sent: Counter[tuple[str, str]] = Counter()
        for letter in self.tape:
            if letter.to in self.towers or letter.sender in self.towers:
                continue
            message = m.decode(letter.raw, letter.sender)
            if isinstance(message, m.Nonces):
                sent.update((letter.sender, nonce) for nonce in message.nonces.values())
        return sent


@dataclass
class Scene:
    """One LSP, its clients, the wire between them."""

    offer: Offer
    coins: tuple[m.CoinForm, ...]
    open_store: Callable[[str], Store]
    limits: Limits = LIMITS
    randomness: Callable[[str], Randomness] = SeededRandomness
    towers: Mapping[str, Tower] = field(default_factory=dict)
    """Watchtowers; each client has all of them."""
    lives: Counter[str] = field(default_factory=Counter)
    actors: dict[str, Actor] = field(default_factory=dict)
    wire: TapedWire = field(init=False)

    def __post_init__(self) -> None:
        self.wire = TapedWire(self.actors, self.towers)
        for name in (LSP, *self.offer.balances):
            self.start(name)

    @property
    def lsp(self) -> LspActor:
        """The LSP as it lives now."""
        actor = self.actors[LSP]
        assert isinstance(actor, LspActor)
        return actor

    @property
    def clients(self) -> dict[str, ClientActor]:
        """The clients as they live now."""
        return {name: actor for name, actor in self.actors.items() if isinstance(actor, ClientActor)}

    @property
    def tree(self) -> Tree:
        """The tree of the factory."""
        return self.lsp.tree

    def start(self, name: str) -> Actor:
        """A party from its store: new, or as it was. Each of its lives has its own randomness."""
        self.lives[name] += 1
        randomness = self.randomness(f"{name}, life {self.lives[name]}")
        store = self.open_store(name)
        if name == LSP:
            wallet = Wallet(WALLET_KEY, self.coins)
            self.actors[name] = LspActor(identity(name), store, wallet, payout(name), self.offer, randomness)
        else:
            towers = tuple(self.towers)
            self.actors[name] = ClientActor(
                identity(name), LSP, store, payout(name), self.limits, randomness, towers=towers
            )
        return self.actors[name]

    def restart(self, name: str) -> Actor:
        """Give a party up, with all that it has only in memory, and start it again from its store."""
        store = self.actors.pop(name).store
        if store.path == MEMORY:
            store.rollback()
        else:
            store.close()
        return self.start(name)

    # -- a life --------------------------------------------------------------------------------------------------------

    def ceremony(self) -> Scene:
        """Everything up to a signed factory."""
        self.wire.post(LSP, self.lsp.invite())
        self.wire.run()
        return self

    def fund(self, height: int = 120) -> Scene:
        """The funding transaction is broadcast, and deep enough at ``height`` for everyone."""
        self.wire.post(LSP, self.lsp.fund())
        return self.confirm(height)

    def confirm(self, height: int = 120) -> Scene:
        """Whoever waits for the funding transaction sees it deep enough."""
        for name, actor in self.actors.items():
            event = Event.of("funding_confirmed", "chain", depth=self.limits.depth, height=height)
            if actor.party.life.status in ("funded", "holding"):
                actor.outbox = Outbox()
                actor.live(event)
                self.wire.post(name, actor.outbox)
        return self

    def update(self, node: str, contents: Mapping[str, LeafContents] | None = None) -> Scene:
        """A new version of ``node``, to its end."""
        self.wire.post(LSP, self.lsp.update(node, contents or {}))
        self.wire.run()
        return self

    def close(self) -> Scene:
        """A cooperative close, to its end."""
        self.wire.post(LSP, self.lsp.close())
        self.wire.run()
        return self

    def settle(self, *statuses: str, rounds: int = 8) -> Scene:
        """Let the LSP try again, round after round, until its state is one of ``statuses``."""
        self.wire.run()
        for _ in range(rounds):
            if self.lsp.life.status in statuses:
                return self
            self.wire.post(LSP, self.lsp.retry())
            self.wire.run()
        assert self.lsp.life.status in statuses, (self.lsp.life.status, self.statuses(), self.wire.alerts[-5:])
        return self

    def go_on(self) -> bool:
        """With nothing on its way: the LSP's next step in a life of ceremony, one update, close. False at the end."""
        match self.lsp.life.status:
            case "gathering":
                self.wire.post(LSP, self.lsp.invite())
            case "signed":
                self.fund()
                self.wire.post(LSP, self.lsp.update(self.tree.leaves()[0].path, {}))
            case "active":
                self.wire.post(LSP, self.lsp.close())
            case _:
                return False
        return True

    def statuses(self) -> dict[str, str]:
        """Every party's state."""
        return {name: actor.party.life.status for name, actor in self.actors.items()}

    def channel(self, client: str, to_client: int, to_lsp: int, stock: int = STOCK) -> dict[str, LeafContents]:
        """New contents for the leaf of ``client`` alone, which must have a leaf of its own (sat)."""
        leaf = self.tree.leaf_of(client)
        assert leaf.clients == (client,)
        return {leaf.path: LeafContents((Channel(client, to_client, to_lsp),), (stock,))}


def scene(
    clients: int | Sequence[str] = 2,
    *,
    shape: Shape = BINARY,
    directory: Path | None = None,
    locks: Locks = LOCKS,
    economy: Economy = ECONOMY,
    limits: Limits = LIMITS,
    coins: tuple[m.CoinForm, ...] | None = None,
    open_store: Callable[[str], Store] | None = None,
    towers: Mapping[str, Tower] | None = None,
) -> Scene:
    """A scene in which nothing was said yet: clients ``c0``, ``c1`` … with stores in ``directory``, or in memory."""
    names = tuple(f"c{number}" for number in range(clients)) if isinstance(clients, int) else tuple(clients)
    tree = grow(shape, names)
    offer = Offer(
        "factory",
        shape,
        dict.fromkeys(names, BALANCE),
        contents_of(tree),
        economy,
        locks,
        transaction_version=3,
        depth=limits.depth,
        active_blocks=30,
    )
    return Scene(offer, coins or (coin(),), open_store or stores(directory), limits, towers=towers or {})


class QuickStore(Store):
    """A store that a lost process survives, but not a lost machine: no test pulls the plug."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._connection.execute("PRAGMA synchronous = OFF")


def stores(directory: Path | None = None) -> Callable[[str], Store]:
    """Opens each party's store: a file of its name, or one in memory that outlives the party."""
    kept: dict[str, Store] = {}

    def open_store(name: str) -> Store:
        if directory is not None:
            return QuickStore(directory / f"{name}.sqlite")
        return kept.setdefault(name, Store())

    return open_store


def snapshot(actor: Actor) -> tuple[object, ...]:
    """All that a party knows, in memory and in its store: equal snapshots, equal parties."""
    own = ("label", "digest", "counted", "joins", "points", "counted_versions")
    return (
        actor.party,
        None if actor.archive is None else actor.archive.record,
        dict(actor.signatures),
        actor.commitment_secrets,
        *(getattr(actor, name, None) for name in own),
        *actor.store._connection.iterdump(),
    )


def check_consistent(play: Scene) -> None:
    """What must hold of every party at rest: one message for each spend, and a kit that is complete and valid."""
    assert not play.wire.nonces() or max(play.wire.nonces().values()) == 1, "a public nonce was sent twice"
    for name, actor in play.actors.items():
        records = actor.store.records()
        spends = Counter((outpoint, slot) for outpoint, slot, _ in records)
        assert max(spends.values(), default=1) == 1, f"{name} recorded two messages for one spend"
        assert records == actor.party.signer.records, f"{name} remembers other records than its store"
        assert actor.signatures == actor.store.signatures(), f"{name} remembers other signatures than its store"
        assert actor.held == frozenset(actor.signatures)
        for signed, signature in actor.signatures.items():
            assert actor.room.signature_verifies(signed, signature)
    for client in play.clients.values():
        if client.life.version:
            assert client.life.kit <= client.held
