"""Factories of one LSP on one chain, each with all its clients, up to the moment at which all are active.

Seeds follow from names: a run is repeatable, and none of its keys is worth anything outside regtest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from superscalar_ref.bitcoin.taproot import p2tr_from_internal
from superscalar_ref.bitcoin.transaction import TxOutput
from superscalar_ref.chain.interface import TxOut
from superscalar_ref.chain.kernel import KernelLedger
from superscalar_ref.errors import InputError, ProtocolError
from superscalar_ref.parties import messages as m
from superscalar_ref.parties.actor import Identity
from superscalar_ref.parties.client import ClientActor
from superscalar_ref.parties.lsp import LspActor, Offer, Wallet
from superscalar_ref.parties.store import Store
from superscalar_ref.parties.watch import Watcher
from superscalar_ref.parties.wire import Wire
from superscalar_ref.protocol.blueprint import (
    Channel,
    Economy,
    LeafContents,
    Locks,
    Terms,
    funding_amount,
    payout_fee,
)
from superscalar_ref.protocol.client import Limits
from superscalar_ref.protocol.shape import Shape, grow, stock_groups
from superscalar_ref.protocol.transaction import Outpoint
from superscalar_ref.realise.book import CoinOutput
from superscalar_ref.signing.keys import SecretKey

LSP = "lsp"
Progress = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and how much there is."""


@dataclass(frozen=True)
class Plan:
    """What is to be built. Amounts in sat, times in blocks."""

    factories: int
    clients: int
    """Of each factory."""
    shape: Shape
    locks: Locks
    """``end`` counts from the height at which the factories are agreed."""
    limits: Limits
    economy: Economy
    active_blocks: int
    balance: int = 50_000
    """Each client's at the start."""
    inbound: int = 100_000
    """The LSP's side of each channel."""
    stock: int = 100_000
    """Each stock output."""
    reserve: int = 15_000
    """A coin of the client's own, where it has one."""
    reserve_every: int = 2
    """Every so manieth client has a reserve; 0: none has."""
    transaction_version: int = 3

    def names(self, factory: int) -> tuple[str, ...]:
        """The clients of a factory."""
        return tuple(f"f{factory}c{number}" for number in range(self.clients))

    def worst_exit(self) -> int:
        """The longest exit of a client (blocks)."""
        tree = grow(self.shape, self.names(0))
        terms = Terms("plan", LSP, tree, self.economy, self.locks)
        return max(terms.exit_blocks(client) for client in tree.clients)

    def middle(self) -> int:
        """Blocks from the start of an exit to that at which the state in the middle of the longest path is ready."""
        tree = grow(self.shape, self.names(0))
        layers = max(tree.dw_layers_on_path(client) for client in tree.clients)
        return (layers + 1) // 2 * self.locks.step * (self.locks.states - 1)

    def has_reserve(self, number: int) -> bool:
        """Whether the client of this number has a coin of its own."""
        return self.reserve_every > 0 and number % self.reserve_every == 0


@dataclass
class Factory:
    """One factory: its LSP and its clients, alive."""

    number: int
    lsp: LspActor
    clients: dict[str, ClientActor]
    messages: int = 0
    """How many the ceremony took."""


@dataclass
class Town:
    """All factories, active, on one chain."""

    plan: Plan
    ledger: KernelLedger
    factories: tuple[Factory, ...]
    reserves: Mapping[str, CoinOutput]


def seed(name: str) -> bytes:
    """A party's seed in these runs."""
    return hashlib.sha256(f"scenario/{name}/seed".encode()).digest()


def wallet_key(name: str) -> SecretKey:
    """The key of a party's on-chain wallet: the LSP's coins, a client's reserve (BIP-86)."""
    return SecretKey(hashlib.sha256(f"scenario/{name}/wallet".encode()).digest())


def wallet_script(name: str) -> bytes:
    """What that wallet's coins are locked by."""
    return p2tr_from_internal(wallet_key(name).x_only)


def payout_key(name: str) -> SecretKey:
    """The key of what a party has from factories (BIP-86)."""
    return SecretKey(hashlib.sha256(f"scenario/{name}/payout".encode()).digest())


def payout_script(name: str) -> bytes:
    """Where a party's money from factories goes: apart from its wallet, so that it can be counted."""
    return p2tr_from_internal(payout_key(name).x_only)


