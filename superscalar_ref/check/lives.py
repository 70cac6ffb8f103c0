"""One life at a time, stepped through its table: what a party agrees to, counts and believes, beside what is true.

The life of a client meets an LSP that proposes anything; the life of an LSP meets honest clients whose messages come
late, doubled or never, and clients that computed another plan. Both meet a chain on which the newest transaction may be
taken back while it is less deep than ``DEPTH``. A party looks at the chain whenever it likes, and is then told of every
confirmed transaction in its order, as the core tells it.

A party may crash between any two effects of a step, and starts again with what was durable by then: with its life as it
was when a ``persist`` was last done, and with every signature that it has stored.

Ghosts record what is true: who agreed to what, who holds what, what is on the chain. Not searched here: fees, and
reorgs of more than the newest transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from superscalar_ref.check.breadth import Breadth, Found
from superscalar_ref.check.meter import Meter
from superscalar_ref.errors import ProtocolError
from superscalar_ref.machine.step import BoundMachine, chosen, outcome
from superscalar_ref.machine.types import Action, Event
from superscalar_ref.protocol.client import Client, Limits
from superscalar_ref.protocol.factory import Factory
from superscalar_ref.protocol.odometer import Odometer
from superscalar_ref.protocol.shape import Shape, grow

LSP = "L"
CLIENT = "A"
CLIENTS = ("A", "B")
DEPTH = 2
"""A transaction that is less deep than this may be taken back (blocks)."""
STATES = 3
ACTIVE, END = 10, 20
_HEIGHTS = (5, 15, 25)
"""A height in the active period, one after it, one after the end."""
TERMS, COUNTS, LEFT_OUT = "P-TERMS-CHECKED", "P-COUNTS-WHAT-IT-HOLDS", "P-NOBODY-LEFT-OUT"
FINAL, CLOCK, ACCOUNT, ENDS = "P-FINAL-IS-FINAL", "P-BY-THE-CLOCK", "P-ACCOUNT-TRUE", "P-LIFE-ENDS"
INDEX, CRASH = "P-INDEX-LEFT", "P-CRASH-FORGETS-NOTHING"
_STUCK = "no way leads to the end of this life any more"
_BURIED, _SPENT, _GO_BY = "a block is mined on top", "an output is spent", "the blocks go by, to"
_MINES = (_BURIED, _SPENT)
PROPERTIES = (TERMS, COUNTS, LEFT_OUT, INDEX, FINAL, CLOCK, ACCOUNT, ENDS, CRASH)
"""What is decided here."""

_FINAL_CLIENT, _FINAL_LSP = frozenset({"swept", "paid", "left"}), frozenset({"closed", "resolved", "aborted"})


@dataclass(frozen=True)
class Chain:
    """What is confirmed, oldest first, and what the party was told of it."""

    stages: tuple[str, ...] = ()
    depth: int = 0
    """Of the newest; what is below it is deep enough."""
    left: int = 0
    """Outputs that the party still has to settle, beside the one that it is settling."""
    reorgs: int = 0
    told: frozenset[tuple[str, str]] = frozenset()
    """Stages and the events of them that the party's table took."""

    @property
    def newest(self) -> str:
        """The newest stage; empty on an empty chain."""
        return self.stages[-1] if self.stages else ""

    def with_stage(self, stage: str, left: int | None = None) -> Chain:
        """A transaction more."""
        left = self.left if left is None else left
        return replace(self, stages=(*self.stages, stage), depth=1, left=left)

    def deep(self, stage: str) -> int:
        """How deep a confirmed stage is (blocks)."""
        return self.depth if stage == self.newest else DEPTH


