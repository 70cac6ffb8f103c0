"""The prescribed strategy: what each rule publishes, what it never publishes, and faults of the file."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from superscalar_ref.errors import SpecError
from superscalar_ref.protocol.strategy import Strategy, View, decide, load_strategy, may_enter
from superscalar_ref.protocol.transaction import Kind, Outpoint, Output, Role, Spend, Template

ROOT = Outpoint("funding", 0)
KICK = Outpoint("kickoff", 0)
BOTH = frozenset({"A", "L"})


def template(name: str, kind: Kind, outpoint: Outpoint, wait: int | None = None, lock_time: int = 0) -> Template:
    output = Output(Role.TREE, 1, BOTH)
    return Template(name, kind, (Spend(outpoint, wait),), (output,), BOTH, lock_time=lock_time)


HELD = {
    t.name: t
    for t in (
        template("kickoff", Kind.KICKOFF, ROOT),
        template("old", Kind.STATE, KICK, 3),
        template("new", Kind.STATE, KICK, 0),
        template("alternate", Kind.ALTERNATE, KICK, lock_time=20),
        template("below", Kind.KICKOFF, Outpoint("new", 0)),
    )
}


@pytest.fixture(scope="module")
def strategy() -> Strategy:
    return load_strategy()


def view(unspent: dict[Outpoint, int], next_height: int, **more: object) -> View:
    fields: dict[str, object] = {"deadline": 10, "held": HELD, **more}
    return View("client", ROOT, unspent=unspent, next_height=next_height, **fields)  # type: ignore[arg-type]


def test_it_idles_until_its_deadline_and_then_begins(strategy: Strategy) -> None:
    assert decide(strategy, view({ROOT: 0}, 10)) == ()
    assert decide(strategy, view({ROOT: 0}, 11)) == ("kickoff",)


def test_it_follows_a_kickoff_with_the_newest_state_only(strategy: Strategy) -> None:
    assert decide(strategy, view({KICK: 4}, 5)) == ("new",)
    assert decide(strategy, view({KICK: 4}, 8)) == ("new",)
    without = {name: t for name, t in HELD.items() if name != "new"}
    assert decide(strategy, view({KICK: 4}, 6, held=without)) == ()
    assert decide(strategy, view({KICK: 4}, 7, held=without)) == ("old",)


def test_it_waits_for_the_newest_state_rather_than_publish_an_older_one(strategy: Strategy) -> None:
    slow = dict(HELD, new=template("new", Kind.STATE, KICK, 2), old=template("old", Kind.STATE, KICK, 3))
    assert decide(strategy, view({KICK: 4}, 5, held=slow)) == ()
    assert decide(strategy, view({KICK: 4}, 7, held=slow)) == ("new",)


def test_it_never_publishes_an_older_state_because_it_cannot_pay_for_the_newest(strategy: Strategy) -> None:
    assert decide(strategy, view({KICK: 4}, 8, affordable=frozenset({"old"}))) == ()
    close = dict(HELD, old=template("old", Kind.STATE, KICK, 1))
    assert decide(strategy, view({KICK: 4}, 8, held=close, affordable=frozenset({"old"}))) == (), "a block between them"


def test_an_older_state_that_is_left_out_keeps_no_other_kickoff_s_newest_back(strategy: Strategy) -> None:
    other = Outpoint("other kickoff", 0)
    held = dict(HELD, slower=template("slower", Kind.STATE, other, 5))
    assert decide(strategy, view({KICK: 4, other: 4}, 9, held=held)) == ("new", "slower")


def test_what_is_not_ready_or_not_paid_for_keeps_nothing_else_of_its_kind_back(strategy: Strategy) -> None:
    places = {name: Outpoint(name, 0) for name in ("first", "second", "third")}
    held = {name: template(name, Kind.KICKOFF, place) for name, place in places.items()}
    confirmed = {places["second"]: 5, places["third"]: 5}
    assert decide(strategy, view(confirmed, 6, held=held)) == ("second", "third")
    assert decide(strategy, view(confirmed, 6, held=held, affordable=frozenset({"third"}))) == ("third",)


def test_one_outpoint_is_spent_once_whatever_else_is_published_between(strategy: Strategy) -> None:
    place = Outpoint("old", 0)
    held = dict(CHAIN, poison=template("poison", Kind.POISON, place), end=template("end", Kind.ALTERNATE, place))
    assert decide(strategy, view({place: 5, STOCK: 5}, 30, held=held)) == ("poison", "link")


def test_a_block_may_hold_what_has_no_lock_together_with_its_parent() -> None:
    assert may_enter(template("child", Kind.KICKOFF, KICK), {KICK: 5}, 5)
    assert not may_enter(template("child", Kind.KICKOFF, KICK, 1), {KICK: 5}, 5)
    assert not may_enter(template("child", Kind.KICKOFF, KICK), {}, 5)


def test_it_goes_down_once_begun_and_publishes_nothing_twice(strategy: Strategy) -> None:
    assert decide(strategy, view({Outpoint("new", 0): 5}, 6)) == ("below",)
    assert decide(strategy, view({Outpoint("new", 0): 5}, 6, pending=frozenset({"below"}))) == ()


STOCK = Outpoint("new", 1)
CHAIN = {
    t.name: t
    for t in (
        template("link", Kind.SALE, STOCK),
        template("deeper", Kind.SALE, Outpoint("link", 1)),
        template("bought", Kind.COMMITMENT, Outpoint("link", 0)),
        template("expiry", Kind.EXPIRY, STOCK, 3),
        template("share", Kind.ALTERNATE, STOCK, lock_time=20),
    )
}


def test_the_chain_of_a_stock_is_published_link_by_link(strategy: Strategy) -> None:
    assert decide(strategy, view({STOCK: 5}, 6, held=CHAIN)) == ("link",)
    assert decide(strategy, view({Outpoint("link", 0): 6, Outpoint("link", 1): 6}, 7, held=CHAIN)) == (
        "deeper",
        "bought",
    )


def test_what_was_sold_is_neither_taken_back_nor_shared_out(strategy: Strategy) -> None:
    """The LSP's own path is open, or the end has come: the chain still comes first; without its rule it is lost."""
    lsp = View("lsp", ROOT, CHAIN, {STOCK: 5}, 9, deadline=10)
    assert decide(strategy, lsp) == ("link",)
    assert decide(strategy.without("STR-9"), lsp) == ("expiry",)
    assert decide(strategy, view({STOCK: 5}, 30, held=CHAIN)) == ("link",)
    assert decide(strategy.without("STR-9"), view({STOCK: 5}, 30, held=CHAIN)) == ("share",)
    assert decide(strategy.without("STR-9"), view({STOCK: 5}, 9, held=CHAIN)) == ()


