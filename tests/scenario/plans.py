"""Small towns: short locks, few clients."""

from __future__ import annotations

from superscalar_ref.protocol.blueprint import Economy, Locks
from superscalar_ref.protocol.client import Limits
from superscalar_ref.protocol.shape import Shape
from superscalar_ref.scenario.town import Plan

LIMITS = Limits(ceiling=200, margin=5, life=60, depth=3, reaction=1)


def small(clients: int = 4, factories: int = 1, reserve_every: int = 2, arity: tuple[int, ...] = (2,)) -> Plan:
    return Plan(
        factories,
        clients,
        Shape.of(list(arity)),
        Locks(step=2, states=3, to_self_delay=3, end=100, stock_lock_blocks=4),
        LIMITS,
        Economy(feerate=1, anchor=240, dust=330),
        active_blocks=20,
        reserve_every=reserve_every,
    )
