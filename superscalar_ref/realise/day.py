"""The day's transaction as the factory that it closes sees it: its funding output is the first input (LAD-6).

Seen from the factory that begins it is that one's funding transaction: the same bytes, made from other knowledge.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from superscalar_ref.bitcoin.locks import NO_RELATIVE_LOCK
from superscalar_ref.bitcoin.sighash import taproot_sighash
from superscalar_ref.bitcoin.transaction import TxInput, TxOutput, build
from superscalar_ref.errors import InputError
from superscalar_ref.protocol.blueprint import Terms
from superscalar_ref.protocol.transaction import Output, Role, Template
from superscalar_ref.realise.book import Book, CoinOutput
from superscalar_ref.realise.tree import Realised, output_key


@dataclass(frozen=True)
class Day:
    """What the day's transaction spends beside the funding output, and all that it pays, in their order."""

    coins: tuple[CoinOutput, ...]
    outputs: tuple[TxOutput, ...]


def realise_day(template: Template, funding: Realised, book: Book, terms: Terms, day: Day) -> Realised:
    """A cooperative close (``template``) that pays what the day's transaction pays, for all to sign its first input.

    An output that pays a client's payout script is that client's. Raises ``InputError`` (R-LEAF-CONTENTS) when it pays
    more than there is.
    """
    spent = (funding.transaction.outputs[funding.places[0]], *(coin.output for coin in day.coins))
    fee = sum(one.amount_sat for one in spent) - sum(one.amount_sat for one in day.outputs)
    if fee < 0:
        raise InputError("close", f"pays {-fee} sat more than there is", "R-LEAF-CONTENTS")
    inputs = [
        TxInput(funding.txid, funding.places[0], NO_RELATIVE_LOCK),
        *(TxInput(coin.txid, coin.index, NO_RELATIVE_LOCK) for coin in day.coins),
    ]
    transaction = build(terms.transaction_version, inputs, list(day.outputs), 0)
    owners = {book.party(client).payout_script: client for client in terms.tree.clients}
    outputs = tuple(_output(one, owners.get(one.script_pubkey, terms.lsp)) for one in day.outputs)
    key = output_key(funding.template.outputs[0], book)
    places = tuple(range(len(outputs)))
    whole = replace(template, outputs=outputs, fee=fee)
    return Realised(whole, transaction, spent, places, taproot_sighash(transaction, 0, spent), key)


def _output(paid: TxOutput, owner: str) -> Output:
    return Output(Role.WALLET, paid.amount_sat, frozenset({owner}), owner=owner)
