"""The live channel of a restored client: the records of its commitments, with keys that sign nothing new together."""

from __future__ import annotations

from superscalar_ref.bitcoin.taproot import p2tr_from_internal
from superscalar_ref.bitcoin.transaction import Transaction, TxOutput
from superscalar_ref.parties.channel_actor import ChannelActor
from superscalar_ref.parties.channel_leaf import leaf_terms
from superscalar_ref.parties.channel_state import ChannelKeys
from superscalar_ref.parties.client import ClientActor
from superscalar_ref.protocol.htlc_limits import HtlcLimits
from superscalar_ref.protocol.weight import key_path_vbytes
from superscalar_ref.realise import claim as claims
from superscalar_ref.realise.claim import Claim


def live_channel(client: ClientActor) -> ChannelActor | None:
    """The channel in the client's leaf as its records give it; None when it never lived.

    Raises ``InputError`` when the records are damaged.
    """
    name = f"{client.factory.record.terms.factory}/{client.name}"
    if client.store.document(f"channel/{name}/state") is None:
        return None
    # It began in the version under whose name it was opened; since then it may have moved (D-15).
    label = client.store.document(f"channel/{name}/label") or client.counted
    terms = leaf_terms(client, client.name, label, lsp_reserve_sat=0, close_fee_sat=0)
    keys = ChannelKeys(client.key, client.identity.channel(client.name))
    limits = HtlcLimits(0, 0, client.factory.terms.locks.end, 0)
    return ChannelActor(terms, keys, client.store, limits, depth=client.life.limits.depth)


def moved_names(client: ClientActor) -> frozenset[str]:
    """The name of the live channel's own commitment on the output of the counted version, if it holds one (D-15)."""
    live = live_channel(client)
    if live is None or live.own is None:
        return frozenset()
    place, names = client.factory.channel_place(client.counted, client.name)
    return frozenset({names[client.name]}) if place in live.own.signatures else frozenset()


def static_payment(client: ClientActor, transaction: Transaction) -> Transaction | None:
    """What takes home the outputs that any commitment of the LSP pays to the client's static payment key.

    That key is the same in every commitment: even a kit that does not know the commitment finds its money
    (zero-fee taproot channels, ``to_remote``). None when there is no such output, or none worth its fee.
    """
    key = client.identity.channel(client.name).payment_basepoint
    script = p2tr_from_internal(key.x_only)
    found = [
        Claim(transaction.txid, vout, output, key.public, key.x_only)
        for vout, output in enumerate(transaction.outputs)
        if output.script_pubkey == script
    ]
    economy = client.factory.terms.economy
    fee = economy.feerate * key_path_vbytes(1, anchors=0, inputs=len(found)) if found else 0
    rest = sum(one.spent.amount_sat for one in found) - fee
    if rest < max(economy.dust, 1):
        return None
    unsigned = claims.unsigned(found, [TxOutput(rest, client.payout_script)])
    return claims.sign(unsigned, found, [key], client.randomness)
