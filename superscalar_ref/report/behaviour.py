"""Which rows of the tables a run has taken, and which events it has had refused: a matrix of states and events.

A cell is a state and an event. It is empty when one of its rows was never taken, or when it has no row and the event
was never tried there: nobody has looked at what such a cell says.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from superscalar_ref.report.page import templates
from superscalar_ref.spec.table import Machine

Pair = tuple[str, str, str]
"""Machine, state, event."""


@dataclass
class Seen:
    """What a run has done."""

    taken: set[tuple[str, str]] = field(default_factory=set)
    """(row's id, state in which it was taken)."""
    refused: set[Pair] = field(default_factory=set)

    def add(self, taken: Iterable[Iterable[str]], refused: Iterable[Iterable[str]]) -> None:
        """Add what another process has done."""
        self.taken |= {(row, state) for row, state in taken}
        self.refused |= {(machine, state, event) for machine, state, event in refused}


@dataclass(frozen=True)
class Cell:
    """One state and one event."""

    machine: str
    state: str
    event: str
    rows: tuple[str, ...]
    """Ids of the rows that may take the event there."""
    taken: tuple[str, ...]
    refused: bool
    """Whether it was tried and refused: by a guard, or because there is no row."""

    @property
    def missing(self) -> tuple[str, ...]:
        """Rows that nothing has taken there."""
        return tuple(row for row in self.rows if row not in self.taken)

    @property
    def empty(self) -> bool:
        """Whether something of it was never tried."""
        return bool(self.missing) or not (self.rows or self.refused)

    @property
    def says(self) -> str:
        """The cell in words."""
        place = f"{self.machine}: '{self.event}' in '{self.state}'"
        return f"{place}: {', '.join(self.missing)} never taken" if self.rows else f"{place}: never tried"


def cells(machine: Machine, seen: Seen) -> list[list[Cell]]:
    """A line of cells for each state of a table, in its order; a cell for each event."""
    return [
        [
            Cell(
                machine.name,
                state.name,
                event,
                rows := tuple(row.id for row in machine.leaving(state.name) if row.event == event),
                tuple(row for row in rows if (row, state.name) in seen.taken),
                (machine.name, state.name, event) in seen.refused,
            )
            for event in machine.events
        ]
        for state in machine.states
    ]


def empty(machines: Iterable[Machine], seen: Seen) -> list[Cell]:
    """Every cell of which something was never tried."""
    return [cell for machine in machines for line in cells(machine, seen) for cell in line if cell.empty]


def summary(machines: Iterable[Machine], seen: Seen) -> str:
    """Counts in one line."""
    every = [cell for machine in machines for line in cells(machine, seen) for cell in line]
    rows, taken = sum(len(cell.rows) for cell in every), sum(len(cell.taken) for cell in every)
    none = [cell for cell in every if not cell.rows]
    return (
        f"{taken} of {rows} rows taken, in each state that they leave; {sum(cell.refused for cell in none)} of "
        f"{len(none)} events refused in a state without a row for them; {sum(cell.empty for cell in every)} cells empty"
    )


def page(machines: Iterable[Machine], seen: Seen) -> str:
    """The matrices as one HTML page; empty cells are red."""
    tables = tuple(machines)
    found = [(machine, cells(machine, seen)) for machine in tables]
    pages = templates(Path(__file__).resolve().parent / "templates")
    return pages.get_template("behaviour.html").render(tables=found, summary=summary(tables, seen))
