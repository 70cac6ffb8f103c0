"""One signer against a malicious coordinator, with a crash between any two actions, exhaustively.

The signer has several transactions to sign: a parent with a child, and a rival of the parent: another message for the
same outpoint and slot, as a coordinator offers that wants both signed. The coordinator sends anything that it can
make, in any order, as often as it likes (each session is opened at most ``attempts`` times, which bounds the search).
The signer steps through the table of sessions, action by action: what is persisted before a crash survives it, what was
sent before it has left.

Ghosts, which the signer does not see, record what has happened: which nonce has signed, what has left, in which order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from superscalar_ref.check.breadth import Found
from superscalar_ref.check.meter import Meter
from superscalar_ref.errors import Refused
from superscalar_ref.machine.step import BoundMachine, prefixes, step
from superscalar_ref.machine.types import Action, Event
from superscalar_ref.protocol.session import Record, Session, Task

PROPERTIES = (
    "P-SIGNED-CHILDREN-FIRST",
    "P-ONE-SPEND-PER-OUTPOINT",
    "P-NONCE-ONCE",
    "P-NO-UPDATE-ON-CHAIN",
    "P-HELD-IS-COMPLETE",
)
"""What is decided here."""
_OFTEN = 1000
"""The meter is told after so many states."""
ME = "A"
COORDINATOR = "L"
THIRD = "B"


@dataclass(frozen=True)
class Signer:
    """The signer with its sessions, what it has stored, and the ghosts."""

    sessions: tuple[Session, ...]
    held: frozenset[str] = frozenset()
    records: frozenset[Record] = frozenset()
    tree_on_chain: bool = False
    """The signer has seen a transaction of the tree confirmed, and has stored that."""
    # Ghosts.
    released: frozenset[str] = frozenset()
    """Transactions for which a partial or complete signature of this signer has left it."""
    used: frozenset[tuple[str, int]] = frozenset()
    """Nonces that have signed: transaction and number."""
    genuine: frozenset[str] = frozenset()
    """Transactions whose every signature the signer has seen and that are valid."""
    verified: frozenset[tuple[str, str]] = frozenset()
    """Valid partial signatures that arrived in the open attempt: transaction and signer."""
    faults: frozenset[str] = frozenset()
    """Properties that are broken by now."""


_Step = tuple[str, Event, Session, tuple[Action, ...], bool]
"""What happens, the event, the session after it, the actions, and whether the signer crashes in the middle."""
_Known = dict[tuple[Session, bool], list[_Step]]
"""What a table makes of all events: looked up, since the same session is met in many places."""


def _tasks(collecting: bool, names: tuple[str, ...]) -> tuple[Task, ...]:
    """Of a child, its parent, and a rival of the parent, those in ``names``; ``collecting``: the signer collects."""
    collector = ME if collecting else COORDINATOR
    signers = frozenset({ME, COORDINATOR, THIRD})
    needs = frozenset({"child"}) if "child" in names else frozenset()
    every = (
        Task("child", "child", "parent:0", "state 0", signers, collector, signers),
        Task("parent", "parent", "funding:0", "kickoff", signers, collector, signers, needs),
        Task("rival", "rival", "funding:0", "kickoff", signers, collector, signers),
    )
    return tuple(task for task in every if task.transaction in names)


SETTINGS: tuple[tuple[bool, tuple[str, ...]], ...] = (
    (False, ("child", "parent", "rival")),
    (True, ("child", "parent")),
    (True, ("parent", "rival")),
)
"""Whether the signer collects, and what is signed. A collector hears from all signers: two transactions are enough."""


def explore(
    table: BoundMachine[Session],
    attempts: int = 2,
    nonce_survives: bool = False,
    until: frozenset[str] = frozenset(),
    meter: Meter | None = None,
) -> Found:
    """Search every interleaving of all settings, each by itself.

    ``nonce_survives``: a design whose crash leaves the secret nonce as it was when it was made. ``until``: stop when
    one of these properties is broken. ``meter`` counts what is looked at.
    """
    every: list[Found] = []
    for collecting, names in SETTINGS:
        every.append(explore_one(table, collecting, names, attempts, nonce_survives, until, meter))
        if until & every[-1].broken.keys():
            break
    return Found.of(every)


_BITS = 12
"""A session of the packed form is a number of so many bits."""
_MASK = (1 << _BITS) - 1


_Own = tuple[Session, frozenset[tuple[str, int]], frozenset[tuple[str, str]]]
"""A session, and the ghosts that are only about it: its nonces that have signed, the parts of it that were verified."""


class _Packed:
    """One setting in whole numbers: what a signer is, is numbered, and so is all that it shares between its sessions.

    A move changes one session and what is shared, and depends on nothing else: it is found once by the plain form
    (``moves_at``), and is an addition from then on.
    """

    def __init__(
        self, table: BoundMachine[Session], start: Signer, collecting: bool, attempts: int, nonce_survives: bool
    ) -> None:
        self.table, self.first = table, start
        self.collecting, self.attempts, self.nonce_survives = collecting, attempts, nonce_survives
        self.shift = _BITS * len(start.sessions)
        self.rivals = [_rivals(start, session.task) for session in start.sessions]
        self.known: _Known = {}
        self.sessions: list[_Own] = []
        self.shared: list[Signer] = []
        """Signers without their sessions and what belongs to one of them."""
        self._numbers: dict[_Own, int] = {}
        self._shares: dict[Signer, int] = {}
        self._moves: dict[int, tuple[list[int], list[int]]] = {}
        self._says: dict[int, tuple[list[str], list[str]]] = {}
        self._restarted: dict[int, int] = {}
        self._backs: dict[tuple[int, bool], int] = {}
        self._met: set[int] = set()
        self.all = (1 << self.shift) - 1
        """The bits of the sessions."""
        self.done: list[int] = []
        """Which of the transactions are held, by the number of what is shared: one bit each."""

    def pack(self, signer: Signer) -> int:
        """The number of a signer."""
        number = self._share(signer) << self.shift
        for place, session in enumerate(signer.sessions):
            name = session.task.transaction
            used = frozenset(nonce for nonce in signer.used if nonce[0] == name)
            verified = frozenset(pair for pair in signer.verified if pair[0] == name)
            number |= self._session((session, used, verified)) << _BITS * place
        return number

    def _session(self, own: _Own) -> int:
        number = self._numbers.setdefault(own, len(self.sessions))
        if number == len(self.sessions):
            assert number <= _MASK
            self.sessions.append(own)
        return number

    def _share(self, signer: Signer) -> int:
        signer = replace(signer, sessions=(), used=frozenset(), verified=frozenset())
        number = self._shares.setdefault(signer, len(self.shared))
        if number == len(self.shared):
            self.shared.append(signer)
            names = [session.task.transaction for session in self.first.sessions]
            self.done.append(sum(1 << place for place, name in enumerate(names) if name in signer.held))
        return number

    def _at(self, place: int, here: int) -> tuple[list[int], list[int]]:
        """The moves of one session: what they add; and those that end in a crash: what is shared, and this session."""
        shared, mine = here >> self.shift, here >> _BITS * place & _MASK
        key = (shared << _BITS | mine) << 2 | place
        found = self._moves.get(key)
        if found is None:
            session, used, verified = self.sessions[mine]
            signer = replace(self.shared[shared], used=used, verified=verified)
            found = self._moves[key] = [], []
            says = self._says[key] = [], []
            for told, event, after, actions, crashed in _steps(
                self.table, signer, session, self.collecting, self.attempts, self.known
            ):
                accounted = _account(signer, self.rivals[place], session, event, actions)
                to_shared = self._share(accounted)
                to_mine = self._session((after, accounted.used, accounted.verified))
                if crashed:
                    found[1].append(to_shared << self.shift | to_mine << _BITS * place)
                    says[1].append(told)
                else:
                    added = (to_shared - shared << self.shift) + (to_mine - mine << _BITS * place)
                    found[0].append(added)
                    says[0].append(told)
        return found

    def _restart(self, here: int) -> int:
        """The number of a signer after a crash."""
        done = self.done[here >> self.shift]
        key = done << self.shift | here & self.all
        sessions = self._restarted.get(key)
        if sessions is None:
            sessions = 0
            held = self.shared[here >> self.shift].held
            for bits in range(0, self.shift, _BITS):
                sessions |= self._back(here >> bits & _MASK, held) << bits
            self._restarted[key] = sessions
        return here & ~self.all | sessions

    def _back(self, mine: int, held: frozenset[str]) -> int:
        """The number of one session after a crash."""
        session, used, verified = self.sessions[mine]
        key = (mine, session.task.transaction in held)
        found = self._backs.get(key)
        if found is None:
            found = self._backs[key] = self._session((restarted(session, held, self.nonce_survives), used, verified))
        return found

    def after(self, here: int) -> list[int]:
        """The numbers that follow, in the order of ``says``."""
        found: list[int] = []
        for place in range(len(self.first.sessions)):
            moves, crashes = self._at(place, here)
            found += [here + added for added in moves]
            others = here & self.all & ~(_MASK << _BITS * place)
            found += [self._restart(after | others) for after in crashes]
        signer = self.shared[here >> self.shift]
        if not signer.tree_on_chain:
            seen = self._share(replace(signer, tree_on_chain=True))
            found.append(here + (seen - (here >> self.shift) << self.shift))
        found.append(self._restart(here))
        return found

    def says(self, here: int) -> list[str]:
        """What happens on the way to each of ``after``."""
        found: list[str] = []
        for place in range(len(self.first.sessions)):
            self._at(place, here)
            moves, crashes = self._says[(here >> self.shift << _BITS | here >> _BITS * place & _MASK) << 2 | place]
            found += moves + crashes
        if not self.shared[here >> self.shift].tree_on_chain:
            found.append(_SEES)
        return [*found, _CRASHES]

    def is_new(self, here: int) -> bool:
        """Whether a session, or what is shared, is met for the first time: an example is about one of them."""
        before = len(self._met)
        for bits in range(0, self.shift, _BITS):
            self._met.add(here >> bits & _MASK)
        self._met.add(~(here >> self.shift))
        return len(self._met) > before

    def signer(self, here: int) -> Signer:
        """The signer of a number."""
        own = [self.sessions[here >> bits & _MASK] for bits in range(0, self.shift, _BITS)]
        return replace(
            self.shared[here >> self.shift],
            sessions=tuple(session for session, _, _ in own),
            used=frozenset().union(*(used for _, used, _ in own)),
            verified=frozenset().union(*(verified for _, _, verified in own)),
        )


def explore_one(
    table: BoundMachine[Session],
    collecting: bool,
    names: tuple[str, ...],
    attempts: int = 2,
    nonce_survives: bool = False,
    until: frozenset[str] = frozenset(),
    meter: Meter | None = None,
) -> Found:
    """As ``explore``, one setting: whether the signer collects, and which transactions are signed."""
    packed = _Packed(table, opening(collecting, names), collecting, attempts, nonce_survives)
    start = packed.pack(packed.first)
    ways: dict[int, int] = {start: -1}
    queue = [start]
    edges = depth = told = told_edges = 0
    level = 1
    broken: dict[str, int] = {}
    seen: dict[str, int] = {}
    wanted = set(PROPERTIES)
    for number, here in enumerate(queue):
        if number == level:
            depth, level = depth + 1, len(queue)
        if meter is not None and number - told >= _OFTEN:
            meter.add(number - told, edges - told_edges, depth)
            told, told_edges = number, edges
        faults = packed.shared[here >> packed.shift].faults
        for name in faults:
            broken.setdefault(name, here)
        if until & faults:
            break
        if wanted and packed.is_new(here):
            for name in examples(packed.signer(here)):
                seen.setdefault(name, here)
                wanted.discard(name)
        if faults:
            continue
        following = packed.after(here)
        edges += len(following)
        for after in following:
            if after not in ways:
                ways[after] = here
                queue.append(after)
    if meter is not None:
        meter.add(len(ways) - told, edges - told_edges, depth)

    def story(here: int) -> tuple[str, ...]:
        way: list[str] = []
        while (before := ways[here]) >= 0:
            way.append(packed.says(before)[packed.after(before).index(here)])
            here = before
        return tuple(reversed(way))

    return Found(
        len(ways),
        edges,
        depth,
        {name: story(signer) for name, signer in broken.items()},
        {name: story(signer) for name, signer in seen.items()},
    )


def opening(collecting: bool, names: tuple[str, ...]) -> Signer:
    """The signer before the first message."""
    return Signer(tuple(Session("unopened", ME, task) for task in _tasks(collecting, names)))


def examples(signer: Signer) -> Iterator[str]:
    """The properties of which a situation is an example."""
    if any(session.nonces_made > 1 and session.status == "signed" for session in signer.sessions):
        yield "P-NONCE-ONCE"
    if len({s.task.outpoint for s in signer.sessions if s.task.transaction in signer.released}) > 1:
        yield "P-ONE-SPEND-PER-OUTPOINT"
    if signer.genuine:
        yield "P-HELD-IS-COMPLETE"
    if signer.tree_on_chain and signer.released:
        yield "P-NO-UPDATE-ON-CHAIN"
    if "parent" in signer.released and "parent" in signer.genuine:
        yield "P-SIGNED-CHILDREN-FIRST"


def _events(signer: Signer, session: Session, collecting: bool, attempts: int) -> Iterator[tuple[str, Event]]:
    """What the coordinator can cause in one session, and what the signer does there by itself."""
    name, attempt = session.task.transaction, session.attempt
    if session.nonces_made < attempts:
        yield f"{ME} opens '{name}'", Event.of("open", ME, attempt=session.nonces_made + 1)
    for other in (COORDINATOR, THIRD):
        yield f"{other}'s nonce for '{name}'", Event.of("nonce", other, attempt=attempt)
        for valid in (True, False):
            word = "" if valid else " (invalid)"
            event = Event.of("partial", other, attempt=attempt, valid=valid)
            yield f"{other}'s partial signature of '{name}'{word}", event
    yield f"the aggregate nonce of '{name}'", Event.of("aggregate_nonce", COORDINATOR, attempt=attempt)
    yield f"{ME} signs '{name}'", Event.of("sign", ME)
    yield f"{ME} finishes '{name}'", Event.of("finish", ME)
    yield f"{ME} breaks '{name}' off", Event.of("abort", ME)
    if not collecting:
        if name in signer.released:
            yield f"the complete signature of '{name}'", Event.of("signature", COORDINATOR, valid=True)
        yield f"an invalid signature of '{name}'", Event.of("signature", COORDINATOR, valid=False)


def moves(
    table: BoundMachine[Session],
    signer: Signer,
    collecting: bool,
    attempts: int,
    nonce_survives: bool,
    known: _Known,
) -> Iterator[tuple[str, Signer]]:
    """Everything that may happen, and what comes of it: the plain form, that the packed one is held equal to."""
    for place in range(len(signer.sessions)):
        for says, after, crashed in moves_at(table, signer, place, collecting, attempts, known):
            yield says, _restarted(after, nonce_survives) if crashed else after
    if not signer.tree_on_chain:
        yield _SEES, replace(signer, tree_on_chain=True)
    yield _CRASHES, _restarted(signer, nonce_survives)


_SEES, _CRASHES = f"{ME} sees the tree on chain", f"{ME} crashes"


def moves_at(
    table: BoundMachine[Session], signer: Signer, place: int, collecting: bool, attempts: int, known: _Known
) -> Iterator[tuple[str, Signer, bool]]:
    """What may happen in one session, and whether the signer crashes in the middle; it is not started again here."""
    session = signer.sessions[place]
    rivals = _rivals(signer, session.task)
    for says, event, after, actions, crashed in _steps(table, signer, session, collecting, attempts, known):
        accounted = _account(signer, rivals, session, event, actions)
        sessions = (*signer.sessions[:place], after, *signer.sessions[place + 1 :])
        yield says, replace(accounted, sessions=sessions), crashed


def _steps(
    table: BoundMachine[Session], signer: Signer, session: Session, collecting: bool, attempts: int, known: _Known
) -> list[_Step]:
    """What the table makes of everything that may happen in one session, whole and cut short."""
    seen = replace(session, held=signer.held, records=signer.records, tree_on_chain=signer.tree_on_chain)
    key = (seen, session.task.transaction in signer.released)
    found = known.get(key)
    if found is None:
        found = known[key] = []
        for says, event in _events(signer, session, collecting, attempts):
            try:
                stepped, cut_short = step(table, seen, event), prefixes(table, seen, event)
            except Refused:
                continue
            found.append((says, event, _alone(stepped.context), stepped.actions, False))
            for cut in cut_short[1:]:
                told = f"{says}, and {ME} crashes after '{cut.done[-1]}'"
                found.append((told, event, _alone(cut.context), cut.actions, True))
    return found


def _alone(session: Session) -> Session:
    """A session without what it shares with the others."""
    return replace(session, held=frozenset(), records=frozenset(), tree_on_chain=False)


def _restarted(signer: Signer, nonce_survives: bool) -> Signer:
    """After a crash: what was stored, and no session open."""
    sessions = tuple(restarted(session, signer.held, nonce_survives) for session in signer.sessions)
    return replace(signer, sessions=sessions)


def restarted(session: Session, held: frozenset[str], nonce_survives: bool) -> Session:
    """One session after a crash. The count of nonces is a ghost: it only tells them apart."""
    done = session.task.transaction in held
    if nonce_survives and session.status in ("open", "nonces_in", "signed") and not done:
        # What was stored when the nonce was made says nothing about its use since.
        return replace(session, status="open", nonce=session.nonces_made, partials=frozenset(), nonces=frozenset())
    if session.nonces_made == 0:
        return session
    status = "complete" if done else "aborted"
    return Session(status, ME, session.task, attempt=session.attempt, nonces_made=session.nonces_made)


def _rivals(signer: Signer, task: Task) -> frozenset[str]:
    """Transactions with another message for the same outpoint and slot."""
    return frozenset(
        other.task.transaction
        for other in signer.sessions
        if (other.task.outpoint, other.task.slot) == (task.outpoint, task.slot) and other.task.message != task.message
    )


def _account(
    signer: Signer, rivals: frozenset[str], session: Session, event: Event, actions: tuple[Action, ...]
) -> Signer:
    """Do the actions in their order: what is persisted is durable, what is sent has left."""
    task = session.task
    held, records, released, used = signer.held, signer.records, signer.released, signer.used
    genuine, faults = signer.genuine, set(signer.faults)
    verified = _verified(signer.verified, session, event)
    if not actions and verified == signer.verified:
        return signer
    for action in actions:
        if action.kind == "persist" and action.name == "record":
            records |= {(str(action["outpoint"]), str(action["slot"]), str(action["message"]))}
        elif action.kind == "persist" and action.name == "signature":
            held |= {task.transaction}
            if _genuine(session, event, verified):
                genuine |= {task.transaction}
            else:
                faults.add("P-HELD-IS-COMPLETE")
        elif action.kind == "sign":
            nonce = (task.transaction, int(str(action["nonce"])))
            if nonce in used:
                faults.add("P-NONCE-ONCE")
            used |= {nonce}
        elif action.kind == "send" and action.name in ("partial", "signature"):
            released |= {task.transaction}
            if signer.tree_on_chain and action.name == "partial":
                faults.add("P-NO-UPDATE-ON-CHAIN")
            if not task.needs <= genuine:
                faults.add("P-SIGNED-CHILDREN-FIRST")
            if rivals & released:
                faults.add("P-ONE-SPEND-PER-OUTPOINT")
    return replace(
        signer,
        held=held,
        records=records,
        released=released,
        used=used,
        genuine=genuine,
        verified=verified,
        faults=frozenset(faults),
    )


def _verified(verified: frozenset[tuple[str, str]], session: Session, event: Event) -> frozenset[tuple[str, str]]:
    """The valid partial signatures of the open attempt after an event: a new attempt begins with none."""
    name = session.task.transaction
    if event.name == "open":
        return frozenset(pair for pair in verified if pair[0] != name)
    if event.name == "partial" and event["valid"] is True and event["attempt"] == session.attempt:
        return verified | {(name, event.by)}
    return verified


def _genuine(session: Session, event: Event, verified: frozenset[tuple[str, str]]) -> bool:
    """Whether the signature that is stored is complete indeed."""
    if event.name == "signature":
        return event["valid"] is True
    return all((session.task.transaction, other) in verified for other in session.others)
