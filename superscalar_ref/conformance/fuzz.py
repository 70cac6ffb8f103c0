"""Layer L2: hypothesis plays every peer; adapter and reference take the same events in lock step.

Laws of this module:

* The reference is the oracle: a run is a transcript whose expectations it gives, judged as any other vector is.
* The first difference is shrunk, and is a vector of layer L1: it can be written down and asked again.
* The same seed gives the same runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from superscalar_ref.conformance.corpus import document
from superscalar_ref.conformance.judge import Profile, Result, Verdict, judge
from superscalar_ref.conformance.plain import plain, with_fields
from superscalar_ref.conformance.runner import Runner
from superscalar_ref.conformance.search import Answer, ask, expected
from superscalar_ref.conformance.seeds import Given, Seed, load_seed
from superscalar_ref.errors import InputError
from superscalar_ref.machine.step import BoundMachine, Stepped
from superscalar_ref.machine.types import Event

STEPS = 20
"""The longest run."""


@dataclass(frozen=True)
class Difference:
    """What was found: the shortest run that shows it, and how the adapter failed in it."""

    test: Mapping[str, Any]
    result: Result


def lock_step(
    runner: Runner, profile: Profile, machines: Mapping[str, BoundMachine[Any]], runs: int, seed: int
) -> tuple[Difference, ...]:
    """The first difference in each machine that the adapter declares and that has a seed; ``runs`` runs for each.

    Raises InputError when hypothesis is not installed.
    """
    found = []
    for machine in machines.values():
        start = load_seed(machine)
        if start is not None and profile.declares({"profile": machine.table.name}):
            difference = _first(runner, profile, machine, start, runs, seed)
            if difference is not None:
                found.append(difference)
    return tuple(found)


def _first(
    runner: Runner, profile: Profile, machine: BoundMachine[Any], start: Seed, runs: int, seed: int
) -> Difference | None:
    try:
        import hypothesis  # noqa: PLC0415 - takes 200 ms, and only this layer needs it
        from hypothesis import strategies as st  # noqa: PLC0415
    except ModuleNotFoundError:
        raise InputError("--fuzz", "hypothesis is not installed: pip install 'superscalar-ref[test]'", "L2") from None
    last: list[Difference] = []

    class Differs(Exception):
        pass

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=runs, database=None, deadline=None, suppress_health_check=list(hypothesis.HealthCheck)
    )
    @hypothesis.given(st.integers(0, len(start.starts) - 1), st.lists(st.integers(0, 999), min_size=1, max_size=STEPS))
    def run(where: int, picks: list[int]) -> None:
        test = transcript(machine, start, where, picks, seed)
        if not test["steps"]:
            return
        result = judge(runner, profile, test)
        if result.verdict is not Verdict.PASS:
            last[:] = [Difference(test, result)]
            raise Differs

    try:
        run()
    except Differs:
        return last[0]
    except hypothesis.errors.Flaky:
        # The adapter answers the same question in two ways; what was seen last is as good as anything.
        return last[0]
    return None


def transcript(machine: BoundMachine[Any], start: Seed, where: int, picks: Sequence[int], seed: int) -> dict[str, Any]:
    """A run as a vector: each number picks what comes next, from what the table takes first, then from everything."""
    begin = start.starts[where]
    context = begin.context
    steps: list[dict[str, Any]] = []
    rules: dict[str, None] = {}
    refused = False
    for pick in picks:
        happens = _pick(machine, context, start, pick)
        if isinstance(happens, Given):
            context = with_fields(machine, context, happens.fields, machine.table.name)
            shown = plain(context)
            steps.append({"given": {key: shown[key] for key in happens.fields}, "says": happens.says})
            continue
        answer = _answer(machine, context, happens)
        if answer is None:
            continue
        steps.append(expected(context, happens, answer))
        if isinstance(answer, Stepped):
            rules[answer.transition_id] = None
            context = answer.context
        refused = not isinstance(answer, Stepped)
    name = machine.table.name
    return {
        "id": f"{name}-fuzz-{seed}",
        "comment": "Found by playing adapter and reference in lock step, and shrunk.",
        "rules": list(rules),
        "level": "MUST",
        "profile": name,
        "result": "invalid" if refused else "valid",
        "flags": [],
        "hunts": [],
        "node": {"machine": name, "start": begin.says, "state": plain(begin.context)},
        "steps": steps,
    }


def _pick(machine: BoundMachine[Any], context: Any, start: Seed, pick: int) -> Event | Given:
    taken = [event for event in start.events if isinstance(_answer(machine, context, event), Stepped)]
    options: tuple[Event | Given, ...] = (*taken, *start.given, *start.events)
    return options[pick % len(options)]


def _answer(machine: BoundMachine[Any], context: Any, event: Event) -> Answer | None:
    try:
        return ask(machine, context, event)
    except KeyError:
        return None


def as_document(found: Sequence[Difference]) -> dict[str, Any]:
    """The differences as a file of vectors."""
    return document("Differences that fuzzing found.", "L1", {}, [dict(one.test) for one in found])
