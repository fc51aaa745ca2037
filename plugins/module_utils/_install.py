# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files of a configuration on this host: read, and replaced as one."""

from __future__ import annotations

import datetime
import errno
import glob
import os
import stat
import typing as t

from ._candidate import BACKUP
from ._errors import ConfigError, DaemonError, DependencyError
from ._ipsec_conf import LONGEST_PATH, matches_name

if t.TYPE_CHECKING:
    from ._candidate import File
    from ._ports import Commands

NEW, OLD = ".xswan-new", ".xswan-old"
"""What a name ends in while an installation is at work; no include of ipsec.conf or ipsec.secrets matches it."""
NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP)
SELINUX = "security.selinux"
"""The extended attribute that holds a file's context."""


class LocalFiles:
    """See the port `Files`."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands

    def read(self, path: str) -> str | None:
        """See Files.read."""
        try:
            with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
                return file.read()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except ValueError as exc:
            # a null character
            raise ConfigError(f"{path!r} is no path of a file; give another one") from exc
        except OSError as exc:
            raise ConfigError(
                f"cannot read {path}: {exc.strerror}; correct the path, or what is there", errno=exc.errno
            ) from exc

    def glob(self, pattern: str) -> tuple[str, ...]:
        """See Files.glob."""
        try:
            return tuple(path for path in found_by(pattern) if _is_file(path))
        except OSError as exc:
            raise ConfigError(
                f"cannot look for {pattern}: {exc.strerror}; make its folders readable for root", errno=exc.errno
            ) from exc

    def mode(self, path: str) -> int | None:
        """See Files.mode."""
        try:
            found = os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        if (found.st_uid, found.st_gid) != (0, 0):
            return -1
        return stat.S_IMODE(found.st_mode)

    def real(self, path: str) -> str:
        """See Files.real."""
        if not path.startswith("/") or any(char < " " or char == "\x7f" for char in path):
            raise ConfigError(f"{path!r} is no path of a file; give an absolute one, without control characters")
        real = os.path.realpath(path)
        if os.path.lexists(real) and not os.path.isfile(real):
            raise ConfigError(f"{path} is no regular file, and is not touched; remove it or give another path")
        folder = os.path.dirname(real)
        while not os.path.isdir(folder):
            folder = os.path.dirname(folder)
        found = os.stat(folder)
        if found.st_uid != 0 or found.st_mode & stat.S_IWOTH or (found.st_mode & stat.S_IWGRP and found.st_gid != 0):
            raise ConfigError(
                f"{path}: others than root may write to {folder}, so the file would not be safe there; "
                f"`chown root:root {folder}; chmod go-w {folder}`, or give another path"
            )
        return real

    def install(self, files: tuple[File, ...], keep: int) -> tuple[str, ...]:
        """See Files.install."""
        started: list[File] = []
        try:
            for file in files:
                self._prepare(file)
            for file in files:
                started.append(file)
                self._replace(file)
            for folder in {os.path.dirname(file.path) for file in files}:
                _sync(folder)
        except OSError as exc:
            for file in reversed(started):
                self._put_back(file)
            for file in files:
                _unlink(file.path + NEW)
            where = exc.filename if isinstance(exc.filename, str) else "a file"
            raise DaemonError(
                f"cannot install the configuration: {where}: {exc.strerror}; every file is as it was", errno=exc.errno
            ) from exc
        backups: list[str] = []
        failed: OSError | None = None
        for file in files:
            try:
                backups += self._file_away(file, keep)
            except OSError as exc:
                failed = exc
        if failed is not None:
            left = [file.path + OLD for file in files if os.path.lexists(file.path + OLD)]
            error = DaemonError(
                f"{', '.join(file.path for file in files)}: installed, but the backups could not be put in order: "
                f"{failed.filename}: {failed.strerror}; look at {', '.join(left) or 'the backups'}, and remove "
                "what is not needed",
                errno=failed.errno,
                left=left,
            )
            error.changed = True
            raise error from failed
        return tuple(backups)

    def tidy(self, files: tuple[File, ...], keep: int) -> None:
        """See Files.tidy."""
        for file in files:
            _unlink(file.path + NEW)
            names = (file.path, file.path + OLD)
            if all(map(_there, names)) and os.path.samestat(*map(os.lstat, names)):
                # it was killed before the new one took the place
                os.unlink(file.path + OLD)
            for _backup in self._file_away(file, keep):
                pass

    def _prepare(self, file: File) -> None:
        """Write the new file beside the old one; what an installation that was killed left there is overwritten."""
        os.makedirs(os.path.dirname(file.path), mode=0o755, exist_ok=True)
        for name in (file.path + NEW, file.path + OLD):
            _unlink(name)
        if file.text is None:
            return
        new = file.path + NEW
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(fd, "wb") as out:
            out.write(file.text.encode("utf-8", "surrogateescape"))
            os.fchown(fd, 0, 0)
            os.fchmod(fd, file.mode)
            self._label(file.path, new)
            out.flush()
            os.fsync(fd)

    def _label(self, path: str, new: str) -> None:
        """Give a new file the SELinux context of the old one, or else the one that the policy has for the path."""
        context = _context(path)
        if context is not None:
            os.setxattr(new, SELINUX, context)
        elif _context(os.path.dirname(path)) is not None:
            try:
                done = self._commands.run("matchpathcon", "-n", path, timeout=20)
            except DependencyError:
                # no tools of SELinux: then there is no policy either, and the kernel's choice stands
                return
            if done.status == 0:
                os.setxattr(new, SELINUX, done.out.strip().encode())

    def _replace(self, file: File) -> None:
        if _there(file.path):
            os.link(file.path, file.path + OLD, follow_symlinks=False)
        if file.text is not None:
            os.replace(file.path + NEW, file.path)
        else:
            os.unlink(file.path)

    def _put_back(self, file: File) -> None:
        if os.path.lexists(file.path + OLD):
            os.replace(file.path + OLD, file.path)
            # where both are still the same file, rename(2) has done nothing
            _unlink(file.path + OLD)
        elif file.text is not None and not os.path.lexists(file.path + NEW):
            _unlink(file.path)

    def _file_away(self, file: File, keep: int) -> t.Iterator[str]:
        """Make the old file a backup, and remove the oldest backups."""
        if not _there(file.path + OLD):
            return
        if keep:
            now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%S.%fZ")
            backup = f"{file.path}.{now}{BACKUP}"
            if file.secret:
                # whatever mode the file itself is to have
                os.chmod(file.path + OLD, 0o600)
            os.replace(file.path + OLD, backup)
            yield backup
        else:
            os.unlink(file.path + OLD)
        for old in found_by(file.backups)[:-keep] if keep else ():
            _unlink(old)


def found_by(pattern: str) -> list[str]:
    """The paths that a shell's pattern matches, sorted; unlike glob.glob() it tells by OSError what it cannot look at.

    Wildcards in the names of folders, too, but no `**`.
    """
    if len(pattern) > LONGEST_PATH or "\0" in pattern:
        return []
    found = ["/" if pattern.startswith("/") else ""]
    for part in filter(None, pattern.split("/")):
        if not glob.has_magic(part):
            found = [os.path.join(path, part) for path in found]
            continue
        found = [os.path.join(path, name) for path in found for name in _names(path or ".") if matches_name(name, part)]
    return sorted(path for path in found if _there(path))


def _is_file(path: str) -> bool:
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except OSError as exc:
        if exc.errno in NOT_THERE:
            return False
        raise


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError as exc:
        if exc.errno in NOT_THERE:
            return []
        raise


def _there(path: str) -> bool:
    """As os.path.lexists(), but what cannot be told is an OSError."""
    try:
        os.lstat(path)
    except OSError as exc:
        if exc.errno in NOT_THERE:
            return False
        raise
    return True


def _context(path: str) -> bytes | None:
    try:
        return os.getxattr(path, SELINUX)
    except OSError as exc:
        if exc.errno in (errno.ENODATA, errno.ENOTSUP, errno.ENOENT):
            return None
        raise


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return


def _sync(folder: str) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
