"""The plan of a scenario from the parameters of the specification."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from superscalar_ref.protocol.blueprint import Economy, Locks
from superscalar_ref.protocol.client import Limits
from superscalar_ref.protocol.shape import Shape
from superscalar_ref.scenario.town import Plan
from superscalar_ref.spec.load import load_parameters

ARITY = (8, 4, 2)
STATIC = 1
"""A shape whose worst exit fits for any number of clients up to 127 (P1242 'Arity and tree structuring')."""


def plan_of(
    factories: int, clients: int, arity: Sequence[int] = ARITY, static: int = STATIC, reserve_every: int = 2
) -> Plan:
    """Factories of so many clients by the default parameters. Raises ``InputError`` for a shape that makes no sense."""
    parameters = load_parameters().defaults()
    number, word = parameters.number, parameters.word
    return Plan(
        factories,
        clients,
        Shape.of(list(arity), static),
        Locks(
            step=number("step_blocks"),
            states=number("states_per_layer"),
            to_self_delay=number("to_self_delay_blocks"),
            end=number("life_blocks"),
            stock_lock=word("stock_lock"),
            stock_lock_blocks=number("stock_lock_blocks"),
            end_default=word("end_default"),
            expiry_gap=number("expiry_gap_blocks"),
            alternates=word("alternates"),
            height_step=number("height_step_blocks"),
        ),
        Limits(
            number("exit_ceiling_blocks"),
            number("exit_margin_blocks"),
            number("life_blocks"),
            number("funding_confirmations"),
            number("absence_blocks") + number("confirmation_blocks"),
            frozenset({f"{word('end_default')}/{word('alternates')}"}),
        ),
        Economy(number("tree_feerate_sat_per_vb"), number("anchor_sat"), number("dust_limit_sat")),
        number("active_blocks"),
        reserve_every=reserve_every,
        transaction_version=number("transaction_version"),
    )


def short_plan(clients: int = 1, factories: int = 1) -> Plan:
    """Factories whose locks are a few blocks, so that a whole life is a hundred; depth and fees are the defaults'."""
    usual = plan_of(factories, clients, (2,), 0, 2)
    locks = Locks(step=2, states=3, to_self_delay=3, end=120, stock_lock_blocks=4)
    limits = Limits(ceiling=200, margin=5, life=60, depth=usual.limits.depth, reaction=1)
    return replace(usual, locks=locks, limits=limits, active_blocks=20)
