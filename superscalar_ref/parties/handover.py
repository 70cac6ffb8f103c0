"""An assisted exit as each side runs it: a balance in a channel for a payment on chain, by the client's factory key.

Laws of this module:

* What may be done is decided by ``spec/machines/assisted_exit.toml``; this module computes what guards ask, and carries
  out. The lock inside is a payment of the channel to the point of the factory key: its own table makes it safe.
* Nothing leaves before what it depends on is durable: the offer before the lock, the lock's being published before it
  is, the showing of the key before the claim.
* Whatever a crash leaves undone is found again: ``follow`` and ``look`` ask what the state and the chain want now.
"""

from __future__ import annotations

from dataclasses import dataclass

from superscalar_ref.bitcoin.locks import NO_RELATIVE_LOCK
from superscalar_ref.bitcoin.sighash import taproot_sighash
from superscalar_ref.bitcoin.transaction import Transaction, TxInput, TxOutput, with_witness
from superscalar_ref.bitcoin.transaction import build as build_transaction
from superscalar_ref.errors import InputError, ProtocolError, SigningError, SuperscalarError
from superscalar_ref.machine.step import BoundMachine, chosen, step
from superscalar_ref.machine.types import Action, Event
from superscalar_ref.parties import handover_messages as h
from superscalar_ref.parties import messages as m
from superscalar_ref.parties.actor import Outbox
from superscalar_ref.parties.channel_actor import ChannelActor
from superscalar_ref.parties.channel_watch import ChannelWatcher
from superscalar_ref.parties.store import Store
from superscalar_ref.parties.watch import txid_bytes
from superscalar_ref.protocol.assisted_exit import Exit, assisted_exit_machine, least_gap
from superscalar_ref.protocol.channel import FINAL, Htlc
from superscalar_ref.protocol.htlc_limits import check_expiry
from superscalar_ref.realise import ptlc
from superscalar_ref.realise.htlc import POINT_BYTES
from superscalar_ref.realise.ptlc import Ptlc, Spend
from superscalar_ref.signing.adaptor import PreSignature, pre_verify
from superscalar_ref.signing.keys import SecretKey

OVER = ("claimed", "refunded")
WALLET_DUST_SAT = 330
"""What the change of the LSP's coin must be worth, or it is left to miners."""


@dataclass(frozen=True)
class Times:
    """What each side is assumed to need (blocks)."""

    depth: int
    """Confirmations after which a transaction is final."""
    confirmation: int = 1
    lsp_absence: int = 1
    client_absence: int = 1
    """The client looks at the chain within so many blocks."""

    @property
    def to_claim(self) -> int:
        """From the offer until the client's claim is deep: lock, depth, a look, claim; each side may be slow once."""
        return self.lsp_absence + self.confirmation + self.client_absence + self.confirmation + 2 * self.depth - 1


@dataclass(frozen=True)
class Agreed:
    """One exit's terms, as both sides keep them: the client's request and the LSP's offer."""

    ask: h.AskExit
    offer: h.OfferExit
    place: int
    """The number that the client's lock has in the channel."""

    @property
    def output(self) -> Ptlc:
        """The output on chain."""
        ask, offer = self.ask, self.offer
        client, lsp, point = (bytes.fromhex(one) for one in (ask.key, offer.key, ask.point))
        return Ptlc(client, lsp, point, offer.refund_height)

    @property
    def claim(self) -> Spend:
        """What pays the client."""
        offer = self.offer
        script = bytes.fromhex(self.ask.script)
        return ptlc.claim(self.output, offer.txid, offer.index, offer.amount_sat, script, offer.claim_fee_sat)

    @property
    def pre_signature(self) -> PreSignature:
        """The LSP's, of the claim."""
        return PreSignature(bytes.fromhex(self.offer.nonce), bytes.fromhex(self.offer.scalar))

    @property
    def pre_signature_holds(self) -> bool:
        """Whether it becomes a signature of this claim by the client's factory key, and by nothing else."""
        key, point = bytes.fromhex(self.offer.key), bytes.fromhex(self.ask.point)
        return pre_verify(key[1:], self.claim.sighash, point, self.pre_signature)


@dataclass(frozen=True)
class Saved:
    """One exit on disk."""

    exit: Exit
    agreed: Agreed


