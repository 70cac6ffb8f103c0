"""A watchtower for clients that are away: it answers kickoffs in time, then what has won; without it, what §11 says."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from superscalar_ref.parties import tower as towers
from superscalar_ref.parties.tower import Tower
from superscalar_ref.parties.wire import Wire
from superscalar_ref.protocol.blueprint import Locks
from superscalar_ref.protocol.client import Limits
from superscalar_ref.protocol.shape import Shape
from tests.parties.chain_scene import OnChain
from tests.parties.scene import BALANCE, INBOUND, LSP, STOCK
from tests.parties.tower_scene import DEPTH, Sky, Watched, copied, tower

BINARY = Shape.of([2])
LOCKS = Locks(step=3, states=3, to_self_delay=4, end=190, stock_lock_blocks=5)
GAIN = 5_000
POISON_FEE = 111


@dataclass
class Base:
    """A factory that was updated twice: the root once, then the leaf of c0, in whose favour."""

    here: OnChain
    tower: Tower

    def story(self, *names: str) -> Watched:
        """A chain of its own, watched by copies of the tower."""
        return Watched.at(self.here, *(copied(self.tower, name) for name in names))


@pytest.fixture(scope="module")
def base() -> Base:
    one = tower()
    here = OnChain.start(2, BINARY, LOCKS, towers={"T": one})
    play = here.play
    play.update("r")
    play.update("r.0", play.channel("c0", BALANCE + GAIN, INBOUND - GAIN))
    assert not play.wire.alerts
    assert play.clients["c0"].life.version == "1.1"
    assert play.clients["c0"].life.owed == BALANCE + GAIN
    return Base(here, one)


def test_an_old_root_state_loses_against_the_towers_newest(base: Base) -> None:
    story = base.story("T")
    story.lsp_publishes("kickoff:r@-")
    for _ in range(8):
        story.lsp_publishes("state:r@0")
    assert story.confirmed("state:r@1")
    assert not story.confirmed("state:r@0")


def test_an_old_leaf_state_loses_against_the_towers_newest(base: Base) -> None:
    story = base.story("T")
    story.lsp_publishes("kickoff:r@-")
    story.sky.wait(5)
    story.lsp_publishes("kickoff:r.0@1")
    for _ in range(8):
        story.lsp_publishes("state:r.0@1.0")
    assert story.confirmed("state:r.0@1.1")
    assert not story.confirmed("state:r.0@1.0")


def test_the_tower_begins_nothing(base: Base) -> None:
    story = base.story("T")
    story.sky.wait(40)
    assert story.names() == {"funding"}
    story.lsp_publishes("kickoff:r@-")
    story.sky.wait(20)
    assert story.names() == {"funding", "kickoff:r@-", "state:r@1"}, "the kickoff below is somebody else's to publish"


def loss(story: Watched) -> int:
    """What c0 counts on and does not get, when the LSP plays its old leaf state and everything after it."""
    story.lsp_publishes("kickoff:r@-")
    story.sky.wait(LOCKS.step)
    story.lsp_publishes("state:r@1")
    story.lsp_publishes("kickoff:r.0@1")
    story.sky.wait(2 * LOCKS.step - 1)
    return story.here.play.clients["c0"].life.owed


def test_without_a_tower_a_client_that_is_away_too_long_loses(base: Base) -> None:
    """The third row of the table of what everyone assumes: nobody answers within a step."""
    story = base.story()
    owed = loss(story)
    taken = story.lsp_publishes("state:r.0@1.0", "commitment:c0@1.0:L")
    assert taken == ["state:r.0@1.0", "commitment:c0@1.0:L"]
    story.sky.wait(LOCKS.stock_lock_blocks)
    story.lsp_publishes("expiry:state:r.0@1.0#1")
    assert story.confirmed("expiry:state:r.0@1.0#1"), "the stock is the LSP's again, with all that was sold from it"
    assert owed - story.gets("c0") == GAIN


def test_a_tower_that_is_down_for_longer_than_a_step_loses_the_same(base: Base) -> None:
    story = base.story("T")
    story.sky.look()
    story.sky.down.add("T")
    owed = loss(story)
    assert story.lsp_publishes("state:r.0@1.0", "commitment:c0@1.0:L") == ["state:r.0@1.0", "commitment:c0@1.0:L"]
    story.sky.down.clear()
    story.sky.wait(4)
    assert story.confirmed("poison:state:r.0@1.0#1"), "what is left of the old state it still takes from the LSP"
    assert owed - story.gets("c0") == GAIN - (STOCK - POISON_FEE), "the old balance, and the old stock"


def test_a_late_tower_takes_all_of_an_old_state_that_is_not_closed_yet(base: Base) -> None:
    story = base.story("T")
    story.sky.look()
    story.sky.down.add("T")
    owed = loss(story)
    story.lsp_publishes("state:r.0@1.0")
    story.sky.down.clear()
    story.sky.wait(2)
    assert story.confirmed("poison:state:r.0@1.0#0")
    assert story.confirmed("poison:state:r.0@1.0#1")
    assert story.gets("c0") > owed + INBOUND - GAIN
    assert story.gets(LSP) == 0


def test_a_client_that_never_comes_back_is_paid_by_the_alternate(base: Base) -> None:
    story = base.story("T")
    story.sky.wait(LOCKS.end - story.sky.ledger.height)
    assert story.names() == {"funding"}
    story.sky.wait(2)
    assert story.confirmed("alternate:funding#0")
    for name, client in base.here.play.clients.items():
        assert story.gets(name) >= client.life.owed


def test_of_several_towers_one_that_is_up_is_enough(base: Base) -> None:
    story = base.story("T", "U", "V")
    story.sky.down |= {"T", "V"}
    story.lsp_publishes("kickoff:r@-")
    for _ in range(8):
        story.lsp_publishes("state:r@0")
    assert story.confirmed("state:r@1")


def test_a_tower_that_restarts_at_every_block_does_the_same(base: Base) -> None:
    story = base.story("T")
    story.lsp_publishes("kickoff:r@-")
    for _ in range(8):
        one = story.sky.towers["T"]
        one.store.rollback()
        story.sky.towers["T"] = Tower("T", one.store, one.depth)
        assert story.sky.towers["T"].cases() == one.cases()
        assert story.sky.towers["T"].health() == one.health()
        story.lsp_publishes("state:r@0")
    assert story.confirmed("state:r@1")


def test_a_reorg_takes_the_kickoff_back_and_gives_it_again_later(base: Base) -> None:
    story = base.story("T")
    sky = story.sky
    kickoff = story.by(LSP, "kickoff:r@-")
    sky.mine([kickoff])
    sky.wait(1)
    one = next(case for case in sky.towers["T"].cases("c0") if case.outpoint.startswith(kickoff.txid))
    assert one.status == "triggered"
    sky.ledger.reorg(2)
    sky.waiting.clear()
    sky.look()
    one = next(case for case in sky.towers["T"].cases("c0") if case.outpoint == one.outpoint)
    assert (one.status, one.confirmed) == ("watching", -1)
    assert not sky.waiting
    sky.mine([kickoff])
    again = sky.ledger.height
    for _ in range(8):
        story.lsp_publishes("state:r@0")
    found = sky.ledger.confirmation_height(bytes.fromhex(story.by("c0", "state:r@1").txid)[::-1])
    assert found == again + LOCKS.step, "the lock counts from the new block"


def test_a_reorg_takes_the_answer_back_and_it_is_given_again(base: Base) -> None:
    story = base.story("T")
    story.lsp_publishes("kickoff:r@-")
    story.sky.wait(LOCKS.step + 1)
    assert story.confirmed("state:r@1")
    story.sky.ledger.reorg(2)
    story.sky.waiting.clear()
    assert not story.confirmed("state:r@1")
    story.sky.wait(2)
    assert story.confirmed("state:r@1")
    story.sky.wait(4)
    done = [case for case in story.sky.towers["T"].cases("c0") if case.status == "settled"]
    assert len(done) == 2, "the funding output and the kickoff's"


def test_what_is_on_chain_for_longer_than_it_remembers_blocks_is_still_answered(
    base: Base, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(towers, "MEMORY_BLOCKS", 2)
    monkeypatch.setattr(towers, "FORGET_AFTER", 1)
    story = base.story("T")
    story.lsp_publishes("kickoff:r@-")
    for _ in range(LOCKS.step + 1):
        story.lsp_publishes("state:r@0")
        one = story.sky.towers["T"]
        story.sky.towers["T"] = Tower("T", one.store, one.depth)
    assert len(one.store.blocks()) <= 4
    assert story.confirmed("state:r@1")


def test_thirty_days_away_at_the_real_step() -> None:
    """4,320 blocks pass; then the LSP plays its oldest states. The tower alone is there."""
    locks = Locks(step=144, states=4, to_self_delay=144, end=9_000, stock_lock_blocks=1_008)
    limits = Limits(ceiling=2_016, margin=5, life=60, depth=DEPTH, reaction=100)
    one = tower()
    here = OnChain.start(1, BINARY, locks, towers={"T": one}, limits=limits)
    here.play.update("r")
    here.play.update("r")
    here.ledger.advance(4_320)
    story = Watched(here, Sky(here.ledger, {"T": one}))
    story.lsp_publishes("kickoff:r@-")
    here.ledger.advance(143)
    story.sky.mine()
    assert story.confirmed("state:r@2"), "two steps before the oldest"
    assert story.lsp_publishes("state:r@0", "state:r@1") == []


def test_a_tower_that_comes_later_is_handed_all_that_counts(base: Base) -> None:
    play = base.here.play
    client = play.clients["c1"]
    late = tower("late")
    wire = Wire(play.actors, {**play.towers, "late": late})
    before = client.life
    wire.post("c1", client.add_tower("late"))
    wire.run()
    known = {entry.txid for entry in play.towers["T"].store.entries() if entry.client == "c1"}
    assert {entry.txid for entry in late.store.entries()} == known
    assert client.life == before
    wire.post("c1", client.drop_tower("late"))
    assert set(client.party.towers) == {"T"}
