"""Which transactions a block takes: the price of the day, packages, replacements, and the room in a block."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from superscalar_ref.bitcoin.script import P2A
from superscalar_ref.bitcoin.transaction import Transaction, TxInput, TxOutput, build
from superscalar_ref.chain.fees import FeeMarket, Offer, Spike


def coin(label: str) -> str:
    return hashlib.sha256(label.encode()).hexdigest()


def spend(*points: tuple[str, int], outputs: int = 1, lock_time: int = 0) -> Transaction:
    return build(3, [TxInput(txid, index, 0) for txid, index in points], [TxOutput(0, P2A)] * outputs, lock_time)


def offer(feerate: int, *points: tuple[str, int], outputs: int = 1) -> Offer:
    transaction = spend(*points, outputs=outputs)
    return Offer(transaction, feerate * transaction.vbytes)


def test_the_price_of_each_height() -> None:
    market = FeeMarket(2, (Spike(10, 3, 9), Spike(12, 2, 5)))
    assert [market.feerate(height) for height in range(8, 16)] == [2, 2, 9, 9, 9, 5, 2, 2]
    assert [market.spike_end(height) for height in (9, 10, 13, 14)] == [9, 14, 14, 14]


def test_a_block_takes_what_pays_its_price_to_the_satoshi() -> None:
    exact = offer(5, (coin("a"), 0))
    less = Offer(spend((coin("b"), 0)), exact.fee - 1)
    market = FeeMarket(1, (Spike(7, 1, 5),))
    assert market.block(7, [less, exact]) == (exact,)
    assert set(market.block(8, [less, exact])) == {less, exact}


def test_a_child_pays_for_its_parent_and_only_with_it() -> None:
    parent = offer(0, (coin("a"), 0))
    rich = offer(10, (parent.transaction.txid, 0))
    assert FeeMarket(5).block(1, [rich, parent]) == (parent, rich)
    assert FeeMarket(6).block(1, [rich, parent]) == ()
    # Alone the child pays enough; its parent's size counts all the same.
    assert rich.pays(10)


def test_a_second_child_does_not_pay_again_for_what_is_taken() -> None:
    parent = offer(0, (coin("a"), 0), outputs=2)
    first = Offer(spend((parent.transaction.txid, 0)), 10_000)
    second = offer(5, (parent.transaction.txid, 1))
    assert FeeMarket(5).block(1, [parent, second]) == ()
    assert FeeMarket(5).block(1, [parent, second, first]) == (parent, first, second)


def test_a_parent_does_not_pay_for_its_child() -> None:
    parent = offer(10, (coin("a"), 0))
    child = offer(3, (parent.transaction.txid, 0))
    assert FeeMarket(5).block(1, [parent, child]) == (parent,)
    assert FeeMarket(3).block(1, [parent, child]) == (parent, child)


def test_of_two_that_spend_one_output_the_better_paid_wins_and_a_tie_goes_to_the_first() -> None:
    low, high = offer(5, (coin("a"), 0)), offer(6, (coin("a"), 0), (coin("b"), 0))
    assert FeeMarket().block(1, [low, high]) == (high,)
    rival = offer(5, (coin("a"), 0), (coin("c"), 0))
    assert FeeMarket().block(1, [low, rival]) == (low,)
    assert FeeMarket().block(1, [rival, low]) == (rival,)


def test_what_does_not_fit_waits_and_something_smaller_goes_in() -> None:
    small, large = offer(2, (coin("a"), 0)), offer(3, (coin("b"), 0), outputs=9)
    market = FeeMarket(weight_limit=large.transaction.weight)
    assert market.block(1, [small, large]) == (large,)
    assert FeeMarket(weight_limit=small.transaction.weight).block(1, [small, large]) == (small,)


@st.composite
def pools(draw: st.DrawFn) -> list[Offer]:
    """Offers that spend coins, or outputs of one another, and now and then the same ones."""
    points = [(coin(str(number)), 0) for number in range(4)]
    made: list[Offer] = []
    for number in range(draw(st.integers(0, 8))):
        chosen = draw(st.lists(st.sampled_from(points), min_size=1, max_size=2, unique=True))
        transaction = spend(*chosen, outputs=draw(st.integers(1, 3)), lock_time=number)
        made.append(Offer(transaction, draw(st.integers(0, 2_000))))
        points.extend((transaction.txid, index) for index in range(len(transaction.outputs)))
    return draw(st.permutations(made))


@given(pools(), st.integers(0, 8), st.integers(200, 4_000))
def test_a_block_is_a_block(pool: list[Offer], price: int, limit: int) -> None:
    """In order, without a double spend, within the limit, and as a whole worth the price."""
    block = FeeMarket(price, weight_limit=limit).block(1, pool)
    offered = {one.transaction.txid for one in pool}
    seen: set[str] = set()
    spent: list[tuple[str, int]] = []
    for one in block:
        for point in one.transaction.inputs:
            assert point.txid_hex in seen or point.txid_hex not in offered
            spent.append((point.txid_hex, point.index))
        seen.add(one.transaction.txid)
    assert len(set(spent)) == len(spent)
    assert sum(one.transaction.weight for one in block) <= limit
    assert sum(one.fee for one in block) >= price * sum(one.transaction.vbytes for one in block)
    # Whatever pays by itself, has no parent here and no rival is in, or the block has no room for it.
    room = limit - sum(one.transaction.weight for one in block)
    for one in pool:
        points = {(point.txid_hex, point.index) for point in one.transaction.inputs}
        free = points.isdisjoint(spent) and all(txid not in offered for txid, _ in points)
        if free and one.pays(price) and one.transaction.txid not in seen:
            assert one.transaction.weight > room
