"""Transactions as plain frozen values; python-bitcoinlib reads them, and the tests hold the writing equal to it.

Laws of this module:

* A ``Transaction`` never changes; adding a witness gives a new one with the same txid.
* Txids are hex in RPC order (the order that explorers print), amounts are satoshis.
* Malformed bytes and impossible values raise ``InputError`` naming the input or output.
"""

from __future__ import annotations

import hashlib
import struct
from binascii import unhexlify
from dataclasses import dataclass, replace
from functools import cached_property

from bitcoin.core import CTransaction, b2lx
from bitcoin.core.serialize import SerializationError

from superscalar_ref.bitcoin.locks import FINAL, NO_RELATIVE_LOCK
from superscalar_ref.errors import InputError

MAX_MONEY_SAT = 21_000_000 * 100_000_000
"""No amount and no sum of outputs exceeds this (sat); Core's MAX_MONEY."""
DUST_RELAY_SAT_PER_KVB = 3_000
"""Core's default ``-dustrelayfee`` (sat per 1,000 vbytes)."""
_WORD = struct.Struct("<I")
_AMOUNT = struct.Struct("<q")


@dataclass(frozen=True)
class TxInput:
    """One input: the ``index``-th output of the transaction ``txid_hex`` (RPC order), and its ``nSequence``."""

    txid_hex: str
    index: int
    sequence: int = NO_RELATIVE_LOCK


@dataclass(frozen=True)
class TxOutput:
    """One output: satoshis and the script that must be satisfied to spend them."""

    amount_sat: int
    script_pubkey: bytes


