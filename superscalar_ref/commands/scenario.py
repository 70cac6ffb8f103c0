"""``superscalar-ref scenario NAME``: a situation of a factory's life, played with real transactions.

Exit code 0 when it ends as the specification promises, 1 when not, 2 when an argument makes no sense, 130 when it was
interrupted: what was done by then is printed. ``all`` plays every situation of protocol.md §9 and §11.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from superscalar_ref.errors import InputError

if TYPE_CHECKING:
    from superscalar_ref.scenario.ladder_days import DayDone
    from superscalar_ref.scenario.lsp_vanishes import Ended
    from superscalar_ref.scenario.town import Town

SCENARIOS = {
    "lsp-vanishes": "the LSP is shut down: all clients of its factories leave, with nothing from it",
    "reorgs": "a funding, each part of an exit, and a close are taken back, at each depth up to the bound",
    "ladder": "days of a ladder: each day one transaction closes a factory, funds the next and pays who leaves",
    "presence": "who must be online: a client that looks in time or too late, or never comes back",
    "payment-two-factories": "a payment from a client of one factory to a client of another, and both factories' ends",
    "all": "every situation below, each in one line",
}
NO_STORY = frozenset({"lsp-vanishes", "reorgs", "ladder"})
"""What ends in totals, or in many lines alike: there is nothing to draw."""
BLOCKS_A_DAY = 144


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``scenario``."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="one of those that --list names")
    parser.add_argument("--list", action="store_true", help="name all scenarios")
    parser.add_argument("--clients", type=int, default=127, metavar="N", help="clients of a factory (127)")
    parser.add_argument("--factories", type=int, default=1, metavar="N", help="factories (1)")
    parser.add_argument("--arity", metavar="A,B,…", help="children of a node at each level, root first (8,4,2)")
    parser.add_argument("--static", type=int, metavar="N", help="levels at the top that carry no counter (1)")
    parser.add_argument(
        "--reserve-every", type=int, default=2, metavar="N", help="every Nth client has a coin of its own; 0: none (2)"
    )
    parser.add_argument("--spike", type=int, default=20, metavar="SAT", help="fee rate of the spike, sat/vB (20)")
    parser.add_argument(
        "--spike-blocks", type=int, default=144, metavar="N", help="blocks that it lasts; 0: none (144)"
    )
    parser.add_argument("--hurry", action="store_true", help="who has a coin pays the spike's price and does not wait")
    parser.add_argument("--days", type=int, default=9, metavar="N", help="ladder: days to run (9)")
    parser.add_argument("--payee", default="claims", metavar="WORD", help="payment: claims, fails or silent (claims)")
    parser.add_argument(
        "--letters", type=int, default=10, metavar="N", help="payment: the wire is cut after so many (10)"
    )
    parser.add_argument("--first", metavar="WAY", help="payment: only this end of the payer's factory")
    parser.add_argument("--second", metavar="WAY", help="payment: only this end of the payee's factory")
    parser.add_argument("--draw", type=Path, metavar="DIR", help="write each story's drawing: NAME.svg and NAME.mmd")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="write the chain and every kit as the LSP vanishes")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")


def run(args: argparse.Namespace) -> int:
    """Play it, print its totals, and return 0: as promised, 1: not, 130: interrupted."""
    from superscalar_ref.scenario.situations import SITUATIONS  # noqa: PLC0415

    if args.list:
        for name, says in SCENARIOS.items():
            print(f"{name}: {says}")
        for one in SITUATIONS.values():
            print(f"{one.name} ({one.row}): {one.says}")
        return 0
    if args.name in SITUATIONS:
        return _situations(args, [str(args.name)])
    if args.name not in SCENARIOS:
        given = "is missing" if args.name is None else f"'{args.name}' is not one"
        raise InputError("NAME", f"{given}; there is {', '.join((*SCENARIOS, *SITUATIONS))}", "scenario --list")
    if args.draw is not None and args.name in NO_STORY:
        raise InputError("--draw", f"'{args.name}' has no story to draw", "scenario --list")
    play = {
        "all": lambda args: _situations(args, list(SITUATIONS)),
        "lsp-vanishes": _lsp_vanishes,
        "reorgs": _reorgs,
        "ladder": _ladder,
        "presence": _presence,
        "payment-two-factories": _payment,
    }
    return play[str(args.name)](args)


def _situations(args: argparse.Namespace, names: list[str]) -> int:
    """The story of one, or a line for each of several; drawings where they are asked for."""
    from superscalar_ref.scenario.situations import SITUATIONS  # noqa: PLC0415
    from superscalar_ref.scenario.story import write_drawings  # noqa: PLC0415

    bad = 0
    for name in names:
        situation = SITUATIONS[name]
        told = situation.play()
        faults = situation.faults(told)
        bad += bool(faults)
        if args.draw is not None:
            write_drawings(args.draw, name, f"{situation.row}: {situation.says}", told)
        if args.json:
            print(json.dumps({"name": name, "row": situation.row, **asdict(told), "well": not faults}))
            continue
        if len(names) > 1:
            print(f"{name} ({situation.row}): {'; '.join(map(str, told.ends))}")
        else:
            print("\n".join(map(str, (*told.lines, *told.ends))))
        for party, word in situation.others.items():
            print(f"{party} has {word} than that, as this row says")
        print("\n".join(f"NOT WELL: {one}" for one in faults), end="\n" if faults else "")
    return 1 if bad else 0


def _payment(args: argparse.Namespace) -> int:
    """The story of the first pair of ends, and what each pair comes to."""
    from superscalar_ref.scenario.payment_two_factories import PAYEES, WAYS, Case, letters, play  # noqa: PLC0415
    from superscalar_ref.scenario.story import write_drawings  # noqa: PLC0415

    for name, value, allowed in (
        ("--payee", args.payee, PAYEES),
        ("--first", args.first, WAYS),
        ("--second", args.second, WAYS),
    ):
        if value is not None and value not in allowed:
            raise InputError(name, f"'{value}' is not one; there is {', '.join(allowed)}", "scenario")
    most = letters(args.payee)
    if not 0 <= args.letters <= most:
        raise InputError("--letters", f"must be within 0..{most}, not {args.letters}", "scenario")
    bad = 0
    for first in [args.first] if args.first else WAYS:
        for second in [args.second] if args.second else WAYS:
            done = play(Case(args.payee, args.letters, first, second))
            bad += not done.well
            if args.draw is not None:
                says = f"the payee {args.payee}, the wire is cut after {args.letters} letters: {first} and {second}"
                write_drawings(args.draw, f"payment-{args.payee}-{args.letters}-{first}-{second}", says, done.told)
            if args.json:
                print(json.dumps({**asdict(done), "well": done.well}))
                continue
            if args.first and args.second:
                print("\n".join(map(str, done.story)))
            has = ", ".join(f"{name} {amount:,}" for name, amount in done.paid.items())
            word = "as it must be" if done.well else f"WRONG, it must be {done.expected}"
            print(f"{first} and {second}: at rest (sat) {has}: {word}")
    return 1 if bad else 0


def _presence(args: argparse.Namespace) -> int:
    """Every row, in a factory of one client with short locks."""
    from superscalar_ref.scenario.presence import rows  # noqa: PLC0415
    from superscalar_ref.scenario.settings import short_plan  # noqa: PLC0415
    from superscalar_ref.scenario.story import write_drawings  # noqa: PLC0415

    plan = short_plan()
    bad = 0
    every = rows(replace(plan, locks=replace(plan.locks, step=5, to_self_delay=6, end=150)))
    for number, (what, play, whole) in enumerate(every, start=1):
        seen = play()
        bad += seen.whole is not whole
        if args.draw is not None:
            write_drawings(args.draw, f"presence-{number}", what, seen.told)
        if args.json:
            print(json.dumps({"what": what, **asdict(seen), "whole": seen.whole, "expected": whole}))
        else:
            word = "is paid" if seen.whole else "LOSES"
            off = "" if seen.whole is whole else " (NOT AS EXPECTED)"
            print(f"{what}: owed {seen.owed:,} sat, has {seen.has:,} sat: {word}{off}")
    return 1 if bad else 0


def _ladder(args: argparse.Namespace) -> int:
    """Short days: three factories run; one client of each leaves, and one of the third stays away."""
    from superscalar_ref.protocol.ladder import Pace  # noqa: PLC0415
    from superscalar_ref.scenario.ladder_days import AWAY, LEAVES, MOVES, run_days  # noqa: PLC0415
    from superscalar_ref.scenario.settings import short_plan  # noqa: PLC0415

    if not 1 <= args.days <= 100:
        raise InputError("--days", f"must be within 1..100, not {args.days}", "scenario")

    def habit(factory: int, place: int) -> str:
        if (factory, place) == (2, 0):
            return AWAY
        return LEAVES if place == 1 else MOVES

    with _shown() as progress:
        ran = run_days(short_plan(3), Pace(20, 10, day=10), args.days, habit, progress)
    if args.json:
        print(json.dumps(asdict(ran)))
    else:
        for day in ran.days:
            closes = "closes none" if day.closes is None else f"closes factory {day.closes}"
            who = "".join(f"; {', '.join(names)} {what}" for names, what in _who(day) if names)
            print(f"day {day.day}, height {day.height}: funds factory {day.funds}, {closes}: {day.vbytes} vB{who}")
            print(f"  {day.running} factories run; {day.locked:,} sat of the LSP are in them")
        for name, sats in ran.outs.items():
            print(f"{name} was owed {ran.owed[name]:,} sat and has {sats:,} sat")
        print(f"{ran.exits} transactions brought on chain the factory whose client stayed away")
        print("\n".join(f"NOT WELL: {one}" for one in ran.problems) or "one transaction a day, and everybody is paid")
    return 1 if ran.problems else 0


def _who(day: DayDone) -> tuple[tuple[tuple[str, ...], str], ...]:
    return (day.moved, "move on"), (day.left, "leave, paid by it"), (day.away, "did not come")


def _reorgs(args: argparse.Namespace) -> int:
    """Every situation at every depth, in a factory of one client with short locks."""
    from superscalar_ref.scenario.reorgs import SITUATIONS, play, well  # noqa: PLC0415
    from superscalar_ref.scenario.settings import short_plan  # noqa: PLC0415

    plan = short_plan()
    bad = 0
    for what, branches in SITUATIONS.items():
        for branch in branches:
            for depth in range(1, plan.limits.depth):
                done = play(plan, what, depth, branch)
                bad += not well(plan, done)
                if args.json:
                    print(json.dumps({**asdict(done), "well": well(plan, done)}))
                    continue
                word = "well" if well(plan, done) else "NOT WELL"
                states = f"client '{done.before[1]}' then '{done.statuses[1]}', LSP '{done.statuses[0]}'"
                print(f"{word}: {what} taken back {depth} deep, {branch} in its place: {states}")
    return 1 if bad else 0


def _lsp_vanishes(args: argparse.Namespace) -> int:
    from superscalar_ref.chain.fees import FeeMarket, Spike  # noqa: PLC0415
    from superscalar_ref.scenario.lsp_vanishes import everybody_leaves, kits_of  # noqa: PLC0415
    from superscalar_ref.scenario.settings import ARITY, STATIC, plan_of  # noqa: PLC0415
    from superscalar_ref.scenario.town import build_town, check_plan  # noqa: PLC0415

    for name, value, least in (
        ("--spike", args.spike, 1),
        ("--spike-blocks", args.spike_blocks, 0),
        ("--reserve-every", args.reserve_every, 0),
    ):
        if value < least:
            raise InputError(name, f"must be at least {least}, not {value}", "scenario")
    arity = ARITY if args.arity is None else _arity(args.arity)
    static = STATIC if args.static is None else args.static
    plan = plan_of(args.factories, args.clients, arity, static, args.reserve_every)
    check_plan(plan)
    with _shown() as progress:
        town = build_town(plan, progress)
        kits = kits_of(town)
        if args.keep is not None:
            _keep(args.keep, town, kits)
        middle = town.ledger.height + plan.middle()
        market = FeeMarket(plan.economy.feerate, (Spike(middle, args.spike_blocks, args.spike),))
        ended = everybody_leaves(town, kits, market, progress, hurry=args.hurry)
    if args.json:
        print(json.dumps({**asdict(ended), "total": asdict(ended.total), "all_out": ended.all_out}))
    else:
        print("\n".join(_lines(ended, args.spike)))
    return 130 if ended.interrupted else 0 if ended.all_out else 1


def _arity(text: str) -> list[int]:
    try:
        return [int(word) for word in text.split(",")]
    except ValueError:
        raise InputError("--arity", f"'{text}' is not a list of whole numbers, such as 8,4,2", "R-SHAPE") from None


class _Shown:
    """A bar a phase on the terminal's error stream; nothing where there is no terminal."""

    def __init__(self) -> None:
        from rich.console import Console  # noqa: PLC0415
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            disable=not sys.stderr.isatty(),
        )
        self._tasks: dict[str, object] = {}

    def __enter__(self) -> Callable[[str, int, int], None]:
        self._bars.start()
        return self._tell

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def _tell(self, what: str, done: int, of: int) -> None:
        if what not in self._tasks:
            self._tasks[what] = self._bars.add_task(what, total=of)
        self._bars.update(self._tasks[what], completed=done)  # type: ignore[arg-type]


