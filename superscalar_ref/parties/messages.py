"""What parties say to one another: frozen dataclasses with a JSON form.

Laws of this module:

* Bytes are lower-case hex of the length that they must have; amounts are whole satoshis; heights and locks are blocks.
* Decoding is strict: an unknown message, a missing, doubled or unknown field, a wrong type or length gives one
  ``MessageError`` (R-MESSAGE-FORM).
* A message carries facts and signatures. What is allowed is decided by the tables, when the message is taken.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, TypeVar

import msgspec

from superscalar_ref.errors import MessageError
from superscalar_ref.protocol.blueprint import Economy, LeafContents, Locks

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
"""Longer messages are refused unread."""

Hash = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
Point = Annotated[str, msgspec.Meta(pattern=r"^0[23][0-9a-f]{64}\Z")]
PublicNonce = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{132}\Z")]
Partial = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
Signature = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{128}\Z")]
Script = Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{2}){1,64}\Z")]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Label = Annotated[str, msgspec.Meta(min_length=1, max_length=8192)]
"""A version or a transaction: it holds each counter of the tree, and 127 clients can stand under 2,000 of them."""
Amount = Annotated[int, msgspec.Meta(ge=0, le=21_000_000 * 100_000_000)]
Height = Annotated[int, msgspec.Meta(ge=0, le=499_999_999)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]


@dataclass(frozen=True)
class KeysForm:
    """One party's public part."""

    factory_key: Point
    payout_script: Script


@dataclass(frozen=True)
class PointsForm:
    """One side's basepoints in one channel (BOLT 2)."""

    revocation_basepoint: Point
    payment_basepoint: Point
    delayed_payment_basepoint: Point
    htlc_basepoint: Point


@dataclass(frozen=True)
class CoinForm:
    """A coin that the funding transaction spends."""

    txid: Hash
    index: Count
    amount: Amount
    script: Script


@dataclass(frozen=True)
class LevelForm:
    """One level of the shape, root first."""

    arity: Count
    kind: Annotated[str, msgspec.Meta(pattern=r"^(dw|static)\Z")]


@dataclass(frozen=True)
class PayoutForm:
    """What the funding transaction pays to a party of the factory that it closes; its keys are in the terms."""

    name: Name
    amount: Amount


@dataclass(frozen=True)
class PayForm:
    """An output of a transaction."""

    amount: Amount
    script: Script


@dataclass(frozen=True)
class DayForm:
    """The day's transaction: it closes this factory and funds another (LAD-6)."""

    coins: tuple[CoinForm, ...]
    """What it spends beside the funding output, in their order."""
    outputs: tuple[PayForm, ...]
    """All that it pays, in their order."""


@dataclass(frozen=True)
class TermsForm:
    """The terms of a factory, with every key in them."""

    factory: Name
    lsp: Name
    clients: tuple[Name, ...]
    levels: tuple[LevelForm, ...]
    leaf_k: Count
    economy: Economy
    locks: Locks
    transaction_version: Count
    coins: tuple[CoinForm, ...]
    keys: Mapping[Name, KeysForm]
    """Of the LSP, of every client, and of whoever else is paid."""
    payouts: tuple[PayoutForm, ...] = ()


@dataclass(frozen=True)
class Invitation:
    """LSP → client: a place in a factory, with the balance that the client is to have in it (sat)."""

    factory: Name
    balance: Amount


@dataclass(frozen=True)
class Join:
    """Client → LSP: the client's keys, and its first per-commitment point."""

    keys: KeysForm
    points: PointsForm
    commitment_point: Point


@dataclass(frozen=True)
class Proposal:
    """LSP → client: the terms, the contents, the LSP's side of this client's channel, the funding output's script."""

    label: Label
    terms: TermsForm
    contents: Mapping[Name, LeafContents]
    points: PointsForm
    commitment_point: Point
    """The LSP's, for this version."""
    client_commitment_point: Point
    """The client's, which it gave for this version."""
    funding_script: Script


