"""The kit: verdicts, faults of an adapter, known failures, reports, doors."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from superscalar_ref import cli
from superscalar_ref.conformance import kit
from superscalar_ref.conformance.adapter import TableAdapter, reference_machines
from superscalar_ref.conformance.judge import Result, Verdict, greet, judge
from superscalar_ref.conformance.liars import KeepsEverything, StoresNothing
from superscalar_ref.conformance.reports import write_report
from superscalar_ref.conformance.runner import Fault, LocalRunner, SubprocessRunner, checked
from superscalar_ref.spec.location import spec_directory

ADAPTERS = Path(__file__).parent.parent.parent / "examples" / "adapters"
HELLO = '{"name": "x", "version": "1", "protocol": 1}'


@pytest.fixture(scope="module")
def tests() -> dict[str, dict[str, Any]]:
    return {test["id"]: test for test in kit.load_tests()}


class Liar(TableAdapter):
    """The reference, with something done to its replies."""

    def __init__(self, change: Callable[[dict[str, Any], dict[str, Any]], Any]) -> None:
        super().__init__(reference_machines())
        self._change = change

    def answer(self, request: Any) -> dict[str, Any]:
        reply = super().answer(request)
        return self._change(dict(request), reply) or reply


def judged(test: dict[str, Any], change: Callable[[dict[str, Any], dict[str, Any]], Any]) -> Result:
    runner = LocalRunner(Liar(change))
    return judge(runner, greet(runner), test)


def on_step(what: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any], dict[str, Any]], Any]:
    return lambda request, reply: what(reply) if request["cmd"] == "step" else None


# -- verdicts ----------------------------------------------------------------------------------------------------------


def test_each_way_to_be_wrong_has_its_own_code(tests: dict[str, dict[str, Any]]) -> None:
    taken, refused = tests["session-ses-5-taken"], tests["session-ses-5-without-guard-spend-is-unrecorded"]
    function, rejected = tests["nsequence-oldest"], tests["nsequence-overflow"]
    wrong = {"seq": 0}

    def other(outcome: dict[str, Any]) -> Callable[[dict[str, Any], dict[str, Any]], Any]:
        return lambda request, reply: {**outcome, "seq": reply["seq"]} if request["cmd"] in ("step", "eval") else None

    def without_effect(reply: dict[str, Any]) -> None:
        if "ok" in reply:
            reply["ok"]["effects"].pop()

    def more_effects(reply: dict[str, Any]) -> None:
        reply["ok"]["effects"].append({"kind": "alert", "name": "x", "to": "", "fields": {}})

    def swapped(reply: dict[str, Any]) -> None:
        reply["ok"]["effects"].reverse()

    def changed(reply: dict[str, Any]) -> None:
        reply.get("state", {})["status"] = "aborted"

    refusal = {"reject": {"code": "SOME"}}
    assert judged(function, lambda *_: None).verdict is Verdict.PASS
    assert judged(function, other({"ok": {"blocks": 432, "nsequence": 433}})).code == "WRONG_RESULT"
    assert judged(function, other({"ok": {"blocks": 432, "nsequence": True}})).code == "WRONG_RESULT"
    assert judged(function, other({"ok": {}})).code == "WRONG_RESULT"
    assert judged(function, other(refusal)).code == "REFUSED"
    assert judged(function, other({"unsupported": {}})).code == "UNSUPPORTED"
    assert judged(function, other({"error": {}})).code == "ERROR"
    assert judged(rejected, other({"ok": {"blocks": 6320, "nsequence": 6320}})).code == "NOT_REFUSED"
    assert judged(rejected, other(refusal)).code == "WRONG_CODE"
    assert judged(taken, on_step(without_effect)).code == "WRONG_EFFECTS"
    assert judged(taken, on_step(more_effects)).code == "WRONG_EFFECTS"
    assert judged(taken, on_step(swapped)).code == "WRONG_EFFECTS"
    assert judged(refused, on_step(changed)).code == "STATE_CHANGED"
    assert judged(taken, on_step(lambda reply: reply["ok"].pop("state") and None)).code == "BAD_REPLY"
    assert judged(taken, on_step(lambda reply: reply["ok"].pop("effects") and None)).code == "BAD_REPLY"
    assert judged(taken, on_step(lambda _: wrong)).code == "BAD_SEQ"
    assert judged(taken, on_step(lambda reply: reply.update(reject={}))).code == "BAD_REPLY"


def test_words_are_never_compared_and_of_a_state_what_is_shown(tests: dict[str, dict[str, Any]]) -> None:
    refused, taken = tests["session-ses-5-without-guard-spend-is-unrecorded"], tests["session-ses-5-taken"]

    def other_words(reply: dict[str, Any]) -> None:
        if "reject" in reply:
            reply["reject"] = {"code": reply["reject"]["code"], "detail": "nein"}

    def less(reply: dict[str, Any]) -> None:
        for holder in (reply, reply.get("ok", {})):
            if "state" in holder:
                holder["state"] = {"status": holder["state"]["status"]}

    assert judged(refused, on_step(other_words)).verdict is Verdict.PASS
    few, many = judged(taken, on_step(less)), judged(taken, lambda *_: None)
    assert few.verdict is Verdict.PASS
    assert 0 < few.fields_compared < many.fields_compared


def test_own_effects_count_for_those_who_show_them(tests: dict[str, dict[str, Any]]) -> None:
    test = tests["session-ses-1-taken"]

    def only_observable(reply: dict[str, Any]) -> None:
        reply["ok"]["effects"] = [effect for effect in reply["ok"]["effects"] if effect["kind"] == "send"]

    def silent(request: dict[str, Any], reply: dict[str, Any]) -> None:
        if request["cmd"] == "hello":
            reply["ok"]["capabilities"] = []
        if request["cmd"] == "step":
            only_observable(reply)

    assert judged(test, on_step(only_observable)).code == "WRONG_EFFECTS"
    assert judged(test, silent).verdict is Verdict.PASS


def test_levels_profiles_and_exit_codes(tests: dict[str, dict[str, Any]]) -> None:
    levels = {level: next(t for t in tests.values() if t["level"] == level) for level in ("MUST", "SHOULD", "MAY")}

    def fail(request: dict[str, Any], reply: dict[str, Any]) -> Any:
        return {"seq": reply["seq"], "error": {}} if request["cmd"] != "hello" else None

    runner = LocalRunner(Liar(fail))
    profile = greet(runner)

    def exit_code(level: str, strict: bool = False) -> int:
        return kit.run(runner, profile, [levels[level]], strict=strict).exit_code

    assert [exit_code(level) for level in levels] == [1, 0, 0]
    assert [exit_code(level, strict=True) for level in levels] == [1, 1, 0]

    def narrow(request: dict[str, Any], reply: dict[str, Any]) -> None:
        if request["cmd"] == "hello":
            reply["ok"].update(profiles=["odometers"], functions=["odometer.tick"])

    runner = LocalRunner(Liar(narrow))
    done = kit.run(runner, greet(runner), [tests["nsequence-oldest"], tests["shape-five-ragged"]])
    assert {one.verdict for one in done.results} == {Verdict.SKIPPED}
    assert done.exit_code == 3
    done = kit.run(runner, greet(runner), [tests["nsequence-oldest"], tests["odometer-tick-root"]])
    assert done.exit_code == 0
    assert "a part of odometers" in kit.claim(done)


@pytest.mark.parametrize(
    "reply",
    [
        None,
        [],
        {"seq": 2, "ok": {}},
        {"ok": {}},
        {"seq": True, "ok": {}},
        {"seq": 1},
        {"seq": 1, "ok": {}, "error": {}},
        {"seq": 1, "ok": 3},
    ],
)
def test_a_reply_of_the_wrong_form_is_a_fault(reply: object) -> None:
    with pytest.raises(Fault):
        checked(reply, 1)


# -- a process that misbehaves -----------------------------------------------------------------------------------------


def adapter(tmp_path: Path, body: str) -> list[str]:
    """A program: ``body`` sees ``request`` and may print."""
    script = tmp_path / "adapter.py"
    script.write_text(
        "import json, sys, time\n"
        "for line in sys.stdin:\n"
        "    request = json.loads(line); seq = request['seq']\n"
        "    if request['cmd'] == 'hello':\n"
        f"        print(json.dumps({{'seq': seq, 'ok': json.loads('{HELLO}')}}), flush=True)\n"
        "        continue\n"
        f"    {body}\n"
    )
    return [sys.executable, "-S", "-E", str(script)]


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ("sys.exit(7)", "DIED", "status 7"),
        ("sys.stderr.write('boom\\n'); sys.exit(1)", "DIED", "boom"),
        ("print('hello world', flush=True)", "BAD_JSON", "hello world"),
        ("sys.stdout.buffer.write(bytes([255, 10])); sys.stdout.flush()", "BAD_JSON", ""),
        ("print('[' * 100000, flush=True)", "BAD_JSON", ""),
        ("print(json.dumps({'seq': seq + 1, 'ok': {}}), flush=True)", "BAD_SEQ", "instead of"),
        ("print('null', flush=True)", "BAD_REPLY", "no object"),
        ("time.sleep(60)", "TIMEOUT", "no reply within"),
    ],
)
def test_a_fault_is_a_verdict_and_the_run_goes_on(
    tmp_path: Path, tests: dict[str, dict[str, Any]], body: str, code: str, said: str
) -> None:
    # The first question finds the fault; the second finds the adapter started again.
    runner = SubprocessRunner(adapter(tmp_path, body), 0.4 if code == "TIMEOUT" else 10)
    try:
        profile = greet(runner)
        done = kit.run(runner, profile, [tests["nsequence-oldest"], tests["nsequence-second"]])
    finally:
        runner.close()
    assert [one.verdict for one in done.results] == [Verdict.ERROR, Verdict.ERROR]
    assert {one.code for one in done.results} == {code}
    assert said in done.results[0].detail
    assert done.exit_code == 1
    assert all("\n" not in line for line in kit.summary(done))


def test_an_adapter_that_cannot_be_started_or_says_nothing_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("/no/such/program", "true", "cat", "   ", "an 'open quote"):
        assert cli.main(["conform", "--adapter", command, "--layer", "L0"]) == 2
        assert capsys.readouterr().err.count("\n") == 1


# -- known failures, selection, reports --------------------------------------------------------------------------------


def test_known_failures_cannot_grow_stale(tmp_path: Path, tests: dict[str, dict[str, Any]]) -> None:
    def fail(request: dict[str, Any], reply: dict[str, Any]) -> Any:
        return {"seq": reply["seq"], "ok": {}} if request.get("args", {}).get("index") == 0 else None

    runner = LocalRunner(Liar(fail))
    two = [tests["nsequence-oldest"], tests["nsequence-second"]]

    def exit_code(lines: str) -> int:
        path = tmp_path / "known"
        path.write_text(lines)
        return kit.run(runner, greet(runner), two, kit.load_known(path)).exit_code

    assert exit_code("") == 1
    assert exit_code("# why\nnsequence-oldest WRONG_RESULT # fixed soon\n") == 0
    assert exit_code("nsequence-oldest WRONG_CODE") == 1
    assert exit_code("nsequence-oldest WRONG_RESULT\nnsequence-second WRONG_RESULT") == 1
    assert exit_code("nsequence-oldest WRONG_RESULT\nno-such-test WRONG_RESULT") == 1


def test_bad_input_of_the_command_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    known = tmp_path / "known"
    for lines in ("a b c", "a X\na Y"):
        known.write_text(lines)
        assert cli.main(["conform", "--reference", "--only", "nsequence", "--expected-failures", str(known)]) == 2
    assert cli.main(["conform", "--reference", "--expected-failures", str(tmp_path / "none")]) == 2
    assert cli.main(["conform", "--reference", "--vectors", str(tmp_path)]) == 2
    assert cli.main(["conform", "--reference", "--timeout", "0"]) == 2
    (tmp_path / "x.json").write_text("{}")
    assert cli.main(["conform", "--reference", "--vectors", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 6
    assert cli.main(["conform", "--reference", "--only", "no-such-word"]) == 3


def test_a_test_that_stands_twice_is_an_error_of_the_corpus(tmp_path: Path) -> None:
    for name in ("a.json", "b.json"):
        shutil.copy(spec_directory() / "vectors" / "odometers.json", tmp_path / name)
    assert cli.main(["conform", "--reference", "--vectors", str(tmp_path)]) == 2


def test_a_report_names_every_failure_and_how_to_repeat_it(tmp_path: Path, tests: dict[str, dict[str, Any]]) -> None:
    program = adapter(tmp_path, "print(json.dumps({'seq': seq, 'ok': {}}), flush=True)")
    runner = SubprocessRunner(program)
    try:
        done = kit.run(runner, greet(runner), [tests["nsequence-oldest"], tests["nsequence-overflow"]])
        write_report(done, tmp_path / "report", " ".join(program), runner.diagnosis())
    finally:
        runner.close()
    lines = [json.loads(line) for line in (tmp_path / "report" / "results.jsonl").read_text().splitlines()]
    assert [line["code"] for line in lines] == ["WRONG_RESULT", "NOT_REFUSED"]
    suite = ElementTree.parse(tmp_path / "report" / "junit.xml").getroot()
    assert suite.get("failures") == "2"
    folder = tmp_path / "report" / "nsequence-overflow"
    again = subprocess.run(["sh", folder / "repeat.sh"], capture_output=True, text=True, check=True)
    assert json.loads(again.stdout) == {"seq": 1, "ok": {}}
    page = (tmp_path / "report" / "report.html").read_text()
    assert page.index("no state was compared") < page.index("nsequence-overflow")
    assert (
        "| ❌ fail | nsequence-overflow | R-LOCK-16-BIT | NOT\\_REFUSED |"
        in (tmp_path / "report" / "report.md").read_text()
    )
    assert (folder / "sequence.mmd").read_text().startswith("sequenceDiagram\n")
    assert json.loads((folder / "trace.json").read_text())[0]["request"]["fn"] == "dw.nsequence"


def test_the_json_of_a_run_says_why_a_pass_may_mean_little(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["conform", "--reference", "--layer", "L0", "--only", "nsequence", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["exit_code"] == 0 and said["counts"]["pass"] == 12
    assert any("no state was compared" in reason for reason in said["mind"])


def _liar(tmp_path: Path, mutant: str) -> str:
    """A program with one wrong table of the session."""
    script = tmp_path / "liar.py"
    script.write_text(
        "import sys\n"
        "from superscalar_ref.conformance.adapter import TableAdapter, reference_machines, serve\n"
        "from superscalar_ref.conformance.mutants import mutants\n"
        "session = reference_machines()['session']\n"
        f"wrong = next(one for one in mutants(session.table) if one.id == '{mutant}')\n"
        "serve(TableAdapter({'session': wrong.bound(session)}, 'liar'), sys.stdin, sys.stdout)\n"
    )
    return f"{sys.executable} {script}"


def test_fuzzing_finds_a_liar_shrinks_the_difference_and_writes_it_down(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    liar, folder = _liar(tmp_path, "SES-8/without-effect/destroy_nonce"), tmp_path / "found"
    folder.mkdir()
    written = folder / "found.json"
    arguments = ["--fuzz", "40", "--only", "session"]
    assert cli.main(["conform", "--adapter", liar, *arguments, "--write", str(written)]) == 1
    assert "session: WRONG_" in capsys.readouterr().out
    found = json.loads(written.read_text())["tests"]
    assert len(found) == 1 and len(found[0]["steps"]) < 4
    assert cli.main(["conform", "--adapter", liar, "--vectors", str(folder)]) == 1
    assert cli.main(["conform", "--reference", "--vectors", str(folder)]) == 0
    assert cli.main(["conform", "--reference", "--fuzz", "5", "--only", "session"]) == 0
    assert cli.main(["conform", "--reference", "--fuzz", "0"]) == 2
    assert cli.main(["conform", "--reference", "--fuzz", "1", "--only", "nobody"]) == 2


# -- the examples ------------------------------------------------------------------------------------------------------


def test_the_example_in_python_passes_everything(capsys: pytest.CaptureFixture[str]) -> None:
    command = f"{sys.executable} {ADAPTERS / 'adapter.py'}"
    assert cli.main(["conform", "--adapter", command]) == 0
    said = capsys.readouterr().out
    assert "example in Python" in said and "skipped" not in said


@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed: the example in C is not built")
def test_the_example_in_c_passes_what_it_declares(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program, source = tmp_path / "functions", ADAPTERS / "functions.c"
    subprocess.run(["gcc", "-std=c99", "-Wall", "-Wextra", "-Werror", "-o", program, source], check=True)
    assert cli.main(["conform", "--adapter", str(program), "--layer", "L0"]) == 0
    assert "example in C 1 conforms to expiries + a part of keys-and-scripts" in capsys.readouterr().out
    # The same with one bound wrong: the vectors must see it.
    wrong = tmp_path / "wrong.c"
    wrong.write_text(source.read_text().replace("MOST_LOCK = 65535", "MOST_LOCK = 65536"))
    subprocess.run(["gcc", "-std=c99", "-o", program, wrong], check=True)
    assert cli.main(["conform", "--adapter", str(program), "--layer", "L0"]) == 1
    assert "nsequence-overflow-by-one [R-LOCK-16-BIT] NOT_REFUSED" in capsys.readouterr().out


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed: the guide's adapter is not run")
def test_the_guide_leads_to_the_first_green_vector_and_the_first_red_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    guide = (spec_directory() / "chapters" / "conformance.md").read_text()
    program = tmp_path / "mine.mjs"
    program.write_text(guide.partition("<!-- first adapter -->")[2].partition("```js\n")[2].partition("```")[0])
    program.chmod(0o755)
    assert cli.main(["conform", "--adapter", str(program), "--only", "nsequence-oldest"]) == 0
    said = capsys.readouterr().out
    # One test is no profile.
    assert "1 tests: 1 pass" in said and "conforms to a part of odometers" in said and "only tests with" in said
    assert cli.main(["conform", "--adapter", str(program)]) == 0
    program.write_text(program.read_text().replace("65535", "65536"))
    assert cli.main(["conform", "--adapter", str(program), "--report", str(tmp_path / "out")]) == 1
    again = subprocess.run(
        ["sh", tmp_path / "out" / "nsequence-overflow-by-one" / "repeat.sh"],
        capture_output=True,
        text=True,
        check=True,
        cwd="/",
    )
    assert json.loads(again.stdout)["ok"] == {"blocks": 65536, "nsequence": 65536}


@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed: the example in C is not built")
def test_the_tower_in_c_plays_its_table_its_crashes_and_its_outcomes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program, source = tmp_path / "tower", ADAPTERS / "tower.c"
    flags = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-fsanitize=undefined", "-fno-sanitize-recover"]
    subprocess.run(["gcc", *flags, "-o", program, source], check=True)
    assert cli.main(["conform", "--adapter", str(program)]) == 0
    said = capsys.readouterr().out
    assert "tower in C 1 conforms to a part of restarts + tower-outcomes + watchtower" in said
    assert "L3" not in said, "outcomes were looked at: no reason to mind"
    assert cli.main(["conform", "--adapter", str(program), "--fuzz", "10", "--only", "watchtower"]) == 0
    text = source.read_text()
    for right, wrong, test in (
        # It says that it keeps what a crash would take.
        ("    node->stored = node->now;\n    snprintf(effects", "    snprintf(effects", "watchtower-wtw-1-restart"),
        ("next <= entry->lock_time", "next < entry->lock_time", "LOCK_RUN_OUT"),
        ("relative_lock < entry->relative_lock", "relative_lock < 0", "NOTHING_NEWER"),
        ("node->now.confirmed = height;", "", "outcome-tower-newest-state-wins"),
    ):
        assert text.count(right) == 1
        (tmp_path / "wrong.c").write_text(text.replace(right, wrong))
        subprocess.run(["gcc", "-std=c99", "-o", program, tmp_path / "wrong.c"], check=True)
        assert cli.main(["conform", "--adapter", str(program), "--only", "tower"]) == 1, test
        assert test in capsys.readouterr().out


def test_the_pytest_door_gives_one_test_for_each_vector(tmp_path: Path) -> None:
    program = " ".join(
        adapter(tmp_path, "print(json.dumps({'seq': seq, 'ok': {'blocks': 432, 'nsequence': 432}}), flush=True)")
    )
    arguments = [
        "-p",
        "superscalar_ref.conformance.pytest_plugin",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "-p",
        "no:hypothesispytest",
    ]
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            *arguments,
            "--superscalar-adapter",
            program,
            "--superscalar-only",
            "nsequence-o",
            str(tmp_path),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PATH": "/usr/bin:/bin"},
    )
    assert "2 failed, 2 passed" in done.stdout or "passed" in done.stdout, done.stdout + done.stderr
    assert "nsequence-overflow [R-LOCK-16-BIT]: NOT_REFUSED" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_what_an_adapter_says_is_escaped_in_every_page(tmp_path: Path, tests: dict[str, dict[str, Any]]) -> None:
    evil = "<script>alert(1)</script> | `x`\nsecond ; end"

    def lie(request: dict[str, Any], reply: dict[str, Any]) -> Any:
        if request["cmd"] == "hello":
            reply["ok"]["name"] = evil
            return None
        return {"seq": reply["seq"], "error": {"detail": evil}}

    runner = LocalRunner(Liar(lie))
    done = kit.run(runner, greet(runner), [tests["nsequence-oldest"]])
    write_report(done, tmp_path, "x")
    assert "<script>" not in (tmp_path / "report.html").read_text()
    markdown = (tmp_path / "report.md").read_text()
    assert "<script>" not in markdown.replace("\\<script\\>", "") and "\nsecond" not in markdown
    diagram = (tmp_path / "nsequence-oldest" / "sequence.mmd").read_text()
    assert not set("<>;#") & set(diagram.replace("->>", "").replace("-->>", "").replace("--x", ""))


def test_who_keeps_a_nonce_over_a_crash_or_stores_nothing_is_seen(tests: dict[str, dict[str, Any]]) -> None:
    restarts = [test for test in tests.values() if test["profile"] == "restarts"]
    assert {test["node"]["machine"] for test in restarts} == set(reference_machines())
    nonce, agreed = tests["session-ses-1-restart"], tests["client-cli-5-restart"]
    # A second sale could be signed for the same outpoint; a connection is taken for one that still stands.
    offered, connected = tests["stock-stk-3-restart"], tests["channel-chn-8-restart"]
    for liar, caught, said in (
        (StoresNothing, offered, "'status' is 'unsold' instead of 'offered'"),
        (KeepsEverything, connected, "'htlcs' is"),
        (KeepsEverything, nonce, "'status' is 'open' instead of 'unopened'"),
        (StoresNothing, agreed, "'status' is 'invited' instead of 'updating'"),
    ):
        runner = LocalRunner(liar(reference_machines()))
        result = judge(runner, greet(runner), caught)
        assert (result.verdict, result.code) == (Verdict.FAIL, "WRONG_STATE")
        assert said in result.detail


def test_who_does_not_play_restarts_is_not_asked_for_them(tests: dict[str, dict[str, Any]]) -> None:
    def mortal(request: dict[str, Any], reply: dict[str, Any]) -> None:
        if request["cmd"] == "hello":
            reply["ok"]["capabilities"] = ["own_effects"]

    assert judged(tests["session-ses-1-restart"], mortal).verdict is Verdict.SKIPPED
    assert judged(tests["session-ses-1-taken"], mortal).verdict is Verdict.PASS
