# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args

from ansible_collections.xswan.ipsec.plugins.module_utils import _commands
from ansible_collections.xswan.ipsec.plugins.module_utils._clock import SystemClock, wait_until
from ansible_collections.xswan.ipsec.plugins.module_utils._commands import Completed, LocalCommands
from ansible_collections.xswan.ipsec.plugins.module_utils._errors import DaemonError, DependencyError
from fake_host import FakeClock


@pytest.fixture
def commands() -> LocalCommands:
    with patch_module_args({}):
        return LocalCommands(AnsibleModule(argument_spec={}).run_command)


def test_output_and_status(commands: LocalCommands) -> None:
    done = commands.run("sh", "-c", "echo out; echo err >&2; exit 3", timeout=10)
    assert (done.status, done.out, done.err) == (3, "out\n", "err\n")


def test_nothing_is_expanded(commands: LocalCommands) -> None:
    assert commands.run("echo", "$HOME", "~", "*", timeout=10).out == "$HOME ~ *\n"


def test_output_larger_than_a_pipe_is_drained(commands: LocalCommands) -> None:
    assert len(commands.run("sh", "-c", "head -c 1000000 /dev/zero | tr '\\0' x", timeout=30).out) == 1000000


def test_a_command_that_hangs_is_ended_with_its_children(commands: LocalCommands) -> None:
    clock = SystemClock()
    began = clock.now()
    done = commands.run("sh", "-c", "echo begun; sleep 60 & wait", timeout=0.5)
    assert done.status is None
    assert done.out == "begun\n"
    # the child held the pipe: had it survived, the call would have lasted a minute
    assert clock.now() - began < 30


def test_a_command_that_is_not_there(commands: LocalCommands) -> None:
    with pytest.raises(DependencyError, match="no-such-command is not installed"):
        commands.run("no-such-command", timeout=1)
    with pytest.raises(DependencyError, match=r"unshare \(both of the package util-linux\) or no-such-command is not"):
        commands.run_apart("no-such-command", timeout=1)


def test_a_host_without_the_programs_that_run_others(
    commands: LocalCommands, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(_commands.ENVIRONMENT, "PATH", str(tmp_path))
    for run, name in ((commands.run, "timeout"), (commands.run_apart, "env")):
        with pytest.raises(DependencyError, match=f"command {name} is not .*; install the package coreutils"):
            run("true", timeout=1)


def test_who_is_left_with_our_pipes_is_not_awaited(commands: LocalCommands) -> None:
    clock = SystemClock()
    began = clock.now()
    done = commands.run("sh", "-c", "sleep 60 & echo $!", timeout=50)
    os.kill(int(done.out), signal.SIGKILL)
    assert done.status == 0
    assert clock.now() - began < 30


def test_wait_until_looks_at_least_once_and_stops_in_time() -> None:
    clock = FakeClock()
    assert wait_until(lambda: None, 0, clock) is None
    assert wait_until(lambda: "all", 3, clock) == "all"
    assert 1003 <= clock.now() < 1003.5


def test_the_reason_of_a_failure_is_one_line() -> None:
    assert Completed(("x",), 1, "out\n", "first\nFATAL: Module not found\n").reason == "FATAL: Module not found"
    assert Completed(("x",), 1, "out\n", "").reason == "out"
    assert Completed(("x",), None, "", "").reason == "no end in time"
    assert Completed(("x",), 3, "", "").reason == "exit status 3"


def test_a_command_apart_has_namespaces_of_its_own_and_our_data(commands: LocalCommands) -> None:
    look = "cat; for name in net mnt pid; do readlink /proc/self/ns/$name; done; ip -brief link; echo $$"
    done = commands.run_apart("sh", "-c", look, timeout=20, data=b"data\n")
    data, *spaces, link, pid = done.out.splitlines()
    assert (done.status, data, link.split()[0]) == (0, "data", "lo")
    assert not {os.readlink(f"/proc/self/ns/{name}") for name in ("net", "mnt", "pid")} & set(spaces)
    assert int(pid) < 10


def test_a_command_apart_ends_in_time_with_all_it_started(commands: LocalCommands) -> None:
    done = commands.run_apart("sh", "-c", "setsid sleep 61.25 & sleep 61.25", timeout=0.5)
    assert done.status is None
    assert not _sleepers("61.25")


def test_a_command_apart_does_not_outlive_us() -> None:
    """SIGKILL for the process that runs it: nothing can clean up, and nothing is left."""
    program = (
        "import subprocess\n"
        "from ansible_collections.xswan.ipsec.plugins.module_utils._commands import LocalCommands\n"
        "def run_command(args, *, data, **how):\n"
        "    subprocess.run(args, input=data)\n"
        "LocalCommands(run_command).run_apart('sh', '-c', 'setsid sleep 62.25 & sleep 62.25', timeout=60)\n"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with subprocess.Popen([sys.executable, "-c", program], env=env) as process:
        assert wait_until(lambda: None if len(_sleepers("62.25")) == 2 else "sleep", 30, SystemClock()) is None
        process.kill()
    assert wait_until(lambda: "sleep" if _sleepers("62.25") else None, 30, SystemClock()) is None


def _sleepers(seconds: str) -> list[str]:
    """The processes of this host that sleep for so long."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if path.read_bytes() == f"sleep\0{seconds}\0".encode():
                found.append(path.parent.name)
    return found


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"), DaemonError, "cannot run ip: Resource"),
        (OSError(errno.EMFILE, "Too many open files"), DaemonError, "cannot run ip: Too many open files; look at"),
        (FileNotFoundError(errno.ENOENT, "No such file"), DependencyError, "the command timeout is not installed"),
    ],
)
def test_a_program_that_cannot_be_started_does_not_end_the_module(
    error: OSError, kind: type[Exception], said: str
) -> None:
    """AnsibleModule would end it by itself, without a word on what was changed before."""

    def run_command(args: list[str], *, handle_exceptions: bool, **_how: object) -> tuple[int, str, str]:
        assert not handle_exceptions
        raise error

    with pytest.raises(kind, match=said):
        LocalCommands(run_command).run("ip", "link", timeout=1)
