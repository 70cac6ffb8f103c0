"""Deciding the properties of ``spec/properties.toml`` on the configurations, for one specification.

A *job* is one configuration, one choice of the words (which default, which alternates) and one hero: it explores the
off-chain part once and plays the games of all properties on each scene. Jobs do not touch each other, so they run side
by side; their order, and so every verdict and trace, is fixed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from superscalar_ref.check import ceremony, channels, handover, htlc, leaf, lives, network
from superscalar_ref.check import tower as towers
from superscalar_ref.check.arena import Arena, payout
from superscalar_ref.check.ceremony_loss import loss
from superscalar_ref.check.configurations import Configuration, Values, allowed_choices, tight_values
from superscalar_ref.check.explore import Explorer, Reached, Scene
from superscalar_ref.check.game import Policy, Round, Solution, solve
from superscalar_ref.check.meter import Count, Meter
from superscalar_ref.check.plain import aftermath
from superscalar_ref.check.resume import Kept
from superscalar_ref.check.running import run_jobs
from superscalar_ref.check.situations import (
    arena,
    by_leaf,
    by_the_end,
    counts,
    hands,
    held,
    never_back,
    newest_only,
    one_visit,
    policy,
)
from superscalar_ref.check.trace import Hands, Trace, mined
from superscalar_ref.check.verdict import Verdict
from superscalar_ref.check.world import LSP, Plot, World
from superscalar_ref.errors import SuperscalarError
from superscalar_ref.machine.bind import bind
from superscalar_ref.machine.step import BoundMachine
from superscalar_ref.machine.types import Rules
from superscalar_ref.protocol import assisted_exit, channel, client, factory, session, watchtower
from superscalar_ref.protocol import stock as stock_rules
from superscalar_ref.protocol.blueprint import Blueprint
from superscalar_ref.protocol.participant import Machines, bind_machines
from superscalar_ref.protocol.stock import Stock
from superscalar_ref.protocol.strategy import Strategy
from superscalar_ref.protocol.transaction import Kind, Template
from superscalar_ref.spec.specification import Specification
from superscalar_ref.spec.table import Function, Machine

CEREMONIES = ceremony.PROPERTIES
CLIENT = ("P-EXIT-ALWAYS", "P-EXIT-INSURED", "P-EXIT-BEFORE-END", "P-ABSENT-CLIENT-PAID", "P-DYING-VISIT-SUFFICES")
BOTH = ("P-NEWEST-WINS", "P-NO-THEFT", "P-STRATEGY-WINS", "P-KIT-COMPLETE", "P-VALUE-CONSERVED")
STATIC = ("P-BLAST-BOUNDED",)
SOMETIMES = "-SOMETIMES"
TOWERS = towers.PROPERTIES
LIVES, MAIL = lives.PROPERTIES, network.PROPERTIES
CHANNELS, LEAF, PAYMENTS = channels.PROPERTIES, leaf.PROPERTIES, htlc.PROPERTIES
EXITS = handover.PROPERTIES
LEAF_SEARCHES = {"stock": frozenset(LEAF) - set(leaf.BALANCES), "balances": frozenset(leaf.BALANCES)}
"""The two searches of one leaf: sales and updates by their tables, and payments; with what each decides."""
SEARCHES = {
    "ceremonies": frozenset(CEREMONIES),
    "lives": frozenset(LIVES),
    "towers": frozenset(TOWERS),
    "network": frozenset(MAIL),
    "channels": frozenset(CHANNELS),
    "payments": frozenset(PAYMENTS),
    "handover": frozenset(EXITS),
    **LEAF_SEARCHES,
}
"""The searches without a configuration, with what each decides."""
KNOWN = (
    *CLIENT,
    "P-LSP-EXIT",
    *BOTH,
    *STATIC,
    *CEREMONIES,
    *LIVES,
    *MAIL,
    *CHANNELS,
    *PAYMENTS,
    *EXITS,
    *TOWERS,
    *LEAF,
)
"""Every property that is decided here; each has a ``sometimes`` of the same name with ``-SOMETIMES``."""


class UnfinishedError(SuperscalarError):
    """The time that was allowed ran out, or somebody stopped the run."""

    exit_code = 3

    def __init__(self, done: int, jobs: int, verdicts: Sequence[Verdict] = (), interrupted: bool = False) -> None:
        self.verdicts = tuple(verdicts)
        """What the finished jobs found: a loss is one, but what holds so far may still break."""
        self.interrupted = interrupted
        if interrupted:
            self.exit_code = 130
        super().__init__(f"unfinished: {done} of {jobs} jobs done; only what is refuted is decided")


@dataclass(frozen=True)
class Progress:
    """How far a run is."""

    done: int
    jobs: int
    kept: int
    """Of the jobs that are done, those that an earlier run had finished."""
    count: Count
    """What this run has looked at."""
    seconds: float
    job: str = ""
    """The job that has just been finished; empty in between."""


@dataclass(frozen=True)
class Job:
    """One hero in one configuration, or one of the searches that have none."""

    configuration: Configuration | None
    choices: tuple[tuple[str, str], ...] = ()
    hero: str = ""
    search: str = "ceremonies"
    """Without a configuration: a key of ``SEARCHES``."""
    default: bool = True
    """Whether the words are the specification's defaults."""

    @property
    def name(self) -> str:
        """For people."""
        if self.configuration is None:
            return self.search
        words = "" if self.default else " " + "/".join(word for _, word in self.choices)
        return f"{self.configuration.id}{words} {self.hero}"


