"""Scenario 'tower': a client with a watchtower is away; the LSP plays its older leaf state; the tower alone answers.

The tower sees blocks and holds what the client has registered in the ceremony of the update, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from superscalar_ref.errors import SuperscalarError
from superscalar_ref.parties import tower_messages as t
from superscalar_ref.parties.tower import CHAIN, Tower
from superscalar_ref.parties.tower_store import TowerStore
from superscalar_ref.parties.wire import Wire
from superscalar_ref.protocol.watchtower import ANSWERS
from superscalar_ref.report.result import Check
from superscalar_ref.verify.scene import Named, Parties, Scene, Trial, named

NAME = "tower"


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
            tower = Tower(NAME, TowerStore(), scene.depth())
            old, new = _updated(parties, tower, client)
            checks.append(_registered(parties, tower, client, new))
            story = _Story(scene, parties, tower)
            trials.append(story.trial)
            checks.append(story.cheat(old, new))
        except SuperscalarError as error:
            checks.append(Check("tower/broken-off", "tower", "the scenario runs to its end", False, str(error)))
        finally:
            parties.close()
    return Towers(tuple(checks), tuple(trials))


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

    def __init__(self, scene: Scene, parties: Parties, tower: Tower) -> None:
        self.parties = parties
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
        answers = list(self._answers())
        trial.mine(*answers)
        waits = (templates[old[-1]].spends[0].relative_lock or 0) - (templates[new[-1]].spends[0].relative_lock or 0)
        trial.ledger.advance(waits - 1)
        said = trial.refuse(named(lsp, old[-1]))
        names = [one.name for one in answers]
        return Check(
            "tower/newest-wins",
            "tower",
            "the LSP plays its older leaf state with the client away; its tower's newest confirms first",
            names == [new[-1]] and "missingorspent" in said,
            f"{', '.join(names) or 'nothing'} confirmed; {old[-1]}: {said[:40]}",
            ("WTW-3", "WTW-4", "P-TOWER-IN-TIME"),
        )

    def _answers(self) -> Iterator[Named]:
        """What the tower broadcasts at the tip, once it has seen every block that it has not: it repeats what waits."""
        found: dict[str, Named] = {}
        blocks = self.trial.ledger.raw_blocks()
        for height in range(self.seen + 1, len(blocks) + 1):
            outbox = self.tower.receive(CHAIN, t.encode(t.Block(height, blocks[height - 1].hex())))
            found.clear()
            for sent in outbox.broadcasts:
                name = self.names[sent.txid]
                found[name] = Named(name, "tower", sent, self.parties.lsp.factory.templates[name].fee)
        self.seen = len(blocks)
        yield from found.values()
