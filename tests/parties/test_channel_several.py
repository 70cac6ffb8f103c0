"""A leaf is replaced under a client that has bought: each of its channels that lives moves (D-15, Q-CHN-2)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial

import pytest

from superscalar_ref.errors import Refused
from superscalar_ref.parties import messages as m
from superscalar_ref.parties.actor import Outbox
from superscalar_ref.parties.channel_actor import ChannelActor
from superscalar_ref.parties.channel_relay import Relay, Route
from superscalar_ref.parties.channel_watch import ChannelWatcher
from superscalar_ref.parties.kit import export
from superscalar_ref.parties.kit_check import check_kit
from superscalar_ref.parties.kit_exit import exit_by_kit
from superscalar_ref.parties.store import Store
from superscalar_ref.parties.wire import Letter
from superscalar_ref.protocol.blueprint import Channel, LeafContents
from superscalar_ref.protocol.channel import Htlc
from tests.parties.channel_chain import OVER, Chain
from tests.parties.channel_home import Home, snapshot
from tests.parties.channel_scene import hashed, preimage
from tests.parties.scene import BALANCE, INBOUND, LSP, STOCK
from tests.parties.tower_scene import tower

BOUGHT = 9_000
"""What ann's second channel holds (sat)."""
FULL = 5_000
"""What ann has of it, once the LSP has paid it over that channel (sat)."""


def buy(home: Home, capacity: int = BOUGHT) -> Home:
    """Ann buys a channel, to its end."""
    home.post("ann", home.scene.clients["ann"].buy(capacity, 1_000))
    home.scene.wire.run()
    return home


def started(living: tuple[str, ...] = ("ann",)) -> Home:
    """Ann has two channels, and money in both: 20,000 sat in the first, 5,000 in the second."""
    home = buy(Home.start(living=living))
    home.paid += 1
    number = 2 * home.paid - 1
    home.act(LSP, lambda side: side.offer(FULL * 1000, hashed(number), side.limits.latest()), "s0")
    assert sides(home)["s0", "ann"].channel.balance_msat == FULL * 1000
    return home


def sides(home: Home) -> dict[tuple[str, str], ChannelActor]:
    """(sale, party) → side, of all of ann's channels; the first one's sale is empty."""
    found = {("", name): home.side(name) for name in ("ann", LSP)}
    return found | {(label, name): side for name in ("ann", LSP) for label, side in home.desks[name].bought.items()}


def at_rest(home: Home) -> None:
    """Every channel of ann is on one outpoint, that of the leaf that counts; every older commitment is revoked."""
    counted = home.scene.clients["ann"].counted
    for (label, name), side in sides(home).items():
        other = sides(home)[label, LSP if name == "ann" else "ann"]
        place, names = home.scene.lsp.factory.channel_place(counted, "ann", label)
        channel, actor = side.channel, home.scene.actors[name]
        assert (channel.status, channel.quiet, channel.outpoints) == ("live", frozenset(), (place,)), (label, name)
        assert channel.revoked == other.channel.mine - 1 and not channel.resign
        assert channel.balance_msat + other.channel.balance_msat == channel.capacity_msat
        side.own_transaction(place)
        assert names[name] in actor.held and actor.party.life.kit <= actor.held


def ends(home: Home, closer: str, chain: Chain) -> tuple[int, int]:
    """``closer`` closes every channel that is open on chain, and both bring home what is theirs (sat)."""
    for (label, name), side in sides(home).items():
        chain.watchers[f"{label}/{name}"] = ChannelWatcher(side, home.ledger)
        if name == closer:
            side.force_close()
    for _ in range(80):
        chain.round(list(chain.watchers))
        if all(side.channel.status in OVER for side in sides(home).values()):
            return home.rest("ann"), home.rest(LSP)
    raise AssertionError([side.channel for side in sides(home).values()])


@pytest.mark.parametrize("closer", ["ann", LSP])
def test_two_channels_of_one_client_move_together_and_pay_exactly_on_chain(closer: str) -> None:
    home = started()
    home.update(home.leaf())
    at_rest(home)
    leaf = home.scene.lsp.counted[home.leaf()]
    assert [(one.bought, one.capacity) for one in leaf.channels] == [("", BALANCE + INBOUND), ("s0", BOUGHT)]
    home.exit(home.scene.actors[closer], home.scene.clients["ann"].counted)
    assert ends(home, closer, Chain(home.ledger)) == (BALANCE + FULL, INBOUND + BOUGHT - FULL)