@dataclass(frozen=True)
class Design:
    """What is judged: a specification, a strategy, and what a variant changes beyond them."""

    specification: Specification
    strategy: Strategy
    configurations: tuple[Configuration, ...]
    plot: Plot = field(default_factory=Plot)

    def reached(self) -> frozenset[str]:
        """Which states of their lives a client and the LSP reach off chain, as ``client: updating``."""
        found: set[str] = set()
        for configuration in self.configurations:
            values = tight_values(self.specification.parameters, configuration, {})
            for hero, role in ((configuration.clients[0], "client"), (LSP, "factory")):
                exploration = Explorer(World(configuration, values, hero, self.plot), self.tables()).run()
                found |= {f"{role}: {one.scene.party.life.status}" for one in exploration.scenes}
        return frozenset(found)

    def tables(self) -> Machines:
        """The tables with their rules. Raises ``SpecError`` as ``bind`` does.

        A function whose declaration somebody took away, to see what happens, is declared again: no row uses it.
        """
        machine = self.specification.machine
        return bind_machines(
            _declared(machine("session"), session.RULES),
            _declared(machine("client"), client.RULES),
            _declared(machine("factory"), factory.RULES),
        )

    def channel(self) -> BoundMachine[channel.Channel]:
        """The channel's table with its rules. Raises ``SpecError`` as ``bind`` does."""
        return bind(_declared(self.specification.machine("channel"), channel.RULES), channel.RULES)

    def assisted_exit(self) -> BoundMachine[assisted_exit.Exit]:
        """The assisted exit's table with its rules. Raises ``SpecError`` as ``bind`` does."""
        return bind(_declared(self.specification.machine("assisted_exit"), assisted_exit.RULES), assisted_exit.RULES)

    def watchtower(self) -> BoundMachine[watchtower.Case]:
        """The watchtower's table with its rules. Raises ``SpecError`` as ``bind`` does."""
        return bind(_declared(self.specification.machine("watchtower"), watchtower.RULES), watchtower.RULES)

    def stock_table(self) -> BoundMachine[Stock]:
        """The stock's table with its rules. Raises ``SpecError`` as ``bind`` does."""
        return bind(_declared(self.specification.machine("stock"), stock_rules.RULES), stock_rules.RULES)


