"""Poison between real parties: after the newer state is complete and held, of everything older, of nothing newest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from superscalar_ref.machine.bind import bind
from superscalar_ref.machine.types import Event
from superscalar_ref.parties import messages as m
from superscalar_ref.parties.actor import Actor
from superscalar_ref.parties.wire import Letter
from superscalar_ref.protocol import session as session_rules
from superscalar_ref.protocol.participant import Machines, deliver, machines, task, with_tasks
from superscalar_ref.protocol.poison import poison, poison_name
from superscalar_ref.protocol.shape import Shape
from superscalar_ref.protocol.transaction import Kind, Outpoint, Role, Template
from tests.parties.scene import INBOUND, LSP, STOCK, Scene, check_consistent, scene
from tests.parties.test_sales import PAIR, active, buy, retried

BINARY = Shape.of([2])


def poisons(actor: Actor) -> set[str]:
    """Names of the poisons that a party holds complete."""
    return {name for name in actor.held if name.startswith("poison:")}


def poisoned_states(actor: Actor) -> set[str]:
    templates = actor.factory.templates
    return {templates[name].spends[0].outpoint.transaction for name in poisons(actor)}


def test_nothing_is_poisoned_before_the_first_update() -> None:
    play = buy(active(), "c0")
    assert not any(poisons(actor) for actor in play.actors.values())
    assert not any(t.kind is Kind.POISON for actor in play.actors.values() for t in actor.factory.templates.values())


def test_a_leaf_update_poisons_the_old_leaf_and_the_chain_below_it() -> None:
    play = buy(buy(active(), "c0"), "c1")
    play.update("r")
    links = [sold.sale.link for sold in play.lsp.factory.record.sales]
    assert poisoned_states(play.clients["c0"]) == {"state:r@0", *links}
    assert poisoned_states(play.clients["c2"]) == {"state:r@0"}
    for name, client in play.clients.items():
        for poisoned in poisons(client):
            template = client.factory.templates[poisoned]
            paid = {output.owner for output in template.outputs}
            assert LSP not in paid
            spent = template.spends[0].outpoint
            output = client.factory.templates[spent.transaction].outputs[spent.index]
            assert paid == ({output.owner} if output.role is Role.CHANNEL else set(output.signers) - {LSP})
            assert name in template.signers
    check_consistent(play)


def test_shares_are_equal_and_a_channel_goes_wholly_to_its_client() -> None:
    play = active().update("r")
    templates = play.lsp.factory.templates
    channel = templates[poison_name(Outpoint("state:r@0", 0))]
    assert channel.amount_out() == 20_000 + INBOUND - channel.fee
    stock = templates[poison_name(Outpoint("state:r@0", 4))]
    amounts = [output.amount for output in stock.outputs]
    assert sum(amounts) == STOCK - stock.fee
    assert max(amounts) - min(amounts) <= 1
    assert [output.owner for output in stock.outputs] == ["c0", "c1"]


def test_an_update_higher_up_poisons_every_leaf_below_and_no_other() -> None:
    play = scene(4, shape=BINARY).ceremony().fund()
    play.update("r.0")
    assert poisoned_states(play.lsp) == {"state:r.0.0@0.0.0", "state:r.0.1@0.0.0"}
    assert poisoned_states(play.clients["c0"]) == {"state:r.0.0@0.0.0"}
    assert not poisons(play.clients["c2"])
    play.update("r")
    assert poisoned_states(play.clients["c0"]) == {"state:r.0.0@0.0.0", "state:r.0.0@0.1.0"}
    assert poisoned_states(play.clients["c2"]) == {"state:r.1.0@0.0.0"}
    check_consistent(play)


def test_a_version_that_was_given_up_is_poisoned_too() -> None:
    """It may be complete in somebody's hands."""
    play = active()
    play.wire.post(LSP, play.lsp.update("r", {}))
    play.wire.run(lambda count: None)
    play.update("r")
    assert poisoned_states(play.clients["c0"]) == {"state:r@0", "state:r@1"}
    play = active()
    play.wire.post(LSP, play.lsp.update("r", {}))
    while play.clients["c0"].life.status != "updating":
        play.wire.deliver(play.wire.letters.popleft())
    play.wire.post(LSP, play.lsp.abort())
    play.wire.run()
    play.update("r")
    assert {"state:r@0", "state:r@1"} <= poisoned_states(play.clients["c0"])
    assert {"state:r@0", "state:r@1"} <= poisoned_states(play.clients["c1"])


def watched(play: Scene, look: Callable[[str, m.Message], None]) -> None:
    """Deliver everything, and look at each message when it is posted."""
    while play.wire.letters:
        letter = play.wire.letters.popleft()
        look(letter.sender, m.decode(letter.raw, letter.sender))
        play.wire.deliver(letter)


def test_no_partial_signature_of_a_poison_leaves_before_the_newer_state_is_held() -> None:
    play = buy(active(), "c0")
    seen: list[str] = []

    def look(sender: str, message: m.Message) -> None:
        names = message.partials if isinstance(message, m.Partials) else {}
        actor = play.actors[sender]
        for name in names:
            if name.startswith("poison:"):
                blueprint = actor.factory.blueprints["v1"]
                assert blueprint.kit_of(sender) <= actor.held
                seen.append(name)

    play.wire.post(LSP, play.lsp.update("r", {}))
    watched(play, look)
    assert len(seen) > 8
    for actor in play.actors.values():
        records = [message for _, slot, message in actor.store.records() if slot == "poison"]
        assert len(records) == len(poisons(actor))


