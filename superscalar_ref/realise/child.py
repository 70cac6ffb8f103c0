"""Child pays for parent: it spends an output of a transaction, and so pays the fee that its parent lacks.

Source: BIP-431 (TRUC), BIP-433 (pay-to-anchor), P1143#13.
"""

from __future__ import annotations

from superscalar_ref.bitcoin.locks import NO_RELATIVE_LOCK
from superscalar_ref.bitcoin.script import P2A
from superscalar_ref.bitcoin.sighash import taproot_sighash
from superscalar_ref.bitcoin.transaction import Transaction, TxInput, TxOutput, build, dust_limit_sat, with_witness
from superscalar_ref.errors import InputError
from superscalar_ref.protocol.fees import Paid, child_fee
from superscalar_ref.protocol.weight import INPUT_BYTES, key_path_vbytes
from superscalar_ref.realise.book import CoinOutput
from superscalar_ref.signing.keys import Randomness, SecretKey, system_randomness

TRUC_CHILD_MAX_VBYTES = 1_000
"""A child of an unconfirmed version-3 transaction is not relayed above this (BIP-431, rule 5)."""
CHILD_VBYTES = key_path_vbytes(1, anchors=0) + INPUT_BYTES + 1
"""The child's size: a key-path input, the anchor's input with an empty witness, one P2TR output."""
OWN_CHILD_VBYTES = key_path_vbytes(1, anchors=0)
"""The size of a child that spends one key-path output of its parent, and nothing else."""


def anchor_of(parent: Transaction) -> int:
    """The index of a transaction's anchor. Raises ``InputError`` when it has none."""
    for index, output in enumerate(parent.outputs):
        if output.script_pubkey == P2A:
            return index
    raise InputError(f"transaction {parent.txid}", "has no anchor", "BIP-433")


def bump(
    parent: Transaction,
    parent_fee: int,
    coin: CoinOutput,
    key: SecretKey,
    payout_script: bytes,
    feerate: int,
    randomness: Randomness = system_randomness,
) -> Transaction:
    """A child that raises parent and child together to ``feerate`` (sat/vB), paid from ``coin`` (BIP-86 under ``key``).

    Raises ``InputError`` (R-FEE) when the coin is too small for the fee and an output that is not dust.
    """
    index = anchor_of(parent)
    anchor = parent.outputs[index]
    fee = child_fee(Paid(parent.vbytes, parent_fee), CHILD_VBYTES, feerate)
    place = f"coin of {coin.output.amount_sat} sat"
    rest = change_of(coin.output.amount_sat + anchor.amount_sat - fee, fee, payout_script, place)
    inputs = [TxInput(parent.txid, index, NO_RELATIVE_LOCK), TxInput(coin.txid, coin.index, NO_RELATIVE_LOCK)]
    child = build(parent.version, inputs, [rest], 0)
    message = taproot_sighash(child, 1, (anchor, coin.output))
    return with_witness(child, 1, (key.sign_taproot(message, None, randomness),))


def bump_from(
    parent: Transaction,
    parent_fee: int,
    index: int,
    key: SecretKey,
    payout_script: bytes,
    feerate: int,
    randomness: Randomness = system_randomness,
) -> Transaction:
    """A child that does the same with the parent's own output ``index`` (BIP-86 under ``key``), and needs no coin.

    Raises ``InputError`` (R-FEE) when that output is too small for the fee and an output that is not dust.
    """
    output = parent.outputs[index]
    fee = child_fee(Paid(parent.vbytes, parent_fee), OWN_CHILD_VBYTES, feerate)
    rest = change_of(output.amount_sat - fee, fee, payout_script, f"output of {output.amount_sat} sat")
    child = build(parent.version, [TxInput(parent.txid, index, NO_RELATIVE_LOCK)], [rest], 0)
    message = taproot_sighash(child, 0, (output,))
    return with_witness(child, 0, (key.sign_taproot(message, None, randomness),))


def change_of(amount: int, fee: int, script: bytes, place: str) -> TxOutput:
    """A child's only output, of what its fee leaves (sat). Raises ``InputError`` (R-FEE) when that would be dust."""
    if amount < dust_limit_sat(script):
        raise InputError(place, f"cannot pay a fee of {fee} sat", "R-FEE")
    return TxOutput(amount, script)
