"""What leaving a tree alone costs each client, and whether the worst case is short enough.

Laws of this module:

* The worst case is counted: on every DW layer of a client's path the oldest state confirms, with the
  longest lock.
* Only the tree is counted: kickoffs and states from the root down to the client's leaf. The funding
  transaction, the close of the channel and its sweep are not.
* A plan over the ceiling is never repaired silently: it is refused, with the nearest shape that fits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from superscalar_ref.errors import InputError, ProtocolError
from superscalar_ref.protocol.odometer import MAX_RELATIVE_LOCK
from superscalar_ref.protocol.shape import MAX_OUTPUTS, Node, NodeKind, Shape, Tree, grow, leaves_needed
from superscalar_ref.protocol.weight import key_path_vbytes


@dataclass(frozen=True)
class Timing:
    """The locks of every DW layer: ``states`` states, each ``step_blocks`` shorter than the one before it.

    Raises ``InputError`` (``R-SHAPE``) for a number below 1, and (``R-LOCK-16-BIT``) when the oldest state's
    lock does not fit nSequence (BIP-68).
    """

    step_blocks: int
    states: int

    def __post_init__(self) -> None:
        if self.step_blocks < 1:
            raise InputError("step", f"must be at least 1 block, not {self.step_blocks}", "R-SHAPE")
        if self.states < 1:
            raise InputError("states", f"must be at least 1, not {self.states}", "R-SHAPE")
        if self.longest_lock > MAX_RELATIVE_LOCK:
            raise InputError(
                "step × (states − 1)",
                f"{self.step_blocks} × {self.states - 1} = {self.longest_lock} blocks exceed the "
                f"{MAX_RELATIVE_LOCK} that 16 bits of nSequence hold",
                "R-LOCK-16-BIT",
            )

    @property
    def longest_lock(self) -> int:
        """Relative lock of the oldest state (blocks)."""
        return self.step_blocks * (self.states - 1)


@dataclass(frozen=True)
class Limits:
    """How long an exit may take: ``ceiling_blocks``, of which ``margin_blocks`` stay free.

    An incoming HTLC must outlive the exit, and no sender locks it for longer than the ceiling (BOLT 4
    ``expiry_too_far``).

    Raises ``InputError`` (``R-EXIT-CEILING``) for a ceiling below 1 or a margin below 0.
    """

    ceiling_blocks: int
    margin_blocks: int

    def __post_init__(self) -> None:
        if self.ceiling_blocks < 1:
            raise InputError("ceiling", f"must be at least 1 block, not {self.ceiling_blocks}", "R-EXIT-CEILING")
        if self.margin_blocks < 0:
            raise InputError("margin", f"must be at least 0 blocks, not {self.margin_blocks}", "R-EXIT-CEILING")

    @property
    def longest_exit(self) -> int:
        """The longest exit that is allowed (blocks)."""
        return self.ceiling_blocks - self.margin_blocks


@dataclass(frozen=True)
class Exit:
    """What one client's exit alone takes in the worst case."""

    client: str
    transactions: int
    """From the root's kickoff to the client's leaf state."""
    vbytes: int
    """Sum over these transactions."""
    fee_sat: int
    """Sum of their own fees; nothing added through an anchor."""
    lock_blocks: int
    """Relative locks alone."""
    exit_blocks: int
    """Locks, and one block to confirm each transaction."""
    dragged: tuple[str, ...]
    """Blast radius: the *other* clients whose own channel outputs come on chain through this exit.

    These are the mates in the client's leaf. A sibling under a published state or static kickoff is not
    dragged: what comes on chain there is the output that the sibling's own kickoff spends, and a kickoff
    has no lock that could start to run, and the only path to a state leads through it.
    """


