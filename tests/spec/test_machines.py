from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from superscalar_ref.errors import InputError, SpecError
from superscalar_ref.spec.load import load_machine, load_machines, machine_names
from superscalar_ref.spec.location import spec_directory
from superscalar_ref.spec.machines import reachable
from tests.machine.stock import TABLE, table, write


def line_of(text: str, needle: str, nth: int = 1) -> int:
    """The line of the nth line that contains ``needle``."""
    return [number for number, line in enumerate(text.split("\n"), 1) if needle in line][nth - 1]


def test_a_table_is_read_as_written(tmp_path: Path) -> None:
    machine = table(tmp_path)
    assert (machine.name, machine.initial, machine.prefix) == ("stock", "unsold", "STK")
    assert [state.name for state in machine.states] == ["unsold", "chained", "spent"]
    assert machine.state("spent").final
    assert not machine.state("unsold").final
    assert machine.events == ("sell", "confirm")
    row = machine.transition("STK-2")
    assert (row.sources, row.event, row.by, row.to) == (("unsold", "chained"), "sell", ("lsp",), "chained")
    assert row.effects == ("record_spend", "append_link", "send_link")
    assert (row.why, machine.transition("STK-1").why) == ("A crash | a restore.", "")
    assert machine.transition("STK-3").by == ("chain", "lsp")
    assert row.place.line == line_of(TABLE, "[[transitions]]", 2)
    assert [row.id for row in machine.leaving("chained")] == ["STK-1", "STK-2", "STK-3"]
    assert reachable(machine) == {"unsold", "chained", "spent"}
    for lookup in (machine.state, machine.guard, machine.effect, machine.transition):
        with pytest.raises(KeyError):
            lookup("nothing")


# Each fault: what is replaced by what, the line that must be named (by a text on it), and the rule.
FAULTS = [
    ('name = "stock"', 'name = "stok"', 'name = "stok"', 1, "machine-name"),
    ('initial = "unsold"', 'initial = "sold"', "initial =", 1, "state-exists"),
    ('initial = "unsold"\n', "", "[machine]", 1, "machine.schema.json"),
    ('title = "Liquidity', 'titel = "Liquidity', "[machine]", 1, "machine.schema.json"),
    ('title = "Liquidity stock of a leaf"', 'title = ""', "title", 1, "machine.schema.json"),
    ('title = "Liquidity stock of a leaf"', "title = 7", "title", 1, "machine.schema.json"),
    ("final = true", 'final = "yes"', "final", 1, "machine.schema.json"),
    ("final = true", "last = true", "last", 1, "machine.schema.json"),
    ("final = true", "final = false", "[states.spent]", 1, "state-final"),
    ("[states.chained]", "[states.Chained]", "[states.Chained]", 1, "machine.schema.json"),
    ("[states.chained]", "[states.x]\nsays = 'x'\n[states.chained]", "[states.x]", 1, "state-reachable"),
    ('id = "STK-2"', 'id = "STK-1"', 'id = "STK-1"', 2, "id-once"),
    ('id = "STK-2"', 'id = "FAC-2"', 'id = "FAC-2"', 1, "id-prefix"),
    ('id = "STK-2"', 'id = "STK-two"', 'id = "STK-two"', 1, "machine.schema.json"),
    ('to = "spent"', 'to = "gone"', 'to = "gone"', 1, "state-exists"),
    ('from = ["chained"]', 'from = ["chaned"]', '"chaned"', 1, "state-exists"),
    ('from = ["chained"]', "from = []", "from = []", 1, "machine.schema.json"),
    ('from = ["chained"]', 'from = ["chained", "chained"]', '"chained", "chained"', 1, "machine.schema.json"),
    ('from = ["chained"]', 'from = ["chained", "spent"]', "[[transitions]]", 3, "final-is-final"),
    ('guards = ["amount_available"]', 'guards = ["amount"]', 'guards = ["amount"]', 1, "guards-declared"),
    ('["record_spend", "append', '["record", "append', '["record", "append', 1, "effects-declared"),
    ("[guards.takes_all]", "[guards.x]\nsays = 'x'\n[guards.takes_all]", "[guards.x]", 1, "guards-used"),
    ("[effects.send_link]", "[effects.x]\nsays = 'x'\n[effects.send_link]", "[effects.x]", 1, "effects-used"),
    ("takes_all", "wrong_sender", "[guards.wrong_sender]", 1, "guards-reserved"),
    ('rule = "A confirmation changes nothing."\n', "", "[[transitions]]", 3, "machine.schema.json"),
    ('rule = "A confirmation changes nothing."', 'rule = " "', 'rule = " "', 1, "machine.schema.json"),
    ('rule = "A confirmation', 'rule = "It MUST check. A confirmation', "MUST check", 1, "no-must-check"),
    ('rule = "A confirmation', 'rule = "It must not\\ncheck. A confirmation', "must not", 1, "no-must-check"),
    ('by = "lsp"', "by = []", "by = []", 1, "machine.schema.json"),
    ('by = ["chain", "lsp"]', "color = 1\nby = 'chain'", "color", 1, "machine.schema.json"),
    ('guards = ["amount_available", "takes_all"]', "guards = []", "[guards.takes_all]", 1, "guards-used"),
    (
        'event = "confirm"\nby = ["chain", "lsp"]',
        'event = "sell"\nby = "lsp"\nguards = ["takes_all", "amount_available"]',
        "[[transitions]]",
        3,
        "transition-alive",
    ),
    ("[effects.record_spend]", "[effects.record_spend", "[effects.record_spend", 1, "toml"),
    ("[machine]", "[machines]", "[machines]", 1, "machine.schema.json"),
]


