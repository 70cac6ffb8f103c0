"""A factory to measure with: a binary tree of single-client leaves, every key at hand."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from bare import Job, Work

from superscalar_ref.bitcoin.taproot import p2tr_from_internal, tap_tweak
from superscalar_ref.bitcoin.transaction import TxOutput
from superscalar_ref.protocol.blueprint import Blueprint, Channel, Economy, LeafContents, Locks, Terms
from superscalar_ref.protocol.shape import Shape, Tree, grow
from superscalar_ref.protocol.transaction import Kind, Outpoint, Output, Role
from superscalar_ref.realise.book import Book, CoinOutput, PartyKeys
from superscalar_ref.realise.tree import merkle_root, realise, shared_key
from superscalar_ref.signing.keys import SecretKey

LSP = "L"
ECONOMY = Economy(feerate=1, anchor=240, dust=330)
COIN_SAT = 1_000_000_000
CLIENT_SAT = 20_000
LSP_SIDE_SAT = 30_000
STOCK_SAT = 40_000
MEASURED_KINDS = frozenset({Kind.KICKOFF, Kind.STATE, Kind.ALTERNATE})
SHARED_ROLES = frozenset({Role.TREE, Role.CHANNEL, Role.STOCK})


def secret(label: str) -> SecretKey:
    """A key that anyone can work out: for measurements only."""
    return SecretKey(hashlib.sha256(label.encode()).digest())


def payout_script(name: str) -> bytes:
    """Where a party's money comes to rest."""
    return p2tr_from_internal(secret(f"payout of {name}").x_only)


@dataclass(frozen=True)
class Factory:
    """Terms, contents and keys of a factory that nobody has signed yet."""

    terms: Terms
    contents: dict[str, LeafContents]
    keys: dict[str, SecretKey]
    payouts: dict[str, bytes]

    def book(self) -> Book:
        """What the parties have told one another; no channel points, since only the tree is signed."""
        parties = {name: PartyKeys(key.public, self.payouts[name]) for name, key in self.keys.items()}
        coin = CoinOutput("11" * 32, 0, TxOutput(COIN_SAT, payout_script("coin")))
        return Book(parties, {Outpoint("coin", 0): coin})


def locks(alternates: str) -> Locks:
    """Locks whose worst exit from a binary tree of 127 clients stays below 2016 blocks."""
    return Locks(step=72, states=4, to_self_delay=144, end=20_000, stock_lock_blocks=144, alternates=alternates)


def contents_of(tree: Tree) -> dict[str, LeafContents]:
    """The same channel for each client, the same stock for each leaf."""
    return {
        leaf.path: LeafContents(
            tuple(Channel(client, CLIENT_SAT, LSP_SIDE_SAT) for client in leaf.clients),
            tuple(STOCK_SAT for _ in tree.stock_groups(leaf)),
        )
        for leaf in tree.leaves()
    }


def binary_tree(clients: int) -> Tree:
    """A binary tree of leaves of one client each, a counter in every node."""
    return grow(Shape.of([2]), [f"client{number}" for number in range(clients)])


def binary_factory(clients: int, alternates: str) -> Factory:
    """A factory of so many clients on such a tree."""
    tree = binary_tree(clients)
    coins = ((Outpoint("coin", 0), COIN_SAT),)
    terms = Terms("bench", LSP, tree, ECONOMY, locks(alternates), coins)
    parties = [*tree.clients, LSP]
    return Factory(
        terms,
        contents_of(tree),
        {name: secret(name) for name in parties},
        {name: payout_script(name) for name in parties},
    )


def wanted(blueprint: Blueprint) -> list[str]:
    """Names of the tree's kickoffs and states, and of the alternates where the terms have any."""
    return [template.name for template in blueprint.signed_together() if template.kind in MEASURED_KINDS]


def bare_work(factory: Factory, blueprint: Blueprint) -> Work:
    """What libsecp256k1 alone has to do for the same output keys and the same signatures."""
    book = factory.book()
    names = wanted(blueprint)
    realised = realise(blueprint, book, names)
    number_of = {party: number for number, party in enumerate(factory.keys)}
    sets: dict[frozenset[str], int] = {}
    tweaks: dict[tuple[int, bytes], int] = {}

    def members(parties: frozenset[str]) -> tuple[int, ...]:
        return tuple(number_of[party] for party in sorted(parties, key=lambda party: factory.keys[party].public))

    def key_number(output: Output) -> int:
        of_set = sets.setdefault(output.signers, len(sets))
        tweak = tap_tweak(shared_key(output, book).x_only, merkle_root(output, book))
        return tweaks.setdefault((of_set, tweak), len(tweaks))

    for one in realised.values():
        for output in one.template.outputs:
            if output.role in SHARED_ROLES:
                key_number(output)
    jobs = []
    for name in names:
        one = realised[name]
        spent = one.template.spends[0].outpoint
        key = key_number(blueprint.templates[spent.transaction].outputs[spent.index])
        jobs.append(Job(members(one.template.signers), key, one.sighash))
    secrets = tuple(key.reveal() for key in factory.keys.values())
    return Work(secrets, tuple(members(parties) for parties in sets), tuple(tweaks), tuple(jobs))
