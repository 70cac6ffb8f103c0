"""Bitcoin Core's code behind our interface: it takes what is right, refuses what is wrong, and says why."""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pbk
import pytest

from superscalar_ref.chain.interface import OutPoint, TxOut, Unspent, Verdict
from superscalar_ref.chain.kernel import SUBSIDY, KernelLedger, verify_input
from superscalar_ref.errors import ChainError, InputError
from tests.chain.wallet import Input, Key, Transaction, cltv_leaf, csv_leaf, pay

A = Key("A")
B = Key("B")
AMOUNT = 100_000
FUNDS = TxOut(AMOUNT, A.script)


@pytest.fixture
def ledger() -> Iterator[KernelLedger]:
    with KernelLedger.start([FUNDS, FUNDS]) as chain:
        yield chain


def spend(ledger: KernelLedger, which: int = 0, **more: int) -> Transaction:
    amount = more.pop("amount", AMOUNT)
    return pay(ledger.funds[which], FUNDS, A, amount, to=B, **more)  # type: ignore[arg-type]


def refusal(ledger: KernelLedger, *transactions: Transaction) -> str:
    """What Core says, after checking that trying and mining agree and that nothing moved."""
    raw = [transaction.raw for transaction in transactions]
    height, unspent = ledger.height, dict(ledger.unspent())
    tried = ledger.would_accept(raw)
    assert not tried.accepted
    with pytest.raises(ChainError) as caught:
        ledger.mine(raw)
    assert caught.value.height == height + 1
    assert caught.value.reason == tried.said
    assert ledger.height == height
    assert ledger.unspent() == unspent
    return tried.code


def test_the_start_pays_what_was_asked(ledger: KernelLedger) -> None:
    assert ledger.height == 100
    assert [ledger.unspent()[point] for point in ledger.funds] == [Unspent(FUNDS, 1)] * 2
    assert sum(coin.output.amount for coin in ledger.unspent().values()) == 2 * AMOUNT


def test_large_outputs_are_shared_among_coinbases() -> None:
    with KernelLedger.start([TxOut(SUBSIDY, A.script)] * 3, height=110) as ledger:
        assert ledger.height == 110
        heights = [ledger.unspent()[point].height for point in ledger.funds]
        assert heights == [1, 2, 3]
        last = pay(ledger.funds[2], TxOut(SUBSIDY, A.script), A, SUBSIDY)
        assert ledger.mine([last.raw]).txids == (last.txid,)


@pytest.mark.parametrize(("amount", "height"), [(SUBSIDY + 1, None), (-1, None), (5, 99)])
def test_a_start_that_cannot_be_is_refused(amount: int, height: int | None) -> None:
    with pytest.raises(ValueError, match="output"):
        KernelLedger.start([TxOut(amount, A.script)], height)


def test_a_signed_spend_confirms(ledger: KernelLedger) -> None:
    tx = spend(ledger, amount=AMOUNT - 300)
    assert ledger.confirmation_height(tx.txid) is None
    mined = ledger.mine([tx.raw])
    assert (mined.height, mined.txids, mined.said) == (101, (tx.txid,), "valid")
    assert ledger.confirmation_height(tx.txid) == 101
    assert ledger.unspent()[tx.point()] == Unspent(TxOut(AMOUNT - 300, B.script), 101)
    assert ledger.funds[0] not in ledger.unspent()


def test_would_accept_changes_nothing_and_tells_the_truth(ledger: KernelLedger) -> None:
    tx = spend(ledger)
    assert ledger.would_accept([tx.raw]) == Verdict(101, "valid")
    assert ledger.would_accept([tx.raw]).accepted
    assert ledger.height == 100
    assert ledger.confirmation_height(tx.txid) is None
    assert ledger.mine([tx.raw]).height == 101


def test_a_damaged_signature(ledger: KernelLedger) -> None:
    assert refusal(ledger, spend(ledger, damaged=True)) == "block-script-verify-flag-failed"


def test_created_value(ledger: KernelLedger) -> None:
    assert refusal(ledger, spend(ledger, amount=AMOUNT + 1)) == "bad-txns-in-belowout"


def test_a_negative_output(ledger: KernelLedger) -> None:
    assert refusal(ledger, spend(ledger, amount=-1)) == "bad-txns-vout-negative"


def test_an_outpoint_spent_twice_in_one_transaction(ledger: KernelLedger) -> None:
    item = Input(ledger.funds[0], FUNDS, A)
    assert refusal(ledger, Transaction((item, item), (FUNDS,))) == "bad-txns-inputs-duplicate"


def test_a_spent_input(ledger: KernelLedger) -> None:
    ledger.mine([spend(ledger).raw])
    assert refusal(ledger, spend(ledger, amount=5)) == "bad-txns-inputs-missingorspent"


def test_a_transaction_that_is_confirmed_already(ledger: KernelLedger) -> None:
    ledger.mine([spend(ledger).raw])
    assert refusal(ledger, spend(ledger)) == "bad-txns-BIP30"


