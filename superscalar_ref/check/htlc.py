"""One payment that is not settled off chain, between a client and the LSP or passed on by it: a game, block by block.

Whoever is to lose by it is the hero, the other side decides when everything else happens, within what it may take: when
the hero looks, when the exit is over, when a commitment and a claim are in a block. Laws of this module:

* The numbers are the tightest that the constraints allow; the accepted expiries are those of ``htlc_limits``, and the
  payer's are those that the channel's table offers.
* A payee knows the preimage from the beginning; it begins its exit at a look of its choice. A payer begins at its first
  look at which the payment has expired: until then it may still be settled. Who has passed it on begins sooner, so
  that its timeout is due when it is out, and once more in the channel that pays it when it has found the preimage.
* Of two conflicting transactions in one block, the other side's is mined.

Heights are those of the tip when the payment is accepted, at 0, and after.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import product

from superscalar_ref.check.breadth import Found
from superscalar_ref.check.meter import Meter
from superscalar_ref.errors import ProtocolError, Refused, SpecError
from superscalar_ref.machine.step import BoundMachine, step
from superscalar_ref.machine.types import Event
from superscalar_ref.protocol.channel import Channel
from superscalar_ref.protocol.htlc_limits import HtlcLimits, check_expiry
from superscalar_ref.spec.expression import names
from superscalar_ref.spec.parameters import ParameterSet

CLIENT, LSP = "A", "L"
OUTLIVES, RETURNS, FORWARDED = "P-HTLC-OUTLIVES-EXIT", "P-HTLC-RETURNS", "P-HTLC-FORWARDED"
PROPERTIES = (OUTLIVES, RETURNS, FORWARDED)
"""What is decided here."""
WORLDS = (
    {"exit_budget_blocks": 4, "absence_blocks": 2, "exit_absence_blocks": 1, "lsp_absence_blocks": 1},
    {"exit_budget_blocks": 1, "absence_blocks": 1, "exit_absence_blocks": 1, "lsp_absence_blocks": 0},
    {"exit_budget_blocks": 3, "absence_blocks": 3, "exit_absence_blocks": 2, "lsp_absence_blocks": 2},
)
"""Blocks: the exit, and how long each is away."""
TIGHT = ("to_self_delay_blocks", "exit_margin_blocks", "htlc_cutoff_blocks", "forward_margin_blocks")
"""Made as small as the constraints allow."""
CONFIRMATION = 1
SPARE = 2
"""Blocks by which the window of accepted expiries is wider than one."""
_FARTHEST = 100
HELD, EXITING, LEAF, CLOSED, WON, LOST = "held", "exiting", "leaf", "closed", "won", "lost"
PASSED, OUT, OUT_LEAF, OUT_CLOSED, SHOWN = "passed on", "out", "out leaf", "out closed", "shown"
IN, IN_LEAF, IN_CLOSED = "in", "in leaf", "in closed"
"""Of a payment that was passed on: it goes out by one channel, and comes in by another when its preimage is shown."""


@dataclass(frozen=True)
class Ways:
    """What a design does otherwise (``[options]`` of a variant)."""

    scripts: str = "two-stage"
    """one-stage: the delay is in the HTLC's own script, before the claim."""
    expiry: str = "exit"
    """delta: a payee accepts what leaves time for its claim alone, as if its channel were on the chain."""
    forward: str = "early"
    """late: who has passed a payment on begins its exit when that has expired."""


@dataclass(frozen=True)
class Rules:
    """What a design says of payments, in a small world."""

    limits: HtlcLimits
    absence: int
    """Of the client, before its exit (blocks)."""
    exit_absence: int
    lsp_absence: int
    delay: int
    """``to_self_delay`` (blocks)."""
    ways: Ways


@dataclass(frozen=True)
class Payment:
    """Where a payment is, seen by its hero."""

    hero: str
    expiry: int
    stage: str = HELD
    height: int = 0
    since: int = 0
    """Blocks in this stage; while it is held: since the hero's last look."""
    looks: bool = False
    """Whether it is the hero's turn."""


Move = tuple[str, Payment]


