"""What the project says of itself: the README's commands, files and ids exist, and nothing names a machine."""

from __future__ import annotations

import argparse
import importlib
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from superscalar_ref import __version__, cli

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
CI = (ROOT / ".ci" / "run").read_text(encoding="utf-8")

TARGETS = set(re.findall(r"^([a-z][a-z-]*):", MAKEFILE, re.MULTILINE))
ID = re.compile(r"\b(?:FAC|CHN|CLI|STK|SES|LAD|WTW|JIT|AXT|P|V|Q|R)-[A-Z0-9][A-Z0-9-]*\b")


def code(text: str) -> str:
    """Only what a Markdown text sets as code."""
    return "\n".join(re.findall(r"```.*?```|`[^`\n]+`|^    .+$", text, re.DOTALL | re.MULTILINE))


def described(text: str) -> set[str]:
    return set(re.findall(r"^`?\s*make ([a-z][a-z-]*)", code(text), re.MULTILINE))


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", ".ci/run"])
def test_every_make_command_that_is_named_exists(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    named = set(re.findall(r"^make ([a-z-]+)$", text, re.MULTILINE)) if name == ".ci/run" else described(text)
    assert named
    assert named <= TARGETS


def test_every_target_is_phony_and_listed_by_help() -> None:
    phony = re.search(r"^\.PHONY: (.+)$", MAKEFILE, re.MULTILINE)
    assert phony
    assert set(phony[1].split()) == TARGETS
    assert set(re.findall(r"@echo 'make ([a-z-]+)", MAKEFILE)) == TARGETS - {"help"}


def test_the_readme_names_the_two_commands_first() -> None:
    first = README.index("make verify")
    assert first < README.index("make test") < README.index("\n## ", first)


def test_ci_ends_with_the_readmes_test_command() -> None:
    assert CI.rstrip().split("\n")[-1] == "make test"


def test_every_command_has_its_module() -> None:
    modules = {path.stem for path in (ROOT / "superscalar_ref" / "commands").glob("[a-z]*.py")}
    assert set(cli.COMMANDS) == modules


@pytest.mark.parametrize("name", sorted(cli.COMMANDS))
def test_every_command_can_be_configured(name: str) -> None:
    module = importlib.import_module(f"superscalar_ref.commands.{name}")
    parser = argparse.ArgumentParser(prog=name)
    module.configure(parser)
    assert parser.format_help()
    assert callable(module.run)


def test_every_command_that_the_readme_calls_exists_and_none_is_forgotten() -> None:
    called = set(re.findall(r"superscalar-ref ([a-z]+)\b", code(README)))
    assert called == set(cli.COMMANDS)


def test_every_id_in_the_readme_is_in_the_specification() -> None:
    ids = set(ID.findall(README))
    files = [path for path in (ROOT / "spec").rglob("*") if path.suffix in (".toml", ".md")]
    known = "\n".join(path.read_text(encoding="utf-8") for path in files)
    assert ids
    assert {identity for identity in ids if not re.search(rf"\b{identity}\b", known)} == set()


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_every_path_that_is_named_exists(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    paths = set(re.findall(r"\]\(([^)#:]+)\)", text))
    paths |= set(re.findall(r"`((?:spec|superscalar_ref|tests|diagrams|examples|bench)/[\w./-]*)`", text))
    assert paths
    assert [path for path in sorted(paths) if not (ROOT / path).exists()] == []


def test_the_version_is_said_once() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        assert tomllib.load(file)["project"]["version"] == __version__


def test_every_dependency_is_bounded_and_has_its_reason() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    project = tomllib.loads(text)["project"]
    asked = [*project["dependencies"], *(row for rows in project["optional-dependencies"].values() for row in rows)]
    for row in asked:
        assert "<" in row or "==" in row, row
    lines = text.split("\n")
    for row in project["dependencies"]:
        assert lines[lines.index(f'    "{row}",') - 1].lstrip().startswith("# "), row


@pytest.mark.skipif(shutil.which("git") is None or not (ROOT / ".git").exists(), reason="no git checkout")
def test_no_committed_file_names_the_machine_that_it_was_written_on() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    homes = re.compile(r"/(?:home|root|Users)/\w|PIP_(?:INDEX|EXTRA|FIND)|index-url")
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        if path.suffix in (".svg", ".json") or path == Path(__file__) or not path.is_file():
            continue
        found = homes.search(path.read_text(encoding="utf-8", errors="replace"))
        assert found is None, f"{name}: {found[0] if found else ''}"
