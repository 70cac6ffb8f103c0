"""An assisted exit, block by block: who keeps to the table is paid, or keeps what it has, whatever the other does.

One side is the hero and does what ``spec/machines/assisted_exit.toml`` takes, at each of its looks; the other side does
all that it could, knows the order of blocks, and decides when the hero looks, within what is assumed. Laws:

* The time limits are every pair that the table takes, at the shortest gap, and pairs in the other order.
* Of two conflicting transactions in one block, the other side's is mined. What is not deep may be taken back once.
* Who knows the factory key takes what is locked inside at once; a claim shows it, published or void.
* The lock inside is taken back above its expiry, by the client, also from an LSP that has not claimed it on chain yet.

Heights are those of the tip; the LSP's output, if it comes, is mined at 0 when the LSP is the hero.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from superscalar_ref.check.breadth import Breadth, Found
from superscalar_ref.check.meter import Meter
from superscalar_ref.machine.step import BoundMachine, chosen, step
from superscalar_ref.machine.types import Event
from superscalar_ref.protocol.assisted_exit import Exit, least_gap

CLIENT, LSP = "A", "L"
ATOMIC = "P-HANDOVER-ATOMIC"
PROPERTIES = (ATOMIC,)
"""What is decided here."""
WORLDS = ((1, 0, 1), (2, 1, 1), (2, 1, 2), (3, 2, 1))
"""Confirmations that are final, blocks between two looks of the hero, blocks of the channel's exit."""
CONFIRMATION = 1
REFUND = 4
"""The height from which on the LSP may take its output back."""
NONE, OPEN, CLAIMED, REFUNDED, GONE = "none", "open", "claimed", "refunded", "gone"
LOCKED, EXITING, LEAF, CLOSED, TAKEN, BACK, FREE = "locked", "exiting", "leaf", "closed", "taken", "back", "free"


@dataclass(frozen=True)
class Play:
    """One moment of an exit."""

    hero: str
    exit: Exit
    """As the hero's table has it."""
    height: int = 0
    out: str = NONE
    """The LSP's output on chain."""
    at: int = 0
    """The height at which that came about."""
    inside: str = LOCKED
    since: int = 0
    """Blocks in this stage of the LSP's own exit."""
    away: int = 0
    """Blocks since the hero's last look."""
    claim: bool = False
    """Whether a claim is published: whoever reads it knows the key."""
    void: bool = False
    """Whether the client's claim is worth nothing: the pre-signature was another's."""
    refund: int = -1
    """The height at which the LSP published its refund; below 0: not yet."""
    known: bool = False
    """Whether the LSP knows the key."""
    undone: bool = False
    """Whether something was taken back already."""


Move = tuple[str, Play]


def explore(
    machine: BoundMachine[Exit],
    order: str = "money",
    until: frozenset[str] = frozenset(),
    meter: Meter | None = None,
    less: int = 0,
) -> Found:
    """Play every exit that the table takes.

    ``order``: who gives first; ``key``: the client gives its key, and the LSP pays after that. ``until``: stop when
    one of these is broken. ``meter`` counts. ``less``: blocks by which the gap is shorter than the table asks for.
    """
    found = []
    for world in WORLDS:
        for start in _starts(machine, world, order, less):
            game = _Game(machine, start, world[1])
            search = Breadth(start)
            search.run(game.moves, _fault, _examples, until, meter)
            one = search.found(lambda _, here: _tells(here) if _fault(here) else "")
            told = {name: (_begins(start), *filter(None, way)) for name, way in one.broken.items()}
            found.append(replace(one, broken=told))
            if until & told.keys():
                return Found.of(found)
    return Found.of(found) if found else Found(0, 0, 0, {}, {})


def hero(way: tuple[str, ...]) -> str:
    """Who loses at the end of a way through this game."""
    return CLIENT if way[-1].startswith(f"{CLIENT} ") else LSP


def _begins(start: Play) -> str:
    exit_ = start.exit
    says = f"{CLIENT} locks its balance inside until {exit_.expiry}; {LSP}'s output on chain is for {LSP} from"
    more = f", with the key that it gave {LSP} in the factory before" if exit_.handed_over else ""
    return f"{says} {exit_.refund_height} on{more}; the tip is 0"


