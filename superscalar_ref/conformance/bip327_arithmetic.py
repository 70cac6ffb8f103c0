"""BIP-327 by its own formulas, for what libsecp256k1 does not offer: the runner of published vectors' second opinion.

libsecp256k1 signs only 32-byte messages and has no deterministic signing. The BIP's vectors have both. What is computed
here says whether a file agrees with the BIP; it never counts as this implementation having passed, and signs nothing
else. It is not constant-time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from coincurve import PrivateKey, PublicKey

from superscalar_ref.bitcoin.taproot import tagged_hash

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""The order of secp256k1's group."""

Point = PublicKey | None
"""A point; None is the point at infinity."""


def hash_number(tag: str, data: bytes) -> int:
    """A tagged hash as a number below the group order."""
    return int.from_bytes(tagged_hash(tag, data), "big") % ORDER


def generator_times(scalar: int) -> Point:
    """``scalar`` times the generator."""
    return PrivateKey(_bytes(scalar)).public_key if scalar % ORDER else None


def times(scalar: int, point: Point) -> Point:
    """``scalar`` times a point."""
    return point.multiply(_bytes(scalar)) if point is not None and scalar % ORDER else None


def plus(left: Point, right: Point) -> Point:
    """The sum of two points."""
    if left is None or right is None:
        return left if right is None else right
    x_left, x_right = left.format()[1:], right.format()[1:]
    if x_left == x_right and left.format() != right.format():
        return None
    return PublicKey.combine_keys([left, right])


def point_bytes(point: Point) -> bytes:
    """The 33 bytes of a point, zeros for infinity (BIP-327 cbytes_ext)."""
    return bytes(33) if point is None else bytes(point.format())


def point_from(data: bytes) -> Point:
    """The point of 33 bytes, infinity for zeros. Raises ValueError for anything else."""
    return None if data == bytes(33) else PublicKey(data)


def nonce_gen(
    randomness: bytes,
    secret: bytes | None,
    public: bytes,
    aggregate: bytes | None,
    message: bytes | None,
    extra: bytes | None,
) -> tuple[bytes, bytes]:
    """The 97-byte secret nonce and the 66-byte public nonce of BIP-327's NonceGen."""
    if secret is not None:
        randomness = _xor(secret, tagged_hash("MuSig/aux", randomness))
    aggregate, extra = aggregate or b"", extra or b""
    data = randomness + bytes([len(public)]) + public + bytes([len(aggregate)]) + aggregate
    data += b"\x00" if message is None else b"\x01" + len(message).to_bytes(8, "big") + message
    data += len(extra).to_bytes(4, "big") + extra
    scalars = [hash_number("MuSig/nonce", data + bytes([i])) for i in range(2)]
    return _nonce_pair(scalars, public)


def deterministic_nonce(
    secret: bytes,
    public: bytes,
    other_nonces: bytes,
    aggregate: bytes,
    message: bytes,
    randomness: bytes | None,
) -> tuple[bytes, bytes]:
    """The nonces of BIP-327's DeterministicSign: 97 and 66 bytes."""
    if randomness is not None:
        secret = _xor(secret, tagged_hash("MuSig/aux", randomness))
    data = secret + other_nonces + aggregate + len(message).to_bytes(8, "big") + message
    scalars = [hash_number("MuSig/deterministic/nonce", data + bytes([i])) for i in range(2)]
    return _nonce_pair(scalars, public)


@dataclass(frozen=True)
class Session:
    """The values that all signers of one message share (BIP-327 GetSessionValues)."""

    public_keys: tuple[bytes, ...]
    key: PublicKey
    sign: int
    tweak: int
    coefficient: int
    nonce: PublicKey
    challenge: int


