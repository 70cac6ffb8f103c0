"""Every effect of the channel's table earns its place: without it, some life of a channel does not end as it should."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest

from superscalar_ref.errors import SuperscalarError
from superscalar_ref.machine.step import BoundMachine, Stepped, step
from superscalar_ref.machine.types import Event
from superscalar_ref.parties import channel_actor, channel_leaf
from superscalar_ref.parties import channel_messages as c
from superscalar_ref.parties.channel_actor import Saved, channel_machine
from superscalar_ref.parties.channel_leaf import open_in_leaf
from superscalar_ref.parties.store import Store
from superscalar_ref.parties.tower import Tower
from superscalar_ref.parties.tower_store import TowerStore
from superscalar_ref.protocol.channel import Channel, View, view
from superscalar_ref.protocol.htlc_limits import HtlcLimits
from tests.parties.channel_scene import (
    CAPACITY_SAT,
    CLIENT,
    CLIENT_MSAT,
    LSP,
    Letter,
    Pair,
    balances,
    hashed,
    preimage,
    without,
)
from tests.parties.scene import Scene, scene

MACHINE = channel_machine()
NEW = "22" * 32 + ":1"
TOTAL = CAPACITY_SAT * 1000
Life = Callable[[BoundMachine[Channel]], None]


def demand(holds: bool, says: str) -> None:
    if not holds:
        raise AssertionError(says)


def start(machine: BoundMachine[Channel], **options: str) -> Pair:
    pair = Pair(machine=machine, **options)  # type: ignore[arg-type]
    pair.open()
    live = all(side.channel.status == "live" and side.channel.ready for side in pair.sides.values())
    demand(live, "the channel is open")
    return pair


def again(pair: Pair) -> Pair:
    """Both sides die where they stand, and go on."""
    before = {name: side.channel for name, side in pair.sides.items()}
    for name in (CLIENT, LSP):
        side = pair.crash(name)
        wanted = before[name]
        demand(
            side.channel.status == wanted.status or wanted.status in ("quiescent", "closing"), "the state is durable"
        )
        demand(bool(side.channel.marked) == bool(wanted.marked), "the mark is durable")
        demand((side.channel.mine, side.channel.theirs) == (wanted.mine, wanted.theirs), "the numbers are durable")
        demand(side.channel.leaving == wanted.leaving, "who leaves is durable")
        demand(side.channel.outpoints == wanted.outpoints, "the outpoints are durable")
        demand((side.channel.moved, side.channel.left) == (wanted.moved, wanted.left), "how far a move is is durable")
        demand(side.channel.claims == wanted.claims, "the claims are durable")
        demand(not side.channel.synced, "after a restart nobody knows where the other stands")
    pair.letters.clear()
    return pair


def opening(machine: BoundMachine[Channel]) -> None:
    """Both sides die after each letter of the opening."""
    for moment in range(8):
        pair = Pair(machine=machine)
        pair.post(CLIENT, pair.a.connect())
        for _ in range(moment):
            if pair.letters:
                pair.deliver(pair.letters.popleft())
                for side in pair.sides.values():
                    demand(side.channel.mine < 0 or side.own is not None, "what counts is held")
        for name in (CLIENT, LSP):
            for side in pair.sides.values():
                nonces = [] if side._connection is None else [secret for secret, _ in side._connection.own.values()]
                side.connect()
                demand(not side.channel.synced, "nobody knows where the other stands")
                demand(all(secret.spent for secret in nonces), "no nonce outlives its connection")
            pair.crash(name)
        pair.letters.clear()
        pair.settle()
        for side in pair.sides.values():
            demand(side.channel.status == "live" and side.channel.ready, f"open after a crash at letter {moment}")
            side.own_transaction(pair.outpoint)
            demand(side.their_commitment(0) is not None, "what was signed is known")
            demand(side.their_commitment(0).said == bare(side), "and known as it was signed")  # type: ignore[union-attr]


def bare(side: object) -> View:
    assert hasattr(side, "channel")
    return view(side.channel, side.channel.peer, newest=True)


def opened_without_a_loss(machine: BoundMachine[Channel]) -> None:
    pair = Pair(machine=machine)
    pair.open()
    for side in pair.sides.values():
        demand(side.channel.status == "live" and side.channel.ready, "nobody has to ask twice")
    again(pair)
    for side in pair.sides.values():
        demand(side.channel.status == "live" and side.channel.ready, "the channel counts after a restart")


def taken_up_again(machine: BoundMachine[Channel]) -> None:
    """One side has lost the other's 'ready': it learns it when they meet again."""
    pair = Pair(machine=machine)
    pair.post(CLIENT, pair.a.connect())
    while pair.letters:
        letter = pair.letters.popleft()
        body = c.decode(letter.raw, letter.sender).body
        if not (isinstance(body, c.Ready) and letter.to == CLIENT):
            pair.deliver(letter)
    demand(pair.a.channel.status == "opening", "the letter is lost")
    pair.say(CLIENT, lambda side: side.connect())
    demand(pair.a.channel.status == "live" and pair.a.channel.synced and pair.a.channel.ready, "it is taken up again")
    demand(pair.crash(CLIENT).channel.status == "live", "durably")


