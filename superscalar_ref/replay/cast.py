"""Everybody in a trace with their keys, and what each side can complete.

Laws of this module:

* Keys are of no value: they follow from the parties' names, so that a replay is the same every time.
* A transaction of several signers is signed by MuSig2 sessions only when the trace says that somebody holds it
  complete; nobody publishes anything else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cached_property

from superscalar_ref.bitcoin.sighash import taproot_sighash
from superscalar_ref.bitcoin.taproot import p2tr_from_internal, p2tr_script
from superscalar_ref.bitcoin.transaction import Transaction, TxOutput, build
from superscalar_ref.errors import InputError
from superscalar_ref.protocol.blueprint import Economy, Locks, Terms
from superscalar_ref.protocol.shape import Shape, grow
from superscalar_ref.protocol.transaction import Kind, Outpoint, Role, Template
from superscalar_ref.realise.book import Book, CoinOutput, PartyKeys
from superscalar_ref.realise.build import sign_one
from superscalar_ref.realise.channel import ChannelSecrets, derive_secret, revocation_secret
from superscalar_ref.realise.claim import Claim, revoked, unsigned
from superscalar_ref.realise.tree import Realised, realise_one
from superscalar_ref.signing.keys import SecretKey
from superscalar_ref.signing.nonces import SeededRandomness


def secret(label: str) -> SecretKey:
    """A key of no value, the same in every replay."""
    return SecretKey(hashlib.sha256(f"superscalar replay/{label}".encode()).digest())


def wallet_script(party: str) -> bytes:
    """The scriptPubKey of a party's wallet (BIP-86)."""
    return p2tr_from_internal(secret(f"{party}/wallet").x_only)


class Cast:
    """All parties of a trace, in one process."""

    def __init__(self, parties: Iterable[str], templates: Mapping[str, Template]) -> None:
        """``templates`` are in satoshis and blocks of the chain, parents before children."""
        self.templates = templates
        self.keys = {party: secret(f"{party}/factory") for party in parties}
        self._channels: dict[tuple[str, str], ChannelSecrets] = {}
        for template in templates.values():
            for output in template.outputs:
                if output.role is Role.CHANNEL:
                    for side in output.signers:
                        seed = secret(f"{side}/channels").reveal()
                        self._channels[output.owner, side] = ChannelSecrets.from_seed(seed, output.owner)
        self._points = {
            name: secret(f"{name}/point").public for name, t in templates.items() if t.kind is Kind.COMMITMENT
        }
        self._claims: dict[str, Claim] = {}
        self._randomness = SeededRandomness("superscalar replay")

    @cached_property
    def owners(self) -> Mapping[bytes, str]:
        """Whose money an output with a script is: wallets, and the ``to_remote`` of each channel."""
        found = {wallet_script(party): party for party in self.keys}
        for (_, side), secrets in self._channels.items():
            found[p2tr_from_internal(secrets.payment_basepoint.x_only)] = side
        return found

    def realise(self, coin: tuple[Outpoint, CoinOutput], funding: str) -> dict[str, Realised]:
        """Every template as bytes, unsigned. Raises ``InputError`` when two of them are the same transaction."""
        parties = {name: PartyKeys(key.public, wallet_script(name)) for name, key in self.keys.items()}
        channels = {place: secrets.points for place, secrets in self._channels.items()}
        book = Book(parties, {coin[0]: coin[1]}, channels, self._points)
        delays = [
            output.lock_path.blocks
            for template in self.templates.values()
            for output in template.outputs
            if output.role is Role.DELAYED and output.lock_path is not None
        ]
        locks = Locks(step=1, states=1, to_self_delay=max(delays, default=1), end=1)
        lsp = next(iter(self.templates[funding].signers))
        client = next(party for party in (*self.keys, "nobody") if party != lsp)
        terms = Terms("replay", lsp, grow(Shape.of((2,)), (client,)), Economy(0, 0, 1), locks)
        known: dict[str, Realised] = {}
        names: dict[str, str] = {}
        for name, template in self.templates.items():
            penalty = template.kind is Kind.PENALTY
            known[name] = self._penalty(template, known) if penalty else realise_one(template, book, known, terms)
            same = names.setdefault(known[name].txid, name)
            if same != name:
                raise InputError(f"transaction '{name}'", f"is the same as '{same}'", "trace")
        return known

    def complete(self, realised: Realised) -> Transaction:
        """The transaction with every signature that it needs."""
        template = realised.template
        if template.kind is Kind.FUNDING:
            (owner,) = template.signers
            return realised.signed(secret(f"{owner}/wallet").sign_taproot(realised.sighash, None, self._randomness))
        if template.kind is Kind.PENALTY:
            return self._penalise(realised)
        if realised.opening is None:
            return sign_one(realised, self.keys, self._randomness)
        return realised.signed(self._alone(template).sign(realised.sighash, self._randomness))

    def elsewhere(self, funding: Realised, template: Template) -> Realised:
        """A transaction that spends the coin of ``funding`` into an output that is none of the factory's."""
        (output,) = template.outputs
        script = p2tr_script(self.keys[output.owner].x_only)
        outputs = (TxOutput(output.amount, script),)
        transaction = build(funding.transaction.version, funding.transaction.inputs, outputs)
        return replace(
            funding,
            template=template,
            transaction=transaction,
            places=(0,),
            sighash=taproot_sighash(transaction, 0, funding.spent),
        )

    def signed_alone(self, realised: Realised, party: str) -> Transaction:
        """The transaction of several signers with the signature of one of them: what it can do without the others."""
        return realised.signed(self.keys[party].sign(realised.sighash, self._randomness))

    def _penalty(self, template: Template, known: Mapping[str, Realised]) -> Realised:
        """A revoked commitment's delayed output, to the other side (BOLT 5)."""
        (spend,), (output,) = template.spends, template.outputs
        parent = known[spend.outpoint.transaction]
        assert parent.commitment is not None
        claim = revoked(parent.commitment, parent.places[spend.outpoint.index])
        self._claims[template.name] = claim
        transaction = unsigned([claim], [TxOutput(output.amount, wallet_script(output.owner))])
        return Realised(
            template, transaction, (claim.spent,), (0,), taproot_sighash(transaction, 0, (claim.spent,)), None
        )

    def _penalise(self, realised: Realised) -> Transaction:
        """A penalty with its signature, by the secret that the holder of the commitment has revealed (BOLT 3)."""
        (owner,) = realised.template.signers
        parent = self.templates[realised.template.spends[0].outpoint.transaction]
        basepoint = self._secrets_of(parent, owner).revocation_basepoint
        key = revocation_secret(basepoint, secret(f"{parent.name}/point"))
        return realised.signed(self._claims[realised.template.name].sign(realised.sighash, key, self._randomness))

    def _secrets_of(self, commitment: Template, party: str) -> ChannelSecrets:
        """A side's secrets in the channel that a commitment closes."""
        channel = commitment.spends[0].outpoint
        return self._channels[self.templates[channel.transaction].outputs[channel.index].owner, party]

    def _alone(self, template: Template) -> SecretKey:
        """The key of a lock path: its owner's factory key, or the delayed key of a commitment's holder."""
        (owner,) = template.signers
        parent = self.templates[template.spends[0].outpoint.transaction]
        if parent.kind is not Kind.COMMITMENT:
            return self.keys[owner]
        return derive_secret(self._secrets_of(parent, owner).delayed_payment_basepoint, self._points[parent.name])


def coin_output(txid: str, index: int, amount: int, script: bytes) -> CoinOutput:
    """The coin that the funding transaction spends (sat)."""
    return CoinOutput(txid, index, TxOutput(amount, script))
