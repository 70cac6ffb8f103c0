"""One leaf whose stock is sold from, updated and poisoned: every stop of it is a game on the chain.

The factory is one leaf: clients A and B share a stock, C has one of its own. What is sold is what the stock's own table
lets the LSP and its clients sell; what the transactions are comes from ``protocol`` alone. At each stop nobody signs
any more, and each honest party in turn plays against all others, who hold everything that was completed.

Laws of this module:

* A client counts on what its table lets it count on: a link once it holds it, a version once its poison is held.
* The LSP completes signatures first, so it may hold what a client does not hold yet; never the other way round.
* A design that is not this one (``Plot``) changes which transactions exist, or when they are complete, nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from superscalar_ref.check.arena import Arena, affordable
from superscalar_ref.check.configurations import Configuration, Values, locks, tight_values
from superscalar_ref.check.ends import paying
from superscalar_ref.check.poison_ceremony import SECRETS, Names, channels_left, steps
from superscalar_ref.check.world import LSP, Plot
from superscalar_ref.errors import Refused
from superscalar_ref.machine.step import BoundMachine, step
from superscalar_ref.machine.types import Event
from superscalar_ref.protocol.blueprint import (
    FUNDING,
    Blueprint,
    Channel,
    Economy,
    LeafContents,
    Terms,
    build,
    fresh_versions,
)
from superscalar_ref.protocol.chain_links import SLOT, Sale, cover, link
from superscalar_ref.protocol.poison import poisons
from superscalar_ref.protocol.shape import Shape, Tree, grow
from superscalar_ref.protocol.stock import Sold, Stock
from superscalar_ref.protocol.transaction import Kind, Outpoint, Output, Role, Spend, Template
from superscalar_ref.spec.parameters import ParameterSet

SALES, STOPS, OLD, UPDATED = "P-SALE-KEPT", "P-POISON-FAIR", "P-OLD-STATE-PAYS", "P-UPDATE-KEPT"


@dataclass(frozen=True)
class _LeafConfiguration(Configuration):
    """A factory of one leaf with ``k = 2``, and as many links as are sold here."""

    @property
    def tree(self) -> Tree:
        """One leaf."""
        return grow(Shape.of(self.arity, leaf_k=2), self.clients)


CONFIGURATION = _LeafConfiguration(
    "stock", "A and B share a stock, C has its own.", ("A", "B", "C"), (2,), 3, 0, 0, absence=1, confirmation=1, links=2
)
CAPACITY, STOCK, START, LITTLE = 10, 12, 4, 4
"""A channel, the shared stock, a client's balance at first; the shared stock where the leaf is updated (units)."""
AMOUNTS = (6, 9)
"""What A tries to buy of the shared stock, of which its share is six (units)."""


@dataclass(frozen=True)
class Stop:
    """Nobody signs any more: who can complete what, and what each party counts on."""

    property: str
    story: tuple[str, ...]
    catalog: Mapping[str, Template]
    complete: frozenset[str]
    """Templates whose signatures are all in the LSP's hands."""
    owed: Mapping[str, int]
    """Party → what it counts on (units). Only these parties play."""
    missing: Mapping[str, frozenset[str]]
    """Party → what is complete and not in its hands."""
    waiting: frozenset[str] = frozenset()
    """Clients who also play by waiting for the end: they begin no exit of their own (protocol.md §9 'waiting')."""
    poor: frozenset[str] = frozenset()
    """Clients who play without coins."""
    parts: tuple[tuple[frozenset[str], int], ...] = ()
    """For the LSP: templates that count together, and what it is owed of them (units)."""
    idle_until: int = 0
    """The height from which on a party begins, when that is later than its own deadline at first."""


def penalties(commitments: Iterable[Template]) -> dict[str, Template]:
    """What the other side takes of these commitments by the revocation key, once their holders have revoked them."""
    made: dict[str, Template] = {}
    for commitment in commitments:
        for index, output in enumerate(commitment.outputs):
            if output.role is Role.DELAYED:
                (other,) = output.signers
                paid = Output(Role.WALLET, output.amount, output.signers, owner=other)
                name = f"penalty:{commitment.name}"
                made[name] = Template(name, Kind.PENALTY, (Spend(commitment.outpoint(index)),), (paid,), output.signers)
    return made


