"""What a trace says about itself, computed once more from what it tells.

Laws of this module:

* Nothing is believed that follows from something else in the file: names, sums, who broadcast what, what kind of loss
  it is, what the property and the configuration mean. What the chain shows is left to the chain.
* What is left is the premise: what happened before the first block, who can complete what, and what the hero counts on.
* Each problem names the line of the file that is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from superscalar_ref.check.arena import affordable
from superscalar_ref.check.configurations import Configuration, load_configurations
from superscalar_ref.check.judge import Design, jobs
from superscalar_ref.check.trace import Hands, Trace, actors, owners
from superscalar_ref.check.world import LSP
from superscalar_ref.protocol.strategy import load_strategy
from superscalar_ref.protocol.transaction import Kind, LockKind, Role, Template
from superscalar_ref.replay.form import CEREMONIES, Script
from superscalar_ref.spec.load import load_parameters, load_properties
from superscalar_ref.spec.location import spec_directory
from superscalar_ref.spec.specification import Specification
from superscalar_ref.spec.table import Property

Claim = tuple[tuple[str | int, ...], str]
"""The place in the file, and what is wrong there."""


@dataclass(frozen=True)
class _Book:
    """What the specification says of properties, parameters and configurations."""

    properties: Mapping[str, Property]
    design: Design

    @property
    def configurations(self) -> dict[str, Configuration]:
        return {one.id: one for one in self.design.configurations}

    def decided_in(self, identity: str) -> set[str]:
        """The configurations and the searches that can refute a property."""
        return {job.configuration.id if job.configuration else job.search for job in jobs(self.design, [identity])}


def _book(directory: Path | None) -> _Book:
    if directory is None:
        return _own()
    return _read(directory)


@lru_cache(maxsize=1)
def _own() -> _Book:
    return _read(None)


def _read(directory: Path | None) -> _Book:
    properties = load_properties(directory)
    specification = Specification(spec_directory(directory), (), load_parameters(directory), properties, ())
    design = Design(specification, load_strategy(directory), load_configurations(directory))
    return _Book({item.id: item for item in properties}, design)


def false_claims(script: Script, directory: Path | None = None) -> list[str]:
    """Every claim of a trace that is not so, with its line; ``directory``: the specification that it is about."""
    book = _book(directory)
    found: list[Claim] = []
    for check in (_property, _configuration, _names, _rounds, _summary, _hands, _words):
        found += check(script, book)
    return [f"line {script.line(*place)}: {problem}" for place, problem in found]


def _role(script: Script) -> str:
    return "signer" if script.configuration == CEREMONIES else "LSP" if script.hero == LSP else "client"


def _property(script: Script, book: _Book) -> Iterator[Claim]:
    """The property exists, is about this hero, and is lost in the way that it says."""
    if script.broken not in book.properties:
        yield ("property",), f"there is no property {script.broken}"
        return
    heroes = book.properties[script.broken].heroes
    if heroes and not any(word in hero for hero in heroes for word in (_role(script), "signer")):
        yield ("property",), f"{script.broken} promises nothing to {script.hero}, but to {', '.join(heroes)}"
    if script.broken == "P-NO-THEFT" and script.loss != "theft":
        yield ("property",), f"{script.broken} is lost to {script.loss}"
    if script.broken == "P-NEWEST-WINS" and not any(_older(script)):
        yield ("property",), f"no state is mined that is older than one that {script.hero} holds"
    ends = [t.lock_time for t in script.templates.values() if t.kind is Kind.ALTERNATE]
    awake = [block.height for block in script.rounds if block.broadcast]
    if script.broken == "P-ABSENT-CLIENT-PAID" and ends and awake and awake[0] <= min(ends):
        yield ("property",), f"{script.hero} is there before the end: it broadcasts before block {awake[0]}"


def _older(script: Script) -> Iterator[tuple[str, str]]:
    """Each state that is mined although the hero holds a newer one for the same output, and the newest of these."""
    states = [t for t in script.templates.values() if t.kind is Kind.STATE]
    for block in script.rounds:
        for name in block.mined:
            old = script.templates[name]
            rivals = [
                t for t in states if t.name in script.hero_holds and t.spends[0].outpoint == old.spends[0].outpoint
            ]
            newest = min(rivals, key=_lock, default=old)
            if old.kind is Kind.STATE and _lock(newest) < _lock(old):
                yield name, newest.name


def _lock(template: Template) -> int:
    return template.spends[0].relative_lock or 0


def _configuration(script: Script, book: _Book) -> Iterator[Claim]:
    """The configuration exists, its parties are those of the trace, and the words say what the transactions show."""
    where = book.decided_in(script.broken)
    if script.configuration not in where:
        problem = f"{script.broken} is decided in {', '.join(sorted(where))}, not in '{script.configuration}'"
        yield ("configuration",), problem
        return
    configuration = book.configurations.get(script.configuration)
    if configuration is None:
        return
    for party in script.parties:
        if party not in (*configuration.clients, LSP):
            yield ("configuration",), f"'{party}' is no party of '{configuration.id}'"
    yield from _shape(script, configuration)
    parameters = book.design.specification.parameters
    for name, word in script.choices.items():
        if name not in parameters or word not in parameters[name].choices:
            yield ("choices", name), f"'{name}' is no choice, or cannot be '{word}'"
    if script.templates:
        yield from _choices(script)


def _choices(script: Script) -> Iterator[Claim]:
    alternates = {
        script.templates[t.spends[0].outpoint.transaction].kind
        for t in script.templates.values()
        if t.kind is Kind.ALTERNATE
    }
    seen = {
        "every": {Kind.FUNDING, Kind.KICKOFF, Kind.STATE},
        "not-kickoffs": {Kind.FUNDING, Kind.STATE},
        "funding": {Kind.FUNDING},
        "none": set[Kind](),
    }
    word = script.choices.get("alternates", "every")
    if alternates != seen.get(word, alternates):
        kinds = ", ".join(sorted(alternates)) or "nothing"
        yield ("choices", "alternates"), f"alternates are '{word}', and those that are described are on: {kinds}"
    classic = any(
        output.lock_path is not None and output.lock_path.kind is LockKind.CLTV and output.role is not Role.STOCK
        for template in script.templates.values()
        for output in template.outputs
    )
    default = script.choices.get("end_default", "inverted")
    if classic != (default == "classic"):
        has = "a path" if classic else "no path"
        yield (
            ("choices", "end_default"),
            f"the end is '{default}', and the outputs have {has} of the LSP's own after it",
        )


_STATED = re.compile(r"^(?P<path>r(\.\d+)*)@(?P<versions>-|\d+(\.\d+)*)$")


def _shape(script: Script, configuration: Configuration) -> Iterator[Claim]:
    """Each state stands for a node of the tree, with an index that it has, and the lock of that index."""
    nodes = {node.path for node in configuration.tree.nodes()}
    steps: dict[int, str] = {}
    for template in script.templates.values():
        found = _STATED.match(_base(template.name).partition(":")[2])
        if template.kind not in (Kind.KICKOFF, Kind.STATE) or found is None:
            continue
        place = script.places[template.name]
        if found["path"] not in nodes:
            yield place, f"'{template.name}': '{configuration.id}' has no node '{found['path']}'"
        if template.kind is not Kind.STATE:
            continue
        left = configuration.states - 1 - int(found["versions"].rpartition(".")[2])
        step, rest = divmod(_lock(template), left) if left > 0 else (0, _lock(template))
        if left < 0 or rest:
            problem = f"a lock of {_lock(template)} is not that of this state, of {configuration.states} states"
            yield place, f"'{template.name}': {problem}"
        elif left:
            steps.setdefault(step, template.name)
    if len(steps) > 1:
        (_, first), (_, second) = sorted(steps.items())[:2]
        yield script.places[second], f"'{second}' and '{first}' have locks of different steps"


def _base(name: str) -> str:
    """A name without the mark that tells it from another transaction of that name."""
    return re.sub(r"~\d+$", "", name)


def _names(script: Script, book: _Book) -> Iterator[Claim]:
    """A transaction is named by what it is, and by what it spends."""
    if script.configuration not in book.configurations:
        return
    for template in script.templates.values():
        wanted = _expected(script, template)
        if wanted is not None and _base(template.name) != wanted:
            yield script.places[template.name], f"'{template.name}' should be named '{wanted}'"


def _expected(script: Script, template: Template) -> str | None:
    """The name that follows from the rest of a template; None where nothing does."""
    spend = template.spends[0].outpoint
    parent = script.templates.get(spend.transaction)
    if parent is None or template.kind is Kind.FUNDING:
        return None if template.name != script.funding else template.kind.value
    above = _base(parent.name)
    match template.kind:
        case Kind.ALTERNATE | Kind.EXPIRY:
            return f"{template.kind}:{above}#{spend.index}"
        case Kind.SWEEP:
            return f"{template.kind}:{above}"
        case Kind.COMMITMENT:
            owner = parent.outputs[spend.index].owner
            return f"{template.kind}:{owner}@{above.rpartition('@')[2]}:{template.holder}"
        case Kind.KICKOFF | Kind.STATE:
            return _node_name(template, parent, spend.index)
        case _:
            return None


def _node_name(template: Template, parent: Template, index: int) -> str:
    """The name of a kickoff or a state: a state's own index is its own to say."""
    path, versions = "r", "-"
    if parent.kind is not Kind.FUNDING:
        path, _, versions = _base(parent.name).partition(":")[2].partition("@")
    kickoff = parent.kind is Kind.KICKOFF
    if parent.kind is Kind.STATE or (kickoff and template.kind is Kind.KICKOFF):
        path = f"{path}.{index}"
    if template.kind is Kind.STATE:
        own = re.split(r"[.@]", _base(template.name))[-1]
        versions = own if versions == "-" else f"{versions}.{own}"
    return f"{template.kind}:{path}@{versions}"


