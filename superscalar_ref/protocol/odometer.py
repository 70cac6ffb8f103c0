"""The odometer: which state of each DW node is the newest, and which counter moves next.

Laws of this module:

* Index 0 is the oldest state of a node, with the longest lock; the last index is the newest, with no lock at all.
* A counter that moves grows by one, and every counter below it restarts at 0: its parent is a new transaction.
* A step moves the lowest counter that has an index left, from the place of the change towards the root: so the
  versions on a path, read from the root, grow in lexicographic order; ``m`` layers of ``s`` states make ``s^m``.
* Siblings do not touch each other.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

from superscalar_ref.errors import InputError, ProtocolError
from superscalar_ref.protocol.shape import Tree

MAX_RELATIVE_LOCK = 0xFFFF
"""Blocks that fit nSequence (BIP-68)."""


def relative_lock(step_blocks: int, states: int, index: int) -> int:
    """The relative lock (blocks) of state ``index``, 0 the oldest: ``step × (states − 1 − index)`` (P1143, BIP-68).

    It is also the state's nSequence: a count of blocks has no flag set. Raises ``ProtocolError``: ``BAD_STEP`` or
    ``BAD_INDEX`` (``R-ODOMETER``), or ``LOCK_TOO_LONG`` (``R-LOCK-16-BIT``) when this lock does not fit 16 bits.
    """
    if step_blocks < 1:
        raise ProtocolError("R-ODOMETER", "BAD_STEP", f"a step of {step_blocks} blocks; at least 1 is needed")
    if not 0 <= index < states:
        raise ProtocolError("R-ODOMETER", "BAD_INDEX", f"there is no state {index} among {states}, counted from 0")
    lock = step_blocks * (states - 1 - index)
    if lock > MAX_RELATIVE_LOCK:
        raise ProtocolError(
            "R-LOCK-16-BIT", "LOCK_TOO_LONG", f"{lock} blocks exceed the {MAX_RELATIVE_LOCK} that BIP-68's 16 bits hold"
        )
    return lock


def states_along_path(states: int, layers: int) -> int:
    """How many combinations of versions ``layers`` DW layers of ``states`` states run through: ``states^layers``."""
    combinations: int = states**layers
    return combinations


@dataclass(frozen=True)
class Odometer:
    """The counters of a tree: one for each DW node and leaf, none for a static node. Immutable."""

    tree: Tree = field(repr=False, hash=False)
    states: int
    """States a layer; the indices run from 0 to ``states − 1``."""
    indices: tuple[tuple[str, int], ...]
    """Node path and index, for every node with a counter, parents before children."""

    @cached_property
    def _by_path(self) -> dict[str, int]:
        return dict(self.indices)

    @classmethod
    def new(cls, tree: Tree, states: int) -> Odometer:
        """All counters at 0. Raises ``InputError`` (``R-SHAPE``) when ``states`` is below 1."""
        if states < 1:
            raise InputError("states", f"must be at least 1, not {states}", "R-SHAPE")
        return cls(tree, states, tuple((node.path, 0) for node in tree.nodes() if node.has_counter))

    def index(self, path: str) -> int:
        """The newest state of the node at ``path``. Raises ``ProtocolError`` (``NO_COUNTER``) when it has none."""
        if path not in self._by_path:
            raise ProtocolError("R-ODOMETER", "NO_COUNTER", f"node '{path}' has no counter")
        return self._by_path[path]

    def versions_on_path(self, path: str) -> tuple[int, ...]:
        """Indices of the nodes with a counter from the root to ``path``, which is included if it has one.

        They name one version of the transactions of that node. Raises ``InputError`` for an unknown path.
        """
        return tuple(self.index(node.path) for node in self.tree.path_of(self.tree.node(path)) if node.has_counter)

    def next_tick(self, path: str) -> str | None:
        """The node whose counter a change at ``path`` moves: itself, else its nearest ancestor with an index left.

        A static node is passed over. None when all counters up to the root are at their end. Raises
        ``InputError`` for an unknown path.
        """
        for node in reversed(self.tree.path_of(self.tree.node(path))):
            if node.has_counter and self.index(node.path) < self.states - 1:
                return node.path
        return None

    def tick(self, path: str) -> Odometer:
        """Move the counter of the node at ``path`` by one and restart every counter below it.

        Raises ``ProtocolError`` (``R-ODOMETER``): ``NO_COUNTER`` for a static or unknown node,
        ``COUNTER_EXHAUSTED`` when it is at its end (then :meth:`next_tick` names the ancestor to move).
        """
        if self.index(path) == self.states - 1:
            raise ProtocolError(
                "R-ODOMETER", "COUNTER_EXHAUSTED", f"node '{path}' is at its last state, {self.states - 1}"
            )
        below = f"{path}."
        moved = tuple(
            (owner, index + 1 if owner == path else 0 if owner.startswith(below) else index)
            for owner, index in self.indices
        )
        return replace(self, indices=moved)

    def advance(self, path: str) -> Odometer:
        """Make a change at ``path``: tick the node that :meth:`next_tick` names.

        Raises ``ProtocolError`` (``ODOMETER_EXHAUSTED``) when there is none: the factory can still be left, closed and
        sold from by chaining, but no longer restructured here.
        """
        ticking = self.next_tick(path)
        if ticking is None:
            raise ProtocolError(
                "R-ODOMETER", "ODOMETER_EXHAUSTED", f"every counter from the root to node '{path}' is at its end"
            )
        return self.tick(ticking)

    @property
    def exhausted(self) -> bool:
        """True when no change is possible anywhere: every counter of the tree is at its end."""
        return all(index == self.states - 1 for _, index in self.indices)
