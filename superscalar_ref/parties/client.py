"""A client as an actor: it joins, verifies, signs, and keeps its exit kit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from superscalar_ref.bitcoin.transaction import Transaction
from superscalar_ref.errors import InputError, ProtocolError, SuperscalarError
from superscalar_ref.machine.types import Action, Event
from superscalar_ref.parties import messages as m
from superscalar_ref.parties import tower_messages as t
from superscalar_ref.parties.actor import Actor, Identity, Outbox, Turner
from superscalar_ref.parties.archive import Archive, CloseRecord, FactoryRecord, SaleRecord, VersionRecord
from superscalar_ref.parties.registration import Registrar, names_of
from superscalar_ref.parties.store import Store
from superscalar_ref.parties.terms import digest_of, keys_form, points_form
from superscalar_ref.protocol.blueprint import (
    FUNDING,
    Blueprint,
    LeafContents,
    commitment_name,
    fresh_versions,
    version_text,
)
from superscalar_ref.protocol.chain_links import standing_cover
from superscalar_ref.protocol.client import Client, Limits
from superscalar_ref.protocol.participant import (
    Machines,
    Participant,
    Signer,
    counts_on_newest,
    deliver,
    own_steps,
    registered,
    unregistered,
)
from superscalar_ref.protocol.shape import NodeKind
from superscalar_ref.protocol.stock import Stock
from superscalar_ref.protocol.transaction import Outpoint
from superscalar_ref.realise.book import PartyKeys
from superscalar_ref.realise.tree import funding_script
from superscalar_ref.signing.keys import Randomness, SecretKey, system_randomness

LIFE = "client"
FACTORY = "factory"
SIGNING = ("signing", "updating", "closing")
"""States in which something is being signed."""


@dataclass(frozen=True)
class Saved:
    """A client's life on disk."""

    life: Client
    label: str
    """Of the version or close that was proposed last."""
    digest: str
    counted: str = ""
    """Of the version that the client counts on; empty before the first."""
    stocks: Mapping[str, Stock] = field(default_factory=dict)


_SALE_MESSAGES = frozenset({"sale_agreement", "link_held", "payment"})


