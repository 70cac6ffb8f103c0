"""The text: what is generated is current, ids are known and stand once, and a wrong block is one line."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest

from superscalar_ref import cli
from superscalar_ref.conformance import chapters, kit, trace
from superscalar_ref.conformance.adapter import reference_machines
from superscalar_ref.conformance.seeds import load_seed
from superscalar_ref.errors import InputError
from superscalar_ref.spec.location import spec_directory

CHAPTERS = spec_directory() / "chapters"


@pytest.fixture(scope="module")
def source() -> chapters.Source:
    return chapters.Source()


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the chapters, in which text may be broken."""
    copy = tmp_path / "spec"
    shutil.copytree(spec_directory(), copy, ignore=shutil.ignore_patterns("seeds"))
    for module in (chapters, trace):
        monkeypatch.setattr(module, "spec_directory", lambda directory=None: copy)
    return copy / "chapters"


def test_the_text_names_each_chapter_and_every_link_leads_somewhere() -> None:
    index = (CHAPTERS / "README.md").read_text(encoding="utf-8")
    for path in CHAPTERS.glob("*.md"):
        assert path.name == "README.md" or f"]({path.name})" in index, path.name
        for link in re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8")):
            assert (path.parent / link).exists(), f"{path.name}: {link}"


def test_every_row_of_every_machine_stands_in_the_text(source: chapters.Source) -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in CHAPTERS.glob("*.md"))
    for machine in source.specification.machines:
        for row in machine.transitions:
            assert f"- **{row.id}** " in text, f"{row.id}: run superscalar-ref chapters"


def test_blocks_are_made_anew_and_nothing_else_is_touched(source: chapters.Source) -> None:
    text = "before\n<!-- generated: diagram session -->\nold\n<!-- end -->\nafter <b>\n"
    made = chapters.spliced(text, "x.md", source)
    assert made.startswith("before\n<!-- generated: diagram session -->\n\n```mermaid\n")
    assert made.endswith("<!-- end -->\nafter <b>\n") and "\nold\n" not in made
    assert chapters.spliced(made, "x.md", source) == made


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ("<!-- generated: no-such-kind -->\n<!-- end -->", "x.md:2: no kind of block"),
        ("<!-- generated: diagram nobody -->\n<!-- end -->", "x.md:2: 'diagram nobody'"),
        ("<!-- generated: diagram -->\n<!-- end -->", "x.md:2: 'diagram '"),
        ("<!-- generated: bytes nothing -->\n<!-- end -->", "x.md:2: 'bytes nothing'"),
        ("<!-- generated: diagram session -->\n", "has no '<!-- end -->'"),
        ("<!-- generated: -->\n<!-- end -->", "malformed"),
    ],
)
def test_a_wrong_block_is_one_line_with_its_place(block: str, said: str, source: chapters.Source) -> None:
    with pytest.raises(InputError) as error:
        chapters.spliced(f"# Title\n{block}\n", "x.md", source)
    assert said in str(error.value)


def test_bytes_of_an_example_add_up_to_the_transaction(source: chapters.Source) -> None:
    made = chapters.BLOCKS["bytes"](source, "leaf-a")
    parts = [line.split("  ")[0] for line in made.split("```")[1].splitlines()[1:] if line]
    assert "".join(parts) == source.tests["tx-leaf-a"]["expect"]["ok"]["transaction"]
    assert "P2TR: 2 signers together; or one alone, csv 1008" in made and "nSequence: 144 blocks" in made


def test_a_chapter_that_differs_is_named(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in copied.glob("*.md"):
        if path.name != "watchtower.md":
            path.unlink()
    path = copied / "watchtower.md"
    cli.main(["chapters"])
    assert cli.main(["chapters", "--check"]) == 0
    path.write_text(path.read_text(encoding="utf-8").replace("**WTW-1**", "**WTW-2**"), encoding="utf-8")
    capsys.readouterr()
    assert cli.main(["chapters", "--check"]) == 1
    assert "watchtower.md: differs" in capsys.readouterr().out
    cli.main(["chapters"])
    assert cli.main(["chapters", "--check"]) == 0


def _write(copied: Path, text: str) -> None:
    (copied / "extra.md").write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("- **R-KEYS** A party MUST.\n", "R-KEYS is defined twice: chapters/extra.md, chapters/keys.md"),
        ("- **R-NEW-RULE** A party MUST.\n", "R-NEW-RULE (chapters/extra.md) is named by no code"),
        ("As R-NOWHERE says.\n", "R-NOWHERE is named in spec/chapters/extra.md and defined nowhere"),
        ("As SES-99 says.\n", "SES-99 is named in spec/chapters/extra.md and defined nowhere"),
        ("As P-NOTHING-HOLDS says.\n", "P-NOTHING-HOLDS is named in spec/chapters/extra.md and defined nowhere"),
    ],
)
def test_ids_that_are_unknown_doubled_or_unused_are_faults(copied: Path, text: str, fault: str) -> None:
    _write(copied, text)
    assert fault in trace.trace(kit.load_tests()).faults


