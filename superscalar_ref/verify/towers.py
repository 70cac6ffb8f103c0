"""Scenario 'tower': a client with a watchtower is away; the LSP plays its older leaf state; the tower alone answers.

The tower sees blocks and holds what the client has registered in the ceremony of the update, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from superscalar_ref.bitcoin.transaction import Transaction
from superscalar_ref.chain.fees import FeeMarket, Offer
from superscalar_ref.errors import SuperscalarError
from superscalar_ref.parties import tower_messages as t
from superscalar_ref.parties.tower import CHAIN, Purse, Tower
from superscalar_ref.parties.tower_store import TowerStore
from superscalar_ref.parties.watch import CHILD
from superscalar_ref.parties.wire import Wire
from superscalar_ref.protocol.fees import Paid, reserve_needed
from superscalar_ref.protocol.transaction import Kind
from superscalar_ref.protocol.watchtower import ANSWERS
from superscalar_ref.protocol.weight import key_path_vbytes
from superscalar_ref.realise.book import CoinOutput
from superscalar_ref.realise.child import CHILD_VBYTES
from superscalar_ref.report.result import Check
from superscalar_ref.verify.scene import Named, Parties, Scene, Trial, named, wallet_key, wallet_script

NAME = "tower"
PRICE = 5
"""sat/vB that blocks ask for while a tower that has a coin answers: more than is signed into the tree."""


@dataclass(frozen=True)
class Towers:
    """The scenario's checks and its chains."""

    checks: tuple[Check, ...]
    trials: tuple[Trial, ...]


def guard_while_away(scene: Scene) -> Towers:
    """Register in an update of the leaf, then let the LSP cheat with the tower awake, and with the tower down."""
    scene.progress("a watchtower for a client that is away")
    trials: list[Trial] = []
    checks: list[Check] = []
    client = scene.example.clients[0].name
    with scene.again() as home:
        parties = scene.parties(home)
        try:
            for actor in parties.everyone():
                scene.watch(actor, Trial("tower", scene.start))
            coin = _coin(scene, parties, client)
            key, script = wallet_key(scene.example, client), wallet_script(scene.example, client)
            purse = None if coin is None else Purse(key, (coin,), script)
            tower = Tower(NAME, TowerStore(), scene.depth(), purse)
            old, new = _updated(parties, tower, client)
            checks.append(_registered(parties, tower, client, new))
            story = _Story(scene, parties, tower, coin)
            trials.append(story.trial)
            checks.append(story.cheat(old, new))
        except SuperscalarError as error:
            checks.append(Check("tower/broken-off", "tower", "the scenario runs to its end", False, str(error)))
        finally:
            parties.close()
    return Towers(tuple(checks), tuple(trials))


def _coin(scene: Scene, parties: Parties, client: str) -> CoinOutput | None:
    """The coin that a client keeps for fees may as well be its tower's, if it pays for a state of the leaf."""
    coin = scene.reserves.get(client)
    leaf = parties.lsp.factory.templates[parties.lsp.counted_blueprint().path(client)[-1]]
    state = Paid(key_path_vbytes(len(leaf.outputs) - 1), leaf.fee)
    needed = reserve_needed([state], CHILD_VBYTES, PRICE, scene.example.economy().dust)
    return coin if coin is not None and coin.output.amount_sat >= needed else None


