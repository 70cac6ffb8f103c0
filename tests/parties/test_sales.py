"""Sales from a leaf's stock between real parties: chained, recorded first, one at a time, complete before payment."""

from __future__ import annotations

from dataclasses import replace

import pytest

from superscalar_ref.errors import InputError, Refused
from superscalar_ref.machine.types import Event
from superscalar_ref.parties import messages as m
from superscalar_ref.parties.wire import Letter
from superscalar_ref.protocol.blueprint import LeafContents
from superscalar_ref.protocol.chain_links import chain_to, link_cost
from superscalar_ref.protocol.shape import Shape
from superscalar_ref.protocol.stock import Stock
from tests.parties.scene import BALANCE, INBOUND, LSP, STOCK, Scene, check_consistent, forget, scene

PAIR = Shape.of([2], leaf_k=2)
"""Leaves of four clients with two stocks of two."""
SINGLE = Shape.of([2])
TRIPLE = Shape.of([2], leaf_k=3)


def active(clients: int = 4, shape: Shape = PAIR) -> Scene:
    return scene(clients, shape=shape).ceremony().fund()


def buy(play: Scene, client: str, capacity: int = 5_000, most: int = 1_000) -> Scene:
    play.wire.post(client, play.clients[client].buy(capacity, most))
    play.wire.run()
    return play


def stock_of(play: Scene, party: str, client: str) -> Stock:
    """The stock of ``client`` as ``party`` sees it."""
    return play.actors[party].stock_of(play.clients[client].stock_base(client))


def links(play: Scene, party: str, client: str) -> tuple[str, ...]:
    return tuple(sold.link for sold in stock_of(play, party, client).links)


def check_sales(play: Scene) -> None:
    """One link for each stock outpoint, on every signer's side; whoever holds a link holds everything on it."""
    check_consistent(play)
    for name, actor in play.actors.items():
        spends = [record for record in actor.store.records() if record[1] == "sale"]
        assert len({outpoint for outpoint, _, _ in spends}) == len(spends), f"{name} signed two links for one outpoint"
        for stock in actor.party.stocks.values():
            for sold in stock.links:
                assert sold.kit <= actor.held
                assert sold.link in sold.kit


@pytest.mark.parametrize(("clients", "shape"), [(2, SINGLE), (4, PAIR), (9, TRIPLE)])
def test_a_sale_needs_the_clients_of_its_stock_and_nobody_else(clients: int, shape: Shape) -> None:
    play = active(clients, shape)
    group = stock_of(play, "c0", "c0").clients
    before = len(play.wire.tape)
    buy(play, "c0")
    talked = {letter.to for letter in play.wire.tape[before:]} | {letter.sender for letter in play.wire.tape[before:]}
    assert talked == group | {LSP}
    assert len(group) == shape.leaf_k
    for party in talked:
        assert links(play, party, "c0") == (
            "sale:" + stock_of(play, party, "c0").state + f"#{clients if clients > 2 else 1}.0",
        )
        assert stock_of(play, party, "c0").left == STOCK - 5_000 - link_cost(play.lsp.factory.terms)
    assert not play.wire.alerts
    check_sales(play)


def test_several_links_deep_each_on_the_newest() -> None:
    play = active()
    for buyer in ("c0", "c1", "c0", "c1"):
        buy(play, buyer, 4_000)
    names = links(play, LSP, "c0")
    assert len(names) == 4
    sales = [sold.sale for sold in play.lsp.factory.record.sales]
    assert chain_to(sales, names[-1]) == names
    for name, parent in zip(names, (stock_of(play, LSP, "c0").state, *names), strict=False):
        assert play.lsp.factory.templates[name].spends[0].outpoint.transaction == parent
    assert not play.wire.alerts
    check_sales(play)


