"""An exit from a kit alone: what its age lets it publish, until its money is at rest (BAK-1 to BAK-3).

Laws of this module:

* What is published is what the strategy (``spec/strategy.toml``) would publish, less what ``spec/backup.toml``
  forbids a kit of this age. A kit is current only when its owner says so and nothing contradicts.
* Evidence of age is a transaction: one on chain, or one that is shown, complete, that spends an output of this
  client's path and that the kit does not know. Each needs the client's own signature, so none can be invented.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from superscalar_ref.bitcoin.transaction import Transaction
from superscalar_ref.chain.interface import Ledger, OutPoint, TxOut
from superscalar_ref.chain.kernel import verify_input
from superscalar_ref.errors import InputError, ProtocolError
from superscalar_ref.machine.types import Event
from superscalar_ref.parties.channel_actor import ChannelActor
from superscalar_ref.parties.channel_watch import COMMITMENT, ChannelWatcher
from superscalar_ref.parties.kit import Kit, RestoredClient, restore
from superscalar_ref.parties.kit_channel import live_channels, static_payment
from superscalar_ref.parties.watch import Watcher, txid_bytes
from superscalar_ref.protocol.backup import Age, BackupRules, load_backup_rules
from superscalar_ref.protocol.blueprint import FUNDING
from superscalar_ref.protocol.transaction import Kind, Role
from superscalar_ref.protocol.weight import lock_path_vbytes

_DONE = ("swept", "paid", "left")
_OVER = ("closed", "swept", "penalised")
_CLOSING = ("force_closing", "resolving", "breached")
Others = Callable[[], Sequence[Transaction]]
"""What others publish, asked for each block."""


@dataclass(frozen=True)
class Step:
    """One transaction that was published and confirmed."""

    height: int
    name: str
    txid: str
    vbytes: int
    fee_sat: int
    to_client_sat: int
    """What it pays to the client's wallet."""


@dataclass(frozen=True)
class Story:
    """What an exit came to."""

    client: str
    age: str
    evidence: str
    """Why the kit is old; empty when nothing shows it."""
    begun: int
    """Height of the last block before."""
    ended: int
    status: str
    """What the client's table says at the end, or its channel's where that has lived."""
    steps: tuple[Step, ...]
    owed_sat: int
    """What the kit counts on."""
    received_sat: int
    """What its wallet has more than before."""
    vbytes: int
    fees_sat: int
    """Inside its own transactions."""

    @property
    def out(self) -> bool:
        """Whether the client's money is at rest in its wallet."""
        return self.status in _DONE or self.status in _OVER


@dataclass
class _Exit:
    """One exit under way."""

    client: RestoredClient
    ledger: Ledger
    rules: BackupRules
    watcher: Watcher
    lives: tuple[ChannelWatcher, ...]
    age: Age
    others: Others
    evidence: str = ""
    seen: dict[str, Transaction] = field(default_factory=dict)
    """Every transaction of the chain that is known as a whole, by txid."""
    steps: list[Step] = field(default_factory=list)

    def learn(self, transaction: Transaction) -> None:
        self.seen[transaction.txid] = transaction
        for live in self.lives:
            live.feed(transaction)

    def grow_old(self, evidence: str) -> None:
        """From here on only what a kit of any age may publish."""
        if evidence and self.age is not Age.OLD:
            self.age, self.evidence = Age.OLD, evidence
        self.client.may_publish = self.rules.kinds(self.age)

    def look(self) -> None:
        """See the tip, and whether it shows that the kit is old."""
        self.watcher.look()
        self.grow_old(unknown_spender(self.client, self.watcher, self.seen, self.lives))

    def due(self) -> list[tuple[str, Transaction]]:
        """What is to be published now, each with a name."""
        found = list(self.watcher.publish().items())
        for live in self.lives:
            found.extend(self._live_due(live))
        for transaction in self._commitments_of_the_lsp():
            taken = static_payment(self.client, transaction)
            if taken is not None and self._spendable(taken):
                found.append((f"payment:{transaction.txid[:16]}", taken))
        return found

    def _spendable(self, transaction: Transaction) -> bool:
        unspent = self.ledger.unspent()
        return all(OutPoint(txid_bytes(one.txid_hex), one.index) in unspent for one in transaction.inputs)

    def _commitments_of_the_lsp(self) -> list[Transaction]:
        """Confirmed transactions that spend one of the client's channels and that the client did not publish."""
        realised = self.client.factory.realised
        own = {step.txid for step in self.steps}
        channels = {
            (realised[name].txid, place): name
            for name in self.watcher.seen
            for place, output in zip(realised[name].places, realised[name].template.outputs, strict=True)
            if output.role is Role.CHANNEL and output.owner == self.client.name
        }
        known = {
            one.txid: one.transaction for name, one in realised.items() if one.commitment and name in self.watcher.seen
        }
        return [
            transaction
            for txid, transaction in {**known, **self.seen}.items()
            if txid not in own and any((one.txid_hex, one.index) in channels for one in transaction.inputs)
        ]

    def _live_due(self, live: ChannelWatcher) -> list[tuple[str, Transaction]]:
        side = live.side
        places = [outpoint.split(":") for outpoint in side.channel.outpoints]
        unspent = self.ledger.unspent()
        open_on_chain = any(OutPoint(txid_bytes(txid), int(vout)) in unspent for txid, vout in places)
        may_close = Kind.COMMITMENT in self.client.may_publish
        if open_on_chain and may_close and side.channel.status not in (*_OVER, *_CLOSING):
            side.force_close()
        try:
            wanted = live.look()
        except InputError as error:
            self.grow_old(str(error))
            return []
        return [(f"channel: {name}", one) for name, one in wanted if may_close or name != COMMITMENT]

    def mine(self, due: Iterable[tuple[str, Transaction]]) -> bool:
        """One block of what the chain takes of this and of what others publish; False when it takes nothing."""
        own: list[tuple[str, Transaction]] = []
        block: list[Transaction] = []
        for name, transaction in (*(("", one) for one in self.others()), *due):
            tried = [one.serialized for one in (*block, transaction)]
            if transaction.txid not in {one.txid for one in block} and self.ledger.would_accept(tried).accepted:
                block.append(transaction)
                own.extend([(name, transaction)] if name else [])
        if not block:
            return False
        fees = [_fee(self.ledger, transaction) for _, transaction in own]
        height = self.ledger.mine([transaction.serialized for transaction in block]).height
        for (name, transaction), fee in zip(own, fees, strict=True):
            paid = sum(o.amount_sat for o in transaction.outputs if o.script_pubkey == self.client.payout_script)
            self.steps.append(Step(height, name, transaction.txid, transaction.vbytes, fee, paid))
        for transaction in block:
            self.learn(transaction)
        return True

    @property
    def status(self) -> str:
        """The word of its first channel that lived, once all that did are over and the leaf is on chain."""
        life = self.client.life.status
        if not self.lives or life in ("paid", "left", "active", "holding", "exiting", "waiting"):
            return life
        ended = [live.side.channel.status for live in self.lives]
        return ended[0] if set(ended) <= set(_OVER) else life


