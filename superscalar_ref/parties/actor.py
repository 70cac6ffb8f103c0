"""A party without I/O: messages go in; messages, transactions and alerts come out; records are written between.

Laws of this module:

* What may be done is decided by the tables (``protocol.participant``). An actor carries actions out, in their order.
* What an action persists is durable before anything that the same step sends about the same transaction leaves.
* After a restart an actor knows what its store holds, and nothing else.
* A message that cannot be decoded, or that a table refuses, changes nothing and is reported as an alert.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from superscalar_ref.bitcoin.transaction import Transaction
from superscalar_ref.errors import Blame, InputError, ProtocolError, Refused, SigningError, SuperscalarError
from superscalar_ref.machine.types import Action, Event, Value
from superscalar_ref.parties import messages as m
from superscalar_ref.parties.archive import Archive, PlannedSale
from superscalar_ref.parties.room import SigningRoom, nonce_is_good
from superscalar_ref.parties.store import Store
from superscalar_ref.protocol.blueprint import Blueprint, LeafContents
from superscalar_ref.protocol.chain_links import Sale, cover, link_cost
from superscalar_ref.protocol.client import Client
from superscalar_ref.protocol.deadline import NEVER, Lead
from superscalar_ref.protocol.factory import Factory
from superscalar_ref.protocol.participant import (
    Machines,
    Participant,
    Signer,
    Turn,
    deal,
    deliver,
    hold,
    live,
    machines,
    task,
    with_tasks,
)
from superscalar_ref.protocol.session import Session, Task
from superscalar_ref.protocol.stock import Stock
from superscalar_ref.protocol.transaction import Kind, Outpoint, Role, Template
from superscalar_ref.realise.channel import ChannelSecrets, derive_secret
from superscalar_ref.realise.tree import Realised
from superscalar_ref.signing.keys import Randomness, SecretKey, factory_key, system_randomness

SECRETS = "commitment_secrets"


class Desk(Protocol):
    """The live channels of a party, as its factory sees them (D-15)."""

    def takes(self, raw: bytes) -> bool:
        """Whether a message is for a channel."""

    def receive(self, sender: str, raw: bytes) -> None:
        """Take a message for a channel; what that gives goes to the party's outbox."""

    def follow(self) -> None:
        """Let the channels follow what the factory signs, counts or gives up."""

    def hear(self, tower: str, raw: bytes) -> None:
        """Take what a watchtower says that it keeps; what that gives goes to the party's outbox."""

    def remind(self) -> None:
        """Hand the watchtowers again whatever penalties they have not acknowledged."""

    def add_tower(self, tower: str) -> None:
        """Rely on one more watchtower, in every channel that is open."""

    def drop_tower(self, tower: str) -> None:
        """Rely on a watchtower no more."""

    def may_leave(self) -> bool:
        """Whether nothing is under way in any channel, and every tower keeps every penalty."""

    def live(self, clients: frozenset[str]) -> frozenset[str]:
        """Names of the channels of these clients that live."""

    def carried(self, contents: Mapping[str, LeafContents], clients: frozenset[str]) -> frozenset[str]:
        """Those of them that leaves with these contents can carry as they are."""

    def apart(self) -> frozenset[str]:
        """Labels of the sales whose channels live: no cut-through makes them one with another."""

    def settled(self, contents: Mapping[str, LeafContents]) -> dict[str, LeafContents]:
        """Leaf contents with the present balances of the live channels (sat)."""

    def gained(self) -> int:
        """What a client has gained in its live channels since it first counted on them (sat); negative when spent."""

    def quiet(self) -> bool:
        """Whether every live channel is quiet and holds no payment."""

    def opened(self, label: str) -> bool:
        """Whether the channel of a purchase is open; it is opened if it can be."""

    def closes(self, template: Template) -> bool:
        """Whether a live channel says what becomes of a commitment, or of its sweep."""

    def transaction(self, name: str) -> Transaction | None:
        """A channel's own newest commitment under the name that a version has for it, complete."""

    def deadline(self) -> int:
        """The height from which on the party must have begun to publish for a channel's sake."""


Turner = Callable[[], tuple[Participant, Turn]]
"""A step that is ready to be taken."""


