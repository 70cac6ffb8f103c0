"""What a party knows of its factory: the terms, and every version ever proposed to it, as templates and as bytes."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, replace

from superscalar_ref.errors import InputError
from superscalar_ref.parties import messages as m
from superscalar_ref.parties.terms import book_of, day_of, points_of, terms_of
from superscalar_ref.protocol.blueprint import (
    FUNDING,
    Blueprint,
    Channel,
    LeafContents,
    Terms,
    build,
    close,
    commitment_name,
    fresh_versions,
)
from superscalar_ref.protocol.chain_links import Sale, link
from superscalar_ref.protocol.poison import poisons
from superscalar_ref.protocol.shape import NodeKind
from superscalar_ref.protocol.transaction import Kind, Template
from superscalar_ref.realise.book import Book
from superscalar_ref.realise.day import realise_day
from superscalar_ref.realise.tree import Realised, realise, realise_one


@dataclass(frozen=True)
class VersionRecord:
    """One version of the factory, whatever became of it."""

    label: m.Name
    node: m.Name
    """The node that ticked; the root for the first version."""
    versions: Mapping[m.Name, m.Count]
    """Index of every DW node, by path, as far as this party knows."""
    contents: Mapping[m.Name, LeafContents]
    """Of every leaf, by path, as far as this party knows."""
    points: Mapping[m.Name, m.Point]
    """Per-commitment points by the commitment's name, of the channels that this party has."""
    carried: tuple[m.Name, ...] = ()
    """Clients whose channel moved with its own commitments, as far as this party knows (D-15)."""


@dataclass(frozen=True)
class CloseRecord:
    """One cooperative close."""

    label: m.Name
    attempt: m.Count
    versions: Mapping[m.Name, m.Count]
    contents: Mapping[m.Name, LeafContents]
    day: m.DayForm | None = None
    """Where the close is part of the day's transaction (LAD-6)."""


@dataclass(frozen=True)
class SaleRecord:
    """One sale from a stock, whatever became of it."""

    label: m.Name
    state: m.Name
    stock: m.Count
    serial: m.Count
    parent: m.Name
    buyer: m.Name
    to_client: m.Amount
    to_lsp: m.Amount
    price: m.Amount
    points: Mapping[m.Name, m.Point]
    """Per-commitment points by the commitment's name, where this party has the new channel."""

    @property
    def sale(self) -> Sale:
        """As the rules know it."""
        channel = Channel(self.buyer, self.to_client, self.to_lsp)
        return Sale(self.state, self.stock, self.serial, self.parent, channel, self.label)


@dataclass(frozen=True)
class FactoryRecord:
    """Everything public of a factory that a party must find again after a restart."""

    terms: m.TermsForm
    points: Mapping[m.Name, m.PointsForm]
    """``client/holder`` → basepoints, of the channels that this party has."""
    versions: tuple[VersionRecord, ...] = ()
    closes: tuple[CloseRecord, ...] = ()
    sales: tuple[SaleRecord, ...] = ()


@dataclass(frozen=True)
class Planned:
    """A version worked out: its blueprint, and the bytes of what this party has a part in."""

    record: VersionRecord
    blueprint: Blueprint
    realised: Mapping[str, Realised]
    book: Book


@dataclass(frozen=True)
class PlannedClose:
    """A cooperative close worked out."""

    record: CloseRecord
    template: Template
    realised: Realised


@dataclass(frozen=True)
class PlannedSale:
    """A sale worked out."""

    record: SaleRecord
    blueprint: Blueprint
    """The link and everything on it, and nothing else."""
    realised: Mapping[str, Realised]
    book: Book


