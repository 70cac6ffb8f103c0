"""The rules of ``spec/machines/channel.toml``: one side's view of one channel in a leaf (BOLT 2, D-13..D-15).

Amounts are millisatoshis. Updates are followed by *stages*, from whoever made the update:

=====  ==========================================  ==========================================
stage  an update of mine                           an update of the peer's
=====  ==========================================  ==========================================
0      sent                                        received
1      in the peer's newest commitment             in my newest commitment
2      the peer has revoked its older one          I have revoked my older one
3      in my newest commitment too                 in the peer's newest commitment too
4      I have revoked my older one: irrevocable    the peer has revoked its older one: irrevocable
=====  ==========================================  ==========================================

Two sides that have taken the same messages therefore agree on every commitment, however many updates are on their way.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from superscalar_ref.machine.types import Action, Event, Rules, names, number, text

RULES = Rules("channel")

SENT, SIGNED, ACKNOWLEDGED, RETURNED, FINAL = range(5)
"""The stages of an update."""
NO_COMMITMENT = -1
MOST_HTLCS = 114
"""In one direction, so that a version 3 commitment stays small enough to be relayed (BIP-431)."""
FULFIL, FAIL = "fulfil", "fail"
HALT, CONTINUE, CLOSE = "halt", "continue", "close"
"""What to do after a bad revocation (D-14)."""


@dataclass(frozen=True)
class Htlc:
    """One payment in flight (msat), with the stage of its add and of its removal."""

    payer: str
    number: int
    amount_msat: int
    payment_hash: str
    """Hex: 32 bytes, or the 33 of a point, whose secret then takes the place of the preimage (AXT-1)."""
    expiry: int
    stage: int = SENT
    removal: str = ""
    """How the payee removed it: fulfil, fail; empty while it did not."""
    removal_stage: int = SENT


@dataclass(frozen=True)
class View:
    """What one commitment says (msat): its number, its holder's and the other's balance, its HTLCs."""

    number: int
    to_holder_msat: int
    to_other_msat: int
    htlcs: tuple[Htlc, ...]


@dataclass(frozen=True)
class Channel:
    """One side's view of one channel."""

    status: str
    me: str
    peer: str
    capacity_msat: int
    balance_msat: int
    """Mine, with every finished payment in it; the peer's is the rest."""
    reserve_msat: int = 0
    """What my balance may not fall below by a payment of mine; a client has none (P1242)."""
    peer_reserve_msat: int = 0
    htlcs: tuple[Htlc, ...] = ()
    next_offer: int = 0
    """The number of my next HTLC."""
    next_theirs: int = 0
    """The number of the peer's next HTLC."""
    mine: int = NO_COMMITMENT
    """Number of my newest commitment that is complete and durable; every older one is revoked."""
    theirs: int = NO_COMMITMENT
    """Number of the newest commitment that I signed for the peer."""
    revoked: int = NO_COMMITMENT
    """Number of the newest commitment of the peer whose secret I hold; and of every older one."""
    ready: bool = False
    """Whether the peer has said that its first commitment is durable."""
    synced: bool = False
    """Whether both sides have told each other where they stand since they were last connected."""
    answered_last: bool = False
    """Whether the last of (my signature, my revocation) that I sent was the revocation."""
    quiet: frozenset[str] = frozenset()
    """Who has promised to send no update."""
    leaving: frozenset[str] = frozenset()
    """Who has asked to close together."""
    outpoints: tuple[str, ...] = ("0",)
    """The funding outpoints for which commitments are signed, oldest first: one, or more while moving (D-15)."""
    departures: int = 0
    """How many outpoints the channel has left for good."""
    moved: frozenset[str] = frozenset()
    """With several outpoints: who holds its commitment for the newest, as far as I know."""
    left: frozenset[str] = frozenset()
    """With several outpoints: who has said that the newest one's leaf state is complete."""
    given_up: frozenset[str] = frozenset()
    """With several outpoints: who has said that it gives the newest up, and has signed nothing that makes it."""
    kept: bool = False
    """Whether the other side of who gave it up has said that it keeps it."""
    close_signed: bool = False
    """Whether I signed the closing transaction since the sides were last connected."""
    resign: bool = False
    """Whether a commitment without any update is due: it makes the one on the outpoint that was left revocable."""
    policy: str = HALT
    marked: str = ""
    """Why the peer is not to be trusted any more; never taken back."""
    depth: int = 1
    """Confirmations after which nothing is undone."""
    claims: frozenset[str] = frozenset()
    """Outputs on chain whose money is not at rest yet."""
    most_htlcs: int = MOST_HTLCS
    watched: bool = False
    """Whether this side has a watchtower."""
    guarded: int = NO_COMMITMENT
    """Number of the peer's newest commitment whose penalties every tower keeps; and those of every older one."""

    @property
    def both(self) -> frozenset[str]:
        """Both sides' names."""
        return frozenset({self.me, self.peer})

    @property
    def awaits_revocation(self) -> bool:
        """Whether the peer owes the secret of the commitment that my last signature replaced."""
        return self.theirs - 1 > self.revoked

    def role_of(self, name: str) -> str:
        """Who ``name`` is in this channel: self, peer, chain or stranger."""
        return {self.me: "self", self.peer: "peer", "chain": "chain"}.get(name, "stranger")

    def reserve_of(self, payer: str) -> int:
        """What a payer's balance may not fall below by paying (msat)."""
        return self.reserve_msat if payer == self.me else self.peer_reserve_msat

    def htlc(self, payer: str, which: int) -> Htlc | None:
        """The HTLC of a payer with a number, or None."""
        return next((one for one in self.htlcs if (one.payer, one.number) == (payer, which)), None)


