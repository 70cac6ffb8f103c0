"""The rules and Bitcoin Core's code, held equal: on right and wrong transactions, in blocks, across reorgs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from superscalar_ref.chain.agreement import AgreedLedger, DisagreementError
from superscalar_ref.chain.interface import Ledger, OutPoint, TxOut
from superscalar_ref.chain.kernel import KernelLedger
from superscalar_ref.chain.model import Book, ModelLedger
from superscalar_ref.errors import ChainError, InputError
from superscalar_ref.protocol.ledger import Reason
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
from tests.chain.wallet import NO_BIP68, Input, Key, Transaction, cltv_leaf, csv_leaf, pay

AMOUNT = 100_000
CSV_BLOCKS = 3
CLTV_HEIGHT = 106
OWNER = Key("owner")
SIGNERS = frozenset({"A", "L"})
PLAIN = Key("all of us")
SLOW = Key("all of us", csv_leaf(OWNER, CSV_BLOCKS))
LATE = Key("all of us", cltv_leaf(OWNER, CLTV_HEIGHT))
LOCK_PATHS = {
    PLAIN: None,
    SLOW: LockPath("L", LockKind.CSV, CSV_BLOCKS),
    LATE: LockPath("L", LockKind.CLTV, CLTV_HEIGHT),
}


def output(key: Key, amount: int) -> Output:
    return Output(Role.TREE, amount, SIGNERS, LOCK_PATHS[key])


@dataclass(frozen=True)
class Coin:
    """An output of the tests: where it is, what it holds, whose key guards it."""

    point: OutPoint
    amount: int
    key: Key

    def input(self, sequence: int = NO_BIP68, by_script: bool = False) -> Input:
        spent = TxOut(self.amount, self.key.script)
        return Input(self.point, spent, self.key, sequence, OWNER if by_script else None)


def coins_of(transaction: Transaction, keys: tuple[Key, ...]) -> list[Coin]:
    return [Coin(transaction.point(index), out.amount, keys[index]) for index, out in enumerate(transaction.outputs)]


def enter(book: Book, transaction: Transaction, keys: tuple[Key, ...]) -> bytes:
    """Enter a transaction under its txid, in the words of the rules, and return its bytes."""
    spends = tuple(
        Spend(
            Outpoint(book.name(item.point.txid) or item.point.txid[::-1].hex(), item.point.index),
            None if item.sequence & (1 << 31) else item.sequence & 0xFFFF,
            by_lock_path=item.script_owner is not None,
        )
        for item in transaction.inputs
    )
    final = all(item.sequence == 0xFFFFFFFF for item in transaction.inputs)
    template = Template(
        transaction.txid.hex(),
        Kind.STATE,
        spends,
        tuple(output(key, out.amount) for key, out in zip(keys, transaction.outputs, strict=True)),
        SIGNERS,
        lock_time=0 if final else transaction.lock_time,
    )
    alone = all(item.script_owner is not None for item in transaction.inputs)
    signed_by = frozenset({"L"}) if alone else SIGNERS
    book.add(transaction.raw, template, frozenset() if transaction.damaged else signed_by)
    return transaction.raw


def funded(keys: list[Key]) -> tuple[AgreedLedger, list[Coin]]:
    kernel = KernelLedger.start([TxOut(AMOUNT, key.script) for key in keys])
    book = Book()
    coins = []
    for index, (point, key) in enumerate(zip(kernel.funds, keys, strict=True)):
        book.fund(point, Outpoint("wallet", index), output(key, AMOUNT), key.script)
        coins.append(Coin(point, AMOUNT, key))
    return AgreedLedger.start(kernel, book), coins


@dataclass
class Scene:
    """Height 106: coins from the start, one of each kind at 102, 104 and 106, one that is spent."""

    ledger: AgreedLedger
    coins: list[Coin]

    @property
    def book(self) -> Book:
        return self.ledger.model.book


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    ledger, start = funded([PLAIN, SLOW, LATE, PLAIN, PLAIN, PLAIN])
    coins = start[:3]
    for parent in start[3:]:
        keys = (PLAIN, SLOW, LATE)
        outs = tuple(TxOut(AMOUNT // 4, key.script) for key in keys)
        transaction = Transaction((parent.input(),), outs)
        ledger.advance(1)
        ledger.mine([enter(ledger.model.book, transaction, keys)])
        coins.extend(coins_of(transaction, keys))
    coins.append(start[3])
    coins.append(Coin(OutPoint(b"\x07" * 32, 0), AMOUNT, PLAIN))
    assert ledger.height == 106
    yield Scene(ledger, coins)
    ledger.close()


SPENT, UNKNOWN = 12, 13
_sequences = st.one_of(
    st.sampled_from([NO_BIP68, 0xFFFFFFFF, 0xFFFFFFFE]), st.integers(0, 8), st.sampled_from([105, 106, 107])
)
_lock_times = st.one_of(st.just(0), st.integers(100, 110))


@st.composite
def transactions(draw: st.DrawFn) -> tuple[list[tuple[int, int, bool]], int, int, bool]:
    """Inputs (coin, sequence, by script), what is left over (sat), lock time, damage."""
    which = draw(st.lists(st.integers(0, 13), min_size=1, max_size=2, unique=draw(st.booleans())))
    inputs = [(coin, draw(_sequences), draw(st.booleans())) for coin in which]
    return inputs, draw(st.sampled_from([0, 0, 1, 500, -1])), draw(_lock_times), draw(st.integers(0, 7)) == 0


def build(scene: Scene, inputs: list[tuple[int, int, bool]], left: int, lock: int, damaged: bool) -> Transaction:
    spent = [
        scene.coins[coin].input(sequence, by_script and scene.coins[coin].key is not PLAIN)
        for coin, sequence, by_script in inputs
    ]
    amount = sum(item.spent.amount for item in spent) - left
    return Transaction(tuple(spent), (TxOut(amount, PLAIN.script),), lock, damaged)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=transactions())
def test_any_transaction_is_judged_alike(
    scene: Scene, drawn: tuple[list[tuple[int, int, bool]], int, int, bool]
) -> None:
    transaction = build(scene, *drawn)
    raw = enter(scene.book, transaction, (PLAIN,))
    said = scene.ledger.would_accept([raw])
    assert said.height == 107
    if not said.accepted:
        with pytest.raises(ChainError) as caught:
            scene.ledger.mine([raw])
        assert caught.value.reason == said.said


@pytest.mark.parametrize(
    ("inputs", "left", "lock_time", "damaged", "code"),
    [
        ([(0, NO_BIP68, False)], 0, 0, False, "valid"),
        ([(0, NO_BIP68, False)], 0, 106, False, "valid"),
        ([(0, NO_BIP68, False)], 0, 107, False, Reason.NOT_FINAL),
        ([(0, 0xFFFFFFFF, False)], 0, 107, False, "valid"),
        ([(3, 5, False)], 0, 0, False, "valid"),
        ([(3, 6, False)], 0, 0, False, Reason.NOT_FINAL),
        ([(7, 3, True)], 0, 0, False, "valid"),
        ([(7, 2, True)], 0, 0, False, Reason.SCRIPT),
        ([(7, NO_BIP68, True)], 0, 0, False, Reason.SCRIPT),
        ([(10, 3, True)], 0, 0, False, Reason.NOT_FINAL),
        ([(5, NO_BIP68, True)], 0, CLTV_HEIGHT, False, "valid"),
        ([(5, NO_BIP68, True)], 0, CLTV_HEIGHT + 1, False, Reason.NOT_FINAL),
        ([(5, NO_BIP68, True)], 0, CLTV_HEIGHT - 1, False, Reason.SCRIPT),
        ([(5, 0xFFFFFFFF, True)], 0, CLTV_HEIGHT, False, Reason.SCRIPT),
        ([(0, NO_BIP68, False)], 0, 0, True, Reason.SCRIPT),
        ([(0, NO_BIP68, False)], -1, 0, False, Reason.CREATES_VALUE),
        ([(0, NO_BIP68, False)] * 2, 0, 0, False, Reason.TWICE),
        ([(0, NO_BIP68, False)], 2 * AMOUNT, 0, False, Reason.NEGATIVE),
        ([(SPENT, NO_BIP68, False)], 0, 0, False, Reason.MISSING),
        ([(UNKNOWN, NO_BIP68, False)], 0, 0, False, Reason.MISSING),
    ],
)
def test_each_edge(
    scene: Scene,
    inputs: list[tuple[int, int, bool]],
    left: int,
    lock_time: int,
    damaged: bool,
    code: str,
) -> None:
    raw = enter(scene.book, build(scene, inputs, left, lock_time, damaged), (PLAIN,))
    assert scene.ledger.would_accept([raw]).code == code


@st.composite
def stories(draw: st.DrawFn) -> list[tuple[str, int, list[tuple[int, int, bool]]]]:
    """Steps: mine some transactions, let blocks pass, reorganise; a spend is (coin, sequence, damaged)."""
    spends = st.tuples(
        st.integers(0, 30), st.sampled_from([NO_BIP68, NO_BIP68, 0, 1, 2, 4]), st.sampled_from([False] * 9 + [True])
    )
    kinds = st.sampled_from(["mine", "mine", "advance", "reorg"])
    step = st.tuples(kinds, st.integers(0, 4), st.lists(spends, max_size=3))
    return draw(st.lists(step, min_size=1, max_size=8))


@settings(max_examples=60, deadline=None)
@given(story=stories())
def test_any_story_is_told_alike(story: list[tuple[str, int, list[tuple[int, int, bool]]]]) -> None:
    pair, coins = _story_start()
    ledger = pair.fork()
    coins = list(coins)
    for kind, count, spends in story:
        if kind == "advance":
            ledger.advance(count)
            continue
        block = []
        for which, sequence, damaged in spends:
            coin = coins[which % len(coins)]
            half = TxOut(coin.amount // 2, PLAIN.script)
            transaction = Transaction((coin.input(sequence),), (half, half), damaged=damaged)
            block.append(enter(ledger.model.book, transaction, (PLAIN, PLAIN)))
            coins.extend(coins_of(transaction, (PLAIN, PLAIN)))
        depth = min(count, ledger.height - 100)
        before = (ledger.height, dict(ledger.unspent()))
        try:
            if kind == "mine":
                ledger.mine(block)
            else:
                ledger.reorg(depth, [block])
        except ChainError:
            assert (ledger.height, dict(ledger.unspent())) == before
    ledger.close()


_STORY: list[tuple[AgreedLedger, list[Coin]]] = []


def _story_start() -> tuple[AgreedLedger, list[Coin]]:
    """One start for all stories: a fork costs less than a start."""
    if not _STORY:
        _STORY.append(funded([PLAIN] * 4))
    return _STORY[0]


@pytest.fixture
def pair() -> Iterator[tuple[AgreedLedger, list[Coin]]]:
    ledger, coins = funded([PLAIN, PLAIN])
    yield ledger, coins
    ledger.close()


Pair = tuple[AgreedLedger, list[Coin]]


def test_what_both_accept_and_refuse_is_counted(pair: Pair) -> None:
    ledger, coins = pair
    good = pay(coins[0].point, TxOut(AMOUNT, PLAIN.script), PLAIN, AMOUNT)
    bad = pay(coins[1].point, TxOut(AMOUNT, PLAIN.script), PLAIN, AMOUNT, damaged=True)
    mined = ledger.mine([enter(ledger.model.book, good, (PLAIN,))])
    assert mined.txids == (good.txid,)
    assert ledger.model.confirmation_height(good.txid) == ledger.confirmation_height(good.txid) == 101
    with pytest.raises(ChainError, match="block-script-verify-flag-failed"):
        ledger.mine([enter(ledger.model.book, bad, (PLAIN,))])
    assert (ledger.accepted, ledger.refused) == (1, 1)
    assert ledger.unspent() == ledger.model.unspent()


def test_a_book_that_claims_a_signature_too_many_is_found_out(pair: Pair) -> None:
    ledger, coins = pair
    bad = pay(coins[0].point, TxOut(AMOUNT, PLAIN.script), PLAIN, AMOUNT, damaged=True)
    enter(ledger.model.book, replace(bad, damaged=False), (PLAIN,))
    known = ledger.model.book.describe(replace(bad, damaged=False).raw)
    ledger.model.book.add(bad.raw, known.template)
    with pytest.raises(DisagreementError, match="the rules say 'valid', the chain 'block-script") as caught:
        ledger.mine([bad.raw])
    assert caught.value.height == 101


def test_a_signature_that_the_book_denies_is_found_out(pair: Pair) -> None:
    ledger, coins = pair
    good = pay(coins[0].point, TxOut(AMOUNT, PLAIN.script), PLAIN, AMOUNT)
    template = Template("good", Kind.STATE, (Spend(Outpoint("wallet", 0)),), (output(PLAIN, AMOUNT),), SIGNERS)
    ledger.model.book.add(good.raw, template, frozenset({"A"}))
    with pytest.raises(DisagreementError, match="good at height 101"):
        ledger.would_accept([good.raw])


def test_ledgers_that_have_drifted_apart_are_found_out(pair: Pair) -> None:
    ledger, _ = pair
    ledger.chain.advance(1)
    with pytest.raises(DisagreementError, match="the tip"):
        ledger.mine()
    with pytest.raises(DisagreementError, match="start"):
        AgreedLedger(ledger.chain, ModelLedger(ledger.model.book, ledger.model._past[0]))


def test_an_output_of_another_amount_is_found_out(pair: Pair) -> None:
    ledger, coins = pair
    book = Book()
    book.fund(coins[0].point, Outpoint("wallet", 0), output(PLAIN, AMOUNT - 1), PLAIN.script)
    book.fund(coins[1].point, Outpoint("wallet", 1), output(PLAIN, AMOUNT), PLAIN.script)
    wrong = AgreedLedger.start(ledger.chain, book)
    with pytest.raises(DisagreementError, match="output wallet:0 at height 101"):
        wrong.mine()


def _template(coin: Coin) -> tuple[Transaction, Template]:
    transaction = pay(coin.point, TxOut(AMOUNT, PLAIN.script), PLAIN, AMOUNT, sequence=4, lock_time=7)
    spends = (Spend(Outpoint("wallet", 0), 4),)
    return transaction, Template("t", Kind.STATE, spends, (output(PLAIN, AMOUNT),), SIGNERS, lock_time=7)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"spends": (Spend(Outpoint("wallet", 1), 4),)}, "input 0 spends"),
        ({"spends": (Spend(Outpoint("wallet", 0), 3),)}, "input 0 waits 4 blocks, not 3"),
        ({"spends": (Spend(Outpoint("wallet", 0)),)}, "input 0 waits 4 blocks, not None"),
        ({"spends": ()}, "has 1 inputs and 1 outputs, not 0 inputs"),
        ({"outputs": (output(PLAIN, AMOUNT - 1),)}, "output 0 pays 100000 sat, not 99999"),
        ({"lock_time": 8}, "has lock time 7, not 8"),
    ],
)
def test_bytes_must_be_what_their_template_says(pair: Pair, change: dict[str, object], problem: str) -> None:
    ledger, coins = pair
    transaction, template = _template(coins[0])
    wrong = replace(template, **change)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="transaction 't': " + problem):
        ledger.model.book.add(transaction.raw, wrong)
    assert ledger.model.book.add(transaction.raw, template) == transaction.txid


def test_altered_bytes_are_read_as_they_are(pair: Pair) -> None:
    ledger, coins = pair
    book = ledger.model.book
    transaction, template = _template(coins[0])
    assert book.read(transaction.raw, template, "t") == template
    richer = replace(transaction, outputs=(TxOut(AMOUNT + 9, PLAIN.script),), lock_time=9)
    expected = replace(template, name="richer", outputs=(output(PLAIN, AMOUNT + 9),), lock_time=9)
    assert book.read(richer.raw, template, "richer") == expected
    two = Transaction((coins[0].input(), coins[1].input()), (TxOut(AMOUNT, PLAIN.script),))
    with pytest.raises(InputError, match="larger"):
        book.read(two.raw, template, "two")


def test_a_book_never_changes_its_mind(pair: Pair) -> None:
    ledger, coins = pair
    book = ledger.model.book
    transaction, template = _template(coins[0])
    book.add(transaction.raw, template)
    with pytest.raises(ValueError, match="another meaning"):
        book.add(transaction.raw, template, frozenset())
    with pytest.raises(ValueError, match="paired with others"):
        book.add(transaction.raw, replace(template, name="u"))
    other = replace(transaction, lock_time=8)
    with pytest.raises(ValueError, match="paired with others"):
        book.add(other.raw, replace(template, lock_time=8))
    with pytest.raises(ValueError, match="cannot be called"):
        book.fund(coins[0].point, Outpoint("wallet", 5), output(PLAIN, 1), b"")


def test_bytes_outside_the_book(pair: Pair) -> None:
    ledger, coins = pair
    with pytest.raises(InputError, match="not in the book"):
        ledger.mine([_template(coins[0])[0].raw])
    with pytest.raises(InputError, match="cannot be decoded"):
        ledger.model.book.add(b"no", _template(coins[0])[1])


@pytest.mark.parametrize("change", [{"sequence": (1 << 22) | 3}, {"lock_time": 500_000_001}])
def test_time_in_seconds_is_refused(pair: Pair, change: dict[str, int]) -> None:
    ledger, coins = pair
    transaction, template = _template(coins[0])
    sequence = change.get("sequence", 4)
    inputs = (replace(transaction.inputs[0], sequence=sequence),)
    changed = replace(transaction, inputs=inputs, lock_time=change.get("lock_time", 7))
    with pytest.raises(InputError, match="seconds, not blocks"):
        ledger.model.book.add(changed.raw, template)


def test_the_rules_alone_are_a_chain(pair: Pair) -> None:
    ledger, coins = pair
    model = ledger.model
    transaction = pay(coins[0].point, TxOut(AMOUNT, PLAIN.script), PLAIN, AMOUNT)
    raw = enter(model.book, transaction, (PLAIN,))
    assert model.would_accept([raw]).accepted
    assert model.mine([raw]).txids == (transaction.txid,)
    twin = model.fork()
    model.reorg(1)
    assert (model.height, twin.height) == (102, 101)
    assert model.confirmation_height(transaction.txid) is None
    assert twin.confirmation_height(transaction.txid) == 101
    assert model.confirmation_height(b"\x00" * 32) is None
    with pytest.raises(ValueError, match="reorg of 9"):
        model.reorg(9)
    with pytest.raises(ValueError, match="-1 blocks"):
        model.advance(-1)


def test_a_block_that_repeats_a_transaction_is_refused_by_both(pair: Pair) -> None:
    ledger, coins = pair
    transaction = pay(coins[0].point, TxOut(AMOUNT, PLAIN.script), PLAIN, AMOUNT)
    raw = enter(ledger.model.book, transaction, (PLAIN,))
    assert ledger.would_accept([raw, raw]).code == "bad-txns-inputs-missingorspent"
    assert ledger.would_accept([raw, raw, raw]).code == "bad-txns-duplicate"
    assert ledger.would_accept([raw]).accepted


@pytest.mark.parametrize("which", ["both", "chain", "model"])
def test_every_ledger_offers_the_same(pair: Pair, which: str) -> None:
    ledgers: dict[str, Ledger] = {"both": pair[0], "chain": pair[0].chain, "model": pair[0].model}
    ledger = ledgers[which]
    assert ledger.would_accept([]).accepted
    assert ledger.mine().height == 101
    twin = ledger.fork()
    twin.advance(2)
    twin.reorg(2)
    assert (ledger.height, twin.height) == (101, 104)
    assert {point.index for point in twin.unspent()} == {0, 1}
    twin.close()
