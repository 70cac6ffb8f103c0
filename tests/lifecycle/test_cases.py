"""Short stories that once went wrong."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from superscalar_ref.parties.wire import Letter
from tests.lifecycle.plans import Plan
from tests.lifecycle.story import Story, kind_of
from tests.parties.scene import LSP

PAIR = Plan(clients=2, arities=(2,), static=0, leaf_k=1, states=3, step=2, balances=(20_000, 20_000))


@contextmanager
def active(plan: Plan) -> Iterator[Story]:
    """A factory that serves its clients."""
    story = Story(plan)
    try:
        story.lsp_does("invite")
        story.mail()
        story.lsp_does("fund")
        story.mine(3)
        yield story
    finally:
        story.close()


def test_a_client_whose_balance_is_dust_agrees_to_a_close() -> None:
    with active(replace(PAIR, balances=(1, 20_000))) as story:
        story.lsp_does("close")
        story.settle()
        assert story.scene.lsp.life.status == "close_published"
        story.mine(3)
        story.finish()
        assert set(story.scene.statuses().values()) == {"closed", "left"}


def test_an_update_that_asked_too_much_and_was_given_up_hinders_no_later_one() -> None:
    with active(PAIR) as story:
        story.update(0, (-1, 0))
        story.mail()
        story.lsp_does("abort")
        story.finish()
        assert story.scene.lsp.life.version == story.scene.clients["A"].counted
        assert story.scene.lsp.odometer.index("r") == 2


def test_an_update_given_up_after_a_client_holds_it_is_not_forgotten() -> None:
    with active(PAIR) as story:
        story.update(0, (5_000,))
        while story.scene.clients["A"].life.owed == 20_000:
            letter: Letter = story.letters.pop(0)
            if letter.to != LSP or kind_of(letter) != "KitComplete":
                story.deliver(letter)
        story.letters.clear()
        story.lsp_does("abort")
        story.mail()
        story.check()
        story.lsp_does("close")
        story.settle()
        assert story.scene.lsp.life.status == "close_published"
        story.finish()


def test_a_client_whose_word_was_lost_is_asked_with_a_point_of_its_own_again() -> None:
    with active(PAIR) as story:
        story.update(0, (5_000,))
        while story.letters:
            letter = story.letters.pop(0)
            if kind_of(letter) != "KitComplete":
                story.deliver(letter)
        assert story.scene.clients["A"].life.owed == 25_000
        story.lsp_does("abort")
        story.letters.clear()
        story.update(0, (0,))
        story.finish()
        assert story.scene.clients["A"].life.owed == 25_000