Result = tuple[Channel, tuple[Action, ...]]


# -- commitments -------------------------------------------------------------------------------------------------------


def _least_stage(channel: Channel, holder: str, made_by: str, newest: bool) -> int:
    """From which stage on an update is in a holder's commitment: its next one, or its ``newest`` signed one."""
    own = made_by == channel.me
    if holder == channel.peer:
        return {(True, False): SENT, (True, True): SIGNED, (False, False): ACKNOWLEDGED, (False, True): RETURNED}[
            own, newest
        ]
    return {(False, False): SENT, (False, True): SIGNED, (True, False): ACKNOWLEDGED, (True, True): RETURNED}[
        own, newest
    ]


def payee(channel: Channel, payer: str) -> str:
    """Who is paid by an HTLC of ``payer``."""
    return channel.peer if payer == channel.me else channel.me


def view(channel: Channel, holder: str, newest: bool = False) -> View:
    """A holder's next commitment, or its ``newest`` signed one (msat)."""
    balances = {channel.me: channel.balance_msat, channel.peer: channel.capacity_msat - channel.balance_msat}
    pending: list[Htlc] = []
    for htlc in channel.htlcs:
        receiver = payee(channel, htlc.payer)
        if htlc.stage < _least_stage(channel, holder, htlc.payer, newest):
            continue
        balances[htlc.payer] -= htlc.amount_msat
        if htlc.removal and htlc.removal_stage >= _least_stage(channel, holder, receiver, newest):
            balances[receiver if htlc.removal == FULFIL else htlc.payer] += htlc.amount_msat
        else:
            pending.append(htlc)
    other = channel.peer if holder == channel.me else channel.me
    current = channel.theirs if holder == channel.peer else channel.mine
    return View(current + (not newest), balances[holder], balances[other], tuple(pending))


def spendable_msat(channel: Channel, payer: str) -> int:
    """What a payer's balance is worth in each side's next commitment, the lesser of both (msat)."""
    mine, theirs = view(channel, channel.me), view(channel, channel.peer)
    if payer == channel.me:
        return min(mine.to_holder_msat, theirs.to_other_msat)
    return min(mine.to_other_msat, theirs.to_holder_msat)


def _advance(channel: Channel, own: dict[int, int], theirs: dict[int, int]) -> Channel:
    """Take every update from one stage to the next; what is irrevocably over becomes balance."""

    def after(made_by: str, stage: int) -> int:
        return (own if made_by == channel.me else theirs).get(stage, stage)

    balance = channel.balance_msat
    kept: list[Htlc] = []
    for htlc in channel.htlcs:
        receiver = payee(channel, htlc.payer)
        changed = replace(htlc, stage=after(htlc.payer, htlc.stage))
        if htlc.removal:
            changed = replace(changed, removal_stage=after(receiver, htlc.removal_stage))
        if changed.removal and changed.removal_stage == FINAL:
            if changed.removal == FULFIL:
                balance += changed.amount_msat if receiver == channel.me else -changed.amount_msat
        else:
            kept.append(changed)
    return replace(channel, htlcs=tuple(kept), balance_msat=balance)


def _updates(channel: Channel) -> list[tuple[str, int]]:
    """Who made each update in flight, and its stage."""
    found = [(htlc.payer, htlc.stage) for htlc in channel.htlcs]
    found += [(payee(channel, htlc.payer), htlc.removal_stage) for htlc in channel.htlcs if htlc.removal]
    return found


def _pending_of(channel: Channel, made_by: str) -> bool:
    """Whether an update of a side is not irrevocable yet."""
    return any(maker == made_by and stage < FINAL for maker, stage in _updates(channel))


