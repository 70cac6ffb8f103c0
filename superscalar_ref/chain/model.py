"""The ledger of the rules (``protocol.ledger``) behind the interface of a chain that takes bytes.

A ``Book`` says which template each serialised transaction carries out and who has signed it; it refuses bytes that
are not what their template says. So a path can be run on both ledgers, and what the checker explored is what
Bitcoin Core's code judged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from bitcoin.core import CTransaction
from bitcoin.core.serialize import SerializationError

from superscalar_ref.chain.interface import (
    Mined,
    OutPoint,
    TxOut,
    Unspent,
    Verdict,
    check_reorg,
)
from superscalar_ref.errors import ChainError, InputError
from superscalar_ref.protocol import ledger as rules
from superscalar_ref.protocol.transaction import Outpoint, Output, Template

_BIP68_OFF = 1 << 31
_BIP68_SECONDS = 1 << 22
_BIP68_MASK = 0xFFFF
_FINAL = 0xFFFFFFFF
_LOCK_TIME_IS_SECONDS = 500_000_000
_COMMITMENT_LOCK_TIME = 0x20
"""Upper byte of a commitment's lock time (BOLT 3): seconds of 1987, which hold no block back."""


@dataclass(frozen=True)
class Known:
    """What a serialised transaction carries out, and who has signed it (in just these bytes)."""

    template: Template
    signed_by: frozenset[str]