def paying(machine: BoundMachine[Channel]) -> None:
    pair = start(machine)
    pair.post(CLIENT, pair.a.offer(50_000_000, hashed(1), 200))
    again(pair)
    pair.settle()
    demand([htlc.stage for htlc in pair.l.channel.htlcs] == [4], "an offer survives a crash right after it")
    offered = pair.messages(c.Add)
    pair.offer(LSP, 20_000_000, 2)
    demand(len(pair.messages(c.Add)) == len(offered) + 1, "an offer is sent once, and at once")
    for name, number, action in ((LSP, 1, "settle"), (CLIENT, 2, "reject")):
        side = pair.sides[name]
        outbox = side.settle(0, preimage(number)) if action == "settle" else side.reject(0, "no")
        pair.post(name, outbox)
        kinds = [type(c.decode(letter.raw, letter.sender).body) for letter in pair.letters]
        demand((c.Fulfil if action == "settle" else c.Fail) in kinds, "a removal is sent at once")
        again(pair)
        demand(name != LSP or hashed(1) in pair.l.preimages, "the payee's preimage is durable")
        pair.settle()
        demand(not pair.alerts or all("came back" in alert for alert in pair.alerts), f"no complaint: {pair.alerts}")
    demand(hashed(1) in pair.crash(CLIENT).preimages, "the payer's preimage is durable")
    pair.settle()
    demand(balances(pair) == (CLIENT_MSAT - 50_000_000, TOTAL - CLIENT_MSAT + 50_000_000), "paid once, and back once")
    demand(not pair.a.channel.htlcs and not pair.l.channel.htlcs, "nothing is left in flight")
    revoked(pair)


def revoked(pair: Pair) -> None:
    """What revocation is for: each side holds every secret, and can show what it signed."""
    for side, other in ((pair.a, pair.l), (pair.l, pair.a)):
        demand(side.channel.revoked == other.channel.mine - 1, "every older commitment is revoked")
        for number in range(side.channel.revoked + 1):
            demand(side.their_secret(number) is not None, f"the secret of {number} is kept")
            demand(side.their_commitment(number) is not None, f"what commitment {number} said is kept")
        demand(side.own is not None and side.own.said.number == side.channel.mine, "the newest commitment is held")
        records = {slot for _, slot, _ in side.store.records()}
        demand(f"commitment {other.name} {side.channel.theirs}" in records, "what was signed is recorded")


def preimage_at_once(machine: BoundMachine[Channel]) -> None:
    """The payer dies right after the preimage came, and the payee never speaks again."""
    pair = start(machine).offer(CLIENT, 50_000_000, 1)
    pair.l.batching = True
    pair.post(LSP, pair.l.settle(0, preimage(1)))
    while pair.letters:
        pair.deliver(pair.letters.popleft())
    side = pair.crash(CLIENT)
    demand(hashed(1) in side.preimages, "the preimage is durable before anything else")
    demand(side.channel.htlcs[0].stage == 4, "and so is where the channel stands")


