"""Every reader of bytes from outside: whatever comes, it reads it or raises one typed error of one line."""

from __future__ import annotations

import functools
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from superscalar_ref.bitcoin.transaction import from_bytes
from superscalar_ref.chain.record import read_blocks
from superscalar_ref.check.configurations import load_configurations
from superscalar_ref.check.proof_lemmas import load_theory
from superscalar_ref.check.resume import Kept
from superscalar_ref.conformance.adapter import TableAdapter, reference_machines, serve
from superscalar_ref.conformance.corpus import read_tests
from superscalar_ref.conformance.kit import load_known
from superscalar_ref.conformance.vectors import check_file
from superscalar_ref.errors import SuperscalarError
from superscalar_ref.mutate.run import Answers
from superscalar_ref.parties import channel_messages, handover_messages, messages, tower_messages
from superscalar_ref.parties.kit import FORMAT, VERSION, Kit, read_kit
from superscalar_ref.protocol.backup import load_backup_rules
from superscalar_ref.protocol.fees import load_fee_rules
from superscalar_ref.protocol.strategy import load_strategy
from superscalar_ref.replay.form import read as read_trace
from superscalar_ref.report.result import VerifyResult
from superscalar_ref.spec.load import load_machine, load_parameters, load_properties
from superscalar_ref.spec.location import spec_directory
from superscalar_ref.spec.source import read_document
from superscalar_ref.spec.survivors import load_argued
from superscalar_ref.spec.variants import parse_variant
from superscalar_ref.verify.example import load_example
from tests.fuzz.mangle import TOKENS, envelopes, mangled, sample

SPEC = spec_directory()
ROOT = SPEC.parent
PARAMETERS = load_parameters()
EXAMPLES = {"dev": 60, "ci": 25, "fuzz": 50_000}
TRANSACTION = bytes.fromhex(
    "03000000000101" + "11" * 32 + "0000000000fdffffff02e803000000000000225120" + "22" * 32
    + "f00000000000000004510" + "24e730140" + "33" * 64 + "00000000"
)  # fmt: skip


@dataclass(frozen=True)
class Reader:
    """A reader, and what it reads when all is well."""

    read: Callable[[bytes, Path], object]
    seeds: Callable[[], list[bytes]]


def of(*paths: Path) -> Callable[[], list[bytes]]:
    return lambda: [path.read_bytes() for path in paths]


def at(name: str, load: Callable[[Path], object]) -> Callable[[bytes, Path], object]:
    """Read it from a file of this name in a folder of its own; ``load`` is given the folder."""

    def read(raw: bytes, folder: Path) -> object:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(raw)
        return load(folder)

    return read


def adapter(raw: bytes, _: Path) -> None:
    """One reply for each line, whatever it holds."""
    replies = io.StringIO()
    text = raw.decode("utf-8", "surrogateescape")
    serve(TableAdapter(reference_machines()), io.StringIO(text), replies)
    for line in replies.getvalue().splitlines():
        assert "seq" in json.loads(line)


def lines() -> list[bytes]:
    asked = [
        {"seq": 1, "cmd": "hello"},
        {"seq": 2, "cmd": "new", "node": "A", "machine": "watchtower", "state": {}},
        {"seq": 3, "cmd": "eval", "function": "relative_lock", "input": {"step": 1, "states": 2, "index": 1}},
        {"seq": 4, "cmd": "step", "node": "A", "event": {"name": "answer", "by": "self", "fields": {}}},
        {"seq": 5, "cmd": "given", "node": "A", "fields": {"me": "A"}},
        {"seq": 6, "cmd": "bye"},
    ]
    rows = [json.dumps(one).encode() for one in asked]
    return [*rows, b"\n".join(rows), b"[1]\n", b"1\nnull\n"]


def kits() -> list[bytes]:
    return [json.dumps({**sample(Kit), "format": FORMAT, "version": VERSION}).encode()]


def some_tests() -> list[bytes]:
    """The start of a file of the corpus, as a whole file."""
    content = json.loads((SPEC / "vectors" / "shapes.json").read_text(encoding="utf-8"))
    content["tests"] = content["tests"][:2]
    content["count"] = len(content["tests"])
    return [json.dumps(content).encode()]


def results() -> list[bytes]:
    return [b'{"version": 1, "tables": "x", "jobs": {"a": {"asked": ["P"], "verdicts": []}}}']


def kept(raw: bytes, folder: Path) -> None:
    (folder / "kept.json").write_bytes(raw)
    Kept(folder / "kept.json", "x").find("a", ["P"])


def answers(raw: bytes, folder: Path) -> None:
    (folder / "answers.json").write_bytes(raw)
    Answers(folder / "answers.json", "x")


def traces() -> list[bytes]:
    return [json.dumps(sample(VerifyResult)).encode(), b"{}", b'{"version": 1, "rounds": [], "templates": []}']


