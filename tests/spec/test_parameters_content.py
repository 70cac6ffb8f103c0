"""What ``spec/parameters.toml`` says: the protocol's numbers, sources for each, and nothing that nobody reads."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import superscalar_ref
from superscalar_ref.errors import InputError
from superscalar_ref.spec.load import load_parameters
from superscalar_ref.spec.parameters import Constraint, Parameter

SET = load_parameters()
VALUES = SET.defaults()
SOURCE = re.compile(r"(P1143(#\d+)?|P1242|P1252|D-\d+|BIP-\d+|BOLT-\d+)( '[^']+')?")


@pytest.mark.parametrize(
    ("name", "default"),
    [
        ("step_blocks", 144),
        ("states_per_layer", 4),
        ("exit_ceiling_blocks", 2016),
        ("clients_max", 127),
        ("transaction_version", 3),
        ("anchor_sat", 240),
        ("tree_feerate_sat_per_vb", 1),
        ("dust_limit_sat", 330),
        ("active_blocks", 30 * 144),
        ("dying_blocks", 3 * 144),
        ("stock_lock", "csv"),
        ("end_default", "inverted"),
        ("alternates", "every"),
    ],
)
def test_defaults_of_the_protocol(name: str, default: int | str) -> None:
    assert VALUES[name] == default


@pytest.mark.parametrize(
    "item", [*SET.parameters, *SET.constraints], ids=lambda item: getattr(item, "id", "") or item.name
)
def test_sources_are_cited_by_their_short_names(item: Parameter | Constraint) -> None:
    assert item.source
    for source in item.source:
        assert SOURCE.fullmatch(source), source


@pytest.mark.parametrize("parameter", SET.parameters, ids=lambda parameter: parameter.name)
def test_numbers_have_both_bounds_and_a_unit(parameter: Parameter) -> None:
    assert parameter.says.endswith(".")
    if parameter.choices:
        assert parameter.unit == "choice"
    else:
        assert parameter.low is not None
        assert parameter.high is not None
        assert parameter.unit != "choice"


@pytest.mark.parametrize("constraint", SET.constraints, ids=lambda constraint: constraint.id)
def test_constraints_require_something_and_say_why(constraint: Constraint) -> None:
    assert " MUST " in constraint.says
    assert constraint.why.endswith(".")


def test_ids_are_used_once() -> None:
    ids = [constraint.id for constraint in SET.constraints]
    assert len(set(ids)) == len(ids)


def test_every_parameter_is_read() -> None:
    code = "\n".join(
        path.read_text(encoding="utf-8") for path in sorted(Path(superscalar_ref.__file__).parent.rglob("*.py"))
    )
    rules = "\n".join(constraint.text for constraint in SET.constraints)
    words = set(re.findall(r"[a-z][a-z0-9_]*", code + rules))
    assert [parameter.name for parameter in SET.parameters if parameter.name not in words] == []


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"step_blocks": 126}, "R-STEP-DOMINATES"),
        ({"step_blocks": 32767, "states_per_layer": 4}, "R-LOCK-16-BIT"),
        ({"dw_layers": 5}, "R-EXIT-BUDGET"),
        ({"exit_budget_blocks": 1867}, "R-EXIT-CEILING"),
        ({"stock_lock_blocks": 126}, "R-STOCK-LOCK-CSV"),
        ({"to_self_delay_blocks": 126}, "R-SELF-DELAY"),
        ({"life_blocks": 6808}, "R-END"),
        ({"signing_absence_blocks": 433}, "R-DYING-VISIT"),
        ({"alternates": "not-kickoffs"}, "R-ALTERNATES"),
        ({"alternates": "none"}, "R-ALTERNATES"),
        ({"height_step_blocks": 1}, "R-ONE-HEIGHT"),
        ({"end_default": "classic", "expiry_gap_blocks": 269}, "R-EXPIRY-GAP"),
        ({"lsp_absence_blocks": 7}, "R-LSP-AWAKE"),
        ({"funding_confirmations": 6}, "R-FUNDING-DEPTH"),
    ],
)
def test_a_broken_constraint_is_named(changes: dict[str, int | str], rule: str) -> None:
    with pytest.raises(InputError) as caught:
        VALUES.with_changes(changes)
    assert caught.value.rule == rule


@pytest.mark.parametrize(
    "changes",
    [
        {"step_blocks": 127},
        {"end_default": "classic", "alternates": "none"},
        {"end_default": "classic"},
        {"stock_lock": "cltv-before"},
        {"stock_lock": "cltv-after", "stock_lock_blocks": 270},
        {"transaction_version": 2},
    ],
)
def test_the_choices_that_the_protocol_leaves_are_admitted(changes: dict[str, int | str]) -> None:
    assert VALUES.with_changes(changes).as_dict() == VALUES.as_dict() | changes
