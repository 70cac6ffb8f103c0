"""Scripts: pay-to-anchor, and the tapscript leaves of one key and a lock (BIP-342, BIP-433, BIP-112, BIP-65)."""

from __future__ import annotations

from bitcoin.core.script import (
    OP_1,
    OP_CHECKLOCKTIMEVERIFY,
    OP_CHECKSIG,
    OP_CHECKSIGVERIFY,
    OP_EQUAL,
    OP_EQUALVERIFY,
    OP_HASH160,
    OP_NOP3,
    OP_SIZE,
    CScript,
)

from superscalar_ref.bitcoin.locks import height_lock_time, relative_lock_sequence
from superscalar_ref.errors import InputError

# python-bitcoinlib 0.12.2 knows the opcode only by the name it had before BIP-112.
OP_CHECKSEQUENCEVERIFY = OP_NOP3

P2A = bytes(CScript([OP_1, bytes.fromhex("4e73")]))
"""Pay-to-anchor: witness version 1 with the program 0x4e73; anyone may spend it (BIP-433). 4 bytes."""


def _x_only(key: bytes) -> bytes:
    if len(key) != 32:
        raise InputError("script key", f"{len(key)} bytes instead of 32", "BIP-342: x-only keys")
    return key


def csv_leaf(key: bytes, blocks: int) -> bytes:
    """``<key> CHECKSIGVERIFY <blocks> CHECKSEQUENCEVERIFY`` for a 32-byte x-only key.

    Raises InputError for a wrong key length or a lock outside 1..65535 blocks: a zero would leave an empty stack top
    (R-LOCK-SCRIPT).
    """
    if blocks == 0:
        raise InputError("relative lock", "a lock of 0 blocks leaves false on the stack", "BIP-112")
    return bytes(CScript([_x_only(key), OP_CHECKSIGVERIFY, relative_lock_sequence(blocks), OP_CHECKSEQUENCEVERIFY]))


def cltv_leaf(key: bytes, height: int) -> bytes:
    """``<key> CHECKSIGVERIFY <height> CHECKLOCKTIMEVERIFY`` for a 32-byte x-only key.

    Raises InputError for a wrong key length or a height outside 1..499,999,999.
    """
    if height == 0:
        raise InputError("nLockTime", "a lock at height 0 leaves false on the stack", "BIP-65")
    return bytes(CScript([_x_only(key), OP_CHECKSIGVERIFY, height_lock_time(height), OP_CHECKLOCKTIMEVERIFY]))


def checksig_leaf(key: bytes) -> bytes:
    """``<key> CHECKSIG`` for a 32-byte x-only key."""
    return bytes(CScript([_x_only(key), OP_CHECKSIG]))


def two_keys_leaf(first: bytes, second: bytes) -> bytes:
    """``<first> CHECKSIGVERIFY <second> CHECKSIG``: both must sign."""
    return bytes(CScript([_x_only(first), OP_CHECKSIGVERIFY, _x_only(second), OP_CHECKSIG]))


def key_and_preimage_leaf(key: bytes, payment_hash160: bytes) -> bytes:
    """``<key> CHECKSIGVERIFY SIZE 32 EQUALVERIFY HASH160 <hash> EQUAL``: a signature and a 32-byte preimage."""
    if len(payment_hash160) != 20:
        raise InputError("payment hash", f"{len(payment_hash160)} bytes instead of 20", "HASH160")
    return bytes(
        CScript(
            [
                _x_only(key),
                OP_CHECKSIGVERIFY,
                OP_SIZE,
                32,
                OP_EQUALVERIFY,
                OP_HASH160,
                payment_hash160,
                OP_EQUAL,
            ]
        )
    )
