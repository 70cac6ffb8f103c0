"""What one side of a channel hands to its watchtowers: finished penalties for what the peer has revoked.

Laws of this module:

* A penalty takes one output of one revoked commitment to this side's own script, by the revocation key: signed here, so
  that the tower needs no key, and learns none.
* Outputs are taken one by one: what the peer takes first spoils none of the others. The output of a second stage is
  covered as far as its txid is known, that is when the peer has not added inputs to it.
* A commitment counts as guarded when every tower has said that it keeps all of its penalties.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from superscalar_ref.bitcoin.transaction import Transaction, TxOutput
from superscalar_ref.parties import tower_messages as t
from superscalar_ref.protocol.channel import NO_COMMITMENT
from superscalar_ref.protocol.transaction import Kind
from superscalar_ref.realise import claim as claims
from superscalar_ref.realise.channel import revocation_secret
from superscalar_ref.realise.claim import Claim
from superscalar_ref.realise.commitment import Commitment, Role
from superscalar_ref.realise.second_stage import second_stage
from superscalar_ref.signing.keys import SecretKey

if TYPE_CHECKING:
    from superscalar_ref.parties.channel_actor import ChannelActor

FEERATES = (2, 20)
"""Each penalty is signed once for each of these (sat/vB): a tower cannot add to a fee."""


@dataclass
class PenaltyBook:
    """Which towers one side of a channel has, and what each of them keeps."""

    guarded: dict[str, int]
    """Tower → number of the peer's newest commitment whose penalties it keeps, and those of every older one."""
    waiting: dict[str, dict[int, set[str]]] = field(default_factory=dict)
    """Tower → number → txids that it was asked to keep, and has not said so."""

    @classmethod
    def of(cls, towers: Iterable[str], known: dict[str, int]) -> PenaltyBook:
        """The towers of a side; ``known``: what its store says that each keeps."""
        return cls({tower: known.get(tower, NO_COMMITMENT) for tower in towers})

    @property
    def least(self) -> int:
        """Number up to which every tower keeps the penalties."""
        return min(self.guarded.values(), default=NO_COMMITMENT)

    def letters(self, side: ChannelActor, again: bool = False) -> list[tuple[str, bytes]]:
        """(tower, message) for every revoked commitment that is not guarded; ``again``: also what was asked before."""
        found = []
        for tower, guarded in self.guarded.items():
            asked = self.waiting.setdefault(tower, {})
            for number in range(guarded + 1, side.channel.revoked + 1):
                if number in asked and not again:
                    continue
                forms = {one.txid: form for one, form in penalties(side, number)}
                asked[number] = set(forms)
                if forms:
                    found.append((tower, t.encode(t.Register(tuple(forms.values())))))
            # Where everything is dust there is nothing to wait for.
            self.keeps(tower, ())
        return found

    def keeps(self, tower: str, txids: Iterable[str]) -> None:
        """A tower has said that it keeps these."""
        asked = self.waiting.get(tower, {})
        for missing in asked.values():
            missing.difference_update(txids)
        while asked.get(self.guarded[tower] + 1) == set():
            self.guarded[tower] += 1
            del asked[self.guarded[tower]]


def penalties(side: ChannelActor, number: int) -> Iterator[tuple[Transaction, t.EntryForm]]:
    """Every penalty on the peer's revoked commitment ``number``, on each outpoint that it was ever signed for."""
    signed, secret = side.their_commitment(number), side.their_secret(number)
    assert signed is not None
    assert secret is not None, "a commitment is revoked when its secret is held"
    key = revocation_secret(side.keys.secrets.revocation_basepoint, secret)
    for outpoint in signed.outpoints:
        built = side.terms.commitment(side.channel.peer, outpoint, bytes.fromhex(signed.point), signed.said)
        for claim in _claims(built):
            for feerate in FEERATES:
                made = _penalty(side, claim, key, feerate)
                if made is not None:
                    spent = claim.spent
                    form = t.EntryForm(str(Kind.PENALTY), made.hex, spent.amount_sat, spent.script_pubkey.hex())
                    yield made, form


def _claims(built: Commitment) -> Iterator[Claim]:
    for vout, output in enumerate(built.outputs):
        if output.role in (Role.TO_LOCAL, Role.HTLC):
            yield claims.revoked(built, vout)
        if output.role is Role.HTLC:
            yield claims.revoked(second_stage(built, vout))


def _penalty(side: ChannelActor, claim: Claim, key: SecretKey, feerate: int) -> Transaction | None:
    """One output to this side's own script at a feerate (sat/vB); None when that would leave dust."""
    script = side.terms.mine.payout_script
    whole = claims.unsigned((claim,), [TxOutput(claim.spent.amount_sat, script)])
    # A signature by key path is 64 bytes: the size does not depend on it.
    size = claims.sign(whole, (claim,), (key,), side.randomness).vbytes
    rest = claim.spent.amount_sat - feerate * size
    if rest < side.terms.mine.dust_limit_sat:
        return None
    return claims.sign(claims.unsigned((claim,), [TxOutput(rest, script)]), (claim,), (key,), side.randomness)
