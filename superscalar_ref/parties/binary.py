"""The binary form of messages: the same messages as in JSON, by the table ``spec/messages.toml``.

Laws of this module:

* Both forms carry the same: what is read from the one is read as strictly as from the other, by the same readers.
* A message has one binary form. What is even and unknown is refused (R-TLV-EVEN); what is odd and unknown is passed
  over.
* A field that is missing, of a wrong length, or beyond its limits is refused (R-TLV-FIELD).
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
from collections.abc import Mapping
from typing import Any

from superscalar_ref.errors import MessageError
from superscalar_ref.parties import channel_messages, handover_messages, messages, tower_messages
from superscalar_ref.parties.channel_messages import Envelope
from superscalar_ref.parties.tlv import (
    ORDER,
    read_all_sized,
    read_stream,
    read_truncated,
    sized,
    stream,
    truncated,
)
from superscalar_ref.spec.wire_forms import Field, Form, MessageTable, load_messages

EVEN = "R-TLV-EVEN"
FIELD = "R-TLV-FIELD"
Said = messages.Message | Envelope | tower_messages.TowerMessage | handover_messages.HandoverMessage
"""What is said between any two parties."""
_OUTPOINT = re.compile(r"([0-9a-f]{64}):(0|[1-9][0-9]{0,5})")
_NAME_OF = {
    kind: name
    for names in (messages.NAMES, channel_messages.NAMES, tower_messages.NAMES, handover_messages.NAMES)
    for name, kind in names.items()
}
_ENVELOPE = ("channel", "sender_epoch", "receiver_epoch", "sequence")


def encode(message: Said) -> bytes:
    """The binary form of a message. Raises ``MessageError`` for a value that it cannot hold, as a negative amount."""
    table, said = load_messages(), plain(message)
    form = table.messages[said["message"]]
    given = {**{name: said[name] for name in _ENVELOPE if name in said}, **said["body"]}
    return form.type.to_bytes(2, "big") + _Writer(table).record(table.fields_of(form), given, f"message {form.name}")


def plain(message: Said) -> dict[str, Any]:
    """The JSON form of a message of any family, with every field: what JSON may leave out too."""
    inner = message.body if isinstance(message, Envelope) else message
    around = {name: getattr(message, name) for name in _ENVELOPE} if isinstance(message, Envelope) else {}
    return {**around, "message": _NAME_OF[type(inner)], "body": _whole(inner)}


def _whole(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {field.name: _whole(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: _whole(one) for key, one in value.items()}
    return [_whole(one) for one in value] if isinstance(value, tuple | list) else value


def decode(raw: bytes, sender: str) -> Said | None:
    """Read a message of ``sender``; None for one of an unknown odd number. Raises ``MessageError``."""
    form = json_of(raw, sender)
    return None if form is None else read_json(form, sender)


def read_json(raw: bytes, sender: str) -> Said:
    """Read a message of any family from its JSON form. Raises ``MessageError``."""
    try:
        said = messages.strict_json(raw)
    except (ValueError, RecursionError) as error:
        raise MessageError(f"message of {sender}", f"no JSON object: {error}", "message-form") from error
    name = said.get("message") if isinstance(said, dict) else None
    if not isinstance(name, str):
        raise MessageError(f"message of {sender}", "no JSON object with the name of a message", "message-form")
    if name in channel_messages.NAMES:
        return channel_messages.decode(raw, sender)
    if name in handover_messages.NAMES:
        return handover_messages.decode(raw, sender)
    return tower_messages.decode(raw, sender) if name in tower_messages.NAMES else messages.decode(raw, sender)


def json_of(raw: bytes, sender: str) -> bytes | None:
    """The JSON form of a binary message; None for one of an unknown odd number. Raises ``MessageError``.

    What it says is not judged yet: that is for the reader of JSON.
    """
    place = f"message of {sender}"
    if len(raw) > messages.MAX_MESSAGE_BYTES:
        raise MessageError(place, f"{len(raw)} bytes are more than {messages.MAX_MESSAGE_BYTES}", "message-size")
    if len(raw) < 2:
        raise MessageError(place, "ends before its type does", "R-TLV-LENGTH")
    table, number = load_messages(), int.from_bytes(raw[:2], "big")
    message = table.by_type(number)
    if message is None:
        if number % 2:
            return None
        raise MessageError(place, f"unknown message {number}", EVEN)
    found = _Reader(table).record(table.fields_of(message), raw[2:], f"{place}, {message.name}")
    around = {name: found.pop(name) for name in _ENVELOPE} if message.family == table.enveloped else {}
    return json.dumps({**around, "message": message.name, "body": found}, ensure_ascii=False).encode()


class _Writer:
    """Values of JSON, which a reader of JSON has accepted, to bytes."""

    def __init__(self, table: MessageTable) -> None:
        self.table = table

    def record(self, fields: tuple[Field, ...], given: Mapping[str, Any], place: str) -> bytes:
        return stream(
            {
                field.type: self.field(field, given[field.name], f"{place}, {field.name}")
                for field in fields
                if given.get(field.name) is not None
            }
        )

    def field(self, field: Field, value: Any, place: str) -> bytes:
        if field.form[0] == "list":
            return b"".join(sized(self.value(field.element, one, place)) for one in value)
        if field.form[0] == "map":
            pairs = sorted((self.value(field.form[1], key, place), one) for key, one in value.items())
            return b"".join(sized(key) + sized(self.value(field.element, one, place)) for key, one in pairs)
        return self.value(field.element, value, place)

    def value(self, name: str, value: Any, place: str) -> bytes:
        if name in self.table.records:
            return self.record(self.table.records[name].fields, value, place)
        form = self.table.forms[name]
        try:
            raw = _written(form, value)
        except (OverflowError, UnicodeEncodeError) as error:
            raise MessageError(place, f"{value!r:.60} has no binary form: {error}", FIELD) from error
        _within(form, value, raw, place)
        return raw


def _written(form: Form, value: Any) -> bytes:
    match form.kind:
        case "bytes":
            return bytes.fromhex(value)
        case "number":
            return truncated(value)
        case "signed":
            return int(value).to_bytes(8, "big", signed=True)
        case "outpoint":
            found = _OUTPOINT.fullmatch(value)
            return bytes.fromhex(found[1]) + int(found[2]).to_bytes(4, "big") if found else b""
        case _:
            return str(value).encode()


class _Reader:
    """Bytes to values of JSON."""

    def __init__(self, table: MessageTable) -> None:
        self.table = table

    def record(self, fields: tuple[Field, ...], raw: bytes, place: str) -> dict[str, Any]:
        values = read_stream(raw, place)
        known = {field.type for field in fields}
        for number in values:
            if number not in known and not number % 2:
                raise MessageError(place, f"unknown field {number}", EVEN)
        found: dict[str, Any] = {}
        for field in fields:
            if field.type in values:
                found[field.name] = self.field(field, values[field.type], f"{place}, {field.name}")
            elif field.optional:
                found[field.name] = None
            else:
                raise MessageError(place, f"the field '{field.name}' is missing", FIELD)
        return found

    def field(self, field: Field, raw: bytes, place: str) -> Any:
        if field.form[0] == "list":
            return [self.value(field.element, one, place) for one in read_all_sized(raw, place)]
        if field.form[0] == "map":
            return self.pairs(field, list(read_all_sized(raw, place)), place)
        return self.value(field.element, raw, place)

    def pairs(self, field: Field, parts: list[bytes], place: str) -> dict[str, Any]:
        keys = parts[::2]
        if len(parts) % 2:
            raise MessageError(place, "a key without a value", FIELD)
        if any(one >= other for one, other in itertools.pairwise(keys)):
            raise MessageError(place, "keys that do not ascend", ORDER)
        return {
            self.value(field.form[1], key, place): self.value(field.element, value, place)
            for key, value in zip(keys, parts[1::2], strict=True)
        }

    def value(self, name: str, raw: bytes, place: str) -> Any:
        if name in self.table.records:
            return self.record(self.table.records[name].fields, raw, place)
        form = self.table.forms[name]
        value = _read(form, raw, place)
        _within(form, value, raw, place)
        return value


def _read(form: Form, raw: bytes, place: str) -> Any:
    match form.kind:
        case "bytes":
            return raw.hex()
        case "number":
            return read_truncated(raw, place)
        case "signed":
            if len(raw) != 8:
                raise MessageError(place, f"a signed number of {len(raw)} bytes instead of 8", FIELD)
            return int.from_bytes(raw, "big", signed=True)
        case "outpoint":
            return f"{raw[:32].hex()}:{int.from_bytes(raw[32:], 'big')}" if raw else ""
        case _:
            try:
                return raw.decode()
            except UnicodeDecodeError as error:
                raise MessageError(place, f"no UTF-8 at byte {error.start}", FIELD) from error


def _within(form: Form, value: Any, raw: bytes, place: str) -> None:
    """Hold a value against the limits of its form. Raises ``MessageError``."""
    match form.kind:
        case "bytes":
            size = len(raw)
            well = size in form.sizes if form.sizes else form.low <= size <= (form.high or size)
        case "number":
            well = form.low <= value <= (form.high or value)
        case "outpoint":
            well = len(raw) == 36 or (form.optional and not raw)
        case "text":
            well = value in form.choices if form.choices else form.low <= len(value) <= (form.high or len(value))
        case _:
            well = True
    if not well:
        raise MessageError(place, f"{value!r:.60} is no {form.name}: {form.says}", FIELD)
