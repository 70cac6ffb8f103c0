"""The readable binding: the same table as a strict ``transitions`` machine.

Laws of this module:

* Built from the table: one ``transitions`` edge for each row and source state, no automatic edges, no back doors.
* Atomic: ``before`` computes everything, the library changes the state, ``after`` only takes over what is already
  computed. Whatever a guard or an effect raises, the state and the context stay as they were.
* An event that no row takes raises ``Refused`` with the words of the pure step.

A search uses the pure step, which costs less.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic

from transitions import Machine as Library
from transitions import MachineError

from superscalar_ref.machine.step import (
    BoundMachine,
    BoundTransition,
    Stepped,
    outcome,
    refusal,
    sender_admitted,
)
from superscalar_ref.machine.types import C, Event


class _State:
    """What the library owns: the attribute ``state`` and the triggers that it adds."""

    state: str


class StrictMachine(Generic[C]):
    """One running machine: a context that events move along the table."""

    def __init__(self, machine: BoundMachine[C], context: C) -> None:
        self._machine = machine
        self._context = context
        self._result: Stepped[C]
        self._model = _State()
        table = machine.table
        self._library = Library(
            model=self._model,
            states=[{"name": state.name, "final": state.final} for state in table.states],
            initial=context.status,
            auto_transitions=False,
            send_event=True,
        )
        for row in table.transitions:
            bound = next(item for item in machine.candidates(row.sources[0], row.event) if item.row is row)
            for source in row.sources:
                self._library.add_transition(
                    trigger=row.event,
                    source=source,
                    dest=row.to,
                    conditions=self._conditions(bound),
                    before=self._compute(bound),
                    after=self._commit,
                )

    @property
    def context(self) -> C:
        """The context after the last event that was taken."""
        return self._context

    @property
    def state(self) -> str:
        """The library's own state; it always equals ``context.status``."""
        return str(self._model.state)

    def handle(self, event: Event) -> Stepped[C]:
        """Take one event and return what it gave.

        Raises Refused when no row takes it, and whatever a guard or an effect raises; nothing has changed then.
        """
        trigger = self._library.events.get(event.name)
        try:
            moved = trigger is not None and trigger.trigger(self._model, event=event)
        except MachineError:
            moved = False
        if not moved:
            raise refusal(self._machine, self._context, event)
        return self._result

    def _conditions(self, bound: BoundTransition) -> list[Any]:
        """Wrap a row's guards for the library, the sender's role before the others."""

        def admitted(data: Any) -> bool:
            return sender_admitted(bound.row, self._context, data.kwargs["event"])

        def wrapped(guard: Callable[..., bool]) -> Callable[[Any], bool]:
            return lambda data: guard(self._context, data.kwargs["event"])

        return [admitted, *(wrapped(guard) for guard in bound.guards)]

    def _compute(self, bound: BoundTransition) -> Callable[[Any], None]:
        """Work out a row's result while the state is still the old one."""

        def compute(data: Any) -> None:
            self._result = outcome(bound, self._context, data.kwargs["event"])

        return compute

    def _commit(self, data: Any) -> None:
        """Take over what ``before`` has computed: an assignment, which cannot fail."""
        self._context = self._result.context
