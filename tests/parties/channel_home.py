"""A factory on Bitcoin Core's code whose clients' channels live, and move with every new version of their leaf."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from superscalar_ref.bitcoin.transaction import Transaction
from superscalar_ref.chain.interface import TxOut
from superscalar_ref.chain.kernel import KernelLedger
from superscalar_ref.parties.actor import Actor, Outbox
from superscalar_ref.parties.channel_actor import ChannelActor
from superscalar_ref.parties.channel_desk import ChannelDesk
from superscalar_ref.parties.channel_watch import ChannelWatcher
from superscalar_ref.parties.store import Store
from superscalar_ref.parties.tower import Tower
from superscalar_ref.parties.watch import txid_bytes
from superscalar_ref.protocol.channel import Htlc
from superscalar_ref.protocol.htlc_limits import HtlcLimits
from tests.parties.channel_chain import OVER, Chain
from tests.parties.channel_scene import hashed, preimage
from tests.parties.scene import COIN, LSP, WALLET_SCRIPT, Scene, coin, payout, scene

DEPTH = 2
CLOSE_FEE = 150


def claims(htlc: Htlc) -> bytes | str | None:
    """A payee that claims odd payments at once, and is silent about even ones."""
    table = {hashed(number): preimage(number) for number in range(1, 40, 2)}
    return table.get(htlc.payment_hash)


@dataclass
class Home:
    """One factory, the chain that it is on, and a channel for each of some clients."""

    ledger: KernelLedger
    scene: Scene
    living: tuple[str, ...]
    change: int = 0
    desks: dict[str, ChannelDesk] = field(default_factory=dict)
    paid: int = 0

    @classmethod
    def start(
        cls,
        clients: tuple[str, ...] = ("ann", "bob"),
        living: tuple[str, ...] = ("ann",),
        towers: Mapping[str, Tower] | None = None,
    ) -> Home:
        ledger = KernelLedger.start([TxOut(COIN, WALLET_SCRIPT)])
        (point,) = ledger.funds
        coins = (coin(point.txid[::-1].hex(), point.index),)
        made = scene(clients, coins=coins, towers=towers).ceremony().fund(ledger.height)
        ledger.mine([one.serialized for one in made.wire.broadcasts])
        made.wire.broadcasts.clear()
        home = cls(ledger, made, living)
        home.change = home.rest(LSP)
        for name in (LSP, *living):
            home.take_up(name)
        for client in living:
            home.post(client, home.desks[client].connect())
        home.scene.wire.run()
        return home

    def take_up(self, name: str) -> None:
        """Open, or take up again, the channels of a party."""
        actor = self.scene.actors[name]
        actor.height = self.ledger.height

        def limits(client: str) -> HtlcLimits:
            terms = actor.factory.terms
            return HtlcLimits(terms.exit_blocks(client), 5, terms.locks.end, 20)

        desk = self.desks[name] = ChannelDesk(actor, limits, depth=DEPTH, close_fee_sat=CLOSE_FEE)
        for client in self.living if name == LSP else (name,):
            desk.open(client).answer = claims

    def crash(self, name: str) -> Actor:
        """A party dies with all that it has only in memory, and starts again from its store."""
        actor = self.scene.restart(name)
        self.take_up(name)
        return actor

    def post(self, name: str, outbox: Outbox) -> None:
        self.scene.wire.post(name, outbox)

    def side(self, name: str, client: str = "ann") -> ChannelActor:
        return self.desks[name].sides[client]

    def sides(self, client: str = "ann") -> tuple[ChannelActor, ChannelActor]:
        """The client's, and the LSP's."""
        return self.side(client, client), self.side(LSP, client)

    def act(self, name: str, step: Callable[[ChannelActor], Outbox], client: str = "ann") -> Home:
        """An own step of a party in a channel, and everything that follows."""
        self.post(name, self.desks[name].act(client, step))
        self.scene.wire.run()
        return self

    def pay(self, payer: str, amount_msat: int, client: str = "ann", *, claimed: bool = True) -> Home:
        """A payment over one channel, claimed at once or left in flight."""
        self.paid += 1
        number = 2 * self.paid - claimed
        return self.act(payer, lambda side: side.offer(amount_msat, hashed(number), side.limits.latest()), client)

    def update(self, node: str) -> Home:
        """A new version of a node, with every channel below it, to its end."""
        self.scene.update(node)
        return self

    def leaf(self, client: str = "ann") -> str:
        return self.scene.tree.leaf_of(client).path

    def settle(self, rounds: int = 6) -> Home:
        """Let everybody try again until nothing is under way."""
        self.scene.wire.run()
        for _ in range(rounds):
            for name, desk in self.desks.items():
                self.post(name, desk.retry())
                self.scene.wire.run()
            self.post(LSP, self.scene.lsp.retry())
            self.scene.wire.run()
        return self

    # -- on chain ------------------------------------------------------------------------------------------------------

    def rest(self, name: str) -> int:
        """What a party has at rest, beside the LSP's change (sat)."""
        return Chain(self.ledger).paid(payout(name)) - (self.change if name == LSP else 0)

    def exit(self, by: Actor, label: str, client: str = "ann") -> None:
        """Bring a client's leaf on chain as a version has it, each transaction as soon as its lock allows."""
        for name in by.factory.blueprints[label].path(client):
            if self.ledger.confirmation_height(txid_bytes(by.factory.realised[name].txid)) is not None:
                continue
            lock = by.factory.templates[name].spends[0].relative_lock or 0
            if lock > 1:
                self.ledger.advance(lock - 1)
            self.ledger.mine([by.complete_transaction(name).serialized])

    def watchers(self, client: str = "ann", names: Iterable[str] = ()) -> Chain:
        chain = Chain(self.ledger)
        for name in names or (client, LSP):
            chain.watchers[name] = ChannelWatcher(self.side(name, client), self.ledger)
        return chain

    def finish(self, chain: Chain, *names: str, client: str = "ann") -> None:
        """Block after block, until the channel is over for these parties."""
        for _ in range(80):
            chain.round(list(chain.watchers))
            if all(self.side(name, client).channel.status in OVER for name in names or (client, LSP)):
                return
        raise AssertionError([self.side(name, client).channel for name in names or (client, LSP)])


def snapshot(store: Store) -> Store:
    """A copy of a store as it is now: what a thief, or an old backup, holds later."""
    copy = Store()
    store._connection.backup(copy._connection)
    return copy


def acceptable(ledger: KernelLedger, transaction: Transaction) -> bool:
    """Whether Core's code would take it now."""
    return ledger.would_accept([transaction.serialized]).accepted
