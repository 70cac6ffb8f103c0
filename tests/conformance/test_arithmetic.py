"""The BIP's arithmetic and libsecp256k1 give the same, wherever both can: each is a check on the other."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from superscalar_ref.conformance import bip327_arithmetic as arithmetic
from superscalar_ref.conformance import libsecp_layout
from superscalar_ref.signing import _libsecp, musig, nonces
from superscalar_ref.signing.keys import SecretKey, verify

scalars = st.integers(1, arithmetic.ORDER - 1).map(lambda number: number.to_bytes(32, "big"))
words = st.binary(min_size=32, max_size=32).filter(any)


@settings(deadline=None, max_examples=40)
@given(
    secrets=st.lists(scalars, min_size=1, max_size=4),
    tweaks=st.lists(st.tuples(scalars, st.booleans()), max_size=4),
    message=words,
    randomness=words,
)
def test_sessions_agree(
    secrets: list[bytes], tweaks: list[tuple[bytes, bool]], message: bytes, randomness: bytes
) -> None:
    keys = [SecretKey(secret) for secret in secrets]
    publics = tuple(key.public for key in keys)
    aggregate = musig.aggregate_in_order(publics)
    for tweak, x_only in tweaks:
        aggregate = aggregate.tweak(tweak, x_only)
    made = [
        arithmetic.nonce_gen(
            (int.from_bytes(randomness, "big") ^ index).to_bytes(32, "big"),
            key.reveal(),
            key.public,
            None,
            message,
            None,
        )
        for index, key in enumerate(keys)
    ]
    total = nonces.aggregate_nonces([public for _, public in made])
    session = musig.Session.start(aggregate, total, message)
    formulas = arithmetic.start(publics, tweaks, total, message)
    assert formulas.key.format() == aggregate.plain
    partials = []
    for key, (secret_nonce, public_nonce) in zip(keys, made, strict=True):
        partial = arithmetic.partial_sign(formulas, key.reveal(), secret_nonce)
        assert partial == musig.partial_sign(session, key, libsecp_layout.secret_nonce(secret_nonce))
        assert arithmetic.partial_verify(formulas, key.public, public_nonce, partial)
        assert musig.partial_verify(session, key.public, public_nonce, partial)
        assert not arithmetic.partial_verify(formulas, key.public, public_nonce, partial[::-1])
        partials.append(partial)
    signature = arithmetic.partial_aggregate(formulas, partials)
    assert signature == musig.partial_aggregate(session, partials)
    assert verify(aggregate.x_only, message, signature)


@settings(deadline=None, max_examples=40)
@given(
    randomness=words,
    secret=scalars,
    with_secret=st.booleans(),
    other=scalars,
    message=st.none() | words,
    extra=st.none() | words,
)
def test_nonces_agree(
    randomness: bytes, secret: bytes, with_secret: bool, other: bytes, message: bytes | None, extra: bytes | None
) -> None:
    public = _libsecp.public_key(secret)
    aggregate = _libsecp.public_key(other)[1:]
    used = secret if with_secret else None
    structure, nonce = _libsecp.nonce_gen(
        randomness, _libsecp.parse_point(public), used, message, libsecp_layout.key_cache(aggregate), extra
    )
    computed = arithmetic.nonce_gen(randomness, used, public, aggregate, message, extra)
    assert (libsecp_layout.secret_nonce_bytes(structure, public), nonce) == computed


def test_points_at_infinity() -> None:
    one = arithmetic.generator_times(1)
    minus = arithmetic.times(-1, one)
    assert arithmetic.plus(one, minus) is None
    assert arithmetic.plus(None, one) == one == arithmetic.plus(one, None)
    assert arithmetic.times(5, None) is None
    assert arithmetic.generator_times(0) is None
    assert arithmetic.point_bytes(None) == bytes(33)
    assert arithmetic.point_from(bytes(33)) is None
    two = arithmetic.plus(one, one)
    assert arithmetic.point_bytes(two) == arithmetic.point_bytes(arithmetic.generator_times(2))
