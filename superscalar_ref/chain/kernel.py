"""A regtest chain in Bitcoin Core's own consensus code: libbitcoinkernel, through py-bitcoinkernel.

This is the one module that knows ``pbk``. What it hides, all measured on 0.1.0a5:

* ``process_block`` returns True for a refused block too, or raises without a reason: the verdict is the tip, and the
  reason is in the log, so one connection to the log serves the whole process.
* ``Transaction(data)`` ignores what follows the transaction: a round trip finds it.
* Regtest re-checks its whole block index with each block, so a block costs more the higher the chain is, and much
  more when the index holds many refused ones: after ``_MANY_REFUSED`` of them the chain is built anew.
* The databases live in memory, but blocks are files: in a temporary directory that dies with the ledger.
"""

from __future__ import annotations

import hashlib
import re
import struct
import tempfile
import threading
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import pbk
from bitcoin.core import CBlock, CTransaction

from superscalar_ref.chain.interface import (
    VALID,
    Mined,
    OutPoint,
    TxOut,
    Unspent,
    Verdict,
    check_reorg,
)
from superscalar_ref.errors import ChainError, InputError

COINBASE_MATURITY = 100
"""Blocks until a coinbase may be spent (Bitcoin Core, ``consensus.h``)."""
SUBSIDY = 50 * 100_000_000
"""What the coinbase of an early regtest block may pay (sat); it halves each 150 blocks."""
SUBSIDY_BLOCKS = 149
"""The last block (height) with the full subsidy."""
MAX_MONEY = 21_000_000 * 100_000_000
"""The largest amount that Bitcoin Core takes for money (sat)."""

_GENESIS_TIME = 1_296_688_602
_SECONDS_A_BLOCK = 600
_BLOCK_VERSION = 0x20000000
_REGTEST_BITS = 0x207FFFFF
_REGTEST_TARGET = 0x7FFFFF << (8 * 29)
_NO_HASH = bytes(32)
_UNSPENDABLE = b"\x6a"
_COMMITMENT_HEADER = bytes.fromhex("6a24aa21a9ed")
_MANY_REFUSED = 250
_REFUSAL = re.compile(r"Block validation error: (?P<block>.*)|AcceptBlock FAILED \((?P<accept>.*)\)")


@dataclass(frozen=True)
class _Transaction:
    """A transaction as a block needs it."""

    raw: bytes
    txid: bytes
    wtxid: bytes


@dataclass(frozen=True)
class _Block:
    """A block that we built; ``coinbase`` is without witness, ``transactions`` without coinbase."""

    raw: bytes
    hash: bytes
    height: int
    coinbase: _Transaction
    transactions: tuple[_Transaction, ...]


class _Log:
    """Core's log: the only place where it says why it refuses a block. One for the process, one block at a time."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._reasons: list[str] = []
        self._connection: pbk.LoggingConnection | None = None

    def listen(self) -> None:
        """Forget what was said, and hear what is said from now on."""
        if self._connection is None:
            self._connection = pbk.LoggingConnection(self._hear)
        self._reasons.clear()

    def first_reason(self) -> str:
        """The first refusal since ``listen``; empty when there was none."""
        return self._reasons[0] if self._reasons else ""

    def _hear(self, message: str) -> None:
        found = _REFUSAL.search(message)
        if found is not None:
            self._reasons.append((found["block"] or found["accept"] or "").strip())


_LOG = _Log()


class _Chainstate:
    """Core's objects for one chain, and the directory that holds its block files."""

    def __init__(self) -> None:
        self.directory = tempfile.TemporaryDirectory(prefix="superscalar-kernel-")
        context = pbk.make_context(pbk.ChainType.REGTEST)
        options = pbk.ChainstateManagerOptions(context, self.directory.name, f"{self.directory.name}/blocks")
        options.update_block_tree_db_in_memory(True)
        options.update_chainstate_db_in_memory(True)
        options.set_worker_threads_num(0)
        self._manager = pbk.ChainstateManager(options)
        self._chain = self._manager.get_active_chain()
        self.genesis = self._tip()
        self.refused = 0
        """How many blocks its index holds that never joined the chain."""
        self.close = weakref.finalize(self, _dispose, self._manager, context, self.directory)

    def process(self, blocks: Sequence[_Block]) -> None:
        """Hand blocks to Core; raise ``ChainError`` unless the last one is the tip after that."""
        if not blocks:
            return
        with _LOG.lock:
            _LOG.listen()
            for block in blocks:
                try:
                    self._manager.process_block(pbk.Block(block.raw))
                except pbk.ProcessBlockException:
                    break
            reason = _LOG.first_reason()
        if self._tip() != blocks[-1].hash:
            self.refused += len(blocks)
            raise ChainError(reason or "refused without a word", block.height)

    def _tip(self) -> bytes:
        return bytes(self._chain.block_tree_entries[self._chain.height].block_hash)


