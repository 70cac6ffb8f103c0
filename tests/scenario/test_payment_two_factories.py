"""A payment across two factories, cut at each letter, and each pair of ends: 2,597 plays, of which each run has 30."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from superscalar_ref.cli import main
from superscalar_ref.scenario import payment_two_factories as scenario
from superscalar_ref.scenario.payment_two_factories import (
    AT_THE_END,
    CLAIMS,
    CLIENT_ALONE,
    CLIENT_CHEATS,
    FAILS,
    KICKOFF_AT_THE_END,
    LSP_ALONE,
    LSP_CHEATS,
    PAYEES,
    SILENT,
    TOGETHER,
    WAYS,
    Case,
    Result,
    cases,
    play,
)
from superscalar_ref.scenario.payment_world import PAYEE, PAYER
from superscalar_ref.scenario.town import LSP
from tests.sweep import part

ALL = list(cases())
STEP = 89
"""Shares no factor with the pairs of ways: the part has each way of each factory at many letters."""
PAID = 7_001
"""What the payment takes from the payer, in whole satoshis."""
BEFORE = {PAYER: 50_000 - 2_002, PAYEE: 50_000 + 2_000}
"""Each client's balance before the payment, in whole satoshis: an earlier one has gone the same way."""
HONEST = (TOGETHER, CLIENT_ALONE, LSP_ALONE, CLIENT_CHEATS)
"""Ways in which the LSP breaks no rule, and loses no time."""


def check(done: Result) -> None:
    """What must come of a play, seen from outside, beside what ``expect`` computes."""
    assert done.paid == done.expected, (str(done.case), done.ways, done.story)
    first, second = done.ways
    honest = {PAYER: first not in (CLIENT_CHEATS,), PAYEE: second not in (CLIENT_CHEATS,)}
    got = done.case.payee == CLAIMS and (done.settled or done.forwarded)
    for name, way in ((PAYER, first), (PAYEE, second)):
        if not honest[name]:
            assert done.paid[name] == 0, "a cheat keeps nothing"
            continue
        least = BEFORE[name] - (PAID + 1 if name == PAYER else 0)
        assert done.paid[name] >= least, "nobody loses more than it has paid"
        if way in (LSP_CHEATS, AT_THE_END, KICKOFF_AT_THE_END):
            assert done.paid[name] >= 150_000, "the whole channel"
    if not got and first in (TOGETHER, CLIENT_ALONE, LSP_ALONE):
        assert done.paid[PAYER] >= BEFORE[PAYER] - 1, "what is not paid on is not paid"
    if first in HONEST and second in HONEST:
        sides = 100_000 * 2 + 2
        close = 100_617 - 1
        in_full = sides + sum(close for way in done.ways if way == TOGETHER)
        assert done.paid[LSP] >= in_full - 4, "an LSP that follows the rules is out of pocket by rounding alone"


def test_the_numbers_of_cases_that_the_text_names() -> None:
    assert len(ALL) == 2597 == 7 * 7 * (21 + 21 + 11)
    usual = ALL[::STEP]
    assert len(usual) == 30
    assert {one.payee for one in usual} == set(PAYEES)
    assert {one.first for one in usual} == {one.second for one in usual} == set(WAYS)
    assert len({one.letters for one in usual}) > 15


@pytest.mark.parametrize("case", part(ALL, STEP), ids=str)
def test_everybody_ends_with_exactly_what_it_must_have(case: Case) -> None:
    check(play(case))


@pytest.mark.parametrize(("first", "second"), list(product((CLIENT_ALONE, LSP_ALONE), (CLIENT_ALONE, LSP_ALONE))))
def test_with_the_payment_in_flight_it_is_made_on_chain_or_not_at_all(first: str, second: str) -> None:
    done = play(Case(CLAIMS, 10, first, second))
    assert (done.paid[PAYER], done.paid[PAYEE]) == (BEFORE[PAYER] - PAID - 1, BEFORE[PAYEE] + 7_000)
    back = play(Case(SILENT, 10, first, second))
    # What is rounded off of the balance and of the payment belongs to the anchor.
    assert (back.paid[PAYER], back.paid[PAYEE]) == (BEFORE[PAYER] - 1, BEFORE[PAYEE])


def test_a_payment_that_is_given_back_costs_nobody_anything() -> None:
    done = play(Case(FAILS, 20, TOGETHER, TOGETHER))
    assert (done.paid[PAYER], done.paid[PAYEE]) == (BEFORE[PAYER], BEFORE[PAYEE])


def test_off_chain_the_millisatoshis_of_two_payments_add_up() -> None:
    done = play(Case(CLAIMS, 20, TOGETHER, TOGETHER))
    assert (done.paid[PAYER], done.paid[PAYEE]) == (BEFORE[PAYER] - PAID - 1, BEFORE[PAYEE] + 7_001)


def test_a_payer_whose_payment_hangs_goes_to_the_chain_when_it_expires() -> None:
    """The payee's factory dies with the payment pending; the LSP has nothing to give it back by."""
    done = play(Case(SILENT, 10, TOGETHER, AT_THE_END))
    assert done.ways == (CLIENT_ALONE, AT_THE_END)
    assert done.paid[PAYER] == BEFORE[PAYER] - 1
    assert any("has expired and was not given back" in line.says for line in done.story)


def test_an_end_that_pays_otherwise_is_not_well() -> None:
    done = play(Case(CLAIMS, 10, TOGETHER, TOGETHER))
    assert done.well
    assert not replace(done, paid={**done.paid, LSP: done.paid[LSP] - 1}).well


def test_the_command_tells_the_story_with_heights_and_balances(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    asked = ["scenario", "payment-two-factories", "--first", "client", "--second", "lsp"]
    assert main([*asked, "--draw", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sorted(path.suffix for path in tmp_path.glob("payment-claims-10-client-lsp.*")) == [".mmd", ".svg"]
    drawn = (tmp_path / "payment-claims-10-client-lsp.mmd").read_text(encoding="utf-8")
    assert "f0c0 is to have 40,996 sat, and has 40,996 sat" in drawn
    assert lines[0].startswith("height 107: f0c0 offers 7,001,124 msat")
    assert lines[-2].startswith("height ") and "at rest: lsp 200,000 sat, f0c0 40,996 sat, f1c0 59,000 sat" in lines[-2]
    assert lines[-1].endswith("as it must be")
    assert main([*asked, "--json"]) == 0
    assert '"well": true' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("option", "value"), [("--first", "x"), ("--second", "x"), ("--payee", "x"), ("--letters", "21")]
)
def test_what_there_is_not_is_said(option: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scenario", "payment-two-factories", option, value]) == 2
    assert option in capsys.readouterr().err


@pytest.mark.parametrize("name", ["lsp-vanishes", "reorgs", "ladder"])
def test_what_has_no_story_is_not_drawn(name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["scenario", name, "--draw", str(tmp_path / "none")]) == 2
    assert "no story" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_a_wrong_end_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(scenario, "expect", lambda here: {LSP: 1})
    assert main(["scenario", "payment-two-factories", "--first", "together", "--second", "together"]) == 1
    assert "WRONG" in capsys.readouterr().out
