"""What a restart leaves of a node: that alone which its ``persist`` effects had stored (D-2, D-7, D-16).

Laws of this module:

* A party's life is as it stood after the last step that had a ``persist`` effect.
* What another part of the same party has stored or seen (a ``given`` step) survives.
* Of a signing session nothing is left but the signer's records and the transactions that it holds: no nonce, and no
  attempt.
* A channel comes back without its connection: updates that no signature covers, promises of quiet and nonces are gone
  (CHN-6, CHN-20, CHN-32, CHN-48).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from superscalar_ref.machine.step import BoundMachine, Stepped, chosen, outcome
from superscalar_ref.machine.types import Event
from superscalar_ref.protocol.channel import Channel, unsync
from superscalar_ref.protocol.session import Session


def durable(stored: Any, stepped: Stepped[Any]) -> Any:
    """What is stored after a step, from what was stored before it."""
    return stepped.context if any(action.kind == "persist" for action in stepped.actions) else stored


def restarted(machine: BoundMachine[Any], context: Any, stored: Any) -> Any:
    """The node after a restart: ``context`` is what it was, ``stored`` what was stored of it."""
    if isinstance(context, Session):
        fresh = Session("unopened", context.me, context.task)
        return replace(fresh, held=context.held, records=context.records, tree_on_chain=context.tree_on_chain)
    if isinstance(context, Channel):
        lost = Event.of("disconnected", stored.me)
        row = chosen(machine, stored, lost)
        # Where no row takes it the channel goes on in its state, but in step with nobody.
        return unsync(stored, lost)[0] if row is None else outcome(row, stored, lost).context
    return stored
