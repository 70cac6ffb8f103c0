"""Mistakes planted by hand: a short story, a trouble at each letter in turn, or chance finds each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from superscalar_ref.machine.bind import bind
from superscalar_ref.machine.types import Event, Rules
from superscalar_ref.parties import actor, lsp
from superscalar_ref.protocol import blueprint, client, factory, session, strategy
from superscalar_ref.protocol.participant import Machines, machines
from superscalar_ref.protocol.session import Session
from superscalar_ref.protocol.transaction import Role
from superscalar_ref.realise import tree
from superscalar_ref.signing import nonces
from tests.lifecycle.machine import Life
from tests.lifecycle.short import SHORT, at_the_end
from tests.lifecycle.sweep import ALONE, SINGLE, sweep

ENOUGH = settings(
    max_examples=400,
    stateful_step_count=8,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
    print_blob=False,
)
"""Short stories until the first that goes wrong: it is not made shorter, only found."""

Plant = Callable[[pytest.MonkeyPatch], None]
_RULES = {"session": session.RULES, "client": client.RULES, "factory": factory.RULES}


def changed_rules(name: str, guards: dict[str, Any] | None = None, effects: dict[str, Any] | None = None) -> Plant:
    """The rules of one table with other functions under some of their names."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        known, rules = machines(), _RULES[name]
        changed = Rules(name, {**rules.guards, **(guards or {})}, {**rules.effects, **(effects or {})})
        bound = bind(getattr(known, name).table, changed)
        tables: Machines = replace(known, **{name: bound})
        patch.setattr(actor, "machines", lambda: tables)

    return plant


def _always(context: object, event: Event) -> bool:
    return True


def _no_record(seen: Session, event: Event) -> tuple[Session, tuple[()]]:
    return seen, ()


def without(name: str, guard: str) -> Plant:
    """One guard of a table always holds."""
    return changed_rules(name, {guard: _always})


def _seven(size: int) -> bytes:
    return b"\x07" * size


def same_nonce_again(patch: pytest.MonkeyPatch) -> None:
    """Nonces follow from the key and the message alone."""
    real = nonces.generate
    patch.setattr(nonces, "generate", lambda key, shared, message, _: real(key, shared, message, _seven))


def partial_before_commit(patch: pytest.MonkeyPatch) -> None:
    """What waits leaves before what it depends on is durable."""
    real = actor.Actor._flush

    def flush(self: actor.Actor) -> None:
        commit, self.store.commit = self.store.commit, lambda: None  # type: ignore[method-assign]
        try:
            real(self)
        finally:
            self.store.commit = commit  # type: ignore[method-assign]
        self.store.commit()

    patch.setattr(actor.Actor, "_flush", flush)


def longer_locks_for_newer_states(patch: pytest.MonkeyPatch) -> None:
    """The lock of a state grows with its index."""
    patch.setattr(blueprint, "relative_lock", lambda step, states, index: step * index)


def one_block_longer(patch: pytest.MonkeyPatch) -> None:
    """Each relative lock in the bytes is one block longer than its template says."""
    real = tree.sequence
    patch.setattr(tree, "sequence", lambda spend: real(spend) + (spend.relative_lock is not None))


def oldest_state_first(patch: pytest.MonkeyPatch) -> None:
    """The strategy takes the longest lock for the newest state."""
    real = strategy._age
    patch.setattr(strategy, "_age", lambda template: (-real(template)[0], template.name))


def wallets_swapped(patch: pytest.MonkeyPatch) -> None:
    """What is one client's goes to another party's wallet."""
    real = tree.output_script

    def script(output: Any, book: Any) -> bytes:
        if output.owner in book.parties and output.role is Role.WALLET:
            others = sorted(set(book.parties) - {output.owner})
            return real(replace(output, owner=others[0]), book)
        return real(output, book)

    patch.setattr(tree, "output_script", script)


def kit_without_alternates(patch: pytest.MonkeyPatch) -> None:
    """A kit counts as complete without what the end needs."""
    real = blueprint.Blueprint.kit_of

    def kit_of(self: blueprint.Blueprint, party: str) -> frozenset[str]:
        return frozenset(name for name in real(self, party) if not name.startswith("alternate"))

    patch.setattr(blueprint.Blueprint, "kit_of", kit_of)


def end_moved(blocks: int) -> Plant:
    """The end is some blocks away from where it was agreed."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        real = blueprint.Locks.height
        patch.setattr(blueprint.Locks, "height", lambda self, depth: real(self, depth) + blocks)

    return plant


def no_second_attempt(patch: pytest.MonkeyPatch) -> None:
    """After silence the LSP does nothing."""
    patch.setattr(lsp.LspActor, "retry", lambda self: actor.Outbox())


FIRST = {
    "a signature leaves before its record is durable": "dies before",
    "a nonce is made again after a restart": "receiver restarts",
    "a doubled begin opens a session again": "doubled",
    "the LSP never tries again": "lost",
}
"""The trouble that is likely to show a mistake; the others are tried after it, and what comes by chance last."""
PLANTED: dict[str, tuple[Plant, str]] = {
    "the LSP funds before every kit is complete": (without("factory", "every_kit_complete"), "the LSP funds|stuck"),
    "a parent is signed before its children are held": (without("session", "children_complete"), "does not hold"),
    "the record of a spend is skipped": (changed_rules("session", effects={"record_spend": _no_record}), "no record"),
    "a signature leaves before its record is durable": (
        partial_before_commit,
        "no record|without|does not hold|nobody can read|stuck",
    ),
    "a nonce is made again after a restart": (same_nonce_again, "nonce twice"),
    "a doubled begin opens a session again": (without("session", "attempt_is_newer"), "nonce twice|aggregate"),
    "a version is counted on before its kit is held": (without("client", "kit_held"), "kit|owns|fails"),
    "a client takes a version that gives it less": (without("client", "balance_not_less"), "counted on|owns"),
    "a newer state waits longer": (longer_locks_for_newer_states, "owns|blocks"),
    "a relative lock is one block longer": (one_block_longer, "waits"),
    "the strategy publishes the oldest state": (oldest_state_first, "holds the newer"),
    "two wallets are swapped": (wallets_swapped, "owns"),
    "the LSP never tries again": (no_second_attempt, "stuck"),
    "a kit lacks its alternates": (kit_without_alternates, "does not hold alternate"),
    "the end comes one block early": (end_moved(-1), "confirmed before the end"),
    "the end comes one block late": (end_moved(1), "not in the first block after"),
}
AT_THE_END = ("the end comes one block early", "the end comes one block late")


@pytest.mark.parametrize("mistake", PLANTED)
def test_a_planted_mistake_is_found(mistake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant, says = PLANTED[mistake]
    plant(monkeypatch)
    with pytest.raises(AssertionError, match=f"WRONG .*({says})"):
        for tell in (at_the_end,) if mistake in AT_THE_END else SHORT if mistake not in FIRST else ():
            tell()
        for trouble in sorted(SINGLE, key=lambda one: FIRST.get(mistake) not in (one[0], one[1][1])):
            sweep(ALONE, trouble)
        run_state_machine_as_test(Life, settings=ENOUGH)
