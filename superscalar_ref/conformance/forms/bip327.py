"""What BIP-327's forms share: the BIP's two kinds of error, steps of the ceremony that raise them, and the judging.

The steps run this implementation; when it refuses, the cause is named as the BIP names it, so that it can be compared
with the file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from superscalar_ref.conformance import bip327_arithmetic as arithmetic
from superscalar_ref.conformance import libsecp_layout
from superscalar_ref.conformance.fields import Node
from superscalar_ref.conformance.results import CaseResult, Outcome
from superscalar_ref.errors import SigningError
from superscalar_ref.signing import musig, nonces
from superscalar_ref.signing.keys import SecretKey

ONLY_32 = "libsecp256k1's MuSig2 takes 32-byte messages only"
TWEAK_TOO_LARGE = "The tweak must be less than n."
TWEAK_INFINITY = "The result of tweaking cannot be infinity."
TWEAK_LENGTH = "The tweak must be a 32-byte array."
TWEAK_COUNT = "The `tweaks` and `is_xonly` arrays must have the same length."
NONCE_FIRST = "first secnonce value is out of range."
NONCE_SECOND = "second secnonce value is out of range."
NONCE_KEY = "Public key does not match nonce_gen argument"
SECRET_RANGE = "secret key value is out of range."
NOT_A_SIGNER = "The signer's pubkey must be included in the list of pubkeys."
_MESSAGES = frozenset(
    {
        TWEAK_TOO_LARGE,
        TWEAK_INFINITY,
        TWEAK_LENGTH,
        TWEAK_COUNT,
        NONCE_FIRST,
        NONCE_SECOND,
        NONCE_KEY,
        SECRET_RANGE,
        NOT_A_SIGNER,
    }
)


class BipError(Exception):
    """An error as BIP-327's vectors write it: an invalid contribution of a signer, or a value out of range."""

    def __init__(self, kind: str, signer: int | None = None, contribution: str = "", message: str = "") -> None:
        self.kind = kind
        self.signer = signer
        self.contribution = contribution
        self.message = message
        who = "the aggregator" if signer is None else f"signer {signer}"
        super().__init__(message if kind == "value" else f"invalid {contribution} of {who}")


def invalid(contribution: str, signer: int | None) -> BipError:
    """An invalid contribution, of the aggregator when ``signer`` is None."""
    return BipError("invalid_contribution", signer, contribution)


def out_of_range(message: str) -> BipError:
    """A value that the BIP forbids."""
    return BipError("value", message=message)


@dataclass(frozen=True)
class Computed:
    """A computed value; ``instead`` says why the BIP's arithmetic had to stand in for this implementation."""

    value: tuple[bytes, ...]
    instead: str = ""


def judge_value(case: Node, expected: tuple[bytes, ...], compute: Callable[[], Computed]) -> CaseResult:
    """Compare what the case expects with what is computed."""
    try:
        computed = compute()
    except (BipError, SigningError) as error:
        return result(case, Outcome.MISMATCH, f"expected a value, refused: {error}")
    if computed.value != expected:
        pairs = zip(computed.value, expected, strict=True)
        got, wanted = next(pair for pair in pairs if pair[0] != pair[1])
        return result(case, Outcome.MISMATCH, f"expected {_short(wanted)}, computed {_short(got)}")
    if computed.instead:
        reason = f"{computed.instead} (the BIP's arithmetic agrees with the file)"
        return result(case, Outcome.NOT_REPRODUCIBLE, reason)
    return result(case, Outcome.OK)


def judge_error(case: Node, attempt: Callable[[], object]) -> CaseResult:
    """Compare the error that the case expects with the one that the attempt raises."""
    expected = _expected_error(case["error"])
    try:
        attempt()
    except BipError as error:
        same = (expected.kind, expected.signer, expected.contribution) == (
            error.kind,
            error.signer,
            error.contribution,
        )
        if not same or (expected.message in _MESSAGES and expected.message != error.message):
            return result(case, Outcome.MISMATCH, f"expected the error '{expected}', got '{error}'")
        return result(case, Outcome.OK)
    except SigningError as error:
        return result(case, Outcome.MISMATCH, f"expected the error '{expected}', got '{error}'")
    return result(case, Outcome.MISMATCH, f"expected the error '{expected}', but nothing is wrong")


def result(case: Node, outcome: Outcome, detail: str = "") -> CaseResult:
    """The result of a case, with the file's own comment."""
    comment = case["comment"].text() if isinstance(case.value, dict) and case.has("comment") else ""
    return CaseResult(case.path, outcome, detail, comment)


def _expected_error(error: Node) -> BipError:
    kind = error["type"].text()
    if kind == "value":
        return out_of_range(error["message"].text())
    if kind != "invalid_contribution":
        error["type"].fail(f"'{_clip(kind)}' is neither 'invalid_contribution' nor 'value'")
    signer = error["signer"]
    return invalid(error["contrib"].text(), None if signer.is_null() else signer.whole())


