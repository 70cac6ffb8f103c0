"""The ceremony that supersedes a version of a leaf and poisons it: where it may stop, and who holds what there (D-10).

Three designs of the moment, and what can be done wrong in each. In the first two a poison is signed *with* or *after* a
state. In the third it is signed with its state, as an adaptor signature: whoever has that and a secret of the LSP's can
publish it, and the LSP reveals the secret when the next version is complete.

Laws of this module:

* A message is what changes who can complete what. The ceremony may stop after any, and in every order that an honest
  LSP may send them.
* The LSP knows its own secrets. So behind a secret it can publish a poison from the first day, and the others cannot:
  what is complete depends on who plays.
* A poison that is on chain tells its secret to everybody: it opens all that is behind the same one, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

SECRETS = ("secret", "secret-early", "secret-shared", "secret-unchecked")
"""Values of ``Plot.poison`` with a secret: one for each version; revealed before the newer version is complete; one for
all versions; a client takes the LSP's word for it."""
NONE: frozenset[str] = frozenset()
_LAST = {
    "none": "nothing is poisoned, and nothing revoked",
    "stock": "everybody gets the poison of the stock; the channels are left as they are",
}
"""How an update ends in designs that leave the channels of the old version as they are."""
FIRST = "everybody signs the first version, and the funding is in block 0"


@dataclass(frozen=True)
class Names:
    """Names of the transactions of an update."""

    old: frozenset[str]
    """Of the first version, with what does not change."""
    new: frozenset[str]
    """Of the second version, with what does not change."""
    state: frozenset[str]
    """The second version's state: of all that is new it alone may be kept back (D-4)."""
    poison: frozenset[str]
    """Of the first version's outputs."""
    newest: frozenset[str]
    """Poison of the second version's outputs: only designs with a secret sign it yet."""
    penalties: frozenset[str]
    """What the clients take of the first version's commitments once those are revoked (D-15)."""


@dataclass(frozen=True)
class Step:
    """The ceremony has come so far, and stops."""

    story: tuple[str, ...]
    complete: frozenset[str]
    """What somebody can publish, as far as the party that plays must reckon with it."""
    kept: frozenset[str]
    """Of this, what a client that plays has not got."""
    counted: bool
    """Whether a client counts on the second version."""


def channels_left(design: str) -> bool:
    """Whether a design leaves the channels of the old version as they are: neither poisoned nor revoked."""
    return design in _LAST


def steps(design: str, names: Names, lsp_plays: bool) -> Iterator[Step]:
    """Every stop of an update in ``design`` (``Plot.poison``); with a secret, from the side of the party that plays."""
    if design in SECRETS:
        yield from _behind_a_secret(design, names, lsp_plays)
        return
    both, bad = names.old | names.new, names.poison
    early = bad if design == "with" else NONE
    own = "; its own poison is signed with it" if early else ""
    told = [(f"{FIRST}{own}", names.old | early, NONE)]
    if design == "before":
        told.append(("the poison of the first version is signed before the second", names.old | bad, NONE))
    told += [
        ("L completes the second version, and keeps it back", both | early, names.state),
        ("everybody gets the second version", both | early, NONE),
    ]
    if bad:
        told.append(("L completes the poison of the first, and keeps it back", both | bad, bad))
    story: tuple[str, ...] = ()
    for says, complete, kept in told:
        story = (*story, says)
        yield Step(story, complete, kept, False)
    last = _LAST.get(design, "everybody gets the poison, and the old commitments are revoked")
    yield Step((*story, last), both | bad | names.penalties, NONE, True)


def _behind_a_secret(design: str, names: Names, lsp_plays: bool) -> Iterator[Step]:
    """The poison of each version is signed with it and published with a secret of the LSP's."""
    opened = names.poison | names.newest if design == "secret-shared" else names.poison

    def stop(*story: str, new: bool, given: bool, revealed: bool, counted: bool = False) -> Step:
        theirs = opened if revealed else NONE
        signed = names.poison | (names.newest if new else NONE)
        version = names.old | (names.new if new else NONE)
        revoked = names.penalties if counted else NONE
        kept = NONE if given or not new else names.state
        # Everybody else is one player: from a client's side it knows the secrets, from the LSP's what was revealed.
        complete = version | revoked | (theirs & signed if lsp_plays else signed)
        return Step(story, complete, kept | (signed - theirs), counted)

    shared = ", one for all versions" if design == "secret-shared" else ""
    first = f"{FIRST}; its poison is signed with it, behind a secret of L's{shared}"
    yield stop(first, new=False, given=False, revealed=False)
    if design == "secret-early":
        early = "L reveals the secret of the first version before the second is complete"
        yield stop(first, early, new=False, given=False, revealed=True)
        return
    done, gets = "L completes the second version, and keeps it back", "everybody gets the second version"
    reveals, counts = "L reveals the secret of the first version", "the old commitments are revoked"
    yield stop(first, done, new=True, given=False, revealed=False)
    yield stop(first, done, gets, new=True, given=True, revealed=False)
    if design == "secret-unchecked":
        # A channel that was never opened has nothing to revoke: its first commitments stay as they are.
        wrong = "L reveals something else than the secret of the first version, and nobody compares it"
        at = stop(first, done, gets, wrong, new=True, given=True, revealed=False, counted=True)
        yield replace(at, complete=at.complete - names.penalties)
        return
    yield stop(first, done, reveals, new=True, given=False, revealed=True)
    yield stop(first, done, gets, reveals, new=True, given=True, revealed=True)
    yield stop(first, done, gets, f"{reveals}, and {counts}", new=True, given=True, revealed=True, counted=True)
    yield stop(first, done, reveals, f"{gets}, and {counts}", new=True, given=True, revealed=True, counted=True)
