"""A party as a process of its own that is killed for real, and what its file then holds and does not hold."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import pytest
from coincurve._libsecp256k1 import ffi

from superscalar_ref.parties import messages as m
from superscalar_ref.signing import _libsecp
from tests.parties.scene import LSP, Scene, check_consistent, identity, scene


class Died(Exception):
    """The process is gone."""


@dataclass
class Process:
    """A party's process."""

    directory: Path
    name: str
    left: int = 0

    def __post_init__(self) -> None:
        arguments = [sys.executable, "-m", "tests.parties.client_process", str(self.directory), self.name]
        self.popen = subprocess.Popen(
            [*arguments, str(self.left)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            cwd=Path(__file__).parents[2],
        )
        self.status = ""

    def receive(self, sender: str, raw: bytes) -> list[tuple[str, bytes]]:
        """What the client answers. Raises ``Died`` when it dies over it."""
        assert self.popen.stdin is not None
        assert self.popen.stdout is not None
        self.popen.stdin.write(f"{sender} {raw.hex()}\n")
        self.popen.stdin.flush()
        messages: list[tuple[str, bytes]] = []
        for line in self.popen.stdout:
            to, text = line.split()
            if to == "done":
                self.status = text
                return messages
            messages.append((to, bytes.fromhex(text)))
        assert self.popen.wait() == -signal.SIGKILL
        raise Died

    def end(self) -> None:
        """Close its ears, wait."""
        self.popen.communicate()


def converse(play: Scene, process: Process) -> tuple[Process, list[bytes], int]:
    """A ceremony of the LSP here with one client there, which is started again whenever it has died."""
    deaths, tape = 0, []
    play.wire.post(LSP, play.lsp.invite())
    for _ in range(10):
        letters = deque((letter.sender, letter.raw) for letter in play.wire.letters)
        play.wire.letters.clear()
        while letters:
            sender, raw = letters.popleft()
            try:
                answers = process.receive(sender, raw)
            except Died:
                deaths += 1
                process.end()
                process = Process(process.directory, process.name)
                letters.clear()
                continue
            for to, answer in answers:
                assert to == LSP
                tape.append(answer)
                play.wire.post(LSP, play.lsp.receive(process.name, answer))
                letters.extend((letter.sender, letter.raw) for letter in play.wire.letters)
                play.wire.letters.clear()
        if play.lsp.life.status == "signed":
            return process, tape, deaths
        play.wire.post(LSP, play.lsp.retry())
    raise AssertionError((play.lsp.life.status, process.status))


@pytest.mark.parametrize("commits", [1, 2, 3, 5, 7])
def test_a_killed_client_comes_back(tmp_path: Path, commits: int) -> None:
    play = scene(1)
    process, tape, deaths = converse(play, Process(tmp_path, "c0", commits))
    process.end()
    assert deaths == 1
    assert process.status == "holding"
    nonces = [nonce for raw in tape if isinstance(n := m.decode(raw, "c0"), m.Nonces) for nonce in n.nonces.values()]
    assert len(nonces) == len(set(nonces)) > 0
    here = scene(1, directory=tmp_path)
    assert here.clients["c0"].life.status == "holding"
    check_consistent(here)
    exits = here.clients["c0"].life.kit
    assert {here.clients["c0"].complete_transaction(name).txid for name in exits} == {
        play.lsp.factory.realised[name].txid for name in exits
    }


def test_a_store_holds_no_secret_that_signs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither secret nonces (D-2) nor the seed nor the factory key; only the secrets of commitments (D-14)."""
    made: list[bytes] = []
    real = _libsecp.nonce_gen

    def spy(*arguments: object) -> tuple[_libsecp.CData, bytes]:
        structure, public = real(*arguments)  # type: ignore[arg-type]
        made.append(bytes(ffi.buffer(structure)))
        return structure, public

    monkeypatch.setattr(_libsecp, "nonce_gen", spy)
    play = scene(2, directory=tmp_path)
    while play.go_on():
        play.wire.run()
    for actor in play.actors.values():
        actor.store.close()
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir()) + b"".join(
        "\n".join(sqlite3.connect(path).iterdump()).encode() for path in tmp_path.glob("*.sqlite")
    )
    assert len(made) > 50
    # The structure is four bytes of a tag, two scalars of 32 bytes, and the public key.
    scalars = {structure[start : start + 32] for structure in made for start in (4, 36)}
    assert len(scalars) == 2 * len(made)
    secrets = {identity(name).seed for name in play.actors} | {a.key.reveal() for a in play.actors.values()}
    for secret in scalars | secrets:
        for form in (secret, secret[::-1]):
            assert form not in kept
            assert form.hex().encode() not in kept
    assert play.clients["c0"].commitment_secrets["c0"][0].encode() in kept
