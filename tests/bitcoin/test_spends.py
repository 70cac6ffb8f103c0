"""BIP-341 and BIP-342 by way of Bitcoin Core's code: what we build it accepts, what is wrong it refuses."""

from __future__ import annotations

from dataclasses import replace

import pytest
from bitcoin.core import Hash160
from hypothesis import given, settings
from hypothesis import strategies as st

from superscalar_ref.bitcoin import script, taproot
from superscalar_ref.bitcoin.locks import height_lock_time, relative_lock_sequence
from superscalar_ref.bitcoin.sighash import SigHash, signature_bytes, taproot_sighash
from superscalar_ref.bitcoin.transaction import Transaction, TxInput, TxOutput, build, with_witness
from superscalar_ref.errors import InputError
from superscalar_ref.signing.keys import SecretKey
from tests.bitcoin.core import core_accepts

ALICE = SecretKey(b"\x0a" * 32)
BOB = SecretKey(b"\x0b" * 32)
CSV = script.csv_leaf(BOB.x_only, 144)
CLTV = script.cltv_leaf(BOB.x_only, 800_000)
TREES = [None, taproot.ScriptTree((CSV,)), taproot.ScriptTree((CSV, CLTV))]


def _spent(tree: taproot.ScriptTree | None, key: SecretKey = ALICE) -> list[TxOutput]:
    root = None if tree is None else tree.merkle_root
    return [
        TxOutput(50_000, taproot.p2tr_from_internal(key.x_only, root)),
        TxOutput(7_000, taproot.p2tr_from_internal(BOB.x_only)),
    ]


def _unsigned(sequence: int = 0xFFFFFFFD, lock_time: int = 0) -> Transaction:
    inputs = [TxInput("11" * 32, 3, sequence), TxInput("22" * 32, 0, 0xFFFFFFFD)]
    outputs = [TxOutput(40_000, script.P2A), TxOutput(10_000, taproot.p2tr_from_internal(BOB.x_only))]
    return build(3, inputs, outputs, lock_time)


def _key_path(
    transaction: Transaction,
    spent: list[TxOutput],
    tree: taproot.ScriptTree | None,
    hash_type: SigHash = SigHash.DEFAULT,
) -> Transaction:
    message = taproot_sighash(transaction, 0, spent, hash_type)
    root = None if tree is None else tree.merkle_root
    return with_witness(transaction, 0, [signature_bytes(ALICE.sign_taproot(message, root), hash_type)])


def _script_path(
    transaction: Transaction, spent: list[TxOutput], tree: taproot.ScriptTree, leaf: int, signer: SecretKey = BOB
) -> Transaction:
    opened = tree.scripts[leaf]
    message = taproot_sighash(transaction, 0, spent, leaf_hash=taproot.tap_leaf(opened))
    control = tree.control_block(ALICE.x_only, leaf)
    return with_witness(transaction, 0, [signer.sign(message), opened, control])


@pytest.mark.parametrize("tree", TREES)
@pytest.mark.parametrize("hash_type", list(SigHash))
def test_key_path_with_every_hash_type(tree: taproot.ScriptTree | None, hash_type: SigHash) -> None:
    spent = _spent(tree)
    assert core_accepts(_key_path(_unsigned(), spent, tree, hash_type), 0, spent)


@pytest.mark.parametrize("hash_type", list(SigHash))
def test_what_a_hash_type_leaves_free(hash_type: SigHash) -> None:
    spent = _spent(None)
    signed = _key_path(_unsigned(), spent, None, hash_type)
    other_output = replace(signed, outputs=(signed.outputs[0], replace(signed.outputs[1], amount_sat=9_999)))
    own_output = replace(signed, outputs=(replace(signed.outputs[0], amount_sat=1), signed.outputs[1]))
    other_input = replace(signed, inputs=(signed.inputs[0], replace(signed.inputs[1], index=9)))
    base = SigHash(hash_type & 3)
    assert core_accepts(other_output, 0, spent) == (base in (SigHash.NONE, SigHash.SINGLE))
    assert core_accepts(own_output, 0, spent) == (base is SigHash.NONE)
    assert core_accepts(other_input, 0, spent) == bool(hash_type & 0x80)


