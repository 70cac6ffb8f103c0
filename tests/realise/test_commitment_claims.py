"""Claims on the outputs of a commitment, judged by Bitcoin Core's code: scripts first, then locks on a chain."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from superscalar_ref.bitcoin.sighash import taproot_sighash
from superscalar_ref.bitcoin.taproot import p2tr_from_internal, tap_leaf
from superscalar_ref.bitcoin.transaction import Transaction, TxOutput, with_witness
from superscalar_ref.chain.interface import TxOut
from superscalar_ref.chain.kernel import KernelLedger
from superscalar_ref.errors import ChainError, InputError, SigningError
from superscalar_ref.realise import claim
from superscalar_ref.realise.channel import derive_secret
from superscalar_ref.realise.commitment import Role, Terms
from superscalar_ref.realise.htlc import Direction, Htlc
from superscalar_ref.realise.second_stage import SecondStage, second_stages
from superscalar_ref.signing.keys import SecretKey
from tests.bitcoin.core import core_accepts
from tests.realise.two_sides import CLIENT, DELAY, LSP, Fixture, fixture, htlc, key, preimage, terms

OFFERED, RECEIVED = Direction.OFFERED, Direction.RECEIVED
HTLCS = (htlc(OFFERED, 1, 20_000_000), htlc(RECEIVED, 2, 30_000_000))
HOME = p2tr_from_internal(key(77).x_only)
FEE_SAT = 500


def _sweep(claims: tuple[claim.Claim, ...], *secrets: SecretKey) -> Transaction:
    value = sum(one.spent.amount_sat for one in claims) - FEE_SAT
    return claim.sign(claim.unsigned(claims, [TxOutput(value, HOME)]), claims, secrets)


def _accepts(transaction: Transaction, claims: tuple[claim.Claim, ...]) -> bool:
    spent = [one.spent for one in claims]
    return all(core_accepts(transaction, number, spent) for number in range(len(claims)))


def _stages(made: Fixture) -> tuple[SecondStage, SecondStage]:
    timeout, success = second_stages(made.commitment)
    return timeout, success


def _all_claims(made: Fixture) -> Iterator[tuple[str, claim.Claim, SecretKey]]:
    """Every way to spend an output of a commitment or of its second stages, with the key that may."""
    commitment = made.commitment
    offered, received = commitment.htlc_vouts
    yield "to_local after the delay", claim.delayed(commitment), made.holder_delayed
    yield "to_remote", claim.payment(commitment), LSP.secrets.payment_basepoint
    yield "offered, preimage", claim.with_preimage(commitment, offered, preimage(1)), made.other_htlc
    yield "received, expiry", claim.after_expiry(commitment, received), made.other_htlc
    for one in claim.all_revoked(commitment):
        yield f"revoked output {one.vout}", one, made.revocation
    for stage in _stages(made):
        yield f"{stage.htlc.direction}, second stage, delay", claim.delayed(stage), made.holder_delayed
        yield f"{stage.htlc.direction}, second stage, revoked", claim.revoked(stage), made.revocation


MADE = fixture(HTLCS)
CLAIMS = list(_all_claims(MADE))


@pytest.mark.parametrize(("one", "secret"), [case[1:] for case in CLAIMS], ids=[case[0] for case in CLAIMS])
def test_core_accepts_each_claim_and_nothing_like_it(one: claim.Claim, secret: SecretKey) -> None:
    signed = _sweep((one,), secret)
    assert _accepts(signed, (one,))
    # The signature commits to everything else in the transaction.
    for changed in (
        replace(signed, outputs=(TxOutput(signed.outputs[0].amount_sat - 1, HOME),)),
        replace(signed, lock_time=signed.lock_time + 1),
        replace(signed, version=2),
    ):
        assert not _accepts(changed, (one,))
    # Nor does any other key of the two sides open it.
    for other in {case[2] for case in CLAIMS} | {CLIENT.funding, LSP.funding}:
        if other != secret:
            with pytest.raises(SigningError, match="is missing"):
                _sweep((one,), other)
            internal = other.x_only if one.leaf is None else one.internal_key
            forced = (replace(one, key=other.public, internal_key=internal),)
            signed_by_other = claim.sign(claim.unsigned(forced, signed.outputs), forced, (other,))
            assert not _accepts(signed_by_other, (one,))


def test_second_stages_are_accepted_and_bound() -> None:
    timeout, success = _stages(MADE)
    for stage, known in ((timeout, None), (success, preimage(2))):
        signed = MADE.second_stage(stage, known)
        assert core_accepts(signed, 0, [stage.spent])
        witness = signed.witnesses[0]
        swapped = replace(signed, witnesses=((witness[1], witness[0], *witness[2:]),))
        assert not core_accepts(swapped, 0, [stage.spent])
    early = replace(MADE.second_stage(timeout), lock_time=49)
    assert not core_accepts(early, 0, [timeout.spent])
    signed = MADE.second_stage(success, preimage(2))
    wrong = replace(signed, witnesses=((*signed.witnesses[0][:2], preimage(3), *signed.witnesses[0][3:]),))
    assert not core_accepts(wrong, 0, [success.spent])


def test_the_other_side_s_signature_lets_the_holder_add_an_input_for_fees() -> None:
    timeout, _ = _stages(MADE)
    purse = TxOutput(10_000, HOME)
    signed = MADE.second_stage(timeout)
    extra = replace(
        timeout.transaction,
        inputs=(*timeout.transaction.inputs, replace(timeout.transaction.inputs[0], txid_hex="44" * 32)),
        outputs=(*timeout.transaction.outputs, TxOutput(9_000, HOME)),
        witnesses=((), ()),
    )
    spent = [timeout.spent, purse]
    mine = MADE.holder_htlc.sign(taproot_sighash(extra, 0, spent, leaf_hash=tap_leaf(timeout.script)))
    other = signed.witnesses[0][0]
    assert core_accepts(with_witness(extra, 0, (other, mine, timeout.script, timeout.control_block)), 0, spent)


def test_one_penalty_takes_everything() -> None:
    claims = (*claim.all_revoked(MADE.commitment), claim.payment(MADE.commitment))
    assert len(claims) == 4
    signed = _sweep(claims, MADE.revocation, LSP.secrets.payment_basepoint)
    assert _accepts(signed, claims)
    # The revocation key of another commitment takes nothing.
    newer = fixture(HTLCS, number=8)
    with pytest.raises(SigningError, match="is missing"):
        _sweep(claims, newer.revocation, LSP.secrets.payment_basepoint)


def test_claims_together_wait_for_the_latest_lock() -> None:
    offered, received = MADE.commitment.htlc_vouts
    claims = (
        claim.with_preimage(MADE.commitment, offered, preimage(1)),
        claim.after_expiry(MADE.commitment, received),
    )
    for both in (claims, claims[::-1]):
        signed = _sweep(both, MADE.other_htlc)
        assert signed.lock_time == 50
        assert _accepts(signed, both)


def test_a_claim_signs_with_its_own_key_only() -> None:
    one = claim.delayed(MADE.commitment)
    with pytest.raises(SigningError, match="the secret is not that of"):
        one.sign(bytes(32), MADE.holder_htlc)


def test_what_cannot_be_claimed_is_named() -> None:
    commitment = MADE.commitment
    offered, received = commitment.htlc_vouts
    with pytest.raises(InputError, match="is not an HTLC that the holder offered"):
        claim.with_preimage(commitment, received, preimage(2))
    with pytest.raises(InputError, match="is not an HTLC that the holder received"):
        claim.after_expiry(commitment, offered)
    with pytest.raises(InputError, match="the preimage is not that of the payment hash"):
        claim.with_preimage(commitment, offered, preimage(2))
    for role in (Role.ANCHOR, Role.TO_REMOTE):
        vout = commitment.vout(role)
        assert vout is not None
        with pytest.raises(InputError, match="does not fall to the revocation key"):
            claim.revoked(commitment, vout)
    with pytest.raises(InputError, match="a second stage has one output"):
        claim.revoked(_stages(MADE)[0], 1)
    one = claim.payment(commitment)
    with pytest.raises(InputError, match="exceed what is claimed by 1 sat"):
        claim.unsigned((one,), [TxOutput(one.spent.amount_sat + 1, HOME)])
    with pytest.raises(InputError, match="are not the inputs"):
        claim.sign(claim.unsigned((one,), [TxOutput(1000, HOME)]), (claim.delayed(commitment),), ())


def _chain(htlcs: tuple[Htlc, ...] = HTLCS) -> tuple[KernelLedger, Fixture]:
    """A chain with a funding output, and a commitment that spends it."""
    script = terms().funding_output
    ledger = KernelLedger.start([TxOut(script.amount_sat, script.script_pubkey)])
    point = ledger.funds[0]
    mine: Terms = terms(point.txid[::-1].hex(), point.index)
    return ledger, fixture(htlcs, mine)


def _refused(ledger: KernelLedger, transaction: Transaction) -> str:
    with pytest.raises(ChainError) as error:
        ledger.mine([transaction.serialized])
    return error.value.reason


def test_a_force_close_with_htlcs_on_core_s_chain() -> None:
    ledger, made = _chain()
    with ledger:
        base = ledger.height
        htlcs = (htlc(OFFERED, 1, 20_000_000, base + 4), htlc(RECEIVED, 2, 30_000_000, base + 40))
        made = fixture(htlcs, made.commitment.terms)
        timeout, success = _stages(made)
        ledger.mine([made.signed().serialized])
        remote = (claim.payment(made.commitment),)
        ledger.mine(
            [
                _sweep(remote, LSP.secrets.payment_basepoint).serialized,
                made.second_stage(success, preimage(2)).serialized,
            ]
        )
        second = made.second_stage(timeout)
        assert "nonfinal" in _refused(ledger, second)
        ledger.advance(base + 4 - ledger.height)
        ledger.mine([second.serialized])
        expected = [(claim.delayed(made.commitment), base + 1), (claim.delayed(success), base + 2)]
        for one, confirmed in [*expected, (claim.delayed(timeout), ledger.height)]:
            signed = _sweep((one,), made.holder_delayed)
            if confirmed + DELAY - 1 > ledger.height:
                ledger.advance(confirmed + DELAY - 2 - ledger.height)
                assert "non-BIP68-final" in _refused(ledger, signed)
                ledger.advance(1)
            ledger.mine([signed.serialized])


def test_the_other_side_waits_for_the_expiry_of_what_the_holder_received() -> None:
    ledger, made = _chain()
    with ledger:
        expiry = ledger.height + 5
        made = fixture((HTLCS[0], htlc(RECEIVED, 2, 30_000_000, expiry)), made.commitment.terms)
        offered, received = made.commitment.htlc_vouts
        ledger.mine([made.signed().serialized])
        ledger.mine([_sweep((claim.with_preimage(made.commitment, offered, preimage(1)),), made.other_htlc).serialized])
        back = _sweep((claim.after_expiry(made.commitment, received),), made.other_htlc)
        assert "nonfinal" in _refused(ledger, back)
        ledger.advance(expiry - 1 - ledger.height)
        assert "nonfinal" in _refused(ledger, back)
        ledger.advance(1)
        ledger.mine([back.serialized])


def test_a_revoked_commitment_and_its_second_stage_are_punished_at_once() -> None:
    ledger, made = _chain()
    with ledger:
        _, success = _stages(made)
        ledger.mine([made.signed().serialized, made.second_stage(success, preimage(2)).serialized])
        rest = tuple(one for one in claim.all_revoked(made.commitment) if one.vout != success.vout)
        claims = (*rest, claim.revoked(success))
        assert len(claims) == 3
        ledger.mine([_sweep(claims, made.revocation).serialized])


def test_keys_of_another_commitment_differ() -> None:
    other = derive_secret(CLIENT.secrets.delayed_payment_basepoint, key(1008).public)
    with pytest.raises(SigningError, match="is missing"):
        _sweep((claim.delayed(MADE.commitment),), other)
