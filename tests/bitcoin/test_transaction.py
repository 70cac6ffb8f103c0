from __future__ import annotations

import pytest
from bitcoin.core import COutPoint, CTransaction, CTxIn, CTxInWitness, CTxOut, CTxWitness, b2lx, lx
from bitcoin.core.script import CScript, CScriptWitness
from hypothesis import given
from hypothesis import strategies as st

from superscalar_ref.bitcoin import script, taproot, transaction, weight
from superscalar_ref.bitcoin.transaction import MAX_MONEY_SAT, Transaction, TxInput, TxOutput, build, with_witness
from superscalar_ref.errors import InputError
from superscalar_ref.protocol.weight import key_path_vbytes, key_path_weight, lock_path_vbytes

P2TR = taproot.p2tr_script(bytes(32))
INPUT = TxInput("ab" * 32, 0)

hashes = st.binary(min_size=32, max_size=32).map(bytes.hex)
inputs = st.lists(
    st.builds(TxInput, hashes, st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)),
    min_size=1,
    max_size=4,
    unique_by=lambda i: (i.txid_hex, i.index),
)
outputs = st.lists(st.builds(TxOutput, st.integers(0, 10**12), st.binary(max_size=300)), min_size=1, max_size=300)
stacks = st.lists(st.binary(max_size=300), max_size=3).map(tuple)


def library_form(value: Transaction, witnesses: tuple[tuple[bytes, ...], ...]) -> CTransaction:
    """The same transaction built by python-bitcoinlib, which reads nVersion as signed."""
    return CTransaction(
        [CTxIn(COutPoint(lx(one.txid_hex), one.index), nSequence=one.sequence) for one in value.inputs],
        [CTxOut(one.amount_sat, CScript(one.script_pubkey)) for one in value.outputs],
        value.lock_time,
        value.version - ((value.version & 0x80000000) << 1),
        CTxWitness(tuple(CTxInWitness(CScriptWitness(stack)) for stack in witnesses)),
    )


@given(st.integers(0, 2**32 - 1), inputs, outputs, st.integers(0, 2**32 - 1), st.data())
def test_bytes_round_trip_and_sizes_are_known_before_signing(
    version: int, ins: list[TxInput], outs: list[TxOutput], lock_time: int, data: st.DataObject
) -> None:
    unsigned = build(version, ins, outs, lock_time)
    signed = unsigned
    witnesses = [data.draw(stacks) for _ in ins]
    for index, stack in enumerate(witnesses):
        signed = with_witness(signed, index, stack)
    assert transaction.from_hex(signed.hex) == signed
    assert signed.serialized == library_form(signed, signed.witnesses).serialize()
    assert signed.stripped == library_form(signed, ()).serialize()
    assert signed.txid == b2lx(library_form(signed, ()).GetTxid())
    assert transaction.from_bytes(unsigned.serialized) == unsigned
    assert signed.txid == unsigned.txid
    sizes = [[len(item) for item in stack] for stack in witnesses]
    assert weight.signed_weight(unsigned, sizes) == signed.weight
    assert weight.signed_vbytes(unsigned, sizes) == signed.vbytes


@pytest.mark.parametrize("size", [252, 253, 65_535, 65_536])
def test_the_length_of_a_witness_element_is_weighed_too(size: int) -> None:
    unsigned = build(3, [INPUT], [TxOutput(330, P2TR)])
    assert weight.signed_weight(unsigned, [[size]]) == with_witness(unsigned, 0, [bytes(size)]).weight


@pytest.mark.parametrize(("p2tr", "anchors", "ins"), [(1, 1, 1), (2, 1, 1), (1, 0, 3), (252, 1, 1), (300, 1, 2)])
def test_the_planner_s_weights_are_those_of_the_bytes(p2tr: int, anchors: int, ins: int) -> None:
    outs = [TxOutput(1_000, P2TR)] * p2tr + [TxOutput(240, script.P2A)] * anchors
    signed = build(3, [TxInput("cd" * 32, i) for i in range(ins)], outs)
    for index in range(ins):
        signed = with_witness(signed, index, [bytes(64)])
    assert signed.weight == key_path_weight(p2tr, anchors, ins)
    assert signed.vbytes == key_path_vbytes(p2tr, anchors, ins)


@pytest.mark.parametrize("lock", [1, 16, 17, 127, 128, 255, 256, 32_767, 32_768, 65_535])
def test_the_planner_s_weight_of_a_lock_path(lock: int) -> None:
    unsigned = build(3, [TxInput("cd" * 32, 0, lock)], [TxOutput(1_000, P2TR)])
    leaf = script.csv_leaf(bytes(32), lock)
    assert weight.signed_vbytes(unsigned, [weight.script_path(leaf)]) == lock_path_vbytes(lock)
    signed = with_witness(unsigned, 0, [bytes(64), leaf, bytes(33)])
    assert signed.vbytes == lock_path_vbytes(lock)


