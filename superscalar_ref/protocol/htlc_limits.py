"""Which expiries a payment through a leaf channel may have (protocol.md §8, ``spec/parameters.toml``).

Heights and spans are blocks. The receiver of an HTLC must be able to take the channel to the chain and to claim before
the expiry; its payer must be able to take it back before the factory's end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from superscalar_ref.errors import InputError, ProtocolError
from superscalar_ref.protocol.deadline import FORWARDER, PAYEE, Deadline, load_deadlines
from superscalar_ref.spec.parameters import Parameters


@cache
def _deadlines() -> Mapping[str, Deadline]:
    return load_deadlines()


@dataclass(frozen=True)
class HtlcLimits:
    """What a channel's place in its factory asks of every payment in it (blocks)."""

    exit_blocks: int
    """Longest exit of this channel as it now stands: 0 once its leaf is confirmed."""
    margin_blocks: int
    """To notice, to close the channel and to claim (``exit_margin_blocks``)."""
    end: int
    """The factory's end (height)."""
    cutoff_blocks: int
    """A payment expires at least this many blocks before the end (``htlc_cutoff_blocks``)."""
    absence_blocks: int = 0
    """Between two looks of the party at the chain, while it does nothing there."""
    exit_absence_blocks: int = 0
    """The same during its exit."""
    confirmation_blocks: int = 1
    """Until what it publishes is in a block."""
    forward_margin_blocks: int | None = None
    """Kept free for a payment that is passed on (``forward_margin_blocks``); None: ``margin_blocks``."""

    def earliest(self, tip: int) -> int:
        """The earliest expiry (height) that is accepted at a tip: ``tip + exit + margin`` (R-EXIT-MARGIN)."""
        return tip + self.exit_blocks + self.margin_blocks

    def latest(self) -> int:
        """The latest expiry (height) that is accepted: ``end − cutoff`` (R-HTLC-LATEST)."""
        return self.end - self.cutoff_blocks

    @property
    def claim_blocks(self) -> int:
        """To confirm the commitment and then the claim, with a look before each (blocks)."""
        return 2 * (self.exit_absence_blocks + self.confirmation_blocks)

    def exit_by(self, expiry: int) -> int:
        """The last tip at which a payee that knows the preimage may begin its exit, to claim before ``expiry``."""
        return expiry - self.exit_blocks - self.claim_blocks

    def deadline(self, role: str, expiry: int) -> int:
        """The height from which on a payee, payer or forwarder must have begun its exit for a payment that hangs.

        ``expiry`` is a height. The rows are those of ``spec/deadlines.toml`` (STR-22, STR-23, STR-24).
        """
        values = {
            "expiry": expiry,
            "way_out": self.exit_blocks,
            "absence_blocks": self.absence_blocks,
            "exit_absence_blocks": self.exit_absence_blocks,
            "confirmation_blocks": self.confirmation_blocks,
        }
        return _deadlines()[role].at(values)

    def must_begin(self, tip: int, expiry: int) -> bool:
        """Whether a payee that knows the preimage must begin its exit now: its next look may be too late.

        ``tip`` and ``expiry`` are heights (STR-22, L-HTLC-EARLIEST).
        """
        return tip >= self.deadline(PAYEE, expiry)

    def must_take_back(self, tip: int, expiry: int) -> bool:
        """Whether a forwarder must begin its exit for what it has passed on here: the timeout is due when it is out.

        ``tip`` and ``expiry`` are heights; the payee had to begin before that (STR-24, L-HTLC-FORWARD).
        """
        return tip >= self.deadline(FORWARDER, expiry)

    @property
    def forward_delta(self) -> int:
        """How much later a forwarder's incoming HTLC expires, in this channel, than its outgoing one (blocks).

        The preimage may come on chain in the last block before the forwarder's own timeout; it must then exit and claim
        in the channel that pays it (R-HTLC-FORWARD, BOLT 2 'cltv_expiry_delta Selection').
        """
        margin = self.margin_blocks if self.forward_margin_blocks is None else self.forward_margin_blocks
        return self.exit_blocks + margin


def limits_from(parameters: Parameters, end: int, exit_blocks: int | None = None) -> HtlcLimits:
    """The limits by the parameters; ``exit_blocks`` is the exit budget unless the present exit is known to be shorter.

    Raises ``InputError`` when the exit is longer than the budget that the parameters allow for it (R-EXIT-BUDGET).
    """
    budget = parameters.number("exit_budget_blocks")
    if exit_blocks is not None and not 0 <= exit_blocks <= budget:
        raise InputError("exit of the channel", f"{exit_blocks} blocks is not within 0..{budget}", "R-EXIT-BUDGET")
    return HtlcLimits(
        budget if exit_blocks is None else exit_blocks,
        parameters.number("exit_margin_blocks"),
        end,
        parameters.number("htlc_cutoff_blocks"),
        parameters.number("absence_blocks"),
        parameters.number("exit_absence_blocks"),
        parameters.number("confirmation_blocks"),
        parameters.number("forward_margin_blocks"),
    )


def check_expiry(limits: HtlcLimits, tip: int, expiry: int) -> None:
    """Raise ``ProtocolError`` that names the expiry that would have been accepted, unless ``expiry`` (height) is."""
    earliest, latest = limits.earliest(tip), limits.latest()
    if earliest > latest:
        detail = (
            f"no expiry is accepted at height {tip}: an exit and its margin take until {earliest},"
            f" and the factory's end asks for {latest} or sooner"
        )
        raise ProtocolError("R-HTLC-LATEST", "FACTORY_TOO_OLD", detail)
    if expiry < earliest:
        detail = f"expiry {expiry} is too soon at height {tip}: {earliest} is the earliest that is accepted"
        raise ProtocolError("R-EXIT-MARGIN", "EXPIRY_TOO_SOON", detail)
    if expiry > latest:
        detail = f"expiry {expiry} is too late: {latest} is the latest that is accepted before the end {limits.end}"
        raise ProtocolError("R-HTLC-LATEST", "EXPIRY_TOO_LATE", detail)


def check_forward(limits: HtlcLimits, incoming_expiry: int, outgoing_expiry: int) -> None:
    """Raise ``ProtocolError`` that names the accepted expiry when a forwarded payment leaves too little between both.

    ``limits`` are those of the channel that pays the forwarder.
    """
    least = outgoing_expiry + limits.forward_delta
    if incoming_expiry < least:
        detail = f"incoming expiry {incoming_expiry} is too soon for an outgoing {outgoing_expiry}: {least} is accepted"
        raise ProtocolError("R-HTLC-FORWARD", "DELTA_TOO_SMALL", detail)
