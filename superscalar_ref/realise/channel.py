"""Keys of a channel: four basepoints a side, and what each commitment derives from them (BOLT 3 'Key Derivation').

Laws of this module:

* A secret never prints: ``ChannelSecrets`` shows its public points only.
* The remote payment key is its basepoint, untweaked, in every commitment (static remote key).
* Per-commitment secrets are independent and random (D-14): nothing here derives one from another.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, fields

from coincurve import PrivateKey, PublicKey

from superscalar_ref.errors import InputError
from superscalar_ref.signing.keys import Randomness, SecretKey, check_public_key, system_randomness

_LABEL = b"superscalar channel"


@dataclass(frozen=True)
class ChannelPoints:
    """The four basepoints of one side, 33-byte points (BOLT 2 ``open_channel``).

    Raises InputError naming the basepoint that is not a point.
    """

    revocation_basepoint: bytes
    """Revokes the *other* side's commitments."""
    payment_basepoint: bytes
    """Paid, without delay, by the other side's commitments; also hides the commitment number."""
    delayed_payment_basepoint: bytes
    """Paid, after the delay, by this side's own commitments."""
    htlc_basepoint: bytes
    """Signs and claims HTLCs."""

    def __post_init__(self) -> None:
        for one in fields(self):
            check_public_key(getattr(self, one.name), one.name)


@dataclass(frozen=True)
class ChannelSecrets:
    """The secrets of one side's basepoints; they print as their public keys."""

    revocation_basepoint: SecretKey
    payment_basepoint: SecretKey
    delayed_payment_basepoint: SecretKey
    htlc_basepoint: SecretKey

    @classmethod
    def from_seed(cls, seed: bytes, channel: str) -> ChannelSecrets:
        """The secrets of the channel that ``channel`` names, from a seed of 16 to 64 bytes.

        Each is HMAC-SHA256 of a label under a key from the seed: one tells nothing of another, as hardened children do.
        Raises InputError for a seed of another length or an empty name.
        """
        if not 16 <= len(seed) <= 64:
            raise InputError("channel seed", f"{len(seed)} bytes is not within 16..64", "BIP-32: length of a seed")
        if not channel:
            raise InputError("channel name", "is empty", "every channel has its own keys")
        labels = (one.name for one in fields(cls))
        return cls(*(_labelled(seed, label, channel) for label in labels))

    @property
    def points(self) -> ChannelPoints:
        """The public basepoints."""
        return ChannelPoints(*(getattr(self, one.name).public for one in fields(self)))


def _labelled(seed: bytes, label: str, channel: str) -> SecretKey:
    # The seed is hashed first: HMAC pads its key with zeros, so a seed and the same with a zero would be one key.
    root = hmac.digest(_LABEL, seed, hashlib.sha256)
    # The label comes first and has no slash: no two (label, channel) give the same text.
    return SecretKey(hmac.digest(root, f"{label}/{channel}".encode(), hashlib.sha256))


def new_commitment_secret(randomness: Randomness = system_randomness) -> SecretKey:
    """A fresh per-commitment secret (D-14); ``.public`` is its per-commitment point."""
    return SecretKey.generate(randomness)


def revealed_by(secret: bytes, per_commitment_point: bytes) -> bool:
    """Whether 32 bytes are the secret of a 33-byte per-commitment point: the check of each revocation."""
    try:
        return PrivateKey(secret).public_key.format() == per_commitment_point if len(secret) == 32 else False
    except ValueError:
        return False


def derive_point(basepoint: bytes, per_commitment_point: bytes) -> bytes:
    """The 33-byte key of one commitment: ``basepoint + SHA256(per_commitment_point || basepoint) × G`` (BOLT 3).

    Raises InputError when either is not a point.
    """
    base = _point(basepoint, "basepoint")
    _point(per_commitment_point, "per-commitment point")
    return bytes(base.add(_sha256(per_commitment_point + basepoint)).format())


def derive_secret(basepoint_secret: SecretKey, per_commitment_point: bytes) -> SecretKey:
    """The secret of ``derive_point``. Raises InputError when the 33 bytes are not a point."""
    _point(per_commitment_point, "per-commitment point")
    tweak = _sha256(per_commitment_point + basepoint_secret.public)
    return SecretKey(PrivateKey(basepoint_secret.reveal()).add(tweak).secret)


def revocation_point(revocation_basepoint: bytes, per_commitment_point: bytes) -> bytes:
    """The 33-byte revocation key of one commitment, from the *other* side's basepoint (BOLT 3).

    ``revocation_basepoint × SHA256(revocation_basepoint || per_commitment_point)
    + per_commitment_point × SHA256(per_commitment_point || revocation_basepoint)``: neither side knows its secret
    until the holder of the commitment reveals the per-commitment secret.
    Raises InputError when either is not a point.
    """
    base = _point(revocation_basepoint, "revocation basepoint")
    commitment = _point(per_commitment_point, "per-commitment point")
    first = base.multiply(_sha256(revocation_basepoint + per_commitment_point))
    second = commitment.multiply(_sha256(per_commitment_point + revocation_basepoint))
    return bytes(PublicKey.combine_keys([first, second]).format())


def revocation_secret(revocation_basepoint_secret: SecretKey, per_commitment_secret: SecretKey) -> SecretKey:
    """The secret of ``revocation_point``, once the per-commitment secret is known (BOLT 3)."""
    base, commitment = revocation_basepoint_secret.public, per_commitment_secret.public
    first = PrivateKey(revocation_basepoint_secret.reveal()).multiply(_sha256(base + commitment))
    second = PrivateKey(per_commitment_secret.reveal()).multiply(_sha256(commitment + base))
    return SecretKey(first.add(second.secret).secret)


@dataclass(frozen=True)
class CommitmentKeys:
    """The keys in the scripts of one commitment: 33-byte points, of which scripts use the x-only part."""

    holder_delayed: bytes
    holder_htlc: bytes
    other_htlc: bytes
    other_payment: bytes
    revocation: bytes


def commitment_keys(holder: ChannelPoints, other: ChannelPoints, per_commitment_point: bytes) -> CommitmentKeys:
    """The keys of a commitment that ``holder`` may publish, from the holder's per-commitment point.

    Raises InputError when that is not a point.
    """
    return CommitmentKeys(
        holder_delayed=derive_point(holder.delayed_payment_basepoint, per_commitment_point),
        holder_htlc=derive_point(holder.htlc_basepoint, per_commitment_point),
        other_htlc=derive_point(other.htlc_basepoint, per_commitment_point),
        other_payment=other.payment_basepoint,
        revocation=revocation_point(other.revocation_basepoint, per_commitment_point),
    )


def _point(key: bytes, place: str) -> PublicKey:
    return PublicKey(check_public_key(key, place))


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
