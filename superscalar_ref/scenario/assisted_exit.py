"""Assisted exits as stories: the client is paid on chain, or either side stops, and what the LSP does with the key."""

from __future__ import annotations

from superscalar_ref.bitcoin.locks import NO_RELATIVE_LOCK
from superscalar_ref.bitcoin.sighash import taproot_sighash
from superscalar_ref.bitcoin.transaction import Transaction, TxInput, TxOutput, build, with_witness
from superscalar_ref.parties.handover import LspHandover
from superscalar_ref.protocol.blueprint import FUNDING
from superscalar_ref.protocol.transaction import Kind
from superscalar_ref.scenario.exit_world import FEE_SAT, LEAVER, MINING_FEE_SAT, ExitWorld, exit_plan
from superscalar_ref.scenario.story import CHAIN, End, Told
from superscalar_ref.scenario.town import LSP, payout_script, wallet_script
from superscalar_ref.signing.keys import SecretKey
from superscalar_ref.signing.musig import aggregate, sign_together, sort_keys

TAKE_FEE = 200
"""Of the LSP's spend of an output that it holds alone (sat)."""
_MOST = 200
"""Steps after which a play that is not over never will be."""


class _Play:
    def __init__(self, clients: int) -> None:
        self.world = ExitWorld.found(exit_plan(clients))
        self.before = {name: self._at_rest(name) for name in (LSP, *self.world.clients)}
        self.world.ask()

    def _at_rest(self, name: str) -> int:
        scripts = (payout_script(name), wallet_script(LSP)) if name == LSP else (payout_script(name),)
        return sum(self.world.paid(script) for script in scripts)

    def until_over(self, *names: str) -> None:
        """Letters and blocks until nothing is under way for these."""
        for _ in range(_MOST):
            if all(self.world.over(name) for name in names):
                return
            self.world.step()
        raise AssertionError(f"not over for {', '.join(names)}")

    def paid_for(self) -> int:
        """What the exit costs the LSP on chain (sat): the output, and its miners."""
        return self.world.plan.balance - FEE_SAT + MINING_FEE_SAT

    def coin(self) -> int:
        """The factory's funding output (sat)."""
        return self.world.lsp.factory.templates[FUNDING].outputs[0].amount

    def close(self) -> int:
        """Everybody signs the close, and it is mined; its fee (sat)."""
        self.world.close()
        self.world.block()
        return next(one.fee for one in self.world.lsp.factory.templates.values() if one.kind is Kind.CLOSE)

    def told(self, **promised: int) -> Told:
        """The story, with what each is to have (sat)."""
        ends = tuple(End(name, sats, self._at_rest(name) - self.before[name], 0) for name, sats in promised.items())
        self.world.ledger.close()
        return Told(tuple(self.world.story), ends)


def assisted_exit() -> Told:
    """One of two leaves, paid on chain; the factory is closed with the other, and the LSP signs for who has left."""
    play = _Play(2)
    world = play.world
    (stays,) = (name for name in world.clients if name != LEAVER)
    balance = world.plan.balance
    play.until_over(LSP, LEAVER)
    world.depart()
    fee = play.close()
    promised = {LEAVER: balance - FEE_SAT - MINING_FEE_SAT, stays: balance}
    return play.told(**promised, lsp=play.coin() - fee - balance - play.paid_for())


def all_have_left() -> Told:
    """The only client has left: the LSP, which has every key of the funding output, spends it at once."""
    play = _Play(1)
    world = play.world
    play.until_over(LSP, LEAVER)
    exit_ = world.exit_of(LSP)
    assert isinstance(exit_, LspHandover)
    key = exit_.factory_key()
    assert key is not None
    taken = spend_alone(world, [world.lsp.key, key])
    world.tell("has every key of the funding output, and spends it at once", LSP, CHAIN)
    world.ledger.mine([taken.serialized])
    left = play.coin() - TAKE_FEE - play.paid_for()
    return play.told(**{LEAVER: world.plan.balance - FEE_SAT - MINING_FEE_SAT}, lsp=left)


def spend_alone(world: ExitWorld, keys: list[SecretKey]) -> Transaction:
    """The funding output to the LSP, signed with these keys, which must be of all who hold it.

    Core's code refuses it when a key is missing: the keys make another output.
    """
    realised = world.lsp.factory.realised[FUNDING]
    place = realised.places[0]
    spent = realised.transaction.outputs[place]
    outputs = [TxOutput(spent.amount_sat - TAKE_FEE, payout_script(LSP))]
    made = build(3, [TxInput(realised.txid, place, NO_RELATIVE_LOCK)], outputs)
    key = aggregate(sort_keys(one.public for one in keys)).taproot()
    return with_witness(made, 0, (sign_together(key, taproot_sighash(made, 0, (spent,)), keys),))


def client_stops() -> Told:
    """The client stops before it has claimed: the LSP takes its output back, and gives the lock inside back."""
    play = _Play(1)
    world = play.world
    while not any("locked to" in line.says for line in world.story):
        world.step()
    world.stop(LEAVER)
    while world.exit_of(LSP).running:
        world.step()
    world.wake(LEAVER)
    play.until_over(LSP, LEAVER)
    fee = play.close()
    balance = world.plan.balance
    return play.told(**{LEAVER: balance}, lsp=play.coin() - fee - balance - 2 * MINING_FEE_SAT)


def lsp_stops() -> Told:
    """The LSP stops when the client's balance is locked: the client exits, and takes it back after its expiry."""
    play = _Play(1)
    world = play.world
    # Its commitment has the lock, and the LSP has not published anything.
    while not (own := world.side(LEAVER).own) or not own.said.htlcs:
        world.deliver()
    world.stop(LSP)
    for _ in range(_MOST):
        if world.side(LEAVER).channel.status == "swept":
            break
        world.step()
    return play.told(**{LEAVER: world.plan.balance})
