"""What a client and the LSP say to one another about an assisted exit (``spec/machines/assisted_exit.toml``), as JSON.

Laws of this module:

* Nothing here is a secret: the factory key itself is shown by the claim on chain, and by nothing else.
* The lock inside is a payment of the channel and is offered, given back and taken by the channel's own messages.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from superscalar_ref.parties.channel_messages import Msat, Reason, Secret
from superscalar_ref.parties.messages import Amount, Count, Hash, Height, Name, Point, Script, unwrap, wrap

Half = Secret
"""Half of a pre-signature: 32 bytes."""


@dataclass(frozen=True)
class AskExit:
    """Client → LSP: pay me on chain for what I have in this channel, and for my factory key."""

    channel: Name
    key: Point
    """Of the client, made for the output on chain alone."""
    point: Point
    """The client's public factory key."""
    script: Script
    """Where the claim pays."""
    most_fee_sat: Amount


@dataclass(frozen=True)
class OfferExit:
    """LSP → client: the whole terms, and the pre-signature of the claim."""

    channel: Name
    key: Point
    """Of the LSP, made for the output on chain alone."""
    txid: Hash
    index: Count
    amount_sat: Amount
    """Of the output on chain."""
    inside_msat: Msat
    """What the client is to lock inside."""
    fee_sat: Amount
    """What the LSP keeps of it."""
    claim_fee_sat: Amount
    """What the claim pays to miners, out of the output."""
    refund_height: Height
    expiry: Height
    nonce: Half
    scalar: Half


@dataclass(frozen=True)
class RefuseExit:
    """LSP → client: no exit now, and why."""

    channel: Name
    reason: Reason


@dataclass(frozen=True)
class GiveUpExit:
    """Either → the other: the sender has given the exit up, and neither publishes nor claims any more."""

    channel: Name


HandoverMessage = AskExit | OfferExit | RefuseExit | GiveUpExit

NAMES: Mapping[str, type[HandoverMessage]] = {
    "ask_exit": AskExit,
    "offer_exit": OfferExit,
    "refuse_exit": RefuseExit,
    "give_up_exit": GiveUpExit,
}
_NAME_OF = {kind: name for name, kind in NAMES.items()}


class _Body(msgspec.Struct):
    channel: str


class _Wire(msgspec.Struct):
    message: str
    body: _Body


def channel_of(raw: bytes) -> str | None:
    """The name of the channel whose exit a message is about; None when it is about none."""
    try:
        wire = msgspec.json.decode(raw, type=_Wire)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return wire.body.channel if wire.message in NAMES else None


def encode(message: HandoverMessage) -> bytes:
    """The JSON form, UTF-8, without the line's end."""
    return wrap(message, _NAME_OF[type(message)])


def decode(raw: bytes, sender: str) -> HandoverMessage:
    """Read a message of ``sender``. Raises ``MessageError`` naming the place and what was expected there."""
    return unwrap(raw, sender, NAMES)
