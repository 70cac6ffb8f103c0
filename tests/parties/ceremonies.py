"""What parties really say in each ceremony of ``spec/messages.toml``: who, to whom, which message."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from superscalar_ref.parties import wire
from superscalar_ref.parties.actor import Outbox
from superscalar_ref.scenario.exit_world import FEE_SAT, LEAVER, ExitWorld
from superscalar_ref.scenario.town import LSP as SELLER
from tests.parties import channel_scene
from tests.parties.channel_home import Home
from tests.parties.channel_scene import LSP as PEER
from tests.parties.channel_scene import Pair
from tests.parties.scene import LSP, Scene, scene
from tests.parties.tower_scene import tower

Step = tuple[str, str, str]


def steps(tape: Sequence[wire.Letter | channel_scene.Letter], start: int = 0) -> tuple[Step, ...]:
    """The letters from ``start`` on, with roles in place of names; a connection's greetings are a matter of its own."""
    role = {LSP: "lsp", SELLER: "lsp", "T": "tower"}
    found = []
    for letter in tape[start:]:
        sender, to = (role.get(name, "client") for name in (letter.sender, letter.to))
        found.append((sender, to, json.loads(letter.raw)["message"]))
    return tuple(found)


def played() -> Iterator[tuple[str, tuple[Step, ...]]]:
    """Each ceremony, as one client and the LSP play it."""
    play = scene(1, towers={"T": tower()}).ceremony()
    yield "new-factory", steps(play.wire.tape)
    play.fund()
    tape = play.wire.tape

    def then(step: Callable[[], object]) -> tuple[Step, ...]:
        start = len(tape)
        step()
        return steps(tape, start)

    yield "update", then(lambda: play.update(play.tree.leaves()[0].path))
    yield "sale", then(lambda: _sale(play))
    yield "close", then(play.close)
    home = Home.start(("ann",), ("ann",))
    tape = home.scene.wire.tape
    yield "payment", then(lambda: home.pay("ann", 1_000_000))
    yield "move", then(lambda: home.update(home.leaf()))
    pair = Pair()
    pair.open()
    yield "open-channel", steps(pair.tape)
    start = len(pair.tape)
    pair.say(PEER, lambda side: side.shutdown())
    yield "close-channel", steps(pair.tape, start)
    yield from _exits()


def _exits() -> Iterator[tuple[str, tuple[Step, ...]]]:
    before = ExitWorld.found()
    world = before.branch()
    tape = posted(world)
    leave(world)
    yield "exit", steps(tape)
    world = before.branch()
    tape = posted(world)
    world.post(LEAVER, world.cast.desks[LEAVER].ask_exit(LEAVER, FEE_SAT - 1))
    world.run()
    yield "exit-refused", steps(tape)
    world = before.branch()
    tape = posted(world)
    world.ask()
    while world.exit_of(LEAVER).status != "inside":
        assert world.deliver()
    world.post(SELLER, world.exit_of(SELLER).give_up())
    world.run()
    assert world.exit_of(LEAVER).status == world.exit_of(SELLER).status == "refunded"
    yield "exit-given-up", steps(tape)


def posted(world: ExitWorld, sent_as: Callable[[wire.Letter], bytes] = lambda letter: letter.raw) -> list[wire.Letter]:
    """Every letter that is sent from here on, as ``sent_as`` makes it."""
    tape: list[wire.Letter] = []
    post = world.wire.post

    def through(sender: str, outbox: Outbox) -> None:
        letters = [wire.Letter(sender, to, raw) for to, raw in outbox.messages]
        made = [replace(letter, raw=sent_as(letter)) for letter in letters]
        tape.extend(made)
        post(sender, replace(outbox, messages=[(letter.to, letter.raw) for letter in made]))

    world.wire.post = through  # type: ignore[method-assign]
    return tape


def leave(world: ExitWorld) -> None:
    """The leaver asks, is paid on chain, and the LSP has taken what was locked inside."""
    world.ask()
    for _ in range(100):
        world.step()
        if world.over(SELLER) and world.over(LEAVER):
            break
    world.run()
    assert world.exit_of(SELLER).status == world.exit_of(LEAVER).status == "claimed"


def _sale(play: Scene) -> None:
    play.wire.post("c0", play.clients["c0"].buy(5_000, 1_000))
    play.wire.run()
