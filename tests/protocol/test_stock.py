"""Every guard of the stock's table earns its place: what each refuses, and what its owner would lose without it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from superscalar_ref.errors import Refused
from superscalar_ref.machine.agreement import assert_agree
from superscalar_ref.machine.bind import bind
from superscalar_ref.machine.step import BoundMachine, Stepped, step
from superscalar_ref.machine.types import Event
from superscalar_ref.protocol import stock as rules
from superscalar_ref.protocol.participant import machines
from superscalar_ref.protocol.stock import FALLBACKS, Pending, Sold, Stock, fallback

KIT = frozenset({"link", "alternate"})
CLIENTS = frozenset({"A", "B"})
NEW = Stock("unsold", "L", "L", CLIENTS, 10, "O:0", 1, "state")
"""The LSP's view of a stock of 10 units."""
CLIENT = replace(NEW, me="A")
SALE: dict[str, Any] = {
    "life": "active",
    "height": 5,
    "dying_at": 9,
    "newest": True,
    "online": CLIENTS,
    "outpoint": "O:0",
    "message": "m",
    "label": "s0",
    "link": "link",
    "digest": "txid",
    "buyer": "A",
    "capacity": 4,
    "cost": 2,
    "cover": 8,
    "given": 1,
    "price": 3,
    "left": 4,
    "tip": "link:1",
    "kit": KIT,
    "to_sign": KIT,
    "exit_blocks": 4,
    "ceiling": 10,
    "end": 20,
    "most": 3,
    "attempt": 1,
    "newer": frozenset({"newer"}),
}
PENDING = Pending("s0", "link", "txid", "A", 4, 1, 3, 4, "link:1", KIT, KIT)
SOLD = Sold("s0", "link", "A", 4, 1, 3, KIT)
RECORD = ("O:0", "sale", "m")
OTHER = ("O:0", "sale", "another link")
SIGNING = replace(CLIENT, status="signing", pending=PENDING)
LSP_SIGNING = replace(NEW, status="signing", pending=PENDING, attempt=1)
LSP_SIGNED = replace(LSP_SIGNING, records=frozenset({RECORD}))
LSP_OFFERED = replace(NEW, status="offered", pending=PENDING)
CHAINED = replace(CLIENT, status="chained", links=(SOLD,), left=4, tip="link:1")
ASKING = replace(CLIENT, wanted=4, most=3)


def take(
    context: Stock, name: str, by: str, machine: BoundMachine[Stock] | None = None, **changes: Any
) -> Stepped[Stock]:
    return step(machine or machines().stock, context, Event.of(name, by, **{**SALE, **changes}))


