"""The rules of a commitment: what it pays, what it trims, how it orders, what number it carries, what it refuses."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superscalar_ref.bitcoin.script import P2A
from superscalar_ref.bitcoin.transaction import Transaction, TxInput
from superscalar_ref.errors import InputError, SigningError
from superscalar_ref.realise.claim import with_preimage
from superscalar_ref.realise.commitment import Role, State, build, commitment_number, obscured_number
from superscalar_ref.realise.htlc import Direction, Htlc
from superscalar_ref.realise.second_stage import second_stage, second_stages
from tests.realise.two_sides import CAPACITY_SAT, DELAY, LSP, fixture, htlc, key, preimage, state, terms

OFFERED, RECEIVED = Direction.OFFERED, Direction.RECEIVED


def _amounts(balances: tuple[int, int], htlcs: tuple[tuple[Direction, int], ...], dust_limit_sat: int) -> list[int]:
    made = tuple(htlc(direction, number, amount) for number, (direction, amount) in enumerate(htlcs))
    point = key(5).public
    given_state = State(1, point, balances[0], balances[1], made)
    small = replace(terms(), capacity_sat=given_state.total_msat // 1000, dust_limit_sat=dust_limit_sat)
    return [output.output.amount_sat for output in build(small, given_state).outputs]


@pytest.mark.parametrize(
    ("balances", "htlcs", "dust", "amounts"),
    [
        ((9_999_800_000, 200_000), (), 330, [200, 9_999_800]),
        ((9_990_000_000, 10_000_000), (), 15_000, [240, 9_990_000]),
        ((8_000_000_000, 2_000_000_000), (), 500, [0, 2_000_000, 8_000_000]),
        # An output at the limit stays, one below it goes.
        ((8_000_000_000, 500_000), (), 500, [0, 500, 8_000_000]),
        ((8_000_000_000, 499_999), ((OFFERED, 1),), 500, [240, 8_000_000]),
        # Parts of a satoshi add up across balances and HTLCs.
        ((7_999_978_526, 1_999_970_475), ((RECEIVED, 29_525), (OFFERED, 21_474)), 330, [52, 1_999_970, 7_999_978]),
        ((7_999_978_525, 1_999_970_475), ((RECEIVED, 29_525), (OFFERED, 21_475)), 330, [52, 1_999_970, 7_999_978]),
        ((0, 10_000_000_000), (), 330, [0, 10_000_000]),
        ((10_000_000_000, 0), (), 330, [0, 10_000_000]),
        ((0, 0), ((OFFERED, 10_000_000),), 330, [0, 10_000]),
        ((100_000, 200_000), (), 330, [240]),
    ],
)
def test_amounts_trimming_and_anchor(
    balances: tuple[int, int], htlcs: tuple[tuple[Direction, int], ...], dust: int, amounts: list[int]
) -> None:
    assert _amounts(balances, htlcs, dust) == amounts


@given(
    balances=st.tuples(st.integers(0, 5_000_000), st.integers(0, 5_000_000)),
    amounts=st.lists(st.tuples(st.sampled_from(Direction), st.integers(1, 3_000_000)), max_size=6),
    dust=st.integers(1, 2_000),
)
def test_value_is_conserved_and_ordered(
    balances: tuple[int, int], amounts: list[tuple[Direction, int]], dust: int
) -> None:
    total = sum(balances) + sum(amount for _, amount in amounts)
    balances = (balances[0] + 1000 - total % 1000, balances[1])
    capacity = (total + 1000 - total % 1000) // 1000
    outputs = _amounts(balances, tuple(amounts), dust)
    everything = [balances[0], balances[1], *(amount for _, amount in amounts)]
    kept = [amount // 1000 for amount in everything if amount // 1000 >= dust]
    assert sorted(outputs) == sorted([*kept, min(240, capacity - sum(kept))])
    assert outputs == sorted(outputs)


def test_one_script_and_amount_are_ordered_by_expiry() -> None:
    expiries = (90, 30, 60)
    same = tuple(htlc(OFFERED, number, 5_000_000, expiry, secret=1) for number, expiry in enumerate(expiries))
    commitment = fixture(same).commitment
    assert len({commitment.outputs[vout].output for vout in commitment.htlc_vouts}) == 1
    stages = second_stages(commitment)
    assert [stage.transaction.lock_time for stage in stages] == [30, 60, 90]
    assert [stage.vout for stage in stages] == list(commitment.htlc_vouts)
    assert commitment.transaction == fixture(tuple(reversed(same))).commitment.transaction


def test_roles_can_be_found() -> None:
    commitment = fixture((htlc(OFFERED, 1, 2_000_000), htlc(RECEIVED, 1, 3_000_000))).commitment
    found = {role: commitment.vout(role) for role in Role}
    assert sorted(number for number in found.values() if number is not None) == [0, 1, 3, 4]
    assert commitment.htlc_vouts == (1, 2)
    for role, vout in found.items():
        assert vout is not None
        assert commitment.outputs[vout].role is role
        assert commitment.transaction.outputs[vout] == commitment.outputs[vout].output
    assert commitment.transaction.outputs[0].script_pubkey == P2A
    assert commitment.to_local is not None
    assert commitment.to_local.htlc is None
    assert {one.htlc.direction for one in commitment.outputs if one.htlc} == {OFFERED, RECEIVED}
    all_mine = build(terms(), State(1, key(5).public, CAPACITY_SAT * 1000, 0))
    assert (all_mine.vout(Role.TO_REMOTE), all_mine.vout(Role.TO_LOCAL)) == (None, 1)
    all_theirs = build(terms(), State(1, key(5).public, 0, CAPACITY_SAT * 1000))
    assert all_theirs.to_local is None


def test_shape_of_the_transaction() -> None:
    transaction = fixture().commitment.transaction
    assert transaction.version == 3
    assert len(transaction.inputs) == 1
    assert transaction.lock_time >> 24 == 0x20
    assert transaction.inputs[0].sequence >> 24 == 0x80


@given(st.integers(0, 2**48 - 1), st.booleans())
def test_the_number_survives_being_hidden(number: int, holder_opened: bool) -> None:
    mine = replace(terms(), holder_opened=holder_opened)
    made = build(mine, State(number, key(5).public, CAPACITY_SAT * 1000, 0))
    assert commitment_number(mine, made.transaction) == number


def test_bolt_3_appendix_c_obscured_number() -> None:
    opener = bytes.fromhex("034f355bdcb7cc0af728ef3cceb9615d90684bb5b2ca5f859ab0f0b704075871aa")
    accepter = bytes.fromhex("032c0b7cf95324a07d05398b240174dc0c2be444d96b159aa6c7f7b1e668680991")
    base = terms()
    mine = replace(
        base,
        holder=replace(base.holder, payment_basepoint=opener),
        other=replace(base.other, payment_basepoint=accepter),
        holder_opened=True,
    )
    hidden = 0x2BB038521914 ^ 42
    assert obscured_number(mine, 42) == (0x80000000 | hidden >> 24, 0x20000000 | hidden & 0xFFFFFF)
    # Who opened matters, whose commitment it is does not.
    theirs = replace(mine, holder=mine.other, other=mine.holder, holder_opened=False)
    assert obscured_number(theirs, 42) == obscured_number(mine, 42)
    assert obscured_number(replace(mine, holder_opened=False), 42) != obscured_number(mine, 42)


def test_what_is_no_commitment_of_the_channel_has_no_number() -> None:
    transaction = fixture().commitment.transaction
    spend = transaction.inputs[0]
    broken: list[tuple[Transaction, str]] = [
        (replace(transaction, inputs=(spend, TxInput("22" * 32, 0))), "has 2 inputs"),
        (replace(transaction, inputs=(replace(spend, index=1),)), "does not spend the funding outpoint"),
        (replace(transaction, inputs=(replace(spend, sequence=6),)), "carries no commitment number"),
        (replace(transaction, lock_time=100), "carries no commitment number"),
    ]
    for one, problem in broken:
        with pytest.raises(InputError, match=problem):
            commitment_number(terms(), one)


def test_the_signature_is_that_of_both_sides() -> None:
    made = fixture((htlc(OFFERED, 1, 2_000_000),))
    signed = made.signed()
    assert signed.txid == made.commitment.transaction.txid
    with pytest.raises(SigningError, match="signature of the commitment is not valid"):
        fixture(number=8).commitment.signed(signed.witnesses[0][0])


@pytest.mark.parametrize("short_msat", [1, -1, 1000])
def test_amounts_must_add_up(short_msat: int) -> None:
    off = replace(state(), to_local_msat=state().to_local_msat - short_msat)
    with pytest.raises(InputError, match="msat in balances and HTLCs"):
        build(terms(), off)


def test_values_out_of_range_are_named() -> None:
    with pytest.raises(InputError, match="to_self_delay: 0 blocks"):
        replace(terms(), to_self_delay=0)
    with pytest.raises(InputError, match="to_self_delay: 65536 blocks"):
        replace(terms(), to_self_delay=65536)
    with pytest.raises(InputError, match="capacity: 0 sat"):
        replace(terms(), capacity_sat=0)
    with pytest.raises(InputError, match="dust limit: -1 sat"):
        replace(terms(), dust_limit_sat=-1)
    with pytest.raises(InputError, match="funding keys"):
        replace(terms(), funding_keys=(bytes(33), LSP.funding.public))
    with pytest.raises(InputError, match="commitment number: 281474976710656"):
        replace(state(), number=2**48)
    with pytest.raises(InputError, match="to_remote: -1 msat"):
        replace(state(), to_remote_msat=-1)
    with pytest.raises(InputError, match="same id"):
        replace(state(), htlcs=(htlc(OFFERED, 1, 1000), htlc(OFFERED, 1, 2000)))
    with pytest.raises(InputError, match="offered HTLC 3: amount 0 msat"):
        Htlc(OFFERED, 3, 0, bytes(32), 100)
    with pytest.raises(InputError, match="received HTLC 3: payment hash has 31 bytes"):
        Htlc(RECEIVED, 3, 1, bytes(31), 100)
    with pytest.raises(InputError, match="expiry 500000000 is not a height"):
        Htlc(RECEIVED, 3, 1, bytes(32), 500_000_000)


def test_ids_are_counted_by_each_payer() -> None:
    both = (htlc(OFFERED, 1, 2_000_000), htlc(RECEIVED, 1, 2_000_000))
    assert len(fixture(both).commitment.htlc_vouts) == 2


def test_second_stages_refuse_what_is_wrong() -> None:
    made = fixture((htlc(OFFERED, 1, 2_000_000), htlc(RECEIVED, 2, 3_000_000)))
    timeout, success = second_stages(made.commitment)
    assert (timeout.transaction.lock_time, success.transaction.lock_time) == (50, 0)
    assert {timeout.transaction.inputs[0].sequence, success.transaction.inputs[0].sequence} == {0}
    assert timeout.to_self_delay == DELAY
    other, holder = made.other_htlc.sign(success.other_sighash), made.holder_htlc.sign(success.holder_sighash)
    for wrong in (None, preimage(1), preimage(2)[1:]):
        with pytest.raises(InputError, match="received HTLC 2: the preimage is missing, or is not"):
            success.signed(other, holder, wrong)
    with pytest.raises(SigningError, match="the other side's signature"):
        success.signed(holder, holder, preimage(2))
    with pytest.raises(SigningError, match="the holder's signature"):
        success.signed(other, other, preimage(2))
    with pytest.raises(InputError, match="a timeout has no preimage"):
        made.second_stage(timeout, preimage(1))
    # Signed for the other hash type: SINGLE|ANYONECANPAY is not DEFAULT.
    with pytest.raises(SigningError, match="the other side's signature"):
        success.signed(made.other_htlc.sign(success.holder_sighash), holder, preimage(2))
    for vout in (0, 3, 99):
        with pytest.raises(InputError, match="is not an HTLC of this commitment"):
            second_stage(made.commitment, vout)
    # The largest output is an HTLC: -1 is not another name for it.
    large = fixture((htlc(OFFERED, 1, 600_000_000),)).commitment
    assert large.htlc_vouts == (len(large.outputs) - 1,)
    with pytest.raises(InputError, match="output -1"):
        second_stage(large, -1)


def test_a_preimage_of_another_length_would_not_pass_the_script() -> None:
    short = bytes(31)
    one = Htlc(RECEIVED, 1, 2_000_000, sha256(short).digest(), 50)
    made = fixture((one,))
    (stage,) = second_stages(made.commitment)
    with pytest.raises(InputError, match="the preimage is missing, or is not"):
        made.second_stage(stage, short)
    offered = fixture((one.of_other(),)).commitment
    with pytest.raises(InputError, match="the preimage is not that of the payment hash"):
        with_preimage(offered, offered.htlc_vouts[0], short)


def test_the_two_sides_commitments_mirror_each_other() -> None:
    made = state((htlc(OFFERED, 1, 2_000_000), htlc(RECEIVED, 1, 3_000_000)))
    mine, theirs = terms(), terms().of_other(to_self_delay=144, dust_limit_sat=1000)
    assert theirs.of_other(mine.to_self_delay, mine.dust_limit_sat) == mine
    assert theirs.funding_output == mine.funding_output
    assert obscured_number(theirs, 5) == obscured_number(mine, 5)
    flipped = tuple(one.of_other() for one in made.htlcs)
    assert [one.direction for one in flipped] == [RECEIVED, OFFERED]
    assert tuple(one.of_other() for one in flipped) == made.htlcs
    seen_by_them = replace(made, to_local_msat=made.to_remote_msat, to_remote_msat=made.to_local_msat, htlcs=flipped)
    one, two = build(mine, made), build(theirs, seen_by_them)
    assert [output.output.amount_sat for output in one.outputs] == [output.output.amount_sat for output in two.outputs]
    scripts = [{output.script_pubkey for output in side.transaction.outputs} - {P2A} for side in (one, two)]
    assert not scripts[0] & scripts[1]
    assert two.keys.other_payment == mine.holder.payment_basepoint
    assert {stage.transaction.lock_time for stage in second_stages(two)} == {0, 50}
