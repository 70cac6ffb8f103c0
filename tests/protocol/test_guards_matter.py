"""Every guard and every effect of the three tables earns its place.

For each (transition, guard) and (transition, effect) there is a scene: with the table as it is, the scene ends well;
without that one guard or effect, something happens that its owner would not accept. A guard or effect without a scene
fails the test, and so does one whose removal nobody notices.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from superscalar_ref.errors import ProtocolError
from superscalar_ref.machine.bind import bind
from superscalar_ref.machine.step import BoundMachine
from superscalar_ref.machine.types import Event
from superscalar_ref.protocol import client, factory, session
from superscalar_ref.protocol.client import Client
from superscalar_ref.protocol.participant import Machines, deliver, machines, registered, task, with_tasks
from superscalar_ref.protocol.poison import poison
from superscalar_ref.spec.table import Machine, Transition
from tests.protocol.scenes import (
    ACTIVE,
    BALANCE,
    DEPTH,
    END,
    FUNDED_AT,
    LIMITS,
    LSP,
    Broken,
    Letter,
    Partial,
    World,
    demand,
)

Scene = Callable[[Machines], World]


def impatient(tables: Machines, clients: tuple[str, ...] = ("A", "B")) -> World:
    """Nothing is lost, so nobody has to ask twice."""
    world = World(tables, clients)
    world.patient = False
    return world


def mine(name: str, **fields: Any) -> Event:
    return Event.of(name, LSP, **fields)


def _open(world: World, who: str) -> list[str]:
    return [n for n, s in world.parties[who].signer.sessions.items() if s.status in ("open", "nonces_in")]


# -- a whole life, nothing lost ----------------------------------------------------------------------------------------


def whole_life(tables: Machines) -> World:
    world = impatient(tables).active()
    world.update("r.0").update("r")
    return world.closed()


def remembered_life(tables: Machines) -> World:
    """After each step of a life that others rely on, a crash leaves the party where it is."""
    world = impatient(tables).gathered()
    world.propose()
    world.remembers(LSP, "proposed")
    world.until(lambda: world.status("A") == "signing")
    world.remembers("A", "signing")
    world.until(lambda: world.factory.status == "signing")
    world.remembers(LSP, "signing")
    world.settle(lambda: world.factory.status == "signed")
    world.remembers(LSP, "signed")
    world.remembers("A", "holding")
    world.fund()
    world.remembers(LSP, "funded")
    world.funding_confirmed()
    world.remembers(LSP, "active")
    world.remembers("A", "active")
    for path in ("r.0", "r"):
        plan = world.begin_update(path)
        assert plan is not None
        world.remembers(LSP, "updating")
        demand(world.disk[LSP].life == replace(world.factory, held=frozenset()), "the index is used up, durably")
        world.until(lambda: world.status("A") == "updating")
        world.remembers("A", "updating")
        world.until(lambda: world.factory.status == "update_signing")
        world.remembers(LSP, "update_signing")
        world.settle(lambda: world.factory.status == "active")
        world.check_counted(plan)
    world.begin_close()
    world.remembers(LSP, "closing")
    world.until(lambda: world.status("A") == "closing")
    world.remembers("A", "closing")
    world.until(lambda: world.factory.status == "close_signing")
    world.remembers(LSP, "close_signing")
    world.settle(lambda: world.factory.status == "close_published")
    world.remembers(LSP, "close_published")
    world.seen(LSP, "close_confirmed")
    world.remembers(LSP, "closed")
    world.seen("A", "close_confirmed")
    world.remembers("A", "left")
    return world


# -- signing: what is late, doubled, wrong -----------------------------------------------------------------------------


def ceremony(tables: Machines, clients: tuple[str, ...] = ("A", "B")) -> World:
    """Signing has begun; every message of it is still on its way."""
    world = impatient(tables, clients).gathered()
    world.propose()
    return world.until(lambda: world.factory.status == "signing")


def finished(world: World) -> World:
    """Honest parties complete the ceremony without asking twice."""
    world.settle(lambda: world.factory.status == "signed")
    return world


def doubled_begin(tables: Machines) -> World:
    world = ceremony(tables)
    begins = [letter for letter in world.mail if letter.name == "begin"]
    world.until(lambda: any(letter.name == "aggregate_nonce" for letter in world.mail))
    world.mail = begins + world.mail
    return finished(world)


def late_of_the_first_attempt(name: str) -> Scene:
    """A message of the first attempt arrives when the second is open: nobody may be confused, or blamed."""

    def play(tables: Machines) -> World:
        world = ceremony(tables)
        late = world.withhold(lambda letter: letter.name == name and letter.transaction != "")
        world.resync()
        world.until(lambda: not any(letter.name == "begin" for letter in world.mail))
        if name == "partial":
            # So late that the collector has signed in the second attempt.
            kept = world.withhold(lambda letter: letter.name == "partial")
            world.mail = late + kept
        else:
            world.mail = late + world.mail
        finished(world)
        demand("partial_verifies" not in world.guards_refused(), "an honest signer was blamed")
        return world

    return play


def late_partial_before_the_collector_signed(tables: Machines) -> World:
    """The same while the collector of the second attempt still waits for its children."""
    world = ceremony(tables)
    late = world.withhold(lambda letter: letter.name == "partial" and letter.sender == "B")
    slow = next(t.name for t in world.first.templates if t.name.startswith("state:r@"))
    first = [Letter("A", LSP, "partial", slow, 1, world.ram["A"][slow].mine)]
    world.resync()
    world.until(lambda: not any(letter.name == "begin" for letter in world.mail))
    again = world.withhold(lambda letter: letter.name == "partial")
    demand(world.parties[LSP].signer.sessions[slow].status == "nonces_in", "the scene is not set")
    world.mail = late + first + again
    finished(world)
    demand("partial_verifies" not in world.guards_refused(), "an honest signer was blamed")
    return world


def doubled_nonce(tables: Machines) -> World:
    world = ceremony(tables)
    world.until(lambda: any(letter.name == "nonce" and letter.to == LSP for letter in world.mail))
    nonces = [letter for letter in world.mail if letter.name == "nonce" and letter.to == LSP]
    world.mail = nonces + nonces + [letter for letter in world.mail if letter not in nonces]
    return finished(world)


def spoiled_partial(*, by: str, shared: bool, slow: bool = False) -> Scene:
    """One signer sends partial signatures that are none."""

    def play(tables: Machines) -> World:
        world = ceremony(tables)

        def spoils(letter: Letter) -> bool:
            if letter.name != "partial" or letter.sender != by:
                return False
            return ("@-" in letter.transaction or letter.transaction == "alternate:funding#0" or slow) == shared

        if slow:
            kept = world.withhold(lambda letter: letter.name == "partial" and letter.sender == "B")
            state = next(t.name for t in world.first.templates if t.name.startswith("state:r@"))
            demand(world.parties[LSP].signer.sessions[state].status == "nonces_in", "the scene is not set")
            bad = _spoil(Letter(by, LSP, "partial", state, world.factory.attempt, world.ram[by][state].mine))
            world.parties[LSP] = replace(
                world.parties[LSP],
                signer=replace(
                    world.parties[LSP].signer,
                    sessions={
                        **world.parties[LSP].signer.sessions,
                        state: replace(world.parties[LSP].signer.sessions[state], partials=frozenset()),
                    },
                ),
            )
            world.ram[LSP][state].partials.clear()
            world.mail = [bad, *kept]
            world.pump()
            return world
        while world.mail:
            letter = world.mail.pop(0)
            world.receive(_spoil(letter) if spoils(letter) else letter)
        return world

    return play


def _spoil(letter: Letter) -> Letter:
    assert isinstance(letter.content, Partial)
    return replace(letter, content=replace(letter.content, nonce=("?", 0, "", 0)))


def slow_children(tables: Machines) -> World:
    """One client is slow: the LSP waits for its child, and keeps what the quick one sent meanwhile."""
    world = ceremony(tables)
    world.mail += world.withhold(lambda letter: letter.name == "partial" and letter.sender == "B")
    return finished(world)


def slow_commitment(tables: Machines) -> World:
    """All partial signatures of a leaf's state are in before the LSP holds its own commitment: it signs last."""
    world = ceremony(tables)
    world.mail += world.withhold(lambda letter: letter.name == "partial" and letter.transaction.endswith(f":{LSP}"))
    return finished(world)


