"""A life beside what is true: the tables hold, and each rule that is taken away is missed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from superscalar_ref.check import lives
from superscalar_ref.check.breadth import Found
from superscalar_ref.check.configurations import load_configurations
from superscalar_ref.check.judge import Design
from superscalar_ref.check.reasons import removals
from superscalar_ref.protocol.participant import machines
from superscalar_ref.protocol.strategy import load_strategy
from superscalar_ref.spec.load import load_specification


@pytest.fixture(scope="module")
def design() -> Design:
    return Design(load_specification(), load_strategy(), load_configurations())


def searched(design: Design, until: str) -> Found:
    tables = design.tables()
    return lives.explore(tables.client, tables.factory, frozenset({until}))


def test_the_tables_hold_and_nothing_holds_for_want_of_cases() -> None:
    found = lives.explore(machines().client, machines().factory)
    assert found.broken == {}
    assert set(found.seen) == set(lives.PROPERTIES)
    assert found.states > 3000


@pytest.mark.parametrize(
    ("identity", "breaks"),
    [
        *((row, lives.FINAL) for row in ("CLI-4", "CLI-9", "CLI-16", "CLI-17", "CLI-19", "CLI-21")),
        *((row, lives.FINAL) for row in ("FAC-9", "FAC-21", "FAC-23")),
        ("exit_within_ceiling", lives.TERMS),
        ("locks_outlast_absence", lives.TERMS),
        ("end_default_accepted", lives.TERMS),
        ("capacity_not_less", lives.TERMS),
        ("alternates_cover", lives.TERMS),
        ("version_is_newer", lives.TERMS),
        ("poison_held", lives.COUNTS),
        ("link_held", lives.COUNTS),
        ("same_plan", lives.LEFT_OUT),
        ("every_client_agreed", lives.LEFT_OUT),
        ("every_kit_complete", lives.LEFT_OUT),
        ("own_kit_held", lives.LEFT_OUT),
        ("kit_of_this_version", lives.LEFT_OUT),
        ("index_left", lives.INDEX),
        ("active_period_over", lives.CLOCK),
        ("end_passed", lives.CLOCK),
    ],
)
def test_each_guard_is_missed(design: Design, identity: str, breaks: str) -> None:
    """The first removal is that of the row's first guard, or of the guard wherever it is."""
    removal = next(removals(design, identity))
    assert "guard" in removal.says
    assert removal.design is not None
    way = searched(removal.design, breaks).broken[breaks]
    assert way
    assert all(step for step in way)


@pytest.mark.parametrize(
    ("identity", "breaks"),
    [
        *((row, lives.ACCOUNT) for row in ("CLI-11", "CLI-12", "CLI-13", "CLI-14", "CLI-15")),
        *((row, lives.ENDS) for row in ("CLI-9", "CLI-16", "CLI-17", "CLI-19", "CLI-21", "FAC-22", "FAC-23")),
    ],
)
def test_each_row_that_follows_the_chain_is_missed(design: Design, identity: str, breaks: str) -> None:
    whole = design.specification
    tables = tuple(
        replace(table, transitions=tuple(row for row in table.transitions if row.id != identity))
        for table in whole.machines
    )
    without = replace(design, specification=replace(whole, machines=tables))
    assert breaks in searched(without, breaks).broken


@pytest.mark.parametrize(
    ("identity", "effects"),
    [
        ("CLI-3", ("send_kit_complete", "count_version")),
        ("CLI-5", ("send_agreement", "persist_pending")),
        ("CLI-8", ("send_agreement",)),
        ("CLI-10", ("drop_pending",)),
        ("FAC-8", ("broadcast_funding", "persist_status")),
        ("FAC-10", ("send_update", "persist_pending")),
        ("FAC-26", ("next_attempt", "send_begin", "open_sessions")),
    ],
)
def test_a_crash_between_two_effects_is_missed(design: Design, identity: str, effects: tuple[str, ...]) -> None:
    """What leaves a party leaves when its own state is durable; without that order, or that effect, it forgets."""
    whole = design.specification
    tables = tuple(
        replace(
            table,
            transitions=tuple(
                replace(row, effects=effects) if row.id == identity else row for row in table.transitions
            ),
        )
        for table in whole.machines
    )
    other = replace(design, specification=replace(whole, machines=tables))
    way = searched(other, lives.CRASH).broken[lives.CRASH]
    assert "forg" in way[-1]


def test_a_state_that_nobody_reaches_is_missed(design: Design) -> None:
    (removal,) = [one for one in removals(design, "FAC-16") if one.says == "without FAC-16"]
    assert removal.design is not None
    tables = removal.design.tables()
    found = lives.explore(tables.client, tables.factory)
    assert found.broken == {}
    assert lives.ENDS not in found.seen


def test_what_no_search_misses_is_named_with_the_test_that_does(design: Design) -> None:
    from pathlib import Path

    from superscalar_ref.check.reasons import unnoticed

    root = Path(__file__).parents[2]
    for machine in design.specification.machines:
        if machine.name not in ("session", "client", "factory", "stock", "watchtower"):
            continue
        for row in machine.transitions:
            for name in (row.id, *row.guards):
                said = unnoticed(design, name)
                assert said, name
                assert (root / said.rsplit(" ", 1)[1].rstrip(".")).is_file()
    assert "need not: give up" in unnoticed(design, "FAC-15")
    assert "no poison to sign" in unnoticed(design, "only_superseded")
    assert unnoticed(design, "NOWHERE-1") == ""


def test_a_guard_that_is_taken_from_a_transition_has_its_own_reason(design: Design) -> None:
    from superscalar_ref.check.reasons import unnoticed

    said = {one.part: unnoticed(design, "SES-5", part=one.part) for one in removals(design, "SES-5")}
    assert "no poison to sign" in said["only_superseded"]
    assert "no poison to sign" not in said["children_complete"]
    assert said[""] == unnoticed(design, "SES-5")
