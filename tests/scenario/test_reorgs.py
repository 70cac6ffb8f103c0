"""Reorgs at each depth up to the bound: whatever is taken back, everybody follows, and nobody is done too early."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from superscalar_ref.machine.types import Event
from superscalar_ref.scenario.reorgs import AGAIN, ENDS, SITUATIONS, Cast, play, well
from superscalar_ref.scenario.town import Plan
from tests.scenario.plans import LIMITS, small

DEPTH = 4
"""Confirmations after which a transaction is final: one more than the deepest reorg."""
BOUND = DEPTH - 1
BALANCE = 50_000


def plan(depth: int = DEPTH) -> Plan:
    return replace(small(clients=1), limits=replace(LIMITS, depth=depth))


CASES = [
    *((what, AGAIN, depth) for what, depth in product(("funding", "kickoff", "close"), range(1, BOUND + 1))),
    *((what, AGAIN, BOUND) for what in ("leaf", "commitment", "sweep")),
    *((what, branch, BOUND) for what in SITUATIONS for branch in SITUATIONS[what] if branch != AGAIN),
]


@pytest.mark.parametrize(("what", "branch", "depth"), CASES)
def test_everybody_follows(what: str, branch: str, depth: int) -> None:
    done = play(plan(), what, depth, branch)
    assert well(plan(), done), done
    assert done.statuses[1] == ENDS.get((what, branch), "swept")
    if what == "funding":
        assert done.statuses[0] == ("active" if branch == AGAIN else "funded")
    if (what, branch) == ("close", AGAIN):
        assert (done.statuses[0], done.received) == ("closed", (BALANCE,))
    # What would not be well is said to be not well.
    assert not well(plan(), replace(done, statuses=(done.statuses[0], "settling")))
    assert not well(plan(), replace(done, before=(done.before[0], "swept")))
    assert not well(plan(), replace(done, mined_twice=not done.mined_twice))


def test_one_block_deeper_than_the_bound_takes_back_what_was_final() -> None:
    done = play(plan(), "funding", DEPTH, "double spend")
    assert done.before == ("active", "active")
    assert done.statuses == ("active", "active"), "both count on a factory that can never exist"
    assert not done.mined_twice


def test_a_second_channel_that_a_reorg_can_take_back_is_not_at_rest() -> None:
    cast = Cast.of(plan())
    client = next(iter(cast.factory.clients.values()))
    cast.block([cast.factory.lsp.fund().broadcasts[-1]])
    cast.blocks(DEPTH - 1)
    client.live(Event.of("start_exit", client.name))
    watcher = cast.watchers[client.name]
    watcher.deadline = cast.ledger.height
    cast.until(lambda: client.life.status == "settling")
    cast.until(lambda: any(name.startswith("sweep:") for name in watcher.seen))
    # The sweep is mined, and nothing is left unspent: yet it is one block deep.
    assert [watcher.unsettled()] + [_after_a_block(cast, client.name) for _ in range(DEPTH - 1)] == [1, 1, 1, 0]


def _after_a_block(cast: Cast, name: str) -> int:
    cast.block()
    return cast.watchers[name].unsettled()
