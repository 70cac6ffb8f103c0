"""The days in numbers: every satoshi, the lots, what is kept in memory, and what is refused."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from superscalar_ref.business.assume import Assumptions
from superscalar_ref.business.cohort import PATHS, WHOLE, Cohort, profile, total
from superscalar_ref.business.days import Answers, Drawn, Ladders, run, successes
from superscalar_ref.business.figures import figures, inputs, worth_price
from superscalar_ref.errors import InputError, SuperscalarError
from superscalar_ref.protocol.ladder import Pace
from superscalar_ref.protocol.plan import Limits, Timing
from superscalar_ref.protocol.plan import plan as plan_tree
from superscalar_ref.protocol.shape import Shape
from superscalar_ref.scenario.settings import plan_of
from superscalar_ref.scenario.town import Plan
from superscalar_ref.spec.load import load_parameters
from tests.scenario.plans import small

PACE = Pace(active=20, dying=10, day=10)


def plan(clients: int = 3, leaf_k: int = 1) -> Plan:
    made = small(clients)
    return replace(made, shape=Shape.of([2], 0, leaf_k), locks=replace(made.locks, end=140))


def some(**changes: object) -> Assumptions:
    return replace(Assumptions(plan(), PACE, clients=40, days=20, online=0.6), **changes)  # type: ignore[arg-type]


@settings(max_examples=15, deadline=None)
@drawn(
    st.floats(0, 1),
    st.floats(0, 1),
    st.floats(0, 1),
    st.integers(0, 300),
    st.sampled_from([WHOLE, PATHS]),
    st.integers(9, 60),
    st.integers(1, 2),
)
def test_no_satoshi_is_lost_or_made_on_any_day(
    online: float, meet: float, leaves: float, price: int, how: str, clients: int, leaf_k: int
) -> None:
    base = some(online=online, meet=meet, leaves=leaves, price=price, how=how, clients=clients, plan=plan(4, leaf_k))
    rows = list(run(replace(base, days=9)))
    assert all(row.conserved for row in rows)
    held = {row.locked + row.balances for row in rows[3:]}
    assert len(held) == 1, "as many clients are always there"
    assert rows[0].capital > 0


def test_the_amounts_of_a_row_are_what_they_are_called() -> None:
    rows = list(run(some(sells=0.5)))
    factories = some().ladders * 3
    assert {row.running for row in rows[3:]} == {factories}
    assert {row.balances for row in rows[3:]} == {40 * 50_000}
    full = sum(row.bought for row in rows[10:16]) / 6
    # Half the stock of the factories of a day: three days' factories hold 40 clients' stock.
    assert full == pytest.approx(40 / 3 * 100_000 / 2, rel=0.2)
    assert all(row.sold + row.stock == rows[3].sold + rows[3].stock for row in rows[3:])


def test_a_seed_gives_the_same_days_and_another_gives_others() -> None:
    assert list(run(some())) == list(run(some()))
    assert list(run(some(seed="2"))) != list(run(some()))
    # A longer run begins as a shorter one.
    assert list(run(some(days=30)))[:20] == list(run(some()))


@pytest.mark.parametrize("probability", [0.001, 0.3, 0.9])
def test_lots_fall_as_often_as_they_should(probability: float) -> None:
    lots, found = random.Random("lots"), [0] * 50
    for _ in range(4_000):
        places = successes(lots, 50, probability)
        assert all(a < b for a, b in pairwise(places))
        for place in places:
            found[place] += 1
    assert sum(found) == pytest.approx(200_000 * probability, rel=0.2)
    # No place is preferred.
    assert max(found) < 4_000 * probability + 6 * (4_000 * probability) ** 0.5


def test_the_ends_of_a_probability() -> None:
    lots = random.Random(1)
    assert successes(lots, 5, 0) == ()
    assert successes(lots, 5, 1) == (0, 1, 2, 3, 4)
    given = some(online=1.0, meet=0.5)
    assert not any(Drawn(given)(born, 0, 20).missed for born in range(20))
    assert any(Drawn(given)(born, 0, 20).late for born in range(20))
    assert some(online=0.5).misses == 0.5
    assert replace(some(online=0.5), pace=Pace(20, 30, day=10)).misses == 0.125


def test_memory_grows_with_neither_clients_nor_days() -> None:
    def kept(clients: int, days: int) -> tuple[int, int, int, int]:
        ladders = Ladders.start(some(clients=clients, days=days, online=0.3))
        for _ in range(days):
            ladders.step()
        held = (ladders.begun, ladders.cohorts, ladders.priced, {**ladders.exits, **ladders.ends})
        return len(held[0]), len(held[1]), len(held[2]), len(held[3])

    few, many, longer = kept(100, 12), kept(10_000, 12), kept(100, 60)
    assert few[0] == many[0] == longer[0] == 0
    assert max(few[1], many[1], longer[1]) <= 2
    steps = sum(len(Cohort(plan(), PACE, size).steps) for size in (2, 3))
    assert max(few[2], many[2], longer[2]) <= steps
    # An exit takes 25 blocks, and a day has 10.
    assert max(few[3], many[3], longer[3]) <= 4


def test_an_exit_has_the_planners_transactions() -> None:
    made = plan_of(1, 20, (4, 2), 1)
    cohort = Cohort(made, Pace(4_320, 432), 20)
    planned = plan_tree(made.shape, cohort.clients, Timing(144, 4), Limits(2016, 150), 1)
    tree = [one for one in cohort.published([3]) if one.name.startswith(("kickoff", "state"))]
    assert len(tree) == planned.tree.transactions
    path = [one for one in cohort.published([3], PATHS) if one.name.startswith(("kickoff", "state"))]
    assert (len(path), sum(one.vbytes for one in path)) == (planned.exits[3].transactions, planned.exits[3].vbytes)
    # An absent client's own two, its stock's, and what the others' keys take at once.
    rest = [one.name.split(":")[0] for one in cohort.published([3], PATHS) if one not in path]
    assert sorted(set(rest)) == ["commitment", "expiry", "sweep", "take"]
    assert cohort.published([]) == cohort.published([], PATHS) == ()
    assert len(cohort.published(range(20), PATHS)) == len(cohort.published(range(20)))


@pytest.mark.parametrize("price", [0, 1, 7])
@pytest.mark.parametrize("absent", [(0,), (1, 2), (0, 1, 2, 3, 4)])
def test_an_exit_pays_out_the_funding_output(price: int, absent: tuple[int, ...]) -> None:
    cohort = Cohort(plan(5, 2), PACE, 5)
    for how in (WHOLE, PATHS):
        paid = total(profile(cohort.published(absent, how), price))
        assert paid.spent == cohort.funding
        assert paid.to_clients == (5 if how == WHOLE else len(absent)) * 50_000
        assert paid.fees >= price * paid.vbytes


def test_waiting_is_cheaper_just_above_the_price_that_is_said() -> None:
    cohort = Cohort(plan(), PACE, 3)
    price = worth_price(cohort)

    def cost(at: int) -> int:
        return cohort.locked - total(profile(cohort.published([0]), at)).to_lsp

    assert cost(price) <= cohort.forfeit < cost(price + 1)
    assert cohort.forfeit == 3 * 200_000


def test_one_who_stays_away_drags_the_others_only_where_the_whole_tree_is_published() -> None:
    def lot(born: int, ladder: int, size: int) -> Answers:
        return Answers((0,), (1,), 1) if born == 0 else Answers()

    whole, paths = (list(run(some(clients=9, how=how, days=8), lot)) for how in (WHOLE, PATHS))
    assert (whole[3].dragged, whole[3].missed, whole[3].late, whole[3].left) == (1, 1, 1, 0)
    assert (paths[3].dragged, paths[3].missed, paths[3].late, paths[3].left) == (0, 1, 1, 1)
    assert sum(row.exit_vbytes for row in whole) > sum(row.exit_vbytes for row in paths)
    assert (whole[-1].at_rest, paths[-1].at_rest) == (3 * 50_000, 3 * 50_000)
    assert whole[-1].returning == paths[-1].returning == 0
    assert whole[-1].exiting == paths[-1].exiting == 0


def test_a_figure_names_a_rule_that_there_is(known_ids: frozenset[str]) -> None:
    rows = list(run(some()))
    found = [*inputs(some()), *figures(some(), rows)]
    assert len({one.name for one in found}) == len(found)
    for one in found:
        sources = one.source.split(", ")
        assert all(source in known_ids or source.startswith(("BIP-", "protocol.md §", "D-")) for source in sources), one
    by_name = {one.name: one.value for one in found}
    steady = rows[3:]
    assert by_name["day_vbytes"] == sum(row.vbytes for row in steady) / len(steady)
    assert by_name["outputs_per_user"] == by_name["outputs_with"] / 40
    assert by_name["missed"] == sum(row.missed for row in steady) / sum(row.ended for row in steady)
    # Before any factory ends a mean is over what there is.
    assert {one.name: one.value for one in figures(some(days=2), rows[:2])}["steady_days"] == 0
    with pytest.raises(ValueError, match="says nothing"):
        list(figures(some(), []))


def test_a_monthly_fee_and_a_price_that_make_ends_meet() -> None:
    rows = list(run(some(ppm=0)))
    found = {one.name: one.value for one in figures(some(ppm=0), rows)}
    assert found["sales_per_client"] == 0
    assert found["monthly_fee"] == pytest.approx(found["fees_per_client"] + found["interest_per_client"])
    even = round(found["ppm_alone"])
    paid = {one.name: one.value for one in figures(replace(some(), ppm=min(even, 1_000_000)), rows)}
    if even <= 1_000_000:
        assert paid["monthly_fee"] == pytest.approx(0, abs=found["monthly_fee"] / 100)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"online": 1.5}, "--online: must be from 0 to 1"),
        ({"meet": -0.1}, "--meet: must be from 0 to 1"),
        ({"leaves": float("nan")}, "--leaves: must be from 0 to 1"),
        ({"sells": 2.0}, "--sells"),
        ({"interest": -1.0}, "--interest"),
        ({"days": 0}, "--days: must be from 1"),
        ({"clients": 2}, "--clients: 2 do not fill the 3 factories"),
        ({"clients": 10**9}, "--clients: must be from 1"),
        ({"price": -1}, "--price"),
        ({"ppm": -1}, "--ppm"),
        ({"how": "some"}, "'some' is not one"),
        ({"plan": replace(plan(), clients=128)}, "128 is not within"),
        ({"pace": Pace(25, 10, day=10)}, "25 blocks are no whole days"),
        ({"pace": Pace(20, 15, day=10)}, "15 blocks are no whole days"),
        ({"pace": Pace(20, 10, day=2)}, "a transaction is final 3 blocks deep"),
        ({"plan": replace(plan(), locks=replace(plan().locks, step=100))}, "the worst exit takes"),
    ],
)
def test_what_makes_no_sense_is_one_error_before_the_first_day(changes: dict[str, object], says: str) -> None:
    with pytest.raises(SuperscalarError) as caught:
        run(some(**changes))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    if "plan" not in changes:
        assert isinstance(caught.value, InputError)


@pytest.fixture
def known_ids() -> frozenset[str]:
    from superscalar_ref.business.assume import ASSUMED
    from superscalar_ref.spec.load import load_specification

    specification = load_specification()
    tables = {row.id for machine in specification.machines for row in machine.transitions}
    parameters = load_parameters()
    names = {one.name for one in parameters.parameters} | {one.id for one in parameters.constraints}
    return frozenset(tables | names | {"R-SHAPE", "fees.toml", ASSUMED} | {one.id for one in specification.properties})
