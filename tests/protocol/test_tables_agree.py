"""For every state and event of the three tables: the strict ``transitions`` machine and the pure step do the same."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superscalar_ref.errors import Refused
from superscalar_ref.machine.agreement import assert_agree
from superscalar_ref.machine.step import BoundMachine, step
from superscalar_ref.machine.types import Event
from superscalar_ref.protocol.client import Client, Limits
from superscalar_ref.protocol.factory import Factory
from superscalar_ref.protocol.odometer import Odometer
from superscalar_ref.protocol.participant import machines
from superscalar_ref.protocol.session import Session, Task
from superscalar_ref.protocol.shape import Shape, grow

NAMES = frozenset({"x"})
MODEST: dict[str, Any] = {
    "given": 1,
    "bought": 1,
    "attempt": 1,
    "valid": False,
    "balance": 1,
    "depth": 1,
    "height": 0,
    "end": 1,
    "unspent": 1,
    "exit_blocks": 9,
    "shortest_lock": 3,
    "end_default": "inverted/none",
    "funding_claimed": "a",
    "funding_computed": "b",
    "version": "0.0",
    "digest": "one",
    "node": "r",
    "kit": NAMES,
    "to_sign": NAMES,
    "concerned": frozenset({"A"}),
}
GENEROUS: dict[str, Any] = {
    **MODEST,
    "attempt": 2,
    "valid": True,
    "balance": 5,
    "depth": 3,
    "height": 50,
    "end": 100,
    "unspent": 0,
    "exit_blocks": 2,
    "shortest_lock": 4,
    "end_default": "inverted/every",
    "funding_computed": "a",
    "version": "0.1",
    "digest": "two",
}
LATE: dict[str, Any] = {**GENEROUS, "height": 200}
TASK = Task("T", "m", "O:0", "state 0", frozenset("ABL"), "L", frozenset("ABL"), frozenset({"child"}))
TREE = grow(Shape.of([2]), ("A", "B"))


def events_of(machine: BoundMachine[Any], senders: Iterable[str], fields: Iterable[dict[str, Any]]) -> list[Event]:
    return [
        Event.of(name, by, **carried) for name, by, carried in product(machine.table.events, senders, tuple(fields))
    ]


def sessions() -> list[Session]:
    machine = machines().session
    contexts = []
    for state in machine.table.states:
        for me in ("L", "A"):
            bare = Session(state.name, me, TASK, attempt=1)
            full = replace(
                bare,
                nonce=1,
                nonces_made=1,
                attempt=2,
                nonces=frozenset({"B"}),
                partials=frozenset("AB") if me == "L" else frozenset(),
                held=frozenset({"child"}),
            )
            contexts += [
                bare,
                full,
                replace(full, partials=frozenset({"B"}), tree_on_chain=True),
                replace(
                    full, nonces=frozenset(), partials=frozenset(), records=frozenset({("O:0", "state 0", "other")})
                ),
            ]
    return contexts


def clients() -> list[Client]:
    limits = Limits(10, 2, 20, 3, 3)
    contexts = []
    for state in machines().client.table.states:
        bare = Client(state.name, "A", "L", limits, promised=5, owed=5, pending="0.0", pending_kit=NAMES)
        contexts += [bare, replace(bare, held=NAMES, owed=1, promised=1, version="0.0", newest_agreed="0.0")]
    return contexts


def factories() -> list[Factory]:
    contexts = []
    odometer = Odometer.new(TREE, 2)
    for state in machines().factory.table.states:
        bare = Factory(state.name, "L", frozenset("AB"), 3, 20, odometer=odometer, pending="0.0", digest="one")
        bare = replace(bare, concerned=frozenset("AB"), kit=NAMES, to_sign=NAMES)
        everyone = replace(bare, joined=frozenset("AB"), agreed=frozenset("AB"), complete=frozenset("AB"), held=NAMES)
        contexts += [bare, everyone, replace(everyone, odometer=odometer.tick("r"), pending="0.1", digest="two")]
    return contexts


CASES = (
    (machines().session, sessions(), ("A", "B", "L", "stranger")),
    (machines().client, clients(), ("A", "L", "chain", "stranger")),
    (machines().factory, factories(), ("A", "L", "chain", "clock", "stranger")),
)


@pytest.mark.parametrize(("machine", "contexts", "senders"), CASES, ids=[case[0].table.name for case in CASES])
def test_the_strict_machine_and_the_pure_step_agree_everywhere(
    machine: BoundMachine[Any], contexts: list[Any], senders: tuple[str, ...]
) -> None:
    agreement = assert_agree(machine, contexts, events_of(machine, senders, (MODEST, GENEROUS, LATE)))
    assert agreement.taken == {row.id for row in machine.table.transitions}, "every row is taken somewhere"
    assert agreement.refused > 100


@pytest.mark.parametrize(("machine", "contexts", "senders"), CASES, ids=[case[0].table.name for case in CASES])
def test_an_event_without_a_row_is_refused_in_every_state(
    machine: BoundMachine[Any], contexts: list[Any], senders: tuple[str, ...]
) -> None:
    pairs = 0
    for context in contexts:
        for event in events_of(machine, senders, (GENEROUS,)):
            if machine.candidates(context.status, event.name):
                continue
            pairs += 1
            with pytest.raises(Refused) as caught:
                step(machine, context, event)
            assert (caught.value.guard, caught.value.code) == (None, "OUT_OF_TURN")
            assert (caught.value.state, caught.value.event) == (context.status, event.name)
    assert pairs > 100


@pytest.mark.parametrize(("machine", "contexts", "senders"), CASES, ids=[case[0].table.name for case in CASES])
def test_a_final_state_takes_nothing_and_every_other_state_something(
    machine: BoundMachine[Any], contexts: list[Any], senders: tuple[str, ...]
) -> None:
    for state in machine.table.states:
        assert bool(machine.table.leaving(state.name)) != state.final


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_generated_sessions_agree(data: st.DataObject) -> None:
    machine = machines().session
    some = st.frozensets(st.sampled_from("AB"))
    context = data.draw(
        st.builds(
            Session,
            status=st.sampled_from([state.name for state in machine.table.states]),
            me=st.sampled_from("AL"),
            task=st.just(TASK),
            nonce=st.integers(0, 2),
            attempt=st.integers(0, 2),
            nonces_made=st.integers(0, 2),
            nonces=some,
            partials=some,
            held=st.frozensets(st.sampled_from(["child", "other"])),
            records=st.frozensets(st.sampled_from([("O:0", "state 0", "m"), ("O:0", "state 0", "n")])),
            tree_on_chain=st.booleans(),
        )
    )
    every = [replace(context, status=state.name) for state in machine.table.states]
    fields = {"attempt": data.draw(st.integers(0, 3)), "valid": data.draw(st.booleans())}
    assert_agree(machine, every, events_of(machine, ("A", "B", "L"), (fields,)))
