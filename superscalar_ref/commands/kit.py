"""``superscalar-ref kit export|check|exit``: a client's exit kit as one file, and the exit from that file alone.

Exit code 0 when it is done, 1 when a kit is incomplete or wrong, or an exit did not bring the money home, 2 when a file
or an argument makes no sense.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from superscalar_ref.errors import InputError

if TYPE_CHECKING:
    from superscalar_ref.parties.kit_check import KitReport
    from superscalar_ref.parties.kit_exit import Story

MAX_SEED_FILE_BYTES = 1_000


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``kit``."""
    parser.epilog = (
        "A kit is secret: it says which secrets it holds. It holds no factory key: nothing can be signed with "
        "others from it. Its form is spec/schema/kit.schema.json; what may be published from it is spec/backup.toml."
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    export = actions.add_parser("export", help="write the kit of a client from its store")
    export.add_argument("store", type=Path, metavar="STORE", help="the client's SQLite store; it is only read")
    export.add_argument(
        "--seed", type=Path, required=True, metavar="FILE", help="a file with the client's seed, in hex"
    )
    export.add_argument("--factory-number", type=int, default=0, metavar="N", help="which factory of this seed (0)")
    export.add_argument("--height", type=int, default=0, metavar="H", help="the last block that the client has seen")
    export.add_argument("--out", type=Path, required=True, metavar="KIT", help="the file to write")
    check = actions.add_parser("check", help="check a kit completely, with Bitcoin Core's code")
    check.add_argument("kit", type=Path, metavar="KIT")
    check.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    leave = actions.add_parser("exit", help="leave by a kit alone, on a regtest chain of this process")
    leave.add_argument("kit", type=Path, metavar="KIT")
    leave.add_argument(
        "--chain", type=Path, required=True, metavar="FILE", help='JSON lines, {"height": 1, "block": "hex"} and so on'
    )
    leave.add_argument("--node", action="store_true", help="let the bitcoind of SUPERSCALAR_BITCOIND judge")
    leave.add_argument(
        "--current",
        action="store_true",
        help="I vouch for this kit: nothing was signed or paid after it. Wrongly said, it can cost the whole channel",
    )
    leave.add_argument(
        "--shown",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="a transaction in hex that the LSP shows as newer; it is believed only if this client has signed it",
    )
    leave.add_argument("--out", type=Path, metavar="FILE", help="write the chain as it is at the end")
    leave.add_argument("--json", action="store_true", help="print one JSON object and nothing else")


def run(args: argparse.Namespace) -> int:
    """Do one of the three."""
    match args.action:
        case "export":
            return _export(args)
        case "check":
            return _check(args)
        case _:
            return _exit(args)


def _export(args: argparse.Namespace) -> int:
    from superscalar_ref.parties.kit import SECRETS, export, open_client, write_kit  # noqa: PLC0415

    if not 0 <= args.factory_number < 2**31:
        raise InputError("--factory-number", f"{args.factory_number} is not within 0..{2**31 - 1}", "BIP-32")
    if args.height < 0:
        raise InputError("--height", f"{args.height} is below 0", "height")
    client = open_client(args.store, _seed(args.seed), args.factory_number)
    client.height = args.height
    kit = export(client)
    write_kit(args.out, kit)
    print(f"{args.out}: {kit.client} in {kit.factory.terms.factory}, version {kit.counted.version}")
    print(f"counts on {kit.counted.owed:,} sat; {len(kit.signatures)} signatures")
    print(SECRETS)
    return 0


def _seed(path: Path) -> bytes:
    if path.stat().st_size > MAX_SEED_FILE_BYTES:
        raise InputError(str(path), "is too long for a seed", "BIP-32: length of a seed")
    try:
        return bytes.fromhex(path.read_text(encoding="ascii"))
    except ValueError:
        raise InputError(str(path), "is not hex", "BIP-32: length of a seed") from None


def _check(args: argparse.Namespace) -> int:
    from superscalar_ref.parties.kit import at_file, read_kit  # noqa: PLC0415
    from superscalar_ref.parties.kit_check import check_kit  # noqa: PLC0415

    with at_file(args.kit):
        report = check_kit(read_kit(args.kit))
    if args.json:
        print(json.dumps({**asdict(report), "complete": report.complete}))
    else:
        print("\n".join(_report_lines(report)))
    return 0 if report.complete else 1


def _report_lines(report: KitReport) -> Iterator[str]:
    yield f"{report.client} in {report.factory} of {report.lsp}, version {report.version}, made at {report.made_at}"
    yield f"owed {report.owed_sat:,} sat in channels of {report.capacity_sat:,} sat"
    yield f"paid at the end, if it only waits: {report.at_end_sat:,} sat (height {report.end})"
    yield f"alone: {report.exit_blocks} blocks at most; begin by height {report.start_by}"
    for step in report.path:
        word = "valid" if step.valid else "NOT VALID"
        lock = f", {step.lock_blocks} blocks after its parent" if step.lock_blocks else ""
        yield f"  {word}  {step.name}: {step.vbytes} vB, {step.fee_sat} sat{lock}"
    for fault in report.faults:
        yield f"  {fault.place}: {fault.problem} [{fault.rule}]"
    if report.complete:
        yield f"complete: Bitcoin Core's code accepts the signatures of all {report.verified} transactions"
    else:
        yield f"NOT COMPLETE: {len(report.faults)} faults; {report.verified} transactions are valid"


def _exit(args: argparse.Namespace) -> int:
    from superscalar_ref.bitcoin.transaction import from_hex  # noqa: PLC0415
    from superscalar_ref.chain.record import (  # noqa: PLC0415
        follow_in_node,
        read_blocks,
        read_chain,
        transactions_in,
        write_chain,
    )
    from superscalar_ref.parties.kit import at_file, read_kit  # noqa: PLC0415
    from superscalar_ref.parties.kit_exit import exit_by_kit  # noqa: PLC0415

    if args.node and args.out is not None:
        raise InputError("--out", "is for the chain of this process, not for a node's", "kit exit")
    kit = read_kit(args.kit)
    shown = []
    for path in args.shown:
        with at_file(path):
            shown.append(from_hex(path.read_text(encoding="ascii", errors="replace").strip()))
    kernel = None if args.node else read_chain(args.chain)
    ledger: Any = follow_in_node(args.chain) if kernel is None else kernel
    try:
        seen = [one for raw in read_blocks(args.chain) for one in transactions_in(raw)]
        with at_file(args.kit):
            story = exit_by_kit(
                kit,
                ledger,
                vouched=args.current,
                shown=shown,
                seen=seen,
                watch=(lambda height, words: None) if args.json else _say,
            )
        if kernel is not None and args.out is not None:
            write_chain(args.out, kernel)
    finally:
        ledger.close()
    print(json.dumps({**asdict(story), "out": story.out}) if args.json else "\n".join(_story_lines(story)))
    return 0 if story.out else 1


def _say(height: int, words: str) -> None:
    print(f"height {height}: {words}")


def _story_lines(story: Story) -> Iterator[str]:
    why = f": {story.evidence}" if story.evidence else ""
    yield f"the kit is {story.age}{why}"
    if story.age == "unknown" and not story.out:
        yield "nobody vouches for it, so only what cannot be punished was published; --current vouches for it"
    transactions = f"{len(story.steps)} transactions, {story.vbytes:,} vB, {story.fees_sat:,} sat fees inside them"
    yield f"{story.client} is '{story.status}' at height {story.ended}: {transactions}"
    yield f"received {story.received_sat:,} sat; the kit counts on {story.owed_sat:,} sat"
