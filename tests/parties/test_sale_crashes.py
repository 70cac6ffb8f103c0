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


def with_kill(directory: Path, who: str, commits: int) -> tuple[Scene, list[Letter], int]:
    """The sale with ``who`` in a process killed after its ``commits``-th commit; what it sent; how often it died."""
    play = awake(scene(3, shape=PAIR, directory=directory))
    play.actors[who].store.close()
    process, deaths, tape = Process(directory, who, commits), 0, list[Letter]()

    def ask(sender: str, raw: bytes) -> None:
        nonlocal process, deaths
        try:
            answers = [Letter(who, to, answer) for to, answer in process.receive(sender, raw)]
        except Died:
            deaths += 1
            process.end()
            process = Process(directory, who)
            return
        tape.extend(answers)
        play.wire.letters.extend(answers)

    play.wire.letters.append(Letter("c0", LSP, request(directory)))
    for _ in range(12):
        while play.wire.letters:
            letter = play.wire.letters.popleft()
            if letter.to == who:
                ask(letter.sender, letter.raw)
            else:
                play.wire.deliver(letter)
        if who == LSP:
            ask("retry", b"")
        else:
            play.wire.post(LSP, play.lsp.retry())
        if not play.wire.letters and who == LSP and not stock_of(play, "c0", "c0").links:
            # The request itself was lost: the client asks again.
            play.wire.post("c0", play.clients["c0"].buy(5_000, 1_000))
        if not play.wire.letters:
            break
    process.end()
    for name in list(play.actors):
        if name == who:
            play.start(name)
        else:
            play.restart(name)
    return play, tape, deaths


@pytest.mark.parametrize(("who", "every"), [("c0", 2), ("c1", 3), (LSP, 3)])
def test_a_process_killed_for_real(who: str, every: int, home: Path, tmp_path: Path) -> None:
    """SIGKILL right after each second, or third, of its commits in turn; the others live on."""
    for commits in range(1, 50, every):
        play, tape, deaths = with_kill(again(home, tmp_path / f"{commits}"), who, commits)
        assert {stock_of(play, name, "c0").status for name in ("c0", "c1", LSP)} == {"chained"}
        assert stock_of(play, LSP, "c0").links[0].paid
        check_sales(play)
        assert links(play, "c0", "c0") == links(play, "c1", "c0") == links(play, LSP, "c0") == LINK
        said = [(letter.to, m.decode(letter.raw, who)) for letter in tape]
        told = [
            (to, nonce) for to, a in said if isinstance(a, m.Nonces | m.AggregateNonces) for nonce in a.nonces.values()
        ]
        assert len(told) == len(set(told)) > 0
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
