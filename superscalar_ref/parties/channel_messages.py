"""What the two sides of a channel say to one another (BOLT 2, zero-fee taproot channels), as JSON.

Laws of this module:

* Amounts of payments are whole millisatoshis; points, nonces, secrets and signatures are lower-case hex.
* Each message carries both sides' connection numbers and its own place in the connection, so that one that is late,
  doubled or out of order is known for what it is. Decoding is as strict as for a factory's messages.
* Nonces for the receiver's next signature travel with whatever opens the way for it: ``Reestablish``, ``Ready``,
  ``RevokeAndAck``; a signer's own nonce travels with its partial signature.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated

import msgspec

from superscalar_ref.errors import MessageError
from superscalar_ref.parties.messages import (
    MAX_MESSAGE_BYTES,
    Count,
    Height,
    Name,
    Partial,
    Point,
    PublicNonce,
    Script,
    Signature,
    decode_as,
)

Epoch = Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{16})?\Z")]
Secret = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
OutpointName = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}:[0-9]{1,6}\Z")]
Lock = Annotated[str, msgspec.Meta(pattern=r"^(0[23])?[0-9a-f]{64}\Z")]
"""A hash, or a point: 32 bytes or 33."""
Msat = Annotated[int, msgspec.Meta(ge=0, le=21_000_000 * 100_000_000 * 1000)]
Reason = Annotated[str, msgspec.Meta(max_length=1000)]


@dataclass(frozen=True)
class Reestablish:
    """Where the sender stands: what it expects next, and the point and nonces for that."""

    next_commitment: Count
    next_revocation: Count
    point: Point
    """Per-commitment point of ``next_commitment``."""
    nonces: Mapping[OutpointName, PublicNonce]
    """For the receiver's signature of ``next_commitment``, one an outpoint."""
    moving: Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{64}:[0-9]{1,6})?\Z")]
    """The outpoint to which the sender has begun to move; empty when to none."""


@dataclass(frozen=True)
class Ready:
    """The sender's first commitment is durable."""

    point: Point
    nonces: Mapping[OutpointName, PublicNonce]


@dataclass(frozen=True)
class SignatureForm:
    """One commitment signed: the signer's nonce and partial signature, and its HTLC signatures in output order."""

    nonce: PublicNonce
    partial: Partial
    htlcs: tuple[Signature, ...]


@dataclass(frozen=True)
class CommitmentSigned:
    """The receiver's next commitment, signed for each outpoint."""

    number: Count
    signatures: Mapping[OutpointName, SignatureForm]


@dataclass(frozen=True)
class RevokeAndAck:
    """The secret of the sender's older commitment; the point and nonces of its next one."""

    secret: Secret
    point: Point
    nonces: Mapping[OutpointName, PublicNonce]


@dataclass(frozen=True)
class Add:
    """A payment (msat) that the sender offers, to whoever knows a preimage, or the secret of a point (AXT-1)."""

    number: Count
    amount_msat: Msat
    payment_hash: Lock
    expiry: Height


@dataclass(frozen=True)
class Fulfil:
    """The preimage of an HTLC that the receiver offered."""

    number: Count
    preimage: Secret


@dataclass(frozen=True)
class Fail:
    """An HTLC that the receiver offered goes back, and why."""

    number: Count
    reason: Reason


@dataclass(frozen=True)
class Stfu:
    """The sender sends no update from here on."""


@dataclass(frozen=True)
class Resume:
    """The quiet is over."""


@dataclass(frozen=True)
class MoveReady:
    """The sender is ready to move to an outpoint; the nonces are for its present and its next commitment there."""

    outpoint: OutpointName
    nonce: PublicNonce
    next_nonce: PublicNonce


@dataclass(frozen=True)
class MoveSigned:
    """The receiver's present commitment, signed for the new outpoint."""

    outpoint: OutpointName
    signature: SignatureForm


@dataclass(frozen=True)
class MoveHeld:
    """The sender holds its present commitment on the new outpoint."""

    outpoint: OutpointName


@dataclass(frozen=True)
class Moved:
    """The leaf state of the new outpoint is complete in the sender's hands."""

    outpoint: OutpointName


@dataclass(frozen=True)
class GivenUp:
    """The sender has signed nothing that makes the outpoint, and never will."""

    outpoint: OutpointName


