"""Wrong designs: each must break the property that it says, for whom it says, by what it says."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

from superscalar_ref.check.judge import KNOWN, Design, Job, jobs, merge, run_job
from superscalar_ref.check.meter import Meter
from superscalar_ref.check.poison_ceremony import SECRETS
from superscalar_ref.check.running import run_jobs
from superscalar_ref.check.stated import PLAYED, state
from superscalar_ref.check.trace import Trace, as_json
from superscalar_ref.check.verdict import Verdict
from superscalar_ref.check.world import LSP, Plot
from superscalar_ref.errors import SpecError
from superscalar_ref.spec.table import Variant
from superscalar_ref.spec.variants import apply_variant, stated

OPTIONS: dict[str, tuple[object, ...]] = {
    "configuration": (),
    "kickoffs": ("every", "root"),
    "nonce_survives_crash": (False, True),
    "sales": ("chain", "replace", "sibling"),
    "records": ("kept", "lost"),
    "poison": ("after", "with", "before", "stock", "links", "none", *SECRETS),
    "counters": ("grow", "restart"),
    "life": ("fixed", "extended"),
    "commitments": ("both", "client"),
    "amounts": ("msat", "sat", "early"),
    "revoked": ("every", "client", "lsp", "newest"),
    "moving": ("every", "newest", "first"),
    "handover": ("paid", "first"),
    "htlc_scripts": ("two-stage", "one-stage"),
    "htlc_expiry": ("exit", "delta"),
    "htlc_forward": ("early", "late"),
    "exit_order": ("money", "key"),
    "alternates_pay": ("whole", "equal", "balance"),
    "tower": ("kept", "none"),
}
"""What a variant may say under ``[options]``, beside its patches: the values of each; none: any text."""
LOSSES = ("theft", "ransom")
"""The words that ``by`` may say; a number is in units."""


@dataclass(frozen=True)
class Outcome:
    """What became of a variant."""

    variant: Variant
    verdicts: tuple[Verdict, ...]
    """On the property that it must break, or on those that it claims to keep."""
    problem: str
    """Why it is not as expected; empty when it is."""
    remarks: tuple[str, ...] = ()
    """What the numbers that it states settle."""

    @property
    def verdict(self) -> Verdict | None:
        """The first that is refuted, else the first."""
        return next((v for v in self.verdicts if v.trace is not None), self.verdicts[0] if self.verdicts else None)

    @property
    def trace(self) -> Trace | None:
        """The loss that was found."""
        return self.verdict.trace if self.verdict is not None else None

    def line(self) -> str:
        """One line for people."""
        trace = self.trace
        lost = f"{trace.hero} loses {trace.lost} ({trace.loss})" if trace and trace.rounds else ""
        word = "UNEXPECTED" if self.problem else "refuted" if trace else "holds"
        found = lost or (f"{trace.hero}: {trace.note}" if trace else self._kept())
        detail = f"{self.problem}; {found}" if self.problem and trace else self.problem or found
        return f"{word:<10} {self.variant.id:<26} {self.variant.breaks or 'keeps':<26} {detail}"

    def _kept(self) -> str:
        return f"{' and '.join(self.variant.keeps)} hold" if self.variant.keeps else "every property holds"

    def as_json(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "variant": self.variant.id,
            "breaks": self.variant.breaks,
            "as_expected": not self.problem,
            "problem": self.problem,
            "remarks": list(self.remarks),
            "trace": None if self.trace is None else as_json(self.trace),
        }


def changed(design: Design, variant: Variant) -> tuple[Design, tuple[str, ...]]:
    """The design with a variant's patches and options, and a sentence on each constraint that its numbers settle.

    Raises ``SpecError`` (``file:line``) for an option that does not exist, and for a number that no game looks at.
    """
    options = dict(variant.options)
    for name, value in options.items():
        if name not in OPTIONS:
            raise SpecError(str(variant.place), f"there is no option '{name}'; known: {', '.join(OPTIONS)}", "option")
        if OPTIONS[name] and (value not in OPTIONS[name] or type(value) is not type(OPTIONS[name][0])):
            known = ", ".join(str(one).lower() for one in OPTIONS[name])
            raise SpecError(str(variant.place), f"the option '{name}' is {value!r}; it may be {known}", "option")
    configurations = design.configurations
    wanted = options.get("configuration")
    if wanted is not None:
        configurations = tuple(c for c in configurations if c.id == wanted)
        if not configurations:
            raise SpecError(str(variant.place), f"no configuration '{wanted}' is among those played", "option")
    plot = Plot(
        kickoffs=str(options.get("kickoffs", "every")),
        nonce_survives_crash=bool(options.get("nonce_survives_crash", False)),
        sales=str(options.get("sales", "chain")),
        records=str(options.get("records", "kept")),
        poison=str(options.get("poison", "after")),
        counters=str(options.get("counters", "grow")),
        life=str(options.get("life", "fixed")),
        commitments=str(options.get("commitments", "both")),
        amounts=str(options.get("amounts", "msat")),
        revoked=str(options.get("revoked", "every")),
        moving=str(options.get("moving", "every")),
        handover=str(options.get("handover", "paid")),
        htlc_scripts=str(options.get("htlc_scripts", "two-stage")),
        htlc_expiry=str(options.get("htlc_expiry", "exit")),
        htlc_forward=str(options.get("htlc_forward", "early")),
        exit_order=str(options.get("exit_order", "money")),
        alternates_pay=str(options.get("alternates_pay", "whole")),
        tower=str(options.get("tower", "kept")),
    )
    specification = apply_variant(design.specification, variant)
    before = design.specification.parameters
    numbers = {name: place for name, place in stated(variant).items() if isinstance(before[name].default, int)}
    for name, place in numbers.items():
        if name not in PLAYED:
            raise SpecError(
                str(place), f"set_parameter: no game looks at '{name}': it shows nothing here", "small-world"
            )
    settled = state(specification.parameters, before, numbers)
    specification = replace(specification, parameters=settled.parameters)
    return replace(design, specification=specification, configurations=configurations, plot=plot), settled.remarks


@dataclass(frozen=True)
class Search:
    """What is done for each job of a wrong design: it is searched up to its first loss."""

    design: Design
    properties: tuple[str, ...]

    def __call__(self, job: Job, meter: Meter) -> list[Verdict]:
        """As ``run_job``."""
        return run_job(self.design, job, self.properties, True, meter)


def judge_variant(design: Design, variant: Variant, cores: int = 1, meter: Meter | None = None) -> Outcome:
    """Judge one wrong design against the property that it must break, up to the first loss.

    ``meter`` counts what is looked at; what its ``watch`` raises ends the search. Raises ``SpecError`` as ``changed``.
    """
    wrong, remarks = changed(design, variant)
    properties = (variant.breaks,) if variant.breaks else variant.keeps or KNOWN
    todo = list(enumerate(jobs(wrong, properties)))
    found: list[Verdict] = []
    with closing(run_jobs(Search(wrong, properties), todo, cores, True, meter or Meter())) as results:
        for _, verdicts in results:
            found += verdicts
            if any(verdict.trace is not None for verdict in verdicts):
                break
    outcome = Outcome(variant, tuple(merge(found)), "", remarks)
    return replace(outcome, problem=problem(variant, outcome.trace))


@dataclass(frozen=True)
class Judging:
    """Judging one variant after the other, in whatever process: what ``run_jobs`` runs."""

    design: Design

    def __call__(self, variant: Variant, meter: Meter) -> Outcome:
        """As ``judge_variant``."""
        return judge_variant(self.design, variant, meter=meter)


def problem(variant: Variant, trace: Trace | None) -> str:
    """What a variant says about its loss and is not so; empty when all of it is."""
    if not variant.breaks:
        what = "these properties" if variant.keeps else "every property"
        return "" if trace is None else f"it says that it keeps {what}, and {trace.broken} is refuted"
    if trace is None:
        return f"{variant.breaks} still holds"
    signing = trace.configuration == "ceremonies"
    role = "signer" if signing else "lsp" if trace.hero == LSP else "client"
    if variant.hero and variant.hero != role:
        return f"it is the {role} that loses, not the {variant.hero}"
    if isinstance(variant.by, int) and trace.lost != variant.by:
        return f"{trace.hero} loses {trace.lost}, not {variant.by}"
    if isinstance(variant.by, str) and variant.by and variant.by not in LOSSES:
        return f"'by' is {variant.by!r}; it may be a number of units, {' or '.join(LOSSES)}"
    if isinstance(variant.by, str) and variant.by and trace.loss != variant.by:
        return f"it is {trace.loss}, not {variant.by}"
    return ""
