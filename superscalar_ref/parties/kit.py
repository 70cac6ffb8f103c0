"""A client's exit kit as one file: what it needs to get out alone, on a machine that knows nothing else (D-16).

Laws of this module:

* A kit holds no factory key, no seed and no record of what was signed: nothing can be signed with others from it, so
  that an old kit is never a second signer (BAK-4, Q-BAK-1).
* Its secrets are the four channel keys, and, once a channel has lived, that channel's own records: they take the
  client's outputs home, and punish. Who steals a kit can do so in its place.
* A kit is a copy of durable records, made between two of the client's steps; it says at which height.
* Reading is strict: an unknown, missing or doubled field, a wrong type or length gives one error with its place.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated

import msgspec

from superscalar_ref.errors import InputError, SuperscalarError
from superscalar_ref.parties import messages as m
from superscalar_ref.parties.actor import Identity
from superscalar_ref.parties.archive import FactoryRecord
from superscalar_ref.parties.client import FACTORY, LIFE, ClientActor, Saved
from superscalar_ref.parties.store import Store
from superscalar_ref.protocol.client import Client, Limits
from superscalar_ref.protocol.transaction import Kind, Template
from superscalar_ref.realise.channel import ChannelSecrets
from superscalar_ref.signing.keys import SecretKey

FORMAT = "superscalar exit kit"
VERSION = 1
SECRETS = (
    "This file is secret. It holds the four channel keys of one client in one factory (revocation, payment, delayed "
    "payment, HTLC) and the records of its channel, with its per-commitment secrets and preimages if there are any: "
    "whoever reads it can take the outputs that these keys guard once they are on chain. It holds no factory key, no "
    "seed and no wallet key: nothing can be signed with others from it."
)
"""What every kit says of itself."""
MAX_KIT_BYTES = 256 * 1024 * 1024
"""Longer files are refused unread."""
CHANNEL = "channel/"
"""Under which names a store keeps the records of live channels."""
_LEAVING = ("holding", "active", "updating", "closing", "exiting", "waiting", "on_chain", "settling")
"""States of a client that has something to get out, and the kit to do it."""


@dataclass(frozen=True)
class SecretsForm:
    """The secrets of a client's basepoints in its channels (BOLT 2), 32 bytes of hex each."""

    revocation_basepoint: m.Hash
    payment_basepoint: m.Hash
    delayed_payment_basepoint: m.Hash
    htlc_basepoint: m.Hash


@dataclass(frozen=True)
class Counted:
    """What the client counts on."""

    label: m.Label
    """Of the version in ``factory``."""
    version: Annotated[str, msgspec.Meta(max_length=8192)]
    """Indices on the client's path, ``0.1``; ``-`` where there is no counter."""
    owed: m.Amount
    """Its balance (sat)."""
    capacity: m.Amount
    """Both sides of its channels (sat)."""
    kit: tuple[m.Label, ...]
    """Names of all transactions that it must hold complete."""
    funded: bool
    """Whether it has seen the funding transaction deep enough."""


@dataclass(frozen=True)
class Kit:
    """The file."""

    format: str
    version: int
    secrets: str
    """What is secret in it, in words."""
    client: m.Name
    lsp: m.Name
    height: m.Height
    """Of the last block that the client had seen when the kit was made; 0 when it has seen none."""
    limits: Limits
    counted: Counted
    factory: FactoryRecord
    """The public plan: terms with every key, and every version, sale and close that was ever proposed."""
    signatures: Mapping[m.Label, m.Signature]
    """Complete signatures, by the name of the transaction."""
    channel_secrets: SecretsForm
    channel_records: Mapping[str, str] = field(default_factory=dict)
    """Records of the live channel as its store holds them; empty for one that never lived."""


