"""What blocks ask for in a story: a price that the adversary chooses, and wallets that pay it (STR-30 to STR-32).

Laws of this module:

* Whoever is hostile pays any price, and comes first.
* The price may hold back what an honest party broadcasts for so long as ``confirmation_blocks`` says, and no longer,
  if that party has done what it can: it has no coin, or it pays what the last block asked (R-STEP-DOMINATES, Q-FEE-1).
* What a party with a coin did not raise is held back for ever.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from superscalar_ref.bitcoin.transaction import TxOutput
from superscalar_ref.chain.fees import FeeMarket, Offer
from superscalar_ref.chain.interface import Ledger, OutPoint, TxOut
from superscalar_ref.chain.model import Book
from superscalar_ref.parties.bumper import Bumper
from superscalar_ref.protocol.transaction import Kind, Outpoint, Output, Role, Spend, Template
from superscalar_ref.realise.book import CoinOutput
from superscalar_ref.realise.tree import Realised
from superscalar_ref.signing.nonces import SeededRandomness
from tests.lifecycle.probe import Piece
from tests.parties.scene import LSP, payout, secret

PRICES = (0, 2, 20, 50)
"""What a block may ask for (sat/vB): nothing, twice what is signed in, and more."""
COIN = 400_000
"""One coin of a wallet (sat): enough for every child of a story."""
LSP_COINS = 6
"""The LSP may have to go down several branches at once."""
CLIENT_COINS = 2


@dataclass
class Package:
    """What one party wants in the next block, and has to be in it together."""

    owner: str
    """Empty for what nobody raises: a funding transaction, a close."""
    pieces: list[Piece]
    offers: list[Offer]

    @property
    def name(self) -> str:
        """Of the transaction that it is about."""
        return self.pieces[0].template.name

    def pays(self, price: int) -> bool:
        """Whether a block that asks for ``price`` (sat/vB) takes the first of it."""
        return self.offers[0] in FeeMarket(price).block(0, self.offers)


@dataclass
class Market:
    """Prices, wallets, and who has waited how long."""

    patience: int
    """Blocks for which a price may hold back what is adequate."""
    price: int = 0
    """What the next block asks for (sat/vB), unless something has waited too long."""
    asked: int = 0
    """What the last block asked for: all that anybody knows."""
    held: dict[str, int] = field(default_factory=dict)
    """Adequate transactions → blocks for which they have been held back."""
    wallets: dict[str, Bumper] = field(default_factory=dict)
    coins_of: dict[str, int] = field(default_factory=dict)
    """What each wallet began with (sat)."""

    @staticmethod
    def coins(rich: Sequence[str]) -> dict[str, list[TxOut]]:
        """What the chain begins with for the wallets of the LSP and these clients."""
        return {
            name: [TxOut(COIN, payout(name))] * (LSP_COINS if name == LSP else CLIENT_COINS) for name in (LSP, *rich)
        }

    def open(self, names: Sequence[str], funds: Mapping[str, Sequence[OutPoint]], book: Book) -> None:
        """A wallet for everybody; its coins are named in the book."""
        for name in names:
            script = payout(name)
            coins = []
            for point in funds.get(name, ()):
                book.fund(point, Outpoint("coin", point.index), wallet_output(name, COIN), script)
                coins.append(CoinOutput(point.txid[::-1].hex(), point.index, TxOutput(COIN, script)))
            self.coins_of[name] = COIN * len(coins)
            role = "lsp" if name == LSP else "client"
            randomness = SeededRandomness(f"wallet of {name}")
            self.wallets[name] = Bumper(secret(f"payout of {name}"), script, coins, role, randomness=randomness)

    def spare(self, name: str, ledger: Ledger) -> int:
        """What rests on a client's script and is not from the factory (sat): its coins, less what children cost."""
        self.wallets[name].look(ledger)
        return self.coins_of.get(name, 0) - self.wallets[name].spent

    @staticmethod
    def child(owner: str, offer: Offer, book: Book, parent: Piece) -> Piece:
        """A child as the ledger of the rules wants to know it."""
        transaction = offer.transaction
        spent = []
        for one in transaction.inputs:
            if one.txid_hex == parent.transaction.txid:
                spent.append(parent.template.outpoint(parent.realised.places.index(one.index)))
            else:
                known = book.name(bytes.fromhex(one.txid_hex)[::-1])
                assert known is not None
                spent.append(Outpoint(known, one.index))
        amount = transaction.outputs[0].amount_sat
        name = f"child:{parent.template.name}#{transaction.txid[:12]}"
        template = Template(
            name,
            Kind.CHILD,
            tuple(Spend(one) for one in spent),
            (wallet_output(owner, amount),),
            frozenset({owner}),
            fee=offer.fee,
        )
        return Piece(transaction, Realised(template, transaction, (), (0,), b"", None))

    def next_block(self, ready: Sequence[Package]) -> int:
        """What the next block asks for of these, each of which it could hold (sat/vB); it is asked from then on."""
        overdue = any(self.held.get(one.name, 0) >= self.patience for one in ready)
        price = 0 if overdue else self.price
        held = {one.name for one in ready if not one.pays(price) and self._adequate(one)}
        self.held = {name: self.held.get(name, 0) + 1 for name in held}
        self.asked = price
        return price

    def _adequate(self, one: Package) -> bool:
        """Whether its owner has done what it can: a wallet of its own, that nobody has used, could do no more."""
        if one.owner not in self.wallets or one.pays(self.asked):
            return True
        purse = self.wallets[one.owner]
        return not Bumper(purse.key, purse.script, purse.free(), purse.role).children(one.offers[:1], self.asked)


def wallet_output(owner: str, amount: int) -> Output:
    """An output at rest in a party's wallet (sat)."""
    return Output(Role.WALLET, amount, frozenset({owner}), owner=owner)
