"""BIP-327 ``nonce_gen_vectors.json``: nonces from given randomness.

libsecp256k1 takes a message or an extra input of exactly 32 bytes, or none; and the aggregate key only as a point on
the curve.
"""

from __future__ import annotations

from collections.abc import Iterator

from superscalar_ref.conformance import bip327_arithmetic as arithmetic
from superscalar_ref.conformance import libsecp_layout
from superscalar_ref.conformance.fields import Node
from superscalar_ref.conformance.forms.base import Form
from superscalar_ref.conformance.forms.bip327 import (
    ONLY_32,
    SECRET_RANGE,
    Computed,
    invalid,
    judge_value,
    out_of_range,
)
from superscalar_ref.conformance.results import CaseResult
from superscalar_ref.signing import _libsecp


def _run(document: Node) -> Iterator[CaseResult]:
    for case in document["test_cases"]:
        yield _case(case)


def _case(case: Node) -> CaseResult:
    expected = (case["expected_secnonce"].octets(), case["expected_pubnonce"].octets())
    randomness = case["rand_"].octets(32)
    secret = case["sk"].octets_or_none(32)
    public = case["pk"].octets()
    aggregate = case["aggpk"].octets_or_none(32)
    message = case["msg"].octets_or_none()
    extra = case["extra_in"].octets_or_none()

    def compute() -> Computed:
        point = _libsecp.parse_point(public)
        if point is None:
            raise invalid("pubkey", None)
        if secret is not None and not _libsecp.is_secret_key(secret):
            raise out_of_range(SECRET_RANGE)
        why = _why_not(randomness, aggregate, message, extra)
        if why:
            return Computed(arithmetic.nonce_gen(randomness, secret, public, aggregate, message, extra), why)
        cache = None if aggregate is None else libsecp_layout.key_cache(aggregate)
        structure, nonce = _libsecp.nonce_gen(randomness, point, secret, message, cache, extra)
        return Computed((libsecp_layout.secret_nonce_bytes(structure, public), nonce))

    return judge_value(case, expected, compute)


def _why_not(randomness: bytes, aggregate: bytes | None, message: bytes | None, extra: bytes | None) -> str:
    """Why the library cannot make this nonce; empty when it can."""
    if not libsecp_layout.layout_holds():
        return "this libsecp256k1 lays a secret nonce out otherwise"
    if message is not None and len(message) != 32:
        return f"{ONLY_32}, this one has {len(message)}"
    if extra is not None and len(extra) != 32:
        return f"libsecp256k1 takes 32 bytes of extra input, this case has {len(extra)}"
    if aggregate is not None and libsecp_layout.key_cache(aggregate) is None:
        return "libsecp256k1 takes only an aggregate key that is on the curve"
    if randomness == bytes(32):
        return "libsecp256k1 refuses randomness that is all zeros"
    return ""


FORM = Form(
    "BIP-327 nonce_gen",
    frozenset({"test_cases"}),
    _run,
    case_keys=frozenset({"rand_", "expected_secnonce", "expected_pubnonce"}),
)
