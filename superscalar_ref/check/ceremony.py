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

from superscalar_ref.check.meter import Meter
from superscalar_ref.errors import Refused
from superscalar_ref.machine.step import BoundMachine, Prefix, Stepped, prefixes, step
from superscalar_ref.machine.types import Action, Event
from superscalar_ref.protocol.session import Record, Session, Task

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


@dataclass(frozen=True)
class Ceremonies:
    """What the search found."""

    states: int
    edges: int
    depth: int
    broken: dict[str, tuple[str, ...]]
    """Property → the shortest way to break it."""
    seen: dict[str, tuple[str, ...]]
    """Property → the shortest way to an example of what it is about."""


_Known = dict[tuple[Session, Event], tuple[Stepped[Session], tuple[Prefix[Session], ...]] | None]
"""What a table makes of an event: looked up, since the same session meets the same event in many places."""


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
) -> Ceremonies:
    """Search every interleaving of all settings, each by itself.

    ``nonce_survives``: a design whose crash leaves the secret nonce as it was when it was made. ``until``: stop when
    one of these properties is broken. ``meter`` counts what is looked at.
    """
    every: list[Ceremonies] = []
    for collecting, names in SETTINGS:
        every.append(_explore(table, collecting, names, attempts, nonce_survives, until, meter))
        if until & every[-1].broken.keys():
            break
    return Ceremonies(
        sum(found.states for found in every),
        sum(found.edges for found in every),
        max(found.depth for found in every),
        {name: way for found in reversed(every) for name, way in found.broken.items()},
        {name: way for found in reversed(every) for name, way in found.seen.items()},
    )


def _explore(
    table: BoundMachine[Session],
    collecting: bool,
    names: tuple[str, ...],
    attempts: int,
    nonce_survives: bool,
    until: frozenset[str],
    meter: Meter | None,
) -> Ceremonies:
    start = Signer(tuple(Session("unopened", ME, task) for task in _tasks(collecting, names)))
    ways: dict[Signer, tuple[Signer, str] | None] = {start: None}
    depths = {start: 0}
    queue = [start]
    edges = 0
    known: _Known = {}
    broken: dict[str, Signer] = {}
    seen: dict[str, Signer] = {}
    told = told_edges = 0
    for here in queue:
        if meter is not None and len(ways) - told >= _OFTEN:
            meter.add(len(ways) - told, edges - told_edges, depths[here])
            told, told_edges = len(ways), edges
        for name in here.faults:
            broken.setdefault(name, here)
        if until & here.faults:
            break
        for name in _examples(here):
            seen.setdefault(name, here)
        if here.faults:
            continue
        for says, after in _moves(table, here, collecting, attempts, nonce_survives, known):
            edges += 1
            if after not in ways:
                ways[after] = (here, says)
                depths[after] = depths[here] + 1
                queue.append(after)

    if meter is not None:
        meter.add(len(ways) - told, edges - told_edges, max(depths.values()))

    def story(signer: Signer) -> tuple[str, ...]:
        way: list[str] = []
        while (step_ := ways[signer]) is not None:
            signer, says = step_
            way.append(says)
        return tuple(reversed(way))

    return Ceremonies(
        len(ways),
        edges,
        max(depths.values()),
        {name: story(signer) for name, signer in broken.items()},
        {name: story(signer) for name, signer in seen.items()},
    )


def _examples(signer: Signer) -> Iterator[str]:
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


def _moves(
    table: BoundMachine[Session],
    signer: Signer,
    collecting: bool,
    attempts: int,
    nonce_survives: bool,
    known: _Known,
) -> Iterator[tuple[str, Signer]]:
    for place, session in enumerate(signer.sessions):
        shared = {"held": signer.held, "records": signer.records, "tree_on_chain": signer.tree_on_chain}
        seen = replace(session, **shared)  # type: ignore[arg-type]
        for says, event in _events(signer, session, collecting, attempts):
            if (seen, event) not in known:
                try:
                    known[seen, event] = step(table, seen, event), prefixes(table, seen, event)
                except Refused:
                    known[seen, event] = None
            found = known[seen, event]
            if found is None:
                continue
            stepped, cut_short = found
            after = replace(stepped.context, held=frozenset(), records=frozenset(), tree_on_chain=False)
            whole = _account(signer, session, event, stepped.actions)
            yield says, replace(whole, sessions=(*signer.sessions[:place], after, *signer.sessions[place + 1 :]))
            for cut in cut_short[1:]:
                crashed = _account(signer, session, event, cut.actions)
                made = replace(cut.context, held=frozenset(), records=frozenset(), tree_on_chain=False)
                sessions = (*signer.sessions[:place], made, *signer.sessions[place + 1 :])
                yield (
                    f"{says}, and {ME} crashes after '{cut.done[-1]}'",
                    _restarted(replace(crashed, sessions=sessions), nonce_survives),
                )
    if not signer.tree_on_chain:
        yield f"{ME} sees the tree on chain", replace(signer, tree_on_chain=True)
    yield f"{ME} crashes", _restarted(signer, nonce_survives)


def _restarted(signer: Signer, nonce_survives: bool) -> Signer:
    """After a crash: what was stored, and no session open. The count of nonces is a ghost: it only tells them apart."""
    sessions = []
    for session in signer.sessions:
        done = session.task.transaction in signer.held
        if nonce_survives and session.status in ("open", "nonces_in", "signed") and not done:
            # What was stored when the nonce was made says nothing about its use since.
            kept = replace(session, status="open", nonce=session.nonces_made, partials=frozenset(), nonces=frozenset())
            sessions.append(kept)
            continue
        if session.nonces_made == 0:
            sessions.append(session)
            continue
        status = "complete" if done else "aborted"
        sessions.append(Session(status, ME, session.task, attempt=session.attempt, nonces_made=session.nonces_made))
    return replace(signer, sessions=tuple(sessions))


def _account(signer: Signer, session: Session, event: Event, actions: tuple[Action, ...]) -> Signer:
    """Do the actions in their order: what is persisted is durable, what is sent has left."""
    task = session.task
    held, records, released, used = signer.held, signer.records, signer.released, signer.used
    genuine, faults = signer.genuine, set(signer.faults)
    verified = _verified(signer.verified, session, event)
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
            rivals = {
                s.task.transaction
                for s in signer.sessions
                if (s.task.outpoint, s.task.slot) == (task.outpoint, task.slot) and s.task.message != task.message
            }
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
