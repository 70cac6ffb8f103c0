"""A sale in which a party dies between any two steps, or its disk refuses: the record comes first, one link wins."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from superscalar_ref.errors import DurabilityError
from superscalar_ref.parties import messages as m
from superscalar_ref.parties.store import Store
from superscalar_ref.parties.wire import Letter
from superscalar_ref.protocol.shape import Shape
from tests.parties.scene import LSP, QuickStore, Scene, scene
from tests.parties.test_disk import Connection, Disk, DurableWire
from tests.parties.test_process import Died, Process
from tests.parties.test_sales import check_sales, links, stock_of

PAIR = Shape.of([2], leaf_k=2)
LINK = ("sale:state:r@0#3.0",)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stores of an active factory; two of three clients share a stock, and one of them has asked to buy."""
    directory = tmp_path_factory.mktemp("active")
    play = scene(3, shape=PAIR, directory=directory).ceremony().fund()
    (_, raw), *_ = play.clients["c0"].buy(5_000, 1_000).messages
    (directory / "request").write_bytes(raw)
    for actor in play.actors.values():
        actor.store.close()
    return directory


def again(home: Path, directory: Path) -> Path:
    shutil.copytree(home, directory)
    return directory


def awake(play: Scene) -> Scene:
    """Everybody in a second life, whose randomness is not that of the first, in which the stores were written."""
    for name in list(play.actors):
        play.restart(name)
    return play


def request(directory: Path) -> bytes:
    return (directory / "request").read_bytes()


class Stuck(Exception):
    """The sale is not complete, although everybody was asked again and again."""


def finish(play: Scene, deliver: Callable[[Letter], None] | None = None) -> None:
    """Deliver, and ask again, until the link is complete everywhere and paid."""
    for _ in range(12):
        while play.wire.letters:
            letter = play.wire.letters.popleft()
            (deliver or play.wire.deliver)(letter)
        sold = stock_of(play, LSP, "c0").links
        if sold and sold[0].paid:
            return
        play.wire.post(LSP, play.lsp.retry())
    raise Stuck


class Dead(BaseException):
    """The process is gone: nobody handles it."""


class Fragile(QuickStore):
    """A store whose process dies right after its ``left``-th commit."""

    left = 0

    def commit(self) -> None:
        written = self._connection.in_transaction
        super().commit()
        if written and self.left:
            self.left -= 1
            if self.left == 0:
                raise Dead


def with_death(directory: Path, who: str, commits: int) -> tuple[Scene, int]:
    """The sale with one death of ``who``; how often it died (0 when it committed less often)."""
    play = awake(scene(3, shape=PAIR, open_store=lambda name: Fragile(directory / f"{name}.sqlite")))
    store = play.actors[who].store
    assert isinstance(store, Fragile)
    store.left = commits
    deaths = 0

    def deliver(letter: Letter) -> None:
        nonlocal deaths
        try:
            play.wire.deliver(letter)
        except Dead:
            deaths += 1
            play.restart(who)

    play.wire.letters.append(Letter("c0", LSP, request(directory)))
    for _ in range(6):
        try:
            finish(play, deliver)
            break
        except Dead:
            deaths += 1
            play.restart(who)
        except Stuck:
            # The request itself was lost: the client asks again.
            play.wire.post("c0", play.clients["c0"].buy(5_000, 1_000))
    return play, deaths


@pytest.mark.parametrize("who", [LSP, "c0", "c1"])
def test_a_death_between_any_two_commits(who: str, home: Path, tmp_path: Path) -> None:
    died = 0
    for commits in range(1, 200):
        play, deaths = with_death(again(home, tmp_path / f"{commits}"), who, commits)
        check_sales(play)
        assert links(play, "c0", "c0") == links(play, "c1", "c1") == links(play, LSP, "c0")
        assert len(links(play, LSP, "c0")) == 1, commits
        for actor in play.actors.values():
            actor.store.close()
        died += deaths
        if not deaths:
            break
    assert 3 < died == commits - 1


