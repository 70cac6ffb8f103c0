"""Every event in every state without a row for it is refused, and says what the state takes; nothing changes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from superscalar_ref.conformance.adapter import reference_machines
from superscalar_ref.conformance.seeds import load_seed
from superscalar_ref.errors import Refused
from superscalar_ref.machine.step import step
from superscalar_ref.machine.types import Event

MACHINES = reference_machines()


@pytest.mark.parametrize("name", sorted(MACHINES))
def test_an_event_without_a_row_is_refused_in_each_state(name: str) -> None:
    machine = MACHINES[name]
    seed = load_seed(machine)
    assert seed is not None
    start, tried = seed.starts[0].context, 0
    for state in machine.table.states:
        context = replace(start, status=state.name)
        takes = {row.event for row in machine.table.leaving(state.name)}
        for event in sorted({*machine.table.events} - takes):
            before = replace(context)
            with pytest.raises(Refused) as refused:
                step(machine, context, Event.of(event, "anybody"))
            assert refused.value.guard is None and "no transition takes it" in str(refused.value)
            assert all(one in str(refused.value) for one in takes)
            assert context == before
            tried += 1
    assert tried == sum(
        len({*machine.table.events} - {row.event for row in machine.table.leaving(state.name)})
        for state in machine.table.states
    )
