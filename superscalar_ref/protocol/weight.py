"""Exact weights of the project's transactions, as formulas of their numbers of outputs (BIP-141).

Every transaction of the tree has one form (D-5): inputs spent by key path with one 64-byte signature
(BIP-340, BIP-341, ``SIGHASH_DEFAULT``), P2TR outputs, and one P2A anchor (BIP-433). So its size is known
before a byte of it exists.
"""

from __future__ import annotations

WITNESS_SCALE = 4
"""Weight units of a byte outside the witness (BIP-141)."""
P2TR_OUTPUT_BYTES = 8 + 1 + 34
"""Amount, script length, ``OP_1 <32 bytes>``."""
ANCHOR_OUTPUT_BYTES = 8 + 1 + 4
"""Amount, script length, ``OP_1 <2 bytes>``."""
INPUT_BYTES = 36 + 1 + 4
"""Outpoint, empty scriptSig's length, nSequence."""
KEY_PATH_WITNESS_BYTES = 1 + 1 + 64
"""Number of items, length, signature without a sighash byte."""
TRUC_MAX_VBYTES = 10_000
"""The largest version-3 transaction that nodes relay (BIP-431, rule 4)."""


def compact_size_bytes(number: int) -> int:
    """Bytes of Bitcoin's variable-length whole number, for 0 ≤ ``number`` < 2³²."""
    if number < 0xFD:
        return 1
    return 3 if number <= 0xFFFF else 5


def key_path_weight(p2tr_outputs: int, anchors: int = 1, inputs: int = 1) -> int:
    """Weight units of a transaction with these numbers of key-path inputs, P2TR outputs and P2A anchors."""
    stripped = (
        4
        + compact_size_bytes(inputs)
        + inputs * INPUT_BYTES
        + compact_size_bytes(p2tr_outputs + anchors)
        + p2tr_outputs * P2TR_OUTPUT_BYTES
        + anchors * ANCHOR_OUTPUT_BYTES
        + 4
    )
    witness = 2 + inputs * KEY_PATH_WITNESS_BYTES
    return stripped * WITNESS_SCALE + witness


def key_path_vbytes(p2tr_outputs: int, anchors: int = 1, inputs: int = 1) -> int:
    """Virtual bytes of the same transaction: weight / 4, rounded up (BIP-141)."""
    return -(-key_path_weight(p2tr_outputs, anchors, inputs) // WITNESS_SCALE)


def most_outputs(vbytes: int = TRUC_MAX_VBYTES) -> int:
    """The most P2TR outputs of a transaction with one input and one anchor that stays within ``vbytes``."""
    count = (vbytes - key_path_vbytes(0)) // P2TR_OUTPUT_BYTES
    while key_path_vbytes(count) > vbytes:
        count -= 1
    return count


def lock_push_bytes(lock: int) -> int:
    """Bytes of the script push of a lock ``lock`` ≥ 1 (blocks or a height): minimal, as BIP-342 asks."""
    if lock <= 16:
        return 1
    return 1 + lock.bit_length() // 8 + 1


def lock_path_vbytes(lock: int) -> int:
    """Virtual bytes of a transaction that takes one output by its lock path to one P2TR output.

    The leaf is ``<key> CHECKSIGVERIFY <lock> CSV|CLTV``, alone in its tree, so the control block is 33 bytes (BIP-341).
    """
    script = 1 + 32 + 1 + lock_push_bytes(lock) + 1
    witness = 2 + 1 + (1 + 64) + (1 + script) + (1 + 33)
    stripped = 4 + 1 + INPUT_BYTES + 1 + P2TR_OUTPUT_BYTES + 4
    return -(-(stripped * WITNESS_SCALE + witness) // WITNESS_SCALE)