def _updated(parties: Parties, tower: Tower, client: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The client gets a tower, and its leaf a new version: the paths of the older and of the newer one."""
    wire = Wire(parties.wire.actors, {NAME: tower})
    wire.post(client, parties.clients[client].add_tower(NAME))
    wire.run()
    lsp = parties.lsp
    old = lsp.counted_blueprint().path(client)
    wire.post(lsp.name, lsp.update(lsp.tree.leaf_of(client).path, {}))
    wire.run()
    parties.wire.alerts.extend(wire.alerts)
    return old, lsp.counted_blueprint().path(client)


def _registered(parties: Parties, tower: Tower, client: str, new: tuple[str, ...]) -> Check:
    """The tower keeps the new state and the poison of the old one, and nothing that could begin an exit."""
    actor = parties.clients[client]
    entries = tower.store.entries()
    kept = {entry.txid for entry in entries}
    problems = list(parties.wire.alerts)
    wanted = [new[-1], *(name for name in actor.held if name.startswith("poison:"))]
    problems += [f"the tower lacks {name}" for name in wanted if actor.factory.realised[name].txid not in kept]
    problems += [f"it keeps a {entry.kind}" for entry in entries if entry.kind not in ANSWERS]
    kinds = {kind: sum(entry.kind == kind for entry in entries) for kind in sorted({one.kind for one in entries})}
    return Check(
        "tower/registered",
        "tower",
        "the update counts once the tower keeps the new state and the poison of the old one; it could begin no exit",
        not problems,
        problems[0] if problems else ", ".join(f"{count} {kind}" for kind, count in kinds.items()),
        ("CLI-6", "WTW-1", "P-TOWER-POWERLESS"),
    )


class _Story:
    """A copy of the chain on which the LSP cheats."""

    def __init__(self, scene: Scene, parties: Parties, tower: Tower, coin: CoinOutput | None) -> None:
        self.parties = parties
        self.coin = coin
        self.market = FeeMarket(scene.example.economy().feerate if coin is None else PRICE)
        self.tower = tower
        self.trial = Trial("tower", scene.start.fork())
        self.seen = self.trial.ledger.height - 1
        self.names = {realised.txid: name for name, realised in parties.lsp.factory.realised.items()}

    def cheat(self, old: tuple[str, ...], new: tuple[str, ...]) -> Check:
        """The LSP publishes down to the leaf's kickoff, and waits for the lock of its older state."""
        lsp, trial = self.parties.lsp, self.trial
        templates = lsp.factory.templates
        for name in old[:-1]:
            trial.ledger.advance(max(0, (templates[name].spends[0].relative_lock or 0) - 1))
            trial.mine(named(lsp, name))
        trial.ledger.advance(max(0, (templates[new[-1]].spends[0].relative_lock or 0) - 1))
        self.tower.receive(CHAIN, t.encode(t.Feerate(self.market.feerate(trial.ledger.height))))
        said_first = list(self._answers())
        taken = self.market.block(trial.ledger.height + 1, [Offer(one.transaction, one.fee) for one in said_first])
        answers = [one for one in said_first if Offer(one.transaction, one.fee) in taken]
        trial.mine(*answers)
        waits = (templates[old[-1]].spends[0].relative_lock or 0) - (templates[new[-1]].spends[0].relative_lock or 0)
        trial.ledger.advance(waits - 1)
        said = trial.refuse(named(lsp, old[-1]))
        names = [one.name for one in answers]
        wanted = [new[-1], *([] if self.coin is None else [f"{CHILD}{new[-1]}"])]
        return Check(
            "tower/newest-wins",
            "tower",
            "the LSP plays its older leaf state with the client away; its tower's newest confirms first",
            names == wanted and "missingorspent" in said,
            f"{', '.join(names) or 'nothing'} confirmed at {self.market.usual} sat/vB; {old[-1]}: {said[:40]}",
            ("WTW-3", "WTW-4", "STR-31", "P-TOWER-IN-TIME"),
        )

    def _answers(self) -> Iterator[Named]:
        """What the tower broadcasts at the tip, once it has seen every block that it has not: it repeats what waits."""
        found: dict[str, Named] = {}
        blocks = self.trial.ledger.raw_blocks()
        for height in range(self.seen + 1, len(blocks) + 1):
            outbox = self.tower.receive(CHAIN, t.encode(t.Block(height, blocks[height - 1].hex())))
            found.clear()
            for sent in outbox.broadcasts:
                one = self._child(sent) if sent.txid not in self.names else self._own(sent)
                found[one.name] = one
        self.seen = len(blocks)
        yield from found.values()

    def _own(self, sent: Transaction) -> Named:
        name = self.names[sent.txid]
        return Named(name, "tower", sent, self.parties.lsp.factory.templates[name].fee)

    def _child(self, sent: Transaction) -> Named:
        """What the tower pays for one of its broadcasts: it spends that one's anchor and its coin."""
        assert self.coin is not None
        parent = self.names[sent.inputs[0].txid_hex]
        outputs = self.parties.lsp.factory.realised[parent].transaction.outputs
        brought = outputs[sent.inputs[0].index].amount_sat + self.coin.output.amount_sat
        fee = brought - sum(output.amount_sat for output in sent.outputs)
        return Named(f"{CHILD}{parent}", str(Kind.CHILD), sent, fee)
