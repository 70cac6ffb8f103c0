"""Payments in the leaves of one to three factories: whatever happens, nobody honest ends below what it is owed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.lifecycle.trades import TRADES
from tests.lifecycle.trading import Trading, trade_settings

TestTrading = Trading.TestCase
TestTrading.settings = trade_settings()


@pytest.mark.parametrize("tell", TRADES, ids=lambda tell: tell.__name__)
def test_a_short_story_of_payments_ends_well(tell: Callable[[], None]) -> None:
    tell()
