"""Findings: pages that settle a question, each with a table of what repeats it.

Laws of this module:

* A page states nothing that its table does not repeat: a page without a table is refused.
* Every row of the table names something that exists.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from superscalar_ref.errors import SpecError
from superscalar_ref.spec.load import identifiers
from superscalar_ref.spec.location import display
from superscalar_ref.spec.source import Place
from superscalar_ref.spec.specification import Specification

HEADER = "| repeat | finds |"
KINDS: dict[str, str] = {
    "variant": "refuted",
    "property": "holds",
    "lemma": "proven",
    "replay": "agrees",
    "verify": "holds",
    "test": "passes",
}
"""What can be repeated, and what it then finds; a variant that says that it breaks nothing holds."""
SCENARIOS = ("end", "race", "sales")
"""Parts of ``verify`` that can be run by themselves: what a check's id begins with."""
_ROW = re.compile(r"\| `(?P<what>[^`|]+)` \| (?P<finds>[^|]+) \|")
_TEST = re.compile(r"(?P<path>tests/[\w/]+\.py)::(?P<name>test_\w+)")


@dataclass(frozen=True)
class Repeat:
    """One row: what is run again, and what it finds when the page still holds."""

    kind: str
    """A key of ``KINDS``."""
    target: str
    """An id, or ``tests/…::name``."""
    configuration: str
    """Property: the only configuration that is played; empty for all."""
    finds: str
    place: Place

    @property
    def command(self) -> str:
        """What a person types to see it alone."""
        match self.kind:
            case "variant":
                return f"superscalar-ref check --variant {self.target}"
            case "property":
                config = f" --config {self.configuration}" if self.configuration else ""
                return f"superscalar-ref check --property {self.target}{config}"
            case "lemma":
                return f"superscalar-ref check --property {self.target}"
            case "replay":
                return f"superscalar-ref check --variant {self.target} --trace t.json; superscalar-ref replay t.json"
            case "verify":
                return f"superscalar-ref verify FILE ({self.target})"
        return f"python -m pytest {self.target}"


@dataclass(frozen=True)
class Finding:
    """One page."""

    id: str
    title: str
    text: str
    """All of it, as written."""
    repeats: tuple[Repeat, ...]
    path: Path


def load_findings(specification: Specification) -> tuple[Finding, ...]:
    """Every page of ``findings/``, in the order of their ids. Raises ``SpecError`` (``file:line``)."""
    known = {identity for identity, _ in identifiers(specification)}
    paths = sorted((specification.directory / "findings").glob("*.md"))
    return tuple(_finding(path, specification, known) for path in paths)


def _finding(path: Path, specification: Specification, known: set[str]) -> Finding:
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    title = lines[0] if lines else ""
    if not title.startswith(f"# {path.stem}: "):
        raise SpecError(str(Place(display(path), 1)), f"the page begins '# {path.stem}: …'", "finding")
    for part in ("**Question.**", "**Answer"):
        if part not in text:
            raise SpecError(str(Place(display(path), 1)), f"the page has no part '{part}'", "finding")
    rows = tuple(_rows(path, lines, specification, known))
    if not rows:
        place = Place(display(path), len(lines))
        raise SpecError(str(place), f"the page has no table '{HEADER}': nothing repeats it", "finding")
    return Finding(path.stem, title.partition(": ")[2], text, rows, path)


def _rows(path: Path, lines: list[str], specification: Specification, known: set[str]) -> Iterator[Repeat]:
    inside = False
    for number, line in enumerate(lines, start=1):
        if line == HEADER:
            inside = True
            continue
        if not inside or line.startswith("| ---"):
            continue
        if not line.startswith("|"):
            inside = False
            continue
        place = Place(display(path), number)
        row = _ROW.fullmatch(line)
        if row is None:
            raise SpecError(str(place), "a row is written '| `what is repeated` | what it finds |'", "finding")
        repeat = _repeat(row["what"], row["finds"].strip(), place)
        _check(repeat, specification, known)
        yield repeat


def _repeat(what: str, finds: str, place: Place) -> Repeat:
    first, *rest = what.split()
    if first.startswith("V-") and not rest:
        return Repeat("variant", first, "", finds, place)
    if first.startswith("P-") and (not rest or (len(rest) == 2 and rest[0] == "in")):
        return Repeat("property", first, rest[1] if rest else "", finds, place)
    if first.startswith("L-") and not rest:
        return Repeat("lemma", first, "", finds, place)
    if first in ("replay", "verify", "test") and len(rest) == 1:
        return Repeat(first, rest[0], "", finds, place)
    forms = "V-…, P-…, P-… in CONFIGURATION, L-…, replay V-…, verify SCENARIO/…, test tests/….py::test_…"
    raise SpecError(str(place), f"'{what}' is none of {forms}", "finding")


def _check(repeat: Repeat, specification: Specification, known: set[str]) -> None:
    def fault(problem: str) -> SpecError:
        return SpecError(str(repeat.place), problem, "finding")

    variant = next((one for one in specification.variants if one.id == repeat.target), None)
    safe = repeat.kind == "variant" and variant is not None and not variant.breaks
    finds = KINDS["property"] if safe else KINDS[repeat.kind]
    if repeat.finds != finds:
        raise fault(f"{repeat.target} finds '{finds}', not '{repeat.finds}'")
    if repeat.kind in ("variant", "property", "lemma", "replay") and repeat.target not in known:
        raise fault(f"there is no {repeat.target}")
    if repeat.kind == "replay" and repeat.target not in {variant.id for variant in specification.variants}:
        raise fault(f"{repeat.target} is no variant")
    if repeat.kind == "verify" and repeat.target.partition("/")[0] not in SCENARIOS:
        raise fault(f"'{repeat.target}' is of none of the scenarios {', '.join(SCENARIOS)}")
    if repeat.kind == "test":
        _check_test(repeat, fault("a test is written tests/….py::test_…"), specification.directory.parent)


def _check_test(repeat: Repeat, malformed: SpecError, checkout: Path) -> None:
    """The test is there, where there are tests at all: an installed package comes without."""
    parts = _TEST.fullmatch(repeat.target)
    if parts is None:
        raise malformed
    path = checkout / parts["path"]
    if (checkout / "tests").is_dir() and (not path.is_file() or f"def {parts['name']}(" not in path.read_text("utf-8")):
        raise SpecError(str(repeat.place), f"there is no test {repeat.target}", "finding")
