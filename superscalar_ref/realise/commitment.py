"""Commitment transactions in the format of BOLT zero-fee taproot channels (D-13).

The *holder* of a commitment is the side that may publish it; the *other* side signed it for the holder.

Laws of this module:

* A commitment pays no fee of its own; what is trimmed or rounded off goes to the anchor, up to 240 sat, and beyond
  that to miners.
* Balances and HTLCs add up to the capacity, to the millisatoshi: anything else is refused.
* Both sides that are given the same terms and state build the same bytes.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property

from superscalar_ref.bitcoin.locks import MAX_RELATIVE_BLOCKS
from superscalar_ref.bitcoin.script import P2A
from superscalar_ref.bitcoin.sighash import taproot_sighash
from superscalar_ref.bitcoin.taproot import ScriptTree, p2tr_from_internal, p2tr_script
from superscalar_ref.bitcoin.transaction import Transaction, TxInput, TxOutput, with_witness
from superscalar_ref.bitcoin.transaction import build as build_transaction
from superscalar_ref.errors import InputError, SigningError
from superscalar_ref.realise.channel import ChannelPoints, CommitmentKeys, commitment_keys
from superscalar_ref.realise.htlc import Htlc, htlc_tree, to_local_tree
from superscalar_ref.signing import musig
from superscalar_ref.signing.keys import verify

TRUC_VERSION = 3
"""``nVersion`` of commitments and second stages (BIP-431)."""
MAX_ANCHOR_SAT = 240
"""The most that a pay-to-anchor output is worth (sat): Core's dust limit for it."""
MAX_COMMITMENT_NUMBER = (1 << 48) - 1


class Role(StrEnum):
    """What an output of a commitment is for."""

    TO_LOCAL = "to_local"
    TO_REMOTE = "to_remote"
    ANCHOR = "anchor"
    HTLC = "htlc"


@dataclass(frozen=True)
class Terms:
    """What all commitments of one holder on one funding outpoint share.

    ``funding_keys`` are two 33-byte keys in any order; ``capacity_sat`` and ``dust_limit_sat`` are satoshis,
    ``to_self_delay`` is the holder's delay in blocks. ``holder_opened`` says which side opened the channel.
    Raises InputError when a number is out of its range or a key is not a point.
    """

    funding_txid: str
    funding_vout: int
    capacity_sat: int
    funding_keys: tuple[bytes, bytes]
    holder: ChannelPoints
    other: ChannelPoints
    holder_opened: bool
    to_self_delay: int
    dust_limit_sat: int

    def __post_init__(self) -> None:
        if self.capacity_sat <= 0:
            raise InputError("capacity", f"{self.capacity_sat} sat is not above 0", "BOLT 2: funding_satoshis")
        if not 1 <= self.to_self_delay <= MAX_RELATIVE_BLOCKS:
            problem = f"{self.to_self_delay} blocks is not within 1..{MAX_RELATIVE_BLOCKS}"
            raise InputError("to_self_delay", problem, "BOLT 2: u16; BIP-112")
        if self.dust_limit_sat < 0:
            raise InputError("dust limit", f"{self.dust_limit_sat} sat is negative", "BOLT 2: dust_limit_satoshis")
        try:
            _ = self.funding_key
        except SigningError as error:
            raise InputError("funding keys", error.problem, "BIP-327: plain public keys") from error

    @property
    def funding_key(self) -> musig.AggregateKey:
        """The MuSig2 key that signs the funding output: sorted, with BIP-86's tweak."""
        return musig.aggregate(self.funding_keys).taproot()

    @property
    def funding_output(self) -> TxOutput:
        """The output that every commitment spends."""
        return TxOutput(self.capacity_sat, p2tr_script(self.funding_key.x_only))

    def of_other(self, to_self_delay: int, dust_limit_sat: int) -> Terms:
        """The terms of the other side's commitments, with its own delay (blocks) and dust limit (sat)."""
        return replace(
            self,
            holder=self.other,
            other=self.holder,
            holder_opened=not self.holder_opened,
            to_self_delay=to_self_delay,
            dust_limit_sat=dust_limit_sat,
        )


