"""A payment that the LSP has passed on, on Bitcoin Core's code: two channels with it, of two factories, on one chain.

Each factory has one client: coin, kickoff, leaf, one channel, and in it the payment. Laws of this module:

* What is said of a block is mined in that block, at the scale of the replay, in the order of the lines; a leaf's
  relative lock is the time that its exit is said to take, and Core must refuse the leaf one block before.
* The payer's timeout is refused one block before its lock; the LSP's own claim would be valid in that block
  too, and is the later one by the game's law.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from superscalar_ref.bitcoin.locks import NO_RELATIVE_LOCK, relative_lock_sequence
from superscalar_ref.bitcoin.sighash import taproot_sighash
from superscalar_ref.bitcoin.transaction import Transaction, TxInput, TxOutput, build, with_witness
from superscalar_ref.chain.interface import OutPoint, TxOut
from superscalar_ref.chain.kernel import COINBASE_MATURITY, KernelLedger
from superscalar_ref.check.htlc import LSP, Rules
from superscalar_ref.errors import InputError
from superscalar_ref.realise import claim as claims
from superscalar_ref.realise.channel import ChannelSecrets, derive_secret
from superscalar_ref.realise.commitment import State, Terms
from superscalar_ref.realise.commitment import build as build_commitment
from superscalar_ref.realise.htlc import Direction, Htlc
from superscalar_ref.realise.second_stage import second_stage
from superscalar_ref.replay.cast import secret, wallet_script
from superscalar_ref.replay.outcome import CORE, MINED, Line, Outcome
from superscalar_ref.replay.scale import UNIT_SAT, Scale
from superscalar_ref.replay.stage import ACCEPTED
from superscalar_ref.signing import musig
from superscalar_ref.signing.nonces import SeededRandomness

CAPACITY = 3
"""Units of a channel: one of each side, and the payment's."""
PREIMAGE = bytes(32)
PAYER, PAYEE = "payer", "payee"
_AT = r"^block (?P<height>\d+): "
_LINES = tuple(
    re.compile(pattern)
    for pattern in (
        rf"^{LSP} passes a payment on that expires at (?P<went>\d+); it came with (?P<came>\d+); .+$",
        rf"{_AT}{LSP} looks, and begins the exit of the channel that it went out by$",
        rf"{_AT}that leaf is mined$",
        rf"{_AT}{LSP}'s commitment on it is mined$",
        rf"{_AT}the payee claims with its preimage$",
        rf"{_AT}{LSP} finds the preimage, and begins the exit of the channel that it came in by$",
        rf"{_AT}that leaf is mined$",
        rf"{_AT}{LSP}'s commitment on it is mined$",
        rf"{_AT}the payer takes the payment back by its timeout, .+$",
    )
)
"""What such a trace says, line by line."""


@dataclass(frozen=True)
class _Way:
    """One of the two channels: what is published of it, each complete."""

    kickoff: Transaction
    leaf: Transaction
    lock: int
    """The leaf's relative lock (blocks)."""
    commitment: Transaction
    theirs: Transaction
    """The client's way to the payment."""
    mine: Transaction
    """The LSP's."""