def test_the_buyer_holds_everything_before_it_pays() -> None:
    """The LSP asks for its payment before it has handed the link over (D-8)."""
    play = active()
    play.wire.post("c0", play.clients["c0"].buy(5_000, 1_000))
    while play.wire.letters:
        letter = play.wire.letters.popleft()
        if "signatures" in letter.raw.decode() and letter.to == "c0":
            continue
        play.wire.deliver(letter)
    for _ in range(2):
        play.wire.post("c0", play.clients["c0"].receive(LSP, m.encode(m.PaymentRequest("s0"))))
    paid = [letter for letter in play.wire.tape if b'"payment"' in letter.raw]
    assert not paid
    assert play.clients["c0"].life.owed == BALANCE
    play.wire.alerts.clear()
    retried(play)
    paid = [letter for letter in play.wire.tape if b'"payment"' in letter.raw]
    assert len(paid) == 1
    assert stock_of(play, LSP, "c0").links[0].paid
    check_sales(play)


def retried(play: Scene) -> Scene:
    """The LSP asks again until its stocks are at rest."""
    for _ in range(8):
        play.wire.post(LSP, play.lsp.retry())
        play.wire.run()
        if all(stock.status not in ("offered", "signing") for stock in play.lsp.party.stocks.values()):
            return play
    raise AssertionError("the sale never ends")


def test_a_payment_that_was_received_is_in_the_new_channel() -> None:
    play = active()
    play.lsp.received["c1"] = 1_500
    buy(play, "c1")
    assert play.clients["c1"].life.owed == BALANCE + 1_500
    assert play.clients["c0"].life.owed == BALANCE
    assert not play.lsp.received


def test_a_payment_is_given_once_whatever_becomes_of_the_sale() -> None:
    play = active()
    play.lsp.received["c1"] = 1_500
    play.wire.post("c1", play.clients["c1"].buy(5_000, 1_000))
    while stock_of(play, LSP, "c1").status != "signing":
        play.wire.deliver(play.wire.letters.popleft())
    play.restart(LSP)
    assert play.lsp.received == {}
    play.wire.letters.clear()
    play.wire.post(LSP, play.lsp.abort_sale("s0"))
    play.wire.run()
    assert play.lsp.received == {"c1": 1_500}
    play.restart(LSP)
    assert play.lsp.received == {"c1": 1_500}
    buy(play, "c1", STOCK)
    assert play.lsp.received == {"c1": 1_500}
    buy(play, "c1")
    assert play.clients["c1"].life.owed == BALANCE + 1_500
    assert play.lsp.received == {}


def test_two_at_once_one_wins_the_other_is_refused_and_buys_from_the_new_link() -> None:
    play = active()
    for client in ("c0", "c1"):
        play.wire.post(client, play.clients[client].buy(5_000, 1_000))
    play.wire.run()
    assert len(links(play, LSP, "c0")) == 1
    assert any("c1: NOT_SOLD" in alert and "ask again" in alert for alert in play.wire.alerts)
    assert stock_of(play, "c1", "c1").wanted == 5_000
    buy(play, "c1")
    assert len(links(play, "c1", "c1")) == 2
    check_sales(play)


def test_a_second_link_for_one_outpoint_is_refused_for_ever() -> None:
    """The LSP, of the same mind as one client, asks the other to sign another link for an outpoint signed away."""
    play = active()
    buy(play, "c0")
    sold = play.lsp.factory.record.sales[0]
    offer = m.Sale("s9", sold.state, sold.stock, 9, sold.parent, "c0", 0, 7_000, 0)
    for _ in range(2):
        before = play.actors["c1"].party
        outbox = play.clients["c1"].receive(LSP, m.encode(offer))
        assert not outbox.messages
        assert "BUILDS_ON_NEWEST" in outbox.alerts[0]
        assert play.actors["c1"].party == before
        play.restart("c1")
    check_sales(play)


def test_a_link_that_was_signed_and_not_completed_is_the_only_one_that_can_follow() -> None:
    """The link's signatures are lost, the LSP offers another sale on the same outpoint: the record refuses it (D-7)."""
    play = active()
    play.wire.post("c0", play.clients["c0"].buy(5_000, 1_000))
    while play.wire.letters:
        letter = play.wire.letters.popleft()
        message = m.decode(letter.raw, letter.sender)
        if not (isinstance(message, m.Signatures) and "sale:state:r@0#4.0" in message.signatures):
            play.wire.deliver(letter)
    assert stock_of(play, "c1", "c1").status == "signing"
    with pytest.raises(Refused):
        play.lsp.abort_sale("s0")
    sold = play.lsp.factory.record.sales[0]
    offer = m.Sale("s9", sold.state, sold.stock, 9, sold.parent, "c0", 0, 7_000, 0)
    outbox = play.clients["c1"].receive(LSP, m.encode(offer))
    assert "OUTPOINT_NEVER_SIGNED" in outbox.alerts[0]
    assert not outbox.messages
    retried(play)
    assert links(play, "c1", "c1") == ("sale:state:r@0#4.0",)
    check_sales(play)


