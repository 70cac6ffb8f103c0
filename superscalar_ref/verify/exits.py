"""Scenario 'exit': one client leaves alone, from its stored kit only, with everybody else silent for ever."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from superscalar_ref.bitcoin.transaction import Transaction
from superscalar_ref.errors import SuperscalarError
from superscalar_ref.machine.types import Event
from superscalar_ref.parties.client import ClientActor
from superscalar_ref.parties.watch import Watcher
from superscalar_ref.protocol.transaction import Kind, Role
from superscalar_ref.realise.child import bump
from superscalar_ref.report.result import Check, Confirmation, ExitResult
from superscalar_ref.verify.scene import Named, Scene, Trial, named, wallet_key, wallet_script

DONE = ("swept", "paid", "left")
BUMP_FEERATE = 2
"""sat/vB at which a client with a coin publishes a transaction that carries no fee."""


@dataclass(frozen=True)
class Exit:
    """One client's exit."""

    check: Check
    trial: Trial
    result: ExitResult | None
    """None when the exit broke off."""


def exit_alone(scene: Scene, name: str, scenario: str = "exit") -> Exit:
    """Let one client exit and sweep, and compare what it owns and how long it took with what was planned.

    ``scenario`` is the first part of the check's id.
    """
    scene.progress(f"{name} exits alone")
    trial = Trial(f"{scenario}/{name}", scene.start.fork())
    with scene.again() as home:
        for other in home.iterdir():
            if other.name != f"{name}.sqlite":
                other.unlink()
        client = scene.client(name, home)
        watcher = scene.watch(client, trial)
        begun = trial.ledger.height
        broken = ""
        try:
            client.live(Event.of("start_exit", name))
            watcher.deadline = begun
            walk(scene, client, watcher, trial)
        except SuperscalarError as error:
            broken = str(error)
        result = None if broken else _result(scene, client, trial, begun)
        client.store.close()
    return Exit(_check(scene, f"{scenario}/{name}", name, trial, result, broken), trial, result)


def walk(scene: Scene, client: ClientActor, watcher: Watcher, trial: Trial) -> None:
    """Follow the strategy, block by block where there is something to do, until the client's table says it is over."""
    most = scene.example.locks(0).end
    last = trial.ledger.height + 2 * most
    while client.life.status not in DONE and trial.ledger.height < last:
        published = watcher.publish()
        if published:
            trial.mine(*_with_children(scene, client, published))
            watcher.look()
            continue
        if client.life.status == "settling" and client.life.owed == 0:
            return
        deep = scene.depth() if client.life.status == "settling" else most
        trial.ledger.advance(max(watcher.wait(deep), 1))
        watcher.look()


def _with_children(scene: Scene, client: ClientActor, published: Mapping[str, Transaction]) -> list[Named]:
    """What is published, each transaction without a fee with a child that pays for both if the client has a coin."""
    block: list[Named] = []
    for name in published:
        parent = named(client, name)
        block.append(parent)
        coin = scene.reserves.get(client.name)
        kind = client.factory.templates[name].kind
        if kind is not Kind.COMMITMENT or coin is None:
            continue
        key, script = wallet_key(scene.example, client.name), wallet_script(scene.example, client.name)
        child = bump(parent.transaction, parent.fee, coin, key, script, BUMP_FEERATE)
        paid = coin.output.amount_sat - sum(output.amount_sat for output in child.outputs)
        anchor = next(o.amount for o in client.factory.templates[name].outputs if o.role is Role.ANCHOR)
        block.append(Named(f"child:{name}", str(Kind.CHILD), child, paid + anchor))
    return block


def _result(scene: Scene, client: ClientActor, trial: Trial, begun: int) -> ExitResult:
    script = wallet_script(scene.example, client.name)
    reserve = scene.reserves.get(client.name)
    used = reserve is not None and any(verdict.kind == Kind.CHILD for verdict in trial.verdicts)
    owned = sum(coin.output.amount for coin in trial.ledger.unspent().values() if coin.output.script == script)
    if used and reserve is not None:
        # What came from the client's own coin is not what the factory owed it.
        child_fee = sum(verdict.fee_sat for verdict in trial.verdicts if verdict.kind == Kind.CHILD)
        owned -= reserve.output.amount_sat - child_fee
    elif reserve is not None:
        owned -= reserve.output.amount_sat
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


def _check(scene: Scene, identity: str, name: str, trial: Trial, result: ExitResult | None, broken: str) -> Check:
    says = f"{name} exits alone from its stored kit and owns what it is owed"
    rules = ("P-EXIT-ALWAYS", "CLI-10", "D-16")
    if result is None:
        return Check(identity, identity.partition("/")[0], says, False, broken, rules)
    planned = next(one for one in scene.example.planned.exits if one.client == name)
    sweep = sum(verdict.fee_sat for verdict in trial.verdicts if verdict.kind == Kind.SWEEP)
    anchors = sum(verdict.fee_sat for verdict in trial.verdicts if verdict.kind == Kind.CHILD)
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
        f" in fees ({anchors} from its own coin), owns {result.owned_sat} of {result.owed_sat} sat{coinless}"
    )
    return Check(identity, identity.partition("/")[0], says, not problems, problems[0] if problems else detail, rules)
