"""Tables without a form of their own, and what the search finds."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from superscalar_ref.conformance.trace import Requirement
from superscalar_ref.errors import InputError
from superscalar_ref.site.text import Rendered
from superscalar_ref.spec.findings import Finding
from superscalar_ref.spec.source import Document, read_document
from superscalar_ref.spec.specification import Specification

DECISION = re.compile(r"^\| (D-\d+) \| ([^|]+)", re.MULTILINE)
"""A row of the chapter on decisions: its id, and what was decided."""
_OWN_PAGES = frozenset({"parameters.toml", "properties.toml"})
"""Tables that have a form of their own on the page."""
_LONGEST = 160
"""Letters of what the search shows beside an id."""

Found = tuple[str, str, str]
"""What the search finds: an anchor, a name, words."""


@dataclass(frozen=True)
class Entry:
    """One row of a table: where a link leads, its id if it has one, and its other fields as lines."""

    anchor: str
    name: str
    says: str
    why: str
    rest: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True)
class Table:
    """A file of tables: its anchor, its name, what its first comment says, and its rows."""

    anchor: str
    name: str
    intro: str
    rows: tuple[Entry, ...]


def tables_of(root: Path) -> Iterator[Table]:
    """Every table of ``spec/`` that has no form of its own. Raises SpecError, InputError."""
    for path in sorted(root.glob("*.toml")):
        if path.name in _OWN_PAGES:
            continue
        comment = re.match(r"(?:#.*\n)*", read(path))
        words = re.sub(r"^# ?", "", comment[0] if comment else "", flags=re.MULTILINE)
        rows = tuple(_entries(read_document(path), path.stem))
        yield Table(f"table-{path.stem}", path.stem, words.strip(), rows)


def _entries(document: Document, table: str) -> Iterator[Entry]:
    several = sum(isinstance(content, list) for content in document.data.values()) > 1
    for section, content in document.data.items():
        if isinstance(content, dict):
            rows = [(str(key), row) for key, row in content.items() if isinstance(row, dict)]
        elif isinstance(content, list):
            rows = [(str(row.get("id", row.get("name", ""))), row) for row in content if isinstance(row, dict)]
        else:
            rows = []
        place = f"{table}.{section}" if several else table
        for number, (name, row) in enumerate(rows, start=1):
            own = re.fullmatch(r"[A-Z]+-[A-Z0-9-]+", name) is not None
            rest = tuple(
                (key, tuple(lines(value))) for key, value in row.items() if key not in ("id", "name", "says", "why")
            )
            anchor = name if own else f"{place}.{name or number}"
            yield Entry(anchor, name, str(row.get("says", "")), str(row.get("why", "")), rest)


def lines(value: object) -> Iterator[str]:
    """A value of a table as lines."""
    if isinstance(value, list):
        for item in value:
            yield from lines(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield f"{key}: {'; '.join(lines(item))}"
    else:
        yield str(value).lower() if isinstance(value, bool) else str(value)


def index(
    specification: Specification,
    findings: Sequence[Finding],
    tables: Sequence[Table],
    requirements: Sequence[Requirement],
    texts: Mapping[str, Rendered],
) -> list[Found]:
    """What the search finds, each anchor once: what comes first is shown first."""
    found: dict[str, Found] = {}
    for anchor, name, words in (
        *_in_machines(specification),
        *_in_specification(specification),
        *((one.id, one.id, one.title) for one in findings),
        *((table.anchor, table.name, f"table: {table.intro}") for table in tables),
        *((row.anchor, row.name or row.anchor, row.says or row.why) for table in tables for row in table.rows),
        *((one.id, one.id, one.words) for one in requirements),
        *((name, name, says) for name, says in DECISION.findall(read(specification.directory / _DECISIONS))),
        *((anchor, text.title, "chapter") for anchor, text in texts.items()),
        *((one.anchor, one.words, text.title) for text in texts.values() for one in text.headings),
    ):
        found.setdefault(anchor, (anchor, name, " ".join(words.split())[:_LONGEST]))
    return list(found.values())


_DECISIONS = Path("chapters") / "decisions.md"


def _in_machines(specification: Specification) -> Iterator[Found]:
    for machine in specification.machines:
        yield f"machine-{machine.name}", machine.title, f"machine: {machine.subject}"
        for row in machine.transitions:
            yield row.id, row.id, f"{machine.name}, {row.event}: {row.rule}"
        for kind, items in (("state", machine.states), ("guard", machine.guards), ("effect", machine.effects)):
            for item in items:
                yield f"{machine.name}.{item.name}", item.name, f"{kind} of {machine.name}: {item.says}"


def _in_specification(specification: Specification) -> Iterator[Found]:
    for constraint in specification.parameters.constraints:
        yield constraint.id, constraint.id, constraint.says
    for parameter in specification.parameters.parameters:
        yield f"parameter.{parameter.name}", parameter.name, f"parameter: {parameter.says}"
    for one in specification.properties:
        yield one.id, one.id, one.says
    for variant in specification.variants:
        yield variant.id, variant.id, variant.title


def read(path: Path) -> str:
    """The text of a file of the specification. Raises InputError that names it."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(str(path), f"cannot be read: {error}", "report-input") from None
