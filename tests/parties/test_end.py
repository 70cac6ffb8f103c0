"""The end on Bitcoin Core's code: what the alternates pay a buyer that is away (Q-STK-6)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from superscalar_ref.errors import Refused
from superscalar_ref.protocol.blueprint import LeafContents, alternate_name
from superscalar_ref.protocol.deadline import NEVER, Lead
from superscalar_ref.protocol.participant import machines
from tests.parties.chain_scene import OnChain
from tests.parties.scene import BALANCE, INBOUND, LSP, Scene, forget
from tests.parties.test_sales import PAIR, SINGLE, buy, links

BUYER, OTHER = "c0", "c1"
"""The buyer is away at the end; the other client is of one mind with the LSP."""


def uncovered(play: Scene) -> Scene:
    """The parties forget the guard that asks whether the alternates cover a sale."""
    for actor in play.actors.values():
        forget(actor, "stock", "alternates_cover")
    return play


def paid_at_the_end(here: OnChain) -> dict[str, int]:
    """For each output down to the newest link's: what the buyer owns when its alternate is what is mined at the end.

    Everything above is published by the LSP in time; the buyer does nothing. Of a leaf, all alternates are mined.
    """
    play = here.play
    path = [*play.lsp.counted_blueprint().path(BUYER), *links(play, LSP, BUYER)]
    templates = play.lsp.factory.templates
    paid: dict[str, int] = {}
    for number in range(len(path) + 1):
        branch = here.fork()
        for name in path[:number]:
            branch.publish(LSP, name)
        branch.ledger.advance(play.offer.locks.end - branch.ledger.height)
        spent = {templates[name].spends[0].outpoint for name in path[:number]}
        outpoints = [templates[name].outpoint(n) for name in ("funding", *path[:number]) for n in range(8)]
        alternates = [alternate_name(outpoint) for outpoint in outpoints if outpoint not in spent]
        branch.mine(*(play.lsp.complete_transaction(name) for name in alternates if name in play.lsp.held))
        paid[path[number - 1] if number else "funding"] = branch.owns(BUYER)
        branch.ledger.close()
    return paid


def test_a_buyer_is_covered_wherever_the_end_finds_the_tree() -> None:
    here = OnChain.start(4, PAIR)
    play = here.play
    buy(play, BUYER, 30_000)
    assert all("ALTERNATES_COVER" in alert for alert in play.wire.alerts)
    assert "less of it" in play.wire.alerts[-1]
    play.wire.alerts.clear()
    buy(buy(buy(play, BUYER, 10_000), OTHER, 10_000), BUYER, 9_000)
    assert not play.wire.alerts
    assert len(links(play, LSP, BUYER)) == 3
    paid = paid_at_the_end(here)
    assert len(paid) == 6
    assert min(paid.values()) >= BALANCE + INBOUND + 19_000


def test_the_buyer_refuses_too() -> None:
    """The LSP has forgotten the guard."""
    play = uncovered(OnChain.start(4, PAIR).play)
    for client in play.clients.values():
        client.tables = machines()
    buy(play, BUYER, 30_000)
    assert any(alert.startswith(f"{BUYER}: ALTERNATES_COVER") for alert in play.wire.alerts)
    assert links(play, OTHER, BUYER) == ()


def test_what_was_bought_still_counts_after_an_update_has_cut_the_chain_through() -> None:
    """The alternates above the leaf are those of the first version: a share is bought once, not once a version."""
    here = OnChain.start(4, PAIR)
    play = buy(here.play, BUYER, 19_000).update("r")
    assert play.lsp.counted["r"].channel_of(BUYER).capacity == BALANCE + INBOUND + 19_000
    buy(play, BUYER, 5_000)
    assert any("ALTERNATES_COVER" in alert for alert in play.wire.alerts)
    buy(play, BUYER, 1_000)
    assert len(links(play, LSP, BUYER)) == 1
    assert min(paid_at_the_end(here).values()) >= BALANCE + INBOUND + 20_000 - 200


def test_stock_that_was_moved_in_is_bought_only_up_to_the_first_share_however_often() -> None:
    """The alternates of the funding output know nothing of it: what was bought before counts against them too."""
    here = OnChain.start(8, PAIR)
    play = here.play
    more, less = play.lsp.counted["r.0"], play.lsp.counted["r.1"]
    moved = {
        "r.0": replace(more, stocks=(more.stocks[0] + 20_000, *more.stocks[1:])),
        "r.1": replace(less, stocks=(less.stocks[0] - 20_000, *less.stocks[1:])),
    }
    buy(play.update("r", moved), BUYER, 15_000)
    buy(buy(play, "c5", 9_000), "c4", 3_000)
    assert not play.wire.alerts
    buy(play, "c4", 3_000)
    # The alternate of what c5 left pays c4 half of that: both of its purchases count against it.
    assert "ALTERNATES_COVER" in play.wire.alerts[-1]
    play.wire.alerts.clear()
    buy(play, BUYER, 10_000)
    assert any("ALTERNATES_COVER" in alert for alert in play.wire.alerts)
    buy(play, BUYER, 4_000)
    assert len(links(play, LSP, BUYER)) == 2
    assert min(paid_at_the_end(here).values()) >= BALANCE + INBOUND + 19_000 - 200


def larger(play: Scene, more: int) -> dict[str, LeafContents]:
    """The leaf with ``more`` sat of the shared stock in the buyer's channel, on its own side."""
    leaf = play.lsp.counted["r"]
    channels = tuple(
        replace(one, to_client=one.to_client + more) if one.client == BUYER else one for one in leaf.channels
    )
    return {"r": LeafContents(channels, (leaf.stocks[0] - more, *leaf.stocks[1:]))}


