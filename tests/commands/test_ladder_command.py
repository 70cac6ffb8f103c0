"""``superscalar-ref ladder``: what it prints and writes, and one error for what makes no sense."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from superscalar_ref.business import days
from superscalar_ref.cli import main
from superscalar_ref.report.chart import Line, Panel, chart, short

SMALL = ["ladder", "--clients", "2000", "--days", "40", "--cohort", "30"]


def test_a_run_says_its_inputs_and_what_it_found(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main([*SMALL, "--csv", str(tmp_path / "days.csv"), "--svg", str(tmp_path / "days.svg")]) == 0
    said = capsys.readouterr().out
    assert "every satoshi is accounted for on every day" in said
    assert "a client comes online on a day of its factory's dying period, each day by itself [assumption]" in said
    assert "[clients_max]" in said
    rows = list(csv.DictReader((tmp_path / "days.csv").open()))
    assert [row["day"] for row in rows] == [str(day) for day in range(40)]
    ElementTree.parse(tmp_path / "days.svg")


def test_json_is_repeatable_and_a_sweep_has_a_run_for_each_value(capsys: pytest.CaptureFixture[str]) -> None:
    found = []
    for _ in range(2):
        assert main([*SMALL, "--json", "--sweep", "online=0.3,0.7,1"]) == 0
        found.append(json.loads(capsys.readouterr().out))
    assert found[0] == found[1]
    failed = [{one["name"]: one["value"] for one in run["figures"]}["failed"] for run in found[0]["runs"]]
    assert failed[0] > failed[1] > failed[2] == 0
    assert [run["run"] for run in found[0]["runs"]] == ["online 0.3", "online 0.7", "online 1"]
    assert all(run["conserved"] and run["days"] == 40 for run in found[0]["runs"])


@pytest.mark.parametrize("sweep", ["arity=8x4x2,30", "feerate=1,50", "cohort=20,30"])
def test_a_sweep_as_a_table(sweep: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main([*SMALL, "--sweep", sweep, "--svg", str(tmp_path / "s.svg")]) == 0
    said = capsys.readouterr().out
    name, _, values = sweep.partition("=")
    assert all(f"{name} {value}" in said for value in values.split(","))
    assert "monthly_fee: sat a month" in said
    assert len(list(ElementTree.parse(tmp_path / "s.svg").iter("{http://www.w3.org/2000/svg}polyline"))) == 6


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--clients", "ten"], "--clients: 'ten' is not a whole number"),
        (["--days", "-1"], "--days: '-1' is not a whole number"),
        (["--days", "0"], "--days: must be from 1"),
        (["--online", "x"], "--online: 'x' is not a number"),
        (["--online", "1.1"], "--online: must be from 0 to 1"),
        (["--online", "nan"], "--online: must be from 0 to 1"),
        (["--cohort", "128"], "128 is not within 1..127"),
        (["--arity", "2,a"], "--arity: 'a' is not a whole number"),
        (["--arity", "2", "--static", "0"], "the worst exit takes"),
        (["--absent", "none"], "'none' is not one"),
        (["--sweep", "colour=1"], "is not NAME=V,V"),
        (["--sweep", "online"], "is not NAME=V,V"),
        (["--sweep", "online=0.5,"], "--online: '' is not a number"),
        (["--sample", "1001"], "--sample: '1001' is not a whole number from 0 to 1000"),
        (["--csv", "/nowhere/at/all.csv"], "/nowhere/at/all.csv"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SMALL, *arguments]) in (1, 2)
    out, err = capsys.readouterr()
    assert out == ""
    assert says in err
    assert err.count("\n") == 1


def test_an_interruption_leaves_what_was_computed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    step = days.Ladders.step

    def interrupted(self: days.Ladders) -> days.Row:
        if self.day == 7:
            raise KeyboardInterrupt
        return step(self)

    monkeypatch.setattr(days.Ladders, "step", interrupted)
    assert main([*SMALL, "--csv", str(tmp_path / "days.csv")]) == 130
    assert "INTERRUPTED" in capsys.readouterr().out
    assert len((tmp_path / "days.csv").read_text().splitlines()) == 8


def test_a_chart_holds_all_its_lines_within_its_frame() -> None:
    drawing = ElementTree.fromstring(chart("t < u", "day", [Panel("a", (Line("x", [0.0, 5.0, -2.0]), Line("y", [])))]))
    lines = list(drawing.iter("{http://www.w3.org/2000/svg}polyline"))
    points = [tuple(map(float, point.split(","))) for point in lines[0].attrib["points"].split()]
    assert len(lines) == 2
    assert lines[1].attrib["points"] == ""
    assert points[1][1] < points[0][1] < points[2][1]
    assert all(0 < x < 900 and 0 < y < 260 for x, y in points)
    many = chart("t", "day", [Panel("a", (Line("x", [float(place) for place in range(5_001)]),))])
    assert 500 < many.count(",") < 1_100
    assert [short(value) for value in (0.25, 20_000, 1.5e6, 2e9, 3e12)] == ["0.25", "20k", "1.5M", "2G", "3T"]
