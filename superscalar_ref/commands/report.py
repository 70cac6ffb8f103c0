"""``superscalar-ref report``: the specification and what checking found, as one HTML file for a reviewer."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, TypeVar

from superscalar_ref.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from superscalar_ref.spec.specification import Specification

T = TypeVar("T")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = (
        "Write DIR/index.html: the text, the tables, the verdicts, and an explorer. The file needs no network and "
        "nothing beside it. What is not given is decided now, which takes half a minute."
    )
    parser.add_argument("--out", type=Path, metavar="DIR", default=Path("build/site"), help="default: build/site")
    parser.add_argument("--check", type=Path, metavar="FILE", help="what 'check --json' printed")
    parser.add_argument("--variants", type=Path, metavar="FILE", help="what 'check --variants --json' printed")
    parser.add_argument(
        "--conform",
        type=Path,
        metavar="FILE",
        action="append",
        default=[],
        help="what 'conform --json' printed; for the table of implementations; may be repeated",
    )
    parser.add_argument("--undecided", action="store_true", help="decide nothing now: verdicts only from the files")
    parser.add_argument("--contexts", type=int, metavar="N", help="situations of each machine in the explorer")


def run(args: argparse.Namespace) -> int:
    """Write the page and return 0. Raises InputError, SpecError."""
    from superscalar_ref.conformance.kit import load_tests  # noqa: PLC0415 - --help stays quick
    from superscalar_ref.conformance.trace import trace  # noqa: PLC0415
    from superscalar_ref.site.found import read_checked, read_conformed, read_variants  # noqa: PLC0415
    from superscalar_ref.site.graph import MOST, graphs  # noqa: PLC0415
    from superscalar_ref.site.page import Material, page  # noqa: PLC0415
    from superscalar_ref.spec.findings import load_findings  # noqa: PLC0415
    from superscalar_ref.spec.load import load_specification  # noqa: PLC0415

    most = MOST if args.contexts is None else args.contexts
    if not 1 <= most <= 100_000:
        raise InputError("--contexts", f"must be between 1 and 100,000, not {most}", "contexts")
    specification = load_specification()
    # What was given is read before anything is decided: a wrong file is said at once.
    checked = _given(args.check, specification, read_checked)
    variants = _given(args.variants, specification, read_variants)
    conformed = tuple(read_conformed(path) for path in args.conform)
    path = args.out / "index.html"
    _write(path, "")
    root = Path.cwd()
    html = page(
        Material(
            specification=specification,
            findings=load_findings(specification),
            trace=trace(load_tests(), root),
            graphs=graphs(most=most),
            checked=checked or decided(args, specification, (), read_checked),
            variants=variants or decided(args, specification, ("--variants",), read_variants),
            conformed=conformed,
            drawings=root / "diagrams",
            with_tests=(root / "tests").is_dir(),
        )
    )
    _write(path, html)
    print(f"{path}: {len(html.encode('utf-8')) / 1e6:.1f} MB")
    return 0


def _write(path: Path, text: str) -> None:
    """Write the page: first an empty one, so that a place that cannot be written is said before anything is decided."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise InputError(str(path), error.strerror or "cannot be written", "--out") from None


def _given(path: Path | None, specification: Specification, read: Callable[[Path, Specification], T]) -> T | None:
    return None if path is None else read(path, specification)


def decided(
    args: argparse.Namespace,
    specification: Specification,
    arguments: tuple[str, ...],
    read: Callable[[Path, Specification], T],
) -> T | None:
    """What ``check`` finds now, refuted or not; None with ``--undecided``. Raises InputError."""
    if args.undecided:
        return None
    with TemporaryDirectory(prefix="superscalar-report-") as home:
        path = Path(home) / "found.json"
        with path.open("wb") as output:
            loud = ("--progress",) if sys.stderr.isatty() else ()
            command = [sys.executable, "-m", "superscalar_ref.cli", "check", "--json", *arguments, *loud]
            code = subprocess.run(command, stdout=output, check=False).returncode
        if not path.stat().st_size:
            raise InputError("superscalar-ref check", f"said nothing, and ended with {code}", "report-input")
        return read(path, specification)
