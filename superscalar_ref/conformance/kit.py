"""A run of the kit: which tests, known failures, exit code, report.

Laws of this module:

* Exit 0: every test that was selected passed, or failed as its entry of the known failures says, or was skipped with a
  reason. Exit 1: a MUST failed, the adapter broke the protocol, or a known failure is known no longer. Exit 2: the
  kit or
  the corpus is at fault, or the adapter cannot be started. Exit 3: no test was selected, or all were skipped.
* A known failure that passes, or fails in another way, fails the run: the list cannot grow stale.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from superscalar_ref import __version__
from superscalar_ref.conformance.corpus import CORPUS_VERSION, read_tests
from superscalar_ref.conformance.judge import Profile, Result, Verdict, judge
from superscalar_ref.conformance.runner import Runner
from superscalar_ref.errors import InputError, one_line
from superscalar_ref.spec.location import spec_directory

LAYERS = ("L0", "L1", "L3")
OUTCOMES = ("outcomes", "tower-outcomes")
"""The profiles of layer L3."""
_BAD = (Verdict.FAIL, Verdict.ERROR)


@dataclass(frozen=True)
class Known:
    """A failure that is known: a test's id and how it fails."""

    id: str
    code: str
    line: int


@dataclass(frozen=True)
class Run:
    """What a run gave."""

    profile: Profile
    results: tuple[Result, ...]
    known: tuple[Known, ...]
    strict: bool
    only: str = ""
    """The word by which tests were selected; empty for all."""

    @property
    def unexpected(self) -> tuple[Result, ...]:
        """Results that fail the run and are not known as they are."""
        known = {(one.id, one.code) for one in self.known}
        bad = (*_BAD, Verdict.NON_STRICT) if self.strict else _BAD
        return tuple(one for one in self.results if one.verdict in bad and (one.id, one.code) not in known)

    @property
    def stale(self) -> tuple[str, ...]:
        """What is wrong with the known failures, in words."""
        seen = {one.id: one for one in self.results}
        lines = []
        for one in self.known:
            result = seen.get(one.id)
            if result is None:
                lines.append(f"line {one.line}: '{one.id}' was not run")
            elif result.verdict is Verdict.PASS:
                lines.append(f"line {one.line}: '{one.id}' passes now")
            elif result.code != one.code:
                lines.append(f"line {one.line}: '{one.id}' fails with {result.code or result.verdict}, not {one.code}")
        return tuple(lines)

    @property
    def exit_code(self) -> int:
        """0, 1 or 3, as the laws say."""
        if not any(one.verdict is not Verdict.SKIPPED for one in self.results):
            return 3
        return 1 if self.unexpected or self.stale else 0

    def counts(self) -> Counter[Verdict]:
        """How many tests have each verdict."""
        return Counter(one.verdict for one in self.results)


def load_tests(layers: Sequence[str] = LAYERS, directory: Path | None = None, only: str = "") -> list[dict[str, Any]]:
    """The tests of the corpus, or of ``directory``; ``only`` is a part of an id, a rule's id or a profile.

    Raises InputError when the corpus is missing, malformed, or names a test twice.
    """
    folder = directory or spec_directory() / "vectors"
    tests: list[dict[str, Any]] = []
    seen: dict[str, Path] = {}
    for path in sorted(folder.glob("*.json")):
        # The package's own files are held against the schema by its tests: that takes longer than to read them.
        document = read_tests(path, whole=directory is not None)
        if document["layer"] not in layers:
            continue
        for test in document["tests"]:
            if test["id"] in seen:
                raise InputError(str(path), f"'{test['id']}' stands in {seen[test['id']].name} too", "vectors")
            seen[test["id"]] = path
            if not only or only in test["id"] or only in test["rules"] or only == test["profile"]:
                tests.append(test)
    if not seen:
        raise InputError(str(folder), f"holds no vectors of {', '.join(layers)}", "vectors")
    return tests


