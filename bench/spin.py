"""The checker beside Spin: one game, the same strategy, the same positions, each by its own program."""

from __future__ import annotations

import sys
from dataclasses import replace

from measure import Measured, Rival, compare

from superscalar_ref.check.arena import Arena, default_horizon, relevant
from superscalar_ref.check.configurations import allowed_choices, load_configurations, tight_values
from superscalar_ref.check.explore import Explorer
from superscalar_ref.check.game import solve
from superscalar_ref.check.promela import to_promela
from superscalar_ref.check.situations import arena, counts, policy
from superscalar_ref.check.spin import missing, search, verifier
from superscalar_ref.check.world import LSP, World
from superscalar_ref.protocol.participant import machines
from superscalar_ref.protocol.strategy import load_strategy
from superscalar_ref.spec.load import load_specification

CONFIGURATION, ABSENCE, CONFIRMATION = "static-top", 3, 3
"""Which of ``spec/configurations.toml``, made larger by longer latencies (blocks): the LSP against its two clients."""
TURNS = 3
"""At most: one turn of either takes a second or more."""


def game() -> tuple[World, Arena]:
    """The game of the LSP when everything that it ever signed is let go, to a horizon that both play to."""
    configuration = next(c for c in load_configurations() if c.id == CONFIGURATION)
    configuration = replace(configuration, absence=ABSENCE, confirmation=CONFIRMATION)
    parameters = load_specification().parameters
    choices = allowed_choices(parameters, {"stock_lock": str(parameters["stock_lock"].default)})[0]
    world = World(configuration, tight_values(parameters, configuration, choices), LSP)
    scenes = [r.scene for r in Explorer(world, machines()).run().scenes if counts(r.scene)]
    last = arena(world, max(scenes, key=lambda scene: len(scene.released)))
    return world, replace(last, horizon=default_horizon(last, relevant(last)))


def beside_spin(repeats: int) -> Measured:
    """Positions a second of the checker and of Spin. Without Spin the checker is measured alone, and that is said."""
    world, played = game()
    strategy = load_strategy()
    follow = policy(strategy, world, played)
    found = solve(played, follow)
    what = f"{CONFIGURATION}, absence {ABSENCE}, confirmation {CONFIRMATION}: the LSP by the prescribed strategy"
    ours = Rival(lambda: solve(played, follow))
    turns = min(repeats, TURNS)
    absent = missing()
    if absent is not None:
        print(f"spin: {absent} is not installed; the checker is measured alone", file=sys.stderr)
        return compare("spin", what, {"checker": ours}, turns, {"checker, positions": ("checker", found.states)})
    with verifier(to_promela(played, strategy), optimise=True) as program:
        holds, states, _ = search(program)
        if (holds, states) != (found.wins, found.states):
            raise AssertionError(f"Spin: {holds}, {states} states; the checker: {found.wins}, {found.states} positions")
        says = (
            f"{what}, {states} positions of either, both say '{'holds' if holds else 'refuted'}'. Spin: every position "
            "with its height hashed anew by a C program, its start within, its compilation not; it stops at the "
            "verdict. Checker: Python; a position is expanded once for all heights between two locks, then looked up, "
            "and a second pass gives worst block, amount and trace"
        )
        rivals = {"Spin": Rival(lambda: search(program)), "checker": ours}
        counted = {"Spin, positions": ("Spin", states), "checker, positions": ("checker", found.states)}
        return compare("spin", says, rivals, turns, counted)
