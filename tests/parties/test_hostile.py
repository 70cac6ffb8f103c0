"""Parties that lie, with real bytes: each lie is one refusal, and nothing has changed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from superscalar_ref.parties import messages as m
from superscalar_ref.parties.client import ClientActor
from superscalar_ref.parties.wire import Letter
from superscalar_ref.protocol.blueprint import Channel, LeafContents
from superscalar_ref.protocol.shape import Shape
from superscalar_ref.protocol.transaction import Outpoint
from superscalar_ref.signing import nonces
from tests.parties.scene import (
    BALANCE,
    LSP,
    STOCK,
    Scene,
    check_consistent,
    payout,
    scene,
    secret,
    snapshot,
)

PAIR = Shape.of([2], leaf_k=2)
POINT = secret("a point of nobody").public.hex()


def stop_before(play: Scene, kind: type[m.Message], to: str = "c0") -> Letter:
    """Deliver until the next letter is a message of this kind to this party; take that one off the wire."""
    letters = play.wire.letters
    while letters:
        letter = letters.popleft()
        if letter.to == to and isinstance(m.decode(letter.raw, letter.sender), kind):
            return letter
        play.wire.deliver(letter)
    raise AssertionError(f"no {kind.__name__} came to {to}")


def refused(play: Scene, to: str, message: m.Message, sender: str = LSP) -> str:
    """A party refuses a message: one alert, nothing sent, nothing changed."""
    actor = play.actors[to]
    before = snapshot(actor)
    outbox = actor.receive(sender, m.encode(message))
    assert not outbox.messages, m.decode(outbox.messages[0][1], to)
    assert not outbox.broadcasts
    assert snapshot(actor) == before
    (alert,) = outbox.alerts
    return alert


# -- proposals ---------------------------------------------------------------------------------------------------------


def with_terms(change: Callable[[m.TermsForm], m.TermsForm]) -> Callable[[m.Proposal], m.Proposal]:
    return lambda offer: replace(offer, terms=change(offer.terms))


def with_keys(keys: Callable[[Mapping[str, m.KeysForm]], dict[str, m.KeysForm]]) -> Callable[[m.Proposal], m.Proposal]:
    return with_terms(lambda terms: replace(terms, keys={**terms.keys, **keys(terms.keys)}))


def with_locks(**locks: int | str) -> Callable[[m.Proposal], m.Proposal]:
    return with_terms(lambda terms: replace(terms, locks=replace(terms.locks, **locks)))  # type: ignore[arg-type]


def less(contents: Mapping[str, LeafContents], client: str, by: int = 1) -> dict[str, LeafContents]:
    """The same contents, with ``by`` sat of a client's balance on the LSP's side of its channel."""
    return {
        path: replace(
            leaf,
            channels=tuple(
                Channel(c.client, c.to_client - by, c.to_lsp + by) if c.client == client else c for c in leaf.channels
            ),
        )
        for path, leaf in contents.items()
    }


def inflated(contents: Mapping[str, LeafContents], client: str) -> dict[str, LeafContents]:
    """A smaller balance, made up for by a leaf that does not exist."""
    return {**less(contents, client, 10_000), "r.9": LeafContents((Channel(client, 10_000, 0),), ())}


PROPOSALS: dict[str, tuple[str, Callable[[m.Proposal], m.Proposal]]] = {
    "another funding script": (
        "FUNDING_RECOMPUTED",
        lambda offer: replace(offer, funding_script=payout("mallory").hex()),
    ),
    "a key of the other client that nobody told the LSP": (
        "FUNDING_RECOMPUTED",
        with_keys(lambda keys: {"c1": replace(keys["c1"], factory_key=POINT)}),
    ),
    "a smaller balance": (
        "BALANCE_AS_PROMISED",
        lambda offer: replace(offer, contents=less(offer.contents, "c0")),
    ),
    "a balance in a leaf that does not exist": (
        "R-LEAF-CONTENTS",
        lambda offer: replace(offer, contents=inflated(offer.contents, "c0")),
    ),
    "another key for this client": (
        "own keys",
        with_keys(lambda keys: {"c0": replace(keys["c0"], factory_key=POINT)}),
    ),
    "another payout script for this client": (
        "own keys",
        with_keys(lambda keys: {"c0": replace(keys["c0"], payout_script=payout("mallory").hex())}),
    ),
    "this client's key for the other too": (
        "the same key",
        with_keys(lambda keys: {"c1": replace(keys["c1"], factory_key=keys["c0"].factory_key)}),
    ),
    "a key that is no point": (
        "not a point|not on the curve|public key",
        with_keys(lambda keys: {"c1": replace(keys["c1"], factory_key="02" + "ff" * 32)}),
    ),
    "an end that is near": ("END_LEAVES_TIME", with_locks(end=59)),
    "an exit that takes too long": ("EXIT_WITHIN_CEILING", with_locks(step=48)),
    "locks longer than 16 bits": ("LOCK_TOO_LONG|lock", with_locks(step=40_000)),
    "no step": ("step", with_locks(step=0)),
    "a delay that never ends": ("to_self_delay|BIP-68", with_locks(to_self_delay=70_000)),
    "no delay": ("to_self_delay|BIP-112", with_locks(to_self_delay=0)),
    "an end at which the LSP takes everything": ("END_DEFAULT_ACCEPTED", with_locks(end_default="classic")),
    "no alternate where kickoffs are": ("END_DEFAULT_ACCEPTED", with_locks(alternates="not-kickoffs")),
    "no kickoffs between states": ("END_DEFAULT_ACCEPTED", with_locks(kickoffs="root")),
    "a step that this client's absence outlasts": ("LOCKS_OUTLAST_ABSENCE", with_locks(step=1)),
    "an unknown default": ("R-TERMS", with_locks(end_default="ours")),
    "unknown alternates": ("R-TERMS", with_locks(alternates="some")),
    "relative locks switched off": ("D-5", with_terms(lambda terms: replace(terms, transaction_version=1))),
    "a negative feerate": (
        "R-DUST",
        with_terms(lambda terms: replace(terms, economy=replace(terms.economy, feerate=-1))),
    ),
    "a coin that does not cover it": (
        "R-FUNDING-COVERED",
        with_terms(lambda terms: replace(terms, coins=(replace(terms.coins[0], amount=1_000),))),
    ),
    "no coin": ("BIP-144|coin", with_terms(lambda terms: replace(terms, coins=()))),
    "another LSP": (
        "for the LSP M",
        with_terms(lambda terms: replace(terms, lsp="M", keys={**terms.keys, "M": terms.keys[LSP]})),
    ),
    "a client left out": ("R-LEAF-CONTENTS|not in the tree", with_terms(lambda terms: replace(terms, clients=("c1",)))),
    "names that make two transactions alike": (
        "other characters",
        with_terms(lambda terms: replace(terms, clients=("c0", "c1@0:L"))),
    ),
    "a commitment point of nobody": ("D-14", lambda offer: replace(offer, client_commitment_point=POINT)),
    "a basepoint that is no point": (
        "payment_basepoint",
        lambda offer: replace(offer, points=replace(offer.points, payment_basepoint="02" + "ff" * 32)),
    ),
    "a commitment point that is no point": (
        "per-commitment point",
        lambda offer: replace(offer, commitment_point="02" + "ff" * 32),
    ),
}


@pytest.mark.parametrize("lie", PROPOSALS)
def test_a_lying_proposal(lie: str) -> None:
    says, change = PROPOSALS[lie]
    play = scene(2, shape=PAIR)
    play.wire.post(LSP, play.lsp.invite())
    letter = stop_before(play, m.Proposal)
    offer = m.decode(letter.raw, LSP)
    assert isinstance(offer, m.Proposal)
    assert re.search(says, refused(play, "c0", change(offer)))
    play.wire.deliver(letter)
    play.settle("signed")


# -- updates -----------------------------------------------------------------------------------------------------------

UPDATES: dict[str, tuple[str, Callable[[m.Update], m.Update]]] = {
    "an old index": ("VERSION_IS_NEWER", lambda u: replace(u, versions={**u.versions, "r.0.0": 0})),
    "an index that does not exist": ("R-ODOMETER", lambda u: replace(u, versions={**u.versions, "r.0.0": 3})),
    "a smaller balance": ("BALANCE_NOT_LESS", lambda u: replace(u, contents=less(u.contents, "c0"))),
    "a leaf that does not exist": (
        "R-LEAF-CONTENTS",
        lambda u: replace(u, contents=inflated(u.contents, "c0")),
    ),
    "a node that does not exist": (
        "R-LEAF-CONTENTS",
        lambda u: replace(u, versions={**u.versions, "r.9": 0}),
    ),
    "more than its parent pays": (
        "stands",
        lambda u: replace(u, contents={"r.0.0": LeafContents((Channel("c0", BALANCE + 1, 30_000),), (STOCK,))}),
    ),
    "less than its parent pays": (
        "stands",
        lambda u: replace(u, contents={"r.0.0": LeafContents((Channel("c0", BALANCE, 20_000),), (STOCK,))}),
    ),
    "a dust channel": (
        "R-DUST",
        lambda u: replace(u, contents={"r.0.0": LeafContents((Channel("c0", 0, 0),), (STOCK,))}),
    ),
    "another client's channel": (
        "R-LEAF-CONTENTS",
        lambda u: replace(u, contents={"r.0.0": LeafContents((Channel("c1", BALANCE, 30_000),), (STOCK,))}),
    ),
    "a node beside its path": ("not above", lambda u: replace(u, node="r.1")),
    "a node of nobody": ("not in the tree", lambda u: replace(u, node="r.9")),
    "a commitment point of nobody": ("D-14", lambda u: replace(u, client_commitment_point=POINT)),
}


def updating() -> tuple[Scene, m.Update, Letter]:
    """A factory of three, active, and an update of c0's leaf that has not reached it."""
    play = scene(3).ceremony().fund()
    play.wire.post(LSP, play.lsp.update("r.0.0", {}))
    letter = stop_before(play, m.Update)
    update = m.decode(letter.raw, LSP)
    assert isinstance(update, m.Update)
    return play, update, letter


