"""Templates as bytes: scripts, unsigned transactions, what is to be signed, and how a witness is put together.

Laws of this module:

* Nothing is decided here: amounts, locks and signers are the template's. A test compares each transaction with its row.
* An output's key path is the MuSig2 aggregate of all its signers' factory keys (D-1); its lock path, where it has
  one, is the only leaf of its script tree, under the owner's factory key.
* Commitments have the form of BOLT zero-fee taproot channels (D-13); their outputs are ordered by BIP-69, so that an
  output's place in the bytes may differ from its place in the template.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from superscalar_ref.bitcoin import locks
from superscalar_ref.bitcoin.script import P2A, cltv_leaf, csv_leaf
from superscalar_ref.bitcoin.sighash import taproot_sighash
from superscalar_ref.bitcoin.taproot import ScriptTree, p2tr_script, tap_leaf
from superscalar_ref.bitcoin.transaction import Transaction, TxInput, TxOutput, build, with_witness
from superscalar_ref.errors import InputError
from superscalar_ref.protocol.blueprint import FUNDING, Blueprint, Terms
from superscalar_ref.protocol.transaction import Kind, LockKind, LockPath, Output, Role, Spend, Template
from superscalar_ref.realise import commitment as bolt
from superscalar_ref.realise.book import Book
from superscalar_ref.signing.musig import AggregateKey


@dataclass(frozen=True)
class Opening:
    """How a script path is opened: the leaf and its control block."""

    script: bytes
    control_block: bytes


@dataclass(frozen=True)
class Realised:
    """A template as bytes, unsigned, with what a signer must know."""

    template: Template
    transaction: Transaction
    spent: tuple[TxOutput, ...]
    """The outputs that its inputs spend, in their order."""
    places: tuple[int, ...]
    """For each output of the template, its index in the bytes."""
    sighash: bytes
    """32 bytes that the one signature of the first input signs (BIP-341, ``SIGHASH_DEFAULT``)."""
    key: AggregateKey | None
    """Key path: the tweaked key of the output that it spends. None for a script path and for the funding."""
    opening: Opening | None = None
    """Script path: what the witness opens."""
    commitment: bolt.Commitment | None = None
    """A commitment's own parts."""

    @property
    def txid(self) -> str:
        """Hex in RPC order; it does not depend on signatures."""
        return self.transaction.txid

    def signed(self, signature: bytes) -> Transaction:
        """The complete transaction with its one signature (64 bytes)."""
        if self.opening is None:
            return with_witness(self.transaction, 0, (signature,))
        return with_witness(self.transaction, 0, (signature, self.opening.script, self.opening.control_block))


def lock_leaf(path: LockPath, book: Book) -> bytes:
    """The tapscript leaf of a lock path: its owner's factory key, and the lock (BIP-112, BIP-65)."""
    key = book.party(path.owner).factory_key[1:]
    leaf = csv_leaf if path.kind is LockKind.CSV else cltv_leaf
    return leaf(key, path.blocks)


def shared_key(output: Output, book: Book) -> AggregateKey:
    """The untweaked aggregate key of an output's signers (BIP-327; D-1)."""
    return book.shared_key(output.signers)


def merkle_root(output: Output, book: Book) -> bytes | None:
    """The root of an output's script tree, or None when it has no lock path (BIP-86)."""
    return ScriptTree((lock_leaf(output.lock_path, book),)).merkle_root if output.lock_path else None


def output_key(output: Output, book: Book) -> AggregateKey:
    """The tweaked key of a shared output: what its key path's signature is verified against."""
    return shared_key(output, book).taproot(merkle_root(output, book))


def output_script(output: Output, book: Book) -> bytes:
    """The scriptPubKey of an output that is not a commitment's own."""
    if output.role is Role.ANCHOR:
        return P2A
    if output.role is Role.WALLET:
        return book.party(output.owner).payout_script
    return p2tr_script(output_key(output, book).x_only)


def realise(
    blueprint: Blueprint,
    book: Book,
    names: Iterable[str],
    known: Mapping[str, Realised] | None = None,
) -> dict[str, Realised]:
    """Transactions of the given names, and of all their ancestors, from the root down.

    What is in ``known`` is taken over. Raises ``InputError`` when a key, a point or a
    coin that is needed is not in the book.
    """
    done = dict(known or {})
    wanted = _with_ancestors(blueprint, names)
    for name, template in blueprint.templates.items():
        if name in wanted and name not in done:
            done[name] = realise_one(template, book, done, blueprint.terms)
    return done


def _with_ancestors(blueprint: Blueprint, names: Iterable[str]) -> frozenset[str]:
    wanted: set[str] = set()
    pending = list(names)
    while pending:
        name = pending.pop()
        if name in wanted or name not in blueprint.templates:
            continue
        wanted.add(name)
        pending.extend(spend.outpoint.transaction for spend in blueprint.templates[name].spends)
    return frozenset(wanted)


