"""A factory's whole life between real parties: ceremony, updates at every level, close."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from superscalar_ref.errors import InputError, SuperscalarError
from tests.parties.scene import BALANCE, scene, snapshot


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


def test_what_the_lsp_may_not_do_changes_nothing() -> None:
    play = scene(2)

    def refuses(step: Callable[[], object], says: str) -> None:
        before = snapshot(play.lsp)
        with pytest.raises(SuperscalarError, match=says):
            step()
        assert snapshot(play.lsp) == before

    leaf = play.tree.leaf_of("c0").path
    refuses(play.lsp.fund, "OUT_OF_TURN")
    refuses(lambda: play.lsp.update(leaf, {}), "OUT_OF_TURN|no factory")
    refuses(play.lsp.close, "no factory")
    play.ceremony()
    refuses(lambda: play.lsp.update(leaf, {}), "OUT_OF_TURN")
    refuses(play.lsp.close, "OUT_OF_TURN")
    play.fund().update(leaf).update(leaf)
    refuses(lambda: play.lsp.update(leaf, {}), "INDEX_LEFT")
    refuses(lambda: play.lsp.update("r.9", {}), "not in the tree")
    refuses(play.lsp.fund, "OUT_OF_TURN")
    play.close()
    refuses(lambda: play.lsp.update("r", {}), "OUT_OF_TURN")
    refuses(play.lsp.abort, "OUT_OF_TURN")


def test_an_update_that_does_not_fit_its_parent_is_refused() -> None:
    play = scene(2).ceremony().fund()
    before = play.lsp.party, play.lsp.archive
    with pytest.raises(InputError, match="stands"):
        play.lsp.update(play.tree.leaf_of("c0").path, play.channel("c0", BALANCE + 1, 30_000))
    assert (play.lsp.party, play.lsp.archive) == before
