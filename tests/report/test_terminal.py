"""What a run prints: a check is one line, nothing is lost in a narrow terminal, words are not taken for markup."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from superscalar_ref.report.result import Check, VerifyResult
from superscalar_ref.report.terminal import (
    print_check,
    print_summary,
    race_line,
    transactions_table,
    verdict_line,
)
from tests.report.sample import NAMES, sample


def screen(width: int = 120) -> tuple[Console, StringIO]:
    out = StringIO()
    return Console(file=out, width=width, color_system=None), out


@pytest.mark.parametrize("width", [20, 80, 200])
@pytest.mark.parametrize("passed", [True, False])
def test_a_check_is_one_line(width: int, passed: bool) -> None:
    console, out = screen(width)
    check = Check("exit/alice", "exit", "Alice leaves\nalone " + "and " * 40, passed, "x\x1b[2Jy\tz", ("CLI-3", "D-16"))
    print_check(console, check)
    assert out.getvalue().count("\n") == 1
    assert "\x1b" not in out.getvalue()
    assert "exit/alice" in out.getvalue()
    assert "[CLI-3, D-16]" in out.getvalue()
    assert out.getvalue().startswith("✓" if passed else "✗")


def test_words_in_brackets_are_not_taken_for_styles() -> None:
    console, out = screen()
    print_check(console, Check("a/b", "a", "Refused [bold]so[/].", False, "[red]", ()))
    assert "Refused [bold]so[/]. · [red]" in out.getvalue()


@pytest.mark.parametrize("width", [60, 80, 200])
def test_the_table_of_exits_names_everybody(width: int) -> None:
    console, out = screen(width)
    print_summary(console, sample())
    for name in NAMES:
        assert any(line.startswith(name) for line in out.getvalue().split("\n"))
    assert "All 5 checks hold" in out.getvalue().rstrip("\n").split("\n")[-1]


def test_every_height_is_said_once_for_exits_that_went_alike() -> None:
    good = sample()
    late = replace(good.exits[3], confirmations=good.exits[3].confirmations[:1])
    console, out = screen(40)
    print_summary(console, replace(good, exits=(*good.exits[:3], late)))
    lines = out.getvalue().split("\n")
    assert "alice, bob, carol: kickoff at 101, state at 534, kickoff at 535, state at 968, sweep at 1113" in lines
    assert "dave: kickoff at 101" in lines


def broken() -> VerifyResult:
    good = sample()
    bad = replace(good.checks[2], passed=False, detail="owned 3 sat less")
    return replace(good, passed=False, checks=(*good.checks[:2], bad, *good.checks[3:]))


def test_what_failed_is_said_again_at_the_end() -> None:
    console, out = screen()
    print_summary(console, broken())
    last, verdict = out.getvalue().rstrip("\n").split("\n")[-2:]
    assert "exit/bob" in last and "owned 3 sat less" in last
    assert verdict.startswith("1 of 5 checks fail, first exit/bob")


def test_a_run_without_checks_or_exits_still_ends_with_a_verdict() -> None:
    empty = replace(sample(), checks=(), exits=(), transactions=(), races=(), passed=False)
    console, out = screen()
    print_summary(console, empty)
    assert "0 of 0 checks fail" in out.getvalue()
    assert "fail" in verdict_line(empty).plain


def test_a_lost_race_says_who_had_to_win() -> None:
    race = replace(sample().races[0], winner="state:r@0", passed=False)
    assert "state:r@0 confirmed, state:r@1 had to" in race_line(race).plain
    assert "had to" not in race_line(sample().races[0]).plain


def test_an_unexpected_verdict_is_pointed_out() -> None:
    console, out = screen(200)
    console.print(transactions_table((replace(sample().transactions[0], verdict="bad-txns-inputs-missingorspent"),)))
    assert "bad-txns-inputs-missingorspent (accepted was expected)" in out.getvalue()
