# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The launcher script: pluto is run by a sysvinit script of Openswan or Libreswan, or by an OpenRC service."""

from __future__ import annotations

import glob
import os
import re
import shutil
import tempfile
import typing as t

from ._clock import wait_until
from ._commands import ENVIRONMENT, last_line
from ._endings import end_processes, handles
from ._errors import ConfigError, DaemonError, DependencyError
from ._log import read_log
from ._model import Process, Unit
from ._pluto import CONFIG
from ._processes import DELETED, parent, since_boot

if t.TYPE_CHECKING:
    from ._commands import Completed
    from ._ports import Clock, Commands

SCRIPTS = ("/etc/init.d/ipsec", "/etc/rc.d/init.d/ipsec")
LINKS = ("etc/rc[2-5S].d/S??{name}", "etc/rc.d/rc[2-5].d/S??{name}", "etc/runlevels/*/{name}")
"""What starts a script at boot: sysvinit's links (Debian, Red Hat), OpenRC's runlevels. In levels 0, 1 and 6 a host
does not start services."""

QUERY_TIMEOUT = 10.0
"""Seconds for `status`. Those of Openswan and Libreswan ask pluto, which may hang."""
SETTLE = 15.0
"""Seconds after `start` until `status` must say so: scripts return before pluto has made its lock file."""
GRACE = 3.0
"""Seconds a restart loop has after SIGTERM."""

RUNNING, STOPPED = 0, 3
FAILED = (1, 2, 32)
"""Exit statuses of `status`: dead with a lock file, dead with a subsystem lock (LSB), crashed (OpenRC). Openswan's 1 is
also its answer to everything that is odd."""
OPENRC_ACTIVE = {4: "deactivating", 8: "activating", 16: "inactive"}

DETACHED = 'exec "$0" "$1" </dev/null >"$2" 2>&1'
"""A file takes the output: the pluto that a script leaves behind holds the script's, and a pipe would end with us."""

TOOLS = (
    ("update-rc.d", (("{name}", "defaults"), ("{name}", "enable")), (("{name}", "disable"),)),
    ("chkconfig", (("--add", "{name}"), ("{name}", "on")), (("{name}", "off"),)),
    ("insserv", (("{name}",),), (("--remove", "{name}"),)),
)
"""The programs that make and remove sysvinit's links, with the arguments to enable and to disable. Debian has insserv
too, but update-rc.d is the one to call there."""
OPENRC_TOOLS = (("rc-update", (("add", "{name}", "default"),), (("--all", "del", "{name}"),)),)

SHELLS = ("sh", "bash", "dash", "ash", "busybox", "ksh")


def find_script(root: str = "/") -> str | None:
    """The init script that runs IPsec on the host below `root`; None where there is none.

    Also None on a host that was booted with systemd: what a script starts there, systemd does not know.
    """
    if os.path.isdir(f"{root}/run/systemd/system"):
        return None
    return next((path for path in SCRIPTS if os.access(root + path, os.X_OK)), None)


