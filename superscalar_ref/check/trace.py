"""A loss told: as a numbered story, as a Mermaid sequence diagram, as JSON that can be played again.

The JSON form (``version`` 1): ``property``, ``hero``, ``configuration``, ``choices``, ``owed``, ``gets`` (units),
``loss`` (theft | ransom), ``off_chain`` (what was done before, in words), ``rounds`` (for each block: ``height``,
``asleep``, ``broadcast`` (by the hero), ``mined``, ``by``: who broadcast each of these, ``paid``), ``funding`` (what
created the factory's coin in block 0, or null), ``transactions``: every template that is mined, with what it spends and
pays, and ``owners``: what each party owns at rest after the last block (units).

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
from superscalar_ref.check.world import LSP
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
        locked = self.locked
        taken = sum(
            output.amount
            for template in self.transactions
            for output in template.outputs
            if output.role in (Role.WALLET, Role.DELAYED) and output.owner not in ("", self.hero)
        ) - sum(
            self._amount(spend.outpoint) for t in self.transactions for spend in t.spends if self._owned(spend.outpoint)
        )
        return "theft" if taken > locked - self.owed else "ransom"

    @property
    def locked(self) -> int:
        """What the factory's coin holds (units); 0 when there is none."""
        first = self.transactions[0] if self.transactions else None
        if first is None:
            return self.funding.outputs[0].amount if self.funding is not None else 0
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


def publisher(template: Template, hero: str) -> str:
    """Who of the others broadcasts ``template``: they act as one, so this names the one for whom it is done.

    A commitment is its holder's; whoever signs alone broadcasts alone; else whom it pays at once, else the LSP, which
    holds every signature first, else the first by name.
    """
    others = sorted(template.signers - {hero})
    if not others:
        return hero
    if template.holder in others:
        return template.holder
    paid = [o.owner for o in template.outputs if o.role is Role.WALLET and o.owner in others]
    return max(paid, key=paid.count) if paid else LSP if LSP in others else others[0]


def actors(trace: Trace) -> dict[str, str]:
    """Who broadcasts each transaction that is mined in ``rounds``."""
    own = {name for round_ in trace.rounds for name in round_.broadcast}
    return {t.name: trace.hero if t.name in own else publisher(t, trace.hero) for t in trace.transactions}


def story(trace: Trace) -> str:
    """The loss as numbered lines: first off chain, then block by block, then who owns what and was owed what."""
    lines = [f"{trace.broken} is lost by {trace.hero} in '{trace.configuration}'{_choices(trace)}."]
    number = 0
    for says in trace.off_chain:
        number += 1
        lines.append(f"{number:3}. {_sent(trace, says)}.")
    owned: dict[str, int] = {}
    who = actors(trace)
    rounds = list(trace.rounds)
    while rounds:
        alike = _alike(rounds)
        some, rounds = rounds[:alike], rounds[alike:]
        if _nothing(some[0]) and not some[0].asleep:
            if rounds:
                lines.append(f"     {_blocks(some)}: none of these transactions.")
            continue
        number += 1
        lines.append(f"{number:3}. {_round(trace, some, who, owned)}")
    lines += _ending(trace, owned)
    return "\n".join(lines)


def _sent(trace: Trace, says: str) -> str:
    """A step off chain with its actor: in a ceremony what just comes is sent by the coordinator."""
    comes = trace.configuration == "ceremonies" and says.startswith(("the ", "an "))
    return f"{LSP} sends {says}" if comes else says


def _nothing(round_: Round) -> bool:
    return not (round_.mined or round_.broadcast)


def _alike(rounds: list[Round]) -> int:
    """How many blocks from the first on can be told as one: in none of them anything is broadcast or mined."""
    first = rounds[0]
    number = 1
    while (
        number < len(rounds)
        and _nothing(first)
        and _nothing(rounds[number])
        and rounds[number].asleep == first.asleep
        and rounds[number].height == first.height + number
    ):
        number += 1
    return number


def _blocks(rounds: list[Round]) -> str:
    first, last = rounds[0].height, rounds[-1].height
    return f"block {first}" if first == last else f"blocks {first} to {last}"


