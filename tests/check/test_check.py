"""The checker says yes to the baseline and no to every wrong design, and a doubter sees the money leave."""

from __future__ import annotations

import json
import multiprocessing
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from superscalar_ref.check.arena import Arena
from superscalar_ref.check.configurations import Configuration, allowed_choices, load_configurations, tight_values
from superscalar_ref.check.explore import Explorer
from superscalar_ref.check.game import solve
from superscalar_ref.check.judge import BOTH, CLIENT, KNOWN, SOMETIMES, STATIC, Design, Progress, jobs, judge
from superscalar_ref.check.reasons import Reason, Whole, idle, reason, removals
from superscalar_ref.check.situations import arena, counts, held, policy
from superscalar_ref.check.trace import Trace, as_json, mermaid, story
from superscalar_ref.check.variants import problem
from superscalar_ref.check.verdict import Verdict
from superscalar_ref.check.world import LSP, World
from superscalar_ref.cli import main
from superscalar_ref.errors import InputError, SpecError
from superscalar_ref.protocol.participant import machines
from superscalar_ref.protocol.strategy import load_strategy
from superscalar_ref.replay.form import read
from superscalar_ref.replay.outcome import AGREES
from superscalar_ref.replay.player import replay
from superscalar_ref.replay.scale import UNIT_SAT
from superscalar_ref.spec.load import load_parameters, load_specification
from superscalar_ref.spec.specification import Specification
from tests import judged

SPEC = Path(__file__).parents[2] / "spec"


@pytest.fixture(scope="module")
def specification() -> Specification:
    return load_specification()


def design(specification: Specification, *names: str) -> Design:
    chosen = tuple(c for c in load_configurations() if c.id in names or not names)
    return Design(specification, load_strategy(), chosen)


def small(updates: int = 1) -> Configuration:
    return Configuration("small", "for tests", ("A",), (2,), 2, updates, updates, 1, 1)


def world(hero: str, updates: int = 1) -> World:
    return World(small(updates), tight_values(load_parameters(), small(updates), {}), hero)


def test_every_property_decided_here_is_declared_with_a_sometimes(specification: Specification) -> None:
    declared = {item.id for item in specification.properties}
    for name in KNOWN:
        assert {name, name + SOMETIMES} <= declared


def test_the_baseline_holds_on_the_smallest_factory(specification: Specification) -> None:
    # The searches without a chain have baselines of their own.
    money = (*CLIENT, "P-LSP-EXIT", *BOTH, *STATIC)
    for verdict in judge(design(specification, "slow-blocks"), money):
        assert verdict.holds, verdict.trace and story(verdict.trace)
        assert verdict.trace is None
        assert verdict.examples > 0 or verdict.property in ("P-BLAST-BOUNDED",), f"{verdict.property} holds vacuously"


def test_exact_numbers_of_a_small_exploration() -> None:
    """Counts are pinned: a change of the tables that widens or narrows what is reachable shows here."""
    client, lsp = (Explorer(world(hero), machines()).run() for hero in ("A", LSP))
    assert {scene.scene.party.life.status for scene in client.scenes} == {
        "invited",
        "verifying",
        "signing",
        "holding",
        "active",
        "updating",
        "closing",
    }
    assert (len(client.scenes), len(lsp.scenes)) == (34, 33)


@pytest.mark.parametrize("hero", ["A", LSP])
def test_greedy_and_stingy_lose_nothing(hero: str) -> None:
    """The reduced search finds exactly the outcomes of the full one: the worst of them, for each thing counted on."""

    def worst(stingy: bool) -> set[tuple[object, ...]]:
        place = world(hero)
        outcomes: dict[object, tuple[object, ...]] = {}
        seen: set[object] = set()
        for reached in Explorer(place, machines(), stingy=stingy).run().scenes:
            scene = reached.scene
            key = (held(place, scene), scene.released, scene.owed)
            if not counts(scene) or key in seen:
                continue
            seen.add(key)
            found = solve(arena(place, scene))
            old = outcomes.get(scene.owed)
            new = (scene.owed, found.wins, found.amount, found.worst_block)
            if old is None or (found.amount, -(found.worst_block or 0)) < (old[2], -(old[3] or 0)):  # type: ignore[operator]
                outcomes[scene.owed] = new
        return set(outcomes.values())

    assert worst(True) == worst(False)


