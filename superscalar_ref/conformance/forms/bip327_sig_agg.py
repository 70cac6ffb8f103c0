"""BIP-327 ``sig_agg_vectors.json``: the signature that partial signatures add up to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from superscalar_ref.conformance import bip327_arithmetic as arithmetic
from superscalar_ref.conformance.fields import Node
from superscalar_ref.conformance.forms.base import Form
from superscalar_ref.conformance.forms.bip327 import (
    BipError,
    Computed,
    Signing,
    invalid,
    judge_error,
    judge_value,
    nonce_agg,
    out_of_range,
    result,
    tweaks_of,
)
from superscalar_ref.conformance.results import CaseResult, Outcome
from superscalar_ref.errors import SigningError
from superscalar_ref.signing import musig
from superscalar_ref.signing.keys import verify


def _run(document: Node) -> Iterator[CaseResult]:
    message = document["msg"].octets()
    for case in document["valid_test_cases"]:
        yield _valid(document, case, message)
    for case in document["error_test_cases"]:
        yield _error(document, case, message)


def _signing(document: Node, case: Node, message: bytes) -> tuple[list[bytes], Signing]:
    keys = [key.octets() for key in case["key_indices"].picks(document["pubkeys"])]
    tweaks, x_only = tweaks_of(case, document["tweaks"])
    partials = [partial.octets() for partial in case["psig_indices"].picks(document["psigs"])]
    return partials, Signing.start(keys, tweaks, x_only, case["aggnonce"].octets(), message)


def _sum(partials: Sequence[bytes], signing: Signing) -> Computed:
    if len(partials) != len(signing.keys):
        raise out_of_range("The `psigs` and `pubkeys` arrays must have the same length.")
    if signing.library is None:
        for position, partial in enumerate(partials):
            if len(partial) != 32 or int.from_bytes(partial, "big") >= arithmetic.ORDER:
                raise invalid("psig", position)
        return Computed((arithmetic.partial_aggregate(signing.formulas, partials),), signing.instead)
    names = [str(position) for position in range(len(partials))]
    try:
        return Computed((musig.partial_aggregate(signing.library, partials, names),))
    except SigningError as error:
        if error.blame is None:
            raise out_of_range(error.problem) from error
        raise invalid("psig", int(error.blame.party)) from error


def _valid(document: Node, case: Node, message: bytes) -> CaseResult:
    public_nonces = [nonce.octets() for nonce in case["nonce_indices"].picks(document["pnonces"])]
    expected = case["expected"].octets()
    try:
        if nonce_agg(public_nonces) != case["aggnonce"].octets():
            return result(case, Outcome.MISMATCH, "'aggnonce' is not the sum of the public nonces")
        partials, signing = _signing(document, case, message)
    except BipError as error:
        return result(case, Outcome.MISMATCH, f"expected a value, refused: {error}")
    verdict = judge_value(case, (expected,), lambda: _sum(partials, signing))
    if verdict.outcome is Outcome.MISMATCH:
        return verdict
    if not verify(signing.formulas.key.format()[1:], message, expected):
        return result(case, Outcome.MISMATCH, "the signature is not valid for the aggregate key")
    return verdict


def _error(document: Node, case: Node, message: bytes) -> CaseResult:
    case["nonce_indices"].picks(document["pnonces"])

    def attempt() -> object:
        return _sum(*_signing(document, case, message))

    return judge_error(case, attempt)


FORM = Form(
    "BIP-327 sig_agg",
    frozenset({"pubkeys", "pnonces", "tweaks", "psigs", "msg", "valid_test_cases", "error_test_cases"}),
    _run,
)
