"""The rules of ``spec/machines/assisted_exit.toml``: a balance inside a channel against a payment on chain, by one key.

Laws of this module:

* Both locks are opened by the same secret, the client's factory key; the one on chain ends first.
* ``least_gap`` computes how much earlier, from what each side must still do; nobody chooses it.
* What is locked inside is let go when the refund is deep, not when it is published: the claim may come in its place.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from superscalar_ref.machine.bind import bind
from superscalar_ref.machine.step import BoundMachine
from superscalar_ref.machine.types import Action, Event, Rules, number
from superscalar_ref.spec.load import load_machine

RULES = Rules("assisted_exit")


@dataclass(frozen=True)
class Exit:
    """One assisted exit (heights and spans in blocks, amounts in sat)."""

    status: str
    client: str
    lsp: str
    depth: int
    """Confirmations after which a transaction is final."""
    confirmation: int
    """A transaction with an adequate fee is mined within so many blocks."""
    lsp_absence: int
    """The LSP looks at the chain within so many blocks."""
    exit_blocks: int
    """To bring the channel on chain, at worst."""
    refund_height: int
    """Above it the LSP may take its output back."""
    expiry: int
    """From this height on the client may take back what is locked inside."""
    handed_over: bool = False
    """Whether the client's key was handed over before."""
    published: bool = False
    """Whether this side has published the output on chain."""
    shown: bool = False
    """Whether this side has published the claim, and its key with it."""

    def role_of(self, name: str) -> str:
        """Who ``name`` is: client, lsp, chain, or stranger."""
        return {self.client: "client", self.lsp: "lsp", "chain": "chain"}.get(name, "stranger")


Result = tuple[Exit, tuple[Action, ...]]


@cache
def assisted_exit_machine(directory: Path | None = None) -> BoundMachine[Exit]:
    """The table of ``assisted_exit``, bound; read once for each directory."""
    return bind(load_machine("assisted_exit", directory), RULES)


def least_gap(exit_: Exit) -> int:
    """How many blocks the refund on chain must come before the expiry inside, at least.

    A claim may be mined as late as the refund could be: the LSP looks ``lsp_absence`` blocks after ``refund_height``,
    and the refund takes ``confirmation`` more. The LSP must then see the claim deep, bring its leaf on chain, and have
    first its commitment and then its claim mined there, each after a look.
    """
    mined = exit_.lsp_absence + exit_.confirmation
    return mined + exit_.depth - 1 + exit_.lsp_absence + exit_.exit_blocks + 2 * mined


@RULES.guard
def fresh_key(exit_: Exit, event: Event) -> bool:
    """Whether the key was never handed over."""
    return not exit_.handed_over


@RULES.guard
def heights_in_order(exit_: Exit, event: Event) -> bool:
    """Whether the LSP has time, after the latest claim, to take what is inside."""
    return exit_.refund_height + least_gap(exit_) <= exit_.expiry


@RULES.guard
def amounts_agree(exit_: Exit, event: Event) -> bool:
    """Whether the output pays what is locked inside, less the fee."""
    return number(event, "on_chain") == number(event, "inside") - number(event, "fee")


@RULES.guard
def nothing_published(exit_: Exit, event: Event) -> bool:
    """Whether this side has not published the output."""
    return not exit_.published


@RULES.guard
def lock_published(exit_: Exit, event: Event) -> bool:
    """Whether this side has published the output."""
    return exit_.published


@RULES.guard
def key_shown(exit_: Exit, event: Event) -> bool:
    """Whether the claim was published before."""
    return exit_.shown


@RULES.guard
def pre_signature_valid(exit_: Exit, event: Event) -> bool:
    """Whether the pre-signature is for this claim and this key."""
    return event["valid"] is True


@RULES.guard
def time_left_to_claim(exit_: Exit, event: Event) -> bool:
    """Whether a claim that is published now is mined, and deep, before a refund may be mined."""
    return number(event, "height") + exit_.confirmation + exit_.depth - 1 <= exit_.refund_height


@RULES.guard
def deep_enough(exit_: Exit, event: Event) -> bool:
    """Whether a transaction is as deep as a reorg is assumed to reach."""
    return number(event, "depth") >= exit_.depth


@RULES.guard
def height_reached(exit_: Exit, event: Event) -> bool:
    """Whether the LSP may take its output back."""
    return number(event, "height") >= exit_.refund_height


_SAVE = Action("persist", "assisted_exit")


@RULES.effect
def lock_inside(exit_: Exit, event: Event) -> Result:
    """The client's balance is locked to the point."""
    return exit_, (Action("send", "lock_inside", exit_.lsp),)


@RULES.effect
def persist_offer(exit_: Exit, event: Event) -> Result:
    """The terms become durable."""
    return exit_, (_SAVE,)


@RULES.effect
def publish_lock(exit_: Exit, event: Event) -> Result:
    """The output goes out, and that is known from before it does."""
    return replace(exit_, published=True), (_SAVE, Action("broadcast", "lock"))


@RULES.effect
def mark_shown(exit_: Exit, event: Event) -> Result:
    """The key is as good as handed over from here on."""
    return replace(exit_, shown=True, handed_over=True), (_SAVE,)


@RULES.effect
def publish_claim(exit_: Exit, event: Event) -> Result:
    """The claim goes out, and the key with it."""
    return exit_, (Action("broadcast", "claim"),)


@RULES.effect
def persist_key(exit_: Exit, event: Event) -> Result:
    """The key becomes durable."""
    return exit_, (Action("persist", "factory_key"),)


@RULES.effect
def take_inside(exit_: Exit, event: Event) -> Result:
    """What is locked inside is taken with the key."""
    return exit_, (Action("send", "take_inside", exit_.client),)


@RULES.effect
def publish_refund(exit_: Exit, event: Event) -> Result:
    """The output goes back."""
    return exit_, (Action("broadcast", "refund"),)


@RULES.effect
def persist_end(exit_: Exit, event: Event) -> Result:
    """The end becomes durable."""
    return exit_, (_SAVE,)


@RULES.effect
def unlock_inside(exit_: Exit, event: Event) -> Result:
    """The LSP gives the lock inside back; a client that gives up asks it to."""
    return exit_, (Action("send", "unlock_inside", exit_.lsp if event.by == exit_.client else exit_.client),)