def _due(channel: Channel) -> bool:
    """Whether the peer's next commitment differs from its newest one."""
    wanted = {(channel.me, SENT), (channel.peer, ACKNOWLEDGED)}
    return channel.resign or any(update in wanted for update in _updates(channel))


def _send(channel: Channel, name: str, **fields: int | str) -> Action:
    return Action("send", name, channel.peer, tuple(sorted(fields.items())))


# -- guards ------------------------------------------------------------------------------------------------------------


@RULES.guard
def is_synced(channel: Channel, event: Event) -> bool:
    """Whether both sides know where the other stands."""
    return channel.synced


@RULES.guard
def numbers_agree(channel: Channel, event: Event) -> bool:
    """Whether what the peer expects next is what I sent last, or what comes after it."""
    expects, owed = number(event, "next_commitment"), number(event, "next_revocation")
    return max(channel.theirs, 0) <= expects <= channel.theirs + 1 and max(channel.mine - 1, 0) <= owed <= max(
        channel.mine, 0
    )


@RULES.guard
def peer_is_ahead(channel: Channel, event: Event) -> bool:
    """Whether the peer expects what comes after something that I never sent, as far as I remember."""
    return number(event, "next_commitment") > channel.theirs + 1 or number(event, "next_revocation") > max(
        channel.mine, 0
    )


@RULES.guard
def peer_is_moving(channel: Channel, event: Event) -> bool:
    """Whether the peer has begun to move to an outpoint that I have not named yet."""
    return event["moving"] != "" and event["moving"] not in channel.outpoints


@RULES.guard
def first_not_signed(channel: Channel, event: Event) -> bool:
    """Whether the peer's first commitment is not signed yet."""
    return channel.theirs == NO_COMMITMENT


@RULES.guard
def awaits_first(channel: Channel, event: Event) -> bool:
    """Whether my own first commitment is not here yet."""
    return channel.mine == NO_COMMITMENT


@RULES.guard
def first_complete(channel: Channel, event: Event) -> bool:
    """Whether my first commitment, as the leaf's ceremony has signed it, is complete; the party has looked."""
    return event["complete"] is True


@RULES.guard
def none_stands(channel: Channel, event: Event) -> bool:
    """Whether I have signed no first commitment of the peer's on another leaf state; the party has looked (D-7)."""
    return event["standing"] is False


@RULES.guard
def own_first_durable(channel: Channel, event: Event) -> bool:
    """Whether my own first commitment is complete and durable."""
    return channel.mine != NO_COMMITMENT


@RULES.guard
def peer_holds_first(channel: Channel, event: Event) -> bool:
    """Whether the peer expects its second commitment next: it holds the first."""
    return number(event, "next_commitment") > 0


@RULES.guard
def signature_valid(channel: Channel, event: Event) -> bool:
    """Whether every signature verifies for the commitment that I computed; ``signing/`` has looked."""
    return event["valid"] is True


@RULES.guard
def something_to_sign(channel: Channel, event: Event) -> bool:
    """Whether the peer's next commitment differs from its newest one."""
    return _due(channel)


@RULES.guard
def revocation_in(channel: Channel, event: Event) -> bool:
    """Whether the peer owes no secret."""
    return not channel.awaits_revocation


@RULES.guard
def revocation_awaited(channel: Channel, event: Event) -> bool:
    """Whether the peer owes the secret of one commitment."""
    return channel.awaits_revocation


@RULES.guard
def secret_matches(channel: Channel, event: Event) -> bool:
    """Whether the secret is that of the point of the revoked commitment; ``signing/`` has looked."""
    return event["valid"] is True


@RULES.guard
def policy_is_halt(channel: Channel, event: Event) -> bool:
    """Whether a bad revocation halts this channel."""
    return channel.policy == HALT


@RULES.guard
def policy_is_close(channel: Channel, event: Event) -> bool:
    """Whether a bad revocation closes this channel."""
    return channel.policy == CLOSE


@RULES.guard
def payer_can_pay(channel: Channel, event: Event) -> bool:
    """Whether the payer's balance covers the amount and its reserve in both sides' next commitments."""
    amount = number(event, "amount_msat")
    return 0 < amount <= spendable_msat(channel, event.by) - channel.reserve_of(event.by)


@RULES.guard
def room_for_htlc(channel: Channel, event: Event) -> bool:
    """Whether the payer has fewer HTLCs in flight than are allowed."""
    return sum(htlc.payer == event.by for htlc in channel.htlcs) < channel.most_htlcs


@RULES.guard
def expiry_in_window(channel: Channel, event: Event) -> bool:
    """Whether the expiry is one that both sides can enforce on chain."""
    return number(event, "earliest") <= number(event, "expiry") <= number(event, "latest")