@dataclass(frozen=True)
class Kept:
    """The sender has signed what makes the outpoint that the receiver gave up: commitments on it stay due."""

    outpoint: OutpointName


@dataclass(frozen=True)
class Dropped:
    """The sender is not on the outpoint that the receiver gave up."""

    outpoint: OutpointName


@dataclass(frozen=True)
class Shutdown:
    """The sender wants to close together; its balance goes to ``script``; the nonce is for the closing transaction."""

    script: Script
    nonce: PublicNonce


@dataclass(frozen=True)
class ClosingSigned:
    """The sender's partial signature of the closing transaction."""

    partial: Partial


@dataclass(frozen=True)
class ClosingComplete:
    """The complete signature of the closing transaction."""

    signature: Signature


ChannelMessage = (
    Reestablish
    | Ready
    | CommitmentSigned
    | RevokeAndAck
    | Add
    | Fulfil
    | Fail
    | Stfu
    | Resume
    | MoveReady
    | MoveSigned
    | MoveHeld
    | Moved
    | GivenUp
    | Kept
    | Dropped
    | Shutdown
    | ClosingSigned
    | ClosingComplete
)

NAMES: Mapping[str, type[ChannelMessage]] = {
    "channel_reestablish": Reestablish,
    "channel_ready": Ready,
    "commitment_signed": CommitmentSigned,
    "revoke_and_ack": RevokeAndAck,
    "update_add_htlc": Add,
    "update_fulfill_htlc": Fulfil,
    "update_fail_htlc": Fail,
    "stfu": Stfu,
    "resume": Resume,
    "move_ready": MoveReady,
    "move_signed": MoveSigned,
    "move_held": MoveHeld,
    "moved": Moved,
    "given_up": GivenUp,
    "kept": Kept,
    "dropped": Dropped,
    "shutdown": Shutdown,
    "closing_signed": ClosingSigned,
    "closing_complete": ClosingComplete,
}
_NAME_OF = {kind: name for name, kind in NAMES.items()}


@dataclass(frozen=True)
class Envelope:
    """A message of one connection of one channel."""

    channel: str
    sender_epoch: str
    """The sender's number of the connection: each is greater than every earlier one, across restarts."""
    receiver_epoch: str
    """The receiver's, as far as the sender knows it; empty when it does not."""
    sequence: int
    """0 for ``Reestablish``; then 1, 2, …"""
    body: ChannelMessage


@dataclass(frozen=True)
class _Wire:
    channel: Name
    sender_epoch: Epoch
    receiver_epoch: Epoch
    sequence: Count
    message: Name
    body: msgspec.Raw


def encode(envelope: Envelope) -> bytes:
    """The JSON form, UTF-8, without the line's end."""
    form = {
        "channel": envelope.channel,
        "sender_epoch": envelope.sender_epoch,
        "receiver_epoch": envelope.receiver_epoch,
        "sequence": envelope.sequence,
        "message": _NAME_OF[type(envelope.body)],
        "body": {field.name: getattr(envelope.body, field.name) for field in fields(envelope.body)},
    }
    return msgspec.json.encode(form)


def channel_of(raw: bytes) -> str | None:
    """The name of the channel that a message is for; None when it has not the form of a channel's message."""
    try:
        return msgspec.json.decode(raw, type=_Wire).channel
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def decode(raw: bytes, sender: str) -> Envelope:
    """Read a message of ``sender``. Raises ``MessageError`` naming the place and what was expected there."""
    place = f"message of {sender}"
    if len(raw) > MAX_MESSAGE_BYTES:
        raise MessageError(place, f"{len(raw)} bytes are more than {MAX_MESSAGE_BYTES}", "message-size")
    try:
        wire = msgspec.json.decode(raw, type=_Wire)
        extra = msgspec.json.decode(raw, type=dict[str, msgspec.Raw]).keys() - {one.name for one in fields(_Wire)}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MessageError(place, str(error), "message-form") from error
    if extra or wire.message not in NAMES:
        raise MessageError(place, f"unknown message or field {(*sorted(extra), wire.message)[0]:.60}", "message-form")
    body = decode_as(NAMES[wire.message], bytes(wire.body), f"{place}, {wire.message}")
    return Envelope(wire.channel, wire.sender_epoch, wire.receiver_epoch, wire.sequence, body)
