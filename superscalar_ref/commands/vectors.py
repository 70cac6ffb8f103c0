"""``superscalar-ref vectors``: check published test vectors against this implementation, or make our own."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from superscalar_ref.conformance.results import FileResult, Outcome
from superscalar_ref.errors import InputError, one_line

if TYPE_CHECKING:
    from superscalar_ref.conformance.corpus import Coverage


def configure(parser: argparse.ArgumentParser) -> None:
    """Define the arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    says = "run every case of files of vectors, recognised by their form"
    check = actions.add_parser(
        "check",
        help=says,
        description=f"{says.capitalize()}. Exit code: 0 when no case mismatches, 1 when one does, 2 when a file "
        "cannot be read, is of no known form, or is malformed (the other files are still run).",
    )
    check.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a JSON file of vectors")
    check.add_argument("--json", type=Path, metavar="PATH", help="also write the results to PATH as JSON")
    made = "make the vectors of this specification from its tables, into spec/vectors and spec/schema"
    make = actions.add_parser("make", help=made, description=f"{made.capitalize()}; the same bytes each time.")
    make.add_argument("--check", action="store_true", help="write nothing; exit 1 when a file is not current")
    make.add_argument("--spec", type=Path, metavar="DIR", help="another copy of spec/ instead of the package's")


def run(args: argparse.Namespace) -> int:
    """Check or make the files, and return the exit code."""
    return _make(args) if args.action == "make" else _check(args)


def _make(args: argparse.Namespace) -> int:
    from superscalar_ref.conformance import corpus  # noqa: PLC0415 - --help stays quick

    made = corpus.make(args.spec)
    if args.check:
        faults = list(corpus.stale(made, args.spec))
        for fault in faults:
            print(fault)
        if faults:
            print("run: superscalar-ref vectors make")
    else:
        faults = []
        for path in corpus.write(made, args.spec):
            print(path)
    for one in made.coverage:
        print(one_line(f"{one.machine}: {_covered(one)}"))
    caught, of = made.share
    print(f"{caught} of {of} wrong tables are told from the right ones by a vector")
    return 1 if faults else 0


def _covered(one: Coverage) -> str:
    if not one.seeded:
        return "no seed: no vectors of this table yet"
    lacking = f"; lacks: {'; '.join(one.lacking)}" if one.lacking else ""
    never = f"; never taken: {', '.join(one.not_taken)}" if one.not_taken else ""
    return f"{one.caught} of {one.mutants} wrong tables caught{never}{lacking}"


def _check(args: argparse.Namespace) -> int:
    from superscalar_ref.conformance.vectors import check_file  # noqa: PLC0415 - --help stays quick

    results: list[FileResult] = []
    errors: list[InputError] = []
    for path in args.files:
        try:
            result = check_file(path)
        except InputError as error:
            errors.append(error)
            print(one_line(f"superscalar-ref vectors: {error}"), file=sys.stderr)
            continue
        results.append(result)
        _print(result)
    if results:
        print(f"{len(results)} file(s): {_counts(results)}")
    if args.json is not None:
        _write(args.json, results, errors)
    if errors:
        return 2
    return 1 if any(result.count(Outcome.MISMATCH) for result in results) else 0


def _print(result: FileResult) -> None:
    print(one_line(f"{result.file}: {result.form}"))
    for case in result.cases:
        detail = f": {case.detail}" if case.detail else ""
        comment = f"  ({case.comment})" if case.comment else ""
        print(one_line(f"  {case.case}: {case.outcome}{detail}{comment}"))
    print(f"  {_counts([result])}")


def _counts(results: Sequence[FileResult]) -> str:
    ok, wrong, open_ = (sum(r.count(outcome) for r in results) for outcome in Outcome)
    return f"{ok} ok, {wrong} mismatched, {open_} not reproducible"


def _write(path: Path, results: Sequence[FileResult], errors: Sequence[InputError]) -> None:
    document = {
        "files": [
            {
                "file": result.file,
                "form": result.form,
                "counts": {outcome.value: result.count(outcome) for outcome in Outcome},
                "cases": [
                    {"case": c.case, "outcome": c.outcome, "detail": c.detail, "comment": c.comment}
                    for c in result.cases
                ],
            }
            for result in results
        ],
        "errors": [{"place": e.place, "problem": e.problem, "rule": e.rule} for e in errors],
    }
    try:
        path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(str(path), f"cannot be written: {error.strerror}", "--json PATH") from error
