"""An LSP's ladder: many factories at once, each an ``LspActor`` of its own, and one transaction a day between them.

Laws of this module:

* What a slot may do is decided by ``spec/machines/ladder.toml``; the factories' lives by their own table.
* The day's transaction is the funding transaction of the new factory: its bytes are fixed before anybody signs the new
  tree, and its first input, where an old factory ends, is that one's cooperative close.
* ``day`` is asked twice of an old factory: before anybody signs the close, and when it is complete and goes out.
* What a slot persists is durable before the day's transaction leaves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from superscalar_ref.bitcoin.transaction import Transaction
from superscalar_ref.chain.interface import Ledger
from superscalar_ref.errors import InputError, Refused
from superscalar_ref.machine.step import step
from superscalar_ref.machine.types import Event
from superscalar_ref.parties import messages as m
from superscalar_ref.parties.actor import Identity, Outbox
from superscalar_ref.parties.lsp import LspActor, Offer, Wallet
from superscalar_ref.parties.store import Store
from superscalar_ref.parties.watch import Watcher
from superscalar_ref.protocol.blueprint import FUNDING
from superscalar_ref.protocol.ladder import Pace, Slot, ladder_machine
from superscalar_ref.signing.keys import Randomness, SecretKey, system_randomness

DOCUMENT = "ladder"


@dataclass(frozen=True)
class Saved:
    """A ladder on disk; each factory has a store of its own."""

    slots: Mapping[str, Slot]
    """By the number of the factory."""
    last: int
    """Height at which the last daily transaction was published."""
    coins: tuple[m.CoinForm, ...]
    """The LSP's own."""


@dataclass
class Rung:
    """One factory of the ladder."""

    number: int
    slot: Slot
    lsp: LspActor
    watcher: Watcher


