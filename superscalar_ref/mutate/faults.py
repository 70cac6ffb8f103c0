"""The faults: each changes one thing in one file of ``spec/``, as an edit of its lines, so that a person can read it.

What is changed is what an implementer could get wrong: a guard that is not tried, an effect left out or done too early,
a row forgotten or leading elsewhere, a cause that is not looked at, a constraint dropped or off by one, a bound off by
one, a rule of the strategy left out, moved or for the wrong party, a way to pay mixed up, a deadline a block off.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from superscalar_ref.errors import InputError
from superscalar_ref.spec.load import load_machines
from superscalar_ref.spec.location import spec_directory
from superscalar_ref.spec.source import Document, Step, read_document
from superscalar_ref.spec.table import Machine

PARAMETERS = "parameters"
STRATEGY = "strategy"
BACKUP = "backup"
FEES = "fees"
DEADLINES = "deadlines"
_ROLES = ("client", "lsp", "tower")
_AGES = ("current", "unknown", "old")
_PAYS = ("output", "coin", "again")


@dataclass(frozen=True)
class Fault:
    """One fault."""

    id: str
    """``ROW:KIND`` or ``ROW:KIND:WHAT``: the same as long as the row says the same."""
    table: str
    """The machine, or parameters, strategy, backup, fees, deadlines."""
    says: str
    file: str
    """Relative to ``spec/``."""
    text: str
    """What the file says with the fault."""

    @property
    def row(self) -> str:
        """The id of the row, or the name of the parameter."""
        return self.id.split(":", 1)[0]

    @property
    def kind(self) -> str:
        """What is changed: guard, effect, swap, row, to, from, by, weaker, min, max, order, ..."""
        return self.id.split(":")[1]


class _Editor:
    """The lines of one document, and where its keys and tables stand."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.lines = document.path.read_text(encoding="utf-8").split("\n")
        self._starts = sorted(set(document.lines.values()))

    def key(self, path: Sequence[Step], value: str | None) -> str:
        """The text with another value under a key; None: without the key."""
        first, last = self._span(path)
        new = [] if value is None else [f"{path[-1]} = {value}"]
        return "\n".join([*self.lines[: first - 1], *new, *self.lines[last:]])

    def without(self, section: str, index: int) -> str:
        """The text without one row of an array of tables."""
        first, last = self._row(section, index)
        return "\n".join([*self.lines[: first - 1], *self.lines[last:]])

    def swapped(self, section: str, index: int) -> str:
        """The text with a row and the next one changing places."""
        first, middle = self._row(section, index)
        _, last = self._row(section, index + 1)
        parts = (self.lines[: first - 1], self.lines[middle:last], self.lines[first - 1 : middle], self.lines[last:])
        return "\n".join(line for part in parts for line in part)

    def _span(self, path: Sequence[Step]) -> tuple[int, int]:
        """First and last line of an assignment, from 1."""
        first = self.document.lines[tuple(path)]
        last = next((start - 1 for start in self._starts if start > first), len(self.lines))
        while last > first and (not self.lines[last - 1].strip() or self.lines[last - 1].startswith("#")):
            last -= 1
        return first, last

    def _row(self, section: str, index: int) -> tuple[int, int]:
        """First and last line of a row with what stands behind it, from 1."""
        here = self.document.lines
        after = here.get((section, index + 1))
        return here[(section, index)], len(self.lines) if after is None else after - 1


def faults(directory: Path | None = None) -> tuple[Fault, ...]:
    """Every fault of the specification, in the order of the files. Raises SpecError as the loaders do."""
    folder = spec_directory(directory)
    found: list[Fault] = []
    for machine in load_machines(directory):
        found += _of_machine(machine, _Editor(read_document(folder / "machines" / f"{machine.name}.toml")))
    found += _of_parameters(_Editor(read_document(folder / "parameters.toml")))
    found += _of_strategy(_Editor(read_document(folder / "strategy.toml")))
    if (folder / "backup.toml").is_file():
        found += _of_backup(_Editor(read_document(folder / "backup.toml")))
    if (folder / "fees.toml").is_file():
        found += _of_fees(_Editor(read_document(folder / "fees.toml")))
    if (folder / "deadlines.toml").is_file():
        found += _of_deadlines(_Editor(read_document(folder / "deadlines.toml")))
    return tuple(found)