def test_lying_updates() -> None:
    play, update, letter = updating()
    for lie, (says, change) in UPDATES.items():
        alert = refused(play, "c0", change(update))
        assert says in alert, (lie, alert)
    play.wire.deliver(letter)
    play.settle("active")
    assert play.clients["c0"].life.version == "0.0.1"
    assert "name of another" in refused(play, "c0", replace(update, label="v0"))
    again = replace(update, label="v9", versions={**update.versions, "r.0.0": 2})
    point = play.lsp.points["c0"]
    client = play.clients["c0"]
    before = snapshot(client)
    outbox = client.receive(LSP, m.encode(again))
    answer = [m.decode(raw, "c0") for _, raw in outbox.messages]
    assert answer == [m.KitComplete("v1", point)], "its point was used: another is told"
    assert snapshot(client) == before
    unknown = replace(again, client_commitment_point=play.lsp.points["c1"])
    assert "D-14" in refused(play, "c0", unknown), "its commitment point is another client's"
    assert "VERSION_IS_NEWER" in refused(play, "c0", replace(update, label="v9", client_commitment_point=point))


# -- closes ------------------------------------------------------------------------------------------------------------


def test_lying_closes() -> None:
    play = scene(2, shape=PAIR).ceremony().fund()
    play.wire.post(LSP, play.lsp.close())
    letter = stop_before(play, m.Close)
    close = m.decode(letter.raw, LSP)
    assert isinstance(close, m.Close)
    assert "CLOSE_PAYS_IN_FULL" in refused(play, "c0", replace(close, contents=less(close.contents, "c0")))
    assert "R-LEAF-CONTENTS" in refused(play, "c0", replace(close, contents=inflated(close.contents, "c0")))
    much = {"r": LeafContents((Channel("c0", BALANCE, 0), Channel("c1", 10_000_000, 0)), (STOCK, STOCK))}
    assert "what the funding output holds" in refused(play, "c0", replace(close, contents=much))
    kept = {"r": LeafContents((Channel("c0", BALANCE, 0), Channel("c1", BALANCE, 90_000 + 50_000)), (STOCK, 10_000))}
    assert "what the funding output holds" in refused(play, "c0", replace(close, contents=kept))
    play.wire.deliver(letter)
    assert "OUT_OF_TURN" in refused(play, "c0", replace(close, label="v9", contents=less(close.contents, "c1")))
    play.settle("close_published")
    check_consistent(play)


