"""The LSP vanishes (shut down by an authority): every client of every factory leaves, with nothing from the LSP.

Laws of this module:

* From the moment at which it begins nobody is there but the clients' exit kits, their own coins, and the chain.
* Every transaction is real, and Bitcoin Core's code judges each block. A miner takes only what pays the day's fee rate.
* A commitment carries no fee (D-13). A client with a coin adds a child; one without cannot close its channel, and waits
  for the alternate at the end, which pays it the whole channel (D-11).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from superscalar_ref.bitcoin.transaction import Transaction
from superscalar_ref.chain.fees import FeeMarket, Offer
from superscalar_ref.chain.interface import OutPoint
from superscalar_ref.chain.kernel import KernelLedger
from superscalar_ref.machine.types import Event
from superscalar_ref.parties.bumper import Bumper
from superscalar_ref.parties.kit import Kit, RestoredClient, export, restore
from superscalar_ref.parties.watch import Watcher, txid_bytes
from superscalar_ref.protocol.transaction import Kind
from superscalar_ref.scenario.town import Progress, Town, payout_script, wallet_key, wallet_script

DONE = ("swept", "paid", "left")


@dataclass(frozen=True)
class Out:
    """What became of one client. Amounts in sat, times in blocks and heights."""

    client: str
    factory: int
    reserve: bool
    status: str
    """swept: by its own exit. paid: by the alternate at the end."""
    height: int
    """At which its money was at rest; 0 when it is not."""
    owed: int
    received: int
    """In its wallet, from the factory."""
    reserve_spent: int
    """Fees that it paid with its own coin."""
    sweep_fee: int
    """Inside the sweep of its commitment, which is its own."""

    @property
    def whole(self) -> bool:
        """Whether it is out with what it was owed, less the fee of its own sweep."""
        return self.status in DONE and self.received >= self.owed - self.sweep_fee


@dataclass(frozen=True)
class Sum:
    """Transactions of one kind."""

    count: int = 0
    vbytes: int = 0
    fees: int = 0


@dataclass(frozen=True)
class Ended:
    """What the exit of all came to."""

    factories: int
    clients: tuple[Out, ...]
    begun: int
    """Height of the last block with an LSP."""
    ended: int
    """Height at which the last client's money was at rest."""
    by_kind: Mapping[str, Sum]
    blocks_used: int
    """Blocks that hold at least one of these transactions."""
    waited_in_spike: int
    """Blocks of the spike in which something was ready and paid too little."""
    interrupted: bool
    conserved: bool
    """Whether what the funding outputs and the coins held is at rest or was paid as a fee, to the satoshi."""
    left_behind: int
    """Unsold stock, the LSP's sides of channels and anchors, unclaimed on chain at the end (sat)."""

    @property
    def total(self) -> Sum:
        """All transactions together."""
        kinds = self.by_kind.values()
        return Sum(sum(one.count for one in kinds), sum(one.vbytes for one in kinds), sum(one.fees for one in kinds))

    @property
    def all_out(self) -> bool:
        """Whether every client is out, and nothing was lost on the way."""
        return not self.interrupted and self.conserved and all(out.whole for out in self.clients)


@dataclass
class _Leaver:
    """One client on its way out, from its kit alone."""

    factory: int
    client: RestoredClient
    watcher: Watcher
    purse: Bumper | None
    height: int = 0

    @property
    def done(self) -> bool:
        return self.client.life.status in DONE


