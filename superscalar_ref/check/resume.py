"""What a stopped run has decided, kept in a file, so that the next run goes on from there.

The file is bound to the specification and the code that judged it: when either changes, nothing of it is used. Only
jobs that found no loss are kept: a loss is looked for again, so that it comes with its trace.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import superscalar_ref
from superscalar_ref.check.verdict import Verdict
from superscalar_ref.errors import InputError
from superscalar_ref.spec.location import spec_directory

VERSION = 1
_JUDGED_BY = ("check", "machine", "protocol", "spec")
_FIELDS = {field.name: field.type for field in fields(Verdict) if field.name != "trace"}


def digest(directory: Path | None = None) -> str:
    """SHA-256, in hex, of the specification's tables, of the code that judges them, and of the package's version.

    A copy's numbers are compared with the package's own, so these count too.
    """
    package, own = Path(superscalar_ref.__file__).parent, spec_directory()
    tables = sorted(spec_directory(directory).rglob("*.toml"))
    code = sorted(path for name in _JUDGED_BY for path in (package / name).rglob("*.py"))
    hasher = hashlib.sha256(superscalar_ref.__version__.encode())
    for root, paths in ((spec_directory(directory), tables), (own, [own / "parameters.toml"]), (package, code)):
        for path in paths:
            content = path.read_bytes()
            hasher.update(f"\n{path.relative_to(root).as_posix()} {len(content)}\n".encode())
            hasher.update(content)
    return hasher.hexdigest()


class Kept:
    """The verdicts of finished jobs, in memory and in a file. Raises ``InputError`` for a file of another form."""

    def __init__(self, path: Path, tables: str) -> None:
        self.path = path
        self.tables = tables
        self.stale = False
        """The file was of other tables or other code: nothing of it is used."""
        self._jobs: dict[str, dict[str, Any]] = {}
        if path.exists():
            self._read()

    def find(self, job: str, wanted: Iterable[str]) -> list[Verdict] | None:
        """The verdicts of a job that was asked for all of ``wanted``; None when it was not finished."""
        entry = self._jobs.get(job)
        wanted = set(wanted)
        if entry is None or not wanted <= set(entry["asked"]):
            return None
        return [Verdict(**row) for row in entry["verdicts"] if row["property"] in wanted]

    def keep(self, job: str, wanted: Iterable[str], verdicts: Iterable[Verdict]) -> None:
        """Keep what a job decided, unless it found a loss; the file is replaced as a whole. Raises ``InputError``."""
        rows = [asdict(verdict) for verdict in verdicts if verdict.trace is None]
        if len(rows) < len(list(verdicts)):
            return
        for row in rows:
            del row["trace"]
        self._jobs[job] = {"asked": sorted(wanted), "verdicts": rows}
        text = json.dumps({"version": VERSION, "tables": self.tables, "jobs": self._jobs}, indent=1)
        beside = self.path.with_name(f"{self.path.name}.new")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            beside.write_text(text + "\n", encoding="utf-8")
            os.replace(beside, self.path)  # noqa: PTH105  # the name says what matters: all or nothing
        except OSError as error:
            raise InputError(str(self.path), f"cannot be written: {error.strerror}", "resume") from error

    def _read(self) -> None:
        try:
            data = json.loads(self.path.read_text(encoding="utf-8"))
            if data["version"] == VERSION and data["tables"] == self.tables:
                self._jobs = {name: _entry(entry) for name, entry in data["jobs"].items()}
            else:
                self.stale = True
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise InputError(str(self.path), "is no file that a stopped run has written", "resume") from error


def _entry(entry: Any) -> dict[str, Any]:
    for row in entry["verdicts"]:
        if row.keys() != _FIELDS.keys() or row["holds"] is not True:
            raise ValueError("a verdict of another form")
    return {"asked": [str(name) for name in entry["asked"]], "verdicts": entry["verdicts"]}
