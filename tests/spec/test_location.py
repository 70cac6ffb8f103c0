from __future__ import annotations

from pathlib import Path

import pytest

from superscalar_ref.errors import SpecError
from superscalar_ref.spec import location


def test_an_override_wins(tmp_path: Path) -> None:
    assert location.spec_directory(tmp_path) == tmp_path
    with pytest.raises(SpecError, match="no such directory"):
        location.spec_directory(tmp_path / "nowhere")


def test_the_wheels_copy_is_taken_before_a_neighbour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(location, "_PACKAGE", tmp_path / "package")
    with pytest.raises(SpecError, match="without its specification"):
        location.spec_directory()
    (tmp_path / "spec").mkdir()
    assert location.spec_directory() == tmp_path / "spec"
    (tmp_path / "package" / "_spec").mkdir(parents=True)
    assert location.spec_directory() == tmp_path / "package" / "_spec"
    assert location.schema_directory() == tmp_path / "package" / "_spec" / "schema"


def test_paths_are_shown_from_where_one_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert location.display(tmp_path / "spec" / "x.toml") == "spec/x.toml"
    assert location.display(Path("/nowhere/x.toml")) == "/nowhere/x.toml"
