from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from superscalar_ref.errors import Refused, SpecError
from superscalar_ref.machine.agreement import assert_agree
from superscalar_ref.machine.bind import bind
from superscalar_ref.machine.step import prefixes, step
from superscalar_ref.machine.strict import StrictMachine
from superscalar_ref.machine.types import Action, Event
from tests.machine.stock import CONFIRM, TABLE, RoledStock, Stock, machine, rules, sell, table

STATUSES = ("unsold", "chained", "spent")


def test_the_first_row_whose_guards_hold_is_taken(tmp_path: Path) -> None:
    bound = machine(tmp_path)
    some = step(bound, Stock(), sell(1))
    assert (some.transition_id, some.context) == ("STK-2", Stock("chained", 2, (1,)))
    everything = step(bound, Stock(left=1), sell(1))
    assert (everything.transition_id, everything.context.status) == ("STK-1", "spent")


def test_effects_run_in_the_tables_order(tmp_path: Path) -> None:
    assert [action.kind for action in step(machine(tmp_path), Stock(), sell(1)).actions] == ["persist", "send"]
    swapped = TABLE.replace('"record_spend", "append_link", "send_link"', '"send_link", "append_link", "record_spend"')
    assert [a.kind for a in step(machine(tmp_path, swapped), Stock(), sell(1)).actions] == ["send", "persist"]


def test_a_false_guard_is_named_with_its_words_and_its_row(tmp_path: Path) -> None:
    context = Stock()
    with pytest.raises(Refused) as caught:
        step(machine(tmp_path), context, sell(4))
    error = caught.value
    assert (error.machine, error.state, error.event) == ("stock", "unsold", "sell")
    assert (error.rule, error.guard, error.code) == ("STK-1", "amount_available", "AMOUNT_AVAILABLE")
    assert "The stock holds what is sold." in str(error)
    assert context == Stock()


@pytest.mark.parametrize(
    ("status", "event", "says"),
    [
        ("unsold", CONFIRM, "this state takes sell"),
        ("spent", sell(1), "this state takes nothing"),
        ("unsold", Event.of("unheard_of", "L"), "no transition takes it"),
    ],
)
def test_an_event_out_of_turn_is_refused(tmp_path: Path, status: str, event: Event, says: str) -> None:
    with pytest.raises(Refused, match=says) as caught:
        step(machine(tmp_path), Stock(status), event)
    assert (caught.value.guard, caught.value.code, caught.value.rule) == (None, "OUT_OF_TURN", "STK")


def test_roles_are_enforced_where_the_context_knows_them(tmp_path: Path) -> None:
    bound = machine(tmp_path)
    assert step(bound, RoledStock(), sell(1, by="L")).transition_id == "STK-2"
    with pytest.raises(Refused, match="'A' may not cause it, only lsp") as caught:
        step(bound, RoledStock(), sell(1, by="A"))
    assert (caught.value.guard, caught.value.code) == ("wrong_sender", "WRONG_SENDER")
    assert step(bound, RoledStock("chained"), CONFIRM).transition_id == "STK-3"
    assert step(bound, Stock(), sell(1, by="A")).transition_id == "STK-2"


def test_anyone_admits_every_role(tmp_path: Path) -> None:
    bound = machine(tmp_path, TABLE.replace('by = "lsp"', 'by = "anyone"'))
    assert step(bound, RoledStock(), sell(1, by="A")).transition_id == "STK-2"


def test_a_sender_that_one_row_admits_hears_of_that_rows_guard(tmp_path: Path) -> None:
    text = TABLE.replace('by = "lsp"', 'by = "client"', 1)
    with pytest.raises(Refused) as caught:
        step(machine(tmp_path, text), RoledStock(), sell(4, by="L"))
    assert (caught.value.rule, caught.value.guard) == ("STK-2", "amount_available")


def test_prefixes_are_what_a_crash_leaves(tmp_path: Path) -> None:
    found = prefixes(machine(tmp_path), Stock(), sell(1))
    record = Action("persist", "spend", fields=(("amount", 1),))
    assert [(prefix.done, prefix.context, prefix.actions) for prefix in found] == [
        ((), Stock(), ()),
        (("record_spend",), Stock(recorded=(1,)), (record,)),
        (("record_spend", "append_link"), Stock(left=2, recorded=(1,)), (record,)),
        (
            ("record_spend", "append_link", "send_link"),
            Stock(left=2, recorded=(1,)),
            (record, Action("send", "link", to="A")),
        ),
    ]
    with pytest.raises(Refused):
        prefixes(machine(tmp_path), Stock(), sell(4))


