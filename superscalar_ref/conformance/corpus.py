"""The corpus: every file of ``spec/vectors``, made from the tables, the seeds and the cases; byte-stable.

Laws of this module:

* The same specification gives the same bytes: no clock, no randomness, no order of a set.
* A test has an id that says what it is about, and is never numbered.
* There are at least as many negative tests as positive ones; no file is written that its schema refuses.
* What no vector tells apart is said, not left out (``about/coverage.json``).
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from superscalar_ref import __version__
from superscalar_ref.conformance import functions
from superscalar_ref.conformance.adapter import TableAdapter, reference_machines
from superscalar_ref.conformance.case import Case, Topic
from superscalar_ref.conformance.cases import NOTES, topics
from superscalar_ref.conformance.functions import Rejected, evaluate
from superscalar_ref.conformance.judge import Verdict, greet, judge
from superscalar_ref.conformance.plain import bound_to_rules, plain, with_fields
from superscalar_ref.conformance.restarts import durable, restarted
from superscalar_ref.conformance.runner import LocalRunner
from superscalar_ref.conformance.search import Edge, Found, changes, search, steps_of
from superscalar_ref.conformance.seeds import Given, load_seed
from superscalar_ref.conformance.stories import Story, profile_of, stories, world
from superscalar_ref.errors import InputError, Refused, SpecError
from superscalar_ref.machine.step import BoundMachine, Stepped, step
from superscalar_ref.spec.load import load_machines
from superscalar_ref.spec.location import spec_directory
from superscalar_ref.spec.machines import WRONG_SENDER
from superscalar_ref.spec.schema import check_json
from superscalar_ref.spec.source import read_document
from superscalar_ref.spec.table import Machine
from superscalar_ref.spec.wire_forms import load_messages

CORPUS_VERSION = "0.1.0"
FORMAT = "superscalar-vectors-1"
_HOW_L0 = (
    "Each test names a function ('fn') and its arguments ('args'; their form is in spec/schema/functions.json). "
    "'expect' has 'ok', the result, or 'reject' with a code; the codes are in about/codes.json. Compare every field "
    "of the result. "
    "Bytes are lower-case hex, txids are in RPC order, amounts are whole numbers of the unit that the name says."
)
_HOW_L3 = (
    "Each test is a story of one party on a chain of Bitcoin Core's code: the kit plays it, and this file is its whole "
    "script. 'story.transactions' are complete; the party holds those of 'held'. Block by block the party is asked "
    "what it publishes: a client or an LSP by the function strategy.decide; a tower by the table 'watchtower', one "
    "node for each output. 'others' is what everybody else publishes, each from a block on and as soon as Core takes "
    "it; of two that spend one output the miner takes theirs. While the last block is in 'away' the party does not "
    "look; 'troubles' are crashes and reorgs after a block. At the height 'ends' the party must own at rest what "
    "'expect.owned' says, and nothing of 'expect.never' may be on the chain. Names of transactions are the "
    "reference's; outpoints are 'txid:index'."
)
_HOW_L1 = (
    "Each test begins with a node in the state 'node.state' (fields of spec/schema/states.json). Its 'steps' "
    "come in order. "
    "A step with 'given' changes fields of the state from outside: another part of the same party has stored "
    "something, or "
    "has seen the chain. A step with 'event' is an event of the table spec/machines/MACHINE.toml. 'expect' has "
    "'reject' with "
    "a code (the state stays as it is), or 'state', the fields that change (the status always), with 'effects' "
    "in their "
    "order. Effects that others can see are of the kinds persist, send, broadcast and alert: compare these always; the "
    "other kinds are the party's own. A list in an event's fields is a set. 'hunts' names the wrong tables that "
    "this test "
    "tells from the right one: ROW/what/which; ROW/off-by-one: both sides of a bound."
)


@dataclass(frozen=True)
class Coverage:
    """How much the vectors of one machine tell apart."""

    machine: str
    mutants: int
    caught: int
    missed: tuple[str, ...]
    not_taken: tuple[str, ...]
    lacking: tuple[str, ...]
    """What events of the seed lack that a guard or effect asks for."""
    seeded: bool


@dataclass(frozen=True)
class Corpus:
    """Every file by its path below ``spec/``, as text, and what the tables' vectors cover."""

    files: Mapping[str, str]
    coverage: tuple[Coverage, ...]

    @property
    def share(self) -> tuple[int, int]:
        """Wrong tables that a vector catches, of how many."""
        return sum(one.caught for one in self.coverage), sum(one.mutants for one in self.coverage)


