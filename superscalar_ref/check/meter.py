"""How far a search is: states, edges, depth and memory, counted where they arise and read from outside.

A game that several properties ask for is counted once, when it is solved; a verdict's own numbers count it each time.
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_STATES, _EDGES, _DEPTH, _MEMORY, _STOPPED = range(5)


class StoppedError(Exception):
    """Raised by ``add`` in a process whose run was stopped: nobody waits for its result any more."""


@dataclass(frozen=True)
class Count:
    """What a meter shows."""

    states: int = 0
    edges: int = 0
    depth: int = 0
    """The longest of the shortest ways so far (moves off chain)."""
    memory: int = 0
    """The most that one process has taken (bytes)."""


class Meter:
    """Counters that several processes add to."""

    def __init__(self, numbers: Any = None, watch: Callable[[], None] | None = None) -> None:
        self.numbers = multiprocessing.Array("q", 5) if numbers is None else numbers
        self.watch = watch
        """Called after each addition in this process; what it raises ends the search."""

    def add(self, states: int, edges: int = 0, depth: int = 0) -> None:
        """Count what was just looked at."""
        with self.numbers.get_lock():
            if self.numbers[_STOPPED]:
                raise StoppedError
            self.numbers[_STATES] += states
            self.numbers[_EDGES] += edges
            self.numbers[_DEPTH] = max(self.numbers[_DEPTH], depth)
            self.numbers[_MEMORY] = max(self.numbers[_MEMORY], _peak())
        if self.watch is not None:
            self.watch()

    def read(self) -> Count:
        """The numbers as they are now."""
        with self.numbers.get_lock():
            return Count(*self.numbers[:_STOPPED])

    def stop(self) -> None:
        """End the search in every process that counts here, at its next addition."""
        self.numbers[_STOPPED] = 1

    def go_on(self) -> None:
        """Let a next search begin: nobody is left whom ``stop`` was for."""
        self.numbers[_STOPPED] = 0


def _peak() -> int:
    # Linux counts in KiB, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
