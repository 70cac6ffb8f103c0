"""Stories in which blocks ask for more than is signed in: who pays is in time, who cannot leans on an assumption."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from superscalar_ref.protocol.fees import load_fee_rules
from tests.lifecycle.plans import Plan
from tests.lifecycle.short import active
from tests.lifecycle.story import Story, Wrong
from tests.parties.scene import LSP

POOR = Plan(clients=1, arities=(2,), static=0, leaf_k=1, states=3, step=4, balances=(20_000,))
RICH = replace(POOR, rich=("A",))
GAIN = 50_000
"""So much that the commitment and the poison of an older state pay less (sat): who lets that state win has lost."""


def cheated(plan: Plan, prices: Sequence[int], patience: int | None = None, without: str = "") -> Story:
    """The LSP publishes its oldest state as soon as it may; blocks ask for these prices in turn, then for the last."""
    with active(plan) as story:
        if patience is not None:
            story.market.patience = patience
        if without:
            story.market.wallets["A"].rules = load_fee_rules().without(without)
        for more in (0, GAIN):
            story.update(0, (more,))
            story.mail()
        story.check()
        story.hostile.add(LSP)
        for number in range(POOR.step + 2):
            story.asks(prices[min(number, len(prices) - 1)])
            story.mine()
        story.check()
        story.finish()
        return story


def test_a_client_with_a_coin_is_in_time_at_any_price() -> None:
    told = cheated(RICH, [50])
    assert told.counts["children"] >= 1
    assert told.market.wallets["A"].spent > 0


def test_a_client_without_a_coin_is_in_time_if_no_price_holds_longer_than_is_assumed() -> None:
    """``confirmation_blocks``: what it broadcasts is not held back for longer, whatever blocks ask (Q-FEE-1)."""
    told = cheated(POOR, [50])
    assert told.counts["held back"] >= POOR.step - 2


def test_without_that_assumption_it_is_not() -> None:
    with pytest.raises(Wrong, match="owns"):
        cheated(POOR, [50], patience=POOR.step)


@pytest.mark.parametrize("rule", ["STR-31", "STR-32"])
def test_a_client_that_has_a_coin_and_does_not_pay_loses(rule: str) -> None:
    rising = [2, 20]
    assert cheated(RICH, rising).market.wallets["A"].spent > 0
    with pytest.raises(Wrong, match="owns"):
        cheated(RICH, rising, without=rule)


def test_a_client_leaves_through_prices_that_go_up_and_down() -> None:
    with active(RICH) as story:
        story.exit("A")
        for price in (0, 2, 50, 0, 20, 50, 50, 50, 50, 50, 50, 2, 50, 50, 50, 50, 50, 50, 50, 50):
            story.asks(price)
            story.mine()
        story.check()
        story.finish()
        assert story.scene.clients["A"].life.status == "swept"


def test_a_reorg_in_a_spike_gives_coins_back_and_loses_nothing() -> None:
    with active(replace(RICH, step=3)) as story:
        story.exit("A")
        story.asks(50)
        for same in (True, False, True):
            story.mine(3)
            story.check()
            story.reorg(2, same)
            story.check()
        story.mine(20)
        story.finish()
        assert story.scene.clients["A"].life.status == "swept"
