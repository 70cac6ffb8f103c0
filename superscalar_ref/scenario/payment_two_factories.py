"""A payment of real HTLCs from a client of one factory to a client of another, cut anywhere; then both factories end.

The wire is cut after so many letters. From then on each factory ends in one of ``WAYS``, on one chain, and everybody
acts by its own tables: claims what it knows the preimage of, takes back what has expired, punishes what is revoked.

``expect`` says what everybody must end with, from the commitments that confirm and from who knows the preimage: it
never looks at the chain.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import product

from superscalar_ref.bitcoin.transaction import Transaction
from superscalar_ref.errors import ProtocolError
from superscalar_ref.parties.actor import Actor
from superscalar_ref.parties.channel_actor import ChannelActor
from superscalar_ref.parties.channel_relay import Forward
from superscalar_ref.protocol.blueprint import FUNDING, alternate_name, commitment_name
from superscalar_ref.protocol.channel import Htlc, View
from superscalar_ref.protocol.transaction import Kind, Outpoint, Role
from superscalar_ref.scenario.payment_world import CLIENTS, FEE_MSAT, PAYEE, PAYER, Home, World
from superscalar_ref.scenario.story import CHAIN, End, Line, Told
from superscalar_ref.scenario.town import LSP

TOGETHER, CLIENT_ALONE, LSP_ALONE = "together", "client", "lsp"
CLIENT_CHEATS, LSP_CHEATS, AT_THE_END, KICKOFF_AT_THE_END = "client-cheats", "lsp-cheats", "end", "kickoff-end"
WAYS = {
    TOGETHER: "the wire is mended, and one transaction closes the factory",
    CLIENT_ALONE: "the client exits, and closes with its newest commitment",
    LSP_ALONE: "the LSP brings the leaf on chain, and closes with its newest commitment",
    CLIENT_CHEATS: "the client exits, and publishes a commitment that it has revoked",
    LSP_CHEATS: "the LSP brings the leaf on chain, and publishes a commitment that it has revoked",
    AT_THE_END: "nobody does anything before the factory's end",
    KICKOFF_AT_THE_END: "the LSP publishes the kickoff in the last block before the factory's end, and no more",
}
"""How a factory ends."""
CLAIMS, FAILS, SILENT = "claims", "fails", "silent"
PAYEES = {
    CLAIMS: "the payee claims the payment",
    FAILS: "the payee gives the payment back",
    SILENT: "the payee never answers",
}
"""What becomes of the HTLC."""
AMOUNT_MSAT, EARLIER_MSAT = 7_000_123, 2_000_899
"""The payment; and one before it, so that there are revoked commitments. Neither leaves whole satoshis."""
PREIMAGE, EARLIER = b"\x01" * 32, b"\x02" * 32
HASH, EARLIER_HASH = (hashlib.sha256(one).hexdigest() for one in (PREIMAGE, EARLIER))
_OVER = ("swept", "penalised", "closed")
_LONG = 60
"""Blocks after the factories' end by which everything is at rest."""


@dataclass(frozen=True)
class Case:
    """One play."""

    payee: str
    letters: int
    """The wire is cut after so many."""
    first: str
    """How the payer's factory ends."""
    second: str
    """How the payee's factory ends."""

    def __str__(self) -> str:
        return f"{self.payee}, cut after {self.letters} letters, {self.first} and {self.second}"


@dataclass
class Ending:
    """How one factory ends, as it goes on."""

    home: Home
    way: str
    path: list[tuple[str, Transaction]] = field(default_factory=list)
    """What is published, in its order, as soon as the chain takes it."""
    alone: tuple[str, View] | None = None
    """Who closes with its newest commitment, and what that says."""
    payouts: dict[str, int] | None = None
    """What a cooperative close, or the alternates, pay (sat)."""
    over: bool = False


