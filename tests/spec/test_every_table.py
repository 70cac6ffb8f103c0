"""What must be true of every table of the specification, whatever it is about."""

from __future__ import annotations

from superscalar_ref.spec.load import load_machines


def test_no_row_is_open_to_anyone() -> None:
    """Each event has a cause that somebody can be held to; a row for anyone would let a stranger move the machine."""
    for machine in load_machines():
        for row in machine.transitions:
            assert "anyone" not in row.by, row.id
