"""What checking a file of vectors gives: one result for each case."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """The verdict on a case. Only OK counts as passed."""

    OK = "ok"
    MISMATCH = "MISMATCH"
    NOT_REPRODUCIBLE = "not reproducible"


@dataclass(frozen=True)
class CaseResult:
    """One case: its place in the file, the verdict, why, and the file's own comment."""

    case: str
    outcome: Outcome
    detail: str = ""
    comment: str = ""


@dataclass(frozen=True)
class FileResult:
    """One file: its form and its cases in their order."""

    file: str
    form: str
    cases: tuple[CaseResult, ...]

    def count(self, outcome: Outcome) -> int:
        """How many cases have this outcome."""
        return sum(case.outcome is outcome for case in self.cases)