def _told(script: Script) -> Trace:
    """The trace as the checker had it, as far as its sums go."""
    return Trace(
        script.broken,
        script.hero,
        script.configuration,
        tuple(script.choices.items()),
        script.owed,
        script.gets,
        script.off_chain,
        script.rounds,  # type: ignore[arg-type]  # the same fields
        tuple(script.templates[name] for block in script.rounds for name in block.mined),
        script.templates.get(script.funding),
        script.note,
        Hands(script.hero_holds, script.others_hold),
    )


def _rounds(script: Script, _: _Book) -> Iterator[Claim]:
    """Who broadcast what is mined; the transactions of the story are those that are mined, in their order."""
    by = actors(_told(script))
    for number, block in enumerate(script.rounds):
        for name in block.mined:
            if block.by.get(name, by[name]) != by[name]:
                yield ("rounds", number, "by", name), f"'{name}' is broadcast by {by[name]}, not by {block.by[name]}"
        for name in block.by.keys() - set(block.mined):
            yield ("rounds", number, "by", name), f"'{name}' is not in block {block.height}"
    mined = [name for block in script.rounds for name in block.mined]
    if mined != list(script.told):
        yield ("transactions",), f"mined are {', '.join(mined) or 'none'}; described as mined: {', '.join(script.told)}"


