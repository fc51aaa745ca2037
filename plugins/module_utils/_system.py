# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The system log, and the lock between runs of this collection on one host."""

from __future__ import annotations

import contextlib
import fcntl
import os
import syslog
import typing as t

from ._clock import SystemClock, wait_until
from ._errors import DaemonError

LOCK = "/run/xswan-ipsec.lock"


class SystemLog:
    """See the port `Journal`. Tag and priority are those of Openswan's `ipsec setup`."""

    def write(self, line: str) -> None:
        """See Journal.write."""
        syslog.openlog("ipsec_setup", 0, syslog.LOG_DAEMON)
        syslog.syslog(syslog.LOG_ERR, line)
        syslog.closelog()


class LockFile:
    """See the port `Guard`: flock(2), which the kernel releases with the process, however that ends."""

    def __init__(self, path: str = LOCK) -> None:
        self._path = path

    @contextlib.contextmanager
    def exclusive(self, timeout: float) -> t.Iterator[None]:
        """See Guard.exclusive."""
        try:
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            raise DaemonError(
                f"cannot open the lock {self._path}: {exc.strerror}; make /run writable", errno=exc.errno
            ) from exc
        try:
            if wait_until(lambda: self._taken(fd), timeout, SystemClock()):
                raise DaemonError(
                    f"another run of ipsec_setup has held {self._path} for {timeout:g} s; "
                    "wait for it, or find it with `fuser -v` and look why it hangs"
                )
            yield
        finally:
            os.close(fd)

    def _taken(self, fd: int) -> str | None:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return "taken"
        return None
