"""The LSP kept a new commitment secret for each purchase that it refused."""

from tests.lifecycle.machine import Life
from tests.lifecycle.plans import Plan

state = Life()
state.begin(
    plan=Plan(clients=1, arities=(2,), static=0, leaf_k=1, states=2, step=2, balances=(20_000,), stock=6_000),
    beginning="active",
    troubles=(),
    eager=False,
    updates=[],
)
state.everything_holds()
state.purchase(capacity=15_000, count=20, number=0, troubles=())
state.everything_holds()
state.teardown()
