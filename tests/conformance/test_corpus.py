"""Our own vectors: what is committed is whole, true, and told from lies."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from superscalar_ref import cli
from superscalar_ref.conformance import corpus, kit
from superscalar_ref.conformance.adapter import TableAdapter, reference_machines
from superscalar_ref.conformance.bip327_arithmetic import nonce_gen
from superscalar_ref.conformance.cases import NOTES
from superscalar_ref.conformance.functions import CODES, FUNCTIONS, Rejected, evaluate
from superscalar_ref.conformance.judge import Verdict, greet
from superscalar_ref.conformance.liars import HABITS, unmask
from superscalar_ref.conformance.mutants import mutants
from superscalar_ref.conformance.runner import LocalRunner
from superscalar_ref.errors import InputError
from superscalar_ref.protocol.strategy import load_strategy
from superscalar_ref.signing.keys import SecretKey
from superscalar_ref.spec.location import spec_directory

VECTORS = spec_directory() / "vectors"
LOADER = Path(__file__).parent / "loader.mjs"
SMALL = ("session", "watchtower")
"""Tables whose vectors are made in no time."""


@pytest.mark.parametrize("path", sorted(VECTORS.glob("*.json")), ids=lambda path: path.name)
def test_every_file_has_the_form_of_its_schema(path: Path) -> None:
    assert corpus.read_tests(path)["tests"]


@pytest.fixture(scope="module")
def tests() -> list[dict[str, Any]]:
    return kit.load_tests()


@pytest.fixture
def small_spec(tmp_path: Path) -> Path:
    """A copy of spec/ with the smallest tables alone."""
    copy = tmp_path / "spec"
    for name in ("machines", "vectors/seeds"):
        (copy / name).mkdir(parents=True)
        for machine in SMALL:
            shutil.copy(spec_directory() / name / f"{machine}.toml", copy / name)
    return copy


def _limit_to_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "topics", tuple)
    monkeypatch.setattr(corpus, "stories", tuple)


# -- what is committed -------------------------------------------------------------------------------------------------


def test_there_are_more_negative_tests_than_positive_ones(tests: list[dict[str, Any]]) -> None:
    for part, least in (("fn", 20), ("steps", 20), ("story", 3)):
        own = [test for test in tests if part in test]
        negative = sum(test["result"] == "invalid" for test in own)
        assert negative >= len(own) - negative >= least, part


def test_every_kind_of_transaction_is_there_with_its_signature(tests: list[dict[str, Any]]) -> None:
    ids = {test["id"] for test in tests}
    kinds = ("funding", "kickoff-root", "state-root", "leaf-a", "sale-a", "close", "commitment-lsp")
    for name in (*kinds, "alternate-channel-a", "poison-stock-a"):
        assert f"tx-{name}" in ids
        assert name == "funding" or {f"sign-{name}", f"verify-{name}"} <= ids


def test_what_comes_after_a_commitment_is_there_byte_by_byte(tests: list[dict[str, Any]]) -> None:
    """Each with its lock, and the script that it opens where it opens one."""
    named = {test["id"]: test for test in tests}
    locks = {
        slug: (one["lock_time"], one["inputs"][0]["relative_lock_blocks"])
        for slug in ("htlc-timeout", "htlc-success", "sweep", "penalty", "claim-preimage", "claim-expired", "child")
        if (one := named[f"tx-{slug}"]["args"])
    }
    assert locks == {
        "htlc-timeout": (850_000, 0),
        "htlc-success": (0, 0),
        "sweep": (0, 144),
        "penalty": (0, None),
        "claim-preimage": (0, None),
        "claim-expired": (850_000, None),
        "child": (0, None),
    }
    assert {slug for slug in locks if f"sighash-{slug}" not in named} == {"penalty", "child"}
    assert named["sighash-htlc-timeout"]["args"]["hash_type"] == 0x83
    spent = named["tx-child"]["expect"]["ok"]["spent"]
    assert spent[0] == {"amount_sat": 240, "script_pubkey": "51024e73"}


def test_every_code_and_flag_is_registered(tests: list[dict[str, Any]]) -> None:
    codes = json.loads((VECTORS / "about" / "codes.json").read_text())["codes"]
    assert set(CODES) <= set(codes)
    for test in tests:
        expected = [step.get("expect", {}) for step in test.get("steps", [test])]
        assert {one["reject"]["code"] for one in expected if "reject" in one} <= set(codes), test["id"]
        assert set(test["flags"]) <= set(NOTES)


def test_every_function_has_both_kinds_of_vectors(tests: list[dict[str, Any]]) -> None:
    kinds = {(test["fn"], test["result"]) for test in tests if "fn" in test}
    without_negative = {"hash.tagged", "musig.sign"}
    assert kinds >= {(name, "valid") for name in FUNCTIONS}
    assert kinds >= {(name, "invalid") for name in set(FUNCTIONS) - without_negative}


def test_the_reference_passes_every_vector(tests: list[dict[str, Any]]) -> None:
    runner = LocalRunner(TableAdapter(reference_machines()))
    done = kit.run(runner, greet(runner), tests)
    assert [one for one in done.results if one.verdict is not Verdict.PASS] == []
    assert done.exit_code == 0


def test_every_table_has_vectors_of_each_of_its_rows() -> None:
    machines = json.loads((VECTORS / "about" / "coverage.json").read_text())["machines"]
    for name, one in machines.items():
        assert one["seeded"] or name not in reference_machines(), f"no vectors of '{name}': write its seed"
        assert one["rows_never_taken"] == [], name


def test_each_liar_is_caught_by_a_vector_or_is_shown_to_do_the_same(tests: list[dict[str, Any]]) -> None:
    machines = reference_machines()
    found = list(unmask(machines, tests))
    assert len(found) == len(HABITS) + len(load_strategy().rules) + sum(
        len(list(mutants(machine.table))) for machine in machines.values()
    )
    assert len(found) > 1000
    assert [one.liar for one in found if not one.by and not one.argued] == []
    # What does the same can only be another order of two effects; and of those only few do.
    same = [one.liar for one in found if one.argued]
    assert all("/effects-swapped/" in liar for liar in same) and len(same) < len(found) / 30
    machines_missed = json.loads((VECTORS / "about" / "coverage.json").read_text())["machines"].values()
    assert sorted(missed for one in machines_missed for missed in one["missed"]) == sorted(same)


def test_nonces_are_those_of_the_bip(tests: list[dict[str, Any]]) -> None:
    test = next(test for test in tests if test["id"] == "sign-state-root")
    answer = test["expect"]["ok"]
    for signer, expected in zip(test["args"]["signers"], answer["public_nonces"], strict=True):
        secret = bytes.fromhex(signer["secret_key"])
        _, public = nonce_gen(
            bytes.fromhex(signer["randomness"]),
            secret,
            SecretKey(secret).public,
            bytes.fromhex(answer["output_key"]),
            bytes.fromhex(test["args"]["message"]),
            None,
        )
        assert public.hex() == expected


# -- making ------------------------------------------------------------------------------------------------------------


def test_the_same_tables_give_the_same_bytes_and_a_change_is_noticed(
    small_spec: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _limit_to_tables(monkeypatch)
    arguments = ["vectors", "make", "--spec", str(small_spec)]
    assert cli.main(arguments) == 0
    for name in SMALL:
        made = (small_spec / "vectors" / f"{name}.json").read_bytes()
        assert made == (VECTORS / f"{name}.json").read_bytes(), f"spec/vectors/{name}.json is not current"
    assert cli.main([*arguments, "--check"]) == 0
    table = small_spec / "machines" / "session.toml"
    table.write_text(table.read_text().replace('"nothing_on_chain", "spend_is_unrecorded"]', '"nothing_on_chain"]'))
    table.write_text(
        table.read_text().replace(
            'guards = ["attempt_is_newer"]', 'guards = ["attempt_is_newer", "spend_is_unrecorded"]'
        )
    )
    (small_spec / "vectors" / "gone.json").write_text("{}")
    capsys.readouterr()
    assert cli.main([*arguments, "--check"]) == 1
    said = capsys.readouterr().out
    assert "vectors/session.json: differs" in said
    assert "vectors/gone.json: nothing gives it any more" in said
    assert "vectors/watchtower.json" not in said


def test_a_table_without_a_seed_and_an_event_without_a_field_are_said(
    small_spec: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _limit_to_tables(monkeypatch)
    (small_spec / "vectors" / "seeds" / "session.toml").unlink()
    seed = small_spec / "vectors" / "seeds" / "watchtower.toml"
    seed.write_text(seed.read_text().replace("depth = [3, 2]\n", ""))
    assert cli.main(["vectors", "make", "--spec", str(small_spec)]) == 0
    said = capsys.readouterr().out
    assert "session: no seed: no vectors of this table yet" in said
    assert "never taken: WTW-7; lacks: event 'output_spent' carries no 'depth'" in said


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('machine = "watchtower"', 'machine = "client"', "watchtower.toml:2: is not 'watchtower'"),
        ('tower = "T"', "tower = 7", "Expected `str`, got `int`"),
        ("depth = 3", "", "missing required field `depth`"),
        ("height = 40", "height = 40.5", "is neither text, a whole number"),
        ("[[events]]", "[[event]]", "lacks 'events'"),
    ],
)
def test_a_bad_seed_is_one_line(
    small_spec: Path, old: str, new: str, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _limit_to_tables(monkeypatch)
    (small_spec / "machines" / "session.toml").unlink()
    seed = small_spec / "vectors" / "seeds" / "watchtower.toml"
    seed.write_text(seed.read_text().replace(old, new))
    assert cli.main(["vectors", "make", "--spec", str(small_spec)]) == 2
    error = capsys.readouterr().err
    assert said in error.replace("`", "`") and error.count("\n") == 1


# -- reading -----------------------------------------------------------------------------------------------------------


def test_check_reads_our_own_files_and_sees_a_changed_value(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = VECTORS / "session.json"
    assert cli.main(["vectors", "check", str(path)]) == 0
    document = json.loads(path.read_text())
    document["tests"][0]["steps"][0]["expect"]["state"]["nonce"] = 2
    changed = tmp_path / "changed.json"
    changed.write_text(json.dumps(document))
    assert cli.main(["vectors", "check", str(changed)]) == 1
    assert "'nonce' is 1 instead of 2" in capsys.readouterr().out
    document["count"] += 1
    changed.write_text(json.dumps(document))
    assert cli.main(["vectors", "check", str(changed)]) == 2
    del document["tests"][0]["node"]["state"]["status"]
    changed.write_text(json.dumps(document))
    assert cli.main(["vectors", "check", str(changed)]) == 2
    assert "vectors.schema.json" in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed: the second loader is not run")
def test_a_loader_in_another_language_computes_the_same(tmp_path: Path) -> None:
    done = subprocess.run(["node", LOADER, VECTORS], capture_output=True, text=True, check=False)
    said = json.loads(done.stdout)
    assert (done.returncode, said["wrong"]) == (0, [])
    assert said["agreed"]["tx.commitment"] > 10 and said["agreed"]["tlv.stream"] > 15
    assert said["agreed"]["message.to_binary"] > 100 and said["agreed"]["message.from_binary"] > 150
    assert said["agreed"]["tx.build"] > 20 and said["agreed"]["schnorr.verify"] > 30
    assert said["transcripts"] > 400 and said["planned"] > 100 and said["outcomes"] > 10
    document = json.loads((VECTORS / "transactions.json").read_text())
    build = next(test for test in document["tests"] if test["id"] == "tx-leaf-a")
    build["expect"]["ok"]["sighashes"] = ["00" * 32]
    (tmp_path / "transactions.json").write_text(json.dumps(document))
    done = subprocess.run(["node", LOADER, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert json.loads(done.stdout)["wrong"][0].startswith("tx-leaf-a: ")


# -- functions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("dw.no_such", {}, "there is no function"),
        ("dw.nsequence", {"step_blocks": 1, "states": 2}, "index"),
        ("dw.nsequence", {"step_blocks": 1.5, "states": 2, "index": 0}, "float"),
        ("dw.nsequence", [], "Expected `object`"),
        ("hash.tagged", {"tag": "t", "data": "AB"}, "lower-case hex"),
        ("hash.tagged", {"tag": "t", "data": "abc"}, "lower-case hex"),
    ],
)
def test_arguments_of_the_wrong_form_are_no_refusal(name: str, arguments: object, said: str) -> None:
    with pytest.raises(InputError) as error:
        evaluate(name, arguments)
    assert said in str(error.value)


def test_a_refusal_has_a_registered_code(tests: list[dict[str, Any]]) -> None:
    refused = 0
    for test in tests:
        if "fn" in test and "reject" in test["expect"]:
            with pytest.raises(Rejected) as rejected:
                evaluate(test["fn"], test["args"])
            assert rejected.value.code in CODES
            refused += 1
    assert refused > 80
