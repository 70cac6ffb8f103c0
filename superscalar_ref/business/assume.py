"""What a simulation is given: the plan and the pace are the specification's, the rest are assumptions, each one named.

Laws of this module:

* A value that no parameter of the specification fixes is an assumption, and is printed as one.
* One error for one bad value, with the option that it came by; nothing is computed before all are good.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from superscalar_ref.business.cohort import PATHS, WHOLE
from superscalar_ref.errors import InputError
from superscalar_ref.protocol.ladder import Pace, running
from superscalar_ref.scenario.town import Plan, check_plan

ASSUMED = "assumption"
CLIENTS_MOST = 100_000_000
DAYS_MOST = 36_500
PRICE_MOST = 100_000
"""sat/vB: a transaction of 111 vB would cost a tenth of a bitcoin."""


def _assumed(default: Any, says: str) -> Any:
    return field(default=default, metadata={"says": says})


@dataclass(frozen=True)
class Assumptions:
    """The inputs of one run. Amounts in sat, prices in sat/vB, shares from 0 to 1."""

    plan: Plan
    """How one factory is built; ``clients`` is the most of one."""
    pace: Pace
    clients: int = _assumed(1_000_000, "clients of the LSP; who leaves is replaced, so that as many are always there")
    days: int = _assumed(365, "days, from the first one on which a factory is funded")
    online: float = _assumed(0.9, "a client comes online on a day of its factory's dying period, each day by itself")
    meet: float = _assumed(1.0, "a client that came is also there for the one ceremony of its factory's close")
    leaves: float = _assumed(0.0, "a client that came wants to be paid on chain instead of moving on")
    price: int = _assumed(1, "sat/vB that a block asks for")
    sells: float = _assumed(0.5, "share of its stock that a factory has sold when its active period is over")
    ppm: int = _assumed(2_000, "sat for a million sat of inbound liquidity, paid over Lightning, never refunded")
    interest: float = _assumed(0.05, "what the LSP's capital costs in a year, as a share of it")
    how: str = _assumed(WHOLE, "what is published when a client is absent: whole, the tree; paths, only to the absent")
    seed: str = _assumed("1", "of the lots")

    def check(self) -> None:
        """Raises ``InputError`` for a value that makes no sense, and what ``check_plan`` raises."""
        whole = (
            ("clients", self.clients, 1, CLIENTS_MOST),
            ("days", self.days, 1, DAYS_MOST),
            ("price", self.price, 0, PRICE_MOST),
            ("ppm", self.ppm, 0, 1_000_000),
        )
        for name, number, least, most in whole:
            if not least <= number <= most:
                raise InputError(f"--{name}", f"must be from {least} to {most}, not {number}", ASSUMED)
        for name in ("online", "meet", "leaves", "sells", "interest"):
            share = getattr(self, name)
            # Not a number compares with nothing, and is refused here as well.
            if not 0 <= share <= 1:
                raise InputError(f"--{name}", f"must be from 0 to 1, not {share:g}", ASSUMED)
        if self.how not in (WHOLE, PATHS):
            raise InputError("--absent", f"'{self.how}' is not one; there is {WHOLE}, {PATHS}", ASSUMED)
        check_plan(self.plan)
        _check_pace(self.pace, self.plan)
        if self.clients < running(self.pace):
            raise InputError(
                "--clients", f"{self.clients} do not fill the {running(self.pace)} factories of a ladder", "LAD-2"
            )

    @property
    def visits(self) -> int:
        """Days of the dying period: the chances that a client has to come."""
        return self.pace.dying // self.pace.day

    @property
    def misses(self) -> float:
        """How probably a client does not come in the whole dying period (LAD-5)."""
        return float((1 - self.online) ** self.visits)

    @property
    def absent(self) -> float:
        """How probably a client is not there when its factory's close is signed (LAD-6)."""
        return 1 - (1 - self.misses) * self.meet

    @property
    def ladders(self) -> int:
        """How many ladders run side by side: each closes and funds one factory a day (LAD-2)."""
        return -(-self.clients // (self.plan.clients * running(self.pace)))


def _check_pace(pace: Pace, plan: Plan) -> None:
    for name, blocks in (("active", pace.active), ("dying", pace.dying)):
        if blocks % pace.day:
            raise InputError(f"ladder: {name}", f"{blocks} blocks are no whole days of {pace.day}", "LAD-2")
    if plan.limits.depth > pace.day:
        problem = f"a transaction is final {plan.limits.depth} blocks deep, and a day has {pace.day}"
        raise InputError("ladder: day", problem, "LAD-3")
