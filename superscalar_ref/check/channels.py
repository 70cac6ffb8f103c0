"""Both sides of one channel, stepped through its table, while the leaf that it is in is replaced, and given up (D-15).

The sides are honest; messages are late, and lost with the connection; the LSP proposes what it likes and gives up when
it likes. What a signer of the leaf's state does is what the session's table lets it do: it signs when its own
commitment on the new outpoint is held. A crash is a lost connection here: every state of the table that another side
can know of is durable (tests/parties has crashes at each letter).

Ghosts record what is true: which commitments each side holds and has signed, who has signed which leaf state, and who
counts on which.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from superscalar_ref.check.breadth import Breadth, Found
from superscalar_ref.check.meter import Meter
from superscalar_ref.errors import Refused
from superscalar_ref.machine.step import BoundMachine, Stepped, chosen, step
from superscalar_ref.machine.types import Action, Event
from superscalar_ref.protocol import channel as rules
from superscalar_ref.protocol.channel import Channel, view
from superscalar_ref.protocol.client import Client, Limits

CLIENT, LSP = "A", "L"
NAMES = (CLIENT, LSP)
BUDGETS = ((True, 1, 1), (False, 1, 0), (True, 2, 0))
"""Whether the payment is over before, how many versions are proposed, how often a connection is lost."""
AMOUNT = 3
SAT = 2
"""What a satoshi is worth here (msat), so that the payment is no whole one."""
MOST = 9
"""More commitments, or more letters on their way to one side, than the tables ever need here."""
CLOSABLE, REVOKED, GOES_ON = "P-CHANNEL-CLOSABLE", "P-CHANNEL-REVOKED", "P-CHANNEL-GOES-ON"
VALUE = "P-CHANNEL-VALUE"
PROPERTIES = (CLOSABLE, REVOKED, GOES_ON, VALUE)
"""What is decided here."""
_STUCK = "the two sides never come to rest again"
_ENDLESS = "the two sides go on without end"
_MOST = 60_000
"""Scenes: several times those of the whole table. A table that lacks something may have no end of them."""
_OWN = 50
"""Own steps that follow one event: a table that forgets to note what it did does it for ever."""

Wire = tuple[Event, ...]
T = TypeVar("T")


@dataclass(frozen=True)
class Pair:
    """Both sides, what is on its way to each, and what is true beside them. Sides, and pairs, are (client, LSP)."""

    sides: tuple[Channel, Channel]
    wires: tuple[Wire, Wire] = ((), ())
    holds: tuple[frozenset[str], frozenset[str]] = (frozenset("0"), frozenset("0"))
    """Outpoints on which each holds its newest commitment, complete."""
    gave: tuple[frozenset[str], frozenset[str]] = (frozenset("0"), frozenset("0"))
    """Outpoints on which each has signed the other's newest commitment."""
    newest: int = 0
    """The version that was proposed last."""
    signing: tuple[int, int] = (0, 0)
    """The version that each is signing, as far as it knows; 0 for none."""
    signed: tuple[frozenset[int], frozenset[int]] = (frozenset({0}), frozenset({0}))
    """Versions whose leaf state each has signed."""
    counts: tuple[int, int] = (0, 0)
    firsts: frozenset[tuple[int, int]] = frozenset()
    """(version, the client's balance in it) for which the ceremony signed first commitments of its own."""
    paid: bool = False
    cuts: int = 0
    updates: int = 1
    """How many versions the LSP proposes."""
    early: bool = False
    """Whether a payee counts a payment as its own as soon as it gives the preimage."""
    most_cuts: int = 0
    """How often the connection is lost with messages on their way; after silence it is made again whenever it helps."""
    broken: tuple[str, str] = ("", "")


Move = tuple[str, Pair]


def explore(
    channel: BoundMachine[Channel],
    client: BoundMachine[Client],
    until: frozenset[str] = frozenset(),
    meter: Meter | None = None,
    commitments: str = "both",
    amounts: str = "msat",
) -> Found:
    """Search everything that two sides can do. ``until``: stop when one of these is broken. ``meter`` counts.

    A channel that the table lets open after its leaf was replaced is searched as well.
    ``commitments``: client, when the LSP gets none of its own on a new outpoint, and signs the leaf without.
    ``amounts``: sat, when each side counts in whole sat what a payment leaves it; early, when a payee counts a payment
    before it is irrevocable.
    """
    search = _Search(channel, client, commitments == "client", amounts == "sat")
    every: list[Found] = []
    late = _opens_late(channel)
    for paid, updates, cuts in BUDGETS:
        start = _start(paid, updates, cuts, amounts == "early")
        every += [search.run(one, until, meter) for one in ((start, _opened_late(start)) if late else (start,))]
        if until & every[-1].broken.keys():
            break
    return Found.of(every)


