# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import subprocess
import time
from pathlib import Path

import pytest

from ansible_collections.xswan.ipsec.plugins.module_utils._clock import SystemClock
from ansible_collections.xswan.ipsec.plugins.module_utils._commands import Completed
from ansible_collections.xswan.ipsec.plugins.module_utils._errors import ConfigError, DaemonError, DependencyError
from ansible_collections.xswan.ipsec.plugins.module_utils._model import Unit
from ansible_collections.xswan.ipsec.plugins.module_utils._script import (
    Restarter,
    ScriptLauncher,
    end_restarters,
    find_restarters,
    find_script,
    is_pluto,
    parse_status,
    runs_plutorun,
)

SCRIPT = "/etc/init.d/ipsec"


@dataclasses.dataclass
class Machine(SystemClock):
    """A host without systemd below a folder: its script's answers, its links, its processes, and its clock."""

    root: Path
    statuses: list[Completed] = dataclasses.field(default_factory=list)
    """What `status` says, one after the other; the last one for ever."""
    ends: dict[str, tuple[int | None, str]] = dataclasses.field(default_factory=dict)
    """Exit status and output of the other verbs and programs."""
    links: bool = True
    """Whether update-rc.d and the others really do it."""
    asked: list[str] = dataclasses.field(default_factory=list)
    time: float = 0.0
    waits: list[str] = dataclasses.field(default_factory=list)

    def __post_init__(self) -> None:
        for folder in ("etc/init.d", "etc/rc2.d", "etc/runlevels/default", "proc/self/ns", "bin"):
            (self.root / folder).mkdir(parents=True)
        for kind in ("net", "pid"):
            (self.root / "proc/self/ns" / kind).touch()
        self.script("#!/bin/sh")

    def script(self, first_line: str) -> None:
        path = self.root / "etc/init.d/ipsec"
        path.write_text(f"{first_line}\n")
        path.chmod(0o755)

    def program(self, name: str) -> None:
        path = self.root / "bin" / name
        path.touch()
        path.chmod(0o755)

    def process(self, pid: int, *argv: str, parent: int = 1, exe: str = "/bin/sh", foreign: bool = False) -> None:
        folder = self.root / "proc" / str(pid)
        (folder / "ns").mkdir(parents=True)
        (folder / "cmdline").write_text("".join(f"{word}\0" for word in argv))
        (folder / "stat").write_text(f"{pid} (a) b) S {parent} 0 0\n")
        (folder / "exe").symlink_to(exe)
        for kind in ("net", "pid"):
            if foreign:
                (folder / "ns" / kind).touch()
            else:
                (folder / "ns" / kind).symlink_to(self.root / "proc/self/ns" / kind)

    def run(self, *argv: str, timeout: float) -> Completed:
        assert timeout > 0
        if argv[:2] == ("sh", "-c"):
            verb, output = argv[4:]
            self.asked.append(verb)
            status, text = self.ends.get(verb, (0, ""))
            Path(output).write_text(text)
            return Completed(argv, status, "", "")
        if argv[1] == "status":
            return self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        self.asked.append(" ".join(argv))
        status, text = self.ends.get(argv[0], (0, ""))
        if status == 0 and self.links:
            self._link(argv)
        return Completed(argv, status, text, "")

    def _link(self, argv: tuple[str, ...]) -> None:
        link = self.root / ("etc/runlevels/default/ipsec" if argv[0] == "rc-update" else "etc/rc2.d/S20ipsec")
        link.unlink(missing_ok=True)
        if not {"disable", "off", "--remove", "del", "defaults", "--add"} & set(argv):
            link.touch()

    def epoch(self) -> float:
        return self.time

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds

    @property
    def launcher(self) -> ScriptLauncher:
        path = str(self.root / "etc/init.d/ipsec")
        return ScriptLauncher(self, self, path, root=str(self.root), search=str(self.root / "bin"))


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def says(status: int | None, out: str = "", err: str = "") -> Completed:
    return Completed((), status, out, err)


STOPPED = says(3, "IPsec stopped\n")
RUNNING = says(0, "IPsec running  - pluto pid: 814\npluto pid 814\nNo tunnels up\n")


