"""HTLC-success and HTLC-timeout: how the holder of a commitment takes its HTLC outputs (D-13, BOLT 3).

The other side signs first, ``SINGLE|ANYONECANPAY``, so that the holder may add inputs and outputs for fees; the holder
signs last. Nothing is taken from the output for fees. It pays what ``to_local`` pays: revocable, and delayed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from superscalar_ref.bitcoin.sighash import SigHash, signature_bytes, taproot_sighash
from superscalar_ref.bitcoin.taproot import ScriptTree, tap_leaf
from superscalar_ref.bitcoin.transaction import Transaction, TxInput, TxOutput, with_witness
from superscalar_ref.bitcoin.transaction import build as build_transaction
from superscalar_ref.errors import InputError, SigningError
from superscalar_ref.realise.channel import CommitmentKeys
from superscalar_ref.realise.commitment import TRUC_VERSION, Commitment
from superscalar_ref.realise.htlc import SUCCESS_LEAF, TIMEOUT_LEAF, Direction, Htlc, opens, to_local_tree
from superscalar_ref.signing.keys import verify

OTHER_HASH_TYPE = SigHash.SINGLE_ANYONECANPAY
"""How the other side signs."""
HOLDER_HASH_TYPE = SigHash.DEFAULT
"""How the holder signs."""


@dataclass(frozen=True)
class SecondStage:
    """The unsigned second stage of output ``vout`` of a commitment, and what its two signatures sign."""

    htlc: Htlc
    vout: int
    keys: CommitmentKeys
    transaction: Transaction
    spent: TxOutput
    script: bytes
    control_block: bytes
    tree: ScriptTree
    """The leaf of its output, under the revocation key as in ``to_local``."""
    to_self_delay: int

    @cached_property
    def other_sighash(self) -> bytes:
        """The 32 bytes that the other side signs with its HTLC key of this commitment."""
        return self._sighash(OTHER_HASH_TYPE)

    @cached_property
    def holder_sighash(self) -> bytes:
        """The 32 bytes that the holder signs with its HTLC key of this commitment."""
        return self._sighash(HOLDER_HASH_TYPE)

    def _sighash(self, hash_type: SigHash) -> bytes:
        return taproot_sighash(self.transaction, 0, [self.spent], hash_type, tap_leaf(self.script))

    def check_other(self, signature: bytes) -> None:
        """Raise SigningError when 64 bytes are not the other side's signature: on ``commitment_signed`` (BOLT 2)."""
        if not verify(self.keys.other_htlc[1:], self.other_sighash, signature):
            raise SigningError(f"the other side's signature of the {self.htlc.direction} HTLC {self.vout} is not valid")

    def signed(self, other_signature: bytes, holder_signature: bytes, preimage: bytes | None = None) -> Transaction:
        """The complete transaction from two 64-byte signatures and, for a received HTLC, the 32 bytes that open it.

        Raises SigningError for an invalid signature, InputError for a preimage that is missing, wrong or out of place.
        """
        self.check_other(other_signature)
        if not verify(self.keys.holder_htlc[1:], self.holder_sighash, holder_signature):
            raise SigningError(f"the holder's signature of the {self.htlc.direction} HTLC {self.vout} is not valid")
        return with_witness(self.transaction, 0, self.witness(other_signature, holder_signature, preimage))

    def witness(self, other_signature: bytes, holder_signature: bytes, preimage: bytes | None) -> tuple[bytes, ...]:
        """The witness stack of two 64-byte signatures, which are not verified; errors as ``signed``."""
        place = f"{self.htlc.direction} HTLC {self.htlc.number}"
        first = signature_bytes(other_signature, OTHER_HASH_TYPE)
        second = signature_bytes(holder_signature, HOLDER_HASH_TYPE)
        if self.htlc.direction is Direction.OFFERED:
            if preimage is not None:
                raise InputError(place, "a timeout has no preimage", "BOLT 3: HTLC-timeout")
            return first, second, self.script, self.control_block
        if preimage is None or not opens(self.htlc.payment_hash, preimage):
            raise InputError(place, "the preimage is missing, or is not that of the payment hash", "BOLT 3")
        return first, second, self.htlc.opening(preimage, self.holder_sighash), self.script, self.control_block

    def output_in(self, transaction: Transaction) -> int | None:
        """Which output of a transaction is this stage's; None when it is another spend of the HTLC, or none.

        The holder may add inputs and outputs: the other side's ``SINGLE|ANYONECANPAY`` ties the output to the place of
        the input, and to nothing else of the transaction.
        """
        stage, wanted = self.transaction.inputs[0], self.transaction.outputs[0]
        for place, (spend, output) in enumerate(zip(transaction.inputs, transaction.outputs, strict=False)):
            if (spend.txid_hex, spend.index) == (stage.txid_hex, stage.index) and output == wanted:
                return place
        return None


def second_stages(commitment: Commitment) -> tuple[SecondStage, ...]:
    """One for each HTLC output, in the order of outputs: that of the HTLC signatures in ``commitment_signed``."""
    return tuple(second_stage(commitment, vout) for vout in commitment.htlc_vouts)


def second_stage(commitment: Commitment, vout: int) -> SecondStage:
    """The second stage of one HTLC output: a timeout for an offered HTLC, a success for a received one.

    Raises InputError when output ``vout`` is not an HTLC.
    """
    source = commitment.outputs[vout] if 0 <= vout < len(commitment.outputs) else None
    if source is None or source.htlc is None or source.internal_key is None:
        raise InputError(f"output {vout}", "is not an HTLC of this commitment", "BOLT 3: HTLC transactions")
    offered = source.htlc.direction is Direction.OFFERED
    leaf = TIMEOUT_LEAF if offered else SUCCESS_LEAF
    tree = to_local_tree(commitment.keys, commitment.terms.to_self_delay)
    output = TxOutput(source.output.amount_sat, tree.script_pubkey(source.internal_key))
    spend = TxInput(commitment.transaction.txid, vout, 0)
    lock_time = source.htlc.cltv_expiry if offered else 0
    return SecondStage(
        htlc=source.htlc,
        vout=vout,
        keys=commitment.keys,
        transaction=build_transaction(TRUC_VERSION, (spend,), (output,), lock_time),
        spent=source.output,
        script=source.script(leaf),
        control_block=source.control_block(leaf),
        tree=tree,
        to_self_delay=commitment.terms.to_self_delay,
    )
