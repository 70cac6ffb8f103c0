"""How anything is measured here: rivals take turns in one process, and only their ratio is claimed.

A machine's speed changes from minute to minute, and everybody's machine is another one. So each repeat runs every rival
once, one after the other; the ratio is the median over the repeats of the ratio within a repeat.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median

Run = Callable[[], object]


@dataclass(frozen=True)
class Rival:
    """One way to do the work; ``prepare`` runs before each repeat and is not measured."""

    run: Run
    prepare: Run = lambda: None


@dataclass(frozen=True)
class Measured:
    """What one subject gave."""

    name: str
    says: str
    """What was done, with its size."""
    seconds: Mapping[str, float]
    """Rival → median time of one run (s); the first is the one that the others are compared with."""
    ratios: Mapping[str, float]
    """Rival → median ratio of its time to the first one's, within a repeat."""
    repeats: int
    rates: Mapping[str, float] = field(default_factory=dict)
    """What → number a second."""
    target: float | None = None
    """The most that every ratio should be; None where the ratio is for information."""


def compare(
    name: str,
    says: str,
    rivals: Mapping[str, Rival],
    repeats: int,
    counts: Mapping[str, tuple[str, int]] | None = None,
    target: float | None = None,
) -> Measured:
    """Let the rivals take turns ``repeats`` times, after one turn that does not count.

    ``counts`` says which rates to state: what → (rival, how many in one run).
    """
    taken: dict[str, list[float]] = {rival: [] for rival in rivals}
    for turn in range(repeats + 1):
        for label, rival in rivals.items():
            rival.prepare()
            seconds = once(rival.run)
            if turn:
                taken[label].append(seconds)
    seconds_of = {label: median(values) for label, values in taken.items()}
    base, *others = taken
    ratios = {
        label: median(mine / theirs for mine, theirs in zip(taken[label], taken[base], strict=True)) for label in others
    }
    rates = {what: number / seconds_of[rival] for what, (rival, number) in (counts or {}).items()}
    return Measured(name, says, seconds_of, ratios, repeats, rates, target)


def once(run: Run) -> float:
    """The time of one run (s), with the garbage of earlier ones collected first."""
    gc.collect()
    begun = time.perf_counter()
    run()
    return time.perf_counter() - begun
