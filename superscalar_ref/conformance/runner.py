"""What is asked: an adapter in a process of its own, or one in this process.

Laws of this module:

* A request gets a reply, or a ``Fault`` that says what the adapter did instead: never a traceback, never a wait without
  end.
* After a fault the process is ended and started again at the next request; the run goes on.
"""

from __future__ import annotations

import json
import os
import selectors
import shlex
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import IO, Any, Protocol

from superscalar_ref.conformance.adapter import TableAdapter
from superscalar_ref.errors import InputError, SuperscalarError

MOST_BYTES = 16 * 1024 * 1024
"""Of one line."""
_OUTCOMES = ("ok", "reject", "unsupported", "error")
_SHOWN = 200


class Fault(SuperscalarError):
    """The adapter broke the protocol. ``code`` is stable: TIMEOUT, DIED, BAD_JSON, BAD_SEQ, BAD_REPLY, TOO_LONG."""

    def __init__(self, code: str, detail: str) -> None:
        self.code = code
        self.detail = detail
        super().__init__(f"{code}: {detail}")


class Runner(Protocol):
    """Something that answers requests."""

    def ask(self, command: str, **fields: Any) -> dict[str, Any]:
        """The reply to a command. Raises Fault."""
        ...

    def diagnosis(self) -> str:
        """What it has written for people since it was started."""
        ...

    def close(self) -> None:
        """End it."""
        ...


def checked(reply: object, seq: int) -> dict[str, Any]:
    """A reply of the right form. Raises Fault (BAD_SEQ, BAD_REPLY)."""
    if not isinstance(reply, dict):
        raise Fault("BAD_REPLY", "is no object")
    if reply.get("seq") != seq or isinstance(reply.get("seq"), bool):
        raise Fault("BAD_SEQ", f"echoes {reply.get('seq')!r} instead of {seq}")
    given = [outcome for outcome in _OUTCOMES if outcome in reply]
    if len(given) != 1:
        raise Fault("BAD_REPLY", f"has {', '.join(given) or 'none'} of {', '.join(_OUTCOMES)}; exactly one is needed")
    if not isinstance(reply[given[0]], dict):
        raise Fault("BAD_REPLY", f"'{given[0]}' is no object")
    return reply


class LocalRunner:
    """An adapter in this process: the reference, or a liar."""

    def __init__(self, adapter: TableAdapter) -> None:
        self._adapter = adapter
        self._seq = 0

    def ask(self, command: str, **fields: Any) -> dict[str, Any]:
        """The reply to a command. Raises Fault."""
        self._seq += 1
        return checked(self._adapter.answer({"seq": self._seq, "cmd": command, **fields}), self._seq)

    def diagnosis(self) -> str:
        """Nothing: it writes nothing for people."""
        return ""

    def close(self) -> None:
        """Nothing is to be ended."""


class SubprocessRunner:
    """An adapter as a long-lived child: JSON Lines on its standard input and output, in lock step."""

    def __init__(self, command: str | Sequence[str], timeout_seconds: float = 10.0) -> None:
        try:
            self._command = shlex.split(command) if isinstance(command, str) else list(command)
        except ValueError as error:
            raise InputError("--adapter", str(error).lower(), "adapter") from error
        if not self._command:
            raise InputError("--adapter", "names no program", "adapter")
        self._timeout = timeout_seconds
        self._child: subprocess.Popen[bytes] | None = None
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the runner
        self._buffer = b""
        self._seq = 0

    def ask(self, command: str, **fields: Any) -> dict[str, Any]:
        """The reply to a command. Raises Fault; InputError when the program cannot be started at all."""
        self._seq += 1
        try:
            child = self._started()
            self._send(child, {"seq": self._seq, "cmd": command, **fields})
            return checked(self._reply(child), self._seq)
        except Fault:
            self._end()
            raise

    def diagnosis(self) -> str:
        """The last of what the adapter wrote to its standard error."""
        self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, self._stderr.tell() - 20_000))
        return self._stderr.read().decode("utf-8", "replace")

    def close(self) -> None:
        """Say bye and end the child."""
        if self._child is not None:
            with suppress(Fault, SuperscalarError):
                self.ask("bye")
        self._end()
        self._stderr.close()

    def _started(self) -> subprocess.Popen[bytes]:
        if self._child is None:
            try:
                self._child = subprocess.Popen(
                    self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._stderr
                )
            except OSError as error:
                raise InputError(self._command[0], error.strerror or "cannot be started", "adapter") from error
            self._buffer = b""
        return self._child

    def _send(self, child: subprocess.Popen[bytes], request: Mapping[str, Any]) -> None:
        assert child.stdin is not None
        try:
            child.stdin.write(json.dumps(request, ensure_ascii=False).encode() + b"\n")
            child.stdin.flush()
        except OSError:
            raise self._died(child) from None

    def _reply(self, child: subprocess.Popen[bytes]) -> object:
        line = self._line(child)
        try:
            return json.loads(line)
        except (ValueError, RecursionError):
            raise Fault("BAD_JSON", f"answers {_shown(line)}") from None

    def _line(self, child: subprocess.Popen[bytes]) -> bytes:
        assert child.stdout is not None
        deadline = time.monotonic() + self._timeout
        with selectors.DefaultSelector() as selector:
            selector.register(child.stdout, selectors.EVENT_READ)
            while b"\n" not in self._buffer:
                if len(self._buffer) > MOST_BYTES:
                    raise Fault("TOO_LONG", f"a line of more than {MOST_BYTES} bytes")
                left = deadline - time.monotonic()
                if left <= 0 or not selector.select(left):
                    raise Fault("TIMEOUT", f"no reply within {self._timeout:g} s")
                more = os.read(child.stdout.fileno(), 1 << 16)
                if not more:
                    raise self._died(child)
                self._buffer += more
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def _died(self, child: subprocess.Popen[bytes]) -> Fault:
        with suppress(subprocess.TimeoutExpired):
            child.wait(1)
        status = child.poll()
        how = "closed its output" if status is None else f"ended with status {status}"
        last = self.diagnosis().strip().splitlines()
        return Fault("DIED", how + (f"; it wrote: {last[-1][:_SHOWN]}" if last else ""))

    def _end(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        for stream in (child.stdin, child.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()
        try:
            child.wait(0.5)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _shown(line: bytes) -> str:
    text = line.decode("utf-8", "replace")
    return repr(text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "...")
