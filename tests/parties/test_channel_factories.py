"""A payment of real HTLCs crosses two factories of one LSP; then both channels end on Core's code, in every way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import product

import pytest

from superscalar_ref.bitcoin.transaction import Transaction
from superscalar_ref.chain.interface import TxOut
from superscalar_ref.chain.kernel import KernelLedger
from superscalar_ref.errors import ProtocolError, Refused
from superscalar_ref.parties.actor import Actor
from superscalar_ref.parties.channel_actor import ChannelActor
from superscalar_ref.parties.channel_leaf import open_in_leaf
from superscalar_ref.parties.channel_relay import Relay, Route
from superscalar_ref.parties.channel_watch import ChannelWatcher
from superscalar_ref.parties.store import Store
from superscalar_ref.parties.watch import txid_bytes
from superscalar_ref.protocol.channel import Htlc
from superscalar_ref.protocol.htlc_limits import HtlcLimits
from tests.parties.channel_chain import OVER, Chain
from tests.parties.channel_scene import hashed, preimage
from tests.parties.scene import BALANCE, COIN, INBOUND, LSP, WALLET_SCRIPT, Scene, coin, payout, scene

AMOUNT, FEE_MSAT, CLOSE_FEE = 7_000_123, 1_001, 150
DEPTH = 2


@dataclass
class World:
    """Two factories on one chain, a client of each, and the channels of both with the LSP."""

    ledger: KernelLedger
    scenes: dict[str, Scene]
    """Client → its factory."""
    relay: Relay = field(default_factory=lambda: Relay(Store(), FEE_MSAT))
    sides: dict[str, tuple[ChannelActor, ChannelActor]] = field(default_factory=dict)
    """Client → its side, the LSP's side."""
    alerts: list[str] = field(default_factory=list)
    change: int = 0
    """What the LSP's wallet got back when it funded (sat)."""

    @classmethod
    def start(cls) -> World:
        ledger = KernelLedger.start([TxOut(COIN, WALLET_SCRIPT)] * 2)
        scenes: dict[str, Scene] = {}
        for client, point in zip(("ann", "bob"), ledger.funds, strict=True):
            factory = scene((client, f"{client}s-friend"), coins=(coin(point.txid[::-1].hex(), point.index),))
            factory.offer = factory.offer.__class__(**{**vars(factory.offer), "factory": f"factory of {client}"})
            factory.lsp.offer = factory.offer
            factory.ceremony().fund(ledger.height)
            ledger.mine([one.serialized for one in factory.wire.broadcasts])
            scenes[client] = factory
        world = cls(ledger, scenes)
        world.change = world.paid(LSP)
        for client in scenes:
            world.open(client)
        return world

    def open(self, client: str) -> None:
        factory = self.scenes[client]
        made: list[ChannelActor] = []
        for actor in (factory.clients[client], factory.lsp):
            side = open_in_leaf(
                actor, client, factory.clients[client].counted, Store(), self.limits(actor, client),
                depth=DEPTH, close_fee_sat=CLOSE_FEE,
            )  # fmt: skip
            side.height = self.ledger.height
            made.append(side)
        self.sides[client] = (made[0], made[1])
        self.relay.join(made[1])
        made[0].connect()
        self.run()

    def limits(self, actor: Actor, client: str) -> HtlcLimits:
        terms = actor.factory.terms
        return HtlcLimits(terms.exit_blocks(client), 5, terms.locks.end, 20)

    def run(self) -> None:
        """Deliver until nothing is on its way, in both factories."""
        for _ in range(300):
            moved = False
            for client, (mine, theirs) in self.sides.items():
                for sender, receiver in ((mine, theirs), (theirs, mine)):
                    outbox, sender.outbox = sender.outbox, type(sender.outbox)()
                    self.alerts += outbox.alerts
                    for _, raw in outbox.messages:
                        moved = True
                        kept = receiver.outbox
                        taken = receiver.receive(sender.name, raw)
                        taken.messages[:0] = kept.messages
                        assert client
                        receiver.outbox = taken
            for name, outbox in self.relay.flush().items():
                self.relay.channels[name].outbox = outbox
                moved = moved or bool(outbox.messages)
            if not moved:
                return
        raise AssertionError("the wire does not come to rest")

    def pay(self, payer: str, payee: str, number: int) -> None:
        """A payment between two factories, through the LSP."""
        mine = self.sides[payer][0]
        outgoing = self.sides[payee][1]
        expiry = outgoing.limits.earliest(self.ledger.height)
        self.relay.routes[hashed(number)] = Route(outgoing.terms.name, AMOUNT, expiry)
        mine.offer(AMOUNT + FEE_MSAT, hashed(number), expiry + mine.limits.forward_delta)
        self.run()

    def exit(self, client: str, by: Actor) -> None:
        """Bring a client's leaf on chain, each transaction as soon as its lock allows."""
        blueprint = by.factory.blueprints[self.scenes[client].clients[client].counted]
        for name in blueprint.path(client):
            if self.ledger.confirmation_height(txid_bytes(by.factory.realised[name].txid)) is not None:
                continue
            lock = by.factory.templates[name].spends[0].relative_lock or 0
            if lock > 1:
                self.ledger.advance(lock - 1)
            self.ledger.mine([by.complete_transaction(name).serialized])

    def finish(self) -> None:
        chain = Chain(self.ledger)
        for client, sides in self.sides.items():
            for side in sides:
                chain.watchers[f"{client}/{side.name}"] = ChannelWatcher(side, self.ledger)
        for _ in range(150):
            chain.round(list(chain.watchers))
            if all(side.channel.status in OVER for sides in self.sides.values() for side in sides):
                return
        raise AssertionError([side.channel.status for sides in self.sides.values() for side in sides])

    def paid(self, name: str) -> int:
        """What a party has at rest, beside the LSP's change (sat)."""
        return Chain(self.ledger).paid(payout(name)) - (self.change if name == LSP else 0)


