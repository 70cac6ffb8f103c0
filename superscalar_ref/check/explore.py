"""The off-chain part: everything that one honest party can be brought to sign, hold and count on.

The hero is a ``protocol.participant`` that steps through the tables of ``spec/``; nothing here knows a rule of its own.
All other parties are the adversary: it sends any message for which it has the keys, in any order, stops after any
message, and crashes the hero between any two turns (between any two actions: ``ceremony``). Each *scene* that is
reached says what the hero holds, what it has let go, and what it is owed: that is a game on the chain (``arena``).

Two reductions, both shown equal to the full search on a small configuration:

* **Greedy**: the adversary takes every partial signature that the hero is ready to give. More in the adversary's hands
  never makes the game better for the hero, and signing forbids nothing but another message for the same outpoint and
  slot (which is why conflicting offers are still tried in every order).
* **Stingy**: it delivers complete signatures to the hero only where that makes the hero sign more, or lets it count a
  version. More in the hero's hands never makes the game worse for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from superscalar_ref.check.world import LSP, Offer, World
from superscalar_ref.errors import Refused
from superscalar_ref.machine.types import Action, Event
from superscalar_ref.protocol.blueprint import FUNDING, Terms
from superscalar_ref.protocol.client import Client, Limits
from superscalar_ref.protocol.factory import Factory
from superscalar_ref.protocol.odometer import Odometer
from superscalar_ref.protocol.participant import (
    Machines,
    Participant,
    Signer,
    deliver,
    durable,
    live,
    recover,
    with_tasks,
)
from superscalar_ref.protocol.transaction import Kind

DEPTH = 1
"""Confirmations after which a transaction is treated as final: reorgs are not part of these games."""
Versions = tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Scene:
    """One reachable situation of the hero."""

    party: Participant
    released: frozenset[str] = frozenset()
    """Templates that the others can complete, because the hero's signature left it."""
    genuine: frozenset[str] = frozenset()
    """Templates whose every signature reached the hero and is valid."""
    counted: Versions = ()
    """Indices of the version that the hero counts on."""
    counts_on: Offer | None = None
    """That version."""
    offered: Offer | None = None
    """What is being signed."""
    offered_versions: Versions = ()
    serial: int = 0
    """How many versions were offered so far."""
    owed: int = 0
    """What the hero is entitled to (units); 0: nothing yet."""
    funded: bool = False
    """The factory's coin is on chain, or the others can put it there."""
    elsewhere: bool = False
    """The coin that is on chain is not the one that the hero's transactions spend."""
    late: int = 0
    """Height at which the factory was agreed, when the LSP came late with its proposal (blocks)."""
    terms: str = ""
    """Empty when the factory has the terms that it should; else which others (``World.other_terms``)."""
    closing: str = ""
    """The cooperative close that the hero has agreed to."""

    @property
    def key(self) -> object:
        """Two scenes with the same key have the same future and the same games."""
        sessions = self.party.signer.sessions
        return (
            self.party.life,
            self.party.signer.held,
            self.party.signer.records,
            self.party.signer.tree_on_chain,
            frozenset((n, s.status) for n, s in sessions.items() if s.status not in ("complete", "unopened")),
            self.released,
            self.genuine,
            self.counted,
            self.counts_on,
            self.offered,
            self.owed,
            self.funded,
            self.elsewhere,
            self.closing,
            self.late,
        )


@dataclass(frozen=True)
class Reached:
    """A scene with the shortest way to it."""

    scene: Scene
    story: tuple[str, ...]


@dataclass(frozen=True)
class Exploration:
    """All scenes that can be reached."""

    scenes: tuple[Reached, ...]
    edges: int
    depth: int
    """Longest of the shortest ways (moves)."""
    fired: frozenset[str]
    """Ids of the transitions that were taken."""