@dataclass(frozen=True)
class Lived:
    """A life, and what is true beside it."""

    life: Client | Factory
    disk: Client | Factory
    """Its life as a crash leaves it."""
    known: frozenset[tuple[str, str]] = frozenset()
    """What it was told of the chain, as a crash leaves it."""
    held: frozenset[str] = frozenset()
    chain: Chain = field(default_factory=Chain)
    agreed: frozenset[tuple[str, str]] = frozenset()
    """LSP: who sent an agreement to which plan."""
    kits: frozenset[tuple[str, str]] = frozenset()
    """LSP: who completed the kit of which version, and said so."""
    close_signed: bool = False
    """Client: it agreed to a close, which the others may complete."""
    over: bool = False
    """A transaction of the tree, or the close, was confirmed: nothing is signed any more in this search."""
    phase: int = 0
    """LSP: index into the heights."""
    broken: tuple[str, str] = ("", "")
    """A property that is broken by now, and how."""


Move = tuple[str, Lived]

_NEXT = {
    "funding": ("kickoff", "alternate"),
    "kickoff": ("inner state", "alternate"),
    "inner state": ("lower kickoff", "alternate"),
    "lower kickoff": ("leaf", "older leaf", "alternate"),
    "leaf": ("commitment", "the LSP's commitment", "alternate"),
    "older leaf": ("poison", "the LSP's commitment"),
    "commitment": ("sweep",),
}
"""What may confirm after what on a client's path."""
_CLIENT_EVENTS: dict[str, tuple[str, ...]] = {
    "funding": ("funding_confirmed",),
    "kickoff": ("tree_confirmed", "kickoff_confirmed"),
    "inner state": ("tree_confirmed", "state_confirmed"),
    "lower kickoff": ("tree_confirmed", "kickoff_confirmed"),
    "leaf": ("tree_confirmed", "leaf_confirmed"),
    "older leaf": ("tree_confirmed", "leaf_confirmed"),
    "commitment": ("commitment_confirmed",),
    "the LSP's commitment": ("peer_commitment_confirmed",),
    "sweep": ("sweep_confirmed",),
    "poison": ("poison_confirmed",),
    "alternate": ("tree_confirmed", "alternate_confirmed"),
    "close": ("close_confirmed",),
}
_LSP_EVENTS: dict[str, tuple[str, ...]] = {
    "funding": ("funding_confirmed",),
    "tree": ("tree_confirmed",),
    "last spend": ("outputs_spent",),
    "close": ("close_confirmed",),
}
_DEEP = frozenset(
    {
        "funding_confirmed",
        "close_confirmed",
        "alternate_confirmed",
        "sweep_confirmed",
        "poison_confirmed",
        "peer_commitment_confirmed",
        "outputs_spent",
    }
)
"""Events that make a party call something final."""
_STATUS = {
    "kickoff": "waiting",
    "inner state": "exiting",
    "lower kickoff": "waiting",
    "leaf": "on_chain",
    "older leaf": "on_chain",
    "commitment": "settling",
}
"""What a client that looks at the chain makes of its newest transaction."""


_OWN = (
    ("all_agreed", "holds that all have agreed"),
    ("begin_signing", "begins to sign"),
    ("ready", "counts on the version"),
    ("fund", "broadcasts the funding"),
    ("retry", "starts the signing over"),
    ("update_aborted", "gives the update up"),
    ("close_complete", "broadcasts the close"),
)
"""What an LSP does by itself, in words."""


def explore(
    client: BoundMachine[Client],
    factory: BoundMachine[Factory],
    until: frozenset[str] = frozenset(),
    meter: Meter | None = None,
) -> Found:
    """Search both lives, each by itself. ``until``: stop when one of these is broken. ``meter`` counts."""
    limits = Limits(ceiling=10, margin=1, life=10, depth=DEPTH, reaction=2)
    tree = grow(Shape.of((2,), leaf_k=1), CLIENTS)
    odometer = Odometer.new(tree, STATES)
    guest = Client("invited", CLIENT, LSP, limits)
    host = Factory("gathering", LSP, frozenset(CLIENTS), DEPTH, ACTIVE, odometer=odometer)
    lives: tuple[tuple[Lived, Callable[[Lived], Iterator[Move]], frozenset[str]], ...] = (
        (Lived(guest, guest), _ClientMoves(client), _FINAL_CLIENT),
        (Lived(host, host), _LspMoves(factory), _FINAL_LSP),
    )
    every = []
    reached: set[str] = set()
    for start, moves, final in lives:
        every.append(_search(start, moves, final, until, meter, reached))
        if until & every[-1].broken.keys():
            break
    if not {state.name for machine in (client, factory) for state in machine.table.states} <= reached:
        for found in every:
            found.seen.pop(ENDS, None)
    return Found.of(every)