def finish_too_early(tables: Machines) -> World:
    world = ceremony(tables)
    world.withhold(lambda letter: letter.name == "partial")
    name = next(n for n, s in world.parties[LSP].signer.sessions.items() if s.status == "signed")
    world.session(LSP, name, mine("finish"))
    return world


def sign_before_children(tables: Machines) -> World:
    world = ceremony(tables)
    world.withhold(lambda letter: letter.name == "partial")
    name = next(n for n, s in world.parties["A"].signer.sessions.items() if s.status == "nonces_in")
    world.session("A", name, Event.of("sign", "A"))
    return world


def sign_with_the_tree_on_chain(tables: Machines) -> World:
    """The LSP publishes the tree in the middle of an update and goes on collecting signatures."""
    world = impatient(tables, ("A",)).active()
    world.begin_update("r")
    world.until(lambda: any(letter.name == "aggregate_nonce" for letter in world.mail))
    world.seen("A", "tree_confirmed")
    name = next(t.name for t in world.plans[world.factory.pending].templates if t.holder == LSP)
    world.session("A", name, Event.of("open", "A", attempt=9))
    world.receive(Letter(LSP, "A", "aggregate_nonce", name, 9, frozenset()))
    world.session("A", name, Event.of("sign", "A"))
    return world


def sign_another_message(tables: Machines) -> World:
    """After a restart the LSP asks for a signature under another transaction on the same outpoint."""
    world = impatient(tables, ("A",)).active()
    world.crash("A")
    name = "state:r@0"
    task = next(task for task in world.first.tasks("A") if task.transaction == name)
    party = world.parties["A"]
    world.parties["A"] = replace(party, signer=with_tasks(party.signer, [replace(task, message="another sighash")]))
    world.session("A", name, Event.of("open", "A", attempt=9))
    world.receive(Letter(LSP, "A", "aggregate_nonce", name, 9, frozenset()))
    world.session("A", name, Event.of("sign", "A"))
    return world


def poison_of_the_newest(tables: Machines) -> World:
    """A client asks the LSP to sign the poison of the state that stands, with which it would take all of it."""
    world = impatient(tables, ("A",)).active()
    blueprint = world.first.blueprint
    state = blueprint.templates["state:r@0"]
    made = poison(world.terms, state.outpoint(0), state.outputs[0])
    assert made is not None
    party = world.parties["A"]
    asked = task(blueprint, made, "A", "sighash of the poison")
    party = replace(party, signer=with_tasks(party.signer, [asked]))
    for event in (Event.of("open", "A", attempt=9), Event.of("aggregate_nonce", LSP, attempt=9), Event.of("sign", "A")):
        party, turn = deliver(tables, party, [(made.name, event)])
        world.refused += turn.refused
    signed = party.signer.sessions[made.name].status == "signed"
    demand(not signed, "the newest state is poisoned: whoever publishes it takes the stock")
    return world


