"""Scenario 'fees': an exit through a time in which blocks ask for more than is signed in, with a coin and without."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from superscalar_ref.chain.fees import FeeMarket, Spike
from superscalar_ref.protocol.fees import reserve_needed
from superscalar_ref.protocol.transaction import Kind
from superscalar_ref.realise.child import CHILD_VBYTES
from superscalar_ref.report.result import Check, ExitResult
from superscalar_ref.verify.exits import Played, play_exit
from superscalar_ref.verify.scene import Scene, Trial

HIGHEST = 5
"""sat/vB that blocks ask for, if the example's reserve suffices for it; else the most for which it does."""
MARGIN = 12
"""Blocks of the spike beyond the longest exit."""


@dataclass(frozen=True)
class Fees:
    """The scenario's checks and its chains."""

    checks: tuple[Check, ...]
    trials: tuple[Trial, ...]


def leave_in_a_spike(scene: Scene) -> Fees:
    """The first client that has a coin leaves in a spike: as if it had none, and with it. No check when none has."""
    name = next(iter(scene.reserves), "")
    if not name:
        return Fees((), ())
    scene.progress(f"{name} exits in a fee spike")
    plan = next(one.exit_blocks for one in scene.example.planned.exits if one.client == name)
    first, usual, economy = scene.start.height + 1, scene.example.economy().feerate, scene.example.economy()
    short = Spike(first, MARGIN, HIGHEST)
    poor = play_exit(scene, name, "fees/none", FeeMarket(0, (short,)), coin=False)
    checks, trials = [_without(name, poor, plan)], [poor.trial]
    reserve = scene.reserves[name].output.amount_sat
    asks = {price: reserve_needed(poor.path, CHILD_VBYTES, price, economy.dust) for price in range(usual, HIGHEST + 1)}
    price = max((price for price, needed in asks.items() if needed <= reserve), default=0)
    if price > usual:
        delay = scene.example.locks(0).to_self_delay
        market = FeeMarket(usual, (Spike(first, plan + delay + MARGIN, price),))
        rich = play_exit(scene, name, "fees/coin", market, coin=True)
        checks.append(_with(name, rich, plan + delay, price, asks[price], economy.dust))
        trials.append(rich.trial)
    return Fees(tuple(checks), tuple(trials))


def _with(name: str, played: Played, rests: int, price: int, needed: int, dust: int) -> Check:
    problems = list(_wrong(played, rests, 1))
    if played.result is not None and played.result.blocks > rests + 1:
        problems.append(f"its last transaction confirmed after {played.result.blocks} blocks, later than {rests + 1}")
    sweeps = sum(verdict.fee_sat for verdict in played.trial.verdicts if verdict.name.startswith("child:sweep:"))
    if played.spent != needed - dust + sweeps:
        problems.append(
            f"its children cost {played.spent} sat; by the formula {needed - dust}, and {sweeps} for sweeps"
        )
    return Check(
        f"fees/coin/{name}",
        "fees",
        f"{name} exits while blocks ask for {price} sat/vB: a block late, at the cost that a reserve is made for",
        not problems,
        problems[0] if problems else f"R-RESERVE asks for {needed} sat; {sweeps} sat more went out of its own sweep",
        ("STR-30", "STR-31", "R-RESERVE", "P-EXIT-ALWAYS"),
    )


def _without(name: str, played: Played, plan: int) -> Check:
    problems = list(_wrong(played, plan, MARGIN))
    if played.result is not None and _blocks(played.result, "kickoff:") != MARGIN + 1:
        problems.append(f"its first transaction confirmed in block {_blocks(played.result, 'kickoff:')} of its exit")
    if any(one.kind == Kind.CHILD for one in played.trial.verdicts):
        problems.append("a child was paid without a coin")
    return Check(
        f"fees/none/{name}",
        "fees",
        f"without a coin {name} waits out a spike of {MARGIN} blocks, and owns what it is owed",
        not problems,
        problems[0] if problems else f"late by {MARGIN} blocks, at no cost",
        ("Q-FEE-1", "D-5"),
    )


def _wrong(played: Played, plan: int, late: int) -> Iterator[str]:
    result = played.result
    if result is None:
        yield played.broken
        return
    if not played.trial.conserved():
        yield from (*played.trial.problems, "value is not conserved")
    sweep = sum(verdict.fee_sat for verdict in played.trial.verdicts if verdict.kind == Kind.SWEEP)
    if result.owned_sat != result.owed_sat - sweep:
        yield f"owns {result.owned_sat} sat, is owed {result.owed_sat} less {sweep} for the sweep"
    closed = _blocks(result, "commitment:")
    if closed is None or closed > plan + late:
        yield f"its channel closed after {closed} blocks; planned are {plan}, and {late} more"


def _blocks(result: ExitResult, prefix: str) -> int | None:
    """Blocks from the beginning to the first transaction of this name; None when there is none."""
    begun = max(one.height for one in result.confirmations) - result.blocks
    return next((one.height - begun for one in result.confirmations if one.transaction.startswith(prefix)), None)
