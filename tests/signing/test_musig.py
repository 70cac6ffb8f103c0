from __future__ import annotations

import copy
import pickle
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superscalar_ref.bitcoin import taproot
from superscalar_ref.bitcoin.script import P2A
from superscalar_ref.bitcoin.sighash import taproot_sighash
from superscalar_ref.bitcoin.transaction import TxInput, TxOutput, build, with_witness
from superscalar_ref.errors import SigningError
from superscalar_ref.signing import _libsecp, musig, nonces
from superscalar_ref.signing.keys import SecretKey, factory_key, verify
from superscalar_ref.signing.nonces import SeededRandomness
from tests.bitcoin.core import core_accepts
from tests.signing.aggregate_secret import aggregate_secret

MESSAGE = b"\x42" * 32


def _keys(count: int) -> list[SecretKey]:
    return [factory_key(b"seed of a test" + index.to_bytes(2, "big"), 0) for index in range(count)]


def _contributions(
    keys: list[SecretKey], key: musig.AggregateKey, message: bytes = MESSAGE
) -> tuple[musig.Session, list[musig.Contribution]]:
    made = [nonces.generate(one, key, message) for one in keys]
    session = musig.Session.start(key, nonces.aggregate_nonces([public for _, public in made]), message)
    contributions = [
        musig.Contribution(f"client {i}", one.public, public, musig.partial_sign(session, one, secret))
        for i, (one, (secret, public)) in enumerate(zip(keys, made, strict=True))
    ]
    return session, contributions


@pytest.mark.parametrize("count", [1, 2, 3, 128])
@pytest.mark.parametrize("root", [None, b"\x11" * 32])
def test_a_whole_session(count: int, root: bytes | None) -> None:
    keys = _keys(count)
    internal = musig.aggregate(key.public for key in keys)
    key = internal.taproot(root)
    assert key.x_only == taproot.output_key(internal.x_only, root).x_only
    session, contributions = _contributions(keys, key)
    signature = musig.finish(session, contributions)
    assert verify(key.x_only, MESSAGE, signature)
    assert not verify(internal.x_only, MESSAGE, signature)
    for one in contributions[:3]:
        assert musig.partial_verify(session, one.public_key, one.public_nonce, one.partial)


def test_core_accepts_a_musig_spend_and_refuses_all_but_one() -> None:
    keys = _keys(5)
    internal = musig.aggregate(key.public for key in keys)
    spent = [TxOutput(100_000, taproot.p2tr_from_internal(internal.x_only))]
    unsigned = build(3, [TxInput("77" * 32, 0)], [TxOutput(99_000, P2A)])
    message = taproot_sighash(unsigned, 0, spent)
    session, contributions = _contributions(keys, internal.taproot(), message)
    signature = musig.finish(session, contributions)
    assert core_accepts(with_witness(unsigned, 0, [signature]), 0, spent)
    short = musig.partial_aggregate(session, [one.partial for one in contributions[:-1]])
    assert not core_accepts(with_witness(unsigned, 0, [short]), 0, spent)
    fewer = musig.aggregate(key.public for key in keys[:-1]).taproot()
    other = musig.finish(*_contributions(keys[:-1], fewer, message))
    assert not core_accepts(with_witness(unsigned, 0, [other]), 0, spent)


def test_the_aggregate_secret_signs_like_the_session() -> None:
    keys = _keys(7)
    internal = musig.aggregate(key.public for key in keys)
    secret = aggregate_secret(keys)
    assert secret.x_only == internal.x_only
    assert verify(internal.taproot().x_only, MESSAGE, secret.sign_taproot(MESSAGE))


def test_the_order_of_keys_does_not_matter_and_aggregation_is_kept() -> None:
    publics = [key.public for key in _keys(6)]
    assert musig.aggregate(publics) is musig.aggregate(publics[::-1])
    assert musig.aggregate(publics).taproot() is musig.aggregate(publics).taproot()
    assert musig.aggregate_in_order(tuple(publics)).plain != musig.aggregate_in_order(tuple(publics[::-1])).plain


@settings(deadline=None, max_examples=15)
@given(count=st.integers(2, 6), data=st.data())
def test_a_wrong_partial_signature_is_blamed(count: int, data: st.DataObject) -> None:
    keys = _keys(count)
    key = musig.aggregate(one.public for one in keys).taproot()
    session, contributions = _contributions(keys, key)
    culprit = data.draw(st.integers(0, count - 1))
    spoilt = list(contributions)
    wrong = data.draw(
        st.sampled_from([bytes(32), b"\xff" * 32, contributions[(culprit + 1) % count].partial, b"", bytes(31)])
    )
    spoilt[culprit] = replace(spoilt[culprit], partial=wrong)
    with pytest.raises(SigningError, match="partial signature") as caught:
        musig.finish(session, spoilt)
    assert caught.value.blame is not None
    assert caught.value.blame.party == f"client {culprit}"
    assert caught.value.blame.certain


