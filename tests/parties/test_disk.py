"""Disks that refuse: no consent without its record, nothing half done, and the same end when the disk is well again."""

from __future__ import annotations

import json
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from superscalar_ref.errors import DurabilityError, InputError
from superscalar_ref.parties import messages as m
from superscalar_ref.parties.actor import Outbox
from superscalar_ref.parties.store import Store
from superscalar_ref.signing.keys import SecretKey
from tests.parties.scene import LSP, QuickStore, Scene, TapedWire, check_consistent, scene


class Disk:
    """Counts writes; from the ``at``-th on, ``refusals`` of them fail."""

    def __init__(self, at: int = 0, refusals: int = 0) -> None:
        self.at, self.refusals, self.writes, self.refused = at, refusals, 0, 0

    def write(self) -> None:
        self.writes += 1
        if self.refused < self.refusals and self.writes >= self.at:
            self.refused += 1
            raise sqlite3.OperationalError("disk I/O error")


class Connection:
    """An SQLite connection on a disk that may refuse."""

    def __init__(self, real: sqlite3.Connection, disk: Disk) -> None:
        self.real, self.disk = real, disk

    def execute(self, statement: str, values: tuple[Any, ...] = ()) -> sqlite3.Cursor:
        if statement.startswith(("INSERT", "COMMIT")):
            self.disk.write()
        return self.real.execute(statement, values)

    @property
    def in_transaction(self) -> bool:
        return self.real.in_transaction

    def close(self) -> None:
        self.real.close()


class DurableWire(TapedWire):
    """A wire that looks, through a connection of its own, whether what a letter rests on is on the disk already."""

    directory: Path
    watched: int = 0

    def post(self, sender: str, outbox: Outbox) -> None:
        for _, raw in outbox.messages:
            self.check(sender, m.decode(raw, sender))
        super().post(sender, outbox)

    def check(self, sender: str, message: m.Message) -> None:
        with sqlite3.connect(self.directory / f"{sender}.sqlite") as connection:
            documents = dict(connection.execute("SELECT name, body FROM documents"))
            recorded = {row[0] for row in connection.execute("SELECT message FROM records")}
            signed = {row[0] for row in connection.execute("SELECT name FROM signatures")}
        connection.close()
        archive = self.actors[sender].archive
        life = json.loads(documents.get("client", "{}"))
        secrets = [s for owned in json.loads(documents.get("commitment_secrets", "{}")).values() for s in owned]
        match message:
            case m.Partials() if archive is not None:
                assert {archive.realised[name].sighash.hex() for name in message.partials} <= recorded
            case m.Signatures():
                assert set(message.signatures) <= signed
            case m.Agreement():
                pending = [stock["pending"] for stock in life.get("stocks", {}).values()]
                assert message.label in {life["label"], *(sale["label"] for sale in pending if sale)}
            case m.LinkHeld():
                (sold,) = [one for s in life["stocks"].values() for one in s["links"] if one["label"] == message.label]
                assert set(sold["kit"]) <= signed
            case m.KitComplete():
                assert life["counted"] == message.label
                assert set(life["life"]["kit"]) <= signed
            case _:
                pass
        points = {
            m.Join: "commitment_point",
            m.KitComplete: "next_commitment_point",
            m.Proposal: "commitment_point",
            m.Update: "commitment_point",
        }
        if type(message) in points:
            own = {SecretKey(bytes.fromhex(secret)).public.hex() for secret in secrets}
            assert getattr(message, points[type(message)]) in own
        self.watched += 1


def on_disk(directory: Path, disks: dict[str, Disk]) -> Scene:
    directory.mkdir()

    def open_store(name: str) -> Store:
        store = QuickStore(directory / f"{name}.sqlite")
        store._connection = Connection(store._connection, disks.setdefault(name, Disk()))  # type: ignore[assignment]
        return store

    play = scene(1, open_store=open_store)
    play.wire = DurableWire(play.actors)
    play.wire.directory = directory
    return play


def insist(play: Scene, step: Callable[[], Outbox]) -> None:
    """Take a step of the LSP's own, again after each refusal of its disk, which must have changed nothing."""
    for _ in range(20):
        before, archive = play.lsp.party, play.lsp.archive
        try:
            play.wire.post(LSP, step())
        except DurabilityError:
            assert play.lsp.party.life == before.life
            assert play.lsp.archive is archive
            kinds = {type(m.decode(raw, LSP)) for _, raw in play.lsp.outbox.messages}
            assert kinds <= {m.Signatures}  # These were durable before.
            assert not play.lsp.outbox.broadcasts
            continue
        play.wire.run()
        return
    raise AssertionError("the disk never healed")


def settle(play: Scene, status: str) -> None:
    for _ in range(25):
        if play.lsp.life.status == status:
            return
        insist(play, play.lsp.retry)
    raise AssertionError((play.statuses(), play.wire.alerts[-3:]))


