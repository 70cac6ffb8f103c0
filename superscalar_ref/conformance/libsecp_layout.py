"""The layout of two opaque structures of libsecp256k1, so that published secret nonces can be signed with.

libsecp256k1 reads no secret nonce from bytes, on purpose, nor does ``signing``. BIP-327's vectors fix the secret
nonce, so the runner of vectors writes them into the library's structure: 4 bytes of mark, two 32-byte scalars, the
public key as the library keeps it. Nothing but the runner imports this; whether the layout holds is tried first.
"""

from __future__ import annotations

from functools import cache

from superscalar_ref.signing import _libsecp, musig, nonces
from superscalar_ref.signing.keys import SecretKey

_MARK = 4
_POINT = 64


def secret_nonce_bytes(structure: _libsecp.CData, public_key: bytes) -> bytes:
    """The 97 bytes of BIP-327 (two scalars, the public key) of a secret nonce of the library."""
    return _libsecp.structure_bytes(structure)[_MARK : _MARK + 64] + public_key


def secret_nonce(data: bytes) -> nonces.SecretNonce:
    """A secret nonce for one signature from BIP-327's 97 bytes, whose public key must be a point."""
    mark = _libsecp.structure_bytes(_sample_nonce()[0])[:_MARK]
    point = _libsecp.structure_bytes(_libsecp.parse_point(data[64:]))
    return nonces.SecretNonce(_libsecp.structure_from("musig_secnonce", mark + data[:64] + point), data[64:])


def key_cache(x_only: bytes) -> _libsecp.CData | None:
    """A key aggregation cache that holds this aggregate x-only key, for nonce generation; None when it is no point."""
    point = _libsecp.parse_point(b"\x02" + x_only)
    if point is None:
        return None
    sample = _libsecp.structure_bytes(musig.aggregate([_sample_key().public]).cache)
    data = sample[:_MARK] + _libsecp.structure_bytes(point) + sample[_MARK + _POINT :]
    return _libsecp.structure_from("musig_keyagg_cache", data)


@cache
def layout_holds() -> bool:
    """Whether the library keeps its structures as described here: tried on a nonce made for the purpose."""
    structure, public = _sample_nonce()
    scalars = _libsecp.structure_bytes(structure)[_MARK : _MARK + 64]
    points = b"".join(_libsecp.public_key(scalars[i : i + 32]) for i in (0, 32))
    key = musig.aggregate([_sample_key().public])
    kept = _libsecp.structure_bytes(_libsecp.parse_point(key.plain))
    return points == public and _libsecp.structure_bytes(key.cache)[_MARK : _MARK + _POINT] == kept


def _sample_key() -> SecretKey:
    return SecretKey(b"\x01" * 32)


def _sample_nonce() -> tuple[_libsecp.CData, bytes]:
    key = _sample_key()
    return _libsecp.nonce_gen(b"\x01" * 32, _libsecp.parse_point(key.public), None, None, None, None)
