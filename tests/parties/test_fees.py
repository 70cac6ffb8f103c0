"""What the price of a block does to an exit: on Bitcoin Core's code, with blocks that take only what pays.

Whoever has a coin raises its child to the price of the day; whoever has none waits. An adversary that chooses the
prices wins nothing as long as nobody waits longer than ``confirmation_blocks`` (R-STEP-DOMINATES).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superscalar_ref.bitcoin.transaction import TxOutput
from superscalar_ref.chain.fees import FeeMarket, Offer, Spike
from superscalar_ref.chain.interface import TxOut
from superscalar_ref.parties.bumper import Bumper
from superscalar_ref.parties.watch import txid_bytes
from superscalar_ref.protocol.fees import Paid, child_fee, load_fee_rules, reserve_needed
from superscalar_ref.protocol.shape import Shape
from superscalar_ref.protocol.transaction import Role
from superscalar_ref.realise.book import CoinOutput
from superscalar_ref.realise.child import CHILD_VBYTES
from superscalar_ref.spec.load import load_parameters
from tests.parties.chain_scene import OnChain
from tests.parties.scene import BALANCE, ECONOMY, LOCKS, LSP, WALLET_KEY, WALLET_SCRIPT, payout, secret

ME = "c0"
ALONE = Shape.of([1])
RESERVE = 60_000
"""A coin for children (sat)."""
ABSENCE = 1
CONFIRMATION = 3
STEP = ABSENCE + CONFIRMATION + 1
"""The smallest step that R-STEP-DOMINATES allows."""
KICKOFF, STATE, COMMITMENT = "kickoff:r@-", "state:r@0", "commitment:c0@0:c0"
ANCHOR = ECONOMY.anchor
HIGH = 50
"""More than what is signed into the tree pays (sat/vB)."""


@dataclass
class Market:
    """A factory of one client, blocks with prices, and who pays for children."""

    here: OnChain
    market: FeeMarket
    bumpers: dict[str, Bumper]

    def offers(self, party: str, *names: str) -> list[Offer]:
        """These transactions of a party, each with a child when the last block's price asks for one."""
        actor, price = self.here.play.actors[party], self.market.feerate(self.here.ledger.height)
        made: list[Offer] = []
        for name in names:
            made.append(Offer(actor.complete_transaction(name), actor.factory.templates[name].fee))
            if party in self.bumpers and not made[-1].pays(price):
                child = self.bumpers[party].child(made[-1], price)
                made.extend([child] if child is not None else [])
        return made

    def block(self, offers: Sequence[Offer]) -> list[Offer]:
        """One block of what the market takes."""
        mined = self.market.block(self.here.ledger.height + 1, offers)
        self.here.mine(*(one.transaction for one in mined))
        for one in self.bumpers.values():
            one.look(self.here.ledger)
        return list(mined)

    def follow(self, party: str, last: int) -> dict[str, int]:
        """A party follows its strategy up to a height; what it got confirmed, and where."""
        watcher = self.here.watchers[party]
        watcher.purse = self.bumpers.get(party)
        while self.here.ledger.height < last:
            watcher.look()
            self.block(list(watcher.offers(self.market.feerate(self.here.ledger.height)).values()))
        watcher.look()
        return dict(watcher.seen)


def bumper(here: OnChain, place: int, amount: int = RESERVE) -> Bumper:
    """One of the coins that the chain began with."""
    point = here.ledger.funds[place]
    coin = CoinOutput(point.txid[::-1].hex(), point.index, TxOutput(amount, WALLET_SCRIPT))
    return Bumper(WALLET_KEY, WALLET_SCRIPT, [coin])


def market(spikes: Sequence[tuple[int, int, int]] = (), payers: Sequence[str] = (), step: int = 2) -> Market:
    """A factory on a chain of its own; spikes are (blocks from now, how many, sat/vB)."""
    coins = [TxOut(RESERVE, WALLET_SCRIPT)] * len(payers)
    here = OnChain.start(1, ALONE, locks=replace(LOCKS, step=step), others=coins)
    start = here.ledger.height + 1
    days = FeeMarket(1, tuple(Spike(start + first, blocks, feerate) for first, blocks, feerate in spikes))
    return Market(here, days, {name: bumper(here, place + 1) for place, name in enumerate(payers)})