def hero(way: Sequence[str]) -> str:
    """Who loses at the end of a way through this search."""
    return LSP if f"{CLIENT} can publish" in way[-1] or f" and {LSP} has " in way[-1] else CLIENT


def _start(paid: bool, updates: int, cuts: int, early: bool) -> Pair:
    sides = tuple(
        Channel("live", me, peer, 20, 10, mine=0, theirs=0, revoked=-1, ready=True, synced=True, most_htlcs=1)
        for me, peer in ((CLIENT, LSP), (LSP, CLIENT))
    )
    return Pair((sides[0], sides[1]), paid=paid, updates=updates, most_cuts=cuts, early=early)


def _put(pair: tuple[T, T], place: int, value: T) -> tuple[T, T]:
    return (value, pair[1]) if place == 0 else (pair[0], value)


def _opens_late(channel: BoundMachine[Channel]) -> bool:
    """Whether the table lets a side open a channel where another first commitment of the other's stands (CHN-71)."""
    event = Event.of("take_over", LSP, complete=True, standing=True)
    return chosen(channel, Channel("opening", LSP, CLIENT, 20, 10), event) is not None


def _opened_late(start: Pair) -> Pair:
    """The same, on the second version of the leaf: nobody revokes the first commitments on the first one."""
    first, second = (replace(side, outpoints=("1",)) for side in start.sides)
    both, here = frozenset({0, 1}), frozenset("1")
    stands = frozenset({(0, start.sides[0].balance_msat)})
    return replace(
        start,
        sides=(first, second),
        holds=(here, here),
        gave=(here, here),
        newest=1,
        signed=(both, both),
        counts=(1, 1),
        firsts=stands,
    )


