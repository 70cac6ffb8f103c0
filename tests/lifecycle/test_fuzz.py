"""What ``make fuzz`` writes down, and how it is called."""

from __future__ import annotations

from pathlib import Path

import pytest

from superscalar_ref.errors import InputError
from tests.lifecycle.fuzz import database, write_down
from tests.lifecycle.story import Wrong

NOTES = """Failing test case:
state = Life()
Plan(clients=1)
100: L (gathering): invite
state.begin(plan=Plan(clients=1,
 arities=(2,)), updates=[])
100: A gets Invitation of L
state.teardown()
"""


def test_what_went_wrong_becomes_a_story_and_a_script(tmp_path: Path) -> None:
    wrong = Wrong('\nPlan()\n100: one thing\nWRONG at height 100: A loses "all"')
    wrong.add_note(NOTES)
    script = write_down(tmp_path, ExceptionGroup("Hypothesis found", [Exception(), wrong][1:]))
    lines = script.read_text(encoding="utf-8").splitlines()
    assert lines[0] == '"""WRONG at height 100: A loses \'all\'."""'
    assert lines[-4:] == [
        "state = Life()",
        "state.begin(plan=Plan(clients=1,",
        " arities=(2,)), updates=[])",
        "state.teardown()",
    ]
    compile("\n".join(lines), str(script), "exec")
    assert "100: one thing" in script.with_suffix(".txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("redis", ["nowhere", "host:port"])
def test_a_database_that_cannot_be_is_refused(redis: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\[fuzz\]"):
        database(tmp_path, redis)
