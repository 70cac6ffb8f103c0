"""Which transactions a block takes: those that pay the fee rate of the day, alone or with a child that pays for both.

Consensus asks for no fee; miners do. A transaction that pays less waits, unless somebody with a coin adds a child on
its anchor (P1143#13, BIP-431, BIP-433).
"""

from __future__ import annotations

from dataclasses import dataclass

from superscalar_ref.bitcoin.transaction import Transaction
from superscalar_ref.errors import InputError
from superscalar_ref.realise.book import CoinOutput
from superscalar_ref.realise.child import bump
from superscalar_ref.signing.keys import SecretKey


@dataclass(frozen=True)
class FeeDays:
    """The least fee rate that is mined (sat/vB), by height: usual, and higher in one span of blocks."""

    usual: int = 1
    spike: int = 1
    spike_from: int = 0
    """Height of the first block that asks for ``spike``."""
    spike_blocks: int = 0

    def floor(self, height: int) -> int:
        """The least fee rate of the block at ``height``."""
        return self.spike if self.in_spike(height) else self.usual

    def in_spike(self, height: int) -> bool:
        """Whether the block at ``height`` asks for more than usual."""
        return self.spike_from <= height < self.spike_from + self.spike_blocks

    def spike_end(self) -> int:
        """Height of the first block after the spike."""
        return self.spike_from + self.spike_blocks


@dataclass
class Purse:
    """A client's own coin, from which it pays for children."""

    key: SecretKey
    script: bytes
    coin: CoinOutput
    spent: int = 0
    """Fees that it paid (sat)."""

    def child(self, parent: Transaction, parent_fee: int, feerate: int) -> Transaction | None:
        """A child that raises both to ``feerate`` (sat/vB); None when the coin is too small. Nothing is spent yet."""
        try:
            return bump(parent, parent_fee, self.coin, self.key, self.script, feerate)
        except InputError:
            return None

    def pay(self, child: Transaction, anchor_sat: int) -> int:
        """The child is mined: its output is what is left of the coin. Returns its fee (sat), with the anchor."""
        rest = child.outputs[0]
        fee = self.coin.output.amount_sat - rest.amount_sat
        self.spent += fee
        self.coin = CoinOutput(child.txid, 0, rest)
        return fee + anchor_sat


def pays(transaction: Transaction, fee: int, floor: int) -> bool:
    """Whether a transaction pays the floor (sat/vB) by itself."""
    return fee >= floor * transaction.vbytes