def test_more_in_the_heros_hands_never_hurts_and_more_in_the_others_never_helps() -> None:
    place = world("A", updates=1)
    games: list[Arena] = [arena(place, r.scene) for r in Explorer(place, machines()).run().scenes if counts(r.scene)]
    game = max(games, key=lambda g: len(g.adversary_holds))
    best = solve(game)
    for name in sorted(game.hero_holds):
        less = solve(Arena(**{**vars(game), "hero_holds": game.hero_holds - {name}}))
        assert less.amount <= best.amount
    for name in sorted(game.adversary_holds):
        fewer = solve(Arena(**{**vars(game), "adversary_holds": game.adversary_holds - {name}}))
        assert fewer.amount >= best.amount


def test_whoever_does_nothing_loses() -> None:
    place = world("A")
    last = [r.scene for r in Explorer(place, machines()).run().scenes if counts(r.scene)][-1]
    game = arena(place, last)
    assert solve(game, policy(load_strategy(), place, game)).wins
    assert not solve(game, lambda *_: ()).wins


def test_the_tight_values_keep_every_constraint_that_they_are_about() -> None:
    parameters = load_parameters()
    for configuration in load_configurations():
        for choices in allowed_choices(parameters, {"stock_lock": "csv"}):
            values = tight_values(parameters, configuration, choices)
            for constraint in parameters.constraints:
                try:
                    assert constraint.holds(values), constraint.id
                except KeyError:
                    assert "HTLC" in constraint.id or "EXIT" in constraint.id


FAST = (
    "V-STEP-SHORT",
    "V-INTERIOR-FIRST",
    "V-CLASSIC-ABSENT",
    "V-ALTERNATE-FUNDING",
    "V-KICKOFF-BARE",
    "V-EXPIRY-RACE",
    "V-END-NO-DELAYS",
    "V-FUND-FIRST",
    "V-COUNT-EARLY",
    "V-NO-KICKOFF",
    "V-NONCE-KEPT",
    "V-RECORD-LATE",
    "V-LSP-SLOW",
    "V-LIFE-SHORT",
    "V-PARENT-FIRST",
)


def test_every_refutation_that_was_asked_for_is_there(specification: Specification) -> None:
    assert set(FAST) <= {variant.id for variant in specification.variants}


@pytest.mark.parametrize("identity", [v.id for v in load_specification().variants if v.breaks])
def test_each_wrong_design_breaks_what_it_says_also_on_a_real_chain(
    specification: Specification, identity: str, tmp_path: Path
) -> None:
    variant, trace = specification.variant(identity), judged.trace(identity)
    assert judged.outcome(identity).problem == ""
    assert trace.broken == variant.breaks
    assert story(trace).startswith(f"{variant.breaks} is lost by {trace.hero}")
    assert mermaid(trace).startswith("sequenceDiagram")
    data = json.loads(json.dumps(as_json(trace)))
    assert {t["name"] for t in data["transactions"]} == {n for r in data["rounds"] for n in r["mined"]}
    path = tmp_path / "trace.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    played = replay(read(path), 3)
    if trace.funding is None and (played.cannot or trace.configuration in ("payments", "towers")):
        # What a party believes, or what two channels do: not played. Others are played from their words.
        assert played.cannot or played.exit_code == AGREES, played.problems
        return
    assert played.exit_code == AGREES, played.problems or played.cannot
    assert played.lines
    assert played.owned.get(trace.hero, 0) <= max(trace.gets, 0) * UNIT_SAT + _elsewhere(trace)


def _elsewhere(trace: Trace) -> int:
    """The LSP's games are played leaf by leaf: what it owns in other leaves is not in ``gets``."""
    return 10**9 if trace.hero == LSP and trace.configuration not in ("one-layer", "slow-blocks") else 0


