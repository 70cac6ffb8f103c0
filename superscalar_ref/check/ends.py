"""Other designs of the alternates: what they pay, beside the whole channel and a share of the stock (D-11, Q-LAD-2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from superscalar_ref.protocol.blueprint import Blueprint, equal_shares
from superscalar_ref.protocol.transaction import Kind, Output, Role, Template

WHOLE, EQUAL, BALANCE = "whole", "equal", "balance"
"""Each client its whole channel and its share of the stock; the same for each; what it had when they were signed."""


def paying(blueprint: Blueprint, how: str, lsp: str) -> Blueprint:
    """The same version with alternates that pay as ``how`` says (units)."""
    if how == WHOLE:
        return blueprint
    changed = {name: _repaid(one, blueprint, how, lsp) for name, one in blueprint.templates.items()}
    return Blueprint(blueprint.terms, blueprint.versions, blueprint.contents, changed)


def _repaid(template: Template, blueprint: Blueprint, how: str, lsp: str) -> Template:
    if template.kind is not Kind.ALTERNATE:
        return template
    clients = tuple(output.owner for output in template.outputs)
    total = template.amount_out()
    if how == EQUAL:
        shares: Mapping[str, int] = equal_shares(total, clients)
    else:
        spent = template.spends[0].outpoint
        if blueprint.templates[spent.transaction].outputs[spent.index].role is Role.STOCK:
            return template
        owed = {client: blueprint.owed(client) for client in clients}
        shares = {**owed, lsp: total - sum(owed.values())}
    outputs = tuple(Output(Role.WALLET, sats, frozenset({who}), owner=who) for who, sats in shares.items() if sats)
    return replace(template, outputs=outputs)