@dataclass(frozen=True)
class Result:
    """What came of a play."""

    case: Case
    paid: dict[str, int]
    """What each party has at rest in the end (sat)."""
    expected: dict[str, int]
    forwarded: bool
    """Whether the payment had been passed on."""
    settled: bool
    """Whether the payee has it."""
    ways: tuple[str, str]
    """How the factories ended: who had to go to the chain for a payment's sake did."""
    height: int
    story: tuple[Line, ...]

    @property
    def well(self) -> bool:
        """Whether everybody has what it must have."""
        return self.paid == self.expected

    @property
    def told(self) -> Told:
        """The story, with what each party must have and has at rest."""
        return Told(self.story, tuple(End(name, self.expected[name], has, 0) for name, has in self.paid.items()))


@cache
def start() -> World:
    """Two funded factories with live channels over which a payment has gone: each play is a branch of it."""
    world = World.found()
    world.on_answer(PAYEE, _claims_earlier)
    world.pay(EARLIER_MSAT, EARLIER_HASH)
    return world.run()


def _claims_earlier(htlc: Htlc) -> bytes | None:
    return EARLIER if htlc.payment_hash == EARLIER_HASH else None


def _claims(htlc: Htlc) -> bytes | None:
    return PREIMAGE if htlc.payment_hash == HASH else None


def _fails(htlc: Htlc) -> str:
    return "not wanted"


def _silent(htlc: Htlc) -> None:
    return None


_ANSWERS = {CLAIMS: _claims, FAILS: _fails, SILENT: _silent}


def letters(payee: str) -> int:
    """How many letters a whole payment takes, or as much of it as there is when the payee is silent."""
    world = start().branch(chain=False)
    world.on_answer(PAYEE, _ANSWERS[payee])
    before = sum(home.wire.count for home in world.homes)
    world.pay(AMOUNT_MSAT, HASH)
    world.run()
    return sum(home.wire.count for home in world.homes) - before


def cases() -> Iterator[Case]:
    """Every play: each answer of the payee, cut at each letter, each pair of ways."""
    for payee in PAYEES:
        for cut in range(letters(payee) + 1):
            for first, second in product(WAYS, WAYS):
                yield Case(payee, cut, first, second)


def play(case: Case) -> Result:
    """Pay, cut the wire, and let both factories end."""
    world = start().branch()
    world.on_answer(PAYEE, _ANSWERS[case.payee])
    world.pay(AMOUNT_MSAT, HASH)
    says = f"{PAYER} offers {AMOUNT_MSAT + FEE_MSAT:,} msat to {PAYEE} in the other factory"
    told = Line(world.ledger.height, "", "", says)
    for _ in range(case.letters):
        found = world.next_letter()
        if found is not None:
            world.deliver(*found)
    done = finish(world, case)
    return replace(done, story=(told, *done.story))


def finish(world: World, case: Case) -> Result:
    """Cut the wire of a world with this one payment, and let both factories end; its chain is given back."""
    return _Play(world, case).run()