def restored(machine: BoundMachine[Channel]) -> None:
    """A side from an old backup is told so, stops, and remembers it."""
    pair = start(machine)
    old = Store()
    pair.stores[CLIENT]._connection.backup(old._connection)
    pair.offer(CLIENT, 50_000_000, 1).say(LSP, lambda side: side.settle(0, preimage(1)))
    pair.stores[CLIENT] = old
    side = pair.crash(CLIENT)
    pair.post(CLIENT, side.connect())
    link = side._connection
    assert link is not None
    pair.run()
    demand(side.channel.status == "halted" and "behind" in " ".join(pair.alerts), "it is told")
    demand(all(secret.spent for secret, _ in link.own.values()), "nothing is signed any more")
    demand("lost" in pair.crash(CLIENT).channel.marked, "it remembers")
    demand(not pair.broadcasts, "it publishes nothing by itself")
    demand(pair.l.channel.status == "live", "the other side waits")


def updates_of_their_own(machine: BoundMachine[Channel]) -> None:
    """Each update is durable before a signature covers it: whoever asked for it need not ask again."""
    pair = start(machine)
    pair.a.batching = pair.l.batching = True
    pair.post(CLIENT, pair.a.offer(50_000_000, hashed(1), 200))
    demand(len(pair.crash(CLIENT).channel.htlcs) == 1, "the offer is kept")
    pair = start(machine).offer(CLIENT, 50_000_000, 1).offer(CLIENT, 1_000_000, 2)
    pair.l.batching = True
    pair.post(LSP, pair.l.settle(0, preimage(1)))
    demand(pair.crash(LSP).channel.htlcs[0].removal == "fulfil", "the claim is kept")
    pair.settle()
    pair.l.batching = True
    pair.post(LSP, pair.l.reject(1, "no"))
    demand(pair.crash(LSP).channel.htlcs[-1].removal == "fail", "so is the refusal")
    pair.settle()
    demand(not pair.a.channel.htlcs and not pair.l.channel.htlcs, "both are over")


def wrong_secret(policy: str) -> Life:
    def life(machine: BoundMachine[Channel]) -> None:
        pair = start(machine, policy=policy)
        pair.post(CLIENT, pair.a.offer(1_000_000, hashed(1), 200))
        link = pair.a._connection
        assert link is not None
        while pair.letters:
            letter = pair.letters.popleft()
            envelope = c.decode(letter.raw, letter.sender)
            if letter.sender == LSP and isinstance(envelope.body, c.RevokeAndAck):
                body = c.RevokeAndAck("01" * 32, envelope.body.point, envelope.body.nonces)
                bent = c.Envelope("channel", envelope.sender_epoch, envelope.receiver_epoch, envelope.sequence, body)
                pair.post(CLIENT, pair.a.receive(LSP, c.encode(bent)))
                break
            pair.deliver(letter)
        demand("bad_revocation" in " ".join(pair.alerts), "somebody is told")
        demand(bool(pair.a.channel.marked), "the peer is marked")
        demand(bool(pair.broadcasts) == (policy == "close"), "published by policy")
        unspent = [secret for secret, _ in link.own.values() if not secret.spent]
        demand(policy == "continue" or not unspent, "no nonce is left")
        again(pair)

    return life