def poison_not_held(tables: Machines) -> World:
    """The new version is complete, the poison of the old one is not."""
    world = impatient(tables, ("A",)).active()
    world.begin_update("r")
    world.until(lambda: world.status("A") == "updating")
    party = world.parties["A"]
    wanting = replace(world.client("A"), pending_poison=frozenset({"poison:state:r@0#0"}))
    world.parties["A"] = replace(party, life=wanting)
    world.withhold(lambda letter: False)
    world.live("A", Event.of("kit_complete", "A"))
    demand(world.client("A").version == "0", "A counts on a version beside which the old one costs nothing to publish")
    return world


def link_not_held(tables: Machines) -> World:
    world = impatient(tables, ("A",)).active()
    link = frozenset({"sale:state:r@0#1.0"})
    world.live("A", Event.of("link_complete", "A", given=2, bought=5, kit=link))
    demand(not link & world.client("A").kit, "A counts on a link that it does not hold")
    return world


def with_tower(world: World) -> None:
    """From here on A has a watchtower, which has kept whatever A holds by now."""
    party = world.parties["A"]
    world.parties["A"] = replace(party, towers={"T": party.signer.held})


def tower_not_told(path: str) -> Scene:
    """A has a watchtower whose answer does not come; when it comes, A counts."""

    def play(tables: Machines) -> World:
        world = impatient(tables, ("A",))
        world = world.active() if path != "first" else world.gathered()
        with_tower(world)
        before = world.client("A").version
        if path == "first":
            world.propose()
        else:
            world.begin_update(path)
        world.withhold(lambda letter: False)
        world.live("A", Event.of("kit_complete", "A"))
        demand(world.client("A").version == before, "A counts on a version of which its watchtower knows nothing")
        answered(world)
        demand(world.client("A").version != before, "A waits for an answer that has come")
        return world

    return play


def answered(world: World) -> None:
    party = world.parties["A"]
    after, turn = registered(world.tables, party, "T", party.signer.held)
    world._turn("A", after, turn)


def link_not_told(tables: Machines) -> World:
    world = impatient(tables, ("A",)).active()
    with_tower(world)
    link = frozenset({"sale:state:r@0#1.0"})
    party = world.parties["A"]
    world.parties["A"] = replace(party, signer=replace(party.signer, held=party.signer.held | link))
    bought = Event.of("link_complete", "A", given=2, bought=5, kit=link)
    world.live("A", bought)
    demand(not link & world.client("A").kit, "A counts on a link that its watchtower would not publish")
    answered(world)
    demand(world.live("A", bought), "A waits for an answer that has come")
    return world


def purchase_forgotten(tables: Machines) -> World:
    """A client has bought a channel, and paid; the next version has no room for it."""
    world = impatient(tables, ("A",)).active()
    world.live("A", Event.of("link_complete", "A", given=0, bought=5, kit=frozenset({"state:r@0"})))
    kit = frozenset({"state:r@1"})
    world.live("A", Event.of("update_proposal", LSP, version="1", balance=BALANCE, capacity=4, kit=kit))
    demand(world.status("A") == "active", "A agreed to a version without the channel that it has bought")
    return world


def channel_beyond_the_alternates(tables: Machines) -> World:
    """The next version gives a client a larger channel than the alternates above it pay it at the end."""
    world = impatient(tables, ("A",)).active()
    kit = frozenset({"state:r@1"})
    facts = {"balance": BALANCE, "capacity": 99, "cover": 98}
    world.live("A", Event.of("update_proposal", LSP, version="1", kit=kit, **facts))
    demand(world.status("A") == "active", "A agreed to a channel that the alternates signed before do not pay")
    return world


def stranded_channel(tables: Machines) -> World:
    """A client's channel lives, and the next version signs a first commitment for it that nobody would revoke."""
    world = impatient(tables, ("A",)).active()
    facts = {"live": frozenset({"A"}), "carried": frozenset()}
    kit = frozenset({"state:r@1"})
    world.live("A", Event.of("update_proposal", LSP, version="1", balance=BALANCE, capacity=9, kit=kit, **facts))
    demand(world.status("A") == "active", "A agreed to a second commitment of its channel, which is never revoked")
    return world


def stranded_by_the_lsp(tables: Machines) -> World:
    world = impatient(tables, ("A",)).active()
    plan = world.plan_update("r")
    facts = {"live": frozenset({"A"}), "carried": frozenset()}
    world.live(LSP, world.plan_event("begin_update", plan, node="r", concerned=plan.concerned, **facts))
    demand(world.factory.status == "active", "the LSP proposed a second commitment of a channel that lives")
    return world


def refused_by_a(field: str, loss: str) -> Scene:
    """The LSP has looked, and found that A would refuse what it is about to propose."""

    def play(tables: Machines) -> World:
        world = impatient(tables, ("A",)).active()
        plan = world.plan_update("r")
        facts = {field: frozenset({"A"})}
        world.live(LSP, world.plan_event("begin_update", plan, node="r", concerned=plan.concerned, **facts))
        demand(world.factory.status == "active", f"the LSP uses an index up for a version that A refuses: {loss}")
        return world

    return play


def close_beside_a_sale(tables: Machines) -> World:
    """A client may count on a link already that the close knows nothing of: it would refuse, and nothing follows."""
    world = impatient(tables, ("A",)).active()
    world.live(LSP, world.plan_event("begin_close", world.plan_close(), unfinished=frozenset({"s0"})))
    demand(world.factory.status == "active", "the LSP closes beside a sale that is not over")
    return world