def explore(
    channel: BoundMachine[Channel],
    parameters: ParameterSet,
    ways: Ways,
    until: frozenset[str] = frozenset(),
    meter: Meter | None = None,
    less: str = "",
) -> Found:
    """Play every payment that is accepted.

    ``until``: stop when one of these is broken. ``meter`` counts. ``less``: a number that is a block smaller than the
    constraints allow, to see how exact they are. Raises ``SpecError`` when the constraints leave no
    small number.
    """
    broken: dict[str, tuple[str, ...]] = {}
    seen: dict[str, tuple[str, ...]] = {}
    states = edges = depth = 0
    for world in WORLDS:
        rules = _rules(parameters, world, ways, less)
        for payment in (*_received(rules), *_offered(rules, channel), _forwarded(rules)):
            name = FORWARDED if payment.stage == PASSED else OUTLIVES if payment.hero == CLIENT else RETURNS
            if until & broken.keys():
                break
            game = _Game(rules)
            lost = game.lost(payment)
            states, edges, depth = states + len(game.known), edges + game.edges, max(depth, game.depth)
            if lost is not None:
                broken.setdefault(name, (_begins(payment, rules), *lost))
            elif game.won:
                seen.setdefault(name, (_begins(payment, rules),))
    if meter is not None:
        meter.add(states, edges, depth)
    return Found(states, edges, depth, broken, seen)


def follow(parameters: ParameterSet, told: Sequence[str]) -> tuple[Rules | None, int]:
    """The rules of a game that goes as it is told, to somebody's loss; None when there is none.

    Also how many lines some game goes along with. What was accepted is believed, and which scripts there are is found
    out. Raises ``SpecError`` as ``explore``.
    """
    most = 0
    for rules, payment in _believed(parameters):
        if not told or _begins(payment, rules) != told[0]:
            continue
        agreed = _along(_Game(rules), payment, told)
        if agreed == len(told):
            return rules, agreed
        most = max(most, agreed)
    return None, most


def _believed(parameters: ParameterSet) -> Iterator[tuple[Rules, Payment]]:
    """Every game that somebody may tell of: any expiry, any scripts, any time between the two channels."""
    for world, scripts in product(WORLDS, ("two-stage", "one-stage")):
        rules = _rules(parameters, world, Ways(scripts), "")
        for expiry in range(1, rules.limits.end + 1):
            yield rules, Payment(CLIENT, expiry, since=-1)
            yield rules, Payment(LSP, expiry, height=expiry)
        for forward, margin in product(("early", "late"), range(rules.limits.end)):
            limits = replace(rules.limits, forward_margin_blocks=margin)
            passed = replace(rules, limits=limits, ways=Ways(scripts, forward=forward))
            yield passed, _forwarded(passed)


def _along(game: _Game, start: Payment, told: Sequence[str]) -> int:
    """How many lines a game goes along with; the last of them only as somebody's loss."""
    most, seen, todo = 1, {(start, 1)}, [(start, 1)]
    while todo:
        here, done = todo.pop()
        most = max(most, done)
        if done == len(told):
            return done
        for says, after in game.moves(here):
            if says not in ("", told[done]) or (after.stage == LOST) != (says != "" and done == len(told) - 1):
                continue
            following = after, done + (says != "")
            if following not in seen:
                seen.add(following)
                todo.append(following)
    return most


def hero(way: tuple[str, ...]) -> str:
    """Who loses at the end of a way through this game."""
    return CLIENT if way[0].startswith(CLIENT) else LSP


def _begins(payment: Payment, rules: Rules) -> str:
    if payment.hero == CLIENT:
        return f"{CLIENT} accepts a payment that expires at {payment.expiry}, and knows its preimage; the tip is 0"
    if payment.stage == PASSED:
        comes = payment.expiry + rules.limits.forward_delta
        return f"{LSP} passes a payment on that expires at {payment.expiry}; it came with {comes}; the tip is 0"
    return f"{LSP} offers a payment that expires at {payment.expiry}; the tip is 0, and the end is {rules.limits.end}"


