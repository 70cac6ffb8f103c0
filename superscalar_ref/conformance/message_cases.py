"""Messages of layer L0: every one in both forms, and every way in which a stream can be wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from superscalar_ref.conformance.case import Case
from superscalar_ref.conformance.example import Example
from superscalar_ref.parties import binary
from superscalar_ref.parties.tlv import big_size, sized
from superscalar_ref.spec.wire_forms import Field, Form, MessageTable, load_messages

ABOUT = (
    "Messages in JSON and as TLV streams (BOLT 1): spec/schema/messages.json has the numbers and forms of all fields. "
    "Every message in both forms; streams that are wrong in each way that there is."
)
_POINT = "0241c669cba7226f22d1c20845c129bb5b6b9f42e5c2e0a1b401f0458f620a7d95"
_TEXTS = {"level": "dw", "label": "state:r:0", "name": "A", "choice": "csv", "kind": "state"}


def message_cases(made: Example) -> Iterator[Case]:
    """All of them; ``made`` gives the terms of a real factory."""
    yield from _streams()
    yield from _messages(made)
    yield from _wrong_json()
    yield from _wrong_binary()


# -- streams -----------------------------------------------------------------------------------------------------------


def _streams() -> Iterator[Case]:
    def one(slug: str, stream: str, comment: str, rule: str = "", *flags: str) -> Case:
        form = {"stream": stream.replace(" ", "")}
        return Case(f"tlv-{slug}", "tlv.stream", form, (rule or "R-TLV-ORDER",), comment, flags, bool(rule))

    yield one("empty", "", "No value at all.")
    yield one("one", "00 01 aa", "One value.")
    yield one("odd-and-even", "00 00 01 02 bbcc fd00fd 01 dd", "Numbers ascend; what they mean is not asked here.")
    yield one("widest", "ffffffffffffffffff 00", "The greatest number of all.")
    edges = "fc00 fd00fd00 fdffff00 fe0001000000 feffffffff00 ff000000010000000000"
    yield one("edges", edges, "The greatest number of each width, and the least of the next.")
    yield one("long", f"02 fd00fd {'ee' * 253}", "253 bytes: the first length of three bytes.")
    minimal = "R-TLV-MINIMAL"
    yield one("type-not-minimal", "fd00fc 01 aa", "252 in three bytes.", minimal, "two-encodings", "off-by-one")
    yield one("type-not-minimal-5", "fe0000ffff 01 aa", "65,535 in five bytes.", minimal, "two-encodings", "off-by-one")
    yield one("type-not-minimal-9", "ff00000000ffffffff 00", "2^32 − 1 in nine bytes.", minimal, "two-encodings")
    yield one("length-not-minimal", "00 fd0001 aa", "The length 1 in three bytes.", minimal, "two-encodings")
    order = "R-TLV-ORDER"
    yield one("out-of-order", "02 00 00 00", "0 after 2.", order, "two-encodings")
    yield one("twice", "00 01 aa 00 01 bb", "0 stands twice.", order, "duplicate")
    yield one("twice-the-same", "01 01 aa 01 01 aa", "Twice the same is twice, odd or not.", order, "duplicate")
    length = "R-TLV-LENGTH"
    yield one("type-cut", "fd00", "It ends inside a number.", length, "malformed")
    yield one("length-missing", "00", "It ends before the length.", length, "malformed")
    yield one("length-cut", "00 fe0001", "It ends inside the length.", length, "malformed")
    yield one("value-cut", "00 02 aa", "One byte of two.", length, "malformed", "off-by-one")
    yield one("value-huge", "00 ffffffffffffffffff aa", "More bytes than there can be.", length, "malformed")
    yield one("second-cut", "00 01 aa 02 01", "The second value is missing.", length, "malformed")


# -- every message -----------------------------------------------------------------------------------------------------


def _value(table: MessageTable, name: str, salt: int) -> Any:
    """Some value of a form, the same each time."""
    if name in table.records:
        return {one.name: _field(table, one, salt + one.type) for one in table.records[name].fields}
    form = table.forms[name]
    match form.kind:
        case "bytes":
            return _bytes(form, salt)
        case "number":
            return form.low + 250 + salt * 37
        case "signed":
            return -salt
        case "outpoint":
            return "" if form.optional and salt % 4 else f"{salt % 256:02x}" * 32 + ":1"
        case _:
            return _TEXTS.get(name, "")


def _bytes(form: Form, salt: int) -> str:
    size = max(form.sizes) if form.sizes else form.low + 12
    return (
        _POINT if size == 33 and form.name == "point" else f"{salt % 256:02x}" * (32 if form.name == "lock" else size)
    )


def _field(table: MessageTable, field: Field, salt: int) -> Any:
    if field.optional and salt % 4:
        return None
    if field.form[0] == "list":
        return [_value(table, field.element, salt + more) for more in (0, 1)]
    if field.form[0] == "map":
        keys = ("aa" * 32 + ":0", "bb" * 32 + ":1") if field.form[1] == "outpoint" else ("B", "A2")
        return {key: _value(table, field.element, salt + more) for more, key in enumerate(keys)}
    return _value(table, field.element, salt)


def _sample(table: MessageTable, name: str) -> dict[str, Any]:
    """A message of a name, in JSON."""
    form = table.messages[name]
    body = {one.name: _field(table, one, one.type) for one in form.fields}
    around: dict[str, Any] = {}
    if form.family == table.enveloped:
        around = {"channel": "A", "sender_epoch": "00" * 7 + "02", "receiver_epoch": "", "sequence": 3}
    return {**around, "message": name, "body": body}


def _raw(message: dict[str, Any]) -> bytes:
    return binary.encode(binary.read_json(json.dumps(message).encode(), "the example"))


def _messages(made: Example) -> Iterator[Case]:
    table = load_messages()
    for name in table.messages:
        message, slug = _sample(table, name), name.replace("_", "-")
        raw = _raw(message).hex()
        yield Case(
            f"message-{slug}",
            "message.to_binary",
            {"message": message},
            ("R-TLV-FIELD", "R-MESSAGE-FORM"),
            f"'{name}' as bytes.",
        )
        yield Case(
            f"message-{slug}-read",
            "message.from_binary",
            {"binary": raw},
            ("R-TLV-FIELD", "R-TLV-LENGTH"),
            f"'{name}' from bytes.",
        )
        yield Case(
            f"message-{slug}-even-more",
            "message.from_binary",
            {"binary": raw + "fdfffe00"},
            ("R-TLV-EVEN",),
            f"'{name}' with an unknown field of an even number.",
            ("unknown",),
            True,
        )
        yield Case(
            f"message-{slug}-cut",
            "message.from_binary",
            {"binary": raw[:-2] if len(raw) > 4 else "ff"},
            ("R-TLV-LENGTH",),
            f"'{name}' without its last byte." if len(raw) > 4 else "Half of a type.",
            ("malformed",),
            True,
        )
        yield Case(
            f"message-{slug}-surplus",
            "message.to_binary",
            {"message": {**message, "body": {**message["body"], "surplus": 1}}},
            ("R-MESSAGE-FORM",),
            f"'{name}' with a field that it has not.",
            ("unknown",),
            True,
        )
    terms = made.plan()
    sample = _sample(table, "proposal")
    body = {**sample["body"], "terms": terms["terms"], "contents": terms["contents"]}
    proposal = binary.read_json(json.dumps({"message": "proposal", "body": body}).encode(), "the example")
    yield Case(
        "message-proposal-example",
        "message.to_binary",
        {"message": binary.plain(proposal)},
        ("R-TLV-FIELD",),
        "The terms of the example's factory, as its clients get them.",
    )


def _wrong_json() -> Iterator[Case]:
    good = {"factory": "f", "balance": 300}

    def one(slug: str, comment: str, flag: str, name: str = "invitation", **body: Any) -> Case:
        form = {"message": {"message": name, "body": body}}
        return Case(f"message-json-{slug}", "message.to_binary", form, ("R-MESSAGE-FORM",), comment, (flag,), True)

    yield one("unknown", "There is no such message.", "unknown", "greeting", **good)
    yield one("field-missing", "A field is missing.", "malformed", factory="f")
    yield one("text-for-number", "A number is no text.", "malformed", factory="f", balance="300")
    yield one("negative", "An amount is not below 0.", "amounts", factory="f", balance=-1)
    yield one("more-than-all", "More than all money.", "amounts", factory="f", balance=2_100_000_000_000_001)
    yield one("empty-name", "A name is not empty.", "malformed", factory="", balance=300)
    yield one("upper-case-hex", "Hex is in lower case.", "two-encodings", "registered", txids=["AB" * 32])
    offer = _sample(load_messages(), "offer_exit")["body"]
    yield one("offer-half", "A half has 32 bytes.", "off-by-one", "offer_exit", **{**offer, "nonce": "14" * 31})
    yield one("offer-height", "No height, but a time.", "off-by-one", "offer_exit", **{**offer, "expiry": 500_000_000})
    envelope = _sample(load_messages(), "stfu")
    yield Case(
        "message-json-no-envelope",
        "message.to_binary",
        {"message": {key: envelope[key] for key in ("message", "body")}},
        ("R-MESSAGE-FORM",),
        "A message of a channel says of which.",
        ("malformed",),
        True,
    )


def _wrong_binary() -> Iterator[Case]:
    good = _raw({"message": "invitation", "body": {"factory": "f", "balance": 300}}).hex()
    label = _raw({"message": "begin_sale", "body": {"label": "s", "attempt": 0}}).hex()
    odd = big_size(65_537).hex() + sized(b"later").hex()

    def one(slug: str, raw: str, comment: str, rule: str, *flags: str, negative: bool = True) -> Case:
        form = {"binary": raw.replace(" ", "")}
        return Case(f"message-bytes-{slug}", "message.from_binary", form, (rule,), comment, flags, negative)

    yield one("invitation", good, "a000 | 00 01 66 | 02 02 012c", "R-TLV-FIELD", negative=False)
    yield one("zero-is-empty", label, "The number 0 has no byte.", "R-TLV-MINIMAL", negative=False)
    yield one(
        "odd-field", good + odd, "An odd field that is unknown is passed over.", "R-TLV-EVEN", "unknown", negative=False
    )
    yield one("odd-message", "a001 00 01 66", "So is an odd message.", "R-TLV-EVEN", "unknown", negative=False)
    yield one("even-message", "9ffe 00 01 66", "An even message that is unknown is refused.", "R-TLV-EVEN", "unknown")
    yield one("empty", "", "Nothing at all.", "R-TLV-LENGTH", "malformed")
    yield one("no-fields", "a000", "Both fields are missing.", "R-TLV-FIELD", "malformed")
    yield one("field-missing", "a000 00 01 66", "One field is missing.", "R-TLV-FIELD", "malformed")
    yield one(
        "leading-zero", "a000 00 01 66 02 03 00012c", "A number has no leading zero.", "R-TLV-MINIMAL", "two-encodings"
    )
    yield one("zero-byte", "a000 00 01 66 02 01 00", "0 is empty, not a byte.", "R-TLV-MINIMAL", "two-encodings")
    yield one(
        "nine-bytes", "a000 00 01 66 02 09 010000000000000000", "No number has nine bytes.", "R-TLV-LENGTH", "malformed"
    )
    yield one(
        "beyond", "a000 00 01 66 02 07 0775f05a074001", "A satoshi more than there are.", "R-TLV-FIELD", "off-by-one"
    )
    yield one("most", "a000 00 01 66 02 07 0775f05a074000", "All the money.", "R-TLV-FIELD", negative=False)
    yield one("no-utf-8", "a000 00 01 ff 02 02 012c", "A name is UTF-8.", "R-TLV-FIELD", "malformed")
    yield one("empty-name", "a000 00 00 02 02 012c", "A name is not empty.", "R-TLV-FIELD", "malformed")
    yield one("swapped", "a000 02 02 012c 00 01 66", "The fields in the other order.", "R-TLV-ORDER", "two-encodings")
    yield one("twice", "a000 00 01 66 00 01 67 02 02 012c", "Two names.", "R-TLV-ORDER", "duplicate")
    offer, scalar = _raw(_sample(load_messages(), "offer_exit")).hex(), "1620" + "16" * 32
    assert offer.endswith(scalar)
    begin = offer.removesuffix(scalar)
    yield one("offer-short", begin + "161f" + "16" * 31, "A half has 32 bytes.", "R-TLV-FIELD", "off-by-one")
    yield one("offer-long", begin + "1621" + "16" * 33, "And not 33.", "R-TLV-FIELD", "off-by-one")
    yield one("offer-unsigned", begin, "An offer without half of its pre-signature.", "R-TLV-FIELD", "malformed")
    refused = _raw({"message": "refuse_exit", "body": {"channel": "A", "reason": ""}}).hex()
    yield one("refused-wordless", refused, "A reason may be empty.", "R-TLV-FIELD", negative=False)
    nonces = _raw({"message": "nonces", "body": {"attempt": 1, "nonces": {"a": "02" * 66, "b": "03" * 66}}})
    first, second = sized(b"a") + sized(b"\x02" * 66), sized(b"b") + sized(b"\x03" * 66)
    assert nonces.endswith(first + second)

    def pairs(slug: str, value: bytes, comment: str, rule: str, *flags: str) -> Case:
        raw = nonces[:2] + b"\x00\x01\x01" + b"\x02" + sized(value)
        return one(slug, raw.hex(), comment, rule, *flags)

    yield pairs("keys-swapped", second + first, "Keys ascend.", "R-TLV-ORDER", "two-encodings")
    yield pairs("key-twice", first + first, "A key stands once.", "R-TLV-ORDER", "duplicate")
    yield pairs("key-alone", first + sized(b"b"), "A key has a value.", "R-TLV-FIELD", "malformed")
    yield pairs("short-nonce", sized(b"a") + sized(b"\x02" * 65), "A nonce has 66 bytes.", "R-TLV-FIELD", "off-by-one")
    yield pairs("pair-cut", (first + second)[:-1], "The last pair is cut.", "R-TLV-LENGTH", "malformed")