@dataclass
class _Run:
    ledger: KernelLedger
    market: FeeMarket
    leavers: list[_Leaver]
    hurry: bool
    """Whether those with a coin pay the price of a spike as well."""
    by_kind: dict[str, Sum] = field(default_factory=dict)
    made: dict[OutPoint, int] = field(default_factory=dict)
    brought: int = 0
    fees: int = 0
    used: int = 0
    waited: int = 0

    def block(self) -> tuple[bool, bool]:
        """Mine what is ready and pays. Returns whether anything was mined, and whether something paid too little."""
        height = self.ledger.height + 1
        ready: dict[str, tuple[Offer, str, list[_Leaver]]] = {}
        for leaver in self.leavers:
            if leaver.done:
                continue
            for name, transaction in leaver.watcher.publish().items():
                template = leaver.client.factory.templates[name]
                entry = ready.setdefault(transaction.txid, (Offer(transaction, template.fee), str(template.kind), []))
                entry[2].append(leaver)
        kinds = {txid: kind for txid, (_, kind, _) in ready.items()}
        children: dict[str, Bumper] = {}
        offers = [offer for offer, _, _ in ready.values()]
        # Nothing presses, for nobody else is there: in a spike those with a coin may wait as well.
        if self.hurry or not self.market.in_spike(height):
            for parent, _, owners in ready.values():
                found = self._child(parent, owners, list(children.values()), height)
                if found is not None:
                    child, payer = found
                    offers.append(child)
                    children[child.transaction.txid] = payer
                    kinds[child.transaction.txid] = str(Kind.CHILD)
        mined = self.market.block(height, offers)
        spent = {(one.txid_hex, one.index) for offer in mined for one in offer.transaction.inputs}
        poor = any(
            (one.txid_hex, one.index) not in spent for offer, _, _ in ready.values() for one in offer.transaction.inputs
        )
        if not mined:
            return False, poor
        self._mine([(offer.transaction, offer.fee, kinds[offer.transaction.txid]) for offer in mined])
        for offer in mined:
            if offer.transaction.txid in children:
                children[offer.transaction.txid].look(self.ledger)
        return True, poor

    def _child(
        self, parent: Offer, owners: list[_Leaver], busy: list[Bumper], height: int
    ) -> tuple[Offer, Bumper] | None:
        """A child of what pays too little, by the first of its owners that can pay, once a block each."""
        price = self.market.feerate(height)
        if parent.pays(price):
            return None
        for leaver in owners:
            if leaver.purse is None or any(leaver.purse is one for one in busy):
                continue
            child = leaver.purse.child(parent, price)
            if child is not None:
                return child, leaver.purse
        return None

    def _mine(self, mined: list[tuple[Transaction, int, str]]) -> None:
        before = self.ledger.unspent()
        points = [OutPoint(txid_bytes(one.txid_hex), one.index) for tx, _, _ in mined for one in tx.inputs]
        amounts = {point: before[point].output.amount for point in points if point in before}
        self.ledger.mine([transaction.serialized for transaction, _, _ in mined])
        self.used += 1
        for transaction, fee, kind in mined:
            for spend in transaction.inputs:
                point = OutPoint(txid_bytes(spend.txid_hex), spend.index)
                if self.made.pop(point, None) is None:
                    self.brought += amounts[point]
            known = self.by_kind.get(kind, Sum())
            self.by_kind[kind] = Sum(known.count + 1, known.vbytes + transaction.vbytes, known.fees + fee)
            self.fees += fee
            txid = txid_bytes(transaction.txid)
            for index, output in enumerate(transaction.outputs):
                self.made[OutPoint(txid, index)] = output.amount_sat

    def look(self) -> None:
        for leaver in self.leavers:
            if leaver.done:
                continue
            leaver.watcher.look()
            if leaver.done:
                leaver.height = self.ledger.height

    def next_wait(self, poor: bool, last: int) -> int:
        """Blocks to the next height at which something may be published, or comes to rest."""
        height = self.ledger.height
        if poor and self.market.in_spike(height + 1):
            over = self.market.spike_end(height + 1) - height - 1
            # What waits for the price is not what the next one, who pays it, waits for.
            later = [leaver.watcher.wait(over) for leaver in self.leavers if self.hurry and not leaver.done]
            return min([over, *(wait for wait in later if wait)])
        return min((self._wait_of(leaver, last - height) for leaver in self.leavers if not leaver.done), default=1)

    def _wait_of(self, leaver: _Leaver, most: int) -> int:
        depth = leaver.client.life.limits.depth
        newest = max(leaver.watcher.seen.values(), default=0)
        settling = depth - (self.ledger.height - newest + 1)
        wait = leaver.watcher.wait(most)
        return max(min(wait, settling) if settling > 0 else wait, 1)


def kits_of(town: Town) -> dict[str, Kit]:
    """The exit kit of every client, as it stands."""
    return {name: export(client) for factory in town.factories for name, client in factory.clients.items()}


