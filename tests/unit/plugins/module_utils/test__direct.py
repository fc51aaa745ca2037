# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import os
import typing as t
from pathlib import Path

import pytest

from ansible_collections.xswan.ipsec.plugins.module_utils._clock import SystemClock
from ansible_collections.xswan.ipsec.plugins.module_utils._commands import Completed
from ansible_collections.xswan.ipsec.plugins.module_utils._direct import DirectLauncher
from ansible_collections.xswan.ipsec.plugins.module_utils._errors import ConfigError, DaemonError
from ansible_collections.xswan.ipsec.plugins.module_utils._model import Unit

if t.TYPE_CHECKING:
    from ansible_collections.xswan.ipsec.plugins.module_utils._ports import Launcher


@dataclasses.dataclass
class Scripted:
    """Commands whose ends are written down beforehand, by a word that is asked for."""

    ends: dict[str, Completed] = dataclasses.field(default_factory=dict)
    asked: list[tuple[str, ...]] = dataclasses.field(default_factory=list)

    def run(self, *argv: str, timeout: float) -> Completed:
        assert 0 < timeout <= 60
        self.asked.append(argv)
        return next((end for word, end in self.ends.items() if word in argv), Completed(argv, 0, "", ""))


def launcher(commands: Scripted, rundir: Path) -> DirectLauncher:
    # there is no such parameter
    return DirectLauncher(commands, SystemClock(), "/etc/ipsec.conf", rundir=str(rundir), acq_expires=f"{rundir}/none")


def test_start_is_what_the_unit_of_the_distribution_does(tmp_path: Path) -> None:
    commands = Scripted()
    launcher(commands, tmp_path / "made/pluto").start(60)
    assert [argv[1] for argv in commands.asked] == ["--checknss", "--checknflog", "pluto", "whack"]
    # what is named first is a default: the configuration after it wins
    assert commands.asked[2][-2:] == ("--config", "/etc/ipsec.conf")
    assert (tmp_path / "made/pluto").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize(
    ("word", "end", "message", "last"),
    [
        ("--checknss", Completed((), 4, "", "no certutil\n"), "`ipsec --checknss` failed: no certutil", "--checknss"),
        (
            "pluto",
            Completed((), 10, "", "lock file exists\n"),
            "lock file could not be made: lock file exists",
            "pluto",
        ),
        ("pluto", Completed((), 5, "", "no XFRM\n"), "did not start: the kernel refused: no XFRM", "pluto"),
        ("pluto", Completed((), 134, "", ""), "did not start: exit status 134", "pluto"),
        ("pluto", Completed((), None, "", ""), "did not start in 60 s", "pluto"),
        ("whack", Completed((), None, "", ""), "was started, but does not answer after 60 s", "addconn"),
    ],
)
def test_a_start_that_fails_ends_with_the_reason(
    word: str, end: Completed, message: str, last: str, tmp_path: Path
) -> None:
    commands = Scripted({word: end})
    with pytest.raises(DaemonError, match=message):
        launcher(commands, tmp_path).start(60)
    assert commands.asked[-1][1] == last, "nothing is done after a failure but to read the log"


def test_last_words_come_from_the_file_that_the_configuration_names(tmp_path: Path) -> None:
    log = tmp_path / "pluto.log"
    log.write_text("Nov 23 13:51:12.6: Initializing NSS\nNov 23 13:51:12.8: FATAL ERROR: NSS: bad database.\n")
    commands = Scripted(
        {
            "whack": Completed((), 33, "", "whack: read() failed (104 Connection reset by peer)\n"),
            "--configsetup": Completed((), 0, f"export configfile='x'\nexport logfile='{log}'\n", ""),
        }
    )
    with pytest.raises(DaemonError, match=r"its last words: .* FATAL ERROR: NSS: bad database") as caught:
        launcher(commands, tmp_path).start(60)
    assert len(caught.value.details["log"]) == 2


def test_without_a_log_whack_has_the_last_word(tmp_path: Path) -> None:
    commands = Scripted(
        {
            "whack": Completed((), 33, "", "whack: Connection reset\n"),
            "--configsetup": Completed((), 0, f"export logfile='{tmp_path}/none'\n", ""),
        }
    )
    with pytest.raises(DaemonError, match="its last words: whack: Connection reset"):
        launcher(commands, tmp_path).start(60)


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    commands = Scripted()
    with pytest.raises(DaemonError, match=r"cannot make the folder .*file/pluto: Not a directory"):
        launcher(commands, tmp_path / "file/pluto").start(60)
    assert commands.asked == []