def leave(run: Market, blocks: int) -> dict[str, int]:
    """The client leaves; what is confirmed after so many blocks, by blocks from when it began."""
    begun = run.here.ledger.height
    run.here.deadline(ME, begun)
    seen = run.follow(ME, begun + blocks)
    return {name: height - begun for name, height in seen.items() if height > begun}


QUIET = {KICKOFF: 1, STATE: 5}
"""When each is confirmed at the usual price, in blocks."""


def test_without_a_spike_what_is_signed_is_enough() -> None:
    assert leave(market(), 8) == QUIET


@pytest.mark.parametrize("blocks", [1, 9])
@pytest.mark.parametrize("name", [KICKOFF, STATE])
def test_a_spike_delays_what_pays_only_its_signed_fee_by_exactly_its_length(name: str, blocks: int) -> None:
    delayed = leave(market([(QUIET[name] - 1, blocks, 2)]), 20)
    late = list(QUIET)[list(QUIET).index(name) :]
    assert delayed == {one: height + (blocks if one in late else 0) for one, height in QUIET.items()}


def test_a_client_with_a_coin_is_a_block_late_in_a_spike_of_any_length() -> None:
    """It learns the price from the block that did not take it. A commitment has no fee of its own (D-13)."""
    run = market([(0, 100, HIGH)], [ME])
    assert leave(run, 12) == {KICKOFF: 2, STATE: 6, COMMITMENT: 7}
    (left,) = run.bumpers[ME].free()
    assert 0 < left.output.amount_sat == RESERVE - run.bumpers[ME].spent
    actor, needed = run.here.play.actors[ME], 0
    for name in (KICKOFF, STATE, COMMITMENT):
        template, size = actor.factory.templates[name], actor.complete_transaction(name).vbytes + CHILD_VBYTES
        anchor = next(output.amount for output in template.outputs if output.role is Role.ANCHOR)
        needed += HIGH * size - template.fee - anchor
    assert run.bumpers[ME].spent == needed, "each transaction of the path and its child, less what is signed into it"


def test_the_lsp_s_coin_gets_in_what_a_client_without_one_publishes() -> None:
    run = market([(0, 100, HIGH)], [LSP])
    run.block(())
    assert run.block(run.offers(ME, KICKOFF)) == []
    mined = run.block([*run.offers(ME, KICKOFF), *run.offers(LSP, KICKOFF)])
    assert run.here.play.actors[ME].complete_transaction(KICKOFF) == mined[0].transaction
    assert len(mined) == 2
    assert run.bumpers[LSP].spent > 0


def test_a_child_is_raised_when_the_price_rises_and_pays_once() -> None:
    run = market([(0, 2, 5), (2, 2, 20), (4, 90, HIGH)], [ME])
    run.here.ledger.advance(1)
    first = run.offers(ME, KICKOFF)[1]
    assert run.block(run.offers(ME, KICKOFF))[1] == first, "a day's price is enough on that day"
    run = market([(0, 1, 5), (1, 1, 20), (2, 90, HIGH)], [ME])
    run.here.ledger.advance(1)
    children: list[Offer] = []
    while len(children) < 4:
        offers = run.offers(ME, KICKOFF)
        children.append(offers[1])
        if run.block(offers):
            break
    assert [one.fee for one in children] == sorted({one.fee for one in children})
    assert len(children) == 3
    for earlier, later in pairwise(children):
        assert later.fee - earlier.fee >= later.transaction.vbytes, "BIP-125, rule 4"
    assert run.here.ledger.confirmation_height(txid_bytes(children[-1].transaction.txid)) == run.here.ledger.height
    assert run.bumpers[ME].spent == children[-1].fee - ANCHOR


def test_a_coin_that_is_too_small_for_the_day_keeps_its_child_and_waits() -> None:
    run = market([(0, 1, HIGH), (1, 5, 1_000)], [ME])
    run.here.ledger.advance(1)
    first = run.offers(ME, KICKOFF)
    assert run.block(first) == []
    while not (mined := run.block(run.offers(ME, KICKOFF))):
        assert run.bumpers[ME].pending
    assert mined == first
    assert run.here.ledger.height == run.market.spikes[1].first + 5