def _shown() -> _Shown:
    return _Shown()


def _keep(directory: Path, town: Town, kits: object) -> None:
    from superscalar_ref.chain.record import write_chain  # noqa: PLC0415
    from superscalar_ref.parties.kit import Kit, write_kit  # noqa: PLC0415

    directory.mkdir(parents=True, exist_ok=True)
    write_chain(directory / "chain.jsonl", town.ledger)
    assert isinstance(kits, dict)
    for name, kit in kits.items():
        assert isinstance(kit, Kit)
        write_kit(directory / f"{name}.json", kit)


def _lines(ended: Ended, spike: int) -> Iterator[str]:
    total = ended.total
    yield f"the LSP vanishes after height {ended.begun}: {ended.factories} factories, {len(ended.clients)} clients"
    for kind, one in ended.by_kind.items():
        yield f"  {kind:<11} {one.count:>6,} transactions {one.vbytes:>9,} vB {one.fees:>9,} sat"
    yield f"  {'all':<11} {total.count:>6,} transactions {total.vbytes:>9,} vB {total.fees:>9,} sat"
    yield f"in {ended.blocks_used} blocks, up to height {ended.ended} ({_days(ended.ended - ended.begun)})"
    if ended.waited_in_spike:
        yield f"the spike of {spike} sat/vB held something back for {ended.waited_in_spike} blocks"
    yield from _groups(ended)
    yield f"left on chain for whoever comes back: {ended.left_behind:,} sat (the LSP's sides, unsold stock, anchors)"
    if ended.interrupted:
        yield "INTERRUPTED: this is what was done by then"
    elif ended.all_out:
        yield "every client is out, and every satoshi is accounted for"
    else:
        late = [out.client for out in ended.clients if not out.whole]
        yield f"NOT WELL: {len(late)} clients are not out ({', '.join(late[:5])}); conserved: {ended.conserved}"


def _groups(ended: Ended) -> Iterator[str]:
    """Clients to whom the same happened, in one line."""
    groups = Counter(
        (out.height, out.status, out.reserve, out.owed, out.received, out.reserve_spent) for out in ended.clients
    )
    for (height, status, reserve, owed, received, spent), count in sorted(groups.items()):
        who = f"with a coin of their own, of which they spent {spent:,} sat" if reserve else "without a coin"
        how = {
            "swept": "closed and swept",
            "paid": "paid by the alternates at the end",
        }.get(status, f"'{status}'")
        when = f"height {height} ({_days(height - ended.begun)})" if height else "not at rest"
        yield f"  {count:>4} clients {who}: {how}, {when}; owed {owed:,} sat, received {received:,} sat each"


def _days(blocks: int) -> str:
    return f"{blocks:,} blocks, {blocks / BLOCKS_A_DAY:.1f} days"
