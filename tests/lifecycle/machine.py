"""Everything that may happen to a factory, in any order, as hypothesis chooses it."""

from __future__ import annotations

from collections import Counter

from hypothesis import HealthCheck, currently_in_test_context, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from superscalar_ref.parties.wire import Letter
from tests.lifecycle.market import PRICES
from tests.lifecycle.plans import LATEST, Plan, plans
from tests.lifecycle.stores import FAULTS
from tests.lifecycle.story import TROUBLES, Fault, Story, Troubles, kind_of
from tests.parties.scene import LSP

EXAMPLES = {"dev": 12, "ci": 20, "nightly": 2_000, "fuzz": 100}
STEPS = {"dev": 20, "ci": 20, "nightly": 60, "fuzz": 60}
BEGINNINGS = ("active", "trouble", "active", "trouble", "mail on its way")

anything = st.integers(0, 40)
faults = st.tuples(st.sampled_from([0, 0, 0, 1, 2]), st.sampled_from(FAULTS), st.sampled_from([True, True, False]))
troubles = st.one_of(
    st.just(()),
    st.lists(st.tuples(st.integers(0, 50), st.tuples(st.sampled_from(TROUBLES), faults)), min_size=2, max_size=8).map(
        tuple
    ),
)
shifts = st.sampled_from([(0,), (1_000,), (0, 500), (35_000, 1), (50_000,), (1_000, 0, 0, 70_000)])


def story_settings() -> settings:
    """As many stories as the profile asks for."""
    profile = settings.get_current_profile_name()
    return settings(
        max_examples=EXAMPLES.get(profile, EXAMPLES["dev"]),
        stateful_step_count=STEPS.get(profile, STEPS["dev"]),
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )


TOLD: Counter[str] = Counter()
"""What all stories of this process did."""


