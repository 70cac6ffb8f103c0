"""Two ledgers as one: each call goes to both, and they must say the same.

``AgreedLedger`` stands wherever a ``Ledger`` does, so that running a path on it is the comparison: the same
transactions accepted and refused at the same heights, for the same reason, and the same outputs left unspent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from superscalar_ref.chain.interface import VALID, Ledger, Mined, OutPoint, Unspent, Verdict
from superscalar_ref.chain.model import Book, ModelLedger
from superscalar_ref.errors import ChainError, SuperscalarError

_REPEATED = "bad-txns-duplicate"
"""Core may see in the merkle tree that a block repeats a transaction, before it looks at any input (CVE-2012-2459)."""


class DisagreementError(SuperscalarError):
    """The ledger of the rules and Bitcoin Core's code say different things: one of our rules is wrong."""

    def __init__(self, what: str, height: int, rules_say: str, chain_says: str) -> None:
        self.what = what
        self.height = height
        self.rules_say = rules_say
        self.chain_says = chain_says
        super().__init__(f"{what} at height {height}: the rules say '{rules_say}', the chain '{chain_says}'")


class AgreedLedger:
    """The chain's answers, each held equal to what the rules say. A ``DisagreementError`` is the end of the run."""

    def __init__(self, chain: Ledger, model: ModelLedger) -> None:
        """Pair two ledgers at the same height."""
        if chain.height != model.height:
            raise DisagreementError("start", chain.height, str(model.height), str(chain.height))
        self.chain = chain
        self.model = model
        self.accepted = 0
        """How many transactions both have accepted, mined or tried."""
        self.refused = 0
        """How many blocks both have refused, mined or tried, for the same reason."""

    @classmethod
    def start(cls, chain: Ledger, book: Book) -> AgreedLedger:
        """Pair ``chain`` with a ledger of the rules that begins where it stands, with the outputs named in ``book``."""
        return cls(chain, ModelLedger(book, book.started(chain.unspent(), chain.height)))

    @property
    def height(self) -> int:
        """Height of the last block."""
        return self.chain.height

    def mine(self, transactions: Sequence[bytes] = ()) -> Mined:
        """Add one block to both, or neither; see ``Ledger.mine``."""
        height = self.height + 1
        rules_say = _said(lambda: self.model.mine(transactions), height)
        try:
            mined = self.chain.mine(transactions)
        except ChainError as refusal:
            self._compare(transactions, rules_say, Verdict(height, refusal.reason))
            raise
        self._compare(transactions, rules_say, Verdict(height, mined.said))
        self._same_outputs()
        return mined

    def advance(self, blocks: int) -> None:
        """Add ``blocks`` empty blocks to both."""
        self.model.advance(blocks)
        self.chain.advance(blocks)

    def would_accept(self, transactions: Sequence[bytes]) -> Verdict:
        """What the chain would say of these transactions now, which is what the rules would."""
        said = self.chain.would_accept(transactions)
        self._compare(transactions, self.model.would_accept(transactions), said)
        return said

    def confirmation_height(self, txid: bytes) -> int | None:
        """The height of the block that holds this transaction, or None."""
        return self.chain.confirmation_height(txid)

    def unspent(self) -> Mapping[OutPoint, Unspent]:
        """Every output on the chain that may still be spent."""
        return self.chain.unspent()

    def reorg(self, depth: int, branch: Sequence[Sequence[bytes]] = ()) -> None:
        """Replace the last ``depth`` blocks of both by ``depth + 1`` others; see ``Ledger.reorg``.

        When several blocks of a branch are wrong, each may name another one first: Core looks at what a block shows
        by itself before it connects any. Then only the refusal is compared, not its reason.
        """
        everything = [raw for block in branch for raw in block]
        rules_say = _said(lambda: self.model.reorg(depth, branch), self.height)
        try:
            self.chain.reorg(depth, branch)
        except ChainError as refusal:
            if rules_say.accepted or rules_say.height == refusal.height:
                self._compare(everything, rules_say, Verdict(refusal.height, refusal.reason))
            raise
        self._compare(everything, rules_say, Verdict(self.height, VALID))
        self._same_outputs()

    def fork(self) -> AgreedLedger:
        """An independent pair with the same blocks; it counts for itself."""
        return AgreedLedger(self.chain.fork(), self.model.fork())

    def close(self) -> None:
        """Close both."""
        self.chain.close()
        self.model.close()

    def _compare(self, transactions: Sequence[bytes], rules_say: Verdict, chain_says: Verdict) -> None:
        names = [self.model.book.describe(raw).template.name for raw in transactions]
        same = rules_say.code == chain_says.code
        if chain_says.code == _REPEATED and len(set(names)) < len(names):
            same = not rules_say.accepted
        if not same:
            what = ", ".join(names) or "an empty block"
            raise DisagreementError(what, chain_says.height, rules_say.said, chain_says.said)
        if chain_says.accepted:
            self.accepted += len(transactions)
        else:
            self.refused += 1

    def _same_outputs(self) -> None:
        """What the rules hold unspent must be unspent, with the same amount and height, and nothing more."""
        if self.model.height != self.chain.height:
            raise DisagreementError("the tip", self.height, str(self.model.height), str(self.chain.height))
        rules_have = self.model.unspent()
        chain_has = {point: coin for point, coin in self.chain.unspent().items() if self.model.book.name(point.txid)}
        for point in sorted(rules_have.keys() | chain_has.keys()):
            if rules_have.get(point) != chain_has.get(point):
                what = f"output {self.model.book.name(point.txid)}:{point.index}"
                ours, theirs = rules_have.get(point), chain_has.get(point)
                raise DisagreementError(what, self.height, str(ours), str(theirs))


def _said(step: Callable[[], object], height: int) -> Verdict:
    """Take a step of the rules' ledger and put what it says in the form of a verdict."""
    try:
        step()
    except ChainError as refusal:
        return Verdict(refusal.height, refusal.reason)
    return Verdict(height, VALID)
