"""BOLT zero-fee taproot commitments: signed commitments and second stages of the local side.

A case is built from its balances, HTLCs and keys, and compared byte for byte. The commitment is signed with the
secret nonces of the file. The two signatures of each second stage are made with 32 zero bytes as BIP-340's auxiliary
randomness, which the published files use; one made with another randomness, which no file carries, is accepted when it
is valid, and the verdict says so. The local side opened the channel.

What has the wrong form (a type, no hex, a wrong length) is malformed; a value that the rules refuse is a mismatch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from superscalar_ref.bitcoin.taproot import tap_tweak
from superscalar_ref.bitcoin.transaction import Transaction, from_bytes, with_witness
from superscalar_ref.conformance.fields import Node
from superscalar_ref.conformance.forms.base import Form
from superscalar_ref.conformance.forms.bip327 import BipError, Signing, nonce_agg
from superscalar_ref.conformance.results import CaseResult, Outcome
from superscalar_ref.errors import InputError, SigningError
from superscalar_ref.realise.channel import ChannelPoints, derive_secret
from superscalar_ref.realise.commitment import Commitment, State, Terms, build
from superscalar_ref.realise.htlc import Direction, Htlc
from superscalar_ref.realise.second_stage import SecondStage, second_stages
from superscalar_ref.signing import musig
from superscalar_ref.signing.keys import SecretKey


class _DiffersError(Exception):
    """What a case says and what is computed differ."""


@dataclass(frozen=True)
class _Channel:
    """What all cases share, as bytes of the right lengths; whether they are keys is judged in each case."""

    file: Node
    funding: tuple[bytes, bytes]
    preimages: dict[bytes, bytes]

    @classmethod
    def read(cls, file: Node) -> _Channel:
        funding = file["local_funding_priv"].octets(32), file["remote_funding_priv"].octets(32)
        table = file["payment_hash_to_preimage"]
        preimages = {Node(key, file.file, table.path).octets(32): table[key].octets(32) for key in table.mapping()}
        for name in _SECRETS:
            file[name].octets(32)
        for name in _POINTS:
            file[name].octets(33)
        for name in _NUMBERS:
            file[name].whole()
        file["funding_txid"].octets(32)
        return cls(file, funding, preimages)

    def point(self, name: str) -> bytes:
        return SecretKey(self.file[name].octets(32)).public

    def htlc_key(self, side: str) -> SecretKey:
        secret = SecretKey(self.file[f"{side}_htlc_basepoint_secret"].octets(32))
        return derive_secret(secret, self.file["per_commitment_point"].octets(33))

    def terms(self, dust_limit_sat: int) -> Terms:
        local, remote = self.point("local_payment_basepoint_secret"), self.point("remote_payment_basepoint_secret")
        # Of the eight basepoints, two enter no byte of a commitment of the local side: any point does for them.
        holder = ChannelPoints(
            revocation_basepoint=local,
            payment_basepoint=local,
            delayed_payment_basepoint=self.point("local_delayed_payment_basepoint_secret"),
            htlc_basepoint=self.point("local_htlc_basepoint_secret"),
        )
        other = ChannelPoints(
            revocation_basepoint=self.file["revocation_basepoint"].octets(33),
            payment_basepoint=remote,
            delayed_payment_basepoint=remote,
            htlc_basepoint=self.point("remote_htlc_basepoint_secret"),
        )
        first, second = (SecretKey(secret).public for secret in self.funding)
        return Terms(
            funding_txid=self.file["funding_txid"].octets(32).hex(),
            funding_vout=self.file["funding_index"].whole(),
            capacity_sat=self.file["funding_amount_satoshis"].whole(),
            funding_keys=(first, second),
            holder=holder,
            other=other,
            holder_opened=True,
            to_self_delay=self.file["to_self_delay"].whole(),
            dust_limit_sat=dust_limit_sat,
        )


@dataclass(frozen=True)
class _Case:
    """One case, read; reading it raises InputError for anything malformed."""

    node: Node
    dust_limit_sat: int
    to_local_msat: int
    to_remote_msat: int
    htlcs: tuple[tuple[Direction, int, int, bytes, int], ...]
    secret_nonces: tuple[bytes, bytes]
    public_nonces: tuple[bytes, bytes]
    commitment: bytes
    successes: tuple[bytes, ...]
    timeouts: tuple[bytes, ...]

    @classmethod
    def read(cls, node: Node) -> _Case:
        node["name"].text()
        return cls(
            node=node,
            dust_limit_sat=node["dust_limit_satoshis"].whole(),
            to_local_msat=node["to_local_msat"].whole(),
            to_remote_msat=node["to_remote_msat"].whole(),
            htlcs=(
                *_htlcs(node, "incoming_htlcs", Direction.RECEIVED),
                *_htlcs(node, "outgoing_htlcs", Direction.OFFERED),
            ),
            secret_nonces=(node["local_secret_nonce"].octets(97), node["remote_secret_nonce"].octets(97)),
            public_nonces=(node["local_public_nonce"].octets(66), node["remote_public_nonce"].octets(66)),
            commitment=node["signed_commit_tx"].octets(),
            successes=_transactions(node, "signed_htlc_success_txs"),
            timeouts=_transactions(node, "signed_htlc_timeout_txs"),
        )


def _htlcs(node: Node, key: str, direction: Direction) -> Iterator[tuple[Direction, int, int, bytes, int]]:
    for entry in node[key] if node.has(key) else ():
        number, amount = entry["id"].whole(), entry["amount_msat"].whole()
        yield direction, number, amount, entry["payment_hash"].octets(32), entry["cltv_expiry"].whole()


def _transactions(node: Node, key: str) -> tuple[bytes, ...]:
    return tuple(entry.octets() for entry in node[key]) if node.has(key) else ()


def _run(document: Node) -> Iterator[CaseResult]:
    channel = _Channel.read(document)
    cases = [_Case.read(node) for node in document["tests"]]
    for payment_hash, preimage in channel.preimages.items():
        if hashlib.sha256(preimage).digest() != payment_hash:
            place = f"payment_hash_to_preimage.{payment_hash.hex()}"
            yield CaseResult(place, Outcome.MISMATCH, "the preimage is not that of the payment hash")
    for case in cases:
        yield _judge(channel, case)


def _judge(channel: _Channel, case: _Case) -> CaseResult:
    name = case.node["name"].text()
    try:
        instead, random = _check_case(channel, case)
    except _DiffersError as error:
        return CaseResult(case.node.path, Outcome.MISMATCH, str(error), name)
    except (BipError, InputError, SigningError) as error:
        return CaseResult(case.node.path, Outcome.MISMATCH, f"expected a commitment, refused: {error}", name)
    if instead:
        return CaseResult(case.node.path, Outcome.NOT_REPRODUCIBLE, f"{instead} (the BIP's arithmetic agrees)", name)
    count = len(case.successes) + len(case.timeouts)
    detail = f"commitment and {count} second stages byte for byte" if count else "commitment byte for byte"
    if random:
        detail += f", but for {random} signatures of second stages, which are valid with other randomness"
    return CaseResult(case.node.path, Outcome.OK, detail, name)


def _check_case(channel: _Channel, case: _Case) -> tuple[str, int]:
    """Check everything; _DiffersError when something differs.

    Returns why this implementation could not sign the commitment, or '', and how many signatures were only verified.
    """
    state = State(
        number=channel.file["commitment_number"].whole(),
        per_commitment_point=channel.file["per_commitment_point"].octets(33),
        to_local_msat=case.to_local_msat,
        to_remote_msat=case.to_remote_msat,
        htlcs=tuple(Htlc(*values) for values in case.htlcs),
    )
    commitment = build(channel.terms(case.dust_limit_sat), state)
    given = _parse(case.commitment, "signed_commit_tx")
    _same_unsigned("signed_commit_tx", given, commitment.transaction)
    signature, instead = _sign(channel, case, commitment)
    _same("signed_commit_tx", "signature", given.witnesses[0], (signature,))
    _same("signed_commit_tx", "bytes", case.commitment, commitment.signed(signature).serialized)
    stages = second_stages(commitment)
    received = [stage for stage in stages if stage.htlc.direction is Direction.RECEIVED]
    offered = [stage for stage in stages if stage.htlc.direction is Direction.OFFERED]
    random = _check_stages("signed_htlc_success_txs", case.successes, received, channel)
    random += _check_stages("signed_htlc_timeout_txs", case.timeouts, offered, channel)
    return instead, random


def _sign(channel: _Channel, case: _Case, commitment: Commitment) -> tuple[bytes, str]:
    """The signature of both sides with the nonces of the case, and why the library could not make it, or ''."""
    keys = musig.sort_keys(commitment.terms.funding_keys)
    for who, secret, public in zip(("local", "remote"), case.secret_nonces, case.public_nonces, strict=True):
        derived = b"".join(SecretKey(secret[i : i + 32]).public for i in (0, 32))
        _same(f"{who}_public_nonce", "nonce", public, derived)
    tweak = tap_tweak(musig.aggregate(keys).x_only)
    total = nonce_agg(case.public_nonces)
    signing = Signing.start(keys, [tweak], [True], total, commitment.sighash)
    parts = [signing.partial_sign(key, nonce) for key, nonce in zip(channel.funding, case.secret_nonces, strict=True)]
    session = musig.Session.start(commitment.terms.funding_key, total, commitment.sighash)
    return musig.partial_aggregate(session, [part.value[0] for part in parts]), signing.instead


def _check_stages(key: str, given: Sequence[bytes], stages: Sequence[SecondStage], channel: _Channel) -> int:
    """Check the second stages of one kind; returns how many signatures were only verified."""
    if len(given) != len(stages):
        raise _DiffersError(f"{key}: {len(given)} in the file, {len(stages)} computed")
    other, holder = channel.htlc_key("remote"), channel.htlc_key("local")
    random = 0
    for position, (raw, stage) in enumerate(zip(given, stages, strict=True)):
        place = f"{key}[{position}]"
        transaction = _parse(raw, place)
        _same_unsigned(place, transaction, stage.transaction)
        made = other.sign(stage.other_sighash, _no_randomness), holder.sign(stage.holder_sighash, _no_randomness)
        preimage = channel.preimages.get(stage.htlc.payment_hash)
        preimage = preimage if stage.htlc.direction is Direction.RECEIVED else None
        stack = transaction.witnesses[0]
        found = tuple(element[:64] for element in (*stack, b"", b"")[:2])
        computed = stage.witness(found[0], found[1], preimage)
        _same(place, "size of the witness", len(stack), len(computed))
        for number, (one, two) in enumerate(zip(stack, computed, strict=True)):
            _same(place, f"witness element {number}", one, two)
        _same(place, "bytes", raw, stage.signed(found[0], found[1], preimage).serialized)
        random += sum(one != two for one, two in zip(found, made, strict=True))
    return random


def _no_randomness(size: int) -> bytes:
    return bytes(size)


def _parse(raw: bytes, place: str) -> Transaction:
    try:
        transaction = from_bytes(raw)
    except InputError as error:
        raise _DiffersError(f"{place}: the file's {error.place} {error.problem}") from error
    if len(transaction.inputs) != 1:
        raise _DiffersError(f"{place}: {len(transaction.inputs)} inputs in the file, 1 computed")
    return transaction


def _same_unsigned(place: str, given: Transaction, computed: Transaction) -> None:
    """Compare part by part, so that a difference is named."""
    _same(place, "nVersion", given.version, computed.version)
    _same(place, "input", given.inputs, computed.inputs)
    _same(place, "nLockTime", given.lock_time, computed.lock_time)
    _same(place, "number of outputs", len(given.outputs), len(computed.outputs))
    for number, (one, other) in enumerate(zip(given.outputs, computed.outputs, strict=True)):
        _same(place, f"amount of output {number}", one.amount_sat, other.amount_sat)
        _same(place, f"script of output {number}", one.script_pubkey, other.script_pubkey)
    _same(place, "bytes without witness", with_witness(given, 0, ()).serialized, computed.serialized)


def _same(place: str, what: str, given: object, computed: object) -> None:
    if given != computed:
        raise _DiffersError(f"{place}: {what}: expected {_show(given)}, computed {_show(computed)}")


def _show(value: object) -> str:
    if isinstance(value, bytes):
        text = value.hex()
        return text if len(text) <= 80 else text[:64] + "…"
    if isinstance(value, tuple):
        return "[" + ", ".join(_show(item) for item in value) + "]"
    return str(value)


_SECRETS = (
    "local_payment_basepoint_secret",
    "local_delayed_payment_basepoint_secret",
    "local_htlc_basepoint_secret",
    "remote_payment_basepoint_secret",
    "remote_htlc_basepoint_secret",
)
_POINTS = ("per_commitment_point", "revocation_basepoint")
_NUMBERS = ("funding_index", "funding_amount_satoshis", "commitment_number", "to_self_delay")

FORM = Form(
    "BOLT zero-fee taproot commitments",
    frozenset(
        {
            *_SECRETS,
            *_POINTS,
            *_NUMBERS,
            "local_funding_priv",
            "remote_funding_priv",
            "funding_txid",
            "payment_hash_to_preimage",
            "tests",
        }
    ),
    _run,
)
