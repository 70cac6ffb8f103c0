"""``make bench``: every subject, side by side with what it is compared with, in one run.

Only ratios are claimed, and no test asserts a time. ``ARGS="--only factory-none --repeats 15"`` looks closer at one.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

from machine_subjects import blocks, checker, tables, transactions
from measure import Measured
from signing_subjects import ceremony, factory, factory_with_alternates, session
from spin import beside_spin

SUBJECTS: Mapping[str, Callable[[int], Measured]] = {
    "factory-none": factory,
    "factory-every": factory_with_alternates,
    "session-128": session,
    "kernel-transactions": transactions,
    "kernel-blocks": blocks,
    "table-step": tables,
    "checker": checker,
    "spin": beside_spin,
    "ceremony": ceremony,
}
"""Name → subject; each takes the number of repeats."""


def lines(one: Measured) -> Iterator[str]:
    """What one subject gave, for people."""
    yield f"{one.name}: {one.says}"
    width = max(len(label) for label in (*one.seconds, *one.rates))
    for label, seconds in one.seconds.items():
        ratio = f"   × {one.ratios[label]:.3g}" if label in one.ratios else ""
        yield f"  {label:<{width}}  {seconds * 1000:10.2f} ms{ratio}"
    for what, rate in one.rates.items():
        yield f"  {what:<{width}}  {rate:10,.0f} a second"
    if one.target is not None:
        worst = max(one.ratios.values())
        yield f"  target: at most × {one.target:g}, {'met' if worst <= one.target else 'MISSED'}"


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="bench/run.py", description="Measurements, as ratios within one run.")
    parser.add_argument("--json", metavar="PATH", type=Path, help="write the same for programs")
    parser.add_argument(
        "--only", metavar="NAME", action="append", choices=SUBJECTS, help=f"one of {', '.join(SUBJECTS)}"
    )
    parser.add_argument("--repeats", metavar="N", type=int, default=7, help="turns of each rival (default: 7)")
    chosen = parser.parse_args()
    if chosen.repeats < 1:
        parser.error("--repeats: at least 1")
    if chosen.json is not None and not chosen.json.parent.is_dir():
        parser.error(f"--json: there is no folder {chosen.json.parent}")
    return chosen


def main() -> int:
    """Measure, print as it goes, and write the JSON."""
    chosen = arguments()
    machine = {
        "python": platform.python_version(),
        "system": platform.platform(),
        "processors": os.cpu_count(),
        "load": os.getloadavg()[0],
    }
    print(f"Python {machine['python']}, {machine['processors']} processors, load {machine['load']:.1f} at the start")
    print(f"Medians of {chosen.repeats} interleaved repeats; × is the time against the first line's.\n")
    found = []
    for name in chosen.only or SUBJECTS:
        begun = time.perf_counter()
        one = SUBJECTS[name](chosen.repeats)
        found.append(one)
        print("\n".join(lines(one)) + f"\n  (took {time.perf_counter() - begun:.1f} s)\n", flush=True)
    if chosen.json is not None:
        document = {"machine": machine, "measured": [asdict(one) for one in found]}
        chosen.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
