# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses

import pytest

from ansible_collections.xswan.ipsec.plugins.module_utils._commands import Completed
from ansible_collections.xswan.ipsec.plugins.module_utils._errors import ConfigError, DaemonError
from ansible_collections.xswan.ipsec.plugins.module_utils._model import Unit
from ansible_collections.xswan.ipsec.plugins.module_utils._systemd import SystemdLauncher, parse_show

RUNNING = "MainPID=814\nNRestarts=0\nLoadState=loaded\nActiveState=active\nSubState=running\nUnitFileState=enabled\n"


@dataclasses.dataclass
class Scripted:
    """Commands whose ends are written down beforehand, by the verb that is asked for."""

    ends: dict[str, Completed]
    asked: list[tuple[str, ...]] = dataclasses.field(default_factory=list)

    def run(self, *argv: str, timeout: float) -> Completed:
        self.asked.append(argv)
        return next((end for word, end in self.ends.items() if word in argv), Completed(argv, 0, "", ""))


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        (RUNNING, Unit("ipsec.service", "active", "running", enabled=True, main_pid=814)),
        ("LoadState=not-found\nActiveState=inactive\nMainPID=0\nNRestarts=0\nUnitFileState=\n", None),
        (
            "LoadState=loaded\nActiveState=inactive\nSubState=dead\nMainPID=0\nUnitFileState=disabled\n",
            Unit("ipsec.service", "inactive", "dead"),
        ),
        (
            "LoadState=masked\nActiveState=inactive\nSubState=dead\nMainPID=0\nNRestarts=0\nUnitFileState=masked\n",
            Unit("ipsec.service", "inactive", "dead", masked=True),
        ),
        (
            "LoadState=loaded\nActiveState=activating\nSubState=auto-restart\nMainPID=0\nNRestarts=7\n",
            Unit("ipsec.service", "activating", "auto-restart", restarts=7),
        ),
    ],
)
def test_show_is_read(text: str, unit: Unit | None) -> None:
    assert parse_show(text) == unit


def test_a_failed_start_brings_the_log() -> None:
    commands = Scripted(
        {
            "start": Completed((), 1, "", "Job for ipsec.service failed\n"),
            "journalctl": Completed((), 0, "Starting...\nFATAL ERROR: socket() in init_netlink()\nStarting...\n", ""),
        }
    )
    with pytest.raises(DaemonError, match=r"failed to start; its last words: FATAL ERROR") as caught:
        SystemdLauncher(commands).start(30)
    assert len(caught.value.details["log"]) == 3


@pytest.mark.parametrize(("about", "lines"), [("", ('"a": added', '"b": failed', "done")), ('"b"', ('"b": failed',))])
def test_the_log_is_told_without_debug_lines_for_they_may_hold_keys(about: str, lines: tuple[str, ...]) -> None:
    text = '| secret 01 02\n"a": added\n|   "b" key 03\n"b": failed\ndone\n'
    assert SystemdLauncher(Scripted({"journalctl": Completed((), 0, text, "")})).log(about) == lines


def test_a_start_that_hangs_names_its_time() -> None:
    commands = Scripted({"start": Completed((), None, "", "")})
    with pytest.raises(DaemonError, match="did not start in 30 s"):
        SystemdLauncher(commands).start(30)


def test_a_unit_that_is_not_there_is_not_stopped() -> None:
    commands = Scripted({"show": Completed((), 0, "LoadState=not-found\n", "")})
    SystemdLauncher(commands).stop(30)
    assert not any("stop" in argv for argv in commands.asked)


def test_an_enable_that_is_refused_is_told() -> None:
    commands = Scripted({"enable": Completed((), 1, "", "Failed to enable unit: Read-only file system\n")})
    with pytest.raises(ConfigError, match="Read-only file system"):
        SystemdLauncher(commands).enable(True)
