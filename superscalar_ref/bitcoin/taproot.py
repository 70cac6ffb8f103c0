"""Taproot: tagged hashes, script trees, output keys, control blocks (BIP-340, BIP-341, BIP-86)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache

from coincurve import PublicKeyXOnly

from superscalar_ref.bitcoin.transaction import sized
from superscalar_ref.errors import InputError

TAPSCRIPT = 0xC0
"""The leaf version of BIP-342."""


@lru_cache(maxsize=64)
def _tag_prefix(tag: str) -> bytes:
    return hashlib.sha256(tag.encode()).digest() * 2


def tagged_hash(tag: str, data: bytes) -> bytes:
    """SHA-256 of ``data`` under ``tag`` (BIP-340): 32 bytes."""
    return hashlib.sha256(_tag_prefix(tag) + data).digest()


def tap_leaf(script: bytes, leaf_version: int = TAPSCRIPT) -> bytes:
    """The 32-byte hash of a leaf (BIP-341)."""
    return tagged_hash("TapLeaf", bytes([leaf_version]) + sized(script))


def tap_branch(left: bytes, right: bytes) -> bytes:
    """The 32-byte hash of a branch; the order of its two 32-byte children does not matter (BIP-341)."""
    return tagged_hash("TapBranch", min(left, right) + max(left, right))


def tap_tweak(internal_key: bytes, merkle_root: bytes | None = None) -> bytes:
    """The 32-byte tweak of an x-only internal key; without a root it commits to 'no script' (BIP-86)."""
    return tagged_hash("TapTweak", internal_key + (merkle_root or b""))


@dataclass(frozen=True)
class OutputKey:
    """The x-only key of a P2TR output, and the parity bit that a control block must carry."""

    x_only: bytes
    parity: int


@lru_cache(maxsize=8192)
def output_key(internal_key: bytes, merkle_root: bytes | None = None) -> OutputKey:
    """The output key of a 32-byte x-only internal key and an optional 32-byte root (BIP-341).

    Raises InputError when the internal key is not a point or a length is wrong.
    """
    # coincurve reads 32 bytes from whatever it is given.
    if len(internal_key) != 32:
        raise InputError("internal key", f"{len(internal_key)} bytes instead of 32", "BIP-341")
    if merkle_root is not None and len(merkle_root) != 32:
        raise InputError("merkle root", f"{len(merkle_root)} bytes instead of 32", "BIP-341")
    try:
        key = PublicKeyXOnly(internal_key)
        key.tweak_add(tap_tweak(internal_key, merkle_root))
    except ValueError as error:
        raise InputError("internal key", f"{internal_key.hex()} is not a usable x-only key", "BIP-341") from error
    return OutputKey(key.format(), int(key.parity))


def p2tr_script(x_only_output_key: bytes) -> bytes:
    """The 34-byte scriptPubKey ``1 <key>`` of an output key. Raises InputError for a wrong length."""
    if len(x_only_output_key) != 32:
        raise InputError("output key", f"{len(x_only_output_key)} bytes instead of 32", "BIP-341")
    return b"\x51\x20" + x_only_output_key


def p2tr_from_internal(internal_key: bytes, merkle_root: bytes | None = None) -> bytes:
    """The scriptPubKey of an x-only internal key with an optional root (BIP-86 without)."""
    return p2tr_script(output_key(internal_key, merkle_root).x_only)


@dataclass(frozen=True)
class ScriptTree:
    """The leaves of a taproot output, joined left to right: two and two, an odd one goes up alone.

    For one leaf the root is its hash; for two it is the branch of both.
    """

    scripts: tuple[bytes, ...]

    def __post_init__(self) -> None:
        if not self.scripts:
            raise InputError("script tree", "has no leaf", "BIP-341")

    @property
    def merkle_root(self) -> bytes:
        """The 32-byte root."""
        return self._levels()[-1][0]

    def path(self, index: int) -> tuple[bytes, ...]:
        """The siblings of leaf ``index``, from the leaf up. Raises InputError when there is no such leaf."""
        if not 0 <= index < len(self.scripts):
            raise InputError("script tree", f"has no leaf {index}", "BIP-341")
        siblings = []
        for level in self._levels()[:-1]:
            sibling = index ^ 1
            if sibling < len(level):
                siblings.append(level[sibling])
            index //= 2
        return tuple(siblings)

    def control_block(self, internal_key: bytes, index: int) -> bytes:
        """The control block that opens leaf ``index``: 33 + 32 × depth bytes (BIP-341)."""
        parity = output_key(internal_key, self.merkle_root).parity
        return bytes([TAPSCRIPT | parity]) + internal_key + b"".join(self.path(index))

    def script_pubkey(self, internal_key: bytes) -> bytes:
        """The scriptPubKey of this tree under an x-only internal key."""
        return p2tr_from_internal(internal_key, self.merkle_root)

    def _levels(self) -> list[tuple[bytes, ...]]:
        level = tuple(tap_leaf(script) for script in self.scripts)
        levels = [level]
        while len(level) > 1:
            pairs = [level[i : i + 2] for i in range(0, len(level), 2)]
            level = tuple(tap_branch(*pair) if len(pair) == 2 else pair[0] for pair in pairs)
            levels.append(level)
        return levels
