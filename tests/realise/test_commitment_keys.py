"""Key derivation against BOLT 3's appendix, secrets against points, and nothing secret in print."""

from __future__ import annotations

import pickle
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superscalar_ref.errors import InputError, SigningError
from superscalar_ref.realise.channel import (
    ChannelPoints,
    ChannelSecrets,
    commitment_keys,
    derive_point,
    derive_secret,
    new_commitment_secret,
    revealed_by,
    revocation_point,
    revocation_secret,
)
from superscalar_ref.signing.keys import SecretKey

# BOLT 3, appendix E: the two secrets that everything there follows from.
BASE = SecretKey(bytes(range(32)))
COMMITMENT = SecretKey(bytes(reversed(range(32))))
SEED = bytes(range(16))
KEYS = st.integers(1, 2**255).map(lambda number: SecretKey(number.to_bytes(32, "big")))


def test_bolt_3_appendix_e() -> None:
    point = bytes.fromhex("025f7117a78150fe2ef97db7cfc83bd57b2e2c0d0dd25eaf467a4a1c2a45ce1486")
    assert COMMITMENT.public == point
    derived = bytes.fromhex("0235f2dbfaa89b57ec7b055afe29849ef7ddfeb1cefdb9ebdc43f5494984db29e5")
    assert derive_point(BASE.public, point) == derived
    secret = bytes.fromhex("cbced912d3b21bf196a766651e436aff192362621ce317704ea2f75d87e7be0f")
    assert derive_secret(BASE, point).reveal() == secret
    revocation = bytes.fromhex("02916e326636d19c33f13e8c0c3a03dd157f332f3e99c317c141dd865eb01f8ff0")
    assert revocation_point(BASE.public, point) == revocation
    secret = bytes.fromhex("d09ffff62ddb2297ab000cc85bcb4283fdeb6aa052affbc9dddcf33b61078110")
    assert revocation_secret(BASE, COMMITMENT).reveal() == secret


@given(KEYS, KEYS)
def test_secrets_fit_their_points(base: SecretKey, commitment: SecretKey) -> None:
    assert derive_secret(base, commitment.public).public == derive_point(base.public, commitment.public)
    assert revocation_secret(base, commitment).public == revocation_point(base.public, commitment.public)


def test_a_revocation_is_checked() -> None:
    secret = new_commitment_secret()
    assert revealed_by(secret.reveal(), secret.public)
    for wrong in (b"", bytes(32), b"\xff" * 32, secret.reveal()[1:], COMMITMENT.reveal()):
        assert not revealed_by(wrong, secret.public)
    # A secret with a leading zero is not 31 bytes.
    small = SecretKey(b"\0" + b"\7" * 31)
    assert revealed_by(small.reveal(), small.public)
    assert not revealed_by(small.reveal()[1:], small.public)
    # The negated secret has the same x-only key.
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    negated = (order - int.from_bytes(secret.reveal(), "big")).to_bytes(32, "big")
    assert not revealed_by(negated, secret.public)


def test_secrets_of_a_channel_are_repeatable_and_apart() -> None:
    one, same = ChannelSecrets.from_seed(SEED, "1"), ChannelSecrets.from_seed(SEED, "1")
    assert one == same
    others = [ChannelSecrets.from_seed(SEED, "2"), ChannelSecrets.from_seed(SEED + b"\0", "1")]
    keys = [getattr(secrets, field.name).public for secrets in (one, *others) for field in fields(secrets)]
    assert len(set(keys)) == len(keys) == 12
    assert [getattr(one.points, field.name) for field in fields(one)] == keys[:4]


def test_secrets_do_not_print_or_pickle() -> None:
    secrets = ChannelSecrets.from_seed(SEED, "1")
    for field in fields(secrets):
        assert getattr(secrets, field.name).reveal().hex() not in repr(secrets) + str(secrets)
    with pytest.raises(SigningError, match="does not pickle"):
        pickle.dumps(secrets)


@pytest.mark.parametrize("seed", [b"", bytes(15), bytes(65)])
def test_a_seed_of_another_length_is_refused(seed: bytes) -> None:
    with pytest.raises(InputError, match=f"channel seed: {len(seed)} bytes"):
        ChannelSecrets.from_seed(seed, "1")
    with pytest.raises(InputError, match="channel name"):
        ChannelSecrets.from_seed(SEED, "")


def test_what_is_not_a_point_is_named() -> None:
    good = ChannelSecrets.from_seed(SEED, "1").points
    values = [getattr(good, field.name) for field in fields(good)]
    for number, field in enumerate(fields(good)):
        broken = [*values[:number], b"\x02" + b"\xff" * 32, *values[number + 1 :]]
        with pytest.raises(InputError, match=field.name):
            ChannelPoints(*broken)
    with pytest.raises(InputError, match="per-commitment point"):
        commitment_keys(good, good, bytes(33))
    with pytest.raises(InputError, match="per-commitment point"):
        derive_secret(BASE, bytes(33))
    with pytest.raises(InputError, match="revocation basepoint"):
        revocation_point(bytes(33), COMMITMENT.public)


def test_whose_keys_a_commitment_takes() -> None:
    holder, other = ChannelSecrets.from_seed(SEED, "1").points, ChannelSecrets.from_seed(SEED, "2").points
    keys = commitment_keys(holder, other, COMMITMENT.public)
    assert keys.holder_delayed == derive_point(holder.delayed_payment_basepoint, COMMITMENT.public)
    assert keys.holder_htlc == derive_point(holder.htlc_basepoint, COMMITMENT.public)
    assert keys.other_htlc == derive_point(other.htlc_basepoint, COMMITMENT.public)
    assert keys.other_payment == other.payment_basepoint
    assert keys.revocation == revocation_point(other.revocation_basepoint, COMMITMENT.public)
