"""Days of a ladder: each day one transaction closes a factory, funds the next and pays who leaves (LAD-2, LAD-6).

Laws of this module:

* Every party is real, with a key of its own in each factory; every transaction is judged by Bitcoin Core's code.
* A client that moves is in two factories for one ceremony: it signs the close of the old one because it holds the kit
  of the next on the same transaction.
* A client that stays away stops the close of its factory, and nothing else.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from superscalar_ref.bitcoin.taproot import p2tr_from_internal
from superscalar_ref.bitcoin.transaction import Transaction
from superscalar_ref.chain.interface import TxOut
from superscalar_ref.chain.kernel import KernelLedger
from superscalar_ref.errors import ProtocolError
from superscalar_ref.parties import messages as m
from superscalar_ref.parties.actor import Identity
from superscalar_ref.parties.client import ClientActor
from superscalar_ref.parties.ladder import Ladder, Rung
from superscalar_ref.parties.lsp import Offer
from superscalar_ref.parties.store import Store
from superscalar_ref.parties.terms import keys_form
from superscalar_ref.parties.watch import Watcher, txid_bytes
from superscalar_ref.parties.wire import Wire
from superscalar_ref.protocol.blueprint import Channel, LeafContents
from superscalar_ref.protocol.ladder import Pace
from superscalar_ref.protocol.shape import grow, stock_groups
from superscalar_ref.realise.book import PartyKeys
from superscalar_ref.scenario.town import LSP, Plan, Progress, payout_script, seed, wallet_key, wallet_script

COIN = 1_000_000_000
"""What the LSP begins with (sat)."""
MOVES, LEAVES, AWAY = "moves", "leaves", "away"
Habit = Callable[[int, int], str]
"""What a client does in its factory's dying period, by the factory's number and its place in the cohort."""


@dataclass(frozen=True)
class DayDone:
    """One day. Amounts in sat."""

    day: int
    height: int
    """At which its transaction was mined."""
    txid: str
    vbytes: int
    inputs: int
    funds: int
    """Number of the factory that it funds."""
    closes: int | None
    """Number of the factory that it closes; None when none ends, or somebody did not come."""
    moved: tuple[str, ...]
    left: tuple[str, ...]
    away: tuple[str, ...]
    running: int
    """Factories that are active or dying after it."""
    locked: int
    """What the LSP has in its factories."""


@dataclass(frozen=True)
class Ran:
    """What the days came to."""

    days: tuple[DayDone, ...]
    outs: Mapping[str, int]
    """Each client that left or stayed away → what it has at rest (sat)."""
    owed: Mapping[str, int]
    """The same clients → what they were owed (sat)."""
    exits: int
    """Transactions beside the daily ones: those of factories whose clients did not all come."""
    locked: int
    """What the LSP has in its factories when every exit that was begun is over (sat)."""
    problems: tuple[str, ...]


@dataclass
class House:
    """One factory's clients, and its wire."""

    rung: Rung
    clients: dict[str, ClientActor]
    wire: Wire
    watchers: dict[str, Watcher]
    away: frozenset[str] = frozenset()


