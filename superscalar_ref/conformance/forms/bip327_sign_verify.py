"""BIP-327 ``sign_verify_vectors.json``: partial signatures with fixed secret nonces, made and verified."""

from __future__ import annotations

from collections.abc import Iterator

from superscalar_ref.conformance.fields import Node
from superscalar_ref.conformance.forms.base import Form
from superscalar_ref.conformance.forms.bip327 import (
    BipError,
    Signing,
    judge_error,
    nonce_agg,
    result,
)
from superscalar_ref.conformance.forms.bip327_signing import judge_signature
from superscalar_ref.conformance.results import CaseResult, Outcome


def _run(document: Node) -> Iterator[CaseResult]:
    secret = document["sk"].octets(32)
    for case in document["valid_test_cases"]:
        yield _valid(document, case, secret)
    for case in document["sign_error_test_cases"]:
        yield _sign_error(document, case, secret)
    for case in document["verify_fail_test_cases"]:
        yield _verify_fail(document, case)
    for case in document["verify_error_test_cases"]:
        yield _verify_error(document, case)


def _message(document: Node, case: Node) -> bytes:
    return case["msg_index"].pick(document["msgs"]).octets()


def _keys(document: Node, case: Node) -> list[bytes]:
    return [key.octets() for key in case["key_indices"].picks(document["pubkeys"])]


def _nonces(document: Node, case: Node) -> list[bytes]:
    return [nonce.octets() for nonce in case["nonce_indices"].picks(document["pnonces"])]


def _valid(document: Node, case: Node, secret: bytes) -> CaseResult:
    # The BIP's file has no index here: valid cases use the first secret nonce.
    nonces_table = document["secnonces"]
    secret_nonces = list(nonces_table)
    if not secret_nonces:
        nonces_table.fail("is empty")
    return judge_signature(
        case,
        keys=_keys(document, case),
        tweaks=[],
        x_only=[],
        public_nonces=_nonces(document, case),
        aggregate_nonce=case["aggnonce_index"].pick(document["aggnonces"]).octets(),
        message=_message(document, case),
        secret=secret,
        secret_nonce=secret_nonces[0].octets(97),
    )


def _sign_error(document: Node, case: Node, secret: bytes) -> CaseResult:
    keys = _keys(document, case)
    aggregate_nonce = case["aggnonce_index"].pick(document["aggnonces"]).octets()
    message = _message(document, case)
    secret_nonce = case["secnonce_index"].pick(document["secnonces"]).octets(97)
    return judge_error(
        case,
        lambda: Signing.start(keys, [], [], aggregate_nonce, message).partial_sign(secret, secret_nonce),
    )


def _verify_fail(document: Node, case: Node) -> CaseResult:
    keys, public_nonces, message = _keys(document, case), _nonces(document, case), _message(document, case)
    if len(keys) != len(public_nonces):
        case["nonce_indices"].fail(f"has {len(public_nonces)} entries for {len(keys)} keys")
    partial = case["sig"].octets()
    signer = case["signer_index"].at(keys)
    try:
        signing = Signing.start(keys, [], [], nonce_agg(public_nonces), message)
    except BipError as error:
        return result(case, Outcome.MISMATCH, f"expected an invalid signature, refused: {error}")
    if signing.partial_verify(keys[signer], public_nonces[signer], partial):
        return result(case, Outcome.MISMATCH, "expected an invalid signature, but it is valid")
    return result(case, Outcome.NOT_REPRODUCIBLE if signing.instead else Outcome.OK, signing.instead)


def _verify_error(document: Node, case: Node) -> CaseResult:
    keys, public_nonces, message = _keys(document, case), _nonces(document, case), _message(document, case)
    if len(keys) != len(public_nonces):
        case["nonce_indices"].fail(f"has {len(public_nonces)} entries for {len(keys)} keys")
    case["sig"].octets()
    case["signer_index"].at(keys)
    return judge_error(case, lambda: Signing.start(keys, [], [], nonce_agg(public_nonces), message))


FORM = Form(
    "BIP-327 sign_verify",
    frozenset(
        {
            "sk",
            "pubkeys",
            "secnonces",
            "pnonces",
            "aggnonces",
            "msgs",
            "valid_test_cases",
            "sign_error_test_cases",
            "verify_fail_test_cases",
            "verify_error_test_cases",
        }
    ),
    _run,
)
