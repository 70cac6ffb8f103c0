"""Payments through the LSP, from one client's channel to another's, by messages and, when it must be, by the chain."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from superscalar_ref.chain.interface import TxOut
from superscalar_ref.chain.kernel import KernelLedger
from superscalar_ref.parties.channel_relay import Forward, Relay, Route
from superscalar_ref.parties.channel_watch import ChannelWatcher
from superscalar_ref.parties.store import Store
from superscalar_ref.protocol.channel import FINAL, Htlc
from superscalar_ref.protocol.htlc_limits import HtlcLimits
from tests.parties.channel_chain import OVER, Chain
from tests.parties.channel_scene import CAPACITY_SAT, CLIENT_MSAT, LSP, Pair, hashed, payout, preimage, terms

FEE_MSAT = 1_001
LIMITS = HtlcLimits(exit_blocks=3, margin_blocks=3, end=500, cutoff_blocks=20)
AMOUNT = 50_000_123


@dataclass
class Net:
    """Channels of several clients with one LSP: each with an outpoint of its own on one chain."""

    pairs: dict[str, Pair]
    ledger: KernelLedger
    store: Store = field(default_factory=Store)
    relay: Relay = field(init=False)

    def __post_init__(self) -> None:
        self.relay = Relay(self.store, FEE_MSAT)
        for pair in self.pairs.values():
            self.relay.join(pair.l)

    @classmethod
    def start(cls, **clients: str) -> Net:
        """Channels by name, each of a client; open."""
        scripts = [terms(LSP, client=client, channel=name) for name, client in clients.items()]
        funding = [one.bolt_terms(LSP, one.outpoint).funding_output for one in scripts]
        ledger = KernelLedger.start([TxOut(one.amount_sat, one.script_pubkey) for one in funding])
        pairs = {
            name: Pair(outpoint=str(point), client=client, name=name, limits=LIMITS, height=ledger.height)
            for (name, client), point in zip(clients.items(), ledger.funds, strict=True)
        }
        net = cls(pairs, ledger)
        for pair in pairs.values():
            pair.open()
        return net

    def run(self) -> Net:
        for _ in range(400):
            for pair in self.pairs.values():
                while pair.letters:
                    pair.deliver(pair.letters.popleft())
            for name, outbox in self.relay.flush().items():
                self.pairs[name].post(LSP, outbox)
            if not any(pair.letters for pair in self.pairs.values()):
                return self
        raise AssertionError("the wire does not come to rest")

    def route(self, number: int, to: str, amount: int = AMOUNT, expiry: int = 112, via: str = "") -> None:
        key = f"{via}/{hashed(number)}" if via else hashed(number)
        self.relay.routes[key] = Route(to, amount, expiry)

    def pay(self, channel: str, number: int, amount: int = AMOUNT + FEE_MSAT, expiry: int = 118) -> Net:
        pair = self.pairs[channel]
        pair.post(pair.client, pair.a.offer(amount, hashed(number), expiry))
        return self.run()

    def balance(self, channel: str) -> int:
        return self.pairs[channel].a.channel.balance_msat - CLIENT_MSAT

    def earned(self) -> int:
        """What the LSP is better off, over all its channels (msat)."""
        start = len(self.pairs) * (CAPACITY_SAT * 1000 - CLIENT_MSAT)
        return sum(pair.l.channel.balance_msat for pair in self.pairs.values()) - start


def claims(*numbers: int) -> Callable[[Htlc], bytes | str | None]:
    table = {hashed(number): preimage(number) for number in numbers}
    return lambda htlc: table.get(htlc.payment_hash, "unknown payment")


def test_a_payment_crosses_the_lsp_and_its_fee_stays_there() -> None:
    net = Net.start(one="A", two="B")
    net.route(1, "two")
    net.pairs["two"].a.answer = claims(1)
    net.pay("one", 1)
    assert (net.balance("one"), net.balance("two"), net.earned()) == (-AMOUNT - FEE_MSAT, AMOUNT, FEE_MSAT)
    assert not any(pair.alerts for pair in net.pairs.values())


@pytest.mark.parametrize(
    ("number", "amount", "expiry", "says"),
    [
        (2, AMOUNT + FEE_MSAT, 118, "unknown payment"),
        (9, AMOUNT + FEE_MSAT, 118, "nobody to pass it on to"),
        (1, AMOUNT, 118, "do not cover"),
        (1, AMOUNT + FEE_MSAT, 117, "118 is accepted"),
    ],
)
def test_a_payment_that_cannot_be_made_comes_back(number: int, amount: int, expiry: int, says: str) -> None:
    net = Net.start(one="A", two="B")
    net.route(1, "two")
    net.route(2, "two")
    net.pairs["two"].a.answer = claims(1)
    net.pay("one", number, amount, expiry)
    assert (net.balance("one"), net.balance("two"), net.earned()) == (0, 0, 0)
    assert says in " ".join(alert for pair in net.pairs.values() for alert in pair.alerts)


def test_a_payment_split_over_two_channels_of_a_client_is_claimed_when_all_of_it_is_there() -> None:
    """Local multipath: one client, two channels, and a payee that waits for the whole."""
    net = Net.start(one="A", jit="A", two="B")
    payee = net.pairs["two"].a
    for via, amount in (("one", 30_000_001), ("jit", 20_000_122)):
        net.route(1, "two", amount, via=via)

    def whole(htlc: Htlc) -> bytes | str | None:
        here = sum(one.amount_msat for one in payee.channel.htlcs if one.payment_hash == htlc.payment_hash)
        paid = payee.preimages.get(htlc.payment_hash) is not None
        return preimage(1) if paid or here >= AMOUNT else None

    payee.answer = whole
    net.pay("one", 1, 30_000_001 + FEE_MSAT)
    assert net.balance("two") == 0, "half a payment is not claimed"
    net.pay("jit", 1, 20_000_122 + FEE_MSAT)
    assert net.balance("two") == AMOUNT == 50_000_123
    assert (net.balance("one"), net.balance("jit")) == (-30_000_001 - FEE_MSAT, -20_000_122 - FEE_MSAT)
    assert net.earned() == 2 * FEE_MSAT


@pytest.mark.parametrize("claimed", [True, False])
@pytest.mark.parametrize("closer", ["A", LSP])
def test_a_split_payment_ends_alike_in_all_its_parts_when_one_channel_goes_on_chain(closer: str, claimed: bool) -> None:
    """One part's channel is closed while both are in flight: the other part is settled, or given back, by messages."""
    net = Net.start(one="A", jit="A", two="B")
    parts = (("one", 30_000_001), ("jit", 20_000_122))
    payee = net.pairs["two"].a
    payee.answer = lambda htlc: None
    for via, amount in parts:
        net.route(1, "two", amount, via=via)
        net.pay(via, 1, amount + FEE_MSAT)
    assert [len(net.pairs[name].a.channel.htlcs) for name in ("one", "jit", "two")] == [1, 1, 2]
    pair = net.pairs["one"]
    pair.sides[closer].force_close()
    payee.answer = claims(1) if claimed else lambda htlc: "too little"
    net.pairs["two"].post("B", payee.answer_pending())
    net.run()
    chain = Chain(net.ledger, {name: ChannelWatcher(side, net.ledger) for name, side in pair.sides.items()})
    for _ in range(60):
        chain.round(list(chain.watchers))
        if all(side.channel.status in OVER for side in pair.sides.values()):
            break
    else:
        raise AssertionError("not over")
    sent = 30_000_001 + FEE_MSAT
    kept = (CLIENT_MSAT - sent) // 1000 + (0 if claimed else sent // 1000)
    assert chain.paid(payout("A in one")) == kept
    assert (net.balance("jit"), net.balance("two")) == ((-20_000_122 - FEE_MSAT, AMOUNT) if claimed else (0, 0))