def quiet_and_moving(machine: BoundMachine[Channel]) -> None:
    pair = start(machine).offer(CLIENT, 5_000_000, 1)
    pair.say(CLIENT, lambda side: side.quiesce())
    demand([side.channel.status for side in pair.sides.values()] == ["quiescent"] * 2, "both are quiet")
    demand(all(side.channel.quiet == {CLIENT, LSP} for side in pair.sides.values()), "both have promised")
    demand(len(pair.messages(c.Stfu)) == 2, "each has said so")
    pair.say(LSP, lambda side: side.resume())
    demand(all(not side.channel.quiet and side.channel.status == "live" for side in pair.sides.values()), "it is over")
    demand(len(pair.messages(c.Resume)) == 1, "one has said so")
    pair.say(LSP, lambda side: side.quiesce())
    for name in (LSP, CLIENT):
        pair.say(name, lambda side: side.move(NEW))
    for side in pair.sides.values():
        demand(side.channel.moved == {CLIENT, LSP} and side.channel.status == "live", "both hold the new one")
        demand(not side.channel.quiet, "updates go on")
        side.own_transaction(NEW)
        records = {(outpoint, slot) for outpoint, slot, _ in side.store.records()}
        demand((NEW, f"commitment {side.channel.peer} {side.channel.theirs}") in records, "what was signed is recorded")
    again(pair)
    pair.settle()
    pair.say(LSP, lambda side: side.complete())
    demand(LSP in pair.a.channel.left, "the other knows")
    again(pair)
    pair.settle()
    present = pair.a.channel.mine
    pair.say(CLIENT, lambda side: side.complete())
    for side in pair.sides.values():
        demand(side.channel.outpoints == (NEW,) and side.channel.departures == 1, "the old outpoint is left")
    for side in pair.sides.values():
        demand(side.their_secret(present) is not None, "what stood on the old one is revoked, by both")
    again(pair)
    pair.settle()
    pair.say(LSP, lambda side: side.settle(0, preimage(1)))
    demand(balances(pair) == (CLIENT_MSAT - 5_000_000, TOTAL - CLIENT_MSAT + 5_000_000), "payments go on")
    revoked(pair)


def _cut(pair: Pair, letters: int) -> None:
    for _ in range(letters):
        if pair.letters:
            pair.deliver(pair.letters.popleft())
    for name, side in list(pair.sides.items()):
        link = side._connection
        secrets = [] if link is None else [secret for secret, _ in link.own.values()]
        side.connect()
        demand(side.channel.status == "agreed" or not side.channel.synced, "nobody knows where the other stands")
        demand(all(secret.spent for secret in secrets), f"{name} lets no nonce outlive its connection")
    again(pair)


def moving_with_losses(machine: BoundMachine[Channel]) -> None:
    """Both sides die after each letter of a move."""
    for letters in range(8):
        pair = start(machine)
        pair.say(LSP, lambda side: side.quiesce())
        for name in (LSP, CLIENT):
            pair.post(name, pair.sides[name].move(NEW))
        _cut(pair, letters)
        pair.open()
        for name in (LSP, CLIENT):
            side = pair.sides[name]
            if side.channel.status == "quiescent":
                demand(side.channel.quiet == {CLIENT, LSP}, "the quiet goes on")
                pair.say(name, lambda side: side.move(NEW))
        for side in pair.sides.values():
            demand(side.channel.status == "live" and len(side.channel.outpoints) == 2, f"moved, cut at {letters}")
            side.own_transaction(NEW)


def one_moves_and_the_other_dies(machine: BoundMachine[Channel]) -> None:
    pair = start(machine)
    pair.say(LSP, lambda side: side.quiesce())
    pair.post(LSP, pair.l.move(NEW))
    pair.letters.clear()
    pair.crash(CLIENT)
    pair.settle()
    demand(pair.a.channel.status == "quiescent" and pair.a.channel.synced, "it waits to name the outpoint")
    demand(pair.a.channel.quiet == {CLIENT, LSP}, "and offers nothing")
    pair.say(CLIENT, lambda side: side.move(NEW))
    pair.settle()
    demand(all(len(side.channel.outpoints) == 2 for side in pair.sides.values()), "and then it moves")