def _declared(table: Machine, rules: Rules) -> Machine:
    def every(known: tuple[Function, ...], functions: Iterable[str]) -> tuple[Function, ...]:
        names = {item.name for item in known}
        return (*known, *(Function(name, "taken away", table.place) for name in functions if name not in names))

    return replace(table, guards=every(table.guards, rules.guards), effects=every(table.effects, rules.effects))


def jobs(design: Design, properties: Iterable[str]) -> list[Job]:
    """What has to be run to decide ``properties``, the dearest first."""
    wanted = {name.removesuffix(SOMETIMES) for name in properties}
    found: list[Job] = []
    for search, decided in SEARCHES.items():
        if wanted & decided:
            found.append(Job(None, search=search))
    parameters = design.specification.parameters
    fixed = {"stock_lock": str(parameters["stock_lock"].default)}
    on_choices = wanted & {"P-EXIT-ALWAYS", "P-LSP-EXIT", "P-EXIT-BEFORE-END", *BOTH}
    for configuration in sorted(design.configurations, key=lambda c: -len(c.clients)):
        for number, choices in enumerate(allowed_choices(parameters, fixed)):
            if number > 0 and not on_choices:
                continue
            words = tuple((name, word) for name, word in choices.items() if name != "stock_lock")
            # The least of the symmetrical clients stands for all of them.
            if wanted & {*CLIENT, *BOTH, *STATIC}:
                found.append(Job(configuration, words, configuration.clients[0], default=number == 0))
            if wanted & {"P-LSP-EXIT", *BOTH}:
                found.append(Job(configuration, words, LSP, default=number == 0))
    return found


def run_job(
    design: Design, job: Job, properties: Iterable[str], quick: bool = False, meter: Meter | None = None
) -> list[Verdict]:
    """Decide what one job can say about ``properties``; ``quick``: up to the first that breaks.

    ``meter`` counts what is looked at.
    """
    meter = meter or Meter()
    wanted = {name.removesuffix(SOMETIMES) for name in properties}
    if job.search in LEAF_SEARCHES:
        parameters, table, clients = design.specification.parameters, design.stock_table(), design.tables().client
        return leaf.judge_leaf(
            parameters, table, clients, design.strategy, design.plot, wanted & LEAF_SEARCHES[job.search], quick, meter
        )
    if job.configuration is None:
        return _searched(design, job.search, wanted, quick, meter)
    values: Values = tight_values(design.specification.parameters, job.configuration, dict(job.choices))
    world = World(job.configuration, values, job.hero, design.plot)
    return list(_Bench(design, job, world, wanted, quick, meter).verdicts())


def merge(partial: Sequence[Verdict]) -> list[Verdict]:
    """One verdict for each property from those of all jobs, in the order of ``KNOWN``."""
    merged: dict[str, Verdict] = {}
    for new in partial:
        old = merged.get(new.property)
        if old is None:
            merged[new.property] = new
            continue
        later = (new.worst_block or -1) > (old.worst_block or -1)
        merged[new.property] = Verdict(
            new.property,
            old.holds and new.holds,
            old.cases + new.cases,
            old.states + new.states,
            old.edges + new.edges,
            new.worst_block if later else old.worst_block,
            new.worst_where if later else old.worst_where,
            old.trace or new.trace,
            old.examples + new.examples,
        )
    return sorted(merged.values(), key=lambda verdict: KNOWN.index(verdict.property))


