"""The rules of ``spec/machines/ladder.toml``, and the arithmetic of a ladder: how many factories, how much capital.

Laws of this module:

* A slot is one factory's place; its own life is ``protocol.factory``'s. Heights and spans are blocks, amounts sat.
* One transaction a day: it spends the ending factory and coins of the LSP, and pays the new factory, who leaves, and
  the LSP. It is one transaction, so that for whoever moves both happen, or neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from superscalar_ref.errors import InputError
from superscalar_ref.machine.bind import bind
from superscalar_ref.machine.step import BoundMachine
from superscalar_ref.machine.types import Action, Event, Rules, names, number
from superscalar_ref.spec.load import load_machine

RULES = Rules("ladder")
BLOCKS_A_DAY = 144
"""At ten minutes a block."""


@dataclass(frozen=True)
class Slot:
    """One factory's place in the ladder."""

    status: str
    factory: str
    lsp: str
    clients: frozenset[str]
    active_blocks: int
    dying_blocks: int
    depth: int
    """Confirmations after which a transaction is final."""
    day_blocks: int = BLOCKS_A_DAY
    """Blocks from one daily transaction to the next, at least."""
    funded_at: int = 0
    """Height at which the funding confirmed; 0 before."""
    answered: frozenset[str] = frozenset()
    """Clients that have moved, or leave on chain."""
    locked: int = 0
    """What the LSP has in this factory (sat)."""
    waiting: frozenset[str] = frozenset()
    """Clients that did not come to sign it, for whom the LSP planned the day anew: they wait for the next."""

    def role_of(self, name: str) -> str:
        """Who ``name`` is to this slot: self, client, chain, clock, or stranger."""
        if name in self.clients:
            return "client"
        return {self.lsp: "self", "chain": "chain", "clock": "clock"}.get(name, "stranger")


Result = tuple[Slot, tuple[Action, ...]]


@cache
def ladder_machine(directory: Path | None = None) -> BoundMachine[Slot]:
    """The table of ``ladder``, bound; read once for each directory."""
    return bind(load_machine("ladder", directory), RULES)


@RULES.guard
def kits_complete(slot: Slot, event: Event) -> bool:
    """Whether every kit of the new factory is complete on the day's transaction."""
    return event["complete"] is True


@RULES.guard
def day_is_free(slot: Slot, event: Event) -> bool:
    """Whether a day has passed since the last daily transaction."""
    return number(event, "height") - number(event, "last") >= slot.day_blocks


@RULES.guard
def coins_cover(slot: Slot, event: Event) -> bool:
    """Whether what is spent covers what is paid and the fee."""
    return number(event, "spent") >= number(event, "needed")


@RULES.guard
def next_is_ready(slot: Slot, event: Event) -> bool:
    """Whether the factory that the transaction funds is ready on it, or it funds none."""
    return event["next_ready"] is True


@RULES.guard
def everyone_answered(slot: Slot, event: Event) -> bool:
    """Whether every client has moved or leaves."""
    return slot.answered == slot.clients


@RULES.guard
def leavers_paid(slot: Slot, event: Event) -> bool:
    """Whether each client that leaves is paid what it is owed."""
    return number(event, "short") == 0


@RULES.guard
def deep_enough(slot: Slot, event: Event) -> bool:
    """Whether a transaction is as deep as a reorg is assumed to reach."""
    return number(event, "depth") >= slot.depth


@RULES.guard
def active_period_over(slot: Slot, event: Event) -> bool:
    """Whether the active period is over."""
    return number(event, "height") >= slot.funded_at + slot.active_blocks


@RULES.guard
def dying_period_over(slot: Slot, event: Event) -> bool:
    """Whether the dying period is over too."""
    return number(event, "height") >= slot.funded_at + slot.active_blocks + slot.dying_blocks


@RULES.guard
def some_are_missing(slot: Slot, event: Event) -> bool:
    """Whether who did not come are some of the cohort's clients, and not all."""
    missing = names(event, "missing")
    return frozenset() < missing < slot.clients


def _persist(slot: Slot, what: str) -> tuple[Action, ...]:
    return (Action("persist", what, fields=(("factory", slot.factory),)),)


@RULES.effect
def note_day(slot: Slot, event: Event) -> Result:
    """The height of the day's transaction becomes durable."""
    return slot, _persist(slot, "day")


@RULES.effect
def publish_day(slot: Slot, event: Event) -> Result:
    """The day's transaction goes out."""
    return slot, (Action("broadcast", "day", fields=(("factory", slot.factory),)),)


@RULES.effect
def note_funded(slot: Slot, event: Event) -> Result:
    """The height of the funding becomes durable; the LSP's part is locked from here on."""
    funded = replace(slot, funded_at=number(event, "height"), locked=number(event, "locked"))
    return funded, _persist(funded, "funded")


