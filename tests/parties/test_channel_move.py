"""A leaf is replaced under a channel that has been paid through (D-15, Q-CHN-2)."""

from __future__ import annotations

import pytest

from superscalar_ref.errors import ProtocolError, Refused
from superscalar_ref.parties import messages as m
from superscalar_ref.parties.archive import CloseRecord
from superscalar_ref.parties.channel_actor import ChannelActor
from superscalar_ref.parties.kit import export
from superscalar_ref.parties.kit_check import check_kit
from superscalar_ref.parties.kit_exit import exit_by_kit
from superscalar_ref.protocol.transaction import Kind
from tests.parties.channel_home import Home, acceptable, snapshot
from tests.parties.channel_scene import hashed, preimage
from tests.parties.scene import BALANCE, INBOUND, LSP


def at_rest(home: Home, client: str = "ann") -> None:
    """Both sides are on one outpoint, the one that counts, and hold what they must; every older one is revoked."""
    mine, theirs = home.sides(client)
    counted = home.scene.clients[client].counted
    place, names = home.scene.lsp.factory.channel_place(counted, client)
    for side, other in ((mine, theirs), (theirs, mine)):
        channel = side.channel
        assert channel.status == "live" and not channel.quiet, (side.name, channel)
        assert channel.outpoints == (place,)
        assert channel.revoked == other.channel.mine - 1 and not channel.resign
        assert all(side.their_secret(number) is not None for number in range(channel.revoked + 1))
        side.own_transaction(place)
        actor = home.scene.actors[side.name]
        assert names[side.name] in actor.held
        assert actor.party.life.kit <= actor.held
    assert mine.channel.balance_msat + theirs.channel.balance_msat == mine.channel.capacity_msat


def test_no_first_commitment_of_the_new_outpoint_is_left_to_steal_with() -> None:
    home = Home.start()
    home.pay("ann", 2_000_000).pay(LSP, 3_000_000)
    home.update(home.leaf())
    at_rest(home)
    home.pay(LSP, 10_000_000)
    lsp, label = home.scene.lsp, home.scene.clients["ann"].counted
    home.exit(lsp, label)
    leaf = lsp.factory.blueprints[label].path("ann")[-1]
    for actor in (lsp, home.scene.clients["ann"]):
        for name, template in actor.factory.templates.items():
            of_leaf = template.kind is Kind.COMMITMENT and template.spends[0].outpoint.transaction == leaf
            stale = of_leaf and template.spends[0].outpoint.index == 0
            assert not stale, f"{actor.name} can publish '{name}', which nobody revokes"
    # What the LSP may publish is its newest; all the others are punished.
    assert acceptable(home.ledger, home.side(LSP).own_transaction(home.side(LSP).channel.outpoints[0]))


# -- one update after the other ----------------------------------------------------------------------------------------


def test_several_updates_in_a_row_and_one_of_the_node_above() -> None:
    home = Home.start(living=("ann", "bob"))
    home.pay("ann", 1_000_000).pay(LSP, 2_000_000, "bob")
    for node in (home.leaf(), home.leaf("bob"), home.leaf(), "r", home.leaf()):
        before = home.side(LSP).channel.outpoints
        home.update(node)
        for client in ("ann", "bob"):
            at_rest(home, client)
            home.pay(client, 500_000, client).pay(LSP, 700_000, client)
        moved = node in (home.leaf(), "r")
        assert (home.side(LSP).channel.outpoints != before) == moved
    assert home.side("ann").channel.departures == 4 and home.side("bob", "bob").channel.departures == 2
    assert home.side("ann").channel.balance_msat == BALANCE * 1000 - 1_000_000 + 5 * 200_000
    assert not home.scene.wire.alerts
    assert not any(name.startswith("commitment:ann@") for name in home.scene.lsp.signatures if "@0.0:" not in name)


