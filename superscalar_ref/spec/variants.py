"""Other designs: reading them, and applying one to a specification."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from superscalar_ref.errors import SpecError
from superscalar_ref.spec.machines import check_wording, parse_transition
from superscalar_ref.spec.parameters import check_defaults
from superscalar_ref.spec.schema import check_schema
from superscalar_ref.spec.source import Document, Place
from superscalar_ref.spec.specification import Specification
from superscalar_ref.spec.table import Function, Machine, Patch, Transition, Variant

_ARGUMENTS = {
    "drop_guard": {"machine", "transition", "guard"},
    "drop_effect": {"machine", "transition", "effect"},
    "reorder_effects": {"transition", "effects"},
    "replace_guards": {"transition", "guards"},
    "retarget": {"transition", "to"},
    "add_transition": {"machine", "add"},
    "remove_transition": {"transition"},
    "declare_guard": {"machine", "guard", "says"},
    "declare_effect": {"machine", "effect", "says"},
    "set_parameter": {"parameter", "value"},
    "drop_constraint": {"constraint"},
}
"""Which keys each kind of patch takes."""


def parse_variant(document: Document) -> Variant:
    """Read one variant. Raises SpecError (``file:line``)."""
    check_schema(document, "variant")
    check_wording(document)
    data: Mapping[str, Any] = document.data
    head = data["variant"]
    if head["id"].removeprefix("V-").lower() != document.path.stem.lower():
        raise SpecError(
            str(document.place("variant", "id")),
            f"{head['id']} belongs in {head['id'].removeprefix('V-').lower()}.toml",
            "variant-name",
        )
    return Variant(
        id=head["id"],
        title=head["title"],
        says=head["says"],
        breaks=head.get("breaks", ""),
        hero=head.get("for", ""),
        by=head.get("by", ""),
        premise=head.get("premise", ""),
        question=head.get("question", ""),
        source=tuple(head.get("source", ())),
        options=tuple(data.get("options", {}).items()),
        patches=tuple(_patch(row, index, document) for index, row in enumerate(data["patches"])),
        place=document.place("variant"),
        keeps=tuple(head.get("keeps", ())),
    )


def _patch(row: Mapping[str, Any], index: int, document: Document) -> Patch:
    place = document.place("patches", index)
    for key in row:
        if key != "do" and key not in _ARGUMENTS[row["do"]]:
            raise SpecError(
                str(document.place("patches", index, key)),
                f"'{row['do']}' takes no '{key}', only {', '.join(sorted(_ARGUMENTS[row['do']]))}",
                "variant-patch",
            )
    if row["do"] in {"drop_guard", "drop_effect"} and ("machine" in row) == ("transition" in row):
        raise SpecError(
            str(place), f"'{row['do']}' needs a transition, or a machine for all of its rows", "variant-patch"
        )
    arguments: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}
    if "add" in arguments:
        arguments["add"] = parse_transition(row["add"], place)
    return Patch(place=place, **arguments)


def apply_variant(specification: Specification, variant: Variant) -> Specification:
    """Return the specification with the variant's patches applied in their order.

    Declarations that no row uses any more stay declared, and states may become unreachable: a wrong design may be
    ugly. Raises SpecError (place of the patch) for a patch that names what is not there or changes nothing, and for
    one that sets a parameter whose value then breaks a constraint that was not dropped.
    """
    for patch in variant.patches:
        specification = _APPLY[patch.do](specification, patch)
    check_defaults(specification.parameters, stated(variant))
    return specification


def stated(variant: Variant) -> dict[str, Place]:
    """The parameters that a variant sets, in the order of its patches, each with the place of the last that does."""
    return {patch.parameter: patch.place for patch in variant.patches if patch.do == "set_parameter"}


def _fault(patch: Patch, problem: str) -> SpecError:
    return SpecError(str(patch.place), f"{patch.do}: {problem}", "variant-patch")


def _machine(specification: Specification, patch: Patch) -> Machine:
    """Return the machine that a patch is about."""
    for machine in specification.machines:
        if machine.name == patch.machine or any(row.id == patch.transition for row in machine.transitions):
            return machine
    if patch.machine:
        raise _fault(patch, f"there is no machine '{patch.machine}'")
    raise _fault(patch, f"there is no transition {patch.transition}")


def _with_machine(specification: Specification, new: Machine) -> Specification:
    machines = tuple(new if machine.name == new.name else machine for machine in specification.machines)
    return replace(specification, machines=machines)


def _with_rows(specification: Specification, patch: Patch, change: Callable[[Transition], Transition]) -> Specification:
    """Change the row that the patch names, or all rows of its machine; at least one must come out different."""
    machine = _machine(specification, patch)
    rows = tuple(change(row) if patch.transition in {"", row.id} else row for row in machine.transitions)
    if rows == machine.transitions:
        raise _fault(patch, f"changes nothing in {patch.transition or machine.name}")
    return _with_machine(specification, replace(machine, transitions=rows))


def _require(patch: Patch, names: tuple[str, ...], known: tuple[str, ...], what: str) -> None:
    for name in names:
        if name not in known:
            raise _fault(patch, f"there is no {what} '{name}'")


def _names(functions: tuple[Function, ...]) -> tuple[str, ...]:
    return tuple(function.name for function in functions)


_Item = TypeVar("_Item")


def _minus(items: tuple[_Item, ...], item: _Item) -> tuple[_Item, ...]:
    return tuple(other for other in items if other != item)


def _drop_guard(specification: Specification, patch: Patch) -> Specification:
    return _with_rows(specification, patch, lambda row: replace(row, guards=_minus(row.guards, patch.guard)))


def _drop_effect(specification: Specification, patch: Patch) -> Specification:
    return _with_rows(specification, patch, lambda row: replace(row, effects=_minus(row.effects, patch.effect)))


def _reorder_effects(specification: Specification, patch: Patch) -> Specification:
    row = _machine(specification, patch).transition(patch.transition)
    if sorted(row.effects) != sorted(patch.effects):
        raise _fault(patch, f"not the effects of {row.id} in another order: {', '.join(row.effects)}")
    return _with_rows(specification, patch, lambda row: replace(row, effects=patch.effects))


def _replace_guards(specification: Specification, patch: Patch) -> Specification:
    _require(patch, patch.guards, _names(_machine(specification, patch).guards), "guard")
    return _with_rows(specification, patch, lambda row: replace(row, guards=patch.guards))


def _retarget(specification: Specification, patch: Patch) -> Specification:
    states = tuple(state.name for state in _machine(specification, patch).states)
    _require(patch, (patch.to,), states, "state")
    return _with_rows(specification, patch, lambda row: replace(row, to=patch.to))


def _add_transition(specification: Specification, patch: Patch) -> Specification:
    machine, row = _machine(specification, patch), patch.add
    assert row is not None  # the schema asks for it
    if any(other.id == row.id for item in specification.machines for other in item.transitions):
        raise _fault(patch, f"{row.id} exists already")
    _require(patch, (*row.sources, row.to), tuple(state.name for state in machine.states), "state")
    _require(patch, row.guards, _names(machine.guards), "guard")
    _require(patch, row.effects, _names(machine.effects), "effect")
    return _with_machine(specification, replace(machine, transitions=(*machine.transitions, row)))


def _remove_transition(specification: Specification, patch: Patch) -> Specification:
    machine = _machine(specification, patch)
    rows = _minus(machine.transitions, machine.transition(patch.transition))
    return _with_machine(specification, replace(machine, transitions=rows))


def _declare_guard(specification: Specification, patch: Patch) -> Specification:
    machine = _machine(specification, patch)
    if patch.guard in _names(machine.guards):
        raise _fault(patch, f"'{patch.guard}' is declared already")
    function = Function(patch.guard, patch.says, patch.place)
    return _with_machine(specification, replace(machine, guards=(*machine.guards, function)))


def _declare_effect(specification: Specification, patch: Patch) -> Specification:
    machine = _machine(specification, patch)
    if patch.effect in _names(machine.effects):
        raise _fault(patch, f"'{patch.effect}' is declared already")
    function = Function(patch.effect, patch.says, patch.place)
    return _with_machine(specification, replace(machine, effects=(*machine.effects, function)))


def _set_parameter(specification: Specification, patch: Patch) -> Specification:
    if patch.parameter not in specification.parameters:
        raise _fault(patch, f"there is no parameter '{patch.parameter}'")
    parameters = specification.parameters.with_default(patch.parameter, patch.value)
    return replace(specification, parameters=parameters)


def _drop_constraint(specification: Specification, patch: Patch) -> Specification:
    try:
        parameters = specification.parameters.without(patch.constraint)
    except KeyError:
        raise _fault(patch, f"there is no constraint {patch.constraint}") from None
    return replace(specification, parameters=parameters)


_APPLY: dict[str, Callable[[Specification, Patch], Specification]] = {
    "drop_guard": _drop_guard,
    "drop_effect": _drop_effect,
    "reorder_effects": _reorder_effects,
    "replace_guards": _replace_guards,
    "retarget": _retarget,
    "add_transition": _add_transition,
    "remove_transition": _remove_transition,
    "declare_guard": _declare_guard,
    "declare_effect": _declare_effect,
    "set_parameter": _set_parameter,
    "drop_constraint": _drop_constraint,
}
