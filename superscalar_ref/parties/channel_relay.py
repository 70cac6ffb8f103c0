"""The LSP passes payments on, from one client's channel to another's; nothing of it touches the tree (protocol.md §8).

Laws of this module:

* Only what is irrevocable is passed on (R-FORWARD-FINAL), wherever it is found.
* What finds its channel quiet waits for it, as long as its expiry would be accepted (R-FORWARD-WAITS).
* What is to be passed on is durable, with the number that the outgoing HTLC will have, before it is offered: after a
  crash it is known whether it was (R-FORWARD-KEPT).
* The incoming HTLC is claimed as soon as the outgoing one's preimage is known, from a message or from the chain; it
  is given back only when the outgoing one can never be claimed any more (R-FORWARD-BACK).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from superscalar_ref.errors import ProtocolError, Refused
from superscalar_ref.parties import messages as m
from superscalar_ref.parties.actor import Outbox
from superscalar_ref.parties.channel_actor import Answer, ChannelActor
from superscalar_ref.parties.store import Store
from superscalar_ref.protocol.channel import FINAL, Htlc
from superscalar_ref.protocol.htlc_limits import check_expiry, check_forward

_DOCUMENT = "forwards"
_ON_CHAIN = ("resolving", "breached", "swept", "penalised")


_PLACE_LOST = "its place in the outgoing channel was lost"


@dataclass(frozen=True)
class Route:
    """Where a payment goes on to: what an onion would tell the forwarder."""

    channel: str
    """Name of the outgoing channel."""
    amount_msat: int
    expiry: int


@dataclass(frozen=True)
class Forward:
    """One payment that is passed on."""

    route: Route
    number: int
    """Of the outgoing HTLC."""


def _only_quiet(out: ChannelActor) -> bool:
    """Whether a channel takes no payment now and soon will again: its leaf is being replaced (D-15)."""
    return out.channel.synced and (out.channel.status in ("quiescent", "moving") or bool(out.channel.quiet))


class Relay:
    """All channels of an LSP, and what it passes on between them."""

    def __init__(self, store: Store, fee_msat: int = 0) -> None:
        """Read back what was passed on before; ``fee_msat`` is asked for each payment."""
        self.store = store
        self.fee_msat = fee_msat
        self.channels: dict[str, ChannelActor] = {}
        self.routes: dict[str, Route] = {}
        """``channel/hash`` of one part of a payment, or the hash of a whole one → route."""
        stored = store.document(_DOCUMENT)
        self.forwards: dict[str, Forward] = (
            {} if stored is None else m.decode_plain(dict[str, Forward], stored, str(store.path))
        )
        self._waiting: dict[str, list[tuple[str, bytes]]] = {}

    def join(self, actor: ChannelActor) -> None:
        """Add a channel."""
        self.channels[actor.terms.name] = actor
        actor.answer = self._answer(actor.terms.name)
        actor.passes_on = partial(self._passed_on, actor.terms.name)

    def _passed_on(self, outgoing: str, number: int) -> bool:
        """Whether an outgoing HTLC is one that was passed on: its channel may not wait for its expiry (STR-24)."""
        return any((one.route.channel, one.number) == (outgoing, number) for one in self.forwards.values())

    def _answer(self, incoming: str) -> Answer:
        return lambda htlc: self.decide(incoming, htlc)

    def decide(self, incoming: str, htlc: Htlc) -> bytes | str | None:
        """What becomes of an incoming HTLC: a preimage, a reason to give it back, or nothing yet."""
        key = f"{incoming}/{htlc.number}"
        forward = self.forwards.get(key)
        if forward is None:
            # The watcher asks about whatever is in a confirmed commitment: a reorg may bring one without it.
            if htlc.stage < FINAL:
                return None
            route = self.routes.get(f"{incoming}/{htlc.payment_hash}") or self.routes.get(htlc.payment_hash)
            if route is None or route.channel not in self.channels:
                return "nobody to pass it on to"
            fault = self._fault(incoming, htlc, route)
            if fault:
                return fault
            out = self.channels[route.channel]
            if _only_quiet(out):
                return None
            forward = Forward(route, out.channel.next_offer)
            self._keep(key, forward)
        return self._outcome(key, forward, htlc)

    def _fault(self, incoming: str, htlc: Htlc, route: Route) -> str:
        if htlc.amount_msat < route.amount_msat + self.fee_msat:
            return f"{htlc.amount_msat} msat do not cover {route.amount_msat} and a fee of {self.fee_msat}"
        try:
            check_forward(self.channels[incoming].limits, htlc.expiry, route.expiry)
            out = self.channels[route.channel]
            check_expiry(out.limits, out.height, route.expiry)
        except ProtocolError as error:
            return str(error)
        return ""

    def _keep(self, key: str, forward: Forward) -> None:
        self.forwards = {**self.forwards, key: forward}
        self.store.put_document(_DOCUMENT, m.text_of(self.forwards))
        self.store.commit()

    def _outcome(self, key: str, forward: Forward, htlc: Htlc) -> bytes | str | None:
        out = self.channels[forward.route.channel]
        known = out.preimages.get(htlc.payment_hash)
        if known is not None:
            return bytes.fromhex(known)
        if out.channel.next_offer <= forward.number:
            return self._offer(key, forward, htlc)
        mine = out.channel.htlc(out.name, forward.number)
        if mine is None:
            return "it came back"
        if mine.payment_hash != htlc.payment_hash:
            # The process died before it was offered, and another payment has got the number.
            return _PLACE_LOST
        if out.channel.status in _ON_CHAIN and f"htlc {out.name} {mine.number}" not in out.channel.claims:
            # Trimmed, or taken back on chain: it is only asked for when the commitment is deep.
            return "it came back on chain" if "commitment" not in out.channel.claims else None
        return None

    def _offer(self, key: str, forward: Forward, htlc: Htlc) -> str | None:
        out, route = self.channels[forward.route.channel], forward.route
        if out.channel.next_offer < forward.number:
            return _PLACE_LOST
        if _only_quiet(out):
            return self._fault(key.rpartition("/")[0], htlc, route) or None
        if not out.channel.synced:
            return "the outgoing channel is away"
        before = out.outbox
        try:
            outbox = out.offer(route.amount_msat, htlc.payment_hash, route.expiry)
        except (Refused, ProtocolError) as error:
            return str(error)
        finally:
            out.outbox = before
        self._waiting.setdefault(out.terms.name, []).extend(outbox.messages)
        return None

    def flush(self) -> Mapping[str, Outbox]:
        """What each channel has to say because of another: after every message that any of them took."""
        found: dict[str, Outbox] = {}
        for name, actor in self.channels.items():
            outbox = actor.answer_pending()
            found[name] = outbox
        for name, messages in self._waiting.items():
            found[name].messages[:0] = messages
        self._waiting = {}
        return found
