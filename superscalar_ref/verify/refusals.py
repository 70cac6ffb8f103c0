"""Scenario 'refusals': what must fail, and Bitcoin Core's word for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from superscalar_ref.bitcoin.transaction import TxInput, with_witness
from superscalar_ref.parties.client import ClientActor
from superscalar_ref.protocol.blueprint import FUNDING, alternate_name
from superscalar_ref.protocol.transaction import Kind, Outpoint
from superscalar_ref.report.result import Check
from superscalar_ref.signing import musig, nonces
from superscalar_ref.verify.scene import Named, Parties, Scene, Trial, named

TOO_EARLY = "non-BIP68-final"
NOT_FINAL = "bad-txns-nonfinal"
BAD_SIGNATURE = "Invalid Schnorr signature"
NO_INPUT = "missingorspent"


def refuse_all(scene: Scene) -> tuple[tuple[Check, ...], Trial]:
    """Try each forgery and each impatience against Core's code."""
    scene.progress("what must fail")
    trial = Trial("refusals", scene.start.fork())
    with scene.again() as home:
        parties = scene.parties(home)
        client = parties.clients[scene.example.clients[0].name]
        checks = tuple(_cases(scene, parties, client, trial))
        parties.close()
    return checks, trial


def _cases(scene: Scene, parties: Parties, client: ClientActor, trial: Trial) -> Iterator[Check]:
    path = client.factory.blueprints[client.label].path(client.name)
    first, then = path[0], path[1]
    kickoff = named(client, first)

    yield _refused(
        trial, "wrong-parent-missing", "a transaction whose parent is not confirmed", named(client, then), NO_INPUT
    )
    yield _refused(
        trial,
        "one-signer-missing",
        "the sum of all partial signatures but one",
        _without_one(parties, first),
        BAD_SIGNATURE,
    )
    yield _refused(
        trial, "others-alone", "a good signature of all signers but one", _others_alone(parties, first), BAD_SIGNATURE
    )
    yield _refused(trial, "changed-amount", "an output changed by one satoshi", _changed_amount(kickoff), BAD_SIGNATURE)
    yield _refused(
        trial,
        "wrong-parent",
        "the signature of one parent's child on another parent",
        _reparented(client, then),
        BAD_SIGNATURE,
    )
    alternate = alternate_name(Outpoint(FUNDING, 0))
    if alternate in client.held:
        yield _refused(trial, "alternate-early", "an alternate before the end", named(client, alternate), NOT_FINAL)

    for name in path:
        one = named(client, name)
        lock = client.factory.templates[name].spends[0].relative_lock or 0
        if client.factory.templates[name].kind is Kind.STATE and lock:
            trial.ledger.advance(lock - 2)
            height = trial.ledger.height + 1
            says = f"{name} one block before its relative lock of {lock} blocks ends (height {height})"
            yield _refused(trial, f"early/{name}", says, one, TOO_EARLY)
            trial.ledger.advance(1)
        trial.mine(one)
    yield from _own_paths(parties, path[-1], trial)


def _own_paths(parties: Parties, leaf: str, trial: Trial) -> Iterator[Check]:
    """The LSP's own path to the stock, one block early and then in time."""
    outputs = parties.lsp.factory.templates[leaf].outputs
    for index in range(len(outputs)):
        name = f"expiry:{leaf}#{index}"
        template = parties.lsp.factory.templates.get(name)
        if template is None or not template.spends[0].relative_lock:
            continue
        lock = template.spends[0].relative_lock
        trial.ledger.advance(lock - 2)
        says = f"the stock taken by the LSP alone one block before its lock of {lock} blocks ends"
        yield _refused(trial, f"early/{name}", says, named(parties.lsp, name), TOO_EARLY)
        trial.ledger.advance(1)
        height = trial.mine(named(parties.lsp, name))
        yield Check(
            f"refusals/then/{name}",
            "refusals",
            "one block later the LSP takes its unsold stock",
            trial.conserved(),
            f"confirmed at {height}",
            ("D-9",),
        )
        # The locks of a leaf's stock outputs run together: a second one would be over already.
        return


def _refused(trial: Trial, what: str, says: str, one: Named, word: str) -> Check:
    said = trial.refuse(one)
    return Check(f"refusals/{what}", "refusals", f"Core refuses {says}", word in said, said, ("P-NO-THEFT",))


def _without_one(parties: Parties, name: str) -> Named:
    """All signers but one sign; their partial signatures are added up as if that were enough."""
    realised = parties.lsp.factory.realised[name]
    actors = [actor for actor in parties.everyone() if actor.name in realised.template.signers]
    assert realised.key is not None
    made = [nonces.generate(actor.key, realised.key, realised.sighash) for actor in actors]
    session = musig.Session.start(
        realised.key, nonces.aggregate_nonces([public for _, public in made]), realised.sighash
    )
    partials = [
        musig.partial_sign(session, actor.key, secret)
        for actor, (secret, _) in zip(actors[:-1], made[:-1], strict=True)
    ]
    signature = musig.partial_aggregate(session, partials)
    return Named(name, str(realised.template.kind), realised.signed(signature), realised.template.fee)


def _others_alone(parties: Parties, name: str) -> Named:
    """All signers but the last make a valid signature under the key of themselves alone."""
    realised = parties.lsp.factory.realised[name]
    actors = [actor for actor in parties.everyone() if actor.name in realised.template.signers][:-1]
    key = musig.aggregate(actor.key.public for actor in actors).taproot()
    made = [nonces.generate(actor.key, key, realised.sighash) for actor in actors]
    session = musig.Session.start(key, nonces.aggregate_nonces([public for _, public in made]), realised.sighash)
    partials = [musig.partial_sign(session, actor.key, secret) for actor, (secret, _) in zip(actors, made, strict=True)]
    signature = musig.partial_aggregate(session, partials)
    return Named(name, str(realised.template.kind), realised.signed(signature), realised.template.fee)


def _changed_amount(one: Named) -> Named:
    transaction = one.transaction
    output = replace(transaction.outputs[0], amount_sat=transaction.outputs[0].amount_sat - 1)
    changed = replace(transaction, outputs=(output, *transaction.outputs[1:]))
    return replace(one, transaction=changed, fee=one.fee + 1)


def _reparented(client: ClientActor, name: str) -> Named:
    """A child's signed transaction, moved onto the funding output."""
    child = named(client, name)
    funding = client.factory.realised[FUNDING]
    moved = replace(
        child.transaction,
        inputs=(TxInput(funding.txid, funding.places[0]),),
        witnesses=((),),
    )
    return replace(child, transaction=with_witness(moved, 0, child.transaction.witnesses[0]))