class Leaf:
    """The leaf's terms, its versions, and the stock's table."""

    def __init__(self, parameters: ParameterSet, machine: BoundMachine[Stock], plot: Plot, states: int) -> None:
        self.values: Values = tight_values(parameters, replace(CONFIGURATION, states=states), {})
        self.machine = machine
        self.plot = plot
        self.tree = CONFIGURATION.tree
        coin = ((Outpoint("coin", 0), 10_000),)
        self.terms = Terms("factory", LSP, self.tree, Economy(0, 0, 0), locks(self.values), coin)
        self.state = "state:r@0"
        self.base = Outpoint(self.state, 3)

    def version(self, index: int, balance: int = CAPACITY, stock: int = STOCK, more: int = 0) -> Blueprint:
        """A version in which A's balance is ``balance``, by default its whole channel (units).

        ``more``: what A's channel holds more, taken from the shared stock.
        """
        channels = tuple(
            Channel(client, balance, CAPACITY + more - balance)
            if client == "A"
            else Channel(client, START, CAPACITY - START)
            for client in self.tree.clients
        )
        drawn = build(
            self.terms, {**fresh_versions(self.tree), "r": index}, {"r": LeafContents(channels, (stock - more, 2))}
        )
        return paying(drawn, self.plot.alternates_pay, LSP)

    # -- sales -----------------------------------------------------------------------------------------------------

    def sales(self) -> Iterator[Stop]:
        """Sales that the table should refuse, then every stop of two sales in a row."""
        yield from self._second_link()
        yield from self._phantom()
        for amount in AMOUNTS:
            yield from self._sold(amount)

    def _sold(self, amount: int) -> Iterator[Stop]:
        """A buys, then B, each with all of it on its own side; a stop after each."""
        catalog = dict(self.version(0).templates)
        chain: list[Sale] = []
        story = ["everybody signs the first version, and the funding is in block 0"]
        owed = {"A": CAPACITY, "B": START}
        sides = {"A": self.side("A"), "B": self.side("B"), LSP: self.side(LSP)}
        for buyer, sold in (("A", amount), ("B", 2)):
            sale, new = self.sell(catalog, chain, buyer, sold)
            taken = self.agree(catalog, chain, sale, sides, sold)
            if taken is None:
                return
            sides = taken
            catalog.update(new)
            chain.append(sale)
            owed[buyer] += sold
            story.append(
                f"{LSP} sells {sold} units of the shared stock to {buyer}, and {buyer} is paid that much there"
            )
            catalog.update(self._poisoned_ancestors(catalog, chain))
            complete = frozenset(catalog)
            yield Stop(
                SALES,
                tuple(story),
                dict(catalog),
                complete,
                {"A": owed["A"], LSP: 0} if len(chain) == 1 else {"B": owed["B"], LSP: 0},
                {},
                waiting=frozenset({"A", "B"}),
                parts=tuple(self._lsp_parts(catalog, chain)),
            )

    def sell(
        self, catalog: Mapping[str, Template], chain: list[Sale], buyer: str, amount: int, serial: int | None = None
    ) -> tuple[Sale, dict[str, Template]]:
        """A sale and its transactions, as the design has them."""
        channel = Channel(buyer, amount, 0)
        parent = chain[-1].link if chain else self.state
        if self.plot.sales == "replace":
            # Each sale replaces the one before, on the leaf's own output: the links differ in their names only.
            parent = self.state
        sale = Sale(self.state, 3, len(chain) if serial is None else serial, parent, channel)
        if self.plot.sales == "sibling":
            return sale, self._from_sibling(catalog, sale)
        new = dict(link(self.terms, sale, catalog[sale.outpoint.transaction].outputs[sale.outpoint.index]).templates)
        if self.plot.sales == "replace" and chain:
            new = self._with_earlier(new, sale, chain)
        return sale, new

    def _from_sibling(self, catalog: Mapping[str, Template], sale: Sale) -> dict[str, Template]:
        """The link spends the *other* client's channel and sells from it (P1143 'Against Internal Splicing')."""
        other = 1 if sale.channel.client == "A" else 0
        spent = catalog[self.state].outputs[other]
        amount = sale.channel.capacity
        made = link(
            self.terms,
            replace(sale, parent=self.state),
            replace(spent, role=Role.STOCK, signers=spent.signers | {sale.channel.client}),
        )
        whole = made.templates[sale.link]
        outputs = (whole.outputs[0], replace(spent, amount=spent.amount - amount))
        link_ = replace(whole, spends=(Spend(Outpoint(self.state, other)),), outputs=outputs, signers=spent.signers)
        kept = {n: t for n, t in made.templates.items() if t.spends[0].outpoint == Outpoint(sale.link, 0)}
        below = {n: t for n, t in made.templates.items() if t.spends[0].outpoint.transaction in kept}
        return {sale.link: link_, **kept, **below}

    def _with_earlier(self, new: dict[str, Template], sale: Sale, chain: list[Sale]) -> dict[str, Template]:
        """The replacing link pays the channels of all earlier sales too."""
        earlier = chain[-1]
        first = new[sale.link]
        channel = Output(
            Role.CHANNEL,
            earlier.channel.capacity,
            frozenset({earlier.channel.client, LSP}),
            owner=earlier.channel.client,
        )
        stock = replace(first.outputs[1], amount=first.outputs[1].amount - channel.amount)
        changed = dict(new)
        changed[sale.link] = replace(first, outputs=(first.outputs[0], stock, channel))
        close = Template(
            f"commitment:{earlier.channel.client}@{sale.link}",
            Kind.COMMITMENT,
            (Spend(Outpoint(sale.link, 2)),),
            (Output(Role.WALLET, channel.amount, frozenset({channel.owner}), owner=channel.owner),),
            channel.signers,
            holder=LSP,
        )
        changed[close.name] = close
        return {n: t for n, t in changed.items() if t.kind is not Kind.ALTERNATE or t.spends[0].outpoint.index == 0}

    def _poisoned_ancestors(self, catalog: Mapping[str, Template], chain: list[Sale]) -> dict[str, Template]:
        """A wrong design: an earlier link is taken for superseded by the next one (Q-STK-4)."""
        if self.plot.poison != "links" or len(chain) < 2:
            return {}
        return dict(poisons(self.terms, [catalog[chain[-2].link]]))

    def _lsp_parts(self, catalog: Mapping[str, Template], chain: list[Sale]) -> Iterator[tuple[frozenset[str], int]]:
        """For the LSP: its side of each channel, and what is left of the shared stock."""
        for number, client in enumerate(self.tree.clients):
            side = 0 if client == "A" else CAPACITY - START
            yield self.below(catalog, Outpoint(self.state, number)), side
            if client == "B":
                yield self.below(catalog, self.base), STOCK - sum(sale.channel.capacity for sale in chain)

    @staticmethod
    def below(catalog: Mapping[str, Template], outpoint: Outpoint) -> frozenset[str]:
        """Everything that spends an output, or what spends it."""
        found: set[str] = set()
        wanted = {outpoint}
        for template in catalog.values():
            if any(spend.outpoint in wanted for spend in template.spends):
                found.add(template.name)
                wanted |= {template.outpoint(index) for index in range(len(template.outputs))}
        return frozenset(found)

    # -- what the stock's table lets them sell -------------------------------------------------------------------------

    def side(self, me: str) -> Stock:
        """One party's view of the shared stock, unsold."""
        return Stock("unsold", me, LSP, frozenset({"A", "B"}), STOCK, str(self.base), 1, self.state)

    def event(
        self, name: str, by: str, catalog: Mapping[str, Template], chain: list[Sale], sale: Sale, price: int = 0
    ) -> Event:
        """What a sale for ``price`` (units) tells its signers, under any name: every field that some row asks for."""
        spent = catalog.get(sale.outpoint.transaction)
        left = (spent.outputs[sale.outpoint.index].amount if spent else STOCK) - sale.channel.capacity
        path = self.version(0).path("A")
        room = cover(catalog, path, CAPACITY, chain, sale) if spent else STOCK
        kit = frozenset({sale.link})
        return Event.of(
            name, by, label=sale.link, link=sale.link, message=sale.link, digest=sale.link, outpoint=str(sale.outpoint),
            buyer=sale.channel.client, capacity=sale.channel.capacity, given=sale.channel.to_client, price=price,
            cost=0, cover=room, left=left, tip=str(Outpoint(sale.link, 1)), kit=kit, to_sign=kit, life="active",
            newest=True, height=0, dying_at=1, online=frozenset({"A", "B"}), exit_blocks=1, ceiling=1, end=1, attempt=1,
            most=0,
        )  # fmt: skip

    def offered(self, catalog: Mapping[str, Template], chain: list[Sale], sale: Sale, side: Stock) -> Stock | None:
        """The LSP offers the sale, or a client takes the offer; None when its table refuses."""
        mine = side.me == sale.channel.client
        asking = replace(side, wanted=sale.channel.capacity, most=0) if mine else side
        name = "sell" if side.me == LSP else "sale_offer"
        try:
            return step(self.machine, asking, self.event(name, LSP, catalog, chain, sale)).context
        except Refused:
            return None

    def agree(
        self, catalog: Mapping[str, Template], chain: list[Sale], sale: Sale, sides: Mapping[str, Stock], amount: int
    ) -> dict[str, Stock] | None:
        """Everybody's view after the sale is complete; None when somebody's table refuses it."""
        if self.plot.sales != "chain":
            return dict(sides)
        after: dict[str, Stock] = {}
        for name, side in sides.items():
            offered = self.offered(catalog, chain, sale, side)
            if offered is None or offered.pending is None:
                return None
            sold = Sold(sale.link, sale.link, sale.channel.client, amount, amount, 0, offered.pending.kit)
            record = (str(sale.outpoint), SLOT, sale.link)
            after[name] = replace(
                offered,
                status="chained",
                pending=None,
                links=(*side.links, sold),
                left=offered.pending.left,
                tip=offered.pending.tip,
                records=side.records | {record},
            )
        return after

    def _second_link(self) -> Iterator[Stop]:
        """B has signed A's link, which the LSP keeps back; then the LSP offers B another, for the same output."""
        if self.plot.sales != "chain":
            return
        catalog = dict(self.version(0).templates)
        first, new = self.sell(catalog, [], "A", 5)
        second, other = self.sell(catalog, [], "B", 5, serial=1)
        signed = self.side("B")
        offered = self.offered(catalog, [], first, signed)
        if offered is None:
            return
        record = (str(first.outpoint), SLOT, first.link)
        kept = frozenset() if self.plot.records == "lost" else frozenset({record})
        asked = replace(offered, records=kept)
        if self.plot.records == "lost":
            asked = replace(self.side("B"), records=kept)
        if self.offered(catalog, [], second, asked) is None:
            return
        catalog.update({**new, **other})
        lost = "; B restores an old backup, which does not know that" if self.plot.records == "lost" else ""
        story = (
            "everybody signs the first version, and the funding is in block 0",
            f"B signs the link of A's purchase of 5 units{lost}",
            f"{LSP} sells 5 units to B from the same output, and B is paid that much there",
        )
        yield Stop(SALES, story, catalog, frozenset(catalog), {"B": START + 5}, {})

    def _phantom(self) -> Iterator[Stop]:
        """A's purchase is broken off; the LSP offers B a link on the link that nobody completed (Q-STK-5)."""
        if self.plot.sales != "chain":
            return
        catalog = dict(self.version(0).templates)
        first, new = self.sell(catalog, [], "A", 3)
        second, other = self.sell({**catalog, **new}, [first], "B", 2)
        if self.offered({**catalog, **new}, [], second, self.side("B")) is None:
            return
        catalog.update({**new, **other})
        story = (
            "everybody signs the first version, and the funding is in block 0",
            f"{LSP} breaks A's purchase off before its link is complete",
            f"{LSP} sells 2 units to B from what that link would have left, and B is paid that much there",
        )
        yield Stop(SALES, story, catalog, frozenset(catalog) - set(new), {"B": START + 2}, {})

    # -- updates and poison --------------------------------------------------------------------------------------------

    def updates(self) -> Iterator[Stop]:
        """Every stop of an update, and what three versions in a row come to."""
        for hero, balances in (("A", (START, 8, 9)), (LSP, (START, 2, 1))):
            yield from self._stops(hero, balances)
        yield from self._restarted((START, 8, 9))
        if self.plot.life == "extended":
            yield from self._extended()

    def _stops(self, hero: str, balances: tuple[int, ...]) -> Iterator[Stop]:
        """An update of the leaf that gives ``hero`` more, stopped after each step of its ceremony."""
        old, new = (self.version(index, balances[index], LITTLE) for index in (0, 1))
        poison, penalties = self.poison(old), self._penalties(old)
        newest = self.poison(new) if self.plot.poison in SECRETS else {}
        catalog = {**old.templates, **new.templates, **poison, **newest, **penalties}
        # Nobody signs a state before it holds all that hangs on it (D-4): the state alone can be kept back.
        state = frozenset(
            name for name, one in new.templates.items() if one.kind is Kind.STATE and name not in old.templates
        )
        parts_of = (old.templates, new.templates, state, poison, newest, penalties)
        names = Names(*(frozenset(part) for part in parts_of))
        for at in steps(self.plot.poison, names, hero == LSP):
            counted, complete, story = at.counted, at.complete, at.story
            balance = balances[1] if counted else balances[0]
            owed = {hero: balance if hero != LSP else 0}
            missing = {"A": at.kept} if hero == "A" else {}
            parts: tuple[tuple[frozenset[str], int], ...] = ()
            if hero == LSP:
                parts = tuple(self._version_parts(catalog, CAPACITY - balance))
            yield Stop(STOPS, story, catalog, complete, owed, missing, parts=parts)
            if counted and hero == "A":
                sure = min(balance, CAPACITY + LITTLE // 2)
                yield Stop(OLD, story, catalog, complete, {hero: sure}, missing, poor=frozenset({hero}))

    def _version_parts(
        self, catalog: Mapping[str, Template], side: int, stock: int = LITTLE
    ) -> Iterator[tuple[frozenset[str], int]]:
        """For the LSP: A's channel, and the shared stock, in whichever version confirms (units)."""
        states = [name for name, template in catalog.items() if template.kind is Kind.STATE]
        for number, owed in ((0, side), (3, stock)):
            yield frozenset().union(*(self.below(catalog, Outpoint(name, number)) for name in states)), owed

    def poison(self, old: Blueprint) -> dict[str, Template]:
        """The poison of a version's outputs, of those that the design poisons."""
        state = old.templates[old.path("A")[-1]]
        roles = {"none": set(), "stock": {Role.STOCK}}.get(self.plot.poison, {Role.STOCK, Role.CHANNEL})
        made = poisons(self.terms, [state])
        return {name: one for name, one in made.items() if state.outputs[one.spends[0].outpoint.index].role in roles}

    def _penalties(self, old: Blueprint) -> dict[str, Template]:
        """What a client takes of the LSP's old commitment once that is revoked (D-15)."""
        if channels_left(self.plot.poison):
            return {}
        lsps = (t for t in old.templates.values() if t.kind is Kind.COMMITMENT and t.holder == LSP)
        return penalties(lsps)

    def _restarted(self, balances: tuple[int, ...]) -> Iterator[Stop]:
        """Three versions: the third at the next index, or at index 0 again on the same output (Q-DW-1)."""
        versions = [self.version(index, balance, LITTLE, index) for index, balance in enumerate(balances)]
        catalog: dict[str, Template] = {}
        for version in versions[:2]:
            # An alternate above the leaf stands as it was signed first.
            catalog = {**version.templates, **catalog}
        third = versions[2].templates
        if self.plot.counters == "restart":
            third = self._again(self.version(0, balances[2], LITTLE, 2).templates)
        catalog = {**third, **catalog}
        index = 0 if self.plot.counters == "restart" else 2
        story = (
            "everybody signs the first version, and the funding is in block 0",
            "an update gives A more, with index 1",
            f"another gives A more still, with index {index} on the same output",
        )
        parts = tuple(self._version_parts(catalog, CAPACITY + 2 - balances[2], LITTLE - 2))
        yield Stop(UPDATED, story, catalog, frozenset(catalog), {"A": balances[2], LSP: 0}, {}, parts=parts)

    def _extended(self) -> Iterator[Stop]:
        """A wrong design: the next version is signed with a later end, and everybody counts on that (Q-TIME-4)."""
        old = self.version(0, START, LITTLE)
        end = self.terms.locks.end
        later = replace(self.terms, locks=replace(self.terms.locks, end=2 * end))
        new = build(later, {**fresh_versions(self.tree), "r": 1}, old.contents).templates
        moved = {
            f"{name}~2": replace(template, name=f"{name}~2")
            for name, template in new.items()
            if template.kind is Kind.ALTERNATE and name in old.templates
        }
        catalog = {**old.templates, **{n: t for n, t in new.items() if n not in old.templates}, **moved}
        story = (
            "everybody signs the first version, and the funding is in block 0",
            f"an update signs the same balances anew, with the end at {2 * end} instead of {end}",
        )
        parts = tuple(self._version_parts(catalog, CAPACITY - START))
        yield Stop(UPDATED, story, catalog, frozenset(catalog), {LSP: 0}, {}, parts=parts, idle_until=end + 1)

    def _again(self, templates: Mapping[str, Template]) -> dict[str, Template]:
        """The same transactions under other names, from the state on."""
        below = {self.state, *(n for i in range(5) for n in self.below(templates, Outpoint(self.state, i)))}

        def named(name: str) -> str:
            return f"{name}~2" if name in below else name

        return {
            named(name): replace(
                template,
                name=named(name),
                spends=tuple(
                    replace(s, outpoint=Outpoint(named(s.outpoint.transaction), s.outpoint.index))
                    for s in template.spends
                ),
            )
            for name, template in templates.items()
        }

    # -- games ---------------------------------------------------------------------------------------------------------

    def games(self, stop: Stop) -> Iterator[Arena]:
        """What each party that counts on something plays from this stop."""
        for hero, owed in stop.owed.items():
            if hero == LSP:
                for counted, part in stop.parts:
                    if part > 0:
                        yield replace(self._arena(stop, hero, part), counted=counted)
                continue
            yield self._arena(stop, hero, owed, coins=hero not in stop.poor)
            if hero in stop.waiting:
                patient = self._arena(stop, hero, owed)
                yield replace(patient, idle_until=self.terms.locks.end + 1, punctual=False)

    def _arena(self, stop: Stop, hero: str, owed: int, *, coins: bool = True) -> Arena:
        lsp = hero == LSP
        number = {name: int(value) for name, value in self.values.items() if isinstance(value, int)}
        holds, others = self._hands(stop, hero)
        templates = tuple(stop.catalog.values())
        return Arena(
            templates=templates,
            hero=hero,
            owed=owed,
            hero_holds=holds,
            adversary_holds=others,
            affordable=affordable(templates, hero, coins),
            absence=number["lsp_absence_blocks" if lsp else "absence_blocks"],
            exit_absence=number["lsp_absence_blocks" if lsp else "exit_absence_blocks"],
            confirmation=number["confirmation_blocks"],
            coins={Outpoint(FUNDING, 0): 0},
            idle_until=max(
                stop.idle_until,
                number["active_blocks"] + number["dying_blocks" if lsp else "signing_absence_blocks"],
            ),
            punctual=not lsp,
        )

    def _hands(self, stop: Stop, hero: str) -> tuple[frozenset[str], frozenset[str]]:
        """What the hero can publish, and what the others can."""
        holds: set[str] = set()
        others: set[str] = set()
        for name, template in stop.catalog.items():
            if template.kind is Kind.FUNDING:
                continue
            alone = template.signers == {hero}
            gets = hero in template.signers and template.holder in ("", hero) and name in stop.complete
            revoked = template.kind is not Kind.PENALTY or name in stop.complete
            if (alone and revoked) or (gets and name not in stop.missing.get(hero, frozenset())):
                holds.add(name)
            theirs = hero not in template.signers and revoked and self._possible(stop, template, hero)
            if theirs or (name in stop.complete and template.holder != hero and not alone):
                others.add(name)
        return frozenset(holds), frozenset(others)

    def _possible(self, stop: Stop, template: Template, hero: str) -> bool:
        """Whether the others hold a transaction that the hero does not sign: always, once its design has it."""
        return template.name in stop.complete or template.kind in (Kind.COMMITMENT, Kind.SWEEP, Kind.EXPIRY)
