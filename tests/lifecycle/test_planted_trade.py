"""Mistakes planted by hand in the payments of leaves: a short story of payments finds each, by the invariant named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from superscalar_ref.parties import channel_actor, channel_relay
from superscalar_ref.parties.channel_actor import ChannelActor
from superscalar_ref.parties.channel_state import HeldSignature
from superscalar_ref.parties.penalties import PenaltyBook
from superscalar_ref.protocol.deadline import PAYEE
from superscalar_ref.protocol.htlc_limits import HtlcLimits
from superscalar_ref.realise import claim, commitment, htlc, second_stage
from tests.lifecycle.test_planted import Plant, same_nonce_again
from tests.lifecycle.trade import ready
from tests.lifecycle.trades import (
    across_and_back,
    found_in_its_own_commitment,
    in_flight_at_the_exits,
    lied_to,
    patient_lsp,
    restarts_in_the_middle,
    slow_tower,
    too_soon,
)


def longer_delay(patch: pytest.MonkeyPatch) -> None:
    """The script of a delayed output waits one block longer than its terms say."""
    for module in (claim, commitment, second_stage):
        real = module.to_local_tree
        patch.setattr(module, "to_local_tree", lambda keys, delay, real=real: real(keys, delay + 1))


def later_expiry(patch: pytest.MonkeyPatch) -> None:
    """The script of an HTLC lets its payer have it one block after the expiry that was agreed."""
    real = htlc.htlc_tree
    patch.setattr(commitment, "htlc_tree", lambda keys, one: real(keys, replace(one, cltv_expiry=one.cltv_expiry + 1)))


def one_block_late(patch: pytest.MonkeyPatch) -> None:
    """What is accepted may expire one block too soon."""
    real = HtlcLimits.earliest
    patch.setattr(HtlcLimits, "earliest", lambda self, tip: real(self, tip) - 1)


def too_short_a_delta(patch: pytest.MonkeyPatch) -> None:
    """What is passed on leaves one block less between both expiries."""
    patch.setattr(HtlcLimits, "forward_delta", property(lambda self: self.exit_blocks + self.margin_blocks - 1))


def begins_late(patch: pytest.MonkeyPatch) -> None:
    """A payee that knows the preimage begins its exit when the expiry is there."""
    real = HtlcLimits.deadline
    patch.setattr(HtlcLimits, "deadline", lambda self, role, at: at if role == PAYEE else real(self, role, at))


def passes_on_at_once(patch: pytest.MonkeyPatch) -> None:
    """What is found in a confirmed commitment is passed on, whether or not it is irrevocable."""
    patch.setattr(channel_relay, "FINAL", 0)


def any_secret_revokes(patch: pytest.MonkeyPatch) -> None:
    """Whatever comes as a revocation is taken for one."""
    patch.setattr(channel_actor, "revealed_by", lambda secret, point: True)


def unseen_signature(patch: pytest.MonkeyPatch) -> None:
    """A commitment counts before its signature is looked at."""
    real = ChannelActor._completed

    def completed(self: ChannelActor, outpoint: str, number: int, said: Any, form: Any) -> Any:
        return real(self, outpoint, number, said, form) or HeldSignature("07" * 64, form.htlcs)

    patch.setattr(ChannelActor, "_completed", completed)


def no_record(patch: pytest.MonkeyPatch) -> None:
    """What is signed for the peer is not recorded."""
    patch.setattr(ChannelActor, "_record_spend", lambda self, outpoint, slot, sighash: None)


def towers_are_not_waited_for(patch: pytest.MonkeyPatch) -> None:
    """Every penalty counts as kept."""
    patch.setattr(PenaltyBook, "least", property(lambda self: 1 << 40))


def no_penalty(patch: pytest.MonkeyPatch) -> None:
    """A tower is handed what is revoked one commitment late."""
    real = PenaltyBook.letters

    def letters(self: PenaltyBook, side: ChannelActor, again: bool = False) -> list[tuple[str, bytes]]:
        channel, late = side.channel, replace(side.channel, revoked=side.channel.revoked - 1)
        side.channel = late
        try:
            found = real(self, side, again)
        finally:
            side.channel = channel
        for tower in self.guarded:
            self.guarded[tower] += self.guarded[tower] == channel.revoked - 1
        return found

    patch.setattr(PenaltyBook, "letters", letters)


PLANTED: dict[str, tuple[Plant, Callable[[], None], str]] = {
    "a delayed output waits one block longer": (longer_delay, across_and_back, "fails.*not over"),
    "an HTLC's script expires one block later": (later_expiry, in_flight_at_the_exits, "not over at the end"),
    "an HTLC is accepted one block late": (one_block_late, too_soon, "may accept nothing before"),
    "a payment is passed on with one block less": (too_short_a_delta, across_and_back, "too little time"),
    "a payee begins its exit too late": (begins_late, patient_lsp, "ends with"),
    "a payment is passed on before it is irrevocable": (
        passes_on_at_once,
        found_in_its_own_commitment,
        "not irrevocable",
    ),
    "a channel's nonce is made again after a restart": (same_nonce_again, restarts_in_the_middle, "nonce twice"),
    "a revocation secret is not verified": (any_secret_revokes, lied_to, "without its secret"),
    "a signature is not verified": (unseen_signature, lied_to, "without a valid signature"),
    "a commitment is signed without a record": (no_record, across_and_back, "no record"),
    "a preimage leaves before the tower has all": (
        towers_are_not_waited_for,
        slow_tower,
        "lacks a penalty",
    ),
    "a tower is told of a revoked commitment late": (no_penalty, slow_tower, "lacks a penalty"),
}


IN_SCRIPTS = (longer_delay,)


@pytest.mark.parametrize("mistake", PLANTED)
def test_a_planted_mistake_is_found(mistake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant, tell, says = PLANTED[mistake]
    # The factories are signed without the mistake, unless it is in their scripts.
    for tower in (False, True):
        ready(2, 1, tower)
    if plant in IN_SCRIPTS:
        ready.cache_clear()
    plant(monkeypatch)
    with pytest.raises(AssertionError, match=f"(?s)WRONG .*({says})"):
        tell()
    if plant in IN_SCRIPTS:
        ready.cache_clear()