def test_one_coin_pays_for_one_child_at_a_time() -> None:
    run = market(payers=[ME])
    purse, lsp = run.bumpers[ME], run.here.play.lsp
    kickoff, state = (Offer(lsp.complete_transaction(name), 0) for name in (KICKOFF, STATE))
    first, second = purse.child(kickoff, 2), purse.child(state, 2)
    assert first is not None
    assert second is not None
    assert second.transaction.inputs[0].txid_hex == state.transaction.txid
    assert second.transaction.inputs[1] == first.transaction.inputs[1]
    assert purse.child(Offer(lsp.complete_transaction(f"alternate:{STATE}#0"), 0), 2) is None, "it has no anchor"


@pytest.mark.parametrize("spike", [0, 4])
def test_a_client_without_a_coin_waits_and_the_alternate_pays_it(spike: int) -> None:
    """A commitment has no fee, so nobody takes it; the alternates have one, and wait out a spike (D-11, D-13)."""
    run = market()
    end = LOCKS.end
    run.market = FeeMarket(1, (Spike(end + 1, spike, HIGH),))
    begun = run.here.ledger.height
    seen = leave(run, end + spike - begun)
    assert seen == QUIET
    assert run.here.owns(ME) == 0
    run.follow(ME, end + spike + 1)
    templates = run.here.play.actors[ME].factory.templates
    paid = [templates[f"alternate:{STATE}#{index}"].outputs[0].amount for index in range(2)]
    assert run.here.owns(ME) == sum(paid) > BALANCE


# -- the adversary chooses the prices ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Race:
    """After the last update the LSP publishes the kickoff; the client sees it an absence later, and has no coin."""

    run: Market
    older: str = "state:r@1"
    newest: str = "state:r@2"

    @classmethod
    def start(cls, step: int) -> Race:
        run = market(payers=[LSP], step=step)
        for _ in range(LOCKS.states - 1):
            run.here.play.update("r")
        run.here.mine(run.here.play.lsp.complete_transaction(KICKOFF))
        run.here.ledger.advance(ABSENCE)
        return cls(run)

    def winner(self, high: Sequence[bool]) -> str:
        """Who is confirmed when these blocks from now on ask for more than what is signed in; the others do not."""
        here = self.run.here.fork()
        start = here.ledger.height + 1
        prices = FeeMarket(1, tuple(Spike(start + place, 1, HIGH) for place, one in enumerate(high) if one))
        run = Market(here, prices, {LSP: bumper(here, 1)})
        lsp, client = here.play.lsp, here.play.clients[ME]
        templates = lsp.factory.templates
        kickoff = here.ledger.height - ABSENCE
        (spend,) = templates[self.older].spends
        assert spend.relative_lock is not None
        parent = Offer(lsp.complete_transaction(self.older), templates[self.older].fee)
        child = run.bumpers[LSP].child(parent, HIGH)
        assert child is not None
        newest = Offer(client.complete_transaction(self.newest), client.factory.templates[self.newest].fee)
        while True:
            final = here.ledger.height + 1 >= kickoff + spend.relative_lock
            for one in run.block([*([parent, child] if final else []), newest]):
                if one in (parent, newest):
                    return self.older if one is parent else self.newest


def lawful(step: int) -> bool:
    """Whether R-STEP-DOMINATES holds."""
    values = {"step_blocks": step, "absence_blocks": ABSENCE, "confirmation_blocks": CONFIRMATION}
    return load_parameters().constraint("R-STEP-DOMINATES").holds(values)


@pytest.fixture(scope="module")
def race() -> Race:
    return Race.start(STEP)


def test_no_prices_within_the_assumed_delay_let_an_older_state_win(race: Race) -> None:
    assert lawful(STEP)
    for high in product((False, True), repeat=STEP):
        if not all(high[:CONFIRMATION]):
            assert race.winner(high) == race.newest, high


def test_prices_for_one_block_more_do(race: Race) -> None:
    """Then both may enter one block, and the better paid does, whatever that block asks for."""
    for after in product((False, True), repeat=STEP - CONFIRMATION):
        assert race.winner((*(True,) * CONFIRMATION, *after)) == race.older


