"""BIP-327 ``tweak_vectors.json``: partial signatures under a tweaked aggregate key."""

from __future__ import annotations

from collections.abc import Iterator

from superscalar_ref.conformance.fields import Node
from superscalar_ref.conformance.forms.base import Form
from superscalar_ref.conformance.forms.bip327 import Signing, judge_error, tweaks_of
from superscalar_ref.conformance.forms.bip327_signing import judge_signature
from superscalar_ref.conformance.results import CaseResult


def _run(document: Node) -> Iterator[CaseResult]:
    for case in document["valid_test_cases"]:
        yield _valid(document, case)
    for case in document["error_test_cases"]:
        yield _error(document, case)


def _keys(document: Node, case: Node) -> list[bytes]:
    return [key.octets() for key in case["key_indices"].picks(document["pubkeys"])]


def _valid(document: Node, case: Node) -> CaseResult:
    tweaks, x_only = tweaks_of(case, document["tweaks"])
    return judge_signature(
        case,
        keys=_keys(document, case),
        tweaks=tweaks,
        x_only=x_only,
        public_nonces=[nonce.octets() for nonce in case["nonce_indices"].picks(document["pnonces"])],
        aggregate_nonce=document["aggnonce"].octets(),
        message=document["msg"].octets(),
        secret=document["sk"].octets(32),
        secret_nonce=document["secnonce"].octets(97),
    )


def _error(document: Node, case: Node) -> CaseResult:
    keys = _keys(document, case)
    tweaks, x_only = tweaks_of(case, document["tweaks"])
    aggregate_nonce, message = document["aggnonce"].octets(), document["msg"].octets()
    secret, secret_nonce = document["sk"].octets(32), document["secnonce"].octets(97)
    case["signer_index"].at(keys)

    def attempt() -> object:
        return Signing.start(keys, tweaks, x_only, aggregate_nonce, message).partial_sign(secret, secret_nonce)

    return judge_error(case, attempt)


FORM = Form(
    "BIP-327 tweak",
    frozenset(
        {
            "sk",
            "pubkeys",
            "secnonce",
            "pnonces",
            "aggnonce",
            "tweaks",
            "msg",
            "valid_test_cases",
            "error_test_cases",
        }
    ),
    _run,
)
