# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding and ending the processes of a lab: by what they are, never by a number that was written down."""

from __future__ import annotations

import collections.abc as c
import os
import signal
from pathlib import Path

from .tools import wait_until

Match = c.Callable[[int], bool]

# A process that is gone, or one that even root may not look at (in a container, that of its keeper): none of a lab's.
_NOT_OURS = (FileNotFoundError, ProcessLookupError, PermissionError)


def find(match: Match) -> list[int]:
    """The ids of the processes for which `match` is true; processes that vanish meanwhile do not match."""
    return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if pid != os.getpid() and match(pid)]


def end(match: Match, what: str) -> None:
    """SIGKILL every process for which `match` is true and wait until there is none.

    The process is pinned by a descriptor before it is looked at again, so a reused id can never be hit.
    """

    def none_left() -> bool:
        found = find(match)
        for pid in found:
            try:
                pinned = os.pidfd_open(pid)
            except ProcessLookupError:
                continue
            try:
                if match(pid):
                    signal.pidfd_send_signal(pinned, signal.SIGKILL)
            except ProcessLookupError:
                continue
            finally:
                os.close(pinned)
        return not found

    wait_until(none_left, 20, f"ending {what}", every=0.05)


def program(pid: int) -> str | None:
    """The file name of the program a process runs; None for a process that is gone, a zombie or a kernel thread."""
    try:
        target = os.readlink(f"/proc/{pid}/exe")
    except _NOT_OURS:
        return None
    # The kernel marks a program whose file was replaced, as a package upgrade does.
    return Path(target.removesuffix(" (deleted)")).name


def arguments(pid: int) -> list[str]:
    """The argument list of a process; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").decode(errors="replace").split("\0")
    except _NOT_OURS:
        return []


def in_namespace(name: str) -> Match:
    """Match the processes in the network namespace of that name."""
    try:
        there = os.stat(f"/run/netns/{name}")
    except FileNotFoundError:
        return lambda pid: False

    def match(pid: int) -> bool:
        try:
            here = os.stat(f"/proc/{pid}/ns/net")
        except _NOT_OURS:
            return False
        return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)

    return match
