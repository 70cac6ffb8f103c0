"""The matrix of what a run has tried: a cell is red until each of its rows was taken, or its event refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from superscalar_ref.errors import Refused
from superscalar_ref.machine import step
from superscalar_ref.machine.types import Event
from superscalar_ref.protocol.participant import machines
from superscalar_ref.protocol.session import Session, Task
from superscalar_ref.report.behaviour import Seen, cells, empty, page, summary
from superscalar_ref.spec.load import load_machine
from tests import behaviour

SESSION = load_machine("session")


def test_a_cell_is_empty_until_all_of_it_was_tried() -> None:
    seen = Seen()
    every = [cell for line in cells(SESSION, seen) for cell in line]
    assert empty([SESSION], seen) == every
    first = next(cell for cell in every if cell.rows)
    seen.add([(row, first.state) for row in first.rows], [])
    none = next(cell for cell in every if not cell.rows)
    seen.add([], [(none.machine, none.state, none.event)])
    left = empty([SESSION], seen)
    assert len(left) == len(every) - 2
    assert not {(one.state, one.event) for one in left} & {(first.state, first.event), (none.state, none.event)}


def test_a_row_of_several_states_is_asked_for_in_each() -> None:
    row = next(one for one in SESSION.transitions if len(one.sources) > 1)
    seen = Seen(taken={(row.id, row.sources[0])})
    assert any(row.id in cell.missing and cell.state == row.sources[1] for cell in empty([SESSION], seen))


def test_the_page_marks_what_is_empty_and_counts_it() -> None:
    seen = Seen()
    count = len(empty([SESSION], seen))
    shown = page([SESSION], seen)
    assert shown.count('class="empty"') == count
    assert f"{count} cells empty" in summary([SESSION], seen) and summary([SESSION], seen) in shown


def test_the_steps_of_a_run_are_noted_unless_the_table_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(behaviour, "SEEN", Seen())
    task = Task("T", "sighash", "P:0", "state 1", frozenset("AL"), "L", frozenset("AL"))
    machine, session = machines().session, Session(SESSION.initial, "A", task)
    bound = replace(machine, table=replace(machine.table, title="another"))
    for one in (bound, machine):
        with pytest.raises(Refused):
            step.step(one, session, Event.of("no_such_event", "A"))
        assert bool(behaviour.SEEN.refused) == (one is machine)
