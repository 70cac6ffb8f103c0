"""Numbers that a design states are played as stated: safe ones hold, unsafe ones lose, others are refused."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from superscalar_ref.check.configurations import load_configurations, tight_values
from superscalar_ref.check.judge import Design
from superscalar_ref.check.stated import state
from superscalar_ref.check.variants import judge_variant
from superscalar_ref.cli import main
from superscalar_ref.errors import SpecError
from superscalar_ref.protocol.strategy import load_strategy
from superscalar_ref.spec.load import load_parameters, load_specification
from superscalar_ref.spec.source import Place
from superscalar_ref.spec.table import Patch, Variant

SPEC = Path(__file__).parents[2] / "spec"
PLACE = Place("variant.toml", 7)
STEP = "R-STEP-DOMINATES"


def played(dropped: str, name: str, **numbers: int) -> int:
    """The value of ``name`` in 'slow-blocks' (absence 2, confirmation 2) for a design with these numbers."""
    base = load_parameters()
    parameters = base.without(dropped)
    for number, stated_value in numbers.items():
        parameters = parameters.with_default(number, stated_value)
    stated = state(parameters, base, dict.fromkeys(numbers, PLACE))
    (configuration,) = (c for c in load_configurations() if c.id == "slow-blocks")
    value = tight_values(stated.parameters, configuration, {})[name]
    assert isinstance(value, int)
    return value


@pytest.mark.parametrize(
    ("dropped", "name", "numbers", "value"),
    [
        (STEP, "step_blocks", {}, 1),  # nothing is stated: as short as it may be
        (STEP, "step_blocks", {"step_blocks": 128}, 5),
        (STEP, "step_blocks", {"step_blocks": 127}, 5),  # 120 + 6 + 1: just safe, as 2 + 2 + 1 is
        (STEP, "step_blocks", {"step_blocks": 126}, 4),  # by at least a block
        (STEP, "step_blocks", {"step_blocks": 51}, 2),  # by 76 of 127, so by 3 of 5
        (STEP, "step_blocks", {"step_blocks": 1}, 1),  # never below the least value
        (STEP, "step_blocks", {"absence_blocks": 136}, 5),
        (STEP, "step_blocks", {"absence_blocks": 138}, 4),
        (STEP, "step_blocks", {"expiry_gap_blocks": 300}, 1),  # not about it: what is dropped is dropped
        ("R-EXIT-AWAKE", "exit_absence_blocks", {"exit_absence_blocks": 120}, 2),
        ("R-EXIT-AWAKE", "exit_absence_blocks", {"exit_absence_blocks": 121}, 3),
        ("R-LSP-AWAKE", "lsp_absence_blocks", {"lsp_absence_blocks": 6}, 2),
        ("R-LSP-AWAKE", "lsp_absence_blocks", {"lsp_absence_blocks": 9}, 3),
        ("R-FUNDING-DEPTH", "funding_confirmations", {"reorg_depth_blocks": 20}, 1),  # no game has reorgs
    ],
)
def test_a_stated_number_keeps_or_misses_a_dropped_constraint_as_at_full_size(
    dropped: str, name: str, numbers: dict[str, int], value: int
) -> None:
    assert played(dropped, name, **numbers) == value


def test_what_no_small_number_can_stand_for_is_refused() -> None:
    with pytest.raises(SpecError, match=r"variant.toml:7: no small world can miss R-LOCK-16-BIT"):
        played("R-LOCK-16-BIT", "step_blocks", step_blocks=65535)


def wrong(value: int | str, parameter: str = "step_blocks", breaks: str = "P-EXIT-ALWAYS") -> Variant:
    patches = (
        Patch(do="drop_constraint", place=PLACE, constraint=STEP),
        Patch(do="set_parameter", place=PLACE, parameter=parameter, value=value),
    )
    base = load_specification(only=["V-STEP-SHORT"]).variants[0]
    return replace(base, breaks=breaks, patches=patches, options=(("configuration", "slow-blocks"),))


def design() -> Design:
    return Design(load_specification(only=()), load_strategy(), load_configurations())


def test_a_variant_with_a_safe_step_is_not_refuted_and_one_with_an_unsafe_step_is() -> None:
    safe = judge_variant(design(), wrong(128))
    assert safe.problem == "P-EXIT-ALWAYS still holds"
    assert safe.remarks == (f"{STEP} is dropped, but the numbers keep it: so do the small worlds.",)
    short = judge_variant(design(), wrong(126))
    assert short.problem == ""
    assert short.trace is not None
    assert short.trace.lost == 1
    assert "'step_blocks' is 126, 1 too few" in short.remarks[0]


def test_a_number_that_no_game_looks_at_is_refused_where_it_is_set() -> None:
    with pytest.raises(SpecError, match=r"variant.toml:7: set_parameter: no game looks at 'anchor_sat'"):
        judge_variant(design(), wrong(330, "anchor_sat"))


def copy(tmp_path: Path, old: str, new: str) -> list[str]:
    """The arguments that check a copy of spec/ without R-STEP-DOMINATES and with one text replaced."""
    folder = tmp_path / "spec"
    shutil.copytree(SPEC, folder)
    parameters = folder / "parameters.toml"
    blocks = parameters.read_text(encoding="utf-8").split("[[constraints]]")
    text = "[[constraints]]".join(block for block in blocks if f'id = "{STEP}"' not in block)
    assert old in text
    parameters.write_text(text.replace(old, new, 1), encoding="utf-8")
    return ["check", "--spec", str(folder), "--config", "slow-blocks", "--cores", "1", "--property", "P-EXIT-ALWAYS"]


@pytest.mark.parametrize(("step", "code", "says"), [(128, 0, "the numbers keep it"), (100, 1, "27 too few")])
def test_a_number_that_is_edited_in_a_copy_is_played_as_stated(
    step: int, code: int, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(copy(tmp_path, "default = 144", f"default = {step}")) == code
    assert says in capsys.readouterr().out


def test_another_least_value_in_a_copy_is_refused_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(copy(tmp_path, "default = 144\nmin = 1", "default = 144\nmin = 128")) == 2
    error = capsys.readouterr().err
    assert "parameters.toml:18: another 'min' of 'step_blocks' means nothing in a small world" in error
    assert error.count("\n") == 1