@dataclass(frozen=True)
class _Search:
    channel: BoundMachine[Channel]
    client: BoundMachine[Client]
    one_sided: bool = False
    whole: bool = False
    known: dict[tuple[Channel, Event], Stepped[Channel] | None] = field(default_factory=dict)
    """What the table makes of an event: looked up, since one side's steps are met in many places."""

    def run(self, start: Pair, until: frozenset[str], meter: Meter | None) -> Found:
        """Everything that may follow, and whether the two sides can always come to rest."""
        breadth = Breadth(start)
        breadth.run(self.moves, _fault, _examples, until, meter, _MOST)
        last = _STUCK
        if breadth.endless:
            breadth.broken[GOES_ON], last = _MOST, _ENDLESS
        elif GOES_ON not in breadth.broken and not until & breadth.broken.keys():
            stuck = breadth.stuck(_rest, _fault)
            if stuck is not None:
                breadth.broken[GOES_ON] = stuck
        return breadth.found(lambda name, scene: scene.broken[1] or (last if name == GOES_ON else ""))

    # -- what may happen -----------------------------------------------------------------------------------------------

    def moves(self, here: Pair) -> Iterator[Move]:
        """Everything that may happen."""
        if any(side.mine > MOST for side in here.sides) or any(len(wire) > MOST for wire in here.wires):
            return  # Only a table that lacks something goes on like that, and never comes to rest.
        for place, name in enumerate(NAMES):
            if here.wires[place] and not self._waits(here, place):
                yield self._delivered(here, place, name)
            yield from self._own(here, place, name)
        yield from self._ceremony(here)
        if here.wires == ((), ()):
            if not _rest(here):
                yield "after silence they connect again", self._cut(here)
        elif here.cuts < here.most_cuts:
            yield "the connection is lost, and made again", replace(self._cut(here), cuts=here.cuts + 1)

    @staticmethod
    def _waits(here: Pair, place: int) -> bool:
        """Whether the next message is for an outpoint that its receiver is about to name: it waits for that."""
        return here.wires[place][0].name == "move_ready" and here.sides[place].status == "quiescent"

    def _delivered(self, here: Pair, place: int, name: str) -> Move:
        event, rest = here.wires[place][0], here.wires[place][1:]
        short = replace(here, wires=_put(here.wires, place, rest))
        after = self._take(short, place, _judged(here, place, event))
        return f"{name} gets '{event.name}'", after or short

    def _own(self, here: Pair, place: int, name: str) -> Iterator[Move]:
        """What a side does by itself, or because of the factory."""
        side, signing = here.sides[place], here.signing[place]
        newest = side.outpoints[-1]
        wanted: list[tuple[str, Event]] = []
        if name == CLIENT and not here.paid:
            fields = {"amount_msat": AMOUNT, "expiry": 1, "earliest": 0, "latest": 2}
            wanted.append((f"{name} offers a payment", Event.of("offer", name, payment_hash="h", **fields)))
        if signing and str(signing) not in side.outpoints:
            if side.status == "quiescent":
                wanted.append((f"{name} names outpoint {signing}", Event.of("move", name, outpoint=str(signing))))
            elif name not in side.quiet:
                wanted.append((f"{name} asks for quiet", Event.of("quiesce", name)))
        if not signing and side.status == "quiescent":
            wanted.append((f"{name} ends the quiet", Event.of("resume", name)))
        if len(side.outpoints) > 1:
            counted = here.counts[place] == int(newest)
            if name not in side.left and (counted or signing == int(newest)):
                says = f"{name} {'holds the leaf state, and says so' if counted else 'says so without the leaf state'}"
                wanted.append((says, Event.of("complete", name, held=counted)))
            answers = side.given_up == frozenset({side.peer}) and not side.kept
            if (answers or not side.given_up) and not counted and signing != int(newest):
                done = int(newest) in here.signed[place]
                says = f"{name} gives outpoint {newest} up{', although it has signed for it' if done else ''}"
                wanted.append((says, Event.of("abandon_move", name, outpoint=newest, signed=done)))
        for says, event in wanted:
            after = self._take(here, place, event)
            if after is not None:
                yield says, replace(after, paid=here.paid or event.name == "offer")

    def _ceremony(self, here: Pair) -> Iterator[Move]:
        """What becomes of the leaf's next version."""
        fresh = here.newest + 1
        if here.signing == (0, 0) and fresh <= here.updates:
            proposed = replace(here, newest=fresh, signing=(fresh, fresh))
            yield f"{LSP} proposes version {fresh} of the leaf, with the channel's own commitments", proposed
            if self._takes_firsts():
                balance = here.sides[0].balance_msat
                says = f"{LSP} proposes version {fresh} of the leaf, with first commitments of its own, and A agrees"
                yield says, replace(proposed, firsts=here.firsts | {(fresh, balance)})
        for place, name in enumerate(NAMES):
            version = here.signing[place]
            if not version:
                continue
            ready = str(version) in here.holds[place] or (self.one_sided and name == LSP)
            if version not in here.signed[place] and ready:
                after = replace(here, signed=_put(here.signed, place, here.signed[place] | {version}))
                yield f"{name} signs the leaf state of version {version}", _checked(after)
            complete = all(version in signed for signed in here.signed)
            if complete and (name == CLIENT or here.counts[0] == version):
                counted = replace(
                    here,
                    counts=_put(here.counts, place, version),
                    signing=_put(here.signing, place, 0),
                )
                yield f"{name} counts on version {version}", _checked(counted)
            elif name == LSP:
                yield f"{LSP} gives version {version} up", replace(here, signing=_put(here.signing, 1, 0))
            elif not here.signing[1] and here.counts[1] != version:
                yield f"{CLIENT} hears that version {version} is given up", replace(here, signing=(0, 0))

    def _takes_firsts(self) -> bool:
        """Whether the client's table takes a version that signs first commitments for a channel that lives."""
        limits = Limits(ceiling=10, margin=1, life=10, depth=1)
        nothing: frozenset[str] = frozenset()
        offer = Event.of(
            "update_proposal",
            LSP,
            version="1",
            balance=0,
            capacity=0,
            kit=nothing,
            live=frozenset({CLIENT}),
            carried=nothing,
        )
        try:
            step(self.client, Client("active", CLIENT, LSP, limits, version="0", newest_agreed="0"), offer)
        except Refused:
            return False
        return True

    # -- one side's steps ----------------------------------------------------------------------------------------------

    def _take(self, here: Pair, place: int, event: Event) -> Pair | None:
        """One event of a side, and the own steps that follow at once; None when its table refuses it."""
        after = self._step(here, place, event)
        if after is None:
            return None
        for _ in range(_OWN):
            side = after.sides[place]
            following = next(filter(None, (self._step(after, place, own) for own in _own_steps(side))), None)
            if following is None:
                return _checked(after)
            after = following
        return replace(after, broken=(GOES_ON, _ENDLESS))

    def _step(self, here: Pair, place: int, event: Event) -> Pair | None:
        key = here.sides[place], event
        if key not in self.known:
            self.known[key] = self._stepped(*key)
        stepped = self.known[key]
        if stepped is None:
            return None
        side = stepped.context
        if self.whole and not side.htlcs:
            side = replace(side, balance_msat=side.balance_msat - side.balance_msat % SAT)
        holds, gave = here.holds[place], here.gave[place]
        sent: list[Event] = []
        for action in stepped.actions:
            if action.kind == "send":
                sent.append(_letter(side, action))
            elif action.kind == "persist":
                every, newest = frozenset(side.outpoints), frozenset(side.outpoints[-1:])
                match action.name:
                    case "commitment":
                        holds = every
                    case "move":
                        holds |= newest
                    case "their_commitment":
                        gave = every
                    case "their_move":
                        gave |= newest
        if self.one_sided and NAMES[place] == LSP:
            holds = here.holds[place]
        other = 1 - place
        return replace(
            here,
            sides=_put(here.sides, place, side),
            holds=_put(here.holds, place, holds),
            gave=_put(here.gave, place, gave),
            wires=_put(here.wires, other, (*here.wires[other], *sent)),
        )

    def _stepped(self, side: Channel, event: Event) -> Stepped[Channel] | None:
        try:
            return step(self.channel, side, event)
        except Refused:
            return None

    def _cut(self, here: Pair) -> Pair:
        """What was on its way is lost; each tells the other where it stands."""
        after = replace(here, wires=((), ()))
        for place, name in enumerate(NAMES):
            lost = self._step(after, place, Event.of("disconnected", name))
            after = lost or after
        letters = []
        for side in after.sides:
            moving = side.outpoints[-1] if side.status == "moving" else ""
            fields = {"next_commitment": side.mine + 1, "next_revocation": side.revoked + 1}
            letters.append(Event.of("reestablish", side.me, moving=moving, **fields))
        return replace(after, wires=((letters[1],), (letters[0],)))


