"""One party as a whole: its lifecycle and its signing sessions, stepping together through the tables.

Laws of this module:

* Every change of state is a step of a table. This module only carries facts from one machine to another (what is
  held, what is recorded, whether the tree is on chain), and lets a party take its own steps as soon as it may.
* Actions come out in the order in which they must be done: what is persisted is durable before the next one begins.
* ``durable`` is what a crash leaves; ``recover`` starts over from it, with no session open and no nonce.

The checker explores this very module; the parties of the core act by it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from superscalar_ref.errors import Refused
from superscalar_ref.machine.bind import bind
from superscalar_ref.machine.step import BoundMachine, step
from superscalar_ref.machine.types import Action, Event
from superscalar_ref.protocol import client as client_rules
from superscalar_ref.protocol import factory as factory_rules
from superscalar_ref.protocol import session as session_rules
from superscalar_ref.protocol import stock as stock_rules
from superscalar_ref.protocol.blueprint import Blueprint
from superscalar_ref.protocol.client import Client
from superscalar_ref.protocol.factory import Factory
from superscalar_ref.protocol.session import Record, Session, Task
from superscalar_ref.protocol.stock import Stock
from superscalar_ref.protocol.transaction import Kind, Template
from superscalar_ref.protocol.watchtower import for_tower
from superscalar_ref.spec.load import load_machine
from superscalar_ref.spec.table import Machine

Life = TypeVar("Life", Client, Factory)


@cache
def stock_machine(directory: Path | None = None) -> BoundMachine[Stock]:
    """The table of ``stock``, bound; read once for each directory."""
    return bind(load_machine("stock", directory), stock_rules.RULES)


@dataclass(frozen=True)
class Machines:
    """The tables, bound to their rules."""

    session: BoundMachine[Session]
    client: BoundMachine[Client]
    factory: BoundMachine[Factory]
    stock: BoundMachine[Stock] = field(default_factory=stock_machine)


def bind_machines(session: Machine, client: Machine, factory: Machine) -> Machines:
    """Bind three tables, such as those of a variant, beside the stock's own. Raises ``SpecError`` as ``bind`` does."""
    return Machines(
        bind(session, session_rules.RULES), bind(client, client_rules.RULES), bind(factory, factory_rules.RULES)
    )


@cache
def machines(directory: Path | None = None) -> Machines:
    """The tables of ``spec/machines``, bound; read once for each directory."""
    return bind_machines(
        load_machine("session", directory), load_machine("client", directory), load_machine("factory", directory)
    )


SESSION_STEPS: Mapping[str, str] = MappingProxyType({"nonces_in": "sign", "signed": "finish"})
"""The event of a session that a party causes itself, in each state, as soon as the table takes it."""


def _no_stocks() -> Mapping[str, Stock]:
    return MappingProxyType({})


def _no_sessions() -> Mapping[str, Session]:
    return MappingProxyType({})


def _no_towers() -> Mapping[str, frozenset[str]]:
    return MappingProxyType({})


@dataclass(frozen=True)
class Signer:
    """All signing sessions of one party, and what they share."""

    me: str
    sessions: Mapping[str, Session] = field(default_factory=_no_sessions)
    """By the name of the transaction."""
    held: frozenset[str] = frozenset()
    """Transactions that this party holds complete."""
    records: frozenset[Record] = frozenset()
    """What it has ever signed away (D-7)."""
    tree_on_chain: bool = False


@dataclass(frozen=True)
class Durable:
    """What a party finds again after a crash: never a nonce (D-2)."""

    life: Client | Factory
    held: frozenset[str]
    records: frozenset[Record]
    tree_on_chain: bool
    stocks: Mapping[str, Stock] = field(default_factory=_no_stocks)


@dataclass(frozen=True)
class Turn:
    """What one event made a party do: its actions in order, and what it refused."""

    actions: tuple[Action, ...]
    refused: tuple[Refused, ...]


def task(
    blueprint: Blueprint, template: Template, party: str, message: str, after: frozenset[str] = frozenset()
) -> Task:
    """What ``party`` needs to know to sign ``template``; ``message`` names its sighash.

    ``after`` is for a poison: what supersedes the state that it poisons, as far as ``party`` is to hold it.
    """
    collector = template.holder or blueprint.terms.lsp
    holders = frozenset({template.holder}) if template.holder else template.signers
    known = template.name in blueprint.templates
    return Task(
        template.name,
        message,
        str(template.spends[0].outpoint),
        template.slot,
        template.signers,
        collector,
        holders,
        (blueprint.needs(party, template.name) if known else frozenset()) | after,
        template.kind is Kind.POISON,
        after,
    )


def with_tasks(signer: Signer, tasks: Iterable[Task]) -> Signer:
    """The signer with a session, not opened yet, for each task that it has none for."""
    sessions = dict(signer.sessions)
    for new in tasks:
        if new.transaction not in sessions:
            sessions[new.transaction] = Session("unopened", signer.me, new)
    return replace(signer, sessions=MappingProxyType(sessions))


