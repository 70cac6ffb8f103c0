"""A tower among lost, doubled and hostile letters; what it pays with; a disk that fails; a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from superscalar_ref.bitcoin.taproot import p2tr_from_internal
from superscalar_ref.bitcoin.transaction import Transaction, TxOutput, from_hex
from superscalar_ref.chain.interface import TxOut
from superscalar_ref.errors import DurabilityError
from superscalar_ref.parties import tower_messages as t
from superscalar_ref.parties.actor import Outbox
from superscalar_ref.parties.tower import Purse, Tower, blocks_of
from superscalar_ref.parties.wire import Letter
from superscalar_ref.protocol.shape import Shape
from superscalar_ref.realise.book import CoinOutput
from tests.parties.chain_scene import OnChain
from tests.parties.scene import LSP, Scene, check_consistent, payout, scene, secret
from tests.parties.tower_scene import DEPTH, Sky, Watched, tower

ONE = Shape.of([2])
PAIR = Shape.of([2], leaf_k=2)
KEY = secret("a tower's own")


def said(outbox: Outbox) -> list[t.TowerMessage]:
    return [t.decode(raw, "T") for _, raw in outbox.messages]


# -- letters -----------------------------------------------------------------------------------------------------------


def watched(count: int = 1, shape: Shape = ONE) -> Scene:
    return scene(count, shape=shape, towers={"T": tower()})


def test_a_client_that_hears_nothing_of_its_tower_counts_on_nothing() -> None:
    play = watched()
    play.wire.post(LSP, play.lsp.invite())
    lost = []
    while play.wire.letters:
        letter = play.wire.letters.popleft()
        if letter.sender == "T":
            lost.append(letter)
        else:
            play.wire.deliver(letter)
    assert play.statuses() == {LSP: "signing", "c0": "signing"}
    assert lost, "it was asked once"
    play.wire.post("c0", play.clients["c0"].retry_towers())
    play.wire.run()
    assert play.statuses() == {LSP: "signed", "c0": "holding"}


def test_the_lsps_reminder_makes_a_client_ask_again() -> None:
    play = watched()
    play.wire.post(LSP, play.lsp.invite())
    while play.wire.letters:
        letter = play.wire.letters.popleft()
        if letter.to != "T":
            play.wire.deliver(letter)
    play.settle("signed")
    assert play.clients["c0"].life.status == "holding"


def test_doubled_letters_change_nothing() -> None:
    once, twice = watched(2), watched(2)
    for play, times in ((once, 1), (twice, 2)):
        play.wire.post(LSP, play.lsp.invite())
        while play.wire.letters:
            letter = play.wire.letters.popleft()
            for _ in range(times if "T" in (letter.to, letter.sender) else 1):
                play.wire.deliver(letter)
        play.fund().update("r.0")
        check_consistent(play)
    a, b = (play.towers["T"] for play in (once, twice))
    assert a.cases() == b.cases()
    assert a.store.entries() == b.store.entries()
    assert once.clients["c0"].life == twice.clients["c0"].life


@pytest.mark.parametrize("moment", range(0, 60, 6))
def test_a_client_that_restarts_in_any_ceremony_registers_again(moment: int) -> None:
    play = watched(1)
    play.wire.post(LSP, play.lsp.invite())

    def dies(count: int) -> None:
        if count % 60 == moment:
            play.restart("c0")

    play.wire.run(dies)
    play.settle("signed").fund()
    play.wire.post(LSP, play.lsp.update("r", {}))
    play.wire.run(dies)
    play.settle("active")
    assert play.clients["c0"].life.version == "1"
    kept = {entry.txid for entry in play.towers["T"].store.entries()}
    client = play.clients["c0"]
    assert {client.factory.realised[name].txid for name in ("state:r@1", "poison:state:r@0#0")} <= kept


def test_a_purchase_waits_for_the_tower_and_the_tower_publishes_the_chain() -> None:
    here = OnChain.start(4, PAIR, towers={"T": tower()})
    play = here.play
    play.wire.post("c0", play.clients["c0"].buy(5_000, 1_000))
    held: list[Letter] = []
    while play.wire.letters:
        letter = play.wire.letters.popleft()
        (held.append if letter.sender == "T" else play.wire.deliver)(letter)
    assert play.clients["c0"].life.owed == 20_000
    assert not any(b'"payment"' in letter.raw for letter in play.wire.tape), "nothing is paid for before it is kept"
    for letter in held:
        play.wire.deliver(letter)
    play.wire.run()
    link = "sale:state:r@0#4.0"
    assert link in play.clients["c0"].life.kit
    story = Watched(here, Sky(here.ledger, dict(play.towers)))
    story.lsp_publishes("kickoff:r@-")
    story.sky.wait(4)
    story.lsp_publishes("state:r@0")
    story.sky.wait(play.lsp.factory.terms.locks.stock_lock_blocks)
    story.lsp_publishes("expiry:state:r@0#4")
    assert story.confirmed(link)
    assert not story.confirmed("expiry:state:r@0#4")


def test_a_tower_that_does_not_answer_is_dropped_and_the_client_goes_on() -> None:
    play = scene(1, shape=ONE, towers={"T": tower(), "U": tower("U")})
    play.wire.post(LSP, play.lsp.invite())
    while play.wire.letters:
        letter = play.wire.letters.popleft()
        if letter.sender != "U":
            play.wire.deliver(letter)
    client = play.clients["c0"]
    assert client.life.status == "signing"
    play.wire.post("c0", client.drop_tower("U"))
    play.wire.run()
    assert client.life.status == "holding"
    assert "U" not in client.party.towers


# -- what a tower does not take ----------------------------------------------------------------------------------------


def form(play: Scene, name: str, **other: object) -> t.EntryForm:
    client = play.clients["c0"]
    realised = client.factory.realised[name]
    spent = realised.spent[0]
    raw = client.complete_transaction(name).hex
    entry = t.EntryForm(str(realised.template.kind), raw, spent.amount_sat, spent.script_pubkey.hex())
    return replace(entry, **other)  # type: ignore[arg-type]


def test_it_keeps_nothing_that_could_begin_and_nothing_half_done() -> None:
    play = scene(1, shape=ONE).ceremony()
    one = tower()
    state = form(play, "state:r@0")
    unsigned = play.clients["c0"].factory.realised["state:r@0"].transaction.hex
    bad = [
        form(play, "kickoff:r@-"),
        form(play, "commitment:c0@0:c0"),
        replace(state, raw=unsigned),
        replace(state, amount=state.amount + 1),
        replace(state, raw=state.raw[:-8] + "01000000"),
        replace(state, raw="00" * 60),
    ]
    for entry in bad:
        outbox = one.receive("c0", t.encode(t.Register((entry,))))
        assert [type(message) for message in said(outbox)] == [t.NotRegistered]
        assert len(outbox.alerts) == 1
    assert one.store.entries() == []
    assert one.cases() == []
    # One that is bad does not take the others with it.
    outbox = one.receive("c0", t.encode(t.Register((bad[0], state))))
    assert [type(message) for message in said(outbox)] == [t.Registered, t.NotRegistered]
    assert one.health().entries == 1


@pytest.mark.parametrize(
    ("sender", "raw"),
    [
        ("c0", b"{"),
        ("c0", b"[]"),
        ("c0", b'{"message":"secret","body":{"key":"00"}}'),
        ("c0", b'{"message":"register","body":{"entries":[],"nonce":"00"}}'),
        ("c0", b'{"message":"register","body":{"entries":[{"kind":"state"}]}}'),
        ("c0", b'{"message":"tip","body":{"height":5}}'),
        ("c0", b'{"message":"registered","body":{"txids":[]}}'),
        ("chain", b'{"message":"block","body":{"height":1,"raw":"00"}}'),
        ("chain", b'{"message":"block","body":{"height":1,"raw":"' + b"00" * 90 + b'"}}'),
        ("chain", b'{"message":"tip","body":{"height":-1}}'),
        ("chain", b'{"message":"tip","message":"tip","body":{"height":1}}'),
        ("chain", b"\xff"),
    ],
)
def test_a_bad_letter_is_one_alert_and_changes_nothing(sender: str, raw: bytes) -> None:
    one = tower()
    before = list(one.store._connection.iterdump())
    outbox = one.receive(sender, raw)
    assert len(outbox.alerts) == 1
    assert "\n" not in outbox.alerts[0]
    assert not outbox.messages
    assert not outbox.broadcasts
    assert list(one.store._connection.iterdump()) == before


def test_blocks_come_in_their_order_or_are_refused() -> None:
    here = OnChain.start(1, ONE)
    blocks = blocks_of(here.ledger.raw_blocks())
    one = tower()
    for raw in blocks[5:10]:
        assert not one.receive("chain", raw).alerts, "it may begin anywhere"
    assert one.height == 10
    assert "follows none that is known" in one.receive("chain", blocks[12]).alerts[0]
    assert "does not follow the block before it" in one.receive("chain", wrong_height(blocks[12], 11)).alerts[0]
    assert one.height == 10
    one.receive("chain", t.encode(t.Tip(40)))
    assert (one.health().height, one.health().lag) == (10, 30)
    assert not one.receive("chain", blocks[9]).alerts, "told twice"
    assert not one.receive("chain", blocks[10]).alerts
    report = said(one.receive("c0", t.encode(t.AskHealth())))[0]
    assert isinstance(report, t.HealthReport)
    assert (report.height, report.tip, report.lag) == (11, 40, 29)


def wrong_height(raw: bytes, height: int) -> bytes:
    block = t.decode(raw, "chain")
    assert isinstance(block, t.Block)
    return t.encode(t.Block(height, block.raw))


def test_a_disk_that_fails_acknowledges_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    play = scene(1, shape=ONE).ceremony()
    one = tower()
    letter = t.encode(t.Register((form(play, "state:r@0"),)))

    def full() -> None:
        raise DurabilityError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(one.store, "commit", full)
        outbox = one.receive("c0", letter)
    assert not outbox.messages
    assert "disk is full" in outbox.alerts[0]
    assert one.cases() == []
    assert [type(message) for message in said(one.receive("c0", letter))] == [t.Registered]


# -- fees --------------------------------------------------------------------------------------------------------------


def test_it_pays_for_a_tree_transaction_with_a_coin_of_its_own() -> None:
    script = p2tr_from_internal(KEY.x_only)
    one = tower()
    here = OnChain.start(1, ONE, towers={"T": one}, others=[TxOut(50_000, script)])
    point = here.ledger.funds[1]
    coin = CoinOutput(point.txid[::-1].hex(), point.index, TxOutput(50_000, script))
    rich = Tower("T", one.store, DEPTH, Purse(KEY, (coin,), payout("the tower")))
    story = Watched(here, Sky(here.ledger, {"T": rich}))
    rich.receive("chain", t.encode(t.Feerate(25)))
    story.lsp_publishes("kickoff:r@-")
    story.sky.wait(5)
    story.sky.look()
    state = story.by("c0", "state:r@0")
    assert story.confirmed("state:r@0")
    spent = [found for found in here.ledger.unspent().values() if found.output.script == payout("the tower")]
    assert len(spent) == 1
    paid = 50_000 + 240 - spent[0].output.amount + here.play.lsp.factory.templates["state:r@0"].fee
    assert paid >= 25 * state.vbytes
    assert rich.store.entries() == one.store.entries(), "its key is not in its file"
    assert KEY.reveal() not in "".join(rich.store._connection.iterdump()).encode()


def test_it_raises_its_child_when_the_price_rises_and_pays_again_from_the_change() -> None:
    """STR-32; and what is left of a coin is a coin, as soon as a block holds it (STR-31)."""
    script = p2tr_from_internal(KEY.x_only)
    one = tower()
    here = OnChain.start(1, ONE, towers={"T": one}, others=[TxOut(50_000, script)])
    point = here.ledger.funds[1]
    coin = CoinOutput(point.txid[::-1].hex(), point.index, TxOutput(50_000, script))
    rich = Tower("T", one.store, DEPTH, Purse(KEY, (coin,), script))
    seen = len(here.ledger.raw_blocks())
    for raw in blocks_of(here.ledger.raw_blocks()):
        rich.receive("chain", raw)

    def block() -> list[Transaction]:
        """The tower sees one more block; what it broadcasts."""
        here.mine()
        nonlocal seen
        seen += 1
        sent = rich.receive("chain", t.encode(t.Block(seen, here.ledger.raw_blocks()[seen - 1].hex())))
        return sent.broadcasts

    here.publish(LSP, "kickoff:r@-")
    seen += 1
    rich.receive("chain", t.encode(t.Block(seen, here.ledger.raw_blocks()[seen - 1].hex())))
    sent: list[Transaction] = []
    while not sent:
        sent = block()
    children = []
    for price in (5, 5, 25):
        rich.receive("chain", t.encode(t.Feerate(price)))
        parent, child = block()
        assert parent == sent[0]
        children.append(child)
    assert children[0] == children[1] != children[2], "the same price, the same child"
    assert {one.inputs[1].txid_hex for one in children} == {coin.txid}
    here.mine(parent, children[2])
    seen += 1
    rich.receive("chain", t.encode(t.Block(seen, here.ledger.raw_blocks()[seen - 1].hex())))
    assert rich._bumper is not None
    assert block() == []
    rich._bumper.see(lambda txid: txid in rich._seen, rich._is_there)
    (left,) = rich._bumper.free()
    assert (left.txid, left.index) == (children[2].txid, 0)


def test_without_a_coin_it_publishes_all_the_same_and_says_so() -> None:
    one = tower()
    here = OnChain.start(1, ONE, towers={"T": one})
    story = Watched(here, Sky(here.ledger, {"T": one}))
    one.receive("chain", t.encode(t.Feerate(25)))
    story.lsp_publishes("kickoff:r@-")
    story.sky.wait(6)
    assert story.confirmed("state:r@0")
    assert any("no coin of its own" in alert for alert in story.sky.alerts)


# -- a process of its own ----------------------------------------------------------------------------------------------


def command(path: Path, lines: list[str], *more: str) -> tuple[list[dict[str, object]], list[str], int]:
    """What ``superscalar-ref tower`` says to these lines: (its answers, its complaints, its exit code)."""
    done = subprocess.run(
        [sys.executable, "-m", "superscalar_ref.cli", "tower", "--db", str(path), *more],
        input="\n".join(lines),
        capture_output=True,
        text=True,
        errors="surrogateescape",
        check=False,
        cwd=Path(__file__).parents[2],
    )
    return [json.loads(line) for line in done.stdout.splitlines()], done.stderr.splitlines(), done.returncode


def line(sender: str, message: t.TowerMessage) -> str:
    return json.dumps({"from": sender, **json.loads(t.encode(message))})


def test_the_process_answers_a_kickoff_after_a_restart(tmp_path: Path) -> None:
    here = OnChain.start(1, ONE)
    play = here.play
    path = tmp_path / "tower.sqlite"
    blocks = [json.dumps({"from": "chain", **json.loads(raw)}) for raw in blocks_of(here.ledger.raw_blocks())]
    register = line("c0", t.Register((form(play, "state:r@0"), form(play, "alternate:kickoff:r@-#0"))))
    bad = [
        "{}",
        '{"from": "c0"}',
        '{"from": "\\ud800", "message": "ask_health", "body": {}}',
        '{"from": ["c0"]}',
        "\udcff",
    ]
    said_, complaints, code = command(path, ["not JSON", *blocks, *bad, register], "--depth", "3")
    assert code == 0
    assert [one.get("message") for one in said_] == ["registered"]
    first = len(blocks) + 2
    assert [one.split(":")[0] for one in complaints] == ["line 1", *(f"line {first + n}" for n in range(len(bad)))]
    here.publish(LSP, "kickoff:r@-")
    here.ledger.advance(3)
    later = blocks_of(here.ledger.raw_blocks()[len(blocks) :], first=len(blocks) + 1)
    lines = [json.dumps({"from": "chain", **json.loads(raw)}) for raw in later]
    said_, complaints, code = command(path, [*lines, line("c0", t.AskHealth())], "--depth", "3")
    assert (complaints, code) == ([], 0)
    sent = from_hex(str(said_[0]["broadcast"]))
    assert isinstance(sent, Transaction)
    assert sent.txid == play.lsp.factory.realised["state:r@0"].txid == said_[0]["txid"]
    assert here.ledger.would_accept([sent.serialized]).accepted
    assert said_[-1]["body"] == {
        "height": here.ledger.height,
        "tip": here.ledger.height,
        "lag": 0,
        "cases": {"responded": 1},
        "entries": 2,
        "waiting": 0,
        "taken": [],
    }


def test_a_file_that_is_no_store_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("a shopping list that is longer than a page\n" * 40)
    answers, complaints, code = command(path, [])
    assert (answers, code) == ([], 2)
    assert len(complaints) == 1
    assert "cannot be opened" in complaints[0]


def test_the_process_survives_a_kill_a_reorg_and_blocks_that_come_late(tmp_path: Path) -> None:
    """Each life of the process ends by SIGKILL in the middle of its work; what it has said, it has kept."""
    here = OnChain.start(1, ONE)
    path, ledger = tmp_path / "tower.sqlite", here.ledger
    state = here.play.lsp.factory.realised["state:r@0"].txid
    begin = ledger.height

    def blocks(first: int) -> list[str]:
        raw = ledger.raw_blocks()[first - 1 :]
        return [json.dumps({"from": "chain", **json.loads(one)}) for one in blocks_of(raw, first=first)]

    def live(lines: list[str]) -> list[dict[str, object]]:
        """Until it has answered a question about its health, which comes last; then it is killed."""
        with subprocess.Popen(
            [sys.executable, "-m", "superscalar_ref.cli", "tower", "--db", str(path), "--depth", "3"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        ) as process:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write("\n".join([*lines, line("c0", t.AskHealth())]) + "\n")
            process.stdin.flush()
            said: list[dict[str, object]] = []
            while not said or said[-1].get("message") != "health_report":
                said.append(json.loads(process.stdout.readline()))
            process.kill()
        return said

    def health(said: list[dict[str, object]]) -> tuple[object, object, object]:
        body = said[-1]["body"]
        assert isinstance(body, dict)
        return body["height"], body["lag"], body["cases"]

    said = live([*blocks(1), line("c0", t.Register((form(here.play, "state:r@0"),)))])
    assert [one.get("message") for one in said] == ["registered", "health_report"]
    here.publish(LSP, "kickoff:r@-")
    ledger.advance(1)
    # It hears of the blocks before it sees them: that is its lag.
    said = live([line("chain", t.Tip(ledger.height))])
    assert health(said) == (begin, ledger.height - begin, {"watching": 1})
    said = live(blocks(begin + 1))
    assert health(said) == (ledger.height, 0, {"triggered": 1}), "its lock has not run out"
    # The kickoff's block is replaced by another, and so is the one after it; more come on top.
    ledger.reorg(ledger.height - begin)
    said = live(blocks(begin + 1))
    assert health(said) == (ledger.height, 0, {"watching": 1})
    assert not any("broadcast" in one for one in said)
    known = ledger.height
    here.publish(LSP, "kickoff:r@-")
    ledger.advance(3)
    said = live(blocks(known + 1))
    assert said[-2]["txid"] == state
    assert ledger.would_accept([from_hex(str(said[-2]["broadcast"])).serialized]).accepted
    # It repeats itself in its next life, with the next block.
    ledger.advance(1)
    assert state in [one.get("txid") for one in live(blocks(ledger.height))]
