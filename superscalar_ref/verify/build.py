"""Scenario 'build': the ceremony, leaf first and fund last, and the funding transaction on the chain."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

from superscalar_ref.errors import Refused
from superscalar_ref.parties.messages import decode
from superscalar_ref.parties.wire import Letter
from superscalar_ref.protocol.blueprint import FUNDING
from superscalar_ref.report.result import Check, Messages
from superscalar_ref.verify.scene import Named, Parties, Scene, Trial


@dataclass(frozen=True)
class Built:
    """What the ceremony gave."""

    checks: tuple[Check, ...]
    messages: Messages
    trial: Trial
    funding_sat: int


def build_factory(scene: Scene) -> Built:
    """Run the ceremony to an active factory; leave the stores under ``home/active`` and the chain in the trial."""
    home = scene.home / "active"
    home.mkdir()
    parties = scene.parties(home)
    wire = parties.wire
    checks: list[Check] = []
    order = _Order(parties)
    wire.post(parties.lsp.name, parties.lsp.invite())
    refused = ""
    while wire.letters:
        letter = wire.letters.popleft()
        if parties.lsp.life.status == "signing" and not refused:
            refused = _fund_too_early(parties)
        order.before(letter)
        wire.deliver(letter)
        scene.progress(f"ceremony: {wire.count} messages, {len(parties.lsp.held)} transactions complete")
    checks.extend(_ceremony_checks(scene, parties, order, refused))
    trial = Trial("build", scene.start)
    wire.post(parties.lsp.name, parties.lsp.fund())
    funding = wire.broadcasts.pop()
    height = trial.mine(Named(FUNDING, "funding", funding, parties.lsp.factory.templates[FUNDING].fee))
    trial.ledger.advance(scene.depth() - 1)
    for actor in parties.everyone():
        scene.watch(actor, trial)
    statuses = {actor.party.life.status for actor in parties.everyone()}
    checks.append(
        Check(
            "build/active",
            "build",
            "every party sees the funding transaction deep enough and counts on the factory",
            statuses == {"active"},
            f"confirmed at {height}, {scene.depth()} deep at {trial.ledger.height}",
            ("FAC-9", "CLI-4"),
        )
    )
    for actor in parties.everyone():
        fold(actor.store.path)
    parties.close()
    return Built(tuple(checks), Messages(wire.count, wire.size), trial, funding.outputs[0].amount_sat)


def fold(path: object) -> None:
    """Fold the write-ahead log into the file, so that one file is the whole store."""
    connection = sqlite3.connect(str(path))
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def _fund_too_early(parties: Parties) -> str:
    """Ask the LSP to fund before the kits are complete: its table must refuse. Returns the refusal."""
    try:
        parties.lsp.fund()
    except Refused as error:
        return str(error)
    return ""


class _Order:
    """Watches the wire: a party that signs a parent must hold its children."""

    def __init__(self, parties: Parties) -> None:
        self._actors = {actor.name: actor for actor in parties.everyone()}
        self.partials = 0
        self.wrong: list[str] = []

    def before(self, letter: Letter) -> None:
        """Look at a message before it arrives."""
        message = decode(letter.raw, letter.sender)
        for name in getattr(message, "partials", {}):
            self.partials += 1
            actor = self._actors[letter.sender]
            session = actor.party.signer.sessions.get(name)
            if session is None or not session.task.needs <= actor.held:
                self.wrong.append(f"{letter.sender} signed {name} without its children")


def _ceremony_checks(scene: Scene, parties: Parties, order: _Order, refused: str) -> Iterator[Check]:
    wire, lsp = parties.wire, parties.lsp
    clients = parties.clients.values()
    yield Check(
        "build/ceremony",
        "build",
        f"{len(parties.clients) + 1} parties, each with only its own key, agree and sign everything by messages",
        lsp.life.status == "signed" and not wire.alerts,
        wire.alerts[0] if wire.alerts else f"{wire.count} messages, {wire.size:,} bytes, {len(lsp.held)} transactions",
        ("FAC-3", "FAC-5", "SES-1", "SES-6"),
    )
    yield Check(
        "build/children-first",
        "build",
        "every partial signature left after its signer held all children of the transaction",
        not order.wrong and order.partials > 0,
        order.wrong[0] if order.wrong else f"{order.partials} partial signatures watched on the wire",
        ("SES-5", "D-4"),
    )
    missing = [
        f"{client.name} lacks {name}"
        for client in clients
        for name in sorted(client.life.kit - frozenset(client.signatures))
    ]
    missing.extend(
        f"{client.name}: the signature of {name} is wrong"
        for client in clients
        for name in client.signatures
        if not client.room.signature_verifies(name, client.signatures[name])
    )
    kits = sum(len(client.life.kit) for client in clients)
    yield Check(
        "build/kits",
        "build",
        "every client holds its whole exit kit, each signature verified by itself, before the LSP may fund",
        not missing and all(client.life.status == "holding" for client in clients),
        missing[0] if missing else f"{kits} transactions in {len(parties.clients)} kits",
        ("CLI-3", "D-16"),
    )
    yield Check(
        "build/fund-last",
        "build",
        "the LSP's own table refuses to fund before every kit is complete",
        bool(refused),
        refused or "it would have funded",
        ("FAC-7", "FAC-8"),
    )
