"""What was found about one property."""

from __future__ import annotations

from dataclasses import dataclass

from superscalar_ref.check.trace import Trace


@dataclass(frozen=True)
class Verdict:
    """What was found about one property."""

    property: str
    holds: bool = True
    cases: int = 0
    """Games played, or situations looked at."""
    states: int = 0
    edges: int = 0
    worst_block: int | None = None
    """Latest height at which the hero owns what it counts on, from the agreement at height 0."""
    worst_where: str = ""
    trace: Trace | None = None
    examples: int = 0
    """Cases of what the property is about, for its ``sometimes``."""
