"""A loss in a signing ceremony, with real MuSig2 sessions, and what it comes to on the chain.

One output of the parties ``A`` (the signer), ``B`` and ``L`` (the coordinator, who also speaks for ``B``). Three
transactions: *parent* spends it into another such output, *child* spends that and pays ``A``, *rival* spends it and
pays ``L``. The trace's own words say what ``A`` does; the others sign whatever they can.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from superscalar_ref.bitcoin.sighash import taproot_sighash
from superscalar_ref.bitcoin.taproot import p2tr_script
from superscalar_ref.bitcoin.transaction import Transaction, TxInput, TxOutput, build, with_witness
from superscalar_ref.chain.interface import TxOut
from superscalar_ref.chain.kernel import KernelLedger, verify_input
from superscalar_ref.errors import InputError, SigningError
from superscalar_ref.protocol.transaction import Role
from superscalar_ref.replay.cast import secret, wallet_script
from superscalar_ref.replay.form import Script
from superscalar_ref.replay.outcome import CORE, MINED, Line, Outcome
from superscalar_ref.replay.scale import UNIT_SAT
from superscalar_ref.replay.stage import ACCEPTED
from superscalar_ref.replay.stolen import Equation, solve
from superscalar_ref.signing import _libsecp, musig, nonces
from superscalar_ref.signing.keys import SecretKey
from superscalar_ref.signing.nonces import SeededRandomness

ME, COORDINATOR, THIRD = "A", "L", "B"
AMOUNT_SAT = 1_000_000
"""What the shared output holds."""
_UNKNOWNS = 3
"""A signer's secret key and the two halves of its nonce (BIP-327)."""


@dataclass(frozen=True)
class Draft:
    """One of the three transactions, unsigned."""

    name: str
    transaction: Transaction
    spent: TxOutput
    sighash: bytes


@dataclass
class Signer:
    """``A`` as it goes through the trace."""

    own: dict[str, tuple[bytes, bytes]] = field(default_factory=dict)
    """Transaction → the nonce of its session: the secret structure as a faulty signer would store it, and its public
    part (66 bytes)."""
    aggregates: dict[str, Mapping[str, tuple[nonces.SecretNonce, bytes]]] = field(default_factory=dict)
    """Transaction → the nonces of the others in the newest session."""
    partials: dict[str, bytes] = field(default_factory=dict)
    """Transaction → the partial signature that has left."""
    whole: dict[str, Transaction] = field(default_factory=dict)
    """Transaction → itself with the signature that it gets when everybody's part arrives."""
    heard: dict[str, set[str]] = field(default_factory=dict)
    """Transaction → whose valid partial signature has arrived, when A collects."""
    bad: dict[str, str] = field(default_factory=dict)
    """Transaction → whose invalid signature has arrived."""
    used: dict[bytes, list[tuple[str, musig.Session, bytes, bool]]] = field(default_factory=dict)
    """Public nonce → what it has signed: transaction, session, partial signature, whether that has left."""


