"""One client in a process of its own: letters as lines of hex on stdin, its answers on stdout. For ``test_process``.

Arguments: directory of the store, client's name, and how many times it may commit before it kills itself with SIGKILL
right after a commit (0: never).
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from superscalar_ref.parties.client import ClientActor
from superscalar_ref.parties.store import Store
from tests.parties.scene import LIMITS, LSP, identity, payout


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


def main(directory: str, name: str, left: str) -> None:
    store = Mortal(Path(directory) / f"{name}.sqlite")
    store.left = int(left)
    client = ClientActor(identity(name), LSP, store, payout(name), LIMITS)
    for line in sys.stdin:
        sender, raw = line.split()
        outbox = client.receive(sender, bytes.fromhex(raw))
        for to, message in outbox.messages:
            print(to, message.hex())
        print("done", client.life.status, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
