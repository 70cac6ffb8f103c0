"""One leaf whose channels are paid through, and whose sales have a price: old commitments beside old leaf states.

A payment moves a channel's balance: each side gets a new commitment on every outpoint of the channel, and then each
revokes its old ones, as ``channel.toml`` has it (D-14, D-15). A sale is paid that way, through the buyer's first
channel (D-8). After each step nobody signs any more, and each party plays against all others (``stock``).

Laws of this module:

* The payer signs first: it counts on less from its own signature on. The payee counts on more when the payer has
  revoked.
* Whoever has revoked a commitment does not keep it; the other side keeps all its own, and takes by penalty what was
  revoked to it.
* Whether a buyer lets its payment settle is decided by the stock's table.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from superscalar_ref.check.stock import CAPACITY, LITTLE, START, STOCK, Leaf, Stop, penalties
from superscalar_ref.check.world import LSP
from superscalar_ref.errors import Refused
from superscalar_ref.machine.step import step
from superscalar_ref.machine.types import Event
from superscalar_ref.protocol.blueprint import Channel, Drafter
from superscalar_ref.protocol.chain_links import Sale, link
from superscalar_ref.protocol.stock import Stock
from superscalar_ref.protocol.transaction import Kind, Outpoint, Template

PAID, PRICE = "P-PAYMENT-KEPT", "P-PRICE-KEPT"
BOUGHT, COST = 5, 2
"""What a client buys of the shared stock, and its price (units)."""
BUYER = "B"
_UPDATE = ("sign", "give", "poison", "leave")
PLANS: tuple[tuple[str | int, ...], ...] = (
    (2, "sign", "give", "poison", "leave", 4),
    (-2, "sign", "give", "poison", "leave", -1),
    ("begin", 4, "sign", "give", -5, "poison", "leave"),
    ("sign", -2, "give", 4, "poison", "leave"),
)
LONG: tuple[str | int, ...] = (2, *_UPDATE, -3, *_UPDATE, 4)
"""Three versions: what becomes of the last of these is played, beside two old leaf states."""
"""What happens to A's channel: payments to A (units; negative: from A), and the steps of an update of its leaf.

begin: what hangs on the new state is signed, the state is not. sign: the LSP has it complete, and A has not. give: A
has it. poison: everybody has that of the old state. leave: both sides renew, and are off the old outpoint.
"""
LAST = 2
"""So many of its stops: those of its end."""
_FIRST = "everybody signs the first version, and the funding is in block 0"


@dataclass
class Moving:
    """One channel while payments move its balance, and what is true of its commitments."""

    leaf: Leaf
    client: str
    catalog: dict[str, Template]
    balances: dict[str, int]
    """Party → what it counts on (units)."""
    places: tuple[Outpoint, ...] = ()
    """Outpoints for which the channel signs, oldest first."""
    newest: dict[tuple[Outpoint, str], str] = field(default_factory=dict)
    """(outpoint, holder) → the holder's newest commitment there."""
    dropped: dict[str, set[str]] = field(default_factory=dict)
    """Party → its own commitments that it has revoked."""
    resting: bool = True
    """Whether no payment is under way."""
    firsts: frozenset[str] = frozenset()
    """Commitments that a ceremony signed, which the channel knows nothing of (a wrong design)."""

    def enter(self, outpoint: Outpoint) -> None:
        """From here on the channel signs for this outpoint too, on which its first commitments are complete."""
        moved = bool(self.places)
        self.places += (outpoint,)
        for template in self.catalog.values():
            if template.kind is Kind.COMMITMENT and template.spends[0].outpoint == outpoint:
                self.newest[outpoint, template.holder] = template.name
                if moved and self.leaf.plot.moving == "first":
                    self.firsts |= {template.name}

    def pay(self, amount: int) -> Iterator[str]:
        """A payment of ``amount`` to the client (units; negative: from it), step by step: what is done, in words."""
        payer, payee = (LSP, self.client) if amount > 0 else (self.client, LSP)
        places = {"newest": self.places[-1:], "first": self.places[:1]}.get(self.leaf.plot.moving, self.places)
        for number, says in enumerate(self._renew(payee, payer, places, self.balances[self.client] + amount)):
            self.resting = number == 3
            if number == 0:
                self.balances[payer] -= abs(amount)
                yield f"{payer} pays {payee} {abs(amount)} units: {says}"
            else:
                if self.resting:
                    self.balances[payee] += abs(amount)
                yield says

    def leave(self) -> Iterator[str]:
        """Both sides leave all outpoints but the newest, and renew: one number, and so one secret, for all of them."""
        self.places, left = self.places[-1:], self.places[:-1]
        for says in self._renew(self.client, LSP, self.places, self.balances[self.client], left):
            yield f"the old outpoint is left: {says}"

    def _renew(
        self, first: str, second: str, places: tuple[Outpoint, ...], to_client: int, left: tuple[Outpoint, ...] = ()
    ) -> Iterator[str]:
        """New commitments on ``places`` for the first side, and then for the second; each then revokes its old ones."""
        for holder, other in ((first, second), (second, first)):
            old = [self.newest[place, holder] for place in (*left, *self.places)]
            for place in places:
                self._draw(place, holder, to_client)
            yield f"{other} signs {holder}'s new commitment"
            self._revoke(holder, old, left)
            yield f"{holder} revokes its old one"

    def _draw(self, outpoint: Outpoint, holder: str, to_client: int) -> None:
        """One commitment more, its sweep, and the penalty that its holder would reveal by revoking it."""
        first, _, number = self.newest[outpoint, holder].partition("~")
        name = f"{first}~{int(number or 1) + 1}"
        capacity = self.catalog[outpoint.transaction].outputs[outpoint.index].amount
        draft = Drafter(self.leaf.terms)
        draft.commitment(Channel(self.client, to_client, capacity - to_client), outpoint, name, holder)
        self.catalog.update(draft.templates)
        self.newest[outpoint, holder] = name

    def _revoke(self, holder: str, old: list[str], left: tuple[Outpoint, ...]) -> None:
        """The holder tells the secret of old commitments and keeps them no longer; some designs forget the secret."""
        self.dropped.setdefault(holder, set()).update(old)
        tells = {"client": holder != LSP, "lsp": holder == LSP}.get(self.leaf.plot.revoked, True)
        told = [self.catalog[name] for name in old if tells and name not in self.firsts]
        if self.leaf.plot.revoked == "newest":
            told = [one for one in told if one.spends[0].outpoint not in left]
        self.catalog.update(penalties(told))


