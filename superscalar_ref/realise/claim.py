"""Claims on what a commitment leaves on chain: sweeps after the delay, claims of HTLCs, penalties (D-13, BOLT 5).

A ``Claim`` is one way to spend one output; several claims may share a transaction, which then waits for all locks.

| output | the holder | the other side | the other side, once it is revoked |
|---|---|---|---|
| ``to_local``, output of a second stage | ``delayed``, after the delay | – | ``revoked`` |
| ``to_remote`` | – | ``payment``, at once | the same |
| HTLC offered | second stage (timeout) | ``with_preimage`` | ``revoked`` |
| HTLC received | second stage (success) | ``after_expiry`` | ``revoked`` |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from superscalar_ref.bitcoin.locks import NO_RELATIVE_LOCK, relative_lock_sequence
from superscalar_ref.bitcoin.sighash import taproot_sighash
from superscalar_ref.bitcoin.taproot import ScriptTree, output_key, tap_leaf
from superscalar_ref.bitcoin.transaction import Transaction, TxInput, TxOutput, with_witness
from superscalar_ref.bitcoin.transaction import build as build_transaction
from superscalar_ref.errors import InputError, SigningError
from superscalar_ref.realise.commitment import TRUC_VERSION, Commitment, Role
from superscalar_ref.realise.htlc import SUCCESS_LEAF, TIMEOUT_LEAF, Direction, Htlc, opens, to_local_tree
from superscalar_ref.realise.second_stage import SecondStage
from superscalar_ref.signing.keys import Randomness, SecretKey, system_randomness, verify


@dataclass(frozen=True)
class Claim:
    """One output and the way to spend it.

    ``key`` is the 33-byte key that signs. ``leaf`` is the leaf to open, None for the key path. ``sequence`` and
    ``lock_time`` are what the way asks of the transaction; ``preimage`` is 32 bytes, of a hash's preimage or of the
    secret of ``htlc``'s point, or None.
    """

    txid: str
    vout: int
    spent: TxOutput
    key: bytes
    internal_key: bytes
    tree: ScriptTree | None = None
    leaf: int | None = None
    sequence: int = NO_RELATIVE_LOCK
    lock_time: int = 0
    preimage: bytes | None = None
    htlc: Htlc | None = None
    """What the preimage opens."""

    @property
    def place(self) -> str:
        """How errors name it."""
        return f"claim on {self.txid}:{self.vout}"

    @property
    def script(self) -> bytes | None:
        """The leaf's script, None for the key path."""
        return None if self.leaf is None or self.tree is None else self.tree.scripts[self.leaf]

    @property
    def signing_key(self) -> bytes:
        """The x-only key under which its signature is valid."""
        if self.script is not None:
            return self.key[1:]
        return output_key(self.internal_key, None if self.tree is None else self.tree.merkle_root).x_only

    def sign(self, message: bytes, secret: SecretKey, randomness: Randomness = system_randomness) -> bytes:
        """The 64-byte signature of a 32-byte message. Raises SigningError for another key's secret."""
        # Parity does not matter: BIP-340 signs for the x-only key.
        if secret.x_only != self.key[1:]:
            raise SigningError(f"{self.place}: the secret is not that of {self.key.hex()}")
        if self.script is not None:
            return secret.sign(message, randomness)
        return secret.sign_taproot(message, None if self.tree is None else self.tree.merkle_root, randomness)

    def witness(self, signature: bytes, message: bytes = b"") -> tuple[bytes, ...]:
        """The witness stack with a 64-byte signature of ``message`` (32 bytes), which a point's secret signs too."""
        if self.tree is None or self.leaf is None:
            return (signature,)
        block = self.tree.control_block(self.internal_key, self.leaf)
        stack = signature, self.tree.scripts[self.leaf], block
        if self.preimage is None:
            return stack
        if self.htlc is None or self.htlc.point is None:
            return self.preimage, *stack
        # The script takes the point's signature first: it is on top.
        return signature, self.htlc.opening(self.preimage, message), *stack[1:]


def delayed(source: Commitment | SecondStage) -> Claim:
    """The holder takes ``to_local``, or the output of its second stage, ``to_self_delay`` blocks after it confirmed.

    Raises InputError when ``to_local`` was trimmed.
    """
    if isinstance(source, SecondStage):
        vout, output, tree, delay = 0, source.transaction.outputs[0], source.tree, source.to_self_delay
    else:
        vout, delay = _present(source, Role.TO_LOCAL), source.terms.to_self_delay
        output, tree = source.outputs[vout].output, to_local_tree(source.keys, delay)
    key, internal = source.keys.holder_delayed, source.keys.revocation[1:]
    sequence = relative_lock_sequence(delay)
    return Claim(source.transaction.txid, vout, output, key, internal, tree, leaf=0, sequence=sequence)


def revoked(source: Commitment | SecondStage, vout: int = 0) -> Claim:
    """The other side takes an output of a revoked commitment, or of its second stage, by the revocation key.

    Raises InputError when output ``vout`` does not fall to that key.
    """
    revocation = source.keys.revocation
    if isinstance(source, SecondStage):
        if vout != 0:
            raise InputError(f"output {vout}", "a second stage has one output", "BOLT 3: HTLC transactions")
        output = source.transaction.outputs[0]
        return Claim(source.transaction.txid, 0, output, revocation, revocation[1:], source.tree)
    one = source.outputs[vout] if 0 <= vout < len(source.outputs) else None
    if one is None or one.role not in (Role.TO_LOCAL, Role.HTLC):
        raise InputError(f"output {vout}", "does not fall to the revocation key", "zero-fee taproot channels")
    return Claim(source.transaction.txid, vout, one.output, revocation, revocation[1:], one.tree)


