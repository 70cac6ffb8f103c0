"""Files of published test vectors: recognised by their form, and run against this implementation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from superscalar_ref.conformance.fields import Node
from superscalar_ref.conformance.forms import forms
from superscalar_ref.conformance.forms.base import RECOGNISED_FROM, Form
from superscalar_ref.conformance.results import FileResult
from superscalar_ref.errors import InputError


def check_file(path: Path) -> FileResult:
    """Run every case of one file.

    Raises InputError when the file cannot be read, is of no known form, has no case, or is malformed anywhere.
    """
    document = Node(_read(path), str(path))
    form = recognise(document)
    cases = tuple(form.run(document))
    if not cases:
        document.fail(f"has the form '{form.name}' but no case", "a run that checks nothing is an error")
    return FileResult(str(path), form.name, cases)


def recognise(document: Node) -> Form:
    """The known form that a document has. Raises InputError when it has none."""
    keys = document.mapping()
    best = max(forms(), key=lambda form: form.likeness(keys))
    if best.likeness(keys) < RECOGNISED_FROM:
        known = ", ".join(form.name for form in forms())
        document.fail(f"no known form of vectors (known: {known})", "form of the file")
    return best


def _read(path: Path) -> Any:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(str(path), f"cannot be read: {error.strerror or error}", "readable file") from error
    except UnicodeDecodeError as error:
        raise InputError(str(path), f"is not UTF-8 text (byte {error.start})", "JSON in UTF-8") from error
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        place = f"{path}:{error.lineno}"
        raise InputError(place, f"is not JSON: {error.msg} (column {error.colno})", "JSON in UTF-8") from error
    except RecursionError as error:
        raise InputError(str(path), "is nested too deeply", "JSON in UTF-8") from error
    except ValueError as error:
        raise InputError(str(path), str(error).split(";")[0], "JSON in UTF-8") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key '{twice}' stands twice in one object")
    return fields
