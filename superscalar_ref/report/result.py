"""What ``superscalar-ref verify`` found, as one value: the run fills it, the page, the terminal and ``--json`` show it.

Laws of this module:

* The JSON form is the dataclasses' fields under their own names, with ``version`` beside them; reading it back gives an
  equal value.
* Amounts are satoshis, sizes virtual bytes, times blocks, unless a name says otherwise.
* Nothing here is computed from anything else here: who fills it says what happened, also when it does not add up.
"""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass
from typing import Any, Literal

from superscalar_ref.errors import InputError

VERSION = 1
"""Of the JSON form. A change that an older reader would misread raises it."""

ACCEPTED = "accepted"
"""The verdict of a transaction that Bitcoin Core's code took into a block."""

Expectation = Literal["accepted", "refused"]


@dataclass(frozen=True)
class Client:
    """One client of the factory."""

    name: str
    balance_sat: int
    """Its own side of its channel."""
    capacity_sat: int
    """The whole channel."""


@dataclass(frozen=True)
class TreeSummary:
    """The factory's tree, and the shape that it was grown from (P1242 'Arity and tree structuring')."""

    depth: int
    """Steps from the root to the deepest leaf."""
    transactions: int
    """Kickoffs and states of one version; the funding transaction is not counted."""
    dw_layers: int
    """Counters on the longest path."""
    arity: tuple[int, ...]
    """Children of a node at each level, root first; the last entry repeats."""
    static: int = 0
    """Levels at the top without a counter."""
    leaf_k: int = 1
    """A leaf has up to ``k²`` clients and ``k`` stock outputs."""


@dataclass(frozen=True)
class Factory:
    """What was built."""

    name: str
    clients: tuple[Client, ...]
    lsp: str
    tree: TreeSummary
    worst_exit_blocks: int
    """As planned: locks, and a confirmation a transaction."""
    end_height: int
    """The factory's end, a block height (D-11)."""
    parameters: Mapping[str, int | str | bool]
    """Every parameter that the run used, by its name in ``spec/parameters.toml``."""


@dataclass(frozen=True)
class Check:
    """One thing that had to hold, and whether it did."""

    id: str
    """``group/what``, the same in every run of the same example."""
    group: str
    says: str
    """What had to hold, as a sentence."""
    passed: bool
    detail: str
    """The numbers behind the verdict; what went wrong when it failed."""
    rules: tuple[str, ...] = ()
    """Ids of transitions, properties or decisions that it bears on."""


@dataclass(frozen=True)
class TransactionVerdict:
    """One transaction put to Bitcoin Core's consensus code, and what that said."""

    scenario: str
    name: str
    kind: str
    txid: str
    vbytes: int
    fee_sat: int
    height: int | None
    """The block that took it, or that was refused for it; None when there is none."""
    verdict: str
    """``accepted``, else Core's words."""
    expected: Expectation

    @property
    def accepted(self) -> bool:
        """Core's code took it."""
        return self.verdict == ACCEPTED

    @property
    def as_expected(self) -> bool:
        """Core's verdict is the one that the scenario needs."""
        return self.accepted == (self.expected == "accepted")


@dataclass(frozen=True)
class Confirmation:
    """One transaction of an exit in a block."""

    transaction: str
    height: int


@dataclass(frozen=True)
class ExitResult:
    """One client's exit alone, from its stored kit, everybody else silent for ever."""

    client: str
    blocks: int
    """From the decision to the last confirmation."""
    transactions: int
    vbytes: int
    fee_sat: int
    """Paid from the tree and from the client's own output."""
    owed_sat: int
    """What the client is owed, before fees that are its own."""
    owned_sat: int
    """What it holds under its own key at the end."""
    dragged: tuple[str, ...]
    """Other clients whose leaf or an output above it came on chain with this exit."""
    confirmations: tuple[Confirmation, ...]
    """In order of height."""


@dataclass(frozen=True)
class RaceResult:
    """Two states of one output raced for a block."""

    scenario: str
    says: str
    older_index: int
    """The state that the adversary published; 0 is the oldest."""
    winner: str
    """Name of the transaction that confirmed."""
    expected_winner: str
    passed: bool


@dataclass(frozen=True)
class Messages:
    """What the parties sent to one another."""

    count: int
    bytes: int


