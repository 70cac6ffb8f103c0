"""Binding a table to the functions that it names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from superscalar_ref.errors import SpecError
from superscalar_ref.machine.step import BoundMachine, BoundTransition
from superscalar_ref.machine.types import Rules
from superscalar_ref.spec.table import Function, Machine


def bind(table: Machine, rules: Rules) -> BoundMachine[Any]:
    """Join a table and its rules.

    Raises SpecError (``file:line`` of the declaration, or of the function) for a name without a function, a function
    without a name, or rules made for another machine.
    """
    if rules.machine != table.name:
        raise SpecError(str(table.place), f"these are the rules of '{rules.machine}'", "machine-name")
    _match(table, "guard", table.guards, rules.guards)
    _match(table, "effect", table.effects, rules.effects)
    rows: dict[tuple[str, str], tuple[BoundTransition, ...]] = {}
    for row in table.transitions:
        bound = BoundTransition(
            row,
            tuple(rules.guards[name] for name in row.guards),
            tuple(rules.effects[name] for name in row.effects),
        )
        for state in row.sources:
            rows[state, row.event] = (*rows.get((state, row.event), ()), bound)
    return BoundMachine(table, dict(rules.guards), dict(rules.effects), rows)


def _match(table: Machine, what: str, declared: tuple[Function, ...], functions: Mapping[str, Any]) -> None:
    names = {item.name for item in declared}
    for item in declared:
        if item.name not in functions:
            raise SpecError(
                str(item.place), f"the {what} '{item.name}' of '{table.name}' has no function", f"{what}-bound"
            )
    for name, function in functions.items():
        if name not in names:
            code = getattr(function, "__code__", None)
            place = f"{code.co_filename}:{code.co_firstlineno}" if code else str(table.place)
            raise SpecError(place, f"the {what} '{name}' is not declared by '{table.name}'", f"{what}-declared")
