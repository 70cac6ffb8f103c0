"""Asking about many faults, several at a time, and keeping what was answered."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import resource
import shutil
import signal
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from superscalar_ref.check.resume import digest
from superscalar_ref.errors import InputError, SuperscalarError
from superscalar_ref.mutate.detect import Before, Noticed, apart, before, notice, on_trial, warm
from superscalar_ref.mutate.faults import Fault
from superscalar_ref.spec.location import spec_directory

VERSION = 1
_OUT_OF_TIME = (-signal.SIGXCPU, -signal.SIGKILL)
_FORK = multiprocessing.get_context("fork")


class Answers:
    """What was found out, in memory and in a file that a stopped run goes on from.

    It is bound to the tables, the code that judges them and the tests: what changes makes a new beginning. Raises
    InputError for a file of another form.
    """

    def __init__(self, path: Path | None, bound: str) -> None:
        self.path = path
        self.bound = bound
        self.known: dict[str, Noticed] = {}
        if path is not None and path.exists():
            self._read(path)

    def keep(self, identity: str, noticed: Noticed) -> None:
        """Keep one answer; the file is replaced as a whole. Raises InputError when it cannot be written."""
        self.known[identity] = noticed
        if self.path is None:
            return
        rows = {name: asdict(one) for name, one in self.known.items()}
        text = json.dumps({"version": VERSION, "bound": self.bound, "faults": rows}, indent=1)
        beside = self.path.with_name(f"{self.path.name}.new")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            beside.write_text(text + "\n", encoding="utf-8")
            os.replace(beside, self.path)  # noqa: PTH105  # the name says what matters: all or nothing
        except OSError as error:
            raise InputError(str(self.path), f"cannot be written: {error.strerror}", "resume") from error

    def _read(self, path: Path) -> None:
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            if data["version"] == VERSION and data["bound"] == self.bound:
                self.known = {
                    str(name): Noticed(str(row["by"]), str(row["what"])) for name, row in data["faults"].items()
                }
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise InputError(str(path), "is no file that a stopped run has written", "resume") from error


def bound(directory: Path | None, tests: Path | None) -> str:
    """SHA-256, in hex, of the tables, the code that judges them, and the tests."""
    hasher = hashlib.sha256(digest(directory).encode())
    for path in sorted(tests.rglob("*.py")) if tests is not None else ():
        hasher.update(f"\n{path}\n".encode() + path.read_bytes())
    return hasher.hexdigest()


def sound(directory: Path | None, games: bool) -> Before | None:
    """What the searches find without any fault, from a process of its own; None: no search will be asked.

    Raises SuperscalarError when a property is refuted without any fault.
    """
    if not games:
        return None
    here, there = _FORK.Pipe(duplex=False)
    process = _FORK.Process(target=_sound, args=(there, spec_directory(directory)))
    process.start()
    there.close()
    answer = here.recv()
    process.join()
    if isinstance(answer, Before):
        return answer
    raise SuperscalarError(f"without any fault: {answer}")


def _sound(there: Connection, spec: Path) -> None:
    try:
        there.send(before(spec))
    except (AssertionError, SuperscalarError) as error:
        there.send(str(error))


def ask(
    faults: Sequence[Fault],
    directory: Path | None,
    tests: Path | None,
    known: Before | None,
    cores: int,
    seconds: int,
) -> Iterator[tuple[Fault, Noticed]]:
    """Ask about each fault in a process of its own, ``cores`` at a time; yield each answer as it comes.

    ``seconds``: of CPU time, after which a fault counts as noticed, because something does not end any more.
    """
    warm()
    todo = list(reversed(faults))
    running: dict[Connection, tuple[Fault, BaseProcess]] = {}
    with tempfile.TemporaryDirectory(prefix="superscalar-mutate-") as root:
        try:
            while todo or running:
                while todo and len(running) < cores:
                    fault = todo.pop()
                    here, there = _FORK.Pipe(duplex=False)
                    arguments = (there, fault, Path(root), directory, tests, known, seconds)
                    process: BaseProcess = _FORK.Process(target=_work, args=arguments)
                    process.start()
                    there.close()
                    running[here] = (fault, process)
                for ready in wait(list(running)):
                    assert isinstance(ready, Connection)
                    fault, ended = running.pop(ready)
                    yield fault, _answer(ready, ended, fault, seconds)
        finally:
            for _, left in running.values():
                left.terminate()
                left.join()


def _answer(ready: Connection, process: BaseProcess, fault: Fault, seconds: int) -> Noticed:
    try:
        answer: Noticed = ready.recv()
    except EOFError:
        process.join()
        if process.exitcode not in _OUT_OF_TIME:
            raise SuperscalarError(f"{fault.id}: asking about it ended with {process.exitcode}") from None
        return Noticed("stuck", f"does not end within {seconds} s of CPU time")
    process.join()
    return answer


def _work(
    there: Connection,
    fault: Fault,
    root: Path,
    directory: Path | None,
    tests: Path | None,
    known: Before | None,
    seconds: int,
) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
    os.setpgid(0, 0)
    place = root / str(os.getpid())
    spec = place / "spec"
    try:
        shutil.copytree(spec_directory(directory), spec)
        (spec / fault.file).write_text(fault.text, encoding="utf-8")
        there.send(notice(fault, spec, tests, known))
    finally:
        shutil.rmtree(place, ignore_errors=True)


def unfaulted(tables: Iterable[str], directory: Path | None, tests: Path | None) -> Mapping[str, str]:
    """The tests that are red without any fault, by table: they would notice everything."""
    red: dict[str, str] = {}
    for table in tables:
        whole = Fault(f"{table}:none", table, "without any fault", "parameters.toml", "")
        answer = apart(lambda whole=whole: _plain(whole, directory, tests))  # type: ignore[misc]
        if answer is not None and answer.by:
            red[table] = answer.what
    return red


def _plain(whole: Fault, directory: Path | None, tests: Path | None) -> Noticed:
    on_trial(directory)
    return notice(whole, spec_directory(directory), tests, None)
