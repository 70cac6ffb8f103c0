from __future__ import annotations

from pathlib import Path

import pytest

from superscalar_ref.errors import InputError, SpecError
from superscalar_ref.spec.load import load_parameters
from superscalar_ref.spec.location import spec_directory

TEXT = """\
[parameters.step_blocks]
unit = "blocks"
default = 144
min = 1
max = 65535
says = "Difference between neighbouring states."
source = ["P1242"]

[parameters.absence_blocks]
unit = "blocks"
default = 72
min = 0
says = "Longest absence."
source = []

[parameters.stock_lock]
unit = "choice"
default = "csv"
values = ["csv", "cltv-before", "none"]
says = "The LSP's own path."
source = ["D-9"]

[[constraints]]
id = "R-STEP"
expr = "step_blocks >= absence_blocks + 1"
says = "A step MUST be longer than an absence."
why = "An older state could win."
source = []

[[constraints]]
id = "R-LOCK"
expr = \"\"\"
    not stock_lock == 'csv'
    or absence_blocks >= 10
\"\"\"
says = "A relative lock MUST leave time."
why = "x"
source = []
"""


def write(tmp_path: Path, text: str = TEXT) -> Path:
    (tmp_path / "parameters.toml").write_text(text, encoding="utf-8")
    return tmp_path


def test_parameters_are_read_as_written(tmp_path: Path) -> None:
    definition = load_parameters(write(tmp_path))
    step = definition["step_blocks"]
    assert (step.unit, step.default, step.low, step.high, step.choices) == ("blocks", 144, 1, 65535, ())
    assert definition["absence_blocks"].high is None
    assert definition["stock_lock"].choices == ("csv", "cltv-before", "none")
    assert "step_blocks" in definition
    assert "steps" not in definition
    assert definition.constraint("R-LOCK").text == "not stock_lock == 'csv' or absence_blocks >= 10"
    values = definition.defaults()
    assert (values.number("step_blocks"), values.word("stock_lock"), values["absence_blocks"]) == (144, "csv", 72)
    with pytest.raises(TypeError):
        values.number("stock_lock")
    with pytest.raises(TypeError):
        values.word("step_blocks")
    with pytest.raises(KeyError):
        values["steps"]
    with pytest.raises(KeyError):
        definition["steps"]


def test_values_may_change_within_the_rules(tmp_path: Path) -> None:
    values = load_parameters(write(tmp_path)).defaults()
    changed = values.with_(step_blocks=6, absence_blocks=5, stock_lock="none")
    assert changed.as_dict() == {"step_blocks": 6, "absence_blocks": 5, "stock_lock": "none"}
    assert values.number("step_blocks") == 144
    assert changed.with_(step_blocks=144, absence_blocks=72, stock_lock="csv") == values
    assert hash(changed) != hash(values)


@pytest.mark.parametrize(
    ("changes", "rule", "says"),
    [
        ({"steps": 1}, "parameter", "no parameter 'steps'; known: step_blocks, absence_blocks, stock_lock"),
        ({"step_blocks": 0}, "step_blocks", "'step_blocks' is 0, below its least value 1"),
        ({"step_blocks": 65536}, "step_blocks", "'step_blocks' is 65536, above its greatest value 65535"),
        ({"step_blocks": "144"}, "step_blocks", "must be a whole number"),
        ({"step_blocks": 144.0}, "step_blocks", "must be a whole number"),
        ({"step_blocks": True}, "step_blocks", "must be a whole number"),
        ({"step_blocks": 10**5000}, "step_blocks", "a number of 16610 bits"),
        ({"stock_lock": "CSV"}, "stock_lock", "it may be csv, cltv-before, none"),
        ({"stock_lock": 1}, "stock_lock", "it may be csv"),
        ({"stock_lock": 10**5000}, "stock_lock", "a number of 16610 bits; it may be csv"),
        ({"stock_lock": ["csv"]}, "stock_lock", "it may be csv"),
        (
            {"step_blocks": 72},
            "R-STEP",
            "A step MUST be longer than an absence: step_blocks >= absence_blocks \\+ 1 is false with "
            "absence_blocks = 72, step_blocks = 72",
        ),
        ({"absence_blocks": 9}, "R-LOCK", "absence_blocks = 9, stock_lock = csv"),
    ],
)
def test_a_bad_value_is_one_line(tmp_path: Path, changes: dict[str, object], rule: str, says: str) -> None:
    values = load_parameters(write(tmp_path)).defaults()
    with pytest.raises(InputError, match=says) as caught:
        values.with_changes(changes, "example.toml:3")
    assert (caught.value.place, caught.value.rule, caught.value.exit_code) == ("example.toml:3", rule, 2)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