@dataclass(frozen=True)
class Update:
    """LSP → client: the next version of ``node`` and of what is below it.

    Both points are missing when this client's channel lives, and moves with its own commitments (D-15).
    """

    label: Label
    node: Name
    versions: Mapping[Name, Count]
    """Index of each DW node on the path to ``node`` and below it."""
    contents: Mapping[Name, LeafContents]
    """Of the leaves below ``node``."""
    commitment_point: Point | None
    """The LSP's, for this version."""
    client_commitment_point: Point | None
    """The client's, which it gave for this version."""


@dataclass(frozen=True)
class Close:
    """LSP → client: a cooperative close by these contents."""

    label: Label
    attempt: Count
    versions: Mapping[Name, Count]
    contents: Mapping[Name, LeafContents]
    day: DayForm | None = None
    """Where the close is part of the day's transaction."""


@dataclass(frozen=True)
class Agreement:
    """Client → LSP: agreed, to a plan with this digest."""

    label: Label
    digest: Label


@dataclass(frozen=True)
class Begin:
    """LSP → client: open (again) every session that is not complete, as this attempt."""

    attempt: Count


@dataclass(frozen=True)
class Nonces:
    """Signer → collector: public nonces, by transaction."""

    attempt: Count
    nonces: Mapping[Label, PublicNonce]


@dataclass(frozen=True)
class AggregateNonces:
    """Collector → signer: aggregate nonces, by transaction."""

    attempt: Count
    nonces: Mapping[Label, PublicNonce]


@dataclass(frozen=True)
class Partials:
    """Signer → collector: partial signatures, by transaction."""

    attempt: Count
    partials: Mapping[Label, Partial]


@dataclass(frozen=True)
class Signatures:
    """Collector → signer: complete signatures, by transaction."""

    signatures: Mapping[Label, Signature]


@dataclass(frozen=True)
class KitComplete:
    """Client → LSP: the kit of this version is complete and durable; the point for the next version's commitment."""

    label: Label
    next_commitment_point: Point


@dataclass(frozen=True)
class UpdateAborted:
    """LSP → client: this version is given up."""

    label: Label


@dataclass(frozen=True)
class Buy:
    """Client → LSP: sell me a channel of this capacity (sat), for at most this price (sat)."""

    capacity: Amount
    most: Amount
    commitment_point: Point
    """For the new channel's first commitment."""


@dataclass(frozen=True)
class PointPair:
    """The points of a new channel's first commitments."""

    client: Point
    lsp: Point


@dataclass(frozen=True)
class Sale:
    """LSP → every client of a stock: the next link of its chain."""

    label: Label
    state: Label
    """The leaf's state on which the chain hangs."""
    stock: Count
    """Index of the stock output among that state's outputs."""
    serial: Count
    parent: Label
    """The state, or the link, whose stock output is spent."""
    buyer: Name
    to_client: Amount
    to_lsp: Amount
    price: Amount
    points: PointPair | None = None
    """To the buyer alone."""


@dataclass(frozen=True)
class BeginSale:
    """LSP → client: open (again) every session of this sale that is not complete, as this attempt."""

    label: Label
    attempt: Count


@dataclass(frozen=True)
class LinkHeld:
    """Client → LSP: the link, and everything on it that this client is to hold, is complete and durable."""

    label: Label


@dataclass(frozen=True)
class PaymentRequest:
    """LSP → buyer: the sale is complete; let the payment settle."""

    label: Label


@dataclass(frozen=True)
class Payment:
    """Buyer → LSP: stands for the payment over Lightning that settles now."""

    label: Label


@dataclass(frozen=True)
class SaleRefused:
    """LSP → client: nothing is sold now; why, and what the client can do instead."""

    reason: str
    fallback: str


@dataclass(frozen=True)
class SaleAborted:
    """LSP → client: this sale is given up."""

    label: Label


@dataclass(frozen=True)
class Abort:
    """LSP → client: the ceremony is given up."""

    factory: Name


Message = (
    Invitation
    | Join
    | Proposal
    | Update
    | Close
    | Agreement
    | Begin
    | Nonces
    | AggregateNonces
    | Partials
    | Signatures
    | KitComplete
    | UpdateAborted
    | Buy
    | Sale
    | BeginSale
    | LinkHeld
    | PaymentRequest
    | Payment
    | SaleRefused
    | SaleAborted
    | Abort
)

