"""Messages: each comes back as it was; each malformed one is one error, and changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from superscalar_ref.errors import MessageError
from superscalar_ref.parties import messages as m
from superscalar_ref.parties.wire import Letter
from superscalar_ref.protocol.shape import Shape
from tests.parties.scene import Scene, check_consistent, scene, snapshot

PAIR = Shape.of([2], leaf_k=2)
POINT = "02" + "11" * 32
OTHERS = (
    m.UpdateAborted("v1"),
    m.Abort("factory"),
    m.Buy(5_000, 100, POINT),
    m.Sale("s0", "state:r@0", 2, 0, "state:r@0", "c0", 0, 5_000, 100),
    m.Sale("s0", "state:r@0", 2, 0, "state:r@0", "c0", 0, 5_000, 100, m.PointPair(POINT, POINT)),
    m.BeginSale("s0", 1),
    m.LinkHeld("s0"),
    m.PaymentRequest("s0"),
    m.Payment("s0"),
    m.SaleRefused("why", "instead"),
    m.SaleAborted("s0"),
)
"""Messages that a smooth life does not see."""


@cache
def life() -> tuple[Letter, ...]:
    """Every letter of one factory's life."""
    play = scene(2, shape=PAIR)
    while play.go_on():
        play.wire.run()
    return tuple(play.wire.tape)


def before_letter(number: int) -> tuple[Scene, Letter]:
    """A life that stops before its ``number``-th letter is delivered, and that letter."""
    play = scene(2, shape=PAIR)
    play.go_on()
    for _ in range(number):
        play.wire.deliver(play.wire.letters.popleft())
        if not play.wire.letters:
            assert play.go_on()
    return play, play.wire.letters.popleft()


def raws() -> tuple[bytes, ...]:
    return tuple({letter.raw for letter in life()} | {m.encode(other) for other in OTHERS})


def test_every_kind_of_message_comes_back() -> None:
    seen = set()
    for raw in raws():
        message = m.decode(raw, "L")
        seen.add(type(message))
        assert m.encode(message) == raw
        assert m.decode(m.encode(message), "L") == message
    assert seen == set(m.NAMES.values())


def changed(raw: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    form = json.loads(raw)
    change(form)
    return json.dumps(form).encode()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"message":"begin","body":' + b'{"a":' * 50_000,
        b'{"message":"begin"}',
        b'{"message":"begin","body":null}',
        b'{"message":"begin","body":{}}',
        b'{"message":"begin","body":{"attempt":NaN}}',
        b'{"message":"begin","body":{"attempt":Infinity}}',
        b'{"message":"begin","body":{"attempt":1.0}}',
        b'{"message":"begin","body":{"attempt":true}}',
        b'{"message":"begin","body":{"attempt":"1"}}',
        b'{"message":"begin","body":{"attempt":-1}}',
        b'{"message":"begin","body":{"attempt":2147483648}}',
        b'{"message":"begin","body":{"attempt":' + b"9" * 5_000 + b"}}",
        b'{"message":"begin","body":{"attempt":1,"attempt":2}}',
        b'{"message":"begin","message":"begin","body":{"attempt":1}}',
        b'{"message":"begin","body":{"attempt":1,"more":2}}',
        b'{"message":"begin","body":{"attempt":1},"more":2}',
        b'{"message":"begin","body":{"attempt":1}}{}',
        b'{"message":"Begin","body":{"attempt":1}}',
        b'{"message":["begin"],"body":{"attempt":1}}',
        b'{"message":"abort","body":{"factory":""}}',
        b'{"message":"abort","body":{"factory":"' + b"x" * 201 + b'"}}',
        b'{"message":"abort","body":{"factory":"\xff"}}',
        b'{"message":"nonces","body":{"attempt":1,"nonces":{"a":"' + b"0" * 131 + b'"}}}',
        b'{"message":"nonces","body":{"attempt":1,"nonces":{"a":"' + b"A" * 132 + b'"}}}',
        b'{"message":"nonces","body":{"attempt":1,"nonces":{"a":"' + b"0" * 132 + b'\\n"}}}',
        b'{"message":"nonces","body":{"attempt":1,"nonces":{"a":"' + b"0" * 132 + b'","a":"' + b"0" * 132 + b'"}}}',
        b'{"message":"partials","body":{"attempt":1,"partials":[]}}',
        b'{"message":"signatures","body":{"signatures":{"a":1}}}',
    ],
)
def test_a_malformed_message_is_one_error(raw: bytes) -> None:
    with pytest.raises(MessageError, match="message of mallory"):
        m.decode(raw, "mallory")


