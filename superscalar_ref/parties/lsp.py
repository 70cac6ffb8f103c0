"""The LSP as an actor: it invites, proposes, collects signatures children first, funds last, updates and closes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from superscalar_ref.bitcoin.sighash import taproot_sighash
from superscalar_ref.bitcoin.transaction import Transaction, TxOutput, with_witness
from superscalar_ref.errors import InputError, ProtocolError, Refused
from superscalar_ref.machine.step import chosen, refusal
from superscalar_ref.machine.types import Action, Event, Value
from superscalar_ref.parties import messages as m
from superscalar_ref.parties.actor import Actor, Identity, Outbox
from superscalar_ref.parties.archive import (
    Archive,
    CloseRecord,
    FactoryRecord,
    Planned,
    PlannedSale,
    SaleRecord,
    VersionRecord,
)
from superscalar_ref.parties.store import Store
from superscalar_ref.parties.terms import digest_of, keys_form, points_form, points_of
from superscalar_ref.protocol.blueprint import (
    FUNDING,
    Blueprint,
    Economy,
    LeafContents,
    Locks,
    build,
    commitment_name,
    fresh_versions,
    leaves_below,
    state_name,
)
from superscalar_ref.protocol.chain_links import cut_through, standing_cover
from superscalar_ref.protocol.deadline import Lead
from superscalar_ref.protocol.factory import Factory
from superscalar_ref.protocol.odometer import Odometer
from superscalar_ref.protocol.participant import Machines, Participant, Signer, live
from superscalar_ref.protocol.shape import Node, NodeKind, Shape, Tree, grow
from superscalar_ref.protocol.stock import Stock, fallback
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
    lead: Lead | None = None
    """How long before the end the LSP begins to publish for whoever has not come back (STR-20)."""
    leavers: Mapping[str, tuple[m.KeysForm, int]] = field(default_factory=dict)
    """Clients of the factory that the funding transaction closes, with their keys and what each is paid (sat)."""


@dataclass(frozen=True)
class Saved:
    """An LSP's life on disk; the tree of its odometer follows from the offer."""

    life: Factory
    indices: tuple[tuple[str, int], ...]
    joins: Mapping[str, m.Join]
    points: Mapping[str, str]
    counted: Mapping[str, LeafContents]
    counted_versions: Mapping[str, int]
    stocks: Mapping[str, Stock] = field(default_factory=dict)
    received: Mapping[str, int] = field(default_factory=dict)


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
        self.lead = offer.lead
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
        self.away: frozenset[str] = frozenset()
        """Clients that are offline."""
        self.received: dict[str, int] = {}
        """Client → a payment to it that found no room in its channels (sat): its next purchase starts with it."""
        self.price_ppm = 0
        """What the LSP asks for a new channel, in millionths of its capacity."""
        self.day: Transaction | None = None
        """The day's transaction, complete, where it closes another factory and funds this one (LAD-2)."""
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
        concerned = frozenset(clients)
        wanted = {**self._cut_below(node), **contents}
        facts = {**self.channels_facts(wanted, clients), "unfinished": self._unfinished(concerned)}
        # What the table refuses must not use up points: it is asked before any is made.
        self._ask_update(node, concerned, facts)
        ticked = self.odometer.tick(node)
        below = {path: index for path, index in ticked.indices if path == node or path.startswith(f"{node}.")}
        versions = {**self.counted_versions, **below}
        facts |= self._terms_facts(build(self.factory.terms, versions, wanted), concerned)
        self._ask_update(node, concerned, facts)
        moving = frozenset(
            client for client in clients if self.desk is not None and self.desk.live(frozenset({client}))
        )
        record = self._record(self._label(), node, versions, wanted, clients, moving)
        planned = self.factory.plan(record)
        changed = Archive(self.name, self.factory.record)
        changed.adopt(planned)
        event = Event.of(
            "begin_update",
            self.name,
            node=node,
            concerned=concerned,
            **self._facts(planned, changed.poisons(planned.record.label)),
            **facts,
        )
        self._proposed(event, changed)
        self.follow()
        return self.outbox

    def _ask_update(self, node: str, concerned: frozenset[str], facts: Mapping[str, frozenset[str]]) -> None:
        """Raise ``Refused`` when the table takes no update with these facts; nothing changes."""
        nothing: frozenset[str] = frozenset()
        what: dict[str, Value] = {"version": "", "digest": "", "kit": nothing, "to_sign": nothing, **facts}
        live(self.tables, self.party, Event.of("begin_update", self.name, node=node, concerned=concerned, **what))

    def _unfinished(self, clients: frozenset[str]) -> frozenset[str]:
        """Labels of sales to ``clients`` and their neighbours whose link is complete, and not yet held by all."""
        stocks = [stock for stock in self.party.stocks.values() if stock.clients & clients]
        pending = [stock.pending for stock in stocks if stock.status == "signing" and stock.pending is not None]
        return frozenset(sale.label for sale in pending if sale.link in self.held)

    def _terms_facts(self, version: Blueprint, clients: frozenset[str]) -> dict[str, frozenset[str]]:
        """Which of ``clients`` get less by ``version`` than they count on, or more than the alternates above it pay."""
        standing = self.standing_contents()
        poorer, smaller, uncovered = set(), set(), set()
        for client in clients:
            leaf = self.tree.leaf_of(client).path
            before, after = standing[leaf], version.contents[leaf]
            cover = standing_cover(self.factory.templates, version, client)
            counted = sum(channel.to_client for channel in before.channels if channel.client == client)
            if version.owed(client) < counted:
                poorer.add(client)
            if after.capacity_of(client) < before.capacity_of(client):
                smaller.add(client)
            if cover is not None and after.capacity_of(client) > max(before.capacity_of(client), cover):
                uncovered.add(client)
        return {"poorer": frozenset(poorer), "smaller": frozenset(smaller), "uncovered": frozenset(uncovered)}

    def presence(self, client: str, *, online: bool) -> None:
        """What the LSP knows of a client's connection; every client counts as online until said otherwise."""
        self.away = self.away - {client} if online else self.away | {client}

    def sell(self, buyer: str, request: m.Buy, given: int = 0) -> Outbox:
        """Sell ``buyer`` what it asks for, from the stock that it shares: the first step is the offer to all who do.

        ``given`` is what the new channel holds for the buyer from the start (sat): a payment to it that the LSP has
        received. Raises ``Refused`` (STK-3), ``InputError`` when the amounts do not fit, with nothing changed.
        """
        self.outbox = Outbox()
        base = self.stock_base(buyer)
        stock = self.stock_of(base)
        serial = sum(1 for sold in self.factory.record.sales if sold.sale.base == base)
        parent = stock.links[-1].link if stock.links else base.transaction
        record = SaleRecord(
            f"s{len(self.factory.record.sales)}",
            base.transaction,
            base.index,
            serial,
            parent,
            buyer,
            given,
            request.capacity - given,
            self.price(request.capacity),
            {},
        )
        if record.price > request.most:
            raise InputError(f"sale to {buyer}", f"costs {record.price} sat, more than {request.most}", "STK-3")
        if given > request.capacity:
            raise InputError(f"sale to {buyer}", f"{given} sat do not fit {request.capacity}", "R-LEAF-CONTENTS")
        if self.offer_open(stock):
            # Before a point is made for a sale that the table refuses.
            self.deal(str(base), Event.of("sell", self.name))
        check_public_key(bytes.fromhex(request.commitment_point), f"commitment point of {buyer}")
        online = frozenset(self.offer.balances) - self.away
        above = [node.path for node in self.tree.path_to(buyer) if node.has_counter]
        newest = all(self.odometer.index(path) == self.counted_blueprint().versions[path] for path in above)
        dying_at = self.life.funded_at + self.life.active_blocks

        def offer(own: str) -> tuple[Event, PlannedSale]:
            points = {record.sale.commitment(buyer): request.commitment_point, record.sale.commitment(self.name): own}
            planned = self.factory.plan_sale(replace(record, points=points))
            more: dict[str, Value] = {"online": online, "dying_at": dying_at, "newest": newest}
            return self.sale_event("sell", self.name, planned, **more), planned

        # The buyer's point stands in for one of the LSP's: none is made for a sale that cannot be offered.
        tried, _ = offer(request.commitment_point)
        if chosen(self.tables.stock, stock, tried) is None:
            raise refusal(self.tables.stock, stock, tried)
        self.sale_offered(*offer(self.new_commitment_point(buyer)))
        return self.outbox

    @staticmethod
    def offer_open(stock: Stock) -> bool:
        """Whether a sale from this stock is proposed or being signed, or nothing can be sold from it any more."""
        return stock.status not in ("unsold", "chained")

    def price(self, capacity: int) -> int:
        """What a channel of ``capacity`` sat costs (sat)."""
        return capacity * self.price_ppm // 1_000_000

    def counted_blueprint(self) -> Blueprint:
        """See ``Actor.counted_blueprint``."""
        if not self.life.version:
            raise InputError(self.name, "counts on no version yet", "FAC-7")
        return self.factory.blueprints[self.life.version]

    def standing_contents(self) -> dict[str, LeafContents]:
        """What each leaf holds with every chain on the version that counts cut through (sat).

        A channel that was sold, and lives, keeps an output of its own (D-15).
        """
        if self.archive is None:
            return dict(self.counted)
        # Not those of an older version: its chains are cut through in what counts already.
        kept = {self._state_of(leaf, self.counted_versions) for leaf in self.tree.leaves()}
        complete = {sold.label for stock in self.party.stocks.values() for sold in stock.links}
        sales = [sold.sale for sold in self.factory.record.sales if sold.label in complete and sold.state in kept]
        apart: frozenset[str] = frozenset() if self.desk is None else self.desk.apart()
        return cut_through(self.factory.terms, self.counted, self.factory.leaf_states, sales, apart)

    def close(self, day: m.DayForm | None = None) -> Outbox:
        """Propose a cooperative close by the version that the LSP counts on. Raises ``Refused`` out of turn.

        With ``day``, the close is the first input of the day's transaction, which funds another factory (LAD-6).
        """
        self.outbox = Outbox()
        attempt = len(self.factory.record.closes)
        record = CloseRecord(self._label(), attempt, dict(self.counted_versions), self._resting_contents(), day)
        planned = self.factory.plan_close(record)
        changed = Archive(self.name, self.factory.record)
        changed.adopt_close(planned)
        name = frozenset({planned.template.name})
        event = Event.of(
            "begin_close",
            self.name,
            digest=planned.realised.txid,
            version=record.label,
            kit=name,
            to_sign=name,
            quiet=self.desk is None or self.desk.quiet(),
            unfinished=self._unfinished(self.life.clients),
        )
        self._proposed(event, changed)
        return self.outbox

    def abort(self) -> Outbox:
        """Give up what is being signed: an update, or, before funding, the factory. Raises ``Refused`` out of turn."""
        self.outbox = Outbox()
        updating = self.life.status in ("updating", "update_signing")
        newest = self.factory.newest if updating else None
        given_out = self.life.status == "update_signing" and self.life.kit <= self.held
        known = self.counted, self.counted_versions
        if newest is not None and given_out:
            # Any client may hold this version complete and count on it: what comes next must give it as much.
            self.counted, self.counted_versions = dict(newest.contents), dict(newest.versions)
        try:
            self.live(Event.of("update_aborted" if updating else "abort", self.name))
        except Exception:
            self.counted, self.counted_versions = known
            raise
        self.follow()
        return self.outbox

    def _resting_contents(self) -> dict[str, LeafContents]:
        """What each leaf holds now, with every chain cut through, by the balances of the live channels (sat)."""
        standing = self.standing_contents()
        return standing if self.desk is None else self.desk.settled(standing)

    def _cut_below(self, node: str) -> dict[str, LeafContents]:
        """Every leaf's contents; the chains of the leaves below ``node``, whose states are replaced, cut through."""
        cut = self.standing_contents()
        below = {leaf.path for leaf in leaves_below(self.tree.node(node))}
        return {path: cut[path] if path in below else leaf for path, leaf in self.counted.items()}

    def supersede_stocks(self) -> None:
        """A sale that ends with the state that it is from gives its payment back, to the buyer's next purchase."""
        before = self.party.stocks
        super().supersede_stocks()
        for key, stock in before.items():
            pending = stock.pending
            if pending is not None and pending.given and self.party.stocks[key].pending is None:
                owed = self.received.get(pending.buyer, 0) + pending.given
                self.received = {**self.received, pending.buyer: owed}

    def _state_of(self, leaf: Node, versions: Mapping[str, int]) -> str:
        path = self.tree.path_of(leaf)
        return state_name(leaf, tuple(versions[node.path] for node in path if node.has_counter))

    def abort_sale(self, label: str) -> Outbox:
        """Give a sale up whose link the LSP has not signed. Raises ``Refused`` when it has."""
        self.outbox = Outbox()
        key = self.stock_with(label)
        if key is None:
            raise InputError(f"sale '{label}'", "is not known", "STK-13")
        record = next(sold for sold in self.factory.record.sales if sold.label == label)
        before = self.received
        if record.to_client:
            owed = before.get(record.buyer, 0) + record.to_client
            self.received = {**before, record.buyer: owed}
        try:
            self.deal(key, Event.of("sale_aborted", self.name))
        except Exception:
            self.received = before
            raise
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
                self._sell_again()
            case "funded":
                self.outbox.broadcasts.append(self.funding_transaction())
            case "close_published":
                self.outbox.broadcasts.append(self._closing_transaction())
            case status if status in SIGNING:
                self._sign_again()
        self.follow()
        return self.outbox

    def _given_up_again(self) -> None:
        """Tell again that the last update was given up, to whoever may still be signing it."""
        newest = self.factory.newest
        if newest is not None and newest.label != self.life.version:
            for client in self.tree.node(newest.node).clients:
                self._send(client, m.UpdateAborted(newest.label))

    def _sell_again(self) -> None:
        """Ask again whatever a sale waits for."""
        for key, stock in self.party.stocks.items():
            if stock.status == "offered" and stock.pending is not None:
                for client in sorted(stock.clients - stock.agreed):
                    self._send(client, self._sale_for(client, stock.pending.label))
            elif stock.status == "signing" and stock.pending is not None:
                for client in sorted(stock.clients - stock.holders):
                    self._send(client, self._sale_for(client, stock.pending.label))
                    self._send_known(client, stock.pending.label)
                # An update that was given up has broken them off.
                self.open_sale_tasks(stock.pending.label)
                self.deal(key, Event.of("retry", self.name))
            elif stock.status == "chained":
                for sold in stock.links:
                    if not sold.paid:
                        self._send(sold.buyer, m.PaymentRequest(sold.label))

    def _send_known(self, client: str, label: str) -> None:
        """Complete signatures that ``client`` may not have received."""
        known = {
            name: self.signatures[name].hex()
            for name in self.factory.signing(label)
            if name in self.signatures and client in self._holders(name)
        }
        if known:
            self._send(client, m.Signatures(known))

    def _sign_again(self) -> None:
        waiting = self.life.concerned - self.life.complete
        for client in sorted(waiting):
            self._send_known(client, self.life.pending)
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
            case m.Buy():
                self._take_buy(sender, message)
            case m.LinkHeld():
                self._take_link_held(sender, message.label)
            case m.Payment():
                self._take_payment(sender, message.label)
            case m.Agreement() if self.stock_with(message.label) is not None:
                key = str(self.stock_with(message.label))
                if self.party.stocks[key].status == "offered":
                    self.deal(key, Event.of("agreement", sender, digest=message.digest))
            case m.Agreement():
                if message.label != self.life.pending:
                    raise InputError(f"agreement of {sender}", "is for another version", "FAC-3")
                self.live(Event.of("agreement", sender, digest=message.digest))
            case m.KitComplete():
                self._take_kit_complete(sender, message)
            case _:
                kind = type(message).__name__
                raise InputError(f"message of {sender}", f"{kind} is not for the LSP", "message-form")

    def _take_buy(self, sender: str, request: m.Buy) -> None:
        if sender not in self.offer.balances:
            raise InputError(f"message of {sender}", "is no client of this factory", "STK-3")
        before = self.received
        # What the sale gives is durable together with the sale, so that it is not given twice.
        self.received = {client: sats for client, sats in before.items() if client != sender}
        try:
            self.sell(sender, request, before.get(sender, 0))
        except (Refused, InputError) as error:
            self.received = before
            instead = fallback(error.guard) if isinstance(error, Refused) else fallback("amount_available")
            self._alert(ProtocolError("STK-3", "NOT_SOLD", f"to {sender}: {error}; instead: {instead}"))
            self._send(sender, m.SaleRefused(str(error), instead))
        except Exception:
            self.received = before
            raise

    def _take_link_held(self, sender: str, label: str) -> None:
        key = self.stock_with(label)
        if key is None:
            raise InputError(f"message of {sender}", f"sale '{label}' is not known", "STK-10")
        stock = self.party.stocks[key]
        if any(sold.label == label for sold in stock.links):
            return  # The answer to a retry that came after the first answer.
        self.deal(key, Event.of("link_held", sender, label=label))

    def _take_payment(self, sender: str, label: str) -> None:
        key = self.stock_with(label)
        if key is None:
            raise InputError(f"message of {sender}", f"sale '{label}' is not known", "STK-17")
        if any((sold.label, sold.buyer, sold.paid) == (label, sender, True) for sold in self.party.stocks[key].links):
            return  # It was asked for again before it arrived.
        self.deal(key, Event.of("payment", sender, label=label))

    def _take_kit_complete(self, sender: str, message: m.KitComplete) -> None:
        check_public_key(bytes.fromhex(message.next_commitment_point), f"commitment point of {sender}")
        known = self.points
        late = sender in self.life.clients and message.label != self.life.pending
        if late and self._is_used(message.next_commitment_point):
            return  # It came twice, or after a newer one.
        self.points = {**known, sender: message.next_commitment_point}
        if late and self.life.status in ("active", "updating"):
            # The answer to an update that was given up: a point for the next one. What was proposed before this was
            # heard, with the point that the client has used, cannot be agreed to.
            if self.life.status == "updating" and sender in self.life.concerned and self._is_used(known[sender]):
                self.live(Event.of("update_aborted", self.name))
            return
        try:
            self.live(Event.of("kit_complete", sender, version=message.label))
        except Exception:
            self.points = known
            raise

    def _is_used(self, point: str) -> bool:
        """Whether some version was planned with this commitment point (hex)."""
        return any(point in version.points.values() for version in self.factory.record.versions)

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

    def _facts(self, planned: Planned, poisons: Iterable[str] = ()) -> dict[str, str | frozenset[str]]:
        known = self.factory.templates
        new = frozenset(template.name for template in planned.blueprint.signed_together() if template.name not in known)
        return {
            "version": planned.record.label,
            "digest": digest_of(planned.blueprint, planned.realised, planned.record.node),
            "kit": new.union(planned.blueprint.moved) & planned.blueprint.kit_of(self.name),
            "to_sign": new | frozenset(poisons),
        }

    def _record(
        self,
        label: str,
        node: str,
        versions: Mapping[str, int],
        contents: Mapping[str, LeafContents],
        clients: Iterable[str],
        moving: frozenset[str] = frozenset(),
    ) -> VersionRecord:
        """A version, with fresh points of the LSP for the channels that it changes, but for those that move."""
        newest = self.factory.newest
        points = dict(newest.points) if newest else {}
        changed = [client for client in clients if client not in moving]
        # A leaf that stands keeps what it was signed with.
        standing = {moved.client for made in self.factory.blueprints.values() for moved in made.moved.values()}
        carried = moving | {client for client in standing.difference(changed) if self._moved_to(client, versions)}
        for client in changed:
            path = tuple(versions[n.path] for n in self.tree.path_to(client) if n.kind is not NodeKind.STATIC)
            points[commitment_name(client, path, client)] = self.points[client]
            points[commitment_name(client, path, self.name)] = self.new_commitment_point(client)
        return VersionRecord(label, node, dict(versions), dict(contents), points, tuple(sorted(carried)))

    def _moved_to(self, client: str, versions: Mapping[str, int]) -> bool:
        """Whether a client's channel came into the leaf state of these versions with its own commitments (D-15)."""
        path = tuple(versions[n.path] for n in self.tree.path_to(client) if n.kind is not NodeKind.STATIC)
        name = commitment_name(client, path, client)
        return any(name in made.moved for made in self.factory.blueprints.values())

    def _terms(self) -> m.TermsForm:
        offer = self.offer
        keys = {client: join.keys for client, join in self.joins.items()}
        keys[self.name] = keys_form(PartyKeys(self.key.public, self.payout_script))
        keys |= {name: form for name, (form, _) in offer.leavers.items()}
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
            tuple(m.PayoutForm(name, amount) for name, (_, amount) in offer.leavers.items()),
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
            case "sale":
                return self._sale_for(action.to, str(action["label"]))
            case "begin_sale":
                key = self.stock_with(str(action["label"]))
                assert key is not None
                return m.BeginSale(str(action["label"]), self.party.stocks[key].attempt)
            case "payment_request":
                return m.PaymentRequest(str(action["label"]))
            case "sale_aborted":
                return m.SaleAborted(str(action["label"]))
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
            return m.Close(last.label, last.attempt, last.versions, last.contents, last.day)
        version = record.versions[-1]
        path = tuple(version.versions[n.path] for n in self.tree.path_to(client) if n.kind is not NodeKind.STATIC)
        own = version.points.get(commitment_name(client, path, client))
        lsp = version.points.get(commitment_name(client, path, self.name))
        if len(record.versions) == 1:
            assert own is not None and lsp is not None
            blueprint = self.factory.blueprints[version.label]
            script = funding_script(blueprint, self.factory.book).hex()
            points = record.points[f"{client}/{self.name}"]
            return m.Proposal(version.label, record.terms, version.contents, points, lsp, own, script)
        node = self.tree.node(version.node)
        below = {leaf.path: version.contents[leaf.path] for leaf in leaves_below(node)}
        return m.Update(version.label, version.node, version.versions, below, lsp, own)

    def _sale_for(self, client: str, label: str) -> m.Sale:
        """A sale as this client needs it: points only for its own channel."""
        record = next(sold for sold in self.factory.record.sales if sold.label == label)
        points = None
        if client == record.buyer:
            names = (record.sale.commitment(client), record.sale.commitment(self.name))
            points = m.PointPair(*(record.points[name] for name in names))
        return m.Sale(
            label,
            record.state,
            record.stock,
            record.serial,
            record.parent,
            record.buyer,
            record.to_client,
            record.to_lsp,
            record.price,
            points,
        )

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
        saved = Saved(
            life, indices, self.joins, self.points, self.counted, versions, dict(self.party.stocks), self.received
        )
        self.store.put_document(LIFE, m.text_of(saved))

    def broadcast(self, action: Action) -> Transaction:
        """The funding transaction, signed with the wallet's key; or the close."""
        if action.name == "close":
            return self._closing_transaction()
        return self.funding_transaction()

    def _closing_transaction(self) -> Transaction:
        (name,) = self.factory.signing(self.life.pending)
        transaction = self.complete_transaction(name)
        for index in range(1, len(transaction.inputs)):
            # The day's transaction spends the LSP's own coins too.
            transaction = self._with_own_signature(transaction, index, self.factory.realised[name].spent)
        return transaction

    def _with_own_signature(self, transaction: Transaction, index: int, spent: tuple[TxOutput, ...]) -> Transaction:
        message = taproot_sighash(transaction, index, spent)
        signature = self.wallet.key.sign_taproot(message, None, self.randomness)
        return with_witness(transaction, index, (signature,))

    def memory(self) -> dict[str, Any]:
        """See ``Actor.memory``."""
        return {
            **super().memory(),
            "counted": self.counted,
            "counted_versions": self.counted_versions,
            "received": self.received,
        }

    def funding_transaction(self) -> Transaction:
        """The funding transaction with the signatures of the LSP's coins; complete already where it closes another."""
        realised = self.factory.realised[FUNDING]
        if self.day is not None:
            return self.day
        transaction = realised.transaction
        for index in range(len(transaction.inputs)):
            transaction = self._with_own_signature(transaction, index, realised.spent)
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
        self.received = dict(saved.received)
        self.party = Participant(life, signer, saved.stocks)
        factory = self.store.document(FACTORY)
        if factory is None:
            return
        self.archive = Archive(self.name, m.decode_plain(FactoryRecord, factory, place))
        if life.pending and life.status not in ("resolving", "expired"):
            self.open_tasks(life.pending)
        for stock in self.party.stocks.values():
            if stock.pending is not None:
                self.open_sale_tasks(stock.pending.label)
