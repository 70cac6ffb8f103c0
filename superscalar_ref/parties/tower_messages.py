"""What is said to a watchtower, and what it says: frozen dataclasses with a JSON form, read as strictly as all others.

A client registers finished transactions and is told which are kept; the chain gives blocks and what they cost. There is
no message by which a key, a secret or a nonce could reach a tower.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import msgspec

from superscalar_ref.parties.messages import (
    Amount,
    Count,
    Hash,
    Height,
    Script,
    unwrap,
    wrap,
)

Raw = Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{2}){10,400000}\Z")]
"""A transaction with its witnesses, as hex (BIP-144)."""
RawBlock = Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{2}){81,4000000}\Z")]
"""A block as hex: what a node gives for 'getblock HASH 0'."""


@dataclass(frozen=True)
class EntryForm:
    """One finished transaction, and the output that it spends."""

    kind: Annotated[str, msgspec.Meta(pattern=r"^[a-z]{1,20}\Z")]
    """state | sale | poison | alternate | penalty."""
    raw: Raw
    amount: Amount
    """Of the output that it spends (sat)."""
    script: Script
    """Of the output that it spends."""


@dataclass(frozen=True)
class Register:
    """Client → tower: keep these."""

    entries: tuple[EntryForm, ...]


@dataclass(frozen=True)
class Registered:
    """Tower → client: these are kept, durably."""

    txids: tuple[Hash, ...]


@dataclass(frozen=True)
class NotRegistered:
    """Tower → client: one transaction is not kept, and why."""

    txid: str
    reason: str


@dataclass(frozen=True)
class Block:
    """Chain → tower: a block that follows one that it knows; from a reorg when that is not the last one."""

    height: Height
    raw: RawBlock


@dataclass(frozen=True)
class Tip:
    """Chain → tower: the best block that is known has this height; the blocks may come later."""

    height: Height


@dataclass(frozen=True)
class Feerate:
    """Chain → tower: what a transaction must pay now to be in one of the next blocks (sat/vB)."""

    sat_per_vbyte: Count


@dataclass(frozen=True)
class AskHealth:
    """Anyone → tower: how are you?"""


@dataclass(frozen=True)
class HealthReport:
    """Tower → whoever asked."""

    height: Height
    tip: Height
    lag: Count
    """Blocks that it knows of and has not seen: while there are any, it protects nobody."""
    cases: Mapping[str, Count]
    """State → how many outputs are in it."""
    entries: Count
    waiting: Count
    """Outputs on chain and unspent, with every answer to them still locked."""
    taken: tuple[str, ...] = ()
    """Outputs of revoked commitments (``txid:index``) that another than the asker's penalties has spent: look there."""


TowerMessage = Register | Registered | NotRegistered | Block | Tip | Feerate | AskHealth | HealthReport

NAMES: Mapping[str, type[TowerMessage]] = {
    "register": Register,
    "registered": Registered,
    "not_registered": NotRegistered,
    "block": Block,
    "tip": Tip,
    "feerate": Feerate,
    "ask_health": AskHealth,
    "health_report": HealthReport,
}
_NAME_OF = {kind: name for name, kind in NAMES.items()}


def encode(message: TowerMessage) -> bytes:
    """The JSON form, UTF-8, without the line's end."""
    return wrap(message, _NAME_OF[type(message)])


def decode(raw: bytes, sender: str) -> TowerMessage:
    """Read a message of ``sender``. Raises ``MessageError`` naming the place and what was expected there."""
    return unwrap(raw, sender, NAMES)
