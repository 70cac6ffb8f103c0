"""The rules of ``spec/machines/watchtower.toml``: what a tower holds for one output, and when it publishes which of it.

Laws of this module:

* A tower answers; it never begins. What it holds can enter a block only after somebody else has published something,
  or after the end.
* There is no field for a key, a secret or a nonce: an entry is a finished transaction, known here by its txid.
* Which of several entries goes first is ``spec/strategy.toml``'s to say, for the role ``tower``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from superscalar_ref.errors import Refused
from superscalar_ref.machine.bind import bind
from superscalar_ref.machine.step import BoundMachine, step
from superscalar_ref.machine.types import Action, Event, Rules, number, text
from superscalar_ref.protocol.strategy import Strategy, View, decide
from superscalar_ref.protocol.transaction import Kind, Outpoint, Spend, Template
from superscalar_ref.spec.load import load_machine

RULES = Rules("watchtower")

ANSWERS = frozenset({Kind.STATE, Kind.SALE, Kind.POISON, Kind.ALTERNATE, Kind.PENALTY})
"""What a tower may hold. A kickoff begins an exit; a commitment may be revoked later; a sweep needs nobody's haste."""
_ANSWER_NAMES = tuple(f"{kind}:" for kind in sorted(ANSWERS))
NOT_THERE = -1
"""In place of a height: the output is not on chain."""


@dataclass(frozen=True, order=True)
class Entry:
    """One finished transaction, as far as the rules look at it."""

    name: str
    """Its txid."""
    kind: str
    """One of ``ANSWERS``."""
    relative_lock: int
    """Blocks that it waits after the output confirmed (BIP-68); 0 for none."""
    lock_time: int
    """Height above which it is valid; 0 for none."""


@dataclass(frozen=True)
class Case:
    """One output that a tower watches for one client."""

    status: str
    tower: str
    client: str
    outpoint: str
    """``txid:index``."""
    depth: int
    """Confirmations after which a spend is treated as final."""
    entries: tuple[Entry, ...] = ()
    confirmed: int = NOT_THERE
    """Height of the block that holds the output."""
    answer: str = ""
    """The entry that was broadcast last."""

    def role_of(self, name: str) -> str:
        """Who ``name`` is to this case: self, client, chain, or stranger."""
        return {self.tower: "self", self.client: "client", "chain": "chain"}.get(name, "stranger")

    def entry(self, name: str) -> Entry | None:
        """An entry by its txid."""
        return next((entry for entry in self.entries if entry.name == name), None)


Result = tuple[Case, tuple[Action, ...]]


def for_tower(name: str) -> bool:
    """Whether a transaction, by its name among templates, is one that a tower is to keep."""
    return name.startswith(_ANSWER_NAMES)


@cache
def watchtower_machine(directory: Path | None = None) -> BoundMachine[Case]:
    """The table of ``watchtower``, bound; read once for each directory."""
    return bind(load_machine("watchtower", directory), RULES)


@RULES.guard
def finished(case: Case, event: Event) -> bool:
    """Whether the transaction is complete, with one input and a valid signature."""
    return event["finished"] is True


@RULES.guard
def answers_only(case: Case, event: Event) -> bool:
    """Whether the transaction can only follow what others publish (P-TOWER-POWERLESS)."""
    return text(event, "kind") in ANSWERS


@RULES.guard
def spends_this_output(case: Case, event: Event) -> bool:
    """Whether the transaction spends this case's output."""
    return text(event, "outpoint") == case.outpoint


@RULES.guard
def lock_run_out(case: Case, event: Event) -> bool:
    """Whether the next block may hold the entry (BIP-68, BIP-113)."""
    entry, following = case.entry(text(event, "entry")), number(event, "next_height")
    if entry is None or case.confirmed == NOT_THERE:
        return False
    return following >= case.confirmed + entry.relative_lock and following > entry.lock_time


@RULES.guard
def nothing_newer(case: Case, event: Event) -> bool:
    """Whether the entry is no state, or the newest one: a newer state waits less (P1242)."""
    entry = case.entry(text(event, "entry"))
    states = [other.relative_lock for other in case.entries if other.kind == Kind.STATE]
    return entry is not None and (entry.kind != Kind.STATE or entry.relative_lock == min(states))


@RULES.guard
def deep_enough(case: Case, event: Event) -> bool:
    """Whether a spend is as deep as a reorg is assumed to reach."""
    return number(event, "depth") >= case.depth


@RULES.effect
def keep_entry(case: Case, event: Event) -> Result:
    """The transaction is durable; registered twice, it is kept once."""
    entry = Entry(text(event, "entry"), text(event, "kind"), number(event, "relative_lock"), number(event, "lock_time"))
    kept = replace(case, entries=tuple(sorted({*case.entries, entry})))
    return kept, (Action("persist", "entry", fields=(("entry", entry.name),)),)


