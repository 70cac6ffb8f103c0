"""``superscalar-ref mutate``: every single fault of the tables, and who notices it."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from superscalar_ref.errors import InputError, SuperscalarError, one_line

if TYPE_CHECKING:
    from superscalar_ref.mutate.detect import Noticed
    from superscalar_ref.mutate.faults import Fault
    from superscalar_ref.spec.survivors import Argued

_TESTS = Path(__file__).resolve().parent.parent.parent / "tests"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--machine", metavar="M", action="append", default=[], help="only this table (may be repeated)")
    parser.add_argument("--row", metavar="ID", action="append", default=[], help="only this row, or this one fault")
    parser.add_argument("--spec", type=Path, metavar="DIR", help="read this copy of spec/ instead of the package's")
    parser.add_argument("--tests", type=Path, metavar="DIR", help="default: the tests of this checkout, if it is one")
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1, metavar="N", help="default: all")
    parser.add_argument("--seconds", type=int, default=120, metavar="S", help="of CPU time for one fault; default: 120")
    parser.add_argument("--resume", type=Path, metavar="FILE", help="keep the answers there, and go on from them")
    parser.add_argument("--list", action="store_true", help="only say what the faults are")
    parser.add_argument("--diff", action="store_true", help="show what each fault changes that nothing notices")
    parser.add_argument("--json", action="store_true", help="print one JSON object for programs")


def run(args: argparse.Namespace) -> int:
    """Ask and print; 0: each fault is noticed or argued, 1: one survives, or an argument is stale.

    Raises InputError and SpecError (exit code 2), and SuperscalarError when a property or test is red without a fault.
    """
    from superscalar_ref.mutate.faults import chosen, faults  # noqa: PLC0415  # only here
    from superscalar_ref.spec.survivors import check_patterns, load_argued  # noqa: PLC0415

    for name in ("cores", "seconds"):
        if getattr(args, name) < 1:
            raise InputError(f"--{name}", "must be at least 1", name)
    tests = args.tests or (_TESTS if _TESTS.is_dir() else None)
    if tests is not None and not tests.is_dir():
        raise InputError("--tests", f"there is no folder '{tests}'", "tests")
    every = faults(args.spec)
    argued = load_argued(args.spec)
    check_patterns(argued, [fault.id for fault in every])
    todo = chosen(every, args.machine, args.row)
    if args.list:
        for fault in todo:
            print(f"{fault.id:<44} {fault.says}")
        return 0
    answers = _answers(args, todo, None if tests is None else tests.resolve())
    return _told(args, todo, answers, argued)


def _answers(args: argparse.Namespace, todo: tuple[Fault, ...], tests: Path | None) -> dict[str, Noticed]:
    from superscalar_ref.mutate.detect import IN_GAMES  # noqa: PLC0415
    from superscalar_ref.mutate.run import Answers, ask, bound, sound, unfaulted  # noqa: PLC0415

    kept = Answers(args.resume, bound(args.spec, tests) if args.resume else "")
    rest = tuple(fault for fault in todo if fault.id not in kept.known)
    tables = {fault.table for fault in rest}
    red = unfaulted(sorted(tables), args.spec, tests)
    if red:
        table, what = next(iter(red.items()))
        raise SuperscalarError(f"without any fault in '{table}', this is red already: {what}")
    known = sound(args.spec, bool(tables & set(IN_GAMES)))
    progress = _Progress(len(todo), len(todo) - len(rest), args.json)
    try:
        for fault, noticed in ask(rest, args.spec, tests, known, args.cores, args.seconds):
            kept.keep(fault.id, noticed)
            progress.next(fault, noticed)
    finally:
        progress.end()
    return {fault.id: kept.known[fault.id] for fault in todo}


class _Progress:
    """How far a run is, on standard error where that is a terminal; survivors at once, everywhere."""

    def __init__(self, total: int, done: int, quiet: bool) -> None:
        from rich.console import Console  # noqa: PLC0415
        from rich.progress import Progress  # noqa: PLC0415

        self.bar = Progress(console=Console(stderr=True), auto_refresh=False, disable=not sys.stderr.isatty())
        self.quiet = quiet
        self.survived = 0
        # Without a thread: a process is forked for each fault.
        self.bar.start()
        self.task = self.bar.add_task("faults", total=total, completed=done)

    def next(self, fault: Fault, noticed: Noticed) -> None:
        """One more answer."""
        self.survived += not noticed.by
        self.bar.update(
            self.task, advance=1, description=f"faults, {self.survived} not noticed; {fault.id}", refresh=True
        )
        if not noticed.by and not self.quiet:
            self.bar.console.print(f"nobody notices {fault.id}: {fault.says}", highlight=False, soft_wrap=True)

    def end(self) -> None:
        """Leave the line."""
        self.bar.stop()


def _told(
    args: argparse.Namespace, todo: tuple[Fault, ...], answers: dict[str, Noticed], argued: tuple[Argued, ...]
) -> int:
    from superscalar_ref.spec.survivors import reason_of, stale  # noqa: PLC0415

    rows: list[dict[str, Any]] = []
    for fault in todo:
        noticed = answers[fault.id]
        why = "" if noticed.by else reason_of(argued, fault.id)
        rows.append({"fault": fault.id, "says": fault.says, "by": noticed.by, "what": noticed.what, "argued": why})
    outdated = stale(argued, {fault.id: bool(answers[fault.id].by) for fault in todo})
    open_ones = [row for row in rows if not row["by"] and not row["argued"]]
    count = Counter(row["by"] or ("argued" if row["argued"] else "nobody") for row in rows)
    if args.json:
        told = {"faults": rows, "by": dict(count), "stale": [one.pattern for one in outdated]}
        print(json.dumps(told, indent=2))
        return 1 if open_ones or outdated else 0
    for row in rows:
        word = (
            f"{row['by']}: {row['what']}" if row["by"] else f"argued: {row['argued']}" if row["argued"] else "SURVIVED"
        )
        print(one_line(f"{row['fault']:<44} {word}"))
    if args.diff:
        for fault in todo:
            if any(row["fault"] == fault.id for row in open_ones):
                _show(fault, args.spec)
    for one in outdated:
        print(f"STALE {one.place}: something notices '{one.pattern}' now: take it out")
    noticed_ones = sum(bool(row["by"]) for row in rows)
    parts = ", ".join(
        f"{number} by {name}" if name not in ("argued", "nobody") else f"{number} {name}"
        for name, number in count.most_common()
    )
    share = 100 * noticed_ones / len(rows) if rows else 100
    print(f"{noticed_ones} of {len(rows)} faults are noticed ({share:.1f} %): {parts}.")
    return 1 if open_ones or outdated else 0


def _show(fault: Fault, directory: Path | None) -> None:
    from difflib import unified_diff  # noqa: PLC0415

    from superscalar_ref.spec.location import spec_directory  # noqa: PLC0415

    before = (spec_directory(directory) / fault.file).read_text(encoding="utf-8").splitlines()
    print(f"\n{fault.says}:")
    for line in list(unified_diff(before, fault.text.splitlines(), fault.file, fault.file, n=2, lineterm=""))[2:]:
        print(f"  {line}")