def test_an_update_gives_no_larger_channel_than_the_alternates_above_it_pay() -> None:
    here = OnChain.start(4, PAIR)
    play = here.play
    play.update("r", larger(play, 19_000))
    assert not play.wire.alerts
    assert play.clients[BUYER].life.capacity == BALANCE + INBOUND + 19_000
    assert min(paid_at_the_end(here).values()) >= BALANCE + INBOUND + 19_000 - 200
    more, before = larger(play, 3_000), (play.lsp.party, play.lsp.commitment_secrets)
    with pytest.raises(Refused, match="ALTERNATES_COVER"):
        play.lsp.update("r", more)
    assert (play.lsp.party, play.lsp.commitment_secrets) == before, "an index, or a point, is used up"
    forget(play.lsp, "factory", "alternates_cover")
    play.update("r", more)
    assert any(alert.startswith(f"{BUYER}: ALTERNATES_COVER") for alert in play.wire.alerts)
    assert play.clients[BUYER].life.capacity == BALANCE + INBOUND + 19_000


def test_without_the_guard_the_alternates_above_pay_the_client_less_than_its_channel() -> None:
    """The client is away at the end: what an update gave it beyond its first share goes to the other one."""
    here = OnChain.start(4, PAIR)
    play = here.play
    forget(play.lsp, "factory", "alternates_cover")
    for client in play.clients.values():
        forget(client, "client", "alternates_cover")
    play.update("r", larger(play, 30_000))
    counted = BALANCE + INBOUND + 30_000
    assert play.clients[BUYER].life.capacity == counted
    paid = paid_at_the_end(here)
    assert paid["funding"] < counted - 9_000
    assert paid["state:r@1"] >= counted - 1_000


def test_a_party_begins_at_its_own_deadline_and_not_before() -> None:
    """STR-21 for a client; each link beyond those of the budget brings it forward."""
    here = OnChain.start(2, SINGLE)
    play, watcher = here.play, here.watchers[BUYER]
    client = play.clients[BUYER]
    assert client.deadline() == NEVER
    client.lead = Lead(blocks=40, links=0, link_blocks=5)
    end = play.offer.locks.end
    assert client.deadline() == end - 40
    buy(play, BUYER, 5_000)
    assert client.deadline() == end - 45
    here.ledger.advance(end - 46 - here.ledger.height)
    watcher.look()
    assert not watcher.publish()
    here.ledger.advance(1)
    assert here.round([BUYER]) == ["kickoff:r@-"]
    while here.ledger.height < end and not here.owns(BUYER):
        here.round([BUYER])
    assert client.life.status == "settling"
    assert here.owns(BUYER) == BALANCE - client.factory.templates[f"sweep:commitment:{BUYER}@0.0:{BUYER}"].fee
