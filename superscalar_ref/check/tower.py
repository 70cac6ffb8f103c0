"""A client with a watchtower: updates, registrations that are late, and then the client is away for ever.

The client steps through its own table, the tower through its: it looks and chooses as the core's does
(``protocol.watchtower.look``). The LSP proposes versions and keeps signatures back; letters between client and tower
are late or never come; the client goes away at any moment. From then on the LSP publishes whatever it holds, first in
each block. A tower is *prompt* when it looks within ``ABSENCE`` blocks, and *late* when it was once down for longer
than a step, but not for longer than a commitment's delay. What it broadcasts is in the next block, unless something
that conflicts is. A thief publishes anything that is in the tower, at any time.

One node with ``STATES`` states. Each version pays the client more, in a larger channel: what it bought is not in the
older ones. Not searched: several layers, links, the end, reorgs, fees (tests/parties has them).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from superscalar_ref.check.breadth import Breadth, Found
from superscalar_ref.check.meter import Meter
from superscalar_ref.errors import Refused
from superscalar_ref.machine.step import BoundMachine, step
from superscalar_ref.machine.types import Event
from superscalar_ref.protocol.client import Client, Limits
from superscalar_ref.protocol.strategy import Strategy
from superscalar_ref.protocol.transaction import Kind
from superscalar_ref.protocol.watchtower import Case, Sight, for_tower, look

CLIENT, LSP, TOWER = "A", "L", "T"
STATES = 3
STEP, ABSENCE, DELAY = 3, 1, 7
"""Blocks. The step is longer than an absence and a confirmation together (R-STEP-DOMINATES)."""
DOWN = 5
"""For so many blocks a late tower is down: longer than a step, shorter than the delay with a confirmation."""
HORIZON = STEP * (STATES - 1) + DELAY + DOWN + 3
IN_TIME, LATE, POWERLESS = "P-TOWER-IN-TIME", "P-TOWER-LATE", "P-TOWER-POWERLESS"
PROPERTIES = (IN_TIME, LATE, POWERLESS)
"""What is decided here."""
NEVER = -1
FUNDING, KICKOFF = "funding:0", "kickoff:0"


def balance(version: int) -> int:
    """What a version pays the client (units)."""
    return 4 + 10 * version


def capacity(version: int) -> int:
    """Both sides of its channel in a version (units)."""
    return 10 + 10 * version


@dataclass(frozen=True)
class Chain:
    """What is confirmed, by the height of its block; nothing is before the kickoff, which is in block 1."""

    height: int = 0
    kickoff: int = NEVER
    version: int = NEVER
    """Of the state that is confirmed."""
    state: int = NEVER
    closer: str = ""
    """What spends the channel's output: ``poison``, or the LSP's ``commitment``."""
    closed: int = NEVER
    over: str = ""
    """Who has the LSP's side of the commitment: ``penalty`` or ``sweep``."""


@dataclass(frozen=True)
class Watched:
    """A client, its tower, and what is true beside them."""

    life: Client
    late: bool = False
    """Whether the tower may be down once."""
    held: frozenset[str] = frozenset({"state:0"})
    said: frozenset[str] = frozenset({"state:0"})
    """What the tower has said that it keeps, as far as the client has heard."""
    cases: tuple[Case, ...] = ()
    offered: int = 0
    """The version that was proposed last: the LSP may hold its state before anybody else."""
    away: bool = False
    chain: Chain = field(default_factory=Chain)
    slept: int = 0
    """Blocks since the tower has looked."""
    down: int = 0
    """Blocks for which a late tower can still be down; a tower that has been down is prompt from then on."""
    pending: tuple[str, ...] = ()
    """What the tower has broadcast at its last look."""
    broken: tuple[str, str] = ("", "")

    @property
    def counted(self) -> int:
        """The version that the client counts on."""
        return int(self.life.version)

    def entries(self) -> frozenset[str]:
        """Names of everything in the tower."""
        return frozenset(entry.name for case in self.cases for entry in case.entries)


Move = tuple[str, Watched]


