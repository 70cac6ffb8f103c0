"""Losses of payments end on Bitcoin Core's code as they are told; what is told otherwise is no game's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from superscalar_ref.cli import main
from superscalar_ref.errors import InputError
from superscalar_ref.replay.outcome import AGREES, CANNOT, DISAGREES, MINED
from superscalar_ref.replay.scale import UNIT_SAT
from tests.replay.test_replay import Trace, demand_disbelief, played, trace_of, written


@pytest.mark.parametrize("blocks", [1, 3])
@pytest.mark.parametrize(
    ("identity", "mined", "void"),
    [
        ("V-HTLC-ONE-STAGE", "timeout", "claim"),
        ("V-HTLC-FINAL-DELTA", "timeout", "claim"),
        ("V-HTLC-DYING", "alternate", "commitment"),
    ],
)
def test_a_payment_is_lost_on_the_chain_as_in_the_trace(
    identity: str, mined: str, void: str, blocks: int, tmp_path: Path
) -> None:
    outcome = played(tmp_path / "trace.json", trace_of(identity), blocks)
    assert outcome.exit_code == AGREES, outcome.problems
    assert [line.name for line in outcome.lines if line.says == MINED][-1] == mined
    assert (outcome.lines[-1].name, outcome.lines[-1].said.split(",")[0]) == (void, "bad-txns-inputs-missingorspent")
    early = [line for line in outcome.lines if line.says == "one block before its lock:"]
    assert {line.name for line in early} >= {"leaf", mined}
    assert all(line.said.startswith("bad-txns-nonfinal") for line in early)
    assert list(outcome.owned.values()) == [UNIT_SAT * (1 if mined == "timeout" else 3)]


def test_the_delay_inside_holds_the_claim_back_and_nothing_does_without_it(tmp_path: Path) -> None:
    for identity, waits in (("V-HTLC-ONE-STAGE", True), ("V-HTLC-FINAL-DELTA", False)):
        lines = played(tmp_path / "trace.json", trace_of(identity)).lines
        claims = [line.said.split(",")[0] for line in lines if line.name == "claim"]
        assert ("bad-txns-nonfinal" in claims) is waits


def swapped(old: str, new: str) -> Callable[[Trace], None]:
    def change(trace: Trace) -> None:
        trace["off_chain"] = [line.replace(old, new) for line in trace["off_chain"]]
        trace["note"] = trace["note"].replace(old, new)

    return change


def dropped(place: int) -> Callable[[Trace], None]:
    return lambda trace: trace["off_chain"].pop(place)


@pytest.mark.parametrize(
    ("identity", "change", "says"),
    [
        ("V-HTLC-ONE-STAGE", swapped("Block 12", "Block 11"), "no game of payments has 'block 11: L takes"),
        ("V-HTLC-ONE-STAGE", swapped("block 5", "block 6"), "no game of payments has 'block 6: the leaf"),
        ("V-HTLC-ONE-STAGE", swapped("block 7", "block 9"), "no game of payments has 'block 9: A's commitment"),
        ("V-HTLC-ONE-STAGE", swapped("expires at 11", "expires at 12"), "no game of payments has 'block 12: L takes"),
        ("V-HTLC-ONE-STAGE", dropped(2), "no game of payments has 'block 7: A's commitment"),
        ("V-HTLC-FINAL-DELTA", swapped("Block 8", "Block 10"), "no game of payments has 'block 10: L takes"),
        ("V-HTLC-DYING", swapped("Block 21", "Block 20"), "no game of payments has 'block 20: the alternate"),
        ("V-HTLC-FORWARD-LATE", swapped("Block 26", "Block 25"), "no game of payments has 'block 25: the payer takes"),
        (
            "V-HTLC-FORWARD-LATE",
            swapped("came with 25", "came with 26"),
            "no game of payments has 'block 26: the",
        ),
        ("V-HTLC-FORWARD-SHORT", swapped("block 7", "block 6"), "no game of payments has 'block 6: L looks"),
        ("V-HTLC-DYING", swapped("the end is 20", "the end is 19"), "no game of payments has 'L offers"),
    ],
)
def test_what_no_game_goes_like_is_not_believed(
    identity: str, change: Callable[[Trace], object], says: str, tmp_path: Path
) -> None:
    demand_disbelief(identity, change, says, tmp_path)


def test_a_payment_that_is_lost_off_chain_has_nothing_to_play(tmp_path: Path) -> None:
    trace = trace_of("V-HTLC-ONE-STAGE")
    trace["off_chain"] = trace["off_chain"][:1]
    waits = [f"block {height}: A looks, and waits" for height in range(1, 12, 2)]
    trace["off_chain"] += waits
    trace["note"] = "A has not begun its exit, and L can take the payment back."
    outcome = played(tmp_path / "trace.json", trace)
    assert outcome.exit_code == CANNOT, outcome.problems
    assert "never goes to the chain" in outcome.cannot


@pytest.mark.parametrize("blocks", [1, 3])
@pytest.mark.parametrize("identity", ["V-HTLC-FORWARD-LATE", "V-HTLC-FORWARD-SHORT"])
def test_a_payment_that_was_passed_on_is_lost_in_the_channel_that_it_came_in_by(
    identity: str, blocks: int, tmp_path: Path
) -> None:
    """Two channels on one chain: the payee has it, the payer takes it back, and the LSP's own ways are void."""
    outcome = played(tmp_path / "trace.json", trace_of(identity), blocks)
    assert outcome.exit_code == AGREES, outcome.problems
    mined = [line.name for line in outcome.lines if line.says == MINED]
    assert sorted(mined) == sorted([*["kickoff", "leaf", "commitment"] * 2, "claim", "timeout"])
    assert mined[-1] == "timeout" and outcome.owned == {"payee": UNIT_SAT, "payer": UNIT_SAT}
    assert [(line.name, line.said.split(",")[0]) for line in outcome.lines[-2:]] == [
        ("timeout", "bad-txns-inputs-missingorspent"),
        ("claim", "bad-txns-inputs-missingorspent"),
    ]
    early = [line for line in outcome.lines if line.says == "one block before its lock:"]
    assert early and all(line.said.startswith("bad-txns-nonfinal") for line in early)


def test_other_words_are_no_payments(tmp_path: Path) -> None:
    trace = trace_of("V-HTLC-DYING")
    trace["off_chain"][1] = "block 15: nobody does anything"
    outcome = played(tmp_path / "trace.json", trace)
    assert outcome.exit_code == DISAGREES
    with pytest.raises(InputError, match="is no trace"):
        played(tmp_path / "trace.json", {**trace, "off_chain": 3})


def test_the_command_plays_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path / "trace.json", trace_of("V-HTLC-DYING"))
    assert main(["replay", str(path)]) == 0
    told = capsys.readouterr().out
    assert "mined, from A: alternate" in told and "A owns 300,000 sat" in told
    assert main(["replay", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["agrees"]
