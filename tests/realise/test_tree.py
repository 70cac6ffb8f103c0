"""Templates as bytes: each transaction equals its row, pays its feerate, and is valid exactly when the rules say."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

import pytest

from superscalar_ref.bitcoin.script import P2A
from superscalar_ref.bitcoin.taproot import p2tr_from_internal
from superscalar_ref.bitcoin.transaction import Transaction, TxOutput, with_witness
from superscalar_ref.chain.interface import TxOut
from superscalar_ref.chain.kernel import KernelLedger
from superscalar_ref.errors import InputError
from superscalar_ref.protocol import ledger as rules
from superscalar_ref.protocol.blueprint import (
    FUNDING,
    Blueprint,
    Channel,
    Economy,
    LeafContents,
    Locks,
    Terms,
    alternate_name,
    build,
    close,
    commitment_name,
    fresh_versions,
    sweep_name,
)
from superscalar_ref.protocol.shape import NodeKind, Shape, grow, stock_groups
from superscalar_ref.protocol.transaction import Kind, LockKind, LockPath, Outpoint, Output, Role, Template
from superscalar_ref.realise.book import Book, CoinOutput, PartyKeys
from superscalar_ref.realise.channel import ChannelSecrets, derive_secret
from superscalar_ref.realise.tree import Realised, funding_script, merkle_root, output_script, realise, realise_one
from superscalar_ref.signing.keys import SecretKey, verify
from tests.signing.aggregate_secret import aggregate_secret

LSP = "L"
COIN = 50_000_000
START = 101
"""Height of the chain's tip before the funding transaction."""
END = 140
ECONOMY = Economy(feerate=3, anchor=240, dust=330)
LOCKS = Locks(step=2, states=3, to_self_delay=3, end=END, stock_lock_blocks=5)
SHAPES = {
    "one client": (1, Shape.of([2])),
    "binary": (2, Shape.of([2])),
    "ragged": (3, Shape.of([2])),
    "static top": (4, Shape.of([2, 2], static=1)),
    "isolated siblings": (2, Shape.of([2, 1], static=1)),
    "k=2": (4, Shape.of([2], leaf_k=2)),
    "k=2, ragged": (7, Shape.of([2], leaf_k=2)),
    "k=3": (9, Shape.of([2], leaf_k=3)),
}


def secret(label: str) -> SecretKey:
    return SecretKey(hashlib.sha256(label.encode()).digest())


def channel_secrets(client: str, holder: str) -> ChannelSecrets:
    return ChannelSecrets.from_seed(hashlib.sha256(holder.encode()).digest(), f"{client}/{holder}")


WALLET = secret("wallet")
WALLET_SCRIPT = p2tr_from_internal(WALLET.x_only)


@dataclass
class Factory:
    """One version of a factory with every key at hand."""

    clients: int
    shape: Shape
    locks: Locks = LOCKS
    versions: int = 0
    coin: tuple[str, int] = ("11" * 32, 0)
    sides: tuple[int, int] = (20_000, 30_000)
    """What each channel holds of its client and of the LSP (sat)."""
    signed: dict[str, Transaction] = field(default_factory=dict)

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(f"c{number}" for number in range(self.clients))

    @cached_property
    def terms(self) -> Terms:
        tree = grow(self.shape, self.names)
        return Terms("f", LSP, tree, ECONOMY, self.locks, ((Outpoint("coin", 0), COIN),))

    @cached_property
    def blueprint(self) -> Blueprint:
        tree = self.terms.tree
        contents = {
            leaf.path: LeafContents(
                tuple(
                    Channel(client, self.sides[0] + 1_000 * n, self.sides[1]) for n, client in enumerate(leaf.clients)
                ),
                tuple(40_000 + n for n in range(len(stock_groups(leaf, self.shape.leaf_k)))),
            )
            for leaf in tree.leaves()
        }
        return build(self.terms, dict.fromkeys(fresh_versions(tree), self.versions), contents)

    @cached_property
    def book(self) -> Book:
        parties = {
            name: PartyKeys(secret(name).public, p2tr_from_internal(secret(f"payout {name}").x_only))
            for name in (LSP, *self.names)
        }
        coin = CoinOutput(*self.coin, TxOutput(COIN, WALLET_SCRIPT))
        channels = {(c, h): channel_secrets(c, h).points for c in self.names for h in (c, LSP)}
        points = {t.name: secret(t.name).public for t in self.blueprint.templates.values() if t.kind is Kind.COMMITMENT}
        return Book(parties, {Outpoint("coin", 0): coin}, channels, points)

    @cached_property
    def realised(self) -> dict[str, Realised]:
        return realise(self.blueprint, self.book, self.blueprint.templates)

    def template(self, name: str) -> Template:
        return self.blueprint.templates[name]

    def sign(self, name: str) -> Transaction:
        if name not in self.signed:
            self.signed[name] = self._sign(self.realised[name])
        return self.signed[name]

    def _sign(self, realised: Realised) -> Transaction:
        template = realised.template
        if template.kind is Kind.FUNDING:
            return with_witness(realised.transaction, 0, (WALLET.sign_taproot(realised.sighash, None),))
        spend = template.spends[0]
        parent = self.template(spend.outpoint.transaction)
        output = parent.outputs[spend.outpoint.index]
        if spend.by_lock_path and parent.kind is Kind.COMMITMENT:
            client = parent.name.split(":")[1].split("@")[0]
            basepoint = channel_secrets(client, parent.holder).delayed_payment_basepoint
            key = derive_secret(basepoint, self.book.commitment_points[parent.name])
            return realised.signed(key.sign(realised.sighash))
        if spend.by_lock_path:
            (owner,) = template.signers
            return realised.signed(secret(owner).sign(realised.sighash))
        whole = aggregate_secret([secret(name) for name in sorted(output.signers)])
        signature = whole.sign_taproot(realised.sighash, merkle_root(output, self.book))
        assert realised.key is not None
        assert verify(realised.key.x_only, realised.sighash, signature)
        return realised.signed(signature)