# -- what is refused ---------------------------------------------------------------------------------------------------


def test_a_version_that_makes_living_channels_one_or_gives_one_another_size_is_refused_by_both() -> None:
    home = started()
    lsp, ann = home.scene.lsp, home.scene.clients["ann"]
    leaf = lsp.standing_contents()[home.leaf()]
    first, second = leaf.channels
    merged = LeafContents((replace(first, to_lsp=first.to_lsp + BOUGHT),), (leaf.stocks[0] + 43,))
    larger = LeafContents((first, replace(second, to_lsp=second.to_lsp + 1)), (leaf.stocks[0] - 1,))
    other = LeafContents((first, replace(second, bought="s7")), leaf.stocks)
    # The channel's own commitments would not pay it.
    richer = LeafContents((replace(first, to_client=BALANCE + 5, to_lsp=INBOUND - 5), second), leaf.stocks)
    for contents in (merged, larger, other, richer):
        before = lsp.party
        with pytest.raises(Refused, match="CHANNELS_CARRIED"):
            lsp.update(home.leaf(), {home.leaf(): contents})
        assert lsp.party == before, "nothing is used up"
        # A client that is asked all the same says the same: its LSP may be another's.
        versions = {**lsp.counted_versions, home.leaf(): 1}
        offer = m.Update("v1", home.leaf(), versions, {home.leaf(): contents}, None, None)
        alerts = ann.receive(LSP, m.encode(offer)).alerts
        assert ann.life.status == "active" and "CHANNELS_CARRIED" in alerts[0]


def test_a_client_whose_channels_do_not_live_takes_no_version_with_an_output_for_one() -> None:
    home = Home.start(living=())
    buy(home)
    lsp = home.scene.lsp
    leaf = lsp.counted[home.leaf()]
    bought = Channel("ann", 0, BOUGHT, "s0")
    contents = LeafContents((*leaf.channels, bought), (STOCK - BOUGHT - 43,))
    with pytest.raises(Refused, match="CHANNELS_CARRIED"):
        lsp.update(home.leaf(), {home.leaf(): contents})
    ann = home.scene.clients["ann"]
    for points in ((None, None), (lsp.new_commitment_point("ann"), ann._next_point())):
        offer = m.Update("v1", home.leaf(), {**lsp.counted_versions, home.leaf(): 1}, {home.leaf(): contents}, *points)
        alerts = ann.receive(LSP, m.encode(offer)).alerts
        assert ann.life.status == "active" and "CHANNELS_CARRIED" in alerts[0]
    home.update(home.leaf())
    (one,) = lsp.counted[home.leaf()].channels
    assert one.capacity == BALANCE + INBOUND + BOUGHT, "what never lived is one channel"


# -- payments over several channels while the leaf is replaced ---------------------------------------------------------


PARTS = (3_000_400, 1_999_600)
"""What ann pays over each of her channels (msat): half a satoshi would be lost if it were rounded."""


def split(home: Home, number: int, payer: str, parts: Iterable[int] = PARTS) -> None:
    """One payment between ann and the LSP, over both of her channels."""
    for label, part in zip(("ann", "s0"), parts, strict=True):
        offer = partial(_offer, amount=part, number=number)
        home.act(payer, offer, label)


def _offer(side: ChannelActor, amount: int, number: int) -> Outbox:
    return side.offer(amount, hashed(number), side.limits.latest())


def whole(channels: Iterable[ChannelActor], number: int, amount: int) -> Callable[[Htlc], bytes | str | None]:
    """A payee that claims a payment (msat) when all parts of it are there, in whichever channel."""
    mine = tuple(channels)

    def answer(htlc: Htlc) -> bytes | str | None:
        if htlc.payment_hash != hashed(number):
            return None
        known = any(htlc.payment_hash in side.preimages for side in mine)
        here = sum(one.amount_msat for side in mine for one in side.channel.htlcs if one.payment_hash == hashed(number))
        return preimage(number) if known or here >= amount else None

    return answer


def until_moved(home: Home) -> list[Letter]:
    """An update of the leaf, until every channel of ann is on both leaves and may be paid through: what is on its way.

    The new leaf is not complete yet.
    """
    home.post(LSP, home.scene.lsp.update(home.leaf(), {}))
    while not all(
        len(side.channel.outpoints) == 2 and side.channel.status == "live" and not side.channel.quiet
        for side in sides(home).values()
    ):
        home.scene.wire.deliver(home.scene.wire.letters.popleft())
    assert home.scene.clients["ann"].life.status == "updating"
    held_back = list(home.scene.wire.letters)
    home.scene.wire.letters.clear()
    return held_back


