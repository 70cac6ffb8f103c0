"""Updates of a leaf that give a client a larger channel, and what a client that waits for the end gets (Q-STK-6).

The alternates above the leaf were signed before the update. So the client's own table is asked whether it takes the new
version, with what those alternates pay it; a version that it takes becomes a stop, and the client waits.
"""

from __future__ import annotations

from collections.abc import Iterator

from superscalar_ref.check.stock import AMOUNTS, CAPACITY, START, UPDATED, Leaf, Stop
from superscalar_ref.check.world import LSP
from superscalar_ref.errors import Refused
from superscalar_ref.machine.step import BoundMachine, step
from superscalar_ref.machine.types import Event
from superscalar_ref.protocol.blueprint import Blueprint
from superscalar_ref.protocol.chain_links import standing_cover
from superscalar_ref.protocol.client import Client, Limits

HERO = "A"
_LIMITS = Limits(ceiling=1, margin=0, life=0, depth=1)
"""What a client insists on when it joins: nothing of it is asked of an update."""


def growths(leaf: Leaf, clients: BoundMachine[Client]) -> Iterator[Stop]:
    """Updates that give A all of its channel, and of the shared stock its share, or more than that."""
    old = leaf.version(0, START)
    for more in AMOUNTS:
        new = leaf.version(1, CAPACITY + more, more=more)
        if not _taken(clients, old, new):
            continue
        # What stands above the new state stays as it was signed.
        catalog = {**new.templates, **old.templates}
        story = (
            "everybody signs the first version, and the funding is in block 0",
            f"an update makes A's channel larger by {more} units of the shared stock, all of it on A's side",
        )
        yield Stop(UPDATED, story, catalog, frozenset(catalog), {HERO: CAPACITY + more}, {}, waiting=frozenset({HERO}))


def _taken(clients: BoundMachine[Client], old: Blueprint, new: Blueprint) -> bool:
    """Whether A's table takes the new version."""
    here = Client(
        "active", HERO, LSP, _LIMITS, version="0", newest_agreed="0", owed=old.owed(HERO), capacity=_channel(old)
    )
    cover = standing_cover(old.templates, new, HERO)
    event = Event.of(
        "update_proposal",
        LSP,
        version="1",
        balance=new.owed(HERO),
        capacity=_channel(new),
        kit=new.kit_of(HERO),
        **({} if cover is None else {"cover": cover}),
    )
    try:
        step(clients, here, event)
    except Refused:
        return False
    return True


def _channel(version: Blueprint) -> int:
    """A's channel, both sides together (units)."""
    return version.contents["r"].capacity_of(HERO)