def test_contributions_must_be_those_of_the_signers() -> None:
    keys = _keys(3)
    session, contributions = _contributions(keys, musig.aggregate(one.public for one in keys))
    for wrong in (contributions[:2], [*contributions, contributions[0]], [contributions[0]] * 3):
        with pytest.raises(SigningError, match="contributions"):
            musig.finish(session, wrong)


def test_an_aggregate_nonce_of_other_nonces() -> None:
    keys = _keys(2)
    key = musig.aggregate(one.public for one in keys)
    session, contributions = _contributions(keys, key)
    _, foreign = nonces.generate(keys[0])
    changed = [replace(contributions[0], public_nonce=foreign), contributions[1]]
    assert verify(key.x_only, MESSAGE, musig.finish(session, contributions))
    assert not musig.partial_verify(session, keys[0].public, foreign, contributions[0].partial)
    assert verify(key.x_only, MESSAGE, musig.finish(session, changed))


def test_a_session_whose_nonce_is_not_the_sum_blames_nobody() -> None:
    keys = _keys(2)
    key = musig.aggregate(one.public for one in keys)
    made = [nonces.generate(one) for one in keys]
    _, foreign = nonces.generate(keys[0])
    session = musig.Session.start(key, nonces.aggregate_nonces([made[0][1], foreign]), MESSAGE)
    contributions = [
        musig.Contribution("any", one.public, public, musig.partial_sign(session, one, secret))
        for one, (secret, public) in zip(keys, made, strict=True)
    ]
    with pytest.raises(SigningError, match="not the sum") as caught:
        musig.finish(session, contributions)
    assert caught.value.blame is None


def test_a_nonce_signs_once() -> None:
    keys = _keys(2)
    key = musig.aggregate(one.public for one in keys)
    secret, public = nonces.generate(keys[0], key, MESSAGE)
    _, other = nonces.generate(keys[1], key, MESSAGE)
    session = musig.Session.start(key, nonces.aggregate_nonces([public, other]), MESSAGE)
    assert not secret.spent
    musig.partial_sign(session, keys[0], secret)
    assert secret.spent
    for message in (MESSAGE, b"\x43" * 32):
        again = musig.Session.start(key, nonces.aggregate_nonces([public, other]), message)
        with pytest.raises(SigningError, match="never signs twice"):
            musig.partial_sign(again, keys[0], secret)


def test_a_failed_signature_destroys_the_nonce_too() -> None:
    keys = _keys(3)
    key = musig.aggregate(one.public for one in keys[:2])
    secret, public = nonces.generate(keys[0], key, MESSAGE)
    session = musig.Session.start(key, nonces.aggregate_nonces([public, public]), MESSAGE)
    with pytest.raises(SigningError, match="another key"):
        musig.partial_sign(session, keys[1], secret)
    assert secret.spent
    outsider, _ = nonces.generate(keys[2])
    with pytest.raises(SigningError, match="not among the keys"):
        musig.partial_sign(session, keys[2], outsider)
    assert outsider.spent


def test_a_nonce_cannot_be_kept_or_shown() -> None:
    key = _keys(1)[0]
    secret, _ = nonces.generate(key)
    for leak in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(SigningError, match="never stored"):
            leak(secret)
    assert repr(secret) == "SecretNonce(unused)"
    secret.destroy()
    secret.destroy()
    assert repr(secret) == "SecretNonce(spent)"
    with pytest.raises(SigningError, match="never signs twice"):
        secret.take()


def test_destroying_overwrites() -> None:
    from superscalar_ref.signing import _libsecp

    key = _keys(1)[0]
    secret, _ = nonces.generate(key)
    structure = secret._structure
    assert any(_libsecp.structure_bytes(structure))
    secret.destroy()
    assert not any(_libsecp.structure_bytes(structure))


def test_randomness_is_an_argument() -> None:
    key = _keys(1)[0]
    assert nonces.generate(key)[1] != nonces.generate(key)[1]
    one, two = nonces.SeededRandomness("a"), nonces.SeededRandomness("a")
    first = nonces.generate(key, None, MESSAGE, one)[1]
    assert first == nonces.generate(key, None, MESSAGE, two)[1]
    assert first != nonces.generate(key, None, MESSAGE, one)[1]
    assert first != nonces.generate(key, None, MESSAGE, nonces.SeededRandomness("b"))[1]
    assert len(nonces.SeededRandomness("a")(100)) == 100
    for bad in (bytes, lambda size: b"\x01"):
        with pytest.raises(SigningError, match="randomness"):
            nonces.generate(key, None, MESSAGE, bad)


