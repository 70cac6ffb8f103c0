"""Every lemma is proven, every constraint needed, and each bound exact: a block less is lost on a simulated chain."""

from __future__ import annotations

import itertools
import shutil
from functools import cache
from pathlib import Path

import pytest

from superscalar_ref.check import proof_smt
from superscalar_ref.check.arena import Arena
from superscalar_ref.check.game import solve
from superscalar_ref.check.proof_lemmas import load_theory
from superscalar_ref.check.proofs import (
    Proof,
    Verdict,
    independent,
    loss_at,
    losses_at,
    prove,
    prove_all,
    why_constraint,
)
from superscalar_ref.errors import InputError, SpecError
from superscalar_ref.protocol.transaction import Kind, Outpoint, Output, Role, Spend, Template
from superscalar_ref.spec.load import load_parameters
from superscalar_ref.spec.location import spec_directory

PARAMETERS = load_parameters()
CONSTRAINTS = [constraint.id for constraint in PARAMETERS.constraints]
LEMMAS = [lemma.id for lemma in load_theory().lemmas]


@pytest.fixture(scope="module")
def proofs() -> tuple[Proof, ...]:
    return prove_all()


# ---------------------------------------------------------------- the lemmas


def test_every_lemma_is_proven(proofs: tuple[Proof, ...]) -> None:
    assert [proof.lemma for proof in proofs] == LEMMAS
    assert {proof.lemma: proof.lines() for proof in proofs if proof.verdict is not Verdict.HOLDS} == {}


def test_no_question_is_left_open_and_no_constraint_is_missing(proofs: tuple[Proof, ...]) -> None:
    assert [(proof.lemma, proof.open, proof.missing) for proof in proofs if proof.open or proof.missing] == []


def test_every_constraint_is_needed_by_a_lemma(proofs: tuple[Proof, ...]) -> None:
    needed = {identity for proof in proofs for identity, _ in proof.needed}
    assert sorted(set(CONSTRAINTS) - needed) == []


def test_no_constraint_follows_from_the_others() -> None:
    assert [identity for identity, free in independent().items() if not free] == []


def test_the_unneeded_constraints_are_the_known_ones(proofs: tuple[Proof, ...]) -> None:
    unneeded = {proof.lemma: proof.unneeded for proof in proofs if proof.unneeded}
    assert unneeded == {"L-LSP-STOCK-BEFORE": ("R-SETTLE-STOCK-BEFORE",)}


def test_counterexamples_break_what_was_dropped_and_keep_all_else(proofs: tuple[Proof, ...]) -> None:
    for proof in proofs:
        for dropped, example in proof.needed:
            values = dict(example.complete)
            broken = [item.id for item in PARAMETERS.constraints if not item.holds(values)]
            assert broken == [dropped], (proof.lemma, broken)
            for parameter in PARAMETERS.parameters:
                assert parameter.fault(values[parameter.name]) is None


def test_proofs_are_the_same_every_time(proofs: tuple[Proof, ...]) -> None:
    assert prove("L-NEWEST-WINS") == next(proof for proof in proofs if proof.lemma == "L-NEWEST-WINS")
    assert prove("L-HTLC-WINDOW") == next(proof for proof in proofs if proof.lemma == "L-HTLC-WINDOW")


def test_a_loss_is_told_in_blocks_and_days_with_who_loses() -> None:
    text = "\n".join(why_constraint("R-STEP-DOMINATES").lines())
    assert "the client loses" in text
    assert "the LSP loses" in text
    assert "step_blocks = 126 blocks" in text
    assert "days" in "\n".join(why_constraint("R-END").lines())


@pytest.mark.parametrize("identity", CONSTRAINTS)
def test_why_finds_a_loss_for_each_constraint(identity: str) -> None:
    why = why_constraint(identity)
    assert why.constraint == identity
    assert why.losses


def test_unknown_ids_are_refused() -> None:
    with pytest.raises(InputError, match="no such lemma"):
        prove("L-NOTHING")
    with pytest.raises(InputError, match="no such constraint"):
        why_constraint("R-NOTHING")
    with pytest.raises(InputError, match="no parameter 'speed'"):
        loss_at("L-NEWEST-WINS", {"speed": 1})
    with pytest.raises(InputError, match="below its least value"):
        loss_at("L-NEWEST-WINS", {"step_blocks": 0})


# ---------------------------------------------------------------- nothing is hard-coded


def _copy(directory: Path, name: str, old: str, new: str) -> Path:
    copy = directory / "spec"
    shutil.copytree(spec_directory(), copy)
    text = (copy / name).read_text(encoding="utf-8")
    assert text.count(old) == 1
    (copy / name).write_text(text.replace(old, new), encoding="utf-8")
    return copy


