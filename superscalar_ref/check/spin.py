"""Spin, run on a model: ``spin -a``, a C compiler, the verifier that comes out.

Spin and the compiler are the system's (Debian: ``spin`` and ``gcc``); where one is absent that is said, never passed.
A search that was cut short is an error, not a verdict.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from superscalar_ref.errors import SuperscalarError

DEPTH = 100_000
"""Longest path of the search (steps within a round count too)."""
PROGRAMS = ("spin", "gcc")


class SpinMissing(SuperscalarError):
    """A program that this needs is not installed."""

    def __init__(self, program: str) -> None:
        self.program = program
        super().__init__(f"{program} is not installed (Debian: apt install {program})")


class SpinFailed(SuperscalarError):
    """Spin, the compiler or the verifier gave no verdict; the text is the first line of what it said."""


@dataclass(frozen=True)
class SpinVerdict:
    """What Spin found."""

    holds: bool
    """No assertion can fail."""
    states: int
    """States stored; when an assertion failed, those up to there."""
    transitions: int
    """Steps between them, the ones that led to a known state included."""
    compile_seconds: float
    """Making the verifier (s)."""
    seconds: float
    """Running it (s), by the clock on the wall."""


def missing() -> str | None:
    """The first program that is needed and not installed, or None."""
    return next((program for program in PROGRAMS if shutil.which(program) is None), None)


def verdict(promela: str, optimise: bool = False) -> SpinVerdict:
    """Whether every assertion of the model holds on every path.

    ``optimise`` takes longer to compile and searches faster. Raises ``SpinMissing`` when a program is absent and
    ``SpinFailed`` when there is no verdict.
    """
    begun = time.perf_counter()
    with verifier(promela, optimise) as program:
        made = time.perf_counter()
        holds, states, transitions = search(program)
        return SpinVerdict(holds, states, transitions, made - begun, time.perf_counter() - made)


@contextmanager
def verifier(promela: str, optimise: bool = False) -> Iterator[Path]:
    """The verifier of a model, in a folder of its own that is removed afterwards. Raises as ``verdict``."""
    absent = missing()
    if absent is not None:
        raise SpinMissing(absent)
    with tempfile.TemporaryDirectory(prefix="superscalar-spin-") as folder:
        place = Path(folder)
        (place / "model.pml").write_text(promela, encoding="utf-8")
        _run(["spin", "-a", "model.pml"], place, "spin")
        # One process and no liveness: neither partial order reduction nor cycles are of use.
        options = ["-O2" if optimise else "-O0", "-w", "-DSAFETY", "-DNOREDUCE", "-DMEMLIM=2048"]
        _run(["gcc", *options, "-o", "pan", "pan.c"], place, "gcc")
        yield place / "pan"


def search(program: Path) -> tuple[bool, int, int]:
    """Run a verifier: whether all holds, states stored, transitions. Raises ``SpinFailed`` without a verdict."""
    said = _run([str(program), f"-m{DEPTH}", "-w20"], program.parent, "the verifier")
    errors = re.search(r"errors: (\d+)", said)
    states = re.search(r"(\d+) states, stored", said)
    transitions = re.search(r"(\d+) transitions", said)
    if errors is None or states is None or transitions is None:
        raise SpinFailed(f"the verifier: {_first_line(said)}")
    refuted = "assertion violated" in said
    unfinished = "Search not completed" in said or "max search depth too small" in said or "unreached" not in said
    if (not refuted and unfinished) or refuted != (int(errors[1]) > 0):
        raise SpinFailed(f"the verifier: {_first_line(said)}")
    return not refuted, int(states[1]), int(transitions[1])


def _run(command: list[str], folder: Path, what: str) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    if done.returncode != 0:
        raise SpinFailed(f"{what}: {_first_line(said)}")
    return said


def _first_line(said: str) -> str:
    return next((line.strip() for line in said.splitlines() if line.strip()), "nothing was said")