def chosen(every: Iterable[Fault], tables: Sequence[str] = (), rows: Sequence[str] = ()) -> tuple[Fault, ...]:
    """The faults of these tables and rows (ids of rows, or of single faults); nothing given: all.

    Raises InputError for a name that no fault has.
    """
    every = tuple(every)
    known = {fault.table for fault in every}
    for name in tables:
        if name not in known:
            raise InputError("--machine", f"there is no '{name}'; there are {', '.join(sorted(known))}", "machine")
    for name in rows:
        if not any(name in (fault.row, fault.id) for fault in every):
            raise InputError("--row", f"no fault has the row or the id '{name}'", "row")
    return tuple(
        fault
        for fault in every
        if (not tables or fault.table in tables) and (not rows or fault.row in rows or fault.id in rows)
    )


def _list(names: Sequence[str]) -> str | None:
    return json.dumps(list(names), ensure_ascii=False) if names else None


def _of_machine(machine: Machine, editor: _Editor) -> Iterator[Fault]:
    file = f"machines/{machine.name}.toml"
    states = [state.name for state in machine.states]
    for index, row in enumerate(machine.transitions):
        at: tuple[Step, ...] = ("transitions", index)

        def fault(kind: str, says: str, text: str, what: str = "", name: str = row.id) -> Fault:
            return Fault(f"{name}:{kind}{':' if what else ''}{what}", machine.name, f"{name} {says}", file, text)

        for guard in row.guards:
            left = [name for name in row.guards if name != guard]
            yield fault("guard", f"without the guard '{guard}'", editor.key((*at, "guards"), _list(left)), guard)
        for effect in row.effects:
            left = [name for name in row.effects if name != effect]
            yield fault("effect", f"without the effect '{effect}'", editor.key((*at, "effects"), _list(left)), effect)
        for first, second in pairwise(row.effects):
            order = [{first: second, second: first}.get(name, name) for name in row.effects]
            says = f"does '{second}' before '{first}'"
            yield fault("swap", says, editor.key((*at, "effects"), _list(order)), f"{first}+{second}")
        yield fault("row", "is missing", editor.without("transitions", index))
        stays = [name for name in row.sources[:1] if name != row.to]
        other = states[(states.index(row.to) + 1) % len(states)]
        for state in dict.fromkeys([*stays, other]):
            if state != row.to:
                yield fault("to", f"leads to '{state}'", editor.key((*at, "to"), json.dumps(state)), state)
        for source in row.sources if len(row.sources) > 1 else ():
            left = [name for name in row.sources if name != source]
            yield fault("from", f"does not leave '{source}'", editor.key((*at, "from"), _list(left)), source)
        if "anyone" not in row.by:
            yield fault("by", "may be caused by anyone", editor.key((*at, "by"), '"anyone"'))


def _of_parameters(editor: _Editor) -> Iterator[Fault]:
    file, data = "parameters.toml", editor.document.data
    rows: Any = data.get("constraints", [])
    for index, row in enumerate(rows):
        name, expr = row["id"], row["expr"]
        yield Fault(f"{name}:row", PARAMETERS, f"{name} is missing", file, editor.without("constraints", index))
        weaker = re.sub(r"(\w) >= ", r"\1 + 1 >= ", expr).replace(" <= ", " <= 1 + ")
        if weaker != expr:
            text = editor.key(("constraints", index, "expr"), f'"""{weaker}"""')
            yield Fault(f"{name}:weaker", PARAMETERS, f"{name} asks for one less", file, text)
    numbers: Any = data.get("parameters", {})
    for name, values in numbers.items():
        for bound in ("min", "max"):
            if bound not in values:
                continue
            for step in (-1, 1):
                value = values[bound] + step
                text = editor.key(("parameters", name, bound), str(value))
                yield Fault(f"{name}:{bound}:{value}", PARAMETERS, f"{name} has {bound} {value}", file, text)


