"""An assisted exit by real parties on Core's code: whoever goes on is whole, wherever the other stops or crashes."""

from __future__ import annotations

from functools import cache
from itertools import product
from pathlib import Path

import pytest

from superscalar_ref.errors import ProtocolError, SigningError
from superscalar_ref.parties.departed import DepartedSigner
from superscalar_ref.parties.handover import LspHandover
from superscalar_ref.parties.watch import txid_bytes
from superscalar_ref.scenario.assisted_exit import spend_alone
from superscalar_ref.scenario.exit_world import FEE_SAT, LEAVER, MINING_FEE_SAT, ExitWorld, exit_plan
from superscalar_ref.scenario.town import LSP, payout_script, wallet_script
from tests.sweep import part

BALANCE, CAPACITY = 50_000, 150_000
PAID = BALANCE - FEE_SAT - MINING_FEE_SAT
STEPS = 28
"""Letters and blocks of a whole exit, and one more."""
TELLING = (*range(14), 15, 21, 22, 27)
"""Steps at which something is decided; in between the chain only grows."""


@cache
def begun() -> ExitWorld:
    return ExitWorld.found()


def asked(folder: Path | None = None) -> ExitWorld:
    world = begun().branch(folder)
    world.ask()
    return world


def has(world: ExitWorld) -> tuple[int, int, int]:
    """What the client, and the LSP in its payouts and in its wallet, have at rest (sat), beside what it began with."""
    base = begun()
    scripts = payout_script(LEAVER), payout_script(LSP), wallet_script(LSP)
    client, lsp, wallet = (world.paid(script) - base.paid(script) for script in scripts)
    return client, lsp, wallet


def lsp_part(world: ExitWorld) -> LspHandover:
    exit_ = world.exit_of(LSP)
    assert isinstance(exit_, LspHandover)
    return exit_


def test_the_client_is_paid_and_the_lsp_has_its_balance_and_its_key() -> None:
    world = asked()
    for _ in range(STEPS):
        world.step()
    assert [world.exit_of(name).status for name in (LEAVER, LSP)] == ["claimed", "claimed"]
    assert world.side(LSP).channel.balance_msat == CAPACITY * 1000
    assert lsp_part(world).factory_key() == world.cast.actors[LEAVER].key
    assert has(world) == (PAID, 0, -BALANCE + FEE_SAT - MINING_FEE_SAT)
    world.leave_alone(LSP, "to see what is its own")
    while not world.over(LSP):
        world.block()
    assert has(world) == (PAID, CAPACITY, -BALANCE + FEE_SAT - MINING_FEE_SAT)
    assert not world.wire.alerts


def test_a_key_that_was_handed_over_is_used_for_nothing_more() -> None:
    world = asked()
    for _ in range(STEPS):
        world.step()
    world.ask()
    world.run()
    assert "handed over before" in world.wire.alerts[-1]
    # The LSP would do it: the client itself does not.
    point = world.cast.actors[LEAVER].key.public.hex()
    assert all(world.exit_of(name).handed_over(point) for name in (LEAVER, LSP))


def test_a_client_leaves_no_other_factory_with_a_key_that_it_has_handed_over() -> None:
    before = asked()
    for _ in range(STEPS):
        before.step()
    # As if the next factory had the same key: there the LSP says nothing, and the client refuses by itself.
    world = begun().branch()
    world.exit_of(LEAVER).keyring = before.stores[LEAVER]
    world.ask()
    world.run()
    assert "FRESH_KEY" in world.wire.alerts[-1]
    assert not world.side(LEAVER).channel.htlcs and not world.exit_of(LEAVER).status


@pytest.mark.parametrize(("who", "status"), [(LEAVER, "locked"), (LSP, "refunding")])
def test_what_no_block_takes_goes_out_at_every_look_whatever_the_height(who: str, status: str) -> None:
    """AXT-8: the key is shown, and only the claim pays for it, after the height of AXT-4 too; AXT-9: so the refund."""
    world = asked()
    exit_ = world.exit_of(who)
    while exit_.agreed is None or world.ledger.confirmation_height(txid_bytes(exit_.agreed.offer.txid)) is None:
        world.step()
    (watcher,) = (one for one in world.cast.watchers[who] if one.side is exit_.side)
    looks, refund = {}, exit_.agreed.offer.refund_height
    while world.ledger.height < refund + 3:
        world.ledger.mine([])
        looks[world.ledger.height] = [one.txid for one in exit_.look(watcher).broadcasts]
    first = min(height for height, sent in looks.items() if sent)
    assert first == refund if who == LSP else first < refund
    assert [sent for height, sent in looks.items() if height >= first] == [looks[first]] * (refund + 4 - first)
    assert (len(looks[first]), exit_.status) == (1, status)


