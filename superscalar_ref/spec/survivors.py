"""``spec/survivors.toml``: the faults that nothing needs to notice, each with the reason.

A pattern that fits no fault is stale, and so is one that fits only faults which something notices after all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from superscalar_ref.errors import SpecError
from superscalar_ref.spec.location import spec_directory
from superscalar_ref.spec.schema import check_schema
from superscalar_ref.spec.source import Place, read_document

FILE = "survivors.toml"


@dataclass(frozen=True)
class Argued:
    """One pattern, and why nothing notices what it fits."""

    pattern: str
    """The id of a fault; ``*`` stands for anything."""
    why: str
    place: Place

    def fits(self, identity: str) -> bool:
        """Whether the fault with this id is meant."""
        return fnmatchcase(identity, self.pattern)


def load_argued(directory: Path | None = None) -> tuple[Argued, ...]:
    """The patterns in their order; none when the file does not exist. Raises SpecError (``file:line``)."""
    path = spec_directory(directory) / FILE
    if not path.is_file():
        return ()
    document = read_document(path)
    check_schema(document, "survivors")
    rows: Any = document.data["survivors"]
    found: dict[str, Argued] = {}
    for index, row in enumerate(rows):
        place = document.place("survivors", index, "faults")
        for pattern in row["faults"]:
            if pattern in found:
                raise SpecError(str(place), f"'{pattern}' is argued already at {found[pattern].place}", "survivor-once")
            found[pattern] = Argued(pattern, " ".join(row["why"].split()), place)
    return tuple(found.values())


def check_patterns(argued: Iterable[Argued], every: Iterable[str]) -> None:
    """Refuse a pattern that fits none of ``every`` fault's ids. Raises SpecError (``file:line``)."""
    known = tuple(every)
    for one in argued:
        if not any(one.fits(identity) for identity in known):
            raise SpecError(str(one.place), f"'{one.pattern}' fits no fault any more", "survivor-stale")


def reason_of(argued: Iterable[Argued], identity: str) -> str:
    """Why nothing notices this fault; empty when nobody argues it."""
    return next((one.why for one in argued if one.fits(identity)), "")


def stale(argued: Iterable[Argued], noticed: Mapping[str, bool]) -> tuple[Argued, ...]:
    """The patterns all of whose faults were asked about (id → whether something noticed) and all noticed."""
    return tuple(
        one
        for one in argued
        if (fitting := [known for identity, known in noticed.items() if one.fits(identity)]) and all(fitting)
    )
