"""An exit kit: made from a client's store, checked, taken up on a machine that has nothing else; and an old one."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest

from superscalar_ref.bitcoin.transaction import Transaction, with_witness
from superscalar_ref.chain.interface import TxOut
from superscalar_ref.chain.kernel import KernelLedger
from superscalar_ref.chain.record import transactions_in
from superscalar_ref.errors import InputError, ProtocolError
from superscalar_ref.parties import messages as m
from superscalar_ref.parties.channel_watch import ChannelWatcher
from superscalar_ref.parties.kit import Kit, at_file, export, read_kit, restore, without, write_kit
from superscalar_ref.parties.kit_check import check_kit, wanted_names
from superscalar_ref.parties.kit_exit import exit_by_kit, newer_shown
from superscalar_ref.parties.watch import Watcher
from superscalar_ref.protocol.backup import load_backup_rules
from superscalar_ref.protocol.blueprint import Channel, LeafContents
from tests.parties.scene import BALANCE, COIN, INBOUND, STOCK, WALLET_SCRIPT, Scene, coin, identity, payout, scene

ME = "c0"
SHARE = BALANCE + INBOUND
"""The client's whole channel (sat): the least that the end pays it."""
CLAIM_FEE = 200


def funded() -> tuple[Scene, KernelLedger]:
    """A factory that is active on a chain of its own."""
    ledger = KernelLedger.start([TxOut(COIN, WALLET_SCRIPT)])
    point = ledger.funds[0]
    play = scene(2, coins=(coin(point.txid[::-1].hex(), point.index),)).ceremony()
    play.wire.post(play.lsp.name, play.lsp.fund())
    ledger.mine([play.wire.broadcasts.pop().serialized])
    ledger.advance(play.limits.depth - 1)
    for actor in play.actors.values():
        Watcher(actor, ledger).look()
    return play, ledger


def updated(play: Scene, balance: int) -> Scene:
    """The root's next version: the client has more, the LSP less."""
    leaf = play.tree.leaf_of(ME).path
    return play.update("r", {leaf: LeafContents((Channel(ME, balance, SHARE - balance),), (STOCK,))})


def test_a_current_kit_gets_out_alone() -> None:
    play, ledger = funded()
    kit = export(play.clients[ME])
    report = check_kit(kit)
    assert report.complete, report.faults
    assert report.owed_sat == BALANCE
    story = exit_by_kit(kit, ledger, vouched=True)
    print(story)
    assert story.status == "swept"
    assert story.age == "current"
    assert story.received_sat == BALANCE - story.steps[-1].fee_sat


def paid_through(play: Scene, *amounts_msat: int) -> tuple[Any, Any]:
    """Both sides of the client's channel, live, after these payments of the client to the LSP."""
    from superscalar_ref.parties.channel_leaf import open_in_leaf
    from superscalar_ref.protocol.htlc_limits import HtlcLimits

    client, lsp = play.clients[ME], play.lsp
    limits = HtlcLimits(10, 5, play.offer.locks.end, 20)
    sides = [open_in_leaf(actor, ME, client.counted, actor.store, limits, depth=3) for actor in (client, lsp)]
    sides[1].answer = lambda htlc: preimage(htlc.amount_msat)
    talk(sides[0].connect().messages, sides)
    for amount in amounts_msat:
        pay(sides, amount)
    return sides[0], sides[1]


def preimage(amount_msat: int) -> bytes:
    return amount_msat.to_bytes(32, "big")


def pay(sides: Any, amount_msat: int) -> None:
    import hashlib

    paid = hashlib.sha256(preimage(amount_msat)).hexdigest()
    talk(sides[0].offer(amount_msat, paid, sides[0].height + 40).messages, sides)


def talk(letters: list[tuple[str, bytes]], sides: Any) -> None:
    """Deliver until nothing is on its way."""
    pending = [(sides[0].name, *letter) for letter in letters]
    while pending:
        sender, to, raw = pending.pop(0)
        receiver = next(side for side in sides if side.name == to)
        outbox = receiver.receive(sender, raw)
        assert not outbox.alerts, outbox.alerts
        pending.extend((receiver.name, *letter) for letter in outbox.messages)
        answered = receiver.answer_pending()
        pending.extend((receiver.name, *letter) for letter in answered.messages)


def test_a_live_channel_gets_out_with_its_newest_balance() -> None:
    play, ledger = funded()
    side, _ = paid_through(play, 2_000_000, 3_000_000)
    assert side.channel.balance_msat == BALANCE * 1000 - 5_000_000
    kit = export(play.clients[ME])
    report = check_kit(kit)
    assert (report.complete, report.owed_sat) == (True, BALANCE - 5_000), report.faults
    story = exit_by_kit(kit, ledger, vouched=True)
    assert story.status == "swept", story
    assert story.received_sat == BALANCE - 5_000 - story.steps[-1].fee_sat


