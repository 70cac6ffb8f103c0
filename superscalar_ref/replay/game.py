"""A loss on the chain, block by block, on Bitcoin Core's code.

Laws of this module:

* Each transaction is mined in the block that the trace says, by somebody who holds it complete.
* Where a lock decides the story, Core is asked in the block before it runs out, which must refuse the transaction, and
  in the first block after it, which must take it.
* What the hero broadcasts must be valid in that block; when a rival is mined instead, it must be void after it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from superscalar_ref.protocol.transaction import Kind, Role
from superscalar_ref.replay.form import Round, Script
from superscalar_ref.replay.outcome import CORE, Line, Outcome
from superscalar_ref.replay.scale import UNIT_SAT
from superscalar_ref.replay.stage import ELSEWHERE, Stage

OTHERS = "the others"


@dataclass(frozen=True, order=True)
class Probe:
    """A transaction to ask Core about when the next block is at ``height``."""

    height: int
    name: str
    accepted: bool


def play(script: Script, blocks: int) -> Outcome:
    """Play all blocks of a trace, ``blocks`` on the chain for each of its own, and compare what everybody owns."""
    stage = Stage(script, blocks)
    try:
        stage.fund()
        if stage.outcome.problems:
            return stage.outcome
        _blocks(stage)
        if not stage.outcome.problems:
            _epilogue(stage)
        stage.compare_owners()
        owned, owed = stage.outcome.owned.get(script.hero, 0), script.owed * UNIT_SAT
        if owned < owed:
            stage.outcome.add(Line(script.hero, f"owns {owned} of {owed} sat", height=stage.ledger.height))
        return stage.outcome
    finally:
        stage.close()


def _blocks(stage: Stage) -> None:
    probes = sorted(_probes(stage))
    for block in stage.script.rounds:
        height = stage.scale.height(block.height)
        while probes and probes[0].height <= height:
            probe = probes.pop(0)
            stage.advance_to(probe.height - 1)
            says = "the first block in which its locks let it:" if probe.accepted else "one block before its lock:"
            stage.ask(CORE, says, probe.name, probe.accepted)
        stage.advance_to(height - 1)
        _block(stage, block)
        _paid(stage, block)
        if stage.outcome.problems:
            return


def _block(stage: Stage, block: Round) -> None:
    """One block of the trace: what the hero broadcasts before it, what is in it, what that makes void."""
    script = stage.script
    published = {name for earlier in script.rounds if earlier.height <= block.height for name in earlier.broadcast}
    for name in block.broadcast:
        stage.ask(script.hero, "broadcasts", name, True, block.height)
    if not block.mined:
        return
    who = {name: script.hero if name in published else OTHERS for name in block.mined}
    stage.mine(block.mined, who, block.height)
    for name in block.broadcast:
        if name not in block.mined and not stage.open(name):
            stage.ask(CORE, "void now:", name, False)


def _probes(stage: Stage) -> Iterator[Probe]:
    """Before and at the first height at which the locks of what is mined have run out, where that is later than now."""
    script = stage.script
    plan = {name: stage.scale.height(block.height) for block in script.rounds for name in block.mined}
    plan[script.funding] = stage.scale.height(script.begins)
    for name, height in plan.items():
        template = stage.templates[name]
        if template.kind is Kind.FUNDING:
            continue
        (spend,) = template.spends
        parent = plan.get(spend.outpoint.transaction)
        # A parent that is never mined, or later: the block itself will show it.
        if parent is None or parent > height:
            continue
        first = max(parent + (spend.relative_lock or 0), template.lock_time + 1 if template.lock_time else 0)
        if first <= parent + 1 or first > height:
            continue
        yield Probe(first - 1, name, False)
        if first < height:
            yield Probe(first, name, True)


def _epilogue(stage: Stage) -> None:
    """What the hero can and cannot do about it: what Core says of all that spends what is on the chain."""
    script = stage.script
    hero = script.hero
    if script.elsewhere:
        for name in sorted(script.hero_holds):
            parents = {spend.outpoint.transaction for spend in script.templates[name].spends}
            if parents == {script.funding}:
                stage.ask(hero, f"cannot use what names another coin than '{ELSEWHERE}' made:", name, False)
        return
    for name in script.templates:
        if name == script.funding or not stage.open(name):
            continue
        if name in script.hero_holds:
            stage.ask(hero, "cannot pay a fee for" if name in script.unpaid else "still holds", name, None)
        elif name in script.others_hold:
            if name in script.kit:
                stage.ask(OTHERS, f"alone, and not {hero}, can complete", name, None)
        elif name in script.kit and len(script.templates[name].signers) > 1:
            _nobody(stage, name)


def _nobody(stage: Stage, name: str) -> None:
    """A transaction whose signatures nobody has all: one signer's own is not enough."""
    realised = stage.realised[name]
    signed = stage.cast.signed_alone(realised, stage.script.hero)
    says = f"nobody can complete, and {stage.script.hero}'s signature alone is not enough for"
    if realised.template.lock_time > stage.ledger.height:
        stage.script_refuses(says, name, signed)
        return
    stage.enter(realised, signed, frozenset())
    stage.ask_raw(CORE, says, name, signed, False)


def _paid(stage: Stage, block: Round) -> None:
    """What the hero is paid after a block by the trace's own count, which stops at what it is owed."""
    script = stage.script
    if block.paid < 0:
        return
    paid, owed = block.paid * UNIT_SAT, script.owed * UNIT_SAT
    owned = stage.owned().get(script.hero, 0)
    # That game counts an output as owned when it only waits for its delay; the LSP's may count one leaf of several.
    delayed = stage.delayed(script.hero) if script.broken == "P-EXIT-BEFORE-END" else 0
    most = min(owned + delayed, owed)
    if paid != most and not (_partly(script) and paid <= most):
        line = script.line("rounds", script.rounds.index(block), "paid")
        problem = f"{script.hero} owns {owned} sat after block {block.height}, is paid {paid} sat in the trace"
        stage.outcome.problems.append(f"line {line}: {problem}")


def _partly(script: Script) -> bool:
    """Whether the hero has a part in several leaves, of which a game counts one."""
    channels = {o.owner for t in script.templates.values() for o in t.outputs if o.role is Role.CHANNEL}
    return len(channels) > 1 and script.hero not in channels
