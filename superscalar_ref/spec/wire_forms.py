"""The messages of ``spec/messages.toml`` as data: which fields each has, by which number, in which form.

Laws of this module:

* A name stands for one form, one record or one message; a number for one message, and within it for one field.
* Fields stand in the order of their numbers, and have even ones: a reader that does not know one refuses it.
* A record never holds itself, so that no message is deeper than its table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from superscalar_ref.errors import SpecError
from superscalar_ref.spec.location import spec_directory
from superscalar_ref.spec.schema import check_schema
from superscalar_ref.spec.source import Document, Step, read_document

RULE = "messages"


@dataclass(frozen=True)
class Form:
    """What a plain value is: ``bytes``, ``number``, ``signed``, ``text`` or ``outpoint``."""

    name: str
    kind: str
    says: str
    low: int = 0
    """Least number; fewest bytes or letters."""
    high: int | None = None
    sizes: tuple[int, ...] = ()
    """Of bytes: the only lengths."""
    choices: tuple[str, ...] = ()
    """Of a text: the only words."""
    optional: bool = False
    """Of an outpoint: that it may be empty."""


@dataclass(frozen=True)
class Field:
    """One field: its number in the stream, its name in JSON, and the words of its form."""

    type: int
    name: str
    form: tuple[str, ...]
    """``(NAME,)``, ``('list', NAME)`` or ``('map', KEY, NAME)``."""
    optional: bool = False
    """That it may be missing: null in JSON."""

    @property
    def element(self) -> str:
        """The form or record of the value, or of each element of a list or map."""
        return self.form[-1]


@dataclass(frozen=True)
class Record:
    """Fields that stand together, as a value of a field."""

    name: str
    says: str
    fields: tuple[Field, ...]


@dataclass(frozen=True)
class MessageForm:
    """One message: who says it to whom, which rows of the machines it belongs to."""

    name: str
    family: str
    """factory | channel | tower | exit."""
    type: int
    sender: str
    receiver: str
    rows: tuple[str, ...]
    says: str
    fields: tuple[Field, ...]


@dataclass(frozen=True)
class Ceremony:
    """Messages in the order in which two parties say them, when nothing is lost."""

    name: str
    title: str
    steps: tuple[tuple[str, str, str], ...]
    """Sender, receiver, message."""


@dataclass(frozen=True)
class MessageTable:
    """The whole file."""

    envelope: tuple[Field, ...]
    """What stands before the fields of a message of ``enveloped``."""
    enveloped: str
    """The family whose messages have the envelope."""
    forms: Mapping[str, Form]
    records: Mapping[str, Record]
    messages: Mapping[str, MessageForm]
    ceremonies: tuple[Ceremony, ...]

    def fields_of(self, message: MessageForm) -> tuple[Field, ...]:
        """Every field of a message's stream, its envelope first."""
        return (*self.envelope, *message.fields) if message.family == self.enveloped else message.fields

    def by_type(self, number: int) -> MessageForm | None:
        """The message of a number."""
        return next((one for one in self.messages.values() if one.type == number), None)


@lru_cache(maxsize=8)
def load_messages(directory: Path | None = None) -> MessageTable:
    """Load ``spec/messages.toml``, or the copy in ``directory``. Raises ``SpecError`` (``file:line``)."""
    document = read_document(spec_directory(directory) / "messages.toml")
    check_schema(document, "messages")
    data: Any = document.data
    forms = _named(document, "forms", [Form(**_form(row)) for row in data["forms"]])
    records = _named(document, "records", [_record(row) for row in data["records"]])
    messages = _named(document, "messages", [_message(row) for row in data["messages"]])
    ceremonies = _named(document, "ceremonies", [_ceremony(row) for row in data["ceremonies"]])
    envelope = _fields(data["envelope"]["fields"])
    made = MessageTable(envelope, data["envelope"]["family"], forms, records, messages, tuple(ceremonies.values()))
    _check(document, made)
    return made


def _form(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}


def _fields(rows: list[Mapping[str, Any]]) -> tuple[Field, ...]:
    return tuple(
        Field(row["type"], row["name"], tuple(row["form"].split()), row.get("optional", False)) for row in rows
    )


def _record(row: Mapping[str, Any]) -> Record:
    return Record(row["name"], row["says"], _fields(row["fields"]))


def _message(row: Mapping[str, Any]) -> MessageForm:
    fields = _fields(row["fields"])
    return MessageForm(
        row["name"], row["family"], row["type"], row["from"], row["to"], tuple(row["rows"]), row["says"], fields
    )


def _ceremony(row: Mapping[str, Any]) -> Ceremony:
    return Ceremony(row["name"], row["title"], tuple((sender, to, said) for sender, to, said in row["steps"]))


def _named(document: Document, section: str, rows: list[Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for index, row in enumerate(rows):
        if row.name in found:
            raise SpecError(str(document.place(section, index, "name")), f"'{row.name}' is there twice", RULE)
        found[row.name] = row
    return found


def _check(document: Document, table: MessageTable) -> None:
    for path, problem in _faults(table):
        raise SpecError(str(document.place(*path)), problem, RULE)


def _faults(table: MessageTable) -> Iterator[tuple[tuple[Step, ...], str]]:
    """What the schema cannot see, and where."""
    for name in table.records.keys() & table.forms.keys():
        yield ("records",), f"'{name}' is a form and a record"
    known = table.forms.keys() | table.records.keys()
    for path, owner, fields in _all_fields(table):
        numbers = [field.type for field in fields]
        if numbers != sorted(set(numbers)) or any(number % 2 for number in numbers):
            yield path, f"the fields of '{owner}' have no even numbers that ascend"
        if len({field.name for field in fields}) < len(fields):
            yield path, f"'{owner}' has two fields of one name"
        named = ((field, name) for field in fields for name in field.form if name not in ("list", "map"))
        for field, name in named:
            if name not in known:
                yield path, f"'{owner}.{field.name}': no form or record is called '{name}'"
    yield from _faults_of_order(table)


def _faults_of_order(table: MessageTable) -> Iterator[tuple[tuple[Step, ...], str]]:
    types = [one.type for one in table.messages.values()]
    for index, number in enumerate(types):
        if types.count(number) > 1 or number % 2:
            yield ("messages", index, "type"), f"{number} is odd, or stands for two messages"
    seen: set[str] = set()
    for index, record in enumerate(table.records.values()):
        for field in record.fields:
            if field.element in table.records.keys() - seen:
                yield ("records", index), f"'{record.name}' holds '{field.element}', which does not stand before it"
        seen.add(record.name)
    for index, ceremony in enumerate(table.ceremonies):
        for _, _, said in ceremony.steps:
            if said not in table.messages:
                yield ("ceremonies", index), f"no message is called '{said}'"


def _all_fields(table: MessageTable) -> Iterator[tuple[tuple[Step, ...], str, tuple[Field, ...]]]:
    yield ("envelope",), "envelope", table.envelope
    for index, record in enumerate(table.records.values()):
        yield ("records", index), record.name, record.fields
    for index, message in enumerate(table.messages.values()):
        yield ("messages", index), message.name, table.fields_of(message)
