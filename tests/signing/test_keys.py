from __future__ import annotations

import copy
import pickle

import pytest

from superscalar_ref.errors import InputError, SigningError
from superscalar_ref.signing.keys import ExtendedKey, SecretKey, check_public_key, factory_key, verify

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141

# BIP-340's test-vectors.csv (BSD-2-Clause): secret key, public key, auxiliary randomness, message, signature, verdict.
BIP340_SIGN = [
    (
        "0000000000000000000000000000000000000000000000000000000000000003",
        "F9308A019258C31049344F85F89D5229B531C845836F99B08601F113BCE036F9",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "E907831F80848D1069A5371B402410364BDF1C5F8307B0084C55F1CE2DCA8215"
        "25F66A4A85EA8B71E482A74F382D2CE5EBEEE8FDB2172F477DF4900D310536C0",
    ),
    (
        "B7E151628AED2A6ABF7158809CF4F3C762E7160F38B4DA56A784D9045190CFEF",
        "DFF1D77F2A671C5F36183726DB2341BE58FEAE1DA2DECED843240F7B502BA659",
        "0000000000000000000000000000000000000000000000000000000000000001",
        "243F6A8885A308D313198A2E03707344A4093822299F31D0082EFA98EC4E6C89",
        "6896BD60EEAE296DB48A229FF71DFE071BDE413E6D43F917DC8DCF8C78DE3341"
        "8906D11AC976ABCCB20B091292BFF4EA897EFCB639EA871CFA95F6DE339E4B0A",
    ),
    (
        "C90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B14E5C9",
        "DD308AFEC5777E13121FA72B9CC1B7CC0139715309B086C960E18FD969774EB8",
        "C87AA53824B4D7AE2EB035A2B5BBBCCC080E76CDC6D1692C4B0B62D798E6D906",
        "7E2D58D8B3BCDF1ABADEC7829054F90DDA9805AAB56C77333024B9D0A508B75C",
        "5831AAEED7B44BB74E5EAB94BA9D4294C49BCF2A60728D8B4C200F50DD313C1B"
        "AB745879A5AD954A72C45A91C3A51D3C7ADEA98D82F8481E0E1E03674A6F3FB7",
    ),
    (
        "0B432B2677937381AEF05BB02A66ECD012773062CF3FA2549E44F58ED2401710",
        "25D1DFF95105F5253C4022F628A996AD3A0D95FBF21D468A1B33F8C160D8F517",
        "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF",
        "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF",
        "7EB0509757E246F19449885651611CB965ECC1A187DD51B64FDA1EDC9637D5EC"
        "97582B9CB13DB3933705B32BA982AF5AF25FD78881EBB32771FC5922EFC66EA3",
    ),
]
_P = "DFF1D77F2A671C5F36183726DB2341BE58FEAE1DA2DECED843240F7B502BA659"
_M = "243F6A8885A308D313198A2E03707344A4093822299F31D0082EFA98EC4E6C89"
_R = "6CFF5C3BA86C69EA4B7376F31A9BCB4F74C1976089B2D9963DA2E5543E177769"
_S = "69E89B4C5564D00349106B8497785DD7D1D713A8AE82B32FA79D5F7FC407D39B"
_FIELD = "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEFFFFFC"
BIP340_INVALID = {
    "public key not on the curve": (
        "EEFDEA4CDB677750A420FEE807EACF21EB9898AE79B9768766E4FAA04A2D4A34",
        _R + _S,
    ),
    "R has an odd y": (
        _P,
        "FFF97BD5755EEEA420453A14355235D382F6472F8568A18B2F057A1460297556"
        "3CC27944640AC607CD107AE10923D9EF7A73C643E166BE5EBEAFA34B1AC553E2",
    ),
    "negated s": (_P, _R + "961764B3AA9B2FFCB6EF947B6887A226E8D7C93E00C5ED0C1834FF0D0C2E6DA6"),
    "sG - eP is infinity, x(inf) as 0": (
        _P,
        "00" * 32 + "123DDA8328AF9C23A94C1FEECFD123BA4FB73476F0D594DCB65C6425BD186051",
    ),
    "sG - eP is infinity, x(inf) as 1": (
        _P,
        "00" * 31 + "01" + "7615FBAF5AE28864013C099742DEADB4DBA87F11AC6754F93780D5A1837CF197",
    ),
    "r is no x coordinate": (_P, "4A298DACAE57395A15D0795DDBFD1DCB564DA82B0F269BC70A74F8220429BA1D" + _S),
    "r is the field size": (_P, _FIELD + "2F" + _S),
    "s is the group order": (_P, _R + f"{ORDER:064X}"),
    "public key exceeds the field size": (_FIELD + "30", _R + _S),
}


def test_bip340_verifies_what_the_invalid_ones_are_made_from() -> None:
    assert verify(bytes.fromhex(_P), bytes.fromhex(_M), bytes.fromhex(_R + _S))


@pytest.mark.parametrize(("secret", "public", "auxiliary", "message", "signature"), BIP340_SIGN)
def test_bip340_signs(secret: str, public: str, auxiliary: str, message: str, signature: str) -> None:
    key = SecretKey(bytes.fromhex(secret))
    assert key.x_only == bytes.fromhex(public)
    made = key.sign(bytes.fromhex(message), lambda size: bytes.fromhex(auxiliary))
    assert made == bytes.fromhex(signature)
    assert verify(key.x_only, bytes.fromhex(message), made)


def test_bip340_verifies_a_small_r() -> None:
    public = "D69C3509BB99E412E68B0FE8544E72837DFA30746D8BE2AA65975F29D22DC7B9"
    message = "4DF3C3F68FCC83B27E9D42C90431A72499F17875C81A599B566C9889B9696703"
    signature = (
        "00000000000000000000003B78CE563F89A0ED9414F5AA28AD0D96D6795F9C63"
        "76AFB1548AF603B3EB45C9F8207DEE1060CB71C04E80F593060B07D28308D7F4"
    )
    assert verify(bytes.fromhex(public), bytes.fromhex(message), bytes.fromhex(signature))