@pytest.mark.parametrize(
    ("lemma", "old", "new"),
    [
        (
            "L-NEWEST-WINS",
            "step_blocks >= absence_blocks + confirmation_blocks + 1",
            "step_blocks >= absence_blocks + confirmation_blocks",
        ),
        ("L-EXIT-BUDGET", "(step_blocks * (states_per_layer - 1) - 1)", "(step_blocks * (states_per_layer - 1) - 2)"),
        ("L-EXIT-BEFORE-END", "+ dying_blocks + exit_budget_blocks + settle", "+ dying_blocks + settle"),
        ("L-HTLC-EARLIEST", "exit_margin_blocks >= 1 + absence_blocks", "exit_margin_blocks >= absence_blocks"),
        ("L-PENALTY", "to_self_delay_blocks >= absence_blocks + confirmation_blocks + 1", "to_self_delay_blocks >= 1"),
        ("L-FUNDING-FINAL", "reorg_depth_blocks + 1", "reorg_depth_blocks"),
        ("L-LOCK-ORDER", "(states_per_layer - 1) <= 65535", "(states_per_layer - 1) <= 65536"),
    ],
)
def test_a_weaker_constraint_is_noticed(lemma: str, old: str, new: str, tmp_path: Path) -> None:
    directory = _copy(tmp_path, "parameters.toml", old, new)
    assert prove(lemma).verdict is Verdict.HOLDS
    changed = prove(lemma, directory)
    assert changed.verdict is Verdict.REFUTED
    assert changed.counterexample is not None


def test_a_deleted_constraint_is_noticed(tmp_path: Path) -> None:
    text = (spec_directory() / "parameters.toml").read_text(encoding="utf-8")
    block = next(part for part in text.split("[[constraints]]") if 'id = "R-SELF-DELAY"' in part)
    directory = _copy(tmp_path, "parameters.toml", "[[constraints]]" + block, "")
    proof = prove("L-PENALTY", directory)
    assert proof.verdict is Verdict.REFUTED
    assert proof.missing == ("R-SELF-DELAY",)
    assert "absent: R-SELF-DELAY" in proof.lines()[0]


def test_the_parameters_of_a_variant_are_taken() -> None:
    assert prove("L-PENALTY", parameters=PARAMETERS.without("R-SELF-DELAY")).verdict is Verdict.REFUTED


def test_a_lemma_about_nothing_is_not_proven(tmp_path: Path) -> None:
    directory = _copy(tmp_path, "lemmas.toml", '"poison <= look', '"look < 0", "poison <= look')
    directory_text = (directory / "lemmas.toml").read_text(encoding="utf-8")
    (directory / "lemmas.toml").write_text(
        directory_text.replace('"look <= superseded + absence_blocks"', '"look >= superseded"'), encoding="utf-8"
    )
    assert prove("L-POISON", directory).verdict is Verdict.UNKNOWN


def test_what_z3_leaves_open_is_never_a_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof_smt, "_EFFORT", 1)
    proof = prove("L-EXIT-BUDGET-LSP")
    assert proof.verdict is Verdict.UNKNOWN
    assert proof.needed == ()


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            '"penalty <= look + confirmation_blocks",\n    "paid >= revoked',
            '"penalty <= lok",\n    "paid >= revoked',
            "lok",
        ),
        ("[lemmas.L-PENALTY.moments]", "[lemmas.L-PENALTY.moments]\nstep_blocks = 'x'", "is a parameter already"),
    ],
)
def test_a_faulty_lemma_is_refused_with_its_line(old: str, new: str, problem: str, tmp_path: Path) -> None:
    copy = tmp_path / "spec"
    shutil.copytree(spec_directory(), copy)
    text = (copy / "lemmas.toml").read_text(encoding="utf-8")
    (copy / "lemmas.toml").write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(SpecError, match=rf"lemmas\.toml:\d+: .*{problem}"):
        prove("L-PENALTY", copy)


def test_every_named_constraint_exists() -> None:
    for lemma in load_theory().lemmas:
        assert set(lemma.constraints) <= set(CONSTRAINTS), lemma.id


def test_the_defaults_lose_nothing() -> None:
    assert losses_at({}) == ()


def test_a_deployment_that_breaks_a_constraint_is_told_its_losses() -> None:
    losses = {loss.lemma: loss.loses for loss in losses_at({"to_self_delay_blocks": 12})}
    assert losses == {"L-PENALTY": "the client", "L-PENALTY-LSP": "the LSP"}