def test_a_retry_builds_on_what_is_complete() -> None:
    """A sale is broken off before its link was signed; the next one does not build on it (Q-STK-5)."""
    play = active()
    play.wire.post("c0", play.clients["c0"].buy(5_000, 1_000))
    while stock_of(play, "c1", "c1").status != "signing":
        play.wire.deliver(play.wire.letters.popleft())
    play.wire.letters.clear()
    play.wire.post(LSP, play.lsp.abort_sale("s0"))
    play.wire.run()
    assert {stock_of(play, name, "c0").status for name in ("c0", "c1", LSP)} == {"unsold"}
    phantom = play.lsp.factory.record.sales[0].sale.link
    sold = play.lsp.factory.record.sales[0]
    offer = m.Sale("s9", sold.state, sold.stock, 9, phantom, "c0", 0, 7_000, 0)
    assert "BUILDS_ON_NEWEST" in play.clients["c1"].receive(LSP, m.encode(offer)).alerts[0]
    buy(play, "c1")
    assert links(play, "c0", "c0") == ("sale:state:r@0#4.1",)
    assert play.lsp.factory.record.sales[-1].parent == "state:r@0"
    check_sales(play)


def test_a_client_that_is_offline_stops_the_sale_and_both_sides_hear_what_remains() -> None:
    play = active()
    play.lsp.presence("c1", online=False)
    buy(play, "c0")
    assert links(play, LSP, "c0") == ()
    told = [alert for alert in play.wire.alerts if "BUYERS_COHORT_ONLINE" in alert and "JIT" in alert]
    assert [alert.split(":")[0] for alert in told] == [LSP, "c0"]
    buy(play, "c2")
    assert len(links(play, LSP, "c2")) == 1
    play.lsp.presence("c1", online=True)
    buy(play, "c0")
    assert len(links(play, "c1", "c1")) == 1
    check_sales(play)


@pytest.mark.parametrize(
    ("capacity", "most", "word"),
    [(STOCK, 1_000, "cannot pay"), (100, 1_000, "dust"), (5_000, 3, "costs")],
)
def test_what_cannot_be_sold_is_refused_and_changes_nothing(capacity: int, most: int, word: str) -> None:
    play = active()
    play.lsp.price_ppm = 10_000
    before = play.lsp.archive
    buy(play, "c0", capacity, most)
    assert play.lsp.archive is before
    assert any(word in alert for alert in play.wire.alerts if alert.startswith("c0"))
    assert links(play, LSP, "c0") == ()
    buy(play, "c0", 5_000, 50)
    assert stock_of(play, LSP, "c0").links[0].price == 50


def test_nothing_is_sold_while_the_factory_closes_or_dies() -> None:
    play = active()
    play.lsp.height = play.lsp.life.funded_at + play.lsp.life.active_blocks
    buy(play, "c0")
    assert any("BEFORE_DYING" in alert for alert in play.wire.alerts)
    play.lsp.height = 0
    play.wire.post(LSP, play.lsp.close())
    buy(play, "c0")
    assert any("FACTORY_ACTIVE" in alert for alert in play.wire.alerts)
    assert links(play, LSP, "c0") == ()


def test_a_purchase_that_was_not_asked_for_is_refused() -> None:
    play = active()
    base = play.clients["c0"].stock_base("c0")
    point = play.clients["c0"].new_commitment_point("c0/sale")
    play.wire.post(LSP, play.lsp.sell("c0", m.Buy(5_000, 10_000, point)))
    play.wire.run()
    assert any("AS_REQUESTED" in alert for alert in play.wire.alerts)
    assert play.lsp.stock_of(base).status == "offered"
    play.wire.post(LSP, play.lsp.abort_sale("s0"))
    play.wire.run()
    assert play.lsp.stock_of(base).status == "unsold"


