"""HTLC outputs of a commitment, and their second stage (BOLT zero-fee taproot channels, D-13).

'Offered' and 'received' are as the holder of the commitment sees it. The internal key is the revocation key, so a
revoked output falls to the other side by key path alone; the two leaves are the timeout and the success.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from bitcoin.core.contrib.ripemd160 import ripemd160
from bitcoin.core.script import (
    OP_CHECKSIG,
    OP_CHECKSIGVERIFY,
    OP_EQUALVERIFY,
    OP_HASH160,
    OP_SIZE,
    CScript,
)

from superscalar_ref.bitcoin.script import cltv_leaf, csv_leaf, key_and_preimage_leaf, two_keys_leaf
from superscalar_ref.bitcoin.taproot import ScriptTree
from superscalar_ref.errors import InputError
from superscalar_ref.realise.channel import CommitmentKeys

TIMEOUT_LEAF = 0
SUCCESS_LEAF = 1


class Direction(StrEnum):
    """Who pays, as the holder of the commitment sees it."""

    OFFERED = "offered"
    RECEIVED = "received"


@dataclass(frozen=True)
class Htlc:
    """A payment in flight: ``amount_msat`` to whoever knows the preimage of the 32-byte ``payment_hash``.

    From height ``cltv_expiry`` on it can go back to the payer. ``number`` is the BOLT 2 id, counted by each payer.
    Raises InputError when a value is out of its range.
    """

    direction: Direction
    number: int
    amount_msat: int
    payment_hash: bytes
    cltv_expiry: int

    def __post_init__(self) -> None:
        place = f"{self.direction} HTLC {self.number}"
        if self.amount_msat <= 0:
            raise InputError(place, f"amount {self.amount_msat} msat is not above 0", "BOLT 2: update_add_htlc")
        if len(self.payment_hash) != 32:
            raise InputError(place, f"payment hash has {len(self.payment_hash)} bytes", "BOLT 2: 32 bytes")
        if not 0 < self.cltv_expiry < 500_000_000:
            raise InputError(place, f"expiry {self.cltv_expiry} is not a height", "BOLT 2: update_add_htlc")

    @property
    def amount_sat(self) -> int:
        """What an output of it is worth (sat): rounded down."""
        return self.amount_msat // 1000

    def of_other(self) -> Htlc:
        """The same payment as the other side's commitments have it."""
        offered = self.direction is Direction.OFFERED
        return replace(self, direction=Direction.RECEIVED if offered else Direction.OFFERED)


def to_local_tree(keys: CommitmentKeys, to_self_delay: int) -> ScriptTree:
    """The one leaf of ``to_local`` and of second stages: the holder, ``to_self_delay`` blocks after confirmation."""
    return ScriptTree((csv_leaf(keys.holder_delayed[1:], to_self_delay),))


def htlc_tree(keys: CommitmentKeys, htlc: Htlc) -> ScriptTree:
    """The leaves of an HTLC output: ``TIMEOUT_LEAF`` and ``SUCCESS_LEAF``."""
    holder, other = keys.holder_htlc[1:], keys.other_htlc[1:]
    digest = bytes(ripemd160(htlc.payment_hash))
    if htlc.direction is Direction.OFFERED:
        return ScriptTree((two_keys_leaf(holder, other), key_and_preimage_leaf(other, digest)))
    return ScriptTree((cltv_leaf(other, htlc.cltv_expiry), _success_leaf(holder, other, digest)))


def _success_leaf(holder: bytes, other: bytes, digest: bytes) -> bytes:
    """``SIZE 32 EQUALVERIFY HASH160 <hash> EQUALVERIFY <holder> CHECKSIGVERIFY <other> CHECKSIG``."""
    check_preimage = [OP_SIZE, 32, OP_EQUALVERIFY, OP_HASH160, digest, OP_EQUALVERIFY]
    return bytes(CScript([*check_preimage, holder, OP_CHECKSIGVERIFY, other, OP_CHECKSIG]))
