"""A chain as a file: JSON lines, one block a line, that another ledger judges again from the first to the last.

``{"height": 1, "block": "…"}``: the serialised block as hex (BIP-144). A ledger takes no block on the file's word:
Bitcoin Core's code validates each again, so a record can be damaged or cut short, but not forged.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

from bitcoin.core import CBlock

from superscalar_ref.bitcoin.transaction import Transaction, from_bytes
from superscalar_ref.chain.kernel import KernelLedger
from superscalar_ref.chain.node import NodeLedger, named_program
from superscalar_ref.errors import ChainError, InputError

MAX_LINE_BYTES = 9_000_000
"""A block has at most 4,000,000 weight units, and so as many bytes: twice that in hex, and the frame."""


def write_chain(path: Path, ledger: KernelLedger) -> None:
    """Write a regtest chain from height 1 to its tip."""
    with path.open("w", encoding="utf-8") as file:
        for height, raw in enumerate(ledger.raw_blocks(), start=1):
            file.write(json.dumps({"height": height, "block": raw.hex()}) + "\n")


def read_blocks(path: Path) -> tuple[bytes, ...]:
    """The serialised blocks of a file. Raises ``InputError`` naming file, line and rule."""
    return tuple(_blocks(path))


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            place = f"{path}:{number}"
            if len(line) > MAX_LINE_BYTES:
                raise InputError(place, f"{len(line)} bytes are more than a block has", "chain-record")
            try:
                row = json.loads(line)
                raw = bytes.fromhex(row["block"])
                height = row["height"]
            except (ValueError, TypeError, KeyError, RecursionError):
                raise InputError(place, 'is not {"height": …, "block": "hex"}', "chain-record") from None
            if height != number:
                raise InputError(place, f"is block {height!r:.20}, block {number} is expected", "chain-record")
            yield raw


def transactions_in(block: bytes) -> tuple[Transaction, ...]:
    """The transactions of a serialised block that are native segwit, in their order, without the coinbase."""
    found = []
    for one in CBlock.deserialize(block).vtx[1:]:
        with contextlib.suppress(InputError):
            found.append(from_bytes(one.serialize()))
    return tuple(found)


def read_chain(path: Path) -> KernelLedger:
    """The chain of a file, every block judged by Core's code. Raises ``InputError`` (file, line, Core's word)."""
    blocks = read_blocks(path)
    if not blocks:
        raise InputError(str(path), "holds no block", "chain-record")
    try:
        return KernelLedger.load(blocks)
    except ChainError as error:
        raise InputError(f"{path}:{error.height}", f"Core refuses the block: {error.reason}", "chain-record") from None


def follow_in_node(path: Path) -> NodeLedger:
    """The chain of a file in a bitcoind of our own, as the environment names it.

    Raises ``InputError`` when none is named, or when it refuses a block.
    """
    program, why = named_program()
    if program is None:
        raise InputError("--node", why, "bitcoind")
    return NodeLedger.follow(program, read_blocks(path))
