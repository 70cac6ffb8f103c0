"""The state diagrams for a page: each state leads to what it means, each transition to its row.

A drawing comes from ``diagrams/`` while that one is current, and is drawn anew otherwise.
"""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

from markupsafe import Markup

from superscalar_ref.errors import InputError
from superscalar_ref.machine.dot import to_dot
from superscalar_ref.machine.draw import is_sealed, to_svg
from superscalar_ref.spec.table import Machine

_SVG = "http://www.w3.org/2000/svg"
_COLOURS = {"black": "currentColor", "white": "none", "palegreen": "var(--initial)", "transparent": "none"}
_IDS = re.compile(r"^\s*([A-Z]{3}-\d+)\b")


def diagram(machine: Machine, folder: Path | None) -> Markup:
    """Return a machine's diagram with its links, from ``folder`` if it is current there.

    Raises InputError when nothing that draws is installed and no current drawing is there.
    """
    dot = to_dot(machine)
    return linked(_found(folder / f"{machine.name}.svg" if folder else None, dot) or to_svg(dot), machine)


def _found(path: Path | None, dot: str) -> str:
    """The text of a drawing of this DOT text, or nothing."""
    try:
        text = path.read_text(encoding="utf-8") if path else ""
    except (OSError, UnicodeDecodeError):
        return ""
    return text if text and is_sealed(text, dot) else ""


def linked(svg: str, machine: Machine) -> Markup:
    """Return an SVG of Graphviz as an element of a page: with links, and in the page's colours and letters.

    Raises InputError when it is no SVG.
    """
    ElementTree.register_namespace("", _SVG)
    try:
        root = ElementTree.fromstring(svg)
    except ElementTree.ParseError as error:
        raise InputError(f"{machine.name}.svg", f"cannot be read: {error}", "diagram") from None
    for element in root.iter():
        for name in ("fill", "stroke"):
            colour = element.get(name)
            if colour is not None:
                element.set(name, _COLOURS.get(colour, colour))
        if element.tag == f"{{{_SVG}}}text":
            element.attrib.pop("font-family", None)
            element.set("fill", "currentColor")
    rows = {row.id for row in machine.transitions}
    states = {state.name for state in machine.states}
    for group in root.iter(f"{{{_SVG}}}g"):
        kind = group.get("class")
        title = group.findtext(f"{{{_SVG}}}title") or ""
        first = _IDS.match(group.findtext(f"{{{_SVG}}}text") or "")
        if kind == "node" and title in states:
            _wrap(group, f"{machine.name}.{title}")
        elif kind == "edge" and first and first[1] in rows:
            _wrap(group, first[1])
    for element in root.iter():
        element.attrib.pop("id", None)
    root.set("role", "img")
    root.set("aria-label", f"State diagram of {machine.name}")
    return Markup(ElementTree.tostring(root, encoding="unicode"))  # made from a parsed tree


def _wrap(group: ElementTree.Element, anchor: str) -> None:
    """Put what a group holds inside a link."""
    children = list(group)
    for child in children:
        group.remove(child)
    link = ElementTree.SubElement(group, f"{{{_SVG}}}a", {"href": f"#{anchor}"})
    link.extend(children)