def the_other_completes_first(machine: BoundMachine[Channel]) -> None:
    for first, second in ((LSP, CLIENT), (CLIENT, LSP)):
        pair = start(machine)
        pair.say(LSP, lambda side: side.quiesce())
        for name in (LSP, CLIENT):
            pair.say(name, lambda side: side.move(NEW))
        pair.say(first, lambda side: side.complete())
        demand(pair.sides[second].channel.left == {first}, "it is noted")
        pair.crash(second)
        demand(pair.sides[second].channel.left == {first}, "durably")
        pair.settle()
        pair.say(second, lambda side: side.complete())
        demand(len(pair.messages(c.Moved)) >= 2, "both have said so")
        for side in pair.sides.values():
            demand(side.channel.outpoints == (NEW,), "both have left")
            demand(not side.channel.resign, "and revoked what stood there")
        again(pair)
        revoked(pair)


def giving_up_a_move(machine: BoundMachine[Channel]) -> None:
    """Both had moved, and neither had signed the leaf state: one says so first, and dies before the other does."""
    for first, second in ((LSP, CLIENT), (CLIENT, LSP)):
        pair = start(machine)
        _both_moved(pair)
        pair.say(first, lambda side: side.abandon(NEW, signed=False))
        demand(pair.sides[first].channel.outpoints == (pair.outpoint, NEW), "the other may need it")
        demand(pair.sides[second].channel.given_up == {first}, "the other knows")
        demand(pair.crash(first).channel.given_up == {first}, "said is said")
        demand(pair.crash(second).channel.given_up == {first}, "heard is heard")
        pair.settle()
        pair.offer(LSP, 1_000_000, 1)
        demand(len(pair.messages(c.CommitmentSigned)[-1][1].signatures) == 2, "signed for both until both say so")  # type: ignore[union-attr]
        pair.say(second, lambda side: side.abandon(NEW, signed=False))
        _given_up(pair)


def giving_up_in_the_middle(machine: BoundMachine[Channel]) -> None:
    """Both are still moving, and die right after one has said, or heard, that the outpoint is given up."""
    pair = _moving(machine)
    pair.letters.clear()
    pair.post(LSP, pair.l.abandon(NEW, signed=False))
    demand(pair.l.channel.status == "moving", "it goes on with the move")
    pair.letters.clear()
    demand(pair.crash(LSP).channel.given_up == {LSP}, "said is said")
    pair.settle(1)
    demand(LSP in pair.a.channel.given_up, "the other knows")
    demand(pair.crash(CLIENT).channel.given_up == {LSP}, "heard is heard")
    pair.settle()
    pair.say(CLIENT, lambda side: side.abandon(NEW, signed=False))
    _given_up(pair)


def heard_while_moving(machine: BoundMachine[Channel]) -> None:
    """The client hears of it while it moves, and gives up too."""
    pair = _moving(machine)
    pair.post(LSP, pair.l.abandon(NEW, signed=False))
    for letter in [letter for letter in pair.letters if letter.to == CLIENT]:
        pair.letters.remove(letter)
        pair.deliver(letter)
    demand(pair.a.channel.status == "moving" and pair.a.channel.given_up == {LSP}, "it is noted, and no more")
    pair.say(CLIENT, lambda side: side.abandon(NEW, signed=False))
    _given_up(pair)
    pair = _moving(machine)
    for name in (LSP, CLIENT):
        pair.post(name, pair.sides[name].abandon(NEW, signed=False))
    pair.run()
    _given_up(pair)


def never_named(machine: BoundMachine[Channel]) -> None:
    """One never named the outpoint that the other gives up."""
    pair = start(machine)
    pair.say(LSP, lambda side: side.quiesce())
    pair.say(LSP, lambda side: side.move(NEW))
    pair.say(LSP, lambda side: side.abandon(NEW, signed=False))
    _given_up(pair)


def _moving(machine: BoundMachine[Channel]) -> Pair:
    """Both have named the new outpoint, and neither has heard so."""
    pair = start(machine)
    pair.say(LSP, lambda side: side.quiesce())
    for name in (LSP, CLIENT):
        pair.post(name, pair.sides[name].move(NEW))
    return pair