def exit_by_kit(
    kit: Kit,
    ledger: Ledger,
    *,
    vouched: bool = False,
    shown: Sequence[Transaction] = (),
    seen: Iterable[Transaction] = (),
    rules: BackupRules | None = None,
    others: Others | None = None,
    watch: Callable[[int, str], None] = lambda height, words: None,
) -> Story:
    """Leave by a kit, on a chain that this call mines.

    ``vouched``: its owner says that nothing was signed after it. ``shown``: transactions that somebody, such as the
    LSP, shows as newer. ``seen``: what is in the chain's blocks already. ``others``: who else publishes; it is asked
    before each block, and comes first in it. ``watch`` is told the height and what is done.
    Raises ``InputError`` when the kit contradicts itself or the chain holds no such factory, ``ProtocolError`` (BAK-3)
    when waiting is no way out of this factory and nobody vouches for the kit.
    """
    client = restore(kit)
    sides = tuple(live_channels(client).values())
    watcher = Watcher(client, ledger)
    lives = tuple(ChannelWatcher(side, ledger, _claim_fee(client)) for side in sides)
    client.hidden = frozenset().union(*(_replaced(client, side) for side in sides))
    age = Age.CURRENT if vouched else Age.UNKNOWN
    going = _Exit(client, ledger, rules or load_backup_rules(), watcher, lives, age, others or _nobody)
    for transaction in seen:
        going.learn(transaction)
    going.grow_old(newer_shown(client, shown))
    begun, before = ledger.height, _resting(ledger, client.payout_script)
    going.look()
    if FUNDING not in watcher.seen:
        raise InputError("chain", "does not hold the funding transaction of this factory", "CLI-4")
    begins = Kind.KICKOFF in client.may_publish
    if not begins and not _can_wait(client):
        problem = f"this factory has no alternates, so waiting is no way out, and the kit is {going.age}"
        raise ProtocolError("BAK-3", "NOT_VOUCHED", f"{problem}{': ' + going.evidence if going.evidence else ''}")
    if begins:
        watcher.deadline = begun
        if client.life.status in ("active", "holding"):
            client.live(Event.of("start_exit", client.name))
    _walk(going, watch)
    steps = tuple(going.steps)
    return Story(
        client.name,
        str(going.age),
        going.evidence,
        begun,
        ledger.height,
        going.status,
        steps,
        kit.counted.owed,
        _resting(ledger, client.payout_script) - before,
        sum(step.vbytes for step in steps),
        sum(step.fee_sat for step in steps),
    )