class Explorer:
    """Breadth-first search over scenes."""

    def __init__(self, world: World, tables: Machines, stingy: bool = True) -> None:
        self.world = world
        self.tables = tables
        self.stingy = stingy

    def run(self) -> Exploration:
        """Explore from before the first message."""
        start = self.opening()
        reached = [Reached(start, ())]
        seen = {start.key}
        edges = depth = 0
        for here in reached:
            for says, scene in self.moves(here.scene):
                edges += 1
                if scene.key not in seen:
                    seen.add(scene.key)
                    reached.append(Reached(scene, (*here.story, says)))
                    depth = max(depth, len(here.story) + 1)
        return Exploration(tuple(reached), edges, depth, frozenset())

    # The hero's steps

    def _live(self, scene: Scene, event: Event) -> Scene | None:
        """The scene after an event of the hero's life; None when its table refuses it."""
        try:
            party, turn = live(self.tables, scene.party, event)
        except Refused:
            return None
        return self._after(replace(scene, party=party), turn.actions)

    def _after(self, scene: Scene, actions: Iterable[Action]) -> Scene:
        """Account for what left the hero, then let the adversary collect every signature that it can get."""
        scene = self._account(scene, actions)
        while True:
            events = list(self._collecting(scene))
            if not events:
                return scene
            party, turn = deliver(self.tables, scene.party, events)
            after = self._account(replace(scene, party=party), turn.actions)
            if after.key == scene.key:
                return after
            scene = after

    def _account(self, scene: Scene, actions: Iterable[Action]) -> Scene:
        released = set(scene.released)
        for action in actions:
            if action.kind == "send" and action.name in ("partial", "signature"):
                released.add(str(action["transaction"]))
            if action.kind == "broadcast" and action.name == "funding":
                scene = replace(scene, funded=True)
        return self._counted(replace(scene, released=frozenset(released)))

    def _counted(self, scene: Scene) -> Scene:
        """What the hero is entitled to after its last step."""
        life, offer = scene.party.life, scene.offered
        if offer is not None and life.version == offer.version and not life.pending:
            promised = life.promised if isinstance(life, Client) else 0
            owed = max(scene.owed, offer.owed, promised)
            funded = scene.funded or isinstance(life, Client)
            return replace(
                scene, owed=owed, funded=funded, counted=scene.offered_versions, counts_on=offer, offered=None
            )
        return scene

    def _collecting(self, scene: Scene) -> Iterator[tuple[str, Event]]:
        """Messages that make the hero sign and that give nothing away: nonces."""
        asked = self._asked(scene)
        for name, session in scene.party.signer.sessions.items():
            if session.status in ("unopened", "aborted") and name in asked:
                yield name, Event.of("open", self.world.hero, attempt=session.attempt + 1)
            if session.status != "open":
                continue
            collector = session.task.collector
            if collector != self.world.hero:
                yield name, Event.of("aggregate_nonce", collector, attempt=session.attempt)
            else:
                for other in sorted(session.others):
                    yield name, Event.of("nonce", other, attempt=session.attempt)

    def _asked(self, scene: Scene) -> frozenset[str]:
        """The transactions whose sessions the hero opens when it is told to begin."""
        status = scene.party.life.status
        if scene.closing:
            return frozenset({scene.closing}) if status in ("closing", "close_signing") else frozenset()
        if scene.offered is None or status not in ("signing", "updating", "update_signing"):
            return frozenset()
        if self.world.role == "lsp" and status == "updating":
            return frozenset()
        return scene.offered.to_sign - scene.party.signer.held

    # Deliveries

    def _completions(self, scene: Scene, names: Iterable[str], valid: bool) -> list[tuple[str, Event]]:
        """The messages that complete ``names`` in the hero's hands, as far as the adversary can send them."""
        events = []
        for name in sorted(names):
            session = scene.party.signer.sessions.get(name)
            if session is None or session.status == "complete":
                continue
            collector = session.task.collector
            if collector == self.world.hero:
                if session.status == "signed":
                    events += [
                        (name, Event.of("partial", other, attempt=session.attempt, valid=valid))
                        for other in sorted(session.others)
                    ]
            elif self.world.hero in session.task.holders and (name in scene.released or not valid):
                events.append((name, Event.of("signature", collector, valid=valid)))
        return events

    def _deliver(self, scene: Scene, names: Iterable[str], valid: bool = True) -> Scene | None:
        """Deliver what completes ``names``, children before parents, until nothing moves; None if nothing did."""
        names = frozenset(names)
        moved = None
        while True:
            events = self._completions(scene, names, valid)
            if not events:
                return moved
            before = scene.party.signer.held
            party, turn = deliver(self.tables, scene.party, events)
            gained = party.signer.held - before
            if not gained:
                return moved
            genuine = scene.genuine | (gained if valid else frozenset())
            scene = moved = self._after(replace(scene, party=party, genuine=genuine), turn.actions)

    def _deliveries(self, scene: Scene) -> Iterator[tuple[str, Scene]]:
        signer = scene.party.signer
        # Sessions of the version or close that is being signed.
        open_ones = frozenset(n for n, s in signer.sessions.items() if s.status in ("open", "nonces_in", "signed"))
        if not open_ones:
            return
        if not self.stingy:
            groups = [frozenset({name}) for name in sorted(open_ones)]
        elif self.world.role == "client":
            groups = [signer.sessions[name].task.needs for name in self._tree(open_ones)]
        else:
            # A transaction whose parent nobody can complete cannot be published, whoever holds it.
            reachable = scene.released | {FUNDING}
            tops = [n for n in self._tree(open_ones) if self.world.parent(n) in reachable]
            groups = [group for n in tops for group in (frozenset({n}), self._below(scene, n))]
        for group in dict.fromkeys(groups):
            after = self._deliver(scene, group)
            if after is not None:
                yield f"{self._other()} {_list(group & open_ones)}", after
        after = self._deliver(scene, open_ones)
        if after is not None:
            yield f"{self._other()} every signature", after
        after = self._deliver(scene, open_ones, valid=False)
        if after is not None:
            yield f"{self._other()} signatures that do not verify", after

    def _tree(self, names: Iterable[str]) -> list[str]:
        return [n for n in sorted(names) if self.world.catalog[n].kind in (Kind.KICKOFF, Kind.STATE, Kind.CLOSE)]

    def _below(self, scene: Scene, name: str) -> frozenset[str]:
        """A transaction and all that its signer is to hold below it."""
        session = scene.party.signer.sessions.get(name)
        needs = session.task.needs if session is not None else frozenset()
        return frozenset({name}).union(*(self._below(scene, child) for child in needs))

    def _other(self) -> str:
        return f"{LSP} delivers" if self.world.role == "client" else "the clients deliver"

    # Moves

    def opening(self) -> Scene:
        """The hero before the first message."""
        world = self.world
        if world.role == "client":
            # The terms are what is judged here: the hero accepts them, and the games tell what becomes of it.
            accepted = frozenset({world.terms.end_rule()})
            reaction = min(world.reaction, world.terms.shortest_lock() - 1)
            limits = Limits(2016, 0, world.terms.locks.end, DEPTH, reaction, accepted)
            return Scene(Participant(Client("invited", world.hero, LSP, limits), Signer(world.hero)))
        clients, active = frozenset(world.tree.clients), int(world.values["active_blocks"])
        odometer = Odometer.new(world.tree, world.terms.locks.states)
        life = Factory("gathering", LSP, clients, DEPTH, active, odometer=odometer)
        return Scene(Participant(life, Signer(LSP)))

    def _exit_blocks(self) -> int:
        return int(self.world.values["exit_budget_blocks"])

    def moves(self, scene: Scene) -> Iterator[tuple[str, Scene]]:
        """Everything that the adversary can make happen to the hero, and what the hero may do by itself."""
        yield from self._deliveries(scene)
        yield from (self._client_moves(scene) if self.world.role == "client" else self._lsp_moves(scene))
        if scene.party.signer.sessions:
            yield f"{self.world.hero} crashes and starts again", self._restarted(scene)

    def _restarted(self, scene: Scene) -> Scene:
        """The hero as it comes back: what it had stored, and the sessions of what it was signing, not opened."""
        party = recover(durable(scene.party))
        if scene.offered is not None:
            tasks = self.world.tasks(scene.offered, scene.offered.to_sign - party.signer.held)
            party = replace(party, signer=with_tasks(party.signer, tasks))
        if scene.closing and scene.closing not in party.signer.held:
            assert scene.counts_on is not None
            tasks = self.world.tasks(scene.counts_on, frozenset({scene.closing}))
            party = replace(party, signer=with_tasks(party.signer, tasks))
        return self._after(replace(scene, party=party), ())

    def _client_moves(self, scene: Scene) -> Iterator[tuple[str, Scene]]:
        world, status = self.world, scene.party.life.status
        first = world.first_versions()
        if status == "invited":
            promised = world.offer(first, 0).owed
            yield from self._event(scene, f"{LSP} invites", Event.of("invitation", LSP, balance=promised))
        for says, versions, offer, elsewhere, height in self._first_offers(first, status):
            event = self._proposal(offer, world.terms, height, "elsewhere" if elsewhere else "funding")
            yield from self._offer(replace(scene, elsewhere=elsewhere, late=height), says, event, offer, versions, 0)
        for name, terms in world.other_terms().items() if status == "verifying" else ():
            # Only a client that accepts such terms needs their transactions.
            if self._live(scene, self._proposal(world.offer(first, 0), terms)) is None:
                continue
            offer = world.offer(first, 0, terms=name)
            says = f"{LSP} proposes a factory with a {name}"
            yield from self._offer(replace(scene, terms=name), says, self._proposal(offer, terms), offer, first, 0)
        if status == "holding":
            yield from self._event(
                scene, "the funding transaction is deep", Event.of("funding_confirmed", "chain", depth=DEPTH)
            )
        if scene.counted:
            yield from self._updates(scene, "update_proposal", LSP)
            yield from self._event(scene, f"{world.hero} gives the update up", Event.of("update_aborted", world.hero))
            yield from self._client_closes(scene)

    def _proposal(self, offer: Offer, terms: Terms, height: int = 0, claimed: str = "funding") -> Event:
        return Event.of(
            "proposal",
            LSP,
            version=offer.version,
            balance=offer.owed,
            kit=offer.kit,
            to_sign=offer.to_sign,
            funding_claimed=claimed,
            funding_computed="funding",
            exit_blocks=self._exit_blocks(),
            height=height,
            end=terms.locks.end,
            shortest_lock=terms.shortest_lock(),
            end_default=terms.end_rule(),
        )

    def _first_offers(
        self, first: Mapping[str, int], status: str
    ) -> Iterator[tuple[str, Mapping[str, int], Offer, bool, int]]:
        if status != "verifying":
            return
        yield f"{LSP} proposes the factory", first, self.world.offer(first, 0), False, 0
        yield f"{LSP} proposes a factory that pays one unit less", first, self.world.offer(first, 0, 1), False, 0
        yield f"{LSP} names another funding output than its own terms give", first, self.world.offer(first, 0), True, 0
        # The proposal comes when the end is nearer than it may be.
        late = max(self.world.terms.locks.end - self._exit_blocks(), 1)
        yield f"{LSP} proposes a factory whose end is near", first, self.world.offer(first, 0), False, late

    def _updates(self, scene: Scene, name: str, by: str) -> Iterator[tuple[str, Scene]]:
        world = self.world
        configuration = world.configuration
        if scene.serial >= (configuration.updates if world.role == "client" else configuration.lsp_updates):
            return
        base = dict(scene.counted)
        tried = dict(scene.offered_versions) or base
        serial = scene.serial + 1
        offers: list[tuple[str, str, dict[str, int], Offer]] = []
        for path in world.nodes():
            for start in (tried, base) if world.role == "client" else (tried,):
                versions = world.ticked(start, path)
                if versions is not None:
                    offers.append(
                        (f"offers {_versions(versions)}", path, versions, world.offer(versions, serial, 0, scene.terms))
                    )
                    if world.role == "client":
                        less = world.offer(versions, serial, serial + 1, scene.terms)
                        offers.append(
                            (f"offers {_versions(versions)}, which gives less than it should", path, versions, less)
                        )
        if world.role == "client":
            offers.append((f"offers {_versions(base)} once more", "", base, world.offer(base, serial, 0, scene.terms)))
        done = set()
        for says, path, versions, offer in offers:
            if offer.key in done:
                continue
            done.add(offer.key)
            to_sign = offer.to_sign - scene.party.signer.held
            if world.role == "client":
                event = Event.of(name, by, version=offer.version, balance=offer.owed, kit=offer.kit, to_sign=to_sign)
            else:
                event = Event.of(
                    name,
                    by,
                    node=path,
                    digest=offer.key,
                    version=offer.version,
                    kit=offer.kit,
                    to_sign=to_sign,
                    concerned=frozenset(world.tree.node(path).clients),
                )
            yield from self._offer(scene, f"{by} {says}", event, offer, versions, serial)

    def _offer(
        self, scene: Scene, says: str, event: Event, offer: Offer, versions: Mapping[str, int], serial: int
    ) -> Iterator[tuple[str, Scene]]:
        tasks = self.world.tasks(offer, offer.to_sign - scene.party.signer.held)
        party = replace(scene.party, signer=with_tasks(scene.party.signer, tasks))
        ready = replace(scene, party=party, offered=offer, offered_versions=tuple(versions.items()), serial=serial)
        yield from self._event(ready, says, event)

    def _client_closes(self, scene: Scene) -> Iterator[tuple[str, Scene]]:
        world = self.world
        if scene.closing or scene.offered is not None:
            return
        offer = scene.counts_on
        assert offer is not None
        for less, says in ((0, f"{LSP} proposes a close"), (1, f"{LSP} proposes a close that pays one unit less")):
            close = world.close(offer, less, 1)
            names = frozenset({close.name})
            balance = sum(output.amount for output in close.outputs if output.owner == world.hero)
            party = replace(scene.party, signer=with_tasks(scene.party.signer, world.tasks(offer, names)))
            event = Event.of("close_proposal", LSP, balance=balance, to_sign=names)
            yield from self._event(replace(scene, party=party, closing=close.name), says, event)

    def _lsp_moves(self, scene: Scene) -> Iterator[tuple[str, Scene]]:
        world, life = self.world, scene.party.life
        assert isinstance(life, Factory)
        first = world.first_versions()
        offer = world.offer(first, 0)
        clients = world.tree.clients
        if life.status == "gathering":
            for client in [c for c in clients if c not in life.joined][:1]:
                yield from self._event(scene, f"{client} joins", Event.of("join", client))
            event = Event.of(
                "propose", LSP, digest=offer.key, version=offer.version, kit=offer.kit, to_sign=offer.to_sign
            )
            tasks = world.tasks(offer, offer.to_sign)
            party = replace(scene.party, signer=with_tasks(scene.party.signer, tasks))
            ready = replace(scene, party=party, offered=offer, offered_versions=tuple(first.items()))
            yield from self._event(ready, f"{LSP} proposes", event)
        # The order in which the clients answer changes nothing: each answer only adds its sender to a set.
        for client in [c for c in clients if c not in life.agreed][:1]:
            yield from self._event(scene, f"{client} agrees", Event.of("agreement", client, digest=life.digest))
        for client in [c for c in clients if c not in life.complete][:1]:
            done = Event.of("kit_complete", client, version=life.pending)
            yield from self._event(scene, f"{client} says that its kit is complete", done)
        yield from self._event(scene, f"{LSP} funds", Event.of("fund", LSP))
        if scene.funded:
            confirmed = Event.of("funding_confirmed", "chain", depth=DEPTH, height=0)
            yield from self._event(scene, "the funding transaction is deep", confirmed)
        if scene.counted:
            yield from self._updates(scene, "begin_update", LSP)
            yield from self._event(scene, f"{LSP} gives the update up", Event.of("update_aborted", LSP))

    def _event(self, scene: Scene, says: str, event: Event) -> Iterator[tuple[str, Scene]]:
        after = self._live(scene, event)
        if after is not None:
            yield says, after


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"


def _versions(versions: Mapping[str, int]) -> str:
    return "version " + ".".join(str(index) for index in versions.values())
