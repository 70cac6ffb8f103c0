"""What a run says: one number a line, each with its unit and the rule, parameter or assumption that it comes from.

Law of this module: a mean is over the steady days, on which factories are closed as well as funded; where a run has no
such day, over all its days, and the first figure says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import partial

from superscalar_ref.business.assume import ASSUMED, Assumptions
from superscalar_ref.business.cohort import PATHS, WHOLE, Cohort, profile, total
from superscalar_ref.business.days import Row
from superscalar_ref.protocol.ladder import running
from superscalar_ref.protocol.weight import TRUC_MAX_VBYTES, key_path_vbytes

BLOCK_VBYTES = 1_000_000
"""A block's 4,000,000 weight units (BIP-141)."""
OPENING_VBYTES = key_path_vbytes(2, anchors=0)
"""A channel of one's own: one input, the channel, a change."""
MONTH, YEAR = 30, 365
MILLION = 1_000_000


@dataclass(frozen=True)
class Figure:
    """One number."""

    name: str
    value: float
    unit: str
    says: str
    source: str


def inputs(given: Assumptions) -> Iterator[Figure]:
    """What was put in: parameters of the specification, the shape, and assumptions."""
    plan, pace = given.plan, given.pace
    shape = ", ".join(f"{level.arity} {level.kind}" for level in plan.shape.levels)
    for name, value, unit, says, source in (
        ("cohort", plan.clients, "clients", "most clients of one factory", "clients_max"),
        ("active", pace.active, "blocks", "active period", "active_blocks"),
        ("dying", pace.dying, "blocks", "dying period", "dying_blocks"),
        ("step", plan.locks.step, "blocks", "between the locks of two states", "step_blocks"),
        ("states", plan.locks.states, "states", "of a layer", "states_per_layer"),
        ("leaf_k", plan.shape.leaf_k, "", f"of a leaf; levels, root first: {shape}", "R-SHAPE"),
        ("tree_feerate", plan.economy.feerate, "sat/vB", "signed into the tree", "tree_feerate_sat_per_vb"),
        ("balance", plan.balance, "sat", "a client's own as it joins, paid to the LSP over Lightning", ASSUMED),
        ("inbound", plan.inbound, "sat", "inbound liquidity that a client buys as it joins or moves", ASSUMED),
        ("stock", plan.stock, "sat", "of each stock output as a factory is born", ASSUMED),
    ):
        yield Figure(name, value, unit, says, source)
    for one in fields(given):
        value = getattr(given, one.name)
        if "says" in one.metadata and isinstance(value, int | float):
            yield Figure(one.name, value, "", one.metadata["says"], ASSUMED)


def figures(given: Assumptions, rows: Sequence[Row]) -> Iterator[Figure]:
    """What came out. Raises ``ValueError`` for no row at all."""
    steady = [row for row in rows if row.ended] or list(rows)
    if not steady:
        raise ValueError("a run without a day says nothing")
    mean = partial(_mean, steady)
    yield Figure("steady_days", sum(row.ended > 0 for row in rows), "days", "on which factories end", "LAD-6")
    yield from _chain(given, rows, mean)
    yield from _capital(given, rows, mean)
    yield from _absence(given, steady)
    yield from _prices(given, steady)


def _mean(rows: Sequence[Row], of: Callable[[Row], int]) -> float:
    return sum(of(row) for row in rows) / len(rows)


def _chain(given: Assumptions, rows: Sequence[Row], mean: Callable[[Callable[[Row], int]], float]) -> Iterator[Figure]:
    days = mean(lambda row: row.transactions)
    exits = mean(lambda row: row.exit_transactions)
    size, exit_size = mean(lambda row: row.vbytes), mean(lambda row: row.exit_vbytes)
    space = (size + exit_size) / (given.pace.day * BLOCK_VBYTES)
    held = mean(lambda row: row.funding_outputs)
    yield Figure("ladders", given.ladders, "", "side by side, each with one transaction a day", "LAD-2")
    yield Figure("factories", mean(lambda row: row.running), "", "that run at once", "LAD-2, clients_max")
    yield Figure("day_transactions", days, "a day", "that close, fund and pay", "LAD-2")
    yield Figure("day_vbytes", size, "vB a day", "of those", "LAD-2, BIP-141")
    yield Figure("exit_transactions", exits, "a day", "that bring factories on chain", "LAD-8, LAD-10")
    yield Figure("exit_vbytes", exit_size, "vB a day", "of those, with the children that pay for them", "fees.toml")
    yield Figure("block_space", space, "of 1", "of all blocks, that both take", "BIP-141")
    yield Figure("outputs_with", held, "outputs", "on chain for all clients that are in factories", "LAD-2")
    yield Figure("outputs_without", given.clients, "outputs", "if each client had a channel on chain", "protocol.md §1")
    yield Figure("outputs_per_user", held / given.clients, "outputs", "for one client, with factories", "LAD-2")
    joined = rows[: running(given.pace)]
    yield Figure("joining_vbytes", sum(row.vbytes for row in joined), "vB", "until all clients have joined", "LAD-2")
    without = given.clients * OPENING_VBYTES
    yield Figure("opening_vbytes", without, "vB", "to open a channel on chain for each instead", "BIP-141")