class Book:
    """Which template each serialised transaction carries out. Entries are added, never changed."""

    def __init__(self) -> None:
        self._known: dict[bytes, Known] = {}
        self._names: dict[bytes, str] = {}
        self._txids: dict[str, bytes] = {}
        self._outputs: dict[OutPoint, TxOut] = {}
        self._funds: dict[OutPoint, Output] = {}
        self._places: dict[bytes, tuple[int, ...]] = {}

    def fund(self, point: OutPoint, outpoint: Outpoint, output: Output, script: bytes) -> None:
        """Name an output that is on the chain before the story begins.

        All such outputs of one transaction name that transaction alike. Raises ``ValueError`` otherwise.
        """
        if point.index != outpoint.index:
            raise ValueError(f"output {point} cannot be called '{outpoint.transaction}:{outpoint.index}'")
        self._name(point.txid, outpoint.transaction)
        self._funds[point] = output
        self._outputs[point] = TxOut(output.amount, script)

    def add(
        self,
        transaction: bytes,
        template: Template,
        signed_by: frozenset[str] | None = None,
        places: Sequence[int] | None = None,
    ) -> bytes:
        """Enter a transaction and return its txid; ``signed_by`` is None when ``template.signers`` all have signed.

        ``places`` gives, for each output of the template, its index in the bytes: those of a commitment are in the
        order of BIP-69. None: they are in the template's order. Raises ``InputError`` naming the first field in which
        the bytes are not what the template says, ``ValueError`` when ``places`` is no such order, or when the
        template's name or the transaction stands for something else already.
        """
        decoded = _decode(transaction)
        order = tuple(range(len(template.outputs))) if places is None else tuple(places)
        if sorted(order) != list(range(len(template.outputs))):
            raise ValueError(f"places {order} are no order of the {len(template.outputs)} outputs of '{template.name}'")
        problem = self._difference(decoded, template, order)
        if problem:
            raise InputError(f"transaction '{template.name}'", problem, "bytes carry out their template")
        txid = bytes(decoded.GetTxid())
        if self._places.get(txid, order) != order:
            raise ValueError(f"transaction '{template.name}' is in the book with its outputs in another order")
        self._name(txid, template.name)
        self._places[txid] = order
        known = Known(template, template.signers if signed_by is None else signed_by)
        if self._known.setdefault(transaction, known) != known:
            raise ValueError(f"transaction '{template.name}' is in the book with another meaning")
        for index, output in enumerate(decoded.vout):
            self._outputs[OutPoint(txid, index)] = TxOut(output.nValue, bytes(output.scriptPubKey))
        return txid

    def read(self, transaction: bytes, like: Template, name: str) -> Template:
        """The template ``name`` of altered bytes: inputs, locks and amounts as they say, the rest as ``like``.

        Raises ``InputError`` when they count time in seconds, or have more inputs or outputs than ``like``.
        """
        decoded = _decode(transaction)
        if len(decoded.vin) > len(like.spends) or len(decoded.vout) > len(like.outputs):
            raise InputError(f"transaction '{name}'", f"is larger than '{like.name}'", "altered bytes")
        spends = tuple(
            replace(spend, outpoint=self._outpoint(item.prevout), relative_lock=_relative_lock(decoded, index))
            for index, (spend, item) in enumerate(zip(like.spends, decoded.vin, strict=False))
        )
        outputs = tuple(
            replace(output, amount=item.nValue) for output, item in zip(like.outputs, decoded.vout, strict=False)
        )
        return replace(like, name=name, spends=spends, outputs=outputs, lock_time=_lock_time(decoded))

    def describe(self, transaction: bytes) -> Known:
        """What these bytes carry out. Raises ``InputError`` when they were never entered."""
        known = self._known.get(transaction)
        if known is None:
            raise InputError(f"transaction of {len(transaction)} bytes", "is not in the book", "every path")
        return known

    def name(self, txid: bytes) -> str | None:
        """The name of a transaction, or None when the book does not have it."""
        return self._names.get(txid)

    def point(self, outpoint: Outpoint) -> OutPoint:
        """The outpoint, as an input names it, of a transaction in the book."""
        txid = self._txids[outpoint.transaction]
        places = self._places.get(txid)
        return OutPoint(txid, places[outpoint.index] if places else outpoint.index)

    def output(self, point: OutPoint) -> TxOut:
        """The output, as its transaction has it, of a transaction in the book."""
        return self._outputs[point]

    def started(self, unspent: Mapping[OutPoint, Unspent], height: int) -> rules.Ledger:
        """The ledger of the rules at ``height`` (blocks) with those of ``unspent`` that ``fund`` has named."""
        coins = {
            Outpoint(self._names[point.txid], point.index): rules.Coin(self._funds[point], coin.height)
            for point, coin in unspent.items()
            if point in self._funds
        }
        return rules.Ledger(height, MappingProxyType(coins))

    def _name(self, txid: bytes, name: str) -> None:
        if self._names.get(txid, name) != name or self._txids.get(name, txid) != txid:
            raise ValueError(f"'{name}' and transaction {txid[::-1].hex()} are paired with others already")
        self._names[txid] = name
        self._txids[name] = txid

    def _outpoint(self, prevout: object) -> Outpoint:
        """The name of an outpoint; one outside the book is named by its txid, so that nothing else has its name."""
        point = OutPoint(prevout.hash, prevout.n)  # type: ignore[attr-defined]
        places = self._places.get(point.txid, ())
        index = places.index(point.index) if point.index in places else point.index
        return Outpoint(self._names.get(point.txid, point.txid[::-1].hex()), index)

    def _difference(self, decoded: CTransaction, template: Template, places: tuple[int, ...]) -> str:
        """The first field in which the bytes are not what the template says; empty when they are."""
        counts = (len(decoded.vin), len(decoded.vout))
        if counts != (len(template.spends), len(template.outputs)):
            wanted = f"{len(template.spends)} inputs and {len(template.outputs)} outputs"
            return f"has {counts[0]} inputs and {counts[1]} outputs, not {wanted}"
        for index, (spend, item) in enumerate(zip(template.spends, decoded.vin, strict=True)):
            outpoint, lock = self._outpoint(item.prevout), _relative_lock(decoded, index)
            if outpoint != spend.outpoint:
                return f"input {index} spends {outpoint}, not {spend.outpoint}"
            if lock != spend.relative_lock:
                return f"input {index} waits {lock} blocks, not {spend.relative_lock}"
        for index, (output, place) in enumerate(zip(template.outputs, places, strict=True)):
            paid = decoded.vout[place].nValue
            if paid != output.amount:
                return f"output {index} pays {paid} sat, not {output.amount}"
        if _lock_time(decoded) != template.lock_time:
            return f"has lock time {_lock_time(decoded)}, not {template.lock_time}"
        return ""


