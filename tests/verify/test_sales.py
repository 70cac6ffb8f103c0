"""The scenario of sales and poison fails when what it looks for is not so."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from superscalar_ref.machine.bind import bind
from superscalar_ref.machine.types import Event
from superscalar_ref.parties import archive, watch
from superscalar_ref.protocol import session as session_rules
from superscalar_ref.protocol.blueprint import Terms
from superscalar_ref.protocol.participant import Machines, Participant, Turn, deliver, machines
from superscalar_ref.protocol.poison import poison
from superscalar_ref.protocol.strategy import Strategy, View, decide
from superscalar_ref.protocol.transaction import Outpoint, Output, Role, Template
from superscalar_ref.verify import sales as sales_of_verify
from superscalar_ref.verify.example import load_example
from superscalar_ref.verify.sales import BUYERS, Sales, sell_and_poison

EXAMPLE = Path(__file__).parents[2] / "examples" / "eight-clients.toml"


def run(**changes: int) -> Sales:
    example = load_example(EXAMPLE)
    parameters = example.parameters.with_changes(changes, "test")
    return sell_and_poison(replace(example, parameters=parameters), lambda says: None)


def failed(sales: Sales) -> set[str]:
    return {check.id for check in sales.checks if not check.passed}


def test_it_holds() -> None:
    sales = run()
    assert not failed(sales)
    ids = [check.id for check in sales.checks]
    assert [name for name in ids if name.startswith("sales/exit/")] == [f"sales/exit/{name}" for name in BUYERS]
    assert len(ids) == len(set(ids)) == 13
    assert all(trial.conserved() and trial.verdicts for trial in sales.trials)
    assert all(verdict.as_expected for trial in sales.trials for verdict in trial.verdicts)


def test_a_strategy_without_poison_is_noticed_and_a_table_that_signs_it_too_early(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def without(strategy: Strategy, view: View) -> tuple[str, ...]:
        return decide(strategy.without("STR-8"), view)

    table = machines().session.table
    rows = tuple(
        replace(row, guards=tuple(guard for guard in row.guards if guard != "only_superseded"))
        for row in table.transitions
    )
    careless = replace(machines(), session=bind(replace(table, transitions=rows), session_rules.RULES))

    def too_early(
        tables: Machines, party: Participant, events: Iterable[tuple[str, Event]]
    ) -> tuple[Participant, Turn]:
        return deliver(careless, party, events)

    monkeypatch.setattr(watch, "decide", without)
    monkeypatch.setattr(sales_of_verify, "deliver", too_early)
    assert failed(run()) == {"sales/poison-takes-all", "sales/poison-of-a-link", "sales/poison-of-the-newest"}


def test_poison_of_the_stock_only_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Q-PSN-2: the channels of an older state are left to the race of commitments."""

    def stock_only(terms: Terms, superseded: list[Template]) -> dict[str, Template]:
        found: dict[str, Template] = {}
        for template in superseded:
            for index, output in enumerate(template.outputs):
                made = _stock_poison(terms, template.outpoint(index), output)
                found |= {made.name: made} if made else {}
        return found

    monkeypatch.setattr(archive, "poisons", stock_only)
    assert failed(run()) == {"sales/poisoned"}


def _stock_poison(terms: Terms, outpoint: Outpoint, output: Output) -> Template | None:
    return poison(terms, outpoint, output) if output.role is Role.STOCK else None