# Row, guard, the situation, the event that the guard refuses, and what would be lost.
CASES: list[tuple[str, str, Stock, str, str, dict[str, Any], Callable[[Stepped[Stock]], bool], str]] = [
    ("STK-3", "factory_active", NEW, "sell", "L", {"life": "closing"}, lambda s: s.context.pending is not None,
     "sold although a close that pays nothing for it is agreed"),
    ("STK-3", "state_is_newest", NEW, "sell", "L", {"newest": False}, lambda s: s.context.pending is not None,
     "sold from a state that a newer one, given up and complete, overtakes"),
    ("STK-4", "state_is_newest", ASKING, "sale_offer", "L", {"newest": False}, lambda s: s.context.pending is not None,
     "bought on a state that the LSP can overtake with a newer one, given up and complete, that knows no link"),
    ("STK-3", "before_dying", NEW, "sell", "L", {"height": 9}, lambda s: s.context.pending is not None,
     "sold in a factory that ends soon"),
    ("STK-3", "buyers_cohort_online", NEW, "sell", "L", {"online": frozenset({"A"})},
     lambda s: ("send", "sale", "B") in sent(s), "offered to a client that is not there, and the stock is blocked"),
    ("STK-3", "builds_on_newest", NEW, "sell", "L", {"outpoint": "phantom:1"}, lambda s: s.context.pending is not None,
     "built on a link that nobody holds"),
    ("STK-3", "outpoint_never_signed", replace(NEW, records=frozenset({OTHER})), "sell", "L", {},
     lambda s: s.context.pending is not None, "two links for one outpoint, and one of the buyers loses"),
    ("STK-3", "amount_available", NEW, "sell", "L", {"capacity": 8}, lambda s: s.context.pending is not None,
     "more sold than there is"),
    ("STK-3", "alternates_cover", NEW, "sell", "L", {"cover": 3}, lambda s: s.context.pending is not None,
     "offered what the buyer must refuse"),
    ("STK-4", "alternates_cover", ASKING, "sale_offer", "L", {"cover": 3}, lambda s: s.context.pending is not None,
     "bought more than the end pays a buyer that is away (Q-STK-6)"),
    ("STK-4", "factory_active", ASKING, "sale_offer", "L", {"life": "closing"}, lambda s: s.context.pending is not None,
     "bought although a close is agreed"),
    ("STK-4", "builds_on_newest", ASKING, "sale_offer", "L", {"outpoint": "phantom:1"},
     lambda s: s.context.pending is not None, "bought on a link that was never completed (Q-STK-5)"),
    ("STK-4", "outpoint_never_signed", replace(ASKING, records=frozenset({OTHER})), "sale_offer", "L", {},
     lambda s: s.context.pending is not None, "a second link for an outpoint that was signed away (D-7)"),
    ("STK-4", "amount_available", ASKING, "sale_offer", "L", {"capacity": 8}, lambda s: s.context.pending is not None,
     "agreed to a link that pays more than it spends"),
    ("STK-4", "exit_in_time", ASKING, "sale_offer", "L", {"exit_blocks": 16}, lambda s: s.context.pending is not None,
     "an exit that ends after the factory"),
    ("STK-4", "as_requested", ASKING, "sale_offer", "L", {"price": 4}, lambda s: s.context.pending is not None,
     "a purchase dearer than asked for"),
    ("STK-5", "same_link", LSP_OFFERED, "agreement", "A", {"digest": "other"}, lambda s: "A" in s.context.agreed,
     "an agreement to another link counted"),
    ("STK-6", "every_client_agreed", replace(LSP_OFFERED, agreed=frozenset({"A"})), "begin_signing", "L", {},
     lambda s: s.context.status == "signing", "signed without the agreement of all, and the outpoint used up"),
    ("STK-7", "of_this_sale", SIGNING, "begin", "L", {"label": "s1"}, lambda s: ("open", "sessions", "") in sent(s),
     "sessions opened for another sale's attempt"),
    ("STK-7", "state_is_newest", SIGNING, "begin", "L", {"newest": False},
     lambda s: ("open", "sessions", "") in sent(s), "signed a link on a state that a newer one overtakes"),
    ("STK-9", "state_is_newest", replace(SIGNING, held=KIT), "link_complete", "A", {"newest": False},
     lambda s: s.context.links != (), "counted on a link that was kept back until a newer state was complete"),
    ("STK-9", "link_held", replace(SIGNING, held=frozenset({"link"})), "link_complete", "A", {},
     lambda s: s.context.links != (), "counted on a link whose alternate is missing"),
    ("STK-10", "of_this_sale", LSP_SIGNING, "link_held", "A", {"label": "s1"}, lambda s: "A" in s.context.holders,
     "an old answer taken for the new link's"),
    ("STK-11", "every_client_holds", replace(LSP_SIGNING, held=KIT, holders=frozenset({"A"})), "ready", "L", {},
     lambda s: s.context.links != (), "built on a link that a client does not hold"),
    ("STK-11", "link_held", replace(LSP_SIGNING, holders=CLIENTS), "ready", "L", {}, lambda s: s.context.links != (),
     "believed clients who say that they hold what the LSP does not"),
    ("STK-12", "channel_open", replace(CHAINED, held=KIT), "settle", "L", {"open": False},
     lambda s: s.context.links[0].paid, "paid for a channel that is not open on the other side"),
    ("STK-12", "link_complete_before_payment", replace(CHAINED, held=frozenset({"link"})), "settle", "L", {},
     lambda s: ("send", "payment", "L") in sent(s), "paid for a channel that cannot be enforced (D-8)"),
    ("STK-13", "link_unsigned", LSP_SIGNED, "sale_aborted", "L", {},
     lambda s: s.context.pending is None, "gave up a link that somebody may complete"),
    ("STK-13", "nothing_sold", replace(LSP_SIGNING, links=(SOLD,)), "sale_aborted", "L", {},
     lambda s: s.context.status == "unsold", "forgot that links were sold"),
    ("STK-14", "link_unsigned", replace(LSP_SIGNED, links=(SOLD,)), "sale_aborted", "L", {},
     lambda s: s.context.pending is None, "gave up a link that somebody may complete"),
    ("STK-15", "newer_state_held", SIGNING, "superseded", "A", {}, lambda s: s.context.status == "replaced",
     "stopped keeping the chain of the newest state"),
    ("STK-17", "bought_by_sender", CHAINED_LSP := replace(CHAINED, me="L"), "payment", "B", {},
     lambda s: s.context.links[0].paid, "took another's payment for the buyer's"),
    ("STK-18", "bought_by_sender", replace(CHAINED_LSP, status="offered", pending=PENDING), "payment", "B", {},
     lambda s: s.context.links[0].paid, "took another's payment for the buyer's"),
    ("STK-19", "bought_by_sender", replace(CHAINED_LSP, status="signing", pending=PENDING), "payment", "B", {},
     lambda s: s.context.links[0].paid, "took another's payment for the buyer's"),
]  # fmt: skip
CHOOSES = {("STK-13", "nothing_sold")}
"""Guards that choose between two rows of one event."""