class Chains:
    """The rules' ledger and Bitcoin Core's code side by side: what one says of a transaction the other says too."""

    def __init__(self, factory: Factory, kernel: KernelLedger, now: rules.Ledger) -> None:
        self.factory, self.kernel, self.now = factory, kernel, now

    def fork(self) -> Chains:
        return Chains(self.factory, self.kernel.fork(), self.now)

    def tried(self, name: str) -> str | None:
        reason = rules.check(self.now, self.factory.template(name))
        verdict = self.kernel.would_accept([self.factory.sign(name).serialized])
        assert verdict.code == (reason or "valid"), (name, self.now.height, reason, verdict)
        return reason

    def advance(self, blocks: int) -> None:
        self.now = rules.advance(self.now, blocks)
        self.kernel.advance(blocks)

    def at_its_height(self, name: str) -> int:
        """Refused one block before the height that the rules give, confirmed at it. Returns the blocks waited."""
        earliest = rules.earliest(self.now, self.factory.template(name))
        assert earliest is not None
        waited = earliest - self.now.height - 1
        if waited:
            self.advance(waited - 1)
            assert self.tried(name) == rules.Reason.NOT_FINAL
            self.advance(1)
        assert self.tried(name) is None
        self.now = rules.mine(self.now, [self.factory.template(name)])
        self.kernel.mine([self.factory.sign(name).serialized])
        return waited


def chains(clients: int, shape: Shape, locks: Locks = LOCKS, versions: int = 0) -> Chains:
    """A funded factory on both ledgers."""
    kernel = KernelLedger.start([TxOut(COIN, WALLET_SCRIPT)], START)
    point = kernel.funds[0]
    factory = Factory(clients, shape, locks, versions, (point.txid[::-1].hex(), point.index))
    wallet = Output(Role.WALLET, COIN, frozenset({LSP}), owner=LSP)
    both = Chains(factory, kernel, rules.start(START, {Outpoint("coin", 0): wallet}))
    assert both.at_its_height(FUNDING) == 0
    return both


@pytest.fixture(params=SHAPES, scope="module")
def factory(request: pytest.FixtureRequest) -> Factory:
    return Factory(*SHAPES[request.param], versions=1)


def test_each_transaction_equals_its_row(factory: Factory) -> None:
    realised = factory.realised
    assert list(realised) == list(factory.blueprint.templates)
    for name, template in factory.blueprint.templates.items():
        one = realised[name]
        assert one.template is template
        assert len(one.transaction.outputs) == len(template.outputs)
        assert sorted(one.places) == list(range(len(template.outputs)))
        for output, place in zip(template.outputs, one.places, strict=True):
            paid = one.transaction.outputs[place]
            assert paid.amount_sat == output.amount, name
            if template.kind is not Kind.COMMITMENT:
                assert paid.script_pubkey == output_script(output, factory.book)
            if output.role is Role.ANCHOR:
                assert paid.script_pubkey == P2A
            if output.role is Role.WALLET and template.kind is not Kind.COMMITMENT:
                assert paid.script_pubkey == factory.book.parties[output.owner].payout_script
        if template.kind is Kind.FUNDING:
            continue
        (tx_input,), (spend,) = one.transaction.inputs, template.spends
        parent = realised[spend.outpoint.transaction]
        assert tx_input.txid_hex == parent.txid
        assert tx_input.index == parent.places[spend.outpoint.index]
        assert one.spent == (parent.transaction.outputs[tx_input.index],)
        assert one.transaction.version == 3
        if template.kind is Kind.COMMITMENT:
            assert tx_input.sequence >> 24 == 0x80
            assert one.transaction.lock_time >> 24 == 0x20
        else:
            assert one.places == tuple(range(len(template.outputs)))
            assert one.transaction.lock_time == template.lock_time
            assert tx_input.sequence == (0xFFFFFFFD if spend.relative_lock is None else spend.relative_lock)


