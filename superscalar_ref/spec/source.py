"""TOML with places: what a file says, and on which line it says it.

``tomllib`` gives values without positions, so a scan of the lines finds where each header and key stands. The scan
knows only strings, brackets and comments; whether the file *is* TOML is for ``tomllib`` to say.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from superscalar_ref.errors import SpecError
from superscalar_ref.spec.location import display

Step = str | int
"""One step into a document: a key, or an index into an array."""

_KEY = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*')"""
_DOTTED = rf"{_KEY}(?:\s*\.\s*{_KEY})*"
_HEADER = re.compile(rf"\s*(\[\[?)\s*({_DOTTED})\s*\]\]?")
_ASSIGNMENT = re.compile(rf"\s*({_DOTTED})\s*=")
_TOKEN = re.compile(
    r'(?P<open>"""|\'\'\')'
    r"""|(?P<string>"(?:[^"\\]|\\.)*"|'[^']*')"""
    r"|(?P<comment>#.*)"
    r"|(?P<up>[\[{])|(?P<down>[\]}])"
)
_POSITION = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")


@dataclass(frozen=True)
class Place:
    """A line of a file. Its text is ``file:line``."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, eq=False)
class Document:
    """A TOML file as read, and the line (from 1) of each of its headers and keys. Nobody changes its ``data``."""

    path: Path
    file: str
    """The path as messages show it."""
    data: Mapping[str, object]
    lines: Mapping[tuple[Step, ...], int]

    def place(self, *path: Step) -> Place:
        """Return where ``path`` is written, or the nearest thing around it."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.lines:
                return Place(self.file, self.lines[path[:length]])
        return Place(self.file, 1)


@dataclass(frozen=True)
class _Statement:
    """A header or an assignment: the line where it begins and the one where it ends."""

    first: int
    last: int
    text: str


def _statements(text: str) -> Iterator[_Statement]:
    """Cut the text at the line ends that lie outside strings and brackets."""
    quote, depth, first = "", 0, 0
    begun = ""
    last = 0
    for number, line in enumerate(text.split("\n"), start=1):
        last = number
        if not quote and depth == 0:
            if line.strip() == "" or line.lstrip().startswith("#"):
                continue
            first, begun = number, line
        quote, depth = _scan(line, quote, depth)
        if not quote and depth == 0:
            yield _Statement(first, number, begun)
    if quote or depth:
        yield _Statement(first, last, begun)


def _scan(line: str, quote: str, depth: int) -> tuple[str, int]:
    """Return which multi-line quote is open and how many brackets are, after ``line``."""
    position = 0
    while position < len(line):
        if quote:
            closing = _closing(line, quote, position)
            if closing < 0:
                return quote, depth
            quote, position = "", closing
            continue
        found = _TOKEN.search(line, position)
        if found is None:
            break
        position = found.end()
        if found["open"]:
            quote = found["open"]
        elif found["up"]:
            depth += 1
        elif found["down"]:
            depth = max(0, depth - 1)
    return quote, depth


def _closing(line: str, quote: str, position: int) -> int:
    """Return the position behind the next closing ``quote`` that is not escaped, or -1."""
    while position < len(line):
        if quote == '"""' and line[position] == "\\":
            position += 2
        elif line.startswith(quote, position):
            # Up to two quotes may stand before the closing three.
            while line.startswith(quote, position + 1):
                position += 1
            return position + 3
        else:
            position += 1
    return -1


def _keys(dotted: str) -> tuple[str, ...]:
    """Split a dotted key."""
    return tuple(part[1:-1] if part[0] in "\"'" else part for part in re.findall(_KEY, dotted) if isinstance(part, str))


def _find_lines(text: str) -> dict[tuple[Step, ...], int]:
    """Map each header and key of a TOML text to its line; an array of tables is indexed from 0."""
    lines: dict[tuple[Step, ...], int] = {}
    counts: dict[tuple[Step, ...], int] = {}
    table: tuple[Step, ...] = ()
    for statement in _statements(text):
        header = _HEADER.match(statement.text)
        if header:
            table = ()
            keys = _keys(header[2])
            for position, key in enumerate(keys):
                table = (*table, key)
                is_last = position == len(keys) - 1
                if is_last and header[1] == "[[":
                    lines.setdefault(table, statement.first)
                    counts[table] = counts.get(table, -1) + 1
                if table in counts:
                    table = (*table, counts[table])
            lines[table] = statement.first
            continue
        assignment = _ASSIGNMENT.match(statement.text)
        if assignment:
            path = table
            for key in _keys(assignment[1]):
                path = (*path, key)
                lines.setdefault(path, statement.first)
    return lines


def _syntax_error(path: Path, text: str, error: tomllib.TOMLDecodeError) -> SpecError:
    """Turn ``tomllib``'s error into ours: the line where it noticed, and where the value that it was in begins."""
    message = str(error)
    found = _POSITION.search(message)
    total = max(1, len(text.rstrip("\n").split("\n")))
    line = int(found[1]) if found and found[1] else total
    problem = message[: found.start()] if found else message
    problem = problem[:1].lower() + problem[1:]
    # tomllib shows a dotted key as a Python tuple.
    problem = re.sub(r"\('(.*?)',?\)", lambda key: "[" + key[1].replace("', '", ".") + "]", problem)
    for statement in _statements(text):
        if statement.first < line <= statement.last:
            problem += f", in what begins at line {statement.first}"
    return SpecError(f"{display(path)}:{line}", problem, "toml")


def read_document(path: Path) -> Document:
    """Read one TOML file. Raises SpecError (``file:line``) when it is missing, not UTF-8 or not TOML.

    As long as its bytes are the same, so is the result.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise SpecError(display(path), error.strerror or "cannot be read", "toml") from None
    return _document(path, display(path), raw)


@lru_cache(maxsize=256)
def _document(path: Path, file: str, raw: bytes) -> Document:
    try:
        text = raw.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise SpecError(f"{display(path)}:{line}", "not UTF-8", "toml") from None
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _syntax_error(path, text, error) from None
    except RecursionError:
        raise SpecError(f"{display(path)}:1", "values nested too deeply", "toml") from None
    except ValueError:
        # The only other error of tomllib: a decimal number of thousands of digits, which it does not place.
        raise SpecError(f"{display(path)}:1", "holds a number beyond 64 bits", "toml") from None
    document = Document(path, file, data, _find_lines(text))
    for steps, value in leaves(data):
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise SpecError(str(document.place(*steps)), "a number beyond 64 bits", "toml")
    return document


def leaves(value: object, path: tuple[Step, ...] = ()) -> Iterator[tuple[tuple[Step, ...], object]]:
    """Go through every value of a document that is neither a table nor an array, with the way to it."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from leaves(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from leaves(item, (*path, index))
    else:
        yield path, value
