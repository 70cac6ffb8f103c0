"""The chapter's table of numbers is what its command prints."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from superscalar_ref.cli import main

CHAPTER = Path(__file__).resolve().parents[2] / "spec" / "chapters" / "ladder.md"
ROW = re.compile(r"^\| (0\.\d+) \| (whole|paths) \| (.*) \|$", re.MULTILINE)


def test_the_table_is_what_the_command_says(capsys: pytest.CaptureFixture[str]) -> None:
    rows = {
        (online, how): cells.split(" | ") for online, how, cells in ROW.findall(CHAPTER.read_text(encoding="utf-8"))
    }
    assert len(rows) == 6
    # The others take longer; they are made by the same command.
    for how in ("whole", "paths"):
        assert main(["ladder", "--online", "0.99", "--absent", how, "--json"]) == 0
        (run,) = json.loads(capsys.readouterr().out)["runs"]
        found = {one["name"]: one["value"] for one in run["figures"]}
        names = ("failed", "paid_on_chain", "day_vbytes", "exit_vbytes", "fees_per_client")
        wanted = [float(cell.replace(",", "")) for cell in rows["0.99", how]]
        assert [found[name] for name in names] == pytest.approx(wanted, rel=1e-3)
