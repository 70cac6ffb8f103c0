"""Who imports whom: the contracts in pyproject.toml hold, and starting the command line stays cheap."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

HEAVY = ("pbk", "z3", "hypothesis", "numpy", "transitions", "graphviz", "jsonschema", "jinja2", "rich", "coincurve")
"""Imported where they are used, not when the command line starts."""


def contracts() -> list[dict[str, object]]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        found: list[dict[str, object]] = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    return found


def test_the_layers_hold() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(contracts())} kept, 0 broken" in done.stdout


def test_every_package_has_its_layer() -> None:
    named = {word.strip(" ()") for contract in contracts() for word in _modules(contract)}
    packages = {f"superscalar_ref.{path.parent.name}" for path in ROOT.glob("superscalar_ref/*/__init__.py")}
    assert packages - named == set()


def _modules(contract: dict[str, object]) -> list[str]:
    rows = [row for key in ("layers", "source_modules") if isinstance(row := contract.get(key), list)]
    return [word for row in rows for entry in row for word in str(entry).split("|")]


@pytest.mark.parametrize("module", ["superscalar_ref.cli", "superscalar_ref.errors"])
def test_starting_imports_nothing_heavy(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"import sys, {module}; print(*sys.modules, sep='\\n')"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(done.stdout.split("\n"))
    assert module in loaded
    assert [name for name in HEAVY if name in loaded] == []
