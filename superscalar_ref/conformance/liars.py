"""The kit is tested by liars: each wrong table runs as an adapter, and a named vector must reject it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from superscalar_ref.conformance.adapter import TableAdapter
from superscalar_ref.conformance.judge import Verdict, greet, judge
from superscalar_ref.conformance.mutants import mutants
from superscalar_ref.conformance.runner import LocalRunner
from superscalar_ref.machine.step import BoundMachine


@dataclass(frozen=True)
class Caught:
    """A liar, and the first vector that rejects it; empty when none does."""

    liar: str
    says: str
    by: str


def unmask(machines: Mapping[str, BoundMachine[Any]], tests: Sequence[Mapping[str, Any]]) -> Iterator[Caught]:
    """Run every liar until a vector rejects it. Vectors that name its row come first."""
    for name, machine in machines.items():
        own = [test for test in tests if test["profile"] == name]
        if not own:
            continue
        for mutant in mutants(machine.table):
            runner = LocalRunner(TableAdapter({name: mutant.bound(machine)}, mutant.id))
            profile = greet(runner)
            ordered = sorted(own, key=lambda test: (mutant.id not in test["hunts"], mutant.row not in test["rules"]))
            by = next((test["id"] for test in ordered if judge(runner, profile, test).verdict is not Verdict.PASS), "")
            yield Caught(mutant.id, mutant.says, by)
