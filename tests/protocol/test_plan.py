"""Exit numbers against sums made by hand, the ceiling, and the nearest shape against a search through all."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superscalar_ref.errors import InputError, ProtocolError
from superscalar_ref.protocol.plan import Limits, Plan, Timing, nearest, plan
from superscalar_ref.protocol.shape import MAX_OUTPUTS, Shape
from superscalar_ref.protocol.weight import key_path_vbytes

USUAL = Timing(144, 4)
LIMITS = Limits(2016, 150)


def planned(clients: int, shape: Shape, timing: Timing = USUAL, limits: Limits = LIMITS, feerate: int = 1) -> Plan:
    return plan(shape, [f"c{number}" for number in range(clients)], timing, limits, feerate)


def test_an_exit_adds_up() -> None:
    result = planned(64, Shape.of([2, 4, 8], static=2), feerate=3)
    vbytes = key_path_vbytes(2) + key_path_vbytes(4) + (124 + key_path_vbytes(8)) + (124 + key_path_vbytes(2))
    for number, exit_ in enumerate(result.exits):
        assert exit_.client == f"c{number}"
        assert exit_.transactions == 1 + 1 + 2 + 2
        assert exit_.lock_blocks == 2 * 432
        assert exit_.exit_blocks == 2 * 432 + 6
        assert exit_.vbytes == vbytes
        assert exit_.fee_sat == 3 * vbytes
        assert exit_.dragged == ()
    assert (result.dw_layers, result.worst_lock_blocks, result.worst_exit_blocks) == (2, 864, 870)


def test_in_a_ragged_tree_exits_differ() -> None:
    result = planned(3, Shape.of([2]))
    assert [exit_.transactions for exit_ in result.exits] == [6, 6, 4]
    assert [exit_.exit_blocks for exit_ in result.exits] == [1302, 1302, 868]
    assert result.worst_exit_blocks == 1302


def test_leaf_mates_are_dragged_and_nobody_else() -> None:
    result = planned(8, Shape.of([2], leaf_k=2))
    dragged = {exit_.client: exit_.dragged for exit_ in result.exits}
    assert dragged["c1"] == ("c0", "c2", "c3")
    assert dragged["c4"] == ("c5", "c6", "c7")


def test_one_state_a_layer_has_no_locks() -> None:
    result = planned(2, Shape.of([2]), Timing(144, 1))
    assert (result.worst_lock_blocks, result.worst_exit_blocks) == (0, 4)


@pytest.mark.parametrize(
    ("make", "place", "rule"),
    [
        (lambda: Timing(0, 4), "step", "R-SHAPE"),
        (lambda: Timing(-144, 4), "step", "R-SHAPE"),
        (lambda: Timing(144, 0), "states", "R-SHAPE"),
        (lambda: Timing(144, 500), "step × (states − 1)", "R-LOCK-16-BIT"),
        (lambda: Timing(65_536, 2), "step × (states − 1)", "R-LOCK-16-BIT"),
        (lambda: Limits(0, 0), "ceiling", "R-EXIT-CEILING"),
        (lambda: Limits(2016, -1), "margin", "R-EXIT-CEILING"),
        (lambda: planned(2, Shape.of([2]), feerate=-1), "feerate", "R-SHAPE"),
    ],
)
def test_a_number_that_makes_no_sense_is_one_error_with_its_place(make, place: str, rule: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError) as caught:
        make()
    assert (caught.value.place, caught.value.rule, caught.value.exit_code) == (place, rule, 2)


def test_the_longest_lock_just_fits() -> None:
    assert Timing(65_535, 2).longest_lock == 65_535


@pytest.mark.parametrize(("ceiling", "fits"), [(1302 + 150, True), (1302 + 149, False)])
def test_the_ceiling_is_compared_with_exit_and_margin(ceiling: int, fits: bool) -> None:
    result = planned(4, Shape.of([2]), limits=Limits(ceiling, 150))
    assert result.fits is fits
    if fits:
        result.require_fit()
        return
    with pytest.raises(ProtocolError) as caught:
        result.require_fit()
    assert (caught.value.rule, caught.value.code) == ("R-EXIT-CEILING", "EXIT_TOO_LONG")
    assert "1302 blocks" in str(caught.value)
    assert "1451" in str(caught.value)


def test_the_nearest_of_the_binary_tree_of_127_clients() -> None:
    found = nearest(planned(127, Shape.of([2])))
    assert found is not None
    assert found.changes == 4
    assert (found.arities, found.static) == ((8, 4, 4), 0)
    assert found.arguments(127) == "--clients 127 --arity 8,4,4 --static 0 --leaf-k 1 --step 144 --states 4"
    assert planned(127, found.shape).fits


def test_static_levels_are_nearer_when_that_takes_fewer_changes() -> None:
    found = nearest(planned(8, Shape.of([8]), limits=Limits(435, 0)))
    assert found is not None
    assert (found.arities, found.static, found.changes) == ((8,), 1, 1)
    assert found.words == "make the top level static (now 0)"


def test_wider_levels_are_nearer_when_that_takes_fewer_changes() -> None:
    found = nearest(planned(16, Shape.of([1, 1, 2]), limits=Limits(1302, 0)))
    assert found is not None
    assert found.arities == (4, 4, 2)
    assert (found.changes, found.static) == (4, 0)


def test_a_plan_that_fits_is_its_own_nearest() -> None:
    found = nearest(planned(8, Shape.of([2, 3], static=1)))
    assert found is not None
    assert (found.arities, found.static, found.changes, found.words) == ((2, 3), 1, 0, "")


def test_when_no_shape_fits_the_timing_gives_way() -> None:
    found = nearest(planned(4, Shape.of([2]), Timing(1000, 4)))
    assert found is not None
    assert found.timing == Timing(500, 4)
    assert "a step of 500 blocks instead of 1000" in found.words
    assert planned(4, found.shape, found.timing).fits
    fewer = nearest(planned(4, Shape.of([2]), Timing(144, 14)))
    assert fewer is not None
    assert fewer.timing == Timing(144, 13)
    assert "13 states a layer instead of 14" in fewer.words


def test_when_nothing_fits_there_is_no_nearest() -> None:
    assert nearest(planned(4, Shape.of([2]), limits=Limits(150, 150))) is None
    assert nearest(planned(4, Shape.of([2]), limits=Limits(3, 0))) is None
    smallest = nearest(planned(4, Shape.of([2]), limits=Limits(4, 0)))
    assert smallest is not None
    assert smallest.timing == Timing(1, 2)


def search(clients: int, shape: Shape, limits: Limits) -> int | None:
    """Fewest changes to a shape that fits, by trying every one of up to five: the definition, nothing cleverer."""
    arities = [level.arity for level in shape.levels]
    depth = 6
    levels = [*arities, *[arities[-1]] * (depth - len(arities))]
    best: int | None = None
    for changes in product(range(4), repeat=depth + 1):
        total = sum(changes)
        if total > 5 or (best is not None and total >= best):
            continue
        wider = [arity * 2**times for arity, times in zip(levels, changes[1:], strict=True)]
        if (
            max(wider) <= MAX_OUTPUTS
            and planned(clients, Shape.of(wider, shape.static_levels + changes[0], shape.leaf_k), limits=limits).fits
        ):
            best = total
    return best


@settings(max_examples=12, deadline=None)
@given(
    st.integers(2, 40),
    st.lists(st.integers(2, 4), min_size=1, max_size=3),
    st.integers(0, 1),
    st.integers(1, 2),
    st.sampled_from([870, 1300, 1310, 2016]),
)
def test_nothing_is_nearer_than_the_nearest(
    clients: int, arities: list[int], static: int, leaf_k: int, ceiling: int
) -> None:
    limits = Limits(ceiling, 0)
    shape = Shape.of(arities, static, leaf_k)
    found = nearest(planned(clients, shape, limits=limits))
    assert found is not None
    assert planned(clients, found.shape, limits=limits).fits
    searched = search(clients, shape, limits)
    assert found.changes == searched if searched is not None else found.changes > 5


@given(
    st.integers(1, 300),
    st.lists(st.integers(2, 9), min_size=1, max_size=4),
    st.integers(0, 4),
    st.integers(1, 4),
    st.integers(1, 300),
    st.integers(1, 40),
)
def test_whatever_is_asked_for_the_nearest_fits_and_changes_nothing_needlessly(
    clients: int, arities: list[int], static: int, leaf_k: int, step: int, states: int
) -> None:
    shape, timing = Shape.of(arities, static, leaf_k), Timing(step, states)
    result = planned(clients, shape, timing)
    found = nearest(result)
    assert found is not None
    assert planned(clients, found.shape, found.timing).fits
    assert (found.changes == 0 and found.timing == timing) == result.fits
    assert found.leaf_k == leaf_k
    assert found.static >= shape.static_levels
    assert found.timing.step_blocks <= step
    assert found.timing.states <= states
