"""Losses that are plain to see before any block: an incomplete kit, a clock that is started for somebody else."""

from __future__ import annotations

from superscalar_ref.protocol.transaction import Kind
from superscalar_ref.replay.form import Script
from superscalar_ref.replay.outcome import CORE, Outcome
from superscalar_ref.replay.stage import Stage


def play_kit(script: Script, blocks: int) -> Outcome:
    """A hero that counts on signatures which it does not have: Core refuses what it would publish."""
    stage = Stage(script, blocks)
    try:
        stage.fund()
        hero = script.hero
        missing = [name for name in script.templates if name in script.kit - script.hero_holds]
        if not missing:
            stage.outcome.problems.append(f"{hero} holds its whole kit, and the trace says that it does not")
        for name in missing:
            realised = stage.realised[name]
            # Any bytes that are not the signature: here that of one signer alone.
            signed = stage.cast.signed_alone(realised, hero)
            if stage.open(name):
                stage.enter(realised, signed, frozenset())
                stage.ask_raw(hero, "publishes with what it took for the signature", name, signed, False)
            else:
                stage.script_refuses(f"what {hero} took for the signature of", name, signed)
        for name in script.templates:
            if name in script.hero_holds:
                free = stage.open(name)
                says = "holds complete:" if free else "holds complete, with nothing on the chain to spend:"
                stage.ask(hero, says, name, None if free else False)
        stage.compare_owners()
        return stage.outcome
    finally:
        stage.close()


def play_blast(script: Script, blocks: int) -> Outcome:
    """One client's exit starts the clock of a state that is not on its path: Core takes that state when it runs out."""
    stage = Stage(script, blocks)
    try:
        stage.fund()
        path = [
            name
            for name, template in script.templates.items()
            if name in script.kit and template.kind in (Kind.KICKOFF, Kind.STATE) and name != script.funding
        ]
        started = [name for name in script.started if name not in path]
        if not started:
            stage.outcome.problems.append(f"nothing is started by the exit of {script.hero}")
        parents = {script.templates[name].spends[0].outpoint.transaction for name in started}
        for name in path:
            spend = stage.templates[name].spends[0]
            parent = stage.confirmed(spend.outpoint.transaction)
            if parent is None:
                continue
            stage.advance_to(parent + (spend.relative_lock or 0) - 1)
            stage.mine([name], {name: script.hero})
            # What follows on the path is of no importance: the clock runs from here.
            if stage.outcome.problems or parents <= {n for n in path if stage.confirmed(n) is not None}:
                break
        for name in started:
            spend = stage.templates[name].spends[0]
            parent = stage.confirmed(spend.outpoint.transaction)
            if parent is None:
                stage.outcome.problems.append(f"the exit of {script.hero} does not publish what {name} spends")
                continue
            first = parent + (spend.relative_lock or 0)
            stage.advance_to(first - 2)
            stage.ask(CORE, f"one block before the clock that {script.hero}'s exit started runs out:", name, False)
            stage.advance_to(first - 1)
            stage.ask(CORE, f"though nobody but {script.hero} has published anything:", name, True)
        return stage.outcome
    finally:
        stage.close()
