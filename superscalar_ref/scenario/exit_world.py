"""One factory on a chain, a client that leaves it by an assisted exit, and siblings that stay.

Laws of this module:

* A party is a process: it has its store, which survives, and everything else, which a crash takes.
* A *step* is one letter delivered, or, when nothing is on its way, one block. Who has stopped takes no letter, sends
  none, sees no block and publishes nothing.
* Whoever cannot wait any longer brings its leaf on chain by itself; nothing else is decided here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from superscalar_ref.bitcoin.transaction import Transaction
from superscalar_ref.chain.kernel import KernelLedger
from superscalar_ref.parties import messages as m
from superscalar_ref.parties.actor import Actor, Identity, Outbox
from superscalar_ref.parties.channel_actor import ChannelActor
from superscalar_ref.parties.channel_watch import COMMITMENT, ChannelWatcher
from superscalar_ref.parties.client import ClientActor
from superscalar_ref.parties.departed import DepartedSigner
from superscalar_ref.parties.handover import OVER, ClientHandover, Handover, LspHandover, Times
from superscalar_ref.parties.handover_desk import HandoverDesk
from superscalar_ref.parties.lsp import LspActor, Offer, Wallet
from superscalar_ref.parties.store import MEMORY, Store
from superscalar_ref.parties.watch import Watcher, txid_bytes
from superscalar_ref.parties.wire import Wire
from superscalar_ref.protocol.htlc_limits import HtlcLimits
from superscalar_ref.scenario.settings import short_plan
from superscalar_ref.scenario.story import CHAIN, Line
from superscalar_ref.scenario.town import LSP, Plan, payout_script, seed, sign_town, wallet_key, wallet_script

LEAVER = "f0c0"
"""The client that leaves."""
FEE_SAT = 500
"""What the LSP asks for an assisted exit."""
MINING_FEE_SAT = 300
MARGIN, CUTOFF = 5, 20
"""Blocks: see ``HtlcLimits``."""
END = 200
_OVER = ("swept", "penalised", "closed")


def exit_plan(clients: int = 1) -> Plan:
    """Short locks, and a life that is long enough for both time limits of an exit."""
    plan = replace(short_plan(clients), reserve_every=0)
    return replace(plan, locks=replace(plan.locks, end=END))


@dataclass
class Cast:
    """Who plays, as they live now."""

    actors: dict[str, Actor] = field(default_factory=dict)
    desks: dict[str, HandoverDesk] = field(default_factory=dict)
    watchers: dict[str, list[ChannelWatcher]] = field(default_factory=dict)


class ExitWorld:
    """The factory, its parties and the chain."""

    def __init__(
        self, plan: Plan, ledger: KernelLedger, offer: Offer, wallet: Wallet, coin: m.CoinForm, stores: dict[str, Store]
    ) -> None:
        """Everybody starts from what is in the stores, and is connected to nobody.

        ``coin``, beside the factory's, is what the LSP pays with.
        """
        self.plan = plan
        self.ledger = ledger
        self.offer = offer
        self.wallet = wallet
        self.coin = coin
        self.stores = stores
        self.times = Times(depth=plan.limits.depth)
        self.cast = Cast()
        self.wire = Wire(self.cast.actors)
        self.stopped: set[str] = set()
        self.stand_ins: dict[str, DepartedSigner] = {}
        self._names: dict[str, str] = {}
        """Txid → what the story calls it."""
        self.paths: dict[str, list[tuple[str, Transaction]]] = {}
        """Who brings the leaver's leaf on chain, and with what."""
        self.story: list[Line] = []
        self._published: list[tuple[str, Transaction]] = []
        for name in stores:
            self.take_up(name)

    @classmethod
    def found(cls, plan: Plan | None = None) -> ExitWorld:
        """A factory, signed, funded, and deep enough; all channels are live. The LSP has a coin for the exit."""
        plan = exit_plan() if plan is None else plan
        # The coin is that of a second factory, which is never funded.
        town = sign_town(replace(plan, factories=2))
        first, second = town.factories
        town.ledger.mine([first.lsp.fund().broadcasts[-1].serialized])
        town.ledger.advance(plan.limits.depth - 1)
        for actor in (first.lsp, *first.clients.values()):
            Watcher(actor, town.ledger).look()
        stores = {LSP: first.lsp.store, **{name: client.store for name, client in first.clients.items()}}
        world = cls(plan, town.ledger, first.lsp.offer, first.lsp.wallet, second.lsp.wallet.coins[0], stores)
        return world.connect()

    def branch(self, folder: object = None) -> ExitWorld:
        """The same once more, with stores (in ``folder`` or in memory) and a chain of its own; everybody restarts."""
        stores = {
            name: store.twin(MEMORY if folder is None else f"{folder}/{name}.sqlite")
            for name, store in self.stores.items()
        }
        world = ExitWorld(self.plan, self.ledger.fork(), self.offer, self.wallet, self.coin, stores)
        return world.connect()

    # -- processes -----------------------------------------------------------------------------------------------------

    @property
    def clients(self) -> tuple[str, ...]:
        """All clients of the factory."""
        return tuple(name for name in self.stores if name != LSP)

    def take_up(self, name: str) -> None:
        """Start a party from its store."""
        store = self.stores[name]
        actor: Actor
        if name == LSP:
            actor = LspActor(Identity(name, seed(name), 0), store, self.wallet, payout_script(name), self.offer)
        else:
            actor = ClientActor(Identity(name, seed(name), 0), LSP, store, payout_script(name), self.plan.limits)
        actor.height = self.ledger.height
        self.cast.actors[name] = actor
        desk = self.cast.desks[name] = HandoverDesk(actor, lambda client: self._limits(actor, client), depth=2)
        self.cast.watchers[name] = []
        for client in self.clients if name == LSP else (name,):
            side = desk.open(client)
            self.cast.watchers[name].append(ChannelWatcher(side, self.ledger))
            if client == LEAVER:
                desk.attach(client, self._handover(side, actor))
        for _, one in self._published:
            self._feed(name, one)

    def _handover(self, side: ChannelActor, actor: Actor) -> Handover:
        if side.name != LSP:
            return ClientHandover(side, actor.store, self.times, actor.key, payout_script(side.name))
        coin, change = self.coin, wallet_script(LSP)
        return LspHandover(side, actor.store, self.times, wallet_key(LSP), coin, change, FEE_SAT, MINING_FEE_SAT)

    @staticmethod
    def _limits(actor: Actor, client: str) -> HtlcLimits:
        terms = actor.factory.terms
        return HtlcLimits(terms.exit_blocks(client), MARGIN, terms.locks.end, CUTOFF)

    def crash(self, name: str) -> None:
        """A party dies with all that it has only in memory, and starts again from its store."""
        store = self.stores[name]
        if store.path == MEMORY:
            store.rollback()
        else:
            store.close()
            self.stores[name] = Store(store.path)
        self.take_up(name)
        self.connect(LEAVER if name == LSP else name)

    def stop(self, name: str) -> None:
        """A party does nothing any more; what is on its way to it is lost."""
        self.stopped.add(name)
        self.tell("does nothing any more", name)

    def wake(self, name: str) -> None:
        """A party that had stopped goes on."""
        self.stopped.discard(name)
        self.tell("is back", name)
        self.connect(LEAVER if name == LSP else name)

    def depart(self) -> DepartedSigner:
        """From here on the LSP plays the leaver's part in ceremonies, with the key that it has learned."""
        exit_, lsp = self.exit_of(LSP), self.lsp
        assert isinstance(exit_, LspHandover)
        key = exit_.factory_key()
        assert key is not None, "the exit is over"
        stand_in = DepartedSigner(LEAVER, lsp, key)
        self.stand_ins[LEAVER] = stand_in
        self.stopped.add(LEAVER)
        self.tell(f"has {LEAVER}'s factory key, and signs for it from here on", LSP)
        return stand_in

    @property
    def lsp(self) -> LspActor:
        """The LSP."""
        actor = self.cast.actors[LSP]
        assert isinstance(actor, LspActor)
        return actor

    def close(self) -> Transaction:
        """One transaction from the funding output to everybody, signed by all, or by the LSP for who has left."""
        for name in (LSP, *self.clients):
            if name not in self.stopped:
                self.post(name, self.cast.desks[name].rest())
        self.run()
        self.post(LSP, self.lsp.close())
        self.run()
        _, made = self._published[-1]
        self.tell("one transaction closes the factory; all have signed it", LSP, CHAIN)
        return made

    # -- what they do --------------------------------------------------------------------------------------------------

    def exit_of(self, name: str) -> Handover:
        """A party's part of the leaver's exit."""
        return self.cast.desks[name].exits[LEAVER]

    def side(self, name: str, client: str = LEAVER) -> ChannelActor:
        """A party's side of a client's channel."""
        return self.cast.desks[name].sides[client]

    def connect(self, *names: str) -> ExitWorld:
        """Clients, or those named, begin a connection; then everything arrives."""
        for name in names or self.clients:
            if name not in self.stopped:
                self.post(name, self.cast.desks[name].connect())
        return self.run()

    def ask(self) -> None:
        """The leaver asks for its exit; nothing is delivered yet."""
        self.tell("asks to be paid on chain for what it has in its channel", LEAVER, LSP)
        self.post(LEAVER, self.cast.desks[LEAVER].ask_exit(LEAVER, FEE_SAT))

    def run(self) -> ExitWorld:
        """Deliver until nothing is on its way."""
        while self.deliver():
            pass
        return self

    def deliver(self) -> bool:
        """Deliver one letter; False when none is on its way."""
        while self.wire.letters:
            letter = self.wire.letters.popleft()
            stand_in = self.stand_ins.get(letter.to)
            if stand_in is not None:
                self.wire.post(letter.to, stand_in.receive(letter.sender, letter.raw))
                return True
            if not self.stopped & {letter.sender, letter.to} or letter.sender in self.stand_ins:
                self.post(letter.to, self.cast.actors[letter.to].receive(letter.sender, letter.raw))
                return True
        return False

    def post(self, name: str, outbox: Outbox) -> None:
        """Send and publish what a party gave, unless it has stopped."""
        if name in self.stopped:
            return
        self._publish(name, outbox.broadcasts)
        self.wire.post(name, replace(outbox, broadcasts=[]))
        outbox.broadcasts = []

    def _publish(self, name: str, transactions: Iterable[Transaction]) -> None:
        known = {one.txid for _, one in self._published}
        self._published += [(name, one) for one in transactions if one.txid not in known]

    def tell(self, says: str, by: str = "", to: str = "") -> None:
        """A line of the story, at the present height."""
        self.story.append(Line(self.ledger.height, by, to, says))

    # -- the chain -----------------------------------------------------------------------------------------------------

    def confirmed(self, transaction: Transaction) -> bool:
        """Whether it is in the chain."""
        return self.ledger.confirmation_height(txid_bytes(transaction.txid)) is not None

    def step(self) -> None:
        """One letter, or else one block."""
        if not self.deliver():
            self.block()

    def block(self) -> list[Transaction]:
        """Everybody who is there looks and publishes; one block holds what Core's code takes of it."""
        for name in self.cast.actors:
            if name not in self.stopped:
                self._look(name)
        taken: list[Transaction] = []
        for name, one in self._wanted():
            fresh = one.txid not in {other.txid for other in taken} and not self.confirmed(one)
            if fresh and self.ledger.would_accept([*(t.serialized for t in taken), one.serialized]).accepted:
                taken.append(one)
                self._name(name, one)
        self.ledger.mine([one.serialized for one in taken])
        for name, actor in self.cast.actors.items():
            actor.height = self.ledger.height
            for side in self.cast.desks[name].sides.values():
                side.height = self.ledger.height
            for one in taken:
                self._feed(name, one)
        return taken

    def _look(self, name: str) -> None:
        exit_ = self.exit_of(name) if LEAVER in self.cast.desks[name].exits else None
        for watcher in self.cast.watchers[name]:
            if exit_ is not None and watcher.side is exit_.side:
                before = exit_.status
                self.post(name, exit_.look(watcher))
                if exit_.status != before:
                    self.tell(f"the exit is '{exit_.status}'", name)
            published = watcher.look()
            self._publish(name, [one for _, one in published])
            self._names |= {one.txid: _words(what) for what, one in published}
            why = watcher.side.must_close()
            if why and watcher.side.channel.status == "live" and watcher.side.terms.name.endswith(LEAVER):
                self.leave_alone(name, why)

    def leave_alone(self, name: str, why: str) -> None:
        """A party brings the leaver's leaf on chain and closes with its newest commitment."""
        actor = self.cast.actors[name]
        self.tell(f"goes to the chain: {why}", name)
        label = self.cast.desks[name].counted
        self.paths[name] = [
            (one, actor.complete_transaction(one)) for one in actor.factory.blueprints[label].path(LEAVER)
        ]
        self.post(name, self.side(name).force_close())

    def _wanted(self) -> list[tuple[str, Transaction]]:
        """What was published and may be mined; those who stopped have published what they had."""
        paths = [(name, one) for name, path in self.paths.items() for _, one in path if name not in self.stopped]
        return [*paths, *self._published]

    def _feed(self, name: str, transaction: Transaction) -> None:
        for watcher in self.cast.watchers[name]:
            watcher.feed(transaction)

    def _name(self, by: str, one: Transaction) -> None:
        paid = [(who, payout_script(who)) for who in (LSP, *self.clients)]
        sums = {who: sum(o.amount_sat for o in one.outputs if o.script_pubkey == script) for who, script in paid}
        to = ", ".join(f"{amount:,} sat to {who}" for who, amount in sums.items() if amount)
        says = f"{self._what(one)} is mined{': ' if to else ''}{to}"
        self.story.append(Line(self.ledger.height + 1, by, CHAIN, says))

    def _what(self, one: Transaction) -> str:
        for path in self.paths.values():
            for name, other in path:
                if other.txid == one.txid:
                    return f"'{name}'"
        for name in (LSP, LEAVER):
            agreed = self.exit_of(name).agreed
            if agreed is None:
                continue
            if one.txid == agreed.offer.txid:
                until = agreed.offer.refund_height
                return f"an output of {agreed.offer.amount_sat:,} sat, locked to {LEAVER}'s key until {until},"
            if one.txid == agreed.claim.transaction.txid:
                return "the claim, which shows the factory key,"
            if one.inputs[0].txid_hex == agreed.offer.txid:
                return "the refund"
        return self._names.get(one.txid, "the transaction that closes the factory")

    def paid(self, script: bytes) -> int:
        """What rests on a script (sat)."""
        return sum(one.output.amount for one in self.ledger.unspent().values() if one.output.script == script)

    def over(self, name: str) -> bool:
        """Whether nothing of the exit, and of a close that it led to, is under way for a party."""
        exit_, status = self.exit_of(name), self.side(name).channel.status
        settled = status in _OVER or (status == "live" and not self.side(name).channel.htlcs)
        return exit_.status in OVER and settled


def _words(claim: str) -> str:
    """What a claim of a channel is called."""
    if claim.startswith("htlc"):
        return "what brings the lock inside home"
    return "its commitment" if claim == COMMITMENT else "what brings its own side of the commitment home"