def judge(
    design: Design,
    properties: Sequence[str],
    progress: Callable[[Progress], None] | None = None,
    cores: int = 1,
    quick: bool = False,
    seconds: float | None = None,
    kept: Kept | None = None,
) -> list[Verdict]:
    """Decide ``properties`` (ids, with or without ``-SOMETIMES``) on all configurations of ``design``.

    ``progress`` hears how far the run is, about once a second and after each job. ``quick``: stop at the first loss;
    then what holds, and every count, is only about what was looked at. ``kept``: jobs that an earlier run finished are
    not run again, and what is finished is kept there. Raises ``UnfinishedError`` when more is to be done after
    ``seconds`` (but not before one job is finished), or on an interrupt: a search that did not finish is not a pass.
    """
    wanted = tuple(sorted({name.removesuffix(SOMETIMES) for name in properties}))
    todo = jobs(design, properties)
    known = {number: kept.find(job.name, wanted) for number, job in enumerate(todo)} if kept is not None else {}
    found = {number: verdicts for number, verdicts in known.items() if verdicts is not None}
    before = len(found)
    rest = [(number, job) for number, job in enumerate(todo) if number not in found]
    begun = told = time.perf_counter()
    meter = Meter()

    def tell(job: str = "") -> None:
        nonlocal told
        told = time.perf_counter()
        if progress is not None:
            progress(Progress(len(found), len(todo), before, meter.read(), told - begun, job))

    def look() -> None:
        now = time.perf_counter()
        if seconds is not None and now - begun > seconds and before < len(found) < len(todo):
            raise UnfinishedError(len(found), len(todo), _in_order(found))
        if now - told > 1:
            tell()

    meter.watch = look
    try:
        for number, verdicts in run_jobs(_Work(design, wanted, quick), rest, cores, quick, meter):
            found[number] = verdicts
            if kept is not None:
                kept.keep(todo[number].name, wanted, verdicts)
            tell(todo[number].name)
            if quick and any(verdict.trace is not None for verdict in verdicts):
                break
            look()
    except KeyboardInterrupt:
        raise UnfinishedError(len(found), len(todo), _in_order(found), interrupted=True) from None
    return _in_order(found)


def _in_order(found: dict[int, list[Verdict]]) -> list[Verdict]:
    """One verdict for each property, whatever the order in which the jobs were finished."""
    return merge([verdict for _, verdicts in sorted(found.items()) for verdict in verdicts])


@dataclass(frozen=True)
class _Work:
    """What is done for each job."""

    design: Design
    properties: tuple[str, ...]
    quick: bool

    def __call__(self, job: Job, meter: Meter) -> list[Verdict]:
        return run_job(self.design, job, self.properties, self.quick, meter)


_HEROES: dict[str, Callable[[tuple[str, ...]], str]] = {
    "lives": lives.hero,
    "network": network.hero,
    "channels": channels.hero,
    "payments": htlc.hero,
    "handover": handover.hero,
    "towers": towers.hero,
}
"""Who loses at the end of a way through each search."""


def _searched(design: Design, search: str, wanted: set[str], quick: bool, meter: Meter) -> list[Verdict]:
    """What a search without a chain of its own says about those of ``wanted`` that it decides."""
    until = frozenset(wanted) if quick else frozenset()
    tables = design.tables()
    properties: tuple[str, ...]
    if search == "lives":
        properties = LIVES
        found = lives.explore(tables.client, tables.factory, until, meter)
    elif search == "network":
        properties = MAIL
        found = network.explore(tables, until, meter)
    elif search == "channels":
        properties = CHANNELS
        plot = design.plot
        found = channels.explore(design.channel(), tables.client, until, meter, plot.commitments, plot.amounts)
    elif search == "payments":
        properties = PAYMENTS
        parameters, plot = design.specification.parameters, design.plot
        ways = htlc.Ways(plot.htlc_scripts, plot.htlc_expiry, plot.htlc_forward)
        found = htlc.explore(design.channel(), parameters, ways, until, meter)
    elif search == "handover":
        properties = EXITS
        found = handover.explore(design.assisted_exit(), design.plot.exit_order, until, meter)
    elif search == "towers":
        properties = TOWERS
        found = towers.explore(tables.client, design.watchtower(), design.strategy, until, meter)
    else:
        properties = CEREMONIES
        found = ceremony.explore(tables.session, 2, design.plot.nonce_survives_crash, until, meter)
    verdicts = []
    for name in properties:
        if name not in wanted:
            continue
        way = found.broken.get(name)
        trace = None
        if way is not None and search != "ceremonies":
            told = f"{way[-1][0].upper()}{way[-1][1:]}."
            hero = _HEROES[search](way)
            trace = Trace(name, hero, search, (), 1, 0, lives.dated(way[:-1]), (), (), None, told)
        elif way is not None:
            trace = loss(name, way)
        verdicts.append(
            Verdict(name, way is None, 1, found.states, found.edges, trace=trace, examples=int(name in found.seen))
        )
    return verdicts


