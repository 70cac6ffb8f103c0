"""The offline page of a run: one HTML file with its styles and drawings inside, and no script.

The page's text is ``templates/page.html``; what it shows is a :class:`~superscalar_ref.report.result.VerifyResult` and
the machines' tables. Nothing in it is fetched from anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from superscalar_ref import __version__
from superscalar_ref.errors import InputError
from superscalar_ref.machine.dot import to_dot
from superscalar_ref.machine.draw import to_svg
from superscalar_ref.machine.mermaid import to_mermaid
from superscalar_ref.protocol.shape import Shape, grow
from superscalar_ref.report import treedraw
from superscalar_ref.report.result import Confirmation, ExitResult, Factory, VerifyResult
from superscalar_ref.spec.table import Machine

BLOCKS_A_DAY = 144

_TEMPLATES = Path(__file__).resolve().parent / "templates"
_FIRST, _LAST = 1.0, 99.0
"""Where a timeline begins and ends (percent of the width): a dot at the edge is not cut off."""

T = TypeVar("T")


@dataclass(frozen=True)
class Mark:
    """A dot of a timeline."""

    confirmation: Confirmation
    kind: str
    """The transaction's kind, which gives the colour."""
    percent: float
    """Distance from the left end of the drawing."""


def render(result: VerifyResult, machines: Sequence[Machine]) -> str:
    """Return the page's HTML. A machine that cannot be drawn keeps its table, and the page says why.

    Raises InputError (``R-SHAPE``) when the result describes no tree.
    """
    environment = templates(_TEMPLATES)
    environment.filters["days"] = days
    kinds = {(row.scenario, row.name): row.kind for row in result.transactions}
    span = max((exit_.blocks for exit_ in result.exits), default=0)
    exits = [(exit_, timeline(exit_, span, kinds), _percent(exit_.blocks, span)) for exit_ in result.exits]
    return environment.get_template("page.html").render(
        result=result,
        failed=result.failed(),
        anchors={row.id for machine in machines for row in machine.transitions},
        groups=_grouped((check.group, check) for check in result.checks),
        scenarios=_grouped((row.scenario, row) for row in result.transactions),
        exits=exits,
        span=span,
        kinds=list(dict.fromkeys(mark.kind for _, marks, _ in exits for mark in marks)),
        tree=tree_drawing(result.factory),
        machines=[(machine, *diagram(machine), to_mermaid(machine)) for machine in machines],
        css=Markup((_TEMPLATES / "page.css").read_text(encoding="utf-8")),
        version=__version__,
    )


def templates(folder: Path) -> Environment:
    """Return what makes pages of the templates in a folder: all that they show is escaped, nothing may be missing."""
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["number"] = lambda value: f"{value:,}"
    return environment


def write(result: VerifyResult, machines: Sequence[Machine], path: Path) -> None:
    """Write the page to ``path``, making its directory. Raises InputError when that is impossible."""
    html = render(result, machines)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(html, encoding="utf-8", newline="\n")
    except OSError as error:
        raise InputError(str(path), error.strerror or "cannot be written", "report-file") from None


def tree_drawing(factory: Factory) -> Markup:
    """Return the SVG of a factory's tree, grown anew from its shape. Raises InputError (``R-SHAPE``)."""
    shape = Shape.of(factory.tree.arity, factory.tree.static, factory.tree.leaf_k)
    tree = grow(shape, [client.name for client in factory.clients])
    return inline(treedraw.svg(tree), "tree")


def diagram(machine: Machine) -> tuple[Markup, str]:
    """Return a machine's diagram as SVG and an empty text; or nothing, and why it cannot be drawn."""
    try:
        return inline(to_svg(to_dot(machine)), machine.name), ""
    except InputError as error:
        return Markup(), str(error)


def timeline(exit_: ExitResult, span: int, kinds: dict[tuple[str, str], str]) -> tuple[Mark, ...]:
    """Place the confirmations of an exit on a line of ``span`` blocks that begins with the decision to leave.

    ``kinds`` gives a transaction's kind by scenario and name; one that it lacks takes the word before its colon.
    """
    if not exit_.confirmations:
        return ()
    decision = max(item.height for item in exit_.confirmations) - exit_.blocks
    return tuple(
        Mark(
            item,
            kinds.get((f"exit/{exit_.client}", item.transaction), item.transaction.partition(":")[0]),
            _percent(item.height - decision, span),
        )
        for item in exit_.confirmations
    )


def inline(svg: str, prefix: str) -> Markup:
    """Return an SVG document as an element of a page: without prologue, its ids made this page's own by ``prefix``."""
    return Markup(re.sub(r'(?<=\sid=")', f"{prefix}-", svg[svg.index("<svg") :]))


def days(blocks: int) -> str:
    """Say how long so many blocks take: ``about 6.9 days``."""
    return f"about {blocks / BLOCKS_A_DAY:.1f} days"


def _percent(blocks: int, span: int) -> float:
    return _FIRST + (_LAST - _FIRST) * min(max(blocks, 0), span) / span if span > 0 else _FIRST


def _grouped(pairs: Iterable[tuple[str, T]]) -> dict[str, list[T]]:
    """Collect values under their keys, in the order of the first of each."""
    groups: dict[str, list[T]] = {}
    for key, value in pairs:
        groups.setdefault(key, []).append(value)
    return groups