def sent(stepped: Stepped[Stock]) -> list[tuple[str, str, str]]:
    return [(action.kind, action.name, action.to) for action in stepped.actions]


def without(identity: str, guard: str) -> BoundMachine[Stock]:
    """The table without one guard of one row."""
    table = machines().stock.table
    changed = tuple(
        replace(row, guards=tuple(name for name in row.guards if name != guard)) if row.id == identity else row
        for row in table.transitions
    )
    return bind(replace(table, transitions=changed), rules.RULES)


def test_every_guard_has_a_case() -> None:
    wanted = {(row.id, guard) for row in machines().stock.table.transitions for guard in row.guards}
    assert {(row, guard) for row, guard, *_ in CASES} == wanted


@pytest.mark.parametrize(("row", "guard", "context", "name", "by", "changes", "loss", "says"), CASES)
def test_a_guard_that_is_dropped_is_missed(
    row: str, guard: str, context: Stock, name: str, by: str, changes: dict[str, Any],
    loss: Callable[[Stepped[Stock]], bool], says: str,
) -> None:  # fmt: skip
    if (row, guard) in CHOOSES:
        assert not loss(take(context, name, by, **changes))
    else:
        with pytest.raises(Refused) as refused:
            take(context, name, by, **changes)
        assert refused.value.guard == guard
    assert loss(take(context, name, by, without(row, guard), **changes)), says


GIVEN_UP = [("persist", "status", ""), ("abort", "sessions", "")]
BROKEN_OFF = GIVEN_UP[::-1]
TOLD = [GIVEN_UP[0], ("send", "sale_aborted", "A"), ("send", "sale_aborted", "B"), GIVEN_UP[1]]
TAKEN: list[tuple[Stock, str, str, dict[str, Any], str, str, list[tuple[str, str, str]]]] = [
    (CLIENT, "ask", "A", {}, "STK-1", "unsold", [("persist", "request", ""), ("send", "buy", "L")]),
    (CHAINED, "ask", "A", {}, "STK-2", "chained", [("persist", "request", ""), ("send", "buy", "L")]),
    (NEW, "sell", "L", {}, "STK-3", "offered", [("persist", "sale", ""), ("send", "sale", "A"), ("send", "sale", "B")]),
    (ASKING, "sale_offer", "L", {}, "STK-4", "signing", [("persist", "sale", ""), ("send", "sale_agreement", "L")]),
    (replace(CLIENT, me="B"), "sale_offer", "L", {}, "STK-4", "signing",
     [("persist", "sale", ""), ("send", "sale_agreement", "L")]),
    (replace(SIGNING, wanted=4, most=3, records=frozenset({RECORD})), "sale_offer", "L", {}, "STK-4", "signing",
     [("persist", "sale", ""), ("send", "sale_agreement", "L")]),
    (LSP_OFFERED, "agreement", "A", {}, "STK-5", "offered", []),
    (replace(LSP_OFFERED, agreed=CLIENTS), "begin_signing", "L", {}, "STK-6", "signing",
     [("persist", "status", ""), ("send", "begin_sale", "A"), ("send", "begin_sale", "B"), ("open", "sessions", "")]),
    (SIGNING, "begin", "L", {}, "STK-7", "signing", [("open", "sessions", "")]),
    (LSP_SIGNING, "retry", "L", {}, "STK-8", "signing",
     [("persist", "status", ""), ("send", "begin_sale", "A"), ("send", "begin_sale", "B"), ("open", "sessions", "")]),
    (replace(SIGNING, held=KIT), "link_complete", "A", {}, "STK-9", "chained",
     [("persist", "link", ""), ("count", "link", ""), ("send", "link_held", "L")]),
    (LSP_SIGNING, "link_held", "A", {}, "STK-10", "signing", []),
    (replace(LSP_SIGNING, held=KIT, holders=CLIENTS), "ready", "L", {}, "STK-11", "chained",
     [("persist", "link", ""), ("send", "payment_request", "A")]),
    (replace(CHAINED, held=KIT), "settle", "L", {}, "STK-12", "chained",
     [("persist", "payment", ""), ("send", "payment", "L")]),
    (LSP_SIGNING, "sale_aborted", "L", {}, "STK-13", "unsold",
     TOLD),
    (SIGNING, "sale_aborted", "L", {}, "STK-13", "unsold", GIVEN_UP),
    *((replace(LSP_SIGNING, status=status, links=(SOLD,)), "sale_aborted", "L", {}, "STK-14", "chained",
       TOLD) for status in ("offered", "signing")),
    *((replace(CHAINED, status=status, links=(), held=frozenset({"newer"})), "superseded", "A", {}, "STK-15",
       "replaced", []) for status in ("unsold", "offered")),
    *((replace(SIGNING, status=status), "tree_confirmed", "chain", {}, "STK-16", "on_chain", BROKEN_OFF)
      for status in ("offered", "chained", "unsold")),
    (replace(SIGNING, links=(SOLD,)), "sale_aborted", "L", {}, "STK-14", "chained", GIVEN_UP),
    (replace(CHAINED, held=frozenset({"newer"})), "superseded", "A", {}, "STK-15", "replaced", []),
    (SIGNING, "tree_confirmed", "chain", {}, "STK-16", "on_chain", BROKEN_OFF),
    (CHAINED_LSP, "payment", "A", {}, "STK-17", "chained", [("persist", "payment", "")]),
    (replace(CHAINED_LSP, status="offered"), "payment", "A", {}, "STK-18", "offered", [("persist", "payment", "")]),
    (replace(CHAINED_LSP, status="signing"), "payment", "A", {}, "STK-19", "signing", [("persist", "payment", "")]),
]  # fmt: skip


