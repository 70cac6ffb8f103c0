"""The ledger without bytes: each rule at its edge, and laws that hold for any transaction."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superscalar_ref.errors import ChainError
from superscalar_ref.protocol.ledger import (
    Ledger,
    Reason,
    Refusal,
    advance,
    check,
    check_block,
    earliest,
    mine,
    start,
)
from superscalar_ref.protocol.transaction import (
    Kind,
    LockKind,
    LockPath,
    Outpoint,
    Output,
    Role,
    Spend,
    Template,
)

AL = frozenset({"A", "L"})
FUNDING = Outpoint("funding", 0)
STOCK = Outpoint("stock", 0)
LATE = Outpoint("late", 0)
HEIGHT = 100


def genesis() -> Ledger:
    return start(
        HEIGHT,
        {
            FUNDING: Output(Role.TREE, 10, AL),
            STOCK: Output(Role.STOCK, 5, AL, LockPath("L", LockKind.CSV, 3)),
            LATE: Output(Role.STOCK, 5, AL, LockPath("L", LockKind.CLTV, HEIGHT + 3)),
        },
    )


def tree(amount: int) -> Output:
    return Output(Role.TREE, amount, AL)


def kickoff(lock: int | None = None, lock_time: int = 0, amount: int = 10) -> Template:
    return Template("kickoff:0", Kind.KICKOFF, (Spend(FUNDING, lock),), (tree(amount),), AL, lock_time=lock_time)


def state(lock: int | None) -> Template:
    return Template("state:0", Kind.STATE, (Spend(Outpoint("kickoff:0", 0), lock),), (tree(10),), AL)


def test_a_complete_transaction_moves_its_output() -> None:
    ledger = mine(genesis(), [kickoff()])
    assert ledger.height == HEIGHT + 1
    assert FUNDING not in ledger.unspent
    assert ledger.unspent[Outpoint("kickoff:0", 0)].height == HEIGHT + 1
    assert ledger.confirmed == {"kickoff:0": HEIGHT + 1}


def test_a_missing_signature_refuses() -> None:
    assert check(genesis(), kickoff(), frozenset({"A"})) is Reason.SCRIPT
    assert check(genesis(), kickoff(), AL) is None


@pytest.mark.parametrize("lock", [1, 2, 7])
def test_a_relative_lock_counts_from_the_block_of_the_parent(lock: int) -> None:
    ledger = advance(genesis(), lock - 1)
    assert check(ledger, kickoff(lock)) is None
    assert check(ledger, kickoff(lock + 1)) is Reason.NOT_FINAL
    assert earliest(genesis(), kickoff(lock)) == HEIGHT + lock


@pytest.mark.parametrize(("lock", "refused"), [(None, False), (0, False), (1, True)])
def test_a_child_shares_the_block_of_its_parent_only_without_a_lock(lock: int | None, refused: bool) -> None:
    refusal = check_block(genesis(), [kickoff(), state(lock)])
    assert refusal == (Refusal("state:0", Reason.NOT_FINAL) if refused else None)


def test_a_child_before_its_parent_is_refused() -> None:
    assert check_block(genesis(), [state(None), kickoff()]) == Refusal("state:0", Reason.MISSING)


@pytest.mark.parametrize("ahead", [1, 5])
def test_a_lock_time_lets_in_blocks_above_it(ahead: int) -> None:
    template = kickoff(lock_time=HEIGHT + ahead)
    assert check(advance(genesis(), ahead - 1), template) is Reason.NOT_FINAL
    assert check(advance(genesis(), ahead), template) is None
    assert earliest(genesis(), template) == HEIGHT + ahead + 1


def test_a_spent_output_cannot_be_spent() -> None:
    ledger = mine(genesis(), [kickoff()])
    assert check(ledger, replace(kickoff(), name="other")) is Reason.MISSING
    assert earliest(ledger, replace(kickoff(), name="other")) is None


def test_a_confirmed_transaction_is_known_until_its_outputs_are_spent() -> None:
    ledger = mine(genesis(), [kickoff()])
    assert check(ledger, kickoff()) is Reason.KNOWN
    assert check(mine(ledger, [state(None)]), kickoff()) is Reason.MISSING


def test_value_cannot_be_created() -> None:
    assert check(genesis(), kickoff(amount=11)) is Reason.CREATES_VALUE
    assert check(genesis(), kickoff(amount=10)) is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"spends": ()}, Reason.NO_INPUT),
        ({"outputs": ()}, Reason.NO_OUTPUT),
        ({"outputs": (tree(-1),)}, Reason.NEGATIVE),
        ({"spends": (Spend(FUNDING), Spend(FUNDING))}, Reason.TWICE),
    ],
)
def test_a_malformed_transaction_is_refused(change: dict[str, object], reason: Reason) -> None:
    assert check(genesis(), replace(kickoff(), **change)) is reason  # type: ignore[arg-type]


def take(outpoint: Outpoint, lock: int | None = None, lock_time: int = 0) -> Template:
    outputs = (Output(Role.WALLET, 5, frozenset({"L"}), owner="L"),)
    spends = (Spend(outpoint, lock, by_lock_path=True),)
    return Template("take", Kind.EXPIRY, spends, outputs, frozenset({"L"}), lock_time=lock_time)


def test_a_relative_script_path_is_its_owners_alone_after_the_delay() -> None:
    ripe = advance(genesis(), 2)
    assert check(advance(genesis(), 1), take(STOCK, 3)) is Reason.NOT_FINAL
    assert check(ripe, take(STOCK, 3)) is None
    assert check(ripe, take(STOCK, 2)) is Reason.SCRIPT
    assert check(ripe, take(STOCK)) is Reason.SCRIPT
    assert check(ripe, take(STOCK, 3), frozenset({"A"})) is Reason.SCRIPT


def test_an_absolute_script_path_is_its_owners_alone_above_the_height() -> None:
    end = HEIGHT + 3
    assert check(advance(genesis(), 2), take(LATE, lock_time=end)) is Reason.NOT_FINAL
    assert check(advance(genesis(), 3), take(LATE, lock_time=end)) is None
    assert check(advance(genesis(), 3), take(LATE, lock_time=end - 1)) is Reason.SCRIPT
    assert check(advance(genesis(), 3), take(LATE)) is Reason.SCRIPT


def test_an_output_without_a_script_path_has_none() -> None:
    assert check(genesis(), take(FUNDING, 0)) is Reason.SCRIPT


def test_the_owner_of_a_script_path_cannot_use_the_key_path_alone() -> None:
    by_key = replace(take(STOCK), spends=(Spend(STOCK, 3),))
    assert check(advance(genesis(), 9), by_key) is Reason.SCRIPT


def test_anyone_spends_an_anchor() -> None:
    anchor = Outpoint("kickoff:0", 0)
    ledger = start(HEIGHT, {anchor: Output(Role.ANCHOR, 240, frozenset())})
    child = Template("child", Kind.CHILD, (Spend(anchor),), (tree(0),), frozenset())
    assert check(ledger, child, frozenset()) is None


def test_a_refused_block_says_where_and_changes_nothing() -> None:
    ledger = genesis()
    with pytest.raises(ChainError) as caught:
        mine(ledger, [kickoff(), state(2)])
    assert caught.value.height == HEIGHT + 1
    assert caught.value.reason == "bad-txns-nonfinal: state:0"
    assert ledger == genesis()


def test_each_transaction_of_a_block_has_its_own_signers() -> None:
    block = [kickoff(), state(0)]
    assert check_block(genesis(), block, [AL, AL]) is None
    assert check_block(genesis(), block, [AL, frozenset({"L"})]) == Refusal("state:0", Reason.SCRIPT)
    with pytest.raises(ValueError, match="shorter"):
        check_block(genesis(), block, [AL])


def test_a_chain_cannot_go_back_by_advancing() -> None:
    with pytest.raises(ValueError, match="-1 blocks"):
        advance(genesis(), -1)


def test_equal_ledgers_hash_alike() -> None:
    assert len({genesis(), genesis(), mine(genesis(), [kickoff()]), mine(genesis(), [kickoff()])}) == 2


_locks = st.one_of(st.none(), st.integers(0, 6))


@given(st.lists(st.tuples(_locks, st.integers(HEIGHT - 2, HEIGHT + 8), st.integers(0, 2)), max_size=6))
def test_along_any_chain_value_never_grows_and_earliest_is_exact(
    steps: list[tuple[int | None, int, int]],
) -> None:
    ledger, tip, amount = genesis(), FUNDING, 10
    for number, (lock, lock_time, fee) in enumerate(steps):
        amount = max(0, amount - fee)
        name = f"link:{number}"
        link = Template(name, Kind.SALE, (Spend(tip, lock),), (tree(amount),), AL, lock_time=lock_time)
        first = earliest(ledger, link)
        assert first is not None
        for _ in range(first - ledger.height - 1):
            assert check(ledger, link) is Reason.NOT_FINAL
            ledger = mine(ledger)
        before = sum(coin.output.amount for coin in ledger.unspent.values())
        ledger = mine(ledger, [link])
        assert ledger.height == first
        assert sum(coin.output.amount for coin in ledger.unspent.values()) <= before
        tip = link.outpoint(0)
