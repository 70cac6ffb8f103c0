"""Payments, moves, faults, exits and theft in the leaves of several factories, in any order, as hypothesis chooses."""

from __future__ import annotations

from hypothesis import HealthCheck, currently_in_test_context, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from superscalar_ref.parties.wire import Letter
from tests.lifecycle.machine import TOLD, anything
from tests.lifecycle.stores import FAULTS
from tests.lifecycle.story import Fault
from tests.lifecycle.trade import LATEST, Place, Trade, TradePlan
from tests.parties.scene import LSP

EXAMPLES = {"dev": 5, "ci": 5, "nightly": 1_000, "fuzz": 100}
STEPS = {"dev": 14, "ci": 14, "nightly": 50, "fuzz": 50}

PLANS = (
    TradePlan(2, 1),
    TradePlan(1, 2),
    TradePlan(2, 2),
    TradePlan(3, 1),
    TradePlan(2, 1, tower=True),
)
amounts = st.sampled_from([5_000_000, 1_000_001, 400_000, 19_000_000, 12_345_678])
faults = st.tuples(st.sampled_from([0, 0, 1, 2]), st.sampled_from(FAULTS), st.sampled_from([True, False]))


def trade_settings() -> settings:
    """As many stories as the profile asks for."""
    profile = settings.get_current_profile_name()
    return settings(
        max_examples=EXAMPLES.get(profile, EXAMPLES["dev"]),
        stateful_step_count=STEPS.get(profile, STEPS["dev"]),
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )


class Trading(RuleBasedStateMachine):
    """One story. Letters, parties and payments are named by numbers, which are taken modulo how many there are."""

    def __init__(self) -> None:
        super().__init__()
        self.trade: Trade | None = None

    @property
    def told(self) -> Trade:
        """The story, which ``begin`` has begun."""
        assert self.trade is not None
        return self.trade

    @initialize(
        plan=st.sampled_from(PLANS),
        paid=st.lists(st.tuples(anything, anything, amounts, st.sampled_from([1_000, 1_000, 2, 5, 9])), max_size=3),
    )
    def begin(self, plan: TradePlan, paid: list[tuple[int, int, int, int]]) -> None:
        """Factories whose channels live, with payments under way."""
        # A script in cases/ runs without hypothesis: what goes wrong tells its whole story itself.
        self.trade = Trade(plan, note if currently_in_test_context() else lambda line: None)
        for payer, payee, amount, letters in paid:
            self.pay(payer, payee, amount, letters)

    def teardown(self) -> None:
        """The end: mail gets through again, and everybody leaves."""
        if self.trade is None:
            return
        try:
            self.trade.finish()
        finally:
            TOLD.update(self.trade.counts)
            TOLD["stories of payments"] += 1
            self.trade.close()

    @invariant()
    def everything_holds(self) -> None:
        """After every step."""
        if self.trade is not None:
            self.trade.check()

    def place(self, number: int) -> Place:
        """A party in a factory, by its number."""
        return self.told.plan.places[number % len(self.told.plan.places)]

    def customer(self, number: int) -> Place:
        """A client by its number."""
        return self.told.plan.customers[number % len(self.told.plan.customers)]

    # -- payments ------------------------------------------------------------------------------------------------------

    @rule(payer=anything, payee=anything, amount=amounts, letters=st.sampled_from([1_000, 1_000, 3, 8]))
    def pay(self, payer: int, payee: int, amount: int, letters: int) -> None:
        """A client pays another one, of its factory or of another; some of the mail arrives."""
        customers = self.told.plan.customers
        first = payer % len(customers)
        # Another one: the payer is passed over.
        second = (first + 1 + payee % (len(customers) - 1)) % len(customers)
        self.told.pay(customers[first], customers[second], amount)
        self.told.mail(letters)

    @rule(payee=anything, amount=amounts, letters=st.sampled_from([1_000, 3]))
    def paid_by_the_lsp(self, payee: int, amount: int, letters: int) -> None:
        """The LSP pays a client."""
        place = self.customer(payee)
        self.told.pay((place[0], LSP), place, amount)
        self.told.mail(letters)

    @precondition(lambda self: self.told.payments)
    @rule(number=anything, back=st.sampled_from([False, False, True]), letters=st.sampled_from([1_000, 1, 4]))
    def decided(self, number: int, back: bool, letters: int) -> None:
        """A payee claims a payment, or gives it back; some of the mail arrives."""
        payment = self.told.payments[number % len(self.told.payments)]
        if payment.payee in self.told.hostile:
            return
        if back:
            self.told.give_back(payment)
        else:
            self.told.claim(payment)
        self.told.mail(letters)

    @rule(number=anything, node=anything, letters=st.sampled_from([1_000, 10, 30]))
    def update(self, number: int, node: int, letters: int) -> None:
        """The LSP replaces a version, and the channels below it move; some of the mail arrives."""
        self.told.update(number % self.told.plan.factories, node)
        self.told.mail(letters)

    @rule(number=anything)
    def abort(self, number: int) -> None:
        """The LSP gives up what is being signed."""
        self.told.abort(number % self.told.plan.factories)

    # -- mail and faults -----------------------------------------------------------------------------------------------

    @precondition(lambda self: self.told.letters)
    @rule(letters=st.sampled_from([1_000, 1, 2, 5]))
    def mail(self, letters: int) -> None:
        """The next letters arrive."""
        self.told.mail(letters)

    @precondition(lambda self: self.told.letters)
    @rule(number=anything, count=st.integers(1, 3))
    def lost(self, number: int, count: int) -> None:
        """Letters never arrive."""
        for _ in range(min(count, len(self.told.letters))):
            self.told.letters.pop(number % len(self.told.letters))
            self.told.say("a letter is lost")

    @precondition(lambda self: self.told.letters)
    @rule(number=anything)
    def out_of_order(self, number: int) -> None:
        """A letter overtakes others."""
        self.told.deliver(*self.told.letters.pop(number % len(self.told.letters)))

    @precondition(lambda self: self.told.tape)
    @rule(number=st.integers(0, 200))
    def again(self, number: int) -> None:
        """A letter that was sent some time ago arrives (again)."""
        self.told.deliver(*self.told.tape[-1 - number % len(self.told.tape)])

    @precondition(lambda self: self.told.letters)
    @rule(place=st.integers(0, 3_000), digit=st.integers(0, 15))
    def junk(self, place: int, digit: int) -> None:
        """The next letter arrives with one character changed."""
        number, letter = self.told.letters.pop(0)
        spot = place % len(letter.raw)
        raw = letter.raw[:spot] + b"0123456789abcdef"[digit : digit + 1] + letter.raw[spot + 1 :]
        self.told.deliver(number, Letter(letter.sender, letter.to, raw))

    @precondition(lambda self: self.told.letters)
    @rule(fault=faults)
    def fault_at_a_letter(self, fault: Fault) -> None:
        """A party's store fails, or its process dies, while it takes the next letter."""
        self.told.deliver(*self.told.letters.pop(0), fault)

    @rule(number=anything)
    def crash(self, number: int) -> None:
        """A party ends and starts again, in all its factories."""
        self.told.crash(self.place(number)[1])

    @rule()
    def retry(self) -> None:
        """Everybody has heard nothing for long."""
        self.told.retry()

    # -- ends ----------------------------------------------------------------------------------------------------------

    @rule(number=anything)
    def leave(self, number: int) -> None:
        """A client leaves, or the LSP ends a factory."""
        self.told.leave(self.place(number))

    @rule(number=anything)
    def hostile(self, number: int) -> None:
        """A party says nothing more, and publishes whatever it holds or held, the oldest first."""
        place = self.place(number)
        self.told.say(f"{place[1]} turns hostile in factory {place[0]}")
        self.told.hostile.add(place)

    @precondition(lambda self: self.told.ledger.height < LATEST)
    @rule(blocks=st.sampled_from([1, 1, 2, 5, 12]))
    def blocks(self, blocks: int) -> None:
        """Time passes."""
        self.told.mine(blocks)

    @rule()
    def reorg(self) -> None:
        """Another branch wins."""
        self.told.reorg(1)