@dataclass
class Ladder:
    """The LSP of all factories."""

    name: str
    seed: bytes
    key: SecretKey
    """Of its wallet (BIP-86); its payouts go there too."""
    script: bytes
    pace: Pace
    depth: int
    ledger: Ledger
    store: Store
    coins: tuple[m.CoinForm, ...]
    """Its own coins, confirmed."""
    randomness: Randomness = system_randomness
    rungs: dict[int, Rung] = field(default_factory=dict)
    last: int = 0
    """Height at which the last daily transaction was published; before the first, a day ago."""
    notices: list[tuple[int, str]] = field(default_factory=list)
    """(factory, client): who is to be told that its factory is dying."""

    def __post_init__(self) -> None:
        """A new ladder, or, when ``store`` holds one, that ladder's calendar and coins (``resume`` gives its rungs)."""
        self._slots: dict[str, Slot] = {}
        stored = self.store.document(DOCUMENT)
        if stored is None:
            self.last = self.ledger.height - self.pace.day
            return
        saved = m.decode_plain(Saved, stored, str(self.store.path))
        self._slots, self.last, self.coins = dict(saved.slots), saved.last, saved.coins

    # -- building ------------------------------------------------------------------------------------------------------

    def begin(self, offer: Offer, store: Store, old: Rung | None = None) -> Rung:
        """A new factory for a cohort, on the transaction of its day: nobody is invited yet.

        With ``old``, that transaction closes ``old``, and pays who leaves as ``offer`` says.
        """
        number = max([*self.rungs, *map(int, self._slots)], default=-1) + 1
        slot = Slot(
            "building",
            offer.factory,
            self.name,
            frozenset(offer.balances),
            self.pace.active,
            self.pace.dying,
            self.depth,
            self.pace.day,
        )
        spends = self.coins if old is None else (self.funding_of(old), *self.coins)
        return self._rung(number, slot, offer, store, spends)

    def resume(self, number: int, offer: Offer, store: Store, spends: tuple[m.CoinForm, ...] = ()) -> Rung:
        """A factory after a restart, from its own store. Raises ``InputError`` when the ladder knows none such."""
        slot = self._slots.get(str(number))
        if slot is None:
            raise InputError("ladder", f"knows no factory number {number}", "LAD-1")
        return self._rung(number, slot, offer, store, spends or self.coins)

    def _rung(self, number: int, slot: Slot, offer: Offer, store: Store, spends: tuple[m.CoinForm, ...]) -> Rung:
        lsp = LspActor(
            Identity(self.name, self.seed, number), store, Wallet(self.key, spends), self.script, offer, self.randomness
        )
        lsp.height = self.ledger.height
        self.rungs[number] = Rung(number, slot, lsp, Watcher(lsp, self.ledger))
        return self.rungs[number]

    def signed(self, rung: Rung) -> None:
        """The ceremony is over. Raises ``Refused`` (KITS_COMPLETE) when it did not end with every kit complete."""
        self._step(rung, Event.of("signed", self.name, complete=rung.lsp.life.status == "signed"))

    def give_up(self, rung: Rung) -> None:
        """The cohort did not come together. Raises ``Refused`` once the day's transaction is out."""
        self._step(rung, Event.of("cohort_failed", self.name))

    def replan(self, rung: Rung, offer: Offer, store: Store, old: Rung | None = None) -> Rung:
        """Clients of the cohort do not come to sign: the day anew with those of ``offer``, as another factory (LAD-12).

        ``old`` as for ``begin``. Raises ``Refused`` with nothing begun when none of the cohort is missing, or all are,
        or when the day's transaction is out.
        """
        missing = rung.slot.clients - frozenset(offer.balances)
        self._step(rung, Event.of("absent", self.name, missing=missing))
        return self.begin(offer, store, old)

    @property
    def waiting(self) -> frozenset[str]:
        """Clients that did not come to sign a factory, and are in none that was planned since."""
        found: frozenset[str] = frozenset()
        for _, slot in sorted(self._slots.items(), key=lambda item: int(item[0])):
            found = (found - slot.clients) | slot.waiting
        return found

    # -- the day -------------------------------------------------------------------------------------------------------

    @staticmethod
    def funding_of(rung: Rung) -> m.CoinForm:
        """A factory's funding output, as a coin that the day's transaction spends."""
        realised = rung.lsp.factory.realised[FUNDING]
        output = realised.transaction.outputs[realised.places[0]]
        return m.CoinForm(realised.txid, realised.places[0], output.amount_sat, output.script_pubkey.hex())

    def answer(self, rung: Rung, client: str) -> None:
        """A client of a dying factory has moved, or asked to be paid on chain. Raises ``Refused`` out of turn."""
        self._step(rung, Event.of("answer", client))

    def close(self, old: Rung, new: Rung, owed: Mapping[str, int]) -> Outbox:
        """Ask the clients of ``old`` to sign the day's transaction, which funds ``new``.

        ``owed`` is what those who leave are to be paid (sat). Raises ``Refused`` (LAD-6) with nothing begun.
        """
        step(ladder_machine(), old.slot, self._day_of_old(old, new, owed))
        realised = new.lsp.factory.realised[FUNDING]
        outputs = [m.PayForm(one.amount_sat, one.script_pubkey.hex()) for one in realised.transaction.outputs]
        return old.lsp.close(m.DayForm(new.lsp.wallet.coins[1:], tuple(outputs)))

    def publish(
        self,
        new: Rung,
        old: Rung | None = None,
        day: Transaction | None = None,
        owed: Mapping[str, int] = MappingProxyType({}),
    ) -> Transaction:
        """The day's transaction goes out: ``day`` is the complete close of ``old``, where one ends; ``owed`` as there.

        Raises ``Refused`` (LAD-2, LAD-6) with nothing published.
        """
        realised = new.lsp.factory.realised[FUNDING]
        if (old is None) != (day is None) or (day is not None and day.txid != realised.txid):
            raise InputError("day", "is not the transaction on which the new factory was signed", "LAD-2")
        height, spent = self.ledger.height, sum(one.amount_sat for one in realised.spent)
        needed = sum(one.amount_sat for one in realised.transaction.outputs)
        event = Event.of("day", self.name, height=height, last=self.last, spent=spent, needed=needed)
        closing = None if old is None else self._day_of_old(old, new, owed)
        # Both tables are asked before either is taken at its word.
        step(ladder_machine(), new.slot, event)
        if old is not None and closing is not None:
            step(ladder_machine(), old.slot, closing)
            self._step(old, closing)
        self._step(new, event)
        new.lsp.day = day
        transaction = new.lsp.fund().broadcasts[-1]
        self.last = height
        self.coins = tuple(self._change(new))
        self._save()
        return transaction

    def _day_of_old(self, old: Rung, new: Rung, owed: Mapping[str, int]) -> Event:
        paid = {name: amount for name, (_, amount) in new.lsp.offer.leavers.items()}
        return Event.of(
            "day",
            self.name,
            height=self.ledger.height,
            last=self.last,
            next_ready=new.slot.status == "ready" and new.lsp.life.status == "signed",
            short=sum(max(sats - paid.get(client, 0), 0) for client, sats in owed.items()),
        )

    def _change(self, new: Rung) -> list[m.CoinForm]:
        realised = new.lsp.factory.realised[FUNDING]
        return [
            m.CoinForm(realised.txid, index, output.amount_sat, output.script_pubkey.hex())
            for index, output in enumerate(realised.transaction.outputs)
            if output.script_pubkey == self.script
        ]

    # -- the chain -----------------------------------------------------------------------------------------------------

    def look(self) -> None:
        """See the tip: every factory that is on chain, or was, and the calendar."""
        for rung in self.rungs.values():
            if rung.lsp.archive is None or rung.slot.status in ("building", "ready", "gone", "dropped"):
                continue
            rung.watcher.look()
            self._look_of(rung)
            if rung.slot.status == "resolving":
                rung.watcher.deadline = min(rung.watcher.deadline, self.ledger.height)

    def due(self) -> dict[str, Transaction]:
        """What the LSP publishes now for the factories that it brings on chain (LAD-8), by factory and name."""
        return {
            f"{rung.slot.factory}/{name}": transaction
            for rung in self.in_status("resolving")
            for name, transaction in rung.watcher.publish().items()
        }

    def _look_of(self, rung: Rung) -> None:
        height, seen = self.ledger.height, rung.watcher.seen
        events = [Event.of("tick", "clock", height=height)]
        if FUNDING in seen:
            depth = height - seen[FUNDING] + 1
            events.insert(
                0,
                Event.of("funding_confirmed", "chain", depth=depth, height=seen[FUNDING], locked=self.locked_in(rung)),
            )
        closes = [seen[name] for name in seen if name.startswith("close:")]
        if closes:
            events.append(Event.of("close_confirmed", "chain", depth=height - max(closes) + 1))
        if rung.lsp.life.status == "resolved":
            events.append(Event.of("outputs_spent", "chain", depth=height - max(seen.values()) + 1))
        for event in events:
            try:
                self._step(rung, event)
            except Refused:
                continue

    @staticmethod
    def locked_in(rung: Rung) -> int:
        """What the LSP itself has in a factory (sat): all of its funding output but the clients' balances."""
        lsp = rung.lsp
        return lsp.factory.templates[FUNDING].outputs[0].amount - sum(lsp.offer.balances.values())

    @property
    def locked(self) -> int:
        """What the LSP has in all its factories (sat)."""
        return sum(rung.slot.locked for rung in self.rungs.values())

    def in_status(self, *statuses: str) -> list[Rung]:
        """The rungs whose slot is in one of these states, oldest first."""
        return [rung for _, rung in sorted(self.rungs.items()) if rung.slot.status in statuses]

    def _step(self, rung: Rung, event: Event) -> None:
        stepped = step(ladder_machine(), rung.slot, event)
        before = rung.slot
        rung.slot = stepped.context
        self.notices.extend((rung.number, action.to) for action in stepped.actions if action.kind == "send")
        try:
            if any(action.kind == "persist" for action in stepped.actions) or before.status != rung.slot.status:
                self._save()
        except Exception:
            rung.slot = before
            raise

    def _save(self) -> None:
        self._slots |= {str(number): rung.slot for number, rung in self.rungs.items()}
        self.store.put_document(DOCUMENT, m.text_of(Saved(self._slots, self.last, self.coins)))
        self.store.commit()
