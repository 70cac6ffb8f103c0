"""A party's own coin, with which it raises what it waits for to the price of the day (CPFP, R-FEE).

One coin pays for one child at a time. A child that pays too little is replaced by one that pays more, as long as the
coin suffices. A replacement raises the package by at least 1 sat/vB, which is what relay asks for (BIP-125, rule 4).
"""

from __future__ import annotations

from dataclasses import dataclass

from superscalar_ref.bitcoin.transaction import Transaction
from superscalar_ref.chain.fees import Offer
from superscalar_ref.errors import InputError
from superscalar_ref.realise.book import CoinOutput
from superscalar_ref.realise.child import bump
from superscalar_ref.signing.keys import SecretKey


@dataclass(frozen=True)
class _Pending:
    """The child that is out."""

    parent: str
    """Txid of what it pays for."""
    feerate: int
    """Of both together (sat/vB)."""
    offer: Offer


@dataclass
class Bumper:
    """One coin (BIP-86 under ``key``), and the child that it pays for at the moment."""

    key: SecretKey
    script: bytes
    """Where the change goes; the same key's, so that it can pay again."""
    coin: CoinOutput
    spent: int = 0
    """Fees that confirmed children have cost the coin (sat)."""
    pending: _Pending | None = None

    def child(self, parent: Offer, feerate: int) -> Offer | None:
        """The child that raises ``parent`` and itself to ``feerate`` (sat/vB): the one that is out if it pays that.

        When the coin is too small for the day's price, the child that is out stays. A child of another parent is given
        up. None when there is no child, or ``parent`` has no anchor.
        """
        txid = parent.transaction.txid
        if self.pending is not None and self.pending.parent != txid:
            self.pending = None
        if self.pending is None or self.pending.feerate < feerate:
            made = self._made(parent, feerate)
            if made is not None:
                self.pending = _Pending(txid, feerate, made)
        return None if self.pending is None else self.pending.offer

    def _made(self, parent: Offer, feerate: int) -> Offer | None:
        try:
            child = bump(parent.transaction, parent.fee, self.coin, self.key, self.script, feerate)
        except InputError:
            return None
        anchor = parent.transaction.outputs[child.inputs[0].index].amount_sat
        return Offer(child, self.coin.output.amount_sat + anchor - child.outputs[0].amount_sat)

    def settle(self, child: Transaction) -> None:
        """``child`` is confirmed: its output is the coin from now on."""
        rest = child.outputs[0]
        self.spent += self.coin.output.amount_sat - rest.amount_sat
        self.coin = CoinOutput(child.txid, 0, rest)
        self.pending = None
