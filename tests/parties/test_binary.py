"""Both forms of a message carry the same; whatever bytes come, they are read as they would be written, or refused."""

from __future__ import annotations

import dataclasses
import json
import shutil
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superscalar_ref.errors import MessageError, SpecError
from superscalar_ref.parties import binary, channel_messages, handover_messages, messages, tlv, tower_messages
from superscalar_ref.scenario.exit_world import ExitWorld
from superscalar_ref.spec.location import spec_directory
from superscalar_ref.spec.wire_forms import Field, Form, load_messages
from tests.fuzz.mangle import mangled
from tests.parties.ceremonies import leave, played, posted
from tests.parties.channel_home import Home
from tests.parties.scene import Scene, scene
from tests.parties.tower_scene import tower

TABLE = load_messages()
FAMILIES: tuple[Mapping[str, type[Any]], ...] = (
    messages.NAMES,
    channel_messages.NAMES,
    tower_messages.NAMES,
    handover_messages.NAMES,
)
KINDS = {name: kind for names in FAMILIES for name, kind in names.items()}


# -- the table and the dataclasses -------------------------------------------------------------------------------------


def test_the_table_has_every_message_with_the_fields_that_the_parties_use() -> None:
    assert list(TABLE.messages) == list(KINDS)
    for name, kind in KINDS.items():
        assert _names(TABLE.messages[name].fields) == [field.name for field in dataclasses.fields(kind)], name
        _same_records(kind, TABLE.messages[name].fields)


def _same_records(kind: Any, fields: tuple[Field, ...]) -> None:
    hints = typing.get_type_hints(kind)
    for field in fields:
        if field.element in TABLE.records:
            inner = next(one for one in _parts(hints[field.name]) if dataclasses.is_dataclass(one))
            assert _names(TABLE.records[field.element].fields) == [one.name for one in dataclasses.fields(inner)]
            _same_records(inner, TABLE.records[field.element].fields)


def _parts(hint: Any) -> list[Any]:
    return [hint, *(part for one in typing.get_args(hint) for part in _parts(one))]


def _names(fields: tuple[Field, ...]) -> list[str]:
    return [field.name for field in fields]


def test_each_message_belongs_to_rows_that_there_are() -> None:
    from superscalar_ref.spec.load import load_machines

    rows = {row.id for machine in load_machines() for row in machine.transitions}
    assert {row for one in TABLE.messages.values() for row in one.rows} <= rows


@pytest.fixture(scope="module")
def ceremonies() -> dict[str, tuple[tuple[str, str, str], ...]]:
    return dict(played())


def test_parties_say_what_the_table_says_in_its_order(ceremonies: dict[str, Any]) -> None:
    assert {one.name: one.steps for one in TABLE.ceremonies} == ceremonies


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('name = "sender_epoch"', 'name = "channel"', "two fields of one name"),
        ("type = 40962", "type = 40960", "40960 is odd, or stands for two messages"),
        ("type = 40962", "type = 40963", "40963 is odd, or stands for two messages"),
        ('type = 2, name = "payout_script"', 'type = 3, name = "payout_script"', "no even numbers that ascend"),
        ('type = 2, name = "payout_script"', 'type = 0, name = "payout_script"', "no even numbers that ascend"),
        ('form = "list coin"', 'form = "list purse"', "no form or record is called 'purse'"),
        ('form = "list coin"', 'form = "list terms"', "'day' holds 'terms', which does not stand before it"),
        ('name = "join"', 'name = "invitation"', "'invitation' is there twice"),
        ('name = "coin"', 'name = "hash"', "is a form and a record"),
        ('"invitation"],', '"invitations"],', "no message is called 'invitations'"),
        ('form = "list coin"', 'form = "set coin"', "does not have the form"),
        ('says = "a block"', "", "the key 'says' is missing"),
    ],
)
def test_a_faulty_table_is_one_line(tmp_path: Path, old: str, new: str, said: str) -> None:
    text = (spec_directory() / "messages.toml").read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "messages.toml").write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(SpecError, match=r"messages\.toml:") as error:
        load_messages(tmp_path)
    assert said in str(error.value) and "\n" not in str(error.value)


