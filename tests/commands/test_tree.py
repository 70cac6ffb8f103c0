"""The tree command: what it prints, its exit codes, its one-line errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.dom import minidom

import pytest

from superscalar_ref.cli import main
from superscalar_ref.protocol.shape import Shape, grow
from superscalar_ref.report import treedraw

ISSUE_KEYS = {
    "clients",
    "depth",
    "transactions",
    "dw_layers",
    "worst_lock_blocks",
    "worst_exit_blocks",
    "ceiling_blocks",
    "fits",
    "exits",
}
EXIT_KEYS = {"client", "transactions", "vbytes", "fee_sat", "lock_blocks", "exit_blocks", "dragged"}


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any], str]:
    code = main(["tree", *arguments, "--json"])
    out, err = capsys.readouterr()
    answer = json.loads(out)
    assert isinstance(answer, dict)
    return code, answer, err


def test_json_of_a_shape_that_fits(capsys: pytest.CaptureFixture[str]) -> None:
    code, answer, err = run_json(
        capsys, "--clients", "64", "--arity", "2,4,8", "--static", "2", "--step", "144", "--states", "4"
    )
    assert (code, err) == (0, "")
    assert set(answer) >= ISSUE_KEYS
    assert "nearest" not in answer
    numbers = ("clients", "depth", "transactions", "dw_layers", "worst_lock_blocks", "worst_exit_blocks")
    assert [answer[key] for key in numbers] == [64, 3, 147, 2, 864, 870]
    assert (answer["ceiling_blocks"], answer["fits"]) == (2016, True)
    assert [exit_["client"] for exit_ in answer["exits"]] == [f"c{number}" for number in range(1, 65)]
    assert all(set(exit_) == EXIT_KEYS for exit_ in answer["exits"])


@pytest.mark.parametrize(("static", "covered"), [("2", True), ("3", False)])
def test_a_shape_may_fit_and_still_be_over_budget_when_blocks_are_slow(
    capsys: pytest.CaptureFixture[str], static: str, covered: bool
) -> None:
    # Three interior layers and the leaf carry counters: 4 × 431 blocks, and 12 for each of 10 transactions or 11,
    # and of two sales, less the first look: 1862 or 1874 of 1866.
    clients = str(2 ** (int(static) + 3))
    arguments = ["--clients", clients, "--arity", "2", "--static", static, "--margin", "150"]
    code, answer, _ = run_json(capsys, *arguments)
    assert (code, answer["fits"], answer["in_budget"]) == (0, True, covered)


def test_leaf_mates_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    _, answer, _ = run_json(capsys, "--clients", "4", "--arity", "2", "--leaf-k", "2")
    assert answer["exits"][1]["dragged"] == ["c1", "c3", "c4"]


def test_fees_follow_the_fee_rate(capsys: pytest.CaptureFixture[str]) -> None:
    _, answer, _ = run_json(capsys, "--clients", "4", "--arity", "2", "--feerate", "7")
    assert all(exit_["fee_sat"] == 7 * exit_["vbytes"] for exit_ in answer["exits"])


def test_an_over_long_shape_is_refused_with_a_nearest_that_fits(capsys: pytest.CaptureFixture[str]) -> None:
    code, answer, err = run_json(capsys, "--clients", "127", "--arity", "2", "--margin", "100")
    assert code == 1
    assert answer["fits"] is False
    assert answer["rule"] == "R-EXIT-CEILING"
    assert "3472" in answer["reason"]
    assert err.count("\n") == 1
    assert "R-EXIT-CEILING" in err
    assert answer["nearest"]["words"] in err
    code, answer, err = run_json(capsys, *answer["nearest"]["arguments"].split())
    assert (code, answer["fits"], answer["margin_blocks"], err) == (0, True, 100, "")


def test_an_impossible_shape_has_no_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    code, answer, err = run_json(capsys, "--clients", "4", "--arity", "2", "--margin", "2016")
    assert (code, answer["nearest"]) == (1, None)
    assert "no shape" in err


def test_text_says_what_the_json_says(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tree", "--clients", "11", "--arity", "3,2", "--leaf-k", "2", "--static", "1"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "levels, root first" in out
    assert "868 blocks" not in out
    assert "worst exit            435 blocks (3.0 days)" in out
    assert "r.0 leaf: c1 … c4 (4); 4 channels, 2 stock" in out
    assert "8 such as c1" in out


def test_text_of_an_over_long_shape_is_still_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tree", "--clients", "127", "--arity", "2"]) == 1
    out, err = capsys.readouterr()
    assert "fits                  NO" in out
    assert "1 more sibling with 63 clients" in out
    assert "--arity 8,4,4" in err


@pytest.mark.parametrize(
    ("arguments", "place"),
    [
        (["--clients", "0"], "--clients"),
        (["--clients", "-3"], "--clients"),
        (["--clients", "ten"], "--clients"),
        (["--clients", "1000000"], "--clients"),
        (["--clients", "9" * 5000], "--clients"),
        (["--arity", ""], "--arity"),
        (["--arity", "2,,4"], "--arity"),
        (["--arity", "2;4"], "--arity"),
        (["--arity", "0"], "arity of level 1"),
        (["--arity", "1"], "arity of level 1"),
        (["--arity", "500"], "arity of level 1"),
        (["--static", "-1"], "static"),
        (["--static", "1000"], "static"),
        (["--leaf-k", "0"], "leaf k"),
        (["--leaf-k", "²"], "--leaf-k"),
        (["--step", "0"], "--step"),
        (["--states", "1"], "--states"),
        (["--states", "17"], "--states"),
        (["--step", "10000", "--states", "16"], "step × (states − 1)"),
        (["--feerate", "0"], "--feerate"),
        (["--feerate", "999999999"], "--feerate"),
        (["--feerate", "0.5"], "--feerate"),
        (["--margin", "-1"], "--margin"),
        (["--margin", "2017"], "--margin"),
        (["--svg", "/nowhere/at/all.svg"], "--svg"),
    ],
)
def test_a_bad_argument_is_one_line_and_exit_code_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], place: str
) -> None:
    assert main(["tree", "--clients", "8", "--arity", "2", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"superscalar-ref tree: {place}: ")
    assert err.count("\n") == 1


def test_a_drawing_has_every_node_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "tree.svg"
    code, answer, _ = run_json(capsys, "--clients", "9", "--arity", "3,2", "--static", "1", "--svg", str(path))
    assert (code, answer["clients"]) == (0, 9)
    groups = minidom.parse(str(path)).getElementsByTagName("g")
    nodes = grow(Shape.of([3, 2], 1), [f"c{number}" for number in range(1, 10)]).nodes()
    assert [group.getAttribute("id") for group in groups] == [node.path for node in nodes]


def test_a_drawing_escapes_names() -> None:
    drawing = treedraw.svg(grow(Shape.of([2]), ["<b>", "R&D"]))
    texts = [element.firstChild for element in minidom.parseString(drawing).getElementsByTagName("text")]
    assert {"<b>", "R&D"} <= {node.nodeValue for node in texts if node is not None}


def test_a_small_tree_is_drawn_in_full() -> None:
    tree = grow(Shape.of([2]), ["a", "b", "c"])
    assert list(treedraw.text(tree)) == [
        "r dw: 2 children, 3 clients",
        "├─ r.0 dw: 2 children, 2 clients",
        "│  ├─ r.0.0 leaf: a; 1 channel, 1 stock",
        "│  └─ r.0.1 leaf: b; 1 channel, 1 stock",
        "└─ r.1 leaf: c; 1 channel, 1 stock",
    ]


def test_a_large_tree_is_drawn_in_few_lines() -> None:
    tree = grow(Shape.of([10]), [f"c{number}" for number in range(1000)])
    assert list(treedraw.text(tree)) == [
        "r dw: 10 children, 1000 clients",
        "├─ r.0 dw: 10 children, 100 clients",
        "│  ├─ r.0.0 dw: 10 children, 10 clients",
        "│  │  ├─ r.0.0.0 leaf: c0; 1 channel, 1 stock",
        "│  │  └─ … 9 more siblings with 9 clients",
        "│  └─ … 9 more siblings with 90 clients",
        "└─ … 9 more siblings with 900 clients",
    ]
