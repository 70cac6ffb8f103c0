"""Playing the stops of one leaf: which there are, what each game of them comes to, and how a loss is told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from superscalar_ref.check.arena import Arena, payout
from superscalar_ref.check.game import Policy, Solution, solve
from superscalar_ref.check.grown import growths
from superscalar_ref.check.meter import Meter
from superscalar_ref.check.paid import PAID, PRICE, late_payments, payments, prices
from superscalar_ref.check.plain import aftermath
from superscalar_ref.check.stock import CONFIGURATION, OLD, SALES, STOPS, UPDATED, Leaf, Stop
from superscalar_ref.check.trace import Hands, Trace, mined
from superscalar_ref.check.verdict import Verdict
from superscalar_ref.check.world import LSP, Plot
from superscalar_ref.machine.step import BoundMachine
from superscalar_ref.protocol.blueprint import FUNDING
from superscalar_ref.protocol.client import Client
from superscalar_ref.protocol.stock import Stock
from superscalar_ref.protocol.strategy import Strategy, View, decide
from superscalar_ref.protocol.transaction import Kind, Outpoint
from superscalar_ref.spec.parameters import ParameterSet

PROPERTIES = (SALES, STOPS, OLD, UPDATED, PAID, PRICE)
"""What is decided here."""
BALANCES = (PAID,)
"""Those of them that depend on no table."""


def stops_of(
    parameters: ParameterSet, machine: BoundMachine[Stock], clients: BoundMachine[Client], plot: Plot
) -> Iterator[tuple[Leaf, Stop]]:
    """Every stop with its leaf: as few states of it as each story needs."""
    few, more = (Leaf(parameters, machine, plot, states) for states in (2, 3))
    for stop in few.sales():
        yield few, stop
    for stop in growths(few, clients):
        yield few, stop
    for stop in more.updates():
        yield more, stop
    for stop in (*prices(few), *payments(few)):
        yield few, stop
    for stop in late_payments(more):
        yield more, stop


def judge_leaf(
    parameters: ParameterSet,
    machine: BoundMachine[Stock],
    clients: BoundMachine[Client],
    strategy: Strategy,
    plot: Plot,
    wanted: Iterable[str],
    quick: bool,
    meter: Meter,
) -> list[Verdict]:
    """Play every stop of the ``wanted`` properties; ``quick``: up to the first loss. ``meter`` counts positions."""
    names = set(wanted)
    found = {name: Verdict(name) for name in PROPERTIES if name in names}
    for leaf, stop in stops_of(parameters, machine, clients, plot):
        if stop.property not in names:
            continue
        for game in leaf.games(stop):
            solved = solve(game)
            meter.add(solved.states, solved.edges)
            found[stop.property] = _with(found[stop.property], stop, game, solved, strategy)
            if quick and not solved.wins:
                return list(found.values())
    return list(found.values())


def _with(verdict: Verdict, stop: Stop, game: Arena, solved: Solution, strategy: Strategy) -> Verdict:
    """The verdict with one game more; the first that is lost makes the trace."""
    example = verdict.examples == 0 and solved.wins and not solve(game, lambda *_: ()).wins
    trace = verdict.trace
    if trace is None and not solved.wins:
        trace = _trace(verdict.property, stop, game, solved, strategy)
    return replace(
        verdict,
        holds=verdict.holds and solved.wins,
        cases=verdict.cases + 1,
        states=verdict.states + solved.states,
        edges=verdict.edges + solved.edges,
        examples=verdict.examples + example,
        trace=trace,
    )


def _trace(name: str, stop: Stop, game: Arena, solved: Solution, strategy: Strategy) -> Trace:
    """The loss as the prescribed strategy meets it, and what comes after it."""
    follow = _policy(strategy, stop, game)
    told = solve(game, follow)
    rounds = told.trace if told.amount <= solved.amount else solved.trace
    for onward in (True, False):
        later = aftermath(game, rounds, follow, onward)
        if sum(payout(game, one) for one in mined(stop.catalog, (*rounds, *later))) <= solved.amount:
            rounds = (*rounds, *later)
            break
    return Trace(
        name,
        game.hero,
        "balances" if name in BALANCES else CONFIGURATION.id,
        (),
        game.owed,
        solved.amount,
        stop.story,
        rounds,
        mined(stop.catalog, rounds),
        stop.catalog[FUNDING],
        "",
        _hands(stop, game),
    )


def _hands(stop: Stop, game: Arena) -> Hands:
    """Who can publish what, as far as somebody can publish what it spends."""
    reachable = {FUNDING}
    for name, template in stop.catalog.items():
        parents = {spend.outpoint.transaction for spend in template.spends}
        if name in game.hero_holds | game.adversary_holds and parents <= reachable:
            reachable.add(name)
    hero, others = game.hero_holds & reachable, game.adversary_holds & reachable
    templates = tuple(template for name, template in stop.catalog.items() if name in reachable)
    return Hands(hero, others, hero - game.affordable, frozenset(), templates)


def _policy(strategy: Strategy, stop: Stop, game: Arena) -> Policy:
    """The prescribed strategy as a policy of ``game``; a party makes its own penalties at once (channel.toml)."""
    holds = {name: stop.catalog[name] for name in sorted(game.hero_holds)}
    penalties = {name: template for name, template in holds.items() if template.kind is Kind.PENALTY}
    role = "lsp" if game.hero == LSP else "client"

    def follow(unspent: Mapping[Outpoint, int], next_height: int, pending: frozenset[str]) -> tuple[str, ...]:
        root = Outpoint(FUNDING, 0)
        view = View(role, root, holds, unspent, next_height, game.idle_until, pending, game.affordable)
        return (*decide(strategy, replace(view, role="tower", held=penalties)), *decide(strategy, view))

    return follow
