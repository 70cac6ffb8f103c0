"""What a party sees of the chain, what its table makes of it, and what its strategy publishes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from superscalar_ref.bitcoin.transaction import Transaction
from superscalar_ref.chain.fees import Offer
from superscalar_ref.chain.interface import Ledger, OutPoint
from superscalar_ref.errors import Refused
from superscalar_ref.machine.types import Event
from superscalar_ref.parties.actor import Actor
from superscalar_ref.parties.bumper import Bumper
from superscalar_ref.protocol import deadline as deadlines
from superscalar_ref.protocol.blueprint import FUNDING
from superscalar_ref.protocol.client import Client
from superscalar_ref.protocol.factory import Factory
from superscalar_ref.protocol.strategy import Strategy, View, decide, load_strategy
from superscalar_ref.protocol.transaction import Kind, Outpoint, Role, Template
from superscalar_ref.realise.book import CoinOutput

NEVER = deadlines.NEVER
"""A deadline that never comes."""
CHILD = "child:"
"""Before the name of a transaction: the child that pays for it."""


def txid_bytes(txid: str) -> bytes:
    """A txid as an outpoint carries it, from hex in RPC order."""
    return bytes.fromhex(txid)[::-1]


@dataclass
class Watcher:
    """Feeds the chain to one actor and asks the strategy what to publish."""

    actor: Actor
    ledger: Ledger
    deadline: int = NEVER
    """A deadline for beginning an exit (height of the last block), beside the party's own (STR-20, STR-21)."""
    strategy: Strategy = field(default_factory=load_strategy)
    seen: dict[str, int] = field(default_factory=dict)
    """Transactions of the factory that are confirmed → height."""
    told: set[tuple[str, str]] = field(default_factory=set)
    """What the actor's table has taken: (transaction, event)."""
    purse: Bumper | None = None
    """Coins of its own, to pay for what it publishes; None: it has neither a coin nor a key for one."""

    def look(self) -> None:
        """See the tip: what is confirmed, and let the party's table take it."""
        self.actor.height = self.ledger.height
        self.seen = {}
        for name, realised in self.actor.factory.realised.items():
            height = self.ledger.confirmation_height(txid_bytes(realised.txid))
            if height is not None:
                self.seen[name] = height
        for name, height in sorted(self.seen.items(), key=lambda item: (item[1], self._order(item[0]))):
            self._tell(name, height)
        if isinstance(self.actor.party.life, Factory):
            self._pass_time()

    def _pass_time(self) -> None:
        """What the height, and the outputs that are left, mean for the LSP's life."""
        height = self.ledger.height
        last = max(self.seen.values(), default=height)
        for event in (
            Event.of("period_over", "clock", height=height),
            Event.of("end_reached", "clock", height=height, end=self.actor.factory.terms.locks.end),
            Event.of("outputs_spent", "chain", unspent=self._not_at_rest(), depth=height - last + 1),
        ):
            try:
                self.actor.live(event)
            except Refused:
                continue

    def _not_at_rest(self) -> int:
        """How many outputs of the factory are unspent, other than a wallet's, an anchor, or another's delayed one."""
        templates = self.actor.factory.templates
        outputs = [templates[point.transaction].outputs[point.index] for point in self.view().unspent]
        mine = [output for output in outputs if output.role is not Role.DELAYED or output.owner == self.actor.name]
        return sum(output.role not in (Role.WALLET, Role.ANCHOR) for output in mine)

    def _order(self, name: str) -> int:
        return list(self.actor.factory.templates).index(name)

    def _tell(self, name: str, height: int) -> None:
        """One confirmed transaction as events of the party's life; what its table does not take, it does not need."""
        facts = {"depth": self.ledger.height - height + 1, "height": height}
        if self.actor.factory.templates[name].kind in (Kind.COMMITMENT, Kind.SWEEP, Kind.POISON, Kind.ALTERNATE):
            facts["unsettled"] = self.unsettled()
        for event, carried in _events(self.actor.factory.templates[name], self.actor.name):
            if (name, event) in self.told:
                continue
            try:
                self.actor.live(Event.of(event, "chain", **{key: facts[key] for key in carried}))
            except Refused:
                continue
            self.told.add((name, event))

    def unsettled(self) -> int:
        """How many confirmed outputs the party has a close, a sweep, a link or a poison for that are not at rest.

        At rest is what a transaction has spent that is as deep as a reorg is assumed to reach: another may take its
        place (Q-REO-1).
        """
        view = self.view()
        life = self.actor.party.life
        depth = life.limits.depth if isinstance(life, Client) else life.depth
        shallow = {
            spend.outpoint
            for name, height in self.seen.items()
            if self.ledger.height - height + 1 < depth
            for spend in self.actor.factory.templates[name].spends
        }
        return len(
            {
                spend.outpoint
                for template in view.held.values()
                if template.kind in (Kind.COMMITMENT, Kind.SWEEP, Kind.SALE, Kind.POISON)
                for spend in template.spends
                if spend.outpoint in view.unspent or spend.outpoint in shallow
            }
        )

    def view(self) -> View:
        """What the party sees and holds, for its strategy."""
        unspent = self.ledger.unspent()
        found: dict[Outpoint, int] = {}
        for name, height in self.seen.items():
            realised = self.actor.factory.realised[name]
            for index, place in enumerate(realised.places):
                if OutPoint(txid_bytes(realised.txid), place) in unspent:
                    found[Outpoint(name, index)] = height
        return View(
            role="client" if isinstance(self.actor.party.life, Client) else "lsp",
            root=Outpoint(FUNDING, 0),
            held=self.actor.held_templates(),
            unspent=found,
            next_height=self.ledger.height + 1,
            deadline=min(self.deadline, self.actor.deadline()),
        )

    def publish(self) -> dict[str, Transaction]:
        """What the strategy publishes now, by name, complete."""
        return {name: self.actor.complete_transaction(name) for name in decide(self.strategy, self.view())}

    def offers(self, price: int) -> dict[str, Offer]:
        """What it broadcasts when the last block asked for ``price`` (sat/vB), by name: each before its child.

        A child (``child:`` and the name of its parent) is there where the fee that is signed in is too low, and the
        purse can pay (``spec/fees.toml``). Without one the transaction is offered all the same, and waits.
        """
        templates = self.actor.factory.templates
        found = {name: Offer(transaction, templates[name].fee) for name, transaction in self.publish().items()}
        if self.purse is None:
            return found
        self._earn(self.purse)
        children = self.purse.children(tuple(found.values()), price)
        raised: dict[str, Offer] = {}
        for name, offer in found.items():
            raised[name] = offer
            if offer.transaction.txid in children:
                raised[CHILD + name] = children[offer.transaction.txid]
        return raised

    def _earn(self, purse: Bumper) -> None:
        """What the factory has paid to the wallet is a coin as well."""
        for name in self.seen:
            realised = self.actor.factory.realised[name]
            for index, output in enumerate(realised.transaction.outputs):
                if output.script_pubkey == purse.script:
                    purse.learn(CoinOutput(realised.txid, index, output))
        purse.look(self.ledger)

    def wait(self, most: int) -> int:
        """Blocks after which the strategy has something to publish if nothing else happens; ``most`` when nothing."""
        view = self.view()
        heights = sorted(
            {
                max([template.lock_time + 1, *(_ready(template, view.unspent))])
                for template in view.held.values()
                if all(spend.outpoint in view.unspent for spend in template.spends)
            }
        )
        for height in heights:
            later = View(view.role, view.root, view.held, view.unspent, max(height, view.next_height), view.deadline)
            if decide(self.strategy, later):
                return min(max(height - view.next_height, 0), most)
        return most


