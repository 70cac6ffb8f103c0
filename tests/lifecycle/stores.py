"""A party's store as the stories need it: it fails when told to, can be copied, and says when it has changed."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from superscalar_ref.errors import DurabilityError
from superscalar_ref.parties.store import MEMORY, Store

FAULTS = ("dies before", "dies after", "is full")
"""What can happen at a commit: the process ends before it, or right after it; or the disk takes no more."""


class Crash(BaseException):
    """The process ends here. Not an ``Exception``: nothing that the party does may catch it."""


class StoryStore(Store):
    """A store whose commits can be made to fail."""

    def __init__(self, path: Path | str = MEMORY) -> None:
        super().__init__(path)
        self.commits_left: int | None = None
        """The next fault comes after so many commits that have something to write; None: never."""
        self.fault = ""

    def arm(self, commits: int, fault: str) -> None:
        """Let ``fault`` happen at the commit after the next ``commits``."""
        self.commits_left, self.fault = commits, fault

    def disarm(self) -> None:
        """No fault from here on."""
        self.commits_left, self.fault = None, ""

    @property
    def changes(self) -> int:
        """Rows written since this store was opened, committed or not."""
        return self._connection.total_changes

    @property
    def half_written(self) -> bool:
        """Whether something was put that is not committed."""
        return self._connection.in_transaction

    def commit(self) -> None:
        if self.commits_left is None or not self.half_written:
            super().commit()
            return
        self.commits_left -= 1
        if self.commits_left >= 0:
            super().commit()
            return
        fault = self.fault
        self.disarm()
        if fault == "dies after":
            super().commit()
        self.rollback()
        if fault == "is full":
            raise DurabilityError(f"{self.path}: the disk is full")
        raise Crash

    def copy(self) -> Store:
        """A store in memory that holds what this one has committed."""
        twin = Store()
        target: sqlite3.Connection = twin._connection
        self._connection.backup(target)
        return twin

    def kit(self) -> tuple[object, ...]:
        """What an exit rests on: every document, and which signatures there are."""
        documents = tuple(self._read("SELECT name, body FROM documents ORDER BY name"))
        return hash(documents), frozenset(self._read("SELECT name FROM signatures"))
