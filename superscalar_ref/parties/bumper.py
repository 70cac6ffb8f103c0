"""A party's own coins, with which it raises what it waits for to the price of the day (CPFP, STR-30 to STR-32, R-FEE).

Laws of this module:

* What is its own follows from the chain: a coin is there while it is unspent, so a reorg gives it back.
* One coin pays for one child at a time; whoever comes first in what is published has the first choice.
* A replacement raises the package by at least 1 sat/vB, which is what relay asks for (BIP-125, rule 4).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from superscalar_ref.bitcoin.taproot import p2tr_from_internal
from superscalar_ref.bitcoin.transaction import Transaction
from superscalar_ref.chain.fees import Offer
from superscalar_ref.chain.interface import Ledger, OutPoint
from superscalar_ref.errors import InputError
from superscalar_ref.protocol.fees import FeeRules, Pay, load_fee_rules
from superscalar_ref.realise.book import CoinOutput
from superscalar_ref.realise.child import bump, bump_from
from superscalar_ref.signing.keys import Randomness, SecretKey, system_randomness


@dataclass(frozen=True)
class Child:
    """A child that was made."""

    feerate: int
    """Of it and its parent together (sat/vB)."""
    offer: Offer
    coin: CoinOutput | None
    """What it spends besides the anchor; None: an output of its parent."""
    cost: int
    """What it takes from the party: its fee less its parent's anchor (sat)."""


@dataclass
class Bumper:
    """The coins of one party (BIP-86 under ``key``), and the children that they pay for at the moment."""

    key: SecretKey
    script: bytes
    """Where the change goes; if it is the same key's, it can pay again."""
    coins: list[CoinOutput] = field(default_factory=list)
    """Every coin that it has had; which of them are there, the chain says."""
    role: str = "client"
    rules: FeeRules = field(default_factory=load_fee_rules)
    randomness: Randomness = system_randomness
    pending: dict[str, Child] = field(default_factory=dict)
    """Parent's txid → the child that is out."""
    made: dict[str, Child] = field(default_factory=dict)
    """Every child that it has made, by its txid: an earlier one may still be the one that is confirmed."""
    confirmed: dict[str, Child] = field(default_factory=dict)
    """Those of them that are confirmed."""
    _gone: frozenset[tuple[str, int]] = frozenset()
    """Coins that are not there now."""

    @property
    def spent(self) -> int:
        """What confirmed children have cost (sat)."""
        return sum(child.cost for child in self.confirmed.values())

    def free(self) -> list[CoinOutput]:
        """The coins that are there, the smallest first."""
        there = [coin for coin in self.coins if (coin.txid, coin.index) not in self._gone]
        return sorted(there, key=lambda coin: (coin.output.amount_sat, coin.txid, coin.index))

    def learn(self, coin: CoinOutput) -> None:
        """One more coin is its own."""
        if coin not in self.coins:
            self.coins.append(coin)

    def look(self, ledger: Ledger) -> None:
        """See the tip: which children are confirmed, and which coins are there."""
        unspent = ledger.unspent()
        self.see(
            lambda txid: ledger.confirmation_height(bytes.fromhex(txid)[::-1]) is not None,
            lambda txid, index: OutPoint(bytes.fromhex(txid)[::-1], index) in unspent,
        )

    def see(self, confirmed: Callable[[str], bool], there: Callable[[str, int], bool]) -> None:
        """The same from what somebody knows of the chain: by txid, and by txid and index of an output."""
        self.confirmed = {txid: child for txid, child in self.made.items() if confirmed(txid)}
        for txid, child in self.confirmed.items():
            if self.script == p2tr_from_internal(self.key.x_only):
                self.learn(CoinOutput(txid, 0, child.offer.transaction.outputs[0]))
        points = [(coin.txid, coin.index) for coin in self.coins]
        self._gone = frozenset(point for point in points if not there(*point))

    def forget(self, old: Callable[[str], bool], gone: Callable[[str, int], bool]) -> None:
        """What can no longer be undone: children that stay confirmed, by txid, and coins that stay spent."""
        self.made = {txid: child for txid, child in self.made.items() if not old(txid)}
        self.coins = [coin for coin in self.coins if not gone(coin.txid, coin.index)]

    def children(self, offers: Sequence[Offer], price: int) -> dict[str, Offer]:
        """Parent's txid → the child that raises it to ``price`` (sat/vB), for those that pay less and can be raised.

        The child that is out stays when it pays that, or when nothing can pay more. One whose parent is not among
        ``offers`` is given up.
        """
        before, self.pending = self.pending, {}
        taken: set[CoinOutput] = set()
        for offer in offers:
            if offer.pays(price):
                continue
            known = before.get(offer.transaction.txid)
            if known is not None and (known.coin in taken or not self._there(known)):
                known = None
            child = known
            if known is None or known.feerate < price:
                child = self._made(offer, price, known, taken) or known
            if child is None:
                continue
            self.pending[offer.transaction.txid] = self.made[child.offer.transaction.txid] = child
            if child.coin is not None:
                taken.add(child.coin)
        return {txid: child.offer for txid, child in self.pending.items()}

    def child(self, parent: Offer, price: int) -> Offer | None:
        """The child of one transaction, when that alone is wanted; None when it has none or needs none."""
        return self.children([parent], price).get(parent.transaction.txid)

    def _there(self, child: Child) -> bool:
        return child.coin is None or (child.coin.txid, child.coin.index) not in self._gone

    def _made(self, parent: Offer, price: int, known: Child | None, taken: set[CoinOutput]) -> Child | None:
        ways = self.rules.ways(self.role)
        if known is not None and Pay.AGAIN not in ways:
            return None
        for way in ways:
            if way is Pay.OUTPUT:
                found = self._from_output(parent, price)
            elif way is Pay.COIN:
                found = self._from_coin(parent, price, [coin for coin in self.free() if coin not in taken], known)
            else:
                continue
            if found is not None:
                return found
        return None

    def _from_output(self, parent: Offer, price: int) -> Child | None:
        transaction = parent.transaction
        for index, output in enumerate(transaction.outputs):
            if output.script_pubkey != self.script:
                continue
            try:
                child = bump_from(transaction, parent.fee, index, self.key, self.script, price, self.randomness)
            except InputError:
                continue
            fee = output.amount_sat - child.outputs[0].amount_sat
            return Child(price, Offer(child, fee), None, fee)
        return None

    def _from_coin(self, parent: Offer, price: int, free: list[CoinOutput], known: Child | None) -> Child | None:
        # The coin that pays already goes first: the new child is to replace the one that is out.
        for coin in sorted(free, key=lambda coin: known is None or coin != known.coin):
            try:
                child = bump(parent.transaction, parent.fee, coin, self.key, self.script, price, self.randomness)
            except InputError:
                continue
            cost = coin.output.amount_sat - child.outputs[0].amount_sat
            return Child(price, Offer(child, cost + _anchor(parent.transaction, child)), coin, cost)
        return None


def _anchor(parent: Transaction, child: Transaction) -> int:
    return parent.outputs[child.inputs[0].index].amount_sat