class KernelLedger:
    """A regtest chain whose every block Bitcoin Core's code has judged. Same calls, same blocks: no randomness."""

    def __init__(self) -> None:
        """An empty chain: the genesis block alone. Use ``start`` for one with money on it."""
        self._core = _Chainstate()
        self._blocks: list[_Block] = []
        self._start = 0
        self._built = 0
        self._funds: tuple[OutPoint, ...] = ()
        self._unspent: dict[OutPoint, Unspent] = {}
        self._counted = 0
        self._heights: dict[bytes, int] = {}

    @classmethod
    def start(cls, outputs: Sequence[TxOut] = (), height: int | None = None) -> KernelLedger:
        """A chain whose early coinbases pay ``outputs``, each mature and spendable in the next block.

        ``height`` (blocks) is the height of the tip; by default the least at which all of them are spendable. Their
        outpoints are ``funds``, in the same order. Raises ``ValueError`` when they cannot be paid, or not by then.
        """
        groups = _group(outputs)
        least = COINBASE_MATURITY + max(len(groups), 1) - 1
        tip = least if height is None else height
        if tip < least:
            raise ValueError(f"height {tip}: these outputs are spendable from height {least} on")
        ledger = cls()
        funds: list[OutPoint] = []
        for group in groups:
            block = ledger._build(ledger._tip, ledger.height + 1, (), group)
            ledger._submit(block)
            funds.extend(OutPoint(block.coinbase.txid, index) for index in range(len(group)))
        ledger.advance(tip - ledger.height)
        ledger._funds = tuple(funds)
        ledger._start = tip
        return ledger

    @classmethod
    def load(cls, blocks: Sequence[bytes]) -> KernelLedger:
        """A chain of serialised blocks from height 1 on, such as ``raw_blocks`` gives, each judged by Core's code.

        Raises ``ChainError`` with the height of the first one that is refused, or that cannot be read.
        """
        ledger = cls()
        for height, raw in enumerate(blocks, start=1):
            try:
                pbk.Block(raw)
            except RuntimeError:
                raise ChainError("Block decode failed", height) from None
            nothing = _Transaction(b"", b"", _NO_HASH)
            ledger._process((_Block(raw, _hash256(raw[:80]), height, nothing, ()),))
            # Only now: what Core took is well formed.
            coinbase, *others = CBlock.deserialize(raw).vtx
            bare = coinbase.serialize(params={"include_witness": False})
            transactions = tuple(_Transaction(one.serialize(), one.GetTxid(), one.GetHash()) for one in others)
            ledger._blocks.append(
                _Block(raw, _hash256(raw[:80]), height, _Transaction(bare, _hash256(bare), _NO_HASH), transactions)
            )
        ledger._start = ledger._built = ledger.height
        return ledger

    @property
    def funds(self) -> tuple[OutPoint, ...]:
        """The outpoints of the outputs that ``start`` was asked to pay, in their order."""
        return self._funds

    @property
    def height(self) -> int:
        """Height of the last block."""
        return len(self._blocks)

    def mine(self, transactions: Sequence[bytes] = ()) -> Mined:
        """Add one block; see ``Ledger.mine``. The reason of a ``ChainError`` is Core's own, word for word."""
        height = self.height + 1
        block = self._build(self._tip, height, _parse(transactions, height))
        self._submit(block)
        return Mined(height, block.hash, tuple(transaction.txid for transaction in block.transactions))

    def advance(self, blocks: int) -> None:
        """Add ``blocks`` empty blocks. Raises ``ValueError`` when negative."""
        if blocks < 0:
            raise ValueError(f"a chain cannot advance by {blocks} blocks")
        for _ in range(blocks):
            self._submit(self._build(self._tip, self.height + 1, ()))

    def would_accept(self, transactions: Sequence[bytes]) -> Verdict:
        """What Core says of these transactions in the next block; the chain stays as it is.

        The block that is tried pays its miner all money there is. Core looks at that last (``ConnectBlock``), so a
        block refused for ``bad-cb-amount`` alone is one whose transactions are all valid.
        """
        height = self.height + 1
        try:
            parsed = _parse(transactions, height)
            greedy = (TxOut(MAX_MONEY, _UNSPENDABLE),)
            self._submit(self._build(self._tip, height, parsed, greedy))
        except ChainError as refusal:
            said = refusal.reason
            return Verdict(height, VALID if said.startswith("bad-cb-amount,") else said)
        raise AssertionError("Bitcoin Core's code took a block that pays its miner too much")

    def confirmation_height(self, txid: bytes) -> int | None:
        """The height of the block that holds this transaction (coinbases too), or None."""
        self._count()
        return self._heights.get(txid)

    def unspent(self) -> Mapping[OutPoint, Unspent]:
        """Every output that may still be spent; our own count, of blocks that Core has accepted."""
        self._count()
        return MappingProxyType(self._unspent)

    def reorg(self, depth: int, branch: Sequence[Sequence[bytes]] = ()) -> None:
        """Replace the last ``depth`` blocks by a branch of ``depth + 1``; see ``Ledger.reorg``."""
        contents = check_reorg(depth, self.height - self._start, branch)
        base = self.height - depth
        parent = self._blocks[base - 1].hash if base else self._core.genesis
        blocks: list[_Block] = []
        for height, transactions in enumerate(contents, start=base + 1):
            blocks.append(self._build(parent, height, _parse(transactions, height)))
            parent = blocks[-1].hash
        self._process(blocks)
        del self._blocks[base:]
        self._blocks.extend(blocks)
        self._unspent, self._heights, self._counted = {}, {}, 0

    def fork(self) -> KernelLedger:
        """An independent ledger with the same blocks, each judged again by Core's code."""
        twin = KernelLedger()
        twin._process(self._blocks)
        twin._blocks = list(self._blocks)
        twin._start, twin._funds, twin._built = self._start, self._funds, self._built
        return twin

    def raw_blocks(self) -> tuple[bytes, ...]:
        """The serialised blocks of the chain from height 1 to the tip, for another node to follow."""
        return tuple(block.raw for block in self._blocks)

    def close(self) -> None:
        """Free the chain and remove its files; happens by itself when the ledger is no longer referred to."""
        self._core.close()

    def __enter__(self) -> KernelLedger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def _tip(self) -> bytes:
        return self._blocks[-1].hash if self._blocks else self._core.genesis

    def _build(
        self,
        parent: bytes,
        height: int,
        transactions: tuple[_Transaction, ...],
        outputs: Sequence[TxOut] = (TxOut(0, _UNSPENDABLE),),
    ) -> _Block:
        """A block of our own; the count of built blocks is in its coinbase, so no two are the same."""
        self._built += 1
        return _build_block(parent, height, transactions, outputs, self._built)

    def _submit(self, block: _Block) -> None:
        self._process((block,))
        self._blocks.append(block)

    def _process(self, blocks: Sequence[_Block]) -> None:
        """Hand blocks to Core; raise ``ChainError`` unless the last one is the tip after that."""
        if not self._core.close.alive:
            raise ChainError("the ledger is closed", self.height)
        if self._core.refused >= _MANY_REFUSED:
            fresh = _Chainstate()
            fresh.process(self._blocks)
            self._core.close()
            self._core = fresh
        self._core.process(blocks)

    def _count(self) -> None:
        """Bring outputs and heights up to date with the blocks mined since the last count."""
        for block in self._blocks[self._counted :]:
            for transaction in (block.coinbase, *block.transactions):
                self._heights[transaction.txid] = block.height
                parsed = CTransaction.deserialize(transaction.raw)
                for spent in parsed.vin:
                    self._unspent.pop(OutPoint(spent.prevout.hash, spent.prevout.n), None)
                for index, output in enumerate(parsed.vout):
                    script = bytes(output.scriptPubKey)
                    if not script.startswith(_UNSPENDABLE):
                        point = OutPoint(transaction.txid, index)
                        self._unspent[point] = Unspent(TxOut(output.nValue, script), block.height)
        self._counted = len(self._blocks)


