"""Exits on a copy of the chain: one client, from a copy of its store and nothing else.

The copy is a ledger of the rules; each script is judged by Bitcoin Core's code besides, and a story's last exits run
on Core's chain too (``AgreedLedger``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from superscalar_ref.bitcoin.taproot import p2tr_from_internal
from superscalar_ref.bitcoin.transaction import Transaction
from superscalar_ref.chain.interface import Ledger, OutPoint, TxOut
from superscalar_ref.chain.kernel import verify_input
from superscalar_ref.chain.model import Book
from superscalar_ref.machine.types import Event
from superscalar_ref.parties.actor import Actor, Identity
from superscalar_ref.parties.client import ClientActor
from superscalar_ref.parties.store import Store
from superscalar_ref.parties.watch import NEVER, Watcher, txid_bytes
from superscalar_ref.protocol.client import Client
from superscalar_ref.protocol.strategy import load_strategy, may_enter
from superscalar_ref.protocol.transaction import Kind, Outpoint, Template
from superscalar_ref.protocol.weight import lock_path_vbytes
from superscalar_ref.realise.tree import Realised
from superscalar_ref.signing.nonces import SeededRandomness
from tests.lifecycle.plans import ECONOMY, LIMITS, TO_SELF_DELAY
from tests.parties.scene import LSP, payout

STRATEGY = load_strategy()
OVER = ("swept", "paid", "left")
ON_ITS_WAY = ("exiting", "waiting", "on_chain", "settling")


@dataclass(frozen=True)
class Piece:
    """A complete transaction, and what it carries out."""

    transaction: Transaction
    realised: Realised

    @property
    def template(self) -> Template:
        """Its template."""
        return self.realised.template

    def enter(self, book: Book) -> bytes:
        """Its bytes, known to the ledger of the rules."""
        raw = self.transaction.serialized
        book.add(raw, self.template, places=self.realised.places)
        return raw


def piece(actor: Actor, name: str) -> Piece:
    """A transaction that ``actor`` may publish."""
    return Piece(actor.complete_transaction(name), actor.factory.realised[name])


def judged(one: Piece, raw: bytes) -> bool:
    """Whether every input satisfies the script that it spends, by Core's code."""
    spent = [TxOut(output.amount_sat, output.script_pubkey) for output in one.realised.spent]
    return all(verify_input(raw, index, spent) for index in range(len(spent)))


@dataclass
class Foe:
    """What an adversary holds; it tries the oldest states first, in every block, before everybody else.

    It keeps the newest state back where it holds an older one: that is for the others to publish.
    """

    pieces: Sequence[Piece]

    @classmethod
    def of(cls, actor: Actor) -> Foe:
        """What ``actor`` could publish now against its clients: kickoffs, states and its commitments."""
        kinds = (Kind.KICKOFF, Kind.STATE, Kind.COMMITMENT)
        held = [one for one in actor.held_templates().values() if one.name in actor.signatures and one.kind in kinds]
        states: dict[Outpoint, list[Template]] = {}
        for one in held:
            if one.kind is Kind.STATE:
                states.setdefault(one.spends[0].outpoint, []).append(one)
        newest = {
            min(some, key=lambda one: one.spends[0].relative_lock or 0).name for some in states.values() if some[1:]
        }
        return cls([piece(actor, one.name) for one in held if one.name not in newest])

    def publish(self, book: Book, ledger: Ledger) -> list[Piece]:
        """What it gets into the next block, the longest lock first."""
        unspent = ledger.unspent()
        taken: set[OutPoint] = set()
        chosen: list[Piece] = []
        for one in sorted(self.pieces, key=lambda one: -(one.template.spends[0].relative_lock or 0)):
            spent = one.transaction.inputs[0]
            point = OutPoint(txid_bytes(spent.txid_hex), spent.index)
            coin = unspent.get(point)
            if coin is None or point in taken:
                continue
            outpoint = one.template.spends[0].outpoint
            if may_enter(one.template, {outpoint: coin.height}, ledger.height + 1):
                chosen.append(one)
                taken.add(point)
        return chosen


