"""Who must be online, and when: the rows of protocol.md §11 about clients, each played to its end.

* An LSP that cheats publishes, as soon as the chain takes it, everything on the way to an older state and its own
  commitment there. A client that looks in time answers with the newest state; one that looks too late does not.
* While blocks ask for more than is signed in, a client with a reserve ("deposit insurance") pays and is in time. One
  that has none is held back; if for longer than is assumed, poison is its insurance, and limited.
* A client that is absent for ever is paid by the alternate, whenever somebody publishes it after the end; under the
  classic end the LSP takes everything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from superscalar_ref.bitcoin.transaction import Transaction
from superscalar_ref.chain.fees import FeeMarket, Spike
from superscalar_ref.protocol.blueprint import Channel, LeafContents, commitment_name
from superscalar_ref.protocol.transaction import Kind
from superscalar_ref.scenario.reorgs import Cast
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
    has: int
    """What it has at rest at the end (sat)."""
    fees: int
    """Of its own sweep (sat)."""

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
    """
    cast, client = _active(plan)
    leaf = cast.factory.lsp.tree.leaf_of(client)
    contents = LeafContents((Channel(client, plan.balance + GAIN, plan.inbound - GAIN),), (plan.stock,))
    older: list[Transaction] = []
    for index in range(1, plan.locks.states):
        # At last the newest state, which waits for nothing, against the one before it, which waits for one step.
        older = _path_and_commitment(cast, client)
        newest = {leaf.path: contents} if index == plan.locks.states - 1 else {}
        cast.wire.post(LSP, cast.factory.lsp.update("r", newest))
        cast.wire.run()
    watcher = cast.watchers[client]
    last_look = cast.ledger.height
    spike = FeeMarket(0, (Spike(last_look + 1, 2 * plan.locks.step, price),) if price else ())
    published: dict[str, Transaction] = {}
    for _ in range(plan.locks.end // 2):
        if cast.ledger.height - last_look >= absence:
            watcher.look()
            last_look = cast.ledger.height
            offers = watcher.offers(spike.feerate(last_look))
            paid = spike.block(last_look + 1, tuple(offers.values()))
            published |= {name: offer.transaction for name, offer in offers.items() if offer in paid}
        # The LSP's come first: ties go to who cheats.
        _mine(cast, [*older, *published.values()])
    return Seen(
        "no watchtower" if not price else "a fee spike",
        absence,
        cast.factory.clients[client].life.owed,
        cast.received()[0],
        _sweep_fee(cast),
    )


def absent(plan: Plan, late: int) -> Seen:
    """The client is away until ``late`` blocks after the end; the LSP takes what it can by its own paths."""
    cast, client = _active(plan)
    end = cast.factory.lsp.factory.terms.locks.end
    lsp = cast.factory.lsp
    # Down to the first state, whose outputs are the LSP's at the end under the classic default.
    path = lsp.counted_blueprint().path(client)[:2]
    cast.ledger.advance(end - 2 - plan.locks.step * plan.locks.states - cast.ledger.height)
    classic = plan.locks.end_default == "classic"
    taking = [lsp.complete_transaction(name) for name in path] if classic else []
    expiry = [t.name for t in lsp.factory.templates.values() if t.kind is Kind.EXPIRY]
    while cast.ledger.height < end + late:
        own = [lsp.complete_transaction(name) for name in expiry if cast.ledger.height >= end]
        _mine(cast, [*taking, *own])
    cast.look()
    for _ in range(plan.limits.depth + 1):
        cast.block(cast.watchers[client].publish().values())
    return Seen("absent for ever", 0, cast.factory.clients[client].life.owed, cast.received()[0], _sweep_fee(cast))


def classic(plan: Plan) -> Plan:
    """The same under the classic end, which no client of this specification accepts by default (D-11)."""
    locks = replace(plan.locks, end_default="classic", alternates="none")
    return replace(plan, locks=locks, limits=replace(plan.limits, accepts=frozenset({"classic/none"})))


def _active(plan: Plan) -> tuple[Cast, str]:
    cast = Cast.of(plan)
    cast.block([cast.factory.lsp.fund().broadcasts[-1]])
    cast.blocks(plan.limits.depth - 1)
    (client,) = cast.factory.clients
    return cast, client


def _path_and_commitment(cast: Cast, client: str) -> list[Transaction]:
    """What the LSP holds of the version that counts now, from the root's kickoff to its own commitment."""
    lsp = cast.factory.lsp
    versions = tuple(lsp.counted_versions[node.path] for node in lsp.tree.path_to(client) if node.has_counter)
    names = (*lsp.counted_blueprint().path(client), commitment_name(client, versions, LSP))
    return [lsp.complete_transaction(name) for name in names]


def _mine(cast: Cast, wanted: list[Transaction]) -> None:
    """One block of what the chain takes of these; the LSP alone sees it."""
    taken: list[Transaction] = []
    for one in wanted:
        if cast.confirmed(one.txid) or one.txid in {other.txid for other in taken}:
            continue
        if cast.ledger.would_accept([other.serialized for other in (*taken, one)]).accepted:
            taken.append(one)
    cast.ledger.mine([one.serialized for one in taken])


def _sweep_fee(cast: Cast) -> int:
    templates = cast.factory.lsp.factory.templates.values()
    return max((one.fee for one in templates if one.kind is Kind.SWEEP), default=0)


def rows(plan: Plan) -> tuple[tuple[str, Callable[[], Seen], bool], ...]:
    """Every play: what it shows, how it is played, and whether the client ends with what it is owed."""
    most = longest_absence(plan)
    poor, rich = replace(plan, stock=GAIN // 2), replace(plan, stock=2 * GAIN)
    insured, bare = (replace(poor, reserve_every=every) for every in (1, 0))
    return (
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
