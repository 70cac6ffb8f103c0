"""``superscalar-ref why ID``: take a rule away, and show the shortest way to the loss that it prevents."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from superscalar_ref.errors import InputError

if TYPE_CHECKING:
    from superscalar_ref.check.judge import Design


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("id", metavar="ID", help="a transition, a guard, a constraint, or a rule of the strategy")
    parser.add_argument("--config", metavar="ID", default="one-layer", help="default: one-layer")
    parser.add_argument("--spec", type=Path, metavar="DIR", help="read this copy of spec/ instead of the package's")
    parser.add_argument("--json", action="store_true", help="print one JSON object for programs")


def run(args: argparse.Namespace) -> int:
    """Print what each removal leads to; 0 when something notices one, 1 when nothing does. Raises InputError."""
    from superscalar_ref.check.configurations import load_configurations  # noqa: PLC0415  # only here
    from superscalar_ref.check.judge import Design  # noqa: PLC0415
    from superscalar_ref.check.reasons import reason, removals, whole  # noqa: PLC0415
    from superscalar_ref.check.trace import as_json, story  # noqa: PLC0415
    from superscalar_ref.protocol.strategy import load_strategy  # noqa: PLC0415
    from superscalar_ref.spec.load import load_specification  # noqa: PLC0415

    specification = load_specification(args.spec)
    configurations = tuple(c for c in load_configurations(args.spec) if c.id == args.config)
    if not configurations:
        raise InputError("--config", f"there is no '{args.config}'", "config")
    design = Design(specification, load_strategy(args.spec), configurations)
    cores = os.cpu_count() or 1
    found = False
    before = whole(design, cores)
    rows = []
    for removal in removals(design, args.id):
        outcome = reason(removal, before, cores)
        trace = outcome.broken.trace if outcome.broken else None
        noticed = trace is not None or bool(outcome.idle) or removal.design is None
        found = found or noticed
        rows.append(
            {
                "removal": removal.says,
                "noticed": noticed,
                "problem": removal.problem,
                "trace": None if trace is None else as_json(trace),
                "idle": list(outcome.idle),
            }
        )
        if args.json:
            continue
        print(f"{removal.says[0].upper()}{removal.says[1:]}:")
        if removal.design is None:
            print(f"  the specification contradicts itself: {removal.problem}")
        elif trace is not None:
            print("  " + story(trace).replace("\n", "\n  "))
        elif outcome.idle:
            print(f"  nothing is lost, because something never happens any more: {', '.join(outcome.idle)}")
        else:
            print("  no search notices. " + _elsewhere(args, design))
        print()
    if args.json:
        print(json.dumps({"id": args.id, "removals": rows}, indent=2))
    return 0 if found else 1


def _elsewhere(args: argparse.Namespace, design: Design) -> str:
    if not args.id.startswith("R-"):
        from superscalar_ref.check.reasons import unnoticed  # noqa: PLC0415

        return unnoticed(design, args.id, args.spec) or "Neither does anything that the specification names."
    from superscalar_ref.check.proofs import why_constraint  # noqa: PLC0415  # z3 is slow to import

    losses = why_constraint(args.id, args.spec).losses
    if not losses:
        return "Neither do the proofs."
    return "The proofs find values with a loss:\n    " + "\n    ".join(losses[0].lines())
