"""A channel's life between two parties: open, pay, be quiet, move, close together; amounts to the millisatoshi."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from superscalar_ref.errors import ProtocolError, Refused
from superscalar_ref.parties import channel_messages as c
from tests.parties.channel_scene import (
    CAPACITY_SAT,
    CLIENT,
    CLIENT_MSAT,
    LSP,
    RESERVE_MSAT,
    Pair,
    balances,
    hashed,
    nonces_signed_with,
    preimage,
)

NEW = "22" * 32 + ":1"
TOTAL = CAPACITY_SAT * 1000


def moved(pair: Pair, outpoint: str = NEW) -> Pair:
    """Both sides hold commitments for two outpoints."""
    pair.say(LSP, lambda side: side.quiesce())
    pair.say(LSP, lambda side: side.move(outpoint))
    return pair.say(CLIENT, lambda side: side.move(outpoint))


def test_the_channel_counts_when_both_first_commitments_are_durable() -> None:
    pair = Pair().open()
    assert (pair.a.channel.status, pair.l.channel.status, pair.alerts) == ("live", "live", [])
    for side in (pair.a, pair.l):
        assert side.channel.mine == 0
        assert side.own_transaction(side.channel.outpoints[0]).outputs
    with pytest.raises(Refused, match="OUT_OF_TURN"):
        Pair().a.offer(1000, hashed(1), 200)


def test_a_payment_each_way_fulfilled_and_failed() -> None:
    pair = Pair().open().offer(CLIENT, 50_000_123, 1)
    assert balances(pair) == (CLIENT_MSAT, TOTAL - CLIENT_MSAT), "a payment in flight belongs to nobody yet"
    pair.say(LSP, lambda side: side.settle(0, preimage(1)))
    assert balances(pair) == (CLIENT_MSAT - 50_000_123, TOTAL - CLIENT_MSAT + 50_000_123)
    assert pair.a.preimages[hashed(1)] == preimage(1).hex()
    pair.offer(LSP, 7_000_001, 2).say(CLIENT, lambda side: side.reject(0, "not mine"))
    assert balances(pair) == (CLIENT_MSAT - 50_000_123, TOTAL - CLIENT_MSAT + 50_000_123)
    assert pair.alerts == ["L: HTLC 0 came back: not mine"]
    assert not pair.a.channel.htlcs and not pair.l.channel.htlcs


def test_several_updates_of_both_sides_share_signatures() -> None:
    pair = Pair().open()
    for side in (pair.a, pair.l):
        side.batching = True
    for number in range(3):
        pair.post(CLIENT, pair.a.offer(1_000_000 + number, hashed(number), 200))
        pair.post(LSP, pair.l.offer(2_000_000 + number, hashed(10 + number), 200))
    before = len(pair.messages(c.CommitmentSigned))
    for side in (pair.a, pair.l):
        side.batching = False
        pair.post(side.name, side.answer_pending())
    pair.run()
    assert len(pair.messages(c.CommitmentSigned)) - before <= 5, "six updates, few signatures"
    assert all(htlc.stage == 4 for side in (pair.a, pair.l) for htlc in side.channel.htlcs)
    assert len(pair.a.channel.htlcs) == 6
    for number in range(3):
        pair.say(LSP, lambda side, n=number: side.settle(n, preimage(n)))  # type: ignore[misc]
        pair.say(CLIENT, lambda side, n=number: side.reject(n, ""))  # type: ignore[misc]
    assert balances(pair) == (CLIENT_MSAT - 3_000_003, TOTAL - CLIENT_MSAT + 3_000_003)


def test_the_reserve_is_the_lsp_s_alone() -> None:
    pair = Pair().open()
    with pytest.raises(Refused, match="PAYER_CAN_PAY"):
        pair.l.offer(TOTAL - CLIENT_MSAT - RESERVE_MSAT + 1, hashed(1), 200)
    pair.offer(LSP, TOTAL - CLIENT_MSAT - RESERVE_MSAT, 1)
    pair.offer(CLIENT, CLIENT_MSAT, 2)
    assert [htlc.stage for htlc in pair.a.channel.htlcs] == [4, 4]


def test_a_refused_expiry_names_the_one_that_is_accepted() -> None:
    pair = Pair().open()
    with pytest.raises(ProtocolError, match="115 is the earliest that is accepted"):
        pair.a.offer(1000, hashed(1), 114)
    with pytest.raises(ProtocolError, match="480 is the latest that is accepted"):
        pair.a.offer(1000, hashed(1), 481)
    # A peer that offers it all the same gets it back, with the reason.
    pair.l.height = 90
    pair.offer(LSP, 1_000_000, 1, expiry=106)
    assert pair.alerts and "115 is the earliest" in pair.alerts[0]
    assert balances(pair) == (CLIENT_MSAT, TOTAL - CLIENT_MSAT)


def test_quiet_lets_nothing_new_in_until_it_ends() -> None:
    pair = Pair().open().offer(CLIENT, 1_000_000, 1)
    pair.say(LSP, lambda side: side.quiesce())
    assert (pair.a.channel.status, pair.l.channel.status) == ("quiescent", "quiescent")
    for side in (pair.a, pair.l):
        with pytest.raises(Refused):
            side.offer(1000, hashed(2), 200)
    pair.say(CLIENT, lambda side: side.resume())
    pair.say(LSP, lambda side: side.settle(0, preimage(1)))
    assert balances(pair) == (CLIENT_MSAT - 1_000_000, TOTAL - CLIENT_MSAT + 1_000_000)


def test_moving_signs_for_both_outpoints_and_revokes_the_old_one_last() -> None:
    pair = moved(Pair().open().offer(CLIENT, 5_000_000, 1))
    old = pair.outpoint
    for side in (pair.a, pair.l):
        assert side.channel.outpoints == (old, NEW)
        spends = {side.own_transaction(one).inputs[0].txid_hex for one in (old, NEW)}
        assert spends == {"11" * 32, "22" * 32}
    pair.offer(LSP, 3_000_000, 2)
    signed = pair.messages(c.CommitmentSigned)[-1][1]
    assert isinstance(signed, c.CommitmentSigned)
    assert set(signed.signatures) == {old, NEW}
    present = pair.a.channel.mine
    pair.say(CLIENT, lambda side: side.complete())
    assert pair.l.their_secret(present) is None, "the old outpoint's newest commitment is still good"
    pair.say(LSP, lambda side: side.complete())
    for side in (pair.a, pair.l):
        assert side.channel.outpoints == (NEW,)
        assert not side.channel.resign and not side.channel.awaits_revocation
    assert pair.l.their_secret(present) is not None, "and now it is revoked"
    pair.say(LSP, lambda side: side.settle(0, preimage(1)))
    assert balances(pair) == (CLIENT_MSAT - 5_000_000, TOTAL - CLIENT_MSAT + 5_000_000)
    assert not pair.alerts


def test_a_move_that_is_given_up_leaves_the_old_outpoint() -> None:
    pair = moved(Pair().open())
    for side in (pair.a, pair.l):
        side.abandon(NEW, signed=False)
    pair.offer(CLIENT, 5_000_000, 1).say(LSP, lambda side: side.settle(0, preimage(1)))
    assert pair.a.channel.outpoints == (pair.outpoint,)
    assert balances(pair) == (CLIENT_MSAT - 5_000_000, TOTAL - CLIENT_MSAT + 5_000_000)


def test_closing_together_waits_for_payments_in_flight() -> None:
    pair = Pair().open().offer(CLIENT, 5_000_999, 1)
    pair.say(LSP, lambda side: side.shutdown())
    assert (pair.a.channel.status, pair.l.channel.status) == ("live", "live")
    with pytest.raises(Refused, match="NOBODY_LEAVES"):
        pair.a.offer(1000, hashed(2), 200)
    pair.say(LSP, lambda side: side.settle(0, preimage(1)))
    assert (pair.a.channel.status, pair.l.channel.status) == ("agreed", "agreed")
    transactions = {transaction.txid for _, transaction in pair.broadcasts}
    assert len(transactions) == 1
    paid = sorted(output.amount_sat for output in pair.broadcasts[0][1].outputs)
    # The client keeps its whole satoshis; the LSP pays the fee.
    assert paid == [394_999, 605_000 - 300]


BENT: dict[str, Callable[[c.SignatureForm], c.SignatureForm]] = {
    "of-the-commitment": lambda form: replace(form, partial="11" * 32),
    "of-its-htlc": lambda form: replace(form, htlcs=("11" * 64,)),
    "one-too-few": lambda form: replace(form, htlcs=()),
    "one-too-many": lambda form: replace(form, htlcs=form.htlcs * 2),
}


@pytest.mark.parametrize("bend", BENT.values(), ids=BENT)
def test_a_bad_signature_changes_nothing(bend: Callable[[c.SignatureForm], c.SignatureForm]) -> None:
    """CHN-14: of the commitment, or of a payment in it, which could not be claimed on chain without."""
    pair = Pair().open()
    outbox = pair.a.offer(1_000_000, hashed(1), 200)
    before = pair.l.channel
    for _, raw in outbox.messages:
        envelope = c.decode(raw, CLIENT)
        if isinstance(envelope.body, c.CommitmentSigned):
            assert len(envelope.body.signatures[pair.outpoint].htlcs) == 1
            bent = bend(envelope.body.signatures[pair.outpoint])
            body = c.CommitmentSigned(envelope.body.number, {pair.outpoint: bent})
            bent_envelope = c.Envelope(
                "channel", envelope.sender_epoch, envelope.receiver_epoch, envelope.sequence, body
            )
            pair.post(LSP, pair.l.receive(CLIENT, c.encode(bent_envelope)))
        else:
            pair.post(LSP, pair.l.receive(CLIENT, raw))
            before = pair.l.channel
    assert pair.l.channel == before
    assert "SIGNATURE_VALID" in pair.alerts[0]
    # Nothing is lost: a new connection, with fresh nonces, makes it good.
    pair.letters.clear()
    pair.open().settle()
    assert pair.l.channel.htlcs[0].stage == 4
    assert max(nonces_signed_with(pair).values()) == 1


@pytest.mark.parametrize(("policy", "status"), [("halt", "halted"), ("close", "force_closing"), ("continue", "live")])
def test_a_wrong_secret_is_answered_by_policy_and_the_mark_stays(policy: str, status: str) -> None:
    pair = Pair(policy=policy).open()
    pair.post(CLIENT, pair.a.offer(1_000_000, hashed(1), 200))
    while pair.letters:
        letter = pair.letters.popleft()
        envelope = c.decode(letter.raw, letter.sender)
        if letter.sender == LSP and isinstance(envelope.body, c.RevokeAndAck):
            body = c.RevokeAndAck("01" * 32, envelope.body.point, envelope.body.nonces)
            bent = c.Envelope("channel", envelope.sender_epoch, envelope.receiver_epoch, envelope.sequence, body)
            pair.post(CLIENT, pair.a.receive(LSP, c.encode(bent)))
            break
        pair.deliver(letter)
    assert (pair.a.channel.status, bool(pair.a.channel.marked)) == (status, True)
    assert "bad_revocation" in pair.alerts[0]
    again = pair.crash(CLIENT)
    assert (again.channel.status, bool(again.channel.marked)) == (status, True)
    if policy == "continue":
        pair.open().settle()
        assert pair.a.channel.htlcs[0].stage == 4, "the right secret came in the end"
        return
    assert not again.connect().messages, "it does not connect by itself"
    assert [name for name, _ in pair.broadcasts] == ([CLIENT] if policy == "close" else [])
    if policy == "halt":
        assert again.force_close().broadcasts


def test_a_peer_that_closes_to_another_script_than_it_named_is_refused() -> None:
    """CHN-41: whoever has got into its wire could name their own."""
    pair = Pair().open()
    _, raw = pair.a.shutdown().messages[0]
    envelope = c.decode(raw, CLIENT)
    assert isinstance(envelope.body, c.Shutdown)
    bent = replace(envelope, body=replace(envelope.body, script="0014" + "11" * 20))
    before = pair.l.channel
    assert any("OTHER_SCRIPT" in alert for alert in pair.l.receive(CLIENT, c.encode(bent)).alerts)
    assert pair.l.channel == before
