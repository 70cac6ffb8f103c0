"""``superscalar-ref ladder``: the days of an LSP's ladders in numbers, a sample of them with real transactions.

Exit code 0 when every satoshi is accounted for and the sample agrees, 1 when not, 2 when an argument makes no sense,
130 when it was interrupted: what was computed by then is printed and written.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from superscalar_ref.errors import InputError

if TYPE_CHECKING:
    from superscalar_ref.business.assume import Assumptions
    from superscalar_ref.business.days import Row
    from superscalar_ref.business.figures import Figure
    from superscalar_ref.business.sample import Sampled

SWEPT = ("online", "meet", "leaves", "feerate", "arity", "cohort")
SHOWN = (
    "day_vbytes",
    "exit_vbytes",
    "outputs_with",
    "failed",
    "paid_on_chain",
    "locked",
    "returning",
    "fees_per_client",
    "monthly_fee",
)
"""Figures of which a sweep prints a column."""
MOST_SAMPLES = 1_000


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``ladder``."""
    parser.epilog = "Whatever is not a parameter of the specification is an assumption, and is printed as one."
    parser.add_argument("--clients", metavar="N", help="clients of the LSP (1000000)")
    parser.add_argument("--days", metavar="N", help="days to run (365)")
    parser.add_argument("--cohort", metavar="N", help="most clients of one factory (parameter clients_max)")
    parser.add_argument("--arity", metavar="A,B,…", help="children of a node at each level, root first (8,4,2)")
    parser.add_argument("--static", metavar="N", help="levels at the top that carry no counter (1)")
    parser.add_argument("--leaf-k", metavar="K", help="a leaf has up to K² clients and K stock outputs (1)")
    parser.add_argument("--online", metavar="P", help="a client comes online on a day of the dying period (0.9)")
    parser.add_argument("--meet", metavar="P", help="who came is there for the one ceremony of the close (1)")
    parser.add_argument("--leaves", metavar="P", help="who came wants to be paid on chain (0)")
    parser.add_argument("--feerate", metavar="SAT", help="what a block asks for, sat/vB (1)")
    parser.add_argument("--sells", metavar="P", help="share of its stock that a factory sells (0.5)")
    parser.add_argument("--ppm", metavar="SAT", help="price of a million sat of inbound liquidity (2000)")
    parser.add_argument("--interest", metavar="P", help="what capital costs in a year, as a share of it (0.05)")
    parser.add_argument("--absent", metavar="HOW", help="what an absent client brings on chain: whole or paths (whole)")
    parser.add_argument("--seed", metavar="TEXT", help="of the lots: the same seed gives the same numbers (1)")
    parser.add_argument("--sample", metavar="N", help="so many factories again, with real transactions (0)")
    parser.add_argument("--sweep", metavar="NAME=V,V,…", help=f"one run for each value of {', '.join(SWEPT)}")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write every day")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="write a drawing of the days")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")


@dataclass
class _Run:
    """One run, as far as it got."""

    label: str
    given: Assumptions
    rows: list[Row] = field(default_factory=list)
    figures: tuple[Figure, ...] = ()
    samples: list[Sampled] = field(default_factory=list)

    @property
    def well(self) -> bool:
        return all(row.conserved for row in self.rows) and all(one.agrees for one in self.samples)


def run(args: argparse.Namespace) -> int:
    """Compute, print, write. Raises ``InputError`` before anything is computed."""
    number = _whole("--sample", args.sample or "0", MOST_SAMPLES)
    runs = [_Run(label, given) for label, given in _inputs(args)]
    for one in runs:
        one.given.check()
    for path in (args.csv, args.svg):
        if path is not None:
            # Now, and not after minutes: where it cannot be written, that is said at once.
            path.write_text("", encoding="utf-8")
    interrupted = False
    try:
        for one in runs:
            _compute(one, number)
    except KeyboardInterrupt:
        interrupted = True
    runs = [one for one in runs if one.rows]
    _write(args, runs)
    if args.json:
        print(json.dumps({"interrupted": interrupted, "runs": [_as_json(one) for one in runs]}))
    else:
        print("\n".join(_text(runs, swept=args.sweep is not None)))
        if interrupted:
            print("INTERRUPTED: this is what was computed by then")
    if interrupted:
        return 130
    return 0 if all(one.well for one in runs) else 1


