"""The small factories of ``spec/configurations.toml``, with every lock as tight as the constraints allow.

A configuration fixes only what the adversary has: who is there, how long the honest party may be away, how long a
transaction may take. The rest follows from ``parameters.toml``: each other parameter, in a fixed order, takes the least
value (or, for an absence, the greatest) that the constraints over what is fixed so far allow. So the checker plays at
the edge of what the specification permits, and a constraint that is dropped moves the edge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

from superscalar_ref.check.stated import GREATEST, LEAST, Missed
from superscalar_ref.errors import SpecError
from superscalar_ref.protocol.blueprint import Locks
from superscalar_ref.protocol.shape import NodeKind, Shape, Tree, grow
from superscalar_ref.spec.expression import names
from superscalar_ref.spec.location import spec_directory
from superscalar_ref.spec.machines import check_wording
from superscalar_ref.spec.parameters import Constraint, ParameterSet
from superscalar_ref.spec.schema import check_schema
from superscalar_ref.spec.source import read_document

Values = dict[str, int | str]

_PAYMENTS = ("exit_margin_blocks", "forward_margin_blocks", "htlc_cutoff_blocks")
"""About payments in flight, which these games do not have: left open, and so are the constraints that name them."""
_CHOICES = ("end_default", "alternates", "stock_lock")
_LONG = 8
_REACH = 400
"""A tight value that is further away than this many blocks is not looked for: no small factory needs it."""


@dataclass(frozen=True)
class Configuration:
    """One small factory."""

    id: str
    says: str
    clients: tuple[str, ...]
    arity: tuple[int, ...]
    states: int
    """States a layer."""
    updates: int
    """Most updates that are tried in one life with a client as the hero."""
    lsp_updates: int
    """The same with the LSP as the hero."""
    absence: int
    """A client is awake at least once in so many blocks, and once more (blocks)."""
    confirmation: int
    """Blocks within which a transaction is mined."""
    static: int = 0
    """Levels at the top without a counter."""
    links: int = 0
    """Most links that are sold from one stock."""
    place: str = field(default="", compare=False)
    """Where it is written (``file:line``)."""

    @property
    def tree(self) -> Tree:
        """The tree of the factory."""
        return grow(Shape.of(self.arity, static=self.static, leaf_k=1), self.clients)


def load_configurations(directory: Path | None = None) -> tuple[Configuration, ...]:
    """Load ``spec/configurations.toml``, or the copy in ``directory``. Raises ``SpecError`` (``file:line``)."""
    document = read_document(spec_directory(directory) / "configurations.toml")
    check_schema(document, "configurations")
    check_wording(document)
    found: list[Configuration] = []
    rows: Any = document.data["configurations"]
    for index, row in enumerate(rows):
        place = str(document.place("configurations", index))
        new = Configuration(**{**row, "clients": tuple(row["clients"]), "arity": tuple(row["arity"])}, place=place)
        if any(new.id == other.id for other in found):
            here = document.place("configurations", index, "id")
            raise SpecError(str(here), f"there are two configurations '{new.id}'", "id-once")
        depth = replace(new, static=0).tree.depth
        if new.static > depth:
            here = document.place("configurations", index, "static")
            problem = (
                f"{new.static} levels without a counter, but only {depth} above the leaves of {', '.join(new.clients)}"
            )
            raise SpecError(str(here), problem, "R-SHAPE")
        found.append(new)
    return tuple(found)


def tight_values(parameters: ParameterSet, configuration: Configuration, choices: Mapping[str, str]) -> Values:
    """The tightest values of all parameters for a configuration, and for the words in ``choices``.

    Raises ``SpecError`` when the constraints leave no value within reach.
    """
    tree = configuration.tree
    layers = max(sum(node.kind is not NodeKind.STATIC for node in tree.path_to(c)) for c in tree.clients)
    values: Values = {
        "states_per_layer": configuration.states,
        "confirmation_blocks": configuration.confirmation,
        "absence_blocks": configuration.absence,
        "dw_layers": layers,
        "static_levels": configuration.static,
        "links_max": configuration.links,
        "active_blocks": 0,
        "dying_blocks": configuration.absence,
        "reorg_depth_blocks": 0,
    }
    for name in _CHOICES:
        if name in parameters:
            values[name] = choices.get(name, parameters[name].default)
    for parameter in parameters.parameters:
        if parameter.name not in (*values, *GREATEST, *LEAST, *_PAYMENTS):
            values[parameter.name] = parameter.default
    # An absence that no constraint bounds is longer than what it must not exceed: by a block, or by more than margins.
    beyond = configuration.absence
    for name in GREATEST:
        beyond += 1 if name != "signing_absence_blocks" else _LONG
        values[name] = _tight(parameters, name, values, range(beyond, -1, -1), configuration)
        beyond = int(values[name])
    for name in LEAST:
        low = parameters[name].low or 0
        values[name] = _tight(parameters, name, values, range(low, low + _REACH), configuration)
    return values


def _tight(
    parameters: ParameterSet, name: str, values: Values, candidates: Sequence[int], configuration: Configuration
) -> int:
    known = values.keys() | {name}
    ruling = [c for c in parameters.constraints if name in names(c.expression) and names(c.expression) <= known]
    shifts = [(c, _shift(c, name, values, candidates)) for c in ruling]
    for candidate in candidates:
        if all(constraint.holds({**values, name: candidate + shift}) for constraint, shift in shifts):
            return candidate
    place = configuration.place or str(parameters[name].place)
    problem = f"no value of '{name}' within {_REACH} keeps its constraints in '{configuration.id}'"
    raise SpecError(place, problem, "small-world")


def _shift(constraint: Constraint, name: str, values: Values, candidates: Sequence[int]) -> int:
    """How far beyond ``constraint`` (blocks) the value of ``name`` may go: not at all, unless the design misses it."""
    if not isinstance(constraint, Missed):
        return 0
    edges = (candidate for candidate in candidates if constraint.holds({**values, name: candidate}))
    return constraint.shift(next(edges, 0))


def allowed_choices(parameters: ParameterSet, fixed: Mapping[str, str]) -> list[dict[str, str]]:
    """Every combination of the words that the constraints over words alone allow, the defaults first."""
    options = []
    for name in _CHOICES:
        parameter = parameters[name]
        words = [fixed[name]] if name in fixed else sorted(parameter.choices, key=lambda w: w != parameter.default)
        options.append([(name, word) for word in words])
    over_words: list[Constraint] = [c for c in parameters.constraints if names(c.expression) <= set(_CHOICES)]
    found = [dict(combination) for combination in product(*options)]
    return [choice for choice in found if all(constraint.holds(choice) for constraint in over_words)]


def locks(values: Values) -> Locks:
    """The locks of a factory that is agreed at height 0."""
    end_default = str(values["end_default"])
    if end_default == "classic" and values["alternates"] != "none":
        end_default = "both"
    return Locks(
        step=int(values["step_blocks"]),
        states=int(values["states_per_layer"]),
        to_self_delay=int(values["to_self_delay_blocks"]),
        end=int(values["life_blocks"]),
        stock_lock=str(values["stock_lock"]),
        stock_lock_blocks=int(values["stock_lock_blocks"]),
        end_default=end_default,
        expiry_gap=int(values["expiry_gap_blocks"]),
        alternates=str(values["alternates"]),
        height_step=int(values["height_step_blocks"]),
    )
