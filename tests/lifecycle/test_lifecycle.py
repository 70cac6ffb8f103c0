"""Stories of a factory: whatever happens, each client that holds a kit can leave alone with what it is owed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.lifecycle.machine import Life, story_settings
from tests.lifecycle.short import SHORT, at_the_end
from tests.lifecycle.story import Trouble
from tests.lifecycle.sweep import ALONE, SINGLE, sweep

TestLife = Life.TestCase
TestLife.settings = story_settings()


@pytest.mark.parametrize("trouble", SINGLE, ids=lambda trouble: f"{trouble[0]} {trouble[1][1]}".strip())
def test_one_trouble_at_each_letter(trouble: Trouble) -> None:
    assert sweep(ALONE, trouble) > 10


@pytest.mark.parametrize("tell", (*SHORT, at_the_end), ids=lambda tell: tell.__name__)
def test_a_short_story_ends_well(tell: Callable[[], None]) -> None:
    tell()
