"""A point-time-locked output: the LSP pays a client that leaves, and learns the client's factory key by being paid.

``key path``: client and LSP together, by MuSig2 of keys made for this output alone. ``claim``: both sign, and the LSP's
signature is a pre-signature that only the client's factory key completes. ``refund``: the LSP alone, from a height on.
Source: P1242 'assisted exit'; protocol.md §9. Of the two locks of an assisted exit this is the one on chain.
"""

from __future__ import annotations

from dataclasses import dataclass

from superscalar_ref.bitcoin.locks import NO_RELATIVE_LOCK
from superscalar_ref.bitcoin.script import cltv_leaf, two_keys_leaf
from superscalar_ref.bitcoin.sighash import taproot_sighash
from superscalar_ref.bitcoin.taproot import ScriptTree, tap_leaf
from superscalar_ref.bitcoin.transaction import Transaction, TxInput, TxOutput, build, with_witness
from superscalar_ref.errors import SigningError
from superscalar_ref.signing import adaptor
from superscalar_ref.signing.adaptor import PreSignature
from superscalar_ref.signing.keys import Randomness, SecretKey, system_randomness, verify
from superscalar_ref.signing.musig import aggregate

CLAIM, REFUND = 0, 1
"""Places of the leaves in the tree."""
VERSION = 3
"""nVersion of both spends (D-5)."""


@dataclass(frozen=True)
class Ptlc:
    """One such output. Keys are made for it alone: the client's factory key is only its point."""

    client: bytes
    """33-byte key of the client's signature."""
    lsp: bytes
    """33-byte key of the LSP's."""
    point: bytes
    """The client's public factory key (33 bytes): its secret completes the claim."""
    refund_height: int
    """Height above which the LSP may take the output back."""

    @property
    def tree(self) -> ScriptTree:
        """The leaves of claim and refund."""
        claim = two_keys_leaf(self.client[1:], self.lsp[1:])
        return ScriptTree((claim, cltv_leaf(self.lsp[1:], self.refund_height)))

    @property
    def internal_key(self) -> bytes:
        """32 bytes: both together."""
        return aggregate([self.client, self.lsp]).x_only

    @property
    def script(self) -> bytes:
        """The scriptPubKey."""
        return self.tree.script_pubkey(self.internal_key)


@dataclass(frozen=True)
class Spend:
    """A spend of the output, unsigned, and the 32 bytes to sign."""

    transaction: Transaction
    sighash: bytes
    leaf: int


def claim(ptlc: Ptlc, txid: str, vout: int, amount_sat: int, script: bytes, fee_sat: int) -> Spend:
    """What pays the client: one output to ``script``, less the fee (sat)."""
    return _spend(ptlc, txid, vout, amount_sat, script, fee_sat, CLAIM, 0)


def refund(ptlc: Ptlc, txid: str, vout: int, amount_sat: int, script: bytes, fee_sat: int) -> Spend:
    """What gives the LSP its money back in a block above ``refund_height``."""
    return _spend(ptlc, txid, vout, amount_sat, script, fee_sat, REFUND, ptlc.refund_height)


def _spend(
    ptlc: Ptlc, txid: str, vout: int, amount_sat: int, script: bytes, fee_sat: int, leaf: int, lock_time: int
) -> Spend:
    spent = TxOutput(amount_sat, ptlc.script)
    inputs = [TxInput(txid, vout, NO_RELATIVE_LOCK)]
    transaction = build(VERSION, inputs, [TxOutput(amount_sat - fee_sat, script)], lock_time)
    return Spend(
        transaction, taproot_sighash(transaction, 0, (spent,), leaf_hash=tap_leaf(ptlc.tree.scripts[leaf])), leaf
    )


def pre_sign_claim(
    ptlc: Ptlc, spend: Spend, lsp: SecretKey, randomness: Randomness = system_randomness
) -> PreSignature:
    """The LSP's part of the claim: worthless without the client's factory key."""
    return adaptor.pre_sign(lsp, spend.sighash, ptlc.point, randomness)


def complete_claim(
    ptlc: Ptlc,
    spend: Spend,
    pre: PreSignature,
    client: SecretKey,
    factory_key: SecretKey,
    randomness: Randomness = system_randomness,
) -> Transaction:
    """The claim, complete: publishing it hands the factory key over.

    Raises ``SigningError`` when the LSP's pre-signature is not valid for this very transaction and point.
    """
    if not adaptor.pre_verify(ptlc.lsp[1:], spend.sighash, ptlc.point, pre):
        raise SigningError("the LSP's pre-signature is not valid for this claim")
    if factory_key.public != ptlc.point:
        raise SigningError("the secret is not that of the claim's point")
    signatures = (adaptor.complete(pre, factory_key), client.sign(spend.sighash, randomness))
    return _with(ptlc, spend, signatures)


def complete_refund(
    ptlc: Ptlc, spend: Spend, lsp: SecretKey, randomness: Randomness = system_randomness
) -> Transaction:
    """The refund, complete."""
    return _with(ptlc, spend, (lsp.sign(spend.sighash, randomness),))


def learn_key(ptlc: Ptlc, spend: Spend, pre: PreSignature, claimed: Transaction) -> SecretKey:
    """The client's factory key, from the claim that it published.

    Raises ``SigningError`` when this is not the claim that the LSP has signed for.
    """
    stack = claimed.witnesses[0]
    if claimed.txid != spend.transaction.txid or len(stack) != 4:
        raise SigningError("is not the claim of this output")
    if not verify(ptlc.lsp[1:], spend.sighash, stack[0]):
        raise SigningError("the claim's signature is not valid")
    return adaptor.extract(pre, stack[0], ptlc.point)


def _with(ptlc: Ptlc, spend: Spend, signatures: tuple[bytes, ...]) -> Transaction:
    block = ptlc.tree.control_block(ptlc.internal_key, spend.leaf)
    return with_witness(spend.transaction, 0, (*signatures, ptlc.tree.scripts[spend.leaf], block))
