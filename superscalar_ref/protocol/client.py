"""The rules of ``spec/machines/client.toml``: a client's life in one factory."""

from __future__ import annotations

from dataclasses import dataclass, replace

from superscalar_ref.machine.types import Action, Event, Rules, names, number, text

RULES = Rules("client")


@dataclass(frozen=True)
class Limits:
    """What a client insists on (blocks)."""

    ceiling: int
    """Longest worst-case exit, margin included."""
    margin: int
    """Blocks kept over the worst case."""
    life: int
    """The whole life of a factory, an exit at its end included (R-END): the end must be at least this far away."""
    depth: int
    """Confirmations after which a transaction is treated as final."""
    reaction: int = 0
    """The client's longest absence and the time to confirm together: a lock that it must beat is longer."""
    accepts: frozenset[str] = frozenset({"inverted/every"})
    """What may happen at the end: ``end_default/alternates``, as the parameters name them."""


@dataclass(frozen=True)
class Client:
    """One client's view of its factory."""

    status: str
    me: str
    lsp: str
    limits: Limits
    promised: int = 0
    """Balance that the invitation promises (sat)."""
    version: str = ""
    """The version that the client counts on: indices on its path, ``0.1``; empty before the first."""
    owed: int = 0
    """What it counts on (sat)."""
    capacity: int = 0
    """Both sides of its channels in what it counts on (sat)."""
    kit: frozenset[str] = frozenset()
    """Names of the transactions of the version that it counts on, or is to count on first."""
    pending: str = ""
    """The version being signed."""
    pending_owed: int = 0
    pending_capacity: int = 0
    pending_kit: frozenset[str] = frozenset()
    pending_poison: frozenset[str] = frozenset()
    """Names of the poisons of what the pending version supersedes."""
    newest_agreed: str = ""
    """The newest version that the client ever agreed to sign."""
    held: frozenset[str] = frozenset()
    """Names of all transactions that the client holds complete."""
    unregistered: frozenset[str] = frozenset()
    """Of these, what a tower of the client is to publish, and has not said that it keeps; empty without a tower."""

    def role_of(self, name: str) -> str:
        """Who ``name`` is to this client: self, lsp, chain, or stranger."""
        return {self.me: "self", self.lsp: "lsp", "chain": "chain"}.get(name, "stranger")


Result = tuple[Client, tuple[Action, ...]]


def version_key(version: str) -> tuple[int, ...]:
    """Versions compare like odometers: the first index that differs decides. The empty version is the oldest."""
    return tuple(int(index) for index in version.split(".")) if version and version != "-" else ()


@RULES.guard
def balance_as_promised(client: Client, event: Event) -> bool:
    """Whether the plan gives at least the promised balance."""
    return number(event, "balance") >= client.promised


@RULES.guard
def funding_recomputed(client: Client, event: Event) -> bool:
    """Whether the LSP's funding output is the one that the client computed."""
    return event["funding_claimed"] == event["funding_computed"]


@RULES.guard
def exit_within_ceiling(client: Client, event: Event) -> bool:
    """Whether the worst-case exit and the margin stay within the ceiling (R-EXIT-CEILING)."""
    return number(event, "exit_blocks") + client.limits.margin <= client.limits.ceiling


@RULES.guard
def end_leaves_time(client: Client, event: Event) -> bool:
    """Whether the end is a whole life away (R-END)."""
    return number(event, "height") + client.limits.life <= number(event, "end")


@RULES.guard
def locks_outlast_absence(client: Client, event: Event) -> bool:
    """Whether the shortest lock that the client must beat outlasts its absence (R-STEP-DOMINATES)."""
    return number(event, "shortest_lock") > client.limits.reaction


@RULES.guard
def end_default_accepted(client: Client, event: Event) -> bool:
    """Whether the end's default is one that the client accepts (D-11, D-12)."""
    return text(event, "end_default") in client.limits.accepts


@RULES.guard
def kit_held(client: Client, event: Event) -> bool:
    """Whether the pending version's kit is complete (D-16)."""
    return client.pending_kit <= client.held


@RULES.guard
def poison_held(client: Client, event: Event) -> bool:
    """Whether the poison of every superseded version is complete (D-10)."""
    return client.pending_poison <= client.held


@RULES.guard
def link_held(client: Client, event: Event) -> bool:
    """Whether a link, and what hangs on it, is complete in the client's hands (D-8)."""
    return names(event, "kit") <= client.held


@RULES.guard
def tower_registered(client: Client, event: Event) -> bool:
    """Whether every tower keeps its part of the pending version, or of the link that the event is about."""
    wanted = names(event, "kit") if "kit" in dict(event.fields) else client.pending_kit | client.pending_poison
    return not wanted & client.unregistered


@RULES.guard
def deep_enough(client: Client, event: Event) -> bool:
    """Whether a transaction is as deep as a reorg is assumed to reach."""
    return number(event, "depth") >= client.limits.depth


@RULES.guard
def nothing_left(client: Client, event: Event) -> bool:
    """Whether no confirmed output is left that the client still has to close, sweep, publish a link on, or poison."""
    return "unsettled" not in dict(event.fields) or event["unsettled"] == 0


