"""Who notices a fault: the loader, the searches, the tests of the table, the games, the proofs; the cheapest first.

Laws of this module:

* What runs here runs in a process of its own, which is given up afterwards: the copy stands for the package's own
  specification, and nothing loads another one.
* A complaint that a table is *untidy* without a rule (a guard that no row uses) notices nothing: the mistake of an
  implementer would not be untidy.
"""

from __future__ import annotations

import gc
import importlib
import io
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from superscalar_ref.errors import SuperscalarError
from superscalar_ref.mutate.faults import BACKUP, DEADLINES, FEES, PARAMETERS, STRATEGY, Fault
from superscalar_ref.spec.location import put_on_trial

SMALL = "one-layer"
"""The configuration whose games are played first."""
_IN_SEARCHES = {"session": "ceremonies", "client": "lives", "factory": "lives"}
"""The searches without a chain, by the tables that they run on."""
IN_GAMES = (*_IN_SEARCHES, STRATEGY, PARAMETERS)
"""The tables whose faults the games may notice."""

TESTS: Mapping[str, tuple[str, ...]] = {
    "session": ("protocol/test_session.py", "parties/test_life.py", "protocol/test_guards_matter.py"),
    "client": ("protocol/test_client.py", "parties/test_life.py", "protocol/test_guards_matter.py"),
    "factory": ("protocol/test_factory.py", "parties/test_life.py", "protocol/test_guards_matter.py"),
    "stock": ("protocol/test_stock.py", "parties/test_sales.py"),
    "channel": (
        "protocol/test_channel_guards.py",
        "parties/test_channel_life.py",
        "protocol/test_channel_effects.py",
    ),
    "watchtower": ("protocol/test_watchtower.py", "parties/test_tower.py"),
    "ladder": ("protocol/test_ladder.py", "parties/test_ladder.py"),
    "assisted_exit": ("protocol/test_assisted_exit.py", "check/test_handover.py", "scenario/test_assisted_exit.py"),
    PARAMETERS: (
        "spec/test_parameters_content.py",
        "protocol/test_htlc_limits.py",
        "protocol/test_deadline.py",
        "conformance/test_parameters.py",
    ),
    STRATEGY: (
        "protocol/test_strategy.py",
        "protocol/test_watchtower.py",
        "parties/test_tower.py",
        "parties/test_end.py",
    ),
    BACKUP: ("parties/test_kit_age.py", "parties/test_kit.py"),
    FEES: ("parties/test_fees.py", "parties/test_tower.py", "verify/test_fees.py", "protocol/test_fees.py"),
    DEADLINES: ("protocol/test_deadline.py", "parties/test_lookout.py", "parties/test_end.py"),
}
"""Under ``tests/``: what looks at each table, the cheapest first; a file that does not exist is left out."""
_OF_A_MACHINE = dict.fromkeys(("by", "swap"), ("spec/test_every_table.py",))
"""What must be true of every machine's table, by the kind of fault that it notices."""
TIDY = ("scene", "every_row", "every_guard", "every_effect", "every_way", "each_role_pays", "faulty_file", "says_why")
"""Words in the names of tests that only compare a table with a list of its own rows: they notice no loss."""
DROPPED = "dropped_is_missed"
"""In the names of tests that themselves take a guard or an effect out of the sound table: red when nobody misses it."""


@dataclass(frozen=True)
class Noticed:
    """Who noticed, and what."""

    by: str
    """loader | property | lemma | test | stuck (it does not end); empty: nobody."""
    what: str = ""
    """The property with the length of its trace, the test, the complaint."""


@dataclass(frozen=True)
class Before:
    """What the specification does without a fault: of which properties each job has an example."""

    examples: Mapping[str, frozenset[str]]


def stages(
    fault: Fault, spec: Path, tests: Path | None, before: Before | None
) -> Iterator[Callable[[], Noticed | None]]:
    """What is asked about a fault, in this order, until something notices. ``tests`` None: no tests."""
    table = fault.table
    yield lambda: _loader(spec)
    if table in _IN_SEARCHES:
        yield lambda: _searches(spec, before, _IN_SEARCHES[table])
    if tests is not None:
        files = [
            file for file in (*_OF_A_MACHINE.get(fault.kind, ()), *TESTS.get(table, ())) if (tests / file).is_file()
        ]
        for file in files if fault.kind in ("guard", "effect") else ():
            if DROPPED in (tests / file).read_text(encoding="utf-8"):
                yield lambda file=file: _dropping(tests, file, fault)  # type: ignore[misc]
        for file in files:
            yield lambda file=file: _test(tests, file)  # type: ignore[misc]
    if table in (PARAMETERS, STRATEGY):
        yield lambda: _lemmas(spec)
    if table in IN_GAMES:
        yield lambda: _searches(spec, before, "games")


def on_trial(spec: Path | None) -> None:
    """Let ``spec`` stand for the package's own specification in this process; None: its own again."""
    put_on_trial(spec)
    for thing in gc.get_objects():
        # Of functools only: what was read before the trial is forgotten.
        if type(thing).__name__ == "_lru_cache_wrapper" and str(thing.__module__).startswith("superscalar_ref."):
            thing.cache_clear()


def warm() -> None:
    """Import what is slow to import, and reads no table, once for all the processes that are to come."""
    for name in (
        "pytest",
        "hypothesis",
        "superscalar_ref.check.judge",
        "superscalar_ref.chain.kernel",
        "superscalar_ref.parties.lsp",
    ):
        importlib.import_module(name)


