"""The rules of ``spec/machines/factory.toml``: a factory's life in the hands of its LSP."""

from __future__ import annotations

from dataclasses import dataclass, replace

from superscalar_ref.machine.types import Action, Event, Rules, names, number, text
from superscalar_ref.protocol.odometer import Odometer

RULES = Rules("factory")


@dataclass(frozen=True)
class Factory:
    """The LSP's view of one factory."""

    status: str
    me: str
    clients: frozenset[str]
    depth: int
    """Confirmations after which a transaction is treated as final."""
    active_blocks: int
    """Blocks of the active period."""
    joined: frozenset[str] = frozenset()
    agreed: frozenset[str] = frozenset()
    digest: str = ""
    """Name of the plan: every party that computed the same plan has the same."""
    version: str = ""
    """The version that the LSP counts on; empty before the first."""
    pending: str = ""
    """The version being signed."""
    concerned: frozenset[str] = frozenset()
    """Clients whose agreement and kit the pending version, or the close, needs."""
    to_sign: frozenset[str] = frozenset()
    """Transactions that are to be signed for it."""
    complete: frozenset[str] = frozenset()
    """Those of them whose kit is complete."""
    kit: frozenset[str] = frozenset()
    """Names of the transactions that the LSP must hold of what is being signed."""
    held: frozenset[str] = frozenset()
    """Names of all transactions that the LSP holds complete."""
    funded_at: int = 0
    """Height of the funding transaction's block; 0 before."""
    odometer: Odometer | None = None
    """The counters of the tree."""
    attempt: int = 1
    """Number of the attempt at what is being signed."""

    def role_of(self, name: str) -> str:
        """Who ``name`` is to the LSP: self, client, chain, clock, or stranger."""
        if name in self.clients:
            return "client"
        return {self.me: "self", "chain": "chain", "clock": "clock"}.get(name, "stranger")


Result = tuple[Factory, tuple[Action, ...]]


@RULES.guard
def every_client_joined(factory: Factory, event: Event) -> bool:
    """Whether every client's keys are in."""
    return factory.joined == factory.clients


@RULES.guard
def same_plan(factory: Factory, event: Event) -> bool:
    """Whether the client computed the LSP's plan."""
    return event["digest"] == factory.digest


@RULES.guard
def every_client_agreed(factory: Factory, event: Event) -> bool:
    """Whether every client concerned has agreed."""
    return factory.concerned <= factory.agreed


@RULES.guard
def kit_of_this_version(factory: Factory, event: Event) -> bool:
    """Whether the client speaks of the version that is being signed."""
    return event["version"] == factory.pending


@RULES.guard
def every_kit_complete(factory: Factory, event: Event) -> bool:
    """Whether every client concerned has its kit."""
    return factory.concerned <= factory.complete


@RULES.guard
def own_kit_held(factory: Factory, event: Event) -> bool:
    """Whether the LSP holds what it must."""
    return factory.kit <= factory.held


@RULES.guard
def deep_enough(factory: Factory, event: Event) -> bool:
    """Whether a transaction is as deep as a reorg is assumed to reach."""
    return number(event, "depth") >= factory.depth


@RULES.guard
def index_left(factory: Factory, event: Event) -> bool:
    """Whether the node to update has an index left (R-ODOMETER)."""
    odometer = factory.odometer
    return odometer is not None and odometer.index(text(event, "node")) < odometer.states - 1


@RULES.guard
def channels_carried(factory: Factory, event: Event) -> bool:
    """Whether every channel that lives below the node, and no other, moves with its own commitments (D-15).

    The party has looked which live, and which of them the version carries with what they hold.
    """
    return "live" not in dict(event.fields) or names(event, "live") == names(event, "carried")


def _nobody(event: Event, field: str) -> bool:
    """Whether the party that has looked found nobody (the field names who)."""
    return field not in dict(event.fields) or not names(event, field)


@RULES.guard
def sales_finished(factory: Factory, event: Event) -> bool:
    """Whether no link is complete that a client has not said it holds; ``unfinished`` are the labels of such sales."""
    return _nobody(event, "unfinished")


@RULES.guard
def balance_not_less(factory: Factory, event: Event) -> bool:
    """Whether no client gets less than it counts on (CLI-5); ``poorer`` are those that would."""
    return _nobody(event, "poorer")


@RULES.guard
def capacity_not_less(factory: Factory, event: Event) -> bool:
    """Whether no client's channels get smaller (CLI-5); ``smaller`` are those whose would."""
    return _nobody(event, "smaller")


@RULES.guard
def alternates_cover(factory: Factory, event: Event) -> bool:
    """Whether the alternates above pay every larger channel (CLI-5); ``uncovered`` are those whose they would not."""
    return _nobody(event, "uncovered")


@RULES.guard
def channels_quiet(factory: Factory, event: Event) -> bool:
    """Whether every channel that lives is quiet and holds no payment; the party has looked."""
    return "quiet" not in dict(event.fields) or event["quiet"] is True


@RULES.guard
def active_period_over(factory: Factory, event: Event) -> bool:
    """Whether the active period has passed (blocks since the funding confirmed)."""
    return number(event, "height") >= factory.funded_at + factory.active_blocks