def _ending(trace: Trace, owned: dict[str, int]) -> list[str]:
    """What is wrong, and who owns what at the end beside what it was owed."""
    lines = [f"     {trace.note}"] if trace.note else []
    if trace.hands.elsewhere:
        lines.append(f"     The coin of block 0 is not the one that the transactions of {trace.hero} spend.")
    if trace.rounds or not trace.note:
        have = ", ".join(f"{party} owns {amount}" for party, amount in sorted(owned.items()))
        left = trace.locked - sum(owned.values())
        waits = f"; {left} more wait in outputs that nobody has taken" if left > 0 else ""
        owed = f" Of the {trace.locked} in the coin, {trace.hero} was owed {trace.owed}." if trace.locked else ""
        lines.append(f"     In the end {have or 'nobody owns anything'}{waits}.{owed}")
    if trace.rounds or not trace.note:
        lines.append(
            f"     {trace.hero} counts on {trace.owed} and can be sure of {max(trace.gets, 0)}: "
            f"{trace.lost} lost ({trace.loss})."
        )
    return lines


def _choices(trace: Trace) -> str:
    return f" ({', '.join(f'{name}: {word}' for name, word in trace.choices)})" if trace.choices else ""


def _round(trace: Trace, rounds: list[Round], who: dict[str, str], owned: dict[str, int]) -> str:
    """One block in words, or several in which the hero is away; ``owned`` grows by what they pay."""
    hero, round_ = trace.hero, rounds[0]
    said = []
    if round_.asleep:
        said.append(f"{hero} is away" if len(rounds) == 1 else f"{hero} is away for {len(rounds)} blocks")
    if round_.broadcast:
        said.append(f"{hero} broadcasts {', '.join(round_.broadcast)}")
    for party in dict.fromkeys(who[name] for name in round_.mined if who[name] != hero):
        said.append(f"{party} broadcasts {', '.join(name for name in round_.mined if who[name] == party)}")
    if round_.mined:
        said.append(f"mined: {', '.join(round_.mined)}")
        void = _void(trace, round_)
        if void:
            said.append(f"void now: {', '.join(void)}")
    paid = False
    for template in trace.transactions:
        for output in template.outputs if template.name in round_.mined else ():
            if output.owner and output.role is Role.WALLET:
                owned[output.owner] = owned.get(output.owner, 0) + output.amount
                paid = True
    balances = ", ".join(f"{party} {amount}" for party, amount in sorted(owned.items()))
    return f"{_blocks(rounds)}: {'; '.join(said)}{f' [{balances}]' if paid else ''}"


def _void(trace: Trace, round_: Round) -> list[str]:
    """What the hero had broadcast by then, and what this block makes impossible."""
    known = {template.name: template for template in (*trace.hands.templates, *trace.transactions)}
    taken = {spend.outpoint for name in round_.mined for spend in known[name].spends}
    done = {name for r in trace.rounds if r.height <= round_.height for name in r.mined}
    tried = [name for r in trace.rounds if r.height <= round_.height for name in r.broadcast]
    return [
        name
        for name in dict.fromkeys(tried)
        if name in known and name not in done and taken & {spend.outpoint for spend in known[name].spends}
    ]


def mermaid(trace: Trace) -> str:
    """The loss as a Mermaid sequence diagram: the hero, everybody else who broadcasts, and the chain."""
    hero, who = trace.hero, actors(trace)
    others = [party for party in dict.fromkeys(who.values()) if party != hero] or ["everyone else"]
    keys = {party: f"X{number}" for number, party in enumerate(others)} | {hero: "H"}
    lines = ["sequenceDiagram", f"    participant H as {hero}"]
    lines += [f"    participant {keys[party]} as {party}" for party in others]
    lines.append("    participant C as chain")
    for says in trace.off_chain:
        lines.append(f"    Note over H,{keys[others[0]]}: {_plain(says)}")
    for round_ in trace.rounds:
        if _nothing(round_):
            continue
        for name in round_.broadcast:
            lines.append(f"    H->>C: {_plain(name)} (tip {round_.height - 1})")
        for name in round_.mined:
            if who[name] != hero:
                lines.append(f"    {keys[who[name]]}->>C: {_plain(name)}")
        names = ", ".join(_plain(name) for name in round_.mined) or "none of these"
        lines.append(f"    Note over C: block {round_.height}: {names}")
    lines.append(f"    Note over H: counts on {trace.owed}, gets {max(trace.gets, 0)}")
    return "\n".join(lines) + "\n"


def _plain(says: str) -> str:
    """Without what a diagram's language reads as its own."""
    return says.replace(";", ",").replace("#", " ")


def as_json(trace: Trace) -> dict[str, Any]:
    """The loss as plain data; see the module's text for its form."""
    who = actors(trace)
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
                "by": {name: who[name] for name in r.mined},
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
