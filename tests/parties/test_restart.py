"""Parties die after any message and come back from their stores: the same end, with fresh nonces."""

from __future__ import annotations

from pathlib import Path

import pytest

from superscalar_ref.protocol.shape import Shape
from tests.parties.scene import BINARY, LSP, Scene, check_consistent, scene

PAIR = Shape.of([2], leaf_k=2)
"""Both clients in one leaf."""


class Kill:
    """Restarts parties after the ``at``-th message; what was on its way to them is lost, or not."""

    def __init__(self, play: Scene, names: tuple[str, ...], at: int, lose: bool) -> None:
        self.play, self.names, self.at, self.lose = play, names, at, lose

    def __call__(self, count: int) -> None:
        if count != self.at:
            return
        for name in self.names:
            self.play.restart(name)
        if self.lose:
            kept = [letter for letter in self.play.wire.letters if letter.to not in self.names]
            self.play.wire.letters.clear()
            self.play.wire.letters.extend(kept)


def live_through(play: Scene, kill: Kill) -> None:
    """Ceremony, funding, an update, a close, with one death on the way."""
    wire = play.wire
    wire.post(LSP, play.lsp.invite())
    wire.run(kill)
    play.settle("signed")
    assert set(play.statuses().values()) == {"signed", "holding"}
    check_consistent(play)
    play.fund()
    leaf = play.tree.leaves()[0]
    wire.post(LSP, play.lsp.update(leaf.path, {}))
    wire.run(kill)
    play.settle("active")
    assert set(play.statuses().values()) == {"active"}
    for client in leaf.clients:
        assert play.clients[client].life.version.endswith("1")
    check_consistent(play)
    wire.post(LSP, play.lsp.close())
    wire.run(kill)
    play.settle("close_published")
    assert set(play.statuses().values()) == {"close_published", "closing"}
    check_consistent(play)
    assert len({transaction.txid for transaction in wire.broadcasts}) == 2


def length(shape: Shape, clients: int) -> int:
    play = scene(clients, shape=shape)
    live_through(play, Kill(play, (), 0, lose=False))
    return play.wire.count


@pytest.mark.parametrize("who", ["L", "c0", "everyone"])
def test_a_death_after_any_message_on_disk(tmp_path: Path, who: str) -> None:
    names = ("L", "c0") if who == "everyone" else (who,)
    for at in range(1, length(BINARY, 1) + 1, 1 if who == "everyone" else 2):
        directory = tmp_path / str(at)
        directory.mkdir()
        play = scene(1, directory=directory)
        live_through(play, Kill(play, names, at, lose=at % 2 == 0))
        for actor in play.actors.values():
            actor.store.close()


@pytest.mark.parametrize("lose", [False, True])
@pytest.mark.parametrize("who", ["L", "c0"])
def test_a_death_after_any_message_among_two(who: str, lose: bool) -> None:
    for at in range(1 + lose, length(PAIR, 2) + 1, 2):
        play = scene(2, shape=PAIR)
        live_through(play, Kill(play, (who,), at, lose))
