# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Running programs: never through a shell, always drained, always with a time limit."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import typing as t

from ._errors import DependencyError

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclasses.dataclass(frozen=True)
class Completed:
    """A finished command; a status of None means that it was ended because its time was over."""

    argv: tuple[str, ...]
    status: int | None
    out: str
    err: str

    @property
    def reason(self) -> str:
        """The last line it printed on stderr, else on stdout, else its status: the core of an error message."""
        if self.status is None:
            return "no end in time"
        lines = (self.err.strip() or self.out.strip()).splitlines()
        return lines[-1].strip() if lines else f"exit status {self.status}"


class Commands(t.Protocol):
    """What the other ports need in order to run programs."""

    def run(self, *argv: str, timeout: float) -> Completed:
        """Run a program; DependencyError when it is not installed."""


class LocalCommands:
    """Programs of this host, in the C locale, with the administrator's PATH."""

    def run(self, *argv: str, timeout: float) -> Completed:
        """Run `argv` with empty stdin; after `timeout` seconds its whole process group is killed."""
        env = {**os.environ, "PATH": PATH, "LC_ALL": "C", "SYSTEMD_COLORS": "0"}
        try:
            # / as working directory: SELinux denies pluto and its tools others
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd="/",
                env=env,
                start_new_session=True,
                text=True,
                errors="replace",
            )
        except FileNotFoundError as exc:
            raise DependencyError(f"the command {argv[0]} is not installed on this host") from exc
        with process:
            try:
                out, err = process.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                out, err = process.communicate()
                return Completed(argv, None, out, err)
        return Completed(argv, process.returncode, out, err)
