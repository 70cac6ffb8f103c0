"""The stories of layer L3: one small factory with old and new states, and what happens to it on a chain.

Laws of this module:

* Keys, nonces and coins follow from labels: the same stories each time, of no value to anybody.
* A party holds what a party of the protocol would: what it signs, old versions included, and never what is another's.
* What a party must own at the end is what the plan says that it is owed; the reference is played before it is written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

from superscalar_ref.bitcoin.taproot import p2tr_from_internal
from superscalar_ref.bitcoin.transaction import Transaction, TxOutput
from superscalar_ref.chain.interface import TxOut
from superscalar_ref.chain.kernel import COINBASE_MATURITY, KernelLedger
from superscalar_ref.protocol.blueprint import (
    FUNDING,
    Blueprint,
    Channel,
    Economy,
    LeafContents,
    Locks,
    Terms,
    build,
)
from superscalar_ref.protocol.chain_links import Sale, link
from superscalar_ref.protocol.poison import poisons
from superscalar_ref.protocol.shape import Shape, grow
from superscalar_ref.protocol.transaction import Kind, Outpoint, Role, Template
from superscalar_ref.protocol.watchtower import ANSWERS
from superscalar_ref.realise.book import Book, CoinOutput, PartyKeys
from superscalar_ref.realise.build import sign_one
from superscalar_ref.realise.channel import ChannelSecrets, derive_secret
from superscalar_ref.realise.tree import Realised, realise_one
from superscalar_ref.signing.keys import SecretKey
from superscalar_ref.signing.nonces import SeededRandomness

LSP, CLIENT, OTHER = "L", "A", "B"
BEGIN = COINBASE_MATURITY + 1
"""The block that holds the funding transaction."""
END = BEGIN + 50
COIN = 400_000
_LOCKS = Locks(step=4, states=3, to_self_delay=3, end=END, stock_lock_blocks=12)
_OLD = {"r": 0, "r.0": 0, "r.1": 0}
_NEW = {"r": 0, "r.0": 1, "r.1": 0}
"""A's leaf is in its second state."""


def _secret(label: str) -> SecretKey:
    return SecretKey(hashlib.sha256(f"superscalar outcomes: {label}".encode()).digest())


def wallet(party: str) -> bytes:
    """The scriptPubKey of a party's wallet (BIP-86)."""
    return p2tr_from_internal(_secret(f"{party}/wallet").x_only)


@dataclass(frozen=True)
class Story:
    """What happens to one party, and what it must have at the end."""

    id: str
    comment: str
    rules: Sequence[str]
    role: str
    owed: int
    """What the party must own at rest at the end, at least (sat)."""
    negative: bool = False
    """That the party is to leave something undone, or that others try what must not succeed."""
    deadline: int = END + 1000
    """When the party must begin (height)."""
    others: Sequence[tuple[int, Sequence[str]]] = ()
    """From which block on the others publish what."""
    away: Sequence[tuple[int, int]] = ()
    """The party does not look while the last block is at least the first, and below the second (heights)."""
    troubles: Sequence[Mapping[str, int | bool]] = ()
    never: tuple[str, ...] = ()
    """What must not be on the chain at the end."""
    lacks: frozenset[str] = frozenset()
    """What the party does not hold, of what it might."""
    ends: int = END + 8
    flags: tuple[str, ...] = field(default=())


