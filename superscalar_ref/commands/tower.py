"""``superscalar-ref tower``: a watchtower as a process of its own, which reads messages and blocks as lines of JSON.

A line in: ``{"from": NAME, "message": …, "body": {…}}``; blocks, tips and feerates are from ``chain``. A line out is
``{"broadcast": HEX, "txid": …}``, for a node to publish, or ``{"to": NAME, "message": …, "body": {…}}``, for a client.
Whoever feeds it has made sure who says what. What it holds is in its one file; a key with which it pays for children is
in a file of its own, and never in that one.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from superscalar_ref.errors import InputError, MessageError, SuperscalarError, one_line

if TYPE_CHECKING:
    from superscalar_ref.parties.actor import Outbox
    from superscalar_ref.parties.tower import Purse, Tower


MOST_LETTERS = 200
"""A name is no longer."""


@dataclass(frozen=True)
class _Line:
    """One line of input."""

    sender: str
    raw: bytes
    """As ``tower_messages`` reads it."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "--db", type=Path, required=True, metavar="FILE", help="the tower's one file; made when missing"
    )
    parser.add_argument("--name", default="tower", help="how clients call it (default: tower)")
    parser.add_argument(
        "--depth",
        type=int,
        metavar="N",
        help="a spend with so many confirmations is final (default: of the parameters)",
    )
    parser.add_argument(
        "--purse",
        type=Path,
        metavar="FILE",
        help='pay for children: {"key": HEX, "script": HEX, "coins": [{"txid", …}]}',
    )


def run(args: argparse.Namespace) -> int:
    """Answer line by line until the input ends; 0 then. A bad line is said on stderr, and changes nothing.

    Raises InputError (exit code 2) when the tower cannot be opened.
    """
    from superscalar_ref.parties.tower import Tower  # noqa: PLC0415  # only here
    from superscalar_ref.parties.tower_store import TowerStore  # noqa: PLC0415
    from superscalar_ref.spec.load import load_parameters  # noqa: PLC0415

    depth = args.depth
    if depth is None:
        depth = int(load_parameters()["reorg_depth_blocks"].default) + 1
    if depth < 1:
        raise InputError("--depth", "must be at least 1", "depth")
    purse = _purse(args.purse) if args.purse else None
    tower = Tower(args.name, TowerStore(args.db), depth, purse)
    try:
        # Whatever bytes come: a line that is no UTF-8 is a bad line like others.
        serve(tower, (line.decode("utf-8", "surrogateescape") for line in sys.stdin.buffer))
    finally:
        tower.store.close()
    return 0


def serve(tower: Tower, lines: Iterable[str]) -> None:
    """Take each line and print what it gives."""
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            taken = _read(line, number)
        except MessageError as error:
            print(one_line(f"{error}"), file=sys.stderr, flush=True)
            continue
        _tell(tower.receive(taken.sender, taken.raw), number)


def _read(line: str, number: int) -> _Line:
    from superscalar_ref.parties.messages import MAX_MESSAGE_BYTES, strict_json  # noqa: PLC0415  # only here

    place = f"line {number}"
    if len(line) > MAX_MESSAGE_BYTES:
        raise MessageError(place, f"{len(line)} characters are more than {MAX_MESSAGE_BYTES}", "message-size")
    try:
        form = strict_json(line.encode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError) as error:
        raise MessageError(place, f"no JSON object: {error}", "message-form") from error
    sender = form.pop("from", None) if isinstance(form, dict) else None
    if not isinstance(sender, str) or not 1 <= len(sender) <= MOST_LETTERS or not sender.isprintable():
        raise MessageError(place, "does not say who it is from", "message-form")
    return _Line(sender, json.dumps(form).encode())


def _tell(outbox: Outbox, number: int) -> None:
    for transaction in outbox.broadcasts:
        print(json.dumps({"broadcast": transaction.hex, "txid": transaction.txid}), flush=True)
    for to, raw in outbox.messages:
        print(json.dumps({"to": to, **msgspec.json.decode(raw)}), flush=True)
    for alert in outbox.alerts:
        print(one_line(f"line {number}: {alert}"), file=sys.stderr, flush=True)


def _purse(path: Path) -> Purse:
    from superscalar_ref.bitcoin.transaction import TxOutput  # noqa: PLC0415  # only here
    from superscalar_ref.parties import messages as m  # noqa: PLC0415
    from superscalar_ref.parties.tower import Purse, PurseForm  # noqa: PLC0415
    from superscalar_ref.realise.book import CoinOutput  # noqa: PLC0415
    from superscalar_ref.signing.keys import SecretKey  # noqa: PLC0415

    try:
        form = m.decode_as(PurseForm, path.read_bytes(), str(path))
        key = SecretKey(bytes.fromhex(form.key))
    except SuperscalarError as error:
        raise InputError(str(path), f"is no purse: {error}", "purse-form") from error
    coins = tuple(
        CoinOutput(one.txid, one.index, TxOutput(one.amount, bytes.fromhex(one.script))) for one in form.coins
    )
    return Purse(key, coins, bytes.fromhex(form.script))
