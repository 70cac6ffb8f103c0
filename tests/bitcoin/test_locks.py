from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superscalar_ref.bitcoin import locks, script
from superscalar_ref.errors import InputError


@given(st.integers(0, 65535))
def test_relative_locks_round_trip(blocks: int) -> None:
    assert locks.relative_lock_blocks(locks.relative_lock_sequence(blocks)) == blocks


@pytest.mark.parametrize("blocks", [-1, 65536, 71856])
def test_locks_that_do_not_fit(blocks: int) -> None:
    with pytest.raises(InputError, match="BIP-68"):
        locks.relative_lock_sequence(blocks)


def test_sequences_without_a_lock_and_in_seconds() -> None:
    assert locks.relative_lock_blocks(locks.NO_RELATIVE_LOCK) is None
    assert locks.relative_lock_blocks(locks.FINAL) is None
    for sequence in (1 << 22 | 5, -1, 1 << 32):
        with pytest.raises(InputError, match="nSequence"):
            locks.relative_lock_blocks(sequence)


def test_heights() -> None:
    assert locks.height_lock_time(499_999_999) == 499_999_999
    assert locks.height_lock_time(0) == 0, "none"
    for height in (-1, 500_000_000):
        with pytest.raises(InputError, match="not a height"):
            locks.height_lock_time(height)


@pytest.mark.parametrize(
    ("blocks", "push"), [(1, "51"), (16, "60"), (17, "0111"), (127, "017f"), (128, "028000"), (65535, "03ffff00")]
)
def test_pushes_are_minimal(blocks: int, push: str) -> None:
    key = b"\x02" * 32
    assert script.csv_leaf(key, blocks).hex() == "20" + key.hex() + "ad" + push + "b2"
    assert script.cltv_leaf(key, blocks).hex() == "20" + key.hex() + "ad" + push + "b1"


@pytest.mark.parametrize("blocks", [-1, 0, 65536])
def test_csv_leaves_that_cannot_be(blocks: int) -> None:
    with pytest.raises(InputError, match="relative lock"):
        script.csv_leaf(b"\x02" * 32, blocks)


@pytest.mark.parametrize("height", [-1, 0, 500_000_000])
def test_cltv_leaves_that_cannot_be(height: int) -> None:
    with pytest.raises(InputError, match="nLockTime"):
        script.cltv_leaf(b"\x02" * 32, height)


def test_lengths_of_keys_and_hashes() -> None:
    with pytest.raises(InputError, match="33 bytes"):
        script.csv_leaf(b"\x02" * 33, 1)
    with pytest.raises(InputError, match="payment hash"):
        script.key_and_preimage_leaf(b"\x02" * 32, bytes(32))