def _own_steps(side: Channel) -> Iterator[Event]:
    """What a side does by itself as soon as its table takes it: claim, sign, answer a wish for quiet."""
    if not side.synced:
        return
    for htlc in side.htlcs:
        if htlc.payer != side.me and htlc.stage == rules.FINAL and not htlc.removal:
            yield Event.of("settle", side.me, number=htlc.number, valid=True)
    yield Event.of("sign", side.me)
    if side.status == "live" and side.peer in side.quiet:
        yield Event.of("quiesce", side.me)


def _letter(side: Channel, action: Action) -> Event:
    """A message as the event that it is to the peer."""
    match action.name:
        case "commitment_signed":
            said = view(side, side.peer, newest=True)
            outpoints = frozenset(side.outpoints)
            return Event.of(action.name, side.me, number=said.number, balance=said.to_other_msat, outpoints=outpoints)
        case "add":
            htlc = side.htlcs[-1]
            fields = {"number": htlc.number, "amount_msat": htlc.amount_msat, "expiry": htlc.expiry}
            return Event.of(action.name, side.me, payment_hash=htlc.payment_hash, **fields)
        case "revoke_and_ack" | "fulfil" | "move_signed":
            return Event.of(action.name, side.me, valid=True, **dict(action.fields))
        case _:
            return Event.of(action.name, side.me, **dict(action.fields))


def _judged(here: Pair, place: int, event: Event) -> Event:
    """A signature as its receiver finds it: for the commitment that it computed, on each outpoint that it is on."""
    if event.name != "commitment_signed":
        return event
    side = here.sides[place]
    said = view(side, side.me)
    given = event["outpoints"]
    assert isinstance(given, frozenset)
    same = (said.number, said.to_other_msat) == (event["number"], event["balance"])
    return Event.of(event.name, event.by, valid=same and given >= frozenset(side.outpoints))


# -- what is looked at -------------------------------------------------------------------------------------------------