def test_only_the_lsp_sells() -> None:
    play = active()
    buy(play, "c0")
    for raw in (
        m.Sale("s1", "state:r@0", 4, 1, "state:r@0", "c0", 0, 1_000, 0),
        m.PaymentRequest("s0"),
        m.SaleAborted("s0"),
    ):
        before = play.clients["c0"].party
        assert "only the LSP sells" in play.clients["c0"].receive("c1", m.encode(raw)).alerts[0]
        assert play.clients["c0"].party == before


@pytest.mark.parametrize(
    "offer",
    [
        m.Sale("s0", "state:r@0", 0, 0, "state:r@0", "c0", 0, 5_000, 0),
        m.Sale("s0", "state:r@0", 5, 0, "state:r@0", "c2", 0, 5_000, 0),
        m.Sale("s0", "state:r@0", 9, 0, "state:r@0", "c0", 0, 5_000, 0),
        m.Sale("s0", "state:r@1", 4, 0, "state:r@1", "c0", 0, 5_000, 0),
        m.Sale("s0", "kickoff:r@-", 0, 0, "kickoff:r@-", "c0", 0, 5_000, 0),
        m.Sale("s0", "funding", 0, 0, "funding", "c0", 0, 5_000, 0),
        m.Sale("s0", "state:r@0", 4, 0, "sale:nothing", "c0", 0, 5_000, 0),
        m.Sale("s0", "state:r@0", 4, 0, "kickoff:r@-", "c0", 0, 5_000, 0),
        m.Sale("s0", "state:r@0", 4, 0, "state:r@0", "c2", 0, 5_000, 0),
        m.Sale("s0", "state:r@0", 4, 0, "state:r@0", "stranger", 0, 5_000, 0),
        m.Sale("v0", "state:r@0", 4, 0, "state:r@0", "c1", 0, 5_000, 0),
        m.Sale("s0", "state:r@0", 4, 0, "state:r@0", "c0", 0, 5_000, 0),
    ],
)
def test_a_sale_of_what_is_no_stock_is_refused(offer: m.Sale) -> None:
    """A channel, another group's stock, an output that does not exist, a state that does not count, no points …"""
    client = scene(4, shape=PAIR).ceremony().fund().clients["c0"]
    before, archive = client.party.signer, client.archive
    outbox = client.receive(LSP, m.encode(offer))
    assert outbox.alerts
    assert not outbox.messages
    assert client.archive is archive
    assert client.party.signer == before


def test_an_update_cuts_the_chains_through() -> None:
    """Each client's channels become one, what the links cost returns to the stock, and sales go on from there."""
    play = active()
    play.lsp.received["c1"] = 2_000
    buy(buy(buy(play, "c0"), "c1"), "c2", 3_000)
    play.update("r")
    leaf = play.lsp.counted["r"]
    wanted = {
        "c0": (BALANCE, INBOUND + 5_000),
        "c1": (BALANCE + 2_000, INBOUND + 3_000),
        "c2": (BALANCE, INBOUND + 3_000),
    }
    assert {c.client: (c.to_client, c.to_lsp) for c in leaf.channels} == {**wanted, "c3": (BALANCE, INBOUND)}
    assert leaf.stocks == (STOCK - 10_000, STOCK - 3_000)
    assert {stock.status for stock in play.lsp.party.stocks.values()} == {"replaced"}
    assert play.clients["c1"].life.owed == BALANCE + 2_000
    buy(play, "c0", 6_000)
    assert links(play, "c1", "c1") == ("sale:state:r@1#4.0",)
    assert not play.wire.alerts
    check_sales(play)


def test_a_close_pays_what_was_bought() -> None:
    play = active()
    play.lsp.received["c1"] = 2_000
    buy(play, "c1").close()
    (close,) = [t for name, t in play.lsp.factory.templates.items() if name.startswith("close:")]
    paid = {output.owner: output.amount for output in close.outputs}
    assert paid["c1"] == BALANCE + 2_000
    assert paid["c0"] == BALANCE
    assert play.lsp.life.status == "close_published"