class _Bench:
    """One job: its scenes and the games on them."""

    def __init__(self, design: Design, job: Job, world: World, wanted: set[str], quick: bool, meter: Meter) -> None:
        self.design = design
        self.job = job
        self.world = world
        self.wanted = wanted
        self.quick = quick
        self.meter = meter
        self.end = world.terms.locks.end
        self.exploration = Explorer(world, design.tables()).run()
        meter.add(len(self.exploration.scenes), self.exploration.edges, self.exploration.depth)
        self.distinct = list(self._distinct())
        self._solved: dict[tuple[object, ...], Solution] = {}

    def _distinct(self) -> Iterator[Reached]:
        """One scene for each set of holdings, the one with the shortest story."""
        seen = set()
        for reached in self.exploration.scenes:
            scene = reached.scene
            if not counts(scene):
                continue
            key = (held(self.world, scene), scene.released, scene.counts_on, scene.owed, scene.elsewhere, scene.late)
            if key not in seen:
                seen.add(key)
                yield reached

    def verdicts(self) -> Iterator[Verdict]:
        client, default = self.world.role == "client", self.job.default
        decide: list[tuple[str, bool, Callable[[str], Verdict]]] = [
            ("P-EXIT-ALWAYS", client, lambda n: self._games(n, self._plain)),
            ("P-EXIT-INSURED", client and default, lambda n: self._games(n, self._poor)),
            ("P-EXIT-BEFORE-END", client, lambda n: self._games(n, self._by_the_end)),
            ("P-ABSENT-CLIENT-PAID", client and default, lambda n: self._games(n, self._absent)),
            ("P-DYING-VISIT-SUFFICES", client and default, lambda n: self._games(n, self._visit)),
            ("P-LSP-EXIT", not client, lambda n: self._games(n, self._plain)),
            ("P-NEWEST-WINS", True, lambda n: self._games(n, self._newest)),
            ("P-NO-THEFT", True, self._no_theft),
            ("P-STRATEGY-WINS", True, self._strategy),
            ("P-KIT-COMPLETE", True, self._kits),
            ("P-VALUE-CONSERVED", default, self._value),
            ("P-BLAST-BOUNDED", client and default, self._blast),
        ]
        for name, applies, run in decide:
            if name in self.wanted and applies:
                verdict = run(name)
                yield verdict
                if self.quick and verdict.trace is not None:
                    return

    # Games

    def _plain(self, scene: Scene) -> list[Arena]:
        return by_leaf(self.world, scene, arena(self.world, scene))

    def _poor(self, scene: Scene) -> list[Arena]:
        return [arena(self.world, scene, coins=False)]

    def _by_the_end(self, scene: Scene) -> list[Arena]:
        return [by_the_end(game, self.end) for game in self._plain(scene)]

    def _absent(self, scene: Scene) -> list[Arena]:
        return [never_back(game, self.end) for game in self._poor(scene)]

    def _visit(self, scene: Scene) -> list[Arena]:
        rules = self.design.strategy.rules if self.world.plot.tower == "kept" else ()
        kinds = frozenset(rule.kind for rule in rules if "tower" in rule.roles)
        blocks = int(self.world.values["exit_budget_blocks"])
        return [one_visit(game, kinds, blocks) for game in self._plain(scene)]

    def _newest(self, scene: Scene) -> list[Arena]:
        return [newest_only(game) for game in self._plain(scene)]

    def _games(self, name: str, games: Callable[[Scene], list[Arena]]) -> Verdict:
        """Play ``games`` of every scene; the first lost one, with the shortest story, makes the trace."""
        total = Verdict(name)
        for reached in self.distinct:
            for game in games(reached.scene):
                found = self._solve(game)
                total = self._add(total, found)
                # Who loses money although no older state can win loses it to something else.
                lost = found.amount < 0 if name == "P-NEWEST-WINS" else not found.wins
                if lost and (total.trace is None or not total.trace.lost):
                    trace = self._trace(name, reached, game, found)
                    if total.trace is None or trace.lost:
                        total = replace(total, holds=False, trace=trace)
                    if self.quick and trace.lost:
                        return total
                elif found.wins and total.examples == 0:
                    total = replace(total, examples=int(self._example(name, reached.scene, game, found)))
        return total

    def _solve(self, game: Arena) -> Solution:
        """Solve a game once, however many properties ask for it."""
        key = (
            game.hero_holds,
            game.adversary_holds,
            game.owed,
            game.counted,
            game.affordable,
            bool(game.coins),
            game.asleep_until,
            game.stand_in,
            game.forbidden,
            game.owns,
            game.horizon,
            game.height,
        )
        if key not in self._solved:
            self._solved[key] = solved = solve(game)
            self.meter.add(solved.states, solved.edges)
        return self._solved[key]

    def _solve_for(self, game: Arena, follow: Policy) -> Solution:
        """Solve a game for a hero that follows a policy."""
        solved = solve(game, follow)
        self.meter.add(solved.states, solved.edges)
        return solved

    def _add(self, total: Verdict, found: Solution) -> Verdict:
        worst, where = total.worst_block, total.worst_where
        if found.worst_block is not None and (worst is None or found.worst_block > worst):
            worst, where = found.worst_block, self.job.name
        return replace(
            total,
            cases=total.cases + 1,
            states=total.states + found.states,
            edges=total.edges + found.edges,
            worst_block=worst,
            worst_where=where,
        )

    def _example(self, name: str, scene: Scene, game: Arena, found: Solution) -> bool:
        """Whether this game is a case of what the property is about."""
        if name in ("P-EXIT-INSURED", "P-ABSENT-CLIENT-PAID"):
            paid = [n for r in found.trace for n in r.mined if self.world.catalog[n].kind is Kind.ALTERNATE]
            return bool(paid)
        if name == "P-EXIT-BEFORE-END":
            values = self.world.values
            budget = int(values["exit_budget_blocks"]) + game.exit_absence + game.confirmation
            return found.worst_block is not None and found.worst_block >= self.world.deadline + budget
        if name == "P-NEWEST-WINS":
            return bool(game.forbidden & game.adversary_holds)
        return not self._solve_for(game, lambda *_: ()).wins

    def _trace(self, name: str, reached: Reached, game: Arena, found: Solution) -> Trace:
        """The loss as the prescribed strategy meets it."""
        follow = policy(self.design.strategy, self.world, game)
        told = self._solve_for(game, follow)
        rounds = told.trace if told.amount <= found.amount else found.trace
        gets, note = found.amount, ""
        older = next((n for r in rounds for n in r.mined if n in game.forbidden), None)
        if older is not None:
            # The game is over there; the chain goes on, and so does the money.
            rounds = rounds[: 1 + next(i for i, r in enumerate(rounds) if older in r.mined)]
            newest = min(
                (self.world.catalog[n] for n in game.hero_holds if self._rival(n, older)),
                key=lambda t: t.spends[0].relative_lock or 0,
            )
            note = f"{older} is confirmed, and {self._hero(game)} holds {newest.name}, which is newer."
        if game.horizon is not None:
            note = f"The end is in block {game.horizon}: what {game.hero} has not got by then falls under its default."
        elif game.coins:
            rounds = (*rounds, *self._aftermath(game, rounds, follow, None if older else found.amount))
        transactions = mined(self.world.catalog, rounds)
        if older is not None:
            gets = min(game.owed, sum(payout(game, template) for template in transactions))
        return Trace(
            name,
            self._hero(game),
            self.job.configuration.id if self.job.configuration else "",
            self.job.choices,
            game.owed,
            gets,
            reached.story,
            rounds,
            transactions,
            self.world.catalog.get(self.world.root_of(reached.scene.counts_on).transaction),
            note,
            hands(self.world, reached.scene, game.affordable),
        )

    def _aftermath(self, game: Arena, rounds: Sequence[Round], follow: Policy, most: int | None) -> tuple[Round, ...]:
        """What comes after the game: the others take what they can, and do nothing that would give the hero more.

        ``most``: what the hero gets at most (units); None when the money was not what the game was about.
        """
        plain = replace(game, forbidden=frozenset())
        for onward in (True, False):
            later = aftermath(plain, rounds, follow, onward)
            paid = sum(payout(game, t) for t in mined(self.world.catalog, (*rounds, *later)))
            if most is None or paid <= most:
                return later
        return ()

    def _rival(self, name: str, other: str) -> bool:
        """Whether two transactions are states of one output."""
        one, two = self.world.catalog[name], self.world.catalog[other]
        return one.kind is two.kind is Kind.STATE and one.spends[0].outpoint == two.spends[0].outpoint

    def _hero(self, game: Arena) -> str:
        return self.world.hero

    def _no_theft(self, name: str) -> Verdict:
        """Whoever always gets what it is owed has nothing stolen: theft is one of the two ways to lose."""
        plain = self._games("P-EXIT-ALWAYS", self._plain)
        stolen = plain.trace is not None and plain.trace.loss == "theft"
        trace = replace(plain.trace, broken=name) if stolen and plain.trace is not None else None
        return replace(plain, property=name, holds=not stolen, trace=trace, worst_block=None, worst_where="")

    def _strategy(self, name: str) -> Verdict:
        total = Verdict(name)
        used: set[str] = set()
        for reached in self.distinct:
            poor = self._poor(reached.scene) if self.world.role == "client" else []
            for game in (*self._plain(reached.scene), *poor):
                prescribed = self._solve_for(game, policy(self.design.strategy, self.world, game))
                used.update(self.world.catalog[n].kind for r in prescribed.trace for n in r.broadcast)
                if prescribed.wins:
                    total = self._add(total, prescribed)
                    continue
                best = self._solve(game)
                total = self._add(total, best)
                if best.wins and total.trace is None:
                    trace = replace(self._trace(name, reached, game, prescribed), gets=prescribed.amount)
                    total = replace(total, holds=False, trace=trace)
        return replace(total, examples=int(bool(used)))

    # Situations

    def _kits(self, name: str) -> Verdict:
        total = Verdict(name, edges=self.exploration.edges)
        for reached in self.exploration.scenes:
            scene = reached.scene
            total = replace(total, states=total.states + 1)
            if not counts(scene) or scene.counts_on is None:
                continue
            total = replace(total, cases=total.cases + 1)
            missing = scene.counts_on.kit - held(self.world, scene)
            if missing and total.trace is None:
                note = f"It counts on version {scene.counts_on.version} without {', '.join(sorted(missing))}."
                total = replace(total, holds=False, trace=self._situation(name, reached, note))
            if scene.offered is not None and scene.released - held(self.world, scene):
                total = replace(total, examples=total.examples + 1)
        return total

    def _situation(self, name: str, reached: Reached, note: str) -> Trace:
        configuration = self.job.configuration.id if self.job.configuration else ""
        owed = reached.scene.owed
        funding = self.world.catalog.get(self.world.root_of(reached.scene.counts_on).transaction)
        return Trace(
            name,
            self.world.hero,
            configuration,
            self.job.choices,
            owed,
            0,
            reached.story,
            (),
            (),
            funding,
            note,
            hands(self.world, reached.scene),
        )

    def _value(self, name: str) -> Verdict:
        catalog = self.world.catalog
        total = Verdict(name)
        versions = {offer.owed for offer in self.world.offers()}
        for template in catalog.values():
            parents = [(s, catalog.get(s.outpoint.transaction)) for s in template.spends]
            if any(parent is None for _, parent in parents) or template.kind is Kind.FUNDING:
                continue
            total = replace(total, cases=total.cases + 1, states=total.states + 1)
            spent = sum(p.outputs[s.outpoint.index].amount for s, p in parents if p is not None)
            if spent != template.amount_out() + template.fee and total.trace is None:
                note = f"{template.name} spends {spent} and pays {template.amount_out()} and a fee of {template.fee}."
                total = replace(total, holds=False, trace=self._situation(name, self.exploration.scenes[0], note))
        return replace(total, examples=int(len(versions) > 1))

    def _blast(self, name: str) -> Verdict:
        """Which states' clocks a client's exit starts, beside those on its own path."""
        total = Verdict(name)
        for offer in self.world.offers():
            blueprint = offer.blueprint
            if blueprint.terms != self.world.terms:
                continue  # Terms that a client is to refuse: what their states are called, the paths do not say.
            for who in self.world.tree.clients:
                own = set(blueprint.path(who)) & set(blueprint.templates)
                total = replace(total, cases=total.cases + 1, states=total.states + 1)
                shared = [n for n in own if len(blueprint.templates[n].signers) > 2]
                total = replace(total, examples=total.examples + bool(shared))
                started = [t for t in blueprint.templates.values() if self._started(t, own)]
                if started and total.trace is None:
                    note = f"{who}'s exit starts the clock of {', '.join(t.name for t in started)}."
                    scene = self.exploration.scenes[0]

                    whole = Hands(
                        blueprint.kit(who),
                        frozenset(blueprint.templates),
                        templates=tuple(blueprint.templates.values()),
                        kit=frozenset(own),
                        started=tuple(t.name for t in started),
                    )
                    trace = replace(
                        self._situation(name, scene, note),
                        hero=who,
                        hands=whole,
                        off_chain=tuple(self._exit(blueprint, who, started)),
                    )
                    total = replace(total, holds=False, trace=trace)
        return total

    @staticmethod
    def _exit(blueprint: Blueprint, who: str, started: Sequence[Template]) -> Iterator[str]:
        """The exit of one client block by block, and what it means for whoever owns what it starts."""
        yield f"everybody signs the first version, and {LSP} broadcasts the funding; it is in block 0"
        mined_at = {t.name: 0 for t in blueprint.templates.values() if t.kind is Kind.FUNDING}
        for name in blueprint.path(who):
            (spend,) = blueprint.templates[name].spends
            height = mined_at[spend.outpoint.transaction] + max(spend.relative_lock or 0, 1)
            mined_at[name] = height
            says = f"block {height}: {who} broadcasts {name}; mined: {name}"
            begun = [t for t in started if t.spends[0].outpoint.transaction == name]
            for other in begun:
                says += f"; the clock of {other.name} begins, of which {who} owns nothing"
            yield says
        for other in started:
            (spend,) = other.spends
            first = mined_at[spend.outpoint.transaction] + (spend.relative_lock or 0)
            owners = sorted(other.signers - {who, LSP})
            yield (
                f"block {first}: {other.name} is valid; {' and '.join(owners)}, who published nothing, must answer, "
                f"or lose to an older state of it"
            )

    @staticmethod
    def _started(template: Template, published: set[str]) -> bool:
        return (
            template.kind is Kind.STATE
            and template.name not in published
            and any(s.outpoint.transaction in published for s in template.spends)
        )
