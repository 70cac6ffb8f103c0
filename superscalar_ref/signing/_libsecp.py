"""The one module that touches libsecp256k1 itself, as coincurve 21 carries it.

coincurve's own classes have no MuSig2 and cost three to four times the bare calls. Its compiled module has every
function, but is private: so the symbols are asserted here, at import, and nobody else imports it.

Laws of this module:

* A failed call returns None or False, or raises ``SigningError``; the library's habit of ending the process on a
  wrong argument is replaced by an exception.
* Opaque structures stay opaque. (Only the runner of published vectors knows the layout of two of them.)
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from coincurve._libsecp256k1 import ffi, lib

from superscalar_ref.errors import SigningError

_NEEDED = (
    "secp256k1_context_create",
    "secp256k1_context_randomize",
    "secp256k1_context_set_illegal_callback",
    "secp256k1_ec_pubkey_create",
    "secp256k1_ec_pubkey_parse",
    "secp256k1_ec_pubkey_serialize",
    "secp256k1_ec_seckey_tweak_add",
    "secp256k1_ec_seckey_verify",
    "secp256k1_keypair_create",
    "secp256k1_keypair_xonly_tweak_add",
    "secp256k1_musig_aggnonce_parse",
    "secp256k1_musig_aggnonce_serialize",
    "secp256k1_musig_nonce_agg",
    "secp256k1_musig_nonce_gen",
    "secp256k1_musig_nonce_process",
    "secp256k1_musig_partial_sig_agg",
    "secp256k1_musig_partial_sig_parse",
    "secp256k1_musig_partial_sig_serialize",
    "secp256k1_musig_partial_sig_verify",
    "secp256k1_musig_partial_sign",
    "secp256k1_musig_pubkey_agg",
    "secp256k1_musig_pubkey_ec_tweak_add",
    "secp256k1_musig_pubkey_get",
    "secp256k1_musig_pubkey_xonly_tweak_add",
    "secp256k1_musig_pubnonce_parse",
    "secp256k1_musig_pubnonce_serialize",
    "secp256k1_schnorrsig_sign32",
    "secp256k1_schnorrsig_verify",
    "secp256k1_xonly_pubkey_parse",
)
_missing = [name for name in _NEEDED if not hasattr(lib, name)]
if _missing:
    raise ImportError(f"coincurve's libsecp256k1 lacks {', '.join(_missing)}: coincurve 21 is needed")

CData = Any
"""A structure of libsecp256k1, held by cffi."""

_illegal_arguments: list[str] = []


@ffi.callback("void(char *, void *)")  # type: ignore[untyped-decorator]
def _on_illegal_argument(message: CData, _data: CData) -> None:
    _illegal_arguments.append(ffi.string(message).decode())


_CTX = lib.secp256k1_context_create(lib.SECP256K1_CONTEXT_NONE)
lib.secp256k1_context_set_illegal_callback(_CTX, _on_illegal_argument, ffi.NULL)
# Blinds the multiplication of secrets against side channels; no output depends on it.
lib.secp256k1_context_randomize(_CTX, os.urandom(32))


def _length(data: bytes, wanted: int, what: str) -> None:
    if len(data) != wanted:
        raise SigningError(f"{what} has {len(data)} bytes instead of {wanted}")


def _legal(ok: int) -> bool:
    """The verdict of a call; an argument that the library calls illegal is an error."""
    if _illegal_arguments:
        message = _illegal_arguments.pop()
        _illegal_arguments.clear()
        raise SigningError(f"libsecp256k1 refuses an argument: {message}")
    return bool(ok)


# Keys


def is_secret_key(secret: bytes) -> bool:
    """Whether 32 bytes are a secret key: neither zero nor the group order or above."""
    return len(secret) == 32 and bool(lib.secp256k1_ec_seckey_verify(_CTX, secret))


def secret_key_add(secret: bytes, tweak: bytes) -> bytes | None:
    """The sum of a secret key and a tweak modulo the group order, 32 bytes; None when it is no key (BIP-32)."""
    buffer = ffi.new("unsigned char[32]", secret)
    if not lib.secp256k1_ec_seckey_tweak_add(_CTX, buffer, tweak):
        return None
    return bytes(ffi.buffer(buffer))


def keypair(secret: bytes) -> CData:
    """The key pair of a 32-byte secret key. Raises SigningError when it is no key."""
    _length(secret, 32, "secret key")
    pair = ffi.new("secp256k1_keypair *")
    if not lib.secp256k1_keypair_create(_CTX, pair, secret):
        raise SigningError("the secret key is zero or exceeds the group order")
    return pair


def keypair_tweaked(pair: CData, tweak: bytes) -> CData:
    """A new key pair, x-only tweaked (BIP-341). Raises SigningError when the result is no key."""
    tweaked = ffi.new("secp256k1_keypair *")
    ffi.memmove(tweaked, pair, ffi.sizeof("secp256k1_keypair"))
    if not lib.secp256k1_keypair_xonly_tweak_add(_CTX, tweaked, tweak):
        raise SigningError("the tweak gives no key")
    return tweaked


def public_key(secret: bytes) -> bytes:
    """The 33-byte public key of a secret key. Raises SigningError when it is no key."""
    _length(secret, 32, "secret key")
    point = ffi.new("secp256k1_pubkey *")
    if not lib.secp256k1_ec_pubkey_create(_CTX, point, secret):
        raise SigningError("the secret key is zero or exceeds the group order")
    return serialize_point(point)


@lru_cache(maxsize=16384)
def parse_point(key: bytes) -> CData | None:
    """The point of a 33-byte key, or None when it is none. Shared: never written to."""
    if len(key) != 33:
        return None
    point = ffi.new("secp256k1_pubkey *")
    return point if lib.secp256k1_ec_pubkey_parse(_CTX, point, key, 33) else None


def serialize_point(point: CData) -> bytes:
    """The 33 bytes of a point."""
    buffer = ffi.new("unsigned char[33]")
    size = ffi.new("size_t *", 33)
    lib.secp256k1_ec_pubkey_serialize(_CTX, buffer, size, point, lib.SECP256K1_EC_COMPRESSED)
    return bytes(ffi.buffer(buffer))


# Schnorr signatures (BIP-340)


def schnorr_sign(pair: CData, message: bytes, auxiliary: bytes) -> bytes:
    """A 64-byte signature of a 32-byte message, with 32 bytes of auxiliary randomness."""
    _length(message, 32, "message")
    _length(auxiliary, 32, "auxiliary randomness")
    signature = ffi.new("unsigned char[64]")
    if not _legal(lib.secp256k1_schnorrsig_sign32(_CTX, signature, message, pair, auxiliary)):
        raise SigningError("libsecp256k1 could not sign")
    return bytes(ffi.buffer(signature))


def schnorr_verify(x_only: bytes, message: bytes, signature: bytes) -> bool:
    """Whether a 64-byte signature by a 32-byte x-only key is valid; wrong lengths are not."""
    if len(x_only) != 32 or len(signature) != 64:
        return False
    point = ffi.new("secp256k1_xonly_pubkey *")
    if not lib.secp256k1_xonly_pubkey_parse(_CTX, point, x_only):
        return False
    return bool(lib.secp256k1_schnorrsig_verify(_CTX, signature, message, len(message), point))


# MuSig2 (BIP-327)


def key_agg(points: Sequence[CData]) -> CData | None:
    """The key aggregation cache of points in their order, or None when they cancel out."""
    cache = ffi.new("secp256k1_musig_keyagg_cache *")
    array = ffi.new("secp256k1_pubkey *[]", list(points))
    return cache if lib.secp256k1_musig_pubkey_agg(_CTX, ffi.NULL, cache, array, len(points)) else None


def key_agg_point(cache: CData) -> bytes:
    """The 33-byte aggregate key with all tweaks so far."""
    point = ffi.new("secp256k1_pubkey *")
    _legal(lib.secp256k1_musig_pubkey_get(_CTX, point, cache))
    return serialize_point(point)


def key_agg_tweaked(cache: CData, tweak: bytes, x_only: bool) -> CData | None:
    """A new cache with one more 32-byte tweak, or None when the tweak or the result is no key."""
    _length(tweak, 32, "tweak")
    tweaked = ffi.new("secp256k1_musig_keyagg_cache *")
    ffi.memmove(tweaked, cache, ffi.sizeof("secp256k1_musig_keyagg_cache"))
    add = lib.secp256k1_musig_pubkey_xonly_tweak_add if x_only else lib.secp256k1_musig_pubkey_ec_tweak_add
    return tweaked if add(_CTX, ffi.NULL, tweaked, tweak) else None


def nonce_pair(
    randomness: bytes,
    point: CData,
    secret: bytes | None,
    message: bytes | None,
    cache: CData | None,
    extra: bytes | None,
) -> tuple[CData, CData]:
    """A secret nonce and its public nonce (BIP-327 NonceGen); message and extra input are 32 bytes or None."""
    _length(randomness, 32, "randomness")
    for value, what in ((message, "message"), (extra, "extra input"), (secret, "secret key")):
        if value is not None:
            _length(value, 32, what)
    secret_nonce = ffi.new("secp256k1_musig_secnonce *")
    public_nonce = ffi.new("secp256k1_musig_pubnonce *")
    # The library zeroes this buffer, so that it cannot serve twice.
    buffer = ffi.new("unsigned char[32]", randomness)
    optional = [ffi.NULL if value is None else value for value in (secret, message, cache, extra)]
    made = lib.secp256k1_musig_nonce_gen(
        _CTX, secret_nonce, public_nonce, buffer, optional[0], point, optional[1], optional[2], optional[3]
    )
    if not _legal(made):
        raise SigningError("libsecp256k1 refuses the randomness or the secret key of a nonce")
    return secret_nonce, public_nonce


def nonce_gen(
    randomness: bytes,
    point: CData,
    secret: bytes | None,
    message: bytes | None,
    cache: CData | None,
    extra: bytes | None,
) -> tuple[CData, bytes]:
    """As ``nonce_pair``, with the 66 bytes of the public nonce."""
    secret_nonce, public_nonce = nonce_pair(randomness, point, secret, message, cache, extra)
    out = ffi.new("unsigned char[66]")
    lib.secp256k1_musig_pubnonce_serialize(_CTX, out, public_nonce)
    return secret_nonce, bytes(ffi.buffer(out))


def parse_public_nonce(nonce: bytes) -> CData | None:
    """A public nonce, or None when the 66 bytes are not two points."""
    if len(nonce) != 66:
        return None
    parsed = ffi.new("secp256k1_musig_pubnonce *")
    return parsed if lib.secp256k1_musig_pubnonce_parse(_CTX, parsed, nonce) else None


def parse_aggregate_nonce(nonce: bytes) -> CData | None:
    """An aggregate nonce, or None when the 66 bytes are not two points or zeros."""
    if len(nonce) != 66:
        return None
    parsed = ffi.new("secp256k1_musig_aggnonce *")
    return parsed if lib.secp256k1_musig_aggnonce_parse(_CTX, parsed, nonce) else None


def nonce_sum(nonces: Sequence[CData]) -> CData:
    """The sum of public nonces (BIP-327 NonceAgg)."""
    total = ffi.new("secp256k1_musig_aggnonce *")
    array = ffi.new("secp256k1_musig_pubnonce *[]", list(nonces))
    if not _legal(lib.secp256k1_musig_nonce_agg(_CTX, total, array, len(nonces))):
        raise SigningError("the nonces cannot be summed")
    return total


def nonce_agg(nonces: Sequence[CData]) -> bytes:
    """The 66 bytes of the sum of public nonces."""
    total = nonce_sum(nonces)
    out = ffi.new("unsigned char[66]")
    lib.secp256k1_musig_aggnonce_serialize(_CTX, out, total)
    return bytes(ffi.buffer(out))


def nonce_process(aggregate_nonce: CData, message: bytes, cache: CData) -> CData:
    """A signing session for a 32-byte message."""
    _length(message, 32, "message")
    session = ffi.new("secp256k1_musig_session *")
    if not _legal(lib.secp256k1_musig_nonce_process(_CTX, session, aggregate_nonce, message, cache)):
        raise SigningError("libsecp256k1 cannot start the session")
    return session


def partial_signature(secret_nonce: CData, pair: CData, cache: CData, session: CData) -> CData:
    """A partial signature; the library zeroes the secret nonce, whatever the outcome."""
    partial = ffi.new("secp256k1_musig_partial_sig *")
    if not _legal(lib.secp256k1_musig_partial_sign(_CTX, partial, secret_nonce, pair, cache, session)):
        raise SigningError("libsecp256k1 refuses the secret nonce")
    return partial


def partial_sign(secret_nonce: CData, pair: CData, cache: CData, session: CData) -> bytes:
    """The 32 bytes of a partial signature; the library zeroes the secret nonce, whatever the outcome."""
    partial = partial_signature(secret_nonce, pair, cache, session)
    out = ffi.new("unsigned char[32]")
    lib.secp256k1_musig_partial_sig_serialize(_CTX, out, partial)
    return bytes(ffi.buffer(out))


def parse_partial(partial: bytes) -> CData | None:
    """A partial signature, or None when the 32 bytes are not below the group order."""
    if len(partial) != 32:
        return None
    parsed = ffi.new("secp256k1_musig_partial_sig *")
    return parsed if lib.secp256k1_musig_partial_sig_parse(_CTX, parsed, partial) else None


def partial_verify(partial: CData, public_nonce: CData, point: CData, cache: CData, session: CData) -> bool:
    """Whether a partial signature of one signer is valid."""
    verdict = lib.secp256k1_musig_partial_sig_verify(_CTX, partial, public_nonce, point, cache, session)
    return _legal(verdict)


def partial_agg(session: CData, partials: Sequence[CData]) -> bytes:
    """The 64-byte sum of partial signatures; not verified."""
    out = ffi.new("unsigned char[64]")
    array = ffi.new("secp256k1_musig_partial_sig *[]", list(partials))
    if not _legal(lib.secp256k1_musig_partial_sig_agg(_CTX, out, session, array, len(partials))):
        raise SigningError("the partial signatures cannot be summed")
    return bytes(ffi.buffer(out))


def structure_bytes(structure: CData) -> bytes:
    """The bytes of an opaque structure; for the runner of published vectors only."""
    return bytes(ffi.buffer(structure))


def structure_from(kind: str, data: bytes) -> CData:
    """An opaque structure of libsecp256k1 from its bytes; for the runner of published vectors only."""
    structure = ffi.new(f"secp256k1_{kind} *")
    _length(data, ffi.sizeof(f"secp256k1_{kind}"), kind)
    ffi.memmove(structure, data, len(data))
    return structure


def wipe(structure: CData) -> None:
    """Overwrite a secret structure with zeros."""
    buffer = ffi.buffer(structure)
    buffer[:] = bytes(len(buffer))
