"""Loading ``spec/``: every function takes ``directory`` to read another copy than the package's own."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from superscalar_ref.errors import InputError, SpecError
from superscalar_ref.spec.location import display, on_trial, spec_directory
from superscalar_ref.spec.machines import check_wording, parse_machine
from superscalar_ref.spec.parameters import ParameterSet, parse_parameters
from superscalar_ref.spec.schema import check_schema
from superscalar_ref.spec.source import Document, Place, read_document
from superscalar_ref.spec.specification import Specification
from superscalar_ref.spec.table import Kind, Machine, Property, Variant
from superscalar_ref.spec.variants import apply_variant, parse_variant

_ID = re.compile(r"[A-Z]+-[A-Za-z0-9-]+")


def machine_names(directory: Path | None = None) -> tuple[str, ...]:
    """Return the names of the machines, sorted.

    Raises SpecError when there is none, or when a copy of the whole specification (with configurations to play) lacks
    one that the package's own has.
    """
    folder = spec_directory(directory) / "machines"
    names = tuple(sorted(path.stem for path in folder.glob("*.toml")))
    if not names:
        raise SpecError(display(folder), "no machine is there", "spec-directory")
    if directory is not None and (directory / "configurations.toml").is_file():
        for name in machine_names():
            if name not in names:
                raise SpecError(display(folder / f"{name}.toml"), f"the machine '{name}' is missing", "machine-set")
    return names


def load_machine(name: str, directory: Path | None = None) -> Machine:
    """Load and check one machine.

    Raises InputError for a name that no file has, SpecError (``file:line``) for a faulty file.
    """
    names = machine_names(directory)
    if name not in names:
        raise InputError(f"'{name}'", f"there is no such machine; there are {', '.join(names)}", "machine-name")
    doubted = directory is None and on_trial()
    return parse_machine(read_document(spec_directory(directory) / "machines" / f"{name}.toml"), doubted)


def load_machines(directory: Path | None = None) -> tuple[Machine, ...]:
    """Load and check every machine, sorted by name. Raises SpecError (``file:line``)."""
    return tuple(load_machine(name, directory) for name in machine_names(directory))


def load_parameters(directory: Path | None = None) -> ParameterSet:
    """Load and check ``parameters.toml``. Raises SpecError (``file:line``)."""
    document = read_document(spec_directory(directory) / "parameters.toml")
    check_wording(document)
    return parse_parameters(document)


def load_properties(directory: Path | None = None) -> tuple[Property, ...]:
    """Load ``properties.toml``, in its order; none when the file does not exist. Raises SpecError (``file:line``)."""
    path = spec_directory(directory) / "properties.toml"
    if not path.exists():
        return ()
    document = read_document(path)
    check_schema(document, "properties")
    check_wording(document)
    rows: Any = document.data["properties"]
    return tuple(_property(row, document.place("properties", index)) for index, row in enumerate(rows))


def load_variants(directory: Path | None = None, only: Collection[str] | None = None) -> tuple[Variant, ...]:
    """Load ``variants/*.toml``, sorted by file; with ``only``, no other files than those of these ids.

    Raises SpecError (``file:line``), and InputError for an id in ``only`` that no file has.
    """
    folder = spec_directory(directory) / "variants"
    paths = {f"V-{path.stem.upper()}": path for path in sorted(folder.glob("*.toml"))}
    for identity in only or ():
        if identity.upper() not in paths:
            raise InputError(f"'{identity}'", f"there is no such variant; there are {', '.join(paths)}", "variant")
    wanted = None if only is None else {identity.upper() for identity in only}
    return tuple(parse_variant(read_document(p)) for name, p in paths.items() if wanted is None or name in wanted)


def load_specification(directory: Path | None = None, only: Collection[str] | None = None) -> Specification:
    """Load and check all of ``spec/``, and that each variant can be applied to it.

    ``only``: the ids of the variants that are needed; the files of all others are not read, whatever is in them.
    Raises SpecError (``file:line``): also for an id that is used twice over all files, or that names nothing.
    """
    specification = Specification(
        directory=spec_directory(directory),
        machines=load_machines(directory),
        parameters=load_parameters(directory),
        properties=load_properties(directory),
        variants=load_variants(directory, only),
    )
    _check_ids(specification)
    for variant in specification.variants:
        known = {item.id for item in specification.properties}
        for name in (*filter(None, [variant.breaks]), *variant.keeps):
            if name not in known:
                raise SpecError(str(variant.place), f"{variant.id}: there is no property {name}", "id-exists")
        apply_variant(specification, variant)
    return specification


def load_doubted(directory: Path) -> Specification:
    """Load a copy of ``spec/`` from which somebody may have taken rules away; its variants are left out.

    What is unused or unreachable then is no fault. Raises SpecError (``file:line``) as ``load_specification`` does.
    """
    folder = spec_directory(directory)
    return Specification(
        directory=folder,
        machines=tuple(
            parse_machine(read_document(folder / "machines" / f"{name}.toml"), doubted=True)
            for name in machine_names(directory)
        ),
        parameters=load_parameters(directory),
        properties=load_properties(directory),
        variants=(),
    )


def _property(row: Mapping[str, Any], place: Place) -> Property:
    return Property(
        id=row["id"],
        kind=Kind(row["kind"]),
        says=row["says"],
        why=row.get("why", ""),
        heroes=tuple(row.get("for", ())),
        assumes=tuple(row.get("assumes", ())),
        checked_by=tuple(row.get("checked_by", ())),
        source=tuple(row.get("source", ())),
        place=place,
    )


def identifiers(specification: Specification) -> tuple[tuple[str, Place], ...]:
    """Return every id that a file of ``spec/`` defines, with its place: transitions, constraints, properties, variants
    with the transitions that they add, whatever other tables there are (lemmas, strategy), findings.

    Raises SpecError when one of those other tables cannot be read.
    """
    found = [(row.id, row.place) for machine in specification.machines for row in machine.transitions]
    found += [(item.id, item.place) for item in specification.parameters.constraints]
    found += [(item.id, item.place) for item in specification.properties]
    found += [(item.id, item.place) for item in specification.variants]
    found += [
        (patch.add.id, patch.place)
        for variant in specification.variants
        for patch in variant.patches
        if patch.add is not None
    ]
    for path in sorted(specification.directory.glob("*.toml")):
        if path.name not in {"parameters.toml", "properties.toml"}:
            found += _ids_of(read_document(path))
    found += [
        (path.stem, Place(display(path), 1)) for path in sorted((specification.directory / "findings").glob("*.md"))
    ]
    return tuple(found)


def _ids_of(document: Document) -> Iterator[tuple[str, Place]]:
    """Yield the ids of a table that has a reader elsewhere: ``[section.L-1]``, ``id = "STR-1"`` in ``[[section]]``."""
    for section, content in document.data.items():
        if isinstance(content, dict):
            for key in content:
                if _ID.fullmatch(key):
                    yield key, document.place(section, key)
        elif isinstance(content, list):
            for index, row in enumerate(content):
                identity = row.get("id") if isinstance(row, dict) else None
                if isinstance(identity, str) and _ID.fullmatch(identity):
                    yield identity, document.place(section, index, "id")


def _check_ids(specification: Specification) -> None:
    seen: dict[str, Place] = {}
    for identity, place in identifiers(specification):
        if identity in seen:
            raise SpecError(str(place), f"{identity} is already used at {seen[identity]}", "id-once")
        seen[identity] = place
    for path in sorted((specification.directory / "findings").glob("*.md")):
        if not path.stem.startswith("Q-"):
            raise SpecError(display(path), "a finding's file is named by its id, as Q-STK-1.md", "id-prefix")
