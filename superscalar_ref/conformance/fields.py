"""Reading values out of a parsed JSON document, so that everything malformed is one line that names its place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from superscalar_ref.errors import InputError


@dataclass(frozen=True)
class Node:
    """A value of a JSON document and its place in it, such as ``FILE: valid_test_cases[2].msg_index``.

    Every method raises InputError, naming the place, when the value is not what it asks for.
    """

    value: Any
    file: str
    path: str = ""

    @property
    def place(self) -> str:
        """Where the value stands."""
        return f"{self.file}: {self.path or 'top level'}"

    def fail(self, problem: str, rule: str = "form of the file") -> NoReturn:
        """Raise InputError about this value."""
        raise InputError(self.place, problem, rule)

    def mapping(self) -> Mapping[str, Any]:
        """An object."""
        if not isinstance(self.value, dict):
            self.fail(f"is {_kind(self.value)}, not an object")
        return self.value

    def has(self, key: str) -> bool:
        """Whether this object has ``key``."""
        return key in self.mapping()

    def __getitem__(self, key: str) -> Node:
        fields = self.mapping()
        if key not in fields:
            self.fail(f"lacks '{key}'")
        return Node(fields[key], self.file, f"{self.path}.{key}" if self.path else key)

    def __iter__(self) -> Iterator[Node]:
        if not isinstance(self.value, list):
            self.fail(f"is {_kind(self.value)}, not a list")
        for position, item in enumerate(self.value):
            yield Node(item, self.file, f"{self.path}[{position}]")

    def is_null(self) -> bool:
        """Whether the value is null."""
        return self.value is None

    def text(self) -> str:
        """A string."""
        if not isinstance(self.value, str):
            self.fail(f"is {_kind(self.value)}, not a string")
        return str(self.value)

    def octets(self, length: int | None = None) -> bytes:
        """Bytes written as hex; of ``length`` bytes when given."""
        text = self.text()
        # bytes.fromhex would skip spaces.
        if len(text) % 2 or any(c not in "0123456789abcdefABCDEF" for c in text):
            self.fail(f"'{_short(text)}' is not hex")
        if length is not None and len(text) != 2 * length:
            self.fail(f"has {len(text) // 2} bytes instead of {length}")
        return bytes.fromhex(text)

    def octets_or_none(self, length: int | None = None) -> bytes | None:
        """Bytes written as hex, or null."""
        return None if self.is_null() else self.octets(length)

    def whole(self) -> int:
        """A whole number that is not negative."""
        if isinstance(self.value, bool) or not isinstance(self.value, int):
            self.fail(f"is {_kind(self.value)}, not a whole number")
        if self.value < 0:
            self.fail(f"{self.value} is negative")
        return int(self.value)

    def flag(self) -> bool:
        """True or false."""
        if not isinstance(self.value, bool):
            self.fail(f"is {_kind(self.value)}, not true or false")
        return bool(self.value)

    def pick(self, table: Node) -> Node:
        """The entry of ``table`` that this number points to."""
        entries = list(table)
        position = self.whole()
        if position >= len(entries):
            self.fail(f"points to {table.path}[{position}], but there are {len(entries)}")
        return entries[position]

    def picks(self, table: Node) -> list[Node]:
        """The entries of ``table`` that this list of numbers points to."""
        return [index.pick(table) for index in self]

    def at(self, entries: Sequence[Any]) -> int:
        """This number as a position in ``entries``."""
        position = self.whole()
        if position >= len(entries):
            self.fail(f"{position} is out of range: there are {len(entries)}")
        return position


def _kind(value: object) -> str:
    if value is None:
        return "null"
    names = {bool: "a truth value", int: "a number", float: "a number", str: "a string", list: "a list"}
    return names.get(type(value), "an object")


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "..."