def check_plan(plan: Plan) -> None:
    """Refuse what no town can be built of. Raises ``InputError``, or ``ProtocolError`` when an exit takes too long."""
    for name, number in (("factories", plan.factories), ("clients", plan.clients)):
        if not 1 <= number <= 127:
            raise InputError(f"--{name}", f"{number} is not within 1..127", "clients_max")
    worst = plan.worst_exit()
    if worst + plan.limits.margin > plan.limits.ceiling:
        problem = f"the worst exit takes {worst} blocks, {plan.limits.ceiling - plan.limits.margin} are allowed"
        raise ProtocolError("R-EXIT-CEILING", "EXIT_TOO_LONG", problem)
    if plan.locks.end < plan.limits.life:
        problem = f"{plan.locks.end} blocks are no whole life of {plan.limits.life} blocks"
        raise ProtocolError("R-END", "END_TOO_NEAR", problem)


def contents(plan: Plan, factory: int) -> dict[str, LeafContents]:
    """What each leaf holds at the start (sat)."""
    tree = grow(plan.shape, plan.names(factory))
    return {
        leaf.path: LeafContents(
            tuple(Channel(client, plan.balance, plan.inbound) for client in leaf.clients),
            (plan.stock,) * len(stock_groups(leaf, plan.shape.leaf_k)),
        )
        for leaf in tree.leaves()
    }


def need(plan: Plan) -> int:
    """What the LSP's coin for one factory must hold (sat): the funding output, its fee, a change that is no dust."""
    terms = Terms("plan", LSP, grow(plan.shape, plan.names(0)), plan.economy, plan.locks, ((Outpoint("coin", 0), 0),))
    return funding_amount(terms, contents(plan, 0)) + payout_fee(plan.economy, 2) + plan.economy.dust


def offer(plan: Plan, factory: int, height: int) -> Offer:
    """What the LSP proposes at ``height``."""
    return Offer(
        f"factory-{factory}",
        plan.shape,
        dict.fromkeys(plan.names(factory), plan.balance),
        contents(plan, factory),
        plan.economy,
        replace(plan.locks, end=height + plan.locks.end),
        plan.transaction_version,
        plan.limits.depth,
        plan.active_blocks,
    )


def build_town(plan: Plan, progress: Progress = lambda what, done, of: None) -> Town:
    """Sign every factory, fund all in one block, and let everybody see it deep enough. Raises as ``check_plan``."""
    town = sign_town(plan, progress)
    fundings = [factory.lsp.fund().broadcasts[-1] for factory in town.factories]
    town.ledger.mine([one.serialized for one in fundings])
    town.ledger.advance(plan.limits.depth - 1)
    for factory in town.factories:
        for actor in (factory.lsp, *factory.clients.values()):
            Watcher(actor, town.ledger).look()
    return town


def sign_town(plan: Plan, progress: Progress = lambda what, done, of: None) -> Town:
    """Run every ceremony: all factories are signed, and none is funded. Raises as ``check_plan``."""
    check_plan(plan)
    holders = [
        name for factory in range(plan.factories) for n, name in enumerate(plan.names(factory)) if plan.has_reserve(n)
    ]
    coins = [TxOut(need(plan), wallet_script(LSP))] * plan.factories
    ledger = KernelLedger.start([*coins, *(TxOut(plan.reserve, wallet_script(name)) for name in holders)])
    points = ledger.funds
    factories = []
    for number in range(plan.factories):
        progress("ceremonies", number, plan.factories)
        point = points[number]
        coin = m.CoinForm(point.txid[::-1].hex(), point.index, coins[number].amount, coins[number].script.hex())
        factories.append(_ceremony(plan, number, coin, ledger.height))
    progress("ceremonies", plan.factories, plan.factories)
    reserves = {
        name: CoinOutput(point.txid[::-1].hex(), point.index, TxOutput(plan.reserve, wallet_script(name)))
        for name, point in zip(holders, points[plan.factories :], strict=True)
    }
    return Town(plan, ledger, tuple(factories), reserves)


def _ceremony(plan: Plan, number: int, coin: m.CoinForm, height: int) -> Factory:
    lsp = LspActor(
        Identity(LSP, seed(LSP), number),
        Store(),
        Wallet(wallet_key(LSP), (coin,)),
        payout_script(LSP),
        offer(plan, number, height),
    )
    clients = {
        name: ClientActor(Identity(name, seed(name), number), LSP, Store(), payout_script(name), plan.limits)
        for name in plan.names(number)
    }
    for actor in (lsp, *clients.values()):
        actor.height = height
    wire = Wire({LSP: lsp, **clients})
    wire.post(LSP, lsp.invite())
    wire.run()
    if lsp.life.status != "signed":
        said = wire.alerts[0] if wire.alerts else f"the LSP is '{lsp.life.status}'"
        raise ProtocolError("FAC-7", "NOT_SIGNED", f"factory {number} was not signed: {said}")
    return Factory(number, lsp, clients, wire.count)
