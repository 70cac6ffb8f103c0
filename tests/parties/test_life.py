"""A factory's whole life between real parties: ceremony, updates at every level, close."""

from __future__ import annotations

from pathlib import Path

import pytest

from superscalar_ref.errors import Refused
from tests.parties.scene import BALANCE, scene


@pytest.mark.parametrize("on_disk", [False, True])
def test_a_life(tmp_path: Path, on_disk: bool) -> None:
    play = scene(3, directory=tmp_path if on_disk else None).ceremony()
    assert play.statuses() == {"L": "signed", "c0": "holding", "c1": "holding", "c2": "holding"}
    assert not play.wire.broadcasts
    play.fund()
    assert [transaction.txid for transaction in play.wire.broadcasts] == [play.lsp.factory.realised["funding"].txid]
    assert set(play.statuses().values()) == {"active"}
    play.update(play.tree.leaf_of("c1").path, play.channel("c1", BALANCE + 5_000, 25_000))
    assert play.clients["c1"].life.owed == BALANCE + 5_000
    assert play.clients["c1"].life.version == "0.0.1"
    play.update("r.0")
    assert play.clients["c1"].life.version == "0.1.0"
    assert play.clients["c2"].life.version == "0.0"
    play.update("r")
    assert {name: client.life.version for name, client in play.clients.items()} == {
        "c0": "1.0.0",
        "c1": "1.0.0",
        "c2": "1.0",
    }
    play.close()
    assert play.statuses() == {"L": "close_published", "c0": "closing", "c1": "closing", "c2": "closing"}
    assert len(play.wire.broadcasts) == 2
    assert not play.wire.alerts
    assert max(play.wire.nonces().values()) == 1


def test_a_used_up_counter_is_refused() -> None:
    play = scene(2).ceremony().fund()
    leaf = play.tree.leaf_of("c0").path
    play.update(leaf).update(leaf)
    before = play.lsp.party
    with pytest.raises(Refused, match="INDEX_LEFT"):
        play.lsp.update(leaf, {})
    assert play.lsp.party == before