def test_a_lock_time_ends_after_its_height(ledger: KernelLedger) -> None:
    tx = spend(ledger, lock_time=101)
    assert refusal(ledger, tx) == "bad-txns-nonfinal"
    ledger.advance(1)
    assert ledger.mine([tx.raw]).height == 102


def test_a_relative_lock_counts_from_the_parent(ledger: KernelLedger) -> None:
    parent = spend(ledger)
    child = pay(parent.point(), parent.outputs[0], B, AMOUNT, sequence=3)
    ledger.mine([parent.raw])
    ledger.advance(1)
    assert refusal(ledger, child) == "bad-txns-nonfinal"
    ledger.advance(1)
    assert ledger.mine([child.raw]).height == 101 + 3


@pytest.mark.parametrize(("sequence", "said"), [(0xFFFFFFFD, "valid"), (0, "valid"), (1, "bad-txns-nonfinal")])
def test_a_child_in_its_parents_block(ledger: KernelLedger, sequence: int, said: str) -> None:
    parent = spend(ledger)
    child = pay(parent.point(), parent.outputs[0], B, AMOUNT, sequence=sequence)
    assert ledger.would_accept([parent.raw, child.raw]).code == said
    assert ledger.would_accept([child.raw, parent.raw]).code == "bad-txns-inputs-missingorspent"


def test_script_paths_wait(ledger: KernelLedger) -> None:
    slow = Key("stock", csv_leaf(B, 3))
    late = Key("stock", cltv_leaf(B, 104))
    to_slow = pay(ledger.funds[0], FUNDS, A, AMOUNT, to=slow)
    to_late = pay(ledger.funds[1], FUNDS, A, AMOUNT, to=late)
    ledger.mine([to_slow.raw, to_late.raw])
    by_csv = pay(to_slow.point(), to_slow.outputs[0], slow, AMOUNT, sequence=3, script_owner=B)
    by_cltv = pay(to_late.point(), to_late.outputs[0], late, AMOUNT, lock_time=104, script_owner=B)
    assert refusal(ledger, by_csv) == "bad-txns-nonfinal"
    assert refusal(ledger, by_cltv) == "bad-txns-nonfinal"
    ledger.advance(2)
    soon = pay(to_slow.point(), to_slow.outputs[0], slow, AMOUNT, sequence=2, script_owner=B)
    assert refusal(ledger, soon) == "block-script-verify-flag-failed"
    assert ledger.mine([by_csv.raw]).height == 104
    assert ledger.mine([by_cltv.raw]).height == 105


@pytest.mark.parametrize("raw", [b"", b"\x00" * 60, b"nonsense"])
def test_bytes_that_are_no_transaction(ledger: KernelLedger, raw: bytes) -> None:
    with pytest.raises(ChainError, match="at height 101: TX decode failed"):
        ledger.mine([raw])
    assert ledger.would_accept([raw]) == Verdict(101, "TX decode failed")


def test_bytes_after_a_transaction(ledger: KernelLedger) -> None:
    with pytest.raises(ChainError, match="TX decode failed"):
        ledger.mine([spend(ledger).raw + b"\x00"])


def test_a_block_of_many_transactions(ledger: KernelLedger) -> None:
    chain = [spend(ledger)]
    for _ in range(299):
        chain.append(pay(chain[-1].point(), chain[-1].outputs[0], B, AMOUNT))
    assert len(ledger.mine([tx.raw for tx in chain]).txids) == 300
    assert list(ledger.unspent()) == [ledger.funds[1], chain[-1].point()]


def test_a_reorg_replaces_blocks(ledger: KernelLedger) -> None:
    ours, theirs = spend(ledger), spend(ledger, amount=AMOUNT - 1)
    ledger.mine([ours.raw])
    ledger.advance(4)
    ledger.reorg(5, [[], [theirs.raw]])
    assert ledger.height == 106
    assert ledger.confirmation_height(ours.txid) is None
    assert ledger.confirmation_height(theirs.txid) == 102
    assert ledger.unspent()[theirs.point()].height == 102
    assert refusal(ledger, ours) == "bad-txns-inputs-missingorspent"


def test_a_transaction_that_a_reorg_removed_can_confirm_again(ledger: KernelLedger) -> None:
    tx = spend(ledger)
    ledger.mine([tx.raw])
    ledger.reorg(1)
    assert ledger.height == 102
    assert ledger.funds[0] in ledger.unspent()
    assert ledger.mine([tx.raw]).height == 103


@pytest.mark.parametrize("where", [0, 1, 2])
def test_a_branch_with_a_wrong_block_changes_nothing(ledger: KernelLedger, where: int) -> None:
    tx = spend(ledger)
    ledger.mine([tx.raw])
    ledger.advance(1)
    before = dict(ledger.unspent())
    branch: list[list[bytes]] = [[], [], []]
    branch[where] = [spend(ledger, 1, damaged=True).raw]
    with pytest.raises(ChainError, match="block-script-verify-flag-failed"):
        ledger.reorg(2, branch)
    assert ledger.height == 102
    assert ledger.unspent() == before
    assert ledger.mine([spend(ledger, 1).raw]).height == 103


