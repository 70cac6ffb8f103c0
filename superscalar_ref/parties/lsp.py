"""The LSP as an actor: it invites, proposes, collects signatures children first, funds last, updates and closes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from superscalar_ref.bitcoin.sighash import taproot_sighash
from superscalar_ref.bitcoin.transaction import Transaction, with_witness
from superscalar_ref.errors import InputError
from superscalar_ref.machine.types import Action, Event
from superscalar_ref.parties import messages as m
from superscalar_ref.parties.actor import Actor, Identity, Outbox
from superscalar_ref.parties.archive import Archive, CloseRecord, FactoryRecord, Planned, VersionRecord
from superscalar_ref.parties.store import Store
from superscalar_ref.parties.terms import digest_of, keys_form, points_form, points_of
from superscalar_ref.protocol.blueprint import (
    FUNDING,
    Economy,
    LeafContents,
    Locks,
    commitment_name,
    fresh_versions,
    leaves_below,
)
from superscalar_ref.protocol.factory import Factory
from superscalar_ref.protocol.odometer import Odometer
from superscalar_ref.protocol.participant import Machines, Participant, Signer, live
from superscalar_ref.protocol.shape import NodeKind, Shape, Tree, grow
from superscalar_ref.realise.book import PartyKeys
from superscalar_ref.realise.tree import funding_script
from superscalar_ref.signing.keys import Randomness, SecretKey, check_public_key, system_randomness

LIFE = "lsp"
FACTORY = "factory"
SIGNING = ("signing", "update_signing", "close_signing")
"""States in which sessions are open."""


@dataclass(frozen=True)
class Wallet:
    """The LSP's coins and the key that spends them (BIP-86)."""

    key: SecretKey
    coins: tuple[m.CoinForm, ...]


@dataclass(frozen=True)
class Offer:
    """What the LSP means to build."""

    factory: str
    shape: Shape
    balances: Mapping[str, int]
    """Client → promised balance (sat), in the order of the leaves."""
    contents: Mapping[str, LeafContents]
    economy: Economy
    locks: Locks
    transaction_version: int
    depth: int
    """Confirmations after which a transaction is final."""
    active_blocks: int


@dataclass(frozen=True)
class Saved:
    """An LSP's life on disk; the tree of its odometer follows from the offer."""

    life: Factory
    indices: tuple[tuple[str, int], ...]
    joins: Mapping[str, m.Join]
    points: Mapping[str, str]
    counted: Mapping[str, LeafContents]
    counted_versions: Mapping[str, int]


