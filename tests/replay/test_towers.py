"""Losses of a client with a tower end on Bitcoin Core's code as they are told; what cannot be is named by line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from superscalar_ref.replay.outcome import AGREES, DISAGREES, MINED
from superscalar_ref.replay.scale import UNIT_SAT
from tests.replay.test_replay import Trace, demand_disbelief, played, trace_of

LATE = "V-LIQUIDITY-EARLY"


@pytest.mark.parametrize("blocks", [1, 3])
@pytest.mark.parametrize(
    ("identity", "mined"),
    [
        ("V-TOWER-STATES", ["funding", "kickoff:r@-", "state:r@0"]),
        ("V-TOWER-UNTOLD", ["funding", "kickoff:r@-", "state:r@0"]),
        ("V-TOWER-BEGINS", ["funding"]),
        (LATE, ["funding", "kickoff:r@-", "state:r@0", "commitment:A@0:L", "sweep:commitment:A@0:L"]),
    ],
)
def test_a_client_with_a_tower_loses_on_the_chain_as_in_the_trace(
    identity: str, mined: list[str], blocks: int, tmp_path: Path
) -> None:
    outcome = played(tmp_path / "trace.json", trace_of(identity), blocks)
    assert outcome.exit_code == AGREES, outcome.problems
    assert [line.name for line in outcome.lines if line.says == MINED] == mined
    early = [line for line in outcome.lines if line.says == "one block before its lock:"]
    assert all(line.said.startswith("bad-txns-nonfinal") for line in early)
    assert len(early) == sum(name.startswith(("state", "sweep")) for name in mined)


def test_the_newer_state_is_void_and_the_old_balance_is_all_there_is(tmp_path: Path) -> None:
    lines = played(tmp_path / "trace.json", trace_of("V-TOWER-STATES")).lines
    assert (lines[-1].name, lines[-1].said.split(",")[0]) == ("state:r@1", "bad-txns-inputs-missingorspent")
    outcome = played(tmp_path / "trace.json", trace_of(LATE))
    assert outcome.owned == {"A": 4 * UNIT_SAT}


def swapped(old: str, new: str) -> Callable[[Trace], None]:
    def change(trace: Trace) -> None:
        assert old in "\n".join([*trace["off_chain"], trace["note"]])
        trace["off_chain"] = [line.replace(old, new) for line in trace["off_chain"]]
        trace["note"] = trace["note"].replace(old, new)

    return change


def dropped(words: str) -> Callable[[Trace], None]:
    def change(trace: Trace) -> None:
        trace["off_chain"] = [line for line in trace["off_chain"] if words not in line]

    return change


@pytest.mark.parametrize(
    ("identity", "change", "says"),
    [
        ("V-TOWER-STATES", swapped("block 7: L's state 0", "block 7: L's state 2"), "nobody has proposed"),
        (
            "V-TOWER-STATES",
            swapped("confirmed, and A counts on version 1", "confirmed, and A counts on version 2"),
            "A counts on version 1",
        ),
        ("V-TOWER-STATES", dropped("block 6"), "block 7: stands where block 6 should"),
        ("V-TOWER-STATES", swapped("block 7: L's state 0", "block 7: nothing"), "'state:r@0' is not on the chain"),
        ("V-TOWER-STATES", dropped("A counts on"), "A counts on version 0"),
        ("V-TOWER-STATES", swapped("block 7: L's state 0", "block 7: L's coin"), "nothing that a block"),
        ("V-TOWER-STATES", swapped("T looks; block 2", "T sleeps; block 2"), "nothing that happens to a tower"),
        (
            "V-TOWER-UNTOLD",
            swapped("publishes the state of version 0", "publishes the state of version 1"),
            "has not reached it",
        ),
        ("V-TOWER-UNTOLD", swapped("T looks; block", "T does not look; block"), "longer than this tower"),
        ("V-TOWER-UNTOLD", swapped("proposes version 1", "proposes version 2"), "can only be 1 here"),
        ("V-TOWER-BEGINS", dropped("hands"), "is not in T's file"),
        ("V-TOWER-BEGINS", dropped("a thief"), "no thief publishes anything"),
        ("V-TOWER-BEGINS", swapped("hands T the kickoff", "hands T the coin"), "nothing that a tower can be handed"),
        (LATE, swapped("A gets 4", "A gets 5"), "A owns 400000 sat"),
        (LATE, swapped("was sure of 10", "was sure of 9"), "was sure of 10"),
        (LATE, swapped("A gets 4", "A has 4"), "is no loss"),
    ],
)
def test_what_cannot_be_is_named_by_its_line(
    identity: str, change: Callable[[Trace], None], says: str, tmp_path: Path
) -> None:
    demand_disbelief(identity, change, says, tmp_path)


def test_a_lock_that_has_not_run_out_is_cores_to_refuse(tmp_path: Path) -> None:
    trace = trace_of("V-TOWER-STATES")
    trace["off_chain"] = [line for line in trace["off_chain"] if "block 6" not in line]
    trace["off_chain"][-1] = trace["off_chain"][-1].replace("block 7", "block 6")
    outcome = played(tmp_path / "trace.json", trace)
    assert outcome.exit_code == DISAGREES
    assert any("bad-txns-nonfinal" in problem for problem in outcome.problems), outcome.problems