def tweaks_of(case: Node, table: Node | None) -> tuple[list[bytes], list[bool]]:
    """The tweaks of a case: by ``tweak_indices`` into a table, or written in the case when there is no table."""
    entries = list(case["tweaks"]) if table is None else case["tweak_indices"].picks(table)
    return [entry.octets() for entry in entries], [flag.flag() for flag in case["is_xonly"]]


def key_agg(keys: Sequence[bytes], tweaks: Sequence[bytes] = (), x_only: Sequence[bool] = ()) -> musig.AggregateKey:
    """KeyAgg and ApplyTweak by this implementation; BipError as the BIP has it."""
    try:
        key = musig.aggregate_in_order(tuple(keys))
    except SigningError as error:
        raise (invalid("pubkey", _position(error)) if error.blame else out_of_range(error.problem)) from error
    if len(tweaks) != len(x_only):
        raise out_of_range(TWEAK_COUNT)
    for tweak, flag in zip(tweaks, x_only, strict=True):
        try:
            key = key.tweak(tweak, flag)
        except SigningError as error:
            if len(tweak) != 32:
                raise out_of_range(TWEAK_LENGTH) from error
            too_large = int.from_bytes(tweak, "big") >= arithmetic.ORDER
            raise out_of_range(TWEAK_TOO_LARGE if too_large else TWEAK_INFINITY) from error
    return key


def nonce_agg(public_nonces: Sequence[bytes]) -> bytes:
    """NonceAgg by this implementation; BipError as the BIP has it."""
    try:
        return nonces.aggregate_nonces(public_nonces)
    except SigningError as error:
        raise (invalid("pubnonce", _position(error)) if error.blame else out_of_range(error.problem)) from error


@dataclass(frozen=True)
class Signing:
    """A session of vectors: this implementation's for a 32-byte message, else the BIP's arithmetic."""

    keys: tuple[bytes, ...]
    library: musig.Session | None
    formulas: arithmetic.Session

    @classmethod
    def start(
        cls,
        keys: Sequence[bytes],
        tweaks: Sequence[bytes],
        x_only: Sequence[bool],
        aggregate_nonce: bytes,
        message: bytes,
        contribution: str = "aggnonce",
    ) -> Signing:
        """Begin; BipError as the BIP has it. ``contribution`` is the file's word for the aggregate nonce."""
        key = key_agg(keys, tweaks, x_only)
        try:
            # Only the nonce is tried here: a message of another length is no error of the file.
            probe = musig.Session.start(key, aggregate_nonce, message if len(message) == 32 else bytes(32))
        except SigningError as error:
            raise invalid(contribution, None) from error
        formulas = arithmetic.start(keys, list(zip(tweaks, x_only, strict=True)), aggregate_nonce, message)
        return cls(tuple(keys), probe if len(message) == 32 else None, formulas)

    @property
    def instead(self) -> str:
        """Why this implementation cannot run the session; empty when it can."""
        if self.library is None:
            return ONLY_32
        return "" if libsecp_layout.layout_holds() else "this libsecp256k1 lays a secret nonce out otherwise"

    def partial_sign(self, secret: bytes, secret_nonce: bytes) -> Computed:
        """The partial signature with a fixed 97-byte secret nonce; BipError as the BIP has it."""
        first, second = (int.from_bytes(secret_nonce[i : i + 32], "big") for i in (0, 32))
        # The library reads no secret nonce from bytes, so their range is the loader's affair.
        if not 0 < first < arithmetic.ORDER:
            raise out_of_range(NONCE_FIRST)
        if not 0 < second < arithmetic.ORDER:
            raise out_of_range(NONCE_SECOND)
        try:
            key = SecretKey(secret)
        except SigningError as error:
            raise out_of_range(SECRET_RANGE) from error
        # These two are compared here too, because a nonce of another key cannot even be loaded for comparison.
        if secret_nonce[64:] != key.public:
            raise out_of_range(NONCE_KEY)
        if self.library is None or self.instead:
            if key.public not in self.keys:
                raise out_of_range(NOT_A_SIGNER)
            return Computed((arithmetic.partial_sign(self.formulas, secret, secret_nonce),), self.instead)
        try:
            nonce = libsecp_layout.secret_nonce(secret_nonce)
            return Computed((musig.partial_sign(self.library, key, nonce),))
        except SigningError as error:
            raise out_of_range(error.problem if key.public in self.keys else NOT_A_SIGNER) from error

    def partial_verify(self, public: bytes, public_nonce: bytes, partial: bytes) -> bool:
        """Whether a partial signature is valid, by this implementation when it can."""
        if self.library is None:
            return arithmetic.partial_verify(self.formulas, public, public_nonce, partial)
        return musig.partial_verify(self.library, public, public_nonce, partial)


def _position(error: SigningError) -> int:
    assert error.blame is not None
    return int(error.blame.party.removeprefix("signer "))


def _short(data: bytes) -> str:
    return data.hex().upper() if len(data) <= 40 else data.hex().upper()[:64] + "…"


def _clip(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "..."
