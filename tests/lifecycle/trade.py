"""Payments in the leaves of several factories with one LSP, step by step; and what must hold after each step.

Laws of this module:

* A place is one party in one factory. The LSP of all factories and what it passes on between them are one process: it
  dies in all of them at once.
* What a party is owed is counted here, from what payees decided and what was sent, and never asked of a channel.
* Every transaction is judged by Core's code. ``check`` looks at everything that must always hold.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial

from superscalar_ref.bitcoin.transaction import Transaction
from superscalar_ref.chain.interface import OutPoint, TxOut
from superscalar_ref.chain.kernel import KernelLedger
from superscalar_ref.chain.model import Book
from superscalar_ref.errors import Refused, SuperscalarError
from superscalar_ref.machine.types import Event
from superscalar_ref.parties import channel_messages as c
from superscalar_ref.parties.actor import Actor, Outbox
from superscalar_ref.parties.channel_actor import ChannelActor
from superscalar_ref.parties.channel_desk import ChannelDesk
from superscalar_ref.parties.channel_relay import Relay, Route
from superscalar_ref.parties.channel_watch import ChannelWatcher
from superscalar_ref.parties.client import ClientActor
from superscalar_ref.parties.lsp import LspActor, Wallet
from superscalar_ref.parties.penalties import penalties
from superscalar_ref.parties.store import Store
from superscalar_ref.parties.tower import Tower
from superscalar_ref.parties.tower_store import TowerStore
from superscalar_ref.parties.watch import NEVER, Watcher, txid_bytes
from superscalar_ref.parties.wire import Letter
from superscalar_ref.protocol.blueprint import Locks
from superscalar_ref.protocol.channel import FINAL, Htlc, View
from superscalar_ref.protocol.client import Limits
from superscalar_ref.protocol.htlc_limits import HtlcLimits
from superscalar_ref.realise.channel import revealed_by
from superscalar_ref.signing.nonces import SeededRandomness
from tests.lifecycle.probe import ON_ITS_WAY, STRATEGY, Foe
from tests.lifecycle.probe import OVER as GONE
from tests.lifecycle.stores import Crash, StoryStore
from tests.lifecycle.story import Fault, Wrong
from tests.lifecycle.story import kind_of as of_factory
from tests.parties.channel_chain import OVER
from tests.parties.scene import (
    BALANCE,
    BINARY,
    COIN,
    INBOUND,
    LSP,
    WALLET_KEY,
    WALLET_SCRIPT,
    Scene,
    coin,
    identity,
    payout,
    scene,
)

DEPTH, CLOSE_FEE, FEE_MSAT = 2, 150, 1_001
DUST = 330
LATEST = 190
"""A story mines no block above this height before its end."""
LOCKS = Locks(step=2, states=3, to_self_delay=3, end=300, stock_lock_blocks=4)
LIMITS = Limits(ceiling=100, margin=5, life=200, depth=3, reaction=1)
CLIENTS = (("A", "B"), ("C", "D"), ("E", "F"))
"""The clients of each factory; of a factory with one, the first."""
TOWER = "T"
OFF_CHAIN = ("live", "quiescent", "moving", "closing", "opening", "halted")
Place = tuple[int, str]
"""A factory, and a party in it."""
RELAY: Place = (-1, LSP)


@dataclass(frozen=True)
class TradePlan:
    """How many factories, and clients in each of them; the first client may have a tower."""

    factories: int = 2
    clients: int = 1
    tower: bool = False

    def members(self, number: int) -> tuple[str, ...]:
        """The clients of a factory."""
        return CLIENTS[number][: self.clients]

    @property
    def places(self) -> tuple[Place, ...]:
        """Every party in every factory, the LSP before its clients."""
        return tuple((number, name) for number in range(self.factories) for name in (LSP, *self.members(number)))

    @property
    def customers(self) -> tuple[Place, ...]:
        """Every client."""
        return tuple(place for place in self.places if place[1] != LSP)


@dataclass
class Payment:
    """One payment, as its payer and its payee know it."""

    number: int
    payer: Place
    """With the LSP's name: the LSP pays by itself."""
    payee: Place
    amount_msat: int
    fee_msat: int
    claimed: bool = False
    """Whether the payee has decided to claim it: from then on the payer may have to pay."""
    given: bool = False
    """Whether its preimage has left the payee: from then on the payee must be paid."""

    @property
    def preimage(self) -> bytes:
        """What claims it."""
        return self.number.to_bytes(32, "big")

    @property
    def hash(self) -> str:
        """Of the preimage (hex)."""
        return hashlib.sha256(self.preimage).hexdigest()


@dataclass
class Ready:
    """Factories that are signed and funded, with no channel open: stories begin with copies of it."""

    ledger: KernelLedger
    scenes: tuple[Scene, ...]
    stores: Mapping[Place, Store]


