"""Nonces of MuSig2: fresh, secret, used once, gone (BIP-327, D-2).

Laws of this module:

* A ``SecretNonce`` signs at most once: taking it out destroys it, whether or not the signature succeeds.
* It cannot be copied, pickled, compared or printed; it dies with the process.
* Randomness is an argument; only tests and vectors pass a seeded source.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from superscalar_ref.errors import Blame, SigningError
from superscalar_ref.signing import _libsecp
from superscalar_ref.signing.keys import Randomness, SecretKey, system_randomness

if TYPE_CHECKING:
    from superscalar_ref.signing.musig import AggregateKey

PUBLIC_NONCE_BYTES = 66


class SecretNonce:
    """A secret nonce of one signer, bound to its public key; usable once."""

    __slots__ = ("__weakref__", "_structure", "public_key")

    def __init__(self, structure: _libsecp.CData, public_key: bytes) -> None:
        self._structure: _libsecp.CData | None = structure
        self.public_key = public_key

    @property
    def spent(self) -> bool:
        """Whether it has been used or destroyed."""
        return self._structure is None

    def take(self) -> _libsecp.CData:
        """Hand the structure to the one signature it is for. Raises SigningError the second time."""
        structure, self._structure = self._structure, None
        if structure is None:
            raise SigningError("the secret nonce has been used or destroyed: a nonce never signs twice")
        return structure

    def destroy(self) -> None:
        """Overwrite and forget it, as when a session is aborted; again is harmless."""
        if self._structure is not None:
            _libsecp.wipe(self.take())

    def __del__(self) -> None:
        self.destroy()

    def __repr__(self) -> str:
        return f"SecretNonce({'spent' if self.spent else 'unused'})"

    def __reduce__(self) -> NoReturn:
        raise SigningError("a secret nonce is never stored, copied or sent")

    def __copy__(self) -> NoReturn:
        self.__reduce__()

    def __deepcopy__(self, _memo: object) -> NoReturn:
        self.__reduce__()


def generate(
    secret_key: SecretKey,
    aggregate: AggregateKey | None = None,
    message: bytes | None = None,
    randomness: Randomness = system_randomness,
) -> tuple[SecretNonce, bytes]:
    """A fresh secret nonce and its 66-byte public nonce (BIP-327 NonceGen).

    Mixing in the aggregate key and the 32-byte message, when already known, defends against a weak random source.
    Raises SigningError when the source gives zeros or a wrong length.
    """
    structure, public = _libsecp.nonce_gen(
        randomness(32),
        _libsecp.parse_point(secret_key.public),
        secret_key.reveal(),
        message,
        None if aggregate is None else aggregate.cache,
        None,
    )
    return SecretNonce(structure, secret_key.public), public


def aggregate_nonces(public_nonces: Sequence[bytes], names: Sequence[str] = ()) -> bytes:
    """The 66-byte aggregate of 66-byte public nonces (BIP-327 NonceAgg).

    ``names`` says who sent each. Raises SigningError that blames the sender of a nonce that is not two points.
    """
    if not public_nonces:
        raise SigningError("there is no public nonce to aggregate")
    parsed = []
    for position, nonce in enumerate(public_nonces):
        point = _libsecp.parse_public_nonce(nonce)
        if point is None:
            who = names[position] if names else f"signer {position}"
            raise SigningError("a public nonce is not two points", Blame(who, certain=True))
        parsed.append(point)
    return _libsecp.nonce_agg(parsed)


class SeededRandomness:
    """A repeatable source for tests and vectors: SHA-256 of a label and a counter. Never for keys that hold money."""

    def __init__(self, label: str) -> None:
        self._label = label.encode()
        self._counter = 0

    def __call__(self, size: int) -> bytes:
        """The next ``size`` bytes."""
        out = b""
        while len(out) < size:
            out += hashlib.sha256(self._label + self._counter.to_bytes(8, "big")).digest()
            self._counter += 1
        return out[:size]
