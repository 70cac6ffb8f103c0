"""The weight of a transaction before it is signed: what fees are computed from (BIP-141)."""

from __future__ import annotations

from collections.abc import Sequence

from superscalar_ref.bitcoin.transaction import Transaction
from superscalar_ref.errors import InputError

KEY_PATH = (64,)
"""Witness element sizes (bytes) of a key-path spend with SIGHASH_DEFAULT (BIP-341)."""
NO_WITNESS: tuple[int, ...] = ()
"""A P2A input carries nothing (BIP-433)."""


def script_path(script: bytes, depth: int = 0, signatures: int = 1) -> tuple[int, ...]:
    """Witness element sizes (bytes) of a script-path spend: signatures, script, control block (of ``depth`` hashes)."""
    return (64,) * signatures + (len(script), 33 + 32 * depth)


def signed_weight(transaction: Transaction, witness_sizes: Sequence[Sequence[int]]) -> int:
    """The weight units that ``transaction`` will have with witnesses of these element sizes, one tuple an input.

    Raises InputError when there is not one tuple for each input.
    """
    if len(witness_sizes) != len(transaction.inputs):
        raise InputError("witness sizes", f"{len(witness_sizes)} given for {len(transaction.inputs)} inputs", "BIP-141")
    if not any(witness_sizes):
        return 4 * len(transaction.stripped)
    witness = 2 + sum(_stack_size(sizes) for sizes in witness_sizes)
    return 4 * len(transaction.stripped) + witness


def signed_vbytes(transaction: Transaction, witness_sizes: Sequence[Sequence[int]]) -> int:
    """The same in virtual bytes, rounded up."""
    return -(-signed_weight(transaction, witness_sizes) // 4)


def _stack_size(sizes: Sequence[int]) -> int:
    return _compact(len(sizes)) + sum(_compact(size) + size for size in sizes)


def _compact(number: int) -> int:
    return 1 if number < 0xFD else 3 if number <= 0xFFFF else 5
