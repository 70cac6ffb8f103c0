"""MuSig2 (BIP-327): one key and one signature of several signers.

A round trip: ``aggregate`` the keys and ``taproot`` the result; each signer makes a nonce (``nonces.generate``); the
66-byte public nonces are summed (``nonces.aggregate_nonces``); each signer starts the same ``Session`` and gives
``partial_sign``; ``finish`` sums, verifies, and returns the 64-byte signature, or blames the signer of a bad part.

Aggregation costs more than signing, and depends on public keys only: it is done once for each set of signers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from superscalar_ref.bitcoin.taproot import tap_tweak
from superscalar_ref.errors import Blame, SigningError
from superscalar_ref.signing import _libsecp
from superscalar_ref.signing.keys import Randomness, SecretKey, system_randomness
from superscalar_ref.signing.nonces import SecretNonce

_CACHED_SIGNER_SETS = 4096


@dataclass(frozen=True, eq=False)
class AggregateKey:
    """The aggregate of ``public_keys`` in their order, with the tweaks applied so far.

    ``plain`` is its 33-byte key, ``x_only`` the 32 bytes that a P2TR output or a verifier uses. Compared by identity.
    """

    public_keys: tuple[bytes, ...]
    plain: bytes
    cache: _libsecp.CData = field(repr=False)

    @property
    def x_only(self) -> bytes:
        """The 32-byte x-only key."""
        return self.plain[1:]

    def tweak(self, tweak: bytes, x_only: bool) -> AggregateKey:
        """With one more 32-byte tweak, x-only or plain (BIP-327 ApplyTweak).

        Raises SigningError when the tweak is not below the group order or the result is no key.
        """
        cache = _libsecp.key_agg_tweaked(self.cache, tweak, x_only)
        if cache is None:
            raise SigningError("the tweak is not below the group order, or gives no key")
        return AggregateKey(self.public_keys, _libsecp.key_agg_point(cache), cache)

    def taproot(self, merkle_root: bytes | None = None) -> AggregateKey:
        """With the taproot tweak of a 32-byte root, or of no script (BIP-86): its ``x_only`` is the output key."""
        return _taproot(self, merkle_root)


@lru_cache(maxsize=2 * _CACHED_SIGNER_SETS)
def _taproot(key: AggregateKey, merkle_root: bytes | None) -> AggregateKey:
    return key.tweak(tap_tweak(key.x_only, merkle_root), x_only=True)


def sort_keys(keys: Iterable[bytes]) -> tuple[bytes, ...]:
    """33-byte keys in the order of BIP-327's KeySort: that of their bytes."""
    return tuple(sorted(keys))


def aggregate(keys: Iterable[bytes]) -> AggregateKey:
    """The untweaked aggregate of 33-byte keys, sorted first (D-1, R-KEY-ORDER). Kept for each set of signers.

    Raises SigningError when there is no key, or one is not a point.
    """
    return aggregate_in_order(sort_keys(keys))


@lru_cache(maxsize=_CACHED_SIGNER_SETS)
def aggregate_in_order(keys: tuple[bytes, ...]) -> AggregateKey:
    """The untweaked aggregate of 33-byte keys as they stand (BIP-327 KeyAgg).

    Raises SigningError, naming the position, when a key is not a point; and when there is none.
    """
    if not keys:
        raise SigningError("there is no key to aggregate")
    points = []
    for position, key in enumerate(keys):
        point = _libsecp.parse_point(key)
        if point is None:
            raise SigningError(f"public key '{key.hex()}' is not a point", Blame(f"signer {position}", certain=True))
        points.append(point)
    cache = _libsecp.key_agg(points)
    if cache is None:
        raise SigningError("the public keys cancel out")
    return AggregateKey(keys, _libsecp.key_agg_point(cache), cache)


@dataclass(frozen=True, eq=False)
class Session:
    """What all signers of one message share: the (tweaked) key, the aggregate nonce, the 32-byte message."""

    key: AggregateKey
    aggregate_nonce: bytes
    message: bytes
    structure: _libsecp.CData = field(repr=False)

    @classmethod
    def start(cls, key: AggregateKey, aggregate_nonce: bytes, message: bytes) -> Session:
        """Begin. Raises SigningError when the nonce is not 66 good bytes or the message not 32."""
        nonce = _libsecp.parse_aggregate_nonce(aggregate_nonce)
        if nonce is None:
            raise SigningError("the aggregate nonce is not two points")
        return cls(key, aggregate_nonce, message, _libsecp.nonce_process(nonce, message, key.cache))