def sign(
    tables: Machines, signer: Signer, events: Iterable[tuple[str, Event]], more: frozenset[str] = frozenset()
) -> tuple[Signer, tuple[Action, ...], tuple[Refused, ...]]:
    """Take events of sessions, each with its transaction's name; then sign whatever the rules allow by now.

    ``more``: transactions that another table has made complete, and that are held from now on.

    An event that is refused changes nothing and is reported; the others are taken. An event for a transaction that this
    party has no session for is refused as ``SES`` / ``OUT_OF_TURN``.
    """
    sessions = dict(signer.sessions)
    held, records = signer.held | more, signer.records
    actions: list[Action] = []
    refused: list[Refused] = []

    def take(name: str, event: Event) -> bool:
        nonlocal held, records
        session = sessions.get(name)
        if session is None:
            refused.append(Refused("session", "none", event.name, "SES", None, f"no session for '{name}'"))
            return False
        seen = replace(session, held=held, records=records, tree_on_chain=signer.tree_on_chain)
        try:
            stepped = step(tables.session, seen, event)
        except Refused as error:
            refused.append(error)
            return False
        held, records = stepped.context.held, stepped.context.records
        # What sessions share is kept once, beside them.
        sessions[name] = replace(stepped.context, held=frozenset(), records=frozenset())
        actions.extend(stepped.actions)
        return True

    def waiting_for(names: frozenset[str]) -> set[str]:
        """Sessions that a transaction newly held may let sign: nothing else allows a step that was refused before."""
        return {name for name, session in sessions.items() if names & session.task.needs} if names else set()

    ready = {name for name, event in events if take(name, event)}
    ready |= waiting_for(held - signer.held)
    reported = len(refused)
    progress = True
    while progress:
        progress = False
        for name, session in list(sessions.items()):
            own = SESSION_STEPS.get(session.status) if name in ready else None
            if own is None:
                continue
            known = held
            if not take(name, Event.of(own, signer.me)):
                ready.discard(name)
                continue
            progress = True
            ready |= waiting_for(held - known)
    del refused[reported:]
    after = replace(signer, sessions=MappingProxyType(sessions), held=held, records=records)
    return after, tuple(actions), tuple(refused)


@dataclass(frozen=True)
class Participant:
    """A party: the LSP (its life is a ``Factory``) or a client (a ``Client``)."""

    life: Client | Factory
    signer: Signer
    stocks: Mapping[str, Stock] = field(default_factory=_no_stocks)
    """The stocks that this party shares, by the outpoint of the leaf's output."""
    towers: Mapping[str, frozenset[str]] = field(default_factory=_no_towers)
    """A client's watchtowers → names of the transactions that each has said it keeps."""

    @property
    def me(self) -> str:
        """The party's name."""
        return self.life.me

    def machine(self, tables: Machines) -> BoundMachine[Any]:
        """The table of this party's life."""
        return tables.client if isinstance(self.life, Client) else tables.factory


SELF_STEPS = ("all_agreed", "begin_signing", "kit_complete", "ready", "close_complete")
"""Events of a life that a party causes itself as soon as its table takes them."""


STOCK_STEPS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"offered": ("begin_signing",), "signing": ("link_complete", "ready")}
)
"""Events of a stock that a party causes itself, in each state, as soon as the table takes them."""


def live(tables: Machines, party: Participant, event: Event) -> tuple[Participant, Turn]:
    """Take one event of the party's life. Raises ``Refused``, with nothing changed, when the table does not take it."""
    stepped = step(party.machine(tables), _seen(party), event)
    life = replace(stepped.context, held=frozenset())
    if party.towers and isinstance(life, Client):
        life = replace(life, unregistered=frozenset())
    signer = party.signer
    if event.name == "tree_confirmed":
        signer = replace(signer, tree_on_chain=True)
    signer, carried, refused = _carry_out(tables, signer, stepped.actions)
    after = replace(party, life=life, signer=signer)
    if event.name == "tree_confirmed":
        for key in party.stocks:
            try:
                after, turn = deal(tables, after, key, event)
            except Refused:
                continue
            carried, refused = carried + turn.actions, refused + turn.refused
    after, follow = own_steps(tables, after)
    return after, Turn(carried + follow.actions, refused + follow.refused)


def _seen(party: Participant) -> Client | Factory:
    """A life with what its guards look at: what is held, and what is not at every tower."""
    held = party.signer.held
    if isinstance(party.life, Client) and party.towers:
        return replace(party.life, held=held, unregistered=frozenset().union(*unregistered(party).values()))
    return replace(party.life, held=held)


def unregistered(party: Participant) -> dict[str, frozenset[str]]:
    """Tower → the transactions held for it that it has not said it keeps."""
    wanted = frozenset(name for name in party.signer.held if for_tower(name)) if party.towers else frozenset()
    return {tower: wanted - kept for tower, kept in party.towers.items()}


