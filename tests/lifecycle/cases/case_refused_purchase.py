"""The LSP kept a new commitment secret for each purchase that it refused."""

from superscalar_ref.parties.actor import SECRETS
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
lsp = state.told.scene.lsp
kept = lsp.store.document(SECRETS)
assert kept is not None
state.purchase(capacity=15_000, count=20, number=0, troubles=())
state.everything_holds()
(stock,) = lsp.party.stocks.values()
assert stock.pending is None and not stock.links, "the purchase is refused"
assert lsp.store.document(SECRETS) == kept
state.teardown()