def test_a_buyer_s_process_killed_for_real(home: Path, tmp_path: Path) -> None:
    """SIGKILL right after each second one of its commits in turn; the LSP and the other client live on."""
    for commits in range(1, 50, 2):
        directory = again(home, tmp_path / f"{commits}")
        play = awake(scene(3, shape=PAIR, directory=directory))
        play.actors["c0"].store.close()
        process, deaths = Process(directory, "c0", commits), 0
        tape: list[bytes] = []

        def deliver(letter: Letter, play: Scene = play, tape: list[bytes] = tape) -> None:
            nonlocal process, deaths
            if letter.to != "c0":
                play.wire.deliver(letter)
                return
            try:
                answers = process.receive(letter.sender, letter.raw)
            except Died:
                deaths += 1
                process.end()
                process = Process(process.directory, "c0")
                return
            tape.extend(raw for _, raw in answers)
            play.wire.letters.extend(Letter("c0", to, raw) for to, raw in answers)

        play.wire.letters.append(Letter("c0", LSP, request(directory)))
        finish(play, deliver)
        process.end()
        here = play.restart("c1"), play.start("c0")
        assert all(actor.party.stocks for actor in here)
        check_sales(play)
        assert links(play, "c0", "c0") == LINK
        nonces = [n for raw in tape if isinstance(a := m.decode(raw, "c0"), m.Nonces) for n in a.nonces.values()]
        assert len(nonces) == len(set(nonces)) > 0
        for actor in play.actors.values():
            actor.store.close()
        if not deaths:
            assert commits > 4
            return
    raise AssertionError("it always dies")


def test_two_links_for_one_outpoint_are_refused_after_a_death_too(home: Path, tmp_path: Path) -> None:
    """The record is all that the client has left of the first link: the partial signature left, nothing came back."""
    directory = again(home, tmp_path / "copy")
    play = awake(scene(3, shape=PAIR, directory=directory))
    play.wire.letters.append(Letter("c0", LSP, request(directory)))
    while not any(slot == "sale" for _, slot, _ in play.actors["c1"].store.records()):
        play.wire.deliver(play.wire.letters.popleft())
    play.wire.letters.clear()
    for _ in range(2):
        client = play.restart("c1")
        offer = m.Sale("s9", "state:r@0", 3, 9, "state:r@0", "c0", 0, 6_000, 0)
        outbox = client.receive(LSP, m.encode(offer))
        assert "OUTPOINT_NEVER_SIGNED" in outbox.alerts[0]
        assert not outbox.messages
    finish(play)
    assert links(play, "c1", "c1") == LINK
    check_sales(play)


def refusing(directory: Path, disks: dict[str, Disk]) -> Scene:
    """The factory on disks that may refuse, with a wire that looks whether what a letter rests on is durable."""

    def open_store(name: str) -> Store:
        store = QuickStore(directory / f"{name}.sqlite")
        store._connection = Connection(store._connection, disks.setdefault(name, Disk()))  # type: ignore[assignment]
        return store

    play = awake(scene(3, shape=PAIR, open_store=open_store))
    play.wire = DurableWire(play.actors)
    play.wire.directory = directory
    return play


def sold(directory: Path, disks: dict[str, Disk]) -> Scene:
    play = refusing(directory, disks)
    play.wire.letters.append(Letter("c0", LSP, request(directory)))
    for _ in range(40):
        try:
            finish(play)
            break
        except DurabilityError:
            continue
        except Stuck:
            # The disk refused the request itself: the client asks again.
            for _ in range(10):
                try:
                    play.wire.post("c0", play.clients["c0"].buy(5_000, 1_000))
                    break
                except DurabilityError:
                    continue
    return play


def places(writes: int, refusals: int) -> Iterator[int]:
    return iter(range(1, writes + 1, 1 if refusals == 1 else 5))


@pytest.mark.parametrize("who", [LSP, "c0", "c1"])
@pytest.mark.parametrize("refusals", [1, 6])
def test_a_disk_that_refuses_is_a_refusal_and_never_consent(
    who: str, refusals: int, home: Path, tmp_path: Path
) -> None:
    healthy: dict[str, Disk] = {}
    play = sold(again(home, tmp_path / "healthy"), healthy)
    assert links(play, LSP, "c0") == LINK
    writes = healthy[who].writes
    assert writes > 8
    for at in places(writes, refusals):
        broken = {who: Disk(at, refusals)}
        play = sold(again(home, tmp_path / f"{at}"), broken)
        assert broken[who].refused > 0
        assert len(links(play, LSP, "c0")) == 1, at
        check_sales(play)
        for actor in play.actors.values():
            actor.store.close()
