"""Which expiries are accepted, and that a refusal names the one that would have been."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superscalar_ref.errors import InputError, ProtocolError
from superscalar_ref.protocol.htlc_limits import HtlcLimits, check_expiry, check_forward, limits_from
from superscalar_ref.spec.load import load_parameters

heights = st.integers(0, 10_000)
spans = st.integers(0, 3_000)


def test_the_defaults_leave_a_window_on_the_first_day_and_none_at_the_end() -> None:
    parameters = load_parameters().defaults()
    tip = 800_000
    limits = limits_from(parameters, tip + parameters.number("life_blocks"))
    assert limits.earliest(tip) == tip + 1866 + 150
    assert limits.latest() == tip + 6809 - 1884
    check_expiry(limits, tip, limits.earliest(tip))
    check_expiry(limits, tip, limits.latest())
    dead = limits.latest() - limits.earliest(0) + 1
    with pytest.raises(ProtocolError, match="no expiry is accepted") as caught:
        check_expiry(limits, dead, limits.latest())
    assert caught.value.code == "FACTORY_TOO_OLD"


def test_a_shorter_exit_accepts_earlier_expiries_and_a_longer_one_than_the_budget_is_refused() -> None:
    parameters = load_parameters().defaults()
    assert limits_from(parameters, 9_000, 0).earliest(100) == 100 + 150
    with pytest.raises(InputError, match="R-EXIT-BUDGET"):
        limits_from(parameters, 9_000, parameters.number("exit_budget_blocks") + 1)
    budget = parameters.number("exit_budget_blocks")
    assert limits_from(parameters, 9_000, budget) == limits_from(parameters, 9_000)


def test_a_payee_that_begins_in_time_claims_before_the_expiry() -> None:
    parameters = load_parameters().defaults()
    limits = limits_from(parameters, 20_000)
    tip = 1_000
    expiry = limits.earliest(tip)
    begun = limits.exit_by(expiry)
    # Whoever looks once after it was accepted is still in time (R-EXIT-MARGIN).
    assert begun >= tip + parameters.number("absence_blocks")
    assert begun + limits.exit_blocks + limits.claim_blocks == expiry


def test_a_payee_that_may_be_away_begins_at_the_last_look_that_is_surely_in_time() -> None:
    parameters = load_parameters().defaults()
    limits = limits_from(parameters, 20_000)
    away = 1 + parameters.number("absence_blocks")
    tip = 1_000
    expiry = limits.earliest(tip)
    assert not limits.must_begin(tip, expiry), "what was just accepted does not close the channel"
    last = limits.exit_by(expiry) - away
    assert not limits.must_begin(last, expiry), "the next look is still in time"
    assert limits.must_begin(last + 1, expiry), "the next look may be one block too late"


@given(tip=heights, expiry=heights, exit_blocks=spans, margin=spans, end=heights, cutoff=spans)
def test_the_expiry_that_a_refusal_names_is_accepted(
    tip: int, expiry: int, exit_blocks: int, margin: int, end: int, cutoff: int
) -> None:
    limits = HtlcLimits(exit_blocks, margin, end, cutoff)
    try:
        check_expiry(limits, tip, expiry)
        assert limits.earliest(tip) <= expiry <= limits.latest()
    except ProtocolError as error:
        if error.code == "FACTORY_TOO_OLD":
            assert limits.earliest(tip) > limits.latest()
            return
        named = [int(number) for number in re.findall(r"(\d+) is the (?:earliest|latest)", error.detail)]
        check_expiry(limits, tip, named[0])


def test_a_forwarder_begins_when_its_timeout_is_due_as_soon_as_it_is_out() -> None:
    parameters = load_parameters().defaults()
    limits = limits_from(parameters, 20_000)
    tip = 1_000
    expiry = limits.earliest(tip)
    begins = expiry - limits.exit_blocks
    assert not limits.must_take_back(begins - 1, expiry)
    assert limits.must_take_back(begins, expiry)
    # The payee that keeps its rules has looked, and begun, before that: it is never surprised.
    assert begins >= tip + 1 + parameters.number("absence_blocks") + limits.claim_blocks
    assert limits.forward_delta == limits.exit_blocks + parameters.number("forward_margin_blocks") == 1866 + 60


def test_the_first_and_the_last_block_of_each_window() -> None:
    limits = HtlcLimits(30, 5, 1_000, 20)
    for expiry in (limits.earliest(100), limits.latest()):
        check_expiry(limits, 100, expiry)
    for expiry, code in ((limits.earliest(100) - 1, "EXPIRY_TOO_SOON"), (limits.latest() + 1, "EXPIRY_TOO_LATE")):
        with pytest.raises(ProtocolError) as caught:
            check_expiry(limits, 100, expiry)
        assert caught.value.code == code
    check_forward(limits, 500 + limits.forward_delta, 500)
    with pytest.raises(ProtocolError, match="DELTA_TOO_SMALL"):
        check_forward(limits, 499 + limits.forward_delta, 500)


@given(incoming=heights, outgoing=heights, exit_blocks=spans, margin=spans)
def test_a_forwarder_is_told_the_incoming_expiry_that_is_enough(
    incoming: int, outgoing: int, exit_blocks: int, margin: int
) -> None:
    limits = HtlcLimits(exit_blocks, margin, 10_000, 10)
    try:
        check_forward(limits, incoming, outgoing)
        assert incoming - outgoing >= exit_blocks + margin
    except ProtocolError as error:
        check_forward(limits, int(error.detail.rsplit(": ", 1)[1].split()[0]), outgoing)