def explore(
    client: BoundMachine[Client],
    tower: BoundMachine[Case],
    strategy: Strategy,
    until: frozenset[str] = frozenset(),
    meter: Meter | None = None,
) -> Found:
    """Search everything that can happen. ``until``: stop when one of these is broken. ``meter`` counts."""
    search = _Search(client, tower, strategy)
    every = []
    for late in (False, True):
        every.append(_run(search, search.start(late), until, meter))
        if until & every[-1].broken.keys():
            break
    return Found.of(every)


def hero(way: Iterable[str]) -> str:
    """Whose loss a way through this search is about: always the client's."""
    return CLIENT


def _run(search: _Search, start: Watched, until: frozenset[str], meter: Meter | None) -> Found:
    breadth = Breadth(start)
    breadth.run(search.moves, lambda here: here.broken[0], _examples, until, meter)
    return breadth.found(lambda _, scene: scene.broken[1])


def _examples(here: Watched) -> Iterator[str]:
    chain = here.chain
    if chain.version == here.offered > 0:
        yield IN_TIME
    if chain.closer == "poison" or chain.over == "penalty":
        yield LATE
    if chain.version != NEVER and here.entries():
        yield POWERLESS


@dataclass(frozen=True)
class _Search:
    client: BoundMachine[Client]
    tower: BoundMachine[Case]
    strategy: Strategy

    def start(self, late: bool) -> Watched:
        """Version 0 is counted on, and its state is in the tower."""
        limits = Limits(ceiling=10, margin=1, life=10, depth=1)
        life = Client("active", CLIENT, LSP, limits, version="0", owed=balance(0), newest_agreed="0")
        here = Watched(replace(life, capacity=capacity(0)), late, down=DOWN if late else 0)
        return self._registered(here, "state:0") or here

    def moves(self, here: Watched) -> Iterator[Move]:
        """Everything that may happen."""
        if here.away:
            yield from self._blocks(here)
            return
        yield from self._letters(here)
        yield from self._updates(here)
        # What it holds and has heard is of no use from here on, and what is on its way is lost.
        nothing: frozenset[str] = frozenset()
        limits = here.life.limits
        life = Client("active", CLIENT, LSP, limits, version=here.life.version, newest_agreed=here.life.newest_agreed)
        yield f"{CLIENT} goes away", replace(here, away=True, life=life, held=nothing, said=nothing)

    # -- off chain -----------------------------------------------------------------------------------------------------

    def _take(self, here: Watched, event: Event) -> Watched | None:
        """The client after an event of its life; None when its table refuses it."""
        missing = frozenset(name for name in here.held if for_tower(name)) - here.said
        try:
            after = step(self.client, replace(here.life, held=here.held, unregistered=missing), event).context
        except Refused:
            return None
        nothing: frozenset[str] = frozenset()
        return replace(here, life=replace(after, held=nothing, unregistered=nothing, kit=nothing))

    def _updates(self, here: Watched) -> Iterator[Move]:
        fresh = here.counted + 1
        if here.life.status == "active" and fresh < STATES:
            offer = Event.of(
                "update_proposal",
                LSP,
                version=str(fresh),
                balance=balance(fresh),
                capacity=capacity(fresh),
                kit=frozenset({f"state:{fresh}"}),
                poison=frozenset({f"poison:{fresh - 1}", f"penalty:{fresh - 1}"}),
            )
            after = self._take(here, offer)
            if after is not None:
                yield f"{LSP} proposes version {fresh}, with a larger channel", replace(after, offered=fresh)
        if here.life.status == "updating":
            state = f"state:{here.offered}"
            superseded = (f"poison:{here.offered - 1}", f"penalty:{here.offered - 1}")
            # Poison and revocation come after the newer state is complete (D-10, D-15).
            for name in (state, *(superseded if state in here.held else ())):
                if name not in here.held:
                    yield f"{CLIENT} holds the {_told(name)}", replace(here, held=here.held | {name})
        counts = self._take(here, Event.of("kit_complete", CLIENT))
        if counts is not None:
            yield f"{CLIENT} counts on version {counts.counted}", counts

    def _letters(self, here: Watched) -> Iterator[Move]:
        """Letters between client and tower, each on its way until it arrives; and two that it should not write."""
        kept = here.entries()
        for name in sorted(here.held - kept):
            after = self._registered(here, name)
            if after is not None:
                yield f"the {_told(name)} reaches {TOWER}", after
        for name in sorted((kept & here.held) - here.said):
            yield f"{CLIENT} hears that {TOWER} keeps the {_told(name)}", replace(here, said=here.said | {name})
        for name in ("kickoff:", f"commitment:{here.counted}"):
            after = self._registered(here, name)
            if after is not None and name not in kept:
                yield f"{CLIENT} hands {TOWER} the {_told(name)}", after

    def _registered(self, here: Watched, name: str) -> Watched | None:
        """The tower after a registration; None when its table refuses it."""
        kind, _, version = name.partition(":")
        outpoint = _outpoint(name)
        case = next((one for one in here.cases if one.outpoint == outpoint), None)
        case = case or Case("watching", TOWER, CLIENT, outpoint, depth=1)
        lock = STEP * (STATES - 1 - int(version)) if kind == Kind.STATE else 0
        event = Event.of(
            "register",
            CLIENT,
            entry=name,
            kind=kind,
            outpoint=outpoint,
            relative_lock=lock,
            lock_time=0,
            finished=True,
        )
        try:
            after = step(self.tower, case, event).context
        except Refused:
            return None
        others = (one for one in here.cases if one.outpoint != outpoint)
        return replace(here, cases=tuple(sorted((*others, after), key=lambda one: one.outpoint)))

    # -- on the chain --------------------------------------------------------------------------------------------------

    def _blocks(self, here: Watched) -> Iterator[Move]:
        """The next block: the tower looks or not, the LSP puts in what it likes, then what the tower has broadcast."""
        chain = here.chain
        yield from self._thief(here)
        # Once what it counts on is confirmed, or who has the old channel is settled, nothing is left to lose.
        if chain.height >= HORIZON or chain.over or chain.version >= here.counted:
            return
        if chain.kickoff == NEVER:
            # Before the kickoff nothing happens, however long the client is away.
            started = replace(here, chain=Chain(1, kickoff=1), slept=here.slept + 1)
            yield f"block 1: {LSP} publishes the kickoff", started
            return
        awake = self._looked(here)
        ways = [
            (f"{TOWER} looks, and publishes {_listed(awake.pending)}" if awake.pending else f"{TOWER} looks", awake)
        ]
        if here.slept < ABSENCE:
            ways.append((f"{TOWER} does not look", replace(here, slept=here.slept + 1, pending=())))
        elif here.down:
            ways.append((f"{TOWER} is down", replace(here, slept=here.slept + 1, down=here.down - 1, pending=())))
        for looked, seen in ways:
            for says, done in self._mined(seen):
                yield f"{looked}; block {chain.height + 1}: {says}", done

    def _looked(self, here: Watched) -> Watched:
        cases, answers = look(
            self.tower, self.strategy, here.cases, lambda case: _sight(here.chain, case), here.chain.height
        )
        # A late tower is down once.
        down = here.down if here.slept <= ABSENCE else 0
        return replace(here, cases=cases, pending=answers, slept=0, down=down)

    def _mined(self, here: Watched) -> Iterator[Move]:
        """Every block that the LSP can make, with the tower's broadcasts after it."""
        chain = replace(here.chain, height=here.chain.height + 1)
        options: list[tuple[str, Chain]] = [("", chain)]
        if chain.state == NEVER:
            for version in range(here.offered + 1):
                if chain.height >= chain.kickoff + STEP * (STATES - 1 - version):
                    published = replace(chain, version=version, state=chain.height)
                    options.append((f"{LSP}'s state {version}", published))
                    # A commitment has no lock: it may share the state's block.
                    options.append((f"{LSP}'s state {version} and its commitment", _closed(published, "commitment")))
        elif not chain.closer:
            options.append((f"{LSP}'s commitment on state {chain.version}", _closed(chain, "commitment")))
        elif chain.closer == "commitment" and chain.height >= chain.closed + DELAY:
            options.append((f"{LSP} sweeps its side", replace(chain, over="sweep")))
        for says, made in options:
            after, added = made, []
            for name in here.pending:
                done = _published(after, name)
                if done is not None:
                    after = done
                    added.append(f"{TOWER}'s {_told(name)}")
            told = ", ".join(filter(None, (says, *added))) or "nothing"
            yield told, _judged(replace(here, chain=after, pending=()))

    def _thief(self, here: Watched) -> Iterator[Move]:
        """What a thief of the tower's file can do that the LSP cannot."""
        chain = here.chain
        for case in here.cases:
            sight = _sight(chain, case)
            if sight.confirmed is None or sight.spent is not None:
                continue
            for entry in case.entries:
                says = f"a thief publishes the {_told(entry.name)} from {TOWER}"
                if entry.kind == Kind.KICKOFF:
                    yield says, _break(here, POWERLESS, "an exit begins that nobody wanted")
                elif entry.kind == Kind.COMMITMENT and entry.name != f"commitment:{here.offered}":
                    yield says, _break(here, POWERLESS, f"{LSP} takes all of it: {CLIENT} had revoked it")


