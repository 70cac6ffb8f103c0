"""One fault in a payment across two factories: a letter lost, doubled, late, overtaken; a party that dies anywhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from superscalar_ref.errors import Refused
from superscalar_ref.parties import channel_messages as c
from superscalar_ref.parties.actor import Outbox
from superscalar_ref.parties.store import Store
from superscalar_ref.parties.wire import Letter
from superscalar_ref.scenario.payment_two_factories import AMOUNT_MSAT, HASH, PREIMAGE, start
from superscalar_ref.scenario.payment_world import CLIENTS, FEE_MSAT, PAYEE, PAYER, Home, Place, World
from superscalar_ref.scenario.town import LSP
from tests.parties.scene import QuickStore

PARTIES = (LSP, *CLIENTS)
BEFORE, AFTER = "before", "after"
FAULTS = {
    "lost": "it never comes",
    "late": "whatever is on its way, and all that this gives, comes before it",
    "across": "what the other side and the other factory have on their way comes before it",
    "doubled": "it comes twice",
    **{
        f"crash {name}": f"{name} dies before it comes, and it comes to, or from, the restarted one" for name in PARTIES
    },
    **{f"blackout {name}": f"{name} dies, and all that is on its way to or from it is lost" for name in PARTIES},
}


class Crash(BaseException):
    """A process dies: nothing catches that."""


@dataclass
class Fuse:
    """Counts the durable writes of each party; one of them may be its last."""

    party: str = ""
    number: int = -1
    when: str = AFTER
    """Before the write is on the disk, or after it, and before anything that depends on it has left."""
    written: Counter[str] = field(default_factory=Counter)

    def burn(self, party: str, when: str) -> None:
        """Called at each write."""
        if (party, self.written[party], when) == (self.party, self.number, self.when):
            self.party = ""
            raise Crash
        self.written[party] += when == AFTER


class FusedStore(QuickStore):
    """A file whose process may die at a write."""

    burn: Callable[[str], None] | None = None

    def commit(self) -> None:
        if self.burn is None or not self._connection.in_transaction:
            super().commit()
            return
        self.burn(BEFORE)
        super().commit()
        self.burn(AFTER)


def on_disk(folder: Path, fuse: Fuse, *, chain: bool = False) -> World:
    """A branch of the two factories with a file for each store; with a chain of its own when ``chain``."""

    def store_of(store: Store, place: Place) -> Store:
        path = folder / f"{place[0]}-{place[1]}.sqlite"
        store.twin(path).close()
        return FusedStore(path)

    world = start().branch(store_of, chain=chain)
    for place, store in world.stores.items():
        assert isinstance(store, FusedStore)
        store.burn = partial(fuse.burn, place[1])
    return world


def close(world: World) -> None:
    """Give the files back."""
    for store in world.stores.values():
        store.close()


def answer(world: World, claims: bool) -> World:
    """What the payee does."""
    world.on_answer(PAYEE, lambda htlc: (PREIMAGE if claims else "no") if htlc.payment_hash == HASH else None)
    return world


def die_at_a_write(folder: Path, claims: bool, fuse: Fuse, *, chain: bool = False) -> World:
    """A payment in which a party dies at one of its writes, and restarts from its files: nobody has gone on yet."""
    world = answer(on_disk(folder, fuse, chain=chain), claims)
    victim = fuse.party
    try:
        world.pay(AMOUNT_MSAT, HASH)
        world.run()
    except Crash:
        world.crash(victim)
    assert not fuse.party, "nobody has died"
    return world


def letters(world: World) -> Iterator[tuple[int, Home, Letter]]:
    """The letters of a payment, each before it is delivered, in their order."""
    number = 0
    while (found := world.next_letter()) is not None:
        yield number, *found
        number += 1


def with_fault(world: World, at: int, fault: str) -> World:
    """The whole payment, in which one letter meets one of ``FAULTS``."""
    world.pay(AMOUNT_MSAT, HASH)
    for number, home, letter in letters(world):
        if number != at:
            world.deliver(home, letter)
            continue
        what, _, who = fault.partition(" ")
        if what == "lost":
            continue
        if what == "late":
            # Whatever else is on its way comes first, to whomever; the last of all is this one.
            world.run()
            world.deliver(home, letter)
        elif what == "across":
            # What the other side and the other factory have on their way comes first, in the order of each.
            for one in reversed(world.homes):
                first = [other for other in one.wire.letters if one is not home or other.sender != letter.sender]
                for other in first:
                    one.wire.letters.remove(other)
                    world.deliver(one, other)
            world.deliver(home, letter)
        elif what == "doubled":
            world.deliver(home, letter)
            world.deliver(home, letter)
        elif what == "crash":
            # It arrives after the restart, from or at a process that knows nothing of the connection.
            world.crash(who)
            world.deliver(home, letter)
        else:
            assert what == "blackout", fault
            world.crash(who)
            for one in world.homes:
                if who in one.actors:
                    one.wire.letters.clear()
    return world


def offers_again(world: World) -> bool:
    """Whether the payer can pay once more, in full, and the payee gets it: both channels still work."""
    before = [home.side(home.client).channel.balance_msat for home in world.homes]
    known = world.homes[0].side(PAYER).channel.next_offer
    try:
        world.pay(AMOUNT_MSAT, "ab" * 32)
    except Refused:
        return False
    world.settle(2)
    after = [home.side(home.client).channel.balance_msat for home in world.homes]
    # The payee gives it back: it knows no preimage of that hash.
    return before == after and world.homes[0].side(PAYER).channel.next_offer == known + 1


def outcome(world: World) -> str:
    """``paid`` or ``unpaid``: nothing else is an end. Raises ``AssertionError`` otherwise."""
    sides = [side for home in world.homes for side in home.sides]
    assert all(side.channel.status == "live" and not side.channel.htlcs for side in sides), [s.channel for s in sides]
    base = [side.channel.balance_msat for home in start().homes for side in home.sides]
    gained = [side.channel.balance_msat - was for side, was in zip(sides, base, strict=True)]
    sent = AMOUNT_MSAT + FEE_MSAT
    ends = {"paid": [-sent, sent, AMOUNT_MSAT, -AMOUNT_MSAT], "unpaid": [0, 0, 0, 0]}
    found = [name for name, amounts in ends.items() if amounts == gained]
    assert found, gained
    for store in world.stores.values():
        slots = Counter((outpoint, slot) for outpoint, slot, _ in store.records())
        assert max(slots.values(), default=1) == 1, "two messages for one spend"
    return found[0]


def taped(world: World) -> list[Letter]:
    """Every letter that is sent from now on."""
    tape: list[Letter] = []
    for home in world.homes:
        post = home.wire.post

        def keep(name: str, outbox: Outbox, post: Callable[[str, Outbox], None] = post) -> None:
            tape.extend(Letter(name, to, raw) for to, raw in outbox.messages)
            post(name, outbox)

        home.wire.post = keep  # type: ignore[method-assign, assignment]
    return tape


def nonces_used(tape: list[Letter]) -> Counter[str]:
    """How often each public nonce was its signer's own in a signature that was sent."""
    used: Counter[str] = Counter()
    for letter in dict.fromkeys(tape):
        body = c.decode(letter.raw, letter.sender).body
        if isinstance(body, c.CommitmentSigned):
            used.update(form.nonce for form in body.signatures.values())
    return used
