"""Scenario 'channels': payments through the LSP inside the factory, and every way in which such a channel ends.

The channels begin with the first commitments that the factory's ceremony signed. Payments cross the LSP by messages;
then four HTLCs are left in flight, the leaf is brought on chain, and each ending is played on a copy of the chain.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from superscalar_ref.bitcoin.transaction import Transaction
from superscalar_ref.chain.kernel import KernelLedger
from superscalar_ref.errors import ProtocolError, SuperscalarError
from superscalar_ref.parties.channel_actor import Answer, ChannelActor
from superscalar_ref.parties.channel_desk import ChannelDesk
from superscalar_ref.parties.channel_leaf import open_in_leaf
from superscalar_ref.parties.channel_relay import Relay, Route
from superscalar_ref.parties.channel_watch import ChannelWatcher
from superscalar_ref.parties.client import ClientActor
from superscalar_ref.parties.store import Store
from superscalar_ref.protocol.channel import Htlc, View
from superscalar_ref.protocol.htlc_limits import HtlcLimits, limits_from
from superscalar_ref.realise.commitment import Role
from superscalar_ref.report.result import Check
from superscalar_ref.verify.scene import Named, Parties, Scene, Trial, named, wallet_script

CLAIM_FEE_SAT = 200
"""What each transaction that brings an output home pays."""
CLOSE_FEE_SAT = 200
RELAY_FEE_MSAT = 1_001
LEAST_SAT = 100
"""A channel with less on one side carries no payment worth showing."""
_PAYS = "a payment of real HTLCs crosses the LSP between two clients' channels, or comes back, to the millisatoshi"
OVER = ("swept", "penalised", "closed")
ENDINGS = ("together", "client", "lsp", "client cheats", "lsp cheats")


def preimage(number: int) -> bytes:
    """A preimage of this run."""
    return hashlib.sha256(f"preimage {number}".encode()).digest()


def payment_hash(number: int) -> str:
    """Its payment hash (hex)."""
    return hashlib.sha256(preimage(number)).hexdigest()


@dataclass
class Net:
    """The channels of some clients with the LSP, on a wire that loses nothing."""

    relay: Relay
    clients: dict[str, ChannelActor]
    count: int = 0
    """Messages carried."""
    alerts: list[str] = field(default_factory=list)
    _letters: list[tuple[str, bool, bytes]] = field(default_factory=list)
    """(channel, whether it is for the LSP, message)."""

    def side(self, name: str, of_lsp: bool) -> ChannelActor:
        """One side of a client's channel."""
        return self.relay.channels[self.clients[name].terms.name] if of_lsp else self.clients[name]

    def run(self) -> None:
        """Deliver until nothing is on its way."""
        while True:
            for name in self.clients:
                self._collect(name)
            if not self._letters:
                self.relay.flush()
                for name in self.clients:
                    self._collect(name)
            if not self._letters:
                return
            letters, self._letters = self._letters, []
            for name, to_lsp, raw in letters:
                self.count += 1
                sender = self.side(name, not to_lsp).name
                receiver = self.side(name, to_lsp)
                receiver.receive(sender, raw)
                self._collect(name)
            for outbox in self.relay.flush().values():
                self.alerts += outbox.alerts
            for name in self.clients:
                self._collect(name)

    def _collect(self, name: str) -> None:
        """Take what both sides of a channel have to say."""
        for of_lsp in (False, True):
            side = self.side(name, of_lsp)
            self._letters += [(name, not of_lsp, raw) for _, raw in side.outbox.messages]
            self.alerts += side.outbox.alerts
            side.outbox = type(side.outbox)()


@dataclass(frozen=True)
class Amounts:
    """What the scenario pays (msat), in proportion to what the smaller channel can carry."""

    relayed: int
    inflight: int


@dataclass(frozen=True)
class Channels:
    """What the scenario found."""

    checks: tuple[Check, ...]
    trials: tuple[Trial, ...]


