"""Ways of leaving a factory (protocol.md §9), each a play: together, alone, by waiting, after the dying period."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from superscalar_ref.bitcoin.locks import NO_RELATIVE_LOCK
from superscalar_ref.bitcoin.sighash import taproot_sighash
from superscalar_ref.bitcoin.transaction import Transaction, TxInput, TxOutput, build, with_witness
from superscalar_ref.machine.types import Event
from superscalar_ref.parties.kit import export, restore
from superscalar_ref.parties.watch import Watcher
from superscalar_ref.protocol.blueprint import FUNDING, alternate_name
from superscalar_ref.protocol.ladder import Pace
from superscalar_ref.protocol.transaction import Kind, Outpoint
from superscalar_ref.scenario.ladder_days import LEAVES, MOVES, Days
from superscalar_ref.scenario.settings import short_plan
from superscalar_ref.scenario.stage import Stage, Wanted
from superscalar_ref.scenario.story import CHAIN, End, Line, Told
from superscalar_ref.scenario.town import LSP, payout_script
from superscalar_ref.signing.musig import aggregate, sign_together, sort_keys

TAKE_FEE = 200
"""Of a spend of a node's output by all who hold it (sat)."""


# -- leaving together --------------------------------------------------------------------------------------------------


def close() -> Told:
    """All come in the dying period, and one transaction pays everybody."""
    stage = Stage(short_plan(3))
    _to_dying(stage)
    closing = stage.close()
    stage.block(closing)
    stage.until_swept(LSP, *stage.clients)
    lsp = stage.cast.factory.lsp
    coin = lsp.factory.templates[FUNDING].outputs[0].amount
    fee = next(one.fee for one in lsp.factory.templates.values() if one.kind is Kind.CLOSE)
    promised = dict.fromkeys(stage.clients, stage.plan.balance)
    return stage.finish(**promised, lsp=coin - fee - sum(promised.values()))


def close_and_fund() -> Told:
    """The day on which a ladder's oldest factory ends: one transaction closes it, funds one, pays who leaves."""
    days = Days.start(
        replace(short_plan(2), reserve_every=0), Pace(20, 10, day=10), lambda _, place: LEAVES if place else MOVES
    )
    lines: list[Line] = []
    for number in range(10):
        done = days.day(number)
        closes = "" if done.closes is None else f", and closes factory {done.closes}"
        what = f"{done.vbytes} vB, {done.inputs} inputs: funds factory {done.funds}{closes}"
        lines.append(Line(done.height, LSP, CHAIN, what))
        if done.closes is None:
            continue
        (moved,), (left,) = done.moved, done.left
        lines.append(Line(done.height, moved, LSP, f"signs: it holds its kit of factory {done.funds}"))
        lines.append(Line(done.height, left, LSP, "signs: it is paid on chain"))
        kept = days.houses[done.funds].clients[moved].life.owed
        ends = (
            End(left, days.owed[left], days.at_rest(left), 0),
            End(moved, days.houses[done.closes].clients[moved].life.owed, kept, 0),
        )
        days.ledger.close()
        return Told(tuple(lines), ends)
    raise AssertionError("no factory of the ladder ends")


def one_does_not_come() -> Told:
    """Two of three ask for the close: there is none, and the LSP brings everybody on chain (Q-CER-4)."""
    stage = _one_away()
    wire = stage.cast.wire
    wire.post(LSP, stage.cast.factory.lsp.close())
    while wire.letters:
        letter = wire.letters.popleft()
        if letter.to in stage.awake:
            wire.deliver(letter)
    stage.tell("", f"the close is not complete: the LSP is '{stage.status(LSP)}'")
    _lsp_begins(stage)
    stage.until_swept(LSP)
    return stage.finish(**dict.fromkeys(stage.clients, stage.plan.balance), lsp=stage.lsps())


def subtree_together() -> Told:
    """Those below a node sign one spend of its kickoff's output to all of them; the absent stay on the tree.

    No table takes this (Q-CER-4): it is signed here with their keys, beside the parties.
    """
    stage = _one_away()
    lsp = stage.cast.factory.lsp
    together = stage.clients[:2]
    kickoff = lsp.counted_blueprint().path(together[0])[2]
    for client in together:
        stage.tell(client, "signs that its part of the tree pays its wallet", LSP)
    promised = dict.fromkeys(stage.clients, stage.plan.balance)
    payouts = [TxOutput(promised[client], payout_script(client)) for client in together]
    close, rest = spend_together(stage, _held_by(stage, kickoff, together), together, payouts)
    stage.pay_own(LSP, TAKE_FEE)
    _lsp_begins(stage)
    stage.until(lambda: stage.cast.confirmed(close.txid), Wanted(LSP, "their part, to each of them", close))
    stage.until_swept(LSP)
    return stage.finish(**promised, lsp=stage.lsps(stage.clients[2]) + rest)


