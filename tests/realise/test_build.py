"""All signers in one process: Core accepts what they sign; what does not fit is refused before it is signed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from superscalar_ref.bitcoin.taproot import p2tr_from_internal
from superscalar_ref.bitcoin.transaction import TxOutput
from superscalar_ref.chain.interface import TxOut
from superscalar_ref.chain.kernel import verify_input
from superscalar_ref.errors import InputError, SigningError
from superscalar_ref.protocol.blueprint import (
    FUNDING,
    Blueprint,
    Channel,
    Economy,
    LeafContents,
    Locks,
    Terms,
    build,
    close,
    fresh_versions,
)
from superscalar_ref.protocol.shape import Shape, grow
from superscalar_ref.protocol.transaction import Kind, Outpoint, Role
from superscalar_ref.realise.book import Book, CoinOutput, PartyKeys
from superscalar_ref.realise.build import sign_all, sign_one
from superscalar_ref.realise.channel import ChannelSecrets
from superscalar_ref.realise.tree import realise
from superscalar_ref.signing.keys import SecretKey
from superscalar_ref.signing.nonces import SeededRandomness

LSP = "L"
CLIENTS = ("A", "B", "C", "D", "E")
COIN_SAT = 10_000_000
KEYS = {name: SecretKey(bytes([number]) * 32) for number, name in enumerate((*CLIENTS, LSP), start=1)}


def blueprint(alternates: str = "every", leaf_k: int = 1) -> Blueprint:
    tree = grow(Shape.of([2], leaf_k=leaf_k), CLIENTS)
    contents = {
        leaf.path: LeafContents(
            tuple(Channel(client, 20_000, 30_000) for client in leaf.clients), (40_000,) * len(tree.stock_groups(leaf))
        )
        for leaf in tree.leaves()
    }
    locks = Locks(step=2, states=3, to_self_delay=3, end=200, stock_lock_blocks=4, alternates=alternates)
    terms = Terms("f", LSP, tree, Economy(1, 240, 330), locks, ((Outpoint("coin", 0), COIN_SAT),))
    return build(terms, fresh_versions(tree), contents)


def book(plan: Blueprint) -> Book:
    parties = {name: PartyKeys(key.public, p2tr_from_internal(key.x_only)) for name, key in KEYS.items()}
    coin = CoinOutput("11" * 32, 0, TxOutput(COIN_SAT, p2tr_from_internal(KEYS[LSP].x_only)))
    channels = {
        (client, holder): ChannelSecrets.from_seed(holder.encode() * 16, client).points
        for client in CLIENTS
        for holder in (client, LSP)
    }
    points = {name: KEYS["A"].public for name, one in plan.templates.items() if one.kind is Kind.COMMITMENT}
    return Book(parties, {Outpoint("coin", 0): coin}, channels, points)


@pytest.mark.parametrize("leaf_k", [1, 2])
def test_core_accepts_every_signature_and_children_are_signed_first(leaf_k: int) -> None:
    plan = blueprint(leaf_k=leaf_k)
    realised = realise(plan, book(plan), plan.templates)
    signed = sign_all(plan, book(plan), KEYS)
    assert set(signed) == {template.name for template in plan.signed_together()}
    order = {name: number for number, name in enumerate(signed)}
    for name, transaction in signed.items():
        assert transaction.txid == realised[name].txid
        spent = [TxOut(one.amount_sat, one.script_pubkey) for one in realised[name].spent]
        assert verify_input(transaction.serialized, 0, spent)
        parent = plan.templates[name].spends[0].outpoint.transaction
        assert parent == FUNDING or order[name] < order[parent]


def test_a_choice_of_names_signs_these_alone_and_needs_no_other_keys() -> None:
    plan = blueprint()
    leaf = plan.path("A")[-1]
    signed = sign_all(plan, book(plan), {name: KEYS[name] for name in ("A", LSP)}, [leaf])
    assert list(signed) == [leaf]


def test_the_same_randomness_gives_the_same_bytes_and_fresh_one_others() -> None:
    plan = blueprint("none")
    one, other = (sign_all(plan, book(plan), KEYS, randomness=SeededRandomness("seed")) for _ in range(2))
    fresh = sign_all(plan, book(plan), KEYS)
    assert one == other
    assert all(fresh[name].serialized != transaction.serialized for name, transaction in one.items())


def test_every_signature_takes_one_fresh_nonce_of_each_signer() -> None:
    plan = blueprint()
    drawn: list[bytes] = []
    source = SeededRandomness("count")

    def counted(size: int) -> bytes:
        drawn.append(source(size))
        return drawn[-1]

    sign_all(plan, book(plan), KEYS, randomness=counted)
    assert len(drawn) == sum(len(template.signers) for template in plan.signed_together())
    assert len(set(drawn)) == len(drawn)


def test_keys_that_do_not_fit_are_refused() -> None:
    plan = blueprint()
    without = {name: key for name, key in KEYS.items() if name != "C"}
    with pytest.raises(InputError, match=r"secret key of C.*R-KEYS"):
        sign_all(plan, book(plan), without)
    with pytest.raises(InputError, match=r"secret key of C.*R-KEYS"):
        sign_all(plan, book(plan), {**KEYS, "C": KEYS["D"]})


@pytest.mark.parametrize("pick", ["unknown", "sweep", "funding"])
def test_only_what_several_parties_sign_is_signed(pick: str) -> None:
    plan = blueprint()
    kinds = {"sweep": Kind.SWEEP, "funding": Kind.FUNDING}
    name = next((n for n, one in plan.templates.items() if one.kind is kinds.get(pick)), "nothing")
    with pytest.raises(InputError, match=rf"'{name}'.*D-1"):
        sign_all(plan, book(plan), KEYS, [name])


def test_one_transaction_by_others_than_its_output_s_signers_is_refused() -> None:
    plan = blueprint()
    leaf = plan.path("A")[-1]
    realised = realise(plan, book(plan), [leaf])[leaf]
    fewer = replace(realised, template=replace(realised.template, signers=frozenset({"A"})))
    with pytest.raises(SigningError, match="1 secret keys are not those of the 2 signers"):
        sign_one(fewer, KEYS)
    with pytest.raises(InputError, match="D-1"):
        sign_one(realise(plan, book(plan), [FUNDING])[FUNDING], KEYS)


def test_no_secret_key_that_signs_is_the_aggregate(monkeypatch: pytest.MonkeyPatch) -> None:
    from superscalar_ref.signing import _libsecp

    plan = blueprint("none")
    pairs: list[Any] = []
    original = _libsecp.partial_signature

    def watched(nonce: Any, pair: Any, cache: Any, session: Any) -> Any:
        pairs.append(pair)
        return original(nonce, pair, cache, session)

    monkeypatch.setattr(_libsecp, "partial_signature", watched)
    root = plan.path("A")[0]
    sign_all(plan, book(plan), KEYS, [root])
    assert len(pairs) == len(KEYS)
    assert {id(pair) for pair in pairs} == {id(key._pair) for key in KEYS.values()}


def nodes_paid(plan: Blueprint) -> Iterator[tuple[int, int]]:
    """What each tree output holds, and what is paid from it below with every fee and anchor (sat)."""
    for template in plan.templates.values():
        for index, output in enumerate(template.outputs):
            if output.role is not Role.TREE:
                continue
            spenders = [plan.templates[name] for name in plan.spenders[template.outpoint(index)]]
            for spender in spenders:
                yield output.amount, spender.amount_out() + spender.fee


@pytest.mark.parametrize("leaf_k", [1, 2])
def test_no_satoshi_is_made_or_lost(leaf_k: int) -> None:
    pairs = list(nodes_paid(blueprint(leaf_k=leaf_k)))
    assert pairs
    assert all(held == paid for held, paid in pairs)


@pytest.mark.parametrize("leaf_k", [1, 2])
def test_a_client_s_own_part_is_what_the_whole_has_for_it(leaf_k: int) -> None:
    plan = blueprint(leaf_k=leaf_k)
    for client in CLIENTS:
        own = build(plan.terms, plan.versions, plan.contents, client)
        assert own.kit(client) == plan.kit(client)
        assert own.path(client) == plan.path(client)
        assert own.owed(client) == plan.owed(client)
        assert all(own.needs(client, name) == plan.needs(client, name) for name in own.kit(client))
        assert all(plan.templates[name] == template for name, template in own.templates.items())
        assert {name for name, one in plan.templates.items() if client in one.signers} <= own.templates.keys()
        assert close(own, 0) == close(plan, 0)
    assert build(plan.terms, plan.versions, plan.contents, LSP).templates == plan.templates
    with pytest.raises(InputError, match="Z"):
        build(plan.terms, plan.versions, plan.contents, "Z")
