"""A client that goes away with a watchtower: the tables hold, and each rule that is taken away is missed."""

from __future__ import annotations

import pytest

from superscalar_ref.check import tower
from superscalar_ref.check.breadth import Found
from superscalar_ref.check.judge import TOWERS, Design
from superscalar_ref.check.reasons import removals
from superscalar_ref.check.variants import judge_variant
from superscalar_ref.protocol.strategy import load_strategy
from superscalar_ref.spec.load import load_specification


@pytest.fixture(scope="module")
def design() -> Design:
    return Design(load_specification(), load_strategy(), ())


def searched(design: Design, *until: str) -> Found:
    return tower.explore(design.tables().client, design.watchtower(), design.strategy, frozenset(until))


def test_the_tables_hold_and_nothing_holds_for_want_of_cases(design: Design) -> None:
    found = searched(design)
    assert found.broken == {}
    assert set(found.seen) == set(tower.PROPERTIES) == set(TOWERS)
    assert found.states > 3000


@pytest.mark.parametrize(
    ("identity", "breaks"),
    [
        ("STR-5", tower.IN_TIME),
        ("STR-10", tower.LATE),
    ],
)
def test_each_rule_is_missed(design: Design, identity: str, breaks: str) -> None:
    removal = next(removals(design, identity))
    assert removal.design is not None
    way = searched(removal.design, breaks).broken[breaks]
    assert all(way)


@pytest.mark.parametrize(
    ("row", "part", "name"),
    [("WTW-4", "effect", "broadcast_answer"), ("WTW-1", "effect", "keep_entry"), ("WTW-3", "effect", "note_confirmed")],
)
def test_each_effect_is_missed(design: Design, row: str, part: str, name: str) -> None:
    wanted = f"{row} without the {part} '{name}'"
    removal = next(one for one in removals(design, row) if one.says == wanted)
    assert removal.design is not None
    found = searched(removal.design, *tower.PROPERTIES)
    assert found.broken or set(found.seen) < set(tower.PROPERTIES)


@pytest.mark.parametrize("name", ["V-TOWER-STATES", "V-TOWER-UNTOLD", "V-TOWER-BEGINS", "V-LIQUIDITY-EARLY"])
def test_wrong_designs_are_refuted(design: Design, name: str) -> None:
    variant = next(one for one in design.specification.variants if one.id == name)
    outcome = judge_variant(design, variant)
    assert outcome.problem == ""
    assert outcome.trace is not None
    assert outcome.trace.hero == tower.CLIENT
