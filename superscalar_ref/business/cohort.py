"""What one factory comes to, from its blueprint: its funding, and what is published when clients stay away.

Laws of this module:

* Every transaction is a template of the blueprint of the factory's terms; sizes are formulas of its outputs. Only a
  ``take`` is none: the LSP's spend, alone, of an output all whose clients have left (protocol.md §9, 'assisted exit').
* The LSP begins when the dying period is over (LAD-8), looks at every block, and the next block takes what is ready.
* A transaction that others signed and that pays less than the price gets a child from the LSP's coins (``fees.toml``);
  what the LSP signs alone pays the price itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from superscalar_ref.protocol.blueprint import (
    FUNDING,
    Blueprint,
    Terms,
    build,
    fresh_versions,
    has_kickoff,
    leaf_shares,
)
from superscalar_ref.protocol.fees import Paid, child_fee
from superscalar_ref.protocol.ladder import Pace
from superscalar_ref.protocol.shape import NodeKind, grow, stock_groups
from superscalar_ref.protocol.transaction import Kind, Outpoint, Role, Template
from superscalar_ref.protocol.weight import key_path_vbytes, lock_path_vbytes
from superscalar_ref.realise.child import CHILD_VBYTES
from superscalar_ref.scenario.town import LSP, Plan, contents

WHOLE, PATHS = "whole", "paths"
TAKE_VBYTES = key_path_vbytes(1, anchors=0)
"""One input by key path, one output: the LSP takes what all clients of an output have left."""


@dataclass(frozen=True)
class Total:
    """Transactions together. Amounts in sat."""

    transactions: int = 0
    vbytes: int = 0
    fees: int = 0
    """Paid to miners."""
    to_clients: int = 0
    to_lsp: int = 0
    """What comes back to the LSP's wallet, less what it adds from its wallet to pay for children."""
    anchors: int = 0
    """Left in anchors that nobody spends."""

    def plus(self, other: Total, times: int = 1) -> Total:
        """The sum of this and ``times`` of the other."""
        return Total(
            self.transactions + times * other.transactions,
            self.vbytes + times * other.vbytes,
            self.fees + times * other.fees,
            self.to_clients + times * other.to_clients,
            self.to_lsp + times * other.to_lsp,
            self.anchors + times * other.anchors,
        )

    @property
    def spent(self) -> int:
        """What leaves the factory by these (sat)."""
        return self.fees + self.to_clients + self.to_lsp + self.anchors


@dataclass(frozen=True, eq=False)
class Step:
    """One transaction of an exit; equal to itself alone, so that counting many is cheap."""

    name: str
    after: int
    """Blocks from the end of the dying period to the one that holds it; the next block is 1."""
    vbytes: int
    fee: int
    """Signed into it (sat); of what the LSP signs alone, at the tree's fee rate."""
    alone: bool
    """Whether the LSP signs it alone, when it publishes it."""
    anchor: int = 0
    to_clients: int = 0
    to_lsp: int = 0

    def at(self, price: int) -> Total:
        """What it comes to when a block asks for ``price`` (sat/vB)."""
        if self.fee >= price * self.vbytes:
            return Total(1, self.vbytes, self.fee, self.to_clients, self.to_lsp, self.anchor)
        if self.alone:
            fee = price * self.vbytes
            return Total(1, self.vbytes, fee, self.to_clients, self.to_lsp - (fee - self.fee), self.anchor)
        fee = child_fee(Paid(self.vbytes, self.fee, self.anchor), CHILD_VBYTES, price)
        size = self.vbytes + CHILD_VBYTES
        return Total(2, size, self.fee + fee, self.to_clients, self.to_lsp - (fee - self.anchor), 0)


Profile = Mapping[int, Total]
"""What confirms how many blocks after the dying period."""


def profile(steps: Iterable[Step], price: int) -> dict[int, Total]:
    """The steps by the block that holds them, at ``price`` (sat/vB)."""
    found: dict[int, Total] = {}
    for one in steps:
        found[one.after] = found.get(one.after, Total()).plus(one.at(price))
    return found


def total(by_block: Profile) -> Total:
    """All blocks together."""
    whole = Total()
    for one in by_block.values():
        whole = whole.plus(one)
    return whole