@dataclass(frozen=True)
class Plan:
    """A tree with its timing, its fee rate and its limits, and every client's exit, in the clients' order."""

    tree: Tree
    timing: Timing
    limits: Limits
    feerate: int
    """sat per vbyte of every tree transaction."""
    exits: tuple[Exit, ...]

    @property
    def dw_layers(self) -> int:
        """DW layers, the leaf's included, on the path that has most."""
        return max(self.tree.dw_layers_on_path(leaf.clients[0]) for leaf in self.tree.leaves())

    @property
    def worst_lock_blocks(self) -> int:
        """The longest sum of relative locks on a path (blocks)."""
        return max(exit_.lock_blocks for exit_ in self.exits)

    @property
    def worst_exit_blocks(self) -> int:
        """The longest exit (blocks)."""
        return max(exit_.exit_blocks for exit_ in self.exits)

    @property
    def fits(self) -> bool:
        """True when the longest exit and the margin stay within the ceiling."""
        return self.worst_exit_blocks <= self.limits.longest_exit

    def require_fit(self) -> None:
        """Do nothing when the plan fits. Raises ``ProtocolError`` (``R-EXIT-CEILING``) when it does not."""
        if self.fits:
            return
        raise ProtocolError("R-EXIT-CEILING", "EXIT_TOO_LONG", self.reason())

    def reason(self) -> str:
        """The sum that is compared with the ceiling, in words."""
        verdict = "within" if self.fits else "over"
        return (
            f"the worst exit takes {self.worst_exit_blocks} blocks ({self.dw_layers} DW layers × "
            f"{self.timing.longest_lock} = {self.worst_lock_blocks} of locks, and one for each of "
            f"{self.worst_exit_blocks - self.worst_lock_blocks} transactions), with the margin of "
            f"{self.limits.margin_blocks} {verdict} the ceiling of {self.limits.ceiling_blocks}"
        )


def plan(shape: Shape, clients: Sequence[str], timing: Timing, limits: Limits, feerate: int) -> Plan:
    """Grow the tree and count every client's exit; ``feerate`` is in sat per vbyte.

    Raises ``InputError`` as :func:`grow` does, and for a negative fee rate. A plan that does not fit is
    returned: :meth:`Plan.require_fit` refuses it.
    """
    if feerate < 0:
        raise InputError("feerate", f"must be at least 0 sat per vbyte, not {feerate}", "R-SHAPE")
    tree = grow(shape, clients)
    return Plan(tree, timing, limits, feerate, tuple(_exits(tree, timing, feerate)))


def node_vbytes(tree: Tree, node: Node) -> int:
    """Virtual bytes of one version of ``node``'s own transactions (its kickoff and, if it has one, its state)."""
    return sum(key_path_vbytes(outputs) for outputs in tree.output_counts(node))


def _exits(tree: Tree, timing: Timing, feerate: int) -> Iterator[Exit]:
    for leaf in tree.leaves():
        path = tree.path_of(leaf)
        transactions = sum(node.transactions for node in path)
        vbytes = sum(node_vbytes(tree, node) for node in path)
        lock = timing.longest_lock * sum(node.has_counter for node in path)
        for client in leaf.clients:
            mates = tuple(mate for mate in leaf.clients if mate != client)
            yield Exit(client, transactions, vbytes, vbytes * feerate, lock, lock + transactions, mates)


@dataclass(frozen=True)
class Suggestion:
    """The nearest shape and timing that fit, and how far they are from what was asked for."""

    arities: tuple[int, ...]
    static: int
    leaf_k: int
    timing: Timing
    changes: int
    words: str
    """What changed, in a sentence."""

    @property
    def shape(self) -> Shape:
        """The suggested shape."""
        return Shape.of(self.arities, self.static, self.leaf_k)

    def arguments(self, clients: int) -> str:
        """The command line that plans it."""
        arities = ",".join(str(arity) for arity in self.arities)
        return (
            f"--clients {clients} --arity {arities} --static {self.static} --leaf-k {self.leaf_k} "
            f"--step {self.timing.step_blocks} --states {self.timing.states}"
        )


def nearest(plan: Plan) -> Suggestion | None:
    """The nearest shape whose worst exit fits, or None when not even one block of lock would.

    A change is one more static level at the top, or one level's arity doubled. The nearest has the fewest
    changes; among equals the one with a single kind of change, then the smallest worst exit in vbytes, then
    the fewest static levels. Levels are widened where they are narrowest, the upper one first (P1242: low
    arity near the leaves, wider above).
    The timing stays, unless no shape fits with it: then, as a last resort, with the fewest states given up
    and halvings of the step.
    """
    shape, clients, timing, limits = plan.tree.shape, len(plan.tree.clients), plan.timing, plan.limits
    best = _nearest_shape(shape, clients, timing, limits)
    if best is not None:
        return best
    shorter = _shorter_timing(shape, clients, timing, limits)
    return None if shorter is None else _nearest_shape(shape, clients, shorter, limits, before=timing)