class ClientActor(Actor):
    """One client of one factory."""

    def __init__(
        self,
        identity: Identity,
        lsp: str,
        store: Store,
        payout_script: bytes,
        limits: Limits,
        randomness: Randomness = system_randomness,
        tables: Machines | None = None,
        towers: Iterable[str] = (),
    ) -> None:
        """A client that knows nothing yet, or, when ``store`` holds its life, that client after a restart.

        ``towers`` are the names of its watchtowers: it counts on nothing before each of them keeps its part.
        """
        super().__init__(identity, store, Client("invited", identity.name, lsp, limits), randomness, tables)
        self.payout_script = payout_script
        self.label = ""
        self.digest = ""
        self.to_pay: set[str] = set()
        """Sales whose payment is asked for, and whose channel is not open yet."""
        self.counted = ""
        """Label of the version that it counts on."""
        self.moves_to: ClientActor | None = None
        """The same client in the next factory: what that one gives on the day's transaction counts as paid (LAD-6)."""
        self.registrar = Registrar()
        self._recover()
        self.party = replace(self.party, towers={tower: frozenset() for tower in towers})

    @property
    def life(self) -> Client:
        """Its state in the table."""
        assert isinstance(self.party.life, Client)
        return self.party.life

    # -- watchtowers ---------------------------------------------------------------------------------------------------

    def take_turn(self, turn: Turner) -> None:
        """See ``Actor.take_turn``; then each tower is asked to keep what it is to publish."""
        super().take_turn(turn)
        self.outbox.messages.extend(self.registrar.letters(self.party, self.archive, self.signatures))

    def receive(self, sender: str, raw: bytes) -> Outbox:
        """Take one message, of a watchtower too. Nothing is raised: what cannot be taken is an alert."""
        if sender not in self.party.towers:
            return super().receive(sender, raw)
        self.outbox = Outbox()
        try:
            self._take_of_tower(sender, t.decode(raw, sender))
            if self.desk is not None:
                self.desk.hear(sender, raw)
            self.follow()
        except SuperscalarError as error:
            self._alert(error)
        return self.outbox

    def _take_of_tower(self, tower: str, message: t.TowerMessage) -> None:
        if isinstance(message, t.NotRegistered):
            raise InputError(f"watchtower {tower}", f"does not keep {message.txid}: {message.reason}", "WTW-1")
        if not isinstance(message, t.Registered):
            raise InputError(f"message of {tower}", f"{type(message).__name__} is not for a client", "message-form")
        names = names_of(self.factory, self.party, message.txids)
        self.take_turn(lambda: registered(self.tables, self.party, tower, names))

    def retry_towers(self) -> Outbox:
        """Ask the towers again for whatever they have not acknowledged."""
        self.outbox = Outbox()
        self.registrar.again(*self.party.towers)
        self.outbox.messages.extend(self.registrar.letters(self.party, self.archive, self.signatures))
        if self.desk is not None:
            self.desk.remind()
        return self.outbox

    def add_tower(self, name: str) -> Outbox:
        """Rely on one more watchtower: it is handed all that it is to keep, and nothing new counts before it is kept.

        That is all of the present version, every poison, and the penalties of whatever was revoked in a channel that is
        open. What counts already goes on counting; ``may_leave`` says when the tower is relied on.
        """
        self.outbox = Outbox()
        self.party = replace(self.party, towers={**self.party.towers, name: frozenset()})
        self.registrar.again(name)
        self.outbox.messages.extend(self.registrar.letters(self.party, self.archive, self.signatures))
        if self.desk is not None:
            self.desk.add_tower(name)
        return self.outbox

    def may_leave(self) -> bool:
        """Whether every tower keeps its whole part, and nothing is under way in a channel: now it may be away."""
        kept = not any(unregistered(self.party).values())
        return kept and (self.desk is None or self.desk.may_leave())

    def drop_tower(self, name: str) -> Outbox:
        """Rely on this watchtower no more, such as one that does not answer; then go on. Raises ``InputError``."""
        if name not in self.party.towers:
            raise InputError(self.name, f"has no watchtower '{name}'", "WTW-1")
        self.outbox = Outbox()
        left = {tower: kept for tower, kept in self.party.towers.items() if tower != name}
        self.take_turn(lambda: own_steps(self.tables, replace(self.party, towers=left)))
        if self.desk is not None:
            self.desk.drop_tower(name)
        self.follow()
        return self.outbox

    # -- messages ------------------------------------------------------------------------------------------------------

    def take_life(self, sender: str, message: m.Message) -> None:
        """Take a message about the client's life. Raises ``SuperscalarError`` when it is refused."""
        match message:
            case m.Invitation():
                self._take_invitation(sender, message)
            case m.Proposal():
                self._take_proposal(sender, message)
            case m.Update():
                self._take_update(sender, message)
            case m.Close():
                self._take_close(sender, message)
            case m.Begin():
                self._begin(sender, message.attempt)
            case m.UpdateAborted():
                if message.label == self.label and sender == self.life.lsp:
                    self._given_up()
            case m.Sale() | m.BeginSale() | m.PaymentRequest() | m.SaleAborted() | m.SaleRefused():
                if sender != self.life.lsp:
                    raise InputError(f"message of {sender}", "only the LSP sells", "STK-4")
                self._take_about_sale(message)
            case m.Abort():
                if sender != self.life.lsp:
                    raise InputError(f"message of {sender}", "only the LSP gives the ceremony up", "CLI-18")
                self.live(Event.of("abort", sender))
            case _:
                kind = type(message).__name__
                raise InputError(f"message of {sender}", f"{kind} is not for a client", "message-form")

    def _given_up(self) -> None:
        """An update is given up. The LSP gets a point for the next one: this one's may be used up (D-14)."""
        if self.life.status == "updating":
            self.live(Event.of("update_aborted", self.name))
        self._give_point()

    def _give_point(self) -> None:
        """Tell the LSP which point the next version is to have: it may not have heard."""
        if self.life.status == "active":
            fresh = m.KitComplete(self.counted, self._next_point())
            self.outbox.messages.append((self.life.lsp, m.encode(fresh)))

    def _take_invitation(self, sender: str, invitation: m.Invitation) -> None:
        known = self.life
        if known.status == "verifying" and (sender, invitation.balance) == (known.lsp, known.promised):
            # The LSP asks again: it may not have heard the answer.
            self.outbox.messages.append((known.lsp, m.encode(self._join())))
            return
        self.live(Event.of("invitation", sender, balance=invitation.balance))

    def _asked_again(self, sender: str, label: str) -> bool:
        """Answer an offer that was agreed to already: the LSP may not have heard so."""
        agreed = label == self.label and (label == self.counted or self.life.status in SIGNING)
        if sender != self.life.lsp or not agreed:
            return False
        self.outbox.messages.append((sender, m.encode(m.Agreement(self.label, self.digest))))
        return True

    def _check_label(self, sender: str, label: str) -> None:
        record = self.factory.record
        if label in {one.label for one in record.versions} | {one.label for one in record.closes}:
            raise InputError(f"offer of {sender}", f"'{label}' was the name of another", "CLI-5")

    def _take_proposal(self, sender: str, offer: m.Proposal) -> None:
        if self._asked_again(sender, offer.label):
            return
        if offer.terms.lsp != self.life.lsp:
            raise InputError(f"proposal of {sender}", f"is for the LSP {offer.terms.lsp}", "CLI-2")
        mine = keys_form(PartyKeys(self.key.public, self.payout_script))
        if offer.terms.keys.get(self.name) != mine:
            raise InputError(f"proposal of {sender}", "does not carry this client's own keys", "CLI-2")
        points = {
            f"{self.name}/{self.name}": points_form(self.identity.channel(self.name).points),
            f"{self.name}/{offer.terms.lsp}": offer.points,
        }
        archive = Archive(self.name, FactoryRecord(offer.terms, points))
        tree = archive.terms.tree
        versions = fresh_versions(tree)
        record = VersionRecord(
            offer.label, tree.root.path, versions, offer.contents, self._points(archive, versions, offer)
        )
        planned = archive.plan(record)
        event = Event.of(
            "proposal",
            sender,
            balance=planned.blueprint.owed(self.name),
            funding_claimed=offer.funding_script,
            funding_computed=funding_script(planned.blueprint, planned.book).hex(),
            exit_blocks=archive.terms.exit_blocks(self.name),
            height=self.height,
            end=archive.terms.locks.end,
            shortest_lock=archive.terms.shortest_lock(),
            end_default=archive.terms.end_rule(),
            version=self._version_of(planned.blueprint),
            kit=planned.blueprint.kit_of(self.name),
            capacity=self._capacity(planned.blueprint),
        )
        archive.adopt(planned)
        self._offered(event, archive, offer.label, digest_of(planned.blueprint, planned.realised, tree.root.path))

    def _take_update(self, sender: str, update: m.Update) -> None:
        if self._asked_again(sender, update.label):
            return
        known = next((one for one in self.factory.record.versions if one.label == self.counted), None)
        if known is None:
            raise InputError(f"update of {sender}", "there is no factory to update", "CLI-5")
        self._check_label(sender, update.label)
        if update.client_commitment_point in self._counted_points():
            # The LSP has not heard that the version is held which used this point: the answer is a point to use.
            self._give_point()
            return
        versions = {**known.versions, **update.versions}
        contents = {**known.contents, **update.contents}
        carried = (self.name,) if (update.commitment_point, update.client_commitment_point) == (None, None) else ()
        points = {} if carried else self._points(self.factory, versions, update)
        planned = self.factory.plan(VersionRecord(update.label, update.node, versions, contents, points, carried))
        changed = Archive(self.name, self.factory.record)
        changed.adopt(planned)
        cover = standing_cover(self.factory.templates, planned.blueprint, self.name)
        event = Event.of(
            "update_proposal",
            sender,
            version=self._version_of(planned.blueprint),
            balance=planned.blueprint.owed(self.name),
            kit=planned.blueprint.kit_of(self.name),
            poison=self._needed_poisons(changed, update.label),
            capacity=self._capacity(planned.blueprint),
            **({} if cover is None else {"cover": cover}),
            **self._carried(contents, carried),
        )
        digest = digest_of(planned.blueprint, planned.realised, update.node)
        self._offered(event, changed, update.label, digest)

    def _carried(self, contents: Mapping[str, LeafContents], named: tuple[str, ...]) -> dict[str, frozenset[str]]:
        """Which of this client's channels live, and which of them the offer carries: only if the LSP says so too."""
        facts = self.channels_facts(contents, (self.name,))
        carried, first = facts["carried"], frozenset({self.name})
        if not named:
            carried -= first
        elif self.name not in facts["live"]:
            # Named, and not live here: as unfit as live, and not named.
            carried |= first
        return {**facts, "carried": carried}

    def _take_close(self, sender: str, message: m.Close) -> None:
        if self._asked_again(sender, message.label):
            return
        self._check_label(sender, message.label)
        record = CloseRecord(message.label, message.attempt, message.versions, message.contents, message.day)
        planned = self.factory.plan_close(record)
        balance = sum(output.amount for output in planned.template.outputs if output.owner == self.name)
        facts = {} if self.desk is None else {"gained": self.desk.gained(), "quiet": self.desk.quiet()}
        owed = self.life.owed + facts.get("gained", 0)
        if owed < self.factory.terms.economy.dust:
            # No output can hold less than dust: a commitment gives it to the fee as well.
            balance = max(balance, owed)
        if self.moves_to is not None:
            balance += self.moves_to.counts_on(planned.realised.txid)
        changed = Archive(self.name, self.factory.record)
        changed.adopt_close(planned)
        event = Event.of("close_proposal", sender, balance=balance, **facts)
        self._offered(event, changed, message.label, planned.realised.txid)

    def counts_on(self, txid: str) -> int:
        """What this client counts on (sat) in a factory whose whole kit it holds on the funding transaction ``txid``.

        0 for another transaction, or before its kit is complete: then nothing is given by that transaction.
        """
        if self.archive is None or self.life.status != "holding" or self.archive.realised[FUNDING].txid != txid:
            return 0
        return self.life.owed

    def _offered(self, event: Event, archive: Archive, label: str, digest: str) -> None:
        """Let the table decide on an offer; when it is refused, everything is as before."""
        before = (self.archive, self.label, self.digest)
        self.archive, self.label, self.digest = archive, label, digest
        try:
            self.live(event)
        except Exception:
            self.archive, self.label, self.digest = before
            raise
        self.open_tasks(label)

    # -- buying --------------------------------------------------------------------------------------------------------

    def buy(self, capacity: int, most: int) -> Outbox:
        """Ask the LSP for a new channel of ``capacity`` sat, for at most ``most`` sat. Raises ``Refused`` out of turn.

        The channel comes from the stock that this client shares, in the version that it counts on.
        """
        self.outbox = Outbox()
        base = self.stock_base(self.name)
        self.stock_of(base)
        self.deal(str(base), Event.of("ask", self.name, capacity=capacity, most=most))
        return self.outbox

    def counted_blueprint(self) -> Blueprint:
        """See ``Actor.counted_blueprint``."""
        if not self.counted:
            raise InputError(self.name, "counts on no version yet", "CLI-3")
        return self.factory.blueprints[self.counted]

    def _take_about_sale(
        self, message: m.Sale | m.BeginSale | m.PaymentRequest | m.SaleAborted | m.SaleRefused
    ) -> None:
        match message:
            case m.Sale():
                self._take_sale(message)
            case m.BeginSale():
                self._begin_sale(message)
            case m.PaymentRequest():
                self._settle(message.label)
            case m.SaleAborted():
                key = self.stock_with(message.label)
                if key is not None and self.party.stocks[key].pending is not None:
                    self.deal(key, Event.of("sale_aborted", self.life.lsp))
            case m.SaleRefused():
                self._alert(ProtocolError("STK-3", "NOT_SOLD", f"{message.reason}; instead: {message.fallback}"))

    def _take_sale(self, offer: m.Sale) -> None:
        base = Outpoint(offer.state, offer.stock)
        stock = self.stock_of(base)
        known = stock.pending
        if known is not None and known.label == offer.label:
            # The LSP asks again: it may not have heard the answer.
            self.outbox.messages.append((self.life.lsp, m.encode(m.Agreement(known.label, known.digest))))
            return
        if offer.label in self.factory.blueprints:
            raise InputError(f"sale '{offer.label}'", "was the name of another", "STK-4")
        planned = self.factory.plan_sale(self._sale_record(offer))
        limits, terms = self.life.limits, self.factory.terms
        links = len(stock.links) + 1
        event = self.sale_event(
            "sale_offer",
            self.life.lsp,
            planned,
            newest=counts_on_newest(self.life),
            exit_blocks=terms.exit_blocks(self.name) + links + limits.margin,
            ceiling=limits.ceiling,
            end=terms.locks.end,
        )
        self.sale_offered(event, planned)

    def _sale_record(self, offer: m.Sale) -> SaleRecord:
        record = SaleRecord(
            offer.label,
            offer.state,
            offer.stock,
            offer.serial,
            offer.parent,
            offer.buyer,
            offer.to_client,
            offer.to_lsp,
            offer.price,
            {},
        )
        if offer.buyer != self.name:
            return record
        secrets = self.commitment_secrets.get(self._purse, [])
        own = frozenset(SecretKey(bytes.fromhex(secret)).public.hex() for secret in secrets)
        if offer.points is None or offer.points.client not in own - self._counted_points():
            raise InputError("commitment point", "is not one that this client gave and has not used", "D-14")
        points = {
            record.sale.commitment(self.name): offer.points.client,
            record.sale.commitment(self.life.lsp): offer.points.lsp,
        }
        return replace(record, points=points)

    @property
    def _purse(self) -> str:
        """Under which name the secrets of purchases are kept, apart from those of the versions."""
        return f"{self.name}/sale"

    def _begin_sale(self, begin: m.BeginSale) -> None:
        key = self.stock_with(begin.label)
        if key is None:
            raise InputError(f"sale '{begin.label}'", "is not known", "STK-7")
        if any(sold.label == begin.label for sold in self.party.stocks[key].links):
            # The LSP asks again: it may not have heard that the link is held.
            self.outbox.messages.append((self.life.lsp, m.encode(m.LinkHeld(begin.label))))
            return
        self.open_sale_tasks(begin.label)
        self.deal(
            key,
            Event.of(
                "begin", self.life.lsp, label=begin.label, attempt=begin.attempt, newest=counts_on_newest(self.life)
            ),
        )

    def _settle(self, label: str) -> None:
        key = self.stock_with(label)
        if key is None:
            raise InputError(f"sale '{label}'", "is not known", "STK-12")
        if any(sold.label == label and sold.paid for sold in self.party.stocks[key].links):
            # The LSP asks again: the payment was on its way, and is the same one.
            self.outbox.messages.append((self.life.lsp, m.encode(m.Payment(label))))
            return
        if self.desk is not None and not self.desk.opened(label):
            self.to_pay.add(label)
            return
        self.to_pay.discard(label)
        self.deal(key, Event.of("settle", self.life.lsp, label=label, open=True))

    def follow(self) -> None:
        """See ``Actor.follow``; and what was asked for is paid once its channel is open (D-8)."""
        super().follow()
        for label in sorted(self.to_pay):
            self._settle(label)

    def _points(self, archive: Archive, versions: dict[str, int], offer: m.Proposal | m.Update) -> dict[str, str]:
        """Per-commitment points of this client's channel in a version, by the commitment's name (D-14)."""
        own, theirs = offer.client_commitment_point, offer.commitment_point
        if own is None or theirs is None or own not in self._own_points() - self._counted_points():
            raise InputError("commitment point", "is not one that this client gave and has not used", "D-14")
        tree = archive.terms.tree
        path = tuple(versions[n.path] for n in tree.path_to(self.name) if n.kind is not NodeKind.STATIC)
        return {
            commitment_name(self.name, path, self.name): own,
            commitment_name(self.name, path, archive.terms.lsp): theirs,
        }

    def _own_points(self) -> frozenset[str]:
        secrets = self.commitment_secrets.get(self.name, [])
        return frozenset(SecretKey(bytes.fromhex(secret)).public.hex() for secret in secrets)

    def _counted_points(self) -> frozenset[str]:
        """Points of versions that the client has counted on: each is for one version."""
        if self.archive is None:
            return frozenset()
        return frozenset(
            self.archive.book.commitment_points[name].hex()
            for name in self.held
            if name in self.archive.book.commitment_points
        )

    def _next_point(self) -> str:
        """A point for the next version: the last one made, unless a version has used it."""
        secrets = self.commitment_secrets.get(self.name, [])
        if secrets:
            last = SecretKey(bytes.fromhex(secrets[-1])).public.hex()
            used = self.archive.book.commitment_points.values() if self.archive else ()
            if bytes.fromhex(last) not in used:
                return last
        return self.new_commitment_point(self.name)

    def _begin(self, sender: str, attempt: int) -> None:
        if sender != self.life.lsp:
            raise InputError(f"message of {sender}", "only the LSP begins the signing", "SES-1")
        self.registrar.again(*self.party.towers)
        if self.life.status in SIGNING:
            events = [
                (name, Event.of("open", self.name, attempt=attempt))
                for name, session in self.party.signer.sessions.items()
                if session.status != "complete"
            ]
            self.take_turn(lambda: deliver(self.tables, self.party, events))
        elif self.counted == self.label:
            # The LSP asks again: it may not have heard that the kit is complete.
            self.outbox.messages.append((self.life.lsp, m.encode(self._kit_complete())))

    def _needed_poisons(self, archive: Archive, label: str) -> frozenset[str]:
        """Poisons without which the version does not count: of every state and link that this client has signed.

        What it has not signed nobody holds complete; and others, whom it would need, may never have heard of it.
        """
        signed = {(outpoint, message) for outpoint, _, message in self.party.signer.records}
        needed = set()
        for name, template in archive.poisons(label).items():
            poisoned = archive.realised[template.spends[0].outpoint.transaction]
            if (str(poisoned.template.spends[0].outpoint), poisoned.sighash.hex()) in signed:
                needed.add(name)
        return frozenset(needed)

    def _capacity(self, blueprint: Blueprint) -> int:
        """Both sides of this client's channels in a version (sat)."""
        return blueprint.contents[blueprint.terms.tree.leaf_of(self.name).path].capacity_of(self.name)

    def _version_of(self, blueprint: Blueprint) -> str:
        path = blueprint.terms.tree.path_to(self.name)
        return version_text(tuple(blueprint.versions[n.path] for n in path if n.kind is not NodeKind.STATIC))

    # -- carrying out --------------------------------------------------------------------------------------------------

    def message_for(self, action: Action) -> m.Message:
        """The message of an action of the client's table."""
        if action.name == "join":
            return self._join()
        if action.name == "buy":
            capacity, most = action["capacity"], action["most"]
            assert isinstance(capacity, int) and isinstance(most, int)
            return m.Buy(capacity, most, self.new_commitment_point(self._purse))
        if action.name in _SALE_MESSAGES:
            return self._sale_message(action)
        if action.name == "agreement":
            return m.Agreement(self.label, self.digest)
        assert action.name == "kit_complete", action
        return self._kit_complete()

    def _sale_message(self, action: Action) -> m.Message:
        label = str(action["label"])
        if action.name == "sale_agreement":
            key = self.stock_with(label)
            pending = self.party.stocks[key].pending if key is not None else None
            assert pending is not None
            return m.Agreement(label, pending.digest)
        return m.LinkHeld(label) if action.name == "link_held" else m.Payment(label)

    def _join(self) -> m.Join:
        keys = keys_form(PartyKeys(self.key.public, self.payout_script))
        return m.Join(keys, points_form(self.identity.channel(self.name).points), self._next_point())

    def _kit_complete(self) -> m.KitComplete:
        return m.KitComplete(self.label, self._next_point())

    def save(self, action: Action) -> None:
        """The client's life, and the factory that it rests on."""
        if action.name == "counted":
            self.counted = self.label
        if self.archive is not None:
            self.store.put_document(FACTORY, m.text_of(self.archive.record))
        saved = Saved(self.life, self.label, self.digest, self.counted, dict(self.party.stocks))
        self.store.put_document(LIFE, m.text_of(saved))

    def memory(self) -> dict[str, Any]:
        """See ``Actor.memory``."""
        return {**super().memory(), "counted": self.counted}

    def broadcast(self, action: Action) -> Transaction:
        """Never asked: the client's table broadcasts nothing; the strategy says what to publish."""
        raise AssertionError(f"the client's table broadcasts '{action.name}'")

    def _recover(self) -> None:
        place = str(self.store.path)
        self.load_secrets()
        stored = self.store.document(LIFE)
        if stored is None:
            return
        saved = m.decode_plain(Saved, stored, place)
        self.label, self.digest, self.counted = saved.label, saved.digest, saved.counted
        self.signatures = self.store.signatures()
        held, records = frozenset(self.signatures), self.store.records()
        gone_on_chain = saved.life.status not in ("invited", "verifying", "holding", "active", *SIGNING)
        self.party = Participant(
            replace(saved.life, held=frozenset()),
            Signer(self.name, held=held, records=records, tree_on_chain=gone_on_chain),
            saved.stocks,
        )
        factory = self.store.document(FACTORY)
        if factory is None:
            return
        self.archive = Archive(self.name, m.decode_plain(FactoryRecord, factory, place))
        if self.life.status in SIGNING:
            self.open_tasks(self.label)
        for stock in self.party.stocks.values():
            if stock.pending is not None:
                self.open_sale_tasks(stock.pending.label)
