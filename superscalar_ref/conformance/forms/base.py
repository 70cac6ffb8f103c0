"""What a form is, and how a file is recognised."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from superscalar_ref.conformance.fields import Node
from superscalar_ref.conformance.results import CaseResult

RECOGNISED_FROM = 0.5
"""A file is of the form with which it shares most keys, and at least this share of all keys of both."""


@dataclass(frozen=True)
class Form:
    """A form of vector file: its name, the keys at its top level, and how to run its cases.

    ``run`` yields a result for each case, and raises InputError for anything malformed. ``case_keys`` are keys of its
    cases, for forms whose top level says little: a file is of that form only when some case has one of them.
    """

    name: str
    keys: frozenset[str]
    run: Callable[[Node], Iterator[CaseResult]]
    case_keys: frozenset[str] = frozenset()

    def likeness(self, document: Mapping[str, Any]) -> float:
        """The share of keys in common with a document, 0 to 1."""
        keys = {key for key in document if not key.startswith(("_", "$")) and not key.startswith("comment")}
        if self.case_keys and not any(self.case_keys & case for case in _cases(document)):
            return 0.0
        return len(keys & self.keys) / len(keys | self.keys)


def _cases(document: Mapping[str, Any]) -> Iterator[set[str]]:
    for value in document.values():
        if isinstance(value, list):
            yield from (set(item) for item in value if isinstance(item, dict))
