"""The report of a run for people: Markdown, one offline page of HTML, and a failure as a sequence diagram.

Laws of this module:

* The first lines are the reasons that a pass may mean little.
* Everything that an adapter said is escaped: it is somebody else's text.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from html import escape

from superscalar_ref.conformance.judge import Result, Verdict
from superscalar_ref.conformance.kit import Run, claim, doubts
from superscalar_ref.errors import one_line

_ORDER = (Verdict.ERROR, Verdict.FAIL, Verdict.NON_STRICT, Verdict.INFORMATIONAL, Verdict.SKIPPED, Verdict.PASS)
_MARKS = {
    Verdict.PASS: "✅",
    Verdict.FAIL: "❌",
    Verdict.ERROR: "💥",
    Verdict.NON_STRICT: "⚠️",
    Verdict.INFORMATIONAL: "ℹ️",
    Verdict.SKIPPED: "·",
}
_LONGEST = 120


def by_rule(done: Run) -> Iterator[tuple[str, dict[Verdict, int]]]:
    """For each rule that a test is about, how many tests have each verdict; rules in the order of their text."""
    counts: dict[str, dict[Verdict, int]] = defaultdict(lambda: defaultdict(int))
    for one in done.results:
        for rule in one.rules or ("(no rule)",):
            counts[rule][one.verdict] += 1
    for rule in sorted(counts, key=_natural):
        yield rule, counts[rule]


def _natural(text: str) -> tuple[object, ...]:
    prefix, _, number = text.rpartition("-")
    return (prefix, int(number)) if number.isdigit() else (text, 0)


def _head(done: Run) -> Iterator[str]:
    for reason in doubts(done):
        yield f"Mind: {reason}."
    counts = done.counts()
    yield ", ".join(f"{counts[verdict]} {verdict}" for verdict in _ORDER if counts[verdict])
    yield f"{claim(done)}." if done.exit_code == 0 else "No claim: something failed, or nothing was tested."


def _bad(done: Run) -> Iterator[Result]:
    fine = (Verdict.PASS, Verdict.SKIPPED)
    yield from sorted(
        (one for one in done.results if one.verdict not in fine), key=lambda one: _ORDER.index(one.verdict)
    )


def as_markdown(done: Run) -> str:
    """The run as Markdown: doubts, counts, failures, and the matrix rule × verdict."""
    lines = [f"# {_plain(done.profile.name)} {_plain(done.profile.version)}", ""]
    lines += [f"- {_plain(line)}" for line in _head(done)]
    lines += ["", "| verdict | test | rules | how | what |", "| --- | --- | --- | --- | --- |"]
    for one in _bad(done):
        cells = (_marked(one), one.id, ", ".join(one.rules), _plain(one.code), _plain(one.detail))
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", f"| rule | {' | '.join(map(str, _ORDER))} |", "|" + " --- |" * (len(_ORDER) + 1)]
    lines += [
        f"| {rule} | {' | '.join(str(counts.get(verdict, '')) for verdict in _ORDER)} |"
        for rule, counts in by_rule(done)
    ]
    return "\n".join(lines) + "\n"


def _plain(text: str) -> str:
    return re.sub(r"([\\|<>`*_\[\]])", r"\\\1", one_line(text))


def _marked(one: Result) -> str:
    return f"{_MARKS[one.verdict]} {one.verdict}"


def as_html(done: Run) -> str:
    """The same as one page that needs nothing else."""
    title = escape(one_line(f"{done.profile.name} {done.profile.version}"))
    head = "".join(f"<li>{escape(one_line(line))}</li>" for line in _head(done))
    failures = [(_marked(one), one.id, ", ".join(one.rules), one.code, one.detail) for one in _bad(done)]
    matrix = [(rule, *(str(counts.get(verdict, "")) for verdict in _ORDER)) for rule, counts in by_rule(done)]
    parts = (
        "<!doctype html><html lang='en'><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width, initial-scale=1'>",
        f"<title>{title}</title><style>{_STYLE}</style><h1>{title}</h1><ul>{head}</ul>",
        "<h2>What did not pass</h2>",
        _grid(("verdict", "test", "rules", "how", "what"), failures),
        "<h2>By rule</h2>",
        _grid(("rule", *map(str, _ORDER)), matrix),
        "</html>",
    )
    return "\n".join(parts) + "\n"


def _grid(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table of escaped cells that scrolls by itself on a narrow screen."""
    lines = ["<tr>" + "".join(f"<th>{escape(cell)}</th>" for cell in head) + "</tr>"]
    lines += ["<tr>" + "".join(f"<td>{escape(one_line(cell))}</td>" for cell in row) + "</tr>" for row in rows]
    return "<div><table>" + "\n".join(lines) + "</table></div>"


_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}"
    "div{overflow-x:auto}table{border-collapse:collapse}td,th{border:1px solid #ccc;padding:.2rem "
    ".6rem;text-align:left}"
    "@media(prefers-color-scheme:dark){body{background:#111;color:#ddd}}"
)


def as_sequence(one: Result) -> str:
    """What the kit and the adapter said to each other, as a Mermaid sequence diagram."""
    lines = ["sequenceDiagram", "    participant K as kit", "    participant A as adapter"]
    for request, reply in one.trace:
        said = {key: value for key, value in request.items() if key != "cmd"}
        lines.append(f"    K->>A: {_label(str(request.get('cmd')), said)}")
        if "fault" in reply:
            lines.append(f"    A--xK: {_label('fault', reply['fault'])}")
        else:
            outcome = next((key for key in ("ok", "reject", "unsupported", "error") if key in reply), "?")
            lines.append(f"    A-->>K: {_label(outcome, reply.get(outcome))}")
    lines.append(f"    Note over K,A: {_label(str(one.verdict), f'{one.code} {one.detail}')}")
    return "\n".join(lines) + "\n"


def _label(word: str, what: object) -> str:
    """One line without what means something to Mermaid."""
    text = re.sub(r"[^\w .,:'=+/()\[\]{}-]", " ", one_line(f"{word} {what}"))
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