def partial_sign(session: Session, secret_key: SecretKey, secret_nonce: SecretNonce) -> bytes:
    """The 32-byte partial signature of one signer; the nonce is destroyed, whatever the outcome.

    Raises SigningError when the key is not one of the session's, the nonce is another key's, or was used before.
    """
    structure = secret_nonce.take()
    try:
        if secret_nonce.public_key != secret_key.public:
            raise SigningError("the secret nonce was made for another key")
        if secret_key.public not in session.key.public_keys:
            raise SigningError("the signer's key is not among the keys of the session")
        return _libsecp.partial_sign(structure, secret_key._pair, session.key.cache, session.structure)
    finally:
        _libsecp.wipe(structure)


def partial_verify(session: Session, public_key: bytes, public_nonce: bytes, partial: bytes) -> bool:
    """Whether a 32-byte partial signature of the signer with this 33-byte key and 66-byte nonce is valid.

    Raises SigningError when the key or the nonce itself is not valid.
    """
    point = _libsecp.parse_point(public_key)
    if point is None or public_key not in session.key.public_keys:
        raise SigningError(f"public key '{public_key.hex()}' is not among the keys of the session")
    nonce = _libsecp.parse_public_nonce(public_nonce)
    if nonce is None:
        raise SigningError("a public nonce is not two points")
    parsed = _libsecp.parse_partial(partial)
    if parsed is None:
        return False
    return _libsecp.partial_verify(parsed, nonce, point, session.key.cache, session.structure)


def partial_aggregate(session: Session, partials: Sequence[bytes], names: Sequence[str] = ()) -> bytes:
    """The 64-byte signature that partial signatures add up to; not verified (BIP-327 PartialSigAgg).

    Raises SigningError that blames the sender of a partial signature that is not below the group order.
    """
    if not partials:
        raise SigningError("there is no partial signature to aggregate")
    parsed = []
    for position, partial in enumerate(partials):
        one = _libsecp.parse_partial(partial)
        if one is None:
            who = names[position] if names else f"signer {position}"
            raise SigningError("a partial signature is not below the group order", Blame(who, certain=True))
        parsed.append(one)
    return _libsecp.partial_agg(session.structure, parsed)


@dataclass(frozen=True)
class Contribution:
    """What one signer sent for one session."""

    name: str
    public_key: bytes
    public_nonce: bytes
    partial: bytes


def finish(session: Session, contributions: Sequence[Contribution]) -> bytes:
    """The valid 64-byte signature of the session (BIP-340), from each signer's contribution.

    The sum is verified first, since that costs one check; only when it fails is each partial signature checked.
    Raises SigningError with the blame of the first signer, in order, whose partial signature is wrong.
    """
    expected = sorted(session.key.public_keys)
    if sorted(c.public_key for c in contributions) != expected:
        raise SigningError(f"there are {len(contributions)} contributions for {len(expected)} signers, or of others")
    signature = None
    if all(_libsecp.parse_partial(c.partial) is not None for c in contributions):
        signature = partial_aggregate(session, [c.partial for c in contributions])
    if signature and _libsecp.schnorr_verify(session.key.x_only, session.message, signature):
        return signature
    for one in contributions:
        if not partial_verify(session, one.public_key, one.public_nonce, one.partial):
            raise SigningError("a partial signature is invalid", Blame(one.name, certain=True))
    raise SigningError("the aggregate nonce is not the sum of the signers' nonces")


def sign_together(
    key: AggregateKey, message: bytes, signers: Sequence[SecretKey], randomness: Randomness = system_randomness
) -> bytes:
    """The valid 64-byte signature of a 32-byte message by signers who are all in this process.

    One session: a fresh nonce and one partial signature of each signer, and a check of the sum. Nothing travels, so
    nothing is serialised. Raises SigningError when they are not the signers of ``key``, or the sum is not valid.
    """
    if sorted(signer.public for signer in signers) != sorted(key.public_keys):
        raise SigningError(f"the {len(signers)} secret keys are not those of the {len(key.public_keys)} signers")
    secret_nonces, public_nonces = [], []
    try:
        for signer in signers:
            point = _libsecp.parse_point(signer.public)
            pair = _libsecp.nonce_pair(randomness(32), point, signer.reveal(), message, key.cache, None)
            secret_nonces.append(pair[0])
            public_nonces.append(pair[1])
        structure = _libsecp.nonce_process(_libsecp.nonce_sum(public_nonces), message, key.cache)
        partials = [
            _libsecp.partial_signature(nonce, signer._pair, key.cache, structure)
            for nonce, signer in zip(secret_nonces, signers, strict=True)
        ]
    finally:
        for nonce in secret_nonces:
            _libsecp.wipe(nonce)
    signature = _libsecp.partial_agg(structure, partials)
    if not _libsecp.schnorr_verify(key.x_only, message, signature):
        raise SigningError("the sum of the partial signatures is not valid")
    return signature
