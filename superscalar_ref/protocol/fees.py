"""What a party pays for what it publishes, and from what: the rules of ``spec/fees.toml`` as data, and the sums.

Laws of this module:

* The price is what the last block asked for (sat/vB): nobody knows what the next one will ask.
* A child pays what its parent lacks and what it costs itself, never less than the price for its own size.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from superscalar_ref.errors import SpecError
from superscalar_ref.protocol.strategy import ROLES
from superscalar_ref.spec.location import spec_directory
from superscalar_ref.spec.rows import rows_of
from superscalar_ref.spec.source import Document, read_document

_KEYS = ("id", "for", "pay", "says", "why")


class Pay(StrEnum):
    """From what a child pays."""

    OUTPUT = "output"
    """An output of its parent that is the party's own."""
    COIN = "coin"
    """The parent's anchor and a coin of the party's wallet."""
    AGAIN = "again"
    """What the child before it paid from, which it replaces."""


@dataclass(frozen=True)
class Rule:
    """One way to pay, and for whom it is."""

    id: str
    roles: tuple[str, ...]
    pay: Pay
    says: str
    why: str


@dataclass(frozen=True)
class FeeRules:
    """All rules of the file, in their order."""

    rules: tuple[Rule, ...]

    def ways(self, role: str) -> tuple[Pay, ...]:
        """How a party of this role (client, lsp or tower) may pay, in the order in which it tries."""
        return tuple(rule.pay for rule in self.rules if role in rule.roles)

    def without(self, identity: str) -> FeeRules:
        """The same rules without one. Raises ``KeyError`` when there is none of that id."""
        if identity not in {rule.id for rule in self.rules}:
            raise KeyError(identity)
        return FeeRules(tuple(rule for rule in self.rules if rule.id != identity))


@dataclass(frozen=True)
class Paid:
    """What is signed into one transaction."""

    vbytes: int
    fee: int
    """In sat."""
    anchor: int = 0
    """What its anchor holds (sat): its child spends it."""


def child_fee(parent: Paid, child_vbytes: int, price: int) -> int:
    """What a child of ``child_vbytes`` pays to miners so that both together pay ``price`` (sat/vB); in sat."""
    return max(price * (parent.vbytes + child_vbytes) - parent.fee, price * child_vbytes)


def reserve_needed(path: Iterable[Paid], child_vbytes: int, price: int, dust: int) -> int:
    """The smallest coin (sat) that pays a child for each transaction of ``path`` at ``price`` (sat/vB): R-RESERVE.

    The children are confirmed one after another, each from the change of the one before, which is never below ``dust``
    (sat); what pays the price by itself gets none. Nothing is needed where all do.
    """
    needed, left = 0, 0
    for one in path:
        if one.fee >= price * one.vbytes:
            continue
        needed += child_fee(one, child_vbytes, price) - one.anchor
        # An anchor may hold more than its child's share of the fee: then the change grows.
        left = max(left, needed + dust)
    return left


def load_fee_rules(directory: Path | None = None) -> FeeRules:
    """Load ``spec/fees.toml``, or the copy in ``directory``. Raises ``SpecError`` (``file:line``)."""
    document = read_document(spec_directory(directory) / "fees.toml")
    rows = rows_of(document, "rules", _KEYS, "fees")
    return FeeRules(tuple(_rule(document, index, row) for index, row in enumerate(rows)))


def _rule(document: Document, index: int, row: Mapping[str, Any]) -> Rule:
    roles = row["for"]
    if not isinstance(roles, list) or not roles or any(role not in ROLES for role in roles):
        raise SpecError(str(document.place("rules", index, "for")), f"'for' is a list of {', '.join(ROLES)}", "fees")
    if row["pay"] not in tuple(Pay):
        problem = f"'pay' is {row['pay']!r:.40}; it may be {', '.join(Pay)}"
        raise SpecError(str(document.place("rules", index, "pay")), problem, "fees")
    return Rule(str(row["id"]), tuple(roles), Pay(row["pay"]), str(row["says"]), str(row["why"]))