def test_the_table_that_is_copied_is_read_from_the_copy(tmp_path: Path) -> None:
    shutil.copy(spec_directory() / "messages.toml", tmp_path)
    assert load_messages(tmp_path) == TABLE


# -- the same in both forms --------------------------------------------------------------------------------------------

_TEXT = st.characters(codec="utf-8")


def _values(name: str) -> st.SearchStrategy[Any]:
    if name in TABLE.records:
        return _record(TABLE.records[name].fields)
    form = TABLE.forms[name]
    match form.kind:
        case "bytes":
            sizes = form.sizes or (form.low, min(form.high or 99, form.low + 40))
            return st.sampled_from(sizes).flatmap(lambda size: st.binary(min_size=size, max_size=size)).map(_hex(form))
        case "number":
            return st.integers(form.low, 2**63 - 1 if form.high is None else form.high)
        case "signed":
            return st.integers(-(2**63), 2**63 - 1)
        case "outpoint":
            whole = st.builds(
                "{}:{}".format, st.binary(min_size=32, max_size=32).map(bytes.hex), st.integers(0, 999_999)
            )
            return st.one_of(st.just(""), whole) if form.optional else whole
        case _ if form.choices:
            return st.sampled_from(form.choices)
        case _ if name == "kind":
            return st.text("abcz", min_size=1, max_size=20)
        case _:
            return st.text(_TEXT, min_size=form.low, max_size=min(form.high or 20, 20))


def _hex(form: Form) -> Callable[[bytes], str]:
    """In hex; a point begins as points do."""
    return lambda raw: (b"\x02" + raw[1:] if len(raw) == 33 else raw).hex()


def _record(fields: tuple[Field, ...]) -> st.SearchStrategy[Any]:
    def value(field: Field) -> st.SearchStrategy[Any]:
        made = _values(field.element)
        if field.form[0] == "list":
            made = st.lists(made, max_size=2)
        elif field.form[0] == "map":
            made = st.dictionaries(_values(field.form[1]), made, max_size=2)
        return st.none() | made if field.optional else made

    return st.fixed_dictionaries({field.name: value(field) for field in fields})


def _message(name: str) -> st.SearchStrategy[bytes]:
    form = TABLE.messages[name]
    around = _record(TABLE.envelope) if form.family == TABLE.enveloped else st.just({})
    return st.builds(
        lambda outer, body: json.dumps({**outer, "message": name, "body": body}).encode(), around, _record(form.fields)
    )


@given(raw=st.sampled_from(list(KINDS)).flatmap(_message))
def test_what_is_said_in_one_form_is_said_in_the_other(raw: bytes) -> None:
    said = binary.read_json(raw, "A")
    written = binary.encode(said)
    assert binary.decode(written, "A") == said
    again = binary.json_of(written, "A")
    assert again is not None and json.loads(again) == binary.plain(said)


def test_what_json_leaves_out_stands_in_the_bytes() -> None:
    contents = {"r": {"channels": [{"client": "A", "to_client": 1, "to_lsp": 0}], "stocks": []}}
    body = {"label": "x", "attempt": 1, "versions": {"r": 0}, "contents": contents}
    said = binary.read_json(json.dumps({"message": "close", "body": body}).encode(), "A")
    assert binary.decode(binary.encode(said), "A") == said
    assert binary.plain(said)["body"]["contents"]["r"]["channels"][0]["bought"] == ""


@pytest.mark.parametrize("name", KINDS)
def test_each_message_has_a_binary_form(name: str) -> None:
    @given(raw=_message(name))
    def run(raw: bytes) -> None:
        said = binary.read_json(raw, "A")
        assert binary.decode(binary.encode(said), "A") == said

    from hypothesis import settings

    settings(max_examples=5)(run)()


