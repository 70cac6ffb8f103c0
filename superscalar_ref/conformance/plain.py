"""Contexts, events and actions of the machines as plain JSON values, and back.

Laws of this module:

* A context is an object with its fields; a set is a sorted list; nothing is left out, so that two equal contexts give
  equal objects.
* An event is ``{"name", "by", "fields"}``. A list in its fields is a set of names.
* An action is ``{"kind", "name", "to", "fields"}``.
* Which class a machine's contexts have is read from its rules: the first argument of every guard and effect.
"""

from __future__ import annotations

import dataclasses
import importlib
import typing
from collections.abc import Mapping
from functools import cache
from typing import Any

import msgspec

from superscalar_ref.errors import InputError, SpecError
from superscalar_ref.machine.bind import bind
from superscalar_ref.machine.step import BoundMachine
from superscalar_ref.machine.types import Action, Event, Rules
from superscalar_ref.spec.table import Machine

OBSERVABLE = frozenset({"persist", "send", "broadcast", "alert", "refuse"})
"""Kinds of action that somebody else can see; the others are the party's own."""


def rules_of(machine: str) -> Rules | None:
    """The functions of a machine: ``RULES`` of the module of its name; None when there is no such module yet."""
    try:
        module = importlib.import_module(f"superscalar_ref.protocol.{machine}")
    except ModuleNotFoundError:
        return None
    found: Rules | None = getattr(module, "RULES", None)
    return found


def bound_to_rules(table: Machine) -> BoundMachine[Any] | None:
    """The table with its functions, or None when it has none. Raises SpecError when they do not fit."""
    rules = rules_of(table.name)
    return None if rules is None else bind(table, rules)


def context_class(machine: BoundMachine[Any]) -> type[Any]:
    """The class of a machine's contexts. Raises SpecError when no guard or effect names it."""
    for function in (*machine.effects.values(), *machine.guards.values()):
        hints = typing.get_type_hints(function)
        first: type[Any] = next(iter(hints.values()))
        return first
    raise SpecError(str(machine.table.place), f"'{machine.table.name}' has neither guards nor effects", "context-class")


def plain(value: object) -> Any:
    """Return a value of the machines as JSON: sets become sorted lists."""
    if dataclasses.is_dataclass(value):
        return {one.name: plain(getattr(value, one.name)) for one in dataclasses.fields(value)}
    if isinstance(value, frozenset):
        return sorted((plain(item) for item in value), key=str)
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    return str(value) if isinstance(value, str) else value


def context_from(machine: BoundMachine[Any], value: object, place: str) -> Any:
    """A context from its object. Raises InputError naming ``place`` and the field that is wrong."""
    given = {"status": machine.table.initial, **value} if isinstance(value, Mapping) else value
    try:
        return msgspec.convert(given, context_class(machine), strict=True)
    except (msgspec.ValidationError, SpecError) as error:
        raise InputError(place, str(error), "state") from error


@cache
def _types(kind: type[Any]) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def with_fields(machine: BoundMachine[Any], context: Any, fields: Mapping[str, Any], place: str) -> Any:
    """The context with some of its fields changed from outside. Raises InputError naming ``place`` and the field."""
    kind: Any = type(context)
    types = _types(kind)
    changed = {}
    for name, value in fields.items():
        if name not in types:
            raise InputError(place, f"a state of '{machine.table.name}' has no field '{name}'", "state")
        try:
            changed[name] = msgspec.convert(value, types[name], strict=True)
        except msgspec.ValidationError as error:
            raise InputError(place, f"'{name}': {error}", "state") from error
    return dataclasses.replace(context, **changed)


def event_plain(event: Event) -> dict[str, Any]:
    """An event as JSON."""
    return {"name": event.name, "by": event.by, "fields": {key: plain(value) for key, value in event.fields}}


def event_from(value: object, place: str) -> Event:
    """An event from JSON. Raises InputError naming ``place``."""
    if not isinstance(value, Mapping) or not isinstance(value.get("name"), str) or not isinstance(value.get("by"), str):
        raise InputError(place, "an event is an object with 'name', 'by' and 'fields'", "event")
    fields = value.get("fields", {})
    if not isinstance(fields, Mapping):
        raise InputError(place, "the 'fields' of an event are an object", "event")
    found: dict[str, Any] = {}
    for key, field in fields.items():
        if isinstance(field, list) and all(isinstance(item, str) for item in field):
            found[key] = frozenset(field)
        elif isinstance(field, str | int):
            found[key] = field
        else:
            raise InputError(
                f"{place}.{key}", "is neither text, a whole number, true, false, nor a list of text", "event"
            )
    return Event(value["name"], value["by"], tuple(sorted(found.items())))


def actions_plain(actions: tuple[Action, ...]) -> list[dict[str, Any]]:
    """Actions as JSON, in their order."""
    return [
        {
            "kind": action.kind,
            "name": action.name,
            "to": action.to,
            "fields": {key: plain(value) for key, value in action.fields},
        }
        for action in actions
    ]
