"""Seeds: where the search for a table's vectors begins, and what may happen (``spec/vectors/seeds/MACHINE.toml``).

Laws of this module:

* A seed has no meaning of its own: what happens is decided by the table. Rows, guards and effects that come later are
  reached by the same seed as long as their events are in it.
* ``[base]`` are fields that all starts share; ``[starts.NAME.state]`` adds to them; a status that is not given is the
  machine's initial one.
* A field of an event that is a list has several values: the first is the usual one, and one field at a time takes
  another (``vary = "all"``: every combination), for the first sender; every other sender sends the usual. A list
  inside the list is a set of names.
* An event that the table has and the seed has not is tried without fields.
* ``[[given]]`` are fields of the context that another part of the same party changes between two events.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from superscalar_ref.conformance.plain import context_from, event_from, with_fields
from superscalar_ref.errors import SpecError
from superscalar_ref.machine.step import BoundMachine
from superscalar_ref.machine.types import Event
from superscalar_ref.spec.location import spec_directory
from superscalar_ref.spec.source import Document, read_document

FOLDER = Path("vectors") / "seeds"
_NOT_FIELDS = {"name", "by", "vary"}


@dataclass(frozen=True)
class Start:
    """A context to begin in, and what it is, in words."""

    name: str
    says: str
    context: Any


@dataclass(frozen=True)
class Given:
    """Fields of the context that change from outside, in JSON, and what that means, in words."""

    says: str
    fields: Mapping[str, Any]


@dataclass(frozen=True)
class Seed:
    """One machine's seed."""

    machine: str
    says: str
    starts: tuple[Start, ...]
    events: tuple[Event, ...]
    given: tuple[Given, ...]


def load_seed(machine: BoundMachine[Any], directory: Path | None = None) -> Seed | None:
    """The seed of a machine, or None when there is no such file. Raises SpecError, naming the place."""
    path = (directory or spec_directory()) / FOLDER / f"{machine.table.name}.toml"
    if not path.is_file():
        return None
    document = read_document(path)
    data: Any = document.data
    for key in ("machine", "says", "starts", "events"):
        if key not in data:
            raise SpecError(str(document.place()), f"lacks '{key}'", "seed")
    if data["machine"] != machine.table.name:
        raise SpecError(str(document.place("machine")), f"is not '{machine.table.name}'", "seed")
    base = data.get("base", {})
    starts = tuple(
        Start(
            name,
            start["says"],
            context_from(machine, {**base, **start.get("state", {})}, str(document.place("starts", name))),
        )
        for name, start in data["starts"].items()
    )
    events = tuple(event for number, entry in enumerate(data["events"]) for event in _events(document, number, entry))
    events += tuple(_without_fields(machine, events))
    given = tuple(
        Given(entry["says"], {key: value for key, value in entry.items() if key != "says"})
        for entry in data.get("given", [])
    )
    for number, change in enumerate(given):
        with_fields(machine, starts[0].context, change.fields, str(document.place("given", number)))
    return Seed(machine.table.name, data["says"], starts, tuple(dict.fromkeys(events)), given)


def _events(document: Document, number: int, entry: Mapping[str, Any]) -> Iterator[Event]:
    place = str(document.place("events", number))
    names = entry["name"] if isinstance(entry["name"], list) else [entry["name"]]
    senders = entry["by"] if isinstance(entry["by"], list) else [entry["by"]]
    choices = {
        key: value if isinstance(value, list) else [value] for key, value in entry.items() if key not in _NOT_FIELDS
    }
    everything = entry.get("vary") == "all"
    for name, by in itertools.product(names, senders):
        for fields in _every(choices) if everything else _one_at_a_time(choices):
            yield event_from({"name": name, "by": by, "fields": fields}, place)
            if by != senders[0] and not everything:
                break


def _without_fields(machine: BoundMachine[Any], events: tuple[Event, ...]) -> Iterator[Event]:
    """Events of the table that the seed does not have yet, bare, from every sender that the seed knows."""
    known = {event.name for event in events}
    for name in machine.table.events:
        if name not in known:
            yield from (Event.of(name, by) for by in dict.fromkeys(event.by for event in events))


def _every(choices: Mapping[str, list[Any]]) -> Iterator[dict[str, Any]]:
    for values in itertools.product(*choices.values()):
        yield dict(zip(choices, values, strict=True))


def _one_at_a_time(choices: Mapping[str, list[Any]]) -> Iterator[dict[str, Any]]:
    usual = {key: values[0] for key, values in choices.items()}
    yield usual
    for key, values in choices.items():
        for value in values[1:]:
            yield {**usual, key: value}