def hero(way: Iterable[str]) -> str:
    """Whose life a way through this search is about."""
    return CLIENT if any(says == f"{LSP} invites" for says in way) else LSP


def dated(way: Iterable[str]) -> tuple[str, ...]:
    """A way with the heights of its blocks: the funding is in block 1 if nothing is told before it."""
    height = 0
    told = []
    for says in way:
        if " is confirmed" in says or says in _MINES:
            height += 1
            told.append(f"block {height}: {says}")
        elif says.startswith("a reorg"):
            told.append(f"{says}: block {height} is gone")
            height -= 1
        else:
            height = int(says.rsplit(" ", 1)[1]) if says.startswith(_GO_BY) else height
            told.append(says)
    return tuple(told)


def _search(
    start: Lived,
    moves: Callable[[Lived], Iterator[Move]],
    final: frozenset[str],
    until: frozenset[str],
    meter: Meter | None,
    reached: set[str],
) -> Found:
    """Search one life; ``reached`` gains the states of it that are reached."""
    search = Breadth(start)
    search.run(moves, _fault, lambda here: _examples(here, final), until, meter)
    if not until & search.broken.keys():
        stuck = search.stuck(lambda scene: scene.life.status in final, _fault)
        if stuck is not None:
            search.broken[ENDS] = stuck
    reached |= {scene.life.status for scene in search.scenes}
    return search.found(lambda name, scene: scene.broken[1] or (_STUCK if name == ENDS else ""))


def _fault(here: Lived) -> str:
    return here.broken[0]


def _examples(here: Lived, final: frozenset[str]) -> Iterator[str]:
    life = here.life
    if here.chain.reorgs:
        yield FINAL
    if life != here.disk:
        yield CRASH
    if life.status in final and here.chain.stages:
        yield ENDS
    if isinstance(life, Client):
        if life.status == "signing":
            yield TERMS
        if life.version == "1":
            yield COUNTS
        if life.status in _STATUS.values():
            yield ACCOUNT
    else:
        if life.version:
            yield LEFT_OUT
        if life.status in ("dying", "expired"):
            yield CLOCK
        if life.odometer is not None and life.odometer.index("r") == STATES - 1:
            yield INDEX


_SAYS_AGAIN = frozenset({"join", "update_aborted"})
"""What a party may tell others before its own state is durable: its keys come from its seed, and it gives up again."""


def _try(machine: BoundMachine[Any], here: Lived, event: Event) -> tuple[Lived, tuple[Action, ...]] | None:
    """The life after an event; None when its table refuses it."""
    if not machine.candidates(here.life.status, event.name):
        return None
    seen = replace(here.life, held=here.held)
    bound = chosen(machine, seen, event)
    if bound is None:
        return None
    stepped = outcome(bound, seen, event)
    life = replace(stepped.context, held=frozenset())
    disk = here.disk
    for action in stepped.actions:
        if action.kind == "persist":
            disk = life
        elif action.kind in ("send", "broadcast", "open") and action.name not in _SAYS_AGAIN and disk != life:
            here = _break(here, CRASH, f"a crash after '{action.kind} {action.name}' makes {life.me} forget it")
    if isinstance(life, Factory) and life.attempt > 1:
        # The number of an attempt tells this search nothing but that it is another.
        disk = replace(life, attempt=1) if disk == life else disk
        life = replace(life, attempt=1)
    return replace(here, life=life, disk=disk), stepped.actions


def _crash(here: Lived) -> Iterator[Move]:
    """The party stops, and starts again with what was durable."""
    life, disk = here.life, here.disk
    if life == disk and here.known == here.chain.told:
        return
    after = replace(here, life=disk, chain=replace(here.chain, told=here.known))
    if life.version != disk.version:
        after = _break(after, CRASH, f"it counted on version {life.version or 'none'}, and has forgotten it")
    if life.status == "exiting" != disk.status and here.chain.newest in ("", "funding"):
        after = _break(after, CRASH, "it had begun to exit, and has forgotten it")
    yield f"{life.me} crashes and starts again", after


