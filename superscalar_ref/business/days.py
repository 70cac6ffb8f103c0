"""Many ladders day by day: what is funded, closed and brought on chain, and where every satoshi is.

Laws of this module:

* A day is a step of the ladder's table for each ladder: LAD-2 funds a factory, LAD-6 closes the one whose dying period
  ends if all its clients are there, LAD-8 begins to bring it on chain if not, LAD-10 ends that.
* Factories of one size are alike until their dying period: only how many there are is kept, and lots are drawn for each
  factory that ends. Memory grows with the days of a ladder and of an exit, not with clients or days.
* The lots of a day depend on the seed and the day alone: a longer run begins as a shorter one.
* Conservation: wallet + factories + exits under way + clients + fees + anchors = 0 after every day, to the satoshi. The
  wallet begins at 0; how far it goes below is the capital that the LSP must bring.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from superscalar_ref.business.assume import Assumptions
from superscalar_ref.business.cohort import WHOLE, Cohort, Step, Total
from superscalar_ref.protocol.ladder import running


@dataclass(frozen=True)
class Answers:
    """Who of a factory's clients is there when its close is signed; by their places."""

    missed: tuple[int, ...] = ()
    """Did not come in the dying period."""
    late: tuple[int, ...] = ()
    """Came, and is not there for the ceremony."""
    leave: int = 0
    """How many of those who are there want to be paid on chain."""

    @property
    def absent(self) -> tuple[int, ...]:
        """All who are not there."""
        return tuple(sorted((*self.missed, *self.late)))


Lot = Callable[[int, int, int], Answers]
"""The answers in a factory: by the day on which it was born, its ladder, and how many clients it has."""


def successes(lots: random.Random, tries: int, probability: float) -> tuple[int, ...]:
    """Which of so many independent tries succeed, in order; the work is that of the successes, not of the tries."""
    if probability <= 0:
        return ()
    if probability >= 1:
        return tuple(range(tries))
    found: list[int] = []
    place, scale = -1, math.log1p(-probability)
    while True:
        # How many fail before the next success has a geometric distribution.
        place += 1 + int(min(math.log(1.0 - lots.random()) / scale, tries))
        if place >= tries:
            return tuple(found)
        found.append(place)


class Drawn:
    """Answers by lot, as the assumptions say."""

    def __init__(self, given: Assumptions) -> None:
        self.given = given
        self.day = -1
        self.lots = random.Random()

    def __call__(self, born: int, ladder: int, size: int) -> Answers:
        """The answers in the factory of this ladder that was born on this day."""
        if self.day != born:
            self.day, self.lots = born, random.Random(f"{self.given.seed}/{born}")
        given = self.given
        away = successes(self.lots, size, given.absent)
        share = given.misses / given.absent if away else 0.0
        missed = {away[place] for place in successes(self.lots, len(away), share)}
        late = tuple(place for place in away if place not in missed)
        leave = len(successes(self.lots, size - len(away), given.leaves))
        return Answers(tuple(sorted(missed)), late, leave)