@pytest.mark.parametrize(("old", "new"), [("30", "60"), ("60", "60"), ("30", "60s")])
def test_the_lifetime_of_a_request_for_an_sa_is_what_the_configuration_says(tmp_path: Path, old: str, new: str) -> None:
    """As _stackmanager of the distribution writes it."""
    parameter = tmp_path / "xfrm_acq_expires"
    parameter.write_text(f"{old}\n")
    commands = Scripted({"--configsetup": Completed((), 0, f"export xfrmlifetime='{new}'\n", "")})
    direct = DirectLauncher(
        commands, SystemClock(), "/etc/ipsec.conf", rundir=str(tmp_path), acq_expires=str(parameter)
    )
    assert direct.check_start() == ()
    assert parameter.read_text() == f"{old}\n"
    direct.start(60)
    assert parameter.read_text().strip() == (new if new.isdigit() else old)
    assert [argv[-1] for argv in commands.asked if "pluto" in argv] == ["/etc/ipsec.conf"]


def test_a_lifetime_that_cannot_be_written_is_told_and_hinders_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container, whose /proc/sys is read-only."""
    parameter = tmp_path / "xfrm_acq_expires"
    parameter.write_text("30\n")
    monkeypatch.setattr(os, "access", lambda _path, _mode: False)
    commands = Scripted({"--configsetup": Completed((), 0, "export xfrmlifetime='60'\n", "")})
    direct = DirectLauncher(
        commands, SystemClock(), "/etc/ipsec.conf", rundir=str(tmp_path), acq_expires=str(parameter)
    )
    (warning,) = direct.check_start()
    assert "xfrmlifetime=60 cannot be written" in warning
    direct.start(60)
    assert parameter.read_text() == "30\n"


@dataclasses.dataclass
class Manager:
    """systemd's launcher, as far as it matters to another one."""

    active: str
    stops: bool = True

    def unit(self) -> Unit:
        return Unit("ipsec.service", self.active, main_pid=7 if self.active == "active" else None)

    def stop(self, timeout: float) -> bool:
        if self.active not in ("inactive", "failed"):
            self.active = "inactive" if self.stops else "deactivating"
        return self.stops


def beside(commands: Scripted, manager: Manager, folder: Path) -> DirectLauncher:
    """The launcher of a host that has a manager all the same."""
    other = t.cast("Launcher", manager)
    return DirectLauncher(commands, SystemClock(), "", rundir=str(folder), acq_expires="", manager=other)


@pytest.mark.parametrize("active", ["active", "activating", "reloading"])
def test_what_a_manager_runs_or_is_about_to_run_it_stops_itself(active: str, tmp_path: Path) -> None:
    """Else its Restart= would start a pluto again that was ended by whack or by a signal."""
    manager = Manager(active)
    direct = beside(Scripted(), manager, tmp_path)
    unit = direct.unit()
    assert unit is not None
    assert unit.active == active
    assert direct.stop(60) is True
    assert (manager.active, direct.unit()) == ("inactive", None)


@pytest.mark.parametrize("active", ["inactive", "failed"])
def test_a_manager_that_does_nothing_is_not_seen(active: str, tmp_path: Path) -> None:
    manager = Manager(active)
    direct = beside(Scripted(), manager, tmp_path)
    assert direct.unit() is None
    assert direct.stop(60) is True
    assert manager.active == active


@pytest.mark.parametrize("stops", [True, False])
def test_a_start_ends_the_attempts_of_a_manager_first(stops: bool, tmp_path: Path) -> None:
    commands, manager = Scripted(), Manager("activating", stops)
    direct = beside(commands, manager, tmp_path)
    if stops:
        direct.start(60)
        assert manager.active == "inactive"
    else:
        with pytest.raises(DaemonError, match="unit of this host has not finished its stop"):
            direct.start(60)
        assert commands.asked == []


def test_what_it_cannot_do(tmp_path: Path) -> None:
    commands = Scripted()
    direct = launcher(commands, tmp_path)
    direct.check_start()
    assert direct.stop(60) is True
    with pytest.raises(ConfigError, match="at boot"):
        direct.check_enable()
    with pytest.raises(ConfigError, match="at boot"):
        direct.enable(False)
    assert commands.asked == []
