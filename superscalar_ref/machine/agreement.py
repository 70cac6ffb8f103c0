"""Holding the two forms of a machine equal: for tests of every table."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from superscalar_ref.errors import Refused
from superscalar_ref.machine.step import BoundMachine, Stepped, step
from superscalar_ref.machine.strict import StrictMachine
from superscalar_ref.machine.types import C, Event


@dataclass(frozen=True)
class Agreement:
    """What a comparison covered."""

    taken: frozenset[str]
    """Ids of the rows that were taken at least once."""
    refused: int
    """How many events were refused."""


def assert_agree(machine: BoundMachine[C], contexts: Iterable[C], events: Iterable[Event]) -> Agreement:
    """Assert that the pure step and the strict machine do the same for every context × event.

    The contexts must cover every state of the table and the events every event; raises AssertionError otherwise, and
    for any difference in the result, the refusal or the error, or when an error changed something.
    """
    contexts, events = tuple(contexts), tuple(events)
    for what, wanted, given in (
        ("state", {state.name for state in machine.table.states}, {context.status for context in contexts}),
        ("event", set(machine.table.events), {event.name for event in events}),
    ):
        missing = sorted(wanted - given)
        assert not missing, f"no {what} '{missing[0]}' among what is compared"
    taken: set[str] = set()
    refused = 0
    for context in contexts:
        strict = StrictMachine(machine, context)
        for event in events:
            if strict.context != context:
                # The last event was taken. Building a machine is slow, so a refusal, which changes nothing, keeps it.
                strict = StrictMachine(machine, context)
            pure = _outcome(lambda c=context, e=event: step(machine, c, e))  # type: ignore[misc]
            library = _outcome(lambda s=strict, e=event: s.handle(e))  # type: ignore[misc]
            where = f"{machine.table.name}: {context} × {event}"
            assert pure == library, f"{where}: {pure} != {library}"
            if isinstance(pure, Stepped):
                taken.add(pure.transition_id)
                assert strict.context == pure.context, where
            else:
                refused += pure[0] is Refused
                assert strict.context == context, f"{where}: an error changed the context"
            assert strict.state == strict.context.status, where
    return Agreement(frozenset(taken), refused)


def _outcome(run: Callable[[], Stepped[C]]) -> Stepped[C] | tuple[type[Exception], str]:
    """Return what a step gave, or the type and text of what it raised."""
    try:
        return run()
    except Exception as error:  # any error must be the same on both sides
        return type(error), str(error)
