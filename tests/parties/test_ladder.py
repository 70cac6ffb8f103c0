"""One transaction a day: it closes a factory, funds the next, pays who leaves; for whoever moves, both or neither."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from superscalar_ref.errors import InputError, Refused
from superscalar_ref.parties import messages as m
from superscalar_ref.parties.ladder import Ladder
from superscalar_ref.parties.store import Store
from superscalar_ref.parties.terms import terms_of
from superscalar_ref.protocol.blueprint import check_terms
from superscalar_ref.protocol.ladder import Pace
from superscalar_ref.scenario.ladder_days import AWAY, LEAVES, MOVES, Days, House, run_days
from superscalar_ref.scenario.town import LSP, Plan, seed, wallet_key, wallet_script
from tests.scenario.plans import small

PACE = Pace(active=20, dying=10, day=10)
SHORT = Pace(active=10, dying=10, day=10)


def plan(clients: int = 2) -> Plan:
    made = small(clients)
    return replace(made, locks=replace(made.locks, end=140))


def habit(factory: int, place: int) -> str:
    if (factory, place) == (2, 0):
        return AWAY
    return LEAVES if place == 1 else MOVES


def test_days_of_a_ladder() -> None:
    ran = run_days(plan(3), PACE, 7, habit)
    assert ran.problems == ()
    assert [day.closes for day in ran.days] == [None, None, None, 0, 1, None, 3]
    assert [day.running for day in ran.days] == [1, 2, 3, 3, 3, 3, 3]
    assert {day.inputs for day in ran.days if day.closes is not None} == {2}
    assert ran.days[5].away == ("u6",)
    assert ran.days[3].moved == ("u0", "u2")
    assert ran.days[6].moved[0] == "u0", "who moved before moves on"
    # Whoever left was paid to the satoshi by the day's transaction itself, for nothing.
    left = [name for day in ran.days for name in day.left]
    assert left == ["u1", "u4", "u2"]
    assert all(ran.outs[name] == ran.owed[name] for name in left)
    # Only the factory whose client stayed away was brought on chain, and the LSP's capital came back from it.
    assert ran.exits > 0
    assert ran.locked == ran.days[2].locked
    assert ran.days[5].locked > ran.locked
    assert run_days(plan(1), SHORT, 3, lambda factory, place: MOVES).exits == 0


def on_the_last_day(clients: int = 2) -> tuple[Days, House, House]:
    """Two factories run; the older is dying, all have answered, and the next one is signed on the transaction."""
    days = Days.start(plan(clients), SHORT, lambda factory, place: MOVES)
    for number in range(2):
        days.day(number)
    old = days.houses[0]
    days.answers(old)
    new = days.build(old, list(old.clients), [])
    return days, old, new


def refused(step: Callable[[], object], says: str) -> None:
    with pytest.raises(Refused, match=says):
        step()


def test_a_mover_signs_only_on_the_transaction_that_funds_its_next_factory() -> None:
    days, old, new = on_the_last_day()
    # One client does not know of its place in the next factory: nothing is paid to it, and it does not sign.
    old.clients["u0"].moves_to = new.clients["u0"]
    old.wire.post(LSP, days.ladder.close(old.rung, new.rung, {}))
    old.wire.run()
    assert not old.wire.broadcasts
    assert "CLOSE_PAYS_IN_FULL" in old.wire.alerts[-1]
    assert old.clients["u1"].life.status == "active"
    assert old.clients["u0"].life.status == "closing"


def test_a_kit_that_is_not_complete_counts_for_nothing() -> None:
    _, _, new = on_the_last_day()
    client = new.clients["u0"]
    txid = client.factory.realised["funding"].txid
    assert client.counts_on(txid) == client.life.owed > 0
    assert client.counts_on("11" * 32) == 0
    client.party = replace(client.party, life=replace(client.life, status="signing"))
    assert client.counts_on(txid) == 0


def test_the_close_waits_for_the_next_kits_for_every_answer_and_for_its_day() -> None:
    days, old, new = on_the_last_day()
    ladder = days.ladder
    slot = new.rung.slot
    new.rung.slot = replace(slot, status="building")
    refused(lambda: ladder.close(old.rung, new.rung, {}), "NEXT_IS_READY")
    new.rung.slot = slot
    refused(lambda: ladder.close(old.rung, new.rung, {"u0": 1}), "LEAVERS_PAID")
    old.rung.slot = replace(old.rung.slot, answered=frozenset({"u0"}))
    refused(lambda: ladder.close(old.rung, new.rung, {}), "EVERYONE_ANSWERED")
    old.rung.slot = replace(old.rung.slot, answered=frozenset({"u0", "u1"}))
    ladder.last = ladder.ledger.height
    refused(lambda: ladder.close(old.rung, new.rung, {}), "DAY_IS_FREE")
    assert old.rung.lsp.life.status == "dying"
    assert old.rung.slot.status == "dying"


def test_the_day_is_one_transaction_and_nothing_else() -> None:
    days, old, new = on_the_last_day()
    with pytest.raises(InputError, match="not the transaction"):
        days.ladder.publish(new.rung, old.rung)
    transaction = days.publish(new, old, [])
    assert transaction.txid == new.rung.lsp.factory.realised["funding"].txid
    assert (old.rung.slot.status, new.rung.slot.status) == ("closing", "funding")
    refused(lambda: days.ladder.publish(new.rung), "OUT_OF_TURN")


def test_a_reorg_of_the_day_takes_both_back_and_gives_both_again() -> None:
    days, old, new = on_the_last_day()
    transaction = days.publish(new, old, [])
    days.mine([transaction])
    days.ledger.reorg(1)
    days.mine([])
    assert {client.life.status for client in old.clients.values()} == {"closing"}
    assert {client.life.status for client in new.clients.values()} == {"holding"}
    again = {one.txid for one in (*old.rung.lsp.retry().broadcasts, *new.rung.lsp.retry().broadcasts)}
    assert again == {transaction.txid}
    for _ in range(4):
        days.mine([transaction] if not days.confirmed(transaction) else [])
    assert {client.life.status for client in old.clients.values()} == {"left"}
    assert {client.life.status for client in new.clients.values()} == {"active"}
    assert (old.rung.slot.status, new.rung.slot.status) == ("gone", "active")


def test_a_cohort_that_does_not_come_together_costs_nothing() -> None:
    days, _, new = on_the_last_day()
    locked = days.ladder.locked
    days.ladder.give_up(new.rung)
    assert (new.rung.slot.status, days.ladder.locked) == ("dropped", locked)
    refused(lambda: days.ladder.publish(new.rung), "OUT_OF_TURN")


def test_who_does_not_come_to_sign_waits_and_the_day_is_planned_anew() -> None:
    days = Days.start(plan(3), PACE, habit)
    days.late = frozenset({"u1"})
    first = days.day(0)
    # The factory of the day is another one, without it and with fresh keys.
    assert (first.funds, days.ladder.rungs[0].slot.status) == (1, "dropped")
    assert set(days.houses[1].clients) == {"u0", "u2"}
    dropped, funded = days.ladder.rungs[0].lsp, days.ladder.rungs[1].lsp
    assert dropped.key.public != funded.key.public
    assert dropped.joins["u0"].keys.factory_key != funded.joins["u0"].keys.factory_key
    assert days.ladder.rungs[1].slot.status == "active"
    assert days.ladder.waiting == {"u1"}
    before = days.ladder
    again = Ladder(LSP, seed(LSP), wallet_key(LSP), wallet_script(LSP), PACE, 3, before.ledger, before.store, ())
    assert again.waiting == {"u1"}, "across a restart"
    # The next day it is the first of the newcomers.
    second = days.day(1)
    assert second.funds == 2
    assert set(days.houses[2].clients) == {"u1", "u3", "u4"}
    assert days.ladder.waiting == frozenset()


def test_nobody_missing_or_all_or_too_late_is_no_new_plan() -> None:
    days, old, new = on_the_last_day()
    offer = new.rung.lsp.offer
    refused(lambda: days.ladder.replan(new.rung, offer, Store(), old.rung), "SOME_ARE_MISSING")
    refused(
        lambda: days.ladder.replan(new.rung, replace(offer, balances={"x": 50_000}), Store(), old.rung),
        "SOME_ARE_MISSING",
    )
    days.publish(new, old, [])
    one = replace(offer, balances={"u0": 50_000})
    refused(lambda: days.ladder.replan(new.rung, one, Store()), "OUT_OF_TURN")
    assert len(days.ladder.rungs) == 3


def test_every_client_of_a_dying_factory_is_told() -> None:
    days, old, _ = on_the_last_day()
    assert [client for number, client in days.ladder.notices if number == old.rung.number] == ["u0", "u1"]


def test_a_ladder_knows_its_calendar_after_a_restart() -> None:
    days, old, _ = on_the_last_day()
    before = days.ladder
    again = Ladder(
        LSP, seed(LSP), wallet_key(LSP), wallet_script(LSP), SHORT, before.depth, before.ledger, before.store, ()
    )
    assert (again.last, again.coins) == (before.last, before.coins)
    lsp = old.rung.lsp
    rung = again.resume(0, lsp.offer, lsp.store, lsp.wallet.coins)
    assert (rung.slot, rung.lsp.life.status) == (old.rung.slot, "dying")
    with pytest.raises(InputError, match="knows no factory number 9"):
        again.resume(9, lsp.offer, Store())


def test_terms_and_days_that_cannot_be_are_refused() -> None:
    days, old, new = on_the_last_day()
    form = new.rung.lsp.factory.record.terms
    for payout, says in (
        (m.PayoutForm("stranger", 1_000), "no other party with keys"),
        (m.PayoutForm("u0", 1_000), "no other party with keys"),
    ):
        with pytest.raises(InputError, match=says):
            terms_of(replace(form, payouts=(payout,)))
    with pytest.raises(InputError, match="is dust"):
        check_terms(replace(terms_of(form), payouts=(("x", 329),)))
    more = m.DayForm((), (m.PayForm(10_000_000, wallet_script(LSP).hex()),))
    with pytest.raises(InputError, match="sat more than there is"):
        old.rung.lsp.close(more)
    assert old.rung.lsp.life.status == "dying"
    assert days.ladder.locked > 0
