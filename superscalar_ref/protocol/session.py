"""The rules of ``spec/machines/session.toml``: one signer's part in signing one transaction.

The state is symbolic: who has sent a nonce, who has signed, what is held. ``signing/`` carries it out with MuSig2.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from superscalar_ref.machine.types import Action, Event, Rules, number

RULES = Rules("session")


@dataclass(frozen=True)
class Task:
    """What is to be signed, by whom: it never changes while a session lives."""

    transaction: str
    """Name of the template."""
    message: str
    """What is signed: a name for its sighash."""
    outpoint: str
    """The output that it spends."""
    slot: str
    """Which of the spends of that output (``state 2``): a signer signs one message for each."""
    signers: frozenset[str]
    collector: str
    """Who collects nonces and partial signatures: the LSP, or the holder of a commitment."""
    holders: frozenset[str]
    """Who is to hold the complete transaction: all signers, or the holder of a commitment alone."""
    needs: frozenset[str] = frozenset()
    """The children that this signer must hold complete before it signs (D-4)."""
    poisons: bool = False
    """Whether it is the poison of an output of a leaf's state, or of a link on it (D-10)."""
    after: frozenset[str] = frozenset()
    """A poison's: everything of a newer version that this signer is to hold; empty while there is none."""


Record = tuple[str, str, str]
"""A durable record (D-7): outpoint, slot, message."""


@dataclass(frozen=True)
class Session:
    """One signer's view of one session."""

    status: str
    me: str
    task: Task
    nonce: int = 0
    """Number of the secret nonce in memory; 0 for none."""
    attempt: int = 0
    """Number of the attempt that is open; the collector counts them."""
    nonces_made: int = 0
    """How many nonces this signer has ever made for this task."""
    nonces: frozenset[str] = frozenset()
    """Collector: who has sent a nonce."""
    partials: frozenset[str] = frozenset()
    """Collector: whose partial signature is in and verified."""
    held: frozenset[str] = frozenset()
    """Names of all transactions that this signer holds complete, not only this one."""
    records: frozenset[Record] = frozenset()
    """Everything that this signer has ever recorded as signed."""

    tree_on_chain: bool = False
    """Whether this signer has seen a transaction of the tree confirmed."""

    @property
    def others(self) -> frozenset[str]:
        """The other signers."""
        return self.task.signers - {self.me}

    def role_of(self, name: str) -> str:
        """Who ``name`` is in this session: self, collector, signer (for the collector alone), or stranger."""
        if name == self.me:
            return "self"
        if name == self.task.collector:
            return "collector"
        return "signer" if name in self.task.signers and self.me == self.task.collector else "stranger"


Result = tuple[Session, tuple[Action, ...]]


def _send(session: Session, to: str, name: str) -> Action:
    fields = (("attempt", session.attempt), ("transaction", session.task.transaction))
    return Action("send", name, to, fields)


@RULES.guard
def attempt_is_newer(session: Session, event: Event) -> bool:
    """Whether this attempt has not been opened before."""
    return number(event, "attempt") > session.attempt


@RULES.guard
def of_this_attempt(session: Session, event: Event) -> bool:
    """Whether the message belongs to the attempt that is open: what was late or doubled does not."""
    return event["attempt"] == session.attempt


@RULES.guard
def nonce_is_first(session: Session, event: Event) -> bool:
    """Whether the sender has sent no nonce in this session yet."""
    return event.by not in session.nonces


@RULES.guard
def last_nonce(session: Session, event: Event) -> bool:
    """Whether every other signer's nonce is in with this one."""
    return session.nonces | {event.by} >= session.others


@RULES.guard
def children_complete(session: Session, event: Event) -> bool:
    """Whether this signer holds every child that it needs complete (D-4)."""
    return session.task.needs <= session.held


@RULES.guard
def only_superseded(session: Session, event: Event) -> bool:
    """Whether a poison comes after what supersedes the state that it poisons (D-10)."""
    task = session.task
    return not task.poisons or (bool(task.after) and task.after <= session.held)


@RULES.guard
def nothing_on_chain(session: Session, event: Event) -> bool:
    """Whether the tree is still off chain, as far as this signer has seen."""
    return not session.tree_on_chain


@RULES.guard
def spend_is_unrecorded(session: Session, event: Event) -> bool:
    """Whether nothing else is recorded for the same outpoint and slot (D-7)."""
    task = session.task
    return not any(
        outpoint == task.outpoint and slot == task.slot and message != task.message
        for outpoint, slot, message in session.records
    )


