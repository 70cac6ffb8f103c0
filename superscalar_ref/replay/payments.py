"""A payment that goes by the chain (``check.htlc``), on Bitcoin Core's code: its words become an exit and its claims.

A factory of one client: coin, kickoff, leaf, one channel with one HTLC in it. Laws of this module:

* What is said of a block is mined in that block, at the scale of the replay; the leaf's relative lock is the time that
  its exit is said to take, and Core must refuse the leaf one block before.
* Of the two who want the HTLC, each is asked about in the block that decides: what the game says that the loser cannot
  have mined, Core must refuse; what comes in time for a tie is the other side's by the game's own law.
* The HTLC's scripts are the format's (D-13), or, where only such a game goes this way, those with the delay inside.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from bitcoin.core.contrib.ripemd160 import ripemd160
from bitcoin.core.script import OP_CHECKSEQUENCEVERIFY, OP_DROP, CScript

from superscalar_ref.bitcoin.locks import NO_RELATIVE_LOCK, relative_lock_sequence
from superscalar_ref.bitcoin.script import cltv_leaf, key_and_preimage_leaf
from superscalar_ref.bitcoin.sighash import taproot_sighash
from superscalar_ref.bitcoin.taproot import ScriptTree
from superscalar_ref.bitcoin.transaction import Transaction, TxInput, TxOutput, build, with_witness
from superscalar_ref.chain.interface import TxOut
from superscalar_ref.chain.kernel import COINBASE_MATURITY, KernelLedger
from superscalar_ref.check.htlc import CLIENT, FORWARDED, LSP, Rules, follow
from superscalar_ref.errors import InputError
from superscalar_ref.realise import claim as claims
from superscalar_ref.realise.channel import ChannelSecrets, derive_secret
from superscalar_ref.realise.commitment import Commitment, State, Terms
from superscalar_ref.realise.commitment import build as build_commitment
from superscalar_ref.realise.htlc import Direction, Htlc
from superscalar_ref.realise.second_stage import second_stage
from superscalar_ref.replay.cast import secret, wallet_script
from superscalar_ref.replay.form import Script
from superscalar_ref.replay.forwards import CAPACITY, PREIMAGE, Forwarded
from superscalar_ref.replay.outcome import CORE, MINED, Line, Outcome
from superscalar_ref.replay.scale import UNIT_SAT, Scale
from superscalar_ref.replay.stage import ACCEPTED
from superscalar_ref.signing import musig
from superscalar_ref.signing.nonces import SeededRandomness
from superscalar_ref.spec.parameters import ParameterSet

_FINAL = 0xFFFFFFFE


def told(script: Script) -> tuple[str, ...]:
    """The story's lines with the loss as the last of them, as the game says them."""
    note = script.note.removesuffix(".")
    last = note[:1].lower() + note[1:] if note.startswith("Block ") else note
    return (*script.off_chain, last)


@dataclass(frozen=True)
class _Leaf:
    """What is built of one payment, each complete."""

    kickoff: Transaction
    leaf: Transaction
    commitment: Transaction
    mine: Transaction
    """The hero's way to the payment from its own commitment."""
    theirs: Transaction
    """The other side's: the timeout, or the alternate at the end."""