def load_known(path: Path) -> tuple[Known, ...]:
    """Known failures: a line each, ``ID CODE``; ``#`` begins a comment. Raises InputError."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(str(path), f"cannot be read: {error}", "--expected-failures") from error
    known = []
    for number, line in enumerate(lines, start=1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        if len(words) != 2:
            raise InputError(f"{path}:{number}", "is not 'ID CODE'", "--expected-failures")
        known.append(Known(words[0], words[1], number))
    twice = [one for one, count in Counter(one.id for one in known).items() if count > 1]
    if twice:
        raise InputError(str(path), f"'{twice[0]}' stands twice", "--expected-failures")
    return tuple(known)


def run(
    runner: Runner,
    profile: Profile,
    tests: Sequence[Mapping[str, Any]],
    known: tuple[Known, ...] = (),
    strict: bool = False,
    progress: Callable[[Result], None] = lambda _: None,
    only: str = "",
) -> Run:
    """Judge every test; ``only`` is the word by which they were selected."""
    results = []
    for test in tests:
        result = judge(runner, profile, test)
        progress(result)
        results.append(result)
    return Run(profile, tuple(results), known, strict, only)


# -- reports -----------------------------------------------------------------------------------------------------------


def summary(done: Run) -> Iterator[str]:
    """The report for people: first why a pass may mean little, then the counts, the failures and the claim."""
    counts = done.counts()
    for reason in doubts(done):
        yield f"mind: {reason}"
    yield f"{len(done.results)} tests: " + ", ".join(
        f"{counts[verdict]} {verdict}" for verdict in Verdict if counts[verdict]
    )
    known = {one.id for one in done.known}
    for one in done.results:
        if one.verdict in (Verdict.PASS, Verdict.SKIPPED):
            continue
        mark = " (known)" if one.id in known and one not in done.unexpected else ""
        yield one_line(f"{one.verdict}{mark} {one.id} [{', '.join(one.rules)}] {one.code}: {one.detail}")
    for line in done.stale:
        yield f"known failures, {line}"
    if done.exit_code == 0:
        yield claim(done)


def claim(done: Run) -> str:
    """What may be said after a run without failures."""
    skipped = {one.profile for one in done.results if one.verdict is Verdict.SKIPPED}
    passed = [
        f"a part of {name}" if done.only or name in skipped else name
        for name in sorted({one.profile for one in done.results if one.verdict is Verdict.PASS})
    ]
    return (
        f"{one_line(done.profile.name)} {one_line(done.profile.version)} conforms to {' + '.join(passed)}, "
        f"corpus {CORPUS_VERSION}, spec {__version__}"
    )


def doubts(done: Run) -> Iterator[str]:
    """Why a pass may mean little."""
    counts = done.counts()
    if done.only:
        yield f"only tests with '{one_line(done.only)}' were asked"
    if counts[Verdict.SKIPPED]:
        skipped = Counter(one.profile for one in done.results if one.verdict is Verdict.SKIPPED)
        yield f"{counts[Verdict.SKIPPED]} tests skipped as undeclared: {', '.join(sorted(skipped))}"
    told = {Verdict.PASS, *_BAD}
    outcomes = any(one.profile in OUTCOMES and one.verdict in told for one in done.results)
    if not outcomes and not any(one.fields_compared for one in done.results):
        yield "no state was compared: only functions were asked"
    if done.known:
        yield f"{len(done.known)} failures are known and do not count"
    if not outcomes:
        yield "no outcome on a chain was looked at (L3)"
    yield "fixed vectors only; --fuzz plays more"


def as_json(done: Run) -> dict[str, Any]:
    """The whole run as JSON."""
    return {
        "adapter": {"name": done.profile.name, "version": done.profile.version},
        "spec_version": __version__,
        "corpus_version": CORPUS_VERSION,
        "exit_code": done.exit_code,
        "mind": list(doubts(done)),
        "counts": {str(verdict): done.counts()[verdict] for verdict in Verdict},
        "known_failures_that_are_wrong": list(done.stale),
        "results": [plain_result(one) for one in done.results],
    }


def plain_result(one: Result) -> dict[str, Any]:
    """One verdict as JSON."""
    shown = asdict(one)
    shown["verdict"] = str(one.verdict)
    shown["trace"] = [{"request": request, "reply": reply} for request, reply in one.trace]
    return shown