# ---------------------------------------------------------------- each bound is exact: a chain, block by block


def holds(identity: str, **values: int | str) -> bool:
    """Whether a constraint holds for these values, the others being the defaults; ranges do not matter here."""
    return PARAMETERS.constraint(identity).holds(PARAMETERS.defaults().as_dict() | values)


def latest(steps: tuple[tuple[int, int], ...], confirmation: int, awake: bool = False) -> int:
    """The latest height at which the last of a chain of transactions confirms, whatever the adversary does.

    The first spends an output that confirmed at height 0, the tip. Each step is (relative lock, blocks that the party
    may sleep in a row until it has broadcast it). With ``awake`` the party looks at the tip 0.
    """

    @cache
    def worst(tip: int, step: int, parent: int, waited: int, slept: int, must_look: bool) -> int:
        if step == len(steps):
            return tip
        absence = steps[step][1]
        return max(
            block(tip, step, parent, waited, slept + 1 if asleep else 0, asleep)
            for asleep in ([False] if must_look or slept >= absence else [False, True])
        )

    def block(tip: int, step: int, parent: int, waited: int, slept: int, asleep: bool) -> int:
        lock = steps[step][0]
        if not asleep and waited < 0 and tip + 1 >= parent + lock:
            waited = 0
        if waited < 0:
            return worst(tip + 1, step, parent, waited, slept, False)
        outcomes = [worst(tip + 1, step + 1, tip + 1, -1, slept, False)]
        if waited < confirmation - 1:
            outcomes.append(worst(tip + 1, step, parent, waited + 1, slept, False))
        return max(outcomes)

    return worst(0, 0, 0, -1, 0, awake)


LATENCIES = list(itertools.product(range(4), range(1, 4)))
"""Absence and confirmation, in blocks."""


@pytest.mark.parametrize(("absence", "confirmation"), LATENCIES)
def test_step_is_exact(absence: int, confirmation: int) -> None:
    for step in range(1, 9):
        wins = all(latest(((index * step, absence),), confirmation) < (index + 1) * step for index in range(3))
        values = {"step_blocks": step, "absence_blocks": absence, "confirmation_blocks": confirmation}
        assert wins == holds("R-STEP-DOMINATES", **values), values


@pytest.mark.parametrize(("absence", "confirmation"), LATENCIES)
def test_delays_that_a_single_answer_races_are_exact(absence: int, confirmation: int) -> None:
    answered = latest(((0, absence),), confirmation)
    values: dict[str, int | str] = {"absence_blocks": absence, "confirmation_blocks": confirmation}
    for delay in range(1, 9):
        in_time = answered < delay
        assert in_time == holds("R-SELF-DELAY", **values, to_self_delay_blocks=delay)
        assert in_time == holds("R-STOCK-LOCK-CSV", **values, stock_lock="csv", stock_lock_blocks=delay)
        if abs(delay - answered) < 2:  # at the edge: a proof costs more than a game
            assert in_time == (loss_at("L-PENALTY", values | {"to_self_delay_blocks": delay}) is None)


def path(layers: int, singles: int, largest_lock: int, absence: int) -> tuple[tuple[int, int], ...]:
    return ((0, absence),) * singles + ((0, absence), (largest_lock, absence)) * layers


SHAPES = [shape for shape in itertools.product(range(3), range(3)) if sum(shape)]


@pytest.mark.parametrize(("layers", "singles"), SHAPES)
@pytest.mark.parametrize(("absence", "confirmation"), [(0, 1), (0, 2), (1, 1), (2, 1), (1, 2), (2, 3)])
def test_exit_budget_is_exact(layers: int, singles: int, absence: int, confirmation: int) -> None:
    for step, states in ((1, 2), (3, 2), (2, 3)):
        longest = latest(path(layers, singles, step * (states - 1), absence), confirmation, awake=True)
        values = {
            "dw_layers": layers,
            "static_levels": singles // 2,
            "links_max": singles - singles // 2,
            "step_blocks": step,
            "states_per_layer": states,
            "exit_absence_blocks": absence,
            "confirmation_blocks": confirmation,
        }
        assert holds("R-EXIT-BUDGET", **values, exit_budget_blocks=longest)
        assert not holds("R-EXIT-BUDGET", **values, exit_budget_blocks=longest - 1)


def test_an_exit_is_no_longer_when_the_order_of_levels_differs() -> None:
    one = latest(path(2, 2, 3, 1), 2, awake=True)
    steps = path(1, 1, 3, 1) + path(1, 1, 3, 1)
    assert latest(steps, 2, awake=True) == one