class ScriptLauncher:
    """See the port `Launcher`."""

    name = "script"

    def __init__(
        self,
        commands: Commands,
        clock: Clock,
        path: str,
        *,
        config: str = CONFIG,
        root: str = "/",
        search: str = ENVIRONMENT["PATH"],
    ) -> None:
        self._commands = commands
        self._clock = clock
        self._path = path
        self._config = config
        self._root = root
        self._proc = f"{root}/proc"
        self._search = search

    def unit(self) -> Unit:
        """See Launcher.unit. What it starts again by itself is `activating`, sub `auto-restart`, as systemd has it."""
        return self._look(QUERY_TIMEOUT)

    def check_start(self) -> None:
        """See Launcher.check_start."""
        if not os.access(self._path, os.X_OK):
            raise DependencyError(
                f"{self._path} cannot be executed; install Libreswan with its init script, or set launcher to direct"
            )

    def check_enable(self) -> None:
        """See Launcher.check_enable."""
        self._tool()

    def start(self, timeout: float) -> None:
        """See Launcher.start. Exit statuses are half of the truth: Openswan's start always ends with 0."""
        deadline = self._clock.now() + timeout
        # no pluto runs now, so a loop that is there only waits to start one beside ours
        end_restarters(self._proc)
        status, said = self._run("start", timeout)
        if status is None:
            raise DaemonError(
                f"`{self._path} start` did not end in {timeout:g} s: {said}; "
                "read its log, or give it more time with since_bootout",
                log=list(self.log()),
            )
        if status != 0:
            raise DaemonError(f"`{self._path} start` failed: {said}; mend that and start again", log=list(self.log()))
        left = max(0.0, min(SETTLE, deadline - self._clock.now()))
        active = wait_until(lambda: self._other_than_active(QUERY_TIMEOUT), left, self._clock)
        if active:
            raise DaemonError(
                f"`{self._path} start` ended, but after {left:g} s more its status is still {active}; it said: {said}",
                log=list(self.log()),
            )

    def stop(self, timeout: float) -> bool:
        """See Launcher.stop.

        Only a pluto that the script knows is left to the script: with a lock file that names another process it would
        kill that. A script that takes too long is ended, with all it started.
        """
        brief = max(1.0, min(QUERY_TIMEOUT, timeout))
        end_restarters(self._proc)
        if self._other_than_active(brief) is None:
            self._run("stop", timeout)
            # one that had its pause behind it when we looked first
            end_restarters(self._proc)
        return self._look(brief).active in ("inactive", "failed")

    def enable(self, enabled: bool) -> None:
        """See Launcher.enable."""
        if self._enabled() == enabled:
            return
        tool, enable, disable = self._tool()
        said = ""
        for template in enable if enabled else disable:
            done = self._commands.run(tool, *(word.format(name=self._name) for word in template), timeout=QUERY_TIMEOUT)
            said = done.reason
            if done.status != 0:
                break
        if self._enabled() != enabled:
            raise ConfigError(
                f"{tool} did not {'enable' if enabled else 'disable'} {self._path}: {said}; do it by hand to see more"
            )

    def log(self, about: str = "") -> tuple[str, ...]:
        """See Launcher.log."""
        return read_log(self._commands, self._config, about)

    @property
    def _name(self) -> str:
        return os.path.basename(self._path)

    def _look(self, timeout: float) -> Unit:
        done = self._commands.run(self._path, "status", timeout=timeout)
        unit = parse_status(self._path, done, self._openrc())._replace(enabled=self._enabled())
        if unit.main_pid is not None and not is_pluto(unit.main_pid, self._proc):
            # scripts look only whether the pid in the lock file exists
            return unit._replace(
                active="failed", sub="dead", main_pid=None, result=f"pid {unit.main_pid} is not a pluto"
            )
        restarters = find_restarters(self._proc)
        if restarters and unit.active != "active":
            waits = any(restarter.sleeps for restarter in restarters)
            return unit._replace(active="activating", sub="auto-restart" if waits else "start")
        return unit

    def _other_than_active(self, timeout: float) -> str | None:
        """None when it is active; else what it is."""
        active = self._look(timeout).active
        return None if active == "active" else active

    def _enabled(self) -> bool:
        return any(glob.glob(os.path.join(self._root, links.format(name=self._name))) for links in LINKS)

    def _openrc(self) -> bool:
        """Whether the script is run by openrc-run (older: runscript), and is no script of sysvinit."""
        with open(self._path, encoding="utf-8", errors="replace") as file:
            return os.path.basename(file.readline().strip()) in ("openrc-run", "runscript")

    def _tool(self) -> tuple[str, tuple[tuple[str, ...], ...], tuple[tuple[str, ...], ...]]:
        tools = OPENRC_TOOLS if self._openrc() else TOOLS
        for tool in tools:
            if shutil.which(tool[0], path=self._search):
                return tool
        raise DependencyError(
            f"nothing on this host can enable or disable {self._path}; install one of: "
            f"{', '.join(tool[0] for tool in tools)}"
        )

    def _run(self, verb: str, timeout: float) -> tuple[int | None, str]:
        """The exit status and the last line that the script printed."""
        with tempfile.NamedTemporaryFile(prefix="ipsec-") as output:
            done = self._commands.run("sh", "-c", DETACHED, self._path, verb, output.name, timeout=timeout)
            text = output.read().decode(errors="replace")
        return done.status, last_line(text) or done.reason