class Handover:
    """What both sides of an assisted exit have in common."""

    def __init__(
        self,
        side: ChannelActor,
        store: Store,
        times: Times,
        machine: BoundMachine[Exit] | None = None,
        keyring: Store | None = None,
    ) -> None:
        """No exit yet, or the one that ``store`` holds for this channel, after a restart.

        ``keyring`` keeps which keys were handed over, in whatever factory; None: ``store``. From here on payments to a
        point, in this channel, are this exit's.
        """
        self.side = side
        self.store = store
        self.keyring = keyring or store
        self.times = times
        self.machine = machine or assisted_exit_machine()
        self.exit: Exit | None = None
        self.agreed: Agreed | None = None
        self.outbox = Outbox()
        self._answer_else = side.answer
        side.answer = self._answer
        stored = store.document(self._key("state"))
        if stored is not None:
            saved = m.decode_plain(Saved, stored, str(store.path))
            self.exit, self.agreed = saved.exit, saved.agreed

    @property
    def name(self) -> str:
        """This side's name."""
        return self.side.name

    @property
    def status(self) -> str:
        """Where the exit stands; empty while there is none."""
        return "" if self.exit is None else self.exit.status

    @property
    def running(self) -> bool:
        """Whether an exit is under way."""
        return self.exit is not None and self.exit.status not in OVER

    def handed_over(self, point: str) -> bool:
        """Whether this side knows that the secret of a public factory key (hex) was handed over."""
        return self.keyring.document(f"handed_over/{point}") is not None

    def lock(self) -> Htlc | None:
        """The lock inside, while it is in the channel."""
        if self.agreed is None:
            return None
        client = self.name if self.agreed_is_mine else self.side.channel.peer
        htlc = self.side.channel.htlc(client, self.agreed.place)
        return htlc if htlc is not None and htlc.payment_hash == self.agreed.ask.point else None

    @property
    def agreed_is_mine(self) -> bool:
        """Whether this side is the client."""
        raise NotImplementedError

    # -- messages ------------------------------------------------------------------------------------------------------

    def receive(self, sender: str, raw: bytes) -> Outbox:
        """Take one message about an exit. Nothing is raised: what cannot be taken is an alert."""
        self.outbox = Outbox()
        try:
            message = h.decode(raw, sender)
            if sender != self.side.channel.peer or message.channel != self.side.terms.name:
                raise InputError(f"message of {sender}", f"is not for '{self.side.terms.name}'", "AXT-1")
            if isinstance(message, h.GiveUpExit):
                self._take_give_up()
            else:
                self._take(sender, message)
            self._follow()
        except SuperscalarError as error:
            self.outbox.alerts.append(f"{self.name}: {error}")
        return self.outbox

    def _take(self, sender: str, message: h.HandoverMessage) -> None:
        raise NotImplementedError

    def _take_give_up(self) -> None:
        if self.running:
            self._turn(Event.of("give_up", self.side.channel.peer))

    def give_up(self) -> Outbox:
        """Give the exit up. Raises ``Refused`` when it is too late for that (AXT-7)."""
        self.outbox = Outbox()
        self._turn(Event.of("give_up", self.name))
        return self.outbox

    def _post(self, message: h.HandoverMessage) -> None:
        self.outbox.messages.append((self.side.channel.peer, h.encode(message)))

    def _join(self, given: Outbox) -> None:
        self.outbox.messages += given.messages
        self.outbox.broadcasts += given.broadcasts
        self.outbox.alerts += given.alerts

    # -- what follows from the channel, and from the chain -------------------------------------------------------------

    def follow(self) -> Outbox:
        """Do what the state and the channel want now: after every message, and after a restart."""
        self.outbox = Outbox()
        try:
            self._follow()
        except SuperscalarError as error:
            self.outbox.alerts.append(f"{self.name}: {error}")
        return self.outbox

    def _follow(self) -> None:
        raise NotImplementedError

    def look(self, watcher: ChannelWatcher) -> Outbox:
        """See the tip; ``watcher`` has been fed what is in the blocks. What to publish now is in the outbox."""
        self.outbox = Outbox()
        try:
            if self.agreed is not None and self.running:
                self._look(watcher, watcher.ledger.height)
            self._follow()
        except SuperscalarError as error:
            self.outbox.alerts.append(f"{self.name}: {error}")
        return self.outbox

    def _look(self, watcher: ChannelWatcher, height: int) -> None:
        assert self.agreed is not None
        offer = self.agreed.offer
        mined = watcher.ledger.confirmation_height(txid_bytes(offer.txid))
        if mined is not None:
            valid = self.agreed.pre_signature_holds
            self._try(Event.of("lock_confirmed", "chain", depth=height - mined + 1, valid=valid))
        spent = watcher.spender(offer.txid, offer.index)
        if spent is None:
            self._unspent(height, mined is not None)
            return
        transaction, at = spent
        if transaction.txid == self.agreed.claim.transaction.txid:
            self._claimed(transaction)
            self._try(Event.of("claim_seen", "chain", depth=height - at + 1))
        else:
            self._try(Event.of("refund_seen", "chain", depth=height - at + 1))

    def _unspent(self, height: int, confirmed: bool) -> None:
        """Nobody has spent the output on chain."""
        raise NotImplementedError

    def _claimed(self, transaction: Transaction) -> None:
        """The claim is in a block."""

    # -- turns ---------------------------------------------------------------------------------------------------------

    def _try(self, event: Event) -> None:
        """Take an event if the table takes it now."""
        if self.exit is not None and chosen(self.machine, self.exit, event) is not None:
            self._turn(event)

    def _turn(self, event: Event) -> None:
        """Step, carry out, make durable; a failure leaves everything as it was. Raises ``Refused``."""
        if self.exit is None:
            raise ProtocolError("AXT-1", "NO_EXIT", f"{self.name} knows of no exit")
        before, sent, out = self.exit, len(self.outbox.messages), len(self.outbox.broadcasts)
        stepped = step(self.machine, self.exit, event)
        self.exit = stepped.context
        try:
            for action in stepped.actions:
                self._perform(action)
            self.store.commit()
        except SuperscalarError:
            self.store.rollback()
            self.exit = before
            del self.outbox.messages[sent:], self.outbox.broadcasts[out:]
            raise

    def _perform(self, action: Action) -> None:
        assert self.exit is not None and self.agreed is not None
        if action.kind == "persist" and action.name == "factory_key":
            self._keep_key()
        if action.kind == "persist":
            if self.exit.handed_over and not self.handed_over(self.agreed.ask.point):
                self.keyring.put_document(f"handed_over/{self.agreed.ask.point}", m.text_of(""))
                self.keyring.commit()
            self.store.put_document(self._key("state"), m.text_of(Saved(self.exit, self.agreed)))
        elif action.kind == "broadcast":
            self.outbox.broadcasts.append(self._transaction(action.name))
        elif action.name == "unlock_inside" and action.to != self.name and not self.exit.published:
            self._post(h.GiveUpExit(self.side.terms.name))

    def _keep_key(self) -> None:
        """Make the factory key durable, where this side learns it."""

    def _transaction(self, name: str) -> Transaction:
        raise NotImplementedError

    def _key(self, *parts: str) -> str:
        return "/".join(["handover", self.side.terms.name, *parts])

    def _begin(self, ask: h.AskExit, offer: h.OfferExit, client: str, lsp: str, place: int) -> None:
        """Start from agreed terms; nothing is durable yet."""
        times = self.times
        self.agreed = Agreed(ask, offer, place)
        self.exit = Exit(
            "offered",
            client,
            lsp,
            times.depth,
            times.confirmation,
            times.lsp_absence,
            self.side.limits.exit_blocks,
            offer.refund_height,
            offer.expiry,
            handed_over=self.handed_over(ask.point),
        )

    def _answer(self, htlc: Htlc) -> bytes | str | None:
        """What to do with a payment to this side: those to a point are the exit's."""
        raise NotImplementedError