def start(
    public_keys: Sequence[bytes], tweaks: Sequence[tuple[bytes, bool]], aggregate_nonce: bytes, message: bytes
) -> Session:
    """The session of keys, (tweak, is x-only) pairs, a 66-byte nonce and a message of any length.

    All inputs must be valid. Raises ValueError when the key is infinity.
    """
    key: Point = None
    for public in public_keys:
        key = plus(key, times(key_coefficient(public_keys, public), PublicKey(public)))
    sign, tweak = 1, 0
    for data, x_only in tweaks:
        if key is None:
            raise ValueError("the aggregate key is infinity")
        flip = -1 if x_only and _is_odd(key) else 1
        number = int.from_bytes(data, "big")
        key = plus(times(flip, key), generator_times(number))
        sign, tweak = flip * sign, (number + flip * tweak) % ORDER
    if key is None:
        raise ValueError("the aggregate key is infinity")
    x_key = key.format()[1:]
    coefficient = hash_number("MuSig/noncecoef", aggregate_nonce + x_key + message)
    first, second = point_from(aggregate_nonce[:33]), point_from(aggregate_nonce[33:])
    nonce = plus(first, times(coefficient, second)) or generator_times(1)
    assert nonce is not None
    challenge = hash_number("BIP0340/challenge", nonce.format()[1:] + x_key + message)
    return Session(tuple(public_keys), key, sign, tweak, coefficient, nonce, challenge)


def key_coefficient(public_keys: Sequence[bytes], public: bytes) -> int:
    """The factor of one key in the aggregate: 1 for the second distinct key (BIP-327)."""
    second = next((key for key in public_keys if key != public_keys[0]), None)
    if public == second:
        return 1
    keys_hash = tagged_hash("KeyAgg list", b"".join(public_keys))
    return hash_number("KeyAgg coefficient", keys_hash + public)


def partial_sign(session: Session, secret: bytes, secret_nonce: bytes) -> bytes:
    """The 32-byte partial signature of a 32-byte secret key with a 97-byte secret nonce."""
    first, second = (int.from_bytes(secret_nonce[i : i + 32], "big") for i in (0, 32))
    flip = -1 if _is_odd(session.nonce) else 1
    public = PrivateKey(secret).public_key.format()
    factor = session.challenge * key_coefficient(session.public_keys, public) * _key_sign(session)
    total = flip * (first + session.coefficient * second) + factor * int.from_bytes(secret, "big")
    return _bytes(total)


def partial_verify(session: Session, public: bytes, public_nonce: bytes, partial: bytes) -> bool:
    """Whether a partial signature is valid, from its equation."""
    number = int.from_bytes(partial, "big")
    if len(partial) != 32 or number >= ORDER:
        return False
    flip = -1 if _is_odd(session.nonce) else 1
    own = plus(PublicKey(public_nonce[:33]), times(session.coefficient, PublicKey(public_nonce[33:])))
    factor = session.challenge * key_coefficient(session.public_keys, public) * _key_sign(session)
    expected = plus(times(flip, own), times(factor, PublicKey(public)))
    return point_bytes(generator_times(number)) == point_bytes(expected)


def partial_aggregate(session: Session, partials: Sequence[bytes]) -> bytes:
    """The 64-byte signature that partial signatures add up to."""
    total = sum(int.from_bytes(partial, "big") for partial in partials)
    sign = -1 if _is_odd(session.key) else 1
    return bytes(session.nonce.format()[1:]) + _bytes(total + session.challenge * sign * session.tweak)


def _key_sign(session: Session) -> int:
    return -session.sign if _is_odd(session.key) else session.sign


def _nonce_pair(scalars: Sequence[int], public: bytes) -> tuple[bytes, bytes]:
    secret = b"".join(map(_bytes, scalars)) + public
    return secret, b"".join(point_bytes(generator_times(scalar)) for scalar in scalars)


def _is_odd(point: PublicKey) -> bool:
    return bool(point.format()[0] == 3)


def _bytes(number: int) -> bytes:
    return (number % ORDER).to_bytes(32, "big")


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))