def test_key_path_refused() -> None:
    spent = _spent(None)
    signed = _key_path(_unsigned(), spent, None)
    assert core_accepts(signed, 0, spent)
    wrong_amount = [replace(spent[0], amount_sat=50_001), spent[1]]
    assert not core_accepts(signed, 0, wrong_amount)
    other_spent_amount = [spent[0], replace(spent[1], amount_sat=7_001)]
    assert not core_accepts(signed, 0, other_spent_amount)
    assert not core_accepts(signed, 0, _spent(None, BOB))
    assert not core_accepts(signed, 0, _spent(TREES[1]))
    assert not core_accepts(replace(signed, version=2), 0, spent)
    assert not core_accepts(replace(signed, lock_time=1), 0, spent)
    wrong_type = with_witness(signed, 0, [signed.witnesses[0][0] + b"\x02"])
    assert not core_accepts(wrong_type, 0, spent)
    assert not core_accepts(with_witness(signed, 0, [signed.witnesses[0][0] + b"\x00"]), 0, spent)
    swapped = _key_path(_unsigned(), spent[::-1], None)
    assert not core_accepts(swapped, 0, spent)
    untweaked = with_witness(signed, 0, [ALICE.sign(taproot_sighash(signed, 0, spent))])
    assert not core_accepts(untweaked, 0, spent)


@pytest.mark.parametrize("tree", TREES[1:])
def test_csv_path(tree: taproot.ScriptTree) -> None:
    spent = _spent(tree)
    ripe = _unsigned(relative_lock_sequence(144))
    signed = _script_path(ripe, spent, tree, 0)
    assert core_accepts(signed, 0, spent)
    assert not core_accepts(_script_path(_unsigned(relative_lock_sequence(143)), spent, tree, 0), 0, spent)
    assert not core_accepts(_script_path(_unsigned(), spent, tree, 0), 0, spent)
    assert not core_accepts(_script_path(ripe, spent, tree, 0, ALICE), 0, spent)
    signature, opened, control = signed.witnesses[0]
    bad_controls = [
        bytes([control[0] ^ 1]) + control[1:],
        control[:1] + BOB.x_only + control[33:],
        control + bytes(32),
        control[:-1],
    ]
    for bad in bad_controls:
        assert not core_accepts(with_witness(signed, 0, [signature, opened, bad]), 0, spent)
    assert not core_accepts(with_witness(signed, 0, [signature, CLTV, control]), 0, spent)
    key_path_hash = BOB.sign(taproot_sighash(ripe, 0, spent))
    assert not core_accepts(with_witness(signed, 0, [key_path_hash, opened, control]), 0, spent)


def test_cltv_path() -> None:
    tree = taproot.ScriptTree((CSV, CLTV))
    spent = _spent(tree)
    for lock_time, accepted in ((799_999, False), (800_000, True), (800_001, True)):
        signed = _script_path(_unsigned(lock_time=height_lock_time(lock_time)), spent, tree, 1)
        assert core_accepts(signed, 0, spent) is accepted
    final = _unsigned(sequence=0xFFFFFFFF, lock_time=800_000)
    assert not core_accepts(_script_path(final, spent, tree, 1), 0, spent)


@settings(deadline=None, max_examples=40)
@given(
    secret=st.binary(min_size=32, max_size=32).filter(lambda s: 0 < int.from_bytes(s, "big") < 2**255),
    leaves=st.integers(1, 5),
    data=st.data(),
)
def test_any_leaf_of_any_tree_opens(secret: bytes, leaves: int, data: st.DataObject) -> None:
    key = SecretKey(secret)
    scripts = tuple(script.csv_leaf(key.x_only, 1 + 20 * i) for i in range(leaves))
    tree = taproot.ScriptTree(scripts)
    leaf = data.draw(st.integers(0, leaves - 1))
    spent = [TxOutput(1_000, tree.script_pubkey(key.x_only))]
    sequence = relative_lock_sequence(1 + 20 * leaf)
    unsigned = build(2, [TxInput("33" * 32, 0, sequence)], [TxOutput(500, script.P2A)])
    message = taproot_sighash(unsigned, 0, spent, leaf_hash=taproot.tap_leaf(scripts[leaf]))
    stack = [key.sign(message), scripts[leaf], tree.control_block(key.x_only, leaf)]
    assert core_accepts(with_witness(unsigned, 0, stack), 0, spent)
    stack[0] = key.sign(bytes(32))
    assert not core_accepts(with_witness(unsigned, 0, stack), 0, spent)