def test_no_second_exit_while_one_runs() -> None:
    world = asked()
    for _ in range(8):
        world.step()
    with pytest.raises(ProtocolError, match="EXIT_RUNS"):
        world.ask()


def departed() -> ExitWorld:
    """One of two has left, and the LSP plays its part."""
    world = ExitWorld.found(exit_plan(2))
    world.ask()
    while not all(world.over(name) for name in (LEAVER, LSP)):
        world.step()
    world.depart()
    return world


def test_the_lsp_signs_updates_for_who_has_left_and_the_others_channels_move_on() -> None:
    world = departed()
    (stays,) = set(world.clients) - {LEAVER}
    for node in ("r", "r.0", "r.1"):
        before = world.lsp.life.version
        world.post(LSP, world.lsp.update(node, {}))
        world.run()
        assert (world.lsp.life.status, world.lsp.life.version != before) == ("active", True), world.wire.alerts
        assert world.lsp.life.version
    channel = world.side(LSP, stays).channel
    assert (channel.status, len(channel.outpoints)) == ("live", 1)
    assert world.side(LSP).channel.outpoints == (world.side(LSP).terms.outpoint,), "that one goes nowhere"
    assert not world.wire.alerts
    world.ledger.close()


def test_nobody_but_the_lsp_is_answered_for_who_has_left_and_with_no_other_key() -> None:
    world = departed()
    stand_in = world.stand_ins[LEAVER]
    outbox = stand_in.receive("f0c1", b"{}")
    assert not outbox.messages and "only the LSP speaks to" in outbox.alerts[0]
    with pytest.raises(SigningError, match="not that of f0c0"):
        DepartedSigner(LEAVER, world.lsp, world.cast.actors["f0c1"].key)
    # Q-AXT-2: the keys of who has left are not those of who stays.
    key = lsp_part(world).factory_key()
    assert key is not None
    taken = spend_alone(world, [world.lsp.key, key])
    assert not world.ledger.would_accept([taken.serialized]).accepted
    whole = spend_alone(world, [world.lsp.key, key, world.cast.actors["f0c1"].key])
    assert world.ledger.would_accept([whole.serialized]).accepted
    world.ledger.close()


def stopped(who: str, at: int) -> ExitWorld:
    """Somebody stops for good; the other goes on until all that it can have is at rest."""
    world = asked()
    for _ in range(at):
        world.step()
    world.stop(who)
    other = LSP if who == LEAVER else LEAVER
    for _ in range(130):
        world.step()
        waits = world.exit_of(other).running or world.side(other).channel.status != "live"
        if not world.paths and not waits:
            world.leave_alone(other, "the other is silent")
        channel = world.side(other).channel
        # A client that has stopped does not fetch what is its own again.
        rests = all("htlc" in claim for claim in channel.claims) and other == LSP
        if channel.status == "swept" or (channel.status == "resolving" and rests):
            break
    return world


@pytest.mark.parametrize(("who", "at"), part(product((LEAVER, LSP), TELLING), 2))
def test_who_goes_on_is_whole_wherever_the_other_stops(who: str, at: int) -> None:
    world = stopped(who, at)
    client, lsp, wallet = has(world)
    claimed = world.exit_of(LSP if who == LEAVER else LEAVER).status == "claimed"
    if who == LSP:
        # What an LSP does not fetch is the client's again once it has expired.
        least = PAID if claimed else BALANCE
        assert client in ((least, PAID + BALANCE) if claimed else (least,))
    else:
        published = lsp_part(world).exit is not None and lsp_part(world).exit.published  # type: ignore[union-attr]
        spent = (-BALANCE + FEE_SAT - MINING_FEE_SAT) if claimed else (-2 * MINING_FEE_SAT if published else 0)
        assert (lsp, wallet) == (CAPACITY if claimed else CAPACITY - BALANCE, spent)
        assert client == (PAID if claimed else 0), "who has stopped has not taken anything either"
    world.ledger.close()


@pytest.mark.parametrize(("who", "at"), part(product((LEAVER, LSP), TELLING), 2))
def test_a_crash_changes_nothing(who: str, at: int, tmp_path: Path) -> None:
    world = asked(tmp_path)
    for _ in range(at):
        world.step()
    world.wire.letters.clear()
    world.crash(who)
    for _ in range(2 * STEPS):
        if not world.exit_of(LEAVER).status and not world.wire.letters:
            world.ask()  # Its request, or the answer, was lost.
        world.step()
    assert [world.exit_of(name).status for name in (LEAVER, LSP)] == ["claimed", "claimed"], world.wire.alerts
    assert world.side(LSP).channel.balance_msat == CAPACITY * 1000
    assert lsp_part(world).factory_key() == world.cast.actors[LEAVER].key
    assert has(world) == (PAID, 0, -BALANCE + FEE_SAT - MINING_FEE_SAT)
    world.ledger.close()
