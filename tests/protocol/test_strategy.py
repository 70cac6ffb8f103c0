"""The prescribed strategy: what each rule publishes, what it never publishes, and faults of the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from superscalar_ref.errors import SpecError
from superscalar_ref.protocol.strategy import Strategy, View, decide, load_strategy
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


def test_it_goes_down_once_begun_and_publishes_nothing_twice(strategy: Strategy) -> None:
    assert decide(strategy, view({Outpoint("new", 0): 5}, 6)) == ("below",)
    assert decide(strategy, view({Outpoint("new", 0): 5}, 6, pending=frozenset({"below"}))) == ()


def test_at_the_end_the_alternate_comes_before_the_state(strategy: Strategy) -> None:
    assert decide(strategy, view({KICK: 4}, 20)) == ("new",)
    assert decide(strategy, view({KICK: 4}, 21)) == ("alternate",)
    lsp = View("lsp", ROOT, HELD, {KICK: 4}, 21, 10)
    assert decide(strategy, lsp) == ("new",)


def test_it_broadcasts_nothing_that_it_cannot_pay_for(strategy: Strategy) -> None:
    poor = frozenset({"alternate"})
    assert decide(strategy, view({KICK: 4}, 8, affordable=poor)) == ()
    assert decide(strategy, view({KICK: 4}, 21, affordable=poor)) == ("alternate",)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('kind = "sweep"', 'kind = "broom"', "'kind' is 'broom'"),
        ('for = ["client", "lsp"]', 'for = ["miner"]', "'for' is a list"),
        ('when = "final"', 'whenever = "final"', "whenever"),
        ('id = "STR-2"', 'id = "STR-1"', "STR-1 is there twice"),
    ],
)
def test_a_faulty_file_is_refused_with_its_line(tmp_path: Path, old: str, new: str, problem: str) -> None:
    text = (Path(__file__).parents[2] / "spec" / "strategy.toml").read_text(encoding="utf-8")
    (tmp_path / "strategy.toml").write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(SpecError, match=problem) as caught:
        load_strategy(tmp_path)
    assert "strategy.toml:" in caught.value.place
