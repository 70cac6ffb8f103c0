"""The explorer's own arithmetic, run by node over the data of the page."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import superscalar_ref.site.page as own

from .conftest import Element

SCRIPT = Path(own.__file__).parent / "templates" / "explorer.js"

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed: the explorer is not run")


def run(script: str, given: object) -> Any:
    """What a piece of JavaScript gives for ``given``."""
    text = (
        f"const Explorer = require({json.dumps(str(SCRIPT))});"
        f"const given = JSON.parse(require('fs').readFileSync(0, 'utf8'));"
        f"console.log(JSON.stringify((() => {{ {script} }})()));"
    )
    done = subprocess.run(["node", "-e", text], input=json.dumps(given), capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def graphs(anchors: Mapping[str, Element]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(anchors["graphs"].text())
    return found


def test_every_address_comes_back(graphs: dict[str, Any]) -> None:
    script = """
      const graph = given.client;
      const made = Explorer.format(graph, "active", ["3", "g1", "12"]);
      return [made, Explorer.parse(made), Explorer.parse("explore/client"), Explorer.parse("FAC-7"),
              Explorer.parse("explore/client@x/active/3;alert(1)")];
    """
    made, parsed, short, other, odd = run(script, {"client": graphs["client"]})
    version = graphs["client"]["version"]
    assert made == f"explore/client@{version}/active/3.g1.12"
    assert parsed == {"machine": "client", "version": version, "start": "active", "steps": ["3", "g1", "12"]}
    assert short == {"machine": "client", "version": "", "start": "", "steps": []}
    assert (other, odd) == (None, None)


def test_every_context_is_looked_at_as_the_core_answers(graphs: dict[str, Any]) -> None:
    script = """
      const found = {};
      for (const [name, graph] of Object.entries(given)) {
        found[name] = graph.contexts.map((_, at) => {
          const { taken, refused, outside } = Explorer.look(graph, at);
          const state = Explorer.state(graph, at);
          return [state.status, Object.keys(state).length, taken.map((one) => [one.step, one.row, one.after]),
            refused.map((one) => [one.event.name, one.code]), outside.map((one) => [one.step, one.after])];
        });
      }
      return found;
    """
    found = run(script, graphs)
    for name, graph in graphs.items():
        status = graph["fields"].index("status")
        for number, (where, fields, taken, refused, outside) in enumerate(found[name]):
            assert where == graph["values"][status][graph["contexts"][number][status]]
            assert fields == len(graph["fields"])
            assert taken == [[str(event), row, after] for event, after, row, _ in graph["moves"][number]]
            assert outside == [[f"g{given}", after] for given, after in graph["outside"][number]]
            why = graph["refusals"][graph["refused"][number]]
            assert refused == [
                [graph["events"][event]["name"], graph["reasons"][reason][0]]
                for event, reason in enumerate(why)
                if reason >= 0
            ]


def test_a_path_is_followed_and_a_wrong_step_stops_it(graphs: dict[str, Any]) -> None:
    graph = graphs["client"]
    start = graph["starts"][0]
    event, after, row, _ = next(move for move in graph["moves"][start["at"]] if move[1] >= 0)
    script = """
      const end = (steps, name) => {
        const { start, trail, wrong } = Explorer.follow(given.graph, name, steps);
        const last = trail[trail.length - 1];
        return [start.name, trail.length, last.context, last.row || "", wrong];
      };
      return [end([given.step], given.start), end([given.step, "9999"], given.start), end([], "nobody")];
    """
    good, bad, unknown = run(script, {"graph": graph, "step": str(event), "start": start["name"]})
    assert good == [start["name"], 2, after, row, ""]
    assert bad == [start["name"], 2, after, row, "step 2 of this address is refused here"]
    assert unknown == [start["name"], 1, start["at"], "", ""]


def test_a_step_beyond_the_data_is_said(graphs: dict[str, Any]) -> None:
    graph = {**graphs["client"], "moves": [[[0, -1, "CLI-1", 0]]], "outside": [[]]}
    script = 'return Explorer.follow(given, "invited", ["0"]).wrong;'
    assert run(script, graph) == "step 1 leads beyond what this page holds"


def test_the_search_finds_ids_first_and_words_after(anchors: Mapping[str, Element]) -> None:
    index = json.loads(anchors["index"].text())
    script = """
      const names = (query) => Explorer.find(given, query, 12).map((one) => one.name);
      return ["fac-7", "FAC-", "poison alternate", "   ", "no such words at all"].map(names);
    """
    exact, prefix, words, nothing, none = run(script, index)
    assert exact[0] == "FAC-7"
    assert len(prefix) == 12
    assert all(name.startswith("FAC-") for name in prefix)
    assert words
    assert (nothing, none) == ([], [])