@pytest.mark.parametrize("closer", ["ann", LSP])
@pytest.mark.parametrize("leaf", ["old", "new"])
def test_a_split_payment_while_the_leaf_is_replaced_is_claimed_on_either_leaf(closer: str, leaf: str) -> None:
    """Its parts are in flight over both channels when somebody closes: the payee claims each of them on chain."""
    home = started()
    split(home, 20, "ann")
    held_back = until_moved(home)
    split(home, 22, LSP, (1_500_000, 2_500_000))
    if leaf == "new":
        home.scene.wire.letters.extend(held_back)
        home.scene.wire.run()
        at_rest(home)
        split(home, 24, LSP, (700_000, 800_000))
    home.exit(home.scene.actors[closer], home.scene.clients["ann"].counted)
    if leaf == "old":
        lsp = home.scene.lsp
        home.ledger.mine([lsp.complete_transaction(lsp.factory.record.sales[0].sale.link).serialized])
    for (_, name), side in sides(home).items():
        known = 22 if name == "ann" else 20
        side.answer = lambda htlc, known=known: preimage(known) if htlc.payment_hash == hashed(known) else None  # type: ignore[misc]
    # Each part rounds down by itself on chain.
    paid, got = 3_000 + 1_999, 1_500 + 2_500
    ann, lsp_has = ends(home, closer, Chain(home.ledger))
    assert 0 <= BALANCE + FULL - paid + got - ann <= 2
    assert 0 <= INBOUND + BOUGHT - FULL + paid - got - lsp_has <= 2


def test_payments_from_and_to_another_client_are_split_while_the_leaf_is_replaced() -> None:
    """Ann pays bob, and bob ann, over both of her channels; none of them is on one outpoint alone at that moment."""
    home = started(("ann", "bob"))
    relay = Relay(Store())
    lsp_sides = {"ann": home.side(LSP), "s0": sides(home)["s0", LSP], "bob": home.side(LSP, "bob")}
    for side in lsp_sides.values():
        relay.join(side)

    def run() -> None:
        for _ in range(60):
            home.scene.wire.run()
            for outbox in relay.flush().values():
                home.post(LSP, outbox)
            if not home.scene.wire.letters:
                return

    bob, names = home.side("bob", "bob"), {label: side.terms.name for label, side in lsp_sides.items()}
    bob.answer = whole([bob], 50, sum(PARTS))
    ann_sides = [side for (_, name), side in sides(home).items() if name == "ann"]
    for side in ann_sides:
        side.answer = whole(ann_sides, 52, 4_000_000)
    held_back = until_moved(home)
    last = bob.limits.latest()
    for label, part in zip(("ann", "s0"), PARTS, strict=True):
        relay.routes[f"{names[label]}/{hashed(50)}"] = Route(names["bob"], part, last - 25)
        home.act("ann", lambda side, part=part: side.offer(part, hashed(50), last), label)  # type: ignore[misc]
    run()
    assert bob.channel.balance_msat == BALANCE * 1000 + sum(PARTS)
    for number, (label, part) in enumerate((("ann", 1_500_000), ("s0", 2_500_000))):
        # Two HTLCs of one hash come in over one channel; each goes on over another.
        relay.routes[f"{names['bob']}/{hashed(52)}"] = Route(names[label], part, last - 25)
        home.act("bob", lambda side, part=part: side.offer(part, hashed(52), last), "bob")  # type: ignore[misc]
        run()
        assert len(bob.channel.htlcs) == (number + 1) % 2, "half of a payment is not claimed"
    home.scene.wire.letters.extend(held_back)
    run()
    at_rest(home)
    assert [sides(home)[label, "ann"].channel.balance_msat for label in ("", "s0")] == [
        BALANCE * 1000 - PARTS[0] + 1_500_000,
        FULL * 1000 - PARTS[1] + 2_500_000,
    ]
    assert bob.channel.balance_msat == BALANCE * 1000 + sum(PARTS) - 4_000_000
    assert not home.scene.wire.alerts
    home.exit(home.scene.clients["ann"], home.scene.clients["ann"].counted)
    ann, _ = ends(home, "ann", Chain(home.ledger))
    assert ann == (BALANCE * 1000 - PARTS[0] + 1_500_000) // 1000 + (FULL * 1000 - PARTS[1] + 2_500_000) // 1000


