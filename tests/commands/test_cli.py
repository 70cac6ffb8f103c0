"""What every command owes its user, whatever fails: one line, an exit code, no traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from superscalar_ref.cli import main

TREE = ("tree", "--clients", "8", "--arity", "2")


def ran(*arguments: str, stdout: int | None = subprocess.PIPE, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "superscalar_ref.cli", *arguments],
        stdout=stdout,
        stderr=subprocess.PIPE,
        encoding="latin-1",
        env=os.environ | environment,
        check=False,
    )


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
@pytest.mark.parametrize(
    "arguments", [TREE, ("tree", "--help"), ("machines", "show", "client", "--format", "markdown")]
)
def test_a_terminal_without_unicode_is_no_reason_to_fail(arguments: tuple[str, ...], encoding: str) -> None:
    done = ran(*arguments, PYTHONIOENCODING=encoding)
    assert done.returncode == 0
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) > 10


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("arguments", [TREE, ("machines",)])
def test_a_full_disk_behind_the_output_is_one_line(arguments: tuple[str, ...]) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        done = ran(*arguments, stdout=full)
    finally:
        os.close(full)
    assert done.returncode == 1
    assert done.stderr == f"superscalar-ref {arguments[0]}: the output cannot be written: No space left on device\n"


def test_a_reader_that_has_left_is_no_traceback() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = ran(*TREE, stdout=writer)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.skipif(os.name != "posix", reason="needs a shell that can close a descriptor")
def test_a_closed_output_is_no_traceback() -> None:
    done = subprocess.run(
        ["sh", "-c", '"$@" >&-', "sh", sys.executable, "-m", "superscalar_ref.cli", *TREE],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_path_that_cannot_be_written_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "none" / "trace.json"
    assert main(["check", "--variant", "V-STEP-SHORT", "--cores", "1", "--trace", str(path)]) == 2
    assert capsys.readouterr().err == f"superscalar-ref check: {path}: No such file or directory [file]\n"


@pytest.mark.parametrize("option", ["--json", "--report"])
def test_a_result_that_cannot_be_written_is_known_before_the_run(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "file" / "result"
    path.parent.write_text("no folder", encoding="utf-8")
    report = ["--report", str(tmp_path / "page.html")] if option == "--json" else []
    assert main(["verify", "examples/eight-clients.toml", *report, option, str(path)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert f"superscalar-ref verify: {path}: " in said.err
    assert not (tmp_path / "page.html").exists()


def test_a_name_with_a_line_break_stays_on_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(tmp_path / "no\nfile\x1b.toml")]) == 2
    err = capsys.readouterr().err
    assert [line for line in err.splitlines() if "no\\nfile\\x1b.toml" in line] == err.splitlines()[-1:]
    assert "\x1b.toml" not in err
