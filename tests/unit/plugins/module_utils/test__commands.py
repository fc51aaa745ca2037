# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args

from ansible_collections.xswan.ipsec.plugins.module_utils._clock import SystemClock, wait_until
from ansible_collections.xswan.ipsec.plugins.module_utils._commands import Completed, LocalCommands
from ansible_collections.xswan.ipsec.plugins.module_utils._errors import DependencyError
from fake_host import FakeClock


@pytest.fixture
def commands() -> LocalCommands:
    with patch_module_args({}):
        return LocalCommands(AnsibleModule(argument_spec={}).run_command)


def test_output_and_status(commands: LocalCommands) -> None:
    done = commands.run("sh", "-c", "echo out; echo err >&2; pwd; exit 3", timeout=10)
    assert (done.status, done.out, done.err) == (3, "out\n/\n", "err\n")


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
