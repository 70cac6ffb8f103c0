"""The wire between parties in one process: messages in a queue, counted; what a test does to them is up to the test."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from superscalar_ref.bitcoin.transaction import Transaction
from superscalar_ref.parties.actor import Actor, Outbox
from superscalar_ref.parties.tower import Tower


@dataclass(frozen=True)
class Letter:
    """One message on its way."""

    sender: str
    to: str
    raw: bytes


@dataclass
class Wire:
    """Carries messages between actors, in the order in which they were sent to each."""

    actors: Mapping[str, Actor]
    towers: Mapping[str, Tower] = field(default_factory=dict)
    """The clients' watchtowers."""
    letters: deque[Letter] = field(default_factory=deque)
    broadcasts: list[Transaction] = field(default_factory=list)
    alerts: list[str] = field(default_factory=list)
    count: int = 0
    size: int = 0
    """Messages and bytes carried so far."""

    def post(self, sender: str, outbox: Outbox) -> None:
        """Take what a party gave."""
        for to, raw in outbox.messages:
            self.letters.append(Letter(sender, to, raw))
        self.broadcasts.extend(outbox.broadcasts)
        self.alerts.extend(outbox.alerts)

    def deliver(self, letter: Letter) -> None:
        """Hand one message over, and take what it gave."""
        self.count += 1
        self.size += len(letter.raw)
        receiver = self.towers.get(letter.to) or self.actors[letter.to]
        self.post(letter.to, receiver.receive(letter.sender, letter.raw))

    def run(self, watch: Callable[[int], None] = lambda count: None) -> None:
        """Deliver until nothing is on its way; ``watch`` sees the number of messages so far."""
        while self.letters:
            self.deliver(self.letters.popleft())
            watch(self.count)
