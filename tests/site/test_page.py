"""The page as a reviewer gets it: one file, every id an anchor, every property with its verdict."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from superscalar_ref.conformance.kit import load_tests
from superscalar_ref.conformance.trace import trace
from superscalar_ref.site.found import Adapter, Answered, Conformed
from superscalar_ref.site.page import inside, matrix
from superscalar_ref.spec.load import identifiers
from superscalar_ref.spec.specification import Specification

from .conftest import EVIL, REFUTED, ROOT, UNDECIDED, Element

LOADING = {"src", "srcset", "data", "poster", "action", "formaction", "background", "xlink:href"}


def test_every_id_of_every_table_is_an_anchor(anchors: Mapping[str, Element], specification: Specification) -> None:
    ids = [identity for identity, _ in identifiers(specification)]
    assert len(ids) > 300
    assert [identity for identity in ids if identity not in anchors] == []


def test_what_the_text_defines_is_an_anchor(anchors: Mapping[str, Element]) -> None:
    decisions = (ROOT / "spec" / "chapters" / "decisions.md").read_text(encoding="utf-8")
    ids = re.findall(r"^\| (D-\d+) \|", decisions, re.MULTILINE)
    for path in (ROOT / "spec" / "chapters").glob("*.md"):
        ids += re.findall(r"^- \*\*(R-[A-Z0-9-]+)\*\*", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(ids) > 40
    assert [identity for identity in ids if identity not in anchors] == []


def test_states_guards_effects_and_parameters_are_anchors(
    anchors: Mapping[str, Element], specification: Specification
) -> None:
    for machine in specification.machines:
        names = [one.name for one in machine.states]
        names += [one.name for one in (*machine.guards, *machine.effects)]
        assert [name for name in names if f"{machine.name}.{name}" not in anchors] == []
    for parameter in specification.parameters.parameters:
        assert f"parameter.{parameter.name}" in anchors


def test_no_anchor_stands_twice(tree: Element) -> None:
    counts = Counter(one.attributes["id"] for one in tree.all() if "id" in one.attributes)
    assert [name for name, count in counts.items() if count > 1] == []


def test_every_link_leads_somewhere(tree: Element, anchors: Mapping[str, Element]) -> None:
    links = {one.attributes["href"] for one in tree.all() if one.tag == "a" and "href" in one.attributes}
    inner = {link[1:] for link in links if link.startswith("#")}
    assert len(inner) > 600
    assert {link for link in inner if link not in anchors and not link.startswith("explore/")} == set()
    assert {link for link in links if not link.startswith(("#", "https://"))} == set()


def test_what_the_search_finds_is_there(tree: Element, anchors: Mapping[str, Element]) -> None:
    index = json.loads(anchors["index"].text())
    found = {anchor: name for anchor, name, _ in index}
    assert len(found) == len(index)
    assert {anchor for anchor in found if anchor not in anchors} == set()
    assert found["FAC-7"] == "FAC-7"
    assert {"R-STEP-DOMINATES", "P-EXIT-ALWAYS", "D-7", "STR-1", "Q-STK-6", "L-LOCK-ORDER"} <= set(found)


def test_nothing_is_loaded_from_anywhere(site: Path, tree: Element) -> None:
    for one in tree.all():
        assert one.tag not in {"link", "iframe", "object", "embed", "base", "img"}
        assert not LOADING & set(one.attributes), one
        assert one.tag == "a" or "href" not in one.attributes
    styles = "".join(one.text() for one in tree.all() if one.tag == "style")
    assert "url(" not in styles
    assert "@import" not in styles
    scripts = "".join(one.text() for one in tree.all() if one.tag == "script" and "type" not in one.attributes)
    assert not re.search(r"\b(fetch|XMLHttpRequest|WebSocket|EventSource|import|eval|innerHTML)\b", scripts)


def test_the_policy_admits_the_pages_own_scripts_and_no_others(tree: Element) -> None:
    policy = next(one.attributes["content"] for one in tree.all() if "http-equiv" in one.attributes)
    assert policy.startswith("default-src 'none'")
    scripts = ["".join(one.words) for one in tree.all() if one.tag == "script" and "type" not in one.attributes]
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    assert re.findall(r"'sha256-([^']+)'", policy) == digests
    assert not [name for one in tree.all() for name in one.attributes if name.startswith("on")]


def test_every_property_has_its_verdict(anchors: Mapping[str, Element], specification: Specification) -> None:
    verdicts = {}
    for one in specification.properties:
        (badge,) = (part for part in anchors[one.id].all() if "verdict" in part.attributes.get("class", "").split())
        verdicts[one.id] = badge.text()
    assert verdicts.pop(UNDECIDED) == "not decided here"
    assert verdicts.pop(REFUTED) == "REFUTED"
    assert set(verdicts.values()) == {"holds"}
    assert "1,234 situations, 5,678 moves; worst block 24" in anchors["P-NO-THEFT"].text()


def test_every_lemma_and_wrong_design_has_its_verdict(
    anchors: Mapping[str, Element], specification: Specification
) -> None:
    assert "proven for all values" in anchors["L-LOCK-ORDER"].text()
    assert "not decided here" in anchors["L-NEWEST-WINS"].text()
    first, second, *_ = specification.variants
    assert "not as it says" in anchors[first.id].text()
    assert "refuted, as it says" in anchors[second.id].text()


def test_a_finding_shows_the_loss_that_it_rests_on(anchors: Mapping[str, Element]) -> None:
    assert [one for one in anchors["Q-STK-6"].all() if one.attributes.get("class") == "sequence"]


def test_what_comes_from_files_is_escaped(tree: Element, anchors: Mapping[str, Element]) -> None:
    assert not [one for one in tree.all() if one.tag == "img"]
    assert EVIL in anchors["conformance"].text()
    # In a drawing words are broken into lines.
    assert "onerror=alert(1)" in anchors[REFUTED].text()


def test_data_cannot_end_the_script_that_holds_it() -> None:
    text = inside({EVIL: ["<!--", "</SCRIPT>"]})
    assert "<" not in text
    assert json.loads(text) == {EVIL: ["<!--", "</SCRIPT>"]}


def test_the_diagrams_lead_to_rows_and_states(anchors: Mapping[str, Element], specification: Specification) -> None:
    for machine in specification.machines:
        (drawing,) = (one for one in anchors[f"machine-{machine.name}"].all() if one.tag == "svg")
        links = {one.attributes["href"] for one in drawing.all() if one.tag == "a"}
        wanted = {f"#{row.id}" for row in machine.transitions}
        wanted |= {f"#{machine.name}.{state.name}" for state in machine.states}
        assert links == wanted


def test_chapters_have_drawings_in_place_of_mermaid(anchors: Mapping[str, Element]) -> None:
    assert [one for one in anchors["text-life"].all() if one.tag == "svg"]
    assert "stateDiagram-v2" not in "".join(one.text() for name, one in anchors.items() if name.startswith("text-"))


def test_empty_cells_of_the_traceability_are_red(anchors: Mapping[str, Element]) -> None:
    found = trace(load_tests(), ROOT)
    for one in found.requirements:
        cells = anchors[f"trace.{one.id}"].all()
        red = [cell for cell in cells if "empty" in cell.attributes.get("class", "").split()]
        assert len(red) == sum(not part for part in (one.code, one.tests, one.positive, one.negative)), one
    assert sum(1 for one in found.requirements if not one.positive) > 0


def test_a_row_leads_to_where_it_can_happen(anchors: Mapping[str, Element]) -> None:
    links = {one.attributes.get("href", "") for one in anchors["CLI-1"].all()}
    assert [link for link in links if re.fullmatch(r"#explore/client@[0-9a-f]{6}/invited/\d+", link)]


def test_the_matrix_counts_each_rule_and_keeps_the_order() -> None:
    adapter = Adapter("a", "1")
    one = Conformed(adapter, [Answered("x", "pass", ["B-2", "A-1"]), Answered("y", "fail", ["B-2"])])
    other = Conformed(adapter, [Answered("x", "pass", ["Z-9"])])
    assert matrix([one, other], ["A-1", "B-2", "C-3"]) == {
        "A-1": [{"pass": 1}, {}],
        "B-2": [{"pass": 1, "fail": 1}, {}],
        "Z-9": [{}, {"pass": 1}],
    }


@pytest.mark.parametrize(
    ("rule", "style", "words"), [("FAC-7", "fail", "1 of 2"), ("CLI-3", "fail", "0 of 1"), ("CLI-4", "", "skipped")]
)
def test_the_table_of_implementations_shows_failures(
    anchors: Mapping[str, Element], rule: str, style: str, words: str
) -> None:
    rows = [one for one in anchors["conformance"].all() if one.tag == "tr"]
    (row,) = (one for one in rows if one.children[0].text() == rule)
    assert (row.children[1].attributes["class"], row.children[1].text()) == (style, words)
