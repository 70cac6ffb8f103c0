"""One factory, active, on Bitcoin Core's consensus code: its parties act while they are awake, and all is told.

Laws of this module:

* What is mined pays what the block asks for, or comes with a child that does. The LSP has coins for every price.
* Whoever sleeps sees nothing and publishes nothing. A watchtower sees every block.
* What somebody has is read from the chain; a party's fees are those of its own sweeps and claims.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from superscalar_ref.bitcoin.taproot import p2tr_from_internal
from superscalar_ref.bitcoin.transaction import Transaction
from superscalar_ref.chain.fees import FeeMarket, Offer
from superscalar_ref.chain.interface import OutPoint
from superscalar_ref.parties import tower_messages as t
from superscalar_ref.parties.tower import CHAIN as TOWERS_CHAIN
from superscalar_ref.parties.tower import Purse, Tower
from superscalar_ref.parties.tower_store import TowerStore
from superscalar_ref.parties.watch import CHILD, txid_bytes
from superscalar_ref.protocol.blueprint import FUNDING, commitment_name
from superscalar_ref.protocol.transaction import Kind, Outpoint, Role
from superscalar_ref.scenario.reorgs import Cast
from superscalar_ref.scenario.story import CHAIN, End, Line, Told
from superscalar_ref.scenario.town import LSP, Plan, payout_script, wallet_key, wallet_script

TOWER = "tower"


@dataclass(frozen=True)
class Wanted:
    """What somebody broadcasts."""

    by: str
    name: str
    transaction: Transaction


class Stage:
    """A factory of a plan, and its story so far."""

    def __init__(self, plan: Plan, market: FeeMarket | None = None) -> None:
        """Everybody is awake, and the factory is active. Without ``market`` blocks ask for what is signed in."""
        self.plan = plan
        self.cast = Cast.of(plan)
        self.market = FeeMarket(plan.economy.feerate) if market is None else market
        self.lines: list[Line] = []
        self.awake = set(self.cast.names)
        self.tower: Tower | None = None
        self._tower_saw = 0
        self._said: list[Transaction] = []
        self._own_fees: dict[str, int] = {}
        self.mined: list[int] = []
        """Virtual bytes of each transaction since the factory is active."""
        funding = self.cast.factory.lsp.fund().broadcasts[-1]
        self.block(Wanted(LSP, FUNDING, funding))
        for _ in range(plan.limits.depth - 1):
            self.block()
        self.mined.clear()
        self._before = {name: self._at_rest(name) for name in self.cast.names}
        self.tell(LSP, f"the factory is active; each client counts on {plan.balance:,} sat")

    @property
    def clients(self) -> tuple[str, ...]:
        """Their names."""
        return self.cast.names[1:]

    @property
    def height(self) -> int:
        """Of the tip."""
        return self.cast.ledger.height

    @property
    def end(self) -> int:
        """Height of the factory's end."""
        return self.cast.factory.lsp.factory.terms.locks.end

    def tell(self, by: str, says: str, to: str = "") -> None:
        """A line at the tip."""
        self.lines.append(Line(self.height, by, to, says))

    def sleep(self, *names: str) -> None:
        """These see nothing from now on."""
        self.awake -= set(names)

    def wake(self, name: str) -> None:
        """One that slept sees the tip."""
        self.awake.add(name)
        self.cast.watchers[name].look()

    def status(self, name: str) -> str:
        """A party's state in its table."""
        return self.cast.watchers[name].actor.party.life.status

    # -- watchtower ----------------------------------------------------------------------------------------------------

    def hire_tower(self, client: str) -> None:
        """A client relies on a watchtower from now on; it has a coin if the client has a reserve."""
        bumper = self.cast.watchers[client].purse
        purse = None if bumper is None else Purse(wallet_key(client), tuple(bumper.coins), wallet_script(client))
        self.tower = Tower(TOWER, TowerStore(), self.plan.limits.depth, purse)
        self.cast.wire.towers = {TOWER: self.tower}
        self.cast.wire.post(client, self.cast.factory.clients[client].add_tower(TOWER))
        self.cast.wire.run()
        self.tell(client, "gives its tower what answers older states", TOWER)

    def _tower_looks(self) -> None:
        """Every block that the tower has not seen; what it broadcasts waits for the next one."""
        if self.tower is None:
            return
        blocks = self.cast.ledger.raw_blocks()
        self.tower.receive(TOWERS_CHAIN, t.encode(t.Feerate(self.market.feerate(self.height))))
        for height in range(self._tower_saw + 1, len(blocks) + 1):
            outbox = self.tower.receive(TOWERS_CHAIN, t.encode(t.Block(height, blocks[height - 1].hex())))
            self._said = list(outbox.broadcasts)
        self._tower_saw = len(blocks)

    def _of_tower(self) -> Iterator[Wanted]:
        names = {realised.txid: name for name, realised in self.cast.factory.lsp.factory.realised.items()}
        for one in self._said:
            parent = names.get(one.inputs[0].txid_hex, "a coin")
            yield Wanted(TOWER, names.get(one.txid, f"{CHILD}{parent}"), one)

    # -- the chain -----------------------------------------------------------------------------------------------------

    def block(self, *wanted: Wanted) -> None:
        """One block: of ``wanted``, and of what those awake publish, it takes what is valid and pays.

        Ties go to ``wanted``.
        """
        height, ledger = self.height + 1, self.cast.ledger
        known: dict[str, Wanted] = {}
        for one in (*wanted, *self._of_tower(), *self._published()):
            known.setdefault(one.transaction.txid, one)
        everything = self._valid(list(known.values()))
        before = {point: coin.output.amount for point, coin in ledger.unspent().items()}
        offers = {one.transaction.txid: self._offer(one, everything, before, height) for one in everything}
        taken: list[Wanted] = []
        for offer in self.market.block(height, list(offers.values())):
            raw = [one.transaction.serialized for one in taken]
            if ledger.would_accept([*raw, offer.transaction.serialized]).accepted:
                taken.append(known[offer.transaction.txid])
        ledger.mine([one.transaction.serialized for one in taken])
        for one in taken:
            self._note(one, offers[one.transaction.txid])
        self._tower_looks()
        for name in self.cast.names:
            if name in self.awake:
                self.cast.watchers[name].look()

    def _valid(self, wanted: list[Wanted]) -> list[Wanted]:
        """What the next block may hold, of these in their order, alone or after those that it spends."""
        found: dict[str, Wanted] = {}
        for one in wanted:
            if self.cast.confirmed(one.transaction.txid):
                continue
            parents = [spend.txid_hex for spend in one.transaction.inputs if spend.txid_hex in found]
            raw = [found[txid].transaction.serialized for txid in dict.fromkeys(parents)]
            if self.cast.ledger.would_accept([*raw, one.transaction.serialized]).accepted:
                found[one.transaction.txid] = one
        return list(found.values())

    def _published(self) -> Iterator[Wanted]:
        price = self.market.feerate(self.height)
        for name in self.cast.names:
            if name in self.awake:
                for what, offer in self.cast.watchers[name].offers(price).items():
                    yield Wanted(name, what, offer.transaction)

    def _offer(self, one: Wanted, all_of_them: list[Wanted], coins: dict[OutPoint, int], height: int) -> Offer:
        """What it pays follows from what it spends: coins of the chain, or outputs of another that waits."""
        waiting = {other.transaction.txid: other.transaction for other in all_of_them}
        brought = 0
        for spend in one.transaction.inputs:
            parent = waiting.get(spend.txid_hex)
            brought += (
                coins.get(OutPoint(txid_bytes(spend.txid_hex), spend.index), 0)
                if parent is None
                else parent.outputs[spend.index].amount_sat
            )
        fee = brought - sum(output.amount_sat for output in one.transaction.outputs)
        if one.by == LSP:
            fee = max(fee, self.market.feerate(height) * one.transaction.vbytes)
        return Offer(one.transaction, fee)

    def _note(self, one: Wanted, offer: Offer) -> None:
        template = self.cast.factory.lsp.factory.templates.get(one.name)
        if template is not None and template.kind in (Kind.SWEEP, Kind.EXPIRY):
            self.pay_own(template.outputs[0].owner, template.fee)
        self.mined.append(offer.transaction.vbytes)
        self.tell(one.by, f"{one.name}, {offer.transaction.vbytes} vB", CHAIN)

    def advance(self, to: int) -> None:
        """Blocks of none of these transactions up to a height, while everybody that matters sleeps."""
        if to > self.height:
            self.cast.ledger.advance(to - self.height)
            self._tower_looks()

    def until(self, done: Callable[[], bool], *wanted: Wanted) -> None:
        """Block after block until ``done``, at most until well after the end."""
        while not done() and self.height < self.end + 4 * self.plan.limits.depth:
            self.block(*wanted)

    def until_swept(self, *names: str) -> None:
        """Until these are at rest, as deep as a reorg is assumed to reach."""
        self.until(lambda: all(self.status(name) in ("swept", "paid", "left", "closed", "resolved") for name in names))

    # -- what the LSP does ---------------------------------------------------------------------------------------------

    def named(self, by: str, *names: str) -> tuple[Wanted, ...]:
        """Transactions of the factory, complete."""
        actor = self.cast.watchers[by].actor
        return tuple(Wanted(by, name, actor.complete_transaction(name)) for name in names)

    def path_and_commitment(self, client: str) -> tuple[Wanted, ...]:
        """What the LSP holds of the version that counts now, from the root's kickoff to its own commitment."""
        lsp = self.cast.factory.lsp
        versions = tuple(lsp.counted_versions[node.path] for node in lsp.tree.path_to(client) if node.has_counter)
        return self.named(LSP, *lsp.counted_blueprint().path(client), commitment_name(client, versions, LSP))

    def close(self) -> Wanted:
        """All sign the transaction that closes the factory. Raises ``ValueError`` when somebody does not."""
        wire = self.cast.wire
        count = wire.count
        wire.post(LSP, self.cast.factory.lsp.close())
        for client in self.clients:
            self.tell(LSP, "one transaction from the funding output to everybody", client)
        wire.run()
        for client in self.clients:
            self.tell(client, "agrees, and signs it", LSP)
        self.tell("", f"{wire.count - count} messages")
        close = wire.broadcasts.pop()
        return Wanted(LSP, "close", close)

    # -- what everybody has --------------------------------------------------------------------------------------------

    def has(self, name: str) -> int:
        """What a party has at rest from the factory: in its payout wallet, or at its static payment keys (sat)."""
        return self._at_rest(name) - self._before[name]

    def _at_rest(self, name: str) -> int:
        actor = self.cast.watchers[name].actor
        channels = self.clients if name == LSP else (name,)
        keys = [actor.identity.channel(client).payment_basepoint for client in channels]
        scripts = {payout_script(name), *(p2tr_from_internal(key.x_only) for key in keys)}
        unspent = self.cast.ledger.unspent().values()
        return sum(coin.output.amount for coin in unspent if coin.output.script in scripts)

    def unspent(self, point: Outpoint) -> bool:
        """Whether an output of the factory is on chain and not spent."""
        realised = self.cast.factory.lsp.factory.realised[point.transaction]
        return OutPoint(txid_bytes(realised.txid), realised.places[point.index]) in self.cast.ledger.unspent()

    def finish(self, **promised: int) -> Told:
        """The story, with what each of these parties is to have (sat)."""
        ends = tuple(End(name, sats, self.has(name), self._own_fees.get(name, 0)) for name, sats in promised.items())
        self.tell("", f"{len(self.mined)} transactions, {sum(self.mined):,} vB")
        self.cast.ledger.close()
        return Told(tuple(self.lines), ends)

    def pay_own(self, name: str, fee: int) -> None:
        """A party has paid a fee (sat) from what is its own."""
        self._own_fees[name] = self._own_fees.get(name, 0) + fee

    def lsps(self, *clients: str) -> int:
        """What is the LSP's own at these clients, or at all (sat): its sides of channels, and the unsold stock."""
        templates = self.cast.factory.lsp.factory.templates
        counted = clients or self.clients
        stocks = {
            (name, index): output.amount
            for path in (self.cast.factory.lsp.counted_blueprint().path(one) for one in counted)
            for name in path
            for index, output in enumerate(templates[name].outputs)
            if output.role is Role.STOCK
        }
        return len(counted) * self.plan.inbound + sum(stocks.values())