@dataclass(frozen=True)
class KitIdentity(Identity):
    """What a kit knows of its client: the channel's secrets. Its factory key is a stranger's, and signs nothing."""

    secrets: ChannelSecrets = field(kw_only=True)
    stranger: SecretKey = field(default_factory=SecretKey.generate, kw_only=True)

    def factory_key(self) -> SecretKey:
        """A key of no party: a restored client cannot sign with others (BAK-4)."""
        return self.stranger

    def channel(self, client: str) -> ChannelSecrets:
        """The secrets of the client's own channels. Raises ``InputError`` for another's."""
        if client != self.name:
            raise InputError("kit", f"holds no secrets of {client}", "BAK-4")
        return self.secrets


class RestoredClient(ClientActor):
    """The client of a kit: it may publish what ``may_publish`` allows, and nothing of ``hidden``."""

    may_publish: frozenset[Kind] = frozenset(Kind)
    hidden: frozenset[str] = frozenset()
    """Names of transactions that its live channel has replaced."""

    def held_templates(self) -> dict[str, Template]:
        """See ``Actor.held_templates``."""
        return {
            name: template
            for name, template in super().held_templates().items()
            if template.kind in self.may_publish and name not in self.hidden
        }


# -- making one ----------------------------------------------------------------------------------------------------


def open_client(path: Path, seed: bytes, factory_number: int = 0) -> ClientActor:
    """The client whose records ``path`` holds.

    Raises ``InputError`` when that is no store of a client, when it knows no factory yet, or when the seed is not that
    of the client's key in it.
    """
    if not path.is_file():
        raise InputError(str(path), "there is no such file", "store-form")
    store = Store.snapshot(path)
    stored = store.document(LIFE)
    if stored is None:
        raise InputError(str(path), "holds no client's life", "store-form")
    life = m.decode_plain(Saved, stored, str(path)).life
    client = ClientActor(Identity(life.me, seed, factory_number), life.lsp, store, b"", life.limits)
    if client.archive is None:
        raise InputError(str(path), f"{life.me} knows no factory yet: there is nothing to export", "D-16")
    if client.archive.record.terms.keys[life.me].factory_key != client.key.public.hex():
        problem = f"is not that of {life.me} in factory number {factory_number}"
        raise InputError("seed", problem, "R-KEYS")
    return client


def export(client: ClientActor, channels: Store | None = None) -> Kit:
    """The kit of a client as it stands. ``channels`` holds its live channel's records where its own store does not.

    Raises ``InputError`` (D-16) before the client counts on anything, or when it has left.
    """
    life, archive = client.life, client.factory
    if life.status not in _LEAVING or not client.counted:
        raise InputError(client.name, f"is '{life.status}': it has nothing to get out", "D-16")
    secrets = client.identity.channel(client.name)
    return Kit(
        FORMAT,
        VERSION,
        SECRETS,
        client.name,
        life.lsp,
        client.height,
        life.limits,
        Counted(
            client.counted, life.version, life.owed, life.capacity, tuple(sorted(life.kit)), life.status != "holding"
        ),
        archive.record,
        {name: signature.hex() for name, signature in sorted(client.signatures.items())},
        SecretsForm(*(getattr(secrets, one.name).reveal().hex() for one in fields(SecretsForm))),
        {**client.store.documents(CHANNEL), **(channels.documents(CHANNEL) if channels else {})},
    )


def write_kit(path: Path, kit: Kit) -> None:
    """Write the file, readable by its owner alone, whole or not at all."""
    text = msgspec.json.format(msgspec.json.encode(kit), indent=1)
    partial = path.with_name(f"{path.name}.part")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(text + b"\n")
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


# -- taking one up -------------------------------------------------------------------------------------------------


