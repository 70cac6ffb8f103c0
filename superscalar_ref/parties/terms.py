"""Terms between their wire form and what the rules and the bytes work with."""

from __future__ import annotations

from collections.abc import Mapping

from superscalar_ref.bitcoin.transaction import TxOutput
from superscalar_ref.errors import InputError
from superscalar_ref.parties.messages import KeysForm, PointsForm, TermsForm
from superscalar_ref.protocol.blueprint import Blueprint, Terms
from superscalar_ref.protocol.shape import Level, Shape, grow
from superscalar_ref.protocol.transaction import Outpoint
from superscalar_ref.realise.book import Book, CoinOutput, PartyKeys
from superscalar_ref.realise.channel import ChannelPoints
from superscalar_ref.realise.tree import Realised


def terms_of(form: TermsForm) -> Terms:
    """The abstract terms. Raises ``InputError`` when the shape or the names are not usable."""
    if form.lsp in form.clients:
        raise InputError("terms", f"the LSP {form.lsp} is among its clients", "R-KEYS")
    missing = sorted({form.lsp, *form.clients} - set(form.keys))
    if missing:
        raise InputError("terms", f"the keys of {missing[0]} are missing", "R-KEYS")
    factory_keys = [keys.factory_key for keys in form.keys.values()]
    if len(set(factory_keys)) < len(factory_keys):
        raise InputError("terms", "two parties have the same key", "R-KEYS")
    shape = Shape(tuple(Level(level.arity, level.kind) for level in form.levels), form.leaf_k)  # type: ignore[arg-type]
    coins = tuple((Outpoint("coin", number), coin.amount) for number, coin in enumerate(form.coins))
    return Terms(
        form.factory, form.lsp, grow(shape, form.clients), form.economy, form.locks, coins, form.transaction_version
    )


def book_of(form: TermsForm) -> Book:
    """Keys and coins of the terms; no channel points yet."""
    parties = {
        name: PartyKeys(bytes.fromhex(keys.factory_key), bytes.fromhex(keys.payout_script))
        for name, keys in form.keys.items()
    }
    coins = {
        Outpoint("coin", number): CoinOutput(coin.txid, coin.index, TxOutput(coin.amount, bytes.fromhex(coin.script)))
        for number, coin in enumerate(form.coins)
    }
    return Book(parties, coins)


def points_of(form: PointsForm) -> ChannelPoints:
    """Basepoints as bytes. Raises ``InputError`` when one is not on the curve."""
    return ChannelPoints(
        bytes.fromhex(form.revocation_basepoint),
        bytes.fromhex(form.payment_basepoint),
        bytes.fromhex(form.delayed_payment_basepoint),
        bytes.fromhex(form.htlc_basepoint),
    )


def points_form(points: ChannelPoints) -> PointsForm:
    """Basepoints as hex."""
    return PointsForm(
        points.revocation_basepoint.hex(),
        points.payment_basepoint.hex(),
        points.delayed_payment_basepoint.hex(),
        points.htlc_basepoint.hex(),
    )


def keys_form(keys: PartyKeys) -> KeysForm:
    """A party's public keys as hex."""
    return KeysForm(keys.factory_key.hex(), keys.payout_script.hex())


def digest_of(blueprint: Blueprint, realised: Mapping[str, Realised], node_path: str) -> str:
    """What all parties below a node compare before they sign: the txids of the node's own transactions.

    A txid commits to the keys, amounts and locks of the transaction and of everything above it; what is below is
    compared by each party for the part that it signs.
    """
    tree = blueprint.terms.tree
    leaf = tree.node(node_path).clients[0]
    names = [name for name in blueprint.path(leaf) if name.split(":")[1].split("@")[0] == node_path]
    return ",".join(realised[name].txid for name in names)
