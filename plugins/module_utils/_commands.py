# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running programs: never through a shell, always drained, always with a time limit."""

from __future__ import annotations

import typing as t

from ._errors import DaemonError, DependencyError
from ._secrecy import safe, safe_text

if t.TYPE_CHECKING:
    from ._ports import RunCommand

ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C",
    "SYSTEMD_COLORS": "0",
}
GRACE = 5
"""Seconds between the two signals, SIGTERM and SIGKILL, to a command whose time is over."""
TIMED_OUT = (124, 137)
NOT_FOUND = 127
"""Exit statuses of timeout(1): the time was over (137: and SIGTERM did not help), and no such program."""

APART = (
    # when this process dies, however that comes, the kernel ends unshare(1), that the first process of the new
    # process namespace, and that the whole namespace: nothing can be left behind
    *("env", "setpriv", "--pdeathsig", "KILL"),
    *("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
)
"""util-linux: run a program in network, mount and process namespaces of its own. (env(1) says if it is not there.)"""


class Completed(t.NamedTuple):
    """A finished command; a status of None means that it was ended because its time was over.

    `out` and `err` are as it printed them, and may hold secrets: a person is told `reason` and `said`.
    """

    argv: tuple[str, ...]
    status: int | None
    out: str
    err: str

    @property
    def reason(self) -> str:
        """The last line it printed on stderr, else on stdout, else its status: the core of an error message."""
        if self.status is None:
            return "no end in time"
        return last_line(self.err) or last_line(self.out) or f"exit status {self.status}"

    @property
    def said(self) -> str:
        """All that it printed on stderr, but what may be secret."""
        return safe_text(self.err).strip()


def last_line(text: str) -> str:
    """The last line that is not empty, without what may be secret; empty if there is none."""
    return next((line.strip() for line in reversed(list(safe(text.splitlines()))) if line.strip()), "")


class LocalCommands:
    """Programs of this host, in the C locale, with the administrator's PATH."""

    def __init__(self, run_command: RunCommand) -> None:
        self._run_command = run_command

    def run(self, *argv: str, timeout: float) -> Completed:
        """Run `argv`; after `timeout` seconds it is ended with its children, by timeout(1) of the host."""
        return self._run((*_limited(timeout), *argv), argv, argv[0])

    def run_apart(self, *argv: str, timeout: float, data: bytes = b"") -> Completed:
        """See CommandsApart.run_apart. unshare(1) fails with status 1 and a line where namespaces are not allowed."""
        needed = f"setpriv or unshare (both of the package util-linux) or {argv[0]}"
        return self._run((*APART, *_limited(timeout), *argv), argv, needed, data=data, binary_data=True)

    def _run(self, words: tuple[str, ...], argv: tuple[str, ...], needed: str, **stdin: t.Any) -> Completed:
        try:
            status, out, err = self._run_command(
                [*words],
                environ_update=ENVIRONMENT,
                errors="replace",
                expand_user_and_vars=False,
                # it would end the module, and nobody would be told what was changed before
                handle_exceptions=False,
                **stdin,
            )
        except FileNotFoundError as exc:
            raise DependencyError(
                f"the command {words[0]} is not installed on this host; install the package coreutils"
            ) from exc
        except OSError as exc:
            raise DaemonError(
                f"this host cannot run {argv[0]}: {exc.strerror or exc}; look at its limits and its memory, and run "
                "the task again",
                errno=exc.errno,
            ) from exc
        if status == NOT_FOUND:
            raise DependencyError(f"the command {needed} is not installed on this host; install it")
        return Completed(argv, None if status in TIMED_OUT else status, out, err)


def _limited(timeout: float) -> tuple[str, ...]:
    return ("timeout", f"--kill-after={GRACE}", f"{timeout:g}")
