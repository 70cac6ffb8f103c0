"""What every ledger offers: one chain that takes serialised transactions and says what it thinks of them.

Transactions cross this boundary as consensus-serialised ``bytes`` (BIP-144), txids as 32 bytes in the order in
which an outpoint carries them. The ledger that Bitcoin Core's code keeps (``chain.kernel``), the one of the rules
(``chain.model``), both at once (``chain.agreement``) and a running bitcoind (``chain.node``) are interchangeable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, Self

VALID = "valid"
"""What a ledger says of a block that it takes."""


@dataclass(frozen=True, order=True, slots=True)
class OutPoint:
    """One output of one transaction, as a transaction's input names it."""

    txid: bytes
    """32 bytes, internal order; reversed hex is what people see."""
    index: int

    def __str__(self) -> str:
        return f"{self.txid[::-1].hex()}:{self.index}"


class TxOut(NamedTuple):
    """What an output says: ``amount`` (sat) and the script that guards it."""

    amount: int
    script: bytes


@dataclass(frozen=True)
class Unspent:
    """An output that may still be spent, and the height (blocks) of the block that confirmed it."""

    output: TxOut
    height: int


@dataclass(frozen=True)
class Verdict:
    """What a ledger said of transactions tried in a block of ``height``."""

    height: int
    said: str
    """``valid``, or the reason in the ledger's own words."""

    @property
    def accepted(self) -> bool:
        """Whether the block was taken, or would have been."""
        return self.said == VALID

    @property
    def code(self) -> str:
        """The stable first word of the reason, such as ``bad-txns-nonfinal``."""
        return reason_code(self.said)


@dataclass(frozen=True)
class Mined:
    """A block that joined the chain."""

    height: int
    block_hash: bytes
    """32 bytes, internal order."""
    txids: tuple[bytes, ...]
    """The transactions that were handed in, in their order; the coinbase is not among them."""
    said: str = VALID


class Ledger(Protocol):
    """A chain with one tip. Every refusal leaves it as it was."""

    @property
    def height(self) -> int:
        """Height of the last block."""
        ...

    def mine(self, transactions: Sequence[bytes] = ()) -> Mined:
        """Add one block with ``transactions`` in this order; raise ``ChainError`` with the reason if refused."""
        ...

    def advance(self, blocks: int) -> None:
        """Add ``blocks`` empty blocks."""
        ...

    def would_accept(self, transactions: Sequence[bytes]) -> Verdict:
        """What ``mine`` would say of these transactions now; nothing changes."""
        ...

    def confirmation_height(self, txid: bytes) -> int | None:
        """The height of the block that holds this transaction, or None."""
        ...

    def unspent(self) -> Mapping[OutPoint, Unspent]:
        """Every output that may still be spent."""
        ...

    def reorg(self, depth: int, branch: Sequence[Sequence[bytes]] = ()) -> None:
        """Replace the last ``depth`` blocks by ``depth + 1`` others, whose transactions ``branch`` lists.

        Blocks that ``branch`` does not list are empty. Raises ``ChainError`` when a block of the branch is refused,
        ``ValueError`` when ``depth`` goes below the start of the ledger or ``branch`` is longer than ``depth + 1``.
        """
        ...

    def fork(self) -> Self:
        """An independent ledger with the same blocks."""
        ...

    def close(self) -> None:
        """Give back what the ledger holds outside Python's memory; it is of no use afterwards."""
        ...


def reason_code(reason: str) -> str:
    """The stable first word of a reason: ``bad-txns-nonfinal`` of 'bad-txns-nonfinal, contains a …'."""
    for end, char in enumerate(reason):
        if char in " ,:(":
            return reason[:end]
    return reason


def check_reorg(depth: int, deepest: int, branch: Sequence[Sequence[bytes]]) -> list[Sequence[bytes]]:
    """The ``depth + 1`` blocks of a reorg, with empty ones where ``branch`` lists none.

    ``deepest`` is the number of blocks above the ledger's start. Raises ``ValueError`` as ``Ledger.reorg`` says.
    """
    if not 0 <= depth <= deepest:
        raise ValueError(f"a reorg of {depth} blocks: only 0 to {deepest} can be undone")
    if len(branch) > depth + 1:
        raise ValueError(f"a reorg of {depth} blocks takes at most {depth + 1} new ones, got {len(branch)}")
    return [*branch, *([()] * (depth + 1 - len(branch)))]
