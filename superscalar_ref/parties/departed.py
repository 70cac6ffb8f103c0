"""A departed client's part in ceremonies, played by the LSP with the factory key that it has learned (AXT-5).

Laws of this module:

* It signs what the LSP proposes: the departed client has no money in the factory, and its key protects nobody else.
  Whoever stays is asked as before, and signs every transaction that can take what it shares.
* Its nonces are fresh for each attempt and live in memory (D-2).
"""

from __future__ import annotations

from superscalar_ref.errors import InputError, SigningError, SuperscalarError
from superscalar_ref.parties import messages as m
from superscalar_ref.parties.actor import Outbox
from superscalar_ref.parties.lsp import LspActor
from superscalar_ref.parties.room import SigningRoom
from superscalar_ref.signing.keys import Randomness, SecretKey, system_randomness


class DepartedSigner:
    """One departed client, as the others meet it in a ceremony."""

    def __init__(self, name: str, lsp: LspActor, key: SecretKey, randomness: Randomness = system_randomness) -> None:
        """``key`` is the factory key of the client ``name``. Raises ``SigningError`` when it is another's."""
        if key.public != lsp.factory.book.party(name).factory_key:
            raise SigningError(f"the key is not that of {name} in this factory")
        self.name = name
        self.lsp = lsp
        self.randomness = randomness
        self._complete: set[str] = set()
        """Versions of which the LSP has been told that this client's kit is complete."""
        self.room = SigningRoom(
            name,
            key,
            randomness,
            lambda one: lsp.factory.realised[one],
            lambda who: lsp.factory.book.party(who).factory_key,
        )

    def receive(self, sender: str, raw: bytes) -> Outbox:
        """Take one message of the LSP's. Nothing is raised: what cannot be taken is an alert."""
        outbox = Outbox()
        try:
            if sender != self.lsp.name:
                raise InputError(f"message of {sender}", f"only the LSP speaks to {self.name}, which has left", "AXT-5")
            outbox.messages += [(sender, m.encode(answer)) for answer in self._answers(m.decode(raw, sender))]
        except SuperscalarError as error:
            outbox.alerts.append(f"{self.name}: {error}")
        return outbox

    def _answers(self, message: m.Message) -> list[m.Message]:
        match message:
            case m.Update() | m.Close():
                return [m.Agreement(message.label, self.lsp.life.digest)]
            case m.Begin():
                return self._nonces(message.attempt)
            case m.AggregateNonces():
                return [self._partials(message)]
            case m.Signatures():
                return self._kit_complete()
        return []

    def _kit_complete(self) -> list[m.Message]:
        """It holds nothing, and waits for nothing. The next version needs a point of it all the same."""
        label = self.lsp.life.pending
        if label in self._complete or label not in self.lsp.factory.blueprints:
            return []
        self._complete.add(label)
        return [m.KitComplete(label, SecretKey.generate(self.randomness).public.hex())]

    def _nonces(self, attempt: int) -> list[m.Message]:
        wanted = [
            name
            for name, template in self.lsp.factory.signing(self.lsp.life.pending).items()
            # A commitment of its own would be for its own use: nobody needs it any more.
            if self.name in template.signers and template.holder != self.name and name not in self.lsp.held
        ]
        for name in wanted:
            self.room.make_nonce(name)
        return [m.Nonces(attempt, {name: self.room.public_nonce(name).hex() for name in wanted})] if wanted else []

    def _partials(self, message: m.AggregateNonces) -> m.Message:
        partials = {}
        for name, nonce in message.nonces.items():
            self.room.keep_aggregate(name, bytes.fromhex(nonce))
            self.room.sign(name)
            partials[name] = self.room.partial(name).hex()
        return m.Partials(message.attempt, partials)
