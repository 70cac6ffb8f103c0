"""One party's eyes and hands on the chain: its factory's transactions by the strategy, its channels' by their table.

Laws of this module:

* Whoever has live channels runs this at each look, the LSP too: a payment that hangs in a channel brings the party's
  deadline forward, and the strategy then begins the exit (STR-7, STR-22 to STR-24).
* A channel whose output is on chain is closed there, with the newest commitment (STR-4); it signs nothing after that.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from superscalar_ref.bitcoin.transaction import Transaction
from superscalar_ref.chain.interface import Ledger, OutPoint
from superscalar_ref.parties.channel_actor import ChannelActor
from superscalar_ref.parties.channel_desk import ChannelDesk
from superscalar_ref.parties.channel_watch import ChannelWatcher
from superscalar_ref.parties.watch import Watcher, txid_bytes

_OPEN = ("opening", "live", "quiescent", "moving", "closing")


@dataclass
class Lookout:
    """``feed`` it every transaction that is seen, then ``look``."""

    desk: ChannelDesk
    ledger: Ledger
    claim_fee_sat: int = 0
    """What each transaction that brings an output of a channel home pays (sat)."""
    seen: dict[str, Transaction] = field(default_factory=dict)
    """Every transaction that was seen, by txid."""
    eyes: dict[str, ChannelWatcher] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.watcher = Watcher(self.desk.actor, self.ledger)

    def feed(self, transaction: Transaction) -> None:
        """See a transaction, in a block or on its way to one."""
        self.seen[transaction.txid] = transaction
        for eye in self.eyes.values():
            eye.feed(transaction)

    def look(self) -> list[tuple[str, Transaction]]:
        """See the tip, and return what to publish now, each with a name, in the order in which one needs the other."""
        self.watcher.look()
        found = list(self.watcher.publish().items())
        unspent = self.ledger.unspent()
        for side in self.desk.channels():
            places = (outpoint.split(":") for outpoint in side.channel.outpoints)
            on_chain = any(OutPoint(txid_bytes(txid), int(vout)) in unspent for txid, vout in places)
            if on_chain and side.channel.status in _OPEN and side.own is not None:
                side.force_close()
            found += [(f"{side.terms.name}: {name}", one) for name, one in self._eye(side).look()]
        return found

    def _eye(self, side: ChannelActor) -> ChannelWatcher:
        name = side.terms.name
        if name not in self.eyes or self.eyes[name].side is not side:
            self.eyes[name] = ChannelWatcher(side, self.ledger, self.claim_fee_sat)
            for one in self.seen.values():
                self.eyes[name].feed(one)
        return self.eyes[name]
