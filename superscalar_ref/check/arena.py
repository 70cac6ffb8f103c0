"""What a game on the chain is played with: transactions, who holds them complete, and three latencies.

Laws of this module:

* One honest party, the *hero*, plays against everybody else. The others are one player, who also orders the blocks,
  delays the hero's transactions within ``confirmation`` and chooses when the hero is awake within ``absence``.
  Lumping them together loses nothing: they can share signatures and a purse.
* Only templates are played with: the same ones that become bytes in ``realise``. Nothing here draws a second picture.
* What cannot touch the hero's money is left out (``relevant``); a test shows that this changes no verdict.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from superscalar_ref.errors import InputError
from superscalar_ref.protocol.transaction import Outpoint, Role, Template


@dataclass(frozen=True)
class Arena:
    """A game on the chain: what exists, who holds it, what the hero is owed, how late the hero may be."""

    templates: tuple[Template, ...]
    """Every transaction that may be mined."""
    hero: str
    """The one honest party."""
    owed: int
    """What the hero must end with at least (units)."""
    hero_holds: frozenset[str]
    """Templates whose every signature the hero has."""
    adversary_holds: frozenset[str]
    """Templates that the others can complete."""
    affordable: frozenset[str]
    """Templates that the hero can get mined by itself: they pay for themselves, or it has a coin for the fee."""
    absence: int
    """At every height the hero is awake within this many blocks."""
    exit_absence: int
    """The same once its exit is under way: it has seen the factory's coin spent, or reached its deadline, or begun."""
    confirmation: int
    """What the hero broadcasts is mined within this many blocks, unless a conflicting transaction is; at least 1."""
    coins: Mapping[Outpoint, int] = field(default_factory=dict)
    """Unspent at the start → height of its block."""
    height: int = 0
    """Height of the last block at the start."""
    idle_until: int = 0
    """The hero spends no coin of the start while the last block is below this height: its own deadline."""
    punctual: bool = False
    """The hero is awake when the last block is at ``idle_until``: it comes online to begin, within its notice."""
    asleep_until: int = 0
    """The hero is away, however long that is, while the last block is below this height."""
    stand_in: frozenset[str] | None = None
    """What a watchtower broadcasts in the hero's place while the hero is away; None: the hero is there itself."""
    stand_in_until: int = 0
    """It is the tower that looks while the last block is below this height."""
    forbidden: frozenset[str] = frozenset()
    """Templates that must never be mined: if one is, the hero has lost everything."""
    owns: frozenset[Role] = frozenset({Role.WALLET})
    """Which of its outputs the hero counts as owned: with DELAYED, also one that only it can take, but not yet."""
    counted: frozenset[str] | None = None
    """Templates whose payments to the hero count; None: all."""
    horizon: int | None = None
    """Height at which the game ends; None lets ``default_horizon`` choose."""


def owner_payout(template: Template, party: str, owns: frozenset[Role] = frozenset({Role.WALLET})) -> int:
    """What ``template`` pays to ``party`` in outputs of these roles (units): by default, alone and at once."""
    return sum(output.amount for output in template.outputs if output.role in owns and output.owner == party)


def payout(arena: Arena, template: Template) -> int:
    """What ``template`` pays the hero as far as this game counts it (units)."""
    if arena.counted is not None and template.name not in arena.counted:
        return 0
    return owner_payout(template, arena.hero, arena.owns)


def pays_for_itself(template: Template, party: str) -> bool:
    """Whether ``party`` may at once spend an output of ``template``, and so pay its fee from it."""
    return owner_payout(template, party) > 0


def affordable(templates: Iterable[Template], party: str, has_coins: bool) -> frozenset[str]:
    """Names of the templates that ``party`` can get mined by itself: all with coins, else those that pay it."""
    return frozenset(t.name for t in templates if has_coins or pays_for_itself(t, party))


def check_arena(arena: Arena) -> None:
    """Raise ``InputError`` when the arena contradicts itself."""
    names = [template.name for template in arena.templates]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"game of {arena.hero}", f"two transactions are named '{twice}'", "CHK-NAMES")
    unknown = sorted((arena.hero_holds | arena.adversary_holds) - set(names))
    if unknown:
        raise InputError(f"game of {arena.hero}", f"'{unknown[0]}' is held but does not exist", "CHK-HOLDS")
    if min(arena.absence, arena.exit_absence) < 0 or arena.confirmation < 1:
        raise InputError(
            f"game of {arena.hero}", "an absence is at least 0 and confirmation at least 1 block", "CHK-LATENCY"
        )


def relevant(arena: Arena) -> tuple[Template, ...]:
    """The templates that somebody holds and that can touch what the hero is paid.

    A template matters when it pays the hero, when it creates an outpoint that one which matters spends, or when it
    spends such an outpoint. All others only move the adversary's money about.
    """
    held = [t for t in arena.templates if t.name in arena.hero_holds | arena.adversary_holds]
    wanted: set[Outpoint] = set()
    kept: set[str] = set()
    changed = True
    while changed:
        changed = False
        for template in held:
            if template.name in kept:
                continue
            spends = {spend.outpoint for spend in template.spends}
            creates = {template.outpoint(index) for index in range(len(template.outputs))}
            pays = payout(arena, template) or template.name in arena.forbidden
            if pays or (spends | creates) & wanted:
                kept.add(template.name)
                wanted |= spends
                changed = True
    return tuple(t for t in held if t.name in kept)


def default_horizon(arena: Arena, templates: tuple[Template, ...]) -> int:
    """A height (blocks) after which the hero can win nothing more that it could not have won before.

    After the last absolute lock and the hero's own deadline every step of the longest chain of transactions takes at
    most its relative lock, one absence and one confirmation.
    """
    by_name = {template.name: template for template in templates}
    slack = max(arena.absence, arena.exit_absence) + arena.confirmation
    memo: dict[str, int] = {}

    def depth(name: str) -> int:
        if name not in memo:
            template = by_name[name]
            wait = max([spend.relative_lock or 0 for spend in template.spends], default=0)
            parents = [s.outpoint.transaction for s in template.spends if s.outpoint.transaction in by_name]
            memo[name] = wait + slack + max([depth(parent) for parent in parents], default=0)
        return memo[name]

    last_lock = max([template.lock_time for template in templates], default=0)
    longest = max([depth(template.name) for template in templates], default=0)
    return max(arena.height, arena.idle_until, arena.asleep_until, last_lock) + longest + slack
