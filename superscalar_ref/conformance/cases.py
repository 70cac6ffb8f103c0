"""The cases of layer L0: which function is asked what, and why. The answers are computed when the corpus is made.

A case's id is a slug that is never used for something else. ``flags`` name what a case hunts; ``NOTES`` says what
that is.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from superscalar_ref.conformance.case import Case, Topic
from superscalar_ref.conformance.claim_cases import claim_cases
from superscalar_ref.conformance.example import Example, example
from superscalar_ref.conformance.message_cases import ABOUT, message_cases
from superscalar_ref.signing.musig import aggregate_in_order
from superscalar_ref.spec.load import load_parameters
from superscalar_ref.spec.parameters import Constraint, Parameter, ParameterSet

NOTES: Mapping[str, str] = {
    "off-by-one": "A bound that is one too wide or too narrow: what is at the edge is refused, or what is "
    "beyond it taken.",
    "lock-overflow": "A lock of more than 16 bits that is cut to 16: a state with a short lock that should have "
    "had a long one.",
    "carry": "A counter that does not restart when one above it moves, or a carry that touches a sibling.",
    "key-order": "Keys aggregated in the order in which they came: the parties compute different outputs.",
    "missing-tweak": "A key without BIP-86's tweak, or with the tweak of another tree.",
    "byte-order": "A txid in internal order where RPC order is meant, or the other way round.",
    "wrong-message": "A signature that is accepted for another message, transaction or hash type.",
    "bad-point": "Bytes that are taken for a public key and are none.",
    "false-lock": "A lock of zero, which leaves false on the stack: the path can never be spent.",
    "amounts": "Amounts that do not add up, are negative or exceed all money.",
    "malformed": "Bytes of the wrong length that are padded or cut.",
    "duplicate": "Something that may stand once stands twice.",
    "too-early": "Something is published before it may be, or before it must: an exit that nobody needed has begun.",
    "older-state": "A state is published for which a newer one is held.",
    "unknown": "Something that a reader does not know, and that it must not pass over, or must.",
    "two-encodings": "A value that is taken in a second form: two readers see two messages.",
    "window": "An expiry that one side cannot enforce on chain.",
}


NAMES = [chr(ord("A") + number) for number in range(26)]
NOT_A_POINT = "02" + "00" * 31 + "05"
"""x = 5 is on no point of secp256k1."""


def topics() -> tuple[Topic, ...]:
    """All files of layer L0, in a fixed order."""
    made = example()
    return (
        Topic(
            "shapes",
            "Trees: which nodes grow from a shape, who shares each stock output, and what leaving takes in the "
            "worst case.",
            tuple(_shapes()),
        ),
        Topic("odometers", "Relative locks of states, and how counters move.", tuple(_odometers())),
        Topic(
            "expiries",
            "Which expiry an HTLC through the factory may have, so that both sides can enforce it on chain.",
            tuple(_expiries()),
        ),
        Topic(
            "strategy",
            "What an honest party publishes at one look at the chain, by the rules of spec/strategy.toml. A test is "
            "negative when nothing may be published.",
            tuple(_strategy()),
        ),
        Topic("fees", "Children that pay for parents, and the coin that pays for a whole exit.", tuple(_fees())),
        Topic(
            "parameters",
            "Which numbers are safe together: each constraint is broken by values that are each in their range.",
            tuple(_parameters()),
        ),
        Topic(
            "keys-and-scripts",
            "Key aggregation, lock scripts, taproot outputs. Secret keys are never needed.",
            tuple(_keys(made)),
        ),
        Topic(
            "transactions",
            "Every kind of transaction of one small factory, byte by byte: two clients, each with a leaf of its "
            "own, under "
            "one DW node. Outputs are given by their form, as an implementation knows them; inputs with what "
            "they spend.",
            tuple(_transactions(made)),
        ),
        Topic(
            "plans",
            "All transactions of a factory from its terms alone, as every party computes them for itself: the "
            "same small "
            "factory, and changes of it. Compare the txids; they commit to keys, amounts, locks and order.",
            tuple(_plans(made)),
        ),
        Topic(
            "signatures",
            "The signature of every transaction of 'transactions', made by MuSig2 from given secret keys and given "
            "randomness, so that every nonce and partial signature can be repeated; and forgeries. BIP-327's "
            "NonceGen is "
            "called with the secret key, the 33-byte public key, the tweaked x-only aggregate key and the message. An "
            "implementation that mixes in anything else cannot repeat the nonces, and declares 'musig.sign' "
            "unsupported.",
            tuple(_signatures(made)),
        ),
        Topic("messages-tlv", ABOUT, tuple(message_cases(made))),
    )


# -- shapes ------------------------------------------------------------------------------------------------------------


def _shapes() -> Iterator[Case]:
    def shape(slug: str, comment: str, negative: bool = False, flags: tuple[str, ...] = (), **form: Any) -> Case:
        both = ("R-SHAPE", "R-TRUC-SIZE") if slug == "wide-root" else ("R-SHAPE",)
        rules = ("R-TRUC-SIZE",) if slug.startswith("too-") else both
        return Case(f"shape-{slug}", "tree.shape", form, rules, comment, flags, negative)

    yield shape("one-client", "One client: the root is its leaf.", arities=[2], clients=NAMES[:1])
    yield shape("two-clients", "Two leaves under one DW node.", arities=[2], clients=NAMES[:2])
    yield shape(
        "five-ragged", "Groups differ by at most one; leaves lie at different depths.", arities=[2], clients=NAMES[:5]
    )
    yield shape(
        "leaf-of-four",
        "k = 2: four clients and two stock outputs in one leaf.",
        arities=[2],
        leaf_k=2,
        clients=NAMES[:4],
    )
    yield shape(
        "leaf-of-three",
        "k = 2 with three clients: a stock output each for two groups.",
        arities=[2],
        leaf_k=2,
        clients=NAMES[:3],
    )
    yield shape(
        "static-root",
        "A static root: one kickoff for each group, no counter.",
        arities=[3, 2],
        static=1,
        clients=NAMES[:9],
    )
    yield shape("wide-root", "A root that is wider than the level below.", arities=[4, 2], clients=NAMES[:11])
    yield shape(
        "level-repeats",
        "The last level repeats for as long as clients are left over.",
        arities=[2, 3],
        clients=NAMES[:26],
    )
    yield shape("no-clients", "A factory needs a client.", True, arities=[2], clients=[])
    yield shape("empty-name", "A name is not empty.", True, ("malformed",), arities=[2], clients=["A", ""])
    yield shape("same-name", "A name stands once.", True, ("duplicate",), arities=[2], clients=["A", "B", "A"])
    yield shape("no-levels", "A shape has a level.", True, arities=[], clients=NAMES[:2])
    yield shape("arity-zero", "An arity is at least 1.", True, ("off-by-one",), arities=[0], clients=NAMES[:2])
    yield shape(
        "arity-one-repeats", "The last level repeats, and with arity 1 for ever.", True, arities=[1], clients=NAMES[:2]
    )
    yield shape(
        "leaf-k-zero", "A leaf's k is at least 1.", True, ("off-by-one",), arities=[2], leaf_k=0, clients=NAMES[:2]
    )
    yield shape(
        "static-negative", "There are no fewer than 0 static levels.", True, arities=[2], static=-1, clients=NAMES[:2]
    )
    yield shape(
        "too-wide",
        "More outputs than a version 3 transaction relays.",
        True,
        ("off-by-one",),
        arities=[300],
        clients=NAMES[:2],
    )
    yield shape(
        "too-large-leaf",
        "More channels in a leaf than a version 3 transaction relays.",
        True,
        arities=[2],
        leaf_k=16,
        clients=NAMES[:2],
    )

    def exit_(slug: str, comment: str, negative: bool = False, flags: tuple[str, ...] = (), **form: Any) -> Case:
        return Case(f"exit-{slug}", "tree.exit_blocks", form, ("R-EXIT-CEILING",), comment, flags, negative)

    usual: dict[str, Any] = {"step_blocks": 144, "states": 4}
    yield exit_(
        "two-layers", "Two DW layers of 432 blocks, four transactions.", arities=[2], clients=NAMES[:2], **usual
    )
    yield exit_(
        "static-is-free",
        "A static level adds a transaction and no lock.",
        arities=[3, 2],
        static=1,
        clients=NAMES[:9],
        **usual,
    )
    yield exit_("ragged", "The exits of a ragged tree differ.", arities=[2], clients=NAMES[:5], **usual)
    yield exit_(
        "one-state",
        "With one state a node has no lock at all.",
        arities=[2],
        clients=NAMES[:4],
        step_blocks=144,
        states=1,
    )
    yield exit_(
        "at-the-ceiling",
        "868 blocks, and the ceiling is 868.",
        flags=("off-by-one",),
        arities=[2],
        clients=NAMES[:2],
        ceiling_blocks=868,
        **usual,
    )
    yield exit_(
        "over-the-ceiling",
        "868 blocks, and the ceiling is 867.",
        True,
        ("off-by-one",),
        arities=[2],
        clients=NAMES[:2],
        ceiling_blocks=867,
        **usual,
    )
    yield exit_(
        "margin-counts",
        "868 blocks and a margin of 1 exceed 868.",
        True,
        ("off-by-one",),
        arities=[2],
        clients=NAMES[:2],
        ceiling_blocks=868,
        margin_blocks=1,
        **usual,
    )
    yield exit_("too-deep", "Five DW layers exceed BOLT's 2016 blocks.", True, arities=[2], clients=NAMES[:16], **usual)
    yield exit_(
        "lock-too-long",
        "A lock of 71,856 blocks fits no nSequence.",
        True,
        ("lock-overflow",),
        arities=[2],
        clients=NAMES[:2],
        step_blocks=144,
        states=500,
        ceiling_blocks=10**6,
    )
    yield exit_(
        "step-zero",
        "A step is at least one block.",
        True,
        ("off-by-one",),
        arities=[2],
        clients=NAMES[:2],
        step_blocks=0,
        states=4,
    )
    yield exit_(
        "no-states",
        "A node has at least one state.",
        True,
        ("off-by-one",),
        arities=[2],
        clients=NAMES[:2],
        step_blocks=144,
        states=0,
    )


# -- odometers ---------------------------------------------------------------------------------------------------------


def _odometers() -> Iterator[Case]:
    def lock(slug: str, step: int, states: int, index: int, comment: str, negative: bool = False, *flags: str) -> Case:
        form = {"step_blocks": step, "states": states, "index": index}
        rules = ("R-LOCK-16-BIT",) if "lock-overflow" in flags else ("R-ODOMETER",)
        return Case(f"nsequence-{slug}", "dw.nsequence", form, rules, comment, flags, negative)

    yield lock("oldest", 144, 4, 0, "The oldest of four states waits longest.")
    yield lock("second", 144, 4, 1, "Each newer state waits a step less.")
    yield lock("newest", 144, 4, 3, "The newest state has no lock.", False, "off-by-one")
    yield lock("only", 144, 1, 0, "With one state there is no lock.")
    yield lock("longest", 65535, 2, 0, "65,535 blocks are the most that BIP-68 holds.", False, "lock-overflow")
    yield lock("overflow-by-one", 65536, 2, 0, "65,536 blocks are one too many.", True, "lock-overflow")
    yield lock("overflow", 144, 500, 0, "71,856 blocks, which 16 bits would cut to 6,320.", True, "lock-overflow")
    yield lock("overflow-second", 144, 500, 1, "71,712 blocks are too many as well.", True, "lock-overflow")
    yield lock("beyond", 144, 4, 4, "There are four states, counted from 0.", True, "off-by-one")
    yield lock("negative", 144, 4, -1, "No state comes before the oldest.", True, "off-by-one")
    yield lock("no-states", 144, 0, 0, "A node without states has no lock.", True)
    yield lock("step-zero", 0, 4, 0, "All states would race with one lock.", True, "off-by-one")

    four = NAMES[:4]

    def move(
        slug: str,
        how: str,
        path: str,
        changes: list[str],
        comment: str,
        negative: bool = False,
        *flags: str,
        **form: Any,
    ) -> Case:
        given = {"arities": [2], "clients": four, "states": 3, "changes": changes, "path": path, **form}
        return Case(f"odometer-{slug}", f"odometer.{how}", given, ("R-ODOMETER",), comment, flags, negative)

    yield move("tick-leaf", "tick", "r.0.0", [], "A leaf's own counter moves; no other.")
    yield move(
        "tick-inner",
        "tick",
        "r.0",
        ["r.0.0", "r.1.0"],
        "Counters below restart at 0; the sibling's do not.",
        False,
        "carry",
    )
    yield move(
        "tick-root", "tick", "r", ["r.0.0", "r.1.0", "r.0"], "The root's tick restarts everything.", False, "carry"
    )
    yield move(
        "advance-carries",
        "advance",
        "r.0.0",
        ["r.0.0", "r.0.0"],
        "A leaf at its end makes the node above move.",
        False,
        "carry",
    )
    yield move(
        "advance-carries-twice",
        "advance",
        "r.0.0",
        ["r.0.0"] * 8,
        "Leaf and node at their end: the root moves.",
        False,
        "carry",
    )
    yield move(
        "advance-last",
        "advance",
        "r.0.0",
        ["r.0.0"] * 25,
        "The last of 27 combinations of a path.",
        False,
        "off-by-one",
    )
    yield move(
        "advance-sibling",
        "advance",
        "r.1.0",
        ["r.0.0"] * 2,
        "A sibling's exhaustion does not carry here.",
        False,
        "carry",
    )
    yield move(
        "tick-exhausted",
        "tick",
        "r.0.0",
        ["r.0.0"] * 2,
        "A counter at its end does not move by itself.",
        True,
        "off-by-one",
    )
    yield move(
        "advance-exhausted", "advance", "r.0.0", ["r.0.0"] * 26, "27 combinations are used up.", True, "off-by-one"
    )
    yield move("one-state", "advance", "r.0.0", [], "With one state nothing can ever change.", True, states=1)
    yield move("static-has-none", "tick", "r", [], "A static node has no counter.", True, static=1)
    yield move("unknown", "tick", "r.7", [], "There is no such node.", True)
    yield move(
        "static-passed-over", "advance", "r.0", ["r.0"], "The counter under a static root moves.", False, static=1
    )
    yield move(
        "static-root-ends",
        "advance",
        "r.0",
        ["r.0"] * 2,
        "No carry into a static root.",
        True,
        "carry",
        static=1,
        clients=NAMES[:2],
    )


def _expiries() -> Iterator[Case]:
    usual = {"tip": 1000, "end": 6000, "exit_blocks": 868, "margin_blocks": 100, "cutoff_blocks": 1500}

    def expiry(slug: str, at: int, comment: str, negative: bool = False, **form: Any) -> Case:
        rules = ("R-HTLC-LATEST",) if "late" in slug or "old" in slug else ("R-EXIT-MARGIN",)
        if "incoming" in form:
            rules, form = ("R-HTLC-FORWARD",), {**form, "forward_margin_blocks": 60}
        return Case(
            f"expiry-{slug}",
            "htlc.expiry",
            {**usual, "expiry": at, **form},
            rules,
            comment,
            ("window", "off-by-one"),
            negative,
        )

    yield expiry("earliest", 1968, "Tip, exit and margin: the earliest that is accepted.")
    yield expiry("middle", 3000, "In the middle of the window.")
    yield expiry("latest", 4500, "The end less the cutoff: the latest that is accepted.")
    yield expiry("forwarded", 2000, "The incoming payment expires an exit and a margin later.", incoming=2928)
    yield expiry("too-soon", 1967, "One block before the exit and its margin are over.", True)
    yield expiry("at-the-tip", 1000, "Nobody could claim it on chain.", True)
    yield expiry("too-late", 4501, "The LSP could not take it back before the end.", True)
    yield expiry("factory-too-old", 3000, "The window is empty: no payment any more.", True, tip=4000)
    yield expiry(
        "forwarded-too-soon", 2000, "The forwarder would lose if it learns the preimage late.", True, incoming=2927
    )


def _fees() -> Iterator[Case]:
    parent = {"vbytes": 162, "fee_sat": 162, "anchor_sat": 240}
    script = "5120" + "11" * 32

    def child(slug: str, comment: str, coin: int, negative: bool = False, **changed: Any) -> Case:
        form = {
            "parent": parent,
            "child_vbytes": 153,
            "price_sat_per_vb": 10,
            "coin_sat": coin,
            "payout_script": script,
        }
        return Case(
            f"fee-child-{slug}", "fee.child", {**form, **changed}, ("R-FEE",), comment, ("off-by-one",), negative
        )

    yield child("raises", "Parent and child together pay 10 sat/vB.", 10_000)
    yield child("least", "The change is just above the dust limit.", 3_078)
    yield child("dust", "A satoshi less, and the change is dust.", 3_077, True)
    yield child("nothing-left", "The coin is worth less than the fee.", 2_000, True)
    rich = {**parent, "fee_sat": 5_000}
    yield child("parent-pays", "A parent that pays more does not pay for its child.", 10_000, parent=rich)
    yield child("no-coin", "There is no coin.", 0, True)
    yield child("no-size", "Every transaction has a size.", 10_000, True, parent={**parent, "vbytes": 0})

    def reserve(slug: str, comment: str, coin: int, negative: bool = False, **changed: Any) -> Case:
        form = {"path": [parent] * 4, "child_vbytes": 153, "price_sat_per_vb": 10, "dust_sat": 330, "coin_sat": coin}
        return Case(
            f"fee-reserve-{slug}",
            "fee.reserve",
            {**form, **changed},
            ("R-RESERVE",),
            comment,
            ("off-by-one",),
            negative,
        )

    yield reserve("exact", "Four transactions at 10 sat/vB, to the satoshi.", 11_322)
    yield reserve("short", "A satoshi less keeps the last of them out.", 11_321, True)
    yield reserve("cheap", "What pays the price by itself needs no child.", 0, price_sat_per_vb=1)
    yield reserve("one-step", "One transaction; the change is not dust.", 3_078, path=[parent])
    yield reserve("one-step-short", "It would be dust.", 3_077, True, path=[parent])
    yield reserve("mixed", "One of two pays by itself.", 3_078, path=[parent, rich])
    yield reserve("double-price", "Twice the price, and the same coin.", 11_322, True, price_sat_per_vb=20)


def _parameters() -> Iterator[Case]:
    known = load_parameters()

    def check(slug: str, comment: str, rules: tuple[str, ...], values: Mapping[str, int | str], negative: bool) -> Case:
        return Case(
            f"parameters-{slug.replace('_', '-')}",
            "parameters.check",
            {"values": values},
            rules,
            comment,
            ("off-by-one",),
            negative,
        )

    yield check(
        "defaults", "The defaults keep every constraint.", tuple(one.id for one in known.constraints), {}, False
    )
    for constraint in known.constraints:
        broken = _breaking(known, constraint)
        if broken is not None:
            slug = constraint.id.removeprefix("R-").lower()
            yield check(slug, constraint.says, (constraint.id,), broken, True)
    yield check("unknown", "There is no such parameter.", (), {"no_such_parameter": 1}, True)
    yield check("out-of-range", "A step of 0 blocks.", (), {"step_blocks": 0}, True)
    yield check("no-number", "A word in place of a number.", (), {"step_blocks": "144"}, True)
    yield check("no-choice", "A word that is none of the choices.", (), {"stock_lock": "never"}, True)
    defaults: dict[str, int | str] = {one.name: one.default for one in known.parameters}
    for one in known.parameters:
        for word, bound, beyond in (("least", one.low, -1), ("most", one.high, 1)):
            if bound is not None:
                breaks = any(not rule.holds({**defaults, one.name: bound}) for rule in known.constraints)
                yield check(f"{word}-{one.name}", f"The {word} that it may be.", (), {one.name: bound}, breaks)
                out = {one.name: bound + beyond}
                yield check(f"{word}-{one.name}-beyond", f"Beyond the {word} that it may be.", (), out, True)


def _breaking(known: ParameterSet, constraint: Constraint) -> Mapping[str, int | str] | None:
    """Values that break a constraint and as few others as can be found: one parameter changed, else a choice with
    it."""
    defaults: dict[str, int | str] = {one.name: one.default for one in known.parameters}
    choices: list[dict[str, int | str]] = [{}]
    choices += [{one.name: word} for one in known.parameters for word in one.choices if word != one.default]
    found: list[tuple[int, int, Mapping[str, int | str]]] = []
    for chosen in choices:
        for one in known.parameters:
            for value in _tried(one, defaults[one.name]):
                changed = {**chosen, one.name: value}
                values = {**defaults, **changed}
                if not constraint.holds(values):
                    others = sum(not other.holds(values) for other in known.constraints)
                    found.append((others, len(changed), changed))
        if found:
            break
    return min(found, key=lambda one: one[:2])[2] if found else None


def _tried(parameter: Parameter, default: int | str) -> Iterator[int | str]:
    """Values of a parameter: each choice; for a number the nearest to the default first, then its bounds."""
    if parameter.choices:
        yield from parameter.choices
        return
    assert isinstance(default, int)
    distances = [sign * (1 << power) for power in range(14) for sign in (1, -1)]
    for value in (*(default + distance for distance in distances), parameter.low, parameter.high):
        if value is not None and parameter.fault(value) is None:
            yield value


# -- keys and scripts --------------------------------------------------------------------------------------------------


def _strategy() -> Iterator[Case]:
    """What is published, and what is not."""
    fund, kick, state, leaf = "funding:0", "kickoff:0", "state:0", "leaf:0"

    def held(name: str, kind: str, spends: str, lock: int | None = None, lock_time: int = 0) -> dict[str, Any]:
        spend = {"outpoint": spends, "relative_lock_blocks": lock}
        return {"name": name, "kind": kind, "spends": [spend], "lock_time": lock_time}

    def case(
        slug: str,
        transactions: list[dict[str, Any]],
        unspent: Mapping[str, int],
        rules: tuple[str, ...],
        comment: str,
        *flags: str,
        negative: bool = False,
        **changed: Any,
    ) -> Case:
        view = {
            "role": "client",
            "root": fund,
            "held": transactions,
            "unspent": [{"outpoint": outpoint, "height": height} for outpoint, height in unspent.items()],
            "next_height": 121,
            "deadline": 200,
        }
        return Case(f"strategy-{slug}", "strategy.decide", {**view, **changed}, rules, comment, flags, negative)

    kickoff = held("kickoff", "kickoff", fund)
    below = held("kickoff-leaf", "kickoff", state)
    older, newer = held("state-0", "state", kick, 20), held("state-1", "state", kick, 10)
    alternate = held("alternate", "alternate", leaf, None, 150)
    commitment, poison = held("commitment", "commitment", leaf), held("poison", "poison", leaf)
    expiry = held("expiry", "expiry", leaf, 6)
    sale, sweep = held("sale", "sale", leaf), held("sweep", "sweep", "commitment:0", 5)

    yield case(
        "before-deadline", [kickoff], {fund: 101}, ("STR-7",), "Nothing asks for an exit.", "too-early", negative=True
    )
    yield case("at-deadline", [kickoff], {fund: 101}, ("STR-7",), "The last block is at the deadline.", deadline=120)
    yield case(
        "block-before-deadline",
        [kickoff],
        {fund: 101},
        ("STR-7",),
        "One block is left.",
        "off-by-one",
        deadline=121,
        negative=True,
    )
    yield case("exit-goes-on", [kickoff, below], {state: 119}, ("STR-6",), "Others began: each part in its turn.")
    yield case(
        "tower-begins-nothing",
        [kickoff],
        {fund: 101},
        ("STR-7",),
        "A tower answers.",
        deadline=1,
        role="tower",
        negative=True,
    )
    yield case("lock-run-out", [newer], {kick: 111}, ("STR-5",), "10 blocks after block 111: block 121 may hold it.")
    yield case(
        "lock-not-run-out", [newer], {kick: 112}, ("STR-5",), "Block 122 is the first.", "off-by-one", negative=True
    )
    yield case("newest-state", [older, newer], {kick: 101}, ("STR-5",), "Both locks have run out.", "older-state")
    only_older = ("STR-5",), "The newer one cannot be paid for: the older one is not published in its place."
    yield case(
        "never-the-older-state",
        [older, newer],
        {kick: 101},
        *only_older,
        "older-state",
        affordable=["state-0"],
        negative=True,
    )
    yield case(
        "pending-already",
        [newer],
        {kick: 101},
        ("STR-5",),
        "It waits in the mempool.",
        "duplicate",
        pending=["state-1"],
        negative=True,
    )
    yield case(
        "no-coin-for-the-fee",
        [newer],
        {kick: 101},
        ("STR-5",),
        "What cannot be paid for is not published.",
        affordable=[],
        negative=True,
    )
    yield case(
        "poison-first", [poison, commitment], {leaf: 119}, ("STR-8", "STR-4"), "It pays more than the commitment."
    )
    yield case("channel-closes", [commitment], {leaf: 120}, ("STR-4",), "The end runs on.")
    yield case(
        "output-spent", [poison, commitment], {state: 119}, ("STR-4",), "Its output is not there.", negative=True
    )
    yield case(
        "alternate-at-the-end",
        [alternate, commitment],
        {leaf: 101},
        ("STR-2",),
        "Before the commitment.",
        next_height=151,
    )
    yield case(
        "alternate-too-early",
        [alternate],
        {leaf: 101},
        ("STR-2",),
        "nLockTime 150: block 151 is the first.",
        "off-by-one",
        next_height=150,
        negative=True,
    )
    yield case(
        "lsp-takes-no-alternate",
        [alternate],
        {leaf: 101},
        ("STR-2",),
        "It is the clients'.",
        next_height=160,
        role="lsp",
        negative=True,
    )
    yield case("lsp-takes-its-stock", [expiry], {leaf: 115}, ("STR-3",), "Its own path is open.", role="lsp")
    yield case(
        "lsp-waits-for-its-stock",
        [expiry],
        {leaf: 116},
        ("STR-3",),
        "One block too soon.",
        "off-by-one",
        role="lsp",
        negative=True,
    )
    yield case(
        "sold-before-own-path",
        [sale, expiry],
        {leaf: 101},
        ("STR-9", "STR-3"),
        "What is sold is the buyer's.",
        role="lsp",
    )
    penalty = held("penalty", "penalty", "commitment:0")
    yield case("penalty", [penalty], {"commitment:0": 120}, ("STR-10",), "Before its delay runs out.", role="tower")
    yield case("sweep", [sweep], {"commitment:0": 116}, ("STR-1",), "The delay has run out.")
    yield case(
        "sweep-too-early",
        [sweep],
        {"commitment:0": 117},
        ("STR-1",),
        "One block too soon.",
        "off-by-one",
        negative=True,
    )
    yield case(
        "twice-held",
        [kickoff, kickoff],
        {fund: 101},
        ("STR-7",),
        "A name is of one transaction.",
        "duplicate",
        negative=True,
    )
    yield case(
        "pending-unknown", [kickoff], {fund: 101}, ("STR-7",), "It is not held.", pending=["other"], negative=True
    )
    yield case("from-the-future", [kickoff], {fund: 121}, ("STR-7",), "Its block is not there.", negative=True)
    yield case(
        "lock-of-17-bits",
        [held("x", "state", kick, 65536)],
        {kick: 1},
        ("R-LOCK-16-BIT",),
        "No such lock.",
        "lock-overflow",
        negative=True,
    )


def _keys(made: Example) -> Iterator[Case]:
    a, b, lsp = (made.public(name) for name in ("A", "B", "L"))

    def keys(slug: str, comment: str, public: list[str], negative: bool = False, *flags: str, **form: Any) -> Case:
        return Case(
            f"aggregate-{slug}",
            "key.aggregate",
            {"public_keys": public, **form},
            ("R-KEYS", "R-KEY-ORDER") if "key-order" in flags else ("R-KEYS",),
            comment,
            flags,
            negative,
        )

    yield keys("two", "A client and the LSP, as in a channel.", [a, lsp])
    yield keys("three", "All signers of the root.", [a, b, lsp])
    yield keys("other-order", "The same keys in another order give the same key.", [lsp, b, a], False, "key-order")
    yield keys("one", "One signer alone: still aggregated.", [lsp])
    yield keys(
        "with-scripts",
        "The output has a script tree: another tweak.",
        [a, lsp],
        False,
        "missing-tweak",
        merkle_root="11" * 32,
    )
    yield keys("same-twice", "BIP-327 allows a key twice.", [a, a], False, "duplicate")
    yield keys("none", "Nobody signs.", [], True)
    yield keys("not-a-point", "x = 5 is on no point.", [a, NOT_A_POINT], True, "bad-point")
    yield keys("uncompressed-prefix", "A plain key begins with 02 or 03.", [a, "04" + b[2:]], True, "bad-point")
    yield keys("x-only", "32 bytes are no plain key.", [a, b[2:]], True, "malformed")
    yield keys("too-long", "34 bytes are no plain key.", [a, b + "00"], True, "malformed")
    yield keys("short-root", "A root has 32 bytes.", [a, b], True, "malformed", merkle_root="11" * 31)

    def lock(slug: str, kind: str, blocks: int, comment: str, negative: bool = False, owner: str = lsp) -> Case:
        form = {"owner": owner, "kind": kind, "blocks": blocks}
        return Case(
            f"lock-{slug}", "script.lock", form, ("R-LOCK-SCRIPT",), comment, ("false-lock", "off-by-one"), negative
        )

    yield lock("csv-one", "csv", 1, "Numbers to 16 are opcodes.")
    yield lock("csv-sixteen", "csv", 16, "The last number that is an opcode.")
    yield lock("csv-seventeen", "csv", 17, "The first that is pushed.")
    yield lock("csv-128", "csv", 128, "A second byte keeps the sign bit clear.")
    yield lock("csv-most", "csv", 65535, "The longest relative lock.")
    yield lock("cltv", "cltv", 900_000, "A height.")
    yield lock("cltv-last", "cltv", 499_999_999, "The last number that is a height.")
    yield lock("csv-zero", "csv", 0, "A lock of 0 leaves false on the stack.", True)
    yield lock("csv-too-long", "csv", 65536, "More than 16 bits.", True)
    yield lock("csv-negative", "csv", -1, "A lock is not negative.", True)
    yield lock("cltv-zero", "cltv", 0, "Height 0 leaves false on the stack.", True)
    yield lock("cltv-time", "cltv", 500_000_000, "From here on the number is a time.", True)
    yield lock("short-key", "csv", 144, "The owner's key has 33 bytes.", True, owner=lsp[:-2])

    internal = made.public("L")[2:]
    leaf = made.leaf("L", 144)

    def output(slug: str, comment: str, key: str, scripts: list[str], negative: bool = False, *flags: str) -> Case:
        form = {"internal_key": key, "scripts": scripts}
        return Case(f"output-{slug}", "taproot.output", form, ("D-1",), comment, flags, negative)

    yield output("no-script", "BIP-86: the tweak commits to no script.", internal, [], False, "missing-tweak")
    yield output("one-script", "The root is the leaf's hash.", internal, [leaf])
    yield output(
        "two-scripts", "The root is the branch of both leaves, the lesser first.", internal, [leaf, made.leaf("A", 6)]
    )
    yield output("three-scripts", "The odd leaf goes up alone.", internal, [leaf, made.leaf("A", 6), made.leaf("B", 7)])
    yield output("not-a-point", "x = 5 is on no point.", NOT_A_POINT[2:], [], True, "bad-point")
    yield output("beyond-the-field", "x is not below the field's size.", "ff" * 32, [], True, "bad-point")
    yield output("plain-key", "33 bytes are no x-only key.", lsp, [], True, "malformed")
    yield output("short-key", "31 bytes are no x-only key.", internal[2:], [], True, "malformed")

    yield Case(
        "tagged-hash", "hash.tagged", {"tag": "TapLeaf", "data": "c0" + "00"}, ("D-1",), "The leaf of an empty script."
    )
    yield Case("tagged-hash-empty", "hash.tagged", {"tag": "KeyAgg list", "data": ""}, ("D-1",), "A tag, and nothing.")


# -- transactions ------------------------------------------------------------------------------------------------------


def _transactions(made: Example) -> Iterator[Case]:
    for one in made.transactions:
        yield Case(f"tx-{one.slug}", one.function, one.arguments, one.rules, one.comment, ("byte-order",))
    leaf = made.named("leaf-a").arguments
    first = leaf["inputs"][0]

    def broken(slug: str, comment: str, *flags: str, **changed: Any) -> Case:
        return Case(f"tx-refused-{slug}", "tx.build", {**leaf, **changed}, ("R-DUST",), comment, flags, True)

    yield broken("no-input", "A transaction spends something.", "amounts", inputs=[])
    yield broken("no-output", "A transaction pays something.", "amounts", outputs=[])
    yield broken("input-twice", "An output is spent once.", "duplicate", inputs=[first, first])
    yield broken("short-txid", "A txid has 32 bytes.", "malformed", inputs=[{**first, "txid": first["txid"][2:]}])
    yield broken(
        "lock-too-long",
        "65,536 blocks fit no nSequence.",
        "lock-overflow",
        inputs=[{**first, "relative_lock_blocks": 65536}],
    )
    yield broken(
        "lock-negative", "A lock is not negative.", "lock-overflow", inputs=[{**first, "relative_lock_blocks": -1}]
    )
    yield broken("vout-negative", "An index is not negative.", "malformed", inputs=[{**first, "vout": -1}])
    yield broken("time", "nLockTime is a height here.", "off-by-one", lock_time=500_000_000)
    yield broken("version", "nVersion has 32 bits.", "malformed", version=1 << 32)
    money: dict[str, Any] = {"form": "anchor", "signers": [], "lock": None, "script_pubkey": ""}
    yield broken("negative-amount", "An amount is not negative.", "amounts", outputs=[{**money, "amount_sat": -1}])
    yield broken(
        "too-much", "More than all money.", "amounts", outputs=[{**money, "amount_sat": 2_100_000_000_000_001}]
    )
    yield broken(
        "sum-too-much",
        "Two outputs that together exceed all money.",
        "amounts",
        outputs=[{**money, "amount_sat": 2_000_000_000_000_000}] * 2,
    )
    nobody: dict[str, Any] = {"form": "shared", "amount_sat": 1000, "signers": [], "lock": None, "script_pubkey": ""}
    yield broken("nobody-signs", "A shared output has signers.", "bad-point", outputs=[nobody])
    yield broken(
        "bad-signer", "A signer's key is a point.", "bad-point", outputs=[{**nobody, "signers": [NOT_A_POINT]}]
    )

    yield from _commitments(made)
    yield from claim_cases(made)
    yield from _sighashes(made)


def _commitments(made: Example) -> Iterator[Case]:
    commitment = made.named("commitment-a").arguments
    htlc = {"direction": "offered", "number": 0, "amount_msat": 1000, "payment_hash": "22" * 32, "cltv_expiry": 500}
    yield Case(
        "tx-commitment-htlcs",
        "tx.commitment",
        {
            **commitment,
            "number": 42,
            "to_local_msat": commitment["to_local_msat"] - 5_000_500,
            "htlcs": [
                {**htlc, "amount_msat": 3_000_000},
                {**htlc, "direction": "received", "amount_msat": 2_000_500, "cltv_expiry": 501},
            ],
        },
        ("D-13",),
        "One payment each way; half a satoshi is rounded off and goes to the anchor.",
        ("amounts",),
    )
    yield Case(
        "tx-commitment-trimmed",
        "tx.commitment",
        {
            **commitment,
            "number": 1,
            "to_local_msat": commitment["to_local_msat"] - 100_000,
            "htlcs": [{**htlc, "amount_msat": 100_000}],
        },
        ("D-13",),
        "A payment of 100 sat is dust: no output, and its value goes to the anchor.",
        ("amounts",),
    )

    def no_commitment(slug: str, comment: str, *flags: str, **changed: Any) -> Case:
        return Case(
            f"tx-commitment-refused-{slug}", "tx.commitment", {**commitment, **changed}, ("D-13",), comment, flags, True
        )

    yield no_commitment(
        "too-little",
        "Balances add up to the capacity, to the millisatoshi.",
        "amounts",
        to_local_msat=commitment["to_local_msat"] - 1,
    )
    yield no_commitment(
        "too-much", "One millisatoshi too many.", "amounts", to_remote_msat=commitment["to_remote_msat"] + 1
    )
    yield no_commitment(
        "negative",
        "A balance is not negative.",
        "amounts",
        to_local_msat=-1,
        to_remote_msat=commitment["capacity_sat"] * 1000 + 1,
    )
    yield no_commitment("number", "A commitment number has 48 bits.", "malformed", number=1 << 48)
    yield no_commitment("delay-zero", "A delay of 0 leaves false on the stack.", "false-lock", to_self_delay=0)
    yield no_commitment("delay-too-long", "A delay has 16 bits.", "lock-overflow", to_self_delay=65536)
    yield no_commitment(
        "no-capacity", "A channel holds something.", "amounts", capacity_sat=0, to_local_msat=0, to_remote_msat=0
    )
    yield no_commitment(
        "bad-point", "The per-commitment point is a point.", "bad-point", per_commitment_point=NOT_A_POINT
    )
    yield no_commitment(
        "one-key", "Two sides fund a channel.", "malformed", funding_keys=commitment["funding_keys"][:1]
    )
    less = commitment["to_local_msat"] - 2000
    yield no_commitment(
        "htlc-twice",
        "An HTLC's number stands once in a direction.",
        "duplicate",
        to_local_msat=less,
        htlcs=[htlc, htlc],
    )
    yield no_commitment("htlc-zero", "An HTLC pays something.", "amounts", htlcs=[{**htlc, "amount_msat": 0}])
    yield no_commitment(
        "htlc-time",
        "An HTLC's expiry is a height.",
        "off-by-one",
        to_local_msat=less + 1000,
        htlcs=[{**htlc, "cltv_expiry": 500_000_000}],
    )


def _sighashes(made: Example) -> Iterator[Case]:
    state = made.named("state-root")
    answer = made.answer(state)
    usual = {"transaction": answer["transaction"], "spent": answer["spent"], "input": 0}

    def sighash(slug: str, comment: str, negative: bool = False, **changed: Any) -> Case:
        form = {**usual, **changed}
        return Case(f"sighash-{slug}", "sighash.taproot", form, ("D-2",), comment, ("wrong-message",), negative)

    for name, hash_type in (
        ("default", 0),
        ("all", 1),
        ("none", 2),
        ("single", 3),
        ("single-anyone", 0x83),
        ("all-anyone", 0x81),
    ):
        yield sighash(name, f"Hash type 0x{hash_type:02x}.", hash_type=hash_type)
    yield sighash("script-path", "BIP-342: the leaf's hash is signed too.", script=made.leaf("L", 144))
    yield sighash("no-such-input", "There is one input.", True, input=1)
    yield sighash("negative-input", "Inputs count from 0.", True, input=-1)
    yield sighash("nothing-spent", "All outputs that are spent are signed.", True, spent=[])
    yield sighash("too-much-spent", "There is one input.", True, spent=answer["spent"] * 2)
    yield sighash("unknown-type", "Hash type 4 is none.", True, hash_type=4)
    yield sighash("cut-off", "A transaction that ends early.", True, transaction=answer["transaction"][:-2])
    yield sighash("trailing", "Bytes after the transaction.", True, transaction=answer["transaction"] + "00")
    yield sighash("empty", "No bytes at all.", True, transaction="")


# -- plans -------------------------------------------------------------------------------------------------------------


def _plans(made: Example) -> Iterator[Case]:
    usual = made.plan()
    terms, contents, coin = usual["terms"], usual["contents"], usual["terms"]["coins"][0]

    def case(slug: str, comment: str, rules: tuple[str, ...], negative: bool, **changed: Any) -> Case:
        given = {key: changed.pop(key, usual[key]) for key in ("versions", "contents")}
        locks = {**terms["locks"], **changed.pop("locks", {})}
        economy = {**terms["economy"], **changed.pop("economy", {})}
        form = {**terms, "locks": locks, "economy": economy, **changed}
        return Case(f"plan-{slug}", "plan.transactions", {"terms": form, **given}, rules, comment, (), negative)

    leaf = contents["r.0"]
    channel, stock = leaf["channels"][0], leaf["stocks"]
    yield case(
        "example",
        "The factory whose transactions 'transactions' shows.",
        ("D-4", "D-5", "R-FUNDING-COVERED", "R-TERMS", "R-DUST"),
        False,
    )
    fresh = dict.fromkeys(usual["versions"], 0)
    yield case("first-version", "The same, just built: every index is 0.", ("R-ODOMETER",), False, versions=fresh)
    yield case("no-anchors", "Without anchors, another feerate.", ("D-5",), False, economy={"anchor": 0, "feerate": 2})
    yield case(
        "classic-end", "The LSP alone after the end; no alternates.", ("D-11",), False, locks={"end_default": "classic"}
    )
    before = {"stock_lock": "cltv-before", "stock_lock_blocks": 500}
    yield case("stock-lock-before", "The LSP's path to the stock opens at a height.", ("D-9",), False, locks=before)
    yield case(
        "funding-alternate",
        "An alternate on the funding output alone.",
        ("D-12",),
        False,
        locks={"alternates": "funding"},
    )
    both = {"channels": [channel, {**contents["r.1"]["channels"][0]}], "stocks": [30_000, 20_000]}
    yield case(
        "shared-leaf",
        "One leaf of two clients and two stocks.",
        ("R-LEAF-CONTENTS",),
        False,
        leaf_k=2,
        versions={"r": 0},
        contents={"r": both},
    )
    bought = {"client": "A", "to_client": 0, "to_lsp": 9_000, "bought": "s0"}
    further = {**contents, "r.0": {"channels": [channel, bought], "stocks": [30_957]}}
    yield case(
        "further-channel",
        "A client has bought, and both of its channels live: each has an output, and brings its own commitments.",
        ("D-15", "R-LEAF-CONTENTS"),
        False,
        contents=further,
    )
    static = [{"arity": 2, "kind": "static"}]
    yield case(
        "static-root",
        "A static root: a kickoff with an output for each leaf.",
        ("D-3",),
        False,
        levels=static,
        versions={"r.0": 0, "r.1": 3},
    )

    def refused(slug: str, comment: str, rule: str, **changed: Any) -> Case:
        return case(f"refused-{slug}", comment, (rule,), True, **changed)

    keys = terms["keys"]
    yield refused(
        "key-missing", "Everybody has a key.", "R-KEYS", keys={name: one for name, one in keys.items() if name != "B"}
    )
    yield refused("key-twice", "Two parties have one key.", "R-KEYS", keys={**keys, "B": keys["A"]})
    yield refused("lsp-as-client", "The LSP is no client.", "R-KEYS", clients=["A", "L"])
    yield refused("unknown-design", "There is no such lock of the stock.", "R-TERMS", locks={"stock_lock": "never"})
    yield refused("unknown-end", "There is no such end.", "R-TERMS", locks={"end_default": "none"})
    yield refused(
        "version-1", "nVersion 1 would switch every relative lock off (BIP-68).", "D-5", transaction_version=1
    )
    yield refused("no-dust-limit", "Outputs of 0 sat.", "R-DUST", economy={"dust": 0})
    yield refused(
        "dust-stock", "A stock below the dust limit.", "R-DUST", contents={**contents, "r.0": {**leaf, "stocks": [329]}}
    )
    small = {**channel, "to_client": 100, "to_lsp": 100}
    yield refused(
        "dust-channel",
        "A channel below the dust limit.",
        "R-DUST",
        contents={**contents, "r.0": {**leaf, "channels": [small]}},
    )
    yield refused(
        "poor-coins",
        "The coins are worth less than the funding output.",
        "R-FUNDING-COVERED",
        coins=[{**coin, "amount": 212_313}],
    )
    yield refused(
        "further-channel-unsold",
        "A further channel is of a sale.",
        "R-LEAF-CONTENTS",
        contents={**contents, "r.0": {**leaf, "channels": [channel, channel]}},
    )
    yield refused("leaf-missing", "Every leaf has contents.", "R-LEAF-CONTENTS", contents={"r.0": leaf})
    yield refused("leaf-unknown", "There is no such leaf.", "R-LEAF-CONTENTS", contents={**contents, "r.2": leaf})
    yield refused(
        "another-client",
        "A leaf's channels are its clients'.",
        "R-LEAF-CONTENTS",
        contents={**contents, "r.0": contents["r.1"]},
    )
    yield refused(
        "two-stocks",
        "One stock output for each group.",
        "R-LEAF-CONTENTS",
        contents={**contents, "r.0": {**leaf, "stocks": stock * 2}},
    )
    yield refused(
        "index-beyond", "There are four states, counted from 0.", "R-ODOMETER", versions={**usual["versions"], "r": 4}
    )
    yield refused("index-missing", "Every counted node has an index.", "R-ODOMETER", versions={"r": 0, "r.0": 0})
    yield refused(
        "lock-too-long",
        "The oldest state's lock does not fit 16 bits.",
        "R-LOCK-16-BIT",
        versions=fresh,
        locks={"step": 40_000},
    )
    yield refused("no-clients", "A factory needs a client.", "R-SHAPE", clients=[])


# -- signatures --------------------------------------------------------------------------------------------------------


def _signatures(made: Example) -> Iterator[Case]:
    for one in made.transactions:
        if one.session is None:
            continue
        yield Case(f"sign-{one.slug}", "musig.sign", one.session, ("D-1", "D-2"), f"All signers of '{one.slug}'.")
        signed = made.signature(one)
        form = {"public_key": signed["output_key"], "message": one.session["message"], "signature": signed["signature"]}
        yield Case(f"verify-{one.slug}", "schnorr.verify", form, ("D-1",), f"The signature of '{one.slug}' is valid.")
    shared = [one for one in made.transactions if one.session is not None]
    for one, other in itertools.pairwise(shared):
        signed = made.signature(one)
        assert one.session is not None and other.session is not None
        form = {
            "public_key": signed["output_key"],
            "message": other.session["message"],
            "signature": signed["signature"],
        }
        yield Case(
            f"verify-{one.slug}-not-{other.slug}",
            "schnorr.verify",
            form,
            ("D-7",),
            f"The signature of '{one.slug}' is none of '{other.slug}'.",
            ("wrong-message",),
            True,
        )
    one = made.named("state-root")
    assert one.session is not None
    signed = made.signature(one)
    message, key, signature = one.session["message"], signed["output_key"], signed["signature"]

    def forged(slug: str, comment: str, *flags: str, **changed: str) -> Case:
        form = {"public_key": key, "message": message, "signature": signature, **changed}
        return Case(f"verify-forged-{slug}", "schnorr.verify", form, ("D-1",), comment, flags, True)

    yield forged("r", "R is another point.", "wrong-message", signature=_flip(signature, 0))
    yield forged("s", "s is another number.", "wrong-message", signature=_flip(signature, 63))
    yield forged("zero-s", "s is 0.", "malformed", signature=signature[:64] + "00" * 32)
    yield forged(
        "s-beyond-the-order", "s is not below the group's order.", "malformed", signature=signature[:64] + "ff" * 32
    )
    yield forged("r-no-point", "R is no point.", "bad-point", signature=NOT_A_POINT[2:] + signature[64:])
    yield forged("key-no-point", "The key is no point.", "bad-point", public_key=NOT_A_POINT[2:])
    yield forged(
        "untweaked", "The key without the output's tweak.", "missing-tweak", public_key=made.untweaked(one)[2:]
    )
    unsorted = aggregate_in_order(tuple(bytes.fromhex(made.public(name)) for name in sorted(one.signers, reverse=True)))
    assert unsorted.taproot(None).x_only.hex() != key
    yield Case(
        "verify-forged-unsorted",
        "schnorr.verify",
        {"public_key": unsorted.taproot(None).x_only.hex(), "message": message, "signature": signature},
        ("R-KEY-ORDER",),
        "The key of the same signers, not sorted.",
        ("key-order",),
        True,
    )
    yield forged("short", "A signature has 64 bytes.", "malformed", signature=signature[:-2])
    yield forged("with-type", "SIGHASH_DEFAULT adds no byte.", "malformed", signature=signature + "00")
    yield forged("short-key", "An x-only key has 32 bytes.", "malformed", public_key=key[2:])

    public = [made.public(name) for name in one.signers]
    usual = {
        "public_keys": public,
        "public_nonces": signed["public_nonces"],
        "signer": 0,
        "message": message,
        "partial_signature": signed["partial_signatures"][0],
        "merkle_root": one.session["merkle_root"],
    }

    def partial(slug: str, comment: str, negative: bool = False, **changed: Any) -> Case:
        form = {**usual, **changed}
        return Case(f"partial-{slug}", "musig.verify_partial", form, ("SES-7",), comment, ("wrong-message",), negative)

    for number, name in enumerate(one.signers):
        yield partial(
            f"of-{name.lower()}",
            f"{name}'s own.",
            signer=number,
            partial_signature=signed["partial_signatures"][number],
        )
    yield partial(
        "of-another", "B's partial signature in A's name.", True, partial_signature=signed["partial_signatures"][1]
    )
    yield partial("other-message", "For another message.", True, message="33" * 32)
    yield partial(
        "other-nonce",
        "A's nonce is another one.",
        True,
        public_nonces=[signed["public_nonces"][1], *signed["public_nonces"][1:]],
    )
    yield partial("other-tweak", "For another output of the same signers.", True, merkle_root="44" * 32)
    yield partial("beyond-the-order", "Not below the group's order.", True, partial_signature="ff" * 32)
    yield partial("bad-nonce", "A nonce is two points.", True, public_nonces=["00" * 66, *signed["public_nonces"][1:]])
    yield partial(
        "short-nonce",
        "A nonce has 66 bytes.",
        True,
        public_nonces=[signed["public_nonces"][0][2:], *signed["public_nonces"][1:]],
    )
    yield partial("bad-key", "A signer's key is a point.", True, public_keys=[NOT_A_POINT, *public[1:]])


def _flip(text: str, position: int) -> str:
    raw = bytearray.fromhex(text)
    raw[position] ^= 1
    return raw.hex()
