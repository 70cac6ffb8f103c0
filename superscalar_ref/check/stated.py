"""Numbers that somebody's design states, and what they mean in a small world.

The small worlds take the tightest values that the constraints allow, so they answer for every value that is allowed. A
design that drops a constraint and states numbers is asked something else: are *these* numbers safe? Laws of this
module:

* A dropped constraint that names no stated number leaves its value free, down to what the others allow.
* One that names a stated number is judged at full size, by all the numbers of the design. If they keep it, the small
  worlds keep it. If they miss it, the small worlds miss it by the same part of its edge, and by at least one block.
* What a configuration chooses (``CHOSEN``) is not scaled: it is the measure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path

from superscalar_ref.errors import SpecError
from superscalar_ref.spec.expression import names
from superscalar_ref.spec.load import load_parameters
from superscalar_ref.spec.parameters import Constraint, ParameterSet
from superscalar_ref.spec.source import Place

CHOSEN = (
    "states_per_layer",
    "confirmation_blocks",
    "absence_blocks",
    "dw_layers",
    "static_levels",
    "active_blocks",
    "dying_blocks",
)
"""What a configuration says, or what follows from its shape."""
GREATEST = ("exit_absence_blocks", "lsp_absence_blocks", "signing_absence_blocks")
"""Made as large as the constraints allow, in this order."""
LEAST = (
    "step_blocks",
    "stock_lock_blocks",
    "to_self_delay_blocks",
    "exit_budget_blocks",
    "settle_blocks",
    "close_margin_blocks",
    "expiry_gap_blocks",
    "life_blocks",
    "funding_confirmations",
)
"""Made as small as they allow, in this order: what a constraint is solved for comes after what it is computed from."""
PLAYED = frozenset({*CHOSEN, "links_max", "height_step_blocks", *GREATEST, *LEAST} - {"funding_confirmations"})
"""Numbers that the games look at, or that a constraint on what they look at counts with."""
_FARTHEST = 70_000
"""Blocks: more than any relative lock."""


@dataclass(frozen=True)
class Missed(Constraint):
    """A constraint that the numbers of a design miss."""

    target: str
    """The number that it is solved for: the last of its names in the order in which they are made tight."""
    short: int
    """Blocks that ``target`` lacks to keep it (for an absence: that it has too many)."""
    edge: int
    """The value of ``target`` (blocks) that would keep it."""

    def shift(self, edge: int) -> int:
        """Blocks by which a small world misses it, where ``edge`` (blocks) would keep it; negative for an absence."""
        blocks = max(1, -(-self.short * edge // max(self.edge, 1)))
        return -blocks if self.target in GREATEST else blocks


@dataclass(frozen=True)
class Stated:
    """The parameters with what the stated numbers settle, and a sentence on each constraint that they settle."""

    parameters: ParameterSet
    remarks: tuple[str, ...] = ()


def state(parameters: ParameterSet, base: ParameterSet, numbers: Mapping[str, Place]) -> Stated:
    """Judge by its numbers each constraint of ``base`` that ``parameters`` dropped and that names one of ``numbers``.

    ``numbers``: those that the design states, each with its place. Raises ``SpecError`` at that place for a number that
    no number of a small world can stand for.
    """
    kept = {(constraint.id, constraint.text) for constraint in parameters.constraints}
    values = {parameter.name: parameter.default for parameter in parameters.parameters}
    added: list[Constraint] = []
    remarks = []
    for constraint in base.constraints:
        about = names(constraint.expression)
        stated = [name for name in numbers if name in about]
        order = [name for name in (*GREATEST, *LEAST) if name in about]
        if (constraint.id, constraint.text) in kept or not stated or not order or not about <= values.keys():
            continue
        if any(isinstance(values[name], int) and name not in PLAYED for name in about):
            continue
        if constraint.holds(values):
            added.append(constraint)
            remarks.append(f"{constraint.id} is dropped, but the numbers keep it: so do the small worlds.")
            continue
        missed = _missed(constraint, order[-1], values, numbers[stated[0]])
        added.append(missed)
        much = "too many" if missed.target in GREATEST else "too few"
        remarks.append(
            f"{constraint.id} is dropped, and the numbers miss it: '{missed.target}' is {values[missed.target]},"
            f" {missed.short} {much}. The small worlds miss it by the same part, and by at least one block."
        )
    return Stated(replace(parameters, constraints=(*parameters.constraints, *added)), tuple(remarks))


def _missed(constraint: Constraint, target: str, values: Mapping[str, int | str], place: Place) -> Missed:
    number, sign = int(values[target]), -1 if target in GREATEST else 1
    for short in range(1, _FARTHEST):
        if constraint.holds({**values, target: number + sign * short}):
            known = {item.name: getattr(constraint, item.name) for item in fields(Constraint)}
            return Missed(**known, target=target, short=short, edge=number + sign * short)
    raise SpecError(str(place), f"no small world can miss {constraint.id} as these numbers do", "small-world")


def state_copy(parameters: ParameterSet, directory: Path | None) -> Stated:
    """``state`` for a copy of the specification: its numbers are those that differ from the package's own.

    Raises ``SpecError`` as ``state`` and ``differing`` do.
    """
    if directory is None:
        return Stated(parameters)
    base = load_parameters()
    return state(parameters, base, differing(parameters, base))


def differing(parameters: ParameterSet, base: ParameterSet) -> dict[str, Place]:
    """The numbers whose defaults a copy of the specification has changed, each with its place.

    Raises ``SpecError`` for another least value of a number that the small worlds make small: it has no meaning there.
    """
    found = {}
    for parameter in parameters.parameters:
        if parameter.name not in base or not isinstance(parameter.default, int):
            continue
        if parameter.name in LEAST and parameter.low != base[parameter.name].low:
            problem = f"another 'min' of '{parameter.name}' means nothing in a small world: state a 'default' instead"
            raise SpecError(str(parameter.place), problem, "small-world")
        if parameter.default != base[parameter.name].default:
            found[parameter.name] = parameter.place
    return found
