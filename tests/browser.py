# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Chromium without a screen and without a network, steered by the DevTools protocol over a pair of pipes.

It runs in a network namespace of its own that has no interface but a loopback device which is down, and in a pid
namespace of its own, so that nothing of it outlives the test. Needs root.
"""

from __future__ import annotations

import base64
import collections.abc as c
import contextlib
import fcntl
import itertools
import json
import os
import select
import subprocess
import time
import typing as t
from pathlib import Path

CHROMIUM = "/usr/bin/chromium"
PATIENCE_S = 120.0
"""For one answer of a browser on a busy machine."""

# --kill-child: the end of unshare is the end of all
ISOLATION = ["unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
FLAGS = [
    "--headless",
    "--no-sandbox",  # it runs as root, and in namespaces already
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--remote-debugging-pipe",
]


class BrowserError(Exception):
    """Chromium refused a command, or did not answer."""


class Browser:
    """One page in one Chromium; everything it complains about is kept in `complaints`."""

    def __init__(self, commands: int, answers: int) -> None:
        """Talk to a Chromium that reads commands from one pipe and writes answers to the other."""
        self.complaints: list[str] = []
        self.requests: list[str] = []
        """Addresses that the page asked for, the page's own included."""
        self._commands = commands
        self._answers = answers
        self._read = b""
        self._serial = itertools.count(1)
        self._loaded = False
        self._session: str | None = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: t.Any) -> dict[str, t.Any]:
        """Give one command and return its result."""
        serial = next(self._serial)
        message: dict[str, t.Any] = {"id": serial, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._commands, data) :]
        while True:
            answer = self._next()
            if answer.get("id") == serial:
                if "error" in answer:
                    raise BrowserError(f"{method}: {answer['error']['message']}")
                return t.cast("dict[str, t.Any]", answer["result"])
            self._note(answer)

    def open(self, page: Path) -> None:
        """Show a file, and wait until it is loaded."""
        self._loaded = False
        failure = self.call("Page.navigate", url=page.as_uri()).get("errorText")
        if failure:
            raise BrowserError(f"{page}: {failure}")
        while not self._loaded:
            self._note(self._next())

    def evaluate(self, expression: str) -> t.Any:
        """Return the JSON value of a JavaScript expression."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise BrowserError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def scheme(self, scheme: str, *, media: str = "") -> None:
        """Prefer this colour scheme, light or dark; pretend to be another medium, as print."""
        self.call(
            "Emulation.setEmulatedMedia", media=media, features=[{"name": "prefers-color-scheme", "value": scheme}]
        )

    def window(self, width: int, height: int) -> None:
        """Set the window's size in pixels."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def scripts(self, *, on: bool) -> None:
        """Let pages that are opened from now on run scripts, or not."""
        self.call("Emulation.setScriptExecutionDisabled", value=not on)

    def screenshot(self, file: Path) -> None:
        """Keep what the window shows as a PNG file."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def print(self, file: Path) -> None:
        """Keep the page as it prints, as a PDF file."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(base64.b64decode(self.call("Page.printToPDF", landscape=True)["data"]))

    def _next(self) -> dict[str, t.Any]:
        deadline = time.monotonic() + PATIENCE_S
        while b"\0" not in self._read:
            if not select.select([self._answers], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise BrowserError(f"no answer in {PATIENCE_S:.0f} s")
            chunk = os.read(self._answers, 1 << 20)
            if not chunk:
                raise BrowserError("Chromium has ended")
            self._read += chunk
        message, self._read = self._read.split(b"\0", 1)
        return t.cast("dict[str, t.Any]", json.loads(message))

    def _note(self, event: dict[str, t.Any]) -> None:
        method, params = event.get("method"), event.get("params", {})
        if method == "Page.loadEventFired":
            self._loaded = True
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Runtime.consoleAPICalled":
            self.complaints.append(f"console.{params['type']}: {params['args']}")
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(f"exception: {params['exceptionDetails']}")
        elif method == "Log.entryAdded":
            self.complaints.append(f"{params['entry']['level']}: {params['entry']['text']}")
        elif method == "Page.javascriptDialogOpening":
            self.complaints.append(f"dialog: {params['message']}")


def _pipe() -> tuple[int, int]:
    ends = os.pipe()
    high = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends]
    for end in ends:
        os.close(end)
    return high[0], high[1]


@contextlib.contextmanager
def browser(profile: Path) -> c.Iterator[Browser]:
    """A Chromium with an empty profile in this folder; it has ended when this ends."""
    # Chromium reads commands from 3 and writes answers to 4; until it is about to start its ends are out of their way
    theirs_in, ours_out = _pipe()
    ours_in, theirs_out = _pipe()
    plumbing = f'exec "$@" 3<&{theirs_in} 4>&{theirs_out} {theirs_in}<&- {theirs_out}>&-'
    argv = [*ISOLATION, "bash", "-c", plumbing, "bash", CHROMIUM, *FLAGS, f"--user-data-dir={profile}"]
    with open(profile.with_suffix(".log"), "wb") as log:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=(theirs_in, theirs_out)
        )
    try:
        os.close(theirs_in)
        os.close(theirs_out)
        yield Browser(ours_out, ours_in)
    finally:
        os.close(ours_out)  # at the end of its commands Chromium ends; as process 1 of its namespace it is the last
        try:
            process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        finally:
            os.close(ours_in)
