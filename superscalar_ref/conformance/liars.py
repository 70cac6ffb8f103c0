"""The kit is tested by liars: wrong tables and wrong habits run as adapters, and a named vector must reject each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from superscalar_ref.conformance.adapter import TableAdapter
from superscalar_ref.conformance.functions import Rejected, ViewForm, decided
from superscalar_ref.conformance.judge import DECIDERS, Verdict, greet, judge
from superscalar_ref.conformance.mutants import mutants
from superscalar_ref.conformance.plain import plain
from superscalar_ref.conformance.runner import LocalRunner
from superscalar_ref.machine.step import BoundMachine
from superscalar_ref.protocol.strategy import load_strategy
from superscalar_ref.spec.survivors import load_argued, reason_of


class KeepsEverything(TableAdapter):
    """What it had in memory is there after a crash too, nonces included."""

    def _restart(self, request: Mapping[str, Any]) -> dict[str, Any]:
        return {"ok": {"state": plain(self._nodes[request["node"]][1])}}


class StoresNothing(TableAdapter):
    """It says that something is durable, and does not store it."""

    def _step(self, request: Mapping[str, Any]) -> dict[str, Any]:
        stored = self._stored[request["node"]]
        reply = super()._step(request)
        self._stored[request["node"]] = stored
        return reply


class SendsAstray(TableAdapter):
    """Its last message of a step goes to somebody else."""

    def _step(self, request: Mapping[str, Any]) -> dict[str, Any]:
        reply = super()._step(request)
        sent = [effect for effect in reply.get("ok", {}).get("effects", ()) if effect["kind"] == "send"]
        if sent:
            sent[-1]["to"] = "somebody else"
        return reply


class SendsFirst(TableAdapter):
    """It sends before it stores."""

    def _step(self, request: Mapping[str, Any]) -> dict[str, Any]:
        reply = super()._step(request)
        if "ok" in reply:
            reply["ok"]["effects"].sort(key=lambda effect: effect["kind"] != "send")
        return reply


class MovesWhenItRefuses(TableAdapter):
    """A refused event changes its state."""

    def _step(self, request: Mapping[str, Any]) -> dict[str, Any]:
        reply = super()._step(request)
        if "reject" in reply:
            machine, _ = self._nodes[request["node"]]
            reply["state"]["status"] = next(s.name for s in machine.table.states if s.name != reply["state"]["status"])
        return reply


class RefusesNothing(TableAdapter):
    """It takes every event, and does nothing for those that it should refuse."""

    def _step(self, request: Mapping[str, Any]) -> dict[str, Any]:
        reply = super()._step(request)
        return {"ok": {"state": reply["state"], "effects": []}} if "reject" in reply else reply


class WithoutRule(TableAdapter):
    """It lacks one rule of the strategy."""

    def __init__(self, machines: Mapping[str, BoundMachine[Any]], rule: str) -> None:
        super().__init__(machines, f"without {rule}")
        self._strategy = load_strategy().without(rule)

    def _eval(self, request: Mapping[str, Any]) -> dict[str, Any]:
        if request["fn"] != "strategy.decide":
            return super()._eval(request)
        try:
            return {"ok": decided(msgspec.convert(request["args"], ViewForm), self._strategy)}
        except Rejected as rejected:
            return {"reject": {"code": rejected.code}}


HABITS: tuple[type[TableAdapter], ...] = (
    KeepsEverything,
    StoresNothing,
    SendsAstray,
    SendsFirst,
    MovesWhenItRefuses,
    RefusesNothing,
)
"""What an implementation may do wrong with every table right."""


@dataclass(frozen=True)
class Caught:
    """A liar, and the first vector that rejects it; empty when none does."""

    liar: str
    says: str
    by: str
    argued: str = ""
    """Why no vector can: it does the same as the right table (``spec/survivors.toml``)."""


def unmask(machines: Mapping[str, BoundMachine[Any]], tests: Sequence[Mapping[str, Any]]) -> Iterator[Caught]:
    """Run every liar until a vector rejects it. Vectors that name its row come first. Raises SpecError."""
    argued = load_argued()
    transcripts = [test for test in tests if "steps" in test]
    for habit in HABITS if transcripts else ():
        says = " ".join((habit.__doc__ or "").split())
        yield Caught(habit.__name__, says, _rejecting(habit(machines, habit.__name__), transcripts))
    decisions = [test for test in tests if test.get("fn") == "strategy.decide" or test.get("role") in DECIDERS]
    for rule in load_strategy().rules if decisions else ():
        # An outcome that is lost says more than a decision that is another one.
        ordered = sorted(decisions, key=lambda test: (rule.id not in test["rules"], "story" not in test))
        by = _rejecting(WithoutRule(machines, rule.id), ordered)
        yield Caught(f"{rule.id}/missing", f"without the rule: {rule.says}", by)
    for name, machine in machines.items():
        own = [test for test in transcripts if test["profile"] == name]
        if not own:
            continue
        for mutant in mutants(machine.table):
            liar = TableAdapter({name: mutant.bound(machine)}, mutant.id)
            ordered = sorted(own, key=lambda test: (mutant.id not in test["hunts"], mutant.row not in test["rules"]))
            by = _rejecting(liar, ordered)
            yield Caught(mutant.id, mutant.says, by, "" if by else reason_of(argued, mutant.fault))


def _rejecting(liar: TableAdapter, tests: Sequence[Mapping[str, Any]]) -> str:
    runner = LocalRunner(liar)
    profile = greet(runner)
    fine = (Verdict.PASS, Verdict.SKIPPED)
    return next((test["id"] for test in tests if judge(runner, profile, test).verdict not in fine), "")