def test_replay_refuses_what_is_no_trace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "trace.json"
    for text in ("", "[]", "{}", '{"version": 2}', '{"version": 1, "funding": {}, "transactions": [1]}'):
        path.write_text(text, encoding="utf-8")
        assert main(["replay", str(path)]) == 2
        assert "trace.json" in capsys.readouterr().err
    assert main(["replay", str(tmp_path / "nowhere.json")]) == 2


def edited(tmp_path: Path, identity: str, old: str, new: str, *arguments: str) -> int:
    """Judge a variant whose file says something else."""
    copy = tmp_path / "spec"
    if not copy.exists():
        shutil.copytree(SPEC, copy)
    path = copy / "variants" / f"{identity.removeprefix('V-').lower()}.toml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return main(["check", "--spec", str(copy), *(arguments or ("--variant", identity))])


@pytest.mark.parametrize(
    ("claim", "says"),
    [
        ({}, ""),
        ({"by": "theft"}, ""),
        ({"by": "", "hero": ""}, ""),
        ({"by": 2}, "L loses 3, not 2"),
        ({"by": "ransom"}, "it is theft, not ransom"),
        ({"by": "all"}, "'by' is 'all'; it may be a number of units, theft or ransom"),
        ({"hero": "client"}, "it is the lsp that loses, not the client"),
        ({"hero": "signer"}, "it is the lsp that loses, not the signer"),
        ({"breaks": ""}, "it says that it keeps every property, and P-LSP-EXIT is refuted"),
    ],
)
def test_what_a_variant_says_is_held_against_what_is_lost(claim: dict[str, Any], says: str) -> None:
    found = judged.outcome("V-SETTLE-SHORT")
    claimed = replace(found.variant, breaks="", keeps=("P-LSP-EXIT",))
    assert problem(claimed, found.trace) == "it says that it keeps these properties, and P-LSP-EXIT is refuted"
    assert problem(replace(found.variant, **claim), found.trace) == says


def test_a_variant_is_refuted_as_it_says_or_otherwise_or_not_at_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert edited(tmp_path, "V-SETTLE-SHORT", "by = 3", "by = 3") == 1
    assert capsys.readouterr().out.startswith(
        "refuted    V-SETTLE-SHORT             P-LSP-EXIT                 L loses 3"
    )
    assert edited(tmp_path, "V-SETTLE-SHORT", "by = 3", "by = 2") == 2
    said = capsys.readouterr()
    assert said.out.startswith("UNEXPECTED V-SETTLE-SHORT")
    assert "settle-short.toml:1: V-SETTLE-SHORT: L loses 3, not 2 [variant-claim]" in said.err
    assert edited(tmp_path, "V-SETTLE-SHORT", "R-SETTLE-STOCK-CSV", "R-HTLC-WINDOW") == 0
    assert (
        "UNEXPECTED V-SETTLE-SHORT             P-LSP-EXIT                 P-LSP-EXIT still" in capsys.readouterr().out
    )


@pytest.mark.parametrize("option", ['kickoffs = "none"', 'nonce_survives_crash = "no"', "updates = 2"])
def test_an_option_that_means_nothing_is_refused(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert edited(tmp_path, "V-STEP-SHORT", '[options]\nconfiguration = "one-layer"', f"[options]\n{option}") == 2
    assert option.split(maxsplit=1)[0] in capsys.readouterr().err


def few(tmp_path: Path, *kept: str) -> Path:
    """A copy of spec/ with only these variants."""
    copy = tmp_path / "spec"
    shutil.copytree(SPEC, copy)
    for path in (copy / "variants").glob("*.toml"):
        if path.stem not in kept:
            path.unlink()
    return copy


def test_all_variants_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = few(tmp_path, "life-short", "settle-short")
    arguments = ["check", "--spec", str(copy), "--variants", "--cores", "2"]
    assert main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[:2]] == [
        ["refuted", "V-LIFE-SHORT"],
        ["refuted", "V-SETTLE-SHORT"],
    ]
    assert lines[2:] == ["2 of 2 wrong designs break what they say that they break."]
    assert edited(tmp_path, "V-SETTLE-SHORT", "by = 3", "by = 2", "--variants", "--cores", "1", "--json") == 2
    said = capsys.readouterr()
    assert [row["as_expected"] for row in json.loads(said.out)["variants"]] == [True, False]
    assert "settle-short.toml:1: V-SETTLE-SHORT: L loses 3, not 2" in said.err
    # A search that did not finish is not a pass, whatever it has found.
    assert main([*arguments[:-1], "1", "--seconds", "0"]) == 3
    assert "unfinished: 0 of 2" in capsys.readouterr().err


