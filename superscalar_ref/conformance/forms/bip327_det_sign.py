"""BIP-327 ``det_sign_vectors.json``: deterministic signing by the last signer.

libsecp256k1 has no deterministic nonces for MuSig2, and neither has ``signing``: a nonce that can be computed again is
what D-2 forbids. So the nonce comes from the BIP's formula, and no valid case counts as passed.
"""

from __future__ import annotations

from collections.abc import Iterator

from superscalar_ref.conformance import bip327_arithmetic as arithmetic
from superscalar_ref.conformance.fields import Node
from superscalar_ref.conformance.forms.base import Form
from superscalar_ref.conformance.forms.bip327 import (
    NOT_A_SIGNER,
    SECRET_RANGE,
    BipError,
    Computed,
    Signing,
    invalid,
    judge_error,
    judge_value,
    key_agg,
    nonce_agg,
    out_of_range,
    tweaks_of,
)
from superscalar_ref.conformance.results import CaseResult
from superscalar_ref.errors import SigningError
from superscalar_ref.signing.keys import SecretKey

_NO_DETERMINISTIC = "deterministic nonces are not offered here: a nonce never comes twice (D-2)"


def _run(document: Node) -> Iterator[CaseResult]:
    for case in document["valid_test_cases"]:
        yield _valid(document, case)
    for case in document["error_test_cases"]:
        yield _error(document, case)


def _valid(document: Node, case: Node) -> CaseResult:
    expected = tuple(item.octets() for item in case["expected"])
    if len(expected) != 2:
        case["expected"].fail(f"has {len(expected)} entries, not a public nonce and a partial signature")
    return judge_value(case, expected, lambda: _sign(document, case))


def _error(document: Node, case: Node) -> CaseResult:
    return judge_error(case, lambda: _sign(document, case))


def _sign(document: Node, case: Node) -> Computed:
    secret = document["sk"].octets(32)
    keys = [key.octets() for key in case["key_indices"].picks(document["pubkeys"])]
    tweaks, x_only = tweaks_of(case, None)
    message = case["msg_index"].pick(document["msgs"]).octets()
    others, randomness = case["aggothernonce"].octets(), case["rand"].octets_or_none(32)
    case["signer_index"].at(keys)
    aggregate = key_agg(keys, tweaks, x_only)
    try:
        public = SecretKey(secret).public
    except SigningError as error:
        raise out_of_range(SECRET_RANGE) from error
    secret_nonce, public_nonce = arithmetic.deterministic_nonce(
        secret, public, others, aggregate.x_only, message, randomness
    )
    try:
        total = nonce_agg([public_nonce, others])
    except BipError as error:
        raise invalid("aggothernonce", None) from error
    if public not in keys:
        raise out_of_range(NOT_A_SIGNER)
    signing = Signing.start(keys, tweaks, x_only, total, message)
    partial = signing.partial_sign(secret, secret_nonce).value[0]
    return Computed((public_nonce, partial), _NO_DETERMINISTIC)


FORM = Form("BIP-327 det_sign", frozenset({"sk", "pubkeys", "msgs", "valid_test_cases", "error_test_cases"}), _run)
