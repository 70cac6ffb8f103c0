"""When a party begins at the latest: ``spec/deadlines.toml``, proven by the lemmas that each row names.

Laws of this module:

* A deadline is counted back from the end, over budgets that a factory agreed on; nobody waits longer because the chain
  looks quiet.
* The expression that is evaluated is the one that the lemmas assume, word for word.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from superscalar_ref.errors import SpecError
from superscalar_ref.spec.expression import Comparison, Domain, Expression, ExpressionError, amount, parse
from superscalar_ref.spec.load import load_parameters
from superscalar_ref.spec.location import spec_directory
from superscalar_ref.spec.rows import rows_of
from superscalar_ref.spec.source import Document, read_document

NEVER = 1 << 40
"""A deadline that never comes (height)."""
PAYEE, PAYER, FORWARDER = "payee", "payer", "forwarder"
"""Who has a deadline for each payment: who knows its preimage, who offered it, who passed another's on by it."""
ROLES = ("lsp", "client", PAYEE, PAYER, FORWARDER)
_KEYS = ("id", "for", "height", "lemmas", "says", "why")
_UNKNOWN = "deadline"


@dataclass(frozen=True)
class Lead:
    """How long before the end a party begins at the latest."""

    blocks: int
    """With a chain of at most ``links`` links (blocks)."""
    links: int
    """Links that the exit budget has room for."""
    link_blocks: int
    """What each further link takes (blocks)."""

    def deadline(self, end: int, longest_chain: int = 0) -> int:
        """The height from which on the party begins, at its first look.

        ``end`` is a height, ``longest_chain`` the links of the longest chain that it must publish.
        """
        return end - self.blocks - max(0, longest_chain - self.links) * self.link_blocks


@dataclass(frozen=True)
class Deadline:
    """One row."""

    id: str
    role: str
    text: str
    """``deadline == …`` as written: a premise of the lemmas."""
    height: Expression
    lemmas: tuple[str, ...]
    says: str
    why: str

    def at(self, values: Mapping[str, int | str]) -> int:
        """The height for these values of the parameters, and of what the row counts back from."""
        return amount(self.height, values)

    def lead(self, values: Mapping[str, int | str]) -> Lead:
        """The same for these values of the parameters."""
        before = -amount(self.height, {**values, "end": 0, "extra": 0})
        link = int(values["exit_absence_blocks"]) + int(values["confirmation_blocks"])
        return Lead(before, int(values["links_max"]), link)


def load_deadlines(directory: Path | None = None) -> Mapping[str, Deadline]:
    """The deadline of each role. Raises ``SpecError`` (``file:line``)."""
    document = read_document(spec_directory(directory) / "deadlines.toml")
    rows = rows_of(document, "deadlines", _KEYS, "deadlines")
    domains = {one.name: one.domain for one in load_parameters(directory).parameters}
    domains |= {name: Domain() for name in ("end", "extra", "expiry", "way_out", _UNKNOWN)}
    found: dict[str, Deadline] = {}
    for index, row in enumerate(rows):
        one = _deadline(document, index, row, domains)
        if one.role in found:
            place = document.place("deadlines", index, "for")
            raise SpecError(str(place), f"'{one.role}' has two deadlines", "deadlines")
        found[one.role] = one
    for role in ROLES:
        if role not in found:
            raise SpecError(str(document.place("deadlines")), f"'{role}' has no deadline", "deadlines")
    return found


def _deadline(document: Document, index: int, row: Mapping[str, Any], domains: Mapping[str, Domain]) -> Deadline:
    def fault(key: str, problem: str) -> SpecError:
        return SpecError(str(document.place("deadlines", index, key)), problem, "deadlines")

    if row["for"] not in ROLES:
        raise fault("for", f"'for' is one of {', '.join(ROLES)}")
    if not isinstance(row["lemmas"], list) or not row["lemmas"]:
        raise fault("lemmas", "'lemmas' is a list of ids of lemmas")
    text = " ".join(str(row["height"]).split())
    try:
        parsed = parse(text, domains)
    except ExpressionError as error:
        raise fault("height", str(error)) from None
    if not isinstance(parsed, Comparison) or not text.startswith(f"{_UNKNOWN} == "):
        raise fault("height", f"'height' is written '{_UNKNOWN} == …'")
    lemmas = tuple(str(name) for name in row["lemmas"])
    return Deadline(str(row["id"]), row["for"], text, parsed.right, lemmas, str(row["says"]), str(row["why"]))
