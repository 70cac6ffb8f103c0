"""The JSON form of a trace, read strictly: what ``check --trace`` writes, and nothing that contradicts itself.

Laws of this module:

* A faulty file raises one ``InputError`` that names the file, the place in it, and the rule.
* What it returns can be realised: every transaction spends outputs that are described, in the order in which they are.
* Amounts are units, heights and locks are blocks of the game; ``scale`` makes satoshis and blocks of a chain of them.
"""

from __future__ import annotations

import pathlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated

import msgspec

from superscalar_ref.errors import InputError
from superscalar_ref.protocol.transaction import Kind, LockKind, LockPath, Outpoint, Output, Role, Spend, Template
from superscalar_ref.replay.lines import Path, lines

VERSION = 1
"""Of the JSON form."""
CEREMONIES = "ceremonies"
"""The configuration of traces about signing, which have no chain."""
PAYMENTS, TOWERS = "payments", "towers"
"""Configurations whose traces tell a chain in words."""
_RULE = "trace"

Count = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
"""Blocks or units of a small factory."""


class _Strict(msgspec.Struct, forbid_unknown_fields=True):
    """A claim that this reader does not know is one that a replay could not hold against anything."""


class _LockPath(_Strict):
    owner: str
    kind: LockKind
    blocks: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]


class _Output(_Strict):
    role: Role
    amount: Count
    signers: list[str]
    owner: str
    lock_path: _LockPath | None


class _Spend(_Strict):
    transaction: str
    index: Count
    relative_lock: Count | None
    by_lock_path: bool


class _Template(_Strict):
    name: str
    kind: Kind
    signers: list[str]
    lock_time: Count
    fee: Count
    spends: Annotated[list[_Spend], msgspec.Meta(min_length=1)]
    outputs: Annotated[list[_Output], msgspec.Meta(min_length=1)]
    holder: str


class _Held(_Strict):
    hero: list[str] = []
    others: list[str] = []
    unpaid: list[str] = []
    kit: list[str] = []


