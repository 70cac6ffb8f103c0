"""Child pays for parent: it spends a transaction's anchor and a coin, and so pays the fee that its parent lacks.

Source: BIP-431 (TRUC), BIP-433 (pay-to-anchor), P1143#13.
"""

from __future__ import annotations

from superscalar_ref.bitcoin.locks import NO_RELATIVE_LOCK
from superscalar_ref.bitcoin.script import P2A
from superscalar_ref.bitcoin.sighash import taproot_sighash
from superscalar_ref.bitcoin.transaction import Transaction, TxInput, TxOutput, build, dust_limit_sat, with_witness
from superscalar_ref.errors import InputError
from superscalar_ref.protocol.weight import INPUT_BYTES, key_path_vbytes
from superscalar_ref.realise.book import CoinOutput
from superscalar_ref.signing.keys import Randomness, SecretKey, system_randomness

TRUC_CHILD_MAX_VBYTES = 1_000
"""A child of an unconfirmed version-3 transaction is not relayed above this (BIP-431, rule 5)."""
CHILD_VBYTES = key_path_vbytes(1, anchors=0) + INPUT_BYTES + 1
"""The child's size: a key-path input, the anchor's input with an empty witness, one P2TR output."""


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
    fee = max(feerate * (parent.vbytes + CHILD_VBYTES) - parent_fee, feerate * CHILD_VBYTES)
    rest = coin.output.amount_sat + anchor.amount_sat - fee
    if rest < dust_limit_sat(payout_script):
        raise InputError(f"coin of {coin.output.amount_sat} sat", f"cannot pay a fee of {fee} sat", "R-FEE")
    inputs = [TxInput(parent.txid, index, NO_RELATIVE_LOCK), TxInput(coin.txid, coin.index, NO_RELATIVE_LOCK)]
    child = build(parent.version, inputs, [TxOutput(rest, payout_script)], 0)
    message = taproot_sighash(child, 1, (anchor, coin.output))
    return with_witness(child, 1, (key.sign_taproot(message, None, randomness),))