def _summary(script: Script, _: _Book) -> Iterator[Claim]:
    """What the hero gets is what it is paid in the end, and the others' gain says what kind of loss it is."""
    told = _told(script)
    paid = script.rounds[-1].paid if script.rounds else 0
    if script.gets != paid:
        yield ("gets",), f"{script.hero} gets {paid} in this story, not {script.gets}"
    if script.loss != told.loss:
        yield ("loss",), f"this is {told.loss}, not {script.loss}"
    coin = script.templates.get(script.funding)
    if coin is not None and script.owed > coin.outputs[0].amount:
        yield ("owed",), f"{script.hero} counts on {script.owed}, more than the coin of {coin.outputs[0].amount}"
    owned = owners(told.transactions)
    for party in sorted(owned.keys() | script.owners.keys()) if script.configuration == CEREMONIES else ():
        has, should = owned.get(party, 0), script.owners.get(party, 0)
        if has != should:
            yield ("owners", party), f"{party} owns {has} of what is mined, {should} in the trace"
    if script.rounds and script.broken != "P-NEWEST-WINS" and paid >= script.owed:
        yield ("owed",), f"{script.hero} is paid {paid} and counts on {script.owed}: nothing is lost"


def _hands(script: Script, book: _Book) -> Iterator[Claim]:
    """Which transactions the hero cannot pay for, and whose clocks its exit starts."""
    without = script.hero_holds - affordable(script.templates.values(), script.hero, has_coins=False)
    heroes = book.properties[script.broken].heroes if script.broken in book.properties else ()
    if script.configuration in book.configurations and script.unpaid - without:
        name = min(script.unpaid - without)
        yield ("held", "unpaid"), f"'{name}' pays {script.hero}, which so can pay its fee"
    poor = [hero for hero in heroes if "without coins" in hero or "never looks" in hero]
    if (
        script.configuration in book.configurations
        and script.rounds
        and heroes
        and poor == list(heroes)
        and script.unpaid != without
    ):
        yield (
            ("held", "unpaid"),
            f"{script.broken} is about {heroes[0]}: it cannot pay for {', '.join(sorted(without))}",
        )
    if script.rounds and heroes and not poor and script.unpaid:
        yield ("held", "unpaid"), f"{script.broken} is about one that can pay for everything"
    started = [
        name
        for name, template in script.templates.items()
        if template.kind is Kind.STATE
        and name not in script.kit
        and template.spends[0].outpoint.transaction in script.kit
    ]
    if script.broken == "P-BLAST-BOUNDED" and sorted(started) != sorted(script.started):
        yield ("started",), f"{script.hero}'s exit starts the clock of {', '.join(started) or 'nothing'}"
    if script.broken != "P-BLAST-BOUNDED" and script.started:
        yield ("started",), f"{script.broken} is not about clocks"


