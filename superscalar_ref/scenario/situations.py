"""Every way of leaving (protocol.md §9) and every row of who must be online (§11), each played to its end by name.

Laws of this module:

* ``SITUATIONS`` is the list; a situation names the row that it shows, and who ends with another amount than the rule
  that it shows promises.
* A play is repeatable, takes no argument, and leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from superscalar_ref.bitcoin.locks import NO_RELATIVE_LOCK
from superscalar_ref.bitcoin.sighash import taproot_sighash
from superscalar_ref.bitcoin.transaction import Transaction, TxInput, TxOutput, build, with_witness
from superscalar_ref.machine.types import Event
from superscalar_ref.parties.kit import export, restore
from superscalar_ref.parties.watch import Watcher
from superscalar_ref.protocol.blueprint import FUNDING, alternate_name
from superscalar_ref.protocol.ladder import Pace
from superscalar_ref.protocol.transaction import Kind, Outpoint
from superscalar_ref.scenario.by_lightning import move_over_lightning, swap
from superscalar_ref.scenario.ladder_days import LEAVES, MOVES, Days
from superscalar_ref.scenario.presence import GAIN, PRICE, absent, cheated, classic, longest_absence
from superscalar_ref.scenario.settings import short_plan
from superscalar_ref.scenario.stage import Stage, Wanted
from superscalar_ref.scenario.story import CHAIN, End, Line, Told
from superscalar_ref.scenario.town import LSP, Plan, payout_script
from superscalar_ref.signing.musig import aggregate, sign_together, sort_keys

MORE, LESS = "more", "less"
TAKE_FEE = 200
"""Of a spend of a node's output by all who hold it (sat)."""


@dataclass(frozen=True)
class Situation:
    """One row of protocol.md §9 or §11, with a play that shows it."""

    name: str
    row: str
    says: str
    play: Callable[[], Told]
    others: Mapping[str, str] = field(default_factory=dict)
    """Party → whether it ends with ``MORE`` or ``LESS`` than is promised; everybody else ends with exactly that."""

    def faults(self, told: Told) -> tuple[str, ...]:
        """What did not end as it should."""
        return tuple(str(end) for end in told.ends if _word(end) != self.others.get(end.party, ""))


def _word(end: End) -> str:
    return "" if end.exact else MORE if end.whole else LESS


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
    close, rest = _spend_together(stage, kickoff, together, payouts)
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


def _spend_together(
    stage: Stage, transaction: str, clients: tuple[str, ...], payouts: list[TxOutput]
) -> tuple[Transaction, int]:
    """A spend of the output that these and the LSP hold, to them; and what the LSP has of it (sat), before the fee."""
    factory = stage.cast.factory
    keys = [factory.lsp.identity.factory_key()]
    keys += [factory.clients[client].identity.factory_key() for client in clients]
    signers = [output.signers for output in factory.lsp.factory.templates[transaction].outputs]
    realised, index = factory.lsp.factory.realised[transaction], signers.index(frozenset({LSP, *clients}))
    spent = realised.transaction.outputs[realised.places[index]]
    rest = spent.amount_sat - sum(one.amount_sat for one in payouts)
    inputs = [TxInput(realised.txid, realised.places[index], NO_RELATIVE_LOCK)]
    made = build(3, inputs, [*payouts, TxOutput(rest - TAKE_FEE, payout_script(LSP))])
    key = aggregate(sort_keys(one.public for one in keys)).taproot()
    stage.pay_own(LSP, TAKE_FEE)
    return with_witness(made, 0, (sign_together(key, taproot_sighash(made, 0, (spent,)), keys),)), rest


# -- leaving alone -----------------------------------------------------------------------------------------------------


def _from_kit(stage: Stage, client: str) -> None:
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
    _from_kit(stage, client)
    stage.until_swept(client)
    return stage.finish(**{client: stage.plan.balance})


def exit_without_a_coin() -> Told:
    """It brings its leaf on chain; its commitment pays no fee, so it waits for the alternate of its channel."""
    stage = Stage(replace(short_plan(2), reserve_every=0))
    client = stage.clients[0]
    stage.sleep(*stage.cast.names)
    stage.awake.add(client)
    _from_kit(stage, client)
    leaf = stage.cast.factory.lsp.counted_blueprint().path(client)[-1]
    stage.until_swept(client)
    return stage.finish(**{client: _alternates_of(stage, leaf, client)})


def blast_radius() -> Told:
    """One of four exits: its path, and nobody else's leaf. The others leave later, each at its own time."""
    stage = Stage(replace(short_plan(4), reserve_every=1))
    first, *others = stage.clients
    stage.sleep(*stage.cast.names)
    stage.awake.add(first)
    _from_kit(stage, first)
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
        _from_kit(stage, other)
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
    taken, has = _spend_together(stage, state, left, [])
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
    promised = {client: _alternates_of(stage, FUNDING, client) for client in stage.clients}
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
        _from_kit(stage, client)
        leaf = stage.cast.factory.lsp.counted_blueprint().path(client)[-1]
        stage.until_swept(client)
        return stage.finish(**{client: stage.plan.balance if coin else _alternates_of(stage, leaf, client)})

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


def _alternates_of(stage: Stage, transaction: str, client: str) -> int:
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


# -- who must be online ------------------------------------------------------------------------------------------------