def close_beside_a_payment(who: str) -> Scene:
    """A close of the factory is begun while a payment is in flight in one of its channels."""

    def play(tables: Machines) -> World:
        world = impatient(tables, ("A",)).active()
        if who == LSP:
            plan = world.plan_close()
            event = world.plan_event("begin_close", plan)
            world.live(LSP, Event.of(event.name, event.by, **{**dict(event.fields), "quiet": False}))
        else:
            world.live("A", Event.of("close_proposal", LSP, balance=BALANCE, quiet=False))
        demand(world.parties[who].life.status == "active", f"{who} closes beside a payment, which is nobody's then")
        return world

    return play


def link_counted(tables: Machines) -> World:
    world = impatient(tables, ("A",)).active()
    held = frozenset({"state:r@0"})
    world.live("A", Event.of("link_complete", "A", given=2, bought=5, kit=held))
    demand(world.client("A").owed == BALANCE + 2, "A does not count on what it bought")
    world.remembers("A", "active")
    life = world.disk["A"].life
    demand(isinstance(life, Client) and life.owed == BALANCE + 2, "A's purchase is not durable")
    return world


def false_signature(tables: Machines) -> World:
    world = ceremony(tables)
    world.until(lambda: bool(_open(world, "A")))
    world.receive(Letter(LSP, "A", "signature", _open(world, "A")[0], content=False))
    return world


def signature_while_open(tables: Machines) -> World:
    """A signature that was complete before this signer's crash reaches it when it has opened again."""
    world = ceremony(tables)
    finished(world)
    name = "alternate:funding#0"
    world.disk["A"] = replace(world.disk["A"], held=world.disk["A"].held - {name})
    world.crash("A")
    world.with_plan("A", world.first)
    world.session("A", name, Event.of("open", "A", attempt=9))
    world.receive(Letter(LSP, "A", "signature", name, content=True))
    demand(name in world.disk["A"].held, "a good signature was not taken")
    return world


def retried(path: str) -> Scene:
    """All messages are lost once, in the middle of signing."""

    def play(tables: Machines) -> World:
        world = World(tables)
        if path == "first":
            world.gathered().propose()
        else:
            world.active()
            if path == "close":
                world.begin_close()
            else:
                world.begin_update(path)
        world.until(lambda: world.factory.status in ("signing", "update_signing", "close_signing"))
        world.until(lambda: any(letter.name == "nonce" for letter in world.mail))
        world.mail.clear()
        attempt, status = world.factory.attempt, world.factory.status
        world.live(LSP, mine("retry"))
        demand(world.factory.attempt > attempt, "a retry is a new attempt")
        life = world.disk[LSP].life
        demand(
            (life.status, getattr(life, "attempt", 0)) == (status, world.factory.attempt),
            "a crash would make the LSP use an attempt's number twice",
        )
        world.patient = False
        world.settle(lambda: world.factory.status in ("signed", "active", "close_published"))
        return world

    return play


def crash_after_begin(path: str) -> Scene:
    """The number of an attempt is durable before its first message leaves."""

    def play(tables: Machines) -> World:
        world = impatient(tables)
        if path == "first":
            world.gathered().propose()
        else:
            world.active()
            if path == "close":
                world.begin_close()
            else:
                world.begin_update(path)
        before = world.factory.attempt
        world.until(lambda: world.factory.status in ("signing", "update_signing", "close_signing"))
        demand(world.factory.attempt > before, "an attempt's number is used twice")
        stored = world.disk[LSP].life
        demand(getattr(stored, "attempt", 0) == world.factory.attempt, "a crash would make the LSP use it twice")
        return world

    return play


# -- the client --------------------------------------------------------------------------------------------------------


def offered(**other: int | str) -> Scene:
    """A proposal that differs in one field from what the client was promised, or computed."""

    def play(tables: Machines) -> World:
        world = impatient(tables).gathered()
        event = world.proposal("A", world.first, **other)
        if world.live("A", event):
            demand(world.client("A").pending_owed >= BALANCE, "A agreed to less than it was promised")
            demand(event["funding_claimed"] == event["funding_computed"], "A's tree hangs under another output")
            exit_blocks, end = event["exit_blocks"], event["end"]
            assert isinstance(exit_blocks, int)
            assert isinstance(end, int)
            demand(exit_blocks + LIMITS.margin <= LIMITS.ceiling, "A's exit is longer than an HTLC can wait")
            demand(end >= LIMITS.life, "the end comes before A could be out")
            shortest = event["shortest_lock"]
            assert isinstance(shortest, int)
            demand(shortest > LIMITS.reaction, "an older state can win while A is away")
            demand(event["end_default"] in LIMITS.accepts, "A loses everything if it never comes back")
        return world

    return play


def kit_not_held(path: str) -> Scene:
    """The LSP keeps the complete signatures back."""

    def play(tables: Machines) -> World:
        world = _to_signing(tables, path)
        world.withhold(lambda letter: letter.name == "signature")
        world.live("A", Event.of("kit_complete", "A"))
        return world

    return play


def _to_signing(tables: Machines, path: str) -> World:
    if path == "first":
        return ceremony(tables)
    world = impatient(tables).active()
    if path == "close":
        world.begin_close()
    else:
        world.begin_update(path)
    return world.until(lambda: world.factory.status in ("update_signing", "close_signing"))


def shallow(who: str, event: str, prepare: Callable[[World], object]) -> Scene:
    """A transaction confirms, is believed, and a reorg takes it back."""

    def play(tables: Machines) -> World:
        world = impatient(tables)
        prepare(world)
        status = world.status(who)
        world.seen(who, event, depth=DEPTH - 1, height=FUNDED_AT, unspent=0)
        demand(world.status(who) == status, f"{who} relied on a transaction that a reorg took back")
        return world

    return play


def _funded(world: World) -> None:
    world.signed()
    world.fund()


