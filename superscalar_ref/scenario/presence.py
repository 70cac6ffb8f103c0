"""Who must be online, and when: the rows of protocol.md §11 about clients, each played to its end.

* An LSP that cheats publishes, as soon as the chain takes it, everything on the way to an older state and its own
  commitment there. A client that looks in time answers with the newest state; one that looks too late does not. A
  watchtower looks at every block, and its client comes once, in the dying period.
* While blocks ask for more than is signed in, a client with a reserve ("deposit insurance") pays and is in time. One
  that has none is held back; if for longer than is assumed, poison is its insurance, and limited.
* A client that is absent for ever is paid by the alternate, whenever somebody publishes it after the end; under the
  classic end the LSP takes everything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from superscalar_ref.chain.fees import FeeMarket, Spike
from superscalar_ref.protocol.blueprint import FUNDING, Channel, LeafContents, alternate_name
from superscalar_ref.protocol.transaction import Kind, Outpoint
from superscalar_ref.scenario.stage import Stage, Wanted
from superscalar_ref.scenario.story import Told
from superscalar_ref.scenario.town import LSP, Plan

GAIN = 20_000
"""What the newer version gives the client more than the older one (sat)."""
PRICE = 10
"""Of a fee spike (sat/vB); a reserve of the plan is enough for it."""


@dataclass(frozen=True)
class Seen:
    """What came of one play."""

    row: str
    """The row of protocol.md §11."""
    absence: int
    """Blocks from one look of the client to the next; 0: it never looks before it comes back for good."""
    owed: int
    """What it counts on (sat)."""
    told: Told
    """The story; its only end is the client's."""

    @property
    def has(self) -> int:
        """What it has at rest at the end (sat)."""
        return self.told.ends[0].has

    @property
    def fees(self) -> int:
        """Of its own sweep (sat)."""
        return self.told.ends[0].fees

    @property
    def whole(self) -> bool:
        """Whether it has what it is owed, less the fee of its own sweep."""
        return self.has >= self.owed - self.fees


def longest_absence(plan: Plan) -> int:
    """How often a client without a tower must look (blocks): less than a step, when what it publishes is mined at once.

    ``R-STEP-DOMINATES`` asks for the time to confirm besides.
    """
    return plan.locks.step - 1