def _one_away() -> Stage:
    """Three clients in the dying period, of which the last, alone below its node, does not come."""
    stage = Stage(replace(short_plan(3), reserve_every=0))
    gone = stage.clients[2]
    _to_dying(stage)
    stage.sleep(gone)
    stage.tell(gone, "does not come")
    return stage


def _held_by(stage: Stage, transaction: str, clients: tuple[str, ...]) -> Outpoint:
    """The output of a transaction that these clients and the LSP hold together."""
    outputs = stage.cast.factory.lsp.factory.templates[transaction].outputs
    return Outpoint(transaction, [output.signers for output in outputs].index(frozenset({LSP, *clients})))


def spend_together(
    stage: Stage, point: Outpoint, clients: tuple[str, ...], payouts: list[TxOutput]
) -> tuple[Transaction, int]:
    """A spend of an output by these and the LSP, to them; and what the LSP has of it (sat), before the fee.

    Complete only if they are all who hold it.
    """
    factory = stage.cast.factory
    keys = [factory.lsp.identity.factory_key()]
    keys += [factory.clients[client].identity.factory_key() for client in clients]
    realised = factory.lsp.factory.realised[point.transaction]
    place = realised.places[point.index]
    spent = realised.transaction.outputs[place]
    rest = spent.amount_sat - sum(one.amount_sat for one in payouts)
    outputs = [*payouts, TxOutput(rest - TAKE_FEE, payout_script(LSP))]
    made = build(3, [TxInput(realised.txid, place, NO_RELATIVE_LOCK)], outputs)
    message = taproot_sighash(made, 0, (spent,))
    key = aggregate(sort_keys(one.public for one in keys)).taproot()
    return with_witness(made, 0, (sign_together(key, message, keys),)), rest


# -- leaving alone -----------------------------------------------------------------------------------------------------


def from_kit(stage: Stage, client: str) -> None:
    """A client begins its exit, with nothing but its exit kit and, if it has one, its coin."""
    purse = stage.cast.watchers[client].purse
    restored = restore(export(stage.cast.factory.clients[client]))
    watcher = stage.cast.watchers[client] = Watcher(restored, stage.cast.ledger, purse=purse)
    watcher.look()
    if restored.life.status == "active":
        restored.live(Event.of("start_exit", client))
    watcher.deadline = stage.height
    stage.tell(client, f"begins its exit from its kit, {'with' if purse else 'without'} a coin of its own")


def exit_alone() -> Told:
    """A client with a coin for the fee of its commitment exits, and nobody helps."""
    stage = Stage(replace(short_plan(2), reserve_every=1))
    client = stage.clients[0]
    stage.sleep(*stage.cast.names)
    stage.awake.add(client)
    from_kit(stage, client)
    stage.until_swept(client)
    return stage.finish(**{client: stage.plan.balance})


def exit_without_a_coin() -> Told:
    """It brings its leaf on chain; its commitment pays no fee, so it waits for the alternate of its channel."""
    stage = Stage(replace(short_plan(2), reserve_every=0))
    client = stage.clients[0]
    stage.sleep(*stage.cast.names)
    stage.awake.add(client)
    from_kit(stage, client)
    leaf = stage.cast.factory.lsp.counted_blueprint().path(client)[-1]
    stage.until_swept(client)
    return stage.finish(**{client: alternates_of(stage, leaf, client)})


def blast_radius() -> Told:
    """One of four exits: its path, and nobody else's leaf. The others leave later, each at its own time."""
    stage = Stage(replace(short_plan(4), reserve_every=1))
    first, *others = stage.clients
    stage.sleep(*stage.cast.names)
    stage.awake.add(first)
    from_kit(stage, first)
    stage.until_swept(first)
    lsp = stage.cast.factory.lsp
    path = set(lsp.counted_blueprint().path(first))
    for other in others:
        theirs = [name for name in lsp.counted_blueprint().path(other) if name in stage.cast.watchers[first].seen]
        stage.tell(other, f"of its path are on chain: {', '.join(theirs)}")
        if not set(theirs) < path:
            raise AssertionError(f"{other} was dragged on chain by {first}")
    for other in others:
        stage.wake(other)
        from_kit(stage, other)
    stage.until_swept(*others)
    return stage.finish(**dict.fromkeys(stage.clients, stage.plan.balance))


