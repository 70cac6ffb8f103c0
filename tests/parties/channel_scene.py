"""A client and the LSP with one channel, and a wire on which a test may lose, double and hold back what it likes."""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from superscalar_ref.bitcoin.taproot import p2tr_from_internal
from superscalar_ref.bitcoin.transaction import Transaction
from superscalar_ref.machine.step import BoundMachine
from superscalar_ref.parties import channel_messages as c
from superscalar_ref.parties.actor import Outbox
from superscalar_ref.parties.channel_actor import Answer, ChannelActor
from superscalar_ref.parties.channel_state import ChannelKeys, ChannelTerms, SideTerms
from superscalar_ref.parties.store import Store
from superscalar_ref.parties.tower import Tower
from superscalar_ref.protocol.channel import Channel
from superscalar_ref.protocol.htlc_limits import HtlcLimits
from superscalar_ref.realise.channel import ChannelSecrets
from superscalar_ref.signing.keys import SecretKey
from superscalar_ref.signing.nonces import SeededRandomness

CLIENT, LSP = "A", "L"
CAPACITY_SAT = 1_000_000
CLIENT_MSAT = 400_000_000
DELAY = 6
DUST = 330
RESERVE_MSAT = 10_000_000
FEE_SAT = 300
OUTPOINT = "11" * 32 + ":0"
LIMITS = HtlcLimits(exit_blocks=10, margin_blocks=5, end=500, cutoff_blocks=20)


def key(label: str) -> SecretKey:
    return SecretKey(hashlib.sha256(label.encode()).digest())


def payout(name: str) -> bytes:
    return p2tr_from_internal(key(f"payout of {name}").x_only)


def keys_of(name: str, channel: str = "channel") -> ChannelKeys:
    seed = hashlib.sha256(f"seed of {name}".encode()).digest()
    return ChannelKeys(key(f"funding of {name} in {channel}"), ChannelSecrets.from_seed(seed, channel))


def side(name: str, channel: str = "channel", reserve_msat: int = 0) -> SideTerms:
    keys = keys_of(name, channel)
    return SideTerms(
        name, keys.funding.public, keys.secrets.points, DELAY, DUST, payout(f"{name} in {channel}"), reserve_msat
    )


def terms(
    me: str, outpoint: str = OUTPOINT, client: str = CLIENT, client_msat: int = CLIENT_MSAT, channel: str = "channel"
) -> ChannelTerms:
    sides = {client: side(client, channel), LSP: side(LSP, channel, RESERVE_MSAT)}
    other = LSP if me == client else client
    balance = client_msat if me == client else CAPACITY_SAT * 1000 - client_msat
    return ChannelTerms(channel, CAPACITY_SAT, outpoint, sides[me], sides[other], me == LSP, balance, FEE_SAT)


def preimage(number: int) -> bytes:
    return bytes([number]) * 32


def hashed(number: int) -> str:
    return hashlib.sha256(preimage(number)).hexdigest()


@dataclass(frozen=True)
class Letter:
    sender: str
    to: str
    raw: bytes


