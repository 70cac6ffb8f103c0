"""A client that is away and its watchtower (``check.tower``), on Bitcoin Core's code: words become transactions.

One node with ``STATES`` versions, each with a larger channel than the one before. Laws of this module:

* The tower publishes what has reached it, and nothing else; the LSP whatever was proposed. What they publish must be
  valid in that block, and the locks of what is mined must hold it back one block before.
* How often a tower looks is what the game says of a prompt one and of a late one.
* What the story says is lost must be lost on the chain: the newer state void, or the old channel's balance too small.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from superscalar_ref.check.tower import ABSENCE, CLIENT, DELAY, DOWN, LSP, STATES, STEP, TOWER, balance, capacity
from superscalar_ref.errors import InputError
from superscalar_ref.protocol.transaction import Kind, LockKind, LockPath, Outpoint, Output, Role, Spend, Template
from superscalar_ref.replay.form import Round, Script
from superscalar_ref.replay.outcome import CORE, Line, Outcome
from superscalar_ref.replay.scale import UNIT_SAT, check_length
from superscalar_ref.replay.stage import Stage

_TOTAL = capacity(STATES)
"""What the factory holds (units): a channel, and unsold stock."""
_BOTH = frozenset({CLIENT, LSP})
FUNDING, KICKOFF = "funding", "kickoff:r@-"


def templates() -> dict[str, Template]:
    """Everything that a story may publish, but for penalties, parents before children; in units and game's blocks."""
    tree = Output(Role.TREE, _TOTAL, _BOTH)
    found = [
        Template(FUNDING, Kind.FUNDING, (Spend(Outpoint("coin", 0)),), (tree,), frozenset({LSP})),
        Template(KICKOFF, Kind.KICKOFF, (Spend(Outpoint(FUNDING, 0)),), (tree,), _BOTH),
    ]
    for version in range(STATES):
        found += _version(version)
    return {one.name: one for one in found}


def _version(version: int) -> Iterator[Template]:
    """A state, what poisons it, and the LSP's commitment with its sweep."""
    mine, whole = balance(version), capacity(version)
    state, commitment = f"state:r@{version}", f"commitment:{CLIENT}@{version}:{LSP}"
    lock = STEP * (STATES - 1 - version) or None
    channel = Output(Role.CHANNEL, whole, _BOTH, owner=CLIENT)
    stock = Output(Role.STOCK, _TOTAL - whole, _BOTH, owner=LSP)
    yield Template(state, Kind.STATE, (Spend(Outpoint(KICKOFF, 0), lock),), (channel, stock), _BOTH)
    all_mine = Output(Role.WALLET, whole, frozenset({CLIENT}), owner=CLIENT)
    yield Template(f"poison:{version}", Kind.POISON, (Spend(Outpoint(state, 0)),), (all_mine,), _BOTH)
    other = frozenset({CLIENT})
    delayed = Output(Role.DELAYED, whole - mine, other, LockPath(LSP, LockKind.CSV, DELAY), LSP)
    paid = Output(Role.WALLET, mine, other, owner=CLIENT)
    spend = (Spend(Outpoint(state, 0)),)
    yield Template(commitment, Kind.COMMITMENT, spend, (delayed, paid), _BOTH, holder=LSP)
    swept = Output(Role.WALLET, whole - mine, frozenset({LSP}), owner=LSP)
    after = (Spend(Outpoint(commitment, 0), DELAY, by_lock_path=True),)
    yield Template(f"sweep:{commitment}", Kind.SWEEP, after, (swept,), frozenset({LSP}))


_TOLD = r"(?P<kind>state|poison|penalty|commitment|kickoff)(?: of version (?P<version>\d+))?"
_PROPOSES = re.compile(rf"^{LSP} proposes version (?P<version>\d+), with a larger channel$")
_REACHES = re.compile(rf"^(?:the (?P<told>.+) reaches {TOWER}|{CLIENT} hands {TOWER} the (?P<handed>.+))$")
_COUNTS = re.compile(rf"^{CLIENT} counts on version (?P<version>\d+)$")
_QUIET = re.compile(rf"^{CLIENT} (?:holds the .+|hears that {TOWER} keeps the .+|goes away)$")
_BEGINS = re.compile(rf"^block 1: {LSP} publishes the kickoff$")
_BLOCK = re.compile(
    rf"^{TOWER} (?P<tower>looks|does not look|is down)(?:, and publishes (?P<published>.+))?; "
    r"block (?P<height>\d+): (?P<mined>.+)$"
)
_THIEF = re.compile(rf"^a thief publishes the (?P<told>.+) from {TOWER}$")
_CONFIRMED = re.compile(
    rf"^The state of version (?P<old>\d+) is confirmed, and {CLIENT} counts on version (?P<new>\d+)\.$"
)
_GETS = re.compile(rf"^{CLIENT} gets (?P<gets>\d+), and was sure of (?P<sure>\d+): of (?P<owed>\d+) what .+$")


