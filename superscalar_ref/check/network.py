"""Honest parties, and a network that loses, doubles and delays whatever they send.

An LSP and its clients sign one thing (``mail``): the first version, an update, or a close. Three searches:

* **whatever comes**: any message that was ever sent may arrive now, once more, or never; the LSP asks again; one party
  crashes once, between any two turns.
* **healing**: from every situation that this reaches, with everything that was on its way lost, an honest network and
  parties that ask again come to the end.
* **in order**: when every message arrives once, those from one party to another in their order, nobody has to ask
  again.

A message that was sent may arrive for ever, so the set of messages only grows: losing and delaying is not choosing one
of them, doubling is choosing it again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from superscalar_ref.check.breadth import Found
from superscalar_ref.check.mail import LSP, SCENES, Honest, Letter, Post, Scene
from superscalar_ref.check.meter import Meter
from superscalar_ref.protocol.factory import Factory
from superscalar_ref.protocol.participant import Machines

HARMLESS, HEALS, ARRIVES = "P-MAIL-HARMLESS", "P-MAIL-HEALS", "P-MAIL-ARRIVES"
PROPERTIES = (HARMLESS, HEALS, ARRIVES)
"""What is decided here."""
_RETRIES = 1
"""The LSP starts over so often in the search of whatever comes."""
_ROUNDS = 6
"""Honest parties that ask again so often and are not done are stuck."""
_LETTERS = 500
"""Honest parties that have sent each other so many messages and are not done go round in circles."""
_NONCES = 4
"""A signer that opens one session more often than this, between two restarts, is not followed further."""
_MOST = 40_000
"""Situations of one scene that are followed; a right design has far fewer, and what makes more breaks before."""
_OFTEN = 1000
_BITS = 16
"""A party is a number of so many bits."""
_MASK = (1 << _BITS) - 1
_AGAIN, _CRASH = -1, -2


def hero(way: tuple[str, ...]) -> str:
    """Whose loss a way through this search is: of whoever has done wrong at its end, else of the client that waits."""
    return LSP if way[-1].startswith(f"{LSP} ") else SCENES[0].clients[0]


@dataclass
class _Numbers:
    """Parties and messages of one scene as numbers, and what each message does to each party."""

    post: Post
    parties: list[Honest] = field(default_factory=list)
    letters: list[Letter] = field(default_factory=list)
    to: dict[str, int] = field(default_factory=dict)
    """Which messages are to whom: one bit each."""
    idle: list[int] = field(default_factory=list)
    """Which messages are known to change nothing at a party."""
    busy: list[bool] = field(default_factory=list)
    """Which parties are not followed further."""
    _party: dict[object, int] = field(default_factory=dict)
    _letter: dict[Letter, int] = field(default_factory=dict)
    _after: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict)

    def party(self, one: Honest) -> int:
        """The number of a party as it is."""
        number = self._party.setdefault(one.key, len(self.parties))
        if number == len(self.parties):
            assert number <= _MASK
            self.parties.append(one)
            self.idle.append(0)
            self.busy.append(any(s.nonces_made > _NONCES for s in one.party.signer.sessions.values()))
        return number

    def bits(self, letters: Iterable[Letter]) -> int:
        """A set of messages."""
        found = 0
        for letter in letters:
            number = self._letter.setdefault(letter, len(self.letters))
            if number == len(self.letters):
                self.letters.append(letter)
                self.to[letter.to] = self.to.get(letter.to, 0) | 1 << number
            found |= 1 << number
        return found

    def after(self, party: int, what: int) -> tuple[int, int]:
        """What a message (its number), asking again or a crash makes of a party, and what it sends then."""
        found = self._after.get((party, what))
        if found is None:
            one = self.parties[party]
            if what >= 0:
                changed, letters = self.post.receive(one, self.letters[what])
            else:
                changed, letters = (self.post.again if what == _AGAIN else self.post.crash)(one)
            found = self._after[party, what] = self.party(changed), self.bits(letters)
            if what >= 0 and found == (party, 0):
                self.idle[party] |= 1 << what
        return found

    def says(self, party: int, what: int) -> str:
        """One step in words."""
        me = self.parties[party].party.me
        if what >= 0:
            return f"{me} gets {self.letters[what]}"
        return f"{me} asks again" if what == _AGAIN else f"{me} crashes and starts again"


@dataclass
class Search:
    """The three searches of one scene."""

    scene: Scene
    numbers: _Numbers
    start: int
    edges: int = 0
    states: int = 0
    depth: int = 0
    broken: dict[str, tuple[str, ...]] = field(default_factory=dict)
    seen: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, tables: Machines, scene: Scene) -> Search:
        """The searches of a scene, from where the LSP has just proposed."""
        post = Post(tables, scene)
        numbers = _Numbers(post)
        parties, letters = post.begin()
        places = enumerate(scene.parties)
        start = sum(numbers.party(parties[name]) << _BITS * place for place, name in places)
        return cls(scene, numbers, start | numbers.bits(letters) << _BITS * len(scene.parties))

    @property
    def shift(self) -> int:
        """Where the messages begin, above the parties."""
        return _BITS * len(self.scene.parties)

    def unpacked(self, here: int) -> tuple[int, ...]:
        """The parties of a situation."""
        return tuple(here >> bits & _MASK for bits in range(0, self.shift, _BITS))

    def _steps(self, here: int) -> Iterator[tuple[int, int, int]]:
        """What can happen: at which place, what, and the situation after it."""
        numbers, shift = self.numbers, self.shift
        sent = here >> shift
        crashed = any(numbers.parties[party].restarts for party in self.unpacked(here))
        for place, name in enumerate(self.scene.parties):
            party = here >> _BITS * place & _MASK
            for what in (*_ones(sent & numbers.to.get(name, 0) & ~numbers.idle[party]), *self._own(party, crashed)):
                to, letters = numbers.after(party, what)
                after = here + (to - party << _BITS * place) + ((sent | letters) - sent << shift)
                if after != here:
                    yield place, what, after

    def _own(self, party: int, crashed: bool) -> Iterator[int]:
        """What a party does by itself: it asks again, or crashes, one of them and once."""
        life = self.numbers.parties[party].party.life
        if isinstance(life, Factory) and life.attempt <= 1 + _RETRIES:
            yield _AGAIN
        if not crashed:
            yield _CRASH

    def whatever_comes(self, until: frozenset[str], meter: Meter | None) -> None:
        """Search, and heal each combination of parties once."""
        ways: dict[int, tuple[int, int, int]] = {self.start: (-1, 0, 0)}
        queue = [self.start]
        level = 1
        depth = 0
        good: set[int] = set()
        parties = ~(-1 << self.shift)
        for number, here in enumerate(queue):
            if number == level:
                depth, level = depth + 1, len(queue)
            if meter is not None and number % _OFTEN == 0:
                meter.add(0)
            fault = next((f for f in (self.numbers.parties[p].fault for p in self.unpacked(here)) if f), "")
            if fault:
                self.broken.setdefault(HARMLESS, (*self._story(ways, here), fault))
                if HARMLESS in until:
                    break
                continue
            if HEALS not in self.broken and not self._heals(here & parties, good):
                self.broken[HEALS] = (*self._story(ways, here), "everything on its way is lost", _STUCK)
                if HEALS in until:
                    break
            if any(self.numbers.busy[party] for party in self.unpacked(here)):
                continue
            for place, what, after in self._steps(here):
                self.edges += 1
                if after not in ways and len(queue) < _MOST:
                    ways[after] = (here, place, what)
                    queue.append(after)
                    if what == _AGAIN:
                        self.seen.setdefault(HARMLESS, ())
                        self.seen.setdefault(HEALS, ())
        self._count(len(queue), depth, meter)

    def in_order(self, meter: Meter | None) -> None:
        """Search with every message arriving once, each pair's in its order: whoever has none left to come is done."""
        numbers, names = self.numbers, self.scene.parties
        mail = tuple(_ones(self.start >> self.shift))
        first = (self.unpacked(self.start), mail)
        ways: dict[tuple[tuple[int, ...], tuple[int, ...]], tuple[str, ...]] = {first: ()}
        queue = [first]
        for here in queue:
            now, mail = here
            parties = [numbers.parties[party] for party in now]
            if not mail and not numbers.post.done(parties) and not any(one.fault for one in parties):
                told = (
                    self._begins(),
                    *ways[here],
                    "every message has arrived",
                    "nobody is done, and nobody sends more",
                )
                self.broken.setdefault(ARRIVES, told)
                break
            heads: set[tuple[str, str]] = set()
            for position, what in enumerate(mail if not any(numbers.busy[party] for party in now) else ()):
                letter = numbers.letters[what]
                pair = (letter.sender, letter.to)
                if pair in heads:
                    continue
                heads.add(pair)
                place = names.index(letter.to)
                to, letters = numbers.after(now[place], what)
                self.edges += 1
                after = (
                    (*now[:place], to, *now[place + 1 :]),
                    (*mail[:position], *mail[position + 1 :], *_ones(letters)),
                )
                if len(heads) > 1:
                    self.seen.setdefault(ARRIVES, ())
                if after not in ways:
                    ways[after] = (*ways[here], numbers.says(now[place], what))
                    queue.append(after)
        self._count(len(queue), 0, meter)

    def _count(self, states: int, depth: int, meter: Meter | None) -> None:
        self.states += states
        self.depth = max(self.depth, depth)
        if meter is not None:
            meter.add(states, self.edges, depth)

    def _heals(self, parties: int, good: set[int]) -> bool:
        """Whether honest parties that ask again come to the end over an honest network, with nothing on its way."""
        visited = []
        for _ in range(_ROUNDS):
            if parties in good:
                break
            visited.append(parties)
            now = list(self.unpacked(parties))
            if self.numbers.post.done(self.numbers.parties[party] for party in now):
                break
            mail: list[int] = []
            for place, party in enumerate(now):
                now[place], letters = self.numbers.after(party, _AGAIN)
                mail += _ones(letters)
            for number, what in enumerate(mail):
                if number > _LETTERS:
                    return False
                place = self.scene.parties.index(self.numbers.letters[what].to)
                now[place], letters = self.numbers.after(now[place], what)
                mail += _ones(letters)
            parties = sum(party << _BITS * place for place, party in enumerate(now))
        else:
            return False
        good.update(visited)
        return True

    def _story(self, ways: dict[int, tuple[int, int, int]], here: int) -> tuple[str, ...]:
        way: list[str] = []
        while ways[here][0] >= 0:
            before, place, what = ways[here]
            way.append(self.numbers.says(before >> _BITS * place & _MASK, what))
            here = before
        return (self._begins(), *reversed(way))

    def _begins(self) -> str:
        return f"{LSP} proposes {self.scene.name}"


_STUCK = "honest parties are stuck, however often they ask"


def _ones(bits: int) -> list[int]:
    """The numbers in a set."""
    found = []
    while bits:
        least = bits & -bits
        bits ^= least
        found.append(least.bit_length() - 1)
    return found


def explore(
    tables: Machines, until: frozenset[str] = frozenset(), meter: Meter | None = None, scenes: Iterable[Scene] = SCENES
) -> Found:
    """Search every scene. ``until``: stop when one of these is broken. ``meter`` counts."""
    every = []
    for scene in scenes:
        search = Search.of(tables, scene)
        search.in_order(meter)
        if not until & search.broken.keys():
            search.whatever_comes(until, meter)
        every.append(Found(search.states, search.edges, search.depth, search.broken, search.seen))
        if until & search.broken.keys():
            break
    return Found.of(every)
