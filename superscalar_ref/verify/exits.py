"""Scenario 'exit': one client leaves alone, from its stored kit only, with everybody else silent for ever."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from superscalar_ref.chain.fees import FeeMarket, Offer
from superscalar_ref.errors import SuperscalarError
from superscalar_ref.machine.types import Event
from superscalar_ref.parties.client import ClientActor
from superscalar_ref.parties.watch import CHILD, Watcher
from superscalar_ref.protocol.fees import Paid
from superscalar_ref.protocol.transaction import Kind, Role
from superscalar_ref.report.result import Check, Confirmation, ExitResult
from superscalar_ref.verify.scene import Named, Scene, Trial, wallet_script

DONE = ("swept", "paid", "left")


@dataclass(frozen=True)
class Exit:
    """One client's exit."""

    check: Check
    trial: Trial
    result: ExitResult | None
    """None when the exit broke off."""


def exit_alone(scene: Scene, name: str, scenario: str = "exit") -> Exit:
    """Let one client exit and sweep, and compare what it owns and how long it took with what was planned.

    ``scenario`` is the first part of the check's id. Blocks ask for what is signed into the tree; where the client has
    no coin they ask for nothing, for its commitment carries no fee (D-13).
    """
    scene.progress(f"{name} exits alone")
    coin = name in scene.reserves
    market = FeeMarket(scene.example.economy().feerate if coin else 0)
    played = play_exit(scene, name, scenario, market, coin=coin)
    return Exit(_check(scene, f"{scenario}/{name}", name, played), played.trial, played.result)


@dataclass(frozen=True)
class Played:
    """How one exit went."""

    trial: Trial
    result: ExitResult | None
    """None when it broke off."""
    broken: str
    spent: int
    """What its children have cost the client (sat)."""
    path: tuple[Paid, ...]
    """What was signed into each of its transactions that has an anchor, in the order in which they were confirmed."""


def play_exit(scene: Scene, name: str, scenario: str, market: FeeMarket, *, coin: bool) -> Played:
    """One client leaves from its store alone, in blocks that take what pays, with its ``coin`` or without."""
    trial = Trial(f"{scenario}/{name}", scene.start.fork())
    with scene.again() as home:
        for other in home.iterdir():
            if other.name != f"{name}.sqlite":
                other.unlink()
        client = scene.client(name, home)
        watcher = scene.watch(client, trial)
        purse = scene.purse(name) if coin else None
        watcher.purse = purse
        begun = trial.ledger.height
        broken = ""
        try:
            client.live(Event.of("start_exit", name))
            watcher.deadline = begun
            walk(scene, client, watcher, trial, market)
        except SuperscalarError as error:
            broken = str(error)
        if purse is not None:
            purse.look(trial.ledger)
        spent = 0 if purse is None else purse.spent
        result = None if broken else _result(scene, client, trial, begun, spent)
        path = tuple(_path(client, trial))
        client.store.close()
    return Played(trial, result, broken, spent, path)


def walk(scene: Scene, client: ClientActor, watcher: Watcher, trial: Trial, market: FeeMarket) -> None:
    """Follow the strategy, block by block where there is something to do, until the client's table says it is over."""
    most = scene.example.locks(0).end
    last = trial.ledger.height + 2 * most
    while client.life.status not in DONE and trial.ledger.height < last:
        height = trial.ledger.height
        offers = watcher.offers(market.feerate(height))
        taken = market.block(height + 1, tuple(offers.values()))
        if taken:
            trial.mine(*(_named(client, name, offer) for name, offer in offers.items() if offer in taken))
        elif offers:
            # It pays too little: one look more tells the price, and whoever cannot pay it waits until it falls.
            known = watcher.purse is None or market.feerate(height) == market.feerate(height + 1)
            trial.ledger.advance(max(market.spike_end(height + 1) - height - 1, 1) if known else 1)
        elif client.life.status == "settling" and client.life.owed == 0:
            return
        else:
            deep = scene.depth() if client.life.status == "settling" else most
            trial.ledger.advance(max(watcher.wait(deep), 1))
        watcher.look()