def cheated(plan: Plan, absence: int, price: int = 0) -> Seen:
    """The LSP publishes the state before the newest and all below it, at once; the client looks every so often.

    ``plan`` is of one factory of one client. The worst moment is played: the kickoff is mined right after a look.
    Blocks ask for ``price`` (sat/vB) for two steps from there on. The LSP pays it, the client if it has a reserve.
    ``absence`` 0: a tower looks in its place, with the client's reserve, and the client comes in the dying period.
    """
    stage = Stage(plan)
    (client,) = stage.clients
    if not absence:
        stage.hire_tower(client)
    older = _updated(stage, client)
    watcher, last_look = stage.cast.watchers[client], stage.height
    stage.sleep(LSP, client)
    if price:
        stage.market = FeeMarket(plan.economy.feerate, (Spike(last_look + 1, 2 * plan.locks.step, price),))
        stage.tell("", f"blocks ask for {price} sat/vB up to height {last_look + 2 * plan.locks.step}")
    published: dict[str, Wanted] = {}
    comes = last_look + plan.active_blocks
    # Without a coin it cannot close its channel, and waits for the alternate.
    for _ in range(plan.locks.end // 2 if absence else plan.locks.end):
        if stage.height - last_look >= absence if absence else stage.height >= comes:
            watcher.look()
            last_look = stage.height
            for name, offer in watcher.offers(stage.market.feerate(last_look)).items():
                published[name] = Wanted(client, name, offer.transaction)
        # The LSP's come first: ties go to who cheats.
        stage.block(*older, *published.values())
    owed = stage.cast.factory.clients[client].life.owed
    row = "a watchtower" if not absence else "a fee spike" if price else "no watchtower"
    return Seen(row, absence, owed, stage.finish(**{client: owed}))


def _updated(stage: Stage, client: str) -> tuple[Wanted, ...]:
    """Updates up to the last index, of which the newest gives the client more: what the LSP holds of the one before."""
    plan, lsp = stage.plan, stage.cast.factory.lsp
    contents = LeafContents((Channel(client, plan.balance + GAIN, plan.inbound - GAIN),), (plan.stock,))
    older: tuple[Wanted, ...] = ()
    for index in range(1, plan.locks.states):
        # At last the newest state, which waits for nothing, against the one before it, which waits for one step.
        older = stage.path_and_commitment(client)
        newest = {lsp.tree.leaf_of(client).path: contents} if index == plan.locks.states - 1 else {}
        stage.cast.wire.post(LSP, lsp.update("r", newest))
        stage.cast.wire.run()
    stage.tell(LSP, f"the newest version gives it {GAIN:,} sat more", client)
    return older


def absent(plan: Plan, late: int) -> Seen:
    """The client is away until ``late`` blocks after the end; the LSP takes what it can by its own paths."""
    stage = Stage(plan)
    (client,) = stage.clients
    lsp, end = stage.cast.factory.lsp, stage.end
    stage.sleep(LSP, client)
    # Down to the first state, whose outputs are the LSP's at the end under the classic default.
    path = lsp.counted_blueprint().path(client)[:2]
    classic = plan.locks.end_default == "classic"
    stage.tell(client, "is away from here on")
    stage.advance(end - 2 - plan.locks.step * plan.locks.states)
    taking = stage.named(LSP, *path) if classic else ()
    expiry = [t.name for t in lsp.factory.templates.values() if t.kind is Kind.EXPIRY]
    while stage.height < end + late:
        own = stage.named(LSP, *expiry) if stage.height >= end else ()
        stage.block(*taking, *own)
    stage.tell(client, "comes back")
    stage.wake(client)
    for _ in range(plan.limits.depth + 1):
        stage.block()
    owed = stage.cast.factory.clients[client].life.owed
    promised = owed
    if not classic:
        pays = lsp.factory.templates[alternate_name(Outpoint(FUNDING, 0))].outputs
        promised = sum(one.amount for one in pays if one.owner == client)
    return Seen("absent for ever", 0, owed, stage.finish(**{client: promised}))


def classic(plan: Plan) -> Plan:
    """The same under the classic end, which no client of this specification accepts by default (D-11)."""
    locks = replace(plan.locks, end_default="classic", alternates="none")
    return replace(plan, locks=locks, limits=replace(plan.limits, accepts=frozenset({"classic/none"})))


def rows(plan: Plan) -> tuple[tuple[str, Callable[[], Seen], bool], ...]:
    """Every play: what it shows, how it is played, and whether the client ends with what it is owed."""
    most = longest_absence(plan)
    poor, rich = replace(plan, stock=GAIN // 2), replace(plan, stock=2 * GAIN)
    insured, bare = (replace(poor, reserve_every=every) for every in (1, 0))
    return (
        ("a watchtower; the client comes once, in the dying period", lambda: cheated(bare, 0), True),
        (f"no watchtower, looks every {most} blocks", lambda: cheated(poor, most), True),
        (f"no watchtower, looks every {plan.locks.step} blocks", lambda: cheated(poor, plan.locks.step), False),
        ("the same, where the poisoned stock is worth more than the gain", lambda: cheated(rich, most + 1), True),
        (f"cheated while blocks ask for {PRICE} sat/vB, with a reserve", lambda: cheated(insured, 1, PRICE), True),
        ("the same without a reserve, held back for two steps", lambda: cheated(bare, 1, PRICE), False),
        (
            "the same, where the poisoned stock is worth more than the gain",
            lambda: cheated(replace(rich, reserve_every=0), 1, PRICE),
            True,
        ),
        ("absent for ever, inverted end, comes back at the end", lambda: absent(plan, 0), True),
        ("absent for ever, inverted end, comes back 50 blocks later", lambda: absent(plan, 50), True),
        ("absent for ever, classic end", lambda: absent(classic(plan), 10), False),
    )
