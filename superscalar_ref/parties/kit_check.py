"""Whether an exit kit is complete and true, on a machine that knows nothing else: every signature with Core's code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from superscalar_ref.bitcoin.transaction import Transaction
from superscalar_ref.chain.interface import TxOut
from superscalar_ref.chain.kernel import verify_input
from superscalar_ref.errors import SuperscalarError
from superscalar_ref.parties.client import ClientActor
from superscalar_ref.parties.kit import Kit, restore
from superscalar_ref.parties.kit_channel import live_channels, moved_names
from superscalar_ref.protocol.poison import poison_name
from superscalar_ref.protocol.transaction import Kind


@dataclass(frozen=True)
class Fault:
    """Something that is missing or wrong."""

    place: str
    problem: str
    rule: str


@dataclass(frozen=True)
class PathStep:
    """One transaction of the exit path."""

    name: str
    kind: str
    txid: str
    lock_blocks: int
    """After its parent's confirmation."""
    vbytes: int
    fee_sat: int
    valid: bool
    """Whether its signature is that of the output which it spends, by Core's code; False also when it is missing."""


@dataclass(frozen=True)
class KitReport:
    """What a check found. Amounts in sat, heights and spans in blocks."""

    client: str
    lsp: str
    factory: str
    version: str
    owed_sat: int
    capacity_sat: int
    at_end_sat: int
    """What the alternate of its channel and its share of the stock pay at the end, fees included."""
    made_at: int
    end: int
    exit_blocks: int
    start_by: int
    """The last height at which an exit may begin, as the client reckons."""
    path: tuple[PathStep, ...]
    verified: int
    """Transactions whose every signature Core's code accepted."""
    faults: tuple[Fault, ...]

    @property
    def complete(self) -> bool:
        """Whether nothing is missing and nothing is wrong."""
        return not self.faults


def check_kit(kit: Kit) -> KitReport:
    """Check everything that a kit says. Raises ``InputError`` when no plan follows from it at all."""
    client = restore(kit)
    archive, life = client.factory, client.life
    blueprint = archive.blueprints[client.counted]
    terms = archive.terms
    wanted = wanted_names(client)
    verified, faults = _verify_all(client)
    faults += [
        Fault(f"signatures.{name}", "is missing: the kit is not complete", "D-16")
        for name in sorted(wanted - frozenset(client.signatures) - moved_names(client))
    ]
    owed, capacity = _counted_amounts(client)
    for place, stated, computed in (
        ("counted.owed", life.owed, owed),
        ("counted.capacity", life.capacity or capacity, capacity),
    ):
        if stated != computed:
            faults.append(Fault(place, f"says {stated} sat, the plan gives {computed} sat", "D-16"))
    for live in live_channels(client).values():
        owed += live.channel.balance_msat // 1000 - live.terms.balance_msat // 1000
    exit_blocks = terms.exit_blocks(client.name)
    path = [*blueprint.path(client.name), *_after_leaf(client)]
    return KitReport(
        client.name,
        terms.lsp,
        terms.factory,
        life.version,
        owed,
        capacity,
        _at_end(client),
        kit.height,
        terms.locks.end,
        exit_blocks,
        terms.locks.end - exit_blocks - life.limits.margin,
        tuple(_step(client, name, verified) for name in path),
        len(verified),
        tuple(faults),
    )


def wanted_names(client: ClientActor) -> frozenset[str]:
    """What a client must hold complete: its version's kit, that of each link that it counts on, and every poison.

    A poison is needed of each superseded leaf state and link that it holds complete itself.
    """
    archive = client.factory
    counted = archive.blueprints[client.counted]
    labels = [version.label for version in archive.record.versions]
    older = {archive.blueprints[label].path(client.name)[-1] for label in labels[: labels.index(client.counted)]}
    superseded = older - {counted.path(client.name)[-1]}
    superseded |= {sold.sale.link for sold in archive.record.sales if sold.state in superseded}
    poisons = {
        poison_name(archive.templates[name].outpoint(index))
        for name in superseded & client.held
        for index in range(len(archive.templates[name].outputs))
    }
    return counted.kit_of(client.name) | client.life.kit | (poisons & archive.templates.keys())


