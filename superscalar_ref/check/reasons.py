"""Why a rule is there: take it away, and find the shortest way to the loss that it prevents.

A transition is taken apart: each of its guards is dropped, then each effect, then the transition itself. A constraint
is dropped (and every lock becomes as short as the others allow), a rule of the strategy is dropped. What is lost is the
first property that breaks, or a ``sometimes`` that has no example any more: nothing goes wrong if nothing goes on.

Laws of this module:

* Searches come in a fixed order, the cheapest that show money first, and end at the first loss.
* A search that reads nothing of what was taken away is not repeated; neither are games whose scenes, transactions and
  locks are all what they were.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from superscalar_ref.check.configurations import Values, tight_values
from superscalar_ref.check.explore import Explorer, Scene
from superscalar_ref.check.judge import KNOWN, SOMETIMES, TOWERS, Design, Job, jobs
from superscalar_ref.check.meter import Meter
from superscalar_ref.check.running import run_jobs
from superscalar_ref.check.situations import held
from superscalar_ref.check.variants import Search
from superscalar_ref.check.verdict import Verdict
from superscalar_ref.check.world import LSP, Offer, World
from superscalar_ref.errors import InputError, SuperscalarError
from superscalar_ref.protocol.transaction import Template
from superscalar_ref.spec.location import spec_directory
from superscalar_ref.spec.source import Place, read_document
from superscalar_ref.spec.table import Patch, Variant
from superscalar_ref.spec.variants import apply_variant


@dataclass(frozen=True)
class Removal:
    """One thing that is taken away."""

    says: str
    design: Design | None
    """None when the tables cannot even be loaded without it."""
    problem: str = ""
    part: str = ""
    """The guard or effect of a transition that this is about; empty for all of what was asked for."""


@dataclass(frozen=True)
class Reason:
    """What a removal leads to."""

    removal: Removal
    broken: Verdict | None
    """The first property that breaks, with its trace."""
    idle: tuple[str, ...]
    """States that are never reached any more, else properties of which no example is left although they hold."""


def removals(design: Design, identity: str) -> Iterator[Removal]:
    """Everything that can be taken away under ``identity``, a transition, guard, constraint or rule of the strategy.

    Raises ``InputError`` when nothing has that id.
    """
    specification = design.specification
    if any(rule.id == identity for rule in design.strategy.rules):
        yield Removal(f"without the rule {identity}", replace(design, strategy=design.strategy.without(identity)))
        return
    if any(constraint.id == identity for constraint in specification.parameters.constraints):
        yield _patched(design, f"without the constraint {identity}", do="drop_constraint", constraint=identity)
        return
    for machine in specification.machines:
        for row in machine.transitions:
            if row.id != identity:
                continue
            for guard in row.guards:
                says = f"{identity} without the guard '{guard}'"
                yield replace(_patched(design, says, do="drop_guard", transition=identity, guard=guard), part=guard)
            for effect in row.effects:
                says = f"{identity} without the effect '{effect}'"
                yield replace(_patched(design, says, do="drop_effect", transition=identity, effect=effect), part=effect)
            yield _patched(design, f"without {identity}", do="remove_transition", transition=identity)
            return
        if any(identity in row.guards for row in machine.transitions):
            says = f"the machine '{machine.name}' without the guard '{identity}'"
            yield _patched(design, says, do="drop_guard", machine=machine.name, guard=identity)
            return
    known = "a transition (SES-5), a guard (kit_held), a constraint (R-STEP-DOMINATES) or a rule (STR-5)"
    raise InputError(f"'{identity}'", f"is no id here; give {known}", "why")


def _patched(design: Design, says: str, **patch: str) -> Removal:
    place = Place("why", 1)
    variant = Variant("V-WHY", says, says, "", "", "", "", "", (), (), (Patch(place=place, **patch),), place)  # type: ignore[arg-type]
    try:
        return Removal(says, replace(design, specification=apply_variant(design.specification, variant)))
    except SuperscalarError as error:
        return Removal(says, None, str(error))


def unnoticed(design: Design, identity: str, directory: Path | None = None, part: str = "") -> str:
    """What ``spec/unnoticed.toml`` says about an id that no search misses: why, and the test that does miss it.

    ``part`` is the guard or effect that was taken from the transition ``identity``; empty: all of it. Empty when
    it says nothing. Raises ``SpecError`` when the file cannot be read.
    """
    owners = {
        machine.name
        for machine in design.specification.machines
        for row in machine.transitions
        if identity == row.id or identity in row.guards
    }
    rows: Any = read_document(spec_directory(directory) / "unnoticed.toml").data.get("unnoticed", [])
    for row in rows:
        if {identity, part} & set(row.get("ids", ())) or owners & set(row.get("machines", ())):
            return f"{row['why']} It is missed by {row['test']}."
    return ""


@dataclass(frozen=True)
class _Seen:
    """What the games of a job are about: where two of these are equal, so are all verdicts."""

    values: Values
    scenes: frozenset[object]
    """Of each scene, what its games and the hero's kit depend on."""
    catalog: Mapping[str, Template]
    offers: tuple[tuple[Offer, frozenset[str], int], ...]
    statuses: frozenset[str] = field(compare=False)
    """The states of its life that the hero reaches, as ``client: updating``."""


