"""One party in a process of its own: letters as lines of hex on stdin, its answers on stdout. For ``test_process``.

Arguments: directory of the store, the party's name, and how many times it may commit before it kills itself with
SIGKILL right after a commit (0: never). The LSP is that of three clients of whom two share a stock; the line 'retry'
lets it ask again.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from superscalar_ref.parties.client import ClientActor
from superscalar_ref.parties.lsp import LspActor, Wallet
from superscalar_ref.parties.store import Store
from superscalar_ref.protocol.shape import Shape
from tests.parties.scene import LIMITS, LSP, WALLET_KEY, identity, payout, scene


class Mortal(Store):
    """A store whose process dies when it has committed so often: between what is durable and what is sent."""

    left = 0

    def commit(self) -> None:
        written = self._connection.in_transaction
        super().commit()
        if written and self.left:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def party(name: str, store: Store) -> ClientActor | LspActor:
    """The party as its store has it."""
    if name != LSP:
        return ClientActor(identity(name), LSP, store, payout(name), LIMITS)
    play = scene(3, shape=Shape.of([2], leaf_k=2))
    return LspActor(identity(name), store, Wallet(WALLET_KEY, play.coins), payout(name), play.offer)


def main(directory: str, name: str, left: str) -> None:
    store = Mortal(Path(directory) / f"{name}.sqlite")
    store.left = int(left)
    actor = party(name, store)
    for line in sys.stdin:
        sender, *raw = line.split()
        if sender == "retry":
            assert isinstance(actor, LspActor)
            outbox = actor.retry()
        else:
            outbox = actor.receive(sender, bytes.fromhex(raw[0]))
        for to, message in outbox.messages:
            print(to, message.hex())
        print("done", actor.life.status, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
