"""The files of a report: results, JUnit, pages, and a folder for each failure."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from xml.etree import ElementTree

from superscalar_ref.conformance.judge import Result, Verdict
from superscalar_ref.conformance.kit import Run, plain_result
from superscalar_ref.conformance.pages import as_html, as_markdown, as_sequence
from superscalar_ref.errors import InputError, one_line


def write_report(done: Run, folder: Path, adapter: str, diagnosis: str = "") -> None:
    """Write results.jsonl, junit.xml, report.md, report.html and a folder for each failure.

    The folder has the trace, the same as a sequence diagram, how to repeat it, and the adapter's own words.

    Raises InputError when that is impossible.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lines = [json.dumps(plain_result(one), ensure_ascii=False) for one in done.results]
        (folder / "results.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        (folder / "junit.xml").write_bytes(ElementTree.tostring(_junit(done), encoding="utf-8", xml_declaration=True))
        (folder / "report.md").write_text(as_markdown(done), encoding="utf-8")
        (folder / "report.html").write_text(as_html(done), encoding="utf-8")
        for one in done.results:
            if one.verdict not in (Verdict.PASS, Verdict.SKIPPED):
                _write_failure(one, folder / one.id, adapter, diagnosis)
    except OSError as error:
        raise InputError(str(folder), error.strerror or "cannot be written", "--report") from error


def _write_failure(one: Result, folder: Path, adapter: str, diagnosis: str) -> None:
    folder.mkdir(exist_ok=True)
    requests = [json.dumps({"seq": number, **request}) for number, (request, _) in enumerate(one.trace, start=1)]
    (folder / "requests.jsonl").write_text("\n".join(requests) + "\n", encoding="utf-8")
    trace = [{"request": request, "reply": reply} for request, reply in one.trace]
    (folder / "trace.json").write_text(json.dumps(trace, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / "sequence.mmd").write_text(as_sequence(one), encoding="utf-8")
    (folder / "stderr.txt").write_text(diagnosis, encoding="utf-8")
    requests_file = shlex.quote(str((folder / "requests.jsonl").resolve()))
    here = shlex.quote(str(Path.cwd()))
    script = f"#!/bin/sh\n# {one_line(one.id)}: {one.code}\ncd {here} && exec {adapter} < {requests_file}\n"
    (folder / "repeat.sh").write_text(script, encoding="utf-8")


def _junit(done: Run) -> ElementTree.Element:
    counts = done.counts()
    suite = ElementTree.Element(
        "testsuite",
        name="superscalar",
        tests=str(len(done.results)),
        failures=str(counts[Verdict.FAIL]),
        errors=str(counts[Verdict.ERROR]),
        skipped=str(counts[Verdict.SKIPPED]),
    )
    for one in done.results:
        case = ElementTree.SubElement(suite, "testcase", classname=one.profile, name=one.id)
        tag = {Verdict.SKIPPED: "skipped", Verdict.ERROR: "error", Verdict.FAIL: "failure"}.get(one.verdict)
        if tag is not None:
            # XML has no way to write most control characters.
            message = re.sub(r"[^\x20-\x7e\u00a0-\ud7ff]", "?", f"{one.code}: {one.detail}")
            ElementTree.SubElement(case, tag, message=message)
    return suite
