"""Transactions whose outputs stand in another order in the bytes than in their template: commitments (BIP-69)."""

from __future__ import annotations

import pytest

from superscalar_ref.chain.agreement import AgreedLedger
from superscalar_ref.chain.interface import TxOut
from superscalar_ref.chain.kernel import KernelLedger
from superscalar_ref.chain.model import Book
from superscalar_ref.errors import InputError
from superscalar_ref.protocol.transaction import Kind, Outpoint, Output, Role, Spend, Template
from tests.chain.wallet import Input, Key, Transaction

SMALL, LARGE = 30_000, 70_000
ALL, MINE = Key("all of us"), Key("mine")
COMMITMENT_SEQUENCE, COMMITMENT_LOCK_TIME = 0x80ABCDEF, 0x20123456
"""As BOLT 3 hides a commitment's number: the lock switched off, the time in 1987."""


def output(amount: int, *signers: str) -> Output:
    return Output(Role.WALLET, amount, frozenset(signers), owner=signers[0])


def started() -> tuple[AgreedLedger, Transaction, Template]:
    """A chain with one coin, and a commitment on it: LARGE first in the template, SMALL first in the bytes."""
    coin = TxOut(SMALL + LARGE, ALL.script)
    kernel = KernelLedger.start([coin])
    book = Book()
    book.fund(kernel.funds[0], Outpoint("wallet", 0), output(SMALL + LARGE, "A", "L"), ALL.script)
    outputs = (TxOut(SMALL, MINE.script), TxOut(LARGE, ALL.script))
    spent = Input(kernel.funds[0], coin, ALL, COMMITMENT_SEQUENCE)
    raw = Transaction((spent,), outputs, COMMITMENT_LOCK_TIME)
    spends = (Spend(Outpoint("wallet", 0)),)
    signers = frozenset({"A", "L"})
    template = Template("c", Kind.COMMITMENT, spends, (output(LARGE, "A", "L"), output(SMALL, "A")), signers)
    return AgreedLedger.start(kernel, book), raw, template


def test_both_ledgers_follow_the_output_and_not_its_number() -> None:
    ledger, commitment, template = started()
    book = ledger.model.book
    book.add(commitment.raw, template, places=(1, 0))
    ledger.mine([commitment.raw])
    assert {book.point(template.outpoint(0)), book.point(template.outpoint(1))} <= ledger.unspent().keys()
    assert ledger.unspent()[book.point(template.outpoint(1))].output == TxOut(SMALL, MINE.script)
    spent = Input(commitment.point(0), TxOut(SMALL, MINE.script), MINE)
    sweep = Transaction((spent,), (TxOut(SMALL - 500, MINE.script),))
    spends = (Spend(template.outpoint(1)),)
    book.add(sweep.raw, Template("s", Kind.SWEEP, spends, (output(SMALL - 500, "A"),), frozenset({"A"}), fee=500))
    ledger.mine([sweep.raw])
    assert ledger.model.confirmation_height(sweep.txid) == ledger.height
    ledger.close()


@pytest.mark.parametrize("places", [None, (0, 1)])
def test_an_order_that_the_bytes_do_not_have_is_refused(places: tuple[int, ...] | None) -> None:
    ledger, commitment, template = started()
    with pytest.raises(InputError, match="output 0 pays 30000 sat, not 70000"):
        ledger.model.book.add(commitment.raw, template, places=places)
    ledger.close()


@pytest.mark.parametrize("places", [(0,), (0, 0), (1, 2), (0, 1, 2)])
def test_what_is_no_order_is_refused(places: tuple[int, ...]) -> None:
    ledger, commitment, template = started()
    with pytest.raises(ValueError, match="are no order of the 2 outputs"):
        ledger.model.book.add(commitment.raw, template, places=places)
    ledger.close()


def test_one_transaction_has_one_order() -> None:
    coin = TxOut(2 * SMALL, ALL.script)
    kernel = KernelLedger.start([coin])
    book = Book()
    book.fund(kernel.funds[0], Outpoint("wallet", 0), output(2 * SMALL, "A"), ALL.script)
    outputs = (TxOut(SMALL, MINE.script), TxOut(SMALL, ALL.script))
    pair = Transaction((Input(kernel.funds[0], coin, ALL),), outputs)
    spends = (Spend(Outpoint("wallet", 0)),)
    template = Template("p", Kind.COMMITMENT, spends, (output(SMALL, "A"), output(SMALL, "A")), frozenset({"A"}))
    book.add(pair.raw, template, places=(1, 0))
    with pytest.raises(ValueError, match="in another order"):
        book.add(pair.raw, template)
    kernel.close()
