"""``superscalar-ref check``: decide the properties, or show that a wrong design breaks what it says it breaks."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from superscalar_ref.errors import InputError, SpecError

if TYPE_CHECKING:
    from superscalar_ref.check.judge import Design, Progress
    from superscalar_ref.check.meter import Count
    from superscalar_ref.check.proofs import Proof
    from superscalar_ref.check.variants import Outcome
    from superscalar_ref.check.verdict import Verdict
    from superscalar_ref.spec.specification import Specification

HOLDS, REFUTED, UNFINISHED = 0, 1, 3
LEMMA = "L-"
"""What the ids of lemmas begin with."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "--property", metavar="ID", action="append", help="decide only this one, or this lemma (may be repeated)"
    )
    parser.add_argument("--variant", metavar="ID", help="judge this wrong design: it must break what it says")
    parser.add_argument(
        "--variants", action="store_true", help="judge every wrong design; all must break what they say"
    )
    parser.add_argument("--config", metavar="ID", action="append", help="only this configuration (may be repeated)")
    parser.add_argument("--spec", type=Path, metavar="DIR", help="read this copy of spec/ instead of the package's")
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1, metavar="N", help="default: all")
    parser.add_argument("--seconds", type=float, metavar="S", help="give up after this long, with exit code 3")
    parser.add_argument("--resume", type=Path, metavar="FILE", help="keep what is finished there, and go on from it")
    parser.add_argument("--progress", action="store_true", help="say how far the run is, also where no terminal is")
    parser.add_argument("--json", action="store_true", help="print one JSON object for programs")
    parser.add_argument("--trace", type=Path, metavar="FILE", help="write the first trace as JSON, for 'replay'")
    parser.add_argument("--mermaid", type=Path, metavar="FILE", help="write the first trace as a Mermaid diagram")


def run(args: argparse.Namespace) -> int:
    """Decide, print, and return 0: holds, 1: refuted, 3: unfinished, 130: interrupted.

    One variant: 0 when its property holds, 1 when it is refuted as the variant says; all: 0 when each is. Raises
    InputError and SpecError (exit code 2): also for a variant that does not do what it says.
    """
    from superscalar_ref.spec.load import load_doubted, load_specification  # noqa: PLC0415  # only here

    if args.cores < 1:
        raise InputError("--cores", "must be at least 1", "cores")
    if args.seconds is not None and not args.seconds >= 0:
        raise InputError("--seconds", f"must be at least 0, not {args.seconds}", "seconds")
    if args.variants or args.variant:
        if args.variants and args.variant:
            raise InputError("--variant", "says one wrong design, --variants all of them: give one", "arguments")
        if args.property:
            raise InputError("--property", "a variant says itself which property it breaks", "arguments")
        if args.resume:
            raise InputError("--resume", "a variant is judged up to its first loss: nothing is kept", "arguments")
        return _variants(args, load_specification(args.spec, None if args.variants else [args.variant]))
    # Somebody's own copy may lack rules: that is what it is for.
    return _baseline(args, load_doubted(args.spec) if args.spec is not None else load_specification(only=()))


def _design(args: argparse.Namespace, specification: Specification) -> tuple[Design, tuple[str, ...]]:
    """What is judged, and what the numbers settle that a copy of ``spec/`` states."""
    from superscalar_ref.check.configurations import load_configurations  # noqa: PLC0415
    from superscalar_ref.check.judge import Design  # noqa: PLC0415
    from superscalar_ref.check.stated import state_copy  # noqa: PLC0415
    from superscalar_ref.protocol.strategy import load_strategy  # noqa: PLC0415

    configurations = load_configurations(args.spec)
    if args.config:
        known = {configuration.id for configuration in configurations}
        for name in args.config:
            if name not in known:
                raise InputError("--config", f"there is no '{name}'; there are {', '.join(sorted(known))}", "config")
        configurations = tuple(c for c in configurations if c.id in args.config)
    settled = state_copy(specification.parameters, args.spec)
    specification = replace(specification, parameters=settled.parameters)
    return Design(specification, load_strategy(args.spec), configurations), settled.remarks