@pytest.mark.parametrize(("absence", "confirmation"), LATENCIES)
def test_margin_of_a_payment_is_exact(absence: int, confirmation: int) -> None:
    for exit_absence in range(absence + 1):
        way_out = path(1, 1, 3, exit_absence)
        budget = latest(way_out, confirmation, awake=True)
        # It accepts at the tip 0, so its next look may be as late as tip 1 + absence; then come the exit and two more.
        steps = ((0, absence), *way_out[1:], (0, exit_absence), (0, exit_absence))
        claimed = 1 + latest(steps, confirmation)
        values = {
            "absence_blocks": absence,
            "exit_absence_blocks": exit_absence,
            "confirmation_blocks": confirmation,
        }
        # The LSP's timeout may be mined at the block after the expiry: claimed at the expiry is in time.
        assert holds("R-EXIT-MARGIN", **values, exit_margin_blocks=claimed - budget)
        assert not holds("R-EXIT-MARGIN", **values, exit_margin_blocks=claimed - budget - 1)


def walked_down(outputs: int, absence: int, exit_absence: int, confirmation: int) -> int:
    """The latest block after the end at which an alternate confirms when the LSP may publish ``outputs`` transactions.

    Each of them spends the output whose alternate the client has broadcast, and creates the next one.
    """

    @cache
    def worst(tip: int, left: int, waited: int, slept: int, limit: int) -> int:
        found = []
        for asleep in [False] if slept >= limit else [False, True]:
            now = waited if asleep or waited >= 0 else 0
            after = (slept + 1, limit) if asleep else (0, exit_absence)
            if left:
                found.append(worst(tip + 1, left - 1, -1, *after))
            if now >= 0:
                found.append(tip + 1)
            if now < confirmation - 1:
                found.append(worst(tip + 1, left, now + 1 if now >= 0 else -1, *after))
        return max(found)

    return worst(0, outputs, -1, 0, absence)


@pytest.mark.parametrize(("absence", "confirmation"), LATENCIES)
def test_gap_after_the_end_is_exact(absence: int, confirmation: int) -> None:
    for exit_absence, outputs in itertools.product(range(absence + 1), range(4)):
        alternate = walked_down(outputs, absence, exit_absence, confirmation)
        values: dict[str, int | str] = {
            "dw_layers": outputs // 2,
            "static_levels": outputs % 2,
            "links_max": 0,
            "absence_blocks": absence,
            "exit_absence_blocks": exit_absence,
            "confirmation_blocks": confirmation,
        }
        for gap in (alternate - 1, alternate):
            # The LSP's path is open to blocks above end + gap.
            in_time = alternate < gap + 1
            both = values | {"end_default": "classic", "alternates": "every", "expiry_gap_blocks": gap}
            late = values | {"stock_lock": "cltv-after", "stock_lock_blocks": gap}
            assert in_time == holds("R-EXPIRY-GAP", **both), both
            assert in_time == holds("R-STOCK-LOCK-AFTER", **late), late


@pytest.mark.parametrize(("absence", "confirmation"), LATENCIES)
def test_settling_the_stock_is_exact(absence: int, confirmation: int) -> None:
    values: dict[str, int | str] = {
        "exit_absence_blocks": absence,
        "lsp_absence_blocks": absence,
        "confirmation_blocks": confirmation,
    }
    for lock in range(1, 5):
        taken = latest(((lock, absence),), confirmation)
        csv = values | {"stock_lock": "csv", "stock_lock_blocks": lock}
        assert holds("R-SETTLE-STOCK-CSV", **csv, settle_blocks=taken)
        assert not holds("R-SETTLE-STOCK-CSV", **csv, settle_blocks=taken - 1)
    # A path that opens at a height: the tip 0 is that height, and the end is the lock later.
    taken = latest(((0, absence),), confirmation)
    before = values | {"stock_lock": "cltv-before"}
    assert holds("R-STOCK-LOCK-BEFORE", **before, stock_lock_blocks=taken)
    assert not holds("R-STOCK-LOCK-BEFORE", **before, stock_lock_blocks=taken - 1)
    assert holds("R-SETTLE-CHANNEL", **values, settle_blocks=taken)
    assert not holds("R-SETTLE-CHANNEL", **values, settle_blocks=taken - 1)