def _the(stage: str) -> str:
    return stage if stage.startswith("the ") else f"the {stage}"


def _break(here: Lived, name: str, says: str) -> Lived:
    return here if here.broken[0] else replace(here, broken=(name, says))


def _looks(machine: BoundMachine[Any], here: Lived, events: dict[str, tuple[str, ...]], final: frozenset[str]) -> Lived:
    """Tell the party of every confirmed transaction, oldest first; what its table does not take is told again later."""
    chain, me = here.chain, here.life.me
    for stage in chain.stages:
        for name in events.get(stage, ()):
            if (stage, name) in chain.told:
                continue
            fields = {"depth": chain.deep(stage), "height": 0, "unsettled": chain.left, "unspent": chain.left}
            after = _try(machine, here, Event.of(name, "chain", **fields))
            if after is None:
                continue
            chain = replace(chain, told=chain.told | {(stage, name)})
            durable = any(action.kind == "persist" for action in after[1])
            here = replace(after[0], known=chain.told) if durable else after[0]
            if here.life.status in final and chain.left and stage not in ("close", "alternate"):
                here = _break(here, FINAL, f"{me} is done, and an output is left that it has not settled")
    return replace(here, chain=chain)


def _blocks(here: Lived, events: dict[str, tuple[str, ...]]) -> Iterator[Move]:
    """Blocks that bury the newest transaction, or take it back; and the settling of what is left."""
    chain = here.chain
    if not chain.stages:
        return
    if chain.depth < DEPTH:
        yield _BURIED, replace(here, chain=replace(chain, depth=chain.depth + 1))
    gone = chain.newest
    if chain.depth < DEPTH and not chain.reorgs and _DEEP & set(events.get(gone, ())):
        believed = sorted(n for n in events.get(gone, ()) if (gone, n) in chain.told and n in _DEEP)
        after = replace(here, chain=replace(chain, stages=chain.stages[:-1], depth=DEPTH, reorgs=1))
        if believed:
            after = _break(after, FINAL, f"{here.life.me} had called it final: it is '{here.life.status}'")
        yield f"a reorg takes {_the(gone)} back", after
    if chain.left:
        yield "the other output is settled", replace(here, chain=replace(chain, left=0))


def _alike(here: Lived) -> Lived:
    """The same, without what is signed: nothing more is, and no row that the chain causes asks for it."""
    nobody: frozenset[str] = frozenset()

    def alike(life: Client | Factory) -> Client | Factory:
        if isinstance(life, Client):
            return Client(life.status, CLIENT, LSP, life.limits, version="0", newest_agreed="0")
        return replace(life, pending="", concerned=nobody, to_sign=nobody, complete=nobody, kit=nobody, agreed=nobody)

    return replace(
        here, life=alike(here.life), disk=alike(here.disk), held=nobody, over=True, agreed=frozenset(), kits=frozenset()
    )