def _close_published(world: World) -> None:
    world.active().begin_close()
    world.settle(lambda: world.factory.status == "close_published")


def _settling(world: World) -> None:
    world.active()
    for event in ("tree_confirmed", "kickoff_confirmed", "leaf_confirmed", "commitment_confirmed"):
        world.seen("A", event)


def _on_chain(world: World) -> None:
    world.active()
    for event in ("tree_confirmed", "kickoff_confirmed", "leaf_confirmed"):
        world.seen("A", event)


def another_channel_left(event: str, prepare: Callable[[World], object]) -> Scene:
    """One of two channels is settled; the other is still to be swept."""

    def play(tables: Machines) -> World:
        world = impatient(tables)
        prepare(world)
        world.seen("A", event, unsettled=1)
        demand(world.status("A") not in ("swept", "paid"), "A stops watching while a channel of its own is unsettled")
        return world

    return play


def poisoned(tables: Machines) -> World:
    """An older state of the leaf confirms, and its poison."""
    world = impatient(tables)
    _on_chain(world)
    world.seen("A", "poison_confirmed")
    world.remembers("A", "swept")
    return world


def closed_by_the_lsp(tables: Machines) -> World:
    """The LSP's commitment closes the channel, and that is remembered."""
    world = impatient(tables)
    _on_chain(world)
    world.seen("A", "peer_commitment_confirmed")
    world.remembers("A", "swept")
    return world


def _resolving(world: World) -> None:
    world.active().seen(LSP, "tree_confirmed")


def same_version_twice(tables: Machines) -> World:
    """The LSP proposes a version again that was broken off, perhaps with other contents."""
    world = impatient(tables).active()
    plan = world.begin_update("r.0")
    assert plan is not None
    offer = world.mail[0]
    world.post()
    world.live("A", Event.of("update_aborted", "A"))
    if world.receive(offer):
        raise Broken("one version exists twice, with one lock: either could win")
    return world


def poorer(event: str) -> Scene:
    """An update, or a close, that pays the client less than it counts on."""

    def play(tables: Machines) -> World:
        world = impatient(tables).active()
        fields: dict[str, Any] = {"balance": BALANCE - 1}
        if event == "update_proposal":
            fields |= {"version": "0.1.0", "kit": frozenset({"x"})}
        taken = world.live("A", Event.of(event, LSP, **fields))
        demand(not taken, "A agreed to own less than it owned")
        return world

    return play


def breaks_off(who: str, act: Callable[[World], object], path: str = "r") -> Scene:
    """Something ends a ceremony that is being signed: nothing of it goes on, and a crash does not forget it."""

    def play(tables: Machines) -> World:
        world = _to_signing(tables, path)
        world.until(lambda: bool(_open(world, who)))
        act(world)
        world.signs_nothing(who)
        return world

    return play


def _then(event: str, who: str, status: str, by: str = "chain", **fields: int) -> Callable[[World], None]:
    def act(world: World) -> None:
        world.live(who, Event.of(event, by, **fields))
        world.remembers(who, status)

    return act


def update_given_up(tables: Machines) -> World:
    world = impatient(tables).active()
    world.begin_update("r.0")
    world.until(lambda: bool(_open(world, LSP)))
    world.live(LSP, mine("update_aborted"))
    world.signs_nothing(LSP)
    world.withhold(lambda letter: letter.name in ("nonce", "partial", "signature"))
    demand(world.status("A") == "active", "A was not told that the update is given up")
    world.remembers(LSP, "active")
    return world


def given_up_by_the_client(tables: Machines) -> World:
    world = _to_signing(tables, "r")
    world.until(lambda: bool(_open(world, "A")))
    world.live("A", Event.of("update_aborted", "A"))
    world.signs_nothing("A")
    demand(world.client("A").pending == "", "A would count what it gave up")
    return world


def given_up_before_funding(tables: Machines) -> World:
    world = ceremony(tables)
    world.until(lambda: bool(_open(world, LSP)) and bool(_open(world, "A")))
    world.live(LSP, mine("abort"))
    world.remembers(LSP, "aborted")
    world.signs_nothing(LSP)
    world.withhold(lambda letter: letter.name in ("nonce", "partial", "aggregate_nonce", "signature"))
    for name in world.clients:
        world.remembers(name, "left")
        world.signs_nothing(name)
    return world


def exit_on_chain(tables: Machines) -> World:
    """From the first kickoff to the wallet, remembered at every step."""
    world = impatient(tables).active()
    for event, status in (
        ("tree_confirmed", "exiting"),
        ("kickoff_confirmed", "waiting"),
        ("state_confirmed", "exiting"),
        ("kickoff_confirmed", "waiting"),
        ("leaf_confirmed", "on_chain"),
        ("commitment_confirmed", "settling"),
        ("sweep_confirmed", "swept"),
    ):
        world.seen("A", event)
        world.remembers("A", status)
    for event, status in (("tree_confirmed", "resolving"), ("outputs_spent", "resolved")):
        world.seen(LSP, event, unspent=0)
        world.remembers(LSP, status)
    return world


# -- the LSP -----------------------------------------------------------------------------------------------------------


def propose_too_early(tables: Machines) -> World:
    world = impatient(tables)
    world.invite()
    world.until(lambda: bool(world.factory.joined))
    if world.propose():
        demand(world.factory.joined == world.factory.clients, "the terms lack a client's keys")
    return world