def pay_and_close(scene: Scene) -> Channels:
    """Pay through the LSP, and end a channel in every way, with payments in flight."""
    scene.progress("channels: payments through the LSP")
    names = _with_both(scene)
    if not names:
        # Without money on both sides of a channel there is nothing to show, and nothing is claimed.
        return Channels((), ())
    checks: list[Check] = []
    trials: list[Trial] = []
    with scene.again() as home:
        parties = scene.parties(home)
        try:
            if len(names) > 1:
                checks.append(_payments(scene, parties, names))
            base = Trial("channels/leaf", scene.start.fork())
            trials.append(base)
            leaf = _leaf_on_chain(scene, parties.clients[names[0]], base)
            for ending in ENDINGS:
                scene.progress(f"channels: the channel ends, {ending}")
                trial = Trial(f"channels/{ending.replace(' ', '-')}", base.ledger.fork())
                trials.append(trial)
                checks.append(_ending(scene, parties, names[0], ending, trial, leaf))
        except SuperscalarError as error:
            checks.append(Check("channels/run", "channels", "the scenario runs to its end", False, str(error)))
        parties.close()
    trials.append(Trial("channels/moved", scene.start.fork()))
    checks.append(_moved(scene, names[0], trials[-1]))
    return Channels(tuple(checks), tuple(trials))


def _with_both(scene: Scene) -> list[str]:
    """The two clients whose channels can carry most in both directions."""
    able = [one for one in scene.example.clients if min(one.balance, one.inbound) >= LEAST_SAT]
    return [one.name for one in sorted(able, key=lambda one: -min(one.balance, one.inbound))[:2]]


def _limits(scene: Scene, parties: Parties, client: str) -> HtlcLimits:
    terms = parties.lsp.factory.terms
    return limits_from(scene.example.parameters, terms.locks.end, terms.exit_blocks(client))


def _open(scene: Scene, parties: Parties, names: Iterable[str]) -> Net:
    """Both sides of each client's channel, as the factory's ceremony left them, live."""
    relay = Relay(Store(), RELAY_FEE_MSAT)
    net = Net(relay, {})
    for name in names:
        for actor in (parties.clients[name], parties.lsp):
            label = parties.clients[name].counted
            limits = _limits(scene, parties, name)
            side = open_in_leaf(actor, name, label, Store(), limits, depth=scene.depth(), close_fee_sat=CLOSE_FEE_SAT)
            side.height = scene.start.height
            if actor is parties.lsp:
                relay.join(side)
            else:
                net.clients[name] = side
        net.clients[name].connect()
    net.run()
    return net


def _payments(scene: Scene, parties: Parties, names: list[str]) -> Check:
    """One payment that is claimed and one that comes back, from one client to another through the LSP."""
    rules = ("CHN-4", "CHN-7", "CHN-9", "CHN-13", "CHN-14", "CHN-15", "D-13", "D-14")
    payer, payee = names
    net = _open(scene, parties, names)
    problems = [f"{name}: '{side.channel.status}'" for name, side in net.clients.items() if not _live(net, name)]
    before = {name: side.channel.balance_msat for name, side in net.clients.items()}
    in_limits, out_limits = (_limits(scene, parties, name) for name in (payer, payee))
    out_expiry = out_limits.earliest(scene.start.height)
    in_expiry = max(out_expiry + in_limits.forward_delta, in_limits.earliest(scene.start.height))
    amount = _amounts(net).relayed
    for number in (1, 2):
        net.relay.routes[payment_hash(number)] = Route(net.clients[payee].terms.name, amount, out_expiry)
    net.clients[payee].answer = _claims(1)
    refused = ""
    for number in (1, 2):
        try:
            net.clients[payer].offer(amount + RELAY_FEE_MSAT, payment_hash(number), in_expiry)
        except ProtocolError as error:
            refused = str(error)
        net.run()
    after = {name: side.channel.balance_msat for name, side in net.clients.items()}
    wanted = {payer: before[payer] - amount - RELAY_FEE_MSAT, payee: before[payee] + amount}
    total = sum(side.channel.balance_msat for side in (*net.clients.values(), *net.relay.channels.values()))
    if refused:
        problems.append(refused)
    elif after != wanted:
        problems.append(f"balances are {after}, expected {wanted}")
    if total != sum(side.channel.capacity_msat for side in net.clients.values()):
        problems.append("millisatoshis are not conserved")
    detail = f"{amount:,} msat from {payer} to {payee}, {RELAY_FEE_MSAT:,} msat to the LSP; {net.count} messages"
    return Check("channels/pay", "channels", _PAYS, not problems, problems[0] if problems else detail, rules)


def _live(net: Net, name: str) -> bool:
    return all(net.side(name, of_lsp).channel.status == "live" for of_lsp in (False, True))


def _claims(*numbers: int) -> Answer:
    table = {payment_hash(number): preimage(number) for number in numbers}

    def answer(htlc: Htlc) -> bytes | str | None:
        return table.get(htlc.payment_hash, "unknown payment")

    return answer


