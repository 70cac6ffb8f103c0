"""A pair on Bitcoin Core's code: its funding output on a chain, both sides' eyes, and what each ends with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from superscalar_ref.bitcoin.transaction import Transaction
from superscalar_ref.chain.interface import TxOut
from superscalar_ref.chain.kernel import KernelLedger
from superscalar_ref.parties.channel_watch import ChannelWatcher
from superscalar_ref.protocol.channel import View
from tests.parties.channel_scene import CLIENT, DUST, LSP, Pair, payout, terms

OVER = ("swept", "penalised", "closed")
OWN_COIN, OWN_COINS_OF = 50_000, "the LSP's coins"
"""A coin beside the channel (sat), and whose payout script it is on."""


@dataclass
class Chain:
    """One ledger, and who watches it."""

    ledger: KernelLedger
    watchers: dict[str, ChannelWatcher] = field(default_factory=dict)

    def mine(self, transactions: Iterable[Transaction] = ()) -> list[Transaction]:
        """One block of those of the transactions that Core's code takes now, in their order; the others wait."""
        taken: list[Transaction] = []
        for one in transactions:
            raw = [other.serialized for other in (*taken, one)]
            if one.txid not in {other.txid for other in taken} and self.ledger.would_accept(raw).accepted:
                taken.append(one)
        self.ledger.mine([one.serialized for one in taken])
        for watcher in self.watchers.values():
            for one in taken:
                watcher.feed(one)
        return taken

    def round(self, names: Iterable[str]) -> list[Transaction]:
        """These look, and one block holds what they publish."""
        wanted = [one for name in names for _, one in self.watchers[name].look()]
        return self.mine(wanted)

    def paid(self, script: bytes) -> int:
        """What rests on a script (sat)."""
        return sum(one.output.amount for one in self.ledger.unspent().values() if one.output.script == script)


@dataclass
class OnChain:
    """A pair whose funding output is confirmed."""

    pair: Pair
    chain: Chain

    @classmethod
    def start(cls, **options: object) -> OnChain:
        """Open a channel on a chain of its own."""
        funding = terms(LSP).bolt_terms(LSP, terms(LSP).outpoint).funding_output
        # Two outputs: the second is where a test may move the channel to. The third is the LSP's own, for fees.
        channels = [TxOut(funding.amount_sat, funding.script_pubkey)] * 2
        ledger = KernelLedger.start([*channels, TxOut(OWN_COIN, payout(OWN_COINS_OF))])
        point = ledger.funds[0]
        pair = Pair(outpoint=str(point), height=ledger.height, **options)  # type: ignore[arg-type]
        play = cls(pair, Chain(ledger))
        for name in (CLIENT, LSP):
            play.watch(name)
        pair.open()
        return play

    def watch(self, name: str) -> None:
        self.chain.watchers[name] = ChannelWatcher(self.pair.sides[name], self.chain.ledger)

    def settle(self, *names: str, most: int = 300) -> OnChain:
        """Block after block, until every channel that is watched is over."""
        names = names or (CLIENT, LSP)
        for _ in range(most):
            self.chain.round(names)
            if all(self.pair.sides[name].channel.status in OVER for name in names):
                return self
        states = {name: (self.pair.sides[name].channel.status, self.pair.sides[name].channel.claims) for name in names}
        raise AssertionError(f"not over after {most} blocks: {states}")

    def ends(self) -> tuple[int, int]:
        """What the client and the LSP have at rest (sat)."""
        return tuple(self.chain.paid(payout(f"{name} in channel")) for name in (CLIENT, LSP))  # type: ignore[return-value]


def expected(said: View, holder: str, knows: dict[str, set[str]]) -> tuple[int, int]:
    """What a commitment that nobody revoked gives the client and the LSP (sat), by who knows which preimage."""
    other = LSP if holder == CLIENT else CLIENT
    amounts = {holder: said.to_holder_msat // 1000, other: said.to_other_msat // 1000}
    amounts = {name: amount if amount >= DUST else 0 for name, amount in amounts.items()}
    for htlc in said.htlcs:
        payee = LSP if htlc.payer == CLIENT else CLIENT
        if htlc.amount_msat // 1000 >= DUST:
            amounts[payee if htlc.payment_hash in knows[payee] else htlc.payer] += htlc.amount_msat // 1000
    return amounts[CLIENT], amounts[LSP]
