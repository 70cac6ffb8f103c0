"""Our own vectors: every test of a file, asked of the reference in this process."""

from __future__ import annotations

from collections.abc import Iterator

from superscalar_ref.conformance.adapter import TableAdapter, reference_machines
from superscalar_ref.conformance.fields import Node
from superscalar_ref.conformance.forms.base import Form
from superscalar_ref.conformance.judge import Verdict, greet, judge
from superscalar_ref.conformance.results import CaseResult, Outcome
from superscalar_ref.conformance.runner import LocalRunner


def _run(document: Node) -> Iterator[CaseResult]:
    from superscalar_ref.conformance.corpus import FORMAT, check_document  # noqa: PLC0415 - the corpus reads the forms

    if document["format"].text() != FORMAT:
        document["format"].fail(f"is not '{FORMAT}'")
    check_document(document.value, document.file)
    runner = LocalRunner(TableAdapter(reference_machines()))
    profile = greet(runner)
    for test in document["tests"]:
        result = judge(runner, profile, test.value)
        outcome = Outcome.OK if result.verdict is Verdict.PASS else Outcome.MISMATCH
        yield CaseResult(result.id, outcome, f"{result.code}: {result.detail}" if result.code else "", "")


FORM = Form(
    "SuperScalar vectors",
    frozenset(
        {
            "format",
            "about",
            "how_to_use",
            "spec_version",
            "corpus_version",
            "layer",
            "count",
            "notes",
            "tests",
        }
    ),
    _run,
)
