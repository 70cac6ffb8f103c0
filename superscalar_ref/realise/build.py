"""Every signer of a factory in one process: what a ceremony comes to, without the messages.

For measurements, tests and vectors, where all keys are at hand. The signatures are made as the parties make them: a
fresh nonce of each signer for each transaction, one partial signature each, and a check of the sum. No aggregate secret
key is ever computed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from superscalar_ref.bitcoin.transaction import Transaction
from superscalar_ref.errors import InputError
from superscalar_ref.protocol.blueprint import Blueprint
from superscalar_ref.protocol.transaction import Template
from superscalar_ref.realise.book import Book
from superscalar_ref.realise.tree import Realised, realise
from superscalar_ref.signing import musig
from superscalar_ref.signing.keys import Randomness, SecretKey, system_randomness


def sign_all(
    blueprint: Blueprint,
    book: Book,
    keys: Mapping[str, SecretKey],
    names: Iterable[str] | None = None,
    randomness: Randomness = system_randomness,
) -> dict[str, Transaction]:
    """Build from the root down, and sign children before parents (D-4), what several parties sign together.

    ``keys`` are the factory keys by party; ``names`` are the transactions to sign, None for all of ``signed_together``.
    The result is in the order of signing. Raises ``InputError``: R-KEYS when a key, a point or a coin is missing or a
    secret key is not that of the book, D-1 for a name that is not that of a transaction which several parties sign.
    """
    wanted = _wanted(blueprint, names)
    for party in sorted(frozenset[str]().union(*(template.signers for template in wanted))):
        if party not in keys or keys[party].public != book.party(party).factory_key:
            raise InputError(f"secret key of {party}", "is missing, or is not the one that the others know", "R-KEYS")
    realised = realise(blueprint, book, [template.name for template in wanted])
    return {template.name: sign_one(realised[template.name], keys, randomness) for template in reversed(wanted)}


def sign_one(
    realised: Realised, keys: Mapping[str, SecretKey], randomness: Randomness = system_randomness
) -> Transaction:
    """One transaction, complete, with a key path signature by all signers of its template.

    Raises ``SigningError`` when their keys are not those of the output that it spends, ``InputError`` (D-1) when it is
    not spent by the key path of several signers.
    """
    if realised.key is None:
        raise _not_shared(realised.template.name)
    signers = [keys[name] for name in sorted(realised.template.signers)]
    return realised.signed(musig.sign_together(realised.key, realised.sighash, signers, randomness))


def _wanted(blueprint: Blueprint, names: Iterable[str] | None) -> tuple[Template, ...]:
    """The templates to sign, parents before children."""
    shared = tuple(blueprint.signed_together())
    if names is None:
        return shared
    chosen = frozenset(names)
    for name in sorted(chosen - {template.name for template in shared}):
        raise _not_shared(name)
    return tuple(template for template in shared if template.name in chosen)


def _not_shared(name: str) -> InputError:
    return InputError(f"transaction '{name}'", "is not one that several parties sign by key path", "D-1")