@RULES.guard
def number_is_next(channel: Channel, event: Event) -> bool:
    """Whether the peer's HTLC has the number that follows its last one."""
    return number(event, "number") == channel.next_theirs


@RULES.guard
def htlc_removable(channel: Channel, event: Event) -> bool:
    """Whether the HTLC is irrevocable in both commitments, is paid to whoever removes it, and is not removed yet."""
    payer = channel.peer if event.by == channel.me else channel.me
    htlc = channel.htlc(payer, number(event, "number"))
    return htlc is not None and htlc.stage == FINAL and not htlc.removal


@RULES.guard
def preimage_matches(channel: Channel, event: Event) -> bool:
    """Whether the preimage is that of the payment hash, or the secret of the point; the party has looked."""
    return event["valid"] is True


@RULES.guard
def penalties_kept(channel: Channel, event: Event) -> bool:
    """Whether every tower keeps the penalties of what the peer has revoked."""
    return not channel.watched or channel.guarded >= channel.revoked


@RULES.guard
def own_updates_final(channel: Channel, event: Event) -> bool:
    """Whether every update of mine is irrevocable."""
    return not _pending_of(channel, channel.me)


@RULES.guard
def nothing_due(channel: Channel, event: Event) -> bool:
    """Whether no renewal is due, and the peer owes no secret."""
    return not channel.resign and not channel.awaits_revocation


@RULES.guard
def peer_updates_final(channel: Channel, event: Event) -> bool:
    """Whether every update of the peer's is irrevocable."""
    return not _pending_of(channel, channel.peer)


@RULES.guard
def peer_is_quiet(channel: Channel, event: Event) -> bool:
    """Whether the peer has promised to send no update."""
    return channel.peer in channel.quiet


@RULES.guard
def self_is_quiet(channel: Channel, event: Event) -> bool:
    """Whether I have promised to send no update."""
    return channel.me in channel.quiet


@RULES.guard
def not_asked_yet(channel: Channel, event: Event) -> bool:
    """Whether whoever asks to close has not asked before."""
    return event.by not in channel.leaving


@RULES.guard
def channel_drained(channel: Channel, event: Event) -> bool:
    """Whether both asked to close, no payment is in flight, and both newest commitments say the same."""
    return channel.leaving == channel.both and not channel.htlcs and not channel.awaits_revocation


@RULES.guard
def nobody_quiet(channel: Channel, event: Event) -> bool:
    """Whether whoever makes the update has not promised quiet, and is not asked for it."""
    return not channel.quiet if event.by == channel.me else channel.peer not in channel.quiet


@RULES.guard
def nobody_leaves(channel: Channel, event: Event) -> bool:
    """Whether whoever makes the update has not asked to close, and knows of no such wish."""
    return not channel.leaving if event.by == channel.me else channel.peer not in channel.leaving


@RULES.guard
def one_outpoint(channel: Channel, event: Event) -> bool:
    """Whether the channel is on one outpoint alone."""
    return len(channel.outpoints) == 1


@RULES.guard
def newest_held(channel: Channel, event: Event) -> bool:
    """Whether both sides hold their commitments on every outpoint."""
    return len(channel.outpoints) == 1 or channel.moved == channel.both


@RULES.guard
def already_there(channel: Channel, event: Event) -> bool:
    """Whether the channel is on this outpoint alone, or on a newer one as well."""
    return channel.outpoints == (event["outpoint"],) or event["outpoint"] in channel.outpoints[:-1]


@RULES.guard
def names_new(channel: Channel, event: Event) -> bool:
    """Whether the outpoint is the newest of several."""
    return len(channel.outpoints) > 1 and channel.outpoints[-1] == event["outpoint"]


@RULES.guard
def state_held(channel: Channel, event: Event) -> bool:
    """Whether the new outpoint's leaf state, and the poison of every older one, is complete; the party has looked."""
    return event["held"] is True


@RULES.guard
def state_unsigned(channel: Channel, event: Event) -> bool:
    """Whether I have signed nothing that makes the new outpoint; the party has looked at its records (D-7)."""
    return event["signed"] is False


@RULES.guard
def not_promised(channel: Channel, event: Event) -> bool:
    """Whether I have not promised quiet."""
    return channel.me not in channel.quiet


@RULES.guard
def nothing_given_up(channel: Channel, event: Event) -> bool:
    """Whether it is settled that every outpoint is kept."""
    return channel.kept or not channel.given_up


@RULES.guard
def self_gave_up(channel: Channel, event: Event) -> bool:
    """Whether I have given the new outpoint up."""
    return channel.me in channel.given_up


