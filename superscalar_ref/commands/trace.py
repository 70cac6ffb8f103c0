"""``superscalar-ref trace``: each requirement with its code, tests and vectors; and what is wrong with the ids."""

from __future__ import annotations

import argparse
from pathlib import Path

from superscalar_ref.errors import InputError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = (
        "Print each requirement with where it stands, its code, the tests that name it, how many vectors "
        "follow it (+) "
        "or are refused by it (−), and where it is drawn. Exit code 1 when an id is unknown, defined twice or used by "
        "nothing, or a MUST has neither a negative vector nor a test that stands for one (spec/without_vectors.toml)."
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the page to FILE instead")
    parser.add_argument("--check", action="store_true", help="print only what is wrong")


def run(args: argparse.Namespace) -> int:
    """Print the page and return the exit code. Raises InputError, SpecError."""
    from superscalar_ref.conformance.kit import load_tests  # noqa: PLC0415 - --help stays quick
    from superscalar_ref.conformance.trace import table, trace  # noqa: PLC0415

    found = trace(load_tests(), Path.cwd())
    page = table(found.requirements)
    if args.out is not None:
        try:
            args.out.write_text(f"# Requirements\n\n{page}", encoding="utf-8")
        except OSError as error:
            raise InputError(str(args.out), error.strerror or "cannot be written", "--out FILE") from error
    elif not args.check:
        print(page, end="")
    for fault in found.faults:
        print(f"wrong: {fault}")
    for one in found.open():
        print(f"open: {one.id} says MUST and has no negative vector")
    return 1 if found.faults or found.open() else 0