def read_kit(path: Path) -> Kit:
    """Read a file. Raises ``InputError`` naming file, place and rule."""
    if path.stat().st_size > MAX_KIT_BYTES:
        raise InputError(str(path), f"is longer than {MAX_KIT_BYTES} bytes", "kit.schema.json")
    raw = path.read_bytes()
    try:
        head = m.strict_json(raw)
    except (ValueError, RecursionError) as error:
        raise InputError(str(path), f"is not JSON: {error}", "kit.schema.json") from None
    if not isinstance(head, dict) or head.get("format") != FORMAT:
        raise InputError(str(path), f"is no '{FORMAT}'", "kit.schema.json")
    if head.get("version") != VERSION:
        problem = f"is of version {head.get('version')!r:.20}; version {VERSION} is read here"
        raise InputError(f"{path}: version", problem, "kit.schema.json")
    try:
        return m.decode_as(Kit, raw, str(path))
    except InputError as error:
        raise InputError(error.place, error.problem, "kit.schema.json") from None


@contextlib.contextmanager
def at_file(path: Path) -> Iterator[None]:
    """Give an error of a rule the file in which its cause stands."""
    try:
        yield
    except InputError as error:
        if error.place.startswith(str(path)):
            raise
        raise InputError(f"{path}: {error.place}", error.problem, error.rule) from error
    except SuperscalarError as error:
        raise InputError(str(path), str(error), "kit.schema.json") from error


def restore(kit: Kit) -> RestoredClient:
    """The client of a kit, with nothing but the kit: it can publish, and cannot sign with others.

    Raises ``InputError`` when the kit contradicts itself.
    """
    terms, counted = kit.factory.terms, kit.counted
    if kit.client not in terms.clients or kit.client not in terms.keys:
        raise InputError("client", f"'{kit.client}' is none of the factory's clients", "D-16")
    if kit.lsp != terms.lsp:
        raise InputError("lsp", f"'{kit.lsp}' is not the factory's LSP {terms.lsp}", "D-16")
    if counted.label not in {version.label for version in kit.factory.versions}:
        raise InputError("counted.label", f"there is no version '{counted.label:.40}'", "D-16")
    secrets = _channel_secrets(kit)
    life = Client(
        "active" if counted.funded else "holding",
        kit.client,
        kit.lsp,
        kit.limits,
        version=counted.version,
        owed=counted.owed,
        capacity=counted.capacity,
        kit=frozenset(counted.kit),
        newest_agreed=counted.version,
    )
    store = Store()
    store.put_document(LIFE, m.text_of(Saved(life, counted.label, "", counted.label)))
    store.put_document(FACTORY, m.text_of(kit.factory))
    for name, signature in kit.signatures.items():
        store.put_signature(name, bytes.fromhex(signature))
    for name, body in kit.channel_records.items():
        if not name.startswith(CHANNEL):
            raise InputError(f"channel_records.{name:.40}", f"does not begin with '{CHANNEL}'", "kit.schema.json")
        store.put_document(name, body)
    store.commit()
    identity = KitIdentity(kit.client, b"", secrets=secrets)
    payout = bytes.fromhex(terms.keys[kit.client].payout_script)
    client = RestoredClient(identity, kit.lsp, store, payout, kit.limits)
    client.height = kit.height
    return client


def _channel_secrets(kit: Kit) -> ChannelSecrets:
    """The four secrets, which must be those of the points in the plan. Raises ``InputError`` (R-KEYS)."""
    points = kit.factory.points.get(f"{kit.client}/{kit.client}")
    if points is None:
        raise InputError("factory.points", f"the points of {kit.client} are missing", "R-KEYS")
    found = {}
    for one in fields(SecretsForm):
        place = f"channel_secrets.{one.name}"
        try:
            found[one.name] = SecretKey(bytes.fromhex(getattr(kit.channel_secrets, one.name)))
        except SuperscalarError:
            raise InputError(place, "is no secret key", "R-KEYS") from None
        if found[one.name].public.hex() != getattr(points, one.name):
            raise InputError(place, "is not the secret of the point in the plan", "R-KEYS")
    return ChannelSecrets(**found)


def without(kit: Kit, *names: str) -> Kit:
    """The kit without the signatures of some transactions: for looking at what is missed."""
    return replace(kit, signatures={name: one for name, one in kit.signatures.items() if name not in names})