@dataclass(frozen=True)
class _ClientMoves:
    machine: BoundMachine[Client]

    def __call__(self, here: Lived) -> Iterator[Move]:
        """Everything that may happen to a client."""
        life = here.life
        assert isinstance(life, Client)
        if life.status in ("invited", "verifying"):
            yield from self._terms(here)
        if not here.over:
            yield from self._signing(here, life)
        yield from self._chain(here, life)
        yield from _crash(here)

    def _event(self, here: Lived, says: str, event: Event) -> Iterator[Move]:
        after = _try(self.machine, here, event)
        if after is not None:
            yield says, after[0]

    def _terms(self, here: Lived) -> Iterator[Move]:
        yield from self._event(here, f"{LSP} invites", Event.of("invitation", LSP, balance=4))
        good: dict[str, Any] = {
            "version": "0",
            "balance": 4,
            "capacity": 9,
            "kit": frozenset({"kit 0"}),
            "to_sign": frozenset({"kit 0"}),
            "funding_claimed": "funding",
            "funding_computed": "funding",
            "exit_blocks": 5,
            "shortest_lock": 3,
            "end_default": "inverted/every",
            "height": 0,
            "end": 10,
        }
        flaws: tuple[tuple[str, dict[str, Any]], ...] = (
            ("whose exit takes longer than a payment may wait", {"exit_blocks": 10}),
            ("that pays one unit less", {"balance": 3}),
            ("on another funding output", {"funding_claimed": "elsewhere"}),
            ("whose end is near", {"height": 1}),
            ("whose locks are no longer than the client's absence", {"shortest_lock": 2}),
            ("whose end pays the LSP", {"end_default": "classic/none"}),
        )
        yield from self._event(here, f"{LSP} proposes the factory", Event.of("proposal", LSP, **good))
        for says, flaw in flaws:
            for told, after in self._event(
                here, f"{LSP} proposes a factory {says}", Event.of("proposal", LSP, **{**good, **flaw})
            ):
                yield told, _break(after, TERMS, f"{CLIENT} agrees to it")

    def _signing(self, here: Lived, life: Client) -> Iterator[Move]:
        kits = {"0": {"kit 0"}, "1": {"kit 1", "poison 0"}}
        for name in sorted({"kit 0", "kit 1", "poison 0", "link"} - here.held):
            # What nobody has agreed to cannot be complete.
            begun = life.pending == "1" if name in ("kit 1", "poison 0") else life.pending == "0"
            if begun or (name == "link" and life.status == "active" and life.newest_agreed == "0"):
                yield f"{CLIENT} stores the {name}", replace(here, held=here.held | {name})
        for says, after in self._event(here, f"{CLIENT} counts on the version", Event.of("kit_complete", CLIENT)):
            assert isinstance(after.life, Client)
            missing = kits.get(after.life.version, set()) - here.held
            yield says, _break(after, COUNTS, f"it has no {min(missing)}") if missing else after
        if life.capacity == 9:
            bought = Event.of("link_complete", CLIENT, kit=frozenset({"link"}), given=0, bought=1)
            for says, after in self._event(here, f"{CLIENT} counts on a link", bought):
                yield says, after if "link" in here.held else _break(after, COUNTS, "it has not got it")
        update: dict[str, Any] = {
            "version": "1",
            "balance": life.owed,
            "capacity": life.capacity,
            "cover": life.capacity,
            "to_sign": frozenset({"kit 1"}),
            "kit": frozenset({"kit 1"}),
            "poison": frozenset({"poison 0"}),
        }
        yield from self._event(here, f"{LSP} proposes version 1", Event.of("update_proposal", LSP, **update))
        worse: tuple[tuple[str, dict[str, Any]], ...] = (
            ("a version that was agreed to before", {"version": life.newest_agreed}),
            ("a version that pays one unit less", {"balance": life.owed - 1}),
            ("a version with a smaller channel", {"capacity": life.capacity - 1}),
            ("a version with a larger channel than the alternates above pay", {"capacity": life.capacity + 1}),
        )
        for told, flaw in worse:
            for says, after in self._event(
                here, f"{LSP} proposes {told}", Event.of("update_proposal", LSP, **{**update, **flaw})
            ):
                yield says, _break(after, TERMS, f"{CLIENT} agrees to it")
        yield from self._event(here, f"{CLIENT} gives the update up", Event.of("update_aborted", CLIENT))
        close = Event.of("close_proposal", LSP, balance=life.owed, to_sign=frozenset({"close"}))
        for says, after in self._event(here, f"{LSP} proposes a close", close):
            yield says, replace(after, close_signed=True)
        poor = Event.of("close_proposal", LSP, balance=life.owed - 1, to_sign=frozenset({"close"}))
        for says, after in self._event(here, f"{LSP} proposes a close that pays one unit less", poor):
            yield says, _break(after, TERMS, f"{CLIENT} agrees to it")
        yield from self._event(here, f"{CLIENT} begins to exit", Event.of("start_exit", CLIENT))
        if not here.chain.stages:
            yield from self._event(here, f"{LSP} breaks the ceremony off", Event.of("abort", LSP))

    def _chain(self, here: Lived, life: Client) -> Iterator[Move]:
        chain = here.chain
        if not chain.stages and life.version:
            yield "the funding is confirmed", replace(here, chain=chain.with_stage("funding"))
        following = _NEXT.get(chain.newest, ())
        if chain.newest == "funding" and here.close_signed:
            following = (*following, "close")
        for stage in following:
            left = 1 if stage in ("leaf", "older leaf") else None
            gone_on = _alike(here) if chain.newest == "funding" else here
            yield f"{_the(stage)} is confirmed", replace(gone_on, chain=chain.with_stage(stage, left))
        yield from _blocks(here, _CLIENT_EVENTS)
        after = _looks(self.machine, here, _CLIENT_EVENTS, _FINAL_CLIENT)
        expected = _STATUS.get(chain.newest)
        if expected is not None and not chain.reorgs and after.life.status != expected:
            says = f"{_the(chain.newest)} is on the chain, and the client's life is '{after.life.status}'"
            after = _break(after, ACCOUNT, says)
        if after != here:
            yield f"{CLIENT} looks at the chain", after


