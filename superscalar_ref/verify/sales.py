"""Scenario 'sales': a leaf of four clients with two stocks; each buys, several links deep, and exits with all of it.

Then the leaf is updated: an older state loses against the newest in time, and when the honest parties are too late for
that, poison takes everything from the LSP. No poison of what is newest exists, or can be made.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from superscalar_ref.bitcoin.transaction import TxInput, with_witness
from superscalar_ref.errors import Refused, SuperscalarError
from superscalar_ref.machine.types import Event
from superscalar_ref.parties.actor import Actor
from superscalar_ref.parties.watch import Watcher
from superscalar_ref.protocol import plan as planning
from superscalar_ref.protocol.participant import deliver, task, with_tasks
from superscalar_ref.protocol.poison import poison
from superscalar_ref.protocol.shape import Shape, grow
from superscalar_ref.protocol.transaction import Kind, Role, Template
from superscalar_ref.report.result import Check
from superscalar_ref.verify.build import build_factory, fold
from superscalar_ref.verify.example import ClientPlan, Example
from superscalar_ref.verify.exits import exit_alone
from superscalar_ref.verify.refusals import BAD_SIGNATURE
from superscalar_ref.verify.scene import Named, Parties, Progress, Scene, Trial, named, wallet_script

BUYERS = ("ann", "ben", "cem", "dot")
ROUNDS = 2
"""How often each client buys: each stock's chain is twice as long."""
UNIT = 40_000
"""A channel's side at 1 sat/vB (sat); a stock holds ten."""
GONE = "missingorspent"


@dataclass(frozen=True)
class Sales:
    """The scenario's checks and its chains."""

    checks: tuple[Check, ...]
    trials: tuple[Trial, ...]


def sell_and_poison(example: Example, progress: Progress) -> Sales:
    """Run the whole scenario on one leaf of four, with the parameters of ``example``."""
    scene = Scene(leaf_of_four(example), progress)
    checks: list[Check] = []
    trials: list[Trial] = []
    try:
        built = build_factory(scene)
        broken = [check for check in built.checks if not check.passed]
        checks.append(_sold(scene, f"{broken[0].id}: {broken[0].detail}" if broken else ""))
        for name in BUYERS:
            one = exit_alone(scene, name, "sales/exit")
            checks.append(one.check)
            trials.append(one.trial)
        if example.parameters.word("stock_lock") == "csv":
            with scene.again() as home:
                parties = scene.parties(home)
                checks.append(_own_lock(scene, parties, trials))
                parties.close()
        if example.parameters.number("states_per_layer") > 1:
            with scene.again() as home:
                parties = scene.parties(home)
                checks.extend(_poison(scene, parties, trials))
                parties.close()
    except SuperscalarError as error:
        checks.append(Check("sales/broken-off", "sales", "the scenario runs to its end", False, str(error)))
    finally:
        scene.close()
    return Sales(tuple(checks), tuple(trials))


def leaf_of_four(example: Example) -> Example:
    """A factory of one leaf with ``k = 2`` under the parameters of ``example``, with room for its fees."""
    number = example.parameters.number
    unit = UNIT * max(1, number("tree_feerate_sat_per_vb"))
    shape = Shape.of([2], leaf_k=2)
    tree = grow(shape, BUYERS)
    timing = planning.Timing(number("step_blocks"), number("states_per_layer"))
    limits = planning.Limits(number("exit_ceiling_blocks"), number("exit_margin_blocks"))
    return replace(
        example,
        name=f"{example.name}, sales",
        coin=50 * unit,
        stock=10 * unit,
        shape=shape,
        tree=tree,
        clients=tuple(ClientPlan(name, unit, unit, 0) for name in BUYERS),
        parameters=example.parameters.with_changes({"dw_layers": 1, "static_levels": 0}, "sales"),
        planned=planning.plan(shape, BUYERS, timing, limits, number("tree_feerate_sat_per_vb")),
    )


