"""The game on the chain: exact numbers of small races, and the fast form held equal to the plain one."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superscalar_ref.check.arena import Arena
from superscalar_ref.check.game import solve
from superscalar_ref.check.plain import solve_plainly
from superscalar_ref.errors import InputError
from superscalar_ref.protocol.transaction import Kind, Outpoint, Output, Role, Spend, Template

BOTH = frozenset({"A", "L"})
FUNDING = Outpoint("funding", 0)


def wallet(owner: str, amount: int) -> Output:
    return Output(Role.WALLET, amount, frozenset({owner}), owner=owner)


def delayed(owner: str, amount: int) -> Output:
    return Output(Role.DELAYED, amount, BOTH, owner=owner)


def tree(amount: int = 10) -> Output:
    return Output(Role.TREE, amount, BOTH)


def spend(
    name: str,
    kind: Kind,
    outpoint: Outpoint,
    outputs: tuple[Output, ...],
    *,
    wait: int | None = None,
    lock_time: int = 0,
) -> Template:
    return Template(name, kind, (Spend(outpoint, wait),), outputs, BOTH, lock_time=lock_time)


def race(step: int, states: int = 3, **more: object) -> Arena:
    """One kickoff, ``states`` states; the newest pays A one unit more than the one before it."""
    kickoff = spend("kickoff", Kind.KICKOFF, FUNDING, (tree(),))
    versions = [
        spend(
            f"state{i}",
            Kind.STATE,
            Outpoint("kickoff", 0),
            (wallet("A", 4 + i), wallet("L", 6 - i)),
            wait=step * (states - 1 - i),
        )
        for i in range(states)
    ]
    templates = (kickoff, *versions)
    names = frozenset(t.name for t in templates)
    settings_: dict[str, object] = {
        "templates": templates,
        "hero": "A",
        "owed": 3 + states,
        "hero_holds": names,
        "adversary_holds": names,
        "affordable": names,
        "absence": 0,
        "exit_absence": more.get("absence", 0),
        "confirmation": 1,
        "coins": {FUNDING: 0},
    }
    return Arena(**{**settings_, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize("absence", [0, 1, 2])
@pytest.mark.parametrize("confirmation", [1, 2])
def test_step_must_exceed_absence_plus_confirmation(absence: int, confirmation: int) -> None:
    needed = absence + confirmation + 1
    assert solve(race(needed, absence=absence, confirmation=confirmation)).wins
    lost = solve(race(needed - 1, absence=absence, confirmation=confirmation))
    assert not lost.wins
    assert lost.amount == 5, "the state before the newest wins the race"


def test_worst_block_counts_absence_and_confirmation_of_each_transaction() -> None:
    solution = solve(race(4, absence=1, confirmation=2, idle_until=3))
    # Awake again at 4, kickoff mined at 6; awake again at 7, state mined at 9.
    assert solution.worst_block == 9


@pytest.mark.parametrize(
    ("states", "with_late", "amount"),
    [
        (1, True, 4),  # everything that the LSP can leave on the chain has an alternate
        (1, False, 0),  # the LSP publishes the kickoff, and then nobody can pay for the state
        (3, True, 4),  # no poison here: the LSP pays for the oldest state
    ],
)
def test_without_coins_the_alternates_are_all_there_is(states: int, with_late: bool, amount: int) -> None:
    arena = race(3, states)
    alternate = spend("alternate", Kind.ALTERNATE, FUNDING, (wallet("A", 10),), lock_time=12)
    late = spend("late", Kind.ALTERNATE, Outpoint("kickoff", 0), (wallet("A", 10),), lock_time=12)
    together = (*arena.templates, alternate, *((late,) if with_late else ()))
    names = frozenset(t.name for t in together)
    solution = solve(
        race(
            3,
            states,
            templates=together,
            hero_holds=names,
            adversary_holds=names,
            affordable=frozenset({"alternate", "late"}),
        )
    )
    assert solution.amount == amount
    assert solution.wins is (amount == 3 + states)


def test_the_hero_may_not_hold_what_does_not_exist() -> None:
    with pytest.raises(InputError, match="nowhere"):
        solve(race(3, hero_holds=frozenset({"nowhere"})))
    with pytest.raises(InputError, match="CHK-LATENCY"):
        solve(race(3, confirmation=0))


def test_the_trace_ends_in_what_was_computed() -> None:
    for step in (2, 4):
        solution = solve(race(step, absence=1, confirmation=1))
        assert solution.trace[-1].paid == solution.amount
        if solution.worst_block is not None:
            assert solution.trace[-1].height == solution.worst_block


@st.composite
def arenas(draw: st.DrawFn) -> Arena:
    """Small random games: up to seven transactions on a random tree of outputs."""
    templates: list[Template] = []
    free = [Outpoint("funding", 0), Outpoint("funding", 1)]
    for number in range(draw(st.integers(1, 6))):
        outpoints = draw(st.lists(st.sampled_from(free), min_size=1, max_size=2, unique=True))
        outputs = tuple(
            # Each generation holds less than the one above, so that no value is created.
            draw(st.sampled_from([tree(10 ** (8 - number)), wallet("A", 1), wallet("A", 2), delayed("A", 1)]))
            for _ in range(draw(st.integers(1, 2)))
        )
        templates.append(
            Template(
                f"t{number}",
                Kind.STATE,
                tuple(Spend(o, draw(st.sampled_from([None, None, 1, 2, 3]))) for o in outpoints),
                outputs,
                BOTH,
                lock_time=draw(st.sampled_from([0, 0, 0, 2, 4])),
            )
        )
        free += [Outpoint(f"t{number}", i) for i, o in enumerate(outputs) if o.role is Role.TREE]
    names = [t.name for t in templates]
    some = st.frozensets(st.sampled_from(names))
    return Arena(
        tuple(templates),
        "A",
        draw(st.integers(1, 3)),
        draw(some),
        draw(some),
        draw(some),
        draw(st.integers(0, 1)),
        draw(st.integers(0, 2)),
        draw(st.integers(1, 2)),
        {Outpoint("funding", 0): 0, Outpoint("funding", 1): -1},
        idle_until=draw(st.integers(0, 2)),
        punctual=draw(st.booleans()),
        asleep_until=draw(st.sampled_from([0, 0, 0, 3])),
        forbidden=draw(st.sampled_from([frozenset(), frozenset(names[:1]), frozenset(names[-1:])])),
        owns=draw(st.sampled_from([frozenset({Role.WALLET}), frozenset({Role.WALLET, Role.DELAYED})])),
        horizon=7,
    )


@settings(max_examples=150, deadline=None)
@given(arenas())
def test_the_fast_form_equals_the_plain_one(arena: Arena) -> None:
    solution = solve(arena)
    assert (solution.wins, solution.worst_block, solution.amount) == solve_plainly(arena)