class Forwarded:
    """One such trace. Raises ``InputError`` for a line that no such payment has."""

    def __init__(self, lines: Sequence[str], rules: Rules, blocks: int) -> None:
        self.lines = lines
        self.outcome = Outcome()
        self.randomness = SeededRandomness("superscalar replay forward")
        self.keys = {name: secret(f"{name}/factory") for name in (LSP, PAYER, PAYEE)}
        self.secrets = {name: ChannelSecrets.from_seed(secret(f"{name}/channels").reveal(), name) for name in self.keys}
        self.scale = Scale(blocks, COINBASE_MATURITY + 1)
        self.delay = rules.delay * blocks
        found = [_read(says, pattern) for says, pattern in zip(lines, _LINES, strict=True)]
        went, came = (self.scale.height(int(found[0][name])) for name in ("went", "came"))
        self.at = [0, *(self.scale.height(int(one["height"])) for one in found[1:])]
        coins = [self._terms(name, "00" * 32).funding_output for name in (PAYEE, PAYER)]
        self.ledger = KernelLedger.start([TxOut(one.amount_sat, one.script_pubkey) for one in coins])
        self.ledger.advance(self.scale.start - self.ledger.height)
        self.out = self._way(PAYEE, Direction.OFFERED, went, self.ledger.funds[0], self.at[1:3])
        self.back = self._way(PAYER, Direction.RECEIVED, came, self.ledger.funds[1], self.at[5:7])

    def close(self) -> None:
        """Give the chain back."""
        self.ledger.close()

    # -- what is built -------------------------------------------------------------------------------------------------

    def _terms(self, client: str, txid: str) -> Terms:
        """The channel with a client, as the LSP's commitment sees it."""
        keys = (self.keys[client].public, self.keys[LSP].public)
        points = (self.secrets[LSP].points, self.secrets[client].points)
        return Terms(txid, 0, CAPACITY * UNIT_SAT, keys, *points, True, self.delay, 330)

    def _together(self, client: str, spent: TxOutput, transaction: Transaction) -> Transaction:
        both = (self.keys[client], self.keys[LSP])
        key = musig.aggregate(one.public for one in both).taproot()
        message = taproot_sighash(transaction, 0, (spent,))
        return with_witness(transaction, 0, (musig.sign_together(key, message, both, self.randomness),))

    def _way(self, client: str, direction: Direction, expiry: int, coin: OutPoint, span: Sequence[int]) -> _Way:
        """``span``: the heights at which the LSP begins this exit, and of the leaf."""
        output = self._terms(client, "00" * 32).funding_output
        first = TxInput(coin.txid[::-1].hex(), coin.index, NO_RELATIVE_LOCK)
        kickoff = self._together(client, output, build(3, [first], [output]))
        lock = span[1] - (span[0] + 1)
        sequence = relative_lock_sequence(lock) if lock > 0 else NO_RELATIVE_LOCK
        leaf = self._together(client, output, build(3, [TxInput(kickoff.txid, 0, sequence)], [output]))
        htlc = Htlc(direction, 0, UNIT_SAT * 1000, hashlib.sha256(PREIMAGE).digest(), expiry)
        point = secret("commitment/point").public
        commitment = build_commitment(
            self._terms(client, leaf.txid), State(1, point, UNIT_SAT * 1000, UNIT_SAT * 1000, (htlc,))
        )
        vout = commitment.htlc_vouts[0]
        own, other = (derive_secret(self.secrets[name].htlc_basepoint, point) for name in (LSP, client))
        offered = direction is Direction.OFFERED
        claim = claims.with_preimage(commitment, vout, PREIMAGE) if offered else claims.after_expiry(commitment, vout)
        paid = claims.unsigned((claim,), [TxOutput(claim.spent.amount_sat, wallet_script(client))])
        stage = second_stage(commitment, vout)
        mine = stage.signed(
            other.sign(stage.other_sighash, self.randomness),
            own.sign(stage.holder_sighash, self.randomness),
            None if offered else PREIMAGE,
        )
        signed = self._together(client, output, commitment.transaction)
        return _Way(kickoff, leaf, lock, signed, claims.sign(paid, (claim,), (other,), self.randomness), mine)

    # -- what is played ------------------------------------------------------------------------------------------------

    def run(self) -> Outcome:
        """Each block in which something is said to be mined, in its order; what is asked about comes before it."""
        self.outcome.add(Line("", self.lines[0]))
        for says in (self.lines[1], self.lines[5]):
            self.outcome.add(Line("", says))
        before = "one block before its lock:"
        blocks: dict[int, list[tuple[str, str, Transaction]]] = {}
        for way, begins in ((self.out, 1), (self.back, 5)):
            for height, name, one in (
                (min(self.at[begins] + 1, self.at[begins + 1]), "kickoff", way.kickoff),
                (self.at[begins + 1], "leaf", way.leaf),
                (self.at[begins + 2], "commitment", way.commitment),
            ):
                blocks.setdefault(height, []).append((LSP, name, one))
        blocks.setdefault(self.at[4], []).append((PAYEE, "claim", self.out.theirs))
        blocks.setdefault(self.at[8], []).append((PAYER, "timeout", self.back.theirs))
        for height in sorted(blocks):
            for way, leaf in ((self.out, self.at[2]), (self.back, self.at[6])):
                if leaf == height and way.lock > 1:
                    self._advance(height - 2)
                    self._ask(CORE, before, "leaf", way.leaf, False)
            if height == self.at[8] and self.ledger.height < self.back.theirs.lock_time:
                self._advance(self.back.theirs.lock_time - 1)
                self._ask(CORE, before, "timeout", self.back.theirs, False)
            self._advance(height - 1)
            if height == self.at[8]:
                self._ask(LSP, "is no sooner there with its", "claim", self.back.mine, True)
            self._mine(blocks[height])
        for name, way in (("timeout", self.out), ("claim", self.back)):
            self._ask(LSP, "has nothing but what is void now:", name, way.mine, False)
        ways = {PAYEE: self.out.theirs, PAYER: self.back.theirs}
        self.outcome.owned = {name: self._resting(name, one) for name, one in ways.items()}
        self.outcome.expected = dict.fromkeys(ways, UNIT_SAT)
        if self.outcome.owned != self.outcome.expected:
            self.outcome.problems.append(f"payee and payer own {self.outcome.owned}, not {UNIT_SAT} sat each")
        return self.outcome

    def _advance(self, height: int) -> None:
        self.ledger.advance(max(height - self.ledger.height, 0))

    def _ask(self, who: str, says: str, name: str, one: Transaction, accepted: bool) -> None:
        verdict = self.ledger.would_accept([one.serialized])
        said, right = ACCEPTED if verdict.accepted else verdict.said, verdict.accepted == accepted
        self.outcome.add(Line(who, says, name, one.txid, verdict.height, said=said, right=right))

    def _mine(self, block: Sequence[tuple[str, str, Transaction]]) -> None:
        """One block of all that is said to be in it."""
        verdict = self.ledger.would_accept([one.serialized for _, _, one in block])
        if verdict.accepted:
            self.ledger.mine([one.serialized for _, _, one in block])
        said = ACCEPTED if verdict.accepted else verdict.said
        for who, name, one in block:
            self.outcome.add(Line(who, MINED, name, one.txid, verdict.height, said=said, right=verdict.accepted))

    def _resting(self, party: str, transaction: Transaction) -> int:
        txid = bytes.fromhex(transaction.txid)[::-1]
        coins = self.ledger.unspent().items()
        return sum(c.output.amount for p, c in coins if p.txid == txid and c.output.script == wallet_script(party))


def _read(says: str, pattern: re.Pattern[str]) -> dict[str, str]:
    found = pattern.match(says)
    if found is None:
        raise InputError(f"line '{says:.80}'", "is none of a payment that was passed on", "trace")
    return found.groupdict()
