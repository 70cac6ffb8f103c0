"""The blueprint of a factory: which transactions exist for a tree, its versions and its contents.

Laws of this module:

* A blueprint is a pure function of the terms, the versions and the contents: every party that agrees on these computes
  the same blueprint, down to the satoshi.
* Building goes from the root down, since a child names its parent (D-4).
* A name is never used for two different transactions: it carries the versions of every DW node above it.
* A kickoff has no relative lock; a state, one for each version, spends the kickoff's output after a relative lock that
  is shorter for a newer version.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from superscalar_ref.errors import InputError
from superscalar_ref.protocol import weight
from superscalar_ref.protocol.odometer import relative_lock
from superscalar_ref.protocol.shape import Node, NodeKind, Tree, stock_groups
from superscalar_ref.protocol.transaction import (
    Kind,
    LockKind,
    LockPath,
    Outpoint,
    Output,
    Role,
    Spend,
    Template,
)

LOCK_TIME_THRESHOLD = 500_000_000
"""From this number on a lock time is a time, not a height (BIP-65)."""
FUNDING = "funding"
"""Name of the transaction that pays into the factory."""

ALTERNATES: Mapping[str, frozenset[str]] = {
    "every": frozenset({"funding", "kickoff", "state", "channel", "stock"}),
    "not-kickoffs": frozenset({"funding", "state", "channel", "stock"}),
    "funding": frozenset({"funding"}),
    "none": frozenset(),
}
"""Which outputs carry an alternate (D-12), for each value of the parameter ``alternates``."""


@dataclass(frozen=True)
class Economy:
    """What a transaction costs. All zero in the checker, where fees are an ability and not a number."""

    feerate: int
    """sat/vB, agreed at signing time and paid from inside each transaction (P1143#13)."""
    anchor: int
    """sat in each pay-to-anchor output; 0 for no anchors."""
    dust: int
    """sat: the smallest output."""


@dataclass(frozen=True)
class Locks:
    """Every lock that the terms fix (blocks, heights)."""

    step: int
    """Blocks between the relative locks of two versions."""
    states: int
    """Versions of one DW node."""
    to_self_delay: int
    """Blocks for which a commitment's own output waits."""
    end: int
    """Height of the alternates' nLockTime (D-11)."""
    stock_lock: str = "csv"
    """csv | cltv-before | cltv-after (D-9)."""
    stock_lock_blocks: int = 1
    """CSV: blocks. cltv-*: the distance from ``end``."""
    end_default: str = "inverted"
    """inverted: alternates at ``end`` (D-11). classic: ``L & CLTV(end)``. both: the LSP's path ``expiry_gap`` later."""
    expiry_gap: int = 0
    """both: blocks from ``end`` to the LSP's own path."""
    alternates: str = "every"
    """A key of ``ALTERNATES``."""
    kickoffs: str = "every"
    """every: a kickoff before every state. root: none between two state layers (a refuted design, Q-DW-5)."""
    height_step: int = 0
    """Blocks by which the end's heights come earlier one transaction deeper; below 0: later (Q-TIME-3)."""

    def height(self, depth: int) -> int:
        """Height of the end on an output that ``depth`` transactions of the tree stand above; a link has its leaf's."""
        return self.end - self.height_step * depth


@dataclass(frozen=True)
class Channel:
    """What one client's channel holds in one version of its leaf (sat)."""

    client: str
    to_client: int
    to_lsp: int
    bought: str = ""
    """Label of the sale by which the client bought it, where it stands beside the client's first one; else empty."""

    @property
    def capacity(self) -> int:
        """Both sides together (sat)."""
        return self.to_client + self.to_lsp


@dataclass(frozen=True)
class LeafContents:
    """What a leaf pays in one version: its clients' channels and its stock outputs (sat)."""

    channels: tuple[Channel, ...]
    stocks: tuple[int, ...]

    @property
    def total(self) -> int:
        """Sum of all outputs but the anchor (sat)."""
        return sum(channel.capacity for channel in self.channels) + sum(self.stocks)

    def channel_of(self, client: str) -> Channel:
        """The first channel of ``client``. Raises ``InputError`` if it has none here."""
        for channel in self.channels:
            if channel.client == client:
                return channel
        raise InputError(f"leaf of {[c.client for c in self.channels]}", f"no channel of {client}", "R-LEAF-CONTENTS")

    def capacity_of(self, client: str) -> int:
        """Both sides of all channels of ``client`` (sat)."""
        return sum(channel.capacity for channel in self.channels if channel.client == client)


@dataclass(frozen=True)
class Terms:
    """What all parties of a factory agree on before anything is signed."""

    factory: str
    lsp: str
    tree: Tree
    economy: Economy
    locks: Locks
    coins: tuple[tuple[Outpoint, int], ...] = ((Outpoint("coin", 0), 0),)
    """The LSP's coins that the funding transaction spends, with their amounts (sat)."""
    transaction_version: int = 3
    """nVersion of every transaction of the factory (D-5)."""
    payouts: tuple[tuple[str, int], ...] = ()
    """Who else the funding transaction pays, and what (sat): those who leave a factory that it closes (LAD-6)."""

    def shortest_lock(self) -> int:
        """The shortest lock that a client must beat: the step, the delay of a commitment, the stock's lock (blocks)."""
        stock = (self.locks.stock_lock_blocks,) if self.locks.stock_lock == "csv" else ()
        return min(self.locks.step, self.locks.to_self_delay, *stock)

    def end_rule(self) -> str:
        """What happens at the end, as ``end_default/alternates``; with a word more for a refuted design."""
        rule = f"{self.locks.end_default}/{self.locks.alternates}"
        if self.locks.kickoffs != "every":
            rule = f"{rule}/kickoffs {self.locks.kickoffs}"
        return f"{rule}/heights {self.locks.height_step}" if self.locks.height_step else rule

    def exit_blocks(self, client: str) -> int:
        """Worst-case exit of a client: every lock on its path, and one confirmation a transaction (blocks)."""
        lock = relative_lock(self.locks.step, self.locks.states, 0)
        path = self.tree.path_to(client)
        return self.tree.dw_layers_on_path(client) * lock + sum(node.transactions for node in path)


@dataclass(frozen=True)
class MovedCommitment:
    """A live channel's own present commitment on the output that a version gives it (D-15): the channel signs it."""

    client: str
    bought: str
    """Label of the sale by which the client bought the channel; empty for its first one."""
    outpoint: Outpoint
    holder: str


@dataclass(frozen=True)
class Blueprint:
    """All transactions of one version of a factory, parents before children."""

    terms: Terms
    versions: Mapping[str, int]
    """Index of the newest state of each DW node, by its path."""
    contents: Mapping[str, LeafContents]
    """By the path of the leaf."""
    templates: Mapping[str, Template] = field(repr=False)
    moved: Mapping[str, MovedCommitment] = field(default_factory=dict)
    """In place of first commitments, by the same names: those of channels that live, and move with their leaf."""

    @cached_property
    def spenders(self) -> Mapping[Outpoint, tuple[str, ...]]:
        """For each outpoint, the names of the transactions of this blueprint that spend it."""
        table: dict[Outpoint, tuple[str, ...]] = {}
        for template in self.templates.values():
            for spend in template.spends:
                table[spend.outpoint] = (*table.get(spend.outpoint, ()), template.name)
        return table

    def signed_together(self) -> Iterator[Template]:
        """The transactions that need a signing session: more than one signer."""
        return (template for template in self.templates.values() if len(template.signers) > 1)

    def kit(self, party: str) -> frozenset[str]:
        """Names of every transaction that ``party`` must hold complete (D-16): all that it signs and may publish."""
        return frozenset(
            template.name
            for template in self.signed_together()
            if party in template.signers and template.holder in ("", party)
        ) | {name for name, moved in self.moved.items() if moved.holder == party}

    def needs(self, party: str, name: str) -> frozenset[str]:
        """What ``party`` must hold complete before it signs ``name``: the children that it signs too (D-4)."""
        template = self.templates[name]
        kit = self.kit_of(party)
        return frozenset(
            spender
            for index in range(len(template.outputs))
            for spender in self.spenders.get(template.outpoint(index), ())
            if spender in kit
        ) | {
            other for other, moved in self.moved.items() if moved.holder == party and moved.outpoint.transaction == name
        }

    def kit_of(self, party: str) -> frozenset[str]:
        """``kit``, computed once for each party."""
        if party not in self._kits:
            self._kits[party] = self.kit(party)
        return self._kits[party]

    @cached_property
    def _kits(self) -> dict[str, frozenset[str]]:
        return {}

    def path(self, client: str) -> tuple[str, ...]:
        """Names of the kickoffs and states from the root down to the client's leaf, in the order of publication."""
        names: list[str] = []
        above: tuple[int, ...] = ()
        for node in self.terms.tree.path_to(client):
            if has_kickoff(self.terms, node):
                names.append(kickoff_name(node, above))
            if node.kind is not NodeKind.STATIC:
                above = (*above, self.versions[node.path])
                names.append(state_name(node, above))
        return tuple(names)

    def owed(self, party: str) -> int:
        """What ``party`` owns in this version, before fees (sat); the LSP: its side of every channel, and the stock."""
        channels = [channel for leaf in self.contents.values() for channel in leaf.channels]
        if party == self.terms.lsp:
            stock = sum(sum(leaf.stocks) for leaf in self.contents.values())
            return stock + sum(channel.to_lsp for channel in channels)
        return sum(channel.to_client for channel in channels if channel.client == party)


def has_kickoff(terms: Terms, node: Node) -> bool:
    """Whether ``node`` starts with a kickoff: every node does, in every design but the refuted one of Q-DW-5."""
    return terms.locks.kickoffs == "every" or node.path == terms.tree.root.path or node.kind is NodeKind.STATIC


def own_transactions(terms: Terms, node: Node) -> int:
    """How many transactions a node has of its own: a state, a kickoff, or both."""
    return 1 + (node.kind is not NodeKind.STATIC and has_kickoff(terms, node))


def transactions_above(terms: Terms) -> dict[str, int]:
    """How many transactions of the tree stand above each node's own, by the node's path."""
    above = {terms.tree.root.path: 0}
    for node in terms.tree.nodes():
        below = above[node.path] + own_transactions(terms, node)
        above |= {child.path: below for child in node.children}
    return above


def version_text(versions: tuple[int, ...]) -> str:
    """``2.0.1`` for the versions of the DW nodes from the root down; ``-`` for none."""
    return ".".join(map(str, versions)) or "-"


def kickoff_name(node: Node, above: tuple[int, ...]) -> str:
    """Name of a node's kickoff; ``above`` are the versions of the DW nodes above it, which re-make it (D-4)."""
    return f"kickoff:{node.path}@{version_text(above)}"


def state_name(node: Node, versions: tuple[int, ...]) -> str:
    """Name of a node's state; ``versions`` end with its own."""
    return f"state:{node.path}@{version_text(versions)}"


def alternate_name(outpoint: Outpoint) -> str:
    """Name of the alternate that spends ``outpoint`` at the end (D-11)."""
    return f"alternate:{outpoint.transaction}#{outpoint.index}"


def commitment_name(client: str, versions: tuple[int, ...], holder: str, bought: str = "") -> str:
    """Name of the first commitment of a client's channel that ``holder`` may publish.

    ``bought`` is the label of the sale of a channel beside the client's first one: the name is of what it brings along.
    """
    channel = f"{client}/{bought}" if bought else client
    return f"commitment:{channel}@{version_text(versions)}:{holder}"


def sweep_name(commitment: str) -> str:
    """Name of the transaction that takes a commitment's delayed output to its owner's wallet."""
    return f"sweep:{commitment}"


def tree_fee(economy: Economy, outputs: int) -> int:
    """Fee (sat) of a tree transaction with that many P2TR outputs and an anchor, if there are anchors."""
    return economy.feerate * weight.key_path_vbytes(outputs, anchors=1 if economy.anchor else 0)


def payout_fee(economy: Economy, outputs: int) -> int:
    """Fee (sat) of a transaction by key path that pays wallets and carries no anchor."""
    return economy.feerate * weight.key_path_vbytes(outputs, anchors=0)


@dataclass(frozen=True)
class NodeMoney:
    """What a node holds in one version (sat)."""

    amount: int
    """In the output that the node spends: all that is paid below, with every fee and anchor."""
    state_amount: int
    """In the output of its kickoff, where it has one; else the same."""
    shares: Mapping[str, int]
    """Client → its channel's capacity and its share of the stock: what the end's default gives it (D-11)."""


def node_money(terms: Terms, contents: Mapping[str, LeafContents]) -> dict[str, NodeMoney]:
    """The money of every node, by path: from the leaves up, so that each is looked at once."""
    economy = terms.economy
    money: dict[str, NodeMoney] = {}
    for node in reversed(terms.tree.nodes()):
        if node.kind is NodeKind.LEAF:
            leaf = contents[node.path]
            paid, outputs = leaf.total, len(leaf.channels) + len(leaf.stocks)
            shares = leaf_shares(leaf, stock_groups(node, terms.tree.shape.leaf_k))
        else:
            below = [money[child.path] for child in node.children]
            paid, outputs = sum(child.amount for child in below), len(below)
            shares = {client: share for child in below for client, share in child.shares.items()}
        state = tree_fee(economy, outputs) + economy.anchor + paid
        splits = node.kind is not NodeKind.STATIC and has_kickoff(terms, node)
        kickoff = tree_fee(economy, 1) + economy.anchor if splits else 0
        money[node.path] = NodeMoney(kickoff + state, state, shares)
    return money


def leaf_shares(leaf: LeafContents, groups: tuple[tuple[str, ...], ...]) -> dict[str, int]:
    """Client → its whole channel and its equal share of its group's stock (sat)."""
    shares = {channel.client: leaf.capacity_of(channel.client) for channel in leaf.channels}
    for group, amount in zip(groups, leaf.stocks, strict=True):
        for client, share in equal_shares(amount, group).items():
            shares[client] += share
    return shares


def funding_amount(terms: Terms, contents: Mapping[str, LeafContents]) -> int:
    """What the factory's one on-chain output holds (sat)."""
    return node_money(terms, contents)[terms.tree.root.path].amount


def check_contents(terms: Terms, contents: Mapping[str, LeafContents]) -> None:
    """Refuse contents that do not fit the tree or hold dust. Raises ``InputError`` (R-LEAF-CONTENTS, R-DUST)."""
    strangers = contents.keys() - {leaf.path for leaf in terms.tree.leaves()}
    if strangers:
        raise InputError(f"leaf {min(strangers)}", "is not in the tree", "R-LEAF-CONTENTS")
    for node in terms.tree.nodes():
        if node.kind is not NodeKind.LEAF:
            continue
        place = f"leaf {node.path}"
        leaf = contents.get(node.path)
        if leaf is None:
            raise InputError(place, "no contents", "R-LEAF-CONTENTS")
        first, more = leaf.channels[: len(node.clients)], leaf.channels[len(node.clients) :]
        if tuple(channel.client for channel in first) != node.clients or any(channel.bought for channel in first):
            raise InputError(place, f"one channel for each of {', '.join(node.clients)} is asked", "R-LEAF-CONTENTS")
        sales = {channel.bought for channel in more} - {""}
        if len(sales) < len(more) or {channel.client for channel in more} - set(node.clients):
            raise InputError(place, "a further channel is not one that a client of it bought", "R-LEAF-CONTENTS")
        if len(leaf.stocks) != len(stock_groups(node, terms.tree.shape.leaf_k)):
            raise InputError(place, "as many stock outputs as groups of clients are asked", "R-LEAF-CONTENTS")
        least = max(terms.economy.dust, 1)
        for channel in leaf.channels:
            if min(channel.to_client, channel.to_lsp) < 0 or channel.capacity < least:
                raise InputError(place, f"channel of {channel.client}: {channel.capacity} sat is dust", "R-DUST")
        for stock in leaf.stocks:
            if stock < least:
                raise InputError(place, f"a stock output of {stock} sat is dust", "R-DUST")


CHOICES: Mapping[str, tuple[str, ...]] = {
    "stock_lock": ("csv", "cltv-before", "cltv-after"),
    "end_default": ("inverted", "classic", "both"),
    "alternates": tuple(ALTERNATES),
    "kickoffs": ("every", "root"),
}
"""The values of those fields of ``Locks`` that choose a design."""


def check_terms(terms: Terms) -> None:
    """Refuse terms that no factory can have. Raises ``InputError`` (R-TERMS)."""
    if terms.lsp in terms.tree.clients:
        raise InputError("terms", f"'{terms.lsp}' cannot be both the LSP and a client", "R-TERMS")
    for name, known in CHOICES.items():
        value = getattr(terms.locks, name)
        if value not in known:
            raise InputError(f"terms: {name}", f"'{value}' is none of {', '.join(known)}", "R-TERMS")
    economy, locks = terms.economy, terms.locks
    least = {"feerate": (economy.feerate, 0), "anchor": (economy.anchor, 0), "dust": (economy.dust, 0)}
    least |= {"step": (locks.step, 1), "states": (locks.states, 1), "to_self_delay": (locks.to_self_delay, 1)}
    least |= {"stock_lock_blocks": (locks.stock_lock_blocks, 1), "expiry_gap": (locks.expiry_gap, 0)}
    least["end"] = (locks.end, locks.stock_lock_blocks + 1 if locks.stock_lock == "cltv-before" else 1)
    for name, (number, smallest) in least.items():
        if number < smallest:
            raise InputError(f"terms: {name}", f"must be at least {smallest}, not {number}", "R-TERMS")
    _check_heights(terms)
    for name, sats in terms.payouts:
        if sats < max(economy.dust, 1):
            raise InputError(f"terms: payout to {name}", f"{sats} sat is dust", "R-DUST")
    coins = [outpoint for outpoint, _ in terms.coins]
    if not coins or len(set(coins)) < len(coins) or any(amount < 0 for _, amount in terms.coins):
        raise InputError("terms: coins", "at least one is needed, each once, none below 0 sat", "R-TERMS")


def _check_heights(terms: Terms) -> None:
    """Refuse heights of the end that are none: below 1, or so high that a lock time means a time (BIP-65)."""
    locks = terms.locks
    heights = {locks.height(0)}
    if locks.height_step:
        above = transactions_above(terms)
        heights |= {locks.height(above[leaf.path] + own_transactions(terms, leaf)) for leaf in terms.tree.leaves()}
    stock = 0 if locks.stock_lock == "csv" else locks.stock_lock_blocks
    before, after = (stock, 0) if locks.stock_lock == "cltv-before" else (0, stock)
    for height in heights:
        if height - before < 1 or height + max(after, locks.expiry_gap) >= LOCK_TIME_THRESHOLD:
            raise InputError("terms: end", f"{height} is no height of the end on an output", "R-TERMS")


def check_versions(terms: Terms, versions: Mapping[str, int]) -> None:
    """Refuse versions that do not fit the tree. Raises ``InputError`` (R-ODOMETER)."""
    counters = {node.path for node in terms.tree.nodes() if node.has_counter}
    for path in sorted(counters ^ versions.keys()):
        what = "has no version" if path in counters else "has no counter"
        raise InputError(f"node {path}", what, "R-ODOMETER")
    for path, index in versions.items():
        if not 0 <= index < terms.locks.states:
            raise InputError(f"node {path}", f"there is no state {index} among {terms.locks.states}", "R-ODOMETER")


def build(
    terms: Terms,
    versions: Mapping[str, int],
    contents: Mapping[str, LeafContents],
    party: str | None = None,
    carried: frozenset[str] = frozenset(),
) -> Blueprint:
    """The blueprint of one version of a factory (P1242 'Arity and tree structuring'; D-3, D-4, D-9, D-11, D-12).

    ``versions`` gives each DW node's newest index by path, ``contents`` each leaf's. With ``party``, a client, only
    what hangs on its own path from the root: a client has a part in nothing else. ``carried``: clients whose channel
    lives and moves with its own commitments (D-15); the version makes no first ones for it. Raises ``InputError`` when
    they do not fit the tree, hold dust, or when the coins do not cover the funding output; or for a party that is not
    in the tree.
    """
    check_terms(terms)
    check_versions(terms, versions)
    check_contents(terms, contents)
    versions = {node.path: versions[node.path] for node in terms.tree.nodes() if node.has_counter}
    path = None if party in (None, terms.lsp) else frozenset(node.path for node in terms.tree.path_to(str(party)))
    builder = _Builder(terms, versions, contents, path)
    builder.carried = carried
    builder.funding()
    builder.node(terms.tree.root, Outpoint(FUNDING, 0), (), "funding")
    return Blueprint(terms, dict(versions), dict(contents), builder.templates, builder.moved)


def fresh_versions(tree: Tree) -> dict[str, int]:
    """Index 0 for every DW node, by path: a factory just built."""
    return {node.path: 0 for node in tree.nodes() if node.kind is not NodeKind.STATIC}


class Drafter:
    """Draws single outputs and what hangs on them, by the terms alone: for a whole tree, or for one link of a chain."""

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self.templates: dict[str, Template] = {}
        self.carried: frozenset[str] = frozenset()
        """Clients whose channel brings its own commitments (D-15)."""
        self.moved: dict[str, MovedCommitment] = {}

    def add(self, template: Template) -> Template:
        """Keep a transaction under its name."""
        self.templates[template.name] = template
        return template

    def expiry_path(self, depth: int) -> LockPath | None:
        """The classic default's ``L & CLTV``, where the terms have one; ``depth`` as for ``Locks.height``."""
        locks = self.terms.locks
        if locks.end_default == "inverted":
            return None
        gap = 0 if locks.end_default == "classic" else locks.expiry_gap
        return LockPath(self.terms.lsp, LockKind.CLTV, locks.height(depth) + gap)

    def stock_path(self, depth: int) -> LockPath:
        """The path by which the LSP alone takes an unsold stock (D-9); ``depth`` as for ``Locks.height``."""
        locks = self.terms.locks
        if locks.stock_lock == "csv":
            return LockPath(self.terms.lsp, LockKind.CSV, locks.stock_lock_blocks)
        sign = -1 if locks.stock_lock == "cltv-before" else 1
        return LockPath(self.terms.lsp, LockKind.CLTV, locks.height(depth) + sign * locks.stock_lock_blocks)

    def anchors(self) -> tuple[Output, ...]:
        """The anchor of a tree transaction, where the economy has anchors (D-5)."""
        amount = self.terms.economy.anchor
        return (Output(Role.ANCHOR, amount, frozenset()),) if amount else ()

    def channel_output(self, channel: Channel, depth: int) -> Output:
        """A channel's output: its client's and the LSP's together; ``depth`` as for ``Locks.height``."""
        return Output(
            Role.CHANNEL,
            channel.capacity,
            frozenset({channel.client, self.terms.lsp}),
            lock_path=self.expiry_path(depth),
            owner=channel.client,
        )

    def stock_output(self, group: tuple[str, ...], amount: int, depth: int) -> Output:
        """A stock output (sat): its clients' and the LSP's together, or the LSP's alone by its lock path."""
        lsp = self.terms.lsp
        return Output(Role.STOCK, amount, frozenset(group) | {lsp}, lock_path=self.stock_path(depth), owner=lsp)

    def on_channel(self, channel: Channel, outpoint: Outpoint, commitments: Mapping[str, str], depth: int) -> None:
        """What spends a channel's output: both first commitments, by holder → name, the alternate, the LSP's path."""
        for holder in (channel.client, self.terms.lsp):
            if channel.client in self.carried or channel.bought:
                # What was bought and never opened is one with the first: an output of its own lives.
                self.moved[commitments[holder]] = MovedCommitment(channel.client, channel.bought, outpoint, holder)
            else:
                self.commitment(channel, outpoint, commitments[holder], holder)
        self.payout(outpoint, channel.capacity, "channel", {channel.client: channel.capacity}, depth)
        self.expiry(outpoint, self.channel_output(channel, depth))

    def on_stock(self, group: tuple[str, ...], amount: int, outpoint: Outpoint, depth: int) -> None:
        """What spends a stock's output (sat) besides a sale: the alternate, and the LSP's own path."""
        self.payout(outpoint, amount, "stock", equal_shares(amount, group), depth)
        self.expiry(outpoint, self.stock_output(group, amount, depth))

    def commitment(self, channel: Channel, outpoint: Outpoint, name: str, holder: str) -> None:
        """The holder's first commitment: its own side delayed, the other's at once (D-13: no fee inside)."""
        economy, locks = self.terms.economy, self.terms.locks
        lsp = self.terms.lsp
        other = lsp if holder == channel.client else channel.client
        mine, theirs = channel.to_client, channel.to_lsp
        if holder == lsp:
            mine, theirs = theirs, mine
        least = max(economy.dust, 1)
        outputs: list[Output] = []
        if mine >= least:
            delay = LockPath(holder, LockKind.CSV, locks.to_self_delay)
            outputs.append(Output(Role.DELAYED, mine, frozenset({other}), lock_path=delay, owner=holder))
        if theirs >= least:
            outputs.append(Output(Role.WALLET, theirs, frozenset({other}), owner=other))
        trimmed = channel.capacity - sum(output.amount for output in outputs)
        if economy.anchor:
            outputs.append(Output(Role.ANCHOR, min(trimmed, economy.anchor), frozenset()))
        template = self.add(
            Template(
                name,
                Kind.COMMITMENT,
                (Spend(outpoint),),
                tuple(outputs),
                frozenset({channel.client, lsp}),
                fee=channel.capacity - sum(output.amount for output in outputs),
                slot=f"commitment {holder}",
                holder=holder,
            )
        )
        if mine >= least:
            self.sweep(template, holder, mine)

    def sweep(self, commitment: Template, owner: str, amount: int) -> None:
        """The owner takes its delayed output (sat) to its wallet, unless the fee would leave dust."""
        economy = self.terms.economy
        fee = economy.feerate * weight.lock_path_vbytes(self.terms.locks.to_self_delay)
        if amount - fee < max(economy.dust, 1):
            return
        spend = Spend(commitment.outpoint(0), relative_lock=self.terms.locks.to_self_delay, by_lock_path=True)
        output = Output(Role.WALLET, amount - fee, frozenset({owner}), owner=owner)
        self.add(Template(sweep_name(commitment.name), Kind.SWEEP, (spend,), (output,), frozenset({owner}), fee=fee))

    def payout(self, outpoint: Outpoint, amount: int, kind: str, shares: Mapping[str, int], depth: int) -> None:
        """An alternate that pays ``shares``; what is left over or short is spread evenly over the same clients.

        ``depth`` as for ``Locks.height``.
        """
        locks = self.terms.locks
        if locks.end_default == "classic" or kind not in ALTERNATES[locks.alternates]:
            return
        fee = payout_fee(self.terms.economy, len(shares))
        rest = equal_shares(amount - fee - sum(shares.values()), tuple(shares))
        outputs = tuple(
            Output(Role.WALLET, share + rest[client], frozenset({client}), owner=client)
            for client, share in shares.items()
            if share + rest[client] >= max(self.terms.economy.dust, 1)
        )
        if not outputs:
            return
        signers = frozenset(shares) | {self.terms.lsp}
        self.add(
            Template(
                alternate_name(outpoint),
                Kind.ALTERNATE,
                (Spend(outpoint),),
                outputs,
                signers,
                lock_time=locks.height(depth),
                fee=amount - sum(output.amount for output in outputs),
                slot="alternate",
            )
        )

    def expiry(self, outpoint: Outpoint, output: Output) -> None:
        """The LSP's spend by its own lock path, where the output has one."""
        path = output.lock_path
        if path is None:
            return
        relative = path.blocks if path.kind is LockKind.CSV else None
        fee = self.terms.economy.feerate * weight.lock_path_vbytes(path.blocks)
        if output.amount - fee < max(self.terms.economy.dust, 1):
            return
        self.add(
            Template(
                f"expiry:{outpoint.transaction}#{outpoint.index}",
                Kind.EXPIRY,
                (Spend(outpoint, relative_lock=relative, by_lock_path=True),),
                (Output(Role.WALLET, output.amount - fee, frozenset({path.owner}), owner=path.owner),),
                frozenset({path.owner}),
                lock_time=path.blocks if path.kind is LockKind.CLTV else 0,
                fee=fee,
            )
        )


class _Builder(Drafter):
    """Walks the tree from the root down and collects templates."""

    def __init__(
        self,
        terms: Terms,
        versions: Mapping[str, int],
        contents: Mapping[str, LeafContents],
        path: frozenset[str] | None,
    ) -> None:
        super().__init__(terms)
        self.versions = versions
        self.contents = contents
        self.path = path
        """Paths of the only nodes that are wanted; None for all."""
        self.money = node_money(terms, contents)
        self.above = transactions_above(terms)

    # -- what an output looks like -------------------------------------------------------------------------------------

    def everyone(self, node: Node) -> frozenset[str]:
        """S(n): the clients below a node, and the LSP."""
        return frozenset(node.clients) | {self.terms.lsp}

    def tree_output(self, node: Node, amount: int, *, of_state: bool) -> Output:
        path = self.expiry_path(self.above[node.path]) if of_state else None
        return Output(Role.TREE, amount, self.everyone(node), lock_path=path)

    def depth(self, node: Node) -> int:
        """How many transactions of the tree stand above the outputs of a node's last transaction."""
        return self.above[node.path] + own_transactions(self.terms, node)

    # -- transactions --------------------------------------------------------------------------------------------------

    def funding(self) -> None:
        terms = self.terms
        amount = self.money[terms.tree.root.path].amount
        coins = sum(coin for _, coin in terms.coins)
        outputs = [self.tree_output(terms.tree.root, amount, of_state=False)]
        outputs.extend(Output(Role.WALLET, sats, frozenset({name}), owner=name) for name, sats in terms.payouts)
        vbytes = weight.key_path_vbytes(2 + len(terms.payouts), anchors=0, inputs=len(terms.coins))
        fee = terms.economy.feerate * vbytes
        paid = amount + sum(sats for _, sats in terms.payouts)
        change = coins - paid - fee
        if coins and change < 0:
            raise InputError(
                "funding",
                f"the LSP's coins hold {coins} sat, {paid + fee} sat are needed",
                "R-FUNDING-COVERED",
            )
        if coins and change >= terms.economy.dust:
            outputs.append(Output(Role.WALLET, change, frozenset({terms.lsp}), owner=terms.lsp))
        spends = tuple(Spend(outpoint) for outpoint, _ in terms.coins)
        self.add(
            Template(
                FUNDING,
                Kind.FUNDING,
                spends,
                tuple(outputs),
                frozenset({terms.lsp}),
                fee=coins - sum(output.amount for output in outputs) if coins else 0,
            )
        )

    def node(self, node: Node, parent: Outpoint, above: tuple[int, ...], parent_kind: str) -> None:
        """The transactions of one node, and all below it, on the output ``parent`` of its parent."""
        if self.path is not None and node.path not in self.path:
            return
        self.alternate(parent, node, parent_kind, self.above[node.path])
        if node.kind is NodeKind.STATIC:
            self.static(node, parent, above)
            return
        if has_kickoff(self.terms, node):
            parent = self.kickoff(node, parent, above)
            self.alternate(parent, node, "kickoff", self.above[node.path] + 1)
        self.state(node, parent, (*above, self.versions[node.path]))

    def static(self, node: Node, parent: Outpoint, above: tuple[int, ...]) -> None:
        outputs = tuple(
            self.tree_output(child, self.money[child.path].amount, of_state=False) for child in node.children
        )
        template = self.tree_transaction(
            kickoff_name(node, above), Kind.KICKOFF, node, Spend(parent), outputs, "kickoff"
        )
        for index, child in enumerate(node.children):
            self.node(child, template.outpoint(index), above, "kickoff")

    def kickoff(self, node: Node, parent: Outpoint, above: tuple[int, ...]) -> Outpoint:
        outputs = (self.tree_output(node, self.money[node.path].state_amount, of_state=False),)
        template = self.tree_transaction(
            kickoff_name(node, above), Kind.KICKOFF, node, Spend(parent), outputs, "kickoff"
        )
        return template.outpoint(0)

    def state(self, node: Node, parent: Outpoint, versions: tuple[int, ...]) -> None:
        locks = self.terms.locks
        index = self.versions[node.path]
        spend = Spend(parent, relative_lock=relative_lock(locks.step, locks.states, index))
        outputs = self.leaf_outputs(node) if node.kind is NodeKind.LEAF else self.state_outputs(node)
        template = self.tree_transaction(state_name(node, versions), Kind.STATE, node, spend, outputs, f"state {index}")
        if node.kind is NodeKind.LEAF:
            self.leaf(node, template, versions)
            return
        for place, child in enumerate(node.children):
            self.node(child, template.outpoint(place), versions, "state")

    def state_outputs(self, node: Node) -> tuple[Output, ...]:
        return tuple(self.tree_output(child, self.money[child.path].amount, of_state=True) for child in node.children)

    def leaf_outputs(self, node: Node) -> tuple[Output, ...]:
        """Channels first, in the order of the clients, further ones after all, then the stocks by their groups."""
        leaf = self.contents[node.path]
        depth = self.depth(node)
        channels = tuple(self.channel_output(channel, depth) for channel in leaf.channels)
        groups = stock_groups(node, self.terms.tree.shape.leaf_k)
        stocks = tuple(
            self.stock_output(group, amount, depth) for group, amount in zip(groups, leaf.stocks, strict=True)
        )
        return channels + stocks

    def tree_transaction(
        self, name: str, kind: Kind, node: Node, spend: Spend, outputs: tuple[Output, ...], slot: str
    ) -> Template:
        return self.add(
            Template(
                name,
                kind,
                (spend,),
                outputs + self.anchors(),
                self.everyone(node),
                fee=tree_fee(self.terms.economy, len(outputs)),
                slot=slot,
            )
        )

    def leaf(self, node: Node, state: Template, versions: tuple[int, ...]) -> None:
        """What hangs below a leaf's state: commitments, alternates, and the LSP's own path to the stock."""
        leaf = self.contents[node.path]
        groups = stock_groups(node, self.terms.tree.shape.leaf_k)
        depth = self.depth(node)
        for place, channel in enumerate(leaf.channels):
            sides = (channel.client, self.terms.lsp)
            names = {holder: commitment_name(channel.client, versions, holder, channel.bought) for holder in sides}
            self.on_channel(channel, state.outpoint(place), names, depth)
        for number, (group, amount) in enumerate(zip(groups, leaf.stocks, strict=True)):
            self.on_stock(group, amount, state.outpoint(len(leaf.channels) + number), depth)

    def alternate(self, outpoint: Outpoint, node: Node, kind: str, depth: int) -> None:
        """The end's default on a tree output: everything to the clients below it, nothing to the LSP (D-11)."""
        output = self.templates[outpoint.transaction].outputs[outpoint.index]
        self.payout(outpoint, output.amount, kind, self.money[node.path].shares, depth)
        self.expiry(outpoint, output)


def leaves_below(node: Node) -> Iterator[Node]:
    """The leaves of a subtree, in the order of the clients."""
    if node.kind is NodeKind.LEAF:
        yield node
    for child in node.children:
        yield from leaves_below(child)


def equal_shares(amount: int, parties: tuple[str, ...]) -> dict[str, int]:
    """Equal shares of ``amount`` (sat), the remainder to the first. A negative amount is a cost shared alike."""
    share, remainder = divmod(amount, len(parties))
    shares = dict.fromkeys(parties, share)
    shares[parties[0]] += remainder
    return shares


def close(blueprint: Blueprint, attempt: int) -> Template:
    """The cooperative close: one transaction from the funding output to everyone (protocol.md §9).

    Each client gets its balance in this version, the LSP the rest, which pays the fee. Dust goes to the fee.
    """
    terms = blueprint.terms
    amount = blueprint.templates[FUNDING].outputs[0].amount
    owed = {client: blueprint.owed(client) for client in terms.tree.root.clients}
    paid = {party: sats for party, sats in owed.items() if sats >= max(terms.economy.dust, 1)}
    fee = payout_fee(terms.economy, len(paid) + 1)
    rest = amount - sum(paid.values()) - fee
    if rest >= max(terms.economy.dust, 1):
        paid[terms.lsp] = rest
    outputs = tuple(Output(Role.WALLET, sats, frozenset({party}), owner=party) for party, sats in paid.items())
    return Template(
        f"close:{version_text(tuple(blueprint.versions.values()))}#{attempt}",
        Kind.CLOSE,
        (Spend(Outpoint(FUNDING, 0)),),
        outputs,
        frozenset(owed) | {terms.lsp},
        fee=amount - sum(output.amount for output in outputs),
        slot=f"close {attempt}",
    )
