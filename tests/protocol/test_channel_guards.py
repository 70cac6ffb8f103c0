"""Every guard of the channel's table earns its place: without it, in some state, a step does harm that can be seen.

For each (transition, guard) the row's own good case is spoilt in one way, so that this guard alone is false. The table
as it is refuses, or takes another row; without the guard the row is taken, and the harm that it prevents is there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from superscalar_ref.errors import Refused
from superscalar_ref.machine.agreement import assert_agree
from superscalar_ref.machine.step import Stepped, step
from superscalar_ref.machine.types import Action, Event
from superscalar_ref.parties.channel_actor import channel_machine
from superscalar_ref.protocol import channel as rules
from superscalar_ref.protocol.channel import FINAL, Channel, Htlc, view
from tests.parties.channel_scene import without

MACHINE = channel_machine()
ME, PEER, OLD, NEW = "A", "L", "old", "new"
BOTH = frozenset({ME, PEER})
LIVE = Channel("live", ME, PEER, 1_000_000, 400_000, mine=3, theirs=3, revoked=2, ready=True, synced=True)
LIVE = replace(LIVE, outpoints=(OLD,), depth=3, most_htlcs=3, reserve_msat=1_000, peer_reserve_msat=1_000)
OPENING = replace(LIVE, status="opening", mine=-1, theirs=-1, revoked=-1, ready=False)
MINE = Htlc(ME, 0, 50_000, "h", 200, FINAL)
THEIRS = Htlc(PEER, 0, 60_000, "k", 200, FINAL)
PAID = replace(LIVE, htlcs=(MINE, THEIRS), next_offer=1, next_theirs=1)
SIGNABLE = replace(LIVE, htlcs=(replace(MINE, stage=rules.SENT),), next_offer=1)
OWED = replace(LIVE, theirs=4, htlcs=(replace(MINE, stage=rules.SIGNED),), next_offer=1)
TWO = replace(LIVE, outpoints=(OLD, NEW), moved=BOTH)
MOVING = replace(LIVE, status="moving", outpoints=(OLD, NEW))
QUIET = replace(LIVE, status="quiescent", quiet=BOTH)
DRAINED = replace(LIVE, leaving=BOTH)
RESOLVING = replace(LIVE, status="resolving", claims=frozenset({"to_local"}))
AGAIN: dict[str, Any] = {"next_commitment": 4, "next_revocation": 3, "moving": ""}
FIRST_AGAIN: dict[str, Any] = {"next_commitment": 1, "next_revocation": 0, "moving": ""}
OFFER: dict[str, Any] = {
    "number": 0, "amount_msat": 10_000, "payment_hash": "h", "expiry": 150, "earliest": 120, "latest": 180,
}  # fmt: skip
FOUND: dict[str, Any] = {"holder": PEER, "number": 1, "claims": frozenset({"to_local"})}
DEEP: dict[str, Any] = {"depth": 3, "claim": "to_local"}


def of_self(name: str, **fields: Any) -> Event:
    return Event.of(name, ME, **fields)


def of_peer(name: str, **fields: Any) -> Event:
    return Event.of(name, PEER, **fields)


def of_chain(name: str, **fields: Any) -> Event:
    return Event.of(name, "chain", **fields)


GOOD: dict[str, tuple[Channel, Event]] = {
    "CHN-1": (OPENING, of_self("sign")),
    "CHN-2": (OPENING, of_peer("commitment_signed", valid=True)),
    "CHN-3": (replace(OPENING, mine=0), of_peer("ready")),
    "CHN-4": (replace(OPENING, mine=0, theirs=0, synced=False), of_peer("reestablish", **FIRST_AGAIN)),
    "CHN-5": (replace(OPENING, synced=False), of_peer("reestablish", **{**FIRST_AGAIN, "next_commitment": 0})),
    "CHN-6": (OPENING, of_self("disconnected")),
    "CHN-71": (replace(OPENING, synced=False), of_self("take_over", complete=True, standing=False)),
    "CHN-7": (LIVE, of_self("offer", **OFFER)),
    "CHN-8": (LIVE, of_peer("add", **OFFER)),
    "CHN-9": (PAID, of_self("settle", number=0, valid=True)),
    "CHN-10": (PAID, of_self("reject", number=0)),
    "CHN-11": (PAID, of_peer("fulfil", number=0, valid=True)),
    "CHN-12": (PAID, of_peer("fail", number=0)),
    "CHN-13": (SIGNABLE, of_self("sign")),
    "CHN-14": (LIVE, of_peer("commitment_signed", valid=True)),
    "CHN-15": (OWED, of_peer("revoke_and_ack", valid=True)),
    "CHN-16": (OWED, of_peer("revoke_and_ack", valid=False)),
    "CHN-17": (replace(OWED, policy="close"), of_peer("revoke_and_ack", valid=False)),
    "CHN-18": (replace(OWED, policy="continue"), of_peer("revoke_and_ack", valid=False)),
    "CHN-19": (replace(LIVE, synced=False), of_peer("reestablish", **AGAIN)),
    "CHN-57": (replace(LIVE, synced=False), of_peer("reestablish", **{**AGAIN, "moving": NEW})),
    "CHN-58": (replace(LIVE, synced=False), of_peer("reestablish", **{**AGAIN, "next_commitment": 6})),
    "CHN-20": (QUIET, of_self("disconnected")),
    "CHN-21": (replace(LIVE, quiet=frozenset({PEER})), of_self("quiesce")),
    "CHN-22": (LIVE, of_self("quiesce")),
    "CHN-23": (replace(LIVE, quiet=frozenset({ME})), of_peer("stfu")),
    "CHN-24": (LIVE, of_peer("stfu")),
    "CHN-25": (QUIET, of_self("resume")),
    "CHN-26": (QUIET, of_self("move", outpoint=NEW)),
    "CHN-27": (MOVING, of_peer("move_ready", outpoint=NEW)),
    "CHN-28": (replace(MOVING, moved=frozenset({PEER})), of_peer("move_signed", outpoint=NEW, valid=True)),
    "CHN-29": (MOVING, of_peer("move_signed", outpoint=NEW, valid=True)),
    "CHN-30": (replace(MOVING, moved=frozenset({ME})), of_peer("move_held", outpoint=NEW)),
    "CHN-31": (MOVING, of_peer("move_held", outpoint=NEW)),
    "CHN-32": (MOVING, of_self("disconnected")),
    "CHN-33": (replace(MOVING, synced=False), of_peer("reestablish", **AGAIN)),
    "CHN-34": (TWO, of_peer("move_held", outpoint=NEW)),
    "CHN-35": (replace(TWO, left=frozenset({PEER})), of_self("complete", held=True)),
    "CHN-36": (TWO, of_self("complete", held=True)),
    "CHN-37": (replace(TWO, left=frozenset({ME})), of_peer("moved", outpoint=NEW)),
    "CHN-38": (TWO, of_peer("moved", outpoint=NEW)),
    "CHN-39": (LIVE, of_peer("moved", outpoint=OLD)),
    "CHN-40": (replace(TWO, given_up=frozenset({PEER})), of_self("abandon_move", outpoint=NEW, signed=False)),
    "CHN-59": (TWO, of_self("abandon_move", outpoint=NEW, signed=False)),
    "CHN-60": (MOVING, of_self("abandon_move", outpoint=NEW, signed=False)),
    "CHN-61": (replace(TWO, given_up=frozenset({ME})), of_peer("given_up", outpoint=NEW)),
    "CHN-62": (TWO, of_peer("given_up", outpoint=NEW)),
    "CHN-63": (MOVING, of_peer("given_up", outpoint=NEW)),
    "CHN-64": (LIVE, of_peer("given_up", outpoint=NEW)),
    "CHN-65": (replace(TWO, given_up=frozenset({ME})), of_peer("dropped", outpoint=NEW)),
    "CHN-66": (MOVING, of_peer("given_up", outpoint="third")),
    "CHN-67": (replace(TWO, given_up=frozenset({PEER})), of_self("abandon_move", outpoint=NEW, signed=True)),
    "CHN-68": (replace(MOVING, given_up=frozenset({PEER})), of_self("abandon_move", outpoint=NEW, signed=True)),
    "CHN-69": (replace(TWO, given_up=frozenset({ME})), of_peer("kept", outpoint=NEW)),
    "CHN-70": (replace(MOVING, given_up=frozenset({ME})), of_peer("kept", outpoint=NEW)),
    "CHN-41": (LIVE, of_self("shutdown")),
    "CHN-42": (replace(LIVE, leaving=BOTH), of_peer("shutdown")),
    "CHN-43": (DRAINED, of_self("sign_close")),
    "CHN-44": (replace(DRAINED, status="closing"), of_peer("closing_signed", valid=True)),
    "CHN-45": (DRAINED, of_peer("closing_complete", valid=True)),
    "CHN-46": (replace(DRAINED, status="agreed"), of_peer("closing_complete", valid=True)),
    "CHN-47": (replace(DRAINED, status="agreed"), of_peer("reestablish", **AGAIN)),
    "CHN-48": (replace(DRAINED, status="agreed"), of_self("disconnected")),
    "CHN-49": (replace(DRAINED, status="agreed"), of_chain("close_confirmed", depth=3)),
    "CHN-50": (LIVE, of_self("force_close")),
    "CHN-51": (LIVE, of_chain("commitment_confirmed", **FOUND)),
    "CHN-52": (LIVE, of_chain("commitment_confirmed", **{**FOUND, "number": 3})),
    "CHN-53": (RESOLVING, of_chain("claim_settled", **DEEP)),
    "CHN-54": (replace(RESOLVING, claims=frozenset({"to_local", "htlc L 0"})), of_chain("claim_settled", **DEEP)),
    "CHN-55": (replace(RESOLVING, status="breached"), of_chain("claim_settled", **DEEP)),
    "CHN-56": (
        replace(RESOLVING, status="breached", claims=frozenset({"to_local", "htlc L 0"})),
        of_chain("claim_settled", **DEEP),
    ),
}
"""For each row, a state and an event that it takes."""


def put(event: Event, **fields: Any) -> Event:
    return Event.of(event.name, event.by, **{**dict(event.fields), **fields})


Case = tuple[Channel, Event]
After = Stepped[Channel]


@dataclass(frozen=True)
class Spoil:
    """How to make one guard false, and the harm that a step without it does."""

    says: str
    spoil: Callable[[Channel, Event], Case]
    harm: Callable[[Channel, Event, After], bool]


def changed(**fields: Any) -> Callable[[Channel, Event], Case]:
    return lambda channel, event: (replace(channel, **fields), event)


def told(**fields: Any) -> Callable[[Channel, Event], Case]:
    return lambda channel, event: (channel, put(event, **fields))


def sends(after: After, name: str) -> bool:
    return any(action.kind == "send" and action.name == name for action in after.actions)


def acts(after: After, name: str) -> bool:
    return any(action.name == name for action in after.actions)


def persists(after: After) -> bool:
    return any(action.kind == "persist" for action in after.actions)


def worst(channel: Channel) -> int:
    """The least balance, less its reserve, in either side's next commitment (msat)."""
    mine, theirs = view(channel, ME), view(channel, PEER)
    return min(
        min(mine.to_holder_msat, theirs.to_other_msat) - channel.reserve_of(ME),
        min(mine.to_other_msat, theirs.to_holder_msat) - channel.reserve_of(PEER),
    )


