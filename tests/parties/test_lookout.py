"""Who watches the chain goes to it by itself for a payment that hangs, in time, and brings everything home.

Nobody is told to exit here: each party has its eyes (``Lookout``), and does what they give.
"""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from superscalar_ref.parties.channel_desk import ChannelDesk
from superscalar_ref.parties.channel_relay import Relay, Route
from superscalar_ref.parties.lookout import Lookout
from superscalar_ref.parties.store import Store
from superscalar_ref.protocol.blueprint import FUNDING
from superscalar_ref.protocol.transaction import Outpoint
from tests.parties.channel_chain import OVER
from tests.parties.channel_home import Home
from tests.parties.channel_scene import hashed, preimage
from tests.parties.scene import LSP

AMOUNT, FEE_MSAT = 7_000_123, 1_001


def eyes(home: Home, *names: str) -> dict[str, Lookout]:
    return {name: Lookout(home.desks[name], home.ledger) for name in names}


def block(home: Home, looks: dict[str, Lookout], first: Iterable[str] = ()) -> None:
    """Everybody looks, and one block holds what Core's code takes of it; those of ``first`` come first."""
    order = (*first, *(name for name in looks if name not in first))
    taken: list[bytes] = []
    fed = []
    for name in order:
        for _, one in looks[name].look():
            if one.serialized not in taken and home.ledger.would_accept([*taken, one.serialized]).accepted:
                taken.append(one.serialized)
                fed.append(one)
    home.ledger.mine(taken)
    for look in looks.values():
        for one in fed:
            look.feed(one)


def begun(home: Home) -> bool:
    """Whether the factory's coin is spent."""
    look = Lookout(home.desks[LSP], home.ledger)
    look.watcher.look()
    return Outpoint(FUNDING, 0) not in look.watcher.view().unspent


def passed_on(home: Home) -> Relay:
    """A payment of ann's to bob, through the LSP; bob is silent."""
    relay = Relay(Store(), FEE_MSAT)
    for client in ("ann", "bob"):
        relay.join(home.side(LSP, client))
    out = home.side(LSP, "bob")
    expiry = out.limits.earliest(home.ledger.height)
    relay.routes[hashed(2)] = Route(out.terms.name, AMOUNT, expiry)
    incoming = expiry + home.side("ann").limits.forward_delta
    home.act("ann", lambda side: side.offer(AMOUNT + FEE_MSAT, hashed(2), incoming))
    for _ in range(3):
        for outbox in relay.flush().values():
            home.post(LSP, outbox)
        home.scene.wire.run()
    assert [htlc.expiry for htlc in home.side("bob", "bob").channel.htlcs] == [expiry]
    return relay


@pytest.mark.parametrize("claimed", [False, True], ids=["silent", "claimed-late"])
def test_the_lsp_goes_to_the_chain_by_itself_for_what_it_has_passed_on(claimed: bool) -> None:
    """STR-24: at the expiry less the exit; then the payee may claim in the last block, and the payer still pays."""
    home = Home.start(living=("ann", "bob"))
    passed_on(home)
    owes = home.side(LSP, "bob")
    went = owes.channel.htlcs[0].expiry
    before = {name: home.rest(name) for name in ("ann", "bob", LSP)}
    balances = {name: home.side(name, name).channel.balance_msat for name in ("ann", "bob")}
    looks = eyes(home, LSP, "ann", "bob")
    while home.ledger.height < went - owes.limits.exit_blocks:
        assert not begun(home), "it waits as long as it may"
        block(home, looks)
    block(home, looks)
    assert begun(home), "its strategy begins the exit at the deadline"
    while home.ledger.height < went - 1:
        block(home, looks)
    if claimed:
        home.side("bob", "bob").learn(preimage(2))
    sides = [side for desk in home.desks.values() for side in desk.channels()]
    for _ in range(200):
        block(home, looks, first=("bob",))
        if all(side.channel.status in OVER for side in sides):
            break
    assert {side.channel.status for side in sides} == {"swept"}
    moved = AMOUNT if claimed else 0
    gained = {name: home.rest(name) - before[name] for name in before}
    assert gained["bob"] == (balances["bob"] + moved) // 1000
    paid = AMOUNT + FEE_MSAT
    assert gained["ann"] == (balances["ann"] - paid) // 1000 + (0 if claimed else paid // 1000)


def test_a_payee_goes_to_the_chain_by_itself_when_its_lsp_is_silent() -> None:
    """STR-22: at its last look that is surely in time, and it has the payment before the LSP's timeout."""
    home = Home.start(living=("ann", "bob"))
    passed_on(home)
    mine = home.side("bob", "bob")
    mine.learn(preimage(2))
    expiry = mine.channel.htlcs[0].expiry
    before, balance = home.rest("bob"), mine.channel.balance_msat
    looks = eyes(home, LSP, "bob")
    while home.ledger.height < mine.limits.deadline("payee", expiry):
        assert not begun(home)
        block(home, looks)
    block(home, looks)
    assert begun(home) and home.ledger.height < expiry - mine.limits.exit_blocks
    for _ in range(120):
        # The LSP is awake now, and whatever it publishes comes first in each block.
        block(home, looks, first=(LSP,))
    assert mine.channel.status == "swept" and home.rest("bob") - before == (balance + AMOUNT) // 1000


def test_a_payer_goes_to_the_chain_by_itself_when_nobody_gives_its_payment_back() -> None:
    """STR-23."""
    home = Home.start()
    home.act("ann", lambda side: side.offer(AMOUNT, hashed(2), side.limits.latest()))
    mine = home.side("ann")
    expiry = mine.channel.htlcs[0].expiry
    looks = eyes(home, "ann")
    home.ledger.advance(expiry - 1 - home.ledger.height)
    block(home, looks)
    assert not begun(home) and home.ledger.height == expiry
    block(home, looks)
    assert begun(home)


def test_a_channel_that_closes_alone_brings_its_leaf_on_chain() -> None:
    """The commitment that a side publishes is worth nothing while its leaf is not there (CHN-17, CHN-50)."""
    home = Home.start()
    looks = eyes(home, "ann")
    block(home, looks)
    assert not begun(home)
    home.side("ann").force_close()
    for _ in range(120):
        block(home, looks)
    assert begun(home) and home.side("ann").channel.status == "swept"


def test_a_party_without_payments_under_way_waits() -> None:
    home = Home.start()
    desk: ChannelDesk = home.desks["ann"]
    assert desk.deadline() > home.ledger.height + 1_000_000
    home.pay("ann", 1_000_000)
    assert desk.deadline() > home.ledger.height + 1_000_000, "a payment that is settled asks for nothing"