def test_the_strict_form_agrees_on_every_state_and_event(tmp_path: Path) -> None:
    contexts = [kind(status, left) for kind in (Stock, RoledStock) for status in STATUSES for left in (0, 1, 2, 3)]
    events = [sell(amount, by) for amount in (0, 1, 2, 3, 4) for by in ("L", "A")] + [CONFIRM]
    events.append(Event.of("unheard_of", "L"))
    agreement = assert_agree(machine(tmp_path), contexts, events)
    assert agreement.taken == {"STK-1", "STK-2", "STK-3"}
    assert agreement.refused > len(contexts)


def test_agreement_needs_every_state_and_event(tmp_path: Path) -> None:
    bound = machine(tmp_path)
    with pytest.raises(AssertionError, match="no state 'spent'"):
        assert_agree(bound, [Stock("unsold"), Stock("chained")], [sell(1), CONFIRM])
    with pytest.raises(AssertionError, match="no event 'confirm'"):
        assert_agree(bound, [Stock(status) for status in STATUSES], [sell(1)])


def test_agreement_sees_a_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bound = machine(tmp_path)
    other = machine(tmp_path, TABLE.replace('to = "chained"\nrule', 'to = "unsold"\nrule'))
    monkeypatch.setattr(
        "superscalar_ref.machine.agreement.StrictMachine", lambda _, context: StrictMachine(other, context)
    )
    with pytest.raises(AssertionError, match="stock: "):
        assert_agree(bound, [Stock(status) for status in STATUSES], [sell(1), CONFIRM])


def test_the_strict_form_is_atomic(tmp_path: Path) -> None:
    strict = StrictMachine(machine(tmp_path), Stock())
    strict.handle(sell(1))
    before = strict.context
    with pytest.raises(Refused):
        strict.handle(sell(3))
    assert (strict.context, strict.state) == (before, "chained")
    with pytest.raises(OSError, match="full"):
        strict.handle(sell(2))
    assert (strict.context, strict.state) == (before, "chained")
    assert strict.handle(sell(1)).context.left == 1


def test_the_strict_form_has_no_back_door(tmp_path: Path) -> None:
    strict = StrictMachine(machine(tmp_path), Stock())
    with pytest.raises(Refused):
        strict.handle(Event.of("to_spent", "L"))
    with pytest.raises(Refused):
        strict.handle(Event.of("to_chained", "L"))
    assert strict.state == "unsold"


def test_an_effect_must_not_change_the_status(tmp_path: Path) -> None:
    wrong = rules()
    wrong.effects["send_link"] = lambda context, event: (replace(context, status="spent"), ())
    bound = bind(table(tmp_path), wrong)
    with pytest.raises(SpecError, match=r"stock.toml:37: STK-2: the effect 'send_link' changes the status"):
        step(bound, Stock(), sell(1))


def test_binding_names_what_has_no_function(tmp_path: Path) -> None:
    short = rules()
    del short.effects["send_link"]
    with pytest.raises(SpecError, match=r"stock.toml:24: the effect 'send_link' of 'stock' has no function"):
        bind(table(tmp_path), short)
    short = rules()
    del short.guards["takes_all"]
    with pytest.raises(SpecError, match=r"stock.toml:18: the guard 'takes_all' of 'stock' has no function"):
        bind(table(tmp_path), short)


def test_binding_names_what_is_not_declared(tmp_path: Path) -> None:
    long = rules()

    @long.guard
    def buyers_cohort_online(context: Stock, event: Event) -> bool:
        return True

    with pytest.raises(SpecError, match=r"test_step.py:\d+: the guard 'buyers_cohort_online' is not declared"):
        bind(table(tmp_path), long)


def test_binding_wants_the_machines_own_rules(tmp_path: Path) -> None:
    other = replace(rules(), machine="ladder")
    with pytest.raises(SpecError, match="these are the rules of 'ladder'"):
        bind(table(tmp_path), other)
