"""Reorganisations of a funding, of each part of an exit, and of a close, at each depth up to the bound (Q-REO-1).

Laws of this module:

* A reorg takes blocks back and gives others in their place. Nothing of what it took comes back by itself: only what
  the parties publish again is mined again.
* The parties learn of it as of everything: they look at the chain. Nobody is told that there was a reorg.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from superscalar_ref.bitcoin.locks import NO_RELATIVE_LOCK
from superscalar_ref.bitcoin.sighash import taproot_sighash
from superscalar_ref.bitcoin.taproot import p2tr_from_internal
from superscalar_ref.bitcoin.transaction import Transaction, TxInput, TxOutput, build, with_witness
from superscalar_ref.chain.kernel import KernelLedger
from superscalar_ref.machine.types import Event
from superscalar_ref.parties.actor import Actor
from superscalar_ref.parties.bumper import Bumper
from superscalar_ref.parties.client import ClientActor
from superscalar_ref.parties.watch import Watcher, txid_bytes
from superscalar_ref.parties.wire import Wire
from superscalar_ref.protocol.blueprint import FUNDING, alternate_name, commitment_name, sweep_name, version_text
from superscalar_ref.protocol.weight import lock_path_vbytes
from superscalar_ref.scenario.town import LSP, Factory, Plan, payout_script, sign_town, wallet_key, wallet_script

AGAIN = "nothing"
"""A branch that brings nothing: the same must be published again."""
SITUATIONS: dict[str, tuple[str, ...]] = {
    "funding": (AGAIN, "double spend"),
    "kickoff": (AGAIN,),
    "leaf": (AGAIN,),
    "commitment": (AGAIN, "the LSP's commitment", "alternate"),
    "sweep": (AGAIN,),
    "close": (AGAIN, "kickoff"),
}
"""What is taken back, and what the branch may bring in its place."""
_OVER = ("swept", "paid", "left", "closed", "resolved")


@dataclass(frozen=True)
class Reorged:
    """What a reorg came to."""

    what: str
    depth: int
    """Blocks that were taken back; the first of them held the transaction."""
    branch: str
    before: tuple[str, ...]
    """Each party's state when the blocks were taken back, the LSP first."""
    statuses: tuple[str, ...]
    """At the end."""
    received: tuple[int, ...]
    """What each client has at the end, in its payout wallet or at its static payment key (sat)."""
    mined_twice: bool
    """Whether the transaction is confirmed at the end."""


@dataclass
class Cast:
    """One factory's parties, watching one chain."""

    plan: Plan
    ledger: KernelLedger
    factory: Factory
    watchers: dict[str, Watcher]
    wire: Wire

    @classmethod
    def of(cls, plan: Plan) -> Cast:
        """A factory that is signed and not funded."""
        town = sign_town(plan)
        (factory,) = town.factories
        actors: dict[str, Actor] = {LSP: factory.lsp, **factory.clients}
        watchers = {name: Watcher(actor, town.ledger) for name, actor in actors.items()}
        for name, coin in town.reserves.items():
            watchers[name].purse = Bumper(wallet_key(name), wallet_script(name), [coin])
        return cls(plan, town.ledger, factory, watchers, Wire(actors))

    @property
    def names(self) -> tuple[str, ...]:
        """The parties, the LSP first."""
        return tuple(self.watchers)

    def look(self) -> None:
        """Everybody sees the tip."""
        for watcher in self.watchers.values():
            watcher.look()

    def block(self, wanted: Iterable[Transaction] = ()) -> None:
        """One block of what the chain takes of these; everybody sees it."""
        taken: list[Transaction] = []
        for one in wanted:
            raw = [other.serialized for other in (*taken, one)]
            if one.txid not in {other.txid for other in taken} and self.ledger.would_accept(raw).accepted:
                taken.append(one)
        self.ledger.mine([one.serialized for one in taken])
        self.look()

    def blocks(self, count: int) -> None:
        """So many blocks of what the parties publish."""
        for _ in range(count):
            self.block(self.published())

    def published(self) -> list[Transaction]:
        """What the clients publish by their strategy, and the LSP by its own will to go on with its life."""
        found = [one for name in self.names[1:] for one in self.watchers[name].publish().values()]
        if self.factory.lsp.life.status in ("funded", "close_published"):
            found.extend(self.factory.lsp.retry().broadcasts)
        return found

    def until(self, done: Callable[[], bool], most: int = 400) -> None:
        """Block after block until ``done``, or for ``most`` blocks."""
        for _ in range(most):
            if done():
                return
            self.block(self.published())

    def statuses(self) -> tuple[str, ...]:
        """Each party's state, the LSP first."""
        return tuple(watcher.actor.party.life.status for watcher in self.watchers.values())

    def confirmed(self, txid: str) -> bool:
        """Whether a transaction is in the chain."""
        return self.ledger.confirmation_height(txid_bytes(txid)) is not None

    def received(self) -> tuple[int, ...]:
        """What each client has at rest (sat)."""
        unspent = self.ledger.unspent().values()
        clients = self.factory.clients.items()
        scripts = [{payout_script(name), _payment_script(client)} for name, client in clients]
        return tuple(sum(one.output.amount for one in unspent if one.output.script in own) for own in scripts)


