"""``make bench`` runs, does the work that it says, and writes it for programs. No time is asserted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCH = Path(__file__).parent.parent / "bench" / "run.py"


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(BENCH), *arguments], capture_output=True, text=True, check=False)


def measured(path: Path, *names: str) -> dict[str, Any]:
    only = [word for name in names for word in ("--only", name)]
    done = bench(*only, "--repeats", "1", "--json", str(path))
    assert done.returncode == 0, done.stderr
    found = {one["name"]: one for one in json.loads(path.read_text(encoding="utf-8"))["measured"]}
    assert list(found) == list(names)
    assert all(name in done.stdout for name in names)
    return found


def test_a_factory_is_the_one_that_the_budget_speaks_of(tmp_path: Path) -> None:
    one = measured(tmp_path / "bench.json", "factory-none")["factory-none"]
    assert "127 clients" in one["says"]
    assert "506 transactions, 2536 partial signatures, 253 signer sets" in one["says"]
    assert one["target"] == 1.5
    assert set(one["ratios"]) == {"build and sign"}
    assert one["rates"].keys() == {"transactions", "partial signatures"}


def test_the_small_subjects_do_what_they_say(tmp_path: Path) -> None:
    names = ("session-128", "kernel-transactions", "table-step", "checker")
    found = measured(tmp_path / "bench.json", *names)
    assert all(one["seconds"] and min(one["seconds"].values()) > 0 for one in found.values())
    assert found["checker"]["rates"].keys() == {"positions"}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--only", "nothing"], "invalid choice: 'nothing'"),
        (["--repeats", "0"], "--repeats: at least 1"),
        (["--json", "no/such/folder/bench.json"], "there is no folder no/such/folder"),
    ],
)
def test_bad_arguments_are_one_clear_line(arguments: list[str], says: str) -> None:
    done = bench(*arguments)
    assert done.returncode == 2
    assert says in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
