"""A file that is a list of rows of one kind, each with the same keys."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from superscalar_ref.errors import SpecError
from superscalar_ref.spec.source import Document


def rows_of(document: Document, name: str, keys: Collection[str], rule: str) -> Sequence[Mapping[str, Any]]:
    """The rows ``[[name]]`` of a file that holds nothing else.

    Each has all of ``keys`` and no other, and an id of its own. Raises ``SpecError`` (``file:line``) with ``rule``.
    """
    rows = document.data.get(name)
    if not isinstance(rows, list) or not rows or list(document.data) != [name]:
        raise SpecError(str(document.place()), f"the file is a list of [[{name}]] and nothing else", rule)
    for index, row in enumerate(rows):
        for key in (*row, *keys):
            if key not in keys or key not in row:
                problem = f"the key '{key}' is missing" if key in keys else f"unknown key '{key}'"
                raise SpecError(str(document.place(name, index, key)), problem, rule)
        if row["id"] in [other["id"] for other in rows[:index]]:
            raise SpecError(str(document.place(name, index, "id")), f"{row['id']} is there twice", rule)
    return rows
