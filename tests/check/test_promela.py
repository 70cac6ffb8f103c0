"""Spin agrees: on every verdict, on the worst block, on the amount, and on the number of positions.

The generated models follow the prescribed strategy; ``one_layer.pml`` was written by hand from the protocol's text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from superscalar_ref.check import spin
from superscalar_ref.check.arena import Arena, default_horizon, relevant
from superscalar_ref.check.configurations import allowed_choices, load_configurations, tight_values
from superscalar_ref.check.explore import Explorer, Scene
from superscalar_ref.check.game import Policy, Solution, solve
from superscalar_ref.check.promela import horizon, to_promela
from superscalar_ref.check.situations import arena, by_the_end, counts, newest_only, policy
from superscalar_ref.check.spin import SpinFailed, SpinMissing, verdict
from superscalar_ref.check.world import World
from superscalar_ref.errors import InputError
from superscalar_ref.protocol.participant import machines
from superscalar_ref.protocol.strategy import Strategy, load_strategy
from superscalar_ref.protocol.transaction import Kind
from superscalar_ref.spec.load import load_specification

ABSENT = spin.missing()
needs_spin = pytest.mark.skipif(ABSENT is not None, reason=f"{ABSENT} is not installed: no second opinion by Spin")
BY_HAND = (Path(__file__).parent / "one_layer.pml").read_text(encoding="utf-8")
RULES = load_strategy()


@cache
def world(name: str, hero: str, changes: tuple[tuple[str, int | str], ...] = ()) -> World:
    """A configuration at its tightest; ``changes`` to a number are added, words replace."""
    configuration = next(c for c in load_configurations() if c.id == name)
    parameters = load_specification().parameters
    choices = allowed_choices(parameters, {"stock_lock": str(parameters["stock_lock"].default)})[0]
    values = tight_values(parameters, configuration, choices)
    for key, change in changes:
        old = values[key]
        values[key] = change if isinstance(change, str) or isinstance(old, str) else old + change
    return World(configuration, values, hero)


@cache
def last_scene(here: World) -> Scene:
    """The newest version counted, everything older let go, no close begun: what an exit has to withstand."""
    reached = [r.scene for r in Explorer(here, machines()).run().scenes]
    settled = [s for s in reached if counts(s) and not s.closing and s.offered is None]
    return max(settled, key=lambda scene: (sum(index for _, index in scene.counted), len(scene.released)))


def at_the_end_of(here: World, coins: bool = True) -> Arena:
    """The game of the last scene, to the horizon that ``game`` would choose."""
    game = arena(here, last_scene(here), coins)
    return replace(game, horizon=default_horizon(game, relevant(game)))


def prescribed(here: World, game: Arena, strategy: Strategy = RULES) -> Solution:
    follow: Policy = policy(strategy, here, game)
    return solve(game, follow)


BASELINE = [("one-layer", "A"), ("one-layer", "L"), ("slow-blocks", "A"), ("slow-blocks", "L"), ("static-top", "A")]


@needs_spin
@pytest.mark.parametrize(("name", "hero"), BASELINE)
def test_baseline_holds_up_to_the_very_block_and_with_the_same_positions(name: str, hero: str) -> None:
    here = world(name, hero)
    game = at_the_end_of(here)
    found = prescribed(here, game)
    assert found.worst_block is not None
    in_time, too_short = (replace(game, horizon=found.worst_block - less) for less in (0, 1))
    told = verdict(to_promela(in_time, RULES))
    assert told.holds
    assert told.states == prescribed(here, in_time).states
    assert not verdict(to_promela(too_short, RULES)).holds


REFUTED = {
    "step too small": (("one-layer", "A", (("step_blocks", -1),)), True),
    "no alternate under a kickoff, no coins": (("one-layer", "A", (("alternates", "not-kickoffs"),)), False),
    "life too short for the LSP": (("one-layer", "L", (("life_blocks", -6),)), True),
    "the LSP sleeps too long": (("slow-blocks", "L", (("lsp_absence_blocks", 2),)), True),
}


@needs_spin
@pytest.mark.parametrize(("where", "coins"), REFUTED.values(), ids=REFUTED)
def test_wrong_designs_are_refuted_by_the_same_amount(
    where: tuple[str, str, tuple[tuple[str, int | str], ...]], coins: bool
) -> None:
    here = world(*where)
    game = at_the_end_of(here, coins)
    found = prescribed(here, game)
    assert not found.wins
    assert not verdict(to_promela(game, RULES)).holds
    if found.amount > 0:
        assert verdict(to_promela(replace(game, owed=found.amount), RULES)).holds
    assert not verdict(to_promela(replace(game, owed=found.amount + 1), RULES)).holds


@needs_spin
@pytest.mark.parametrize("late", [0, 1])
def test_a_deadline_one_block_late_is_too_late(late: int) -> None:
    here = world("one-layer", "A")
    game = by_the_end(at_the_end_of(here), here.terms.locks.end)
    deadlines = range(game.idle_until, here.terms.locks.end)
    last = max(d for d in deadlines if prescribed(here, replace(game, idle_until=d)).wins)
    told = verdict(to_promela(replace(game, idle_until=last + late), RULES))
    assert told.holds is (late == 0)


@needs_spin
@pytest.mark.parametrize("rule", [rule.id for rule in RULES.rules])
def test_without_a_rule_the_verdict_is_the_same(rule: str) -> None:
    hero = "A" if "client" in next(r for r in RULES.rules if r.id == rule).roles else "L"
    here = world("one-layer", hero)
    game = at_the_end_of(here)
    fewer = RULES.without(rule)
    found = prescribed(here, game, fewer)
    told = verdict(to_promela(game, fewer))
    assert told.holds is found.wins
    if found.wins:
        assert told.states == found.states


@needs_spin
def test_an_older_state_on_chain_is_seen() -> None:
    here = world("one-layer", "A", (("step_blocks", -1),))
    for game in (newest_only(at_the_end_of(here)), newest_only(at_the_end_of(world("one-layer", "A")))):
        assert verdict(to_promela(game, RULES)).holds is prescribed(here, game).wins


@needs_spin
def test_neither_what_is_left_out_nor_a_later_horizon_changes_the_verdict() -> None:
    for changes in ((), (("step_blocks", -1),)):
        here = world("one-layer", "A", changes)
        game = replace(at_the_end_of(here), horizon=None)
        assert horizon(game, relevant(game)) >= default_horizon(game, relevant(game))
        assert verdict(to_promela(game, RULES, everything=True)).holds is prescribed(here, game).wins


def by_hand(here: World, game: Arena, **more: int | None) -> str:
    """The model by hand with the numbers of ``here``."""
    locks, states = here.terms.locks, [t for t in game.templates if t.kind is Kind.STATE]
    numbers: Mapping[str, int | None] = {
        "STEP": locks.step,
        "STATES": locks.states,
        "NEWEST": len([t for t in states if t.name in game.hero_holds]) - 1,
        "DELAY": locks.to_self_delay,
        "STOCK_LOCK": locks.stock_lock_blocks,
        "END": locks.end,
        "DEADLINE": game.idle_until,
        "ABSENCE": game.absence,
        "EXIT_ABSENCE": game.exit_absence,
        "CONFIRMATION": game.confirmation,
        "BARE_KICKOFF": int(locks.alternates == "not-kickoffs"),
        "OWED": game.owed,
        "HORIZON": game.horizon,
        **more,
    }
    return "".join(f"#define {name} {number}\n" for name, number in numbers.items()) + BY_HAND


HAND = {
    "one layer": (("one-layer", "A", ()), True),
    "slow blocks": (("slow-blocks", "A", ()), True),
    "step too small": (("one-layer", "A", (("step_blocks", -1),)), True),
    "step too small, slow blocks": (("slow-blocks", "A", (("step_blocks", -1),)), True),
    "no coins": (("one-layer", "A", ()), False),
    "no alternate under a kickoff, no coins": (("one-layer", "A", (("alternates", "not-kickoffs"),)), False),
}


@needs_spin
@pytest.mark.parametrize(("where", "coins"), HAND.values(), ids=HAND)
def test_the_model_by_hand_agrees(where: tuple[str, str, tuple[tuple[str, int | str], ...]], coins: bool) -> None:
    here = world(*where)
    game = at_the_end_of(here, coins)
    found = prescribed(here, game)
    exact: tuple[dict[str, int | None], dict[str, int | None]]
    if found.worst_block is None:
        exact = {"OWED": found.amount}, {"OWED": found.amount + 1}
    else:
        exact = {"HORIZON": found.worst_block}, {"HORIZON": found.worst_block - 1}
    yes, no = (verdict(by_hand(here, game, HAS_COINS=int(coins), **numbers)).holds for numbers in exact)
    assert yes
    assert not no


@needs_spin
@pytest.mark.parametrize("late", [0, 1])
def test_the_model_by_hand_agrees_on_the_last_deadline(late: int) -> None:
    here = world("one-layer", "A")
    game = by_the_end(at_the_end_of(here), here.terms.locks.end)
    last = max(
        d for d in range(game.idle_until, game.horizon or 0) if prescribed(here, replace(game, idle_until=d)).wins
    )
    moved = replace(game, idle_until=last + late)
    assert verdict(by_hand(here, moved, HAS_COINS=1, BEFORE_END=1)).holds is (late == 0)


def test_the_text_is_the_same_each_time() -> None:
    game = at_the_end_of(world("one-layer", "A"))
    assert to_promela(game, RULES) == to_promela(replace(game), RULES)


def test_an_arena_that_contradicts_itself_is_refused() -> None:
    game = at_the_end_of(world("one-layer", "A"))
    with pytest.raises(InputError, match="nowhere"):
        to_promela(replace(game, hero_holds=frozenset({"nowhere"})), RULES)


def test_without_spin_there_is_no_verdict(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SpinMissing, match="spin is not installed"):
        verdict("active proctype p() { skip }")


@needs_spin
@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("active proctype p() {", "spin"),
        ("bit b; active proctype p() { b == 1 }", "verifier"),  # it is stuck; no assertion fails
    ],
)
def test_a_broken_model_has_no_verdict(model: str, says: str) -> None:
    with pytest.raises(SpinFailed, match=says):
        verdict(model)


@needs_spin
def test_a_search_that_was_cut_short_has_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spin, "DEPTH", 20)
    with pytest.raises(SpinFailed, match="verifier"):
        verdict("byte n; active proctype p() { do :: n < 200 -> n++ :: n == 200 -> break od }")