_BLOCK = re.compile(r"^block (?P<height>\d+): .*?\bmined: (?P<name>[^\s;]+?)[.]?(;|$)")
_VALID = re.compile(r"^block (?P<height>\d+): (?P<name>\S+) is valid")


def _words(script: Script, _: _Book) -> Iterator[Claim]:
    """What the words say about transactions and blocks."""
    if script.broken == "P-KIT-COMPLETE":
        missing = script.note.rpartition(" without ")[2].removesuffix(".").split(", ")
        for name in missing:
            if name not in script.kit - script.hero_holds:
                yield ("note",), f"'{name}' is not what {script.hero} lacks of its kit"
    notes: Mapping[str, Callable[[], list[str]]] = {
        "P-BLAST-BOUNDED": lambda: [f"{script.hero}'s exit starts the clock of {', '.join(script.started)}."],
        "P-NEWEST-WINS": lambda: [f"{o} is confirmed, and {script.hero} holds {n}," for o, n in _older(script)],
    }
    wanted = notes[script.broken]() if script.broken in notes else []
    if wanted and not any(words in script.note for words in wanted):
        yield ("note",), f"it should say: {wanted[0].strip()}"
    if script.broken != "P-BLAST-BOUNDED":
        return
    heights = {script.funding: 0}
    for number, says in enumerate(script.off_chain):
        found = _BLOCK.match(says) or _VALID.match(says)
        if found is None:
            continue
        template = script.templates.get(found["name"])
        parent = heights.get(template.spends[0].outpoint.transaction) if template is not None else None
        if template is None or parent is None:
            yield ("off_chain", number), f"'{found['name']}' spends nothing that is mined by then"
            continue
        first = parent + max(_lock(template), 1)
        if int(found["height"]) != first:
            yield ("off_chain", number), f"'{template.name}' can be in block {first} first, not {found['height']}"
        heights[template.name] = first