@pytest.mark.parametrize(
    ("done", "openrc", "unit"),
    [
        (RUNNING, False, Unit(SCRIPT, "active", "running", main_pid=814)),
        (
            says(0, "ipsec: pluto (pid 814) is running...\nIPsec connections: loaded 1, active 0\n"),
            False,
            Unit(SCRIPT, "active", "running", main_pid=814),
        ),
        # Libreswan's then asks a pluto that hangs
        (
            says(None, "ipsec: pluto (pid 814) is running...\n"),
            False,
            Unit(SCRIPT, "active", "running", main_pid=814),
        ),
        (says(0, " * status: started\n"), True, Unit(SCRIPT, "active", "running")),
        (STOPPED, False, Unit(SCRIPT, "inactive", "dead")),
        (
            says(1, "ipsec: pluto dead but pid file exits\n", "whack: Pluto is not running\n"),
            False,
            Unit(SCRIPT, "failed", "dead", result="ipsec: pluto dead but pid file exits"),
        ),
        (
            says(1, "IPsec stopped\nbut...\nAn orphaned Pluto is active?\n"),
            False,
            Unit(SCRIPT, "failed", "dead", result="An orphaned Pluto is active?"),
        ),
        (
            says(2, "ipsec: pluto dead but subsys locked\n"),
            False,
            Unit(SCRIPT, "failed", "dead", result="ipsec: pluto dead but subsys locked"),
        ),
        (says(32, " * status: crashed\n"), True, Unit(SCRIPT, "failed", "dead", result="* status: crashed")),
        (says(8, " * status: starting\n"), True, Unit(SCRIPT, "activating", "start-stop-daemon")),
        (says(4, " * status: stopping\n"), True, Unit(SCRIPT, "deactivating", "start-stop-daemon")),
        (says(4, "permission denied\n"), False, Unit(SCRIPT, "unknown", "status 4", result="permission denied")),
        (says(5), False, Unit(SCRIPT, "unknown", "status 5", result="exit status 5")),
        (says(None), False, Unit(SCRIPT, "unknown", "no answer", result="no end in time")),
    ],
)
def test_status_is_read(done: Completed, openrc: bool, unit: Unit) -> None:
    assert parse_status(SCRIPT, done, openrc) == unit


@pytest.mark.parametrize(
    ("paths", "found"),
    [
        ((), None),
        (("etc/init.d/ipsec",), "/etc/init.d/ipsec"),
        (("etc/rc.d/init.d/ipsec",), "/etc/rc.d/init.d/ipsec"),
        (("etc/rc.d/init.d/ipsec", "etc/init.d/ipsec"), "/etc/init.d/ipsec"),
        (("etc/init.d/ipsec", "run/systemd/system/ipsec.service.d"), None),
    ],
)
def test_a_script_is_chosen_only_without_systemd(paths: tuple[str, ...], found: str | None, tmp_path: Path) -> None:
    for name in paths:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o755)
    assert find_script(str(tmp_path)) == found


def test_a_script_that_cannot_be_executed_is_none(tmp_path: Path) -> None:
    (tmp_path / "etc/init.d").mkdir(parents=True)
    (tmp_path / "etc/init.d/ipsec").touch(mode=0o644)
    assert find_script(str(tmp_path)) is None


@pytest.mark.parametrize(
    ("argv", "does"),
    [
        (("/bin/sh", "/usr/libexec/ipsec/_plutorun", "--config", "x"), True),
        (("/bin/bash", "-e", "/usr/lib/ipsec/_plutorun"), True),
        (("vi", "/usr/libexec/ipsec/_plutorun"), False),
        (("grep", "_plutorun", "/var/log/messages"), False),
        (("/bin/sh", "-c", "x", "_plutorun"), False),
        (("sh",), False),
        ((), False),
    ],
)
def test_only_a_shell_that_runs_plutorun_is_a_restarter(argv: tuple[str, ...], does: bool) -> None:
    assert runs_plutorun(argv) is does


