"""Layer L3: what a party owns at the end tells a right one from a wrong one, whatever it says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from superscalar_ref.conformance import kit
from superscalar_ref.conformance.adapter import TableAdapter, reference_machines
from superscalar_ref.conformance.judge import Result, Verdict, greet, judge
from superscalar_ref.conformance.liars import KeepsEverything, StoresNothing, WithoutRule
from superscalar_ref.conformance.mutants import mutants
from superscalar_ref.conformance.runner import LocalRunner
from superscalar_ref.errors import InputError
from superscalar_ref.protocol.strategy import load_strategy

Test = dict[str, Any]


@pytest.fixture(scope="module")
def stories() -> dict[str, Test]:
    return {test["id"]: test for test in kit.load_tests(["L3"])}


def judged(adapter: TableAdapter, test: Test) -> Result:
    runner = LocalRunner(adapter)
    return judge(runner, greet(runner), test)


def wrong_tower(fault: str) -> TableAdapter:
    machine = reference_machines()["watchtower"]
    mutant = next(one for one in mutants(machine.table) if one.id == fault)
    return TableAdapter({"watchtower": mutant.bound(machine)}, fault)


class Decides(TableAdapter):
    """The reference, whose decisions somebody else takes."""

    def __init__(self) -> None:
        super().__init__(reference_machines())

    def _eval(self, request: Mapping[str, Any]) -> dict[str, Any]:
        return {"ok": {"publish": self.publish(request["args"])}}

    def publish(self, view: Mapping[str, Any]) -> Any:
        return []


class Hasty(Decides):
    """It publishes whatever it holds."""

    def publish(self, view: Mapping[str, Any]) -> Any:
        return [one["name"] for one in view["held"]]


class OldestFirst(Decides):
    """Of the states that it holds it publishes only the one that waits longest."""

    def publish(self, view: Mapping[str, Any]) -> Any:
        locks = [one["spends"][0]["relative_lock_blocks"] for one in view["held"] if one["kind"] == "state"]
        return [
            one["name"]
            for one in view["held"]
            if one["kind"] != "state" or one["spends"][0]["relative_lock_blocks"] == max(locks)
        ]


def test_every_rule_of_the_strategy_is_missed_by_an_outcome(stories: dict[str, Test]) -> None:
    for rule in load_strategy().rules:
        if rule.roles == ("tower",):
            continue  # A tower is played by its table.
        about = [test for test in stories.values() if rule.id in test["rules"]]
        lost = [test["id"] for test in about if judged(WithoutRule({}, rule.id), test).verdict is Verdict.FAIL]
        assert lost, rule.id


@pytest.mark.parametrize(
    ("adapter", "story", "code"),
    [
        (Decides(), "outcome-client-leaves-alone", "TOO_LITTLE"),
        (Hasty(), "outcome-client-stays-while-all-is-well", "HARMFUL"),
        (OldestFirst(), "outcome-client-newest-state-wins", "HARMFUL"),
        (wrong_tower("WTW-3/missing"), "outcome-tower-newest-state-wins", "HARMFUL"),
        (wrong_tower("WTW-4/missing"), "outcome-tower-poison", "HARMFUL"),
        (wrong_tower("WTW-1/without-effect/keep_entry"), "outcome-tower-alternate-at-the-end", "TOO_LITTLE"),
        (StoresNothing(reference_machines()), "outcome-tower-crashes-in-every-block", "HARMFUL"),
        (wrong_tower("WTW-3/without-effect/note_confirmed"), "outcome-tower-crashes-in-every-block", "HARMFUL"),
    ],
    ids=lambda value: getattr(value, "_name", None) or str(value),
)
def test_who_is_wrong_loses(adapter: TableAdapter, story: str, code: str, stories: dict[str, Test]) -> None:
    result = judged(adapter, stories[story])
    assert (result.verdict, result.code) == (Verdict.FAIL, code)


def test_only_the_outcome_counts(stories: dict[str, Test]) -> None:
    # Whoever keeps more over a crash than it must, or tries in vain what Core refuses, loses nothing.
    kept = judged(KeepsEverything(reference_machines()), stories["outcome-tower-crashes-in-every-block"])
    hasty = judged(Hasty(), stories["outcome-client-alternate-at-the-end"])
    assert (kept.verdict, hasty.verdict) == (Verdict.PASS, Verdict.PASS)


@pytest.mark.parametrize("publish", [None, "state", [7], {}])
def test_an_answer_of_the_wrong_form_is_a_fault(publish: object, stories: dict[str, Test]) -> None:
    class Odd(Decides):
        def publish(self, view: Mapping[str, Any]) -> Any:
            return publish

    result = judged(Odd(), stories["outcome-client-leaves-alone"])
    assert (result.verdict, result.code) == (Verdict.ERROR, "BAD_REPLY")


def test_a_story_that_cannot_be_played_is_the_corpus_s_fault(stories: dict[str, Test]) -> None:
    test = stories["outcome-client-leaves-alone"]
    coinless = {**test, "story": {**test["story"], "coins": [{"amount_sat": 1, "script_pubkey": "51"}]}}
    with pytest.raises(InputError, match="nothing makes"):
        judged(TableAdapter(reference_machines()), coinless)
    missing = {**test, "story": {**test["story"], "transactions": test["story"]["transactions"][1:]}}
    with pytest.raises(InputError, match="nothing makes"):
        judged(TableAdapter(reference_machines()), missing)


def test_who_does_not_declare_the_decision_is_not_asked(stories: dict[str, Test]) -> None:
    class Narrow(TableAdapter):
        def _hello(self, request: Mapping[str, Any]) -> dict[str, Any]:
            reply = super()._hello(request)
            reply["ok"]["functions"] = ["dw.nsequence"]
            return reply

    narrow = Narrow(reference_machines())
    assert judged(narrow, stories["outcome-client-leaves-alone"]).verdict is Verdict.SKIPPED
    assert judged(narrow, stories["outcome-tower-poison"]).verdict is Verdict.PASS
