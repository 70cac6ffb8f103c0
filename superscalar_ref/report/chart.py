"""Line charts as SVG: panels one below the other over the same horizontal axis. Plain text, the same everywhere."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 900, 220
"""Of one panel (pixels)."""
LEFT, RIGHT, TOP, BOTTOM = 90, 190, 34, 26
MOST_POINTS = 1_000
"""Of one line; more are thinned out evenly, the last one kept."""
COLOURS = ("#1f5fa8", "#c25a1a", "#2f7d32", "#8a2f8f", "#7a6a00", "#444444")


@dataclass(frozen=True)
class Line:
    """One line: its name, and a value for each place of the horizontal axis."""

    name: str
    values: Sequence[float]


@dataclass(frozen=True)
class Panel:
    """Lines with one vertical axis, from 0 or the lowest value up."""

    title: str
    lines: tuple[Line, ...]


def chart(title: str, axis: str, panels: Sequence[Panel]) -> str:
    """An SVG document; ``axis`` says what the places of the horizontal axis are, counted from 0."""
    height = HEIGHT * len(panels) + 40
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="11">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        f'<text x="{LEFT}" y="16" font-size="13" font-weight="bold">{escape(title)}</text>',
    ]
    for number, panel in enumerate(panels):
        parts.extend(_panel(panel, axis, 20 + number * HEIGHT))
    parts.append("</svg>")
    return "\n".join(parts) + "\n"


def _panel(panel: Panel, axis: str, top: int) -> Iterator[str]:
    values = [value for line in panel.lines for value in line.values]
    low, high = min([0.0, *values]), max([0.0, *values])
    step = _step(high - low)
    low, high = math.floor(low / step) * step, max(math.ceil(high / step), 1) * step
    last = max((len(line.values) for line in panel.lines), default=1) - 1
    wide, tall = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    bottom = top + TOP + tall

    def x(place: float) -> float:
        return LEFT + wide * place / max(last, 1)

    def y(value: float) -> float:
        return bottom - tall * (value - low) / (high - low)

    yield f'<text x="{LEFT}" y="{top + TOP - 8}" font-weight="bold">{escape(panel.title)}</text>'
    for number in range(round((high - low) / step) + 1):
        value = low + number * step
        yield f'<path d="M{LEFT} {y(value):.1f} H{LEFT + wide}" stroke="#ddd"/>'
        yield f'<text x="{LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{short(value)}</text>'
    for place in sorted({0, last // 2, last}):
        yield f'<text x="{x(place):.1f}" y="{bottom + 16}" text-anchor="middle">{escape(axis)} {place}</text>'
    for number, line in enumerate(panel.lines):
        colour = COLOURS[number % len(COLOURS)]
        points = " ".join(f"{x(place):.1f},{y(line.values[place]):.1f}" for place in _places(len(line.values)))
        yield f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
        name = top + TOP + 12 + 16 * number
        yield f'<rect x="{LEFT + wide + 14}" y="{name - 9}" width="10" height="10" fill="{colour}"/>'
        yield f'<text x="{LEFT + wide + 30}" y="{name}">{escape(line.name)}</text>'


def _places(count: int) -> list[int]:
    every = -(-count // MOST_POINTS) if count else 1
    return sorted({*range(0, count, every), *([count - 1] if count else [])})


def _step(span: float) -> float:
    """A round step of which about five make the span."""
    if span <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(span / 5))
    return next(power * times for times in (1, 2, 5, 10) if span / (power * times) <= 5)


def short(value: float) -> str:
    """A number in a few letters: ``1.5M``, ``20k``, ``0.25``."""
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.4g}{letter}"
    return f"{value:.3g}"
