from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from superscalar_ref.cli import main
from superscalar_ref.errors import InputError
from superscalar_ref.machine.dot import to_dot
from superscalar_ref.machine.draw import engine, to_svg
from superscalar_ref.machine.markdown import to_markdown, to_text
from superscalar_ref.machine.mermaid import to_mermaid
from superscalar_ref.machine.scxml import to_scxml
from superscalar_ref.spec.location import spec_directory
from tests.machine.stock import TABLE, table, write

EDGES = {
    ("unsold", "spent", "STK-1"),
    ("chained", "spent", "STK-1"),
    ("unsold", "chained", "STK-2"),
    ("chained", "chained", "STK-2"),
    ("chained", "chained", "STK-3"),
}


def test_dot_has_every_edge(tmp_path: Path) -> None:
    found = re.findall(r'(\w+) -> (\w+) \[label=" (STK-\d+) ', to_dot(table(tmp_path)))
    assert sorted(found) == sorted(EDGES)


def test_mermaid_has_every_edge_start_and_end(tmp_path: Path) -> None:
    text = to_mermaid(table(tmp_path))
    assert sorted(re.findall(r"s_(\w+) --> s_(\w+): (STK-\d+) ", text)) == sorted(EDGES)
    assert "[*] --> s_unsold\n" in text
    assert "s_spent --> [*]\n" in text


def test_scxml_is_xml_with_every_edge_in_the_tables_order(tmp_path: Path) -> None:
    root = ET.fromstring(to_scxml(table(tmp_path)))
    space = "{http://www.w3.org/2005/07/scxml}"
    assert root.tag == f"{space}scxml"
    assert root.get("initial") == "unsold"
    found = [
        (state.get("id"), row.get("target"), row.get("{urn:superscalar:machine}id"))
        for state in root
        for row in state.findall(f"{space}transition")
    ]
    assert found == [
        ("unsold", "spent", "STK-1"),
        ("unsold", "chained", "STK-2"),
        ("chained", "spent", "STK-1"),
        ("chained", "chained", "STK-2"),
        ("chained", "chained", "STK-3"),
    ]
    assert [state.get("id") for state in root.findall(f"{space}final")] == ["spent"]
    scripts = root.findall(f".//{space}script")
    assert [script.text for script in scripts[:3]] == [
        "record_spend(_event)",
        "append_link(_event)",
        "send_link(_event)",
    ]


def test_markdown_has_every_row_state_and_function(tmp_path: Path) -> None:
    text = to_markdown(table(tmp_path))
    rows = [line for line in text.split("\n") if line.startswith("| STK-")]
    assert [row.split(" | ")[0] for row in rows] == ["| STK-1", "| STK-2", "| STK-3"]
    assert "A crash \\| a restore." in rows[1]
    columns = {len(re.findall(r"(?<!\\)\|", line)) for line in rows}
    assert columns == {10}
    for name in ("unsold", "chained", "spent", "amount_available", "takes_all", "record_spend", "send_link"):
        assert f"| `{name}` |" in text


def test_text_keeps_to_the_width(tmp_path: Path) -> None:
    text = to_text(table(tmp_path), 60)
    assert "STK-2  unsold, chained --sell--> chained   (by lsp)" in text
    assert max(map(len, text.split("\n"))) <= 60


@pytest.mark.parametrize("program", ["dot", "graphviz-pure"])
def test_both_engines_draw(tmp_path: Path, program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if program == "graphviz-pure":
        monkeypatch.setenv("PATH", str(tmp_path))
    elif shutil.which("dot") is None:
        pytest.skip("Graphviz's dot is not installed")
    found = engine()
    assert found is not None
    assert found.name == program
    svg = to_svg(to_dot(table(tmp_path)))
    texts = [element.text for element in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]
    for state in ("unsold", "chained", "spent"):
        assert state in texts
    assert len([text for text in texts if text and "STK-" in text]) == len(EDGES)


def test_without_an_engine_one_line_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(InputError, match="neither Graphviz nor the graphviz-pure wheel is installed"):
        to_svg("digraph { a }")


def test_a_faulty_dot_text_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot draw: .*syntax error"):
        to_svg("digraph { a -> }")


def test_machines_lists_and_shows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = str(write(tmp_path))
    assert main(["machines", "--spec", spec]) == 0
    assert capsys.readouterr().out == "stock   3 states   3 transitions  Liquidity stock of a leaf\n"
    for form, sign in (
        ("table", "STK-1  unsold, chained --sell--> spent"),
        ("markdown", "# Liquidity stock"),
        ("mermaid", "stateDiagram-v2"),
        ("dot", "digraph stock"),
        ("scxml", "<scxml"),
        ("json", '"id": "STK-1"'),
    ):
        assert main(["machines", "show", "stock", "--format", form, "--spec", spec]) == 0
        assert sign in capsys.readouterr().out


def test_an_unknown_machine_is_one_line_and_exit_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["machines", "show", "nope", "--spec", str(write(tmp_path))]) == 2
    error = capsys.readouterr().err
    assert error == "superscalar-ref machines: 'nope': there is no such machine; there are stock [machine-name]\n"