@RULES.effect
def notify_clients(slot: Slot, event: Event) -> Result:
    """Each client is told."""
    return slot, tuple(Action("send", "dying", client) for client in sorted(slot.clients))


@RULES.effect
def note_answer(slot: Slot, event: Event) -> Result:
    """A client's answer becomes durable."""
    noted = replace(slot, answered=slot.answered | {event.by})
    return noted, _persist(noted, "answer")


@RULES.effect
def begin_exit(slot: Slot, event: Event) -> Result:
    """The tree is to be published."""
    return slot, _persist(slot, "exit")


@RULES.effect
def return_capital(slot: Slot, event: Event) -> Result:
    """Nothing is locked any more."""
    returned = replace(slot, locked=0)
    return returned, _persist(returned, "returned")


@RULES.effect
def note_dropped(slot: Slot, event: Event) -> Result:
    """The cohort is given up."""
    return slot, _persist(slot, "dropped")


@RULES.effect
def note_waiting(slot: Slot, event: Event) -> Result:
    """The cohort is given up; who did not come waits."""
    waits = replace(slot, waiting=names(event, "missing"))
    return waits, _persist(waits, "waiting")


# -- arithmetic --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pace:
    """The periods of a ladder (blocks)."""

    active: int
    dying: int
    settle: int = 0
    """From the end of the dying period until nothing is locked: the confirmations of the close, or an exit."""
    day: int = BLOCKS_A_DAY
    """From one daily transaction to the next."""

    def __post_init__(self) -> None:
        for name, value, least in (
            ("active", self.active, 0),
            ("dying", self.dying, 1),
            ("settle", self.settle, 0),
            ("day", self.day, 1),
        ):
            if value < least:
                raise InputError(f"ladder: {name}", f"must be at least {least} blocks, not {value}", "LAD-2")


def running(pace: Pace) -> int:
    """How many factories run at once when one is born each day: active ones and dying ones.

    The usual 30 active days and 3 dying ones give 33 (P1242 'Laddering').
    """
    return -(-(pace.active + pace.dying) // pace.day)


def locking(pace: Pace) -> int:
    """How many factories lock capital at once: those that run, and those that are being closed."""
    return -(-(pace.active + pace.dying + pace.settle) // pace.day)


@dataclass(frozen=True)
class Stage:
    """Where a factory stands on a day."""

    factory: int
    """Number of the day on which it was born, from 0."""
    status: str
    """active | dying | gone"""


def on_day(pace: Pace, day: int) -> tuple[Stage, ...]:
    """Every factory that was born by ``day`` (from 0) and is not gone, oldest first, in a ladder that never stops."""
    stages = []
    for born in range(day + 1):
        age = (day - born) * pace.day
        if age < pace.active:
            stages.append(Stage(born, "active"))
        elif age < pace.active + pace.dying:
            stages.append(Stage(born, "dying"))
    return tuple(stages)


def ends_on(pace: Pace, day: int) -> int | None:
    """The factory (by its day of birth) whose last day of dying is ``day``: it is closed as that day's is funded.

    None while no factory is old enough.
    """
    born = day - running(pace)
    return born if born >= 0 else None


@dataclass(frozen=True)
class Day:
    """What the transaction of one day spends and pays (sat)."""

    old: int
    """The ending factory's funding output; 0 when none ends."""
    coins: int
    """The LSP's own coins."""
    new: int
    """The new factory's funding output; 0 when none begins."""
    leavers: Mapping[str, int] = field(default_factory=dict)
    """Clients that leave, with what each is paid."""
    fee: int = 0

    @property
    def change(self) -> int:
        """What comes back to the LSP; negative when the coins do not cover the day."""
        return self.old + self.coins - self.new - sum(self.leavers.values()) - self.fee

    def short(self, owed: Mapping[str, int]) -> int:
        """How much less than ``owed`` those who leave are paid, in sum (sat)."""
        return sum(max(sats - self.leavers.get(client, 0), 0) for client, sats in owed.items())


def outputs_per_user(users: int, cohort: int, pace: Pace, own: int = 1) -> tuple[int, int]:
    """Outputs on chain at any moment for so many users: with factories of ``cohort`` clients, and without.

    Without: ``own`` for each user. With: one funding output a factory, and a factory lives ``locking`` days.
    Raises ``InputError`` for no users or an empty cohort.
    """
    if users < 1 or cohort < 1:
        raise InputError("ladder", "needs at least one user and one client a factory", "LAD-2")
    return -(-users // cohort), users * own


def factories_a_day(users: int, cohort: int, pace: Pace) -> int:
    """How many factories of ``cohort`` clients an LSP funds each day, so that ``users`` are always in one."""
    return -(-users // (cohort * running(pace)))