@dataclass
class Days:
    """A ladder with everybody in it."""

    plan: Plan
    pace: Pace
    habit: Habit
    ledger: KernelLedger
    ladder: Ladder
    houses: dict[int, House] = field(default_factory=dict)
    born: int = 0
    """How many people there have been."""
    owed: dict[str, int] = field(default_factory=dict)
    exits: int = 0
    problems: list[str] = field(default_factory=list)
    late: frozenset[str] = frozenset()
    """Newcomers that do not come to sign on their first day."""

    @classmethod
    def start(cls, plan: Plan, pace: Pace, habit: Habit) -> Days:
        """An LSP with one coin, and nobody else."""
        ledger = KernelLedger.start([TxOut(COIN, wallet_script(LSP))])
        point = ledger.funds[0]
        coin = m.CoinForm(point.txid[::-1].hex(), point.index, COIN, wallet_script(LSP).hex())
        ladder = Ladder(
            LSP, seed(LSP), wallet_key(LSP), wallet_script(LSP), pace, plan.limits.depth, ledger, Store(), (coin,)
        )
        return cls(plan, pace, habit, ledger, ladder)

    # -- one day -------------------------------------------------------------------------------------------------------

    def day(self, number: int) -> DayDone:
        """One day: answers, a new factory, the day's transaction, and its blocks."""
        dying = self.ladder.in_status("dying")
        old = self.houses[dying[0].number] if dying else None
        wishes = self.answers(old)
        away = tuple(name for name, wish in wishes.items() if wish == AWAY)
        closing = old if old is not None and not away else None
        moved = [name for name, wish in wishes.items() if wish == MOVES and closing is not None]
        left = [name for name, wish in wishes.items() if wish == LEAVES and closing is not None]
        new = self.build(closing, moved, left)
        transaction = self.publish(new, closing, left)
        self.mine([transaction])
        height = self.ledger.height
        for _ in range(self.pace.day - 1):
            self.mine([])
        return DayDone(
            number,
            height,
            transaction.txid,
            transaction.vbytes,
            len(transaction.inputs),
            new.rung.number,
            None if closing is None else closing.rung.number,
            tuple(moved),
            tuple(left),
            away,
            len(self.ladder.in_status("active", "dying")),
            self.ladder.locked,
        )

    def answers(self, old: House | None) -> dict[str, str]:
        """What each client of the dying factory wants; who is there tells the LSP."""
        if old is None or old.rung.slot.answered:
            return {}
        wishes = {name: self.habit(old.rung.number, place) for place, name in enumerate(old.clients)}
        for name, wish in wishes.items():
            if wish != AWAY:
                self.ladder.answer(old.rung, name)
        old.away = frozenset(name for name, wish in wishes.items() if wish == AWAY)
        if old.away:
            # All of them are brought on chain with who did not come.
            self.owed |= {name: client.life.owed for name, client in old.clients.items()}
        return wishes

    def build(self, closing: House | None, moved: list[str], left: list[str]) -> House:
        """Sign the new factory with a cohort of those who move and of newcomers."""
        names = list(moved)
        # Who waited comes first, and comes now.
        waited = sorted(self.ladder.waiting)
        while len(names) < self.plan.clients:
            if waited:
                names.append(waited.pop(0))
                continue
            names.append(f"u{self.born}")
            self.born += 1
        balances = dict.fromkeys(names, self.plan.balance)
        leavers: dict[str, tuple[m.KeysForm, int]] = {}
        if closing is not None:
            balances |= {name: closing.clients[name].life.owed for name in moved}
            for name in left:
                client = closing.clients[name]
                form = keys_form(PartyKeys(client.key.public, client.payout_script))
                leavers[name] = (form, client.life.owed)
                self.owed[name] = client.life.owed
        old = None if closing is None else closing.rung
        rung = self.ladder.begin(self._offer(balances, leavers), Store(), old)
        missing = frozenset(balances) & self.late - self.ladder.waiting
        house = self._house(rung, missing)
        if missing:
            # The others have joined, and wait for a tree that cannot be signed.
            there = {name: sats for name, sats in balances.items() if name not in missing}
            house = self._house(self.ladder.replan(rung, self._offer(there, leavers), Store(), old))
        self.ladder.signed(house.rung)
        self.houses[house.rung.number] = house
        return house

    def _house(self, rung: Rung, missing: frozenset[str] = frozenset()) -> House:
        """The ceremony of a factory, with all of its clients but those who are missing."""
        limits = self.plan.limits
        clients = {
            name: ClientActor(Identity(name, seed(name), rung.number), LSP, Store(), payout_script(name), limits)
            for name in rung.lsp.offer.balances
            if name not in missing
        }
        for client in clients.values():
            client.height = self.ledger.height
        wire = Wire({LSP: rung.lsp, **clients})
        wire.post(LSP, rung.lsp.invite())
        wire.letters = deque(letter for letter in wire.letters if letter.to not in missing)
        wire.run()
        return House(rung, clients, wire, {name: Watcher(client, self.ledger) for name, client in clients.items()})

    def _offer(self, balances: Mapping[str, int], leavers: Mapping[str, tuple[m.KeysForm, int]]) -> Offer:
        plan = self.plan
        tree = grow(plan.shape, tuple(balances))
        contents = {
            leaf.path: LeafContents(
                tuple(Channel(client, balances[client], plan.inbound) for client in leaf.clients),
                (plan.stock,) * len(stock_groups(leaf, plan.shape.leaf_k)),
            )
            for leaf in tree.leaves()
        }
        return Offer(
            f"factory-{len(self.ladder.rungs)}",
            plan.shape,
            balances,
            contents,
            plan.economy,
            replace(plan.locks, end=self.ledger.height + plan.locks.end),
            plan.transaction_version,
            plan.limits.depth,
            self.pace.active,
            leavers=leavers,
        )

    def confirmed(self, transaction: Transaction) -> bool:
        """Whether a transaction is in the chain."""
        return self.ledger.confirmation_height(txid_bytes(transaction.txid)) is not None

    def publish(self, new: House, closing: House | None, left: list[str]) -> Transaction:
        """The day's transaction, signed by all; raises ``ProtocolError`` (LAD-6) when it is not."""
        if closing is None:
            return self.ladder.publish(new.rung)
        owed = {name: self.owed[name] for name in left}
        for name, client in closing.clients.items():
            client.moves_to = new.clients.get(name)
        closing.wire.post(LSP, self.ladder.close(closing.rung, new.rung, owed))
        closing.wire.run()
        if not closing.wire.broadcasts:
            said = closing.wire.alerts[-1] if closing.wire.alerts else closing.rung.lsp.life.status
            raise ProtocolError("LAD-6", "NOT_SIGNED", f"the close of factory {closing.rung.number}: {said}")
        return self.ladder.publish(new.rung, closing.rung, closing.wire.broadcasts.pop(), owed)

    # -- the chain -----------------------------------------------------------------------------------------------------

    def mine(self, transactions: list[Transaction]) -> None:
        """One block of these, and of what exits need now; everybody who is there sees it."""
        taken = list(transactions)
        wanted = list(self.ladder.due().values())
        for rung in self.ladder.in_status("resolving"):
            house = self.houses[rung.number]
            for name, watcher in house.watchers.items():
                if name not in house.away:
                    wanted.extend(watcher.publish().values())
        for one in wanted:
            raw = [other.serialized for other in (*taken, one)]
            if one.txid not in {other.txid for other in taken} and self.ledger.would_accept(raw).accepted:
                taken.append(one)
                self.exits += 1
        self.ledger.mine([one.serialized for one in taken])
        self.ladder.look()
        for house in self.houses.values():
            if house.rung.slot.status == "dropped":
                continue
            for name, watcher in house.watchers.items():
                if name not in house.away and house.clients[name].life.status not in ("swept", "paid", "left"):
                    watcher.look()

    def at_rest(self, name: str) -> int:
        """What a client has in its wallet, or at its static payment keys (sat)."""
        scripts = {payout_script(name)}
        for house in self.houses.values():
            if name in house.clients:
                key = house.clients[name].identity.channel(name).payment_basepoint
                scripts.add(p2tr_from_internal(key.x_only))
        return sum(one.output.amount for one in self.ledger.unspent().values() if one.output.script in scripts)


