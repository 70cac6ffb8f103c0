"""Constraints between parameters: a small language over whole numbers and words, parsed to a tiny sum type.

The grammar is Python's, cut down: names of parameters, whole numbers, ``"words"``, ``+ - * //``, comparisons
(chains too), ``and or not``, ``a if c else b``, ``min(…)`` and ``max(…)``. Implication is written ``not a or b``. Words
may only be compared for equality, with a parameter that can have that value.

The parsed form is public: ``Expression`` is the union of the dataclasses below, and nothing else occurs in it, so
that a translator (to SMT, to text) is one function over these cases. ``//`` rounds down; its divisor is at least 1
for all admitted values, where SMT-LIB's ``div`` rounds down as well.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class Number:
    """A whole number."""

    value: int


@dataclass(frozen=True)
class Word:
    """A value of a choice, as ``"csv"``."""

    value: str


@dataclass(frozen=True)
class Name:
    """The value of a parameter: a whole number, or a word when ``choices`` is not empty."""

    name: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Arithmetic:
    """``left op right`` with ``op`` one of ``+ - * //``."""

    op: str
    left: Expression
    right: Expression


@dataclass(frozen=True)
class Extreme:
    """``min(parts)`` or ``max(parts)``, of at least two."""

    op: str
    parts: tuple[Expression, ...]


@dataclass(frozen=True)
class Comparison:
    """``left op right`` with ``op`` one of ``== != < <= > >=``; words only with the first two."""

    op: str
    left: Expression
    right: Expression


@dataclass(frozen=True)
class Not:
    """The part is false."""

    part: Expression


@dataclass(frozen=True)
class All:
    """Each part is true (``and``)."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True)
class Some:
    """At least one part is true (``or``)."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True)
class Choice:
    """``then`` where ``condition`` is true, else ``otherwise``; both are numbers, or both truths."""

    condition: Expression
    then: Expression
    otherwise: Expression


Expression: TypeAlias = Number | Word | Name | Arithmetic | Extreme | Comparison | Not | All | Some | Choice


class ExpressionError(Exception):
    """An expression is not in the language; the text says what and where in it. The loader adds file and line."""


@dataclass(frozen=True)
class Domain:
    """What a parameter may be: whole numbers from ``low`` to ``high`` (None: no bound), or one of ``choices``."""

    low: int | None = None
    high: int | None = None
    choices: tuple[str, ...] = ()


_NUMBER, _TRUTH, _WORD = "a number", "a truth", "a word"
_ARITHMETIC: dict[type[ast.operator], str] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.FloorDiv: "//"}
_COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
}
_MAX_LENGTH = 2000


def parse(text: str, domains: Mapping[str, Domain]) -> Expression:
    """Parse a constraint: an expression that is true or false. Raises ExpressionError."""
    if len(text) > _MAX_LENGTH:
        raise ExpressionError(f"the expression has more than {_MAX_LENGTH} characters")
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ExpressionError(f"cannot be read as an expression: {text.strip()!r:.120}") from None
    try:
        expression, kind = _Parser(text.strip(), domains).parse(tree.body)
    except RecursionError:
        raise ExpressionError("the expression is nested too deeply") from None
    if kind != _TRUTH:
        raise ExpressionError(f"a constraint must be true or false, this is {kind}: {text.strip()}")
    return expression


