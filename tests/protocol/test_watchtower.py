"""The watchtower's table: what it keeps, when it answers and with what; what is dropped from it is missed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from superscalar_ref.errors import Refused
from superscalar_ref.machine.agreement import assert_agree
from superscalar_ref.machine.bind import bind
from superscalar_ref.machine.step import BoundMachine, step
from superscalar_ref.machine.types import Action, Event
from superscalar_ref.protocol.strategy import load_strategy
from superscalar_ref.protocol.transaction import Kind
from superscalar_ref.protocol.watchtower import RULES, Case, Entry, Health, choose, watchtower_machine

TOWER, CLIENT, OUTPUT = "T", "A", "kickoff:0"
DEPTH = 3
Table = BoundMachine[Case]


class Missed(AssertionError):
    """What a client would not accept of its tower."""


def demand(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Missed(otherwise)


def without(row_id: str, name: str) -> Table:
    """The table without one guard or effect of one row."""
    table = watchtower_machine().table
    rows = tuple(
        replace(
            row,
            guards=tuple(guard for guard in row.guards if guard != name),
            effects=tuple(effect for effect in row.effects if effect != name),
        )
        if row.id == row_id
        else row
        for row in table.transitions
    )
    return bind(replace(table, transitions=rows), RULES)


class Tower:
    """One case, what its tower has done, and what it would find after a crash."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.case = Case("watching", TOWER, CLIENT, OUTPUT, DEPTH)
        self.disk = self.case
        self.kept: set[str] = set()
        self.done: list[Action] = []
        self.refused: set[str | None] = set()

    def take(self, name: str, by: str, **fields: object) -> bool:
        try:
            stepped = step(self.table, self.case, Event.of(name, by, **fields))  # type: ignore[arg-type]
        except Refused as error:
            self.refused.add(error.guard)
            return False
        self.case = stepped.context
        for action in stepped.actions:
            self.done.append(action)
            if action.kind == "persist":
                self.kept |= {str(value) for key, value in action.fields if key == "entry"}
                self.disk = replace(stepped.context, status=self.case.status)
            if action.kind == "send":
                demand(str(action["entry"]) in self.kept, "it says that it keeps what a crash would lose")
        return True

    def register(self, entry: str, kind: str = "state", lock: int = 0, **other: object) -> bool:
        fields = {"lock_time": 0, "finished": True, "outpoint": OUTPUT, **other}
        taken = self.take("register", CLIENT, entry=entry, kind=kind, relative_lock=lock, **fields)
        if taken:
            demand(any(a.kind == "send" and a["entry"] == entry for a in self.done), "the client waits for ever")
            demand(entry in self.kept, "it lost what was registered")
        return taken

    def confirmed(self, height: int = 10) -> Tower:
        demand(self.take("output_confirmed", "chain", height=height), "it does not see the kickoff")
        return self

    def answer(self, entry: str, next_height: int) -> bool:
        before = len(self.done)
        taken = self.take("answer", TOWER, entry=entry, next_height=next_height)
        if taken:
            demand(self.done[before:] == [Action("broadcast", entry)], "it answers, and publishes nothing")
        return taken

    def crash(self) -> Tower:
        self.case = self.disk
        return self


Scene = Callable[[Table], Tower]


def unfinished(late: bool) -> Scene:
    def play(table: Table) -> Tower:
        tower = Tower(table)
        if late:
            tower.register("state", lock=4)
            tower.confirmed()
        demand(not tower.register("half", finished=False), "it relies on what nobody can publish")
        return tower

    return play


def begins(late: bool) -> Scene:
    def play(table: Table) -> Tower:
        tower = Tower(table)
        if late:
            tower.confirmed()
        for kind in (Kind.KICKOFF, Kind.COMMITMENT, Kind.SWEEP):
            demand(not tower.register("x", kind=kind), "a thief can begin an exit, or close a channel by an old state")
        return tower

    return play


def elsewhere(late: bool) -> Scene:
    def play(table: Table) -> Tower:
        tower = Tower(table)
        if late:
            tower.confirmed()
        demand(not tower.register("x", outpoint="other:1"), "it would wait for the wrong output")
        return tower

    return play


def in_time(table: Table) -> Tower:
    """The newest state follows the kickoff as soon as it may, and no sooner; an older one never does."""
    tower = Tower(table)
    tower.register("old", lock=4)
    tower.register("new", lock=2)
    tower.confirmed(10)
    demand(not tower.answer("new", 11), "Core would refuse it: the lock runs on")
    demand(not tower.answer("old", 14), "it publishes what is superseded")
    demand(tower.answer("new", 12), "it is too late")
    demand(tower.disk.confirmed == 10, "after a crash it would count the lock from nowhere")
    return tower


def again(table: Table) -> Tower:
    """What was forgotten by a mempool is published again; a reorg begins the lock anew."""
    tower = in_time(table)
    demand(tower.answer("new", 13), "a mempool has forgotten it")
    demand(not tower.answer("old", 14), "it publishes what is superseded")
    tower.register("end", kind=Kind.ALTERNATE, lock_time=100)
    demand(tower.answer("new", 13), "it does not go on")
    demand(not tower.answer("end", 100), "Core would refuse it: the end is not here")
    demand(tower.take("output_gone", "chain"), "it does not see the reorg")
    demand(tower.case.status == "watching" and not tower.answer("new", 14), "the kickoff is not there")
    demand(tower.disk.confirmed == -1, "after a crash it would believe the kickoff confirmed")
    demand(tower.confirmed(20) is tower and not tower.answer("new", 21), "the lock counts from the new block")
    return tower


