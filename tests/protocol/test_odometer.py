"""Locks and counters: order, carry, reset, exhaustion."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superscalar_ref.errors import InputError, ProtocolError
from superscalar_ref.protocol.odometer import Odometer, relative_lock, states_along_path
from superscalar_ref.protocol.shape import NodeKind, Shape, Tree, grow


def tree(clients: int, arities: tuple[int, ...] = (2,), static: int = 0, leaf_k: int = 1) -> Tree:
    return grow(Shape.of(arities, static, leaf_k), [f"c{number}" for number in range(clients)])


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    clients = draw(st.integers(1, 12))
    arities = tuple(draw(st.lists(st.integers(2, 4), min_size=1, max_size=3)))
    return tree(clients, arities, draw(st.integers(0, 3)), draw(st.integers(1, 2)))


def test_the_usual_locks() -> None:
    assert [relative_lock(144, 4, index) for index in range(4)] == [432, 288, 144, 0]


@pytest.mark.parametrize(
    ("step", "states", "index", "code", "rule"),
    [
        (144, 500, 0, "LOCK_TOO_LONG", "R-LOCK-16-BIT"),
        (65_536, 2, 0, "LOCK_TOO_LONG", "R-LOCK-16-BIT"),
        (144, 4, 4, "BAD_INDEX", "R-ODOMETER"),
        (144, 4, -1, "BAD_INDEX", "R-ODOMETER"),
        (144, 0, 0, "BAD_INDEX", "R-ODOMETER"),
        (0, 4, 0, "BAD_STEP", "R-ODOMETER"),
        (-1, 4, 0, "BAD_STEP", "R-ODOMETER"),
    ],
)
def test_a_lock_that_makes_no_sense_is_refused(step: int, states: int, index: int, code: str, rule: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        relative_lock(step, states, index)
    assert (caught.value.code, caught.value.rule) == (code, rule)


@pytest.mark.parametrize(("step", "states", "index", "lock"), [(65_535, 2, 0, 65_535), (144, 500, 499, 0)])
def test_a_lock_that_just_fits(step: int, states: int, index: int, lock: int) -> None:
    assert relative_lock(step, states, index) == lock


@given(st.integers(1, 1000), st.integers(2, 60))
def test_a_newer_state_waits_one_step_less(step: int, states: int) -> None:
    locks = [relative_lock(step, states, index) for index in range(states)]
    assert locks[-1] == 0
    assert all(older - newer == step for older, newer in itertools.pairwise(locks))


def test_siblings_do_not_touch_each_other() -> None:
    before = Odometer.new(tree(2), 3)
    after = before.tick("r.0")
    assert (after.index("r"), after.index("r.0"), after.index("r.1")) == (0, 1, 0)
    assert before.index("r.0") == 0


def test_a_parent_that_ticks_restarts_all_below_and_nothing_else() -> None:
    wheel = Odometer.new(tree(8), 3).tick("r.0").tick("r.0.1").tick("r.1.0").tick("r.1")
    assert wheel.index("r.1") == 1
    assert wheel.index("r.1.0") == 0
    assert (wheel.index("r.0"), wheel.index("r.0.1")) == (1, 1)


def test_a_name_that_is_a_prefix_is_not_an_ancestor() -> None:
    wheel = Odometer.new(tree(12, (12,)), 3).tick("r.10").tick("r.11").tick("r.1")
    assert (wheel.index("r.1"), wheel.index("r.10"), wheel.index("r.11")) == (1, 1, 1)


def test_carry_goes_to_the_nearest_ancestor_with_states_left() -> None:
    wheel = Odometer.new(tree(4), 2).tick("r.0").tick("r.0.0")
    assert wheel.next_tick("r.0.1") == "r.0.1"
    assert wheel.next_tick("r.0.0") == "r"
    carried = wheel.advance("r.0.0")
    assert carried.versions_on_path("r.0.0") == (1, 0, 0)


def test_static_nodes_have_no_counter_and_are_passed_over() -> None:
    wheel = Odometer.new(tree(4, (2,), static=2), 2)
    assert wheel.versions_on_path("r.0.0") == (0,)
    assert wheel.versions_on_path("r.0") == ()
    assert wheel.next_tick("r.0") is None
    assert wheel.tick("r.0.0").next_tick("r.0.0") is None
    with pytest.raises(ProtocolError) as caught:
        wheel.tick("r.0")
    assert caught.value.code == "NO_COUNTER"


def test_what_cannot_move_is_refused_by_name() -> None:
    wheel = Odometer.new(tree(1), 2).tick("r")
    with pytest.raises(ProtocolError) as caught:
        wheel.tick("r")
    assert caught.value.code == "COUNTER_EXHAUSTED"
    with pytest.raises(ProtocolError) as caught:
        wheel.advance("r")
    assert caught.value.code == "ODOMETER_EXHAUSTED"
    with pytest.raises(InputError):
        wheel.next_tick("r.7")
    with pytest.raises(InputError):
        Odometer.new(tree(1), 0)


def test_exhausted_means_every_counter() -> None:
    wheel = Odometer.new(tree(2), 2)
    for path in ("r", "r.0"):
        wheel = wheel.tick(path)
        assert not wheel.exhausted
    assert wheel.tick("r.1").exhausted
    assert Odometer.new(tree(2), 1).exhausted


@given(trees(), st.integers(1, 3), st.data())
def test_a_path_runs_through_all_its_states_in_lexicographic_order(
    planted: Tree, states: int, data: st.DataObject
) -> None:
    leaf = data.draw(st.sampled_from(planted.leaves()))
    wheel = Odometer.new(planted, states)
    seen = [wheel.versions_on_path(leaf.path)]
    while wheel.next_tick(leaf.path) is not None:
        wheel = wheel.advance(leaf.path)
        seen.append(wheel.versions_on_path(leaf.path))
    assert len(seen) == states_along_path(states, planted.dw_layers_on_path(leaf.clients[0]))
    assert all(older < newer for older, newer in itertools.pairwise(seen))
    assert set(seen[-1]) == {states - 1}


@given(trees(), st.integers(2, 4), st.lists(st.integers(0, 50), max_size=40))
def test_of_two_versions_of_a_leaf_the_newer_has_the_smaller_lock_where_they_part(
    planted: Tree, states: int, picks: list[int]
) -> None:
    wheel = Odometer.new(planted, states)
    leaves = planted.leaves()
    history = {leaf.path: [wheel.versions_on_path(leaf.path)] for leaf in leaves}
    for pick in picks:
        path = leaves[pick % len(leaves)].path
        if wheel.next_tick(path) is None:
            continue
        wheel = wheel.advance(path)
        for leaf in leaves:
            versions = wheel.versions_on_path(leaf.path)
            if versions != history[leaf.path][-1]:
                history[leaf.path].append(versions)
    for past in history.values():
        for number, newer in enumerate(past):
            for older in past[:number]:
                index = next(at for at, pair in enumerate(zip(older, newer, strict=True)) if pair[0] != pair[1])
                assert relative_lock(1, states, newer[index]) < relative_lock(1, states, older[index])


@given(trees(), st.integers(2, 4), st.data())
def test_a_tick_changes_its_node_and_what_is_below(planted: Tree, states: int, data: st.DataObject) -> None:
    wheel = Odometer.new(planted, states)
    counted = [node.path for node in planted.nodes() if node.kind is not NodeKind.STATIC]
    for path in data.draw(st.lists(st.sampled_from(counted), max_size=10)):
        ticking = wheel.next_tick(path)
        if ticking is None:
            continue
        after = wheel.tick(ticking)
        for owner, index in wheel.indices:
            if owner == ticking:
                assert after.index(owner) == index + 1
            elif ticking in {node.path for node in planted.path_of(planted.node(owner))}:
                assert after.index(owner) == 0
            else:
                assert after.index(owner) == index
        wheel = after


def test_equal_histories_make_equal_hashable_odometers() -> None:
    planted = tree(4)
    one = Odometer.new(planted, 3).tick("r.0").tick("r.1")
    other = Odometer.new(planted, 3).tick("r.1").tick("r.0")
    assert one == other
    assert len({one, other}) == 1