def answer_with(*numbers: int) -> Callable[[Htlc], bytes | str | None]:
    table = {hashed(number): preimage(number) for number in numbers}
    return lambda htlc: table.get(htlc.payment_hash)


def test_a_channel_in_a_leaf_begins_with_what_the_ceremony_signed() -> None:
    world = World.start()
    for client, sides in world.sides.items():
        factory = world.scenes[client]
        for side, actor in zip(sides, (factory.clients[client], factory.lsp), strict=True):
            assert (side.channel.status, side.channel.mine, side.channel.theirs) == ("live", 0, 0)
            (name,) = [n for n in actor.held if n.startswith(f"commitment:{client}@") and n.endswith(f":{side.name}")]
            first: Transaction = side.own_transaction(side.terms.outpoint)
            assert first == actor.complete_transaction(name)
    assert not world.alerts


def test_a_side_without_its_first_commitment_cannot_open() -> None:
    factory = scene(2).ceremony()
    client = factory.clients["c0"]
    (own,) = [name for name in client.held if name.startswith("commitment:c0") and name.endswith(":c0")]
    del client.signatures[own]
    with pytest.raises(Refused, match="FIRST_COMPLETE"):
        open_in_leaf(client, "c0", client.counted, Store(), HtlcLimits(1, 1, 500, 1), depth=1)


def test_a_payment_crosses_two_factories() -> None:
    world = World.start()
    world.sides["bob"][0].answer = answer_with(1)
    world.pay("ann", "bob", 1)
    ann, bob = (world.sides[client][0].channel for client in ("ann", "bob"))
    assert ann.balance_msat == BALANCE * 1000 - AMOUNT - FEE_MSAT
    assert bob.balance_msat == BALANCE * 1000 + AMOUNT
    lsp = sum(sides[1].channel.balance_msat for sides in world.sides.values())
    assert lsp == 2 * INBOUND * 1000 + FEE_MSAT
    # The first commitment, signed in the ceremony, is revoked like any other.
    for sides in world.sides.values():
        assert all(side.their_secret(0) is not None for side in sides)


WAYS = ("client", "lsp")


