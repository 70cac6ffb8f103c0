"""``superscalar-ref machines``: list the state machines, or show one."""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from superscalar_ref.spec.load import load_machine, load_machines
from superscalar_ref.spec.table import Machine

_FORMATS = ("table", "markdown", "mermaid", "dot", "scxml", "json")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--spec", type=Path, metavar="DIR", help="read this copy of spec/ instead of the package's")
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    listing = actions.add_parser("list", help="list them (the default)")
    show = actions.add_parser("show", help="show one")
    show.add_argument("name", metavar="NAME", help="as in the list")
    show.add_argument("--format", choices=_FORMATS, default="table", help="default: table")
    for parsed in (listing, show):
        parsed.add_argument("--spec", type=Path, metavar="DIR", default=argparse.SUPPRESS, help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    """Print the list or the machine. Raises InputError for an unknown name, SpecError for a faulty table."""
    if args.action == "show":
        print(render(load_machine(args.name, args.spec), args.format), end="")
        return 0
    machines = load_machines(args.spec)
    width = max(len(machine.name) for machine in machines)
    for machine in machines:
        counts = f"{len(machine.states):3} states {len(machine.transitions):3} transitions"
        print(f"{machine.name:<{width}} {counts}  {machine.title}")
    return 0


def render(machine: Machine, form: str) -> str:
    """Return a machine in one of the formats, ending with a line end."""
    from superscalar_ref.machine.dot import to_dot  # noqa: PLC0415  # only this format needs graphviz
    from superscalar_ref.machine.markdown import to_markdown, to_text  # noqa: PLC0415
    from superscalar_ref.machine.mermaid import to_mermaid  # noqa: PLC0415
    from superscalar_ref.machine.scxml import to_scxml  # noqa: PLC0415

    if form == "table":
        return to_text(machine, shutil.get_terminal_size((100, 24)).columns)
    if form == "json":
        return json.dumps(_without_places(asdict(machine)), indent=2, ensure_ascii=False) + "\n"
    return {"markdown": to_markdown, "mermaid": to_mermaid, "dot": to_dot, "scxml": to_scxml}[form](machine)


def _without_places(value: Any) -> Any:
    """Leave out file and line: the same table gives the same text wherever it lies."""
    if isinstance(value, dict):
        return {key: _without_places(item) for key, item in value.items() if key != "place"}
    if isinstance(value, list | tuple):
        return [_without_places(item) for item in value]
    return value
