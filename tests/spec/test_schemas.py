from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from superscalar_ref.spec.location import schema_directory
from superscalar_ref.spec.table import PREFIXES

SCHEMAS = sorted(schema_directory().glob("*.schema.json"))


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda path: path.name)
def test_each_schema_is_one(path: Path) -> None:
    schema = json.loads(path.read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    assert schema["$id"] == path.name


def test_schema_and_loader_know_the_same_prefixes() -> None:
    schema = json.loads((schema_directory() / "machine.schema.json").read_text(encoding="utf-8"))
    pattern = schema["$defs"]["transition"]["properties"]["id"]["pattern"]
    assert pattern.removeprefix("^(").split(")")[0].split("|") == list(PREFIXES.values())