def _counted_amounts(client: ClientActor) -> tuple[int, int]:
    """(balance, capacity) of the counted version and of the links that the kit holds (sat)."""
    archive = client.factory
    blueprint = archive.blueprints[client.counted]
    leaf = blueprint.contents[archive.terms.tree.leaf_of(client.name).path]
    owed, capacity = blueprint.owed(client.name), leaf.capacity_of(client.name)
    for sold in archive.record.sales:
        if sold.buyer == client.name and sold.sale.link in client.life.kit:
            owed, capacity = owed + sold.to_client, capacity + sold.to_client + sold.to_lsp
    return owed, capacity


def _verify_all(client: ClientActor) -> tuple[Mapping[str, Transaction], list[Fault]]:
    """Every transaction that the kit can publish, by name, and what is wrong with the others."""
    good: dict[str, Transaction] = {}
    faults = [
        Fault(f"signatures.{name}", "is of no transaction of the plan", "D-16")
        for name in client.signatures
        if name not in client.factory.realised
    ]
    for name in client.held_templates():
        transaction = client.complete_transaction(name)
        spent = [TxOut(one.amount_sat, one.script_pubkey) for one in client.factory.realised[name].spent]
        if all(verify_input(transaction.serialized, index, spent) for index in range(len(spent))):
            good[name] = transaction
        else:
            faults.append(Fault(f"signatures.{name}", "Bitcoin Core's code refuses the signature", "BIP-341"))
    faults.extend(_live_faults(client))
    return good, faults


def _live_faults(client: ClientActor) -> Iterator[Fault]:
    """What is wrong with the newest commitments of channels that have lived."""
    for live in live_channels(client).values():
        for outpoint in live.own.signatures if live.own is not None else ():
            assert live.own is not None
            try:
                live.own_transaction(outpoint)
            except SuperscalarError as error:
                yield Fault(f"channel_records: commitment {live.own.said.number}", str(error), "D-13")


def _after_leaf(client: ClientActor) -> Iterator[str]:
    """The links, the closes and the sweeps that follow the leaf, as far as they belong to this client."""
    archive = client.factory
    leaf = archive.blueprints[client.counted].path(client.name)[-1]
    sources = {leaf}
    for sold in archive.record.sales:
        if sold.state == leaf and sold.sale.link in client.held:
            sources.add(sold.sale.link)
            yield sold.sale.link
    for name, template in archive.templates.items():
        own = template.kind is Kind.COMMITMENT and template.holder == client.name and name in archive.realised
        if own and template.spends[0].outpoint.transaction in sources:
            yield name
            if f"sweep:{name}" in archive.realised:
                yield f"sweep:{name}"


def _at_end(client: ClientActor) -> int:
    """What the alternates of the client's channels, and of the stock that it shares, pay it (sat)."""
    archive = client.factory
    leaf = archive.blueprints[client.counted].path(client.name)[-1]
    links = {sold.sale.link for sold in archive.record.sales if sold.state == leaf and sold.sale.link in client.held}
    sold_from = {archive.templates[link].spends[0].outpoint for link in links}
    total = 0
    for name in client.held & archive.templates.keys():
        template = archive.templates[name]
        place = template.spends[0].outpoint
        if template.kind is Kind.ALTERNATE and place.transaction in {leaf, *links} and place not in sold_from:
            total += sum(output.amount for output in template.outputs if output.owner == client.name)
    return total


def _step(client: ClientActor, name: str, verified: Mapping[str, Transaction]) -> PathStep:
    realised = client.factory.realised[name]
    template = realised.template
    transaction = verified.get(name, realised.transaction)
    lock = template.spends[0].relative_lock or 0
    return PathStep(name, str(template.kind), realised.txid, lock, transaction.vbytes, template.fee, name in verified)