def test_a_branch_with_a_block_that_is_too_early_changes_nothing(ledger: KernelLedger) -> None:
    ledger.advance(3)
    with pytest.raises(ChainError, match="at height 102: bad-txns-nonfinal"):
        ledger.reorg(2, [[spend(ledger, lock_time=102).raw]])
    assert ledger.height == 103


@pytest.mark.parametrize(("depth", "branch"), [(2, 0), (-1, 0), (1, 3)])
def test_an_impossible_reorg(ledger: KernelLedger, depth: int, branch: int) -> None:
    ledger.advance(1)
    with pytest.raises(ValueError, match="reorg"):
        ledger.reorg(depth, [[]] * branch)


def test_a_deep_reorg(ledger: KernelLedger) -> None:
    tx = spend(ledger)
    ledger.mine([tx.raw])
    ledger.advance(99)
    ledger.reorg(100)
    assert ledger.height == 201
    assert ledger.unspent()[ledger.funds[0]] == Unspent(FUNDS, 1)


def test_a_fork_goes_its_own_way(ledger: KernelLedger) -> None:
    ledger.mine([spend(ledger).raw])
    with ledger.fork() as twin:
        assert (twin.height, twin.funds) == (ledger.height, ledger.funds)
        assert twin.unspent() == ledger.unspent()
        twin.mine([spend(ledger, 1).raw])
        assert (twin.height, ledger.height) == (102, 101)
        assert ledger.funds[1] in ledger.unspent()
        assert ledger.funds[1] not in twin.unspent()
        with pytest.raises(ValueError, match="reorg"):
            twin.reorg(3)


def test_the_same_calls_make_the_same_blocks() -> None:
    hashes = []
    for _ in range(2):
        with KernelLedger.start([FUNDS]) as ledger:
            ledger.would_accept([b""])
            hashes.append(ledger.mine([spend(ledger).raw]).block_hash)
    assert hashes[0] == hashes[1]


def test_many_refusals_leave_the_chain_as_it_is(ledger: KernelLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("superscalar_ref.chain.kernel._MANY_REFUSED", 3)
    tx, wrong = spend(ledger), spend(ledger, 1, damaged=True)
    ledger.mine([tx.raw])
    cores = set()
    for _ in range(8):
        assert refusal(ledger, wrong) == "block-script-verify-flag-failed"
        cores.add(ledger._core.directory.name)
    assert len(cores) > 2
    assert [Path(core).exists() for core in cores].count(True) == 1
    assert ledger.confirmation_height(tx.txid) == 101
    assert ledger.mine([spend(ledger, 1).raw]).height == 102


def test_nothing_is_left_behind() -> None:
    ledger = KernelLedger.start()
    directory = Path(ledger._core.directory.name)
    assert directory.exists()
    ledger.close()
    assert not directory.exists()
    with pytest.raises(ChainError, match="closed"):
        ledger.advance(1)
    forgotten = Path(KernelLedger()._core.directory.name)
    gc.collect()
    assert not forgotten.exists()
    assert directory.parent == Path(tempfile.gettempdir())


def test_another_chain_can_follow_the_blocks(ledger: KernelLedger) -> None:
    ledger.mine([spend(ledger).raw])
    blocks = ledger.raw_blocks()
    assert len(blocks) == ledger.height
    with KernelLedger() as other:
        manager = other._core._manager
        for raw in blocks:
            assert manager.process_block(pbk.Block(raw))
        assert manager.get_active_chain().height == 101


def test_a_chain_cannot_go_back_by_advancing(ledger: KernelLedger) -> None:
    with pytest.raises(ValueError, match="-1 blocks"):
        ledger.advance(-1)


def test_one_input_alone() -> None:
    point = OutPoint(b"\x07" * 32, 0)
    good = pay(point, FUNDS, A, AMOUNT)
    assert verify_input(good.raw, 0, [FUNDS])
    assert not verify_input(pay(point, FUNDS, A, AMOUNT, damaged=True).raw, 0, [FUNDS])
    assert not verify_input(good.raw, 0, [TxOut(AMOUNT + 1, A.script)])
    assert not verify_input(pay(point, FUNDS, B, AMOUNT).raw, 0, [FUNDS])


@pytest.mark.parametrize(
    ("raw", "index", "spent", "place"),
    [(b"", 0, 1, "transaction"), (None, 1, 1, "index"), (None, -1, 1, "index"), (None, 0, 2, "spent")],
)
def test_one_input_with_arguments_that_do_not_fit(raw: bytes | None, index: int, spent: int, place: str) -> None:
    good = pay(OutPoint(b"\x07" * 32, 0), FUNDS, A, AMOUNT).raw
    with pytest.raises(InputError) as caught:
        verify_input(good if raw is None else raw, index, [FUNDS] * spent)
    assert caught.value.place == place