class _Play:
    def __init__(self, script: Script, rules: Rules, blocks: int) -> None:
        self.script = script
        self.rules = rules
        self.inside = rules.ways.scripts == "one-stage"
        self.outcome = Outcome()
        self.randomness = SeededRandomness("superscalar replay payment")
        self.keys = {name: secret(f"{name}/factory") for name in (CLIENT, LSP)}
        self.funding = musig.aggregate(key.public for key in self.keys.values()).taproot()
        self.secrets = {
            name: ChannelSecrets.from_seed(secret(f"{name}/channels").reveal(), CLIENT) for name in self.keys
        }
        self.scale = Scale(blocks, COINBASE_MATURITY + 1)
        self.coin = self._terms("00" * 32, LSP).funding_output
        self.ledger = KernelLedger.start([TxOut(self.coin.amount_sat, self.coin.script_pubkey)])
        self.ledger.advance(self.scale.start - self.ledger.height)
        self.hero, self.other = script.hero, LSP if script.hero == CLIENT else CLIENT
        self.lines = told(script)
        self.places = dict(map(_read, self.lines))
        self.made = self._made()

    def close(self) -> None:
        """Give the chain back."""
        self.ledger.close()

    # -- what is built -------------------------------------------------------------------------------------------------

    def _at(self, kind: str) -> int:
        """The height on the chain of a line."""
        return self.scale.height(int(self.places[kind]["height"]))

    def _terms(self, txid: str, holder: str) -> Terms:
        other = LSP if holder == CLIENT else CLIENT
        return Terms(
            txid,
            0,
            CAPACITY * UNIT_SAT,
            (self.keys[CLIENT].public, self.keys[LSP].public),
            self.secrets[holder].points,
            self.secrets[other].points,
            holder == LSP,
            self.rules.delay * self.scale.blocks,
            330,
        )

    def _together(self, spent: TxOutput, transaction: Transaction) -> Transaction:
        """With the signature of both."""
        message = taproot_sighash(transaction, 0, (spent,))
        signature = musig.sign_together(self.funding, message, tuple(self.keys.values()), self.randomness)
        return with_witness(transaction, 0, (signature,))

    def _made(self) -> _Leaf:
        point = self.ledger.funds[0]
        first = TxInput(point.txid[::-1].hex(), point.index, NO_RELATIVE_LOCK)
        kickoff = self._together(self.coin, build(3, [first], [self.coin]))
        self.lock = self._at("leaf") - (self._at("exit") + 1)
        sequence = relative_lock_sequence(self.lock) if self.lock > 0 else NO_RELATIVE_LOCK
        leaf = self._together(self.coin, build(3, [TxInput(kickoff.txid, 0, sequence)], [self.coin]))
        self.expiry = self.scale.height(int(self.places["begins"]["expiry"]))
        if self.inside:
            return self._one_stage(kickoff, leaf)
        commitment, vout = self._commitment(leaf)
        signed = self._together(self.coin, commitment.transaction)
        point_ = commitment.state.per_commitment_point
        own, other = (derive_secret(self.secrets[n].htlc_basepoint, point_) for n in (self.hero, self.other))
        stage = second_stage(commitment, vout)
        known = PREIMAGE if self.hero == CLIENT else None
        mine = stage.signed(
            other.sign(stage.other_sighash, self.randomness), own.sign(stage.holder_sighash, self.randomness), known
        )
        if self.hero == LSP:
            return _Leaf(kickoff, leaf, signed, mine, self._alternate(leaf))
        back = claims.after_expiry(commitment, vout)
        theirs = claims.unsigned((back,), [TxOutput(back.spent.amount_sat, wallet_script(LSP))])
        return _Leaf(kickoff, leaf, signed, mine, claims.sign(theirs, (back,), (other,), self.randomness))

    def _commitment(self, leaf: Transaction) -> tuple[Commitment, int]:
        """The hero's newest commitment, with the payment in it, and where."""
        direction = Direction.RECEIVED if self.hero == CLIENT else Direction.OFFERED
        htlc = Htlc(direction, 0, UNIT_SAT * 1000, hashlib.sha256(PREIMAGE).digest(), self.expiry)
        point = secret("commitment/point").public
        state = State(1, point, UNIT_SAT * 1000, UNIT_SAT * 1000, (htlc,))
        commitment = build_commitment(self._terms(leaf.txid, self.hero), state)
        return commitment, commitment.htlc_vouts[0]

    def _one_stage(self, kickoff: Transaction, leaf: Transaction) -> _Leaf:
        """A commitment whose HTLC has the delay before the claim, in its own script."""
        wait = bytes(CScript([self.rules.delay * self.scale.blocks, OP_CHECKSEQUENCEVERIFY, OP_DROP]))
        hashed = bytes(ripemd160(hashlib.sha256(PREIMAGE).digest()))
        own, other = self.keys[CLIENT], self.keys[LSP]
        tree = ScriptTree((cltv_leaf(other.x_only, self.expiry), wait + key_and_preimage_leaf(own.x_only, hashed)))
        htlc = TxOutput(UNIT_SAT, tree.script_pubkey(self.funding.x_only))
        sides = [TxOutput(UNIT_SAT, wallet_script(name)) for name in (CLIENT, LSP)]
        commitment = self._together(self.coin, build(3, [TxInput(leaf.txid, 0, _FINAL)], [htlc, *sides]))
        back = claims.Claim(commitment.txid, 0, htlc, other.public, self.funding.x_only, tree, 0, lock_time=self.expiry)
        delay = relative_lock_sequence(self.rules.delay * self.scale.blocks)
        mine = replace(back, key=own.public, leaf=1, lock_time=0, preimage=PREIMAGE, sequence=delay)
        signed = []
        for claim, key, name in ((mine, own, CLIENT), (back, other, LSP)):
            paid = claims.unsigned((claim,), [TxOutput(UNIT_SAT, wallet_script(name))])
            signed.append(claims.sign(paid, (claim,), (key,), self.randomness))
        return _Leaf(kickoff, leaf, commitment, signed[0], signed[1])

    def _alternate(self, leaf: Transaction) -> Transaction:
        """The whole channel to the client, at the end."""
        end = self.scale.height(self.rules.limits.end)
        spend = TxInput(leaf.txid, 0, NO_RELATIVE_LOCK)
        whole = TxOutput(self.coin.amount_sat, wallet_script(CLIENT))
        return self._together(self.coin, build(3, [spend], [whole], end))

    # -- what is played ------------------------------------------------------------------------------------------------

    def run(self) -> Outcome:
        """Each line in its order."""
        shows: Mapping[str, Callable[[str], None]] = {
            "begins": self._begins,
            "waits": lambda says: self.outcome.add(Line("", says)),
            "exit": self._exit,
            "leaf": self._leaf,
            "commitment": self._closes,
            "timeout": self._ends,
            "alternate": self._ends,
        }
        for says in self.lines:
            shows[_read(says)[0]](says)
            if self.outcome.problems:
                break
        return self.outcome

    def _ask(self, who: str, says: str, name: str, transaction: Transaction, accepted: bool) -> None:
        verdict = self.ledger.would_accept([transaction.serialized])
        said = ACCEPTED if verdict.accepted else verdict.said
        right = verdict.accepted == accepted
        self.outcome.add(Line(who, says, name, transaction.txid, verdict.height, said=said, right=right))

    def _mine(self, who: str, name: str, *transactions: Transaction) -> None:
        verdict = self.ledger.would_accept([one.serialized for one in transactions])
        if verdict.accepted:
            self.ledger.mine([one.serialized for one in transactions])
        said = ACCEPTED if verdict.accepted else verdict.said
        txid = transactions[-1].txid
        self.outcome.add(Line(who, MINED, name, txid, verdict.height, said=said, right=verdict.accepted))

    def _advance(self, height: int) -> None:
        self.ledger.advance(max(height - self.ledger.height, 0))

    def _begins(self, says: str) -> None:
        self.outcome.add(Line("", says, said=f"the HTLC's expiry is height {self.expiry}"))

    def _exit(self, says: str) -> None:
        self._advance(self._at("exit"))
        self.outcome.add(Line("", says, height=self.ledger.height))
        if self.lock > 0:
            self._mine(self.hero, "kickoff", self.made.kickoff)

    def _leaf(self, says: str) -> None:
        if self.lock > 1:
            self._advance(self._at("leaf") - 2)
            self._ask(CORE, "one block before its lock:", "leaf", self.made.leaf, False)
        self._advance(self._at("leaf") - 1)
        both = (self.made.leaf,) if self.lock > 0 else (self.made.kickoff, self.made.leaf)
        self._mine(self.hero, "leaf", *both)

    def _closes(self, says: str) -> None:
        self._advance(self._at("commitment") - 1)
        self._mine(self.hero, "commitment", self.made.commitment)

    def _ends(self, says: str) -> None:
        """The other side is first."""
        kind, _ = _read(says)
        height = self._at(kind)
        name, theirs, mine = kind, self.made.theirs, self.made.mine
        before, first = "one block before its lock:", "the first block in which its lock lets it:"
        probes = [(theirs.lock_time, before, name, theirs, False), (theirs.lock_time + 1, first, name, theirs, True)]
        if self.inside:
            ready = self._at("commitment") + self.rules.delay * self.scale.blocks
            probes += [(ready - 1, before, "claim", mine, False), (ready, first, "claim", mine, True)]
        elif kind == "timeout":
            # It would be valid since the commitment: the hero has not looked since, and a tie is the other side's.
            probes.append((height, f"{self.hero} is no sooner there with its", "claim", mine, True))
        for at, asked, what, transaction, accepted in sorted(probes, key=lambda probe: probe[0]):
            if self.ledger.height < at <= height:
                self._advance(at - 1)
                self._ask(CORE, asked, what, transaction, accepted)
        self._advance(height - 1)
        self._mine(self.other, name, self.made.theirs)
        void = ("claim", mine) if kind == "timeout" else ("commitment", self.made.commitment)
        self._ask(self.hero, "has nothing but what is void now:", *void, False)
        whole = UNIT_SAT if kind == "timeout" else self.coin.amount_sat
        has = self._resting(self.other, theirs)
        self.outcome.owned, self.outcome.expected = {self.other: has}, {self.other: whole}
        if has != whole:
            self.outcome.problems.append(f"{self.other} owns {has} sat by it, not {whole}")

    def _resting(self, party: str, transaction: Transaction) -> int:
        txid = bytes.fromhex(transaction.txid)[::-1]
        coins = self.ledger.unspent().items()
        return sum(c.output.amount for p, c in coins if p.txid == txid and c.output.script == wallet_script(party))


