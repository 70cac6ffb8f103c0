"""Everybody leaves with nothing from the LSP: who gets what and when, with and without a coin, through a fee spike."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from superscalar_ref.chain.fees import FeeMarket, Offer, Spike
from superscalar_ref.cli import main
from superscalar_ref.errors import InputError, ProtocolError
from superscalar_ref.parties.bumper import Bumper
from superscalar_ref.parties.kit import without
from superscalar_ref.protocol.fees import Paid, reserve_needed
from superscalar_ref.protocol.shape import Shape
from superscalar_ref.protocol.transaction import Kind, Role
from superscalar_ref.realise.child import CHILD_VBYTES
from superscalar_ref.scenario.lsp_vanishes import Ended, everybody_leaves, kits_of
from superscalar_ref.scenario.town import Plan, Town, build_town, check_plan
from tests.scenario.plans import small

PRICE = 5
"""Of a spike (sat/vB) that a reserve is enough for."""


def left(plan: Plan, market: FeeMarket | None = None) -> tuple[Town, Ended]:
    town = build_town(plan)
    return town, everybody_leaves(town, kits_of(town), market or FeeMarket())


@pytest.fixture(scope="module")
def quiet() -> tuple[Town, Ended]:
    return left(small(factories=2))


def test_every_client_of_every_factory_is_out(quiet: tuple[Town, Ended]) -> None:
    town, ended = quiet
    assert ended.all_out
    assert {out.client for out in ended.clients} == {name for f in town.factories for name in f.clients}
    for out in ended.clients:
        assert out.status == ("swept" if out.reserve else "paid")
        if out.reserve:
            assert out.received == out.owed - out.sweep_fee
            assert out.height < town.factories[out.factory].lsp.factory.terms.locks.end
            assert out.reserve_spent > 0
        else:
            capacity = town.plan.balance + town.plan.inbound
            fees = ended.by_kind["alternate"]
            assert out.received == capacity + town.plan.stock - 2 * fees.fees // fees.count
            assert out.reserve_spent == 0


def test_the_totals_are_those_of_the_tree(quiet: tuple[Town, Ended]) -> None:
    town, ended = quiet
    tree = town.factories[0].lsp.tree
    assert ended.by_kind["kickoff"].count + ended.by_kind["state"].count == 2 * tree.transactions
    with_coin = sum(out.reserve for out in ended.clients)
    assert ended.by_kind["commitment"].count == ended.by_kind["sweep"].count == with_coin
    assert ended.by_kind["child"].count == with_coin
    assert ended.by_kind["alternate"].count == 2 * (len(ended.clients) - with_coin)
    assert ended.total.vbytes == sum(one.vbytes for one in ended.by_kind.values())
    assert ended.begun < ended.ended


def test_a_spike_delays_and_costs_nobody_its_money(quiet: tuple[Town, Ended]) -> None:
    plan = small()
    town = build_town(plan)
    market = FeeMarket(1, (Spike(town.ledger.height + plan.middle(), 12, 30),))
    ended = everybody_leaves(town, kits_of(town), market)
    assert ended.all_out
    assert ended.waited_in_spike > 0
    swept = [out.height for out in ended.clients if out.status == "swept"]
    earlier = [out.height for out in quiet[1].clients if out.status == "swept"]
    assert min(swept) - ended.begun > max(earlier) - quiet[1].begun


def paths(town: Town) -> list[Paid]:
    """What is signed into each transaction on the way to a commitment of a client, each once."""
    found: dict[str, Paid] = {}
    for factory in town.factories:
        for name, client in factory.clients.items():
            templates = client.factory.templates
            for one in templates.values():
                if one.kind in (Kind.KICKOFF, Kind.STATE) or (one.kind is Kind.COMMITMENT and one.holder == name):
                    anchor = sum(output.amount for output in one.outputs if output.role is Role.ANCHOR)
                    found[one.name] = Paid(client.complete_transaction(one.name).vbytes, one.fee, anchor)
    return list(found.values())


@pytest.mark.parametrize("clients", [1, 2])
def test_in_a_hurry_the_reserves_pay_for_the_spike_what_the_formula_says(clients: int) -> None:
    """R-RESERVE: one pays all of its path; two who leave together share what they share."""
    plan = small(clients=clients, reserve_every=1)
    town = build_town(plan)
    needed = reserve_needed(paths(town), CHILD_VBYTES, PRICE, plan.economy.dust) - plan.economy.dust
    begun = town.ledger.height
    market = FeeMarket(1, (Spike(begun + 1, 60, PRICE),))
    ended = everybody_leaves(town, kits_of(town), market, hurry=True)
    assert ended.all_out
    assert sum(out.reserve_spent for out in ended.clients) == needed > 0
    assert all(out.status == "swept" for out in ended.clients)
    waiting = build_town(plan)
    patient = everybody_leaves(waiting, kits_of(waiting), market)
    assert patient.all_out
    assert sum(out.reserve_spent for out in patient.clients) < needed, "who waits pays less, and is out later"
    assert patient.ended > ended.ended


def test_a_client_whose_kit_lacks_its_path_is_not_out_by_itself() -> None:
    town = build_town(small(clients=1, reserve_every=1))
    kits = kits_of(town)
    (name,) = kits
    kits[name] = without(kits[name], *kits[name].signatures)
    ended = everybody_leaves(town, kits, FeeMarket())
    assert not ended.all_out
    assert ended.total.count == 0


def test_a_purse_that_is_too_small_pays_nothing(quiet: tuple[Town, Ended]) -> None:
    town, _ = quiet
    name, coin = next(iter(town.reserves.items()))
    lsp = town.factories[0].lsp
    parent = Offer(lsp.complete_transaction("kickoff:r@-"), 0)
    from superscalar_ref.scenario.town import wallet_key, wallet_script

    purse = Bumper(wallet_key(name), wallet_script(name), [coin])
    assert purse.child(parent, 1_000) is None
    assert purse.child(parent, 10) is not None
    assert purse.spent == 0


def test_an_interruption_gives_what_is_done() -> None:
    town = build_town(small(clients=2, reserve_every=1))
    told = []

    def stop(what: str, done: int, of: int) -> None:
        told.append(what)
        if told.count("out") == 4:
            raise KeyboardInterrupt

    ended = everybody_leaves(town, kits_of(town), FeeMarket(), stop)
    assert ended.interrupted
    assert not ended.all_out
    assert ended.total.count > 0
    assert ended.conserved


def test_a_plan_that_cannot_be_is_refused() -> None:
    with pytest.raises(InputError, match=r"0 is not within 1\.\.127"):
        check_plan(small(clients=0))
    with pytest.raises(InputError, match="128"):
        check_plan(small(factories=128))
    with pytest.raises(ProtocolError, match="R-EXIT-CEILING"):
        check_plan(replace(small(8), limits=replace(small().limits, ceiling=20)))
    with pytest.raises(ProtocolError, match="R-END"):
        check_plan(replace(small(), locks=replace(small().locks, end=59)))
    assert Shape.of([2]) == small().shape


def test_the_command(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["scenario", "--list"]) == 0
    assert "lsp-vanishes" in capsys.readouterr().out
    keep = tmp_path / "kept"
    arguments = ["scenario", "lsp-vanishes", "--clients", "1", "--reserve-every", "1", "--keep", str(keep), "--json"]
    assert main(arguments) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["all_out"]
    assert result["waited_in_spike"] > 0
    kit = str(keep / "f0c0.json")
    assert main(["kit", "check", kit]) == 0
    assert "complete" in capsys.readouterr().out
    for bad in (["nothing"], [], ["lsp-vanishes", "--clients", "0"], ["lsp-vanishes", "--arity", "x"]):
        assert main(["scenario", *bad]) == 2
        assert capsys.readouterr().err.count("\n") == 1