class World:
    """The factory, each of its transactions complete."""

    def __init__(self) -> None:
        tree = grow(Shape.of([2]), (CLIENT, OTHER))
        coin = Outpoint("coin", 0)
        self.terms = Terms("outcomes", LSP, tree, Economy(1, 240, 330), _LOCKS, coins=((coin, COIN),))
        other = LeafContents((Channel(OTHER, 10_000, 50_000),), (60_000,))
        before = {"r.0": LeafContents((Channel(CLIENT, 20_000, 30_000),), (40_000,)), "r.1": other}
        after = {"r.0": LeafContents((Channel(CLIENT, 35_000, 15_000),), (40_000,)), "r.1": other}
        self.old: Blueprint = build(self.terms, _OLD, before)
        self.new: Blueprint = build(self.terms, _NEW, after)
        with KernelLedger.start([TxOut(COIN, wallet(LSP))], BEGIN - 1) as ledger:
            self._point = ledger.funds[0]

    @cached_property
    def sale(self) -> Sale:
        """A has bought a channel of 15,000 sat from the stock of its new leaf."""
        state = self.new.path(CLIENT)[-1]
        return Sale(state, 1, 0, state, Channel(CLIENT, 0, 15_000))

    @cached_property
    def templates(self) -> dict[str, Template]:
        """Everything that was ever signed, parents before children."""
        leaf, older = self.new.templates[self.sale.state], self.old.templates[self.old.path(CLIENT)[-1]]
        sold = link(self.terms, self.sale, leaf.outputs[1]).templates
        return {**self.old.templates, **self.new.templates, **sold, **poisons(self.terms, [older])}

    @cached_property
    def _channels(self) -> dict[tuple[str, str], ChannelSecrets]:
        sides = [(client, side) for client in (CLIENT, OTHER) for side in (client, LSP)]
        seed = {side: _secret(f"{side}/channels").reveal() for side in (LSP, CLIENT, OTHER)}
        return {(client, side): ChannelSecrets.from_seed(seed[side], client) for client, side in sides}

    @cached_property
    def complete(self) -> dict[str, tuple[Realised, Transaction]]:
        """Every transaction, with its signature."""
        parties = {one: PartyKeys(_secret(f"{one}/factory").public, wallet(one)) for one in (LSP, CLIENT, OTHER)}
        coin = CoinOutput(self._point.txid[::-1].hex(), self._point.index, TxOutput(COIN, wallet(LSP)))
        points = {name: _secret(name).public for name, one in self.templates.items() if one.kind is Kind.COMMITMENT}
        channels = {place: secrets.points for place, secrets in self._channels.items()}
        book = Book(parties, {Outpoint("coin", 0): coin}, channels, points)
        known: dict[str, Realised] = {}
        for name, template in self.templates.items():
            known[name] = realise_one(template, book, known, self.terms)
        return {name: (one, self._signed(one)) for name, one in known.items()}

    def _signed(self, realised: Realised) -> Transaction:
        randomness = SeededRandomness(f"superscalar outcomes: {realised.template.name}")
        template = realised.template
        if template.kind is Kind.FUNDING:
            signature = _secret(f"{LSP}/wallet").sign_taproot(realised.sighash, None, randomness)
            return realised.signed(signature)
        if realised.opening is None:
            return sign_one(realised, {one: _secret(f"{one}/factory") for one in template.signers}, randomness)
        return realised.signed(self._alone(template).sign(realised.sighash, randomness))

    def _alone(self, template: Template) -> SecretKey:
        """The key of a lock path: its owner's factory key, or the delayed key of a commitment's holder."""
        (owner,) = template.signers
        parent = self.templates[template.spends[0].outpoint.transaction]
        if parent.kind is not Kind.COMMITMENT:
            return _secret(f"{owner}/factory")
        channel = parent.spends[0].outpoint
        client = self.templates[channel.transaction].outputs[channel.index].owner
        return derive_secret(self._channels[client, owner].delayed_payment_basepoint, _secret(parent.name).public)

    def txid(self, name: str) -> str:
        """A transaction's txid (hex, RPC order)."""
        return self.complete[name][0].txid

    def held(self, story: Story) -> list[str]:
        """Names of what the story's party may publish."""
        party = LSP if story.role == "lsp" else CLIENT
        mine = [
            name
            for name, one in self.templates.items()
            if party in one.signers and one.holder in ("", party) and one.kind is not Kind.FUNDING
        ]
        if story.role == "tower":
            # What a client registers: what answers to old states of its leaf.
            mine = [name for name in mine if self.templates[name].kind in ANSWERS]
        return [name for name in mine if name not in story.lacks]

    def test(self, story: Story) -> dict[str, Any]:
        """A story as a test of the corpus."""
        party = LSP if story.role == "lsp" else CLIENT
        held, never = self.held(story), story.never
        others = [(BEGIN, (FUNDING,)), *story.others]
        named = {*held, *never, *(name for _, names in others for name in names)}
        for name in [*named]:
            named |= {spend.outpoint.transaction for spend in self.templates[name].spends} & self.templates.keys()
        root = self.txid(FUNDING)
        owned = [{"party": party, "script_pubkey": wallet(party).hex(), "at_least_sat": story.owed}]
        return {
            "id": f"outcome-{story.id}",
            "comment": story.comment,
            "rules": list(story.rules),
            "level": "MUST",
            "profile": profile_of(story.role),
            "result": "invalid" if story.negative else "valid",
            "flags": list(story.flags),
            "role": story.role,
            "party": party,
            "story": {
                "coins": [{"amount_sat": COIN, "script_pubkey": wallet(LSP).hex()}],
                "height": BEGIN - 1,
                "transactions": [self._shown(name) for name in self.templates if name in named],
                "root": f"{root}:0",
                "deadline": story.deadline,
                "held": [self.txid(name) for name in held],
                "others": [{"from": begin, "txid": self.txid(name)} for begin, names in others for name in names],
                "away": [{"from": begin, "to": end} for begin, end in story.away],
                "troubles": [dict(one) for one in story.troubles],
                "ends": story.ends,
            },
            "expect": {"owned": owned if story.owed else [], "never": [self.txid(name) for name in never]},
        }

    def _shown(self, name: str) -> dict[str, Any]:
        realised, signed = self.complete[name]
        locks = [spend.relative_lock for spend in realised.template.spends]
        return {
            "txid": realised.txid,
            "name": name,
            "kind": str(realised.template.kind),
            "lock_time": realised.template.lock_time,
            "spends": [
                {"outpoint": f"{given.txid_hex}:{given.index}", "relative_lock_blocks": lock}
                for given, lock in zip(signed.inputs, locks, strict=True)
            ],
            "transaction": signed.hex,
        }

    def paid(self, name: str, party: str) -> int:
        """What a transaction pays to a party's wallet (sat)."""
        return sum(one.amount for one in self.templates[name].outputs if one.role is Role.WALLET and one.owner == party)