class Life(RuleBasedStateMachine):
    """One story. Letters, parties and nodes are named by numbers, which are taken modulo how many there are."""

    def __init__(self) -> None:
        super().__init__()
        self.story: Story | None = None

    @property
    def told(self) -> Story:
        """The story, which ``begin`` has begun."""
        assert self.story is not None
        return self.story

    @initialize(
        plan=plans(),
        beginning=st.sampled_from(BEGINNINGS),
        troubles=troubles,
        eager=st.booleans(),
        updates=st.lists(st.tuples(anything, shifts), max_size=2),
    )
    def begin(
        self, plan: Plan, beginning: str, troubles: Troubles, eager: bool, updates: list[tuple[int, tuple[int, ...]]]
    ) -> None:
        """A factory, some of whose life may have passed."""
        # A script in cases/ runs without hypothesis: what goes wrong tells its whole story itself.
        story = self.story = Story(plan, note if currently_in_test_context() else lambda line: None)
        story.lsp_does("invite")
        if beginning == "mail on its way":
            story.mail(5 * plan.clients, troubles)
        if beginning == "active":
            story.mail()
            story.lsp_does("fund")
            story.mine(3)
            for number, more in updates:
                story.update(number, more)
                story.mail()
        if beginning == "trouble":
            story.mail(troubles=troubles, eager=eager)
            story.settle()

    def teardown(self) -> None:
        """The end: mail gets through again."""
        if self.story is None:
            return
        try:
            self.story.finish()
        finally:
            TOLD.update(self.story.counts)
            TOLD["stories"] += 1
            self.story.close()

    @invariant()
    def everything_holds(self) -> None:
        """After every step."""
        if self.story is not None:
            self.story.check()

    def party(self, number: int) -> str:
        """A party by its number."""
        return self.told.names[number % len(self.told.names)]

    def client(self, number: int) -> str:
        """A client by its number."""
        return self.told.plan.names[number % self.told.plan.clients]

    def take(self, number: int) -> Letter:
        """A letter that was on its way."""
        return self.told.letters.pop(number % len(self.told.letters))

    # -- mail ----------------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.told.letters)
    @rule(troubles=troubles, eager=st.booleans())
    def all_mail(self, troubles: Troubles, eager: bool) -> None:
        """Everything arrives, but for a few letters; the LSP may be in a hurry to fund."""
        self.told.mail(troubles=troubles, eager=eager)

    @precondition(lambda self: self.told.letters)
    @rule(count=st.integers(1, 12))
    def some_mail(self, count: int) -> None:
        """The next few letters arrive."""
        self.told.mail(count)

    @precondition(lambda self: self.told.letters)
    @rule(number=anything)
    def out_of_order(self, number: int) -> None:
        """A letter overtakes others."""
        self.told.deliver(self.take(number))

    @precondition(lambda self: self.told.letters)
    @rule(number=anything, count=st.integers(1, 3))
    def lost(self, number: int, count: int) -> None:
        """Letters never arrive."""
        for _ in range(min(count, len(self.told.letters))):
            letter = self.take(number)
            self.told.say(f"lost: {kind_of(letter)} of {letter.sender} to {letter.to}")

    @precondition(lambda self: self.told.tape)
    @rule(number=st.integers(0, 1_000))
    def again(self, number: int) -> None:
        """A letter that was sent some time ago arrives (again)."""
        tape = self.told.tape
        self.told.deliver(tape[-1 - number % len(tape)])

    @precondition(lambda self: self.told.tape)
    @rule(number=anything, to=anything, place=st.integers(0, 5_000))
    def junk(self, number: int, to: int, place: int) -> None:
        """A letter with one character changed, or cut off, or of another sender, or for another party."""
        letter = self.told.tape[-1 - number % len(self.told.tape)]
        raw, sender, receiver = letter.raw, letter.sender, letter.to
        spot = place % len(raw)
        self.told.forged = self.told.forged or place % 4 in (1, 2)
        match place % 4:
            case 0:
                raw = raw[:spot]
            case 1:
                digit = b"0123456789abcdef"[to % 16 : to % 16 + 1]
                raw = raw[:spot] + digit + raw[spot + 1 :]
            case 2:
                sender = next(name for name in (*self.told.names, "stranger") if name not in (sender, receiver))
            case _:
                receiver = self.party(to)
        self.told.deliver(Letter(sender, receiver, raw))

    # -- faults --------------------------------------------------------------------------------------------------------

    @rule(number=anything)
    def crash(self, number: int) -> None:
        """A party ends and starts again, between two messages."""
        self.told.say(f"{self.party(number)} starts again")
        self.told.restart(self.party(number))

    @precondition(lambda self: self.told.letters)
    @rule(number=anything, fault=faults)
    def fault_at_a_letter(self, number: int, fault: Fault) -> None:
        """A party's store fails, or its process dies, while it takes a letter."""
        letter = self.take(number)
        self.told.say(f"while {letter.to} takes a letter, its store {fault[1]} commit {fault[0] + 1}")
        self.told.deliver(letter, fault)

    @rule(fault=faults)
    def fault_of_the_lsp(self, fault: Fault) -> None:
        """The LSP's store fails, or its process dies, in the middle of something that it began by itself."""
        self.told.lsp_does("fund" if self.told.scene.lsp.life.status == "signed" else "retry", fault)

    # -- what parties want ---------------------------------------------------------------------------------------------

    @rule()
    def retry(self) -> None:
        """The LSP has heard nothing for long."""
        self.told.lsp_does("retry")

    @precondition(lambda self: self.told.scene.lsp.life.status in ("signing", "signed"))
    @rule()
    def fund(self) -> None:
        """The LSP wants to fund."""
        self.told.lsp_does("fund")

    @precondition(lambda self: "funding" in self.told.mempool)
    @rule(number=anything, shifts=shifts, troubles=troubles, count=st.sampled_from([1_000, 20, 3]))
    def update(self, number: int, shifts: tuple[int, ...], troubles: Troubles, count: int) -> None:
        """The LSP wants a new version of a node; some of the mail about it arrives at once."""
        self.told.update(number, shifts)
        self.told.mail(count, troubles)

    @precondition(lambda self: self.told.scene.lsp.life.status == "active")
    @rule(number=anything, capacity=st.sampled_from([5_000, 1_000, 15_000]), troubles=troubles, count=anything)
    def purchase(self, number: int, capacity: int, troubles: Troubles, count: int) -> None:
        """A client wants a channel from the stock; some of the mail about it arrives."""
        self.told.buy(self.client(number), capacity)
        self.told.mail(5 * count, troubles)

    @precondition(lambda self: self.told.scene.lsp.life.status == "active")
    @rule(number=anything, less=st.sampled_from([1, 500, 20_000]))
    def greedy_update(self, number: int, less: int) -> None:
        """The LSP wants a version that gives clients less than they count on."""
        self.told.update(number, (-less, 0))
        self.told.mail()

    @precondition(lambda self: self.told.scene.lsp.life.status in ("updating", "update_signing"))
    @rule()
    def abort(self) -> None:
        """The LSP gives up what is being signed."""
        self.told.lsp_does("abort")

    @precondition(lambda self: "funding" in self.told.mempool)
    @rule(
        what=st.sampled_from(["close", "faulty close", "exit", "hostile LSP", "hostile"]),
        number=anything,
        fault=faults,
        price=st.sampled_from(PRICES),
        blocks=st.sampled_from([0, 2, 5]),
    )
    def an_end_begins(self, what: str, number: int, fault: Fault, price: int = 0, blocks: int = 0) -> None:
        """The LSP wants to close; a client to leave by itself; or a party publishes whatever it holds from here on.

        Blocks ask for ``price`` (sat/vB) from then on, and some follow at once.
        """
        story, client = self.told, self.client(number)
        if price:
            story.asks(price)
        match what:
            case "close" | "faulty close":
                story.lsp_does("close", fault if what == "faulty close" else None)
                story.mail(number)
            case "exit":
                story.exit(client)
            case _:
                name = LSP if what == "hostile LSP" else client
                story.say(f"{name} turns hostile")
                story.hostile.add(name)
        story.mine(blocks if story.ledger.height < LATEST else 0)

    # -- the chain -----------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.told.ledger.height < LATEST)
    @rule(blocks=st.sampled_from([1, 1, 2, 3, 8]))
    def blocks(self, blocks: int) -> None:
        """Time passes."""
        self.told.mine(blocks)

    @precondition(lambda self: "funding" in self.told.mempool)
    @rule(price=st.sampled_from(PRICES))
    def blocks_ask(self, price: int) -> None:
        """Blocks ask for more, or for less."""
        self.told.asks(price)

    @rule(depth=st.integers(1, 2), same=st.booleans())
    def reorg(self, depth: int, same: bool) -> None:
        """Another branch wins."""
        self.told.reorg(depth, same)
