"""Each row of the session's table taken once, and each guard refusing, from the words of its rule."""

from __future__ import annotations

from dataclasses import replace

import pytest

from superscalar_ref.errors import Refused
from superscalar_ref.machine.step import Stepped, step
from superscalar_ref.machine.types import Event
from superscalar_ref.protocol.participant import machines
from superscalar_ref.protocol.session import Session, Task

TASK = Task("T", "sighash", "P:0", "state 1", frozenset("ABL"), "L", frozenset("ABL"), frozenset({"child"}))
RECORD = ("P:0", "state 1", "sighash")
LSP = Session("open", "L", TASK, nonce=1, attempt=2, nonces_made=1, held=frozenset({"child"}))
CLIENT = replace(LSP, me="A")


def take(context: Session, name: str, by: str, **fields: int | bool) -> Stepped[Session]:
    return step(machines().session, context, Event.of(name, by, **fields))


def kinds(stepped: Stepped[Session]) -> list[tuple[str, str, str]]:
    return [(action.kind, action.name, action.to) for action in stepped.actions]


@pytest.mark.parametrize("status", ["unopened", "aborted", "open", "nonces_in", "signed"])
def test_opening_makes_a_fresh_nonce_and_forgets_the_attempt_before(status: str) -> None:
    old = replace(CLIENT, status=status, nonces=frozenset("B"), partials=frozenset("B"))
    done = take(old, "open", "A", attempt=3)
    assert done.transition_id == "SES-1"
    assert kinds(done) == [("forget", "T", ""), ("nonce", "T", ""), ("send", "nonce", "L")]
    assert done.context == replace(CLIENT, nonce=2, attempt=3, nonces_made=2)
    assert done.actions[2]["attempt"] == 3


def test_a_collector_sends_its_nonce_and_its_partial_signature_to_nobody() -> None:
    opened = take(replace(LSP, status="unopened"), "open", "L", attempt=3)
    assert ("send", "nonce", "L") not in kinds(opened)
    signed = take(replace(LSP, status="nonces_in"), "sign", "L")
    assert [kind for kind, _, _ in kinds(signed)] == ["persist", "sign"]


def test_nonces_are_counted_by_signer() -> None:
    first = take(LSP, "nonce", "B", attempt=2)
    assert (first.transition_id, first.context.status, first.context.nonces) == ("SES-3", "open", frozenset("B"))
    assert kinds(first) == [("keep", "nonce", "B")]
    last = take(first.context, "nonce", "A", attempt=2)
    assert (last.transition_id, last.context.status) == ("SES-2", "nonces_in")
    assert kinds(last) == [
        ("keep", "nonce", "A"),
        ("send", "aggregate_nonce", "A"),
        ("send", "aggregate_nonce", "B"),
    ]


def test_a_signer_takes_the_aggregate_nonce_of_the_collector() -> None:
    done = take(CLIENT, "aggregate_nonce", "L", attempt=2)
    assert (done.transition_id, done.context.status) == ("SES-4", "nonces_in")
    assert kinds(done) == [("keep", "aggregate_nonce", "L")]


def test_the_record_is_durable_before_the_nonce_is_used_and_the_partial_signature_leaves() -> None:
    done = take(replace(CLIENT, status="nonces_in"), "sign", "A")
    assert (done.transition_id, done.context.status, done.context.nonce) == ("SES-5", "signed", 0)
    assert kinds(done) == [("persist", "record", ""), ("sign", "T", ""), ("send", "partial", "L")]
    assert done.context.records == {RECORD}
    assert done.actions[1]["nonce"] == 1


def test_the_same_message_may_be_signed_again_after_a_crash() -> None:
    again = replace(CLIENT, status="nonces_in", records=frozenset({RECORD}))
    assert take(again, "sign", "A").context.records == {RECORD}


@pytest.mark.parametrize("record", [("P:1", "state 1", "other"), ("P:0", "state 2", "other")])
def test_another_outpoint_or_slot_is_another_spend(record: tuple[str, str, str]) -> None:
    assert (
        take(replace(CLIENT, status="nonces_in", records=frozenset({record})), "sign", "A").context.status == "signed"
    )


def test_partial_signatures_come_in_and_the_last_completes() -> None:
    signed = replace(LSP, status="signed", nonce=0)
    first = take(signed, "partial", "A", attempt=2, valid=True)
    assert (first.transition_id, first.context.status, first.context.partials) == ("SES-7", "signed", frozenset("A"))
    doubled = take(first.context, "partial", "A", attempt=2, valid=True)
    assert doubled.context == first.context
    last = take(first.context, "partial", "B", attempt=2, valid=True)
    assert (last.transition_id, last.context.status) == ("SES-6", "complete")
    assert "T" in last.context.held
    assert kinds(last) == [
        ("keep", "partial", "B"),
        ("persist", "signature", ""),
        ("send", "signature", "A"),
        ("send", "signature", "B"),
    ]