def realise_one(template: Template, book: Book, known: Mapping[str, Realised], terms: Terms) -> Realised:
    """One transaction, whose parents are known."""
    if template.kind is Kind.FUNDING:
        return _funding(template, book, terms)
    spend = template.spends[0]
    parent = known[spend.outpoint.transaction]
    place = parent.places[spend.outpoint.index]
    source = parent.transaction.outputs[place]
    if template.kind is Kind.COMMITMENT:
        return _commitment(template, book, parent, source, terms)
    inputs = [TxInput(parent.txid, place, sequence(spend))]
    outputs = [TxOutput(output.amount, output_script(output, book)) for output in template.outputs]
    transaction = build(terms.transaction_version, inputs, outputs, template.lock_time)
    spent_output = parent.template.outputs[spend.outpoint.index]
    opening, key = None, None
    if spend.by_lock_path:
        opening = _opening(parent, spent_output, book)
    else:
        key = output_key(spent_output, book)
    leaf = tap_leaf(opening.script) if opening else None
    return Realised(
        template,
        transaction,
        (source,),
        tuple(range(len(outputs))),
        taproot_sighash(transaction, 0, (source,), leaf_hash=leaf),
        key,
        opening,
    )


def sequence(spend: Spend) -> int:
    """nSequence of an input: BIP-68 blocks, or BIP-68 off (D-3)."""
    if spend.relative_lock is None:
        return locks.NO_RELATIVE_LOCK
    return locks.relative_lock_sequence(spend.relative_lock)


def _funding(template: Template, book: Book, terms: Terms) -> Realised:
    coins = []
    for spend in template.spends:
        if spend.outpoint not in book.coins:
            raise InputError("funding", f"coin {spend.outpoint} is not known", "R-FUNDING-COVERED")
        coins.append(book.coins[spend.outpoint])
    inputs = [TxInput(coin.txid, coin.index, locks.NO_RELATIVE_LOCK) for coin in coins]
    outputs = [TxOutput(output.amount, output_script(output, book)) for output in template.outputs]
    transaction = build(terms.transaction_version, inputs, outputs, 0)
    spent = tuple(coin.output for coin in coins)
    places = tuple(range(len(outputs)))
    return Realised(template, transaction, spent, places, taproot_sighash(transaction, 0, spent), None)


_PLACES = {
    Role.DELAYED: bolt.Role.TO_LOCAL,
    Role.WALLET: bolt.Role.TO_REMOTE,
    Role.ANCHOR: bolt.Role.ANCHOR,
}


def _commitment(template: Template, book: Book, parent: Realised, source: TxOutput, terms: Terms) -> Realised:
    """A channel's first commitment on this outpoint, for its holder (D-13): number 0, no HTLC."""
    channel = parent.template.outputs[template.spends[0].outpoint.index]
    client = channel.owner
    other = next(iter(channel.signers - {template.holder}))
    for side in (template.holder, other):
        if (client, side) not in book.channels:
            raise InputError(template.name, f"the channel points of {side} are not known", "R-KEYS")
    if template.name not in book.commitment_points:
        raise InputError(template.name, "its per-commitment point is not known", "R-KEYS")
    paid = {output.role: output.amount for output in template.outputs}
    to_local = paid.get(Role.DELAYED)
    to_remote = paid.get(Role.WALLET)
    if to_local is None:
        # Both sides trimmed: any split below the dust limit gives the same bytes.
        to_local = channel.amount // 2 if to_remote is None else channel.amount - to_remote
    fixed = bolt.Terms(
        funding_txid=parent.txid,
        funding_vout=parent.places[template.spends[0].outpoint.index],
        capacity_sat=channel.amount,
        funding_keys=(book.party(template.holder).factory_key, book.party(other).factory_key),
        holder=book.channels[client, template.holder],
        other=book.channels[client, other],
        holder_opened=template.holder != client,
        to_self_delay=terms.locks.to_self_delay,
        dust_limit_sat=terms.economy.dust,
    )
    state = bolt.State(0, book.commitment_points[template.name], to_local * 1000, (channel.amount - to_local) * 1000)
    built = bolt.build(fixed, state)
    places = tuple(_vout(built, output.role) for output in template.outputs)
    sighash = taproot_sighash(built.transaction, 0, (source,))
    return Realised(
        template, built.transaction, (source,), places, sighash, output_key(channel, book), commitment=built
    )


def _vout(built: bolt.Commitment, role: Role) -> int:
    place = built.vout(_PLACES[role])
    if place is None:
        raise InputError("commitment", f"has no {role} output where its template has one", "D-13")
    return place


def _opening(parent: Realised, output: Output, book: Book) -> Opening:
    if parent.commitment is not None:
        own = parent.commitment.to_local
        assert own is not None
        return Opening(own.script(), own.control_block())
    assert output.lock_path is not None
    tree = ScriptTree((lock_leaf(output.lock_path, book),))
    internal = shared_key(output, book).x_only
    return Opening(tree.scripts[0], tree.control_block(internal, 0))


def funding_script(blueprint: Blueprint, book: Book) -> bytes:
    """The scriptPubKey of the factory's one on-chain output: what a client compares with the LSP's (Q-CER-3)."""
    return output_script(blueprint.templates[FUNDING].outputs[0], book)
