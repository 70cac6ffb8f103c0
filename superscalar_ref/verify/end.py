"""Scenario 'end': who gets what when the end comes, with locks as short as the constraints allow.

An honest LSP whose clients never come back begins at its own deadline (STR-20), looks and confirms as late as is
assumed, and gets all of its own before an alternate can be mined. And a client that has bought from its stock and stays
away is paid by whichever alternate the end finds, because it could not buy more than these pay it (Q-STK-6).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from superscalar_ref.errors import SuperscalarError
from superscalar_ref.machine.bind import bind
from superscalar_ref.machine.step import BoundMachine
from superscalar_ref.parties.lsp import LspActor
from superscalar_ref.parties.watch import Watcher
from superscalar_ref.protocol import plan as planning
from superscalar_ref.protocol import stock as stock_rules
from superscalar_ref.protocol.blueprint import FUNDING
from superscalar_ref.protocol.chain_links import link_cost
from superscalar_ref.protocol.participant import machines
from superscalar_ref.protocol.shape import Shape, grow
from superscalar_ref.protocol.stock import Stock
from superscalar_ref.protocol.transaction import Kind, Outpoint, Role, Template
from superscalar_ref.report.result import Check
from superscalar_ref.verify.build import build_factory, fold
from superscalar_ref.verify.example import ClientPlan, Example
from superscalar_ref.verify.scene import Named, Parties, Progress, Scene, Trial, named, wallet_script

SHORT: dict[str, int] = {
    "confirmation_blocks": 1,
    "absence_blocks": 2,
    "exit_absence_blocks": 2,
    "lsp_absence_blocks": 2,
    "signing_absence_blocks": 2,
    "step_blocks": 4,
    "states_per_layer": 2,
    "dw_layers": 2,
    "static_levels": 0,
    "links_max": 1,
    "exit_budget_blocks": 19,
    "exit_margin_blocks": 9,
    "exit_ceiling_blocks": 28,
    "active_blocks": 23,
    "dying_blocks": 2,
    "close_margin_blocks": 2,
    "settle_blocks": 6,
    "life_blocks": 52,
    "htlc_cutoff_blocks": 24,
    "stock_lock_blocks": 4,
    "to_self_delay_blocks": 4,
    "reorg_depth_blocks": 2,
    "funding_confirmations": 3,
}
"""Every lock and budget as short as the constraints allow; the chain stays short as well (blocks)."""
UNIT = 40_000
"""A channel's side at 1 sat/vB (sat); a stock holds two."""
BUYER, OTHER = "ann", "ben"


@dataclass(frozen=True)
class End:
    """The scenario's checks and its chains."""

    checks: tuple[Check, ...]
    trials: tuple[Trial, ...]


def live_to_the_end(example: Example, progress: Progress) -> End:
    """Run the whole scenario with short locks and the fees of ``example``."""
    trials: list[Trial] = []
    checks: list[Check] = []
    progress("the end: an LSP whose clients never come back")
    checks.extend(lsp_alone(example, trials))
    leaf = short(example, "cover", Shape.of([2], leaf_k=2), (BUYER, OTHER, "cem"))
    for parts, covered in ((39, True), (60, False)):
        progress(f"the end: a buyer of {parts} fortieths of its share stays away")

        def part(scene: Scene, covered: bool = covered) -> Iterator[Check]:
            return _cover(scene, trials, covered=covered)

        checks.extend(_run(leaf, parts, 40, part, "end/cover", guarded=covered))
    return End(tuple(checks), tuple(trials))


def lsp_alone(example: Example, trials: list[Trial]) -> Iterator[Check]:
    """The LSP of two clients, of whom one has bought, and whom nobody answers any more; chains go to ``trials``."""
    pair = short(example, "deadline", Shape.of([2]), (BUYER, OTHER))
    yield from _run(pair, 1, 2, lambda scene: _lsp_alone(scene, trials), "end/lsp")


def short(example: Example, name: str, shape: Shape, clients: tuple[str, ...]) -> Example:
    """``example`` with short locks, this shape, and clients of equal channels."""
    feerate = example.parameters.number("tree_feerate_sat_per_vb")
    unit = UNIT * max(1, feerate)
    tree = grow(shape, clients)
    changes: dict[str, int | str] = {
        **SHORT,
        "dw_layers": max(tree.dw_layers_on_path(client) for client in clients),
        "end_default": "inverted",
        "alternates": "every",
        "stock_lock": "csv",
    }
    timing = planning.Timing(SHORT["step_blocks"], SHORT["states_per_layer"])
    limits = planning.Limits(SHORT["exit_ceiling_blocks"], SHORT["exit_margin_blocks"])
    return replace(
        example,
        name=f"{example.name}, {name}",
        coin=50 * unit,
        stock=2 * unit,
        shape=shape,
        tree=tree,
        clients=tuple(ClientPlan(client, unit, unit, 0) for client in clients),
        parameters=example.parameters.with_changes(changes, name),
        planned=planning.plan(shape, clients, timing, limits, feerate),
    )


