"""The scenario of the end: the LSP's deadline is exact, and what it looks for is noticed when it is not so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from superscalar_ref.verify.end import live_to_the_end, lsp_alone
from superscalar_ref.verify.example import load_example
from superscalar_ref.verify.scene import Scene

EXAMPLE = Path(__file__).parents[2] / "examples" / "eight-clients.toml"


def failed() -> dict[str, str]:
    found = live_to_the_end(load_example(EXAMPLE), lambda says: None)
    assert {check.id for check in found.checks} == {
        "end/lsp/in-time", "end/lsp/late", "end/buyer-covered", "end/buyer-beyond",
    }  # fmt: skip
    assert all(trial.conserved() and trial.verdicts for trial in found.trials)
    return {check.id: check.detail for check in found.checks if not check.passed}


def test_it_holds() -> None:
    assert not failed()


def test_a_deadline_that_is_one_block_off_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    begin = Scene.__init__

    def late(self: Scene, *arguments: object) -> None:
        begin(self, *arguments)  # type: ignore[arg-type]
        self.lead = replace(self.lead, blocks=self.lead.blocks - 1)

    monkeypatch.setattr(Scene, "__init__", late)
    checks = list(lsp_alone(load_example(EXAMPLE), []))
    assert {check.id for check in checks if not check.passed} == {"end/lsp/in-time"}