NAMES: Mapping[str, type[Message]] = {
    "invitation": Invitation,
    "join": Join,
    "proposal": Proposal,
    "update": Update,
    "close": Close,
    "agreement": Agreement,
    "begin": Begin,
    "nonces": Nonces,
    "aggregate_nonces": AggregateNonces,
    "partials": Partials,
    "signatures": Signatures,
    "kit_complete": KitComplete,
    "update_aborted": UpdateAborted,
    "buy": Buy,
    "sale": Sale,
    "begin_sale": BeginSale,
    "link_held": LinkHeld,
    "payment_request": PaymentRequest,
    "payment": Payment,
    "sale_refused": SaleRefused,
    "sale_aborted": SaleAborted,
    "abort": Abort,
}
_NAME_OF = {kind: name for name, kind in NAMES.items()}


def encode(message: Message) -> bytes:
    """The JSON form, UTF-8, without the line's end."""
    return wrap(message, _NAME_OF[type(message)])


def decode(raw: bytes, sender: str) -> Message:
    """Read a message of ``sender``. Raises ``MessageError`` naming the place and what was expected there."""
    return unwrap(raw, sender, NAMES)


def wrap(message: DataclassInstance, name: str) -> bytes:
    """A dataclass with the name of its kind as JSON, UTF-8, without the line's end."""
    form = {field.name: getattr(message, field.name) for field in fields(message)}
    return msgspec.json.encode({"message": name, "body": form})


def unwrap(raw: bytes, sender: str, names: Mapping[str, type[T]]) -> T:
    """Read what ``wrap`` wrote, of one of the kinds in ``names``. Raises ``MessageError``, as ``decode`` does."""
    place = f"message of {sender}"
    if len(raw) > MAX_MESSAGE_BYTES:
        raise MessageError(place, f"{len(raw)} bytes are more than {MAX_MESSAGE_BYTES}", "message-size")
    try:
        envelope = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
        strict_json(raw)
        name = msgspec.json.decode(envelope.pop("message", msgspec.Raw(b"null")))
        body = envelope.pop("body", msgspec.Raw(b"null"))
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise MessageError(place, f"no JSON object: {error}", "message-form") from error
    if envelope or not isinstance(name, str) or name not in names:
        raise MessageError(place, f"unknown message {name!r:.60}", "message-form")
    return decode_as(names[name], bytes(body), f"{place}, {name}")


def strict_json(raw: bytes) -> object:
    """Any JSON value. Raises ``ValueError`` for what is none, or names a field twice."""
    value: object = json.loads(raw, object_pairs_hook=_once)
    return value


def decode_as(kind: type[T], raw: bytes, place: str) -> T:
    """Read one dataclass from its JSON form; unknown fields are refused. Raises ``MessageError``."""
    try:
        value = msgspec.json.decode(raw, type=kind)
        known = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MessageError(place, str(error), "message-form") from error
    extra = _extra(known, msgspec.to_builtins(value))
    if extra:
        raise MessageError(place, f"unknown field '{extra:.60}'", "message-form")
    return value


def _extra(given: object, taken: object) -> str:
    """The first field of ``given`` that reading did not take; empty when all were."""
    if isinstance(given, dict) and isinstance(taken, dict):
        inner = (_extra(value, taken[key]) if key in taken else str(key) for key, value in given.items())
        return next(filter(None, inner), "")
    if isinstance(given, list) and isinstance(taken, list | tuple):
        return next(filter(None, map(_extra, given, taken)), "")
    return ""


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object of JSON. Raises ``ValueError`` when it names a field twice: readers differ in which one they take."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a field is named twice")
    return found


def decode_plain(kind: type[T], text: str, place: str) -> T:
    """Read a value of a party's own record. Raises ``MessageError`` when the record is damaged."""
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MessageError(place, str(error), "store-form") from error


def text_of(value: object) -> str:
    """The JSON text of a dataclass, for a durable record."""
    return msgspec.json.encode(value).decode()
