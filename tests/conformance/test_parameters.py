"""Which numbers are safe together, and how far each may go: the committed vectors hold spec/parameters.toml to it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from superscalar_ref.conformance.functions import Rejected, evaluate
from superscalar_ref.spec.load import load_parameters

PUBLISHED = Path(__file__).parents[2] / "spec/vectors/parameters.json"
TESTS: list[dict[str, Any]] = json.loads(PUBLISHED.read_text(encoding="utf-8"))["tests"]


@pytest.mark.parametrize("one", TESTS, ids=[one["id"] for one in TESTS])
def test_it_is_judged_as_published(one: dict[str, Any]) -> None:
    if "reject" in one["expect"]:
        with pytest.raises(Rejected) as refused:
            evaluate(one["fn"], one["args"])
        assert refused.value.code == one["expect"]["reject"]["code"]
    else:
        assert evaluate(one["fn"], one["args"]) == one["expect"]["ok"]


def test_every_bound_is_tried_from_both_sides() -> None:
    tried = {tuple(one["args"]["values"].items()) for one in TESTS}
    for one in load_parameters().parameters:
        for bound, beyond in ((one.low, -1), (one.high, 1)):
            if bound is not None:
                assert {((one.name, bound),), ((one.name, bound + beyond),)} <= tried