@pytest.mark.parametrize(
    ("old", "new", "needle", "nth", "rule"), FAULTS, ids=[f"{f[4]}-{i}" for i, f in enumerate(FAULTS)]
)
def test_a_fault_is_named_with_its_line_and_rule(
    tmp_path: Path, old: str, new: str, needle: str, nth: int, rule: str
) -> None:
    assert old in TABLE
    text = TABLE.replace(old, new)
    with pytest.raises(SpecError) as caught:
        table(tmp_path, text)
    line = line_of(text, needle, nth)
    message = str(caught.value)
    assert caught.value.rule == rule, message
    assert caught.value.place.endswith(f"stock.toml:{line}"), message
    assert "\n" not in message
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("first", "second", "dead"),
    [
        ('by = "lsp"', 'by = "lsp"\nguards = ["takes_all", "amount_available"]', True),
        ('by = "anyone"', 'by = "lsp"\nguards = ["amount_available"]', True),
        ('by = ["lsp", "client"]', 'by = "client"\nguards = ["amount_available"]', True),
        ('by = "lsp"', 'by = "anyone"\nguards = ["amount_available"]', False),
        ('by = "lsp"', 'by = ["lsp", "client"]\nguards = ["amount_available"]', False),
        ('by = "lsp"', 'by = "lsp"', False),
    ],
)
def test_a_row_that_an_earlier_one_always_precedes_is_refused(
    tmp_path: Path, first: str, second: str, dead: bool
) -> None:
    text = TABLE.replace('by = "lsp"', first)
    text = text.replace('event = "confirm"\nby = ["chain", "lsp"]', f'event = "sell"\n{second}')
    if not dead:
        assert len(table(tmp_path, text).transitions) == 3
        return
    with pytest.raises(SpecError, match=r"STK-3 is never taken in 'chained': STK-[12] always comes before it"):
        table(tmp_path, text)


def test_a_row_with_more_guards_than_an_earlier_one_is_refused(tmp_path: Path) -> None:
    text = TABLE.replace("[effects.record_spend]", "[guards.late]\nsays = 'x'\n[effects.record_spend]")
    rest = 'event = "sell"\nby = "lsp"\nguards = ["late", "amount_available"]'
    with pytest.raises(SpecError, match="STK-3 is never taken in 'chained': STK-2 always comes before it"):
        table(tmp_path, text.replace('event = "confirm"\nby = ["chain", "lsp"]', rest))


def test_an_event_shared_by_different_roles_is_not_dead(tmp_path: Path) -> None:
    text = TABLE.replace('event = "confirm"\nby = ["chain", "lsp"]', 'event = "sell"\nby = "client"')
    assert table(tmp_path, text).transition("STK-3").by == ("client",)


def test_a_machine_without_a_prefix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"toaster.toml:2: no prefix is known for 'toaster'"):
        load_machine("toaster", write(tmp_path, TABLE.replace('name = "stock"', 'name = "toaster"'), "toaster"))


def test_an_unknown_machine_names_those_that_exist(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there are stock"):
        load_machine("../stock", write(tmp_path))


def test_whatever_is_broken_only_a_spec_error_comes_out(tmp_path: Path) -> None:
    """Lines dropped, doubled, cut and swapped: the loader takes it or names a line; it never falls over."""
    chance = random.Random(7)
    lines = TABLE.split("\n")
    refused = 0
    for _ in range(300):
        damaged = list(lines)
        place = chance.randrange(len(damaged))
        match chance.randrange(4):
            case 0:
                del damaged[place]
            case 1:
                damaged.insert(place, damaged[chance.randrange(len(damaged))])
            case 2:
                damaged[place] = damaged[place][: chance.randrange(len(damaged[place]) + 1)]
            case _:
                damaged[place] = damaged[place].replace('"', chance.choice(["'", "", "[", '"""', "\0"]))
        try:
            table(tmp_path, "\n".join(damaged))
        except SpecError as error:
            refused += 1
            assert re.search(r"stock\.toml:\d+$", error.place), error
            assert "\n" not in str(error)
    assert refused > 150


@pytest.mark.parametrize("path", sorted((spec_directory() / "machines").glob("*.toml")), ids=lambda path: path.stem)
def test_every_real_table_loads(path: Path) -> None:
    assert load_machine(path.stem).name == path.stem


def test_all_real_tables_load_together() -> None:
    assert tuple(machine.name for machine in load_machines()) == machine_names()