def _sold(scene: Scene, problem: str) -> Check:
    """Every client buys twice, in turns; the stores are left as they are then."""
    home = scene.home / "active"
    parties = scene.parties(home)
    capacity = scene.example.clients[0].inbound
    for actor in parties.everyone():
        scene.watch(actor, Trial("sales", scene.start))
    for _ in range(ROUNDS):
        for name in BUYERS:
            scene.progress(f"sale to {name}")
            # A payment that found no room in the client's channels: the new one starts with it.
            parties.lsp.received[name] = capacity // 4
            parties.wire.post(name, parties.clients[name].buy(capacity, capacity))
            parties.wire.run()
    problems = [problem, *parties.wire.alerts]
    for actor in parties.everyone():
        for stock in actor.party.stocks.values():
            if len(stock.links) != 2 * ROUNDS or (actor is parties.lsp and not all(one.paid for one in stock.links)):
                problems.append(f"{actor.name} sees {len(stock.links)} links, {sum(s.paid for s in stock.links)} paid")
        spends = [(outpoint, slot) for outpoint, slot, _ in actor.store.records()]
        if len(set(spends)) < len(spends):
            problems.append(f"{actor.name} recorded two messages for one outpoint and slot")
    links = len(parties.lsp.factory.record.sales)
    messages = parties.wire.count
    for actor in parties.everyone():
        fold(actor.store.path)
    parties.close()
    problems = [one for one in problems if one]
    return Check(
        "sales/chained",
        "sales",
        "each client of a k = 2 leaf buys twice: chained, signed by all who share the stock, complete before payment",
        not problems,
        problems[0] if problems else f"{links} links, {2 * ROUNDS} deep on each stock, {messages} messages",
        ("STK-3", "STK-4", "STK-9", "STK-12", "D-7", "D-8"),
    )


def _own_lock(scene: Scene, parties: Parties, trials: list[Trial]) -> Check:
    """The LSP's own path to the stock, on which a chain hangs: the chain in time, and nobody there to publish it."""
    scene.progress("the LSP's own lock on a stock that was sold from")
    lsp = parties.lsp
    path = lsp.counted_blueprint().path(BUYERS[0])
    link = next(one.sale.link for one in lsp.factory.record.sales if one.stock == len(BUYERS))
    expiry = f"expiry:{path[-1]}#{len(BUYERS)}"
    lock = lsp.factory.templates[expiry].spends[0].relative_lock or 1
    said: dict[str, str] = {}
    for name, waits, first, second in (("in-time", 0, link, expiry), ("absent", lock - 1, expiry, link)):
        trial = Trial(f"sales/own-lock/{name}", scene.start.fork())
        trials.append(trial)
        trial.mine(named(lsp, path[0]))
        trial.ledger.advance((lsp.factory.templates[path[-1]].spends[0].relative_lock or 1) - 1)
        trial.mine(named(lsp, path[-1]))
        trial.ledger.advance(waits)
        trial.mine(named(lsp, first))
        trial.ledger.advance(lock)
        said[name] = trial.refuse(named(lsp, second))
    return Check(
        "sales/own-lock",
        "sales",
        f"a published chain is safe from the LSP's own path; one that nobody publishes within {lock} blocks is lost",
        all(GONE in one for one in said.values()),
        f"after the link the LSP's own path: {said['in-time'][:40]}; after it the link: {said['absent'][:40]}",
        ("D-9", "STR-9"),
    )


def _poison(scene: Scene, parties: Parties, trials: list[Trial]) -> Iterator[Check]:
    """An update of the leaf, and what an older state is worth after it."""
    scene.progress("the leaf is updated, and its older state poisoned")
    lsp = parties.lsp
    for actor in parties.everyone():
        scene.watch(actor, Trial("sales", scene.start))
    old = lsp.counted_blueprint().path(BUYERS[0])
    link = [one.sale.link for one in lsp.factory.record.sales if one.stock == len(BUYERS)][-1]
    yield _never_signed(parties, link, "sales/poison-of-a-link", "nobody signs the poison of the newest chain's link")
    parties.wire.post(lsp.name, lsp.update(scene.example.tree.root.path, {}))
    parties.wire.run()
    new = lsp.counted_blueprint().path(BUYERS[0])
    complete = _complete(parties, old[-1], new[-1])
    yield complete
    if not complete.passed:
        return
    yield _never_signed(parties, new[-1], "sales/poison-of-the-newest", "nobody signs the poison of the newest state")
    trial = Trial("sales/newest", scene.start.fork())
    trials.append(trial)
    yield _newest_wins(scene, parties, trial, old, new)
    yield from _refused_by_core(parties, trial, old[-1], new[-1])
    trial = Trial("sales/too-late", scene.start.fork())
    trials.append(trial)
    yield _too_late(scene, parties, trial, old)


