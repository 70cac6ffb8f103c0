"""What the parties of a factory have told one another: public keys, payout scripts, points, coins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from superscalar_ref.bitcoin.transaction import TxOutput
from superscalar_ref.errors import InputError
from superscalar_ref.protocol.transaction import Outpoint
from superscalar_ref.realise.channel import ChannelPoints
from superscalar_ref.signing.musig import AggregateKey, aggregate


@dataclass(frozen=True)
class PartyKeys:
    """One party's public part in a factory."""

    factory_key: bytes
    """33-byte plain key, its own in this factory alone (P1242)."""
    payout_script: bytes
    """Where its money goes when it comes to rest: a scriptPubKey."""


@dataclass(frozen=True)
class CoinOutput:
    """A coin of the LSP on chain."""

    txid: str
    """Hex in RPC order."""
    index: int
    output: TxOutput


@dataclass(frozen=True)
class Book:
    """Everything public that turns templates into bytes. A party knows only the channel points of its own channels."""

    parties: Mapping[str, PartyKeys]
    coins: Mapping[Outpoint, CoinOutput]
    channels: Mapping[tuple[str, str], ChannelPoints] = field(default_factory=dict)
    """(client, holder) → the holder's basepoints in the client's channel."""
    commitment_points: Mapping[str, bytes] = field(default_factory=dict)
    """Name of a commitment → its holder's per-commitment point (33 bytes)."""

    def party(self, name: str) -> PartyKeys:
        """A party's keys. Raises ``InputError`` (R-KEYS) when it has told none."""
        if name not in self.parties:
            raise InputError(f"keys of {name}", "are not known", "R-KEYS")
        return self.parties[name]

    def shared_key(self, signers: frozenset[str]) -> AggregateKey:
        """The untweaked aggregate of these parties' keys (BIP-327; D-1). Raises ``InputError`` as ``party``."""
        if signers not in self._shared_keys:
            self._shared_keys[signers] = aggregate(self.party(name).factory_key for name in signers)
        return self._shared_keys[signers]

    @cached_property
    def _shared_keys(self) -> dict[frozenset[str], AggregateKey]:
        return {}

    def with_points(self, points: Mapping[str, bytes]) -> Book:
        """With more per-commitment points."""
        return replace(self, commitment_points={**self.commitment_points, **points})
