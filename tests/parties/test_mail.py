"""Mail is lost, doubled and reordered, parties die, and the LSP tries again: every life comes to its end."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from superscalar_ref.errors import InputError
from superscalar_ref.parties import messages as m
from superscalar_ref.protocol.shape import Shape
from tests.parties.scene import LSP, Scene, check_consistent, scene

SHAPES = ((2, Shape.of([2])), (2, Shape.of([2], leaf_k=2)), (3, Shape.of([2], leaf_k=2)))
TROUBLE = st.sampled_from(["lose", "double", "late", "L", "c0", "c1"])
"""What happens at a letter: to it, or to a party, which dies."""


def deliver_one(play: Scene, trouble: str | None) -> None:
    letters = play.wire.letters
    letter = letters.popleft()
    match trouble:
        case "lose":
            return
        case "late":
            letters.append(letter)
            return
        case "double":
            letters.append(letter)
        case str(name):
            play.restart(name)
        case None:
            pass
    play.wire.deliver(letter)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(SHAPES), st.dictionaries(st.integers(0, 120), TROUBLE, max_size=25))
def test_any_mail_ends_well(shape: tuple[int, Shape], troubles: dict[int, str]) -> None:
    play = scene(shape[0], shape=shape[1])
    number, tries = 0, 0
    while play.lsp.life.status != "close_published":
        assert tries < 60, (play.statuses(), play.wire.alerts[-4:])
        if not play.go_on():
            tries += 1
            play.wire.post(LSP, play.lsp.retry())
        while play.wire.letters:
            deliver_one(play, troubles.get(number))
            number += 1
    play.wire.run()
    check_consistent(play)
    assert set(play.statuses().values()) == {"close_published", "closing"}
    assert len({transaction.txid for transaction in play.wire.broadcasts}) == 2
    for client in play.clients.values():
        assert client.life.version.endswith("1") == (client.name in play.tree.leaves()[0].clients)


def test_an_update_that_was_given_up_is_not_built_upon() -> None:
    """Its index is used up; siblings go on from the version that counts, and what is below it must be redone above."""
    play = scene(3).ceremony().fund()
    play.wire.post(LSP, play.lsp.update("r.0", {}))
    play.wire.post(LSP, play.lsp.abort())
    play.wire.run()
    assert set(play.statuses().values()) == {"active"}
    other = play.tree.leaf_of("c2").path
    play.update(other)
    assert set(play.statuses().values()) == {"active"}
    assert play.clients["c2"].life.version == "0.1"
    assert play.lsp.counted_versions == {"r": 0, "r.0": 0, "r.0.0": 0, "r.0.1": 0, "r.1": 1}
    with pytest.raises(InputError, match="given up"):
        play.lsp.update("r.0.0", {})
    play.update("r.0")
    assert {play.clients[name].life.version for name in ("c0", "c1")} == {"0.2.0"}
    assert set(play.statuses().values()) == {"active"}
    check_consistent(play)
    play.close()
    check_consistent(play)
    assert play.lsp.life.status == "close_published"


def test_a_lost_word_that_an_update_was_given_up_is_said_again() -> None:
    play = scene(2).ceremony().fund()
    play.wire.post(LSP, play.lsp.update("r", {}))
    while play.statuses()["c0"] != "updating":
        play.wire.deliver(play.wire.letters.popleft())
    play.wire.letters.clear()
    play.lsp.abort()
    assert play.statuses()["c0"] == "updating"
    play.wire.post(LSP, play.lsp.retry())
    play.wire.run()
    assert set(play.statuses().values()) == {"active"}
    assert {client.life.version for client in play.clients.values()} == {"0.0"}


def test_a_client_never_says_that_a_kit_is_complete_which_it_gave_up() -> None:
    play = scene(2).ceremony().fund()
    play.wire.post(LSP, play.lsp.update("r", {}))
    while play.statuses()["c0"] != "updating":
        play.wire.deliver(play.wire.letters.popleft())
    client = play.clients["c0"]
    label = client.label
    client.receive(LSP, m.encode(m.UpdateAborted(label)))
    assert client.life.status == "active"
    outbox = client.receive(LSP, m.encode(m.Begin(99)))
    assert not outbox.messages
    outbox = client.receive(LSP, play.wire.tape[-1].raw)
    assert not outbox.messages
