"""Every row of the ways of leaving and of who must be online: played, told, drawn, and paid to the satoshi."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

import pytest

from superscalar_ref.chain.interface import TxOut
from superscalar_ref.chain.kernel import KernelLedger
from superscalar_ref.cli import main
from superscalar_ref.commands.scenario import SCENARIOS
from superscalar_ref.errors import InputError, Refused
from superscalar_ref.scenario.by_lightning import CLAIM, REFUND, SwapOutput
from superscalar_ref.scenario.leaving import node_of_those_who_left
from superscalar_ref.scenario.payment_world import PAYER
from superscalar_ref.scenario.situations import LESS, SITUATIONS
from superscalar_ref.scenario.stage import Stage
from superscalar_ref.scenario.story import CHAIN, End, Line, Told, mermaid, svg, write_drawings
from superscalar_ref.scenario.town import LSP
from superscalar_ref.spec.load import identifiers, load_specification
from superscalar_ref.spec.location import spec_directory
from tests.scenario.plans import small

SVG = "{http://www.w3.org/2000/svg}"
ROWS = (
    "§9 assisted exit",
    *("§9 cooperative close", "§9 move over Lightning", "§9 swap to chain", "§9 unilateral exit"),
    *("§9 blast radius", "§9 node whose clients all left", "§9 waiting (inverted default)"),
    "the LSP cannot",
    *("§11 LSP", "§11 client, with a watchtower", "§11 client, no watchtower", "§11 client, absent for ever"),
)
ENDS: Mapping[str, Mapping[str, int]] = {
    "cannot-steal": {"f0c0": 49_871},
    "cannot-censor": {"f0c0": 49_871},
    "cannot-prevent-exit": {"f0c0": 49_871},
    "cannot-refuse-refund": {"f0c0": 250_660},
    "close": {"f0c0": 50_000, "f0c1": 50_000, "f0c2": 50_000, "lsp": 603_615},
    "close-and-fund": {"u1": 50_000, "u0": 50_000},
    "one-does-not-come": {"f0c0": 50_000, "f0c1": 50_000, "f0c2": 50_000, "lsp": 599_226},
    "subtree-together": {"f0c0": 50_000, "f0c1": 50_000, "f0c2": 50_000, "lsp": 601_491},
    "move-over-lightning": {"f0c0": 0, "f1c0": 99_997, "lsp": 200_002},
    "swap-to-chain": {"f0c0": 47_598, "lsp": 202_662},
    "swap-expires": {"f0c0": 47_998, "lsp": 202_219},
    "assisted-exit": {"f0c0": 49_200, "f0c1": 50_000, "lsp": 402_359},
    "assisted-exit-all": {"f0c0": 49_200, "lsp": 200_771},
    "assisted-exit-client-stops": {"f0c0": 50_000, "lsp": 200_017},
    "assisted-exit-lsp-stops": {"f0c0": 50_000},
    "exit-alone": {"f0c0": 49_871},
    "exit-without-coin": {"f0c0": 249_778},
    "blast-radius": {"f0c0": 49_871, "f0c1": 49_871, "f0c2": 49_871, "f0c3": 49_871},
    "node-of-those-who-left": {"f0c2": 50_000, "f0c3": 50_000, "lsp": 901_597},
    "lsp-pays-the-absent": {"f0c0": 50_000, "f0c1": 50_000, "f0c2": 50_000, "lsp": 599_226},
    "lsp-away-past-the-end": {"f0c0": 251_080, "f0c1": 251_079, "lsp": 0},
    "tower-and-one-visit": {"f0c0": 79_760},
    "tower-without-reserve": {"f0c0": 159_778},
    "tower-in-spike-with-reserve": {"f0c0": 159_778},
    "tower-in-spike-without-reserve": {"f0c0": 59_889},
    "dying-period-missed": {"f0c0": 49_871},
    "dying-period-missed-without-coin": {"f0c0": 249_778},
    "no-tower-in-time": {"f0c0": 69_871},
    "no-tower-too-late": {"f0c0": 59_889},
    "no-tower-poison-covers": {"f0c0": 89_889},
    "spike-with-reserve": {"f0c0": 69_871},
    "spike-without-reserve": {"f0c0": 59_889},
    "absent": {"f0c0": 160_660},
    "absent-classic": {"f0c0": 0},
}
"""What each party has at the end (sat)."""


@cache
def told(name: str) -> Told:
    return SITUATIONS[name].play()


@pytest.mark.parametrize("name", SITUATIONS)
def test_it_ends_as_its_row_says(name: str) -> None:
    story = told(name)
    assert {end.party: end.has for end in story.ends} == ENDS[name]
    assert SITUATIONS[name].faults(story) == ()
    heights = [line.height for line in story.lines]
    assert heights == sorted(heights)
    assert any(line.to == CHAIN for line in story.lines)


def test_every_row_is_shown() -> None:
    assert {one.row for one in SITUATIONS.values()} == set(ROWS)
    assert set(ENDS) == set(SITUATIONS)


@pytest.mark.parametrize("name", ["close", "tower-and-one-visit", "swap-to-chain"])
def test_its_drawing_tells_all_of_it(name: str, tmp_path: Path) -> None:
    story = told(name)
    write_drawings(tmp_path, name, SITUATIONS[name].says, story)
    text = (tmp_path / f"{name}.mmd").read_text(encoding="utf-8")
    assert sum("->>" in line for line in text.splitlines()) == sum(bool(line.by and line.to) for line in story.lines)
    assert text.count("participant") == len(story.parties)
    root = ElementTree.fromstring((tmp_path / f"{name}.svg").read_text(encoding="utf-8"))
    arrows = [one for one in root.iter(f"{SVG}path") if one.get("class") == "arrow"]
    assert len(arrows) == sum(bool(line.by and line.to) for line in story.lines)
    names = [one.text for one in root.iter(f"{SVG}text") if one.get("class") == "name"]
    assert tuple(names) == story.parties


def test_an_arrow_to_the_left_points_to_the_left() -> None:
    lines = (Line(1, "b", "a", "x"), Line(1, "a", "b", "y"))
    root = ElementTree.fromstring(svg("t", Told(lines, (End("a", 0, 0, 0), End("b", 0, 0, 0)))))
    back, forth = (one.get("d", "") for one in root.iter(f"{SVG}path") if one.get("class") == "arrow")
    assert "m7 -4" in back
    assert "m-7 -4" in forth


def test_words_do_not_end_a_mermaid_message() -> None:
    text = mermaid("t", Told((Line(1, "a", CHAIN, "x#0; y"),), ()))
    assert "p0->>p1: 1: x output 0, y" in text


def test_a_place_that_cannot_be_written_to_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(InputError, match="cannot be written"):
        write_drawings(tmp_path / "file", "x", "t", told("close"))


@pytest.mark.parametrize(
    ("name", "party", "by"), [("close", LSP, 1), ("absent", "f0c0", -1), ("absent-classic", "f0c0", 50_000)]
)
def test_another_amount_is_a_fault(name: str, party: str, by: int) -> None:
    story = told(name)
    ends = tuple(replace(end, has=end.has + by) if end.party == party else end for end in story.ends)
    assert len(SITUATIONS[name].faults(replace(story, ends=ends))) == 1


def test_a_part_of_a_factory_that_closes_together_saves_its_leaves_and_no_table_takes_it() -> None:
    """Q-CER-4."""
    names = ("one-does-not-come", "subtree-together")
    assert [SITUATIONS[name].faults(told(name)) for name in names] == [(), ()]
    apart, together = (told(name).lines[-1].says for name in names)
    assert apart == "19 transactions, 2,730 vB"
    assert together == "9 transactions, 1,328 vB"
    stage = Stage(small(2, reserve_every=0))
    lsp = stage.cast.factory.lsp
    kickoff = lsp.counted_blueprint().path(stage.clients[0])[0]
    stage.block(*stage.named(LSP, kickoff))
    with pytest.raises(Refused, match="refuses 'begin_close'"):
        lsp.close()


def test_the_node_of_those_who_left_saves_all_that_is_below_it() -> None:
    mined = [line.says for line in node_of_those_who_left().lines if line.to == CHAIN]
    assert not [says for says in mined if "r.0" in says]


def test_the_page_names_every_situation_and_nothing_else() -> None:
    text = (spec_directory() / "chapters" / "cannot.md").read_text(encoding="utf-8")
    named = set(re.findall(r"scenario\s+([a-z][a-z-]+)", text))
    assert named - set(SCENARIOS) == set(SITUATIONS)
    known = {identity for identity, _ in identifiers(load_specification())}
    assert set(re.findall(r"\b[PVQ]-[A-Z0-9-]+[A-Z0-9]", text)) <= known


# -- the stage ---------------------------------------------------------------------------------------------------------


def test_who_sleeps_publishes_nothing_and_who_cannot_pay_waits() -> None:
    stage = Stage(small(1, reserve_every=0))
    (client,) = stage.clients
    commitment = stage.path_and_commitment(client)
    stage.sleep(*stage.cast.names)
    before = stage.height
    stage.block()
    assert (stage.height, stage.lines[-1].height) == (before + 1, before)
    # The LSP has a coin for every price; the same bytes of a client without one wait.
    (kickoff, *_) = commitment
    unpaid = replace(commitment[-1], by=client)
    for _ in range(20):
        stage.block(*commitment[:-1], unpaid)
    assert stage.cast.confirmed(kickoff.transaction.txid)
    assert not stage.cast.confirmed(unpaid.transaction.txid)
    stage.block(commitment[-1])
    assert stage.cast.confirmed(unpaid.transaction.txid)


def test_of_two_that_spend_one_output_the_one_that_is_valid_is_mined() -> None:
    """An older state that still waits for its lock is not in the way of the newest."""
    stage = Stage(small(1))
    (client,) = stage.clients
    older = stage.path_and_commitment(client)
    for _ in range(2):
        stage.cast.wire.post(LSP, stage.cast.factory.lsp.update("r", {}))
        stage.cast.wire.run()
    newest = stage.path_and_commitment(client)
    stage.sleep(*stage.cast.names)
    stage.block(older[0])
    stage.block(older[1], newest[1])
    assert stage.cast.confirmed(newest[1].transaction.txid)


# -- the swap's output -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("leaf", "by", "height", "taken"),
    [
        (CLAIM, PAYER, 0, True),
        (CLAIM, LSP, 0, False),
        (REFUND, LSP, 0, False),
        (REFUND, LSP, 20, True),
        (REFUND, PAYER, 20, False),
    ],
)
def test_a_swap_output_is_the_clients_with_the_preimage_and_the_lsps_after_its_height(
    leaf: int, by: str, height: int, taken: bool
) -> None:
    base = KernelLedger.start([])
    swap = SwapOutput(30_000, base.height + 10)
    with KernelLedger.start([TxOut(30_000, swap.output.script_pubkey)]) as ledger:
        ledger.advance(height)
        spend = swap.spend(ledger.funds[0].txid[::-1].hex(), leaf, by)
        assert ledger.would_accept([spend.serialized]).accepted is taken
    base.close()


# -- the command -------------------------------------------------------------------------------------------------------


def test_the_list_names_every_situation_with_its_row(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scenario", "--list"]) == 0
    listed = capsys.readouterr().out.splitlines()
    for one in SITUATIONS.values():
        assert f"{one.name} ({one.row}): {one.says}" in listed


def test_a_situation_is_told_and_drawn(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    story = told("swap-to-chain")
    assert main(["scenario", "swap-to-chain", "--draw", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines() == [str(one) for one in (*story.lines, *story.ends)]
    assert {one.name for one in tmp_path.iterdir()} == {"swap-to-chain.svg", "swap-to-chain.mmd"}
    assert main(["scenario", "swap-expires", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["well"] is True


def test_an_end_that_is_not_as_its_row_says_is_exit_code_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = replace(SITUATIONS["swap-expires"], others={LSP: LESS})
    monkeypatch.setattr("superscalar_ref.scenario.situations.SITUATIONS", {"swap-expires": wrong})
    assert main(["scenario", "all"]) == 1
    assert "NOT WELL: lsp is to have" in capsys.readouterr().out