@dataclass(frozen=True)
class State:
    """What one commitment says: its number, the holder's 33-byte per-commitment point, balances, HTLCs (msat).

    ``to_local_msat`` is the holder's. Raises InputError for a negative balance, a number beyond 48 bits, or two
    HTLCs of one direction with one id.
    """

    number: int
    per_commitment_point: bytes
    to_local_msat: int
    to_remote_msat: int
    htlcs: tuple[Htlc, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.number <= MAX_COMMITMENT_NUMBER:
            raise InputError("commitment number", f"{self.number} is not within 48 bits", "BOLT 3")
        for place, amount in (("to_local", self.to_local_msat), ("to_remote", self.to_remote_msat)):
            if amount < 0:
                raise InputError(place, f"{amount} msat is negative", "balances are not negative")
        if len({(htlc.direction, htlc.number) for htlc in self.htlcs}) != len(self.htlcs):
            raise InputError("HTLCs", "two of one direction have the same id", "BOLT 2: update_add_htlc")

    @property
    def total_msat(self) -> int:
        """All balances and HTLCs (msat)."""
        return self.to_local_msat + self.to_remote_msat + sum(htlc.amount_msat for htlc in self.htlcs)


@dataclass(frozen=True)
class CommitmentOutput:
    """One output: what it is for and, but for the anchor, the x-only key and the leaves under its script."""

    role: Role
    output: TxOutput
    internal_key: bytes | None = None
    tree: ScriptTree | None = None
    htlc: Htlc | None = None

    @property
    def merkle_root(self) -> bytes | None:
        """The root to tweak the internal key with for a key path spend; None without leaves."""
        return None if self.tree is None else self.tree.merkle_root

    def script(self, leaf: int = 0) -> bytes:
        """The script of a leaf. Raises InputError when the output has no such leaf."""
        if self.tree is None or not 0 <= leaf < len(self.tree.scripts):
            raise InputError(str(self.role), f"has no leaf {leaf}", "zero-fee taproot channels")
        return self.tree.scripts[leaf]

    def control_block(self, leaf: int = 0) -> bytes:
        """The control block of a leaf. Raises InputError when the output has no such leaf."""
        if self.tree is None or self.internal_key is None:
            raise InputError(str(self.role), f"has no leaf {leaf}", "zero-fee taproot channels")
        return self.tree.control_block(self.internal_key, leaf)


@dataclass(frozen=True)
class Commitment:
    """An unsigned commitment: ``outputs`` tells, in the transaction's order, what each output is for."""

    terms: Terms
    state: State
    keys: CommitmentKeys
    transaction: Transaction
    outputs: tuple[CommitmentOutput, ...]

    def vout(self, role: Role) -> int | None:
        """The number of the output with this role, None when it was trimmed. (HTLCs: ``htlc_vouts``.)"""
        return next((vout for vout, output in enumerate(self.outputs) if output.role is role), None)

    @property
    def to_local(self) -> CommitmentOutput | None:
        """The holder's own output, None when it was trimmed."""
        vout = self.vout(Role.TO_LOCAL)
        return None if vout is None else self.outputs[vout]

    @property
    def htlc_vouts(self) -> tuple[int, ...]:
        """The numbers of the HTLC outputs: the order in which their signatures are sent (BOLT 2)."""
        return tuple(vout for vout, output in enumerate(self.outputs) if output.role is Role.HTLC)

    @cached_property
    def sighash(self) -> bytes:
        """The 32 bytes that both sides sign with the funding key."""
        return taproot_sighash(self.transaction, 0, [self.terms.funding_output])

    def signed(self, signature: bytes) -> Transaction:
        """With the 64-byte signature of the funding key. Raises SigningError when it is not valid."""
        if not verify(self.terms.funding_key.x_only, self.sighash, signature):
            raise SigningError("the signature of the commitment is not valid")
        return with_witness(self.transaction, 0, (signature,))


def build(terms: Terms, state: State) -> Commitment:
    """The unsigned commitment of ``state`` under ``terms``.

    Raises InputError when the amounts do not add up to the capacity, or a point is none.
    """
    if state.total_msat != terms.capacity_sat * 1000:
        problem = f"{state.total_msat} msat in balances and HTLCs, {terms.capacity_sat * 1000} in the channel"
        raise InputError("commitment", problem, "balances and HTLCs add up to the capacity")
    keys = commitment_keys(terms.holder, terms.other, state.per_commitment_point)
    outputs = _outputs(terms, state, keys)
    sequence, lock_time = obscured_number(terms, state.number)
    spend = TxInput(terms.funding_txid, terms.funding_vout, sequence)
    transaction = build_transaction(TRUC_VERSION, (spend,), tuple(one.output for one in outputs), lock_time)
    return Commitment(terms, state, keys, transaction, outputs)


def _outputs(terms: Terms, state: State, keys: CommitmentKeys) -> tuple[CommitmentOutput, ...]:
    revocation = keys.revocation[1:]
    delayed = to_local_tree(keys, terms.to_self_delay)
    payment = keys.other_payment[1:]
    local = TxOutput(state.to_local_msat // 1000, delayed.script_pubkey(revocation))
    remote = TxOutput(state.to_remote_msat // 1000, p2tr_from_internal(payment))
    candidates = [
        CommitmentOutput(Role.TO_LOCAL, local, revocation, delayed),
        CommitmentOutput(Role.TO_REMOTE, remote, payment),
    ]
    for htlc in state.htlcs:
        tree = htlc_tree(keys, htlc)
        output = TxOutput(htlc.amount_sat, tree.script_pubkey(revocation))
        candidates.append(CommitmentOutput(Role.HTLC, output, revocation, tree, htlc))
    # No fee enters the rule: nothing is taken from an output to pay for its second stage.
    kept = [one for one in candidates if one.output.amount_sat >= terms.dust_limit_sat]
    rest = terms.capacity_sat - sum(one.output.amount_sat for one in kept)
    kept.append(CommitmentOutput(Role.ANCHOR, TxOutput(min(rest, MAX_ANCHOR_SAT), P2A)))
    return tuple(sorted(kept, key=_place))


def _place(one: CommitmentOutput) -> tuple[int, bytes, int, int]:
    # BIP-69, then the expiry (BOLT 3): offered HTLCs of one hash and amount have one script whatever their expiry.
    expiry, number = (one.htlc.cltv_expiry, one.htlc.number) if one.htlc else (0, 0)
    return one.output.amount_sat, one.output.script_pubkey, expiry, number


def obscured_number(terms: Terms, number: int) -> tuple[int, int]:
    """``nSequence`` and ``nLockTime`` that carry a commitment number, hidden from everyone else (BOLT 3)."""
    sides = (terms.holder, terms.other) if terms.holder_opened else (terms.other, terms.holder)
    digest = hashlib.sha256(b"".join(side.payment_basepoint for side in sides)).digest()
    obscured = number ^ int.from_bytes(digest[-6:], "big")
    return 0x80 << 24 | obscured >> 24, 0x20 << 24 | obscured & 0xFFFFFF


def commitment_number(terms: Terms, transaction: Transaction) -> int:
    """The number of a commitment that was seen on chain.

    Raises InputError when the transaction does not spend the funding outpoint as a commitment does.
    """
    if len(transaction.inputs) != 1:
        raise InputError("commitment", f"has {len(transaction.inputs)} inputs", "BOLT 3: one input")
    spend = transaction.inputs[0]
    if (spend.txid_hex, spend.index) != (terms.funding_txid, terms.funding_vout):
        raise InputError("commitment", "does not spend the funding outpoint", "BOLT 3: commitment transaction")
    if spend.sequence >> 24 != 0x80 or transaction.lock_time >> 24 != 0x20:
        raise InputError("commitment", "carries no commitment number", "BOLT 3: commitment transaction")
    zero_sequence, zero_lock_time = obscured_number(terms, 0)
    high = (spend.sequence ^ zero_sequence) & 0xFFFFFF
    return high << 24 | (transaction.lock_time ^ zero_lock_time) & 0xFFFFFF
