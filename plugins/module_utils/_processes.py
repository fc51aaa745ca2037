# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The process table of our own pid and network namespace.

Identity is (pid, time from boot to start), never the pid alone: pids are reused.
"""

from __future__ import annotations

import functools
import itertools
import os
import typing as t

from ._errors import DependencyError, understood
from ._model import Process

DELETED = " (deleted)"
"""What the kernel writes after the path of a program that was replaced on disk: proc(5), /proc/PID/exe."""


def find_program(name: str) -> tuple[Process, ...]:
    """Every living process of this program, oldest first.

    Not those that it has forked: such a child is about to become another program, or does a task for its parent.
    """
    found = []
    candidates = dict(running(name))
    for pid, upgraded in candidates.items():
        since = since_boot(pid)
        if since is not None and (len(candidates) == 1 or parent(pid) not in candidates):
            found.append(Process(pid, _boot_time() + since, upgraded, since))
    return tuple(sorted(found, key=lambda process: (process.since_boot, process.pid)))


def parent(pid: int, proc: str = "/proc") -> int | None:
    """Pid of the process that started this one, or has taken it over; None when it has ended.

    Field 4 of /proc/PID/stat: proc(5). `proc` is where procfs is mounted.
    """
    fields = _stat(str(pid), proc)
    with understood(f"/proc/{pid}/stat"):
        return None if fields is None else int(fields[2])


def running(name: str) -> t.Iterator[tuple[int, bool]]:
    """Pid and whether the binary was replaced, of every process of this program in our own namespaces.

    The link /proc/PID/exe decides: a name can be anything. Zombies and kernel threads have none.
    """
    for pid in filter(str.isdigit, os.listdir("/proc")):
        exe = runs(pid, name)
        if exe is not None:
            yield int(pid), exe.endswith(DELETED)


def runs(pid: str, name: str) -> str | None:
    """The path of the program that a process runs, if it is the one of this name, and in our own namespaces."""
    try:
        exe = os.readlink(f"/proc/{pid}/exe")
        ours = os.path.basename(exe.removesuffix(DELETED)) == name and _namespaces(pid) == _namespaces("self")
    except (FileNotFoundError, ProcessLookupError):
        return None  # it ended while we looked, or is a kernel thread or a zombie
    except PermissionError as exc:
        if name_of(pid) != name:
            return None
        raise DependencyError(
            f"no right to look at process {pid} ({name}), not even as root; give this container CAP_SYS_PTRACE"
        ) from exc
    return exe if ours else None


def name_of(pid: str) -> str | None:
    """The name a process gives itself; None when it ended."""
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except (FileNotFoundError, ProcessLookupError):
        return None


def _namespaces(pid: str) -> list[tuple[int, int]]:
    found = [os.stat(f"/proc/{pid}/ns/{kind}") for kind in ("net", "pid")]
    return [(namespace.st_dev, namespace.st_ino) for namespace in found]


def since_boot(pid: int, proc: str = "/proc") -> float | None:
    """When the process was started, in seconds since the host's boot; None when there is no such living process.

    Field 22 of /proc/PID/stat, in ticks; and field 3, the state: proc(5). Read here, as the import of psutil
    alone costs 25 ms. `proc` is where procfs is mounted.
    """
    fields = _stat(str(pid), proc)
    with understood(f"/proc/{pid}/stat"):
        if fields is None or fields[1] in ("Z", "X"):
            return None
        return int(fields[20]) / os.sysconf("SC_CLK_TCK")


def stopped(pid: int | None) -> bool:
    """Whether a signal has stopped it (SIGSTOP), or a debugger: field 3 of /proc/PID/stat, proc(5)."""
    fields = _stat(str(pid))
    with understood(f"/proc/{pid}/stat"):
        return fields is not None and fields[1] in ("T", "t")


@functools.cache
def _boot_time() -> int:
    """Seconds since the epoch. Once a run: it moves when the host's clock is set."""
    with open("/proc/stat", encoding="ascii") as table:
        return next(int(line.split()[1]) for line in table if line.startswith("btime "))


def _stat(pid: str, proc: str = "/proc") -> list[str] | None:
    """Name of a process, then the fields of /proc/PID/stat that follow it; None when it ended."""
    try:
        with open(f"{proc}/{pid}/stat", encoding="utf-8", errors="replace") as file:
            head, _paren, tail = file.read().rpartition(")")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # the name can hold blanks and parentheses
    return [head.partition("(")[2], *tail.split()]


def sockets(pid: int) -> t.Iterator[str]:
    """Inodes of the sockets that a process holds."""
    folder = f"/proc/{pid}/fd"
    try:
        for fd in os.listdir(folder):
            target = os.readlink(f"{folder}/{fd}")
            if target.startswith("socket:["):
                yield target[len("socket:[") : -1]
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return  # it ended, or closed one, while we looked; or is none of ours, seen from a container


def socket_owners(inodes: set[str]) -> dict[str, tuple[int, str]]:
    """Pid and name of the process that holds each of these sockets, as far as it can be seen.

    First it is looked whether they are pluto's: the descriptors of all processes are thousands.
    """
    found: dict[str, tuple[int, str]] = {}
    everybody = map(int, filter(str.isdigit, os.listdir("/proc")))
    for pid in itertools.chain((pid for pid, _upgraded in running("pluto")), everybody):
        if len(found) == len(inodes):
            break
        for inode in inodes & set(sockets(pid)) - set(found):
            found[inode] = (pid, name_of(str(pid)) or "")
    return found


def zombies() -> t.Iterator[tuple[int, str]]:
    """Pid and name of every zombie of our own pid namespace."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        fields = _stat(pid)
        if fields is not None and fields[1] == "Z":
            yield int(pid), fields[0]
