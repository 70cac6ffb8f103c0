"""What a broken ceremony comes to on the chain: the last part of its story.

One output of ``A``, ``B`` and ``L`` in block 0, of which ``A`` owns 4 units of 10. *parent* spends it into another such
output, *child* spends that and pays each its own, *rival* spends it and pays all to ``L``.
"""

from __future__ import annotations

from dataclasses import dataclass

from superscalar_ref.check.ceremony import COORDINATOR, ME, THIRD
from superscalar_ref.check.game import Round
from superscalar_ref.check.trace import Hands, Trace
from superscalar_ref.protocol.transaction import Kind, Outpoint, Output, Role, Spend, Template

OWED = 4
"""What the signer owns of the shared output (units)."""
_ALL = frozenset({ME, THIRD, COORDINATOR})
_SHARES = ((ME, OWED), (THIRD, 3), (COORDINATOR, 3))
_WHOLE = sum(amount for _, amount in _SHARES)


def _wallet(owner: str, amount: int) -> Output:
    return Output(Role.WALLET, amount, frozenset({owner}), owner=owner)


def _templates() -> dict[str, Template]:
    shared = Output(Role.TREE, _WHOLE, _ALL)
    funding, above = Outpoint("funding", 0), Outpoint("parent", 0)
    every = (
        Template("funding", Kind.FUNDING, (Spend(Outpoint("coin", 0)),), (shared,), frozenset({COORDINATOR})),
        Template("parent", Kind.KICKOFF, (Spend(funding),), (shared,), _ALL),
        Template("child", Kind.STATE, (Spend(above),), tuple(_wallet(*share) for share in _SHARES), _ALL),
        Template("rival", Kind.KICKOFF, (Spend(funding),), (_wallet(COORDINATOR, _WHOLE),), _ALL),
    )
    return {template.name: template for template in every}


@dataclass(frozen=True)
class _Loss:
    """What is mined, and why the signer has no answer."""

    mined: str
    says: str


def _loss(name: str, way: tuple[str, ...]) -> _Loss:
    """What the others make of it. ``way`` ends with what broke the property."""
    last = way[-1]
    if name == "P-SIGNED-CHILDREN-FIRST":
        return _Loss("parent", f"'child', which pays {ME}, needs {COORDINATOR}'s signature, which it keeps back.")
    if name == "P-ONE-SPEND-PER-OUTPOINT":
        return _Loss("rival", f"{ME} has signed 'parent' and 'rival', which spend one output: the miner chooses.")
    if name == "P-NONCE-ONCE":
        return _Loss("rival", f"{ME} signed twice with one nonce: {COORDINATOR} computes its key, and signs for it.")
    if name == "P-HELD-IS-COMPLETE" and "'child'" in last:
        return _Loss("parent", f"{ME} signs 'parent' next; what it holds for the signature of 'child' is none.")
    if name == "P-HELD-IS-COMPLETE":
        return _Loss("", f"What {ME} holds for the complete transaction is none: it cannot leave.")
    return _Loss("", f"{ME} signs a newer version when an older one may already have won; it counts on {OWED}.")


def loss(name: str, way: tuple[str, ...]) -> Trace:
    """The trace of a property of the ceremonies that is broken after these steps, to its end on the chain."""
    templates = _templates()
    found = _loss(name, way)
    rounds = (Round(1, False, (), (found.mined,), 0),) if found.mined else ()
    held = frozenset({found.mined} - {""})
    hands = Hands(frozenset(), held, templates=(templates["funding"], *(templates[one] for one in sorted(held))))
    return Trace(
        name,
        ME,
        "ceremonies",
        (),
        OWED,
        0,
        way,
        rounds,
        tuple(templates[one] for one in held),
        templates["funding"] if rounds else None,
        found.says,
        hands,
    )
