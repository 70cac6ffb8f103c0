"""One visit in the dying period: what the tower may do until then, what it may not, and when the client comes."""

from __future__ import annotations

from dataclasses import replace

from superscalar_ref.check.arena import Arena
from superscalar_ref.check.game import solve
from superscalar_ref.check.situations import one_visit
from superscalar_ref.protocol.transaction import Kind, Outpoint, Output, Role, Spend, Template

FUNDING = Outpoint("funding", 0)
BOTH = frozenset({"A", "L"})
TOWER = frozenset({Kind.STATE})
LATER = 8


def tree(*, locks: tuple[int, int] = (3, 0)) -> Arena:
    """A kickoff, an older and the newest state, which pay A 1 and 5; the end is in block 20."""
    older, newest = locks
    kickoff = Template("kickoff", Kind.KICKOFF, (Spend(FUNDING),), (Output(Role.TREE, 5, BOTH),), BOTH)
    states = tuple(
        Template(
            name,
            Kind.STATE,
            (Spend(kickoff.outpoint(0), relative_lock=lock),),
            (Output(Role.WALLET, paid, frozenset({"A"}), owner="A"),),
            BOTH,
        )
        for name, lock, paid in (("older", older, 1), ("newest", newest, 5))
    )
    end = Template(
        "end", Kind.EXPIRY, (Spend(FUNDING),), (Output(Role.WALLET, 5, BOTH, owner="L"),), BOTH, lock_time=20
    )
    every = frozenset({"kickoff", "older", "newest"})
    return Arena((kickoff, *states, end), "A", 5, every, every | {"end"}, every, 1, 1, 1, {FUNDING: 0}, idle_until=10)


def test_a_tower_answers_the_older_state_and_the_client_exits_when_it_comes() -> None:
    solved = solve(one_visit(tree(), TOWER, LATER))
    assert solved.wins
    assert solved.worst_block == 10 + LATER + 3, "begun at its visit: the kickoff, a block without a look, the state"


def test_without_a_tower_the_older_state_has_all_the_time_that_it_waits_for() -> None:
    solved = solve(one_visit(tree(), frozenset(), LATER))
    assert (solved.wins, solved.amount) == (False, 1)


def test_a_tower_begins_no_exit_even_if_it_could() -> None:
    """What begins one is not in its hands: a visit after the end comes too late."""
    late = replace(tree(), idle_until=20)
    assert not solve(one_visit(late, TOWER, LATER)).wins


def test_a_lock_that_the_tower_cannot_beat_loses() -> None:
    assert not solve(one_visit(tree(locks=(1, 0)), TOWER, LATER)).wins


def test_everything_but_the_locks_of_states_is_later() -> None:
    game = one_visit(tree(), TOWER, LATER)
    assert [t.lock_time for t in game.templates] == [0, 0, 0, 20 + LATER]
    assert (game.idle_until, game.stand_in_until, game.height) == (18, 18, 0)
    assert game.stand_in == frozenset({"older", "newest"})
