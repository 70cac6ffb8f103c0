"""From a seed to vectors: what can be reached, and which of it tells the table from its mutants.

Laws of this module:

* The search is breadth first and in the seed's order, so that equal tables and seeds give equal vectors.
* A vector is a start, the way to a context, and a last event. Every event on the way has its expectation too.
* Chosen are: the shortest way to take each row, the shortest difference from each mutant that no chosen way shows yet,
  for each state an event that it never takes, for each row a sender that may not cause it, and for each guard that
  compares a number of the event the last value on either side of its bound, where the seed has both.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from superscalar_ref.conformance.mutants import Mutant, mutants
from superscalar_ref.conformance.plain import actions_plain, event_plain, plain, with_fields
from superscalar_ref.conformance.seeds import Given, Seed, Start
from superscalar_ref.errors import Refused, SuperscalarError
from superscalar_ref.machine.step import BoundMachine, Stepped, step
from superscalar_ref.machine.types import Event
from superscalar_ref.spec.machines import WRONG_SENDER

MOST_CONTEXTS = 900
"""Contexts of one machine that are looked at, shared equally by its starts."""

Answer = Stepped[Any] | Refused


@dataclass(frozen=True)
class Visit:
    """A context that can be reached: from which start, and by what."""

    start: Start
    context: Any
    before: Visit | None = None
    by: Event | Given | None = None

    def way(self) -> tuple[Visit, ...]:
        """The visits from the start to this one."""
        return (self,) if self.before is None else (*self.before.way(), self)


@dataclass(frozen=True)
class Edge:
    """One event in one context, and what the table says."""

    at: Visit
    event: Event
    answer: Answer
    rows: frozenset[str]
    """Rows of this state and event."""

    @property
    def taken(self) -> str:
        """Id of the row that took it; empty when it was refused."""
        return self.answer.transition_id if isinstance(self.answer, Stepped) else ""


@dataclass
class Found:
    """What a search gave."""

    chosen: dict[tuple[int, int], Edge] = field(default_factory=dict)
    """By the identity of the context's visit and of the event; in the order in which they were chosen."""
    hunts: dict[tuple[int, int], list[str]] = field(default_factory=dict)
    """The mutants that were the reason for choosing an edge."""
    missed: list[Mutant] = field(default_factory=list)
    """Mutants that no edge tells from the table."""
    not_taken: list[str] = field(default_factory=list)
    """Rows that the search never took."""
    mutants: int = 0
    unplayable: set[str] = field(default_factory=set)
    """What events lack that a guard or an effect asks for."""


def ask(machine: BoundMachine[Any], context: Any, event: Event) -> Answer | None:
    """What a table does with an event; None when an effect cannot run, since a guard should have prevented it.

    Raises KeyError for a field that the event lacks.
    """
    try:
        return step(machine, context, event)
    except Refused as refused:
        return refused
    except (AssertionError, SuperscalarError, IndexError, TypeError):
        return None


def same(one: Answer | None, other: Answer | None) -> bool:
    """Whether two answers look alike from outside: which row was taken shows only in what it did."""
    if isinstance(one, Stepped) and isinstance(other, Stepped):
        return bool(one.context == other.context and one.actions == other.actions)
    if isinstance(one, Refused) and isinstance(other, Refused):
        return (one.code, one.rule) == (other.code, other.rule)
    return False


def search(machine: BoundMachine[Any], seed: Seed) -> Found:
    """Search from a seed and choose the vectors."""
    found = Found()
    edges = list(_edges(machine, seed, found))
    number = {id(event): position for position, event in enumerate(seed.events)}
    by_row: dict[str, list[Edge]] = defaultdict(list)
    for edge in edges:
        for row in edge.rows:
            by_row[row].append(edge)

    def choose(edge: Edge, hunt: str = "") -> None:
        key = (id(edge.at), number[id(edge.event)])
        found.chosen.setdefault(key, edge)
        if hunt:
            found.hunts.setdefault(key, []).append(hunt)

    for transition in machine.table.transitions:
        first = next((edge for edge in by_row[transition.id] if edge.taken == transition.id), None)
        if first is None:
            found.not_taken.append(transition.id)
        else:
            choose(first)
    for edge in _refusals(machine, edges):
        choose(edge)
    for mutant in mutants(machine.table):
        found.mutants += 1
        liar = mutant.bound(machine)
        shows = [edge for edge in found.chosen.values() if mutant.row in edge.rows]
        told = next((edge for edge in (*shows, *by_row[mutant.row]) if _differs(liar, edge)), None)
        if told is None:
            found.missed.append(mutant)
        else:
            choose(told, mutant.id)
    for what, refused, taken in _bounds(edges):
        choose(refused, f"{what}/refused")
        choose(taken, f"{what}/taken")
    return found