def pending(channel: Channel, maker: str) -> bool:
    return rules._pending_of(channel, maker)


def not_removable(channel: Channel, event: Event) -> Case:
    return replace(channel, htlcs=tuple(replace(htlc, stage=rules.SIGNED) for htlc in channel.htlcs)), event


def full(channel: Channel, event: Event) -> Case:
    one = replace(MINE, payer=event.by, amount_msat=1_000)
    many = tuple(replace(one, number=number + 5) for number in range(3))
    return replace(channel, htlcs=many), event


def mine_pending(channel: Channel, event: Event) -> Case:
    return replace(channel, htlcs=(replace(MINE, stage=rules.ACKNOWLEDGED),)), event


def peer_pending(channel: Channel, event: Event) -> Case:
    return replace(channel, htlcs=(replace(THEIRS, stage=rules.ACKNOWLEDGED),)), event


def quiet_for(channel: Channel, event: Event) -> Case:
    return replace(channel, quiet=channel.quiet | {event.by}), event


SPOILT: dict[str, Spoil] = {
    "is_synced": Spoil(
        "a side acts on, or for, a connection whose other end it does not know",
        changed(synced=False),
        lambda c, e, a: a.context != c or bool(a.actions),
    ),
    "numbers_agree": Spoil(
        "the sides are taken to be in step although one of them has lost a state",
        told(next_commitment=9),
        lambda c, e, a: a.context.synced and e["next_commitment"] == 9,
    ),
    "peer_is_moving": Spoil(
        "the channel is quiet for nothing, and nobody ends it",
        told(moving=""),
        lambda c, e, a: bool(a.context.quiet) and e["moving"] == "",
    ),
    "peer_is_ahead": Spoil(
        "a side halts because of a peer that is behind, and that could never go on",
        told(next_commitment=1),
        lambda c, e, a: a.context.status == "halted" and int(str(e["next_commitment"])) < c.theirs,
    ),
    "first_not_signed": Spoil(
        "the peer holds two first commitments",
        changed(theirs=0),
        lambda c, e, a: a.context.theirs > 0 or (c.theirs == 0 and acts(a, "firsts")),
    ),
    "awaits_first": Spoil(
        "a second commitment is stored, and the first never revoked",
        changed(mine=0),
        lambda c, e, a: a.context.mine > 0 or (c.mine == 0 and acts(a, "firsts")),
    ),
    "first_complete": Spoil(
        "the channel counts on a commitment that cannot be published",
        told(complete=False),
        lambda c, e, a: a.context.mine == 0 and e["complete"] is False,
    ),
    "none_stands": Spoil(
        "a first commitment on another leaf, which nobody revokes, pays as if nothing had been paid since",
        told(standing=True),
        lambda c, e, a: acts(a, "firsts") and e["standing"] is True,
    ),
    "own_first_durable": Spoil(
        "the channel counts, or is closed alone, without a commitment to publish",
        changed(mine=-1),
        lambda c, e, a: a.context.mine < 0 and a.context.status in ("live", "force_closing"),
    ),
    "peer_holds_first": Spoil(
        "the channel counts although the peer holds nothing",
        told(next_commitment=0),
        lambda c, e, a: a.context.status == "live" and e["next_commitment"] == 0,
    ),
    "signature_valid": Spoil(
        "a transaction that Core would refuse is counted as held",
        told(valid=False),
        lambda c, e, a: persists(a) or a.context.status == "agreed",
    ),
    "something_to_sign": Spoil(
        "commitment after commitment is signed for nothing",
        changed(htlcs=()),
        lambda c, e, a: a.context.theirs > c.theirs and not rules._due(c),
    ),
    "revocation_in": Spoil(
        "the peer holds three commitments, of which two are not revoked",
        changed(theirs=4),
        lambda c, e, a: a.context.theirs - a.context.revoked > 2,
    ),
    "revocation_awaited": Spoil(
        "the newest commitment counts as revoked, or the peer as hostile, though nothing was owed",
        changed(theirs=3),
        lambda c, e, a: a.context.revoked >= a.context.theirs or bool(a.context.marked),
    ),
    "secret_matches": Spoil(
        "an old commitment counts as revoked, and nobody could punish it",
        told(valid=False),
        lambda c, e, a: a.context.revoked > c.revoked,
    ),
    "policy_is_halt": Spoil(
        "the channel halts although it should be closed",
        changed(policy="close"),
        lambda c, e, a: a.context.status == "halted",
    ),
    "policy_is_close": Spoil(
        "the channel is closed although the policy was to wait",
        changed(policy="continue"),
        lambda c, e, a: a.context.status == "force_closing",
    ),
    "payer_can_pay": Spoil(
        "a balance falls below its reserve",
        told(amount_msat=999_000),
        lambda c, e, a: worst(a.context) < 0,
    ),
    "room_for_htlc": Spoil(
        "a commitment grows beyond what is relayed",
        full,
        lambda c, e, a: len(a.context.htlcs) > c.most_htlcs,
    ),
    "expiry_in_window": Spoil(
        "an HTLC is offered that nobody can claim in time",
        told(expiry=119),
        lambda c, e, a: a.context.htlcs[-1].expiry < int(str(e["earliest"])),
    ),
    "number_is_next": Spoil(
        "the peer's numbers and mine differ from here on",
        told(number=5),
        lambda c, e, a: a.context.htlcs[-1].number != a.context.next_theirs - 1,
    ),
    "htlc_removable": Spoil(
        "an HTLC is removed that one side can still have on chain",
        not_removable,
        lambda c, e, a: any(htlc.removal and htlc.stage < FINAL for htlc in a.context.htlcs),
    ),
    "preimage_matches": Spoil(
        "a payment counts as claimed without its preimage",
        told(valid=False),
        lambda c, e, a: any(htlc.removal == rules.FULFIL for htlc in a.context.htlcs),
    ),
    "penalties_kept": Spoil(
        "a preimage leaves while a commitment without the payment can be published unpunished",
        changed(watched=True, guarded=1),
        lambda c, e, a: sends(a, "fulfil") and a.context.guarded < a.context.revoked,
    ),
    "nobody_quiet": Spoil(
        "an update, or a second promise, comes in the quiet",
        quiet_for,
        lambda c, e, a: bool(c.quiet) and (a.context.htlcs != c.htlcs or sends(a, "stfu")),
    ),
    "own_updates_final": Spoil(
        "quiet is promised while an update of mine is pending",
        mine_pending,
        lambda c, e, a: ME in a.context.quiet and pending(a.context, ME),
    ),
    "peer_updates_final": Spoil(
        "quiet is taken for granted while an update of the peer's is pending",
        peer_pending,
        lambda c, e, a: PEER in a.context.quiet and pending(a.context, PEER),
    ),
    "peer_is_quiet": Spoil(
        "the channel counts as quiescent although the peer has promised nothing",
        changed(quiet=frozenset()),
        lambda c, e, a: a.context.status == "quiescent" and PEER not in a.context.quiet,
    ),
    "self_is_quiet": Spoil(
        "the channel counts as quiescent although I have promised nothing",
        changed(quiet=frozenset()),
        lambda c, e, a: a.context.status == "quiescent" and ME not in a.context.quiet,
    ),
    "nobody_leaves": Spoil(
        "a payment begins in a channel that is closing",
        lambda c, e: (replace(c, leaving=frozenset({e.by})), e),
        lambda c, e, a: len(a.context.htlcs) > len(c.htlcs),
    ),
    "not_asked_yet": Spoil(
        "this side asks twice",
        changed(leaving=frozenset({ME})),
        lambda c, e, a: sends(a, "shutdown") and ME in c.leaving,
    ),
    "channel_drained": Spoil(
        "the close pays by balances while a payment is in flight",
        changed(htlcs=(MINE,)),
        lambda c, e, a: a.context.status in ("closing", "agreed") and bool(a.context.htlcs),
    ),
    "close_unsigned": Spoil(
        "one nonce signs twice",
        changed(close_signed=True),
        lambda c, e, a: c.close_signed and sends(a, "closing_signed"),
    ),
    "one_outpoint": Spoil(
        "a channel that is moving closes: on which outpoint?",
        changed(outpoints=(OLD, "between")),
        lambda c, e, a: len(c.outpoints) == 2 and ME in a.context.leaving | c.leaving,
    ),
    "newest_held": Spoil(
        "a channel moves on from an outpoint on which one side may be left without a commitment",
        changed(outpoints=(OLD, "between")),
        lambda c, e, a: len(a.context.outpoints) > 2 and c.moved != BOTH,
    ),
    "outpoint_is_new": Spoil(
        "the channel moves to where it is, or denies it",
        told(outpoint=OLD),
        lambda c, e, a: len(set(a.context.outpoints)) < len(a.context.outpoints) or sends(a, "dropped"),
    ),
    "state_held": Spoil(
        "the peer leaves the only outpoint that can confirm, for one whose leaf state is not complete",
        told(held=False),
        lambda c, e, a: sends(a, "moved") and e["held"] is False,
    ),
    "state_unsigned": Spoil(
        "an outpoint is given up whose leaf state the peer may hold complete",
        told(signed=True),
        lambda c, e, a: sends(a, "given_up") and e["signed"] is True,
    ),
    "not_promised": Spoil(
        "the outpoints change after the word that nothing changes",
        changed(quiet=frozenset({ME})),
        lambda c, e, a: ME in c.quiet and (sends(a, "given_up") or sends(a, "moved")),
    ),
    "nothing_given_up": Spoil(
        "two sides move on from different outpoints",
        changed(given_up=frozenset({PEER})),
        lambda c, e, a: ME in a.context.quiet and bool(c.given_up),
    ),
    "nothing_due": Spoil(
        "a commitment is signed after the word that none is",
        changed(resign=True),
        lambda c, e, a: ME in a.context.quiet and c.resign,
    ),
    "self_gave_up": Spoil(
        "an outpoint is dropped on the word of the peer, which may hold its leaf state complete",
        changed(given_up=frozenset()),
        lambda c, e, a: ME not in c.given_up and (NEW not in a.context.outpoints or a.context.kept),
    ),
    "peer_gave_up": Spoil(
        "an outpoint is dropped that the peer needs, and signs for",
        changed(given_up=frozenset()),
        lambda c, e, a: PEER not in c.given_up and (NEW not in a.context.outpoints or sends(a, "kept")),
    ),
    "names_new": Spoil(
        "what the peer says of one outpoint is taken for another",
        told(outpoint="third"),
        lambda c, e, a: e["outpoint"] not in c.outpoints and (a.context != c or bool(a.actions)),
    ),
    "already_there": Spoil(
        "a peer that is on another outpoint goes unnoticed",
        told(outpoint="third"),
        lambda c, e, a: e["outpoint"] not in a.context.outpoints,
    ),
    "self_holds_new": Spoil(
        "updates go on although I hold no commitment on the new outpoint",
        changed(moved=frozenset()),
        lambda c, e, a: a.context.status == "live" and ME not in a.context.moved,
    ),
    "peer_holds_new": Spoil(
        "updates go on although the peer holds no commitment on the new outpoint",
        changed(moved=frozenset()),
        lambda c, e, a: a.context.status == "live" and PEER not in a.context.moved,
    ),
    "both_hold_new": Spoil(
        "the old outpoint is given up, or a stray word is taken, although one side holds nothing on the new one",
        changed(moved=frozenset()),
        lambda c, e, a: a.context.status == "live" and c.moved != BOTH,
    ),
    "self_left": Spoil(
        "the old outpoint is left although the new leaf state is not complete in my hands",
        changed(left=frozenset()),
        lambda c, e, a: a.context.outpoints == (NEW,) and ME not in c.left,
    ),
    "peer_left": Spoil(
        "the old outpoint is left although the peer still signs for both",
        changed(left=frozenset()),
        lambda c, e, a: a.context.outpoints == (NEW,) and PEER not in c.left,
    ),
    "peer_revoked_it": Spoil(
        "a commitment that nobody revoked is taken for a breach: its own side is never swept",
        told(number=3),
        lambda c, e, a: a.context.status == "breached" and int(str(e["number"])) > c.revoked,
    ),
    "deep_enough": Spoil(
        "what a reorg can still undo counts as final",
        told(depth=2),
        lambda c, e, a: "to_local" not in a.context.claims or a.context.status == "closed",
    ),
    "last_claim": Spoil(
        "the channel counts as over with money still out",
        changed(claims=frozenset({"to_local", "htlc L 0"})),
        lambda c, e, a: a.context.status in ("swept", "penalised") and bool(a.context.claims),
    ),
}