class Archive:
    """The factory as one party knows it. Only ``adopt``, ``adopt_sale`` and ``adopt_close`` change it."""

    def __init__(self, me: str, record: FactoryRecord) -> None:
        """Work out every version of ``record`` again. Raises ``InputError`` when it contradicts itself."""
        self.me = me
        self.record = replace(record, versions=(), closes=(), sales=())
        self.terms: Terms = terms_of(record.terms)
        channels = {}
        for place, form in record.points.items():
            client, _, holder = place.partition("/")
            channels[client, holder] = points_of(form)
        self.book = replace(book_of(record.terms), channels=channels)
        self.templates: dict[str, Template] = {}
        self.realised: dict[str, Realised] = {}
        self.blueprints: dict[str, Blueprint] = {}
        """By the label of the version, or of the sale."""
        self.leaf_states: dict[str, str] = {}
        """Name of a leaf's state → path of the leaf, of every version ever proposed."""
        for version in record.versions:
            self.adopt(self.plan(version))
        for sold in record.sales:
            self.adopt_sale(self.plan_sale(sold))
        for version in record.versions:
            self._adopt_poisons(version)
        for one in record.closes:
            self.adopt_close(self.plan_close(one))

    @property
    def newest(self) -> VersionRecord | None:
        """The version that was proposed last."""
        return self.record.versions[-1] if self.record.versions else None

    def known_versions(self) -> dict[str, int]:
        """Indices of the version that was proposed last."""
        return dict(self.newest.versions) if self.newest else fresh_versions(self.terms.tree)

    def plan(self, record: VersionRecord) -> Planned:
        """Work a version out; nothing is kept. Raises ``InputError`` when it does not fit the terms."""
        blueprint = self._blueprint(record)
        self._check_unchanged(blueprint)
        book = self.book.with_points({name: bytes.fromhex(point) for name, point in record.points.items()})
        mine = [template.name for template in blueprint.templates.values() if self.me in template.signers]
        return Planned(record, blueprint, realise(blueprint, book, mine, self.realised), book)

    def plan_close(self, record: CloseRecord) -> PlannedClose:
        """Work a close out; nothing is kept. Raises ``InputError`` when it does not fit the terms."""
        blueprint = self._blueprint(record)
        if blueprint.templates[FUNDING] != self.templates[FUNDING]:
            # Otherwise it would share out what the funding output does not hold, and never be valid.
            raise InputError("close", "is not of what the funding output holds", "R-LEAF-CONTENTS")
        template = close(blueprint, record.attempt)
        if record.day is not None:
            realised = realise_day(template, self.realised[FUNDING], self.book, self.terms, day_of(record.day))
            return PlannedClose(record, realised.template, realised)
        if template.fee < 0:
            raise InputError("close", f"pays {-template.fee} sat more than there is", "R-LEAF-CONTENTS")
        return PlannedClose(record, template, realise_one(template, self.book, self.realised, self.terms))

    def _blueprint(self, record: VersionRecord | CloseRecord) -> Blueprint:
        """The blueprint of a record, which must speak of this tree's nodes and of nothing else."""
        wanted = {
            "versions": (record.versions, {node.path for node in self.terms.tree.nodes() if node.has_counter}),
            "contents": (record.contents, {leaf.path for leaf in self.terms.tree.leaves()}),
        }
        for what, (given, paths) in wanted.items():
            # What is said of a leaf that does not exist would count towards a balance, and never be paid.
            wrong = sorted(given.keys() ^ paths)
            if wrong:
                known = "missing" if wrong[0] in paths else "of no node of the tree"
                raise InputError(f"{what} of '{wrong[0]}'", f"are {known}", "R-LEAF-CONTENTS")
        carried = frozenset(record.carried) if isinstance(record, VersionRecord) else frozenset()
        return build(self.terms, record.versions, record.contents, self.me, carried)

    def _check_unchanged(self, blueprint: Blueprint) -> None:
        """Refuse a version that asks for other outputs of a transaction that stands.

        Its children would spend more than there is. An alternate that stands keeps the shares that it was signed with.
        """
        for name, template in blueprint.templates.items():
            standing = self.templates.get(name)
            if standing is None or template.kind is Kind.ALTERNATE or name not in self.realised:
                continue
            if standing != template:
                raise InputError(f"version of {name}", "needs other amounts in a transaction that stands", "D-4")

    def adopt(self, planned: Planned) -> None:
        """Keep a version beside the earlier ones; what stands keeps its template."""
        self.record = replace(self.record, versions=(*self.record.versions, planned.record))
        self.book = planned.book
        self.templates = {**planned.blueprint.templates, **self.templates}
        self.realised.update(planned.realised)
        self.blueprints[planned.record.label] = planned.blueprint
        tree = self.terms.tree
        for leaf in tree.leaves() if self.me == self.terms.lsp else (tree.leaf_of(self.me),):
            name = planned.blueprint.path(leaf.clients[0])[-1]
            if name in planned.blueprint.templates:
                self.leaf_states[name] = leaf.path
        self._adopt_poisons(planned.record)

    def plan_sale(self, record: SaleRecord) -> PlannedSale:
        """Work a sale out; nothing is kept. Raises ``InputError`` when it builds on what is not there (Q-STK-5)."""
        sale = record.sale
        parent = self.templates.get(sale.parent)
        chained = parent is not None and parent.kind is Kind.SALE and sale.parent.startswith(f"sale:{sale.state}#")
        if parent is None or sale.state not in self.leaf_states or not (sale.parent == sale.state or chained):
            raise InputError(f"sale {sale.link}", f"spends '{sale.parent}', which is not of this stock", "Q-STK-5")
        if sale.link in self.templates or sale.outpoint.index >= len(parent.outputs):
            raise InputError(f"sale {sale.link}", "is there already, or spends what is not there", "Q-STK-5")
        blueprint = link(self.terms, sale, parent.outputs[sale.outpoint.index])
        book = self.book.with_points({name: bytes.fromhex(point) for name, point in record.points.items()})
        realised: dict[str, Realised] = dict(self.realised)
        for template in blueprint.templates.values():
            if self.me in template.signers:
                realised[template.name] = realise_one(template, book, realised, self.terms)
        return PlannedSale(record, blueprint, realised, book)

    def adopt_sale(self, planned: PlannedSale) -> None:
        """Keep a sale beside the earlier ones."""
        self.record = replace(self.record, sales=(*self.record.sales, planned.record))
        self.book = planned.book
        self.templates = {**self.templates, **planned.blueprint.templates}
        self.realised.update(planned.realised)
        self.blueprints[planned.record.label] = planned.blueprint

    def copy(self) -> Archive:
        """The same, to be changed apart."""
        other = copy(self)
        for name in ("templates", "realised", "blueprints", "leaf_states"):
            setattr(other, name, dict(getattr(self, name)))
        return other

    def poisons(self, label: str) -> dict[str, Template]:
        """The poisons that this party signs in the ceremony of version ``label``, by name (D-10).

        They are of every older state of the leaves below the version's node, and of every link on those.
        """
        record = next(one for one in self.record.versions if one.label == label)
        kept = self.blueprints[label].templates
        old = {
            name
            for name, path in self.leaf_states.items()
            if name not in kept and (path == record.node or path.startswith(f"{record.node}."))
        }
        links = {sold.sale.link for sold in self.record.sales if sold.state in old}
        made = poisons(self.terms, [self.templates[name] for name in sorted(old | links)])
        return {name: template for name, template in made.items() if self.me in template.signers}

    def _adopt_poisons(self, record: VersionRecord) -> None:
        for name, template in self.poisons(record.label).items():
            if name not in self.realised:
                self.templates[name] = template
                self.realised[name] = realise_one(template, self.book, self.realised, self.terms)

    def channel_place(self, label: str, client: str, bought: str = "") -> tuple[str, dict[str, str]]:
        """Where a client's channel is in a version: ``txid:vout``, and holder → name of its commitment there.

        ``bought`` is the label of the sale of a further channel. Raises ``KeyError`` when the version has no such one.
        """
        blueprint = self.blueprints[label]
        versions = tuple(
            blueprint.versions[node.path]
            for node in self.terms.tree.path_to(client)
            if node.kind is not NodeKind.STATIC
        )
        state = self.realised[blueprint.path(client)[-1]]
        channels = blueprint.contents[self.terms.tree.leaf_of(client).path].channels
        places = {(channel.client, channel.bought): place for place, channel in enumerate(channels)}
        vout = state.places[places[client, bought]]
        names = {holder: commitment_name(client, versions, holder, bought) for holder in (client, self.terms.lsp)}
        return f"{state.txid}:{vout}", names

    def adopt_close(self, planned: PlannedClose) -> None:
        """Keep a close beside the earlier ones."""
        self.record = replace(self.record, closes=(*self.record.closes, planned.record))
        self.templates[planned.template.name] = planned.template
        self.realised[planned.template.name] = planned.realised

    def signing(self, label: str) -> dict[str, Template]:
        """What this party takes part in signing for a version, a sale or a close, by name.

        Raises ``KeyError`` for another label.
        """
        for one in self.record.closes:
            if one.label == label:
                template = self.plan_close(one).template
                return {template.name: template}
        blueprint = self.blueprints[label]
        wanted = {t.name: t for t in blueprint.signed_together() if self.me in t.signers}
        if any(sold.label == label for sold in self.record.sales):
            return wanted
        return {**wanted, **self.poisons(label)}
