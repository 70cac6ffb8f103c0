"""How a valid signing case is judged: the signature, the nonces that led to it, and its verification."""

from __future__ import annotations

from collections.abc import Sequence

from superscalar_ref.conformance.fields import Node
from superscalar_ref.conformance.forms.bip327 import (
    BipError,
    Computed,
    Signing,
    judge_value,
    nonce_agg,
    result,
)
from superscalar_ref.conformance.results import CaseResult, Outcome


def judge_signature(
    case: Node,
    keys: Sequence[bytes],
    tweaks: Sequence[bytes],
    x_only: Sequence[bool],
    public_nonces: Sequence[bytes],
    aggregate_nonce: bytes,
    message: bytes,
    secret: bytes,
    secret_nonce: bytes,
) -> CaseResult:
    """Sign, compare with ``expected``, and verify what is expected for the signer at ``signer_index``."""
    expected = case["expected"].octets()
    if len(keys) != len(public_nonces):
        case["nonce_indices"].fail(f"has {len(public_nonces)} entries for {len(keys)} keys")
    signer = case["signer_index"].at(keys)
    try:
        total = nonce_agg(public_nonces)
    except BipError as error:
        return result(case, Outcome.MISMATCH, f"expected a value, refused: {error}")
    if total != aggregate_nonce:
        return result(case, Outcome.MISMATCH, "the aggregate nonce is not the sum of the public nonces")

    def compute() -> Computed:
        signing = Signing.start(keys, tweaks, x_only, aggregate_nonce, message)
        return signing.partial_sign(secret, secret_nonce)

    verdict = judge_value(case, (expected,), compute)
    if verdict.outcome is not Outcome.MISMATCH:
        signing = Signing.start(keys, tweaks, x_only, aggregate_nonce, message)
        if not signing.partial_verify(keys[signer], public_nonces[signer], expected):
            return result(case, Outcome.MISMATCH, f"the signature is not one of signer {signer}")
    return verdict