def a_newer_one_comes(table: Table) -> Tower:
    """An update crosses the kickoff: what is registered last is answered with."""
    tower = Tower(table)
    tower.register("old", lock=4)
    tower.confirmed(10)
    demand(tower.answer("old", 14), "it has nothing newer")
    demand(tower.register("new", lock=2), "the update is lost")
    demand(tower.case.status == "triggered", "it takes the answer to the older one for an answer with the newer one")
    demand(tower.answer("new", 14), "the newer one may still win")
    return tower


def settled(table: Table) -> Tower:
    tower = in_time(table)
    demand(not tower.take("output_spent", "chain", depth=DEPTH - 1), "a reorg can take it back")
    demand(tower.take("output_spent", "chain", depth=DEPTH), "it never ends")
    demand(tower.crash().case.status == "settled" or tower.done[-1].kind == "persist", "a crash begins it anew")
    demand(tower.done[-1].kind == "persist", "a crash begins it anew")
    away = Tower(table)
    demand(away.take("output_spent", "chain", depth=DEPTH), "it waits for ever for what came and went unseen")
    return tower


SCENES: dict[str, dict[str, Scene]] = {
    "WTW-1": {
        "finished": unfinished(late=False),
        "answers_only": begins(late=False),
        "spends_this_output": elsewhere(late=False),
        "keep_entry": in_time,
        "acknowledge": in_time,
    },
    "WTW-2": {
        "finished": unfinished(late=True),
        "answers_only": begins(late=True),
        "spends_this_output": elsewhere(late=True),
        "keep_entry": a_newer_one_comes,
        "acknowledge": a_newer_one_comes,
    },
    "WTW-3": {"note_confirmed": in_time},
    "WTW-4": {"lock_run_out": in_time, "nothing_newer": in_time, "broadcast_answer": in_time},
    "WTW-5": {"lock_run_out": again, "nothing_newer": again, "broadcast_answer": again},
    "WTW-6": {"note_gone": again},
    "WTW-7": {"deep_enough": settled, "note_settled": settled},
}
ROWS = [(row.id, name) for row in watchtower_machine().table.transitions for name in (*row.guards, *row.effects)]


def test_every_guard_and_effect_has_its_scene() -> None:
    assert set(ROWS) == {(row, name) for row, scenes in SCENES.items() for name in scenes}


@pytest.mark.parametrize(("row", "name"), ROWS)
def test_what_is_dropped_is_missed(row: str, name: str) -> None:
    scene = SCENES[row][name]
    tower = scene(watchtower_machine())
    if name in RULES.guards:
        assert name in tower.refused, "the table as it is refuses nothing here"
    with pytest.raises(Missed):
        scene(without(row, name))


def test_a_stranger_moves_nothing() -> None:
    tower = Tower(watchtower_machine())
    tower.register("new")
    fields = {"entry": "x", "kind": "state", "relative_lock": 0, "lock_time": 0, "finished": True, "outpoint": OUTPUT}
    assert not tower.take("register", "mallory", **fields)
    assert not tower.take("output_confirmed", "mallory", height=3)
    assert tower.refused == {"wrong_sender"}


def test_the_strict_machine_and_the_pure_step_agree() -> None:
    entry = Entry("new", "state", 2, 0)
    cases = [
        Case(state.name, TOWER, CLIENT, OUTPUT, DEPTH, entries, confirmed)
        for state in watchtower_machine().table.states
        for entries in ((), (entry,))
        for confirmed in (-1, 10)
    ]
    fields = {"entry": "new", "kind": "state", "relative_lock": 2, "lock_time": 0, "finished": True, "height": 10}
    events = [
        Event.of(name, by, outpoint=OUTPUT, next_height=height, depth=depth, **fields)  # type: ignore[arg-type]
        for name in watchtower_machine().table.events
        for by in (TOWER, CLIENT, "chain", "mallory")
        for height, depth in ((11, 1), (12, 3))
    ]
    assert_agree(watchtower_machine(), cases, events)


def case(name: str, *entries: Entry, status: str = "triggered", confirmed: int = 10) -> Case:
    return Case(status, TOWER, CLIENT, name, DEPTH, tuple(sorted(entries)), confirmed)


def test_it_chooses_by_the_rules_of_the_strategy() -> None:
    strategy = load_strategy()
    race = case("k:0", Entry("old", "state", 4, 0), Entry("new", "state", 2, 0), Entry("end", "alternate", 0, 99))
    leaf = case("leaf:0", Entry("poison", "poison", 0, 0), Entry("late", "alternate", 0, 99))
    away = case("far:0", Entry("link", "sale", 0, 0), status="watching")
    chosen = {found.outpoint: entry for found, entry in choose(strategy, [race, leaf, away], 11)}
    assert chosen == {"leaf:0": "poison"}
    chosen = {found.outpoint: entry for found, entry in choose(strategy, [race, leaf, away], 14)}
    assert chosen == {"k:0": "new", "leaf:0": "poison"}
    chosen = {found.outpoint: entry for found, entry in choose(strategy, [race, leaf, away], 100)}
    assert chosen == {"k:0": "end", "leaf:0": "poison"}


def test_lag_is_what_it_has_not_seen() -> None:
    assert Health(height=90, tip=100).lag == 10
