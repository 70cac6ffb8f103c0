"""What a signature of a taproot input signs (BIP-341 key path, BIP-342 script path)."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from enum import IntEnum

from superscalar_ref.bitcoin.taproot import tagged_hash
from superscalar_ref.bitcoin.transaction import Transaction, TxOutput, outpoint_bytes, output_bytes, sized
from superscalar_ref.errors import InputError


class SigHash(IntEnum):
    """The hash types of BIP-341; DEFAULT signs what ALL signs and costs no byte."""

    DEFAULT = 0x00
    ALL = 0x01
    NONE = 0x02
    SINGLE = 0x03
    ALL_ANYONECANPAY = 0x81
    NONE_ANYONECANPAY = 0x82
    SINGLE_ANYONECANPAY = 0x83


_HASH_TYPES = frozenset(SigHash)


def taproot_sighash(
    transaction: Transaction,
    index: int,
    spent_outputs: Sequence[TxOutput],
    hash_type: SigHash = SigHash.DEFAULT,
    leaf_hash: bytes | None = None,
    annex: bytes | None = None,
) -> bytes:
    """The 32 bytes that a signature of input ``index`` signs.

    ``spent_outputs`` are the outputs that all inputs spend, in their order. ``leaf_hash`` is the 32-byte hash of
    the script that is opened (BIP-342), None for the key path.
    Raises InputError when an input, a spent output or a SINGLE output is missing.
    """
    _check(transaction, index, spent_outputs, hash_type)
    base = hash_type & 3
    anyone_can_pay = bool(hash_type & 0x80)
    parts = [bytes([0, hash_type]), struct.pack("<II", transaction.version, transaction.lock_time)]
    if not anyone_can_pay:
        parts.append(_sha256(b"".join(map(outpoint_bytes, transaction.inputs))))
        parts.append(_sha256(b"".join(struct.pack("<q", spent.amount_sat) for spent in spent_outputs)))
        parts.append(_sha256(b"".join(sized(spent.script_pubkey) for spent in spent_outputs)))
        parts.append(_sha256(b"".join(struct.pack("<I", i.sequence) for i in transaction.inputs)))
    if base not in (SigHash.NONE, SigHash.SINGLE):
        parts.append(_sha256(b"".join(map(output_bytes, transaction.outputs))))
    script_path = leaf_hash is not None
    parts.append(bytes([2 * script_path + (annex is not None)]))
    if anyone_can_pay:
        spent = spent_outputs[index]
        parts.append(outpoint_bytes(transaction.inputs[index]) + output_bytes(spent))
        parts.append(struct.pack("<I", transaction.inputs[index].sequence))
    else:
        parts.append(struct.pack("<I", index))
    if annex is not None:
        parts.append(_sha256(sized(annex)))
    if base == SigHash.SINGLE:
        parts.append(_sha256(output_bytes(transaction.outputs[index])))
    if leaf_hash is not None:
        # Key version 0; no OP_CODESEPARATOR has run.
        parts.append(leaf_hash + b"\x00" + b"\xff\xff\xff\xff")
    return tagged_hash("TapSighash", b"".join(parts))


def signature_bytes(signature: bytes, hash_type: SigHash = SigHash.DEFAULT) -> bytes:
    """The witness element: 64 bytes for DEFAULT, 65 with any other hash type (BIP-341)."""
    return signature if hash_type == SigHash.DEFAULT else signature + bytes([hash_type])


def _check(transaction: Transaction, index: int, spent: Sequence[TxOutput], hash_type: SigHash) -> None:
    if hash_type not in _HASH_TYPES:
        raise InputError("hash type", f"0x{hash_type:02x} is unknown", "BIP-341")
    if not 0 <= index < len(transaction.inputs):
        raise InputError(f"input {index}", f"there are {len(transaction.inputs)} inputs", "BIP-341")
    if len(spent) != len(transaction.inputs):
        raise InputError(
            "spent outputs", f"{len(spent)} given for {len(transaction.inputs)} inputs", "BIP-341: all of them"
        )
    if hash_type & 3 == SigHash.SINGLE and index >= len(transaction.outputs):
        raise InputError(f"input {index}", "SIGHASH_SINGLE has no output of the same index", "BIP-341")


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
