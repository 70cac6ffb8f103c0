"""A world of parties without bytes: who sends what to whom, what is durable, and what must never happen.

``World`` carries out the actions of ``protocol/participant.py`` with symbolic nonces and signatures, loses what a crash
loses, and raises ``Broken`` as soon as something happens that an owner would not accept, whatever the tables say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from superscalar_ref.errors import Refused
from superscalar_ref.machine.types import Action, Event
from superscalar_ref.protocol.blueprint import (
    Blueprint,
    Channel,
    Economy,
    LeafContents,
    Locks,
    Terms,
    build,
    close,
    fresh_versions,
    version_text,
)
from superscalar_ref.protocol.client import Client, Limits
from superscalar_ref.protocol.factory import Factory
from superscalar_ref.protocol.odometer import Odometer
from superscalar_ref.protocol.participant import (
    Durable,
    Machines,
    Participant,
    Signer,
    Turn,
    deliver,
    live,
    machines,
    recover,
    task,
    with_tasks,
)
from superscalar_ref.protocol.session import Task
from superscalar_ref.protocol.shape import Shape, Tree, grow
from superscalar_ref.protocol.transaction import Template

LSP = "L"
DEPTH = 3
"""Confirmations after which a transaction counts as final."""
END = 100
ACTIVE = 20
FUNDED_AT = 10
LIMITS = Limits(ceiling=20, margin=2, life=30, depth=DEPTH, reaction=3)
EXIT = 6
BALANCE = 4
SIGNING = {"signing", "updating", "closing", "update_signing", "close_signing"}
"""In these states of its life a party signs, and in no other."""

Nonce = tuple[str, int, str, int]
"""Whose, in which of its lives between crashes, for which transaction, which number."""


class Broken(AssertionError):
    """Something happened that no owner would accept."""


def demand(holds: bool, otherwise: str) -> None:
    """Raise ``Broken`` unless it holds."""
    if not holds:
        raise Broken(otherwise)


@dataclass(frozen=True)
class Partial:
    """A symbolic partial signature: valid only beside the others of the same aggregate nonce."""

    signer: str
    transaction: str
    nonce: Nonce
    aggregate: frozenset[tuple[str, Nonce]]

    @property
    def valid(self) -> bool:
        return (self.signer, self.nonce) in self.aggregate


@dataclass(frozen=True)
class Letter:
    """A message on its way."""

    sender: str
    to: str
    name: str
    transaction: str = ""
    attempt: int = 0
    content: object = None


@dataclass
class Ram:
    """What a signer keeps in memory for one transaction, and loses in a crash."""

    nonce: Nonce | None = None
    nonces: dict[str, Nonce] = field(default_factory=dict)
    aggregate: frozenset[tuple[str, Nonce]] = frozenset()
    mine: Partial | None = None
    partials: dict[str, Partial] = field(default_factory=dict)
    signature: bool = False


@dataclass(frozen=True)
class Plan:
    """What one ceremony is about."""

    version: str
    blueprint: Blueprint
    templates: tuple[Template, ...]
    """What is to be signed."""
    concerned: frozenset[str]
    node: str = ""

    @property
    def digest(self) -> str:
        return f"plan {self.version}"

    @property
    def to_sign(self) -> frozenset[str]:
        return frozenset(template.name for template in self.templates)

    @property
    def is_close(self) -> bool:
        return self.version.startswith("close")

    def kit(self, party: str) -> frozenset[str]:
        return self.to_sign if self.is_close else self.blueprint.kit(party)

    def tasks(self, party: str) -> tuple[Task, ...]:
        return tuple(
            task(self.blueprint, template, party, f"sighash of {template.name}")
            for template in self.templates
            if party in template.signers
        )


def small_terms(clients: Iterable[str], states: int = 3, arity: int = 2, leaf_k: int = 1) -> Terms:
    """Terms in units, without fees."""
    tree = grow(Shape.of([arity], leaf_k=leaf_k), tuple(clients))
    locks = Locks(step=1, states=states, to_self_delay=1, end=END)
    return Terms("f", LSP, tree, Economy(0, 0, 0), locks)


def small_contents(tree: Tree) -> dict[str, LeafContents]:
    """Each client owns ``BALANCE`` in its channel; each stock holds 4."""
    return {
        leaf.path: LeafContents(
            tuple(Channel(client, BALANCE, 2) for client in leaf.clients), (4,) * len(tree.stock_groups(leaf))
        )
        for leaf in tree.leaves()
    }


class World:
    """An LSP, its clients, the mail between them, and a disk for each."""

    def __init__(
        self, tables: Machines | None = None, clients: tuple[str, ...] = ("A", "B"), states: int = 3, leaf_k: int = 1
    ) -> None:
        self.tables = tables or machines()
        self.terms = small_terms(clients, states, leaf_k=leaf_k)
        self.clients = clients
        tree = self.terms.tree
        blueprint = build(self.terms, fresh_versions(tree), small_contents(tree))
        self.plans: dict[str, Plan] = {}
        self.first = self.add_plan(blueprint, tuple(blueprint.signed_together()), frozenset(clients))
        self.eager = False
        """Whether a party writes its life down after each turn, and not only when the table says so."""
        lives: dict[str, Client | Factory] = {name: Client("invited", name, LSP, LIMITS) for name in clients}
        lives[LSP] = Factory("gathering", LSP, frozenset(clients), DEPTH, ACTIVE, odometer=Odometer.new(tree, states))
        self.parties = {name: Participant(life, Signer(name)) for name, life in lives.items()}
        self.disk = {name: Durable(life, frozenset(), frozenset(), False) for name, life in lives.items()}
        self.ram: dict[str, dict[str, Ram]] = {name: {} for name in lives}
        self.incarnation = Counter[str]()
        self.mail: list[Letter] = []
        self.refused: list[Refused] = []
        self.trace: list[tuple[str, Action]] = []
        self.broadcast: list[str] = []
        self.messages: dict[tuple[str, str, str], str] = {}
        """Who signed, outpoint, slot → message: whatever crashes come between."""
        self.nonces_used: set[Nonce] = set()
        self.patient = True
        """Whether parties ask again for what did not come."""
        self.crash_in: int | None = None
        """Crash the acting party after so many more actions."""
        self.with_plan(LSP, self.first)

    # -- plans ---------------------------------------------------------------------------------------------------------

    def add_plan(self, blueprint: Blueprint, templates: tuple[Template, ...], concerned: frozenset[str]) -> Plan:
        plan = Plan(version_text(tuple(blueprint.versions.values())), blueprint, templates, concerned)
        self.plans[plan.version] = plan
        return plan

    def plan_update(self, path: str) -> Plan:
        """The next version of the node at ``path``, over the version that the LSP counts on."""
        demand(self.factory.version in self.plans, "the LSP counts on no version")
        counted = self.plans[self.factory.version].blueprint
        assert self.factory.odometer is not None
        ticked = self.factory.odometer.tick(path) if self.index_left(path) else self.factory.odometer
        versions = {
            node: ticked.index(node) if node == path else 0 if node.startswith(f"{path}.") else index
            for node, index in counted.versions.items()
        }
        blueprint = build(self.terms, versions, counted.contents)
        new = tuple(t for t in blueprint.signed_together() if t.name not in counted.templates)
        plan = self.add_plan(blueprint, new, frozenset(self.terms.tree.node(path).clients))
        return self.plans.setdefault(plan.version, plan)

    def index_left(self, path: str) -> bool:
        odometer = self.factory.odometer
        assert odometer is not None
        return odometer.index(path) < odometer.states - 1

    def plan_close(self) -> Plan:
        counted = self.plans[self.factory.version].blueprint
        template = close(counted, 1)
        plan = Plan(template.name, counted, (template,), frozenset(self.clients))
        self.plans[plan.version] = plan
        return plan

    # -- who is where --------------------------------------------------------------------------------------------------

    @property
    def factory(self) -> Factory:
        life = self.parties[LSP].life
        assert isinstance(life, Factory)
        return life

    def client(self, name: str) -> Client:
        life = self.parties[name].life
        assert isinstance(life, Client)
        return life

    def status(self, name: str) -> str:
        return self.parties[name].life.status

    def guards_refused(self) -> set[str]:
        return {error.guard for error in self.refused if error.guard}

    def with_plan(self, who: str, plan: Plan) -> None:
        """The party computes the plan, so it has a session for each transaction that it signs."""
        party = self.parties[who]
        self.parties[who] = replace(party, signer=with_tasks(party.signer, plan.tasks(who)))

    # -- steps ---------------------------------------------------------------------------------------------------------

    def live(self, who: str, event: Event) -> bool:
        """One event of a party's life; False when it is refused."""
        before = self.parties[who]
        try:
            after, turn = live(self.tables, before, event)
        except Refused as error:
            self.refused.append(error)
            demand(self.parties[who] is before, "a refused event changed something")
            return False
        self._turn(who, after, turn)
        return True

    def session(self, who: str, name: str, event: Event, letter: Letter | None = None) -> bool:
        """One event of a party's session; False when it is refused."""
        before = self.parties[who]
        after, turn = deliver(self.tables, before, [(name, event)])
        was = before.signer.sessions.get(name)
        if turn.refused:
            demand(after.signer.sessions.get(name) == was, "a refused event changed its session")
        self._turn(who, after, turn, letter)
        return not turn.refused

    def _turn(self, who: str, after: Participant, turn: Turn, letter: Letter | None = None) -> None:
        before = self.parties[who]
        self.parties[who] = after
        self.refused += turn.refused
        statuses = {before.life.status, after.life.status}
        for action in turn.actions:
            if self.crash_in == 0:
                self.crash(who)
                return
            self._perform(who, after, statuses, action, letter)
            if self.crash_in is not None:
                self.crash_in -= 1
        if self.eager:
            self.disk[who] = replace(self.disk[who], life=after.life)
        for name, session in after.signer.sessions.items():
            demand(
                session.nonce == 0 or session.status in ("open", "nonces_in"),
                f"{who} keeps a nonce for {name}, whose session is {session.status}",
            )

    def crash(self, who: str) -> None:
        """Stop and start again from the disk: no nonce, no session; the plan in hand is computed anew."""
        self.crash_in = None
        self.incarnation[who] += 1
        self.ram[who] = {}
        self.parties[who] = recover(self.disk[who])
        life = self.parties[who].life
        for version in {life.pending, self.factory.pending if life.status == "closing" else ""} - {""}:
            self.with_plan(who, self.plans[version])
        if who == LSP and self.factory.status == "gathering":
            self.with_plan(LSP, self.first)

    def _ram(self, who: str, name: str) -> Ram:
        return self.ram[who].setdefault(name, Ram())

    def _template(self, name: str) -> tuple[Plan, Template]:
        for plan in self.plans.values():
            for template in plan.templates:
                if template.name == name:
                    return plan, template
        raise KeyError(name)

    def _perform(self, who: str, after: Participant, statuses: set[str], action: Action, letter: Letter | None) -> None:
        self.trace.append((who, action))
        if action.kind == "send":
            self._send(who, after, action)
        elif action.kind == "persist":
            self._persist(who, after, action, letter)
        elif action.kind == "nonce":
            number = action["number"]
            assert isinstance(number, int)
            demand(self._ram(who, action.name).nonce is None, f"{who} has two nonces for {action.name}")
            self.ram[who][action.name] = Ram(nonce=(who, self.incarnation[who], action.name, number))
        elif action.kind == "keep":
            assert letter is not None
            ram = self._ram(who, letter.transaction)
            if action.name == "nonce":
                demand(action.to not in ram.nonces, f"{who} replaced the nonce that {action.to} had sent")
                ram.nonces[action.to] = letter.content  # type: ignore[assignment]
            elif action.name == "aggregate_nonce":
                ram.aggregate = letter.content  # type: ignore[assignment]
            else:
                ram.partials[action.to] = letter.content  # type: ignore[assignment]
        elif action.kind == "sign":
            self._sign(who, statuses, action)
        elif action.kind == "forget":
            self._ram(who, action.name).nonce = None
        elif action.kind == "broadcast":
            self._broadcast(action)

    def _aggregate(self, who: str, name: str) -> frozenset[tuple[str, Nonce]]:
        """The aggregate nonce that ``who`` knows: what the collector sent, or what it has collected."""
        ram = self._ram(who, name)
        if ram.aggregate:
            return ram.aggregate
        own = {(who, ram.nonce)} if ram.nonce else set()
        return frozenset(own | set(ram.nonces.items()))

    def _sign(self, who: str, statuses: set[str], action: Action) -> None:
        plan, _ = self._template(action.name)
        ram = self._ram(who, action.name)
        disk = self.disk[who]
        demand(not self.parties[who].signer.tree_on_chain, f"{who} signed with the tree on chain")
        needs = frozenset() if plan.is_close else plan.blueprint.needs(who, action.name)
        demand(needs <= disk.held, f"{who} signed {action.name} without holding {sorted(needs - disk.held)[:1]}")
        new = next(task for task in plan.tasks(who) if task.transaction == action.name)
        session = self.parties[who].signer.sessions[action.name]
        key = (who, new.outpoint, new.slot)
        signed = self.messages.setdefault(key, session.task.message)
        demand(signed == session.task.message, f"{who} signed two messages for {new.outpoint}, {new.slot}")
        demand(
            (new.outpoint, new.slot, signed) in disk.records,
            f"{who} signed {action.name} before its record was durable",
        )
        demand(bool(statuses & SIGNING), f"{who} signed {action.name} while {statuses}")
        demand(ram.nonce is not None, f"{who} signed {action.name} without a nonce")
        assert ram.nonce is not None
        demand(ram.nonce not in self.nonces_used, f"{who} used {ram.nonce} twice")
        demand(action["nonce"] == ram.nonce[3], f"{who} signed with another nonce than the one it made")
        self.nonces_used.add(ram.nonce)
        ram.aggregate = self._aggregate(who, action.name)
        ram.mine = Partial(who, action.name, ram.nonce, ram.aggregate)
        ram.nonce = None

    def _send(self, who: str, after: Participant, action: Action) -> None:
        if action.name in ("nonce", "aggregate_nonce", "partial", "signature"):
            name, attempt = action["transaction"], action["attempt"]
            assert isinstance(name, str)
            assert isinstance(attempt, int)
            ram = self._ram(who, name)
            content: object
            if action.name == "nonce":
                content = ram.nonce
            elif action.name == "aggregate_nonce":
                content = ram.aggregate = self._aggregate(who, name)
                _, template = self._template(name)
                demand(dict(ram.aggregate).keys() == template.signers, f"an aggregate nonce of {name} lacks a signer")
            elif action.name == "partial":
                demand(ram.mine is not None, f"{who} sent a partial signature of {name} that it never made")
                content = ram.mine
            else:
                demand(name in self.disk[who].held, f"{who} handed {name} out before it was durable")
                content = ram.signature
            demand(content is not None, f"{who} sent a {action.name} of {name} that it does not have")
            self.mail.append(Letter(who, action.to, action.name, name, attempt, content))
            return
        content = None
        if action.name == "agreement":
            content = self._digest(who, after)
        elif action.name == "kit_complete":
            content = action["version"]
            demand(content in self.plans, f"{who} speaks of a version that nobody knows")
            kit = self.plans[str(content)].kit(who)
            demand(kit <= self.disk[who].held, f"{who} says that its kit is complete, and it is not")
        elif action.name in ("proposal", "update", "close", "begin"):
            demand(self.factory.pending in self.plans, f"{action.name} of no plan")
            content = self.factory.pending
        self.mail.append(Letter(who, action.to, action.name, attempt=self.factory.attempt, content=content))

    def _digest(self, who: str, after: Participant) -> str:
        """What the client computed: the plan that it was sent."""
        version = after.life.pending if after.life.status != "closing" else self.factory.pending
        return f"plan {version}"

    def _persist(self, who: str, after: Participant, action: Action, letter: Letter | None) -> None:
        disk = self.disk[who]
        if action.name == "record":
            record = (str(action["outpoint"]), str(action["slot"]), str(action["message"]))
            self.disk[who] = replace(disk, records=disk.records | {record})
        elif action.name == "signature":
            name = str(action["transaction"])
            demand(self._signature_is_good(who, name, letter), f"{who} stored a signature of {name} that is none")
            self._ram(who, name).signature = True
            self.disk[who] = replace(disk, held=disk.held | {name})
        else:
            self.disk[who] = replace(disk, life=after.life, tree_on_chain=after.signer.tree_on_chain)

    def _signature_is_good(self, who: str, name: str, letter: Letter | None) -> bool:
        if letter is not None and letter.name == "signature":
            return letter.content is True
        _, template = self._template(name)
        ram = self._ram(who, name)
        partials = dict(ram.partials)
        if ram.mine is not None:
            partials[who] = ram.mine
        return partials.keys() == template.signers and all(
            partial.valid and partial.aggregate == ram.aggregate for partial in partials.values()
        )

    def _broadcast(self, action: Action) -> None:
        self.broadcast.append(action.name)
        if action.name == "funding":
            for name in (*self.clients, LSP):
                lacks = self.first.kit(name) - self.disk[name].held
                demand(not lacks, f"funded while {name} lacks {sorted(lacks)[:1]} of its kit")
            demand(self.disk[LSP].life.status == "funded", "funded, and a crash would forget it")
        else:
            name = str(action["transaction"])
            demand(name in self.disk[LSP].held, f"{name} was broadcast and is not complete")
            demand(
                self.disk[LSP].life.status == "close_published", "a close was published, and a crash would forget it"
            )

    # -- mail ----------------------------------------------------------------------------------------------------------

    def post(self, index: int = 0) -> None:
        """Deliver one letter."""
        letter = self.mail.pop(index)
        self.receive(letter)

    def receive(self, letter: Letter) -> bool:
        """A letter becomes an event of its receiver; False when it is refused."""
        to, by = letter.to, letter.sender
        if letter.name == "nonce":
            event = Event.of("nonce", by, attempt=letter.attempt)
            return self.session(to, letter.transaction, event, letter)
        if letter.name == "aggregate_nonce":
            event = Event.of("aggregate_nonce", by, attempt=letter.attempt)
            return self.session(to, letter.transaction, event, letter)
        if letter.name == "partial":
            assert isinstance(letter.content, Partial)
            good = letter.content.valid and letter.content.aggregate == self._ram(to, letter.transaction).aggregate
            event = Event.of("partial", by, attempt=letter.attempt, valid=good)
            return self.session(to, letter.transaction, event, letter)
        if letter.name == "signature":
            return self.session(to, letter.transaction, Event.of("signature", by, valid=letter.content is True), letter)
        if letter.name == "begin":
            self.begin(to, str(letter.content), letter.attempt)
            return True
        if to == LSP:
            return self.live(LSP, self.event_for_lsp(letter))
        version = str(letter.content)
        event = self.event_for_client(letter)
        taken = self.live(to, event)
        if taken and letter.name in ("proposal", "update", "close") and version in self.plans:
            self.with_plan(to, self.plans[version])
        return taken

    def event_for_lsp(self, letter: Letter) -> Event:
        if letter.name == "join":
            return Event.of("join", letter.sender)
        if letter.name == "agreement":
            return Event.of("agreement", letter.sender, digest=str(letter.content))
        return Event.of("kit_complete", letter.sender, version=str(letter.content))

    def event_for_client(self, letter: Letter) -> Event:
        to = letter.to
        if letter.name == "invitation":
            return Event.of("invitation", letter.sender, balance=BALANCE)
        if letter.name == "abort":
            return Event.of("abort", letter.sender)
        if letter.name == "update_aborted":
            return Event.of("update_aborted", to)
        plan = self.plans[str(letter.content)]
        if letter.name == "proposal":
            return self.proposal(to, plan)
        balance = plan.blueprint.owed(to)
        if letter.name == "update":
            return Event.of("update_proposal", LSP, version=plan.version, balance=balance, kit=plan.kit(to))
        return Event.of("close_proposal", LSP, balance=balance)

    def proposal(self, to: str, plan: Plan, **other: int | str) -> Event:
        """The first plan as the client computed it, or something else in a field."""
        fields: dict[str, int | str] = {
            "balance": plan.blueprint.owed(to),
            "funding_claimed": "output 0",
            "funding_computed": "output 0",
            "exit_blocks": EXIT,
            "height": 0,
            "end": END,
            "shortest_lock": LIMITS.reaction + 1,
            "end_default": "inverted/every",
        }
        return Event.of("proposal", LSP, version=plan.version, kit=plan.kit(to), **{**fields, **other})

    def begin(self, who: str, version: str, attempt: int) -> None:
        """A client opens its sessions, or starts them over."""
        if self.status(who) not in SIGNING:
            return
        for new in self.plans[version].tasks(who) if version in self.plans else ():
            self.reopen(who, new.transaction, attempt)

    def reopen(self, who: str, name: str, attempt: int) -> None:
        if name not in self.disk[who].held:
            self.session(who, name, Event.of("open", who, attempt=attempt))

    def pump(self, most: int = 5000) -> None:
        """Deliver everything in order."""
        while self.mail and most:
            self.post()
            most -= 1

    def resync(self) -> None:
        """Whoever waits asks again: what was lost is sent once more, and signing starts over as a new attempt."""
        factory = self.factory
        for name in self.clients:
            life = self.client(name)
            plan = factory.pending
            if life.status == "invited":
                self.mail.append(Letter(LSP, name, "invitation"))
            elif factory.status == "gathering" and life.status == "verifying":
                self.mail.append(Letter(name, LSP, "join"))
            elif factory.status == "proposed" and life.status == "verifying":
                self.mail.append(Letter(LSP, name, "proposal", content=plan))
            elif factory.status in ("proposed", "updating", "closing") and name in factory.concerned - factory.agreed:
                if plan in (life.pending, life.version) or life.status == "closing":
                    self.mail.append(Letter(name, LSP, "agreement", content=f"plan {plan}"))
                else:
                    kind = "update" if factory.status == "updating" else "close"
                    self.mail.append(Letter(LSP, name, kind, content=plan))
            elif factory.status in ("signing", "update_signing") and life.version == plan:
                self.mail.append(Letter(name, LSP, "kit_complete", content=plan))
        if factory.status == "gathering" and factory.joined == factory.clients:
            self.propose()
        if factory.status in ("signing", "update_signing", "close_signing"):
            self._hand_out(self.plans[factory.pending])
            self.live(LSP, Event.of("retry", LSP))

    def _hand_out(self, plan: Plan) -> None:
        """What is complete goes once more to those who lack it."""
        for template in plan.templates:
            if template.name in self.disk[LSP].held and not template.holder:
                self.mail += [
                    Letter(LSP, name, "signature", template.name, content=True)
                    for name in sorted(template.signers - {LSP})
                    if template.name not in self.disk[name].held
                ]

    def settle(self, done: Callable[[], bool], rounds: int = 12) -> None:
        """Deliver, and ask again, until it is done; ``Broken`` when honest parties do not get there."""
        for _ in range(rounds if self.patient else 0):
            self.pump()
            if done():
                return
            self.resync()
        self.pump()
        demand(done(), f"honest parties got stuck: { ({name: self.status(name) for name in self.parties}) }")

    # -- what the LSP does ---------------------------------------------------------------------------------------------

    def invite(self) -> None:
        for name in self.clients:
            self.mail.append(Letter(LSP, name, "invitation"))

    def plan_event(self, name: str, plan: Plan, **more: str | frozenset[str]) -> Event:
        return Event.of(
            name, LSP, digest=plan.digest, version=plan.version, kit=plan.kit(LSP), to_sign=plan.to_sign, **more
        )

    def propose(self) -> bool:
        return self.live(LSP, self.plan_event("propose", self.first))

    def fund(self) -> bool:
        return self.live(LSP, Event.of("fund", LSP))

    def begin_update(self, path: str) -> Plan | None:
        """Propose the next version of a node; None when the table refuses."""
        plan = self.plan_update(path)
        self.with_plan(LSP, plan)
        taken = self.live(LSP, self.plan_event("begin_update", plan, node=path, concerned=plan.concerned))
        return plan if taken else None

    def begin_close(self) -> Plan | None:
        plan = self.plan_close()
        self.with_plan(LSP, plan)
        return plan if self.live(LSP, self.plan_event("begin_close", plan)) else None

    # -- what the chain does -------------------------------------------------------------------------------------------

    def seen(self, who: str, name: str, depth: int = DEPTH, **more: int) -> bool:
        return self.live(who, Event.of(name, "chain", depth=depth, **more))

    def funding_confirmed(self) -> None:
        for name in (*self.clients, LSP):
            self.seen(name, "funding_confirmed", height=FUNDED_AT)

    # -- whole parts of a life -----------------------------------------------------------------------------------------

    def gathered(self) -> World:
        """Every client's keys are in."""
        self.invite()
        self.pump()
        demand(self.factory.joined == self.factory.clients, "a client that joined was not noted")
        return self

    def signed(self) -> World:
        """Everything is signed, nothing is funded."""
        self.gathered()
        demand(self.propose(), "the LSP cannot propose although every client has joined")
        self.settle(lambda: self.factory.status == "signed")
        for name in self.clients:
            demand(self.status(name) == "holding", f"{name} is not holding when the LSP is ready to fund")
        return self

    def active(self) -> World:
        self.signed()
        demand(self.fund(), "the LSP cannot fund")
        demand("funding" in self.broadcast, "the funding transaction was not broadcast")
        self.funding_confirmed()
        for name in self.parties:
            demand(self.status(name) == "active", f"{name} is not active")
        return self

    def update(self, path: str) -> World:
        plan = self.begin_update(path)
        assert plan is not None, self.refused[-1]
        self.settle(lambda: self.factory.status == "active")
        self.check_counted(plan)
        return self

    def check_counted(self, plan: Plan) -> None:
        """Everyone concerned counts on this version, durably."""
        for name in (*sorted(plan.concerned), LSP):
            for life in (self.parties[name].life, self.disk[name].life):
                demand(life.version == plan.version, f"{name} does not count on {plan.version}")
                demand(life.status == "active", f"{name} is {life.status} after an update")
            demand(plan.kit(name) <= self.disk[name].held, f"{name} counts on a kit that it does not hold")

    def closed(self) -> World:
        plan = self.begin_close()
        demand(plan is not None, "the LSP cannot propose a close")
        assert plan is not None
        self.settle(lambda: self.factory.status == "close_published")
        demand("close" in self.broadcast, "the close was not broadcast")
        for name in self.clients:
            demand(plan.version in self.disk[name].held, f"{name} lacks the close that it signed")
        self.seen(LSP, "close_confirmed")
        demand(self.status(LSP) == "closed", "the LSP does not see the close")
        for name in self.clients:
            self.seen(name, "close_confirmed")
            demand(self.status(name) == "left", f"{name} does not see the close")
        return self

    # -- what an owner looks at ----------------------------------------------------------------------------------------

    def remembers(self, who: str, status: str) -> None:
        """The party is in this state, and a crash would not make it forget."""
        demand(self.status(who) == status, f"{who} is {self.status(who)} and not {status}")
        demand(self.disk[who].life.status == status, f"a crash would make {who} forget that it is {status}")

    def signs_nothing(self, who: str) -> None:
        """No session of the party is under way."""
        for name, session in self.parties[who].signer.sessions.items():
            demand(session.status not in ("open", "nonces_in"), f"{who} still signs {name}")

    def withhold(self, wanted: Callable[[Letter], bool]) -> list[Letter]:
        """Deliver everything else; return what was kept back."""
        kept: list[Letter] = []
        while True:
            kept += [letter for letter in self.mail if wanted(letter)]
            self.mail = [letter for letter in self.mail if not wanted(letter)]
            if not self.mail:
                return kept
            self.post()

    def until(self, reached: Callable[[], bool]) -> World:
        """Deliver letter by letter until something is reached."""
        while not reached():
            demand(bool(self.mail), "the mail ran out before the scene was set")
            self.post()
        return self
