"""``superscalar-ref finding Q-…``: print a page, repeat what it rests on, and say whether it still holds.

Exit code 0 when everything that the page names finds what the page says, 1 when something does not, 3 when something
cannot be repeated here (a test, in an installation that has none).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from superscalar_ref.errors import InputError

if TYPE_CHECKING:
    from superscalar_ref.report.result import Check
    from superscalar_ref.spec.findings import Finding, Repeat
    from superscalar_ref.spec.specification import Specification

HOLDS, DIFFERS, NOT_HERE = 0, 1, 3
EXAMPLE = """
[factory]
name = "finding"
lsp = "lsp"
[shape]
arity = [2]
[[clients]]
name = "ann"
balance_sat = 20_000
inbound_sat = 50_000
[[clients]]
name = "ben"
balance_sat = 20_000
inbound_sat = 50_000
"""
"""The factory in which scenarios of ``verify`` are repeated: they bring shapes and locks of their own."""


@dataclass(frozen=True)
class Found:
    """What came of repeating one row."""

    repeat: Repeat
    holds: bool | None
    """None: it cannot be repeated here."""
    detail: str

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        repeat = self.repeat
        return {
            "kind": repeat.kind,
            "target": repeat.target,
            "finds": repeat.finds,
            "holds": self.holds,
            "detail": self.detail,
            "command": repeat.command,
        }


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("id", nargs="?", metavar="ID", help="such as Q-STK-6; without it: list all findings")
    parser.add_argument("--page", action="store_true", help="print the page only, and repeat nothing")
    parser.add_argument("--spec", type=Path, metavar="DIR", help="read this copy of spec/ instead of the package's")
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1, metavar="N", help="default: all")
    parser.add_argument("--json", action="store_true", help="print one JSON object for programs")


def run(args: argparse.Namespace) -> int:
    """List, or print and repeat. Raises InputError for an unknown id, SpecError for a page that names what is not."""
    from superscalar_ref.spec.findings import load_findings  # noqa: PLC0415  # only here
    from superscalar_ref.spec.load import load_specification  # noqa: PLC0415

    if args.cores < 1:
        raise InputError("--cores", "must be at least 1", "cores")
    specification = load_specification(args.spec)
    findings = {finding.id: finding for finding in load_findings(specification)}
    if args.id is None:
        _list(list(findings.values()), args.json)
        return HOLDS
    if args.id not in findings:
        raise InputError("finding", f"there is no '{args.id}'; there are {', '.join(findings)}", "finding")
    finding = findings[args.id]
    if not args.json:
        print(finding.text.rstrip())
    if args.page:
        return HOLDS
    found = []
    for repeat in finding.repeats:
        found.append(_RUN[repeat.kind](repeat, specification, args))
        if not args.json:
            print(_line(found[-1]), flush=True)
    if args.json:
        rows = [one.as_json() for one in found]
        print(json.dumps({"finding": finding.id, "title": finding.title, "repeats": rows}, indent=2))
    return _verdict(finding, found, loud=not args.json)


def _verdict(finding: Finding, found: list[Found], *, loud: bool) -> int:
    differs = [one.repeat.target for one in found if one.holds is False]
    missing = [one.repeat.target for one in found if one.holds is None]
    if loud:
        if differs:
            print(f"{finding.id} no longer holds: {', '.join(differs)}.")
        elif missing:
            print(f"{finding.id} could not be repeated wholly: {', '.join(missing)}.")
        else:
            print(f"{finding.id} holds: {len(found)} of {len(found)} repeated.")
    return DIFFERS if differs else NOT_HERE if missing else HOLDS


def _list(findings: list[Finding], as_json: bool) -> None:
    if as_json:
        rows = [{"id": one.id, "title": one.title, "repeats": [r.command for r in one.repeats]} for one in findings]
        print(json.dumps({"findings": rows}, indent=2))
        return
    for one in findings:
        print(f"{one.id:<10} {one.title}")


def _line(found: Found) -> str:
    word = {True: "✓", False: "✗", None: "?"}[found.holds]
    return f"{word} {found.repeat.command}\n    {found.repeat.finds if found.holds else 'NOT so'}: {found.detail}"


# -- what is repeated --------------------------------------------------------------------------------------------------


def _variant(repeat: Repeat, specification: Specification, args: argparse.Namespace) -> Found:
    from superscalar_ref.check.variants import judge_variant  # noqa: PLC0415

    outcome = judge_variant(_design(specification, args), specification.variant(repeat.target), args.cores)
    return Found(repeat, not outcome.problem, " ".join(outcome.line().split()[1:]))


def _property(repeat: Repeat, specification: Specification, args: argparse.Namespace) -> Found:
    from superscalar_ref.check.judge import judge  # noqa: PLC0415

    design = _design(specification, args)
    if repeat.configuration:
        chosen = tuple(one for one in design.configurations if one.id == repeat.configuration)
        if not chosen:
            return Found(repeat, False, f"there is no configuration '{repeat.configuration}'")
        design = replace(design, configurations=chosen)
    verdict = judge(design, [repeat.target], cores=args.cores)[0]
    return Found(repeat, verdict.holds, f"{verdict.cases:,} cases, {verdict.states:,} states")


def _lemma(repeat: Repeat, specification: Specification, args: argparse.Namespace) -> Found:
    from superscalar_ref.check.proofs import Verdict, prove  # noqa: PLC0415  # z3 is slow to import

    proof = prove(repeat.target, specification.directory)
    return Found(repeat, proof.verdict is Verdict.HOLDS, proof.lines()[0])


def _replay(repeat: Repeat, specification: Specification, args: argparse.Namespace) -> Found:
    from superscalar_ref.check.trace import as_json  # noqa: PLC0415
    from superscalar_ref.check.variants import judge_variant  # noqa: PLC0415
    from superscalar_ref.replay.form import read  # noqa: PLC0415
    from superscalar_ref.replay.player import replay  # noqa: PLC0415

    outcome = judge_variant(_design(specification, args), specification.variant(repeat.target), args.cores)
    trace = outcome.verdict.trace if outcome.verdict else None
    if trace is None:
        return Found(repeat, False, "there is no trace: the variant breaks nothing")
    with TemporaryDirectory(prefix="superscalar-finding-") as home:
        path = Path(home) / "trace.json"
        path.write_text(json.dumps(as_json(trace)), encoding="utf-8")
        played = replay(read(path))
    said = (*played.problems, played.cannot, f"{len(played.lines)} steps with real transactions")
    return Found(repeat, played.exit_code == HOLDS, next(one for one in said if one))


def _verify(repeat: Repeat, specification: Specification, args: argparse.Namespace) -> Found:
    from superscalar_ref.verify.end import live_to_the_end  # noqa: PLC0415
    from superscalar_ref.verify.example import Example, load_example  # noqa: PLC0415
    from superscalar_ref.verify.sales import sell_and_poison  # noqa: PLC0415

    def silent(says: str) -> None:
        return None

    scenarios: Mapping[str, Callable[[Example], tuple[Check, ...]]] = {
        "end": lambda example: live_to_the_end(example, silent).checks,
        "sales": lambda example: sell_and_poison(example, silent).checks,
        "race": _race,
    }
    scenario = repeat.target.partition("/")[0]
    if scenario not in _checks:
        with TemporaryDirectory(prefix="superscalar-finding-") as home:
            path = Path(home) / "finding.toml"
            path.write_text(EXAMPLE, encoding="utf-8")
            _checks[scenario] = scenarios[scenario](load_example(path))
    for check in _checks[scenario]:
        if check.id == repeat.target:
            return Found(repeat, check.passed, f"{check.says}: {check.detail}")
    return Found(repeat, False, f"'verify' makes no check {repeat.target}")


_checks: dict[str, tuple[Check, ...]] = {}
"""Scenarios that were run already: several rows may name one."""


def _race(example: Any) -> tuple[Check, ...]:
    from superscalar_ref.verify.build import build_factory  # noqa: PLC0415
    from superscalar_ref.verify.races import race  # noqa: PLC0415
    from superscalar_ref.verify.scene import Scene  # noqa: PLC0415

    scene = Scene(example, lambda says: None)
    try:
        build_factory(scene)
        return race(scene).checks
    finally:
        scene.close()


def _test(repeat: Repeat, specification: Specification, args: argparse.Namespace) -> Found:
    checkout = specification.directory.parent
    if not (checkout / repeat.target.partition("::")[0]).is_file():
        return Found(repeat, None, "there are no tests beside this package: repeat it in a checkout")
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "--no-header", "-p", "no:cacheprovider", repeat.target]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)
    if "No module named pytest" in done.stderr:
        return Found(repeat, None, "pytest is not installed here")
    last = (done.stdout.strip().splitlines() or [""])[-1]
    return Found(repeat, done.returncode == 0, last)


def _design(specification: Specification, args: argparse.Namespace) -> Any:
    from superscalar_ref.check.configurations import load_configurations  # noqa: PLC0415
    from superscalar_ref.check.judge import Design  # noqa: PLC0415
    from superscalar_ref.protocol.strategy import load_strategy  # noqa: PLC0415

    return Design(specification, load_strategy(args.spec), load_configurations(args.spec))


_RUN: Mapping[str, Callable[[Repeat, Specification, argparse.Namespace], Found]] = {
    "variant": _variant,
    "property": _property,
    "lemma": _lemma,
    "replay": _replay,
    "verify": _verify,
    "test": _test,
}
