"""The live channels of one party of a factory: they follow whatever becomes of the leaf that they are in (D-15).

Laws of this module:

* Nothing is decided here: what a channel may do is in ``spec/machines/channel.toml``, what a factory may do in its own
  tables. This module tells each what the other has done, as often as it likes: what was done before changes nothing.
* A leaf's state is signed when the channel's own commitment on it is held: to the signing session it is a child like
  any other (D-4). The channel is told that a state is complete only when the party counts on it, poison and all.
* A channel's message is a message of its party: the same wire, the same outbox.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from superscalar_ref.bitcoin.transaction import Transaction
from superscalar_ref.errors import ProtocolError
from superscalar_ref.parties import channel_messages as c
from superscalar_ref.parties.actor import Actor, Outbox
from superscalar_ref.parties.channel_actor import NEVER, Answer, ChannelActor
from superscalar_ref.parties.channel_leaf import begins, channel_name, open_in_leaf
from superscalar_ref.parties.store import Store
from superscalar_ref.protocol.blueprint import Channel, LeafContents
from superscalar_ref.protocol.chain_links import Sale
from superscalar_ref.protocol.channel import Htlc
from superscalar_ref.protocol.client import Client
from superscalar_ref.protocol.htlc_limits import HtlcLimits
from superscalar_ref.protocol.transaction import Kind, Role, Template

_SIGNED = ("updating", "update_signing")
"""States of a life in which a version is being signed."""
_AT_REST = ("active", "dying")
_LIVES = ("live", "quiescent", "moving", "closing")
_CLOSES = ("closing", "close_signing", "close_published")
"""States of a life in which a close of the whole factory may be signed: the channels stay as it pays them."""


def _began_with(client: str, side: ChannelActor) -> int:
    """What a client had in a channel when it began (sat)."""
    first = side.terms.balance_msat
    return (first if side.name == client else side.channel.capacity_msat - first) // 1000


class ChannelDesk:
    """One party's channels."""

    def __init__(
        self,
        actor: Actor,
        limits: Callable[[str], HtlcLimits],
        *,
        depth: int,
        lsp_reserve_sat: int = 0,
        close_fee_sat: int = 0,
    ) -> None:
        """The channels of ``actor``; ``limits`` gives those of a client's channel."""
        self.actor = actor
        self.limits = limits
        self.depth = depth
        self.lsp_reserve_sat = lsp_reserve_sat
        self.close_fee_sat = close_fee_sat
        self.sides: dict[str, ChannelActor] = {}
        """Client → this party's side of its channel in its leaf."""
        self.bought: dict[str, ChannelActor] = {}
        """Sale → this party's side of the channel that was sold."""
        self.store: Store | None = None
        """Where channels are kept; None: in the party's own store."""
        self._asked: set[str] = set()
        """Names of the channels in which this party has asked for quiet."""
        actor.desk = self

    # -- opening -------------------------------------------------------------------------------------------------------

    def open(self, client: str, store: Store | None = None) -> ChannelActor:
        """Open a client's channel in the version that this party counts on, or take it up where ``store`` has it.

        Raises ``Refused`` when the channel's table does not let it begin (CHN-71).
        """
        self.store = store
        side = self.sides[client] = self._open(client, self._counted(), self.limits(client))
        self._open_bought(unpaid=self._lsp == self.actor.name)
        self._hold()
        return side

    def _open(self, client: str, label: str, limits: HtlcLimits) -> ChannelActor:
        return open_in_leaf(
            self.actor,
            client,
            label,
            self.store or self.actor.store,
            limits,
            depth=self.depth,
            lsp_reserve_sat=self.lsp_reserve_sat,
            close_fee_sat=self.close_fee_sat,
        )

    def opened(self, label: str) -> bool:
        """Whether the channel of a purchase is open; it is opened, and connected, if its link is complete (D-8)."""
        if label not in self.bought:
            self._open_bought()
            if label in self.bought:
                self._post(self.bought[label].connect())
        return label in self.bought and self.bought[label].channel.status == "live"

    def _open_bought(self, *, unpaid: bool = True) -> None:
        """Open every channel that was sold to a client whose channels are kept here, or those that are paid for."""
        for stock in self.actor.party.stocks.values():
            for number, sold in enumerate(stock.links, start=1):
                if sold.buyer not in self.sides:
                    continue
                gone = stock.status == "replaced" and not self._place(self._counted(), sold.buyer, sold.label)
                if sold.label not in self.bought and not gone and (unpaid or sold.paid):
                    self.bought[sold.label] = self._open(sold.buyer, sold.label, self.limits(sold.buyer))
                    self.bought[sold.label].answer = self._answer_of(sold.buyer)
                if sold.label in self.bought:
                    # While it may have to be closed below its link, the links above that come first.
                    side, limits = self.bought[sold.label], self.limits(sold.buyer)
                    links = number if side.terms.outpoint in side.channel.outpoints else 0
                    side.limits = replace(limits, exit_blocks=limits.exit_blocks + links)

    def _answer_of(self, client: str) -> Answer:
        """What is done in a client's first channel, whatever that will be, is done in its others."""

        def answer(htlc: Htlc) -> bytes | str | None:
            return self.sides[client].answer(htlc)

        return answer

    def _all(self) -> Iterator[tuple[str, ChannelActor]]:
        """Each channel, with its client."""
        return ((client, side) for client, _, side in self._each_of())

    def _each_of(self) -> Iterator[tuple[str, str, ChannelActor]]:
        """Each channel, with its client, and the label of the sale by which it was bought, empty for a first one."""
        for client, side in self.sides.items():
            yield client, "", side
        for label, side in self.bought.items():
            yield (side.channel.peer if side.name == self._lsp else side.name), label, side

    def channels(self) -> tuple[ChannelActor, ...]:
        """This party's side of every channel."""
        return tuple(side for _, side in self._all())

    def deadline(self) -> int:
        """The height from which on this party must have begun to publish for a channel's sake; NEVER while for none.

        For a payment that hangs (STR-22 to STR-24); at once when it closes alone, for its commitment needs its leaf.
        """
        channels = [side.channel.status for side in self.channels()]
        if "force_closing" in channels:
            return 0
        hanging = (side.exit_deadline()[0] for side in self.channels() if side.channel.status in _LIVES)
        return min(hanging, default=NEVER)

    def side_of(self, channel: str) -> ChannelActor:
        """This party's side of a client's first channel, by its name, or of one that was sold, by the sale's label."""
        return self.bought.get(channel) or self.sides[channel]

    @property
    def _lsp(self) -> str:
        return self.actor.factory.terms.lsp

    # -- messages ------------------------------------------------------------------------------------------------------

    def takes(self, raw: bytes) -> bool:
        """Whether a message is for one of these channels; one that was never opened is opened by it."""
        name = c.channel_of(raw)
        known = {side.terms.name for _, side in self._all()}
        for client in self._unopened() if name is not None and name not in known else ():
            if name == channel_name(self.actor, client):
                self.open(client, self.store)
                return True
        return name in known

    def _unopened(self) -> tuple[str, ...]:
        """Clients whose channel is not open here, and was before a restart, or can be by now."""
        if self.actor.archive is None:
            return ()
        clients = self.actor.factory.terms.tree.clients if self.actor.name == self._lsp else (self.actor.name,)
        store = self.store or self.actor.store
        return tuple(
            client
            for client in clients
            if client not in self.sides
            and (
                store.document(f"channel/{channel_name(self.actor, client)}/state") is not None
                or self._may_open(client)
            )
        )

    def _may_open(self, client: str) -> bool:
        """Whether a channel may begin: no version is being signed, and none stands but the one that counts."""
        actor, label = self.actor, self._counted()
        if actor.party.life.status not in _AT_REST or label not in actor.factory.blueprints:
            return False
        return begins(actor, client, label)

    def receive(self, sender: str, raw: bytes) -> None:
        """Take a message for a channel; what that gives goes to the party's outbox."""
        if self.actor.party.life.status in _CLOSES:
            raise ProtocolError(
                "CLI-8", "FACTORY_CLOSES", "no channel goes on beside a close that pays by its balances"
            )
        side = next(side for _, side in self._all() if side.terms.name == c.channel_of(raw))
        side.height = self.actor.height
        self._post(side.receive(sender, raw))

    def hear(self, tower: str, raw: bytes) -> None:
        """Take what a watchtower says that it keeps; what that gives goes to the party's outbox."""
        for _, side in self._all():
            side.height = self.actor.height
            self._post(side.receive(tower, raw))

    def remind(self) -> None:
        """Hand the watchtowers again whatever penalties they have not acknowledged."""
        for _, side in self._all():
            self._post(side.retry_towers())

    def add_tower(self, tower: str) -> None:
        """Rely on one more watchtower, in every channel that is open."""
        for _, side in self._all():
            self._post(side.add_tower(tower))

    def drop_tower(self, tower: str) -> None:
        """Rely on a watchtower no more."""
        for _, side in self._all():
            self._post(side.drop_tower(tower))

    def may_leave(self) -> bool:
        """Whether nothing is under way in any channel, and every tower keeps every penalty."""
        return all(side.may_leave() for _, side in self._all())

    def act(self, client: str, step: Callable[[ChannelActor], Outbox]) -> Outbox:
        """Take an own step in a client's channel, or in that of a sale; what it gives, and what follows.

        Raises as the step does.
        """
        self.actor.outbox = Outbox()
        if self.actor.party.life.status in _CLOSES:
            raise ProtocolError(
                "CLI-8", "FACTORY_CLOSES", "no channel goes on beside a close that pays by its balances"
            )
        self._post(step(self.side_of(client)))
        self.follow()
        return self.actor.outbox

    def _post(self, given: Outbox) -> None:
        outbox = self.actor.outbox
        outbox.messages += given.messages
        outbox.broadcasts += given.broadcasts
        outbox.alerts += given.alerts

    # -- what the factory does, and what that is to a channel ----------------------------------------------------------

    def follow(self) -> None:
        """Take every step that the versions of the factory ask of the channels, and the other way round."""
        # A buyer opens when it is asked to pay, so that the LSP is ready for it.
        self._open_bought(unpaid=self._lsp == self.actor.name)
        seen = None
        while seen != (now := (self.actor.party.life, [side.channel for _, side in self._all()])):
            seen = now
            self._hold()
            for client, bought, side in self._each_of():
                if side.channel.synced and side.channel.status in _LIVES:
                    self._follow(client, bought, side)

    def _follow(self, client: str, bought: str, side: ChannelActor) -> None:
        channel, life = side.channel, self.actor.party.life
        if life.status in _SIGNED:
            wanted = self._place(self._pending(), client, bought)
            if wanted and wanted not in channel.outpoints:
                self._towards(side, wanted)
        elif life.status in _AT_REST:
            if channel.status == "quiescent" and side.terms.name in self._asked:
                self._asked.discard(side.terms.name)
                self._post(side.resume())
            elif len(channel.outpoints) > 1:
                self._settle(client, bought, side)

    def _towards(self, side: ChannelActor, wanted: str) -> None:
        """A version that is being signed gives the channel another outpoint: be quiet, then move."""
        if side.channel.status == "quiescent":
            self._asked.discard(side.terms.name)
            self._post(side.move(wanted))
        elif side.channel.status == "live" and not side.wants_quiet:
            self._asked.add(side.terms.name)
            self._post(side.quiesce())

    def _settle(self, client: str, bought: str, side: ChannelActor) -> None:
        """The newest outpoint is of the version that counts, or of one that is given up."""
        channel, me = side.channel, self.actor.name
        newest = channel.outpoints[-1]
        signed = self._signed(client, newest, bought)
        if newest == self._place(self._counted(), client, bought):
            if channel.moved == channel.both and me not in channel.left | channel.quiet and channel.status == "live":
                self._post(side.complete(held=True))
        elif channel.given_up == frozenset({channel.peer}) and not channel.kept:
            # The other waits for an answer: it is dropped by both, or kept.
            self._post(side.abandon(newest, signed=signed))
        elif not channel.given_up | channel.quiet and not signed:
            self._post(side.abandon(newest, signed=False))

    def _pending(self) -> str:
        life = self.actor.party.life
        return str(getattr(self.actor, "label", "")) if isinstance(life, Client) else life.pending

    def _counted(self) -> str:
        life = self.actor.party.life
        return str(getattr(self.actor, "counted", "")) if isinstance(life, Client) else life.version

    def _place(self, label: str, client: str, bought: str = "") -> str:
        """The outpoint of a client's channel in a version; empty when this party knows none there."""
        archive = self.actor.factory
        blueprint = archive.blueprints.get(label)
        if blueprint is None or not blueprint.versions:
            return ""
        channels = blueprint.contents[archive.terms.tree.leaf_of(client).path].channels
        if not any((one.client, one.bought) == (client, bought) for one in channels):
            return ""
        return archive.channel_place(label, client, bought)[0]

    def _signed(self, client: str, outpoint: str, bought: str = "") -> bool:
        """Whether this party has ever let go of a signature that makes an outpoint (D-7)."""
        archive, records = self.actor.factory, self.actor.party.signer.records
        for label, blueprint in archive.blueprints.items():
            if self._place(label, client, bought) != outpoint:
                continue
            state = archive.realised[blueprint.path(client)[-1]]
            spent = str(state.template.spends[0].outpoint)
            if (spent, state.template.slot, state.sighash.hex()) in records:
                return True
        return False

    # -- what the channels are to the factory --------------------------------------------------------------------------

    def live(self, clients: frozenset[str]) -> frozenset[str]:
        """Names of the channels of these clients that live."""
        return frozenset(
            client if side is self.sides[client] else side.terms.name for client, side in self._of(clients)
        )

    def _of(self, clients: frozenset[str]) -> Iterator[tuple[str, ChannelActor]]:
        return ((client, side) for client, side in self._all() if client in clients)

    def carried(self, contents: Mapping[str, LeafContents], clients: frozenset[str]) -> frozenset[str]:
        """Those of them to which leaves with these contents give an output that holds exactly what they hold.

        The contents say what the channel began with: what it pays by now is for its own commitments to say.
        An output for a channel that was bought and does not live is named by its sale: nobody carries anything to it.
        """
        tree = self.actor.factory.terms.tree
        given: set[str] = set()
        for client in clients:
            for one in contents[tree.leaf_of(client).path].channels:
                side = self.bought.get(one.bought) if one.bought else self.sides.get(client)
                if one.client != client or (side is None and not one.bought):
                    continue
                if side is None:
                    given.add(one.bought)
                elif (one.capacity * 1000, one.to_client) == (side.channel.capacity_msat, _began_with(client, side)):
                    given.add(side.terms.name if one.bought else client)
        return frozenset(given)

    def apart(self) -> frozenset[str]:
        """Labels of the sales whose channels live: no cut-through makes them one with another."""
        return frozenset(self.bought)

    def settled(self, contents: Mapping[str, LeafContents]) -> dict[str, LeafContents]:
        """Leaf contents with the present balances of the live channels (sat), rounded down for the client."""
        return {
            path: replace(leaf, channels=tuple(map(self._settled, leaf.channels))) for path, leaf in contents.items()
        }

    def _settled(self, channel: Channel) -> Channel:
        side = self.bought.get(channel.bought) if channel.bought else self.sides.get(channel.client)
        gained = 0 if side is None else self._gained_in(channel.client, side)
        return replace(channel, to_client=channel.to_client + gained, to_lsp=channel.to_lsp - gained)

    def gained(self) -> int:
        """What the clients have gained in their live channels since they began (sat); negative when spent."""
        return sum(self._gained_in(client, side) for client, side in self._all())

    @staticmethod
    def _gained_in(client: str, side: ChannelActor) -> int:
        now = side.channel.balance_msat
        if side.name != client:
            now = side.channel.capacity_msat - now
        return now // 1000 - _began_with(client, side)

    def quiet(self) -> bool:
        """Whether every live channel is quiet and holds no payment."""
        channels = [side.channel for _, side in self._all()]
        return all(one.status == "quiescent" and not one.htlcs for one in channels)

    def rest(self) -> Outbox:
        """Ask for quiet in every channel, as a close of the whole factory needs it."""
        return self._each(lambda side: side.quiesce())

    def closes(self, template: Template) -> bool:
        """Whether a live channel says what becomes of a commitment, or of its sweep."""
        templates = self.actor.factory.templates
        if template.kind is Kind.SWEEP:
            template = templates[template.spends[0].outpoint.transaction]
        if template.kind is not Kind.COMMITMENT:
            return False
        spent = template.spends[0].outpoint
        output = templates[spent.transaction].outputs[spent.index]
        if templates[spent.transaction].kind is Kind.SALE:
            return spent.transaction in {self._sold(label).link for label in self.bought}
        return output.role is Role.CHANNEL and output.owner in self.sides

    def transaction(self, name: str) -> Transaction | None:
        """A channel's own newest commitment under the name that a version has for it, complete.

        None for what is no commitment of these channels. Raises ``InputError`` when the channel has left that version:
        what was its commitment there is revoked.
        """
        for side, outpoint, names in self._places():
            if names[self.actor.name] == name:
                return side.own_transaction(outpoint)
        for label, side in self.bought.items():
            if self._sold(label).commitment(self.actor.name) == name:
                return side.own_transaction(side.terms.outpoint)
        return None

    def _sold(self, label: str) -> Sale:
        return next(sold.sale for sold in self.actor.factory.record.sales if sold.label == label)

    def _places(self) -> Iterator[tuple[ChannelActor, str, Mapping[str, str]]]:
        """For each channel, and version that has it: the channel, its outpoint, holder → name of the commitment."""
        archive = self.actor.factory
        for client, bought, side in self._each_of():
            for label in archive.blueprints:
                if self._place(label, client, bought):
                    yield side, *archive.channel_place(label, client, bought)

    def _hold(self) -> None:
        """The factory holds the commitments that the channels have on outpoints of versions (D-4, D-16)."""
        actor = self.actor
        if actor.archive is None:
            return
        moved = {name for blueprint in actor.factory.blueprints.values() for name in blueprint.moved}
        here = {
            names[actor.name]
            for side, outpoint, names in self._places()
            if outpoint in self._held_by(side) and names[actor.name] in moved
        }
        signer = actor.party.signer
        if moved & signer.held - here:
            actor.party = replace(actor.party, signer=replace(signer, held=signer.held - (moved - here)))
        if here - actor.held:
            actor.hold(frozenset(here))

    @staticmethod
    def _held_by(side: ChannelActor) -> tuple[str, ...]:
        """Outpoints on which this side holds its newest commitment."""
        channel = side.channel
        held = side.own.signatures.keys() if side.own is not None else ()
        return tuple(outpoint for outpoint in channel.outpoints if outpoint in held)

    # -- after silence -------------------------------------------------------------------------------------------------

    def connect(self) -> Outbox:
        """Begin a connection in each channel; a client opens its own before, if it may (R-CHANNEL-OPENED, CHN-71)."""
        for client in self._unopened() if self.actor.name != self._lsp else ():
            self.open(client, self.store)
        return self._each(lambda side: side.connect())

    def retry(self) -> Outbox:
        """Connect again where something that was sent may have been lost."""
        return self._each(lambda side: side.retry())

    def _each(self, step: Callable[[ChannelActor], Outbox]) -> Outbox:
        self.actor.outbox = Outbox()
        for _, side in self._all() if self.actor.party.life.status not in _CLOSES else ():
            self._post(step(side))
        self.follow()
        return self.actor.outbox