@RULES.guard
def peer_gave_up(channel: Channel, event: Event) -> bool:
    """Whether the peer has given the new outpoint up."""
    return channel.peer in channel.given_up


@RULES.guard
def self_left(channel: Channel, event: Event) -> bool:
    """Whether I know the new outpoint's leaf state to be complete."""
    return channel.me in channel.left


@RULES.guard
def peer_left(channel: Channel, event: Event) -> bool:
    """Whether the peer knows the new outpoint's leaf state to be complete."""
    return channel.peer in channel.left


@RULES.guard
def self_holds_new(channel: Channel, event: Event) -> bool:
    """Whether I hold my commitment for the new outpoint."""
    return channel.me in channel.moved


@RULES.guard
def peer_holds_new(channel: Channel, event: Event) -> bool:
    """Whether the peer has said that it holds its commitment for the new outpoint."""
    return channel.peer in channel.moved


@RULES.guard
def close_unsigned(channel: Channel, event: Event) -> bool:
    """Whether I have not signed the closing transaction since the sides were last connected."""
    return not channel.close_signed


@RULES.guard
def outpoint_is_new(channel: Channel, event: Event) -> bool:
    """Whether the outpoint is none that the channel is, or was, on."""
    return event["outpoint"] not in channel.outpoints


@RULES.guard
def both_hold_new(channel: Channel, event: Event) -> bool:
    """Whether both sides hold their commitments for the new outpoint."""
    return channel.moved == channel.both


@RULES.guard
def peer_revoked_it(channel: Channel, event: Event) -> bool:
    """Whether the confirmed commitment is one that the peer has revoked."""
    return event["holder"] == channel.peer and number(event, "number") <= channel.revoked


@RULES.guard
def deep_enough(channel: Channel, event: Event) -> bool:
    """Whether what confirmed is as deep as a reorg is assumed to reach."""
    return number(event, "depth") >= channel.depth


@RULES.guard
def last_claim(channel: Channel, event: Event) -> bool:
    """Whether no other output's money is still on its way."""
    return channel.claims <= {text(event, "claim")}


# -- effects -----------------------------------------------------------------------------------------------------------

_SAVE = Action("persist", "channel")


@RULES.effect
def persist_channel(channel: Channel, event: Event) -> Result:
    """Make durable where the channel stands."""
    return channel, (_SAVE,)


@RULES.effect
def unsync(channel: Channel, event: Event) -> Result:
    """The connection is gone: what the peer sent and never signed for was never said."""
    kept = []
    for htlc in channel.htlcs:
        if htlc.payer == channel.peer and htlc.stage == SENT:
            continue
        if htlc.payer == channel.me and htlc.removal and htlc.removal_stage == SENT:
            kept.append(replace(htlc, removal=""))
        else:
            kept.append(htlc)
    dropped = sum(htlc.payer == channel.peer and htlc.stage == SENT for htlc in channel.htlcs)
    changed = replace(
        channel,
        htlcs=tuple(kept),
        next_theirs=channel.next_theirs - dropped,
        synced=False,
        quiet=frozenset(),
        close_signed=False,
    )
    return changed, ()


@RULES.effect
def forget_nonces(channel: Channel, event: Event) -> Result:
    """No nonce outlives its connection (D-2)."""
    return channel, (Action("forget", "nonces"),)


@RULES.effect
def sync(channel: Channel, event: Event) -> Result:
    """Send again what the peer did not get, in the order in which it was sent first, and what was never signed for."""
    owes_signature = number(event, "next_commitment") == channel.theirs
    owes_revocation = channel.mine > 0 and number(event, "next_revocation") == channel.mine - 1
    signature = (*_resent(channel, SIGNED), _send(channel, "commitment_signed", again=1)) if owes_signature else ()
    revocation = (_send(channel, "revoke_and_ack"),) if owes_revocation else ()
    first, second = (signature, revocation) if channel.answered_last else (revocation, signature)
    asked = (_send(channel, "shutdown"),) if channel.me in channel.leaving else ()
    return replace(channel, synced=True), (*_move_resent(channel), *first, *second, *_resent(channel, SENT), *asked)


def _move_resent(channel: Channel) -> tuple[Action, ...]:
    """How far I am with a move, for a peer that may have missed it."""
    if len(channel.outpoints) == 1:
        return (_send(channel, "moved", outpoint=channel.outpoints[-1]),) if channel.departures else ()
    outpoint = channel.outpoints[-1]
    held = "move_held" if channel.me in channel.moved else "move_ready"
    said = (_send(channel, "moved", outpoint=outpoint),) if channel.me in channel.left else ()
    unanswered = channel.me in channel.given_up and not channel.kept
    gave = (_send(channel, "given_up", outpoint=outpoint),) if unanswered else ()
    return (_send(channel, held, outpoint=outpoint), *said, *gave)