@cache
def ready(factories: int, clients: int, tower: bool) -> Ready:
    """Sign and fund, once for each process."""
    plan = TradePlan(factories, clients, tower)
    ledger = KernelLedger.start([TxOut(COIN, WALLET_SCRIPT)] * factories)
    scenes, stores = [], {}
    for number, point in enumerate(ledger.funds):
        coins = (coin(point.txid[::-1].hex(), point.index),)
        made = scene(plan.members(number), shape=BINARY, locks=LOCKS, limits=LIMITS, coins=coins)
        made.offer = replace(made.offer, factory=f"factory {number}", active_blocks=LATEST)
        made.lsp.offer = made.offer
        made.ceremony().wire.post(LSP, made.lsp.fund())
        ledger.mine([one.serialized for one in made.wire.broadcasts])
        scenes.append(made)
        stores.update({(number, name): actor.store for name, actor in made.actors.items()})
    ledger.advance(LIMITS.depth)
    for made in scenes:
        made.confirm(ledger.height)
    return Ready(ledger, tuple(scenes), stores)


def filled(source: Store) -> StoryStore:
    """A store that can be told to fail, with what another holds."""
    twin = StoryStore()
    source._connection.backup(twin._connection)
    return twin


class Trade:
    """One story."""

    def __init__(self, plan: TradePlan, tell: Callable[[str], None] = lambda line: None) -> None:
        begun = ready(plan.factories, plan.clients, plan.tower)
        self.plan = plan
        self.tell = tell
        self.lines: list[str] = []
        self.ledger = begun.ledger.fork()
        self.scenes = begun.scenes
        self.stores: dict[Place, StoryStore] = {place: filled(store) for place, store in begun.stores.items()}
        self.stores[RELAY] = StoryStore()
        self.tower = Tower(TOWER, TowerStore(), LIMITS.depth) if plan.tower else None
        self.actors: dict[Place, Actor] = {}
        self.desks: dict[Place, ChannelDesk] = {}
        self.trees: dict[Place, Watcher] = {}
        self.eyes: dict[tuple[Place, str], ChannelWatcher] = {}
        self.lives: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self.letters: list[tuple[int, Letter]] = []
        self.tape: list[tuple[int, Letter]] = []
        self.payments: list[Payment] = []
        self.routes: dict[str, Route] = {}
        self.leaving: set[Place] = set()
        """Who has to leave, or wants to."""
        self.hostile: set[Place] = set()
        self.silent: dict[Place, int] = {}
        """Who neither writes, reads nor publishes before a height; from then on its transactions come first."""
        self.kept: dict[Place, dict[str, Transaction]] = {}
        """Every own commitment that a place ever held complete, by txid, the oldest first."""
        self.mined: list[Transaction] = []
        self.blocks: list[list[Transaction]] = []
        self._nonces: dict[str, object] = {}
        self._arrived: dict[tuple[Place, int], int] = {}
        """(client, number of a payment to it) → the earliest expiry that it may accept when the payment came."""
        self._probed: set[object] = set()
        self._secrets: set[str] = set()
        for name in (LSP, *(name for _, name in plan.customers)):
            self.start(name)
        self.change = self.rest(LSP)
        for place in plan.customers:
            self._post(place, self.desks[place].connect())
        self.say(f"{plan}")
        self.mail()

    def close(self) -> None:
        """Give everything back."""
        self.ledger.close()
        for store in self.stores.values():
            store.close()

    def say(self, line: str) -> None:
        """One more line of the story."""
        self.lines.append(line)
        self.tell(line)

    def wrong(self, what: str, more: list[str] | None = None) -> Wrong:
        """The end of the story."""
        return Wrong("\n".join(["", *self.lines, *(more or []), f"WRONG at height {self.ledger.height}: {what}"]))

    # -- parties -------------------------------------------------------------------------------------------------------

    def places_of(self, name: str) -> tuple[Place, ...]:
        """Where a party is."""
        return tuple(place for place in self.plan.places if place[1] == name)

    def start(self, name: str) -> None:
        """A party's process begins, with what is in its stores."""
        self.lives[name] += 1
        for place in self.places_of(name):
            store = self.stores[place]
            store.disarm()
            actor = self.actors[place] = self._actor(place, store, f"life {self.lives[name]}")
            actor.height = self.ledger.height
            desk = self.desks[place] = self._desk(actor, self.members_at(place))
            watcher = self.trees[place] = Watcher(actor, self.ledger, strategy=STRATEGY)
            watcher.look()
            for client, side in desk.sides.items():
                self._watch(place, client, side)
        if name == LSP:
            self.relay = Relay(self.stores[RELAY], FEE_MSAT)
            self.relay.routes = self.routes
            for place in self.places_of(LSP):
                for side in self.desks[place].sides.values():
                    self.relay.join(side)

    def _watch(self, place: Place, client: str, side: ChannelActor) -> None:
        eyes = self.eyes[place, client] = ChannelWatcher(side, self.ledger)
        for one in self.mined:
            eyes.feed(one)

    def members_at(self, place: Place) -> tuple[str, ...]:
        """Whose channels a place has."""
        return self.plan.members(place[0]) if place[1] == LSP else (place[1],)

    def _actor(self, place: Place, store: Store, life: str) -> Actor:
        number, name = place
        randomness = SeededRandomness(f"{name} in {number}, {life}")
        made = self.scenes[number]
        if name == LSP:
            wallet = Wallet(WALLET_KEY, made.coins)
            return LspActor(identity(name), store, wallet, payout(name), made.offer, randomness)
        towers = (TOWER,) if self.plan.tower and place == self.plan.customers[0] else ()
        return ClientActor(identity(name), LSP, store, payout(name), LIMITS, randomness, towers=towers)

    def _desk(self, actor: Actor, clients: tuple[str, ...]) -> ChannelDesk:
        def limits(client: str) -> HtlcLimits:
            terms = actor.factory.terms
            return HtlcLimits(terms.exit_blocks(client), 5, terms.locks.end, 20)

        desk = ChannelDesk(actor, limits, depth=DEPTH, close_fee_sat=CLOSE_FEE)
        for client in clients:
            desk.open(client).answer = self.answer
        return desk

    def answer(self, htlc: Htlc) -> bytes | str | None:
        """What a payee does: what was decided for it."""
        payment = self.payment(htlc.payment_hash)
        return payment.preimage if payment is not None and payment.claimed else None

    def payment(self, payment_hash: str) -> Payment | None:
        """A payment by its hash."""
        return next((one for one in self.payments if one.hash == payment_hash), None)

    def crash(self, name: str) -> None:
        """A party's process ends, everywhere, and starts again from its stores."""
        self.counts["crashes"] += 1
        self.say(f"{self.ledger.height}: {name} starts again")
        for place in (*self.places_of(name), *((RELAY,) if name == LSP else ())):
            self.stores[place].rollback()
        self.start(name)

    def side(self, place: Place, client: str = "") -> ChannelActor:
        """A place's side of a channel, or of its only one."""
        return self.desks[place].sides[client or place[1]]

    def both(self, customer: Place) -> tuple[ChannelActor, ChannelActor]:
        """The client's side of its channel, and the LSP's."""
        return self.side(customer), self.side((customer[0], LSP), customer[1])

    def all_sides(self) -> Iterator[tuple[Place, str, ChannelActor]]:
        """(place, client, side) of every channel."""
        for place, desk in self.desks.items():
            for client, side in desk.sides.items():
                yield place, client, side

    # -- mail ----------------------------------------------------------------------------------------------------------

    def _post(self, place: Place, outbox: Outbox) -> None:
        for to, raw in outbox.messages:
            letter = Letter(place[1], to, raw)
            self._sent(place, letter)
            self.letters.append((place[0], letter))
            if to != TOWER:
                self.tape.append((place[0], letter))

    def _flush(self) -> None:
        """What the LSP says in one channel because of another."""
        homes = {self.side(place, client).terms.name: place for place, client, _ in self.all_sides() if place[1] == LSP}
        for name, outbox in self.relay.flush().items():
            self._post(homes[name], outbox)

    def act(self, place: Place, what: str, step: Callable[[], Outbox], fault: Fault | None = None) -> None:
        """Let a place do something; when its process dies of it, it is started again."""
        store = self.stores[place]
        if fault is not None:
            store.arm(fault[0], fault[1])
        actor = self.actors[place]
        try:
            outbox = step()
            self._post(place, outbox)
            self.say(f"{self.ledger.height}: {place[1]} {what}" + "".join(f"; {one}" for one in outbox.alerts[:2]))
            self._flush()
        except SuperscalarError as error:
            self.say(f"{self.ledger.height}: {place[1]} {what}: {error}")
        except Crash:
            self.say(f"{self.ledger.height}: {place[1]} {what}, and its process dies")
            if fault is not None and fault[2]:
                self._post(place, actor.outbox)
            self.crash(place[1])
        for one in self.places_of(place[1]):
            self.stores[one].disarm()

    def deliver(self, number: int, letter: Letter, fault: Fault | None = None) -> None:
        """A letter arrives; whoever is hostile neither writes nor reads any more."""
        self.counts["letters"] += 1
        place = (number, letter.to)
        if letter.to == TOWER:
            assert self.tower is not None
            for to, raw in self.tower.receive(letter.sender, letter.raw).messages:
                self.letters.append((number, Letter(TOWER, to, raw)))
            return
        if {place, (number, letter.sender)} & {*self.hostile, *self.silent}:
            return
        actor, store = self.actors[place], self.stores[place]
        before = actor.party, self._channels(place), store.changes
        alerts: list[str] = []
        if letter.to != LSP and kind_of(letter) == "Add":
            add = c.decode(letter.raw, letter.sender).body
            assert isinstance(add, c.Add)
            self._arrived[place, add.number] = self.earliest(place)

        def step() -> Outbox:
            outbox = actor.receive(letter.sender, letter.raw)
            alerts.extend(outbox.alerts)
            return outbox

        self.act(place, f"gets {kind_of(letter)} of {letter.sender}", step, fault)
        if self.actors[place] is actor and alerts and fault is None:
            same = (actor.party, self._channels(place)) == before[:2]
            if same and store.changes != before[2]:
                raise self.wrong(f"{letter.to} refused {kind_of(letter)} and its store has changed: {alerts}")

    def _channels(self, place: Place) -> list[object]:
        return [side.channel for side in self.desks[place].sides.values()]

    def mail(self, most: int = 2_000) -> None:
        """What is on its way arrives, in its order."""
        for _ in range(most):
            if not self.letters:
                return
            self.deliver(*self.letters.pop(0))

    def retry(self) -> None:
        """Everybody has heard nothing for long."""
        for place, desk in list(self.desks.items()):
            if place not in self.hostile:
                self.act(place, "tries again", self.desks[place].retry)
                del desk
        for place in self.places_of(LSP):
            lsp = self.actors[place]
            assert isinstance(lsp, LspActor)
            if place not in self.hostile:
                self.act(place, "tries again as the LSP", lsp.retry)
        if self.tower is not None:
            place = self.plan.customers[0]
            self.act(place, "reminds its tower", lambda: self._reminded(place))

    def _reminded(self, place: Place) -> Outbox:
        self.actors[place].outbox = Outbox()
        self.desks[place].remind()
        return self.actors[place].outbox

    # -- payments ------------------------------------------------------------------------------------------------------

    def pay(self, payer: Place, payee: Place, amount_msat: int, sooner: int = 0) -> Payment:
        """A payment through the LSP, or of the LSP itself, is offered; nothing is delivered yet.

        ``sooner``: blocks by which it expires before the earliest height that its payee accepts.
        """
        self.counts["payments"] += 1
        direct = payer[1] == LSP
        payment = Payment(len(self.payments) + 1, payer, payee, amount_msat, 0 if direct else FEE_MSAT)
        self.payments.append(payment)
        out = self.side((payee[0], LSP), payee[1])
        expiry = self.earliest(payee) - sooner
        what = f"offers payment {payment.number} of {amount_msat} msat to {payee[1]}"
        if direct:
            desk, client = self.desks[payee[0], LSP], payee[1]
            step = lambda: desk.act(client, lambda side: side.offer(amount_msat, payment.hash, expiry))  # noqa: E731
            self.act((payee[0], LSP), what, step)
            return payment
        self.routes[payment.hash] = Route(out.terms.name, amount_msat, expiry)
        mine = self.side(payer)
        incoming = expiry + mine.limits.forward_delta
        amount = amount_msat + FEE_MSAT
        step = lambda: self.desks[payer].act(  # noqa: E731
            payer[1], lambda side: side.offer(amount, payment.hash, incoming)
        )
        self.act(payer, what, step)
        return payment

    def earliest(self, place: Place) -> int:
        """The earliest expiry that a client may accept now: its exit, and a margin, from here (R-EXIT-MARGIN)."""
        limits = self.side(place).limits
        return self.ledger.height + limits.exit_blocks + limits.margin_blocks

    def claim(self, payment: Payment) -> None:
        """The payee claims a payment, as soon as it is irrevocable."""
        payment.claimed = True
        place = payment.payee
        self.act(place, f"claims payment {payment.number}", self.side(place).answer_pending)

    def give_back(self, payment: Payment) -> None:
        """The payee gives a payment back, if it may."""
        side = self.side(payment.payee)
        for htlc in side.channel.htlcs:
            if htlc.payment_hash == payment.hash and not payment.claimed:
                what = f"gives payment {payment.number} back"
                self.act(payment.payee, what, partial(side.reject, htlc.number, "not wanted"))

    def update(self, number: int, node: int) -> None:
        """The LSP replaces a version: the channels below it move."""
        lsp = self.actors[number, LSP]
        assert isinstance(lsp, LspActor)
        nodes = [one for one in lsp.tree.nodes() if one.has_counter]
        path = nodes[node % len(nodes)].path
        self.counts["updates"] += 1
        self.act((number, LSP), f"proposes a version of {path} in factory {number}", lambda: lsp.update(path, {}))

    def abort(self, number: int) -> None:
        """The LSP gives up what is being signed."""
        lsp = self.actors[number, LSP]
        assert isinstance(lsp, LspActor)

        def step() -> Outbox:
            outbox = lsp.abort()
            lsp.follow()
            return outbox

        self.act((number, LSP), f"gives up in factory {number}", step)

    # -- the chain -----------------------------------------------------------------------------------------------------

    def leave(self, place: Place) -> None:
        """A party wants out."""
        if place in self.leaving:
            return
        self.leaving.add(place)
        self.say(f"{self.ledger.height}: {place[1]} leaves factory {place[0]}")

    def mine(self, blocks: int = 1) -> None:
        """Blocks with what everybody publishes; whoever is hostile comes first."""
        for _ in range(blocks):
            self._mine()

    def _mine(self) -> None:
        wanted: list[tuple[str, Transaction]] = []
        for place in sorted(self.hostile):
            wanted += self._hostile(place)
        for place in sorted(self.plan.places, key=lambda one: one not in self.silent):
            if place not in self.hostile and self.silent.get(place, 0) <= self.ledger.height:
                wanted += self._wanted(place)
        taken: list[Transaction] = []
        for what, one in wanted:
            raw = [other.serialized for other in (*taken, one)]
            known = {other.txid for other in taken}
            if one.txid not in known and not self.confirmed(one) and self.ledger.would_accept(raw).accepted:
                taken.append(one)
                self.say(f"{self.ledger.height + 1}: the block holds {what}")
        self.ledger.mine([one.serialized for one in taken])
        self.counts.update(blocks=1, transactions=len(taken))
        self.blocks.append(taken)
        self._seen(taken)

    def _seen(self, taken: list[Transaction]) -> None:
        for one in taken:
            self.mined.append(one)
            for eyes in self.eyes.values():
                eyes.feed(one)
            for witness in one.witnesses:
                for item in witness:
                    self._given(hashlib.sha256(item).hexdigest())
        for place in self.plan.places:
            self.actors[place].height = self.ledger.height
            for side in self.desks[place].sides.values():
                side.height = self.ledger.height

    def confirmed(self, transaction: Transaction) -> bool:
        """Whether it is in the chain."""
        return self.ledger.confirmation_height(txid_bytes(transaction.txid)) is not None

    def _wanted(self, place: Place) -> list[tuple[str, Transaction]]:
        """What an honest party publishes now."""
        self._duties(place)
        name, watcher = place[1], self.trees[place]
        watcher.look()
        self._duties(place)
        watcher.deadline = self.ledger.height if place in self.leaving else NEVER
        found = [(f"{one} of {name}", transaction) for one, transaction in watcher.publish().items()]
        for client in self.desks[place].sides:
            eyes = self.eyes[place, client]
            found += [(f"{one} of {name}", transaction) for one, transaction in eyes.look()]
            self._post(place, eyes.side.outbox)
        self._flush()
        return found

    def _duties(self, place: Place) -> None:
        """Whoever must go to the chain does (STR-21, R-HTLC-FORWARD); a leaf that is there is closed in."""
        actor = self.actors[place]
        for client, side in self.desks[place].sides.items():
            if side.channel.status not in OFF_CHAIN:
                continue
            why = side.must_close()
            if why:
                self.say(
                    f"{self.ledger.height}: {place[1]} must close with {client if place[1] == LSP else LSP}: {why}"
                )
                self.leave(place)
            there = any(
                self.ledger.confirmation_height(txid_bytes(one.partition(":")[0])) is not None
                for one in side.channel.outpoints
            )
            if place in self.leaving or there:
                try:
                    self._post(place, side.force_close())
                except Refused as error:
                    self.say(f"{self.ledger.height}: {place[1]} cannot close yet: {error}")
        if place in self.leaving and isinstance(actor, ClientActor) and actor.life.status not in ON_ITS_WAY:
            try:
                actor.live(Event.of("start_exit", place[1]))
            except Refused:
                return

    def _hostile(self, place: Place) -> list[tuple[str, Transaction]]:
        """Whatever it holds or ever held, the oldest first."""
        actor = self.actors[place]
        foe = Foe.of(actor).publish(Book(), self.ledger)
        unspent = self.ledger.unspent()
        old = [
            one
            for one in self.kept.get(place, {}).values()
            if OutPoint(txid_bytes(one.inputs[0].txid_hex), one.inputs[0].index) in unspent
        ]
        return [
            *((f"the hostile {place[1]}'s {one.template.name}", one.transaction) for one in foe),
            *((f"an old commitment of the hostile {place[1]}", one) for one in old),
        ]

    def reorg(self, depth: int) -> None:
        """The last blocks are replaced by others with the same contents."""
        depth = min(depth, len(self.blocks), DEPTH - 1)
        if depth == 0:
            return
        undone = self.blocks[-depth:]
        self.ledger.reorg(depth, [[one.serialized for one in block] for block in undone])
        self.blocks.append([])
        self.counts["reorgs"] += 1
        self.say(f"{self.ledger.height}: a reorg replaces {depth} blocks")
        self._seen([])

    def rest(self, name: str, ledger: KernelLedger | None = None) -> int:
        """What rests on a party's script (sat)."""
        script, unspent = payout(name), (ledger or self.ledger).unspent()
        return sum(one.output.amount for one in unspent.values() if one.output.script == script)

    # -- what must hold ------------------------------------------------------------------------------------------------

    def _given(self, payment_hash: str) -> None:
        payment = self.payment(payment_hash)
        if payment is not None:
            payment.given = True

    def _sent(self, place: Place, letter: Letter) -> None:
        """What must hold of a channel's message when it leaves."""
        if letter.to == TOWER or c.channel_of(letter.raw) is None:
            return
        envelope = c.decode(letter.raw, letter.sender)
        side = next(one for one in self.desks[place].sides.values() if one.terms.name == envelope.channel)
        body = envelope.body
        offered: Mapping[str, str] = {}
        match body:
            case c.CommitmentSigned():
                for outpoint, form in body.signatures.items():
                    self._one_use(form.nonce, (place, "signs", outpoint, body.number, form.partial))
                    self._recorded(place, side, outpoint, body.number)
            case c.MoveSigned():
                self._one_use(body.signature.nonce, (place, "signs", body.outpoint, "", body.signature.partial))
            case c.Ready() | c.RevokeAndAck() | c.Reestablish():
                offered = body.nonces
            case c.Add() if place[1] == LSP:
                self._only_irrevocable(envelope.channel, body)
            case c.Fulfil():
                self._given(hashlib.sha256(bytes.fromhex(body.preimage)).hexdigest())
                self._in_time(place, side, body)
                towers = side.penalties.guarded
                if self.tower is not None and towers and place == self.plan.customers[0]:
                    self._guarded(side)
            case _:
                pass
        for outpoint, nonce in offered.items():
            self._one_use(nonce, (place, "is signed for", outpoint, envelope.sender_epoch))

    def _one_use(self, nonce: str, use: object) -> None:
        if self._nonces.setdefault(nonce, use) != use:
            raise self.wrong(f"one nonce twice: for {self._nonces[nonce]} and {use}")

    def _recorded(self, place: Place, side: ChannelActor, outpoint: str, number: int) -> None:
        slots = {(point, slot) for point, slot, _ in self.stores[place].records()}
        if self.stores[place].half_written or (outpoint, f"commitment {side.channel.peer} {number}") not in slots:
            raise self.wrong(f"{place[1]} signs commitment {number} on {outpoint} and has no record of it")

    def _only_irrevocable(self, channel: str, add: c.Add) -> None:
        payment = self.payment(add.payment_hash)
        assert payment is not None
        if payment.payer[1] == LSP:
            return
        incoming, limits = self.both(payment.payer)[1], self.both(payment.payer)[1].limits
        found = [one for one in incoming.channel.htlcs if one.payment_hash == add.payment_hash]
        if not found or found[0].stage < FINAL:
            raise self.wrong(f"the LSP passes payment {payment.number} on to {channel}, and it is not irrevocable")
        if found[0].expiry < add.expiry + limits.exit_blocks + limits.margin_blocks:
            raise self.wrong(f"the LSP passes payment {payment.number} on, and has too little time to be paid for it")

    def _in_time(self, place: Place, side: ChannelActor, fulfil: c.Fulfil) -> None:
        """A client claims what left it time for its exit when it came."""
        htlc = side.channel.htlc(side.channel.peer, fulfil.number)
        least = self._arrived.get((place, fulfil.number), 0)
        if place[1] != LSP and htlc is not None and htlc.expiry < least:
            raise self.wrong(f"{place[1]} claims what expires at {htlc.expiry}, and may accept nothing before {least}")

    def _guarded(self, side: ChannelActor) -> None:
        """A client that gives a preimage has every penalty at its tower."""
        assert self.tower is not None
        kept = {one.txid for one in self.tower.store.entries()}
        for number in range(side.channel.revoked + 1):
            for made, _ in penalties(side, number):
                if made.txid not in kept:
                    raise self.wrong(f"a preimage leaves, and the tower lacks a penalty on commitment {number}")

    def check(self) -> None:
        """Everything that must hold between two steps."""
        for place, store in self.stores.items():
            if store.half_written:
                raise self.wrong(f"{place} has left something half written")
        for place, client, side in self.all_sides():
            self._one_channel(place, client, side)
        for customer in self.plan.customers:
            self._agree(customer)
            if customer not in self.hostile:
                self.probe(customer)
        self._blind()

    def _one_channel(self, place: Place, client: str, side: ChannelActor) -> None:
        channel = side.channel
        if side.own is not None:
            for outpoint in side.own.signatures:
                kept = self.kept.setdefault(place, {})
                key = (place, client, outpoint, side.own.said.number, "kept")
                if key not in self._probed:
                    self._probed.add(key)
                    self._whole(place, side.own.said, channel.capacity_msat)
                    try:
                        mine = side.own_transaction(outpoint)
                    except SuperscalarError as error:
                        raise self.wrong(f"{place[1]} holds a commitment without a valid signature: {error}") from error
                    kept.setdefault(mine.txid, mine)
        for number in range(channel.revoked + 1):
            taken = (place, client, number, "revoked")
            if taken not in self._probed:
                self._probed.add(taken)
                secret, signed = side.their_secret(number), side.their_commitment(number)
                if secret is None or signed is None or not revealed_by(secret.reveal(), bytes.fromhex(signed.point)):
                    raise self.wrong(f"{place[1]} takes commitment {number} for revoked, without its secret")
        records = ("records", place, self.stores[place].changes)
        if records not in self._probed:
            self._probed.add(records)
            seen: dict[tuple[str, str], str] = {}
            for outpoint, slot, message in self.stores[place].records():
                if seen.setdefault((outpoint, slot), message) != message:
                    raise self.wrong(f"{place[1]} has recorded two messages for {outpoint}, {slot}")

    def _whole(self, place: Place, said: View, capacity_msat: int) -> None:
        total = said.to_holder_msat + said.to_other_msat + sum(one.amount_msat for one in said.htlcs)
        if total != capacity_msat or min(said.to_holder_msat, said.to_other_msat) < 0:
            raise self.wrong(f"a commitment of {place[1]} is of {total} msat in a channel of {capacity_msat}")

    def _agree(self, customer: Place) -> None:
        """Both sides say the same of each commitment that one holds and the other has signed."""
        for holder, other in (self.both(customer), self.both(customer)[::-1]):
            if holder.own is None:
                continue
            signed = other.their_commitment(holder.own.said.number)
            plain = None if signed is None else _plain(signed.said)
            if plain != _plain(holder.own.said):
                raise self.wrong(f"{holder.name} holds {_plain(holder.own.said)}, and {other.name} says {plain}")

    def _blind(self) -> None:
        """The tower's store holds no key or secret of its client, and no preimage that was not given."""
        if self.tower is None:
            return
        text = "\n".join(self.tower.store._connection.iterdump()).lower()
        customer = self.plan.customers[0]
        if not self._secrets:
            own = identity(customer[1])
            keys = own.channel(customer[1])
            basepoints = (keys.revocation_basepoint, keys.payment_basepoint, keys.delayed_payment_basepoint)
            self._secrets = {own.seed.hex(), own.factory_key().reveal().hex(), keys.htlc_basepoint.reveal().hex()}
            self._secrets |= {one.reveal().hex() for one in basepoints}
        side = self.side(customer)
        more = {self.stores[customer].document(side._key("secret", n)) or "" for n in range(side.channel.mine + 2)}
        told = {one.strip('"') for one in more if one} | self._secrets
        told |= {one.preimage.hex() for one in self.payments if not one.given}
        if any(one in text for one in told):
            raise self.wrong("the tower's store holds what it must not know")

    def least(self, customer: Place) -> int:
        """What a client must own at least (sat): less what its payees have decided to claim, and what it gave for."""
        whole, trimmed = BALANCE * 1000, 0
        for one in self.payments:
            if one.payer == customer and one.claimed:
                whole -= one.amount_msat + one.fee_msat
            if one.payee == customer and one.given:
                whole += one.amount_msat
            if customer in (one.payer, one.payee) and one.amount_msat < 2 * DUST * 1000:
                # In flight it is no output: it belongs to the anchor.
                trimmed += one.amount_msat + one.fee_msat
        # Each commitment rounds down its balance, and each payment in flight.
        least = (whole - trimmed) // 1000 - 2 - len(self.payments)
        return least if least >= DUST else 0

    def probe(self, customer: Place) -> None:
        """A client leaves on a copy of the chain from a copy of its store, alone."""
        side = self.side(customer)
        own = side.own
        if own is None or side.channel.status in OVER:
            return
        key = (customer, own.said, tuple(own.signatures), tuple(side.preimages), side.channel.status, len(self.mined))
        if key in self._probed:
            return
        self._probed.add(key)
        self.counts["exits tried"] += 1
        ledger, store = self.ledger.fork(), self.stores[customer].copy()
        try:
            owned, story = self._alone(customer, ledger, store)
        except (SuperscalarError, AssertionError) as error:
            raise self.wrong(f"{customer[1]} leaves alone and fails: {error!r}") from error
        finally:
            ledger.close()
            store.close()
        least = self.least(customer)
        if owned < least:
            raise self.wrong(f"{customer[1]} leaves alone, owns {owned} sat and is owed {least}", story)

    def _alone(self, customer: Place, ledger: KernelLedger, store: Store) -> tuple[int, list[str]]:
        actor = self._actor(customer, store, f"alone at {ledger.height}")
        actor.height = ledger.height
        desk = self._desk(actor, (customer[1],))
        side = desk.sides[customer[1]]
        tree, eyes = Watcher(actor, ledger, strategy=STRATEGY), ChannelWatcher(side, ledger)
        for one in self.mined:
            eyes.feed(one)
        story: list[str] = []
        tree.look()
        if side.channel.status in OFF_CHAIN:
            side.force_close()
        if isinstance(actor, ClientActor) and actor.life.status not in (*ON_ITS_WAY, *GONE):
            actor.live(Event.of("start_exit", customer[1]))
        tree.deadline = ledger.height
        for _ in range(LOCKS.end - ledger.height):
            tree.look()
            wanted = [*tree.publish().items(), *eyes.look()]
            if side.channel.status in OVER or (not wanted and self._not_mine(side)):
                break
            taken: list[Transaction] = []
            for what, one in wanted:
                raws = [other.serialized for other in (*taken, one)]
                there = ledger.confirmation_height(txid_bytes(one.txid)) is not None
                if not there and one.txid not in {other.txid for other in taken} and ledger.would_accept(raws).accepted:
                    taken.append(one)
                    story.append(f"  {ledger.height + 1}: {customer[1]} confirms {what}")
            ledger.mine([one.serialized for one in taken])
            for one in taken:
                eyes.feed(one)
        else:
            raise AssertionError(f"not over: {side.channel.status}, {side.channel.claims}\n" + "\n".join(story))
        return self.rest(customer[1], ledger), story

    def _not_mine(self, side: ChannelActor) -> bool:
        """Whether all that is left is the peer's to take back, and it says nothing."""
        known = {each for place, _, one in self.all_sides() if place[1] == side.name for each in one.preimages}
        unknown = {
            f"htlc {one.payer} {one.number}"
            for one in side.channel.htlcs
            if one.payer != side.name and one.payment_hash not in {*side.preimages, *known}
        }
        return side.channel.status == "resolving" and side.channel.claims <= unknown

    # -- the end -------------------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Mail gets through, then everybody leaves; nobody honest owns less than it is owed."""
        for _ in range(3):
            self.mail()
            self.retry()
        self.mail()
        self.check()
        for place in self.plan.customers:
            for one in (place, (place[0], LSP)):
                if one not in self.hostile:
                    self.leave(one)
                    break
        for _ in range(LOCKS.end - self.ledger.height):
            self.mine()
            if self._over():
                break
        else:
            states = [
                (place, client, side.channel.status, sorted(side.channel.claims))
                for place, client, side in self.all_sides()
            ]
            raise self.wrong(f"not over at the end of the factories: {states}")
        for customer in self.plan.customers:
            least = self.least(customer)
            if customer not in self.hostile and self.rest(customer[1]) < least:
                raise self.wrong(f"{customer[1]} ends with {self.rest(customer[1])} sat, and is owed {least}")
        self._lsp_is_whole()

    def _over(self) -> bool:
        over = True
        for place, client, side in self.all_sides():
            peer = (place[0], client if place[1] == LSP else LSP)
            alone = peer in self.hostile and self._not_mine(side)
            over = over and (place in self.hostile or side.channel.status in OVER or alone)
        return over

    def _lsp_is_whole(self) -> None:
        if any(place[1] == LSP for place in self.hostile):
            return
        owed = INBOUND * 1000 * len(self.plan.customers)
        for one in self.payments:
            if one.payer[1] == LSP and one.claimed:
                owed -= one.amount_msat
            if one.amount_msat < 2 * DUST * 1000:
                owed -= 2 * (one.amount_msat + one.fee_msat)
        least = owed // 1000 - 2 * len(self.plan.customers) - 2 * len(self.payments)
        owned = self.from_channels(LSP)
        if owned < least:
            raise self.wrong(f"the LSP ends with {owned} sat of its channels, and is owed {least}")

    def from_channels(self, name: str) -> int:
        """What rests on a party's script and has come out of channels (sat): the tree's own outputs are not in it."""
        funding = {place for eyes in self.eyes.values() for _, place in eyes._outpoints()}
        below: set[str] = set()
        for one in self.mined:
            spent = {(each.txid_hex, each.index) for each in one.inputs}
            if spent & funding or {txid for txid, _ in spent} & below:
                below.add(one.txid)
        script, unspent = payout(name), self.ledger.unspent()
        return sum(
            unspent[point].output.amount
            for point in unspent
            if unspent[point].output.script == script and point.txid[::-1].hex() in below
        )


def _plain(said: View) -> object:
    """What a commitment says, without how far its updates are."""
    held = sorted((one.payer, one.number, one.amount_msat, one.payment_hash, one.expiry) for one in said.htlcs)
    return said.number, said.to_holder_msat, said.to_other_msat, held


def kind_of(letter: Letter) -> str:
    """The kind of a message, or that it is none."""
    try:
        if c.channel_of(letter.raw) is not None:
            return type(c.decode(letter.raw, letter.sender).body).__name__
    except SuperscalarError:
        return "junk"
    return of_factory(letter)