def test_a_faulty_variant_stops_only_those_who_need_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = few(tmp_path, "life-short", "settle-short")
    bad = copy / "variants" / "life-short.toml"
    bad.write_text(bad.read_text(encoding="utf-8").replace("R-END", "R-NONE"), encoding="utf-8")
    line = bad.read_text(encoding="utf-8").splitlines().index("[[patches]]") + 1
    for arguments in (["--variant", "V-LIFE-SHORT"], ["--variants"]):
        assert main(["check", "--spec", str(copy), *arguments]) == 2
        assert f"life-short.toml:{line}: drop_constraint: there is no constraint R-NONE" in capsys.readouterr().err
    assert main(["check", "--spec", str(copy), "--variant", "V-SETTLE-SHORT"]) == 1
    assert main(["check", "--spec", str(copy), "--property", "L-LOCK-ORDER"]) == 0


def test_terms_that_only_a_wrong_table_accepts_are_no_excuse_for_a_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "spec"
    shutil.copytree(SPEC, copy)
    table = copy / "machines" / "client.toml"
    text = table.read_text(encoding="utf-8")
    assert '"locks_outlast_absence", ' in text
    table.write_text(text.replace('"locks_outlast_absence", ', ""), encoding="utf-8")
    small = ["check", "--spec", str(copy), "--config", "one-layer", "--cores", "1"]
    # Whom an exit drags does not hang on it; what a client is left with does.
    assert main([*small, "--property", "P-BLAST-BOUNDED"]) == 0
    capsys.readouterr()
    assert main([*small, "--property", "P-EXIT-ALWAYS"]) == 1
    assert "REFUTED P-EXIT-ALWAYS" in capsys.readouterr().out


