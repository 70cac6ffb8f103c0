"""One small factory as the checker sees it: its terms, the versions that may be offered, every transaction by name.

Laws of this module:

* Transactions come from ``protocol.blueprint`` and from nowhere else.
* Two offers may use the same versions with different amounts (a malicious proposal does). The second one's transactions
  then get names of their own, ending in ``~2``: a name never means two transactions.
* Amounts are units. Fees are an ability (``arena.affordable``), not a number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from superscalar_ref.check.configurations import Configuration, Values, locks
from superscalar_ref.check.ends import EQUAL, WHOLE, paying
from superscalar_ref.protocol import blueprint as b
from superscalar_ref.protocol.blueprint import Blueprint, Channel, Economy, LeafContents, Terms
from superscalar_ref.protocol.participant import task
from superscalar_ref.protocol.session import Task
from superscalar_ref.protocol.shape import NodeKind
from superscalar_ref.protocol.transaction import Kind, Outpoint, Role, Template

LSP = "L"
CAPACITY = 10
STOCK = 3
START = {"client": 4, "lsp": 6}
"""A client's balance in the first version. It grows with each version when a client is the hero (the LSP then prefers
older versions), and shrinks when the LSP is: what a newer version gives the hero is what an older one would take."""


@dataclass(frozen=True)
class Plot:
    """A variant's options: what a design changes in blueprint or surroundings, beyond tables and parameters."""

    kickoffs: str = "every"
    """root: no kickoff between two state layers."""
    nonce_survives_crash: bool = False
    """A crash leaves the secret nonces where they were."""
    sales: str = "chain"
    """What a sale spends. replace: the leaf's stock again. sibling: another client's channel (D-6)."""
    records: str = "kept"
    """lost: a signer's record of what it has signed is lost in a restore (D-7)."""
    poison: str = "after"
    """When the poison of a version is signed, and of what (D-10): with, before, stock, links, none, secret…"""
    counters: str = "grow"
    """restart: an update may begin at index 0 again, on the same output."""
    life: str = "fixed"
    """extended: an update may sign a later end, on the same output."""
    commitments: str = "both"
    """client: on a new outpoint the LSP gets no commitment of its own."""
    amounts: str = "msat"
    """sat: each side of a channel counts what its commitments pay, in whole sat. early: a payee counts a payment with
    its preimage."""
    revoked: str = "every"
    """Whose old commitments are revoked (D-14): every one, client's or lsp's only, or not those of a left outpoint."""
    moving: str = "every"
    """For which outpoints a payment is signed while a leaf is replaced (D-15). first: the old one, until it is left."""
    handover: str = "paid"
    """When the buyer may spend what it bought (D-8). first: before it has paid."""
    htlc_scripts: str = "two-stage"
    """one-stage: the delay is in the HTLC's script, before the claim."""
    htlc_expiry: str = "exit"
    """delta: a payee asks for the time that its claim takes, not for its exit's."""
    htlc_forward: str = "early"
    """late: who has passed a payment on begins its exit when that has expired."""
    exit_order: str = "money"
    """key: in an assisted exit the client gives its key, and the LSP pays after that."""
    tower: str = "kept"
    """none: nobody looks for a client that is away."""
    alternates_pay: str = WHOLE
    """equal: each client the same, in a factory where the hero has most. balance: what each had when they were
    signed."""


@dataclass(frozen=True)
class Offer:
    """One version that is offered to be signed."""

    key: str
    """Tells offers apart: versions and balances."""
    version: str
    """As the hero's machine writes it."""
    blueprint: Blueprint = field(compare=False, repr=False)
    kit: frozenset[str] = field(compare=False, repr=False)
    """What the hero must hold."""
    to_sign: frozenset[str] = field(compare=False, repr=False)
    """What it takes part in signing."""
    owed: int = field(compare=False)
    """What the hero owns in this version (units)."""


