"""The game on the chain as a Promela model, so that Spin gives a second opinion on the prescribed strategy.

Laws of this module:

* The hero follows ``spec/strategy.toml``: the rules are compiled into guards here, and ``protocol.strategy`` is not
  called. What is left open (who sleeps when, what each block holds) is Spin's to choose.
* Nothing of ``game`` or ``plain`` is used: only the arena and its templates. Two programs that were written apart and
  agree on every verdict are unlikely to share a mistake; what they share is the text of ``game`` and the templates.
* A round takes two steps, the hero's and the block's, as in ``game``; what no longer matters is set to zero. So Spin
  stores exactly the positions that ``game`` counts when both play to the same horizon.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from superscalar_ref.check.arena import Arena, check_arena, payout, relevant
from superscalar_ref.check.world import LSP
from superscalar_ref.protocol.blueprint import FUNDING
from superscalar_ref.protocol.strategy import Rule, Strategy
from superscalar_ref.protocol.transaction import Outpoint, Template

ROOT = Outpoint(FUNDING, 0)
"""The factory's one on-chain output: while it is unspent, no exit has begun."""


def to_promela(arena: Arena, strategy: Strategy, everything: bool = False) -> str:
    """A Promela model that asserts that the hero, by ``strategy``, is paid what it is owed at the end.

    With ``everything`` also the transactions are in it that cannot touch what the hero is paid (``arena.relevant``).
    An arena without a horizon ends when the slowest chain of transactions is over (``horizon``). Raises ``InputError``
    when the arena contradicts itself.
    """
    check_arena(arena)
    held = arena.hero_holds | arena.adversary_holds
    templates = tuple(t for t in arena.templates if t.name in held) if everything else relevant(arena)
    return "\n".join(_Model(arena, strategy, _parents_first(templates)).lines()) + "\n"


def horizon(arena: Arena, templates: Sequence[Template]) -> int:
    """A height (blocks) at which nothing more can happen that a hero who keeps to its latencies waits for.

    Coarser than ``arena.default_horizon`` on purpose: that the verdicts agree shows that the finer one is enough.
    """
    slack = max(arena.absence, arena.exit_absence) + arena.confirmation
    longest = max([spend.relative_lock or 0 for t in templates for spend in t.spends], default=0)
    depths: dict[str, int] = {}
    for template in templates:
        depths[template.name] = 1 + max([depths.get(s.outpoint.transaction, 0) for s in template.spends], default=0)
    last = max([t.lock_time for t in templates], default=0)
    start = max(arena.height, arena.idle_until, arena.asleep_until, last)
    return start + (max(depths.values(), default=0) + 1) * (longest + slack)


def _parents_first(templates: Iterable[Template]) -> tuple[Template, ...]:
    left, ordered = list(templates), []
    while left:
        names = {template.name for template in left}
        ready = [t for t in left if not names & {s.outpoint.transaction for s in t.spends}]
        ordered += ready
        left = [t for t in left if t not in ready]
    return tuple(ordered)


@dataclass(frozen=True)
class _Numbered:
    """A template with its number, and its inputs and outputs as numbers of coins."""

    number: int
    template: Template
    spends: tuple[tuple[int, int], ...]
    """(coin, relative lock; 0 for none)."""
    makes: tuple[int, ...]


