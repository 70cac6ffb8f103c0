"""A loss told: as a numbered story, as a Mermaid sequence diagram, as JSON that can be played again.

The JSON form (``version`` 1): ``property``, ``hero``, ``configuration``, ``choices``, ``owed``, ``gets`` (units),
``loss`` (theft | ransom), ``off_chain`` (what was done before, in words), ``rounds`` (for each block: ``height``,
``asleep``, ``broadcast``, ``mined``, ``paid``), ``funding`` (what created the factory's coin in block 0, or null),
``transactions``: every template that is mined, with what it spends and pays, and ``owners``: what each party owns at
rest after the last block (units).

For whoever plays it again there are also ``context`` (templates that are not mined, but held, meant, or spent from),
``held`` (names that the ``hero`` or the ``others`` can complete; those of the hero's that it cannot get mined for
want of a coin: ``unpaid``; what its versions consist of: ``kit``), ``elsewhere`` (the coin on the chain is not the one
that the hero's transactions spend) and ``started`` (states whose clock an exit starts beside those on its path).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from superscalar_ref.check.game import Round
from superscalar_ref.protocol.transaction import Outpoint, Role, Template


@dataclass(frozen=True)
class Hands:
    """Who could publish what when the game began: what a replay needs beyond the blocks."""

    hero: frozenset[str]
    """What the hero can complete."""
    others: frozenset[str]
    """What the others can complete."""
    unpaid: frozenset[str] = frozenset()
    """What the hero holds and cannot get mined by itself."""
    kit: frozenset[str] = frozenset()
    """What the hero must hold of the versions that it counts on or is offered."""
    templates: tuple[Template, ...] = ()
    """All of these and what they spend from, parents before children."""
    elsewhere: bool = False
    """The coin on the chain is not the one that the hero's transactions spend."""
    started: tuple[str, ...] = ()
    """States whose clock the hero's exit starts though they are not on its path."""


@dataclass(frozen=True)
class Trace:
    """How a property is lost."""

    broken: str
    """Id of the property."""
    hero: str
    configuration: str
    choices: tuple[tuple[str, str], ...]
    owed: int
    """What the hero counts on (units)."""
    gets: int
    """What it can force (units); -1 when something happened that must never happen."""
    off_chain: tuple[str, ...]
    """What happened before the game on the chain, in order."""
    rounds: tuple[Round, ...]
    transactions: tuple[Template, ...]
    """The templates that are mined in ``rounds``, in order."""
    funding: Template | None = None
    """What created the coin that the first of them spends."""
    note: str = ""
    """What is wrong, where the numbers do not say it."""
    hands: Hands = Hands(frozenset(), frozenset())

    @property
    def lost(self) -> int:
        """How much the hero loses (units)."""
        return self.owed - max(self.gets, 0)

    @property
    def loss(self) -> str:
        """theft: the others own more than was theirs on chain. ransom: the hero's money is stuck, nobody has it."""
        if not self.rounds or not self.transactions:
            return "ransom"
        locked = self._value_of_coin()
        taken = sum(
            output.amount
            for template in self.transactions
            for output in template.outputs
            if output.role in (Role.WALLET, Role.DELAYED) and output.owner not in ("", self.hero)
        ) - sum(
            self._amount(spend.outpoint) for t in self.transactions for spend in t.spends if self._owned(spend.outpoint)
        )
        return "theft" if taken > locked - self.owed else "ransom"

    def _value_of_coin(self) -> int:
        first = self.transactions[0]
        return first.amount_out() + first.fee

    def _output(self, outpoint: Outpoint) -> Any:
        for template in self.transactions:
            if template.name == outpoint.transaction:
                return template.outputs[outpoint.index]
        return None

    def _owned(self, outpoint: Outpoint) -> bool:
        output = self._output(outpoint)
        return output is not None and output.role is Role.DELAYED and output.owner != self.hero

    def _amount(self, outpoint: Outpoint) -> int:
        return int(self._output(outpoint).amount)


def story(trace: Trace) -> str:
    """The loss as numbered lines: first off chain, then block by block, without those in which nothing happens."""
    lines = [f"{trace.broken} is lost by {trace.hero} in '{trace.configuration}'{_choices(trace)}."]
    number = 0
    for says in trace.off_chain:
        number += 1
        lines.append(f"{number:3}. {says}.")
    owned: dict[str, int] = {}
    quiet = 0
    for round_ in trace.rounds:
        if not (round_.mined or round_.broadcast or round_.asleep):
            quiet += 1
            continue
        if quiet:
            lines.append(f"     {quiet} block{'s' if quiet > 1 else ''} without any of these transactions.")
            quiet = 0
        number += 1
        lines.append(f"{number:3}. {_round(trace, round_, owned)}")
    if trace.note:
        lines.append(f"     {trace.note}")
    else:
        lines.append(
            f"     {trace.hero} counts on {trace.owed} and can be sure of {max(trace.gets, 0)}: "
            f"{trace.lost} lost ({trace.loss})."
        )
    return "\n".join(lines)


