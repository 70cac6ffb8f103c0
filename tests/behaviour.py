"""What the tests make the tables do: every row taken and every event refused, of all processes of a run.

Only the tables of ``spec/machines`` count: a step of a changed one, in a test of a mistake, says nothing of them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from superscalar_ref.machine import step
from superscalar_ref.report.behaviour import Seen, empty, page, summary
from superscalar_ref.spec.load import load_machines

SEEN = Seen()
"""What this process has done."""


def watch() -> None:
    """Note every step from here on."""
    machines = {machine.name: machine for machine in load_machines()}
    rows = {row.id: row for machine in machines.values() for row in machine.transitions}
    known: dict[int, tuple[object, bool]] = {}
    outcome, refusal = step.outcome, step.refusal

    def ours(one: object, real: object) -> bool:
        # Held, so that no other object gets its id.
        kept = known.get(id(one))
        if kept is None or kept[0] is not one:
            kept = known[id(one)] = one, one == real
        return kept[1]

    def noted_outcome(bound: Any, context: Any, event: Any) -> Any:
        stepped = outcome(bound, context, event)
        if ours(bound.row, rows.get(bound.row.id)):
            SEEN.taken.add((bound.row.id, context.status))
        return stepped

    def noted_refusal(machine: Any, context: Any, event: Any) -> Any:
        if ours(machine.table, machines.get(machine.table.name)):
            SEEN.refused.add((machine.table.name, context.status, event.name))
        return refusal(machine, context, event)

    step.outcome, step.refusal = noted_outcome, noted_refusal


def plain() -> dict[str, list[list[str]]]:
    """What this process has done, as another can be told."""
    return {"taken": sorted(map(list, SEEN.taken)), "refused": sorted(map(list, SEEN.refused))}


def write(directory: Path) -> list[str]:
    """Write ``behaviour.html`` and ``behaviour.json``; the lines to print."""
    machines = load_machines()
    directory.mkdir(parents=True, exist_ok=True)
    target = directory / "behaviour.html"
    target.write_text(page(machines, SEEN), encoding="utf-8")
    missing = [cell.says for cell in empty(machines, SEEN)]
    said = {"summary": summary(machines, SEEN), "empty": missing}
    (directory / "behaviour.json").write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
    return [f"{summary(machines, SEEN)}: {target}"]
