"""What alternates pay in other designs: every unit is paid, and only what the design changes is another."""

from __future__ import annotations

import pytest

from superscalar_ref.check.configurations import allowed_choices, load_configurations, tight_values
from superscalar_ref.check.ends import BALANCE, EQUAL, WHOLE, paying
from superscalar_ref.check.world import LSP, STOCK, Plot, World
from superscalar_ref.protocol.blueprint import Blueprint, alternate_name, build
from superscalar_ref.protocol.transaction import Kind
from superscalar_ref.spec.load import load_parameters


def version(how: str) -> Blueprint:
    """A's first version in a factory of two clients, and its alternates."""
    parameters = load_parameters()
    configuration = next(one for one in load_configurations() if one.id == "two-layers")
    choices = next(iter(allowed_choices(parameters, {"stock_lock": "csv"})))
    world = World(configuration, tight_values(parameters, configuration, choices), "A", Plot(alternates_pay=how))
    return world.offer(world.first_versions(), 0).blueprint


def paid(blueprint: Blueprint) -> dict[str, dict[str, int]]:
    return {
        name: {output.owner: output.amount for output in template.outputs}
        for name, template in blueprint.templates.items()
        if template.kind is Kind.ALTERNATE
    }


@pytest.mark.parametrize("how", [WHOLE, EQUAL, BALANCE])
def test_every_unit_is_paid(how: str) -> None:
    blueprint = version(how)
    for template in blueprint.templates.values():
        if template.kind is Kind.ALTERNATE:
            spent = template.spends[0].outpoint
            assert template.amount_out() == blueprint.templates[spent.transaction].outputs[spent.index].amount


def test_the_same_for_all_is_too_little_for_whoever_has_most_and_the_whole_is_not() -> None:
    blueprint = version(EQUAL)
    shares = paid(blueprint)["alternate:funding#0"]
    assert abs(shares["A"] - shares["B"]) <= 1
    assert shares["A"] < blueprint.owed("A")
    whole = build(blueprint.terms, blueprint.versions, blueprint.contents)
    assert (
        paid(whole)["alternate:funding#0"]["A"]
        == blueprint.contents["r.0"].capacity_of("A") + STOCK
        > blueprint.owed("A")
    )


def test_balances_are_those_of_the_version_and_the_rest_is_the_lsps() -> None:
    blueprint = version(BALANCE)
    state = blueprint.path("A")[-1]
    shares, whole = paid(blueprint), paid(version(WHOLE))
    for name in ("alternate:funding#0", alternate_name(blueprint.templates[state].outpoint(0))):
        assert shares[name]["A"] == blueprint.owed("A")
        assert shares[name][LSP] == sum(whole[name].values()) - sum(
            amount for who, amount in shares[name].items() if who != LSP
        )
    stock = alternate_name(blueprint.templates[state].outpoint(1))
    assert shares[stock] == whole[stock] == {"A": STOCK}


def test_the_design_itself_is_not_touched() -> None:
    blueprint = version(WHOLE)
    assert paying(blueprint, WHOLE, LSP) is blueprint
