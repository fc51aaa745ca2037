# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The pluto of this host: its program, processes, files and control socket."""

from __future__ import annotations

import os
import typing as t

from ._errors import ConfigError, DaemonError, DependencyError
from ._model import Answer, Control, Lock, Process
from ._whack import parse_interfaces, parse_loaded, parse_traffic, parse_version

if t.TYPE_CHECKING:
    from ._commands import Commands, Completed
    from ._model import Program

CONFIG = "/etc/ipsec.conf"
RUNDIR = "/run/pluto"
"""Libreswan 3.22 and later; older ones use /var/run/pluto, which leads to the same place on every host with /run."""

ANSWER_TIMEOUT = 10.0
"""Seconds that pluto has for an answer. It has a single thread: while it loads connections, whack waits."""

DELETED = " (deleted)"
SO_ACCEPTCON = 0x10000
"""Flag of a listening socket in /proc/net/unix (linux/net.h)."""


class LocalPluto:
    """See the port `Pluto`."""

    def __init__(self, commands: Commands, *, rundir: str = RUNDIR, config: str = CONFIG) -> None:
        self._commands = commands
        self._lock = f"{rundir}/pluto.pid"
        self._control = f"{rundir}/pluto.ctl"
        self._config = config

    def program(self) -> Program | None:
        """See Pluto.program; DependencyError for a program of the same name that has no pluto."""
        try:
            done = self._ipsec("--version", timeout=ANSWER_TIMEOUT)
        except DependencyError:
            return None
        program = parse_version(done.out)
        if program is None or program.name == "strongSwan":
            what = f"{program.name} {program.version}" if program else (done.out.strip() or done.reason)
            raise DependencyError(
                f"the command `ipsec` of this host belongs to another program ({what}); "
                "remove it and install the package libreswan"
            )
        return program

    def check_config(self) -> None:
        """See Pluto.check_config."""
        if not os.path.exists(self._config):
            raise ConfigError(f"{self._config} does not exist; write it, for example with the role xswan.ipsec.ipsec")
        done = self._ipsec("addconn", "--checkconfig", "--config", self._config, timeout=60)
        if done.status != 0:
            raise ConfigError(f"{self._config} is not valid: {done.reason}; nothing was changed", output=done.err)

    def processes(self) -> tuple[Process, ...]:
        """See Pluto.processes."""
        found = []
        for pid, upgraded in _running("pluto"):
            started = _started(pid)
            if started is not None:
                found.append(Process(pid, started, upgraded))
        return tuple(sorted(found, key=lambda process: (process.started, process.pid)))

    def loading(self) -> bool:
        """See Pluto.loading."""
        return any(True for _found in _running("addconn"))

    def lock(self) -> Lock:
        """See Pluto.lock."""
        try:
            with open(self._lock, "rb") as file:
                content = file.read(64)
        except FileNotFoundError:
            return Lock(self._lock)
        if not content.strip().isdigit():
            return Lock(self._lock, "damaged")
        pid = int(content)
        if any(pid == found for found, _upgraded in _running("pluto")):
            return Lock(self._lock, "pluto", pid)
        return Lock(self._lock, "reused" if _started(pid) is not None else "dead", pid)

    def control(self) -> Control:
        """See Pluto.control."""
        with open("/proc/net/unix", encoding="utf-8", errors="replace") as table:
            inodes = listening_inodes(table.read(), os.path.realpath(self._control))
        pids = tuple(pid for pid, _upgraded in _running("pluto") if inodes & set(_sockets(pid)))
        if not os.path.exists(self._control):
            return Control(self._control)
        return Control(self._control, "listening" if pids else "stale", pids)

    def ask(self) -> Answer | None:
        """See Pluto.ask."""
        status = self._ipsec("whack", "--status", timeout=ANSWER_TIMEOUT)
        traffic = self._ipsec("whack", "--trafficstatus", timeout=ANSWER_TIMEOUT)
        if status.status != 0 or traffic.status != 0:
            return None
        return Answer(
            interfaces=parse_interfaces(status.out),
            loaded=parse_loaded(status.out),
            child_sas=parse_traffic(traffic.out),
        )

    def shutdown(self, timeout: float) -> None:
        """See Pluto.shutdown."""
        before = self.processes()
        done = self._ipsec("whack", "--shutdown", timeout=timeout)
        left = [process.pid for process in self.processes() if process in before]
        if left:
            raise DaemonError(
                f"pluto (pid {left[0]}) did not end in {timeout:g} s: {done.reason}; "
                "look at its log, or give it more time with stop_timeout",
                timeout=timeout,
            )

    def remove_leftovers(self) -> None:
        """See Pluto.remove_leftovers."""
        if self.processes():
            raise DaemonError("a pluto was started meanwhile; its files stay. Run the task again")
        for path in (self._lock, self._control):
            try:
                os.unlink(path)
            except FileNotFoundError:
                pass
            except OSError as exc:
                raise DaemonError(f"cannot remove {path}: {exc.strerror}", errno=exc.errno) from exc

    def _ipsec(self, *argv: str, timeout: float) -> Completed:
        return self._commands.run("ipsec", *argv, timeout=timeout)


def listening_inodes(proc_net_unix: str, path: str) -> set[str]:
    """Inodes of the sockets that listen at `path`, from the text of /proc/net/unix.

    The table names a socket as it was bound, so /var/run/pluto/pluto.ctl also stands for /run/pluto/pluto.ctl.
    """
    found = set()
    for line in proc_net_unix.splitlines()[1:]:
        row = line.split(maxsplit=7)
        if len(row) == 8 and int(row[3], 16) & SO_ACCEPTCON and row[7] in (path, f"/var{path}"):
            found.add(row[6])
    return found


def _running(name: str) -> t.Iterator[tuple[int, bool]]:
    """Pid and whether the binary was replaced, of every process of this program in our own namespaces.

    The link /proc/PID/exe decides: a name can be anything. Zombies and kernel threads have none.
    """
    own = _namespaces("self")
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            exe = os.readlink(f"/proc/{pid}/exe")
            if os.path.basename(exe.removesuffix(DELETED)) == name and _namespaces(pid) == own:
                yield int(pid), exe.endswith(DELETED)
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while we looked, or is a kernel thread or a zombie
        except PermissionError as exc:
            if _comm(pid) == name:
                raise DependencyError(
                    f"no right to look at process {pid} ({name}), not even as root; give this container CAP_SYS_PTRACE"
                ) from exc


def _comm(pid: str) -> str | None:
    """The name a process gives itself; None when it ended."""
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except (FileNotFoundError, ProcessLookupError):
        return None


def _namespaces(pid: str) -> list[tuple[int, int]]:
    found = [os.stat(f"/proc/{pid}/ns/{kind}") for kind in ("net", "pid")]
    return [(namespace.st_dev, namespace.st_ino) for namespace in found]


def _started(pid: int) -> float | None:
    """When the process was started, in seconds since the epoch; None when there is no such living process."""
    # not at the top: the import costs 25 ms, and a stopped gateway does not need it
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else float(process.create_time())
    except psutil.NoSuchProcess:
        return None


def _sockets(pid: int) -> t.Iterator[str]:
    """Inodes of the sockets that a process holds."""
    folder = f"/proc/{pid}/fd"
    try:
        for fd in os.listdir(folder):
            target = os.readlink(f"{folder}/{fd}")
            if target.startswith("socket:["):
                yield target[len("socket:[") : -1]
    except (FileNotFoundError, ProcessLookupError):
        return  # it ended, or closed one, while we looked
