"""``superscalar-ref diagrams``: draw the state machines, or check that the committed drawings are current."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from superscalar_ref.errors import InputError
from superscalar_ref.machine.dot import to_dot
from superscalar_ref.machine.draw import is_sealed, to_svg
from superscalar_ref.machine.markdown import to_markdown
from superscalar_ref.machine.mermaid import to_mermaid
from superscalar_ref.spec.load import load_machines
from superscalar_ref.spec.table import Machine

_SUFFIXES = (".dot", ".mmd", ".md", ".svg")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a drawing is not current")
    parser.add_argument("--out", type=Path, metavar="DIR", default=Path("diagrams"), help="default: diagrams")
    parser.add_argument("--spec", type=Path, metavar="DIR", help="read this copy of spec/ instead of the package's")


def run(args: argparse.Namespace) -> int:
    """Write the drawings, or name those that differ from the tables. Raises InputError, SpecError."""
    machines = load_machines(args.spec)
    if args.check:
        faults = [fault for machine in machines for fault in stale(machine, args.out)]
        faults += orphans(machines, args.out)
        for fault in faults:
            print(fault)
        if faults:
            print("run: superscalar-ref diagrams")
        else:
            print(f"{len(machines)} machines: the drawings in {args.out} are current")
        return 1 if faults else 0
    for machine in machines:
        for path in write(machine, args.out):
            print(path)
    return 0


def texts(machine: Machine) -> dict[str, str]:
    """Return the texts of a machine's drawings by suffix."""
    return {".dot": to_dot(machine), ".mmd": to_mermaid(machine), ".md": to_markdown(machine)}


def write(machine: Machine, out: Path) -> Iterator[Path]:
    """Write a machine's drawings, and yield their paths. Raises InputError when that is impossible."""
    contents = texts(machine)
    contents[".svg"] = to_svg(contents[".dot"])
    for suffix, text in contents.items():
        path = out / f"{machine.name}{suffix}"
        try:
            out.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
        except OSError as error:
            raise InputError(str(path), error.strerror or "cannot be written", "diagram-file") from None
        yield path


def stale(machine: Machine, out: Path) -> Iterator[str]:
    """Yield a line for each drawing that differs from its table; an SVG is judged by its seal."""
    contents = texts(machine)
    for suffix in _SUFFIXES:
        path = out / f"{machine.name}{suffix}"
        try:
            found = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            yield f"{path}: missing"
            continue
        except (OSError, UnicodeDecodeError):
            yield f"{path}: cannot be read"
            continue
        current = is_sealed(found, contents[".dot"]) if suffix == ".svg" else found == contents[suffix]
        if not current:
            by_hand = "" if suffix != ".svg" else ", or was changed by hand"
            yield f"{path}: differs from spec/machines/{machine.name}.toml{by_hand}"


def orphans(machines: tuple[Machine, ...], out: Path) -> list[str]:
    """Return a line for each drawing of a machine that no longer exists."""
    names = {machine.name for machine in machines}
    return [
        f"{path}: there is no such machine"
        for path in sorted(out.glob("*"))
        if path.suffix in _SUFFIXES and path.stem not in names and path.stem != "README"
    ]