class ClientHandover(Handover):
    """The client's part."""

    def __init__(
        self,
        side: ChannelActor,
        store: Store,
        times: Times,
        factory_key: SecretKey,
        script: bytes,
        machine: BoundMachine[Exit] | None = None,
        keyring: Store | None = None,
    ) -> None:
        """``factory_key`` is what is handed over; ``script`` is where the claim pays; see ``Handover``."""
        super().__init__(side, store, times, machine, keyring)
        self.factory_key = factory_key
        self.script = script
        self.asked: h.AskExit | None = None

    @property
    def agreed_is_mine(self) -> bool:
        """Always."""
        return True

    def ask(self, most_fee_sat: int) -> Outbox:
        """Ask to be paid on chain for what is in the channel, for at most so much (sat).

        Raises ``ProtocolError`` when an exit is under way, the key was handed over, or a payment is in flight.
        """
        point = self.factory_key.public.hex()
        if self.running:
            raise ProtocolError("AXT-1", "EXIT_RUNS", f"{self.name} is '{self.status}' already")
        if self.side.channel.htlcs or not self.side.channel.synced:
            raise ProtocolError("AXT-1", "CHANNEL_NOT_AT_REST", "a payment is in flight, or the LSP is away")
        self.asked = h.AskExit(
            self.side.terms.name, self._own_key().public.hex(), point, self.script.hex(), most_fee_sat
        )
        self.outbox = Outbox()
        self._post(self.asked)
        return self.outbox

    def _own_key(self) -> SecretKey:
        """This side's key of the output on chain, durable before it is used."""
        name = self._key("key")
        stored = self.store.document(name)
        if stored is not None:
            return SecretKey(bytes.fromhex(m.decode_plain(str, stored, str(self.store.path))))
        made = SecretKey.generate(self.side.randomness)
        self.store.put_document(name, m.text_of(made.reveal().hex()))
        self.store.commit()
        return made

    def _take(self, sender: str, message: h.HandoverMessage) -> None:
        if isinstance(message, h.RefuseExit):
            self.asked = None
            self.outbox.alerts.append(f"{self.name}: {sender} refuses the exit: {message.reason}")
            return
        if not isinstance(message, h.OfferExit) or self.asked is None or self.running:
            raise InputError(f"message of {sender}", "is no answer to a request for an exit", "AXT-1")
        asked, before = self.asked, (self.exit, self.agreed)
        self._check(asked, message)
        self.asked = None
        self._begin(asked, message, self.name, sender, self.side.channel.next_offer)
        try:
            self._turn(Event.of("lock_inside", self.name))
        except SuperscalarError:
            self.exit, self.agreed = before
            raise

    def _check(self, asked: h.AskExit, offer: h.OfferExit) -> None:
        """Raise ``InputError`` or ``ProtocolError`` naming what is not as it must be."""
        balance = self.side.channel.balance_msat
        place = "offer of an exit"
        if self.side.channel.htlcs:
            raise InputError(place, "a payment is in flight", "AXT-1")
        if offer.inside_msat != balance:
            raise InputError(place, f"locks {offer.inside_msat} msat, not the balance {balance}", "AXT-1")
        if offer.fee_sat > asked.most_fee_sat or offer.amount_sat != balance // 1000 - offer.fee_sat:
            paid = f"pays {offer.amount_sat} sat for {balance} msat and a fee of {offer.fee_sat} sat"
            raise InputError(place, paid, "amounts_agree")
        if offer.claim_fee_sat >= offer.amount_sat:
            raise InputError(place, f"{offer.claim_fee_sat} sat to miners leave nothing", "amounts_agree")
        tip = self.side.height
        if offer.refund_height < tip + self.times.to_claim:
            raise InputError(place, f"{offer.refund_height} leaves no time to claim at height {tip}", "AXT-4")
        check_expiry(self.side.limits, tip, offer.expiry)
        if not Agreed(asked, offer, 0).pre_signature_holds:
            raise SigningError("the LSP's pre-signature is not valid for this claim")

    def _follow(self) -> None:
        if self.status != "inside" or self.agreed is None:
            return
        channel, offer = self.side.channel, self.agreed.offer
        if channel.next_offer == self.agreed.place and channel.synced and channel.status == "live":
            self._join(self.side.offer(offer.inside_msat, self.agreed.ask.point, offer.expiry))

    def _unspent(self, height: int, confirmed: bool) -> None:
        assert self.exit is not None
        if self.exit.status == "locked":
            self._try(Event.of("claim", self.name, height=height))
        elif not confirmed and height + 2 * self.times.depth + self.times.confirmation > self.exit.refund_height:
            # Even if the output came now, it would be too late to claim it.
            self._try(Event.of("give_up", self.name))

    def _transaction(self, name: str) -> Transaction:
        assert self.agreed is not None and name == "claim"
        agreed = self.agreed
        return ptlc.complete_claim(
            agreed.output,
            agreed.claim,
            agreed.pre_signature,
            self._own_key(),
            self.factory_key,
            self.side.randomness,
        )

    def _answer(self, htlc: Htlc) -> bytes | str | None:
        # After the exit the LSP could spend the channel's output without this client.
        return "this client leaves" if self.running or self.status == "claimed" else self._answer_else(htlc)


