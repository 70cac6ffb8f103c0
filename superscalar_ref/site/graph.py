"""What the explorer walks through: the contexts that a machine can reach, and the core's answer to each event there.

Laws of this module:

* Every answer is the core's step; the page computes none.
* The search is breadth first from the starts of ``spec/vectors/seeds``, and ends at so many contexts;
  a step that leads further is there, and says so.
* Values, effects and refusals are written once and named by their number; -1 names none.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

from superscalar_ref.conformance.adapter import reference_machines
from superscalar_ref.conformance.plain import actions_plain, event_plain, plain, with_fields
from superscalar_ref.conformance.search import ask
from superscalar_ref.conformance.seeds import Seed, load_seed
from superscalar_ref.errors import Refused
from superscalar_ref.machine.step import BoundMachine

MOST = 1200
"""Contexts of one machine that the page holds."""
NONE = -1

K = TypeVar("K", bound=Hashable)


class Numbers(Generic[K]):
    """Things by the order in which they were first seen."""

    def __init__(self) -> None:
        self.items: list[K] = []
        self._places: dict[K, int] = {}

    def of(self, item: K) -> int:
        """The number of a thing, a new one if it is new."""
        number = self._places.setdefault(item, len(self.items))
        if number == len(self.items):
            self.items.append(item)
        return number

    def find(self, item: K) -> int:
        """The number of a thing, or ``NONE``."""
        return self._places.get(item, NONE)


def graphs(directory: Path | None = None, most: int = MOST) -> dict[str, dict[str, Any]]:
    """The graph of every machine that has a seed, by name; at most ``most`` contexts each. Raises SpecError."""
    found = {}
    for name, machine in reference_machines(directory).items():
        seed = load_seed(machine, directory)
        if seed is not None:
            found[name] = graph(machine, seed, most)
    return found


def graph(machine: BoundMachine[Any], seed: Seed, most: int) -> dict[str, Any]:
    """One machine's graph as JSON.

    ``contexts[c]``: a number of ``values[f]`` for each field f. ``moves[c]``: [event, context after, row, effects] of
    each event that is taken. ``refused[c]``: a number of ``refusals``, each a number of ``reasons`` for each event.
    ``outside[c]``: [given, context after].
    """
    contexts: Numbers[Any] = Numbers()
    effects: Numbers[str] = Numbers()
    reasons: Numbers[tuple[str, str, str]] = Numbers()
    refusals: Numbers[tuple[int, ...]] = Numbers()
    starts = [contexts.of(start.context) for start in seed.starts]
    moves, refused, outside = [], [], []

    def reached(context: Any) -> int:
        return contexts.of(context) if len(contexts.items) < most else contexts.find(context)

    for context in contexts.items:
        taken, why = [], []
        for number, event in enumerate(seed.events):
            why.append(NONE)
            try:
                answer = ask(machine, context, event)
            except KeyError:
                # The event lacks a field that a guard reads: it cannot happen in this form.
                continue
            if isinstance(answer, Refused):
                why[-1] = reasons.of((answer.code, answer.rule, answer.detail))
            elif answer is not None:
                does = json.dumps(actions_plain(answer.actions), ensure_ascii=False)
                taken.append([number, reached(answer.context), answer.transition_id, effects.of(does)])
        changed = [with_fields(machine, context, given.fields, seed.machine) for given in seed.given]
        outside.append([[number, reached(after)] for number, after in enumerate(changed) if after != context])
        moves.append(taken)
        refused.append(refusals.of(tuple(why)))
    shown = [plain(context) for context in contexts.items]
    fields = list(dict.fromkeys(field for one in shown for field in one))
    columns: dict[str, Numbers[str]] = {field: Numbers() for field in fields}
    told = {
        "machine": seed.machine,
        "says": seed.says,
        "starts": [
            {"name": start.name, "says": start.says, "at": at} for start, at in zip(seed.starts, starts, strict=True)
        ],
        "events": [event_plain(event) for event in seed.events],
        "givens": [{"says": given.says, "fields": dict(given.fields)} for given in seed.given],
        "fields": fields,
        "contexts": [[columns[field].of(json.dumps(one[field], sort_keys=True)) for field in fields] for one in shown],
        "values": [[json.loads(value) for value in columns[field].items] for field in fields],
        "effects": [json.loads(does) for does in effects.items],
        "reasons": [list(reason) for reason in reasons.items],
        "refusals": [list(why) for why in refusals.items],
        "moves": moves,
        "refused": refused,
        "outside": outside,
        "whole": all(after != NONE for taken in moves for _, after, _, _ in taken)
        and all(after != NONE for given in outside for _, after in given),
    }
    return {**told, "version": _digest(told)}


def _digest(told: Mapping[str, Any]) -> str:
    """Six letters that change when the meaning of a path may have changed: paths name starts and events by number."""
    parts = [told["starts"], told["events"], told["givens"]]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode("utf-8")).hexdigest()[:6]


def ways(told: Mapping[str, Any]) -> dict[str, str]:
    """For each row that some step takes, the fragment of the page's address that leads to it: a shortest way."""
    reached: dict[int, tuple[str, tuple[str, ...]]] = {}
    for start in told["starts"]:
        reached.setdefault(start["at"], (start["name"], ()))
    found: dict[str, str] = {}
    waiting = list(reached)
    for at in waiting:
        name, path = reached[at]
        steps = [(str(event), after, row) for event, after, row, _ in told["moves"][at]]
        steps += [(f"g{given}", after, "") for given, after in told["outside"][at]]
        for word, after, row in steps:
            if row and after != NONE:
                found.setdefault(row, fragment(told, name, (*path, word)))
            if after != NONE and after not in reached:
                reached[after] = name, (*path, word)
                waiting.append(after)
    return found


def fragment(told: Mapping[str, Any], start: str, steps: tuple[str, ...]) -> str:
    """The part of the page's address that names a path: ``explore/MACHINE@VERSION/START/STEPS``."""
    return f"explore/{told['machine']}@{told['version']}/{start}/{'.'.join(steps)}"