def test_restarters_are_those_of_our_namespaces_with_what_they_wait_for(machine: Machine) -> None:
    machine.process(20, "/bin/sh", "/usr/libexec/ipsec/_plutorun")
    machine.process(21, "sleep", "10", parent=20)
    machine.process(22, "sleep", "10", parent=1)
    machine.process(23, "/usr/libexec/ipsec/pluto", parent=20)
    machine.process(30, "/bin/sh", "/usr/libexec/ipsec/_plutorun", foreign=True)
    machine.process(31, "sleep", "10", parent=30)
    machine.process(40)
    assert find_restarters(f"{machine.root}/proc") == (Restarter(20, (21,)),)


def test_a_restarter_is_ended_with_its_sleep(tmp_path: Path) -> None:
    """For real; a folder of links stands for a procfs that shows nobody but ours."""
    script = tmp_path / "_plutorun"
    script.write_text(f"sleep 600; touch {tmp_path}/reborn\n")
    loop = subprocess.Popen(["/bin/sh", str(script)])
    bystander = subprocess.Popen(["sleep", "600"])
    try:
        children = Path(f"/proc/{loop.pid}/task/{loop.pid}/children")
        while not (child := children.read_text().strip()) or Path(f"/proc/{child}/cmdline").read_text()[:5] != "sleep":
            time.sleep(0.01)
        proc = tmp_path / "proc"
        proc.mkdir()
        for name in ("self", str(loop.pid), child, str(bystander.pid)):
            (proc / name).symlink_to(f"/proc/{name}")
        assert find_restarters(str(proc)) == (Restarter(loop.pid, (int(child),)),)
        end_restarters(str(proc))
        loop.wait(10)
        assert find_restarters(str(proc)) == ()
        assert not Path(f"/proc/{child}/exe").exists()
        assert bystander.poll() is None
        assert not (tmp_path / "reborn").exists()
    finally:
        for process in (loop, bystander):
            process.kill()
            process.wait()


@pytest.mark.parametrize(
    ("exe", "yes"),
    [("/usr/libexec/ipsec/pluto", True), ("/usr/libexec/ipsec/pluto (deleted)", True), ("/usr/bin/pluto2", False)],
)
def test_a_pluto_is_known_by_its_program(exe: str, yes: bool, machine: Machine) -> None:
    machine.process(814, "pluto", exe=exe)
    assert is_pluto(814, f"{machine.root}/proc") is yes
    assert is_pluto(815, f"{machine.root}/proc") is False


def test_a_pid_of_another_program_is_not_a_running_pluto_and_never_stopped(machine: Machine) -> None:
    machine.process(814, "sleep", exe="/bin/sleep")
    machine.statuses = [RUNNING]
    unit = machine.launcher.unit()
    assert (unit.active, unit.main_pid, unit.result) == ("failed", None, "pid 814 is not a pluto")
    assert machine.launcher.stop(60) is True
    assert machine.asked == [], "the script would have killed it"


def test_what_will_be_started_again_is_activating(machine: Machine) -> None:
    machine.statuses = [says(1, "ipsec: pluto dead but pid file exits\n")]
    machine.process(20, "/bin/sh", "/usr/libexec/ipsec/_plutorun")
    assert (machine.launcher.unit().active, machine.launcher.unit().sub) == ("activating", "start")
    machine.process(21, "sleep", "10", parent=20)
    assert (machine.launcher.unit().active, machine.launcher.unit().sub) == ("activating", "auto-restart")


def test_a_start_waits_until_the_script_says_so(machine: Machine) -> None:
    machine.process(814, "pluto", exe="/usr/libexec/ipsec/pluto")
    machine.statuses = [STOPPED, STOPPED, RUNNING]
    machine.launcher.start(60)
    assert machine.asked == ["start"]
    assert machine.time > 0