class ModelLedger:
    """The rules as a chain. What was is kept, so a reorg is going back to it."""

    def __init__(self, book: Book, start: rules.Ledger) -> None:
        """A chain that begins with ``start``, whose transactions are named by ``book``."""
        self.book = book
        self._past = [start]

    @property
    def now(self) -> rules.Ledger:
        """The ledger of the rules after the last block."""
        return self._past[-1]

    @property
    def height(self) -> int:
        """Height of the last block."""
        return self.now.height

    def mine(self, transactions: Sequence[bytes] = ()) -> Mined:
        """Add one block; see ``Ledger.mine``. Its hash is empty."""
        self._past.append(self._after(self.now, transactions))
        names = [self.book.describe(raw).template.name for raw in transactions]
        return Mined(self.height, b"", tuple(self.book.point(Outpoint(name, 0)).txid for name in names))

    def advance(self, blocks: int) -> None:
        """Add ``blocks`` empty blocks. Raises ``ValueError`` when negative."""
        now = self.now
        if blocks < 0:
            raise ValueError(f"a chain cannot advance by {blocks} blocks")
        self._past.extend(rules.advance(now, count) for count in range(1, blocks + 1))

    def would_accept(self, transactions: Sequence[bytes]) -> Verdict:
        """What ``mine`` would say of these transactions; nothing changes."""
        try:
            self._after(self.now, transactions)
        except ChainError as refusal:
            return Verdict(self.height + 1, refusal.reason)
        return Verdict(self.height + 1, "valid")

    def confirmation_height(self, txid: bytes) -> int | None:
        """The height of the block that holds this transaction, or None (also for what was there at the start)."""
        name = self.book.name(txid)
        return None if name is None else self.now.confirmed.get(name)

    def unspent(self) -> Mapping[OutPoint, Unspent]:
        """Every output that may still be spent: amount and height by the rules, script by the book."""
        found = {}
        for outpoint, coin in self.now.unspent.items():
            point = self.book.point(outpoint)
            script = self.book.output(point).script
            found[point] = Unspent(TxOut(coin.output.amount, script), coin.height)
        return found

    def reorg(self, depth: int, branch: Sequence[Sequence[bytes]] = ()) -> None:
        """Replace the last ``depth`` blocks by ``depth + 1`` others; see ``Ledger.reorg``."""
        contents = check_reorg(depth, len(self._past) - 1, branch)
        kept = self._past[: len(self._past) - depth]
        for transactions in contents:
            kept.append(self._after(kept[-1], transactions))
        self._past = kept

    def fork(self) -> ModelLedger:
        """An independent ledger with the same past and the same book."""
        twin = ModelLedger(self.book, self._past[0])
        twin._past = list(self._past)
        return twin

    def close(self) -> None:
        """Nothing is held outside Python's memory."""

    def _after(self, ledger: rules.Ledger, transactions: Sequence[bytes]) -> rules.Ledger:
        known = [self.book.describe(raw) for raw in transactions]
        return rules.mine(ledger, [item.template for item in known], [item.signed_by for item in known])


def _decode(transaction: bytes) -> CTransaction:
    try:
        return CTransaction.deserialize(transaction)
    except (SerializationError, ValueError):
        raise InputError("transaction", "cannot be decoded", "BIP-144") from None


def _relative_lock(decoded: CTransaction, index: int) -> int | None:
    """What an input's sequence makes it wait, in blocks (BIP-68); None when nothing."""
    sequence = decoded.vin[index].nSequence
    if decoded.nVersion < 2 or sequence & _BIP68_OFF:
        return None
    if sequence & _BIP68_SECONDS:
        raise InputError(f"input {index}", "waits for seconds, not blocks", "BIP-68")
    return int(sequence & _BIP68_MASK)


def _lock_time(decoded: CTransaction) -> int:
    """The height above which a transaction is valid; 0 when every input switches that off, and for a commitment."""
    if all(item.nSequence == _FINAL for item in decoded.vin):
        return 0
    if decoded.nLockTime >> 24 == _COMMITMENT_LOCK_TIME:
        return 0
    if decoded.nLockTime >= _LOCK_TIME_IS_SECONDS:
        raise InputError("lock time", "counts seconds, not blocks", "BIP-65")
    return int(decoded.nLockTime)
