"""Poison: what makes a superseded leaf state worthless to the LSP (D-10, P1242).

Laws of this module:

* A poison spends one output of a leaf's state, or of a link below it, by the key path of all its signers.
* A channel goes wholly to its client, a stock in equal shares to its clients; the LSP gets nothing.
* Which states are superseded is not decided here: ``session.toml`` lets nobody sign a poison before the newer state is
  complete in the signer's hands.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from superscalar_ref.protocol.blueprint import Terms, equal_shares, payout_fee
from superscalar_ref.protocol.transaction import Kind, Outpoint, Output, Role, Spend, Template

SLOT = "poison"
"""The slot of a poison: one for each outpoint."""


def poison_name(outpoint: Outpoint) -> str:
    """Name of the poison that spends ``outpoint``."""
    return f"poison:{outpoint.transaction}#{outpoint.index}"


def poison(terms: Terms, outpoint: Outpoint, output: Output) -> Template | None:
    """The poison of one output, or None for one that is neither a channel nor stock, or too small to pay its fee."""
    if output.role is Role.CHANNEL:
        clients: tuple[str, ...] = (output.owner,)
    elif output.role is Role.STOCK:
        clients = tuple(client for client in terms.tree.clients if client in output.signers)
    else:
        return None
    least = max(terms.economy.dust, 1)
    shares = equal_shares(output.amount - payout_fee(terms.economy, len(clients)), clients)
    outputs = tuple(
        Output(Role.WALLET, share, frozenset({client}), owner=client)
        for client, share in shares.items()
        if share >= least
    )
    if not outputs:
        return None
    return Template(
        poison_name(outpoint),
        Kind.POISON,
        (Spend(outpoint),),
        outputs,
        output.signers,
        fee=output.amount - sum(one.amount for one in outputs),
        slot=SLOT,
    )


def poisons(terms: Terms, superseded: Iterable[Template]) -> Mapping[str, Template]:
    """The poisons of every channel and stock output of superseded leaf states and of the links on them, by name."""
    found: dict[str, Template] = {}
    for template in superseded:
        for index, output in enumerate(template.outputs):
            made = poison(terms, template.outpoint(index), output)
            if made is not None:
                found[made.name] = made
    return found