def make(directory: Path | None = None) -> Corpus:
    """Make the corpus of a specification. Raises SpecError, InputError when it cannot be made."""
    files: dict[str, Any] = {}
    for topic in topics():
        files[f"vectors/{topic.name}.json"] = _topic(topic)
    for profile, about in _ABOUT_OUTCOMES.items():
        told = [story for story in stories() if profile_of(story.role) == profile]
        if told:
            files[f"vectors/{profile}.json"] = _outcomes(about, told)
    coverage = []
    bound = []
    searched: list[tuple[BoundMachine[Any], Found]] = []
    for table in load_machines(directory):
        machine = bound_to_rules(table)
        if machine is None:
            coverage.append(Coverage(table.name, 0, 0, (), tuple(row.id for row in table.transitions), (), False))
            continue
        bound.append(machine)
        seed = load_seed(machine, directory)
        if seed is None:
            coverage.append(Coverage(table.name, 0, 0, (), tuple(row.id for row in table.transitions), (), False))
            continue
        found = search(machine, seed)
        searched.append((machine, found))
        files[f"vectors/{table.name}.json"] = _table(machine, seed.says, found)
        coverage.append(
            Coverage(
                table.name,
                found.mutants,
                found.mutants - len(found.missed),
                tuple(mutant.id for mutant in found.missed),
                tuple(found.not_taken),
                tuple(sorted(found.unplayable)),
                True,
            )
        )
    restarts = [test for machine, found in searched for test in _restarts(machine, found)]
    if restarts:
        files["vectors/restarts.json"] = document(_ABOUT_RESTARTS, "L1", {}, restarts)
    files["vectors/about/codes.json"] = _codes(bound)
    files["vectors/about/coverage.json"] = _coverage(coverage)
    files["schema/functions.json"] = functions.schema()
    files["schema/states.json"] = _states(bound)
    files["schema/messages.json"] = _messages(directory)
    return Corpus({path: text_of(content) for path, content in sorted(files.items())}, tuple(coverage))


_OPEN_LEVELS = 4
"""Levels of a file that are written on lines of their own; what lies deeper stays on one line."""


def text_of(content: Any) -> str:
    """JSON as the files of the corpus have it."""
    return _lines(content, 0) + "\n"


def _lines(value: Any, level: int) -> str:
    """JSON with its outer levels on lines: a change shows as the lines of one test."""
    if level >= _OPEN_LEVELS or not isinstance(value, dict | list) or not value:
        return json.dumps(value, ensure_ascii=False)
    before, after = "\n" + " " * (level + 1), "\n" + " " * level
    if isinstance(value, dict):
        items = [f"{json.dumps(key, ensure_ascii=False)}: {_lines(item, level + 1)}" for key, item in value.items()]
        return "{" + before + f",{before}".join(items) + after + "}"
    return "[" + before + f",{before}".join(_lines(item, level + 1) for item in value) + after + "]"


def document(about: str, layer: str, notes: Mapping[str, str], tests: list[dict[str, Any]]) -> dict[str, Any]:
    """A file of vectors of a layer, with how it is to be used."""
    return {
        "format": FORMAT,
        "about": about,
        "how_to_use": {"L0": _HOW_L0, "L1": _HOW_L1, "L3": _HOW_L3}[layer],
        "spec_version": __version__,
        "corpus_version": CORPUS_VERSION,
        "layer": layer,
        "count": len(tests),
        "notes": dict(notes),
        "tests": tests,
    }