def _bounds(edges: list[Edge]) -> Iterator[tuple[str, Edge, Edge]]:
    """Two edges of which a guard refuses one, while the other, with one number by one more or less, is taken.

    One pair for each row, guard and number; where one name comes with the number, for each of these names.
    """
    known = {(id(edge.at), edge.event): edge for edge in edges}
    done: set[str] = set()
    for edge in edges:
        if not isinstance(edge.answer, Refused) or edge.answer.guard in (None, WRONG_SENDER):
            continue
        for key, value in edge.event.fields:
            if isinstance(value, bool) or not isinstance(value, int):
                continue
            others = tuple(one for one in edge.event.fields if one[0] != key)
            names = [str(text) for _, text in others if isinstance(text, str) and text]
            one = names if len(names) == 1 else []
            what = "/".join([edge.answer.rule, "off-by-one", str(edge.answer.guard), key, *one])
            for near in (value - 1, value + 1):
                fields = tuple(sorted((*others, (key, near))))
                other = known.get((id(edge.at), replace(edge.event, fields=fields)))
                if other is not None and other.taken == edge.answer.rule and what not in done:
                    done.add(what)
                    yield what, edge, other


def _differs(liar: BoundMachine[Any], edge: Edge) -> bool:
    try:
        return not same(ask(liar, edge.at.context, edge.event), edge.answer)
    except KeyError:
        return True


def _edges(machine: BoundMachine[Any], seed: Seed, found: Found) -> Iterator[Edge]:
    most = MOST_CONTEXTS // len(seed.starts)
    idle: set[str] = set()
    for start in seed.starts:
        first = Visit(start, start.context)
        seen = {start.context}
        waiting = [first]
        while waiting:
            visit = waiting.pop(0)
            for event in seed.events:
                rows = frozenset(b.row.id for b in machine.candidates(visit.context.status, event.name))
                # One event that no row takes says as much as another: no mutant adds a row.
                if not rows and visit.context.status in idle:
                    continue
                try:
                    answer = ask(machine, visit.context, event)
                except KeyError as lacking:
                    found.unplayable.add(str(lacking.args[0]))
                    continue
                if answer is None:
                    continue
                if not rows:
                    idle.add(visit.context.status)
                yield Edge(visit, event, answer, rows)
                if isinstance(answer, Stepped) and answer.context not in seen and len(seen) < most:
                    seen.add(answer.context)
                    waiting.append(Visit(start, answer.context, visit, event))
            for given in seed.given:
                changed = with_fields(machine, visit.context, given.fields, seed.machine)
                if changed not in seen and len(seen) < most:
                    seen.add(changed)
                    waiting.append(Visit(start, changed, visit, given))


def _refusals(machine: BoundMachine[Any], edges: list[Edge]) -> Iterator[Edge]:
    """For each state an event that it never takes; for each row a sender that may not cause it."""
    states: set[str] = set()
    senders: set[str] = set()
    for edge in edges:
        if not isinstance(edge.answer, Refused):
            continue
        if edge.answer.guard is None and edge.at.context.status not in states:
            states.add(edge.at.context.status)
            yield edge
        if edge.answer.guard == WRONG_SENDER and edge.answer.rule not in senders:
            senders.add(edge.answer.rule)
            yield edge


def steps_of(machine: BoundMachine[Any], edge: Edge) -> list[dict[str, Any]]:
    """The steps of the vector of an edge, as JSON: what comes in, and what is expected."""
    steps: list[dict[str, Any]] = []
    for before, after in zip(edge.at.way(), edge.at.way()[1:], strict=False):
        if isinstance(after.by, Given):
            shown = plain(after.context)
            steps.append({"given": {key: shown[key] for key in after.by.fields}, "says": after.by.says})
        elif after.by is not None:
            steps.append(expected(before.context, after.by, step(machine, before.context, after.by)))
    steps.append(expected(edge.at.context, edge.event, edge.answer))
    return steps


def expected(context: Any, event: Event, answer: Answer) -> dict[str, Any]:
    """One step as JSON: the event, and what the table answers. Of the state only what changed is written."""
    if isinstance(answer, Refused):
        return {"event": event_plain(event), "expect": {"reject": {"code": answer.code, "rule": answer.rule}}}
    return {
        "event": event_plain(event),
        "expect": {
            "rule": answer.transition_id,
            "state": changes(plain(context), plain(answer.context)),
            "effects": actions_plain(answer.actions),
        },
    }


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """The status, and the fields of a state that differ from the one before."""
    return {key: value for key, value in after.items() if key == "status" or before.get(key) != value}
