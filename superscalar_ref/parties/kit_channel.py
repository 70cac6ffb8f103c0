"""The live channels of a restored client: the records of its commitments, with keys that sign nothing new together."""

from __future__ import annotations

from superscalar_ref.bitcoin.taproot import p2tr_from_internal
from superscalar_ref.bitcoin.transaction import Transaction, TxOutput
from superscalar_ref.parties.channel_actor import ChannelActor
from superscalar_ref.parties.channel_leaf import channel_name, leaf_terms
from superscalar_ref.parties.channel_state import ChannelKeys
from superscalar_ref.parties.client import ClientActor
from superscalar_ref.protocol.htlc_limits import HtlcLimits
from superscalar_ref.protocol.weight import key_path_vbytes
from superscalar_ref.realise import claim as claims
from superscalar_ref.realise.claim import Claim


def live_channels(client: ClientActor) -> dict[str, ChannelActor]:
    """The client's channels as its records give them, by the label of the sale, empty for the one in its leaf.

    Without those that never lived. Raises ``InputError`` when the records are damaged.
    """
    sales = [sold.label for sold in client.factory.record.sales if sold.buyer == client.name]
    found = {}
    for bought in ("", *sales):
        place = f"channel/{channel_name(client, client.name, bought)}"
        if client.store.document(f"{place}/state") is None:
            continue
        # It began in the version under whose name it was opened; since then it may have moved (D-15).
        label = client.store.document(f"{place}/label") or client.counted
        terms = leaf_terms(client, client.name, label, lsp_reserve_sat=0, close_fee_sat=0)
        keys = ChannelKeys(client.key, client.identity.channel(client.name))
        limits = HtlcLimits(0, 0, client.factory.terms.locks.end, 0)
        found[bought] = ChannelActor(terms, keys, client.store, limits, depth=client.life.limits.depth)
    return found


def moved_names(client: ClientActor) -> frozenset[str]:
    """Names of live channels' own commitments on outputs of the counted version, of those that it holds (D-15)."""
    blueprint = client.factory.blueprints[client.counted]
    leaf = blueprint.contents[client.factory.terms.tree.leaf_of(client.name).path]
    lives = live_channels(client)
    names = set()
    for channel in leaf.channels:
        live = lives.get(channel.bought) if channel.client == client.name else None
        if live is None or live.own is None:
            continue
        place, own = client.factory.channel_place(client.counted, client.name, channel.bought)
        names |= {own[client.name]} if place in live.own.signatures else set()
    return frozenset(names)


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
