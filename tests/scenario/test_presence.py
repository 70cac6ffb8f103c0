"""Who must be online, row by row: what a look in time is worth, and what absence costs, on Bitcoin Core's code."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from superscalar_ref.cli import main
from superscalar_ref.scenario import presence
from superscalar_ref.scenario.presence import GAIN, PRICE, absent, cheated, classic, longest_absence, rows
from superscalar_ref.scenario.town import Plan
from tests.scenario.plans import small


def plan() -> Plan:
    made = small(1)
    return replace(made, locks=replace(made.locks, step=5, to_self_delay=6, end=150), stock=10_000)


def test_a_client_without_a_tower_looks_more_often_than_a_step_or_loses() -> None:
    most = longest_absence(plan())
    in_time, late = cheated(plan(), most), cheated(plan(), most + 1)
    assert in_time.whole
    assert in_time.has == in_time.owed - in_time.fees
    assert not late.whole
    # What the newer version gave it is lost, but for what the poisoned stock pays.
    assert in_time.owed - late.has >= GAIN - plan().stock


def test_the_poisoned_stock_covers_a_gain_that_is_smaller() -> None:
    ample = replace(plan(), stock=GAIN + 1_000)
    late = cheated(ample, longest_absence(ample) + 1)
    assert late.whole
    assert late.has > late.owed


def test_a_reserve_insures_without_limit_and_poison_with_one() -> None:
    """Deposit insurance: in a spike that outlasts a step, what the client counts on, or what the poison is worth."""
    spent = cheated(replace(plan(), reserve_every=1), 1, PRICE)
    assert spent.whole
    assert spent.has == spent.owed - spent.fees
    bare = cheated(replace(plan(), reserve_every=0), 1, PRICE)
    assert not bare.whole
    assert bare.owed - bare.has >= GAIN - plan().stock
    assert cheated(replace(plan(), reserve_every=0, stock=GAIN + 1_000), 1, PRICE).whole


@pytest.mark.parametrize("late", [0, 30])
def test_a_client_that_is_absent_for_ever_is_paid_whenever_the_alternate_is_published(late: int) -> None:
    seen = absent(plan(), late)
    assert seen.whole
    assert seen.has > plan().balance + plan().inbound, "the whole channel, and a share of the stock"


def test_under_the_classic_end_it_loses_everything() -> None:
    seen = absent(classic(plan()), 5)
    assert (seen.has, seen.whole) == (0, False)


def test_the_last_row_ends_as_it_says() -> None:
    assert all(play().whole is whole for _, play, whole in rows(plan())[-1:])


def test_each_row_is_drawn_where_that_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(presence, "rows", lambda plan: rows(plan)[2:3])
    assert main(["scenario", "presence", "--draw", str(tmp_path)]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["presence-1.mmd", "presence-1.svg"]
    drawn = (tmp_path / "presence-1.mmd").read_text(encoding="utf-8")
    assert drawn.startswith("%% no watchtower, looks every 5 blocks")
    assert "is to have" in drawn
