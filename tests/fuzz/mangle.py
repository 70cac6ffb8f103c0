"""Bytes that are almost right: valid seeds with a few things wrong in them."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import strategies as st

TOKENS = (
    b"", b"\x00", b"\xff", b"\xed\xa0\x80", b"\xe2\x80\xae", b'"', b"'", b"\\", b"\\ud800", b"\n", b"{", b"}", b"[",
    b"]", b"[" * 3_000, b'{"a":' * 3_000, b"null", b"true", b"-1", b"0", b"1e400", b"NaN", b"9" * 25, b"9" * 5_000,
    b"0.5", b"=", b"a = 1\n", b"[[transitions]]\n", b'"""', b",", b":", b"inf", b"1979-05-27", b"\r\n", b"#",
    b"\xef\xbb\xbf",
)  # fmt: skip
"""What breaks readers: encodings, depths, numbers, quotes."""


@st.composite
def mangled(draw: st.DrawFn, seeds: Sequence[bytes]) -> bytes:
    """A seed after up to four accidents, or bytes of any kind."""
    if draw(st.integers(0, 15)) == 0:
        return draw(st.binary(max_size=64))
    raw = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(1, 4))):
        here = draw(st.integers(0, len(raw)))
        span = draw(st.integers(0, 40))
        match draw(st.sampled_from(("cut", "flip", "put", "put", "replace", "drop", "double", "word"))):
            case "cut":
                raw = raw[:here]
            case "flip":
                raw = (
                    raw[:here]
                    + bytes(byte ^ 1 << draw(st.integers(0, 7)) for byte in raw[here : here + 1])
                    + raw[here + 1 :]
                )
            case "put":
                raw = raw[:here] + draw(st.sampled_from(TOKENS)) + raw[here:]
            case "replace":
                raw = raw[:here] + draw(st.sampled_from(TOKENS)) + raw[here + span :]
            case "drop":
                raw = raw[:here] + raw[here + span :]
            case "double":
                raw = raw[: here + span] + raw[here:]
            case _:
                raw = _word(raw, here, draw(st.sampled_from(TOKENS)))
    return raw


def _word(raw: bytes, here: int, token: bytes) -> bytes:
    """The value after the next ``:`` or ``=`` is another one: what a reader of structure trips over."""
    marks = [place for mark in (b":", b"=") if (place := raw.find(mark, here)) >= 0]
    if not marks:
        return raw
    begin = min(marks) + 1
    ends = [place for mark in (b",", b"\n", b"}", b"]") if (place := raw.find(mark, begin)) >= 0]
    return raw[:begin] + token + raw[min(ends, default=len(raw)) :]


def sample(kind: Any) -> Any:
    """A plain value of a type: what a message of it looks like in JSON."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return sample(arguments[0])
    if origin in (typing.Union, types.UnionType):
        return sample(arguments[0])
    if origin is typing.Literal:
        return arguments[0]
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return {field.name: sample(hints[field.name]) for field in dataclasses.fields(kind)}
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {"r.0": sample(arguments[1])}
    if isinstance(origin, type) and issubclass(origin, (Sequence, frozenset, set)):
        return [sample(one) for one in arguments if one is not ...]
    return {str: "r.0", int: 1, bool: True, bytes: "AAAA"}.get(kind)


def envelopes(names: Mapping[str, Any], **more: Any) -> list[bytes]:
    """A message of each kind, as JSON."""
    return [json.dumps({**more, "message": name, "body": sample(kind)}).encode() for name, kind in names.items()]
