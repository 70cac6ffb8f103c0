"""Short stories of payments without chance in them: told in CI as they are, and with planted mistakes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from superscalar_ref.parties import channel_messages as c
from superscalar_ref.parties.wire import Letter
from tests.lifecycle.trade import TOWER, Trade, TradePlan, kind_of
from tests.parties.scene import LSP

AMOUNT = 5_000_000
FIRST, SECOND = (0, "A"), (1, "C")
TWO = TradePlan(2, 1)


@contextmanager
def trading(plan: TradePlan = TWO) -> Iterator[Trade]:
    """Channels that live; at the end everybody leaves, and is paid."""
    trade = Trade(plan)
    try:
        yield trade
        trade.finish()
    finally:
        trade.close()


def across_and_back() -> None:
    """A payment to another factory is claimed; one back is given back, and one moves with its leaf."""
    with trading() as trade:
        paid = trade.pay(FIRST, SECOND, AMOUNT)
        trade.mail()
        trade.check()
        trade.claim(paid)
        trade.mail()
        trade.check()
        back = trade.pay(SECOND, FIRST, 1_000_001)
        trade.mail()
        trade.give_back(back)
        moving = trade.pay(SECOND, FIRST, AMOUNT)
        trade.mail()
        trade.update(0, 0)
        trade.mail()
        trade.claim(moving)
        trade.mail()


def restarts_in_the_middle() -> None:
    """Each receiver dies at some letter of a payment; what comes again is another connection."""
    for position in (2, 4, 7):
        with trading() as trade:
            paid = trade.pay(FIRST, SECOND, AMOUNT)
            trade.mail(position)
            trade.crash(LSP if trade.letters and trade.letters[0][1].to == LSP else "A")
            trade.retry()
            trade.mail()
            trade.claim(paid)


def silent_lsp() -> None:
    """The LSP says nothing more and publishes what it has; the payee, who has a payment to claim, is in time."""
    with trading() as trade:
        paid = trade.pay(FIRST, SECOND, AMOUNT)
        trade.mail()
        trade.hostile.add((1, LSP))
        trade.claim(paid)


def patient_lsp() -> None:
    """The LSP says nothing to a payee that claims, until the payment expires; then its own transactions come first."""
    with trading() as trade:
        paid = trade.pay(FIRST, SECOND, AMOUNT)
        trade.mail()
        trade.silent[1, LSP] = trade.earliest(SECOND)
        trade.claim(paid)
        trade.mine(trade.earliest(SECOND) - trade.ledger.height)


def in_flight_at_the_exits() -> None:
    """Nobody claims: each client leaves with a payment in its channel."""
    with trading() as trade:
        trade.pay(FIRST, SECOND, AMOUNT)
        trade.mail()


def thief() -> None:
    """A payer publishes what is revoked, in its leaf; the LSP does in the other factory."""
    with trading() as trade:
        for _ in range(2):
            trade.claim(trade.pay(FIRST, SECOND, AMOUNT))
            trade.mail()
        trade.check()
        trade.hostile.update({FIRST, (1, LSP)})


def found_in_its_own_commitment() -> None:
    """The LSP leaves with a payment that is not irrevocable in its commitment: it is not to be passed on."""
    with trading() as trade:
        trade.pay(FIRST, SECOND, AMOUNT, sooner=-30)
        trade.mail(2)
        trade.letters.clear()
        trade.silent[FIRST] = 1_000
        trade.leave((0, LSP))
        trade.mine(20)
        trade.mail()
        trade.silent.clear()


def lied_to() -> None:
    """A revocation, and a signature, that are not what they should be."""
    for lie in ("RevokeAndAck", "CommitmentSigned"):
        with trading() as trade:
            told = False
            trade.pay(FIRST, SECOND, AMOUNT)
            for _ in range(20):
                if not trade.letters:
                    break
                number, letter = trade.letters.pop(0)
                lies = kind_of(letter) == lie and letter.to == "A" and not told
                told = told or lies
                trade.deliver(number, Letter(letter.sender, letter.to, forged(letter)) if lies else letter)
                trade.check()
            trade.letters.clear()


def forged(letter: Letter) -> bytes:
    """The same letter with the secret of somebody else, or with half a signature of something else."""
    body = c.decode(letter.raw, letter.sender).body
    if isinstance(body, c.RevokeAndAck):
        return letter.raw.replace(body.secret.encode(), b"07" * 32)
    assert isinstance(body, c.CommitmentSigned)
    partial = next(iter(body.signatures.values())).partial
    return letter.raw.replace(partial.encode(), b"07" * 32)


def slow_tower() -> None:
    """A client with a tower is paid, while the tower's letters wait."""
    with trading(TradePlan(2, 1, tower=True)) as trade:
        for _ in range(2):
            trade.claim(trade.pay(SECOND, FIRST, 1_000_001))
            waiting = []
            while trade.letters:
                number, letter = trade.letters.pop(0)
                if TOWER in (letter.sender, letter.to):
                    waiting.append((number, letter))
                else:
                    trade.deliver(number, letter)
            trade.letters += waiting
            trade.mail()
        trade.check()


def too_soon() -> None:
    """A payment that would expire one block before the earliest that is accepted."""
    with trading() as trade:
        paid = trade.pay((0, LSP), FIRST, AMOUNT, sooner=1)
        trade.mail()
        trade.claim(paid)
        trade.mail()
        trade.check()


TRADES: tuple[Callable[[], None], ...] = (
    across_and_back,
    restarts_in_the_middle,
    silent_lsp,
    patient_lsp,
    in_flight_at_the_exits,
    thief,
    found_in_its_own_commitment,
    lied_to,
    slow_tower,
    too_soon,
)
