"""Payments and prices in one leaf: who counts on what, who holds what, and what a revoked commitment costs.

That the games are won is for ``test_stock``; what the other designs lose, on real transactions too, for ``test_check``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import pytest

from superscalar_ref.check.game import Round, solve
from superscalar_ref.check.paid import BOUGHT, COST, PLANS, Moving, late_payments, payments, prices
from superscalar_ref.check.stock import CAPACITY, START, Leaf, Stop
from superscalar_ref.check.trace import Hands, Trace, as_json, mined
from superscalar_ref.check.world import LSP, Plot
from superscalar_ref.errors import InputError
from superscalar_ref.protocol.blueprint import FUNDING
from superscalar_ref.protocol.participant import machines
from superscalar_ref.protocol.transaction import Kind, Outpoint
from superscalar_ref.replay.form import read
from superscalar_ref.replay.outcome import MINED, Outcome
from superscalar_ref.replay.player import replay
from superscalar_ref.spec.load import load_specification


def leaf(plot: Plot | None = None) -> Leaf:
    return Leaf(load_specification().parameters, machines().stock, plot or Plot(), 2)


@lru_cache
def stops() -> tuple[Stop, ...]:
    one = leaf()
    return (*payments(one), *prices(one))


def channel(one: Leaf | None = None) -> Moving:
    one = one or leaf()
    moving = Moving(one, "A", dict(one.version(0, START).templates), {"A": START, LSP: CAPACITY - START})
    moving.enter(Outpoint(one.state, 0))
    return moving


@pytest.mark.parametrize(("amount", "payer", "payee"), [(3, LSP, "A"), (-3, "A", LSP)])
def test_the_payer_counts_on_less_at_once_and_the_payee_on_more_at_the_end(amount: int, payer: str, payee: str) -> None:
    moving = channel()
    before = dict(moving.balances)
    seen = [(dict(moving.balances), says) for says in moving.pay(amount)]
    assert [balances[payer] - before[payer] for balances, _ in seen] == [-3] * 4
    assert [balances[payee] - before[payee] for balances, _ in seen] == [0, 0, 0, 3]
    assert [says.split()[0] for _, says in seen] == [payer, payee, payee, payer]


def test_a_payment_is_signed_for_every_outpoint_and_revokes_on_each() -> None:
    moving = channel()
    new = moving.leaf.version(1, START)
    moving.catalog.update(new.templates)
    moving.enter(Outpoint("state:r@1", 0))
    list(moving.pay(2))
    assert len(set(moving.newest.values())) == 4
    paid = {name: moving.catalog[name] for name in moving.newest.values()}
    assert {sum(o.amount for o in one.outputs if o.owner == "A") for one in paid.values()} == {START + 2}
    penalties = {name for name, one in moving.catalog.items() if one.kind is Kind.PENALTY}
    assert penalties == {f"penalty:commitment:A@{version}:{holder}" for version in (0, 1) for holder in ("A", LSP)}
    list(moving.leave())
    assert moving.places == (Outpoint("state:r@1", 0),)
    revoked = {name for name, one in moving.catalog.items() if one.kind is Kind.PENALTY} - penalties
    assert revoked == {f"penalty:commitment:A@{version}:{holder}~2" for version in (0, 1) for holder in ("A", LSP)}


def test_nobody_keeps_what_it_has_revoked_and_the_others_keep_all_of_theirs() -> None:
    one = leaf()
    for stop in stops():
        revoked = {name.removeprefix("penalty:") for name in stop.complete if stop.catalog[name].kind is Kind.PENALTY}
        for game in one.games(stop):
            assert not game.hero_holds & revoked
            theirs = {n for n in revoked if stop.catalog[n].holder != game.hero}
            assert theirs <= game.adversary_holds
            assert {f"penalty:{n}" for n in theirs if game.hero in stop.catalog[n].signers} <= game.hero_holds


def test_every_moment_of_the_plans_is_played_by_both_sides_and_by_a_client_without_coins() -> None:
    told = [stop.story for stop in stops()]
    for plan in PLANS:
        assert any("the old outpoint is left" in story[-1] for story in told), plan
    assert any(stop.poor for stop in stops())
    assert any("what hangs on the new state is signed" in story[-1] for story in told)


def test_a_buyer_pays_once_and_only_for_what_it_holds() -> None:
    asked = [stop.story for stop in stops() if any("liquidity" in says for says in stop.story)]
    whole = max(asked, key=len)
    held = whole.index("B gets the link")
    (paid,) = [number for number, says in enumerate(whole) if says.startswith("B pays L")]
    assert paid == held + 1


def _lost(one: Leaf, wanted: Iterator[Stop]) -> list[str]:
    return [stop.story[-1] for stop in wanted for game in one.games(stop) if not solve(game).wins]


@pytest.mark.parametrize("poison", ["stock", "none"])
def test_with_every_commitment_revoked_a_channel_needs_no_poison(poison: str) -> None:
    """Q-PSN-2: what is revoked protects an old channel, and its alternate pays it; also without coins."""
    one = leaf(Plot(poison=poison))
    late = [stop for stop in payments(one) if stop.poor and "the old outpoint is left" in " ".join(stop.story)]
    assert len(late) > len(PLANS)
    assert not _lost(one, iter(late))


def test_a_buyer_that_paid_twice_would_have_lost_the_price() -> None:
    """Each price is owed once: what is paid beyond it is missed."""
    one = leaf()
    last = next(stop for stop in reversed(stops()) if stop.story[-1] == "B revokes its old one")
    again = replace(last, owed={"B": last.owed["B"] + COST})
    assert _lost(one, iter([again]))


@pytest.mark.parametrize(("lock", "keeps"), [("csv", 0), ("cltv-before", 0), ("cltv-after", BOUGHT)])
def test_a_buyer_without_coins_keeps_what_it_bought_only_under_a_lock_after_the_end(lock: str, keeps: int) -> None:
    """Q-TIME-5: nothing pays it to publish the link, and only the alternates pay it at once."""
    parameters = load_specification().parameters
    other = tuple(replace(one, default=lock) if one.name == "stock_lock" else one for one in parameters.parameters)
    here = Leaf(replace(parameters, parameters=other), machines().stock, Plot(), 2)
    last = list(prices(here))[-1]
    assert last.owed["B"] == START - COST + BOUGHT
    (game,) = here.games(replace(last, owed={"B": last.owed["B"]}, poor=frozenset({"B"}), waiting=frozenset()))
    assert solve(game).amount == START - COST + keeps


def test_two_older_leaf_states_and_every_older_commitment_are_in_one_game() -> None:
    one = Leaf(load_specification().parameters, machines().stock, Plot(), 3)
    rich, poor = late_payments(one)
    assert not rich.poor
    assert poor.poor == {"A"}
    for game in one.games(poor):
        older = {"state:r@0", "state:r@1", "commitment:A@0:L", "commitment:A@0:L~2", "commitment:A@1:L~3"}
        assert older <= game.adversary_holds
        assert game.hero_holds & {"state:r@0", "state:r@1", "state:r@2"} == {f"state:r@{n}" for n in range(3)}
        assert "poison:state:r@1#0" in game.hero_holds
        assert "poison:state:r@2#0" not in game.hero_holds


def played(trace: Trace, path: Path) -> Outcome:
    path.write_text(json.dumps(as_json(trace)), encoding="utf-8")
    return replay(read(path))


def _penalised(holder: str, other: str) -> Trace:
    """A payment; then a side publishes its old commitment, and the other takes its balance."""
    amount = 2 if holder == LSP else -2
    moving = channel()
    list(moving.pay(amount))
    old = f"commitment:A@0:{holder}"
    lock = moving.catalog["state:r@0"].spends[0].relative_lock or 0
    blocks = ["kickoff:r@-", *[""] * (lock - 1), "state:r@0", old, f"penalty:{old}"]
    paid = [0] * len(blocks)
    paid[-2:] = [START if other == "A" else CAPACITY - START, CAPACITY]
    rounds = tuple(
        Round(number + 1, False, (name,) if name.startswith("penalty") else (), (name,) if name else (), paid[number])
        for number, name in enumerate(blocks)
    )
    names = tuple(name for name in blocks if name)
    hands = Hands(frozenset({names[-1]}), frozenset(names[:-1]))
    found = mined(moving.catalog, rounds)
    funding = moving.catalog[FUNDING]
    # A trace is of a loss: here that of a hero that counts on one unit more than there is in its channel.
    return Trace("P-PAYMENT-KEPT", other, "balances", (), CAPACITY + 1, CAPACITY, (), rounds, found, funding, "", hands)


@pytest.mark.parametrize(("holder", "other"), [(LSP, "A"), ("A", LSP)])
def test_a_revoked_commitment_costs_its_publisher_the_whole_channel_on_core_s_code(
    holder: str, other: str, tmp_path: Path
) -> None:
    end = played(_penalised(holder, other), tmp_path / "trace.json")
    assert end.exit_code == 0, (end.problems, end.cannot)
    assert end.owned[other] == CAPACITY * 100_000
    assert any(line.name.startswith("penalty:") and line.says == MINED and line.right for line in end.lines)


def test_a_penalty_that_spends_by_another_s_key_is_no_penalty(tmp_path: Path) -> None:
    trace = as_json(_penalised(LSP, "A"))
    penalty = next(one for one in trace["transactions"] if one["kind"] == "penalty")
    penalty["signers"] = [LSP]
    path = tmp_path / "trace.json"
    path.write_text(json.dumps(trace), encoding="utf-8")
    with pytest.raises(InputError, match="signers of 'penalty:commitment:A@0:L'"):
        read(path)
