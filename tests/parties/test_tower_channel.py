"""A channel whose client has a watchtower: penalties are registered before a preimage is given, and punish alone."""

from __future__ import annotations

import pytest

from superscalar_ref.parties import channel_messages as c
from superscalar_ref.parties import tower_messages as t
from superscalar_ref.parties.tower import Tower
from superscalar_ref.parties.watch import txid_bytes
from superscalar_ref.protocol.channel import FULFIL, NO_COMMITMENT
from superscalar_ref.realise.channel import derive_secret
from superscalar_ref.realise.second_stage import second_stages
from tests.parties.channel_chain import OnChain
from tests.parties.channel_home import Home
from tests.parties.channel_scene import CLIENT, DELAY, LSP, Pair, hashed, payout, preimage
from tests.parties.scene import INBOUND, STOCK
from tests.parties.test_channel_chain import EXPIRY, knows_of
from tests.parties.tower_scene import Sky, copied, tower


def test_no_preimage_leaves_before_every_tower_keeps_the_penalties() -> None:
    pair = Pair(towers={"T": tower(), "U": tower("U")}).open()
    pair.a.answer = knows_of(1)
    kept: list[object] = []
    pair.post(LSP, pair.l.offer(20_000_000, hashed(1), 200))
    while pair.letters:
        letter = pair.letters.popleft()
        if letter.sender == "U":
            kept.append(letter)
            continue
        pair.deliver(letter)
    assert kept, "it was asked"
    assert not pair.messages(c.Fulfil)
    assert not pair.a.may_leave()
    assert pair.a.channel.guarded < pair.a.channel.revoked
    pair.say(CLIENT, lambda side: side.retry_towers())
    assert pair.messages(c.Fulfil)
    assert pair.a.may_leave()
    assert all(htlc.removal == FULFIL for htlc in pair.l.channel.htlcs)


def test_what_a_tower_keeps_is_known_after_a_restart_and_what_it_lost_is_asked_again() -> None:
    pair = Pair(towers={"T": tower()}).open()
    pair.offer(CLIENT, 20_000_000, 1)
    guarded = pair.a.channel.guarded
    assert guarded == pair.a.channel.revoked >= 0
    assert pair.crash(CLIENT).channel.guarded == guarded
    asked = [letter for letter in pair.tape if letter.to == "T"]
    pair.say(CLIENT, lambda side: side.connect())
    assert [letter for letter in pair.tape if letter.to == "T"] == asked, "nothing is handed over twice"
    pair.towers["T"] = tower()
    pair.say(LSP, lambda side: side.settle(0, preimage(1)))
    assert pair.a.channel.guarded == pair.a.channel.revoked > guarded
    again = t.encode(t.Registered(("00" * 32,)))
    before = pair.a.channel
    pair.a.receive("T", again)
    pair.a.receive("stranger", again)
    assert pair.a.channel == before


def test_a_channel_without_a_tower_waits_for_nobody() -> None:
    pair = Pair().open()
    pair.a.answer = knows_of(1)
    pair.offer(LSP, 20_000_000, 1)
    assert not pair.a.channel.watched
    assert pair.messages(c.Fulfil)
    assert pair.a.may_leave()


# -- a channel in a leaf that is replaced ------------------------------------------------------------------------------


def replaced() -> Home:
    """ann's channel was paid through, moved with an update of its leaf, and paid through again; ann has a tower."""
    home = Home.start(towers={"T": tower()})
    home.pay("ann", 2_000_000).pay(LSP, 3_000_000)
    home.update(home.leaf())
    home.pay(LSP, 10_000_000)
    assert home.side("ann").may_leave()
    assert home.scene.clients["ann"].life.version == "0.1"
    assert not home.scene.wire.alerts
    return home


def test_the_commitment_of_the_ceremony_on_the_old_leaf_state_is_punished_by_a_late_tower() -> None:
    """The old state and the LSP's old commitment share a block, while the tower is down: poison comes too late."""
    home = replaced()
    lsp = home.scene.lsp
    name = "commitment:ann@0.0:L"
    first = lsp.factory.realised[name].signed(lsp.signatures[name])
    sky = Sky(home.ledger, {"T": home.scene.towers["T"]})
    sky.look()
    sky.down.add("T")
    for name in ("kickoff:r@-", "state:r@0", "kickoff:r.0@0"):
        lock = lsp.factory.templates[name].spends[0].relative_lock or 0
        home.ledger.advance(max(0, lock - 1))
        sky.mine([lsp.complete_transaction(name)])
    home.ledger.advance((lsp.factory.templates["state:r.0@0.0"].spends[0].relative_lock or 1) - 1)
    taken = sky.mine([lsp.complete_transaction("state:r.0@0.0"), first])
    assert first.txid in taken
    sky.down.clear()
    sky.wait(2)
    (penalty,) = (case for case in sky.towers["T"].cases("ann") if case.outpoint.startswith(first.txid))
    assert home.ledger.confirmation_height(txid_bytes(penalty.answer)) is not None
    fees = 1_000
    assert home.rest("ann") > INBOUND + STOCK - fees, "the LSP's side by penalty, the old stock by poison"
    assert home.rest(LSP) == 0


def test_a_client_with_a_tower_counts_on_the_new_leaf_only_when_the_tower_keeps_what_it_left() -> None:
    home = replaced()
    kept = {entry.kind for entry in home.scene.towers["T"].store.entries() if entry.client == "ann"}
    assert kept == {"state", "alternate", "poison", "penalty"}
    client = home.scene.clients["ann"]
    home.post("ann", client.retry_towers())
    home.scene.wire.run()
    home.post("ann", client.drop_tower("T"))
    home.pay(LSP, 1_000_000)
    assert not home.side("ann").channel.watched
    assert not home.scene.wire.alerts


