"""A watchtower without I/O: registrations and blocks go in; acknowledgements and transactions come out.

Laws of this module:

* What may be done is decided by ``spec/machines/watchtower.toml``, which entry goes first by ``spec/strategy.toml``.
* It holds finished transactions and nothing else: no key, secret or nonce of anybody. A key of its own, with which it
  may pay for a child, is handed to the process and never to the store.
* What is registered is durable before it is acknowledged. After a restart it knows what its file holds.
* Blocks are taken in their order; a block on an earlier one is a reorg, and what it replaced is undone.
* A message that cannot be decoded, or that the table refuses, changes nothing and is reported.

**How it pays.** Tree transactions and links pay the fee that was agreed when they were signed and carry an anchor:
when blocks ask for more, the tower adds a child on the anchor, from a coin of its own (what it is paid for that is
between it and its client). Poison, alternates and penalties carry no anchor: they pay from what they take. A client may
register a penalty at several feerates, all of them to its own script; the tower takes the cheapest that suffices.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from bitcoin.core import CBlock, b2lx
from bitcoin.core.serialize import SerializationError

from superscalar_ref.bitcoin.locks import relative_lock_blocks
from superscalar_ref.bitcoin.script import P2A
from superscalar_ref.bitcoin.transaction import Transaction, from_bytes, from_hex
from superscalar_ref.chain.fees import Offer
from superscalar_ref.chain.interface import TxOut
from superscalar_ref.errors import InputError, MessageError, SuperscalarError
from superscalar_ref.machine.step import BoundMachine, step
from superscalar_ref.machine.types import Action, Event
from superscalar_ref.parties import messages as m
from superscalar_ref.parties import tower_messages as t
from superscalar_ref.parties.actor import Outbox
from superscalar_ref.parties.bumper import Bumper
from superscalar_ref.parties.tower_store import KeptEntry, TowerStore
from superscalar_ref.protocol.strategy import Strategy, load_strategy
from superscalar_ref.protocol.transaction import Kind
from superscalar_ref.protocol.watchtower import NOT_THERE, Case, Health, Sight, look, watchtower_machine
from superscalar_ref.realise.book import CoinOutput
from superscalar_ref.signing.keys import Randomness, SecretKey, system_randomness

MEMORY_BLOCKS = 2016
"""For so many blocks the tower remembers what was in them: what is registered later than that, for an output that is
on chain already, is not found (blocks)."""
FORGET_AFTER = 144
"""What is older is dropped once it is so many blocks too old (blocks)."""
CHAIN = "chain"
"""Who sends blocks."""


@dataclass(frozen=True)
class Purse:
    """With what a tower pays for children: its own coins, under one key."""

    key: SecretKey
    coins: tuple[CoinOutput, ...]
    payout_script: bytes


@dataclass(frozen=True)
class PurseForm:
    """A purse as JSON, in a file of its own."""

    key: m.Hash
    """The secret key of its coins (hex)."""
    script: m.Script
    """Where the change goes."""
    coins: tuple[m.CoinForm, ...]


@dataclass(frozen=True)
class _Checked:
    """A registered transaction, looked at."""

    transaction: Transaction
    outpoint: str
    event: Event


class Tower:
    """One watchtower, for any number of clients."""

    def __init__(
        self,
        name: str,
        store: TowerStore,
        depth: int,
        purse: Purse | None = None,
        randomness: Randomness = system_randomness,
        machine: BoundMachine[Case] | None = None,
        strategy: Strategy | None = None,
    ) -> None:
        """A tower to which a spend ``depth`` blocks deep is final; when ``store`` holds one, that after a restart."""
        self.name = name
        self.store = store
        self.depth = depth
        self._bumper: Bumper | None = None
        if purse is not None:
            coins = list(purse.coins)
            self._bumper = Bumper(purse.key, purse.payout_script, coins, "tower", randomness=randomness)
        self.machine = machine or watchtower_machine()
        self.strategy = strategy or load_strategy()
        self.feerate = 0
        """What blocks ask now (sat/vB); 0: nobody has said."""
        self.tip = 0
        self.outbox = Outbox()
        self._recover()

    # -- what it knows -------------------------------------------------------------------------------------------------

    @property
    def height(self) -> int:
        """Height of the last block that it has seen; 0 before the first."""
        return next(reversed(self._blocks), 0)

    @property
    def _oldest(self) -> int:
        """Height of the oldest block that it remembers; 0 before the first."""
        return next(iter(self._blocks), 0)

    def cases(self, client: str | None = None) -> list[Case]:
        """The outputs that it watches, for one client or for all."""
        return [case for (who, _), case in sorted(self._cases.items()) if client in (None, who)]

    def health(self) -> Health:
        """What the tower says of itself."""
        cases: dict[str, int] = {}
        for case in self._cases.values():
            cases[case.status] = cases.get(case.status, 0) + 1
        waiting = sum(case.status == "triggered" for case in self._cases.values())
        return Health(self.height, max(self.tip, self.height), cases, len(self._raw), waiting)

    def taken(self, client: str) -> tuple[str, ...]:
        """Outputs of revoked commitments that something else than this client's penalties has spent.

        What did may have an output on which no penalty could be finished: the client has its delay to look (Q-CHN-5).
        """
        cases = (case for case in self.cases(client) if any(entry.kind == Kind.PENALTY for entry in case.entries))
        return tuple(
            case.outpoint
            for case in cases
            if case.outpoint in self._spends and not any(entry.name in self._seen for entry in case.entries)
        )

    def _recover(self) -> None:
        place = str(self.store.path)
        self._cases: dict[tuple[str, str], Case] = {}
        for body in self.store.cases():
            # A file may be opened under another name.
            case = replace(m.decode_plain(Case, body, place), tower=self.name)
            self._cases[case.client, case.outpoint] = case
        self._raw = {(entry.client, entry.txid): entry for entry in self.store.entries()}
        self._blocks, self._seen, self._spends = self.store.blocks(), self.store.seen(), self.store.spends()
        self._out: dict[str, Offer] = {}

    # -- messages ------------------------------------------------------------------------------------------------------

    def receive(self, sender: str, raw: bytes) -> Outbox:
        """Take one message. Nothing is raised: what cannot be taken is an alert."""
        self.outbox = Outbox()
        try:
            message = t.decode(raw, sender)
        except MessageError as error:
            self.outbox.alerts.append(f"{self.name}: {error}")
            return self.outbox
        try:
            self._take(sender, message)
        except SuperscalarError as error:
            # Half of a turn may be in memory: what the file holds is what counts.
            self.store.rollback()
            self._recover()
            self.outbox = Outbox(alerts=[f"{self.name}: {error}"])
        return self.outbox

    def _take(self, sender: str, message: t.TowerMessage) -> None:
        match message:
            case t.Register():
                self._register(sender, message.entries)
            case t.AskHealth():
                known = self.health()
                whole = known.height, known.tip, known.lag, known.cases, known.entries, known.waiting
                self._say(sender, t.HealthReport(*whole, self.taken(sender)))
            case t.Block() | t.Tip() | t.Feerate() if sender != CHAIN:
                raise MessageError(f"message of {sender}", "only the chain says what is on chain", "message-form")
            case t.Block():
                self._see_block(message)
            case t.Tip():
                self.tip = message.height
            case t.Feerate():
                self.feerate = message.sat_per_vbyte
            case _:
                raise MessageError(
                    f"message of {sender}", f"{type(message).__name__} is not for a tower", "message-form"
                )

    def _say(self, to: str, message: t.TowerMessage) -> None:
        self.outbox.messages.append((to, t.encode(message)))

    # -- registering ---------------------------------------------------------------------------------------------------

    def _register(self, client: str, forms: Iterable[t.EntryForm]) -> None:
        kept: list[str] = []
        refused: list[t.NotRegistered] = []
        for number, form in enumerate(forms):
            name = f"entry {number}"
            try:
                checked = self._checked(client, form)
                name = checked.transaction.txid
                case = self._cases.get((client, checked.outpoint)) or Case(
                    "watching", self.name, client, checked.outpoint, self.depth
                )
                after, actions = self._step(case, checked.event)
            except SuperscalarError as error:
                refused.append(t.NotRegistered(name, str(error)))
                continue
            self.store.put_entry(self._entry_of(client, form, checked))
            self._put(after)
            kept += [str(action["entry"]) for action in actions if action.kind == "send"]
            self._raw[client, name] = self._entry_of(client, form, checked)
        self.store.commit()
        if kept:
            self._say(client, t.Registered(tuple(kept)))
        for one in refused:
            self._say(client, one)
            self.outbox.alerts.append(f"{self.name}: {client}: {one.txid}: {one.reason}")
        self._look(client)
        self._raise()

    def _checked(self, client: str, form: t.EntryForm) -> _Checked:
        """A registered transaction as the table wants to know it. Raises ``InputError`` when it cannot be read."""
        transaction = from_hex(form.raw)
        first = transaction.inputs[0]
        outpoint = f"{first.txid_hex}:{first.index}"
        spent = TxOut(form.amount, bytes.fromhex(form.script))
        event = Event.of(
            "register",
            client,
            entry=transaction.txid,
            kind=form.kind,
            outpoint=outpoint,
            relative_lock=relative_lock_blocks(first.sequence) or 0,
            lock_time=transaction.lock_time,
            finished=_is_finished(transaction, spent),
        )
        return _Checked(transaction, outpoint, event)

    @staticmethod
    def _entry_of(client: str, form: t.EntryForm, checked: _Checked) -> KeptEntry:
        return KeptEntry(client, checked.transaction.txid, form.kind, checked.transaction.serialized, form.amount)

    # -- the chain -----------------------------------------------------------------------------------------------------

    def _see_block(self, block: t.Block) -> None:
        """Take a block. Raises ``InputError`` when it follows none that is known."""
        name, previous, transactions = _parse_block(block)
        if self._blocks:
            known = self._blocks.get(block.height - 1)
            if known is not None and known[0] != previous:
                raise InputError(f"block {block.height}", "does not follow the block before it", "tower-chain")
            if known is None and self._blocks.get(block.height, ("", ""))[1] != previous:
                gap = f"follows none that is known; the last one is {self.height}"
                raise InputError(f"block {block.height}", gap, "tower-chain")
        if self._blocks.get(block.height, ("", ""))[0] == name and self.height == block.height:
            return  # Told twice.
        self._undo_from(block.height)
        # In the order of heights: an older block is never put after a newer one.
        self._blocks[block.height] = (name, previous)
        self.store.put_block(block.height, name, previous)
        for txid, inputs in transactions:
            self._seen[txid] = block.height
            self.store.put_seen(txid, block.height)
            for outpoint in inputs:
                self._spends[outpoint] = block.height
                self.store.put_spend(outpoint, block.height)
        self._forget_below(block.height - MEMORY_BLOCKS)
        self.store.commit()
        self._out = {}
        for client in sorted({client for client, _ in self._cases}):
            self._look(client)
        self._raise()

    def _undo_from(self, height: int) -> None:
        if height > self.height:
            return
        self.store.undo_from(height)
        self._blocks = {at: known for at, known in self._blocks.items() if at < height}
        self._seen = {txid: at for txid, at in self._seen.items() if at < height}
        self._spends = {place: at for place, at in self._spends.items() if at < height}

    def _forget_below(self, height: int) -> None:
        # Not for every block: it looks at all that is remembered.
        if self._oldest > height - FORGET_AFTER:
            return
        if self._bumper is not None:
            seen, spends = self._seen, self._spends
            self._bumper.forget(
                lambda txid: seen.get(txid, height) < height,
                lambda txid, index: spends.get(f"{txid}:{index}", height) < height,
            )
        self.store.forget_below(height)
        self._blocks = {at: known for at, known in self._blocks.items() if at >= height}
        self._seen = {txid: at for txid, at in self._seen.items() if at >= height}
        self._spends = {place: at for place, at in self._spends.items() if at >= height}

    def _look(self, client: str) -> None:
        """Let the table take what is on chain for each of a client's outputs, then publish what it lets."""
        known = self.cases(client)
        after, answers = look(self.machine, self.strategy, known, self._sight, self.height, self._adequate)
        for before, now in zip(known, after, strict=True):
            if now != before:
                self._put(now)
        # What was decided is durable before anything leaves.
        self.store.commit()
        for txid in answers:
            self._broadcast(client, txid)

    def _sight(self, case: Case) -> Sight:
        """Where a case's output is confirmed, and where it is spent."""
        found = self._seen.get(case.outpoint.partition(":")[0])
        if found is None and case.confirmed != NOT_THERE and case.confirmed < self._oldest:
            found = case.confirmed  # It was in a block that is older than what is remembered.
        return Sight(found, self._spends.get(case.outpoint))

    # -- publishing ----------------------------------------------------------------------------------------------------

    def _adequate(self, case: Case, name: str) -> str:
        """Of the entries that are like ``name`` but for their fee, the cheapest that pays what blocks ask."""
        entry = case.entry(name)
        assert entry is not None
        alike = [replace(entry, name=other.name) for other in case.entries if replace(entry, name=other.name) == other]
        rates = {other.name: self._feerate_of(case.client, other.name) for other in alike}
        enough = {txid: rate for txid, rate in rates.items() if rate >= self.feerate}
        pool = enough or rates
        best = min(pool.values()) if enough else max(pool.values())
        return min(txid for txid, rate in pool.items() if rate == best)

    def _fee_of(self, kept: KeptEntry, transaction: Transaction) -> int:
        return kept.amount - sum(output.amount_sat for output in transaction.outputs)

    def _feerate_of(self, client: str, txid: str) -> float:
        kept = self._raw[client, txid]
        transaction = from_bytes(kept.raw)
        return self._fee_of(kept, transaction) / transaction.vbytes

    def _broadcast(self, client: str, txid: str) -> None:
        kept = self._raw[client, txid]
        transaction = from_bytes(kept.raw)
        self.outbox.broadcasts.append(transaction)
        self._out[txid] = Offer(transaction, self._fee_of(kept, transaction))

    def _raise(self) -> None:
        """Add a child to what this turn broadcast and pays less than blocks ask, from a coin (STR-31, STR-32)."""
        offers = tuple(self._out.values())
        children: Mapping[str, Offer] = {}
        if self._bumper is not None:
            self._bumper.see(lambda txid: txid in self._seen, self._is_there)
            children = self._bumper.children(offers, self.feerate)
        for transaction in tuple(self.outbox.broadcasts):
            offer = self._out[transaction.txid]
            if transaction.txid in children:
                self.outbox.broadcasts.append(children[transaction.txid].transaction)
            elif not offer.pays(self.feerate) and _has_anchor(transaction):
                self.outbox.alerts.append(
                    f"{self.name}: no coin of its own to pay for {transaction.txid} at {self.feerate} sat/vB"
                )

    def _is_there(self, txid: str, index: int) -> bool:
        """Whether a coin can be spent: it is nobody's input, and no child that a block has not held made it."""
        assert self._bumper is not None
        return f"{txid}:{index}" not in self._spends and (txid in self._seen or txid not in self._bumper.made)

    # -- the table -----------------------------------------------------------------------------------------------------

    def _step(self, case: Case, event: Event) -> tuple[Case, tuple[Action, ...]]:
        stepped = step(self.machine, case, event)
        return stepped.context, stepped.actions

    def _put(self, case: Case) -> None:
        self._cases[case.client, case.outpoint] = case
        self.store.put_case(case.client, case.outpoint, m.text_of(case))


