"""Transactions on top of a commitment, and the child that pays for a kickoff: built by the package, asked as L0 cases.

One commitment of A's in the example's channel, with a payment each way; its second stages, its sweep, its penalty, and
what the other side takes from it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from superscalar_ref.bitcoin.locks import NO_RELATIVE_LOCK
from superscalar_ref.bitcoin.transaction import Transaction, TxOutput
from superscalar_ref.conformance.case import Case
from superscalar_ref.conformance.example import LSP, Example
from superscalar_ref.conformance.functions import evaluate
from superscalar_ref.realise import claim as claims
from superscalar_ref.realise.book import CoinOutput
from superscalar_ref.realise.child import bump
from superscalar_ref.realise.claim import Claim
from superscalar_ref.realise.commitment import Commitment, Role, State
from superscalar_ref.realise.commitment import build as build_commitment
from superscalar_ref.realise.htlc import Direction, Htlc
from superscalar_ref.realise.second_stage import OTHER_HASH_TYPE, second_stages
from superscalar_ref.signing.nonces import SeededRandomness

PREIMAGE = hashlib.sha256(b"superscalar example: preimage").digest()
EXPIRY = 850_000
FEE = 200
"""sat: what a sweep, a penalty or a claim pays here."""


def commitment_of(made: Example) -> Commitment:
    """A's commitment 1 in its channel: 5,000 sat on their way to the LSP, and 6,000 sat to A."""
    first = made.realised[made.named("commitment-a").name].commitment
    assert first is not None
    payments = (
        Htlc(Direction.OFFERED, 0, 5_000_000, hashlib.sha256(PREIMAGE).digest(), EXPIRY),
        Htlc(Direction.RECEIVED, 0, 6_000_000, hashlib.sha256(PREIMAGE).digest(), EXPIRY),
    )
    state = State(1, first.state.per_commitment_point, 15_000_000, 24_000_000, payments)
    return build_commitment(first.terms, state)


def claim_cases(made: Example) -> Iterator[Case]:
    """Each transaction by its form, and what its leaf signs where it opens one."""
    commitment = commitment_of(made)
    rules = ("D-13",)
    for stage in second_stages(commitment):
        word = "timeout" if stage.htlc.direction is Direction.OFFERED else "success"
        slug = f"htlc-{word}"
        says = {
            "timeout": "A takes back what it offered, above the expiry; the LSP has signed SINGLE|ANYONECANPAY.",
            "success": "A takes what it was offered, with the preimage; the LSP has signed SINGLE|ANYONECANPAY.",
        }[word]
        yield _build(slug, says, rules, stage.transaction, [stage.spent])
        yield _signed(slug, rules, stage.transaction, [stage.spent], stage.script, int(OTHER_HASH_TYPE))
    local = commitment.vout(Role.TO_LOCAL)
    assert local is not None
    offered, received = (
        next(
            number
            for number, one in enumerate(commitment.outputs)
            if one.htlc is not None and one.htlc.direction is direction
        )
        for direction in (Direction.OFFERED, Direction.RECEIVED)
    )
    for slug, says, owner, claim in (
        ("sweep", "A takes its own output after the delay.", "A", claims.delayed(commitment)),
        (
            "penalty",
            "The LSP takes A's output of a revoked commitment, by key path.",
            LSP,
            claims.revoked(commitment, local),
        ),
        ("penalty-htlc", "And a payment's, by key path too.", LSP, claims.revoked(commitment, offered)),
        (
            "claim-preimage",
            "The LSP takes what A offered, with the preimage.",
            LSP,
            claims.with_preimage(commitment, offered, PREIMAGE),
        ),
        (
            "claim-expired",
            "The LSP takes back what it offered A, above the expiry.",
            LSP,
            claims.after_expiry(commitment, received),
        ),
    ):
        yield from _claim(made, slug, says, owner, claim)
    yield _child(made)


def _claim(made: Example, slug: str, says: str, owner: str, claim: Claim) -> Iterator[Case]:
    rules = ("D-13", "D-14") if slug.startswith("penalty") else ("D-13",)
    paid = TxOutput(claim.spent.amount_sat - FEE, made.book.party(owner).payout_script)
    transaction = claims.unsigned([claim], [paid])
    yield _build(slug, says, rules, transaction, [claim.spent])
    if claim.script is not None:
        yield _signed(slug, rules, transaction, [claim.spent], claim.script, 0)


def _child(made: Example) -> Case:
    """The LSP's child of the root's kickoff, at 10 sat/vB."""
    kickoff = made.realised[made.named("kickoff-root").name]
    key, script = made.secret("payout of L"), made.book.party(LSP).payout_script
    coin = CoinOutput(hashlib.sha256(b"superscalar example: fee coin").hexdigest(), 0, TxOutput(20_000, script))
    fee = sum(one.amount_sat for one in kickoff.spent) - sum(one.amount_sat for one in kickoff.transaction.outputs)
    child = bump(kickoff.transaction, fee, coin, key, script, 10, SeededRandomness("example"))
    says = "The LSP raises the root's kickoff to 10 sat/vB: its anchor, and a coin of the LSP's."
    return _build("child", says, ("R-FEE", "D-5"), child, [kickoff.transaction.outputs[-1], coin.output])


def _build(slug: str, says: str, rules: tuple[str, ...], made: Transaction, spent: list[TxOutput]) -> Case:
    form = {
        "version": made.version,
        "lock_time": made.lock_time,
        "inputs": [
            {
                "txid": given.txid_hex,
                "vout": given.index,
                "relative_lock_blocks": None if given.sequence == NO_RELATIVE_LOCK else given.sequence,
                "output": _output(output),
            }
            for given, output in zip(made.inputs, spent, strict=True)
        ],
        "outputs": [_output(output) for output in made.outputs],
    }
    if evaluate("tx.build", form)["txid"] != made.txid:
        raise AssertionError(f"{slug}: the vector's transaction is not the one that the parties build")
    return Case(f"tx-{slug}", "tx.build", form, rules, says)


def _output(output: TxOutput) -> dict[str, Any]:
    script = output.script_pubkey.hex()
    return {"amount_sat": output.amount_sat, "form": "script", "signers": [], "lock": None, "script_pubkey": script}


def _signed(
    slug: str, rules: tuple[str, ...], made: Transaction, spent: list[TxOutput], script: bytes, hash_type: int
) -> Case:
    form = {
        "transaction": made.hex,
        "spent": [{"amount_sat": one.amount_sat, "script_pubkey": one.script_pubkey.hex()} for one in spent],
        "input": 0,
        "hash_type": hash_type,
        "script": script.hex(),
    }
    return Case(f"sighash-{slug}", "sighash.taproot", form, rules, f"What is signed to open the leaf of '{slug}'.")
