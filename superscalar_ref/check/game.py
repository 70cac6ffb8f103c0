"""The game on the chain, solved exactly by backward induction.

One round at height ``h`` (the height of the last block):

1. the adversary lets the hero sleep (at most ``absence`` rounds in a row, ``exit_absence`` once its exit is under way)
   or not;
2. an awake hero broadcasts any of the transactions that it holds, that are final in the next block, whose parents are
   confirmed and whose fee it can pay;
3. the adversary makes block ``h + 1`` from whatever it holds or has seen broadcast. A transaction that the hero
   broadcast ``confirmation`` blocks ago must be in it, unless a conflicting one is: ties go to the adversary.

Nothing else happens, so the graph is finite and has no cycles: heights only grow. Ages of outputs are capped at the
longest lock that matters. The value of a position is one number that orders all outcomes for the hero: winning sooner
is better than later, winning better than losing, losing less better than more. So one pass answers both questions: the
worst block at which the hero owns what it is owed, and the amount that it can force.

The rules do not depend on the height except through absolute locks and the hero's deadline. So positions are numbered
once per *epoch* (a span of heights in which no lock matures), and the passes over heights only look up numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from superscalar_ref.check.arena import Arena, check_arena, default_horizon, payout, relevant
from superscalar_ref.protocol.transaction import Outpoint

Pending = tuple[tuple[int, int], ...]
"""The hero's broadcasts: (template's number, blocks waited), in order."""
Position = tuple[int, tuple[int, ...], int]
"""Unspent outpoints (bits), their capped ages (0 when spent), what the hero has been paid (at most what it is owed)."""
Node = tuple[Position, Pending, int, bool]
"""A position, the hero's broadcasts, how many rounds it has slept, whether its exit is under way."""
Policy = Callable[[Mapping[Outpoint, int], int, frozenset[str]], Sequence[str]]
"""A fixed strategy: (unspent outpoint → height, height of the next block, own pending) → names to broadcast."""


@dataclass(frozen=True)
class Round:
    """One step of a trace: who was awake, what was broadcast, what the block at ``height`` holds."""

    height: int
    asleep: bool
    broadcast: tuple[str, ...]
    mined: tuple[str, ...]
    paid: int
    """What the hero owns after the block (units)."""


@dataclass(frozen=True)
class Solution:
    """What backward induction found."""

    wins: bool
    """The hero can force what it is owed."""
    worst_block: int | None
    """Height at which it owns it at the latest; None when it cannot force it."""
    amount: int
    """What it can force, at most what it is owed (units)."""
    states: int
    """Positions visited: (height, position, broadcasts, sleep, whose move)."""
    edges: int
    """Moves between them."""
    positions: int
    """Distinct positions without their heights."""
    trace: tuple[Round, ...]
    """Best play of both sides; idle as long as idling costs nothing, so that only what matters is in it."""


def solve(arena: Arena, policy: Policy | None = None) -> Solution:
    """Solve ``arena``; with ``policy`` the hero follows it, and only the adversary chooses.

    Raises ``InputError`` when the arena contradicts itself.
    """
    check_arena(arena)
    return _Solver(Board(arena), policy).solution()


