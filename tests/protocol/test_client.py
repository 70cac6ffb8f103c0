"""Each row of the client's table taken once, and each guard at its boundary, from the words of its rule."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from superscalar_ref.errors import Refused
from superscalar_ref.machine.step import Stepped, step
from superscalar_ref.machine.types import Event
from superscalar_ref.protocol.client import Client, Limits, version_key
from superscalar_ref.protocol.participant import machines

LIMITS = Limits(ceiling=20, margin=2, life=30, depth=3, reaction=3)
KIT = frozenset({"kickoff", "state"})
BASE = Client(
    "active", "A", "L", LIMITS, promised=5, version="0.0", owed=5, kit=frozenset({"old"}), newest_agreed="0.0"
)
PENDING = replace(BASE, pending="0.1", pending_owed=6, pending_kit=KIT, newest_agreed="0.1")
OFFER: dict[str, Any] = {
    "balance": 5,
    "funding_claimed": "x",
    "funding_computed": "x",
    "exit_blocks": 18,
    "height": 70,
    "end": 100,
    "shortest_lock": 4,
    "end_default": "inverted/every",
    "version": "0.0",
    "kit": KIT,
}
FIRST = Client("verifying", "A", "L", LIMITS, promised=5)


def take(context: Client, name: str, by: str, **fields: Any) -> Stepped[Client]:
    return step(machines().client, context, Event.of(name, by, **fields))


def kinds(stepped: Stepped[Client]) -> list[tuple[str, str]]:
    return [(action.kind, action.name) for action in stepped.actions]


def test_an_invitation_is_answered_with_keys() -> None:
    done = take(Client("invited", "A", "L", LIMITS), "invitation", "L", balance=5)
    assert (done.transition_id, done.context) == ("CLI-1", FIRST)
    assert kinds(done) == [("send", "join")]


def test_a_proposal_at_every_limit_is_agreed_to() -> None:
    done = take(FIRST, "proposal", "L", **OFFER)
    assert (done.transition_id, done.context.status, done.context.newest_agreed) == ("CLI-2", "signing", "0.0")
    assert (done.context.pending, done.context.pending_owed, done.context.pending_kit) == ("0.0", 5, KIT)
    assert kinds(done) == [("persist", "terms"), ("send", "agreement")]


@pytest.mark.parametrize(("status", "row", "to"), [("signing", "CLI-3", "holding"), ("updating", "CLI-6", "active")])
def test_a_complete_kit_is_counted_durably_before_anybody_hears_of_it(status: str, row: str, to: str) -> None:
    done = take(replace(PENDING, status=status, held=KIT), "kit_complete", "A")
    assert (done.transition_id, done.context.status) == (row, to)
    assert (done.context.version, done.context.owed, done.context.kit) == ("0.1", 6, KIT)
    assert (done.context.pending, done.context.pending_owed, done.context.pending_kit) == ("", 0, frozenset())
    assert kinds(done) == [("persist", "counted"), ("send", "kit_complete")]
    assert done.actions[1]["version"] == "0.1"


def test_an_update_is_used_up_durably_before_the_agreement_leaves() -> None:
    done = take(BASE, "update_proposal", "L", version="0.1", balance=5, kit=KIT)
    assert (done.transition_id, done.context.status, done.context.newest_agreed) == ("CLI-5", "updating", "0.1")
    assert done.context.version == "0.0"
    assert kinds(done) == [("persist", "pending"), ("send", "agreement")]


def test_an_update_that_is_broken_off_stays_used_up() -> None:
    done = take(replace(PENDING, status="updating"), "update_aborted", "A")
    assert (done.transition_id, done.context.status, done.context.newest_agreed) == ("CLI-7", "active", "0.1")
    assert (done.context.version, done.context.pending) == ("0.0", "")
    assert kinds(done) == [("abort", "sessions")]


ROWS: list[tuple[str, str, str, str, str, list[tuple[str, str]]]] = [
    ("holding", "funding_confirmed", "chain", "CLI-4", "active", [("persist", "status")]),
    ("active", "close_proposal", "L", "CLI-8", "closing", [("persist", "status"), ("send", "agreement")]),
    ("closing", "close_confirmed", "chain", "CLI-9", "left", [("persist", "status")]),
    ("exiting", "close_confirmed", "chain", "CLI-9", "left", [("persist", "status")]),
    ("waiting", "close_confirmed", "chain", "CLI-9", "left", [("persist", "status")]),
    ("on_chain", "close_confirmed", "chain", "CLI-9", "left", [("persist", "status")]),
    ("settling", "close_confirmed", "chain", "CLI-9", "left", [("persist", "status")]),
    *[
        (status, event, by, row, "exiting", [("abort", "sessions"), ("persist", "status")])
        for event, by, row in (("start_exit", "A", "CLI-10"), ("tree_confirmed", "chain", "CLI-11"))
        for status in ("holding", "active", "updating", "closing")
    ],
    ("exiting", "kickoff_confirmed", "chain", "CLI-12", "waiting", [("persist", "status")]),
    ("waiting", "kickoff_confirmed", "chain", "CLI-12", "waiting", [("persist", "status")]),
    ("waiting", "state_confirmed", "chain", "CLI-13", "exiting", [("persist", "status")]),
    ("waiting", "leaf_confirmed", "chain", "CLI-14", "on_chain", [("persist", "status")]),
    ("on_chain", "commitment_confirmed", "chain", "CLI-15", "settling", [("persist", "status")]),
    ("settling", "sweep_confirmed", "chain", "CLI-16", "swept", [("persist", "status")]),
    ("on_chain", "peer_commitment_confirmed", "chain", "CLI-19", "swept", [("persist", "status")]),
    ("settling", "peer_commitment_confirmed", "chain", "CLI-19", "swept", [("persist", "status")]),
    ("on_chain", "poison_confirmed", "chain", "CLI-21", "swept", [("persist", "status")]),
    ("settling", "poison_confirmed", "chain", "CLI-21", "swept", [("persist", "status")]),
    *[
        (status, "alternate_confirmed", "chain", "CLI-17", "paid", [("abort", "sessions"), ("persist", "status")])
        for status in ("holding", "active", "updating", "closing", "exiting", "waiting", "on_chain", "settling")
    ],
    *[
        (status, "abort", by, "CLI-18", "left", [("abort", "sessions"), ("persist", "status")])
        for status in ("verifying", "signing")
        for by in ("A", "L")
    ],
]


@pytest.mark.parametrize(("status", "event", "by", "row", "to", "actions"), ROWS)
def test_a_row_is_taken(status: str, event: str, by: str, row: str, to: str, actions: list[tuple[str, str]]) -> None:
    done = take(replace(BASE, status=status), event, by, depth=3, balance=5)
    assert (done.transition_id, done.context.status, kinds(done)) == (row, to, actions)
    assert (done.context.version, done.context.owed, done.context.kit) == ("0.0", 5, frozenset({"old"}))


def test_a_purchase_is_counted_with_its_link() -> None:
    link = frozenset({"sale:state:r@0#1.0"})
    done = take(replace(BASE, status="active", held=link), "link_complete", "A", given=3, bought=9, kit=link)
    assert (done.transition_id, kinds(done)) == ("CLI-20", [("persist", "link_counted")])
    assert done.context.capacity == BASE.capacity + 9
    assert (done.context.owed, done.context.kit) == (8, frozenset({"old"}) | link)


@pytest.mark.parametrize(("capacity", "more"), [(9, {"cover": 8}), (12, {"cover": 12}), (12, {})])
def test_a_channel_grows_as_far_as_the_alternates_above_pay(capacity: int, more: dict[str, int]) -> None:
    """What the client had already is never too much; without alternates there is nothing to measure by."""
    here = replace(BASE, capacity=9)
    done = take(here, "update_proposal", "L", version="0.1", balance=5, capacity=capacity, kit=KIT, **more)
    assert (done.transition_id, done.context.pending_capacity) == ("CLI-5", capacity)


REFUSED: list[tuple[Client, str, str, dict[str, Any], str]] = [
    (FIRST, "proposal", "L", {**OFFER, "balance": 4}, "balance_as_promised"),
    (FIRST, "proposal", "L", {**OFFER, "funding_claimed": "y"}, "funding_recomputed"),
    (FIRST, "proposal", "L", {**OFFER, "exit_blocks": 19}, "exit_within_ceiling"),
    (FIRST, "proposal", "L", {**OFFER, "height": 71}, "end_leaves_time"),
    (FIRST, "proposal", "L", {**OFFER, "shortest_lock": 3}, "locks_outlast_absence"),
    (FIRST, "proposal", "L", {**OFFER, "end_default": "classic/none"}, "end_default_accepted"),
    (FIRST, "proposal", "B", OFFER, "wrong_sender"),
    (replace(PENDING, status="signing", held=frozenset({"state"})), "kit_complete", "A", {}, "kit_held"),
    (replace(PENDING, status="updating", held=frozenset({"state"})), "kit_complete", "A", {}, "kit_held"),
    (replace(PENDING, status="updating", held=KIT), "kit_complete", "L", {}, "wrong_sender"),
    (replace(BASE, newest_agreed="0.1"), "update_proposal", "L", {"version": "0.1", "balance": 5}, "version_is_newer"),
    (BASE, "update_proposal", "L", {"version": "0.1", "balance": 4}, "balance_not_less"),
    (BASE, "close_proposal", "L", {"balance": 4}, "close_pays_in_full"),
    (BASE, "link_complete", "A", {"given": 1, "kit": frozenset({"link"})}, "link_held"),
    (
        replace(BASE, capacity=9),
        "update_proposal",
        "L",
        {"version": "0.1", "balance": 5, "capacity": 8},
        "capacity_not_less",
    ),
    (
        replace(BASE, capacity=9),
        "update_proposal",
        "L",
        {"version": "0.1", "balance": 5, "capacity": 12, "cover": 11},
        "alternates_cover",
    ),
    (replace(PENDING, status="updating", held=KIT, pending_poison=KIT | {"p"}), "kit_complete", "A", {}, "poison_held"),
    (replace(BASE, status="settling"), "sweep_confirmed", "chain", {"depth": 3, "unsettled": 1}, "nothing_left"),
    *[
        (replace(BASE, status=status), event, "chain", {"depth": 2}, "deep_enough")
        for status, event in (
            ("holding", "funding_confirmed"),
            ("closing", "close_confirmed"),
            ("settling", "sweep_confirmed"),
            ("active", "alternate_confirmed"),
        )
    ],
]


@pytest.mark.parametrize(("context", "name", "by", "fields", "guard"), REFUSED)
def test_a_false_guard_refuses_by_name(context: Client, name: str, by: str, fields: dict[str, Any], guard: str) -> None:
    before = replace(context)
    with pytest.raises(Refused) as caught:
        take(context, name, by, **{"kit": KIT, **fields})
    assert (caught.value.guard, caught.value.state) == (guard, context.status)
    assert context == before


def test_versions_compare_like_odometers() -> None:
    ordered = ["", "0.0", "0.1", "0.9", "0.10", "1.0", "1.0.1", "2"]
    assert sorted(ordered, key=version_key) == ordered
    assert version_key("-") == ()
