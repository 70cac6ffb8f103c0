"""What an update of one node re-makes, who must sign it, and which counters it uses up.

Laws of this module:

* It is worked out with the blueprint and the odometer that the parties use: what is shown is what is signed.
* A node's own kickoff stands; its state, and everything below, is new (D-4). Counters below restart at 0.
* Money moves only below the node that is updated: what its output holds cannot change.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from superscalar_ref.errors import InputError, ProtocolError
from superscalar_ref.protocol.blueprint import Blueprint, LeafContents, Terms, build, leaves_below, node_money
from superscalar_ref.protocol.odometer import Odometer, relative_lock
from superscalar_ref.protocol.poison import poisons
from superscalar_ref.protocol.shape import Node, Tree
from superscalar_ref.protocol.transaction import Kind, Template


@dataclass(frozen=True)
class Move:
    """Stock that goes from one leaf to another."""

    source: str
    """Path of a leaf."""
    target: str
    """Path of a leaf."""
    amount: int
    """Sat."""


@dataclass(frozen=True)
class Counter:
    """One DW node's counter."""

    path: str
    before: int
    after: int
    lock_before: int
    """Relative lock of its newest state (blocks)."""
    lock_after: int
    """Blocks."""
    left: int
    """Updates that it has left after this one."""


@dataclass(frozen=True)
class Update:
    """One update, worked out."""

    node: str
    signers: tuple[str, ...]
    """All must be online: the clients below the node, and the LSP, last."""
    counters: tuple[Counter, ...]
    """Those that move: the node's own first."""
    made: Mapping[str, Template]
    """What is new and signed together, by name, parents first; commitments and alternates among it."""
    poisoned: Mapping[str, Template]
    """The poisons of every output of the leaf states that it replaces (D-10), by name."""
    contents: Mapping[str, LeafContents]
    """Of the leaves below the node afterwards (sat)."""

    def count(self, kind: Kind) -> int:
        """How many transactions of one kind are new."""
        return sum(template.kind is kind for template in self.made.values())


def moved(terms: Terms, contents: Mapping[str, LeafContents], moves: Iterable[Move]) -> dict[str, LeafContents]:
    """Contents after stock has moved from leaf to leaf, from and to the first stock output of each (sat).

    Raises ``InputError``: R-LEAF-CONTENTS for what is no leaf or no amount, R-DUST when too little would be left.
    """
    after = dict(contents)
    for move in moves:
        if move.amount < 1:
            raise InputError("move", f"moves {move.amount} sat; at least 1 is needed", "R-LEAF-CONTENTS")
        for path, sign in ((move.source, -1), (move.target, 1)):
            if path not in after:
                leaves = ", ".join(sorted(after))
                raise InputError("move", f"'{path}' is no leaf; there are {leaves}", "R-LEAF-CONTENTS")
            first, *others = after[path].stocks
            first += sign * move.amount
            if first < max(terms.economy.dust, 1):
                raise InputError(f"leaf {path}", f"a stock output of {first} sat is dust", "R-DUST")
            after[path] = replace(after[path], stocks=(first, *others))
    return after


def work_out(
    terms: Terms, odometer: Odometer, contents: Mapping[str, LeafContents], node: str, moves: Iterable[Move] = ()
) -> Update:
    """What an update of ``node`` from these counters and contents (sat) consists of.

    Raises ``ProtocolError`` (R-ODOMETER) when the node has no counter, or none left: it then says what remains.
    Raises ``InputError`` when the tree has no such node (R-SHAPE), when amounts do not fit, and (D-4) when the node's
    output would have to hold something else than it does.
    """
    tree = terms.tree
    at = tree.node(node)
    ticked = _tick(odometer, tree, node)
    after = moved(terms, contents, moves)
    money = node_money(terms, contents)[node], node_money(terms, after)[node]
    if money[0].amount != money[1].amount or any(
        after[leaf.path] != contents[leaf.path] for leaf in tree.leaves() if leaf not in list(leaves_below(at))
    ):
        raise InputError(f"update of {node}", "stock moves only between leaves below the node that is updated", "D-4")
    old = build(terms, dict(odometer.indices), contents)
    new = build(terms, dict(ticked.indices), after)
    made = {one.name: one for one in new.signed_together() if one.name not in old.templates}
    replaced = [old.templates[name] for leaf in leaves_below(at) if (name := _state(old, leaf)) not in new.templates]
    return Update(
        node,
        (*at.clients, terms.lsp),
        tuple(_counters(terms, odometer, ticked)),
        made,
        dict(poisons(terms, replaced)),
        {leaf.path: after[leaf.path] for leaf in leaves_below(at)},
    )


def _state(blueprint: Blueprint, leaf: Node) -> str:
    return blueprint.path(leaf.clients[0])[-1]


def _tick(odometer: Odometer, tree: Tree, node: str) -> Odometer:
    try:
        return odometer.tick(node)
    except ProtocolError as error:
        higher = odometer.next_tick(node)
        if higher is not None and higher != node:
            clients = ", ".join(tree.node(higher).clients)
            remains = f"update '{higher}' instead, with {clients}"
        else:
            remains = "no node above it can change either: sell by chaining, close together, or let it end"
        raise ProtocolError(error.rule, error.code, f"{error.detail}; {remains}") from None


def _counters(terms: Terms, before: Odometer, after: Odometer) -> Iterable[Counter]:
    step, states = terms.locks.step, terms.locks.states
    for (path, old), (_, new) in zip(before.indices, after.indices, strict=True):
        if old != new:
            locks = relative_lock(step, states, old), relative_lock(step, states, new)
            yield Counter(path, old, new, *locks, states - 1 - new)