class Board:
    """An arena in whole numbers: outpoints and templates numbered, locks as minimal ages, sets as bits."""

    def __init__(self, arena: Arena) -> None:
        self.arena = arena
        self.templates = relevant(arena)
        self.horizon = default_horizon(arena, self.templates) if arena.horizon is None else arena.horizon
        spent = {spend.outpoint for template in self.templates for spend in template.spends}
        self.outpoints = sorted(spent)
        number = {outpoint: i for i, outpoint in enumerate(self.outpoints)}
        self.takes = [sum(1 << number[s.outpoint] for s in t.spends) for t in self.templates]
        self.makes = [
            sum(1 << number[t.outpoint(i)] for i in range(len(t.outputs)) if t.outpoint(i) in number)
            for t in self.templates
        ]
        self.locks = [
            tuple((number[s.outpoint], s.relative_lock) for s in t.spends if s.relative_lock) for t in self.templates
        ]
        self.pays = [payout(arena, t) for t in self.templates]
        self.forbidden = sum(1 << i for i, t in enumerate(self.templates) if t.name in arena.forbidden)
        self.cap = [0] * len(self.outpoints)
        for locks in self.locks:
            for outpoint, blocks in locks:
                self.cap[outpoint] = max(self.cap[outpoint], blocks)
        self.start_coins = sum(1 << number[o] for o in arena.coins if o in number)
        numbered = range(len(self.templates))
        self.hero = [
            i
            for i in numbered
            if self.templates[i].name in arena.hero_holds and self.templates[i].name in arena.affordable
        ]
        self.adversary = sum(1 << i for i in numbered if self.templates[i].name in arena.adversary_holds)
        self.conflicts = [sum(1 << j for j in numbered if j != i and self.takes[i] & self.takes[j]) for i in numbered]

    def initial(self) -> Node:
        """The position at the start: nothing broadcast, the hero awake in the last round."""
        coins = self.arena.coins
        ages = tuple(
            min(cap, self.arena.height - coins[outpoint]) if outpoint in coins else 0
            for outpoint, cap in zip(self.outpoints, self.cap, strict=True)
        )
        return (self.start_coins, ages, 0), (), 0, False

    def timely(self, height: int) -> int:
        """Bits of the templates whose absolute lock lets them into a block at ``height``."""
        return sum(1 << i for i, t in enumerate(self.templates) if t.lock_time < height)

    def ripe(self, position: Position, timely: int) -> int:
        """Bits of the templates that may be in the next block without any other one."""
        unspent, ages, _ = position
        found = 0
        for i, takes in enumerate(self.takes):
            if not timely >> i & 1 or takes & unspent != takes:
                continue
            # The next block is one higher than the last, so an output of age a is a + 1 deep there.
            if all(ages[outpoint] + 1 >= blocks for outpoint, blocks in self.locks[i]):
                found |= 1 << i
        return found

    def blocks(self, position: Position, timely: int, usable: int) -> list[tuple[int, Position]]:
        """Every set of ``usable`` templates that can make the next block, with the position after it."""
        ripe = self.ripe(position, timely) & usable
        # A child without a relative lock may share its parent's block.
        instant = sum(1 << i for i, locks in enumerate(self.locks) if not locks) & timely & usable
        candidates = [i for i in range(len(self.templates)) if (ripe | instant) >> i & 1]
        seen = {0: position[0]}
        queue = [0]
        for mined in queue:
            unspent = seen[mined]
            for i in candidates:
                # A ripe template's inputs are of earlier blocks; an instant one takes what is unspent now.
                if unspent & self.takes[i] == self.takes[i] and not mined >> i & 1:
                    after = mined | 1 << i
                    if after not in seen:
                        seen[after] = unspent & ~self.takes[i] | self.makes[i]
                        queue.append(after)
        return [(mined, self._aged(position, mined, unspent)) for mined, unspent in seen.items()]

    def _aged(self, before: Position, mined: int, unspent: int) -> Position:
        """The position after a block: older outputs, and what the hero was paid."""
        old, ages, paid = before
        if mined & self.forbidden:
            return 0, (0,) * len(self.cap), -1
        kept = old & unspent
        new_ages = tuple(
            min(cap, age + 1) if cap and kept >> i & 1 else 0
            for i, (age, cap) in enumerate(zip(ages, self.cap, strict=True))
        )
        if mined:
            paid = min(self.arena.owed, paid + sum(p for i, p in enumerate(self.pays) if mined >> i & 1))
        return unspent, new_ages, paid