def _resent(channel: Channel, stage: int) -> tuple[Action, ...]:
    """My updates of one stage, as messages."""
    added = [
        _send(channel, "add", number=htlc.number)
        for htlc in channel.htlcs
        if htlc.payer == channel.me and htlc.stage == stage
    ]
    removed = [
        _send(channel, htlc.removal, number=htlc.number)
        for htlc in channel.htlcs
        if htlc.payer == channel.peer and htlc.removal and htlc.removal_stage == stage
    ]
    return (*added, *removed)


@RULES.effect
def sign_theirs(channel: Channel, event: Event) -> Result:
    """Make durable what the peer's next commitment says, and that I sign it (D-7)."""
    advanced = _advance(channel, {SENT: SIGNED}, {ACKNOWLEDGED: RETURNED})
    signed = replace(advanced, theirs=channel.theirs + 1, answered_last=False, resign=False)
    return signed, (Action("persist", "their_commitment", fields=(("number", signed.theirs),)), _SAVE)


@RULES.effect
def send_signature(channel: Channel, event: Event) -> Result:
    """Send the partial signature of the peer's commitment, under a nonce made for it, and those of its HTLCs."""
    return channel, (_send(channel, "commitment_signed", again=0),)


@RULES.effect
def store_mine(channel: Channel, event: Event) -> Result:
    """Make durable: my new commitment, complete."""
    advanced = _advance(channel, {ACKNOWLEDGED: RETURNED}, {SENT: SIGNED})
    stored = replace(advanced, mine=channel.mine + 1)
    return stored, (Action("persist", "commitment", fields=(("number", stored.mine),)), _SAVE)


@RULES.effect
def take_firsts(channel: Channel, event: Event) -> Result:
    """Make durable: both first commitments, which the leaf's ceremony has signed."""
    return replace(channel, mine=0, theirs=0), (Action("persist", "firsts"), _SAVE)


@RULES.effect
def send_ready(channel: Channel, event: Event) -> Result:
    """Tell the peer that my first commitment is durable, with the next point and nonce."""
    return channel, (_send(channel, "ready"),)


@RULES.effect
def revoke_mine(channel: Channel, event: Event) -> Result:
    """Give the secret of my older commitment away, with the next point and nonce: the older one is never published."""
    revoked = _advance(channel, {RETURNED: FINAL}, {SIGNED: ACKNOWLEDGED})
    return replace(revoked, answered_last=True), (_SAVE, _send(channel, "revoke_and_ack"))


@RULES.effect
def store_secret(channel: Channel, event: Event) -> Result:
    """Make durable: the secret of the peer's revoked commitment (D-14)."""
    advanced = _advance(channel, {SIGNED: ACKNOWLEDGED}, {RETURNED: FINAL})
    revoked = channel.revoked + 1
    return replace(advanced, revoked=revoked), (Action("persist", "secret", fields=(("number", revoked),)), _SAVE)


@RULES.effect
def register_penalties(channel: Channel, event: Event) -> Result:
    """Each tower is handed the penalties of what is revoked by now."""
    return channel, (Action("register", "penalties"),) if channel.watched else ()


@RULES.effect
def mark_peer(channel: Channel, event: Event) -> Result:
    """Make durable: the peer is not to be trusted any more."""
    marked = replace(channel, marked=f"the secret of its commitment {channel.revoked + 1} is wrong")
    return marked, (Action("alert", "bad_revocation"),)


@RULES.effect
def mark_behind(channel: Channel, event: Event) -> Result:
    """Make durable: this side has lost its newest state, or the peer lies; either way its commitment may be revoked."""
    marked = replace(channel, marked="the peer is ahead: this side may have lost its newest state")
    return marked, (_SAVE, Action("alert", "behind"))


@RULES.effect
def append_offer(channel: Channel, event: Event) -> Result:
    """My HTLC is on its way."""
    added = Htlc(
        channel.me,
        channel.next_offer,
        number(event, "amount_msat"),
        text(event, "payment_hash"),
        number(event, "expiry"),
    )
    return replace(channel, htlcs=(*channel.htlcs, added), next_offer=channel.next_offer + 1), ()


@RULES.effect
def send_offer(channel: Channel, event: Event) -> Result:
    """Send my newest HTLC."""
    return channel, (_send(channel, "add", number=channel.next_offer - 1),)


@RULES.effect
def append_theirs(channel: Channel, event: Event) -> Result:
    """The peer's HTLC is on its way; it counts when the peer has signed it."""
    added = Htlc(
        channel.peer,
        number(event, "number"),
        number(event, "amount_msat"),
        text(event, "payment_hash"),
        number(event, "expiry"),
    )
    return replace(channel, htlcs=(*channel.htlcs, added), next_theirs=channel.next_theirs + 1), ()