@pytest.mark.parametrize(("first", "second", "claimed"), list(product(WAYS, WAYS, (True, False))))
def test_both_channels_end_alone_with_the_payment_in_flight(first: str, second: str, claimed: bool) -> None:
    world = World.start()
    payee = world.sides["bob"][0]
    payee.answer = answer_with()
    world.pay("ann", "bob", 1)
    assert [len(sides[0].channel.htlcs) for sides in world.sides.values()] == [1, 1]
    for client, way in (("bob", second), ("ann", first)):
        factory = world.scenes[client]
        world.exit(client, factory.clients[client] if way == "client" else factory.lsp)
        world.sides[client][way == "lsp"].force_close()
    if claimed:
        payee.answer = answer_with(1)
    world.finish()
    lost = (AMOUNT + FEE_MSAT) // 1000
    if claimed:
        assert (world.paid("ann"), world.paid("bob")) == (BALANCE - lost - 1, BALANCE + AMOUNT // 1000)
    else:
        # What is rounded off of the balance and of the payment belongs to the anchor.
        assert (world.paid("ann"), world.paid("bob")) == (BALANCE - 1, BALANCE)
    total = world.paid("ann") + world.paid("bob") + world.paid(LSP)
    assert 0 <= 2 * (BALANCE + INBOUND) - total <= 2 * 3


def test_both_channels_close_together_after_the_payment() -> None:
    world = World.start()
    world.sides["bob"][0].answer = answer_with(1)
    world.pay("ann", "bob", 1)
    for client, (mine, _) in world.sides.items():
        world.exit(client, world.scenes[client].lsp)
        mine.shutdown()
        world.run()
    world.finish()
    assert world.paid("ann") == (BALANCE * 1000 - AMOUNT - FEE_MSAT) // 1000
    assert world.paid("bob") == (BALANCE * 1000 + AMOUNT) // 1000
    lsp = (INBOUND * 1000 + AMOUNT + FEE_MSAT) // 1000 + (INBOUND * 1000 - AMOUNT) // 1000
    assert world.paid(LSP) == lsp - 2 * CLOSE_FEE


def test_a_payee_whose_lsp_falls_silent_exits_in_time() -> None:
    """A factory that dies with a payment pending: the payee begins its exit when it must, and is in time."""
    world = World.start()
    payee, payer_side = world.sides["bob"]
    payee.answer = answer_with()
    world.pay("ann", "bob", 1)
    payee.learn(preimage(1))
    expiry = payee.channel.htlcs[0].expiry
    while not payee.must_close():
        world.ledger.advance(1)
        payee.height = world.ledger.height
    assert payee.height == payee.limits.exit_by(expiry) >= world.ledger.height
    world.exit("bob", world.scenes["bob"].clients["bob"])
    payee.force_close()
    chain = Chain(world.ledger, {"bob": ChannelWatcher(payee, world.ledger)})
    chain.round(["bob"])
    claimed = chain.round(["bob"])
    assert claimed and world.ledger.height < expiry, "the claim is confirmed before the LSP's timeout is valid"
    # The silent LSP finds the preimage on chain, and is paid in the other factory.
    watcher = ChannelWatcher(payer_side, world.ledger)
    for seen in (payee.own_transaction(payee.terms.outpoint), *claimed):
        watcher.feed(seen)
    watcher.look()
    world.run()
    assert world.sides["ann"][1].channel.balance_msat == INBOUND * 1000 + AMOUNT + FEE_MSAT


def test_a_dying_factory_takes_no_payment() -> None:
    world = World.start()
    mine = world.sides["ann"][0]
    mine.height = mine.limits.latest() - mine.limits.exit_blocks - mine.limits.margin_blocks + 1
    with pytest.raises(ProtocolError, match="no expiry is accepted"):
        mine.offer(1_000_000, hashed(1), mine.limits.latest())
    assert not mine.channel.htlcs


@pytest.mark.parametrize(("dying", "says"), [(True, "no expiry is accepted"), (False, "is the latest")])
def test_a_payment_that_would_outlive_its_factory_is_given_back_by_whoever_it_is_for(dying: bool, says: str) -> None:
    """The LSP does not look at the limits: the payee does, says what it would take, and nothing is lost."""
    world = World.start()
    mine, theirs = world.sides["ann"]
    mine.answer = answer_with(1)
    latest = mine.limits.latest()
    theirs.limits = replace(theirs.limits, end=theirs.limits.end + 300)
    if dying:
        mine.height = latest - mine.limits.exit_blocks - mine.limits.margin_blocks + 1
    before = mine.channel.balance_msat
    theirs.offer(1_000_000, hashed(1), latest + (0 if dying else 1))
    world.run()
    assert mine.channel.balance_msat == before and not mine.channel.htlcs and not theirs.channel.htlcs
    assert says in mine.reasons["0"]


@pytest.mark.parametrize("late", [False, True])
def test_what_was_passed_on_and_is_claimed_in_the_last_block_is_paid_by_the_payer_unless_the_lsp_began_late(
    late: bool,
) -> None:
    """Payer and payee are one: bob claims in the block of the LSP's timeout, ann waits for hers (R-HTLC-FORWARD)."""
    world = World.start()
    (_, owed), (bob, owes) = world.sides["ann"], world.sides["bob"]
    bob.answer = answer_with()
    world.pay("ann", "bob", 1)
    went, came = owes.channel.htlcs[0].expiry, owed.channel.htlcs[0].expiry
    while owes.height < went if late else not owes.must_close():
        world.ledger.advance(1)
        owes.height = owed.height = world.ledger.height
    if not late:
        assert "passed on" in owes.must_close() and not owed.must_close()
        assert owes.height == went - owes.limits.exit_blocks
    chain = Chain(world.ledger)
    for client, sides in world.sides.items():
        for side in sides:
            chain.watchers[f"{client}/{side.name}"] = ChannelWatcher(side, world.ledger)
    world.exit("bob", world.scenes["bob"].lsp)
    owes.force_close()
    bob.answer = answer_with(1)
    while not owes.preimages:
        due = [one for _, one in chain.watchers["bob/L"].look()]
        stolen = chain.watchers["bob/bob"].look() if world.ledger.height >= went else []
        chain.mine([*(one for _, one in stolen), *due])
        chain.watchers["bob/L"].look()
    owed.height = world.ledger.height
    world.exit("ann", world.scenes["ann"].lsp)
    owed.force_close()
    for _ in range(60):
        # The thief's come first in each block.
        chain.round(["ann/ann", "bob/bob", "ann/L", "bob/L"])
    assert (world.ledger.height > came) and owed.channel.status == owes.channel.status == "swept"
    lost = 2 * INBOUND - world.paid(LSP)
    # Of its fee of 1,001 msat nothing is left: each commitment rounds it down.
    assert lost == (AMOUNT // 1000 + 1 if late else 0)
