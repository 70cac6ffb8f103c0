"""The signing room: what one party keeps in memory while it signs. Nothing here survives the process (D-2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from superscalar_ref.errors import SigningError
from superscalar_ref.realise.tree import Realised
from superscalar_ref.signing import musig, nonces
from superscalar_ref.signing.keys import Randomness, SecretKey, verify
from superscalar_ref.signing.nonces import SecretNonce


@dataclass
class _Work:
    """One attempt at one transaction."""

    secret: SecretNonce
    public_nonces: dict[str, bytes]
    aggregate: bytes | None = None
    partials: dict[str, bytes] = field(default_factory=dict)


class SigningRoom:
    """Carries out with MuSig2 what the session's table decides.

    ``realised`` finds a transaction by name, ``public_key`` a party's 33-byte factory key.
    """

    def __init__(
        self,
        me: str,
        key: SecretKey,
        randomness: Randomness,
        realised: Callable[[str], Realised],
        public_key: Callable[[str], bytes],
    ) -> None:
        self._me = me
        self._key = key
        self._randomness = randomness
        self._realised = realised
        self._public_key = public_key
        self._work: dict[str, _Work] = {}

    def make_nonce(self, name: str) -> None:
        """A fresh nonce; an earlier one of the same transaction is destroyed."""
        self.forget(name)
        realised = self._realised(name)
        secret, public = nonces.generate(self._key, realised.key, realised.sighash, self._randomness)
        self._work[name] = _Work(secret, {self._me: public})

    def public_nonce(self, name: str) -> bytes:
        """This party's public nonce (66 bytes)."""
        return self._work[name].public_nonces[self._me]

    def keep_nonce(self, name: str, signer: str, nonce: bytes) -> None:
        """Keep another signer's public nonce."""
        self._work[name].public_nonces[signer] = nonce

    def keep_aggregate(self, name: str, aggregate: bytes) -> None:
        """Keep the aggregate nonce that the collector sent."""
        self._work[name].aggregate = aggregate

    def aggregate(self, name: str) -> bytes:
        """The aggregate nonce (66 bytes): the collector's sum, or what it sent."""
        work = self._work[name]
        if work.aggregate is None:
            names = sorted(work.public_nonces)
            work.aggregate = nonces.aggregate_nonces([work.public_nonces[signer] for signer in names], names)
        return work.aggregate

    def _session(self, name: str) -> musig.Session:
        realised = self._realised(name)
        assert realised.key is not None
        return musig.Session.start(realised.key, self.aggregate(name), realised.sighash)

    def sign(self, name: str) -> None:
        """This party's partial signature; the nonce is gone after."""
        work = self._work[name]
        work.partials[self._me] = musig.partial_sign(self._session(name), self._key, work.secret)

    def partial(self, name: str) -> bytes:
        """This party's partial signature (32 bytes)."""
        return self._work[name].partials[self._me]

    def partial_verifies(self, name: str, signer: str, partial: bytes) -> bool:
        """Whether another signer's partial signature is valid for the nonce that it sent."""
        work = self._work.get(name)
        if work is None or work.aggregate is None or signer not in work.public_nonces:
            return False
        try:
            key = self._public_key(signer)
            return musig.partial_verify(self._session(name), key, work.public_nonces[signer], partial)
        except SigningError:
            return False

    def keep_partial(self, name: str, signer: str, partial: bytes) -> None:
        """Keep another signer's verified partial signature."""
        self._work[name].partials[signer] = partial

    def complete(self, name: str) -> bytes:
        """The complete signature (64 bytes) from all partial signatures. Raises ``SigningError`` if it is not valid."""
        signers = sorted(self._work[name].partials)
        partials = [self._work[name].partials[signer] for signer in signers]
        signature = musig.partial_aggregate(self._session(name), partials, signers)
        if not self.signature_verifies(name, signature):
            raise SigningError(f"the signatures of '{name}' do not add up to a valid one")
        return signature

    def signature_verifies(self, name: str, signature: bytes) -> bool:
        """Whether a complete signature is valid for the transaction's output key (BIP-340)."""
        realised = self._realised(name)
        return realised.key is not None and verify(realised.key.x_only, realised.sighash, signature)

    def forget(self, name: str) -> None:
        """Destroy the secret nonce of a transaction, if there is one."""
        work = self._work.pop(name, None)
        if work is not None:
            work.secret.destroy()


def nonce_is_good(nonce: bytes) -> bool:
    """Whether 66 bytes are a public nonce."""
    try:
        nonces.aggregate_nonces([nonce])
    except SigningError:
        return False
    return True
