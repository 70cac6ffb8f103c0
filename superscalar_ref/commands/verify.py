"""``superscalar-ref verify FILE``: the main job on an example file."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

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

    console = Console()
    status = Console(stderr=True).status("starting")
    with status:
        result = verify(args.file, status.update, lambda check: terminal.print_check(console, check))
    if args.json is not None:
        _write(args.json, result.to_text())
    page.write(result, load_machines(), args.report)
    terminal.print_summary(console, result)
    console.print(f"page: {args.report}")
    return 0 if result.passed else 1


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
