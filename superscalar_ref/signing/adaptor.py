"""Adaptor signatures on BIP-340: a signature that becomes valid with one secret, and then gives that secret away.

A signer makes a *pre-signature* of a message for a point ``T``. Whoever knows the secret ``t`` of ``T`` turns it into a
signature; whoever has the pre-signature learns ``t`` from that signature. So money and secret change hands in one step:
for an assisted exit ``t`` is the client's factory key (P1242).

With the nonce ``k`` and ``R = k·G + T`` (of even y, else another nonce is taken), the challenge ``e`` of BIP-340 for
``R`` and the signer's key ``P = d·G``:

* pre-signature: ``R`` and ``ŝ = k + e·d``; valid when ``ŝ·G + T = R + e·P``
* signature: ``s = ŝ + t``; secret: ``t = s − ŝ``

libsecp256k1 as coincurve carries it has no such module: its scalars and points do the arithmetic on secrets.
"""

from __future__ import annotations

from dataclasses import dataclass

from coincurve import PrivateKey, PublicKey

from superscalar_ref.bitcoin.taproot import tagged_hash
from superscalar_ref.errors import SigningError
from superscalar_ref.signing.keys import Randomness, SecretKey, check_public_key, system_randomness, verify

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""Of the group of secp256k1."""
_MINUS_ONE = (ORDER - 1).to_bytes(32, "big")
_MOST_TRIES = 256
"""Half of all nonces give an even point."""


@dataclass(frozen=True)
class PreSignature:
    """A signature that lacks one secret."""

    nonce: bytes
    """32 bytes: the x of ``R``, as the signature will carry it."""
    scalar: bytes
    """32 bytes: ``ŝ``."""


def pre_sign(key: SecretKey, message: bytes, point: bytes, randomness: Randomness = system_randomness) -> PreSignature:
    """A pre-signature of a 32-byte message by ``key`` for the 33-byte ``point``.

    The nonce is a hash of the key, the message, the point and 32 fresh bytes: it does not repeat for another message or
    point even when the randomness does. Raises ``InputError`` when the point is none, ``SigningError`` for a message of
    another length.
    """
    if len(message) != 32:
        raise SigningError(f"a message has 32 bytes, not {len(message)}")
    target = PublicKey(check_public_key(point, "adaptor point"))
    secret = PrivateKey(key.reveal())
    if key.public[0] == 3:
        secret = secret.multiply(_MINUS_ONE)
    for _ in range(_MOST_TRIES):
        seed = b"".join((key.reveal(), key.public, message, point, randomness(32)))
        nonce = PrivateKey(tagged_hash("superscalar/adaptor nonce", seed))
        sum_point = PublicKey.combine_keys([nonce.public_key, target]).format()
        if sum_point[0] == 2:
            challenge = _challenge(sum_point[1:], key.x_only, message)
            return PreSignature(sum_point[1:], secret.multiply(challenge).add(nonce.secret).secret)
    raise SigningError("no nonce gives an even point: the randomness does not change")


def pre_verify(x_only: bytes, message: bytes, point: bytes, pre: PreSignature) -> bool:
    """Whether a pre-signature becomes a signature by the 32-byte key with the secret of the 33-byte point."""
    try:
        total = PublicKey(b"\x02" + pre.nonce)
        signer = PublicKey(b"\x02" + x_only).multiply(_challenge(pre.nonce, x_only, message))
        given = PublicKey.combine_keys([PrivateKey(pre.scalar).public_key, PublicKey(point)])
        wanted = PublicKey.combine_keys([total, signer])
    except ValueError:
        # Not on the curve, or a scalar out of range.
        return False
    return bool(given.format() == wanted.format())


def complete(pre: PreSignature, secret: SecretKey) -> bytes:
    """The 64-byte signature, with the secret of the point."""
    return pre.nonce + bytes(PrivateKey(pre.scalar).add(secret.reveal()).secret)


def extract(pre: PreSignature, signature: bytes, point: bytes) -> SecretKey:
    """The secret of the 33-byte point, from the signature that somebody has completed.

    Raises ``SigningError`` when the signature was not made from this pre-signature with that secret.
    """
    if len(signature) != 64 or signature[:32] != pre.nonce:
        raise SigningError("the signature was not made from this pre-signature")
    # Both scalars are public by now.
    difference = int.from_bytes(signature[32:], "big") - int.from_bytes(pre.scalar, "big")
    secret = SecretKey((difference % ORDER).to_bytes(32, "big"))
    if secret.public != point:
        raise SigningError("the signature was not completed with the secret of this point")
    return secret


def completes(x_only: bytes, message: bytes, pre: PreSignature, secret: SecretKey) -> bool:
    """Whether a secret makes the pre-signature a valid signature (BIP-340)."""
    return verify(x_only, message, complete(pre, secret))


def _challenge(nonce: bytes, x_only: bytes, message: bytes) -> bytes:
    """BIP-340's challenge, below the order."""
    digest = tagged_hash("BIP0340/challenge", nonce + x_only + message)
    return (int.from_bytes(digest, "big") % ORDER).to_bytes(32, "big")
