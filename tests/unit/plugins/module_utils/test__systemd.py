# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import os
import time
from pathlib import Path

import pytest

from ansible_collections.xswan.ipsec.plugins.module_utils._commands import Completed
from ansible_collections.xswan.ipsec.plugins.module_utils._errors import ConfigError, DaemonError
from ansible_collections.xswan.ipsec.plugins.module_utils._model import Unit
from ansible_collections.xswan.ipsec.plugins.module_utils._systemd import SystemdLauncher, parse_show

CONFIG = "/etc/ipsec.conf"
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


def newest_first(text: str) -> Completed:
    """What `journalctl --reverse` prints of these lines."""
    return Completed((), 0, "".join(reversed(text.splitlines(keepends=True))), "")


def test_a_failed_start_brings_the_log() -> None:
    commands = Scripted(
        {
            "start": Completed((), 1, "", "Job for ipsec.service failed\n"),
            "journalctl": newest_first("Starting...\nFATAL ERROR: socket() in init_netlink()\nStarting...\n"),
        }
    )
    with pytest.raises(DaemonError, match=r"failed to start; its last words: FATAL ERROR") as caught:
        SystemdLauncher(commands, CONFIG).start(30)
    assert len(caught.value.details["log"]) == 3


@pytest.mark.parametrize(("about", "lines"), [("", ('"a": added', '"b": failed', "done")), ('"b"', ('"b": failed',))])
def test_the_log_is_told_without_debug_lines_for_they_may_hold_keys(about: str, lines: tuple[str, ...]) -> None:
    text = '| secret 01 02\n"a": added\n|   "b" key 03\n"b": failed\ndone\n'
    assert SystemdLauncher(Scripted({"journalctl": newest_first(text)}), CONFIG).log(about) == lines


FAILED = "LoadState=loaded\nDescription=IKE for IPsec\nResult=exit-code\nActiveState=failed\n"
"""What `systemctl show` tells of a unit that was to be started."""


@dataclasses.dataclass
class Failing:
    """A host whose unit fails to start, with what systemd, the journal and pluto's own log say of it."""

    show: str
    journal: str
    own: Path | None = None
    asked: list[tuple[str, ...]] = dataclasses.field(default_factory=list)

    def run(self, *argv: str, timeout: float) -> Completed:
        self.asked.append(argv)
        if "start" in argv:
            return Completed(argv, 1, "", "Job for ipsec.service failed\n")
        if "--configsetup" in argv:
            return Completed(argv, 0, f"export logfile='{self.own}'\n" if self.own else "", "")
        if argv[0] == "journalctl":
            assert "--reverse" in argv
            return newest_first(self.journal)
        return Completed(argv, 0, FAILED + self.show, "")

    def failure(self) -> DaemonError:
        with pytest.raises(DaemonError) as caught:
            SystemdLauncher(self, CONFIG).start(30)
        return caught.value


SYSTEMD = """\
ipsec.service: Main process exited, code=exited, status=1/FAILURE
ipsec.service: Failed with result 'exit-code'.
Failed to start ipsec.service - IKE for IPsec.
Failed to start IKE for IPsec.
nflog ipsec capture disabled
ipsec.service: Consumed 2.590s CPU time.
"""


@pytest.mark.parametrize(
    ("show", "journal", "why"),
    [
        # what pluto says, and not what systemd says after it
        (
            "ExecMainCode=1\nExecMainStatus=1\n",
            f"Starting IKE for IPsec...\nERROR: no socket\nshutting down\n{SYSTEMD}",
            ": its main process ended with exit status 1; its last words: ERROR: no socket",
        ),
        # what is fatal before what is only an error
        (
            "ExecMainCode=1\nExecMainStatus=6\n",
            f"FATAL ERROR: no NSS\nERROR: no socket\n{SYSTEMD}",
            ": its main process ended with exit status 6 (its NSS database failed); "
            "its last words: FATAL ERROR: no NSS",
        ),
        # /bin/false says nothing; and systemd, which starts it anew, has forgotten its end
        ("ExecMainCode=0\nExecMainStatus=0\n", SYSTEMD, ": its main process ended with exit status 1"),
        (
            "",
            "cannot load config\nipsec.service: Control process exited, code=exited, status=3/NOTIMPLEMENTED\n",
            ": a process of its preparation ended with exit status 3; its last words: cannot load config",
        ),
        ("ExecMainCode=2\nExecMainStatus=9\n", "", ": its main process was ended by SIGKILL"),
        ("ExecMainCode=3\nExecMainStatus=99\n", "", ": its main process was ended by signal 99"),
        ("ExecMainCode=1\nExecMainStatus=0\n", "", ": its main process ended with exit status 0"),
        # no process, and nothing but systemd's own words
        (
            "",
            "ipsec.service: Failed to load environment files\n",
            ": systemd says exit-code; its last words: ipsec.service: Failed to load environment files",
        ),
        ("", "", ": systemd says exit-code; its last words: Job for ipsec.service failed"),
    ],
)
def test_failed_to_start_is_never_all(show: str, journal: str, why: str) -> None:
    assert str(Failing(show, journal).failure()) == (
        f"ipsec.service failed to start{why}; see `journalctl -u ipsec.service`"
    )


def test_only_this_start_is_told_of() -> None:
    host = Failing("", "")
    host.failure()
    (since,) = [word for argv in host.asked for word in argv if word.startswith("--since=@")]
    assert abs(float(since.partition("@")[2]) - time.time()) < 60


def test_plutos_own_log_is_read_too(tmp_path: Path) -> None:
    own = tmp_path / "pluto.log"
    own.write_text('| key 00\nNov 24 04:00:00.1: FATAL ERROR: no NSS\nNov 24 04:00:00.2: "one": failed to add\n')
    host = Failing("ExecMainCode=1\nExecMainStatus=6\n", SYSTEMD, own)
    error = host.failure()
    assert "its last words: Nov 24 04:00:00.1: FATAL ERROR: no NSS" in str(error)
    assert len(error.details["log"]) == 8
    # this is where _plan looks for what pluto said of a connection
    assert SystemdLauncher(host, CONFIG).log('"one"') == ('Nov 24 04:00:00.2: "one": failed to add',)
    assert ("ipsec", "addconn", "--config", CONFIG, "--configsetup") in host.asked


def test_a_log_of_former_days_has_no_last_words(tmp_path: Path) -> None:
    own = tmp_path / "pluto.log"
    own.write_text("FATAL ERROR: long ago\n")
    os.utime(own, (1000, 1000))
    assert "long ago" not in str(Failing("", SYSTEMD, own).failure())


def test_a_start_that_hangs_names_its_time() -> None:
    commands = Scripted({"start": Completed((), None, "", "")})
    with pytest.raises(DaemonError, match="did not start in 30 s"):
        SystemdLauncher(commands, CONFIG).start(30)


def test_a_unit_that_is_not_there_is_not_stopped() -> None:
    commands = Scripted({"show": Completed((), 0, "LoadState=not-found\n", "")})
    SystemdLauncher(commands, CONFIG).stop(30)
    assert not any("stop" in argv for argv in commands.asked)


def test_an_enable_that_is_refused_is_told() -> None:
    commands = Scripted({"enable": Completed((), 1, "", "Failed to enable unit: Read-only file system\n")})
    with pytest.raises(ConfigError, match="Read-only file system"):
        SystemdLauncher(commands, CONFIG).enable(True)
