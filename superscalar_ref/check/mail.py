"""Honest parties that sign one thing by their own tables, and the messages that they send; see ``network``.

Nonces and signatures are symbols that know what they were made for: a part is valid beside those that were made for the
same aggregate nonce, and beside no others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import cast

from superscalar_ref.errors import Refused
from superscalar_ref.machine.types import Action, Event, Value
from superscalar_ref.protocol.client import Client, Limits
from superscalar_ref.protocol.factory import Factory
from superscalar_ref.protocol.odometer import Odometer
from superscalar_ref.protocol.participant import (
    Durable,
    Machines,
    Participant,
    Signer,
    Turn,
    deliver,
    live,
    own_steps,
    recover,
    with_tasks,
)
from superscalar_ref.protocol.session import Task
from superscalar_ref.protocol.shape import Shape, grow

LSP = "L"
_SIGNING = frozenset({"signing", "updating", "closing", "update_signing", "close_signing"})

Nonce = tuple[int, int]
"""Made after so many restarts, with this number: no two of one signer for one transaction are alike."""
Aggregate = frozenset[tuple[str, Nonce]]
Partial = tuple[Nonce, Aggregate]
"""A partial signature: the nonce that it was made with, for this aggregate nonce."""
Content = str | bool | Nonce | Aggregate | Partial


@dataclass(frozen=True)
class Letter:
    """A message."""

    sender: str
    to: str
    name: str
    transaction: str = ""
    attempt: int = 0
    content: Content = ""

    def __str__(self) -> str:
        what = f" of '{self.transaction}'" if self.transaction else ""
        return (
            f"{self.sender}'s {self.name.replace('_', ' ')}{what} (attempt {self.attempt})"
            if self.attempt
            else (f"{self.sender}'s {self.name.replace('_', ' ')}{what}")
        )


@dataclass(frozen=True)
class Scene:
    """What is signed, by whom, and how it begins."""

    name: str
    clients: tuple[str, ...]
    version: str
    """Of what is signed; ``close`` for a close."""
    tasks: Mapping[str, tuple[Task, ...]]
    """By party."""
    kits: Mapping[str, frozenset[str]]
    """What each party is to hold."""

    @property
    def parties(self) -> tuple[str, ...]:
        """Everybody, the LSP first."""
        return (LSP, *self.clients)

    @property
    def to_sign(self) -> frozenset[str]:
        """Everything that is signed."""
        return frozenset(task.transaction for tasks in self.tasks.values() for task in tasks)


@dataclass(frozen=True)
class Ram:
    """What a signer keeps in memory for one transaction."""

    nonce: Nonce | None = None
    nonces: Aggregate = frozenset()
    """Collector: what the others have sent."""
    aggregate: Aggregate = frozenset()
    mine: Partial | None = None
    partials: frozenset[tuple[str, Partial]] = frozenset()


@dataclass(frozen=True)
class Honest:
    """One party, what a crash leaves of it, and the ghosts."""

    party: Participant
    disk: Client | Factory
    ram: tuple[tuple[str, Ram], ...] = ()
    restarts: int = 0
    used: frozenset[tuple[str, Nonce]] = frozenset()
    """Ghost: nonces that have signed."""
    fault: str = ""
    """Ghost: what must not happen, and has."""

    @property
    def key(self) -> object:
        """Two with the same key have the same future."""
        signer = self.party.signer
        sessions = frozenset(signer.sessions.items())
        return (self.party.life, sessions, signer.held, signer.records, self.disk, self.ram, self.restarts, self.used,
                self.fault)  # fmt: skip

    def memory(self, name: str) -> Ram:
        """What it keeps for a transaction."""
        return dict(self.ram).get(name, Ram())

    def remember(self, name: str, ram: Ram) -> Honest:
        """The same with other memory for a transaction."""
        return replace(self, ram=tuple(sorted({**dict(self.ram), name: ram}.items(), key=lambda item: item[0])))


def _task(name: str, collector: str, signers: frozenset[str], holders: frozenset[str], needs: str = "") -> Task:
    return Task(name, f"sighash of {name}", f"{name}:0", "", signers, collector, holders, frozenset({needs} - {""}))


def _scenes() -> tuple[Scene, ...]:
    """The LSP waits for its own child; a client for its own, which it collects; two clients and one transaction."""
    two, three = frozenset({LSP, "A"}), frozenset({LSP, "A", "B"})
    scenes = []
    for name, version, holder in (("the first version", "0", LSP), ("an update", "1", "A")):
        child = _task("own", holder, two, frozenset({holder}))
        scenes.append(
            Scene(
                name,
                ("A",),
                version,
                {who: (_task("leaf", LSP, two, two, "own" if who == holder else ""), child) for who in sorted(two)},
                {who: frozenset({"leaf", "own"} if who == holder else {"leaf"}) for who in two},
            )
        )
    close = _task("close", LSP, two, two)
    scenes.append(
        Scene("a close", ("A",), "close", dict.fromkeys(two, (close,)), dict.fromkeys(two, frozenset({"close"})))
    )
    state = _task("state", LSP, three, three)
    kit = frozenset({"state"})
    scenes.append(Scene("two clients", ("A", "B"), "0", dict.fromkeys(three, (state,)), dict.fromkeys(three, kit)))
    return tuple(scenes)


SCENES = _scenes()
_NONCES = ("nonce", "aggregate_nonce")
_LIMITS = Limits(ceiling=10, margin=1, life=10, depth=1, reaction=1)
_PROPOSAL: Mapping[str, Value] = {
    "funding_claimed": "funding",
    "funding_computed": "funding",
    "exit_blocks": 5,
    "height": 0,
    "end": 10,
    "shortest_lock": 2,
    "end_default": "inverted/every",
}


class Post:
    """One scene: the steps of its parties, and the messages that these send."""

    def __init__(self, tables: Machines, scene: Scene) -> None:
        self.tables, self.scene = tables, scene

    # Beginning

    def begin(self) -> tuple[dict[str, Honest], tuple[Letter, ...]]:
        """The parties when the LSP has just proposed, and its proposals."""
        scene = self.scene
        tree = grow(Shape.of((2,), leaf_k=1), scene.clients)
        everybody = frozenset(scene.clients)
        factory = Factory("gathering", LSP, everybody, 1, 10, everybody, odometer=Odometer.new(tree, 3))
        client = Client("verifying", "", LSP, _LIMITS, promised=4)
        if scene.version != "0":
            factory = replace(factory, status="active", version="0")
            client = replace(client, status="active", version="0", newest_agreed="0", owed=4, kit=frozenset({"old"}))
        lives: dict[str, Client | Factory] = {name: replace(client, me=name) for name in scene.clients}
        parties = {
            name: Honest(Participant(life, Signer(name)), life) for name, life in {LSP: factory, **lives}.items()
        }
        lsp, letters = self.take(self._computed(parties[LSP]), self._opening())
        return {**parties, LSP: lsp}, letters

    def _opening(self) -> Event:
        scene = self.scene
        plan: dict[str, Value] = {
            "digest": f"plan {scene.version}",
            "version": scene.version,
            "kit": scene.kits[LSP],
            "to_sign": scene.to_sign,
        }
        if scene.version == "0":
            return Event.of("propose", LSP, **plan)
        if scene.version == "close":
            return Event.of("begin_close", LSP, **plan)
        return Event.of("begin_update", LSP, node="r", concerned=frozenset(scene.clients), **plan)

    def _computed(self, one: Honest) -> Honest:
        """A party that has computed the plan: it has a session for each transaction that it signs."""
        signer = with_tasks(one.party.signer, self.scene.tasks[one.party.me])
        return replace(one, party=replace(one.party, signer=signer))

    # Steps

    def take(self, one: Honest, event: Event) -> tuple[Honest, tuple[Letter, ...]]:
        """One event of a party's life; nothing changes when its table refuses it."""
        try:
            party, turn = live(self.tables, one.party, event)
        except Refused:
            return one, ()
        return self._perform(replace(one, party=party), turn, None)

    def receive(self, one: Honest, letter: Letter) -> tuple[Honest, tuple[Letter, ...]]:
        """One message; nothing changes when the party's tables refuse it."""
        by, name = letter.sender, letter.transaction
        if letter.name == "begin":
            return self._opens(one, letter.attempt)
        if not name:
            event = self._event(one, letter)
            after, letters = self.take(one, event)
            taken = after is not one and letter.name in ("proposal", "update", "close")
            return (self._computed(after) if taken else after), letters
        if letter.name == "signature":
            event = Event.of("signature", by, valid=letter.content is True)
        elif letter.name == "partial":
            valid = self._valid(one.memory(name), by, letter.content)
            event = Event.of("partial", by, attempt=letter.attempt, valid=valid)
        else:
            event = Event.of(letter.name, by, attempt=letter.attempt)
        party, turn = deliver(self.tables, one.party, [(name, event)])
        if any(refused.guard == "partial_verifies" for refused in turn.refused) and not self._restarted(one, letter):
            return replace(one, fault=f"{one.party.me} finds the part of {by} invalid, and {by} is honest"), ()
        if turn.refused and not turn.actions:
            return one, ()
        return self._perform(replace(one, party=party), turn, letter)

    @staticmethod
    def _restarted(one: Honest, letter: Letter) -> bool:
        """Whether one of the two has forgotten that it had opened this attempt: its part, or the other's, is void."""
        (restarts, _), _ = cast(Partial, letter.content)
        return one.restarts > 0 or restarts > 0

    @staticmethod
    def _valid(ram: Ram, by: str, content: Content) -> bool:
        nonce, aggregate = cast(Partial, content)
        return aggregate == ram.aggregate and (by, nonce) in ram.aggregate

    def _opens(self, one: Honest, attempt: int) -> tuple[Honest, tuple[Letter, ...]]:
        """A client that is told to begin opens its sessions, or starts them over."""
        if one.party.life.status not in _SIGNING:
            return one, ()
        letters: tuple[Letter, ...] = ()
        for task in self.scene.tasks[one.party.me]:
            if task.transaction in one.party.signer.held:
                continue
            event = Event.of("open", one.party.me, attempt=attempt)
            party, turn = deliver(self.tables, one.party, [(task.transaction, event)])
            if turn.refused and not turn.actions:
                continue
            one, more = self._perform(replace(one, party=party), turn, None)
            letters += more
        return one, letters

    def _event(self, one: Honest, letter: Letter) -> Event:
        scene, version, me = self.scene, self.scene.version, one.party.me
        if letter.name == "agreement":
            return Event.of("agreement", letter.sender, digest=str(letter.content))
        if letter.name == "kit_complete":
            return Event.of("kit_complete", letter.sender, version=str(letter.content))
        if letter.name in ("abort", "update_aborted"):
            return Event.of(letter.name, me if letter.name == "update_aborted" else LSP)
        if letter.name == "close":
            return Event.of("close_proposal", LSP, balance=4, to_sign=scene.to_sign)
        plan: dict[str, Value] = {"version": version, "balance": 4, "kit": scene.kits[me], "to_sign": scene.to_sign}
        if letter.name == "update":
            return Event.of("update_proposal", LSP, **plan)
        return Event.of("proposal", LSP, **plan, **_PROPOSAL)

    def _perform(self, one: Honest, turn: Turn, letter: Letter | None) -> tuple[Honest, tuple[Letter, ...]]:
        """Do the actions of a turn in their order."""
        letters: list[Letter] = []
        for action in turn.actions:
            if action.kind == "send":
                one, sent = self._send(one, action)
                letters += sent
            elif action.kind == "persist" and action.name == "signature":
                one = self._stored(one, str(action["transaction"]), letter)
            elif action.kind == "persist" and action.name != "record":
                one = self._written(replace(one, disk=one.party.life))
            elif action.kind in ("nonce", "keep", "sign", "forget"):
                one = self._signs(one, action, letter)
        return one, tuple(letters)

    def _written(self, one: Honest) -> Honest:
        """What a party counts on, it holds; the LSP counts when everybody does: they say so only then."""
        life = one.party.life
        lacks = self.scene.kits[one.party.me] - one.party.signer.held
        if life.version == self.scene.version and lacks:
            return replace(one, fault=f"{one.party.me} counts on version {life.version} without '{min(lacks)}'")
        return one

    def _signs(self, one: Honest, action: Action, letter: Letter | None) -> Honest:
        """What a signer keeps in memory."""
        name = action.name if action.kind != "keep" else str(action["transaction"])
        ram = one.memory(name)
        if action.kind == "nonce":
            return one.remember(name, Ram(nonce=(one.restarts, int(str(action["number"])))))
        if action.kind == "forget":
            return one.remember(name, replace(ram, nonce=None))
        if action.kind == "sign":
            if ram.nonce is None:
                return replace(one, fault=f"{one.party.me} signs '{name}' without a nonce")
            if (name, ram.nonce) in one.used:
                one = replace(one, fault=f"{one.party.me} signs '{name}' twice with one nonce")
            one = replace(one, used=one.used | {(name, ram.nonce)})
            return one.remember(name, replace(ram, mine=(ram.nonce, ram.aggregate)))
        assert letter is not None
        if action.name == "nonce":
            if any(who == letter.sender for who, _ in ram.nonces):
                one = replace(one, fault=f"{one.party.me} replaces the nonce of {letter.sender}, which it had")
            return one.remember(name, replace(ram, nonces=ram.nonces | {(letter.sender, cast(Nonce, letter.content))}))
        if action.name == "aggregate_nonce":
            return one.remember(name, replace(ram, aggregate=cast(Aggregate, letter.content)))
        partial = (letter.sender, cast(Partial, letter.content))
        return one.remember(name, replace(ram, partials=ram.partials | {partial}))

    def _send(self, one: Honest, action: Action) -> tuple[Honest, list[Letter]]:
        me, life = one.party.me, one.party.life
        fields = dict(action.fields)
        if "transaction" not in fields:
            content: Content = str(fields.get("version", self.scene.version))
            if action.name == "agreement":
                content = f"plan {self.scene.version}"
            attempt = life.attempt if isinstance(life, Factory) and action.name == "begin" else 0
            return one, [Letter(me, action.to, action.name, "", attempt, content)]
        name = str(fields["transaction"])
        ram = one.memory(name)
        content = True
        if (action.name == "partial" and ram.mine is None) or (action.name in _NONCES and ram.nonce is None):
            return replace(one, fault=f"{me} sends a {action.name} of '{name}' that it has not made"), []
        if action.name == "nonce" and ram.nonce is not None:
            content = ram.nonce
        elif action.name == "aggregate_nonce" and ram.nonce is not None:
            content = ram.nonces | {(me, ram.nonce)}
            one = one.remember(name, replace(ram, aggregate=content))
        elif action.name == "partial" and ram.mine is not None:
            content = ram.mine
        # A complete signature does not say in which attempt it was made.
        attempt = 0 if action.name == "signature" else int(str(fields["attempt"]))
        return one, [Letter(me, action.to, action.name, name, attempt, content)]

    def _stored(self, one: Honest, name: str, letter: Letter | None) -> Honest:
        """A stored signature must be one."""
        if letter is not None and letter.name == "signature":
            return one
        me, ram = one.party.me, one.memory(name)
        signers = next(task.signers for task in self.scene.tasks[me] if task.transaction == name)
        parts = {*ram.partials, *({(me, ram.mine)} if ram.mine else set())}
        good = {who for who, part in parts if self._valid(ram, who, part)}
        if good >= signers:
            return one
        return replace(one, fault=f"{me} stores '{name}' without the part of {min(signers - good)}")

    # Asking again, crashing

    def again(self, one: Honest) -> tuple[Honest, tuple[Letter, ...]]:
        """What a party does that has waited long enough, by what it knows itself."""
        scene, life, me = self.scene, one.party.life, one.party.me
        if isinstance(life, Client):
            agreed = life.pending == scene.version or life.status == "closing"
            if life.status in _SIGNING and agreed:
                return one, (Letter(me, LSP, "agreement", content=f"plan {scene.version}"),)
            if life.version == scene.version:
                return one, (Letter(me, LSP, "kit_complete", content=life.version),)
            return one, ()
        name = {"proposed": "proposal", "updating": "update", "closing": "close"}.get(life.status)
        if name is not None:
            return one, tuple(Letter(LSP, client, name, content=scene.version) for client in scene.clients)
        if life.status not in _SIGNING and life.version != scene.version:
            return one, ()
        whole = tuple(
            Letter(LSP, client, "signature", task.transaction, content=True)
            for task in scene.tasks[LSP]
            for client in scene.clients
            if client in task.holders and task.transaction in one.party.signer.held
        )
        after, letters = self.take(one, Event.of("retry", LSP))
        return after, (*whole, *letters)

    def crash(self, one: Honest) -> tuple[Honest, tuple[Letter, ...]]:
        """Stop, and start again from what is durable: no nonce, no session; what was to be signed is computed anew."""
        signer = one.party.signer
        stored = Durable(one.disk, signer.held, signer.records, signer.tree_on_chain)
        back = replace(one, party=recover(stored), ram=(), restarts=one.restarts + 1)
        if back.disk.status in _SIGNING | {"gathering", "proposed"}:
            back = self._computed(back)
        party, turn = own_steps(self.tables, back.party)
        return self._perform(replace(back, party=party), turn, None)

    def done(self, parties: Iterable[Honest]) -> bool:
        """Whether all of them have what this was about; a close is everybody's once the LSP has broadcast it."""
        kits, version = self.scene.kits, self.scene.version
        if version == "close":
            return any(one.party.life.status == "close_published" for one in parties)
        return all(
            kits[one.party.me] <= one.party.signer.held
            and one.party.life.version == version
            and one.party.life.status not in _SIGNING
            for one in parties
        )