def burns_nothing(play: Scene, contents: dict[str, LeafContents], code: str) -> None:
    """An honest LSP does not propose what a client would refuse: that would use an index, and points, up."""
    before = play.lsp.party, play.lsp.commitment_secrets
    with pytest.raises(Refused, match=code):
        play.lsp.update("r", contents)
    assert (play.lsp.party, play.lsp.commitment_secrets) == before


def test_an_update_that_forgets_a_purchase_is_refused() -> None:
    play = active()
    play.lsp.received["c1"] = 2_000
    buy(play, "c1")
    forgotten = {"r": LeafContents(play.offer.contents["r"].channels, (STOCK, STOCK))}
    burns_nothing(play, forgotten, "BALANCE_NOT_LESS")
    forget(play.lsp, "factory", "balance_not_less", "capacity_not_less")
    play.update("r", forgotten)
    assert any("BALANCE_NOT_LESS" in alert and alert.startswith("c1") for alert in play.wire.alerts)


def test_an_update_that_forgets_what_was_paid_for_is_refused() -> None:
    """The purchase is all the LSP's side; the client's own balance is not touched."""
    play = active()
    buy(play, "c1")
    burns_nothing(play, {"r": play.offer.contents["r"]}, "CAPACITY_NOT_LESS")
    forget(play.lsp, "factory", "capacity_not_less")
    play.update("r", {"r": play.offer.contents["r"]})
    assert any("CAPACITY_NOT_LESS" in alert and alert.startswith("c1") for alert in play.wire.alerts)


def test_nothing_is_sold_below_a_newer_state_that_was_given_up() -> None:
    """The LSP may hold the newer state complete: it would win, and it knows nothing of the link."""
    play = buy(active(), "c1")
    play.wire.post(LSP, play.lsp.update("r", {}))
    while not any(name.startswith("state:r@1") for name in play.lsp.held):
        play.wire.deliver(play.wire.letters.popleft())
    play.wire.letters.clear()
    play.wire.post(LSP, play.lsp.abort())
    play.wire.run()
    assert set(play.statuses().values()) == {"active"}
    buy(play, "c0")
    assert any("STATE_IS_NEWEST" in alert and "update the leaf" in alert for alert in play.wire.alerts)
    assert stock_of(play, LSP, "c0").status == "chained"
    sale = m.Sale("s9", "state:r@0", 4, 1, "sale:state:r@0#4.0", "c1", 0, 5_000, 0)
    assert "STATE_IS_NEWEST" in play.clients["c0"].receive(LSP, m.encode(sale)).alerts[0]
    play.update("r")
    buy(play, "c0")
    assert links(play, "c1", "c1") == ("sale:state:r@2#4.0",)
    assert play.lsp.standing_contents()["r"].stocks == (STOCK - 10_000, STOCK)
    check_sales(play)


def offered(play: Scene) -> Scene:
    """A sale is being signed."""
    play.wire.post("c0", play.clients["c0"].buy(5_000, 1_000))
    while stock_of(play, LSP, "c0").status != "signing":
        play.wire.deliver(play.wire.letters.popleft())
    play.wire.letters.clear()
    return play


def test_an_update_in_the_middle_of_a_sale_ends_it() -> None:
    play = active()
    play.lsp.received["c0"] = 700
    offered(play)
    assert play.lsp.received == {}
    play.update("r")
    play.restart(LSP)
    assert play.lsp.received == {"c0": 700}
    assert set(play.statuses().values()) == {"active"}
    assert {stock_of(play, name, "c0").status for name in ("c0", "c1", LSP)} == {"unsold"}
    assert play.lsp.counted["r"].stocks == (STOCK, STOCK)
    assert {stock.status for stock in play.lsp.party.stocks.values()} == {"replaced", "unsold"}
    buy(play, "c0")
    assert play.clients["c0"].life.owed == BALANCE + 700
    assert links(play, "c1", "c1") == ("sale:state:r@1#4.0",)
    check_sales(play)


