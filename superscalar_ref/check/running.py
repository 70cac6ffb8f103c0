"""Running jobs that do not touch each other, side by side or one after the other."""

from __future__ import annotations

import signal
from collections.abc import Callable, Generator, Sequence
from typing import Any, TypeVar

from superscalar_ref.check.meter import Meter

J = TypeVar("J")
R = TypeVar("R")

_LOOK = 0.2
"""A run with several processes looks up after so many seconds."""
_here: list[Meter] = []
"""In a process of the pool: its meter, set once when the process begins."""


def run_jobs(
    work: Callable[[J, Meter], R], todo: Sequence[tuple[int, J]], cores: int, in_order: bool, meter: Meter
) -> Generator[tuple[int, R], None, None]:
    """Yield the number and the result of each job, as they are finished, or ``in_order``.

    ``meter.watch`` is called again and again; what it raises, and whoever stops listening, ends what all processes of
    this run are doing, at the next thing that they count.
    """
    cores = min(cores, len(todo))
    if cores < 2:  # one core is one core
        for number, job in todo:
            yield number, work(job, meter)
        return
    from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait  # noqa: PLC0415  # only where it is used

    pool = ProcessPoolExecutor(cores, initializer=_begin, initargs=(meter.numbers,))
    try:
        waiting = {pool.submit(_there, work, job): number for number, job in todo}
        finished: dict[int, R] = {}
        order = [number for number, _ in todo]
        while waiting or finished:
            done, _ = wait(waiting, timeout=_LOOK, return_when=FIRST_COMPLETED)
            for future in done:
                finished[waiting.pop(future)] = future.result()
            ready = order[:1] if in_order else sorted(finished)
            while ready and ready[0] in finished:
                number = ready.pop(0)
                order.remove(number)
                yield number, finished.pop(number)
                ready = ready or (order[:1] if in_order else [])
            if meter.watch is not None:
                meter.watch()
    except BaseException:
        # Killing the processes could leave the pool waiting for ever on a job that nobody takes (CPython 3.11.2).
        meter.stop()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
        meter.go_on()


def _begin(numbers: Any) -> None:
    # An interrupt is for the process that was started by hand: it ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _here.append(Meter(numbers))


def _there(work: Callable[[J, Meter], R], job: J) -> R:
    return work(job, _here[0])
