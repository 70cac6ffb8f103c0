"""Why a rule is there: take it away, and find the shortest way to the loss that it prevents.

A transition is taken apart: each of its guards is dropped, then each effect, then the transition itself. A constraint
is dropped (and every lock becomes as short as the others allow), a rule of the strategy is dropped. What is lost is the
first property that breaks, or a ``sometimes`` that has no example any more: nothing goes wrong if nothing goes on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from superscalar_ref.check.judge import KNOWN, SOMETIMES, Design, judge
from superscalar_ref.check.verdict import Verdict
from superscalar_ref.errors import InputError, SuperscalarError
from superscalar_ref.spec.location import spec_directory
from superscalar_ref.spec.source import Place, read_document
from superscalar_ref.spec.table import Patch, Variant
from superscalar_ref.spec.variants import apply_variant


@dataclass(frozen=True)
class Removal:
    """One thing that is taken away."""

    says: str
    design: Design | None
    """None when the tables cannot even be loaded without it."""
    problem: str = ""


@dataclass(frozen=True)
class Reason:
    """What a removal leads to."""

    removal: Removal
    broken: Verdict | None
    """The first property that breaks, with its trace."""
    idle: tuple[str, ...]
    """Properties of which no example is left although they hold, and states that are never reached any more."""


def removals(design: Design, identity: str) -> Iterator[Removal]:
    """Everything that can be taken away under ``identity``, a transition, guard, constraint or rule of the strategy.

    Raises ``InputError`` when nothing has that id.
    """
    specification = design.specification
    if any(rule.id == identity for rule in design.strategy.rules):
        yield Removal(f"without the rule {identity}", replace(design, strategy=design.strategy.without(identity)))
        return
    if any(constraint.id == identity for constraint in specification.parameters.constraints):
        yield _patched(design, f"without the constraint {identity}", do="drop_constraint", constraint=identity)
        return
    for machine in specification.machines:
        for row in machine.transitions:
            if row.id != identity:
                continue
            for guard in row.guards:
                says = f"{identity} without the guard '{guard}'"
                yield _patched(design, says, do="drop_guard", transition=identity, guard=guard)
            for effect in row.effects:
                says = f"{identity} without the effect '{effect}'"
                yield _patched(design, says, do="drop_effect", transition=identity, effect=effect)
            yield _patched(design, f"without {identity}", do="remove_transition", transition=identity)
            return
        if any(identity in row.guards for row in machine.transitions):
            says = f"the machine '{machine.name}' without the guard '{identity}'"
            yield _patched(design, says, do="drop_guard", machine=machine.name, guard=identity)
            return
    known = "a transition (SES-5), a guard (kit_held), a constraint (R-STEP-DOMINATES) or a rule (STR-5)"
    raise InputError(f"'{identity}'", f"is no id here; give {known}", "why")


def _patched(design: Design, says: str, **patch: str) -> Removal:
    place = Place("why", 1)
    variant = Variant("V-WHY", says, says, "", "", "", "", "", (), (), (Patch(place=place, **patch),), place)  # type: ignore[arg-type]
    try:
        return Removal(says, replace(design, specification=apply_variant(design.specification, variant)))
    except SuperscalarError as error:
        return Removal(says, None, str(error))


def unnoticed(design: Design, identity: str, directory: Path | None = None) -> str:
    """What ``spec/unnoticed.toml`` says about an id that no search misses: why, and the test that does miss it.

    Empty when it says nothing. Raises ``SpecError`` when the file cannot be read.
    """
    owners = {
        machine.name
        for machine in design.specification.machines
        for row in machine.transitions
        if identity == row.id or identity in row.guards
    }
    rows: Any = read_document(spec_directory(directory) / "unnoticed.toml").data.get("unnoticed", [])
    for row in rows:
        if identity in row.get("ids", ()) or owners & set(row.get("machines", ())):
            return f"{row['why']} It is missed by {row['test']}."
    return ""


@dataclass(frozen=True)
class Whole:
    """What the design does before anything is taken away."""

    idle: frozenset[str]
    """Properties of which it has no example: a small configuration does not have one of each."""
    reached: frozenset[str]
    """States of their lives that a client and the LSP reach."""


def whole(design: Design, cores: int = 1) -> Whole:
    """What to compare with."""
    idle = frozenset(verdict.property for verdict in judge(design, KNOWN, cores=cores) if not verdict.examples)
    return Whole(idle, design.reached())


def reason(removal: Removal, before: Whole, cores: int = 1) -> Reason:
    """Judge every property without the thing that is taken away, and compare with the whole design ``before``."""
    if removal.design is None:
        return Reason(removal, None, ())
    verdicts = judge(removal.design, KNOWN, cores=cores)
    broken = [verdict for verdict in verdicts if verdict.trace is not None]
    # The plainest loss first: money, then the rest in the order of KNOWN.
    broken.sort(
        key=lambda verdict: (not verdict.trace.rounds if verdict.trace else True, KNOWN.index(verdict.property))
    )
    idle = [v.property + SOMETIMES for v in verdicts if not v.examples and v.property not in before.idle]
    idle += [f"the state '{name}'" for name in sorted(before.reached - removal.design.reached())]
    return Reason(removal, broken[0] if broken else None, tuple(idle))
