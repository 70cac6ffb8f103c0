"""Every way of leaving (protocol.md §9), every row of who must be online (§11), and what the LSP cannot do, by name.

Laws of this module:

* ``SITUATIONS`` is the list; a situation names the row that it shows, and who ends with another amount than the rule
  that it shows promises.
* A play is repeatable, takes no argument, and leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from superscalar_ref.scenario.assisted_exit import all_have_left, assisted_exit, client_stops, lsp_stops
from superscalar_ref.scenario.by_lightning import move_over_lightning, swap
from superscalar_ref.scenario.cannot import censor, prevent_exit, refuse_refund, steal
from superscalar_ref.scenario.leaving import (
    blast_radius,
    close,
    close_and_fund,
    dying_period_missed,
    exit_alone,
    exit_without_a_coin,
    lsp_away_past_the_end,
    lsp_pays_the_absent,
    node_of_those_who_left,
    one_does_not_come,
    subtree_together,
)
from superscalar_ref.scenario.presence import GAIN, PRICE, absent, cheated, classic, longest_absence
from superscalar_ref.scenario.settings import short_plan
from superscalar_ref.scenario.story import End, Told
from superscalar_ref.scenario.town import LSP, Plan

MORE, LESS = "more", "less"


@dataclass(frozen=True)
class Situation:
    """One row of protocol.md §9 or §11, with a play that shows it."""

    name: str
    row: str
    says: str
    play: Callable[[], Told]
    others: Mapping[str, str] = field(default_factory=dict)
    """Party → whether it ends with ``MORE`` or ``LESS`` than is promised; everybody else ends with exactly that."""

    def faults(self, told: Told) -> tuple[str, ...]:
        """What did not end as it should."""
        return tuple(str(end) for end in told.ends if _word(end) != self.others.get(end.party, ""))


def _word(end: End) -> str:
    return "" if end.exact else MORE if end.whole else LESS


def _one(stock: int = GAIN // 2, reserve: bool = True) -> Plan:
    """A factory of one client whose poisoned stock is worth so much (sat)."""
    plan = short_plan()
    locks = replace(plan.locks, step=5, to_self_delay=6, end=150)
    return replace(plan, locks=locks, stock=stock, reserve_every=int(reserve))


def _seen(plan: Plan, absence: int, price: int = 0) -> Callable[[], Told]:
    return lambda: cheated(plan, absence, price).told


def _absent(plan: Plan, late: int) -> Callable[[], Told]:
    return lambda: absent(plan, late).told


_MOST = longest_absence(_one())
_TOGETHER, _LIGHTNING, _SWAP = "§9 cooperative close", "§9 move over Lightning", "§9 swap to chain"
_ASSISTED = "§9 assisted exit"
_ALONE, _WAITING = "§9 unilateral exit", "§9 waiting (inverted default)"
_LSP, _TOWER, _BARE = "§11 LSP", "§11 client, with a watchtower", "§11 client, no watchtower"
_ABSENT, _BLAST = "§11 client, absent for ever", "§9 blast radius"
_CANNOT = "the LSP cannot"
_LISTED = (
    Situation("cannot-steal", _CANNOT, "its signature alone takes no output of a client's path", steal),
    Situation("cannot-censor", _CANNOT, "a version that gives a client less does not come about without it", censor),
    Situation(
        "cannot-prevent-exit", _CANNOT, "it goes silent in the middle of an update: the client exits", prevent_exit
    ),
    Situation(
        "cannot-refuse-refund",
        _CANNOT,
        "it never answers a client that has no coin: the client waits, and is paid at the end",
        refuse_refund,
    ),
    Situation("close", _TOGETHER, "all come in the dying period, and one transaction pays everybody", close),
    Situation(
        "close-and-fund",
        _TOGETHER,
        "the same transaction funds the next factory: one client moves there, one is paid on chain",
        close_and_fund,
    ),
    Situation(
        "one-does-not-come",
        _TOGETHER,
        "two of three ask for the close, and there is none: the LSP brings everybody on chain (Q-CER-4)",
        one_does_not_come,
    ),
    Situation(
        "subtree-together",
        _TOGETHER,
        "what it would save if those who come closed their part of the tree; no table takes it (Q-CER-4)",
        subtree_together,
    ),
    Situation(
        "move-over-lightning",
        _LIGHTNING,
        "a client pays itself in the next factory, through the LSP; its old leaf is empty for it",
        move_over_lightning,
    ),
    Situation(
        "swap-to-chain",
        _SWAP,
        "a client pays the LSP with an HTLC, and takes an output on chain with the same preimage",
        lambda: swap(claimed=True),
    ),
    Situation(
        "swap-expires",
        _SWAP,
        "the client does not claim: the LSP takes its output back, and gives the payment back",
        lambda: swap(claimed=False),
    ),
    Situation(
        "assisted-exit",
        _ASSISTED,
        "one of two is paid on chain for its balance and its key; the LSP signs the close for it",
        assisted_exit,
    ),
    Situation(
        "assisted-exit-all",
        _ASSISTED,
        "the only client has left: the LSP, which has its key, spends the funding output at once",
        all_have_left,
    ),
    Situation(
        "assisted-exit-client-stops",
        _ASSISTED,
        "the client does not claim: the LSP takes its output back, and lets the lock inside go",
        client_stops,
    ),
    Situation(
        "assisted-exit-lsp-stops",
        _ASSISTED,
        "the LSP does not pay: the client exits, and takes its balance back after the expiry",
        lsp_stops,
    ),
    Situation("exit-alone", _ALONE, "a client with a coin exits from its kit, and nobody helps", exit_alone),
    Situation(
        "exit-without-coin",
        _ALONE,
        "a client without a coin brings its leaf on chain, and waits for the alternate of its channel",
        exit_without_a_coin,
    ),
    Situation(
        "blast-radius",
        _BLAST,
        "one of four exits: no leaf of another is on chain, and each of them leaves when it likes",
        blast_radius,
    ),
    Situation(
        "node-of-those-who-left",
        "§9 node whose clients all left",
        "the LSP, which has their keys, spends its output at once: nothing below it comes on chain",
        node_of_those_who_left,
    ),
    Situation(
        "lsp-pays-the-absent",
        _WAITING,
        "one of three never comes: the LSP publishes and pays it before the end, and has all of its capital",
        lsp_pays_the_absent,
    ),
    Situation(
        "lsp-away-past-the-end",
        _LSP,
        "an LSP that does nothing before the end loses all to the clients, by the alternate",
        lsp_away_past_the_end,
        {LSP: LESS},
    ),
    Situation(
        "tower-and-one-visit",
        _TOWER,
        "cheated while it is away; its tower answers, and it closes in the dying period",
        _seen(_one(), 0),
        {"f0c0": MORE},
    ),
    Situation(
        "tower-without-reserve",
        _TOWER,
        "the same without a coin: the tower's state confirms, and the alternates pay at the end",
        _seen(_one(reserve=False), 0),
        {"f0c0": MORE},
    ),
    Situation(
        "tower-in-spike-with-reserve",
        _TOWER,
        f"cheated while blocks ask for {PRICE} sat/vB: the tower pays that from a coin",
        _seen(_one(), 0, PRICE),
        {"f0c0": MORE},
    ),
    Situation(
        "tower-in-spike-without-reserve",
        _TOWER,
        "the same without a coin: the older state wins, and poison is all the insurance there is",
        _seen(_one(reserve=False), 0, PRICE),
        {"f0c0": LESS},
    ),
    Situation(
        "dying-period-missed",
        _TOWER,
        "the client comes after it, and nobody answers: it exits by itself, with a coin",
        dying_period_missed(coin=True),
    ),
    Situation(
        "dying-period-missed-without-coin",
        _TOWER,
        "the same without a coin: its leaf is on chain, and the alternate pays",
        dying_period_missed(coin=False),
    ),
    Situation(
        "no-tower-in-time", _BARE, f"looks every {_MOST} blocks, less than a step: is in time", _seen(_one(), _MOST)
    ),
    Situation(
        "no-tower-too-late",
        _BARE,
        f"looks every {_MOST + 1} blocks, a step: the older state wins",
        _seen(_one(), _MOST + 1),
        {"f0c0": LESS},
    ),
    Situation(
        "no-tower-poison-covers",
        _BARE,
        "the same, where the poisoned stock is worth more than what was gained",
        _seen(_one(2 * GAIN), _MOST + 1),
        {"f0c0": MORE},
    ),
    Situation(
        "spike-with-reserve",
        _BARE,
        f"cheated while blocks ask for {PRICE} sat/vB, with a reserve: pays, and is in time",
        _seen(_one(), 1, PRICE),
    ),
    Situation(
        "spike-without-reserve",
        _BARE,
        "the same without: is held back for two steps",
        _seen(_one(reserve=False), 1, PRICE),
        {"f0c0": LESS},
    ),
    Situation("absent", _ABSENT, "comes back after the end: the alternate pays it", _absent(_one(), 50)),
    Situation(
        "absent-classic",
        _ABSENT,
        "the same under the classic end: the LSP takes everything",
        _absent(classic(_one()), 10),
        {"f0c0": LESS},
    ),
)
SITUATIONS: Mapping[str, Situation] = {one.name: one for one in _LISTED}
"""By name, in the order of the rows."""