def kept_by_the_other(machine: BoundMachine[Channel]) -> None:
    """One gives up what the other has signed for: both go on signing for it, and may move on."""
    pair = start(machine)
    _both_moved(pair)
    pair.say(LSP, lambda side: side.abandon(NEW, signed=False))
    pair.say(CLIENT, lambda side: side.abandon(NEW, signed=True))
    _kept(pair)
    pair = _moving(machine)
    pair.post(LSP, pair.l.abandon(NEW, signed=False))
    _only_to(pair, CLIENT)
    pair.post(CLIENT, pair.a.abandon(NEW, signed=True))
    demand(pair.a.channel.status == "moving", "it goes on with the move")
    _only_to(pair, LSP)
    demand(pair.l.channel.kept, "the other hears")
    for name in (CLIENT, LSP):
        demand(pair.crash(name).channel.kept, "durably")
    pair.letters.clear()
    pair.settle()
    _kept(pair)


def _only_to(pair: Pair, name: str) -> None:
    for letter in [letter for letter in pair.letters if letter.to == name]:
        pair.letters.remove(letter)
        pair.deliver(letter)


def _kept(pair: Pair) -> None:
    for side in pair.sides.values():
        demand(side.channel.outpoints == (pair.outpoint, NEW), "nothing is dropped")
        demand(side.channel.kept and side.channel.status == "live", "both know")
    for name in (CLIENT, LSP):
        demand(pair.crash(name).channel.kept, "durably")
    pair.settle()
    pair.say(LSP, lambda side: side.quiesce())
    demand([side.channel.status for side in pair.sides.values()] == ["quiescent"] * 2, "they may move on")


def moving_elsewhere(machine: BoundMachine[Channel]) -> None:
    """One gives an outpoint up that the other never named, while the other moves to a third."""
    pair = start(machine)
    pair.say(LSP, lambda side: side.quiesce())
    pair.post(LSP, pair.l.move(NEW))
    pair.post(CLIENT, pair.a.move("33" * 32 + ":0"))
    pair.post(LSP, pair.l.abandon(NEW, signed=False))
    pair.run()
    demand(pair.l.channel.outpoints == (pair.outpoint,), "it is told, and drops it")
    demand(pair.a.channel.status == "moving", "the other moves on")


def _both_moved(pair: Pair) -> None:
    pair.say(LSP, lambda side: side.quiesce())
    for name in (LSP, CLIENT):
        pair.say(name, lambda side: side.move(NEW))


def _given_up(pair: Pair) -> None:
    for side in pair.sides.values():
        demand(side.channel.outpoints == (pair.outpoint,), "the new one is dropped")
        demand(side.channel.status == "live" and not side.channel.quiet, "updates go on")
    for name in (CLIENT, LSP):
        demand(pair.crash(name).channel.outpoints == (pair.outpoint,), "durably")
    pair.settle()
    before = len(pair.messages(c.Add))
    for name, number in ((CLIENT, 7), (LSP, 8)):
        pair.offer(name, 1_000_000, number)
    demand(len(pair.messages(c.Add)) == before + 2, "both may pay")


def losing_the_connection(machine: BoundMachine[Channel]) -> None:
    """What was promised and not signed for is forgotten on both sides, and every nonce with it."""
    pair = start(machine)
    pair.a.batching = True
    pair.post(CLIENT, pair.a.offer(1_000_000, hashed(1), 200))
    pair.run()
    demand(len(pair.l.channel.htlcs) == 1 and pair.l.channel.next_theirs == 1, "an offer without a signature")
    pair.say(CLIENT, lambda side: side.quiesce())
    links = [side._connection for side in pair.sides.values()]
    for side in pair.sides.values():
        side.connect()
        demand(not side.channel.synced and not side.channel.quiet, "nobody knows where the other stands")
    for link in links:
        assert link is not None
        demand(all(secret.spent for secret, _ in link.own.values()), "no nonce outlives its connection")
    demand(not pair.l.channel.htlcs and pair.l.channel.next_theirs == 0, "what was not signed for was not said")
    pair.a.batching = False
    pair.letters.clear()
    pair.settle()
    demand([htlc.stage for htlc in pair.l.channel.htlcs] == [4], "it is sent again")