# -- layer L0 ----------------------------------------------------------------------------------------------------------


def _topic(topic: Topic) -> dict[str, Any]:
    tests = [_test(case, topic.name) for case in topic.cases]
    flags = {flag for case in topic.cases for flag in case.flags}
    return document(topic.about, "L0", {flag: says for flag, says in NOTES.items() if flag in flags}, tests)


def _test(case: Case, profile: str) -> dict[str, Any]:
    expect: dict[str, Any]
    try:
        result = evaluate(case.function, case.arguments, case.id)
        expect = {"ok": result}
        negative = result in ({"valid": False}, {"publish": []}) or bool(result.get("broken"))
    except Rejected as rejected:
        expect = {"reject": {"code": rejected.code}}
        negative = True
    if negative != case.negative:
        raise SpecError(
            f"case {case.id}", f"was to be {'refused' if case.negative else 'accepted'}: {expect}", "vectors"
        )
    return {
        "id": case.id,
        "comment": case.comment,
        "rules": list(case.rules),
        "level": "MUST",
        "profile": profile,
        "result": "invalid" if negative else "valid",
        "flags": list(case.flags),
        "fn": case.function,
        "args": dict(case.arguments),
        "expect": expect,
    }


# -- layer L3 ----------------------------------------------------------------------------------------------------------

_ABOUT_OUTCOMES = {
    "outcomes": "A client, or the LSP, of a small factory: exits, cheats with older states, absence, the end, reorgs. "
    "What it owns at the end.",
    "tower-outcomes": "A watchtower whose client is away: cheats with older states, crashes, reorgs, the end. What the "
    "client owns, or the LSP cannot take, at the end.",
}


def _outcomes(about: str, told: list[Story]) -> dict[str, Any]:
    tests = [world().test(story) for story in told]
    runner = LocalRunner(TableAdapter(reference_machines()))
    profile = greet(runner)
    for test in tests:
        result = judge(runner, profile, test)
        if result.verdict is not Verdict.PASS:
            raise SpecError(f"story {test['id']}", f"the reference fails: {result.code}: {result.detail}", "vectors")
    flags = {flag for test in tests for flag in test["flags"]}
    return document(about, "L3", {flag: says for flag, says in NOTES.items() if flag in flags}, tests)


# -- layer L1 ----------------------------------------------------------------------------------------------------------


def _table(machine: BoundMachine[Any], says: str, found: Found) -> dict[str, Any]:
    tests = []
    used: set[str] = set()
    for key, edge in found.chosen.items():
        hunts = found.hunts.get(key, [])
        identity = _identity(machine, edge, hunts, used)
        tests.append(_transcript(machine, edge, identity, hunts))
    about = f"{machine.table.title}: {machine.table.subject}. {says}"
    return document(about, "L1", {}, tests)


