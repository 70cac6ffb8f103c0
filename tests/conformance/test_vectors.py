"""The runner of published vectors: BIP-327's files as they are, altered in every value, and broken in every way."""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from superscalar_ref import cli
from superscalar_ref.conformance.forms import forms
from superscalar_ref.conformance.results import Outcome
from superscalar_ref.conformance.vectors import check_file
from superscalar_ref.errors import InputError

TESTS = Path(__file__).parent.parent
BIP327 = sorted((TESTS / "vectors" / "bip327").glob("*.json"))
MORE = sorted((TESTS / "conformance" / "data").glob("*.json"))
FILES = [*BIP327, *MORE]

# (ok, not reproducible) of each file: a case that stops being run is noticed.
COUNTS = {
    "key_agg_vectors.json": (9, 0),
    "key_sort_vectors.json": (1, 0),
    "nonce_agg_vectors.json": (5, 0),
    "nonce_gen_vectors.json": (2, 2),
    "sign_verify_vectors.json": (15, 2),
    "tweak_vectors.json": (6, 0),
    "det_sign_vectors.json": (4, 4),
    "sig_agg_vectors.json": (3, 0),
}


def _load(name: str) -> Any:
    path = next(path for path in FILES if path.name == f"{name}_vectors.json")
    return json.loads(path.read_text())


def _write(folder: Path, document: Any) -> Path:
    path = folder / "changed.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_published_files(path: Path) -> None:
    result = check_file(path)
    assert result.count(Outcome.MISMATCH) == 0
    assert (result.count(Outcome.OK), result.count(Outcome.NOT_REPRODUCIBLE)) == COUNTS[path.name]
    assert result.form == "BIP-327 " + path.name.removesuffix("_vectors.json")


def test_what_is_not_reproducible_says_why() -> None:
    for path in FILES:
        for case in check_file(path).cases:
            if case.outcome is Outcome.NOT_REPRODUCIBLE:
                assert "libsecp256k1" in case.detail or "D-2" in case.detail
                assert "arithmetic agrees" in case.detail


def test_every_published_file_and_every_form_is_covered() -> None:
    assert {path.name for path in FILES} == set(COUNTS)
    known = {form.name for form in forms() if form.name.startswith("BIP-327 ")}
    assert known == {"BIP-327 " + name.removesuffix("_vectors.json") for name in COUNTS}


def _flip(text: str) -> str:
    return ("1" if text[-1] == "0" else "0").join([text[:-1], ""])


def _changes(document: Any) -> Iterator[tuple[str, Any]]:
    """Each document with one expected value changed: a hex digit, a signer, a kind of error, a known message."""
    for group, cases in document.items():
        if not isinstance(cases, list) or not cases or not isinstance(cases[0], dict):
            continue
        for position, case in enumerate(cases):
            for key in ("expected", "expected_secnonce", "expected_pubnonce"):
                for index in range(len(case[key]) if isinstance(case.get(key), list) else key in case):
                    changed = copy.deepcopy(document)
                    target = changed[group][position]
                    if isinstance(target[key], list):
                        target[key][index] = _flip(target[key][index])
                    else:
                        target[key] = _flip(target[key])
                    yield f"{group}[{position}].{key}", changed
            for key, value in case.get("error", {}).items():
                changed = copy.deepcopy(document)
                other: dict[str, Any] = {
                    "type": "value" if value == "invalid_contribution" else "invalid_contribution",
                    "signer": 0 if value is None else None,
                    "contrib": "pubkey" if value != "pubkey" else "psig",
                    "message": "The tweak must be less than n."
                    if value != "The tweak must be less than n."
                    else "secret key value is out of range.",
                }
                error = changed[group][position]["error"]
                error[key] = other[key]
                if key == "type":
                    error.update({"signer": 0, "contrib": "pubkey", "message": "The tweak must be less than n."})
                yield f"{group}[{position}].error.{key}", changed


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_changed_expectation_is_a_mismatch(path: Path, tmp_path: Path) -> None:
    count = 0
    for place, changed in _changes(json.loads(path.read_text())):
        result = check_file(_write(tmp_path, changed))
        wrong = [case.case for case in result.cases if case.outcome is Outcome.MISMATCH]
        assert wrong == [place.split(".")[0]], place
        count += 1
    if path.name != "key_sort_vectors.json":
        assert count > 0


def test_a_changed_order_of_keys_is_a_mismatch(tmp_path: Path) -> None:
    document = _load("key_sort")
    keys = document["sorted_pubkeys"]
    keys[0], keys[-1] = keys[-1], keys[0]
    assert check_file(_write(tmp_path, document)).count(Outcome.MISMATCH) == 1