def _rules(parameters: ParameterSet, world: dict[str, int], ways: Ways, less: str) -> Rules:
    values: dict[str, int] = {**world, "confirmation_blocks": CONFIRMATION}
    for name in TIGHT:
        known = values.keys() | {name}
        ruling = [c for c in parameters.constraints if name in names(c.expression) and names(c.expression) <= known]
        fitting = (n for n in range(_FARTHEST) if all(c.holds({**values, name: n}) for c in ruling))
        least = next(fitting, None)
        if least is None:
            raise SpecError(
                str(parameters[name].place), f"no small value of '{name}' keeps its constraints", "payments"
            )
        values[name] = least - (name == less)
    exit_blocks, margin, cutoff = (
        values[n] for n in ("exit_budget_blocks", "exit_margin_blocks", "htlc_cutoff_blocks")
    )
    end = exit_blocks + margin + cutoff + SPARE
    limits = HtlcLimits(exit_blocks, margin, end, cutoff, forward_margin_blocks=values["forward_margin_blocks"])
    return Rules(
        limits,
        values["absence_blocks"],
        values["exit_absence_blocks"],
        values["lsp_absence_blocks"],
        values["to_self_delay_blocks"],
        ways,
    )


def _received(rules: Rules) -> Iterator[Payment]:
    """Every payment that the client accepts."""
    limits = replace(rules.limits, exit_blocks=0) if rules.ways.expiry == "delta" else rules.limits
    for expiry in range(1, rules.limits.end + 1):
        try:
            check_expiry(limits, 0, expiry)
        except ProtocolError:
            continue
        yield Payment(CLIENT, expiry, since=-1)


def _offered(rules: Rules, machine: BoundMachine[Channel]) -> Iterator[Payment]:
    """Every payment that the LSP's table offers: the earliest does not matter to it, the latest does."""
    channel = Channel("live", LSP, CLIENT, 20, 10, mine=0, theirs=0, revoked=-1, ready=True, synced=True, most_htlcs=1)
    window = {"earliest": rules.limits.earliest(0), "latest": rules.limits.latest()}
    for expiry in range(rules.limits.earliest(0), rules.limits.end + 1):
        event = Event.of("offer", LSP, payment_hash="h", amount_msat=1, expiry=expiry, **window)
        try:
            step(machine, channel, event)
        except Refused:
            continue
        yield Payment(LSP, expiry, height=expiry)


def _forwarded(rules: Rules) -> Payment:
    """A payment that was passed on, at the first look at which the LSP may begin its exit for it."""
    expiry = rules.limits.earliest(0)
    late = rules.ways.forward == "late"
    begins = next(tip for tip in range(expiry + 1) if tip >= expiry or rules.limits.must_take_back(tip, expiry))
    return Payment(LSP, expiry, PASSED, expiry if late else begins)