def _complete(parties: Parties, old: str, new: str) -> Check:
    """Every output of the older state, and of the chains on it, is poisoned by all who share it; the newest is not."""
    lsp = parties.lsp
    problems = list(parties.wire.alerts)
    templates = lsp.factory.templates
    sold = [record.sale.link for record in lsp.factory.record.sales]
    for name in (old, *sold):
        for index, output in enumerate(templates[name].outputs):
            for party in output.signers - {lsp.name} if output.role in (Role.CHANNEL, Role.STOCK) else ():
                if f"poison:{name}#{index}" not in parties.clients[party].held:
                    problems.append(f"{party} lacks the poison of output {index} of {name}")
    for actor in parties.everyone():
        problems.extend(
            f"{actor.name} holds {name}"
            for name in actor.held
            if name.startswith(("poison:" + new, f"poison:sale:{new}"))
        )
    owed = {name: client.life.owed for name, client in parties.clients.items()}
    return Check(
        "sales/poisoned",
        "sales",
        "after the update every client holds the poison of the older state and its links, and counts on all it bought",
        not problems and all(client.life.version == "1" for client in parties.clients.values()),
        problems[0] if problems else f"{len([n for n in lsp.held if n.startswith('poison:')])} poisons; owed {owed}",
        ("D-10", "CLI-6", "SES-5"),
    )


def _never_signed(parties: Parties, newest: str, check: str, says: str) -> Check:
    """The LSP and a client are asked to sign the poison of the outputs of what is newest."""
    said = []
    for actor in (parties.lsp, parties.clients[BUYERS[0]]):
        template = actor.factory.templates[newest]
        shared = [n for n, output in enumerate(template.outputs) if {actor.name, parties.lsp.name} <= output.signers]
        said += [_asked_for_poison(actor, template, index) for index in shared]
    refused = len(said) > 1 and all("ONLY_SUPERSEDED" in one for one in said)
    return Check(check, "sales", says, refused, said[0], ("SES-5", "D-10"))


def _asked_for_poison(actor: Actor, template: Template, index: int) -> str:
    """What the table says when the session for the poison of an output is opened and to be signed."""
    made = poison(actor.factory.terms, template.outpoint(index), template.outputs[index])
    assert made is not None
    asked = task(actor.counted_blueprint(), made, actor.name, "its sighash")
    party = replace(actor.party, signer=with_tasks(actor.party.signer, [asked]))
    nonces = [Event.of("aggregate_nonce", asked.collector, attempt=1)]
    if asked.collector == actor.name:
        nonces = [Event.of("nonce", other, attempt=1) for other in sorted(asked.signers - {actor.name})]
    refused: list[Refused] = []
    for event in (Event.of("open", actor.name, attempt=1), *nonces, Event.of("sign", actor.name)):
        party, turn = deliver(actor.tables, party, [(made.name, event)])
        refused.extend(turn.refused)
    return str(refused[-1]) if refused else "it would have signed"


