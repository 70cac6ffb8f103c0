"""BIP-327 ``key_agg_vectors.json``: key aggregation, and its errors."""

from __future__ import annotations

from collections.abc import Iterator

from superscalar_ref.conformance.fields import Node
from superscalar_ref.conformance.forms.base import Form
from superscalar_ref.conformance.forms.bip327 import Computed, judge_error, judge_value, key_agg, tweaks_of
from superscalar_ref.conformance.results import CaseResult


def _run(document: Node) -> Iterator[CaseResult]:
    for case in document["valid_test_cases"]:
        yield _valid(document, case)
    for case in document["error_test_cases"]:
        yield _error(document, case)


def _valid(document: Node, case: Node) -> CaseResult:
    keys = [key.octets() for key in case["key_indices"].picks(document["pubkeys"])]
    return judge_value(case, (case["expected"].octets(),), lambda: Computed((key_agg(keys).x_only,)))


def _error(document: Node, case: Node) -> CaseResult:
    keys = [key.octets() for key in case["key_indices"].picks(document["pubkeys"])]
    tweaks, x_only = tweaks_of(case, document["tweaks"])
    return judge_error(case, lambda: key_agg(keys, tweaks, x_only))


FORM = Form("BIP-327 key_agg", frozenset({"pubkeys", "tweaks", "valid_test_cases", "error_test_cases"}), _run)