def test_a_sale_goes_on_after_an_update_that_no_client_has_agreed_to() -> None:
    play = offered(active())
    play.wire.post(LSP, play.lsp.update("r", {}))
    play.wire.letters.clear()
    play.wire.post(LSP, play.lsp.abort())
    play.wire.run()
    retried(play)
    assert links(play, "c0", "c0") == links(play, "c1", "c1") == ("sale:state:r@0#4.0",)
    check_sales(play)


def test_a_sale_ends_with_an_update_that_was_agreed_to_and_given_up() -> None:
    """The LSP may hold the newer state complete: the link is not signed any more, nor counted when it comes late."""
    play = active()
    play.wire.post("c0", play.clients["c0"].buy(5_000, 1_000))
    kept: list[Letter] = []
    while play.wire.letters:
        letter = play.wire.letters.popleft()
        message = m.decode(letter.raw, letter.sender)
        if isinstance(message, m.Signatures) and "sale:state:r@0#4.0" in message.signatures and letter.to == "c0":
            kept.append(letter)
        else:
            play.wire.deliver(letter)
    client = play.clients["c0"]
    assert kept
    assert stock_of(play, "c0", "c0").status == "signing"
    forget(play.lsp, "factory", "sales_finished")
    play.wire.post(LSP, play.lsp.update("r", {}))
    while client.life.status != "updating":
        play.wire.deliver(play.wire.letters.popleft())
    play.wire.letters.clear()
    play.wire.post(LSP, play.lsp.abort())
    play.wire.run()
    assert client.life.status == "active"
    for letter in kept:
        play.wire.post("c0", client.receive(LSP, letter.raw))
    play.wire.post(LSP, play.lsp.retry())
    play.wire.run()
    assert any("STATE_IS_NEWEST" in alert for alert in play.wire.alerts)
    assert stock_of(play, "c0", "c0").links == ()
    assert not any(b'"payment"' in letter.raw[:30] for letter in play.wire.tape if letter.sender == "c0")
    play.update("r")
    buy(play, "c0")
    assert len(links(play, "c0", "c0")) == 1
    check_sales(play)


def half_held(play: Scene) -> Scene:
    """The buyer holds the link; the other client's signature was lost, so that the LSP's sale is not over."""
    play.wire.post("c0", play.clients["c0"].buy(5_000, 1_000))
    while play.wire.letters:
        letter = play.wire.letters.popleft()
        message = m.decode(letter.raw, letter.sender)
        if not (isinstance(message, m.Signatures) and letter.to == "c1" and "sale:state:r@0#4.0" in message.signatures):
            play.wire.deliver(letter)
    assert [stock_of(play, name, "c0").status for name in ("c0", "c1", LSP)] == ["chained", "signing", "signing"]
    return play


def test_a_link_that_one_client_holds_is_finished_before_an_update_or_a_close() -> None:
    play = active()
    play.lsp.received["c0"] = 700
    half_held(play)
    burns_nothing(play, {}, "SALES_FINISHED")
    with pytest.raises(Refused, match="SALES_FINISHED"):
        play.lsp.close()
    play.restart(LSP)
    burns_nothing(play, {}, "SALES_FINISHED")
    retried(play)
    play.update("r")
    assert not any("NOT_LESS" in alert for alert in play.wire.alerts)
    assert play.lsp.counted["r"].channel_of("c0").capacity == BALANCE + INBOUND + 5_000
    assert play.clients["c0"].life.owed == BALANCE + 700
    play.close()
    assert play.lsp.life.status == "close_published"
    check_sales(play)


def test_an_update_beside_such_a_link_would_stop_the_leaf_for_good() -> None:
    """The other clients agree to the update, and sign the link no more; its holder refuses every version without it."""
    play = half_held(active())
    forget(play.lsp, "factory", "sales_finished")
    for _ in range(2):
        play.update("r")
        assert play.lsp.life.status == "updating"
        assert any("c0: CAPACITY_NOT_LESS" in alert for alert in play.wire.alerts)
        play.wire.post(LSP, play.lsp.abort())
        for _ in range(4):
            play.wire.post(LSP, play.lsp.retry())
            play.wire.run()
        assert [stock_of(play, name, "c0").status for name in ("c0", "c1", LSP)] == ["chained", "signing", "signing"]