def _identity(machine: BoundMachine[Any], edge: Edge, hunts: list[str], used: set[str]) -> str:
    name, event = machine.table.name, edge.event
    wanted = [_slug(f"{name}-{edge.taken}-taken")] if edge.taken else []
    if isinstance(edge.answer, Refused):
        if edge.answer.guard is None:
            wanted.append(_slug(f"{name}-{edge.at.context.status}-refuses-{event.name}"))
        elif edge.answer.guard == WRONG_SENDER:
            wanted.append(_slug(f"{name}-{edge.answer.rule}-not-by-{event.by}"))
    wanted += [_slug(f"{name}-{hunt}") for hunt in hunts]
    identity = next((one for one in wanted if one not in used), "")
    if not identity:
        raise SpecError(str(machine.table.place), f"a vector of '{event.name}' has no id of its own", "vectors")
    used.add(identity)
    return identity


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _transcript(machine: BoundMachine[Any], edge: Edge, identity: str, hunts: list[str]) -> dict[str, Any]:
    refused = isinstance(edge.answer, Refused)
    if edge.taken:
        row = machine.table.transition(edge.taken)
        rules = [row.id]
        comment = row.rule
    else:
        assert isinstance(edge.answer, Refused)
        rules = sorted(edge.rows)
        comment = str(edge.answer).partition(": ")[2]
    rules += [rule for rule in dict.fromkeys(hunt.split("/")[0] for hunt in hunts) if rule not in rules]
    return {
        "id": identity,
        "comment": comment,
        "rules": rules,
        "level": level_of(machine.table, rules[0]) if rules else "MUST",
        "profile": machine.table.name,
        "result": "invalid" if refused else "valid",
        "flags": [],
        "hunts": hunts,
        "node": {"machine": machine.table.name, "start": edge.at.start.says, "state": plain(edge.at.start.context)},
        "steps": steps_of(machine, edge),
    }


_ABOUT_RESTARTS = (
    "A crash after each row of every table: what of the node survives. A step with 'restart' ends the "
    "node and starts it again from what its persist effects had stored, and from nothing else; what was 'given' was "
    "stored by another part of the party. Of a session nothing is left but records and complete transactions: no nonce "
    "(D-2). A channel comes back without its connection, as by the event 'disconnected'."
)


def _restarts(machine: BoundMachine[Any], found: Found) -> Iterator[dict[str, Any]]:
    """For each row that was taken: the way to it, and then a restart."""
    done: set[str] = set()
    for edge in found.chosen.values():
        if not isinstance(edge.answer, Stepped) or edge.taken in done:
            continue
        done.add(edge.taken)
        row = machine.table.transition(edge.taken)
        stored = edge.at.start.context
        for before, after in itertools.pairwise(edge.at.way()):
            if isinstance(after.by, Given):
                stored = with_fields(machine, stored, after.by.fields, machine.table.name)
            elif after.by is not None:
                stored = durable(stored, step(machine, before.context, after.by))
        left = restarted(machine, edge.answer.context, durable(stored, edge.answer))
        test = _transcript(machine, edge, _slug(f"{machine.table.name}-{row.id}-restart"), [])
        again = {"restart": True, "expect": {"state": changes(plain(edge.answer.context), plain(left))}}
        yield {
            **test,
            "comment": f"A crash after {row.id}: only what was made durable is left.",
            "profile": "restarts",
            "steps": [*test["steps"], again],
        }


def level_of(table: Machine, row: str) -> str:
    """MUST, SHOULD or MAY: the strongest word of a row's rule; MUST where it says none."""
    words = table.transition(row).rule
    return next((word for word in ("MUST", "SHOULD", "MAY") if re.search(rf"\b{word}\b", words)), "MUST")


# -- what goes with them -----------------------------------------------------------------------------------------------


def _codes(bound: list[BoundMachine[Any]]) -> dict[str, Any]:
    table: dict[str, dict[str, Any]] = {
        "OUT_OF_TURN": {"says": "No row of this state takes the event.", "layer": "L1", "rows": []},
        WRONG_SENDER.upper(): {"says": "Nobody of this role may cause the event.", "layer": "L1", "rows": []},
    }
    for machine in bound:
        for guard in machine.table.guards:
            rows = [row.id for row in machine.table.transitions if guard.name in row.guards]
            entry = table.setdefault(guard.name.upper(), {"says": {}, "layer": "L1", "rows": []})
            if isinstance(entry["says"], dict):
                entry["says"][machine.table.name] = guard.says
            entry["rows"] += rows
    for code, says in functions.CODES.items():
        table[code] = {"says": f"Refused: {says}.", "layer": "L0", "rows": []}
    return {
        "about": "Refusal codes. L1: the name of the first guard that does not hold, in capitals, or one of the "
        "two built-in "
        "codes. L0: what a function does not accept. Words beside a code are never compared.",
        "spec_version": __version__,
        "codes": dict(sorted(table.items())),
    }