def _run(
    example: Example,
    part: int,
    whole: int,
    then: Callable[[Scene], Iterator[Check]],
    identity: str,
    *,
    guarded: bool = True,
) -> Iterator[Check]:
    """Build a factory, sell ``part / whole`` of a channel's side to the buyer, and check things in it.

    Not ``guarded``: by parties that have forgotten ``alternates_cover``. What breaks it off is a failed check.
    """
    scene = Scene(example, lambda says: None)
    capacity = example.clients[0].inbound * part // whole
    try:
        broken = [check.detail for check in build_factory(scene).checks if not check.passed]
        parties = scene.parties(scene.home / "active")
        for actor in parties.everyone():
            scene.watch(actor, Trial("end", scene.start))
            if not guarded:
                actor.tables = replace(actor.tables, stock=_without_cover())
        parties.wire.post(BUYER, parties.clients[BUYER].buy(capacity, capacity))
        parties.wire.run()
        broken += parties.wire.alerts
        for actor in parties.everyone():
            fold(actor.store.path)
        parties.close()
        if broken:
            yield Check(f"{identity}/start", "end", "a factory is built and a client buys", False, broken[0])
        else:
            yield from then(scene)
    except SuperscalarError as error:
        yield Check(f"{identity}/broken-off", "end", "the scenario runs to its end", False, str(error))
    finally:
        scene.close()


# ---------------------------------------------------------------------------------------------- the LSP's own deadline


@dataclass
class _Settling:
    """What became of an LSP that nobody answers."""

    gained: int = 0
    """Sat, on its wallet when all is over."""
    expected: int = 0
    """What it counted on, less the fees of its own sweeps and of its own path (sat)."""
    begun: int = 0
    """Height of its first transaction."""
    secure: int = 0
    """Height of the last transaction that an alternate could have taken the place of."""
    alternates: int = 0
    """How many were mined."""
    unpaid: tuple[str, ...] = ()
    """Clients that own less than they count on."""


def _lsp_alone(scene: Scene, trials: list[Trial]) -> Iterator[Check]:
    """One client has bought; then no client is ever heard of again."""
    end = scene.example.locks(scene.example.start_height).end
    for late in (0, 1):
        trial = Trial(f"end/lsp/{'late' if late else 'in-time'}", scene.start.fork())
        trials.append(trial)
        with scene.again() as home:
            parties = scene.parties(home)
            found = _settle(scene, parties, trial, late)
            deadline = parties.lsp.deadline()
            parties.close()
        short_by = found.expected - found.gained
        if late:
            passed, says = (
                short_by > 0 and found.alternates > 0,
                "an LSP that begins one block later, and is as slow as is assumed, loses stock to an alternate",
            )
        else:
            says = "an LSP that begins at its deadline, as slow as is assumed, gets all of its own and pays the rest"
            passed = not short_by and not found.alternates and not found.unpaid and found.secure <= end
        yield Check(
            f"end/lsp/{'late' if late else 'in-time'}",
            "end",
            says,
            passed and trial.conserved(),
            f"deadline {deadline}, begun {found.begun}, last race over at {found.secure}, end {end}: "
            f"{found.gained} of {found.expected} sat" + (f"; less than owed: {found.unpaid}" if found.unpaid else ""),
            ("STR-20", "STR-7", "FAC-23", "L-LSP-DEADLINE", "L-LSP-STOCK-CSV"),
        )


def _settle(scene: Scene, parties: Parties, trial: Trial, late: int) -> _Settling:
    """The LSP looks and confirms as late as is assumed, and begins ``late`` blocks later than that.

    Everybody else only tries every alternate as soon as the end has come, and is first in every block.
    """
    number = scene.example.parameters.number
    lsp, end = parties.lsp, scene.example.locks(scene.example.start_height).end
    script = wallet_script(scene.example, lsp.name)
    before = _owned(trial, script)
    watcher = Watcher(lsp, trial.ledger)
    found = _Settling(expected=_counted(parties))
    look: int | None = None
    mined: list[Template] = []
    while lsp.life.status != "resolved" and trial.ledger.height < 2 * end:
        watcher.look()
        tip = trial.ledger.height
        block: list[Named] = []
        if tip >= end:
            block = [named(lsp, name) for name in _alternates(watcher)]
            found.alternates += len(block)
        ready = watcher.publish()
        if ready and look is None:
            look = tip + number("lsp_absence_blocks") + (late if not found.begun else 0)
        if look == tip:
            look = None
            found.begun = found.begun or tip + number("confirmation_blocks")
            taken = {spend for one in block for spend in _spends(lsp, one.name)}
            trial.ledger.advance(number("confirmation_blocks") - 1)
            mine = [named(lsp, name) for name in ready if not _spends(lsp, name) & taken]
            block += mine
            if any(one.kind != Kind.SWEEP for one in mine):
                found.secure = trial.ledger.height + 1
            found.expected -= sum(one.fee for one in mine if one.kind in (Kind.SWEEP, Kind.EXPIRY))
            mined += [lsp.factory.templates[one.name] for one in mine]
        if block:
            trial.mine(*block)
        else:
            trial.ledger.advance(1)
    found.gained = _owned(trial, script) - before
    paid = [output for template in mined for output in template.outputs if output.role is Role.WALLET]
    found.unpaid = tuple(
        name
        for name, client in parties.clients.items()
        if sum(output.amount for output in paid if output.owner == name) < client.life.owed
    )
    return found