def test_a_wrong_message_that_is_not_the_bip_s_wording_is_not_compared(tmp_path: Path) -> None:
    document = _load("tweak")
    document["error_test_cases"][0]["error"]["message"] = "tweak out of range, in other words"
    assert check_file(_write(tmp_path, document)).count(Outcome.MISMATCH) == 0


def test_valid_signatures_offered_as_invalid_ones(tmp_path: Path) -> None:
    document = _load("sign_verify")
    for position, index in ((0, 0), (1, 4)):
        valid = document["valid_test_cases"][index]
        document["verify_fail_test_cases"][position] = {
            "sig": valid["expected"],
            "key_indices": valid["key_indices"],
            "nonce_indices": valid["nonce_indices"],
            "msg_index": valid["msg_index"],
            "signer_index": 0,
        }
    result = check_file(_write(tmp_path, document))
    wrong = [case.case for case in result.cases if case.outcome is Outcome.MISMATCH]
    assert wrong == ["verify_fail_test_cases[0]", "verify_fail_test_cases[1]"]


def _only_mismatch(path: Path) -> str:
    wrong = [case for case in check_file(path).cases if case.outcome is Outcome.MISMATCH]
    assert len(wrong) == 1
    return wrong[0].detail


def test_values_that_fit_the_signature_but_not_one_another(tmp_path: Path) -> None:
    document = _load("sign_verify")
    document["valid_test_cases"][0]["nonce_indices"] = [0, 1, 3]
    assert "not the sum of the public nonces" in _only_mismatch(_write(tmp_path, document))
    document = _load("tweak")
    document["valid_test_cases"][1]["signer_index"] = 1
    assert "not one of signer 1" in _only_mismatch(_write(tmp_path, document))
    document = _load("sig_agg")
    document["valid_test_cases"][0]["nonce_indices"] = [0, 2]
    assert "not the sum" in _only_mismatch(_write(tmp_path, document))
    document = _load("sig_agg")
    for entries, key in ((document["psigs"], 0), (document["valid_test_cases"][0], "expected")):
        entries[key] = entries[key][:-1] + f"{(int(entries[key][-1], 16) + 1):X}"
    assert "not valid for the aggregate key" in _only_mismatch(_write(tmp_path, document))


def test_cases_of_the_same_form_that_no_file_has(tmp_path: Path) -> None:
    """Errors by the rule, not by the file: every one of these is what the BIP says, none is in its files."""
    document = _load("sign_verify")
    first = document["secnonces"][0]
    order = "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141"
    document["secnonces"] += [
        order + first[64:],
        first[:64] + "00" * 32 + first[128:],
        first[:128] + document["pubkeys"][1],
    ]
    messages = [
        "first secnonce value is out of range.",
        "second secnonce value is out of range.",
        "Public key does not match nonce_gen argument",
    ]
    document["sign_error_test_cases"] += [
        {
            "key_indices": [0, 1, 2],
            "aggnonce_index": 0,
            "msg_index": 0,
            "secnonce_index": 2 + position,
            "error": {"type": "value", "message": message},
        }
        for position, message in enumerate(messages)
    ]
    result = check_file(_write(tmp_path, document))
    assert result.count(Outcome.MISMATCH) == 0
    assert result.count(Outcome.OK) == 18
    wrong_length = _load("key_agg")
    wrong_length["pubkeys"].append("0203")
    wrong_length["tweaks"].append("0203")
    wrong_length["error_test_cases"] += [
        {
            "key_indices": [0, 1, 7],
            "tweak_indices": [],
            "is_xonly": [],
            "error": {"type": "invalid_contribution", "signer": 2, "contrib": "pubkey"},
        },
        {
            "key_indices": [0, 1],
            "tweak_indices": [2],
            "is_xonly": [True],
            "error": {"type": "value", "message": "The tweak must be a 32-byte array."},
        },
    ]
    assert check_file(_write(tmp_path, wrong_length)).count(Outcome.OK) == 11


def test_nonce_generation_that_the_library_refuses(tmp_path: Path) -> None:
    document = _load("nonce_gen")
    case = document["test_cases"][0]
    document["test_cases"] = [
        {**case, "rand_": "00" * 32},
        {**case, "aggpk": "FF" * 32},
        {**case, "extra_in": "0101"},
        {**case, "pk": "02" + "FF" * 32},
        {**case, "sk": "00" * 32},
    ]
    result = check_file(_write(tmp_path, document))
    assert [case.outcome for case in result.cases] == [Outcome.MISMATCH] * 5