class _Play:
    def __init__(self, world: World, case: Case) -> None:
        self.case = case
        self.world = world
        self.story: list[Line] = []
        self.endings = tuple(
            Ending(home, way) for home, way in zip(self.world.homes, (case.first, case.second), strict=True)
        )
        self.before = {name: self.world.paid(name) for name in (LSP, *CLIENTS)}
        self.now = dict.fromkeys(self.before, 0)
        self.forwarded = self.lsp_knew = False
        self.ends = max(home.lsp.factory.terms.locks.end for home in self.world.homes)

    def run(self) -> Result:
        """The whole play."""
        world = self.world
        self._cut()
        while not all(ending.over for ending in self.endings):
            if world.ledger.height > self.ends + _LONG:
                raise ProtocolError("CHN-55", "NOT_OVER", f"{self.case}: {self._where()}")
            self._block()
        settled = HASH in world.homes[1].side(PAYEE).preimages
        expected = expect(self)
        ways = (self.endings[0].way, self.endings[1].way)
        height = world.ledger.height
        world.ledger.close()
        return Result(self.case, self.now, expected, self.forwarded, settled, ways, height, tuple(self.story))

    def _tell(self, says: str) -> None:
        self.story.append(Line(self.world.ledger.height, "", "", says))

    def _where(self) -> str:
        sides = [side for ending in self.endings for side in ending.home.sides]
        return ", ".join(f"{side.name} '{side.channel.status}'" for side in sides)

    def _cut(self) -> None:
        """Whatever is on its way is lost; each factory begins to end."""
        world = self.world
        out = world.homes[1].side(LSP)
        self.forwarded = any(forward.number < out.channel.next_offer for forward in self._forwards())
        self.lsp_knew = HASH in out.preimages
        pending = [len(side.channel.htlcs) for home in world.homes for side in home.sides]
        self._tell(f"the wire is cut; payments that each side knows of: {pending}")
        for ending in self.endings:
            ending.home.wire.letters.clear()
            ending.home.cut = ending.way != TOGETHER
        for ending in self.endings:
            self._tell(f"{ending.home.client}'s factory: {WAYS[ending.way]}")
            self._begin(ending)
        world.connect()
        world.settle(2)

    def _forwards(self) -> list[Forward]:
        """The payment as the LSP has written it down; the earlier one is not meant."""
        return [one for key, one in self.world.relay.forwards.items() if not key.endswith("/0")]

    def _begin(self, ending: Ending) -> None:
        home = ending.home
        match ending.way:
            case "client" | "client-cheats":
                self._exit(ending, home.member, home.client)
            case "lsp" | "lsp-cheats":
                self._exit(ending, home.lsp, LSP)
            case "end" | "kickoff-end":
                self._end(ending)

    def _exit(self, ending: Ending, by: Actor, name: str) -> None:
        """The path from the root, then a commitment: the newest one, or the first, which is revoked."""
        home = ending.home
        blueprint = by.factory.blueprints[home.member.counted]
        ending.path = [(one, by.complete_transaction(one)) for one in blueprint.path(home.client)]
        if ending.way in (CLIENT_CHEATS, LSP_CHEATS):
            nodes = home.lsp.tree.path_to(home.client)
            versions = tuple(home.lsp.counted_versions[node.path] for node in nodes if node.has_counter)
            first = commitment_name(home.client, versions, name)
            ending.path.append((f"revoked {first}", by.factory.realised[first].signed(by.signatures[first])))
            del home.watchers[name]
            return
        side = home.side(name)
        assert side.own is not None
        ending.alone = name, side.own.said
        side.force_close()

    def _end(self, ending: Ending) -> None:
        """The alternate of whatever is unspent when the factory ends."""
        client = ending.home.member
        place = Outpoint(FUNDING, 0)
        if ending.way == KICKOFF_AT_THE_END:
            kickoff = client.factory.blueprints[client.counted].path(client.name)[0]
            place = Outpoint(kickoff, 0)
        name = alternate_name(place)
        ending.path.append((name, client.complete_transaction(name)))
        outputs = client.factory.templates[name].outputs
        ending.payouts = {
            who: sum(one.amount for one in outputs if one.role is Role.WALLET and one.owner == who)
            for who in (client.name, LSP)
        }

    # -- block by block ------------------------------------------------------------------------------------------------

    def _block(self) -> None:
        world = self.world
        wanted: list[tuple[str, Transaction]] = []
        by: dict[str, str] = {}
        for ending in self.endings:
            for name, what, one in self._wanted(ending):
                wanted.append((what, one))
                by[what] = name
        for what, one in world.mine(wanted):
            self.story.append(Line(world.ledger.height, by[what], CHAIN, f"{what}, {one.txid[:16]}…"))
        now = {name: world.paid(name) - before for name, before in self.before.items()}
        if now != self.now:
            self.now = now
            self._tell(f"at rest: {', '.join(f'{name} {amount:,} sat' for name, amount in now.items())}")
        world.run()
        for ending in self.endings:
            self._note(ending)

    def _wanted(self, ending: Ending) -> Iterator[tuple[str, str, Transaction]]:
        """What is published for one factory now: by whom, what it is, and its bytes."""
        home = ending.home
        if ending.way == KICKOFF_AT_THE_END and self.world.ledger.height == home.lsp.factory.terms.locks.end - 1:
            kickoff = home.lsp.factory.blueprints[home.member.counted].path(home.client)[0]
            yield LSP, kickoff, home.lsp.complete_transaction(kickoff)
        by = LSP if ending.way in (TOGETHER, LSP_ALONE, LSP_CHEATS) else home.client
        yield from ((by, f"{home.client}'s factory, {name}", one) for name, one in ending.path)
        for name, watcher in home.watchers.items():
            for what, one in watcher.look():
                yield name, f"{home.client}'s factory, {name}: {what}", one

    def _note(self, ending: Ending) -> None:
        """Whether a factory is over; one whose channel cannot wait any longer goes to the chain."""
        home = ending.home
        if ending.way == TOGETHER:
            self._close(ending)
            if ending.payouts is None:
                for side in home.sides:
                    why = side.must_close()
                    if why and ending.way == TOGETHER:
                        self._tell(f"{side.name} goes to the chain: {why}")
                        ending.way = LSP_ALONE if side.name == LSP else CLIENT_ALONE
                        home.cut = True
                        self._begin(ending)
        if ending.way == TOGETHER or ending.payouts is not None:
            ending.over = bool(ending.path) and self.world.confirmed(ending.path[-1][1])
        else:
            ending.over = all(home.side(name).channel.status in _OVER for name in home.watchers)

    def _close(self, ending: Ending) -> None:
        """One transaction from the funding output to everybody, as soon as no payment is pending."""
        home = ending.home
        if ending.payouts is not None or any(side.channel.htlcs for side in home.sides):
            return
        for name in (LSP, home.client):
            home.post(name, home.desks[name].rest())
        self.world.run()
        if not all(desk.quiet() for desk in home.desks.values()):
            return
        home.post(LSP, home.lsp.close())
        home.wire.run()
        if not home.wire.broadcasts:
            return
        close = home.wire.broadcasts.pop()
        template = next(t for t in home.lsp.factory.templates.values() if t.kind is Kind.CLOSE)
        ending.path.append((template.name, close))
        coin = home.lsp.factory.templates[FUNDING].outputs[0].amount
        client = home.side(home.client).channel.balance_msat // 1000
        ending.payouts = {home.client: client, LSP: coin - client - template.fee}


