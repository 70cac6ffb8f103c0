"""A scene whose factory is funded on Bitcoin Core's code, with a watcher for each party."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from superscalar_ref.bitcoin.transaction import Transaction
from superscalar_ref.chain.interface import TxOut
from superscalar_ref.chain.kernel import KernelLedger
from superscalar_ref.parties.tower import Tower
from superscalar_ref.parties.watch import NEVER, Watcher
from superscalar_ref.protocol.blueprint import Locks
from superscalar_ref.protocol.client import Limits
from superscalar_ref.protocol.shape import Shape
from tests.parties.scene import COIN, LIMITS, LOCKS, LSP, WALLET_SCRIPT, Scene, coin, payout, scene


@dataclass
class OnChain:
    """A scene, the chain on which its factory is funded, and who looks at it."""

    play: Scene
    ledger: KernelLedger
    watchers: dict[str, Watcher]

    @classmethod
    def start(
        cls,
        clients: int,
        shape: Shape,
        locks: Locks = LOCKS,
        towers: Mapping[str, Tower] | None = None,
        limits: Limits = LIMITS,
        others: Sequence[TxOut] = (),
    ) -> OnChain:
        """A factory that everybody has seen deep enough on a chain of its own, which begins with ``others`` too."""
        ledger = KernelLedger.start([TxOut(COIN, WALLET_SCRIPT), *others])
        point = ledger.funds[0]
        play = scene(
            clients,
            shape=shape,
            locks=locks,
            limits=limits,
            coins=(coin(point.txid[::-1].hex(), point.index),),
            towers=towers,
        )
        play.ceremony()
        play.wire.post(LSP, play.lsp.fund())
        ledger.mine([one.serialized for one in play.wire.broadcasts])
        ledger.advance(play.limits.depth - 1)
        here = cls(play, ledger, {})
        here.watchers = {name: Watcher(actor, ledger) for name, actor in play.actors.items()}
        here.look(play.actors)
        return here

    def fork(self) -> OnChain:
        """The same parties before a copy of the chain; what they learn there they keep."""
        ledger = self.ledger.fork()
        watchers = {name: Watcher(actor, ledger) for name, actor in self.play.actors.items()}
        return OnChain(self.play, ledger, watchers)

    def look(self, names: Iterable[str]) -> None:
        """These see the tip."""
        for name in names:
            self.watchers[name].look()

    def deadline(self, name: str, height: int = NEVER) -> None:
        """From this height on the party must have begun its exit."""
        self.watchers[name].deadline = height

    def mine(self, *transactions: Transaction) -> int:
        """One block of these, each of which must be valid. Returns its height."""
        self.ledger.mine([one.serialized for one in transactions])
        return self.ledger.height

    def publish(self, party: str, name: str) -> int:
        """Mine one transaction that ``party`` holds, as soon as its relative lock allows. Returns its height."""
        template = self.play.actors[party].factory.templates[name]
        self.ledger.advance(max(0, max(spend.relative_lock or 0 for spend in template.spends) - 1))
        return self.mine(self.play.actors[party].complete_transaction(name))

    def round(self, names: Iterable[str]) -> list[str]:
        """These look, and one block holds what they publish, each transaction once. Returns its names."""
        block: dict[str, Transaction] = {}
        for name in names:
            self.watchers[name].look()
            for label, one in self.watchers[name].publish().items():
                if all(one.txid != other.txid for other in block.values()):
                    block[label] = one
        self.mine(*block.values())
        return list(block)

    def owns(self, party: str) -> int:
        """What rests on a party's payout script (sat)."""
        script = payout(party)
        return sum(one.output.amount for one in self.ledger.unspent().values() if one.output.script == script)