def test_a_client_counts_on_the_update_once_its_poison_is_held() -> None:
    """The LSP completes the newer state and keeps the poison of the older one back."""
    play = buy(active(), "c0")
    play.wire.post(LSP, play.lsp.update("r", {}))
    kept: list[Letter] = []
    while play.wire.letters:
        letter = play.wire.letters.popleft()
        message = m.decode(letter.raw, letter.sender)
        if isinstance(message, m.Signatures) and any(name.startswith("poison:") for name in message.signatures):
            kept.append(letter)
            continue
        play.wire.deliver(letter)
    assert kept
    client = play.clients["c0"]
    assert client.life.pending_kit <= client.held
    assert (client.life.status, client.life.version) == ("updating", "0")
    assert play.lsp.life.status == "update_signing"
    play.settle("active")
    assert client.life.version == "1"
    check_consistent(play)


@pytest.mark.parametrize("who", [LSP, "c0"])
@pytest.mark.parametrize("what", ["state:r@1", "sale:state:r@1#4.0"])
def test_the_poison_of_what_is_newest_is_never_signed(who: str, what: str) -> None:
    """Also of a link of the newest chain, also by a client; and nobody knows a session for it."""
    play = buy(active().update("r"), "c0")
    actor = play.actors[who]
    template = actor.factory.templates[what]
    for index in range(2):
        made = poison(actor.factory.terms, template.outpoint(index), template.outputs[index])
        assert made is not None
        if who not in made.signers:
            continue
        for after in (frozenset[str](), frozenset({"state:r@2"})):
            assert asked(actor, made, after, machines()) == "ONLY_SUPERSEDED"
        assert asked(actor, made, frozenset(), without_the_guard()) == ""
        sender = LSP if who != LSP else "c0"
        nonces = m.AggregateNonces(1, {made.name: "02" + "11" * 32 + "03" + "22" * 32})
        before = actor.party
        assert "no session" in actor.receive(sender, m.encode(nonces)).alerts[0]
        assert actor.party == before


def without_the_guard() -> Machines:
    table = machines().session.table
    rows = tuple(
        replace(row, guards=tuple(guard for guard in row.guards if guard != "only_superseded"))
        for row in table.transitions
    )
    return replace(machines(), session=bind(replace(table, transitions=rows), session_rules.RULES))


def asked(actor: Actor, made: Template, after: frozenset[str], tables: Machines) -> str:
    """The refusal when everybody else is ready to sign a poison; empty when it is signed."""
    wanted = replace(task(actor.counted_blueprint(), made, actor.name, "a sighash", after), needs=frozenset())
    party = replace(actor.party, signer=with_tasks(actor.party.signer, [wanted]))
    nonces = [Event.of("aggregate_nonce", LSP, attempt=1)]
    if wanted.collector == actor.name:
        nonces = [Event.of("nonce", other, attempt=1) for other in sorted(wanted.signers - {actor.name})]
    for event in (Event.of("open", actor.name, attempt=1), *nonces):
        party, _ = deliver(tables, party, [(made.name, event)])
    if party.signer.sessions[made.name].status == "signed":
        return ""
    _, turn = deliver(tables, party, [(made.name, Event.of("sign", actor.name))])
    return turn.refused[0].code


def test_poison_follows_after_a_lost_word() -> None:
    """Every letter of an update with chains below it may be lost once."""
    whole = buy(scene(3, shape=PAIR).ceremony().fund(), "c0")
    start = whole.wire.count
    whole.update("r")
    letters = whole.wire.count - start
    for number in range(1, letters + 1, 3):
        play = buy(scene(3, shape=PAIR).ceremony().fund(), "c0")
        play.wire.post(LSP, play.lsp.update("r", {}))
        count = 0
        while play.wire.letters:
            letter = play.wire.letters.popleft()
            count += 1
            if count != number:
                play.wire.deliver(letter)
        play.settle("active")
        assert set(play.statuses().values()) == {"active"}, number
        for client in play.clients.values():
            assert client.life.version == "1"
            wanted = {name for name, t in client.factory.poisons("v1").items() if client.name in t.signers}
            assert wanted <= client.held
        check_consistent(play)


def test_a_chain_that_was_offered_and_not_completed_is_poisoned() -> None:
    """Somebody may hold the link complete."""
    play = active()
    play.wire.post("c0", play.clients["c0"].buy(5_000, 1_000))
    while play.lsp.stock_of(play.lsp.stock_base("c0")).status != "signing":
        play.wire.deliver(play.wire.letters.popleft())
    play.wire.run()
    link = play.lsp.factory.record.sales[0].sale.link
    assert play.lsp.stock_of(play.lsp.stock_base("c0")).status == "chained"
    play.update("r")
    assert link in poisoned_states(play.clients["c1"])
    retried(play)
