"""A ledger without bytes: which transaction may be in the next block, and what the chain is after it.

Laws of this module:

* Nothing changes in place: a step gives a new ``Ledger``, so a reorg is going back to an older value, and a
  fork is a second name for the same one.
* A refusal uses Bitcoin Core's word for it, in the order in which Core looks at a block, so that this ledger
  and Core's code can be held equal (``CheckTransaction``, ``ContextualCheckBlock``, ``ConnectBlock``).
* Time is the height alone. A transaction of lock 0 or without a relative lock may share its parent's block.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from superscalar_ref.errors import ChainError
from superscalar_ref.protocol.transaction import LockKind, Outpoint, Output, Spend, Template


class Reason(StrEnum):
    """Why a transaction cannot be in the next block, in Bitcoin Core's words."""

    NO_INPUT = "bad-txns-vin-empty"
    """It spends nothing."""
    NO_OUTPUT = "bad-txns-vout-empty"
    """It pays nothing."""
    NEGATIVE = "bad-txns-vout-negative"
    """An output is below zero."""
    TWICE = "bad-txns-inputs-duplicate"
    """It spends one outpoint twice."""
    NOT_FINAL = "bad-txns-nonfinal"
    """Its lock time, or a relative lock (BIP-68), has not run out."""
    KNOWN = "bad-txns-BIP30"
    """It is confirmed already, with an output unspent (BIP-30)."""
    MISSING = "bad-txns-inputs-missingorspent"
    """An outpoint does not exist, or is spent."""
    CREATES_VALUE = "bad-txns-in-belowout"
    """It pays more than it spends."""
    SCRIPT = "block-script-verify-flag-failed"
    """A signature is missing, or a script path asks for a longer wait (BIP-65, BIP-112)."""


@dataclass(frozen=True)
class Coin:
    """An unspent output and the height (blocks) of the block that confirmed it."""

    output: Output
    height: int


@dataclass(frozen=True)
class Refusal:
    """The first transaction of a block that is refused, and why."""

    transaction: str
    reason: Reason


def _nothing() -> Mapping[str, int]:
    return MappingProxyType({})


@dataclass(frozen=True)
class Ledger:
    """A chain as far as transactions can see it."""

    height: int
    """The height of the last block."""
    unspent: Mapping[Outpoint, Coin]
    """Every output that may still be spent."""
    confirmed: Mapping[str, int] = field(default_factory=_nothing)
    """Transaction → height of its block."""

    def __hash__(self) -> int:
        return hash((self.height, frozenset(self.unspent.items()), frozenset(self.confirmed.items())))


def start(height: int, outputs: Mapping[Outpoint, Output]) -> Ledger:
    """A ledger at ``height`` (blocks) whose unspent outputs are ``outputs``, all confirmed at that height."""
    coins = {outpoint: Coin(output, height) for outpoint, output in outputs.items()}
    return Ledger(height, MappingProxyType(coins))


def check(ledger: Ledger, template: Template, signed_by: frozenset[str] | None = None) -> Reason | None:
    """Say why ``template`` cannot be alone in the next block, or None when it can.

    ``signed_by`` names who has signed; None means that the template is complete: all its ``signers`` have.
    """
    refusal = check_block(ledger, (template,), None if signed_by is None else (signed_by,))
    return None if refusal is None else refusal.reason


def check_block(
    ledger: Ledger, templates: Sequence[Template], signed_by: Sequence[frozenset[str]] | None = None
) -> Refusal | None:
    """Say which of ``templates``, in this order in the next block, is refused first and why, or None.

    ``signed_by`` names who has signed each, in the same order; None means that all of them are complete. Raises
    ``ValueError`` when the lengths differ.
    """
    result = _connect(ledger, templates, signed_by)
    return result if isinstance(result, Refusal) else None


def mine(
    ledger: Ledger, templates: Sequence[Template] = (), signed_by: Sequence[frozenset[str]] | None = None
) -> Ledger:
    """The ledger after one block with ``templates`` in this order; a child may follow its parent in it.

    ``signed_by`` as in ``check_block``. Raises ``ChainError`` with the reason when a transaction is refused.
    """
    result = _connect(ledger, templates, signed_by)
    if isinstance(result, Refusal):
        raise ChainError(f"{result.reason}: {result.transaction}", ledger.height + 1)
    return result


def advance(ledger: Ledger, blocks: int) -> Ledger:
    """The ledger after ``blocks`` empty blocks. Raises ``ValueError`` when ``blocks`` is negative."""
    if blocks < 0:
        raise ValueError(f"a chain cannot advance by {blocks} blocks")
    return Ledger(ledger.height + blocks, ledger.unspent, ledger.confirmed)