class Ceremony:
    """The parties with their keys, the three transactions, and a chain with the shared output on it."""

    def __init__(self, collecting: bool) -> None:
        """``collecting``: A gathers the partial signatures, and not the coordinator."""
        self.collecting = collecting
        self.keys = {party: secret(f"{party}/factory") for party in (ME, COORDINATOR, THIRD)}
        self.key = musig.aggregate(key.public for key in self.keys.values()).taproot()
        shared = TxOutput(AMOUNT_SAT, p2tr_script(self.key.x_only))
        self.ledger = KernelLedger.start([TxOut(shared.amount_sat, shared.script_pubkey)])
        point = self.ledger.funds[0]
        funding = TxInput(point.txid[::-1].hex(), point.index)
        parent = _draft("parent", funding, shared, shared)
        child = TxInput(parent.transaction.txid, 0)
        self.drafts = {
            "parent": parent,
            "child": _draft("child", child, shared, TxOutput(AMOUNT_SAT, wallet_script(ME))),
            "rival": _draft("rival", funding, shared, TxOutput(AMOUNT_SAT, wallet_script(COORDINATOR))),
        }
        self.outcome = Outcome()
        self.signer = Signer()
        self.complete: dict[str, Transaction] = {}
        self.randomness = SeededRandomness("superscalar replay ceremony")

    # What A does

    def open(self, name: str) -> None:
        """A fresh nonce."""
        structure, public = _libsecp.nonce_gen(
            self.randomness(32),
            _libsecp.parse_point(self.keys[ME].public),
            self.keys[ME].reveal(),
            None,
            None,
            None,
        )
        self.signer.own[name] = (_libsecp.structure_bytes(structure), public)
        _libsecp.wipe(structure)
        self.signer.aggregates.pop(name, None)

    def others(self, name: str) -> None:
        """Fresh nonces of the others, and so another aggregate."""
        self.signer.aggregates[name] = {
            party: nonces.generate(self.keys[party], randomness=self.randomness) for party in (COORDINATOR, THIRD)
        }

    def sign(self, name: str, leaves: bool) -> str:
        """A's partial signature; when it leaves, the others complete the transaction. Returns what came of it."""
        signer, draft = self.signer, self.drafts[name]
        if name not in signer.own:
            raise InputError(f"'{name}'", f"{ME} signs in a session that it has not opened", "trace")
        if name not in signer.aggregates:
            self.others(name)
        stored, public = signer.own[name]
        theirs = signer.aggregates[name]
        total = nonces.aggregate_nonces([public, *(other[1] for other in theirs.values())])
        session = musig.Session.start(self.key, total, draft.sighash)
        mine = nonces.SecretNonce(_libsecp.structure_from("musig_secnonce", stored), self.keys[ME].public)
        partial = musig.partial_sign(session, self.keys[ME], mine)
        signer.used.setdefault(public, []).append((name, session, partial, leaves))
        if not leaves:
            return "the partial signature is made, and does not leave"
        contributions = [musig.Contribution(ME, self.keys[ME].public, public, partial)]
        for party, (own, own_public) in theirs.items():
            signed = musig.partial_sign(session, self.keys[party], own)
            contributions.append(musig.Contribution(party, self.keys[party].public, own_public, signed))
        signature = musig.finish(session, contributions)
        signer.whole[name] = with_witness(draft.transaction, 0, (signature,))
        del signer.aggregates[name]
        self.gather(name)
        if name not in self.complete:
            return "the partial signatures of the others are still to come"
        return f"with the others' it makes the valid signature {signature.hex()[:16]}…"

    def gather(self, name: str) -> None:
        """The transaction is complete once whoever collects has every partial signature."""
        if name in self.signer.whole and (not self.collecting or self.signer.heard.get(name) == {COORDINATOR, THIRD}):
            self.complete[name] = self.signer.whole[name]

    def crash(self, nonces_survive: bool) -> None:
        """What was in memory is gone; a faulty signer has stored its secret nonces."""
        if not nonces_survive:
            self.signer.own.clear()
        self.signer.aggregates.clear()

    # What the chain says

    def ask(self, ledger: KernelLedger, says: str, name: str, transaction: Transaction, accepted: bool) -> None:
        """Ask Core about a transaction in the next block."""
        verdict = ledger.would_accept([transaction.serialized])
        said = ACCEPTED if verdict.accepted else verdict.said
        right = verdict.accepted == accepted
        self.outcome.add(Line(CORE, says, name, transaction.txid, verdict.height, said=said, right=right))

    def mine(self, ledger: KernelLedger, who: str, name: str, transaction: Transaction) -> None:
        """Mine a transaction that must be valid. Raises ``ChainError`` when it is not."""
        ledger.mine([transaction.serialized])
        self.outcome.add(Line(who, MINED, name, transaction.txid, ledger.height, said=ACCEPTED))

    def wrong(self, problem: str) -> None:
        """The trace says otherwise."""
        self.outcome.problems.append(problem)


def _draft(name: str, spend: TxInput, spent: TxOutput, output: TxOutput) -> Draft:
    transaction = build(3, [spend], [output])
    return Draft(name, transaction, spent, taproot_sighash(transaction, 0, (spent,)))


def _mined(here: Ceremony, script: Script) -> None:
    """What the trace says is mined is what this ceremony has made: complete, and paying whom it says."""
    mined = {line.name for line in here.outcome.lines if line.says == MINED}
    for number, name in enumerate(name for block in script.rounds for name in block.mined):
        line, draft = script.line("transactions", number), here.drafts.get(name)
        # The invalid signature of P-HELD-IS-COMPLETE is what A signs the parent after.
        if draft is None or (name not in mined and script.broken != "P-HELD-IS-COMPLETE"):
            here.wrong(f"line {line}: '{name}' is nothing that this ceremony completes")
            continue
        paid = [
            (o.owner, o.amount * UNIT_SAT) if o.role is Role.WALLET else ("", o.amount * UNIT_SAT)
            for o in script.templates[name].outputs
        ]
        owner = {"child": ME, "rival": COORDINATOR}.get(name, "")
        if paid != [(owner, AMOUNT_SAT)]:
            here.wrong(f"line {line}: '{name}' pays {AMOUNT_SAT} sat to {owner or 'all three'}, and nothing else")