@pytest.mark.parametrize(
    ("end", "message"),
    [
        ((1, "Starting pluto IKE daemon for IPsec: \nno certutil\n\n"), "start` failed: no certutil"),
        ((6, ""), "start` failed: exit status 6"),
        ((None, ""), "did not end in 60 s"),
        # Openswan's statuses are lost
        ((0, "OOPS\n"), "status is still inactive; it said: OOPS"),
    ],
)
def test_a_start_that_fails_ends_with_the_reason(end: tuple[int | None, str], message: str, machine: Machine) -> None:
    machine.statuses, machine.ends = [STOPPED], {"start": end}
    with pytest.raises(DaemonError, match=message):
        machine.launcher.start(60)
    assert machine.time <= 60


@pytest.mark.parametrize(("after", "stopped"), [(STOPPED, True), (says(2, "locked\n"), True), (RUNNING, False)])
@pytest.mark.parametrize("end", [0, 1, None])
def test_a_stop_is_judged_by_the_status_afterwards(
    after: Completed, stopped: bool, end: int | None, machine: Machine
) -> None:
    machine.process(814, "pluto", exe="/usr/libexec/ipsec/pluto")
    machine.statuses, machine.ends = [RUNNING, after], {"stop": (end, "")}
    assert machine.launcher.stop(60) is stopped
    assert machine.asked == ["stop"]


ENABLED = {
    "update-rc.d": ["update-rc.d ipsec defaults", "update-rc.d ipsec enable"],
    "chkconfig": ["chkconfig --add ipsec", "chkconfig ipsec on"],
    "insserv": ["insserv ipsec"],
    "rc-update": ["rc-update add ipsec default"],
}
DISABLED = {
    "update-rc.d": ["update-rc.d ipsec disable"],
    "chkconfig": ["chkconfig ipsec off"],
    "insserv": ["insserv --remove ipsec"],
    "rc-update": ["rc-update --all del ipsec"],
}


@pytest.mark.parametrize("tool", ENABLED)
def test_the_host_s_own_tool_enables_and_disables_and_twice_is_once(tool: str, machine: Machine) -> None:
    machine.program(tool)
    machine.statuses = [STOPPED]
    if tool == "rc-update":
        machine.script("#!/sbin/openrc-run")
    launcher = machine.launcher
    launcher.check_enable()
    for enabled, asked in ((True, ENABLED[tool]), (True, []), (False, DISABLED[tool]), (False, [])):
        machine.asked.clear()
        launcher.enable(enabled)
        assert machine.asked == asked
        assert launcher.unit().enabled is enabled


@pytest.mark.parametrize(
    ("first_line", "present", "named"),
    [
        ("#!/bin/sh", "rc-update", "update-rc.d, chkconfig, insserv"),
        ("#!/sbin/openrc-run", "update-rc.d", "rc-update"),
        ("#!/sbin/runscript", "chkconfig", "rc-update"),
    ],
)
def test_without_a_tool_those_that_would_do_are_named(
    first_line: str, present: str, named: str, machine: Machine
) -> None:
    machine.program(present)
    machine.script(first_line)
    for call in (machine.launcher.check_enable, lambda: machine.launcher.enable(True)):
        with pytest.raises(DependencyError, match=f"install one of: {named}$"):
            call()


def test_a_tool_that_does_nothing_is_told(machine: Machine) -> None:
    machine.program("chkconfig")
    machine.links, machine.ends = False, {"chkconfig": (0, "service ipsec does not support chkconfig\n")}
    with pytest.raises(ConfigError, match=r"chkconfig did not enable .*: service ipsec does not support chkconfig"):
        machine.launcher.enable(True)


def test_links_in_the_levels_of_a_halt_do_not_count(machine: Machine) -> None:
    machine.statuses = [STOPPED]
    for level, link in (("0", "S20ipsec"), ("6", "S20ipsec"), ("2", "K20ipsec"), ("2", "S20ipsec2")):
        (machine.root / f"etc/rc{level}.d").mkdir(exist_ok=True)
        (machine.root / f"etc/rc{level}.d" / link).touch()
    assert machine.launcher.unit().enabled is False


def test_a_script_that_is_gone_is_told_before_anything_is_done(machine: Machine) -> None:
    machine.launcher.check_start()
    (machine.root / "etc/init.d/ipsec").chmod(0o644)
    with pytest.raises(DependencyError, match="cannot be executed"):
        machine.launcher.check_start()