def punishing(ledger: KernelLedger, side: Any) -> Callable[[], list[Transaction]]:
    """The LSP, which sees each block and answers in the next one."""
    watcher = ChannelWatcher(side, ledger, CLAIM_FEE)

    def answer() -> list[Transaction]:
        for transaction in transactions_in(ledger.raw_blocks()[-1]):
            watcher.feed(transaction)
        return [transaction for _, transaction in watcher.look()]

    return answer


def resting(ledger: KernelLedger, script: bytes) -> int:
    return sum(one.output.amount for one in ledger.unspent().values() if one.output.script == script)


def old_kit() -> tuple[Kit, KernelLedger, Any]:
    """A kit that is one payment older than the channel, the chain, and the LSP's side."""
    play, ledger = funded()
    sides = paid_through(play, 2_000_000)
    kit = export(play.clients[ME])
    pay(sides, 3_000_000)
    return kit, ledger, sides[1]


def test_an_old_kit_that_is_taken_for_current_loses_the_whole_channel() -> None:
    kit, ledger, lsp = old_kit()
    story = exit_by_kit(kit, ledger, vouched=True, others=punishing(ledger, lsp))
    assert story.received_sat == 0
    assert resting(ledger, payout("L")) >= SHARE - 2 * CLAIM_FEE, "the LSP has punished"


def test_an_old_kit_that_nobody_vouches_for_waits_and_is_paid_in_full() -> None:
    kit, ledger, lsp = old_kit()
    story = exit_by_kit(kit, ledger, others=punishing(ledger, lsp))
    assert (story.age, story.status) == ("unknown", "paid")
    assert [step.name for step in story.steps] == ["alternate:funding#0"]
    assert story.received_sat >= SHARE
    assert story.steps[0].height == 201, "the first block that the alternate's lock time lets in"


def test_the_rule_is_what_prevents_the_loss() -> None:
    kit, ledger, lsp = old_kit()
    story = exit_by_kit(
        kit, ledger, others=punishing(ledger, lsp), rules=load_backup_rules().without("BAK-3"), vouched=False
    )
    assert story.received_sat == 0, "the kit has closed with a commitment that was revoked since"


def test_the_chain_shows_that_a_kit_is_old() -> None:
    play, ledger = funded()
    kit = export(play.clients[ME])
    updated(play, BALANCE + 5_000)
    lsp = play.lsp
    for name in lsp.counted_blueprint().path(ME)[:2]:
        lock = lsp.factory.templates[name].spends[0].relative_lock or 1
        ledger.advance(lock - 1)
        ledger.mine([lsp.complete_transaction(name).serialized])
    seen = [one for raw in ledger.raw_blocks() for one in transactions_in(raw)]
    story = exit_by_kit(kit, ledger, vouched=True, seen=seen)
    assert story.age == "old"
    assert "kickoff:r@- is spent on chain by" in story.evidence
    assert not story.steps


def test_a_newer_transaction_that_is_shown_makes_a_kit_old_and_nothing_else_does() -> None:
    play, ledger = funded()
    kit = export(play.clients[ME])
    client = restore(kit)
    older = client.complete_transaction("state:r@0")
    assert newer_shown(client, [older]) == ""
    updated(play, BALANCE + 5_000)
    newer = play.lsp.complete_transaction("state:r@1")
    assert "signed by all" in newer_shown(client, [older, newer])
    unsigned = with_witness(newer, 0, (bytes(64),))
    assert newer_shown(client, [unsigned, with_witness(newer, 0, ())]) == ""
    story = exit_by_kit(kit, ledger, vouched=True, shown=[newer])
    assert (story.age, story.status) == ("old", "paid")
    assert story.received_sat >= SHARE


def test_a_kit_of_a_factory_whose_end_pays_nothing_must_be_vouched_for() -> None:
    play, ledger = funded()
    kit = export(play.clients[ME])
    bare = without(kit, *(name for name in kit.signatures if name.startswith("alternate:")))
    with pytest.raises(ProtocolError, match="waiting is no way out"):
        exit_by_kit(bare, ledger)


def test_a_kit_cannot_sign_with_others_and_holds_no_key_that_could(tmp_path: Path) -> None:
    play, _ = funded()
    paid_through(play, 2_000_000)
    kit = export(play.clients[ME])
    write_kit(tmp_path / "kit.json", kit)
    text = (tmp_path / "kit.json").read_text()
    who = identity(ME)
    for secret in (who.seed, who.factory_key().reveal()):
        assert secret.hex() not in text
    client = restore(read_kit(tmp_path / "kit.json"))
    assert client.key.public != who.factory_key().public
    assert not client.party.signer.records
    assert (tmp_path / "kit.json").stat().st_mode & 0o077 == 0


