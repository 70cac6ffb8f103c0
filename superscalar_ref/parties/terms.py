"""Terms between their wire form and what the rules and the bytes work with."""

from __future__ import annotations

import string
from collections.abc import Mapping

from superscalar_ref.bitcoin.transaction import TxOutput
from superscalar_ref.errors import InputError
from superscalar_ref.parties.messages import DayForm, KeysForm, PointsForm, TermsForm
from superscalar_ref.protocol.blueprint import ALTERNATES, Blueprint, Terms
from superscalar_ref.protocol.shape import Level, Shape, grow
from superscalar_ref.protocol.transaction import Outpoint
from superscalar_ref.realise.book import Book, CoinOutput, PartyKeys
from superscalar_ref.realise.channel import ChannelPoints
from superscalar_ref.realise.day import Day
from superscalar_ref.realise.tree import Realised

_NAME_CHARACTERS = frozenset(string.ascii_letters + string.digits + "-_")
_VERSIONS = (2, 3)
"""nVersion below 2 would switch every relative lock off (BIP-68)."""
_STOCK_LOCKS = ("csv", "cltv-before", "cltv-after")
_END_DEFAULTS = ("inverted", "classic", "both")
_KICKOFFS = ("every", "root")


def terms_of(form: TermsForm) -> Terms:
    """The abstract terms. Raises ``InputError`` when the shape or the names are not usable."""
    for name in (form.lsp, *form.clients):
        if not set(name) <= _NAME_CHARACTERS:
            # Names of transactions are made of these: no party may be called so that two of them are alike.
            raise InputError("terms", f"'{name}' has other characters than letters, digits, '-' and '_'", "R-KEYS")
    if form.transaction_version not in _VERSIONS:
        raise InputError("terms", f"nVersion {form.transaction_version} is not 2 or 3", "D-5")
    if form.locks.alternates not in ALTERNATES or form.locks.stock_lock not in _STOCK_LOCKS:
        raise InputError("terms", "alternates or stock lock of an unknown kind", "R-TERMS")
    if form.locks.end_default not in _END_DEFAULTS or form.locks.kickoffs not in _KICKOFFS:
        raise InputError("terms", "end default or kickoffs of an unknown kind", "R-TERMS")
    if min(form.economy.feerate, form.economy.anchor) < 0 or form.economy.dust < 1:
        raise InputError("terms", "a negative fee or anchor, or no dust limit", "R-DUST")
    if form.lsp in form.clients:
        raise InputError("terms", f"the LSP {form.lsp} is among its clients", "R-KEYS")
    missing = sorted({form.lsp, *form.clients} - set(form.keys))
    if missing:
        raise InputError("terms", f"the keys of {missing[0]} are missing", "R-KEYS")
    factory_keys = [keys.factory_key for keys in form.keys.values()]
    if len(set(factory_keys)) < len(factory_keys):
        raise InputError("terms", "two parties have the same key", "R-KEYS")
    for payout in form.payouts:
        if payout.name not in form.keys or payout.name in (form.lsp, *form.clients):
            raise InputError("terms", f"a payout to {payout.name}, who is no other party with keys", "R-KEYS")
    shape = Shape(tuple(Level(level.arity, level.kind) for level in form.levels), form.leaf_k)  # type: ignore[arg-type]
    coins = tuple((Outpoint("coin", number), coin.amount) for number, coin in enumerate(form.coins))
    return Terms(
        form.factory,
        form.lsp,
        grow(shape, form.clients),
        form.economy,
        form.locks,
        coins,
        form.transaction_version,
        tuple((payout.name, payout.amount) for payout in form.payouts),
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


def day_of(form: DayForm) -> Day:
    """The day's transaction as bytes are made from it."""
    coins = tuple(CoinOutput(c.txid, c.index, TxOutput(c.amount, bytes.fromhex(c.script))) for c in form.coins)
    return Day(coins, tuple(TxOutput(one.amount, bytes.fromhex(one.script)) for one in form.outputs))


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
    compared by each party for the part that it signs. Raises ``InputError`` for a node that this party has no part in.
    """
    tree = blueprint.terms.tree
    leaf = tree.node(node_path).clients[0]
    names = [name for name in blueprint.path(leaf) if name.split(":")[1].split("@")[0] == node_path]
    if not realised.keys() >= set(names):
        raise InputError(f"node {node_path}", "is not above this client's leaf", "CLI-5")
    return ",".join(realised[name].txid for name in names)