def _told(name: str) -> str:
    kind, _, version = name.partition(":")
    return f"{kind} of version {version}" if version else kind


def _listed(names: Iterable[str]) -> str:
    return "the " + " and the ".join(map(_told, names))


def _outpoint(name: str) -> str:
    """What a transaction spends."""
    kind, _, version = name.partition(":")
    places = {"kickoff": FUNDING, "state": KICKOFF, "penalty": f"commitment {version}:0"}
    return places.get(kind, f"leaf {version}:0")


def _sight(chain: Chain, case: Case) -> Sight:
    """Where an output is confirmed and spent, in this small chain."""
    place, _, version = case.outpoint.removesuffix(":0").partition(" ")
    on = int(version or NEVER) == chain.version
    confirmed, spent = {
        "funding": (0, chain.kickoff),
        "kickoff": (chain.kickoff, chain.state),
        "leaf": (chain.state, chain.closed) if on else (NEVER, NEVER),
        "commitment": (chain.closed, chain.height if chain.over else NEVER)
        if on and chain.closer == "commitment"
        else (NEVER, NEVER),
    }[place]
    return Sight(None if confirmed == NEVER else confirmed, None if spent == NEVER else spent)


def _published(chain: Chain, name: str) -> Chain | None:
    """The chain with the tower's transaction in the block that is being made; None when it conflicts or is early."""
    kind, _, text = name.partition(":")
    version = int(text or NEVER)
    if kind == Kind.STATE:
        early = chain.kickoff == NEVER or chain.height < chain.kickoff + STEP * (STATES - 1 - version)
        return None if early or chain.state != NEVER else replace(chain, version=version, state=chain.height)
    if kind == Kind.POISON:
        return None if chain.version != version or chain.closer else _closed(chain, "poison")
    if kind == Kind.PENALTY:
        there = chain.version == version and chain.closer == "commitment" and not chain.over
        return replace(chain, over="penalty") if there else None
    return None


def _closed(chain: Chain, closer: str) -> Chain:
    over = "penalty" if closer == "poison" else ""
    return replace(chain, closer=closer, closed=chain.height, over=over)


def _judged(here: Watched) -> Watched:
    """Whether the client has lost what it was promised."""
    chain, owed = here.chain, balance(here.counted)
    if not here.late and NEVER < chain.version < here.counted:
        says = f"the state of version {chain.version} is confirmed, and {CLIENT} counts on version {here.counted}"
        return _break(here, IN_TIME, says)
    sure = min(owed, capacity(chain.version)) if chain.version != NEVER else owed
    if here.late and chain.over == "sweep" and balance(chain.version) < sure:
        says = f"{CLIENT} gets {balance(chain.version)}, and was sure of {sure}: of {owed} what the old channel holds"
        return _break(here, LATE, says)
    return here


def _break(here: Watched, name: str, says: str) -> Watched:
    return here if here.broken[0] else replace(here, broken=(name, says))
