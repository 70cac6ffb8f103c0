"""BIP-327 ``nonce_agg_vectors.json``: the sum of public nonces, and its errors."""

from __future__ import annotations

from collections.abc import Iterator

from superscalar_ref.conformance.fields import Node
from superscalar_ref.conformance.forms.base import Form
from superscalar_ref.conformance.forms.bip327 import Computed, judge_error, judge_value, nonce_agg
from superscalar_ref.conformance.results import CaseResult


def _run(document: Node) -> Iterator[CaseResult]:
    for case in document["valid_test_cases"]:
        yield _valid(document, case)
    for case in document["error_test_cases"]:
        yield _error(document, case)


def _valid(document: Node, case: Node) -> CaseResult:
    public_nonces = _nonces(document, case)
    expected = case["expected"].octets()
    return judge_value(case, (expected,), lambda: Computed((nonce_agg(public_nonces),)))


def _error(document: Node, case: Node) -> CaseResult:
    public_nonces = _nonces(document, case)
    return judge_error(case, lambda: nonce_agg(public_nonces))


def _nonces(document: Node, case: Node) -> list[bytes]:
    return [nonce.octets() for nonce in case["pnonce_indices"].picks(document["pnonces"])]


FORM = Form("BIP-327 nonce_agg", frozenset({"pnonces", "valid_test_cases", "error_test_cases"}), _run)