class _Solver:
    """Numbered positions of one arena, and the two passes over the heights."""

    def __init__(self, board: Board, policy: Policy | None) -> None:
        self.board = board
        self.policy = policy
        self.number: dict[Node, int] = {}
        self.nodes: list[Node] = []
        self.settled: list[bool] = []
        # Per epoch: node → (block nodes that follow an awake hero's choices, block node after sleep or -1).
        self.choices: dict[int, dict[int, tuple[tuple[int, ...], int]]] = {}
        # Per epoch: block node → nodes that may follow.
        self.follows: dict[int, dict[int, tuple[int, ...]]] = {}
        self.block_number: dict[Node, int] = {}
        self.block_nodes: list[Node] = []
        self._blocks: dict[tuple[Position, int, int], list[tuple[int, Position]]] = {}

    # Numbers

    def _node(self, node: Node) -> int:
        found = self.number.get(node)
        if found is None:
            found = self.number[node] = len(self.nodes)
            self.nodes.append(node)
            self.settled.append(node[0][2] >= self.board.arena.owed)
        return found

    def _block_node(self, node: Node) -> int:
        found = self.block_number.get(node)
        if found is None:
            found = self.block_number[node] = len(self.block_nodes)
            self.block_nodes.append(node)
        return found

    # Rules

    def _options(self, node: Node, height: int) -> Iterator[tuple[int, ...]]:
        """What an awake hero may broadcast at the last block's ``height``."""
        position, pending, _, _ = node
        board = self.board
        ripe = board.ripe(position, board.timely(height + 1))
        busy = 0
        for i, _waited in pending:
            busy |= board.conflicts[i] | 1 << i
        idle = board.start_coins if height < board.arena.idle_until else 0
        ready = [i for i in board.hero if ripe >> i & 1 and not busy >> i & 1 and not board.takes[i] & idle]
        if board.arena.stand_in is not None and height < board.arena.stand_in_until:
            ready = [i for i in ready if board.templates[i].name in board.arena.stand_in]
        if self.policy is not None:
            yield self._by_policy(node, height, ready)
            return
        chosen: list[tuple[int, ...]] = [()]
        for i in ready:
            chosen += [(*some, i) for some in chosen if not any(board.conflicts[i] >> j & 1 for j in some)]
        yield from chosen

    def _by_policy(self, node: Node, height: int, ready: Sequence[int]) -> tuple[int, ...]:
        assert self.policy is not None
        board = self.board
        (unspent, ages, _), pending, _, _ = node
        # A capped age is as good as any older one: only comparisons with locks are made with it.
        seen = {outpoint: height - ages[i] for i, outpoint in enumerate(board.outpoints) if unspent >> i & 1}
        names = self.policy(seen, height + 1, frozenset(board.templates[i].name for i, _ in pending))
        return tuple(i for i in ready if board.templates[i].name in names)

    def _expand(self, epoch: int, height: int, number: int) -> tuple[tuple[int, ...], int]:
        """The block nodes after each choice of the hero, and after sleep (-1: it may not sleep on)."""
        node = self.nodes[number]
        position, pending, slept, alert = node
        arena, start = self.board.arena, self.board.start_coins
        asleep = -1
        may_sleep = slept < (arena.exit_absence if alert else arena.absence)
        if height < arena.asleep_until or (may_sleep and not (arena.punctual and height == arena.idle_until)):
            asleep = self._block_node((position, pending, 0 if height < arena.asleep_until else slept + 1, alert))
        sees = alert or height >= arena.idle_until or position[0] & start != start
        awake = tuple(
            self._block_node((position, tuple(sorted((*pending, *((i, 0) for i in option)))), 0, sees or bool(option)))
            for option in (self._options(node, height) if height >= arena.asleep_until else ())
        )
        found = self.choices[epoch][number] = (awake, asleep)
        return found

    def block_moves(self, timely: int, block: Node) -> Iterator[tuple[int, Node]]:
        """Every block that the adversary can make after ``block``'s broadcasts, and what follows."""
        board = self.board
        position, pending, slept, alert = block
        usable = board.adversary
        for i, _ in pending:
            usable |= 1 << i
        key = (position, timely, usable)
        found = self._blocks.get(key)
        if found is None:
            found = self._blocks[key] = board.blocks(position, timely, usable)
        last = board.arena.confirmation - 1
        for mined, after in found:
            unspent = after[0]
            waiting = []
            for i, waited in pending:
                if mined >> i & 1 or board.takes[i] & unspent != board.takes[i]:
                    continue
                if waited >= last:
                    break
                waiting.append((i, waited + 1))
            else:
                yield mined, (after, tuple(waiting), slept, alert)

    def _follow(self, epoch: int, timely: int, block: int) -> tuple[int, ...]:
        moves = self.block_moves(timely, self.block_nodes[block])
        found = self.follows[epoch][block] = tuple(dict.fromkeys(self._node(node) for _, node in moves))
        return found

    # Passes

    def _epochs(self) -> list[int]:
        """The epoch of each height from the start: a number that changes when a lock or the deadline matures."""
        board = self.board
        start = board.arena.height
        epochs: list[int] = []
        arena = board.arena
        previous: tuple[int, bool, bool, bool] | None = None
        for height in range(start, board.horizon):
            idle, punctual = height < arena.idle_until, arena.punctual and height == arena.idle_until
            state = (board.timely(height + 1), idle, punctual, height < arena.asleep_until)
            epochs.append((epochs[-1] if epochs else -1) + (state != previous))
            previous = state
        return epochs

    def solution(self) -> Solution:
        """Forward over the reachable positions, then backward over their values."""
        board = self.board
        start, horizon, owed = board.arena.height, board.horizon, board.arena.owed
        epochs = self._epochs()
        for epoch in set(epochs):
            self.choices[epoch] = {}
            self.follows[epoch] = {}
        reached: list[set[int]] = [{self._node(board.initial())}]
        reached_blocks: list[set[int]] = []
        edges = 0
        for step, epoch in enumerate(epochs):
            height = start + step
            choices, follows, settled = self.choices[epoch], self.follows[epoch], self.settled
            timely = board.timely(height + 1)
            blocks: set[int] = set()
            for number in reached[-1]:
                if settled[number]:
                    continue
                awake, asleep = choices.get(number) or self._expand(epoch, height, number)
                blocks.update(awake)
                edges += len(awake)
                if asleep >= 0:
                    blocks.add(asleep)
                    edges += 1
            after: set[int] = set()
            for block in blocks:
                following = follows.get(block) or self._follow(epoch, timely, block)
                after.update(following)
                edges += len(following)
            reached_blocks.append(blocks)
            reached.append(after)
        values = self._backward(epochs, reached, reached_blocks)
        value = values[0][0]
        return Solution(
            wins=value > owed,
            worst_block=horizon - (value - owed - 1) if value > owed else None,
            amount=min(value, owed),
            states=sum(map(len, reached)) + sum(map(len, reached_blocks)),
            edges=edges,
            positions=len({node[0] for node in self.nodes}),
            trace=self._trace(epochs, values),
        )

    def _backward(
        self, epochs: Sequence[int], reached: Sequence[set[int]], reached_blocks: Sequence[set[int]]
    ) -> list[dict[int, int]]:
        """The value of every reachable node at every height: more is better for the hero.

        ``owed + 1 + (horizon - height)`` when it owns what it is owed at ``height``; else what it ends with.
        """
        board = self.board
        owed, horizon = board.arena.owed, board.horizon
        nodes, settled = self.nodes, self.settled
        later = {number: owed + 1 if settled[number] else nodes[number][0][2] for number in reached[len(epochs)]}
        values = [later]
        for step in range(len(epochs) - 1, -1, -1):
            choices, follows = self.choices[epochs[step]], self.follows[epochs[step]]
            look = later.__getitem__
            block_value = {block: min(map(look, follows[block])) for block in reached_blocks[step]}
            look_block = block_value.__getitem__
            won = owed + 1 + (horizon - board.arena.height - step)
            now: dict[int, int] = {}
            for number in reached[step]:
                if settled[number]:
                    now[number] = won
                    continue
                awake, asleep = choices[number]
                value = max(map(look_block, awake)) if awake else won
                if asleep >= 0 and block_value[asleep] < value:
                    value = block_value[asleep]
                now[number] = value
            values.append(now)
            later = now
        values.reverse()
        return values

    def _trace(self, epochs: Sequence[int], values: Sequence[dict[int, int]]) -> tuple[Round, ...]:
        """One line of best play, with as little in it as best play allows."""
        board = self.board
        rounds: list[Round] = []
        number = 0
        for step, epoch in enumerate(epochs):
            if self.settled[number]:
                break
            height = board.arena.height + step
            timely = board.timely(height + 1)
            later = values[step + 1]
            follows = self.follows[epoch]
            awake, asleep = self.choices[epoch][number]

            def worth(block: int, follows: dict[int, tuple[int, ...]] = follows, later: dict[int, int] = later) -> int:
                return min(later[node] for node in follows[block])

            best = max(awake, key=lambda block: (worth(block), -len(self.block_nodes[block][1])), default=asleep)
            sleeps = asleep >= 0 and (not awake or worth(asleep) < worth(best))
            block = asleep if sleeps else best
            mined, node = min(
                self.block_moves(timely, self.block_nodes[block]),
                key=lambda move: (later[self.number[move[1]]], move[0].bit_count(), move[0]),
            )
            old = {i for i, _ in self.nodes[number][1]}
            new = [i for i, _ in self.block_nodes[block][1] if i not in old]
            rounds.append(
                Round(
                    height + 1,
                    sleeps,
                    tuple(board.templates[i].name for i in new),
                    self._in_order(mined),
                    node[0][2],
                )
            )
            number = self.number[node]
        return tuple(rounds)

    def _in_order(self, mined: int) -> tuple[str, ...]:
        """The names of a block's transactions, parents first."""
        board = self.board
        left = [i for i in range(len(board.templates)) if mined >> i & 1]
        ordered: list[int] = []
        while left:
            made = 0
            for i in left:
                made |= board.makes[i]
            ready = [i for i in left if not board.takes[i] & made]
            ordered += ready
            left = [i for i in left if i not in ready]
        return tuple(board.templates[i].name for i in ordered)
