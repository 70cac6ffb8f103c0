"""Every error that a caller may expect, in one family.

Laws of this module:

* Bad input raises a ``SuperscalarError`` whose text is one line naming the place and the rule.
* An error that another party caused says who (``blame``) and whether that is certain.
* ``exit_code`` is what the command line returns when the error reaches it.
"""

from __future__ import annotations

from dataclasses import dataclass


class SuperscalarError(Exception):
    """The family: every expected error of this package."""

    exit_code = 1


class InputError(SuperscalarError):
    """A file or an argument from outside is malformed.

    ``place`` says where (``file:line``, a key, an option); ``rule`` is the id or name of the rule that it breaks.
    """

    exit_code = 2

    def __init__(self, place: str, problem: str, rule: str) -> None:
        self.place = place
        self.problem = problem
        self.rule = rule
        super().__init__(f"{place}: {problem} [{rule}]")


class SpecError(InputError):
    """A table, a schema, a parameter file or a variant in ``spec/`` contradicts itself."""


class MessageError(InputError):
    """A message from another party cannot be decoded."""


@dataclass(frozen=True)
class Blame:
    """Who caused a failure. ``certain`` is False when another party could have caused the same sight."""

    party: str
    certain: bool


class ProtocolError(SuperscalarError):
    """A rule of the protocol was broken by the input of a step; nothing has changed.

    ``rule`` is the id of the transition or text rule (``SES-3``), ``code`` is a short stable name (``OUT_OF_TURN``).
    """

    def __init__(self, rule: str, code: str, detail: str, blame: Blame | None = None) -> None:
        self.rule = rule
        self.code = code
        self.detail = detail
        self.blame = blame
        who = f" (caused by {blame.party}{'' if blame.certain else ', perhaps'})" if blame else ""
        super().__init__(f"{code}: {detail}{who} [{rule}]")


class Refused(ProtocolError):
    """A machine refused an event; its state is unchanged.

    ``guard`` names the guard that was false, or is None when no transition leaves ``state`` for ``event``.
    """

    def __init__(self, machine: str, state: str, event: str, rule: str, guard: str | None, says: str) -> None:
        self.machine = machine
        self.state = state
        self.event = event
        self.guard = guard
        code = "OUT_OF_TURN" if guard is None else guard.upper()
        super().__init__(rule, code, f"{machine} in state '{state}' refuses '{event}': {says}")


class SigningError(SuperscalarError):
    """A key, nonce or signature is invalid, or a nonce would be used twice."""

    def __init__(self, problem: str, blame: Blame | None = None) -> None:
        self.problem = problem
        self.blame = blame
        super().__init__(problem if blame is None else f"{problem} (caused by {blame.party})")


class ChainError(SuperscalarError):
    """A ledger refused a transaction or a block; ``reason`` is the ledger's own word, ``height`` the block's."""

    def __init__(self, reason: str, height: int) -> None:
        self.reason = reason
        self.height = height
        super().__init__(f"at height {height}: {reason}")


class DurabilityError(SuperscalarError):
    """A record could not be made durable: what depends on it must not be sent."""


def one_line(text: str) -> str:
    """Return the text on one line that any terminal can show: a name from outside may hold anything."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
