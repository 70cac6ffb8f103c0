"""The scenario of sales and poison fails when what it looks for is not so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from superscalar_ref.parties import archive, watch
from superscalar_ref.protocol.blueprint import Terms
from superscalar_ref.protocol.poison import poison
from superscalar_ref.protocol.strategy import Strategy, View, decide
from superscalar_ref.protocol.transaction import Outpoint, Output, Role, Template
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
    assert len(ids) == len(set(ids)) == 12
    assert all(trial.conserved() and trial.verdicts for trial in sales.trials)
    assert all(verdict.as_expected for trial in sales.trials for verdict in trial.verdicts)


def test_a_strategy_without_poison_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def without(strategy: Strategy, view: View) -> tuple[str, ...]:
        return decide(strategy.without("STR-8"), view)

    monkeypatch.setattr(watch, "decide", without)
    assert failed(run()) == {"sales/poison-takes-all"}


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
