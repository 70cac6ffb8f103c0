"""The ladder's table, row by row and guard by guard, and its arithmetic."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superscalar_ref.errors import InputError, Refused
from superscalar_ref.machine.step import Stepped, step
from superscalar_ref.machine.types import Event
from superscalar_ref.protocol.ladder import (
    Day,
    Pace,
    Slot,
    ends_on,
    factories_a_day,
    ladder_machine,
    locking,
    on_day,
    outputs_per_user,
    running,
)

BASE = Slot("building", "f0", "L", frozenset({"A", "B"}), active_blocks=10, dying_blocks=3, depth=2, day_blocks=4)
ALL = replace(BASE, funded_at=100, answered=frozenset({"A", "B"}), locked=7)
DAY = {"height": 20, "last": 16, "spent": 10, "needed": 10, "next_ready": True, "short": 0}


def take(slot: Slot, event: str, by: str, **fields: Any) -> Stepped[Slot]:
    return step(ladder_machine(), slot, Event.of(event, by, **fields))


ROWS: list[tuple[str, str, str, dict[str, Any], str, str, list[tuple[str, str]]]] = [
    ("building", "signed", "L", {"complete": True}, "LAD-1", "ready", []),
    ("ready", "day", "L", DAY, "LAD-2", "funding", [("persist", "day"), ("broadcast", "day")]),
    (
        "funding",
        "funding_confirmed",
        "chain",
        {"depth": 2, "height": 100, "locked": 7},
        "LAD-3",
        "active",
        [("persist", "funded")],
    ),
    ("active", "tick", "clock", {"height": 110}, "LAD-4", "dying", [("send", "dying"), ("send", "dying")]),
    ("dying", "answer", "A", {}, "LAD-5", "dying", [("persist", "answer")]),
    ("dying", "day", "L", DAY, "LAD-6", "closing", [("persist", "day"), ("broadcast", "day")]),
    ("closing", "close_confirmed", "chain", {"depth": 2}, "LAD-7", "gone", [("persist", "returned")]),
    ("dying", "tick", "clock", {"height": 113}, "LAD-8", "resolving", [("persist", "exit")]),
    ("resolving", "close_confirmed", "chain", {"depth": 2}, "LAD-9", "gone", [("persist", "returned")]),
    ("resolving", "outputs_spent", "chain", {"depth": 2}, "LAD-10", "gone", [("persist", "returned")]),
    ("building", "cohort_failed", "L", {}, "LAD-11", "dropped", [("persist", "dropped")]),
    ("ready", "cohort_failed", "L", {}, "LAD-11", "dropped", [("persist", "dropped")]),
    ("building", "absent", "L", {"missing": frozenset("A")}, "LAD-12", "dropped", [("persist", "waiting")]),
    ("ready", "absent", "L", {"missing": frozenset("B")}, "LAD-12", "dropped", [("persist", "waiting")]),
]


@pytest.mark.parametrize(("status", "event", "by", "fields", "row", "to", "actions"), ROWS)
def test_a_row_is_taken(
    status: str, event: str, by: str, fields: dict[str, Any], row: str, to: str, actions: list[tuple[str, str]]
) -> None:
    done = take(replace(ALL, status=status), event, by, **fields)
    assert (done.transition_id, done.context.status) == (row, to)
    assert [(action.kind, action.name) for action in done.actions] == actions


REFUSED: list[tuple[str, str, str, dict[str, Any], str]] = [
    ("building", "signed", "L", {"complete": False}, "kits_complete"),
    ("ready", "day", "L", {**DAY, "last": 17}, "day_is_free"),
    ("ready", "day", "L", {**DAY, "spent": 9}, "coins_cover"),
    ("dying", "day", "L", {**DAY, "last": 17}, "day_is_free"),
    ("dying", "day", "L", {**DAY, "next_ready": False}, "next_is_ready"),
    ("dying", "day", "L", {**DAY, "short": 1}, "leavers_paid"),
    ("funding", "funding_confirmed", "chain", {"depth": 1, "height": 100, "locked": 7}, "deep_enough"),
    ("closing", "close_confirmed", "chain", {"depth": 1}, "deep_enough"),
    ("resolving", "close_confirmed", "chain", {"depth": 1}, "deep_enough"),
    ("resolving", "outputs_spent", "chain", {"depth": 1}, "deep_enough"),
    ("active", "tick", "clock", {"height": 109}, "active_period_over"),
    ("dying", "tick", "clock", {"height": 112}, "dying_period_over"),
    ("building", "absent", "L", {"missing": frozenset()}, "some_are_missing"),
    ("building", "absent", "L", {"missing": frozenset("AB")}, "some_are_missing"),
    ("building", "absent", "L", {"missing": frozenset("C")}, "some_are_missing"),
    ("building", "absent", "A", {"missing": frozenset("B")}, "wrong_sender"),
    ("dying", "answer", "C", {}, "wrong_sender"),
    ("dying", "answer", "L", {}, "wrong_sender"),
]


@pytest.mark.parametrize(("status", "event", "by", "fields", "guard"), REFUSED)
def test_a_guard_refuses_and_nothing_changes(
    status: str, event: str, by: str, fields: dict[str, Any], guard: str
) -> None:
    with pytest.raises(Refused) as caught:
        take(replace(ALL, status=status), event, by, **fields)
    assert caught.value.guard == guard


def test_no_kickoff_races_the_day_that_is_out() -> None:
    with pytest.raises(Refused, match="OUT_OF_TURN"):
        take(replace(ALL, status="closing"), "tick", "clock", height=1_000)


def test_a_factory_is_not_closed_while_one_client_has_not_answered() -> None:
    slot = replace(ALL, status="dying", answered=frozenset())
    slot = take(slot, "answer", "A").context
    with pytest.raises(Refused, match="EVERYONE_ANSWERED"):
        take(slot, "day", "L", **DAY)
    assert take(take(slot, "answer", "B").context, "day", "L", **DAY).context.status == "closing"


def test_capital_is_locked_from_funding_until_nothing_is_left() -> None:
    funded = take(replace(BASE, status="funding"), "funding_confirmed", "chain", depth=2, height=100, locked=7).context
    assert (funded.locked, funded.funded_at) == (7, 100)
    assert take(replace(funded, status="closing"), "close_confirmed", "chain", depth=2).context.locked == 0
    assert take(replace(funded, status="resolving"), "outputs_spent", "chain", depth=2).context.locked == 0


def test_who_did_not_come_to_sign_is_known_to_wait() -> None:
    assert take(BASE, "absent", "L", missing=frozenset("B")).context.waiting == {"B"}
    for status in ("funding", "active", "dying", "closing", "gone"):
        with pytest.raises(Refused, match="OUT_OF_TURN"):
            take(replace(ALL, status=status), "absent", "L", missing=frozenset("B"))


USUAL = Pace(30 * 144, 3 * 144)


def test_the_usual_ladder_has_33_factories() -> None:
    assert running(USUAL) == 33
    stages = on_day(USUAL, 200)
    assert [stage.status for stage in stages] == ["dying"] * 3 + ["active"] * 30
    assert ends_on(USUAL, 200) == 167
    assert 167 not in {stage.factory for stage in stages}
    assert 168 in {stage.factory for stage in stages}
    assert ends_on(USUAL, 32) is None


@given(st.integers(0, 50), st.integers(1, 20), st.integers(1, 9), st.integers(0, 150))
def test_one_is_born_and_one_ends_each_day(active: int, dying: int, day: int, today: int) -> None:
    pace = Pace(active, dying, day=day)
    alive = {stage.factory for stage in on_day(pace, today)}
    assert len(alive) == min(running(pace), today + 1)
    if today:
        before = {stage.factory for stage in on_day(pace, today - 1)}
        assert alive - before == {today}
        ended = ends_on(pace, today)
        assert before - alive == (set() if ended is None else {ended})
    assert locking(replace(pace, settle=3 * day)) == running(pace) + 3 or (active + dying) % day


def test_a_day_balances() -> None:
    day = Day(old=100, coins=50, new=90, leavers={"A": 20}, fee=3)
    assert day.change == 37
    assert day.short({"A": 20}) == 0
    assert day.short({"A": 21, "B": 5}) == 6
    assert day.short({}) == 0


def test_a_million_users() -> None:
    with_factories, without = outputs_per_user(1_000_000, 127, USUAL)
    assert (with_factories, without) == (7_875, 1_000_000)
    assert factories_a_day(1_000_000, 127, USUAL) == 239
    for users, cohort in ((0, 1), (1, 0)):
        with pytest.raises(InputError, match="at least one"):
            outputs_per_user(users, cohort, USUAL)


@pytest.mark.parametrize("field", ["active", "dying", "settle", "day"])
def test_a_pace_that_cannot_be_is_refused(field: str) -> None:
    with pytest.raises(InputError, match=field):
        replace(USUAL, **{field: -1})