def profile_of(role: str) -> str:
    """The profile of a role's stories."""
    return "tower-outcomes" if role == "tower" else "outcomes"


@lru_cache(maxsize=1)
def world() -> World:
    """The factory, built once."""
    return World()


def stories() -> Iterator[Story]:
    """Every story."""
    made = world()
    older, newer, theirs_leaf = made.old.path(CLIENT), made.new.path(CLIENT), made.new.path(OTHER)[-1]
    root, state, below = newer[0], newer[1], newer[2]

    def commitment(leaf: str, holder: str) -> str:
        return next(
            name
            for name, one in made.templates.items()
            if one.kind is Kind.COMMITMENT and one.holder == holder and one.spends[0].outpoint == Outpoint(leaf, 0)
        )

    mine = commitment(newer[-1], CLIENT)
    sweep = f"sweep:{mine}"
    exit_pays = made.paid(sweep, CLIENT)
    poison, stock_poison = f"poison:{older[-1]}#0", f"poison:{older[-1]}#1"
    poisoned = made.paid(poison, CLIENT) + made.paid(stock_poison, CLIENT)
    deadline = BEGIN + 9
    early = BEGIN + 3
    """The others begin here."""
    # Under the kickoff of the leaf the newer state waits 4 blocks, the older one 8.
    path = (early, (root, state, below))
    old_leaf = (early, (older[-1],))
    theirs = commitment(older[-1], LSP)
    cheat = (early, (theirs, f"sweep:{theirs}", f"expiry:{older[-1]}#1"))
    unpoisoned = frozenset({poison, stock_poison})
    race: dict[str, Any] = {"others": [path, old_leaf, cheat], "never": (older[-1],), "lacks": unpoisoned}
    late: dict[str, Any] = {
        "owed": poisoned,
        "others": [path, old_leaf, (END, (theirs,))],
        "away": [(0, early + 18)],
        "never": (theirs,),
        "negative": True,
        "flags": ("older-state",),
    }

    def client(slug: str, comment: str, rules: str, owed: int = exit_pays, **more: Any) -> Story:
        return Story(f"client-{slug}", comment, rules.split(), "client", owed, **more)

    def tower(slug: str, comment: str, rules: str, **more: Any) -> Story:
        return Story(f"tower-{slug}", comment, rules.split(), "tower", **more)

    yield client(
        "leaves-alone",
        "Everybody has vanished: A leaves at its deadline, and owns its side of its channel.",
        "STR-7 STR-6 STR-5 STR-4 STR-1",
        deadline=deadline,
        ends=END - 5,
    )
    yield client(
        "stays-while-all-is-well",
        "Nothing happens before the deadline: A begins no exit.",
        "STR-7",
        owed=0,
        never=(root,),
        negative=True,
        ends=END - 10,
        flags=("too-early",),
    )
    yield client(
        "goes-on-when-others-began",
        "B leaves early, and stops at the root's state: A brings its own part to the end.",
        "STR-6 STR-5",
        others=[(early, (root, state))],
        ends=END - 5,
    )
    yield client(
        "newest-state-wins",
        "The LSP publishes A's older leaf state as soon as its lock has run out: it is too late.",
        "STR-5",
        **race,
        negative=True,
        flags=("older-state",),
    )
    yield client(
        "poison-after-absence",
        "A comes back when its older leaf state is confirmed: the poison takes channel and stock.",
        "STR-8",
        **late,
    )
    yield client(
        "alternate-at-the-end",
        "A comes back at the end, with everything off chain: the alternate pays it at once.",
        "STR-2",
        owed=made.paid(f"alternate:{FUNDING}#0", CLIENT),
        away=[(0, END)],
        deadline=deadline,
        ends=END + 6,
        never=(root,),
        negative=True,
    )
    yield client(
        "bought-channel-is-published",
        "A's leaf is on chain, the LSP waits for its stock: A publishes what it has bought.",
        "STR-9",
        others=[path, (early, (newer[-1], f"expiry:{newer[-1]}#1"))],
        never=(f"expiry:{newer[-1]}#1",),
        negative=True,
    )
    yield client(
        "reorg-takes-the-state-back",
        "A reorg undoes A's leaf state, and the LSP's older one is near: A publishes again.",
        "STR-5",
        deadline=deadline,
        others=[old_leaf],
        lacks=unpoisoned,
        troubles=[{"height": deadline + 18, "reorg": 2}],
        never=(older[-1],),
        negative=True,
    )
    yield Story(
        "lsp-takes-its-stock",
        "B leaves, and its leaf is on chain: the LSP takes its stock and its side, before the clients do at the end.",
        ("STR-3", "STR-4"),
        "lsp",
        made.paid(FUNDING, LSP)
        + made.paid(f"expiry:{theirs_leaf}#1", LSP)
        + made.paid(f"sweep:{commitment(theirs_leaf, LSP)}", LSP),
        others=[(early, made.new.path(OTHER)), (END, (f"alternate:{theirs_leaf}#0", f"alternate:{theirs_leaf}#1"))],
        never=(f"alternate:{theirs_leaf}#0", f"alternate:{theirs_leaf}#1"),
        negative=True,
    )
    # In the tower's stories its client is away all the time, and the tower alone stands against the LSP.
    yield tower(
        "newest-state-wins",
        "The LSP publishes the older leaf state; the tower's newer one is there before it.",
        "WTW-3 WTW-4",
        owed=0,
        **race,
        negative=True,
        flags=("older-state",),
    )
    yield tower(
        "poison",
        "The tower itself was away while the older state confirmed: its poison pays the client.",
        "WTW-4",
        **late,
    )
    yield tower(
        "crashes-in-every-block",
        "The tower crashes after every block: what is registered and seen is durable.",
        "WTW-1 WTW-3",
        owed=0,
        **race,
        troubles=[{"height": height, "restart": True} for height in range(early, early + 20)],
        negative=True,
    )
    yield tower(
        "reorg-takes-the-kickoff-back",
        "A reorg undoes the kickoff, which confirms again: its locks count from there.",
        "WTW-6 WTW-3",
        owed=0,
        **race,
        troubles=[{"height": early + 12, "reorg": 2}],
        negative=True,
    )
    yield tower(
        "reorg-takes-the-answer-back",
        "A reorg undoes the tower's own answer: it answers again.",
        "WTW-7 WTW-5",
        owed=0,
        **race,
        troubles=[{"height": early + 16, "reorg": 2}],
        negative=True,
    )
    yield tower(
        "alternate-at-the-end",
        "Nobody has moved until the end: the tower takes the client's part of the default.",
        "WTW-4",
        owed=made.paid(f"alternate:{FUNDING}#0", CLIENT),
        ends=END + 6,
    )
    yield tower(
        "bought-channel-is-published",
        "The leaf is on chain: what the client bought from its stock is published.",
        "WTW-4 STR-9",
        owed=0,
        others=[path, (early, (newer[-1], f"expiry:{newer[-1]}#1"))],
        never=(f"expiry:{newer[-1]}#1",),
        negative=True,
    )
