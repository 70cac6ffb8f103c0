"""How hypothesis runs, and what the tests make the tables do.

On a developer's machine hypothesis makes new examples each time, in CI (``CI`` is set) always the same ones. Each run
of tests writes which rows of the tables it took and which events it had refused: ``build/report/behaviour.html``.
"""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import settings

from superscalar_ref.errors import SuperscalarError
from tests import behaviour

settings.register_profile("dev", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.register_profile("nightly", deadline=None, max_examples=2_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "dev"))


def pytest_configure(config: pytest.Config) -> None:
    try:
        behaviour.watch()
    except SuperscalarError as error:
        # A faulty table is one line that names the place, and no traceback of pytest's own.
        raise pytest.UsageError(str(error)) from error


def pytest_sessionfinish(session: pytest.Session) -> None:
    handed_over = getattr(session.config, "workeroutput", None)
    if handed_over is not None:
        handed_over["behaviour"] = behaviour.plain()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    behaviour.SEEN.add(**getattr(node, "workeroutput", {}).get("behaviour", {"taken": [], "refused": []}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if not config.option.collectonly:
        for line in behaviour.write(config.rootpath / "build" / "report"):
            terminalreporter.write_line(line)