def _starts(machine: BoundMachine[Exit], world: tuple[int, int, int], order: str, less: int) -> Iterator[Play]:
    """Each exit that the hero's table begins."""
    depth, away, path = world
    base = Exit("offered", CLIENT, LSP, depth, CONFIRMATION, away, path, REFUND, 0)
    gap = least_gap(base)
    for expiry in sorted({1, 2, REFUND, REFUND + gap - 1, REFUND + gap}):
        for handed_over in (False, True):
            wanted = replace(base, expiry=expiry, handed_over=handed_over)
            locked = _take(machine, wanted, Event.of("lock_inside", CLIENT))
            if less and expiry == REFUND + gap - less and not handed_over:
                locked = replace(wanted, status="inside")
            if locked is None:
                continue
            if expiry in {1, REFUND + gap - less}:
                yield Play(CLIENT, locked, known=handed_over or order == "key")
            if handed_over:
                continue
            paid = _take(machine, locked, Event.of("lock_on_chain", LSP, on_chain=9, inside=10, fee=1))
            if less and expiry == REFUND + gap - less:
                paid = replace(locked, published=True)
            if paid is not None:
                yield Play(LSP, paid, out=OPEN)


def _take(machine: BoundMachine[Exit], exit_: Exit, event: Event) -> Exit | None:
    """The exit after an event; None when no row takes it."""
    return None if chosen(machine, exit_, event) is None else step(machine, exit_, event).context


def _fault(here: Play) -> str:
    """Whether the hero has lost."""
    if here.hero == LSP:
        return ATOMIC if here.out == CLAIMED and here.inside in (BACK, FREE) else ""
    unpaid = here.out in (NONE, REFUNDED, GONE) or here.void
    return ATOMIC if here.inside == TAKEN and unpaid else ""


def _examples(here: Play) -> Iterable[str]:
    return (ATOMIC,) if here.out == CLAIMED and here.inside == TAKEN else ()


def _tells(here: Play) -> str:
    if here.hero == LSP:
        return f"{LSP} has paid on chain, and {CLIENT} has its balance inside as well"
    return f"{CLIENT} is not paid, and {LSP} has taken its balance inside with the key"


