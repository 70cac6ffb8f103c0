"""A table as DOT, for Graphviz.

The drawing shows states and rows with their guards. It leaves out effects, rules and reasons: the Markdown has them.
Green: the initial state. Double border: a final one. Labels are plain text, since some engines garble HTML labels.
"""

from __future__ import annotations

import graphviz

from superscalar_ref.spec.table import Machine, Transition


def to_dot(machine: Machine) -> str:
    """Return the DOT text of a table; the same table always gives the same text."""
    graph = graphviz.Digraph(machine.name, comment=f"{machine.title}: drawn from spec/machines/{machine.name}.toml")
    graph.attr(rankdir="TB", nodesep="0.5", ranksep="0.6", fontname="Helvetica")
    graph.attr("node", shape="box", style="rounded,filled", fillcolor="white", fontname="Helvetica", fontsize="13")
    graph.attr("edge", fontname="Helvetica", fontsize="10")
    for state in machine.states:
        extra: dict[str, str] = {}
        if state.name == machine.initial:
            extra["fillcolor"] = "palegreen"
        if state.final:
            extra["peripheries"] = "2"
        graph.node(state.name, **extra)
    for row in machine.transitions:
        for source in row.sources:
            graph.edge(source, row.to, label=graphviz.escape(_label(row)).replace("\n", "\\l") + "\\l")
    return str(graph.source)


def _label(row: Transition) -> str:
    """Id and event, the roles, then a line for each guard."""
    lines = [f"{row.id} {row.event}", f"by {' or '.join(row.by)}"]
    if row.guards:
        lines += [f"if {row.guards[0]}", *(f"& {guard}" for guard in row.guards[1:])]
    # A space on the left keeps the text off the line that it belongs to.
    return "\n".join(f" {line}" for line in lines)
