"""Leaving with payments: to the client's channel in the next factory, or to the chain by a swap.

* A client that moves is in both factories, with a key of its own in each: ``f0c0`` and ``f1c0`` are the same person.
* A swap is one payment hash in two places: the client offers an HTLC in its channel, the LSP pays an output that the
  preimage opens. The output falls back to the LSP so much earlier than the HTLC expires that the LSP can still claim
  that one on chain (R-HTLC-FORWARD).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from bitcoin.core.contrib.ripemd160 import ripemd160

from superscalar_ref.bitcoin.locks import NO_RELATIVE_LOCK
from superscalar_ref.bitcoin.script import cltv_leaf, key_and_preimage_leaf
from superscalar_ref.bitcoin.sighash import taproot_sighash
from superscalar_ref.bitcoin.taproot import ScriptTree, tap_leaf
from superscalar_ref.bitcoin.transaction import Transaction, TxInput, TxOutput, build, with_witness
from superscalar_ref.parties.channel_actor import no_answer
from superscalar_ref.scenario.payment_two_factories import CLAIMS, CLIENT_ALONE, LSP_ALONE, Case, finish, start
from superscalar_ref.scenario.payment_world import FEE_MSAT, PAYEE, PAYER, Home, World
from superscalar_ref.scenario.story import CHAIN, End, Line, Told
from superscalar_ref.scenario.town import LSP, payout_key, payout_script, wallet_key
from superscalar_ref.signing.musig import aggregate

PREIMAGE = b"\x03" * 32
HASH = hashlib.sha256(PREIMAGE).digest()
CLAIM, REFUND = 0, 1
"""Places of the leaves of a swap's output."""
SPEND_FEE = 200
"""Of each spend of a swap's output, and of what makes it (sat): 1 sat/vB and a little more."""
CLAIM_BLOCKS = 12
"""Blocks that the client has to claim."""