class World:
    """A configuration with its parameters, from the hero's side."""

    def __init__(self, configuration: Configuration, values: Values, hero: str, plot: Plot | None = None) -> None:
        self.configuration = configuration
        self.values = values
        self.hero = hero
        self.plot = plot or Plot()
        self.role = "lsp" if hero == LSP else "client"
        self.tree = configuration.tree
        fixed = locks(values)
        fixed = replace(fixed, kickoffs=self.plot.kickoffs)
        self.terms = Terms("factory", LSP, self.tree, Economy(0, 0, 0), fixed, ((Outpoint("coin", 0), 10_000),))
        self.catalog: dict[str, Template] = {}
        self.root = Outpoint(b.FUNDING, 0)
        self._offers: dict[str, Offer] = {}

    # Offers

    def nodes(self) -> tuple[str, ...]:
        """Paths of the nodes whose counter an update of the hero's may move, from the root down."""
        nodes = self.tree.nodes() if self.role == "lsp" else self.tree.path_to(self.hero)
        return tuple(node.path for node in nodes if node.kind is not NodeKind.STATIC)

    def first_versions(self) -> dict[str, int]:
        """Index 0 everywhere."""
        return b.fresh_versions(self.tree)

    def ticked(self, versions: Mapping[str, int], path: str) -> dict[str, int] | None:
        """The versions after one tick at ``path``, everything below restarted; None when its counter has run out."""
        if versions[path] + 1 >= self.terms.locks.states:
            return None
        below = f"{path}."
        return {
            node: index + 1 if node == path else 0 if node.startswith(below) else index
            for node, index in versions.items()
        }

    def other_terms(self) -> dict[str, Terms]:
        """Terms that a client is to refuse: a step that is no longer than its absence, an end that pays the LSP."""
        own = self.terms.locks
        found = {"short step": replace(own, step=min(own.step - 1, self.reaction))} if own.step > 1 else {}
        if own.end_default == "inverted":
            found["classic end"] = replace(own, end_default="classic", alternates="none")
        return {name: replace(self.terms, locks=fixed) for name, fixed in found.items()}

    @property
    def reaction(self) -> int:
        """The client's absence and one confirmation: a lock that it must beat is longer (blocks)."""
        return int(self.values["absence_blocks"]) + int(self.values["confirmation_blocks"])

    def root_of(self, offer: Offer | None) -> Outpoint:
        """The factory's coin in a version."""
        if offer is None:
            return self.root
        funding = next(t for t in offer.blueprint.templates.values() if t.kind is Kind.FUNDING)
        return funding.outpoint(0)

    def offer(self, versions: Mapping[str, int], serial: int, less: int = 0, terms: str = "") -> Offer:
        """The ``serial``-th version of a life with these indices; the hero gets ``less`` units less than it should.

        ``terms``: empty for the factory's own, or a key of ``other_terms``.
        """
        sign = 1 if self.role == "client" else -1
        balance = START[self.role] + sign * (serial - less)
        text = b.version_text(tuple(versions.values()))
        key = f"{text}:{balance}" if not terms else f"{text}:{balance} ({terms})"
        if key in self._offers:
            return self._offers[key]
        clients = (self.hero,) if self.role == "client" else self.tree.clients
        contents = {
            node.path: LeafContents(
                tuple(
                    Channel(c, balance, CAPACITY - balance)
                    if c in clients
                    else Channel(c, START["client"], CAPACITY - START["client"])
                    for c in node.clients
                ),
                (STOCK,) * len(self.tree.stock_groups(node)),
            )
            for node in self.tree.leaves()
        }
        fixed = self.other_terms()[terms] if terms else self.terms
        if self.plot.alternates_pay == EQUAL:
            contents = {path: self._unlike(leaf) for path, leaf in contents.items()}
        drawn = paying(b.build(fixed, versions, contents), self.plot.alternates_pay, LSP)
        blueprint = self._catalogued(drawn)
        if self.role == "client":
            path = [n.path for n in self.tree.path_to(self.hero) if n.kind is not NodeKind.STATIC]
            text = b.version_text(tuple(versions[p] for p in path))
        offer = Offer(
            key,
            text,
            blueprint,
            blueprint.kit(self.hero),
            frozenset(t.name for t in blueprint.signed_together() if self.hero in t.signers),
            blueprint.owed(self.hero),
        )
        self._offers[key] = offer
        return offer

    def _unlike(self, leaf: LeafContents) -> LeafContents:
        """The same leaf with a channel that is larger if it is the hero's, and tiny if it is not."""
        channels = tuple(
            replace(one, to_client=3 * CAPACITY + one.to_client)
            if one.client == self.hero
            else replace(one, to_client=1, to_lsp=0)
            for one in leaf.channels
        )
        return replace(leaf, channels=channels)

    def offers(self) -> tuple[Offer, ...]:
        """Every version that was offered so far."""
        return tuple(self._offers.values())

    def close(self, offer: Offer, less: int, attempt: int) -> Template:
        """A cooperative close that pays by ``offer``'s version, or the hero ``less`` units less."""
        template = b.close(offer.blueprint, attempt)
        if less:
            outputs = tuple(
                replace(o, amount=o.amount - less if o.owner == self.hero else o.amount + less)
                if o.role is Role.WALLET and o.owner in (self.hero, self._other())
                else o
                for o in template.outputs
            )
            template = replace(template, outputs=outputs)
        name = self._name(template)
        return self.catalog.setdefault(name, replace(template, name=name))

    def _other(self) -> str:
        return LSP if self.role == "client" else self.tree.clients[0]

    def parent(self, name: str) -> str:
        """The transaction whose output ``name`` spends."""
        return self.catalog[name].spends[0].outpoint.transaction

    def tasks(self, offer: Offer, names: frozenset[str]) -> Iterator[Task]:
        """What the hero needs to know to sign ``names``."""
        for name in sorted(names):
            yield task(offer.blueprint, self.catalog[name], self.hero, name)

    def _catalogued(self, blueprint: Blueprint) -> Blueprint:
        """The same blueprint, with a name of its own for each transaction whose usual name means another one."""
        renamed: dict[str, str] = {}
        templates: dict[str, Template] = {}
        for template in blueprint.templates.values():
            spends = tuple(
                replace(
                    s, outpoint=Outpoint(renamed.get(s.outpoint.transaction, s.outpoint.transaction), s.outpoint.index)
                )
                for s in template.spends
            )
            moved = replace(template, spends=spends)
            name = self._name(moved)
            renamed[template.name] = name
            templates[name] = self.catalog.setdefault(name, replace(moved, name=name))
        return Blueprint(blueprint.terms, blueprint.versions, blueprint.contents, templates)

    def _name(self, template: Template) -> str:
        """The template's name, or the first of ``name~2``, ``name~3``, … that does not mean another transaction."""
        number, name = 1, template.name
        while name in self.catalog and self.catalog[name] != replace(template, name=name):
            number += 1
            name = f"{template.name}~{number}"
        return name

    def concerns(self, name: str) -> frozenset[str]:
        """The clients below the nearest transaction above ``name``, or itself, that the LSP does not sign alone."""
        template = self.catalog[name]
        while len(template.signers) < 2 and template.spends[0].outpoint.transaction in self.catalog:
            template = self.catalog[template.spends[0].outpoint.transaction]
        return template.signers - {LSP}

    # The chain

    @property
    def deadline(self) -> int:
        """Height of the last block at which the hero begins its exit at the latest.

        A client comes online within its notice once the dying period has begun; the LSP acts when that period is over.
        """
        notice = "signing_absence_blocks" if self.role == "client" else "dying_blocks"
        return int(self.values["active_blocks"]) + int(self.values[notice])

    @property
    def absences(self) -> tuple[int, int]:
        """How long the hero may be away: before its exit, and during it (blocks)."""
        if self.role == "lsp":
            return int(self.values["lsp_absence_blocks"]), int(self.values["lsp_absence_blocks"])
        return int(self.values["absence_blocks"]), int(self.values["exit_absence_blocks"])

    def by_itself(self) -> frozenset[str]:
        """Transactions that the hero alone signs: sweeps, and its own lock paths."""
        return frozenset(
            t.name for t in self.catalog.values() if t.signers == {self.hero} and t.kind is not Kind.FUNDING
        )

    def without_hero(self) -> frozenset[str]:
        """Transactions that the others can always complete."""
        return frozenset(
            t.name for t in self.catalog.values() if self.hero not in t.signers and t.kind is not Kind.FUNDING
        )