# -- what must come of it ----------------------------------------------------------------------------------------------


def expect(here: _Play) -> dict[str, int]:
    """What each party must have at rest (sat)."""
    claims = here.case.payee == CLAIMS
    first, second = here.endings
    # Whether the LSP learns the preimage, from a message or on chain; it claims nothing without it.
    on_chain = second.alone is not None and any(htlc.payment_hash == HASH for htlc in second.alone[1].htlcs)
    by_message = second.way == TOGETHER and (here.forwarded or first.way == TOGETHER)
    knows = claims and (here.lsp_knew or on_chain or by_message)
    ends = dict.fromkeys((LSP, *CLIENTS), 0)
    for ending, payee, known in ((first, LSP, knows), (second, PAYEE, claims)):
        for name, amount in _channel(ending, payee, known).items():
            ends[name] += amount
    return ends


def _channel(ending: Ending, payee: str, known: bool) -> dict[str, int]:
    """What one factory gives its client and the LSP."""
    home = ending.home
    client, capacity = home.client, home.side(home.client).terms.capacity_sat
    if ending.payouts is not None:
        return ending.payouts
    if ending.alone is not None:
        holder, said = ending.alone
        return _newest(said, holder, LSP if holder == client else client, payee if known else "", home.side(client))
    # The first commitment has no HTLC and whole satoshis: all of it is the victim's.
    return {client: 0, LSP: capacity} if ending.way == CLIENT_CHEATS else {client: capacity, LSP: 0}


def _newest(said: View, holder: str, other: str, claims: str, side: ChannelActor) -> dict[str, int]:
    """What a commitment that nobody revoked gives each side (sat), when ``claims`` knows the preimage."""
    dust = side.terms.mine.dust_limit_sat
    ends = {holder: said.to_holder_msat // 1000, other: said.to_other_msat // 1000}
    ends = {name: amount if amount >= dust else 0 for name, amount in ends.items()}
    for htlc in said.htlcs:
        payee = other if htlc.payer == holder else holder
        amount = htlc.amount_msat // 1000
        ends[payee if payee == claims else htlc.payer] += amount if amount >= dust else 0
    return ends
