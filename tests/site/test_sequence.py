"""A loss as a drawing."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import msgspec
import pytest

from superscalar_ref.site.found import Loss
from superscalar_ref.site.sequence import LETTER, svg, verdict

from .conftest import EVIL, loss


def drawn(**changed: object) -> tuple[ElementTree.Element, list[str]]:
    root = ElementTree.fromstring(str(svg(msgspec.convert(loss(**changed), Loss))))
    return root, [one.text or "" for one in root.iter("text")]


def test_it_tells_the_whole_story_in_its_order() -> None:
    _, words = drawn()
    assert words == [
        *("A", "L", "chain"),
        "L invites",
        "blocks 1 to 2: A is away",
        *("state:r@2", "state:r@1", "block 3: state:r@1; not mined: state:r@2"),
        *("sweep:A", "block 4: sweep:A"),
        *("A counts on 4 and can be sure of 3: 1 lost", "(theft)."),
    ]


def test_an_arrow_begins_at_whoever_broadcasts() -> None:
    root, _ = drawn()
    starts = [re.match(r"M(\d+) ", one.get("d", "")) for one in root.iter("path") if one.get("class") == "arrow"]
    heads = {one.text: one.get("x") for one in root.iter("text") if one.get("class") == "name"}
    assert [found[1] for found in starts if found] == [heads["A"], heads["L"], heads["A"]]


def test_without_blocks_there_is_no_chain() -> None:
    _, words = drawn(rounds=[], note="A has not agreed.")
    assert words == ["A", "L invites", "A has not agreed.", "P-EXIT-ALWAYS is lost by A."]


@pytest.mark.parametrize("name", ["sweep:" + "commitment:A@1:" * 12, EVIL, "word " * 60])
def test_nothing_reaches_over_the_edge(name: str) -> None:
    rounds = [{"height": 3, "broadcast": [name], "mined": [name], "by": {name: "A"}}]
    root, _ = drawn(rounds=rounds, off_chain=[name], note=name)
    width = float(root.get("width", "0"))
    for one in root.iter("text"):
        length = LETTER * len(one.text or "")
        start = float(one.get("x", "0")) - (length / 2 if one.get("text-anchor") == "middle" else 0)
        assert start >= 0
        assert start + length <= width
    assert max(float(one.get("y", "0")) for one in root.iter("text")) < float(root.get("height", "0"))


def test_it_is_no_wider_than_a_phone() -> None:
    root, _ = drawn()
    assert float(root.get("width", "0")) <= 390 - 2 * 28


def test_a_loss_that_is_all_says_so() -> None:
    assert verdict(msgspec.convert(loss(gets=-1), Loss)) == "A counts on 4 and can be sure of 0: 4 lost (theft)."
