"""The pytest door: ``pytest --superscalar-adapter CMD`` gives one test for each vector.

Laws of this module:

* Without the option nothing is collected and nothing is imported: other people's suites are left alone.
* A skipped vector is a skipped test with its reason; a fault of the adapter is a failure that says what it did.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from superscalar_ref.conformance.judge import Profile, Result
    from superscalar_ref.conformance.runner import Runner


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("superscalar", "SuperScalar conformance")
    group.addoption("--superscalar-adapter", metavar="CMD", help="ask this program every vector, one test for each")
    group.addoption("--superscalar-layer", action="append", choices=("L0", "L1", "L3"), help="only this layer")
    group.addoption(
        "--superscalar-only", metavar="WORD", default="", help="only tests with WORD in the id, or its rule"
    )
    group.addoption("--superscalar-timeout", type=float, default=10.0, metavar="SECONDS", help="for each reply")


def pytest_collection(session: pytest.Session) -> None:
    """Register the collector of vectors when an adapter is named."""
    if session.config.getoption("--superscalar-adapter"):
        session.config.pluginmanager.register(_Collecting(), "superscalar-vectors")


class _Collecting:
    """Adds the vectors to what pytest has collected by itself."""

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(
        self, session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        vectors = Vectors.from_parent(session, name="superscalar", path=Path(str(config.rootpath)))
        items.extend(vectors.collect())


class Vectors(pytest.Collector):
    """All vectors that are asked of the adapter."""

    _runner: Runner | None = None
    _profile: Profile | None = None

    def collect(self) -> Iterator[pytest.Item]:
        """One item for each vector."""
        from superscalar_ref.conformance import kit  # noqa: PLC0415 - only with the option

        config = self.config
        tests = kit.load_tests(
            config.getoption("--superscalar-layer") or kit.LAYERS, only=config.getoption("--superscalar-only")
        )
        for test in tests:
            yield Vector.from_parent(self, name=test["id"], test=test)

    def judged(self, test: Mapping[str, Any]) -> Result:
        """A vector's verdict; the adapter is started at the first."""
        from superscalar_ref.conformance.judge import greet, judge  # noqa: PLC0415
        from superscalar_ref.conformance.runner import SubprocessRunner  # noqa: PLC0415

        if self._runner is None:
            self._runner = SubprocessRunner(
                self.config.getoption("--superscalar-adapter"), self.config.getoption("--superscalar-timeout")
            )
            self.config.add_cleanup(self._runner.close)
        if self._profile is None:
            self._profile = greet(self._runner)
        return judge(self._runner, self._profile, test)


class VectorFailed(Exception):
    """A vector that the adapter does not pass."""


class Vector(pytest.Item):
    """One vector."""

    def __init__(self, *, test: Mapping[str, Any], **more: Any) -> None:
        super().__init__(**more)
        self._test = test

    def runtest(self) -> None:
        """Ask the adapter. Raises VectorFailed."""
        from superscalar_ref.conformance.judge import Verdict  # noqa: PLC0415

        assert isinstance(self.parent, Vectors)
        result = self.parent.judged(self._test)
        if result.verdict is Verdict.SKIPPED:
            pytest.skip(result.detail)
        if result.verdict in (Verdict.NON_STRICT, Verdict.INFORMATIONAL):
            pytest.xfail(f"{result.level}: {result.code}: {result.detail}")
        if result.verdict is not Verdict.PASS:
            raise VectorFailed(f"{result.code}: {result.detail}")

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> str:
        """One line: what the adapter did, and the rules."""
        rules = ", ".join(self._test["rules"])
        return f"{self.name} [{rules}]: {excinfo.value}\n{self._test['comment']}"

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Where it comes from."""
        return self.path, None, f"vector {self.name}"
