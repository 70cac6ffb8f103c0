"""Requirement → where it stands → code → tests → vectors; and ids that are unknown or stand twice.

Laws of this module:

* A requirement is a row of a table, a constraint between parameters, or a line ``- **R-X** …`` of a chapter.
* Every id that a chapter, a vector or the package names is defined somewhere; no id is defined twice.
* A requirement with MUST has a negative vector, or is listed as open.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import superscalar_ref
from superscalar_ref.conformance.corpus import level_of
from superscalar_ref.errors import InputError
from superscalar_ref.spec.load import load_specification
from superscalar_ref.spec.location import spec_directory

_ID = re.compile(
    r"\b(?:(?:FAC|CHN|CLI|STK|SES|LAD|WTW|JIT|AXT|D)-\d+|(?:R|P|V|L|Q|STR)-[A-Z][A-Z0-9]*(?:-[A-Z0-9]+)*)\b(?!-)"
)
_DEFINED_IN_TEXT = re.compile(r"^- \*\*(R-[A-Z0-9-]+)\*\* +(.*)", re.MULTILINE)
_GENERATED = re.compile(r"<!-- generated:.*?<!-- end -->", re.DOTALL)
_NO_IDS = frozenset({"V-WHY"})
"""``why`` calls the patch that it makes by this name."""


@dataclass(frozen=True)
class Requirement:
    """One requirement, and what stands for it."""

    id: str
    level: str
    where: str
    """The file below ``spec/``."""
    words: str
    code: tuple[str, ...] = ()
    """Modules below ``superscalar_ref/``."""
    tests: tuple[str, ...] = ()
    """Files below ``tests/`` that name it."""
    positive: int = 0
    """Vectors in which it is followed."""
    negative: int = 0
    """Vectors in which something is refused by it."""


@dataclass(frozen=True)
class Trace:
    """All requirements, in the order of the files, and what is wrong with the ids."""

    requirements: tuple[Requirement, ...]
    faults: tuple[str, ...]

    def open(self) -> tuple[Requirement, ...]:
        """Rows with MUST that no negative vector is about."""
        return tuple(one for one in self.requirements if one.level == "MUST" and _is_row(one.id) and not one.negative)


def trace(tests: Sequence[Mapping[str, Any]], root: Path | None = None) -> Trace:
    """Trace every requirement; ``root`` is the folder that holds ``tests/``, where there is one. Raises SpecError."""
    specification = load_specification()
    defined: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
    for machine in specification.machines:
        for row in machine.transitions:
            defined[row.id].append((f"machines/{machine.name}.toml", row.rule, level_of(machine, row.id)))
    for constraint in specification.parameters.constraints:
        defined[constraint.id].append(("parameters.toml", constraint.says, _level(constraint.says)))
    for path in sorted((spec_directory() / "chapters").glob("*.md")):
        by_hand = _GENERATED.sub("", path.read_text(encoding="utf-8"))
        for identity, words in _DEFINED_IN_TEXT.findall(by_hand):
            defined[identity].append((f"chapters/{path.name}", words, _level(words)))
    package = Path(superscalar_ref.__file__).parent
    in_code = _named_in(package, ("conformance",))
    in_tests = _named_in(root / "tests", ()) if root is not None and (root / "tests").is_dir() else {}
    followed, refused = _vectors(tests)
    requirements = tuple(
        Requirement(
            identity,
            places[0][2],
            places[0][0],
            " ".join(places[0][1].split()),
            _code_of(identity, places[0][0], in_code),
            tuple(in_tests.get(identity, ())),
            followed[identity],
            refused[identity],
        )
        for identity, places in defined.items()
    )
    return Trace(requirements, tuple(_faults(defined, tests, in_code)))


def _level(words: str) -> str:
    return next((word for word in ("MUST", "SHOULD", "MAY") if re.search(rf"\b{word}\b", words)), "MUST")


def _is_row(identity: str) -> bool:
    return identity[-1].isdigit() and not identity.startswith("R-")


def _named_in(folder: Path, leave_out: tuple[str, ...]) -> dict[str, list[str]]:
    """For each id the files below a folder that name it."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted(folder.rglob("*.py")):
        name = path.relative_to(folder)
        if name.parts[0] in leave_out or "_spec" in name.parts:
            continue
        for identity in sorted(set(_ID.findall(path.read_text(encoding="utf-8")))):
            found[identity].append(name.as_posix())
    return found