class LspHandover(Handover):
    """The LSP's part."""

    def __init__(
        self,
        side: ChannelActor,
        store: Store,
        times: Times,
        wallet_key: SecretKey,
        coin: m.CoinForm,
        script: bytes,
        fee_sat: int,
        mining_fee_sat: int = 300,
        machine: BoundMachine[Exit] | None = None,
        keyring: Store | None = None,
    ) -> None:
        """``coin``, of ``wallet_key``, pays the client; ``script`` takes change and refund.

        ``fee_sat`` is the LSP's price, ``mining_fee_sat`` what each of lock, claim and refund pays to miners. See
        ``Handover``.
        """
        super().__init__(side, store, times, machine, keyring)
        self.wallet_key = wallet_key
        self.coin = coin
        self.script = script
        self.fee_sat = fee_sat
        self.mining_fee_sat = mining_fee_sat
        self._seen: Transaction | None = None

    @property
    def agreed_is_mine(self) -> bool:
        """Never."""
        return False

    def factory_key(self) -> SecretKey | None:
        """The client's factory key, once it was learned."""
        if self.agreed is None:
            return None
        stored = self.keyring.document(f"handed_over/{self.agreed.ask.point}")
        known = "" if stored is None else m.decode_plain(str, stored, str(self.store.path))
        return SecretKey(bytes.fromhex(known)) if known else None

    # -- offering ------------------------------------------------------------------------------------------------------

    def _take(self, sender: str, message: h.HandoverMessage) -> None:
        if not isinstance(message, h.AskExit):
            raise InputError(f"message of {sender}", f"{type(message).__name__} is not for an LSP", "AXT-1")
        reason = self._refuses(message)
        if reason:
            self._post(h.RefuseExit(self.side.terms.name, reason))
            return
        agreed = self.agreed if self.status == "offered" else None
        if agreed is None or agreed.ask != message or self._late(agreed.offer):
            self._begin(message, self._offer(message), sender, self.name, self.side.channel.next_theirs)
            assert self.exit is not None and self.agreed is not None
            self.store.put_document(self._key("state"), m.text_of(Saved(self.exit, self.agreed)))
            self.store.commit()
        assert self.agreed is not None
        self._post(self.agreed.offer)

    def _refuses(self, ask: h.AskExit) -> str:
        """Why there is no exit now; empty when there is one."""
        channel, theirs = self.side.channel, self.side.terms.theirs
        on_chain = self._inside_msat() // 1000 - self.fee_sat
        reasons = {
            f"an exit is '{self.status}'": self.running and self.status != "offered",
            "the point is not this client's key in this factory": ask.point != theirs.funding_key.hex(),
            "this key was handed over before": self.handed_over(ask.point),
            "the channel is not at rest": bool(channel.htlcs) or channel.status != "live",
            f"the price is {self.fee_sat} sat": self.fee_sat > ask.most_fee_sat,
            f"{on_chain} sat on chain would be dust": on_chain - self.mining_fee_sat < theirs.dust_limit_sat,
            "the LSP has no coin for it now": self.coin.amount < on_chain + self.mining_fee_sat,
        }
        found = next((reason for reason, holds in reasons.items() if holds), "")
        try:
            check_expiry(self.side.limits, self.side.height, self._heights()[1])
        except ProtocolError as error:
            return found or str(error)
        return found

    def _inside_msat(self) -> int:
        return self.side.channel.capacity_msat - self.side.channel.balance_msat

    def _heights(self) -> tuple[int, int]:
        """The LSP's refund, and the expiry inside: as early as each may be."""
        times, limits = self.times, self.side.limits
        refund = self.side.height + times.to_claim + times.client_absence
        probe = Exit(
            "offered", "", "", times.depth, times.confirmation, times.lsp_absence, limits.exit_blocks, refund, 0
        )
        return refund, max(refund + least_gap(probe), limits.earliest(self.side.height) + times.client_absence)

    def _offer(self, ask: h.AskExit) -> h.OfferExit:
        inside = self._inside_msat()
        amount = inside // 1000 - self.fee_sat
        refund, expiry = self._heights()
        key = SecretKey.generate(self.side.randomness)
        self.store.put_document(self._key("key"), m.text_of(key.reveal().hex()))
        output = Ptlc(bytes.fromhex(ask.key), key.public, bytes.fromhex(ask.point), refund)
        txid = self._lock_transaction(output, amount).txid
        spend = ptlc.claim(output, txid, 0, amount, bytes.fromhex(ask.script), self.mining_fee_sat)
        pre = ptlc.pre_sign_claim(output, spend, key, self.side.randomness)
        return h.OfferExit(
            self.side.terms.name,
            key.public.hex(),
            txid,
            0,
            amount,
            inside,
            self.fee_sat,
            self.mining_fee_sat,
            refund,
            expiry,
            pre.nonce.hex(),
            pre.scalar.hex(),
        )

    def _own_key(self) -> SecretKey:
        stored = self.store.document(self._key("key"))
        assert stored is not None, "made with the offer"
        return SecretKey(bytes.fromhex(m.decode_plain(str, stored, str(self.store.path))))

    def _lock_transaction(self, output: Ptlc, amount_sat: int) -> Transaction:
        """The LSP's coin into the output and the change, signed."""
        coin = self.coin
        outputs = [TxOutput(amount_sat, output.script)]
        change = coin.amount - amount_sat - self.mining_fee_sat
        if change >= WALLET_DUST_SAT:
            outputs.append(TxOutput(change, self.script))
        unsigned = build_transaction(2, (TxInput(coin.txid, coin.index, NO_RELATIVE_LOCK),), tuple(outputs), 0)
        message = taproot_sighash(unsigned, 0, (TxOutput(coin.amount, bytes.fromhex(coin.script)),))
        return with_witness(unsigned, 0, (self.wallet_key.sign_taproot(message, None, self.side.randomness),))

    # -- what follows --------------------------------------------------------------------------------------------------

    def _follow(self) -> None:
        if self.exit is None or self.agreed is None:
            return
        lock, offer = self.lock(), self.agreed.offer
        standing = lock is not None and lock.stage == FINAL and not lock.removal
        if standing and self.exit.status == "offered":
            self._try(Event.of("lock_inside", self.exit.client))
        if standing and self.exit.status == "inside" and not self.exit.published:
            assert lock is not None
            fields = {"on_chain": offer.amount_sat, "inside": lock.amount_msat // 1000, "fee": offer.fee_sat}
            if self._late(offer):
                self._try(Event.of("give_up", self.name))
            elif lock.expiry == offer.expiry:
                self._try(Event.of("lock_on_chain", self.name, **fields))
        if standing and self.exit.status in OVER:
            self._join(self.side.answer_pending())

    def _late(self, offer: h.OfferExit) -> bool:
        """Whether the client could not claim in time what is published now."""
        return self.side.height + self.times.to_claim > offer.refund_height

    def _unspent(self, height: int, confirmed: bool) -> None:
        assert self.exit is not None
        if not self.exit.published:
            if self.agreed is not None and self._late(self.agreed.offer):
                self._try(Event.of("give_up", self.name))
            return
        if not confirmed:
            self.outbox.broadcasts.append(self._transaction("lock"))
        self._try(Event.of("refund", self.name, height=height))

    def _claimed(self, transaction: Transaction) -> None:
        self._seen = transaction

    def _keep_key(self) -> None:
        assert self.agreed is not None and self._seen is not None
        agreed = self.agreed
        key = ptlc.learn_key(agreed.output, agreed.claim, agreed.pre_signature, self._seen)
        self.keyring.put_document(f"handed_over/{agreed.ask.point}", m.text_of(key.reveal().hex()))
        self.keyring.commit()
        self.side.learn(key.reveal(), key.public)

    def _transaction(self, name: str) -> Transaction:
        assert self.agreed is not None
        offer, output = self.agreed.offer, self.agreed.output
        if name == "lock":
            return self._lock_transaction(output, offer.amount_sat)
        spend = ptlc.refund(output, offer.txid, offer.index, offer.amount_sat, self.script, self.mining_fee_sat)
        return ptlc.complete_refund(output, spend, self._own_key(), self.side.randomness)

    def _answer(self, htlc: Htlc) -> bytes | str | None:
        if len(htlc.payment_hash) != 2 * POINT_BYTES:
            return self._answer_else(htlc)
        if self.agreed is None or (htlc.number, htlc.payment_hash) != (self.agreed.place, self.agreed.ask.point):
            return "no exit was agreed on for this point"
        offer = self.agreed.offer
        if (htlc.amount_msat, htlc.expiry) != (offer.inside_msat, offer.expiry):
            return "is not what was agreed on"
        if self.status == "refunded":
            return "the exit is over"
        key = self.factory_key()
        return key.reveal() if key is not None and self.status == "claimed" else None
