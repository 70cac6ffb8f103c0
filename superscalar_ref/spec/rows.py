"""A file that is a list of rows of one kind, each with the same keys."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from superscalar_ref.errors import SpecError
from superscalar_ref.spec.source import Document


def rows_of(
    document: Document, name: str, keys: Collection[str], rule: str, key: str = "id"
) -> Sequence[Mapping[str, Any]]:
    """The rows ``[[name]]`` of a file that holds nothing else.

    Each has all of ``keys`` and no other, and what stands under ``key`` only once. Raises ``SpecError`` (``file:line``)
    with ``rule``.
    """
    rows = document.data.get(name)
    if not isinstance(rows, list) or not rows or list(document.data) != [name]:
        raise SpecError(str(document.place()), f"the file is a list of [[{name}]] and nothing else", rule)
    for index, row in enumerate(rows):
        for one in (*row, *keys):
            if one not in keys or one not in row:
                problem = f"the key '{one}' is missing" if one in keys else f"unknown key '{one}'"
                raise SpecError(str(document.place(name, index, one)), problem, rule)
        if row[key] in [other[key] for other in rows[:index]]:
            raise SpecError(str(document.place(name, index, key)), f"{row[key]} is there twice", rule)
    return rows
