"""Where the files of the specification are: in the wheel, in a checkout, or where the caller says."""

from __future__ import annotations

from pathlib import Path

from superscalar_ref.errors import SpecError

_PACKAGE = Path(__file__).resolve().parent.parent
_on_trial: list[Path] = []
"""A copy that stands for the package's own in this process: at most one."""


def put_on_trial(directory: Path | None) -> None:
    """Let a changed copy stand for the package's own specification in this process; None: its own again.

    Whatever has been loaded before stays as it was. For a process that looks what a fault in the copy does.
    """
    _on_trial[:] = [] if directory is None else [directory]


def on_trial() -> bool:
    """Whether the package's own specification is a changed copy: it may lack rules that it should have."""
    return bool(_on_trial)


def spec_directory(directory: Path | None = None) -> Path:
    """Return the directory that holds ``machines/``, ``parameters.toml`` and the rest.

    ``directory`` overrides; without it the copy inside an installed wheel is taken, else the checkout's ``spec/``.
    Raises SpecError when there is no such directory.
    """
    if directory is not None:
        if not directory.is_dir():
            raise SpecError(str(directory), "no such directory", "spec-directory")
        return directory
    return _on_trial[0] if _on_trial else _own()


def _own() -> Path:
    for candidate in (_PACKAGE / "_spec", _PACKAGE.parent / "spec"):
        if candidate.is_dir():
            return candidate
    raise SpecError(str(_PACKAGE.parent / "spec"), "the package came without its specification", "spec-directory")


def schema_directory() -> Path:
    """Return the directory of the JSON Schemas: always this package's own, since the loader is written for them."""
    return _own() / "schema"


def display(path: Path) -> str:
    """Write a path for a message: relative to the working directory where it lies below it."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
