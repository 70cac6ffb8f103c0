from __future__ import annotations

from pathlib import Path

import pytest

from superscalar_ref.errors import InputError, SpecError
from superscalar_ref.spec.load import identifiers, load_specification
from superscalar_ref.spec.specification import Specification
from superscalar_ref.spec.variants import apply_variant
from tests.machine import stock
from tests.spec import test_parameters

PROPERTIES = """\
[[properties]]
id = "P-newest-wins"
kind = "can"
says = "The newest state wins."
for = ["client"]
assumes = ["an absence is at most absence_blocks"]
checked_by = ["game"]

[[properties]]
id = "P-ONE-SPEND"
kind = "always"
says = "No outpoint is signed twice."
"""

HEAD = """\
[variant]
id = "V-test"
title = "Another design"
says = "It differs."
breaks = "P-newest-wins"
for = "client"
by = 3
question = "Q-DW-2"
premise = "The client sleeps."

[options]
sleep = 4
"""


def write(tmp_path: Path, patches: str, head: str = HEAD) -> Path:
    stock.write(tmp_path)
    test_parameters.write(tmp_path)
    (tmp_path / "properties.toml").write_text(PROPERTIES, encoding="utf-8")
    (tmp_path / "variants").mkdir(exist_ok=True)
    (tmp_path / "variants" / "test.toml").write_text(f"{head}\n{patches}", encoding="utf-8")
    return tmp_path


def applied(tmp_path: Path, patches: str) -> Specification:
    base = load_specification(write(tmp_path, patches))
    changed = apply_variant(base, base.variant("V-test"))
    # The baseline is untouched: it is frozen.
    assert base == load_specification(tmp_path)
    return changed


def test_a_variant_is_read_as_written(tmp_path: Path) -> None:
    variant = load_specification(
        write(tmp_path, "[[patches]]\ndo = 'drop_constraint'\nconstraint = 'R-STEP'\n")
    ).variants[0]
    assert (variant.breaks, variant.hero, variant.by, variant.question) == ("P-newest-wins", "client", 3, "Q-DW-2")
    assert variant.options == (("sleep", 4),)
    assert [patch.do for patch in variant.patches] == ["drop_constraint"]
    assert variant.patches[0].place.line == 14


def test_properties_are_read_as_written(tmp_path: Path) -> None:
    found = load_specification(write(tmp_path, "[[patches]]\ndo = 'drop_constraint'\nconstraint = 'R-STEP'\n"))
    wins = found.property("P-newest-wins")
    assert (wins.kind, wins.heroes, wins.checked_by) == ("can", ("client",), ("game",))
    assert found.property("P-ONE-SPEND").assumes == ()
    with pytest.raises(KeyError):
        found.property("P-none")


def test_machines_are_patched(tmp_path: Path) -> None:
    machine = applied(
        tmp_path,
        """
[[patches]]
do = "drop_guard"
machine = "stock"
guard = "amount_available"
[[patches]]
do = "drop_effect"
transition = "STK-2"
effect = "record_spend"
[[patches]]
do = "reorder_effects"
transition = "STK-1"
effects = ["send_link", "append_link", "record_spend"]
[[patches]]
do = "retarget"
transition = "STK-3"
to = "spent"
[[patches]]
do = "declare_guard"
machine = "stock"
guard = "is_late"
says = "It is late."
[[patches]]
do = "declare_effect"
machine = "stock"
effect = "forget"
says = "Forget."
[[patches]]
do = "replace_guards"
transition = "STK-2"
guards = ["is_late"]
[[patches]]
do = "add_transition"
machine = "stock"
add = { id = "STK-99", from = ["chained"], event = "undo", by = "lsp", to = "unsold", effects = ["forget"], rule = "x" }
""",
    ).machine("stock")
    assert machine.transition("STK-1").guards == ("takes_all",)
    assert machine.transition("STK-2").guards == ("is_late",)
    assert machine.transition("STK-2").effects == ("append_link", "send_link")
    assert machine.transition("STK-1").effects == ("send_link", "append_link", "record_spend")
    assert machine.transition("STK-3").to == "spent"
    added = machine.transition("STK-99")
    assert (added.sources, added.by, added.to, added.effects) == (("chained",), ("lsp",), "unsold", ("forget",))
    assert machine.guard("is_late").says == "It is late."


