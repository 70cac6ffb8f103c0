"""What is read from files: one clear error when it is not what it should be."""

from __future__ import annotations

import argparse
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from superscalar_ref.cli import main
from superscalar_ref.commands import report
from superscalar_ref.errors import InputError
from superscalar_ref.site.found import Checked, read_checked
from superscalar_ref.spec.load import load_specification

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


def decided(monkeypatch: pytest.MonkeyPatch, said: str, code: int) -> tuple[list[str], Checked | None]:
    """What the command makes of a ``check`` that says this and ends so; and how it called it."""
    called: list[str] = []

    def run(command: list[str], **how: Any) -> subprocess.CompletedProcess[bytes]:
        called.extend(command)
        how["stdout"].write(said.encode())
        return subprocess.CompletedProcess(command, code)

    monkeypatch.setattr(subprocess, "run", run)
    args = argparse.Namespace(undecided=False)
    found = report.decided(args, load_specification(only=()), ("--cores", "1"), read_checked)
    return called, found


def test_what_is_not_given_is_decided_now(monkeypatch: pytest.MonkeyPatch) -> None:
    called, found = decided(monkeypatch, json.dumps({"properties": [{**ROW, "holds": False}]}), 1)
    assert called[1:7] == ["-m", "superscalar_ref.cli", "check", "--json", "--cores", "1"]
    assert found is not None
    assert [(row.property, row.holds) for row in found.properties] == [("P-NO-THEFT", False)]


def test_a_check_that_says_nothing_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"^superscalar-ref check: said nothing, and ended with 130 "):
        decided(monkeypatch, "", 130)


def test_a_place_that_cannot_be_written_is_said_before_anything_is_decided(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setattr(report, "decided", lambda *_: pytest.fail("something was decided"))
    assert main(["report", "--out", str(tmp_path / "file" / "below")]) == 2
    assert f"{tmp_path}/file/below/index.html: Not a directory [--out]" in capsys.readouterr().err
