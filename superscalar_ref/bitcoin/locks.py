"""Relative and absolute locks: the numbers that go into ``nSequence`` and ``nLockTime`` (BIP-68, BIP-65)."""

from __future__ import annotations

from superscalar_ref.errors import InputError

NO_RELATIVE_LOCK = 0xFFFFFFFD
"""BIP-68 is off, nLockTime is enforced, replacement is signalled (BIP-125)."""
FINAL = 0xFFFFFFFF
"""BIP-68 is off, and nLockTime is ignored when every input says so."""
MAX_RELATIVE_BLOCKS = 0xFFFF
"""BIP-68 keeps 16 bits for the lock."""
LOCK_TIME_THRESHOLD = 500_000_000
"""An nLockTime below this is a height, from here on a time."""

_DISABLED = 1 << 31
_SECONDS = 1 << 22


def relative_lock_sequence(blocks: int) -> int:
    """The ``nSequence`` that waits ``blocks`` blocks after the spent output confirmed (BIP-68).

    Raises InputError when ``blocks`` is negative or does not fit in 16 bits.
    """
    if not 0 <= blocks <= MAX_RELATIVE_BLOCKS:
        raise InputError("relative lock", f"{blocks} blocks is not within 0..{MAX_RELATIVE_BLOCKS}", "BIP-68: 16 bits")
    return blocks


def relative_lock_blocks(sequence: int) -> int | None:
    """The blocks that ``nSequence`` waits for, or None when it switches BIP-68 off.

    Raises InputError for a lock in seconds, which nothing here uses, and for a number of more than 32 bits.
    """
    if not 0 <= sequence <= FINAL:
        raise InputError("nSequence", f"{sequence} is not within 32 bits", "BIP-68")
    if sequence & _DISABLED:
        return None
    if sequence & _SECONDS:
        raise InputError("nSequence", f"0x{sequence:08x} is a lock in seconds, not in blocks", "BIP-68")
    return sequence & MAX_RELATIVE_BLOCKS


def height_lock_time(height: int) -> int:
    """The ``nLockTime`` of a transaction that is valid in blocks above ``height``; 0 for none.

    Raises InputError when the number would not be read as a height.
    """
    if not 0 <= height < LOCK_TIME_THRESHOLD:
        raise InputError("nLockTime", f"{height} is not a height within 0..{LOCK_TIME_THRESHOLD - 1}", "nLockTime")
    return height