@dataclass(frozen=True)
class _LspMoves:
    machine: BoundMachine[Factory]

    def __call__(self, here: Lived) -> Iterator[Move]:
        """Everything that may happen to an LSP."""
        life = here.life
        assert isinstance(life, Factory)
        if not here.over:
            yield from self._messages(here, life)
            yield from self._own(here, life)
        yield from self._chain(here, life)
        yield from _crash(here)

    def _event(self, here: Lived, says: str, event: Event) -> Iterator[Move]:
        try:
            after = _try(self.machine, here, event)
        except ProtocolError as error:
            # What the table let pass, another rule refused: the table itself is to refuse it.
            yield says, _break(here, INDEX, error.detail)
            return
        if after is not None:
            yield says, self._judged(here, after[0], after[1])

    @staticmethod
    def _judged(here: Lived, after: Lived, actions: Iterable[Action]) -> Lived:
        life, was = after.life, here.life
        assert isinstance(life, Factory)
        assert isinstance(was, Factory)
        for action in actions:
            if action.kind == "open":
                without = sorted(c for c in life.concerned if (c, life.digest) not in here.agreed)
                if without:
                    after = _break(after, LEFT_OUT, f"{without[0]} has not agreed to this plan")
            if action.kind == "persist" and action.name == "counted":
                lacking = sorted(c for c in was.concerned if (c, life.version) not in here.kits)
                if lacking:
                    after = _break(after, LEFT_OUT, f"{lacking[0]} does not hold version {life.version}")
                if f"kit {life.version}" not in here.held:
                    after = _break(after, LEFT_OUT, f"{LSP} itself does not hold version {life.version}")
            if action.kind == "broadcast" and action.name == "close" and "close" not in here.held:
                after = _break(after, LEFT_OUT, f"{LSP} has no complete close")
        return after

    def _messages(self, here: Lived, life: Factory) -> Iterator[Move]:
        for client in CLIENTS:
            # The clients are alike: the second answers after the first.
            if client not in life.joined:
                yield from self._event(here, f"{client} joins", Event.of("join", client))
                break
            if life.status in ("proposed", "updating", "closing") and client not in life.agreed:
                sent = replace(here, agreed=here.agreed | {(client, life.digest)})
                agreement = Event.of("agreement", client, digest=life.digest)
                yield from self._event(sent, f"{client} agrees to {life.digest}", agreement)
                other = Event.of("agreement", client, digest="another plan")
                yield from self._event(here, f"{client}, who computed another plan, answers", other)
                break
            if life.status in ("signing", "update_signing") and client not in life.complete:
                sent = replace(here, kits=here.kits | {(client, life.pending)})
                done = Event.of("kit_complete", client, version=life.pending)
                yield from self._event(sent, f"{client} says that it holds version {life.pending}", done)
                break
        for client, digest in sorted(here.agreed):
            if digest != life.digest:
                late = Event.of("agreement", client, digest=digest)
                yield from self._event(here, f"{client}'s agreement to {digest} comes once more", late)
        for client, version in sorted(here.kits):
            if version != life.pending:
                late = Event.of("kit_complete", client, version=version)
                yield from self._event(here, f"{client}'s word on version {version} comes once more", late)

    def _own(self, here: Lived, life: Factory) -> Iterator[Move]:
        if life.status in ("signing", "update_signing", "close_signing"):
            name = "close" if life.status == "close_signing" else f"kit {life.pending}"
            if name not in here.held:
                yield f"{LSP} stores the {name}", replace(here, held=here.held | {name})
        plan = {"kit": frozenset({"kit 0"}), "to_sign": frozenset({"kit 0"})}
        yield from self._event(
            here, f"{LSP} proposes the factory", Event.of("propose", LSP, digest="plan 0", version="0", **plan)
        )
        for name, says in _OWN:
            yield from self._event(here, f"{LSP} {says}", Event.of(name, LSP))
        if life.status in ("gathering", "signing", "signed"):
            yield from self._event(here, f"{LSP} gives the ceremony up", Event.of("abort", LSP))
        if life.odometer is not None and life.version:
            number = str(life.odometer.index("r") + 1)
            new = frozenset({f"kit {number}"})
            event = Event.of(
                "begin_update",
                LSP,
                node="r",
                digest=f"plan {number}",
                version=number,
                kit=new,
                to_sign=new,
                concerned=frozenset(CLIENTS),
            )
            yield from self._event(self._older(here), f"{LSP} proposes version {number}", event)
        if life.odometer is not None and life.odometer.index("r"):
            return
        names = frozenset({"close"})
        close = Event.of("begin_close", LSP, digest="the close", version="close", kit=names, to_sign=names)
        yield from self._event(self._older(here), f"{LSP} proposes a close", close)

    @staticmethod
    def _older(here: Lived) -> Lived:
        """What is left when something new is proposed: one client's old messages stand for those of all."""
        agreed = frozenset(pair for pair in here.agreed if pair[0] == CLIENT)
        kits = frozenset(pair for pair in here.kits if pair[0] == CLIENT)
        return replace(here, held=frozenset(), agreed=agreed, kits=kits)

    def _chain(self, here: Lived, life: Factory) -> Iterator[Move]:
        chain = here.chain
        # What is confirmed is searched beside the first version and its close: an update changes none of it.
        if life.odometer is not None and life.odometer.index("r"):
            if chain.newest == "funding":
                yield "a kickoff is confirmed", replace(_alike(here), chain=chain.with_stage("tree"))
            if chain.newest == "tree":
                yield _SPENT, replace(here, chain=chain.with_stage("last spend", 1))
            yield from _blocks(here, _LSP_EVENTS)
            after = _looks(self.machine, here, _LSP_EVENTS, _FINAL_LSP)
            if after != here:
                yield f"{LSP} looks at the chain", after
            return
        if not chain.stages and life.status == "funded":
            yield "the funding is confirmed", replace(here, chain=chain.with_stage("funding"))
        if chain.newest == "funding":
            yield "a kickoff is confirmed", replace(_alike(here), chain=chain.with_stage("tree"))
            if "close" in here.held:
                yield "the close is confirmed", replace(_alike(here), chain=chain.with_stage("close"))
        if chain.newest == "tree":
            yield _SPENT, replace(here, chain=chain.with_stage("last spend", 1))
        yield from _blocks(here, _LSP_EVENTS)
        after = _looks(self.machine, here, _LSP_EVENTS, _FINAL_LSP)
        if after != here:
            yield f"{LSP} looks at the chain", after
        height = _HEIGHTS[here.phase]
        if life.version and here.phase < len(_HEIGHTS) - 1:
            yield f"{_GO_BY} {_HEIGHTS[here.phase + 1]}", replace(here, phase=here.phase + 1)
        for name, least in (("period_over", ACTIVE), ("end_reached", END)):
            for says, later in self._event(
                here, f"{LSP} calls the {name.replace('_', ' ')}", Event.of(name, "clock", height=height, end=END)
            ):
                yield says, later if height >= least else _break(later, CLOCK, f"it is block {height}, not {least}")
