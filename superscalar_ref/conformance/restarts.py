"""What a restart leaves of a node: that alone which its ``persist`` effects had stored (D-2, D-7, D-16).

Laws of this module:

* A party's life is as it stood after the last step that had a ``persist`` effect.
* What another part of the same party has stored or seen (a ``given`` step) survives.
* Of a signing session nothing is left but the signer's records and the transactions that it holds: no nonce, and no
  attempt.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from superscalar_ref.machine.step import Stepped
from superscalar_ref.protocol.session import Session

RESTARTING = ("session", "client", "factory")
"""Machines whose restart the rules alone settle; a channel's depends on the connection too."""


def durable(stored: Any, stepped: Stepped[Any]) -> Any:
    """What is stored after a step, from what was stored before it."""
    return stepped.context if any(action.kind == "persist" for action in stepped.actions) else stored


def restarted(context: Any, stored: Any) -> Any:
    """The node after a restart: ``context`` is what it was, ``stored`` what was stored of it."""
    if not isinstance(context, Session):
        return stored
    fresh = Session("unopened", context.me, context.task)
    return replace(fresh, held=context.held, records=context.records, tree_on_chain=context.tree_on_chain)
