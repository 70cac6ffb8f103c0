"""Reading a machine's file, and what must be true of a table before anything runs on it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from superscalar_ref.errors import SpecError
from superscalar_ref.spec.schema import check_schema
from superscalar_ref.spec.source import Document, Place, leaves
from superscalar_ref.spec.table import PREFIXES, Function, Machine, State, Transition

WRONG_SENDER = "wrong_sender"
"""The guard that every row has without writing it: the event is caused by one of the row's ``by``."""

_HOLLOW = re.compile(r"\bMUST\s+(?:NOT\s+)?check\b", re.IGNORECASE)


DOUBTED = frozenset({"guards-used", "effects-used", "state-reachable", "state-final", "transition-alive"})
"""What may become untrue of a table when somebody takes a rule away to see what happens."""


def parse_machine(document: Document, doubted: bool = False) -> Machine:
    """Read a machine's file and check it; ``doubted``: somebody took rules away, so ``DOUBTED`` is not asked.

    Raises SpecError (``file:line``, and the rule that is broken).
    """
    check_schema(document, "machine")
    check_wording(document)
    data: Mapping[str, Any] = document.data
    head = data["machine"]
    machine = Machine(
        name=head["name"],
        title=head["title"],
        subject=head["subject"],
        initial=head["initial"],
        source=tuple(head["source"]),
        states=tuple(
            State(name, row["says"], row.get("final", False), document.place("states", name))
            for name, row in data["states"].items()
        ),
        guards=_functions(document, "guards"),
        effects=_functions(document, "effects"),
        transitions=tuple(
            parse_transition(row, document.place("transitions", index)) for index, row in enumerate(data["transitions"])
        ),
        place=document.place("machine"),
    )
    for complaint in _complaints(machine, document):
        if not (doubted and complaint.rule in DOUBTED):
            raise complaint
    return machine


def parse_transition(row: Mapping[str, Any], place: Place) -> Transition:
    """Read one row that the schema has accepted."""
    return Transition(
        id=row["id"],
        sources=tuple(row["from"]),
        event=row["event"],
        by=(row["by"],) if isinstance(row["by"], str) else tuple(row["by"]),
        to=row["to"],
        guards=tuple(row.get("guards", ())),
        effects=tuple(row.get("effects", ())),
        rule=row["rule"].strip(),
        why=row.get("why", "").strip(),
        source=tuple(row.get("source", ())),
        place=place,
    )


def check_wording(document: Document) -> None:
    """Refuse 'MUST check' in any text of a file: who acts on what, and how, is the requirement. Raises SpecError."""
    for path, text in leaves(document.data):
        if isinstance(text, str) and _HOLLOW.search(text):
            raise SpecError(
                str(document.place(*path)),
                "'MUST check' is no requirement: say who refuses what",
                "no-must-check",
            )


def _functions(document: Document, section: str) -> tuple[Function, ...]:
    rows: Any = document.data.get(section, {})
    return tuple(Function(name, row["says"], document.place(section, name)) for name, row in rows.items())


def _complaints(machine: Machine, document: Document) -> Iterator[SpecError]:
    """Yield what is wrong with a table, references before meaning."""
    yield from _identity(machine, document)
    yield from _references(machine, document)
    yield from _shape(machine)


def _identity(machine: Machine, document: Document) -> Iterator[SpecError]:
    at = document.place("machine", "name")
    if machine.name != document.path.stem:
        yield SpecError(str(at), f"the machine '{machine.name}' is in {document.path.name}", "machine-name")
    if machine.name not in PREFIXES:
        known = ", ".join(f"{name} ({prefix})" for name, prefix in PREFIXES.items())
        yield SpecError(str(at), f"no prefix is known for '{machine.name}'; known: {known}", "id-prefix")
        return
    seen: dict[str, Place] = {}
    for index, transition in enumerate(machine.transitions):
        place = document.place("transitions", index, "id")
        if not transition.id.startswith(f"{machine.prefix}-"):
            yield SpecError(
                str(place),
                f"{transition.id}: ids of '{machine.name}' begin with {machine.prefix}-",
                "id-prefix",
            )
        if transition.id in seen:
            yield SpecError(
                str(place), f"{transition.id} is already used at line {seen[transition.id].line}", "id-once"
            )
        seen[transition.id] = place


def _references(machine: Machine, document: Document) -> Iterator[SpecError]:
    """What a row names must exist."""
    states = {state.name for state in machine.states}
    if machine.initial not in states:
        yield SpecError(
            str(document.place("machine", "initial")),
            f"the initial state '{machine.initial}' is not a state",
            "state-exists",
        )
    declared = {
        "guards": {item.name for item in machine.guards},
        "effects": {item.name for item in machine.effects},
    }
    for index, transition in enumerate(machine.transitions):
        for key, names in (("from", transition.sources), ("to", (transition.to,))):
            for name in names:
                if name not in states:
                    yield SpecError(
                        str(document.place("transitions", index, key)),
                        f"{transition.id}: '{name}' is not a state",
                        "state-exists",
                    )
        for key, names in (("guards", transition.guards), ("effects", transition.effects)):
            for name in names:
                if name not in declared[key]:
                    yield SpecError(
                        str(document.place("transitions", index, key)),
                        f"{transition.id}: '{name}' is not declared under [{key}]",
                        f"{key}-declared",
                    )
    used = {
        "guards": {name for transition in machine.transitions for name in transition.guards},
        "effects": {name for transition in machine.transitions for name in transition.effects},
    }
    for key, functions in (("guards", machine.guards), ("effects", machine.effects)):
        for function in functions:
            if function.name == WRONG_SENDER:
                yield SpecError(
                    str(function.place), f"'{WRONG_SENDER}' is built into every transition", f"{key}-reserved"
                )
            if function.name not in used[key]:
                yield SpecError(str(function.place), f"no transition uses '{function.name}'", f"{key}-used")


def _shape(machine: Machine) -> Iterator[SpecError]:
    """What the graph must look like."""
    for transition in machine.transitions:
        for name in transition.sources:
            if machine.state(name).final:
                yield SpecError(
                    str(transition.place), f"{transition.id} leaves the final state '{name}'", "final-is-final"
                )
    reached = reachable(machine)
    for state in machine.states:
        if state.name not in reached:
            yield SpecError(str(state.place), f"nothing leads to the state '{state.name}'", "state-reachable")
        if not state.final and not machine.leaving(state.name):
            yield SpecError(
                str(state.place), f"nothing leaves the state '{state.name}', and it is not final", "state-final"
            )
    for state in machine.states:
        for later, earlier in _shadowed(machine.leaving(state.name)):
            yield SpecError(
                str(later.place),
                f"{later.id} is never taken in '{state.name}': {earlier.id} always comes before it",
                "transition-alive",
            )


def _shadowed(rows: tuple[Transition, ...]) -> Iterator[tuple[Transition, Transition]]:
    """Yield rows of one state that an earlier row with no more conditions always takes the event from."""
    for position, later in enumerate(rows):
        for earlier in rows[:position]:
            if (
                earlier.event == later.event
                and set(earlier.guards) <= set(later.guards)
                and ("anyone" in earlier.by or set(later.by) <= set(earlier.by))
            ):
                yield later, earlier


def reachable(machine: Machine) -> frozenset[str]:
    """Return the states that some path of rows leads to, guards left aside."""
    reached = {machine.initial}
    frontier = [machine.initial]
    while frontier:
        for transition in machine.leaving(frontier.pop()):
            if transition.to not in reached:
                reached.add(transition.to)
                frontier.append(transition.to)
    return frozenset(reached)
