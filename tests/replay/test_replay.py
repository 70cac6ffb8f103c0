"""A trace of the checker ends on Bitcoin Core's code as it says; a trace that was tampered with does not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from superscalar_ref.check.trace import as_json
from superscalar_ref.cli import main
from superscalar_ref.errors import InputError
from superscalar_ref.replay.form import read
from superscalar_ref.replay.outcome import AGREES, CANNOT, DISAGREES, MINED, Outcome
from superscalar_ref.replay.player import replay
from superscalar_ref.replay.scale import UNIT_SAT
from tests import judged

Trace = dict[str, Any]


def trace_of(identity: str) -> Trace:
    """The trace of a wrong design, for a test to change."""
    found: Trace = json.loads(json.dumps(as_json(judged.trace(identity))))
    return found


def written(path: Path, trace: Trace) -> Path:
    path.write_text(json.dumps(trace), encoding="utf-8")
    return path


def played(path: Path, trace: Trace, blocks: int = 3) -> Outcome:
    return replay(read(written(path, trace)), blocks)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "trace.json"


# What a replay shows


@pytest.mark.parametrize("blocks", [1, 2, 17])
def test_a_theft_ends_on_the_chain_as_in_the_trace_at_every_scale(file: Path, blocks: int) -> None:
    trace = trace_of("V-STEP-SHORT")
    outcome = played(file, trace, blocks)
    assert outcome.exit_code == AGREES, outcome.problems
    assert outcome.owned == {party: units * UNIT_SAT for party, units in trace["owners"].items()}
    assert outcome.owned["A"] == trace["gets"] * UNIT_SAT < trace["owed"] * UNIT_SAT
    mined = {line.name: line.height for line in outcome.lines if line.says == MINED}
    planned = {name: 101 + block["height"] * blocks for block in trace["rounds"] for name in block["mined"]}
    assert mined == {"funding": 101, **planned}


def test_the_newer_state_is_valid_in_the_block_that_takes_the_older_one_and_void_after_it(file: Path) -> None:
    lines = played(file, trace_of("V-STEP-SHORT")).lines
    newer = [line for line in lines if line.name == "state:r@1"]
    (older,) = [line for line in lines if line.name == "state:r@0" and line.says == MINED]
    assert [line.said.split(",")[0] for line in newer] == ["accepted", "bad-txns-inputs-missingorspent"]
    assert newer[0].height == older.height


def test_core_refuses_each_locked_transaction_one_block_before_its_lock(file: Path) -> None:
    trace = trace_of("V-STEP-SHORT")
    lines = played(file, trace).lines
    early = {line.name: line for line in lines if line.says == "one block before its lock:"}
    locked = {
        template["name"]
        for template in trace["transactions"]
        if template["lock_time"] or any((spend["relative_lock"] or 0) > 0 for spend in template["spends"])
    }
    assert locked
    assert early.keys() == locked
    assert all(line.said.startswith("bad-txns-nonfinal") for line in early.values())


def test_what_nobody_can_complete_is_refused_with_one_signature(file: Path) -> None:
    outcome = played(file, trace_of("V-FUND-FIRST"))
    assert outcome.exit_code == AGREES, outcome.problems
    said = {line.name: line.said for line in outcome.lines if "nobody can complete" in line.says}
    assert "Invalid Schnorr signature" in said["kickoff:r@-"]
    assert outcome.owned.get("L", 0) == 0


def test_a_coin_elsewhere_makes_everything_void(file: Path) -> None:
    outcome = played(file, trace_of("V-FUNDING-UNCHECKED"))
    assert outcome.exit_code == AGREES, outcome.problems
    said = {line.name: line.said for line in outcome.lines}
    assert said["elsewhere"] == "accepted"
    assert said["kickoff:r@-"].startswith("bad-txns-inputs-missingorspent")


def test_an_exit_that_starts_anothers_clock(file: Path) -> None:
    outcome = played(file, trace_of("V-NO-KICKOFF"))
    assert outcome.exit_code == AGREES, outcome.problems
    before, after = outcome.lines[-2:]
    assert before.said.startswith("bad-txns-nonfinal")
    assert (after.name, after.said) == ("state:r.1@0.0", "accepted")
    assert after.height is not None
    assert after.height - 1 == before.height


def test_an_incomplete_kit_publishes_nothing(file: Path) -> None:
    trace = trace_of("V-SIGNATURE-UNCHECKED")
    outcome = played(file, trace)
    assert outcome.exit_code == AGREES, outcome.problems
    missing = set(trace["held"]["kit"]) - set(trace["held"]["hero"])
    assert missing <= {line.name for line in outcome.lines}
    assert {line.name for line in outcome.lines if line.said == "accepted"} == {"funding"}


# Ceremonies


def test_a_reused_nonce_gives_the_key_away_and_the_key_the_money(file: Path) -> None:
    outcome = played(file, trace_of("V-NONCE-KEPT"))
    assert outcome.exit_code == AGREES, outcome.problems
    (computed,) = [line for line in outcome.lines if "secret key" in line.says]
    assert computed.said.endswith("A's")
    assert [line.name for line in outcome.lines if line.says == MINED] == ["rival"]


@pytest.mark.parametrize("identity", ["V-RECORD-LATE", "V-SPEND-UNRECORDED"])
def test_two_spends_of_one_outpoint_are_each_valid_and_void_one_another(file: Path, identity: str) -> None:
    outcome = played(file, trace_of(identity))
    assert outcome.exit_code == AGREES, outcome.problems
    assert [line.name for line in outcome.lines if line.says == MINED] == ["parent", "rival"]
    void = [line.said for line in outcome.lines if line.says.startswith("void")]
    assert len(void) == 2
    assert all(said.startswith("bad-txns-inputs-missingorspent") for said in void)


def test_a_parent_without_its_child_locks_the_money(file: Path) -> None:
    outcome = played(file, trace_of("V-PARENT-FIRST"))
    assert outcome.exit_code == AGREES, outcome.problems
    assert [line.name for line in outcome.lines if line.says == MINED] == ["parent"]
    assert any(line.name == "child" and "Invalid Schnorr signature" in line.said for line in outcome.lines)


def ceremony(broken: str, *steps: str) -> Trace:
    return {**trace_of("V-PARENT-FIRST"), "property": broken, "off_chain": list(steps)}


OPEN_PARENT = ("A opens 'parent'", "the aggregate nonce of 'parent'")


@pytest.mark.parametrize(
    ("broken", "steps"),
    [
        ("P-SIGNED-CHILDREN-FIRST", OPEN_PARENT),
        ("P-SIGNED-CHILDREN-FIRST", (*OPEN_PARENT, "A signs 'parent', and A crashes after 'use_nonce'")),
        ("P-SIGNED-CHILDREN-FIRST", ("A opens 'child'", "A signs 'child'", *OPEN_PARENT, "A signs 'parent'")),
        ("P-ONE-SPEND-PER-OUTPOINT", (*OPEN_PARENT, "A signs 'parent'")),
        ("P-NONCE-ONCE", (*OPEN_PARENT, "A signs 'parent'")),
        ("P-NONCE-ONCE", (*OPEN_PARENT, "A signs 'parent'", *OPEN_PARENT, "A signs 'parent'")),
        ("P-HELD-IS-COMPLETE", (*OPEN_PARENT, "A signs 'parent'", "the complete signature of 'parent'")),
    ],
)
def test_a_ceremony_that_breaks_nothing_disagrees(file: Path, broken: str, steps: tuple[str, ...]) -> None:
    assert played(file, ceremony(broken, *steps)).exit_code == DISAGREES


@pytest.mark.parametrize("step", ["A signs 'parent'", "A opens 'other'", "A signs", ""])
def test_a_step_that_no_ceremony_has_is_refused(file: Path, step: str) -> None:
    with pytest.raises(InputError, match="trace"):
        played(file, ceremony("P-NONCE-ONCE", step))


def test_what_has_no_transaction_is_said_to_be_so(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace = ceremony("P-NO-UPDATE-ON-CHAIN", *OPEN_PARENT)
    assert played(file, trace).exit_code == CANNOT
    assert main(["replay", str(file)]) == 3
    assert "Cannot be replayed" in capsys.readouterr().out


# Tampering


def earlier(trace: Trace) -> None:
    """The older state is mined one block before its lock has run out."""
    rounds = trace["rounds"]
    (at,) = [number for number, block in enumerate(rounds) if "state:r@0" in block["mined"]]
    rounds[at]["mined"], rounds[at]["broadcast"] = [], []
    rounds[at - 1]["mined"] = ["state:r@0"]


def richer(trace: Trace) -> None:
    """A sweep pays more than it spends."""
    (sweep,) = [t for t in trace["transactions"] if t["kind"] == "sweep"]
    sweep["outputs"][0]["amount"] += 1


def poorer(trace: Trace) -> None:
    """A sweep leaves something to the miner and does not say so."""
    (sweep,) = [t for t in trace["transactions"] if t["kind"] == "sweep"]
    sweep["outputs"][0]["amount"] -= 1
    trace["owners"]["A"] -= 1


def another_owner(trace: Trace) -> None:
    (sweep,) = [t for t in trace["transactions"] if t["kind"] == "sweep"]
    sweep["outputs"][0]["owner"] = "L"


def owners(trace: Trace) -> None:
    trace["owners"]["A"] += 1


def paid(trace: Trace) -> None:
    trace["rounds"][-1]["paid"] += 1


def paid_early(trace: Trace) -> None:
    trace["rounds"][0]["paid"] = 1


def paid_late(trace: Trace) -> None:
    """A sweep is mined, and the trace does not count it yet."""
    (block,) = [block for block in trace["rounds"] if any(name.startswith("sweep") for name in block["mined"])]
    block["paid"] -= 1


def spent_before(trace: Trace) -> None:
    """A commitment spends a state that is not there yet."""
    rounds = trace["rounds"]
    (at,) = [number for number, block in enumerate(rounds) if "commitment:A@0:A" in block["mined"]]
    rounds[at]["mined"], rounds[at]["broadcast"] = [], []
    rounds[0]["mined"], trace["held"]["others"] = ["commitment:A@0:A"], [*trace["held"]["others"], "commitment:A@0:A"]


@pytest.mark.parametrize(
    "tamper", [earlier, richer, poorer, another_owner, owners, paid, paid_early, paid_late, spent_before]
)
def test_a_trace_that_says_otherwise_than_the_chain_is_found_out(file: Path, tamper: Callable[[Trace], None]) -> None:
    trace = trace_of("V-STEP-SHORT")
    assert played(file, trace).exit_code == AGREES
    tamper(trace)
    outcome = played(file, trace)
    assert outcome.exit_code == DISAGREES
    assert outcome.problems


def unheld(trace: Trace) -> str:
    trace["held"]["others"] = [name for name in trace["held"]["others"] if name != "state:r@0"]
    return "which nobody holds complete"


def unheld_broadcast(trace: Trace) -> str:
    trace["held"]["hero"] = [name for name in trace["held"]["hero"] if name != "state:r@1"]
    return "which it does not hold complete"


def asleep(trace: Trace) -> str:
    block = next(block for block in trace["rounds"] if block["broadcast"])
    block["asleep"] = True
    return "while it is away"


def gap(trace: Trace) -> str:
    trace["rounds"][4]["height"] += 1
    return "stands where block"


def twice(trace: Trace) -> str:
    trace["rounds"][-1]["mined"] = ["kickoff:r@-"]
    return "a second time"


def undescribed(trace: Trace) -> str:
    trace["transactions"] = trace["transactions"][1:]
    return "which is not described"


def other_signers(trace: Trace) -> str:
    trace["transactions"][0]["signers"] = ["L"]
    return "are not those of the output"


def not_enough(trace: Trace) -> str:
    (commitment,) = [t for t in trace["transactions"] if t["kind"] == "commitment"]
    commitment["outputs"][0]["amount"] -= 1
    return "bytes carry out their template"


def missing_key(trace: Trace) -> str:
    del trace["rounds"][0]["mined"]
    return "missing required field `mined`"


def wrong_type(trace: Trace) -> str:
    trace["transactions"][0]["outputs"][0]["amount"] = "much"
    return "Expected `int`"


def negative(trace: Trace) -> str:
    trace["transactions"][0]["outputs"][0]["amount"] = -1
    return ">= 0"


def no_coin(trace: Trace) -> str:
    trace["funding"]["spends"][0]["transaction"] = "state:r@0"
    return "which is not a coin"


def coin_by_script(trace: Trace) -> str:
    trace["funding"]["spends"][0]["by_lock_path"] = True
    return "a coin of one party"


def same_transaction(trace: Trace) -> str:
    """Another name for the kickoff."""
    (kickoff,) = [t for t in trace["transactions"] if t["kind"] == "kickoff"]
    trace["context"].append({**kickoff, "name": "kickoff:again"})
    return "is the same as"


def version(trace: Trace) -> str:
    trace["version"] = 2
    return "version 2"


def two_of_a_name(trace: Trace) -> str:
    trace["context"].append({**trace["transactions"][0], "fee": 1})
    return "two transactions are named"


FAULTS = [
    unheld,
    unheld_broadcast,
    asleep,
    gap,
    twice,
    undescribed,
    other_signers,
    not_enough,
    missing_key,
    wrong_type,
    negative,
    version,
    two_of_a_name,
    no_coin,
    coin_by_script,
    same_transaction,
]


@pytest.mark.parametrize("tamper", FAULTS)
def test_a_trace_that_contradicts_itself_is_one_line_and_exit_2(
    file: Path, tamper: Callable[[Trace], str], capsys: pytest.CaptureFixture[str]
) -> None:
    trace = trace_of("V-STEP-SHORT")
    problem = tamper(trace)
    assert main(["replay", str(written(file, trace))]) == 2
    error = capsys.readouterr().err
    assert problem in error
    assert "trace.json" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("text", ["", "[]", "{}", "nonsense", '{"version": 1}', "[" * 5000, "\ud800"])
def test_what_is_no_trace_is_one_line_and_exit_2(file: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    assert main(["replay", str(file)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("scale", ["0", "-3", "1000000", "1e3"])
def test_a_scale_that_makes_no_chain_is_refused(file: Path, scale: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["replay", str(written(file, trace_of("V-STEP-SHORT"))), "--scale", scale]
    try:
        code = main(arguments)
    except SystemExit as stop:
        code = int(str(stop.code))
    assert code == 2
    assert "--scale" in capsys.readouterr().err


# For people and programs


def test_the_command_tells_the_story_with_heights_txids_and_cores_words(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["replay", str(written(file, trace_of("V-STEP-SHORT"))), "--scale", "3"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("P-EXIT-ALWAYS is lost by A in 'one-layer'")
    assert "bad-txns-nonfinal" in said
    assert "A owns 400,000 sat; the trace: 400,000 sat." in said
    assert said.rstrip().endswith("Real transactions and signatures end as the trace says.")


def test_the_json_form(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace = trace_of("V-STEP-SHORT")
    trace["owners"]["A"] += 1
    assert main(["replay", str(written(file, trace)), "--scale", "3", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["agrees"] is False
    assert found["problems"] == ["A owns 400000 sat on the chain, 500000 sat in the trace"]
    assert len(found["lines"][0]["txid"]) == 64
