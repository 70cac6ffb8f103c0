"""Clients with watchtowers on Bitcoin Core's code: an LSP that publishes what it likes, towers that see its blocks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from superscalar_ref.bitcoin.transaction import Transaction
from superscalar_ref.chain.kernel import KernelLedger
from superscalar_ref.parties import tower_messages as t
from superscalar_ref.parties.tower import Tower
from superscalar_ref.parties.tower_store import TowerStore
from superscalar_ref.protocol.transaction import Role
from tests.parties.chain_scene import OnChain
from tests.parties.scene import LSP

DEPTH = 3


def tower(name: str = "T", store: TowerStore | None = None) -> Tower:
    return Tower(name, store or TowerStore(), DEPTH)


@dataclass
class Sky:
    """A chain, and the towers that look at it, each up or down."""

    ledger: KernelLedger
    towers: dict[str, Tower]
    down: set[str] = field(default_factory=set)
    fed: dict[str, list[bytes]] = field(default_factory=dict)
    """Tower → the blocks that it has seen, as the chain was then."""
    waiting: dict[str, Transaction] = field(default_factory=dict)
    """What towers have broadcast and no block holds."""
    alerts: list[str] = field(default_factory=list)

    def look(self) -> None:
        """Every tower that is up sees the blocks that it has not seen; after a reorg, from where the chains part."""
        blocks = list(self.ledger.raw_blocks())
        for name, one in self.towers.items():
            if name in self.down:
                continue
            seen = self.fed.setdefault(name, [])
            common = next((at for at, pair in enumerate(zip(seen, blocks, strict=False)) if pair[0] != pair[1]), None)
            common = min(len(seen), len(blocks)) if common is None else common
            for height, raw in enumerate(blocks[common:], start=common + 1):
                outbox = one.receive("chain", t.encode(t.Block(height, raw.hex())))
                self.waiting.update((sent.txid, sent) for sent in outbox.broadcasts)
                self.alerts += outbox.alerts
            self.fed[name] = blocks

    def mine(self, wanted: Iterable[Transaction] = ()) -> list[str]:
        """One block of what Core takes now, the adversary's first. Returns the txids."""
        self.look()
        taken: list[Transaction] = []
        for one in (*wanted, *self.waiting.values()):
            raw = [other.serialized for other in (*taken, one)]
            if one.txid not in {other.txid for other in taken} and self.ledger.would_accept(raw).accepted:
                taken.append(one)
        self.ledger.mine([one.serialized for one in taken])
        for one in taken:
            self.waiting.pop(one.txid, None)
        return [one.txid for one in taken]

    def wait(self, blocks: int) -> None:
        """Blocks in which only towers have anything."""
        for _ in range(blocks):
            self.mine()


@dataclass
class Watched:
    """A factory with its towers."""

    here: OnChain
    sky: Sky

    @classmethod
    def at(cls, here: OnChain, *towers: Tower) -> Watched:
        """The same parties on a copy of the chain, so that several stories begin alike."""
        return cls(here, Sky(here.ledger.fork(), {one.name: one for one in towers}))

    def by(self, party: str, name: str) -> Transaction:
        return self.here.play.actors[party].complete_transaction(name)

    def lsp_publishes(self, *names: str) -> list[str]:
        """One block with what the LSP holds under these names, as far as Core takes it. Returns what entered."""
        txids = {self.by(LSP, name).txid: name for name in names}
        return [txids[txid] for txid in self.sky.mine([self.by(LSP, name) for name in names]) if txid in txids]

    def confirmed(self, name: str) -> bool:
        txid = self.here.play.lsp.factory.realised[name].txid
        return self.sky.ledger.confirmation_height(bytes.fromhex(txid)[::-1]) is not None

    def names(self) -> set[str]:
        """Everything of the factory that is on this chain."""
        return {name for name in self.here.play.lsp.factory.realised if self.confirmed(name)}

    def gets(self, party: str) -> int:
        """What the confirmed transactions pay to a party alone (sat)."""
        templates = self.here.play.lsp.factory.templates
        outputs = [output for name in self.names() - {"funding"} for output in templates[name].outputs]
        return sum(output.amount for output in outputs if output.role is Role.WALLET and output.owner == party)


def copied(one: Tower, name: str = "T") -> Tower:
    """A tower with the same registrations and no blocks yet, so that stories do not touch each other."""
    store = TowerStore()
    one.store._connection.backup(store._connection)
    return Tower(name, store, DEPTH)