def _removed(channel: Channel, event: Event, how: str) -> Channel:
    payer = channel.peer if event.by == channel.me else channel.me
    which = number(event, "number")
    return replace(
        channel,
        htlcs=tuple(
            replace(htlc, removal=how, removal_stage=SENT) if (htlc.payer, htlc.number) == (payer, which) else htlc
            for htlc in channel.htlcs
        ),
    )


@RULES.effect
def keep_preimage(channel: Channel, event: Event) -> Result:
    """Make durable: the preimage, which is worth the payment on chain too."""
    return channel, (Action("persist", "preimage", fields=(("number", number(event, "number")), ("by", event.by))),)


@RULES.effect
def mark_fulfilled(channel: Channel, event: Event) -> Result:
    """The HTLC leaves the next commitments, to the payee."""
    return _removed(channel, event, FULFIL), ()


@RULES.effect
def mark_failed(channel: Channel, event: Event) -> Result:
    """The HTLC leaves the next commitments, back to the payer."""
    return _removed(channel, event, FAIL), ()


@RULES.effect
def send_fulfil(channel: Channel, event: Event) -> Result:
    """Send the preimage."""
    return channel, (_send(channel, FULFIL, number=number(event, "number")),)


@RULES.effect
def send_fail(channel: Channel, event: Event) -> Result:
    """Tell the payer that the payment goes back."""
    return channel, (_send(channel, FAIL, number=number(event, "number")),)


@RULES.effect
def note_ready(channel: Channel, event: Event) -> Result:
    """Both first commitments are durable: the channel counts from here on."""
    return replace(channel, ready=True), (_SAVE,)


@RULES.effect
def promise_quiet(channel: Channel, event: Event) -> Result:
    """Whoever caused it sends no update from here on."""
    return replace(channel, quiet=channel.quiet | {event.by}), ()


@RULES.effect
def stay_quiet(channel: Channel, event: Event) -> Result:
    """The quiet that the connection broke goes on."""
    return replace(channel, quiet=channel.both), ()


@RULES.effect
def send_stfu(channel: Channel, event: Event) -> Result:
    """Tell the peer that I send no update from here on."""
    return channel, (_send(channel, "stfu"),)


@RULES.effect
def end_quiet(channel: Channel, event: Event) -> Result:
    """Updates may be sent again."""
    return replace(channel, quiet=frozenset()), ()


@RULES.effect
def end_move(channel: Channel, event: Event) -> Result:
    """Updates may be sent again, if both had promised to send none; what one alone has asked for stands."""
    quiet = frozenset() if channel.status in ("moving", "quiescent") else channel.quiet
    return replace(channel, quiet=quiet), ()


@RULES.effect
def send_resume(channel: Channel, event: Event) -> Result:
    """Tell the peer that the quiet is over, unless it said so itself."""
    return channel, (_send(channel, "resume"),) if event.by == channel.me else ()


@RULES.effect
def ask_to_close(channel: Channel, event: Event) -> Result:
    """Whoever caused it wants the channel closed together."""
    return replace(channel, leaving=channel.leaving | {event.by}), (_SAVE,)


@RULES.effect
def send_shutdown(channel: Channel, event: Event) -> Result:
    """Tell the peer where my balance is to go, once."""
    if event.by != channel.me and channel.me in channel.leaving:
        return channel, ()
    return replace(channel, leaving=channel.leaving | {channel.me}), (_send(channel, "shutdown"),)


@RULES.effect
def send_close_signature(channel: Channel, event: Event) -> Result:
    """Make durable that I sign the closing transaction (D-7), and send the partial signature."""
    signed = replace(channel, close_signed=True)
    return signed, (Action("persist", "close_spend"), _SAVE, _send(channel, "closing_signed"))


@RULES.effect
def store_close(channel: Channel, event: Event) -> Result:
    """Make durable: the closing transaction, complete."""
    return channel, (Action("persist", "close"), _SAVE)


@RULES.effect
def publish_close(channel: Channel, event: Event) -> Result:
    """Publish the closing transaction, and give the peer its signature."""
    return channel, (_send(channel, "closing_complete"), Action("broadcast", "close"))


@RULES.effect
def publish_commitment(channel: Channel, event: Event) -> Result:
    """Publish my newest commitment."""
    return channel, (Action("broadcast", "commitment"),)


@RULES.effect
def list_claims(channel: Channel, event: Event) -> Result:
    """The outputs that must come to rest: replaced as a whole when another commitment confirms after a reorg."""
    return replace(channel, claims=names(event, "claims")), (_SAVE,)


