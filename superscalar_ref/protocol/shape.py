"""The shape of a factory's tree: which nodes there are, who is below each, and what leaving it costs.

Laws of this module:

* A shape is a list of levels, **root first**, and a leaf ``k`` (P1242 'Arity and tree structuring'). The
  last level repeats, as a DW level, for as long as clients are left over.
* A node over clients that fit a leaf (at most ``k²``) is a leaf; every other node splits its clients, in
  order, into groups whose sizes differ by at most one. So leaves may lie at different depths (a ragged
  tree), and no node is ever empty.
* Everything here is computed from whole numbers and names: the same arguments give the same tree for every
  party.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Literal

from superscalar_ref.errors import InputError
from superscalar_ref.protocol.weight import TRUC_MAX_VBYTES, key_path_vbytes, most_outputs

ROOT = "r"
"""Path of the root; its children are ``r.0``, ``r.1`` and so on."""
MAX_OUTPUTS = most_outputs()
"""P2TR outputs that fit a version-3 transaction (BIP-431)."""
MAX_LEVELS = 64
"""More levels than any ceiling on an exit allows; stops a slip of the keyboard early."""

LevelKind = Literal["dw", "static"]


class NodeKind(StrEnum):
    """What a node is made of."""

    STATIC = "static"
    """One kickoff transaction with an output for each child, and no counter."""
    DW = "dw"
    """A kickoff with one output, and a state with an output for each child."""
    LEAF = "leaf"
    """A kickoff with one output, and a state with the channels and the stock."""


@dataclass(frozen=True)
class Level:
    """One level of a shape: into how many groups its nodes split, and whether they carry a DW counter."""

    arity: int
    kind: LevelKind = "dw"


@dataclass(frozen=True)
class Shape:
    """Levels, root first, and a leaf ``k``: up to ``k²`` clients and ``k`` stock outputs (P1242).

    Raises ``InputError`` (``R-SHAPE``) for a number below 1, no level at all, or a static level below a DW
    level, and (``R-TRUC-SIZE``) for a node whose transaction no version-3 relay would carry (BIP-431).
    """

    levels: tuple[Level, ...]
    leaf_k: int = 1

    def __post_init__(self) -> None:
        if not self.levels:
            raise InputError("arity", "a shape needs at least one level", "R-SHAPE")
        if len(self.levels) > MAX_LEVELS:
            raise InputError("arity", f"at most {MAX_LEVELS} levels, not {len(self.levels)}", "R-SHAPE")
        dw_above = False
        for number, level in enumerate(self.levels, start=1):
            place = f"arity of level {number}"
            if level.arity < 1:
                raise InputError(place, f"must be at least 1, not {level.arity}", "R-SHAPE")
            if level.arity > MAX_OUTPUTS:
                raise InputError(place, _too_large(level.arity), "R-TRUC-SIZE")
            if level.kind == "static" and dw_above:
                raise InputError(f"level {number}", "a static level cannot lie below a DW level", "R-SHAPE")
            dw_above = dw_above or level.kind == "dw"
        if self.leaf_k < 1:
            raise InputError("leaf k", f"must be at least 1, not {self.leaf_k}", "R-SHAPE")
        outputs = self.leaf_capacity + self.leaf_k
        if outputs > MAX_OUTPUTS:
            raise InputError("leaf k", _too_large(outputs), "R-TRUC-SIZE")

    @classmethod
    def of(cls, arities: Sequence[int], static: int = 0, leaf_k: int = 1) -> Shape:
        """A shape from arities, root first, whose top ``static`` levels carry no counter.

        When ``static`` exceeds the number of arities, the last arity repeats. Raises ``InputError`` as the
        class does.
        """
        if static < 0:
            raise InputError("static", f"must be at least 0, not {static}", "R-SHAPE")
        if not arities:
            raise InputError("arity", "a shape needs at least one level", "R-SHAPE")
        if static > MAX_LEVELS:
            raise InputError("static", f"must be at most {MAX_LEVELS}, not {static}", "R-SHAPE")
        padded = [*arities, *[arities[-1]] * (static - len(arities))]
        kinds: list[LevelKind] = ["static" if depth < static else "dw" for depth in range(len(padded))]
        return cls(tuple(Level(arity, kind) for arity, kind in zip(padded, kinds, strict=True)), leaf_k)

    @property
    def leaf_capacity(self) -> int:
        """The most clients of one leaf: ``k²``."""
        return self.leaf_k * self.leaf_k

    @property
    def static_levels(self) -> int:
        """How many levels at the top carry no counter."""
        return sum(level.kind == "static" for level in self.levels)

    def level(self, depth: int) -> Level:
        """The level of interior nodes at ``depth`` (root: 0); below the list: its last arity, DW."""
        if depth < len(self.levels):
            return self.levels[depth]
        return Level(self.levels[-1].arity, "dw")


@dataclass(frozen=True)
class Node:
    """One node of the tree: its place, its kind, the clients below it in order, and its children."""

    path: str
    kind: NodeKind
    clients: tuple[str, ...]
    children: tuple[Node, ...] = ()

    @property
    def has_counter(self) -> bool:
        """True for DW nodes and leaves: their state is replaced by a newer one with a shorter lock."""
        return self.kind is not NodeKind.STATIC

    @property
    def transactions(self) -> int:
        """Transactions of this node alone, one version of each: 1 when static, else kickoff and state."""
        return 2 if self.has_counter else 1

    @property
    def depth(self) -> int:
        """Steps from the root; the root's is 0."""
        return self.path.count(".")

    @property
    def parent(self) -> str | None:
        """Path of the parent, None for the root."""
        return self.path.rpartition(".")[0] or None


