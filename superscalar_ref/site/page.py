"""The page: everything that a reviewer reads, put into one HTML file.

Laws of this module:

* The file asks the network for nothing: styles, scripts, drawings and data are inside, and its policy forbids the rest.
* Every id of every table is an anchor, once. What is decided has its verdict; what is not says so.
* What is shown is escaped by the template; ``Markup`` is made in ``text``, ``drawing`` and ``sequence`` alone.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from superscalar_ref import __version__
from superscalar_ref.conformance.trace import Trace
from superscalar_ref.errors import InputError
from superscalar_ref.report.page import templates
from superscalar_ref.site.drawing import diagram
from superscalar_ref.site.found import Checked, Conformed, Loss, Variants
from superscalar_ref.site.graph import ways
from superscalar_ref.site.sequence import svg
from superscalar_ref.site.tables import DECISION, index, lines, read, tables_of
from superscalar_ref.site.text import Anchors, Rendered, render
from superscalar_ref.spec.findings import Finding
from superscalar_ref.spec.load import identifiers
from superscalar_ref.spec.specification import Specification
from superscalar_ref.spec.table import Machine

_TEMPLATES = Path(__file__).resolve().parent / "templates"


@dataclass(frozen=True)
class Material:
    """What the page is made of."""

    specification: Specification
    findings: tuple[Finding, ...]
    trace: Trace
    graphs: Mapping[str, Mapping[str, Any]]
    """What the explorer walks through, by machine."""
    checked: Checked | None = None
    variants: Variants | None = None
    conformed: tuple[Conformed, ...] = ()
    drawings: Path | None = None
    """Where drawings that are current may be."""
    with_tests: bool = True
    """Whether the tests were there to be read."""


def page(material: Material) -> str:
    """Return the HTML. Raises InputError, SpecError."""
    specification = material.specification
    root = specification.directory
    tables = tuple(tables_of(root))
    requirements = {one.id: one for one in material.trace.requirements}
    in_tables = {name for name, _ in identifiers(specification)}
    decisions = {name for name, _ in DECISION.findall(read(root / "chapters" / "decisions.md"))}
    parameters = {one.name: f"parameter.{one.name}" for one in specification.parameters.parameters}
    anchors = Anchors(in_tables | set(requirements) | decisions, set(in_tables), parameters)
    chapters = _chapters(root)

    machines = {machine.name: (machine, *_drawn(machine, material.drawings)) for machine in specification.machines}

    def drawing(name: str) -> str:
        return f'<div class="diagram" tabindex="0">{machines[name][1]}</div>'

    sources = {"reading": root / "README.md", **{f"text-{path.stem}": path for path in chapters}}
    texts = {
        name: render(_without_trace(read(path)), name, anchors, drawing, set(sources)) for name, path in sources.items()
    }
    lost = _losses(material)
    environment = templates(_TEMPLATES)
    environment.filters["words"] = anchors.words
    scripts = {name: Markup(read(_TEMPLATES / name)) for name in ("explorer.js", "site.js")}  # our own
    codes: Mapping[str, Any] = json.loads(read(root / "vectors" / "about" / "codes.json"))["codes"]
    return environment.get_template("site.html").render(
        version=__version__,
        css=Markup(read(_TEMPLATES / "site.css")),  # our own
        scripts=scripts,
        policy=" ".join(_digest(str(text)) for text in scripts.values()),
        texts=texts,
        machines=list(machines.values()),
        parameters=specification.parameters,
        properties=specification.properties,
        decided={row.property: row for row in material.checked.properties} if material.checked else {},
        lemmas={row.id: row for row in material.checked.lemmas} if material.checked else {},
        variants=specification.variants,
        judged={row.variant: row for row in material.variants.variants} if material.variants else {},
        lost={name: svg(loss) for name, loss in lost.items()},
        losses=lost,
        findings=[(one, _finding(one, anchors, drawing, set(sources))) for one in material.findings],
        tables=tables,
        codes={code: (one["layer"], tuple(lines(one["says"]))) for code, one in codes.items()},
        requirements=requirements,
        with_tests=material.with_tests,
        faults=material.trace.faults,
        machine_of={row.id: machine.name for machine in specification.machines for row in machine.transitions},
        conformed=material.conformed,
        matrix=matrix(material.conformed, list(requirements)),
        graphs=material.graphs,
        ways={row: way for graph in material.graphs.values() for row, way in ways(graph).items()},
        data=Markup(inside(material.graphs)),
        index=Markup(inside(index(specification, material.findings, tables, list(requirements.values()), texts))),
    )


def matrix(conformed: Sequence[Conformed], order: Sequence[str] = ()) -> dict[str, list[dict[str, int]]]:
    """For each rule, and for each implementation in its order, how many tests have each verdict.

    Rules come in ``order``, and those that it has not come last.
    """
    found: dict[str, list[dict[str, int]]] = {}
    for number, one in enumerate(conformed):
        for answer in one.results:
            for rule in answer.rules:
                cells = found.setdefault(rule, [{} for _ in conformed])
                cells[number][answer.verdict] = cells[number].get(answer.verdict, 0) + 1
    return {rule: found[rule] for rule in (*(one for one in order if one in found), *found)}


def _chapters(root: Path) -> tuple[Path, ...]:
    """The chapters as their first page lists them, then what it does not list."""
    folder = root / "chapters"
    listed = [folder / name for name in re.findall(r"\]\(([\w-]+\.md)\)", read(folder / "README.md"))]
    return tuple(dict.fromkeys((folder / "README.md", *listed, *sorted(folder.glob("*.md")))))


def _without_trace(text: str) -> str:
    """A chapter without its copy of the requirements: the page has them with code and tests."""
    return re.sub(
        r"<!-- generated: trace -->.*?<!-- end -->", "See *Traceability* on this page.", text, flags=re.DOTALL
    )


def _finding(finding: Finding, anchors: Anchors, drawing: Any, pages: set[str]) -> Rendered:
    body = finding.text.partition("\n")[2]
    return render(body, finding.id, anchors, drawing, pages)


def _losses(material: Material) -> dict[str, Loss]:
    """What is lost, by the property or the wrong design that loses it."""
    found: dict[str, Loss] = {}
    for row in material.checked.properties if material.checked else ():
        if row.trace is not None:
            found[row.property] = row.trace
    for judged in material.variants.variants if material.variants else ():
        if judged.trace is not None:
            found[judged.variant] = judged.trace
    return found


def _drawn(machine: Machine, folder: Path | None) -> tuple[Markup, str]:
    """A machine's diagram and an empty text; or nothing, and why it cannot be drawn."""
    try:
        return diagram(machine, folder), ""
    except InputError as error:
        return Markup(), str(error)


def inside(value: object) -> str:
    """JSON that may stand inside a script element: it has no '<'."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _digest(script: str) -> str:
    """The name by which a page's policy admits a script."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode('utf-8')).digest()).decode('ascii')}'"