def _seen(design: Design, job: Job) -> _Seen:
    assert job.configuration is not None
    values = tight_values(design.specification.parameters, job.configuration, dict(job.choices))
    world = World(job.configuration, values, job.hero, design.plot)
    scenes = [reached.scene for reached in Explorer(world, design.tables()).run().scenes]
    role = "factory" if job.hero == LSP else "client"
    return _Seen(
        values,
        frozenset(_stake(world, scene) for scene in scenes),
        world.catalog,
        tuple((offer, offer.kit, offer.owed) for offer in world.offers()),
        frozenset(f"{role}: {scene.party.life.status}" for scene in scenes),
    )


def _stake(world: World, scene: Scene) -> object:
    return (
        held(world, scene),
        scene.released,
        scene.counts_on,
        scene.offered,
        scene.owed,
        scene.funded,
        scene.elsewhere,
        scene.late,
    )


class Whole:
    """What the design does before anything is taken away, to compare with; found out where somebody asks."""

    def __init__(self, design: Design, cores: int = 1, meter: Meter | None = None) -> None:
        self.design = design
        self.cores = cores
        self.meter = meter or Meter()
        self.jobs = jobs(design, KNOWN)
        self.seen = {job: _seen(design, job) for job in self.jobs if job.configuration is not None}

    @cached_property
    def verdicts(self) -> dict[Job, list[Verdict]]:
        """What each job says."""
        search = Search(self.design, KNOWN)
        found = run_jobs(search, list(enumerate(self.jobs)), self.cores, True, self.meter)
        return {self.jobs[number]: verdicts for number, verdicts in found}


def _order(job: Job) -> tuple[int, bool]:
    """The games first, the LSP's before a client's, those with other words last; between them the other searches."""
    searches = list(_READS)
    if job.configuration is None:
        return (searches.index(job.search) if job.search in searches else len(searches)), False
    return (0 if job.default else len(searches) + 1), job.hero != LSP


def reason(removal: Removal, whole: Whole) -> Reason:
    """Judge what can have changed without the thing that is taken away, up to the first loss."""
    design, before = removal.design, whole.design.specification
    if design is None:
        return Reason(removal, None, ())
    tables = {machine.name for machine in before.machines if machine != design.specification.machine(machine.name)}
    strategy = design.strategy != whole.design.strategy
    numbers = design.specification.parameters != before.parameters
    games = bool(tables & _READS["games"]) or numbers
    todo: list[Job] = []
    gone: set[str] = set()
    for job in sorted(jobs(design, KNOWN), key=_order):
        if job.configuration is None:
            of_strategy = strategy and job.search == "towers"
            if tables & _READS.get(job.search, tables) or of_strategy or (numbers and job.search in _COUNTS):
                todo.append(job)
        elif strategy:
            todo.append(job)
        elif games:
            seen, old = _seen(design, job), whole.seen.get(job)
            if seen != old:
                todo.append(job)
            if old is not None and job.default:
                gone |= old.statuses - seen.statuses
    search = Search(design, _FOLLOWS if strategy else KNOWN)
    found: list[Verdict] = []
    with closing(run_jobs(search, list(enumerate(todo)), whole.cores, True, whole.meter)) as results:
        for _, verdicts in results:
            found += verdicts
            broken = [verdict for verdict in verdicts if verdict.trace is not None]
            if broken:
                return Reason(removal, broken[0], ())
    if gone:
        return Reason(removal, None, tuple(f"the state '{name}'" for name in sorted(gone)))
    return Reason(removal, None, tuple(idle(whole, todo, found)))


_SIGNING = frozenset({"client", "factory", "session"})
_READS: dict[str, frozenset[str]] = {
    "games": _SIGNING,
    "towers": frozenset({"client", "watchtower"}),
    "lives": frozenset({"client", "factory"}),
    "ceremonies": frozenset({"session"}),
    "stock": frozenset({"stock", "client"}),
    "balances": frozenset(),
    "payments": frozenset({"channel"}),
    "handover": frozenset({"assisted_exit"}),
    "network": _SIGNING,
    "channels": frozenset({"channel", "client"}),
}
"""The tables that each search steps through, the cheapest search first; one that is not named may step through all."""
_COUNTS = ("stock", "balances", "payments")
"""The searches without a configuration that read the parameters."""
_FOLLOWS = ("P-STRATEGY-WINS", *TOWERS)
"""What depends on the strategy: all else is about what could be done."""


def idle(whole: Whole, again: Sequence[Job], found: Sequence[Verdict]) -> list[str]:
    """The properties that had an example in the ``whole``, and have none now that the jobs ``again`` found this."""
    asked = {verdict.property for verdict in found}
    left = {verdict.property for verdict in found if verdict.examples}
    if asked <= left:
        return []
    had = {v.property for verdicts in whole.verdicts.values() for v in verdicts if v.examples}
    left |= {v.property for job in whole.jobs if job not in again for v in whole.verdicts[job] if v.examples}
    return [name + SOMETIMES for name in KNOWN if name in asked & had - left]