@pytest.mark.parametrize(("context", "name", "by", "changes", "row", "to", "actions"), TAKEN)
def test_a_row_is_taken(
    context: Stock, name: str, by: str, changes: dict[str, Any], row: str, to: str, actions: list[tuple[str, str, str]]
) -> None:
    done = take(context, name, by, **changes)
    assert (done.transition_id, done.context.status, sent(done)) == (row, to, actions)


def test_every_row_is_taken_once() -> None:
    assert {row for *_, row, _, _ in TAKEN} == {row.id for row in machines().stock.table.transitions}


@pytest.mark.parametrize(
    ("context", "name", "by"),
    [
        (NEW, "sell", "A"),
        (NEW, "sell", "stranger"),
        (ASKING, "sale_offer", "B"),
        (LSP_OFFERED, "agreement", "stranger"),
        (SIGNING, "begin", "B"),
        (replace(SIGNING, held=KIT), "link_complete", "L"),
        (replace(LSP_SIGNING, held=KIT, holders=CLIENTS), "ready", "A"),
        (replace(CHAINED, held=KIT), "settle", "B"),
        (SIGNING, "sale_aborted", "B"),
        (SIGNING, "tree_confirmed", "L"),
    ],
)
def test_whom_it_does_not_concern_is_refused(context: Stock, name: str, by: str) -> None:
    with pytest.raises(Refused) as refused:
        take(context, name, by)
    assert refused.value.guard == "wrong_sender"


def test_a_durable_record_comes_before_what_is_said() -> None:
    """In every row, nothing is sent before it is durable."""
    for context, name, by, changes, *_ in TAKEN:
        kinds = [action.kind for action in take(context, name, by, **changes).actions]
        if "send" in kinds and "persist" in kinds:
            assert kinds.index("persist") < kinds.index("send"), name


def test_a_link_changes_what_is_left_and_where() -> None:
    done = take(replace(SIGNING, held=KIT, wanted=4, most=3), "link_complete", "A").context
    assert (done.left, done.tip, done.links, done.pending) == (4, "link:1", (SOLD,), None)
    assert (done.wanted, done.most) == (0, 0)
    other = take(replace(SIGNING, me="B", held=KIT, wanted=9, most=9), "link_complete", "B")
    assert (other.context.wanted, other.context.most) == (9, 9)
    (count,) = [action for action in other.actions if action.kind == "count"]
    assert (count["given"], count["bought"]) == (0, 0)


def test_another_clients_purchase_is_not_refused_for_what_covers_it() -> None:
    done = take(replace(CLIENT, me="B"), "sale_offer", "L", cover=0)
    assert done.context.pending is not None


def test_every_refusal_of_a_sale_names_what_remains() -> None:
    row = next(row for row in machines().stock.table.transitions if row.event == "sell")
    assert set(FALLBACKS) == set(row.guards)
    assert fallback(None)


def test_the_strict_machine_and_the_pure_step_agree() -> None:
    machine = machines().stock
    contexts = [context for context, *_ in TAKEN] + [
        replace(base, status=state.name)
        for base in (NEW, CLIENT, LSP_SIGNING, CHAINED)
        for state in machine.table.states
    ]
    events = [
        Event.of(name, by, **{**SALE, **changed})
        for name in machine.table.events
        for by in ("A", "B", "L", "chain", "stranger")
        for changed in ({}, {"life": "dying"}, {"outpoint": "link:1"})
    ]
    agreed = assert_agree(machine, contexts, events)
    assert agreed.taken >= {row.id for row in machine.table.transitions} - {"STK-15"}
    assert agreed.refused > 1000