def split(items: tuple[str, ...], groups: int) -> tuple[tuple[str, ...], ...]:
    """Cut ``items``, in order, into ``groups`` parts whose sizes differ by at most one, the larger first."""
    size, larger = divmod(len(items), groups)
    parts = []
    start = 0
    for number in range(groups):
        end = start + size + (number < larger)
        parts.append(items[start:end])
        start = end
    return tuple(parts)


def stock_groups(node: Node, leaf_k: int) -> tuple[tuple[str, ...], ...]:
    """Who shares each stock output of a leaf: ``min(k, clients)`` groups of at most ``k`` (P1242).

    In the clients' order; each client of the leaf is in exactly one group. A node that is no leaf has no
    stock: the empty tuple.
    """
    if node.kind is not NodeKind.LEAF:
        return ()
    return split(node.clients, min(leaf_k, len(node.clients)))


@dataclass(frozen=True)
class Tree:
    """A grown tree: its root and the shape that it was grown from."""

    root: Node
    shape: Shape

    @cached_property
    def _nodes(self) -> tuple[Node, ...]:
        return tuple(_walk(self.root))

    @cached_property
    def _by_path(self) -> dict[str, Node]:
        return {node.path: node for node in self._nodes}

    @cached_property
    def _leaf_by_client(self) -> dict[str, Node]:
        return {client: leaf for leaf in self.leaves() for client in leaf.clients}

    def nodes(self) -> tuple[Node, ...]:
        """All nodes, parents before their children, siblings in order."""
        return self._nodes

    def leaves(self) -> tuple[Node, ...]:
        """All leaves, in the clients' order."""
        return tuple(node for node in self._nodes if node.kind is NodeKind.LEAF)

    @property
    def clients(self) -> tuple[str, ...]:
        """All clients, in order."""
        return self.root.clients

    @property
    def depth(self) -> int:
        """Steps from the root to the deepest leaf; 0 when the root is a leaf."""
        return max(leaf.depth for leaf in self.leaves())

    @property
    def transactions(self) -> int:
        """Kickoffs and states of one version of the whole tree; the funding transaction is not counted."""
        return sum(node.transactions for node in self._nodes)

    def node(self, path: str) -> Node:
        """The node at ``path``. Raises ``InputError`` when there is none."""
        if path not in self._by_path:
            raise InputError(f"node '{path}'", "is not in the tree", "R-SHAPE")
        return self._by_path[path]

    def path_of(self, node: Node) -> tuple[Node, ...]:
        """The nodes from the root to ``node``, both included."""
        parts = node.path.split(".")
        return tuple(self._by_path[".".join(parts[: length + 1])] for length in range(len(parts)))

    def leaf_of(self, client: str) -> Node:
        """The leaf that holds ``client``'s channel. Raises ``InputError`` for a stranger."""
        if client not in self._leaf_by_client:
            raise InputError(f"client '{client}'", "is not in the tree", "R-SHAPE")
        return self._leaf_by_client[client]

    def path_to(self, client: str) -> tuple[Node, ...]:
        """The nodes from the root to ``client``'s leaf. Raises ``InputError`` for a stranger."""
        return self.path_of(self.leaf_of(client))

    def dw_layers_on_path(self, client: str) -> int:
        """Nodes with a counter from the root to ``client``'s leaf, which is one of them."""
        return sum(node.has_counter for node in self.path_to(client))

    def stock_groups(self, node: Node) -> tuple[tuple[str, ...], ...]:
        """Who shares each stock output of ``node``; see :func:`stock_groups`."""
        return stock_groups(node, self.shape.leaf_k)

    def output_counts(self, node: Node) -> tuple[int, ...]:
        """P2TR outputs of each transaction of ``node``, in order of publication, without anchors."""
        if node.kind is NodeKind.STATIC:
            return (len(node.children),)
        if node.kind is NodeKind.DW:
            return (1, len(node.children))
        return (1, len(node.clients) + len(self.stock_groups(node)))


