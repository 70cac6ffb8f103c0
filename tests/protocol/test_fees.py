"""The rules of fees.toml: who may pay how, in which order, and faults of the file."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from superscalar_ref.errors import SpecError
from superscalar_ref.protocol.fees import Paid, Pay, child_fee, load_fee_rules, reserve_needed
from superscalar_ref.spec.location import spec_directory


def test_each_role_pays_from_what_it_has() -> None:
    rules = load_fee_rules()
    assert rules.ways("client") == rules.ways("lsp") == (Pay.OUTPUT, Pay.COIN, Pay.AGAIN)
    assert rules.ways("tower") == (Pay.COIN, Pay.AGAIN), "nothing that a tower publishes pays to its wallet"
    assert rules.without("STR-31").ways("client") == (Pay.OUTPUT, Pay.AGAIN)
    with pytest.raises(KeyError):
        rules.without("STR-1")


def test_a_child_pays_what_its_parent_lacks_and_never_less_than_its_own_size() -> None:
    assert child_fee(Paid(100, 100), 50, 10) == 10 * 150 - 100
    assert child_fee(Paid(100, 5_000), 50, 10) == 10 * 50


def test_a_reserve_counts_only_what_pays_too_little() -> None:
    assert reserve_needed([Paid(100, 100), Paid(100, 1_000)], 50, 10, 330) == 10 * 150 - 100 + 330
    assert reserve_needed([Paid(100, 1_000), Paid(100, 100)], 50, 10, 330) == 10 * 150 - 100 + 330
    assert reserve_needed([Paid(100, 100, 240)] * 2, 50, 10, 330) == 2 * (10 * 150 - 100 - 240) + 330
    assert reserve_needed([Paid(100, 100)], 50, 1, 330) == 0
    assert reserve_needed([], 50, 100, 330) == 0


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('pay = "coin"', 'pay = "credit"', "'pay' is 'credit'; it may be output, coin, again"),
        ('for = ["client", "lsp"]', "for = []", "'for' is a list of client, lsp, tower"),
        ('for = ["client", "lsp"]', 'for = ["miner"]', "'for' is a list of client, lsp, tower"),
        ('id = "STR-31"', 'id = "STR-30"', "STR-30 is there twice"),
        ('why = "It needs', 'because = "It needs', "the key 'why' is missing|unknown key 'because'"),
    ],
)
def test_a_faulty_file_is_refused_with_its_place(tmp_path: Path, old: str, new: str, problem: str) -> None:
    text = (spec_directory() / "fees.toml").read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "fees.toml").write_text(text.replace(old, new, 1), encoding="utf-8")
    line = 1 + text[: text.index(old)].count("\n")
    with pytest.raises(SpecError, match=rf"fees\.toml:{line}: .*({problem})") as caught:
        load_fee_rules(tmp_path)
    assert caught.value.rule == "fees"


def test_a_rule_says_what_its_row_says() -> None:
    text = (spec_directory() / "fees.toml").read_text(encoding="utf-8")
    for rule, row in zip(load_fee_rules().rules, tomllib.loads(text)["rules"], strict=True):
        kept = (rule.id, list(rule.roles), rule.pay, rule.says, rule.why)
        assert kept == tuple(row[key] for key in ("id", "for", "pay", "says", "why"))
