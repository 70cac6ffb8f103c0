"""The explorer's data: each answer is the core's, on contexts that are read back from the data alone."""

from __future__ import annotations

from typing import Any

import pytest

from superscalar_ref.conformance.adapter import reference_machines
from superscalar_ref.conformance.plain import actions_plain, context_from, event_from, plain, with_fields
from superscalar_ref.conformance.seeds import Seed, load_seed
from superscalar_ref.errors import Refused
from superscalar_ref.machine.step import Stepped, step
from superscalar_ref.site.graph import NONE, graph, ways

MOST = 60
MACHINES = tuple(reference_machines())


@pytest.fixture(scope="module")
def told() -> dict[str, dict[str, Any]]:
    return {name: graph(reference_machines()[name], seed(name), MOST) for name in MACHINES}


def seed(name: str) -> Seed:
    found = load_seed(reference_machines()[name])
    assert found is not None
    return found


def state(one: dict[str, Any], number: int) -> dict[str, Any]:
    return {field: one["values"][column][one["contexts"][number][column]] for column, field in enumerate(one["fields"])}


@pytest.mark.parametrize("name", MACHINES)
def test_each_answer_is_the_cores(name: str, told: dict[str, dict[str, Any]]) -> None:
    machine, one = reference_machines()[name], told[name]
    events = [event_from(event, "event") for event in one["events"]]
    assert len(one["contexts"]) == len(one["moves"]) == len(one["refused"]) == len(one["outside"])
    known = [state(one, number) for number in range(len(one["contexts"]))]
    for number, shown in enumerate(known):
        context = context_from(machine, shown, name)
        moves = {event: (after, row, effects) for event, after, row, effects in one["moves"][number]}
        why = one["refusals"][one["refused"][number]]
        for position, event in enumerate(events):
            answer: Stepped[Any] | Refused
            try:
                answer = step(machine, context, event)
            except Refused as refused:
                answer = refused
            except Exception:
                assert position not in moves
                assert why[position] == NONE
                continue
            if isinstance(answer, Refused):
                assert position not in moves
                assert one["reasons"][why[position]] == [answer.code, answer.rule, answer.detail]
                continue
            after, row, effects = moves[position]
            assert why[position] == NONE
            assert (row, one["effects"][effects]) == (answer.transition_id, actions_plain(answer.actions))
            if after == NONE:
                assert plain(answer.context) not in known
            else:
                assert known[after] == plain(answer.context)


@pytest.mark.parametrize("name", MACHINES)
def test_what_comes_from_outside_is_the_seeds(name: str, told: dict[str, dict[str, Any]]) -> None:
    machine, one = reference_machines()[name], told[name]
    for number, given in enumerate(one["outside"]):
        context = context_from(machine, state(one, number), name)
        for position, after in given:
            changed = with_fields(machine, context, one["givens"][position]["fields"], name)
            assert after == NONE or state(one, after) == plain(changed)


@pytest.mark.parametrize("name", MACHINES)
def test_each_way_ends_in_its_row(name: str, told: dict[str, dict[str, Any]]) -> None:
    one = told[name]
    starts = {start["name"]: start["at"] for start in one["starts"]}
    found = ways(one)
    assert found
    for row, way in found.items():
        word, machine, start, steps = way.split("/")
        assert (word, machine) == ("explore", f"{name}@{one['version']}")
        here, last = starts[start], ""
        for step_ in steps.split("."):
            if step_.startswith("g"):
                here, last = dict(one["outside"][here])[int(step_[1:])], ""
            else:
                here, last = next((after, r) for e, after, r, _ in one["moves"][here] if e == int(step_))
        assert last == row


def test_a_graph_says_whether_it_is_whole(told: dict[str, dict[str, Any]]) -> None:
    assert told["assisted_exit"]["whole"]
    assert not told["client"]["whole"]
    assert len(told["client"]["contexts"]) == MOST


def test_the_version_is_that_of_the_numbers_and_not_of_how_much_is_held(told: dict[str, dict[str, Any]]) -> None:
    machine = reference_machines()["client"]
    assert graph(machine, seed("client"), 5)["version"] == told["client"]["version"]
    shorter = Seed("client", "", seed("client").starts, seed("client").events[1:], seed("client").given)
    assert graph(machine, shorter, 5)["version"] != told["client"]["version"]
