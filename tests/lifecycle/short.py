"""Short stories without chance in them: what a mistake in the middle of things is likely to spoil.

They are told in CI as they are, and with each planted mistake before the longer search for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from superscalar_ref.protocol.transaction import Kind
from tests.lifecycle.plans import END, Plan
from tests.lifecycle.story import Story

PAIR = Plan(clients=2, arities=(2,), static=0, leaf_k=1, states=3, step=2, balances=(20_000, 20_000))
LONG = Plan(clients=1, arities=(2,), static=0, leaf_k=1, states=4, step=3, balances=(20_000,))


@contextmanager
def active(plan: Plan) -> Iterator[Story]:
    """A factory that serves its clients."""
    story = Story(plan)
    try:
        story.lsp_does("invite")
        story.mail()
        story.lsp_does("fund")
        story.check()
        story.mine(3)
        story.check()
        yield story
    finally:
        story.close()


def in_a_hurry() -> None:
    """The LSP tries to fund after each letter."""
    story = Story(LONG)
    try:
        story.lsp_does("invite")
        story.mail(eager=True)
        story.settle()
    finally:
        story.close()


def updated_twice() -> None:
    """Two updates, of which the first sells more than an older state's poison pays; then the client leaves."""
    with active(LONG) as story:
        for more in (50_000, 0):
            story.update(0, (more,))
            story.mail()
            story.check()
        story.finish()


def asked_for_less() -> None:
    """The LSP asks for a version that gives a client less; it is given up."""
    with active(PAIR) as story:
        story.update(0, (-1_000, 0))
        story.mail()
        story.check()
        story.lsp_does("abort")
        story.finish()


def bought_from_stock() -> None:
    """A client buys twice from the stock; then everybody leaves."""
    with active(PAIR) as story:
        for capacity in (5_000, 4_000):
            story.buy("A", capacity)
            story.mail()
            story.check()
        story.finish()


def at_the_end() -> None:
    """Nobody does anything until the factory's end: then each alternate is in the first block that may hold it."""
    with active(LONG) as story:
        while story.ledger.height < END - 1:
            story.ledger.mine([])
        story.mine(2)
        if [one.template.kind for one in story.blocks[-1]] != [Kind.ALTERNATE]:
            raise story.wrong("the alternate is not in the first block after the end")
        story.finish()


SHORT: tuple[Callable[[], None], ...] = (in_a_hurry, updated_twice, asked_for_less, bought_from_stock)