def _newest_wins(scene: Scene, parties: Parties, trial: Trial, old: tuple[str, ...], new: tuple[str, ...]) -> Check:
    """The LSP publishes the kickoff and waits for its older state; a client follows its strategy."""
    client = parties.clients[BUYERS[0]]
    trial.mine(named(parties.lsp, old[0]))
    watcher = Watcher(client, trial.ledger)
    watcher.look()
    published = ""
    while not published:
        ready = watcher.publish()
        published = next(iter(ready), "")
        if not ready:
            trial.ledger.advance(max(1, watcher.wait(scene.example.locks(0).end)))
            watcher.look()
    height = trial.mine(named(client, published))
    said = trial.refuse(named(parties.lsp, old[-1]))
    return Check(
        "sales/newest-wins",
        "sales",
        "the LSP publishes the kickoff for its older state; the newest confirms first",
        published == new[-1] and GONE in said,
        f"{published} confirmed at {height}; {old[-1]}: {said}",
        ("P-NEWEST-WINS", "STR-5"),
    )


def _refused_by_core(parties: Parties, trial: Trial, old: str, new: str) -> Iterator[Check]:
    """The newest state is on chain: the poison of the older one, as it is and moved onto the newest one's output."""
    client = parties.clients[BUYERS[0]]
    one = named(client, f"poison:{old}#0")
    newest = client.factory.realised[new]
    source = TxInput(newest.txid, newest.places[0], one.transaction.inputs[0].sequence)
    moved = replace(one.transaction, inputs=(source,), witnesses=((),))
    moved = with_witness(moved, 0, one.transaction.witnesses[0])
    amount = newest.transaction.outputs[newest.places[0]].amount_sat
    forged = replace(one, transaction=moved, fee=amount - sum(o.amount_sat for o in moved.outputs))
    for what, says, tried, word in (
        ("void", "the older state's poison when the newest state is on chain", one, GONE),
        ("moved", "the older state's poison moved onto the newest state's output", forged, BAD_SIGNATURE),
    ):
        said = trial.refuse(tried)
        yield Check(
            f"sales/poison-{what}",
            "sales",
            f"Core refuses {says}",
            word in said,
            said,
            ("D-10",),
        )


def _too_late(scene: Scene, parties: Parties, trial: Trial, old: tuple[str, ...]) -> Check:
    """The older state confirms, with the chain of one of its stocks; then the clients look for the first time."""
    lsp = parties.lsp
    script = wallet_script(scene.example, lsp.name)
    before = _owned(trial, script)
    trial.mine(named(lsp, old[0]))
    lock = lsp.factory.templates[old[-1]].spends[0].relative_lock or 1
    trial.ledger.advance(lock - 1)
    trial.mine(named(lsp, old[-1]))
    chain = [one.sale.link for one in lsp.factory.record.sales if one.stock == len(BUYERS)]
    trial.mine(*(named(lsp, name) for name in chain))
    watchers = [Watcher(client, trial.ledger) for client in parties.clients.values()]
    for watcher in watchers:
        watcher.look()
    block: dict[str, Named] = {}
    for watcher in watchers:
        block.update((name, named(watcher.actor, name)) for name in watcher.publish())
    trial.mine(*block.values())
    trial.ledger.advance(scene.depth() - 1)
    for watcher in watchers:
        watcher.look()
    problems = [f"{name} is no poison" for name in block if lsp.factory.templates[name].kind is not Kind.POISON]
    got = {name: _owned(trial, wallet_script(scene.example, name)) for name in BUYERS}
    for name, client in parties.clients.items():
        if got[name] < client.life.owed:
            problems.append(f"{name} ends with {got[name]} sat, and counts on {client.life.owed}")
        if client.life.status != "swept":
            problems.append(f"{name} is {client.life.status}")
    taken = _owned(trial, script) - before
    if taken:
        problems.append(f"the LSP ends with {taken} sat of the leaf")
    if not trial.conserved():
        problems.append("value is not conserved")
    return Check(
        "sales/poison-takes-all",
        "sales",
        "the LSP's older state confirms before anybody looks: poison gives all of it to the clients, the LSP nothing",
        not problems,
        problems[0]
        if problems
        else f"{len(block)} poisons confirm; {', '.join(f'{n} {s}' for n, s in got.items())} sat",
        ("D-10", "STR-8", "CLI-21"),
    )


def _owned(trial: Trial, script: bytes) -> int:
    return sum(coin.output.amount for coin in trial.ledger.unspent().values() if coin.output.script == script)
