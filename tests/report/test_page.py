"""The page: whole, offline, true to the result, and deaf to what a name might smuggle in."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import pytest

from superscalar_ref.errors import InputError
from superscalar_ref.machine import draw
from superscalar_ref.report import page
from superscalar_ref.report.result import Client, VerifyResult
from superscalar_ref.spec.load import load_machines
from superscalar_ref.spec.table import Machine
from tests.report.sample import NAMES, TIMELINE, sample

VOID = {"meta", "link", "br", "circle", "line"}


@cache
def tables() -> tuple[Machine, ...]:
    return load_machines()


class Outline(HTMLParser):
    """Tags, attributes and ids of a page; fails on a tag that is closed out of order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.targets: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        self._note(attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self._note(attrs)

    def _note(self, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            self.attributes.append((name, value or ""))
            if name == "id":
                self.ids.append(value or "")
            if name == "href" and value and value.startswith("#"):
                self.targets.append(value[1:])

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def outline(result: VerifyResult) -> Outline:
    parser = Outline()
    parser.feed(page.render(result, tables()))
    parser.close()
    return parser


def test_tags_are_closed_and_ids_are_unique_and_every_link_leads_somewhere() -> None:
    found = outline(sample())
    assert found.open == []
    assert len(found.ids) == len(set(found.ids))
    assert set(found.targets) <= set(found.ids)


def test_every_rule_of_every_table_has_its_anchor() -> None:
    ids = set(outline(sample()).ids)
    for machine in tables():
        assert {row.id for row in machine.transitions} <= ids
        assert {f"{machine.name}.{state.name}" for state in machine.states} <= ids


def test_nothing_is_fetched_and_nothing_runs() -> None:
    found = outline(sample())
    assert not found.tags & {"script", "img", "iframe", "object", "embed", "image", "use"}
    for name, value in found.attributes:
        assert not name.startswith("on")
        if name in ("href", "src", "xlink:href", "action"):
            assert value.startswith("#") or value == "data:,"
    html = page.render(sample(), tables())
    assert "@import" not in html
    assert "url(" not in html
    assert re.search(r'content="default-src \'none\'', html)


def test_the_page_says_what_the_result_says() -> None:
    text = outline(sample()).text
    assert "All 5 checks hold" in text
    assert "The factory sample" in text
    for name in NAMES:
        assert f"{name} exits alone." in text
    for row in sample().transactions:
        assert row.name in text and row.txid in text and row.verdict in text
    assert "49,800" in text
    assert "What failed" not in text


def test_a_failure_comes_first() -> None:
    good = sample()
    bad = replace(good.checks[1], passed=False, detail="owned 3 sat less")
    text = outline(replace(good, passed=False, checks=(good.checks[0], bad, *good.checks[2:]))).text
    assert "1 of 5 checks fail" in text
    assert text.index("owned 3 sat less") < text.index("The factory")


def test_a_run_that_did_not_pass_never_looks_well() -> None:
    text = outline(replace(sample(), passed=False)).text
    assert "The run did not pass" in text
    assert "checks hold" not in text


def test_an_unexpected_verdict_is_pointed_out() -> None:
    good = sample()
    wrong = replace(good.transactions[0], verdict="bad-txns-in-belowout")
    text = outline(replace(good, transactions=(wrong, *good.transactions[1:]))).text
    assert "bad-txns-in-belowout (accepted was expected)" in text


def test_a_name_cannot_smuggle_markup_in() -> None:
    good = sample()
    evil = '<script>alert("x")</script>'
    clients = (Client(evil, 1, 2), *good.factory.clients[1:])
    exits = (replace(good.exits[0], client=evil), *good.exits[1:])
    checks = (replace(good.checks[0], says=evil, detail=evil, id=evil), *good.checks[1:])
    found = outline(
        replace(
            good, example=evil, factory=replace(good.factory, name=evil, clients=clients), exits=exits, checks=checks
        )
    )
    assert "script" not in found.tags
    assert found.text.count(evil) >= 6


def test_an_empty_run_is_still_a_page() -> None:
    found = outline(replace(sample(), checks=(), exits=(), races=(), transactions=(), passed=False))
    assert found.open == []
    assert "races" not in found.ids


def test_a_timeline_runs_from_the_decision_to_the_last_block() -> None:
    exit_ = sample().exits[0]
    marks = page.timeline(exit_, exit_.blocks, {})
    assert [mark.confirmation.height for mark in marks] == [height for _, height in TIMELINE]
    assert [mark.kind for mark in marks] == ["kickoff", "state", "kickoff", "state", "sweep"]
    assert marks[-1].percent == pytest.approx(99.0)
    assert [mark.percent for mark in marks] == sorted(mark.percent for mark in marks)
    # 101 is one block after the decision at 1113 − 1013 = 100.
    assert marks[0].percent == pytest.approx(1 + 98 / 1013)


def test_a_slower_exit_makes_a_shorter_line_of_the_others() -> None:
    exit_ = sample().exits[0]
    assert page.timeline(exit_, 2 * exit_.blocks, {})[-1].percent == pytest.approx(50.0)
    assert page.timeline(replace(exit_, confirmations=()), 10, {}) == ()


def test_the_kind_comes_from_the_scenario_where_it_is_known() -> None:
    exit_ = sample().exits[0]
    marks = page.timeline(exit_, exit_.blocks, {("exit/alice", "sweep"): "child"})
    assert marks[-1].kind == "child"


def test_every_machine_is_drawn() -> None:
    text = outline(sample()).text
    assert "No diagram" not in text
    html = page.render(sample(), tables())
    for machine in tables():
        assert f'aria-label="State diagram of {machine.name}"><svg' in html


def test_without_anything_that_draws_the_page_keeps_its_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draw, "engine", lambda: None)
    found = outline(sample())
    assert found.text.count("No diagram: dot: neither Graphviz nor") == len(tables())
    assert "FAC-1" in found.ids
    assert "stateDiagram-v2" in found.text


def test_it_is_written_with_its_directory(tmp_path: Path) -> None:
    path = tmp_path / "build" / "report" / "index.html"
    page.write(sample(), tables(), path)
    assert path.read_text(encoding="utf-8") == page.render(sample(), tables())


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "build").write_text("a file")
    with pytest.raises(InputError, match="report-file"):
        page.write(sample(), tables(), tmp_path / "build" / "index.html")
