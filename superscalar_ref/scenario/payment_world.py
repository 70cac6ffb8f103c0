"""Two factories of one LSP, a client in each, and payments from the one client to the other through the LSP.

Laws of this module:

* A party is a process: it has its stores, which survive, and everything else, which a crash takes. The LSP of both
  factories and what it passes on between them are one process.
* Each letter is delivered by itself, in the order in which it was sent in its factory; a wire can be cut, and then
  whatever is on it is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial

from superscalar_ref.bitcoin.transaction import Transaction
from superscalar_ref.chain.kernel import KernelLedger
from superscalar_ref.parties.actor import Actor, Identity, Outbox
from superscalar_ref.parties.channel_actor import Answer, ChannelActor, no_answer
from superscalar_ref.parties.channel_desk import ChannelDesk
from superscalar_ref.parties.channel_relay import Relay, Route
from superscalar_ref.parties.channel_watch import ChannelWatcher
from superscalar_ref.parties.client import ClientActor
from superscalar_ref.parties.lsp import LspActor, Offer, Wallet
from superscalar_ref.parties.store import MEMORY, Store
from superscalar_ref.parties.watch import txid_bytes
from superscalar_ref.parties.wire import Letter, Wire
from superscalar_ref.protocol.htlc_limits import HtlcLimits
from superscalar_ref.scenario.settings import short_plan
from superscalar_ref.scenario.town import LSP, Plan, Town, build_town, payout_script, seed

PAYER, PAYEE = "f0c0", "f1c0"
"""The client of the first factory, and that of the second."""
CLIENTS = (PAYER, PAYEE)
FEE_MSAT = 1_001
"""What the LSP asks for passing a payment on."""
DEPTH = 2
"""Confirmations after which a side takes something for final."""
MARGIN, CUTOFF = 5, 20
"""Blocks: see ``HtlcLimits``."""
Place = tuple[int, str]
"""A factory's number, or -1 for what the LSP passes on between them; and whose store it is."""
RELAY: Place = (-1, LSP)
_MOST = 2_000
"""Letters after which a wire that is not at rest never will be."""


@dataclass
class Home:
    """One factory as it lives now."""

    client: str
    actors: dict[str, Actor]
    wire: Wire
    desks: dict[str, ChannelDesk] = field(default_factory=dict)
    watchers: dict[str, ChannelWatcher] = field(default_factory=dict)
    cut: bool = False
    """Whether nothing that is sent arrives."""

    @property
    def lsp(self) -> LspActor:
        """The LSP."""
        actor = self.actors[LSP]
        assert isinstance(actor, LspActor)
        return actor

    @property
    def member(self) -> ClientActor:
        """The client."""
        actor = self.actors[self.client]
        assert isinstance(actor, ClientActor)
        return actor

    def side(self, name: str) -> ChannelActor:
        """A party's side of the channel."""
        return self.desks[name].sides[self.client]

    @property
    def sides(self) -> tuple[ChannelActor, ChannelActor]:
        """The client's side, and the LSP's."""
        return self.side(self.client), self.side(LSP)

    def post(self, name: str, outbox: Outbox) -> None:
        """Send what a party gave, unless the wire is cut."""
        if not self.cut:
            self.wire.post(name, outbox)

    def act(self, name: str, step: Callable[[ChannelActor], Outbox]) -> None:
        """An own step of a party in the channel. Raises as the step does."""
        self.post(name, self.desks[name].act(self.client, step))


