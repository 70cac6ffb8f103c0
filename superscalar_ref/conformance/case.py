"""One question of layer L0, and a file of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Case:
    """One question of layer L0."""

    id: str
    function: str
    arguments: Mapping[str, Any]
    rules: tuple[str, ...]
    comment: str
    flags: tuple[str, ...] = ()
    negative: bool = False
    """That it is to be refused, or a signature to be found invalid; the maker of the corpus holds it to that."""


@dataclass(frozen=True)
class Topic:
    """A file of layer L0."""

    name: str
    about: str
    cases: tuple[Case, ...] = field(repr=False)
