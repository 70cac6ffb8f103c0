"""HTLC outputs of a commitment, and their second stage (BOLT zero-fee taproot channels, D-13).

'Offered' and 'received' are as the holder of the commitment sees it. The internal key is the revocation key, so a
revoked output falls to the other side by key path alone; the two leaves are the timeout and the success.

What is locked to a point instead of a hash is taken with a signature by the point's secret, which every payer of such
a lock knows already: the client's own factory key, in an assisted exit (AXT-1). The spend shows nobody the secret.
"""

from __future__ import annotations

import hashlib
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
from superscalar_ref.errors import InputError, SigningError
from superscalar_ref.realise.channel import CommitmentKeys
from superscalar_ref.signing.keys import Randomness, SecretKey, check_public_key, system_randomness

TIMEOUT_LEAF = 0
SUCCESS_LEAF = 1
POINT_BYTES = 33


class Direction(StrEnum):
    """Who pays, as the holder of the commitment sees it."""

    OFFERED = "offered"
    RECEIVED = "received"


@dataclass(frozen=True)
class Htlc:
    """A payment in flight: ``amount_msat`` to whoever knows the preimage of the 32-byte ``payment_hash``.

    33 bytes there are a point, and its secret takes the place of the preimage.
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
        if len(self.payment_hash) == POINT_BYTES:
            check_public_key(self.payment_hash, place)
        elif len(self.payment_hash) != 32:
            raise InputError(place, f"payment hash has {len(self.payment_hash)} bytes", "BOLT 2: 32 bytes")
        if not 0 < self.cltv_expiry < 500_000_000:
            raise InputError(place, f"expiry {self.cltv_expiry} is not a height", "BOLT 2: update_add_htlc")

    @property
    def point(self) -> bytes | None:
        """The 33-byte point that it is locked to; None when it is locked to a hash."""
        return self.payment_hash if len(self.payment_hash) == POINT_BYTES else None

    def opening(self, secret: bytes, message: bytes, randomness: Randomness = system_randomness) -> bytes:
        """What the witness carries for the 32 secret bytes: the preimage, or a signature of the spend's 32 bytes."""
        return secret if self.point is None else SecretKey(secret).sign(message, randomness)

    @property
    def amount_sat(self) -> int:
        """What an output of it is worth (sat): rounded down."""
        return self.amount_msat // 1000

    def of_other(self) -> Htlc:
        """The same payment as the other side's commitments have it."""
        offered = self.direction is Direction.OFFERED
        return replace(self, direction=Direction.RECEIVED if offered else Direction.OFFERED)


def opens(lock: bytes, secret: bytes) -> bool:
    """Whether 32 secret bytes are the preimage of a 32-byte hash, or the secret of a 33-byte point."""
    if len(secret) != 32:
        return False
    if len(lock) == POINT_BYTES:
        try:
            return SecretKey(secret).public == lock
        except SigningError:
            return False
    return hashlib.sha256(secret).digest() == lock


def to_local_tree(keys: CommitmentKeys, to_self_delay: int) -> ScriptTree:
    """The one leaf of ``to_local`` and of second stages: the holder, ``to_self_delay`` blocks after confirmation."""
    return ScriptTree((csv_leaf(keys.holder_delayed[1:], to_self_delay),))


def htlc_tree(keys: CommitmentKeys, htlc: Htlc) -> ScriptTree:
    """The leaves of an HTLC output: ``TIMEOUT_LEAF`` and ``SUCCESS_LEAF``."""
    holder, other = keys.holder_htlc[1:], keys.other_htlc[1:]
    if htlc.point is not None:
        return _point_tree(holder, other, htlc, htlc.point[1:])
    digest = bytes(ripemd160(htlc.payment_hash))
    if htlc.direction is Direction.OFFERED:
        return ScriptTree((two_keys_leaf(holder, other), key_and_preimage_leaf(other, digest)))
    return ScriptTree((cltv_leaf(other, htlc.cltv_expiry), _success_leaf(holder, other, digest)))


def _point_tree(holder: bytes, other: bytes, htlc: Htlc, point: bytes) -> ScriptTree:
    """As for a hash, with ``<point> CHECKSIGVERIFY`` for the preimage."""
    if htlc.direction is Direction.OFFERED:
        return ScriptTree((two_keys_leaf(holder, other), two_keys_leaf(point, other)))
    success = CScript([point, OP_CHECKSIGVERIFY, holder, OP_CHECKSIGVERIFY, other, OP_CHECKSIG])
    return ScriptTree((cltv_leaf(other, htlc.cltv_expiry), bytes(success)))


def _success_leaf(holder: bytes, other: bytes, digest: bytes) -> bytes:
    """``SIZE 32 EQUALVERIFY HASH160 <hash> EQUALVERIFY <holder> CHECKSIGVERIFY <other> CHECKSIG``."""
    check_preimage = [OP_SIZE, 32, OP_EQUALVERIFY, OP_HASH160, digest, OP_EQUALVERIFY]
    return bytes(CScript([*check_preimage, holder, OP_CHECKSIGVERIFY, other, OP_CHECKSIG]))
