"""Stories of a factory: whatever happens, each client that holds a kit can leave alone with what it is owed."""

from __future__ import annotations

from tests.lifecycle.machine import Life, story_settings

TestLife = Life.TestCase
TestLife.settings = story_settings()
