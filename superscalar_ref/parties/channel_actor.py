"""One side of one channel without I/O: messages go in; messages, transactions and alerts come out.

Laws of this module:

* What may be done is decided by ``spec/machines/channel.toml``. The actor computes what guards ask, and carries out.
* One turn is one transaction of the store: nothing that the turn gave leaves before everything it keeps is durable.
* Secret nonces live in memory, for one connection, and sign once (D-2). A complete signature is made as soon as the
  other side's part is here, so that closing alone needs no nonce.
* Per-commitment secrets are independent and random, durable before their point leaves; the other side's are all kept
  (D-14). So is every commitment ever signed for the other side: it may be published when it is revoked.
* A message that cannot be decoded, or that the table refuses, changes nothing and is reported as an alert.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from superscalar_ref.bitcoin.transaction import Transaction, with_witness
from superscalar_ref.errors import InputError, ProtocolError, Refused, SigningError, SuperscalarError
from superscalar_ref.machine.bind import bind
from superscalar_ref.machine.step import BoundMachine, chosen, step
from superscalar_ref.machine.types import Action, Event
from superscalar_ref.parties import channel_messages as c
from superscalar_ref.parties import messages as m
from superscalar_ref.parties import tower_messages as t
from superscalar_ref.parties.actor import Outbox
from superscalar_ref.parties.channel_state import (
    ChannelKeys,
    ChannelTerms,
    HeldSignature,
    OwnCommitment,
    TheirCommitment,
)
from superscalar_ref.parties.penalties import PenaltyBook
from superscalar_ref.parties.store import Store
from superscalar_ref.protocol import channel as rules
from superscalar_ref.protocol.channel import Channel, Htlc, view
from superscalar_ref.protocol.deadline import FORWARDER, PAYEE, PAYER
from superscalar_ref.protocol.htlc_limits import HtlcLimits, check_expiry
from superscalar_ref.realise import commitment as bolt
from superscalar_ref.realise.channel import derive_secret, new_commitment_secret, revealed_by
from superscalar_ref.realise.htlc import POINT_BYTES, opens
from superscalar_ref.realise.second_stage import second_stages
from superscalar_ref.signing import musig, nonces
from superscalar_ref.signing.keys import Randomness, SecretKey, check_public_key, system_randomness, verify
from superscalar_ref.signing.nonces import SecretNonce
from superscalar_ref.spec.load import load_machine

Answer = Callable[[Htlc], bytes | str | None]
"""What to do with an irrevocable HTLC of the peer: a preimage claims it, a reason gives it back, None waits."""

NEVER = 1 << 40


@cache
def channel_machine(directory: Path | None = None) -> BoundMachine[Channel]:
    """The table of ``spec/machines/channel.toml``, bound to its rules."""
    return bind(load_machine("channel", directory), rules.RULES)


def no_answer(htlc: Htlc) -> bytes | str | None:
    """Wait."""
    return None


def _passes_nothing_on(number: int) -> bool:
    return False


@dataclass(frozen=True)
class Saved:
    """Where a channel stands, on disk."""

    channel: Channel
    expiry_faults: Mapping[str, str]
    """Number of an HTLC of the peer → why its expiry is not accepted."""
    reasons: Mapping[str, str]
    """Number of an HTLC → why it goes back."""


@dataclass
class _Connection:
    """One connection: what dies with it."""

    epoch: str
    peer_epoch: str = ""
    sent: int = 0
    got: int = 0
    own: dict[tuple[str, int], tuple[SecretNonce, bytes]] = field(default_factory=dict)
    """(outpoint, number of my commitment) → my nonce for it."""
    theirs: dict[tuple[str, int], bytes] = field(default_factory=dict)
    """(outpoint, number of the peer's commitment) → the peer's nonce for it; taken out when I sign."""
    points: dict[int, str] = field(default_factory=dict)
    """Number of the peer's commitment → its per-commitment point."""
    own_close: tuple[SecretNonce, bytes] | None = None
    their_close: bytes | None = None
    close_partial: bytes | None = None

    def destroy(self) -> None:
        """Destroy every secret nonce."""
        for secret, _ in self.own.values():
            secret.destroy()
        if self.own_close is not None:
            self.own_close[0].destroy()


class ChannelActor:
    """One side of one channel."""

    def __init__(
        self,
        terms: ChannelTerms,
        keys: ChannelKeys,
        store: Store,
        limits: HtlcLimits,
        *,
        policy: str = rules.HALT,
        depth: int = 1,
        randomness: Randomness = system_randomness,
        answer: Answer = no_answer,
        machine: BoundMachine[Channel] | None = None,
        towers: Iterable[str] = (),
    ) -> None:
        """A new channel, or, when ``store`` holds one of this name, that channel after a restart.

        ``towers`` are the names of this side's watchtowers: it gives no preimage before they keep every penalty.
        """
        self.terms = terms
        self.keys = keys
        self.store = store
        self.limits = limits
        self.randomness = randomness
        self.answer = answer
        self.passes_on: Callable[[int], bool] = _passes_nothing_on
        """Whether an HTLC of this side, by its number, carries a payment that came in by another channel."""
        self.machine = machine or channel_machine()
        self.height = 0
        self.outbox = Outbox()
        self.batching = False
        """Whether to wait with signing, so that several updates share one signature."""
        self.wants_quiet = False
        self.own: OwnCommitment | None = None
        self.preimages: dict[str, str] = {}
        """Payment hash → preimage, or point → its secret (hex), of either side's HTLCs."""
        self.expiry_faults: dict[str, str] = {}
        self.reasons: dict[str, str] = {}
        self.close_signature = b""
        self._connection: _Connection | None = None
        self._peer_epochs = ""
        """The peer's newest connection number that this process has seen."""
        self._incoming: Any = None
        self._spends = self._recorded()
        self.channel = Channel(
            "opening",
            terms.mine.name,
            terms.theirs.name,
            terms.capacity_sat * 1000,
            terms.balance_msat,
            reserve_msat=terms.mine.reserve_msat,
            peer_reserve_msat=terms.theirs.reserve_msat,
            outpoints=(terms.outpoint,),
            policy=policy,
            depth=depth,
        )
        self._recover()
        self.penalties = PenaltyBook.of(towers, self._document(dict[str, int], "guarded") or {})
        self._note_towers()

    # -- watchtowers ---------------------------------------------------------------------------------------------------

    def _note_towers(self) -> None:
        watched = bool(self.penalties.guarded)
        self.channel = replace(self.channel, watched=watched, guarded=self.penalties.least)

    def _take_of_tower(self, tower: str, raw: bytes) -> None:
        message = t.decode(raw, tower)
        if isinstance(message, t.NotRegistered):
            raise InputError(f"watchtower {tower}", f"does not keep {message.txid}: {message.reason}", "WTW-1")
        if not isinstance(message, t.Registered):
            raise InputError(f"message of {tower}", f"{type(message).__name__} is not for a client", "message-form")
        self.penalties.keeps(tower, message.txids)
        self._put(self.penalties.guarded, "guarded")
        self.store.commit()
        self._note_towers()
        self._pump()

    def retry_towers(self) -> Outbox:
        """Hand the towers again whatever penalties they have not acknowledged."""
        self.outbox = Outbox()
        self.outbox.messages += self.penalties.letters(self, again=True)
        return self.outbox

    def add_tower(self, tower: str) -> Outbox:
        """Rely on one more watchtower: it is handed the penalties of all that was ever revoked.

        From now on this side gives no preimage before it keeps them. A tower that is relied on already stays as it is.
        """
        self.outbox = Outbox()
        self.penalties.guarded.setdefault(tower, rules.NO_COMMITMENT)
        self.outbox.messages += self.penalties.letters(self)
        self._note_towers()
        return self.outbox

    def drop_tower(self, tower: str) -> Outbox:
        """Rely on a watchtower no more, such as one that does not answer; what that allows."""
        self.outbox = Outbox()
        self.penalties.guarded.pop(tower, None)
        self._note_towers()
        self._pump()
        return self.outbox

    def may_leave(self) -> bool:
        """Whether nothing is under way, and every tower keeps every penalty: from here on this side may be away."""
        return not self._due() and (not self.channel.watched or self.channel.guarded >= self.channel.revoked)

    # -- durable records -----------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """This side's name."""
        return self.channel.me

    def _key(self, *parts: str | int) -> str:
        return "/".join(["channel", self.terms.name, *map(str, parts)])

    def _put(self, value: object, *parts: str | int) -> None:
        self.store.put_document(self._key(*parts), m.text_of(value))

    def _document(self, kind: type[m.T], *parts: str | int) -> m.T | None:
        stored = self.store.document(self._key(*parts))
        return None if stored is None else m.decode_plain(kind, stored, str(self.store.path))

    def _recover(self) -> None:
        saved = self._document(Saved, "state")
        if saved is None:
            return
        self.channel = saved.channel
        self.expiry_faults, self.reasons = dict(saved.expiry_faults), dict(saved.reasons)
        self.own = self._document(OwnCommitment, "mine")
        self.preimages = self._document(dict[str, str], "preimages") or {}
        self.close_signature = bytes.fromhex(self._document(str, "close") or "")
        # What the store holds is of a connection that is gone.
        if self.channel.synced or self.channel.quiet:
            self.channel, _ = rules.unsync(self.channel, Event.of("disconnected", self.name))
            self.channel = replace(self.channel, status=_AFTER_RESTART.get(self.channel.status, self.channel.status))

    def _save(self) -> None:
        self._put(Saved(self.channel, self.expiry_faults, self.reasons), "state")

    def own_secret(self, number: int) -> SecretKey:
        """My per-commitment secret of a number, made and durable before it is used."""
        stored = self._document(str, "secret", number)
        if stored is not None:
            return SecretKey(bytes.fromhex(stored))
        secret = new_commitment_secret(self.randomness)
        self._put(secret.reveal().hex(), "secret", number)
        return secret

    def their_secret(self, number: int) -> SecretKey | None:
        """The peer's per-commitment secret of a revoked commitment, or None."""
        stored = self._document(str, "their_secret", number)
        return None if stored is None else SecretKey(bytes.fromhex(stored))

    def their_commitment(self, number: int) -> TheirCommitment | None:
        """What I signed for the peer under a number, or None."""
        return self._document(TheirCommitment, "theirs", number)

    # -- connections ---------------------------------------------------------------------------------------------------

    def connect(self) -> Outbox:
        """Begin a connection: tell the peer where this side stands. Whatever was under way before is dropped."""
        self.outbox = Outbox()
        try:
            self._open_connection()
            self._post(self._reestablish())
            self.store.commit()
        except SuperscalarError as error:
            self._alert(error)
        self.outbox.messages += self.penalties.letters(self)
        return self.outbox

    def retry(self) -> Outbox:
        """Connect again when something that was sent may have been lost."""
        waits = self._due() or not self.channel.synced or self.channel.status in ("opening", "moving", "closing")
        return self.connect() if waits and self.channel.status in _CONNECTED else Outbox()

    def _due(self) -> bool:
        state = self.channel
        pending = any(
            htlc.stage < rules.FINAL or (htlc.removal and htlc.removal_stage < rules.FINAL) for htlc in state.htlcs
        )
        asked = bool(state.quiet or state.leaving) or len(state.outpoints) > 1
        return pending or state.awaits_revocation or state.resign or asked

    def _open_connection(self) -> _Connection:
        if self.channel.status not in _CONNECTED:
            problem = f"the channel is '{self.channel.status}': this side does not connect"
            raise ProtocolError("CHN-19", "NOT_CONNECTING", problem)
        if self._connection is not None or self.channel.synced:
            self._step(Event.of("disconnected", self.name))
        number = (self._document(int, "connections") or 0) + 1
        self._put(number, "connections")
        self._connection = _Connection(f"{number:016x}")
        return self._connection

    def _resume_connection(self) -> bool:
        """Meet the peer's newer connection with the present one, if nothing was taken in it; else with a new one."""
        link = self._link
        if link.got:
            self._open_connection()
            return False
        self._connection = None
        self._step(Event.of("disconnected", self.name))
        self._connection = link
        link.sent = 0
        link.theirs.clear()
        link.points.clear()
        return True

    @property
    def _link(self) -> _Connection:
        if self._connection is None:
            raise ProtocolError("CHN-19", "NOT_CONNECTED", "there is no connection")
        return self._connection

    def _post(self, body: c.ChannelMessage) -> None:
        link = self._link
        sequence = 0
        if not isinstance(body, c.Reestablish):
            link.sent += 1
            sequence = link.sent
        envelope = c.Envelope(self.terms.name, link.epoch, link.peer_epoch, sequence, body)
        self.outbox.messages.append((self.channel.peer, c.encode(envelope)))

    def _reestablish(self) -> c.Reestablish:
        channel = self.channel
        number = channel.mine + 1
        moving = channel.outpoints[-1] if channel.status == "moving" else ""
        return c.Reestablish(number, channel.revoked + 1, self._point(number), self._nonces(number), moving)

    def _point(self, number: int) -> str:
        return self.own_secret(number).public.hex()

    def _nonces(self, number: int) -> dict[str, str]:
        return {outpoint: self._own_nonce(outpoint, number).hex() for outpoint in self.channel.outpoints}

    def _own_nonce(self, outpoint: str, number: int) -> bytes:
        """My public nonce for the peer's signature of one commitment of mine: one for each in a connection."""
        link = self._link
        made = link.own.get((outpoint, number))
        if made is None or made[0].spent:
            key = self.terms.bolt_terms(self.name, outpoint).funding_key
            made = link.own[outpoint, number] = nonces.generate(self.keys.funding, key, None, self.randomness)
        return made[1]

    # -- messages ------------------------------------------------------------------------------------------------------

    def receive(self, sender: str, raw: bytes) -> Outbox:
        """Take one message. Nothing is raised: what cannot be taken is an alert."""
        self.outbox = Outbox()
        try:
            if sender in self.penalties.guarded:
                self._take_of_tower(sender, raw)
                return self.outbox
            envelope = c.decode(raw, sender)
            if sender != self.channel.peer or envelope.channel != self.terms.name:
                raise InputError(f"message of {sender}", f"is not for channel '{self.terms.name}'", "CHN-19")
            self._take_envelope(envelope)
        except SuperscalarError as error:
            self._alert(error)
        return self.outbox

    def _take_envelope(self, envelope: c.Envelope) -> None:
        link = self._connection
        if isinstance(envelope.body, c.Reestablish):
            self._take_reestablish(envelope, envelope.body)
            return
        ours = link is not None and (envelope.sender_epoch, envelope.receiver_epoch) == (link.peer_epoch, link.epoch)
        if link is None or not ours or not self.channel.synced or envelope.sequence <= link.got:
            return  # Late or doubled: of another connection, or taken already.
        if envelope.sequence > link.got + 1:
            # One was lost: start over.
            self._open_connection()
            self._post(self._reestablish())
            self.store.commit()
            return
        link.got = envelope.sequence
        self._take(envelope.body)
        self._pump()

    def _take_reestablish(self, envelope: c.Envelope, body: c.Reestablish) -> None:
        link, given = self._connection, envelope.sender_epoch
        answers = link is not None and envelope.receiver_epoch == link.epoch
        if given <= self._peer_epochs and (self.channel.synced or not answers):
            return  # Late or doubled: the peer has begun a newer connection, or this one is under way.
        if link is not None and envelope.receiver_epoch not in ("", link.epoch) and not self.terms.i_opened:
            return  # The peer had not heard of this connection yet. One side waits, or they would chase each other.
        if answers and self.channel.synced:
            # A late letter was taken for the peer's newest; no nonce of this connection has signed if nothing came yet.
            answers = self._resume_connection()
        elif link is None or self.channel.synced:
            self._open_connection()
        link = self._link
        self._peer_epochs = max(given, self._peer_epochs)
        link.peer_epoch, link.got = envelope.sender_epoch, 0
        if not answers:
            # Sent even when the numbers turn out not to fit: so a side that is behind learns it.
            self._post(self._reestablish())
        try:
            self._note_next(body.next_commitment, body.point, body.nonces)
            self._turn(
                Event.of(
                    "reestablish",
                    self.channel.peer,
                    next_commitment=body.next_commitment,
                    next_revocation=body.next_revocation,
                    moving=body.moving,
                )
            )
        except SuperscalarError:
            link.peer_epoch = ""
            raise
        self._pump()

    def _note_next(self, number: int, point: str, given: Mapping[str, str]) -> None:
        """Keep the point and the nonces for a commitment of the peer's."""
        link = self._link
        for nonce in given.values():
            nonces.aggregate_nonces([bytes.fromhex(nonce)], [self.channel.peer])
        signed = self.their_commitment(number)
        if signed is not None and signed.point != point:
            raise ProtocolError("CHN-19", "POINT_CHANGED", f"{self.channel.peer} names another point for {number}")
        link.points[number] = point
        for outpoint, nonce in given.items():
            link.theirs[outpoint, number] = bytes.fromhex(nonce)

    def _take(self, body: c.ChannelMessage) -> None:
        peer = self.channel.peer
        self._incoming = body
        match body:
            case c.Ready():
                self._note_next(1, body.point, body.nonces)
                self._turn(Event.of("ready", peer))
            case c.CommitmentSigned():
                self._take_signature(body)
            case c.RevokeAndAck():
                self._take_revocation(body)
            case c.Add():
                self._take_add(body)
            case c.Fulfil():
                htlc = self.channel.htlc(self.name, body.number)
                valid = htlc is not None and _opens(htlc.payment_hash, bytes.fromhex(body.preimage))
                self._turn(Event.of("fulfil", peer, number=body.number, valid=valid))
            case c.Fail():
                self._turn(Event.of("fail", peer, number=body.number))
                self.outbox.alerts.append(f"{self.name}: HTLC {body.number} came back: {body.reason}")
            case _:
                self._take_rest(body)

    def _take_rest(self, body: c.ChannelMessage) -> None:
        """Quiet, closing together, moving."""
        peer = self.channel.peer
        match body:
            case c.Stfu():
                self._turn(Event.of("stfu", peer))
            case c.Resume():
                self._turn(Event.of("resume", peer))
                self.wants_quiet = False
            case c.Shutdown():
                if body.script != self.terms.theirs.payout_script.hex():
                    raise ProtocolError("CHN-41", "OTHER_SCRIPT", f"{peer} did not name this script before")
                nonces.aggregate_nonces([bytes.fromhex(body.nonce)], [peer])
                self._turn(Event.of("shutdown", peer))
                self._link.their_close = bytes.fromhex(body.nonce)
            case c.ClosingSigned():
                valid = self._close_part_valid(bytes.fromhex(body.partial))
                self._turn(Event.of("closing_signed", peer, valid=valid))
            case c.ClosingComplete():
                valid = self._close_valid(bytes.fromhex(body.signature))
                self._turn(Event.of("closing_complete", peer, valid=valid))
            case _:
                self._take_move(body)

    def _take_move(self, body: c.ChannelMessage) -> None:
        peer, number = self.channel.peer, self.channel.theirs
        match body:
            case c.MoveReady():
                for more, nonce in enumerate((body.nonce, body.next_nonce)):
                    nonces.aggregate_nonces([bytes.fromhex(nonce)], [peer])
                    self._link.theirs[body.outpoint, number + more] = bytes.fromhex(nonce)
                if self.channel.status != "quiescent":
                    # Else the peer was faster: the nonce waits until this side names the outpoint too.
                    self._turn(Event.of("move_ready", peer, outpoint=body.outpoint))
            case c.MoveSigned():
                self._take_move_signature(body)
            case c.MoveHeld():
                self._turn(Event.of("move_held", peer, outpoint=body.outpoint))
            case c.Moved():
                self._turn(Event.of("moved", peer, outpoint=body.outpoint))
            case c.GivenUp():
                self._turn(Event.of("given_up", peer, outpoint=body.outpoint))
                self.wants_quiet = False
            case c.Kept():
                self._turn(Event.of("kept", peer, outpoint=body.outpoint))
            case c.Dropped():
                self._turn(Event.of("dropped", peer, outpoint=body.outpoint))
            case _:
                raise InputError(f"message of {peer}", f"{type(body).__name__} is out of place", "message-form")

    def _take_add(self, add: c.Add) -> None:
        _check_lock(add.payment_hash)
        fields = {"number": add.number, "amount_msat": add.amount_msat, "expiry": add.expiry}
        self._turn(Event.of("add", self.channel.peer, payment_hash=add.payment_hash, **fields))
        self.expiry_faults.pop(str(add.number), None)
        try:
            check_expiry(self.limits, self.height, add.expiry)
        except ProtocolError as error:
            self.expiry_faults[str(add.number)] = str(error)

    # -- signatures ----------------------------------------------------------------------------------------------------

    def _take_signature(self, message: c.CommitmentSigned) -> None:
        said = view(self.channel, self.name)
        found: dict[str, HeldSignature] = {}
        for outpoint in self.channel.outpoints:
            form = message.signatures.get(outpoint)
            if form is not None and message.number == said.number:
                held = self._completed(outpoint, said.number, said, form)
                if held is not None:
                    found[outpoint] = held
        self._incoming = OwnCommitment(said, self._point(said.number), found)
        valid = found.keys() == set(self.channel.outpoints)
        self._turn(Event.of("commitment_signed", self.channel.peer, valid=valid))

    def _completed(self, outpoint: str, number: int, said: rules.View, form: c.SignatureForm) -> HeldSignature | None:
        """My complete signature from the peer's part, with its HTLC signatures; None when any is not valid."""
        link = self._link
        waiting = link.own.get((outpoint, number))
        if waiting is None or waiting[0].spent:
            return None
        secret, public = waiting
        try:
            built = self.terms.commitment(self.name, outpoint, bytes.fromhex(self._point(number)), said)
            stages = second_stages(built)
            if len(stages) != len(form.htlcs):
                return None
            for stage, signature in zip(stages, form.htlcs, strict=True):
                stage.check_other(bytes.fromhex(signature))
            given = bytes.fromhex(form.nonce)
            total = nonces.aggregate_nonces([public, given], [self.name, self.channel.peer])
            session = musig.Session.start(built.terms.funding_key, total, built.sighash)
            part, theirs = bytes.fromhex(form.partial), self.terms.theirs.funding_key
            if not musig.partial_verify(session, theirs, given, part):
                return None
            # The one use of this nonce: whatever follows, it is gone.
            own = musig.partial_sign(session, self.keys.funding, secret)
            complete = musig.partial_aggregate(session, [own, part])
            built.signed(complete)
        except (SigningError, InputError):
            return None
        return HeldSignature(complete.hex(), form.htlcs)

    def _sign_theirs(self, outpoint: str, said: rules.View, point: str) -> c.SignatureForm:
        """My signatures for a commitment of the peer's, under a nonce made now and the one that it gave."""
        link = self._link
        given = link.theirs.pop((outpoint, said.number), None)
        if given is None:
            problem = f"{self.channel.peer} gave no nonce for its commitment {said.number}"
            raise ProtocolError("CHN-13", "NO_NONCE", problem)
        built = self.terms.commitment(self.channel.peer, outpoint, bytes.fromhex(point), said)
        key = built.terms.funding_key
        secret, public = nonces.generate(self.keys.funding, key, built.sighash, self.randomness)
        total = nonces.aggregate_nonces([public, given], [self.name, self.channel.peer])
        partial = musig.partial_sign(musig.Session.start(key, total, built.sighash), self.keys.funding, secret)
        htlc_key = derive_secret(self.keys.secrets.htlc_basepoint, bytes.fromhex(point))
        signatures = tuple(htlc_key.sign(stage.other_sighash, self.randomness).hex() for stage in second_stages(built))
        return c.SignatureForm(public.hex(), partial.hex(), signatures)

    def _record_theirs(self, number: int) -> None:
        """Make durable what is signed for the peer, once for each number and outpoint (D-7)."""
        said = view(self.channel, self.channel.peer, newest=True)
        point = self._link.points.get(number)
        known = self.their_commitment(number)
        if point is None and known is not None:
            point = known.point
        if point is None:
            raise ProtocolError("CHN-13", "NO_POINT", f"{self.channel.peer} gave no point for its commitment {number}")
        outpoints = self.channel.outpoints
        for outpoint in outpoints:
            built = self.terms.commitment(self.channel.peer, outpoint, bytes.fromhex(point), said)
            self._record_spend(outpoint, f"commitment {self.channel.peer} {number}", built.sighash)
        earlier = () if known is None else tuple(one for one in known.outpoints if one not in outpoints)
        self._put(TheirCommitment(said, point, (*earlier, *outpoints)), "theirs", number)

    def _record_spend(self, outpoint: str, slot: str, sighash: bytes) -> None:
        message = sighash.hex()
        if self._spends.setdefault((outpoint, slot), message) != message:
            raise ProtocolError("CHN-13", "SIGNED_ANOTHER", f"'{slot}' of {outpoint} is signed away to another")
        self.store.put_record((outpoint, slot, message))

    def _recorded(self) -> dict[tuple[str, str], str]:
        return {(outpoint, slot): message for outpoint, slot, message in self.store.records()}

    def _take_revocation(self, message: c.RevokeAndAck) -> None:
        signed = self.their_commitment(self.channel.revoked + 1)
        valid = signed is not None and revealed_by(bytes.fromhex(message.secret), bytes.fromhex(signed.point))
        self._turn(Event.of("revoke_and_ack", self.channel.peer, valid=valid))
        if valid:
            self._note_next(self.channel.theirs + 1, message.point, message.nonces)

    def _take_move_signature(self, message: c.MoveSigned) -> None:
        said = view(self.channel, self.name, newest=True)
        held = None
        if message.outpoint == self.channel.outpoints[-1]:
            held = self._completed(message.outpoint, said.number, said, message.signature)
        if self.own is not None and held is not None:
            self._incoming = replace(self.own, signatures={**self.own.signatures, message.outpoint: held})
        self._turn(Event.of("move_signed", self.channel.peer, outpoint=message.outpoint, valid=held is not None))

    # -- closing together ----------------------------------------------------------------------------------------------

    def _close_session(self) -> musig.Session | None:
        link = self._link
        if link.own_close is None or link.their_close is None:
            return None
        outpoint = self.channel.outpoints[-1]
        closing = self.terms.closing(outpoint, self.channel.balance_msat)
        total = nonces.aggregate_nonces([link.own_close[1], link.their_close])
        return musig.Session.start(self.terms.bolt_terms(self.name, outpoint).funding_key, total, closing.sighash)

    def _close_part_valid(self, partial: bytes) -> bool:
        session, link = self._close_session(), self._link
        if session is None or link.their_close is None or link.close_partial is None:
            return False
        return musig.partial_verify(session, self.terms.theirs.funding_key, link.their_close, partial)

    def _close_valid(self, signature: bytes) -> bool:
        outpoint = self.channel.outpoints[-1]
        closing = self.terms.closing(outpoint, self.channel.balance_msat)
        return verify(self.terms.bolt_terms(self.name, outpoint).funding_key.x_only, closing.sighash, signature)

    def closing_transaction(self) -> Transaction:
        """The complete closing transaction. Raises ``InputError`` before there is one."""
        if not self.close_signature:
            raise InputError(self.name, "holds no complete closing transaction", "CHN-44")
        closing = self.terms.closing(self.channel.outpoints[-1], self.channel.balance_msat)
        return with_witness(closing.transaction, 0, (self.close_signature,))

    # -- own steps -----------------------------------------------------------------------------------------------------

    def offer(self, amount_msat: int, payment_hash: str, expiry: int) -> Outbox:
        """Offer a payment (msat) to whoever knows a hash's preimage, or a point's secret (hex), until a height.

        Raises ``ProtocolError`` that names the expiry that is accepted, ``Refused`` when the table takes it not, and
        ``InputError`` for 33 bytes that are no point.
        """
        _check_lock(payment_hash)
        check_expiry(self.limits, self.height, expiry)
        fields = {
            "amount_msat": amount_msat,
            "expiry": expiry,
            "earliest": self.limits.earliest(self.height),
            "latest": self.limits.latest(),
        }
        return self.do("offer", payment_hash=payment_hash, **fields)

    def settle(self, number: int, preimage: bytes) -> Outbox:
        """Claim the peer's HTLC with its preimage (32 bytes). Raises ``Refused``."""
        htlc = self.channel.htlc(self.channel.peer, number)
        valid = htlc is not None and _opens(htlc.payment_hash, preimage)
        self._incoming = preimage
        return self.do("settle", number=number, valid=valid)

    def reject(self, number: int, reason: str) -> Outbox:
        """Give the peer's HTLC back. Raises ``Refused``."""
        self.reasons[str(number)] = reason
        return self.do("reject", number=number)

    def resume(self) -> Outbox:
        """End the quiet. Raises ``Refused``."""
        self.wants_quiet = False
        return self.do("resume")

    def quiesce(self) -> Outbox:
        """Ask for quiet: promised as soon as no update of this side is pending."""
        self.wants_quiet = True
        self.outbox = Outbox()
        self._pump()
        return self.outbox

    def move(self, outpoint: str) -> Outbox:
        """Begin to move to an outpoint (``txid:vout``). Raises ``Refused``."""
        self.do("move", outpoint=outpoint)
        if (outpoint, self.channel.theirs) in self._link.theirs:
            self._turn(Event.of("move_ready", self.channel.peer, outpoint=outpoint))
        self.wants_quiet = False
        return self.outbox

    def complete(self, *, held: bool = True) -> Outbox:
        """The new outpoint's leaf state, and the poison of the older ones, is ``held``. Raises ``Refused``."""
        return self.do("complete", held=held)

    def abandon(self, outpoint: str, *, signed: bool) -> Outbox:
        """Give a new outpoint up; ``signed``: this side's signature that makes it has left. Raises ``Refused``."""
        self.wants_quiet = False
        return self.do("abandon_move", outpoint=outpoint, signed=signed)

    def shutdown(self) -> Outbox:
        """Ask to close together. Raises ``Refused``."""
        return self.do("shutdown")

    def force_close(self) -> Outbox:
        """Close alone, with the newest commitment. Raises ``Refused``."""
        return self.do("force_close")

    def do(self, event: str, **fields: Any) -> Outbox:
        """Take an own event, and what it allows. Raises ``Refused`` with nothing changed."""
        self.outbox = Outbox()
        self._turn(Event.of(event, self.name, **fields))
        self._pump()
        return self.outbox

    def see(self, event: str, **fields: Any) -> Outbox:
        """Take an event of the chain. Raises ``Refused`` with nothing changed."""
        self.outbox = Outbox()
        self._turn(Event.of(event, "chain", **fields))
        return self.outbox

    def learn(self, preimage: bytes, lock: bytes | None = None) -> None:
        """Keep a preimage that was seen on chain, or the secret of ``lock``, a point; durable when this returns."""
        known = {**self.preimages, (lock or hashlib.sha256(preimage).digest()).hex(): preimage.hex()}
        self._put(known, "preimages")
        self.store.commit()
        self.preimages = known

    def exit_deadline(self) -> tuple[int, str]:
        """The height from which on this side must go to the chain, and for which payment's sake (STR-22 to STR-24).

        ``NEVER`` while no payment hangs.
        """
        found = [(NEVER, "")]
        for htlc in self.channel.htlcs:
            if htlc.removal and htlc.removal_stage == rules.FINAL:
                continue
            known, mine = htlc.payment_hash in self.preimages, htlc.payer == self.name
            if mine:
                why = f"its HTLC {htlc.number} has expired and was not given back"
                found.append((self.limits.deadline(PAYER, htlc.expiry), why))
            if mine and not known and self.passes_on(htlc.number):
                why = f"HTLC {htlc.number}, which was passed on, expires too soon to wait any longer"
                found.append((self.limits.deadline(FORWARDER, htlc.expiry), why))
            if not mine and known and htlc.stage == rules.FINAL:
                why = f"HTLC {htlc.number}, whose preimage it knows, expires too soon to wait any longer"
                found.append((self.limits.deadline(PAYEE, htlc.expiry), why))
        return min(found)

    def must_close(self) -> str:
        """Why this side has to go to the chain now; empty while it need not (BOLT 2 'cltv_expiry_delta Selection')."""
        height, why = self.exit_deadline()
        return why if self.height >= height else ""

    def answer_pending(self) -> Outbox:
        """Ask again what to do with the peer's HTLCs, and sign what that gives."""
        self.outbox = Outbox()
        self._pump()
        return self.outbox

    def _pump(self) -> None:
        """Take every own step that the table takes now."""
        if not self.channel.synced or self._connection is None:
            return
        self._answer()
        for event in self._own_events():
            if chosen(self.machine, self.channel, event) is not None:
                self._turn(event)

    def _own_events(self) -> Iterable[Event]:
        if not self.batching:
            yield Event.of("sign", self.name)
        # Who is asked for quiet answers; the question dies with its connection.
        wanted = self.wants_quiet or (self.channel.status == "live" and self.channel.peer in self.channel.quiet)
        if wanted:
            yield Event.of("quiesce", self.name)
        if self._link.their_close is not None and self._link.own_close is not None:
            yield Event.of("sign_close", self.name)

    def _answer(self) -> None:
        for htlc in self.channel.htlcs:
            if htlc.payer == self.name or htlc.stage < rules.FINAL or htlc.removal:
                continue
            fault = self.expiry_faults.get(str(htlc.number))
            known = self.preimages.get(htlc.payment_hash)
            decision = fault or (bytes.fromhex(known) if known else self.answer(htlc))
            if isinstance(decision, bytes):
                valid = _opens(htlc.payment_hash, decision)
                self._incoming = decision
                event = Event.of("settle", self.name, number=htlc.number, valid=valid)
            elif decision is not None:
                self.reasons[str(htlc.number)] = decision
                event = Event.of("reject", self.name, number=htlc.number)
            else:
                continue
            if chosen(self.machine, self.channel, event) is not None:
                self._turn(event)

    # -- carrying out --------------------------------------------------------------------------------------------------

    def _turn(self, event: Event) -> None:
        """Step, carry out, make durable; a failure leaves everything as it was, and ends the connection."""
        before = (self.channel, self.own, dict(self.preimages), self.close_signature)
        sent = len(self.outbox.messages), len(self.outbox.broadcasts)
        try:
            self._step(event)
            self.store.commit()
        except Refused:
            raise
        except Exception:
            # Not only DurabilityError: whatever stops a turn half way must not leave half of it.
            self.store.rollback()
            self.channel, self.own, self.preimages, self.close_signature = before
            self._spends = self._recorded()
            del self.outbox.messages[sent[0] :], self.outbox.broadcasts[sent[1] :]
            self._lose_connection()
            raise

    def _lose_connection(self) -> None:
        if self._connection is not None:
            self._connection.destroy()
        self._connection = None
        self.channel, _ = rules.unsync(self.channel, Event.of("disconnected", self.name))
        self.channel = replace(self.channel, status=_AFTER_RESTART.get(self.channel.status, self.channel.status))

    def _step(self, event: Event) -> None:
        stepped = step(self.machine, self.channel, event)
        self.channel = stepped.context
        for action in stepped.actions:
            match action.kind:
                case "persist":
                    self._persist(action)
                case "send":
                    self._post(self._message(action))
                case "broadcast":
                    self.outbox.broadcasts.append(self._broadcast(action))
                case "register":
                    self.outbox.messages += self.penalties.letters(self)
                    self._note_towers()
                case "alert":
                    self.outbox.alerts.append(f"{self.name}: {action.name}: {self.channel.marked}")
                case "forget" if self._connection is not None:
                    self._connection.destroy()
                    self._connection = None

    def _persist(self, action: Action) -> None:
        match action.name:
            case "channel":
                self._save()
            case "their_commitment":
                self._record_theirs(int(str(action["number"])))
            case "their_move":
                self._record_theirs(self.channel.theirs)
            case "commitment" | "move":
                assert isinstance(self._incoming, OwnCommitment)
                self.own = self._incoming
                self._put(self.own, "mine")
            case "secret":
                assert isinstance(self._incoming, c.RevokeAndAck)
                self._put(self._incoming.secret, "their_secret", int(str(action["number"])))
            case "preimage":
                payer = self.channel.peer if action["by"] == self.name else self.name
                htlc = self.channel.htlc(payer, int(str(action["number"])))
                assert htlc is not None
                self.preimages = {**self.preimages, htlc.payment_hash: self._given()}
                self._put(self.preimages, "preimages")
            case "close_spend":
                outpoint = self.channel.outpoints[-1]
                closing = self.terms.closing(outpoint, self.channel.balance_msat)
                self._record_spend(outpoint, "close", closing.sighash)
            case _:
                assert action.name == "close", action
                self.close_signature = self._complete_close()
                self._put(self.close_signature.hex(), "close")

    def _given(self) -> str:
        """The preimage that was given last (hex)."""
        return self._incoming.preimage if isinstance(self._incoming, c.Fulfil) else bytes(self._incoming).hex()

    def _complete_close(self) -> bytes:
        if isinstance(self._incoming, c.ClosingComplete):
            return bytes.fromhex(self._incoming.signature)
        assert isinstance(self._incoming, c.ClosingSigned)
        session, own = self._close_session(), self._link.close_partial
        assert session is not None and own is not None
        complete = musig.partial_aggregate(session, [own, bytes.fromhex(self._incoming.partial)])
        if not self._close_valid(complete):
            raise SigningError("the signatures of the closing transaction do not add up to a valid one")
        return complete

    def _message(self, action: Action) -> c.ChannelMessage:
        channel = self.channel
        match action.name:
            case "ready":
                return c.Ready(self._point(1), self._nonces(1))
            case "commitment_signed":
                return self._commitment_signed()
            case "revoke_and_ack":
                number = channel.mine + 1
                secret = self.own_secret(channel.mine - 1).reveal().hex()
                return c.RevokeAndAck(secret, self._point(number), self._nonces(number))
            case "add":
                htlc = channel.htlc(self.name, int(str(action["number"])))
                assert htlc is not None
                return c.Add(htlc.number, htlc.amount_msat, htlc.payment_hash, htlc.expiry)
            case "fulfil":
                number = int(str(action["number"]))
                htlc = channel.htlc(channel.peer, number)
                assert htlc is not None
                return c.Fulfil(number, self.preimages[htlc.payment_hash])
            case "fail":
                number = int(str(action["number"]))
                return c.Fail(number, self.reasons.get(str(number), "not accepted"))
            case _:
                return self._closing_or_move(action)

    def _closing_or_move(self, action: Action) -> c.ChannelMessage:
        channel, link = self.channel, self._link
        match action.name:
            case "stfu" | "resume":
                return c.Stfu() if action.name == "stfu" else c.Resume()
            case "shutdown":
                if link.own_close is None:
                    key = self.terms.bolt_terms(self.name, channel.outpoints[-1]).funding_key
                    link.own_close = nonces.generate(self.keys.funding, key, None, self.randomness)
                return c.Shutdown(self.terms.mine.payout_script.hex(), link.own_close[1].hex())
            case "closing_signed":
                session = self._close_session()
                assert session is not None and link.own_close is not None
                link.close_partial = musig.partial_sign(session, self.keys.funding, link.own_close[0])
                return c.ClosingSigned(link.close_partial.hex())
            case "closing_complete":
                return c.ClosingComplete(self.close_signature.hex())
            case _:
                return self._move_message(action, str(action["outpoint"]))

    def _move_message(self, action: Action, outpoint: str) -> c.ChannelMessage:
        channel = self.channel
        match action.name:
            case "move_ready":
                present, following = (self._own_nonce(outpoint, channel.mine + more).hex() for more in (0, 1))
                return c.MoveReady(outpoint, present, following)
            case "move_signed":
                said = view(channel, channel.peer, newest=True)
                signed = self.their_commitment(said.number)
                assert signed is not None
                return c.MoveSigned(outpoint, self._sign_theirs(outpoint, said, signed.point))
            case "move_held":
                return c.MoveHeld(outpoint)
            case "moved":
                return c.Moved(outpoint)
            case "given_up":
                return c.GivenUp(outpoint)
            case "kept":
                return c.Kept(outpoint)
            case _:
                assert action.name == "dropped", action
                return c.Dropped(outpoint)

    def _commitment_signed(self) -> c.CommitmentSigned:
        said = view(self.channel, self.channel.peer, newest=True)
        self._record_theirs(said.number)
        signed = self.their_commitment(said.number)
        assert signed is not None
        forms = {outpoint: self._sign_theirs(outpoint, said, signed.point) for outpoint in self.channel.outpoints}
        return c.CommitmentSigned(said.number, forms)

    def _broadcast(self, action: Action) -> Transaction:
        return self.closing_transaction() if action.name == "close" else self.own_transaction(self.channel.outpoints[0])

    # -- own commitment ------------------------------------------------------------------------------------------------

    def own_commitment(self, outpoint: str) -> bolt.Commitment:
        """My newest commitment on an outpoint, unsigned. Raises ``InputError`` before there is one."""
        if self.own is None or outpoint not in self.own.signatures:
            raise InputError(self.name, f"holds no commitment on {outpoint}", "CHN-50")
        return self.terms.commitment(self.name, outpoint, bytes.fromhex(self.own.point), self.own.said)

    def own_transaction(self, outpoint: str) -> Transaction:
        """My newest commitment on an outpoint, complete. Raises ``InputError`` before there is one."""
        built = self.own_commitment(outpoint)
        assert self.own is not None
        return built.signed(bytes.fromhex(self.own.signatures[outpoint].signature))

    def _alert(self, error: SuperscalarError) -> None:
        self.outbox.alerts.append(f"{self.name}: {error}")


_AFTER_RESTART = {"quiescent": "live", "closing": "live"}
"""Where a lost connection leads (CHN-20)."""
_CONNECTED = frozenset({"opening", "live", "quiescent", "moving", "closing", "agreed"})
"""States in which a side connects: a peer that was caught is not called again (D-14)."""


def _check_lock(lock: str) -> None:
    """Raise ``InputError`` when a lock (hex) is as long as a point and is none."""
    if len(lock) == 2 * POINT_BYTES:
        check_public_key(bytes.fromhex(lock), "point of a lock")


def _opens(lock: str, secret: bytes) -> bool:
    return opens(bytes.fromhex(lock), secret)
