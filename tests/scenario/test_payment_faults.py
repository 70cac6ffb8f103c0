"""A payment across two factories under one fault anywhere: everybody goes on and ends right, or exits and ends right.

The whole sweep (``HYPOTHESIS_PROFILE=nightly``) has 400 faults at letters, and 120 deaths at durable writes, each of
which is followed by going on and by six pairs of ends: 1,240 plays. Each run has 24, 10 and 11 of them.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from superscalar_ref.scenario.payment_two_factories import (
    AMOUNT_MSAT,
    CLAIMS,
    CLIENT_ALONE,
    CLIENT_CHEATS,
    FAILS,
    HASH,
    LSP_ALONE,
    TOGETHER,
    Case,
    finish,
    letters,
    start,
)
from superscalar_ref.scenario.payment_world import PAYEE, PAYER
from superscalar_ref.scenario.town import LSP
from tests.scenario.payment_faults import (
    AFTER,
    BEFORE,
    FAULTS,
    Fuse,
    answer,
    close,
    die_at_a_write,
    nonces_used,
    offers_again,
    on_disk,
    outcome,
    taped,
    with_fault,
)
from tests.sweep import part

ANSWERS = (CLAIMS, FAILS)
WRITES = {CLAIMS: {LSP: 16, PAYER: 8, PAYEE: 7}, FAILS: {LSP: 15, PAYER: 7, PAYEE: 7}}
"""How many durable writes a payment takes of each party."""
AT_LETTERS = list(product(ANSWERS, range(20), FAULTS))
AT_WRITES = [
    (payee, name, number, when)
    for payee in ANSWERS
    for name, count in WRITES[payee].items()
    for number in range(count)
    for when in (BEFORE, AFTER)
]
ENDS = (
    (CLIENT_ALONE, CLIENT_ALONE),
    (LSP_ALONE, LSP_ALONE),
    (CLIENT_ALONE, TOGETHER),
    (TOGETHER, LSP_ALONE),
    (LSP_ALONE, CLIENT_CHEATS),
    (CLIENT_CHEATS, TOGETHER),
)
THEN_ENDS = [(*one, *ends) for one, ends in product(AT_WRITES, ENDS)]
STEPS = (17, 13, 71)
"""Without a factor in common with how many faults, moments and ends there are: a part has all of them."""
RETURNED = ("crash", "blackout")
"""Faults after which the LSP may find a channel away, and give a payment back that it was to pass on."""


def test_the_numbers_that_the_text_names(tmp_path: Path) -> None:
    every = [len(AT_LETTERS), len(AT_WRITES), len(THEN_ENDS)]
    assert every == [400, 120, 720]
    assert [-(-count // step) for count, step in zip(every, STEPS, strict=True)] == [24, 10, 11]
    assert {letters(payee) for payee in ANSWERS} == {20}
    for payee in ANSWERS:
        fuse = Fuse()
        folder = tmp_path / payee
        folder.mkdir()
        world = answer(on_disk(folder, fuse), payee == CLAIMS)
        world.pay(AMOUNT_MSAT, HASH)
        world.run()
        assert fuse.written == WRITES[payee]
        assert outcome(world) == ("paid" if payee == CLAIMS else "unpaid")
        close(world)


@pytest.mark.parametrize(("payee", "at", "fault"), part(AT_LETTERS, STEPS[0]))
def test_no_fault_at_any_letter_leaves_anything_but_paid_or_unpaid(payee: str, at: int, fault: str) -> None:
    world = answer(start().branch(chain=False), payee == CLAIMS)
    tape = taped(world)
    with_fault(world, at, fault).settle()
    found = outcome(world)
    ends = {"paid" if payee == CLAIMS else "unpaid"} | ({"unpaid"} if fault.startswith(RETURNED) else set())
    assert found in ends
    assert offers_again(world), "both channels still work"
    assert max(nonces_used(tape).values()) == 1, "a nonce signed twice"


@pytest.mark.parametrize(("payee", "name", "number", "when"), part(AT_WRITES, STEPS[1]))
def test_whoever_dies_at_a_write_goes_on_from_its_files(
    payee: str, name: str, number: int, when: str, tmp_path: Path
) -> None:
    world = die_at_a_write(tmp_path, payee == CLAIMS, Fuse(name, number, when))
    world.settle()
    found = outcome(world)
    never_offered = (name, number, when) == (PAYER, 0, BEFORE)
    if payee == CLAIMS and name != LSP:
        assert found == ("unpaid" if never_offered else "paid")
    else:
        assert found in ("paid", "unpaid") if payee == CLAIMS else found == "unpaid"
    assert never_offered or offers_again(world)
    close(world)


@pytest.mark.parametrize(("payee", "name", "number", "when", "first", "second"), part(THEN_ENDS, STEPS[2]))
def test_whoever_dies_at_a_write_exits_from_its_files(
    payee: str, name: str, number: int, when: str, first: str, second: str, tmp_path: Path
) -> None:
    world = die_at_a_write(tmp_path, payee == CLAIMS, Fuse(name, number, when), chain=True)
    done = finish(world, Case(payee, number, first, second))
    assert done.paid == done.expected, done.story
    close(world)
