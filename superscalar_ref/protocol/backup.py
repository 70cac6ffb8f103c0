"""What may be published from a backup: the rules of ``spec/backup.toml`` as data (BAK-1 to BAK-4, Q-BAK-1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from superscalar_ref.errors import SpecError
from superscalar_ref.protocol.transaction import Kind, Template
from superscalar_ref.spec.location import spec_directory
from superscalar_ref.spec.rows import rows_of
from superscalar_ref.spec.source import Document, read_document


class Age(StrEnum):
    """How much is known of a backup's age."""

    CURRENT = "current"
    """Its owner says that nothing was signed after it, and nothing contradicts."""
    UNKNOWN = "unknown"
    OLD = "old"
    """The chain, or a newer transaction that somebody shows, proves it."""


@dataclass(frozen=True)
class Rule:
    """Kinds of transactions that a kit of some ages may publish."""

    id: str
    kinds: frozenset[Kind]
    ages: frozenset[Age]
    says: str
    why: str


@dataclass(frozen=True)
class BackupRules:
    """All rules of the file."""

    rules: tuple[Rule, ...]

    def kinds(self, age: Age) -> frozenset[Kind]:
        """What a kit of this age may publish."""
        return frozenset(kind for rule in self.rules if age in rule.ages for kind in rule.kinds)

    def allowed(self, age: Age, held: Mapping[str, Template]) -> dict[str, Template]:
        """What is left of ``held`` for a kit of this age."""
        kinds = self.kinds(age)
        return {name: template for name, template in held.items() if template.kind in kinds}

    def without(self, identity: str) -> BackupRules:
        """The same rules where the kinds of one rule are published at any age: what that rule prevents.

        Raises ``KeyError`` when there is none of that id.
        """
        if identity not in {rule.id for rule in self.rules}:
            raise KeyError(identity)
        every = frozenset(Age)
        return BackupRules(
            tuple(
                Rule(rule.id, rule.kinds, every if rule.id == identity else rule.ages, rule.says, rule.why)
                for rule in self.rules
            )
        )


_KEYS = ("id", "kinds", "ages", "says", "why")


def load_backup_rules(directory: Path | None = None) -> BackupRules:
    """Load ``spec/backup.toml``, or the copy in ``directory``. Raises ``SpecError`` (``file:line``)."""
    document = read_document(spec_directory(directory) / "backup.toml")
    rows = rows_of(document, "rules", _KEYS, "backup")
    return BackupRules(tuple(_rule(document, index, row) for index, row in enumerate(rows)))


def _rule(document: Document, index: int, row: Mapping[str, Any]) -> Rule:
    for key, words in (("kinds", [str(kind) for kind in Kind]), ("ages", [str(age) for age in Age])):
        if not isinstance(row[key], list) or any(word not in words for word in row[key]):
            at = document.place("rules", index, key)
            raise SpecError(str(at), f"'{key}' is {row[key]!r:.60}; it is a list of {', '.join(words)}", "backup")
    return Rule(
        str(row["id"]),
        frozenset(Kind(kind) for kind in row["kinds"]),
        frozenset(Age(age) for age in row["ages"]),
        str(row["says"]),
        str(row["why"]),
    )