# -- theft -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cheat", ["ann", LSP])
@pytest.mark.parametrize(
    ("when", "leaf"), [("before", "old"), ("between", "old"), ("between", "new"), ("after", "new")]
)
def test_an_old_commitment_of_every_channel_is_punished_on_either_leaf(cheat: str, when: str, leaf: str) -> None:
    """The cheat publishes what it held of both channels; on the old leaf, below the link of the sale."""
    home = started()
    lsp = home.scene.lsp
    victim = LSP if cheat == "ann" else "ann"
    old = home.scene.clients["ann"].counted
    split(home, 20, "ann")
    copies = {"before": snapshot(home.scene.actors[cheat].store)}
    held_back = until_moved(home)
    split(home, 22, LSP, (1_500_000, 1_600_000))
    copies["between"] = snapshot(home.scene.actors[cheat].store)
    home.scene.wire.letters.extend(held_back)
    home.scene.wire.run()
    at_rest(home)
    copies["after"] = snapshot(home.scene.actors[cheat].store)
    for payer, payee, number in (("ann", LSP, 20), (LSP, "ann", 22)):
        for label in ("ann", "s0"):
            (which,) = [one.number for one in home.desks[payee].side_of(label).channel.htlcs if one.payer == payer]
            home.act(payee, lambda side, which=which, number=number: side.settle(which, preimage(number)), label)  # type: ignore[misc]
    version = old if leaf == "old" else home.scene.clients["ann"].counted
    home.exit(lsp, version)
    if leaf == "old":
        home.ledger.mine([lsp.complete_transaction(lsp.factory.record.sales[0].sale.link).serialized])
    chain = Chain(home.ledger)
    for (label, name), side in sides(home).items():
        if name == victim:
            chain.watchers[label] = ChannelWatcher(side, home.ledger)
    for (label, name), honest in sides(home).items():
        if name == cheat:
            thief = ChannelActor(honest.terms, honest.keys, copies[when], honest.limits)
            place = (
                thief.terms.outpoint if label and leaf == "old" else lsp.factory.channel_place(version, "ann", label)[0]
            )
            stolen = thief.own_transaction(place)
            assert thief.channel.mine < honest.channel.mine and chain.mine([stolen]) == [stolen], "Core takes it"
    for _ in range(80):
        chain.round(list(chain.watchers))
    assert {side.channel.status for (_, name), side in sides(home).items() if name == victim} == {"penalised"}
    assert home.rest(cheat) == 0
    assert 0 <= BALANCE + INBOUND + BOUGHT - home.rest(victim) <= 2 * 240


# -- one update after the other, given up, and crashes -----------------------------------------------------------------


def test_further_sales_and_updates_of_the_leaf_and_of_the_node_above() -> None:
    home = started()
    home.update(home.leaf())
    for label in ("s1", "s2"):
        buy(home, 5_000)
        assert sides(home)[label, "ann"].channel.status == "live", home.scene.wire.alerts
        home.act(LSP, lambda side: side.offer(1_000_000, hashed(1), side.limits.latest()), label)
    near, far = (sides(home)[label, "ann"].limits.exit_blocks for label in ("s0", "s2"))
    assert (near, far) == (home.side("ann").limits.exit_blocks, home.side("ann").limits.exit_blocks + 2)
    for node in ("r", home.leaf()):
        home.update(node)
        at_rest(home)
        split(home, 20, "ann", (400_000, 500_000))
    assert len(home.scene.lsp.counted[home.leaf()].channels) == 4
    assert not home.scene.wire.alerts
    assert sides(home)["s2", "ann"].limits.exit_blocks == near, "it hangs on the leaf itself by now"
    # What ann may buy is what the alternates still cover, with all that she has bought.
    assert home.scene.clients["ann"].life.capacity == BALANCE + INBOUND + BOUGHT + 10_000
    home.exit(home.scene.clients["ann"], home.scene.clients["ann"].counted)
    ann, _ = ends(home, "ann", Chain(home.ledger))
    # The LSP did not know the preimage: what was in flight comes back.
    assert ann == BALANCE + FULL + 2 * 1_000


