# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How processes are ended: by psutil, which compares pid and start time before it sends a signal."""

from __future__ import annotations

import typing as t

from ._errors import require_version
from ._processes import since_boot

if t.TYPE_CHECKING:
    import psutil

    from ._model import Process

PSUTIL = (5, 8)
"""Debian 11 has it; the oldest that this collection was tried with."""


def handles(found: t.Iterable[Process]) -> list[psutil.Process]:
    """The means to signal these processes, of those that still are the ones that were found.

    Who has them has a psutil that is new enough, which the functions below need too.
    """
    import psutil

    require_version("psutil", psutil.__version__, PSUTIL)
    result = []
    for process in found:
        try:
            # the handle first: what psutil signals is what it has seen by then
            handle = psutil.Process(process.pid)
            if since_boot(handle.pid) == process.since_boot:
                result.append(handle)
        except psutil.NoSuchProcess:
            continue
    return result


def wait_gone(left: list[psutil.Process], timeout: float) -> list[psutil.Process]:
    """Wait until all have ended, but no longer than `timeout` seconds; return those that have not."""
    import psutil

    return [process for process in psutil.wait_procs(left, timeout)[1] if since_boot(process.pid) is not None]


def end_processes(left: list[psutil.Process], timeout: float) -> list[psutil.Process]:
    """SIGTERM, then SIGKILL, with `timeout` seconds for each; return those that live on.

    psutil compares pid and start time before it sends a signal.
    """
    import psutil

    for order in (psutil.Process.terminate, psutil.Process.kill):
        for process in left:
            try:
                order(process)
            except psutil.NoSuchProcess:
                continue
        left = wait_gone(left, timeout) if left else []
    return left