def test_each_transaction_pays_the_feerate_for_its_own_size(factory: Factory) -> None:
    for name, template in factory.blueprint.templates.items():
        transaction = factory.sign(name)
        spent = sum(output.amount_sat for output in factory.realised[name].spent)
        fee = spent - sum(output.amount_sat for output in transaction.outputs)
        assert fee == template.fee, name
        wanted = ECONOMY.feerate * transaction.vbytes
        if template.kind is Kind.COMMITMENT:
            # It pays no fee of its own: what was trimmed goes to the anchor, and what that does not take is lost.
            kept = sum(output.amount for output in template.outputs if output.role is not Role.ANCHOR)
            wanted = max(spent - kept - 240, 0)
        assert fee == wanted, (name, fee, transaction.vbytes)


@pytest.mark.parametrize("sides", [(0, 30_000), (30_000, 0), (329, 30_000), (330, 329), (200, 200), (329, 1)])
def test_sides_below_the_dust_limit_are_trimmed_as_their_rows_say(sides: tuple[int, int]) -> None:
    factory = Factory(1, Shape.of([2]), sides=sides)
    test_each_transaction_equals_its_row(factory)
    test_each_transaction_pays_the_feerate_for_its_own_size(factory)


def test_a_cooperative_close_pays_the_feerate(factory: Factory) -> None:
    template = close(factory.blueprint, 0)
    one = realise_one(template, factory.book, factory.realised, factory.terms)
    transaction = one.signed(bytes(64))
    assert template.fee == ECONOMY.feerate * transaction.vbytes
    assert one.transaction.inputs[0].txid_hex == factory.realised[FUNDING].txid
    assert [o.amount_sat for o in transaction.outputs] == [o.amount for o in template.outputs]


def test_every_party_realises_the_same(factory: Factory) -> None:
    for party in (LSP, *factory.names):
        mine = [t.name for t in factory.blueprint.templates.values() if party in t.signers]
        channels = {key: points for key, points in factory.book.channels.items() if party in (LSP, key[0])}
        points = {n: p for n, p in factory.book.commitment_points.items() if n in mine}
        book = replace(factory.book, channels=channels, commitment_points=points)
        for name, one in realise(factory.blueprint, book, mine).items():
            assert one.transaction == factory.realised[name].transaction
            assert one.sighash == factory.realised[name].sighash
        funding = factory.realised[FUNDING].transaction
        assert funding_script(factory.blueprint, book) == funding.outputs[0].script_pubkey


def test_no_two_transactions_are_the_same(factory: Factory) -> None:
    assert len({one.txid for one in factory.realised.values()}) == len(factory.realised)


def client_path(factory: Factory, client: str, holder: str) -> tuple[str, ...]:
    blueprint = factory.blueprint
    path = factory.terms.tree.path_to(client)
    versions = tuple(blueprint.versions[node.path] for node in path if node.kind is not NodeKind.STATIC)
    commitment = commitment_name(client, versions, holder)
    return (*blueprint.path(client), commitment, sweep_name(commitment))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("versions", [0, 1, 2])
def test_an_exit_is_valid_at_the_height_of_the_rules(shape: str, versions: int) -> None:
    both = chains(*SHAPES[shape], versions=versions)
    factory = both.factory
    first, last = factory.names[0], factory.names[-1]
    for client, holder in ((first, first), (last, LSP)):
        branch = both.fork()
        waits = [branch.at_its_height(name) for name in client_path(factory, client, holder)]
        lock = LOCKS.step * (LOCKS.states - 1 - versions)
        expected = factory.terms.tree.dw_layers_on_path(client) * max(lock - 1, 0) + LOCKS.to_self_delay - 1
        assert sum(waits) == expected
        branch.kernel.close()


def descend(both: Chains, client: str) -> Iterator[str]:
    """Publish a client's path; after each transaction, its name."""
    yield FUNDING
    for name in both.factory.blueprint.path(client):
        both.at_its_height(name)
        yield name


