"""Links of a chain of sales: which transactions a sale consists of, and what chains come to when they are cut through.

Laws of this module:

* A link spends a stock output, and nothing else: never a channel (D-6, P1143 'Against Internal Splicing').
* A link pays a new channel of the buyer, a smaller stock, and an anchor; the fee and the anchor come from the stock.
* What hangs on its outputs is what hangs on a leaf's: commitments for both holders, alternates, the LSP's own path.
* A link is a pure function of the terms, the output that it spends, and the sale: every signer computes the same.
* Alternates that are signed stay as they are, and stay valid: nobody buys more than what they pay it (Q-STK-6).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from superscalar_ref.errors import InputError
from superscalar_ref.protocol.blueprint import (
    Blueprint,
    Channel,
    Drafter,
    LeafContents,
    Terms,
    alternate_name,
    own_transactions,
    transactions_above,
    tree_fee,
)
from superscalar_ref.protocol.transaction import Kind, Outpoint, Output, Role, Spend, Template

SLOT = "sale"
"""The slot of a stock output's spend: one link for each outpoint, for ever (D-7)."""


@dataclass(frozen=True)
class Sale:
    """One sale from one stock output."""

    state: str
    """Name of the leaf's state."""
    stock: int
    """Index of the leaf's stock output, among the state's outputs."""
    serial: int
    """Number of this sale among all that were ever offered from this stock: no two links share a name."""
    parent: str
    """Name of the transaction whose stock output is spent: the state, or an earlier link."""
    channel: Channel
    """The buyer's new channel (sat)."""
    label: str = ""
    """What the parties call the sale."""

    @property
    def link(self) -> str:
        """Name of the link."""
        return f"sale:{self.state}#{self.stock}.{self.serial}"

    @property
    def base(self) -> Outpoint:
        """The leaf's own stock output, on which the whole chain hangs."""
        return Outpoint(self.state, self.stock)

    @property
    def outpoint(self) -> Outpoint:
        """The stock output that this link spends."""
        return self.base if self.parent == self.state else Outpoint(self.parent, 1)

    def commitment(self, holder: str) -> str:
        """Name of the new channel's first commitment that ``holder`` may publish."""
        return f"commitment:{self.channel.client}@{self.link}:{holder}"


def link_cost(terms: Terms) -> int:
    """What a link takes from the stock besides the channel: its fee and its anchor (sat)."""
    return tree_fee(terms.economy, 2) + terms.economy.anchor


def link(terms: Terms, sale: Sale, spent: Output) -> Blueprint:
    """A sale's transactions: the link that spends ``spent``, and everything on it.

    Raises ``InputError``: D-6 when that is no stock output, R-KEYS when the buyer does not share it, R-DUST when the
    channel or what is left would be dust, or more than there is.
    """
    place = f"sale {sale.link}"
    channel = sale.channel
    if spent.role is not Role.STOCK:
        raise InputError(place, f"spends a {spent.role} output, and only stock is sold from", "D-6")
    group = tuple(client for client in terms.tree.clients if client in spent.signers)
    if channel.client not in group:
        raise InputError(place, f"{channel.client} does not share the stock of {', '.join(group)}", "R-KEYS")
    least = max(terms.economy.dust, 1)
    left = spent.amount - channel.capacity - link_cost(terms)
    if min(channel.to_client, channel.to_lsp) < 0 or channel.capacity < least:
        raise InputError(place, f"a channel of {channel.capacity} sat is dust", "R-DUST")
    if left < least:
        raise InputError(place, f"a stock of {spent.amount} sat cannot pay {channel.capacity} sat", "R-DUST")
    draft = Drafter(terms)
    leaf = terms.tree.leaf_of(group[0])
    depth = transactions_above(terms)[leaf.path] + own_transactions(terms, leaf)
    outputs = (draft.channel_output(channel, depth), draft.stock_output(group, left, depth))
    template = draft.add(
        Template(
            sale.link,
            Kind.SALE,
            (Spend(sale.outpoint),),
            outputs + draft.anchors(),
            spent.signers,
            fee=tree_fee(terms.economy, len(outputs)),
            slot=SLOT,
        )
    )
    names = {holder: sale.commitment(holder) for holder in (channel.client, terms.lsp)}
    draft.on_channel(channel, template.outpoint(0), names, depth)
    draft.on_stock(group, left, template.outpoint(1), depth)
    return Blueprint(terms, {}, {}, draft.templates)


