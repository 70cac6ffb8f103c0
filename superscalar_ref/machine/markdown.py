"""A table as Markdown and as text for a terminal: everything that the file says."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator

from superscalar_ref.spec.table import Function, Machine


def to_markdown(machine: Machine) -> str:
    """Return the Markdown of a table; the same table always gives the same text."""
    lines = [
        f"# {machine.title}",
        "",
        f"<!-- Written from spec/machines/{machine.name}.toml by `superscalar-ref diagrams`. -->",
        "",
        f"Subject: {_cell(machine.subject)}. Begins in `{machine.initial}`.",
        "An event that no row below takes is refused, and changes nothing.",
        *([f"Source: {_cell(', '.join(machine.source))}."] if machine.source else []),
        "",
        "## Transitions",
        "",
        *_grid(
            ("id", "from", "event", "by", "to", "if all hold", "then, in this order", "rule", "why"),
            (
                (
                    row.id,
                    _codes(row.sources),
                    f"`{row.event}`",
                    ", ".join(row.by),
                    f"`{row.to}`",
                    _codes(row.guards),
                    _codes(row.effects),
                    row.rule,
                    row.why,
                )
                for row in machine.transitions
            ),
        ),
        "",
        "## States",
        "",
        *_grid(
            ("state", "meaning", "final"),
            ((f"`{state.name}`", state.says, "yes" if state.final else "") for state in machine.states),
        ),
        *_functions("Guards", machine.guards),
        *_functions("Effects", machine.effects),
    ]
    return "\n".join(lines) + "\n"


def to_text(machine: Machine, width: int = 100) -> str:
    """Return the table for a terminal of ``width`` columns."""
    lines = [f"{machine.name}: {machine.title}", f"  {machine.subject}", "", "states"]
    size = max(len(state.name) for state in machine.states) + 2
    for state in machine.states:
        marks = [*(["initial"] if state.name == machine.initial else []), *(["final"] if state.final else [])]
        says = state.says + (f" ({', '.join(marks)})" if marks else "")
        lines += _hanging(f"  {state.name:<{size}}", says, width)
    for row in machine.transitions:
        lines += ["", f"{row.id}  {', '.join(row.sources)} --{row.event}--> {row.to}   (by {' or '.join(row.by)})"]
        for word, names in (("if", row.guards), ("then", row.effects)):
            if names:
                lines += _hanging(f"  {word:<6}", ", ".join(names), width)
        lines += _hanging("  rule  ", row.rule, width)
        if row.why:
            lines += _hanging("  why   ", row.why, width)
    return "\n".join(lines) + "\n"


def _hanging(head: str, body: str, width: int) -> list[str]:
    return textwrap.wrap(head + " ".join(body.split()), width, subsequent_indent=" " * len(head))


def _functions(title: str, functions: tuple[Function, ...]) -> Iterator[str]:
    if functions:
        yield from ("", f"## {title}", "")
        yield from _grid((title[:-1].lower(), "meaning"), ((f"`{item.name}`", item.says) for item in functions))


def _codes(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _grid(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'|'.join(' --- ' for _ in head)}|"
    for row in rows:
        yield f"| {' | '.join(_cell(cell) for cell in row)} |"


def _cell(text: str) -> str:
    """Keep a text inside its cell."""
    return " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