PAIRS = [(row.id, guard) for row in MACHINE.table.transitions for guard in row.guards]


def test_every_row_has_a_good_case_and_takes_it() -> None:
    assert set(GOOD) == {row.id for row in MACHINE.table.transitions}
    for row, (channel, event) in GOOD.items():
        assert step(MACHINE, channel, event).transition_id == row


@pytest.mark.parametrize(("row", "guard"), PAIRS, ids=[f"{row}-{guard}" for row, guard in PAIRS])
def test_a_guard_that_is_dropped_is_missed(row: str, guard: str) -> None:
    channel, event = GOOD[row]
    spoilt = SPOILT[guard]
    bad, worse = spoilt.spoil(channel, event)
    try:
        taken = step(MACHINE, bad, worse).transition_id
    except Refused as refused:
        assert refused.guard is not None
        taken = ""
    assert taken != row, "the guard does not stop what it should"
    after = step(without(MACHINE, row, guard), bad, worse)
    assert after.transition_id == row, "another guard stops it too"
    assert spoilt.harm(bad, worse, after), spoilt.says


@pytest.mark.parametrize("state", [state.name for state in MACHINE.table.states if not state.final])
def test_a_side_goes_on_chain_and_answers_there_wherever_the_messages_have_stopped(state: str) -> None:
    channel = replace(LIVE, status=state)
    if state not in ("force_closing", "resolving", "breached"):
        done = step(MACHINE, channel, of_self("force_close"))
        assert done.context.status == "force_closing"
        assert Action("broadcast", "commitment") in done.actions
    assert step(MACHINE, channel, of_chain("commitment_confirmed", **FOUND)).context.status == "breached"
    newest = step(MACHINE, channel, of_chain("commitment_confirmed", **{**FOUND, "number": 3}))
    assert newest.context.status == "resolving"
    assert newest.context.claims == FOUND["claims"]