def payments(leaf: Leaf) -> Iterator[Stop]:
    """Every stop of payments through A's channel before, during and after an update of its leaf."""
    for plan in PLANS:
        yield from _planned(leaf, plan)


def late_payments(leaf: Leaf) -> Iterator[Stop]:
    """The end of a plan of three versions: the last payment is settled."""
    yield from list(_planned(leaf, LONG))[-LAST:]


def _planned(leaf: Leaf, plan: tuple[str | int, ...]) -> Iterator[Stop]:
    """The stops of one plan, in their order: two for each step, one of them for a client without coins."""
    old = leaf.version(0, START, LITTLE)
    channel = Moving(leaf, "A", dict(old.templates), {"A": START, LSP: CAPACITY - START})
    channel.enter(Outpoint(leaf.state, 0))
    story = [_FIRST]
    reached = ""
    for what in plan:
        reached = reached if isinstance(what, int) else what
        for says in channel.pay(what) if isinstance(what, int) else _updated(channel, what):
            story.append(says)
            yield from _stops(channel, tuple(story), reached)


def _updated(channel: Moving, what: str) -> Iterator[str]:
    """One step of an update of the leaf: what is done, in words."""
    leaf = channel.leaf
    index = sum(template.kind is Kind.STATE for template in channel.catalog.values())
    if what in ("begin", "sign") and len(channel.places) == 1:
        new = leaf.version(index, channel.balances["A"], LITTLE)
        channel.catalog.update(new.templates)
        channel.enter(Outpoint(new.path("A")[-1], 0))
    if what == "begin":
        yield "an update begins: what hangs on the new state is signed"
    elif what == "sign":
        yield f"{LSP} completes the new version, and keeps its state back"
    elif what == "give":
        yield "everybody gets the new version"
    elif what == "poison":
        channel.catalog.update(leaf.poison(leaf.version(index - 2, channel.balances["A"], LITTLE)))
        yield "everybody gets the poison of the version before"
    else:
        yield from channel.leave()


def _stops(channel: Moving, story: tuple[str, ...], reached: str) -> Iterator[Stop]:
    """What is played after a step: by A, by A without coins, and by the LSP for its side of the channel."""
    catalog = dict(channel.catalog)
    states = [name for name, template in catalog.items() if template.kind is Kind.STATE]
    new = frozenset({channel.places[-1].transaction}) if len(channel.places) > 1 else frozenset[str]()
    complete = frozenset(catalog) - (new if reached == "begin" else frozenset())
    kept = new if reached == "sign" else frozenset()
    below = frozenset().union(*(channel.leaf.below(catalog, Outpoint(name, 0)) for name in states))
    missing = {party: frozenset(names) for party, names in channel.dropped.items()}
    missing["A"] = missing.get("A", frozenset()) | kept
    owed = {"A": channel.balances["A"], LSP: 0}
    parts = ((below, channel.balances[LSP]),)
    yield Stop(PAID, story, catalog, complete, owed, missing, parts=parts)
    yield Stop(PAID, story, catalog, complete, {"A": owed["A"]}, missing, poor=frozenset({"A"}))


def prices(leaf: Leaf) -> Iterator[Stop]:
    """Every stop of a sale that has a price, and of one that is paid for and never made."""
    yield from _unmade(leaf)
    yield from _priced(leaf)


