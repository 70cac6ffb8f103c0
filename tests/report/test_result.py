"""The result of a run survives its JSON form, and a broken form is one line that names its place."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from superscalar_ref.errors import InputError
from superscalar_ref.report.result import VerifyResult
from tests.report.sample import sample


def test_json_form_reads_back_equal() -> None:
    assert VerifyResult.from_text(sample().to_text()) == sample()


def test_json_form_is_what_json_reads() -> None:
    assert json.loads(sample().to_text()) == sample().to_json()


def test_a_verdict_is_held_against_the_expectation() -> None:
    first, last = sample().transactions[0], sample().transactions[-1]
    assert first.accepted and first.as_expected
    assert not last.accepted and last.as_expected


def _set(path: tuple[str | int, ...], value: Any) -> Callable[[Any], None]:
    def change(form: Any) -> None:
        for step in path[:-1]:
            form = form[step]
        form[path[-1]] = value

    return change


def _drop(form: Any) -> None:
    del form["exits"][1]["owed_sat"]


@pytest.mark.parametrize(
    ("change", "place", "problem"),
    [
        (_set(("version",), 2), "result: version", "must be 1, not 2"),
        (_set(("version",), True), "result: version", "must be 1, not True"),
        (_set(("seconds",), "long"), "result: seconds", "is text, not a number"),
        (_set(("checks", 0, "passed"), 1), "result: checks[0].passed", "is a whole number, not true or false"),
        (_set(("exits", 0, "blocks"), True), "result: exits[0].blocks", "is true or false, not a whole number"),
        (_set(("exits", 0, "dragged"), "bob"), "result: exits[0].dragged", "is text, not a list"),
        (_set(("factory", "tree"), None), "result: factory.tree", "is null, not an object"),
        (_set(("factory", "colour"), "red"), "result: factory.colour", "is unknown"),
        (_set(("transactions", 0, "expected"), "maybe"), "result: transactions[0].expected", "must be one of"),
        (_set(("transactions", 0, "height"), "x"), "result: transactions[0].height", "a whole number or null"),
        (_drop, "result: exits[1]", "lacks 'owed_sat'"),
    ],
)
def test_a_broken_form_is_one_line(change: Callable[[Any], None], place: str, problem: str) -> None:
    form = sample().to_json()
    change(form)
    with pytest.raises(InputError) as caught:
        VerifyResult.from_json(form)
    assert caught.value.place == place
    assert problem in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000])
def test_what_is_no_result_is_one_line(text: str) -> None:
    with pytest.raises(InputError) as caught:
        VerifyResult.from_text(text, "verify.json")
    assert str(caught.value).startswith("verify.json")
    assert "\n" not in str(caught.value)