def _counted(parties: Parties) -> int:
    """What the LSP counts on: its side of every channel, and what is left of every stock (sat)."""
    lsp = parties.lsp
    blueprint = lsp.counted_blueprint()
    cost = sum(link_cost(lsp.factory.terms) + sold.to_client for sold in lsp.factory.record.sales)
    return blueprint.owed(lsp.name) - cost


def _spends(lsp: LspActor, name: str) -> frozenset[Outpoint]:
    return frozenset(spend.outpoint for spend in lsp.factory.templates[name].spends)


def _alternates(watcher: Watcher) -> list[str]:
    """Alternates of outputs that are unspent now: every one is held by a client too."""
    view = watcher.view()
    kinds = [name for name, template in view.held.items() if template.kind is Kind.ALTERNATE]
    return [name for name in kinds if view.held[name].spends[0].outpoint in view.unspent]


def _owned(trial: Trial, script: bytes) -> int:
    return sum(coin.output.amount for coin in trial.ledger.unspent().values() if coin.output.script == script)


# ---------------------------------------------------------------------------------- a buyer that is not there (Q-STK-6)


def _without_cover() -> BoundMachine[Stock]:
    """The stock's table without the guard that asks whether the alternates cover a sale."""
    table = machines().stock.table
    rows = tuple(
        replace(row, guards=tuple(name for name in row.guards if name != "alternates_cover"))
        for row in table.transitions
    )
    return bind(replace(table, transitions=rows), stock_rules.RULES)


def _cover(scene: Scene, trials: list[Trial], *, covered: bool) -> Iterator[Check]:
    """What the buyer, who does nothing, owns when the alternates are mined below each output of its path in turn."""
    with scene.again() as home:
        parties = scene.parties(home)
        lsp, client = parties.lsp, parties.clients[BUYER]
        (link,) = (record.sale.link for record in lsp.factory.record.sales)
        counted = client.life.capacity
        path = (*lsp.counted_blueprint().path(BUYER), link)
        paid: dict[str, int] = {}
        for depth in range(len(path) + 1):
            where = path[depth - 1] if depth else FUNDING
            trial = Trial(f"end/{'covered' if covered else 'beyond'}/{where}", scene.start.fork())
            trials.append(trial)
            paid[where] = _paid_below(scene, parties, trial, path[:depth])
        parties.close()
    less = {where: amount for where, amount in paid.items() if amount < counted}
    found = ", ".join(f"{amount} at {where}" for where, amount in paid.items())
    if covered:
        says = "a client that bought what its share covers, and stays away, is paid wherever the end finds the tree"
        passed = not less
    else:
        says = "without 'alternates_cover' a client that bought more loses it to every alternate that was signed before"
        passed = set(less) == set(paid) - {link}
    yield Check(
        "end/buyer-covered" if covered else "end/buyer-beyond",
        "end",
        says,
        passed,
        f"its channels hold {counted} sat; it is paid {found}",
        ("STK-3", "STK-4", "D-11", "Q-STK-6"),
    )


def _paid_below(scene: Scene, parties: Parties, trial: Trial, published: tuple[str, ...]) -> int:
    """The LSP publishes these in time and nothing else; at the end every alternate that is valid is mined (sat)."""
    lsp = parties.lsp
    for name in published:
        lock = lsp.factory.templates[name].spends[0].relative_lock or 1
        trial.ledger.advance(lock - 1)
        trial.mine(named(lsp, name))
    trial.ledger.advance(scene.example.locks(scene.example.start_height).end - trial.ledger.height)
    watcher = Watcher(lsp, trial.ledger)
    watcher.look()
    trial.mine(*(named(lsp, name) for name in _alternates(watcher)))
    return _owned(trial, wallet_script(scene.example, BUYER))