ARGUED = "without_vectors.toml"
PLANTED = [
    ("findings/Q-DW-1.md", "`FAC-10`", "`FAC-98`", "FAC-98 is named in spec/findings/Q-DW-1.md and defined nowhere"),
    ("machines/stock.toml", "Q-STK-5", "Q-STK-99", "Q-STK-99 is named in spec/machines/stock.toml and defined nowhere"),
    ("strategy.toml", '"STR-9"', '"STR-99"', "STR-9 is named in "),
    ("backup.toml", '"BAK-3"', '"BAK-33"', "BAK-3 is named in "),
    ("variants/htlc-dying.toml", "Q-TIME-7", "Q-TIME-77", "Q-TIME-77 is named in spec/variants/htlc-dying.toml"),
    ("README.md", "P-SALE-KEPT", "P-SALE-LOST", "P-SALE-LOST is named in spec/README.md and defined nowhere"),
    (
        ARGUED,
        "",
        '[[rules]]\nrule = "R-SHAPE"\nwhy = "x"\ntest = "tests/x.py"\n',
        "R-SHAPE stands in spec/without_vectors.toml",
    ),
    (
        ARGUED,
        "",
        '[[rules]]\nrule = "R-GONE"\nwhy = "x"\ntest = "tests/x.py"\n',
        "R-GONE is named in spec/without_vectors.toml",
    ),
    (
        "chapters/stock.md",
        "# Stock and sales",
        "# Stock and sales\n\nA buyer MUST pay.\n",
        "chapters/stock.md says MUST in no",
    ),
    (ARGUED, "test_channel_opening", "test_fees", "R-CHANNEL-OPENED: tests/parties/test_fees.py does not name it"),
]
"""File, what stands there, what is put there, and what is then said."""


@pytest.fixture(scope="module")
def vectors() -> list[dict[str, Any]]:
    return kit.load_tests()


def test_each_planted_fault_of_an_id_is_red(copied: Path, vectors: list[dict[str, Any]]) -> None:
    sound = trace.trace(vectors, spec_directory().parent).faults
    for name, old, new, _ in PLANTED:
        path = copied.parent / name
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new) if old else text + new, encoding="utf-8")
    faults = trace.trace(vectors, spec_directory().parent).faults
    for *_, said in PLANTED:
        assert not [one for one in sound if one.startswith(said)]
        assert [one for one in faults if one.startswith(said)], said


def test_an_id_that_nothing_uses_is_a_fault(
    copied: Path, vectors: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    identities = ("D-16", "Q-DW-6", "R-EXIT-AWAKE")
    named = trace._named_in
    monkeypatch.setattr(trace, "_named_in", lambda *at: {k: v for k, v in named(*at).items() if k not in identities})
    for path in copied.parent.rglob("*"):
        if path.suffix in (".md", ".toml") and path.name not in ("decisions.md", "Q-DW-6.md", "parameters.toml"):
            text = path.read_text(encoding="utf-8")
            path.write_text(re.sub("|".join(identities), "it", text), encoding="utf-8")
    faults = trace.trace(vectors).faults
    assert {one.split(" (")[0] for one in faults if "named by nothing else" in one} == set(identities)


def test_a_must_without_vector_and_without_a_test_fails_the_command(
    copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["trace", "--check"]) == 0, capsys.readouterr().out
    path = copied / "channels.md"
    path.write_text(path.read_text(encoding="utf-8") + "\n- **R-TERMS-NEW** A party MUST.\n", encoding="utf-8")
    assert cli.main(["trace", "--check"]) == 1
    said = capsys.readouterr().out
    assert "open: R-TERMS-NEW says MUST and has no negative vector" in said
    assert "wrong: R-TERMS-NEW (chapters/channels.md) is named by no code" in said


def test_generated_text_defines_nothing_again(copied: Path) -> None:
    _write(copied, "<!-- generated: constraints R-END -->\n- **R-END** again\n<!-- end -->\n")
    assert not [fault for fault in trace.trace(kit.load_tests()).faults if fault.startswith("R-END ")]


def test_a_must_without_a_negative_vector_is_open_and_an_empty_cell_is_red() -> None:
    tests = kit.load_tests()
    keep: Callable[[list[str]], bool] = lambda rules: "SES-8" not in rules  # noqa: E731
    found = trace.trace([test for test in tests if keep(test["rules"])])
    assert "SES-8" in [one.id for one in found.open()]
    row = next(line for line in trace.table(found.requirements).splitlines() if line.startswith("| SES-8 "))
    assert (
        row.count("🟥") == 3 and "`diagrams/session.svg`" in row
    )  # tests are not looked for here, and there is no vector
    assert "SES-8" not in [one.id for one in trace.trace(tests).open()]


def test_the_roles_that_the_guide_gives_are_those_of_the_tables() -> None:
    guide = (spec_directory() / "chapters" / "conformance.md").read_text()
    rows = re.findall(r"^\| (\w+) \| (\w+) \| `([\w.]+)`", guide, re.MULTILINE)
    told = {(machine, role) for machine, role, _ in rows}
    for name, machine in reference_machines().items():
        seed = load_seed(machine)
        assert seed is not None
        roles = {role for row in machine.table.transitions for role in row.by} - {"chain", "clock", "anyone"}
        assert {(name, role) for role in roles} == {one for one in told if one[0] == name}
        for _, role, field in (one for one in rows if one[0] == name):
            found = set()
            for start in seed.starts:
                value = attrgetter(field)(start.context)
                found |= {start.context.role_of(one) for one in ([value] if isinstance(value, str) else value)}
            assert role in found, (name, role)