def _compute(one: _Run, number: int) -> None:
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import Progress  # noqa: PLC0415

    from superscalar_ref.business import days, figures, sample  # noqa: PLC0415

    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as bars:
        bar = bars.add_task(one.label or "days", total=one.given.days)
        try:
            for row in days.run(one.given):
                one.rows.append(row)
                bars.advance(bar)
        finally:
            # What was computed by an interruption still says something.
            if one.rows:
                one.figures = tuple(figures.figures(one.given, one.rows))
        if number:
            bar = bars.add_task("sampled factories", total=number)
            for done in sample.sample(one.given, number):
                one.samples.append(done)
                bars.advance(bar)


# -- what was asked ----------------------------------------------------------------------------------------------------


def _inputs(args: argparse.Namespace) -> Iterator[tuple[str, Assumptions]]:
    if args.sweep is None:
        yield "", _assumptions(args)
        return
    name, equals, values = args.sweep.partition("=")
    if not equals or name not in SWEPT:
        raise InputError("--sweep", f"'{args.sweep}' is not NAME=V,V,… with one of {', '.join(SWEPT)}", "ladder")
    for value in values.split(","):
        # A list of arities has commas of its own.
        given = value.replace("x", ",") if name == "arity" else value
        yield f"{name} {value}", _assumptions(argparse.Namespace(**{**vars(args), name: given}))


def _assumptions(args: argparse.Namespace) -> Assumptions:
    from superscalar_ref.business.assume import Assumptions  # noqa: PLC0415
    from superscalar_ref.protocol.ladder import Pace  # noqa: PLC0415
    from superscalar_ref.protocol.shape import Shape  # noqa: PLC0415
    from superscalar_ref.scenario.settings import ARITY, STATIC, plan_of  # noqa: PLC0415
    from superscalar_ref.spec.load import load_parameters  # noqa: PLC0415

    defaults = load_parameters().defaults()
    cohort = _whole("--cohort", args.cohort or str(defaults.number("clients_max")))
    arity = ARITY if args.arity is None else [_whole("--arity", word) for word in args.arity.split(",")]
    static = STATIC if args.static is None else _whole("--static", args.static)
    plan = plan_of(1, cohort, arity, static, reserve_every=0)
    plan = replace(plan, shape=Shape.of(list(arity), static, _whole("--leaf-k", args.leaf_k or "1")))
    given = Assumptions(plan, Pace(defaults.number("active_blocks"), defaults.number("dying_blocks")))
    changes: dict[str, object] = {}
    for option, name in (("clients", "clients"), ("days", "days"), ("feerate", "price"), ("ppm", "ppm")):
        if getattr(args, option) is not None:
            changes[name] = _whole(f"--{option}", getattr(args, option))
    for name in ("online", "meet", "leaves", "sells", "interest"):
        if getattr(args, name) is not None:
            changes[name] = _share(f"--{name}", getattr(args, name))
    if args.absent is not None:
        changes["how"] = args.absent
    if args.seed is not None:
        changes["seed"] = args.seed
    return replace(given, **changes)  # type: ignore[arg-type]


def _whole(option: str, text: str, most: int = 10**9) -> int:
    digits = text.strip()
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 10 or int(digits) > most:
        raise InputError(option, f"'{text:.40}' is not a whole number from 0 to {most}", "ladder")
    return int(digits)


def _share(option: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(option, f"'{text:.40}' is not a number from 0 to 1", "ladder") from None


# -- what came out -----------------------------------------------------------------------------------------------------


def _write(args: argparse.Namespace, runs: Sequence[_Run]) -> None:
    from superscalar_ref.business.days import Row  # noqa: PLC0415

    if args.csv is not None:
        names = [one.name for one in fields(Row)]
        with args.csv.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["run", *names])
            for one in runs:
                writer.writerows([one.label, *(getattr(row, name) for name in names)] for row in one.rows)
    if args.svg is not None:
        args.svg.write_text(_drawing(runs), encoding="utf-8")


