"""The main job on small factories of many shapes: it holds, it reports honestly, and it fails when something is off."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from superscalar_ref.chain.interface import Mined
from superscalar_ref.chain.kernel import KernelLedger
from superscalar_ref.cli import main
from superscalar_ref.errors import ChainError
from superscalar_ref.parties.actor import Outbox
from superscalar_ref.parties.lsp import LspActor
from superscalar_ref.report.result import VerifyResult
from superscalar_ref.verify import run as runs
from superscalar_ref.verify.end import End, live_to_the_end
from superscalar_ref.verify.example import load_example
from superscalar_ref.verify.run import verify
from superscalar_ref.verify.sales import Sales, sell_and_poison

CLIENTS = ("ann", "ben", "cat", "dan", "eve")


def example(
    tmp_path: Path, arity: str, clients: int, *, static: int = 0, leaf_k: int = 1, balances: tuple[int, ...] = ()
) -> Path:
    """Write an example of so many clients; amounts differ, so that a swap would show."""
    rows = []
    for number, name in enumerate(CLIENTS[:clients]):
        balance = balances[number] if number < len(balances) else 20_000 + 1_000 * number
        reserve = 15_000 if number % 2 == 0 else 0
        rows.append(
            f'[[clients]]\nname = "{name}"\nbalance_sat = {balance}\n'
            f"inbound_sat = {50_000 + 3_000 * number}\nreserve_sat = {reserve}\n"
        )
    path = tmp_path / "small.toml"
    path.write_text(
        '[factory]\nname = "small"\nlsp = "lsp"\nstart_height = 110\n'
        f"[shape]\narity = {arity}\nstatic = {static}\nleaf_k = {leaf_k}\n" + "".join(rows),
        encoding="utf-8",
    )
    return path


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[Sales, End]:
    """The two scenarios that bring a shape of their own: they are the same whatever the example's shape is."""
    path = example(tmp_path_factory.mktemp("once"), "[2]", 2)
    return tuple(play(load_example(path), lambda words: None) for play in (sell_and_poison, live_to_the_end))  # type: ignore[return-value]


@pytest.fixture(autouse=True)
def once(played: tuple[Sales, End], monkeypatch: pytest.MonkeyPatch) -> None:
    """Every run of this file shares them."""
    monkeypatch.setattr(runs, "sell_and_poison", lambda chosen, progress: played[0])
    monkeypatch.setattr(runs, "live_to_the_end", lambda chosen, progress: played[1])


def run(path: Path) -> VerifyResult:
    return verify(path, lambda words: None, lambda check: None)


SHAPES = {
    "one client": ("[2]", 1, 0, 1),
    "two clients": ("[2]", 2, 0, 1),
    "a ragged tree": ("[2]", 3, 0, 1),
    "a static top": ("[2, 2]", 3, 1, 1),
    "a ragged shared leaf": ("[2]", 5, 0, 2),
}


@pytest.mark.parametrize("what", SHAPES)
def test_every_shape_holds(what: str, tmp_path: Path) -> None:
    arity, clients, static, leaf_k = SHAPES[what]
    result = run(example(tmp_path, arity, clients, static=static, leaf_k=leaf_k))
    assert result.failed() == ()
    assert result.passed
    assert len(result.exits) == clients
    assert {verdict.as_expected for verdict in result.transactions} == {True}
    assert any(not verdict.accepted for verdict in result.transactions)
    assert result.races
    # Leaf mates are dragged on chain, and nobody else.
    leaves = {exit_.client: set(exit_.dragged) | {exit_.client} for exit_ in result.exits}
    assert all(leaves[mate] == leaf for leaf in leaves.values() for mate in leaf)
    assert sum(len(leaf) for leaf in {frozenset(leaf) for leaf in leaves.values()}) == clients
    assert {len(leaf) for leaf in leaves.values()} <= ({1} if leaf_k == 1 else {1, 2, 3, 4})


def test_a_client_that_owns_nothing_yet(tmp_path: Path) -> None:
    result = run(example(tmp_path, "[2]", 2, balances=(0, 20_000)))
    assert result.passed, result.failed()
    assert result.exits[0].owed_sat == result.exits[0].owned_sat == 0


def test_editing_the_example_changes_the_run(tmp_path: Path) -> None:
    path = example(tmp_path, "[2]", 1)
    before = run(path)
    path.write_text(path.read_text().replace("balance_sat = 20000", "balance_sat = 31000"))
    after = run(path)
    assert before.exits[0].owed_sat == 20_000
    assert after.exits[0].owed_sat == 31_000
    assert after.exits[0].owned_sat - before.exits[0].owned_sat == 11_000


def test_the_command_writes_page_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, page, result = example(tmp_path, "[2]", 2), tmp_path / "r" / "index.html", tmp_path / "v" / "v.json"
    assert main(["verify", str(path), "--json", str(result), "--report", str(page)]) == 0
    read = VerifyResult.from_json(json.loads(result.read_text()))
    assert read.passed
    assert read.example == "small.toml"
    assert "checks hold" in capsys.readouterr().out
    assert "<html" in page.read_text()


@contextmanager
def swallowed_refusals(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A ledger that says yes to whatever it is only asked about: every refusal check must notice."""

    class Yes:
        accepted = True
        said = "valid"
        height = 1

    with monkeypatch.context() as patch:
        patch.setattr(KernelLedger, "would_accept", lambda self, transactions: Yes())
        yield


def test_a_chain_that_refuses_nothing_fails_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = example(tmp_path, "[2]", 2)
    with swallowed_refusals(monkeypatch):
        result = run(path)
    assert not result.passed
    failed = {check.id for check in result.failed()}
    assert {"refusals/changed-amount", "refusals/others-alone", "chain/verdicts"} <= failed


def test_a_chain_that_refuses_a_commitment_fails_that_exit_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = example(tmp_path, "[2]", 2)
    mine = KernelLedger.mine

    def moody(self: KernelLedger, transactions: Sequence[bytes] = ()) -> Mined:
        if len(transactions) == 2:
            raise ChainError("a made-up reason", self.height + 1)
        return mine(self, transactions)

    monkeypatch.setattr(KernelLedger, "mine", moody)
    code = main(["verify", str(path), "--report", str(tmp_path / "page.html")])
    assert code == 1
    out = capsys.readouterr().out
    assert "a made-up reason" in out
    assert "exit/ann" in out


def test_a_close_that_nobody_signs_fails_the_run_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LspActor, "close", lambda self: Outbox())
    result = run(example(tmp_path, "[2]", 1))
    close = next(check for check in result.checks if check.id == "close/together")
    assert not result.passed
    assert not close.passed
    assert "not signed" in close.detail
