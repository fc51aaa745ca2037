# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The system log, and the lock between runs of this collection on one host."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import syslog
import typing as t

from ._clock import wait_until
from ._errors import DaemonError

if t.TYPE_CHECKING:
    from ._ports import Clock

LOCK = "/run/xswan-ipsec.lock"

FACILITIES = (
    *("kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp"),
    *("", "", "", ""),
    *(f"local{number}" for number in range(8)),
)
"""By their numbers; RFC 5424 section 6.2.1, the names of syslog.h."""
LEVELS = {
    name: number
    for number, names in enumerate(
        ("emerg panic", "alert", "crit", "err error", "warning warn", "notice", "info", "debug")
    )
    for name in names.split()
}
PRIORITY = syslog.LOG_DAEMON | syslog.LOG_ERR
"""daemon.error, the default of `syslog=`: ipsec.conf(5) of Openswan and of Libreswan up to 5.2."""


class SystemLog:
    """See the port `Journal`. The tag is that of Openswan's `ipsec setup`."""

    def __init__(self, priority: t.Callable[[], str | None] = lambda: None) -> None:
        """`priority` gives the value of `syslog=`, and is asked once, before the first line."""
        self._asked = priority

    @functools.cached_property
    def _priority(self) -> int:
        said = parse_priority(self._asked() or "")
        return PRIORITY if said is None else said

    def write(self, line: str) -> None:
        """See Journal.write."""
        syslog.openlog("ipsec_setup")
        # of one line, and without what syslog(3) or the terminal of who reads it could not take
        syslog.syslog(self._priority, "".join(char if char.isprintable() else "?" for char in line))
        syslog.closelog()


def parse_priority(text: str) -> int | None:
    """`facility.level` in the words of logger(1); None when it says nothing that the system log knows."""
    facility, _dot, level = text.strip().lower().partition(".")
    if not facility or facility not in FACILITIES or level not in LEVELS:
        return None
    return FACILITIES.index(facility) << 3 | LEVELS[level]


class LockFile:
    """See the port `Guard`: flock(2), which the kernel releases with the process, however that ends."""

    def __init__(self, clock: Clock, path: str = LOCK) -> None:
        self._clock = clock
        self._path = path

    @contextlib.contextmanager
    def exclusive(self, timeout: float) -> t.Iterator[None]:
        """See Guard.exclusive."""
        try:
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as exc:
            raise DaemonError(
                f"cannot open the lock {self._path}: {exc.strerror}; make /run writable", errno=exc.errno
            ) from exc
        try:
            began = self._clock.now()
            if wait_until(lambda: self._taken(fd), timeout, self._clock):
                raise DaemonError(
                    f"another run of ipsec_setup has held {self._path} for {timeout:g} s; "
                    "wait for it, or find it with `fuser -v` and look why it hangs"
                )
            self._clock.waited(began, "another run on this host to end")
            yield
        finally:
            os.close(fd)

    def _taken(self, fd: int) -> str | None:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return "taken"
        return None