def _by_binary(play: Scene) -> list[int]:
    """From here on, every letter of a scene goes through its binary form; how many bytes in each."""
    sizes = [0, 0]
    deliver = play.wire.deliver

    def through(letter: Any) -> None:
        raw = binary.encode(binary.read_json(letter.raw, letter.sender))
        sizes[0], sizes[1] = sizes[0] + len(letter.raw), sizes[1] + len(raw)
        form = binary.json_of(raw, letter.sender)
        assert form is not None
        deliver(dataclasses.replace(letter, raw=form))

    play.wire.deliver = through  # type: ignore[method-assign]
    return sizes


def test_a_life_goes_by_binary_messages_alone() -> None:
    play = scene(2, towers={"T": tower()})
    sizes = _by_binary(play)
    play.ceremony().fund()
    play.update(play.tree.leaves()[0].path).close()
    assert play.lsp.life.status == "close_published" and not play.wire.alerts
    assert sizes[1] < 0.7 * sizes[0], "it is the compact form"


def test_a_channel_lives_and_moves_by_binary_messages_alone() -> None:
    home = Home.start(("ann",), ("ann",))
    sizes = _by_binary(home.scene)
    home.pay("ann", 1_000_000).update(home.leaf())
    assert home.side("ann").channel.status == "live" and len(home.side("ann").channel.outpoints) == 1
    assert not home.scene.wire.alerts and sizes[1]


def test_an_assisted_exit_goes_by_binary_messages_alone() -> None:
    world = ExitWorld.found()

    def through(letter: Any) -> bytes:
        form = binary.json_of(binary.encode(binary.read_json(letter.raw, letter.sender)), letter.sender)
        assert form is not None
        return form

    tape = posted(world, through)
    leave(world)
    assert {"ask_exit", "offer_exit"} < {json.loads(letter.raw)["message"] for letter in tape}
    assert not world.wire.alerts


# -- what is refused ---------------------------------------------------------------------------------------------------

SMALL = binary.encode(messages.Invitation("f", 300))
"""a000 | 00 01 66 | 02 02 012c"""


def _refused(raw: bytes) -> MessageError:
    with pytest.raises(MessageError) as error:
        binary.decode(raw, "A")
    assert "\n" not in str(error.value) and "message of A" in str(error.value)
    return error.value


def test_the_bytes_of_a_small_message() -> None:
    assert SMALL.hex() == "a0000001660202012c"


@pytest.mark.parametrize(
    ("raw", "rule"),
    [
        ("", "R-TLV-LENGTH"),
        ("a0", "R-TLV-LENGTH"),
        ("a000", "R-TLV-FIELD"),
        ("a000 000166", "R-TLV-FIELD"),
        ("a000 000166 0202012c 00", "R-TLV-ORDER"),
        ("a000 000166 000167 0202012c", "R-TLV-ORDER"),
        ("a000 0202012c 000166", "R-TLV-ORDER"),
        ("a000 000166 0202012c 0400", "R-TLV-EVEN"),
        ("a000 000166 0202012c fe0001000000", "R-TLV-EVEN"),
        ("9ffe", "R-TLV-EVEN"),
        ("a000 00fd000166 0202012c", "R-TLV-MINIMAL"),
        ("a000 fd0000 0166 0202012c", "R-TLV-MINIMAL"),
        ("a000 000166 02030000ff", "R-TLV-MINIMAL"),
        ("a000 000166 020100", "R-TLV-MINIMAL"),
        ("a000 000166 0202", "R-TLV-LENGTH"),
        ("a000 000166 02", "R-TLV-LENGTH"),
        ("a000 000166 02fd01", "R-TLV-LENGTH"),
        ("a000 000166 02ffffffffffffffffff", "R-TLV-LENGTH"),
        ("a000 000166 0209010000000000000000", "R-TLV-LENGTH"),
        ("a000 000166 0208ffffffffffffffff", "R-TLV-FIELD"),
        ("a000 0001ff 0202012c", "R-TLV-FIELD"),
        ("a000 0000 0202012c", "R-TLV-FIELD"),
    ],
)
def test_what_is_wrong_in_a_stream_is_refused_by_its_rule(raw: str, rule: str) -> None:
    assert _refused(bytes.fromhex(raw)).rule == rule