class World:
    """Both factories, the LSP between them, and the chain."""

    def __init__(
        self,
        plan: Plan,
        ledger: KernelLedger,
        offers: tuple[Offer, ...],
        wallets: tuple[Wallet, ...],
        stores: Mapping[Place, Store],
    ) -> None:
        """Everybody starts from what is in the stores, and is connected to nobody."""
        self.plan = plan
        self.ledger = ledger
        self.offers = offers
        self.wallets = wallets
        self.stores = dict(stores)
        self.answers: dict[str, Answer] = dict.fromkeys(CLIENTS, no_answer)
        self.routes: dict[str, Route] = {}
        """What an onion would tell the LSP: it survives with the payer."""
        self.homes = tuple(self._home(number) for number in range(len(CLIENTS)))
        for name in (LSP, *CLIENTS):
            self.take_up(name)

    @staticmethod
    def _home(number: int) -> Home:
        actors: dict[str, Actor] = {}
        return Home(CLIENTS[number], actors, Wire(actors))

    @classmethod
    def found(cls, plan: Plan | None = None) -> World:
        """Two factories, signed, funded, and deep enough; both channels are live."""
        plan = replace(short_plan(1, len(CLIENTS)), reserve_every=0) if plan is None else plan
        town: Town = build_town(plan)
        stores: dict[Place, Store] = {RELAY: Store()}
        for factory in town.factories:
            stores[factory.number, LSP] = factory.lsp.store
            stores[factory.number, CLIENTS[factory.number]] = factory.clients[CLIENTS[factory.number]].store
        lsps = [factory.lsp for factory in town.factories]
        offers = tuple(lsp.offer for lsp in lsps)
        return cls(plan, town.ledger, offers, tuple(lsp.wallet for lsp in lsps), stores).connect()

    def branch(self, store_of: Callable[[Store, Place], Store] | None = None, *, chain: bool = True) -> World:
        """The same once more, with stores and a chain of its own; everybody restarts, and is connected again.

        ``store_of`` makes each store's copy: in memory unless it says otherwise. Without ``chain`` the branch looks at
        this chain, and must leave it as it is.
        """
        copied = store_of or (lambda store, place: store.twin())
        stores = {place: copied(store, place) for place, store in self.stores.items()}
        ledger = self.ledger.fork() if chain else self.ledger
        return World(self.plan, ledger, self.offers, self.wallets, stores).connect()

    # -- processes -----------------------------------------------------------------------------------------------------

    def take_up(self, name: str) -> None:
        """Start a party from its stores."""
        for number, home in enumerate(self.homes):
            if name not in (LSP, home.client):
                continue
            actor = home.actors[name] = self._actor(number, name)
            actor.height = self.ledger.height
            desk = home.desks[name] = ChannelDesk(actor, partial(_limits, actor), depth=DEPTH)
            side = desk.open(home.client)
            side.answer = self.answers.get(name, no_answer)
            home.watchers[name] = ChannelWatcher(side, self.ledger)
        if name == LSP:
            self.relay = Relay(self.stores[RELAY], FEE_MSAT)
            self.relay.routes = self.routes
            for home in self.homes:
                self.relay.join(home.side(LSP))

    def _actor(self, number: int, name: str) -> Actor:
        identity, store = Identity(name, seed(name), number), self.stores[number, name]
        if name == LSP:
            return LspActor(identity, store, self.wallets[number], payout_script(name), self.offers[number])
        return ClientActor(identity, LSP, store, payout_script(name), self.plan.limits)

    def crash(self, name: str) -> None:
        """A party dies with all that it has only in memory, and starts again from its stores."""
        for place, store in self.stores.items():
            if place[1] == name:
                if store.path == MEMORY:
                    store.rollback()
                else:
                    store.close()
                    self.stores[place] = type(store)(store.path)
        self.take_up(name)

    def on_answer(self, name: str, answer: Answer) -> None:
        """What a client does with payments to it, in this life and the next ones."""
        self.answers[name] = answer
        for home in self.homes:
            if home.client == name:
                home.side(name).answer = answer

    # -- messages ------------------------------------------------------------------------------------------------------

    @cached_property
    def _by_channel(self) -> dict[str, Home]:
        return {home.side(LSP).terms.name: home for home in self.homes}

    def connect(self, *names: str) -> World:
        """Each client, or each of those named, begins a connection where no wire is cut; then everything arrives."""
        for home in self.homes:
            for name in names or (home.client,):
                if name in home.desks:
                    home.post(name, home.desks[name].connect())
        return self.run()

    def flush(self) -> None:
        """Send what the LSP says in one channel because of the other."""
        for name, outbox in self.relay.flush().items():
            self._by_channel[name].post(LSP, outbox)

    def next_letter(self) -> tuple[Home, Letter] | None:
        """The letter that arrives next, taken off its wire; None when nothing is on its way."""
        for home in self.homes:
            if home.cut:
                home.wire.letters.clear()
            elif home.wire.letters:
                return home, home.wire.letters.popleft()
        return None

    def deliver(self, home: Home, letter: Letter) -> None:
        """Hand a letter over, and send what it gives in either factory."""
        home.wire.deliver(letter)
        self.flush()

    def run(self, most: int = _MOST) -> World:
        """Deliver until nothing is on its way, or so many letters."""
        self.flush()
        for _ in range(most):
            found = self.next_letter()
            if found is None:
                break
            self.deliver(*found)
        return self

    def settle(self, rounds: int = 6) -> World:
        """Whoever waits for something tries again, until nothing is under way."""
        self.run()
        for _ in range(rounds):
            for home in self.homes:
                for name, desk in home.desks.items():
                    home.post(name, desk.retry())
                    self.run()
        return self

    # -- payments ------------------------------------------------------------------------------------------------------

    def expiry(self) -> int:
        """The earliest expiry (height) of a payment to the payee."""
        return self.homes[1].side(LSP).limits.earliest(self.ledger.height)

    def pay(self, amount_msat: int, payment_hash: str) -> None:
        """The payer offers a payment to the payee through the LSP; nothing is delivered yet."""
        first, second = self.homes
        mine, expiry = first.side(PAYER), self.expiry()
        self.routes[payment_hash] = Route(second.side(LSP).terms.name, amount_msat, expiry)
        incoming = expiry + mine.limits.forward_delta
        first.act(PAYER, lambda side: side.offer(amount_msat + FEE_MSAT, payment_hash, incoming))

    # -- the chain -----------------------------------------------------------------------------------------------------

    def confirmed(self, transaction: Transaction) -> bool:
        """Whether it is in the chain."""
        return self.ledger.confirmation_height(txid_bytes(transaction.txid)) is not None

    def mine(self, wanted: Iterable[tuple[str, Transaction]]) -> list[tuple[str, Transaction]]:
        """One block of what Core's code takes of these now, in their order; everybody sees it. Returns its contents."""
        taken: list[tuple[str, Transaction]] = []
        txids: set[str] = set()
        for what, one in wanted:
            if one.txid in txids or self.confirmed(one):
                continue
            if self.ledger.would_accept([*(other.serialized for _, other in taken), one.serialized]).accepted:
                taken.append((what, one))
                txids.add(one.txid)
        self.ledger.mine([one.serialized for _, one in taken])
        for home in self.homes:
            for actor in home.actors.values():
                actor.height = self.ledger.height
            for name, watcher in home.watchers.items():
                home.side(name).height = self.ledger.height
                for _, one in taken:
                    watcher.feed(one)
        return taken

    def paid(self, name: str) -> int:
        """What a party has at rest (sat)."""
        script = payout_script(name)
        return sum(one.output.amount for one in self.ledger.unspent().values() if one.output.script == script)


def _limits(actor: Actor, client: str) -> HtlcLimits:
    terms = actor.factory.terms
    return HtlcLimits(terms.exit_blocks(client), MARGIN, terms.locks.end, CUTOFF)
