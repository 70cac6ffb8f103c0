"""The formulas of weight.py against transactions that python-bitcoinlib serialises."""

from __future__ import annotations

import pytest
from bitcoin.core import (
    COutPoint,
    CTransaction,
    CTxIn,
    CTxInWitness,
    CTxOut,
    CTxWitness,
)
from bitcoin.core.script import OP_1, CScript, CScriptWitness
from hypothesis import given
from hypothesis import strategies as st

from superscalar_ref.bitcoin import script
from superscalar_ref.protocol.weight import (
    TRUC_MAX_VBYTES,
    compact_size_bytes,
    key_path_vbytes,
    key_path_weight,
    lock_push_bytes,
    most_outputs,
)


def serialised_weight(p2tr_outputs: int, anchors: int, inputs: int) -> int:
    """Weight by BIP-141's definition: three times the size without witness, and once the whole size."""
    outputs = [CTxOut(10_000, CScript([OP_1, bytes(32)])) for _ in range(p2tr_outputs)]
    outputs += [CTxOut(240, CScript(bytes.fromhex("51024e73"))) for _ in range(anchors)]
    spends = [CTxIn(COutPoint(bytes([number + 1]) * 32, 0), CScript(), 144) for number in range(inputs)]
    witness = CTxWitness([CTxInWitness(CScriptWitness([bytes(64)])) for _ in range(inputs)])
    transaction = CTransaction(spends, outputs, 0, 3, witness)
    whole = len(transaction.serialize())
    stripped = len(CTransaction(spends, outputs, 0, 3).serialize())
    return 3 * stripped + whole


@pytest.mark.parametrize("outputs", [1, 2, 3, 8, 251, 252, 253, 300])
@pytest.mark.parametrize("anchors", [0, 1])
def test_weight_at_the_edges_of_the_output_count(outputs: int, anchors: int) -> None:
    assert key_path_weight(outputs, anchors) == serialised_weight(outputs, anchors, 1)


@given(st.integers(1, 400), st.integers(0, 1), st.integers(1, 200))
def test_weight_equals_the_serialised_bytes(outputs: int, anchors: int, inputs: int) -> None:
    weight = serialised_weight(outputs, anchors, inputs)
    assert key_path_weight(outputs, anchors, inputs) == weight
    assert key_path_vbytes(outputs, anchors, inputs) == -(-weight // 4)


def test_a_kickoff_with_one_output_takes_124_vbytes() -> None:
    assert key_path_vbytes(1) == 124


def test_most_outputs_is_the_last_that_fits_a_version_3_transaction() -> None:
    assert key_path_vbytes(most_outputs()) <= TRUC_MAX_VBYTES < key_path_vbytes(most_outputs() + 1)


def test_most_outputs_fills_a_limit_exactly() -> None:
    assert [most_outputs(key_path_vbytes(count)) for count in (1, 5, 20)] == [1, 5, 20]


@pytest.mark.parametrize("limit", [11_019, 11_020, 20_000])
def test_most_outputs_across_the_wider_count(limit: int) -> None:
    assert key_path_vbytes(most_outputs(limit)) <= limit < key_path_vbytes(most_outputs(limit) + 1)


@pytest.mark.parametrize(("number", "size"), [(0, 1), (252, 1), (253, 3), (65_535, 3), (65_536, 5)])
def test_compact_size(number: int, size: int) -> None:
    assert compact_size_bytes(number) == size


@pytest.mark.parametrize(
    ("lock", "size"), [(1, 1), (16, 1), (17, 2), (127, 2), (128, 3), (32_767, 3), (32_768, 4), (500_000, 4)]
)
def test_a_lock_is_pushed_in_the_fewest_bytes(lock: int, size: int) -> None:
    """BIP-342 asks for it: a number up to 16 is an opcode, another one is its length and its bytes."""
    assert lock_push_bytes(lock) == size == len(script.cltv_leaf(b"\x02" * 32, lock)) - 35
