"""Which way a trace is replayed."""

from __future__ import annotations

from pathlib import Path

from superscalar_ref.replay import ceremony, game, payments, standing, towers
from superscalar_ref.replay.claims import false_claims
from superscalar_ref.replay.form import CEREMONIES, PAYMENTS, TOWERS, Script
from superscalar_ref.replay.outcome import Outcome
from superscalar_ref.replay.scale import check_length
from superscalar_ref.spec.load import load_parameters

BLOCKS = 10
"""Blocks on the chain for each block of the game, unless told otherwise."""


def replay(script: Script, blocks: int = BLOCKS, directory: Path | None = None) -> Outcome:
    """Play a trace with real transactions and signatures, and hold all that it says about itself against them.

    ``blocks``: how many on the chain for each block of the game. ``directory``: the specification that the trace is
    about; without it the package's own. Raises ``InputError`` when that makes too long a chain, or when a transaction
    of the trace cannot be built, and ``SpecError`` for a faulty specification.
    """
    check_length(len(script.rounds), blocks)
    false = false_claims(script, directory)
    outcome = _played(script, blocks, directory)
    outcome.problems[:0] = false
    if false and outcome.cannot:
        # What no chain can show can be wrong all the same.
        outcome.cannot = ""
    return outcome


def _played(script: Script, blocks: int, directory: Path | None) -> Outcome:
    if script.configuration == CEREMONIES:
        return ceremony.play(script)
    if script.configuration == PAYMENTS:
        return payments.play(script, load_parameters(directory), blocks)
    if script.configuration == TOWERS:
        return towers.play(script, blocks)
    if not script.funding:
        return Outcome(cannot=f"a trace of {script.broken} without a funding transaction has nothing on a chain")
    if script.started:
        return standing.play_blast(script, blocks)
    if not script.rounds and script.broken == "P-KIT-COMPLETE":
        return standing.play_kit(script, blocks)
    if not script.rounds and script.broken in ("P-VALUE-CONSERVED", "P-BLAST-BOUNDED"):
        return Outcome(cannot=f"a trace of {script.broken} is about amounts in templates, not about a chain")
    return game.play(script, blocks)