def test_poison_comes_before_everything_else_on_its_output(strategy: Strategy) -> None:
    place = Outpoint("old", 0)
    held = {
        t.name: t
        for t in (
            template("commitment", Kind.COMMITMENT, place),
            template("poison", Kind.POISON, place),
            template("alternate", Kind.ALTERNATE, place, lock_time=20),
        )
    }
    assert decide(strategy, view({place: 5}, 6, held=held)) == ("poison",)
    assert decide(strategy, view({place: 5}, 30, held=held)) == ("poison",)
    assert decide(strategy.without("STR-8"), view({place: 5}, 6, held=held)) == ("commitment",)
    assert decide(strategy, View("lsp", ROOT, held, {place: 5}, 6, deadline=10)) == ("commitment",)


def test_at_the_end_the_alternate_comes_before_the_state(strategy: Strategy) -> None:
    assert decide(strategy, view({KICK: 4}, 20)) == ("new",)
    assert decide(strategy, view({KICK: 4}, 21)) == ("alternate",)
    assert decide(strategy, view({KICK: 4}, 21, deadline=99)) == ("alternate",), "whatever its own deadline is"
    lsp = View("lsp", ROOT, HELD, {KICK: 4}, 21, 10)
    assert decide(strategy, lsp) == ("new",)


def test_it_broadcasts_nothing_that_it_cannot_pay_for(strategy: Strategy) -> None:
    poor = frozenset({"alternate"})
    assert decide(strategy, view({KICK: 4}, 8, affordable=poor)) == ()
    assert decide(strategy, view({KICK: 4}, 21, affordable=poor)) == ("alternate",)


def test_a_tower_publishes_every_answer_that_it_holds(strategy: Strategy) -> None:
    """Before any deadline: who revoked, or superseded, what it published does not wait."""
    revoked, superseded = Outpoint("commitment", 0), Outpoint("old", 0)
    answers = (
        template("link", Kind.SALE, STOCK),
        template("poison", Kind.POISON, superseded),
        template("penalty", Kind.PENALTY, revoked),
    )
    places = {revoked: 5, superseded: 5, STOCK: 5}
    tower = View("tower", ROOT, {t.name: t for t in answers}, places, 6, deadline=10)
    assert decide(strategy, tower) == ("penalty", "poison", "link")


def test_a_superseded_stock_is_poisoned_and_nothing_sold_from_it_is_published(strategy: Strategy) -> None:
    held = dict(CHAIN, poison=template("poison", Kind.POISON, STOCK))
    assert decide(strategy, view({STOCK: 5}, 6, held=held)) == ("poison",)


@pytest.mark.parametrize("role", ["client", "lsp"])
def test_who_did_not_begin_goes_on_and_sweeps_before_its_own_deadline(strategy: Strategy, role: str) -> None:
    own = Outpoint("commitment", 0)
    held = dict(HELD, sweep=template("sweep", Kind.SWEEP, own, 3))
    begun = {Outpoint("new", 0): 5, own: 5}
    assert decide(strategy, View(role, ROOT, held, begun, 7, deadline=10)) == ("below",)
    assert decide(strategy, View(role, ROOT, held, begun, 8, deadline=10)) == ("sweep", "below")


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('kind = "sweep"', 'kind = "broom"', "'kind' is 'broom'"),
        ('for = ["client", "lsp"]', 'for = ["miner"]', "'for' is a list"),
        ('for = ["client", "lsp"]', "for = []", "'for' is a list"),
        ('when = "final"', 'whenever = "final"', "whenever"),
        ('id = "STR-2"', 'id = "STR-1"', "STR-1 is there twice"),
    ],
)
def test_a_faulty_file_is_refused_with_its_line(tmp_path: Path, old: str, new: str, problem: str) -> None:
    text = (Path(__file__).parents[2] / "spec" / "strategy.toml").read_text(encoding="utf-8")
    (tmp_path / "strategy.toml").write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(SpecError, match=problem) as caught:
        load_strategy(tmp_path)
    line = 1 + text[: text.index(old)].count("\n")
    assert caught.value.place.endswith(f"strategy.toml:{line}")
    assert caught.value.rule == "strategy"


def test_a_rule_says_what_its_row_says() -> None:
    text = (Path(__file__).parents[2] / "spec" / "strategy.toml").read_text(encoding="utf-8")
    for rule, row in zip(load_strategy().rules, tomllib.loads(text)["rules"], strict=True):
        kept = (rule.id, list(rule.roles), rule.kind, rule.when, rule.choose, rule.says, rule.why)
        assert kept == tuple(row[key] for key in ("id", "for", "kind", "when", "choose", "says", "why"))
