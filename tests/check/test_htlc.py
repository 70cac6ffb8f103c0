"""A payment that goes by the chain: what is accepted comes out in time, and each rule that is taken away is missed."""

from __future__ import annotations

import pytest

from superscalar_ref.check import htlc
from superscalar_ref.check.breadth import Found
from superscalar_ref.check.configurations import load_configurations
from superscalar_ref.check.judge import PAYMENTS, Design
from superscalar_ref.check.reasons import removals
from superscalar_ref.check.variants import judge_variant
from superscalar_ref.errors import SpecError
from superscalar_ref.protocol.strategy import load_strategy
from superscalar_ref.spec.load import load_specification


@pytest.fixture(scope="module")
def design() -> Design:
    return Design(load_specification(), load_strategy(), load_configurations())


def played(design: Design) -> Found:
    return htlc.explore(design.channel(), design.specification.parameters, htlc.Ways())


def test_the_rules_hold_and_nothing_holds_for_want_of_cases(design: Design) -> None:
    found = played(design)
    assert found.broken == {}
    assert set(found.seen) == set(htlc.PROPERTIES) == set(PAYMENTS)
    assert found.states > 1500


@pytest.mark.parametrize(
    ("identity", "breaks"),
    [
        ("R-EXIT-MARGIN", htlc.OUTLIVES),
        ("R-HTLC-LATEST", htlc.RETURNS),
        ("R-HTLC-FORWARD", htlc.FORWARDED),
        ("expiry_in_window", htlc.RETURNS),
    ],
)
def test_each_rule_is_missed(design: Design, identity: str, breaks: str) -> None:
    removal = next(removals(design, identity))
    assert removal.design is not None
    assert set(played(removal.design).broken) == {breaks}


@pytest.mark.parametrize(
    ("short", "breaks"),
    [
        ("exit_margin_blocks", htlc.OUTLIVES),
        ("htlc_cutoff_blocks", htlc.RETURNS),
        ("forward_margin_blocks", htlc.FORWARDED),
    ],
)
def test_no_rule_asks_for_a_block_too_many(design: Design, short: str, breaks: str) -> None:
    """One block less than the constraints allow, and somebody loses: the game is as exact as they are."""
    found = htlc.explore(design.channel(), design.specification.parameters, htlc.Ways(), less=short)
    assert set(found.broken) == {breaks}


@pytest.mark.parametrize(
    ("name", "hero", "last"),
    [
        ("V-HTLC-ONE-STAGE", htlc.CLIENT, "block 12: L takes the payment back by its timeout"),
        ("V-HTLC-FINAL-DELTA", htlc.CLIENT, "block 8: L takes the payment back by its timeout"),
        ("V-HTLC-FORWARD-LATE", htlc.LSP, "block 26: the payer takes the payment back by its timeout"),
        ("V-HTLC-FORWARD-SHORT", htlc.LSP, "block 16: the payer takes the payment back by its timeout"),
        ("V-HTLC-DYING", htlc.LSP, "block 21: the alternate is mined"),
        ("V-CHANNEL-ROUNDED", htlc.LSP, "A counts 10 msat for itself and L has 12, of 20"),
        ("V-CHANNEL-EARLY", htlc.LSP, "A counts 10 msat for itself and L has 13, of 20"),
        ("V-COMMITMENTS-ONE-SIDED", htlc.LSP, "version 1 may confirm, and L has no newest commitment"),
    ],
)
def test_wrong_designs_are_refuted(design: Design, name: str, hero: str, last: str) -> None:
    outcome = judge_variant(design, design.specification.variant(name))
    assert outcome.problem == ""
    assert outcome.trace is not None
    assert outcome.trace.hero == hero
    assert outcome.trace.note.startswith(last[0].upper() + last[1:])


def test_constraints_that_nothing_keeps_are_named(design: Design, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(htlc, "_FARTHEST", 3)
    with pytest.raises(SpecError, match="no small value of 'to_self_delay_blocks'"):
        played(design)