def _baseline(args: argparse.Namespace, specification: Specification) -> int:
    from superscalar_ref.check.judge import KNOWN, SOMETIMES, UnfinishedError, judge  # noqa: PLC0415
    from superscalar_ref.check.resume import Kept, digest  # noqa: PLC0415

    design, remarks = _design(args, specification)
    declared = [item.id for item in specification.properties if item.id.removesuffix(SOMETIMES) in KNOWN]
    asked = args.property or declared
    lemmas = [name for name in asked if name.startswith(LEMMA)]
    wanted = [name for name in asked if not name.startswith(LEMMA)]
    for name in wanted:
        if name not in declared:
            raise InputError("--property", f"'{name}' is none of {', '.join(declared)}, and no lemma", "property")
    proofs = _proofs(args, lemmas)
    if not wanted:
        return _told(args, proofs, [], "no game was asked for", remarks)
    kept = Kept(args.resume, digest(args.spec)) if args.resume else None
    if kept is not None and kept.stale:
        print(f"{kept.path} was of other tables or other code: nothing of it is used.", file=sys.stderr)
    teller = Teller(args.progress or (sys.stderr.isatty() and not args.json))
    unfinished = None
    try:
        verdicts = judge(design, wanted, teller, args.cores, seconds=args.seconds, kept=kept)
    except UnfinishedError as error:
        unfinished, verdicts = error, list(error.verdicts)
    teller.end()
    rows = [row for verdict in verdicts for row in _rows(verdict, wanted)]
    _write(args, [verdict for verdict in verdicts if verdict.trace is not None])
    if unfinished is not None:
        _undecided(args, rows)
        if kept is not None and kept.path.exists():
            print(f"What is finished is in {kept.path}: the same command goes on from there.", file=sys.stderr)
        raise unfinished
    if args.config and not args.property:
        # A part of the configurations need not hold an example of everything.
        rows = [row for row in rows if row["holds"] or not row["property"].endswith(SOMETIMES)]
    return _told(args, proofs, rows, teller.summary(args.cores), remarks, verdicts)


def _proofs(args: argparse.Namespace, lemmas: Sequence[str]) -> list[Proof]:
    """The lemmas that were asked for by name, or, when nothing was asked for by name, all of them."""
    from superscalar_ref.check.proofs import prove, prove_all  # noqa: PLC0415  # z3 is slow to import

    if not args.property:
        return list(prove_all(args.spec))
    return [prove(name, args.spec) for name in lemmas]


def _told(
    args: argparse.Namespace,
    proofs: Sequence[Proof],
    rows: Sequence[dict[str, Any]],
    summary: str,
    remarks: Sequence[str] = (),
    verdicts: Sequence[Verdict] = (),
) -> int:
    """Print what was decided; the exit code."""
    false = [row for row in rows if not row["holds"]]
    refuted = [proof for proof in proofs if proof.verdict == "refuted"]
    undecided = [proof for proof in proofs if proof.verdict == "unknown"]
    if args.json:
        told = [{"id": one.lemma, "says": one.says, "verdict": one.verdict, "story": one.lines()[1:]} for one in proofs]
        holds = None if undecided and not (false or refuted) else not (false or refuted)
        found = {"holds": holds, "remarks": list(remarks), "properties": list(rows), "lemmas": told}
        print(json.dumps(found, indent=2))
    else:
        for remark in remarks:
            print(remark)
        for row in rows:
            print(_line(row))
        _traces([verdict for verdict in verdicts if verdict.trace is not None])
        for proof in proofs:
            print("\n".join(proof.lines()))
        proven = len(proofs) - len(refuted) - len(undecided)
        print(f"{len(rows) - len(false)} of {len(rows)} properties hold; {summary}.")
        print(f"{proven} of {len(proofs)} lemmas are proven for all parameters.")
    if false or refuted:
        return REFUTED
    return UNFINISHED if undecided else HOLDS


