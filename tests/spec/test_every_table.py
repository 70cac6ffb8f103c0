"""What must be true of every table of the specification, whatever it is about."""

from __future__ import annotations

from superscalar_ref.spec.load import load_machines

SENDS_AGAIN = "CHN-4"
"""Everything that this row sends was sent before, and made durable then."""


def test_no_row_is_open_to_anyone() -> None:
    """Each event has a cause that somebody can be held to; a row for anyone would let a stranger move the machine."""
    for machine in load_machines():
        for row in machine.transitions:
            assert "anyone" not in row.by, row.id


LEAVES = ("send", "tell", "publish", "broadcast", "hand", "promise", "ask", "let ", "complete the lsp's")
"""How the words of an effect begin that lets something go."""


def test_nothing_leaves_before_what_its_row_makes_durable() -> None:
    """A crash between the two would leave others counting on what this side has forgotten."""
    looked = 0
    for machine in load_machines():
        says = {effect.name: effect.says.lower() for effect in machine.effects}
        leaving = {name for name, words in says.items() if words.startswith(LEAVES)}
        durable = {name for name, words in says.items() if "durabl" in words} - leaving
        for row in machine.transitions:
            kept = [place for place, name in enumerate(row.effects) if name in durable]
            gone = [place for place, name in enumerate(row.effects) if name in leaving]
            if row.id != SENDS_AGAIN and kept and gone:
                looked += 1
                assert max(kept) < min(gone), row.id
    assert looked > 30
