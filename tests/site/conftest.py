"""The page, made once: with verdicts of our own, some of them somebody's who wishes us ill."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from superscalar_ref.cli import main
from superscalar_ref.spec.load import load_specification
from superscalar_ref.spec.specification import Specification

ROOT = Path(__file__).resolve().parents[2]
EVIL = "</script><img src=x onerror=alert(1)>&\"'"
UNDECIDED = "P-SALE-KEPT"
REFUTED = "P-EXIT-ALWAYS"
CONTEXTS = 40


def loss(**changed: Any) -> dict[str, Any]:
    """A trace as ``check --trace`` writes it."""
    return {
        "version": 1,
        "property": REFUTED,
        "hero": "A",
        "configuration": "one-layer",
        "choices": {"alternates": "every"},
        "owed": 4,
        "gets": 3,
        "loss": "theft",
        "note": "",
        "off_chain": ["L invites"],
        "rounds": [
            {"height": 1, "asleep": True, "broadcast": [], "mined": [], "by": {}},
            {"height": 2, "asleep": True, "broadcast": [], "mined": [], "by": {}},
            {"height": 3, "broadcast": ["state:r@2"], "mined": ["state:r@1"], "by": {"state:r@1": "L"}},
            {"height": 4, "broadcast": ["sweep:A"], "mined": ["sweep:A"], "by": {"sweep:A": "A"}},
            {"height": 5, "broadcast": [], "mined": [], "by": {}},
        ],
        **changed,
    }


@pytest.fixture(scope="session")
def specification() -> Specification:
    return load_specification()


@pytest.fixture(scope="session")
def inputs(tmp_path_factory: pytest.TempPathFactory, specification: Specification) -> Mapping[str, Path]:
    """Files as ``check`` and ``conform`` print them."""
    properties = [
        {"property": one.id, "holds": True, "cases": 7, "states": 1234, "edges": 5678, "worst_block": 24}
        for one in specification.properties
        if one.id not in (UNDECIDED, REFUTED)
    ]
    properties.append({"property": REFUTED, "holds": False, "cases": 1, "trace": loss(note=EVIL)})
    lemmas = [{"id": "L-LOCK-ORDER", "says": "", "verdict": "holds", "story": []}]
    first, *others = specification.variants
    variants = [{"variant": one.id, "as_expected": True, "problem": "", "trace": loss()} for one in others]
    variants.append({"variant": first.id, "as_expected": False, "problem": EVIL, "trace": None})
    results = [
        {"id": "one", "verdict": "pass", "rules": ["FAC-7"], "code": "", "detail": ""},
        {"id": "two", "verdict": "fail", "rules": ["FAC-7", "CLI-3"], "code": EVIL, "detail": EVIL},
        {"id": "three", "verdict": "skipped", "rules": ["CLI-4"], "code": "", "detail": ""},
    ]
    folder = tmp_path_factory.mktemp("inputs")
    written = {
        "check": {"holds": False, "remarks": [], "properties": properties, "lemmas": lemmas},
        "variants": {"variants": variants},
        "conform": {"adapter": {"name": EVIL, "version": "1"}, "results": results, "mind": [EVIL]},
    }
    for name, content in written.items():
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    return {name: folder / f"{name}.json" for name in written}


@pytest.fixture(scope="session")
def site(inputs: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page, as the command writes it."""
    out = tmp_path_factory.mktemp("site")
    given = [word for name, path in inputs.items() for word in (f"--{name}", str(path))]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        assert main(["report", "--undecided", "--contexts", str(CONTEXTS), "--out", str(out), *given]) == 0
    assert [path.name for path in out.iterdir()] == ["index.html"]
    return out / "index.html"


@dataclass
class Element:
    """An element of a page, with what it holds."""

    tag: str
    attributes: dict[str, str]
    children: list[Element] = field(default_factory=list)
    words: list[str] = field(default_factory=list)

    def all(self) -> Iterator[Element]:
        """It and everything inside."""
        yield self
        for child in self.children:
            yield from child.all()

    def text(self) -> str:
        """All its words."""
        return " ".join(word for one in self.all() for word in one.words)


class Tree(HTMLParser):
    """A page as a tree."""

    EMPTY = frozenset({"meta", "link", "input", "br", "img", "hr", "base"})

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("", {})
        self._open = [self.root]
        self.feed(text)
        self.close()
        assert len(self._open) == 1, [one.tag for one in self._open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        one = Element(tag, {name: value or "" for name, value in attrs})
        self._open[-1].children.append(one)
        if tag not in self.EMPTY:
            self._open.append(one)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open[-1].children.append(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if tag in self.EMPTY:
            return
        assert self._open[-1].tag == tag, (self._open[-1], tag)
        self._open.pop()

    def handle_data(self, data: str) -> None:
        self._open[-1].words.append(data)


@pytest.fixture(scope="session")
def tree(site: Path) -> Element:
    return Tree(site.read_text(encoding="utf-8")).root


@pytest.fixture(scope="session")
def anchors(tree: Element) -> Mapping[str, Element]:
    """Every element that has an id."""
    return {one.attributes["id"]: one for one in tree.all() if "id" in one.attributes}
