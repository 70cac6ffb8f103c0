"""The chain on which a trace is played: Bitcoin Core's code and the ledger of the rules as one, and what both say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from superscalar_ref.bitcoin.transaction import Transaction
from superscalar_ref.chain.agreement import AgreedLedger
from superscalar_ref.chain.interface import OutPoint, TxOut
from superscalar_ref.chain.kernel import COINBASE_MATURITY, SUBSIDY, KernelLedger, verify_input
from superscalar_ref.chain.model import Book
from superscalar_ref.errors import ChainError, InputError
from superscalar_ref.protocol.transaction import Kind, Outpoint, Output, Role, Spend, Template
from superscalar_ref.realise.tree import Realised
from superscalar_ref.replay.cast import Cast, coin_output, wallet_script
from superscalar_ref.replay.form import Script
from superscalar_ref.replay.outcome import CORE, MINED, Line, Outcome
from superscalar_ref.replay.scale import UNIT_SAT, Scale

ACCEPTED = "accepted"
ELSEWHERE = "elsewhere"
"""The name of the transaction that puts the coin somewhere else than the hero's transactions spend it from."""


class Stage:
    """A factory of a trace, built and funded on a chain of its own."""

    def __init__(self, script: Script, blocks: int) -> None:
        """``blocks`` on the chain for each block of the game. Raises ``InputError`` for a coin that nobody can have."""
        self.script = script
        self.outcome = Outcome()
        funding = script.templates[script.funding]
        amount = (sum(output.amount for output in funding.outputs) + funding.fee) * UNIT_SAT
        if amount > SUBSIDY:
            raise InputError(funding.name, f"pays {amount} sat, more than a coinbase has", "trace")
        (owner,) = funding.signers
        place = funding.spends[0].outpoint
        # Height 0 of the game is the block after the coins matured; the story may begin later.
        matured = COINBASE_MATURITY + script.begins * blocks
        kernel = KernelLedger.start([TxOut(amount, wallet_script(owner))], matured)
        self.scale = Scale(blocks, COINBASE_MATURITY + 1)
        self.templates = {name: self.scale.template(template) for name, template in script.templates.items()}
        self.cast = Cast(script.parties, self.templates)
        point = kernel.funds[0]
        coin = coin_output(point.txid[::-1].hex(), point.index, amount, wallet_script(owner))
        self.realised = self.cast.realise((place, coin), script.funding)
        self.book = Book()
        self._coin = Outpoint(place.transaction, point.index)
        own = Output(Role.WALLET, amount, frozenset({owner}), owner=owner)
        self.book.fund(point, self._coin, own, wallet_script(owner))
        self.ledger = AgreedLedger.start(kernel, self.book)
        self._complete: dict[str, Transaction] = {}
        self._introduced: set[str] = set()

    def close(self) -> None:
        """Give the chain back."""
        self.ledger.close()

    @property
    def coin(self) -> Outpoint:
        """The coin of the story, by the name that the trace gives it."""
        return self._coin

    # Transactions

    def transaction(self, name: str) -> Transaction:
        """A transaction that somebody holds, complete, and entered in the book of the rules."""
        if name not in self._complete:
            realised = self.realised[name]
            signed = self.cast.complete(realised)
            self.enter(realised, signed, realised.template.signers)
            self._complete[name] = signed
        return self._complete[name]

    def enter(self, realised: Realised, signed: Transaction, signers: frozenset[str]) -> None:
        """Tell the rules' ledger what bytes mean. Raises ``InputError`` when they are not what their template says."""
        for spend in realised.template.spends:
            self._introduce(spend.outpoint.transaction)
        self.book.add(signed.serialized, realised.template, signers, realised.places)

    def _introduce(self, name: str) -> None:
        """Tell the rules' ledger of a transaction that others spend, on the chain or not: its name and its txid."""
        if name in self._introduced or name not in self.realised:
            return
        self._introduced.add(name)
        self.enter(self.realised[name], self.realised[name].transaction, frozenset())

    # The chain

    def confirmed(self, name: str) -> int | None:
        """The height at which a transaction is confirmed."""
        return self.ledger.confirmation_height(bytes.fromhex(self.realised[name].txid)[::-1])

    def open(self, name: str) -> bool:
        """Whether everything that a transaction spends is on the chain and unspent."""
        unspent = self.ledger.unspent()
        inputs = self.realised[name].transaction.inputs
        return all(OutPoint(bytes.fromhex(i.txid_hex)[::-1], i.index) in unspent for i in inputs)

    def advance_to(self, height: int) -> None:
        """Mine empty blocks up to ``height``; nothing when the chain is as high."""
        self.ledger.advance(max(height - self.ledger.height, 0))

    def mine(self, names: Sequence[str], who: Mapping[str, str], game: int | None = None) -> None:
        """Mine a block of these transactions, which the trace says is valid. ``who`` published them."""
        transactions = [self.transaction(name) for name in names]
        height = self.ledger.height + 1
        said = ACCEPTED
        try:
            self.ledger.mine([transaction.serialized for transaction in transactions])
        except ChainError as error:
            said = error.reason
        for name, transaction in zip(names, transactions, strict=True):
            realised = self.realised[name]
            paid = sum(o.amount_sat for o in realised.spent) - sum(o.amount_sat for o in transaction.outputs)
            if said == ACCEPTED and paid != realised.template.fee:
                self.outcome.problems.append(f"{name} pays {paid} sat to miners, {realised.template.fee} in the trace")
            right = said == ACCEPTED
            self.outcome.add(Line(who[name], MINED, name, transaction.txid, height, game, said, right))

    def ask(self, who: str, says: str, name: str, accepted: bool | None, game: int | None = None) -> str:
        """Ask what Core says of a transaction in the next block; the chain stays. Returns the answer.

        ``accepted``: what the trace says that it must be; None when it says nothing.
        """
        return self.ask_raw(who, says, name, self.transaction(name), accepted, game)

    def ask_raw(
        self, who: str, says: str, name: str, transaction: Transaction, accepted: bool | None, game: int | None = None
    ) -> str:
        """As ``ask``, of given bytes."""
        verdict = self.ledger.would_accept([transaction.serialized])
        said = ACCEPTED if verdict.accepted else verdict.said
        right = accepted is None or verdict.accepted == accepted
        self.outcome.add(Line(who, says, name, transaction.txid, verdict.height, game, said, right))
        return said

    def script_refuses(self, says: str, name: str, transaction: Transaction) -> None:
        """Core's script check of a transaction whose parent is not on the chain: the signature must not be valid."""
        spent = [TxOut(output.amount_sat, output.script_pubkey) for output in self.realised[name].spent]
        valid = verify_input(transaction.serialized, 0, spent)
        said = "the script is satisfied" if valid else "the script is not satisfied"
        self.outcome.add(Line(CORE, says, name, transaction.txid, said=said, right=not valid))

    # What every replay begins and ends with

    def fund(self) -> None:
        """Put the factory's coin on the chain, or somewhere else when the trace says so: the block before the first."""
        funding = self.templates[self.script.funding]
        (owner,) = funding.signers
        if not self.script.elsewhere:
            self.mine([funding.name], {funding.name: owner}, self.script.begins)
            return
        amount = funding.amount_out() + funding.fee
        output = Output(Role.STOCK, amount, frozenset({owner}), owner=owner)
        template = Template(ELSEWHERE, Kind.FUNDING, (Spend(self.coin),), (output,), frozenset({owner}))
        self.templates[ELSEWHERE] = template
        self.realised[ELSEWHERE] = self.cast.elsewhere(self.realised[funding.name], template)
        self.mine([ELSEWHERE], {ELSEWHERE: owner}, self.script.begins)

    def owned(self) -> dict[str, int]:
        """What each party owns at rest on the chain, from transactions of the trace (sat)."""
        counted = {name for block in self.script.rounds for name in block.mined}
        txids = {bytes.fromhex(self.realised[name].txid)[::-1] for name in counted}
        owned: dict[str, int] = {}
        for point, coin in self.ledger.unspent().items():
            owner = self.cast.owners.get(coin.output.script)
            if point.txid in txids and owner is not None:
                owned[owner] = owned.get(owner, 0) + coin.output.amount
        return dict(sorted(owned.items()))

    def delayed(self, party: str) -> int:
        """What was ever paid to a party on the chain behind a delay (sat)."""
        return sum(
            output.amount
            for name, template in self.templates.items()
            for output in template.outputs
            if output.role is Role.DELAYED and output.owner == party and self.confirmed(name) is not None
        )

    def compare_owners(self) -> None:
        """Hold what everybody owns on the chain against what the trace says."""
        outcome = self.outcome
        owned = outcome.owned = self.owned()
        outcome.expected = {party: units * UNIT_SAT for party, units in sorted(self.script.owners.items()) if units}
        for party in sorted(owned.keys() | outcome.expected.keys()):
            has, should = owned.get(party, 0), outcome.expected.get(party, 0)
            if has != should:
                line = self.script.line("owners", party)
                outcome.problems.append(f"line {line}: {party} owns {has} sat on the chain, {should} sat in the trace")
