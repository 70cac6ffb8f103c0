"""A watchtower's one file: finished transactions, the outputs that they answer to, and what the last blocks spent.

Laws of this module:

* No table has a column for a key, a secret or a nonce; names of clients are whatever the clients call themselves.
* ``commit`` is as in ``store``: what is put is on the disk when it returns, or ``DurabilityError`` is raised.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from superscalar_ref.errors import InputError
from superscalar_ref.parties.store import MEMORY, Store

_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
    client TEXT NOT NULL, txid TEXT NOT NULL, kind TEXT NOT NULL, raw BLOB NOT NULL, amount TEXT NOT NULL,
    PRIMARY KEY (client, txid)
);
CREATE TABLE IF NOT EXISTS cases (
    client TEXT NOT NULL, outpoint TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (client, outpoint)
);
CREATE TABLE IF NOT EXISTS blocks (height INTEGER PRIMARY KEY, hash TEXT NOT NULL, previous TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS seen (txid TEXT PRIMARY KEY, height INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS spends (outpoint TEXT PRIMARY KEY, height INTEGER NOT NULL);
"""


@dataclass(frozen=True)
class KeptEntry:
    """One finished transaction of a client."""

    client: str
    txid: str
    kind: str
    raw: bytes
    amount: int
    """Of the output that it spends (sat)."""


class TowerStore(Store):
    """One tower's file."""

    def __init__(self, path: Path | str = MEMORY) -> None:
        """Open or create. Raises ``InputError`` when the file is no store."""
        super().__init__(path)
        try:
            self._connection.executescript(_SCHEMA)
        except sqlite3.Error as error:
            raise InputError(str(path), f"cannot be opened as a tower's store: {error}", "store-form") from error

    def put_entry(self, entry: KeptEntry) -> None:
        """Keep a finished transaction."""
        values = (entry.client, entry.txid, entry.kind, entry.raw, str(entry.amount))
        self._write("INSERT OR IGNORE INTO entries VALUES (?, ?, ?, ?, ?)", values)

    def put_case(self, client: str, outpoint: str, body: str) -> None:
        """Keep where a case stands, in place of an earlier one."""
        self._write("INSERT OR REPLACE INTO cases VALUES (?, ?, ?)", (client, outpoint, body))

    def put_block(self, height: int, block: str, previous: str) -> None:
        """Keep a block's hash, and its parent's."""
        self._write("INSERT OR REPLACE INTO blocks VALUES (?, ?, ?)", (str(height), block, previous))

    def put_seen(self, txid: str, height: int) -> None:
        """Keep that a transaction is in the block at ``height``."""
        self._write("INSERT OR REPLACE INTO seen VALUES (?, ?)", (txid, str(height)))

    def put_spend(self, outpoint: str, height: int) -> None:
        """Keep that an output is spent in the block at ``height``."""
        self._write("INSERT OR REPLACE INTO spends VALUES (?, ?)", (outpoint, str(height)))

    def undo_from(self, height: int) -> None:
        """Forget the blocks from ``height`` on: a reorg has replaced them."""
        for table in ("blocks", "seen", "spends"):
            self._write(f"DELETE FROM {table} WHERE height >= ?", (str(height),))

    def forget_below(self, height: int) -> None:
        """Forget what the blocks below ``height`` held."""
        for table in ("blocks", "seen", "spends"):
            self._write(f"DELETE FROM {table} WHERE height < ?", (str(height),))

    def entries(self) -> list[KeptEntry]:
        """Every finished transaction. Raises ``InputError`` when the file cannot be read, as the others do."""
        found = []
        for client, txid, kind, raw, amount in self._read("SELECT * FROM entries ORDER BY client, txid"):
            if not isinstance(raw, bytes):
                raise InputError(str(self.path), f"the transaction {txid!s} is no bytes", "store-form")
            found.append(KeptEntry(str(client), str(txid), str(kind), raw, int(amount)))
        return found

    def cases(self) -> list[str]:
        """Where every case stands."""
        return [str(row[0]) for row in self._read("SELECT body FROM cases ORDER BY client, outpoint")]

    def blocks(self) -> dict[int, tuple[str, str]]:
        """Height → (hash, hash of the parent) of the last blocks."""
        rows = self._read("SELECT height, hash, previous FROM blocks ORDER BY height")
        return {int(height): (str(block), str(previous)) for height, block, previous in rows}

    def seen(self) -> dict[str, int]:
        """Transaction → height, of the last blocks."""
        return {str(txid): int(height) for txid, height in self._read("SELECT txid, height FROM seen")}

    def spends(self) -> dict[str, int]:
        """Output → the height at which it was spent, of the last blocks."""
        return {str(place): int(height) for place, height in self._read("SELECT outpoint, height FROM spends")}