def verify_input(transaction: bytes, index: int, spent: Sequence[TxOut]) -> bool:
    """Whether input ``index`` satisfies the script that it spends, by all consensus rules (BIP-341 included).

    ``spent`` are the outputs that the inputs spend, in order. Locks are judged against the transaction's own fields,
    not against a chain. Raises ``InputError`` when the transaction cannot be decoded or an argument does not fit it.
    """
    try:
        decoded = pbk.Transaction(transaction)
    except RuntimeError:
        raise InputError("transaction", "cannot be decoded", "BIP-144") from None
    count = len(decoded.inputs)
    if len(spent) != count:
        raise InputError("spent", f"{len(spent)} outputs for {count} inputs", "BIP-341")
    if not 0 <= index < count:
        raise InputError("index", f"{index} of {count} inputs", "BIP-341")
    outputs = [pbk.TransactionOutput(pbk.ScriptPubkey(script), amount) for amount, script in spent]
    known = pbk.script.PrecomputedTransactionData(decoded, outputs)
    amount, script = spent[index]
    flags = pbk.ScriptVerificationFlags.ALL
    return bool(pbk.ScriptPubkey(script).verify(amount, decoded, known, index, flags))


def _dispose(manager: pbk.ChainstateManager, context: pbk.Context, directory: tempfile.TemporaryDirectory[str]) -> None:
    """Free Core's objects before their files."""
    manager.__exit__(None, None, None)
    context.__exit__(None, None, None)
    directory.cleanup()