def parse_status(path: str, done: Completed, openrc: bool) -> Unit:
    """What `status` said. LSB's exit statuses, or OpenRC's; anything else, or no end in time, is `unknown`."""
    # "pluto pid 814" (Openswan), "pluto (pid 814) is running..." (Libreswan)
    named = re.search(r"pid:? +([0-9]{1,9})\b", done.out)
    pid = int(named[1]) if named else None
    if done.status == RUNNING or (done.status is None and pid is not None):
        return Unit(path, "active", "running", main_pid=pid)
    if done.status == STOPPED:
        return Unit(path, "inactive", "dead")
    said = last_line(done.out) or done.reason
    if done.status in FAILED:
        return Unit(path, "failed", "dead", result=said)
    if openrc and done.status in OPENRC_ACTIVE:
        return Unit(path, OPENRC_ACTIVE[done.status], "start-stop-daemon")
    return Unit(path, "unknown", "no answer" if done.status is None else f"status {done.status}", result=said)


def is_pluto(pid: int, proc: str = "/proc") -> bool:
    """Whether this process runs pluto; its package may have been upgraded since."""
    try:
        exe = os.readlink(f"{proc}/{pid}/exe")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return os.path.basename(exe.removesuffix(DELETED)) == "pluto"


class Restarter(t.NamedTuple):
    """A shell that runs `_plutorun`: the loop of the sysvinit scripts that starts a pluto again 10 s after its end."""

    pid: int
    sleeps: tuple[int, ...]
    """Pids of the `sleep`s that it waits for."""


def find_restarters(proc: str = "/proc") -> tuple[Restarter, ...]:
    """Every restart loop of our own network and pid namespace; `proc` is where procfs is mounted."""
    sleeps: dict[int | None, list[int]] = {}  # by the pid of their parent, None of one that ended
    loops = []
    for pid in map(int, filter(str.isdigit, os.listdir(proc))):
        try:
            with open(f"{proc}/{pid}/cmdline", encoding="utf-8", errors="replace") as file:
                argv = file.read().split("\0")[:-1]
            if runs_plutorun(argv) and _ours(proc, pid):
                loops.append(pid)
            elif argv and os.path.basename(argv[0]) == "sleep":
                sleeps.setdefault(parent(pid, proc), []).append(pid)
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while we looked
        except PermissionError:
            continue  # what root may not look at, in a container, is not the container's
    return tuple(Restarter(pid, tuple(sorted(sleeps.get(pid, ())))) for pid in sorted(loops))


def runs_plutorun(argv: t.Sequence[str]) -> bool:
    """Whether a process of these arguments is a shell that runs the script `_plutorun` (and no editor of it)."""
    words = [word for word in argv[:3] if not word.startswith("-")]
    return len(words) > 1 and os.path.basename(words[0]) in SHELLS and os.path.basename(words[1]) == "_plutorun"


def end_restarters(proc: str = "/proc") -> None:
    """End every restart loop, and the `sleep` it waits for: SIGTERM, then SIGKILL.

    The loops first: one whose `sleep` ends goes on. Nothing else is hit where a pid is reused meanwhile, because psutil
    compares start times.
    """
    found = _pids(find_restarters(proc))
    if not found:
        return
    left = handles(Process(pid, since_boot=since) for pid in found for since in (since_boot(pid),) if since is not None)
    # a start time may have been read of a successor of the process that was found
    still = _pids(find_restarters(proc))
    end_processes([handle for handle in left if handle.pid in still], GRACE)


def _pids(restarters: tuple[Restarter, ...]) -> list[int]:
    return [r.pid for r in restarters] + [pid for r in restarters for pid in r.sleeps]


def _ours(proc: str, pid: int) -> bool:
    return all(os.path.samefile(f"{proc}/{pid}/ns/{kind}", f"{proc}/self/ns/{kind}") for kind in ("net", "pid"))