FAULTS = [
    ("default = 144", "default = 0", 1, "step_blocks", "the default of 'step_blocks' is 0"),
    ("default = 144", "default = 72", 25, "R-STEP", "the defaults break it"),
    ("default = 144", "default = 144.0", 3, "parameters.schema.json", "must be a whole number or text"),
    ("default = 144", 'default = "144"', 3, "parameter-range", "has a word as default"),
    ("min = 1\nmax = 65535", "min = 9\nmax = 8", 1, "parameter-range", "min 9 above max 8"),
    ("min = 1\nmax = 65535\n", "", 1, "parameter-range", "neither 'min' nor 'values'"),
    ("min = 1", "min = 1.0", 4, "parameters.schema.json", "must be a whole number"),
    ("min = 1", "minimum = 1", 4, "parameters.schema.json", "unknown key 'minimum'"),
    ('default = "csv"', 'default = "CSV"', 16, "stock_lock", "it may be csv"),
    ('values = ["csv"', 'min = 1\nvalues = ["csv"', 16, "parameter-range", "both a range and a list"),
    ("[parameters.step_blocks]", "[parameters.min]", 1, "parameter-name", "is a word of the constraints' language"),
    ("[parameters.step_blocks]", "[parameters.Step]", 1, "parameters.schema.json", "does not have the form"),
    ('id = "R-STEP"', 'id = "STEP"', 24, "parameters.schema.json", "does not have the form"),
    ("absence_blocks + 1", "absent + 1", 25, "R-STEP", "no parameter 'absent'"),
    ("stock_lock == 'csv'", "stock_lock == 'cvs'", 32, "R-LOCK", 'never "cvs"'),
    ('says = "A step', 'says = "Nodes MUST check. A step', 26, "no-must-check", "is no requirement"),
    ('why = "x"\n', "", 30, "parameters.schema.json", "the key 'why' is missing"),
]


@pytest.mark.parametrize(
    ("old", "new", "line", "rule", "says"), FAULTS, ids=[f"{f[3]}-{i}" for i, f in enumerate(FAULTS)]
)
def test_a_fault_is_named_with_its_line(tmp_path: Path, old: str, new: str, line: int, rule: str, says: str) -> None:
    assert old in TEXT
    with pytest.raises(SpecError) as caught:
        load_parameters(write(tmp_path, TEXT.replace(old, new)))
    assert says in str(caught.value)
    assert caught.value.rule == rule
    assert caught.value.place.endswith(f"parameters.toml:{line}"), caught.value


def test_a_set_can_lose_a_constraint_and_change_a_default(tmp_path: Path) -> None:
    definition = load_parameters(write(tmp_path))
    loose = definition.without("R-STEP").with_default("step_blocks", 3)
    assert loose.defaults().number("step_blocks") == 3
    assert [constraint.id for constraint in loose.constraints] == ["R-LOCK"]
    with pytest.raises(KeyError):
        definition.without("R-NONE")


@pytest.mark.skipif(not (spec_directory() / "parameters.toml").exists(), reason="spec/parameters.toml is not there")
def test_the_real_parameters_load() -> None:
    assert load_parameters().constraints
