"""The scenario of payments and channel endings: it holds on small factories, and fails when a rule is broken."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from superscalar_ref.parties.channel_actor import ChannelActor
from superscalar_ref.parties.channel_watch import ChannelWatcher, Found
from superscalar_ref.verify.build import build_factory
from superscalar_ref.verify.channels import ENDINGS, Channels, pay_and_close
from superscalar_ref.verify.example import load_example
from superscalar_ref.verify.scene import Scene
from tests.verify.test_run import example

Example = Callable[..., Channels]


@pytest.fixture
def run(tmp_path: Path) -> Example:
    def once(arity: str = "[2]", clients: int = 2, **options: object) -> Channels:
        scene = Scene(load_example(example(tmp_path, arity, clients, **options)), lambda words: None)  # type: ignore[arg-type]
        try:
            build_factory(scene)
            return pay_and_close(scene)
        finally:
            scene.close()

    return once


@pytest.mark.parametrize(("clients", "leaf_k"), [(1, 1), (4, 2)])
def test_every_ending_gives_each_side_what_it_should(run: Example, clients: int, leaf_k: int) -> None:
    found = run(clients=clients, leaf_k=leaf_k)
    assert [check.detail for check in found.checks if not check.passed] == []
    endings = [f"channels/{ending.replace(' ', '-')}" for ending in ENDINGS] + ["channels/moved"]
    assert [check.id for check in found.checks] == (["channels/pay"] if clients > 1 else []) + endings
    kinds = {verdict.kind for trial in found.trials for verdict in trial.verdicts}
    assert {"commitment", "second stage", "claim", "close"} <= kinds
    assert all(trial.conserved() for trial in found.trials)


def test_where_nobody_has_a_balance_nothing_is_claimed(run: Example) -> None:
    assert run(balances=(0, 0)).checks == ()


def test_a_breach_that_nobody_punishes_is_reported(run: Example, monkeypatch: pytest.MonkeyPatch) -> None:
    def blind(self: ChannelWatcher, found: Found) -> bool:
        return False

    monkeypatch.setattr(ChannelWatcher, "_revoked", blind)
    found = run(clients=1)
    failed = {check.id for check in found.checks if not check.passed}
    assert failed == {"channels/client-cheats", "channels/lsp-cheats", "channels/moved"}


def test_a_payment_that_is_not_claimed_is_reported(run: Example, monkeypatch: pytest.MonkeyPatch) -> None:
    def forgetful(self: ChannelActor) -> None:
        return None

    monkeypatch.setattr(ChannelActor, "_answer", forgetful)
    found = run()
    assert "channels/pay" in {check.id for check in found.checks if not check.passed}