@dataclass
class _Purchase:
    """What the buyer has, and what it has paid for it."""

    leaf: Leaf
    first: Moving
    """Its first channel, through which it pays."""
    sale: Sale
    story: list[str]
    bought: Moving | None = None
    """The channel that it bought, once it has it."""
    paid: int = 0
    """How often it has paid."""
    kept: frozenset[str] = frozenset()
    """What is complete and not in the buyer's hands."""

    def stop(self, says: str) -> Stop:
        """Nobody signs any more. What was paid without the channel, or twice, is still the buyer's."""
        self.story.append(says)
        leaf, first, bought = self.leaf, self.first, self.bought
        catalog = dict(first.catalog)
        owed = first.balances[BUYER] + (bought.balances[BUYER] if bought else 0)
        due = 1 if bought else 0
        owed += COST * max(self.paid - due, 0)
        dropped = [one.dropped for one in (first, bought) if one is not None]
        missing = {p: frozenset(n for one in dropped for n in one.get(p, ())) for p in (BUYER, LSP)}
        missing[BUYER] |= self.kept
        stock = STOCK - BOUGHT + bought.balances[LSP] if bought else STOCK
        handed = bought.balances[BUYER] if bought and leaf.plot.handover == "first" and not self.paid else 0
        parts = (
            (leaf.below(catalog, Outpoint(leaf.state, 1)), first.balances[LSP]),
            (leaf.below(catalog, leaf.base), stock + handed),
        )
        return Stop(
            PRICE,
            tuple(self.story),
            catalog,
            frozenset(catalog),
            {BUYER: owed, LSP: 0},
            missing,
            waiting=frozenset({BUYER} if all(one.resting for one in (first, bought) if one) else ()),
            parts=parts,
        )

    def asked(self, side: Stock) -> Iterator[Stop]:
        """The LSP asks for the price, and asks again: each time that the buyer's table lets it, the buyer pays."""
        for _ in range(2):
            event = Event.of("settle", LSP, label=self.sale.link, open=True)
            try:
                side = step(self.leaf.machine, side, event).context
            except Refused:
                return
            self.paid += 1
            for says in self.first.pay(-COST):
                yield self.stop(says)


def _start(leaf: Leaf, catalog: dict[str, Template]) -> Moving:
    """The buyer's first channel."""
    first = Moving(leaf, BUYER, catalog, {BUYER: START, LSP: CAPACITY - START})
    first.enter(Outpoint(leaf.state, 1))
    return first


def _unmade(leaf: Leaf) -> Iterator[Stop]:
    """A has bought; then the LSP asks B for the price of a link that it never signs."""
    if leaf.plot.sales != "chain":
        return
    catalog = dict(leaf.version(0, START).templates)
    done, new = leaf.sell(catalog, [], "A", BOUGHT)
    sides = leaf.agree(catalog, [], done, {BUYER: leaf.side(BUYER)}, BOUGHT)
    if sides is None:
        return
    catalog.update(new)
    sale = Sale(leaf.state, 3, 1, done.link, Channel(BUYER, 0, COST))
    story = [
        _FIRST,
        f"{LSP} sells {BOUGHT} units of the shared stock to A",
        f"{LSP} asks {BUYER} to pay for another link",
    ]
    yield from _Purchase(leaf, _start(leaf, catalog), sale, story).asked(sides[BUYER])


def _priced(leaf: Leaf) -> Iterator[Stop]:
    """B buys liquidity, pays for it, and is paid in the new channel; a stop after each step."""
    if leaf.plot.sales != "chain":
        return
    catalog = dict(leaf.version(0, START).templates)
    given = BOUGHT if leaf.plot.handover == "first" else 0
    sale = Sale(leaf.state, 3, 0, leaf.state, Channel(BUYER, given, BOUGHT - given))
    new = link(leaf.terms, sale, catalog[leaf.state].outputs[3]).templates
    side = leaf.side(BUYER)
    try:
        asking = replace(side, wanted=BOUGHT, most=COST)
        side = step(leaf.machine, asking, leaf.event("sale_offer", LSP, catalog, [], sale, COST)).context
    except Refused:
        return
    catalog.update(new)
    purchase = _Purchase(leaf, _start(leaf, catalog), sale, [_FIRST], kept=frozenset({sale.link}))
    yield purchase.stop(
        f"{BUYER} buys {BOUGHT} units of liquidity for {COST}; {LSP} completes the link, and keeps it back"
    )
    yield from purchase.asked(side)
    side = _held(leaf, side, sale)
    purchase.kept = frozenset()
    bought = purchase.bought = Moving(leaf, BUYER, catalog, {BUYER: given, LSP: BOUGHT - given})
    bought.enter(Outpoint(sale.link, 0))
    yield purchase.stop(f"{BUYER} gets the link")
    yield from purchase.asked(side)
    for says in bought.pay(BOUGHT - given) if purchase.paid else ():
        yield purchase.stop(f"in the new channel, {says}")


def _held(leaf: Leaf, side: Stock, sale: Sale) -> Stock:
    """The buyer's view once the link, and all that hangs on it, is in its store."""
    event = leaf.event("link_complete", BUYER, {}, [], sale, COST)
    held = replace(side, held=side.pending.kit if side.pending else frozenset())
    return step(leaf.machine, held, event).context
