"""The rules of ``spec/machines/stock.toml``: one stock output of a leaf and the chain of sales on it.

Each client that shares the stock, and the LSP, has one ``Stock`` for each stock output of each leaf state that it
counts on. The same table drives them all: rows by ``self`` are the LSP's, rows by ``member`` a client's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from superscalar_ref.machine.types import Action, Event, Rules, names, number, text
from superscalar_ref.protocol.chain_links import SLOT
from superscalar_ref.protocol.session import Record

RULES = Rules("stock")


@dataclass(frozen=True)
class Pending:
    """A sale that is being signed."""

    label: str
    """Its name among all sales of the factory."""
    link: str
    """Name of its link."""
    digest: str
    """What every signer computed: the link's txid."""
    buyer: str
    capacity: int
    """Both sides of the new channel (sat)."""
    given: int
    """What the new channel holds for the buyer from the start (sat)."""
    price: int
    """What the buyer is to pay (sat)."""
    left: int
    """What the smaller stock holds (sat)."""
    tip: str
    """The smaller stock's outpoint."""
    kit: frozenset[str]
    """What this signer must hold of it."""
    to_sign: frozenset[str]


@dataclass(frozen=True)
class Sold:
    """A complete link."""

    label: str
    link: str
    buyer: str
    capacity: int
    """Both sides of the new channel (sat)."""
    given: int
    """Sat."""
    price: int
    """Sat."""
    kit: frozenset[str]
    """What this signer holds of it."""
    paid: bool = False


@dataclass(frozen=True)
class Stock:
    """One signer's view of one stock."""

    status: str
    me: str
    lsp: str
    clients: frozenset[str]
    """Who shares it besides the LSP."""
    left: int
    """In the newest complete link, or in the leaf's own output when there is none (sat)."""
    tip: str
    """The outpoint that holds it."""
    least: int
    """The smallest output (sat)."""
    state: str = ""
    """Name of the leaf's state."""
    links: tuple[Sold, ...] = ()
    """The complete links, oldest first."""
    pending: Pending | None = None
    wanted: int = 0
    """Client: the capacity that it has asked for (sat); 0 for none."""
    most: int = 0
    """Client: what that may cost (sat)."""
    agreed: frozenset[str] = frozenset()
    holders: frozenset[str] = frozenset()
    """LSP: clients that hold the pending link."""
    attempt: int = 0
    """Number of the attempt at the pending sale."""
    held: frozenset[str] = frozenset()
    """Names of all transactions that this signer holds complete."""
    records: frozenset[Record] = frozenset()
    """Everything that this signer has ever recorded as signed."""

    def role_of(self, name: str) -> str:
        """Who ``name`` is here: self (the LSP), member (this client), lsp, client (the others), chain, or stranger."""
        if name == self.me:
            return "self" if self.me == self.lsp else "member"
        if name == self.lsp:
            return "lsp"
        return "client" if name in self.clients else {"chain": "chain"}.get(name, "stranger")


Result = tuple[Stock, tuple[Action, ...]]

FALLBACKS: Mapping[str, str] = {
    "buyers_cohort_online": "a channel with an on-chain output of its own (JIT); payments split over both channels",
    "amount_available": "a channel with an on-chain output of its own (JIT), or stock moved here by an update",
    "outpoint_never_signed": "finish the sale that was signed, or update the leaf, which cuts the chain through",
    "builds_on_newest": "ask again: the sale then builds on the newest link",
    "factory_active": "ask again when the update is over; in a dying factory, a channel of the next one",
    "state_is_newest": "update the leaf once more: then its stock can be sold from again",
    "before_dying": "a channel of the next factory",
    "alternates_cover": "less of it; a channel with an on-chain output of its own (JIT); a channel of the next factory",
}
"""For each guard of ``sell``: what remains when it refuses."""


def fallback(guard: str | None) -> str:
    """What a buyer can do instead when a sale was refused by this guard; None: another sale is being signed."""
    return FALLBACKS.get(guard or "", "ask again when the sale that is being signed is complete")


def _spent_by_another(stock: Stock, message: str) -> bool:
    return any(
        outpoint == stock.tip and slot == SLOT and recorded != message for outpoint, slot, recorded in stock.records
    )


@RULES.guard
def factory_active(stock: Stock, event: Event) -> bool:
    """Whether the party's life in this factory is in its active state."""
    return event["life"] == "active"


@RULES.guard
def state_is_newest(stock: Stock, event: Event) -> bool:
    """Whether no newer state of the leaf was ever agreed to: somebody could hold it complete, and it knows no link."""
    return event["newest"] is True


@RULES.guard
def before_dying(stock: Stock, event: Event) -> bool:
    """Whether the dying period has not begun (heights)."""
    return number(event, "height") < number(event, "dying_at")


@RULES.guard
def buyers_cohort_online(stock: Stock, event: Event) -> bool:
    """Whether every client of the stock is online."""
    return stock.clients <= names(event, "online")