def _one(stock: int = GAIN // 2, reserve: bool = True) -> Plan:
    """A factory of one client whose poisoned stock is worth so much (sat)."""
    plan = short_plan()
    locks = replace(plan.locks, step=5, to_self_delay=6, end=150)
    return replace(plan, locks=locks, stock=stock, reserve_every=int(reserve))


def _seen(plan: Plan, absence: int, price: int = 0) -> Callable[[], Told]:
    return lambda: cheated(plan, absence, price).told


def _absent(plan: Plan, late: int) -> Callable[[], Told]:
    return lambda: absent(plan, late).told


_MOST = longest_absence(_one())
_TOGETHER, _LIGHTNING, _SWAP = "§9 cooperative close", "§9 move over Lightning", "§9 swap to chain"
_ALONE, _WAITING = "§9 unilateral exit", "§9 waiting (inverted default)"
_LSP, _TOWER, _BARE = "§11 LSP", "§11 client, with a watchtower", "§11 client, no watchtower"
_ABSENT, _BLAST = "§11 client, absent for ever", "§9 blast radius"
_LISTED = (
    Situation("close", _TOGETHER, "all come in the dying period, and one transaction pays everybody", close),
    Situation(
        "close-and-fund",
        _TOGETHER,
        "the same transaction funds the next factory: one client moves there, one is paid on chain",
        close_and_fund,
    ),
    Situation(
        "one-does-not-come",
        _TOGETHER,
        "two of three ask for the close, and there is none: the LSP brings everybody on chain (Q-CER-4)",
        one_does_not_come,
    ),
    Situation(
        "subtree-together",
        _TOGETHER,
        "what it would save if those who come closed their part of the tree; no table takes it (Q-CER-4)",
        subtree_together,
    ),
    Situation(
        "move-over-lightning",
        _LIGHTNING,
        "a client pays itself in the next factory, through the LSP; its old leaf is empty for it",
        move_over_lightning,
    ),
    Situation(
        "swap-to-chain",
        _SWAP,
        "a client pays the LSP with an HTLC, and takes an output on chain with the same preimage",
        lambda: swap(claimed=True),
    ),
    Situation(
        "swap-expires",
        _SWAP,
        "the client does not claim: the LSP takes its output back, and gives the payment back",
        lambda: swap(claimed=False),
    ),
    Situation("exit-alone", _ALONE, "a client with a coin exits from its kit, and nobody helps", exit_alone),
    Situation(
        "exit-without-coin",
        _ALONE,
        "a client without a coin brings its leaf on chain, and waits for the alternate of its channel",
        exit_without_a_coin,
    ),
    Situation(
        "blast-radius",
        _BLAST,
        "one of four exits: no leaf of another is on chain, and each of them leaves when it likes",
        blast_radius,
    ),
    Situation(
        "node-of-those-who-left",
        "§9 node whose clients all left",
        "the LSP, which has their keys, spends its output at once: nothing below it comes on chain",
        node_of_those_who_left,
    ),
    Situation(
        "lsp-pays-the-absent",
        _WAITING,
        "one of three never comes: the LSP publishes and pays it before the end, and has all of its capital",
        lsp_pays_the_absent,
    ),
    Situation(
        "lsp-away-past-the-end",
        _LSP,
        "an LSP that does nothing before the end loses all to the clients, by the alternate",
        lsp_away_past_the_end,
        {LSP: LESS},
    ),
    Situation(
        "tower-and-one-visit",
        _TOWER,
        "cheated while it is away; its tower answers, and it closes in the dying period",
        _seen(_one(), 0),
        {"f0c0": MORE},
    ),
    Situation(
        "tower-without-reserve",
        _TOWER,
        "the same without a coin: the tower's state confirms, and the alternates pay at the end",
        _seen(_one(reserve=False), 0),
        {"f0c0": MORE},
    ),
    Situation(
        "tower-in-spike-with-reserve",
        _TOWER,
        f"cheated while blocks ask for {PRICE} sat/vB: the tower pays that from a coin",
        _seen(_one(), 0, PRICE),
        {"f0c0": MORE},
    ),
    Situation(
        "tower-in-spike-without-reserve",
        _TOWER,
        "the same without a coin: the older state wins, and poison is all the insurance there is",
        _seen(_one(reserve=False), 0, PRICE),
        {"f0c0": LESS},
    ),
    Situation(
        "dying-period-missed",
        _TOWER,
        "the client comes after it, and nobody answers: it exits by itself, with a coin",
        dying_period_missed(coin=True),
    ),
    Situation(
        "dying-period-missed-without-coin",
        _TOWER,
        "the same without a coin: its leaf is on chain, and the alternate pays",
        dying_period_missed(coin=False),
    ),
    Situation(
        "no-tower-in-time", _BARE, f"looks every {_MOST} blocks, less than a step: is in time", _seen(_one(), _MOST)
    ),
    Situation(
        "no-tower-too-late",
        _BARE,
        f"looks every {_MOST + 1} blocks, a step: the older state wins",
        _seen(_one(), _MOST + 1),
        {"f0c0": LESS},
    ),
    Situation(
        "no-tower-poison-covers",
        _BARE,
        "the same, where the poisoned stock is worth more than what was gained",
        _seen(_one(2 * GAIN), _MOST + 1),
        {"f0c0": MORE},
    ),
    Situation(
        "spike-with-reserve",
        _BARE,
        f"cheated while blocks ask for {PRICE} sat/vB, with a reserve: pays, and is in time",
        _seen(_one(), 1, PRICE),
    ),
    Situation(
        "spike-without-reserve",
        _BARE,
        "the same without: is held back for two steps",
        _seen(_one(reserve=False), 1, PRICE),
        {"f0c0": LESS},
    ),
    Situation("absent", _ABSENT, "comes back after the end: the alternate pays it", _absent(_one(), 50)),
    Situation(
        "absent-classic",
        _ABSENT,
        "the same under the classic end: the LSP takes everything",
        _absent(classic(_one()), 10),
        {"f0c0": LESS},
    ),
)
SITUATIONS: Mapping[str, Situation] = {one.name: one for one in _LISTED}
"""By name, in the order of the rows."""