def needed_signers(output: Output, spend: Spend) -> frozenset[str]:
    """Who must sign to spend ``output`` in the way of ``spend``; empty when anyone may (BIP-433)."""
    if spend.by_lock_path and output.lock_path is not None:
        return frozenset({output.lock_path.owner})
    return output.signers


def earliest(ledger: Ledger, template: Template) -> int | None:
    """The first height (blocks) above the ledger's whose block ``template`` may be in, as far as locks tell.

    None when one of its outpoints is not unspent: nothing can be said then.
    """
    height = max(ledger.height + 1, template.lock_time + 1)
    for spend in template.spends:
        coin = ledger.unspent.get(spend.outpoint)
        if coin is None:
            return None
        if spend.relative_lock is not None:
            height = max(height, coin.height + spend.relative_lock)
    return height


def _connect(
    ledger: Ledger, templates: Sequence[Template], signed_by: Sequence[frozenset[str]] | None
) -> Ledger | Refusal:
    """One block: first what each transaction shows by itself, then each in turn against the outputs."""
    height = ledger.height + 1
    for reason_of in (_malformed, lambda template: _lock_time(template, height)):
        for template in templates:
            reason = reason_of(template)
            if reason is not None:
                return Refusal(template.name, reason)
    for template in templates:
        if _has_unspent(ledger.unspent, template):
            return Refusal(template.name, Reason.KNOWN)
    unspent = dict(ledger.unspent)
    signatures = [template.signers for template in templates] if signed_by is None else signed_by
    for template, names in zip(templates, signatures, strict=True):
        reason = _inputs(unspent, template, height, names)
        if reason is not None:
            return Refusal(template.name, reason)
        for spend in template.spends:
            del unspent[spend.outpoint]
        for index, output in enumerate(template.outputs):
            unspent[template.outpoint(index)] = Coin(output, height)
    confirmed = dict(ledger.confirmed)
    confirmed.update((template.name, height) for template in templates)
    return Ledger(height, MappingProxyType(unspent), MappingProxyType(confirmed))


def _malformed(template: Template) -> Reason | None:
    """What is wrong with a transaction wherever it stands."""
    if not template.spends:
        return Reason.NO_INPUT
    if not template.outputs:
        return Reason.NO_OUTPUT
    if any(output.amount < 0 for output in template.outputs):
        return Reason.NEGATIVE
    if _repeats(spend.outpoint for spend in template.spends):
        return Reason.TWICE
    return None


def _repeats(outpoints: Iterable[Outpoint]) -> bool:
    listed = list(outpoints)
    return len(set(listed)) < len(listed)


def _lock_time(template: Template, height: int) -> Reason | None:
    """A lock time ``n`` lets a transaction into blocks above ``n``; 0 is no lock time."""
    return Reason.NOT_FINAL if template.lock_time >= height else None


def _has_unspent(unspent: Mapping[Outpoint, Coin], template: Template) -> bool:
    return any(template.outpoint(index) in unspent for index in range(len(template.outputs)))


def _inputs(
    unspent: Mapping[Outpoint, Coin], template: Template, height: int, signed_by: frozenset[str]
) -> Reason | None:
    """The inputs of one transaction: they exist, carry enough value, have waited long enough, are signed."""
    coins = [(spend, unspent.get(spend.outpoint)) for spend in template.spends]
    found = [(spend, coin) for spend, coin in coins if coin is not None]
    if len(found) < len(coins):
        return Reason.MISSING
    if sum(coin.output.amount for _, coin in found) < template.amount_out():
        return Reason.CREATES_VALUE
    if any(height < coin.height + (spend.relative_lock or 0) for spend, coin in found):
        return Reason.NOT_FINAL
    if not all(_unlocks(coin.output, spend, template, signed_by) for spend, coin in found):
        return Reason.SCRIPT
    return None


def _unlocks(output: Output, spend: Spend, template: Template, signed_by: frozenset[str]) -> bool:
    """Whether the signatures, and for a script path the waiting that it asks for, are there."""
    if spend.by_lock_path:
        path = output.lock_path
        if path is None:
            return False
        if path.kind is LockKind.CSV:
            waits = spend.relative_lock is not None and spend.relative_lock >= path.blocks
        else:
            waits = template.lock_time >= path.blocks
        if not waits:
            return False
    return needed_signers(output, spend) <= signed_by