def _walk(going: _Exit, watch: Callable[[int, str], None]) -> None:
    """Block by block where there is something to do, until nothing is left to do or to wait for."""
    client, ledger = going.client, going.ledger
    locks, depth = client.factory.terms.locks, client.life.limits.depth
    last = max(ledger.height, locks.end) + 2 * (locks.to_self_delay + depth + len(client.factory.realised))
    idle = 0
    while ledger.height < last and going.status not in (*_DONE, *_OVER):
        if going.mine(going.due()):
            idle = 0
            for step in going.steps:
                if step.height == ledger.height:
                    watch(step.height, f"{step.name}: {step.vbytes} vB, {step.fee_sat} sat")
        else:
            # A channel's own claims wait for heights that the strategy does not know: blocks are few there.
            watched = going.others is not _nobody or bool(
                going.lives and client.life.status in ("on_chain", "settling")
            )
            wait = 1 if watched else max(going.watcher.wait(last - ledger.height), 1)
            if going.steps and ledger.height - going.steps[-1].height < depth:
                # What was published last is to become deep before anything later is waited for.
                wait = min(wait, depth)
            elif wait >= last - ledger.height:
                # Nothing will ever come: only depth is waited for.
                wait, idle = 1, idle + 1
                if idle > depth:
                    return
            watch(ledger.height, f"waits {wait} blocks")
            ledger.advance(wait)
        going.look()


def _nobody() -> Sequence[Transaction]:
    return ()


def newer_shown(client: RestoredClient, shown: Sequence[Transaction]) -> str:
    """Why the shown transactions prove that a kit is old; empty when they do not.

    One proves it when it spends, by the key path of all its signers, an output of the kit's path of tree or channel,
    and the kit does not know it: the client itself has signed it.
    """
    realised = client.factory.realised
    known = {one.txid for one in realised.values()}
    by_place = {
        (one.txid, place): (one.transaction.outputs[place], output.signers, name)
        for name, one in realised.items()
        for place, output in zip(one.places, one.template.outputs, strict=True)
        if output.role in (Role.TREE, Role.CHANNEL, Role.STOCK)
    }
    for transaction in shown:
        spent = [by_place.get((one.txid_hex, one.index)) for one in transaction.inputs]
        if transaction.txid in known or len(spent) != 1 or spent[0] is None:
            continue
        output, signers, parent = spent[0]
        if client.name not in signers or len(transaction.witnesses[0]) != 1:
            continue
        if verify_input(transaction.serialized, 0, [TxOut(output.amount_sat, output.script_pubkey)]):
            return f"a transaction that the kit does not know, {transaction.txid}, spends {parent} and is signed by all"
    return ""


def unknown_spender(
    client: RestoredClient, watcher: Watcher, seen: Mapping[str, Transaction], lives: Sequence[ChannelWatcher]
) -> str:
    """Why the chain proves that a kit is old; empty when it does not.

    An output of the client's path that only all its signers together can spend is gone, and no transaction of the kit
    has taken it.
    """
    unspent = watcher.ledger.unspent()
    realised = client.factory.realised
    taken = {spend.outpoint for name in watcher.seen for spend in realised[name].template.spends}
    for name in watcher.seen:
        one = realised[name]
        for index, (place, output) in enumerate(zip(one.places, one.template.outputs, strict=True)):
            if output.role not in (Role.TREE, Role.CHANNEL) or client.name not in output.signers or output.lock_path:
                continue
            if OutPoint(txid_bytes(one.txid), place) in unspent or one.template.outpoint(index) in taken:
                continue
            if any(_is_own_channel(live, one.txid, place) for live in lives):
                continue
            spenders = [t.txid for t in seen.values() if (one.txid, place) in _points(t)]
            return f"{name} is spent on chain by {''.join(spenders) or 'a transaction'} that the kit does not know"
    return ""


def _points(transaction: Transaction) -> set[tuple[str, int]]:
    return {(one.txid_hex, one.index) for one in transaction.inputs}


def _is_own_channel(live: ChannelWatcher, txid: str, vout: int) -> bool:
    """Whether the live channel's own records are asked about this output (CHN-52)."""
    return f"{txid}:{vout}" in {live.side.terms.outpoint, *live.side.channel.outpoints}


def _replaced(client: RestoredClient, side: ChannelActor) -> frozenset[str]:
    """First commitments that the live channel's records stand for, with their sweeps."""
    names = set()
    for name, one in client.factory.realised.items():
        spent = one.transaction.inputs[0]
        outpoint = f"{spent.txid_hex}:{spent.index}"
        if one.template.kind is Kind.COMMITMENT and outpoint in {side.terms.outpoint, *side.channel.outpoints}:
            names |= {name, f"sweep:{name}"}
    return frozenset(names)


def _can_wait(client: RestoredClient) -> bool:
    """Whether the end pays who waits: an alternate hangs on the funding output (D-11, D-12)."""
    kinds = {client.factory.templates[name].kind for name in client.held}
    return Kind.ALTERNATE in kinds


def _claim_fee(client: RestoredClient) -> int:
    terms = client.factory.terms
    return terms.economy.feerate * lock_path_vbytes(terms.locks.to_self_delay)


def _resting(ledger: Ledger, script: bytes) -> int:
    return sum(coin.output.amount for coin in ledger.unspent().values() if coin.output.script == script)


def _fee(ledger: Ledger, transaction: Transaction) -> int:
    """What a transaction on confirmed inputs pays (sat)."""
    unspent = ledger.unspent()
    points = [OutPoint(txid_bytes(one.txid_hex), one.index) for one in transaction.inputs]
    brought = sum(unspent[point].output.amount for point in points if point in unspent)
    return brought - sum(output.amount_sat for output in transaction.outputs)
