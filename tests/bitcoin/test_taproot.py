from __future__ import annotations

import pytest

from superscalar_ref.bitcoin import script, taproot, weight
from superscalar_ref.bitcoin.address import Network, address_of, script_of
from superscalar_ref.errors import InputError


def test_bip341_without_a_script() -> None:
    internal = bytes.fromhex("d6889cb081036e0faefa3a35157ad71086b123b2b144b649798b494c300a961d")
    assert taproot.tap_tweak(internal).hex() == "b86e7be8f39bab32a6f2c0443abbc210f0edac0e2c53d501b36b64437d9c6c70"
    key = taproot.output_key(internal).x_only
    assert key.hex() == "53a1f6e454df1aa2776a2814a721372d6258050de330b3c6d10ee8f4e0dda343"
    address = "bc1p2wsldez5mud2yam29q22wgfh9439spgduvct83k3pm50fcxa5dps59h4z5"
    assert address_of(taproot.p2tr_script(key), Network.MAIN) == address
    assert script_of(address, Network.MAIN) == taproot.p2tr_script(key)


def test_bip341_with_one_leaf() -> None:
    internal = bytes.fromhex("187791b6f712a8ea41c8ecdd0ee77fab3e85263b37e1ec18a3651926b3a6cf27")
    leaf = bytes.fromhex("20d85a959b0290bf19bb89ed43c916be835475d013da4b362117393e25a48229b8ac")
    assert script.checksig_leaf(leaf[1:33]) == leaf
    tree = taproot.ScriptTree((leaf,))
    assert tree.merkle_root.hex() == "5b75adecf53548f3ec6ad7d78383bf84cc57b55a3127c72b9a2481752dd88b21"
    assert tree.script_pubkey(internal).hex() == (
        "5120147c9c57132f6e7ecddba9800bb0c4449251c92a1e60371ee77557b6620f3ea3"
    )
    assert tree.control_block(internal, 0).hex() == "c1" + internal.hex()


def test_a_branch_does_not_depend_on_the_order() -> None:
    one, two = taproot.tap_leaf(b"\x51"), taproot.tap_leaf(b"\x52")
    assert taproot.tap_branch(one, two) == taproot.tap_branch(two, one)
    assert taproot.ScriptTree((b"\x51", b"\x52")).path(0) == (two,)


def test_three_leaves_have_the_odd_one_alone() -> None:
    tree = taproot.ScriptTree((b"\x51", b"\x52", b"\x53"))
    assert [len(tree.path(i)) for i in range(3)] == [2, 2, 1]


@pytest.mark.parametrize(
    ("internal", "root"),
    [(b"\xff" * 32, None), (bytes(32), None), (b"\x01" * 31, None), (b"", None), (b"\x01" * 32, b"short")],
)
def test_bad_keys_and_roots(internal: bytes, root: bytes | None) -> None:
    with pytest.raises(InputError, match="BIP-341"):
        taproot.output_key(internal, root)


def test_bad_trees() -> None:
    with pytest.raises(InputError, match="no leaf"):
        taproot.ScriptTree(())
    with pytest.raises(InputError, match="no leaf 1"):
        taproot.ScriptTree((b"\x51",)).path(1)
    with pytest.raises(InputError, match="31 bytes"):
        taproot.p2tr_script(bytes(31))


# Published in BIP-350 (BSD-2-Clause): addresses of versions 1 to 16, and invalid ones.
VALID = [
    (
        "bc1pw508d6qejxtdg4y5r3zarvary0c5xw7kw508d6qejxtdg4y5r3zarvary0c5xw7kt5nd6y",
        "5128751e76e8199196d454941c45d1b3a323f1433bd6751e76e8199196d454941c45d1b3a323f1433bd6",
    ),
    ("BC1SW50QGDZ25J", "6002751e"),
    ("bc1zw508d6qejxtdg4y5r3zarvaryvaxxpcs", "5210751e76e8199196d454941c45d1b3a323"),
    (
        "tb1pqqqqp399et2xygdj5xreqhjjvcmzhxw4aywxecjdzew6hylgvsesf3hn0c",
        "5120000000c4a5cad46221b2a187905e5266362b99d5e91c6ce24d165dab93e86433",
    ),
    (
        "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",
        "512079be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798",
    ),
]
INVALID = [
    "tc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vq5zuyut",
    "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqh2y7hd",
    "tb1z0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqglt7rf",
    "BC1S0XLXVLHEMJA6C4DQV22UAPCTQUPFHLXM9H8Z3K2E72Q4K9HCZ7VQ54WELL",
    "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kemeawh",
    "bc1p38j9r5y49hruaue7wxjce0updqjuyyx0kh56v8s25huc6995vvpql3jow4",
    "BC130XLXVLHEMJA6C4DQV22UAPCTQUPFHLXM9H8Z3K2E72Q4K9HCZ7VQ7ZWS8R",
    "bc1pw5dgrnzv",
    "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7v8n0nx0muaewav253zgeav",
    "tb1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vq47Zagq",
    "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7v07qwwzcrf",
    "tb1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vpggkg4j",
    "bc1gmk9yu",
    "",
    "bc1",
]


def _network(address: str) -> Network:
    return Network.TEST if address.lower().startswith("tb") else Network.MAIN


@pytest.mark.parametrize(("address", "script_hex"), VALID)
def test_bip350_valid(address: str, script_hex: str) -> None:
    assert script_of(address, _network(address)).hex() == script_hex
    assert address_of(bytes.fromhex(script_hex), _network(address)) == address.lower()


@pytest.mark.parametrize("address", INVALID)
def test_bip350_invalid(address: str) -> None:
    with pytest.raises(InputError, match="BIP-350"):
        script_of(address, _network(address))


def test_addresses_of_other_networks_and_scripts() -> None:
    address = address_of(script.P2A)
    assert address.startswith("bcrt1p")
    assert script_of(address) == script.P2A
    with pytest.raises(InputError, match="network"):
        script_of(address, Network.MAIN)
    with pytest.raises(InputError, match="witness version"):
        address_of(b"\x00\x14" + bytes(20))


def test_the_least_and_the_largest_witness_program_have_an_address_and_nothing_beyond_has() -> None:
    """BIP-141: a version of 1 to 16 here, and a program of 2 to 40 bytes whose length stands before it."""
    for good in (b"\x51\x02" + bytes(2), b"\x60\x28" + bytes(40)):
        assert script_of(address_of(good)) == good
    for bad in (
        b"\x51\x01" + bytes(1),
        b"\x51\x29" + bytes(41),
        b"\x50\x02" + bytes(2),
        b"\x61\x02" + bytes(2),
        b"\x51\x03" + bytes(2),
    ):
        with pytest.raises(InputError, match="witness version"):
            address_of(bad)


def test_a_whole_group_of_padding_is_too_much() -> None:
    """30 bytes fill their groups; one more group of zeros, with a checksum that fits."""
    with pytest.raises(InputError, match="padding"):
        script_of("bc1pqqqsyqcyq5rqwzqfpg9scrgwpugpzysnzs23v9ccrydpk8qaq6ypnuk", Network.MAIN)


def test_the_weight_of_a_script_path_counts_what_its_control_block_holds() -> None:
    tree = taproot.ScriptTree((b"\x51", b"\x52", b"\x53"))
    key = b"\x02" * 32
    for index, depth in enumerate((2, 2, 1)):
        assert weight.script_path(tree.scripts[index], depth) == (64, 1, len(tree.control_block(key, index)))