def grow(shape: Shape, clients: Sequence[str]) -> Tree:
    """Grow the tree of ``shape`` over ``clients``, in the order given (P1242 'Arity and tree structuring').

    An interior node makes as many groups as its level's arity, or as leaves are needed when that is fewer.
    Raises ``InputError`` (``R-SHAPE``) for no client, for a name that is empty or given twice, and for a
    last level of arity 1 that would repeat for ever.
    """
    names = tuple(clients)
    if not names:
        raise InputError("clients", "a factory needs at least one client", "R-SHAPE")
    if "" in names:
        raise InputError("clients", "a client's name is empty", "R-SHAPE")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError("clients", f"'{twice}' is named twice", "R-SHAPE")
    return Tree(_grow(shape, names, ROOT, 0), shape)


def _grow(shape: Shape, clients: tuple[str, ...], path: str, depth: int) -> Node:
    if len(clients) <= shape.leaf_capacity:
        return Node(path, NodeKind.LEAF, clients)
    level = shape.level(depth)
    if level.arity == 1 and depth >= len(shape.levels) - 1:
        raise InputError(
            f"arity of level {len(shape.levels)}",
            f"the last level repeats, and with arity 1 its {len(clients)} clients never fit leaves of "
            f"{shape.leaf_capacity}; use at least 2",
            "R-SHAPE",
        )
    groups = split(clients, min(level.arity, leaves_needed(len(clients), shape)))
    children = tuple(_grow(shape, group, f"{path}.{number}", depth + 1) for number, group in enumerate(groups))
    return Node(path, NodeKind(level.kind), clients, children)


def leaves_needed(clients: int, shape: Shape) -> int:
    """The fewest leaves that hold so many clients."""
    return -(-clients // shape.leaf_capacity)


def _walk(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from _walk(child)


def _too_large(outputs: int) -> str:
    return (
        f"a transaction with {outputs} outputs and an anchor takes {key_path_vbytes(outputs)} vbytes, "
        f"over the {TRUC_MAX_VBYTES} of a version-3 transaction; at most {MAX_OUTPUTS} outputs fit"
    )
