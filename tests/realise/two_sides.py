"""Two sides of one channel, with every secret: what the tests of commitments and claims build on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

from superscalar_ref.bitcoin.transaction import Transaction
from superscalar_ref.realise.channel import ChannelSecrets, derive_secret, revocation_secret
from superscalar_ref.realise.commitment import Commitment, State, Terms, build
from superscalar_ref.realise.htlc import Direction, Htlc
from superscalar_ref.realise.second_stage import SecondStage
from superscalar_ref.signing import musig, nonces
from superscalar_ref.signing.keys import SecretKey

CAPACITY_SAT = 1_000_000
DELAY = 6


def key(number: int) -> SecretKey:
    return SecretKey(number.to_bytes(32, "big"))


@dataclass(frozen=True)
class Side:
    secrets: ChannelSecrets
    funding: SecretKey


CLIENT = Side(ChannelSecrets.from_seed(b"client seed of a test", "channel 1"), key(11))
LSP = Side(ChannelSecrets.from_seed(b"another seed of a test", "channel 1"), key(12))


def terms(funding_txid: str = "11" * 32, funding_vout: int = 0) -> Terms:
    """The client's commitments; the LSP opened."""
    return Terms(
        funding_txid=funding_txid,
        funding_vout=funding_vout,
        capacity_sat=CAPACITY_SAT,
        funding_keys=(CLIENT.funding.public, LSP.funding.public),
        holder=CLIENT.secrets.points,
        other=LSP.secrets.points,
        holder_opened=False,
        to_self_delay=DELAY,
        dust_limit_sat=330,
    )


def preimage(number: int) -> bytes:
    return bytes([number]) * 32


def htlc(direction: Direction, number: int, amount_msat: int, expiry: int = 50, secret: int | None = None) -> Htlc:
    payment_hash = sha256(preimage(number if secret is None else secret)).digest()
    return Htlc(direction, number, amount_msat, payment_hash, expiry)


@dataclass(frozen=True)
class Fixture:
    """A commitment of the client with HTLCs, and every secret of both sides."""

    commitment: Commitment
    per_commitment: SecretKey

    @cached_property
    def holder_htlc(self) -> SecretKey:
        return derive_secret(CLIENT.secrets.htlc_basepoint, self.per_commitment.public)

    @cached_property
    def other_htlc(self) -> SecretKey:
        return derive_secret(LSP.secrets.htlc_basepoint, self.per_commitment.public)

    @cached_property
    def holder_delayed(self) -> SecretKey:
        return derive_secret(CLIENT.secrets.delayed_payment_basepoint, self.per_commitment.public)

    @cached_property
    def revocation(self) -> SecretKey:
        return revocation_secret(LSP.secrets.revocation_basepoint, self.per_commitment)

    def signed(self) -> Transaction:
        """The commitment with a MuSig2 signature of both sides."""
        funding = self.commitment.terms.funding_key
        made = {side.funding.public: nonces.generate(side.funding, funding) for side in (CLIENT, LSP)}
        total = nonces.aggregate_nonces([public for _, public in made.values()])
        session = musig.Session.start(funding, total, self.commitment.sighash)
        contributions = [
            musig.Contribution(
                side.funding.public.hex(),
                side.funding.public,
                made[side.funding.public][1],
                musig.partial_sign(session, side.funding, made[side.funding.public][0]),
            )
            for side in (CLIENT, LSP)
        ]
        return self.commitment.signed(musig.finish(session, contributions))

    def second_stage(self, stage: SecondStage, known: bytes | None = None) -> Transaction:
        return stage.signed(
            self.other_htlc.sign(stage.other_sighash), self.holder_htlc.sign(stage.holder_sighash), known
        )


def state(htlcs: tuple[Htlc, ...] = (), number: int = 7, to_remote_msat: int = 300_000_000) -> State:
    held = sum(one.amount_msat for one in htlcs)
    secret = key(1000 + number)
    return State(number, secret.public, CAPACITY_SAT * 1000 - to_remote_msat - held, to_remote_msat, htlcs)


def fixture(htlcs: tuple[Htlc, ...] = (), funding: Terms | None = None, number: int = 7) -> Fixture:
    return Fixture(build(funding or terms(), state(htlcs, number)), key(1000 + number))
