"""What is shown of an update is what the parties sign; counters of siblings are independent; money stays below."""

from __future__ import annotations

import pytest

from superscalar_ref.errors import InputError, ProtocolError, Refused
from superscalar_ref.machine.types import Event
from superscalar_ref.protocol.odometer import Odometer
from superscalar_ref.protocol.participant import machines
from superscalar_ref.protocol.shape import Shape
from superscalar_ref.protocol.transaction import Kind
from superscalar_ref.protocol.update import Move, moved, work_out
from tests.parties.scene import LOCKS, LSP, STOCK, Scene, scene
from tests.parties.test_sales import buy, links

BINARY = Shape.of([2])
PAIR = Shape.of([2], leaf_k=2)


def factory(shape: Shape = BINARY, clients: int = 4) -> Scene:
    return scene(clients, shape=shape).ceremony().fund()


@pytest.mark.parametrize(("shape", "clients", "node"), [(BINARY, 4, "r"), (BINARY, 4, "r.1"), (PAIR, 4, "r")])
def test_what_is_worked_out_is_what_is_signed(shape: Shape, clients: int, node: str) -> None:
    play = factory(shape, clients)
    lsp = play.lsp
    update = work_out(lsp.factory.terms, lsp.odometer, lsp.counted, node)
    play.wire.post(LSP, lsp.update(node, {}))
    assert lsp.life.to_sign == set(update.made) | set(update.poisoned)
    assert lsp.life.concerned == set(update.signers) - {LSP}
    before = len(play.wire.tape)
    play.wire.run()
    assert {letter.to for letter in play.wire.tape[before:]} == set(update.signers)
    assert {path: lsp.odometer.index(path) for path in dict(lsp.odometer.indices)} == {
        **dict(Odometer.new(lsp.tree, LOCKS.states).indices),
        **{counter.path: counter.after for counter in update.counters},
    }
    assert set(update.made) | set(update.poisoned) <= lsp.held | {
        name for name, template in update.made.items() if template.holder not in ("", LSP)
    }


def test_the_nodes_own_kickoff_stands_and_everything_below_is_new() -> None:
    lsp = factory().lsp
    update = work_out(lsp.factory.terms, lsp.odometer, lsp.counted, "r.0")
    assert [name for name, one in update.made.items() if one.kind is Kind.STATE] == [
        "state:r.0@0.1", "state:r.0.0@0.1.0", "state:r.0.1@0.1.0",
    ]  # fmt: skip
    assert update.count(Kind.KICKOFF) == 2
    assert "kickoff:r.0@0" not in update.made
    assert update.signers == ("c0", "c1", LSP)
    assert not any("r.1" in name for name in (*update.made, *update.poisoned))


def test_counters_below_restart_and_siblings_stay() -> None:
    lsp = factory().lsp
    ticked = lsp.odometer.tick("r.0.0").tick("r.0.0").tick("r.1")
    update = work_out(lsp.factory.terms, ticked, lsp.counted, "r.0")
    assert [(one.path, one.before, one.after, one.left) for one in update.counters] == [
        ("r.0", 0, 1, 1),
        ("r.0.0", 2, 0, 2),
    ]
    assert [(one.lock_before, one.lock_after) for one in update.counters] == [(4, 2), (0, 4)]


def test_a_used_up_counter_says_what_remains() -> None:
    lsp = factory().lsp
    leaf = lsp.odometer.tick("r.0.0").tick("r.0.0")
    with pytest.raises(ProtocolError, match=r"update 'r\.0' instead, with c0, c1"):
        work_out(lsp.factory.terms, leaf, lsp.counted, "r.0.0")
    full = leaf.tick("r.1").tick("r.1")
    all_used = Odometer(lsp.tree, LOCKS.states, tuple((path, LOCKS.states - 1) for path, _ in full.indices))
    with pytest.raises(ProtocolError, match="sell by chaining"):
        work_out(lsp.factory.terms, all_used, lsp.counted, "r.0.0")


def test_stock_moves_between_leaves_of_one_node_and_is_sold_there() -> None:
    """By an update of the node above both, with contents for both; the sum is as before."""
    play = factory()
    lsp = play.lsp
    moves = [Move("r.0.0", "r.0.1", 15_000)]
    update = work_out(lsp.factory.terms, lsp.odometer, lsp.counted, "r.0", moves)
    assert {path: leaf.stocks for path, leaf in update.contents.items()} == {
        "r.0.0": (STOCK - 15_000,), "r.0.1": (STOCK + 15_000,),
    }  # fmt: skip
    play.update("r.0", dict(update.contents))
    assert lsp.counted == moved(lsp.factory.terms, play.offer.contents, moves)
    assert {name: client.life.version for name, client in play.clients.items()} == {
        "c0": "0.1.0", "c1": "0.1.0", "c2": "0.0.0", "c3": "0.0.0",
    }  # fmt: skip
    buy(buy(play, "c1", STOCK - 2_000), "c0", 20_000)
    assert len(links(play, LSP, "c1")) == len(links(play, LSP, "c0")) == 1
    buy(play, "c1", 10_000)
    assert any("ALTERNATES_COVER" in alert for alert in play.wire.alerts), "the alternates above know the first stock"


def test_what_does_not_fit_is_refused() -> None:
    lsp = factory().lsp
    terms = lsp.factory.terms
    for node, move, says in (
        ("r.0.0", Move("r.0.0", "r.0.1", 1), "only between leaves below"),
        ("r.0", Move("r.0.0", "r.1.0", 1), "only between leaves below"),
        ("r.0", Move("r.0.0", "r.0.1", STOCK), "is dust"),
        ("r.0", Move("r.0.0", "r.9", 1), "is no leaf"),
        ("r.0", Move("r.0.0", "r.0.1", 0), "at least 1"),
    ):
        with pytest.raises(InputError, match=says):
            work_out(terms, lsp.odometer, lsp.counted, node, [move])


def test_no_table_takes_an_extension_of_the_life() -> None:
    """Nor does the end change with an update: it is in the terms, which no version can change (Q-TIME-4)."""
    play = factory()
    for actor in (play.lsp, play.clients["c0"]):
        known = actor.party
        with pytest.raises(Refused, match="OUT_OF_TURN"):
            actor.live(Event.of("refresh", LSP))
        assert actor.party == known
    for table in (machines().factory.table, machines().client.table, machines().stock.table):
        assert not any("refresh" in event or "extend" in event for event in table.events)
    before = play.lsp.factory.terms.locks.end
    play.update("r")
    ends = {one.lock_time for actor in play.actors.values() for one in actor.factory.templates.values()}
    assert ends == {0, before}