def play(plan: Plan, what: str, depth: int, branch: str = AGAIN) -> Reorged:
    """Bring a transaction on chain, let it get ``depth`` confirmations, take them back, and let everybody go on.

    ``plan`` is of one factory; ``what`` and ``branch`` are those of ``SITUATIONS``.
    """
    cast = Cast.of(plan)
    txid, conflicts = _bring(cast, what, branch)
    cast.blocks(depth - 1)
    before = cast.statuses()
    cast.ledger.reorg(depth, conflicts)
    cast.look()
    over = _OVER if what != FUNDING else ("active",)
    # Nothing comes of a factory whose coin is gone: a while is enough to see that nobody believes otherwise.
    most = 2 * plan.limits.depth if branch == "double spend" else 400
    cast.until(lambda: all(status in over for status in _judged(cast, what)), most)
    return Reorged(what, depth, branch, before, cast.statuses(), cast.received(), cast.confirmed(txid))


ENDS = {
    (FUNDING, AGAIN): "active",
    (FUNDING, "double spend"): "holding",
    ("commitment", "alternate"): "paid",
    ("close", AGAIN): "left",
}
"""The client's state at the end; ``swept`` where nothing else is said."""


def well(plan: Plan, done: Reorged) -> bool:
    """Whether a reorg ended as it should: nobody was done too early, and the client has what it is owed.

    The fee of its own sweep (sat) is its own.
    """
    early = done.before[1] in _OVER or (done.what == FUNDING and done.before[1] == "active")
    paid = plan.balance - plan.economy.feerate * lock_path_vbytes(plan.locks.to_self_delay)
    return (
        not early
        and done.statuses[1] == ENDS.get((done.what, done.branch), "swept")
        and done.mined_twice == (done.branch == AGAIN)
        and (done.what == FUNDING or done.received[0] >= paid)
    )


def _judged(cast: Cast, what: str) -> Sequence[str]:
    """The states that must come to their end: an exit of the clients does not end the LSP's life."""
    statuses = cast.statuses()
    return statuses if what == FUNDING else statuses[1:]


def _bring(cast: Cast, what: str, branch: str) -> tuple[str, list[list[bytes]]]:
    """Mine the transaction, in the newest block; its txid, and the blocks with which the branch begins."""
    lsp, client = cast.factory.lsp, next(iter(cast.factory.clients.values()))
    funding = lsp.fund().broadcasts[-1]
    cast.block([funding])
    if what == FUNDING:
        return funding.txid, [] if branch == AGAIN else [[_double_spend(cast).serialized]]
    cast.blocks(cast.plan.limits.depth - 1)
    if what == "close":
        return _close(cast, client.name, branch)
    path = client.factory.blueprints[client.counted].path(client.name)
    versions = _versions(cast, client.name)
    own = commitment_name(client.name, versions, client.name)
    name = {"kickoff": path[0], "leaf": path[-1], "commitment": own, "sweep": sweep_name(own)}[what]
    txid = client.factory.realised[name].txid
    client.live(Event.of("start_exit", client.name))
    cast.watchers[client.name].deadline = cast.ledger.height
    if branch == "alternate":
        # The commitment comes in the last block that no alternate may enter.
        cast.until(lambda: cast.confirmed(client.factory.realised[path[-1]].txid))
        cast.ledger.advance(client.factory.terms.locks.end - 1 - cast.ledger.height)
    cast.until(lambda: cast.confirmed(txid))
    match branch:
        case "the LSP's commitment":
            theirs = commitment_name(client.name, versions, LSP)
            return txid, [[lsp.complete_transaction(theirs).serialized]]
        case "alternate":
            spent = client.factory.templates[own].spends[0].outpoint
            return txid, [[], [client.complete_transaction(alternate_name(spent)).serialized]]
        case _:
            return txid, []


def _payment_script(client: ClientActor) -> bytes:
    """What every commitment of the LSP pays the client by (zero-fee taproot channels, ``to_remote``)."""
    return p2tr_from_internal(client.identity.channel(client.name).payment_basepoint.x_only)


def _versions(cast: Cast, client: str) -> tuple[int, ...]:
    tree, versions = cast.factory.lsp.tree, cast.factory.lsp.counted_versions
    return tuple(versions[node.path] for node in tree.path_to(client) if node.has_counter)


def _close(cast: Cast, client: str, branch: str) -> tuple[str, list[list[bytes]]]:
    kickoff = cast.factory.clients[client].complete_transaction(f"kickoff:r@{version_text(())}")
    cast.wire.post(LSP, cast.factory.lsp.close())
    cast.wire.run()
    close = cast.wire.broadcasts.pop()
    cast.block([close])
    return close.txid, [] if branch == AGAIN else [[kickoff.serialized]]


def _double_spend(cast: Cast) -> Transaction:
    """The LSP's coin, back to its wallet."""
    realised = cast.factory.lsp.factory.realised[FUNDING]
    spent = realised.transaction.inputs[0]
    (coin,) = realised.spent
    rest = TxOutput(coin.amount_sat - 200, coin.script_pubkey)
    back = build(2, [TxInput(spent.txid_hex, spent.index, NO_RELATIVE_LOCK)], [rest])
    signature = wallet_key(LSP).sign_taproot(taproot_sighash(back, 0, realised.spent))
    return with_witness(back, 0, (signature,))