@RULES.guard
def partial_verifies(session: Session, event: Event) -> bool:
    """Whether the partial signature verifies; ``signing/`` has looked."""
    return event["valid"] is True


@RULES.guard
def last_partial(session: Session, event: Event) -> bool:
    """Whether every other signer's partial signature is in with this one."""
    return session.partials | {event.by} >= session.others


@RULES.guard
def every_partial_in(session: Session, event: Event) -> bool:
    """Whether this signer is the collector and has every other signer's partial signature."""
    return session.me == session.task.collector and session.partials >= session.others


@RULES.guard
def signature_verifies(session: Session, event: Event) -> bool:
    """Whether the complete signature verifies; ``signing/`` has looked."""
    return event["valid"] is True


@RULES.effect
def make_nonce(session: Session, event: Event) -> Result:
    """A fresh nonce, and nothing left of an earlier attempt."""
    made = session.nonces_made + 1
    fresh = replace(
        session,
        attempt=number(event, "attempt"),
        nonce=made,
        nonces_made=made,
        nonces=frozenset(),
        partials=frozenset(),
    )
    return fresh, (Action("nonce", session.task.transaction, fields=(("number", made),)),)


@RULES.effect
def send_nonce(session: Session, event: Event) -> Result:
    """The public nonce goes to the collector, unless that is this signer itself."""
    if session.task.collector == session.me:
        return session, ()
    return session, (_send(session, session.task.collector, "nonce"),)


@RULES.effect
def take_nonce(session: Session, event: Event) -> Result:
    """Keep a signer's public nonce."""
    kept = Action("keep", "nonce", event.by, (("transaction", session.task.transaction),))
    return replace(session, nonces=session.nonces | {event.by}), (kept,)


@RULES.effect
def send_aggregate_nonce(session: Session, event: Event) -> Result:
    """The aggregate nonce goes to every other signer."""
    return session, tuple(_send(session, other, "aggregate_nonce") for other in sorted(session.others))


@RULES.effect
def take_aggregate_nonce(session: Session, event: Event) -> Result:
    """Keep the aggregate nonce."""
    kept = Action("keep", "aggregate_nonce", event.by, (("transaction", session.task.transaction),))
    return session, (kept,)


@RULES.effect
def record_spend(session: Session, event: Event) -> Result:
    """The durable record: before the partial signature leaves."""
    task = session.task
    record = (task.outpoint, task.slot, task.message)
    fields = (
        ("message", task.message),
        ("outpoint", task.outpoint),
        ("slot", task.slot),
        ("transaction", task.transaction),
    )
    return replace(session, records=session.records | {record}), (Action("persist", "record", fields=fields),)


@RULES.effect
def use_nonce(session: Session, event: Event) -> Result:
    """Sign with the secret nonce; it is gone after."""
    signing = Action("sign", session.task.transaction, fields=(("nonce", session.nonce),))
    return replace(session, nonce=0), (signing,)


@RULES.effect
def send_partial(session: Session, event: Event) -> Result:
    """The partial signature goes to the collector, unless that is this signer itself."""
    if session.task.collector == session.me:
        return session, ()
    return session, (_send(session, session.task.collector, "partial"),)


@RULES.effect
def take_partial(session: Session, event: Event) -> Result:
    """Keep a signer's partial signature."""
    kept = Action("keep", "partial", event.by, (("transaction", session.task.transaction),))
    return replace(session, partials=session.partials | {event.by}), (kept,)


@RULES.effect
def store_signature(session: Session, event: Event) -> Result:
    """The durable signature; the transaction is held from here on."""
    name = session.task.transaction
    return replace(session, held=session.held | {name}), (
        Action("persist", "signature", fields=(("transaction", name),)),
    )


@RULES.effect
def send_signature(session: Session, event: Event) -> Result:
    """The complete signature goes to every other signer that is to hold it."""
    others = sorted(session.task.holders - {session.me})
    return session, tuple(_send(session, other, "signature") for other in others)


@RULES.effect
def destroy_nonce(session: Session, event: Event) -> Result:
    """No secret nonce outlives its session (D-2)."""
    forgotten = Action("forget", session.task.transaction)
    return replace(session, nonce=0), (forgotten,)
