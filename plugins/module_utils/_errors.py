# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The errors a user can meet. The class says who must act; details are JSON-ready and never secret."""

from __future__ import annotations

import contextlib
import typing as t


class IPsecError(Exception):
    """Base of every expected failure.

    `done` names the steps that were finished before it, `changed` says whether the host is another than before: a step
    that fails may have done a part of its work. `messages` are the lines that went to the system log.
    """

    def __init__(self, msg: str, **details: t.Any) -> None:
        super().__init__(msg)
        self.details = details
        self.done: tuple[str, ...] = ()
        self.messages: tuple[str, ...] = ()
        self.changed = False


class DependencyError(IPsecError):
    """Something is not installed or not available: the user installs it."""


class ConfigError(IPsecError):
    """The task or ipsec.conf is wrong: the user changes it."""


class KernelError(IPsecError):
    """The kernel refused an XFRM request or has no support for it."""


class DaemonError(IPsecError):
    """pluto, or the service manager that runs it, did not start, stop or answer in time."""


class VerifyError(IPsecError):
    """All steps ran, and the host still is not as asked: a bug of this collection, which its message says."""

    def __init__(self, msg: str, **details: t.Any) -> None:
        super().__init__(f"{msg}; run the task again, and if this stays, report it as a bug of xswan.ipsec", **details)


def require_version(library: str, version: str, least: tuple[int, ...]) -> None:
    """DependencyError when a Python library is older than `least`. One that does not tell its version is taken."""
    parts = version.split(".")[: len(least)]
    if all(part.isdigit() for part in parts) and tuple(map(int, parts)) < least:
        wanted = ".".join(map(str, least))
        raise DependencyError(
            f"the Python library {library} {version} of this host is too old; install {library} {wanted} or newer"
        )


@contextlib.contextmanager
def understood(what: str, error: type[IPsecError] = KernelError, cure: str = "") -> t.Iterator[None]:
    """Make one clear error of what a text of another form does to its reader; `what` names where the text comes from.

    Nothing of the text is told: it may be secret. `cure` is what to do about it.
    """
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as exc:
        raise error(
            f"{what} cannot be understood ({type(exc).__name__}): it is damaged, or of a version that is not known here"
            f"{'; ' if cure else ''}{cure}"
        ) from exc


@contextlib.contextmanager
def system_errors() -> t.Iterator[None]:
    """Make one clear error of a system call that fails where nobody reckons with it: no memory, no descriptors, ..."""
    try:
        yield
    except OSError as exc:
        where = f"{exc.filename}: " if isinstance(exc.filename, str) else ""
        raise DaemonError(
            f"this host refuses what the task needs: {where}{exc.strerror or exc}; look at its limits, its memory and "
            "its file systems, and run the task again",
            errno=exc.errno,
        ) from exc


@contextlib.contextmanager
def after_changes(changed: bool) -> t.Iterator[None]:
    """An error from here on comes after the host was changed, if it was: it says so."""
    try:
        with system_errors():
            yield
    except IPsecError as exc:
        exc.changed = exc.changed or changed
        raise