_NAME = r"'(?P<name>child|parent|rival)'"
_CRASH = re.compile(rf"^(?P<step>.*?), and {ME} crashes after '(?P<after>\w+)'$")
_STEPS: Sequence[tuple[re.Pattern[str], str]] = (
    (re.compile(rf"^{ME} opens {_NAME}$"), "open"),
    (re.compile(rf"^the aggregate nonce of {_NAME}$"), "others"),
    (re.compile(rf"^{ME} signs {_NAME}$"), "sign"),
    (re.compile(rf"^{ME} breaks {_NAME} off$"), "break"),
    (re.compile(rf"^the complete signature of {_NAME}$"), "quiet"),
    (re.compile(rf"^an invalid signature of {_NAME}$"), "bad"),
    (re.compile(rf"^{ME} finishes {_NAME}$"), "quiet"),
    (re.compile(rf"^[{COORDINATOR}{THIRD}]'s nonce for {_NAME}$"), "quiet"),
    (re.compile(rf"^(?P<who>[{COORDINATOR}{THIRD}])'s partial signature of {_NAME}$"), "partial"),
    (re.compile(rf"^(?P<who>[{COORDINATOR}{THIRD}])'s partial signature of {_NAME} \(invalid\)$"), "bad"),
    (re.compile(rf"^{ME} crashes$"), "crash"),
)
_LEFT = (None, "send_partial")
"""After which crash, or none, a partial signature has left."""


def play(script: Script) -> Outcome:
    """Take the trace's steps with real keys, and show what they come to. Raises ``InputError`` for unknown words."""
    shows: Mapping[str, Callable[[Ceremony], None]] = {
        "P-SIGNED-CHILDREN-FIRST": _children,
        "P-ONE-SPEND-PER-OUTPOINT": _rivals,
        "P-NONCE-ONCE": _nonce,
        "P-HELD-IS-COMPLETE": _held,
    }
    if script.broken not in shows:
        return Outcome(
            cannot=f"a trace of {script.broken} is about when a signer signs: no transaction is invalid by it"
        )
    here = Ceremony(any("'s nonce for" in says for says in script.off_chain))
    try:
        for says in script.off_chain:
            _step(here, says, script.broken == "P-NONCE-ONCE")
        shows[script.broken](here)
        _mined(here, script)
        return here.outcome
    finally:
        here.ledger.close()


def _step(here: Ceremony, says: str, nonces_survive: bool) -> None:
    crash = _CRASH.match(says)
    step, after = (crash["step"], crash["after"]) if crash else (says, None)
    matches = ((pattern.match(step), kind) for pattern, kind in _STEPS)
    found, kind = next(((found, kind) for found, kind in matches if found), (None, ""))
    if found is None:
        raise InputError(f"step '{says:.80}'", "is none of a signing ceremony", "trace")
    said = ""
    if kind == "open":
        here.open(found["name"])
    elif kind == "others":
        here.others(found["name"])
    elif kind == "sign":
        said = here.sign(found["name"], after in _LEFT)
    elif kind == "partial":
        here.signer.heard.setdefault(found["name"], set()).add(found["who"])
        here.gather(found["name"])
    elif kind == "bad":
        here.signer.bad[found["name"]] = found.groupdict().get("who", COORDINATOR)
    elif kind == "break":
        here.signer.own.pop(found["name"], None)
    if crash or kind == "crash":
        here.crash(nonces_survive)
    here.outcome.add(Line("", says, said=said))


def _children(here: Ceremony) -> None:
    """The parent is complete and mined; the child, which pays A, cannot be completed without A."""
    if "parent" not in here.complete or "child" in here.complete:
        here.wrong(f"{ME} has not signed a parent without its child")
        return
    here.mine(here.ledger, COORDINATOR, "parent", here.complete["parent"])
    draft = here.drafts["child"]
    made = {party: nonces.generate(here.keys[party], randomness=here.randomness) for party in here.keys}
    total = nonces.aggregate_nonces([public for _, public in made.values()])
    session = musig.Session.start(here.key, total, draft.sighash)
    partials = {party: musig.partial_sign(session, here.keys[party], made[party][0]) for party in (ME, THIRD)}
    for party in (ME, THIRD):
        made[party][0].destroy()
    # What A can gather while the coordinator keeps its own back.
    contributions = [
        musig.Contribution(party, here.keys[party].public, made[party][1], partials[party]) for party in partials
    ]
    try:
        musig.finish(session, contributions)
        here.wrong("the child is complete without the coordinator")
    except SigningError as error:
        here.outcome.add(
            Line(ME, f"cannot complete without {COORDINATOR}'s partial signature:", "child", said=str(error))
        )
    short = musig.partial_aggregate(session, list(partials.values()))
    here.ask(
        here.ledger,
        "with two of three partial signatures:",
        "child",
        with_witness(draft.transaction, 0, (short,)),
        False,
    )
    says = f"{AMOUNT_SAT} sat are under the parent, and only {COORDINATOR}'s signature can free them"
    here.outcome.add(Line("", says, height=here.ledger.height))