def live_through(play: Scene, disks: dict[str, Disk]) -> None:
    insist(play, play.lsp.invite)
    settle(play, "signed")
    assert set(play.statuses().values()) == {"signed", "holding"}
    insist(play, play.lsp.fund)
    for _ in range(20):
        try:
            play.confirm()
            break
        except DurabilityError:
            assert "funded" in play.statuses().values() or "holding" in play.statuses().values()
    assert set(play.statuses().values()) == {"active"}
    insist(play, lambda: play.lsp.update("r", {}))
    settle(play, "active")
    assert play.clients["c0"].life.version == "1"
    insist(play, play.lsp.close)
    settle(play, "close_published")
    assert set(play.statuses().values()) == {"close_published", "closing"}
    check_consistent(play)
    for name in list(play.actors):
        disks[name].refusals = 0
        play.restart(name)
    check_consistent(play)
    assert set(play.statuses().values()) == {"close_published", "closing"}


def test_a_whole_life_is_durable_before_it_is_told(tmp_path: Path) -> None:
    disks: dict[str, Disk] = {}
    play = on_disk(tmp_path / "life", disks)
    live_through(play, disks)
    assert isinstance(play.wire, DurableWire)
    assert play.wire.watched == len(play.wire.tape) > 30
    assert not play.wire.alerts


@pytest.mark.parametrize("who", ["L", "c0"])
@pytest.mark.parametrize("refusals", [1, 6])
def test_any_write_may_be_refused(tmp_path: Path, who: str, refusals: int) -> None:
    disks: dict[str, Disk] = {}
    live_through(on_disk(tmp_path / "healthy", disks), disks)
    writes = disks[who].writes
    assert writes > 20
    for at in (*range(1, 7), *range(7, writes + 1, 2 if refusals == 1 else 5)):
        broken = {who: Disk(at, refusals)}
        play = on_disk(tmp_path / f"{at}", broken)
        live_through(play, broken)
        assert broken[who].refused > 0
        for actor in play.actors.values():
            actor.store.close()


def test_a_full_disk(tmp_path: Path) -> None:
    """The same by SQLite's own hand: no page more than there are."""
    play = scene(1, directory=tmp_path)
    store = play.clients["c0"].store
    pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
    store._connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(DurabilityError, match="full"):
        for number in range(1_000):
            store.put_document(f"filler {number}", "x" * 100)
            store.commit()
    play.ceremony()
    play.wire.post(LSP, play.lsp.retry())
    play.wire.run()
    assert play.clients["c0"].life.status in ("invited", "verifying")
    assert any("full" in alert for alert in play.wire.alerts)
    assert store.records() == frozenset()
    store._connection.execute("PRAGMA max_page_count = 1000000")
    play.settle("signed")
    check_consistent(play)


def test_files_that_are_no_stores(tmp_path: Path) -> None:
    path = tmp_path / "c0.sqlite"
    path.write_bytes(b"this is no database, and long enough to be told from one" * 20)
    with pytest.raises(InputError, match=r"c0\.sqlite.*store-form"):
        Store(path)
    with pytest.raises(InputError, match="cannot be opened"):
        Store(tmp_path)
    with pytest.raises(InputError, match="cannot be opened"):
        Store(tmp_path / "no" / "such" / "directory")


@pytest.mark.parametrize("read", [lambda s: s.document("client"), lambda s: s.records(), lambda s: s.signatures()])
def test_a_store_that_cannot_be_read(tmp_path: Path, read: Callable[[Store], object]) -> None:
    store = Store(tmp_path / "c0.sqlite")
    for table in ("documents", "records", "signatures"):
        store._connection.execute(f"DROP TABLE {table}")
    with pytest.raises(InputError, match=r"c0\.sqlite.*cannot be read"):
        read(store)
    store.close()
    with pytest.raises(InputError, match="cannot be read"):
        read(store)
    with pytest.raises(DurabilityError):
        store.put_document("client", "{}")


@pytest.mark.parametrize("name", ["client", "factory", "commitment_secrets"])
@pytest.mark.parametrize("body", ["", "{", "[]", "null", '{"life": 3}', "\x00"])
def test_a_damaged_record_is_one_error(tmp_path: Path, name: str, body: str) -> None:
    play = scene(1, directory=tmp_path).ceremony()
    store = play.clients["c0"].store
    store.put_document(name, body)
    store.commit()
    with pytest.raises(InputError):
        play.restart("c0")


def test_a_read_only_file(tmp_path: Path) -> None:
    path = tmp_path / "c0.sqlite"
    Store(path).close()
    path.chmod(stat.S_IRUSR)
    uri = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    store = Store()
    store._connection, store.path = uri, path
    with pytest.raises(DurabilityError, match=r"c0\.sqlite.*readonly"):
        store.put_record(("funding:0", "close 0", "00"))
    assert store.records() == frozenset()