BIP327 = ROOT / "tests" / "vectors" / "bip327"
READERS = {
    "machine": Reader(at("machines/watchtower.toml", lambda f: load_machine("watchtower", f)),
                      of(SPEC / "machines" / "watchtower.toml")),
    "parameters": Reader(at("parameters.toml", load_parameters), of(SPEC / "parameters.toml")),
    "properties": Reader(at("properties.toml", load_properties), of(SPEC / "properties.toml")),
    "strategy": Reader(at("strategy.toml", load_strategy), of(SPEC / "strategy.toml")),
    "fees": Reader(at("fees.toml", load_fee_rules), of(SPEC / "fees.toml")),
    "backup": Reader(at("backup.toml", load_backup_rules), of(SPEC / "backup.toml")),
    "configurations": Reader(at("configurations.toml", load_configurations), of(SPEC / "configurations.toml")),
    "lemmas": Reader(at("lemmas.toml", lambda f: load_theory(f, PARAMETERS)), of(SPEC / "lemmas.toml")),
    "variant": Reader(at("step-short.toml", lambda f: parse_variant(read_document(f / "step-short.toml"))),
                      of(SPEC / "variants" / "step-short.toml", SPEC / "variants" / "exit-asleep.toml")),
    "survivors": Reader(at("survivors.toml", load_argued),
                        lambda: [b'[[survivors]]\nfaults = ["A-1:by"]\nwhy = "x"\n']),
    "example": Reader(at("e.toml", lambda f: load_example(f / "e.toml")), of(ROOT / "examples" / "eight-clients.toml")),
    "message": Reader(lambda raw, _: messages.decode(raw, "A"), lambda: envelopes(messages.NAMES)),
    "channel message": Reader(
        lambda raw, _: channel_messages.decode(raw, "A"),
        lambda: envelopes(channel_messages.NAMES, channel="A", sender_epoch=1, receiver_epoch=1, sequence=1)),
    "tower message": Reader(lambda raw, _: tower_messages.decode(raw, "A"), lambda: envelopes(tower_messages.NAMES)),
    "exit message": Reader(
        lambda raw, _: handover_messages.decode(raw, "A"), lambda: envelopes(handover_messages.NAMES)),
    "kit": Reader(at("k.json", lambda f: read_kit(f / "k.json")), kits),
    "transaction": Reader(lambda raw, _: from_bytes(raw), lambda: [TRANSACTION]),
    "chain record": Reader(at("c.jsonl", lambda f: read_blocks(f / "c.jsonl")),
                           lambda: [b'{"height": 1, "block": "00"}\n{"height": 2, "block": "11"}\n']),
    "trace": Reader(at("t.json", lambda f: read_trace(f / "t.json")), traces),
    "verify result": Reader(lambda raw, _: VerifyResult.from_text(raw.decode("utf-8", "replace")), traces),
    "corpus": Reader(at("v.json", lambda f: read_tests(f / "v.json")), some_tests),
    "foreign vectors": Reader(at("v.json", lambda f: check_file(f / "v.json")),
                              of(BIP327 / "key_agg_vectors.json", BIP327 / "nonce_agg_vectors.json")),
    "expected failures": Reader(at("k.txt", lambda f: load_known(f / "k.txt")), lambda: [b"A-1 CODE # why\nB-2 X\n"]),
    "verdicts of a stopped check": Reader(kept, results),
    "answers of a stopped mutate": Reader(
        answers, lambda: [b'{"version": 1, "bound": "x", "faults": {"a": {"by": "", "what": ""}}}']),
    "adapter": Reader(adapter, lines),
}  # fmt: skip


@functools.cache
def seeds(name: str) -> tuple[bytes, ...]:
    return tuple(READERS[name].seeds())


def only_typed(name: str, raw: bytes, folder: Path) -> None:
    try:
        READERS[name].read(raw, folder)
    except SuperscalarError as error:
        assert "\n" not in str(error), "an error is one line"


@pytest.mark.parametrize("name", READERS)
def test_a_seed_is_read_or_refused(name: str, tmp_path: Path) -> None:
    for raw in seeds(name):
        only_typed(name, raw, tmp_path)


@pytest.mark.parametrize("name", READERS)
def test_only_typed_errors_come_out(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    profile = settings.get_current_profile_name()

    @settings(max_examples=EXAMPLES.get(profile, EXAMPLES["dev"]), suppress_health_check=list(HealthCheck))
    @given(raw=mangled(seeds(name)))
    def run(raw: bytes) -> None:
        only_typed(name, raw, folder)

    run()


@pytest.mark.parametrize("name", READERS)
def test_what_breaks_readers_breaks_none_of_these(name: str, tmp_path: Path) -> None:
    for token in TOKENS:
        only_typed(name, token, tmp_path)
        only_typed(name, b'{"message": ' + token + b', "body": {}}', tmp_path)