def missed_signature_and_secret(machine: BoundMachine[Channel]) -> None:
    for moment in range(1, 8):
        pair = start(machine)
        pair.post(CLIENT, pair.a.offer(1_000_000, hashed(1), 200))
        for _ in range(moment):
            if pair.letters:
                pair.deliver(pair.letters.popleft())
        again(pair)
        pair.settle()
        demand([htlc.stage for htlc in pair.a.channel.htlcs] == [4], f"completed after a crash at letter {moment}")
        revoked(pair)


def _publishing(pair: Pair) -> Callable[[Letter], None]:
    """Delivers, and looks whether whoever has just got the close publishes it at once."""
    deliver = pair.deliver

    def watched(letter: Letter) -> None:
        deliver(letter)
        agreed = {name for name, side in pair.sides.items() if side.channel.status == "agreed"}
        demand(agreed <= {name for name, _ in pair.broadcasts}, "who holds the close publishes it")

    return watched


def closing_together(machine: BoundMachine[Channel]) -> None:
    for moment in range(7):
        for who in (CLIENT, LSP):
            pair = start(machine)
            pair.deliver = _publishing(pair)  # type: ignore[method-assign, assignment]
            pair.post(who, pair.sides[who].shutdown())
            _cut(pair, moment)
            pair.settle()
            for side in pair.sides.values():
                demand(side.channel.status == "agreed", f"both hold the close, cut at letter {moment}")
                side.closing_transaction()
            demand({name for name, _ in pair.broadcasts} == {CLIENT, LSP}, "both publish it")
            again(pair)
            for side in pair.sides.values():
                side.closing_transaction()


def closing_without_a_loss(machine: BoundMachine[Channel]) -> None:
    pair = start(machine)
    pair.say(CLIENT, lambda side: side.shutdown())
    for side in pair.sides.values():
        demand(side.channel.status == "agreed", "nobody has to ask twice")
        demand("close" in {slot for _, slot, _ in side.store.records()}, "what was signed is recorded")
        link = side._connection
        assert link is not None
        side.connect()
        demand(not side.channel.synced, "a new connection")
        demand(all(secret.spent for secret, _ in link.own.values()), "no nonce outlives its connection")
    demand({name for name, _ in pair.broadcasts} == {CLIENT, LSP}, "both publish it")
    before = len(pair.broadcasts)
    pair.letters.clear()
    pair.say(CLIENT, lambda side: side.connect())
    demand(len(pair.messages(c.ClosingComplete)) > 1 and len(pair.broadcasts) > before, "and again when asked")
    pair.a.see("close_confirmed", depth=1)
    demand(pair.crash(CLIENT).channel.status == "closed", "the end is durable")


def on_chain(machine: BoundMachine[Channel]) -> None:
    claims = frozenset({"to_local", "commitment"})
    for revoked_one, middle, end in ((False, "resolving", "swept"), (True, "breached", "penalised")):
        pair = start(machine).offer(CLIENT, 5_000_000, 1)
        link = pair.a._connection
        assert link is not None
        number = 0 if revoked_one else pair.a.channel.theirs
        pair.a.see("commitment_confirmed", holder=LSP, number=number, claims=claims)
        demand((pair.a.channel.status, pair.a.channel.claims) == (middle, claims), "it knows what is to be done")
        demand(all(secret.spent for secret, _ in link.own.values()), "nothing is signed any more")
        demand(pair.crash(CLIENT).channel.status == middle, "durably")
        for claim, status in (("to_local", middle), ("commitment", end)):
            pair.a.see("claim_settled", claim=claim, depth=1)
            demand(pair.a.channel.status == status and claim not in pair.a.channel.claims, "one after the other")
            demand(pair.crash(CLIENT).channel.status == status, "durably")
            demand(claim not in pair.a.channel.claims, "what is settled stays settled")


