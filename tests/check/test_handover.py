"""An assisted exit, block by block: each rule of its table that is taken away is missed, but for those that say why."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from superscalar_ref.check import handover
from superscalar_ref.check.configurations import load_configurations
from superscalar_ref.check.judge import EXITS, Design
from superscalar_ref.check.reasons import removals, unnoticed
from superscalar_ref.protocol.strategy import load_strategy
from superscalar_ref.spec.load import load_specification


@pytest.fixture(scope="module")
def design() -> Design:
    return Design(load_specification(), load_strategy(), load_configurations())


def test_whoever_keeps_to_the_table_is_paid_or_keeps_what_it_has(design: Design) -> None:
    found = handover.explore(design.assisted_exit())
    assert found.broken == {}
    assert set(found.seen) == set(handover.PROPERTIES) == set(EXITS)
    assert found.states > 5000


def test_no_block_of_the_gap_is_too_many(design: Design) -> None:
    """One block less between the two time limits, and the LSP can lose: the game is as exact as the guard."""
    found = handover.explore(design.assisted_exit(), less=1)
    assert handover.hero(found.broken[handover.ATOMIC]) == handover.LSP


UNTIL = frozenset(handover.PROPERTIES)


def parts(design: Design) -> Iterator[tuple[str, str, bool]]:
    """Each guard of each row: whether the game misses it when it is taken away."""
    for row in design.specification.machine("assisted_exit").transitions:
        for removal in removals(design, row.id):
            if removal.part in row.guards:
                assert removal.design is not None
                broken = handover.explore(removal.design.assisted_exit(), until=UNTIL).broken
                yield row.id, removal.part, bool(broken)


def test_a_guard_that_the_game_does_not_miss_says_why(design: Design) -> None:
    every = list(parts(design))
    missed = {(row, guard) for row, guard, found in every if found}
    assert missed == {
        ("AXT-1", "fresh_key"),
        ("AXT-3", "deep_enough"),
        ("AXT-3", "pre_signature_valid"),
        ("AXT-4", "time_left_to_claim"),
        ("AXT-8", "key_shown"),
        ("AXT-10", "deep_enough"),
    }
    others = [(row, guard) for row, guard, found in every if not found]
    assert all(unnoticed(design, row, part=guard) for row, guard in others)