def _ready(template: Template, unspent: Mapping[Outpoint, int]) -> list[int]:
    return [unspent[spend.outpoint] + (spend.relative_lock or 0) for spend in template.spends]


_DEPTH = ("depth",)
_SETTLED = ("depth", "unsettled")
_EVENTS: Mapping[Kind, tuple[tuple[str, tuple[str, ...]], ...]] = {
    Kind.FUNDING: (("funding_confirmed", ("depth", "height")),),
    Kind.KICKOFF: (("tree_confirmed", ()), ("kickoff_confirmed", ())),
    Kind.STATE: (("tree_confirmed", ()), ("state_confirmed", ())),
    Kind.COMMITMENT: (("commitment_confirmed", ()),),
    Kind.SWEEP: (("sweep_confirmed", _SETTLED),),
    Kind.ALTERNATE: (("tree_confirmed", ()), ("alternate_confirmed", _SETTLED)),
    Kind.SALE: (("tree_confirmed", ()),),
    Kind.POISON: (("tree_confirmed", ()), ("poison_confirmed", _SETTLED)),
    Kind.CLOSE: (("close_confirmed", _DEPTH),),
}
"""For each kind of transaction, the events of a life that its confirmation stands for, and what each carries."""


def _events(template: Template, me: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The events of a party's life that a confirmed transaction stands for."""
    if template.kind is Kind.STATE and any(output.owner == me for output in template.outputs):
        return (("tree_confirmed", ()), ("leaf_confirmed", ()))
    if template.kind is Kind.COMMITMENT and template.holder != me:
        return (("peer_commitment_confirmed", _SETTLED),)
    if template.kind is Kind.SWEEP and template.outputs[0].owner != me:
        return ()
    return _EVENTS.get(template.kind, ())