@dataclass(frozen=True)
class VerifyResult:
    """A whole run."""

    example: str
    """The example's file name."""
    passed: bool
    factory: Factory
    checks: tuple[Check, ...]
    transactions: tuple[TransactionVerdict, ...]
    exits: tuple[ExitResult, ...]
    races: tuple[RaceResult, ...]
    messages: Messages
    seconds: float

    def failed(self) -> tuple[Check, ...]:
        """Return the checks that failed, in order."""
        return tuple(check for check in self.checks if not check.passed)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form: plain dicts, lists, text and numbers."""
        form = _plain(asdict(self))
        return {"version": VERSION, **form}

    def to_text(self) -> str:
        """Return the JSON form as text, ending with a line end."""
        return json.dumps(self.to_json(), indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, form: object, file: str = "result") -> VerifyResult:
        """Read the JSON form back. Raises InputError (``verify-result``) naming ``file`` and the place."""
        if not isinstance(form, Mapping):
            raise InputError(file, f"is {_kind(form)}, not an object", "verify-result")
        version = form.get("version")
        if version != VERSION or isinstance(version, bool):
            raise InputError(f"{file}: version", f"must be {VERSION}, not {version!r}", "verify-result")
        rest = {key: value for key, value in form.items() if key != "version"}
        return typing.cast(VerifyResult, _read(cls, rest, f"{file}: "))

    @classmethod
    def from_text(cls, text: str, file: str = "result") -> VerifyResult:
        """Read the text of :meth:`to_text`. Raises InputError (``verify-result``) naming ``file`` and the place."""
        try:
            form = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InputError(file, f"not JSON: {error}", "verify-result") from None
        return cls.from_json(form, file)


def _plain(value: Any) -> Any:
    """Turn tuples into lists and mappings into dicts, so that the form equals what ``json`` reads back."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _read(kind: Any, value: Any, place: str) -> Any:
    """Read ``value`` as the annotated type ``kind``. Raises InputError naming ``place``."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if is_dataclass(kind):
        return _read_object(kind, value, place)
    if origin is tuple:
        items = _of_kind(list, value, place)
        return tuple(_read(arguments[0], item, f"{place}[{index}]") for index, item in enumerate(items))
    if origin is Mapping:
        pairs = _of_kind(dict, value, place).items()
        return {key: _read(arguments[1], item, _under(place, key)) for key, item in pairs}
    if origin is Literal:
        if value not in arguments:
            _fail(place, f"must be one of {', '.join(arguments)}, not {value!r}")
        return value
    return _read_plain(arguments if origin in (types.UnionType, typing.Union) else (kind,), value, place)


def _read_plain(allowed: tuple[Any, ...], value: Any, place: str) -> Any:
    """Read text, a number, a truth value or null, whichever is ``allowed``."""
    # A truth value is an int to Python, so types are compared; a whole number is a fine number of seconds.
    if type(value) in allowed:
        return value
    if float in allowed and type(value) is int:
        return float(value)
    wanted = " or ".join(_NAMES.get(one, "something else") for one in allowed)
    return _fail(place, f"is {_kind(value)}, not {wanted}")


def _read_object(kind: Any, value: Any, place: str) -> Any:
    _of_kind(dict, value, place)
    hints = typing.get_type_hints(kind)
    known = {item.name: item for item in fields(kind)}
    for key in value:
        if key not in known:
            _fail(_under(place, key), "is unknown")
    for name, item in known.items():
        if name not in value and item.default is MISSING:
            _fail(place, f"lacks '{name}'")
    return kind(**{name: _read(hints[name], value[name], _under(place, name)) for name in known if name in value})


def _of_kind(kind: type, value: Any, place: str) -> Any:
    if not isinstance(value, kind):
        _fail(place, f"is {_kind(value)}, not {_NAMES[kind]}")
    return value


def _under(place: str, key: str) -> str:
    return f"{place}{key}" if place.endswith(": ") else f"{place}.{key}"


def _fail(place: str, problem: str) -> typing.NoReturn:
    raise InputError(place.removesuffix(": "), problem, "verify-result")


_NAMES = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    type(None): "null",
    list: "a list",
    dict: "an object",
}


def _kind(value: object) -> str:
    return _NAMES.get(type(value), "something else")
