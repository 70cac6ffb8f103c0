"""Payments across two factories while a leaf is replaced under either channel, and many of them at once both ways."""

from __future__ import annotations

from itertools import product

import pytest

from superscalar_ref.errors import Refused
from superscalar_ref.scenario.payment_two_factories import (
    AMOUNT_MSAT,
    CLAIMS,
    CLIENT_ALONE,
    HASH,
    LSP_ALONE,
    SILENT,
    Case,
    finish,
    start,
)
from superscalar_ref.scenario.payment_world import Home, World
from superscalar_ref.scenario.town import LSP
from tests.parties.channel_scene import CAPACITY_SAT, CLIENT, CLIENT_MSAT, Pair, balances, hashed, preimage
from tests.parties.channel_scene import LSP as L
from tests.parties.test_channel_faults import check
from tests.scenario.payment_faults import answer, outcome
from tests.sweep import part

LETTERS = 26
"""An update of a leaf under a live channel takes so many."""
ALONE = ((CLIENT_ALONE, CLIENT_ALONE), (LSP_ALONE, LSP_ALONE), (CLIENT_ALONE, LSP_ALONE))


def update(home: Home) -> None:
    """The LSP proposes the next version of the client's leaf; nothing is delivered yet."""
    home.post(LSP, home.lsp.update(home.lsp.tree.leaf_of(home.client).path, {}))


def deliver(world: World, most: int) -> int:
    """So many letters; how many there were."""
    for number in range(most):
        found = world.next_letter()
        if found is None:
            return number
        world.deliver(*found)
    return most


def test_the_number_of_letters_that_the_text_names() -> None:
    world = start().branch(chain=False)
    update(world.homes[1])
    assert deliver(world, 1000) == LETTERS
    assert world.homes[1].member.counted == "v1"


@pytest.mark.parametrize(("number", "letters"), part(product((0, 1), range(LETTERS + 1)), 7))
def test_a_payment_crosses_while_a_leaf_is_replaced_under_either_channel(number: int, letters: int) -> None:
    """It waits while the channel is quiet, and moves with it otherwise."""
    world = answer(start().branch(chain=False), claims=True)
    home = world.homes[number]
    before = home.side(LSP).channel.outpoints
    update(home)
    deliver(world, letters)
    while True:
        try:
            world.pay(AMOUNT_MSAT, HASH)
            break
        except Refused:
            assert deliver(world, 1) == 1, "a quiet channel that nothing wakes"
    world.settle(2)
    assert outcome(world) == "paid"
    assert home.member.counted == "v1"
    assert {side.channel.outpoints for side in home.sides} == {home.side(LSP).channel.outpoints} != {before}


PENDING = [(*one, *ends) for one, ends in product(product((0, 1), range(LETTERS + 1), (CLAIMS, SILENT)), ALONE)]


@pytest.mark.parametrize(("number", "letters", "payee", "first", "second"), part(PENDING, 41))
def test_a_factory_dies_in_an_update_with_a_payment_pending(
    number: int, letters: int, payee: str, first: str, second: str
) -> None:
    """324 plays, of which each run has 8: whichever version is exited to, the payment is made on chain or not."""
    world = answer(start().branch(), claims=False)
    world.on_answer("f1c0", lambda htlc: None)
    world.pay(AMOUNT_MSAT, HASH)
    world.run()
    assert [len(side.channel.htlcs) for home in world.homes for side in home.sides] == [1] * 4
    update(world.homes[number])
    deliver(world, letters)
    if payee == CLAIMS:
        answer(world, claims=True)
    done = finish(world, Case(payee, letters, first, second))
    assert done.paid == done.expected, done.story
    assert done.settled is (payee == CLAIMS)


# -- several updates in flight (BOLT 2) --------------------------------------------------------------------------------

PAYMENTS = ((CLIENT, 1, 11_000_111), (L, 2, 22_000_222), (CLIENT, 3, 33_000_333), (L, 4, 44_000_444), (L, 5, 5_000_555))
GAINED = 5_000_555 - 11_000_111 - 33_000_333
"""The client's when odd payments are claimed, and even ones given back (msat)."""


def interleaved(pair: Pair, order: int) -> None:
    """Deliver until the wire rests: the bits of ``order`` say whose letter is next, each side's in their order."""
    while pair.letters:
        wanted = (CLIENT, L)[order & 1]
        order >>= 1
        letter = next((one for one in pair.letters if one.sender == wanted), pair.letters[0])
        pair.letters.remove(letter)
        pair.deliver(letter)


@pytest.mark.parametrize("batching", [False, True])
@pytest.mark.parametrize("order", part(range(4096), 331))
def test_adds_and_removals_of_both_sides_cross_each_other_in_any_order(order: int, batching: bool) -> None:
    """All are offered before a letter arrives: one by one, or several under one signature."""
    pair = Pair().open()
    table = {hashed(number): preimage(number) if number % 2 else "given back" for _, number, _ in PAYMENTS}
    for side in (pair.a, pair.l):
        side.answer = lambda htlc: table[htlc.payment_hash]
        side.batching = batching
    for name, number, amount in PAYMENTS:
        pair.post(name, pair.sides[name].offer(amount, hashed(number), 200))
    signed = pair.a.channel.theirs, pair.l.channel.theirs
    assert signed == ((0, 0) if batching else (1, 1)), "the others wait for a revocation"
    for name in (CLIENT, L):
        pair.sides[name].batching = False
        pair.post(name, pair.sides[name].answer_pending())
    interleaved(pair, order)
    assert not pair.a.channel.htlcs and not pair.l.channel.htlcs
    assert balances(pair) == (CLIENT_MSAT + GAINED, CAPACITY_SAT * 1000 - CLIENT_MSAT - GAINED)
    check(pair)