@pytest.mark.parametrize("shape", ["one client", "ragged", "static top", "k=2", "k=3"])
def test_alternates_are_valid_from_the_end_on(shape: str) -> None:
    both = chains(*SHAPES[shape], versions=2)
    client = both.factory.names[-1]
    tried = 0
    for name in descend(both, client):
        unspent = [o for o in both.now.unspent if o.transaction == name]
        branch = both.fork()
        branch.advance(END - 1 - branch.now.height)
        alternates = [a for a in map(alternate_name, unspent) if a in both.factory.blueprint.templates]
        assert alternates or name != FUNDING
        for alternate in alternates:
            assert branch.tried(alternate) == rules.Reason.NOT_FINAL
        branch.advance(1)
        for alternate in alternates:
            assert branch.at_its_height(alternate) == 0
            tried += 1
        branch.kernel.close()
    assert tried >= len(both.factory.blueprint.path(client))


@pytest.mark.parametrize("shape", ["one client", "k=2", "k=3"])
@pytest.mark.parametrize("lock", ["csv", "cltv-before", "cltv-after"])
def test_the_lsp_takes_the_stock_when_its_lock_has_run_out(shape: str, lock: str) -> None:
    both = chains(*SHAPES[shape], replace(LOCKS, stock_lock=lock), versions=2)
    *_, leaf = descend(both, both.factory.names[0])
    outputs = both.factory.template(leaf).outputs
    stocks = [index for index, output in enumerate(outputs) if output.role is Role.STOCK]
    assert len(stocks) == min(both.factory.shape.leaf_k, both.factory.clients)
    for number, index in enumerate(stocks):
        waited = both.at_its_height(f"expiry:{leaf}#{index}")
        assert bool(waited) == (number == 0)
    assert both.now.height >= {"csv": 0, "cltv-before": END - 5, "cltv-after": END + 5}[lock]


@pytest.mark.parametrize(("default", "gap"), [("classic", 0), ("both", 4)])
def test_the_lsps_own_paths_at_the_end(default: str, gap: int) -> None:
    locks = replace(LOCKS, end_default=default, expiry_gap=gap)
    both = chains(*SHAPES["ragged"], locks, versions=1)
    taken = 0
    for name in descend(both, "c0"):
        branch = both.fork()
        for index in range(len(both.factory.template(name).outputs)):
            expiry = f"expiry:{name}#{index}"
            if expiry not in both.factory.blueprint.templates or name == FUNDING:
                continue
            path = both.factory.template(name).outputs[index].lock_path
            assert path is not None
            branch.at_its_height(expiry)
            if path.kind is LockKind.CLTV:
                assert branch.now.height == max(branch.now.height, END + gap + 1)
                taken += 1
        branch.kernel.close()
    assert taken >= 3


def test_signatures_of_another_version_are_refused() -> None:
    both = chains(*SHAPES["binary"], versions=1)
    factory, other = both.factory, Factory(2, Shape.of([2]), LOCKS, 2, both.factory.coin)
    kickoff, state = factory.blueprint.path("c0")[:2]
    both.at_its_height(kickoff)
    both.advance(LOCKS.step)
    newer = other.sign(other.blueprint.path("c0")[1])
    mixed = with_witness(factory.realised[state].transaction, 0, newer.witnesses[0])
    assert both.kernel.would_accept([mixed.serialized]).code == rules.Reason.SCRIPT
    assert both.tried(state) is None


def test_what_is_missing_is_named() -> None:
    factory = Factory(*SHAPES["binary"])
    commitment = commitment_name("c0", (0, 0), "c0")
    lacking = {
        "keys of c1": replace(
            factory.book, parties={name: keys for name, keys in factory.book.parties.items() if name != "c1"}
        ),
        "per-commitment point": replace(factory.book, commitment_points={}),
        "channel points": replace(factory.book, channels={}),
        "coin": replace(factory.book, coins={}),
    }
    for what, book in lacking.items():
        with pytest.raises(InputError, match=what):
            realise(factory.blueprint, book, [commitment, alternate_name(Outpoint(FUNDING, 0))])


def test_a_lock_path_opens_with_its_owners_key_alone() -> None:
    both = chains(*SHAPES["one client"], versions=2)
    *_, leaf = descend(both, "c0")
    index = next(i for i, o in enumerate(both.factory.template(leaf).outputs) if o.role is Role.STOCK)
    assert both.factory.template(leaf).outputs[index].lock_path == LockPath(LSP, LockKind.CSV, 5)
    one = both.factory.realised[f"expiry:{leaf}#{index}"]
    both.advance(10)
    stolen = one.signed(secret("c0").sign(one.sighash))
    assert both.kernel.would_accept([stolen.serialized]).code == rules.Reason.SCRIPT
    assert both.tried(f"expiry:{leaf}#{index}") is None