def _held(here: Ceremony) -> None:
    """A keeps a transaction whose signature is not valid: nobody can be blamed later, and Core refuses it."""
    if not here.signer.bad:
        here.wrong(f"nothing invalid has come to {ME}")
        return
    name, party = next(iter(here.signer.bad.items()))
    draft = here.drafts[name]
    made = {one: nonces.generate(here.keys[one], randomness=here.randomness) for one in here.keys}
    total = nonces.aggregate_nonces([public for _, public in made.values()])
    session = musig.Session.start(here.key, total, draft.sighash)
    # The faulty part is valid for another transaction.
    other = musig.Session.start(here.key, total, here.drafts["rival"].sighash)
    contributions = [
        musig.Contribution(
            one,
            here.keys[one].public,
            made[one][1],
            musig.partial_sign(other if one == party else session, here.keys[one], made[one][0]),
        )
        for one in here.keys
    ]
    try:
        musig.finish(session, contributions)
        here.wrong(f"the signature of '{name}' is valid")
    except SigningError as error:
        here.outcome.add(Line(ME, "would have seen, had it looked:", name, said=str(error)))
    signature = musig.partial_aggregate(session, [one.partial for one in contributions])
    held = with_witness(draft.transaction, 0, (signature,))
    valid = verify_input(held.serialized, 0, [TxOut(draft.spent.amount_sat, draft.spent.script_pubkey)])
    said = "the script is satisfied" if valid else "the script is not satisfied"
    here.outcome.add(Line(CORE, f"what {ME} holds for complete:", name, held.txid, said=said, right=not valid))


def _rivals(here: Ceremony) -> None:
    """Two transactions that spend one output are complete: each is valid on a chain of its own, one on one chain."""
    pair = [name for name in ("parent", "rival") if name in here.complete]
    if len(pair) < 2:
        here.wrong(f"{ME} has not signed two spends of one output")
        return
    for first, second in (pair, pair[::-1]):
        ledger = here.ledger.fork()
        try:
            who = COORDINATOR if first == "rival" else ME
            here.mine(ledger, who, first, here.complete[first])
            here.ask(ledger, f"void once '{first}' is mined:", second, here.complete[second], False)
        finally:
            ledger.close()
    says = f"which of the two is mined is the miner's choice: with 'rival', {COORDINATOR} owns all {AMOUNT_SAT} sat"
    here.outcome.add(Line("", says))


def _nonce(here: Ceremony) -> None:
    """One nonce under several challenges: the secret key is computed, and signs."""
    again = [uses for uses in here.signer.used.values() if len(uses) > 1]
    if not again:
        here.wrong(f"{ME} has not signed twice with one nonce")
        return
    uses = again[0]
    name = uses[0][0]
    challenges = {session.aggregate_nonce + session.message for _, session, _, _ in uses}
    if len(challenges) < len(uses):
        here.wrong("the nonce has signed the same twice, which reveals nothing")
        return
    says = f"one nonce under {len(uses)} challenges: what leaves are equations in {_UNKNOWNS} unknowns, for"
    here.outcome.add(Line("", says, name))
    # The same crash as often as it takes: nothing in this design stops it.
    while sum(leaves for *_, leaves in uses) < _UNKNOWNS:
        here.crash(nonces_survive=True)
        here.others(name)
        said = here.sign(name, leaves=True)
        here.outcome.add(Line(ME, f"crashes, finds its nonce again, and signs '{name}' once more", said=said))
    equations = [
        Equation.of(session.key.public_keys, here.keys[ME].public, session.aggregate_nonce, session.message, partial)
        for _, session, partial, leaves in uses
        if leaves
    ]
    stolen = SecretKey(solve(equations[:_UNKNOWNS]))
    found = stolen.public == here.keys[ME].public
    said = f"its public key is {stolen.public.hex()}, {ME}'s" if found else "it is not the key"
    here.outcome.add(Line(COORDINATOR, f"computes {ME}'s secret key from them", said=said, right=found))
    if not found:
        return
    draft = here.drafts["rival"]
    thieves = [stolen, here.keys[COORDINATOR], here.keys[THIRD]]
    signature = musig.sign_together(here.key, draft.sighash, thieves, here.randomness)
    here.mine(here.ledger, COORDINATOR, "rival", with_witness(draft.transaction, 0, (signature,)))
    here.outcome.add(Line(COORDINATOR, f"owns {AMOUNT_SAT} sat that {ME} never signed away", height=here.ledger.height))
