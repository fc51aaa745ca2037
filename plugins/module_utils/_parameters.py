# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The kernel's parameters on this host."""

from __future__ import annotations

import os

from ._errors import ConfigError
from ._install import found_by

PROC_SYS = "/proc/sys"


class LocalParameters:
    """See the port `Parameters`."""

    def read(self, name: str) -> str | None:
        """See Parameters.read."""
        try:
            with open(self._path(name), encoding="ascii") as file:
                return " ".join(file.read().split())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as exc:
            raise ConfigError(
                f"cannot read {self._path(name)}: {exc.strerror}; leave that parameter out", errno=exc.errno
            ) from exc

    def write(self, name: str, value: str) -> None:
        """See Parameters.write."""
        try:
            with open(self._path(name), "w", encoding="ascii") as file:
                file.write(value + "\n")
        except OSError as exc:
            raise ConfigError(
                f"cannot write {value} to {self._path(name)}: {exc.strerror}; give a value that the kernel takes",
                errno=exc.errno,
            ) from exc

    def names(self, pattern: str) -> tuple[str, ...]:
        """See Parameters.names."""
        try:
            return tuple(os.path.relpath(path, PROC_SYS) for path in found_by(self._path(pattern)))
        except OSError as exc:
            raise ConfigError(
                f"cannot look for {self._path(pattern)}: {exc.strerror}; look whether /proc/sys is there, and readable",
                errno=exc.errno,
            ) from exc

    def _path(self, name: str) -> str:
        return os.path.join(PROC_SYS, name)
