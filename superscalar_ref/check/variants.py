"""Wrong designs: each must break the property that it says, for whom it says, by what it says."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from superscalar_ref.check.judge import Design, judge
from superscalar_ref.check.trace import as_json
from superscalar_ref.check.verdict import Verdict
from superscalar_ref.check.world import LSP, Plot
from superscalar_ref.errors import SpecError
from superscalar_ref.spec.table import Variant
from superscalar_ref.spec.variants import apply_variant

OPTIONS = ("configuration", "kickoffs", "nonce_survives_crash")
"""What a variant may say under ``[options]``, beside its patches."""


@dataclass(frozen=True)
class Outcome:
    """What became of a variant."""

    variant: Variant
    verdict: Verdict | None
    """None when the variant claims to keep every property."""
    problem: str
    """Why it is not as expected; empty when it is."""

    def line(self) -> str:
        """One line for people."""
        word = "UNEXPECTED" if self.problem else "refuted"
        trace = self.verdict.trace if self.verdict else None
        lost = f"{trace.hero} loses {trace.lost} ({trace.loss})" if trace and trace.rounds else ""
        detail = self.problem or lost or (trace.note if trace else "")
        return f"{word:<10} {self.variant.id:<26} {self.variant.breaks:<26} {detail}"

    def as_json(self) -> dict[str, Any]:
        """The same for programs."""
        trace = self.verdict.trace if self.verdict else None
        return {
            "variant": self.variant.id,
            "breaks": self.variant.breaks,
            "as_expected": not self.problem,
            "problem": self.problem,
            "trace": None if trace is None else as_json(trace),
        }


def changed(design: Design, variant: Variant) -> Design:
    """The design with a variant's patches and options. Raises ``SpecError`` for an option that does not exist."""
    options = dict(variant.options)
    for name in options:
        if name not in OPTIONS:
            raise SpecError(str(variant.place), f"there is no option '{name}'; known: {', '.join(OPTIONS)}", "option")
    configurations = design.configurations
    wanted = options.get("configuration")
    if wanted is not None:
        configurations = tuple(c for c in configurations if c.id == wanted)
        if not configurations:
            raise SpecError(str(variant.place), f"no configuration '{wanted}' is among those played", "option")
    plot = Plot(
        kickoffs=str(options.get("kickoffs", "every")),
        nonce_survives_crash=bool(options.get("nonce_survives_crash", False)),
    )
    return replace(
        design,
        specification=apply_variant(design.specification, variant),
        configurations=configurations,
        plot=plot,
    )


def judge_variant(design: Design, variant: Variant, cores: int = 1) -> Outcome:
    """Judge one wrong design against the property that it must break."""
    verdicts = judge(changed(design, variant), [variant.breaks], cores=cores, quick=True)
    verdict = verdicts[0] if verdicts else None
    return Outcome(variant, verdict, _problem(variant, verdict))


def _problem(variant: Variant, verdict: Verdict | None) -> str:
    if verdict is None or verdict.trace is None:
        return f"{variant.breaks} still holds"
    trace = verdict.trace
    role = "lsp" if trace.hero == LSP else "client"
    if variant.hero and variant.hero not in (role, "signer"):
        return f"it is the {role} that loses, not the {variant.hero}"
    if isinstance(variant.by, int) and trace.lost != variant.by:
        return f"{trace.hero} loses {trace.lost}, not {variant.by}"
    if isinstance(variant.by, str) and variant.by in ("theft", "ransom") and trace.loss != variant.by:
        return f"it is {trace.loss}, not {variant.by}"
    return ""