def _choices(trace: Trace) -> str:
    return f" ({', '.join(f'{name}: {word}' for name, word in trace.choices)})" if trace.choices else ""


def _round(trace: Trace, round_: Round, owned: dict[str, int]) -> str:
    hero = trace.hero
    said = []
    if round_.asleep:
        said.append(f"{hero} is away")
    if round_.broadcast:
        said.append(f"{hero} broadcasts {', '.join(round_.broadcast)}")
    by_name = {template.name: template for template in trace.transactions}
    for name in round_.mined:
        for output in by_name[name].outputs if name in by_name else ():
            if output.owner and output.role is Role.WALLET:
                owned[output.owner] = owned.get(output.owner, 0) + output.amount
    if round_.mined:
        said.append(f"mined: {', '.join(round_.mined)}")
    who = ", ".join(f"{party} {amount}" for party, amount in sorted(owned.items()))
    return f"block {round_.height}: {'; '.join(said) or 'nothing'}{f' [{who}]' if round_.mined and who else ''}"


def mermaid(trace: Trace) -> str:
    """The loss as a Mermaid sequence diagram."""
    hero = trace.hero
    lines = [
        "sequenceDiagram",
        f"    participant H as {hero}",
        "    participant X as everyone else",
        "    participant C as chain",
    ]
    for says in trace.off_chain:
        lines.append(f"    Note over H,X: {says.replace(';', ',').replace('#', ' ')}")
    before = None
    for round_ in trace.rounds:
        if not (round_.mined or round_.broadcast):
            continue
        for name in round_.broadcast:
            lines.append(f"    H->>C: {name.replace('#', ' ')} (tip {round_.height - 1})")
        for name in round_.mined:
            if name not in round_.broadcast and name != before:
                lines.append(f"    X->>C: {name.replace('#', ' ')}")
        names = ", ".join(name.replace("#", " ") for name in round_.mined) or "none of these"
        lines.append(f"    Note over C: block {round_.height}: {names}")
    lines.append(f"    Note over H: counts on {trace.owed}, gets {max(trace.gets, 0)}")
    return "\n".join(lines) + "\n"


def as_json(trace: Trace) -> dict[str, Any]:
    """The loss as plain data; see the module's text for its form."""
    return {
        "version": 1,
        "property": trace.broken,
        "hero": trace.hero,
        "configuration": trace.configuration,
        "choices": dict(trace.choices),
        "owed": trace.owed,
        "gets": trace.gets,
        "loss": trace.loss,
        "note": trace.note,
        "off_chain": list(trace.off_chain),
        "rounds": [
            {
                "height": r.height,
                "asleep": r.asleep,
                "broadcast": list(r.broadcast),
                "mined": list(r.mined),
                "paid": r.paid,
            }
            for r in trace.rounds
        ],
        "funding": None if trace.funding is None else _template(trace.funding),
        "transactions": [_template(template) for template in trace.transactions],
        "owners": owners(trace.transactions),
        "context": [_template(t) for t in trace.hands.templates if t not in (*trace.transactions, trace.funding)],
        "held": {
            "hero": sorted(trace.hands.hero),
            "others": sorted(trace.hands.others),
            "unpaid": sorted(trace.hands.unpaid),
            "kit": sorted(trace.hands.kit),
        },
        "elsewhere": trace.hands.elsewhere,
        "started": list(trace.hands.started),
    }


def owners(transactions: Iterable[Template]) -> dict[str, int]:
    """What each party owns at rest once these are mined (units)."""
    owned: dict[str, int] = {}
    for template in transactions:
        for output in template.outputs:
            if output.role is Role.WALLET:
                owned[output.owner] = owned.get(output.owner, 0) + output.amount
    return dict(sorted(owned.items()))


def _template(template: Template) -> dict[str, Any]:
    return {
        "name": template.name,
        "kind": str(template.kind),
        "holder": template.holder,
        "signers": sorted(template.signers),
        "lock_time": template.lock_time,
        "fee": template.fee,
        "spends": [
            {
                "transaction": spend.outpoint.transaction,
                "index": spend.outpoint.index,
                "relative_lock": spend.relative_lock,
                "by_lock_path": spend.by_lock_path,
            }
            for spend in template.spends
        ],
        "outputs": [
            {
                "role": str(output.role),
                "amount": output.amount,
                "signers": sorted(output.signers),
                "owner": output.owner,
                "lock_path": None
                if output.lock_path is None
                else {
                    "owner": output.lock_path.owner,
                    "kind": str(output.lock_path.kind),
                    "blocks": output.lock_path.blocks,
                },
            }
            for output in template.outputs
        ],
    }


def mined(catalog: Mapping[str, Template], rounds: tuple[Round, ...]) -> tuple[Template, ...]:
    """The templates that ``rounds`` mine, in order."""
    return tuple(catalog[name] for round_ in rounds for name in round_.mined)
