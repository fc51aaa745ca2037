# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every part of the lab needs: its error, running a program, waiting for a condition, showing progress."""

from __future__ import annotations

import collections.abc as c
import contextlib
import os
import shlex
import subprocess
import sys
import threading
import time
import typing as t
from pathlib import Path


class LabError(Exception):
    """A failure told to the user in its own words: what happened, on what, why, and what to do next."""


class CommandError(LabError):
    """A command ended with another exit status than 0; `result` has its output."""

    def __init__(self, where: str, result: subprocess.CompletedProcess[str]) -> None:
        command = result.args if isinstance(result.args, str) else shlex.join(result.args)
        said = (result.stderr or result.stdout or "").strip()
        super().__init__(f"{where}: `{command}` ended with status {result.returncode}: {said or 'it said nothing'}")
        self.result = result


def environment() -> dict[str, str]:
    """Our environment with the folders of the system's own programs, which `su` and cron leave out of PATH."""
    path = os.environ.get("PATH", "").split(os.pathsep)
    extra = [folder for folder in ("/usr/sbin", "/sbin", "/usr/bin", "/bin") if folder not in path]
    return {**os.environ, "PATH": os.pathsep.join([*path, *extra]), "LC_ALL": "C.UTF-8"}


def run(
    argv: c.Sequence[str],
    *,
    where: str = "host",
    stdin: str | None = None,
    timeout: float | None = 60,
    check: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end and return its output as text; LabError when it fails, is missing or takes too long.

    It reads the text `stdin` and never ours, which may be a terminal or belong to a loop around the tool.
    """
    try:
        result = subprocess.run(
            list(argv),
            capture_output=True,
            text=True,
            timeout=timeout,
            env=environment(),
            check=False,
            input=stdin or "",
        )
    except FileNotFoundError as error:
        raise LabError(f"{where}: no program {argv[0]}; run `make setup`, which installs what the lab needs") from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{where}: `{shlex.join(argv)}` did not end in {timeout:g} s") from error
    if check and result.returncode != 0:
        raise CommandError(where, result)
    return result


def wait_until(probe: c.Callable[[], bool], timeout: float, what: str, *, every: float = 0.2) -> None:
    """Call `probe` until it is true; LabError naming `what` when `timeout` seconds have gone."""
    deadline = time.monotonic() + timeout
    while not probe():
        if time.monotonic() > deadline:
            raise LabError(f"{what}: still not so after {timeout:g} s")
        time.sleep(every)


def last_lines(path: Path, count: int = 30) -> str:
    """The end of a log, indented, for an error message."""
    try:
        lines = path.read_text(errors="replace").splitlines()[-count:]
    except FileNotFoundError:
        lines = ["(no such file)"]
    return "\n".join(f"  | {line}" for line in lines)


@contextlib.contextmanager
def progress(step: str, stream: t.TextIO | None = None) -> c.Iterator[None]:
    """Say on standard error what is being done, and go on saying how long it takes, until it is done."""
    out = sys.stderr if stream is None else stream
    begin = time.monotonic()
    over = threading.Event()
    tty = out.isatty()

    def say(text: str, end: str) -> None:
        out.write(f"{text}{end}")
        out.flush()

    def tick() -> None:
        while not over.wait(1 if tty else 4):
            elapsed = time.monotonic() - begin
            say(f"\r{step} ... {elapsed:.0f} s" if tty else f"{step} ... {elapsed:.0f} s", "" if tty else "\n")

    say(f"{step} ...", "" if tty else "\n")
    ticker = threading.Thread(target=tick, daemon=True)
    ticker.start()
    outcome = "failed"
    try:
        yield
        outcome = "done"
    finally:
        over.set()
        ticker.join()
        say(f"{chr(13) if tty else ''}{step}: {outcome} in {time.monotonic() - begin:.1f} s", "\n")
