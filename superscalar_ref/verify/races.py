"""Scenario 'race': after updates, an adversary publishes an older state; the newest wins, unless its owner is late.

The honest party publishes the newest state in the last block that still wins, and then, on another copy of the chain,
one block later: when both may enter the same block, the adversary's does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from superscalar_ref.errors import SuperscalarError
from superscalar_ref.parties.client import ClientActor
from superscalar_ref.protocol.blueprint import kickoff_name, state_name
from superscalar_ref.protocol.odometer import relative_lock
from superscalar_ref.protocol.shape import Node
from superscalar_ref.report.result import Check, RaceResult
from superscalar_ref.verify.scene import Parties, Scene, Trial, named


@dataclass(frozen=True)
class Races:
    """All races of a run."""

    checks: tuple[Check, ...]
    results: tuple[RaceResult, ...]
    trials: tuple[Trial, ...]


@dataclass(frozen=True)
class _Field:
    """One node whose states race: the path down to its kickoff, and its states by index."""

    title: str
    path: tuple[str, ...]
    states: tuple[str, ...]


def race(scene: Scene) -> Races:
    """Update the topmost counter and a leaf through all their states, then race every older state of each."""
    scene.progress("updates for the races")
    with scene.again() as home:
        parties = scene.parties(home)
        for actor in parties.everyone():
            scene.watch(actor, Trial("race", scene.start))
        client = parties.clients[scene.example.clients[0].name]
        checks, results, trials = [], [], []
        try:
            fields = tuple(_update(scene, parties, client))
            checks.append(_updated(parties, client))
        except SuperscalarError as error:
            parties.close()
            return Races((Check("race/updates", "race", "updates are signed", False, str(error)),), (), ())
        for field in fields:
            for index in range(len(field.states) - 1):
                for late in (False, True):
                    scene.progress(f"race: {field.title}, state {index}{', one block late' if late else ''}")
                    result, trial = _run(scene, parties, client, field, index, late)
                    results.append(result)
                    trials.append(trial)
        parties.close()
    for late in (False, True):
        wanted = [result for result in results if result.scenario.endswith("/late") == late]
        bad = [result.scenario for result in wanted if not result.passed]
        says = (
            "an honest party that is one block later than allowed loses to every older state"
            if late
            else "the newest state wins against every older one, published in the last block that is allowed"
        )
        check_id = "race/late-loses" if late else "race/newest-wins"
        detail = f"failed: {', '.join(bad)}" if bad else f"{len(wanted)} races"
        checks.append(Check(check_id, "race", says, not bad and bool(wanted), detail, ("P-NEWEST-WINS", "CLI-12")))
    return Races(tuple(checks), tuple(results), tuple(trials))


def _update(scene: Scene, parties: Parties, client: ClientActor) -> Iterator[_Field]:
    """Use up the counters of the topmost counting node and of the client's leaf."""
    tree = scene.example.tree
    counting = [node for node in tree.path_to(client.name) if node.has_counter]
    for title, node in (("root", counting[0]), ("leaf", counting[-1])):
        if title == "leaf" and node is counting[0]:
            return
        for _ in range(scene.example.parameters.number("states_per_layer") - 1):
            parties.wire.post(parties.lsp.name, parties.lsp.update(node.path, {}))
            parties.wire.run()
        yield _field(title, node, parties, client)


def _field(title: str, node: Node, parties: Parties, client: ClientActor) -> _Field:
    odometer = parties.lsp.odometer
    versions = odometer.versions_on_path(node.path)
    above = versions[:-1]
    blueprint = client.factory.blueprints[client.label]
    path = blueprint.path(client.name)
    kickoff = kickoff_name(node, above)
    return _Field(
        title,
        path[: path.index(kickoff) + 1],
        tuple(state_name(node, (*above, index)) for index in range(versions[-1] + 1)),
    )


def _updated(parties: Parties, client: ClientActor) -> Check:
    lsp = parties.lsp
    well = not parties.wire.alerts and lsp.life.status == "active"
    updates = len(lsp.factory.record.versions) - 1
    detail = f"{updates} updates, {parties.wire.count} messages; {client.name} counts on version {client.life.version}"
    return Check(
        "race/updates",
        "race",
        "every state of the topmost counter and of a leaf is signed, newest last",
        well and updates > 0,
        parties.wire.alerts[0] if parties.wire.alerts else detail,
        ("FAC-10", "FAC-14", "CLI-5", "CLI-6"),
    )


def _run(
    scene: Scene, parties: Parties, client: ClientActor, field: _Field, index: int, late: bool
) -> tuple[RaceResult, Trial]:
    """Publish down to the kickoff, then let the older state and the newest race."""
    scenario = f"race/{field.title}/{index}{'/late' if late else ''}"
    trial = Trial(scenario, scene.start.fork())
    newest, older = named(client, field.states[-1]), named(parties.lsp, field.states[index])
    states = len(field.states)
    lock = relative_lock(scene.example.parameters.number("step_blocks"), states, index)
    problem = ""
    winner = ""
    try:
        begun = trial.ledger.height
        for name in field.path:
            begun = _publish(trial, client, name)
        # The older state may enter the block at begun + lock; the newest must be in the block before it.
        last_good = begun + lock - 1
        trial.ledger.advance((last_good if not late else last_good + 1) - trial.ledger.height - 1)
        first, second = (older, newest) if late else (newest, older)
        trial.mine(first)
        winner = first.name
        if not late:
            trial.ledger.advance(begun + lock - trial.ledger.height - 1)
        said = trial.refuse(second)
        if "missingorspent" not in said:
            problem = f"{second.name}: {said}"
    except SuperscalarError as error:
        problem = str(error)
    expected = older.name if late else newest.name
    says = f"{field.title}: state {index} against state {states - 1}, " + (
        "the newest one block too late" if late else f"the newest {lock - 1} blocks after the kickoff, its last chance"
    )
    passed = not problem and winner == expected and trial.conserved()
    return RaceResult(scenario, problem or says, index, winner, expected, passed), trial


def _publish(trial: Trial, client: ClientActor, name: str) -> int:
    """Mine one transaction of the path as soon as its lock allows; its height."""
    template = client.factory.templates[name]
    lock = template.spends[0].relative_lock or 0
    if lock > 1:
        trial.ledger.advance(lock - 1)
    return trial.mine(named(client, name))
