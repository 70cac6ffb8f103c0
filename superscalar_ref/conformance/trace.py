"""Requirement → where it stands → code → tests → vectors; and ids that are unknown or stand twice.

Laws of this module:

* A requirement is a row of a table, a constraint between parameters, or a line ``- **R-X** …`` of a chapter.
* Every id that the specification, a vector or the package names is defined somewhere; no id is defined twice; no
  decision, finding, constraint or rule of the text is named by nothing but its own page.
* A text says MUST, MUST NOT or SHOULD only in a requirement, so that each has an id.
* A requirement with MUST has a negative vector, or ``spec/without_vectors.toml`` says why not and which test it has.
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
from superscalar_ref.spec.rows import rows_of
from superscalar_ref.spec.source import read_document

_ID = re.compile(
    r"\b(?:(?:FAC|CHN|CLI|STK|SES|LAD|WTW|JIT|AXT|D|STR|BAK)-\d+|(?:R|P|V|L|Q|STR)-[A-Z][A-Z0-9]*(?:-[A-Z0-9]+)*)\b(?!-)"
)
_DEFINED_IN_TEXT = re.compile(r"^- \*\*(R-[A-Z0-9-]+)\*\* +(.*)", re.MULTILINE)
_GENERATED = re.compile(r"<!-- generated:.*?<!-- end -->", re.DOTALL)
_NO_IDS = frozenset({"V-WHY", "L-X"})
"""``why`` calls the patch that it makes by the first name; the second one shows the form of a lemma."""
_SHOWS = re.compile(r"<!-- generated: (?:diagram|ceremony|bytes|vector) ")
_NOT_NORMATIVE = frozenset({"README.md", "conformance.md", "traceability.md", "decisions.md"})
"""Chapters that speak of requirements, and of the kit, and make none."""
_BINDS = re.compile(r"\b(?:MUST|SHOULD)(?: NOT)?\b")
_KEYS = ("rule", "why", "test")


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
    drawn: str = ""
    """Where it is drawn: a row in its machine's diagram, a rule of the text in its chapter; a number is not."""
    argued: str = ""
    """The test that stands for a negative vector where there can be none (``spec/without_vectors.toml``)."""


@dataclass(frozen=True)
class Trace:
    """All requirements, in the order of the files, and what is wrong with the ids."""

    requirements: tuple[Requirement, ...]
    faults: tuple[str, ...]

    def open(self) -> tuple[Requirement, ...]:
        """Requirements with MUST that no negative vector is about, and that no test is named for."""
        return tuple(one for one in self.requirements if one.level == "MUST" and not one.negative and not one.argued)


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
    argued = {str(row["rule"]): str(row["test"]) for row in _argued()}
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
            _drawn(places[0][0]),
            argued.get(identity, ""),
        )
        for identity, places in defined.items()
    )
    faults = (*_faults(defined, tests, in_code), *_faults_of_words(), *_faults_of_arguments(argued, requirements, root))
    return Trace(requirements, faults)


def _argued() -> Sequence[Mapping[str, Any]]:
    return rows_of(read_document(spec_directory() / "without_vectors.toml"), "rules", _KEYS, "without-vectors", "rule")


def _faults_of_arguments(
    argued: Mapping[str, str], requirements: Sequence[Requirement], root: Path | None
) -> Iterator[str]:
    """What is out of date in ``spec/without_vectors.toml``."""
    known = {one.id: one for one in requirements}
    for identity, test in argued.items():
        if identity not in known:
            yield f"{identity} is named in spec/without_vectors.toml and defined nowhere"
        elif known[identity].negative:
            yield f"{identity} stands in spec/without_vectors.toml and has a negative vector"
        elif root is not None and test.removeprefix("tests/") not in known[identity].tests:
            yield f"{identity}: {test} does not name it, or is not there (spec/without_vectors.toml)"


def _faults_of_words() -> Iterator[str]:
    """Words of a requirement in the text of a chapter that stand in none."""
    for path in sorted((spec_directory() / "chapters").glob("*.md")):
        if path.name in _NOT_NORMATIVE:
            continue
        for part in re.split(r"\n\s*\n|\n(?=- )", _GENERATED.sub("", _read(path))):
            if _BINDS.search(part) and not part.lstrip().startswith("- **R-"):
                said = " ".join(part.split())
                yield f"chapters/{path.name} says {_BINDS.findall(part)[0]} in no requirement: {said:.60}"


def _drawn(where: str) -> str:
    if where.startswith("machines/"):
        return f"diagrams/{Path(where).stem}.svg"
    return where if where.startswith("chapters/") and _SHOWS.search(_read(spec_directory() / where)) else ""


def _level(words: str) -> str:
    return next((word for word in ("MUST", "SHOULD", "MAY") if re.search(rf"\b{word}\b", words)), "MUST")


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
    by_hand: dict[str, set[str]] = defaultdict(set)
    for name, text in _texts():
        for identity in _ID.findall(text):
            named[identity].add(f"spec/{name}")
        for identity in _ID.findall(_GENERATED.sub("", text)):
            by_hand[identity].add(name)
    yield from _unused(defined, by_hand, in_code)
    for test in tests:
        for rule in test["rules"]:
            named[rule].add(f"vector {test['id']}")
    for identity in sorted(named):
        if identity not in known:
            yield f"{identity} is named in {sorted(named[identity])[0]} and defined nowhere"


def _texts() -> Iterator[tuple[str, str]]:
    """Every text of the specification that people write, by its path below ``spec/``."""
    root = spec_directory()
    for pattern in ("*.md", "*.toml", "chapters/*.md", "findings/*.md", "machines/*.toml", "variants/*.toml"):
        for path in sorted(root.glob(pattern)):
            yield path.relative_to(root).as_posix(), _read(path)


def _unused(
    defined: Mapping[str, Sequence[tuple[str, str, str]]],
    by_hand: Mapping[str, set[str]],
    in_code: Mapping[str, Sequence[str]],
) -> Iterator[str]:
    """Constraints, decisions and findings that stand on their own page alone."""
    pages = {name: "parameters.toml" for name, places in defined.items() if places[0][0] == "parameters.toml"}
    pages |= {name: "chapters/decisions.md" for name in _other_ids() if name.startswith("D-")}
    pages |= {name: f"findings/{name}.md" for name in _other_ids() if name.startswith("Q-")}
    for identity, page in sorted(pages.items()):
        if not by_hand[identity] - {page} and identity not in in_code:
            yield f"{identity} ({page}) is named by nothing else"


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
    columns = ["code", "tests"] if with_code else []
    head = ["requirement", "level", "where", *columns, "vectors +", "vectors −", "drawn in"]
    lines = [f"| {' | '.join(head)} |", "|" + " --- |" * len(head)]
    for one in requirements:
        cells = [
            one.id,
            one.level,
            f"`{one.where}`",
            *([_names(one.code), _names(one.tests)] if with_code else []),
            str(one.positive or ""),
            str(one.negative or "") or (f"`{one.argued}`" if one.argued else ""),
            f"`{one.drawn}`" if one.drawn else "–" if one.where == "parameters.toml" else "",
        ]
        lines.append(f"| {' | '.join(cell or '🟥' for cell in cells)} |")
    return "\n".join(lines) + "\n"


def _names(files: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in files)