@dataclass
class Exit:
    """How an exit went."""

    status: str
    owed: int
    owned: int
    blocks: int
    """From its start to the block with the last transaction that the client needed."""
    planned: int
    least: int
    """What it must own at least: what it is owed less the stated fees (sat)."""
    story: list[str] = field(default_factory=list)

    def problem(self) -> str:
        """What is wrong; empty when nothing is."""
        if self.owned < self.least:
            return (
                f"owns {self.owned} sat, is owed {self.owed} and at least {self.least} after fees; ends '{self.status}'"
            )
        if self.blocks > self.planned:
            return f"took {self.blocks} blocks, planned are {self.planned}"
        return ""


def least_of(life: Client) -> int:
    """What a client must own in the end: its balance less the sweep's fee; nothing when that is no output (sat)."""
    swept = life.owed - ECONOMY.feerate * lock_path_vbytes(TO_SELF_DELAY)
    return swept if swept >= ECONOMY.dust else 0


def newer_of(client: ClientActor, chosen: Template) -> list[str]:
    """States that a client holds for what ``chosen`` spends, and that wait less."""
    if chosen.kind is not Kind.STATE:
        return []
    spend = chosen.spends[0]
    rivals = [one for one in client.held_templates().values() if one.spends[0].outpoint == spend.outpoint]
    return [
        one.name
        for one in rivals
        if one.kind is Kind.STATE and (one.spends[0].relative_lock or 0) < (spend.relative_lock or 0)
    ]


def planned_blocks(actor: ClientActor) -> int:
    """Blocks from the beginning to the sweep, in the worst case: the tree, a link for each sale, a close, its delay."""
    terms = actor.factory.terms
    links = max((len(stock.links) for stock in actor.party.stocks.values()), default=0)
    return terms.exit_blocks(actor.name) + links + 1 + terms.locks.to_self_delay


def leave(
    name: str, identity: Identity, store: Store, book: Book, ledger: Ledger, foe: Foe | None = None, spare: int = 0
) -> Exit:
    """Let a client leave from ``store`` on ``ledger``, alone, or against ``foe``.

    ``spare``: what rests on its script and is not from the factory (sat).
    """
    client = ClientActor(identity, LSP, store, payout(name), LIMITS, SeededRandomness(f"{name} leaves"))
    begun = last = ledger.height
    watcher = Watcher(client, ledger, strategy=STRATEGY)
    watcher.look()
    if client.life.status in ("holding", "active", "updating", "closing"):
        client.live(Event.of("start_exit", name))
    watcher.deadline = begun if client.life.status in ON_ITS_WAY else NEVER
    busy = begun
    mine = {realised.txid for realised in client.factory.realised.values()}
    story: list[str] = []
    planned = planned_blocks(client)
    while client.life.status not in OVER and ledger.height <= begun + planned + LIMITS.depth:
        first = foe.publish(book, ledger) if foe else []
        taken = {spent.outpoint for one in first for spent in one.template.spends}
        answers = [piece(client, published) for published in watcher.publish()]
        for one in answers:
            newer = newer_of(client, one.template)
            assert not newer, f"{name} publishes {one.template.name} and holds the newer {newer[0]}"
        block = [*first, *(one for one in answers if not taken & {spend.outpoint for spend in one.template.spends})]
        raws = [one.enter(book) for one in block]
        for one, raw in zip(block, raws, strict=True):
            assert judged(one, raw), f"{name}: Core's code refuses the script of '{one.template.name}'"
        ledger.mine(raws)
        busy = ledger.height if block else busy
        for one in block:
            story.append(f"  {ledger.height}: {'the foe' if one in first else name} confirms {one.template.name}")
            if one.transaction.txid in mine:
                last = ledger.height
        if ledger.height - busy < LIMITS.depth:
            watcher.look()
    # The LSP's commitment pays a client at once, under the key that the client gave for it (BOLT 3, to_remote).
    own = {payout(name), p2tr_from_internal(identity.channel(name).points.payment_basepoint[1:])}
    owned = sum(coin.output.amount for coin in ledger.unspent().values() if coin.output.script in own)
    least = least_of(client.life)
    return Exit(client.life.status, client.life.owed, owned - spare, last - begun, planned, least, story)
