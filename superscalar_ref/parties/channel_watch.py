"""What one side of a channel does about the chain: it finds what was published, and brings home what is its own.

Laws of this module:

* Nothing is remembered but the transactions that were seen: every look decides anew from what is confirmed now, so
  that a restart or a reorg needs no case of its own.
* An output's money is at rest when the transaction that takes it is confirmed; the table asks for its depth.
* A preimage that appears on chain is learned, and durable, before anything else.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from superscalar_ref.bitcoin.transaction import Transaction, TxOutput
from superscalar_ref.chain.interface import Ledger
from superscalar_ref.errors import InputError
from superscalar_ref.parties.actor import Outbox
from superscalar_ref.parties.channel_actor import ChannelActor
from superscalar_ref.parties.watch import txid_bytes
from superscalar_ref.realise import claim as claims
from superscalar_ref.realise.channel import derive_secret, revocation_secret
from superscalar_ref.realise.claim import Claim
from superscalar_ref.realise.commitment import Commitment, Role, commitment_number
from superscalar_ref.realise.htlc import Direction, opens
from superscalar_ref.realise.second_stage import SecondStage, second_stage
from superscalar_ref.signing.keys import SecretKey

_OVER = ("closed", "swept", "penalised")
COMMITMENT = "commitment"
"""The claim that stands for the commitment itself: it must be deep too."""


@dataclass(frozen=True)
class Found:
    """A commitment on chain, and whose it is."""

    holder: str
    outpoint: str
    commitment: Commitment
    point: bytes
    height: int


@dataclass
class ChannelWatcher:
    """One side's eyes: ``feed`` it every transaction that is seen, then ``look``."""

    side: ChannelActor
    ledger: Ledger
    claim_fee_sat: int = 0
    """What each transaction that brings an output home pays (sat)."""
    seen: dict[tuple[str, int], list[Transaction]] = field(default_factory=dict)
    """Outpoint → every transaction seen that spends it."""
    _told: str = ""

    def feed(self, transaction: Transaction) -> None:
        """See a transaction, in a block or on its way to one."""
        for spend in transaction.inputs:
            known = self.seen.setdefault((spend.txid_hex, spend.index), [])
            if transaction.txid not in {one.txid for one in known}:
                known.append(transaction)

    def look(self) -> list[tuple[str, Transaction]]:
        """See the tip, let the channel's table take it, and return what to publish now, each with a name."""
        side = self.side
        side.height = self.ledger.height
        side.outbox = Outbox()
        closed = self._close_height()
        if closed is not None:
            if side.channel.status not in _OVER:
                self._tell("close_confirmed", depth=self._depth(closed))
            return []
        found = self.find()
        if found is None:
            return self._waiting()
        wanted = list(self._claims(found))
        names = frozenset(name for name, _ in wanted) | {COMMITMENT}
        told = found.commitment.transaction.txid
        if told != self._told and side.channel.status not in _OVER:
            # After a restart it is told again, and after a reorg another may be: each time the claims begin anew.
            fields = {"holder": found.holder, "number": found.commitment.state.number}
            side.see("commitment_confirmed", claims=names, **fields)
            self._told = told
        publish: list[tuple[str, Transaction]] = []
        for name, way in [(COMMITMENT, None), *wanted]:
            if name not in side.channel.claims:
                continue
            height, transaction = (found.height, None) if way is None else self._pursue(found, name, way)
            if height is not None:
                self._tell("claim_settled", claim=name, depth=self._depth(height))
            elif transaction is not None:
                publish.append((name, transaction))
        return publish

    def _waiting(self) -> list[tuple[str, Transaction]]:
        """While nothing is confirmed: publish again what this side has published."""
        side = self.side
        if side.channel.status == "agreed":
            return [("close", side.closing_transaction())]
        if side.channel.status in ("force_closing", "resolving", "breached"):
            # The last two: a reorg has taken the commitment that was confirmed.
            # Only one outpoint's leaf state can be on chain; the ledger takes that commitment alone.
            # Without a commitment on an outpoint this side has not signed its leaf state either (D-4).
            held = side.own.signatures.keys() if side.own is not None else ()
            return [(COMMITMENT, side.own_transaction(one)) for one in side.channel.outpoints if one in held]
        return []

    def _tell(self, event: str, **fields: int | str) -> None:
        """Let the table take an event of the chain, when it is deep enough for it."""
        if int(fields["depth"]) >= self.side.channel.depth:
            self.side.see(event, **fields)

    def _depth(self, height: int) -> int:
        return self.ledger.height - height + 1

    # -- what is on chain ----------------------------------------------------------------------------------------------

    def spender(self, txid: str, vout: int) -> tuple[Transaction, int] | None:
        """The confirmed transaction that spends an output, and its height."""
        for transaction in self.seen.get((txid, vout), []):
            height = self.ledger.confirmation_height(txid_bytes(transaction.txid))
            if height is not None:
                return transaction, height
        return None

    def _outpoints(self) -> Iterator[tuple[str, tuple[str, int]]]:
        names = {self.side.terms.outpoint, *self.side.channel.outpoints}
        for number in range(self.side.channel.theirs + 1):
            signed = self.side.their_commitment(number)
            if signed is not None:
                names.update(signed.outpoints)
        for name in sorted(names):
            txid, _, vout = name.partition(":")
            yield name, (txid, int(vout))

    def _close_height(self) -> int | None:
        side = self.side
        if not side.channel.leaving:
            return None
        outpoint = side.channel.outpoints[-1]
        try:
            closing = side.terms.closing(outpoint, side.channel.balance_msat).transaction
        except InputError:
            return None
        return self.ledger.confirmation_height(txid_bytes(closing.txid))

    def find(self) -> Found | None:
        """The commitment that is confirmed, on whichever outpoint; None when there is none.

        Raises ``InputError`` when it is one that this side never computed: it has lost its newest state.
        """
        side = self.side
        for name, place in self._outpoints():
            spent = self.spender(*place)
            if spent is None:
                continue
            transaction, height = spent
            number = commitment_number(side.terms.bolt_terms(side.name, name), transaction)
            signed = side.their_commitment(number)
            if signed is not None:
                point = bytes.fromhex(signed.point)
                built = side.terms.commitment(side.channel.peer, name, point, signed.said)
                if built.transaction.txid == transaction.txid:
                    return Found(side.channel.peer, name, built, point, height)
            if side.own is not None and name in side.own.signatures:
                built = side.own_commitment(name)
                if built.transaction.txid == transaction.txid:
                    return Found(side.name, name, built, bytes.fromhex(side.own.point), height)
            raise InputError(f"commitment {number} of {name}", "is none that this side knows", "CHN-52")
        return None

    # -- what is to be done --------------------------------------------------------------------------------------------

    def _claims(self, found: Found) -> Iterator[tuple[str, int]]:
        """Each output that is, or may become, this side's, and is worth its fee: its name and its place."""
        mine = found.holder == self.side.name
        revoked = self._revoked(found)
        for vout, output in enumerate(found.commitment.outputs):
            if output.output.amount_sat - self.claim_fee_sat < self.side.terms.mine.dust_limit_sat:
                continue
            if output.htlc is not None:
                payer = found.holder if output.htlc.direction is Direction.OFFERED else self._other(found.holder)
                yield f"htlc {payer} {output.htlc.number}", vout
            elif output.role is Role.TO_LOCAL and (mine or revoked):
                yield "to_local", vout
            elif output.role is Role.TO_REMOTE and not mine:
                yield "to_remote", vout

    def _other(self, name: str) -> str:
        return self.side.channel.peer if name == self.side.name else self.side.name

    def _revoked(self, found: Found) -> bool:
        return found.holder != self.side.name and found.commitment.state.number <= self.side.channel.revoked

    def _pursue(self, found: Found, name: str, vout: int) -> tuple[int | None, Transaction | None]:
        """(height at which the money came to rest, or None; what to publish for it now, or None)."""
        spent = self.spender(found.commitment.transaction.txid, vout)
        htlc = found.commitment.outputs[vout].htlc
        if spent is not None:
            transaction, height = spent
            if htlc is not None:
                self._learn(transaction, htlc.payment_hash)
                stage = second_stage(found.commitment, vout)
                place = stage.output_in(transaction)
                if place is not None and (found.holder == self.side.name or self._revoked(found)):
                    return self._pursue_second(found, stage, (transaction.txid, place), height)
            return height, None
        return None, self._take(found, vout)

    def _pursue_second(
        self, found: Found, stage: SecondStage, place: tuple[str, int], height: int
    ) -> tuple[int | None, Transaction | None]:
        """The output of a second stage, at ``place``: the holder's after its delay, the other side's when revoked."""
        spent = self.spender(*place)
        if spent is not None:
            return spent[1], None
        txid, vout = place
        if self._revoked(found):
            claim = replace(claims.revoked(stage), txid=txid, vout=vout)
            return None, self._bring_home(claim, self._revocation_key(found))
        if self.ledger.height + 1 < height + stage.to_self_delay:
            return None, None
        return None, self._bring_home(replace(claims.delayed(stage), txid=txid, vout=vout), self._delayed_key(found))

    def _take(self, found: Found, vout: int) -> Transaction | None:
        """What takes an unspent output of a commitment now; None while there is nothing to do but wait."""
        if self._revoked(found):
            if found.commitment.outputs[vout].role is Role.TO_REMOTE:
                return self._bring_home(claims.payment(found.commitment), self.side.keys.secrets.payment_basepoint)
            return self._bring_home(claims.revoked(found.commitment, vout), self._revocation_key(found))
        if found.holder == self.side.name:
            return self._take_mine(found, vout)
        return self._take_theirs(found, vout)

    def _take_mine(self, found: Found, vout: int) -> Transaction | None:
        commitment, htlc = found.commitment, found.commitment.outputs[vout].htlc
        following = self.ledger.height + 1
        if htlc is None:
            if following < found.height + commitment.terms.to_self_delay:
                return None
            return self._bring_home(claims.delayed(commitment), self._delayed_key(found))
        preimage = None
        if htlc.direction is Direction.RECEIVED:
            known = self._preimage(htlc.payment_hash)
            if known is None:
                return None
            preimage = known
        elif following <= htlc.cltv_expiry:
            return None
        side = self.side
        assert side.own is not None
        theirs = side.own.signatures[found.outpoint].htlcs[commitment.htlc_vouts.index(vout)]
        stage = second_stage(commitment, vout)
        key = derive_secret(side.keys.secrets.htlc_basepoint, found.point)
        return stage.signed(bytes.fromhex(theirs), key.sign(stage.holder_sighash, side.randomness), preimage)

    def _take_theirs(self, found: Found, vout: int) -> Transaction | None:
        commitment, htlc = found.commitment, found.commitment.outputs[vout].htlc
        secrets = self.side.keys.secrets
        if htlc is None:
            return self._bring_home(claims.payment(commitment), secrets.payment_basepoint)
        key = derive_secret(secrets.htlc_basepoint, found.point)
        if htlc.direction is Direction.RECEIVED:
            if self.ledger.height + 1 <= htlc.cltv_expiry:
                return None
            return self._bring_home(claims.after_expiry(commitment, vout), key)
        preimage = self._preimage(htlc.payment_hash)
        return None if preimage is None else self._bring_home(claims.with_preimage(commitment, vout, preimage), key)

    def _bring_home(self, claim: Claim, key: SecretKey) -> Transaction:
        """One output to this side's own script, less the fee."""
        output = TxOutput(claim.spent.amount_sat - self.claim_fee_sat, self.side.terms.mine.payout_script)
        unsigned = claims.unsigned((claim,), [output])
        return claims.sign(unsigned, (claim,), (key,), self.side.randomness)

    def _revocation_key(self, found: Found) -> SecretKey:
        secret = self.side.their_secret(found.commitment.state.number)
        assert secret is not None, "a commitment is revoked when its secret is held"
        return revocation_secret(self.side.keys.secrets.revocation_basepoint, secret)

    def _delayed_key(self, found: Found) -> SecretKey:
        return derive_secret(self.side.keys.secrets.delayed_payment_basepoint, found.point)

    def _preimage(self, payment_hash: bytes) -> bytes | None:
        known = self.side.preimages.get(payment_hash.hex())
        if known is not None:
            return bytes.fromhex(known)
        for htlc in self.side.channel.htlcs:
            if htlc.payment_hash == payment_hash.hex() and htlc.payer != self.side.name:
                answer = self.side.answer(htlc)
                if isinstance(answer, bytes) and opens(payment_hash, answer):
                    self.side.learn(answer, payment_hash)
                    return answer
        return None

    def _learn(self, transaction: Transaction, payment_hash: bytes) -> None:
        if payment_hash.hex() in self.side.preimages:
            return
        for witness in transaction.witnesses:
            for item in witness:
                if opens(payment_hash, item):
                    self.side.learn(item, payment_hash)