@dataclass(frozen=True)
class _Below:
    """What hangs on one output: a child node, a channel, or a stock."""

    clients: int
    """A bit for each client's place."""
    take: Step
    """By the LSP alone, when all these clients have left."""
    path: str
    """Of the child node; empty where it is none."""
    close: tuple[Step, ...]
    """Of a channel or a stock, when one of them has not."""


@dataclass(frozen=True)
class _Node:
    own: tuple[Step, ...]
    below: tuple[_Below, ...]


@dataclass(frozen=True)
class Cohort:
    """One factory of so many clients, built as ``plan`` says, in a ladder of this ``pace``."""

    plan: Plan
    pace: Pace
    size: int

    @cached_property
    def blueprint(self) -> Blueprint:
        """All transactions of the factory as it is born; heights count from the tip at which it is agreed."""
        plan = replace(self.plan, clients=self.size)
        terms = Terms(
            "cohort", LSP, grow(plan.shape, plan.names(0)), plan.economy, plan.locks, ((Outpoint("coin", 0), 0),)
        )
        return build(terms, fresh_versions(terms.tree), contents(plan, 0))

    @property
    def terms(self) -> Terms:
        """What its parties agree on."""
        return self.blueprint.terms

    @property
    def clients(self) -> tuple[str, ...]:
        """Its clients, by their places."""
        return self.terms.tree.clients

    # -- money ---------------------------------------------------------------------------------------------------------

    @cached_property
    def funding(self) -> int:
        """Its funding output (sat)."""
        return self.blueprint.templates[FUNDING].outputs[0].amount

    @property
    def balances(self) -> int:
        """What its clients own (sat)."""
        return self.size * self.plan.balance

    @property
    def sold(self) -> int:
        """The LSP's sides of its channels (sat): inbound liquidity that clients have."""
        return self.size * self.plan.inbound

    @cached_property
    def stock(self) -> int:
        """Its stock outputs (sat): liquidity for sale."""
        return sum(sum(leaf.stocks) for leaf in self.blueprint.contents.values())

    @property
    def locked(self) -> int:
        """What the LSP has in it (sat)."""
        return self.funding - self.balances

    @property
    def reserved(self) -> int:
        """For the fees and anchors of a tree that is meant never to be published (sat)."""
        return self.locked - self.sold - self.stock

    @cached_property
    def forfeit(self) -> int:
        """What the LSP loses to the alternate at the end when it publishes nothing (sat; D-11)."""
        shares = [
            leaf_shares(self.blueprint.contents[leaf.path], stock_groups(leaf, self.plan.shape.leaf_k))
            for leaf in self.terms.tree.leaves()
        ]
        return sum(sum(one.values()) for one in shares) - self.balances

    def day_vbytes(self, leavers: int, *, closes: bool) -> int:
        """Size of the day's transaction that funds it: a coin, what it closes; funding, who leaves, change (LAD-2)."""
        return key_path_vbytes(2 + leavers, anchors=0, inputs=1 + closes)

    # -- an exit -------------------------------------------------------------------------------------------------------

    @cached_property
    def steps(self) -> Mapping[str, Step]:
        """Everything that the LSP may publish of it, by name, parents first."""
        after = {FUNDING: 0}
        found: dict[str, Step] = {}
        templates = self.blueprint.templates
        begin = 1 + self.pace.active + self.pace.dying
        for template in templates.values():
            if not _is_the_lsps(template):
                continue
            spend = template.spends[0]
            wait = max(spend.relative_lock or 0, 1)
            block = max(after[spend.outpoint.transaction] + wait, template.lock_time + 1 - begin)
            after[template.name] = block
            found[template.name] = _step(template, block, templates)
        return found

    def published(self, absent: Iterable[int], how: str = WHOLE) -> tuple[Step, ...]:
        """What is published when the clients at these places are absent, parents first; nothing when none is.

        ``whole``: the tree, for all clients stand on it (LAD-8). ``paths``: the others have moved and handed over their
        keys, or close with the LSP what they have together; only the paths to the absent are published (§9).
        """
        missing = sum(1 << place for place in set(absent))
        if not missing:
            return ()
        if how == WHOLE:
            return tuple(self.steps.values())
        found: list[Step] = []
        self._walk(self._plans[self.terms.tree.root.path], missing, found)
        return tuple(found)

    def _walk(self, node: _Node, missing: int, found: list[Step]) -> None:
        found.extend(node.own)
        for below in node.below:
            if not below.clients & missing:
                found.append(below.take)
            elif below.path:
                self._walk(self._plans[below.path], missing, found)
            else:
                found.extend(below.close)

    @cached_property
    def _plans(self) -> Mapping[str, _Node]:
        """Each node by its path: what is published of it, and what hangs on each of its last outputs."""
        places = {client: 1 << place for place, client in enumerate(self.clients)}
        plans: dict[str, _Node] = {}
        for node in self.terms.tree.nodes():
            names = self._own[node.path]
            last = self.blueprint.templates[names[-1]]
            if node.kind is NodeKind.LEAF:
                groups = [(client,) for client in node.clients] + list(self.terms.tree.stock_groups(node))
                paths = [""] * len(groups)
            else:
                groups = [child.clients for child in node.children]
                paths = [child.path for child in node.children]
            below = tuple(
                _Below(
                    sum(places[client] for client in group),
                    self._take(last, index),
                    path,
                    self._closing.get(last.outpoint(index), ()),
                )
                for index, (group, path) in enumerate(zip(groups, paths, strict=True))
            )
            plans[node.path] = _Node(tuple(self.steps[name] for name in names), below)
        return plans

    def _take(self, parent: Template, index: int) -> Step:
        fee = self.plan.economy.feerate * TAKE_VBYTES
        after = self.steps[parent.name].after + 1
        name = f"take:{parent.name}#{index}"
        return Step(name, after, TAKE_VBYTES, fee, True, to_lsp=parent.outputs[index].amount - fee)

    @cached_property
    def _own(self) -> Mapping[str, tuple[str, ...]]:
        """Names of a node's own kickoff and state, in the order of publication."""
        path_of = {leaf.clients[0]: self.blueprint.path(leaf.clients[0]) for leaf in self.terms.tree.leaves()}
        own: dict[str, tuple[str, ...]] = {}
        for client, names in path_of.items():
            rest = list(names)
            for node in self.terms.tree.path_to(client):
                count = 1 + (node.kind is not NodeKind.STATIC and has_kickoff(self.terms, node))
                own[node.path], rest = tuple(rest[:count]), rest[count:]
        return own

    @cached_property
    def _closing(self) -> Mapping[Outpoint, tuple[Step, ...]]:
        """For each channel and stock output, what the LSP publishes to close or to take it."""
        found: dict[Outpoint, tuple[Step, ...]] = {}
        for name, step in self.steps.items():
            template = self.blueprint.templates[name]
            point = template.spends[0].outpoint
            if template.kind is Kind.SWEEP:
                point = self.blueprint.templates[point.transaction].spends[0].outpoint
            if template.kind in (Kind.COMMITMENT, Kind.SWEEP, Kind.EXPIRY):
                found[point] = (*found.get(point, ()), step)
        return found