def _checked(here: Pair) -> Pair:
    """The same, with what is wrong in it."""
    if here.broken[0]:
        return here
    wrong = _miscounted(here)
    if wrong:
        return replace(here, broken=(VALUE, wrong))
    for place, name in enumerate(NAMES):
        side = here.sides[place]
        may = {here.counts[place]} | {version for version in here.signed[place] if version > here.counts[place]}
        lacking = sorted(str(version) for version in may if str(version) not in here.holds[place])
        if lacking:
            says = f"version {lacking[0]} may confirm, and {name} has no newest commitment on its outpoint"
            return replace(here, broken=(CLOSABLE, says))
        if not _quiet(here, side):
            continue
        complete = {str(version) for version in here.signed[0] & here.signed[1]}
        standing = sorted((here.gave[place] & complete) - set(side.outpoints))
        if standing:
            says = f"{side.peer} can publish its newest commitment on outpoint {standing[0]}, which was left"
            return replace(here, broken=(REVOKED, says))
        # What each had then; who has more by now loses by it.
        shares = [(version, stood if name == CLIENT else side.capacity_msat - stood) for version, stood in here.firsts]
        stale = sorted(one for one, stood in shares if str(one) in complete and stood < side.balance_msat)
        if stale:
            says = f"{side.peer} can publish the first commitment of version {stale[0]}: it pays by old balances"
            return replace(here, broken=(REVOKED, says))
    return here


def _miscounted(here: Pair) -> str:
    """Why the two sides do not count the channel's money alike, to the msat, at this very moment; empty when they do.

    A payment that one side has done with, and the other not yet, is counted by both or by neither meanwhile.
    """
    mine, theirs = here.sides
    between = 0
    for side, other in ((mine, theirs), (theirs, mine)):
        for htlc in side.htlcs:
            if htlc.removal == rules.FULFIL and other.htlc(htlc.payer, htlc.number) is None:
                between += htlc.amount_msat if htlc.payer == side.me else -htlc.amount_msat
    counted = mine.balance_msat + _early(here, mine), theirs.balance_msat + _early(here, theirs)
    if sum(counted) != mine.capacity_msat + between:
        says = f"{CLIENT} counts {counted[0]} msat for itself and {LSP} has {counted[1]}"
        return f"{says}, of {mine.capacity_msat}, with {between} that both may count"
    for holder, signer in ((mine, theirs), (theirs, mine)):
        if holder.mine != signer.theirs:
            continue  # The signature is on its way.
        held, signed = view(holder, holder.me, newest=True), view(signer, holder.me, newest=True)
        amounts = [
            (said.to_holder_msat, said.to_other_msat, *sorted((h.payer, h.number, h.amount_msat) for h in said.htlcs))
            for said in (held, signed)
        ]
        balances = held.to_holder_msat, held.to_other_msat
        whole = sum(balances) + sum(htlc.amount_msat for htlc in held.htlcs)
        if amounts[0] != amounts[1] or whole != holder.capacity_msat or min(balances) < 0:
            return f"{holder.me} holds a commitment that gives {amounts[0]}, and {signer.me} has signed {amounts[1]}"
    return ""


def _early(here: Pair, side: Channel) -> int:
    """What a side counts before it is irrevocable (msat)."""
    given = [htlc for htlc in side.htlcs if htlc.payer != side.me and htlc.removal == rules.FULFIL]
    return sum(htlc.amount_msat for htlc in given) if here.early else 0


def _quiet(here: Pair, side: Channel) -> bool:
    """Whether nothing is under way."""
    return here.wires == ((), ()) and side.synced and not (side.htlcs or side.resign or side.awaits_revocation)


def _rest(here: Pair) -> bool:
    """Whether the channel could be paid through right now, and the factory is not being updated."""
    first, second = here.sides
    calm = all(_quiet(here, side) and side.status == "live" and not side.quiet for side in here.sides)
    return calm and here.signing == (0, 0) and first.outpoints == second.outpoints


def _fault(here: Pair) -> str:
    return here.broken[0]


def _examples(here: Pair) -> Iterator[str]:
    if all(side.status == "live" and len(side.outpoints) > 2 for side in here.sides):
        yield CLOSABLE
    if _rest(here) and here.sides[0].departures and here.paid:
        yield REVOKED
        yield VALUE
    if _rest(here) and here.newest == here.counts[0] == here.counts[1] > here.sides[0].departures > 0:
        yield GOES_ON
