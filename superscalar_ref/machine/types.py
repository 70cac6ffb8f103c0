"""What a table's guards and effects work on: events, actions, and the shapes of the functions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

Value = str | int | bool | tuple[str, ...] | frozenset[str]
"""What an event or an action may carry: whole numbers and names, never bytes."""


class Context(Protocol):
    """The abstract state of one machine: a frozen dataclass whose ``status`` is the machine's state."""

    @property
    def status(self) -> str:
        """The name of the state in the table."""
        ...


C = TypeVar("C", bound=Context)


@dataclass(frozen=True)
class Event:
    """Something that happened: its name in the table, who caused it, and what came with it."""

    name: str
    by: str
    fields: tuple[tuple[str, Value], ...] = ()

    @classmethod
    def of(cls, name: str, by: str, **fields: Value) -> Event:
        """Build an event with its fields in a fixed order."""
        return cls(name, by, tuple(sorted(fields.items())))

    def __getitem__(self, key: str) -> Value:
        for name, value in self.fields:
            if name == key:
                return value
        raise KeyError(f"event '{self.name}' carries no '{key}'")


def number(event: Event, key: str) -> int:
    """The whole number that an event carries. Raises ``TypeError`` when it carries something else."""
    value = event[key]
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"event '{event.name}': '{key}' is no whole number")
    return value


def text(event: Event, key: str) -> str:
    """The name that an event carries. Raises ``TypeError`` when it carries something else."""
    value = event[key]
    if not isinstance(value, str):
        raise TypeError(f"event '{event.name}': '{key}' is no text")
    return value


def names(event: Event, key: str) -> frozenset[str]:
    """The set of names that an event carries. Raises ``TypeError`` when it carries something else."""
    value = event[key]
    if not isinstance(value, frozenset):
        raise TypeError(f"event '{event.name}': '{key}' is no set of names")
    return value


@dataclass(frozen=True)
class Action:
    """Something that the party must do, in this order, after a step: ``persist`` before what depends on it."""

    kind: str
    """persist | send | broadcast | alert, as others see them; nonce | keep | sign | forget, the signer's own."""
    name: str
    """The record, message, transaction or alert."""
    to: str = ""
    fields: tuple[tuple[str, Value], ...] = ()

    def __getitem__(self, key: str) -> Value:
        for name, value in self.fields:
            if name == key:
                return value
        raise KeyError(f"action '{self.kind} {self.name}' carries no '{key}'")


Guard = Callable[[C, Event], bool]
Effect = Callable[[C, Event], tuple[C, tuple[Action, ...]]]


@dataclass
class Rules:
    """The functions that one table names: guards and effects, by name, in the order of the text."""

    machine: str
    guards: dict[str, Callable[..., bool]] = field(default_factory=dict)
    effects: dict[str, Callable[..., tuple[object, tuple[Action, ...]]]] = field(default_factory=dict)

    def guard(self, function: Guard[C]) -> Guard[C]:
        """Register a guard under its own name."""
        self.guards[function.__name__] = function
        return function

    def effect(self, function: Effect[C]) -> Effect[C]:
        """Register an effect under its own name."""
        self.effects[function.__name__] = function
        return function
