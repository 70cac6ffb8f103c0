"""Factories to tell stories of: small shapes, balances and locks, so that chains on which locks run out stay short."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

from superscalar_ref.parties.lsp import Offer
from superscalar_ref.protocol.blueprint import Channel, Economy, LeafContents, Locks
from superscalar_ref.protocol.client import Limits
from superscalar_ref.protocol.shape import Shape, grow, stock_groups

START = 100
"""Height of the chain on which a story begins: the LSP's coin is mature there."""
LATEST = 170
"""A story mines no block above this height."""
END = 400
"""Height of the alternates: no exit of a story is still under way then."""
ECONOMY = Economy(feerate=1, anchor=240, dust=330)
LIMITS = Limits(ceiling=100, margin=5, life=200, depth=3)
TO_SELF_DELAY = 2
"""Blocks for which a commitment's own output waits."""
CLIENTS = ("A", "B", "C", "D")


@dataclass(frozen=True)
class Plan:
    """One factory. Amounts in sat, locks in blocks."""

    clients: int
    arities: tuple[int, ...]
    static: int
    leaf_k: int
    states: int
    step: int
    balances: tuple[int, ...]
    """Of each client; of more than there are clients, the first."""
    inbound: int = 30_000
    stock: int = 40_000
    on_disk: bool = False
    """Whether the parties' stores are files, and not databases in memory."""
    rich: tuple[str, ...] = ()
    """Clients that have coins of their own; the LSP has."""

    @property
    def names(self) -> tuple[str, ...]:
        """The clients."""
        return CLIENTS[: self.clients]

    def offer(self) -> Offer:
        """What the LSP proposes."""
        shape = Shape.of(list(self.arities), self.static, self.leaf_k)
        tree = grow(shape, self.names)
        balances = dict(zip(self.names, self.balances, strict=False))
        contents = {
            leaf.path: LeafContents(
                tuple(Channel(client, balances[client], self.inbound) for client in leaf.clients),
                (self.stock,) * len(stock_groups(leaf, shape.leaf_k)),
            )
            for leaf in tree.leaves()
        }
        locks = Locks(step=self.step, states=self.states, to_self_delay=TO_SELF_DELAY, end=END, stock_lock_blocks=4)
        return Offer("factory", shape, balances, contents, ECONOMY, locks, 3, LIMITS.depth, active_blocks=LATEST)


def balances() -> st.SearchStrategy[int]:
    """A client's money: none, too little for an output, too little for a sweep of its own, enough (sat)."""
    return st.sampled_from([20_000, 0, 1, ECONOMY.dust - 1, ECONOMY.dust, 450, 1_000, 100_000])


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Up to four clients under up to three DW layers; static tops, ragged trees and shared leaves among them."""
    clients = draw(st.integers(1, 4))
    return Plan(
        clients,
        draw(st.sampled_from([(2,), (3,), (4,), (1, 2)])),
        draw(st.sampled_from([0, 0, 0, 1])),
        draw(st.sampled_from([1, 1, 2])),
        draw(st.integers(2, 4)),
        draw(st.integers(2, 4)),
        tuple(draw(st.lists(balances(), min_size=clients, max_size=clients))),
        on_disk=draw(st.sampled_from([False, False, False, True])),
        rich=draw(st.sampled_from([(), CLIENTS[:clients], CLIENTS[:1]])),
    )