def test_annex_is_signed() -> None:
    spent = _spent(None)
    annex = b"\x50anything"
    message = taproot_sighash(_unsigned(), 0, spent, annex=annex)
    signed = with_witness(_unsigned(), 0, [ALICE.sign_taproot(message), annex])
    assert core_accepts(signed, 0, spent)
    assert not core_accepts(with_witness(signed, 0, [signed.witnesses[0][0], b"\x50other"]), 0, spent)


def test_p2a_needs_nothing() -> None:
    spent = [TxOutput(240, script.P2A)]
    unsigned = build(3, [TxInput("44" * 32, 1)], [TxOutput(0, b"\x6a")])
    assert core_accepts(unsigned, 0, spent)


def test_htlc_leaves() -> None:
    preimage = b"\x07" * 32
    hash160 = bytes(Hash160(preimage))
    success = script.key_and_preimage_leaf(BOB.x_only, hash160)
    timeout = script.two_keys_leaf(ALICE.x_only, BOB.x_only)
    tree = taproot.ScriptTree((timeout, success))
    spent = [TxOutput(9_000, tree.script_pubkey(ALICE.x_only))]
    unsigned = build(3, [TxInput("55" * 32, 0)], [TxOutput(8_000, script.P2A)])
    message = taproot_sighash(unsigned, 0, spent, leaf_hash=taproot.tap_leaf(success))
    control = tree.control_block(ALICE.x_only, 1)
    for shown, accepted in ((preimage, True), (b"\x08" * 32, False), (preimage + b"\x00", False)):
        stack = [shown, BOB.sign(message), success, control]
        assert core_accepts(with_witness(unsigned, 0, stack), 0, spent) is accepted
    message = taproot_sighash(unsigned, 0, spent, leaf_hash=taproot.tap_leaf(timeout))
    control = tree.control_block(ALICE.x_only, 0)
    stack = [BOB.sign(message), ALICE.sign(message), timeout, control]
    assert core_accepts(with_witness(unsigned, 0, stack), 0, spent)
    stack[0], stack[1] = stack[1], stack[0]
    assert not core_accepts(with_witness(unsigned, 0, stack), 0, spent)


def test_only_single_needs_an_output_of_the_same_index_and_every_32_bit_number_has_a_sighash() -> None:
    spent = [TxOutput(1_000, script.P2A)] * 2
    two = [TxInput("ab" * 32, 0), TxInput("cd" * 32, 0)]
    transaction = build(2**32 - 1, two, [TxOutput(330, script.P2A)], 2**32 - 1)
    for good in (SigHash.DEFAULT, SigHash.ALL, SigHash.NONE):
        assert len(taproot_sighash(transaction, 1, spent, good)) == 32
    for bad in (SigHash.SINGLE, SigHash.SINGLE_ANYONECANPAY):
        with pytest.raises(InputError, match="no output of the same index"):
            taproot_sighash(transaction, 1, spent, bad)


def test_sighash_bad_arguments() -> None:
    spent = _spent(None)
    unsigned = _unsigned()
    with pytest.raises(InputError, match="input 2"):
        taproot_sighash(unsigned, 2, spent)
    with pytest.raises(InputError, match="spent outputs"):
        taproot_sighash(unsigned, 0, spent[:1])
    one_output = build(3, unsigned.inputs, unsigned.outputs[:1])
    with pytest.raises(InputError, match="SINGLE"):
        taproot_sighash(one_output, 1, spent, SigHash.SINGLE)
    with pytest.raises(InputError, match="hash type"):
        taproot_sighash(unsigned, 0, spent, 0x04)  # type: ignore[arg-type]