def node_of_those_who_left() -> Told:
    """The LSP has the factory keys of all clients below a node: it spends that node's output at once.

    They were paid in an assisted exit, of which this shows what comes after it.
    """
    stage = Stage(replace(short_plan(4), reserve_every=0))
    left, rest = stage.clients[:2], stage.clients[2:]
    for client in left:
        stage.tell(client, "has been paid on chain: its factory key is the LSP's", LSP)
    state = stage.cast.factory.lsp.counted_blueprint().path(left[0])[1]
    taken, has = spend_together(stage, _held_by(stage, state, left), left, [])
    stage.pay_own(LSP, TAKE_FEE)
    _lsp_begins(stage)
    node = Wanted(LSP, "the node of those who have left, to itself", taken)
    stage.until(lambda: stage.cast.confirmed(taken.txid), node)
    stage.until_swept(LSP)
    return stage.finish(**dict.fromkeys(rest, stage.plan.balance), lsp=stage.lsps(*rest) + has)


# -- waiting -----------------------------------------------------------------------------------------------------------


def lsp_pays_the_absent() -> Told:
    """A client of three never comes: the LSP brings the tree on chain before the end and has its capital back."""
    stage = Stage(short_plan(3))
    gone = stage.clients[1]
    _to_dying(stage)
    stage.sleep(gone)
    stage.tell(gone, "does not come; it never does anything again")
    _lsp_begins(stage)
    stage.until_swept(LSP)
    if stage.height >= stage.end:
        raise AssertionError("the LSP came too late")
    return stage.finish(**dict.fromkeys(stage.clients, stage.plan.balance), lsp=stage.lsps())


def lsp_away_past_the_end() -> Told:
    """The LSP does nothing before the end: the alternate of the funding output gives the clients all that is theirs."""
    stage = Stage(replace(short_plan(2), reserve_every=0))
    stage.sleep(*stage.cast.names)
    stage.tell(LSP, "is away from here on")
    stage.advance(stage.end)
    for client in stage.clients:
        stage.wake(client)
    stage.until_swept(*stage.clients)
    promised = {client: alternates_of(stage, FUNDING, client) for client in stage.clients}
    return stage.finish(**promised, lsp=stage.lsps())


# -- the dying period --------------------------------------------------------------------------------------------------


def dying_period_missed(*, coin: bool) -> Callable[[], Told]:
    """The client comes after it, and an LSP that has not begun yet does not answer: it exits by itself."""

    def play() -> Told:
        stage = Stage(replace(short_plan(1), reserve_every=int(coin)))
        (client,) = stage.clients
        stage.sleep(LSP, client)
        stage.tell(client, "is away from here on")
        dying_ends = stage.height + stage.plan.active_blocks + stage.plan.limits.depth
        stage.advance(max(dying_ends, stage.end - stage.plan.worst_exit() - stage.plan.limits.margin - 20))
        stage.wake(client)
        stage.tell(client, "comes back: the dying period is over, and nobody answers")
        from_kit(stage, client)
        leaf = stage.cast.factory.lsp.counted_blueprint().path(client)[-1]
        stage.until_swept(client)
        return stage.finish(**{client: stage.plan.balance if coin else alternates_of(stage, leaf, client)})

    return play


def _to_dying(stage: Stage) -> None:
    awake = set(stage.awake)
    stage.sleep(*stage.cast.names)
    stage.advance(stage.height + stage.plan.active_blocks)
    for name in stage.cast.names:
        if name in awake:
            stage.wake(name)
    stage.tell(LSP, f"the factory is '{stage.status(LSP)}'")


def _lsp_begins(stage: Stage) -> None:
    """Its deadline: from now on it publishes every path, and its commitment where the client does not close."""
    stage.tell(LSP, "begins to publish the tree: whoever did not come is to be paid before the end")
    stage.sleep(*stage.clients)
    stage.cast.watchers[LSP].deadline = stage.height


def alternates_of(stage: Stage, transaction: str, client: str) -> int:
    """What the alternates of a transaction's outputs pay a client (sat)."""
    templates = stage.cast.factory.lsp.factory.templates
    names = [alternate_name(Outpoint(transaction, index)) for index in range(len(templates[transaction].outputs))]
    return sum(
        output.amount
        for name in names
        if name in templates
        for output in templates[name].outputs
        if output.owner == client
    )