@pytest.mark.parametrize("state", ["opening", "live", "quiescent", "moving", "closing", "agreed"])
def test_a_lost_connection_is_noticed_in_every_state_in_which_one_is_needed(state: str) -> None:
    channel = replace(LIVE if state != "opening" else OPENING, status=state)
    assert not step(MACHINE, channel, of_self("disconnected")).context.synced


def test_whoever_hears_that_the_other_moves_can_name_the_same_outpoint_at_once() -> None:
    channel, event = GOOD["CHN-57"]
    resumed = step(MACHINE, channel, event).context
    assert step(MACHINE, resumed, of_self("move", outpoint=NEW)).context.status == "moving"


@pytest.mark.parametrize("state", ["live", "closing"])
def test_a_complete_close_is_taken_from_whoever_finishes_first(state: str) -> None:
    """Both may sign at once: then the other's complete transaction finds this side waiting for a signature."""
    done = step(MACHINE, replace(DRAINED, status=state), of_peer("closing_complete", valid=True))
    assert done.context.status == "agreed"


@pytest.mark.parametrize("state", ["live", "closing", "agreed", "halted", "force_closing"])
def test_a_close_that_the_chain_shows_ends_the_channel_wherever_this_side_stands(state: str) -> None:
    """The peer may have completed it alone: before this side crashed, beside its own commitment, or after a fault."""
    done = step(MACHINE, replace(DRAINED, status=state), of_chain("close_confirmed", depth=3))
    assert done.context.status == "closed"


