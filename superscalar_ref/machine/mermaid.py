"""A table as Mermaid's ``stateDiagram-v2``, which code hosts draw where it stands in a text."""

from __future__ import annotations

from superscalar_ref.spec.table import Machine


def to_mermaid(machine: Machine) -> str:
    """Return the Mermaid text of a table; the same table always gives the same text.

    It shows each row's id, event and guards; effects and rules are left to the table. States are drawn under an alias,
    since words as ``end`` mean something else to Mermaid.
    """
    lines = [f"%% {machine.title}: drawn from spec/machines/{machine.name}.toml", "stateDiagram-v2"]
    lines += [f'    state "{state.name}" as s_{state.name}' for state in machine.states]
    lines.append(f"    [*] --> s_{machine.initial}")
    for row in machine.transitions:
        guards = f" [{', '.join(row.guards)}]" if row.guards else ""
        lines += [f"    s_{source} --> s_{row.to}: {row.id} {row.event}{guards}" for source in row.sources]
    lines += [f"    s_{state.name} --> [*]" for state in machine.states if state.final]
    return "\n".join(lines) + "\n"
