# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The errors a user can meet. The class says who must act; details are JSON-ready and never secret."""

from __future__ import annotations

import typing as t


class IPsecError(Exception):
    """Base of every expected failure.

    `done` names the steps that were finished before it, `changed` says whether the host is another than before: a step
    that fails may have done a part of its work.
    """

    def __init__(self, msg: str, **details: t.Any) -> None:
        super().__init__(msg)
        self.details = details
        self.done: tuple[str, ...] = ()
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
    """All steps ran, and the host still is not as asked: a bug of this collection."""
