"""What the LSP cannot do, whatever it tries: steal, censor alone, prevent an exit, refuse a refund; each is tried."""

from __future__ import annotations

from dataclasses import replace

from superscalar_ref.machine.bind import bind
from superscalar_ref.machine.step import BoundMachine
from superscalar_ref.protocol.blueprint import FUNDING, Channel, LeafContents
from superscalar_ref.protocol.factory import RULES, Factory
from superscalar_ref.protocol.transaction import Outpoint, Role
from superscalar_ref.scenario.leaving import alternates_of, from_kit, spend_together
from superscalar_ref.scenario.presence import GAIN
from superscalar_ref.scenario.settings import short_plan
from superscalar_ref.scenario.stage import Stage
from superscalar_ref.scenario.story import CHAIN, Told
from superscalar_ref.scenario.town import LSP
from superscalar_ref.spec.load import load_machine


def steal() -> Told:
    """The LSP spends each output on a client's path to itself, with the only key that it has: Core refuses each."""
    stage = Stage(replace(short_plan(2), reserve_every=1))
    client = stage.clients[0]
    stage.sleep(*stage.cast.names)
    stage.awake.add(client)
    from_kit(stage, client)
    archive = stage.cast.factory.lsp.factory
    outputs = [
        Outpoint(name, index)
        for name in (FUNDING, *stage.cast.factory.lsp.counted_blueprint().path(client))
        for index, output in enumerate(archive.templates[name].outputs)
        if output.role in (Role.TREE, Role.CHANNEL, Role.STOCK)
    ]
    tried: set[Outpoint] = set()
    while stage.status(client) != "swept":
        for point in outputs:
            if point not in tried and stage.unspent(point):
                tried.add(point)
                taken, _ = spend_together(stage, point, (), [])
                said = stage.cast.ledger.would_accept([taken.serialized])
                if said.accepted or "Schnorr" not in said.said:
                    raise AssertionError(f"the LSP alone takes {point}: {said.said}")
                stage.tell(LSP, f"takes {point.transaction}#{point.index} with its own key alone: refused", CHAIN)
        stage.block()
    return stage.finish(**{client: stage.plan.balance})


def censor() -> Told:
    """The LSP proposes a version that gives a client less: without the client's signature there is none."""
    stage = Stage(replace(short_plan(1), reserve_every=1))
    (client,) = stage.clients
    lsp, wire = stage.cast.factory.lsp, stage.cast.wire
    lsp.tables = replace(lsp.tables, factory=_that_takes_anything())
    leaf = lsp.tree.leaf_of(client).path
    worse = Channel(client, stage.plan.balance - GAIN, stage.plan.inbound + GAIN)
    stage.tell(LSP, f"a new version, in which it has {GAIN:,} sat less", client)
    wire.post(LSP, lsp.update(leaf, {leaf: LeafContents((worse,), (stage.plan.stock,))}))
    wire.run()
    stage.tell(client, f"refuses: {wire.alerts[-1]}", LSP)
    stage.tell("", "without its signature there is no such version")
    stage.sleep(LSP)
    from_kit(stage, client)
    stage.until_swept(client)
    return stage.finish(**{client: stage.plan.balance})


def _that_takes_anything() -> BoundMachine[Factory]:
    """The LSP's table without the guards of an update: an honest LSP refuses itself to propose such a version."""
    table = load_machine("factory")
    rows = tuple(replace(row, guards=()) if row.event == "begin_update" else row for row in table.transitions)
    return bind(replace(table, transitions=rows), RULES)


def prevent_exit() -> Told:
    """The LSP goes silent in the middle of an update, for ever; the client exits."""
    stage = Stage(replace(short_plan(1), reserve_every=1))
    (client,) = stage.clients
    wire = stage.cast.wire
    wire.post(LSP, stage.cast.factory.lsp.update("r", {}))
    for _ in range(5):
        wire.deliver(wire.letters.popleft())
    wire.letters.clear()
    stage.tell(LSP, f"stops after 5 messages of an update: the client is '{stage.status(client)}'")
    stage.sleep(LSP)
    from_kit(stage, client)
    stage.until_swept(client)
    return stage.finish(**{client: stage.plan.balance})


def refuse_refund() -> Told:
    """The LSP never closes with a client that has no coin at all: the client waits, and is paid at the end."""
    stage = Stage(replace(short_plan(1), reserve_every=0))
    (client,) = stage.clients
    stage.tell(LSP, "answers nothing from here on")
    stage.sleep(LSP)
    stage.until_swept(client)
    return stage.finish(**{client: alternates_of(stage, FUNDING, client)})