def _name(told: str) -> str:
    """The transaction that words tell of."""
    found = re.fullmatch(_TOLD, told)
    if found is None or (found["version"] is None) != (found["kind"] == "kickoff"):
        raise InputError(f"'{told:.60}'", "is nothing that a tower can be handed", "trace")
    if found["kind"] == "kickoff":
        return KICKOFF
    if int(found["version"]) >= STATES:
        raise InputError(f"'{told:.60}'", f"there are {STATES} versions", "trace")
    names = {"state": "state:r@{}", "poison": "poison:{}", "penalty": "penalty:{}"}
    return names.get(found["kind"], f"commitment:{CLIENT}@{{}}:{LSP}").format(found["version"])


def _mined(told: str) -> Iterator[tuple[str, str]]:
    """(who, transaction) of each that a block is told to hold."""
    for part in () if told == "nothing" else told.split(", "):
        who, _, what = part.partition("'s ")
        if who == TOWER:
            yield TOWER, _name(what)
        elif part == f"{LSP} sweeps its side":
            yield LSP, "sweep"
        else:
            found = re.fullmatch(r"(?:(commitment on )?state )(\d+)( and its commitment)?", what)
            if who != LSP or found is None:
                raise InputError(f"'{part:.60}'", "is nothing that a block of this game holds", "trace")
            version = int(found[2])
            if not found[1]:
                yield LSP, _name(f"state of version {version}")
            if found[1] or found[3]:
                yield LSP, _name(f"commitment of version {version}")


