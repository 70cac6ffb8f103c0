"""From a scene to games on the chain: what the hero holds there, what the others can complete, what is owed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from superscalar_ref.check.arena import Arena, affordable, owner_payout
from superscalar_ref.check.explore import Scene
from superscalar_ref.check.game import Policy
from superscalar_ref.check.trace import Hands
from superscalar_ref.check.world import World
from superscalar_ref.protocol.strategy import Strategy, View, decide
from superscalar_ref.protocol.transaction import Kind, Role


def counts(scene: Scene) -> bool:
    """Whether the hero has something at stake in this scene."""
    return scene.owed > 0 and scene.funded


def held(world: World, scene: Scene) -> frozenset[str]:
    """What the hero can publish: what it holds and is complete indeed, and what it alone signs."""
    return (scene.party.signer.held & scene.genuine) | world.by_itself()


def coverage(world: World, scene: Scene) -> int:
    """The least that any commitment that the others may publish pays the hero (units).

    A client without coins cannot answer an older state. What it is sure of is what the worst commitment that it ever
    signed pays; nothing here poisons an older state.
    """
    paid = [
        owner_payout(world.catalog[name], world.hero)
        for name in scene.released
        if world.catalog[name].kind is Kind.COMMITMENT
    ]
    return min(paid, default=0)


def arena(world: World, scene: Scene, coins: bool = True) -> Arena:
    """The game that starts when nothing more is signed after ``scene``."""
    before, during = world.absences
    owed = scene.owed if coins else min(scene.owed, coverage(world, scene))
    templates = tuple(world.catalog.values())
    return Arena(
        templates=templates,
        hero=world.hero,
        owed=owed,
        hero_holds=held(world, scene),
        adversary_holds=scene.released | world.without_hero(),
        affordable=affordable(templates, world.hero, coins),
        absence=before,
        exit_absence=during,
        confirmation=int(world.values["confirmation_blocks"]),
        coins={} if scene.elsewhere else {world.root_of(scene.counts_on): scene.late},
        height=scene.late,
        idle_until=scene.late + world.deadline,
        punctual=world.role == "client",
    )


def by_leaf(world: World, scene: Scene, game: Arena) -> list[Arena]:
    """For the LSP, one game for each leaf: what it is owed there, from what pays it there.

    The leaves do not touch each other, and a fixed strategy that is sure of each part is sure of the whole; whoever
    cannot be sure of a part cannot be sure of the whole. For a client the game itself.
    """
    if world.role == "client" or scene.counts_on is None:
        return [game]
    games = []
    for node in world.tree.leaves():
        leaf = scene.counts_on.blueprint.contents[node.path]
        owed = sum(channel.to_lsp for channel in leaf.channels) + sum(leaf.stocks)
        counted = frozenset(name for name in world.catalog if world.concerns(name) & set(node.clients))
        games.append(replace(game, owed=owed, counted=counted))
    return games


def never_back(game: Arena, end: int) -> Arena:
    """The same game for a hero that does not look at the chain before the block after ``end``."""
    return replace(game, asleep_until=end + 1, punctual=False)


def one_visit(game: Arena, kinds: frozenset[Kind], blocks: int) -> Arena:
    """The same game for a hero that comes once, at its deadline; until then a tower publishes what is of ``kinds``.

    The deadline and the end are so many ``blocks`` later: time for all others to play to the end in before it comes.
    """
    kept = frozenset(t.name for t in game.templates if t.kind in kinds)
    later = tuple(replace(t, lock_time=t.lock_time + blocks) if t.lock_time else t for t in game.templates)
    comes = game.idle_until + blocks
    return replace(game, templates=later, idle_until=comes, stand_in=kept, stand_in_until=comes, punctual=True)


def by_the_end(game: Arena, end: int) -> Arena:
    """The same game, won only when the hero's own side is beyond reach of the end's default in block ``end``."""
    without = frozenset(t.name for t in game.templates if t.kind is Kind.ALTERNATE)
    owns = frozenset({Role.WALLET, Role.DELAYED})
    return replace(game, hero_holds=game.hero_holds - without, owns=owns, horizon=end)


def newest_only(game: Arena) -> Arena:
    """The same game, lost when a state is mined that is older than the newest that the hero holds for that outpoint."""
    states = [t for t in game.templates if t.kind is Kind.STATE]
    newest: dict[object, int] = {}
    for template in states:
        if template.name in game.hero_holds:
            spend = template.spends[0]
            lock = spend.relative_lock or 0
            newest[spend.outpoint] = min(lock, newest.get(spend.outpoint, lock))
    older = frozenset(
        t.name for t in states if (t.spends[0].relative_lock or 0) > newest.get(t.spends[0].outpoint, 1 << 30)
    )
    return replace(game, forbidden=older)


def hands(world: World, scene: Scene, affordable: Iterable[str] | None = None) -> Hands:
    """Who can publish what after ``scene``; ``affordable``: what the hero can get mined by itself, None for all."""
    offers = [offer for offer in (scene.counts_on, scene.offered) if offer is not None]
    kit = frozenset[str]().union(*(offer.kit for offer in offers))
    hero, others = held(world, scene), scene.released | world.without_hero()
    root = world.root_of(scene.counts_on).transaction
    reachable = {root}
    for name, template in world.catalog.items():
        if name in hero | others and all(spend.outpoint.transaction in reachable for spend in template.spends):
            reachable.add(name)
    hero, others = hero & reachable, others & reachable
    wanted = {root, *hero, *others, *kit}
    for name in reversed(world.catalog):
        if name in wanted:
            wanted |= {spend.outpoint.transaction for spend in world.catalog[name].spends}
    templates = tuple(template for name, template in world.catalog.items() if name in wanted)
    unpaid = frozenset() if affordable is None else hero - frozenset(affordable)
    return Hands(hero, others, unpaid, kit, templates, scene.elsewhere)


def policy(strategy: Strategy, world: World, game: Arena) -> Policy:
    """The prescribed strategy as a policy of ``game``."""
    by_name = {t.name: t for t in game.templates}
    holds = {name: by_name[name] for name in sorted(game.hero_holds)}
    root = next(iter(game.coins), world.root)

    def follow(unspent: object, next_height: int, pending: frozenset[str]) -> tuple[str, ...]:
        view = View(
            world.role,
            root,
            holds,
            unspent,  # type: ignore[arg-type]  # a mapping, by the type of Policy
            next_height,
            game.idle_until,
            pending,
            game.affordable,
        )
        return decide(strategy, view)

    return follow
