"""The table of the assisted exit, row by row and guard by guard, and the order of its two heights."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superscalar_ref.errors import Refused
from superscalar_ref.machine.step import Stepped, step
from superscalar_ref.machine.types import Event
from superscalar_ref.protocol.assisted_exit import Exit, assisted_exit_machine, least_gap

BASE = Exit("offered", "A", "L", 2, confirmation=1, lsp_absence=2, exit_blocks=10, refund_height=100, expiry=122)
PAYS = {"on_chain": 9, "inside": 10, "fee": 1}


def take(exit_: Exit, event: str, by: str, **fields: Any) -> Stepped[Exit]:
    return step(assisted_exit_machine(), exit_, Event.of(event, by, **fields))


ROWS: list[tuple[str, str, str, dict[str, Any], str, str, list[str]]] = [
    ("offered", "lock_inside", "A", {}, "AXT-1", "inside", ["assisted_exit", "lock_inside"]),
    ("inside", "lock_on_chain", "L", PAYS, "AXT-2", "inside", ["assisted_exit", "lock"]),
    ("inside", "lock_confirmed", "chain", {"depth": 2, "valid": True}, "AXT-3", "locked", []),
    ("locked", "claim", "A", {"height": 98}, "AXT-4", "locked", ["assisted_exit", "claim"]),
    ("inside", "claim_seen", "chain", {"depth": 2}, "AXT-5", "claimed", ["factory_key", "take_inside"]),
    ("locked", "claim_seen", "chain", {"depth": 2}, "AXT-5", "claimed", ["factory_key", "take_inside"]),
    ("refunding", "claim_seen", "chain", {"depth": 2}, "AXT-5", "claimed", ["factory_key", "take_inside"]),
    ("refunding", "refund", "L", {"height": 99}, "AXT-9", "refunding", ["refund"]),
    ("inside", "refund_seen", "chain", {"depth": 2}, "AXT-10", "refunded", ["assisted_exit", "unlock_inside"]),
    ("locked", "refund_seen", "chain", {"depth": 2}, "AXT-10", "refunded", ["assisted_exit", "unlock_inside"]),
    ("refunding", "refund_seen", "chain", {"depth": 2}, "AXT-10", "refunded", ["assisted_exit", "unlock_inside"]),
    ("offered", "give_up", "A", {}, "AXT-7", "refunded", ["assisted_exit", "unlock_inside"]),
    ("inside", "give_up", "A", {}, "AXT-7", "refunded", ["assisted_exit", "unlock_inside"]),
    ("inside", "give_up", "L", {}, "AXT-7", "refunded", ["assisted_exit", "unlock_inside"]),
]


@pytest.mark.parametrize(("status", "event", "by", "fields", "row", "to", "actions"), ROWS)
def test_a_row_is_taken(
    status: str, event: str, by: str, fields: dict[str, Any], row: str, to: str, actions: list[str]
) -> None:
    done = take(replace(BASE, status=status), event, by, **fields)
    assert (done.transition_id, done.context.status) == (row, to)
    assert [action.name for action in done.actions] == actions


SWAPPED = replace(BASE, refund_height=122, expiry=100)
OUT = replace(BASE, published=True)
REFUSED: list[tuple[Exit, str, str, str, dict[str, Any], str]] = [
    (replace(BASE, handed_over=True), "offered", "lock_inside", "A", {}, "fresh_key"),
    (replace(BASE, expiry=121), "offered", "lock_inside", "A", {}, "heights_in_order"),
    (SWAPPED, "offered", "lock_inside", "A", {}, "heights_in_order"),
    (SWAPPED, "inside", "lock_on_chain", "L", PAYS, "heights_in_order"),
    (BASE, "inside", "lock_on_chain", "L", {**PAYS, "on_chain": 8}, "amounts_agree"),
    (BASE, "inside", "lock_on_chain", "L", {**PAYS, "on_chain": 10}, "amounts_agree"),
    (BASE, "inside", "lock_confirmed", "chain", {"depth": 1, "valid": True}, "deep_enough"),
    (BASE, "inside", "lock_confirmed", "chain", {"depth": 2, "valid": False}, "pre_signature_valid"),
    (BASE, "locked", "claim", "A", {"height": 99}, "time_left_to_claim"),
    (BASE, "locked", "claim_seen", "chain", {"depth": 1}, "deep_enough"),
    (OUT, "inside", "refund", "L", {"height": 99}, "height_reached"),
    (OUT, "locked", "refund", "L", {"height": 99}, "height_reached"),
    (BASE, "inside", "refund", "L", {"height": 100}, "lock_published"),
    (OUT, "refunding", "refund_seen", "chain", {"depth": 1}, "deep_enough"),
    (OUT, "refunding", "claim_seen", "chain", {"depth": 1}, "deep_enough"),
    (OUT, "inside", "give_up", "L", {}, "nothing_published"),
    (BASE, "inside", "lock_on_chain", "A", PAYS, "wrong_sender"),
    (BASE, "locked", "claim", "L", {"height": 98}, "wrong_sender"),
]


@pytest.mark.parametrize(("exit_", "status", "event", "by", "fields", "guard"), REFUSED)
def test_a_guard_refuses(exit_: Exit, status: str, event: str, by: str, fields: dict[str, Any], guard: str) -> None:
    with pytest.raises(Refused) as caught:
        take(replace(exit_, status=status), event, by, **fields)
    assert caught.value.guard == guard


@pytest.mark.parametrize("status", ["inside", "locked"])
def test_the_lsp_takes_back_only_what_it_has_published(status: str) -> None:
    done = take(replace(OUT, status=status), "refund", "L", height=100)
    assert (done.transition_id, done.context.status) == ("AXT-6", "refunding")
    assert [action.name for action in done.actions] == ["refund"], "what is inside stays until the refund is deep"


def test_what_goes_out_is_remembered() -> None:
    assert take(replace(BASE, status="inside"), "lock_on_chain", "L", **PAYS).context.published
    shown = take(replace(BASE, status="locked"), "claim", "A", height=98).context
    assert shown.shown and shown.handed_over
    again = shown
    for height in (499, 500):
        done = take(again, "claim", "A", height=height)
        assert (done.transition_id, [action.name for action in done.actions]) == ("AXT-8", ["claim"])
        again = done.context
    assert again == shown, "a claim that is published again is still the client's only way"


def test_who_gives_up_tells_the_other() -> None:
    for who, other in (("A", "L"), ("L", "A")):
        (_, action) = take(replace(BASE, status="inside"), "give_up", who).actions
        assert action.to == other
    (_, action) = take(replace(BASE, status="refunding"), "refund_seen", "chain", depth=2).actions
    assert action.to == "A"


def test_who_has_shown_its_key_cannot_give_up() -> None:
    with pytest.raises(Refused, match="OUT_OF_TURN"):
        take(replace(BASE, status="locked"), "give_up", "A")


@given(st.integers(1, 10), st.integers(0, 10), st.integers(1, 50), st.integers(0, 1_000))
def test_the_gap_is_enough_and_one_block_less_is_not(confirm: int, absence: int, path: int, refund: int) -> None:
    exit_ = replace(BASE, confirmation=confirm, lsp_absence=absence, exit_blocks=path, refund_height=refund)
    latest_claim = refund + absence + confirm
    taken = latest_claim + BASE.depth - 1 + absence + path + 2 * (absence + confirm)
    enough = replace(exit_, expiry=refund + least_gap(exit_))
    assert taken <= enough.expiry
    assert take(enough, "lock_inside", "A").context.status == "inside"
    short = replace(enough, expiry=enough.expiry - 1)
    assert taken > short.expiry, "the client may take its balance back before the LSP's claim is mined"
    with pytest.raises(Refused, match="HEIGHTS_IN_ORDER"):
        take(short, "lock_inside", "A")