def test_a_doubter_deletes_a_guard_and_sees_the_money_leave(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = tmp_path / "spec"
    shutil.copytree(SPEC, copy)
    table = copy / "machines" / "session.toml"
    text = table.read_text(encoding="utf-8")
    assert '"children_complete", ' in text
    table.write_text(text.replace('"children_complete", ', ""), encoding="utf-8")
    trace = tmp_path / "trace.json"
    arguments = ["check", "--spec", str(copy), "--config", "one-layer", "--property", "P-EXIT-ALWAYS", "--cores", "1"]
    assert main([*arguments, "--trace", str(trace)]) == 1
    said = capsys.readouterr().out
    assert "REFUTED P-EXIT-ALWAYS" in said
    assert "A counts on 4 and can be sure of 0: 4 lost" in said
    assert json.loads(trace.read_text(encoding="utf-8"))["property"] == "P-EXIT-ALWAYS"


def test_a_doubter_deletes_a_constraint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = tmp_path / "spec"
    shutil.copytree(SPEC, copy)
    parameters = copy / "parameters.toml"
    blocks = parameters.read_text(encoding="utf-8").split("[[constraints]]")
    kept = [block for block in blocks if 'id = "R-STEP-DOMINATES"' not in block]
    assert len(kept) == len(blocks) - 1
    parameters.write_text("[[constraints]]".join(kept), encoding="utf-8")
    arguments = ["check", "--spec", str(copy), "--config", "one-layer", "--property", "P-EXIT-ALWAYS", "--cores", "1"]
    assert main(arguments) == 1
    assert "1 lost (theft)" in capsys.readouterr().out


def test_a_doubter_deletes_a_guard_with_its_declaration_or_a_whole_transition(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "spec"
    shutil.copytree(SPEC, copy)
    table = copy / "machines" / "session.toml"
    text = table.read_text(encoding="utf-8").replace('"children_complete", ', "")
    lines = text.splitlines(keepends=True)
    place = lines.index("[guards.children_complete]\n")
    del lines[place : place + 2]
    table.write_text("".join(lines), encoding="utf-8")
    arguments = ["check", "--spec", str(copy), "--config", "slow-blocks", "--cores", "1", "--property"]
    assert main([*arguments, "P-EXIT-ALWAYS"]) == 1
    assert "4 lost" in capsys.readouterr().out
    rows = table.read_text(encoding="utf-8").split("[[transitions]]")
    table.write_text("[[transitions]]".join(row for row in rows if 'id = "SES-5"' not in row), encoding="utf-8")
    assert main([*arguments, "P-EXIT-ALWAYS", "--property", "P-EXIT-ALWAYS-SOMETIMES"]) == 1
    assert "no example exists" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--property", "P-NOWHERE"], "P-NOWHERE"),
        (["--variant", "V-NOWHERE"], "V-NOWHERE"),
        (["--config", "nowhere"], "nowhere"),
        (["--cores", "0"], "at least 1"),
        (["--seconds", "-1"], "at least 0"),
        (["--seconds", "nan"], "at least 0"),
        (["--variants", "--variant", "V-STEP-SHORT"], "give one"),
        (["--spec", "/nowhere"], "no such directory"),
        (["--variant", "V-STEP-SHORT", "--property", "P-EXIT-ALWAYS"], "--property"),
    ],
)
def test_bad_arguments_are_one_line_and_exit_2(
    arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", *arguments]) == 2
    error = capsys.readouterr().err
    assert problem in error
    assert error.count("\n") == 1


def test_a_search_that_did_not_finish_is_not_a_pass(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["check", "--config", "slow-blocks", "--property", "P-EXIT-ALWAYS", "--cores", "1", "--seconds", "0"]
    assert main(arguments) == 3
    said = capsys.readouterr()
    assert "unfinished: 1 of" in said.err
    assert "holds" not in said.out


RUN = ["check", "--config", "slow-blocks", "--property", "P-KIT-COMPLETE", "--cores"]


@pytest.mark.parametrize("cores", ["1", "2"])
def test_a_run_that_was_stopped_goes_on_to_the_verdicts_of_one_that_was_not(
    cores: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "build" / "resume.json"
    assert main([*RUN, cores, "--json"]) == 0
    whole = json.loads(capsys.readouterr().out)
    # One configuration: three choices of the words, two heroes. Every run finishes a job before it stops.
    jobs = 6
    stops = 0
    while (code := main([*RUN, cores, "--json", "--resume", str(file), "--seconds", "0"])) == 3:
        stops += 1
        so_far = json.loads(capsys.readouterr().out)
        assert so_far["holds"] is None
        assert not any(row["holds"] for row in so_far["properties"] if "states" in row)
        assert stops < jobs
    assert code == 0
    assert stops > 0
    assert json.loads(capsys.readouterr().out) == whole
    # Everything is in the file now: nothing is searched again.
    assert main([*RUN, cores, "--resume", str(file)]) == 0
    assert "all of it from the earlier run" in capsys.readouterr().out


def test_only_the_configuration_that_was_asked_for_is_played(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "resume.json"
    assert main([*RUN, "1", "--resume", str(file)]) == 0
    names = json.loads(file.read_text(encoding="utf-8"))["jobs"].keys()
    assert len(names) == 6
    assert {name.split()[0] for name in names} == {"slow-blocks"}


def test_another_table_uses_nothing_of_an_earlier_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, copy = tmp_path / "resume.json", tmp_path / "spec"
    shutil.copytree(SPEC, copy)
    arguments = [*RUN, "1", "--spec", str(copy), "--resume", str(file), "--property", "P-EXIT-ALWAYS"]
    assert main(arguments) == 0
    table = copy / "machines" / "session.toml"
    table.write_text(table.read_text(encoding="utf-8").replace('"children_complete", ', ""), encoding="utf-8")
    capsys.readouterr()
    assert main(arguments) == 1
    said = capsys.readouterr()
    assert "of other tables or other code" in said.err
    assert "REFUTED P-EXIT-ALWAYS" in said.out
    # A loss is not kept: the next run finds it again, with its trace.
    assert main(arguments) == 1
    assert "4 lost" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["", "[]", '{"version": 1}', "\x00"])
def test_a_damaged_resume_file_is_one_line_and_exit_2(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "resume.json"
    file.write_text(text, encoding="utf-8")
    assert main([*RUN, "1", "--resume", str(file)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "resume.json" in error
    assert file.read_text(encoding="utf-8") == text


def test_an_interrupt_says_what_is_decided_and_ends_what_it_started(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from superscalar_ref.commands.check import Teller

    def interrupt(self: Teller, progress: Progress) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Teller, "__call__", interrupt)
    file = tmp_path / "resume.json"
    before = set(multiprocessing.active_children())
    assert main([*RUN, "2", "--resume", str(file)]) == 130
    said = capsys.readouterr()
    assert "unfinished: 1 of" in said.err
    assert "holds" not in said.out
    assert set(multiprocessing.active_children()) <= before
    monkeypatch.undo()
    assert main([*RUN, "2", "--resume", str(file)]) == 0
    assert "1 of" in capsys.readouterr().out


def test_the_progress_is_what_was_searched(specification: Specification) -> None:
    told: list[Progress] = []
    judge(design(specification, "slow-blocks"), ["P-KIT-COMPLETE"], told.append)
    assert [progress.done for progress in told if progress.job] == list(range(1, told[-1].jobs + 1))
    states = [progress.count.states for progress in told]
    assert states == sorted(states)
    last = told[-1].count
    assert last.states > 0
    assert last.edges > 0
    assert last.depth > 0
    assert last.memory > 1 << 20
    again: list[Progress] = []
    judge(design(specification, "slow-blocks"), ["P-KIT-COMPLETE"], again.append, cores=2)
    assert (again[-1].count.states, again[-1].count.edges) == (last.states, last.edges)


def test_json_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["check", "--config", "slow-blocks", "--property", "P-KIT-COMPLETE", "--json", "--cores", "1"]
    assert main(arguments) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["holds"] is True
    assert found["properties"][0]["property"] == "P-KIT-COMPLETE"
    assert found["properties"][0]["cases"] > 0


@pytest.mark.parametrize(
    ("identity", "says", "loses"),
    [
        ("kit_held", "without the guard 'kit_held'", True),
        ("STR-5", "without the rule STR-5", True),
        ("R-LSP-AWAKE", "without the constraint R-LSP-AWAKE", True),
    ],
)
def test_why_a_rule_is_there(specification: Specification, identity: str, says: str, loses: bool) -> None:
    whole = design(specification, "slow-blocks")
    (removal,) = removals(whole, identity)
    assert says in removal.says
    assert removal.design is not None
    money = ["P-EXIT-ALWAYS", "P-LSP-EXIT", "P-STRATEGY-WINS"]
    broken = [verdict for verdict in judge(removal.design, money, quick=True) if not verdict.holds]
    assert bool(broken) is loses


def test_why_of_nothing_is_refused(specification: Specification) -> None:
    with pytest.raises(InputError, match="NOWHERE-1"):
        list(removals(design(specification, "one-layer"), "NOWHERE-1"))


def test_what_is_taken_away_is_searched_only_where_it_is_read(specification: Specification) -> None:
    """A guard of the stock is read by the search of sales alone; without kit_held the first game loses."""
    base = design(specification, "slow-blocks")
    whole = Whole(base)
    (stock,) = [removal for removal in removals(base, "STK-5") if "'same_link'" in removal.says]
    assert reason(stock, whole) == Reason(stock, None, ())
    leaf = whole.meter.read().states
    assert 0 < leaf < 900_000
    (kit,) = removals(base, "kit_held")
    found = reason(kit, whole)
    assert found.broken is not None
    assert found.broken.trace is not None
    assert (found.broken.property, found.broken.trace.lost) == ("P-EXIT-ALWAYS", 4)
    # The search that was stopped at its loss is in nobody's way.
    assert reason(kit, whole) == found


def test_why_notices_what_never_happens_any_more(specification: Specification, monkeypatch: pytest.MonkeyPatch) -> None:
    # Only the games: another search misses this row by a property.
    monkeypatch.setattr("superscalar_ref.check.reasons.jobs", lambda d, p: [job for job in jobs(d, p) if job.hero])
    base = design(specification, "slow-blocks")
    (*_, gone) = removals(base, "CLI-4")
    whole = Whole(base)
    found = reason(gone, whole)
    assert found.broken is None
    assert "the state 'client: active'" in found.idle
    # Where every state is reached still: what the jobs that were run again have no example of, nor any other.
    one, *rest = whole.jobs
    whole.__dict__["verdicts"] = {job: [Verdict("P-NEWEST-WINS", examples=1)] for job in whole.jobs}
    assert idle(whole, [one], [Verdict("P-NEWEST-WINS", examples=0)]) == []
    assert idle(whole, [one, *rest], [Verdict("P-NEWEST-WINS", examples=0)]) == ["P-NEWEST-WINS-SOMETIMES"]
    assert idle(whole, [one, *rest], [Verdict("P-NEWEST-WINS", examples=2), Verdict("P-LSP-EXIT")]) == []


@pytest.mark.parametrize(
    ("identity", "code", "says"),
    [
        ("R-LSP-AWAKE", 0, "3 lost (theft)"),
        ("R-EXIT-MARGIN", 0, "P-HTLC-OUTLIVES-EXIT is lost by A"),
        ("R-HTLC-WINDOW", 0, "The proofs find values with a loss:"),
        ("same_link", 1, "It is missed by tests/protocol/test_stock.py."),
    ],
)
def test_why_says_whether_something_is_lost(
    identity: str, code: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["why", identity, "--config", "slow-blocks"]) == code
    assert says in capsys.readouterr().out


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ('id = "one-layer"', 'ident = "one-layer"', 7, "'id' is missing"),
        ('id = "slow-blocks"', 'id = "one-layer"', 19, "two configurations 'one-layer'"),
        ("absence = 1\n", "", 7, "'absence' is missing"),
        ("absence = 1\n", "absence = -1\n", 15, "at least 0"),
        ("absence = 1\n", "absence = 1000\n", 15, "at most 16"),
        ("confirmation = 1\n", "confirmation = 0\n", 16, "at least 1"),
        ("states = 3", 'states = "3"', 12, "a whole number"),
        ("states = 3", "states = 1", 12, "at least 2"),
        ("states = 3", "states = true", 12, "a whole number"),
        ("states = 3", "states = 3\nstatic = 9", 13, "but only 0 above the leaves of A"),
        ("static = 1", "static = -1", 45, "at least 0"),
        ("static = 1", "static = 2", 45, "but only 1 above the leaves of A, B"),
        ("updates = 2", "updates = 0", 13, "at least 1"),
        ('clients = ["A"]', 'clients = ["L"]', 10, "does not have the form"),
        ('clients = ["A"]', "clients = []", 10, "is empty"),
        ('clients = ["A", "B"]', 'clients = ["A", "A"]', 32, "names something twice"),
        ("arity = [2]", "arity = [1]", 11, "at least 2"),
    ],
)
def test_a_faulty_configuration_is_refused_with_its_line(
    tmp_path: Path, old: str, new: str, line: int, says: str
) -> None:
    text = (SPEC / "configurations.toml").read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "configurations.toml").write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(SpecError, match=re.escape(says)) as caught:
        load_configurations(tmp_path)
    assert caught.value.place.endswith(f"configurations.toml:{line}"), caught.value


def test_a_configuration_that_the_constraints_leave_no_room_for_is_named() -> None:
    huge = replace(small(), states=16, absence=16, confirmation=16, place="configurations.toml:7")
    with pytest.raises(SpecError, match=r"configurations.toml:7: no value of 'exit_budget_blocks' within 400 keeps"):
        tight_values(load_parameters(), huge, {})