def registered(tables: Machines, party: Participant, tower: str, names: frozenset[str]) -> tuple[Participant, Turn]:
    """A tower has said that it keeps these; then the steps that this allows. Raises ``KeyError`` for a stranger."""
    towers = {**party.towers, tower: party.towers[tower] | names}
    return own_steps(tables, replace(party, towers=MappingProxyType(towers)))


def _carry_out(
    tables: Machines, signer: Signer, actions: Iterable[Action]
) -> tuple[Signer, tuple[Action, ...], tuple[Refused, ...]]:
    """Open and break off the sessions that a step asks for; every other action is passed on in its place."""
    done: list[Action] = []
    refused: list[Refused] = []
    for action in actions:
        done.append(action)
        if action.kind == "open":
            event = Event.of("open", signer.me, attempt=action["attempt"])
            wanted = sorted(_names(action["transactions"]) - signer.held)
            signer, more, no = sign(tables, signer, [(name, event) for name in wanted])
        elif action.kind == "abort":
            among = dict(action.fields).get("transactions", frozenset(signer.sessions))
            live_ones = [
                name
                for name, session in signer.sessions.items()
                if session.status in ("open", "nonces_in", "signed") and name in _names(among)
            ]
            signer, more, no = sign(tables, signer, [(name, Event.of("abort", signer.me)) for name in live_ones])
        else:
            continue
        done.extend(more)
        refused.extend(no)
    return signer, tuple(done), tuple(refused)


def deal(tables: Machines, party: Participant, key: str, event: Event) -> tuple[Participant, Turn]:
    """Take one event of the stock ``key``. Raises ``Refused``, with nothing changed, when no table takes it.

    Raises ``KeyError`` for a stock that this party does not share.
    """
    known = party.stocks[key]
    seen = replace(known, held=party.signer.held, records=party.signer.records)
    stepped = step(tables.stock, seen, event)
    stock = replace(stepped.context, held=frozenset(), records=frozenset())
    party = replace(party, stocks=MappingProxyType({**party.stocks, key: stock}))
    signer, actions, refused = _carry_out(tables, party.signer, stepped.actions)
    party = replace(party, signer=signer)
    for action in actions:
        if action.kind == "count":
            bought = Event.of("link_complete", party.me, **dict(action.fields))
            party, turn = live(tables, party, bought)
            actions, refused = actions + turn.actions, refused + turn.refused
    party, follow = own_steps(tables, party)
    return party, Turn(actions + follow.actions, refused + follow.refused)


def deliver(tables: Machines, party: Participant, events: Iterable[tuple[str, Event]]) -> tuple[Participant, Turn]:
    """Take events of the party's signing sessions, then the steps of its own that these allow."""
    signer, actions, refused = sign(tables, party.signer, events)
    after, follow = own_steps(tables, replace(party, signer=signer))
    return after, Turn(actions + follow.actions, refused + follow.refused)


def hold(tables: Machines, party: Participant, names: frozenset[str]) -> tuple[Participant, Turn]:
    """Hold transactions that another table has made complete (D-15), then the steps that these allow."""
    signer, actions, refused = sign(tables, party.signer, (), names)
    after, follow = own_steps(tables, replace(party, signer=signer))
    return after, Turn(actions + follow.actions, refused + follow.refused)


def own_steps(tables: Machines, party: Participant) -> tuple[Participant, Turn]:
    """The steps that a party takes by itself, for as long as one is allowed."""
    actions: tuple[Action, ...] = ()
    refused: tuple[Refused, ...] = ()
    machine = party.machine(tables)
    for name in SELF_STEPS:
        event = Event.of(name, party.me)
        if not any("self" in bound.row.by for bound in machine.candidates(party.life.status, name)):
            continue
        try:
            party, turn = live(tables, party, event)
        except Refused:
            continue
        actions += turn.actions
        refused += turn.refused
    for key in party.stocks:
        for name in STOCK_STEPS.get(party.stocks[key].status, ()):
            try:
                party, turn = deal(tables, party, key, Event.of(name, party.me, newest=counts_on_newest(party.life)))
            except Refused:
                continue
            actions += turn.actions
            refused += turn.refused
    return party, Turn(actions, refused)


def counts_on_newest(life: Client | Factory) -> bool:
    """Whether a client counts on the newest version that it ever agreed to; of an LSP nothing is asked."""
    return isinstance(life, Factory) or life.newest_agreed == life.version


def durable(party: Participant) -> Durable:
    """What is durable when every ``persist`` action so far was carried out."""
    signer = party.signer
    return Durable(party.life, signer.held, signer.records, signer.tree_on_chain, party.stocks)


def recover(stored: Durable) -> Participant:
    """The party after a crash and a restart: what was stored, no sessions, no nonces."""
    signer = Signer(stored.life.me, held=stored.held, records=stored.records, tree_on_chain=stored.tree_on_chain)
    return Participant(stored.life, signer, stored.stocks)


def _names(value: object) -> frozenset[str]:
    assert isinstance(value, frozenset)
    return value