def _code_of(identity: str, where: str, in_code: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """A row's code is its machine's module, since the table itself is what runs; else the modules that name the id."""
    if where.startswith("machines/"):
        return (f"protocol/{Path(where).stem}.py",)
    if where == "parameters.toml":
        return ("spec/parameters.py", *in_code.get(identity, ()))
    return tuple(in_code.get(identity, ()))


def _vectors(tests: Sequence[Mapping[str, Any]]) -> tuple[dict[str, int], dict[str, int]]:
    """How many vectors follow a requirement, and how many are refused by it."""
    followed: dict[str, int] = defaultdict(int)
    refused: dict[str, int] = defaultdict(int)
    for test in tests:
        for rule in test["rules"]:
            (refused if test["result"] == "invalid" else followed)[rule] += 1
    return followed, refused


def _faults(
    defined: Mapping[str, Sequence[tuple[str, str, str]]],
    tests: Sequence[Mapping[str, Any]],
    in_code: Mapping[str, Sequence[str]],
) -> Iterator[str]:
    for identity, places in defined.items():
        if len(places) > 1:
            yield f"{identity} is defined twice: {', '.join(where for where, _, _ in places)}"
    for identity, places in defined.items():
        where = places[0][0]
        if where.startswith("chapters/") and identity not in in_code:
            yield f"{identity} ({where}) is named by no code"
    known = set(defined) | _other_ids() | _NO_IDS
    named: dict[str, set[str]] = defaultdict(set)
    for identity, files in in_code.items():
        named[identity].update(f"superscalar_ref/{file}" for file in files)
    for path in sorted((spec_directory() / "chapters").glob("*.md")):
        for identity in _ID.findall(path.read_text(encoding="utf-8")):
            named[identity].add(f"spec/chapters/{path.name}")
    for test in tests:
        for rule in test["rules"]:
            named[rule].add(f"vector {test['id']}")
    for identity in sorted(named):
        # Questions that are not settled yet have an id and no page; machines that are not there yet have none.
        if identity not in known and not identity.startswith("Q-"):
            yield f"{identity} is named in {sorted(named[identity])[0]} and defined nowhere"


def _other_ids() -> set[str]:
    """Ids of what is no requirement: properties, variants, lemmas, rules of the strategy, decisions, findings."""
    found = set()
    root = spec_directory()
    for path in (*root.glob("*.toml"), *root.glob("variants/*.toml")):
        text = path.read_text(encoding="utf-8")
        found.update(re.findall(r'^id = "([^"]+)"', text, re.MULTILINE))
        found.update(re.findall(r"^\[[a-z]+\.([A-Z]+-[A-Z0-9-]+)\]", text, re.MULTILINE))
    found.update(re.findall(r"^\| (D-\d+) \|", _read(root / "chapters" / "decisions.md"), re.MULTILINE))
    found.update(path.stem for path in root.glob("findings/*.md"))
    return found


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(str(path), error.strerror or "cannot be read", "chapters") from error


def table(requirements: Sequence[Requirement], with_code: bool = True) -> str:
    """The requirements as a Markdown table; an empty cell is a red square. Without code it depends on spec/ alone."""
    head = ["requirement", "level", "where", *(["code", "tests"] if with_code else []), "vectors +", "vectors −"]
    lines = [f"| {' | '.join(head)} |", "|" + " --- |" * len(head)]
    for one in requirements:
        cells = [
            one.id,
            one.level,
            f"`{one.where}`",
            *([_names(one.code), _names(one.tests)] if with_code else []),
            str(one.positive or ""),
            str(one.negative or ""),
        ]
        lines.append(f"| {' | '.join(cell or '🟥' for cell in cells)} |")
    return "\n".join(lines) + "\n"


def _names(files: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in files)