def test_a_step_that_is_a_block_longer_bears_a_block_more_and_a_shorter_one_a_block_less() -> None:
    longer = Race.start(STEP + 1)
    assert longer.winner((True,) * CONFIRMATION) == longer.newest
    assert longer.winner((True,) * (CONFIRMATION + 1)) == longer.older
    assert not lawful(STEP - 1)
    shorter = Race.start(STEP - 1)
    assert shorter.winner((True,) * (CONFIRMATION - 2)) == shorter.newest
    assert shorter.winner((True,) * (CONFIRMATION - 1)) == shorter.older, "within the assumed delay"


# -- rules and reserves ------------------------------------------------------------------------------------------------


def own_purse(coins: Sequence[CoinOutput] = ()) -> Bumper:
    """The client's wallet, to which the factory pays; empty unless it is told otherwise."""
    return Bumper(secret(f"payout of {ME}"), payout(ME), list(coins))


def at_the_end(run: Market) -> int:
    """The client waits for the alternates in a spike that never ends; blocks after the end when it has all."""
    end = LOCKS.end
    run.market = FeeMarket(1, (Spike(end + 1, 1_000, HIGH),))
    leave(run, end - run.here.ledger.height)
    for blocks in range(1, 5):
        run.follow(ME, end + blocks)
        templates = run.here.play.actors[ME].factory.templates
        if all(f"alternate:{STATE}#{index}" in run.here.watchers[ME].seen for index in range(2)):
            rest = sum(templates[f"alternate:{STATE}#{index}"].outputs[0].amount for index in range(2))
            assert run.here.owns(ME) == rest - run.bumpers[ME].spent > BALANCE
            return blocks
    return 0


def test_a_client_without_a_coin_raises_an_alternate_from_the_alternate_itself() -> None:
    run = market()
    run.bumpers[ME] = own_purse()
    assert at_the_end(run) == 2, "one block late, whatever the price"
    run = market()
    run.bumpers[ME] = own_purse()
    run.bumpers[ME].rules = load_fee_rules().without("STR-30")
    assert at_the_end(run) == 0, "without the rule it waits for the price"


def test_each_role_raises_what_it_may_and_raises_its_child_again() -> None:
    """The LSP as a client, from an output and from a coin; a tower from its coin."""
    run = market(payers=[ME])
    coins, complete = run.bumpers[ME].coins, run.here.play.lsp.complete_transaction
    kickoff, alternate = Offer(complete(KICKOFF), 0), Offer(complete(f"alternate:{STATE}#0"), 0)
    for role in ("client", "lsp", "tower"):
        purse = Bumper(WALLET_KEY, WALLET_SCRIPT, list(coins), role)
        first, second = purse.child(kickoff, 5), purse.child(kickoff, 20)
        assert first is not None, role
        assert second is not None, role
        assert second.fee > first.fee, role
        assert second.transaction.inputs == first.transaction.inputs, role
    for role in ("client", "lsp"):
        purse = Bumper(secret(f"payout of {ME}"), payout(ME), [], role)
        assert purse.child(alternate, 5) is not None, role
    for name, template in run.here.play.lsp.factory.templates.items():
        anchors = any(output.role is Role.ANCHOR for output in template.outputs)
        owners = {output.owner for output in template.outputs if output.role is Role.WALLET}
        # A commitment pays the other side's wallet, and only its holder publishes it.
        own = {template.holder} & owners if template.holder else owners
        assert not (anchors and own), f"{name}: no rule says which of the two pays first"


def test_what_the_factory_has_paid_is_a_coin_for_the_rest() -> None:
    """From an output that it can already spend: the wallet to which the first alternate has paid."""
    run = market()
    run.bumpers[ME] = own_purse()
    at_the_end(run)
    assert len(run.bumpers[ME].free()) == 2
    assert {coin.output.script_pubkey for coin in run.bumpers[ME].free()} == {payout(ME)}
    parent = Offer(run.here.play.lsp.complete_transaction(KICKOFF), 0)
    assert run.bumpers[ME].child(parent, HIGH) is not None


@pytest.mark.parametrize("gone", ["STR-31", "STR-32"])
def test_without_its_rule_a_rising_price_leaves_what_was_published_behind(gone: str) -> None:
    rising = [(0, 1, 5), (1, 1, 20), (2, 90, HIGH)]
    assert leave(market(rising, [ME]), 5) == {KICKOFF: 4}
    run = market(rising, [ME])
    run.bumpers[ME].rules = load_fee_rules().without(gone)
    assert leave(run, 8) == {}


