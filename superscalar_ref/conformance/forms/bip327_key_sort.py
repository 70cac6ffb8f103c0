"""BIP-327 ``key_sort_vectors.json``: the order of keys."""

from __future__ import annotations

from collections.abc import Iterator

from superscalar_ref.conformance.fields import Node
from superscalar_ref.conformance.forms.base import Form
from superscalar_ref.conformance.forms.bip327 import Computed, judge_value
from superscalar_ref.conformance.results import CaseResult
from superscalar_ref.signing import musig


def _run(document: Node) -> Iterator[CaseResult]:
    keys = [key.octets() for key in document["pubkeys"]]
    expected = tuple(key.octets() for key in document["sorted_pubkeys"])
    if not keys:
        document["pubkeys"].fail("is empty", "a case has keys")
    if len(keys) != len(expected):
        document["sorted_pubkeys"].fail(f"has {len(expected)} keys for {len(keys)} in 'pubkeys'")
    case = Node({}, document.file, "sorted_pubkeys")
    yield judge_value(case, expected, lambda: Computed(musig.sort_keys(keys)))


FORM = Form("BIP-327 key_sort", frozenset({"pubkeys", "sorted_pubkeys"}), _run)