def test_an_unknown_field_deep_inside_is_refused() -> None:
    proposal = next(raw for raw in raws() if b'"message":"proposal"' in raw)
    for change in (
        lambda form: form["body"]["terms"].update(extra=1),
        lambda form: form["body"]["terms"]["locks"].update(extra=1),
        lambda form: form["body"]["terms"]["coins"][0].update(extra=1),
        lambda form: form["body"]["contents"]["r"]["channels"][1].update(extra=1),
        lambda form: form["body"]["terms"]["keys"]["c0"].update(extra=1),
    ):
        with pytest.raises(MessageError, match="unknown field 'extra'"):
            m.decode(changed(proposal, change), "L")


def test_a_message_that_is_too_long_is_not_read() -> None:
    with pytest.raises(MessageError, match="message-size"):
        m.decode(b" " * (m.MAX_MESSAGE_BYTES + 1), "mallory")


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in inside for place in places(item, (*path, key)))]


VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 1, 2, 3, 2**31, 2**62, 10**30, 0.5, [], {}),
    *("", "x", "r", "r.0", "c0", "L", "a:b@c", "é", "00" * 32, "02" + "11" * 32, "02" + "ff" * 32),
    *("classic", "both", "none", "root", "cltv-before", "static"),
)
"""What stands where something else belongs."""


@st.composite
def damaged(draw: st.DrawFn) -> tuple[int, bytes]:
    """The number of a letter of a life, and that letter's bytes after some damage."""
    number = draw(st.integers(0, len(life()) - 1))
    raw = life()[number].raw
    how = draw(st.sampled_from(["cut", "flip", "set", "set", "set", "drop", "add", "rename"]))
    if how == "cut":
        return number, raw[: draw(st.integers(0, len(raw) - 1))]
    if how == "flip":
        position, bit = draw(st.integers(0, len(raw) - 1)), draw(st.integers(0, 7))
        return number, raw[:position] + bytes([raw[position] ^ 1 << bit]) + raw[position + 1 :]
    form = json.loads(raw)
    place = draw(st.sampled_from([place for place in places(form) if place]))
    parent: Any = form
    for key in place[:-1]:
        parent = parent[key]
    if how == "set":
        parent[place[-1]] = draw(st.sampled_from(VALUES))
    elif how == "drop":
        del parent[place[-1]]
    elif isinstance(parent, list):
        parent.append(parent[place[-1]])
    elif how == "add":
        parent[draw(st.sampled_from(["more", "r.9", "c9"]))] = parent[place[-1]]
    else:
        parent[f"{place[-1]}x"] = parent.pop(place[-1])
    return number, json.dumps(form).encode()


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(damaged())
def test_damage_is_refused_or_understood_but_never_a_traceback(damage: tuple[int, bytes]) -> None:
    number, raw = damage
    play, letter = before_letter(number)
    actor = play.actors[letter.to]
    before = snapshot(actor)
    outbox = actor.receive(letter.sender, raw)
    try:
        m.decode(raw, letter.sender)
    except MessageError:
        assert snapshot(actor) == before
        assert not outbox.messages
        assert not outbox.broadcasts
        assert len(outbox.alerts) == 1
        assert outbox.alerts[0].startswith(f"{letter.to}: message of {letter.sender}")
    assert all("\n" not in alert for alert in outbox.alerts)
    check_consistent(play)
    play.restart(letter.to)


def test_the_close_of_the_greatest_factory_can_be_named() -> None:
    """A close's name holds every counter: 127 leaves and all that is above them."""
    name = f"close:{'.'.join(['15'] * 2_000)}#1"
    for message in (m.Nonces(1, {name: "00" * 66}), m.Partials(1, {name: "00" * 32}), m.Signatures({name: "00" * 64})):
        assert m.decode(m.encode(message), "c0") == message
