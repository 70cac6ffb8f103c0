"""``superscalar-ref verify FILE``: the main job on an example file."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

from superscalar_ref.errors import InputError

DEFAULT_REPORT = Path("build/report/index.html")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("file", type=Path, help="a factory, such as examples/eight-clients.toml")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the result for programs")
    parser.add_argument(
        "--report", type=Path, metavar="PATH", default=DEFAULT_REPORT, help=f"the page (default: {DEFAULT_REPORT})"
    )


def run(args: argparse.Namespace) -> int:
    """Verify, print one line a check, write the page; 0 when all is well, 1 when something is off, 2 for bad input."""
    # These bring Bitcoin Core's code with them: not before they are needed.
    from superscalar_ref.report import page, terminal  # noqa: PLC0415
    from superscalar_ref.spec.load import load_machines  # noqa: PLC0415
    from superscalar_ref.verify.run import verify  # noqa: PLC0415

    for path in (args.report, args.json):
        if path is not None:
            require_writable(path)
    console = Console()
    status = Console(stderr=True).status("starting")
    with status:
        result = verify(args.file, status.update, lambda check: terminal.print_check(console, check))
    if args.json is not None:
        args.json.write_text(result.to_text(), encoding="utf-8")
    page.write(result, load_machines(), args.report)
    terminal.print_summary(console, result)
    console.print(f"page: {args.report}")
    return 0 if result.passed else 1


def require_writable(path: Path) -> None:
    """Make the folder of a file that a long run will write at its end. Raises ``InputError`` when it cannot be."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        is_new = not path.exists()
        path.open("a", encoding="utf-8").close()
        if is_new:
            path.unlink()
    except OSError as error:
        raise InputError(str(path), error.strerror or "cannot be written", "report-file") from None