@pytest.mark.parametrize("bug", BIP340_INVALID)
def test_bip340_refuses(bug: str) -> None:
    public, signature = BIP340_INVALID[bug]
    assert not verify(bytes.fromhex(public), bytes.fromhex(_M), bytes.fromhex(signature))


def test_wrong_lengths_are_no_signature() -> None:
    key = SecretKey(b"\x01" * 32)
    signature = key.sign(bytes(32))
    assert verify(key.x_only, bytes(32), signature)
    assert not verify(key.public, bytes(32), signature)
    assert not verify(key.x_only, bytes(32), signature + b"\x01")
    assert not verify(key.x_only, bytes(31), signature)
    with pytest.raises(SigningError, match="message"):
        key.sign(b"short")
    with pytest.raises(SigningError, match="randomness"):
        key.sign(bytes(32), lambda size: b"")


@pytest.mark.parametrize("secret", [bytes(32), ORDER.to_bytes(32, "big"), b"\xff" * 32, b"", b"\x01" * 31])
def test_what_is_no_secret_key(secret: bytes) -> None:
    with pytest.raises(SigningError, match="secret key"):
        SecretKey(secret)


def test_a_secret_key_does_not_leak() -> None:
    secret = b"\xa7" * 32
    key = SecretKey(secret)
    for shown in (repr(key), str(key), f"{key}", repr([key]), repr(ExtendedKey(secret, secret))):
        assert secret.hex() not in shown
        assert repr(secret) not in shown
    for leak in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(SigningError, match="does not pickle or copy"):
            leak(key)
    assert key.reveal() == secret
    assert key == SecretKey(secret)
    assert key != SecretKey(b"\x01" * 32)
    assert len({key, SecretKey(secret)}) == 1


# BIP-32 (BSD-2-Clause): hardened parts of the published chains, as (seed, path, private key, chain code).
BIP32 = [
    (
        "000102030405060708090a0b0c0d0e0f",
        (),
        "e8f32e723decf4051aefac8e2c93c9c5b214313817cdb01a1494b917c8436b35",
        "873dff81c02f525623fd1fe5167eac3a55a049de3d314bb42ee227ffed37d508",
    ),
    (
        "000102030405060708090a0b0c0d0e0f",
        (0,),
        "edb2e14f9ee77d26dd93b4ecede8d16ed408ce149b6cd80b0715a2d911a0afea",
        "47fdacbd0f1097043b78c63c20c34ef4ed9a111d980047ad16282c7ae6236141",
    ),
]
# As (seed, path, extended private key).
BIP32_XPRV = [
    (
        "4b381541583be4423346c643850da4b320e46a87ae3d2a4e6da11eba819cd4acba45d239319ac14f863b8d5ab5a0d0c64d2e8a1e7d1457df2e5a3c51c73235be",
        (0,),
        "xprv9uPDJpEQgRQfDcW7BkF7eTya6RPxXeJCqCJGHuCJ4GiRVLzkTXBAJMu2qaMWPrS7AANYqdq6vcBcBUdJCVVFceUvJFjaPdGZ2y9WACViL4L",
    ),
    (
        "3ddd5602285899a946114506157c7997e5444528f3003f6134712147db19b678",
        (0, 1),
        "xprv9xJocDuwtYCMNAo3Zw76WENQeAS6WGXQ55RCy7tDJ8oALr4FWkuVoHJeHVAcAqiZLE7Je3vZJHxspZdFHfnBEjHqU5hG1Jaj32dVoS6XLT1",
    ),
]


@pytest.mark.parametrize(("seed", "path", "secret", "chain_code"), BIP32)
def test_bip32_hardened_children(seed: str, path: tuple[int, ...], secret: str, chain_code: str) -> None:
    node = ExtendedKey.from_seed(bytes.fromhex(seed)).derive(*path)
    assert node.secret.hex() == secret
    assert node.chain_code.hex() == chain_code


@pytest.mark.parametrize(("seed", "path", "xprv"), BIP32_XPRV)
def test_bip32_retention_of_leading_zeros(seed: str, path: tuple[int, ...], xprv: str) -> None:
    import bitcoin.base58

    raw = bitcoin.base58.decode(xprv)
    node = ExtendedKey.from_seed(bytes.fromhex(seed)).derive(*path)
    assert raw[13:45] == node.chain_code
    assert raw[45:78] == b"\x00" + node.secret


def test_factory_keys() -> None:
    seed = b"\x05" * 32
    keys = [factory_key(seed, number) for number in range(3)]
    assert len({key.public for key in keys}) == 3
    assert factory_key(seed, 1) == keys[1]
    master = ExtendedKey.from_seed(seed)
    assert master.derive(1242, 1).key() == keys[1]
    assert factory_key(b"\x06" * 32, 1) != keys[1]
    for bad in (-1, 1 << 31):
        with pytest.raises(InputError, match="derivation path"):
            factory_key(seed, bad)
    for short in (b"", b"\x01" * 15, b"\x01" * 65):
        with pytest.raises(InputError, match="seed"):
            factory_key(short, 0)


def test_public_keys_are_checked() -> None:
    public = SecretKey(b"\x01" * 32).public
    assert check_public_key(public, "client A") == public
    for bad in (b"", public[1:], b"\x04" + public[1:], b"\x02" + b"\xff" * 32, b"\x02" + bytes(31) + b"\x07"):
        with pytest.raises(InputError, match="client A"):
            check_public_key(bad, "client A")