@pytest.mark.parametrize("closer", ["ann", LSP])
@pytest.mark.parametrize("node", ["leaf", "r"])
def test_a_payment_in_flight_before_during_and_after_a_move(closer: str, node: str) -> None:
    home = Home.start()
    home.pay("ann", 2_000_000, claimed=False)
    home.post(LSP, home.scene.lsp.update(home.leaf() if node == "leaf" else node, {}))
    mine, theirs = home.sides()
    while len(mine.channel.outpoints) == 1 or mine.channel.status != "live" or mine.channel.quiet:
        home.scene.wire.deliver(home.scene.wire.letters.popleft())
    assert home.scene.clients["ann"].life.status == "updating", "the leaf is not complete yet"
    home.pay(LSP, 3_000_000, claimed=False)
    at_rest(home)
    home.pay("ann", 1_500_000, claimed=False)
    assert [len(side.channel.htlcs) for side in (mine, theirs)] == [3, 3]
    home.exit(home.scene.actors[closer], home.scene.clients["ann"].counted)
    home.side(closer).force_close()
    for side, known in ((mine, 2), (theirs, 1)):
        side.answer = lambda htlc, known=known: preimage(2 * known) if htlc.payment_hash == hashed(2 * known) else None  # type: ignore[misc]
    home.finish(home.watchers())
    # The LSP knows the first preimage, the client the second; the third payment goes back.
    assert (home.rest("ann"), home.rest(LSP)) == (BALANCE - 2_000 + 3_000, INBOUND + 2_000 - 3_000)


# -- given up ----------------------------------------------------------------------------------------------------------


LETTERS = 26
"""Of an update of one leaf whose channel moves with it."""


def test_the_letters_are_all_that_there_are() -> None:
    home = Home.start()
    before = home.scene.wire.count
    home.update(home.leaf())
    assert home.scene.wire.count - before == LETTERS


def cut(home: Home, letters: int) -> None:
    """An update of the leaf, of which the wire carries so many letters."""
    home.post(LSP, home.scene.lsp.update(home.leaf(), {}))
    for _ in range(letters):
        if home.scene.wire.letters:
            home.scene.wire.deliver(home.scene.wire.letters.popleft())


def test_an_update_that_is_given_up_at_any_letter_leaves_a_channel_that_goes_on() -> None:
    """On the old outpoint alone while nobody can hold the new leaf state; on both as soon as somebody may."""
    ends = set()
    for letters in (1, 3, 4, 9, 14, 17):
        home = Home.start()
        home.pay("ann", 2_000_000)
        cut(home, letters)
        home.post(LSP, home.scene.lsp.abort())
        home.settle(2)
        mine, theirs = home.sides()
        assert mine.channel.outpoints == theirs.channel.outpoints
        home.pay("ann", 1_000_000).pay(LSP, 4_000_000)
        assert mine.channel.balance_msat == BALANCE * 1000 + 1_000_000, letters
        signed = [home.desks[name]._signed("ann", mine.channel.outpoints[-1]) for name in ("ann", LSP)]
        assert len(mine.channel.outpoints) == 1 + any(signed[: 2 * len(mine.channel.outpoints) - 2]), letters
        ends.add(len(mine.channel.outpoints))
        # The next version counts, whatever became of the last one.
        home.update(home.leaf())
        at_rest(home)
        home.pay("ann", 1_000_000)
    assert ends == {1, 2}


@pytest.mark.parametrize("closer", ["ann", LSP])
@pytest.mark.parametrize("newer", [False, True])
def test_with_a_version_given_up_that_somebody_may_hold_either_leaf_can_be_closed_on(closer: str, newer: bool) -> None:
    home = Home.start()
    home.pay("ann", 2_000_000)
    lsp, ann = home.scene.lsp, home.scene.clients["ann"]
    old = ann.counted
    home.post(LSP, lsp.update(home.leaf(), {}))
    label = lsp.life.pending
    state = lsp.factory.blueprints[label].path("ann")[-1]
    while state not in lsp.held:
        home.scene.wire.deliver(home.scene.wire.letters.popleft())
    home.post(LSP, lsp.abort())
    home.settle(2)
    home.pay(LSP, 6_000_000)
    assert len(home.side("ann").channel.outpoints) == 2
    home.exit(lsp, label if newer else old)
    home.side(closer).force_close()
    home.finish(home.watchers())
    assert (home.rest("ann"), home.rest(LSP)) == (BALANCE + 4_000, INBOUND - 4_000)


# -- crashes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ann", LSP])
def test_a_crash_of_either_side_at_any_letter_of_an_update_changes_no_outcome(name: str) -> None:
    for letters in range(2 if name == LSP else 0, LETTERS, 5):
        home = Home.start()
        home.pay("ann", 2_000_000)
        cut(home, letters)
        home.crash(name)
        if letters % 2:
            home.scene.wire.letters.clear()
        home.settle(3)
        if home.scene.lsp.life.version == "v0":
            # The LSP has lost what it had only begun.
            home.update(home.leaf())
        home.settle(1)
        at_rest(home)
        home.pay(LSP, 5_000_000)
        assert home.side("ann").channel.balance_msat == BALANCE * 1000 + 3_000_000, letters


