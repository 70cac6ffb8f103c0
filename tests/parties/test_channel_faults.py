"""Letters lost, doubled, late; either side dead after any letter: both end where they would have ended."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from superscalar_ref.errors import DurabilityError, Refused
from superscalar_ref.parties import channel_messages as c
from superscalar_ref.protocol.channel import Channel, view
from tests.parties.channel_scene import (
    CAPACITY_SAT,
    CLIENT,
    CLIENT_MSAT,
    LSP,
    OUTPOINT,
    Letter,
    Pair,
    balances,
    hashed,
    nonces_signed_with,
    preimage,
)

TOTAL = CAPACITY_SAT * 1000
NEW = "22" * 32 + ":1"


def check(pair: Pair) -> None:
    """What must hold whenever the wire rests: msat conserved, one signature a nonce, both sides agree, can close."""
    assert sum(balances(pair)) == TOTAL
    assert max(nonces_signed_with(pair).values()) == 1, "a nonce signed twice"
    for side, other in ((pair.a, pair.l), (pair.l, pair.a)):
        channel = side.channel
        for holder in (channel.me, channel.peer):
            for newest in (False, True):
                said = view(channel, holder, newest)
                held = said.to_holder_msat + said.to_other_msat + sum(htlc.amount_msat for htlc in said.htlcs)
                assert held == TOTAL and min(said.to_holder_msat, said.to_other_msat) >= 0
        assert side.own is not None and side.own.said.number == channel.mine
        signed = other.their_commitment(channel.mine)
        assert signed is not None
        assert _bare(signed.said.htlcs) == _bare(side.own.said.htlcs)
        assert signed.said.to_holder_msat == side.own.said.to_holder_msat
        for outpoint in channel.outpoints:
            side.own_transaction(outpoint)
        # Every older commitment of the peer can be punished.
        assert all(side.their_secret(number) is not None for number in range(channel.revoked + 1))
        slots = [(outpoint, slot) for outpoint, slot, _ in side.store.records()]
        assert len(slots) == len(set(slots)), "one message for each spend"


def _bare(htlcs: object) -> list[tuple[str, int, int]]:
    assert isinstance(htlcs, tuple)
    return sorted((htlc.payer, htlc.number, htlc.amount_msat) for htlc in htlcs)


def script(pair: Pair) -> None:
    """Who pays whom, whoever is asked: every payee claims odd hashes and gives even ones back."""
    table = {hashed(number): preimage(number) if number % 2 else "even" for number in range(1, 9)}
    for side in (pair.a, pair.l):
        side.answer = lambda htlc: table.get(htlc.payment_hash)
    pair.answers = {name: pair.sides[name].answer for name in (CLIENT, LSP)}


PAYMENTS = ((CLIENT, 1, 11_000_111), (LSP, 2, 22_000_222), (LSP, 3, 33_000_333), (CLIENT, 4, 44_000_444))
GAINED = 33_000_333 - 11_000_111
"""What the client is better off when all four are over (msat)."""


def offer_all(pair: Pair, drop: random.Random | None = None, weights: tuple[int, ...] = (1, 0, 0, 0)) -> None:
    """Every payment is offered as soon as the channel takes it, on a wire with faults."""
    for name, number, amount in PAYMENTS:
        for _ in range(40):
            try:
                pair.post(name, pair.sides[name].offer(amount, hashed(number), 200))
                break
            except Refused:
                pair.settle(1)
        else:
            raise AssertionError(f"payment {number} is never taken")
        faulty(pair, drop, weights)


def faulty(pair: Pair, drop: random.Random | None, weights: tuple[int, ...], most: int = 30) -> None:
    """Deliver letters: as they are, or lost, doubled, or out of order; or a side dies first."""
    for _ in range(most):
        if not pair.letters:
            return
        fault = "none" if drop is None else drop.choices(("none", "lose", "double", "late"), weights)[0]
        letter = pair.letters.popleft()
        if fault == "lose":
            continue
        if fault == "double":
            pair.letters.append(letter)
        if fault == "late" and pair.letters:
            pair.letters.insert(1, letter)
            continue
        pair.deliver(letter)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**9), weights=st.sampled_from([(6, 2, 1, 1), (3, 1, 3, 1), (3, 1, 1, 3), (10, 1, 1, 1)]))
def test_lost_doubled_and_late_letters_change_no_outcome(seed: int, weights: tuple[int, ...]) -> None:
    pair, drop = Pair(), random.Random(seed)
    script(pair)
    pair.post(CLIENT, pair.a.connect())
    faulty(pair, drop, weights)
    pair.settle()
    offer_all(pair, drop, weights)
    pair.settle()
    assert not pair.a.channel.htlcs and not pair.l.channel.htlcs, pair.alerts[-3:]
    assert balances(pair) == (CLIENT_MSAT + GAINED, TOTAL - CLIENT_MSAT - GAINED)
    check(pair)


def letters_of_a_life() -> int:
    pair = Pair()
    script(pair)
    pair.open()
    offer_all(pair)
    return len(pair.tape)


@pytest.mark.parametrize("name", [CLIENT, LSP])
@pytest.mark.parametrize("lost", [False, True])
def test_a_crash_of_either_side_after_any_letter_changes_no_outcome(name: str, lost: bool) -> None:
    total = letters_of_a_life()
    assert total > 30
    for moment in range(0, total, 1 if lost else 3):
        pair = Pair()
        script(pair)
        pair.post(CLIENT, pair.a.connect())
        _until(pair, moment, name, lost)
        assert not pair.a.channel.htlcs and not pair.l.channel.htlcs, (moment, pair.alerts[-3:])
        assert balances(pair) == (CLIENT_MSAT + GAINED, TOTAL - CLIENT_MSAT - GAINED), moment
        check(pair)


def _until(pair: Pair, moment: int, name: str, lost: bool) -> None:
    """A life in which ``name`` dies after so many letters: with ``lost``, and what was on its way dies with it."""
    delivered = 0
    waiting = list(PAYMENTS)
    crashed = False
    while waiting or pair.letters or not crashed:
        if delivered >= moment and not crashed:
            crashed = True
            pair.crash(name)
            if lost:
                pair.letters.clear()
            pair.settle(2)
        if waiting:
            payer, number, amount = waiting[0]
            try:
                pair.post(payer, pair.sides[payer].offer(amount, hashed(number), 200))
                waiting.pop(0)
            except Refused:
                if not pair.letters:
                    pair.settle(1)
        if pair.letters:
            pair.deliver(pair.letters.popleft())
            delivered += 1
        elif not waiting and not crashed:
            delivered = moment
    pair.settle()


@pytest.mark.parametrize("name", [CLIENT, LSP])
def test_a_crash_at_any_step_of_a_move_changes_no_outcome(name: str) -> None:
    for moment in range(30):
        pair = Pair().open().offer(CLIENT, 5_000_000, 1)
        steps = iter(range(1000))

        def once(pair: Pair = pair, moment: int = moment, steps: object = steps) -> None:
            while pair.letters:
                if next(steps) == moment:  # type: ignore[call-overload]
                    pair.crash(name)
                    pair.settle(2)
                    return
                pair.deliver(pair.letters.popleft())

        _move_with(pair, once)
        pair.say(LSP, lambda side: side.settle(0, preimage(1)))
        pair.settle()
        assert pair.a.channel.outpoints == pair.l.channel.outpoints == (NEW,), moment
        assert balances(pair) == (CLIENT_MSAT - 5_000_000, TOTAL - CLIENT_MSAT + 5_000_000), moment
        check(pair)


def _move_with(pair: Pair, once: object) -> None:
    """Both sides go on towards the new outpoint as far as their channel lets them, however often they die."""
    assert callable(once)
    for _ in range(20):
        for name in (LSP, CLIENT):
            side = pair.sides[name]
            try:
                if side.channel.outpoints == (OUTPOINT,) and side.channel.status == "live":
                    pair.post(name, side.quiesce())
                    once()
                if pair.sides[name].channel.status == "quiescent":
                    pair.post(name, pair.sides[name].move(NEW))
                    once()
                if len(pair.sides[name].channel.outpoints) == 2 and name not in pair.sides[name].channel.left:
                    pair.post(name, pair.sides[name].complete())
                    once()
            except Refused:
                pair.settle(1)
        pair.settle(1)
        if all(side.channel.outpoints == (NEW,) and side.channel.departures for side in pair.sides.values()):
            return
    raise AssertionError([side.channel for side in pair.sides.values()])


def test_closing_together_survives_a_crash_at_any_letter() -> None:
    for moment in range(8):
        for name in (CLIENT, LSP):
            pair = Pair().open()
            pair.post(CLIENT, pair.a.shutdown())
            for _ in range(moment):
                if pair.letters:
                    pair.deliver(pair.letters.popleft())
            pair.crash(name)
            pair.letters.clear()
            pair.settle()
            assert [side.channel.status for side in pair.sides.values()] == ["agreed", "agreed"], (moment, name)
            assert len({transaction.txid for _, transaction in pair.broadcasts}) == 1


def test_a_store_that_fails_sends_nothing_and_forgets_nothing() -> None:
    pair = Pair().open()
    before, count = pair.a.channel, len(pair.tape)

    def fail() -> None:
        pair.a.store.rollback()
        raise DurabilityError("the disk is full")

    commit, pair.a.store.commit = pair.a.store.commit, fail  # type: ignore[method-assign]
    with pytest.raises(DurabilityError):
        pair.a.offer(1_000_000, hashed(1), 200)
    assert not pair.a.outbox.messages and len(pair.tape) == count
    assert pair.a.channel.htlcs == before.htlcs and pair.a.channel.next_offer == before.next_offer
    pair.a.store.commit = commit  # type: ignore[method-assign]
    pair.open().offer(CLIENT, 1_000_000, 1)
    assert pair.l.channel.htlcs[0].stage == 4
    check(pair)


def test_no_store_ever_holds_a_nonce() -> None:
    pair = Pair()
    script(pair)
    pair.open()
    offer_all(pair)
    sent = set()
    for letter in pair.tape:
        body = c.decode(letter.raw, letter.sender).body
        sent |= set(getattr(body, "nonces", {}).values())
    for store in pair.stores.values():
        rows = "".join(str(row) for row in store._read("SELECT name, body FROM documents"))
        assert not any(nonce in rows for nonce in sent)


def test_a_letter_of_an_older_connection_is_dropped() -> None:
    pair = Pair().open()
    outbox = pair.a.offer(1_000_000, hashed(1), 200)
    old = [Letter(CLIENT, to, raw) for to, raw in outbox.messages]
    pair.open()
    before: Channel = pair.l.channel
    for letter in old:
        pair.deliver(letter)
    assert pair.l.channel == before
    check(pair)


@settings(max_examples=30, deadline=None)
@given(raw=st.one_of(st.binary(max_size=200), st.text(max_size=100).map(str.encode)))
def test_garbage_is_one_alert_and_changes_nothing(raw: bytes) -> None:
    pair = GARBAGE
    before = pair.l.channel
    outbox = pair.l.receive(CLIENT, raw)
    assert len(outbox.alerts) == 1 and "\n" not in outbox.alerts[0]
    assert pair.l.channel == before


GARBAGE = Pair().open()


OPERATION = st.one_of(
    st.tuples(st.just("offer"), st.sampled_from((CLIENT, LSP)), st.integers(1, 300_000_000)),
    st.tuples(st.sampled_from(("settle", "reject")), st.sampled_from((CLIENT, LSP)), st.integers(0, 3)),
    st.tuples(st.sampled_from(("deliver", "lose", "double")), st.just(CLIENT), st.integers(1, 6)),
    st.tuples(
        st.sampled_from(("crash", "connect", "batch", "quiesce", "resume")), st.sampled_from((CLIENT, LSP)), st.just(0)
    ),
)


def apply(pair: Pair, operation: tuple[str, str, int], made: list[int]) -> None:
    """One step of a random life; what the table refuses changes nothing."""
    what, name, value = operation
    side = pair.sides[name]
    before = side.channel
    try:
        match what:
            case "offer":
                number = len(made) + 1
                pair.post(name, side.offer(value, hashed(number % 250), 200))
                made.append(number)
            case "settle" | "reject":
                htlcs = [htlc for htlc in side.channel.htlcs if htlc.payer != name]
                if htlcs:
                    htlc = htlcs[value % len(htlcs)]
                    known = next(n for n in range(251) if hashed(n) == htlc.payment_hash)
                    act = (
                        side.settle(htlc.number, preimage(known)) if what == "settle" else side.reject(htlc.number, "")
                    )
                    pair.post(name, act)
            case "deliver" | "lose" | "double":
                for _ in range(value):
                    if pair.letters:
                        letter = pair.letters.popleft()
                        if what != "lose":
                            pair.deliver(letter)
                        if what == "double":
                            pair.deliver(letter)
            case _:
                own_step(pair, what, name)
    except Refused:
        assert side.channel == before


def own_step(pair: Pair, what: str, name: str) -> None:
    side = pair.sides[name]
    match what:
        case "crash":
            pair.crash(name)
        case "connect":
            pair.post(name, side.connect())
        case "batch":
            side.batching = not side.batching
        case "quiesce":
            pair.post(name, side.quiesce())
        case _:
            pair.post(name, side.resume())


@settings(max_examples=60, deadline=None)
@example(operations=[("offer", "A", 1), ("offer", "A", 1), ("connect", "A", 0), ("connect", "A", 0), ("crash", "A", 0)])
@given(operations=st.lists(OPERATION, min_size=5, max_size=40))
def test_random_lives_conserve_every_millisatoshi_and_come_to_rest(operations: list[tuple[str, str, int]]) -> None:
    pair, made = Pair().open(), list[int]()
    for operation in operations:
        apply(pair, operation, made)
        check(pair)
    for side in pair.sides.values():
        side.batching = side.wants_quiet = False
    pair.settle()
    for name in (CLIENT, LSP):
        side = pair.sides[name]
        if side.channel.status == "quiescent":
            pair.say(name, lambda side: side.resume())
    for side in list(pair.sides.values()):
        side.answer = lambda htlc: "over"
        pair.answers[side.name] = side.answer
    for name in (CLIENT, LSP):
        pair.say(name, lambda side: side.answer_pending())
    pair.settle()
    check(pair)
    assert not pair.a.channel.htlcs and not pair.l.channel.htlcs, (pair.a.channel, pair.l.channel)
    assert pair.a.channel.balance_msat + pair.l.channel.balance_msat == TOTAL


def test_a_peer_that_names_another_point_for_what_was_signed_is_refused() -> None:
    """CHN-19: the peer would hold a second commitment of one number, and its secret would revoke one alone."""
    pair = Pair().open()
    pair.a.offer(1_000_000, hashed(1), 200)
    assert pair.a.channel.theirs == 1, "signed, and lost on its way"
    _, raw = pair.l.connect().messages[0]
    envelope = c.decode(raw, LSP)
    assert isinstance(envelope.body, c.Reestablish) and envelope.body.next_commitment == 1
    bent = replace(envelope, body=replace(envelope.body, point=pair.a.own_secret(0).public.hex()))
    signed = pair.a.their_commitment(1)
    outbox = pair.a.receive(LSP, c.encode(bent))
    assert any("POINT_CHANGED" in alert for alert in outbox.alerts), outbox.alerts
    assert not pair.a.channel.synced and pair.a.their_commitment(1) == signed
