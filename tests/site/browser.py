"""A headless Chromium that is spoken to over two pipes: no port, no library."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_AS_3_AND_4 = """
import fcntl, os, sys
read, write = (fcntl.fcntl(int(one), fcntl.F_DUPFD, 10) for one in sys.argv[1:3])
os.dup2(read, 3)
os.dup2(write, 4)
os.execvp(sys.argv[3], sys.argv[3:])
"""
"""The browser reads commands from descriptor 3 and answers on 4."""
PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "chrome")
SECONDS = 60


def program() -> str | None:
    """The browser that is installed, or None."""
    return next((found for name in PROGRAMS if (found := shutil.which(name))), None)


class EndedError(Exception):
    """The browser is gone, or never came."""


class Browser:
    """One page of a browser, and what it asked the network for."""

    def __init__(self, process: subprocess.Popen[bytes], write: int, read: int) -> None:
        self._process, self._write, self._read = process, write, read
        self._rest = b""
        self._number = 0
        self._session = ""
        self.requests: list[str] = []
        self.complaints: list[str] = []
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self._call(f"{domain}.enable")

    def open(self, address: str) -> None:
        """Go to an address, and wait until it is loaded."""
        self._call("Page.navigate", url="about:blank")
        self._call("Page.navigate", url=address)
        while self.value("document.readyState") != "complete":
            pass

    def go(self, fragment: str) -> None:
        """Change what comes after the # of the address, and wait until the page has followed."""
        script = """new Promise((done) => {
          const wanted = `#${%s}`;
          addEventListener("hashchange", () => setTimeout(done, 0), { once: true });
          if (location.hash === wanted) dispatchEvent(new HashChangeEvent("hashchange"));
          location.hash = wanted;
        })"""
        self.value(script % json.dumps(fragment))

    def size(self, width: int, height: int, dark: bool = False) -> None:
        """Be a screen of so many pixels."""
        self._call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self._call("Emulation.setEmulatedMedia", features=scheme)
        # The page hears of it before its next picture.
        self.value("new Promise((done) => requestAnimationFrame(() => setTimeout(done, 0)))")

    def value(self, script: str) -> Any:
        """What a piece of JavaScript gives."""
        found = self._call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def screenshot(self, path: Path) -> bytes:
        """A picture of what is seen now."""
        picture = base64.b64decode(self._call("Page.captureScreenshot", format="png")["data"])
        path.write_bytes(picture)
        return picture

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        try:
            os.write(self._write, json.dumps(message).encode() + b"\0")
        except BrokenPipeError:
            raise EndedError from None
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result
            self._hear(answer)

    def _hear(self, event: dict[str, Any]) -> None:
        if event["method"] == "Network.requestWillBeSent":
            self.requests.append(event["params"]["request"]["url"])
        elif event["method"] == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(event["params"]))
        elif event["method"] == "Log.entryAdded":
            self.complaints.append(event["params"]["entry"]["text"])

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            more = os.read(self._read, 1 << 20)
            if not more:
                raise EndedError
            self._rest += more
        message, _, self._rest = self._rest.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found


@contextlib.contextmanager
def browser(name: str, home: Path) -> Iterator[Browser]:
    """Start a browser with its profile in ``home``, and end it."""
    their_read, our_write = os.pipe()
    our_read, their_write = os.pipe()

    command = [
        name,
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
        f"--user-data-dir={home}",
        "--remote-debugging-pipe",
        "about:blank",
    ]
    process = subprocess.Popen(
        [sys.executable, "-c", _AS_3_AND_4, str(their_read), str(their_write), *command],
        pass_fds=(their_read, their_write),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(their_read)
    os.close(their_write)
    try:
        yield Browser(process, our_write, our_read)
    finally:
        process.terminate()
        process.wait(SECONDS)
        os.close(our_write)
        os.close(our_read)