class LspActor(Actor):
    """The LSP of one factory."""

    def __init__(
        self,
        identity: Identity,
        store: Store,
        wallet: Wallet,
        payout_script: bytes,
        offer: Offer,
        randomness: Randomness = system_randomness,
        tables: Machines | None = None,
    ) -> None:
        """An LSP that has invited nobody yet, or, when ``store`` holds its life, that LSP after a restart."""
        self.tree: Tree = grow(offer.shape, tuple(offer.balances))
        life = Factory(
            "gathering",
            identity.name,
            frozenset(offer.balances),
            offer.depth,
            offer.active_blocks,
            odometer=Odometer.new(self.tree, offer.locks.states),
        )
        super().__init__(identity, store, life, randomness, tables)
        self.wallet = wallet
        self.payout_script = payout_script
        self.offer = offer
        self.joins: dict[str, m.Join] = {}
        self.points: dict[str, str] = {}
        """Client → its point for its next version (hex)."""
        self.counted: dict[str, LeafContents] = dict(offer.contents)
        """Contents of the version that the LSP counts on."""
        self.counted_versions: dict[str, int] = fresh_versions(self.tree)
        """Indices of that version; the odometer also counts what was tried and given up."""
        self._recover()

    @property
    def life(self) -> Factory:
        """Its state in the table."""
        assert isinstance(self.party.life, Factory)
        return self.party.life

    @property
    def odometer(self) -> Odometer:
        """The counters of the tree."""
        assert self.life.odometer is not None
        return self.life.odometer

    # -- what the LSP does by itself -----------------------------------------------------------------------------------

    def invite(self) -> Outbox:
        """Invite every client that has not joined."""
        self.outbox = Outbox()
        for client, balance in self.offer.balances.items():
            if client not in self.life.joined:
                self._send(client, m.Invitation(self.offer.factory, balance))
        return self.outbox

    def fund(self) -> Outbox:
        """Sign and broadcast the funding transaction. Raises ``Refused`` before every kit is complete."""
        self.outbox = Outbox()
        self.live(Event.of("fund", self.name))
        return self.outbox

    def update(self, node: str, contents: Mapping[str, LeafContents]) -> Outbox:
        """Propose the next version of ``node``, with new contents for leaves below it.

        Raises ``Refused`` (``INDEX_LEFT``) when the node's counter is used up, ``InputError`` when contents do not fit
        or when a version of a node above was tried and given up: then that one is to be updated.
        """
        self.outbox = Outbox()
        clients = self.tree.node(node).clients
        for above in self.tree.path_of(self.tree.node(node))[:-1]:
            if above.has_counter and self.odometer.index(above.path) != self.counted_versions[above.path]:
                raise InputError(f"update of {node}", f"the last update of {above.path} was given up", "R-ODOMETER")
        nothing: frozenset[str] = frozenset()
        concerned = frozenset(clients)
        # What the table refuses must not use up points: it is asked before any is made.
        asked = Event.of(
            "begin_update",
            self.name,
            node=node,
            concerned=concerned,
            version="",
            digest="",
            kit=nothing,
            to_sign=nothing,
        )
        live(self.tables, self.party, asked)
        ticked = self.odometer.tick(node)
        below = {path: index for path, index in ticked.indices if path == node or path.startswith(f"{node}.")}
        versions = {**self.counted_versions, **below}
        record = self._record(self._label(), node, versions, {**self.counted, **contents}, clients)
        planned = self.factory.plan(record)
        changed = Archive(self.name, self.factory.record)
        changed.adopt(planned)
        event = Event.of("begin_update", self.name, node=node, concerned=concerned, **self._facts(planned))
        self._proposed(event, changed)
        return self.outbox

    def close(self) -> Outbox:
        """Propose a cooperative close by the version that the LSP counts on. Raises ``Refused`` out of turn."""
        self.outbox = Outbox()
        attempt = len(self.factory.record.closes)
        record = CloseRecord(self._label(), attempt, dict(self.counted_versions), dict(self.counted))
        planned = self.factory.plan_close(record)
        changed = Archive(self.name, self.factory.record)
        changed.adopt_close(planned)
        name = frozenset({planned.template.name})
        event = Event.of(
            "begin_close", self.name, digest=planned.realised.txid, version=record.label, kit=name, to_sign=name
        )
        self._proposed(event, changed)
        return self.outbox

    def abort(self) -> Outbox:
        """Give up what is being signed: an update, or, before funding, the factory. Raises ``Refused`` out of turn."""
        self.outbox = Outbox()
        updating = self.life.status in ("updating", "update_signing")
        self.live(Event.of("update_aborted" if updating else "abort", self.name))
        return self.outbox

    def retry(self) -> Outbox:
        """After silence: send again whatever somebody may not have received, and start open sessions over."""
        self.outbox = Outbox()
        match self.life.status:
            case "gathering":
                for client in sorted(self.life.clients - self.life.joined):
                    self._send(client, m.Invitation(self.offer.factory, self.offer.balances[client]))
            case "proposed" | "updating" | "closing":
                for client in sorted(self.life.concerned - self.life.agreed):
                    if self.life.status == "proposed":
                        # A client that restarted before it had the proposal knows of no invitation.
                        self._send(client, m.Invitation(self.offer.factory, self.offer.balances[client]))
                    self._send(client, self._offer_for(client))
            case "active":
                self._given_up_again()
            case "funded":
                self.outbox.broadcasts.append(self.funding_transaction())
            case "close_published":
                self.outbox.broadcasts.append(self._closing_transaction())
            case status if status in SIGNING:
                self._sign_again()
        return self.outbox

    def _given_up_again(self) -> None:
        """Tell again that the last update was given up, to whoever may still be signing it."""
        newest = self.factory.newest
        if newest is not None and newest.label != self.life.version:
            for client in self.tree.node(newest.node).clients:
                self._send(client, m.UpdateAborted(newest.label))

    def _sign_again(self) -> None:
        waiting = self.life.concerned - self.life.complete
        for client in sorted(waiting):
            known = {
                name: self.signatures[name].hex()
                for name in self.factory.signing(self.life.pending)
                if name in self.signatures and client in self._holders(name)
            }
            if known:
                self._send(client, m.Signatures(known))
        self.live(Event.of("retry", self.name))

    def _holders(self, name: str) -> frozenset[str]:
        template = self.factory.templates[name]
        return frozenset({template.holder}) if template.holder else template.signers

    # -- messages ------------------------------------------------------------------------------------------------------

    def take_life(self, sender: str, message: m.Message) -> None:
        """Take a message about the factory's life. Raises ``SuperscalarError`` when it is refused."""
        match message:
            case m.Join():
                self._take_join(sender, message)
            case m.Agreement():
                if message.label != self.life.pending:
                    raise InputError(f"agreement of {sender}", "is for another version", "FAC-3")
                self.live(Event.of("agreement", sender, digest=message.digest))
            case m.KitComplete():
                self._take_kit_complete(sender, message)
            case _:
                kind = type(message).__name__
                raise InputError(f"message of {sender}", f"{kind} is not for the LSP", "message-form")

    def _take_kit_complete(self, sender: str, message: m.KitComplete) -> None:
        check_public_key(bytes.fromhex(message.next_commitment_point), f"commitment point of {sender}")
        known = self.points
        self.points = {**known, sender: message.next_commitment_point}
        try:
            self.live(Event.of("kit_complete", sender, version=message.label))
        except Exception:
            self.points = known
            raise

    def _take_join(self, sender: str, join: m.Join) -> None:
        if self.joins.get(sender) == join and self.life.status != "gathering":
            return  # The answer to an invitation that was sent again.
        self._check_join(sender, join)
        known = self.party, self.joins, self.points
        self.joins = {**self.joins, sender: join}
        self.points = {**self.points, sender: join.commitment_point}
        try:
            self.live(Event.of("join", sender))
            if self.life.joined == self.life.clients:
                self._propose()
        except Exception:
            # A join is durable with the proposal alone: who completes it is asked again.
            self.party, self.joins, self.points = known
            raise

    def _check_join(self, sender: str, join: m.Join) -> None:
        """Refuse keys that no plan can be made with. Raises ``InputError`` (R-KEYS)."""
        place = f"join of {sender}"
        points_of(join.points)
        for key in (join.keys.factory_key, join.commitment_point):
            check_public_key(bytes.fromhex(key), place)
        others = {known.keys.factory_key for client, known in self.joins.items() if client != sender}
        if join.keys.factory_key in others | {self.key.public.hex()}:
            raise InputError(place, "another party has the same key", "R-KEYS")

    def _propose(self) -> None:
        archive = Archive(self.name, FactoryRecord(self._terms(), self._channel_points()))
        self.archive = archive
        clients = tuple(self.offer.balances)
        versions = fresh_versions(self.tree)
        record = self._record(self._label(), self.tree.root.path, versions, self.offer.contents, clients)
        planned = archive.plan(record)
        facts = self._facts(planned)
        archive.adopt(planned)
        self.archive = None
        self._proposed(Event.of("propose", self.name, **facts), archive)

    def _proposed(self, event: Event, archive: Archive) -> None:
        """Let the table decide on a proposal; when it is refused, everything is as before."""
        before = self.archive
        self.archive = archive
        try:
            self.live(event)
        except Exception:
            self.archive = before
            raise
        self.open_tasks(self.life.pending)

    # -- versions ------------------------------------------------------------------------------------------------------

    def _label(self) -> str:
        done = 0 if self.archive is None else len(self.archive.record.versions) + len(self.archive.record.closes)
        return f"v{done}"

    def _facts(self, planned: Planned) -> dict[str, str | frozenset[str]]:
        known = self.factory.templates
        new = frozenset(template.name for template in planned.blueprint.signed_together() if template.name not in known)
        return {
            "version": planned.record.label,
            "digest": digest_of(planned.blueprint, planned.realised, planned.record.node),
            "kit": new & planned.blueprint.kit_of(self.name),
            "to_sign": new,
        }

    def _record(
        self,
        label: str,
        node: str,
        versions: Mapping[str, int],
        contents: Mapping[str, LeafContents],
        clients: Iterable[str],
    ) -> VersionRecord:
        """A version, with fresh points of the LSP for the channels that it changes."""
        newest = self.factory.newest
        points = dict(newest.points) if newest else {}
        for client in clients:
            path = tuple(versions[n.path] for n in self.tree.path_to(client) if n.kind is not NodeKind.STATIC)
            points[commitment_name(client, path, client)] = self.points[client]
            points[commitment_name(client, path, self.name)] = self.new_commitment_point(client)
        return VersionRecord(label, node, dict(versions), dict(contents), points)

    def _terms(self) -> m.TermsForm:
        offer = self.offer
        keys = {client: join.keys for client, join in self.joins.items()}
        keys[self.name] = keys_form(PartyKeys(self.key.public, self.payout_script))
        levels = tuple(m.LevelForm(level.arity, str(level.kind)) for level in offer.shape.levels)
        return m.TermsForm(
            offer.factory,
            self.name,
            tuple(offer.balances),
            levels,
            offer.shape.leaf_k,
            offer.economy,
            offer.locks,
            offer.transaction_version,
            self.wallet.coins,
            keys,
        )

    def _channel_points(self) -> dict[str, m.PointsForm]:
        points: dict[str, m.PointsForm] = {}
        for client, join in self.joins.items():
            points[f"{client}/{client}"] = join.points
            points[f"{client}/{self.name}"] = points_form(self.identity.channel(client).points)
        return points

    # -- carrying out --------------------------------------------------------------------------------------------------

    def _send(self, client: str, message: m.Message) -> None:
        self.outbox.messages.append((client, m.encode(message)))

    def message_for(self, action: Action) -> m.Message:
        """The message of an action of the factory's table."""
        match action.name:
            case "proposal" | "update" | "close":
                return self._offer_for(action.to)
            case "begin":
                return m.Begin(self.life.attempt)
            case "update_aborted":
                newest = self.factory.newest
                assert newest is not None
                return m.UpdateAborted(newest.label)
        assert action.name == "abort", action
        return m.Abort(self.offer.factory)

    def _offer_for(self, client: str) -> m.Message:
        """What was proposed last, as this client needs it."""
        record = self.factory.record
        if self.life.status in ("closing", "close_signing") or (
            record.closes and record.closes[-1].label == self.life.pending
        ):
            last = record.closes[-1]
            return m.Close(last.label, last.attempt, last.versions, last.contents)
        version = record.versions[-1]
        path = tuple(version.versions[n.path] for n in self.tree.path_to(client) if n.kind is not NodeKind.STATIC)
        own = version.points[commitment_name(client, path, client)]
        lsp = version.points[commitment_name(client, path, self.name)]
        if len(record.versions) == 1:
            blueprint = self.factory.blueprints[version.label]
            script = funding_script(blueprint, self.factory.book).hex()
            points = record.points[f"{client}/{self.name}"]
            return m.Proposal(version.label, record.terms, version.contents, points, lsp, own, script)
        node = self.tree.node(version.node)
        below = {leaf.path: version.contents[leaf.path] for leaf in leaves_below(node)}
        return m.Update(version.label, version.node, version.versions, below, lsp, own)

    def save(self, action: Action) -> None:
        """The factory's life, and what it rests on."""
        if action.name == "counted":
            newest = self.factory.newest
            assert newest is not None
            self.counted, self.counted_versions = dict(newest.contents), dict(newest.versions)
        if self.archive is not None:
            self.store.put_document(FACTORY, m.text_of(self.archive.record))
        life = replace(self.life, odometer=None)
        indices, versions = self.odometer.indices, self.counted_versions
        saved = Saved(life, indices, self.joins, self.points, self.counted, versions)
        self.store.put_document(LIFE, m.text_of(saved))

    def broadcast(self, action: Action) -> Transaction:
        """The funding transaction, signed with the wallet's key; or the close."""
        if action.name == "close":
            return self._closing_transaction()
        return self.funding_transaction()

    def _closing_transaction(self) -> Transaction:
        (name,) = self.factory.signing(self.life.pending)
        return self.complete_transaction(name)

    def memory(self) -> dict[str, Any]:
        """See ``Actor.memory``."""
        return {**super().memory(), "counted": self.counted, "counted_versions": self.counted_versions}

    def funding_transaction(self) -> Transaction:
        """The funding transaction with the signatures of the LSP's coins."""
        realised = self.factory.realised[FUNDING]
        transaction = realised.transaction
        for index in range(len(transaction.inputs)):
            message = taproot_sighash(transaction, index, realised.spent)
            signature = self.wallet.key.sign_taproot(message, None, self.randomness)
            transaction = with_witness(transaction, index, (signature,))
        return transaction

    def _recover(self) -> None:
        place = str(self.store.path)
        self.load_secrets()
        stored = self.store.document(LIFE)
        if stored is None:
            return
        saved = m.decode_plain(Saved, stored, place)
        self.joins, self.points = dict(saved.joins), dict(saved.points)
        self.counted, self.counted_versions = dict(saved.counted), dict(saved.counted_versions)
        self.signatures = self.store.signatures()
        odometer = Odometer(self.tree, self.offer.locks.states, saved.indices)
        life = replace(saved.life, odometer=odometer, held=frozenset())
        signer = Signer(
            self.name,
            held=frozenset(self.signatures),
            records=self.store.records(),
            tree_on_chain=life.status == "resolving",
        )
        self.party = Participant(life, signer)
        factory = self.store.document(FACTORY)
        if factory is None:
            return
        self.archive = Archive(self.name, m.decode_plain(FactoryRecord, factory, place))
        if life.pending and life.status not in ("resolving", "expired"):
            self.open_tasks(life.pending)
