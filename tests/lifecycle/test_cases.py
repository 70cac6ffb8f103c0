"""Short stories that once went wrong: told by hand, or found by ``make fuzz`` and kept as a script in ``cases/``."""

from __future__ import annotations

import runpy
from dataclasses import replace
from pathlib import Path

import pytest

from superscalar_ref.parties.wire import Letter
from tests.lifecycle.short import PAIR, active
from tests.lifecycle.story import kind_of
from tests.parties.scene import LSP


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


@pytest.mark.parametrize("script", sorted((Path(__file__).parent / "cases").glob("*.py")), ids=lambda path: path.stem)
def test_a_case_that_was_found_stays_well(script: Path) -> None:
    runpy.run_path(str(script))


def test_an_lsp_that_gave_an_update_up_and_starts_again_has_given_it_up() -> None:
    with active(PAIR) as story:
        story.update(0, (5_000,))
        story.mail(20)
        story.lsp_does("abort")
        story.letters.clear()
        story.restart(LSP)
        assert story.scene.lsp.life.status == "active"
        story.finish()
