"""Whole ceremonies in memory: parties, mail that is lost, doubled and reordered, crashes between any two actions.

``World`` raises ``Broken`` by itself: for a signature before its children or its record, a second message for one
outpoint and slot, a nonce used twice or kept, money in an unsigned tree, a refused event that changed something.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from superscalar_ref.machine.types import Event
from superscalar_ref.protocol.participant import Signer, deliver, durable, machines, own_steps, recover, with_tasks
from tests.protocol.scenes import DEPTH, LSP, Letter, World

CLIENTS = (("A",), ("A", "B"), ("A", "B", "C"))


@pytest.mark.parametrize("clients", CLIENTS)
def test_a_life_from_gathering_to_closed_without_one_refusal(clients: tuple[str, ...]) -> None:
    world = World(clients=clients).active()
    leaf = world.terms.tree.leaf_of(clients[-1]).path
    world.update(leaf).update("r").closed()
    assert world.refused == []
    assert world.broadcast == ["funding", "close"]


def test_a_leaf_shared_by_three_clients() -> None:
    world = World(clients=("A", "B", "C"), leaf_k=2).active().update("r").closed()
    assert world.refused == []


def test_every_transaction_of_every_kit_is_complete_and_signed_once() -> None:
    world = World(clients=("A", "B", "C")).active().update("r.0").update("r")
    plan = world.plans[world.factory.version]
    for name in world.parties:
        assert plan.kit(name) <= world.disk[name].held
    signed = Counter((who, action.name) for who, action in world.trace if action.kind == "sign")
    assert set(signed.values()) == {1}
    assert all(name != "funding" for _, name in signed)


def test_an_update_concerns_only_the_clients_below_its_node() -> None:
    world = World().active()
    before = world.parties["B"]
    world.update(world.terms.tree.leaf_of("A").path)
    assert world.parties["B"] == before


def test_a_collector_with_slower_children_keeps_the_partial_signatures_of_the_quicker() -> None:
    """A may sign the root's state as soon as its own child is complete; the LSP waits for both."""
    world = World()
    world.gathered().propose()
    slow: list[Letter] = []
    while world.mail:
        slow += [letter for letter in world.mail if letter.sender == "B" and letter.name == "partial"]
        world.mail = [letter for letter in world.mail if letter not in slow]
        if world.mail:
            world.post()
    state = next(t.name for t in world.first.templates if t.name.startswith("state:r@"))
    session = world.parties[LSP].signer.sessions[state]
    assert (session.status, session.partials) == ("nonces_in", frozenset("A"))
    world.mail += slow
    world.pump()
    assert world.factory.status == "signed"
    assert world.refused == []


@pytest.mark.parametrize("when", ["unopened", "open"])
def test_a_complete_signature_is_welcome_before_and_after_a_session_is_opened(when: str) -> None:
    world = World(clients=("A",)).gathered()
    world.propose()
    world.pump()
    name = "alternate:funding#0"
    world.disk["A"] = replace(world.disk["A"], held=world.disk["A"].held - {name})
    world.crash("A")
    world.with_plan("A", world.first)
    if when == "open":
        assert world.session("A", name, Event.of("open", "A", attempt=2))
        world.mail.clear()
    assert world.receive(Letter(LSP, "A", "signature", name, content=True))
    assert name in world.disk["A"].held


def test_an_event_for_no_session_and_a_refused_open_are_reported() -> None:
    world = World(clients=("A",)).gathered()
    lsp = replace(world.parties[LSP], signer=Signer(LSP))
    after, turn = deliver(machines(), lsp, [("nothing", Event.of("nonce", "A", attempt=1))])
    assert after == lsp
    assert [(error.rule, error.code) for error in turn.refused] == [("SES", "OUT_OF_TURN")]
    # Without sessions for its plan, an LSP hears that nothing could be opened.
    world.propose()
    world.parties[LSP] = replace(world.parties[LSP], signer=Signer(LSP))
    world.pump()
    assert {(error.machine, error.event) for error in world.refused} >= {("session", "open")}


def test_own_steps_take_nothing_that_the_table_does_not_allow() -> None:
    world = World().active()
    for party in world.parties.values():
        after, turn = own_steps(machines(), party)
        assert after == party
        assert turn.actions == ()


def test_recovery_keeps_what_is_durable_and_no_session() -> None:
    world = World().active()
    party = world.parties["A"]
    again = recover(durable(party))
    assert (again.life, again.signer.held, again.signer.records) == (
        party.life,
        party.signer.held,
        party.signer.records,
    )
    assert not again.signer.sessions
    task = world.first.tasks("A")[0]
    fresh = with_tasks(again.signer, [task])
    assert with_tasks(fresh, [replace(task, message="other")]) == fresh, "a session's task never changes"


