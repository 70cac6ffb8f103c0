"""Every field and number of spec/messages.toml is held by a published message: a table with one of them wrong reads or
writes at least one of them otherwise."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from superscalar_ref.conformance.functions import Rejected, evaluate
from superscalar_ref.parties import binary
from superscalar_ref.spec.wire_forms import Field, MessageTable, load_messages

PUBLISHED = Path(__file__).parents[2] / "spec/vectors/messages-tlv.json"
ONE, OTHER = "02" + "11" * 32, "03" + "22" * 32
SALE = {"label": "a", "state": "b", "stock": 1, "serial": 2, "parent": "c", "buyer": "d", "to_client": 3, "to_lsp": 4}
UPDATE = {"label": "a", "node": "r", "versions": {}, "contents": {}, "commitment_point": ONE}
WITH_ALL_FIELDS = (
    (
        {"message": "sale", "body": {**SALE, "price": 5, "points": {"client": ONE, "lsp": OTHER}}},
        f"a01c000161020162040101060102080163 0a01640c01030e0104100105 1246 0021{ONE} 0221{OTHER}",
    ),
    (
        {"message": "update", "body": {**UPDATE, "client_commitment_point": OTHER}},
        f"a006 000161 020172 0400 0600 0821{ONE} 0a21{OTHER}",
    ),
)
"""Messages with the fields that may be missing, and their bytes."""


def cases() -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    tests = json.loads(PUBLISHED.read_text(encoding="utf-8"))["tests"]
    found = [(one["fn"], one["args"], one["expect"]) for one in tests if one["fn"].startswith("message.")]
    for message, spaced in WITH_ALL_FIELDS:
        raw = {"binary": spaced.replace(" ", "")}
        found.append(("message.to_binary", {"message": message}, {"ok": raw}))
    return found


def holds(function: str, given: dict[str, Any], expected: dict[str, Any]) -> bool:
    try:
        return bool(evaluate(function, given) == expected.get("ok"))
    except Rejected as refused:
        return "reject" in expected and refused.code == expected["reject"]["code"]
    except KeyError:  # A value for which the faulty table has no place.
        return False


def wrong_fields(fields: tuple[Field, ...]) -> Iterator[tuple[str, tuple[Field, ...]]]:
    for place, field in enumerate(fields):
        before, after = fields[:place], fields[place + 1 :]
        yield f"without {field.name}", (*before, *after)
        yield f"another number for {field.name}", (*before, replace(field, type=field.type + 1), *after)


def wrong_tables(table: MessageTable) -> Iterator[tuple[str, MessageTable]]:
    for says, fields in wrong_fields(table.envelope):
        yield f"envelope {says}", replace(table, envelope=fields)
    for name, record in table.records.items():
        for says, fields in wrong_fields(record.fields):
            yield f"{name} {says}", replace(table, records={**table.records, name: replace(record, fields=fields)})
    for name, form in table.messages.items():
        others = {other: kept for other, kept in table.messages.items() if other != name}
        yield f"without {name}", replace(table, messages=others)
        yield f"another number for {name}", replace(table, messages={**others, name: replace(form, type=form.type + 1)})
        for says, fields in wrong_fields(form.fields):
            yield f"{name} {says}", replace(table, messages={**others, name: replace(form, fields=fields)})


def test_each_wrong_field_and_number_is_seen_in_a_published_message(monkeypatch: pytest.MonkeyPatch) -> None:
    tests, table = cases(), load_messages()
    assert all(holds(*one) for one in tests)
    unseen: list[str] = []
    for says, wrong in wrong_tables(table):
        monkeypatch.setattr(binary, "load_messages", lambda wrong=wrong: wrong)
        if all(holds(*one) for one in tests):
            unseen.append(says)
    assert unseen == []
