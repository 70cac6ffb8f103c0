"""A channel that is bought opens before it is paid for (D-8), and is a channel like any other."""

from __future__ import annotations

import pytest

from superscalar_ref.parties import messages as m
from superscalar_ref.parties.channel_actor import ChannelActor
from superscalar_ref.parties.channel_watch import ChannelWatcher
from tests.parties.channel_chain import Chain
from tests.parties.channel_home import Home, snapshot
from tests.parties.scene import LSP

CAPACITY = 9_000


def buy(home: Home) -> Home:
    home.post("ann", home.scene.clients["ann"].buy(CAPACITY, 1_000))
    home.scene.wire.run()
    return home


def bought(home: Home, name: str) -> ChannelActor:
    (side,) = home.desks[name].bought.values()
    return side


def test_a_bought_channel_is_open_before_its_payment_settles() -> None:
    home = Home.start()
    home.post("ann", home.scene.clients["ann"].buy(CAPACITY, 1_000))
    paid = []
    while home.scene.wire.letters:
        letter = home.scene.wire.letters.popleft()
        if letter.sender == "ann" and b'"message":"payment"' in letter.raw:
            assert isinstance(m.decode(letter.raw, "ann"), m.Payment)
            assert bought(home, "ann").channel.status == "live", "open on the buyer's side"
            assert bought(home, LSP).channel.mine == 0, "and held on the LSP's"
            paid.append(letter)
        home.scene.wire.deliver(letter)
    assert len(paid) == 1 and not home.scene.wire.alerts
    home.act(LSP, lambda side: side.offer(4_000_000, "ab" * 32, side.limits.latest()), "s0")
    assert [len(bought(home, name).channel.htlcs) for name in ("ann", LSP)] == [1, 1]
    assert home.side("ann").channel.htlcs == (), "the other channel is another"
    # Its commitments are the channel's business now.
    sale = home.scene.lsp.factory.record.sales[0].sale
    newest = bought(home, LSP).own_transaction(bought(home, LSP).terms.outpoint)
    assert home.scene.lsp.complete_transaction(sale.commitment(LSP)) == newest
    assert sale.commitment(LSP) not in home.scene.lsp.held_templates()


@pytest.mark.parametrize("name", ["ann", LSP])
def test_a_crash_of_either_side_around_the_opening_loses_neither_channel_nor_payment(name: str) -> None:
    for letters in (9, 17) if name == LSP else (14, 22):
        home = Home.start()
        home.post("ann", home.scene.clients["ann"].buy(CAPACITY, 1_000))
        for _ in range(letters):
            if home.scene.wire.letters:
                home.scene.wire.deliver(home.scene.wire.letters.popleft())
        home.crash(name)
        home.scene.wire.letters.clear()
        home.settle(4)
        (stock,) = home.scene.lsp.party.stocks.values()
        assert [sold.paid for sold in stock.links] == [True], letters
        assert all(bought(home, one).channel.status == "live" for one in ("ann", LSP)), letters


def test_a_revoked_commitment_of_a_bought_channel_is_caught_by_its_client() -> None:
    home = buy(Home.start())
    home.act(LSP, lambda side: side.offer(4_000_000, "ab" * 32, side.limits.latest()), "s0")
    copy = snapshot(home.scene.lsp.store)
    home.act("ann", lambda side: side.reject(0, "no"), "s0")
    lsp, honest = home.scene.lsp, bought(home, LSP)
    home.exit(lsp, home.scene.clients["ann"].counted)
    home.ledger.mine([lsp.complete_transaction(lsp.factory.record.sales[0].sale.link).serialized])
    stolen = ChannelActor(honest.terms, honest.keys, copy, honest.limits).own_transaction(honest.terms.outpoint)
    chain = Chain(home.ledger, {"ann": ChannelWatcher(bought(home, "ann"), home.ledger)})
    assert chain.mine([stolen]) == [stolen]
    for _ in range(20):
        chain.round(["ann"])
    assert bought(home, "ann").channel.status == "penalised"
    assert CAPACITY - home.rest("ann") <= 240
