"""A client whose tree is swept while a payment in its channel is not: the probe began an exit that was over."""

from tests.lifecycle.trade import TradePlan
from tests.lifecycle.trading import Trading

state = Trading()
state.begin(
    paid=[(40, 31, 19000000, 1000), (40, 17, 5000000, 2), (32, 38, 5000000, 5)],
    plan=TradePlan(factories=2, clients=2, tower=False),
)
state.everything_holds()
state.abort(number=25)
state.everything_holds()
state.update(letters=30, node=30, number=30)
state.everything_holds()
state.hostile(number=32)
state.everything_holds()
state.lost(count=2, number=11)
state.everything_holds()
state.crash(number=1)
state.everything_holds()
state.update(letters=1000, node=35, number=26)
state.everything_holds()
state.hostile(number=10)
state.everything_holds()
state.paid_by_the_lsp(amount=5000000, letters=1000, payee=6)
state.everything_holds()
state.blocks(blocks=12)
state.everything_holds()
state.teardown()
