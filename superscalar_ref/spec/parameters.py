"""The constants and bounds of a deployment, and the constraints that they must keep together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from superscalar_ref.errors import InputError, SpecError
from superscalar_ref.spec.expression import Domain, Expression, ExpressionError, evaluate, names, parse
from superscalar_ref.spec.schema import check_schema
from superscalar_ref.spec.source import Document, Place


@dataclass(frozen=True)
class Parameter:
    """One constant: a whole number in ``unit`` within its range, or one word of ``choices``."""

    name: str
    unit: str
    default: int | str
    low: int | None
    """The least value (``min`` in the file); None: no bound."""
    high: int | None
    """The greatest value (``max`` in the file); None: no bound."""
    choices: tuple[str, ...]
    """The words (``values`` in the file); empty for a number."""
    says: str
    why: str
    source: tuple[str, ...]
    place: Place

    @property
    def domain(self) -> Domain:
        """What it may be, as the parser of constraints needs it."""
        return Domain(self.low, self.high, self.choices)

    def fault(self, value: object) -> str | None:
        """Say what is wrong with a value, or None."""
        if self.choices:
            if value in self.choices:
                return None
            return f"'{self.name}' is {_short(value)}; it may be {', '.join(self.choices)}"
        if not isinstance(value, int) or isinstance(value, bool):
            return f"'{self.name}' must be a whole number ({self.unit}), not {_short(value)}"
        if self.low is not None and value < self.low:
            return f"'{self.name}' is {_short(value)}, below its least value {self.low} ({self.unit})"
        if self.high is not None and value > self.high:
            return f"'{self.name}' is {_short(value)}, above its greatest value {self.high} ({self.unit})"
        return None


@dataclass(frozen=True)
class Constraint:
    """Something that must hold between parameters."""

    id: str
    text: str
    """The expression as written."""
    expression: Expression
    says: str
    why: str
    source: tuple[str, ...]
    place: Place

    def holds(self, values: Mapping[str, int | str]) -> bool:
        """Say whether these values keep it."""
        return evaluate(self.expression, values)

    def fault(self, values: Mapping[str, int | str]) -> str | None:
        """Say with numbers how these values break it, or None."""
        if self.holds(values):
            return None
        numbers = ", ".join(f"{name} = {values[name]}" for name in sorted(names(self.expression)))
        return f"{self.says.rstrip('.')}: {self.text} is false with {numbers}"


@dataclass(frozen=True)
class ParameterSet:
    """The content of ``parameters.toml``."""

    parameters: tuple[Parameter, ...]
    constraints: tuple[Constraint, ...]

    def __contains__(self, name: object) -> bool:
        return any(parameter.name == name for parameter in self.parameters)

    def __getitem__(self, name: str) -> Parameter:
        for parameter in self.parameters:
            if parameter.name == name:
                return parameter
        raise KeyError(name)

    def constraint(self, identity: str) -> Constraint:
        """Return the constraint with this id. Raises KeyError when there is none."""
        for constraint in self.constraints:
            if constraint.id == identity:
                return constraint
        raise KeyError(identity)

    def defaults(self) -> Parameters:
        """Return the default values, which keep every constraint (checked at load)."""
        return Parameters(self, tuple((parameter.name, parameter.default) for parameter in self.parameters))

    def with_default(self, name: str, value: int | str) -> ParameterSet:
        """Return the same set with another default. Raises KeyError; the value is not checked here."""
        changed = replace(self[name], default=value)
        return replace(self, parameters=tuple(changed if item.name == name else item for item in self.parameters))

    def without(self, identity: str) -> ParameterSet:
        """Return the same set without one constraint. Raises KeyError when there is none of that id."""
        dropped = self.constraint(identity)
        return replace(self, constraints=tuple(item for item in self.constraints if item is not dropped))


@dataclass(frozen=True)
class Parameters:
    """Values for every parameter of a set, within their ranges and keeping every constraint."""

    definition: ParameterSet
    values: tuple[tuple[str, int | str], ...]
    """Name and value, in the order of the file."""

    def __getitem__(self, name: str) -> int | str:
        for key, value in self.values:
            if key == name:
                return value
        raise KeyError(name)

    def number(self, name: str) -> int:
        """Return a numeric parameter, in its unit. Raises KeyError when it is unknown, TypeError when it is a word."""
        value = self[name]
        if not isinstance(value, int):
            raise TypeError(f"'{name}' is a choice, not a number")
        return value

    def word(self, name: str) -> str:
        """Return a choice. Raises KeyError when it is unknown, TypeError when it is a number."""
        value = self[name]
        if not isinstance(value, str):
            raise TypeError(f"'{name}' is a number, not a choice")
        return value

    def as_dict(self) -> dict[str, int | str]:
        """Return the values by name."""
        return dict(self.values)

    def with_(self, **changes: object) -> Parameters:
        """Return the same values but for ``changes``. Raises InputError as ``with_changes`` does."""
        return self.with_changes(changes)

    def with_changes(self, changes: Mapping[str, object], place: str = "parameters") -> Parameters:
        """Return the same values but for ``changes``; ``place`` says in a message where they come from.

        Raises InputError for an unknown name, a value out of its range, or a broken constraint (its id is the rule).
        """
        new = self.as_dict()
        for name, value in changes.items():
            if name not in self.definition:
                known = ", ".join(parameter.name for parameter in self.definition.parameters)
                raise InputError(place, f"there is no parameter '{name}'; known: {known}", "parameter")
            fault = self.definition[name].fault(value)
            if fault is not None:
                raise InputError(place, fault, name)
            new[name] = value  # type: ignore[assignment]  # fault() has looked at its type
        for constraint in self.definition.constraints:
            fault = constraint.fault(new)
            if fault is not None:
                raise InputError(place, fault, constraint.id)
        return replace(self, values=tuple(new.items()))


def check_defaults(parameters: ParameterSet, stated: Mapping[str, Place] | None = None) -> None:
    """Check that the defaults are in range and keep each constraint.

    ``stated``: where a variant states another default; the last such place that a fault is about is blamed, else the
    element itself. Raises SpecError.
    """
    stated = stated or {}
    for parameter in parameters.parameters:
        fault = parameter.fault(parameter.default)
        if fault is not None:
            place = stated.get(parameter.name, parameter.place)
            raise SpecError(str(place), f"the default of {fault}", parameter.name)
    values = parameters.defaults().as_dict()
    for constraint in parameters.constraints:
        fault = constraint.fault(values)
        if fault is not None:
            about = names(constraint.expression)
            places = [place for name, place in stated.items() if name in about]
            place = places[-1] if places else constraint.place
            raise SpecError(str(place), f"the defaults break it: {fault}", constraint.id)


def parse_parameters(document: Document) -> ParameterSet:
    """Read the content of ``parameters.toml``. Raises SpecError (``file:line``)."""
    check_schema(document, "parameters")
    data: Mapping[str, dict[str, dict[str, object]]] = document.data  # type: ignore[assignment]  # the schema has spoken
    parameters = tuple(_parameter(name, values, document) for name, values in data["parameters"].items())
    domains = {parameter.name: parameter.domain for parameter in parameters}
    constraints = []
    rows: list[dict[str, object]] = document.data.get("constraints", [])  # type: ignore[assignment]
    for index, row in enumerate(rows):
        place = document.place("constraints", index, "expr")
        text = " ".join(str(row["expr"]).split())
        try:
            expression = parse(text, domains)
        except ExpressionError as error:
            raise SpecError(str(place), str(error), str(row["id"])) from None
        constraints.append(
            Constraint(
                id=str(row["id"]),
                text=text,
                expression=expression,
                says=str(row["says"]),
                why=str(row["why"]),
                source=tuple(row["source"]),  # type: ignore[arg-type]
                place=place,
            )
        )
    result = ParameterSet(parameters, tuple(constraints))
    check_defaults(result)
    return result


def _parameter(name: str, values: Mapping[str, object], document: Document) -> Parameter:
    place = document.place("parameters", name)
    choices: tuple[str, ...] = tuple(values.get("values", ()))  # type: ignore[arg-type]
    low, high = values.get("min"), values.get("max")
    if name in {"min", "max", "and", "or", "not", "if", "else", "in", "is", "lambda"}:
        raise SpecError(str(place), f"'{name}' is a word of the constraints' language", "parameter-name")
    if choices and (low is not None or high is not None):
        raise SpecError(str(place), f"'{name}' has both a range and a list of words", "parameter-range")
    if not choices and isinstance(values["default"], str):
        at = document.place("parameters", name, "default")
        raise SpecError(str(at), f"'{name}' has a word as default but no 'values'", "parameter-range")
    if not choices and low is None:
        raise SpecError(str(place), f"'{name}' has neither 'min' nor 'values'", "parameter-range")
    if isinstance(low, int) and isinstance(high, int) and low > high:
        raise SpecError(str(place), f"'{name}' has min {low} above max {high}", "parameter-range")
    return Parameter(
        name=name,
        unit=str(values["unit"]),
        default=values["default"],  # type: ignore[arg-type]
        low=low if isinstance(low, int) else None,
        high=high if isinstance(high, int) else None,
        choices=choices,
        says=str(values["says"]),
        why=str(values.get("why", "")),
        source=tuple(values["source"]),  # type: ignore[arg-type]
        place=place,
    )


def _short(value: object) -> str:
    """Write a value from outside, but not a screenful of it."""
    if isinstance(value, int) and abs(value) >= 10**30:
        # Python refuses to write out thousands of digits.
        return f"a number of {value.bit_length()} bits"
    return f"{value!r:.40}"