def _loader(spec: Path) -> Noticed | None:
    from superscalar_ref.protocol.backup import load_backup_rules  # noqa: PLC0415
    from superscalar_ref.protocol.deadline import load_deadlines  # noqa: PLC0415
    from superscalar_ref.protocol.fees import load_fee_rules  # noqa: PLC0415
    from superscalar_ref.protocol.strategy import load_strategy  # noqa: PLC0415
    from superscalar_ref.spec.load import load_doubted  # noqa: PLC0415

    try:
        load_doubted(spec)
        load_strategy(spec)
        load_backup_rules(spec)
        load_fee_rules(spec)
        load_deadlines(spec)
    except SuperscalarError as error:
        return Noticed("loader", str(error))
    return None


def before(spec: Path) -> Before:
    """What the searches and games find in a specification without faults. Raises AssertionError when one is lost."""
    found: dict[str, frozenset[str]] = {}
    for job, verdicts in (*_played(spec, "ceremonies"), *_played(spec, "lives"), *_played(spec, "games")):
        lost = [verdict.property for verdict in verdicts if verdict.trace is not None]
        assert not lost, f"{lost[0]} is refuted without any fault"
        found[job] = frozenset(verdict.property for verdict in verdicts if verdict.examples)
    return Before(found)


def _played(spec: Path, search: str) -> Iterator[tuple[str, list[Any]]]:
    from superscalar_ref.check.configurations import load_configurations  # noqa: PLC0415
    from superscalar_ref.check.judge import KNOWN, Design, jobs, run_job  # noqa: PLC0415
    from superscalar_ref.protocol.strategy import load_strategy  # noqa: PLC0415
    from superscalar_ref.spec.load import load_doubted  # noqa: PLC0415

    configurations = tuple(one for one in load_configurations(spec) if one.id == SMALL)
    design = Design(load_doubted(spec), load_strategy(spec), configurations)
    for job in jobs(design, KNOWN):
        if job.default and (search == "games" if job.configuration is not None else search == job.search):
            yield job.name, run_job(design, job, KNOWN, quick=True)


def _searches(spec: Path, before: Before | None, search: str) -> Noticed | None:
    try:
        for job, verdicts in _played(spec, search):
            for verdict in verdicts:
                if verdict.trace is not None:
                    steps = len(verdict.trace.off_chain) + len(verdict.trace.rounds)
                    return Noticed("property", f"{verdict.property} in {steps} steps ({job})")
            found = {verdict.property for verdict in verdicts if verdict.examples}
            idle = sorted((before.examples.get(job, frozenset()) if before else frozenset()) - found)
            if idle:
                return Noticed("property", f"{idle[0]}-SOMETIMES has no example ({job})")
    except (SuperscalarError, ValueError, KeyError, TypeError, AssertionError) as error:
        return Noticed("property", f"the search itself fails: {error!r:.120}")
    return None


def _lemmas(spec: Path) -> Noticed | None:
    from superscalar_ref.check.proofs import Verdict, prove_all  # noqa: PLC0415  # z3 is slow to import

    try:
        for proof in prove_all(spec):
            if proof.verdict is Verdict.REFUTED:
                return Noticed("lemma", proof.lemma)
    except SuperscalarError as error:
        return Noticed("loader", str(error))
    return None


class _First:
    """The first test that fails; a plugin of pytest. ``only`` says which tests are run."""

    def __init__(self, only: Callable[[Any], bool]) -> None:
        self.only = only
        self.passed = ""
        self.failed = ""

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        """Leave out the others."""
        items[:] = [item for item in items if self.only(item)]

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Remember the first failure, and the last test that passed."""
        if report.failed:
            self.failed = self.failed or report.nodeid
        elif report.when == "call" and report.passed:
            self.passed = report.nodeid

    def pytest_collectreport(self, report: Any) -> None:
        """A file that cannot even be imported fails as a whole."""
        if report.failed:
            self.failed = self.failed or report.nodeid


def _run(tests: Path, file: str, only: Callable[[Any], bool]) -> _First:
    import pytest  # noqa: PLC0415  # not needed by anybody who does not run tests

    root, first = tests.parent, _First(only)
    os.environ["HYPOTHESIS_PROFILE"] = "ci"
    os.chdir(root)
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    options = ["-x", "-q", "--no-header", "-p", "no:cacheprovider", "-p", "no:xdist", f"--rootdir={root}"]
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        pytest.main([*options, str(tests / file)], plugins=[first])
    return first


def _test(tests: Path, file: str) -> Noticed | None:
    first = _run(tests, file, lambda item: not any(word in item.name.split("[")[0] for word in TIDY))
    return Noticed("test", first.failed) if first.failed else None


def _dropping(tests: Path, file: str, fault: Fault) -> Noticed | None:
    """Ask the tests of the sound table that drop this one guard or effect themselves."""
    wanted = {fault.row, fault.id.split(":")[2]}

    def only(item: Any) -> bool:
        given = getattr(item, "callspec", None)
        texts = {one for one in given.params.values() if isinstance(one, str)} if given is not None else set()
        return DROPPED in item.name and wanted <= texts

    def ask() -> Noticed | None:
        on_trial(None)
        first = _run(tests, file, only)
        return Noticed("test", first.passed) if first.passed and not first.failed else None

    return apart(ask)


def apart(ask: Callable[[], Noticed | None]) -> Noticed | None:
    """Ask in a process of its own: what it imports and changes is gone afterwards."""
    here, there = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=lambda: there.send(ask()))
    process.start()
    there.close()
    try:
        answer: Noticed | None = here.recv()
    except EOFError:
        answer = None
    process.join()
    return answer


def notice(fault: Fault, spec: Path, tests: Path | None, known: Before | None) -> Noticed:
    """Ask one after the other, until something notices. For a process of its own."""
    on_trial(spec)
    for ask in stages(fault, spec, tests, known):
        noticed = ask()
        if noticed is not None:
            return replace(noticed, what=" ".join(noticed.what.split()))
    return Noticed("")