def another_plan(path: str) -> Scene:
    """B computed another plan than the LSP."""

    def play(tables: Machines) -> World:
        world = impatient(tables)
        if path == "first":
            world.gathered().propose()
        elif path == "close":
            world.active().begin_close()
        else:
            world.active().begin_update(path)
        for letter in world.withhold(lambda letter: letter.name == "agreement" and letter.sender == "B"):
            world.receive(replace(letter, content="another plan"))
        demand("B" not in world.factory.agreed, "signing begins with B, which computed another plan")
        return world

    return play


def one_has_not_agreed(path: str) -> Scene:
    def play(tables: Machines) -> World:
        world = impatient(tables)
        if path == "first":
            world.gathered().propose()
        elif path == "close":
            world.active().begin_close()
        else:
            world.active().begin_update(path)
        world.withhold(lambda letter: letter.name == "agreement" and letter.sender == "B")
        world.live(LSP, mine("all_agreed" if path == "first" else "begin_signing"))
        demand(
            world.factory.status in ("proposed", "updating", "closing"), "signing began without B, which has not agreed"
        )
        return world

    return play


def one_lacks_its_kit(path: str, says: str | None = None) -> Scene:
    """B never gets the last signatures; it says nothing, or speaks of another version."""

    def play(tables: Machines) -> World:
        world = _to_signing(tables, path)
        plan = world.plans[world.factory.pending]
        last = {t.name for t in plan.templates if t.spends[0].outpoint.transaction not in plan.to_sign}
        world.withhold(lambda letter: letter.name == "signature" and letter.to == "B" and letter.transaction in last)
        if says is not None:
            world.live(LSP, Event.of("kit_complete", "B", version=says))
        world.live(LSP, mine("ready"))
        if path == "first":
            world.fund()
        else:
            counted = world.factory.version == plan.version
            demand(
                not counted or plan.kit("B") <= world.disk["B"].held, "the LSP counts on a version that B does not hold"
            )
        return world

    return play


def lying_clients(path: str) -> Scene:
    """The clients say that their kits are complete, and keep their signatures back."""

    def play(tables: Machines) -> World:
        world = _to_signing(tables, path)
        world.withhold(lambda letter: letter.name == "partial")
        if path == "close":
            world.live(LSP, mine("close_complete"))
            return world
        for name in world.clients:
            world.live(LSP, Event.of("kit_complete", name, version=world.factory.pending))
        pending = world.plans[world.factory.pending] if world.factory.pending else world.plans[world.factory.version]
        world.live(LSP, mine("ready"))
        if world.factory.status == "signed":
            world.fund()
        demand(
            world.factory.status != "active" or pending.kit(LSP) <= world.disk[LSP].held,
            "the LSP counts on a version that it does not hold",
        )
        return world

    return play


def no_index_left(tables: Machines) -> World:
    world = impatient(tables, ("A",)).active()
    world.update("r").update("r")
    try:
        world.begin_update("r")
    except ProtocolError as error:
        raise Broken("the table let through what the odometer cannot do") from error
    return world


def dying_too_early(tables: Machines) -> World:
    world = impatient(tables).active()
    world.live(LSP, Event.of("period_over", "clock", height=FUNDED_AT + ACTIVE - 1))
    demand(world.factory.status == "active", "the factory stops serving before its time")
    world.live(LSP, Event.of("period_over", "clock", height=FUNDED_AT + ACTIVE))
    world.remembers(LSP, "dying")
    return world


def end_too_early(tables: Machines) -> World:
    world = impatient(tables).active()
    world.live(LSP, Event.of("end_reached", "clock", height=END - 1, end=END))
    demand(world.factory.status == "active", "the LSP gives its money up before the alternates are valid")
    return world


def resolved_too_early(tables: Machines) -> World:
    world = impatient(tables)
    _resolving(world)
    world.seen(LSP, "outputs_spent", unspent=1)
    demand(world.factory.status == "resolving", "nobody watches the output that is left")
    return world


# -- which scene is for which rule -------------------------------------------------------------------------------------

