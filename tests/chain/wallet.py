"""Money for the tests of the ledgers: P2TR outputs of one key, with or without a script path, and their spends.

Written straight from BIP-341 and apart from the package's own transactions, so that neither can hide the other's
mistake: what judges both is Bitcoin Core's code.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from functools import cached_property

from coincurve import PrivateKey, PublicKeyXOnly

from superscalar_ref.chain.interface import OutPoint, TxOut

NO_BIP68 = 0xFFFFFFFD


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def tagged(tag: str, data: bytes) -> bytes:
    prefix = sha256(tag.encode())
    return sha256(prefix + prefix + data)


def size(number: int) -> bytes:
    assert number < 0xFD
    return bytes([number])


def text(data: bytes) -> bytes:
    return size(len(data)) + data


@dataclass(frozen=True)
class Key:
    """One key; ``leaf`` is the script of its only script path, empty for none."""

    seed: str
    leaf: bytes = b""

    @cached_property
    def secret(self) -> PrivateKey:
        return PrivateKey(sha256(self.seed.encode()))

    @cached_property
    def internal(self) -> bytes:
        return self.secret.public_key.format()[1:]

    @cached_property
    def tweak(self) -> bytes:
        root = tagged("TapLeaf", b"\xc0" + text(self.leaf)) if self.leaf else b""
        return tagged("TapTweak", self.internal + root)

    @cached_property
    def script(self) -> bytes:
        key = PublicKeyXOnly(self.internal)
        key.tweak_add(self.tweak)
        return b"\x51\x20" + key.format()

    @cached_property
    def control_block(self) -> bytes:
        key = PublicKeyXOnly(self.internal)
        key.tweak_add(self.tweak)
        return bytes([0xC0 | int(key.parity)]) + self.internal

    @cached_property
    def tweaked_secret(self) -> PrivateKey:
        odd = self.secret.public_key.format()[0] == 3
        order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
        scalar = order - self.secret.to_int() if odd else self.secret.to_int()
        return PrivateKey.from_int((scalar + int.from_bytes(self.tweak, "big")) % order)


def number_push(number: int) -> bytes:
    if number <= 16:
        return bytes([0x50 + number]) if number else b"\x00"
    return text(number.to_bytes(number.bit_length() // 8 + 1, "little"))


def csv_leaf(owner: Key, blocks: int) -> bytes:
    """``<owner> CHECKSIGVERIFY <blocks> CHECKSEQUENCEVERIFY``."""
    return text(owner.internal) + b"\xad" + number_push(blocks) + b"\xb2"


def cltv_leaf(owner: Key, height: int) -> bytes:
    """``<owner> CHECKSIGVERIFY <height> CHECKLOCKTIMEVERIFY``."""
    return text(owner.internal) + b"\xad" + number_push(height) + b"\xb1"


@dataclass(frozen=True)
class Input:
    """One input: what it spends, with which key, waiting how long."""

    point: OutPoint
    spent: TxOut
    key: Key
    sequence: int = NO_BIP68
    script_owner: Key | None = None
    """Set: the script path of ``key``, signed by this one."""


@dataclass(frozen=True)
class Transaction:
    """A transaction of P2TR inputs, all signed with SIGHASH_DEFAULT."""

    inputs: tuple[Input, ...]
    outputs: tuple[TxOut, ...]
    lock_time: int = 0
    damaged: bool = False
    """One bit of each signature is flipped."""

    def _ins(self) -> bytes:
        return b"".join(
            item.point.txid + struct.pack("<I", item.point.index) + b"\x00" + struct.pack("<I", item.sequence)
            for item in self.inputs
        )

    def _outs(self) -> bytes:
        return b"".join(struct.pack("<q", out.amount) + text(out.script) for out in self.outputs)

    @cached_property
    def txid(self) -> bytes:
        body = size(len(self.inputs)) + self._ins() + size(len(self.outputs)) + self._outs()
        return sha256(sha256(struct.pack("<i", 3) + body + struct.pack("<I", self.lock_time)))

    def _sighash(self, index: int) -> bytes:
        """BIP-341, 'Common signature message'; for a script path with the extension of BIP-342."""
        item = self.inputs[index]
        points = [each.point.txid + struct.pack("<I", each.point.index) for each in self.inputs]
        message = b"\x00\x00" + struct.pack("<iI", 3, self.lock_time)
        message += sha256(b"".join(points))
        message += sha256(b"".join(struct.pack("<q", each.spent.amount) for each in self.inputs))
        message += sha256(b"".join(text(each.spent.script) for each in self.inputs))
        message += sha256(b"".join(struct.pack("<I", each.sequence) for each in self.inputs))
        message += sha256(self._outs())
        by_script = item.script_owner is not None
        message += bytes([2 if by_script else 0]) + struct.pack("<I", index)
        if by_script:
            message += tagged("TapLeaf", b"\xc0" + text(item.key.leaf)) + b"\x00" + b"\xff" * 4
        return tagged("TapSighash", message)

    def _witness(self, index: int) -> bytes:
        item = self.inputs[index]
        signer = item.key.tweaked_secret if item.script_owner is None else item.script_owner.secret
        signature = signer.sign_schnorr(self._sighash(index), bytes(32))
        if self.damaged:
            signature = signature[:-1] + bytes([signature[-1] ^ 1])
        if item.script_owner is None:
            return b"\x01" + text(signature)
        return b"\x03" + text(signature) + text(item.key.leaf) + text(item.key.control_block)

    @cached_property
    def raw(self) -> bytes:
        body = size(len(self.inputs)) + self._ins() + size(len(self.outputs)) + self._outs()
        witness = b"".join(self._witness(index) for index in range(len(self.inputs)))
        start = struct.pack("<i", 3) + b"\x00\x01"
        return start + body + witness + struct.pack("<I", self.lock_time)

    def point(self, index: int = 0) -> OutPoint:
        return OutPoint(self.txid, index)


def pay(
    point: OutPoint,
    spent: TxOut,
    key: Key,
    amount: int,
    *,
    to: Key | None = None,
    sequence: int = NO_BIP68,
    lock_time: int = 0,
    damaged: bool = False,
    script_owner: Key | None = None,
) -> Transaction:
    """One input, one output of ``amount`` (sat)."""
    item = Input(point, spent, key, sequence, script_owner)
    return Transaction((item,), (TxOut(amount, (to or key).script),), lock_time, damaged)
