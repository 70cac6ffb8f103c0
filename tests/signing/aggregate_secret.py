"""The secret key of an aggregate key, for a test that owns every key and is about the chain, not the signing."""

from __future__ import annotations

from collections.abc import Sequence

from superscalar_ref.conformance.bip327_arithmetic import ORDER, key_coefficient
from superscalar_ref.signing.keys import SecretKey
from superscalar_ref.signing.musig import sort_keys


def aggregate_secret(keys: Sequence[SecretKey]) -> SecretKey:
    """The key that signs for ``musig.aggregate`` of these keys' public keys alone; taproot-tweak it as any key."""
    publics = sort_keys(key.public for key in keys)
    total = sum(key_coefficient(publics, key.public) * int.from_bytes(key.reveal(), "big") for key in keys)
    return SecretKey((total % ORDER).to_bytes(32, "big"))
