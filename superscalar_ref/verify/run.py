"""The main job, from an example's file to its result."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

from superscalar_ref.parties.channel_actor import channel_machine
from superscalar_ref.protocol.assisted_exit import assisted_exit_machine
from superscalar_ref.protocol.ladder import ladder_machine
from superscalar_ref.protocol.participant import machines
from superscalar_ref.protocol.watchtower import watchtower_machine
from superscalar_ref.report.result import (
    Check,
    Client,
    ExitResult,
    Factory,
    TransactionVerdict,
    TreeSummary,
    VerifyResult,
)
from superscalar_ref.spec.load import load_specification
from superscalar_ref.verify.build import build_factory
from superscalar_ref.verify.channels import pay_and_close
from superscalar_ref.verify.close import close_together
from superscalar_ref.verify.end import live_to_the_end
from superscalar_ref.verify.example import Example, load_example
from superscalar_ref.verify.exits import exit_alone
from superscalar_ref.verify.fees import leave_in_a_spike
from superscalar_ref.verify.races import race
from superscalar_ref.verify.refusals import refuse_all
from superscalar_ref.verify.sales import sell_and_poison
from superscalar_ref.verify.scene import Progress, Scene, Trial
from superscalar_ref.verify.towers import guard_while_away

Watch = Callable[[Check], None]
"""Told each check as soon as it is known."""


def verify(path: Path, progress: Progress, watch: Watch) -> VerifyResult:
    """Run everything on the example at ``path``. Raises ``InputError`` when the example or a table is malformed."""
    begun = time.monotonic()
    checks: list[Check] = []

    def keep(found: Iterable[Check]) -> None:
        for check in found:
            checks.append(check)
            watch(check)

    progress("reading the tables")
    keep([_tables()])
    example = load_example(path)
    scene = Scene(example, progress)
    trials: list[Trial] = []
    exits: list[ExitResult] = []
    try:
        built = build_factory(scene)
        keep(built.checks)
        trials.append(built.trial)
        check, trial = close_together(scene)
        keep([check])
        trials.append(trial)
        for client in example.clients:
            one = exit_alone(scene, client.name)
            keep([one.check])
            trials.append(one.trial)
            if one.result is not None:
                exits.append(one.result)
        races = race(scene)
        keep(races.checks)
        trials.extend(races.trials)
        sales = sell_and_poison(example, progress)
        keep(sales.checks)
        trials.extend(sales.trials)
        end = live_to_the_end(example, progress)
        keep(end.checks)
        trials.extend(end.trials)
        if example.parameters.number("states_per_layer") > 1:
            towers = guard_while_away(scene)
            keep(towers.checks)
            trials.extend(towers.trials)
        for play in (leave_in_a_spike, pay_and_close):
            played = play(scene)
            keep(played.checks)
            trials.extend(played.trials)
        refused, trial = refuse_all(scene)
        keep(refused)
        trials.append(trial)
    finally:
        scene.close()
    verdicts = tuple(verdict for trial in trials for verdict in trial.verdicts)
    keep(_totals(trials, verdicts))
    return VerifyResult(
        path.name,
        all(check.passed for check in checks),
        _factory(example),
        tuple(checks),
        verdicts,
        tuple(exits),
        races.results,
        built.messages,
        round(time.monotonic() - begun, 3),
    )


def _tables() -> Check:
    specification = load_specification(only=())
    bound = machines()
    bare = (
        bound.session,
        bound.client,
        bound.factory,
        bound.stock,
        channel_machine(),
        watchtower_machine(),
        ladder_machine(),
        assisted_exit_machine(),
    )
    tables = [machine.table for machine in bare]
    rows = sum(len(table.transitions) for table in tables)
    idle = {machine.name for machine in specification.machines} - {table.name for table in tables}
    return Check(
        "tables/load",
        "tables",
        "all tables of spec/ load, agree with one another and with the functions that they name, and drive a party",
        not idle,
        f"no party is driven by: {', '.join(sorted(idle))}"
        if idle
        else f"{len(tables)} machines with {rows} transitions, {len(specification.parameters.constraints)} constraints",
    )


def _totals(trials: list[Trial], verdicts: tuple[TransactionVerdict, ...]) -> list[Check]:
    unexpected = [verdict for verdict in verdicts if not verdict.as_expected]
    accepted = sum(verdict.accepted for verdict in verdicts)
    broken = [
        f"{trial.scenario}: {(trial.problems or ['a sum is off'])[0]}" for trial in trials if not trial.conserved()
    ]
    return [
        Check(
            "chain/verdicts",
            "chain",
            "Bitcoin Core's code accepts every transaction that is claimed valid and refuses every other",
            not unexpected and accepted > 0,
            f"{unexpected[0].scenario}: {unexpected[0].name}: {unexpected[0].verdict}"
            if unexpected
            else f"{accepted} accepted, {len(verdicts) - accepted} refused",
        ),
        Check(
            "chain/value",
            "chain",
            "value is conserved to the satoshi in every scenario",
            not broken,
            broken[0] if broken else f"{sum(trial.brought for trial in trials):,} sat in {len(trials)} scenarios",
            ("P-VALUE-CONSERVED",),
        ),
    ]


def _factory(example: Example) -> Factory:
    arity = tuple(level.arity for level in example.shape.levels)
    parameters: dict[str, int | str | bool] = dict(example.parameters.as_dict())
    return Factory(
        example.name,
        tuple(Client(one.name, one.balance, one.balance + one.inbound) for one in example.clients),
        example.lsp,
        TreeSummary(
            example.tree.depth,
            example.tree.transactions,
            example.planned.dw_layers,
            arity,
            example.shape.static_levels,
            example.shape.leaf_k,
        ),
        example.planned.worst_exit_blocks,
        example.locks(example.start_height).end,
        parameters,
    )