@dataclass(frozen=True)
class _Parser:
    """Checks and translates Python's syntax tree; each method returns the expression and its kind."""

    text: str
    domains: Mapping[str, Domain]

    def parse(self, node: ast.expr) -> tuple[Expression, str]:
        """Translate any node of the language."""
        method: Callable[[ast.expr], tuple[Expression, str]] | None = getattr(
            self, f"_{type(node).__name__.lower()}", None
        )
        if method is None:
            raise ExpressionError(f"not allowed in a constraint: {self._shown(node)}")
        return method(node)

    def _shown(self, node: ast.AST) -> str:
        return (ast.get_source_segment(self.text, node) or type(node).__name__)[:80]

    def _of(self, kind: str, node: ast.expr) -> Expression:
        expression, found = self.parse(node)
        if found != kind:
            raise ExpressionError(f"'{self._shown(node)}' is {found}, but {kind} is needed there")
        return expression

    def _constant(self, node: ast.Constant) -> tuple[Expression, str]:
        if isinstance(node.value, str):
            return Word(node.value), _WORD
        if type(node.value) is int:
            return Number(node.value), _NUMBER
        raise ExpressionError(f"not a whole number or a word: {self._shown(node)}")

    def _name(self, node: ast.Name) -> tuple[Expression, str]:
        domain = self.domains.get(node.id)
        if domain is None:
            raise ExpressionError(f"there is no parameter '{node.id}'")
        return Name(node.id, domain.choices), _WORD if domain.choices else _NUMBER

    def _unaryop(self, node: ast.UnaryOp) -> tuple[Expression, str]:
        if isinstance(node.op, ast.Not):
            return Not(self._of(_TRUTH, node.operand)), _TRUTH
        if isinstance(node.op, ast.USub):
            return Arithmetic("-", Number(0), self._of(_NUMBER, node.operand)), _NUMBER
        raise ExpressionError(f"not allowed in a constraint: {self._shown(node)}")

    def _binop(self, node: ast.BinOp) -> tuple[Expression, str]:
        op = _ARITHMETIC.get(type(node.op))
        if op is None:
            raise ExpressionError(f"only + - * // are allowed: {self._shown(node)}")
        left, right = self._of(_NUMBER, node.left), self._of(_NUMBER, node.right)
        if op == "//" and self._least(right) < 1:
            raise ExpressionError(f"the divisor '{self._shown(node.right)}' might be below 1")
        return Arithmetic(op, left, right), _NUMBER

    def _least(self, divisor: Expression) -> int:
        """Return the least value of a divisor: a number, or a parameter with ``min``."""
        if isinstance(divisor, Number):
            return divisor.value
        if isinstance(divisor, Name):
            return self.domains[divisor.name].low or 0
        return 0

    def _compare(self, node: ast.Compare) -> tuple[Expression, str]:
        operands = [node.left, *node.comparators]
        parts = [
            self._comparison(node, op, left, right)
            for op, left, right in zip(node.ops, operands[:-1], operands[1:], strict=True)
        ]
        return (parts[0] if len(parts) == 1 else All(tuple(parts))), _TRUTH

    def _comparison(self, node: ast.Compare, op: ast.cmpop, left: ast.expr, right: ast.expr) -> Expression:
        sign = _COMPARISONS.get(type(op))
        if sign is None:
            raise ExpressionError(f"only == != < <= > >= are allowed: {self._shown(node)}")
        one, kind = self.parse(left)
        other = self._of(kind, right)
        if kind == _TRUTH:
            raise ExpressionError(f"truths are not compared: {self._shown(node)}")
        if kind == _WORD:
            if sign not in {"==", "!="}:
                raise ExpressionError(f"words have no order: {self._shown(node)}")
            for name, word in ((one, other), (other, one)):
                if isinstance(name, Name) and isinstance(word, Word) and word.value not in name.choices:
                    raise ExpressionError(f"'{name.name}' is never \"{word.value}\": {', '.join(name.choices)}")
        return Comparison(sign, one, other)

    def _boolop(self, node: ast.BoolOp) -> tuple[Expression, str]:
        parts = tuple(self._of(_TRUTH, value) for value in node.values)
        return (All(parts) if isinstance(node.op, ast.And) else Some(parts)), _TRUTH

    def _ifexp(self, node: ast.IfExp) -> tuple[Expression, str]:
        then, kind = self.parse(node.body)
        if kind == _WORD:
            raise ExpressionError(f"a choice is between numbers or truths: {self._shown(node)}")
        return Choice(self._of(_TRUTH, node.test), then, self._of(kind, node.orelse)), kind

    def _call(self, node: ast.Call) -> tuple[Expression, str]:
        if not isinstance(node.func, ast.Name) or node.func.id not in {"min", "max"} or node.keywords:
            raise ExpressionError(f"only min(…) and max(…) may be called: {self._shown(node)}")
        if len(node.args) < 2:
            raise ExpressionError(f"at least two numbers are needed: {self._shown(node)}")
        return Extreme(node.func.id, tuple(self._of(_NUMBER, arg) for arg in node.args)), _NUMBER


def evaluate(expression: Expression, values: Mapping[str, int | str]) -> bool:
    """Say whether a constraint holds for these values. Raises KeyError for a name without a value."""
    return bool(_value(expression, values))


def amount(expression: Expression, values: Mapping[str, int | str]) -> int:
    """Return the value of a numeric part of a constraint, in the unit of its parameters."""
    return int(_value(expression, values))


def _value(expression: Expression, values: Mapping[str, int | str]) -> int | str | bool:  # noqa: PLR0911
    match expression:
        case Number(value) | Word(value):
            return value
        case Name(name):
            return values[name]
        case Arithmetic(op, left, right):
            return _ARITHMETIC_OF[op](amount(left, values), amount(right, values))
        case Extreme(op, parts):
            numbers = [amount(part, values) for part in parts]
            return min(numbers) if op == "min" else max(numbers)
        case Comparison(op, left, right):
            one, other = _value(left, values), _value(right, values)
            if op in {"==", "!="}:
                return (one == other) == (op == "==")
            return _ORDER_OF[op](int(one), int(other))
        case Not(part):
            return not evaluate(part, values)
        case All(parts):
            return all(evaluate(part, values) for part in parts)
        case Some(parts):
            return any(evaluate(part, values) for part in parts)
        case Choice(condition, then, otherwise):
            return _value(then if evaluate(condition, values) else otherwise, values)


_ARITHMETIC_OF: dict[str, Callable[[int, int], int]] = {
    "+": int.__add__,
    "-": int.__sub__,
    "*": int.__mul__,
    "//": int.__floordiv__,
}
_ORDER_OF: dict[str, Callable[[int, int], bool]] = {
    "<": int.__lt__,
    "<=": int.__le__,
    ">": int.__gt__,
    ">=": int.__ge__,
}


def names(expression: Expression) -> frozenset[str]:
    """Return the parameters that an expression mentions."""
    match expression:
        case Number() | Word():
            return frozenset()
        case Name(name):
            return frozenset({name})
        case Arithmetic(_, left, right) | Comparison(_, left, right):
            return names(left) | names(right)
        case Not(part):
            return names(part)
        case Extreme(_, parts) | All(parts) | Some(parts):
            return frozenset().union(*map(names, parts))
        case Choice(condition, then, otherwise):
            return names(condition) | names(then) | names(otherwise)
