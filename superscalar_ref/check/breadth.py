"""A search breadth first, so that each way that it finds is a shortest one; and what several searches found, as one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from superscalar_ref.check.meter import Meter

S = TypeVar("S")

_TOLD = 2_000
"""The meter hears after so many scenes."""


@dataclass(frozen=True)
class Found:
    """What a search found."""

    states: int
    edges: int
    depth: int
    broken: dict[str, tuple[str, ...]]
    """Property → the shortest way to break it."""
    seen: dict[str, tuple[str, ...]]
    """Property → the shortest way to an example of what it is about."""

    @classmethod
    def of(cls, every: Sequence[Found]) -> Found:
        """Several searches as one: what the earlier of them found comes first."""
        return cls(
            sum(found.states for found in every),
            sum(found.edges for found in every),
            max(found.depth for found in every),
            {name: way for found in reversed(every) for name, way in found.broken.items()},
            {name: way for found in reversed(every) for name, way in found.seen.items()},
        )


class Breadth(Generic[S]):
    """Every scene that can be reached, numbered in the order in which it was found."""

    def __init__(self, start: S) -> None:
        """Begin with one scene."""
        self.scenes = [start]
        self.edges = 0
        self.endless = False
        """Whether there were more scenes than were asked for."""
        self.broken: dict[str, int] = {}
        """Property → the first scene that breaks it."""
        self.seen: dict[str, int] = {}
        """Property → the first scene that is an example of it."""
        self._ways = [(-1, "")]
        self._before: list[list[int]] = [[]]
        self._depths = [0]

    def run(
        self,
        moves: Callable[[S], Iterable[tuple[str, S]]],
        fault: Callable[[S], str],
        examples: Callable[[S], Iterable[str]],
        until: frozenset[str] = frozenset(),
        meter: Meter | None = None,
        most: int | None = None,
    ) -> None:
        """Go through every scene; nothing happens any more in one with a ``fault``: the property that it breaks.

        ``until``: stop at the first that breaks one of these. ``most``: stop after so many scenes. ``meter`` counts.
        """
        numbers = {self.scenes[0]: 0}
        told = told_edges = 0
        for place, here in enumerate(self.scenes):
            if meter is not None and len(self.scenes) >= told + _TOLD:
                meter.add(len(self.scenes) - told, self.edges - told_edges, self._depths[place])
                told, told_edges = len(self.scenes), self.edges
            if most is not None and len(self.scenes) > most:
                self.endless = True
                break
            name = fault(here)
            if name:
                self.broken.setdefault(name, place)
                if name in until:
                    break
                continue
            for name in examples(here):
                self.seen.setdefault(name, place)
            for says, after in moves(here):
                self.edges += 1
                number = numbers.setdefault(after, len(self.scenes))
                if number == len(self.scenes):
                    self.scenes.append(after)
                    self._ways.append((place, says))
                    self._before.append([])
                    self._depths.append(self._depths[place] + 1)
                self._before[number].append(place)
        if meter is not None:
            meter.add(len(self.scenes) - told, self.edges - told_edges, max(self._depths))

    def stuck(self, ended: Callable[[S], bool], fault: Callable[[S], str]) -> int | None:
        """The first scene without a ``fault`` from which no way leads to one that has ``ended``."""
        ending = [place for place, scene in enumerate(self.scenes) if ended(scene)]
        met = set(ending)
        for place in ending:
            for earlier in self._before[place]:
                if earlier not in met:
                    met.add(earlier)
                    ending.append(earlier)
        every = enumerate(self.scenes)
        return next((place for place, scene in every if place not in met and not fault(scene)), None)

    def way(self, place: int, last: str) -> tuple[str, ...]:
        """The way by which a scene was first reached, and at its end ``last``, if there is anything to say."""
        way = [last] if last else []
        while place:
            place, says = self._ways[place]
            way.append(says)
        return tuple(reversed(way))

    def found(self, last: Callable[[str, S], str]) -> Found:
        """Everything that was found; ``last`` says of a property and a scene what comes at the end of its way."""

        def told(places: dict[str, int]) -> dict[str, tuple[str, ...]]:
            return {name: self.way(place, last(name, self.scenes[place])) for name, place in places.items()}

        return Found(len(self.scenes), self.edges, max(self._depths), told(self.broken), told(self.seen))
