"""A loss, or a story, as a sequence diagram: one SVG with everybody who acts, and the chain.

It is at most as wide as a phone while there are three columns, so that its letters need no magnifying. Blocks in which
nothing happens are drawn as one line.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from superscalar_ref.site.found import Loss, Round

COLUMN = 106
"""Width of one party's column (pixels)."""
LINE = 15
"""Height of a line of letters (pixels)."""
LETTER = 6.4
"""Width of a letter (pixels), on the wide side."""
CHAIN = "chain"


class _Canvas:
    """The parts of a drawing, and how far down it has come."""

    def __init__(self, parties: list[str]) -> None:
        self.parties = parties
        self.width = COLUMN * len(parties)
        self.y = 0
        self.parts: list[str] = []

    def x(self, party: str) -> int:
        """The middle of a party's column."""
        return COLUMN * self.parties.index(party) + COLUMN // 2

    def lines(self, words: str, width: int) -> list[str]:
        """Words in lines of at most ``width`` pixels; a long name is broken."""
        return textwrap.wrap(words, max(8, int(width / LETTER))) or [""]

    def text(self, x: float, y: float, words: str, style: str, anchor: str = "start") -> None:
        """One line of letters."""
        self.parts.append(f'<text class="{style}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(words)}</text>')

    def note(self, words: str, style: str = "note") -> None:
        """A box from edge to edge."""
        lines = self.lines(words, self.width - 20)
        height = LINE * len(lines) + 8
        self.parts.append(
            f'<rect class="{style}" x="2" y="{self.y}" width="{self.width - 4}" height="{height}" rx="4"/>'
        )
        for number, line in enumerate(lines):
            self.text(10, self.y + 15 + LINE * number, line, "says")
        self.y += height + 8

    def pause(self, words: str) -> None:
        """A line across: time goes by."""
        self.text(self.width / 2, self.y + 11, words, "quiet", "middle")
        self.y += LINE + 8

    def arrow(self, sender: str, words: str, to: str = CHAIN) -> None:
        """What a party sends to the chain, or to another."""
        start, end = self.x(sender), self.x(to)
        left = min(start, end)
        lines = self.lines(words, self.width - left - 14)
        for number, line in enumerate(lines):
            self.text(left + 6, self.y + 11 + LINE * number, line, "says")
        self.y += LINE * len(lines) + 3
        point = f"H{end - 2}m-7 -4l7 4l-7 4" if end > start else f"H{end + 2}m7 -4l-7 4l7 4"
        self.parts.append(f'<path class="arrow" d="M{start} {self.y}{point}"/>')
        self.y += 12

    def drawing(self, head: int, title: str, *, lives: bool = True, alone: bool = False) -> Markup:
        """All of it under the parties' names, which end ``head`` pixels down; every text in it is escaped.

        ``lives``: each party has a line down. ``alone``: it is a file of its own.
        """
        parties = self.parties if lives else ()
        lines = [f'<path class="life" d="M{self.x(party)} {head - 4}V{self.y}"/>' for party in parties]
        heads = [
            f'<rect class="head" x="{self.x(party) - 44}" y="4" width="88" height="24" rx="4"/>'
            f'<text class="name" x="{self.x(party)}" y="21" text-anchor="middle">{escape(party)}</text>'
            for party in self.parties
        ]
        size = f'viewBox="0 0 {self.width} {self.y}" width="{self.width}" height="{self.y}"'
        name, style = (' xmlns="http://www.w3.org/2000/svg"', _STYLE) if alone else ("", "")
        inner = "".join((style, *lines, *heads, *self.parts))
        return Markup(f'<svg{name} class="sequence" role="img" aria-label="{escape(title)}" {size}>{inner}</svg>')


@dataclass(frozen=True)
class Step:
    """One line of a story: who does what, to whom; a note when nobody does it to anybody."""

    at: str
    by: str
    to: str
    says: str


_STYLE = (
    "<style>.sequence{font:11.5px sans-serif;background:#fff}.sequence rect{fill:#eef;stroke:#99a}"
    ".sequence rect.block{fill:#efe}.sequence rect.lost{fill:#fee}.sequence path{stroke:#357;fill:none}"
    ".sequence .life{stroke:#bbb}.sequence .name{font-weight:600}</style>"
)
"""A drawing that stands alone brings its colours along."""


def story_svg(title: str, parties: Sequence[str], steps: Iterable[Step], ends: Iterable[str]) -> Markup:
    """A story as one SVG file: what each party does, in its order, and what everybody has at the end."""
    canvas = _Canvas(list(parties))
    canvas.width = max(canvas.width, 4 * COLUMN)
    head = canvas.y = 34
    at = ""
    for step in steps:
        if step.at != at:
            canvas.pause(step.at)
            at = step.at
        if step.by and step.to:
            canvas.arrow(step.by, step.says, step.to)
        else:
            canvas.note(f"{step.by}: {step.says}" if step.by else step.says)
    for end in ends:
        canvas.note(end, "block")
    return canvas.drawing(head, title, alone=True)


def svg(loss: Loss) -> Markup:
    """Return the drawing of a loss."""
    parties = [loss.hero, *dict.fromkeys(party for party in _others(loss) if party != loss.hero), CHAIN]
    canvas = _Canvas(parties if loss.rounds else parties[:-1] or [loss.hero])
    canvas.width = max(canvas.width, 3 * COLUMN)
    head = canvas.y = 34
    for says in loss.off_chain:
        canvas.note(says)
    for some in _blocks(loss.rounds):
        _round(canvas, loss, some)
    if loss.note:
        canvas.note(loss.note, "lost")
    canvas.note(verdict(loss), "lost")
    return canvas.drawing(head, f"How {loss.hero} loses {loss.property}", lives=bool(loss.rounds))


def verdict(loss: Loss) -> str:
    """The end of the story in one sentence (units)."""
    if not loss.rounds and loss.note:
        return f"{loss.property} is lost by {loss.hero}."
    gets = max(loss.gets, 0)
    return f"{loss.hero} counts on {loss.owed} and can be sure of {gets}: {loss.owed - gets} lost ({loss.loss})."


def _others(loss: Loss) -> Iterator[str]:
    for one in loss.rounds:
        yield from one.by.values()


def _blocks(rounds: Iterable[Round]) -> Iterator[list[Round]]:
    """Blocks one by one, and those in which nothing happens together."""
    quiet: list[Round] = []
    for one in rounds:
        if one.mined or one.broadcast:
            if quiet:
                yield quiet
            quiet = []
            yield [one]
        elif quiet and quiet[-1].asleep != one.asleep:
            yield quiet
            quiet = [one]
        else:
            quiet.append(one)
    # What comes after the last of these transactions changes nothing.


def _round(canvas: _Canvas, loss: Loss, some: list[Round]) -> None:
    first, last = some[0], some[-1]
    where = f"block {first.height}" if first is last else f"blocks {first.height} to {last.height}"
    if not (first.mined or first.broadcast):
        canvas.pause(f"{where}: {f'{loss.hero} is away' if first.asleep else 'none of these transactions'}")
        return
    for name in first.broadcast:
        canvas.arrow(loss.hero, name)
    for name in first.mined:
        sender = first.by.get(name, loss.hero)
        if sender != loss.hero:
            canvas.arrow(sender, name)
    void = [name for name in first.broadcast if name not in first.mined]
    says = f"{where}: {', '.join(first.mined) or 'none of these'}{'; not mined: ' + ', '.join(void) if void else ''}"
    canvas.note(says, "block")