@RULES.effect
def settle_claim(channel: Channel, event: Event) -> Result:
    """This output's money is at rest."""
    return replace(channel, claims=channel.claims - {text(event, "claim")}), (_SAVE,)


@RULES.effect
def add_outpoint(channel: Channel, event: Event) -> Result:
    """Everything is signed for the new outpoint as well from here on; the peer gets a nonce for what stands."""
    outpoint = text(event, "outpoint")
    nobody: frozenset[str] = frozenset()
    outpoints = (*channel.outpoints, outpoint)
    changed = replace(channel, outpoints=outpoints, moved=nobody, left=nobody, given_up=nobody, kept=False)
    return changed, (_SAVE, _send(channel, "move_ready", outpoint=outpoint))


@RULES.effect
def send_move_signature(channel: Channel, event: Event) -> Result:
    """Make durable that I sign the peer's present commitment on the new outpoint (D-7), and send that."""
    outpoint = channel.outpoints[-1]
    return channel, (Action("persist", "their_move"), _send(channel, "move_signed", outpoint=outpoint))


@RULES.effect
def store_move(channel: Channel, event: Event) -> Result:
    """Make durable: my present commitment on the new outpoint, and tell the peer that I hold it."""
    changed = replace(channel, moved=channel.moved | {channel.me})
    outpoint = channel.outpoints[-1]
    return changed, (Action("persist", "move"), _SAVE, _send(channel, "move_held", outpoint=outpoint))


@RULES.effect
def note_move(channel: Channel, event: Event) -> Result:
    """The peer holds its commitment on the new outpoint."""
    return replace(channel, moved=channel.moved | {channel.peer}), (_SAVE,)


@RULES.effect
def say_left(channel: Channel, event: Event) -> Result:
    """Tell the peer that the new outpoint's leaf state is complete in my hands."""
    changed = replace(channel, left=channel.left | {channel.me})
    return changed, (_SAVE, _send(channel, "moved", outpoint=channel.outpoints[-1]))


@RULES.effect
def note_left(channel: Channel, event: Event) -> Result:
    """The new outpoint's leaf state is complete in the peer's hands."""
    return replace(channel, left=channel.left | {channel.peer}), (_SAVE,)


@RULES.effect
def leave_outpoint(channel: Channel, event: Event) -> Result:
    """Every older outpoint is left."""
    nobody: frozenset[str] = frozenset()
    left = replace(
        channel,
        outpoints=channel.outpoints[-1:],
        departures=channel.departures + 1,
        moved=nobody,
        left=nobody,
        given_up=nobody,
        kept=False,
    )
    return left, (_SAVE,)


@RULES.effect
def owe_renewal(channel: Channel, event: Event) -> Result:
    """The next commitments, on the new outpoint alone, are due: they revoke what is still valid on the old ones."""
    return replace(channel, resign=True), (_SAVE,)


@RULES.effect
def say_given_up(channel: Channel, event: Event) -> Result:
    """Tell the peer that I have signed nothing that makes the new outpoint, and never will."""
    changed = replace(channel, given_up=channel.given_up | {channel.me})
    return changed, (_SAVE, _send(channel, "given_up", outpoint=channel.outpoints[-1]))


@RULES.effect
def note_given_up(channel: Channel, event: Event) -> Result:
    """The peer says that it has signed nothing that makes the new outpoint."""
    return replace(channel, given_up=channel.given_up | {channel.peer}, kept=False), (_SAVE,)


@RULES.effect
def say_kept(channel: Channel, event: Event) -> Result:
    """Tell the peer that I have signed what makes the outpoint: commitments on it stay due."""
    return replace(channel, kept=True), (_SAVE, _send(channel, "kept", outpoint=channel.outpoints[-1]))


@RULES.effect
def note_kept(channel: Channel, event: Event) -> Result:
    """The peer has signed what makes the outpoint that I gave up."""
    return replace(channel, kept=True), (_SAVE,)


@RULES.effect
def say_dropped(channel: Channel, event: Event) -> Result:
    """Tell the peer that I am not on the outpoint that it gives up."""
    return channel, (_send(channel, "dropped", outpoint=text(event, "outpoint")),)


@RULES.effect
def drop_outpoint(channel: Channel, event: Event) -> Result:
    """The new outpoint will never exist: its commitments are worth nothing. On the older ones both hold theirs."""
    nobody: frozenset[str] = frozenset()
    older = channel.outpoints[:-1]
    held = channel.both if len(older) > 1 else nobody
    return replace(channel, outpoints=older, moved=held, left=nobody, given_up=nobody, kept=False), (_SAVE,)
