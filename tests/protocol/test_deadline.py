"""Deadlines: counted back from the end, word for word what the lemmas assume, and refused with their line."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from superscalar_ref.errors import SpecError
from superscalar_ref.protocol.deadline import Lead, load_deadlines
from superscalar_ref.spec.load import load_parameters
from superscalar_ref.spec.location import spec_directory
from superscalar_ref.spec.source import read_document


def test_the_lemmas_assume_the_very_expression_that_is_evaluated() -> None:
    """A lemma about another height would prove nothing about what the parties do; one that is not named, unnoticed."""
    given: Any = read_document(spec_directory() / "lemmas.toml").data["lemmas"]
    for deadline in load_deadlines().values():
        assuming = {
            name for name, row in given.items() if deadline.text in [" ".join(text.split()) for text in row["given"]]
        }
        assert set(deadline.lemmas) == assuming


def test_a_deadline_says_what_its_row_says() -> None:
    rows: Any = read_document(spec_directory() / "deadlines.toml").data["deadlines"]
    for row in rows:
        one = load_deadlines()[row["for"]]
        kept = (one.id, one.role, one.text, list(one.lemmas), one.says, one.why)
        assert kept == tuple(row[key] for key in ("id", "for", "height", "lemmas", "says", "why"))


def test_the_defaults() -> None:
    values = load_parameters().defaults().as_dict()
    deadlines = load_deadlines()
    assert deadlines["lsp"].lead(values) == Lead(155 + 1866 + 6, 2, 12)
    assert deadlines["client"].lead(values) == Lead(155 + 1866, 2, 12)


def test_each_link_beyond_those_of_the_budget_brings_it_forward() -> None:
    lead = Lead(100, 2, 12)
    assert [lead.deadline(1_000, links) for links in (0, 2, 3, 5)] == [900, 900, 888, 864]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('for = "client"', 'for = "lsp"', "two deadlines"),
        ('for = "client"', 'for = "tower"', "is one of"),
        ("deadline == end - settle_blocks - exit_budget_blocks - extra", "deadline == soon", "soon"),
        ("deadline == end - settle_blocks - exit_budget_blocks - extra", "end == deadline", "is written"),
        ("deadline == end - settle_blocks - exit_budget_blocks - extra", "deadline < end", "is written"),
        ('lemmas = ["L-CLIENT-DEADLINE"]', "lemmas = []", "list of ids"),
        ('lemmas = ["L-CLIENT-DEADLINE"]', "", "'lemmas' is missing"),
        ('for = "client"', 'for = "client"\ncolour = "red"', "unknown key 'colour'"),
    ],
)
def test_what_cannot_be_kept_is_refused_with_its_line(tmp_path: Path, old: str, new: str, problem: str) -> None:
    copy = tmp_path / "spec"
    copy.mkdir()
    for name in ("parameters.toml", "deadlines.toml"):
        shutil.copy(spec_directory() / name, copy / name)
    text = (copy / "deadlines.toml").read_text(encoding="utf-8")
    assert old in text
    (copy / "deadlines.toml").write_text(text.replace(old, new, 1), encoding="utf-8")
    line = 1 + text[: text.index(old)].count("\n")
    # What is missing or unknown is told at its row, or at its own line.
    where = r"\d+" if "missing" in problem or "unknown" in problem else str(line)
    with pytest.raises(SpecError, match=rf"deadlines\.toml:{where}: .*{problem}"):
        load_deadlines(copy)


def test_each_role_has_one(tmp_path: Path) -> None:
    shutil.copy(spec_directory() / "parameters.toml", tmp_path / "parameters.toml")
    text = (spec_directory() / "deadlines.toml").read_text(encoding="utf-8")
    (tmp_path / "deadlines.toml").write_text(text.partition('[[deadlines]]\nid = "STR-21"')[0], encoding="utf-8")
    with pytest.raises(SpecError, match="'client' has no deadline"):
        load_deadlines(tmp_path)
    (tmp_path / "deadlines.toml").write_text("x = 1\n", encoding="utf-8")
    with pytest.raises(SpecError, match="nothing else"):
        load_deadlines(tmp_path)