@RULES.guard
def version_is_newer(client: Client, event: Event) -> bool:
    """Whether a version is newer than all that were ever agreed to."""
    return version_key(text(event, "version")) > version_key(client.newest_agreed)


@RULES.guard
def balance_not_less(client: Client, event: Event) -> bool:
    """Whether a new version gives at least what the client counts on."""
    return number(event, "balance") >= client.owed


@RULES.guard
def capacity_not_less(client: Client, event: Event) -> bool:
    """Whether a new version's channel holds at least as much, both sides together, as what the client counts on."""
    return "capacity" not in dict(event.fields) or number(event, "capacity") >= client.capacity


@RULES.guard
def alternates_cover(client: Client, event: Event) -> bool:
    """Whether every alternate above a new version pays the client its larger channel (D-11; sat).

    ``cover`` is the least that they pay; without it no alternate stands there. What the client counts on already was
    covered when it came about, and the fees inside the alternates are not held against it.
    """
    if "cover" not in dict(event.fields):
        return True
    return number(event, "capacity") <= max(client.capacity, number(event, "cover"))


@RULES.guard
def channels_carried(client: Client, event: Event) -> bool:
    """Whether every channel that lives below the node, and no other, moves with its own commitments (D-15).

    The party has looked which live, and which of them the version carries with what they hold.
    """
    return "live" not in dict(event.fields) or names(event, "live") == names(event, "carried")


@RULES.guard
def channels_quiet(client: Client, event: Event) -> bool:
    """Whether every channel that lives is quiet and holds no payment; the party has looked."""
    return "quiet" not in dict(event.fields) or event["quiet"] is True


@RULES.guard
def close_pays_in_full(client: Client, event: Event) -> bool:
    """Whether a close pays at least what the client counts on, with what it gained or spent in its channels since."""
    gained = number(event, "gained") if "gained" in dict(event.fields) else 0
    return number(event, "balance") >= client.owed + gained


@RULES.effect
def send_join(client: Client, event: Event) -> Result:
    """The client's keys go to the LSP."""
    joined = replace(client, promised=number(event, "balance"))
    return joined, (Action("send", "join", client.lsp),)


def _pend(client: Client, event: Event) -> Client:
    return replace(
        client,
        pending=text(event, "version"),
        pending_owed=number(event, "balance"),
        pending_capacity=number(event, "capacity") if "capacity" in dict(event.fields) else 0,
        pending_kit=names(event, "kit"),
        pending_poison=names(event, "poison") if "poison" in dict(event.fields) else frozenset(),
        newest_agreed=text(event, "version"),
    )


def _persist(client: Client, what: str) -> Action:
    return Action("persist", what, fields=(("version", client.pending or client.version),))


@RULES.effect
def persist_terms(client: Client, event: Event) -> Result:
    """The terms and the kit that they ask become durable."""
    pending = _pend(client, event)
    return pending, (_persist(pending, "terms"),)


@RULES.effect
def persist_pending(client: Client, event: Event) -> Result:
    """The version is used up from here on, durably."""
    pending = _pend(client, event)
    return pending, (_persist(pending, "pending"),)


@RULES.effect
def send_agreement(client: Client, event: Event) -> Result:
    """The LSP learns that the client agrees."""
    return client, (Action("send", "agreement", client.lsp),)


@RULES.effect
def count_version(client: Client, event: Event) -> Result:
    """From here on the client relies on the version that was pending."""
    counted = replace(
        client,
        version=client.pending,
        owed=client.pending_owed,
        capacity=client.pending_capacity,
        kit=client.pending_kit,
        pending="",
        pending_owed=0,
        pending_capacity=0,
        pending_kit=frozenset(),
        pending_poison=frozenset(),
    )
    return counted, (_persist(counted, "counted"),)


@RULES.effect
def count_link(client: Client, event: Event) -> Result:
    """From here on the client relies on a link too, and on what it bought with it (sat)."""
    counted = replace(
        client,
        owed=client.owed + number(event, "given"),
        capacity=client.capacity + number(event, "bought"),
        kit=client.kit | names(event, "kit"),
    )
    return counted, (_persist(counted, "link_counted"),)


@RULES.effect
def send_kit_complete(client: Client, event: Event) -> Result:
    """The LSP learns that the kit of this version is complete."""
    return client, (Action("send", "kit_complete", client.lsp, (("version", client.version),)),)


@RULES.effect
def persist_status(client: Client, event: Event) -> Result:
    """The state that is entered becomes durable."""
    return client, (Action("persist", "status", fields=(("event", event.name),)),)


@RULES.effect
def drop_pending(client: Client, event: Event) -> Result:
    """The sessions of the pending version are broken off; its version stays used up."""
    nothing: frozenset[str] = frozenset()
    dropped = replace(
        client, pending="", pending_owed=0, pending_capacity=0, pending_kit=nothing, pending_poison=nothing
    )
    return dropped, (Action("abort", "sessions"),)