def test_the_lsp_dies_at_any_moment_of_a_payment() -> None:
    """R-FORWARD-KEPT."""
    for moment in range(40):
        net = Net.start(one="A", two="B")
        net.route(1, "two")
        net.pairs["two"].a.answer = claims(1)
        pair = net.pairs["one"]
        pair.post("A", pair.a.offer(AMOUNT + FEE_MSAT, hashed(1), 118))
        done = _deliver_some(net, moment)
        routes = net.relay.routes
        net.relay = Relay(net.store, FEE_MSAT)
        net.relay.routes = routes
        for one in net.pairs.values():
            net.relay.join(one.crash(LSP))
            one.letters.clear()
            one.post(LSP, one.l.connect())
        net.run()
        assert (net.balance("one"), net.balance("two"), net.earned()) in (
            (-AMOUNT - FEE_MSAT, AMOUNT, FEE_MSAT),
            # Its offer may find the other channel not connected yet: then the payment comes back.
            (0, 0, 0),
        ), moment
        held = Counter(len(one.a.channel.htlcs) for one in net.pairs.values())
        assert held == {0: 2}, moment
        if done:
            return
    raise AssertionError("the payment takes more letters than this test has moments")


@pytest.mark.parametrize("letters", [2, 3, 4])
def test_a_payment_that_is_not_irrevocable_is_not_passed_on_from_the_chain_either(letters: int) -> None:
    """R-FORWARD-FINAL: the LSP's own commitment has it and confirms, the payer's has it not; a reorg may bring that."""
    net = Net.start(one="A", two="B")
    net.route(1, "two", expiry=200)
    pair = net.pairs["one"]
    pair.post("A", pair.a.offer(AMOUNT + FEE_MSAT, hashed(1), 250))
    _deliver_some(net, letters)
    pair.letters.clear()
    htlcs = pair.l.channel.htlcs
    assert htlcs and htlcs[0].stage < FINAL
    pair.l.force_close()
    chain = Chain(net.ledger, {LSP: ChannelWatcher(pair.l, net.ledger)})
    chain.round([LSP])
    chain.round([LSP])
    assert pair.l.channel.status == "resolving" and any(name.startswith("htlc A") for name in pair.l.channel.claims)
    assert net.pairs["two"].l.channel.next_offer == 0, "nothing is offered that the payer can still take back"