_WORDS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("begins", re.compile(rf"^(?:{CLIENT} accepts|{LSP} offers) a payment that expires at (?P<expiry>\d+)[,;] .+$")),
    ("waits", re.compile(rf"^block (?P<height>\d+): {CLIENT} looks, and waits$")),
    ("exit", re.compile(rf"^block (?P<height>\d+): [{CLIENT}{LSP}] looks, and begins its exit$")),
    ("leaf", re.compile(r"^block (?P<height>\d+): the leaf is mined$")),
    ("commitment", re.compile(rf"^block (?P<height>\d+): [{CLIENT}{LSP}]'s commitment is mined$")),
    ("timeout", re.compile(rf"^block (?P<height>\d+): {LSP} takes the payment back by its timeout, .+$")),
    ("alternate", re.compile(rf"^block (?P<height>\d+): the alternate is mined, and {CLIENT} has .+$")),
)


def _read(says: str) -> tuple[str, Mapping[str, str]]:
    for kind, pattern in _WORDS:
        found = pattern.match(says)
        if found:
            return kind, found.groupdict()
    raise InputError(f"line '{says:.80}'", "is none of a payment", "trace")


def play(script: Script, parameters: ParameterSet, blocks: int) -> Outcome:
    """Play the lines of a trace in their order. Raises ``InputError`` for words that no payment has.

    What goes as no game of payments goes is a disagreement; a payment that is lost off chain cannot be replayed.
    """
    lines = told(script)
    rules, agreed = follow(parameters, lines)
    if rules is None:
        place = ("off_chain", agreed) if agreed < len(script.off_chain) else ("note",)
        says = lines[min(agreed, len(lines) - 1)]
        return Outcome(problems=[f"line {script.line(*place)}: no game of payments has '{says}' here"])
    if not any(says.endswith(" leaf is mined") for says in lines):
        return Outcome(cannot=f"{script.hero} never goes to the chain in this trace")
    here = Forwarded(lines, rules, blocks) if script.broken == FORWARDED else _Play(script, rules, blocks)
    try:
        return here.run()
    finally:
        here.close()