@dataclass
class _Game:
    rules: Rules
    known: dict[Payment, tuple[str, ...] | None] = field(default_factory=dict)
    edges: int = 0
    depth: int = 0
    won: bool = False
    """Whether the hero gets its money on the chain in some play."""

    def lost(self, here: Payment) -> tuple[str, ...] | None:
        """The shortest way to the hero's loss that the other side can force; None when the hero wins."""
        if here in self.known:
            return self.known[here]
        found: tuple[str, ...] | None = None
        self.depth = max(self.depth, here.height)
        self.won |= here.stage == WON
        if here.stage == LOST:
            found = ()
        elif here.stage != WON:
            ways = []
            for says, after in self.moves(here):
                self.edges += 1
                way = self.lost(after)
                ways.append(None if way is None else (says, *way) if says else way)
            losing = [way for way in ways if way is not None]
            # The hero loses when each of its choices does; the other side needs one.
            if losing and (not here.looks or len(losing) == len(ways)):
                found = min(losing, key=len)
        self.known[here] = found
        return found

    def moves(self, here: Payment) -> Iterator[Move]:
        """What may be next: the hero's choices at a look, else everything that the other side and time can do."""
        later = replace(here, height=here.height + 1, since=here.since + 1)
        if here.stage in (PASSED, OUT, OUT_LEAF, OUT_CLOSED, SHOWN, IN, IN_LEAF, IN_CLOSED):
            yield from self._passed_on(here, later)
        elif here.stage == HELD:
            yield from self._held(here, later)
        elif here.stage == EXITING:
            if here.since >= 1:
                yield f"block {here.height}: the leaf is mined", replace(here, stage=LEAF, since=0)
            if here.since < self.rules.limits.exit_blocks:
                yield "", later
        elif here.stage == LEAF:
            yield from self._leaf(here, later)
        else:
            yield from self._closed(here, later)

    def _held(self, here: Payment, later: Payment) -> Iterator[Move]:
        if here.looks:
            begins = f"block {here.height}: {here.hero} looks, and begins its exit"
            yield begins, replace(here, stage=EXITING, since=0, looks=False)
            if here.hero == CLIENT:
                yield f"block {here.height}: {here.hero} looks, and waits", replace(later, since=1, looks=False)
            return
        if here.hero == CLIENT and here.height > here.expiry:
            yield f"{CLIENT} has not begun its exit, and {LSP} can take the payment back", replace(here, stage=LOST)
            return
        if here.since >= 0:
            yield "", replace(here, looks=True)
        if here.since < (self.rules.absence if here.hero == CLIENT else self.rules.lsp_absence):
            yield "", later

    def _away(self, here: Payment) -> int:
        """Blocks between two looks of the hero during its exit."""
        return self.rules.exit_absence if here.hero == CLIENT else self.rules.lsp_absence

    def _leaf(self, here: Payment, later: Payment) -> Iterator[Move]:
        end = self.rules.limits.end
        if here.hero == LSP and here.height > end:
            says = f"block {here.height}: the alternate is mined, and {CLIENT} has the whole channel"
            yield f"{says}, the payment too", replace(here, stage=LOST)
            return
        if here.since >= 1:
            says = f"block {here.height}: {here.hero}'s commitment is mined"
            yield says, replace(here, stage=CLOSED if here.hero == CLIENT else WON, since=0)
        if here.since < self._away(here) + CONFIRMATION:
            yield "", later

    def _closed(self, here: Payment, later: Payment) -> Iterator[Move]:
        if here.height > here.expiry:
            says = f"block {here.height}: {LSP} takes the payment back by its timeout, and {CLIENT} knows the preimage"
            yield says, replace(here, stage=LOST)
            return
        first = self.rules.delay if self.rules.ways.scripts == "one-stage" else 1
        if here.since >= first:
            yield f"block {here.height}: {here.hero}'s claim is mined", replace(here, stage=WON)
        if here.since < first - 1 + self._away(here) + CONFIRMATION:
            yield "", later

    def _passed_on(self, here: Payment, later: Payment) -> Iterator[Move]:
        """Everything happens as late, or as soon, as the others want: the LSP has no choice but to go on."""
        if here.stage == OUT_CLOSED:
            yield from self._out_closed(here, later)
            return
        if here.stage == IN_CLOSED and here.height > here.expiry + self.rules.limits.forward_delta:
            says = f"block {here.height}: the payer takes the payment back by its timeout"
            yield f"{says}, and {LSP} has paid it on", replace(here, stage=LOST)
            return
        away, mined = self.rules.lsp_absence, self.rules.lsp_absence + CONFIRMATION
        first, last, says, stage = {
            PASSED: (0, away, f"{LSP} looks, and begins the exit of the channel that it went out by", OUT),
            OUT: (1, self.rules.limits.exit_blocks, "that leaf is mined", OUT_LEAF),
            OUT_LEAF: (1, mined, f"{LSP}'s commitment on it is mined", OUT_CLOSED),
            SHOWN: (0, away, f"{LSP} finds the preimage, and begins the exit of the channel that it came in by", IN),
            IN: (1, self.rules.limits.exit_blocks, "that leaf is mined", IN_LEAF),
            IN_LEAF: (1, mined, f"{LSP}'s commitment on it is mined", IN_CLOSED),
            IN_CLOSED: (1, mined, f"{LSP}'s claim is mined", WON),
        }[here.stage]
        if here.since >= first:
            yield f"block {here.height}: {says}", replace(here, stage=stage, since=0)
        if here.since < last:
            yield "", later

    def _out_closed(self, here: Payment, later: Payment) -> Iterator[Move]:
        """The payee may claim as long as the LSP's timeout is not mined, and in the block in which it would be."""
        says = f"block {here.height}: the payee claims with its preimage"
        yield says, replace(here, stage=SHOWN, since=0)
        if here.height < here.expiry:
            yield "", replace(later, since=0)
        elif here.since < self.rules.lsp_absence + CONFIRMATION:
            yield "", later
        else:
            yield f"block {here.height}: {LSP}'s timeout is mined", replace(here, stage=WON)