def test_a_payment_whose_number_another_one_has_got_is_given_back() -> None:
    """The LSP dies after it has written down how it passes one on, and before it offers it; another is first."""
    net = Net.start(one="A", jit="C", two="B")
    net.route(1, "two")
    net.route(3, "two")
    net.pairs["two"].a.answer = lambda htlc: None
    net.relay._keep("one/0", Forward(net.relay.routes[hashed(1)], 0))
    net.pay("jit", 3)
    assert net.pairs["two"].l.channel.next_offer == 1
    net.pay("one", 1)
    assert (net.balance("one"), len(net.pairs["one"].a.channel.htlcs)) == (0, 0)
    assert "its place in the outgoing channel was lost" in " ".join(net.pairs["one"].alerts)
    assert len(net.pairs["jit"].a.channel.htlcs) == 1, "the other one waits for its payee"


@pytest.mark.parametrize("died", [False, True], ids=["waits", "died-before-it-offered"])
@pytest.mark.parametrize("wakes", [True, False])
def test_a_payment_waits_for_a_quiet_channel_as_long_as_its_expiry_would_be_accepted(wakes: bool, died: bool) -> None:
    """R-FORWARD-WAITS: also one that was written down before the channel was quiet, and never offered."""
    net = Net.start(one="A", two="B")
    net.route(1, "two")
    net.pairs["two"].a.answer = claims(1)
    pair = net.pairs["two"].say(LSP, lambda side: side.quiesce())
    assert pair.l.channel.status == "quiescent"
    if died:
        net.relay._keep("one/0", Forward(net.relay.routes[hashed(1)], 0))
    net.pay("one", 1)
    assert len(net.pairs["one"].l.channel.htlcs) == 1 and bool(net.relay.forwards) is died
    if wakes:
        pair.say(LSP, lambda side: side.resume())
        net.run()
        assert (net.balance("one"), net.balance("two")) == (-AMOUNT - FEE_MSAT, AMOUNT)
    else:
        pair.l.height += 50
        net.run()
        assert (net.balance("one"), len(net.pairs["one"].a.channel.htlcs)) == (0, 0)
        assert "is too soon" in " ".join(net.pairs["one"].alerts)