def _group(outputs: Sequence[TxOut]) -> list[list[TxOut]]:
    """Share ``outputs``, in order, among coinbases that can pay them."""
    groups: list[list[TxOut]] = []
    room = 0
    for output in outputs:
        if not 0 <= output.amount <= SUBSIDY:
            raise ValueError(f"an output of {output.amount} sat: a coinbase pays 0 to {SUBSIDY}")
        if output.amount > room or not groups:
            groups.append([])
            room = SUBSIDY
        groups[-1].append(output)
        room -= output.amount
    if len(groups) > SUBSIDY_BLOCKS:
        raise ValueError(f"these outputs need {len(groups)} coinbases, {SUBSIDY_BLOCKS} have the full subsidy")
    return groups


def _parse(transactions: Sequence[bytes], height: int) -> tuple[_Transaction, ...]:
    """Transactions with their ids; ``ChainError`` in the words of Core's RPC when one cannot be decoded."""
    parsed = []
    for raw in transactions:
        try:
            decoded = pbk.Transaction(raw)
        except RuntimeError:
            raise ChainError("TX decode failed", height) from None
        if bytes(decoded) != raw:
            raise ChainError("TX decode failed", height)
        parsed.append(_Transaction(raw, bytes(decoded.txid), _hash256(raw)))
    return tuple(parsed)


def _hash256(data: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


def _merkle_root(hashes: list[bytes]) -> bytes:
    """The root of Bitcoin's merkle tree: an odd last hash is paired with itself."""
    while len(hashes) > 1:
        if len(hashes) % 2:
            hashes = [*hashes, hashes[-1]]
        hashes = [_hash256(hashes[i] + hashes[i + 1]) for i in range(0, len(hashes), 2)]
    return hashes[0]


def _compact_size(number: int) -> bytes:
    if number < 0xFD:
        return bytes([number])
    return b"\xfd" + struct.pack("<H", number) if number <= 0xFFFF else b"\xfe" + struct.pack("<I", number)


def _push_number(number: int) -> bytes:
    """The script that pushes a positive number in the way that BIP-34 wants it."""
    if number <= 16:
        return bytes([0x50 + number])
    encoded = number.to_bytes(number.bit_length() // 8 + 1, "little")
    return bytes([len(encoded)]) + encoded


def _serialise_output(output: TxOut) -> bytes:
    return struct.pack("<q", output.amount) + _compact_size(len(output.script)) + output.script


def _build_block(
    parent: bytes,
    height: int,
    transactions: tuple[_Transaction, ...],
    outputs: Sequence[TxOut],
    number: int,
) -> _Block:
    """A whole block: coinbase (BIP-34), witness commitment (BIP-141), proof of work for regtest."""
    script = _push_number(height) + b"\x08" + struct.pack("<Q", number)
    witness = b""
    if transactions:
        root = _merkle_root([_NO_HASH, *(transaction.wtxid for transaction in transactions)])
        outputs = [*outputs, TxOut(0, _COMMITMENT_HEADER + _hash256(root + _NO_HASH))]
        witness = b"\x01\x20" + _NO_HASH
    spends = b"\x01" + _NO_HASH + b"\xff" * 4 + _compact_size(len(script)) + script + b"\xff" * 4
    body = spends + _compact_size(len(outputs)) + b"".join(map(_serialise_output, outputs))
    version, lock_time = struct.pack("<i", 2), struct.pack("<I", 0)
    bare = version + body + lock_time
    full = version + b"\x00\x01" + body + witness + lock_time if witness else bare
    coinbase = _Transaction(bare, _hash256(bare), _NO_HASH)
    root = _merkle_root([coinbase.txid, *(transaction.txid for transaction in transactions)])
    time = _GENESIS_TIME + _SECONDS_A_BLOCK * height
    start = struct.pack("<i", _BLOCK_VERSION) + parent + root + struct.pack("<II", time, _REGTEST_BITS)
    header, digest = _work(start)
    parts = [header, _compact_size(1 + len(transactions)), full, *(item.raw for item in transactions)]
    return _Block(b"".join(parts), digest, height, coinbase, transactions)


def _work(start: bytes) -> tuple[bytes, bytes]:
    """The first nonce whose header is below regtest's target: one in two is."""
    nonce = 0
    while True:
        header = start + struct.pack("<I", nonce)
        digest = _hash256(header)
        if int.from_bytes(digest, "little") <= _REGTEST_TARGET:
            return header, digest
        nonce += 1
