"""Honest parties and a bad network: the tables hold, and each rule about late, doubled and lost messages is missed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from superscalar_ref.check import network
from superscalar_ref.check.mail import LSP, SCENES, Letter, Post, Scene
from superscalar_ref.check.network import ARRIVES, HARMLESS, HEALS
from superscalar_ref.protocol.participant import Machines, bind_machines, machines
from superscalar_ref.spec.load import load_machine
from superscalar_ref.spec.table import Machine, Transition

FIRST, UPDATE, CLOSE, TWO = SCENES


def without(row: str, part: str = "") -> Machines:
    """The tables without a row, or without one of its guards or effects."""

    def changed(table: Machine) -> Machine:
        rows: list[Transition] = []
        for one in table.transitions:
            if one.id != row:
                rows.append(one)
            elif part:
                guards = tuple(guard for guard in one.guards if guard != part)
                effects = tuple(effect for effect in one.effects if effect != part)
                assert (guards, effects) != (one.guards, one.effects)
                rows.append(replace(one, guards=guards, effects=effects))
        return replace(table, transitions=tuple(rows))

    return bind_machines(*(changed(load_machine(name)) for name in ("session", "client", "factory")))


def test_honest_parties_hold_and_nothing_holds_for_want_of_cases() -> None:
    found = network.explore(machines())
    assert found.broken == {}
    assert set(found.seen) == set(network.PROPERTIES)
    assert found.states > 10_000


@pytest.mark.parametrize(
    ("row", "part", "scene", "breaks"),
    [
        ("SES-1", "", TWO, ARRIVES),
        ("SES-1", "attempt_is_newer", TWO, HARMLESS),
        ("SES-2", "", TWO, ARRIVES),
        ("SES-2", "of_this_attempt", FIRST, HARMLESS),
        ("SES-2", "last_nonce", TWO, HARMLESS),
        ("SES-3", "", TWO, ARRIVES),
        ("SES-3", "of_this_attempt", TWO, HARMLESS),
        ("SES-3", "nonce_is_first", TWO, HARMLESS),
        ("SES-4", "", FIRST, ARRIVES),
        ("SES-4", "of_this_attempt", FIRST, HARMLESS),
        ("SES-6", "last_partial", TWO, HARMLESS),
        ("SES-7", "", TWO, ARRIVES),
        ("SES-7", "partial_verifies", FIRST, HARMLESS),
        ("SES-10", "", FIRST, ARRIVES),
        ("SES-10", "of_this_attempt", FIRST, HARMLESS),
        ("SES-11", "", FIRST, ARRIVES),
        ("FAC-26", "", FIRST, HEALS),
        ("FAC-26", "next_attempt", FIRST, HEALS),
        ("FAC-27", "", UPDATE, HEALS),
        ("FAC-28", "", CLOSE, HEALS),
    ],
)
def test_each_rule_about_messages_is_missed(row: str, part: str, scene: Scene, breaks: str) -> None:
    found = network.explore(without(row, part), frozenset({breaks}), scenes=(scene,))
    assert found.broken[breaks][0] == f"{LSP} proposes {scene.name}"
    assert len(found.broken[breaks]) > 2


def test_a_part_of_an_attempt_that_a_crash_made_forget_is_refused_and_nobody_is_at_fault() -> None:
    """The one case in which an honest part is not valid: a doubled 'begin' after a crash opens an attempt again.

    That it heals is part of the whole search above.
    """
    post = Post(machines(), FIRST)
    parties, letters = post.begin()
    lsp, client_ = parties[LSP], parties["A"]
    sent: dict[tuple[str, str], Letter] = {}
    mail = list(letters)
    while mail:
        letter = mail.pop(0)
        sent[letter.name, letter.transaction] = letter
        if letter.name == "partial":
            break
        if letter.to == LSP:
            lsp, more = post.receive(lsp, letter)
        else:
            client_, more = post.receive(client_, letter)
        mail += more
    client_, _ = post.crash(client_)
    client_, _ = post.receive(client_, sent["begin", ""])
    client_, answer = post.receive(client_, sent["aggregate_nonce", "leaf"])
    (partial,) = (letter for letter in answer if letter.name == "partial")
    after, _ = post.receive(lsp, partial)
    assert after.fault == ""
    assert after.party.signer.sessions["leaf"].partials == frozenset()
