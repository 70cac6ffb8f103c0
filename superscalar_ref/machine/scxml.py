"""A table as SCXML (W3C, 2015), for tools that run or draw state charts.

Guards and effects are ECMAScript calls of functions that the host supplies; rows stay in the table's order, which
is also SCXML's order of choice. Ids, roles and rules are in attributes of our own namespace.
"""

from __future__ import annotations

from xml.etree import ElementTree as ET

from superscalar_ref.spec.table import Machine, Transition

_SCXML = "http://www.w3.org/2005/07/scxml"
_OURS = "urn:superscalar:machine"


def to_scxml(machine: Machine) -> str:
    """Return the SCXML text of a table; the same table always gives the same text."""
    root = ET.Element(
        "scxml",
        {
            "xmlns": _SCXML,
            "xmlns:superscalar": _OURS,
            "version": "1.0",
            "name": machine.name,
            "initial": machine.initial,
            "datamodel": "ecmascript",
        },
    )
    for state in machine.states:
        element = ET.SubElement(root, "final" if state.final else "state", {"id": state.name})
        for row in machine.leaving(state.name):
            _add_row(element, row)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _add_row(element: ET.Element, row: Transition) -> None:
    attributes = {"event": row.event, "target": row.to}
    if row.guards:
        attributes["cond"] = " && ".join(f"{guard}(_event)" for guard in row.guards)
    attributes |= {
        "superscalar:id": row.id,
        "superscalar:by": " ".join(row.by),
        "superscalar:rule": " ".join(row.rule.split()),
    }
    transition = ET.SubElement(element, "transition", attributes)
    for effect in row.effects:
        ET.SubElement(transition, "script").text = f"{effect}(_event)"