def test_a_reorg_gives_the_coin_back_and_the_same_child_goes_in_again() -> None:
    run = market([(0, 100, HIGH)], [ME])
    purse = run.bumpers[ME]
    assert leave(run, 2) == {KICKOFF: 2}
    spent, coins = purse.spent, purse.free()
    run.here.ledger.reorg(1)
    purse.look(run.here.ledger)
    assert purse.spent == 0
    assert [coin.output.amount_sat for coin in purse.free()] == [RESERVE]
    assert KICKOFF in run.follow(ME, run.here.ledger.height + 1)
    assert (purse.spent, purse.free()) == (spent, coins)


def test_with_several_coins_several_parents_are_raised_at_once_and_the_first_has_the_first_choice() -> None:
    run = market(payers=[ME])
    purse, lsp = run.bumpers[ME], run.here.play.lsp
    kickoff, state = (Offer(lsp.complete_transaction(name), 0) for name in (KICKOFF, STATE))
    assert list(purse.children([kickoff, state], 2)) == [kickoff.transaction.txid], "one coin, one child"
    smaller = CoinOutput("11" * 32, 0, TxOutput(5_000, WALLET_SCRIPT))
    purse.learn(smaller)
    both = purse.children([state, kickoff], 2)
    assert list(both) == [state.transaction.txid, kickoff.transaction.txid]
    assert both[state.transaction.txid].transaction.inputs[1].txid_hex == smaller.txid, "the smallest that suffices"
    assert both[kickoff.transaction.txid].transaction.inputs[1].txid_hex != smaller.txid, "the coin that is left"
    assert both == purse.children([state, kickoff], 2), "nothing is made twice"
    assert purse.children([state], 2) == {state.transaction.txid: both[state.transaction.txid]}
    with pytest.raises(KeyError):
        purse.rules.without("STR-99")


def path_of(run: Market, *names: str) -> list[Paid]:
    """What is signed into these transactions of the client's."""
    actor = run.here.play.actors[ME]
    found = []
    for name in names:
        template = actor.factory.templates[name]
        anchor = next((output.amount for output in template.outputs if output.role is Role.ANCHOR), 0)
        found.append(Paid(actor.complete_transaction(name).vbytes, template.fee, anchor))
    return found


@pytest.mark.parametrize("price", [2, 7, HIGH])
def test_the_formula_of_the_reserve_is_exact(price: int) -> None:
    """R-RESERVE: with so much the client closes its channel at this price, on Core's chain; with a sat less not."""
    run = market([(0, 100, price)], [ME])
    needed = reserve_needed(path_of(run, KICKOFF, STATE, COMMITMENT), CHILD_VBYTES, price, ECONOMY.dust)
    for amount, done in ((needed, True), (needed - 1, False)):
        coins = [TxOut(amount, WALLET_SCRIPT)]
        here = OnChain.start(1, ALONE, others=coins)
        days = FeeMarket(1, (Spike(here.ledger.height + 1, 100, price),))
        run = Market(here, days, {ME: bumper(here, 1, amount)})
        assert (COMMITMENT in leave(run, 12)) == done
        if done:
            assert run.bumpers[ME].spent == needed - ECONOMY.dust, "what is left is an output, and no more"


@given(
    st.lists(st.builds(Paid, st.integers(100, 10_000), st.integers(0, 20_000), st.integers(0, 240)), max_size=12),
    st.integers(1, 200),
)
def test_the_reserve_pays_each_child_in_turn_and_one_sat_less_does_not(path: list[Paid], price: int) -> None:
    """The formula against the children themselves, for any path and price."""

    def lasts(coin: int) -> bool:
        for one in path:
            if one.fee < price * one.vbytes:
                coin += one.anchor - child_fee(one, CHILD_VBYTES, price)
                if coin < ECONOMY.dust:
                    return False
        return True

    needed = reserve_needed(path, CHILD_VBYTES, price, ECONOMY.dust)
    assert lasts(needed)
    assert needed == 0 or not lasts(needed - 1)
    assert reserve_needed(path, CHILD_VBYTES, price + 1, ECONOMY.dust) >= needed, "a higher price needs no less"
