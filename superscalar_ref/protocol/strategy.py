"""What an honest party broadcasts: the ordered rules of ``spec/strategy.toml`` as one pure function.

Laws of this module:

* A decision depends only on what the party holds and sees: its own complete transactions, the chain, its own
  broadcasts, its own deadline. Never on what others might hold.
* Comparisons with locks and with the deadline are all that heights are used for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from superscalar_ref.errors import SpecError
from superscalar_ref.protocol.transaction import Kind, Outpoint, Template
from superscalar_ref.spec.location import spec_directory
from superscalar_ref.spec.rows import rows_of
from superscalar_ref.spec.source import Document, read_document

ROLES = ("client", "lsp", "tower")
"""Who a rule may be for."""
WHEN = ("final", "begun", "deadline")
"""final: the next block may hold it. begun: and the factory's coin is spent. deadline: and the deadline is here."""
CHOOSE = ("any", "newest")
"""newest: of all held transactions of this kind that spend the outpoint, only the one with the shortest lock."""
_KEYS = ("id", "for", "kind", "when", "choose", "says", "why")


@dataclass(frozen=True)
class Rule:
    """One rule: what to publish, and when."""

    id: str
    roles: tuple[str, ...]
    kind: Kind
    when: str
    choose: str
    says: str
    why: str


@dataclass(frozen=True)
class Strategy:
    """The rules in their order."""

    rules: tuple[Rule, ...]

    def without(self, identity: str) -> Strategy:
        """The same strategy without one rule. Raises ``KeyError`` when there is none of that id."""
        if identity not in {rule.id for rule in self.rules}:
            raise KeyError(identity)
        return Strategy(tuple(rule for rule in self.rules if rule.id != identity))


@dataclass(frozen=True)
class View:
    """What a party sees and holds when it looks at the chain."""

    role: str
    """client | lsp | tower"""
    root: Outpoint
    """The factory's one on-chain output."""
    held: Mapping[str, Template]
    """Complete transactions that the party may publish, by name."""
    unspent: Mapping[Outpoint, int]
    """Confirmed outputs that are unspent → height of their block; others than the party's own need not be there."""
    next_height: int
    """Height of the block that a broadcast may enter."""
    deadline: int
    """The party's own: from this height of the last block on it must have begun (blocks)."""
    pending: frozenset[str] = frozenset()
    """Its own broadcasts that are neither mined nor in conflict with what is."""
    affordable: frozenset[str] | None = None
    """Transactions whose fee it can pay; None: all."""


def may_enter(template: Template, unspent: Mapping[Outpoint, int], next_height: int) -> bool:
    """Whether the block at ``next_height`` may hold ``template`` on confirmed inputs (BIP-68, BIP-113)."""
    return template.lock_time < next_height and all(
        spend.outpoint in unspent and next_height >= unspent[spend.outpoint] + (spend.relative_lock or 0)
        for spend in template.spends
    )


def decide(strategy: Strategy, view: View) -> tuple[str, ...]:
    """The names of what the party broadcasts now, in the order of the rules."""
    taken = {s.outpoint for name in view.pending if name in view.held for s in view.held[name].spends}
    chosen: list[str] = []
    for rule in strategy.rules:
        if view.role not in rule.roles:
            continue
        for template in _ready(rule, view):
            inputs = {spend.outpoint for spend in template.spends}
            if not inputs & taken:
                chosen.append(template.name)
                taken |= inputs
    return tuple(chosen)


def _ready(rule: Rule, view: View) -> Iterator[Template]:
    """What a rule would publish if nothing else did, shortest lock first."""
    begun = view.root not in view.unspent
    if (rule.when == "begun" and not begun) or (rule.when == "deadline" and view.next_height <= view.deadline):
        return
    candidates = [template for template in view.held.values() if template.kind is rule.kind]
    for template in sorted(candidates, key=_age):
        if view.affordable is not None and template.name not in view.affordable:
            continue
        if not may_enter(template, view.unspent, view.next_height):
            continue
        if rule.choose == "newest" and any(_replaces(other, template) for other in candidates):
            continue
        yield template


def _age(template: Template) -> tuple[int, str]:
    """Newer first: a newer state has a shorter lock (P1242 'Decker-Wattenhofer')."""
    return max([spend.relative_lock or 0 for spend in template.spends], default=0), template.name


def _replaces(newer: Template, older: Template) -> bool:
    """Whether both spend one outpoint, and the first waits less."""
    inputs = {spend.outpoint for spend in older.spends}
    return _age(newer)[0] < _age(older)[0] and any(spend.outpoint in inputs for spend in newer.spends)


def load_strategy(directory: Path | None = None) -> Strategy:
    """Load ``spec/strategy.toml``, or the copy in ``directory``. Raises ``SpecError`` (``file:line``)."""
    document = read_document(spec_directory(directory) / "strategy.toml")
    rows = rows_of(document, "rules", _KEYS, "strategy")
    return Strategy(tuple(_rule(document, index, row) for index, row in enumerate(rows)))


def _rule(document: Document, index: int, row: Mapping[str, Any]) -> Rule:
    allowed: dict[str, tuple[str, ...]] = {"when": WHEN, "choose": CHOOSE, "kind": tuple(kind.value for kind in Kind)}
    for key, words in allowed.items():
        if row[key] not in words:
            at = document.place("rules", index, key)
            raise SpecError(str(at), f"'{key}' is {row[key]!r:.40}; it may be {', '.join(words)}", "strategy")
    if not isinstance(row["for"], list) or not row["for"] or any(role not in ROLES for role in row["for"]):
        at = document.place("rules", index, "for")
        raise SpecError(str(at), f"'for' is a list of {' and '.join(ROLES)}", "strategy")
    return Rule(
        str(row["id"]),
        tuple(row["for"]),
        Kind(row["kind"]),
        row["when"],
        row["choose"],
        str(row["says"]),
        str(row["why"]),
    )