@RULES.effect
def acknowledge(case: Case, event: Event) -> Result:
    """The client learns that it is kept."""
    return case, (Action("send", "kept", case.client, (("entry", text(event, "entry")),)),)


def _persist(case: Case) -> Result:
    return case, (Action("persist", "case", fields=(("outpoint", case.outpoint),)),)


@RULES.effect
def note_confirmed(case: Case, event: Event) -> Result:
    """The height from which relative locks count."""
    return _persist(replace(case, confirmed=number(event, "height"), answer=""))


@RULES.effect
def broadcast_answer(case: Case, event: Event) -> Result:
    """The entry goes out."""
    name = text(event, "entry")
    return replace(case, answer=name), (Action("broadcast", name),)


@RULES.effect
def note_gone(case: Case, event: Event) -> Result:
    """A reorg has taken the output back."""
    return _persist(replace(case, confirmed=NOT_THERE, answer=""))


@RULES.effect
def note_settled(case: Case, event: Event) -> Result:
    """Nothing is left to do."""
    return _persist(case)


@dataclass(frozen=True)
class Health:
    """What a tower says of itself."""

    height: int
    """Height of the last block that it has seen."""
    tip: int
    """Height of the best block that it has heard of."""
    cases: Mapping[str, int] = field(default_factory=dict)
    """State → how many outputs are in it."""
    entries: int = 0
    """Finished transactions that it holds."""
    waiting: int = 0
    """Outputs that are on chain and unspent, with every answer to them still locked."""

    @property
    def lag(self) -> int:
        """Blocks that it knows of and has not seen: while there are any, it protects nobody."""
        return self.tip - self.height


@dataclass(frozen=True)
class Sight:
    """What a tower sees of one output, as heights of blocks; None: not on chain, or not spent."""

    confirmed: int | None
    spent: int | None


def look(
    machine: BoundMachine[Case],
    strategy: Strategy,
    cases: Iterable[Case],
    see: Callable[[Case], Sight],
    height: int,
    adequate: Callable[[Case, str], str] = lambda case, entry: entry,
) -> tuple[tuple[Case, ...], tuple[str, ...]]:
    """One client's cases after a look at the chain whose last block is at ``height``, and the entries to publish now.

    ``adequate`` may put another entry, that differs only in its fee, in the place of the chosen one.
    """
    after: dict[str, Case] = {}
    unspent: list[Case] = []
    for case in cases:
        sight = see(case)
        after[case.outpoint] = now = _told(machine, case, sight, height)
        if sight.confirmed is not None and sight.spent is None:
            unspent.append(now)
    answers: list[str] = []
    for case, name in choose(strategy, unspent, height + 1):
        event = Event.of("answer", case.tower, entry=adequate(case, name), next_height=height + 1)
        try:
            stepped = step(machine, case, event)
        except Refused:
            continue
        after[case.outpoint] = stepped.context
        answers += [action.name for action in stepped.actions if action.kind == "broadcast"]
    return tuple(after.values()), tuple(answers)


def _told(machine: BoundMachine[Case], case: Case, sight: Sight, height: int) -> Case:
    """A case after what has become of its output: gone, confirmed, spent."""
    if case.status == "settled":
        return case
    events = []
    if case.confirmed not in (NOT_THERE, sight.confirmed):
        events.append(Event.of("output_gone", "chain"))
    if sight.confirmed is not None and case.confirmed != sight.confirmed:
        events.append(Event.of("output_confirmed", "chain", height=sight.confirmed))
    if sight.spent is not None:
        events.append(Event.of("output_spent", "chain", depth=height - sight.spent + 1))
    for event in events:
        try:
            case = step(machine, case, event).context
        except Refused:
            continue
    return case


def choose(strategy: Strategy, cases: Iterable[Case], next_height: int) -> tuple[tuple[Case, str], ...]:
    """What a tower publishes now: (case, entry), by the rules of ``strategy`` for the role ``tower``.

    Of the entries for one output at most one is chosen: the first by the order of the rules.
    """
    by_name: dict[str, Case] = {}
    held: dict[str, Template] = {}
    unspent: dict[Outpoint, int] = {}
    for case in cases:
        if case.status not in ("triggered", "responded"):
            continue
        place = Outpoint(case.outpoint, 0)
        unspent[place] = case.confirmed
        for entry in case.entries:
            spend = Spend(place, relative_lock=entry.relative_lock)
            held[entry.name] = Template(
                entry.name, Kind(entry.kind), (spend,), (), frozenset(), lock_time=entry.lock_time
            )
            by_name[entry.name] = case
    view = View("tower", Outpoint("", 0), held, unspent, next_height, 0)
    return tuple((by_name[name], name) for name in decide(strategy, view))
