"""``superscalar-ref kit``: from a store on disk to money at rest, with nothing but the file; bad files are one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from superscalar_ref.chain.interface import TxOut
from superscalar_ref.chain.kernel import KernelLedger
from superscalar_ref.chain.record import write_chain
from superscalar_ref.cli import main
from superscalar_ref.parties.watch import Watcher
from tests.parties.scene import COIN, WALLET_SCRIPT, coin, identity, scene

ME = "c1"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A client's store and seed, and the chain on which its factory is active."""
    directory = tmp_path_factory.mktemp("kit")
    (directory / "stores").mkdir()
    ledger = KernelLedger.start([TxOut(COIN, WALLET_SCRIPT)])
    point = ledger.funds[0]
    play = scene(2, coins=(coin(point.txid[::-1].hex(), point.index),), directory=directory / "stores").ceremony()
    play.wire.post(play.lsp.name, play.lsp.fund())
    ledger.mine([play.wire.broadcasts.pop().serialized])
    ledger.advance(play.limits.depth - 1)
    for actor in play.actors.values():
        Watcher(actor, ledger).look()
        actor.store.close()
    write_chain(directory / "chain.jsonl", ledger)
    (directory / "seed").write_text(identity(ME).seed.hex() + "\n")
    assert main(["kit", "export", *source(directory), "--out", str(directory / "kit.json"), "--height", "103"]) == 0
    return directory


def source(home: Path) -> list[str]:
    return [str(home / "stores" / f"{ME}.sqlite"), "--seed", str(home / "seed")]


def test_check_then_exit_from_the_file_alone(home: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    kit, chain = str(home / "kit.json"), str(home / "chain.jsonl")
    assert main(["kit", "check", kit]) == 0
    said = capsys.readouterr().out
    assert "complete: Bitcoin Core's code accepts" in said
    assert "NOT VALID" not in said
    after = tmp_path / "after.jsonl"
    assert main(["kit", "exit", kit, "--chain", chain, "--current", "--json", "--out", str(after)]) == 0
    story = json.loads(capsys.readouterr().out)
    assert (story["out"], story["status"], story["age"]) == (True, "swept", "current")
    # The chain goes on in another process: the kit finds its money at rest, and has nothing to do.
    assert main(["kit", "exit", kit, "--chain", str(after), "--current"]) == 0
    assert "0 transactions" in capsys.readouterr().out


def test_an_incomplete_kit_is_not_ok(home: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    document = json.loads((home / "kit.json").read_text())
    del document["signatures"]["state:r@0"]
    path = tmp_path / "kit.json"
    path.write_text(json.dumps(document))
    assert main(["kit", "check", str(path), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert [fault["place"] for fault in report["faults"]] == ["signatures.state:r@0"]
    assert [step["name"] for step in report["path"] if not step["valid"]] == ["state:r@0"]


def test_bad_files_are_one_line(home: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    kit, chain = str(home / "kit.json"), (home / "chain.jsonl").read_text().splitlines()
    empty, text, cut, gap, forged = (tmp_path / name for name in ("empty", "text", "cut", "gap", "forged"))
    empty.write_text("")
    text.write_text("not a kit\n")
    cut.write_text("\n".join(chain[:5])[:-40])
    gap.write_text("\n".join(chain[:5] + chain[6:]))
    short = tmp_path / "short"
    short.write_text("\n".join(chain[:5]))
    row = json.loads(chain[4])
    forged.write_text("\n".join([*chain[:4], json.dumps({**row, "block": row["block"][:-8] + "00000001"})]))
    wrong_seed = tmp_path / "seed"
    wrong_seed.write_text("11" * 32)
    store = source(home)[0]
    cases: list[tuple[list[str], str]] = [
        (["check", str(tmp_path / "none")], "No such file"),
        (["check", str(empty)], "is not JSON"),
        (["check", store], "is not JSON"),
        (["exit", kit, "--chain", str(empty)], "holds no block"),
        (["exit", kit, "--chain", str(text)], f"{text}:1: is not"),
        (["exit", kit, "--chain", str(cut)], f"{cut}:5: is not"),
        (["exit", kit, "--chain", str(gap)], "block 6 is expected"),
        (["exit", kit, "--chain", str(forged)], f"{forged}:5: Core refuses the block"),
        (["exit", kit, "--chain", str(short)], "does not hold the funding transaction"),
        (["exit", kit, "--chain", str(home / "chain.jsonl"), "--shown", str(text)], "is not hex"),
        (["export", str(text), *source(home)[1:], "--out", str(tmp_path / "x")], "cannot be opened as a store"),
        (["export", store, "--seed", str(text), "--out", str(tmp_path / "x")], "is not hex"),
        (["export", store, "--seed", str(wrong_seed), "--out", str(tmp_path / "x")], "is not that of c1"),
        (["export", store.replace("c1", "L"), *source(home)[1:], "--out", str(tmp_path / "x")], "no client's life"),
    ]
    for arguments, says in cases:
        assert main(["kit", *arguments]) == 2, arguments
        caught = capsys.readouterr()
        assert caught.err.count("\n") == 1
        assert says in caught.err
    assert not (tmp_path / "x").exists()
