"""Streams of numbered values, as BOLT 1 has them: bytes in, bytes out, and one error for everything that is wrong.

Laws of this module:

* A value has one encoding. What is read is what would be written, byte by byte (R-TLV-MINIMAL, R-TLV-ORDER).
* Numbers ascend strictly, so that nothing stands twice (R-TLV-ORDER).
* Nothing is read beyond the end, however long a value says that it is (R-TLV-LENGTH).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from superscalar_ref.errors import MessageError

MINIMAL = "R-TLV-MINIMAL"
ORDER = "R-TLV-ORDER"
LENGTH = "R-TLV-LENGTH"
_WIDTHS = {0xFD: 2, 0xFE: 4, 0xFF: 8}


def big_size(value: int) -> bytes:
    """A number below 2^64 as a BigSize of 1, 3, 5 or 9 bytes (BOLT 1). Raises ``OverflowError``."""
    if value < 0xFD:
        return value.to_bytes(1, "big")
    for first, width in _WIDTHS.items():
        if value < 1 << 8 * width or width == 8:
            return bytes([first]) + value.to_bytes(width, "big")
    raise AssertionError("8 bytes are the widest")


def read_big_size(raw: bytes, at: int, place: str) -> tuple[int, int]:
    """The BigSize that begins at ``at``, and where it ends. Raises ``MessageError``."""
    first = raw[at : at + 1]
    if not first:
        raise MessageError(place, f"ends at byte {at}, where a number should be", LENGTH)
    width = _WIDTHS.get(first[0], 0)
    if not width:
        return first[0], at + 1
    end = at + 1 + width
    if end > len(raw):
        raise MessageError(place, f"ends inside the number at byte {at}", LENGTH)
    value = int.from_bytes(raw[at + 1 : end], "big")
    if len(big_size(value)) != end - at:
        raise MessageError(place, f"the number {value} at byte {at} is longer than it need be", MINIMAL)
    return value, end


def truncated(value: int) -> bytes:
    """A number below 2^64, big-endian, without leading zeros; 0 is empty (BOLT 1, tu64). Raises ``OverflowError``."""
    if value >= 1 << 64:
        raise OverflowError("more than 64 bits")
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def read_truncated(raw: bytes, place: str) -> int:
    """What ``truncated`` wrote. Raises ``MessageError``."""
    if len(raw) > 8:
        raise MessageError(place, f"a number of {len(raw)} bytes", LENGTH)
    if raw[:1] == b"\0":
        raise MessageError(place, "a number with a leading zero", MINIMAL)
    return int.from_bytes(raw, "big")


def sized(value: bytes) -> bytes:
    """A value after its length."""
    return big_size(len(value)) + value


def read_all_sized(raw: bytes, place: str) -> Iterator[bytes]:
    """Values, each after its length, up to the end. Raises ``MessageError``."""
    at = 0
    while at < len(raw):
        value, at = _read_sized(raw, at, place)
        yield value


def _read_sized(raw: bytes, at: int, place: str) -> tuple[bytes, int]:
    length, at = read_big_size(raw, at, place)
    if length > len(raw) - at:
        raise MessageError(place, f"{length} bytes at byte {at}, and {len(raw) - at} are there", LENGTH)
    return raw[at : at + length], at + length


def stream(values: Mapping[int, bytes]) -> bytes:
    """Values by their numbers, as a stream."""
    return b"".join(big_size(number) + sized(values[number]) for number in sorted(values))


def read_stream(raw: bytes, place: str) -> dict[int, bytes]:
    """The values of a stream by their numbers. Raises ``MessageError``."""
    found: dict[int, bytes] = {}
    at, last = 0, -1
    while at < len(raw):
        number, at = read_big_size(raw, at, place)
        if number <= last:
            raise MessageError(place, f"the value {number} comes after {last}", ORDER)
        found[number], at = _read_sized(raw, at, place)
        last = number
    return found
