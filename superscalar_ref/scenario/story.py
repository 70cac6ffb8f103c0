"""What a situation tells: who did what at which height, and what everybody has at the end; and its drawing.

Amounts are satoshis, times are heights. A story is words and numbers: how it was played, it does not know.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path

from superscalar_ref.errors import InputError
from superscalar_ref.site.sequence import Step, story_svg

CHAIN = "chain"


@dataclass(frozen=True)
class Line:
    """One thing that happens after block ``height``, or in it."""

    height: int
    by: str
    """Who does it; empty: nobody in particular."""
    to: str
    """Another party, or the chain; empty: it is for nobody."""
    says: str

    def __str__(self) -> str:
        who = f"{self.by} to {self.to}: " if self.by and self.to else f"{self.by}: " if self.by else ""
        return f"height {self.height}: {who}{self.says}"


@dataclass(frozen=True)
class End:
    """What one party has at the end (sat)."""

    party: str
    promised: int
    """What it is to have by the rule that the situation shows, before its own fees."""
    has: int
    fees: int
    """Inside its own sweeps and claims: they are its own."""

    @property
    def whole(self) -> bool:
        """Whether it has no less than what is promised, less its own fees."""
        return self.has >= self.promised - self.fees

    @property
    def exact(self) -> bool:
        """Whether it has that to the satoshi."""
        return self.has == self.promised - self.fees

    def __str__(self) -> str:
        fees = f" less {self.fees:,} of its own fees" if self.fees else ""
        return f"{self.party} is to have {self.promised:,} sat{fees}, and has {self.has:,} sat"


@dataclass(frozen=True)
class Told:
    """A situation, played to its end."""

    lines: tuple[Line, ...]
    ends: tuple[End, ...]

    @property
    def parties(self) -> tuple[str, ...]:
        """Who acts or ends with something, in the order of the ends; the chain is last."""
        named = [end.party for end in self.ends]
        named += [party for line in self.lines for party in (line.by, line.to) if party and party != CHAIN]
        return (*dict.fromkeys(named), CHAIN)


def mermaid(title: str, told: Told) -> str:
    """The story as Mermaid's ``sequenceDiagram``; the same story always gives the same text."""
    parties = {party: f"p{number}" for number, party in enumerate(told.parties)}
    lines = [f"%% {title}", "sequenceDiagram"]
    lines += [f"    participant {alias} as {party}" for party, alias in parties.items()]
    everybody = f"{parties[told.parties[0]]},{parties[CHAIN]}"
    for line in told.lines:
        says = _plain(f"{line.height}: {line.says}")
        if line.by and line.to:
            lines.append(f"    {parties[line.by]}->>{parties[line.to]}: {says}")
        else:
            lines.append(f"    Note over {parties[line.by] if line.by else everybody}: {says}")
    lines += [f"    Note over {parties[end.party]}: {_plain(str(end))}" for end in told.ends]
    return "\n".join(lines) + "\n"


def _plain(words: str) -> str:
    """Words in which nothing means something to Mermaid: it ends a message at ``;`` and begins an entity at ``#``."""
    return "<br/>".join(textwrap.wrap(words.replace(";", ",").replace("#", " output "), 60))


def svg(title: str, told: Told) -> str:
    """The story as one SVG file."""
    steps = [Step(f"height {line.height}", line.by, line.to, line.says) for line in told.lines]
    return str(story_svg(title, told.parties, steps, map(str, told.ends)))


def write_drawings(directory: Path, name: str, title: str, told: Told) -> None:
    """Write ``NAME.svg`` and ``NAME.mmd``. Raises ``InputError`` where that is not possible."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / f"{name}.svg").write_text(svg(title, told), encoding="utf-8")
        (directory / f"{name}.mmd").write_text(mermaid(title, told), encoding="utf-8")
    except OSError as error:
        raise InputError(str(directory), f"cannot be written to: {error.strerror}", "--draw") from error
