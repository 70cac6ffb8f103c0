"""Holding a TOML document against its JSON Schema, with the line of the first thing that is wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from superscalar_ref.errors import InputError, SpecError
from superscalar_ref.spec.location import display, schema_directory
from superscalar_ref.spec.source import Document, Step

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator, ValidationError

_TYPES = {
    "string": "text",
    "integer": "a whole number",
    "boolean": "true or false",
    "array": "an array",
    "object": "a table",
}


@lru_cache
def _validator(kind: str) -> Draft202012Validator:
    """Build the validator of one kind of file; schemas refer to each other by file name."""
    from jsonschema import Draft202012Validator, validators  # noqa: PLC0415
    from referencing import Registry, Resource  # noqa: PLC0415

    contents: dict[str, Any] = {}
    for path in sorted(schema_directory().glob("*.schema.json")):
        try:
            contents[path.name] = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise SpecError(display(path), f"not JSON: {error}", "schema") from None
    if f"{kind}.schema.json" not in contents:
        raise SpecError(display(schema_directory()), f"no schema for '{kind}'", "schema")
    resources = [(name, Resource.from_contents(content)) for name, content in contents.items()]
    registry: Any = Registry().with_resources(resources)
    # JSON Schema takes 2.0 for a whole number; here it is not.
    whole = Draft202012Validator.TYPE_CHECKER.redefine("integer", lambda _, value: type(value) is int)
    extend: Any = validators.extend
    strict = extend(Draft202012Validator, type_checker=whole)
    validator: Draft202012Validator = strict(contents[f"{kind}.schema.json"], registry=registry)
    return validator


def check_schema(document: Document, kind: str) -> None:
    """Check a document against ``spec/schema/KIND.schema.json``.

    Raises SpecError for the first fault in the order of the lines: its ``rule`` is the schema's name.
    """
    fault = _first_fault(document, kind)
    if fault is not None:
        line, problem = fault
        raise SpecError(f"{document.file}:{line}", problem, f"{kind}.schema.json")


@lru_cache(maxsize=256)
def _first_fault(document: Document, kind: str) -> tuple[int, str] | None:
    faults = sorted(
        (document.place(*path).line, path, problem)
        for error in _validator(kind).iter_errors(document.data)
        for path, problem in _problems(error)
    )
    if not faults:
        return None
    line, _, problem = faults[0]
    return line, problem


def _problems(error: ValidationError) -> Iterator[tuple[tuple[Step, ...], str]]:
    """Say in our words what is wrong, and where; an unknown key is placed at the key itself."""
    path: tuple[Step, ...] = tuple(error.absolute_path)
    rule = str(error.validator)
    given: Any = error.instance
    wanted: Any = error.validator_value
    if rule == "additionalProperties" and wanted is False:
        schema: Any = error.schema
        known = sorted(schema["properties"])
        for key in given:
            if key not in known:
                yield (*path, key), f"unknown key '{key}'; known here: {', '.join(known)}"
    elif rule == "required":
        for key in wanted:
            if key not in given:
                yield path, f"the key '{key}' is missing"
    elif rule == "pattern" and "propertyNames" in error.absolute_schema_path:
        # A bad key is reported on the table that holds it: the key itself is the instance.
        yield (*path, given), f"the name {given!r:.60} does not have the form {wanted}"
    else:
        where = f"'{_named(path)}'" if any(isinstance(step, str) for step in path) else "this"
        yield path, f"{where} {_wish(rule, wanted, given)}"


def _named(path: tuple[Step, ...]) -> str:
    """Name a value by its key, and by its place in the array under that key: ``arity[0]``."""
    last = max(index for index, step in enumerate(path) if isinstance(step, str))
    return f"{path[last]}" + "".join(f"[{step}]" for step in path[last + 1 :])


def _wish(rule: str, wanted: Any, given: Any) -> str:
    """Complete the sentence 'this …' for a value that breaks one rule of the schema."""
    if rule == "type":
        names = [wanted] if isinstance(wanted, str) else wanted
        return f"must be {' or '.join(_TYPES[name] for name in names)}, not {given!r:.60}"
    if rule == "pattern" and wanted != "\\S":
        return f"is {given!r:.60}, which does not have the form {wanted}"
    if rule == "enum":
        return f"is {given!r:.60}; it may be {', '.join(map(str, wanted))}"
    if rule in ("minimum", "maximum"):
        return f"is {given}; it may be {'at least' if rule == 'minimum' else 'at most'} {wanted}"
    if rule in ("maxLength", "maxItems"):
        return f"is longer than {wanted}"
    if rule == "uniqueItems":
        return "names something twice"
    if rule == "oneOf":
        return "must be a name, or a list of different names"
    # What is left: an empty text, array or table.
    return "is empty"


def check_json(value: object, kind: str, place: str) -> None:
    """Check a JSON value against ``spec/schema/KIND.schema.json``.

    Raises InputError that names ``place``, the way to the first thing that is wrong, and what is wrong with it.
    """
    error = next(iter(_validator(kind).iter_errors(value)), None)
    if error is not None:
        raise InputError(f"{place}: {error.json_path}", f"{error.message:.200}", f"{kind}.schema.json")