def _is_the_lsps(template: Template) -> bool:
    """Whether the LSP publishes it when it brings a factory on chain."""
    if template.kind in (Kind.KICKOFF, Kind.STATE, Kind.EXPIRY):
        return True
    if template.kind is Kind.COMMITMENT:
        return template.holder == LSP
    return template.kind is Kind.SWEEP and template.signers == {LSP}


def _step(template: Template, after: int, templates: Mapping[str, Template]) -> Step:
    wallets = [one for one in template.outputs if one.role is Role.WALLET]
    anchors = [one.amount for one in template.outputs if one.role is Role.ANCHOR]
    return Step(
        template.name,
        after,
        vbytes_of(template, templates),
        template.fee,
        template.kind in (Kind.SWEEP, Kind.EXPIRY),
        sum(anchors),
        sum(one.amount for one in wallets if one.owner != LSP),
        sum(one.amount for one in wallets if one.owner == LSP),
    )


def vbytes_of(template: Template, templates: Mapping[str, Template]) -> int:
    """Size of a tree transaction, a commitment without payments, a sweep or an expiry, by the formulas of BIP-141."""
    spend = template.spends[0]
    if spend.by_lock_path:
        path = templates[spend.outpoint.transaction].outputs[spend.outpoint.index].lock_path
        assert path is not None
        return lock_path_vbytes(path.blocks)
    anchors = sum(one.role is Role.ANCHOR for one in template.outputs)
    return key_path_vbytes(len(template.outputs) - anchors, anchors)
