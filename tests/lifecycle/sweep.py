"""One trouble at each letter of a ceremony in turn: what chance might take long to hit is always tried."""

from __future__ import annotations

from itertools import count

from tests.lifecycle.plans import Plan
from tests.lifecycle.story import Story, Trouble

SINGLE: tuple[Trouble, ...] = (
    ("doubled", (0, "", False)),
    ("lost", (0, "", False)),
    ("receiver restarts", (0, "", False)),
    ("store fails", (0, "dies before", True)),
    ("store fails", (0, "dies after", False)),
    ("store fails", (0, "is full", False)),
)
ALONE = Plan(clients=1, arities=(2,), static=0, leaf_k=1, states=2, step=2, balances=(20_000,))


def sweep(plan: Plan, trouble: Trouble) -> int:
    """Tell one story for each letter, up to a funded factory. Returns how many. Raises ``Wrong``."""
    for position in count():
        story = Story(plan)
        try:
            story.lsp_does("invite")
            story.mail(troubles=((position, trouble),))
            letters = len(story.tape)
            story.settle()
            story.lsp_does("fund")
            story.check()
        finally:
            story.close()
        if position >= letters:
            return position
    raise AssertionError