def test_one_message_for_one_outpoint_and_slot_across_a_crash() -> None:
    world = World(clients=("A",)).active()
    world.crash("A")
    task = next(task for task in world.first.tasks("A") if task.transaction.startswith("state:"))
    world.parties["A"] = replace(
        world.parties["A"], signer=with_tasks(world.parties["A"].signer, [replace(task, message="another sighash")])
    )
    assert world.session("A", task.transaction, Event.of("open", "A", attempt=9))
    letter = Letter(LSP, "A", "aggregate_nonce", task.transaction, 9, frozenset())
    assert world.receive(letter)
    assert not world.session("A", task.transaction, Event.of("sign", "A"))
    assert world.refused[-1].guard == "spend_is_unrecorded"


def test_nothing_is_signed_once_the_tree_is_on_chain() -> None:
    world = World(clients=("A",)).active()
    assert world.begin_update("r")
    while not any(letter.name == "aggregate_nonce" for letter in world.mail):
        world.post()
    for name in ("A", LSP):
        assert world.seen(name, "tree_confirmed")
        statuses = {session.status for session in world.parties[name].signer.sessions.values()}
        assert not statuses & {"open", "nonces_in"}
    signed = [who for who, action in world.trace if action.kind == "sign"]
    world.pump()
    assert [who for who, action in world.trace if action.kind == "sign"] == signed
    assert (world.status("A"), world.status(LSP)) == ("exiting", "resolving")


@pytest.mark.parametrize("node", ["r", "r.0"])
def test_an_index_that_was_tried_stays_used_up(node: str) -> None:
    world = World().active()
    tried = world.begin_update(node)
    world.pump(3)
    assert world.live(LSP, Event.of("update_aborted", LSP))
    world.mail = [letter for letter in world.mail if letter.name == "update_aborted"]
    world.pump()
    for name in world.clients:
        if world.status(name) == "updating":
            world.live(name, Event.of("update_aborted", name))
    world.mail.clear()
    world.update(node)
    assert tried is not None
    assert world.factory.version != tried.version
    assert world.begin_update(node) is None
    assert world.refused[-1].guard == "index_left"


OPERATIONS = st.one_of(
    st.tuples(st.just("deliver"), st.integers(0, 7)),
    st.tuples(st.just("lose"), st.integers(0, 7)),
    st.tuples(st.just("double"), st.integers(0, 7)),
    st.tuples(st.just("run"), st.integers(1, 60)),
    st.tuples(st.just("crash"), st.integers(0, 3)),
    st.tuples(st.just("crash in"), st.integers(0, 12)),
    st.tuples(st.just("ask again"), st.just(0)),
)


def disturb(world: World, operations: list[tuple[str, int]]) -> None:
    """Let the network and the parties misbehave, without any malice."""
    for what, number in operations:
        if what == "crash":
            world.crash(sorted(world.parties)[number % len(world.parties)])
        elif what == "crash in":
            world.crash_in = number
        elif what == "ask again":
            world.resync()
        elif what == "run":
            world.pump(number)
        elif world.mail:
            place = number % len(world.mail)
            if what == "lose":
                world.mail.pop(place)
            elif what == "double":
                world.mail.append(world.mail[place])
            else:
                world.post(place)
    world.crash_in = None


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    clients=st.sampled_from(CLIENTS),
    eager=st.booleans(),
    first=st.lists(OPERATIONS, max_size=25),
    second=st.lists(OPERATIONS, max_size=20),
    third=st.lists(OPERATIONS, max_size=20),
    last=st.lists(OPERATIONS, max_size=15),
    node=st.sampled_from(["r", "leaf"]),
)
def test_whatever_is_lost_doubled_reordered_or_crashes_nothing_breaks_and_honest_parties_get_there(
    clients: tuple[str, ...],
    eager: bool,
    first: list[tuple[str, int]],
    second: list[tuple[str, int]],
    third: list[tuple[str, int]],
    last: list[tuple[str, int]],
    node: str,
) -> None:
    world = World(clients=clients)
    world.eager = eager
    world.invite()
    disturb(world, first)
    world.settle(lambda: world.factory.status == "signed")
    assert {world.status(name) for name in clients} == {"holding"}
    assert world.fund()
    world.funding_confirmed()
    for path, operations in ((world.terms.tree.leaf_of("A").path if node == "leaf" else "r", second), ("r", third)):
        plan = world.begin_update(path)
        assert plan is not None
        disturb(world, operations)
        world.settle(lambda: world.factory.status == "active")
        world.check_counted(plan)
    closing = world.begin_close()
    assert closing is not None
    disturb(world, last)
    world.settle(lambda: world.factory.status == "close_published")
    for name in (*clients, LSP):
        assert world.seen(name, "close_confirmed", depth=DEPTH)
