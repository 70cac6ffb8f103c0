"""A trace of the checker ends on Bitcoin Core's code as it says; a trace that was tampered with does not."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from superscalar_ref.check.trace import as_json
from superscalar_ref.cli import main
from superscalar_ref.errors import InputError
from superscalar_ref.replay.claims import false_claims
from superscalar_ref.replay.form import read
from superscalar_ref.replay.lines import lines
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
    path.write_text(json.dumps(trace, indent=1), encoding="utf-8")
    return path


def played(path: Path, trace: Trace, blocks: int = 3) -> Outcome:
    return replay(read(written(path, trace)), blocks)


def demand_disbelief(identity: str, change: Callable[[Trace], object], says: str, directory: Path) -> None:
    """A trace of that variant, changed, disagrees with the chain, and a line of it is named."""
    trace = trace_of(identity)
    change(trace)
    outcome = played(directory / "trace.json", trace)
    assert outcome.exit_code == DISAGREES
    assert any(says in problem and problem.startswith("line ") for problem in outcome.problems), outcome.problems


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


def line_of(file: Path, *path: str | int) -> int:
    """The line of a value, found by writing the same file with a mark in its place."""
    trace = json.loads(file.read_text(encoding="utf-8"))
    marked = json.dumps(_replaced(trace, path, {"MARK": 1}), indent=1).splitlines()
    return next(number for number, text in enumerate(marked) if '"MARK"' in text)


def _replaced(value: Any, path: tuple[str | int, ...], new: Any) -> Any:
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = _replaced(value[path[0]], path[1:], new)  # type: ignore[index]
    return copy


Tampering = tuple[str, Callable[[Trace], object], tuple[str | int, ...], str]


def rename(trace: Trace, old: str, new: str) -> None:
    """Another name for a transaction, wherever it is named."""
    text = json.dumps(trace)
    assert old in text
    trace.clear()
    trace.update(json.loads(text.replace(old, new)))


def at(trace: Trace, section: str, name: str) -> int:
    (found,) = [number for number, one in enumerate(trace[section]) if one["name"] == name]
    return int(found)


CLAIMS: list[Tampering] = [
    ("V-STEP-SHORT", lambda t: t.update(gets=5), ("gets",), "A gets 4 in this story, not 5"),
    ("V-STEP-SHORT", lambda t: t.update(gets=0), ("gets",), "A gets 4 in this story, not 0"),
    ("V-STEP-SHORT", lambda t: t.update(loss="ransom"), ("loss",), "this is theft, not ransom"),
    ("V-KICKOFF-BARE", lambda t: t.update(loss="theft"), ("loss",), "this is ransom, not theft"),
    ("V-STEP-SHORT", lambda t: t.update(owed=4), ("owed",), "A is paid 4 and counts on 4: nothing is lost"),
    ("V-STEP-SHORT", lambda t: t.update(owed=500), ("owed",), "counts on 500, more than the coin"),
    ("V-STEP-SHORT", lambda t: t.update(property="P-NOWHERE"), ("property",), "no property P-NOWHERE"),
    ("V-STEP-SHORT", lambda t: t.update(property="P-LSP-EXIT"), ("property",), "promises nothing to A"),
    ("V-KICKOFF-BARE", lambda t: t.update(property="P-NO-THEFT"), ("property",), "lost to ransom"),
    ("V-SETTLE-SHORT", lambda t: t.update(property="P-NEWEST-WINS"), ("property",), "no state is mined that is older"),
    ("V-STEP-SHORT", lambda t: t.update(property="P-EXIT-INSURED"), ("held", "unpaid"), "it cannot pay for"),
    ("V-KICKOFF-BARE", lambda t: t.update(property="P-EXIT-ALWAYS"), ("held", "unpaid"), "can pay for everything"),
    (
        "V-STEP-SHORT",
        lambda t: t.update(property="P-ABSENT-CLIENT-PAID"),
        ("property",),
        "it broadcasts before block",
    ),
    ("V-STEP-SHORT", lambda t: t.update(configuration="nowhere"), ("configuration",), "not in 'nowhere'"),
    ("V-INTERIOR-FIRST", lambda t: t.update(configuration="one-layer"), ("configuration",), "'B' is no party"),
    ("V-STEP-SHORT", lambda t: t["choices"].update(alternates="none"), ("choices", "alternates"), "'none'"),
    ("V-STEP-SHORT", lambda t: t["choices"].update(end_default="classic"), ("choices", "end_default"), "no path"),
    ("V-CLASSIC-ABSENT", lambda t: t["choices"].update(end_default="inverted"), ("choices", "end_default"), "a path"),
    ("V-STEP-SHORT", lambda t: t["choices"].update(alternates="some"), ("choices", "alternates"), "cannot be 'some'"),
    ("V-STEP-SHORT", lambda t: t["choices"].update(weather="fine"), ("choices", "weather"), "is no choice"),
    ("V-NO-KICKOFF", lambda t: t.update(started=[]), ("started",), "starts the clock of state:r.1@0.0"),
    ("V-NO-KICKOFF", lambda t: t["off_chain"].__setitem__(2, "block 5: A broadcasts state:r@0; mined: state:r@0"),
     ("off_chain", 2), "can be in block 4 first, not 5"),
    ("V-STEP-SHORT", lambda t: t.update(started=["state:r@0"]), ("started",), "is not about clocks"),
    ("V-NO-KICKOFF", lambda t: t.update(note="All is well."), ("note",), "it should say: A's exit starts"),
    ("V-SIGNATURE-UNCHECKED", lambda t: t.update(note="It counts on version 0 without state:r@9."), ("note",), "r@9"),
    ("V-NONCE-KEPT", lambda t: t.update(loss="ransom"), ("loss",), "this is theft"),
    ("V-NONCE-KEPT", lambda t: t["owners"].update(L=4), ("owners", "L"), "L owns 10 of what is mined, 4"),
    ("V-NONCE-KEPT", lambda t: t.update(gets=4), ("gets",), "A gets 0"),
    ("V-DONE-EARLY", lambda t: t.update(property="P-EXIT-NEVER"), ("property",), "no property"),
]  # fmt: skip


@pytest.mark.parametrize(
    "tampering", CLAIMS, ids=[f"{c[0]}-{'.'.join(map(str, c[2]))}-{n}" for n, c in enumerate(CLAIMS)]
)
def test_a_claim_that_does_not_follow_is_found_with_its_line(file: Path, tampering: Tampering) -> None:
    identity, tamper, path, says = tampering
    trace = trace_of(identity)
    tamper(trace)
    script = read(written(file, trace))
    problems = false_claims(script)
    assert any(problem.startswith(f"line {line_of(file, *path)}: ") and says in problem for problem in problems), (
        problems
    )


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("state:r@0", "state:r@2", "a lock of 2 is not that of this state, of 3 states"),
        ("state:r@0", "state:r@3", "a lock of 2 is not that of this state, of 3 states"),
        ("state:r@1", "state:r@7", "is not that of this state"),
        ("state:r@0", "state:r.0@0", "'one-layer' has no node 'r.0'"),
        ("kickoff:r@-", "kickoff:s@-", "'kickoff:s@-' should be named 'kickoff:r@-'"),
        ("sweep:commitment:A@0:A", "sweep:elsewhere", "should be named 'sweep:commitment:A@0:A'"),
        ("commitment:A@0:A", "commitment:A@5:A", "should be named"),
    ],
)
def test_a_transaction_by_another_name_is_found(file: Path, old: str, new: str, says: str) -> None:
    trace = trace_of("V-STEP-SHORT")
    rename(trace, old, new)
    problems = false_claims(read(written(file, trace)))
    assert any(says in problem for problem in problems), problems


def test_locks_of_different_steps_are_found(file: Path) -> None:
    trace = trace_of("V-END-NO-DELAYS")
    states = [one for section in ("transactions", "context") for one in trace[section] if one["kind"] == "state"]
    states[0]["spends"][0]["relative_lock"] += 2
    problems = false_claims(read(written(file, trace)))
    assert problems == [] if len(states) < 2 else any("different steps" in problem for problem in problems)


def test_a_ceremony_completes_and_pays_what_the_trace_says(file: Path) -> None:
    trace = trace_of("V-RECORD-LATE")
    trace["transactions"][0]["outputs"][0]["amount"] = 9
    trace["owners"]["L"] = 9
    (problem,) = played(file, trace).problems
    assert problem == f"line {line_of(file, 'transactions', 0)}: 'rival' pays 1000000 sat to L, and nothing else"
    trace = trace_of("V-PARENT-FIRST")
    rename(trace, "parent", "other")
    trace["off_chain"] = trace_of("V-PARENT-FIRST")["off_chain"]
    assert "'other' is nothing that this ceremony completes" in played(file, trace).problems[0]


def test_who_broadcast_what_is_held_against_the_story(file: Path) -> None:
    trace = trace_of("V-STEP-SHORT")
    (number,) = [number for number, block in enumerate(trace["rounds"]) if "state:r@0" in block["mined"]]
    trace["rounds"][number]["by"]["state:r@0"] = "A"
    (problem,) = false_claims(read(written(file, trace)))
    assert problem == (
        f"line {line_of(file, 'rounds', number, 'by', 'state:r@0')}: 'state:r@0' is broadcast by L, not by A"
    )
    trace = trace_of("V-STEP-SHORT")
    trace["transactions"].reverse()
    assert any("mined are" in problem for problem in false_claims(read(written(file, trace))))


@pytest.mark.parametrize("identity", [one.id for one in judged.design().specification.variants if one.breaks])
def test_no_trace_of_the_checker_claims_what_is_not_so(file: Path, identity: str) -> None:
    assert false_claims(read(written(file, trace_of(identity)))) == []


def test_a_false_claim_disagrees_also_where_nothing_can_be_played(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trace = {**trace_of("V-DONE-EARLY"), "property": "P-EXIT-NEVER"}
    assert main(["replay", str(written(file, trace))]) == 1
    assert "there is no property P-EXIT-NEVER" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["", '{"a": null [], "b": 1}', "{[]: 1}", "{1: 2}", '{"a": 1, "b"', '{"a" 1}', "[1,"])
def test_no_lines_of_what_is_no_json(text: str) -> None:
    with pytest.raises(ValueError, match=r"line 1|no name of a member"):
        lines(text)


@pytest.mark.parametrize("rest", [' [], "x": 1}', ', "x"'])
def test_a_trace_that_breaks_off_after_a_wrong_value_is_one_error(tmp_path: Path, rest: str) -> None:
    (tmp_path / "t.json").write_text('{"version": 1, "rounds": null' + rest, encoding="utf-8")
    with pytest.raises(InputError, match="is no trace"):
        read(tmp_path / "t.json")


def test_lines_of_a_text() -> None:
    text = '{"a": [1,\n {"b": "}]\\"",\n"c": []}],\n "d":\n {}, "e": [[], [2]]}'
    assert json.loads(text)
    assert lines(text) == {
        (): 1,
        ("a",): 1,
        ("a", 0): 1,
        ("a", 1): 2,
        ("a", 1, "b"): 2,
        ("a", 1, "c"): 3,
        ("d",): 4,
        ("e",): 5,
        ("e", 0): 5,
        ("e", 1): 5,
        ("e", 1, 0): 5,
    }


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
    # What only the building of bytes shows has a transaction's name instead.
    assert re.search(r"trace.json:\d+: ", error) or tamper in (not_enough, same_transaction, undescribed, no_coin), (
        error
    )


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
    (problem,) = found["problems"]
    assert problem == f"line {line_of(file, 'owners', 'A')}: A owns 400000 sat on the chain, 500000 sat in the trace"
    assert len(found["lines"][0]["txid"]) == 64
