"""Every way in which a channel ends, on Bitcoin Core's code: amounts to the satoshi, HTLCs in every state, breaches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product

import pytest

from superscalar_ref.parties.store import Store
from superscalar_ref.protocol.channel import Htlc
from tests.parties.channel_chain import OnChain, expected
from tests.parties.channel_scene import CAPACITY_SAT, CLIENT, LSP, hashed, preimage

EXPIRY = 116
ANCHOR_MOST = 240


def knows_of(*numbers: int) -> Callable[[Htlc], bytes | str | None]:
    """A payee that knows some preimages, and claims with them on chain alone."""
    table = {hashed(number): preimage(number) for number in numbers}
    return lambda htlc: table.get(htlc.payment_hash)


def test_closing_together_on_chain() -> None:
    play = OnChain.start()
    play.pair.offer(CLIENT, 5_000_999, 1, EXPIRY).say(LSP, lambda side: side.settle(0, preimage(1)))
    play.pair.say(CLIENT, lambda side: side.shutdown())
    play.settle()
    assert [play.pair.sides[name].channel.status for name in (CLIENT, LSP)] == ["closed", "closed"]
    assert play.ends() == (394_999, CAPACITY_SAT - 394_999 - 1 - 300)


def cut_short(letters: int) -> OnChain:
    """Payments both ways, of which the wire carries only so many letters: HTLCs in whatever state that leaves."""
    play = OnChain.start()
    pair = play.pair
    pair.offer(CLIENT, 40_000_100, 1, EXPIRY).offer(LSP, 30_000_200, 2, EXPIRY)
    pair.post(CLIENT, pair.a.offer(20_000_300, hashed(3), EXPIRY))
    pair.post(LSP, pair.l.offer(10_000_400, hashed(4), EXPIRY))
    pair.post(LSP, pair.l.settle(0, preimage(1)))
    pair.post(CLIENT, pair.a.reject(0, "no"))
    for _ in range(letters):
        if pair.letters:
            pair.deliver(pair.letters.popleft())
    pair.letters.clear()
    return play


LETTERS = 17


def test_the_letters_above_cover_the_whole_exchange() -> None:
    done = cut_short(LETTERS).pair
    assert all(htlc.stage == 4 and not htlc.removal for htlc in done.a.channel.htlcs), done.a.channel.htlcs
    assert len(done.a.channel.htlcs) == 2


@pytest.mark.parametrize(("closer", "letters"), list(product((CLIENT, LSP), range(LETTERS + 1))))
def test_either_side_closes_alone_with_htlcs_in_every_state(closer: str, letters: int) -> None:
    play = cut_short(letters)
    pair = play.pair
    # On chain the client knows the preimage of what it is offered last, the LSP that of the client's last one.
    pair.a.answer = knows_of(4) if letters % 2 else knows_of()
    pair.l.answer = knows_of(1, 3) if letters % 3 else knows_of(1)
    knows = {
        CLIENT: {hashed(4)} if letters % 2 else set(),
        LSP: {hashed(1), hashed(3)} if letters % 3 else {hashed(1)},
    }
    side = pair.sides[closer]
    assert side.own is not None
    said = side.own.said
    side.force_close()
    play.settle()
    assert {pair.sides[name].channel.status for name in (CLIENT, LSP)} == {"swept"}
    assert play.ends() == expected(said, closer, knows)
    assert 0 <= CAPACITY_SAT - sum(play.ends()) <= ANCHOR_MOST, "only what was rounded off is the anchor's"


@pytest.mark.parametrize("closer", [CLIENT, LSP])
def test_the_payer_learns_the_preimage_from_the_chain(closer: str) -> None:
    play = OnChain.start()
    pair = play.pair
    pair.offer(CLIENT, 40_000_000, 1, EXPIRY)
    pair.l.answer = knows_of(1)
    pair.sides[closer].force_close()
    play.settle()
    assert pair.a.preimages == {hashed(1): preimage(1).hex()}


def test_a_payer_takes_an_expired_payment_back_before_the_payee_wakes() -> None:
    play = OnChain.start()
    pair = play.pair
    pair.offer(CLIENT, 40_000_000, 1, EXPIRY)
    pair.l.answer = knows_of(1)
    pair.a.force_close()
    while play.chain.ledger.height <= EXPIRY:
        play.chain.round([CLIENT])
    play.settle()
    assert play.ends() == (400_000, 600_000), "whoever is late loses what it knew the preimage of"


def test_what_must_be_closed_is_noticed_in_time() -> None:
    play = OnChain.start()
    pair = play.pair
    pair.offer(CLIENT, 40_000_000, 1, EXPIRY)
    assert not pair.a.must_close() and not pair.l.must_close()
    pair.l.learn(preimage(1))
    pair.l.height = pair.limits.exit_by(EXPIRY) - 1
    assert not pair.l.must_close()
    pair.l.height += 1
    assert "expires too soon" in pair.l.must_close()
    pair.l.limits = replace(pair.l.limits, absence_blocks=6)
    pair.l.height = pair.limits.exit_by(EXPIRY) - 7
    assert not pair.l.must_close(), "it looks again just in time"
    pair.l.height += 1
    assert "expires too soon" in pair.l.must_close(), "its next look may be too late"
    pair.a.height = EXPIRY
    assert "has expired" in pair.a.must_close()


def snapshot(store: Store) -> Store:
    """A copy of a store as it is now: what a thief, or an old backup, holds later."""
    copy = Store()
    store._connection.backup(copy._connection)
    return copy


# -- two outpoints -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("closer", "on_new"), list(product((CLIENT, LSP), (False, True))))
def test_with_two_outpoints_either_side_closes_on_the_one_that_is_on_chain(closer: str, on_new: bool) -> None:
    """Both leaf states may confirm; here both outpoints do, and one is used."""
    play = OnChain.start()
    pair = play.pair
    pair.offer(LSP, 25_000_000, 1, EXPIRY)
    pair.say(LSP, lambda side: side.quiesce())
    for name in (LSP, CLIENT):
        pair.say(name, lambda side: side.move(str(play.chain.ledger.funds[1])))
    pair.offer(CLIENT, 15_000_000, 2, EXPIRY)
    side = pair.sides[closer]
    assert side.own is not None
    said = side.own.said
    side.force_close()
    commitments = [side.own_transaction(outpoint) for outpoint in side.channel.outpoints]
    assert [one for _, one in play.chain.watchers[closer].look()] == commitments, "it publishes for whichever is there"
    play.chain.mine([commitments[on_new]])
    pair.a.answer, pair.l.answer = knows_of(1), knows_of()
    play.settle()
    assert play.ends() == expected(said, closer, {CLIENT: {hashed(1)}, LSP: set()})


# -- reorgs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_what_a_reorg_takes_back_is_done_again(depth: int) -> None:
    play = OnChain.start(depth=4)
    pair = play.pair
    pair.offer(CLIENT, 40_000_000, 1, EXPIRY)
    pair.l.answer = knows_of(1)
    pair.a.force_close()
    for _ in range(depth):
        play.chain.round([CLIENT, LSP])
    play.chain.ledger.reorg(depth)
    assert play.ends() == (0, 0)
    play.settle()
    assert play.ends() == (360_000, 640_000)
