"""What a watchtower cannot know or do: its file is read byte for byte, and everything in it is tried on the chain."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from coincurve._libsecp256k1 import ffi

from superscalar_ref.bitcoin.script import P2A
from superscalar_ref.bitcoin.transaction import from_bytes
from superscalar_ref.parties.penalties import FEERATES
from superscalar_ref.parties.tower import Tower
from superscalar_ref.parties.tower_store import KeptEntry, TowerStore
from superscalar_ref.protocol.shape import Shape
from superscalar_ref.protocol.transaction import Kind, Role
from superscalar_ref.protocol.watchtower import ANSWERS
from superscalar_ref.signing import _libsecp
from tests.parties.chain_scene import OnChain
from tests.parties.channel_scene import CLIENT, LSP, Pair, preimage
from tests.parties.channel_scene import payout as channel_payout
from tests.parties.scene import identity, payout
from tests.parties.test_sales import buy

PAIR = Shape.of([2], leaf_k=2)
NEVER_KEPT = {Kind.KICKOFF, Kind.COMMITMENT, Kind.SWEEP, Kind.EXPIRY, Kind.FUNDING, Kind.CLOSE}


class Spy:
    """Every secret that any party makes or is given, from now on."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.keys: set[bytes] = set()
        self.nonces: set[bytes] = set()
        keypair, nonce_gen = _libsecp.keypair, _libsecp.nonce_gen

        def see_key(secret: bytes) -> _libsecp.CData:
            self.keys.add(bytes(secret))
            return keypair(secret)

        def see_nonce(*arguments: Any) -> tuple[_libsecp.CData, bytes]:
            self.nonces.add(bytes(arguments[0]))  # what it is made from
            structure, public = nonce_gen(*arguments)
            kept = bytes(ffi.buffer(structure))
            # Four bytes of a tag, two scalars of 32 bytes; the public nonce is two points of 33.
            self.nonces |= {kept[4:36], kept[36:68], public, public[1:33], public[34:66]}
            return structure, public

        patch.setattr(_libsecp, "keypair", see_key)
        patch.setattr(_libsecp, "nonce_gen", see_nonce)


def contents(directory: Path) -> bytes:
    """Every byte that a tower has on its disk, and everything that its tables say."""
    raw = b"".join(path.read_bytes() for path in sorted(directory.iterdir()))
    return raw + "\n".join(sqlite3.connect(next(directory.glob("*.sqlite"))).iterdump()).encode()


def lived(directory: Path) -> tuple[OnChain, Tower]:
    """A factory with a tower, a sale, an update, an aborted one; and a channel with payments, at the same tower."""
    tower = Tower("T", TowerStore(directory / "tower.sqlite"), 3)
    here = OnChain.start(4, PAIR, towers={"T": tower})
    play = here.play
    buy(play, "c0")
    play.update(play.tree.root.path)
    buy(play, "c1")
    play.wire.post("L", play.lsp.update(play.tree.root.path, {}))
    for _ in range(30):
        play.wire.deliver(play.wire.letters.popleft())
    pair = Pair(towers={"T": tower}).open()
    for number in range(1, 4):
        pair.offer(LSP, 10_000_000, number)
        pair.say(CLIENT, lambda side, n=number: side.settle(n - 1, preimage(n)))  # type: ignore[misc]
    pair.offer(LSP, 10_000_000, 9)
    assert pair.a.may_leave()
    return here, tower


def test_its_file_holds_no_secret_and_pays_nobody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spy = Spy(monkeypatch)
    here, tower = lived(tmp_path)
    monkeypatch.undo()
    play = here.play
    entries = tower.store.entries()
    tower.store.close()
    holds_no_secret(spy, here, contents(tmp_path))
    rightful(here, entries)
    # A thief publishes all of it, in one block or another: nothing enters a chain on which nobody has begun.
    for entry in entries:
        assert not here.ledger.would_accept([entry.raw]).accepted
    assert {entry.kind for entry in entries} == {str(kind) for kind in ANSWERS}
    assert {entry.client for entry in entries} == {*play.clients, CLIENT}


def holds_no_secret(spy: Spy, here: OnChain, kept: bytes) -> None:
    """Neither as bytes nor as hex, in either order."""
    play = here.play
    seeds = {identity(name).seed for name in play.actors}
    for actor in play.actors.values():
        seeds |= {bytes.fromhex(secret) for rows in actor.commitment_secrets.values() for secret in rows}
    preimages = {preimage(number) for number in range(1, 10)}
    assert seeds - {identity(name).seed for name in play.actors} <= spy.keys
    assert {actor.key.reveal() for actor in play.actors.values()} <= spy.keys
    assert len(spy.keys) > 100
    assert len(spy.nonces) > 500
    for secret in spy.keys | spy.nonces | seeds | preimages:
        for form in (secret, secret[::-1]):
            assert form not in kept
            assert form.hex().encode() not in kept
            assert form.hex().upper().encode() not in kept
    # The search finds what is there: the hex of a txid in the tables, the bytes of a transaction in the pages.
    some = play.clients["c0"].factory.realised["state:r@0"]
    assert some.txid.encode() in kept
    assert some.transaction.stripped[4:-4] in kept


def rightful(here: OnChain, entries: list[KeptEntry]) -> None:
    """Every output is its client's, or its clients' together with the LSP; none is the LSP's alone."""
    play = here.play
    known = {realised.txid: realised for realised in play.lsp.factory.realised.values()}
    clients = set(play.clients)
    for entry in entries:
        transaction = from_bytes(entry.raw)
        if entry.client == CLIENT:
            assert [output.script_pubkey for output in transaction.outputs] == [channel_payout(f"{CLIENT} in channel")]
            fee = entry.amount - transaction.outputs[0].amount_sat
            assert fee <= max(FEERATES) * transaction.vbytes
            continue
        realised = known[transaction.txid]
        assert realised.template.kind not in NEVER_KEPT
        scripts = [output.script_pubkey for output in transaction.outputs]
        assert payout("L") not in scripts
        for output, place in zip(realised.template.outputs, realised.places, strict=True):
            if output.role is Role.ANCHOR:
                assert scripts[place] == P2A
            elif output.role is Role.WALLET:
                assert output.owner in clients
                assert scripts[place] == payout(output.owner)
            else:
                assert output.signers & clients, "nobody takes it without its client"