@pytest.mark.parametrize("number", [5, 0xFB, 0xFFFF, 2**64 - 1])
def test_what_is_odd_and_unknown_is_passed_over(number: int) -> None:
    assert binary.decode(SMALL + tlv.big_size(number) + tlv.sized(b"new"), "A") == messages.Invitation("f", 300)
    assert binary.decode(b"\xa0\x01" + b"whatever", "A") is None


@pytest.mark.parametrize("raw", [b"", b"[]", b"{}", b'{"message": []}', b'{"message": {}}', b"\xff", b"[" * 100_000])
def test_what_is_no_message_in_json_is_refused(raw: bytes) -> None:
    """R-MESSAGE-FORM."""
    with pytest.raises(MessageError, match="message of A"):
        binary.read_json(raw, "A")


def test_too_long_a_message_is_refused_unread() -> None:
    assert _refused(b"\xa0\x01" + bytes(messages.MAX_MESSAGE_BYTES)).rule == "message-size"


@given(value=st.integers(0, 2**64 - 1))
def test_a_big_size_has_one_form(value: int) -> None:
    raw = tlv.big_size(value)
    assert tlv.read_big_size(raw, 0, "x") == (value, len(raw))
    for first, width in ((0xFD, 2), (0xFE, 4), (0xFF, 8)):
        if value < 1 << 8 * width and (longer := bytes([first]) + value.to_bytes(width, "big")) != raw:
            with pytest.raises(MessageError, match="R-TLV-MINIMAL"):
                tlv.read_big_size(longer, 0, "x")


def test_what_has_no_binary_form_is_refused_when_it_is_written() -> None:
    proposal = TABLE.messages["update"]
    contents = {"r": {"channels": [{"client": "A", "to_client": -1, "to_lsp": 0, "bought": ""}], "stocks": []}}
    body = {"label": "x", "node": "r", "versions": {}, "contents": contents}
    raw = json.dumps(
        {"message": proposal.name, "body": {**body, "commitment_point": None, "client_commitment_point": None}}
    ).encode()
    with pytest.raises(MessageError, match="has no binary form"):
        binary.encode(binary.read_json(raw, "A"))


@pytest.fixture(scope="module")
def seeds() -> list[bytes]:
    play = scene(1, towers={"T": tower()})
    play.ceremony()
    home = Home.start(("ann",), ("ann",)).pay("ann", 1_000_000)
    home.update(home.leaf())
    world = ExitWorld.found()
    left = posted(world)
    leave(world)
    tape = [*play.wire.tape, *home.scene.wire.tape, *left]
    chosen = {json.loads(one.raw)["message"]: binary.encode(binary.read_json(one.raw, "A")) for one in tape}
    assert len(chosen) > 20
    return list(chosen.values())


def test_whatever_bytes_come_they_are_what_would_be_written_or_refused(seeds: list[bytes]) -> None:
    @given(raw=mangled(seeds))
    def run(raw: bytes) -> None:
        try:
            said = binary.decode(raw, "A")
        except MessageError as error:
            assert "\n" not in str(error)
            return
        if said is not None:
            assert binary.decode(binary.encode(said), "A") == said
            assert len(binary.encode(said)) <= len(raw), "no shorter bytes say more"

    run()


def test_each_single_byte_that_is_lost_is_noticed_or_means_another_message(seeds: list[bytes]) -> None:
    smallest = sorted(seeds, key=len)[:6]
    for raw in smallest:
        for cut in range(len(raw)):
            try:
                said = binary.decode(raw[:cut], "A")
            except MessageError:
                continue
            assert said is None or binary.encode(said) == raw[:cut]
