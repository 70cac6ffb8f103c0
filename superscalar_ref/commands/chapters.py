"""``superscalar-ref chapters``: make what is generated in the chapters of the specification, or check that it is
current."""

from __future__ import annotations

import argparse

from superscalar_ref.errors import InputError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a chapter is not current")


def run(args: argparse.Namespace) -> int:
    """Write what has changed, or name it. Raises InputError, SpecError."""
    from superscalar_ref.conformance.chapters import Source, chapters, spliced  # noqa: PLC0415 - --help stays quick

    source = Source()
    changed = 0
    for path in chapters():
        text = path.read_text(encoding="utf-8")
        made = spliced(text, f"spec/chapters/{path.name}", source)
        if made == text:
            continue
        changed += 1
        print(f"spec/chapters/{path.name}{': differs from what it is made from' if args.check else ''}")
        if not args.check:
            try:
                path.write_text(made, encoding="utf-8", newline="\n")
            except OSError as error:
                raise InputError(str(path), error.strerror or "cannot be written", "chapters") from error
    if args.check and changed:
        print("run: superscalar-ref chapters")
    return 1 if args.check and changed else 0