def _drawing(runs: Sequence[_Run]) -> str:
    from superscalar_ref.report.chart import Line, Panel, chart  # noqa: PLC0415

    panels: list[Panel]
    if len(runs) == 1:
        rows = runs[0].rows
        panels = [
            Panel(title, tuple(Line(says, [float(getattr(row, name)) for row in rows]) for name, says in lines))
            for title, lines in (
                ("vbytes a day", (("vbytes", "the day's transactions"), ("exit_vbytes", "exits"))),
                (
                    "sat, the LSP's",
                    (("sold", "sold"), ("stock", "for sale"), ("reserved", "for fees"), ("returning", "returning")),
                ),
                ("clients a day", (("missed", "miss their window"), ("left", "leave"), ("dragged", "dragged"))),
            )
        ]
    else:
        measures: tuple[tuple[str, Callable[[Row], int]], ...] = (
            ("vbytes a day, all", lambda row: row.vbytes + row.exit_vbytes),
            ("sat locked or returning", lambda row: row.locked + row.returning),
            ("clients dragged on chain a day", lambda row: row.dragged),
        )
        panels = [
            Panel(title, tuple(Line(one.label, [float(of(row)) for row in one.rows]) for one in runs))
            for title, of in measures
        ]
    clients = runs[0].given.clients if runs else 0
    return chart(f"A ladder of {clients:,} clients", "day", panels)


def _as_json(one: _Run) -> dict[str, object]:
    from superscalar_ref.business.figures import inputs  # noqa: PLC0415

    return {
        "run": one.label,
        "inputs": [asdict(figure) for figure in inputs(one.given)],
        "figures": [asdict(figure) for figure in one.figures],
        "days": len(one.rows),
        "conserved": all(row.conserved for row in one.rows),
        "samples": [{**asdict(done), "agrees": done.agrees} for done in one.samples],
    }


def _text(runs: Sequence[_Run], *, swept: bool) -> Iterator[str]:
    from superscalar_ref.business.figures import inputs  # noqa: PLC0415

    if not runs:
        return
    yield "given"
    yield from (_line(figure) for figure in inputs(runs[0].given))
    if swept:
        yield ""
        yield f"{'':<20}" + "".join(f"{name:>18}" for name in SHOWN)
        for one in runs:
            found = {figure.name: figure for figure in one.figures}
            yield f"{one.label:<20}" + "".join(f"{_number(found[name].value):>18}" for name in SHOWN)
        yield ""
        known = {figure.name: figure for figure in runs[0].figures}
        yield from (f"{name}: {known[name].unit}, {known[name].says} [{known[name].source}]" for name in SHOWN)
    else:
        yield "found, a mean of the steady days where it is one of a day"
        yield from (_line(figure) for figure in runs[0].figures)
    for one in runs:
        for done in one.samples:
            word = (
                "as counted" if done.agrees else f"NOT AS COUNTED: {'; '.join(done.problems) or 'the amounts differ'}"
            )
            yield (
                f"sample: a factory of {done.size}, {len(done.absent)} absent ({done.how}): {done.mined.transactions} "
                f"transactions, {done.mined.vbytes:,} vB, {done.mined.fees:,} sat on Core's code: {word}"
            )
    conserved = all(row.conserved for one in runs for row in one.rows)
    yield "every satoshi is accounted for on every day" if conserved else "NOT WELL: amounts do not add up"


def _line(figure: Figure) -> str:
    return f"  {figure.name:<20}{_number(figure.value):>22} {figure.unit:<12} {figure.says} [{figure.source}]"


def _number(value: float) -> str:
    if isinstance(value, int) or abs(value) >= 1_000:
        return f"{value:,.0f}"
    return f"{value:.4g}"
