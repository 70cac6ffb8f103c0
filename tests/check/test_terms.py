"""Terms that a client is to refuse: whoever accepts them loses on the chain, and not only in a list of rules."""

from __future__ import annotations

import pytest

from superscalar_ref.check.configurations import load_configurations, tight_values
from superscalar_ref.check.explore import Explorer
from superscalar_ref.check.judge import Design, judge
from superscalar_ref.check.reasons import removals
from superscalar_ref.check.trace import story
from superscalar_ref.check.world import World
from superscalar_ref.protocol.participant import machines
from superscalar_ref.protocol.strategy import load_strategy
from superscalar_ref.spec.load import load_parameters, load_specification


def design() -> Design:
    small = tuple(c for c in load_configurations() if c.id == "one-layer")
    return Design(load_specification(only=()), load_strategy(), small)


@pytest.mark.parametrize(
    ("guard", "breaks", "says"),
    [
        ("locks_outlast_absence", "P-EXIT-ALWAYS", "short step"),
        ("end_default_accepted", "P-ABSENT-CLIENT-PAID", "classic end"),
        ("end_default_accepted", "P-EXIT-INSURED", "classic end"),
    ],
)
def test_a_client_that_accepts_them_loses_on_the_chain(guard: str, breaks: str, says: str) -> None:
    (removal,) = removals(design(), guard)
    assert removal.design is not None
    (verdict,) = judge(removal.design, [breaks], quick=True)
    assert verdict.trace is not None
    assert any(says in step for step in verdict.trace.off_chain)
    assert "lost (theft)" in story(verdict.trace)


def test_a_client_that_refuses_them_never_sees_their_transactions() -> None:
    configuration = design().configurations[0]
    world = World(configuration, tight_values(load_parameters(), configuration, {}), "A")
    assert set(world.other_terms()) == {"short step", "classic end"}
    explored = Explorer(world, machines()).run()
    assert not any(one.scene.terms for one in explored.scenes)
    assert not any("(" in offer.key for offer in world.offers())