MALFORMED: list[tuple[str, str, Any, str]] = [
    ("key_agg", "pubkeys", None, "lacks 'pubkeys'"),
    ("key_agg", "valid_test_cases[0].key_indices", None, "lacks 'key_indices'"),
    ("key_agg", "valid_test_cases[0].expected", "xyz!", "is not hex"),
    ("key_agg", "valid_test_cases[0].expected", "ABC", "is not hex"),
    ("key_agg", "valid_test_cases[0].expected", "AB CD", "is not hex"),
    ("key_agg", "valid_test_cases[0].key_indices[1]", 99, "points to pubkeys[99], but there are 7"),
    ("key_agg", "valid_test_cases[0].key_indices[1]", -1, "is negative"),
    ("key_agg", "valid_test_cases[0].key_indices[1]", True, "not a whole number"),
    ("key_agg", "valid_test_cases[0].key_indices[1]", 1.5, "not a whole number"),
    ("key_agg", "valid_test_cases[0].key_indices", "01", "is a string, not a list"),
    ("key_agg", "valid_test_cases[1]", 7, "is a number, not an object"),
    ("key_agg", "valid_test_cases", {}, "is an object, not a list"),
    ("key_agg", "valid_test_cases[0].comment", 7, "is a number, not a string"),
    ("key_agg", "error_test_cases[0].error", None, "lacks 'error'"),
    ("key_agg", "error_test_cases[0].error.type", "odd", "neither"),
    ("key_agg", "error_test_cases[0].error.signer", "one", "not a whole number"),
    ("key_agg", "error_test_cases[3].is_xonly[0]", 1, "not true or false"),
    ("key_agg", "error_test_cases[3].tweak_indices[0]", 2, "points to tweaks[2]"),
    ("key_sort", "sorted_pubkeys", [], "has 0 keys for 6"),
    ("key_sort", "pubkeys[0]", "zz", "is not hex"),
    ("nonce_agg", "valid_test_cases[0].pnonce_indices[0]", 7, "points to pnonces[7]"),
    ("nonce_agg", "pnonces", None, "lacks 'pnonces'"),
    ("nonce_gen", "test_cases[0].rand_", "00", "has 1 bytes instead of 32"),
    ("nonce_gen", "test_cases[1].msg", 5, "is a number, not a string"),
    ("nonce_gen", "test_cases[1].expected_pubnonce", None, "lacks 'expected_pubnonce'"),
    ("sign_verify", "sk", "00", "has 1 bytes instead of 32"),
    ("sign_verify", "sk", None, "lacks 'sk'"),
    ("sign_verify", "secnonces", [], "is empty"),
    ("sign_verify", "secnonces[0]", "00", "has 1 bytes instead of 97"),
    ("sign_verify", "secnonces", None, "lacks 'secnonces'"),
    ("sign_verify", "valid_test_cases[0].signer_index", 3, "out of range"),
    ("sign_verify", "valid_test_cases[0].msg_index", 3, "points to msgs[3]"),
    ("sign_verify", "valid_test_cases[0].nonce_indices", [0], "has 1 entries for 3 keys"),
    ("sign_verify", "verify_fail_test_cases[0].signer_index", 3, "out of range"),
    ("sign_verify", "verify_error_test_cases[0].nonce_indices", [0], "has 1 entries for 3 keys"),
    ("sign_verify", "sign_error_test_cases[0].secnonce_index", 2, "points to secnonces[2]"),
    ("tweak", "secnonce", None, "lacks 'secnonce'"),
    ("tweak", "valid_test_cases[0].tweak_indices", [5], "points to tweaks[5]"),
    ("tweak", "msg", None, "lacks 'msg'"),
    ("sig_agg", "psigs", None, "lacks 'psigs'"),
    ("sig_agg", "valid_test_cases[0].psig_indices", [9], "points to psigs[9]"),
    ("sig_agg", "valid_test_cases[0].aggnonce", "0q", "is not hex"),
    ("det_sign", "valid_test_cases[0].expected", ["00"], "has 1 entries"),
    ("det_sign", "valid_test_cases[0].rand", "00", "has 1 bytes instead of 32"),
    ("det_sign", "valid_test_cases[0].tweaks", None, "lacks 'tweaks'"),
]


def _set(document: Any, path: str, value: Any) -> None:
    *parents, last = path.replace("]", "").replace("[", ".").split(".")
    for part in parents:
        document = document[int(part)] if isinstance(document, list) else document[part]
    if isinstance(document, list):
        document[int(last)] = value
    elif value is None:
        del document[last]
    else:
        document[last] = value


