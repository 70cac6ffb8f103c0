"""What is measured of building and signing: each function sets its subject up, checks that it works, measures it."""

from __future__ import annotations

import sys

from bare import Bare, Job, Work
from factory import (
    CLIENT_SAT,
    COIN_SAT,
    ECONOMY,
    LSP,
    bare_work,
    binary_factory,
    binary_tree,
    contents_of,
    locks,
    payout_script,
    secret,
    wanted,
)
from measure import Measured, Rival, compare, once

from superscalar_ref.bitcoin.taproot import tap_tweak
from superscalar_ref.bitcoin.transaction import Transaction
from superscalar_ref.parties import messages
from superscalar_ref.parties.actor import Identity
from superscalar_ref.parties.client import ClientActor
from superscalar_ref.parties.lsp import LspActor, Offer, Wallet
from superscalar_ref.parties.store import Store
from superscalar_ref.parties.wire import Wire
from superscalar_ref.protocol.blueprint import build, fresh_versions
from superscalar_ref.protocol.client import Limits
from superscalar_ref.realise.build import sign_all
from superscalar_ref.signing import musig, nonces

CLIENTS = 127
SIGNERS = 128
MESSAGE = bytes(range(32))


def forget() -> None:
    """Empty every function's cache in the layers that build and sign: each run starts from nothing."""
    layers = tuple(f"superscalar_ref.{layer}" for layer in ("bitcoin", "signing", "protocol.blueprint", "realise"))
    for name, module in list(sys.modules.items()):
        if name.startswith(layers):
            for value in vars(module).values():
                if callable(getattr(value, "cache_clear", None)):
                    value.cache_clear()


def factory(repeats: int, alternates: str = "none", target: float | None = 1.5) -> Measured:
    """Build and sign a whole factory, against the calls of libsecp256k1 that it needs."""
    subject = binary_factory(CLIENTS, alternates)

    def core() -> dict[str, Transaction]:
        blueprint = build(subject.terms, fresh_versions(subject.terms.tree), subject.contents)
        signed = sign_all(blueprint, subject.book(), subject.keys, wanted(blueprint))
        for transaction in signed.values():
            _ = transaction.serialized
        return signed

    work = bare_work(subject, build(subject.terms, fresh_versions(subject.terms.tree), subject.contents))
    bare = Bare(work)
    if len(core()) != len(work.jobs) or bare.run() != len(work.jobs):
        raise AssertionError("the two ways to sign a factory do not do the same work")
    says = (
        f"{CLIENTS} clients, binary tree, k = 1, alternates '{alternates}': {len(work.jobs)} transactions, "
        f"{work.partials} partial signatures, {len(work.signer_sets)} signer sets, {len(work.tweaks)} output keys"
    )
    rivals = {"libsecp256k1 alone": Rival(bare.run), "build and sign": Rival(core, forget)}
    counts = {
        "transactions": ("build and sign", len(work.jobs)),
        "partial signatures": ("build and sign", work.partials),
    }
    return compare(f"factory-{alternates}", says, rivals, repeats, counts, target)


def factory_with_alternates(repeats: int) -> Measured:
    """The same with an alternate on every output, as factories have by default (D-12)."""
    return factory(repeats, "every", None)


def session(repeats: int) -> Measured:
    """One session of many signers, its key aggregation included."""
    keys = [secret(f"signer {number}") for number in range(SIGNERS)]
    order = tuple(sorted(range(SIGNERS), key=lambda number: keys[number].public))
    tweak = tap_tweak(musig.aggregate(key.public for key in keys).x_only)
    everyone = tuple(range(SIGNERS))
    work = Work(tuple(key.reveal() for key in keys), (order,), ((0, tweak),), (Job(everyone, 0, MESSAGE),))
    bare = Bare(work)

    def together() -> bytes:
        return musig.sign_together(musig.aggregate(key.public for key in keys).taproot(), MESSAGE, keys)

    def as_bytes() -> bytes:
        key = musig.aggregate(key.public for key in keys).taproot()
        made = [nonces.generate(one, key, MESSAGE) for one in keys]
        started = musig.Session.start(key, nonces.aggregate_nonces([public for _, public in made]), MESSAGE)
        sent = [
            musig.Contribution(str(number), one.public, public, musig.partial_sign(started, one, private))
            for number, (one, (private, public)) in enumerate(zip(keys, made, strict=True))
        ]
        return musig.finish(started, sent)

    if bare.run() != 1:
        raise AssertionError("libsecp256k1 alone makes no valid signature")
    rivals = {
        "libsecp256k1 alone": Rival(bare.run),
        "in one process": Rival(together, forget),
        "as bytes that travel": Rival(as_bytes, forget),
    }
    return compare("session-128", f"one MuSig2 session of {SIGNERS} signers", rivals, 3 * repeats)


def ceremony(_repeats: int) -> Measured:
    """The whole ceremony, actor by actor, over the wire, in one process; once, since it takes long."""
    tree = binary_tree(CLIENTS)
    coin = messages.CoinForm("11" * 32, 0, COIN_SAT, payout_script("coin").hex())
    balances = dict.fromkeys(tree.clients, CLIENT_SAT)
    terms = locks("every")
    offer = Offer("bench", tree.shape, balances, contents_of(tree), ECONOMY, terms, 3, 6, 4_320)
    wallet = Wallet(secret("payout of coin"), (coin,))
    lsp = LspActor(Identity(LSP, b"the LSP of a measurement"), Store(), wallet, payout_script(LSP), offer)
    limits = Limits(ceiling=2016, margin=144, life=1, depth=6)
    clients = {
        name: ClientActor(Identity(name, name.encode().ljust(32)), LSP, Store(), payout_script(name), limits)
        for name in tree.clients
    }
    wire = Wire({LSP: lsp, **clients})

    def run() -> None:
        wire.post(LSP, lsp.invite())
        wire.run()
        wire.post(LSP, lsp.fund())

    seconds = once(run)
    if wire.alerts or len(wire.broadcasts) != 1:
        raise AssertionError(f"the ceremony went wrong: {wire.alerts[:1]}")
    says = (
        f"{CLIENTS} clients and the LSP, commitments and an alternate on every output, from the invitation to the "
        f"funding: {len(lsp.held)} transactions, {wire.count} messages, {wire.size} bytes"
    )
    return Measured("ceremony", says, {"ceremony": seconds}, {}, 1, {"messages": wire.count / seconds})
