from __future__ import annotations

import json
import shutil
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from superscalar_ref.cli import main
from superscalar_ref.errors import InputError, SpecError
from superscalar_ref.mutate.faults import Fault, chosen, faults
from superscalar_ref.spec.location import spec_directory
from superscalar_ref.spec.survivors import check_patterns, load_argued, stale

FAULTS = faults()
KINDS = {"guard", "effect", "swap", "row", "to", "from", "by", "weaker", "min", "max", "for", "when", "choose", "order",
         "kinds", "ages", "pay", "later", "earlier", "term", "lemma"}  # fmt: skip
TESTS = """
from superscalar_ref.protocol.watchtower import watchtower_machine

def test_the_first_row_keeps_what_it_says():
    row = watchtower_machine().table.transitions[0]
    assert "keep_entry" in row.effects and row.to == "watching"

def test_every_row_is_there():
    assert len(watchtower_machine().table.transitions) == 0
"""


def one(identity: str) -> Fault:
    return chosen(FAULTS, rows=[identity])[0]


def content(text: str) -> Any:
    return tomllib.loads(text)


def test_each_fault_has_its_id_and_changes_its_file() -> None:
    assert len({fault.id for fault in FAULTS}) == len(FAULTS) > 1_000
    assert {fault.kind for fault in FAULTS} == KINDS
    sound = {file: (spec_directory() / file).read_text(encoding="utf-8") for file in {fault.file for fault in FAULTS}}
    before = {file: content(text) for file, text in sound.items()}
    # Reading every file again takes long, so one of each kind in each table.
    for fault in {(fault.table, fault.kind): fault for fault in FAULTS}.values():
        assert content(fault.text) != before[fault.file], fault.id
    assert all(fault.text != sound[fault.file] for fault in FAULTS)


def rows(fault: Fault) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The row of a fault's file before and after."""
    section = {"machines": "transitions", "deadlines.toml": "deadlines"}.get(fault.file.split("/")[0], "rules")
    before = content((spec_directory() / fault.file).read_text(encoding="utf-8"))[section]
    after = content(fault.text)[section]
    known = {row["id"]: row for row in after}
    assert [row for row in before if row["id"] != fault.row] == [row for row in after if row["id"] != fault.row]
    return next(row for row in before if row["id"] == fault.row), known.get(fault.row)


@pytest.mark.parametrize(
    ("identity", "key", "value"),
    [
        ("SES-5:guard:nothing_on_chain", "guards", lambda row: [g for g in row["guards"] if g != "nothing_on_chain"]),
        ("SES-5:effect:record_spend", "effects", lambda _: ["use_nonce", "send_partial"]),
        ("SES-5:swap:record_spend+use_nonce", "effects", lambda _: ["use_nonce", "record_spend", "send_partial"]),
        ("SES-5:to:aborted", "to", lambda _: "aborted"),
        ("SES-5:by", "by", lambda _: "anyone"),
        ("STR-5:choose:any", "choose", lambda _: "any"),
        ("STR-5:for:tower", "for", lambda _: ["client", "lsp"]),
        ("STR-30:pay:again", "pay", lambda _: "again"),
        ("STR-30:for:tower", "for", lambda row: [*row["for"], "tower"]),
        ("STR-20:later", "height", lambda row: row["height"] + " + 1"),
        ("STR-21:term:extra", "height", lambda row: row["height"].removesuffix(" - extra")),
        ("STR-20:lemma:L-LSP-WAITS", "lemmas", lambda row: row["lemmas"][1:]),
    ],
)
def test_a_fault_changes_one_thing_of_one_row(identity: str, key: str, value: Any) -> None:
    before, after = rows(one(identity))
    assert after == {**before, key: value(before)} != before


def test_a_row_is_missing_and_two_rules_change_places() -> None:
    assert rows(one("SES-5:row"))[1] is None
    before = content((spec_directory() / "strategy.toml").read_text(encoding="utf-8"))["rules"]
    first, second, *rest = before
    assert content(one(f"{first['id']}:order:{second['id']}").text)["rules"] == [second, first, *rest]


