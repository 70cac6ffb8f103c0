"""The numbers against the parties: the same days, played for real on the kernel chain, come to the same."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from bitcoin.core import CBlock

from superscalar_ref.bitcoin.transaction import from_bytes
from superscalar_ref.business.assume import Assumptions
from superscalar_ref.business.days import Answers, Row, run
from superscalar_ref.protocol.ladder import Pace
from superscalar_ref.protocol.shape import Shape
from superscalar_ref.scenario.ladder_days import AWAY, COIN, LEAVES, MOVES, Days, Habit
from superscalar_ref.scenario.town import LSP, Plan, wallet_script
from tests.scenario.plans import small

PACE = Pace(active=20, dying=10, day=10)
DAYS = 7


def habit(factory: int, place: int) -> str:
    """A client of the second factory stays away; one of each leaves."""
    if (factory, place) == (1, 0):
        return AWAY
    return LEAVES if place == 1 else MOVES


@dataclass(frozen=True)
class Seen:
    """What a day of the parties came to, counted on the chain. Amounts in sat."""

    closed: int
    failed: int
    vbytes: int
    exit_transactions: int
    exit_vbytes: int
    running: int
    locked: int
    """What the LSP has in factories, with those that are brought on chain."""
    wallet: int
    """The LSP's, less the coin that it began with."""
    at_rest: int


def played(plan: Plan, habit: Habit) -> list[Seen]:
    """The days by real parties."""
    town = Days.start(plan, PACE, habit)
    return [_seen(town, number) for number in range(DAYS)]


def _seen(town: Days, number: int) -> Seen:
    blocks = len(town.ledger.raw_blocks())
    done = town.day(number)
    mined = [
        from_bytes(one.serialize())
        for raw in town.ledger.raw_blocks()[blocks:]
        for one in CBlock.deserialize(raw).vtx[1:]
    ]
    exits = [one for one in mined if one.txid != done.txid]
    assert len(exits) == len(mined) - 1
    script = wallet_script(LSP)
    coins = sum(one.output.amount for one in town.ledger.unspent().values() if one.output.script == script)
    people = {name for house in town.houses.values() for name in house.clients}
    return Seen(
        int(done.closes is not None),
        int(bool(done.away)),
        done.vbytes,
        len(exits),
        sum(one.vbytes for one in exits),
        done.running,
        done.locked,
        coins - COIN,
        sum(town.at_rest(name) for name in people),
    )


def counted(plan: Plan, habit: Habit) -> list[Row]:
    """The same days in numbers: no children, for a chain without a fee market takes what pays nothing."""

    def lot(born: int, ladder: int, size: int) -> Answers:
        wishes = [habit(born, place) for place in range(size)]
        return Answers(tuple(place for place, wish in enumerate(wishes) if wish == AWAY), (), wishes.count(LEAVES))

    factories = (PACE.active + PACE.dying) // PACE.day
    return list(run(Assumptions(plan, PACE, plan.clients * factories, DAYS, price=0, sells=0.0), lot))


@pytest.mark.parametrize(
    "plan",
    [
        replace(small(3), locks=replace(small(3).locks, end=140)),
        replace(small(5, arity=(2,)), locks=replace(small().locks, end=140), shape=Shape.of([3], 1, 2)),
    ],
    ids=["a leaf for each", "four in a leaf, a static root"],
)
def test_the_numbers_are_what_the_parties_put_on_chain(plan: Plan) -> None:
    real, rows = played(plan, habit), counted(plan, habit)
    for seen, row in zip(real, rows, strict=True):
        assert row.conserved
        number = (row.closed, row.failed, row.vbytes, row.exit_transactions, row.exit_vbytes, row.running)
        assert number == (
            seen.closed,
            seen.failed,
            seen.vbytes,
            seen.exit_transactions,
            seen.exit_vbytes,
            seen.running,
        ), row.day
        assert (row.wallet, row.at_rest) == (seen.wallet, seen.at_rest), row.day
    assert [row.failed for row in rows] == [0, 0, 0, 0, 1, 0, 0]
    assert rows[4].exit_transactions > 0
    assert rows[-1].left == 1
