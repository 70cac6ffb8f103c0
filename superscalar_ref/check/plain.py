"""The same game in the plainest form: the protocol's own ledger, mined block by block, with no cleverness.

``game`` is fast because it numbers positions and drops what cannot matter. This module does neither: it plays the
rounds of ``game``'s text on ``protocol.ledger`` directly. Tests hold the two equal on small games.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, combinations

from superscalar_ref.check.arena import Arena, check_arena, default_horizon, owner_payout, payout, relevant
from superscalar_ref.check.game import Policy, Round
from superscalar_ref.errors import ChainError
from superscalar_ref.protocol.ledger import Coin, Ledger, check, mine
from superscalar_ref.protocol.transaction import Kind, Outpoint, Output, Role, Template


def solve_plainly(arena: Arena) -> tuple[bool, int | None, int]:
    """Whether the hero wins, its worst block (height), and the amount that it can force, capped at what it is owed."""
    check_arena(arena)
    game = _Plain(arena)
    value = game.value(game.start(), (), 0, False)
    won = value > arena.owed
    return won, game.horizon - (value - arena.owed - 1) if won else None, min(value, arena.owed)


def aftermath(
    arena: Arena, rounds: Sequence[Round], follow: Policy | None = None, onward: bool = True
) -> tuple[Round, ...]:
    """What comes after ``rounds`` until nobody can take anything more: the others take, and the hero goes on.

    In each block the others mine one transaction: against what the hero broadcasts if they can, else what pays somebody
    else, else what leads there, newest first; never what pays the hero. An awake hero goes on by ``follow``, and what
    it broadcasts is mined in the next block unless it is in conflict with theirs; without ``follow`` it does nothing.
    Without ``onward`` the others mine only what is against the hero or pays them: what only leads further may help it.
    """
    game = _Plain(arena)
    ledger = game.start()
    for round_ in rounds:
        ledger = mine(ledger, [game.by_name[name] for name in round_.mined])
    locks = [s.relative_lock or 0 for t in arena.templates for s in t.spends]
    last = max([ledger.height, *(t.lock_time for t in arena.templates)]) + 1
    usable = [game.by_name[name] for name in sorted(arena.adversary_holds)]
    usable = [t for t in usable if not owner_payout(t, arena.hero) and t.kind not in (Kind.ALTERNATE, Kind.CLOSE)]
    added: list[Round] = []
    tried = {name for round_ in rounds for name in round_.broadcast}
    quiet = 0
    while quiet <= max(locks, default=0) or ledger.height < last:
        own = game.followed(ledger, follow)
        spent = {outpoint for name in own for outpoint in game.inputs(name)}
        ready = [t for t in usable if t.name not in own and check(ledger, t) is None]
        if not onward:
            ready = [t for t in ready if _takes(t) or game.inputs(t.name) & spent]
        ready.sort(
            key=lambda t: (
                not game.inputs(t.name) & spent,
                not _takes(t),
                max(s.relative_lock or 0 for s in t.spends),
                t.name,
            )
        )
        taken = {outpoint for t in ready[:1] for outpoint in game.inputs(t.name)}
        block = [*ready[:1], *(game.by_name[name] for name in own if not game.inputs(name) & taken)]
        ledger = mine(ledger, block)
        quiet = 0 if block else quiet + 1
        said = tuple(name for name in own if name not in tried)
        tried |= set(said)
        added.append(Round(ledger.height, False, said, tuple(t.name for t in block), game.paid(ledger)))
    while added and not added[-1].mined:
        added.pop()
    return tuple(added)


def _takes(template: Template) -> bool:
    return any(output.role is Role.WALLET for output in template.outputs)


class _Plain:
    def __init__(self, arena: Arena) -> None:
        self.arena = arena
        self.by_name = {template.name: template for template in arena.templates}
        self.horizon = default_horizon(arena, relevant(arena)) if arena.horizon is None else arena.horizon
        self.memo: dict[tuple[Ledger, tuple[tuple[str, int], ...], int, bool], int] = {}

    def start(self) -> Ledger:
        """The ledger at the start. A coin holds what its largest spender needs, and no signature is asked for."""
        unspent = {}
        for outpoint, height in self.arena.coins.items():
            spenders = [t for t in self.arena.templates if outpoint in {s.outpoint for s in t.spends}]
            amount = max([t.amount_out() for t in spenders], default=0)
            unspent[outpoint] = Coin(Output(Role.TREE, amount, frozenset()), height)
        return Ledger(self.arena.height, unspent)

    def paid(self, ledger: Ledger) -> int:
        """What the hero owns, capped at what it is owed."""
        arena = self.arena
        if arena.forbidden & ledger.confirmed.keys():
            return -1
        mined = (self.by_name[name] for name in ledger.confirmed)
        return min(arena.owed, sum(payout(arena, template) for template in mined))

    def followed(self, ledger: Ledger, follow: Policy | None) -> tuple[str, ...]:
        """What a hero that follows a policy has in the next block if nobody is against it, no two in conflict."""
        arena = self.arena
        if follow is None or ledger.height < arena.asleep_until:
            return ()
        unspent = {outpoint: coin.height for outpoint, coin in ledger.unspent.items()}
        wanted = follow(unspent, ledger.height + 1, frozenset())
        own: list[str] = []
        for name in wanted:
            valid = name in arena.hero_holds & arena.affordable and check(ledger, self.by_name[name]) is None
            if valid and not any(self.inputs(name) & self.inputs(other) for other in own):
                own.append(name)
        return tuple(own)

    def value(self, ledger: Ledger, pending: tuple[tuple[str, int], ...], slept: int, alert: bool) -> int:
        """As ``game``'s: winning sooner over later, winning over losing, losing less over more."""
        paid = self.paid(ledger)
        if paid < 0:
            return paid
        if paid >= self.arena.owed:
            return self.arena.owed + 1 + self.horizon - ledger.height
        if ledger.height == self.horizon:
            return paid
        key = (ledger, pending, slept, alert)
        if key not in self.memo:
            arena, height = self.arena, ledger.height
            away = height < arena.asleep_until
            bound = arena.exit_absence if alert else arena.absence
            values = []
            if away or (slept < bound and not (arena.punctual and height == arena.idle_until)):
                values.append(self.block(ledger, pending, 0 if away else slept + 1, alert))
            if not away:
                sees = alert or height >= arena.idle_until or not set(arena.coins) <= ledger.unspent.keys()
                values.append(
                    max(
                        self.block(ledger, tuple(sorted((*pending, *((n, 0) for n in some)))), 0, sees or bool(some))
                        for some in self.options(ledger, pending)
                    )
                )
            self.memo[key] = min(values)
        return self.memo[key]

    def options(self, ledger: Ledger, pending: tuple[tuple[str, int], ...]) -> Iterator[tuple[str, ...]]:
        """Every set of transactions that an awake hero may broadcast."""
        waiting = [name for name, _ in pending]
        idle = set(self.arena.coins) if ledger.height < self.arena.idle_until else set()
        ready = [
            name
            for name in sorted(self.arena.hero_holds & self.arena.affordable)
            if name not in waiting and check(ledger, self.by_name[name]) is None and not self.inputs(name) & idle
        ]
        for some in chain.from_iterable(combinations(ready, size) for size in range(len(ready) + 1)):
            spent: list[Outpoint] = [outpoint for name in (*waiting, *some) for outpoint in self.inputs(name)]
            if len(spent) == len(set(spent)):
                yield some

    def inputs(self, name: str) -> set[Outpoint]:
        """What a transaction spends."""
        return {spend.outpoint for spend in self.by_name[name].spends}

    def block(self, ledger: Ledger, pending: tuple[tuple[str, int], ...], slept: int, alert: bool) -> int:
        """The least value over every block that the adversary can make."""
        usable = sorted(self.arena.adversary_holds | {name for name, _ in pending})
        return min(
            self.value(after, waiting, slept, alert)
            for block in self.blocks(ledger, [self.by_name[name] for name in usable])
            for after in [mine(ledger, block)]
            if (waiting := self.waiting(pending, after)) is not None
        )

    def waiting(self, pending: tuple[tuple[str, int], ...], after: Ledger) -> tuple[tuple[str, int], ...] | None:
        """The broadcasts that wait on, or None when one that was due is neither mined nor in conflict."""
        left = [(n, w) for n, w in pending if n not in after.confirmed and self.inputs(n) <= after.unspent.keys()]
        if any(waited + 1 >= self.arena.confirmation for _, waited in left):
            return None
        return tuple((name, waited + 1) for name, waited in left)

    def blocks(self, ledger: Ledger, usable: list[Template]) -> list[tuple[Template, ...]]:
        """Every block that ``usable`` transactions can make, one order for each set."""
        found: dict[frozenset[str], tuple[Template, ...]] = {frozenset(): ()}
        queue: list[tuple[Template, ...]] = [()]
        for block in queue:
            names = frozenset(template.name for template in block)
            for template in usable:
                if template.name in names or names | {template.name} in found:
                    continue
                longer = (*block, template)
                try:
                    mine(ledger, longer)
                except ChainError:
                    continue
                found[names | {template.name}] = longer
                queue.append(longer)
        return list(found.values())