def _capital(
    given: Assumptions, rows: Sequence[Row], mean: Callable[[Callable[[Row], int]], float]
) -> Iterator[Figure]:
    parts: tuple[tuple[str, Callable[[Row], int], str, str], ...] = (
        ("locked", lambda row: row.locked, "the LSP's own, in factories that run", "LAD-3"),
        ("sold", lambda row: row.sold, "of that: the LSP's sides of channels", "protocol.md §4"),
        ("idle", lambda row: row.stock, "of that: stock for sale", "protocol.md §4"),
        ("reserved", lambda row: row.reserved, "of that: fees and anchors of trees not meant to be published", "D-5"),
        ("returning", lambda row: row.returning, "in factories that are brought on chain, clients' part too", "LAD-10"),
        ("clients_own", lambda row: row.balances, "the clients' own, in factories that run", "D-16"),
    )
    for name, of, says, source in parts:
        yield Figure(name, mean(of), "sat", says, source)
    most = max(row.capital for row in rows)
    yield Figure("capital", most, "sat", "that the LSP must bring at the worst moment, fees paid so far too", "LAD-2")
    yield Figure("capital_per_client", most / given.clients, "sat", "of that", "LAD-2")


def _absence(given: Assumptions, steady: Sequence[Row]) -> Iterator[Figure]:
    ended = max(sum(row.ended for row in steady), 1)
    factories = max(sum(row.closed + row.failed for row in steady), 1)
    yield Figure("missed", sum(row.missed for row in steady) / ended, "of 1", "clients that miss their window", "LAD-5")
    yield Figure("late", sum(row.late for row in steady) / ended, "of 1", "that came, not to the close", "LAD-6")
    failed = sum(row.failed for row in steady) / factories
    yield Figure("failed", failed, "of 1", "factories that are brought on chain", "LAD-8")
    dragged = sum(row.dragged for row in steady) / ended
    yield Figure("dragged", dragged, "of 1", "clients that were there, and are paid on chain all the same", "LAD-8")
    paid = sum(row.left + row.dragged + (row.missed + row.late) for row in steady) / ended
    yield Figure(
        "paid_on_chain", paid, "of 1", "clients that get an output of their own: left, dragged, absent", "LAD-8"
    )
    cohort = Cohort(given.plan, given.pace, min(given.plan.clients, given.clients // running(given.pace)))
    whole = total(profile(cohort.published([0], WHOLE), given.price))
    path = total(profile(cohort.published([0], PATHS), given.price))
    cost = cohort.locked - whole.to_lsp
    yield Figure(
        "absent_gets", given.plan.balance, "sat", "an absent client, on chain, and pays nothing", "P-ABSENT-CLIENT-PAID"
    )
    yield Figure("whole_vbytes", whole.vbytes, "vB", "of one factory's whole tree", "LAD-8")
    yield Figure(
        "whole_costs", cost, "sat", "of its capital that the LSP does not get back from it", "LAD-8, fees.toml"
    )
    yield Figure(
        "path_vbytes", path.vbytes, "vB", "when only the path to one absent client is published", "protocol.md §9"
    )
    costs = cohort.locked + (cohort.balances - given.plan.balance) - path.to_lsp
    yield Figure("path_costs", costs, "sat", "of its capital that the LSP does not get back then", "protocol.md §9")
    yield Figure("forfeit", cohort.forfeit, "sat", "that the LSP loses by waiting: the alternate pays its part", "D-11")
    yield Figure("worth_price", worth_price(cohort), "sat/vB", "above which waiting is cheaper than the tree", "D-11")
    days = max(one.after for one in cohort.published([0])) / given.pace.day
    yield Figure("exit_days", days, "days", "until the LSP's part of a tree is back", "R-EXIT-BUDGET")
    link = key_path_vbytes(2)
    yield Figure(
        "link_vbytes", link, "vB", "more in an exit for each sale, its commitment and sweep not counted", "STK-1"
    )


def worth_price(cohort: Cohort) -> int:
    """The highest price (sat/vB) at which the whole tree costs the LSP no more than waiting for the alternate.

    The cost only grows with the price. At most ``TRUC_MAX_VBYTES``, which no price has reached.
    """
    steps = cohort.published([0], WHOLE)
    low, high = 0, TRUC_MAX_VBYTES
    while low < high:
        middle = (low + high + 1) // 2
        cost = cohort.locked - total(profile(steps, middle)).to_lsp
        low, high = (middle, high) if cost <= cohort.forfeit else (low, middle - 1)
    return low


def _prices(given: Assumptions, steady: Sequence[Row]) -> Iterator[Figure]:
    months = len(steady) / MONTH * given.clients
    fees = sum(row.fees for row in steady)
    tied = sum(row.locked + row.returning for row in steady) * given.interest / YEAR
    # What a client has as it joins or moves is bought as what it buys later.
    inbound = sum(row.ended for row in steady) * given.plan.inbound
    sales = (sum(row.bought for row in steady) + inbound) * given.ppm / MILLION
    volume = sales * MILLION / given.ppm if given.ppm else float(sum(row.bought for row in steady) + inbound)
    yield Figure("fees", fees / len(steady), "sat a day", "to miners, the LSP's", "LAD-2, fees.toml")
    yield Figure("fees_per_client", fees / months, "sat a month", "of those, for one client", "LAD-2")
    yield Figure("interest_per_client", tied / months, "sat a month", "for the capital behind one client", ASSUMED)
    yield Figure("sales_per_client", sales / months, "sat a month", "paid over Lightning, never refunded", "STK-3")
    needed = (fees + tied - sales) / months
    yield Figure("monthly_fee", needed, "sat a month", "that makes good what sales do not; below 0: a gain", ASSUMED)
    even = (fees + tied) / volume * MILLION if volume else 0.0
    yield Figure("ppm_alone", even, "ppm", "price of liquidity that does without a monthly fee", "STK-3")
