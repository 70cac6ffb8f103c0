"""A channel that is never opened: what an old first commitment costs when its leaf is replaced (Q-CHN-2)."""

from __future__ import annotations

import pytest

from superscalar_ref.errors import Refused
from superscalar_ref.parties import channel_leaf
from superscalar_ref.parties.channel_actor import ChannelActor, channel_machine
from superscalar_ref.parties.channel_desk import ChannelDesk
from superscalar_ref.parties.channel_watch import ChannelWatcher
from superscalar_ref.protocol.htlc_limits import HtlcLimits
from superscalar_ref.realise.commitment import Role
from tests.parties.channel_chain import Chain
from tests.parties.channel_home import DEPTH, Home, acceptable, claims, snapshot
from tests.parties.channel_scene import without
from tests.parties.scene import BALANCE, INBOUND, LSP

MORE = 10_000
"""What ann is to have more after the update (sat)."""
OLD = "commitment:ann@0.0:L"
"""The LSP's first commitment on the first leaf state."""


def closed() -> Home:
    """A factory in which nobody has opened a channel, and whose parties could."""
    home = Home.start(living=())
    for name in (LSP, "ann"):
        desk_of(home, name)
    return home


def desk_of(home: Home, name: str) -> ChannelDesk:
    """A party's desk, on which nothing was opened by hand."""
    actor = home.scene.actors[name]
    actor.height = home.ledger.height
    limits = HtlcLimits(20, 5, home.scene.lsp.factory.terms.locks.end, 20)
    desk = home.desks[name] = ChannelDesk(actor, lambda client: limits, depth=DEPTH)
    return desk


def old_leaf(home: Home) -> Home:
    """The LSP publishes the first leaf state, that everybody has left."""
    home.exit(home.scene.lsp, "v0")
    return home


def test_what_an_update_gives_beyond_an_old_first_commitment_is_lost_where_the_old_leaf_confirms() -> None:
    """Ann holds the poison of that channel, and it is worth nothing: the commitment spends the same output."""
    home = closed()
    home.scene.update(home.leaf(), home.scene.channel("ann", BALANCE + MORE, INBOUND - MORE))
    lsp, ann = home.scene.lsp, home.scene.clients["ann"]
    assert (ann.counted, ann.life.owed) == ("v1", BALANCE + MORE)
    old_leaf(home)
    poison = ann.complete_transaction("poison:state:r.0@0.0#0")
    assert acceptable(home.ledger, poison), "in time, ann has the whole channel"
    home.ledger.mine([lsp.complete_transaction(OLD).serialized])
    assert not acceptable(home.ledger, poison)
    outputs = {one.role: one.output.amount_sat for one in lsp.factory.realised[OLD].commitment.outputs}  # type: ignore[union-attr]
    assert (outputs[Role.TO_REMOTE], outputs[Role.TO_LOCAL]) == (BALANCE, INBOUND), "ann has lost what she was given"
    home.ledger.advance(3)
    assert acceptable(home.ledger, lsp.complete_transaction(f"sweep:{OLD}")), "and the LSP brings it home"


@pytest.mark.parametrize("name", ["ann", LSP])
def test_a_channel_is_not_opened_where_another_first_commitment_stands(name: str) -> None:
    """CHN-71."""
    home = closed()
    home.update(home.leaf())
    with pytest.raises(Refused, match="NONE_STANDS"):
        home.desks[name].open("ann")
    home.desks["ann"].connect()
    assert not home.desks["ann"].sides, "nor by itself"


def test_without_that_rule_a_payment_over_it_is_stolen(monkeypatch: pytest.MonkeyPatch) -> None:
    loose = without(channel_machine(), "CHN-71", "none_stands")
    monkeypatch.setattr(channel_leaf, "channel_machine", lambda: loose)
    home = closed()
    home.update(home.leaf())
    for name in (LSP, "ann"):
        home.desks[name].open("ann").answer = claims
    home.post("ann", home.desks["ann"].connect())
    home.scene.wire.run()
    home.pay(LSP, MORE * 1000)
    assert home.side("ann").channel.balance_msat == (BALANCE + MORE) * 1000
    lsp = home.scene.lsp
    old_leaf(home)
    stolen = lsp.factory.realised[OLD].signed(lsp.signatures[OLD])
    chain = home.watchers(names=("ann",))
    assert chain.mine([stolen]) == [stolen], "Core takes it"
    for _ in range(10):
        chain.round(["ann"])
    home.ledger.advance(3)
    assert home.side("ann").channel.status != "penalised"
    assert stolen.outputs[-1].amount_sat == INBOUND, "as if nothing had been paid"


def opened(home: Home) -> Home:
    """Ann's side opens as soon as it connects; the LSP's when it hears of that."""
    home.post("ann", home.desks["ann"].connect())
    home.scene.wire.run()
    for side in home.sides():
        side.answer = claims
    return home


def test_a_client_opens_its_channel_when_it_connects_and_then_its_old_first_commitment_is_punished() -> None:
    """R-CHANNEL-OPENED."""
    home = opened(closed())
    assert [side.channel.status for side in home.sides()] == ["live", "live"] and not home.scene.wire.alerts
    copy = snapshot(home.scene.lsp.store)
    home.update(home.leaf())
    home.pay(LSP, MORE * 1000)
    lsp, honest = home.scene.lsp, home.side(LSP)
    assert not [name for name in lsp.signatures if name.startswith("commitment:ann@") and name != OLD]
    old_leaf(home)
    stolen = ChannelActor(honest.terms, honest.keys, copy, honest.limits).own_transaction(honest.terms.outpoint)
    assert stolen == lsp.factory.realised[OLD].signed(lsp.signatures[OLD])
    chain = Chain(home.ledger, {"ann": ChannelWatcher(home.side("ann"), home.ledger)})
    assert chain.mine([stolen]) == [stolen]
    home.finish(chain, "ann")
    assert home.side("ann").channel.status == "penalised"
    assert 0 <= BALANCE + INBOUND - home.rest("ann") <= 240


def test_a_channel_that_is_asked_for_during_an_update_waits_for_its_end() -> None:
    """The update signs first commitments; the client, whose side is open by now, refuses it."""
    home = closed()
    letters = home.desks["ann"].connect()
    home.post(LSP, home.scene.lsp.update(home.leaf(), {}))
    home.post("ann", letters)
    home.scene.wire.run()
    assert home.side("ann").channel.status == "opening" and "ann" not in home.desks[LSP].sides
    assert any("CHANNELS_CARRIED" in alert for alert in home.scene.wire.alerts)
    home.post(LSP, home.scene.lsp.abort())
    opened(home)
    assert [side.channel.status for side in home.sides()] == ["live", "live"]
    home.update(home.leaf())
    home.pay(LSP, MORE * 1000)
    assert home.side("ann").channel.balance_msat == (BALANCE + MORE) * 1000


def test_who_opens_is_not_opened_twice_and_a_restart_takes_it_up_again() -> None:
    home = opened(closed())
    home.pay(LSP, MORE * 1000)
    home.update(home.leaf())
    place = home.side("ann").channel.outpoints
    for name in ("ann", LSP):
        home.scene.restart(name)
        desk_of(home, name)
        home.post("ann", home.desks["ann"].connect())
        home.scene.wire.run()
        assert [side.channel.status for side in home.sides()] == ["live", "live"], home.scene.wire.alerts
        assert home.side("ann").channel.outpoints == place
        assert home.side("ann").channel.balance_msat == (BALANCE + MORE) * 1000
