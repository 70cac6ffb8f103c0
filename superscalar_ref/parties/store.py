"""A party's durable records: one SQLite file, written before what depends on it is sent.

Laws of this module:

* ``commit`` returns only when everything put so far is on the disk (``synchronous = FULL``); if it cannot be, it raises
  ``DurabilityError`` and nothing of it is kept: the caller must not send.
* A record of a spend (D-7) is never overwritten or deleted.
* No secret nonce is ever handed to this module (D-2).
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from superscalar_ref.errors import DurabilityError, InputError
from superscalar_ref.protocol.session import Record

Row = tuple[str | bytes, ...]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS documents (name TEXT PRIMARY KEY, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS records (
    outpoint TEXT NOT NULL, slot TEXT NOT NULL, message TEXT NOT NULL, PRIMARY KEY (outpoint, slot, message)
);
CREATE TABLE IF NOT EXISTS signatures (name TEXT PRIMARY KEY, signature BLOB NOT NULL);
"""

MEMORY = ":memory:"
"""A store that does not outlive the process: for tests."""


class Store:
    """One party's file."""

    def __init__(self, path: Path | str = MEMORY) -> None:
        """Open or create. Raises ``InputError`` when the file is no store."""
        self.path = path
        try:
            self._connection = sqlite3.connect(path, isolation_level=None)
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.executescript(_SCHEMA)
        except sqlite3.Error as error:
            raise InputError(str(path), f"cannot be opened as a store: {error}", "store-form") from error

    @classmethod
    def snapshot(cls, path: Path) -> Store:
        """What a file holds at this moment, in memory: the file is only read, and may be in use.

        Raises ``InputError`` when the file is no store.
        """
        taken = cls()
        try:
            with contextlib.closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as source:
                source.backup(taken._connection)
            taken._connection.executescript(_SCHEMA)
        except sqlite3.Error as error:
            raise InputError(str(path), f"cannot be opened as a store: {error}", "store-form") from error
        return taken

    def twin(self, path: Path | str = MEMORY) -> Store:
        """Another store, at ``path`` or in memory, with what is committed here. Raises ``InputError`` as opening."""
        taken = type(self)(path)
        self._connection.backup(taken._connection)
        return taken

    def _write(self, statement: str, values: tuple[str | bytes, ...]) -> None:
        try:
            if not self._connection.in_transaction:
                self._connection.execute("BEGIN IMMEDIATE")
            self._connection.execute(statement, values)
        except sqlite3.Error as error:
            self.rollback()
            raise DurabilityError(f"{self.path}: {error}") from error

    def put_document(self, name: str, body: str) -> None:
        """Keep a text under a name, in place of an earlier one."""
        self._write("INSERT OR REPLACE INTO documents VALUES (?, ?)", (name, body))

    def put_record(self, record: Record) -> None:
        """Keep a spend: outpoint, slot, message."""
        self._write("INSERT OR IGNORE INTO records VALUES (?, ?, ?)", record)

    def put_signature(self, name: str, signature: bytes) -> None:
        """Keep a complete signature (64 bytes) by the name of its transaction."""
        self._write("INSERT OR REPLACE INTO signatures VALUES (?, ?)", (name, signature))

    def commit(self) -> None:
        """Make everything put so far durable. Raises ``DurabilityError``."""
        try:
            if self._connection.in_transaction:
                self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            self.rollback()
            raise DurabilityError(f"{self.path}: {error}") from error

    def rollback(self) -> None:
        """Drop what was put and not committed. Never raises: what stays is dropped when the file is opened next."""
        with contextlib.suppress(sqlite3.Error):
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def _read(self, statement: str, values: tuple[str | int, ...] = ()) -> list[Row]:
        try:
            return list(self._connection.execute(statement, values))
        except sqlite3.Error as error:
            raise InputError(str(self.path), f"cannot be read: {error}", "store-form") from error

    def document(self, name: str) -> str | None:
        """A text by its name. Raises ``InputError`` when the file cannot be read, as do the others that read."""
        rows = self._read("SELECT body FROM documents WHERE name = ?", (name,))
        return str(rows[0][0]) if rows else None

    def documents(self, prefix: str) -> dict[str, str]:
        """Every text whose name begins with ``prefix``, by name."""
        rows = self._read("SELECT name, body FROM documents WHERE substr(name, 1, ?) = ?", (len(prefix), prefix))
        return {str(name): str(body) for name, body in rows}

    def records(self) -> frozenset[Record]:
        """Every spend ever recorded."""
        return frozenset(
            (str(row[0]), str(row[1]), str(row[2])) for row in self._read("SELECT outpoint, slot, message FROM records")
        )

    def signatures(self) -> dict[str, bytes]:
        """Every complete signature, by the name of its transaction."""
        found: dict[str, bytes] = {}
        for name, signature in self._read("SELECT name, signature FROM signatures ORDER BY name"):
            if not isinstance(signature, bytes):
                raise InputError(str(self.path), f"the signature of '{name!s}' is no bytes", "store-form")
            found[str(name)] = signature
        return found

    def close(self) -> None:
        """Close the file; what was not committed is lost, as in a crash."""
        self.rollback()
        self._connection.close()
