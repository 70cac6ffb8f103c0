"""Liars: tables that are wrong in one place each, as runners of the kit's own test.

Each mutant is one way in which an implementation may have misread a row: a guard or an effect left out, two effects in
the other order, another next state, the row missing, the sender not looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from superscalar_ref.machine.bind import bind
from superscalar_ref.machine.step import BoundMachine
from superscalar_ref.machine.types import Rules
from superscalar_ref.spec.table import Machine, Transition


@dataclass(frozen=True)
class Mutant:
    """A table that differs from the specified one in one row."""

    id: str
    """As ``SES-5/without-guard/spend_is_unrecorded``."""
    row: str
    says: str
    fault: str
    """The same fault as the mutation of the tables names it: ``SES-5:guard:spend_is_unrecorded``."""
    table: Machine

    def bound(self, machine: BoundMachine[Any]) -> BoundMachine[Any]:
        """The mutant with the functions of the specified machine."""
        rules = Rules(machine.table.name, dict(machine.guards), dict(machine.effects))
        return bind(self.table, rules)


def mutants(table: Machine) -> Iterator[Mutant]:
    """Every mutant of a table, in the order of its rows."""
    for row in table.transitions:
        for what, detail, changed in _changes(table, row):
            rows = tuple(
                new for old in table.transitions for new in ([changed] if old is row else [old]) if new is not None
            )
            says = f"{row.id}: {_WORDS[what].format(detail)}"
            identity = f"{row.id}/{what}{'/' if detail else ''}{detail}"
            fault = f"{row.id}:{_FAULTS[what]}{':' if detail else ''}{detail}"
            yield Mutant(identity, row.id, says, fault, replace(table, transitions=rows))


_WORDS = {
    "without-guard": "the guard '{}' is not looked at",
    "without-effect": "the effect '{}' is left out",
    "effects-swapped": "the effects '{}' come in the other order",
    "to": "leads to '{}'",
    "missing": "the row is missing{}",
    "by-anyone": "anyone may cause it{}",
}

_FAULTS = {
    "without-guard": "guard",
    "without-effect": "effect",
    "effects-swapped": "swap",
    "to": "to",
    "missing": "row",
    "by-anyone": "by",
}


def _changes(table: Machine, row: Transition) -> Iterator[tuple[str, str, Transition | None]]:
    for guard in row.guards:
        yield "without-guard", guard, replace(row, guards=tuple(name for name in row.guards if name != guard))
    for effect in row.effects:
        yield "without-effect", effect, replace(row, effects=tuple(name for name in row.effects if name != effect))
    for number in range(len(row.effects) - 1):
        swapped = list(row.effects)
        swapped[number : number + 2] = reversed(swapped[number : number + 2])
        detail = f"{row.effects[number]}+{row.effects[number + 1]}"
        yield "effects-swapped", detail, replace(row, effects=tuple(swapped))
    other = next((state.name for state in table.states if state.name != row.to), None)
    if other is not None:
        yield "to", other, replace(row, to=other)
    yield "missing", "", None
    if "anyone" not in row.by:
        yield "by-anyone", "", replace(row, by=("anyone",))