@dataclass(frozen=True)
class Row:
    """One day of all ladders together, after its blocks. Amounts in sat."""

    day: int
    funded: int
    """Factories funded by the day's transactions."""
    closed: int
    failed: int
    """Factories that could not be closed and are brought on chain from this day on."""
    running: int
    """Factories that are active or dying."""
    exiting: int
    """Factories that are on their way on chain."""
    ended: int
    """Clients of the factories whose dying period ended."""
    missed: int
    late: int
    left: int
    """Clients paid by the day's transactions."""
    dragged: int
    """Clients that were there, and are paid on chain because somebody else was not."""
    transactions: int
    """The day's, one for each ladder."""
    vbytes: int
    exit_transactions: int
    exit_vbytes: int
    fees: int
    """Paid to miners on this day."""
    funding_outputs: int
    """Outputs on chain that hold factories: of those that run."""
    stock: int
    """The LSP's unsold liquidity in factories that run."""
    sold: int
    """The LSP's sides of channels in factories that run: what clients were given at the start, and bought."""
    reserved: int
    """For fees and anchors of trees that are meant never to be published, in factories that run."""
    returning: int
    """In factories that are brought on chain, and not paid out yet; with their clients' part."""
    balances: int
    """The clients' own, in factories that run."""
    wallet: int
    """The LSP's, from 0 at the start: below 0 is what it has had to bring."""
    at_rest: int
    """Paid to clients on chain since the start."""
    burnt: int
    """Fees and unspent anchors since the start."""
    entered: int
    """What clients who joined have brought since the start: paid to the LSP over Lightning, it is not in its wallet."""
    bought: int
    """Liquidity that clients bought on this day."""

    @property
    def conserved(self) -> bool:
        """Whether every satoshi is somewhere."""
        held = self.stock + self.sold + self.reserved + self.balances + self.returning
        return self.wallet + held + self.at_rest + self.burnt == 0

    @property
    def locked(self) -> int:
        """What the LSP has in factories that run."""
        return self.stock + self.sold + self.reserved

    @property
    def capital(self) -> int:
        """What the LSP has had to bring so far: what its wallet lacks, less what it was paid over Lightning."""
        return -self.wallet - self.entered


