"""The scenario of a fee spike: it holds in small factories, and says what is wrong when a rule of fees.toml is gone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from superscalar_ref.parties import bumper
from superscalar_ref.protocol.fees import load_fee_rules
from superscalar_ref.verify.build import build_factory
from superscalar_ref.verify.example import load_example
from superscalar_ref.verify.fees import leave_in_a_spike
from superscalar_ref.verify.scene import Scene
from superscalar_ref.verify.towers import guard_while_away
from tests.verify.test_run import example


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    made = Scene(load_example(example(tmp_path_factory.mktemp("fees"), "[2]", 2)), lambda words: None)
    build_factory(made)
    yield made
    made.close()


def without_rule(gone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody pays by this rule."""
    rules = load_fee_rules().without(gone)
    known = bumper.Bumper.__init__

    def poorer(self: bumper.Bumper, *args: object, **more: object) -> None:
        known(self, *args, **{**more, "rules": rules})  # type: ignore[arg-type]

    monkeypatch.setattr(bumper.Bumper, "__init__", poorer)


def test_with_and_without_a_coin(scene: Scene) -> None:
    found = leave_in_a_spike(scene)
    assert [check.id for check in found.checks] == ["fees/none/ann", "fees/coin/ann"]
    assert all(check.passed for check in found.checks), [check.detail for check in found.checks]
    assert all(trial.conserved() for trial in found.trials)


def test_without_its_rule_the_sweep_is_late_and_the_check_says_so(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_rule("STR-30", monkeypatch)
    none, coin = leave_in_a_spike(scene).checks
    assert none.passed
    assert not coin.passed
    assert coin.detail.startswith("its last transaction confirmed after")


def test_a_tower_with_a_coin_answers_at_the_price_of_the_day_or_the_older_state_wins(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, answered = guard_while_away(scene).checks
    assert answered.passed
    assert "child:state:" in answered.detail
    without_rule("STR-31", monkeypatch)
    _, answered = guard_while_away(scene).checks
    assert not answered.passed
    assert answered.detail.endswith(": accepted")


def test_an_example_without_a_coin_has_no_such_check(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scene, "reserves", {})
    assert leave_in_a_spike(scene).checks == ()