class Round(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One block of the game."""

    height: Count
    asleep: bool
    broadcast: tuple[str, ...]
    mined: tuple[str, ...]
    paid: int
    by: dict[str, str] = {}
    """Who broadcast each transaction that is mined."""


class _Trace(_Strict):
    version: int
    property: str
    hero: str
    configuration: str
    owed: Count
    gets: int
    loss: str
    note: str
    off_chain: list[str]
    rounds: list[Round]
    transactions: list[_Template]
    choices: dict[str, str] = {}
    funding: _Template | None = None
    context: list[_Template] = []
    held: _Held = msgspec.field(default_factory=_Held)
    owners: dict[str, Count] = {}
    elsewhere: bool = False
    started: list[str] = []


@dataclass(frozen=True)
class Script:
    """A trace that can be played."""

    broken: str
    """Id of the property."""
    hero: str
    configuration: str
    choices: Mapping[str, str]
    owed: int
    gets: int
    loss: str
    note: str
    off_chain: tuple[str, ...]
    rounds: tuple[Round, ...]
    templates: Mapping[str, Template]
    """Every transaction that is described, parents before children; empty when there is no chain in the trace."""
    funding: str
    """The name of the transaction that creates the factory's coin; empty when there is none."""
    hero_holds: frozenset[str]
    """What the hero can complete."""
    others_hold: frozenset[str]
    """What the others can complete."""
    unpaid: frozenset[str]
    """What the hero holds and cannot get mined by itself, for want of a coin for the fee."""
    kit: frozenset[str]
    """What the hero should hold in the version that it counts on."""
    owners: Mapping[str, int]
    """What each party owns at rest when the trace ends (units)."""
    elsewhere: bool
    """The coin on the chain is not the one that the hero's transactions spend."""
    started: tuple[str, ...]
    """States whose clock a client's exit starts though they are not on its path."""
    told: tuple[str, ...] = ()
    """The transactions that are described as mined, in the order of the file."""
    lines: Mapping[Path, int] = field(default_factory=dict, repr=False)
    """On which line of the file each value stands."""
    places: Mapping[str, Path] = field(default_factory=dict, repr=False)
    """Where each transaction is described."""

    def line(self, *path: str | int) -> int:
        """The line of a value of the file, or of the nearest thing around it."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.lines:
                return self.lines[path[:length]]
        return 1

    @property
    def begins(self) -> int:
        """Height of the game at which the factory's coin is on the chain: that before the first block."""
        return max(self.rounds[0].height - 1, 0) if self.rounds else 0

    @property
    def parties(self) -> tuple[str, ...]:
        """Everybody who is named, in the order of their names."""
        names = {self.hero}
        for template in self.templates.values():
            names |= template.signers
            for output in template.outputs:
                names |= output.signers | {output.owner}
        return tuple(sorted(names - {""}))


def read(path: pathlib.Path) -> Script:
    """Read a file that ``check --trace`` wrote. Raises ``InputError`` (rule 'trace') naming file, line and fault."""
    place = str(path)
    try:
        text = path.read_bytes().decode("utf-8")
        form = msgspec.json.decode(text, type=_Trace)
    except OSError as error:
        raise InputError(place, error.strerror or "cannot be read", _RULE) from None
    except msgspec.ValidationError as error:
        raise InputError(f"{place}{_line_of(str(error), text)}", f"is no trace: {error}", _RULE) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(place, f"is no trace: {error}", _RULE) from None
    found = lines(text)
    if form.version != VERSION:
        problem = f"version {form.version} of the form is not known, only {VERSION} is"
        raise InputError(f"{place}:{found['version',]}", problem, _RULE)
    try:
        return replace(_script(form), lines=found)
    except _Fault as fault:
        where = next((fault.path[:n] for n in range(len(fault.path), 0, -1) if fault.path[:n] in found), ())
        raise InputError(f"{place}:{found[where]}" if where else place, str(fault), _RULE) from None


_STEP = re.compile(r"\.(\w+)|\[(\d+)\]")


def _line_of(problem: str, text: str) -> str:
    """``:line`` for what the decoder says is wrong: it ends with the path, as ``$.rounds[0]``."""
    path = tuple(key or int(index) for key, index in _STEP.findall(problem.rpartition("`$")[2]))
    try:
        found = lines(text)
    except ValueError:
        return ""
    return f":{found[path]}" if path in found else ""


class _Fault(Exception):
    """The trace contradicts itself, at ``path``."""

    def __init__(self, problem: str, *path: str | int) -> None:
        self.path = path
        super().__init__(problem)


def _script(form: _Trace) -> Script:
    described = [*([form.funding] if form.funding else []), *form.transactions, *form.context]
    templates: dict[str, Template] = {}
    places: dict[str, Path] = {}
    at: list[Path] = [("funding",)] if form.funding else []
    at += [("transactions", index) for index in range(len(form.transactions))]
    at += [("context", index) for index in range(len(form.context))]
    for one, path in zip(described, at, strict=True):
        template = _template(one)
        places.setdefault(template.name, path)
        if templates.setdefault(template.name, template) != template:
            raise _Fault(f"two transactions are named '{template.name}'", *path)
    funding = form.funding.name if form.funding else ""
    ordered = {template.name: template for template in _in_order(templates, funding)}
    script = Script(
        form.property,
        form.hero,
        form.configuration,
        form.choices,
        form.owed,
        form.gets,
        form.loss,
        form.note,
        tuple(form.off_chain),
        tuple(form.rounds),
        ordered,
        funding,
        frozenset(form.held.hero),
        frozenset(form.held.others),
        frozenset(form.held.unpaid),
        frozenset(form.held.kit),
        form.owners,
        form.elsewhere,
        tuple(form.started),
        tuple(one.name for one in form.transactions),
        places=places,
    )
    for template in ordered.values():
        try:
            _check_template(template, ordered, funding)
        except _Fault as fault:
            raise _Fault(str(fault), *places[template.name]) from None
    _check_names(script)
    _check_rounds(script)
    return script


def _template(form: _Template) -> Template:
    return Template(
        form.name,
        form.kind,
        tuple(Spend(Outpoint(s.transaction, s.index), s.relative_lock, s.by_lock_path) for s in form.spends),
        tuple(
            Output(
                o.role,
                o.amount,
                frozenset(o.signers),
                None if o.lock_path is None else LockPath(o.lock_path.owner, o.lock_path.kind, o.lock_path.blocks),
                o.owner,
            )
            for o in form.outputs
        ),
        frozenset(form.signers),
        form.lock_time,
        form.fee,
        form.holder,
    )


def _in_order(templates: Mapping[str, Template], funding: str) -> Iterator[Template]:
    """Parents before children. Raises ``_Fault`` when one spends what is not described, or itself."""
    left, done = dict(templates), set[str]()
    while left:
        ready = [t for t in left.values() if t.name == funding or all(s.outpoint.transaction in done for s in t.spends)]
        if not ready:
            name, template = next(iter(left.items()))
            parent = template.spends[0].outpoint.transaction
            raise _Fault(f"'{name}' spends '{parent}', which is not described before it")
        for template in ready:
            yield template
            done.add(template.name)
            del left[template.name]


def _check_template(template: Template, known: Mapping[str, Template], funding: str) -> None:
    name = template.name
    if not template.signers:
        raise _Fault(f"'{name}' has no signers")
    for output in template.outputs:
        _check_output(template, output)
    if len(template.spends) != 1:
        raise _Fault(f"'{name}' must spend one output")
    if name == funding:
        (coin,) = template.spends
        if len(template.signers) != 1 or coin.by_lock_path or coin.relative_lock or template.lock_time:
            raise _Fault(f"'{name}' must spend a coin of one party, at once")
        if coin.outpoint.transaction in known:
            raise _Fault(f"'{name}' spends '{coin.outpoint.transaction}', which is not a coin")
        return
    (spend,) = template.spends
    parent = known[spend.outpoint.transaction]
    if spend.outpoint.index >= len(parent.outputs):
        raise _Fault(f"'{name}' spends output {spend.outpoint.index} of '{parent.name}', which has fewer")
    source = parent.outputs[spend.outpoint.index]
    _check_signers(template, spend, source)
    if template.kind is Kind.COMMITMENT:
        _check_commitment(template, source)


def _check_output(template: Template, output: Output) -> None:
    name = template.name
    if output.role is not Role.ANCHOR and not output.signers:
        raise _Fault(f"an output of '{name}' has no signers")
    if output.role in (Role.WALLET, Role.CHANNEL, Role.DELAYED) and not output.owner:
        raise _Fault(f"a {output.role} output of '{name}' has no owner")
    if (output.role is Role.DELAYED) != (template.kind is Kind.COMMITMENT and output.lock_path is not None):
        raise _Fault(f"a {output.role} output of '{name}' has the form of another role")


def _check_signers(template: Template, spend: Spend, source: Output) -> None:
    name = template.name
    if source.role in (Role.ANCHOR, Role.WALLET):
        raise _Fault(f"'{name}' spends a {source.role} output")
    if spend.by_lock_path:
        if source.lock_path is None or template.signers != {source.lock_path.owner}:
            raise _Fault(f"'{name}' spends by a lock path that is not its signer's")
    elif template.signers != source.signers or (source.role is Role.DELAYED) != (template.kind is Kind.PENALTY):
        raise _Fault(f"the signers of '{name}' are not those of the output that it spends")


def _check_commitment(template: Template, source: Output) -> None:
    name = template.name
    if source.role is not Role.CHANNEL or len(source.signers) != 2 or template.holder not in source.signers:
        raise _Fault(f"'{name}' is no commitment of one of the two sides of a channel")
    if source.owner not in source.signers:
        raise _Fault(f"the channel of '{name}' belongs to neither of its sides")
    (other,) = source.signers - {template.holder}
    roles = [output.role for output in template.outputs]
    if len(set(roles)) < len(roles) or not set(roles) <= {Role.DELAYED, Role.WALLET}:
        raise _Fault(f"'{name}' must have at most one output for each side")
    for output in template.outputs:
        owner = template.holder if output.role is Role.DELAYED else other
        if output.owner != owner or output.signers != {other}:
            raise _Fault(f"the {output.role} output of '{name}' is not that of {owner}")
        if output.lock_path is not None and (output.lock_path.owner, output.lock_path.kind) != (owner, LockKind.CSV):
            raise _Fault(f"the delayed output of '{name}' has another lock than its holder's delay")


def _check_names(script: Script) -> None:
    lists = {
        "held.hero": script.hero_holds,
        "held.others": script.others_hold,
        "held.unpaid": script.unpaid,
        "held.kit": script.kit,
        "started": script.started,
    }
    for place, names in lists.items():
        for name in sorted(names):
            if name not in script.templates:
                raise _Fault(f"{place}: '{name}' is not described", *place.split("."))
    if script.rounds and not script.funding:
        raise _Fault("has blocks, but no funding transaction")
    delays = {
        output.lock_path.blocks
        for template in script.templates.values()
        for output in template.outputs
        if output.role is Role.DELAYED and output.lock_path is not None
    }
    if len(delays) > 1:
        raise _Fault("commitments wait for different delays")


def _check_rounds(script: Script) -> None:
    """Blocks follow one another, and nobody publishes what it cannot complete."""
    mined: set[str] = set()
    seen = set(script.others_hold)
    for index, block in enumerate(script.rounds):
        number, path = script.begins + 1 + index, ("rounds", index)
        place = f"block {block.height}"
        if block.height != number:
            raise _Fault(f"{place} stands where block {number} should", *path, "height")
        for name in (*block.broadcast, *block.mined):
            if name not in script.templates:
                raise _Fault(f"{place}: '{name}' is not described", *path)
        if block.asleep and block.broadcast:
            raise _Fault(f"{place}: {script.hero} broadcasts '{block.broadcast[0]}' while it is away", *path, "asleep")
        for name in block.broadcast:
            if name not in script.hero_holds:
                raise _Fault(
                    f"{place}: {script.hero} broadcasts '{name}', which it does not hold complete", *path, "broadcast"
                )
        seen |= set(block.broadcast)
        for name in block.mined:
            if name not in seen:
                raise _Fault(f"{place}: '{name}' is mined, which nobody holds complete", *path, "mined")
            if name in mined or name == script.funding:
                raise _Fault(f"{place}: '{name}' is mined a second time", *path, "mined")
            mined.add(name)
