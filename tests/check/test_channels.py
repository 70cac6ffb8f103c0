"""A channel beside a leaf that is replaced under it: the tables hold, and rules that are taken away are missed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from superscalar_ref.check import channels
from superscalar_ref.check.configurations import load_configurations
from superscalar_ref.check.judge import Design
from superscalar_ref.protocol.channel import FINAL, SIGNED, Htlc
from superscalar_ref.protocol.strategy import load_strategy
from superscalar_ref.spec.load import load_specification
from superscalar_ref.spec.source import Place
from superscalar_ref.spec.table import Patch, Variant
from superscalar_ref.spec.variants import apply_variant


@pytest.fixture(scope="module")
def design() -> Design:
    return Design(load_specification(), load_strategy(), load_configurations())


def without(design: Design, **patch: str) -> Design:
    place = Place("test", 1)
    variant = Variant("V-WHY", "", "", "", "", "", "", "", (), (), (Patch(place=place, **patch),), place)  # type: ignore[arg-type]
    return replace(design, specification=apply_variant(design.specification, variant))


def test_an_outpoint_that_is_dropped_on_the_peers_word_is_missed(design: Design) -> None:
    """What the variants V-MOVE-… do not change already."""
    changed = without(design, do="drop_guard", machine="channel", guard="self_gave_up")
    found = channels.explore(changed.channel(), changed.tables().client, frozenset({channels.CLOSABLE}))
    assert channels.hero(found.broken[channels.CLOSABLE]) in channels.NAMES


def test_a_table_that_never_comes_to_rest_is_told_so(design: Design, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who never named an outpoint that is given up does not say so."""
    monkeypatch.setattr(channels, "BUDGETS", channels.BUDGETS[:1])
    changed = without(design, do="remove_transition", transition="CHN-64")
    found = channels.explore(changed.channel(), changed.tables().client, frozenset({channels.CLOSABLE}))
    assert channels.GOES_ON in found.broken


def test_a_table_that_does_the_same_for_ever_is_told_so(design: Design, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who does not note that a payment is fulfilled fulfils it again, and again."""
    monkeypatch.setattr(channels, "BUDGETS", channels.BUDGETS[1:2])
    changed = without(design, do="drop_effect", transition="CHN-9", effect="mark_fulfilled")
    found = channels.explore(changed.channel(), changed.tables().client, frozenset({channels.GOES_ON}))
    assert channels.GOES_ON in found.broken


def test_money_is_counted_alike_while_a_payment_is_on_its_way(design: Design) -> None:
    """Who credits itself with a payment before it is irrevocable is right again at rest, and wrong before."""
    tables = design.channel(), design.tables().client
    found = channels.explore(*tables, frozenset({channels.VALUE}), amounts="early")
    way = found.broken[channels.VALUE]
    assert "gets 'revoke_and_ack'" in way[-2] and way[-1].startswith("A counts 10 msat for itself and L has 13, of 20")


def test_two_sides_that_say_something_else_of_one_commitment_are_told_so(design: Design) -> None:
    start = channels._start(True, 1, 0, False)
    (mine, theirs) = start.sides
    htlc = Htlc("L", 0, 3, "h", 1, stage=SIGNED)
    here = replace(start, sides=(replace(mine, htlcs=(htlc,)), theirs))
    assert channels._miscounted(start) == ""
    assert channels._miscounted(here) == (
        "A holds a commitment that gives (10, 7, ('L', 0, 3)), and L has signed (10, 10)"
    )
    # Nor may a commitment take what is not there, although both say so.
    much = (replace(htlc, amount_msat=11, stage=FINAL),)
    poor = replace(start, sides=(replace(mine, htlcs=much), replace(theirs, htlcs=much)))
    assert "gives (10, -1" in channels._miscounted(poor)
