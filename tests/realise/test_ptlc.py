"""The output by which a client is paid for its factory key: on Core's code, both happen or neither."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import pytest

from superscalar_ref.bitcoin.taproot import p2tr_from_internal
from superscalar_ref.chain.interface import TxOut
from superscalar_ref.chain.kernel import KernelLedger
from superscalar_ref.errors import SigningError
from superscalar_ref.realise import ptlc as form
from superscalar_ref.realise.ptlc import Ptlc, Spend
from superscalar_ref.signing.keys import SecretKey, factory_key

AMOUNT, FEE = 50_000, 200
SEED = hashlib.sha256(b"seed of the client").digest()
FACTORY_KEY = factory_key(SEED, 0)


def key(label: str) -> SecretKey:
    return SecretKey(hashlib.sha256(label.encode()).digest())


CLIENT, LSP = key("client's key of this output"), key("LSP's key of this output")
WALLET = p2tr_from_internal(key("wallet of the client").x_only)
LSP_WALLET = p2tr_from_internal(key("wallet of the LSP").x_only)


@dataclass
class Play:
    ledger: KernelLedger
    ptlc: Ptlc
    claim: Spend
    refund: Spend


def play() -> Play:
    ptlc = Ptlc(CLIENT.public, LSP.public, FACTORY_KEY.public, refund_height=110)
    ledger = KernelLedger.start([TxOut(AMOUNT, ptlc.script)])
    point = ledger.funds[0]
    place = (point.txid[::-1].hex(), point.index, AMOUNT)
    return Play(ledger, ptlc, form.claim(ptlc, *place, WALLET, FEE), form.refund(ptlc, *place, LSP_WALLET, FEE))


def test_the_claim_pays_the_client_and_gives_its_factory_key_to_the_lsp() -> None:
    scene = play()
    pre = form.pre_sign_claim(scene.ptlc, scene.claim, LSP)
    claimed = form.complete_claim(scene.ptlc, scene.claim, pre, CLIENT, FACTORY_KEY)
    scene.ledger.mine([claimed.serialized])
    assert [o.amount_sat for o in claimed.outputs if o.script_pubkey == WALLET] == [AMOUNT - FEE]
    learned = form.learn_key(scene.ptlc, scene.claim, pre, claimed)
    assert learned == FACTORY_KEY
    # A hardened child gives away neither its parent nor its siblings: the next factory's key is another.
    assert factory_key(SEED, 1).public != learned.public


def test_nobody_claims_without_the_factory_key() -> None:
    scene = play()
    pre = form.pre_sign_claim(scene.ptlc, scene.claim, LSP)
    with pytest.raises(SigningError, match="not that of the claim's point"):
        form.complete_claim(scene.ptlc, scene.claim, pre, CLIENT, key("another"))
    bare = (pre.nonce + pre.scalar, CLIENT.sign(scene.claim.sighash))
    forged = form._with(scene.ptlc, scene.claim, bare)
    assert not scene.ledger.would_accept([forged.serialized]).accepted
    # Nor does the LSP learn anything from its own pre-signature.
    with pytest.raises(SigningError, match="not valid"):
        form.learn_key(scene.ptlc, scene.claim, pre, forged)


def test_the_client_does_not_give_its_key_for_a_pre_signature_of_something_else() -> None:
    scene = play()
    less = form.claim(
        scene.ptlc,
        scene.claim.transaction.inputs[0].txid_hex,
        scene.claim.transaction.inputs[0].index,
        AMOUNT,
        WALLET,
        AMOUNT // 2,
    )
    for pre in (
        form.pre_sign_claim(scene.ptlc, less, LSP),
        form.pre_sign_claim(scene.ptlc, scene.claim, key("not the LSP")),
        form.pre_sign_claim(replace(scene.ptlc, point=key("x").public), scene.claim, LSP),
    ):
        with pytest.raises(SigningError, match="pre-signature is not valid"):
            form.complete_claim(scene.ptlc, scene.claim, pre, CLIENT, FACTORY_KEY)


def test_the_refund_waits_for_its_height_and_then_the_claim_is_void() -> None:
    scene = play()
    refund = form.complete_refund(scene.ptlc, scene.refund, LSP)
    scene.ledger.advance(109 - scene.ledger.height)
    assert "non-final" in scene.ledger.would_accept([refund.serialized]).said
    scene.ledger.advance(1)
    assert scene.ledger.would_accept([refund.serialized]).accepted
    pre = form.pre_sign_claim(scene.ptlc, scene.claim, LSP)
    claimed = form.complete_claim(scene.ptlc, scene.claim, pre, CLIENT, FACTORY_KEY)
    assert scene.ledger.would_accept([claimed.serialized]).accepted, "until the refund is mined, either may be"
    scene.ledger.mine([refund.serialized])
    assert not scene.ledger.would_accept([claimed.serialized]).accepted