# -- signing -----------------------------------------------------------------------------------------------------------


def test_no_partial_signature_for_a_parent_before_its_children() -> None:
    play = scene(2)
    play.wire.post(LSP, play.lsp.invite())
    stop_before(play, m.AggregateNonces)
    client = play.clients["c0"]
    sessions = client.party.signer.sessions
    assert not client.held
    waiting = {n: s for n, s in sessions.items() if s.task.collector == LSP and s.status == "open"}
    fake = nonces.generate(secret("mallory"))[1].hex()
    attempt = next(iter(waiting.values())).attempt
    outbox = client.receive(LSP, m.encode(m.AggregateNonces(attempt, dict.fromkeys(waiting, fake))))
    signed: set[str] = set()
    for _, raw in outbox.messages:
        message = m.decode(raw, "c0")
        assert isinstance(message, m.Partials)
        signed |= set(message.partials)
    assert signed == {name for name, session in waiting.items() if not session.task.needs}
    assert signed < set(waiting)
    assert not signed & set(play.lsp.factory.blueprints["v0"].path("c0"))
    play.wire.letters.clear()
    play.settle("signed")
    check_consistent(play)


def test_a_bad_partial_signature_is_blamed_on_its_signer() -> None:
    play = scene(2)
    play.wire.post(LSP, play.lsp.invite())
    letter = stop_before(play, m.Partials, to=LSP)
    message = m.decode(letter.raw, letter.sender)
    assert isinstance(message, m.Partials)
    other = {name: secret(name).reveal().hex() for name in message.partials}
    outbox = play.lsp.receive(letter.sender, m.encode(replace(message, partials=other)))
    assert not outbox.messages
    for name in other:
        assert any(f"'{name}' is not valid (caused by {letter.sender})" in alert for alert in outbox.alerts)
    play.wire.deliver(letter)
    play.settle("signed")


