"""``superscalar-ref why ID``: take a rule away, and show the shortest way to the loss that it prevents."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from superscalar_ref.errors import InputError

if TYPE_CHECKING:
    from superscalar_ref.check.judge import Design
    from superscalar_ref.check.reasons import Reason


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("id", metavar="ID", help="a transition, a guard, a constraint, or a rule of the strategy")
    parser.add_argument("--config", metavar="ID", default="one-layer", help="default: one-layer")
    parser.add_argument("--spec", type=Path, metavar="DIR", help="read this copy of spec/ instead of the package's")
    parser.add_argument("--progress", action="store_true", help="say how far the run is, also where no terminal is")
    parser.add_argument("--json", action="store_true", help="print one JSON object for programs")


def run(args: argparse.Namespace) -> int:
    """Print what each removal leads to; 0 when something is lost without one, 1 when nothing is. Raises InputError."""
    from superscalar_ref.check.configurations import load_configurations  # noqa: PLC0415  # only here
    from superscalar_ref.check.judge import Design  # noqa: PLC0415
    from superscalar_ref.check.meter import Meter  # noqa: PLC0415
    from superscalar_ref.check.reasons import Whole, reason, removals  # noqa: PLC0415
    from superscalar_ref.check.stated import state_copy  # noqa: PLC0415
    from superscalar_ref.commands.check import Teller  # noqa: PLC0415
    from superscalar_ref.protocol.strategy import load_strategy  # noqa: PLC0415
    from superscalar_ref.spec.load import load_specification  # noqa: PLC0415

    specification = load_specification(args.spec, only=())
    settled = state_copy(specification.parameters, args.spec)
    configurations = tuple(c for c in load_configurations(args.spec) if c.id == args.config)
    if not configurations:
        raise InputError("--config", f"there is no '{args.config}'", "config")
    design = Design(replace(specification, parameters=settled.parameters), load_strategy(args.spec), configurations)
    todo = list(removals(design, args.id))
    teller = Teller(args.progress or (sys.stderr.isatty() and not args.json))
    begun = told = time.perf_counter()
    rows: list[dict[str, Any]] = []

    def watch() -> None:
        nonlocal told
        now = time.perf_counter()
        if now - told > 1:
            told = now
            teller.say(f"{len(rows)} of {len(todo)} taken away", meter.read(), now - begun)

    meter = Meter(watch=watch)
    whole = Whole(design, os.cpu_count() or 1, meter)
    for removal in todo:
        outcome = reason(removal, whole)
        teller.end()
        row, says = _told(outcome, args, design)
        rows.append(row)
        if not args.json:
            print(f"{removal.says[0].upper()}{removal.says[1:]}:\n  {says}\n", flush=True)
    if args.json:
        print(json.dumps({"id": args.id, "removals": rows}, indent=2))
    return 0 if any(row["noticed"] for row in rows) else 1


def _told(outcome: Reason, args: argparse.Namespace, design: Design) -> tuple[dict[str, Any], str]:
    """What a removal leads to: for programs, and for people."""
    from superscalar_ref.check.trace import as_json, story  # noqa: PLC0415

    trace = outcome.broken.trace if outcome.broken else None
    noticed, losses = True, []
    if outcome.removal.design is None:
        says = f"the specification contradicts itself: {outcome.removal.problem}"
    elif trace is not None:
        says = story(trace).replace("\n", "\n  ")
    elif outcome.idle:
        says = f"nothing is lost, because something never happens any more: {', '.join(outcome.idle)}"
    else:
        losses = _proven(args)
        noticed = bool(losses)
        says = f"no search notices. {_elsewhere(losses, args, design, outcome.removal.part)}"
    row = {
        "removal": outcome.removal.says,
        "noticed": noticed,
        "problem": outcome.removal.problem,
        "trace": None if trace is None else as_json(trace),
        "idle": list(outcome.idle),
        "proofs": losses,
    }
    return row, says


def _proven(args: argparse.Namespace) -> list[str]:
    """Where no search misses a constraint: the values with a loss that the proofs find."""
    if not args.id.startswith("R-"):
        return []
    from superscalar_ref.check.proofs import why_constraint  # noqa: PLC0415  # z3 is slow to import

    losses = why_constraint(args.id, args.spec).losses
    return list(losses[0].lines()) if losses else []


def _elsewhere(losses: list[str], args: argparse.Namespace, design: Design, part: str) -> str:
    if losses:
        return "The proofs find values with a loss:\n    " + "\n    ".join(losses)
    if args.id.startswith("R-"):
        return "Neither do the proofs."
    from superscalar_ref.check.reasons import unnoticed  # noqa: PLC0415

    return unnoticed(design, args.id, args.spec, part) or "Neither does anything that the specification names."
