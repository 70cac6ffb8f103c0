"""Proofs for all parameter values: each lemma of ``spec/lemmas.toml`` over the constraints of ``spec/parameters.toml``.

Laws of this module:

* The constraints are those that the planner and the core evaluate, from the same parsed form. Change one in a copy of
  ``spec/`` and the verdict changes.
* A lemma holds when nothing within the parameters' ranges keeps its constraints and what is given, and breaks its
  claim. A lemma about nothing (what is given never happens) does not hold, and a question that z3 leaves open is
  ``unknown``: neither is ever a proof.
* A constraint is *needed* by a lemma when some values keep every other constraint of the file and break the claim.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from superscalar_ref.check.proof_lemmas import Lemma, Theory, load_theory
from superscalar_ref.check.proof_smt import Answer, Unknowns
from superscalar_ref.errors import InputError
from superscalar_ref.spec.expression import Comparison, Domain, Expression, Name, Not, names
from superscalar_ref.spec.parameters import Constraint, ParameterSet

_BLOCKS_A_DAY = 144


class Verdict(StrEnum):
    """What became of a lemma."""

    HOLDS = "holds"
    REFUTED = "refuted"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Value:
    """One number or word of a counterexample: a parameter or a moment."""

    name: str
    value: int | str
    unit: str
    says: str

    def __str__(self) -> str:
        if self.unit != "blocks" or not isinstance(self.value, int):
            return f"{self.name} = {self.value}"
        days = f" ({self.value / _BLOCKS_A_DAY:.1f} days)" if self.value >= _BLOCKS_A_DAY else ""
        return f"{self.name} = {self.value} block{'' if self.value == 1 else 's'}{days}"


@dataclass(frozen=True)
class Counterexample:
    """Values within the parameters' ranges for which a lemma's claim is false, and who loses by it."""

    lemma: str
    loses: str
    loss: str
    claim: str
    parameters: tuple[Value, ...]
    """Those that the lemma or the dropped constraint speaks of, or that differ from their default."""
    moments: tuple[Value, ...]
    complete: tuple[tuple[str, int | str], ...]
    """Every parameter and moment, by name."""

    def lines(self) -> tuple[str, ...]:
        """The story for people: who loses, with which parameters, at which heights."""
        said = [f"{self.loses} loses: {self.loss}"]
        said += [f"    {value}" for value in self.parameters]
        said += [f"  → {value.name} {value.value}: {value.says}" for value in self.moments]
        return (*said, f"  ✗ {self.claim}")


@dataclass(frozen=True)
class Proof:
    """What was found out about one lemma."""

    lemma: str
    says: str
    verdict: Verdict
    counterexample: Counterexample | None
    """Only when refuted."""
    needed: tuple[tuple[str, Counterexample], ...]
    """Constraint → what goes wrong without it, all others kept."""
    unneeded: tuple[str, ...]
    """Constraints that the lemma names and that can be dropped: the others of the file still prove it."""
    open: tuple[str, ...]
    """Constraints of which z3 could not say whether the lemma needs them."""
    missing: tuple[str, ...]
    """Constraints that the lemma names and that the file does not have."""
    seconds: float = field(compare=False)

    def lines(self, needed: bool = False) -> tuple[str, ...]:
        """One line for people; with ``needed`` also what each constraint prevents."""
        ids = [identity for identity, _ in self.needed]
        notes = [f"needs {', '.join(ids)}"] if ids else []
        notes += [f"not needed: {', '.join(self.unneeded)}"] if self.unneeded else []
        notes += [f"undecided: {', '.join(self.open)}"] if self.open else []
        notes += [f"absent: {', '.join(self.missing)}"] if self.missing else []
        tail = f" ({'; '.join(notes)})" if notes else ""
        said = [f"{self.verdict:<8} {self.lemma}: {self.says}{tail}"]
        if self.counterexample is not None:
            said += [f"  {line}" for line in self.counterexample.lines()]
        if needed:
            for identity, example in self.needed:
                said.append(f"  without {identity}:")
                said += [f"    {line}" for line in example.lines()]
        return tuple(said)


@dataclass(frozen=True)
class Why:
    """What one constraint prevents: for each lemma that needs it, a loss without it."""

    constraint: str
    says: str
    why: str
    expr: str
    losses: tuple[Counterexample, ...]

    def lines(self) -> tuple[str, ...]:
        """The constraint in words, and each loss as a story."""
        said = [f"{self.constraint}: {self.says}", f"  {self.expr}", f"  {self.why}"]
        if not self.losses:
            said.append("  No lemma needs it.")
        for loss in self.losses:
            said.append(f"  Without it {loss.lemma} is false:")
            said += [f"    {line}" for line in loss.lines()]
        return tuple(said)


def prove_all(spec_directory: Path | None = None, parameters: ParameterSet | None = None) -> tuple[Proof, ...]:
    """Prove each lemma, in the order of the file.

    ``parameters`` replaces those of the directory (a variant's, say). Raises SpecError (``file:line``).
    """
    theory = load_theory(spec_directory, parameters)
    return tuple(_prove(theory, lemma) for lemma in theory.lemmas)


def prove(lemma_id: str, spec_directory: Path | None = None, parameters: ParameterSet | None = None) -> Proof:
    """Prove one lemma. Raises InputError for an id that the file does not have, SpecError (``file:line``)."""
    theory = load_theory(spec_directory, parameters)
    return _prove(theory, _lemma(theory, lemma_id))


def why_constraint(
    constraint_id: str, spec_directory: Path | None = None, parameters: ParameterSet | None = None
) -> Why:
    """Find the losses that one constraint prevents. Raises InputError for an unknown id, SpecError (``file:line``)."""
    theory = load_theory(spec_directory, parameters)
    try:
        constraint = theory.parameters.constraint(constraint_id)
    except KeyError:
        known = ", ".join(item.id for item in theory.parameters.constraints)
        raise InputError(
            f"'{constraint_id}'", f"there is no such constraint; there are {known}", "constraint"
        ) from None
    losses = []
    for lemma in theory.lemmas:
        if constraint_id in lemma.constraints:
            _, example = _without(theory, lemma, constraint)
            if example is not None:
                losses.append(example)
    return Why(constraint.id, constraint.says, constraint.why, constraint.text, tuple(losses))


def loss_at(
    lemma_id: str,
    values: Mapping[str, int | str],
    spec_directory: Path | None = None,
    parameters: ParameterSet | None = None,
) -> Counterexample | None:
    """Say how the claim of a lemma fails when these parameters have these values, the others their defaults.

    No constraint is assumed: this is what a deployment that ignores them gets. None when the claim cannot fail.
    Raises InputError for an unknown lemma or parameter, a value out of range, or when z3 leaves the question open;
    SpecError (``file:line``).
    """
    theory = load_theory(spec_directory, parameters)
    return _loss_at(theory, _lemma(theory, lemma_id), _chosen(theory, values))


def losses_at(
    values: Mapping[str, int | str],
    spec_directory: Path | None = None,
    parameters: ParameterSet | None = None,
) -> tuple[Counterexample, ...]:
    """Every loss that these values allow, the other parameters having their defaults: none for a sound deployment.

    Raises what ``loss_at`` raises.
    """
    theory = load_theory(spec_directory, parameters)
    chosen = _chosen(theory, values)
    losses = (_loss_at(theory, lemma, chosen) for lemma in theory.lemmas)
    return tuple(loss for loss in losses if loss is not None)


def independent(spec_directory: Path | None = None, parameters: ParameterSet | None = None) -> dict[str, bool]:
    """Say for each constraint whether some values break it and keep all others: one that does not is useless.

    A question that z3 leaves open counts as not shown. Raises SpecError (``file:line``).
    """
    theory = load_theory(spec_directory, parameters)
    found = {}
    for constraint in theory.parameters.constraints:
        unknowns = Unknowns(_domains(theory, None))
        unknowns.add(_others(theory, constraint, unknowns))
        unknowns.add([_negated(unknowns, constraint.expression)])
        found[constraint.id] = unknowns.ask() is Answer.POSSIBLE
    return found


def _lemma(theory: Theory, lemma_id: str) -> Lemma:
    try:
        return theory.lemma(lemma_id)
    except KeyError:
        known = ", ".join(lemma.id for lemma in theory.lemmas)
        raise InputError(f"'{lemma_id}'", f"there is no such lemma; there are {known}", "lemma") from None


def _chosen(theory: Theory, values: Mapping[str, int | str]) -> dict[str, int | str]:
    chosen: dict[str, int | str] = {item.name: item.default for item in theory.parameters.parameters}
    for name, value in values.items():
        if name not in theory.parameters:
            raise InputError("parameters", f"there is no parameter '{name}'", "parameter")
        fault = theory.parameters[name].fault(value)
        if fault is not None:
            raise InputError("parameters", fault, name)
        chosen[name] = value
    return chosen


def _loss_at(theory: Theory, lemma: Lemma, chosen: Mapping[str, int | str]) -> Counterexample | None:
    unknowns = _unknowns(theory, lemma)
    _assume(unknowns, lemma, ())
    unknowns.add(unknowns.pinned(name, value) for name, value in chosen.items())
    answer, example = _refute(theory, lemma, unknowns, ())
    if answer is Answer.UNKNOWN:
        raise InputError(lemma.id, "z3 leaves it open for these values", "unfinished")
    return example


def _domains(theory: Theory, lemma: Lemma | None) -> dict[str, Domain]:
    domains = {parameter.name: parameter.domain for parameter in theory.parameters.parameters}
    for moment in lemma.moments if lemma else ():
        domains[moment.name] = Domain(choices=moment.choices)
    return domains


def _unknowns(theory: Theory, lemma: Lemma) -> Unknowns:
    return Unknowns(_domains(theory, lemma))


def _negated(unknowns: Unknowns, expression: Expression) -> Any:
    return unknowns.formula(Not(expression))


def _assume(unknowns: Unknowns, lemma: Lemma, constraints: Sequence[Constraint]) -> None:
    """Assume what is given, and these constraints."""
    unknowns.add(unknowns.formula(expression) for expression in lemma.given)
    unknowns.add(unknowns.formula(constraint.expression) for constraint in constraints)


def _others(theory: Theory, dropped: Constraint, unknowns: Unknowns) -> list[Any]:
    return [
        unknowns.formula(constraint.expression)
        for constraint in theory.parameters.constraints
        if constraint.id != dropped.id
    ]


def _prove(theory: Theory, lemma: Lemma) -> Proof:
    started = time.perf_counter()
    known = {constraint.id: constraint for constraint in theory.parameters.constraints}
    assumed = [known[identity] for identity in lemma.constraints if identity in known]
    verdict, example = _verdict(theory, lemma, assumed)
    needed: list[tuple[str, Counterexample]] = []
    unneeded: list[str] = []
    undecided: list[str] = []
    for constraint in assumed if verdict is Verdict.HOLDS else ():
        answer, loss = _without(theory, lemma, constraint)
        if loss is not None:
            needed.append((constraint.id, loss))
        elif answer is Answer.IMPOSSIBLE:
            unneeded.append(constraint.id)
        else:
            undecided.append(constraint.id)
    return Proof(
        lemma=lemma.id,
        says=lemma.says,
        verdict=verdict,
        counterexample=example,
        needed=tuple(needed),
        unneeded=tuple(unneeded),
        open=tuple(undecided),
        missing=tuple(identity for identity in lemma.constraints if identity not in known),
        seconds=time.perf_counter() - started,
    )


def _verdict(theory: Theory, lemma: Lemma, assumed: Sequence[Constraint]) -> tuple[Verdict, Counterexample | None]:
    unknowns = _unknowns(theory, lemma)
    _assume(unknowns, lemma, assumed)
    if unknowns.ask() is not Answer.POSSIBLE:
        return Verdict.UNKNOWN, None
    answer, example = _refute(theory, lemma, unknowns, ())
    if example is not None:
        return Verdict.REFUTED, example
    return (Verdict.HOLDS if answer is Answer.IMPOSSIBLE else Verdict.UNKNOWN), None


def _without(theory: Theory, lemma: Lemma, dropped: Constraint) -> tuple[Answer, Counterexample | None]:
    """Look for values that keep every constraint but ``dropped`` and break the claim."""
    unknowns = _unknowns(theory, lemma)
    _assume(unknowns, lemma, ())
    unknowns.add(_others(theory, dropped, unknowns))
    return _refute(theory, lemma, unknowns, _mentioned(dropped.text, theory))


def _mentioned(text: str, theory: Theory) -> tuple[str, ...]:
    """The parameters in ``text``, in its order."""
    words = dict.fromkeys(re.findall(r"[a-z][a-z0-9_]*", text))
    return tuple(word for word in words if word in theory.parameters)


def _refute(
    theory: Theory, lemma: Lemma, unknowns: Unknowns, last: Sequence[str]
) -> tuple[Answer, Counterexample | None]:
    """Look for values that break the claim under what is assumed; make them as ordinary as possible.

    The parameters in ``last`` are the last to be given their defaults, the first of them last of all.
    """
    unknowns.open()
    unknowns.add([_negated(unknowns, lemma.claim)])
    answer = unknowns.ask()
    if answer is not Answer.POSSIBLE:
        unknowns.close()
        return answer, None
    _prefer_defaults(theory, unknowns, last)
    _prefer_extremes(lemma, unknowns)
    unknowns.ask()
    values = unknowns.values()
    unknowns.close()
    return answer, _counterexample(theory, lemma, values, last)


def _prefer(unknowns: Unknowns, formulas: Sequence[Any]) -> bool:
    """Assume the formulas together if that is possible."""
    if unknowns.ask(*formulas) is not Answer.POSSIBLE:
        return False
    unknowns.add(formulas)
    return True


def _prefer_defaults(theory: Theory, unknowns: Unknowns, last: Sequence[str]) -> None:
    """Give as many parameters as possible their defaults, and the others values as near to them as possible."""
    first = [item.name for item in theory.parameters.parameters if item.name not in last]
    order = [first, *([name] for name in reversed(last))]
    for group in order:
        pins = [unknowns.pinned(name, theory.parameters[name].default) for name in group]
        if len(pins) > 1 and _prefer(unknowns, pins):
            continue
        for name, pin in zip(group, pins, strict=True):
            if not _prefer(unknowns, [pin]):
                _prefer_near(unknowns, name, theory.parameters[name].default)


def _prefer_near(unknowns: Unknowns, name: str, default: int | str) -> None:
    """Assume that ``name`` is as near to its default as it can be; any word that is possible will do."""
    unknowns.ask()
    found = unknowns.values()[name]
    if not isinstance(found, int) or not isinstance(default, int):
        unknowns.add([unknowns.pinned(name, found)])
        return
    low, high = 0, abs(found - default)
    while low < high:
        middle = (low + high) // 2
        if unknowns.ask(unknowns.near(name, default, middle)) is Answer.POSSIBLE:
            high = middle
        else:
            low = middle + 1
    unknowns.add([unknowns.near(name, default, high)])


def _prefer_extremes(lemma: Lemma, unknowns: Unknowns) -> None:
    """Let every bound on a moment be reached, and what is still free begin at 0."""
    for expression in lemma.given:
        if isinstance(expression, Comparison) and expression.op in {"<=", ">="} and isinstance(expression.left, Name):
            _prefer(unknowns, [unknowns.formula(Comparison("==", expression.left, expression.right))])
    for moment in lemma.moments:
        if not moment.choices:
            _prefer(unknowns, [unknowns.pinned(moment.name, 0)])


def _counterexample(
    theory: Theory, lemma: Lemma, values: Mapping[str, int | str], last: Sequence[str]
) -> Counterexample:
    spoken = {*last, *_spoken(lemma)}
    return Counterexample(
        lemma=lemma.id,
        loses=lemma.loses,
        loss=lemma.loss,
        claim=lemma.claim_text,
        parameters=tuple(
            Value(item.name, values[item.name], item.unit, item.says)
            for item in theory.parameters.parameters
            if item.name in spoken or values[item.name] != item.default
        ),
        moments=tuple(Value(moment.name, values[moment.name], "", moment.says) for moment in lemma.moments),
        complete=tuple(values.items()),
    )


def _spoken(lemma: Lemma) -> frozenset[str]:
    return frozenset().union(*(names(expression) for expression in (*lemma.given, lemma.claim)))