def _nearest_shape(
    shape: Shape, clients: int, timing: Timing, limits: Limits, before: Timing | None = None
) -> Suggestion | None:
    arities = tuple(level.arity for level in shape.levels)
    found: list[tuple[tuple[int, int, int, int], Suggestion]] = []
    for depth in range(_depth(shape, clients), -1, -1):
        widened = _widen(arities, depth, leaves_needed(clients, shape))
        if widened is None:
            continue
        wider, doublings = widened
        for static in range(shape.static_levels, max(shape.static_levels, depth) + 1):
            candidate = Shape.of(wider, static, shape.leaf_k)
            blocks, vbytes = _worst_exit(candidate, clients, timing)
            if blocks > limits.longest_exit:
                continue
            added = static - shape.static_levels
            changes = added + doublings
            words = _words(shape, candidate, wider, timing, before)
            suggestion = Suggestion(wider, static, shape.leaf_k, timing, changes, words)
            found.append(((changes, (added > 0) + (doublings > 0), vbytes, static), suggestion))
            break
    return min(found, key=lambda entry: entry[0])[1] if found else None


def _depth(shape: Shape, clients: int) -> int:
    return sum(kind is not NodeKind.LEAF for kind, _ in _longest_path(shape, clients))


def _longest_path(shape: Shape, clients: int) -> Iterator[tuple[NodeKind, int]]:
    """Kinds and numbers of outputs along the path of the larger groups: no path is longer."""
    depth = 0
    while clients > shape.leaf_capacity:
        level = shape.level(depth)
        groups = min(level.arity, leaves_needed(clients, shape))
        yield NodeKind(level.kind), groups
        clients = -(-clients // groups)
        depth += 1
    yield NodeKind.LEAF, clients + min(shape.leaf_k, clients)


def _worst_exit(shape: Shape, clients: int, timing: Timing) -> tuple[int, int]:
    """Blocks and vbytes of the exit along the longest path."""
    blocks = vbytes = 0
    for kind, outputs in _longest_path(shape, clients):
        vbytes += key_path_vbytes(outputs)
        blocks += 1
        if kind is not NodeKind.STATIC:
            vbytes += key_path_vbytes(1)
            blocks += 1 + timing.longest_lock
    return blocks, vbytes


def _widen(arities: tuple[int, ...], depth: int, leaves: int) -> tuple[tuple[int, ...], int] | None:
    """Double arities until ``depth`` interior levels reach ``leaves`` leaves; None when a version-3 node cannot."""
    levels = [*arities, *[arities[-1]] * (depth - len(arities))]
    doublings = 0
    while _product(levels[:depth]) < leaves:
        if depth == 0 or min(levels[:depth]) >= MAX_OUTPUTS:
            return None
        narrowest = min(range(depth), key=lambda number: (levels[number], number))
        levels[narrowest] = min(2 * levels[narrowest], MAX_OUTPUTS)
        doublings += 1
    return (tuple(levels) if doublings else arities), doublings


def _product(numbers: Sequence[int]) -> int:
    product = 1
    for number in numbers:
        product *= number
    return product


def _shorter_timing(shape: Shape, clients: int, timing: Timing, limits: Limits) -> Timing | None:
    """The timing with the fewest states given up and halvings of the step with which some shape fits."""
    leaves = leaves_needed(clients, shape)
    interior = 0
    while MAX_OUTPUTS**interior < leaves:
        interior += 1
    room = limits.longest_exit - interior - 2
    choices: list[tuple[int, Timing]] = []
    step, halvings = timing.step_blocks, 0
    while True:
        states = min(timing.states, room // step + 1)
        if states >= 2:
            choices.append((halvings + timing.states - states, Timing(step, states)))
        if step == 1:
            break
        step, halvings = step // 2, halvings + 1
    return min(choices, key=lambda choice: choice[0])[1] if choices else None


def _words(old: Shape, new: Shape, wider: tuple[int, ...], timing: Timing, before: Timing | None) -> str:
    """What a suggestion changes."""
    said = []
    if new.static_levels > old.static_levels:
        top = "level" if new.static_levels == 1 else f"{new.static_levels} levels"
        said.append(f"make the top {top} static (now {old.static_levels})")
    if wider != tuple(level.arity for level in old.levels):
        said.append(f"widen the arities, root first, to {', '.join(str(arity) for arity in wider)}")
    if before is not None and timing.states < before.states:
        said.append(f"use {timing.states} states a layer instead of {before.states}")
    if before is not None and timing.step_blocks < before.step_blocks:
        said.append(f"use a step of {timing.step_blocks} blocks instead of {before.step_blocks}")
    return " and ".join(said)