def test_a_channel_that_took_its_first_commitments_pays_nothing_before_both_sides_have_said_that_they_hold_them() -> (
    None
):
    channel, event = GOOD["CHN-71"]
    taken = replace(step(MACHINE, channel, event).context, synced=True)
    with pytest.raises(Refused):
        step(MACHINE, taken, of_self("offer", **OFFER))
    assert step(MACHINE, taken, of_peer("ready")).context.status == "live"


@pytest.mark.parametrize("said_before", ["CHN-34", "CHN-39", "CHN-46"])
def test_what_the_peer_says_again_is_taken_and_changes_nothing(said_before: str) -> None:
    channel, event = GOOD[said_before]
    done = step(MACHINE, channel, event)
    assert done.context == channel
    assert done.actions == ()


def test_every_way_to_spoil_is_used() -> None:
    assert set(SPOILT) == {guard for _, guard in PAIRS}


def test_the_strict_machine_and_the_pure_step_agree() -> None:
    contexts = list({channel: None for channel, _ in GOOD.values()})
    contexts += [replace(LIVE, status=state.name) for state in MACHINE.table.states]
    events = list({event for _, event in GOOD.values()})
    events += [Event.of(event.name, by, **dict(event.fields)) for event in events for by in ("stranger",)]
    agreement = assert_agree(MACHINE, contexts, events)
    assert agreement.taken == {row.id for row in MACHINE.table.transitions}
    assert agreement.refused > 1000


@pytest.mark.parametrize(("row", "says"), [("CHN-35", "moved"), ("CHN-40", "given_up")])
def test_what_ends_a_move_is_said_of_the_new_outpoint_and_then_forgotten(row: str, says: str) -> None:
    done = step(MACHINE, *GOOD[row])
    (letter,) = [action for action in done.actions if action.kind == "send"]
    assert (letter.name, letter["outpoint"]) == (says, NEW)
    assert not done.context.moved | done.context.left | done.context.given_up