SCENES: dict[str, dict[str, Scene]] = {
    "SES-1": {
        "attempt_is_newer": doubled_begin,
        "destroy_nonce": retried("first"),
        "make_nonce": whole_life,
        "send_nonce": whole_life,
    },
    "SES-2": {
        "of_this_attempt": late_of_the_first_attempt("nonce"),
        "last_nonce": whole_life,
        "take_nonce": whole_life,
        "send_aggregate_nonce": whole_life,
    },
    "SES-3": {
        "of_this_attempt": late_of_the_first_attempt("nonce"),
        "nonce_is_first": doubled_nonce,
        "take_nonce": whole_life,
    },
    "SES-4": {
        "of_this_attempt": late_of_the_first_attempt("aggregate_nonce"),
        "take_aggregate_nonce": whole_life,
    },
    "SES-5": {
        "children_complete": sign_before_children,
        "only_superseded": poison_of_the_newest,
        "nothing_on_chain": sign_with_the_tree_on_chain,
        "spend_is_unrecorded": sign_another_message,
        "record_spend": whole_life,
        "use_nonce": whole_life,
        "send_partial": whole_life,
    },
    "SES-6": {
        "of_this_attempt": late_of_the_first_attempt("partial"),
        "partial_verifies": spoiled_partial(by="A", shared=False),
        "last_partial": whole_life,
        "take_partial": whole_life,
        "store_signature": whole_life,
        "send_signature": whole_life,
    },
    "SES-7": {
        "partial_verifies": spoiled_partial(by="A", shared=True),
        "take_partial": whole_life,
    },
    "SES-8": {
        "signature_verifies": false_signature,
        "store_signature": whole_life,
        "destroy_nonce": signature_while_open,
    },
    "SES-9": {"destroy_nonce": given_up_by_the_client},
    "SES-10": {
        "of_this_attempt": late_partial_before_the_collector_signed,
        "partial_verifies": spoiled_partial(by="A", shared=True, slow=True),
        "take_partial": slow_children,
    },
    "SES-11": {
        "every_partial_in": finish_too_early,
        "store_signature": slow_commitment,
        "send_signature": slow_commitment,
    },
    "CLI-1": {"send_join": whole_life},
    "CLI-2": {
        "balance_as_promised": offered(balance=BALANCE - 1),
        "funding_recomputed": offered(funding_claimed="output 1"),
        "exit_within_ceiling": offered(exit_blocks=LIMITS.ceiling - LIMITS.margin + 1),
        "end_leaves_time": offered(end=LIMITS.life - 1),
        "locks_outlast_absence": offered(shortest_lock=LIMITS.reaction),
        "end_default_accepted": offered(end_default="classic/none"),
        "persist_terms": whole_life,
        "send_agreement": whole_life,
    },
    "CLI-3": {
        "kit_held": kit_not_held("first"),
        "tower_registered": tower_not_told("first"),
        "count_version": whole_life,
        "send_kit_complete": whole_life,
    },
    "CLI-4": {"deep_enough": shallow("A", "funding_confirmed", _funded), "persist_status": remembered_life},
    "CLI-5": {
        "version_is_newer": same_version_twice,
        "balance_not_less": poorer("update_proposal"),
        "capacity_not_less": purchase_forgotten,
        "alternates_cover": channel_beyond_the_alternates,
        "channels_carried": stranded_channel,
        "persist_pending": remembered_life,
        "send_agreement": whole_life,
    },
    "CLI-6": {
        "kit_held": kit_not_held("r"),
        "poison_held": poison_not_held,
        "tower_registered": tower_not_told("r"),
        "count_version": whole_life,
        "send_kit_complete": whole_life,
    },
    "CLI-7": {"drop_pending": given_up_by_the_client},
    "CLI-8": {
        "close_pays_in_full": poorer("close_proposal"),
        "channels_quiet": close_beside_a_payment("A"),
        "persist_status": remembered_life,
        "send_agreement": whole_life,
    },
    "CLI-9": {"deep_enough": shallow("A", "close_confirmed", _close_published), "persist_status": remembered_life},
    "CLI-10": {
        "drop_pending": breaks_off("A", _then("start_exit", "A", "exiting", by="A")),
        "persist_status": breaks_off("A", _then("start_exit", "A", "exiting", by="A")),
    },
    "CLI-11": {
        "drop_pending": breaks_off("A", _then("tree_confirmed", "A", "exiting")),
        "persist_status": breaks_off("A", _then("tree_confirmed", "A", "exiting")),
    },
    "CLI-12": {"persist_status": exit_on_chain},
    "CLI-13": {"persist_status": exit_on_chain},
    "CLI-14": {"persist_status": exit_on_chain},
    "CLI-15": {"persist_status": exit_on_chain},
    "CLI-16": {
        "deep_enough": shallow("A", "sweep_confirmed", _settling),
        "nothing_left": another_channel_left("sweep_confirmed", _settling),
        "persist_status": exit_on_chain,
    },
    "CLI-17": {
        "deep_enough": shallow("A", "alternate_confirmed", World.active),
        "nothing_left": another_channel_left("alternate_confirmed", _on_chain),
        "drop_pending": breaks_off("A", _then("alternate_confirmed", "A", "paid", depth=DEPTH)),
        "persist_status": breaks_off("A", _then("alternate_confirmed", "A", "paid", depth=DEPTH)),
    },
    "CLI-18": {"drop_pending": given_up_before_funding, "persist_status": given_up_before_funding},
    "CLI-19": {
        "deep_enough": shallow("A", "peer_commitment_confirmed", _on_chain),
        "nothing_left": another_channel_left("peer_commitment_confirmed", _on_chain),
        "persist_status": closed_by_the_lsp,
    },
    "CLI-21": {
        "deep_enough": shallow("A", "poison_confirmed", _on_chain),
        "nothing_left": another_channel_left("poison_confirmed", _on_chain),
        "persist_status": poisoned,
    },
    "CLI-20": {"link_held": link_not_held, "tower_registered": link_not_told, "count_link": link_counted},
    "FAC-1": {"note_join": whole_life},
    "FAC-2": {"every_client_joined": propose_too_early, "persist_terms": whole_life, "send_proposal": whole_life},
    "FAC-3": {"same_plan": another_plan("first"), "note_agreement": whole_life},
    "FAC-4": {"every_client_agreed": one_has_not_agreed("first")},
    "FAC-5": {
        "next_attempt": crash_after_begin("first"),
        "persist_status": crash_after_begin("first"),
        "send_begin": whole_life,
        "open_sessions": whole_life,
    },
    "FAC-6": {"kit_of_this_version": one_lacks_its_kit("first", says="none"), "note_kit": whole_life},
    "FAC-7": {
        "every_kit_complete": one_lacks_its_kit("first"),
        "own_kit_held": lying_clients("first"),
        "count_version": whole_life,
    },
    "FAC-8": {"persist_status": whole_life, "broadcast_funding": whole_life},
    "FAC-9": {
        "deep_enough": shallow(LSP, "funding_confirmed", _funded),
        "note_height": dying_too_early,
        "persist_status": remembered_life,
    },
    "FAC-10": {
        "index_left": no_index_left,
        "channels_carried": stranded_by_the_lsp,
        "sales_finished": refused_by_a("unfinished", "it holds a link that the version knows nothing of"),
        "balance_not_less": refused_by_a("poorer", "it counts on more"),
        "capacity_not_less": refused_by_a("smaller", "its channel is larger"),
        "alternates_cover": refused_by_a("uncovered", "the alternates above pay it less than its channel"),
        "persist_pending": whole_life,
        "send_update": whole_life,
    },
    "FAC-11": {"same_plan": another_plan("r"), "note_agreement": whole_life},
    "FAC-12": {
        "every_client_agreed": one_has_not_agreed("r"),
        "next_attempt": crash_after_begin("r"),
        "persist_status": crash_after_begin("r"),
        "send_begin": whole_life,
        "open_sessions": whole_life,
    },
    "FAC-13": {"kit_of_this_version": one_lacks_its_kit("r", says="0.0.0"), "note_kit": whole_life},
    "FAC-14": {
        "every_kit_complete": one_lacks_its_kit("r"),
        "own_kit_held": lying_clients("r"),
        "count_version": whole_life,
    },
    "FAC-15": {
        "persist_status": update_given_up,
        "send_update_aborted": update_given_up,
        "drop_pending": update_given_up,
    },
    "FAC-16": {"active_period_over": dying_too_early, "persist_status": dying_too_early},
    "FAC-17": {
        "channels_quiet": close_beside_a_payment(LSP),
        "sales_finished": close_beside_a_sale,
        "persist_close": whole_life,
        "send_close": whole_life,
    },
    "FAC-18": {"same_plan": another_plan("close"), "note_agreement": whole_life},
    "FAC-19": {
        "every_client_agreed": one_has_not_agreed("close"),
        "next_attempt": crash_after_begin("close"),
        "persist_status": crash_after_begin("close"),
        "send_begin": whole_life,
        "open_sessions": whole_life,
    },
    "FAC-20": {"own_kit_held": lying_clients("close"), "persist_status": whole_life, "broadcast_close": whole_life},
    "FAC-21": {"deep_enough": shallow(LSP, "close_confirmed", _close_published), "persist_status": remembered_life},
    "FAC-22": {
        "drop_pending": breaks_off(LSP, _then("tree_confirmed", LSP, "resolving")),
        "persist_status": breaks_off(LSP, _then("tree_confirmed", LSP, "resolving")),
    },
    "FAC-23": {
        "nothing_left": resolved_too_early,
        "deep_enough": shallow(LSP, "outputs_spent", _resolving),
        "persist_status": exit_on_chain,
    },
    "FAC-24": {
        "end_passed": end_too_early,
        "drop_pending": breaks_off(
            LSP, _then("end_reached", LSP, "expired", by="clock", height=END, end=END), path="close"
        ),
        "persist_status": breaks_off(
            LSP, _then("end_reached", LSP, "expired", by="clock", height=END, end=END), path="close"
        ),
    },
    "FAC-25": {
        "drop_pending": given_up_before_funding,
        "send_abort": given_up_before_funding,
        "persist_status": given_up_before_funding,
    },
    "FAC-26": dict.fromkeys(("next_attempt", "persist_status", "open_sessions", "send_begin"), retried("first")),
    "FAC-27": dict.fromkeys(("next_attempt", "persist_status", "open_sessions", "send_begin"), retried("r")),
    "FAC-28": dict.fromkeys(("next_attempt", "persist_status", "open_sessions", "send_begin"), retried("close")),
}