class _Game:
    """Who moves how: the hero by its table, the other as it likes."""

    def __init__(self, machine: BoundMachine[Exit], start: Play, absence: int) -> None:
        self.machine = machine
        self.absence = absence
        # By then the refund and the lock inside have had their time, and what they led to is deep.
        self.last = max(start.exit.expiry, start.exit.refund_height) + start.exit.depth + 2

    def moves(self, here: Play) -> Iterator[Move]:
        """Everything that may be next."""
        if here.height > self.last or self._over(here):
            return
        yield from self._client_hero(here) if here.hero == CLIENT else self._lsp_hero(here)

    @staticmethod
    def _over(here: Play) -> bool:
        """Whether nothing can be lost any more."""
        if here.hero == LSP:
            return here.inside == TAKEN
        return here.inside == BACK and not here.claim

    def _block(self, here: Play) -> Play:
        since = here.since + (here.inside == EXITING)
        return replace(here, height=here.height + 1, away=min(here.away, self.absence) + 1, since=since)

    # -- the LSP keeps to the table ------------------------------------------------------------------------------------

    def _lsp_hero(self, here: Play) -> Iterator[Move]:
        place = f"block {here.height}"
        if here.inside == FREE:
            yield from self._client_undoes(here)
            return
        if here.inside == LOCKED and here.exit.status == "refunded":
            yield f"{place}: {LSP} lets the lock inside go", replace(here, inside=FREE)
            return
        if here.away:
            yield self._lsp_looks(here)
        if here.away > self.absence:
            return  # It looks no later than that.
        yield from self._client_undoes(here)
        if here.refund >= 0 and here.out == OPEN and here.height >= here.refund + CONFIRMATION:
            return  # By now the refund or the claim is mined.
        if here.inside == EXITING and here.since >= here.exit.exit_blocks:
            yield f"{place}: {LSP}'s leaf is mined", replace(here, inside=LEAF, since=0, away=1)
            return
        yield from self._client_blocks(here)

    def _client_undoes(self, here: Play) -> Iterator[Move]:
        """The client takes back what is not deep: a refund makes place for a claim."""
        shallow = here.height - here.at + 1 < here.exit.depth
        if here.out == REFUNDED and shallow and not here.undone:
            says = f"block {here.height}: the refund is taken back, and {CLIENT}'s claim is mined in its place"
            yield says, replace(here, out=CLAIMED, undone=True)

    def _client_blocks(self, here: Play) -> Iterator[Move]:
        """The next block, with what the client wants in it."""
        after = self._block(here)
        place = f"block {after.height}"
        if here.inside in (LOCKED, EXITING, LEAF, CLOSED) and after.height > here.exit.expiry:
            # It brings the channel on chain itself, if the LSP does not.
            yield f"{place}: {CLIENT} takes the lock inside back", replace(after, inside=BACK)
            return
        yield "", after
        if here.out == OPEN:
            claimed = replace(after, out=CLAIMED, at=after.height)
            yield f"{place}: {CLIENT}'s claim is mined", claimed
            if here.refund >= 0:
                says = f"{place}: {LSP}'s refund is mined"
                yield says, replace(after, out=REFUNDED, at=after.height)

    def _lsp_looks(self, here: Play) -> Move:
        """What the LSP does at a look: one thing."""
        here = replace(here, away=0)
        place, deep = f"block {here.height}", here.height - here.at + 1
        exit_ = here.exit
        if here.out == OPEN:
            after = _take(self.machine, exit_, Event.of("refund", LSP, height=here.height))
            if after is not None and here.refund < 0:
                return f"{place}: {LSP} publishes its refund", replace(here, exit=after, refund=here.height)
        event = {CLAIMED: "claim_seen", REFUNDED: "refund_seen"}.get(here.out)
        if event is not None and exit_.status not in ("claimed", "refunded"):
            after = _take(self.machine, exit_, Event.of(event, "chain", depth=deep))
            if after is not None and after.status == "claimed":
                says = f"{place}: {LSP} learns the key, and begins to bring the channel on chain"
                return says, replace(
                    here, exit=after, inside=EXITING if here.inside == LOCKED else here.inside, since=0
                )
            if after is not None:
                return f"{place}: {LSP} has its output back", replace(here, exit=after)
        return self._lsp_exits(here, place)

    def _lsp_exits(self, here: Play, place: str) -> Move:
        """The LSP's commitment, then its claim: each is mined a block after its look."""
        after = self._block(here)
        stage = {LEAF: CLOSED, CLOSED: TAKEN}.get(here.inside)
        if stage is None or (here.inside == CLOSED and after.height > here.exit.expiry):
            return "", here
        what = "commitment" if stage == CLOSED else "claim on the lock inside"
        return f"{place}: {LSP} publishes its {what}; it is mined", replace(after, inside=stage)

    # -- the client keeps to the table ---------------------------------------------------------------------------------

    def _client_hero(self, here: Play) -> Iterator[Move]:
        place = f"block {here.height}"
        if here.known and here.inside == LOCKED:
            yield f"{place}: {LSP} takes the lock inside with the key", replace(here, inside=TAKEN)
        if here.away:
            yield from self._client_looks(here)
        if here.away > self.absence:
            return
        shallow = here.height - here.at + 1 < here.exit.depth
        if here.out == OPEN and shallow and not here.undone:
            says = f"{place}: the block with {LSP}'s output is taken back, and its coin is spent elsewhere"
            yield says, replace(here, out=GONE, undone=True)
        if here.out == CLAIMED and shallow and not here.undone:
            # The output itself is deep: it stays.
            yield f"{place}: the block with the claim is taken back", replace(here, out=OPEN, at=0, undone=True)
        yield from self._lsp_blocks(here)

    def _lsp_blocks(self, here: Play) -> Iterator[Move]:
        """The next block, with what the LSP wants in it."""
        after = self._block(here)
        place = f"block {after.height}"
        if after.height > here.exit.expiry and here.inside == LOCKED:
            after = replace(after, inside=BACK)
        if here.out == NONE:
            yield "", after
            for void in (False, True):
                says = f"{place}: {LSP}'s output is mined{', under a pre-signature of something else' if void else ''}"
                yield says, replace(after, out=OPEN, at=after.height, void=void)
            return
        if here.out == OPEN and after.height > here.exit.refund_height:
            yield f"{place}: {LSP}'s refund is mined", replace(after, out=REFUNDED, at=after.height)
        if here.out == OPEN and here.claim and not here.void:
            yield f"{place}: {CLIENT}'s claim is mined", replace(after, out=CLAIMED, at=after.height)
            return
        yield "", after

    def _client_looks(self, here: Play) -> Iterator[Move]:
        """What the client does at a look: it believes an output that is deep, and claims while there is time."""
        here = replace(here, away=0)
        place, exit_ = f"block {here.height}", here.exit
        if here.out == OPEN:
            deep = Event.of("lock_confirmed", "chain", depth=here.height - here.at + 1, valid=not here.void)
            exit_ = _take(self.machine, exit_, deep) or exit_
            claimed = _take(self.machine, exit_, Event.of("claim", CLIENT, height=here.height))
            if claimed is not None and not here.claim:
                says = f"{place}: {CLIENT} publishes its claim, which shows the key"
                yield says, replace(here, exit=claimed, claim=True, known=True)
                return
        yield "", replace(here, exit=exit_)