@dataclass
class _Play:
    script: Script
    """The story, with its transactions and blocks."""
    stage: Stage
    late: bool
    reached: set[str] = field(default_factory=lambda: {"state:r@0"})
    """What the tower holds: the first version's state from the beginning."""
    proposed: int = 0
    counted: int = 0
    slept: int = 0
    down: int = 0
    height: int = 0

    def run(self) -> Outcome:
        """Each line in its order, then the loss."""
        outcome = self.stage.outcome
        self.stage.fund()
        for number, says in enumerate(self.script.off_chain):
            if outcome.problems:
                break
            try:
                self._line(says)
            except InputError as error:
                outcome.problems.append(f"line {self.script.line('off_chain', number)}: {error.place}: {error.problem}")
        if not outcome.problems:
            self._lost()
        return outcome

    def _line(self, says: str) -> None:
        if found := _PROPOSES.match(says):
            self.proposed = self._version(found["version"], self.proposed + 1)
        elif found := _REACHES.match(says):
            self.reached.add(_name(found["told"] or found["handed"]))
        elif found := _COUNTS.match(says):
            self.counted = self._version(found["version"], self.proposed)
        elif _BEGINS.match(says):
            self._block(1, ((LSP, KICKOFF),), ())
            return
        elif found := _BLOCK.match(says):
            self._looks(found["tower"])
            if found["mined"] == "nothing" and not found["published"]:
                self.stage.outcome.add(Line("", says))
            published = [_name(one.removeprefix("the ")) for one in (found["published"] or "").split(" and ") if one]
            self._block(int(found["height"]), tuple(_mined(found["mined"])), published)
            return
        elif found := _THIEF.match(says):
            self._thief(_name(found["told"]))
            return
        elif not _QUIET.match(says):
            raise InputError(f"'{says:.80}'", "is nothing that happens to a tower", "trace")
        self.stage.outcome.add(Line("", says))

    @staticmethod
    def _version(text: str, wanted: int) -> int:
        if int(text) != wanted or wanted >= STATES:
            raise InputError(f"version {text}", f"can only be {min(wanted, STATES - 1)} here", "trace")
        return wanted

    def _looks(self, tower: str) -> None:
        """Whether it may stay away so long: a late tower is down once."""
        if tower == "looks":
            self.slept = 0
            return
        self.slept += 1
        self.down += tower == "is down"
        if self.slept > ABSENCE + (DOWN if self.late else 0) or self.down > DOWN:
            raise InputError(TOWER, "does not look for longer than this tower is ever away", "trace")

    def _held(self, who: str, name: str) -> None:
        version = int(re.sub(r"\D", "", name.partition("@")[2] or name.partition(":")[2]) or 0)
        if who == TOWER and name not in self.reached:
            raise InputError(f"'{name}'", f"{TOWER} publishes what has not reached it", "trace")
        if version > self.proposed:
            raise InputError(f"'{name}'", "is of a version that nobody has proposed", "trace")

    def _block(self, height: int, mined: Iterable[tuple[str, str]], published: Iterable[str]) -> None:
        stage, at = self.stage, self.stage.scale.height(height)
        if height != self.height + 1:
            raise InputError(f"block {height}", f"stands where block {self.height + 1} should", "trace")
        self.height = height
        # The sweep is of whichever commitment is there.
        who = {self._swept() if name == "sweep" else name: party for party, name in mined}
        for name, party in who.items():
            self._held(party, name)
            self._known(name)
            self._early(name, at)
        stage.advance_to(at - 1)
        for name in published:
            self._held(TOWER, name)
            if name in stage.templates:
                stage.ask(TOWER, "publishes", name, True, height)
        if who:
            stage.mine(list(who), who, height)
        for name in published:
            if name in stage.templates and name not in who and not stage.open(name):
                stage.ask(CORE, "void now:", name, False)

    def _known(self, name: str) -> None:
        if name not in self.stage.templates:
            raise InputError(f"'{name}'", "is not built here: the story of a loss mines no penalty", "trace")

    def _swept(self) -> str:
        there = [one for one in self.stage.templates if one.startswith("commitment:") and self.stage.confirmed(one)]
        if not there:
            raise InputError(f"{LSP}'s sweep", "has no commitment to sweep", "trace")
        return f"sweep:{there[0]}"

    def _early(self, name: str, at: int) -> None:
        """One block before its lock Core refuses what is mined at ``at`` because it may be by then."""
        stage = self.stage
        spend = stage.templates[name].spends[0]
        parent = stage.confirmed(spend.outpoint.transaction)
        first = 0 if parent is None else parent + (spend.relative_lock or 0)
        if parent is not None and spend.relative_lock and stage.ledger.height < first - 1 < at:
            stage.advance_to(first - 2)
            stage.ask(CORE, "one block before its lock:", name, False)

    def _thief(self, name: str) -> None:
        if name not in self.reached:
            raise InputError(f"'{name}'", f"is not in {TOWER}'s file", "trace")
        self._known(name)
        self.stage.ask("a thief", "can publish", name, True)

    # -- what is lost --------------------------------------------------------------------------------------------------

    def _lost(self) -> None:
        stage, script, outcome = self.stage, self.script, self.stage.outcome
        place = script.line("note")
        if script.broken == "P-TOWER-POWERLESS":
            if not any(line.who == "a thief" for line in outcome.lines):
                outcome.problems.append(f"line {place}: no thief publishes anything")
            return
        if found := _CONFIRMED.match(script.note):
            old, new = (f"state:r@{found[key]}" for key in ("old", "new"))
            if int(found["new"]) != self.counted or not int(found["old"]) < self.counted:
                outcome.problems.append(f"line {place}: {CLIENT} counts on version {self.counted}")
            elif stage.confirmed(old) is None:
                outcome.problems.append(f"line {place}: '{old}' is not on the chain")
            else:
                stage.ask(CLIENT, f"counts on version {self.counted}, and what it needs is void:", new, False)
            return
        found = _GETS.match(script.note)
        if found is None:
            outcome.problems.append(f"line {place}: '{script.note:.60}' is no loss of a client with a tower")
            return
        has = stage.owned().get(CLIENT, 0)
        outcome.owned, outcome.expected = {CLIENT: has}, {CLIENT: int(found["gets"]) * UNIT_SAT}
        confirmed = [v for v in range(STATES) if stage.confirmed(f"state:r@{v}") is not None]
        sure = min(balance(self.counted), *(capacity(v) for v in confirmed))
        right = (sure, balance(self.counted)) == (int(found["sure"]), int(found["owed"]))
        if outcome.owned != outcome.expected or not right or has >= sure * UNIT_SAT:
            problem = f"{CLIENT} owns {has} sat, counts on {balance(self.counted)} units, and was sure of {sure}"
            outcome.problems.append(f"line {place}: {problem}")


def play(script: Script, blocks: int) -> Outcome:
    """Play the lines of a trace in their order; a line that cannot be is a disagreement that names it."""
    check_length(len(script.off_chain), blocks)
    known = templates()
    # Whatever ends up on the chain counts: which transactions these are, the lines say.
    every = Round(1, False, (), tuple(known), -1)
    full = replace(script, templates=known, funding=FUNDING, rounds=(every,))
    stage = Stage(full, blocks)
    try:
        return _Play(full, stage, script.broken == "P-TOWER-LATE").run()
    finally:
        stage.close()
