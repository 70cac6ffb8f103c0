"""Factories drawn by lot, for real: the kernel takes what was counted, and says so when the count is off."""

from __future__ import annotations

from dataclasses import replace

import pytest

from superscalar_ref.business import sample as module
from superscalar_ref.business.assume import Assumptions
from superscalar_ref.business.cohort import PATHS, WHOLE, Cohort
from superscalar_ref.business.sample import sample
from superscalar_ref.errors import ChainError
from superscalar_ref.protocol.ladder import Pace
from superscalar_ref.protocol.shape import Shape
from tests.scenario.plans import small


def given(how: str, leaf_k: int) -> Assumptions:
    plan = replace(small(5), shape=Shape.of([2], 1, leaf_k), locks=replace(small().locks, end=140))
    return Assumptions(plan, Pace(20, 10, day=10), clients=15, days=9, online=0.7, how=how)


@pytest.mark.parametrize(("how", "leaf_k"), [(WHOLE, 1), (PATHS, 1), (PATHS, 2)])
def test_a_factory_by_lot_is_on_chain_what_it_is_in_numbers(how: str, leaf_k: int) -> None:
    (done,) = sample(given(how, leaf_k), 1)
    assert done.agrees, done
    assert done.mined.transactions > 5
    assert done.mined.to_clients == 50_000 * (done.size if how == WHOLE else len(done.absent))
    assert done == next(sample(given(how, leaf_k), 1))


def test_a_count_that_is_off_does_not_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    class Off(Cohort):
        def published(self, absent: object, how: str = WHOLE) -> tuple[object, ...]:  # type: ignore[override]
            steps = super().published(absent, how)  # type: ignore[arg-type]
            return (replace(steps[0], vbytes=steps[0].vbytes + 1), *steps[1:])

    monkeypatch.setattr(module, "Cohort", Off)
    (done,) = sample(given(WHOLE, 2), 1)
    assert not done.agrees
    assert "vbytes, not" in done.problems[0]

    # A state one block before its lock has run out.
    class Early(Cohort):
        def published(self, absent: object, how: str = WHOLE) -> tuple[object, ...]:  # type: ignore[override]
            steps = super().published(absent, how)  # type: ignore[arg-type]
            return tuple(replace(one, after=one.after - 1) if one.name.startswith("state") else one for one in steps)

    monkeypatch.setattr(module, "Cohort", Early)
    with pytest.raises(ChainError):
        list(sample(given(PATHS, 1), 1))
