"""The same signatures by libsecp256k1 alone: a tight loop over the raw calls, with buffers allocated once.

Nothing is serialised, parsed, hashed or looked up that the calls themselves do not need.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from coincurve._libsecp256k1 import ffi, lib

CONTEXT = lib.secp256k1_context_create(lib.SECP256K1_CONTEXT_NONE)
lib.secp256k1_context_randomize(CONTEXT, os.urandom(32))


@dataclass(frozen=True)
class Job:
    """One signature: who signs (numbers of keys), which of ``Work.tweaks`` makes the key, the 32-byte message."""

    signers: tuple[int, ...]
    key: int
    message: bytes


@dataclass(frozen=True)
class Work:
    """Everything that the calls need to be given."""

    secrets: tuple[bytes, ...]
    """32-byte secret keys."""
    signer_sets: tuple[tuple[int, ...], ...]
    """Distinct sets, each to be aggregated once; numbers of keys in the order of BIP-327's KeySort."""
    tweaks: tuple[tuple[int, bytes], ...]
    """Distinct output keys: the number of the signer set, and the 32-byte x-only tweak."""
    jobs: tuple[Job, ...]

    @property
    def partials(self) -> int:
        """Partial signatures, and nonces."""
        return sum(len(job.signers) for job in self.jobs)


class Bare:
    """The calls of one ``Work``; keys are parsed and buffers made before anything is measured."""

    def __init__(self, work: Work) -> None:
        self.work = work
        most = max(len(job.signers) for job in work.jobs)
        self.pairs = [ffi.new("secp256k1_keypair *") for _ in work.secrets]
        self.points = [ffi.new("secp256k1_pubkey *") for _ in work.secrets]
        for pair, point, secret in zip(self.pairs, self.points, work.secrets, strict=True):
            lib.secp256k1_keypair_create(CONTEXT, pair, secret)
            lib.secp256k1_ec_pubkey_create(CONTEXT, point, secret)
        self.secret_nonces = _slots("secp256k1_musig_secnonce", most)
        self.public_nonces = _slots("secp256k1_musig_pubnonce", most)
        self.partials = _slots("secp256k1_musig_partial_sig", most)
        self.nonce_array = ffi.new("secp256k1_musig_pubnonce *[]", self.public_nonces)
        self.partial_array = ffi.new("secp256k1_musig_partial_sig *[]", self.partials)

    def run(self) -> int:
        """Do all the calls; the number of signatures that are valid."""
        plain = [self._aggregate(members) for members in self.work.signer_sets]
        keys = [self._tweaked(plain[number], tweak) for number, tweak in self.work.tweaks]
        return sum(self._sign(job, *keys[job.key]) for job in self.work.jobs)

    def _aggregate(self, members: Sequence[int]) -> Any:
        cache = ffi.new("secp256k1_musig_keyagg_cache *")
        array = ffi.new("secp256k1_pubkey *[]", [self.points[member] for member in members])
        lib.secp256k1_musig_pubkey_agg(CONTEXT, ffi.NULL, cache, array, len(members))
        return cache

    def _tweaked(self, plain: Any, tweak: bytes) -> tuple[Any, Any]:
        cache = ffi.new("secp256k1_musig_keyagg_cache *", plain[0])
        point, x_only = ffi.new("secp256k1_pubkey *"), ffi.new("secp256k1_xonly_pubkey *")
        lib.secp256k1_musig_pubkey_xonly_tweak_add(CONTEXT, point, cache, tweak)
        lib.secp256k1_xonly_pubkey_from_pubkey(CONTEXT, x_only, ffi.NULL, point)
        return cache, x_only

    def _sign(self, job: Job, cache: Any, x_only: Any) -> int:
        session, total = ffi.new("secp256k1_musig_session *"), ffi.new("secp256k1_musig_aggnonce *")
        signature = ffi.new("unsigned char[64]")
        count = len(job.signers)
        for slot, signer in enumerate(job.signers):
            lib.secp256k1_musig_nonce_gen(
                CONTEXT,
                self.secret_nonces[slot],
                self.public_nonces[slot],
                ffi.from_buffer(bytearray(os.urandom(32))),
                self.work.secrets[signer],
                self.points[signer],
                job.message,
                cache,
                ffi.NULL,
            )
        lib.secp256k1_musig_nonce_agg(CONTEXT, total, self.nonce_array, count)
        lib.secp256k1_musig_nonce_process(CONTEXT, session, total, job.message, cache)
        for slot, signer in enumerate(job.signers):
            lib.secp256k1_musig_partial_sign(
                CONTEXT, self.partials[slot], self.secret_nonces[slot], self.pairs[signer], cache, session
            )
        lib.secp256k1_musig_partial_sig_agg(CONTEXT, signature, session, self.partial_array, count)
        return int(lib.secp256k1_schnorrsig_verify(CONTEXT, signature, job.message, 32, x_only))


def _slots(kind: str, count: int) -> list[Any]:
    return [ffi.new(f"{kind} *") for _ in range(count)]
