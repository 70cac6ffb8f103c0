"""One leaf, sold from, updated and poisoned: the design keeps everybody's money, and each other design loses some."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from superscalar_ref.check.configurations import load_configurations
from superscalar_ref.check.judge import Design
from superscalar_ref.check.leaf import PROPERTIES, judge_leaf, stops_of
from superscalar_ref.check.meter import Meter
from superscalar_ref.check.stock import STOPS, Leaf
from superscalar_ref.check.trace import as_json, story
from superscalar_ref.check.variants import judge_variant
from superscalar_ref.check.world import LSP, Plot
from superscalar_ref.protocol.participant import machines
from superscalar_ref.protocol.strategy import load_strategy
from superscalar_ref.protocol.transaction import Kind
from superscalar_ref.replay.form import read
from superscalar_ref.replay.player import replay
from superscalar_ref.spec.load import load_specification

SPECIFICATION = load_specification()
DESIGN = Design(SPECIFICATION, load_strategy(), load_configurations())


def test_the_design_keeps_everybodys_money() -> None:
    """How much was looked at is pinned: a rule that cuts the search short would show."""
    verdicts = judge_leaf(
        SPECIFICATION.parameters,
        machines().stock,
        machines().client,
        load_strategy(),
        Plot(),
        PROPERTIES,
        False,
        Meter(),
    )
    assert [verdict.property for verdict in verdicts] == list(PROPERTIES)
    assert all(verdict.holds and verdict.trace is None for verdict in verdicts)
    assert all(verdict.examples for verdict in verdicts)
    assert [verdict.cases for verdict in verdicts] == [10, 15, 1, 5, 182, 34]


def test_the_tables_decide_what_is_sold_and_given() -> None:
    """Six units of a stock of twelve for two are sold to one of them, or given to it by an update; nine are not."""
    told = [
        stop.story[-1] for _, stop in stops_of(SPECIFICATION.parameters, machines().stock, machines().client, Plot())
    ]
    assert any("sells 6 units of the shared stock to A" in says for says in told)
    assert any("A's channel larger by 6 units" in says for says in told)
    assert not any("larger by 9 units" in says for says in told)
    assert not any("sells 9 units" in says or "breaks A's purchase off" in says for says in told)


def test_a_signer_gets_a_state_after_what_hangs_on_it_and_a_poison_last() -> None:
    for _, stop in stops_of(SPECIFICATION.parameters, machines().stock, machines().client, Plot()):
        if stop.property != STOPS:
            continue
        kept = {stop.catalog[name].kind for names in stop.missing.values() for name in names}
        assert len(kept) <= 1
        assert kept <= {Kind.STATE, Kind.POISON}
        if any(stop.catalog[name].kind is Kind.POISON for name in stop.complete):
            assert "state:r@1" in stop.complete


def test_who_plays_and_what_each_holds() -> None:
    leaf = Leaf(SPECIFICATION.parameters, machines().stock, Plot(), 2)
    stop = next(leaf.sales())
    for game in leaf.games(stop):
        own = [stop.catalog[name] for name in game.hero_holds]
        assert all(game.hero in one.signers and one.holder in ("", game.hero) for one in own)
        theirs = [stop.catalog[name] for name in game.adversary_holds]
        assert not any(one.holder == game.hero or one.signers == {game.hero} for one in theirs)
        assert game.punctual == (game.hero != LSP and game.idle_until <= leaf.terms.locks.end)


LOSSES = {
    "V-SALE-REPLACED": ("B", 2),
    "V-SALE-ON-CHANNEL": ("A", 6),
    "V-SALE-UNCOVERED": ("A", 3),
    "V-SALE-ON-PHANTOM": ("B", 2),
    "V-SALE-TWICE": ("B", 5),
    "V-RECORD-LOST": ("B", 5),
    "V-POISON-WITH": ("L", 6),
    "V-POISON-BEFORE": ("L", 6),
    "V-POISON-OF-LINKS": ("L", 4),
    "V-POISON-STOCK-ONLY": ("A", 2),
    "V-POISON-NONE": ("A", 4),
    "V-SECRET-EARLY": ("L", 6),
    "V-SECRET-SHARED": ("L", 6),
    "V-SECRET-UNCHECKED": ("A", 4),
    "V-COUNTERS-RESTARTED": ("A", 1),
    "V-UPDATE-UNCOVERED": ("A", 3),
    "V-LIFE-EXTENDED": ("L", 6),
}


@pytest.mark.parametrize("identity", LOSSES)
def test_another_design_loses_somebodys_money_on_real_transactions_too(identity: str, tmp_path: Path) -> None:
    outcome = judge_variant(DESIGN, SPECIFICATION.variant(identity))
    assert not outcome.problem
    assert outcome.trace is not None
    assert (outcome.trace.hero, outcome.trace.lost) == LOSSES[identity]
    assert story(outcome.trace).splitlines()[-1].strip().startswith(f"{outcome.trace.hero} counts on")
    path = tmp_path / "trace.json"
    path.write_text(json.dumps(as_json(outcome.trace)), encoding="utf-8")
    played = replay(read(path))
    assert played.exit_code == 0, (played.problems, played.cannot)


def test_a_poison_behind_a_secret_keeps_everybodys_money() -> None:
    outcome = judge_variant(DESIGN, SPECIFICATION.variant("V-POISON-SECRET"))
    assert not outcome.problem
    assert outcome.trace is None
    assert {verdict.property: verdict.cases for verdict in outcome.verdicts} == {
        "P-POISON-FAIR": 21,
        "P-OLD-STATE-PAYS": 2,
    }
    assert all(verdict.holds and verdict.examples for verdict in outcome.verdicts)