def test_a_sale_is_broken_off_once_the_tree_is_on_chain() -> None:
    play = offered(active())
    for name in ("c0", LSP):
        play.actors[name].live(Event.of("tree_confirmed", "chain"))
        assert stock_of(play, name, "c0").status == "on_chain"
    with pytest.raises(Refused):
        play.lsp.deal(str(play.lsp.stock_base("c0")), Event.of("retry", LSP))
    assert not any(slot == "sale" for _, slot, _ in play.clients["c0"].store.records())
    assert stock_of(play, "c0", "c0").status == "on_chain"
    assert play.restart("c0").party.stocks == play.clients["c0"].party.stocks


def test_a_doubled_and_a_late_message_change_nothing() -> None:
    play = active()
    play.wire.post("c0", play.clients["c0"].buy(5_000, 1_000))
    while play.wire.letters:
        letter = play.wire.letters.popleft()
        play.wire.deliver(letter)
        play.wire.deliver(letter)
    assert len(links(play, "c0", "c0")) == 1
    late = [letter for letter in play.wire.tape if letter.to == "c1"]
    for letter in late:
        play.clients["c1"].receive(letter.sender, letter.raw)
    assert len(links(play, "c1", "c1")) == 1
    check_sales(play)


def test_points_go_to_the_buyer_alone() -> None:
    play = active()
    buy(play, "c0")
    offers = {letter.to: m.decode(letter.raw, LSP) for letter in play.wire.tape if b'"sale"' in letter.raw[:20]}
    assert {to: offer.points is not None for to, offer in offers.items() if isinstance(offer, m.Sale)} == {
        "c0": True,
        "c1": False,
    }


def test_a_client_that_would_exit_too_late_refuses_the_link() -> None:
    play = active()
    client = play.clients["c1"]
    client.height = play.offer.locks.end - 8
    buy(play, "c0")
    assert any("EXIT_IN_TIME" in alert for alert in play.wire.alerts)
    assert stock_of(play, LSP, "c0").status == "offered"


def test_each_link_makes_the_exit_longer_by_what_its_confirmation_takes() -> None:
    """A ceiling with room for one link: the second is refused, and the first stands."""
    play = active()
    client = play.clients["c0"]
    ceiling = client.factory.terms.exit_blocks("c0") + client.life.limits.margin + 1
    client.party = replace(client.party, life=replace(client.life, limits=replace(client.life.limits, ceiling=ceiling)))
    buy(play, "c0")
    assert not play.wire.alerts
    buy(play, "c0")
    assert any(alert.startswith("c0: EXIT_IN_TIME") for alert in play.wire.alerts)
    assert len(links(play, "c0", "c0")) == 1


def test_a_wrong_chain_is_named() -> None:
    play = active()
    buy(play, "c0")
    sale = play.lsp.factory.record.sales[0].sale
    with pytest.raises(InputError, match="Q-STK-5"):
        chain_to([replace(sale, parent="sale:gone")], sale.link)


def lost(play: Scene, number: int) -> int:
    """The ``number``-th letter of a sale is lost. Returns how many there were."""
    play.wire.post("c0", play.clients["c0"].buy(5_000, 1_000))
    count = 0
    while play.wire.letters:
        letter: Letter = play.wire.letters.popleft()
        count += 1
        if count != number:
            play.wire.deliver(letter)
    return count


def test_any_letter_may_be_lost() -> None:
    letters = lost(active(), 0)
    assert 15 < letters < 60
    for number in range(2, letters + 1):
        play = active()
        lost(play, number)
        retried(play)
        assert len(links(play, "c0", "c0")) == len(links(play, "c1", "c1")) == 1, number
        check_sales(play)


def test_a_leaf_whose_counter_is_used_up_sells_and_closes_all_the_same() -> None:
    """Only what would need another index is refused (Q-DW-3)."""
    play = active().update("r").update("r")
    with pytest.raises(Refused, match="INDEX_LEFT"):
        play.lsp.update("r", {})
    buy(buy(play, "c0"), "c1")
    assert len(links(play, "c0", "c0")) == 2
    check_sales(play)
    play.close()
    assert play.lsp.life.status == "close_published"
    assert not play.wire.alerts