def test_an_update_that_is_given_up_at_any_letter_leaves_channels_that_go_on() -> None:
    ends = set()
    for letters in (1, 13, 18, 24):
        home = started()
        home.post(LSP, home.scene.lsp.update(home.leaf(), {}))
        deliver(home, letters)
        home.post(LSP, home.scene.lsp.abort())
        home.settle(2)
        for label in ("", "s0"):
            mine, theirs = (sides(home)[label, name].channel for name in ("ann", LSP))
            assert mine.outpoints == theirs.outpoints, (letters, label)
            ends.add(len(mine.outpoints))
        home.pay("ann", 1_000_000).pay("ann", 500_000, "s0")
        home.update(home.leaf())
        at_rest(home)
        assert sides(home)["s0", "ann"].channel.balance_msat == FULL * 1000 - 500_000
    assert ends == {1, 2}


def deliver(home: Home, letters: int) -> None:
    """So many letters."""
    for _ in range(letters):
        if home.scene.wire.letters:
            home.scene.wire.deliver(home.scene.wire.letters.popleft())


@pytest.mark.parametrize("name", ["ann", LSP])
def test_a_crash_of_either_side_at_any_letter_of_an_update_changes_no_outcome(name: str) -> None:
    for letters in range(3 if name == LSP else 0, 44, 10):
        home = started()
        home.post(LSP, home.scene.lsp.update(home.leaf(), {}))
        deliver(home, letters)
        home.crash(name)
        if letters % 20 < 10:
            home.scene.wire.letters.clear()
        home.settle(4)
        if home.scene.lsp.life.version == "v0":
            home.update(home.leaf())
        home.settle(1)
        at_rest(home)
        home.crash(name)
        home.settle(1)
        home.pay("ann", 1_000_000, "s0")
        assert sides(home)["s0", "ann"].channel.balance_msat == FULL * 1000 - 1_000_000, letters


def test_a_factory_closes_by_the_balances_of_all_channels() -> None:
    home = started()
    home.update(home.leaf())
    home.pay("ann", 2_000_000).pay("ann", 1_000_000, "s0")
    home.post(LSP, home.desks[LSP].rest())
    home.scene.wire.run()
    home.scene.close()
    home.ledger.mine([one.serialized for one in home.scene.wire.broadcasts])
    assert home.rest("ann") == BALANCE + FULL - 3_000


# -- a kit alone, and a tower ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("moved", [False, True])
def test_a_kit_alone_gets_out_with_all_that_its_channels_hold(moved: bool) -> None:
    home = started()
    if moved:
        home.update(home.leaf())
    home.pay("ann", 2_000_000).pay("ann", 1_000_000, "s0")
    kit = export(home.scene.clients["ann"])
    report = check_kit(kit)
    owed = BALANCE + FULL - 3_000
    assert (report.complete, report.owed_sat) == (True, owed), report.faults
    story = exit_by_kit(kit, home.ledger, vouched=True)
    assert story.status == "swept", story
    sweeps = [step.fee_sat for step in story.steps if step.to_client_sat]
    assert len(sweeps) == 2
    assert story.received_sat == owed - sum(sweeps)


def test_a_tower_keeps_the_penalties_of_a_bought_channel_too() -> None:
    """Without its word no preimage is given (CHN-9): it must hear of every channel."""
    home = buy(Home.start(towers={"T": tower()}))
    home.pay(LSP, 5_000_000, "s0")
    home.pay(LSP, 1_000_000, "s0")
    side = sides(home)["s0", "ann"]
    assert side.channel.balance_msat == 6_000_000 and not side.channel.htlcs
    assert side.channel.guarded == side.channel.revoked


@pytest.mark.parametrize("letters", [9, 12, 15])
def test_an_update_in_the_middle_of_a_purchase_ends_with_the_channel_or_without_it(letters: int) -> None:
    """Before the link is signed the sale ends; when only the buyer holds it, it is finished first; then both move."""
    home = Home.start()
    home.post("ann", home.scene.clients["ann"].buy(BOUGHT, 1_000))
    deliver(home, letters)
    if letters == 12:
        with pytest.raises(Refused, match="SALES_FINISHED"):
            home.scene.lsp.update(home.leaf(), {})
        home.settle(3)
    home.update(home.leaf())
    assert home.scene.lsp.odometer.index(home.leaf()) == 1
    at_rest(home)
    leaf = home.scene.lsp.counted[home.leaf()]
    assert [one.bought for one in leaf.channels] == ([""] if letters == 9 else ["", "s0"])
    assert len(sides(home)) == 2 * len(leaf.channels)