@dataclass
class Pair:
    """Both sides of one channel."""

    outpoint: str = OUTPOINT
    client: str = CLIENT
    name: str = "channel"
    limits: HtlcLimits = LIMITS
    policy: str = "halt"
    depth: int = 1
    client_msat: int = CLIENT_MSAT
    answers: dict[str, Answer] = field(default_factory=dict)
    machine: BoundMachine[Channel] | None = None
    towers: dict[str, Tower] = field(default_factory=dict)
    """The client's watchtowers."""
    stores: dict[str, Store] = field(default_factory=dict)
    sides: dict[str, ChannelActor] = field(default_factory=dict)
    letters: deque[Letter] = field(default_factory=deque)
    tape: list[Letter] = field(default_factory=list)
    alerts: list[str] = field(default_factory=list)
    broadcasts: list[tuple[str, Transaction]] = field(default_factory=list)
    lives: Counter[str] = field(default_factory=Counter)
    height: int = 100

    def __post_init__(self) -> None:
        for name in (self.client, LSP):
            self.stores.setdefault(name, Store())
            self.start(name)

    @property
    def a(self) -> ChannelActor:
        return self.sides[self.client]

    @property
    def l(self) -> ChannelActor:  # noqa: E743
        return self.sides[LSP]

    def start(self, name: str) -> ChannelActor:
        self.lives[name] += 1
        actor = ChannelActor(
            terms(name, self.outpoint, self.client, self.client_msat, self.name),
            keys_of(name, self.name),
            self.stores[name],
            self.limits,
            policy=self.policy,
            depth=self.depth,
            randomness=SeededRandomness(f"{name}, {self.name}, life {self.lives[name]}"),
            machine=self.machine,
            towers=tuple(self.towers) if name == self.client else (),
        )
        actor.height = self.height
        if name in self.answers:
            actor.answer = self.answers[name]
        self.sides[name] = actor
        return actor

    def crash(self, name: str) -> ChannelActor:
        """Give a side up with all that it has only in memory, and start it from its store."""
        self.stores[name].rollback()
        return self.start(name)

    def post(self, name: str, outbox: Outbox) -> None:
        for to, raw in outbox.messages:
            letter = Letter(name, to, raw)
            self.letters.append(letter)
            self.tape.append(letter)
        self.broadcasts += [(name, transaction) for transaction in outbox.broadcasts]
        self.alerts += outbox.alerts

    def deliver(self, letter: Letter) -> None:
        receiver = self.towers.get(letter.to) or self.sides[letter.to]
        self.post(letter.to, receiver.receive(letter.sender, letter.raw))

    def run(self, most: int = 1000) -> Pair:
        for _ in range(most):
            if not self.letters:
                return self
            self.deliver(self.letters.popleft())
        raise AssertionError("the wire does not come to rest")

    def say(self, name: str, act: Callable[[ChannelActor], Outbox]) -> Pair:
        """An own step of one side, and everything that follows."""
        self.post(name, act(self.sides[name]))
        return self.run()

    def open(self) -> Pair:
        return self.say(self.client, lambda side: side.connect())

    def settle(self, rounds: int = 6) -> Pair:
        """Let both sides try again until nothing is under way."""
        self.run()
        for _ in range(rounds):
            for name in list(self.sides):
                self.post(name, self.sides[name].retry())
                self.run()
        return self

    def offer(self, name: str, amount_msat: int, number: int, expiry: int = 200) -> Pair:
        return self.say(name, lambda side: side.offer(amount_msat, hashed(number), expiry))

    def messages(self, kind: type[c.ChannelMessage]) -> list[tuple[str, c.ChannelMessage]]:
        tape = [letter for letter in self.tape if not {letter.sender, letter.to} & self.towers.keys()]
        found = [(letter.sender, c.decode(letter.raw, letter.sender).body) for letter in tape]
        return [(sender, body) for sender, body in found if isinstance(body, kind)]


def nonces_signed_with(pair: Pair) -> Counter[str]:
    """How often each public nonce was the signer's own in a partial signature that was sent."""
    used: Counter[str] = Counter()
    for letter in dict.fromkeys(pair.tape):
        body = c.decode(letter.raw, letter.sender).body
        if isinstance(body, c.CommitmentSigned):
            used.update(form.nonce for form in body.signatures.values())
        elif isinstance(body, c.MoveSigned):
            used[body.signature.nonce] += 1
    return used


def balances(pair: Pair) -> tuple[int, int]:
    return pair.a.channel.balance_msat, pair.l.channel.balance_msat


def without(machine: BoundMachine[Channel], row: str, name: str) -> BoundMachine[Channel]:
    """The machine with one guard, or one effect, of one row left out."""

    def cut(bound: object) -> object:
        from superscalar_ref.machine.step import BoundTransition

        assert isinstance(bound, BoundTransition)
        if bound.row.id != row:
            return bound
        guards = tuple(g for n, g in zip(bound.row.guards, bound.guards, strict=True) if n != name)
        effects = tuple(e for n, e in zip(bound.row.effects, bound.effects, strict=True) if n != name)
        changed = replace(
            bound.row,
            guards=tuple(n for n in bound.row.guards if n != name),
            effects=tuple(n for n in bound.row.effects if n != name),
        )
        return BoundTransition(changed, guards, effects)

    rows = {pair: tuple(cut(bound) for bound in bounds) for pair, bounds in machine.rows.items()}
    return replace(machine, rows=rows)  # type: ignore[arg-type]
