"""``superscalar-ref conform``: another implementation against the vectors."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from superscalar_ref.errors import InputError, one_line

if TYPE_CHECKING:
    from superscalar_ref.conformance.judge import Profile
    from superscalar_ref.conformance.runner import Runner


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = (
        "Ask an adapter every vector of the corpus and judge its answers. Exit code: 0 nothing failed, 1 "
        "something did, "
        "2 the kit, the corpus or the command is at fault, 3 no test was selected or all were skipped."
    )
    who = parser.add_mutually_exclusive_group(required=True)
    who.add_argument("--adapter", metavar="CMD", help="a program that answers JSON Lines; with its arguments, quoted")
    who.add_argument("--reference", action="store_true", help="the reference itself")
    who.add_argument(
        "--liars",
        action="store_true",
        help="wrong tables; fail when one is neither caught nor argued",
    )
    parser.add_argument("--layer", choices=("L0", "L1", "L3"), action="append", help="only this layer; may be repeated")
    parser.add_argument(
        "--only", metavar="WORD", default="", help="only tests with WORD in the id, or of that rule or profile"
    )
    parser.add_argument("--vectors", type=Path, metavar="DIR", help="another copy of the corpus")
    parser.add_argument("--expected-failures", type=Path, metavar="FILE", help="known failures: a line each, ID CODE")
    parser.add_argument("--strict", action="store_true", help="a SHOULD that fails is a failure")
    parser.add_argument("--timeout", type=float, default=10.0, metavar="SECONDS", help="for each reply; default 10")
    parser.add_argument(
        "--fuzz", type=int, metavar="N", help="layer L2 in place of the vectors: N runs of each machine in lock step"
    )
    parser.add_argument("--seed", type=int, default=1, help="of --fuzz; default 1")
    parser.add_argument("--write", type=Path, metavar="FILE", help="with --fuzz: what was found, as a file of vectors")
    parser.add_argument("--json", action="store_true", help="print the run as JSON, and nothing else")
    parser.add_argument(
        "--report", type=Path, metavar="DIR", help="write results.jsonl, junit.xml, a folder for each failure"
    )


def run(args: argparse.Namespace) -> int:
    """Run the tests and return the exit code. Raises InputError."""
    from superscalar_ref.conformance import kit  # noqa: PLC0415 - --help stays quick

    if not 0 < args.timeout < 3600:
        raise InputError("--timeout", "is not between 0 and 3600 seconds", "--timeout")
    known = kit.load_known(args.expected_failures) if args.expected_failures else ()
    tests = kit.load_tests(args.layer or kit.LAYERS, args.vectors, args.only)
    if args.liars:
        return _liars(tests, args.json)
    runner = _runner(args)
    try:
        from superscalar_ref.conformance.judge import greet  # noqa: PLC0415
        from superscalar_ref.conformance.runner import Fault  # noqa: PLC0415

        try:
            profile = greet(runner)
        except Fault as fault:
            raise InputError("hello", str(fault), "adapter") from fault
        if args.fuzz is not None:
            return _fuzz(runner, profile, args)
        done = kit.run(runner, profile, tests, known, args.strict, only=args.only)
        if args.report:
            from superscalar_ref.conformance.reports import write_report  # noqa: PLC0415

            write_report(done, args.report, args.adapter or "superscalar-ref", runner.diagnosis())
    finally:
        runner.close()
    if args.json:
        print(json.dumps(kit.as_json(done), indent=1, ensure_ascii=False))
    else:
        for line in kit.summary(done):
            print(line)
    return done.exit_code


def _runner(args: argparse.Namespace) -> Runner:
    from superscalar_ref.conformance.adapter import TableAdapter, reference_machines  # noqa: PLC0415
    from superscalar_ref.conformance.runner import LocalRunner, SubprocessRunner  # noqa: PLC0415

    if args.reference:
        return LocalRunner(TableAdapter(reference_machines()))
    return SubprocessRunner(args.adapter, args.timeout)


def _fuzz(runner: Runner, profile: Profile, args: argparse.Namespace) -> int:
    from superscalar_ref.conformance import fuzz  # noqa: PLC0415
    from superscalar_ref.conformance.adapter import reference_machines  # noqa: PLC0415
    from superscalar_ref.conformance.corpus import text_of  # noqa: PLC0415

    if not 0 < args.fuzz <= 1_000_000:
        raise InputError("--fuzz", "is not between 1 and 1,000,000 runs", "--fuzz")
    machines = {name: one for name, one in reference_machines().items() if args.only in name}
    if not machines:
        raise InputError("--only", f"no machine is called '{args.only}'", "--fuzz")
    found = fuzz.lock_step(runner, profile, machines, args.fuzz, args.seed)
    for one in found:
        print(
            one_line(f"{one.test['profile']}: {one.result.code}: {one.result.detail} ({len(one.test['steps'])} steps)")
        )
    if found and args.write:
        try:
            args.write.write_text(text_of(fuzz.as_document(found)), encoding="utf-8")
        except OSError as error:
            raise InputError(str(args.write), error.strerror or "cannot be written", "--write FILE") from error
    if not found:
        print(f"no difference in {args.fuzz} runs of each machine that the adapter declares")
    return 1 if found else 0


def _liars(tests: list[dict[str, Any]], as_json: bool) -> int:
    from superscalar_ref.conformance.adapter import reference_machines  # noqa: PLC0415
    from superscalar_ref.conformance.liars import unmask  # noqa: PLC0415

    found = list(unmask(reference_machines(), tests))
    caught = [one for one in found if one.by]
    if as_json:
        shown = [
            {"liar": one.liar, "says": one.says, "caught_by": one.by, "does_the_same": one.argued} for one in found
        ]
        print(json.dumps(shown, indent=1))
    else:
        for one in found:
            if not one.by:
                why = f"does the same: {one.argued}" if one.argued else "NOBODY KNOWS WHY"
                print(one_line(f"not caught: {one.liar} ({one.says}); {why}"))
        same = sum(bool(one.argued) for one in found)
        print(f"{len(caught)} of {len(found)} liars are caught by a named vector; {same} are none: they do the same")
    if not found:
        return 3
    return 0 if all(one.by or one.argued for one in found) else 1
