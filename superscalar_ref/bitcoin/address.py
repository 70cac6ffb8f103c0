"""Addresses of witness version 1 and above, bech32m (BIP-350). Version 0 is not used here and is refused."""

from __future__ import annotations

from enum import StrEnum

from superscalar_ref.errors import InputError

_ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_BECH32M = 0x2BC830A3
_GENERATORS = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_MAX_LENGTH = 90
_CHECKSUM = 6


class Network(StrEnum):
    """The human-readable part of a network's addresses."""

    MAIN = "bc"
    TEST = "tb"
    REGTEST = "bcrt"


def address_of(script_pubkey: bytes, network: Network = Network.REGTEST) -> str:
    """The address of a scriptPubKey of witness version 1 to 16. Raises InputError for another script."""
    if not (
        4 <= len(script_pubkey) <= 42
        and 0x51 <= script_pubkey[0] <= 0x60
        and script_pubkey[1] == len(script_pubkey) - 2
    ):
        raise InputError("scriptPubKey", f"{script_pubkey.hex()} is not of witness version 1 to 16", "BIP-350")
    words = [script_pubkey[0] - 0x50, *_regroup(script_pubkey[2:], 8, 5, pad=True)]
    check = _polymod([*_expand(network), *words, *([0] * _CHECKSUM)]) ^ _BECH32M
    words += [check >> 5 * (_CHECKSUM - 1 - i) & 31 for i in range(_CHECKSUM)]
    return f"{network}1" + "".join(_ALPHABET[word] for word in words)


def script_of(address: str, network: Network = Network.REGTEST) -> bytes:
    """The scriptPubKey of an address. Raises InputError for anything that BIP-350 does not allow, and for version 0."""
    if address not in (address.lower(), address.upper()):
        _refuse(address, "mixes capitals and small letters")
    lower = address.lower()
    prefix, separator, data = lower.rpartition("1")
    if len(address) > _MAX_LENGTH or not separator:
        _refuse(address, "is too long or has no separator '1'")
    if prefix != network:
        _refuse(address, f"is not of the network '{network}'")
    if len(data) <= _CHECKSUM or any(c not in _ALPHABET for c in data):
        _refuse(address, "is too short or has a letter outside the alphabet")
    words = [_ALPHABET.index(c) for c in data]
    if not 1 <= words[0] <= 16:
        _refuse(address, f"has witness version {words[0]}, not 1 to 16")
    if _polymod([*_expand(prefix), *words]) != _BECH32M:
        _refuse(address, "has a wrong checksum")
    payload = words[1:-_CHECKSUM]
    spare = 5 * len(payload) % 8
    if spare >= 5 or (payload and payload[-1] & ((1 << spare) - 1)):
        _refuse(address, "has padding that is not zero, or too much of it")
    program = bytes(_regroup(payload, 5, 8, pad=False))
    if not 2 <= len(program) <= 40:
        _refuse(address, f"has a program of {len(program)} bytes")
    return bytes([0x50 + words[0], len(program)]) + program


def _refuse(address: str, problem: str) -> None:
    shown = address if len(address) <= _MAX_LENGTH else address[:_MAX_LENGTH] + "…"
    raise InputError(f"address '{shown}'", problem, "BIP-350")


def _expand(prefix: str) -> list[int]:
    return [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix]


def _polymod(words: list[int]) -> int:
    state = 1
    for word in words:
        top = state >> 25
        state = (state & 0x1FFFFFF) << 5 ^ word
        for bit, generator in enumerate(_GENERATORS):
            if top >> bit & 1:
                state ^= generator
    return state


def _regroup(data: bytes | list[int], width: int, new_width: int, pad: bool) -> list[int]:
    """The same bits in groups of another width; spare bits are padded with zeros, or dropped."""
    bits = 0
    number = 0
    out = []
    for value in data:
        number = number << width | value
        bits += width
        while bits >= new_width:
            bits -= new_width
            out.append(number >> bits)
            number &= (1 << bits) - 1
    if pad and bits:
        out.append(number << (new_width - bits))
    return out
