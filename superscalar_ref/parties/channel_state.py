"""What one side of a channel keeps: the terms, and the commitments of both sides as records and as bytes.

The same description (``View``) gives each side's commitment: both sides build the same bytes from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from superscalar_ref.bitcoin.locks import NO_RELATIVE_LOCK
from superscalar_ref.bitcoin.sighash import taproot_sighash
from superscalar_ref.bitcoin.transaction import Transaction, TxInput, TxOutput
from superscalar_ref.bitcoin.transaction import build as build_transaction
from superscalar_ref.errors import InputError
from superscalar_ref.protocol.channel import View
from superscalar_ref.realise import commitment as bolt
from superscalar_ref.realise.channel import ChannelPoints, ChannelSecrets
from superscalar_ref.realise.htlc import Direction, Htlc
from superscalar_ref.signing.keys import SecretKey


@dataclass(frozen=True)
class SideTerms:
    """One side of a channel: its public keys, and what it asks of its own commitments."""

    name: str
    funding_key: bytes
    """33 bytes: its factory key, or its own for a channel with its own output."""
    points: ChannelPoints
    to_self_delay: int
    """Blocks for which its own commitments' outputs wait."""
    dust_limit_sat: int
    payout_script: bytes
    """Where its money goes when the channel ends."""
    reserve_msat: int = 0


@dataclass(frozen=True)
class ChannelTerms:
    """What both sides agreed on before the channel's first commitment."""

    name: str
    """The same on both sides."""
    capacity_sat: int
    outpoint: str
    """``txid:vout`` of the leaf's channel output, in the order in which people see a txid."""
    mine: SideTerms
    theirs: SideTerms
    i_opened: bool
    """Whether this side put the liquidity in (BOLT 3: whose payment key comes first)."""
    balance_msat: int
    """This side's, at first."""
    close_fee_sat: int
    """What the side that opened pays for closing together."""

    def side(self, name: str) -> SideTerms:
        """A side's terms by its name."""
        return self.mine if name == self.mine.name else self.theirs

    def other(self, name: str) -> SideTerms:
        """The other side's terms."""
        return self.theirs if name == self.mine.name else self.mine

    def bolt_terms(self, holder: str, outpoint: str) -> bolt.Terms:
        """The terms of a holder's commitments on one outpoint."""
        txid, vout = parse_outpoint(outpoint)
        side, other = self.side(holder), self.other(holder)
        return bolt.Terms(
            funding_txid=txid,
            funding_vout=vout,
            capacity_sat=self.capacity_sat,
            funding_keys=(side.funding_key, other.funding_key),
            holder=side.points,
            other=other.points,
            holder_opened=(holder == self.mine.name) == self.i_opened,
            to_self_delay=side.to_self_delay,
            dust_limit_sat=side.dust_limit_sat,
        )

    def commitment(self, holder: str, outpoint: str, point: bytes, said: View) -> bolt.Commitment:
        """A holder's commitment on one outpoint, unsigned. Raises ``InputError`` as ``commitment.build`` does."""
        htlcs = tuple(
            Htlc(
                Direction.OFFERED if htlc.payer == holder else Direction.RECEIVED,
                htlc.number,
                htlc.amount_msat,
                bytes.fromhex(htlc.payment_hash),
                htlc.expiry,
            )
            for htlc in said.htlcs
        )
        state = bolt.State(said.number, point, said.to_holder_msat, said.to_other_msat, htlcs)
        return bolt.build(self.bolt_terms(holder, outpoint), state)

    def closing(self, outpoint: str, balance_msat: int) -> ClosingTransaction:
        """The transaction that closes the channel together, from this side's balance (msat)."""
        amounts = {
            self.mine.name: balance_msat // 1000,
            self.theirs.name: (self.capacity_sat * 1000 - balance_msat) // 1000,
        }
        opener = self.mine.name if self.i_opened else self.theirs.name
        other = self.other(opener).name
        paid = min(self.close_fee_sat, amounts[opener])
        amounts[opener] -= paid
        amounts[other] -= min(self.close_fee_sat - paid, amounts[other])
        outputs = [
            TxOutput(amount, self.side(name).payout_script)
            for name, amount in amounts.items()
            if amount >= max(self.mine.dust_limit_sat, self.theirs.dust_limit_sat)
        ]
        if not outputs:
            raise InputError("close", "both balances are dust", "BOLT 2: closing transaction")
        outputs.sort(key=lambda output: (output.amount_sat, output.script_pubkey))
        txid, vout = parse_outpoint(outpoint)
        spend = TxInput(txid, vout, NO_RELATIVE_LOCK)
        transaction = build_transaction(bolt.TRUC_VERSION, (spend,), tuple(outputs), 0)
        funding = self.bolt_terms(self.mine.name, outpoint).funding_output
        return ClosingTransaction(transaction, taproot_sighash(transaction, 0, [funding]))


@dataclass(frozen=True)
class ClosingTransaction:
    """The unsigned closing transaction, and the 32 bytes that both sides sign."""

    transaction: Transaction
    sighash: bytes


@dataclass(frozen=True)
class ChannelKeys:
    """One side's secrets in one channel; they come from its seed, and are never stored here."""

    funding: SecretKey
    secrets: ChannelSecrets


@dataclass(frozen=True)
class HeldSignature:
    """One complete signature of one of this side's commitments, and the other side's HTLC signatures (hex)."""

    signature: str
    htlcs: tuple[str, ...]


@dataclass(frozen=True)
class OwnCommitment:
    """This side's newest commitment: what it says, and its signatures by outpoint."""

    said: View
    point: str
    signatures: Mapping[str, HeldSignature]


@dataclass(frozen=True)
class TheirCommitment:
    """A commitment that this side signed for the other: kept for ever, since it may be published when revoked."""

    said: View
    point: str
    outpoints: tuple[str, ...]


def parse_outpoint(outpoint: str) -> tuple[str, int]:
    """The txid (hex, as people see it) and the index of ``txid:vout``. Raises ``InputError`` when it is neither."""
    txid, _, vout = outpoint.partition(":")
    if len(txid) != 64 or not vout.isdecimal():
        raise InputError("outpoint", f"'{outpoint}' is no txid:vout", "BOLT 2: funding outpoint")
    return txid, int(vout)