def test_signatures_for_another_transaction_are_blamed_too() -> None:
    """A client that signs another version in place of the one that was agreed."""
    play = scene(2, shape=PAIR)
    play.wire.post(LSP, play.lsp.invite())
    while True:
        letter = stop_before(play, m.Partials, to=LSP)
        message = m.decode(letter.raw, letter.sender)
        assert isinstance(message, m.Partials)
        if len(message.partials) > 1:
            break
        play.wire.deliver(letter)
    names = list(message.partials)
    turned = dict(zip(names, [*list(message.partials.values())[1:], message.partials[names[0]]], strict=True))
    outbox = play.lsp.receive(letter.sender, m.encode(replace(message, partials=turned)))
    assert all(any(f"'{name}' is not valid" in alert for alert in outbox.alerts) for name in names)
    assert not play.lsp.held & set(names)


def test_a_bad_complete_signature_is_not_held() -> None:
    play = scene(2)
    play.wire.post(LSP, play.lsp.invite())
    letter = stop_before(play, m.Signatures)
    message = m.decode(letter.raw, LSP)
    assert isinstance(message, m.Signatures)
    client = play.clients["c0"]
    for name, signature in message.signatures.items():
        wrong = f"{int(signature, 16) ^ 1:0128x}"
        assert "SIGNATURE_VERIFIES" in refused(play, "c0", m.Signatures({name: wrong}))
        assert name not in client.held
    play.wire.deliver(letter)
    assert set(message.signatures) <= client.held
    play.settle("signed")


def test_a_second_nonce_of_a_signer_is_refused() -> None:
    play = scene(2, shape=PAIR)
    play.wire.post(LSP, play.lsp.invite())
    letter = stop_before(play, m.Nonces, to=LSP)
    play.wire.deliver(letter)
    message = m.decode(letter.raw, letter.sender)
    assert isinstance(message, m.Nonces)
    shared = next(name for name in message.nonces if len(play.lsp.party.signer.sessions[name].task.signers) == 3)
    second = nonces.generate(secret("mallory"))[1].hex()
    alert = refused(play, LSP, m.Nonces(message.attempt, {shared: second}), letter.sender)
    assert "NONCE" in alert or "OUT_OF_TURN" in alert
    assert "not two points" in play.lsp.receive(letter.sender, m.encode(m.Nonces(1, {shared: "04" * 66}))).alerts[0]
    play.settle("signed")


def test_words_of_strangers_change_nothing() -> None:
    """Each letter of a whole life, said by a stranger at the moment at which it is expected."""
    play = scene(2, shape=PAIR)
    while play.go_on():
        while play.wire.letters:
            letter = play.wire.letters.popleft()
            actor = play.actors[letter.to]
            before = snapshot(actor)
            outbox = actor.receive("mallory", letter.raw)
            assert not outbox.messages
            assert not outbox.broadcasts
            assert outbox.alerts
            assert snapshot(actor) == before
            play.wire.deliver(letter)
    assert play.lsp.life.status == "close_published"


