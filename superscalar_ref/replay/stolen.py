"""What a reused nonce gives away: a signer's secret key, from its partial signatures (BIP-327).

A partial signature is ``s = ±(k₁ + b·k₂) + c·d`` modulo the group's order: ``k₁, k₂`` are the two halves of the secret
nonce, ``d`` is the secret key, and everybody can compute ``b`` and ``c``. Two with one nonce leave one unknown too
many; three give the key.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from superscalar_ref.bitcoin.taproot import tap_tweak
from superscalar_ref.conformance import bip327_arithmetic as bip327
from superscalar_ref.errors import SigningError
from superscalar_ref.signing.musig import aggregate_in_order

_ODD = 3
"""First byte of a compressed point whose y is odd."""


@dataclass(frozen=True)
class Equation:
    """``first·k₁ + second·k₂ + key·d = partial``, modulo the group's order."""

    first: int
    second: int
    key: int
    partial: int

    @classmethod
    def of(
        cls, public_keys: Sequence[bytes], public: bytes, aggregate_nonce: bytes, message: bytes, partial: bytes
    ) -> Equation:
        """The equation of one partial signature, from what everybody has seen.

        ``public`` is the signer's 33-byte key among ``public_keys``, whose aggregate has BIP-86's tweak;
        ``aggregate_nonce`` is 66 bytes, ``message`` and ``partial`` are 32.
        """
        tweak = tap_tweak(aggregate_in_order(tuple(public_keys)).x_only, None)
        session = bip327.start(public_keys, [(tweak, True)], aggregate_nonce, message)
        flip = -1 if session.nonce.format()[0] == _ODD else 1
        sign = -session.sign if session.key.format()[0] == _ODD else session.sign
        factor = session.challenge * bip327.key_coefficient(public_keys, public) * sign
        return cls(
            flip % bip327.ORDER,
            flip * session.coefficient % bip327.ORDER,
            factor % bip327.ORDER,
            int.from_bytes(partial, "big"),
        )


def solve(equations: Sequence[Equation]) -> bytes:
    """The 32 bytes of the secret key that three equations with one nonce determine (Cramer's rule).

    Raises ``SigningError`` when they do not determine it, as when two of them are the same.
    """
    if len(equations) != 3:
        raise SigningError(f"{len(equations)} equations do not determine three unknowns")
    rows = [(e.first, e.second, e.key) for e in equations]
    whole = _determinant(rows)
    if whole == 0:
        raise SigningError("the equations are not independent")
    replaced = [(e.first, e.second, e.partial) for e in equations]
    secret = _determinant(replaced) * pow(whole, -1, bip327.ORDER) % bip327.ORDER
    return secret.to_bytes(32, "big")


def _determinant(rows: Sequence[tuple[int, int, int]]) -> int:
    (a, b, c), (d, e, f), (g, h, i) = rows
    return (a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)) % bip327.ORDER