@pytest.mark.parametrize(("name", "place", "value", "says"), MALFORMED)
def test_malformed_files_name_the_place(
    name: str, place: str, value: Any, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = _load(name)
    _set(document, place, value)
    path = _write(tmp_path, document)
    assert cli.main(["vectors", "check", str(path)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert says in captured.err
    assert str(path) in captured.err
    if value is not None:
        assert re.split(r"[.\[]", place)[0] in captured.err


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is not JSON"),
        ("{", "is not JSON"),
        ("[]", "is a list, not an object"),
        ("3", "is a number, not an object"),
        ("null", "is null, not an object"),
        ("{}", "no known form"),
        ('{"a": 1}', "no known form"),
        ('{"test_cases": []}', "no known form"),
        ('{"test_cases": [{"x": 1}]}', "no known form"),
        ('{"pubkeys": [], "pubkeys": []}', "stands twice"),
        ('{"pubkeys": [], "sorted_pubkeys": []}', "is empty"),
        ('{"pnonces": [], "valid_test_cases": [], "error_test_cases": []}', "no case"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a": ' + "9" * 10_000 + "}", "limit"),
    ],
)
def test_files_that_are_none(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        check_file(_write(tmp_path, text))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def _places(node: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from _places(value, (*path, key))


ODD: list[Any] = [
    None,
    True,
    -1,
    0,
    1,
    2,
    10**30,
    1.5,
    "",
    "0",
    "00",
    "zz",
    "\ud800",
    "a\nb",
    [],
    [[]],
    [0],
    {},
    {"type": "value"},
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_change_of_a_file_is_a_crash(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Any value anywhere replaced by an odd one: checked, or refused in one line, and each case is one line."""
    chance = random.Random(path.name)
    document = json.loads(path.read_text())
    places = list(_places(document))
    for _ in range(60):
        changed = copy.deepcopy(document)
        *parents, last = chance.choice(places)
        target = changed
        for part in parents:
            target = target[part]
        target[last] = chance.choice([*ODD, bytes(chance.randrange(100)).hex(), "FF" * chance.choice([32, 33, 66, 97])])
        code = cli.main(["vectors", "check", str(_write(tmp_path, changed))])
        captured = capsys.readouterr()
        assert code in (0, 1, 2)
        assert captured.err.count("\n") == (code == 2)
        if code < 2:
            cases = [line for line in captured.out.splitlines() if re.match(r"  \w+(\[\d+\])?: ", line)]
            assert len(cases) + 3 == len(captured.out.splitlines())


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00")
    for path, says in ((tmp_path / "none", "cannot be read"), (tmp_path, "cannot be read"), (binary, "not UTF-8")):
        with pytest.raises(InputError, match=says):
            check_file(path)


def test_a_form_is_recognised_without_any_one_of_its_keys(tmp_path: Path) -> None:
    """A file that lacks a field is a malformed one of its form, not of an unknown or another form."""
    for name in ("key_agg", "sign_verify", "tweak", "sig_agg", "det_sign"):
        for key in _load(name):
            document = _load(name)
            del document[key]
            with pytest.raises(InputError, match=f"lacks '{key}'"):
                check_file(_write(tmp_path, document))


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.json"
    files = [str(path) for path in BIP327]
    assert cli.main(["vectors", "check", *files, "--json", str(out)]) == 0
    captured = capsys.readouterr()
    assert "6 file(s): 38 ok, 0 mismatched, 4 not reproducible" in captured.out
    assert captured.out.count("not reproducible: ") == 4
    written = json.loads(out.read_text())
    assert [entry["file"] for entry in written["files"]] == files
    assert written["errors"] == []
    assert sum(entry["counts"]["ok"] for entry in written["files"]) == 38

    document = _load("key_agg")
    document["valid_test_cases"][0]["expected"] = "00" * 32
    changed = str(_write(tmp_path, document))
    assert cli.main(["vectors", "check", changed, files[0]]) == 1
    assert "valid_test_cases[0]: MISMATCH: expected 0000" in capsys.readouterr().out

    missing = str(tmp_path / "missing.json")
    assert cli.main(["vectors", "check", missing, changed, files[0], "--json", str(out)]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert "missing.json: cannot be read" in captured.err
    written = json.loads(out.read_text())
    assert len(written["files"]) == 2
    assert written["errors"][0]["place"] == missing

    assert cli.main(["vectors", "check", files[0], "--json", str(tmp_path / "no" / "where.json")]) == 2
    assert "cannot be written" in capsys.readouterr().err