def kept_for(client: str, one: Tower) -> set[tuple[str, str]]:
    return {(entry.kind, entry.txid) for entry in one.store.entries() if entry.client == client}


def test_a_tower_that_comes_to_an_open_channel_keeps_all_that_was_ever_revoked() -> None:
    """Of the first channel, before and after its move, and of a bought one; until then the client may not be away."""
    home = replaced()
    client = home.scene.clients["ann"]
    home.post("ann", client.buy(9_000, 1_000))
    home.scene.wire.run()
    (bought,) = home.desks["ann"].bought.values()
    home.act(LSP, lambda side: side.offer(4_000_000, hashed(1), side.limits.latest()), "s0")
    assert bought.channel.balance_msat > bought.terms.balance_msat, "its towers were heard"
    assert client.may_leave() and bought.channel.revoked > NO_COMMITMENT
    first, late = home.scene.wire.towers["T"], tower("late")
    home.scene.wire.towers = {"T": first, "late": late}
    home.post("ann", client.add_tower("late"))
    assert not client.may_leave()
    home.scene.wire.run()
    assert client.may_leave()
    assert kept_for("ann", late) == kept_for("ann", first)
    assert not home.scene.wire.alerts
    # One that was sent away and comes back is told everything again: it may have been another one's file.
    home.post("ann", client.drop_tower("late"))
    again = home.scene.wire.towers["late"] = tower("late")
    home.post("ann", client.add_tower("late"))
    home.scene.wire.run()
    assert kept_for("ann", again) == kept_for("ann", first)
    assert client.may_leave()


def test_no_preimage_is_given_before_a_tower_that_came_late_keeps_its_part() -> None:
    pair = Pair(towers={"T": tower()}).open()
    pair.offer(CLIENT, 20_000_000, 1).say(LSP, lambda side: side.settle(0, preimage(1)))
    late = tower("late")
    asked = pair.a.add_tower("late").messages
    assert {to for to, _ in asked} == {"late"} and len(asked) == pair.a.channel.revoked + 1
    pair.a.answer = knows_of(2)
    pair.towers["late"] = tower("nobody")
    pair.offer(LSP, 10_000_000, 2)
    assert not [one for sender, one in pair.messages(c.Fulfil) if sender == CLIENT]
    pair.towers["late"] = late
    pair.say(CLIENT, lambda side: side.retry_towers())
    assert [one for sender, one in pair.messages(c.Fulfil) if sender == CLIENT]
    assert kept_for(CLIENT, late) == kept_for(CLIENT, pair.towers["T"])


# -- payments in flight in what is not revoked: no tower's -------------------------------------------------------------


def unsettled(payer: str) -> OnChain:
    """A payment whose payee has not claimed it yet; the client has a tower."""
    play = OnChain.start(towers={"T": tower()})
    play.pair.offer(payer, 40_000_000, 1, EXPIRY)
    assert not play.pair.alerts
    return play


def test_after_the_expiry_the_lsp_leaves_no_block_in_which_a_tower_could_claim() -> None:
    """Its commitment and its timeout share one block: a claim with the preimage, kept by a tower, would be too late."""
    play = unsettled(LSP)
    pair, ledger = play.pair, play.chain.ledger
    pair.l.force_close()
    (place,) = pair.l.channel.outpoints
    built = pair.l.own_commitment(place)
    assert pair.l.own is not None
    (stage,) = second_stages(built)
    key = derive_secret(pair.l.keys.secrets.htlc_basepoint, bytes.fromhex(pair.l.own.point))
    theirs = bytes.fromhex(pair.l.own.signatures[place].htlcs[0])
    both = [pair.l.own_transaction(place), stage.signed(theirs, key.sign(stage.holder_sighash))]
    ledger.advance(EXPIRY - 1 - ledger.height)
    raw = [one.serialized for one in both]
    assert ledger.would_accept(raw[:1]).accepted and not ledger.would_accept(raw).accepted, "one block too soon"
    ledger.advance(1)
    assert play.chain.mine(both) == both


@pytest.mark.parametrize("answers", [True, False])
def test_a_client_that_knows_a_preimage_may_not_leave_before_the_lsp_has_revoked_what_it_pays(answers: bool) -> None:
    pair = unsettled(LSP).pair
    assert pair.a.may_leave(), "a payment that it cannot claim is not its to wait for"
    pair.post(CLIENT, pair.a.settle(0, preimage(1)))
    assert not pair.a.may_leave()
    if not answers:
        pair.letters.clear()
        pair.a.height = pair.limits.exit_by(EXPIRY)
        assert not pair.a.may_leave()
        assert "expires too soon" in pair.a.must_close(), "what no tower can do it does itself"
        return
    pair.run()
    assert pair.a.may_leave()


def test_what_the_client_offered_waits_for_it_on_the_lsps_commitment() -> None:
    """Without the preimage nobody else can take it: its refund needs no tower, however long the client is away."""
    play = unsettled(CLIENT)
    pair, chain = play.pair, play.chain
    sky = Sky(chain.ledger, {"T": copied(pair.towers["T"])})
    pair.l.force_close()
    for _ in range(3 * DELAY):
        chain.round([LSP])
    chain.ledger.advance(300)
    sky.look()
    assert not sky.waiting, "the tower holds nothing of a commitment that is not revoked"
    paid = chain.paid(payout(f"{CLIENT} in channel"))
    assert paid == 0
    play.settle(CLIENT)
    assert chain.paid(payout(f"{CLIENT} in channel")) == 400_000, "its balance, and the payment"
