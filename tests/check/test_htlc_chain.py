"""One-stage HTLCs (V-HTLC-ONE-STAGE) on Core's code: the claim waits for the delay, and the timeout is there first."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from bitcoin.core.contrib.ripemd160 import ripemd160
from bitcoin.core.script import OP_CHECKSEQUENCEVERIFY, OP_DROP, CScript

from superscalar_ref.bitcoin.script import cltv_leaf, key_and_preimage_leaf
from superscalar_ref.bitcoin.taproot import ScriptTree, p2tr_from_internal
from superscalar_ref.bitcoin.transaction import TxOutput
from superscalar_ref.chain.interface import TxOut
from superscalar_ref.chain.kernel import KernelLedger
from superscalar_ref.errors import ChainError
from superscalar_ref.realise.claim import Claim, sign, unsigned
from tests.realise.two_sides import key, preimage

CLIENT, LSP, FUNDER = key(501), key(502), key(503)
HOME = p2tr_from_internal(key(77).x_only)
DELAY = 6
AMOUNT_SAT, FEE_SAT = 50_000, 500


@pytest.mark.parametrize("delay", [DELAY, 0])
def test_a_delay_before_the_claim_loses_to_the_timeout(delay: int) -> None:
    """The same close, the same expiry, three blocks after the commitment: the claim is in time only without a delay."""
    start = p2tr_from_internal(FUNDER.x_only)
    with KernelLedger.start([TxOut(AMOUNT_SAT, start)]) as ledger:
        expiry = ledger.height + 4
        known = key_and_preimage_leaf(CLIENT.x_only, bytes(ripemd160(hashlib.sha256(preimage(1)).digest())))
        waits = bytes(CScript([delay, OP_CHECKSEQUENCEVERIFY, OP_DROP])) if delay else b""
        tree = ScriptTree((cltv_leaf(LSP.x_only, expiry), waits + known))
        htlc = TxOutput(AMOUNT_SAT - FEE_SAT, tree.script_pubkey(FUNDER.x_only))
        point = ledger.funds[0]
        funds = Claim(point.txid[::-1].hex(), point.index, TxOutput(AMOUNT_SAT, start), FUNDER.public, FUNDER.x_only)
        commitment = sign(unsigned((funds,), [htlc]), (funds,), (FUNDER,))
        back = Claim(commitment.txid, 0, htlc, LSP.public, FUNDER.x_only, tree, 0, lock_time=expiry)
        mine = replace(back, key=CLIENT.public, leaf=1, lock_time=0, preimage=preimage(1), sequence=delay)
        paid = [TxOutput(AMOUNT_SAT - 2 * FEE_SAT, HOME)]
        timeout = sign(unsigned((back,), paid), (back,), (LSP,)).serialized
        claimed = sign(unsigned((mine,), paid), (mine,), (CLIENT,)).serialized
        ledger.mine([commitment.serialized])
        if not delay:
            ledger.mine([claimed])
            return
        while ledger.height < expiry:
            for early in (claimed, timeout):
                with pytest.raises(ChainError):
                    ledger.mine([early])
            ledger.advance(1)
        ledger.mine([timeout])
        ledger.advance(DELAY)
        with pytest.raises(ChainError, match="missing"):
            ledger.mine([claimed])
