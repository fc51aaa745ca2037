# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running programs: never through a shell, always drained, always with a time limit."""

from __future__ import annotations

import errno
import os
import select
import shutil
import signal
import typing as t

from ._errors import DependencyError

if t.TYPE_CHECKING:
    import io

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
PATIENCE = 1000
"""Milliseconds of silence after which it is looked whether a program has ended, and left its pipes to another."""

APART = (
    # when this process dies, however that comes, the kernel ends unshare(1), that the first process of the new
    # process namespace, and that the whole namespace: nothing can be left behind
    *("env", "setpriv", "--pdeathsig", "KILL"),
    *("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
)
"""util-linux: run a program in network, mount and process namespaces of its own. (env(1) says if it is not there.)"""


class Completed(t.NamedTuple):
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


class LocalCommands:
    """Programs of this host, in the C locale, with the administrator's PATH."""

    def run(self, *argv: str, timeout: float) -> Completed:
        """Run `argv`; after `timeout` seconds it is ended with its children, by timeout(1) of the host."""
        return self._run((*_limited(timeout), *argv), argv, argv[0])

    def run_apart(self, *argv: str, timeout: float, data: bytes = b"") -> Completed:
        """See CommandsApart.run_apart. unshare(1) fails with status 1 and a line where namespaces are not allowed."""
        return self._run((*APART, *_limited(timeout), *argv), argv, f"setpriv, unshare or {argv[0]}", data)

    def _run(self, words: tuple[str, ...], argv: tuple[str, ...], needed: str, data: bytes = b"") -> Completed:
        try:
            status, out, err = spawn(words, {**os.environ, **ENVIRONMENT}, data)
        except OSError as exc:
            raise DependencyError(f"cannot run {words[0]}, which is to run {argv[0]}: {exc.strerror}") from exc
        if status == NOT_FOUND:
            raise DependencyError(f"the command {needed} is not installed on this host")
        return Completed(argv, None if status in TIMED_OUT else status, out, err)


def spawn(argv: tuple[str, ...], environ: t.Mapping[str, str], data: bytes) -> tuple[int, str, str]:
    """Run a program with `data` as its input; its exit status, output and errors. OSError when it cannot be run.

    By posix_spawn(3). AnsibleModule.run_command forks: to copy the page tables of a module, and each page that it
    writes to while they are shared, costs more CPU than most of the programs that run here.
    """
    program = shutil.which(argv[0], path=environ["PATH"])
    if program is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), argv[0])
    (out, stdout), (err, stderr), stdin = os.pipe(), os.pipe(), _input(data)
    with open(out, "rb", buffering=0) as output, open(err, "rb", buffering=0) as errors:
        try:
            places = [(os.POSIX_SPAWN_DUP2, file, number) for number, file in enumerate((stdin, stdout, stderr))]
            # Python itself ignores both, and a program would inherit that
            default = (signal.SIGPIPE, signal.SIGXFSZ)
            pid = os.posix_spawn(program, argv, environ, file_actions=places, setsigdef=default)
        finally:
            for file in (stdin, stdout, stderr):
                os.close(file)
        return _drained(pid, output, errors)


def _input(data: bytes) -> int:
    """A file that holds `data`, in memory alone."""
    if not data:
        return os.open(os.devnull, os.O_RDONLY)
    file = os.memfd_create("stdin")
    with open(file, "wb", closefd=False) as writer:
        writer.write(data)
    os.lseek(file, 0, os.SEEK_SET)
    return file


def _drained(pid: int, *pipes: io.FileIO) -> tuple[int, str, str]:
    """Exit status of a program, and all that it wrote. What it has left behind with its pipes is not awaited."""
    said: dict[int, list[bytes]] = {pipe.fileno(): [] for pipe in pipes}
    poll = select.poll()
    for file in said:
        poll.register(file, select.POLLIN)
    left, ended, status = len(said), 0, 0
    while left and not ended:
        ready = poll.poll(PATIENCE)
        for file, _event in ready:
            part = os.read(file, 65536)
            said[file].append(part)
            if not part:
                poll.unregister(file)
                left -= 1
        if not ready:
            ended, status = os.waitpid(pid, os.WNOHANG)
    if not ended:
        status = os.waitpid(pid, 0)[1]
    out, err = (b"".join(parts).decode(errors="replace") for parts in said.values())
    return os.waitstatus_to_exitcode(status), out, err


def _limited(timeout: float) -> tuple[str, ...]:
    return ("timeout", f"--kill-after={GRACE}", f"{timeout:g}")
