"""What runs found, as other commands write it: ``check --json``, ``check --variants --json``, ``conform --json``.

Laws of this module:

* A file that is none of these, or that is about ids which the tables have not, is one InputError that names it.
* Nothing is added: what a file does not say is 'not decided here'.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TypeVar

import msgspec

from superscalar_ref.errors import InputError
from superscalar_ref.spec.specification import Specification


class Round(msgspec.Struct, frozen=True):
    """One block of a trace: what its hero broadcast, what was mined, and who broadcast each of these."""

    height: int
    asleep: bool = False
    broadcast: list[str] = []
    mined: list[str] = []
    by: dict[str, str] = {}


class Loss(msgspec.Struct, frozen=True):
    """How a property is lost: the part of the trace's form (``check --trace``) that a reader sees. Amounts: units."""

    property: str
    hero: str
    configuration: str
    owed: int
    gets: int
    loss: str
    note: str = ""
    choices: dict[str, str] = {}
    off_chain: list[str] = []
    rounds: list[Round] = []
    owners: dict[str, int] = {}


class Decided(msgspec.Struct, frozen=True):
    """The verdict on a property; ``holds`` is None when the search did not finish."""

    property: str
    holds: bool | None
    cases: int
    states: int | None = None
    edges: int | None = None
    worst_block: int | None = None
    worst_where: str = ""
    trace: Loss | None = None


class Proven(msgspec.Struct, frozen=True):
    """The verdict on a lemma: ``holds``, ``refuted`` or ``unknown``."""

    id: str
    verdict: str
    story: list[str] = []


class Checked(msgspec.Struct, frozen=True):
    """What ``check --json`` says."""

    properties: list[Decided]
    lemmas: list[Proven] = []


class Judged(msgspec.Struct, frozen=True):
    """What became of one wrong design."""

    variant: str
    as_expected: bool
    problem: str = ""
    trace: Loss | None = None


class Variants(msgspec.Struct, frozen=True):
    """What ``check --variants --json`` says."""

    variants: list[Judged]


class Adapter(msgspec.Struct, frozen=True):
    """Who was asked."""

    name: str
    version: str


class Answered(msgspec.Struct, frozen=True):
    """The verdict on one test of an implementation."""

    id: str
    verdict: str
    rules: list[str]
    code: str = ""
    detail: str = ""


class Conformed(msgspec.Struct, frozen=True):
    """What ``conform --json`` says of one implementation."""

    adapter: Adapter
    results: list[Answered]
    mind: list[str] = []


S = TypeVar("S", bound=msgspec.Struct)


def read_checked(path: Path, specification: Specification) -> Checked:
    """Read what ``check --json`` printed. Raises InputError."""
    found = _read(path, Checked, "superscalar-ref check --json")
    _known(path, [row.property for row in found.properties], {row.id for row in specification.properties})
    return found


def read_variants(path: Path, specification: Specification) -> Variants:
    """Read what ``check --variants --json`` printed. Raises InputError."""
    found = _read(path, Variants, "superscalar-ref check --variants --json")
    _known(path, [row.variant for row in found.variants], {row.id for row in specification.variants})
    return found


def read_conformed(path: Path) -> Conformed:
    """Read what ``conform --json`` printed. Raises InputError."""
    return _read(path, Conformed, "superscalar-ref conform --json")


def _read(path: Path, form: type[S], command: str) -> S:
    try:
        return msgspec.json.decode(path.read_bytes(), type=form)
    except OSError as error:
        raise InputError(str(path), error.strerror or "cannot be read", "report-input") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(str(path), f"is not what '{command}' prints: {error}", "report-input") from None


def _known(path: Path, named: list[str], ids: Collection[str]) -> None:
    for identity in named:
        if identity not in ids:
            raise InputError(str(path), f"is about other tables: there is no '{identity}'", "report-input")
