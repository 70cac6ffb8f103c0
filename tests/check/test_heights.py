"""The end at another height on each output (Q-TIME-3): who loses, and when nobody does."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from superscalar_ref.check.configurations import load_configurations, locks, tight_values
from superscalar_ref.check.judge import Design, judge
from superscalar_ref.check.trace import as_json
from superscalar_ref.check.variants import changed, judge_variant
from superscalar_ref.protocol.strategy import load_strategy
from superscalar_ref.protocol.transaction import Kind
from superscalar_ref.replay.form import read
from superscalar_ref.replay.player import replay
from superscalar_ref.spec.load import load_specification

SPECIFICATION = load_specification()
DESIGN = Design(SPECIFICATION, load_strategy(), load_configurations())


@pytest.mark.parametrize(
    ("identity", "lost"),
    [("V-HEIGHTS-EARLIER", ("L", 7)), ("V-HEIGHTS-CLASSIC", ("A", 4)), ("V-HEIGHTS-BOTH", ("A", 1))],
)
def test_earlier_on_deeper_outputs_the_default_is_there_before_the_party(
    identity: str, lost: tuple[str, int], tmp_path: Path
) -> None:
    outcome = judge_variant(DESIGN, SPECIFICATION.variant(identity))
    assert not outcome.problem
    assert outcome.trace is not None
    assert (outcome.trace.hero, outcome.trace.lost) == lost
    path = tmp_path / "trace.json"
    path.write_text(json.dumps(as_json(outcome.trace)), encoding="utf-8")
    played = replay(read(path))
    assert played.exit_code == 0, (played.problems, played.cannot)


def test_later_on_deeper_outputs_nobody_loses() -> None:
    outcome = judge_variant(DESIGN, SPECIFICATION.variant("V-HEIGHTS-LATER"))
    assert not outcome.problem
    assert all(verdict.holds and verdict.cases for verdict in outcome.verdicts)


def test_earlier_on_deeper_outputs_nobody_loses_who_counts_back_from_the_lowest_height() -> None:
    """The margin before the end is longer by what the heights differ in: two transactions, five blocks each."""
    wrong, _ = changed(DESIGN, SPECIFICATION.variant("V-HEIGHTS-EARLIER"))
    known = wrong.specification.parameters
    rows = tuple(
        replace(one, low=(one.low or 0) + 2 * 5 + 1) if one.name == "close_margin_blocks" else one
        for one in known.parameters
    )
    parameters = replace(known, parameters=rows)
    roomy = replace(wrong, specification=replace(wrong.specification, parameters=parameters))
    before, after = (tight_values(one, wrong.configurations[0], {}) for one in (known, parameters))
    assert int(after["life_blocks"]) - int(before["life_blocks"]) == 2 * 5
    assert not judge(wrong, ["P-LSP-EXIT"], quick=True)[0].holds
    assert judge(roomy, ["P-LSP-EXIT"])[0].holds


def test_the_games_are_played_with_the_heights_of_the_parameters() -> None:
    wrong, _ = changed(DESIGN, SPECIFICATION.variant("V-HEIGHTS-EARLIER"))
    values = tight_values(wrong.specification.parameters, wrong.configurations[0], {})
    assert locks(values).height_step == 5
    trace = judge_variant(DESIGN, SPECIFICATION.variant("V-HEIGHTS-EARLIER")).trace
    assert trace is not None
    assert trace.hands is not None
    alternates = {one.name: one.lock_time for one in trace.hands.templates if one.kind is Kind.ALTERNATE}
    end = int(values["life_blocks"])
    assert {name: end - height for name, height in alternates.items() if "@1" not in name and "@2" not in name} == {
        "alternate:funding#0": 0,
        "alternate:kickoff:r@-#0": 5,
        "alternate:state:r@0#0": 10,
        "alternate:state:r@0#1": 10,
    }