def test_a_missing_directory_is_one_line_and_exit_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["machines", "--spec", str(tmp_path / "nowhere")]) == 2
    assert "no such directory" in capsys.readouterr().err
    assert main(["machines", "--spec", str(tmp_path)]) == 2
    assert "no machine is there" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["machines", "diagrams", "check", "why"])
def test_a_specification_without_one_of_its_machines_is_refused(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "spec"
    shutil.copytree(spec_directory(), copy)
    (copy / "machines" / "stock.toml").unlink()
    arguments = {"diagrams": ["--check"], "why": ["SES-5"]}.get(command, [])
    assert main([command, *arguments, "--spec", str(copy)]) == 2
    error = capsys.readouterr().err
    assert "stock.toml: the machine 'stock' is missing [machine-set]" in error
    assert error.count("\n") == 1


def test_diagrams_are_checked_against_the_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec, out = write(tmp_path / "spec"), tmp_path / "out"
    arguments = ["diagrams", "--spec", str(spec), "--out", str(out)]
    assert main([*arguments, "--check"]) == 1
    assert capsys.readouterr().out.count(": missing") == 4
    assert main(arguments) == 0
    assert sorted(path.name for path in out.iterdir()) == ["stock.dot", "stock.md", "stock.mmd", "stock.svg"]
    assert main([*arguments, "--check"]) == 0
    capsys.readouterr()

    write(spec, TABLE.replace('event = "confirm"', 'event = "confirmed"'))
    assert main([*arguments, "--check"]) == 1
    named = capsys.readouterr().out
    for suffix in ("dot", "mmd", "md", "svg"):
        assert f"{out / 'stock'}.{suffix}: differs" in named

    write(spec)
    svg = out / "stock.svg"
    drawn = svg.read_text(encoding="utf-8")
    assert ">chained<" in drawn
    for edited in (drawn.replace(">chained<", ">spent<"), f"{drawn}<svg/>\n", drawn.rpartition("<!--")[0], ""):
        svg.write_text(edited, encoding="utf-8")
        capsys.readouterr()
        assert main([*arguments, "--check"]) == 1
        assert capsys.readouterr().out.startswith(
            f"{svg}: differs from spec/machines/stock.toml, or was changed by hand"
        )
    svg.write_text(drawn, encoding="utf-8")
    assert main([*arguments, "--check"]) == 0
    (out / "gone.mmd").write_text("", encoding="utf-8")
    capsys.readouterr()
    assert main([*arguments, "--check"]) == 1
    assert capsys.readouterr().out.startswith(f"{out / 'gone.mmd'}: there is no such machine\n")


def test_diagrams_into_a_file_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out").write_text("", encoding="utf-8")
    assert main(["diagrams", "--spec", str(write(tmp_path)), "--out", str(tmp_path / "out")]) == 2
    assert "[diagram-file]" in capsys.readouterr().err


def test_a_drawing_does_not_depend_on_where_it_is_made(tmp_path: Path) -> None:
    write(tmp_path / "a")
    write(tmp_path / "b" / "c")
    code = "from superscalar_ref.cli import main; main(['machines', 'show', 'stock', '--format', 'json'])"
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code.replace("])", f", '--spec', '{directory}'])")],
            capture_output=True,
            check=True,
        ).stdout
        for directory in (tmp_path / "a", tmp_path / "b" / "c")
    }
    assert len(outputs) == 1
