"""The lemmas of ``spec/lemmas.toml``: what the constraints between the parameters are for, as data.

A lemma speaks about *moments*: heights, counts and words that nobody chose yet. ``given`` is what the chain and the
parties' habits force on them, ``claim`` is what follows. All are expressions of the language of ``parameters.toml``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from superscalar_ref.errors import SpecError
from superscalar_ref.spec.expression import Domain, Expression, ExpressionError, parse
from superscalar_ref.spec.load import load_parameters
from superscalar_ref.spec.location import spec_directory
from superscalar_ref.spec.parameters import ParameterSet
from superscalar_ref.spec.schema import check_schema
from superscalar_ref.spec.source import Document, Place, read_document


@dataclass(frozen=True)
class Moment:
    """An unknown of a lemma: a whole number, or one word of ``choices``."""

    name: str
    says: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Lemma:
    """A claim about all values of the parameters that keep ``constraints``."""

    id: str
    says: str
    loses: str
    """Who loses when the claim is false."""
    loss: str
    """What happens to them."""
    constraints: tuple[str, ...]
    """Ids of the constraints that it assumes."""
    moments: tuple[Moment, ...]
    given: tuple[Expression, ...]
    claim: Expression
    claim_text: str
    place: Place


@dataclass(frozen=True)
class Theory:
    """Parameters with their constraints, and the lemmas about them."""

    parameters: ParameterSet
    lemmas: tuple[Lemma, ...]

    def lemma(self, identity: str) -> Lemma:
        """Return the lemma with this id. Raises KeyError when there is none."""
        for lemma in self.lemmas:
            if lemma.id == identity:
                return lemma
        raise KeyError(identity)


def load_theory(directory: Path | None = None, parameters: ParameterSet | None = None) -> Theory:
    """Load the lemmas of ``directory`` (the package's own by default) over its parameters, or over those given.

    Raises SpecError (``file:line``).
    """
    chosen = load_parameters(directory) if parameters is None else parameters
    document = read_document(spec_directory(directory) / "lemmas.toml")
    check_schema(document, "lemmas")
    rows: Any = document.data["lemmas"]
    return Theory(chosen, tuple(_lemma(identity, row, chosen, document) for identity, row in rows.items()))


def _lemma(identity: str, row: Any, parameters: ParameterSet, document: Document) -> Lemma:
    place = document.place("lemmas", identity)
    moments = tuple(
        Moment(name, says) if isinstance(says, str) else Moment(name, "one of " + ", ".join(says), tuple(says))
        for name, says in row["moments"].items()
    )
    domains = {parameter.name: parameter.domain for parameter in parameters.parameters}
    for moment in moments:
        if moment.name in domains:
            at = document.place("lemmas", identity, "moments", moment.name)
            raise SpecError(str(at), f"'{moment.name}' is a parameter already", identity)
        domains[moment.name] = Domain(choices=moment.choices)

    def read(text: str, key: str) -> Expression:
        try:
            return parse(" ".join(text.split()), domains)
        except ExpressionError as error:
            raise SpecError(str(document.place("lemmas", identity, key)), str(error), identity) from None

    return Lemma(
        id=identity,
        says=row["says"],
        loses=row["loses"],
        loss=row["loss"],
        constraints=tuple(row["constraints"]),
        moments=moments,
        given=tuple(read(text, "given") for text in row["given"]),
        claim=read(row["claim"], "claim"),
        claim_text=" ".join(row["claim"].split()),
        place=place,
    )