@RULES.guard
def builds_on_newest(stock: Stock, event: Event) -> bool:
    """Whether the sale spends what the newest complete link left (Q-STK-5)."""
    return event["outpoint"] == stock.tip


@RULES.guard
def outpoint_never_signed(stock: Stock, event: Event) -> bool:
    """Whether no other link is recorded as signed for the outpoint (D-7)."""
    return not _spent_by_another(stock, text(event, "message"))


@RULES.guard
def amount_available(stock: Stock, event: Event) -> bool:
    """Whether what is left after the channel and the link's cost is no dust (sat)."""
    return stock.left - number(event, "capacity") - number(event, "cost") >= stock.least


@RULES.guard
def alternates_cover(stock: Stock, event: Event) -> bool:
    """Whether every alternate that was signed before pays a client's own purchase too (sat); the LSP asks it of all."""
    if event["buyer"] != stock.me and stock.me != stock.lsp:
        return True
    return number(event, "capacity") <= number(event, "cover")


@RULES.guard
def exit_in_time(stock: Stock, event: Event) -> bool:
    """Whether the longer exit, margin included, fits its ceiling and the time until the end (R-EXIT-CEILING)."""
    blocks = number(event, "exit_blocks")
    return blocks <= number(event, "ceiling") and number(event, "height") + blocks <= number(event, "end")


@RULES.guard
def as_requested(stock: Stock, event: Event) -> bool:
    """Whether a purchase of this client's own is what it has asked for."""
    if event["buyer"] != stock.me:
        return True
    asked = 0 < stock.wanted <= number(event, "capacity")
    return asked and number(event, "price") <= stock.most


@RULES.guard
def same_link(stock: Stock, event: Event) -> bool:
    """Whether the client computed the LSP's link."""
    return stock.pending is not None and event["digest"] == stock.pending.digest


@RULES.guard
def every_client_agreed(stock: Stock, event: Event) -> bool:
    """Whether every client of the stock has agreed."""
    return stock.clients <= stock.agreed


@RULES.guard
def of_this_sale(stock: Stock, event: Event) -> bool:
    """Whether the message names the pending sale."""
    return stock.pending is not None and event["label"] == stock.pending.label


@RULES.guard
def link_held(stock: Stock, event: Event) -> bool:
    """Whether this signer holds its part of the pending sale complete (D-8)."""
    return stock.pending is not None and stock.pending.kit <= stock.held


@RULES.guard
def every_client_holds(stock: Stock, event: Event) -> bool:
    """Whether every client of the stock holds the pending link."""
    return stock.clients <= stock.holders


@RULES.guard
def link_complete_before_payment(stock: Stock, event: Event) -> bool:
    """Whether the payment is for a link that this client bought, has not paid, and holds (D-8)."""
    return any(
        sold.label == event["label"] and sold.buyer == stock.me and not sold.paid and sold.kit <= stock.held
        for sold in stock.links
    )


@RULES.guard
def channel_open(stock: Stock, event: Event) -> bool:
    """Whether the bought channel is open between both sides; the party has looked (D-8)."""
    return "open" not in dict(event.fields) or event["open"] is True


@RULES.guard
def bought_by_sender(stock: Stock, event: Event) -> bool:
    """Whether a payment is for a link that its sender bought and has not paid."""
    return any(sold.label == event["label"] and sold.buyer == event.by and not sold.paid for sold in stock.links)


@RULES.guard
def nothing_sold(stock: Stock, event: Event) -> bool:
    """Whether there is no complete link."""
    return not stock.links


@RULES.guard
def link_unsigned(stock: Stock, event: Event) -> bool:
    """Whether this signer has signed no link for the newest outpoint."""
    return not any(outpoint == stock.tip and slot == SLOT for outpoint, slot, _ in stock.records)


@RULES.guard
def newer_state_held(stock: Stock, event: Event) -> bool:
    """Whether the newer version of the leaf is complete in this signer's hands (D-10)."""
    newer = names(event, "newer")
    return bool(newer) and newer <= stock.held


@RULES.effect
def note_request(stock: Stock, event: Event) -> Result:
    """What the client wants, durably, and then the LSP hears of it."""
    asking = replace(stock, wanted=number(event, "capacity"), most=number(event, "most"))
    return asking, (
        Action("persist", "request"),
        Action("send", "buy", stock.lsp, (("capacity", asking.wanted), ("most", asking.most))),
    )


@RULES.effect
def pend_sale(stock: Stock, event: Event) -> Result:
    """The sale, as this signer computed it."""
    pending = Pending(
        text(event, "label"),
        text(event, "link"),
        text(event, "digest"),
        text(event, "buyer"),
        number(event, "capacity"),
        number(event, "given"),
        number(event, "price"),
        number(event, "left"),
        text(event, "tip"),
        names(event, "kit"),
        names(event, "to_sign"),
    )
    return replace(stock, pending=pending, agreed=frozenset(), holders=frozenset()), ()


