# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A gateway whose routing is set up for IPsec, and the ports which that needs besides."""

from __future__ import annotations

import dataclasses
import typing as t

from ._host import Host

if t.TYPE_CHECKING:
    from ._config_host import Files


class Parameters(t.Protocol):
    """The kernel's parameters, sysctl(8). Names are paths below /proc/sys."""

    def read(self, name: str) -> str | None:
        """The value, its words separated by single blanks; None when this kernel has no such parameter.

        ConfigError when it cannot be read.
        """

    def write(self, name: str, value: str) -> None:
        """Set the value; ConfigError when the kernel refuses."""

    def names(self, pattern: str) -> tuple[str, ...]:
        """The names that a shell's pattern matches, sorted."""


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class RouterHost(Host):
    """A gateway whose routing is set up for IPsec."""

    files: Files
    parameters: Parameters