def _of_strategy(editor: _Editor) -> Iterator[Fault]:
    yield from _order(editor, STRATEGY, "strategy.toml")
    rows: Any = editor.document.data["rules"]
    for index, row in enumerate(rows):
        name, at = row["id"], ("rules", index)
        for key, others in (("choose", ("any", "newest")), ("when", ("final", "begun", "deadline"))):
            for value in others:
                if value != row[key]:
                    text = editor.key((*at, key), json.dumps(value))
                    says = f"{name} has {key} '{value}'"
                    yield Fault(f"{name}:{key}:{value}", STRATEGY, says, "strategy.toml", text)
        yield from _members(editor, STRATEGY, "strategy.toml", (index, "for"), _ROLES)


def _of_backup(editor: _Editor) -> Iterator[Fault]:
    yield from _order(editor, BACKUP, "backup.toml")
    rows: Any = editor.document.data["rules"]
    for index, row in enumerate(rows):
        if row["kinds"]:
            yield from _members(editor, BACKUP, "backup.toml", (index, "kinds"), row["kinds"])
            yield from _members(editor, BACKUP, "backup.toml", (index, "ages"), _AGES)


def _of_fees(editor: _Editor) -> Iterator[Fault]:
    file = "fees.toml"
    yield from _order(editor, FEES, file)
    rows: Any = editor.document.data["rules"]
    for index, row in enumerate(rows):
        for pay in _PAYS:
            if pay != row["pay"]:
                text = editor.key(("rules", index, "pay"), json.dumps(pay))
                yield Fault(f"{row['id']}:pay:{pay}", FEES, f"{row['id']} pays from '{pay}'", file, text)
        yield from _members(editor, FEES, file, (index, "for"), _ROLES)


def _of_deadlines(editor: _Editor) -> Iterator[Fault]:
    file = "deadlines.toml"
    rows: Any = editor.document.data["deadlines"]
    for index, row in enumerate(rows):
        name = row["id"]
        yield Fault(f"{name}:row", DEADLINES, f"{name} is missing", file, editor.without("deadlines", index))
        for kind, says, end in (("later", "comes a block later", " + 1"), ("earlier", "comes a block earlier", " - 1")):
            text = editor.key(("deadlines", index, "height"), json.dumps(f"{row['height']}{end}"))
            yield Fault(f"{name}:{kind}", DEADLINES, f"{name} {says}", file, text)
        for term in re.findall(r" - (\w+)(?= - |$)", row["height"]):
            text = editor.key(("deadlines", index, "height"), json.dumps(row["height"].replace(f" - {term}", "", 1)))
            yield Fault(f"{name}:term:{term}", DEADLINES, f"{name} does not count '{term}'", file, text)
        for lemma in row["lemmas"]:
            left = [other for other in row["lemmas"] if other != lemma]
            text = editor.key(("deadlines", index, "lemmas"), _list(left) or "[]")
            yield Fault(f"{name}:lemma:{lemma}", DEADLINES, f"{name} does not name {lemma}", file, text)


def _order(editor: _Editor, table: str, file: str) -> Iterator[Fault]:
    """Each rule missing, and each two neighbours in the other order."""
    rows: Any = editor.document.data["rules"]
    for index, row in enumerate(rows):
        yield Fault(f"{row['id']}:row", table, f"{row['id']} is missing", file, editor.without("rules", index))
    for index, (row, later) in enumerate(pairwise(rows)):
        says = f"{row['id']} comes after {later['id']}"
        yield Fault(f"{row['id']}:order:{later['id']}", table, says, file, editor.swapped("rules", index))


def _members(editor: _Editor, table: str, file: str, at: tuple[int, str], known: Iterable[str]) -> Iterator[Fault]:
    """One member of a list less, or one of ``known`` more."""
    index, key = at
    rows: Any = editor.document.data["rules"]
    name, members = rows[index]["id"], rows[index][key]
    for member in known:
        changed = [one for one in members if one != member] if member in members else [*members, member]
        word = "without" if member in members else "also with"
        text = editor.key(("rules", index, key), _list(changed) or "[]")
        yield Fault(f"{name}:{key}:{member}", table, f"{name} {word} '{member}' under '{key}'", file, text)
