"""A balance that is locked to a point: whoever knows the point's secret takes it, in a message or on Core's code."""

from __future__ import annotations

from itertools import product

import pytest

from superscalar_ref.errors import InputError
from superscalar_ref.parties.channel_actor import ChannelActor
from superscalar_ref.parties.channel_watch import ChannelWatcher
from superscalar_ref.realise.htlc import opens
from tests.parties.channel_chain import OnChain
from tests.parties.channel_scene import CAPACITY_SAT, CLIENT, CLIENT_MSAT, LSP, Pair, balances, key, preimage
from tests.parties.test_channel_chain import EXPIRY, snapshot

SECRET = key("the client's key in this factory")
POINT = SECRET.public.hex()
CLIENT_SAT = CLIENT_MSAT // 1000


def lock(pair: Pair) -> Pair:
    """The client locks its whole balance to the point."""
    return pair.say(CLIENT, lambda side: side.offer(CLIENT_MSAT, POINT, EXPIRY))


def test_a_secret_opens_its_own_point_and_no_hash() -> None:
    assert opens(SECRET.public, SECRET.reveal()) and not opens(SECRET.public, preimage(1))
    assert not opens(SECRET.public, bytes(32)), "no secret key"
    assert not opens(SECRET.x_only, SECRET.reveal()), "32 bytes are a hash"


def test_what_is_no_point_is_refused() -> None:
    pair = Pair().open()
    before = pair.a.channel
    with pytest.raises(InputError, match="not a 33-byte compressed public key"):
        pair.a.offer(CLIENT_MSAT, "02" + "ff" * 32, 200)
    assert pair.a.channel == before


def test_a_peer_that_names_no_point_is_not_taken() -> None:
    pair = Pair().open()
    before = pair.l.channel
    pair.a.batching = True
    (letter,) = pair.a.offer(CLIENT_MSAT, POINT, 200).messages
    pair.post(LSP, pair.l.receive(CLIENT, letter[1].replace(POINT.encode(), b"02" + b"ff" * 32)))
    assert pair.l.channel == before and "point of a lock" in pair.alerts[-1]


def test_the_whole_balance_is_locked_and_taken_by_a_message() -> None:
    pair = Pair().open()
    pair.say(CLIENT, lambda side: side.offer(CLIENT_MSAT, POINT, 200))
    assert pair.a.own is not None and pair.a.own.said.to_holder_msat == 0
    assert balances(pair) == (CLIENT_MSAT, CAPACITY_SAT * 1000 - CLIENT_MSAT), "nothing has changed hands"
    pair.say(LSP, lambda side: side.settle(0, SECRET.reveal()))
    assert balances(pair) == (0, CAPACITY_SAT * 1000)
    assert pair.a.preimages == pair.l.preimages == {POINT: SECRET.reveal().hex()}


def test_a_wrong_secret_takes_nothing_and_the_lock_can_be_given_back() -> None:
    pair = Pair().open()
    pair.say(CLIENT, lambda side: side.offer(CLIENT_MSAT, POINT, 200))
    with pytest.raises(Exception, match="CHN-"):
        pair.l.settle(0, preimage(1))
    pair.say(LSP, lambda side: side.reject(0, "the exit is called off"))
    assert balances(pair) == (CLIENT_MSAT, CAPACITY_SAT * 1000 - CLIENT_MSAT)


@pytest.mark.parametrize(("closer", "known"), list(product((CLIENT, LSP), (False, True))))
def test_on_chain_the_lock_goes_to_whom_it_must(closer: str, known: bool) -> None:
    play = OnChain.start()
    pair = lock(play.pair)
    if known:
        pair.l.learn(SECRET.reveal(), SECRET.public)
    pair.sides[closer].force_close()
    play.settle()
    assert {side.channel.status for side in pair.sides.values()} == {"swept"}
    taken = 0 if known else CLIENT_SAT
    assert play.ends() == (taken, CAPACITY_SAT - taken)


def test_a_client_that_publishes_what_it_had_before_the_lock_loses_it() -> None:
    play = OnChain.start()
    copy = snapshot(play.pair.stores[CLIENT])
    pair = lock(play.pair)
    thief = ChannelActor(pair.a.terms, pair.a.keys, copy, pair.limits)
    pair.sides[CLIENT] = thief
    play.chain.watchers[CLIENT] = ChannelWatcher(thief, play.chain.ledger)
    thief.force_close()
    play.settle()
    assert pair.l.channel.status == "penalised"
    assert play.ends() == (0, CAPACITY_SAT)


def test_a_client_that_publishes_the_lock_after_it_was_taken_loses_it() -> None:
    play = OnChain.start()
    pair = lock(play.pair)
    copy = snapshot(pair.stores[CLIENT])
    pair.say(LSP, lambda side: side.settle(0, SECRET.reveal()))
    thief = ChannelActor(pair.a.terms, pair.a.keys, copy, pair.limits)
    pair.sides[CLIENT] = thief
    play.chain.watchers[CLIENT] = ChannelWatcher(thief, play.chain.ledger)
    thief.force_close()
    play.settle()
    assert play.ends() == (0, CAPACITY_SAT)