def everybody_leaves(
    town: Town,
    kits: Mapping[str, Kit],
    market: FeeMarket,
    progress: Progress = lambda what, done, of: None,
    *,
    hurry: bool = False,
) -> Ended:
    """Let all clients leave from their kits, on the town's chain; a ``KeyboardInterrupt`` ends it with what is done.

    ``hurry``: those with a coin pay the price of a spike for their path; a sweep, which nobody else can take, waits.
    """
    begun = town.ledger.height
    leavers = list(_leavers(town, kits, begun, progress))
    run = _Run(town.ledger, market, leavers, hurry)
    run.look()
    interrupted = False
    try:
        _walk(run, progress)
    except KeyboardInterrupt:
        interrupted = True
    outs = tuple(_out(town, kits, leaver) for leaver in leavers)
    return Ended(
        len(town.factories),
        outs,
        begun,
        max((out.height for out in outs), default=begun),
        dict(sorted(run.by_kind.items())),
        run.used,
        run.waited,
        interrupted,
        run.brought == sum(run.made.values()) + run.fees,
        _left_behind(town, run),
    )


def _leavers(town: Town, kits: Mapping[str, Kit], begun: int, progress: Progress) -> Iterator[_Leaver]:
    for number, (name, kit) in enumerate(kits.items()):
        progress("kits taken up", number + 1, len(kits))
        client = restore(kit)
        coin = town.reserves.get(name)
        purse = None if coin is None else Bumper(wallet_key(name), wallet_script(name), [coin])
        if purse is None:
            # What it cannot get mined it does not publish: its strategy then waits for the alternate.
            client.hidden = frozenset(
                one.name for one in client.factory.templates.values() if one.kind is Kind.COMMITMENT and not one.fee
            )
        watcher = Watcher(client, town.ledger)
        watcher.deadline = begun
        client.live(Event.of("start_exit", name))
        yield _Leaver(_factory_of(town, name), client, watcher, purse)


def _walk(run: _Run, progress: Progress) -> None:
    ends = [leaver.client.factory.terms.locks for leaver in run.leavers]
    last = (
        max(locks.end + locks.to_self_delay for locks in ends)
        + 4 * sum(spike.blocks for spike in run.market.spikes)
        + 100
    )
    while run.ledger.height < last and not all(leaver.done for leaver in run.leavers):
        progress("out", sum(leaver.done for leaver in run.leavers), len(run.leavers))
        mined, poor = run.block()
        if not mined:
            wait = run.next_wait(poor, last)
            if poor and run.market.in_spike(run.ledger.height + 1):
                run.waited += wait
            run.ledger.advance(min(max(wait, 1), last - run.ledger.height))
        elif poor and run.market.in_spike(run.ledger.height):
            run.waited += 1
        run.look()
    progress("out", sum(leaver.done for leaver in run.leavers), len(run.leavers))


def _factory_of(town: Town, name: str) -> int:
    return next(factory.number for factory in town.factories if name in factory.clients)


def _out(town: Town, kits: Mapping[str, Kit], leaver: _Leaver) -> Out:
    name = leaver.client.name
    script = payout_script(name)
    received = sum(coin.output.amount for coin in town.ledger.unspent().values() if coin.output.script == script)
    spent = 0 if leaver.purse is None else leaver.purse.spent
    status = leaver.client.life.status
    return Out(
        name,
        leaver.factory,
        leaver.purse is not None,
        status,
        leaver.height,
        kits[name].counted.owed,
        received,
        spent,
        sum(
            one.fee
            for one in leaver.client.factory.templates.values()
            if one.kind is Kind.SWEEP and one.outputs[0].owner == name
        ),
    )


def _left_behind(town: Town, run: _Run) -> int:
    """What these transactions made that is nobody's wallet, and not in a client's (sat)."""
    own = {payout_script(leaver.client.name) for leaver in run.leavers}
    own |= {wallet_script(leaver.client.name) for leaver in run.leavers}
    unspent = town.ledger.unspent()
    return sum(
        coin.output.amount for point, coin in unspent.items() if point in run.made and coin.output.script not in own
    )
