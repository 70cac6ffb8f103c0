"""The update command: what it prints, its exit codes, its one-line errors."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from superscalar_ref.cli import main

PLAN = str(Path(__file__).parents[2] / "examples" / "eight-clients.toml")


def ran(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["update", "--plan", PLAN, *arguments])
    out, err = capsys.readouterr()
    return code, out, err


def test_a_leaf_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = ran(capsys, "--client", "carol")
    assert code == 0
    assert "carol, lsp (2, all online)" in out
    assert "r.0.1.0: index 0 → 1, lock 432 → 288 blocks; 2 left after it" in out


def test_a_node_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = ran(
        capsys, "--node", "r.0.0", "--counters", "r.0.0=2,r.0.0.1=1", "--move", "r.0.0.0:r.0.0.1:20000", "--json"
    )
    answer = json.loads(out)
    assert code == 0
    assert answer["signers"] == ["alice", "bob", "lsp"]
    assert [(row["node"], row["before"], row["after"]) for row in answer["counters"]] == [
        ("r.0.0", 2, 3),
        ("r.0.0.1", 1, 0),
    ]
    assert answer["contents"]["r.0.0.1"]["stocks_sat"] == [120_000]
    assert answer["sessions"] == sum(map(len, answer["made"].values())) + len(answer["poisoned"])


def test_all_nodes_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = ran(capsys, "--counters", "r.0=3", "--json")
    rows = json.loads(out)["updates"]
    assert code == 0
    assert [row["node"] for row in rows if "exhausted" in row] == ["r.0"]
    assert len(rows) == 15
    assert "exhausted" not in ran(capsys)[1]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("--client", "alice", "--counters", "r.0.0.0=3"), 1, "COUNTER_EXHAUSTED.*update 'r.0.0' instead"),
        (("--node", "r.7"), 2, "not in the tree"),
        (("--node", "r", "--client", "bob"), 2, "give one of them"),
        (("--client", "zoe"), 2, "no 'zoe'"),
        (("--move", "r.0:r.1:5"), 2, "name its --node"),
        (("--node", "r", "--move", "r.0:5"), 2, "is not LEAF:LEAF:SAT"),
        (("--node", "r", "--counters", "r=4"), 2, "an index is from 0 to 3"),
        (("--node", "r", "--counters", "r.9=1"), 2, "no counter"),
    ],
)
def test_what_makes_no_sense_is_one_line(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], code: int, says: str
) -> None:

    got, out, err = ran(capsys, *arguments)
    assert (got, out) == (code, "")
    assert len(err.splitlines()) == 1
    assert re.search(says, err)
