"""The published commitments of zero-fee taproot channels: as they are, altered in every value, and broken."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from superscalar_ref import cli
from superscalar_ref.bitcoin.sighash import SigHash, taproot_sighash
from superscalar_ref.bitcoin.taproot import p2tr_script, tap_leaf
from superscalar_ref.bitcoin.transaction import TxOutput, from_hex, with_witness
from superscalar_ref.conformance.results import Outcome
from superscalar_ref.conformance.vectors import check_file
from superscalar_ref.errors import InputError
from superscalar_ref.realise.channel import derive_secret
from superscalar_ref.signing import musig
from superscalar_ref.signing.keys import SecretKey
from tests.bitcoin.core import core_accepts

FILE = Path(__file__).parent.parent / "vectors" / "bolt-zero-fee-taproot" / "commitments.json"
DOCUMENT = json.loads(FILE.read_text())
CASES = len(DOCUMENT["tests"])
# These enter no byte: an id only tells two HTLCs apart, a name is a comment.
FREE = {"name", "id"}
Place = tuple[str | int, ...]


def _check(document: Any, folder: Path) -> list[Outcome]:
    path = folder / "changed.json"
    path.write_text(json.dumps(document))
    return [case.outcome for case in check_file(path).cases]


def _changed(path: Place, change: Callable[[Any], Any]) -> Any:
    document = copy.deepcopy(DOCUMENT)
    target = document
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = change(target[path[-1]])
    return document


def _leaves(value: Any, path: Place = ()) -> Iterator[tuple[Place, Any]]:
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            yield from _leaves(item, (*path, key))
    else:
        yield path, value


def _trimmed(path: Place) -> bool:
    """Whether a path leads into an HTLC below its dust limit: of it, only the amount matters."""
    if len(path) < 5 or path[0] != "tests":
        return False
    case = DOCUMENT["tests"][path[1]]
    return bool(case[path[2]][path[3]]["amount_msat"] // 1000 < case["dust_limit_satoshis"])


def test_the_published_file() -> None:
    result = check_file(FILE)
    assert result.form == "BOLT zero-fee taproot commitments"
    assert [case.outcome for case in result.cases] == [Outcome.OK] * 4
    assert [case.detail for case in result.cases] == [
        "commitment byte for byte",
        "commitment and 6 second stages byte for byte",
        "commitment and 4 second stages byte for byte",
        "commitment and 3 second stages byte for byte",
    ]
    assert [case.comment for case in result.cases] == [case["name"] for case in DOCUMENT["tests"]]


NUMBERS = [
    path
    for path, value in _leaves(DOCUMENT)
    if isinstance(value, int)
    and path[-1] not in {*FREE, "dust_limit_satoshis"}
    and not (_trimmed(path) and path[-1] == "cltv_expiry")
]
TEXTS = [
    path
    for path, value in _leaves(DOCUMENT)
    if isinstance(value, str)
    and path[-1] not in FREE
    and not (_trimmed(path) and path[-1] == "payment_hash")
    and "signed" not in str(path)
]
SIGNED = [path for path, value in _leaves(DOCUMENT) if isinstance(value, str) and "signed" in str(path)]


@pytest.mark.parametrize("path", NUMBERS, ids=str)
@pytest.mark.parametrize("step", [1, -1])
def test_every_changed_number_is_a_mismatch(path: Place, step: int, tmp_path: Path) -> None:
    outcomes = _check(_changed(path, lambda value: value + step), tmp_path)
    if path[0] == "tests":
        assert [outcome is Outcome.MISMATCH for outcome in outcomes] == [n == path[1] for n in range(CASES)]
    else:
        assert outcomes == [Outcome.MISMATCH] * CASES


def _flip(text: str, at: int) -> str:
    return text[:at] + ("1" if text[at] == "0" else "0") + text[at + 1 :]


@pytest.mark.parametrize("path", TEXTS, ids=str)
@pytest.mark.parametrize("place", ["last", "middle"])
def test_every_changed_digit_is_a_mismatch(path: Place, place: str, tmp_path: Path) -> None:
    outcomes = _check(_changed(path, lambda text: _flip(text, -1 % len(text) if place == "last" else 40)), tmp_path)
    assert Outcome.MISMATCH in outcomes
    if path[0] == "tests":
        assert outcomes.count(Outcome.MISMATCH) == 1


@pytest.mark.parametrize("path", SIGNED, ids=str)
def test_every_changed_byte_of_a_transaction_is_a_mismatch(path: Place, tmp_path: Path) -> None:
    text = DOCUMENT["tests"][path[1]][path[2]]
    text = text if isinstance(text, str) else text[path[3]]
    # One digit in 61: over all transactions, every field is met.
    for at in range(len(path) * 7, len(text), 61):
        outcomes = _check(_changed(path, partial(_flip, at=at)), tmp_path)
        assert outcomes.count(Outcome.MISMATCH) == 1, at


def test_a_case_says_what_differs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = copy.deepcopy(DOCUMENT)
    first, second, third, fourth = document["tests"]
    first["to_local_msat"] += 1000
    first["to_remote_msat"] -= 1000
    second["dust_limit_satoshis"] = 5001
    third["signed_htlc_success_txs"].reverse()
    fourth["signed_htlc_timeout_txs"].pop()
    path = tmp_path / "changed.json"
    path.write_text(json.dumps(document))
    assert cli.main(["vectors", "check", str(path)]) == 1
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  tests[")]
    for line, said in zip(
        lines,
        [
            "signed_commit_tx: amount of output 1: expected 2000000, computed 1999999",
            "signed_commit_tx: number of outputs: expected 9, computed 6",
            "signed_htlc_success_txs[0]: input: ",
            "signed_htlc_timeout_txs: 1 in the file, 2 computed",
        ],
        strict=True,
    ):
        assert "MISMATCH" in line
        assert said in line


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("funding_txid",), "00", "funding_txid: has 1 bytes instead of 32"),
        (("funding_index",), "1", "funding_index: is a string, not a whole number"),
        (("commitment_number",), -1, "commitment_number: -1 is negative"),
        (("to_self_delay",), 1.5, "to_self_delay: is a number, not a whole number"),
        (("per_commitment_point",), "02", "per_commitment_point: has 1 bytes instead of 33"),
        (("local_htlc_basepoint_secret",), None, "local_htlc_basepoint_secret: is null, not a string"),
        (("payment_hash_to_preimage",), [], "payment_hash_to_preimage: is a list, not an object"),
        (("payment_hash_to_preimage",), {"00": "00"}, "payment_hash_to_preimage: has 1 bytes instead of 32"),
        (("tests",), {}, "tests: is an object, not a list"),
        (("tests", 0, "to_local_msat"), True, "tests[0].to_local_msat: is a truth value"),
        (("tests", 0, "signed_commit_tx"), "zz", "tests[0].signed_commit_tx: 'zz' is not hex"),
        (("tests", 1, "incoming_htlcs"), 3, "tests[1].incoming_htlcs: is a number, not a list"),
        (("tests", 1, "outgoing_htlcs", 0, "cltv_expiry"), [], "tests[1].outgoing_htlcs[0].cltv_expiry"),
        (("tests", 3, "local_secret_nonce"), "00" * 96, "tests[3].local_secret_nonce: has 96 bytes instead of 97"),
        (("tests", 3, "signed_htlc_success_txs", 0), 0, "tests[3].signed_htlc_success_txs[0]: is a number"),
    ],
    ids=str,
)
def test_malformed_files_are_one_error_that_names_the_place(
    path: Place, value: Any, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = tmp_path / "changed.json"
    changed.write_text(json.dumps(_changed(path, lambda _: value)))
    assert cli.main(["vectors", "check", str(changed)]) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.err.count("\n") == 1
    assert "ok" not in captured.out


FIELDS = [path for path, _ in _leaves(DOCUMENT) if isinstance(path[-1], str) and path[0] != "payment_hash_to_preimage"]


@pytest.mark.parametrize("path", FIELDS, ids=str)
def test_every_missing_field_is_named(path: Place, tmp_path: Path) -> None:
    document = copy.deepcopy(DOCUMENT)
    target = document
    for key in path[:-1]:
        target = target[key]
    del target[path[-1]]
    with pytest.raises(InputError, match=f"lacks '{path[-1]}'"):
        _check(document, tmp_path)


def test_lists_of_htlcs_that_are_absent_are_empty(tmp_path: Path) -> None:
    document = copy.deepcopy(DOCUMENT)
    first = document["tests"][0]
    first.update(incoming_htlcs=[], outgoing_htlcs=[], signed_htlc_success_txs=[], signed_htlc_timeout_txs=[])
    assert _check(document, tmp_path) == [Outcome.OK] * CASES


def test_a_preimage_is_missing(tmp_path: Path) -> None:
    document = copy.deepcopy(DOCUMENT)
    del document["payment_hash_to_preimage"][DOCUMENT["tests"][3]["incoming_htlcs"][1]["payment_hash"]]
    assert _check(document, tmp_path) == [Outcome.OK] * 3 + [Outcome.MISMATCH]


def test_a_file_with_no_case_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="but no case"):
        _check({**DOCUMENT, "tests": []}, tmp_path)


def test_other_randomness_in_signatures_is_accepted_and_said(tmp_path: Path) -> None:
    document = copy.deepcopy(DOCUMENT)
    case = document["tests"][3]
    text = case["signed_htlc_success_txs"][0]
    signed = from_hex(text)
    point = bytes.fromhex(DOCUMENT["per_commitment_point"])
    holder = derive_secret(SecretKey(bytes.fromhex(DOCUMENT["local_htlc_basepoint_secret"])), point)
    other = derive_secret(SecretKey(bytes.fromhex(DOCUMENT["remote_htlc_basepoint_secret"])), point)
    spent = [from_hex(case["signed_commit_tx"]).outputs[signed.inputs[0].index]]
    stack = signed.witnesses[0]
    leaf = tap_leaf(stack[3])
    theirs = taproot_sighash(signed, 0, spent, SigHash.SINGLE_ANYONECANPAY, leaf)
    mine = taproot_sighash(signed, 0, spent, SigHash.DEFAULT, leaf)
    stack = (other.sign(theirs) + b"\x83", holder.sign(mine), *stack[2:])
    case["signed_htlc_success_txs"][0] = with_witness(signed, 0, stack).hex
    path = tmp_path / "changed.json"
    path.write_text(json.dumps(document))
    result = check_file(path).cases[3]
    assert result.outcome is Outcome.OK
    assert "but for 2 signatures of second stages, which are valid with other randomness" in result.detail


def test_core_accepts_every_published_transaction() -> None:
    keys = [SecretKey(bytes.fromhex(DOCUMENT[f"{side}_funding_priv"])).public for side in ("local", "remote")]
    funding = TxOutput(DOCUMENT["funding_amount_satoshis"], p2tr_script(musig.aggregate(keys).taproot().x_only))
    for case in DOCUMENT["tests"]:
        commitment = from_hex(case["signed_commit_tx"])
        assert core_accepts(commitment, 0, [funding])
        for text in (*case.get("signed_htlc_success_txs", ()), *case.get("signed_htlc_timeout_txs", ())):
            second = from_hex(text)
            assert core_accepts(second, 0, [commitment.outputs[second.inputs[0].index]])
