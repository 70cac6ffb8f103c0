"""A nonce that signs three times gives the key away; twice, or three times the same, it does not."""

from __future__ import annotations

import pytest

from superscalar_ref.errors import SigningError
from superscalar_ref.replay.stolen import Equation, solve
from superscalar_ref.signing import _libsecp, musig, nonces
from superscalar_ref.signing.keys import SecretKey
from superscalar_ref.signing.nonces import SeededRandomness

MESSAGE = b"\x07" * 32


def equations(seed: int, times: int, signers: int = 3) -> tuple[SecretKey, list[Equation]]:
    """What ``times`` partial signatures of the first of ``signers`` under one nonce give, and its key."""
    randomness = SeededRandomness(f"stolen {seed}")
    keys = [SecretKey(randomness(32)) for _ in range(signers)]
    victim = keys[0]
    key = musig.aggregate(one.public for one in keys).taproot()
    structure, public = _libsecp.nonce_gen(
        randomness(32), _libsecp.parse_point(victim.public), victim.reveal(), None, None, None
    )
    stored = _libsecp.structure_bytes(structure)
    found = []
    for _ in range(times):
        others = [nonces.generate(one, randomness=randomness) for one in keys[1:]]
        total = nonces.aggregate_nonces([public, *(other for _, other in others)])
        session = musig.Session.start(key, total, MESSAGE)
        mine = nonces.SecretNonce(_libsecp.structure_from("musig_secnonce", stored), victim.public)
        partial = musig.partial_sign(session, victim, mine)
        found.append(Equation.of(key.public_keys, victim.public, total, MESSAGE, partial))
    return victim, found


@pytest.mark.parametrize("seed", range(12))
def test_three_signatures_with_one_nonce_give_the_key(seed: int) -> None:
    """Whatever the parities of keys and nonces, and whichever coefficient the victim's key has."""
    victim, found = equations(seed, 3, 2 + seed % 3)
    assert solve(found) == victim.reveal()


def test_two_are_not_enough() -> None:
    with pytest.raises(SigningError, match="2 equations"):
        solve(equations(0, 2)[1])


def test_the_same_twice_is_no_third() -> None:
    first, second = equations(0, 2)[1]
    with pytest.raises(SigningError, match="not independent"):
        solve([first, second, first])


def test_signatures_with_different_nonces_give_nothing() -> None:
    victim, found = equations(0, 2)
    other, (third,) = equations(1, 1)
    assert solve([*found, third]) not in (victim.reveal(), other.reveal())
