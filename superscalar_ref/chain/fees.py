"""A fee market: what a block asks for at each height, and which transactions it takes.

Consensus asks for no fee; miners do. A block takes packages: a transaction with those of its parents that are not
confirmed yet. The package that pays most for its size comes first, as long as it pays the price of the block and fits
(P1143#13, BIP-431). What is offered must be valid by itself; mempools and relay are not modelled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from heapq import heapify, heappop, heappush

from superscalar_ref.bitcoin.transaction import Transaction

BLOCK_WEIGHT = 3_992_000
"""Weight units that a block has for transactions: 4,000,000 (BIP-141), less what Bitcoin Core's miner sets aside."""


@dataclass(frozen=True)
class Offer:
    """A complete transaction, and its fee (sat)."""

    transaction: Transaction
    fee: int

    def pays(self, feerate: int) -> bool:
        """Whether it pays ``feerate`` (sat/vB) by itself."""
        return self.fee >= feerate * self.transaction.vbytes


@dataclass(frozen=True)
class Spike:
    """A span of blocks that ask for more than usual."""

    first: int
    """Height of its first block."""
    blocks: int
    feerate: int
    """In sat/vB."""

    def holds(self, height: int) -> bool:
        """Whether the block at ``height`` is one of them."""
        return self.first <= height < self.first + self.blocks


@dataclass(frozen=True)
class FeeMarket:
    """The least feerate that each block takes (sat/vB), and how much fits into one (weight units)."""

    usual: int = 1
    spikes: tuple[Spike, ...] = ()
    weight_limit: int = BLOCK_WEIGHT

    def feerate(self, height: int) -> int:
        """What the block at ``height`` asks for (sat/vB)."""
        return max([self.usual, *(spike.feerate for spike in self.spikes if spike.holds(height))])

    def in_spike(self, height: int) -> bool:
        """Whether the block at ``height`` is one of a spike."""
        return any(spike.holds(height) for spike in self.spikes)

    def spike_end(self, height: int) -> int:
        """The first height from ``height`` on that is in no spike."""
        while self.in_spike(height):
            height += 1
        return height

    def block(self, height: int, offers: Sequence[Offer]) -> tuple[Offer, ...]:
        """What the block at ``height`` takes of ``offers``, parents before children.

        Of offers that spend one output it takes at most one. Between packages that pay the same for their size, the
        one whose last transaction was offered first wins: whoever asks puts the adversary's first.
        """
        price = self.feerate(height)
        waiting: dict[str, Offer] = {}
        for offer in offers:
            waiting.setdefault(offer.transaction.txid, offer)
        packages = {txid: _package(txid, waiting) for txid in waiting}
        below: dict[str, list[str]] = {}
        for txid, package in packages.items():
            for offer in package:
                below.setdefault(offer.transaction.txid, []).append(txid)
        place = {txid: number for number, txid in enumerate(waiting)}
        queue = [(-_rate(package), place[txid], txid) for txid, package in packages.items()]
        heapify(queue)
        taken: dict[str, Offer] = {}
        spent: set[tuple[str, int]] = set()
        room = self.weight_limit
        while queue and -queue[0][0] >= price:
            rate, _, txid = heappop(queue)
            package = packages[txid]
            # An entry from before a parent was taken is out of date; a newer one is in the queue.
            if txid in taken or -_rate(package) != rate or _weight(package) > room or _conflicts(package, spent):
                continue
            taken.update((offer.transaction.txid, offer) for offer in package)
            spent.update(point for offer in package for point in _points(offer))
            room -= _weight(package)
            for child in dict.fromkeys(one for offer in package for one in below[offer.transaction.txid]):
                if child not in taken:
                    packages[child] = tuple(one for one in packages[child] if one.transaction.txid not in taken)
                    heappush(queue, (-_rate(packages[child]), place[child], child))
        return tuple(taken.values())


def _package(txid: str, waiting: Mapping[str, Offer]) -> tuple[Offer, ...]:
    """An offer after those of its ancestors that are offered."""
    found: dict[str, Offer] = {}

    def add(one: str) -> None:
        if one not in waiting or one in found:
            return
        for spend in waiting[one].transaction.inputs:
            add(spend.txid_hex)
        found[one] = waiting[one]

    add(txid)
    return tuple(found.values())


def _points(offer: Offer) -> list[tuple[str, int]]:
    return [(spend.txid_hex, spend.index) for spend in offer.transaction.inputs]


def _conflicts(package: tuple[Offer, ...], spent: set[tuple[str, int]]) -> bool:
    """Whether it spends an output twice, or one that the block spends already."""
    points = [point for offer in package for point in _points(offer)]
    return len(set(points)) < len(points) or not spent.isdisjoint(points)


def _weight(package: tuple[Offer, ...]) -> int:
    return sum(offer.transaction.weight for offer in package)


def _rate(package: tuple[Offer, ...]) -> Fraction:
    return Fraction(sum(offer.fee for offer in package), sum(offer.transaction.vbytes for offer in package))