def _undecided(args: argparse.Namespace, rows: list[dict[str, Any]]) -> None:
    """What a run found before it was stopped: a loss is a loss; all else is open."""
    for row in rows:
        if "states" in row:
            row["holds"] = None if row["holds"] else False
        else:
            row["holds"] = True if row["holds"] else None
    if args.json:
        print(json.dumps({"holds": None, "properties": rows}, indent=2))
        return
    for row in rows:
        print(_line(row))


class Teller:
    """Says how far a run is."""

    def __init__(self, loud: bool) -> None:
        self.loud = loud
        self.last: Progress | None = None
        self.line = ""

    def __call__(self, progress: Progress) -> None:
        """Hear how far a run is."""
        self.last = progress
        self.say(f"{progress.done} of {progress.jobs} jobs", progress.count, progress.seconds, progress.job)

    def say(self, done: str, count: Count, seconds: float, job: str = "") -> None:
        """Say how much is done, and what was counted in ``seconds``."""
        if not self.loud:
            return
        seconds = max(seconds, 0.001)
        line = (
            f"{done}, {count.states:,} states, {count.edges:,} edges,"
            f" depth {count.depth}, {count.states / seconds:,.0f} states/s, {count.memory / 2**20:,.0f} MiB,"
            f" {seconds:.0f} s"
        )
        if not sys.stderr.isatty():
            print(f"  {line}{f'; done: {job}' if job else ''}", file=sys.stderr)
            return
        print(f"\r  {line.ljust(len(self.line))}", end="", file=sys.stderr, flush=True)
        self.line = line

    def end(self) -> None:
        """Leave the line that is written over."""
        if self.line:
            print(file=sys.stderr)
        self.line = ""

    def summary(self, cores: int) -> str:
        """What was looked at, and how fast."""
        if self.last is None:
            return "all of it from the earlier run"
        count, seconds = self.last.count, max(self.last.seconds, 0.001)
        kept = f", {self.last.kept} of {self.last.jobs} jobs from the earlier run" if self.last.kept else ""
        return (
            f"{count.states:,} states and {count.edges:,} edges in {seconds:.1f} s"
            f" ({count.states / seconds:,.0f} states a second on {cores} cores,"
            f" at most {count.memory / 2**20:,.0f} MiB a process){kept}"
        )


def _rows(verdict: Verdict, wanted: Sequence[str]) -> list[dict[str, Any]]:
    from superscalar_ref.check.judge import SOMETIMES  # noqa: PLC0415
    from superscalar_ref.check.trace import as_json  # noqa: PLC0415

    rows = []
    if verdict.property in wanted:
        rows.append(
            {
                "property": verdict.property,
                "holds": verdict.holds,
                "cases": verdict.cases,
                "states": verdict.states,
                "edges": verdict.edges,
                "worst_block": verdict.worst_block,
                "worst_where": verdict.worst_where,
                "trace": None if verdict.trace is None else as_json(verdict.trace),
            }
        )
    if verdict.property + SOMETIMES in wanted:
        found = verdict.examples > 0
        rows.append({"property": verdict.property + SOMETIMES, "holds": found, "cases": verdict.examples})
    return rows


_EXAMPLE = {True: "an example was found", False: "no example exists", None: "no example so far"}


def _line(row: dict[str, Any]) -> str:
    word = {True: "holds  ", False: "REFUTED", None: "open   "}[row["holds"]]
    if "states" not in row:
        return f"{word} {row['property']:<34} {_EXAMPLE[row['holds']]}"
    worst = f"  worst block {row['worst_block']} ({row['worst_where']})" if row["worst_block"] is not None else ""
    return f"{word} {row['property']:<34} {row['cases']:6,} cases {row['states']:11,} states{worst}"


