"""What became of each variant: judged once in a process, for all the tests that look at it."""

from __future__ import annotations

from functools import lru_cache

from superscalar_ref.check.configurations import load_configurations
from superscalar_ref.check.judge import Design
from superscalar_ref.check.trace import Trace
from superscalar_ref.check.variants import Outcome, judge_variant
from superscalar_ref.protocol.strategy import load_strategy
from superscalar_ref.spec.load import load_specification


@lru_cache
def design() -> Design:
    """The whole specification with all its variants."""
    return Design(load_specification(), load_strategy(), load_configurations())


@lru_cache
def outcome(identity: str) -> Outcome:
    """What became of this variant."""
    return judge_variant(design(), design().specification.variant(identity))


def trace(identity: str) -> Trace:
    """The loss that this variant leads to."""
    found = outcome(identity).trace
    assert found is not None
    return found
