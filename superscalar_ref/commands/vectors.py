"""``superscalar-ref vectors check FILE…``: published test vectors against this implementation."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from superscalar_ref.conformance.results import FileResult, Outcome
from superscalar_ref.errors import InputError, one_line


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


def run(args: argparse.Namespace) -> int:
    """Check the files and return the exit code."""
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
