# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running, waiting, telling, and ending processes: on real programs."""

from __future__ import annotations

import collections.abc as c
import contextlib
import io
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from lab import processes, tools
from lab.machine import of_lab


def test_run_returns_output_and_reads_only_what_it_is_given() -> None:
    assert tools.run(["cat"]).stdout == ""
    assert tools.run(["cat"], stdin="text").stdout == "text"


def test_run_failures_are_one_line() -> None:
    with pytest.raises(tools.CommandError, match=r"^gw1: `sh -c 'echo why >&2; exit 3'` ended with status 3: why$"):
        tools.run(["sh", "-c", "echo why >&2; exit 3"], where="gw1")
    with pytest.raises(tools.LabError, match=r"^host: `sleep 9` did not end in 0.1 s$"):
        tools.run(["sleep", "9"], timeout=0.1)
    with pytest.raises(tools.LabError, match=r"^host: no program no-such-program; run `make setup`"):
        tools.run(["no-such-program"])


def test_wait_until_has_a_deadline() -> None:
    begin = time.monotonic()
    with pytest.raises(tools.LabError, match=r"^the sun rises: still not so after 0.1 s$"):
        tools.wait_until(lambda: False, 0.1, "the sun rises", every=0.02)
    assert time.monotonic() - begin < 5


def test_progress_tells_begin_and_end_and_failure() -> None:
    out = io.StringIO()
    with tools.progress("booting", out):
        pass
    assert out.getvalue().splitlines() == ["booting ...", "booting: done in 0.0 s"]
    out = io.StringIO()
    with pytest.raises(ValueError, match="boom"), tools.progress("booting", out):
        raise ValueError("boom")
    assert "booting: failed in 0.0 s" in out.getvalue()


def test_last_lines(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert tools.last_lines(log) == "  | (no such file)"
    log.write_text("one\ntwo\nthree\n")
    assert tools.last_lines(log, 2) == "  | two\n  | three"


@pytest.fixture
def start(tmp_path: Path) -> c.Iterator[c.Callable[..., subprocess.Popen[bytes]]]:
    """Return a function that starts a shell under the name of a program, with arguments, until the test is over."""
    with contextlib.ExitStack() as stack:

        def started(program: str, *arguments: str) -> subprocess.Popen[bytes]:
            path = tmp_path / program
            shutil.copy("/bin/sh", path)
            process = subprocess.Popen([str(path), "-c", "read line", *arguments], stdin=subprocess.PIPE)
            stack.enter_context(process)
            stack.callback(process.kill)
            # the kernel shows the program a moment before its arguments
            last = ["read line", *arguments][-1:]
            tools.wait_until(lambda: processes.arguments(process.pid)[-1:] == last, 10, "no arguments")
            return process

        yield started


def test_end_ends_what_matches_and_nothing_else(start: c.Callable[..., subprocess.Popen[bytes]]) -> None:
    # of this session alone: another one may run the same test beside it
    mark = f"unit-target-{os.getpid()}"
    target, bystander = start("one", mark), start("two", "unit-bystander")
    processes.end(lambda pid: processes.arguments(pid)[-1:] == [mark], "the target")
    assert target.wait(5) == -signal.SIGKILL
    assert bystander.poll() is None


def test_a_dead_process_has_no_program_and_no_arguments(start: c.Callable[..., subprocess.Popen[bytes]]) -> None:
    process = start("one")
    assert processes.program(process.pid) == "one"
    process.kill()
    process.wait()
    assert processes.program(process.pid) is None
    assert processes.arguments(process.pid) == []


def test_a_machine_is_known_by_program_and_identity(start: c.Callable[..., subprocess.Popen[bytes]]) -> None:
    machine = start("linux.uml", "umid=xswan-unit-gw1").pid
    assert of_lab("unit")(machine)
    assert of_lab("unit", "gw1")(machine)
    assert not of_lab("unit", "gw")(machine)
    assert not of_lab("uni")(machine)
    # An editor, a grep or a test runner that has the words in its arguments.
    assert not of_lab("unit")(start("grep", "umid=xswan-unit-gw1").pid)
