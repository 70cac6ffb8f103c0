"""Two reorgs held the newest state back for longer than is assumed, and the story allowed it."""

from tests.lifecycle.machine import Life
from tests.lifecycle.plans import Plan

state = Life()
state.begin(
    plan=Plan(
        clients=3,
        arities=(2,),
        static=0,
        leaf_k=2,
        states=3,
        step=2,
        balances=(20000, 20000, 20000),
        inbound=30000,
        stock=40000,
        on_disk=False,
        rich=(),
    ),
    troubles=(
        (0, ("lost", (0, "dies before", True))),
        (37, ("lost", (0, "dies before", True))),
        (0, ("lost", (0, "dies before", True))),
    ),
    eager=True,
    updates=[(27, (50000,))],
    beginning="active",
)
state.everything_holds()
state.retry()
state.everything_holds()
state.retry()
state.everything_holds()
state.purchase(
    capacity=5000,
    count=22,
    number=26,
    troubles=(
        (0, ("late", (0, "dies before", True))),
        (37, ("lost", (0, "dies before", True))),
        (6, ("lost", (0, "dies before", True))),
    ),
)
state.everything_holds()
state.crash(number=0)
state.everything_holds()
state.reorg(depth=1, same=False)
state.everything_holds()
state.purchase(capacity=5000, count=24, number=33, troubles=())
state.everything_holds()
state.greedy_update(less=1, number=39)
state.everything_holds()
state.junk(number=33, place=185, to=0)
state.everything_holds()
state.abort()
state.everything_holds()
state.lost(count=3, number=25)
state.everything_holds()
state.reorg(depth=2, same=False)
state.everything_holds()
state.again(number=351)
state.everything_holds()
state.retry()
state.everything_holds()
state.an_end_begins(blocks=2, fault=(2, "dies after", True), number=26, price=0, what="hostile")
state.everything_holds()
state.again(number=236)
state.everything_holds()
state.reorg(depth=2, same=False)
state.everything_holds()
state.some_mail(count=3)
state.everything_holds()
state.junk(number=16, place=3778, to=26)
state.everything_holds()
state.lost(count=1, number=37)
state.everything_holds()
state.all_mail(eager=True, troubles=())
state.everything_holds()
state.junk(number=17, place=77, to=38)
state.everything_holds()
state.reorg(depth=2, same=False)
state.everything_holds()
state.teardown()