def test_numbers_are_off_by_one() -> None:
    assert content(one("states_per_layer:min:1").text)["parameters"]["states_per_layer"]["min"] == 1
    weaker = next(row for row in content(one("R-END:weaker").text)["constraints"] if row["id"] == "R-END")
    assert weaker["expr"].startswith("life_blocks + 1 >= ")


@pytest.mark.parametrize(
    "arguments", [["--machine", "toaster"], ["--row", "SES-99"], ["--cores", "0"], ["--tests", "?"]]
)
def test_bad_arguments_are_one_line(arguments: Sequence[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mutate", *arguments]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def a_copy(tmp_path: Path, survivors: str = "") -> tuple[Path, Path]:
    spec, tests = tmp_path / "spec", tmp_path / "tests"
    shutil.copytree(spec_directory(), spec)
    (tests / "protocol").mkdir(parents=True)
    (tests / "protocol" / "test_watchtower.py").write_text(TESTS, encoding="utf-8")
    (spec / "survivors.toml").write_text(survivors, encoding="utf-8")
    if not survivors:
        (spec / "survivors.toml").unlink()
    return spec, tests


def test_it_says_who_notices_and_goes_on_where_it_stopped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, tests = a_copy(tmp_path)
    kept = tmp_path / "kept.json"
    command = ["mutate", "--spec", str(spec), "--tests", str(tests), "--resume", str(kept), "--json", "--cores", "2"]
    command += ["--row", "WTW-1:effect:keep_entry", "--row", "WTW-1:by", "--row", "WTW-1:row"]
    assert main(command) == 1
    told = json.loads(capsys.readouterr().out)
    by = {row["fault"]: (row["by"], row["what"]) for row in told["faults"]}
    assert by["WTW-1:effect:keep_entry"][0] == "test"
    assert by["WTW-1:effect:keep_entry"][1].endswith("::test_the_first_row_keeps_what_it_says")
    assert by["WTW-1:row"][0] == "test"
    assert by["WTW-1:by"] == ("", "")
    monkeypatch.setattr("superscalar_ref.mutate.run.ask", lambda rest, *_: iter(()) if not rest else pytest.fail())
    assert main(command) == 1
    assert json.loads(capsys.readouterr().out) == told


def test_what_is_argued_must_still_be_so(tmp_path: Path) -> None:
    spec, _ = a_copy(tmp_path, '[[survivors]]\nfaults = ["WTW-1:by", "SES-5:*"]\nwhy = "Nobody else speaks here."\n')
    argued = load_argued(spec)
    assert argued[0].fits("WTW-1:by")
    assert not argued[0].fits("WTW-10:by")
    assert argued[1].fits("SES-5:row")
    check_patterns(argued, [fault.id for fault in FAULTS])
    assert stale(argued, {"WTW-1:by": True, "SES-5:row": True, "SES-5:by": False}) == (argued[0],)
    assert stale(argued, {"WTW-1:by": False}) == ()
    with pytest.raises(SpecError, match="'WTW-1:by' fits no fault any more"):
        check_patterns(argued, ["SES-5:row"])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[[survivors]]\nfaults = ["WTW-1:by"]\nwhy = " "\n', "why"),
        ('[[survivors]]\nfaults = ["WTW-1"]\nwhy = "x"\n', "faults"),
        (
            '[[survivors]]\nfaults = ["A:by"]\nwhy = "x"\n[[survivors]]\nfaults = ["A:by"]\nwhy = "y"\n',
            "argued already",
        ),
    ],
)
def test_a_faulty_list_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    spec, _ = a_copy(tmp_path, text)
    with pytest.raises(SpecError, match=problem):
        load_argued(spec)


def test_the_specifications_own_list_fits_its_faults() -> None:
    check_patterns(load_argued(), [fault.id for fault in FAULTS])


def test_another_file_is_no_result(tmp_path: Path) -> None:
    from superscalar_ref.mutate.run import Answers

    (tmp_path / "x.json").write_text('{"version": 1, "bound": "b", "faults": {"a": 1}}', encoding="utf-8")
    with pytest.raises(InputError, match="no file that a stopped run has written"):
        Answers(tmp_path / "x.json", "b")
    assert Answers(tmp_path / "x.json", "c").known == {}