def run_days(plan: Plan, pace: Pace, days: int, habit: Habit, progress: Progress = lambda what, done, of: None) -> Ran:
    """Run a ladder for so many days, then let every exit that was begun come to its end.

    ``plan`` says how a factory is built; ``pace`` must have days longer than the confirmations that make a transaction
    final. Raises ``ProtocolError`` when a ceremony or a close does not come about.
    """
    town = Days.start(plan, pace, habit)
    done = []
    for number in range(days):
        progress("days", number, days)
        done.append(town.day(number))
    progress("days", days, days)
    begun = town.ladder.in_status("resolving")
    for _ in range(2 * plan.locks.end):
        if all(rung.slot.status == "gone" for rung in begun):
            break
        town.mine([])
    outs = {name: town.at_rest(name) for name in town.owed}
    return Ran(
        tuple(done), outs, dict(town.owed), town.exits, town.ladder.locked, tuple(_problems(town, done, outs, begun))
    )


def _problems(town: Days, done: list[DayDone], outs: Mapping[str, int], begun: list[Rung]) -> list[str]:
    """What did not come out as it should."""
    found: list[str] = []
    sweep = max(
        (
            one.fee
            for house in town.houses.values()
            for one in house.rung.lsp.factory.templates.values()
            if one.name.startswith("sweep:")
        ),
        default=0,
    )
    found.extend(
        f"{name} has {outs[name]} sat of {sats}" for name, sats in town.owed.items() if outs[name] < sats - sweep
    )
    found.extend(f"factory {one.number} is not gone" for one in begun if one.slot.status != "gone")
    gaps = [later.height - earlier.height for earlier, later in itertools.pairwise(done)]
    found.extend(f"two daily transactions within {gap} blocks" for gap in gaps if gap < town.pace.day)
    return found
