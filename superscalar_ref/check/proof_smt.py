"""From the loader's parsed expressions to z3, and questions to z3 with a budget that does not depend on the clock.

The only module that imports z3, and it does so when a question is asked: importing z3 takes a moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any

from superscalar_ref.spec.expression import (
    All,
    Arithmetic,
    Choice,
    Comparison,
    Domain,
    Expression,
    Extreme,
    Name,
    Not,
    Number,
    Some,
    Word,
)

_EFFORT = 20_000_000
"""z3's own measure of work (rlimit) for one question: the same answer on every machine."""


class Answer(StrEnum):
    """What z3 says of a set of formulas."""

    POSSIBLE = "possible"
    IMPOSSIBLE = "impossible"
    UNKNOWN = "unknown"


class Unknowns:
    """Named whole numbers and words over which formulas are asked about.

    A word is a number too: its place in the sorted list of all words, so that choices of different names compare.
    """

    def __init__(self, domains: Mapping[str, Domain]) -> None:
        import z3  # noqa: PLC0415  # slow to import

        self._z3 = z3
        self._domains = dict(domains)
        self._words = sorted({word for domain in domains.values() for word in domain.choices})
        self._names: dict[str, Any] = {name: z3.Int(name) for name in domains}
        self._solver: Any = z3.Solver()
        self._solver.set("rlimit", _EFFORT)
        self._solver.set("random_seed", 1)
        for name, domain in domains.items():
            self._bound(self._names[name], domain)

    def _bound(self, name: Any, domain: Domain) -> None:
        if domain.choices:
            self._solver.add(self._z3.Or([name == self._words.index(word) for word in domain.choices]))
        if domain.low is not None:
            self._solver.add(name >= domain.low)
        if domain.high is not None:
            self._solver.add(name <= domain.high)

    def formula(self, expression: Expression) -> Any:  # noqa: PLR0911
        """Translate an expression."""
        z3 = self._z3
        match expression:
            case Number(value):
                return z3.IntVal(value)
            case Word(value):
                # A word that no unknown can have is a number that no unknown has.
                return z3.IntVal(self._words.index(value) if value in self._words else -1)
            case Name(name):
                return self._names[name]
            case Arithmetic(op, left, right):
                one, other = self.formula(left), self.formula(right)
                if op == "//":
                    return one / other
                return {"+": one + other, "-": one - other, "*": one * other}[op]
            case Extreme(op, parts):
                return self._extreme(op, [self.formula(part) for part in parts])
            case Comparison(op, left, right):
                return self._comparison(op, self.formula(left), self.formula(right))
            case Not(part):
                return z3.Not(self.formula(part))
            case All(parts):
                return z3.And([self.formula(part) for part in parts])
            case Some(parts):
                return z3.Or([self.formula(part) for part in parts])
            case Choice(condition, then, otherwise):
                return z3.If(self.formula(condition), self.formula(then), self.formula(otherwise))

    def _extreme(self, op: str, parts: Sequence[Any]) -> Any:
        found = parts[0]
        for part in parts[1:]:
            found = self._z3.If(part < found if op == "min" else part > found, part, found)
        return found

    @staticmethod
    def _comparison(op: str, left: Any, right: Any) -> Any:
        match op:
            case "==":
                return left == right
            case "!=":
                return left != right
            case "<":
                return left < right
            case "<=":
                return left <= right
            case ">":
                return left > right
            case _:
                return left >= right

    def pinned(self, name: str, value: int | str) -> Any:
        """The formula that ``name`` has this value."""
        return self._names[name] == (self._words.index(value) if isinstance(value, str) else value)

    def near(self, name: str, value: int, distance: int) -> Any:
        """The formula that ``name`` is at most ``distance`` away from ``value``."""
        return self._z3.And(self._names[name] <= value + distance, self._names[name] >= value - distance)

    def add(self, formulas: Iterable[Any]) -> None:
        """Assume these from now on, until ``close``."""
        self._solver.add(*formulas)

    def open(self) -> None:
        """Begin assumptions that ``close`` forgets."""
        self._solver.push()

    def close(self) -> None:
        """Forget what was assumed since ``open``."""
        self._solver.pop()

    def ask(self, *formulas: Any) -> Answer:
        """Say whether something keeps all that is assumed and ``formulas``."""
        answer = self._solver.check(*formulas)
        if answer == self._z3.sat:
            return Answer.POSSIBLE
        return Answer.IMPOSSIBLE if answer == self._z3.unsat else Answer.UNKNOWN

    def values(self) -> dict[str, int | str]:
        """Values for every name that keep all that was asked last. Only after an answer POSSIBLE."""
        model = self._solver.model()
        found: dict[str, int | str] = {}
        for name, unknown in self._names.items():
            number = model.eval(unknown, model_completion=True).as_long()
            found[name] = self._words[number] if self._domains[name].choices else number
        return found