def cut_through(
    terms: Terms,
    contents: Mapping[str, LeafContents],
    leaf_of: Mapping[str, str],
    sales: Iterable[Sale],
    apart: frozenset[str] = frozenset(),
) -> dict[str, LeafContents]:
    """Leaf contents with every chain cut through: a client's channels become one, but for those that live (sat).

    ``leaf_of`` gives the leaf's path for the name of a state. ``apart``: labels of the sales whose channel lives: it
    gets an output of the leaf (D-15), whose fee the stock pays. The links' fees and anchors, not paid after all, return
    to the stock; so each leaf holds as much as before.
    """
    after = dict(contents)
    for sale in sales:
        path = leaf_of[sale.state]
        # The sale counts the outputs of the state that it is from.
        group = sale.stock - len(contents[path].channels)
        cost = output_cost(terms) if sale.label in apart else None
        after[path] = _with_sale(after[path], sale, group, cost)
    return after


def output_cost(terms: Terms) -> int:
    """What one more output of a leaf's state costs (sat); never more than the link that it replaces."""
    return tree_fee(terms.economy, 2) - tree_fee(terms.economy, 1)


def _with_sale(leaf: LeafContents, sale: Sale, group: int, cost: int | None) -> LeafContents:
    bought = sale.channel
    if cost is None:
        channels = tuple(
            replace(one, to_client=one.to_client + bought.to_client, to_lsp=one.to_lsp + bought.to_lsp)
            if one.client == bought.client and not one.bought
            else one
            for one in leaf.channels
        )
    else:
        channels = (*leaf.channels, replace(bought, bought=sale.label))
    spent = bought.capacity + (cost or 0)
    stocks = tuple(amount - spent if number == group else amount for number, amount in enumerate(leaf.stocks))
    return LeafContents(channels, stocks)


def chain_to(sales: Sequence[Sale], name: str) -> tuple[str, ...]:
    """Names of the links from the leaf's stock output down to the link ``name``, in the order of publication.

    Raises ``InputError`` (Q-STK-5) when one of them is not among ``sales``.
    """
    by_name = {sale.link: sale for sale in sales}
    names: list[str] = []
    while True:
        sale = by_name.get(name)
        if sale is None:
            raise InputError(f"link {name}", "is not known: nothing can be built on it", "Q-STK-5")
        names.append(name)
        if sale.parent == sale.state:
            return tuple(reversed(names))
        name = sale.parent


def cover(
    templates: Mapping[str, Template], path: Iterable[str], capacity: int, chain: Sequence[Sale], sale: Sale
) -> int:
    """Most that the buyer may have bought with ``sale``, so that no alternate signed before pays it less (sat).

    ``path`` names the transactions from the root down to the leaf's state, ``capacity`` is the buyer's channel in that
    state (sat), ``chain`` the complete links, oldest first. An alternate on a tree output must pay all the buyer's
    channels; one on a stock output, all that the buyer bought from that output on. Fees inside the alternates count
    against the buyer. Where no alternate is, it is all that there is.
    """
    buyer = sale.channel.client
    bought = [one.channel.capacity if one.channel.client == buyer else 0 for one in chain]
    rooms = [_paid(templates, templates[name].spends[0].outpoint, buyer, capacity + sum(bought)) for name in path]
    outpoints = [*(one.outpoint for one in chain), sale.outpoint]
    rooms += [_paid(templates, outpoint, buyer, sum(bought[number:])) for number, outpoint in enumerate(outpoints)]
    spent = templates[sale.outpoint.transaction].outputs[sale.outpoint.index]
    return max(0, min([spent.amount, *(room for room in rooms if room is not None)]))


def standing_cover(standing: Mapping[str, Template], version: Blueprint, client: str) -> int | None:
    """The least that an alternate pays ``client`` which stands above what ``version`` makes anew (sat).

    ``standing``: what was signed before. None where no alternate stands.
    """
    outpoints = [version.templates[name].spends[0].outpoint for name in version.path(client)]
    paid = [_paid(standing, outpoint, client, 0) for outpoint in outpoints]
    return min((amount for amount in paid if amount is not None), default=None)


def _paid(templates: Mapping[str, Template], outpoint: Outpoint, client: str, counted: int) -> int | None:
    """What the alternate of ``outpoint`` pays ``client`` beyond ``counted`` (sat); None when there is no alternate."""
    alternate = templates.get(alternate_name(outpoint))
    if alternate is None:
        return None
    return sum(output.amount for output in alternate.outputs if output.owner == client) - counted