def test_the_order_of_bytes() -> None:
    one = build(3, [TxInput("00" * 31 + "01", 1)], [TxOutput(1_000, script.P2A)])
    assert one.stripped.hex() == (
        "03000000" + "01" + "01" + "00" * 31 + "01000000" + "00" + "fdffffff"
        "01" + "e803000000000000" + "0451024e73" + "00000000"
    )


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: build(3, [], [TxOutput(1, P2TR)]), "no input"),
        (lambda: build(3, [INPUT], []), "no output"),
        (lambda: build(-1, [INPUT], [TxOutput(1, P2TR)]), "nVersion"),
        (lambda: build(3, [INPUT], [TxOutput(1, P2TR)], 2**32), "nLockTime"),
        (lambda: build(3, [INPUT, INPUT], [TxOutput(1, P2TR)]), "twice"),
        (lambda: build(3, [TxInput("AB" * 32, 0), INPUT], [TxOutput(1, P2TR)]), "twice"),
        (lambda: build(3, [TxInput("ab", 0)], [TxOutput(1, P2TR)]), "input 0"),
        (lambda: build(3, [TxInput("zz" * 32, 0)], [TxOutput(1, P2TR)]), "not hex"),
        (lambda: build(3, [TxInput("ab" * 32, -1)], [TxOutput(1, P2TR)]), "index"),
        (lambda: build(3, [TxInput("ab" * 32, 0, 2**32)], [TxOutput(1, P2TR)]), "nSequence"),
        (lambda: build(3, [INPUT], [TxOutput(-1, P2TR)]), "output 0"),
        (lambda: build(3, [INPUT], [TxOutput(MAX_MONEY_SAT + 1, P2TR)]), "MAX_MONEY"),
        (lambda: build(3, [INPUT], [TxOutput(MAX_MONEY_SAT, P2TR), TxOutput(1, P2TR)]), "outputs"),
        (lambda: with_witness(build(3, [INPUT], [TxOutput(1, P2TR)]), 1, []), "input 1"),
        (lambda: weight.signed_weight(build(3, [INPUT], [TxOutput(1, P2TR)]), []), "witness sizes"),
    ],
)
def test_impossible_transactions_are_refused(make: object, says: str) -> None:
    with pytest.raises(InputError, match=says):
        make()  # type: ignore[operator]


def _hex() -> str:
    return with_witness(build(3, [INPUT], [TxOutput(1, P2TR)]), 0, [bytes(64)]).hex


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "zz",
        "00",
        _hex()[:-2],
        _hex() + "00",
        "03000000" + "ff" * 9,
        "0300000000010000000000",
        # The number of inputs in three bytes; a witness marked present, but empty.
        "02000000fd0100" + "ab" * 32 + "0000000000ffffffff0100000000000000000000000000",
        "02000000000101" + "ab" * 32 + "0000000000ffffffff010000000000000000000000000000",
    ],
)
def test_bytes_that_are_no_transaction(text: str) -> None:
    with pytest.raises(InputError, match="transaction"):
        transaction.from_hex(text)


@given(st.binary(max_size=200))
def test_no_bytes_crash_the_parser(raw: bytes) -> None:
    try:
        parsed = transaction.from_bytes(raw)
    except InputError:
        return
    assert isinstance(parsed, Transaction)


def test_a_script_sig_is_refused() -> None:
    raw = bytes.fromhex(
        "02000000" + "01" + "ab" * 32 + "00000000" + "0151" + "ffffffff" + "01" + "00" * 8 + "00" + "00" * 4
    )
    with pytest.raises(InputError, match="scriptSig"):
        transaction.from_bytes(raw)


def test_dust() -> None:
    assert transaction.dust_limit_sat(script.P2A) == 240
    assert transaction.dust_limit_sat(P2TR) == 330
    assert transaction.dust_limit_sat(b"\x00\x14" + bytes(20)) == 294
    assert transaction.dust_limit_sat(b"\x76\xa9\x14" + bytes(20) + b"\x88\xac") == 546
    assert transaction.dust_limit_sat(b"\x60\x28" + bytes(40)) == 354, "the last version and the largest program"
    assert transaction.dust_limit_sat(b"\x51\x29" + bytes(41)) == 600, "a program is at most 40 bytes"
    assert transaction.dust_limit_sat(b"\x61\x02" + bytes(2)) == 483, "no version"
    transaction.check_no_dust(build(3, [INPUT], [TxOutput(330, P2TR), TxOutput(240, script.P2A)]))
    with pytest.raises(InputError, match="output 1: 239 sat"):
        transaction.check_no_dust(build(3, [INPUT], [TxOutput(330, P2TR), TxOutput(239, script.P2A)]))