@dataclass
class Ladders:
    """All ladders of one LSP. What is kept is bounded by the days of a ladder and of an exit."""

    given: Assumptions
    lot: Lot
    day: int = 0
    cohorts: dict[int, Cohort] = field(default_factory=dict)
    """By size; there are at most two."""
    begun: Counter[Step] = field(default_factory=Counter)
    """How often each transaction is in the exits that begin on this day."""
    priced: dict[Step, Total] = field(default_factory=dict)
    exits: dict[int, Total] = field(default_factory=dict)
    """Day → what is confirmed on it of exits under way."""
    ends: Counter[int] = field(default_factory=Counter)
    """Day → how many exits are over by its end."""
    exiting: int = 0
    returning: int = 0
    wallet: int = 0
    at_rest: int = 0
    burnt: int = 0
    entered: int = 0

    @classmethod
    def start(cls, given: Assumptions, lot: Lot | None = None) -> Ladders:
        """Nothing is funded yet. Raises what ``Assumptions.check`` raises."""
        given.check()
        return cls(given, lot or Drawn(given))

    @property
    def rungs(self) -> int:
        """Factories of one ladder that run at once."""
        return running(self.given.pace)

    def sizes(self, born: int) -> dict[int, int]:
        """How many factories of each size are funded on a day."""
        ladders = self.given.ladders
        base, larger = divmod(self.given.clients, self.rungs * ladders)
        more = min(max(larger - (born % self.rungs) * ladders, 0), ladders)
        return {size: count for size, count in ((base, ladders - more), (base + 1, more)) if count}

    def size(self, born: int, ladder: int) -> int:
        """Clients of the factory of a ladder that is funded on this day; the sizes differ by at most one."""
        slots = self.rungs * self.given.ladders
        base, larger = divmod(self.given.clients, slots)
        return base + ((born % self.rungs) * self.given.ladders + ladder < larger)

    def cohort(self, size: int) -> Cohort:
        """A factory of this size."""
        if size not in self.cohorts:
            self.cohorts[size] = Cohort(self.given.plan, self.given.pace, size)
        return self.cohorts[size]

    # -- one day -------------------------------------------------------------------------------------------------------

    def step(self) -> Row:
        """The next day."""
        day, born = self.day, self.day - self.rungs
        counts = Counter[str]()
        fees = 0
        for ladder in range(self.given.ladders):
            new = self.cohort(self.size(day, ladder))
            answers = self.lot(born, ladder, new.size) if born >= 0 else Answers()
            fees += self._one(day, new, answers, counts, ends=born >= 0)
        self._spread(day)
        out = self.exits.pop(day, Total())
        self.exiting -= self.ends.pop(day, 0)
        self.returning -= out.spent
        self.wallet += out.to_lsp
        self.at_rest += out.to_clients
        self.burnt += out.fees + out.anchors + fees
        self.day += 1
        return self._row(day, counts, out, fees)

    def _one(self, day: int, new: Cohort, answers: Answers, counts: Counter[str], *, ends: bool) -> int:
        """One ladder's day (LAD-2, LAD-6, LAD-8); returns the fee of its transaction (sat)."""
        plan, given = self.given.plan, self.given
        # The factory that ends has the size of the one that takes its place.
        old, absent = new, answers.absent
        closes = ends and not absent
        leavers = answers.leave if closes or given.how != WHOLE else 0
        vbytes = new.day_vbytes(leavers, closes=closes)
        fee = max(given.price, plan.economy.feerate) * vbytes
        paid = leavers * plan.balance
        self.wallet -= new.funding + paid + fee
        self.at_rest += paid
        if closes:
            self.wallet += old.funding
        elif ends:
            self._bring_on_chain(day, old, absent)
        moved = old.size - len(absent) - answers.leave if closes or (ends and given.how != WHOLE) else 0
        self.entered += (new.size - moved) * plan.balance
        counts.update(vbytes=vbytes, left=leavers, ended=ends * old.size)
        counts.update(missed=len(answers.missed), late=len(answers.late), closed=closes, failed=ends and not closes)
        if ends and not closes and given.how == WHOLE:
            counts["dragged"] += old.size - len(absent)
        return fee

    def _bring_on_chain(self, day: int, old: Cohort, absent: tuple[int, ...]) -> None:
        steps = old.published(absent, self.given.how)
        self.begun.update(steps)
        over = max(one.after for one in steps) + self.given.plan.limits.depth - 1
        self.ends[day + over // self.given.pace.day] += 1
        self.exiting += 1
        self.returning += old.funding

    def _spread(self, day: int) -> None:
        """Put what the exits publish that begin on this day on the days that confirm it."""
        for step, count in self.begun.items():
            if step not in self.priced:
                self.priced[step] = step.at(self.given.price)
            on = day + step.after // self.given.pace.day
            self.exits[on] = self.exits.get(on, Total()).plus(self.priced[step], count)
        self.begun.clear()

    def _row(self, day: int, counts: Counter[str], out: Total, fees: int) -> Row:
        given = self.given
        alive: Counter[int] = Counter()
        stock = bought = sold = 0
        for born in range(max(0, day - self.rungs + 1), day + 1):
            sizes = self.sizes(born)
            alive += sizes
            for size, count in sizes.items():
                now, before = (self._sold_by(self.cohort(size), day - back - born) for back in (0, 1))
                stock += count * (self.cohort(size).stock - now)
                sold += count * (self.cohort(size).sold + now)
                bought += count * (now - before)
        factories = sum(alive.values())
        return Row(
            day,
            given.ladders,
            counts["closed"],
            counts["failed"],
            factories,
            self.exiting,
            counts["ended"],
            counts["missed"],
            counts["late"],
            counts["left"],
            counts["dragged"],
            given.ladders,
            counts["vbytes"],
            out.transactions,
            out.vbytes,
            out.fees + fees,
            factories,
            stock,
            sold,
            sum(count * self.cohort(size).reserved for size, count in alive.items()),
            self.returning,
            sum(count * self.cohort(size).balances for size, count in alive.items()),
            self.wallet,
            self.at_rest,
            self.burnt,
            self.entered,
            bought,
        )

    def _sold_by(self, cohort: Cohort, age: int) -> int:
        """Of its stock (sat), on the day of this age: even over the active days; none in the dying ones (LAD-4)."""
        days = max(self.given.pace.active // self.given.pace.day, 1)
        return int(cohort.stock * self.given.sells) * min(max(age + 1, 0), days) // days


def run(given: Assumptions, lot: Lot | None = None) -> Iterator[Row]:
    """The rows of all days. Raises what ``Assumptions.check`` raises, before the first."""
    ladders = Ladders.start(given, lot)
    return (ladders.step() for _ in range(given.days))