def _amounts(net: Net) -> Amounts:
    """Some thousandths of what each side can pay, with odd millisatoshis, above the dust limit."""
    least = min(
        min(side.channel.balance_msat, side.channel.capacity_msat - side.channel.balance_msat)
        for side in net.clients.values()
    )
    return Amounts(least // 5 + 1, least // 6 + 7)


def _leaf_on_chain(scene: Scene, client: ClientActor, trial: Trial) -> int:
    """Publish the client's path down to its leaf, each transaction as soon as its lock allows; the leaf's height."""
    blueprint = client.factory.blueprints[client.counted]
    height = trial.ledger.height
    for name in blueprint.path(client.name):
        lock = client.factory.templates[name].spends[0].relative_lock or 0
        if lock > 1:
            trial.ledger.advance(lock - 1)
        height = trial.mine(named(client, name))
    return height


# -- moving with the leaf ----------------------------------------------------------------------------------------------


def _moved(scene: Scene, name: str, trial: Trial) -> Check:
    """Replace a leaf under a channel that has been paid through; the LSP then cheats with what it held before."""
    scene.progress("channels: the leaf is replaced under a channel")
    rules = ("CHN-26", "CHN-35", "CHN-51", "CLI-5", "FAC-10", "D-15")
    with scene.again() as home:
        parties = scene.parties(home)
        try:
            problem, detail = _cheated_after_a_move(scene, parties, name, trial)
        except SuperscalarError as error:
            problem, detail = str(error), ""
        parties.close()
    if not problem and not trial.conserved():
        problem = (trial.problems or ["value is not conserved"])[0]
    return Check("channels/moved", "channels", _MOVES, not problem, problem or detail, rules)


def _cheated_after_a_move(scene: Scene, parties: Parties, name: str, trial: Trial) -> tuple[str, str]:
    """What is wrong, and what was shown."""
    lsp, client, wire = parties.lsp, parties.clients[name], parties.wire
    desks = [
        ChannelDesk(actor, lambda one: _limits(scene, parties, one), depth=scene.depth(), close_fee_sat=CLOSE_FEE_SAT)
        for actor in (lsp, client)
    ]
    for desk in desks:
        desk.open(name).answer = _claims(1, 2)
    theirs, mine = (desk.sides[name] for desk in desks)
    wire.post(name, desks[1].connect())
    wire.run()
    expiry = mine.limits.earliest(scene.start.height)
    amount = min(mine.channel.balance_msat, theirs.channel.balance_msat) // 6 + 1
    wire.post(name, desks[1].act(name, lambda side: side.offer(amount, payment_hash(1), expiry)))
    wire.run()
    before = client.counted
    wire.post(lsp.name, lsp.update(lsp.tree.leaf_of(name).path, {}))
    wire.run()
    place, commitments = lsp.factory.channel_place(client.counted, name)
    if client.counted == before or [mine.channel.outpoints, theirs.channel.outpoints] != [(place,), (place,)]:
        return "the channel is not on the new leaf's outpoint", ""
    if set(commitments.values()) & (lsp.signatures.keys() | client.signatures.keys()):
        return "the ceremony signed a first commitment for a channel that lives", ""
    copy = _copy(theirs)
    wire.post(lsp.name, desks[0].act(name, lambda side: side.offer(amount, payment_hash(2), expiry)))
    wire.run()
    leaf = _leaf_on_chain(scene, client, trial)
    stolen = ChannelActor(theirs.terms, theirs.keys, copy, theirs.limits).own_commitment(place)
    script = wallet_script(scene.example, name)
    start = _resting(trial.ledger, script)
    watcher = ChannelWatcher(mine, trial.ledger, CLAIM_FEE_SAT)
    thief = ChannelActor(theirs.terms, theirs.keys, copy, theirs.limits)
    thief.force_close()
    _block(trial, {"thief": ChannelWatcher(thief, trial.ledger)}, {name: watcher})
    while mine.channel.status not in OVER:
        if not _block(trial, {name: watcher}, {}):
            trial.ledger.advance(scene.depth())
    home = _after_fee(mine)
    wanted = sum(home(one.output.amount_sat) for one in stolen.outputs if one.role is not Role.ANCHOR)
    ends = _resting(trial.ledger, script) - start
    problem = "" if ends == wanted else f"{name} has {ends} sat, expected {wanted}"
    shown = (
        f"leaf at {leaf}; {name} {ends:,} sat, which is all; commitment {stolen.state.number} of {lsp.name} was revoked"
    )
    return problem, shown


# -- endings -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Play:
    """A channel with a past and four payments in flight."""

    net: Net
    sides: dict[str, ChannelActor]
    """The client's and the LSP's."""
    copies: dict[str, Store]
    """What each side held when a payment that is over now was in flight: a revoked commitment."""


def _in_flight(scene: Scene, parties: Parties, name: str) -> _Play:
    net = _open(scene, parties, [name])
    client, lsp = net.side(name, False), net.side(name, True)
    amount = _amounts(net).inflight
    expiry = _limits(scene, parties, name).earliest(scene.start.height)
    lsp.answer = client.answer = _waits
    client.offer(amount, payment_hash(10), expiry)
    net.run()
    copies = {side.name: _copy(side) for side in (client, lsp)}
    lsp.settle(0, preimage(10))
    net.run()
    for number in (11, 12):
        client.offer(amount // 4 + number, payment_hash(number), expiry)
        net.run()
        lsp.offer(amount // 4 + 2 * number, payment_hash(number + 10), expiry)
        net.run()
    return _Play(net, {side.name: side for side in (client, lsp)}, copies)


def _waits(htlc: Htlc) -> bytes | str | None:
    """A payee that is silent."""
    return None


def _knows(number: int) -> Answer:
    """A payee that claims one payment, and is silent about the others."""
    return lambda htlc: preimage(number) if htlc.payment_hash == payment_hash(number) else None


def _copy(side: ChannelActor) -> Store:
    """What a thief, or an old backup, holds later: what the side needs to close alone with its present commitment."""
    copy = Store()
    place = f"channel/{side.terms.name}"
    secrets = [f"secret/{number}" for number in range(side.channel.mine + 2)]
    signed = [f"theirs/{number}" for number in range(side.channel.theirs + 1)]
    for part in ("state", "mine", *secrets, *signed):
        body = side.store.document(f"{place}/{part}")
        if body is not None:
            copy.put_document(f"{place}/{part}", body)
    copy.commit()
    return copy


def _ending(scene: Scene, parties: Parties, name: str, ending: str, trial: Trial, leaf: int) -> Check:
    """Play one ending on a copy of the chain, and compare what each side has with what it should have."""
    play = _in_flight(scene, parties, name)
    lsp = scene.example.lsp
    scripts = {who: wallet_script(scene.example, who) for who in play.sides}
    start = {who: _resting(trial.ledger, script) for who, script in scripts.items()}
    watchers = {who: ChannelWatcher(side, trial.ledger, CLAIM_FEE_SAT) for who, side in play.sides.items()}
    problem = ""
    wanted: dict[str, int] = {}
    try:
        wanted = _begin(play, ending, name, lsp, trial, watchers)
        last = trial.ledger.height + parties.lsp.factory.terms.locks.end
        while trial.ledger.height < last and not all(one.side.channel.status in OVER for one in watchers.values()):
            if not _block(trial, watchers, watchers):
                trial.ledger.advance(scene.depth())
    except SuperscalarError as error:
        problem = str(error)
    ends = {who: _resting(trial.ledger, script) - start[who] for who, script in scripts.items()}
    if not problem and ends != wanted:
        problem = f"ends with {ends}, expected {wanted}"
    if not problem and not trial.conserved():
        problem = (trial.problems or ["value is not conserved"])[0]
    statuses = ", ".join(f"{who} '{one.side.channel.status}'" for who, one in watchers.items())
    detail = f"leaf at {leaf}; {', '.join(f'{who} {amount:,} sat' for who, amount in ends.items())}; {statuses}"
    check_id = f"channels/{ending.replace(' ', '-')}"
    return Check(check_id, "channels", _SAYS[ending], not problem, problem or detail, _RULES[ending])


def _begin(
    play: _Play, ending: str, name: str, lsp: str, trial: Trial, watchers: dict[str, ChannelWatcher]
) -> dict[str, int]:
    """Take the first steps of an ending; what each side should have at its end (sat)."""
    sides = play.sides
    if ending == "together":
        for number, payer in ((11, name), (12, name), (21, lsp), (22, lsp)):
            payee = sides[lsp if payer == name else name]
            htlc = next(one for one in payee.channel.htlcs if one.payment_hash == payment_hash(number))
            payee.settle(htlc.number, preimage(number)) if number % 2 else payee.reject(htlc.number, "not wanted")
            play.net.run()
        sides[name].shutdown()
        play.net.run()
        balance, capacity = sides[name].channel.balance_msat, sides[name].channel.capacity_msat
        return {name: balance // 1000, lsp: (capacity - balance) // 1000 - CLOSE_FEE_SAT}
    if ending.endswith("cheats"):
        cheat, victim = (name, lsp) if ending.startswith("client") else (lsp, name)
        honest = sides[cheat]
        thief = ChannelActor(honest.terms, honest.keys, play.copies[cheat], honest.limits)
        thief.force_close()
        stolen = thief.own_commitment(honest.terms.outpoint)
        _block(trial, {"thief": ChannelWatcher(thief, trial.ledger)}, watchers)
        del watchers[cheat]
        outputs = [one.output.amount_sat for one in stolen.outputs if one.role is not Role.ANCHOR]
        return {cheat: 0, victim: sum(amount for amount in map(_after_fee(honest), outputs))}
    closer, other = (name, lsp) if ending == "client" else (lsp, name)
    sides[name].answer, sides[lsp].answer = _knows(21), _knows(11)
    own = sides[closer].own
    assert own is not None
    sides[closer].force_close()
    return _expected(own.said, closer, other, sides[closer])


def _after_fee(side: ChannelActor) -> Callable[[int], int]:
    """What is left of an output (sat) when it is home; 0 when it is not worth its fee."""
    dust = side.terms.mine.dust_limit_sat
    return lambda amount: amount - CLAIM_FEE_SAT if amount - CLAIM_FEE_SAT >= dust else 0


def _expected(said: View, holder: str, other: str, side: ChannelActor) -> dict[str, int]:
    """What a commitment that nobody revoked gives each side (sat): 11 and 21 are claimed, the others not."""
    home = _after_fee(side)
    ends = {holder: home(said.to_holder_msat // 1000), other: home(said.to_other_msat // 1000)}
    for htlc in said.htlcs:
        payee = other if htlc.payer == holder else holder
        claimed = htlc.payment_hash in (payment_hash(11), payment_hash(21))
        ends[payee if claimed else htlc.payer] += home(htlc.amount_msat // 1000)
    return ends


def _block(trial: Trial, acting: dict[str, ChannelWatcher], watching: dict[str, ChannelWatcher]) -> bool:
    """One block of what those who act publish now, if there is any; everybody who watches sees it."""
    taken: list[tuple[str, Transaction]] = []
    for who, watcher in acting.items():
        for name, transaction in watcher.look():
            raw = [one.serialized for _, one in (*taken, (name, transaction))]
            known = transaction.txid in {one.txid for _, one in taken}
            if not known and trial.ledger.would_accept(raw).accepted:
                taken.append((f"{who}: {name}", transaction))
    if not taken:
        return False
    side = next(iter(acting.values())).side
    trial.mine(*(_named(label, transaction, side) for label, transaction in taken))
    for watcher in {id(one): one for one in (*acting.values(), *watching.values())}.values():
        for _, transaction in taken:
            watcher.feed(transaction)
    return True


def _named(label: str, transaction: Transaction, side: ChannelActor) -> Named:
    """A transaction with the fee that it says it pays: a claim its own, a second stage none, the rest what is left."""
    paid = sum(output.amount_sat for output in transaction.outputs)
    scripts = {one.payout_script for one in (side.terms.mine, side.terms.theirs)}
    if label.endswith((": commitment", ": close")):
        return Named(label, label.rpartition(": ")[2], transaction, side.terms.capacity_sat - paid)
    if transaction.outputs[0].script_pubkey in scripts:
        return Named(label, "claim", transaction, CLAIM_FEE_SAT)
    return Named(label, "second stage", transaction, 0)


def _resting(ledger: KernelLedger, script: bytes) -> int:
    """What rests on a script (sat)."""
    return sum(coin.output.amount for coin in ledger.unspent().values() if coin.output.script == script)


_MOVES = "a leaf is replaced under a channel, which moves; what the LSP held before costs it the whole channel"
_SAYS = {
    "together": "a channel in a leaf closes together, and both ends get their whole satoshis",
    "client": "the client closes alone with payments in flight: each goes to who knows its preimage, else back",
    "lsp": "the LSP closes alone with payments in flight: each goes to who knows its preimage, else back",
    "client cheats": "a client that publishes a revoked commitment loses the whole channel",
    "lsp cheats": "an LSP that publishes a revoked commitment loses the whole channel",
}
_RULES = {
    "together": ("CHN-41", "CHN-43", "CHN-44", "CHN-49"),
    "client": ("CHN-50", "CHN-52", "CHN-53"),
    "lsp": ("CHN-50", "CHN-52", "CHN-53"),
    "client cheats": ("CHN-15", "CHN-51", "CHN-55"),
    "lsp cheats": ("CHN-15", "CHN-51", "CHN-55"),
}