def test_a_row_can_go(tmp_path: Path) -> None:
    machine = applied(tmp_path, "[[patches]]\ndo = 'remove_transition'\ntransition = 'STK-2'\n").machine("stock")
    assert [row.id for row in machine.transitions] == ["STK-1", "STK-3"]


def test_parameters_are_patched(tmp_path: Path) -> None:
    changed = applied(
        tmp_path,
        "[[patches]]\ndo = 'set_parameter'\nparameter = 'step_blocks'\nvalue = 3\n"
        "[[patches]]\ndo = 'drop_constraint'\nconstraint = 'R-STEP'\n",
    )
    assert changed.parameters.defaults().number("step_blocks") == 3


FAULTS = [
    ("do = 'drop_guard'\nmachine = 'stock'\nguard = 'none'", 14, "changes nothing in stock"),
    ("do = 'drop_guard'\ntransition = 'STK-3'\nguard = 'takes_all'", 14, "changes nothing in STK-3"),
    ("do = 'drop_guard'\nmachine = 'shop'\nguard = 'takes_all'", 14, "no machine 'shop'"),
    ("do = 'drop_guard'\nguard = 'takes_all'", 14, "needs a transition, or a machine"),
    ("do = 'drop_guard'\ntransition = 'STK-1'\nguard = 'takes_all'\nto = 'spent'", 18, "takes no 'to'"),
    ("do = 'drop_guard'\ntransition = 'STK-1'", 14, "the key 'guard' is missing"),
    ("do = 'drop_effect'\ntransition = 'STK-9'\neffect = 'x'", 14, "no transition STK-9"),
    ("do = 'reorder_effects'\ntransition = 'STK-1'\neffects = ['send_link']", 14, "not the effects of STK-1"),
    ("do = 'replace_guards'\ntransition = 'STK-1'\nguards = ['x']", 14, "no guard 'x'"),
    ("do = 'retarget'\ntransition = 'STK-1'\nto = 'gone'", 14, "no state 'gone'"),
    ("do = 'retarget'\ntransition = 'STK-1'\nto = 'spent'", 14, "changes nothing in STK-1"),
    ("do = 'remove_transition'\ntransition = 'STK-9'", 14, "no transition STK-9"),
    (
        "do = 'add_transition'\nmachine = 'stock'\n"
        "add = { id = 'STK-1', from = ['chained'], event = 'x', by = 'lsp', to = 'spent', rule = 'x' }",
        14,
        "STK-1 is already used at",
    ),
    (
        "do = 'add_transition'\nmachine = 'stock'\n"
        "add = { id = 'STK-9', from = ['chained'], event = 'x', by = 'lsp', to = 'spent' }",
        17,
        "the key 'rule' is missing",
    ),
    ("do = 'declare_guard'\nmachine = 'stock'\nguard = 'takes_all'\nsays = 'x'", 14, "is declared already"),
    ("do = 'set_parameter'\nparameter = 'steps'\nvalue = 1", 14, "no parameter 'steps'"),
    ("do = 'set_parameter'\nparameter = 'step_blocks'\nvalue = 1", 14, "R-STEP"),
    ("do = 'set_parameter'\nparameter = 'step_blocks'\nvalue = 0", 14, "below its least value"),
    ("do = 'drop_constraint'\nconstraint = 'R-NONE'", 14, "no constraint R-NONE"),
    ("do = 'explode'", 15, "it may be drop_guard"),
]


@pytest.mark.parametrize(("patch", "line", "says"), FAULTS, ids=[f[2] for f in FAULTS])
def test_a_patch_that_does_nothing_or_names_nothing_is_refused(
    tmp_path: Path, patch: str, line: int, says: str
) -> None:
    with pytest.raises(SpecError) as caught:
        load_specification(write(tmp_path, f"[[patches]]\n{patch}\n"))
    assert says in str(caught.value)
    assert caught.value.place.endswith(f"test.toml:{line}"), caught.value


def test_a_variant_that_adds_a_row_applies_once(tmp_path: Path) -> None:
    patch = (
        "[[patches]]\ndo = 'add_transition'\nmachine = 'stock'\n"
        "add = { id = 'STK-9', from = ['chained'], event = 'x', by = 'lsp', to = 'spent', rule = 'x' }\n"
    )
    changed = applied(tmp_path, patch)
    with pytest.raises(SpecError, match="STK-9 exists already"):
        apply_variant(changed, changed.variant("V-test"))