@RULES.guard
def end_passed(factory: Factory, event: Event) -> bool:
    """Whether the alternates are valid in the next block."""
    return number(event, "height") >= number(event, "end")


@RULES.guard
def nothing_left(factory: Factory, event: Event) -> bool:
    """Whether no output of the factory waits to be spent."""
    return number(event, "unspent") == 0


@RULES.effect
def note_join(factory: Factory, event: Event) -> Result:
    """The client's keys are in."""
    return replace(factory, joined=factory.joined | {event.by}), ()


def _pend(factory: Factory, event: Event, concerned: frozenset[str]) -> Factory:
    return replace(
        factory,
        digest=text(event, "digest"),
        pending=text(event, "version"),
        concerned=concerned,
        agreed=frozenset(),
        complete=frozenset(),
        kit=names(event, "kit"),
        to_sign=names(event, "to_sign"),
    )


@RULES.effect
def persist_terms(factory: Factory, event: Event) -> Result:
    """The terms and the plan become durable."""
    return _pend(factory, event, factory.clients), (Action("persist", "terms"),)


@RULES.effect
def send_proposal(factory: Factory, event: Event) -> Result:
    """The terms go to every client."""
    return factory, _to_all("proposal", factory.clients)


def _to_all(name: str, clients: frozenset[str]) -> tuple[Action, ...]:
    return tuple(Action("send", name, client) for client in sorted(clients))


@RULES.effect
def note_agreement(factory: Factory, event: Event) -> Result:
    """The client agrees."""
    return replace(factory, agreed=factory.agreed | {event.by}), ()


@RULES.effect
def open_sessions(factory: Factory, event: Event) -> Result:
    """Sessions for everything that is to be signed."""
    fields = (("attempt", factory.attempt), ("transactions", factory.to_sign))
    return factory, (Action("open", "sessions", fields=fields),)


@RULES.effect
def next_attempt(factory: Factory, event: Event) -> Result:
    """One attempt more."""
    return replace(factory, attempt=factory.attempt + 1), ()


@RULES.effect
def send_begin(factory: Factory, event: Event) -> Result:
    """Every client concerned is told to open its sessions."""
    return factory, _to_all("begin", factory.concerned)


@RULES.effect
def note_kit(factory: Factory, event: Event) -> Result:
    """The client's kit is complete."""
    return replace(factory, complete=factory.complete | {event.by}), ()


@RULES.effect
def note_height(factory: Factory, event: Event) -> Result:
    """The active period counts from the block of the funding transaction."""
    return replace(factory, funded_at=number(event, "height")), ()


@RULES.effect
def persist_status(factory: Factory, event: Event) -> Result:
    """The state that is entered becomes durable."""
    return factory, (Action("persist", "status", fields=(("event", event.name),)),)


@RULES.effect
def broadcast_funding(factory: Factory, event: Event) -> Result:
    """The funding transaction, last."""
    return factory, (Action("broadcast", "funding"),)


@RULES.effect
def persist_pending(factory: Factory, event: Event) -> Result:
    """The new version is used up from here on, durably."""
    assert factory.odometer is not None
    ticked = replace(factory, odometer=factory.odometer.tick(text(event, "node")))
    pending = _pend(ticked, event, names(event, "concerned"))
    return pending, (Action("persist", "pending", fields=(("version", pending.pending),)),)


@RULES.effect
def send_update(factory: Factory, event: Event) -> Result:
    """The new version goes to every client concerned."""
    return factory, _to_all("update", factory.concerned)


@RULES.effect
def send_update_aborted(factory: Factory, event: Event) -> Result:
    """Every client below the node learns that the version is given up."""
    return factory, _to_all("update_aborted", factory.concerned)


@RULES.effect
def count_version(factory: Factory, event: Event) -> Result:
    """From here on the LSP relies on the version that was pending."""
    counted = replace(factory, version=factory.pending, pending="", to_sign=frozenset())
    return counted, (Action("persist", "counted", fields=(("version", counted.version),)),)


@RULES.effect
def drop_pending(factory: Factory, event: Event) -> Result:
    """The sessions of the pending version are broken off; its version stays used up."""
    nobody: frozenset[str] = frozenset()
    dropped = replace(factory, pending="", concerned=nobody, complete=nobody, kit=nobody, to_sign=nobody)
    return dropped, (Action("abort", "sessions"),)


@RULES.effect
def persist_close(factory: Factory, event: Event) -> Result:
    """Nothing is updated from here on."""
    return _pend(factory, event, factory.clients), (Action("persist", "close"),)


@RULES.effect
def send_close(factory: Factory, event: Event) -> Result:
    """The closing transaction goes to every client."""
    return factory, _to_all("close", factory.clients)


@RULES.effect
def broadcast_close(factory: Factory, event: Event) -> Result:
    """The closing transaction, complete."""
    return factory, (Action("broadcast", "close", fields=(("transaction", factory.pending),)),)


@RULES.effect
def send_abort(factory: Factory, event: Event) -> Result:
    """Every client learns that the ceremony is given up."""
    return factory, _to_all("abort", factory.clients)