def _traces(refuted: list[Verdict]) -> None:
    from superscalar_ref.check.trace import story  # noqa: PLC0415

    for verdict in refuted:
        assert verdict.trace is not None
        print()
        print(story(verdict.trace))
        print()


def _write(args: argparse.Namespace, refuted: list[Verdict]) -> None:
    from superscalar_ref.check.trace import as_json, mermaid  # noqa: PLC0415

    if not refuted or refuted[0].trace is None:
        return
    if args.trace:
        args.trace.write_text(json.dumps(as_json(refuted[0].trace), indent=2) + "\n", encoding="utf-8")
    if args.mermaid:
        args.mermaid.write_text(mermaid(refuted[0].trace), encoding="utf-8")


def _variants(args: argparse.Namespace, specification: Specification) -> int:
    """Judge one variant, or all. Raises SpecError when one does not do what it says."""
    from superscalar_ref.check.judge import UnfinishedError  # noqa: PLC0415
    from superscalar_ref.check.meter import Meter  # noqa: PLC0415
    from superscalar_ref.check.running import run_jobs  # noqa: PLC0415
    from superscalar_ref.check.variants import Judging, judge_variant  # noqa: PLC0415

    chosen = list(specification.variants)
    design, _ = _design(args, specification)
    teller = Teller(args.progress or (sys.stderr.isatty() and not args.json))
    outcomes: list[Outcome] = []
    begun = told = time.perf_counter()

    def watch() -> None:
        nonlocal told
        now = time.perf_counter()
        if args.seconds is not None and now - begun > args.seconds:
            raise UnfinishedError(len(outcomes), len(chosen))
        if now - told > 1:
            told = now
            teller.say(f"{len(outcomes)} of {len(chosen)} wrong designs", meter.read(), now - begun)

    meter = Meter(watch=watch)
    try:
        if args.variant:
            outcomes.append(judge_variant(design, chosen[0], args.cores, meter))
            _tell(args, outcomes[0], teller)
        else:
            for _, outcome in run_jobs(Judging(design), list(enumerate(chosen)), args.cores, True, meter):
                outcomes.append(outcome)
                _tell(args, outcome, teller)
    except KeyboardInterrupt:
        raise UnfinishedError(len(outcomes), len(chosen), interrupted=True) from None
    finally:
        teller.end()
        if args.json:
            print(json.dumps({"variants": [outcome.as_json() for outcome in outcomes]}, indent=2))
    _write(args, [o.verdict for o in outcomes if o.verdict is not None and o.verdict.trace is not None])
    return _as_said(args, outcomes)


def _tell(args: argparse.Namespace, outcome: Outcome, teller: Teller) -> None:
    """One line for people; a single variant's loss as a story too."""
    teller.end()
    if args.json:
        return
    print(outcome.line(), flush=True)
    if args.variant:
        for remark in outcome.remarks:
            print(remark)
        _traces([verdict for verdict in outcome.verdicts if verdict.trace is not None])


def _as_said(args: argparse.Namespace, outcomes: Sequence[Outcome]) -> int:
    """The exit code. Raises SpecError for a variant that is refuted otherwise than it says."""
    wrong = [outcome for outcome in outcomes if outcome.problem]
    if args.variant:
        (only,) = outcomes
        if only.trace is None:
            return HOLDS
        if not wrong:
            return REFUTED
    elif not args.json:
        print(f"{len(outcomes) - len(wrong)} of {len(outcomes)} wrong designs break what they say that they break.")
    if not wrong:
        return HOLDS
    first = wrong[0].variant
    others = f" ({len(wrong) - 1} more do not do what they say)" if len(wrong) > 1 else ""
    raise SpecError(str(first.place), f"{first.id}: {wrong[0].problem}{others}", "variant-claim")