def _named(client: ClientActor, name: str, offer: Offer) -> Named:
    kind = Kind.CHILD if name.startswith(CHILD) else client.factory.templates[name].kind
    return Named(name, str(kind), offer.transaction, offer.fee)


def _path(client: ClientActor, trial: Trial) -> Iterator[Paid]:
    for verdict in trial.verdicts:
        template = client.factory.templates.get(verdict.name)
        anchors = [] if template is None else [one.amount for one in template.outputs if one.role is Role.ANCHOR]
        if anchors:
            yield Paid(verdict.vbytes, verdict.fee_sat, sum(anchors))


def _result(scene: Scene, client: ClientActor, trial: Trial, begun: int, spent: int) -> ExitResult:
    script = wallet_script(scene.example, client.name)
    reserve = scene.reserves.get(client.name)
    owned = sum(coin.output.amount for coin in trial.ledger.unspent().values() if coin.output.script == script)
    if reserve is not None:
        # What is left of the client's own coin is not what the factory owed it.
        owned -= reserve.output.amount_sat - spent
    confirmations = tuple(
        Confirmation(verdict.name, verdict.height) for verdict in trial.verdicts if verdict.height is not None
    )
    return ExitResult(
        client.name,
        max(one.height for one in confirmations) - begun,
        len(confirmations),
        sum(verdict.vbytes for verdict in trial.verdicts),
        sum(verdict.fee_sat for verdict in trial.verdicts),
        client.life.owed,
        owned,
        _dragged(client, trial),
        confirmations,
    )


def _dragged(client: ClientActor, trial: Trial) -> tuple[str, ...]:
    """Other clients whose own channel output is on chain now."""
    found = set()
    for verdict in trial.verdicts:
        template = client.factory.templates.get(verdict.name)
        if template is not None:
            found |= {output.owner for output in template.outputs if output.role is Role.CHANNEL}
    return tuple(sorted(found - {client.name}))


def _check(scene: Scene, identity: str, name: str, played: Played) -> Check:
    trial, result = played.trial, played.result
    says = f"{name} exits alone from its stored kit and owns what it is owed"
    rules = ("P-EXIT-ALWAYS", "CLI-10", "D-16")
    if result is None:
        return Check(identity, identity.partition("/")[0], says, False, played.broken, rules)
    planned = next(one for one in scene.example.planned.exits if one.client == name)
    sweep = sum(verdict.fee_sat for verdict in trial.verdicts if verdict.kind == Kind.SWEEP)
    problems = []
    if not trial.conserved():
        problems.extend([*trial.problems, "value is not conserved"])
    if result.owned_sat != result.owed_sat - sweep:
        problems.append(f"owns {result.owned_sat} sat, is owed {result.owed_sat} less {sweep} for the sweep")
    leaf = next((c.height for c in result.confirmations if c.transaction.startswith("commitment:")), None)
    begun = result.confirmations[-1].height - result.blocks
    if leaf is None or leaf - begun > planned.exit_blocks + 1:
        problems.append(f"its channel closed at {leaf}, planned {planned.exit_blocks} blocks after {begun}")
    if set(result.dragged) != set(planned.dragged):
        problems.append(f"drags {result.dragged} on chain, planned {planned.dragged}")
    coinless = "" if name in scene.reserves else "; no coin: its commitment carries no fee, policy would hold it back"
    detail = (
        f"{result.blocks} blocks, {result.transactions} transactions, {result.vbytes} vbytes, {result.fee_sat} sat"
        f" in fees ({played.spent} from its own coin), owns {result.owned_sat} of {result.owed_sat} sat{coinless}"
    )
    return Check(identity, identity.partition("/")[0], says, not problems, problems[0] if problems else detail, rules)
