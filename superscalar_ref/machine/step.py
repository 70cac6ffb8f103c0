"""The pure step: a table, a context and an event give the next context and what to do, or a refusal.

Laws of this module:

* The rows of (status, event) are tried in the table's order; the first whose guards all hold is taken.
* Its effects run in the table's order; then, and only then, ``status`` becomes the row's ``to``.
* An event that no row takes raises ``Refused``, and nothing has changed: contexts are frozen.
* ``by``: a row is for the roles that it names. When the context has ``role_of(name)``, which gives the role that a
  participant plays in this machine, a row is passed over unless ``role_of(event.by)`` is among its ``by`` or its ``by``
  has ``anyone``; the refusal names the built-in guard ``wrong_sender``. A context without ``role_of`` leaves the
  question to the party that feeds it, and ``by`` is then documentation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic

from superscalar_ref.errors import Refused, SpecError
from superscalar_ref.machine.types import Action, C, Event
from superscalar_ref.spec.machines import WRONG_SENDER
from superscalar_ref.spec.table import Machine, Transition

AnyGuard = Callable[..., bool]
AnyEffect = Callable[..., tuple[Any, tuple[Action, ...]]]


@dataclass(frozen=True)
class BoundTransition:
    """A row with its functions."""

    row: Transition
    guards: tuple[AnyGuard, ...]
    effects: tuple[AnyEffect, ...]


@dataclass(frozen=True)
class BoundMachine(Generic[C]):
    """A table with the functions that it names; ``bind`` makes it."""

    table: Machine
    guards: Mapping[str, AnyGuard]
    effects: Mapping[str, AnyEffect]
    rows: Mapping[tuple[str, str], tuple[BoundTransition, ...]]
    """The rows of each (state, event), in the table's order; a pair that nothing takes has no entry."""

    def candidates(self, status: str, event: str) -> tuple[BoundTransition, ...]:
        """Return the rows that leave ``status`` for ``event``, in the table's order; guards are not looked at."""
        return self.rows.get((status, event), ())


@dataclass(frozen=True)
class Stepped(Generic[C]):
    """What a step gives."""

    context: C
    actions: tuple[Action, ...]
    """To be done in this order: a ``persist`` is durable before the next action begins."""
    transition_id: str


@dataclass(frozen=True)
class Prefix(Generic[C]):
    """A step cut short: the effects that were done, and what they gave. The status is still the old one."""

    done: tuple[str, ...]
    context: C
    actions: tuple[Action, ...]


def sender_admitted(row: Transition, context: C, event: Event) -> bool:
    """Say whether the event's cause plays one of the row's roles; True where the context knows no roles."""
    role_of: Callable[[str], str] | None = getattr(context, "role_of", None)
    return role_of is None or "anyone" in row.by or role_of(event.by) in row.by


def _first_false(bound: BoundTransition, context: C, event: Event) -> str | None:
    """Return the name of the row's first guard that does not hold, or None."""
    if not sender_admitted(bound.row, context, event):
        return WRONG_SENDER
    for name, guard in zip(bound.row.guards, bound.guards, strict=True):
        if not guard(context, event):
            return name
    return None


def chosen(machine: BoundMachine[C], context: C, event: Event) -> BoundTransition | None:
    """Return the row that takes the event, or None."""
    for bound in machine.candidates(context.status, event.name):
        if _first_false(bound, context, event) is None:
            return bound
    return None


def refusal(machine: BoundMachine[C], context: C, event: Event) -> Refused:
    """Describe why no row takes the event: for use after ``chosen`` gave None.

    Of several rows it names the first that the sender may use at all; without a row, the guard is None.
    """
    table, status = machine.table, context.status
    failed = [
        (bound.row, _first_false(bound, context, event) or "") for bound in machine.candidates(status, event.name)
    ]
    if not failed:
        taken = dict.fromkeys(row.event for row in table.leaving(status))
        says = f"no transition takes it; this state takes {', '.join(taken) or 'nothing'}"
        return Refused(table.name, status, event.name, table.prefix, None, says)
    row, guard = next(((row, guard) for row, guard in failed if guard != WRONG_SENDER), failed[0])
    if guard == WRONG_SENDER:
        says = f"'{event.by}' may not cause it, only {' or '.join(row.by)}"
    else:
        says = f"{guard} does not hold: {table.guard(guard).says}"
    return Refused(table.name, status, event.name, row.id, guard, says)


def with_status(context: C, status: str) -> C:
    """Return the context in another state of the table."""
    if context.status == status:
        return context
    changed: C = replace(context, status=status)  # type: ignore[type-var]  # a context is a frozen dataclass
    return changed


def step(machine: BoundMachine[C], context: C, event: Event) -> Stepped[C]:
    """Take one event. Raises Refused when no row takes it; whatever a guard or an effect raises comes out as it is."""
    bound = chosen(machine, context, event)
    if bound is None:
        raise refusal(machine, context, event)
    return outcome(bound, context, event)


def prefixes(machine: BoundMachine[C], context: C, event: Event) -> tuple[Prefix[C], ...]:
    """Return where a crash in the middle of a step may leave off: after 0, 1, … all of the row's effects.

    The status is the old one in each, since it changes last. Raises Refused as ``step`` does.
    """
    bound = chosen(machine, context, event)
    if bound is None:
        raise refusal(machine, context, event)
    found = [Prefix[C]((), context, ())]
    for name, after, actions in _effects(bound, context, event):
        found.append(Prefix((*found[-1].done, name), after, (*found[-1].actions, *actions)))
    return tuple(found)


def outcome(bound: BoundTransition, context: C, event: Event) -> Stepped[C]:
    """Return what a row gives, whatever its guards say. Raises SpecError for an effect that changes the status."""
    actions: list[Action] = []
    after = context
    for _, after, more in _effects(bound, context, event):  # noqa: B007  # the last one is wanted
        actions += more
    return Stepped(with_status(after, bound.row.to), tuple(actions), bound.row.id)


def _effects(bound: BoundTransition, context: C, event: Event) -> Iterator[tuple[str, C, tuple[Action, ...]]]:
    """Run a row's effects in order, and yield what each gives: the context so far, and its own actions."""
    status = context.status
    for name, effect in zip(bound.row.effects, bound.effects, strict=True):
        context, actions = effect(context, event)
        if context.status != status:
            raise SpecError(
                str(bound.row.place), f"{bound.row.id}: the effect '{name}' changes the status", "effect-status"
            )
        yield name, context, actions