@cache
def sample() -> dict[str, Any]:
    play, _ = funded()
    found: dict[str, Any] = json.loads(m.text_of(export(play.clients[ME])))
    return found


def faults_of(change: Callable[[Any], object]) -> list[str]:
    """Faults of a kit that is changed, as ``place: problem``."""
    document = json.loads(json.dumps(sample()))
    change(document)
    report = check_kit(m.decode_as(Kit, json.dumps(document).encode(), "kit"))
    return [f"{fault.place}: {fault.problem}" for fault in report.faults]


def _signature(name: str, signature: str, kit: Any) -> None:
    kit["signatures"].pop(name)
    if signature:
        kit["signatures"][name] = signature


def test_a_check_names_what_is_missing_or_wrong() -> None:
    assert faults_of(lambda kit: None) == []
    names = list(sample()["signatures"])
    for name in names:
        missing = faults_of(partial(_signature, name, ""))
        assert missing == [f"signatures.{name}: is missing: the kit is not complete"]
    for name in names[::7]:
        wrong = faults_of(partial(_signature, name, "11" * 64))
        assert wrong == [f"signatures.{name}: Bitcoin Core's code refuses the signature"]
    assert "says 20001 sat" in faults_of(lambda kit: kit["counted"].update(owed=20_001))[0]
    assert "of no transaction" in faults_of(lambda kit: kit["signatures"].update(strange="11" * 64))[0]
    trimmed = faults_of(lambda kit: (kit["counted"]["kit"].clear(), kit["signatures"].pop("kickoff:r@-")))
    assert trimmed == ["signatures.kickoff:r@-: is missing: the kit is not complete"], "the list itself is not believed"


def test_poison_is_part_of_a_kit() -> None:
    play, _ = funded()
    updated(play, BALANCE + 5_000)
    client = play.clients[ME]
    wanted = wanted_names(client)
    assert {name for name in wanted if name.startswith("poison:")} == {
        "poison:state:r.0@0.0#0",
        "poison:state:r.0@0.0#1",
    }
    assert not check_kit(export(client)).faults
    assert [fault.place for fault in check_kit(without(export(client), "poison:state:r.0@0.0#0")).faults] == [
        "signatures.poison:state:r.0@0.0#0"
    ]


BROKEN: dict[str, tuple[Callable[[Any], object], str]] = {
    "another format": (lambda kit: kit.update(format="x"), "is no 'superscalar exit kit'"),
    "another version": (lambda kit: kit.update(version=2), "version 1 is read here"),
    "an unknown field": (lambda kit: kit.update(more=1), "unknown field 'more'"),
    "a missing field": (lambda kit: kit.pop("factory"), "factory"),
    "a wrong type": (lambda kit: kit.update(height="x"), "height"),
    "a short signature": (lambda kit: kit["signatures"].update({"kickoff:r@-": "11"}), "signatures"),
    "a stranger's secret": (lambda kit: kit["channel_secrets"].update(htlc_basepoint="11" * 32), "htlc_basepoint"),
    "no secret": (lambda kit: kit["channel_secrets"].update(htlc_basepoint="00" * 32), "is no secret key"),
    "no client of it": (lambda kit: kit.update(client="zed"), "none of the factory's clients"),
    "another LSP": (lambda kit: kit.update(lsp="c1"), "is not the factory's LSP"),
    "no such version": (lambda kit: kit["counted"].update(label="v9"), "there is no version 'v9'"),
    "a key off the curve": (
        lambda kit: kit["factory"]["terms"]["keys"]["c1"].update(factory_key="02" + "00" * 32),
        "keys of|public key|point",
    ),
    "amounts that do not fit": (
        lambda kit: kit["factory"]["terms"]["coins"][0].update(amount=1),
        "coins hold 1 sat",
    ),
    "a strange record": (lambda kit: kit.update(channel_records={"x": "y"}), "does not begin with 'channel/'"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_file_is_one_error_with_its_place(what: str, tmp_path: Path) -> None:
    change, says = BROKEN[what]
    document = json.loads(json.dumps(sample()))
    change(document)
    path = tmp_path / "kit.json"
    path.write_text(json.dumps(document))
    with pytest.raises(InputError, match=says) as caught, at_file(path):
        check_kit(read_kit(path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_names_a_field_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "kit.json"
    path.write_text('{"format": "superscalar exit kit", "version": 1, "version": 1}')
    with pytest.raises(InputError, match="named twice"):
        read_kit(path)


def test_the_schema_says_the_same_as_the_reader() -> None:
    import jsonschema

    from superscalar_ref.spec.location import schema_directory

    schema = json.loads((schema_directory() / "kit.schema.json").read_text())
    jsonschema.validate(sample(), schema)
    for what in ("another version", "an unknown field", "a missing field", "a wrong type", "a short signature"):
        document = json.loads(json.dumps(sample()))
        BROKEN[what][0](document)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(document, schema)
