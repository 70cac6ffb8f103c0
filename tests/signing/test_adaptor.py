"""Adaptor signatures: worthless without the secret, valid with it, and then they give it away."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superscalar_ref.errors import InputError, SigningError
from superscalar_ref.signing.adaptor import PreSignature, complete, completes, extract, pre_sign, pre_verify
from superscalar_ref.signing.keys import SecretKey, verify
from superscalar_ref.signing.nonces import SeededRandomness


def key(label: str) -> SecretKey:
    return SecretKey(hashlib.sha256(label.encode()).digest())


MESSAGE = hashlib.sha256(b"claim").digest()
SIGNER, TARGET = key("signer"), key("target")


@settings(max_examples=25)
@given(st.integers(0, 1 << 30), st.binary(min_size=32, max_size=32))
def test_complete_and_extract_are_inverse(number: int, message: bytes) -> None:
    signer, target = key(f"signer {number}"), key(f"target {number}")
    pre = pre_sign(signer, message, target.public)
    assert pre_verify(signer.x_only, message, target.public, pre)
    signature = complete(pre, target)
    assert verify(signer.x_only, message, signature)
    assert extract(pre, signature, target.public) == target


def test_without_the_secret_it_is_no_signature() -> None:
    pre = pre_sign(SIGNER, MESSAGE, TARGET.public)
    assert not verify(SIGNER.x_only, MESSAGE, pre.nonce + pre.scalar)
    assert not completes(SIGNER.x_only, MESSAGE, pre, key("another"))
    assert completes(SIGNER.x_only, MESSAGE, pre, TARGET)


def test_a_pre_signature_is_for_one_key_one_message_and_one_point() -> None:
    pre = pre_sign(SIGNER, MESSAGE, TARGET.public)
    other = key("other")
    wrong = [
        (other.x_only, MESSAGE, TARGET.public, pre),
        (SIGNER.x_only, bytes(32), TARGET.public, pre),
        (SIGNER.x_only, MESSAGE, other.public, pre),
        (SIGNER.x_only, MESSAGE, bytes([TARGET.public[0] ^ 1]) + TARGET.public[1:], pre),
        (SIGNER.x_only, MESSAGE, TARGET.public, replace(pre, scalar=bytes(31) + b"\x01")),
        (SIGNER.x_only, MESSAGE, TARGET.public, replace(pre, scalar=bytes(32))),
        (SIGNER.x_only, MESSAGE, TARGET.public, replace(pre, nonce=b"\xff" * 32)),
        (b"\xff" * 32, MESSAGE, TARGET.public, pre),
        (SIGNER.x_only, MESSAGE, b"\x02" * 5, pre),
    ]
    assert pre_verify(SIGNER.x_only, MESSAGE, TARGET.public, pre)
    assert not any(pre_verify(*one) for one in wrong)


def test_a_nonce_does_not_repeat_for_another_message_or_point() -> None:
    one = pre_sign(SIGNER, MESSAGE, TARGET.public, SeededRandomness("same"))
    again = pre_sign(SIGNER, MESSAGE, TARGET.public, SeededRandomness("same"))
    message = pre_sign(SIGNER, bytes(32), TARGET.public, SeededRandomness("same"))
    point = pre_sign(SIGNER, MESSAGE, key("other").public, SeededRandomness("same"))
    assert one == again
    assert len({one.nonce, message.nonce, point.nonce}) == 3


def test_what_cannot_be_is_refused() -> None:
    pre = pre_sign(SIGNER, MESSAGE, TARGET.public)
    signature = complete(pre, TARGET)
    with pytest.raises(SigningError, match="32 bytes"):
        pre_sign(SIGNER, b"short", TARGET.public)
    with pytest.raises(InputError, match="adaptor point"):
        pre_sign(SIGNER, MESSAGE, b"\x02" + b"\xff" * 32)
    with pytest.raises(SigningError, match="was not made from this"):
        extract(PreSignature(bytes(32), pre.scalar), signature, TARGET.public)
    with pytest.raises(SigningError, match="was not made from this"):
        extract(pre, signature[:63], TARGET.public)
    with pytest.raises(SigningError, match="secret of this point"):
        extract(pre, signature, key("other").public)