def _coverage(coverage: list[Coverage]) -> dict[str, Any]:
    return {
        "about": "How much the vectors of the tables tell apart. A wrong table differs from the right one in "
        "one place: a "
        "guard or an effect left out, two effects in the other order, another next state, a row missing, the "
        "sender not "
        "looked at. 'missed' are the wrong tables that no vector tells from the right one: their difference "
        "shows in none "
        "of the contexts that the search reached.",
        "spec_version": __version__,
        "machines": {
            one.machine: {
                "seeded": one.seeded,
                "wrong_tables": one.mutants,
                "caught": one.caught,
                "missed": list(one.missed),
                "rows_never_taken": list(one.not_taken),
                "events_lack": list(one.lacking),
            }
            for one in coverage
        },
    }


def _states(bound: list[BoundMachine[Any]]) -> dict[str, Any]:
    import msgspec  # noqa: PLC0415

    from superscalar_ref.conformance.plain import context_class  # noqa: PLC0415

    classes = [context_class(machine) for machine in bound]
    references, components = msgspec.json.schema_components(classes, ref_template="#/$defs/{name}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "States of the nodes of layer L1",
        "description": "For each machine the fields of its state. A set is a list in the order of its text.",
        "machines": {machine.table.name: reference for machine, reference in zip(bound, references, strict=True)},
        "$defs": components,
    }


def _messages(directory: Path | None) -> dict[str, Any]:
    """The table of messages as JSON, for readers without TOML: the same keys, what is not said left out."""
    folder = directory if directory is not None and (directory / "messages.toml").is_file() else None
    data = read_document(spec_directory(folder) / "messages.toml").data
    load_messages(folder)
    return {
        "about": "What parties say to one another: spec/messages.toml as JSON; how it is read is said there.",
        "spec_version": __version__,
        **data,
    }


# -- files -------------------------------------------------------------------------------------------------------------


def write(corpus: Corpus, directory: Path | None = None) -> Iterator[Path]:
    """Write what has changed, and yield each path. Raises InputError when that is impossible."""
    root = spec_directory(directory)
    for name, text in corpus.files.items():
        path = root / name
        try:
            if path.is_file() and path.read_text(encoding="utf-8") == text:
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
        except OSError as error:
            raise InputError(str(path), error.strerror or "cannot be written", "vectors") from error
        yield path


def stale(corpus: Corpus, directory: Path | None = None) -> Iterator[str]:
    """A line for each file that is not what the specification gives, or that nothing gives any more."""
    root = spec_directory(directory)
    for name, text in corpus.files.items():
        path = root / name
        try:
            found = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            yield f"{name}: missing, or cannot be read"
            continue
        if found != text:
            yield f"{name}: differs from what the specification gives"
    for path in sorted((root / "vectors").glob("*.json")):
        if f"vectors/{path.name}" not in corpus.files:
            yield f"vectors/{path.name}: nothing gives it any more"


def read_tests(path: Path, whole: bool = True) -> dict[str, Any]:
    """A file of the corpus, held against its schema if ``whole``. Raises InputError when it is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(str(path), f"cannot be read: {error}", "vectors") from error
    if whole or not isinstance(content, dict) or content.get("format") != FORMAT:
        check_document(content, str(path))
    found: dict[str, Any] = content
    return found


def check_document(content: object, place: str) -> None:
    """Hold a file's content against ``spec/schema/vectors.schema.json``. Raises InputError that names the place."""
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError(place, f"is no file of the format '{FORMAT}'", "vectors")
    check_json(content, "vectors", place)
    if content["count"] != len(content["tests"]):
        raise InputError(place, f"says {content['count']} tests and has {len(content['tests'])}", "vectors")