def move_over_lightning() -> Told:
    """All that a client has in the old factory goes to its channel in the next one; then both end on chain, alone."""
    world = start().branch()
    old, new = (home.sides[0] for home in world.homes)
    moved = old.channel.balance_msat - FEE_MSAT
    promised = (new.channel.balance_msat + moved) // 1000
    lines = [
        Line(world.ledger.height, PAYER, LSP, f"pays {moved:,} msat, and {FEE_MSAT:,} msat for passing them on"),
        Line(world.ledger.height, LSP, PAYEE, f"pays {moved:,} msat to the channel in the next factory"),
    ]
    world.on_answer(PAYEE, lambda htlc: PREIMAGE if htlc.payment_hash == HASH.hex() else None)
    world.pay(moved, HASH.hex())
    world.run().settle()
    height, left = world.ledger.height, old.channel.balance_msat
    lines.append(Line(height, PAYER, "", f"has {left:,} msat in the old factory: its leaf is empty for it"))
    # A commitment pays whole satoshis: what is left of one is its anchor's.
    lsps = sum(home.side(LSP).channel.balance_msat // 1000 for home in world.homes)
    done = finish(world, Case(CLAIMS, 0, LSP_ALONE, CLIENT_ALONE))
    owed = {PAYER: 0, PAYEE: promised, LSP: lsps}
    ends = tuple(End(name, sats, done.paid[name], 0) for name, sats in owed.items())
    return Told((*lines, *done.story[1:]), ends)


@dataclass(frozen=True)
class SwapOutput:
    """What the LSP pays on chain: the client's with the preimage, the LSP's above ``refund_height``."""

    amount: int
    refund_height: int

    @property
    def tree(self) -> ScriptTree:
        """The leaves of claim and refund."""
        claim = key_and_preimage_leaf(wallet_key(PAYER).x_only, bytes(ripemd160(HASH)))
        return ScriptTree((claim, cltv_leaf(wallet_key(LSP).x_only, self.refund_height)))

    @property
    def internal_key(self) -> bytes:
        """Both together (32 bytes)."""
        return aggregate([wallet_key(PAYER).public, wallet_key(LSP).public]).x_only

    @property
    def output(self) -> TxOutput:
        """As it stands in a transaction."""
        return TxOutput(self.amount, self.tree.script_pubkey(self.internal_key))

    def spend(self, txid: str, leaf: int, name: str) -> Transaction:
        """The claim by the client, or the refund to the LSP, complete."""
        lock_time = 0 if leaf == CLAIM else self.refund_height
        outputs = [TxOutput(self.amount - SPEND_FEE, payout_script(name))]
        transaction = build(3, [TxInput(txid, 0, NO_RELATIVE_LOCK)], outputs, lock_time)
        script = self.tree.scripts[leaf]
        message = taproot_sighash(transaction, 0, (self.output,), leaf_hash=tap_leaf(script))
        preimage = (PREIMAGE,) if leaf == CLAIM else ()
        block = self.tree.control_block(self.internal_key, leaf)
        return with_witness(transaction, 0, (*preimage, wallet_key(name).sign(message), script, block))


class _Swap:
    def __init__(self) -> None:
        self.world = start().branch()
        self.home, other = self.world.homes
        self.lines: list[Line] = []
        # Nobody passes this payment on: the LSP itself is to be paid.
        self.home.side(LSP).answer = no_answer
        self.mine("the other factory closes: the LSP has a coin", self.close(other))
        self.before = {name: self.world.paid(name) for name in (PAYER, LSP)}

    def tell(self, by: str, to: str, says: str) -> None:
        self.lines.append(Line(self.world.ledger.height, by, to, says))

    def mine(self, says: str, transaction: Transaction, by: str = LSP) -> None:
        if not self.world.mine([(says, transaction)]):
            raise AssertionError(f"not mined: {says}")
        self.tell(by, CHAIN, f"{says}, {transaction.vbytes} vB")
        self.world.run()

    def close(self, home: Home) -> Transaction:
        for name in (LSP, home.client):
            home.post(name, home.desks[name].rest())
        self.world.run()
        home.post(LSP, home.lsp.close())
        home.wire.run()
        return home.wire.broadcasts.pop()

    def pay_on_chain(self, swap: SwapOutput) -> Transaction:
        """From the LSP's coin."""
        coins = self.world.ledger.unspent().items()
        own = [(point, coin) for point, coin in coins if coin.output.script == payout_script(LSP)]
        point, coin = max(own, key=lambda one: one[1].output.amount)
        change = TxOutput(coin.output.amount - swap.amount - SPEND_FEE, payout_script(LSP))
        inputs = [TxInput(point.txid[::-1].hex(), point.index, NO_RELATIVE_LOCK)]
        made = build(3, inputs, [swap.output, change])
        spent = (TxOutput(coin.output.amount, coin.output.script),)
        return with_witness(made, 0, (payout_key(LSP).sign_taproot(taproot_sighash(made, 0, spent)),))


def swap(*, claimed: bool) -> Told:
    """The client swaps what it has for an output on chain, and claims it; or it does not, and all is as before."""
    play = _Swap()
    world, home = play.world, play.home
    mine, theirs = home.sides
    balance = mine.channel.balance_msat
    out = SwapOutput(balance // 1000 - SPEND_FEE, world.ledger.height + CLAIM_BLOCKS)
    expiry = out.refund_height + mine.limits.forward_delta
    offered = balance // 1000 * 1000
    play.tell(PAYER, LSP, f"offers {offered:,} msat until height {expiry}, to whoever shows the preimage")
    home.act(PAYER, lambda side: side.offer(offered, HASH.hex(), expiry))
    world.run()
    paid = play.pay_on_chain(out)
    play.mine(f"{out.amount:,} sat for the preimage, or back to the LSP above height {out.refund_height}", paid)
    if claimed:
        claim = out.spend(paid.txid, CLAIM, PAYER)
        play.mine("the claim, with the preimage", claim, PAYER)
        theirs.learn(claim.witnesses[0][0])
        play.tell(LSP, PAYER, "claims the payment with the preimage that it saw on chain")
    else:
        while world.ledger.height < out.refund_height:
            world.mine([])
        play.mine("the refund: nobody has claimed", out.spend(paid.txid, REFUND, LSP))
        play.tell(LSP, PAYER, "gives the payment back")
        (htlc,) = theirs.channel.htlcs
        home.act(LSP, lambda side: side.reject(htlc.number, "the swap has expired"))
    world.settle()
    play.tell(PAYER, "", f"has {mine.channel.balance_msat:,} msat left in its channel")
    play.mine("the factory closes", play.close(home))
    return _ends(play, world, out, balance, claimed=claimed)


def _ends(play: _Swap, world: World, out: SwapOutput, balance: int, *, claimed: bool) -> Told:
    now = {name: world.paid(name) - sats for name, sats in play.before.items()}
    coin = play.home.lsp.factory.templates["funding"].outputs[0].amount
    fee = next(t.fee for t in play.home.lsp.factory.templates.values() if t.name.startswith("close:"))
    on_chain = out.amount if claimed else 0
    client = out.amount if claimed else balance // 1000
    rest = 0 if claimed else client
    # The LSP pays for the swap's first transaction, and for its own refund.
    lsp_fees = SPEND_FEE if claimed else 2 * SPEND_FEE
    ends = (
        End(PAYER, client, now[PAYER], SPEND_FEE if claimed else 0),
        End(LSP, coin - fee - rest - on_chain, now[LSP], lsp_fees),
    )
    world.ledger.close()
    return Told(tuple(play.lines), ends)
