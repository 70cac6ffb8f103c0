"""What is read from files: one clear error when it is not what it should be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from superscalar_ref.cli import main

from .conftest import loss

ROW = {"property": "P-NO-THEFT", "holds": True, "cases": 1}


@pytest.mark.parametrize(
    ("option", "content", "says"),
    [
        ("--check", "", "is not what 'superscalar-ref check --json' prints"),
        ("--check", "[1, 2", "is not what 'superscalar-ref check --json' prints"),
        ("--check", "[" * 100_000, "is not what 'superscalar-ref check --json' prints"),
        ("--check", '{"variants": []}', "missing required field `properties`"),
        ("--check", json.dumps({"properties": [{**ROW, "holds": "yes"}]}), "$.properties[0].holds"),
        ("--check", json.dumps({"properties": [{**ROW, "property": "P-NONE"}]}), "there is no 'P-NONE'"),
        ("--check", json.dumps({"properties": [{**ROW, "trace": loss(owed="4")}]}), "$.properties[0].trace.owed"),
        ("--variants", '{"variants": [{"variant": "V-NONE", "as_expected": true}]}', "there is no 'V-NONE'"),
        ("--variants", '{"variants": [{}]}', "is not what 'superscalar-ref check --variants --json' prints"),
        ("--conform", '{"results": []}', "missing required field `adapter`"),
        ("--conform", "\udcff", "is not what 'superscalar-ref conform --json' prints"),
    ],
)
def test_a_file_that_is_none_is_one_error(
    option: str, content: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "given.json"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    assert main(["report", "--undecided", "--out", str(tmp_path / "out"), option, str(path)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"{path}: " in error
    assert says in error
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_not_there_is_one_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--check", str(tmp_path / "none.json")]) == 2
    assert capsys.readouterr().err == (
        f"superscalar-ref report: {tmp_path}/none.json: No such file or directory [report-input]\n"
    )


@pytest.mark.parametrize("most", ["0", "-1", "100001"])
def test_a_senseless_number_of_situations_is_refused(most: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--undecided", "--contexts", most]) == 2
    assert f"must be between 1 and 100,000, not {most} [contexts]" in capsys.readouterr().err