@dataclass
class Outbox:
    """What one turn gave."""

    messages: list[tuple[str, bytes]] = field(default_factory=list)
    """(to, message), in the order in which they leave."""
    broadcasts: list[Transaction] = field(default_factory=list)
    alerts: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Identity:
    """A party's secrets: a seed, and the number of the factory that its keys are for."""

    name: str
    seed: bytes
    """16 to 64 bytes."""
    factory_number: int = 0

    def factory_key(self) -> SecretKey:
        """Its key in this factory, hardened (P1242)."""
        return factory_key(self.seed, self.factory_number)

    def channel(self, client: str) -> ChannelSecrets:
        """Its secrets in one client's channel."""
        return ChannelSecrets.from_seed(self.seed, f"{self.factory_number}/{client}/{self.name}")


class Actor:
    """What the LSP and a client have in common: the store, the signing room, the carrying out of actions."""

    def __init__(
        self,
        identity: Identity,
        store: Store,
        life: Client | Factory,
        randomness: Randomness = system_randomness,
        tables: Machines | None = None,
    ) -> None:
        self.identity = identity
        self.name = identity.name
        self.store = store
        self.tables = tables or machines()
        self.randomness = randomness
        self.key = identity.factory_key()
        self.party = Participant(life, Signer(identity.name))
        self.archive: Archive | None = None
        self.signatures: dict[str, bytes] = {}
        """Complete signatures, by the name of their transaction."""
        self.commitment_secrets: dict[str, list[str]] = {}
        """Client → this party's per-commitment secrets in that channel (hex), one a version (D-14)."""
        self.height = 0
        self.lead: Lead | None = None
        """How long before the end this party begins, whatever happens; None: it never does by itself."""
        self.desk: Desk | None = None
        """Its live channels; None while it has none."""
        self.outbox = Outbox()
        self._pending: list[Action] = []
        self._incoming: dict[tuple[str, str, str], bytes] = {}
        self.room = SigningRoom(
            self.name,
            self.key,
            randomness,
            lambda name: self.factory.realised[name],
            lambda name: self.factory.book.party(name).factory_key,
        )

    # -- what a party knows --------------------------------------------------------------------------------------------

    @property
    def factory(self) -> Archive:
        """The factory as this party knows it. Raises ``InputError`` before it knows one."""
        if self.archive is None:
            raise InputError(self.name, "knows no factory yet", "D-16")
        return self.archive

    @property
    def held(self) -> frozenset[str]:
        """Names of the transactions that this party holds complete."""
        return self.party.signer.held

    def deadline(self) -> int:
        """The height from which on this party must have begun to publish, for its channels too (STR-20 to STR-24)."""
        channels = NEVER if self.desk is None else self.desk.deadline()
        if self.lead is None or self.archive is None:
            return channels
        longest = max((len(stock.links) for stock in self.party.stocks.values()), default=0)
        return min(channels, self.lead.deadline(self.factory.terms.locks.end, longest))

    def held_templates(self) -> dict[str, Template]:
        """What it may publish: complete transactions, and those that only it signs."""
        return {
            name: template
            for name, template in self.factory.templates.items()
            if name in self.factory.realised
            and template.kind is not Kind.FUNDING
            and (name in self.held or template.signers == {self.name})
            and not (self.desk is not None and self.desk.closes(template))
        }

    def open_tasks(self, label: str) -> None:
        """Prepare a session for each transaction of a version, or close, that is not complete; forget all others."""
        wanted = self.factory.signing(label)
        tasks = self._tasks(label, wanted)
        # The same poison waits for another version, when the one that was to supersede was given up.
        present = {task.transaction: task for task in tasks}
        sessions = {
            name: replace(session, task=present.get(name, session.task))
            for name, session in self.party.signer.sessions.items()
            if name in wanted and session.task.message == self.factory.realised[name].sighash.hex()
        }
        signer = replace(self.party.signer, sessions=sessions)
        self.party = replace(self.party, signer=with_tasks(signer, tasks))

    def open_sale_tasks(self, label: str) -> None:
        """Prepare a session for each transaction of a sale that is not complete, beside all others."""
        tasks = self._tasks(label, self.factory.signing(label))
        self.party = replace(self.party, signer=with_tasks(self.party.signer, tasks))

    def _tasks(self, label: str, wanted: Mapping[str, Template]) -> list[Task]:
        blueprint = self.factory.blueprints.get(label) or next(iter(self.factory.blueprints.values()))
        newer = blueprint.kit_of(self.name)
        return [
            task(
                blueprint,
                template,
                self.name,
                self.factory.realised[name].sighash.hex(),
                newer if template.kind is Kind.POISON else frozenset(),
            )
            for name, template in wanted.items()
            if name not in self.held
        ]

    def complete_transaction(self, name: str) -> Transaction:
        """A transaction that this party may publish, with its signature. Raises ``InputError`` when it holds it not."""
        newest = None if self.desk is None else self.desk.transaction(name)
        if newest is not None:
            return newest
        realised = self.factory.realised.get(name)
        if realised is None:
            raise InputError(self.name, f"knows no transaction '{name}'", "D-16")
        if name in self.signatures:
            return realised.signed(self.signatures[name])
        if realised.template.signers != {self.name}:
            raise InputError(self.name, f"does not hold '{name}' complete", "D-16")
        return realised.signed(self._key_of(realised).sign(realised.sighash, self.randomness))

    def _key_of(self, realised: Realised) -> SecretKey:
        """The key of what only this party signs: a sweep of its commitment, or its own lock path."""
        parent = self.factory.realised[realised.template.spends[0].outpoint.transaction]
        if parent.commitment is None:
            return self.key
        channel = parent.template.spends[0].outpoint
        client = self.factory.templates[channel.transaction].outputs[channel.index].owner
        basepoint = self.identity.channel(client).delayed_payment_basepoint
        return derive_secret(basepoint, parent.commitment.state.per_commitment_point)

    def new_commitment_point(self, client: str) -> str:
        """A fresh per-commitment point in a client's channel (hex); its secret is durable before the point leaves."""
        secret = SecretKey.generate(self.randomness)
        known = self.commitment_secrets
        more = {**known, client: [*known.get(client, []), secret.reveal().hex()]}
        self.store.put_document(SECRETS, m.text_of(more))
        self.store.commit()
        self.commitment_secrets = more
        return secret.public.hex()

    def load_secrets(self) -> None:
        """Read the per-commitment secrets back. Raises ``MessageError`` when the record is damaged."""
        stored = self.store.document(SECRETS)
        if stored is not None:
            self.commitment_secrets = m.decode_plain(dict[str, list[str]], stored, str(self.store.path))

    # -- taking events -------------------------------------------------------------------------------------------------

    def receive(self, sender: str, raw: bytes) -> Outbox:
        """Take one message. Nothing is raised: what cannot be taken is an alert."""
        self.outbox = Outbox()
        try:
            if self.desk is not None and self.desk.takes(raw):
                self.desk.receive(sender, raw)
            else:
                self.take_message(sender, m.decode(raw, sender))
            self.follow()
        except SuperscalarError as error:
            self._alert(error)
        return self.outbox

    def follow(self) -> None:
        """Let this party's channels follow what its factory signs, counts or gives up (D-15)."""
        if self.desk is not None:
            self.desk.follow()

    def hold(self, names: frozenset[str]) -> None:
        """Hold what a channel has made complete, and take the steps that this allows."""
        self.take_turn(lambda: hold(self.tables, self.party, names))

    def channels_facts(self, contents: Mapping[str, LeafContents], clients: Iterable[str]) -> dict[str, frozenset[str]]:
        """What the table must know of the channels of ``clients``: which live, and which a version can carry."""
        concerned = frozenset(clients)
        if self.desk is None:
            bought = {one.bought for leaf in contents.values() for one in leaf.channels if one.client in concerned}
            return {"live": frozenset(), "carried": frozenset(bought - {""})}
        return {"live": self.desk.live(concerned), "carried": self.desk.carried(contents, concerned)}

    def take_message(self, sender: str, message: m.Message) -> None:
        """What a message of ``sender`` does. Raises ``SuperscalarError`` when it is refused."""
        match message:
            case m.Nonces():
                self._take_all("nonce", sender, message.nonces, message.attempt)
            case m.AggregateNonces():
                self._take_all("aggregate_nonce", sender, message.nonces, message.attempt)
            case m.Partials():
                self._take_all("partial", sender, message.partials, message.attempt)
            case m.Signatures():
                self._take_all("signature", sender, message.signatures, 0)
            case _:
                self.take_life(sender, message)

    def take_life(self, sender: str, message: m.Message) -> None:
        """What a message that is not about a session does; each kind of party has its own."""
        raise NotImplementedError

    def _take_all(self, event: str, sender: str, payloads: Mapping[str, str], attempt: int) -> None:
        """Session events in the order in which children come before parents, then what they allow."""
        events: list[tuple[str, Event]] = []
        for name, text in payloads.items():
            payload = bytes.fromhex(text)
            if name not in self.party.signer.sessions:
                self._alert(ProtocolError("SES", "OUT_OF_TURN", f"no session for '{name}' ({event} of {sender})"))
                continue
            if event in ("nonce", "aggregate_nonce") and not nonce_is_good(payload):
                self._alert(SigningError(f"{event} of {sender} for '{name}' is not two points"))
                continue
            self._incoming[event, name, sender] = payload
            events.append((name, self._event(event, sender, name, payload, attempt)))
        try:
            self.take_turn(lambda: deliver(self.tables, self.party, events))
        finally:
            self._incoming.clear()

    def _event(self, event: str, sender: str, name: str, payload: bytes, attempt: int) -> Event:
        if event == "partial":
            valid = self.room.partial_verifies(name, sender, payload)
            session = self.party.signer.sessions[name]
            if not valid and session.role_of(sender) == "signer" and session.attempt == attempt:
                # The collector made the aggregate nonce itself, so nobody else can have spoilt it (BIP-327).
                blame = Blame(sender, certain=True)
                self._alert(SigningError(f"the partial signature of '{name}' is not valid", blame))
            return Event.of(event, sender, attempt=attempt, valid=valid)
        if event == "signature":
            return Event.of(event, sender, valid=self.room.signature_verifies(name, payload))
        return Event.of(event, sender, attempt=attempt)

    # -- stocks --------------------------------------------------------------------------------------------------------

    def deal(self, key: str, event: Event) -> None:
        """Take one event of a stock and carry it out. Raises ``Refused`` with nothing changed."""
        self.take_turn(lambda: deal(self.tables, self.party, key, event))

    def stock_of(self, base: Outpoint) -> Stock:
        """The stock whose chain hangs on ``base``, as this party sees it.

        Raises ``InputError`` (STK-4) when that is no stock output of the version that this party counts on, or not one
        that it shares.
        """
        known = self.party.stocks.get(str(base))
        if known is not None:
            return known
        template = self.counted_blueprint().templates.get(base.transaction)
        if template is None or template.kind is not Kind.STATE or base.index >= len(template.outputs):
            raise InputError(f"stock {base}", "is not of the version that counts", "STK-4")
        output = template.outputs[base.index]
        if output.role is not Role.STOCK or self.name not in output.signers:
            raise InputError(f"output {base}", f"is no stock that {self.name} shares", "D-6")
        lsp, economy = self.factory.terms.lsp, self.factory.terms.economy
        least = max(economy.dust, 1)
        stock = Stock(
            "unsold", self.name, lsp, output.signers - {lsp}, output.amount, str(base), least, base.transaction
        )
        self.party = replace(self.party, stocks={**self.party.stocks, str(base): stock})
        return stock

    def stock_base(self, client: str) -> Outpoint:
        """The stock output that ``client`` shares, in the version that this party counts on."""
        blueprint = self.counted_blueprint()
        state = blueprint.templates[blueprint.path(client)[-1]]
        index = next(n for n, o in enumerate(state.outputs) if o.role is Role.STOCK and client in o.signers)
        return state.outpoint(index)

    def counted_blueprint(self) -> Blueprint:
        """The version that this party counts on. Raises ``InputError`` before there is one."""
        raise NotImplementedError

    def stock_with(self, label: str) -> str | None:
        """The stock whose pending or complete sale has this label."""
        for key, stock in self.party.stocks.items():
            labels = {sold.label for sold in stock.links} | ({stock.pending.label} if stock.pending else set())
            if label in labels:
                return key
        return None

    def sale_event(self, name: str, by: str, planned: PlannedSale, **more: Value) -> Event:
        """What the table must know of a sale, as this party computed it."""
        sale = planned.record.sale
        template = planned.blueprint.templates[sale.link]
        mine = frozenset(t.name for t in planned.blueprint.signed_together() if self.name in t.signers)
        return Event.of(
            name,
            by,
            label=planned.record.label,
            link=sale.link,
            message=planned.realised[sale.link].sighash.hex(),
            digest=planned.realised[sale.link].txid,
            outpoint=str(sale.outpoint),
            buyer=sale.channel.client,
            capacity=sale.channel.capacity,
            given=sale.channel.to_client,
            price=planned.record.price,
            cost=link_cost(self.factory.terms),
            cover=self._cover(sale),
            left=template.outputs[1].amount,
            tip=str(template.outpoint(1)),
            kit=planned.blueprint.kit_of(self.name),
            to_sign=mine,
            life=self.party.life.status,
            height=self.height,
            **more,
        )

    def _cover(self, sale: Sale) -> int:
        """Most that the buyer may buy with ``sale`` for every alternate signed before to cover it (sat)."""
        blueprint, buyer = self.counted_blueprint(), sale.channel.client
        complete = {sold.label for sold in self.stock_of(sale.base).links}
        chain = [sold.sale for sold in self.factory.record.sales if sold.label in complete]
        capacity = blueprint.contents[blueprint.terms.tree.leaf_of(buyer).path].capacity_of(buyer)
        return cover(self.factory.templates, blueprint.path(buyer), capacity, chain, sale)

    def sale_offered(self, event: Event, planned: PlannedSale) -> None:
        """Let the table decide on a sale; when it is refused, everything is as before."""
        before = self.archive
        changed = self.factory.copy()
        changed.adopt_sale(planned)
        self.archive = changed
        try:
            self.deal(str(planned.record.sale.base), event)
        except Exception:
            self.archive = before
            raise
        self.open_sale_tasks(planned.record.label)

    def supersede_stocks(self) -> None:
        """Nothing is sold any more from the states that the version now counted on replaces."""
        kept = self.counted_blueprint().templates
        for key, stock in self.party.stocks.items():
            if stock.state in kept:
                continue
            try:
                self.party, turn = deal(
                    self.tables, self.party, key, Event.of("superseded", self.name, newer=self.party.life.kit)
                )
            except Refused:
                continue
            for action in turn.actions:
                if action.kind == "forget":
                    self.room.forget(action.name)

    def live(self, event: Event) -> None:
        """Take one event of this party's life and carry it out. Raises ``Refused`` with nothing changed."""
        self.take_turn(lambda: live(self.tables, self.party, event))

    def take_turn(self, turn: Turner) -> None:
        """Step, carry out, and keep the new state; a store that refuses leaves the old state and sends nothing."""
        before, memory = self.party, self.memory()
        sent = len(self.outbox.messages), len(self.outbox.broadcasts)
        self.party, done = turn()
        try:
            self.perform(done.actions)
        except Exception:
            # Not only DurabilityError: whatever stops a turn half way must not leave half of it.
            self.store.rollback()
            self.party = before
            self.restore(memory)
            self._pending.clear()
            del self.outbox.messages[sent[0] :], self.outbox.broadcasts[sent[1] :]
            self.abandon_sessions()
            raise
        for refused in done.refused:
            self._alert(refused)

    def memory(self) -> dict[str, Any]:
        """What a turn may change besides ``party``, as it is now."""
        return {"signatures": dict(self.signatures)}

    def restore(self, memory: dict[str, Any]) -> None:
        """Put back what ``memory`` gave."""
        for name, value in memory.items():
            setattr(self, name, value)

    def abandon_sessions(self) -> None:
        """After a failed write: nonces that may have been used are destroyed, and sessions start over."""
        sessions: dict[str, Session] = {}
        for name, session in self.party.signer.sessions.items():
            self.room.forget(name)
            sessions[name] = session if session.status == "complete" else replace(session, status="aborted", nonce=0)
        self.party = replace(self.party, signer=replace(self.party.signer, sessions=sessions))

    def _alert(self, error: SuperscalarError) -> None:
        self.outbox.alerts.append(f"{self.name}: {error}")

    # -- carrying out --------------------------------------------------------------------------------------------------

    def perform(self, actions: Iterable[Action]) -> None:
        """Carry actions out in their order."""
        for action in actions:
            match action.kind:
                case "persist":
                    self._persist(action)
                case "send":
                    self._pending.append(action)
                case "broadcast":
                    self._flush()
                    self.outbox.broadcasts.append(self.broadcast(action))
                case "nonce":
                    self.room.make_nonce(action.name)
                case "sign":
                    self.room.sign(action.name)
                case "forget":
                    self.room.forget(action.name)
                case "keep":
                    self._keep(action)
        self._flush()

    def _persist(self, action: Action) -> None:
        about = dict(action.fields).get("transaction")
        if about is not None and any(dict(sent.fields).get("transaction") == about for sent in self._pending):
            self._flush()
        if action.name == "record":
            self.store.put_record((str(action["outpoint"]), str(action["slot"]), str(action["message"])))
        elif action.name == "signature":
            name = str(action["transaction"])
            signature = self._signature_for(name)
            self.store.put_signature(name, signature)
            self.signatures[name] = signature
        else:
            self.save(action)
            if action.name == "counted" and self.party.stocks:
                self.supersede_stocks()
                self.save(action)

    def _signature_for(self, name: str) -> bytes:
        for (event, transaction, _), payload in self._incoming.items():
            if event == "signature" and transaction == name and self.room.signature_verifies(name, payload):
                return payload
        return self.room.complete(name)

    def save(self, action: Action) -> None:
        """Make the party's life, and the documents that it rests on, durable."""
        raise NotImplementedError

    def broadcast(self, action: Action) -> Transaction:
        """The transaction that an action broadcasts."""
        raise NotImplementedError

    def _keep(self, action: Action) -> None:
        name, sender = str(action["transaction"]), action.to
        payload = self._incoming[action.name, name, sender]
        if action.name == "nonce":
            self.room.keep_nonce(name, sender, payload)
        elif action.name == "aggregate_nonce":
            self.room.keep_aggregate(name, payload)
        else:
            self.room.keep_partial(name, sender, payload)

    def _flush(self) -> None:
        """Make durable what was put, then let go what waits: one message for each receiver and kind."""
        self.store.commit()
        groups: dict[tuple[str, str, int], dict[str, str]] = {}
        for action in self._pending:
            if action.name not in _PAYLOADS:
                self.outbox.messages.append((action.to, m.encode(self.message_for(action))))
                continue
            name = str(action["transaction"])
            attempt = action["attempt"]
            assert isinstance(attempt, int)
            groups.setdefault((action.to, action.name, attempt), {})[name] = self._payload(action.name, name).hex()
        self._pending.clear()
        for (to, kind, attempt), payloads in groups.items():
            self.outbox.messages.append((to, m.encode(_session_message(kind, attempt, payloads))))

    def _payload(self, kind: str, name: str) -> bytes:
        match kind:
            case "nonce":
                return self.room.public_nonce(name)
            case "aggregate_nonce":
                return self.room.aggregate(name)
            case "partial":
                return self.room.partial(name)
            case _:
                return self.signatures[name]

    def message_for(self, action: Action) -> m.Message:
        """The message that a ``send`` action of this party's life stands for."""
        raise NotImplementedError


_PAYLOADS = frozenset({"nonce", "aggregate_nonce", "partial", "signature"})


def _session_message(kind: str, attempt: int, payloads: dict[str, str]) -> m.Message:
    match kind:
        case "nonce":
            return m.Nonces(attempt, payloads)
        case "aggregate_nonce":
            return m.AggregateNonces(attempt, payloads)
        case "partial":
            return m.Partials(attempt, payloads)
        case _:
            return m.Signatures(payloads)