def all_revoked(commitment: Commitment) -> tuple[Claim, ...]:
    """``revoked`` of each output of a commitment that falls to the revocation key, in their order."""
    vouts = range(len(commitment.outputs))
    return tuple(revoked(commitment, n) for n in vouts if commitment.outputs[n].role in (Role.TO_LOCAL, Role.HTLC))


def payment(commitment: Commitment) -> Claim:
    """The other side takes ``to_remote`` at once, with its static payment key. Raises InputError when trimmed."""
    vout = _present(commitment, Role.TO_REMOTE)
    key = commitment.keys.other_payment
    return Claim(commitment.transaction.txid, vout, commitment.outputs[vout].output, key, key[1:])


def with_preimage(commitment: Commitment, vout: int, preimage: bytes) -> Claim:
    """The other side takes an HTLC that the holder offered, with its 32-byte preimage or its point's secret.

    Raises InputError when output ``vout`` is no such HTLC, or the preimage is not that of its hash.
    """
    claim, htlc = _htlc_claim(commitment, vout, Direction.OFFERED)
    if not opens(htlc.payment_hash, preimage):
        raise InputError(f"output {vout}", "the preimage is not that of the payment hash", "BOLT 3: offered HTLCs")
    return replace(claim, leaf=SUCCESS_LEAF, preimage=preimage, htlc=htlc)


def after_expiry(commitment: Commitment, vout: int) -> Claim:
    """The other side takes back an HTLC that the holder received, in blocks above its expiry.

    Raises InputError when output ``vout`` is no such HTLC.
    """
    claim, htlc = _htlc_claim(commitment, vout, Direction.RECEIVED)
    return replace(claim, leaf=TIMEOUT_LEAF, lock_time=htlc.cltv_expiry)


def unsigned(claims: Sequence[Claim], outputs: Sequence[TxOutput], version: int = TRUC_VERSION) -> Transaction:
    """One transaction of all claims, in their order, paying ``outputs``; what is left over (sat) is the fee.

    ``version`` 3 is needed while a version 3 parent is unconfirmed, and then allows 1,000 vbytes (BIP-431); 2 has
    no such bound. Raises InputError when there is nothing to claim, or the outputs exceed what is claimed.
    """
    surplus = sum(claim.spent.amount_sat for claim in claims) - sum(output.amount_sat for output in outputs)
    if surplus < 0:
        raise InputError("claims", f"the outputs exceed what is claimed by {-surplus} sat", "consensus: value in")
    inputs = [TxInput(claim.txid, claim.vout, claim.sequence) for claim in claims]
    return build_transaction(version, inputs, list(outputs), max((claim.lock_time for claim in claims), default=0))


def sign(
    transaction: Transaction,
    claims: Sequence[Claim],
    secrets: Sequence[SecretKey],
    randomness: Randomness = system_randomness,
) -> Transaction:
    """The complete transaction: claim *i* is input *i*, signed with any of ``secrets`` that has its key.

    Raises SigningError when the secret of a claim is missing, InputError when claims and inputs differ.
    """
    points = [(one.txid_hex, one.index) for one in transaction.inputs]
    if points != [(claim.txid, claim.vout) for claim in claims]:
        raise InputError("claims", "are not the inputs of the transaction, in their order", "one claim an input")
    spent = [claim.spent for claim in claims]
    by_key = {secret.x_only: secret for secret in secrets}
    signed = transaction
    for number, claim in enumerate(claims):
        secret = by_key.get(claim.key[1:])
        if secret is None:
            raise SigningError(f"{claim.place}: the secret of {claim.key.hex()} is missing")
        message = taproot_sighash(transaction, number, spent, leaf_hash=_leaf_hash(claim))
        signature = claim.sign(message, secret, randomness)
        if not verify(claim.signing_key, message, signature):
            raise SigningError(f"{claim.place}: the signature is not valid")
        signed = with_witness(signed, number, claim.witness(signature, message))
    return signed


def _leaf_hash(claim: Claim) -> bytes | None:
    return None if claim.script is None else tap_leaf(claim.script)


def _htlc_claim(commitment: Commitment, vout: int, direction: Direction) -> tuple[Claim, Htlc]:
    """The claim of the other side's HTLC key on an HTLC output, without its leaf."""
    one = commitment.outputs[vout] if 0 <= vout < len(commitment.outputs) else None
    if one is None or one.htlc is None or one.htlc.direction is not direction:
        raise InputError(f"output {vout}", f"is not an HTLC that the holder {direction}", "BOLT 5")
    keys = commitment.keys
    claim = Claim(commitment.transaction.txid, vout, one.output, keys.other_htlc, keys.revocation[1:], one.tree)
    return claim, one.htlc


def _present(commitment: Commitment, role: Role) -> int:
    vout = commitment.vout(role)
    if vout is None:
        raise InputError(str(role), "was trimmed: this commitment has no such output", "BOLT 3: trimmed outputs")
    return vout
