"""What a kit of each age publishes, and what it leaves alone: each kind and age of spec/backup.toml in a life."""

from __future__ import annotations

import pytest

from superscalar_ref.chain.interface import TxOut
from superscalar_ref.chain.kernel import KernelLedger
from superscalar_ref.chain.record import transactions_in
from superscalar_ref.parties.kit import export
from superscalar_ref.parties.kit_exit import exit_by_kit
from superscalar_ref.parties.watch import Watcher
from tests.parties.scene import BALANCE, COIN, WALLET_SCRIPT, Scene, coin, scene
from tests.parties.test_kit import ME, SHARE, funded, updated

BOUGHT = 5_000


def publish(play: Scene, ledger: KernelLedger, *names: str) -> None:
    """The LSP publishes these of its own, each as soon as its lock lets it."""
    lsp = play.lsp
    for name in names:
        ledger.advance((lsp.factory.templates[name].spends[0].relative_lock or 1) - 1)
        ledger.mine([lsp.complete_transaction(name).serialized])


def test_a_kit_of_unknown_age_takes_a_superseded_leaf_from_a_cheat() -> None:
    play, ledger = funded()
    updated(play, BALANCE + 5_000)
    old_leaf = play.lsp.counted_blueprint().path(ME)[-1].replace("@1.0", "@0.0")
    publish(play, ledger, "kickoff:r@-", "state:r@0", f"kickoff:{old_leaf[6:-4]}@0", old_leaf)
    seen = [one for raw in ledger.raw_blocks() for one in transactions_in(raw)]
    story = exit_by_kit(export(play.clients[ME]), ledger, seen=seen)
    assert [step.name.split(":")[0] for step in story.steps] == ["poison"] * len(story.steps)
    assert story.received_sat >= SHARE
    assert story.steps


def test_a_kit_of_unknown_age_publishes_what_was_sold_and_is_paid_for_it_at_the_end() -> None:
    ledger = KernelLedger.start([TxOut(COIN, WALLET_SCRIPT)])
    point = ledger.funds[0]
    play = scene(2, coins=(coin(point.txid[::-1].hex(), point.index),)).ceremony()
    play.wire.post(play.lsp.name, play.lsp.fund())
    ledger.mine([play.wire.broadcasts.pop().serialized])
    ledger.advance(play.limits.depth - 1)
    for actor in play.actors.values():
        Watcher(actor, ledger).look()
    play.wire.post(ME, play.clients[ME].buy(BOUGHT, 1_000))
    play.wire.run()
    publish(play, ledger, *play.lsp.counted_blueprint().path(ME))
    story = exit_by_kit(export(play.clients[ME]), ledger)
    assert story.age == "unknown"
    assert "sale" in {step.name.split(":")[0] for step in story.steps}
    assert story.received_sat >= SHARE + BOUGHT


@pytest.mark.parametrize("begun_by_another", [False, True])
def test_a_kit_that_is_shown_to_be_old_begins_nothing_and_answers_no_kickoff(begun_by_another: bool) -> None:
    play, ledger = funded()
    kit = export(play.clients[ME])
    updated(play, BALANCE + 5_000)
    newer = play.lsp.complete_transaction("state:r@1")
    if begun_by_another:
        publish(play, ledger, "kickoff:r@-")
    story = exit_by_kit(kit, ledger, vouched=True, shown=[newer])
    assert story.age == "old"
    assert [step.name.split(":")[0] for step in story.steps] == ["alternate"]
    assert story.received_sat >= SHARE