@dataclass(frozen=True)
class Transaction:
    """A transaction; ``witnesses`` has one stack for each input, empty while unsigned."""

    version: int
    inputs: tuple[TxInput, ...]
    outputs: tuple[TxOutput, ...]
    lock_time: int
    witnesses: tuple[tuple[bytes, ...], ...]

    @cached_property
    def stripped(self) -> bytes:
        """The bytes without witnesses: what the txid commits to."""
        return _WORD.pack(self.version) + _body(self) + _WORD.pack(self.lock_time)

    @cached_property
    def serialized(self) -> bytes:
        """The bytes with witnesses, as they travel (BIP-144)."""
        if not any(self.witnesses):
            return self.stripped
        stacks = [compact_size(len(stack)) + b"".join(sized(element) for element in stack) for stack in self.witnesses]
        return b"".join((self.stripped[:4], b"\x00\x01", self.stripped[4:-4], *stacks, self.stripped[-4:]))

    @cached_property
    def txid(self) -> str:
        """The txid, hex in RPC order."""
        return hashlib.sha256(hashlib.sha256(self.stripped).digest()).digest()[::-1].hex()

    @property
    def weight(self) -> int:
        """Weight units (BIP-141)."""
        return 3 * len(self.stripped) + len(self.serialized)

    @property
    def vbytes(self) -> int:
        """Virtual bytes, rounded up (BIP-141)."""
        return -(-self.weight // 4)

    @property
    def hex(self) -> str:
        """The bytes with witnesses, as hex."""
        return self.serialized.hex()


def build(
    version: int,
    inputs: tuple[TxInput, ...] | list[TxInput],
    outputs: tuple[TxOutput, ...] | list[TxOutput],
    lock_time: int = 0,
) -> Transaction:
    """An unsigned transaction.

    Raises InputError when there is no input or output, an input occurs twice, a number does not fit its
    field, an amount is negative, or the outputs sum to more than all money.
    """
    if not inputs:
        raise InputError("transaction", "has no input", "BIP-144")
    if not outputs:
        raise InputError("transaction", "has no output", "consensus: vout not empty")
    if not 0 <= version <= 0xFFFFFFFF:
        raise InputError("nVersion", f"{version} is not within 32 bits", "transaction format")
    if not 0 <= lock_time <= 0xFFFFFFFF:
        raise InputError("nLockTime", f"{lock_time} is not within 32 bits", "transaction format")
    _check_inputs(inputs)
    _check_outputs(outputs)
    return Transaction(version, tuple(inputs), tuple(outputs), lock_time, ((),) * len(inputs))


def _check_inputs(inputs: tuple[TxInput, ...] | list[TxInput]) -> None:
    for number, tx_input in enumerate(inputs):
        place = f"input {number}"
        _txid_bytes(tx_input.txid_hex, place)
        if not 0 <= tx_input.index <= 0xFFFFFFFF:
            raise InputError(place, f"index {tx_input.index} is not within 32 bits", "transaction format")
        if not 0 <= tx_input.sequence <= FINAL:
            raise InputError(place, f"nSequence {tx_input.sequence} is not within 32 bits", "transaction format")
    outpoints = {(tx_input.txid_hex.lower(), tx_input.index) for tx_input in inputs}
    if len(outpoints) != len(inputs):
        raise InputError("transaction", "spends one output twice", "consensus: bad-txns-inputs-duplicate")


def _check_outputs(outputs: tuple[TxOutput, ...] | list[TxOutput]) -> None:
    total = 0
    for number, output in enumerate(outputs):
        if not 0 <= output.amount_sat <= MAX_MONEY_SAT:
            raise InputError(
                f"output {number}", f"{output.amount_sat} sat is not within 0..{MAX_MONEY_SAT}", "MAX_MONEY"
            )
        total += output.amount_sat
    if total > MAX_MONEY_SAT:
        raise InputError("outputs", f"sum to {total} sat, more than {MAX_MONEY_SAT}", "MAX_MONEY")


def _txid_bytes(txid_hex: str, place: str) -> bytes:
    try:
        # Unlike bytes.fromhex, it takes no spaces.
        internal = unhexlify(txid_hex)
    except ValueError as error:
        raise InputError(place, f"txid '{txid_hex}' is not hex", "txid: 32 bytes of hex") from error
    if len(internal) != 32:
        raise InputError(place, f"txid '{txid_hex}' has {len(internal)} bytes", "txid: 32 bytes of hex")
    return internal


def dust_limit_sat(script_pubkey: bytes) -> int:
    """The smallest amount (sat) that Core relays in an output of this script at its default dust fee.

    Every witness program is judged alike: the output's bytes and 67 for its spend, so P2TR has 330 and P2A 240.
    """
    serialized = 8 + len(compact_size(len(script_pubkey))) + len(script_pubkey)
    is_witness_program = 4 <= len(script_pubkey) <= 42 and (script_pubkey[0] == 0 or 0x51 <= script_pubkey[0] <= 0x60)
    is_witness_program = is_witness_program and script_pubkey[1] == len(script_pubkey) - 2
    spend = 67 if is_witness_program else 148
    return (serialized + spend) * DUST_RELAY_SAT_PER_KVB // 1_000


def check_no_dust(transaction: Transaction) -> None:
    """Raise InputError naming the first output below its dust limit."""
    for number, output in enumerate(transaction.outputs):
        limit = dust_limit_sat(output.script_pubkey)
        if output.amount_sat < limit:
            raise InputError(f"output {number}", f"{output.amount_sat} sat is dust: below {limit}", "Core's dust limit")


def with_witness(transaction: Transaction, index: int, stack: tuple[bytes, ...] | list[bytes]) -> Transaction:
    """The same transaction with ``stack`` as the witness of input ``index``; the txid stays.

    Raises InputError when there is no such input.
    """
    if not 0 <= index < len(transaction.inputs):
        raise InputError(f"input {index}", f"there are {len(transaction.inputs)} inputs", "witness")
    witnesses = list(transaction.witnesses)
    witnesses[index] = tuple(stack)
    signed = replace(transaction, witnesses=tuple(witnesses))
    # The txid does not depend on witnesses: what is known of it is carried over.
    for name in ("stripped", "txid"):
        if name in transaction.__dict__:
            signed.__dict__[name] = transaction.__dict__[name]
    return signed


def txid(transaction: Transaction) -> str:
    """The txid, hex in RPC order."""
    return transaction.txid


def weight(transaction: Transaction) -> int:
    """Weight units (BIP-141)."""
    return transaction.weight


def vbytes(transaction: Transaction) -> int:
    """Virtual bytes, rounded up (BIP-141)."""
    return transaction.vbytes


def to_hex(transaction: Transaction) -> str:
    """The bytes with witnesses, as hex."""
    return transaction.hex


def from_hex(text: str) -> Transaction:
    """Parse a transaction from hex.

    Raises InputError for anything but exactly one well-formed transaction.
    """
    try:
        raw = bytes.fromhex(text)
    except ValueError as error:
        raise InputError("transaction", "is not hex", "transaction format") from error
    return from_bytes(raw)


def from_bytes(raw: bytes) -> Transaction:
    """Parse a transaction from its bytes, with or without witnesses.

    Raises InputError for anything but exactly one well-formed transaction.
    """
    try:
        library = CTransaction.deserialize(raw)
    except (SerializationError, ValueError, struct.error, IndexError, MemoryError) as error:
        raise InputError("transaction", f"cannot be read: {error}", "BIP-144") from error
    inputs = tuple(TxInput(b2lx(vin.prevout.hash), vin.prevout.n, vin.nSequence) for vin in library.vin)
    outputs = tuple(TxOutput(vout.nValue, bytes(vout.scriptPubKey)) for vout in library.vout)
    if any(vin.scriptSig for vin in library.vin):
        raise InputError("transaction", "has a scriptSig: only native segwit is read here", "BIP-141")
    stacks = tuple(tuple(witness.scriptWitness.stack) for witness in library.wit.vtxinwit)
    # python-bitcoinlib reads nVersion as signed; Core's policy and BIP-431 read it as unsigned.
    unsigned = build(library.nVersion & 0xFFFFFFFF, inputs, outputs, library.nLockTime)
    transaction = replace(unsigned, witnesses=stacks) if stacks else unsigned
    if transaction.serialized != raw:
        raise InputError("transaction", "is not in its shortest form, or has an empty witness", "BIP-144")
    return transaction


def _body(transaction: Transaction) -> bytes:
    """Inputs, each with an empty scriptSig, and outputs."""
    inputs = transaction.inputs
    parts = [compact_size(len(inputs))]
    parts += [outpoint_bytes(one) + b"\x00" + _WORD.pack(one.sequence) for one in inputs]
    parts.append(compact_size(len(transaction.outputs)))
    parts += [output_bytes(one) for one in transaction.outputs]
    return b"".join(parts)


def outpoint_bytes(tx_input: TxInput) -> bytes:
    """The 36 bytes of the outpoint that an input spends."""
    return bytes.fromhex(tx_input.txid_hex)[::-1] + _WORD.pack(tx_input.index)


def output_bytes(output: TxOutput) -> bytes:
    """An output: amount (sat, 8 bytes) and script."""
    return _AMOUNT.pack(output.amount_sat) + sized(output.script_pubkey)


def sized(data: bytes) -> bytes:
    """Bytes with their length before them."""
    return compact_size(len(data)) + data


def compact_size(number: int) -> bytes:
    """Bitcoin's variable-length whole number, for 0 ≤ ``number`` < 2³²."""
    if number < 0xFD:
        return bytes((number,))
    if number <= 0xFFFF:
        return b"\xfd" + struct.pack("<H", number)
    return b"\xfe" + _WORD.pack(number)