def _has_anchor(transaction: Transaction) -> bool:
    return any(output.script_pubkey == P2A for output in transaction.outputs)


def _is_finished(transaction: Transaction, spent: TxOut) -> bool:
    """Whether a transaction has one input, signed by key path, validly for the output that it spends."""
    from superscalar_ref.chain.kernel import verify_input  # noqa: PLC0415  # Core's code takes a while to load

    by_key_path = len(transaction.inputs) == 1 and len(transaction.witnesses[0]) == 1
    return by_key_path and verify_input(transaction.serialized, 0, (spent,))


def _parse_block(block: t.Block) -> tuple[str, str, list[tuple[str, list[str]]]]:
    """A block's hash, its parent's, and for each transaction its txid and the outputs that it spends.

    Raises ``InputError`` when it is no block.
    """
    try:
        parsed = CBlock.deserialize(bytes.fromhex(block.raw))
    except (SerializationError, ValueError, IndexError) as error:
        raise InputError(f"block {block.height}", f"cannot be read: {error}", "block format") from error
    transactions = [
        (b2lx(one.GetTxid()), [f"{b2lx(spent.prevout.hash)}:{spent.prevout.n}" for spent in one.vin])
        for one in parsed.vtx
    ]
    return b2lx(parsed.GetHash()), b2lx(parsed.hashPrevBlock), transactions


def blocks_of(raw_blocks: Iterable[bytes], first: int = 1) -> list[bytes]:
    """Messages for a tower from raw blocks, the first of which has height ``first``."""
    return [t.encode(t.Block(height, raw.hex())) for height, raw in enumerate(raw_blocks, start=first)]
