"""A loss told so that it can be followed: heights, actors, what was mined, who owns what and was owed what."""

from __future__ import annotations

from functools import cache

import pytest

from superscalar_ref.check import ceremony
from superscalar_ref.check.ceremony import moves, opening
from superscalar_ref.check.configurations import load_configurations
from superscalar_ref.check.game import Round, solve
from superscalar_ref.check.judge import Design
from superscalar_ref.check.plain import aftermath
from superscalar_ref.check.trace import Trace, actors, as_json, mermaid, publisher, story
from superscalar_ref.check.variants import judge_variant
from superscalar_ref.protocol.participant import machines
from superscalar_ref.protocol.strategy import load_strategy
from superscalar_ref.protocol.transaction import Kind, Outpoint
from superscalar_ref.spec.load import load_specification
from tests.check.test_game import FUNDING, race, spend, tree, wallet


@cache
def lost(identity: str) -> Trace:
    """The trace of a wrong design."""
    specification = load_specification()
    design = Design(specification, load_strategy(), load_configurations())
    outcome = judge_variant(design, specification.variant(identity))
    assert outcome.verdict is not None
    assert outcome.verdict.trace is not None
    return outcome.verdict.trace


def test_whoever_broadcasts_is_named_in_words_in_the_diagram_and_in_the_data() -> None:
    trace = lost("V-LSP-SLOW")
    assert "L broadcasts state:r@2; A broadcasts state:r@1; mined: state:r@1; void now: state:r@2" in story(trace)
    assert "as A\n" in mermaid(trace)
    by = {name: who for round_ in as_json(trace)["rounds"] for name, who in round_["by"].items()}
    assert by == actors(trace)
    assert by["state:r@1"] == "A"
    assert by["kickoff:r@-"] == "L"


def test_a_story_about_an_older_state_has_one_in_it_and_says_what_it_costs() -> None:
    trace = lost("V-LSP-SLOW")
    told = story(trace)
    assert "state:r@1 is confirmed, and L holds state:r@2, which is newer." in told
    assert "In the end A owns 5, L owns 8." in told
    assert "L counts on 9 and can be sure of 8: 1 lost (theft)." in told


def test_blocks_in_which_nothing_happens_are_one_line() -> None:
    told = story(lost("V-CLASSIC-ABSENT"))
    assert told.count("away") == 1
    assert "blocks 1 to 15: A is away for 15 blocks" in told


@pytest.mark.parametrize(("identity", "who"), [("V-RECORD-LATE", "L owns 10"), ("V-PARENT-FIRST", "10 more wait")])
def test_a_ceremony_ends_on_the_chain(identity: str, who: str) -> None:
    told = story(lost(identity))
    assert "L sends the aggregate nonce of" in told
    assert "block 1: L broadcasts" in told
    assert who in told
    assert "A counts on 4 and can be sure of 0: 4 lost" in told


def test_an_exit_that_touches_others_is_told_block_by_block() -> None:
    steps = lost("V-NO-KICKOFF").off_chain
    assert steps[1] == "block 1: A broadcasts kickoff:r@-; mined: kickoff:r@-"
    assert any("the clock of state:r.1@0.0 begins" in says for says in steps)
    assert "B, who published nothing, must answer" in steps[-1]


def test_counting_too_early_is_about_an_update() -> None:
    assert "L offers version 1" in lost("V-COUNT-EARLY").off_chain


def test_what_is_told_of_one_who_only_believes_has_heights_too() -> None:
    assert "block 1: the funding is confirmed" in lost("V-REORG-CLIENT").off_chain


def test_after_the_game_the_hero_goes_on() -> None:
    """What is still its own, it takes: nothing is said of a hero that does nothing."""
    first = spend("first", Kind.STATE, FUNDING, (tree(9), wallet("L", 1)))
    later = spend("later", Kind.STATE, Outpoint("first", 0), (wallet("A", 9),), wait=2)
    names = frozenset({"first", "later"})
    arena = race(3, templates=(first, later), hero_holds=names, adversary_holds=frozenset({"first"}), affordable=names)
    rounds = (Round(1, False, (), ("first",), 0),)
    assert aftermath(arena, rounds) == ()
    active = aftermath(arena, rounds, lambda *_: ("later",))
    assert [(round_.height, round_.broadcast, round_.mined) for round_ in active if round_.mined] == [
        (3, ("later",), ("later",))
    ]


def test_the_others_win_ties_after_the_game_too() -> None:
    theirs = spend("theirs", Kind.STATE, FUNDING, (wallet("L", 10),))
    mine = spend("mine", Kind.STATE, FUNDING, (wallet("A", 10),))
    both = frozenset({"theirs", "mine"})
    arena = race(3, templates=(theirs, mine), hero_holds=both, adversary_holds=frozenset({"theirs"}), affordable=both)
    (only,) = aftermath(arena, (), lambda *_: ("mine",))
    assert (only.broadcast, only.mined) == (("mine",), ("theirs",))


def test_the_publisher_is_the_holder_or_whom_it_pays() -> None:
    paid = spend("t", Kind.ALTERNATE, FUNDING, (wallet("A", 10),))
    assert publisher(paid, "L") == "A"
    assert publisher(paid, "A") == "L"
    assert solve(race(4, absence=1)).trace


@pytest.mark.parametrize(
    ("collecting", "names", "nonce_survives"),
    [(True, ("child", "parent"), False), (False, ("parent", "rival"), True)],
)
def test_the_packed_ceremony_is_the_plain_one(collecting: bool, names: tuple[str, ...], nonce_survives: bool) -> None:
    table = machines().session
    start = opening(collecting, names)
    seen, queue, edges, faults = {start}, [start], 0, set[str]()
    for here in queue:
        faults |= here.faults
        if here.faults:
            continue
        for _, after in moves(table, here, collecting, 1, nonce_survives, {}):
            edges += 1
            if after not in seen:
                seen.add(after)
                queue.append(after)
    fast = ceremony.explore_one(table, collecting, names, 1, nonce_survives)
    assert (fast.states, fast.edges, set(fast.broken)) == (len(seen), edges, faults)