@RULES.effect
def persist_offer(stock: Stock, event: Event) -> Result:
    """The sale becomes durable."""
    return stock, (Action("persist", "sale", fields=(("label", event["label"]),)),)


@RULES.effect
def persist_status(stock: Stock, event: Event) -> Result:
    """The state that is entered becomes durable."""
    return stock, (Action("persist", "status", fields=(("event", event.name),)),)


def _to_clients(stock: Stock, name: str) -> tuple[Action, ...]:
    """A message to every client of the stock: only the LSP has any to send."""
    if stock.me != stock.lsp or stock.pending is None:
        return ()
    label = stock.pending.label
    return tuple(Action("send", name, client, (("label", label),)) for client in sorted(stock.clients))


@RULES.effect
def send_offer(stock: Stock, event: Event) -> Result:
    """The sale goes to every client of the stock."""
    return stock, _to_clients(stock, "sale")


@RULES.effect
def send_agreement(stock: Stock, event: Event) -> Result:
    """The LSP learns that this client agrees."""
    return stock, (Action("send", "sale_agreement", stock.lsp, (("label", event["label"]),)),)


@RULES.effect
def note_agreement(stock: Stock, event: Event) -> Result:
    """The client agrees."""
    return replace(stock, agreed=stock.agreed | {event.by}), ()


@RULES.effect
def next_attempt(stock: Stock, event: Event) -> Result:
    """One attempt more."""
    return replace(stock, attempt=stock.attempt + 1), ()


@RULES.effect
def send_begin(stock: Stock, event: Event) -> Result:
    """Every client of the stock is told to open its sessions."""
    return stock, _to_clients(stock, "begin_sale")


@RULES.effect
def open_sessions(stock: Stock, event: Event) -> Result:
    """Sessions for everything of the sale that this signer signs: the LSP counts the attempts."""
    assert stock.pending is not None
    attempt = stock.attempt if stock.me == stock.lsp else number(event, "attempt")
    return stock, (Action("open", "sessions", fields=(("attempt", attempt), ("transactions", stock.pending.to_sign))),)


@RULES.effect
def append_link(stock: Stock, event: Event) -> Result:
    """The pending link is the newest from here on, durably."""
    pending = stock.pending
    assert pending is not None
    sold = Sold(
        pending.label,
        pending.link,
        pending.buyer,
        pending.capacity,
        pending.given,
        pending.price,
        pending.kit,
    )
    mine = pending.buyer == stock.me
    chained = replace(
        stock,
        links=(*stock.links, sold),
        left=pending.left,
        tip=pending.tip,
        pending=None,
        wanted=0 if mine else stock.wanted,
        most=0 if mine else stock.most,
    )
    return chained, (Action("persist", "link", fields=(("label", sold.label),)),)


@RULES.effect
def count_purchase(stock: Stock, event: Event) -> Result:
    """The client's life counts on the link, and on what it bought with it."""
    newest = stock.links[-1]
    given, bought = (newest.given, newest.capacity) if newest.buyer == stock.me else (0, 0)
    return stock, (Action("count", "link", fields=(("bought", bought), ("given", given), ("kit", newest.kit))),)


@RULES.effect
def send_link_held(stock: Stock, event: Event) -> Result:
    """The LSP learns that this client holds the link."""
    return stock, (Action("send", "link_held", stock.lsp, (("label", stock.links[-1].label),)),)


@RULES.effect
def note_holder(stock: Stock, event: Event) -> Result:
    """The client holds the link."""
    return replace(stock, holders=stock.holders | {event.by}), ()


@RULES.effect
def ask_payment(stock: Stock, event: Event) -> Result:
    """The buyer is asked to pay."""
    newest = stock.links[-1]
    return stock, (Action("send", "payment_request", newest.buyer, (("label", newest.label),)),)


@RULES.effect
def note_payment(stock: Stock, event: Event) -> Result:
    """The purchase is paid for, durably: nobody is paid twice."""
    links = tuple(replace(sold, paid=True) if sold.label == event["label"] else sold for sold in stock.links)
    return replace(stock, links=links), (Action("persist", "payment", fields=(("label", event["label"]),)),)


@RULES.effect
def send_payment(stock: Stock, event: Event) -> Result:
    """The payment goes."""
    return stock, (Action("send", "payment", stock.lsp, (("label", event["label"]),)),)


@RULES.effect
def drop_sale(stock: Stock, event: Event) -> Result:
    """No sale is pending any more, and none of its sessions is open."""
    if stock.pending is None:
        return stock, ()
    broken = Action("abort", "sessions", fields=(("transactions", stock.pending.to_sign),))
    return replace(stock, pending=None), (broken,)


@RULES.effect
def send_sale_aborted(stock: Stock, event: Event) -> Result:
    """Every client of the stock learns that the sale is given up."""
    return stock, _to_clients(stock, "sale_aborted")
