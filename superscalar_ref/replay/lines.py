"""On which line of a JSON text each value stands."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

Path = tuple[str | int, ...]
"""Keys and indices from the outside in."""
_SPACE = re.compile(r"\s*")


def lines(text: str) -> dict[Path, int]:
    """The line, from 1, of every value of a JSON text, by its path; of a member, the line of its key.

    Raises ``ValueError`` for a text that ends too early or is no JSON at all.
    """
    starts = [0, *(found.end() for found in re.finditer("\n", text))]
    found: dict[Path, int] = {}
    line = 0
    for path, at in _places(text + "\0"):
        while line < len(starts) and starts[line] <= at:
            line += 1
        found[path] = line
    return found


def _places(text: str) -> Iterator[tuple[Path, int]]:
    """Each path with the offset at which its key or value begins, in the order of the text."""
    decoder = json.JSONDecoder()
    at = _skip(text, 0)
    open_: list[tuple[Path, int]] = []
    """The containers around: the path, and for an array the next index (for an object: -1)."""
    path: Path = ()
    yield path, at
    while True:
        if text[at] in "{[":
            open_.append((path, 0 if text[at] == "[" else -1))
            at = _skip(text, at + 1)
        else:
            _, at = decoder.raw_decode(text, at)
            at = _skip(text, at)
        while open_ and text[at] in "}]":
            open_.pop()
            at = _skip(text, at + 1)
        if not open_:
            return
        if text[at] == ",":
            at = _skip(text, at + 1)
        around, index = open_.pop()
        if index < 0:
            key, after = decoder.raw_decode(text, at)
            colon = _skip(text, after)
            if not isinstance(key, str) or text[colon] != ":":
                raise ValueError(f"no name of a member at character {at}")
            path = (*around, key)
            yield path, at
            at = _skip(text, colon + 1)
            open_.append((around, -1))
        else:
            path = (*around, index)
            yield path, at
            open_.append((around, index + 1))


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at