def test_partial_signatures_that_come_first_are_kept_and_the_collector_finishes() -> None:
    early = take(replace(LSP, status="nonces_in"), "partial", "A", attempt=2, valid=True)
    assert (early.transition_id, early.context.status) == ("SES-10", "nonces_in")
    both = take(early.context, "partial", "B", attempt=2, valid=True).context
    signed = take(both, "sign", "L").context
    done = take(signed, "finish", "L")
    assert (done.transition_id, done.context.status) == ("SES-11", "complete")
    assert kinds(done) == [("persist", "signature", ""), ("send", "signature", "A"), ("send", "signature", "B")]


def test_a_commitment_goes_to_its_holder_alone() -> None:
    own = replace(TASK, signers=frozenset("AL"), collector="A", holders=frozenset("A"), needs=frozenset())
    done = take(replace(CLIENT, status="signed", task=own), "partial", "L", attempt=2, valid=True)
    assert done.context.status == "complete"
    assert not [kind for kind, _, _ in kinds(done) if kind == "send"]


@pytest.mark.parametrize("status", ["unopened", "open", "nonces_in", "signed", "aborted"])
def test_a_complete_signature_is_welcome_in_every_state(status: str) -> None:
    done = take(replace(CLIENT, status=status), "signature", "L", valid=True)
    assert (done.transition_id, done.context.status, done.context.nonce) == ("SES-8", "complete", 0)
    assert kinds(done) == [("persist", "signature", ""), ("forget", "T", "")]
    assert "T" in done.context.held


@pytest.mark.parametrize("status", ["open", "nonces_in", "signed"])
def test_breaking_off_destroys_the_nonce(status: str) -> None:
    done = take(replace(CLIENT, status=status), "abort", "A")
    assert (done.transition_id, done.context.status, done.context.nonce) == ("SES-9", "aborted", 0)
    assert kinds(done) == [("forget", "T", "")]


REFUSED: list[tuple[Session, str, str, dict[str, int | bool], str]] = [
    (CLIENT, "open", "A", {"attempt": 2}, "attempt_is_newer"),
    (replace(CLIENT, status="aborted"), "open", "A", {"attempt": 1}, "attempt_is_newer"),
    (LSP, "nonce", "A", {"attempt": 1}, "of_this_attempt"),
    # A refusal names the first row of the event, here SES-2; SES-3's own guard is ``nonce_is_first``.
    (replace(LSP, nonces=frozenset("A")), "nonce", "A", {"attempt": 2}, "last_nonce"),
    (CLIENT, "aggregate_nonce", "L", {"attempt": 3}, "of_this_attempt"),
    (replace(CLIENT, status="nonces_in", held=frozenset()), "sign", "A", {}, "children_complete"),
    (replace(CLIENT, status="nonces_in", tree_on_chain=True), "sign", "A", {}, "nothing_on_chain"),
    (
        replace(CLIENT, status="nonces_in", records=frozenset({("P:0", "state 1", "other")})),
        "sign",
        "A",
        {},
        "spend_is_unrecorded",
    ),
    # What is late verifies under no fresh nonce; it is refused as late, and nobody is blamed.
    (replace(LSP, status="signed"), "partial", "A", {"attempt": 1, "valid": False}, "of_this_attempt"),
    (replace(LSP, status="signed"), "partial", "A", {"attempt": 2, "valid": False}, "partial_verifies"),
    (replace(LSP, status="nonces_in"), "partial", "A", {"attempt": 1, "valid": True}, "of_this_attempt"),
    (replace(LSP, status="nonces_in"), "partial", "A", {"attempt": 2, "valid": False}, "partial_verifies"),
    (replace(LSP, status="signed", partials=frozenset("A")), "finish", "L", {}, "every_partial_in"),
    (replace(CLIENT, status="signed", partials=frozenset("BL")), "finish", "A", {}, "every_partial_in"),
    (CLIENT, "signature", "L", {"valid": False}, "signature_verifies"),
    (CLIENT, "aggregate_nonce", "B", {"attempt": 2}, "wrong_sender"),
    (CLIENT, "nonce", "B", {"attempt": 2}, "wrong_sender"),
    (LSP, "nonce", "C", {"attempt": 2}, "wrong_sender"),
    (replace(LSP, status="signed"), "partial", "C", {"attempt": 2, "valid": True}, "wrong_sender"),
]


@pytest.mark.parametrize(("context", "name", "by", "fields", "guard"), REFUSED)
def test_a_false_guard_refuses_by_name(
    context: Session, name: str, by: str, fields: dict[str, int | bool], guard: str
) -> None:
    before = replace(context)
    with pytest.raises(Refused) as caught:
        take(context, name, by, **fields)
    assert (caught.value.guard, caught.value.state) == (guard, context.status)
    assert context == before