RULES = {"session": session.RULES, "client": client.RULES, "factory": factory.RULES}


NAMED_BY = {("SES-3", "nonce_is_first"): "last_nonce"}
"""A refusal names the first row of its event: for these, the guard of an earlier row."""


def _bound() -> tuple[BoundMachine[Any], ...]:
    real = machines()
    return real.session, real.client, real.factory


def _rows() -> list[tuple[Machine, Transition]]:
    return [(machine.table, row) for machine in _bound() for row in machine.table.transitions]


GUARDS = [(row.id, guard) for _, row in _rows() for guard in row.guards]
EFFECTS = [(row.id, effect) for _, row in _rows() for effect in row.effects]


def _without(identity: str, name: str) -> Machines:
    """The tables without one guard or effect of one row."""
    bound = {}
    for machine in _bound():
        rows = tuple(
            replace(
                row,
                guards=tuple(guard for guard in row.guards if guard != name),
                effects=tuple(effect for effect in row.effects if effect != name),
            )
            if row.id == identity
            else row
            for row in machine.table.transitions
        )
        bound[machine.table.name] = bind(replace(machine.table, transitions=rows), RULES[machine.table.name])
    return Machines(bound["session"], bound["client"], bound["factory"])


CHOOSE = {("SES-2", "last_nonce"), ("SES-6", "last_partial")}
"""Guards that choose between two rows of one event: what the one does not take, the other does."""


def test_every_guard_and_every_effect_has_its_scene_and_no_scene_is_left_over() -> None:
    wanted = {*GUARDS, *EFFECTS}
    given = {(identity, name) for identity, scenes in SCENES.items() for name in scenes}
    assert wanted - given == set(), "without a scene"
    assert given - wanted == set(), "for nothing"


@pytest.mark.parametrize(("identity", "guard"), GUARDS)
def test_a_guard_that_is_dropped_is_missed(identity: str, guard: str) -> None:
    scene = SCENES[identity][guard]
    world = scene(machines())
    if (identity, guard) not in CHOOSE:
        assert NAMED_BY.get((identity, guard), guard) in world.guards_refused(), (
            "the table as it is refuses nothing here"
        )
    with pytest.raises(Broken) as broken:
        scene(_without(identity, guard))
    assert "scene" not in str(broken.value)


@pytest.mark.parametrize(("identity", "effect"), EFFECTS)
def test_an_effect_that_is_dropped_is_missed(identity: str, effect: str) -> None:
    scene = SCENES[identity][effect]
    scene(machines())
    with pytest.raises(Broken):
        scene(_without(identity, effect))