@pytest.mark.parametrize(("absence", "confirmation"), LATENCIES)
def test_end_is_exact_for_a_client_that_visits_on_the_last_day(absence: int, confirmation: int) -> None:
    active, dying = 3, 2
    way_out = path(1, 1, 3, absence)
    budget = latest(way_out, confirmation, awake=True)
    closed = latest((*way_out, (0, absence)), confirmation, awake=True)
    settle = closed - budget
    commitment = active + dying + closed
    values: dict[str, int | str] = {
        "active_blocks": active,
        "dying_blocks": dying,
        "signing_absence_blocks": dying,
        "exit_budget_blocks": budget,
        "settle_blocks": settle,
        "close_margin_blocks": 0,
        "exit_absence_blocks": absence,
        "confirmation_blocks": confirmation,
    }
    for life in (commitment - 1, commitment):
        # A default of the end is mined at the block after it, at the earliest.
        in_time = commitment < life + 1
        assert in_time == holds("R-END", **values, life_blocks=life)
        assert in_time == (loss_at("L-EXIT-BEFORE-END", values | {"life_blocks": life}) is None)
    late = values | {"life_blocks": commitment, "signing_absence_blocks": dying + 1}
    assert not holds("R-DYING-VISIT", **late)
    assert loss_at("L-EXIT-BEFORE-END", late) is not None


@pytest.mark.parametrize(("absence", "confirmation"), LATENCIES)
def test_cutoff_of_a_payment_is_exact(absence: int, confirmation: int) -> None:
    way_out = path(1, 0, 2, absence)
    budget = latest(way_out, confirmation, awake=True)
    # From the tip at the expiry: the LSP's next look, the exit, the commitment, all before block end + 1.
    closed = latest((*way_out, (0, absence)), confirmation)
    values = {
        "exit_budget_blocks": budget,
        "lsp_absence_blocks": absence,
        "exit_absence_blocks": absence,
        "confirmation_blocks": confirmation,
    }
    assert holds("R-HTLC-LATEST", **values, htlc_cutoff_blocks=closed)
    assert not holds("R-HTLC-LATEST", **values, htlc_cutoff_blocks=closed - 1)


@pytest.mark.parametrize("depth", range(5))
def test_depth_of_the_funding_is_exact(depth: int) -> None:
    for confirmations in range(1, 7):
        chain = list(range(confirmations))  # heights; the funding is in block 0, the first
        kept = chain[: len(chain) - depth] if depth < len(chain) else []
        assert (0 in kept) == holds("R-FUNDING-DEPTH", funding_confirmations=confirmations, reorg_depth_blocks=depth)


@pytest.mark.parametrize("states", range(2, 17))
def test_sixteen_bits_are_exact(states: int) -> None:
    limit = 65535 // (states - 1)
    for step in (limit - 1, limit, limit + 1, limit + 7):
        if step <= 65535:
            fields = [step * (states - 1 - index) & 0xFFFF for index in range(states)]
            ordered = all(older >= newer + step for older, newer in itertools.pairwise(fields))
            assert ordered == holds("R-LOCK-16-BIT", step_blocks=step, states_per_layer=states)


# ---------------------------------------------------------------- the games of the checker give the same numbers


def chain_of(steps: tuple[tuple[int, int], ...]) -> tuple[Template, ...]:
    """The same chains as transactions; the last pays its party."""
    outpoint = Outpoint("funding", 0)
    templates = []
    for number, (lock, _) in enumerate(steps):
        is_last = number == len(steps) - 1
        role, owner = (Role.WALLET, "A") if is_last else (Role.TREE, "")
        name = f"step {number}"
        templates.append(
            Template(
                name,
                Kind.STATE if lock else Kind.KICKOFF,
                (Spend(outpoint, lock or None),),
                (Output(role, 10, frozenset({"A", "L"}), owner=owner),),
                frozenset({"A", "L"}),
            )
        )
        outpoint = Outpoint(name, 0)
    return tuple(templates)


@pytest.mark.parametrize(("layers", "singles"), [(1, 0), (1, 1), (2, 0), (2, 2)])
@pytest.mark.parametrize(("absence", "confirmation"), [(0, 1), (1, 1), (1, 2), (2, 2)])
def test_the_game_takes_as_long_as_the_budget(layers: int, singles: int, absence: int, confirmation: int) -> None:
    steps = path(layers, singles, 3, absence)
    templates = chain_of(steps)
    everything = frozenset(template.name for template in templates)
    deadline = 4
    arena = Arena(
        templates=templates,
        hero="A",
        owed=10,
        hero_holds=everything,
        adversary_holds=everything,
        affordable=everything,
        absence=absence,
        exit_absence=absence,
        confirmation=confirmation,
        coins={Outpoint("funding", 0): 0},
        idle_until=deadline,
        punctual=True,
    )
    solution = solve(arena)
    assert solution.wins
    assert solution.worst_block is not None
    assert solution.worst_block - deadline == latest(steps, confirmation, awake=True)
