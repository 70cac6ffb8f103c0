"""Transactions without bytes: what a transaction spends, pays, waits for, and who can complete it.

These templates are the one source of every transaction in the project. ``realise/`` turns them into bytes and
signatures; the checker plays its games on them; the planner adds up their weight. Nobody draws a second picture.

Names are deterministic strings that every party computes alike, such as ``state:r.1@2.0`` (node r.1, versions 2 and 0
on the path to it). Two different transactions never share a name.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a transaction is for (protocol.md §3–§9)."""

    FUNDING = "funding"
    KICKOFF = "kickoff"
    STATE = "state"
    COMMITMENT = "commitment"
    SWEEP = "sweep"
    ALTERNATE = "alternate"
    POISON = "poison"
    SALE = "sale"
    CLOSE = "close"
    EXPIRY = "expiry"
    CHILD = "child"
    PENALTY = "penalty"


class Role(StrEnum):
    """What an output holds."""

    TREE = "tree"
    """Spent by a kickoff or a state: key path of all signers of the node."""
    CHANNEL = "channel"
    """A Lightning channel of one client and the LSP."""
    STOCK = "stock"
    """Unsold liquidity of the LSP."""
    ANCHOR = "anchor"
    """Pay-to-anchor: anyone may spend it, to add a fee (BIP-433)."""
    DELAYED = "delayed"
    """``to_local`` of a commitment: its owner's after a relative delay."""
    WALLET = "wallet"
    """One party's own money, at rest."""


class LockKind(StrEnum):
    """Which clock a script path waits for."""

    CSV = "csv"
    """Blocks since the output confirmed (BIP-112)."""
    CLTV = "cltv"
    """An absolute height (BIP-65)."""


@dataclass(frozen=True, order=True)
class Outpoint:
    """One output of one transaction, by the transaction's name."""

    transaction: str
    index: int


@dataclass(frozen=True)
class LockPath:
    """A script path: ``owner`` alone may spend the output once the lock has run out."""

    owner: str
    kind: LockKind
    blocks: int
    """CSV: a number of blocks. CLTV: a height; spendable by a transaction in a block above it."""


@dataclass(frozen=True)
class Output:
    """An output: ``amount`` (sat; units in the checker), spendable by ``signers`` together, or by a lock path."""

    role: Role
    amount: int
    signers: frozenset[str]
    """Key path: all of these. Empty for an anchor. For DELAYED: who holds the revocation key."""
    lock_path: LockPath | None = None
    owner: str = ""
    """CHANNEL: its client. WALLET, DELAYED: whose money it is."""


@dataclass(frozen=True)
class Spend:
    """One input: an outpoint and what it waits for."""

    outpoint: Outpoint
    relative_lock: int | None = None
    """BIP-68 blocks since the outpoint confirmed; None switches BIP-68 off."""
    by_lock_path: bool = False
    """Spent by its owner's script path instead of all signers' key path."""


@dataclass(frozen=True)
class Template:
    """A transaction that may exist: complete once ``signers`` have all signed it."""

    name: str
    kind: Kind
    spends: tuple[Spend, ...]
    outputs: tuple[Output, ...]
    signers: frozenset[str]
    lock_time: int = 0
    """nLockTime as a height: valid in blocks above it; 0 for none."""
    fee: int = 0
    """Paid from the inputs (sat)."""
    holder: str = ""
    """Who alone gets the complete transaction (a commitment); empty when every signer does."""
    slot: str = ""
    """Which of the spends of its outpoint this is (``state 2``, ``alternate``): a signer signs one message for each."""

    def outpoint(self, index: int) -> Outpoint:
        """The ``index``-th output of this transaction."""
        return Outpoint(self.name, index)

    def amount_out(self) -> int:
        """Sum of the outputs (sat)."""
        return sum(output.amount for output in self.outputs)
