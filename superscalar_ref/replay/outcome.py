"""What a replay found, as one value: what happened on the chain, and where that is not what the trace says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

AGREES, DISAGREES, CANNOT = 0, 1, 3
"""Exit codes: the chain agrees with the trace, it does not, there is nothing in it that can be replayed."""

CORE = "Core"
"""Who speaks when Bitcoin Core's code is asked, and nobody publishes anything."""
MINED = "mined"
"""What is said of a transaction in a block."""


@dataclass(frozen=True)
class Line:
    """One thing that was done or tried."""

    who: str
    """Who did it: a party, ``the others``, or ``Core``; empty when the words say it."""
    says: str
    """What, in words that follow the party's name."""
    name: str = ""
    """The transaction."""
    txid: str = ""
    """Hex in RPC order."""
    height: int | None = None
    """Of the block in which it was mined or tried."""
    game: int | None = None
    """The same height in the trace, where it has one."""
    said: str = ""
    """The answer: Core's words, or what was computed."""
    right: bool = True
    """Whether this is what the trace says."""


@dataclass
class Outcome:
    """A replay as it goes on, and its result."""

    lines: list[Line] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """Where the chain, or the signatures, are not as the trace says."""
    owned: Mapping[str, int] = field(default_factory=dict)
    """What each party owns at rest on the chain at the end (sat)."""
    expected: Mapping[str, int] = field(default_factory=dict)
    """The same as the trace says (sat)."""
    cannot: str = ""
    """Why there is nothing to replay; empty when there is."""

    def add(self, line: Line) -> None:
        """Keep a line; one that is wrong is a problem."""
        self.lines.append(line)
        if not line.right:
            where = "" if line.height is None else f" at height {line.height}"
            self.problems.append(f"{line.says}{f' {line.name}' if line.name else ''}{where}: {line.said}")

    @property
    def exit_code(self) -> int:
        """What the command line returns."""
        if self.cannot:
            return CANNOT
        return DISAGREES if self.problems else AGREES

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "agrees": self.exit_code == AGREES,
            "cannot": self.cannot,
            "problems": self.problems,
            "owned_sat": dict(self.owned),
            "expected_sat": dict(self.expected),
            "lines": [asdict(line) for line in self.lines],
        }
