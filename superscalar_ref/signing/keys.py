"""Keys of participants, and plain Schnorr signatures (BIP-32, BIP-340, BIP-341).

One key per participant per factory, derived hardened from a seed: an assisted exit hands the key over for good, and a
hardened child gives away neither its parent nor its siblings (P1242). Nothing else of BIP-32 is here.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from superscalar_ref.bitcoin.taproot import tap_tweak
from superscalar_ref.errors import InputError, SigningError
from superscalar_ref.signing import _libsecp

Randomness = Callable[[int], bytes]
"""Gives that many fresh bytes at each call."""

HARDENED = 0x80000000


def system_randomness(size: int) -> bytes:
    """Fresh bytes of the operating system: the source of everything but tests and vectors."""
    return os.urandom(size)


class SecretKey:
    """A secret key that signs, and does not print, copy or pickle itself.

    ``public`` is its 33-byte plain key, ``x_only`` its 32-byte key.
    """

    __slots__ = ("_pair", "_secret", "public")

    def __init__(self, secret: bytes) -> None:
        """Take 32 bytes; raises SigningError when they are no key."""
        self._pair = _libsecp.keypair(secret)
        self._secret = bytes(secret)
        self.public = _libsecp.public_key(secret)

    @classmethod
    def generate(cls, randomness: Randomness = system_randomness) -> SecretKey:
        """A fresh random key."""
        return cls(randomness(32))

    @property
    def x_only(self) -> bytes:
        """The 32-byte x-only public key (BIP-340)."""
        return self.public[1:]

    def reveal(self) -> bytes:
        """The 32 secret bytes, for storing and for handing over."""
        return self._secret

    def sign(self, message: bytes, randomness: Randomness = system_randomness) -> bytes:
        """A 64-byte BIP-340 signature of a 32-byte message by this key, untweaked (script paths)."""
        return _libsecp.schnorr_sign(self._pair, message, randomness(32))

    def sign_taproot(
        self, message: bytes, merkle_root: bytes | None = None, randomness: Randomness = system_randomness
    ) -> bytes:
        """A 64-byte signature by the output key that this internal key makes with ``merkle_root`` (BIP-86 without)."""
        tweaked = _libsecp.keypair_tweaked(self._pair, tap_tweak(self.x_only, merkle_root))
        return _libsecp.schnorr_sign(tweaked, message, randomness(32))

    def __repr__(self) -> str:
        return f"SecretKey(of {self.public.hex()})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretKey) and hmac.compare_digest(self._secret, other._secret)

    def __hash__(self) -> int:
        return hash(self.public)

    def __reduce__(self) -> NoReturn:
        raise SigningError("a secret key does not pickle or copy; store what reveal() gives, on purpose")


def check_public_key(key: bytes, place: str) -> bytes:
    """``key`` itself when it is a 33-byte plain public key; raises InputError naming ``place`` when not."""
    if _libsecp.parse_point(bytes(key)) is None:
        raise InputError(place, f"'{key.hex()}' is not a 33-byte compressed public key", "BIP-327: plain public key")
    return key


def verify(x_only: bytes, message: bytes, signature: bytes) -> bool:
    """Whether a 64-byte BIP-340 signature of ``message`` by a 32-byte x-only key is valid."""
    return _libsecp.schnorr_verify(x_only, message, signature)


@dataclass(frozen=True, repr=False)
class ExtendedKey:
    """A private node of BIP-32: 32 secret bytes and 32 bytes of chain code. Hardened children only."""

    secret: bytes
    chain_code: bytes

    @classmethod
    def from_seed(cls, seed: bytes) -> ExtendedKey:
        """The master node of a seed of 16 to 64 bytes. Raises InputError for another length."""
        if not 16 <= len(seed) <= 64:
            raise InputError("seed", f"{len(seed)} bytes is not within 16..64", "BIP-32: master key generation")
        digest = hmac.digest(b"Bitcoin seed", seed, hashlib.sha512)
        if not _libsecp.is_secret_key(digest[:32]):
            raise InputError("seed", "gives no valid key", "BIP-32: master key generation")
        return cls(digest[:32], digest[32:])

    def child(self, index: int) -> ExtendedKey:
        """The hardened child ``index``' (0..2**31 - 1, written without the hardened bit).

        Raises InputError for an index out of range, or in the 2**-127 case of an invalid child.
        """
        if not 0 <= index < HARDENED:
            raise InputError("derivation path", f"index {index} is not within 0..{HARDENED - 1}", "BIP-32")
        data = b"\x00" + self.secret + (HARDENED + index).to_bytes(4, "big")
        digest = hmac.digest(self.chain_code, data, hashlib.sha512)
        secret = _libsecp.secret_key_add(self.secret, digest[:32])
        if secret is None:
            raise InputError("derivation path", f"child {index}' is invalid, take the next", "BIP-32")
        return ExtendedKey(secret, digest[32:])

    def derive(self, *indices: int) -> ExtendedKey:
        """The node at a path of hardened indices."""
        node = self
        for index in indices:
            node = node.child(index)
        return node

    def key(self) -> SecretKey:
        """The secret key of this node."""
        return SecretKey(self.secret)

    def __repr__(self) -> str:
        return "ExtendedKey(secret)"


FACTORY_PURPOSE = 1242
"""First index of the path of a factory key; not a registered purpose."""


def factory_key(seed: bytes, factory: int) -> SecretKey:
    """A participant's key for factory number ``factory``: ``m/1242'/factory'`` (D-1, P1242).

    Raises InputError for a bad seed or a number out of 0..2**31 - 1.
    """
    return ExtendedKey.from_seed(seed).derive(FACTORY_PURPOSE, factory).key()