@pytest.mark.parametrize("until", ["signed", "close_published"])
def test_replays_change_nothing(until: str) -> None:
    """Everything that was ever said, said again."""
    play = scene(2, shape=PAIR).ceremony()
    while until == "close_published" and play.go_on():
        play.wire.run()
    assert play.lsp.life.status == until
    before = {name: snapshot(actor) for name, actor in play.actors.items()}
    sent = play.wire.nonces()
    for letter in list(play.wire.tape):
        outbox = play.actors[letter.to].receive(letter.sender, letter.raw)
        answers = {type(m.decode(raw, letter.to)) for _, raw in outbox.messages}
        assert answers <= {m.Agreement, m.KitComplete}
        assert not outbox.broadcasts
    assert {name: snapshot(actor) for name, actor in play.actors.items()} == before
    assert play.wire.nonces() == sent


@pytest.mark.parametrize("restart", [False, True])
def test_a_second_message_for_a_recorded_spend_is_refused_for_ever(restart: bool) -> None:
    """Record and refuse (D-7): whatever was signed away once, also by an earlier life, is never signed otherwise."""
    play = scene(1)
    name, slot = "kickoff:r@-", "kickoff"
    client = play.clients["c0"]
    client.store.put_record((str(Outpoint("funding", 0)), slot, "00" * 32))
    client.store.commit()
    signer = replace(client.party.signer, records=client.store.records())
    client.party = replace(client.party, signer=signer)
    play.wire.post(LSP, play.lsp.invite())
    stop_before(play, m.Begin)
    if restart:
        restarted = play.restart("c0")
        assert isinstance(restarted, ClientActor)
    for _ in range(3):
        play.wire.post(LSP, play.lsp.retry())
        play.wire.run()
    assert play.statuses() == {LSP: "signing", "c0": "signing"}
    for letter in play.wire.tape:
        message = m.decode(letter.raw, letter.sender)
        if letter.sender == "c0" and isinstance(message, m.Partials):
            assert name not in message.partials
    assert name not in play.lsp.held
    assert play.clients["c0"].store.records() >= {(str(Outpoint("funding", 0)), slot, "00" * 32)}


# -- clients that lie to the LSP ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("says", "change"),
    [
        ("the same key", lambda join, lsp: replace(join, keys=replace(join.keys, factory_key=lsp.key.public.hex()))),
        ("public key", lambda join, lsp: replace(join, keys=replace(join.keys, factory_key="02" + "ff" * 32))),
        ("public key", lambda join, lsp: replace(join, commitment_point="02" + "ff" * 32)),
        (
            "htlc_basepoint",
            lambda join, lsp: replace(join, points=replace(join.points, htlc_basepoint="02" + "ff" * 32)),
        ),
    ],
)
def test_a_lying_join(says: str, change: Callable[..., m.Join]) -> None:
    play = scene(2)
    play.wire.post(LSP, play.lsp.invite())
    letter = stop_before(play, m.Join, to=LSP)
    join = m.decode(letter.raw, letter.sender)
    assert says in refused(play, LSP, change(join, play.lsp), letter.sender)
    play.wire.deliver(letter)
    play.settle("signed")


def test_a_kit_complete_of_another_version_leaves_no_point_behind() -> None:
    play = scene(1)
    play.wire.post(LSP, play.lsp.invite())
    letter = stop_before(play, m.KitComplete, to=LSP)
    assert "KIT_OF_THIS_VERSION" in refused(play, LSP, m.KitComplete("v7", POINT), "c0")
    assert "public key" in refused(play, LSP, m.KitComplete("v0", "02" + "ff" * 32), "c0")
    play.wire.deliver(letter)
    assert "OUT_OF_TURN" in refused(play, LSP, m.KitComplete("v0", POINT), "c0")
    assert play.lsp.points["c0"] != POINT


def test_an_agreement_to_another_plan_is_refused() -> None:
    play = scene(1)
    play.wire.post(LSP, play.lsp.invite())
    letter = stop_before(play, m.Agreement, to=LSP)
    assert "SAME_PLAN" in refused(play, LSP, m.Agreement("v0", "another"), "c0")
    assert "another version" in refused(play, LSP, m.Agreement("v1", "another"), "c0")
    play.wire.deliver(letter)
    play.settle("signed")
