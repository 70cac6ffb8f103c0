"""Each row of the factory's table taken once, and each guard at its boundary, from the words of its rule."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from superscalar_ref.errors import Refused
from superscalar_ref.machine.step import Stepped, step
from superscalar_ref.machine.types import Event
from superscalar_ref.protocol.factory import Factory
from superscalar_ref.protocol.odometer import Odometer
from superscalar_ref.protocol.participant import machines
from superscalar_ref.protocol.shape import Shape, grow

CLIENTS = frozenset("AB")
KIT = frozenset({"root"})
TICKS = Odometer.new(grow(Shape.of([2]), ("A", "B")), 2)
BASE = Factory("active", "L", CLIENTS, 3, 20, joined=CLIENTS, version="0.0", funded_at=10, odometer=TICKS)
PENDING = replace(BASE, digest="plan", pending="0.1", concerned=CLIENTS, to_sign=KIT, kit=KIT)
READY = replace(PENDING, agreed=CLIENTS, complete=CLIENTS, held=KIT)
PLAN: dict[str, Any] = {"digest": "plan", "version": "0.1", "kit": KIT, "to_sign": KIT}
ANY: dict[str, Any] = {
    **PLAN,
    "depth": 3,
    "height": 30,
    "end": 30,
    "unspent": 0,
    "node": "r.0",
    "concerned": frozenset("A"),
}


def take(context: Factory, name: str, by: str, **fields: Any) -> Stepped[Factory]:
    return step(machines().factory, context, Event.of(name, by, **{**ANY, **fields}))


def kinds(stepped: Stepped[Factory]) -> list[tuple[str, str, str]]:
    return [(action.kind, action.name, action.to) for action in stepped.actions]


def to_all(name: str) -> list[tuple[str, str, str]]:
    return [("send", name, "A"), ("send", name, "B")]


STATUS = [("persist", "status", "")]
DROP = [("abort", "sessions", "")]
BEGIN = [*STATUS, *to_all("begin"), ("open", "sessions", "")]
COUNTED = [("persist", "counted", "")]
ROWS: list[tuple[str, str, str, str, str, list[tuple[str, str, str]]]] = [
    ("gathering", "join", "A", "FAC-1", "gathering", []),
    ("gathering", "propose", "L", "FAC-2", "proposed", [("persist", "terms", ""), *to_all("proposal")]),
    ("proposed", "agreement", "A", "FAC-3", "proposed", []),
    ("proposed", "all_agreed", "L", "FAC-4", "agreed", []),
    ("agreed", "begin_signing", "L", "FAC-5", "signing", BEGIN),
    ("signing", "kit_complete", "A", "FAC-6", "signing", []),
    ("signing", "ready", "L", "FAC-7", "signed", COUNTED),
    ("signed", "fund", "L", "FAC-8", "funded", [*STATUS, ("broadcast", "funding", "")]),
    ("funded", "funding_confirmed", "chain", "FAC-9", "active", STATUS),
    ("active", "begin_update", "L", "FAC-10", "updating", [("persist", "pending", ""), ("send", "update", "A")]),
    ("updating", "agreement", "A", "FAC-11", "updating", []),
    ("updating", "begin_signing", "L", "FAC-12", "update_signing", BEGIN),
    ("update_signing", "kit_complete", "A", "FAC-13", "update_signing", []),
    ("update_signing", "ready", "L", "FAC-14", "active", COUNTED),
    *[
        (status, "update_aborted", "L", "FAC-15", "active", [*STATUS, *to_all("update_aborted"), *DROP])
        for status in ("updating", "update_signing")
    ],
    ("active", "period_over", "clock", "FAC-16", "dying", STATUS),
    *[
        (status, "begin_close", "L", "FAC-17", "closing", [("persist", "close", ""), *to_all("close")])
        for status in ("active", "dying")
    ],
    ("closing", "agreement", "A", "FAC-18", "closing", []),
    ("closing", "begin_signing", "L", "FAC-19", "close_signing", BEGIN),
    ("close_signing", "close_complete", "L", "FAC-20", "close_published", [*STATUS, ("broadcast", "close", "")]),
    *[
        (status, "close_confirmed", "chain", "FAC-21", "closed", STATUS)
        for status in ("closing", "close_signing", "close_published", "expired", "resolving")
    ],
    *[
        (status, "tree_confirmed", "chain", "FAC-22", "resolving", DROP + STATUS)
        for status in (
            "funded",
            "active",
            "updating",
            "update_signing",
            "dying",
            "closing",
            "close_signing",
            "close_published",
            "expired",
        )
    ],
    ("resolving", "outputs_spent", "chain", "FAC-23", "resolved", STATUS),
    *[
        (status, "end_reached", "clock", "FAC-24", "expired", DROP + STATUS)
        for status in ("active", "updating", "update_signing", "dying", "closing", "close_signing", "close_published")
    ],
    *[
        (status, "abort", "L", "FAC-25", "aborted", DROP + STATUS + to_all("abort"))
        for status in ("gathering", "proposed", "agreed", "signing", "signed")
    ],
    ("signing", "retry", "L", "FAC-26", "signing", BEGIN),
    ("update_signing", "retry", "L", "FAC-27", "update_signing", BEGIN),
    ("close_signing", "retry", "L", "FAC-28", "close_signing", BEGIN),
]


@pytest.mark.parametrize(("status", "event", "by", "row", "to", "actions"), ROWS)
def test_a_row_is_taken(
    status: str, event: str, by: str, row: str, to: str, actions: list[tuple[str, str, str]]
) -> None:
    done = take(replace(READY, status=status), event, by)
    assert (done.transition_id, done.context.status, kinds(done)) == (row, to, actions)


def test_every_row_is_among_them() -> None:
    assert {row[3] for row in ROWS} == {row.id for row in machines().factory.table.transitions}


def test_joins_agreements_and_kits_are_counted_by_client() -> None:
    empty = replace(PENDING, joined=frozenset())
    assert take(replace(empty, status="gathering"), "join", "B").context.joined == {"B"}
    assert take(replace(empty, status="proposed"), "agreement", "B").context.agreed == {"B"}
    assert take(replace(empty, status="signing"), "kit_complete", "B").context.complete == {"B"}


def test_a_proposal_starts_from_nobody_having_agreed() -> None:
    done = take(replace(READY, status="gathering"), "propose", "L").context
    assert (done.agreed, done.complete, done.concerned, done.pending) == (frozenset(), frozenset(), CLIENTS, "0.1")


def test_an_update_ticks_its_node_and_concerns_those_below_it() -> None:
    done = take(READY, "begin_update", "L").context
    assert done.odometer == TICKS.tick("r.0")
    assert (done.concerned, done.agreed, done.version, done.pending) == (frozenset("A"), frozenset(), "0.0", "0.1")
    given_up = take(done, "update_aborted", "L").context
    assert (given_up.odometer, given_up.pending, given_up.version) == (done.odometer, "", "0.0")


def test_each_start_of_signing_is_an_attempt_of_its_own() -> None:
    first = take(replace(READY, status="agreed"), "begin_signing", "L")
    assert first.context.attempt == READY.attempt + 1
    again = take(first.context, "retry", "L")
    opened = next(action for action in again.actions if action.kind == "open")
    assert (opened["attempt"], opened["transactions"]) == (READY.attempt + 2, KIT)


def test_the_height_of_the_funding_starts_the_active_period() -> None:
    assert take(replace(READY, status="funded"), "funding_confirmed", "chain").context.funded_at == 30


def test_a_version_counts_once_it_is_ready() -> None:
    done = take(replace(READY, status="update_signing"), "ready", "L").context
    assert (done.version, done.pending, done.to_sign) == ("0.1", "", frozenset())


REFUSED: list[tuple[str, dict[str, Any], str, str, dict[str, Any], str]] = [
    ("gathering", {"joined": frozenset("A")}, "propose", "L", {}, "every_client_joined"),
    ("gathering", {}, "join", "C", {}, "wrong_sender"),
    *[
        (status, {}, "agreement", "A", {"digest": "other"}, "same_plan")
        for status in ("proposed", "updating", "closing")
    ],
    ("proposed", {"agreed": frozenset("A")}, "all_agreed", "L", {}, "every_client_agreed"),
    ("updating", {"agreed": frozenset("A")}, "begin_signing", "L", {}, "every_client_agreed"),
    ("closing", {"agreed": frozenset("B")}, "begin_signing", "L", {}, "every_client_agreed"),
    *[
        (status, {}, "kit_complete", "A", {"version": "0.0"}, "kit_of_this_version")
        for status in ("signing", "update_signing")
    ],
    *[
        (status, {"complete": frozenset("A")}, "ready", "L", {}, "every_kit_complete")
        for status in ("signing", "update_signing")
    ],
    *[(status, {"held": frozenset()}, "ready", "L", {}, "own_kit_held") for status in ("signing", "update_signing")],
    ("close_signing", {"held": frozenset()}, "close_complete", "L", {}, "own_kit_held"),
    ("funded", {}, "funding_confirmed", "chain", {"depth": 2}, "deep_enough"),
    ("close_published", {}, "close_confirmed", "chain", {"depth": 2}, "deep_enough"),
    ("resolving", {}, "outputs_spent", "chain", {"depth": 2}, "deep_enough"),
    ("resolving", {}, "outputs_spent", "chain", {"unspent": 1}, "nothing_left"),
    ("active", {"odometer": TICKS.tick("r.0")}, "begin_update", "L", {}, "index_left"),
    ("active", {"odometer": None}, "begin_update", "L", {}, "index_left"),
    *[
        ("active", {}, "begin_update", "L", {field: frozenset("A")}, guard)
        for field, guard in (
            ("unfinished", "sales_finished"),
            ("poorer", "balance_not_less"),
            ("smaller", "capacity_not_less"),
            ("uncovered", "alternates_cover"),
        )
    ],
    ("dying", {}, "begin_close", "L", {"unfinished": frozenset("A")}, "sales_finished"),
    ("active", {}, "period_over", "clock", {"height": 29}, "active_period_over"),
    ("active", {}, "period_over", "L", {}, "wrong_sender"),
    ("active", {}, "end_reached", "clock", {"end": 31}, "end_passed"),
    ("signed", {}, "fund", "A", {}, "wrong_sender"),
]


@pytest.mark.parametrize(("status", "change", "event", "by", "fields", "guard"), REFUSED)
def test_a_false_guard_refuses_by_name(
    status: str, change: dict[str, Any], event: str, by: str, fields: dict[str, Any], guard: str
) -> None:
    context = replace(READY, status=status, **change)
    before = replace(context)
    with pytest.raises(Refused) as caught:
        take(context, event, by, **fields)
    assert (caught.value.guard, caught.value.state) == (guard, status)
    assert context == before