def _deliver_some(net: Net, most: int) -> bool:
    """Deliver so many letters; True when that was all of them."""
    left = most
    while True:
        letters = [pair for pair in net.pairs.values() if pair.letters]
        if not letters:
            before = sum(len(pair.letters) for pair in net.pairs.values())
            for name, outbox in net.relay.flush().items():
                net.pairs[name].post(LSP, outbox)
            if sum(len(pair.letters) for pair in net.pairs.values()) == before:
                return True
            continue
        if left == 0:
            return False
        left -= 1
        letters[0].deliver(letters[0].letters.popleft())
        for name, outbox in net.relay.flush().items():
            net.pairs[name].post(LSP, outbox)


@pytest.mark.parametrize("claimed", [True, False])
@pytest.mark.parametrize("closer", ["A", "B", "L/one", "L/two"])
def test_a_payment_in_flight_ends_alike_in_both_channels_when_either_goes_on_chain(closer: str, claimed: bool) -> None:
    """R-FORWARD-BACK: the payee is silent until both are on chain: the LSP learns the preimage there, and claims."""
    net = Net.start(one="A", two="B")
    net.route(1, "two")
    payee = net.pairs["two"].a
    payee.answer = lambda htlc: None
    net.pay("one", 1)
    assert [len(pair.a.channel.htlcs) for pair in net.pairs.values()] == [1, 1]
    who, _, which = closer.partition("/")
    which = which or ("one" if who == "A" else "two")
    for name in ("two", "one") if which == "two" else ("one", "two"):
        pair = net.pairs[name]
        pair.sides[who if who in pair.sides else LSP].force_close()
    if claimed:
        payee.answer = claims(1)
    chain = Chain(net.ledger)
    for name, pair in net.pairs.items():
        for side in pair.sides.values():
            chain.watchers[f"{name}/{side.name}"] = ChannelWatcher(side, net.ledger)
    for _ in range(60):
        chain.round(list(chain.watchers))
        if all(side.channel.status in OVER for pair in net.pairs.values() for side in pair.sides.values()):
            break
    else:
        raise AssertionError("not over")
    paid = {
        f"{client}/{name}": chain.paid(payout(f"{client} in {name}")) for name, client in (("one", "A"), ("two", "B"))
    }
    start = CLIENT_MSAT // 1000
    if claimed:
        assert paid == {"A/one": (CLIENT_MSAT - AMOUNT - FEE_MSAT) // 1000, "B/two": start + AMOUNT // 1000}
    else:
        assert paid == {
            "A/one": (CLIENT_MSAT - AMOUNT - FEE_MSAT) // 1000 + (AMOUNT + FEE_MSAT) // 1000,
            "B/two": start,
        }
    lsp = sum(chain.paid(payout(f"{LSP} in {name}")) for name in net.pairs)
    earned = lsp - 2 * (CAPACITY_SAT - start)
    # A few satoshis are rounded off; the fee of the payment is 1 sat and 1 msat.
    assert -3 <= earned - (1 if claimed else 0) <= 1


def test_what_is_too_small_for_an_output_comes_back_when_the_commitment_is_deep_and_not_before() -> None:
    """R-FORWARD-BACK: a reorg may still bring a commitment, or a close, in which the payee has claimed it."""
    net = Net.start(one="A", two="B")
    small = 100_000
    net.route(1, "two", amount=small)
    net.pairs["two"].a.answer = lambda htlc: None
    net.pay("one", 1, amount=small + FEE_MSAT)
    out, came = net.pairs["two"].l, net.pairs["one"]
    assert len(out.channel.htlcs) == 1 and len(came.l.channel.htlcs) == 1
    out.force_close()
    chain = Chain(net.ledger, {LSP: ChannelWatcher(out, net.ledger)})
    chain.round([LSP])
    out.channel = replace(out.channel, depth=3)
    for depth in range(1, 4):
        chain.watchers[LSP].look()
        net.run()
        assert bool(came.a.channel.htlcs) is (depth < 3), f"at depth {depth}"
        net.ledger.mine([])
