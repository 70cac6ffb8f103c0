"""What the files of ``spec/`` say, as frozen data. No meaning is added here.

Every element knows its ``place`` (``file:line``), so that whoever finds it at fault can point at it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from superscalar_ref.spec.source import Place

PREFIXES = {
    "factory": "FAC",
    "channel": "CHN",
    "client": "CLI",
    "stock": "STK",
    "session": "SES",
    "ladder": "LAD",
    "watchtower": "WTW",
    "jit": "JIT",
    "assisted_exit": "AXT",
}
"""The prefix of the transition ids of each machine."""


@dataclass(frozen=True)
class State:
    """A state of a machine."""

    name: str
    says: str
    final: bool
    """Nothing leaves it."""
    place: Place


@dataclass(frozen=True)
class Function:
    """A guard or an effect that a machine declares: the code has a function of this name."""

    name: str
    says: str
    place: Place


@dataclass(frozen=True)
class Transition:
    """One row of a machine."""

    id: str
    sources: tuple[str, ...]
    """The states that it leaves (``from`` in the file)."""
    event: str
    by: tuple[str, ...]
    """The roles that may cause the event; ``anyone`` admits all."""
    to: str
    guards: tuple[str, ...]
    """All must hold; tried in this order."""
    effects: tuple[str, ...]
    """Run in this order."""
    rule: str
    why: str
    source: tuple[str, ...]
    place: Place


@dataclass(frozen=True)
class Machine:
    """A lifecycle: the content of one file of ``spec/machines/``."""

    name: str
    title: str
    subject: str
    initial: str
    source: tuple[str, ...]
    states: tuple[State, ...]
    guards: tuple[Function, ...]
    effects: tuple[Function, ...]
    transitions: tuple[Transition, ...]
    place: Place

    @property
    def prefix(self) -> str:
        """The prefix of this machine's transition ids, as ``FAC``."""
        return PREFIXES[self.name]

    @property
    def events(self) -> tuple[str, ...]:
        """The names of the events, in the order of their first row."""
        return tuple(dict.fromkeys(transition.event for transition in self.transitions))

    def state(self, name: str) -> State:
        """Return a state. Raises KeyError when there is none of that name."""
        return _named(self.states, name)

    def guard(self, name: str) -> Function:
        """Return a guard's declaration. Raises KeyError when there is none of that name."""
        return _named(self.guards, name)

    def effect(self, name: str) -> Function:
        """Return an effect's declaration. Raises KeyError when there is none of that name."""
        return _named(self.effects, name)

    def transition(self, identity: str) -> Transition:
        """Return the row with this id. Raises KeyError when there is none."""
        for transition in self.transitions:
            if transition.id == identity:
                return transition
        raise KeyError(identity)

    def leaving(self, state: str) -> tuple[Transition, ...]:
        """Return the rows that leave a state, in the table's order."""
        return tuple(transition for transition in self.transitions if state in transition.sources)


_Named = TypeVar("_Named", State, Function)


def _named(items: tuple[_Named, ...], name: str) -> _Named:
    for item in items:
        if item.name == name:
            return item
    raise KeyError(name)


class Kind(StrEnum):
    """What a property claims."""

    ALWAYS = "always"
    SOMETIMES = "sometimes"
    CAN = "can"
    """The honest party has a strategy: a game, not a path."""
    EVENTUALLY = "eventually"


@dataclass(frozen=True)
class Property:
    """Something that must hold, with what it assumes."""

    id: str
    kind: Kind
    says: str
    why: str
    heroes: tuple[str, ...]
    """The honest parties that it protects (``for`` in the file)."""
    assumes: tuple[str, ...]
    checked_by: tuple[str, ...]
    source: tuple[str, ...]
    place: Place


@dataclass(frozen=True)
class Patch:
    """One change of a variant: ``do`` says which, the other fields are its arguments; empty when not given."""

    do: str
    place: Place
    machine: str = ""
    transition: str = ""
    guard: str = ""
    effect: str = ""
    guards: tuple[str, ...] = ()
    effects: tuple[str, ...] = ()
    to: str = ""
    add: Transition | None = None
    says: str = ""
    parameter: str = ""
    value: int | str = ""
    constraint: str = ""


@dataclass(frozen=True)
class Variant:
    """Another design, and what it must break."""

    id: str
    title: str
    says: str
    breaks: str
    """Id of the property that it must break; empty: it must keep those of ``keeps``."""
    hero: str
    """The honest party that loses (``for`` in the file); empty when not given."""
    by: int | str
    """How much is lost; empty when not given."""
    premise: str
    question: str
    source: tuple[str, ...]
    options: tuple[tuple[str, int | str | bool], ...]
    patches: tuple[Patch, ...]
    place: Place
    keeps: tuple[str, ...] = ()
    """Without ``breaks``: the properties that it claims to keep; empty for all."""
