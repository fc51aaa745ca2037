# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a pluto and its scripts leave in the run directory, and the resolv.conf that they keep there."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import typing as t

from ._errors import DaemonError, DependencyError
from ._pluto import there

if t.TYPE_CHECKING:
    import io

    from ._model import Process

SUBSYSTEM_LOCK = "/var/lock/subsys/ipsec"
"""Of sysvinit scripts."""
SETUP_FILES = ("ipsec_setup.pid", "ipsec.info")
"""In the run directory while IPsec is up: Openswan 2.6."""
RESOLV_BACKUPS = ("libreswan-resolv-conf-backup", "openswan-resolv-conf-backup")
"""In the run directory: /etc/resolv.conf as it was before a peer's name servers were written there (_updown)."""
RESOLV_MARKS = ("Libreswan", "Openswan")


class RunFiles:
    """The files of a run directory, by their paths."""

    def __init__(self, rundir: str, resolv_conf: str) -> None:
        self._rundir = rundir
        self._resolv_conf = resolv_conf
        self._lock = f"{rundir}/pluto.pid"
        self._control = f"{rundir}/pluto.ctl"
        self._resolv_backups = tuple(f"{rundir}/{name}" for name in RESOLV_BACKUPS)
        self._old_locks = (*(f"{rundir}/{name}" for name in SETUP_FILES), SUBSYSTEM_LOCK)

    def check(self, *, room: bool) -> None:
        """See Pluto.check_rundir. Of a folder that is missing, the one that it is to be made in is looked at."""
        path = self._rundir
        while not os.path.lexists(path):
            path = os.path.dirname(path)
        if not os.path.isdir(path):
            raise DependencyError(f"the run directory {path} is not a directory; remove what is there")
        if not os.access(path, os.W_OK | os.X_OK):
            raise DependencyError(
                f"the run directory {path} is read-only; remount its file system read-write, and look why it is not"
            )
        space = os.statvfs(path)
        # a file system that counts nothing has 0 of everything
        if room and ((space.f_blocks and not space.f_bfree) or (space.f_files and not space.f_ffree)):
            raise DependencyError(f"the file system of the run directory {path} is full; remove something from it")

    def old_locks(self) -> tuple[str, ...]:
        """See Pluto.old_locks."""
        return tuple(path for path in (*self._old_locks, *self._resolv_backups) if there(path))

    def write_lock(self, process: Process) -> None:
        """See Pluto.write_lock. Content and mode are pluto's own: the pid and a line feed, 0444."""
        new = f"{self._lock}.new"
        try:
            _unlink(new)
            with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444), "wb") as file:
                file.write(f"{process.pid}\n".encode())
                os.fchmod(file.fileno(), 0o444)
            os.replace(new, self._lock)
        except OSError as exc:
            with contextlib.suppress(OSError):
                # of two errors the first is told; what is left of this file the next run removes
                _unlink(new)
            raise DaemonError(
                f"cannot write {self._lock}: {exc.strerror}; make its folder writable, with room in it", errno=exc.errno
            ) from exc

    def remove(self) -> None:
        """Put resolv.conf back, then remove them all, the locks, by which others know of a pluto, last."""
        for path in self._resolv_backups:
            self._restore_resolv_conf(path)
        for path in (self._control, self._lock, f"{self._lock}.new", *self._old_locks, *self._resolv_backups):
            try:
                _unlink(path)
            except OSError as exc:
                raise DaemonError(f"cannot remove {path}: {exc.strerror}; remove it by hand", errno=exc.errno) from exc

    def _restore_resolv_conf(self, backup: str) -> None:
        """Put the name servers of before back, unless somebody has written others since.

        What is no file of root's was not made by pluto: it would come into a file that everybody reads.
        """
        try:
            try:
                fd = os.open(backup, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
            except OSError as exc:
                if exc.errno in (errno.ENOENT, errno.ELOOP, errno.ENXIO):
                    return
                raise
            with open(fd, "rb") as file:
                found = os.fstat(fd)
                text = file.read() if stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() else None
            # written in place, for in a container the file is a mount; and cut last, so that it is never empty
            with open(self._resolv_conf, "r+b", buffering=0) as current:
                old = current.read()
                if text is not None and any(mark.encode() in old for mark in RESOLV_MARKS):
                    _overwrite(current, old, text)
        except OSError as exc:
            raise DaemonError(
                f"cannot put {self._resolv_conf} back from {backup}: {exc.strerror}; copy it by hand", errno=exc.errno
            ) from exc


def _overwrite(file: io.FileIO, old: bytes, new: bytes) -> None:
    """Give an open file, which holds `old`, another content, or leave it as it was."""
    try:
        file.seek(0)
        if file.write(new) != len(new):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if len(new) < len(old):
            file.truncate()
    except OSError:
        file.seek(0)
        file.write(old)
        file.truncate()
        raise


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