def closing_alone(machine: BoundMachine[Channel]) -> None:
    pair = start(machine)
    link = pair.a._connection
    assert link is not None
    outbox = pair.a.force_close()
    demand(len(outbox.broadcasts) == 1, "it is published")
    demand(all(secret.spent for secret, _ in link.own.values()), "nothing is signed any more")
    demand(pair.crash(CLIENT).channel.status == "force_closing", "durably")


def watched_over(machine: BoundMachine[Channel]) -> None:
    """With a watchtower, a payee gives the preimage once the tower keeps the penalties."""
    pair = Pair(machine=machine, towers={"T": Tower("T", TowerStore(), 3)})
    pair.open()
    pair.offer(LSP, 20_000_000, 1)
    pair.say(CLIENT, lambda side: side.settle(0, preimage(1)))
    demand(pair.a.may_leave(), "the client may be away")
    demand(pair.a.channel.guarded == pair.a.channel.revoked, "everything that was revoked is kept")


@cache
def ceremony() -> Scene:
    """A factory whose leaves are signed; nobody has opened a channel."""
    return scene(2).ceremony()


def begun_in_a_leaf(machine: BoundMachine[Channel]) -> None:
    """A client takes its channel over from the ceremony, dies, and starts again from its store."""
    client = ceremony().clients["c0"]
    store = Store()
    for _ in range(2):
        limits = HtlcLimits(1, 1, 500, 1)
        side = open_in_leaf(client, "c0", client.counted, store, limits, depth=1, machine=machine)
        demand((side.channel.mine, side.channel.theirs) == (0, 0), "both first commitments are known")
        side.own_transaction(side.terms.outpoint)
        demand(
            side.own_secret(0).public == side.own_commitment(side.terms.outpoint).state.per_commitment_point, "secret"
        )
        demand(side.their_commitment(0) is not None, "what was signed is known")
        demand(side._document(Saved, "state") is not None, "where it stands is durable")


LIVES: tuple[Life, ...] = (
    begun_in_a_leaf,
    opened_without_a_loss,
    opening,
    taken_up_again,
    paying,
    preimage_at_once,
    updates_of_their_own,
    restored,
    missed_signature_and_secret,
    losing_the_connection,
    wrong_secret("halt"),
    wrong_secret("close"),
    wrong_secret("continue"),
    quiet_and_moving,
    moving_with_losses,
    one_moves_and_the_other_dies,
    the_other_completes_first,
    giving_up_a_move,
    giving_up_in_the_middle,
    heard_while_moving,
    never_named,
    kept_by_the_other,
    moving_elsewhere,
    closing_without_a_loss,
    closing_together,
    on_chain,
    closing_alone,
    watched_over,
)

PAIRS = [(row.id, effect) for row in MACHINE.table.transitions for effect in row.effects]


@cache
def rows_of(life: Life) -> frozenset[str]:
    """The rows that a life takes with the table as it is, at its end well."""
    taken: set[str] = set()

    def watched(machine: BoundMachine[Channel], channel: Channel, event: Event) -> Stepped[Channel]:
        done = step(machine, channel, event)
        taken.add(done.transition_id)
        return done

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(channel_actor, "step", watched)
        patch.setattr(channel_leaf, "step", watched)
        life(MACHINE)
    return frozenset(taken)


@pytest.mark.parametrize(("row", "effect"), PAIRS, ids=[f"{row}-{effect}" for row, effect in PAIRS])
def test_an_effect_that_is_dropped_is_missed(row: str, effect: str) -> None:
    changed = without(MACHINE, row, effect)
    lives = [life for life in LIVES if row in rows_of(life)]
    assert lives, f"no life takes {row}"
    for life in lives:
        try:
            life(changed)
        except (AssertionError, SuperscalarError, KeyError):
            return
    raise AssertionError(f"nothing misses '{effect}' of {row}")
