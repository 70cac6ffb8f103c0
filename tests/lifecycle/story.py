"""A factory's life step by step: real parties, lossy mail, stores that fail, a chain; and what must hold after each.

Laws of this module:

* A step is something that can happen to the parties; none of them is ever handed another's secret or state.
* ``check`` looks at everything that must always hold. A step or a check that finds something wrong raises ``Wrong``
  with the whole story up to there.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from superscalar_ref.chain.agreement import AgreedLedger
from superscalar_ref.chain.fees import Offer
from superscalar_ref.chain.interface import TxOut
from superscalar_ref.chain.kernel import KernelLedger
from superscalar_ref.chain.model import Book
from superscalar_ref.errors import Refused, SuperscalarError
from superscalar_ref.machine.types import Event
from superscalar_ref.parties import messages as m
from superscalar_ref.parties.actor import Actor, Outbox
from superscalar_ref.parties.client import ClientActor
from superscalar_ref.parties.store import Store
from superscalar_ref.parties.watch import CHILD, NEVER, Watcher, txid_bytes
from superscalar_ref.parties.wire import Letter
from superscalar_ref.protocol.blueprint import Channel, LeafContents, leaves_below
from superscalar_ref.protocol.client import version_key
from superscalar_ref.protocol.shape import stock_groups
from superscalar_ref.protocol.transaction import Kind, Outpoint, Output, Role
from superscalar_ref.signing.nonces import SeededRandomness
from tests.lifecycle.market import Market, Package
from tests.lifecycle.plans import ECONOMY, END, LIMITS, START, Plan
from tests.lifecycle.probe import ON_ITS_WAY, OVER, STRATEGY, Exit, Foe, Piece, leave, piece
from tests.lifecycle.stores import Crash, StoryStore
from tests.parties.scene import COIN, LSP, WALLET_SCRIPT, Scene, coin, forget, identity

Fault = tuple[int, str, bool]
"""Commits until a store fails, how it fails, and whether what was ready to leave before leaves all the same."""
TROUBLES = ("lost", "late", "doubled", "doubled", "receiver restarts", "sender restarts", "store fails", "store fails")
Trouble = tuple[str, Fault]
Troubles = tuple[tuple[int, Trouble], ...]
"""By the position of a letter in what arrives."""
Use = tuple[str, int, str, int]
"""What a nonce is for: signer, its life, transaction, attempt."""
LATER = (Kind.POISON, Kind.SALE)
"""Signed after what they spend, and not before it (D-10)."""
TREE = (Kind.KICKOFF, Kind.STATE, Kind.ALTERNATE)
HAS_KIT = ("holding", "active", "updating", "closing", *ON_ITS_WAY, *OVER)
OPEN_ENDED = ("gathering", "proposed", "agreed", "signing", "updating", "update_signing", "closing", "close_signing")
"""States of the LSP that end with time, if mail gets through and it tries again."""


class Wrong(AssertionError):
    """Something that must never be has happened."""


@dataclass
class Story:
    """One factory, from before its first message."""

    plan: Plan
    tell: Callable[[str], None] = lambda line: None
    lines: list[str] = field(default_factory=list)
    mempool: dict[str, Piece] = field(default_factory=dict)
    """What was broadcast, by name: it goes into a block as soon as it may."""
    hostile: set[str] = field(default_factory=set)
    """Parties that publish whatever they hold, the oldest first."""
    tree_begun: bool = False
    forged: bool = False
    """Whether somebody has lied in a message that can be read: then nothing must be lost, but the ceremony may stop."""
    greedy: bool = False
    """Whether the LSP has asked a client for less than that client counts on, and nothing has come of it yet."""
    blocks: list[list[Piece]] = field(default_factory=list)
    tips: int = 0
    """How often the chain has changed."""
    tape: list[Letter] = field(default_factory=list)
    watchers: dict[str, Watcher] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    """What was done: letters, starts, blocks, transactions (judged by Core's code), reorgs, sales, exits tried."""
    _stores: dict[str, StoryStore] = field(default_factory=dict)
    _nonces: dict[str, Use] = field(default_factory=dict)
    _uses: dict[Use, str] = field(default_factory=dict)
    _signed: dict[tuple[str, str, str], str] = field(default_factory=dict)
    _counted: dict[str, tuple[tuple[int, ...], int]] = field(default_factory=dict)
    _probed: set[tuple[object, ...]] = field(default_factory=set)

    def __post_init__(self) -> None:
        coins = Market.coins(self.plan.rich)
        outputs = [one for some in coins.values() for one in some]
        kernel = KernelLedger.start([TxOut(COIN, WALLET_SCRIPT), *outputs], START)
        book = Book()
        point, *others = kernel.funds
        wallet = Output(Role.WALLET, COIN, frozenset({LSP}), owner=LSP)
        book.fund(point, Outpoint("coin", 0), wallet, WALLET_SCRIPT)
        self._directory = tempfile.TemporaryDirectory(prefix="superscalar-story-") if self.plan.on_disk else None
        # A step outlasts one look, so many blocks of waiting, and one more (R-STEP-DOMINATES).
        self.market = Market(self.plan.step - 2)
        rest = iter(others)
        self.market.open(self.names, {name: [next(rest) for _ in some] for name, some in coins.items()}, book)
        funding = (coin(point.txid[::-1].hex(), point.index),)
        self.ledger = AgreedLedger.start(kernel, book)
        self.scene = Scene(self.plan.offer(), funding, self._open, LIMITS, SeededRandomness)
        for name in self.scene.actors:
            self._born(name)
        self.say(f"{self.plan}")

    def close(self) -> None:
        """Give everything back."""
        self.ledger.close()
        for actor in self.scene.actors.values():
            actor.store.close()
        if self._directory is not None:
            self._directory.cleanup()

    @property
    def letters(self) -> list[Letter]:
        """What is on its way, in the order in which it was sent."""
        return self._letters

    _letters: list[Letter] = field(default_factory=list)

    def say(self, line: str) -> None:
        """One more line of the story."""
        self.lines.append(line)
        self.tell(line)

    def wrong(self, what: str, more: list[str] | None = None) -> Wrong:
        """The end of the story."""
        told = "\n".join(["", *self.lines, *(more or []), f"WRONG at height {self.ledger.height}: {what}"])
        return Wrong(told)

    # -- parties and their stores --------------------------------------------------------------------------------------

    def _open(self, name: str) -> Store:
        if self._directory is not None:
            self._stores[name] = StoryStore(Path(self._directory.name) / f"{name}.sqlite")
        else:
            self._stores.setdefault(name, StoryStore()).disarm()
        return self._stores[name]

    def _born(self, name: str) -> None:
        actor = self.scene.actors[name]
        actor.height = self.ledger.height
        self.watchers[name] = Watcher(actor, self.ledger, strategy=STRATEGY, purse=self.market.wallets[name])

    @property
    def names(self) -> tuple[str, ...]:
        """The LSP, and the clients."""
        return (LSP, *self.plan.names)

    def life_number(self, name: str) -> tuple[int, int]:
        """Changes whenever a party's store may have."""
        return self.scene.lives[name], self._stores[name].changes

    def restart(self, name: str) -> None:
        """The process of a party ends, and starts again from its store."""
        self.counts["restarts"] += 1
        self.scene.restart(name)
        self._born(name)
        self.look(name)

    def act(self, name: str, what: str, step: Callable[[Actor], Outbox], prefix_leaves: bool = False) -> Outbox:
        """Let a party do something; when it dies of it, it is started again.

        ``prefix_leaves``: whether what it had handed over before it died still leaves.
        """
        actor = self.scene.actors[name]
        try:
            outbox = step(actor)
        except SuperscalarError as error:
            outbox = actor.outbox
            self.say(f"{self.ledger.height}: {name} {what}: {error}")
        except Crash:
            self.say(f"{self.ledger.height}: {name} {what}, and its process dies")
            outbox = actor.outbox if prefix_leaves else Outbox()
            actor.store.rollback()
            self._post(name, outbox)
            self.restart(name)
            return outbox
        else:
            self.say(f"{self.ledger.height}: {name} {what}" + "".join(f"; {alert}" for alert in outbox.alerts[:2]))
        self._post(name, outbox)
        return outbox

    # -- mail ----------------------------------------------------------------------------------------------------------

    def _post(self, sender: str, outbox: Outbox) -> None:
        for to, raw in outbox.messages:
            letter = Letter(sender, to, raw)
            self._sent(letter)
            self._letters.append(letter)
            self.tape.append(letter)
        for transaction in outbox.broadcasts:
            factory = self.scene.actors[sender].factory
            realised = next(one for one in factory.realised.values() if one.txid == transaction.txid)
            one = Piece(transaction, realised)
            self.mempool[one.template.name] = one
            self.say(f"{self.ledger.height}: {sender} broadcasts {one.template.name}")
            if one.template.kind is Kind.FUNDING:
                self._funding_leaves()

    def deliver(self, letter: Letter, fault: Fault | None = None) -> Outbox:
        """A letter arrives; ``fault``: (commits, what happens at the next one, whether what was ready leaves)."""
        self.counts["letters"] += 1
        store = self._stores[letter.to]
        if fault is not None:
            store.arm(fault[0], fault[1])
        actor = self.scene.actors[letter.to]
        before = actor.party, store.changes
        prefix = fault is not None and fault[2]
        what = f"gets {kind_of(letter)} of {letter.sender}"
        outbox = self.act(letter.to, what, lambda actor: actor.receive(letter.sender, letter.raw), prefix)
        self._stores[letter.to].disarm()
        same = actor is self.scene.actors[letter.to] and actor.party == before[0]
        if outbox.alerts and same and fault is None and store.changes != before[1]:
            raise self.wrong(f"{letter.to} refused {kind_of(letter)} and its store has changed")
        return outbox

    def mail(self, most: int = 1_000, troubles: Troubles = (), *, eager: bool = False) -> None:
        """Everything that is on its way arrives, in its order, and what it brings about.

        ``troubles``: what happens to the letter at some position. ``eager``: the LSP tries to fund after each letter.
        """
        at = dict(troubles)
        for position in range(most):
            if not self._letters:
                return
            self._arrives(self._letters.pop(0), at.get(position))
            if eager and self.scene.lsp.life.status in ("signing", "signed"):
                with contextlib.suppress(Refused):
                    self._post(LSP, self.scene.lsp.fund())

    def _arrives(self, letter: Letter, trouble: Trouble | None) -> None:
        if trouble is None:
            self.deliver(letter)
            return
        kind, fault = trouble
        self.say(f"{kind}: {kind_of(letter)} of {letter.sender} to {letter.to}")
        match kind:
            case "late":
                self._letters.append(letter)
            case "doubled":
                self.deliver(letter)
                self.deliver(letter)
            case "receiver restarts":
                self.restart(letter.to)
                self.deliver(letter)
            case "sender restarts":
                self.restart(letter.sender)
                self.deliver(letter)
            case "store fails":
                self.deliver(letter, fault)
            case _:
                assert kind == "lost"

    # -- what the parties do -------------------------------------------------------------------------------------------

    def lsp_does(self, what: str, fault: Fault | None = None) -> None:
        """The LSP does one of: invite, fund, abort, close, retry."""
        if fault is not None:
            self._stores[LSP].arm(fault[0], fault[1])
        lsp = self.scene.lsp
        step: Callable[[], Outbox] = getattr(lsp, what)
        self.act(LSP, f"({lsp.life.status}): {what}", lambda _: step(), fault is not None and fault[2])
        self._stores[LSP].disarm()

    def update(self, number: int, shifts: tuple[int, ...]) -> None:
        """The LSP proposes a version of one node; ``shifts``: what each client below gets more or less (sat)."""
        lsp = self.scene.lsp
        nodes = [node for node in lsp.tree.nodes() if node.has_counter]
        node = nodes[number % len(nodes)]
        changed: dict[str, LeafContents] = {}
        standing = lsp.standing_contents()
        for leaf in leaves_below(node):
            changed[leaf.path] = self._shifted(leaf.path, standing[leaf.path], shifts)
        what = f"({lsp.life.status}): proposes version of {node.path} with {shifts} for {node.clients}"
        honest = lsp.tables

        def propose(_: Actor) -> Outbox:
            if min(shifts) < 0:
                # Whoever wants to give less is dishonest: its own table would refuse.
                forget(lsp, "factory", "balance_not_less")
            try:
                return lsp.update(node.path, changed)
            finally:
                lsp.tables = honest

        self.act(LSP, what, propose)

    def _shifted(self, path: str, leaf: LeafContents, shifts: tuple[int, ...]) -> LeafContents:
        """A leaf's contents with money from the LSP's side or the stock to the clients; the sum stays."""
        lsp = self.scene.lsp
        stocks = list(leaf.stocks)
        groups = stock_groups(lsp.tree.node(path), lsp.tree.shape.leaf_k)
        channels = []
        for channel, shift in zip(leaf.channels, shifts * 4, strict=False):
            if shift < 0:
                self.greedy = self.greedy or channel.to_client > 0
                moved = min(-shift, channel.to_client)
                channels.append(Channel(channel.client, channel.to_client - moved, channel.to_lsp + moved))
                continue
            own = min(shift, channel.to_lsp)
            group = next(index for index, group in enumerate(groups) if channel.client in group)
            bought = min(shift - own, stocks[group] - ECONOMY.dust)
            stocks[group] -= bought
            channels.append(Channel(channel.client, channel.to_client + own + bought, channel.to_lsp - own))
        return LeafContents(tuple(channels), tuple(stocks))

    def buy(self, name: str, capacity: int) -> None:
        """A client asks for a channel from the stock that it shares (sat)."""

        def step(actor: Actor) -> Outbox:
            assert isinstance(actor, ClientActor)
            return actor.buy(capacity, 2_000)

        self.counts["sales asked"] += 1
        self.act(name, f"wants to buy a channel of {capacity} sat", step)

    def exit(self, name: str) -> None:
        """A client starts to leave by itself."""

        def step(actor: Actor) -> Outbox:
            actor.outbox = Outbox()
            actor.live(Event.of("start_exit", name))
            return actor.outbox

        self.act(name, "starts its exit", step)

    # -- the chain -----------------------------------------------------------------------------------------------------

    def look(self, name: str) -> None:
        """A party sees the tip."""
        actor = self.scene.actors[name]
        actor.height = self.ledger.height
        if actor.archive is None:
            return
        before = actor.party

        def step(actor: Actor) -> Outbox:
            actor.outbox = Outbox()
            self.watchers[name].look()
            return actor.outbox

        actor.outbox = Outbox()
        outbox = step(actor)
        if actor.party.life.status != before.life.status:
            self.say(f"{self.ledger.height}: {name} is now {actor.party.life.status}")
        self._post(name, outbox)

    def mine(self, blocks: int = 1) -> None:
        """Blocks with everything that was broadcast, or that a strategy publishes; whoever is hostile comes first."""
        for _ in range(blocks):
            self._mine()
        if blocks > 1:
            self.say(f"{self.ledger.height}: {blocks} blocks are mined")

    def asks(self, price: int) -> None:
        """Blocks ask for this price from here on (sat/vB)."""
        self.say(f"{self.ledger.height}: blocks ask for {price} sat/vB")
        self.market.price = price

    def _mine(self) -> None:
        book = self.ledger.model.book
        block: list[Piece] = []
        raws: list[bytes] = []

        def fits(pieces: list[Piece]) -> bool:
            more = [one.enter(book) for one in pieces]
            return self.ledger.model.would_accept([*raws, *more]).accepted

        def take(pieces: list[Piece]) -> None:
            block.extend(pieces)
            raws.extend(one.enter(book) for one in pieces)

        for one in self._hostile():
            if fits([one]):
                take([one])
        ready = [package for package in self._packages() if fits(package.pieces[:1])]
        price = self.market.next_block(ready)
        for package in ready:
            if not package.pays(price):
                self.counts["held back"] += 1
            elif fits(package.pieces):
                take(package.pieces)
            elif fits(package.pieces[:1]) and Package(package.owner, [], package.offers[:1]).pays(price):
                take(package.pieces[:1])
        self._conserved(block)
        self.ledger.mine(raws)
        self.counts.update(blocks=1, transactions=len(raws))
        self.tips += 1
        self.blocks.append(block)
        for one in block:
            self.say(f"{self.ledger.height}: the block holds {one.template.name}")
            if one.template.kind is Kind.ALTERNATE and self.ledger.height <= END:
                raise self.wrong(f"{one.template.name} is confirmed before the end, {END}")
            self.tree_begun = self.tree_begun or one.template.kind in TREE
            self.counts["children"] += one.template.kind is Kind.CHILD
        for name in self.names:
            self.look(name)

    def _hostile(self) -> list[Piece]:
        found: list[Piece] = []
        for name in sorted(self.hostile):
            actor = self.scene.actors[name]
            if actor.archive is not None:
                found.extend(Foe.of(actor).publish(self.ledger.model.book, self.ledger))
        return found

    def _packages(self) -> list[Package]:
        """What honest parties want in the next block."""
        found = [
            Package("", [one], [Offer(one.transaction, one.template.fee)])
            for one in self.mempool.values()
            if one.template.kind is not Kind.CHILD
        ]
        for name in self.names:
            actor, watcher = self.scene.actors[name], self.watchers[name]
            if name in self.hostile or actor.archive is None:
                continue
            leaving = actor.party.life.status in ON_ITS_WAY
            watcher.deadline = self.ledger.height if leaving else NEVER
            for published, offer in watcher.offers(self.market.asked).items():
                if published.startswith(CHILD):
                    parent = found[-1]
                    parent.pieces.append(Market.child(name, offer, self.ledger.model.book, parent.pieces[0]))
                    parent.offers.append(offer)
                else:
                    found.append(Package(name, [piece(actor, published)], [offer]))
        return found

    def _conserved(self, block: list[Piece]) -> None:
        amounts = {}
        for one in block:
            for index, output in enumerate(one.template.outputs):
                amounts[one.template.outpoint(index)] = output.amount
        unspent = self.ledger.model.now.unspent
        for one in block:
            spent = [spend.outpoint for spend in one.template.spends]
            brought = sum(unspent[o].output.amount if o in unspent else amounts[o] for o in spent)
            if brought - one.template.amount_out() != one.template.fee:
                paid = brought - one.template.amount_out()
                raise self.wrong(f"{one.template.name} pays {paid} sat to miners and says {one.template.fee}")

    def reorg(self, depth: int, same: bool) -> None:
        """The last blocks are replaced: by the same contents, or, while no tree is in them, by empty ones."""
        depth = min(depth, len(self.blocks), LIMITS.depth - 1)
        if depth == 0 or self._held_by_reorg():
            return
        undone = self.blocks[-depth:]
        if not same and any(one.template.kind in TREE for block in undone for one in block):
            same = True
        branch = [[one.transaction.serialized for one in block] for block in undone] if same else []
        self.ledger.reorg(depth, branch)
        self.counts["reorgs"] += 1
        self.tips += 1
        del self.blocks[-depth:]
        self.blocks.extend([*undone, []] if same else [[] for _ in range(depth + 1)])
        for block in undone if not same else []:
            self.mempool.update((one.template.name, one) for one in block)
        says = "the same" if same else "nothing"
        self.say(f"{self.ledger.height}: a reorg replaces {depth} blocks by {depth + 1} with {says} in them")
        for name in self.names:
            self.look(name)

    def _held_by_reorg(self) -> bool:
        """Whether the block that a reorg adds would hold back what races: on the chain that stays, that has its place.

        ``confirmation_blocks`` counts on the chain that stays (R-STEP-DOMINATES): a branch may not outlast it.
        """
        book, model = self.ledger.model.book, self.ledger.model
        return self.tree_begun and any(
            model.would_accept([one.pieces[0].enter(book)]).accepted for one in self._packages()
        )

    # -- what must hold ------------------------------------------------------------------------------------------------

    def _sent(self, letter: Letter) -> None:
        """What must hold of a message when it leaves."""
        sender = self.scene.actors[letter.sender]
        try:
            message = m.decode(letter.raw, letter.sender)
        except SuperscalarError as error:
            raise self.wrong(f"{letter.sender} sends what nobody can read: {error}") from error
        match message:
            case m.Nonces() | m.AggregateNonces():
                once = isinstance(message, m.Nonces)
                for name, nonce in message.nonces.items():
                    self._one_use(nonce, (letter.sender, self.scene.lives[letter.sender], name, message.attempt), once)
            case m.Partials():
                if self.tree_begun:
                    raise self.wrong(f"{letter.sender} signs {', '.join(message.partials)} with the tree on chain")
                for name in message.partials:
                    self._signs(sender, name)
            case m.Signatures() if letter.sender == LSP:
                for name in message.signatures:
                    self._signs(sender, name)
            case m.KitComplete():
                assert isinstance(sender, ClientActor)
                missing = sender.life.kit - sender.store.signatures().keys()
                if missing or not sender.life.version:
                    raise self.wrong(f"{letter.sender} says that its kit is complete, without {sorted(missing)[:1]}")
            case _:
                pass

    def _one_use(self, nonce: str, use: Use, once: bool) -> None:
        """A nonce, or a collector's sum, is for one attempt, and the only one there; ``once``: it leaves once."""
        if self._nonces.setdefault(nonce, use) != use or (once and use in self._uses):
            raise self.wrong(f"a second nonce, or one nonce twice: for {self._nonces[nonce]} and {use}")
        if self._uses.setdefault(use, nonce) != nonce:
            raise self.wrong(f"two aggregate nonces for {use}")

    def _signs(self, sender: Actor, name: str) -> None:
        """A party's own signature leaves it: children held, spend recorded, one message for an outpoint and slot."""
        realised = sender.factory.realised[name]
        template, me = realised.template, sender.name
        held = sender.store.signatures().keys()
        outpoint, message = str(template.spends[0].outpoint), realised.sighash.hex()
        first = (me, outpoint, template.slot) not in self._signed
        for child in sender.factory.templates.values() if first else ():
            below = child.name in sender.factory.realised and child.spends[0].outpoint.transaction == name
            shared = len(child.signers) > 1 and me in child.signers and child.holder in ("", me)
            if below and shared and child.kind not in LATER and child.name not in held:
                raise self.wrong(f"{me} signs {name} and does not hold {child.name}")
        if (outpoint, template.slot, message) not in sender.store.records():
            raise self.wrong(f"{me} signs {name} and has no record of it")
        if self._signed.setdefault((me, outpoint, template.slot), message) != message:
            raise self.wrong(f"{me} signs two messages for {outpoint}, {template.slot}")

    def _funding_leaves(self) -> None:
        for name, client in self.scene.clients.items():
            missing = client.life.kit - client.store.signatures().keys()
            if client.life.status not in HAS_KIT or missing:
                raise self.wrong(f"the LSP funds, and {name} ({client.life.status}) lacks its kit")

    def check(self) -> None:
        """Everything that must hold between two steps."""
        for name, store in self._stores.items():
            if store.half_written:
                raise self.wrong(f"{name} has left something half written")
            self._one_spend(name, store)
        for name, client in self.scene.clients.items():
            if not client.life.version:
                continue
            counted = version_key(client.life.version), client.life.owed
            known = self._counted.setdefault(name, counted)
            if counted[0] < known[0] or counted[1] < known[1]:
                raise self.wrong(f"{name} counted on {known[1]} sat of version {known[0]}, now on {counted}")
            self._counted[name] = counted
        if "funding" in self.mempool:
            for name in self.plan.names:
                if name not in self.hostile:
                    self.probe(name)

    def _one_spend(self, name: str, store: StoryStore) -> None:
        key = ("records", name, *self.life_number(name))
        if key in self._probed:
            return
        self._probed.add(key)
        seen: dict[tuple[str, str], str] = {}
        for outpoint, slot, message in store.records():
            if seen.setdefault((outpoint, slot), message) != message:
                raise self.wrong(f"{name} has recorded two messages for {outpoint}, {slot}")

    def probe(self, name: str, *, on_core: bool = False) -> None:
        """A client leaves on a copy of the chain from a copy of its store: alone, and against a hostile LSP."""
        life = self.scene.clients[name].life
        if life.status not in HAS_KIT:
            raise self.wrong(f"the funding transaction is broadcast, and {name} is '{life.status}'")
        key = (name, self._stores[name].kit(), self._tip(), on_core)
        if key not in self._probed:
            self._probed.add(key)
            self._leave(name, None, on_core)
        against = ("foe", *key, frozenset(self.scene.lsp.signatures))
        if against not in self._probed and not on_core:
            self._probed.add(against)
            self._leave(name, Foe.of(self.scene.lsp), on_core)

    def _tip(self) -> int:
        """What of the chain matters to an exit: all of it once the tree is on it, else how deep the funding is."""
        if self.tree_begun:
            return self.tips
        height = self.ledger.confirmation_height(txid_bytes(self.mempool["funding"].transaction.txid))
        return -1 if height is None else -2 - min(self.ledger.height - height, LIMITS.depth)

    def _leave(self, name: str, foe: Foe | None, on_core: bool) -> None:
        ledger = self.ledger.fork() if on_core else self.ledger.model.fork()
        book = self.ledger.model.book
        funding = self.mempool["funding"]
        if ledger.confirmation_height(txid_bytes(funding.transaction.txid)) is None:
            ledger.mine([funding.enter(book)])
        store = self._stores[name].copy()
        try:
            spare = self.market.spare(name, self.ledger)
            left: Exit = leave(name, identity(name), store, book, ledger, foe, spare)
        except (SuperscalarError, AssertionError) as error:
            against = "alone" if foe is None else "against a hostile LSP"
            raise self.wrong(f"{name} leaves {against} and fails: {error!r}") from error
        finally:
            store.close()
            if on_core:
                ledger.close()
        self.counts["exits tried"] += 1
        problem = left.problem()
        if problem:
            who = "alone" if foe is None else "against a hostile LSP"
            raise self.wrong(f"{name} leaves {who}: {problem}", left.story)

    # -- the end of a story --------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Mail gets through again: nobody is stuck for good; and every client leaves on Core's chain too."""
        if not (self.hostile or self.tree_begun or self.leaving or self.forged):
            self.settle()
            self.go_on()
        if "funding" in self.mempool:
            for name in self.plan.names:
                if name not in self.hostile:
                    self.probe(name, on_core=True)

    @property
    def leaving(self) -> bool:
        """Whether a client has left or is about to."""
        return any(client.life.status in (*ON_ITS_WAY, *OVER) for client in self.scene.clients.values())

    def settle(self) -> None:
        """The LSP tries again, and whatever was begun comes to its end. Raises ``Wrong`` when it does not."""
        if self.scene.lsp.life.status in ("updating", "closing") and self.greedy:
            self.lsp_does("abort")
        self.greedy = False
        for _ in range(6):
            self.mail()
            if self.scene.lsp.life.status not in OPEN_ENDED and not self._unsent():
                break
            self.lsp_does("retry")
        self.check()
        status = self.scene.lsp.life.status
        if status in OPEN_ENDED:
            raise self.wrong(f"the LSP is stuck in '{status}' with {self.scene.statuses()}")
        if self._unsent():
            raise self.wrong(f"the LSP is '{status}' and has broadcast nothing")

    def go_on(self) -> None:
        """Whatever was lost or given up, an active factory can still be updated, by everybody."""
        lsp = self.scene.lsp
        root = lsp.tree.root
        if (
            lsp.life.status != "active"
            or not root.has_counter
            or not lsp.odometer.index(root.path) < lsp.odometer.states - 1
        ):
            return
        self.lsp_does("retry")
        self.mail()
        before = lsp.life.version
        self.update(0, (0,))
        self.settle()
        lsp = self.scene.lsp
        behind = [name for name, client in self.scene.clients.items() if client.counted != lsp.life.version]
        if behind or lsp.life.status != "active" or lsp.life.version == before:
            raise self.wrong(f"{behind} cannot follow an update: {self.scene.statuses()}")

    def _unsent(self) -> bool:
        """Whether the LSP believes that it has broadcast what it has not."""
        kinds = {one.template.kind for one in self.mempool.values()}
        wanted = {"funded": Kind.FUNDING, "close_published": Kind.CLOSE}.get(self.scene.lsp.life.status)
        return wanted is not None and wanted not in kinds


def kind_of(letter: Letter) -> str:
    """The kind of a message, or that it is none."""
    try:
        return type(m.decode(letter.raw, letter.sender)).__name__
    except SuperscalarError:
        return "junk"
