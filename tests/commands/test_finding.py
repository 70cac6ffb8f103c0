"""The finding command: every page names what repeats it; what no longer holds is said, with exit code 1."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from superscalar_ref.cli import main
from superscalar_ref.errors import SpecError
from superscalar_ref.spec.findings import load_findings
from superscalar_ref.spec.load import load_specification
from superscalar_ref.spec.location import spec_directory

PAGE = """# Q-X-1: a page

**Question.** Is it?

**Answer.** It is.

| repeat | finds |
| --- | --- |
"""


def copy(tmp_path: Path, *rows: str, page: str = PAGE) -> Path:
    """A copy of ``spec/`` with one finding."""
    directory = tmp_path / "spec"
    shutil.copytree(spec_directory(), directory)
    shutil.rmtree(directory / "findings")
    (directory / "findings").mkdir()
    (directory / "findings" / "Q-X-1.md").write_text(page + "".join(f"{row}\n" for row in rows), encoding="utf-8")
    return directory


def test_every_page_names_what_repeats_it() -> None:
    findings = load_findings(load_specification())
    assert len(findings) == len(list((spec_directory() / "findings").glob("*.md")))
    assert all(finding.repeats for finding in findings)


def test_the_list_and_a_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["finding"]) == 0
    listed = capsys.readouterr().out
    assert "Q-STK-6    alternates above a leaf predate its sales" in listed
    assert main(["finding", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["findings"]
    assert [row["id"] for row in rows] == [line.split()[0] for line in listed.splitlines()]
    assert main(["finding", "Q-DW-2", "--page"]) == 0
    assert capsys.readouterr().out.startswith("# Q-DW-2: the smallest safe step")


def test_what_it_rests_on_is_repeated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = ["| `L-POISON` | proven |", "| `replay V-SALE-TWICE` | agrees |", "| `P-OLD-STATE-PAYS` | holds |"]
    directory = copy(tmp_path, *rows)
    assert main(["finding", "Q-X-1", "--spec", str(directory), "--cores", "1"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("# Q-X-1: a page")
    assert out.endswith("Q-X-1 holds: 3 of 3 repeated.\n")


def test_what_no_longer_holds_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Somebody has made the lock as long as the constraint asks: the design that was wrong is no longer."""
    directory = copy(tmp_path, "| `V-STOCK-AFTER` | refuted |", "| `L-POISON` | proven |")
    path = directory / "variants" / "stock-after.toml"
    text = path.read_text(encoding="utf-8").replace('value = "cltv-after"', 'value = "cltv-before"')
    path.write_text(text.replace("value = 576", "value = 24"), encoding="utf-8")
    assert main(["finding", "Q-X-1", "--spec", str(directory), "--cores", "1"]) == 1
    assert "Q-X-1 no longer holds: V-STOCK-AFTER." in capsys.readouterr().out


def test_a_test_that_is_not_there_cannot_be_repeated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = copy(tmp_path, "| `test tests/parties/test_end.py::test_x` | passes |")
    assert main(["finding", "Q-X-1", "--spec", str(directory), "--json"]) == 3
    (row,) = json.loads(capsys.readouterr().out)["repeats"]
    assert row["holds"] is None
    assert "repeat it in a checkout" in row["detail"]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("| `V-NOBODY` | refuted |", "there is no V-NOBODY"),
        ("| `P-NOBODY` | holds |", "there is no P-NOBODY"),
        ("| `V-STOCK-AFTER` | holds |", "V-STOCK-AFTER finds 'refuted', not 'holds'"),
        ("| `replay P-LSP-EXIT` | agrees |", "is no variant"),
        ("| `verify nowhere/x` | holds |", "none of the scenarios"),
        ("| `test tests/x.py` | passes |", "a test is written"),
        ("| `drink` | holds |", "is none of V-"),
        ("| V-STOCK-AFTER | refuted |", "a row is written"),
        ("", "nothing repeats it"),
    ],
)
def test_a_row_that_names_nothing_is_refused_with_its_line(tmp_path: Path, row: str, problem: str) -> None:
    with pytest.raises(SpecError, match=rf"Q-X-1\.md:\d+: .*{problem}"):
        load_findings(load_specification(copy(tmp_path, row)))


@pytest.mark.parametrize(
    ("old", "new"), [("# Q-X-1:", "# Q-X-2:"), ("**Question.**", "**Ask.**"), ("**Answer.**", "So:")]
)
def test_a_page_has_its_parts(tmp_path: Path, old: str, new: str) -> None:
    with pytest.raises(SpecError, match=r"Q-X-1\.md:1: the page"):
        load_findings(load_specification(copy(tmp_path, "| `L-POISON` | proven |", page=PAGE.replace(old, new))))


def test_an_unknown_id_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["finding", "Q-NONE-1"]) == 2
    assert "there is no 'Q-NONE-1'; there are" in capsys.readouterr().err