class _Model:
    """One arena on its way to text. A coin is an outpoint that some transaction spends; all others hold nothing open.

    ``u<n>``: the coin is unspent. ``d<n>``: how deep it would be in the next block, 0 when it is not there, and at most
    one more than its longest lock. ``w<n>``: 1 + blocks that the hero's broadcast has waited, 0 when it is not waiting.
    """

    def __init__(self, arena: Arena, strategy: Strategy, templates: Sequence[Template]) -> None:
        self.arena = arena
        self.role = "lsp" if arena.hero == LSP else "client"
        self.rules = tuple(rule for rule in strategy.rules if self.role in rule.roles)
        self.horizon = horizon(arena, templates) if arena.horizon is None else arena.horizon
        self.coins = sorted({spend.outpoint for template in templates for spend in template.spends})
        number = {outpoint: place for place, outpoint in enumerate(self.coins)}
        self.numbered = [
            _Numbered(
                place,
                template,
                tuple((number[s.outpoint], s.relative_lock or 0) for s in template.spends),
                tuple(number[o] for i in range(len(template.outputs)) if (o := template.outpoint(i)) in number),
            )
            for place, template in enumerate(templates)
        ]
        self.longest = [0] * len(self.coins)
        for one in self.numbered:
            for coin, lock in one.spends:
                self.longest[coin] = max(self.longest[coin], lock)
        self.start = {number[outpoint] for outpoint in arena.coins if outpoint in number}
        self.root = number.get(ROOT)
        # What the strategy may name, in the order of its rules.
        self.chosen = [(rule, one) for rule in self.rules for one in self.candidates(rule)]
        self.hero = sorted({one.number for _, one in self.chosen})

    # The strategy

    def candidates(self, rule: Rule) -> Iterator[_Numbered]:
        """What a rule may ever publish, shortest lock first: kind, fee and age are known before the game."""
        kind = [n for n in self.numbered if n.template.name in self.arena.hero_holds and n.template.kind is rule.kind]
        for one in sorted(kind, key=lambda n: (_lock(n), n.template.name)):
            older = any(_lock(other) < _lock(one) and _share(other, one) for other in kind)
            if one.template.name in self.arena.affordable and not (rule.choose == "newest" and older):
                yield one

    def publish_when(self, rule: Rule, one: _Numbered) -> str:
        """The guard of one broadcast."""
        terms = [*self.final(one)]
        if rule.when == "begun" and self.root is not None:
            terms.append(f"!u{self.root}")
        if rule.when == "deadline" or any(coin in self.start for coin, _ in one.spends):
            terms.append("height >= IDLE_UNTIL")
        # Neither is it waiting already, nor anything that spends the same coin.
        terms += [f"!w{other}" for other in self.hero if _share(self.numbered[other], one)]
        return " && ".join(terms)

    # The chain

    def final(self, one: _Numbered) -> Iterator[str]:
        """The next block may hold it: unspent inputs, relative locks, lock time (BIP-68, BIP-113)."""
        for coin, lock in one.spends:
            # Without a lock the coin may be of the same block; with one its depth is known only from the next on.
            yield f"d{coin} >= {lock}" if lock else f"u{coin}"
        if one.template.lock_time:
            yield f"height >= {one.template.lock_time}"

    def mine(self, one: _Numbered) -> Iterator[str]:
        """The effect of one transaction in a block."""
        if one.template.name in self.arena.forbidden:
            yield "assert(false)"
        for coin, _ in one.spends:
            yield f"u{coin} = 0"
            if self.longest[coin]:
                yield f"d{coin} = 0"
        for coin in one.makes:
            yield f"u{coin} = 1"
        pays = payout(self.arena, one.template)
        if pays:
            yield f"paid = (paid + {pays} > OWED -> OWED : paid + {pays})"
        if one.number in self.hero:
            yield f"w{one.number} = 0"

    # The text

    def lines(self) -> Iterator[str]:
        """The model, top to bottom."""
        arena = self.arena
        yield f"/* The game of {arena.hero} ({self.role}) over {len(self.numbered)} transactions. Generated."
        yield ""
        yield "   u: the coin is unspent"
        yield "   d: its depth in the next block, 0 when it is not there"
        yield "   w: 1 + blocks that the hero's broadcast has waited, 0 when it is not waiting"
        yield from (f"   coin {n}: {coin.transaction}#{coin.index}" for n, coin in enumerate(self.coins))
        yield from (f"   transaction {one.number}: {one.template.name}" for one in self.numbered)
        yield "*/"
        yield f"#define HORIZON {self.horizon}"
        yield f"#define OWED {arena.owed}"
        yield f"#define IDLE_UNTIL {arena.idle_until}"
        yield f"#define ASLEEP_UNTIL {arena.asleep_until}"
        yield f"#define PUNCTUAL {int(arena.punctual)}"
        yield f"#define ABSENCE {arena.absence}"
        yield f"#define EXIT_ABSENCE {arena.exit_absence}"
        yield f"#define CONFIRMATION {arena.confirmation}"
        yield ""
        yield f"{_type(self.horizon)} height = {arena.height};  /* of the last block */"
        yield f"{_type(arena.owed)} paid = 0;"
        yield f"{_type(max(arena.absence, arena.exit_absence))} slept = 0;"
        yield "bit alert = 0;  /* its exit is under way, and it has seen so */"
        for coin, lock in enumerate(self.longest):
            there = coin in self.start
            yield f"bit u{coin} = {int(there)};"
            if lock:
                depth = min(lock, arena.height - arena.coins[self.coins[coin]]) + 1 if there else 0
                yield f"{_type(lock + 1)} d{coin} = {depth};"
        yield from (f"{_type(arena.confirmation)} w{one} = 0;" for one in self.hero)
        yield ""
        for one in self.numbered:
            yield f"inline mine{one.number}() {{ {'; '.join(self.mine(one))} }}"
        yield ""
        yield "active proctype game() {"
        yield "end:"
        yield "  do"
        yield "  :: atomic {"
        yield "      paid < OWED && height < HORIZON;"
        yield from (f"      {line}" for line in self.hero_turn())
        yield "    };"
        yield "    atomic {"
        yield from (f"      {line}" for line in self.block())
        yield "    }"
        yield "  od"
        yield "}"

    def hero_turn(self) -> Iterator[str]:
        """Sleep, where the adversary may have it so; or look and broadcast by the rules."""
        yield "if"
        yield ":: height < ASLEEP_UNTIL"
        yield ":: height >= ASLEEP_UNTIL && slept < (alert -> EXIT_ABSENCE : ABSENCE) &&"
        yield "   !(PUNCTUAL && height == IDLE_UNTIL) -> slept++"
        yield ":: height >= ASLEEP_UNTIL -> d_step {"
        yield "   slept = 0;"
        gone = "".join(f" || !u{coin}" for coin in sorted(self.start))
        yield from _if(f"height >= IDLE_UNTIL{gone}", "alert = 1")
        for rule, one in self.chosen:
            yield f"   /* {rule.id}: {one.template.name} */"
            yield from _if(self.publish_when(rule, one), f"w{one.number} = 1; alert = 1")
        yield "   }"
        yield "fi"

    def block(self) -> Iterator[str]:
        """Any block: each transaction in turn is in it or not, parents first; then what is overdue; time passes."""
        for one in self.numbered:
            usable = list(self.final(one))
            if one.template.name not in self.arena.adversary_holds:
                if one.number not in self.hero:
                    continue
                usable.append(f"w{one.number}")
            yield f"if :: {' && '.join(usable)} -> mine{one.number}() :: true fi;"
        yield "d_step {"
        for number in self.hero:
            inputs = " && ".join(f"u{coin}" for coin, _ in self.numbered[number].spends)
            # It was final when it was sent; so it still is, unless a conflicting transaction is in this block.
            yield from _if(f"w{number} >= CONFIRMATION && {inputs}", f"mine{number}()")
            yield f"   if :: w{number} && {inputs} -> w{number}++ :: else -> w{number} = 0 fi;"
        for coin, lock in enumerate(self.longest):
            if lock:
                yield from _if(f"u{coin} && d{coin} < {lock + 1}", f"d{coin}++")
        yield "   height++;"
        yield "   assert(paid >= OWED || height < HORIZON)"
        yield "}"


def _if(guard: str, effect: str) -> Iterator[str]:
    yield f"   if :: {guard} -> {effect} :: else fi;"


def _lock(one: _Numbered) -> int:
    return max((lock for _, lock in one.spends), default=0)


def _share(one: _Numbered, other: _Numbered) -> bool:
    """Whether both spend one coin."""
    return bool({coin for coin, _ in one.spends} & {coin for coin, _ in other.spends})


def _type(largest: int) -> str:
    """The smallest type of Promela that holds 0 … ``largest``."""
    return "bit" if largest <= 1 else "byte" if largest <= 255 else "int"