DROP = "[[patches]]\ndo = 'drop_constraint'\nconstraint = 'R-STEP'\n"


def test_a_variant_breaks_a_property_that_exists(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no property P-gone"):
        load_specification(write(tmp_path, DROP, HEAD.replace("P-newest-wins", "P-gone")))


def test_a_faulty_variant_is_in_the_way_of_nobody_who_does_not_need_it(tmp_path: Path) -> None:
    directory = write(tmp_path, DROP)
    (directory / "variants" / "bad.toml").write_text("[variant\n", encoding="utf-8")
    with pytest.raises(SpecError, match=r"bad.toml:1"):
        load_specification(directory)
    assert load_specification(directory, only=()).variants == ()
    assert [variant.id for variant in load_specification(directory, only=["V-test"]).variants] == ["V-test"]
    with pytest.raises(SpecError, match=r"bad.toml:1"):
        load_specification(directory, only=["V-BAD"])
    with pytest.raises(InputError, match="V-NONE"):
        load_specification(directory, only=["V-NONE"])


def test_the_patch_that_sets_a_value_is_blamed_for_the_constraint_that_it_breaks(tmp_path: Path) -> None:
    patches = DROP + "[[patches]]\ndo = 'set_parameter'\nparameter = 'absence_blocks'\nvalue = 9\n"
    with pytest.raises(SpecError, match=r"test.toml:17: the defaults break it.*R-LOCK"):
        load_specification(write(tmp_path, patches))


def test_a_variants_file_has_its_name(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"V-other belongs in other.toml"):
        load_specification(write(tmp_path, DROP, HEAD.replace("V-test", "V-other")))


def test_no_id_is_used_twice_over_all_files(tmp_path: Path) -> None:
    directory = write(tmp_path, DROP)
    (directory / "findings").mkdir()
    (directory / "findings" / "Q-DW-2.md").write_text("x", encoding="utf-8")
    (directory / "lemmas.toml").write_text("[lemmas.L-1]\nsays = 'x'\n", encoding="utf-8")
    (directory / "strategy.toml").write_text('[[rules]]\nid = "STR-1"\n', encoding="utf-8")
    found = dict(identifiers(load_specification(directory)))
    assert list(found) == [
        "STK-1", "STK-2", "STK-3", "R-STEP", "R-LOCK", "P-newest-wins", "P-ONE-SPEND", "V-test",
        "L-1", "STR-1", "Q-DW-2",
    ]  # fmt: skip
    assert found["STR-1"].line == 2
    (directory / "strategy.toml").write_text('[[rules]]\nid = "R-STEP"\n', encoding="utf-8")
    with pytest.raises(SpecError, match=r"strategy.toml:2: R-STEP is already used at .*parameters.toml"):
        load_specification(directory)
    (directory / "strategy.toml").unlink()
    path = directory / "properties.toml"
    path.write_text(PROPERTIES.replace("P-ONE-SPEND", "P-newest-wins"), encoding="utf-8")
    with pytest.raises(SpecError, match=r"properties.toml:9: P-newest-wins is already used at .*properties.toml:1"):
        load_specification(directory)


def test_a_findings_file_is_named_by_its_id(tmp_path: Path) -> None:
    directory = write(tmp_path, DROP)
    (directory / "findings").mkdir()
    (directory / "findings" / "notes.md").write_text("x", encoding="utf-8")
    with pytest.raises(SpecError, match="a finding's file is named by its id"):
        load_specification(directory)


def test_the_real_specification_loads_as_a_whole() -> None:
    assert load_specification().machines


def test_a_variant_keeps_properties_or_breaks_one(tmp_path: Path) -> None:
    patch = "[[patches]]\ndo = 'drop_constraint'\nconstraint = 'R-STEP'\n"
    keeps = HEAD.replace('breaks = "P-newest-wins"', 'keeps = ["P-newest-wins"]')
    variant = load_specification(write(tmp_path, patch, keeps)).variants[0]
    assert (variant.breaks, variant.keeps) == ("", ("P-newest-wins",))
    with pytest.raises(SpecError, match="there is no property P-nothing"):
        load_specification(write(tmp_path, patch, keeps.replace("P-newest-wins", "P-nothing")))
    with pytest.raises(SpecError, match="variant"):
        load_specification(write(tmp_path, patch, HEAD.replace("for =", 'keeps = ["P-newest-wins"]\nfor =')))
