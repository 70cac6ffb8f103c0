"""Bad examples: each gives one line with file, place and rule, and exit code 2."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from superscalar_ref.cli import main
from superscalar_ref.errors import InputError
from superscalar_ref.verify.example import load_example

EXAMPLE = Path(__file__).parents[2] / "examples" / "eight-clients.toml"
TEXT = EXAMPLE.read_text(encoding="utf-8")


def with_(old: str, new: str) -> Callable[[], str]:
    """The example with one text replaced, which must be there."""

    def change() -> str:
        assert old in TEXT, old
        return TEXT.replace(old, new, 1)

    return change


def without_clients() -> str:
    return TEXT[: TEXT.index("[[clients]]")]


def many_clients(number: int) -> Callable[[], str]:
    def change() -> str:
        rows = "".join(f'[[clients]]\nname = "c{n}"\nbalance_sat = 5000\ninbound_sat = 5000\n' for n in range(number))
        head = TEXT[: TEXT.index("[[clients]]")].replace("arity = [2, 2, 2]", "arity = [8, 4, 4]")
        return head + rows

    return change


BAD: dict[str, tuple[Callable[[], str], str, str]] = {
    # what is wrong: (the text, the rule named, a word of the line)
    "amounts that do not fit": (
        with_("lsp_coin_sat = 10_000_000", "lsp_coin_sat = 100_000"),
        "R-FUNDING-COVERED",
        "needs",
    ),
    "a coin no block pays": (with_("10_000_000", "5_100_000_000"), "block reward", "5000000000"),
    "a reserve no block pays": (
        with_("reserve_sat = 20_000", "reserve_sat = 5_000_000_001"),
        "block reward",
        "5000000000",
    ),
    "a dusty balance": (with_("balance_sat = 50_000", "balance_sat = 100"), "R-DUST", "alice"),
    "a dusty channel": (
        lambda: TEXT.replace("balance_sat = 5_000\n", "balance_sat = 0\n").replace(
            "inbound_sat = 45_000", "inbound_sat = 0"
        ),
        "R-DUST",
        "heidi",
    ),
    "a dusty stock": (with_("stock_sat = 100_000", "stock_sat = 300"), "R-DUST", "stock"),
    "a reserve that pays nothing": (with_("reserve_sat = 20_000", "reserve_sat = 5"), "R-FEE", "alice"),
    "a balance that cannot pay its sweep": (
        with_("tree_feerate_sat_per_vb = 1", "tree_feerate_sat_per_vb = 50"),
        "R-FEE",
        "heidi",
    ),
    "no clients": (without_clients, "clients_max", "not 0"),
    "300 clients": (many_clients(300), "clients_max", "not 300"),
    "128 clients": (many_clients(128), "clients_max", "not 128"),
    "an exit over the ceiling": (with_("arity = [2, 2, 2]", "arity = [2, 1, 1, 1, 2, 2]"), "R-EXIT-CEILING", "2016"),
    "a step over the ceiling": (with_("step_blocks = 144", "step_blocks = 200"), "R-EXIT-CEILING", "2016"),
    "a step that absence outlasts": (with_("step_blocks = 144", "step_blocks = 100"), "R-STEP-DOMINATES", "step"),
    "a lock over 16 bits": (with_("step_blocks = 144", "step_blocks = 60000"), "R-LOCK-16-BIT", "65535"),
    "a negative height": (with_("start_height = 120", "start_height = -5"), "example.schema.json", "start_height"),
    "a height without mature coins": (with_("start_height = 120", "start_height = 50"), "coinbase maturity", "50"),
    "a negative amount": (with_("balance_sat = 50_000", "balance_sat = -1"), "example.schema.json", "balance_sat"),
    "an amount that is no whole number": (with_("50_000", "1.5"), "example.schema.json", "balance_sat"),
    "more than all money": (
        with_("balance_sat = 50_000", "balance_sat = 2_200_000_000_000_000"),
        "example.schema.json",
        "balance_sat",
    ),
    "an unknown key": (with_("leaf_k = 1", "leaf_k = 1\nleafs = 2"), "example.schema.json", "leafs"),
    "an unknown section": (with_("\n[parameters]\n", "\n[fees]\na = 1\n[parameters]\n"), "example.schema.json", "fees"),
    "an unknown parameter": (with_("step_blocks = 144", "steps = 144"), "parameter", "steps"),
    "a parameter of the wrong kind": (
        with_("step_blocks = 144", 'step_blocks = "many"'),
        "step_blocks",
        "whole number",
    ),
    "a parameter that follows from the shape": (with_("step_blocks = 144", "dw_layers = 1"), "parameter", "dw_layers"),
    "broken TOML": (with_("[shape]", "[shape"), "toml", ""),
    "a missing section": (
        with_("[shape]\narity = [2, 2, 2]\nstatic = 0\nleaf_k = 1\n", ""),
        "example.schema.json",
        "shape",
    ),
    "a name twice": (with_('name = "bob"', 'name = "alice"'), "R-SHAPE", "alice"),
    "a client named as the LSP": (with_('name = "bob"', 'name = "lsp"'), "R-SHAPE", "lsp"),
    "an arity of one for ever": (with_("arity = [2, 2, 2]", "arity = [1]"), "R-SHAPE", "arity"),
    "an arity of zero": (with_("arity = [2, 2, 2]", "arity = [0]"), "example.schema.json", "arity"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_example_gives_one_line_and_exit_code_2(
    what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, rule, word = BAD[what]
    path = tmp_path / "bad.toml"
    path.write_text(text(), encoding="utf-8")
    code = main(["verify", str(path), "--report", str(tmp_path / "page.html")])
    err = capsys.readouterr().err
    lines = [line for line in err.splitlines() if "superscalar-ref verify:" in line]
    assert code == 2, err
    assert len(lines) == 1, err
    assert "Traceback" not in err
    assert "bad.toml:" in lines[0], "names file and line"
    assert f"[{rule}]" in lines[0].lower() or f"[{rule}]" in lines[0], lines[0]
    assert word in lines[0]
    assert not (tmp_path / "page.html").exists()


def test_a_file_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(tmp_path / "none.toml")]) == 2
    assert "none.toml" in capsys.readouterr().err


def test_the_example_loads_as_it_is_written() -> None:
    example = load_example(EXAMPLE)
    assert [client.name for client in example.clients][:2] == ["alice", "bob"]
    assert example.planned.worst_exit_blocks == 4 * 432 + 8
    assert example.terms().locks.step == 144


def test_127_clients_are_accepted(tmp_path: Path) -> None:
    path = tmp_path / "many.toml"
    path.write_text(many_clients(127)().replace("10_000_000", "1_000_000_000"), encoding="utf-8")
    assert len(load_example(path).clients) == 127


def test_an_error_carries_its_place_and_rule(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(TEXT.replace("lsp_coin_sat = 10_000_000", "lsp_coin_sat = 1"), encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load_example(path)
    line = TEXT.splitlines().index("lsp_coin_sat = 10_000_000") + 1
    assert caught.value.place.endswith(f"bad.toml:{line}")
    assert caught.value.rule == "R-FUNDING-COVERED"