# -- theft -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cheat", ["ann", LSP])
@pytest.mark.parametrize(
    ("when", "leaf"), [("before", "old"), ("between", "old"), ("between", "new"), ("after", "new")]
)
def test_a_commitment_of_any_time_before_the_last_payment_is_punished_on_either_leaf(
    cheat: str, when: str, leaf: str
) -> None:
    """Signed before the move, while the channel is on both, or after it; published when all is over."""
    home = Home.start()
    lsp = home.scene.lsp
    victim = LSP if cheat == "ann" else "ann"
    home.pay("ann", 2_000_000, claimed=False)
    copies = {"before": snapshot(home.scene.actors[cheat].store)}
    old = home.scene.clients["ann"].counted
    home.post(LSP, lsp.update(home.leaf(), {}))
    mine, _ = home.sides()
    while len(mine.channel.outpoints) == 1 or mine.channel.status != "live" or mine.channel.quiet:
        home.scene.wire.deliver(home.scene.wire.letters.popleft())
    held_back = list(home.scene.wire.letters)
    home.scene.wire.letters.clear()
    home.pay(LSP, 3_000_000, claimed=False)
    copies["between"] = snapshot(home.scene.actors[cheat].store)
    assert len(mine.channel.outpoints) == 2, "the leaf is not complete yet"
    home.scene.wire.letters.extend(held_back)
    home.scene.wire.run()
    at_rest(home)
    copies["after"] = snapshot(home.scene.actors[cheat].store)
    home.pay(LSP, 1_000_000).pay("ann", 1_500_000)
    honest = home.side(cheat)
    thief = ChannelActor(honest.terms, honest.keys, copies[when], honest.limits)
    home.exit(lsp, old if leaf == "old" else home.scene.clients["ann"].counted)
    place, _ = lsp.factory.channel_place(old if leaf == "old" else home.scene.clients["ann"].counted, "ann")
    assert thief.channel.mine < honest.channel.mine
    stolen = thief.own_transaction(place)
    chain = home.watchers(names=(victim,))
    assert chain.mine([stolen]) == [stolen], "Core takes it"
    home.finish(chain, victim)
    assert home.side(victim).channel.status == "penalised"
    assert home.rest(cheat) == 0
    assert 0 <= BALANCE + INBOUND - home.rest(victim) <= 240


# -- the whole factory closes ------------------------------------------------------------------------------------------


def test_a_factory_closes_by_the_balances_of_its_channels_and_never_beside_a_payment() -> None:
    home = Home.start()
    home.pay("ann", 2_000_700).pay(LSP, 5_000_000, claimed=False)
    lsp, ann = home.scene.lsp, home.scene.clients["ann"]
    with pytest.raises(Refused, match="CHANNELS_QUIET"):
        lsp.close()
    home.post(LSP, home.desks[LSP].rest())
    home.scene.wire.run()
    with pytest.raises(Refused, match="CHANNELS_QUIET"):
        lsp.close()
    home.act(LSP, lambda side: side.resume())
    home.act("ann", lambda side: side.settle(0, preimage(4)))
    home.post(LSP, home.desks[LSP].rest())
    home.scene.wire.run()
    # Without the payments: less than the client has by now.
    stale = lsp.standing_contents()
    record = lsp.factory.plan_close(CloseRecord("stale", 0, dict(lsp.counted_versions), stale)).record
    offer = m.Close(record.label, record.attempt, record.versions, record.contents)
    refused = ann.receive(LSP, m.encode(offer))
    assert ann.life.status == "active" and "CLOSE_PAYS_IN_FULL" in refused.alerts[0]
    home.scene.close()
    home.ledger.mine([one.serialized for one in home.scene.wire.broadcasts])
    assert (home.rest("ann"), home.rest("bob")) == (BALANCE + 5_000 - 2_001, BALANCE)
    with pytest.raises(ProtocolError, match="no channel goes on"):
        home.desks["ann"].act("ann", lambda side: side.resume())


def test_a_kit_of_a_client_whose_channel_has_moved_gets_out_with_its_newest_balance() -> None:
    home = Home.start()
    home.pay("ann", 2_000_000).update(home.leaf()).pay(LSP, 5_000_000)
    kit = export(home.scene.clients["ann"])
    report = check_kit(kit)
    assert (report.complete, report.owed_sat) == (True, BALANCE + 3_000), report.faults
    story = exit_by_kit(kit, home.ledger, vouched=True)
    assert story.status == "swept", story
    assert story.received_sat == BALANCE + 3_000 - story.steps[-1].fee_sat