def test_bad_nonces_and_keys_are_refused() -> None:
    keys = _keys(2)
    _, public = nonces.generate(keys[0])
    for bad in (b"", public[:-1], bytes(66), b"\x04" + public[1:], public[:33] + b"\x02" + b"\xff" * 32):
        with pytest.raises(SigningError) as caught:
            nonces.aggregate_nonces([public, bad], ["A", "B"])
        assert caught.value.blame is not None
        assert caught.value.blame.party == "B"
    with pytest.raises(SigningError, match="no public nonce"):
        nonces.aggregate_nonces([])
    with pytest.raises(SigningError, match="no key"):
        musig.aggregate([])
    with pytest.raises(SigningError, match="not a point"):
        musig.aggregate([keys[0].public, b"\x02" + b"\xff" * 32])
    key = musig.aggregate(one.public for one in keys)
    for nonce in (b"", b"\x04" + public[1:]):
        with pytest.raises(SigningError, match="aggregate nonce"):
            musig.Session.start(key, nonce, MESSAGE)
    for message in (b"", b"\x01" * 31, b"\x01" * 33):
        with pytest.raises(SigningError, match="message"):
            musig.Session.start(key, public, message)
        with pytest.raises(SigningError, match="message"):
            nonces.generate(keys[0], key, message)


def test_bad_tweaks_are_refused() -> None:
    key = musig.aggregate(one.public for one in _keys(2))
    for tweak in (b"\xff" * 32, b"\x01" * 31):
        with pytest.raises(SigningError, match="tweak"):
            key.tweak(tweak, x_only=True)
    session = musig.Session.start(key, nonces.aggregate_nonces([nonces.generate(_keys(1)[0])[1]]), MESSAGE)
    stranger = SecretKey(b"\x09" * 32)
    with pytest.raises(SigningError, match="not among the keys"):
        musig.partial_verify(session, stranger.public, bytes(66), bytes(32))
    with pytest.raises(SigningError, match="not two points"):
        musig.partial_verify(session, key.public_keys[0], bytes(66), bytes(32))
    with pytest.raises(SigningError, match="no partial signature"):
        musig.partial_aggregate(session, [])
    for names, blamed in (((), "signer 1"), (("A", "B"), "B")):
        with pytest.raises(SigningError, match="below the group order") as caught:
            musig.partial_aggregate(session, [bytes(31) + b"\x01", b"\xff" * 32], names)
        assert caught.value.blame is not None
        assert caught.value.blame.party == blamed


def test_an_argument_that_the_library_calls_illegal_is_an_error_and_not_the_end_of_the_process() -> None:
    from superscalar_ref.signing import _libsecp

    key = _keys(1)[0]
    aggregate = musig.aggregate([key.public])
    secret, public = nonces.generate(key)
    session = musig.Session.start(aggregate, nonces.aggregate_nonces([public]), MESSAGE)
    structure = secret.take()
    _libsecp.wipe(structure)
    with pytest.raises(SigningError, match="refuses"):
        _libsecp.partial_sign(structure, _libsecp.keypair(key.reveal()), aggregate.cache, session.structure)
    assert verify(key.x_only, MESSAGE, key.sign(MESSAGE))


def test_signers_in_one_process_sign_as_those_who_exchange_bytes() -> None:
    keys = [SecretKey(bytes([number]) * 32) for number in (1, 2, 3)]
    for key in (musig.aggregate(k.public for k in keys), musig.aggregate(k.public for k in keys).taproot()):
        one, other = (
            musig.sign_together(key, MESSAGE, signers, SeededRandomness("seed")) for signers in (keys, tuple(keys))
        )
        assert one == other != musig.sign_together(key, MESSAGE, keys)
        assert verify(key.x_only, MESSAGE, one)
        source = SeededRandomness("seed")
        made = [nonces.generate(k, key, MESSAGE, source) for k in keys]
        session = musig.Session.start(key, nonces.aggregate_nonces([public for _, public in made]), MESSAGE)
        partials = [musig.partial_sign(session, k, secret) for k, (secret, _) in zip(keys, made, strict=True)]
        assert musig.partial_aggregate(session, partials) == one


def test_signers_in_one_process_must_be_those_of_the_key() -> None:
    keys = [SecretKey(bytes([number]) * 32) for number in (1, 2, 3)]
    key = musig.aggregate(k.public for k in keys)
    for signers in ([], keys[:2], [*keys, keys[0]], [*keys[:2], keys[1]]):
        with pytest.raises(SigningError, match="not those of the 3 signers"):
            musig.sign_together(key, MESSAGE, signers)
    with pytest.raises(SigningError, match="message has 31 bytes"):
        musig.sign_together(key, MESSAGE[:31], keys)


def test_no_secret_nonce_outlives_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [SecretKey(bytes([number]) * 32) for number in (1, 2, 3)]
    made: list[Any] = []
    original = _libsecp.nonce_pair

    def watched(*arguments: Any) -> Any:
        made.append(original(*arguments))
        return made[-1]

    def fails(*_: Any) -> Any:
        assert any(any(_libsecp.structure_bytes(secret)) for secret, _ in made)
        raise SigningError("planted")

    monkeypatch.setattr(_libsecp, "nonce_pair", watched)
    monkeypatch.setattr(_libsecp, "nonce_process", fails)
    with pytest.raises(SigningError, match="planted"):
        musig.sign_together(musig.aggregate(k.public for k in keys), MESSAGE, keys)
    assert len(made) == 3
    assert not any(any(_libsecp.structure_bytes(secret)) for secret, _ in made)
